"""Before and after side by side: by mouse, fingers and keys."""

import pytest

from helpers.browser import PATIENCE, choose_model, make_scene, until


@pytest.fixture
def compared(open_page, save_image):
    """A page with a result in its before/after view, and ``() -> (zoom, x, y)``, which both layers must agree on."""
    page = open_page("x2", "wasm")
    page.set_input_files("#files", str(save_image(make_scene(160, 240))))
    page.wait_for_selector("#download:enabled")
    page.wait_for_selector("[data-pane=after] canvas")

    def place():
        before, after = page.evaluate(
            """() => [...document.querySelectorAll('.pane > *')].map(({ style }) =>
              [style.width, ...style.transform.match(/-?[\\d.]+/g)].map(parseFloat))"""
        )
        assert before == after
        return before[0] / 240, before[1], before[2]

    return page, place


def test_the_view_by_keyboard(compared):
    page, place = compared
    fitted = place()
    view = page.get_by_role("group", name="Before and after")
    page.click("#tab-upscale")

    def reached():
        page.keyboard.press("Tab")
        return view.evaluate("(view) => view === document.activeElement")

    until(page, reached)
    assert view.evaluate("(view) => getComputedStyle(view).outlineStyle") == "solid"
    page.keyboard.press("ArrowRight")
    assert place() == fitted  # all of it is in sight
    for _ in range(3):
        page.keyboard.press("+")
    zoom, x, y = place()
    assert zoom == pytest.approx(1.5**3 * fitted[0], rel=1e-3)
    width, height = view.evaluate("({ clientWidth, clientHeight }) => [clientWidth, clientHeight]")
    for key, moved in {
        "ArrowRight": (-width / 8, 0),
        "ArrowLeft": (width / 8, 0),
        "ArrowDown": (0, -height / 8),
        "ArrowUp": (0, height / 8),
    }.items():
        _, before_x, before_y = place()
        page.keyboard.press(key)
        assert place() == pytest.approx((zoom, before_x + moved[0], before_y + moved[1]), abs=0.01)
    page.keyboard.press("Control+0")
    assert place() == pytest.approx((zoom, x, y), abs=0.01)  # the browser's own zoom
    page.keyboard.press("-")
    assert place()[0] == pytest.approx(zoom / 1.5, rel=1e-3)
    page.keyboard.press("0")
    assert place() == fitted
    # The divider inside the view keeps its keys to itself.
    page.keyboard.press("+")
    zoomed = place()
    page.get_by_role("slider").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("0")
    assert page.get_by_role("slider").get_attribute("aria-valuenow") == "48"
    assert place() == zoomed


def test_the_view_by_mouse(compared):
    page, place = compared
    box = page.locator("#compare").bounding_box()
    for part in (0.25, 0.75):  # on the photograph and on the result
        zoom, x, y = place()
        start = (box["x"] + part * box["width"], box["y"] + box["height"] / 2)
        page.mouse.move(*start)
        page.mouse.down()
        page.mouse.move(start[0] + 20, start[1] + 5)
        page.mouse.move(start[0] + 30, start[1] - 12)
        page.mouse.up()
        assert place() == pytest.approx((zoom, x + 30, y - 12), abs=0.01)
        page.mouse.move(start[0] + 60, start[1])
        assert place() == pytest.approx((zoom, x + 30, y - 12), abs=0.01)
    zoom, x, y = place()
    # Events tell whole pixels of the window.
    window = (round(box["x"] + box["width"] / 4), round(box["y"] + box["height"] / 4))
    pointer = (window[0] - box["x"], window[1] - box["y"])
    page.mouse.move(*window)
    page.mouse.wheel(0, -200)
    wider = "(width) => parseFloat(document.querySelector('.pane > *').style.width) > width"
    page.wait_for_function(wider, arg=241 * zoom)
    nearer, after_x, after_y = place()
    # What is under the pointer stays there.
    assert (pointer[0] - after_x) / nearer == pytest.approx((pointer[0] - x) / zoom, abs=0.1)
    assert (pointer[1] - after_y) / nearer == pytest.approx((pointer[1] - y) / zoom, abs=0.1)


def test_the_view_by_two_fingers(compared):
    page, place = compared
    touch = page.context.new_cdp_session(page)
    box = page.locator("#compare").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    def fingers(kind, *distances):
        points = [{"x": middle[0] + d, "y": middle[1] + 60, "id": i} for i, d in enumerate(distances)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    zoom, x, y = place()
    fingers("touchStart", -60)
    fingers("touchMove", -40)
    fingers("touchMove", -30)
    fingers("touchEnd")
    assert place() == pytest.approx((zoom, x + 30, y), abs=20)  # less what counts as no move yet
    assert place()[1] > x
    zoom = place()[0]
    fingers("touchStart", -60, 60)
    for distance in (80, 100, 120):
        fingers("touchMove", -distance, distance)
    fingers("touchEnd")
    assert place()[0] == pytest.approx(2 * zoom, rel=0.25)


def test_a_pixel_of_the_result_per_pixel_of_the_screen_on_a_phone(chromium, site, save_image):
    context = chromium.new_context(
        viewport={"width": 390, "height": 780}, device_scale_factor=3, service_workers="block"
    )
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(f"{site.url}/?model=/models/x2/model.json&backend=wasm")
    page.wait_for_selector("html[data-state=ready]")
    page.set_input_files("#files", str(save_image(make_scene(48, 60))))
    page.wait_for_selector("#download:enabled")
    page.wait_for_selector("[data-pane=after] canvas")
    page.click("[data-zoom=full]")
    assert page.evaluate("() => document.querySelector('.pane > *').style.width") == "40px"  # 120 pixels of the result
    context.close()


def test_divider_and_zoom_by_keyboard(open_page, save_image):
    page = open_page("x2", "wasm")
    page.set_input_files("#files", str(save_image(make_scene(20, 24))))
    page.wait_for_selector("#download:enabled")
    page.wait_for_selector("[data-pane=after] canvas")
    divider = page.locator("[role=slider]")
    divider.focus()
    page.keyboard.press("ArrowRight")
    assert divider.get_attribute("aria-valuenow") == "52"
    page.keyboard.press("End")
    assert divider.get_attribute("aria-valuenow") == "100"
    place = "() => [...document.querySelectorAll('.pane > *')].map(({ style }) => style.width + style.transform)"
    before = page.evaluate(place)
    page.click("[data-zoom=in]")
    after = page.evaluate(place)
    assert before[0] == before[1]  # both layers move in step
    assert before == after  # such a small image is fitted at more than the largest zoom
    page.click("[data-zoom=out]")
    zoomed = page.evaluate(place)
    assert before[0] != zoomed[0] == zoomed[1]
    view = page.viewport_size
    page.set_viewport_size({**view, "height": view["height"] - 40})
    page.wait_for_function("(height) => innerHeight === height", arg=view["height"] - 40)
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.evaluate(place) == zoomed
    choose_model(page, "x3-official")
    # Shown again it is fitted, which must be over before the zoom.
    page.evaluate("() => void (document.querySelector('[data-pane=before] img').dataset.old = '')")
    page.click("#queue button")
    page.wait_for_selector("[data-pane=before] img:not([data-old])")
    page.click("[data-zoom=full]")
    assert page.evaluate("() => document.querySelector('[data-pane=after] canvas').style.width") == "48px"
