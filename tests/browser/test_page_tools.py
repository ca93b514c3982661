"""What the page offers around enlarging: saving in other formats, the before/after view, and measuring."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from helpers.browser import PATIENCE, make_scene, until

WIDE_GREEN = """
async () => {
  const canvas = new OffscreenCanvas(12, 9);
  const context = canvas.getContext('2d', { colorSpace: 'display-p3' });
  context.fillStyle = 'color(display-p3 0 1 0)';
  context.fillRect(0, 0, 12, 9);
  return [...new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer())];
}"""
CONVERT = """
async ([width, height, colorSpace, png, type]) => {
  const { convert } = await import('/ui/download.js');
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext('2d').fillRect(0, 0, width, height);
  const blob = png ? new Blob([new Uint8Array(png)], { type: 'image/png' }) : await canvas.convertToBlob();
  const file = await convert({ name: 'strip.png', result: { blob, width, height, colorSpace } }, type);
  return [...new Uint8Array(await file.arrayBuffer())];
}"""


@pytest.mark.parametrize(("kind", "longest"), [("webp", 16383), ("jpeg", 65500)])
def test_a_result_longer_than_its_format(kind, longest, blank):
    """Browsers cut such a file off silently; the page says what fits."""
    from playwright.sync_api import Error

    type = f"image/{kind}"
    fits = bytes(blank.evaluate(CONVERT, [longest, 4, "srgb", None, type]))
    assert Image.open(io.BytesIO(fits)).size == (longest, 4)
    message = (
        r"strip\.png cannot be saved as \w+: "
        rf"its sides may have {longest} pixels at most, and the result has 4 × {longest + 1}; take PNG\."
    )
    # The blob is never looked at, so a small one stands for the long one.
    png = blank.evaluate(WIDE_GREEN)
    with pytest.raises(Error, match=message):
        blank.evaluate(CONVERT.replace("(width, height)", "(1, 1)"), [4, longest + 1, "srgb", png, type])


def test_equal_names_in_an_archive_are_numbered(blank):
    with blank.expect_download() as download:
        blank.evaluate(
            """async () => {
              const { saveAll } = await import('/ui/download.js');
              const png = (text) => new Blob([text], { type: 'image/png' });
              const item = (name, text) => ({ name, scale: 2, result: { blob: png(text) } });
              await saveAll([item('a.png', '1'), item('b.png', '2'), item('a.jpg', '3'), item('a', '4')], 'image/png');
            }"""
        )
    with zipfile.ZipFile(download.value.path()) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a-x2.png", "b-x2.png", "a-x2 (2).png", "a-x2 (3).png"]
        assert [archive.read(name) for name in archive.namelist()] == [b"1", b"2", b"3", b"4"]


def test_a_failed_download_is_told(open_page, save_image):
    """By a sentence in the status line, for one image and for all of them."""
    page = open_page("x2", "wasm")
    page.set_input_files("#files", str(save_image(make_scene(12, 14), "tree.png")))
    page.wait_for_selector("#download:enabled")
    # As a browser does that cannot write WebP.
    page.evaluate(
        """() => {
          const { convertToBlob } = OffscreenCanvas.prototype;
          OffscreenCanvas.prototype.convertToBlob = function () { return convertToBlob.call(this); };
        }"""
    )
    page.select_option("#format", "image/webp")
    for button in ("#download", "#download-all"):
        page.evaluate("() => { document.querySelector('#status').textContent = ''; }")
        page.click(button)
        page.wait_for_selector("#status:has-text('take PNG')")
        assert page.inner_text("#status") == (
            "tree.png cannot be saved as WebP: this browser does not write that format; take PNG."
        )
    page.evaluate("() => { window.OffscreenCanvas = class { constructor() { throw new Error('out of memory.'); } }; }")
    page.click("#download")
    page.wait_for_selector("#status:has-text('out of memory')")
    assert page.inner_text("#status") == (
        "tree.png cannot be saved as WebP: this browser failed on its 28 × 24 pixels (out of memory); take PNG."
    )


@pytest.mark.parametrize(("kind", "suffix"), [("image/jpeg", "jpg"), ("image/webp", "webp")])
def test_a_wide_gamut_is_kept_in_every_format(kind, suffix, open_page, tmp_path):
    """A green that sRGB does not have is saved with Display P3's profile, as one of its own values."""
    page = open_page("x2", "wasm")
    photograph = tmp_path / "leaf.png"
    photograph.write_bytes(bytes(page.evaluate(WIDE_GREEN)))
    page.set_input_files("#files", str(photograph))
    page.wait_for_selector("#download:enabled")
    colours = {}
    for name in ("image/png", kind):
        page.select_option("#format", name)
        with page.expect_download() as download:
            page.click("#download")
        download.value.save_as(tmp_path / download.value.suggested_filename)
        image = Image.open(tmp_path / download.value.suggested_filename)
        assert "Display P3".encode("utf-16-be") in image.info["icc_profile"]
        colours[name] = np.asarray(image.convert("RGB"), float).mean(axis=(0, 1))
    assert download.value.suggested_filename == f"leaf-x2.{suffix}"
    assert np.abs(colours[kind] - colours["image/png"]).max() < 4


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


def test_durations_and_sizes_are_rounded_before_their_unit_is_chosen(blank):
    durations, sizes = blank.evaluate(
        """() => import('/ui/format.js').then(({ duration, bytes }) => [
          [999.7, 9970, 59_999, 119_800, 61_000].map(duration), [999, 999_999, 1e6, 0].map(bytes)])"""
    )
    assert durations == ["1.0 s", "10 s", "1 min 0 s", "2 min 0 s", "1 min 1 s"]
    assert sizes == ["999 B", "1.0 MB", "1.0 MB", "0 B"]


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
    pointer = (box["width"] / 4, box["height"] / 4)
    page.mouse.move(box["x"] + pointer[0], box["y"] + pointer[1])
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


def seconds(text: str) -> float:
    value, unit = text.split(" ")
    return float(value) * {"ms": 1e-3, "s": 1}[unit]


def test_time_and_memory_by_backend(open_page, save_image):
    """What a run takes at its peak, in the table, in the chart and in the chart's description."""
    page = open_page("x2", "wasm")
    page.click("#tab-measure")
    for name in ("webgpu", "webgl"):
        page.uncheck(f"#measure input[value={name}]")
    page.check("#measure input[value=cpu]")
    page.set_input_files("#measure-file", str(save_image(make_scene(48, 64))))
    page.click("#measure-start")
    page.wait_for_selector("#measure-start:enabled")
    bicubic, *rows = [row.split("\t") for row in page.locator("#measure-rows tr").all_inner_texts()]
    assert bicubic[4:] == ["–", "–"]
    assert [row[0] for row in rows] == ["SPAN on WebAssembly", "SPAN on JavaScript"]
    least = 6 * (24 * 32) * 8 * 4 / 1e6  # six layers at least give 8 channels of float32 at every pixel
    label = page.wait_for_selector("#measure-chart[aria-label*=JavaScript]").get_attribute("aria-label")
    assert label == "Time and memory by backend: " + "; ".join(
        f"{row[0].removeprefix('SPAN on ')} {row[4]} and {row[5]}" for row in rows
    )
    chart = page.evaluate(
        """() => {
          const { data, options } = Chart.getChart('measure-chart');
          const datasets = data.datasets.map(({ label, xAxisID, data }) => [label, xAxisID, [...data]]);
          const titles = ['time', 'memory'].map((axis) => options.scales[axis].title.text);
          return { labels: [...data.labels], datasets, titles };
        }"""
    )
    assert chart["labels"] == ["WebAssembly", "JavaScript"]
    assert chart["titles"] == ["Milliseconds", "Megabytes"]
    (time, time_axis, milliseconds), (memory, memory_axis, megabytes) = chart["datasets"]
    assert (time, time_axis, memory, memory_axis) == ("Time", "time", "Memory", "memory")
    for row, ms, mb in zip(rows, milliseconds, megabytes, strict=True):
        assert seconds(row[4]) == pytest.approx(ms / 1e3, rel=0.06, abs=6e-4)
        assert mb > least
        assert row[5] == (f"{mb:.1f} MB" if mb >= 1 else f"{mb * 1000:.1f} kB")


def test_a_gpu_tells_what_it_allocated(blank, site):
    """More than the tensors' own bytes, and more than the weights at rest."""
    found = blank.evaluate(
        """async (model) => {
          const { loadUpscaler } = await import('/span.js');
          const canvas = new OffscreenCanvas(64, 48);
          canvas.getContext('2d').fillRect(0, 0, 40, 40);
          const original = await canvas.convertToBlob();
          const found = {};
          for (const backend of ['webgpu', 'webgl', 'wasm']) {
            const upscaler = await loadUpscaler(model, { backend });
            const rest = (await upscaler.memory()).bytes;
            const { bytes, gpuBytes } = await upscaler.measure(original);
            found[upscaler.status.backend] = { rest, bytes, gpuBytes };
            upscaler.dispose();
          }
          return found;
        }""",
        f"{site.url}/models/x2/model.json",
    )
    assert found["wasm"]["gpuBytes"] == 0
    for gpu in ("webgpu", "webgl"):
        assert found[gpu]["gpuBytes"] > found[gpu]["bytes"]
    for memory in found.values():
        assert memory["bytes"] > 2 * memory["rest"]


def test_measuring_can_be_cancelled(open_page, save_image):
    page = open_page("x2", "wasm", tile=28)
    page.click("#tab-measure")
    for name in ("webgpu", "webgl", "wasm"):
        page.uncheck(f"#measure input[value={name}]")
    page.check("#measure input[value=cpu]")
    page.set_input_files("#measure-file", str(save_image(make_scene(1000, 1000))))
    page.click("#measure-start")
    page.wait_for_selector("#measure-state:has-text('Measuring on JavaScript')")
    page.set_input_files("#measure-file", str(save_image(make_scene(40, 40), "other.png")))
    assert "Measuring on JavaScript" in page.inner_text("#measure-state")  # it measures on
    assert page.is_disabled("#measure-start")
    page.click("#measure-cancel")
    page.wait_for_selector("#measure-state:text('Cancelled.')")
    assert page.is_enabled("#measure-start")
    assert page.is_disabled("#measure-cancel")
    assert page.locator("#measure-rows tr").count() == 0
