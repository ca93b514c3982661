"""How the page is laid out and used: addresses, keys, small windows, accessibility."""

import pytest

from helpers.browser import AXE, FIT, PATIENCE, make_scene


def other_views(page):
    """Open the views beside Upscale one after another; their names, each when it is complete."""
    for tab, complete in (("measure", "#measure h2"), ("train", "#train[data-phase=idle]")):
        page.click(f"#tab-{tab}")
        page.wait_for_selector(complete)
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        yield tab


def test_the_address_changes_the_view_of_an_open_page(open_page):
    page = open_page("x2", "wasm")
    page.evaluate("() => void (location.hash = 'measure')")
    page.wait_for_selector("#measure-choose")
    assert page.get_attribute("#tab-measure", "aria-selected") == "true"


def test_on_a_wide_screen_everything_stands_in_line(page, open_page):
    page.set_viewport_size({"width": 1920, "height": 900})
    open_page("x2", "wasm")
    lefts = """() => ['h1', '#drop', '#status'].map((one) =>
      Math.round(document.querySelector(one).getBoundingClientRect().left))"""
    assert page.evaluate(lefts) == 3 * [292]  # (1920 - 1400) / 2 + 32


@pytest.mark.parametrize("width", [390, 700])
def test_long_names_widen_no_view(width, page, open_page, models, photographs):
    name = "a" * 120 + ".png"
    page.set_viewport_size({"width": width, "height": 780})
    open_page("x2", "wasm")
    file = {"name": name, "mimeType": "image/png", "buffer": b"no image"}
    too_wide = "() => document.documentElement.scrollWidth - innerWidth"
    page.set_input_files("#files", [file])
    page.wait_for_selector("#job-detail:has-text('is damaged')")
    assert page.evaluate(too_wide) <= 0
    page.click("#settings-button")
    json = {"name": "m" * 120 + ".json", "mimeType": "", "buffer": (models / "x2" / "model.json").read_bytes()}
    weights = [
        {"name": path.name, "mimeType": "", "buffer": path.read_bytes()} for path in (models / "x2").glob("*.bin")
    ]
    page.set_input_files("#model-input", [json, *weights])
    page.wait_for_selector("html[data-state=ready] #chip-model:has-text('mmm')", state="attached")
    page.click("#settings button:text('Done')")
    assert page.evaluate(too_wide) <= 0
    page.click("#tab-measure")
    page.set_input_files("#measure-file", [file])
    page.wait_for_selector("#measure-state:has-text('aaa')")
    assert page.evaluate(too_wide) <= 0
    page.click("#tab-train")
    page.wait_for_selector("#train[data-phase=idle]")
    page.set_input_files("#train-files", [file])
    page.click("#train-more summary")
    page.fill("#train-vggWeight", "0")
    page.click("[data-do=start]")
    page.wait_for_selector("#train-problem:has-text('aaa')")
    assert page.evaluate(too_wide) <= 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_accessibility(scheme, width, chromium, site, save_image):
    context = chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": 780}, bypass_csp=True)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.add_init_script(path=AXE)
    page.goto(f"{site.url}/?model=/models/x2/model.json&backend=wasm")
    page.wait_for_selector("html[data-state=ready]")
    audit = """async () => (await axe.run()).violations.map(({ id, impact, nodes }) =>
      [id, impact, nodes.map(({ html, failureSummary }) => html + failureSummary)])"""
    found = {"empty": page.evaluate(audit)}
    page.set_input_files("#files", str(save_image(make_scene(20, 24))))
    page.wait_for_selector("#download:enabled")
    found["result"] = page.evaluate(audit)
    page.click("#settings-button")
    page.wait_for_selector("#model option", state="attached")
    found["settings"] = page.evaluate(audit)
    page.keyboard.press("Escape")
    for tab in other_views(page):
        found[tab] = page.evaluate(audit)
        wide = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{tab} scrolls sideways"
    context.close()
    serious = {
        view: [item for item in violations if item[1] in ("serious", "critical")] for view, violations in found.items()
    }
    assert serious == {view: [] for view in found}


@pytest.mark.parametrize(("width", "height"), [(360, 560), (390, 780), (1280, 480)])
def test_the_work_fits_into_small_windows(width, height, page, open_page, save_image):
    page.set_viewport_size({"width": width, "height": height})
    open_page("x2", "wasm")
    page.set_input_files("#files", [str(save_image(make_scene(20, 24), name)) for name in ("1.png", "2.png")])
    page.wait_for_selector("#queue li:nth-child(2) .mark:text('✓')")
    sideways, gap = page.evaluate(
        """() => {
          const edge = (query) => document.querySelector(query).getBoundingClientRect();
          const { scrollWidth, clientWidth } = document.documentElement;
          return [scrollWidth - clientWidth, edge('footer').top - edge('.queue-actions').bottom];
        }"""
    )
    assert sideways <= 0
    assert gap >= 0  # the footer does not lie on the buttons


SMALL = """() => [...document.querySelectorAll('button, select, summary, input[type=range], .segments label')]
  .filter((one) => one.checkVisibility())
  .map((one) => [one.getBoundingClientRect(), one.outerHTML.slice(0, 80)])
  .filter(([{ width, height }]) => width < 44 || height < 43.5)
  .map(([, text]) => text)"""
"""Targets smaller than a finger."""


@pytest.mark.parametrize(("width", "percent"), [(390, 100), (320, 100), (390, 200), (320, 200)])
def test_a_phone(width, percent, chromium, site, save_image, photographs):
    context = chromium.new_context(
        viewport={"width": width, "height": 640}, is_mobile=True, has_touch=True, service_workers="block"
    )
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    titles = ["Photo ×2", "Faithful ×2", "Fast ×2"]
    listed = [{"name": "x2", "title": title, "url": "models/x2/model.json", "scale": 2} for title in titles]
    page.route("**/models.json", lambda route: route.fulfill(json={"models": listed}))
    page.goto(f"{site.url}/?backend=wasm")
    page.wait_for_selector("html[data-state=ready]")
    page.evaluate("(percent) => void (document.documentElement.style.fontSize = `${percent}%`)", percent)
    found = {"empty": page.evaluate(FIT), "small, empty": page.evaluate(SMALL)}
    page.set_input_files("#files", [str(save_image(make_scene(20, 24), name)) for name in ("1.png", "2.png")])
    page.wait_for_selector("#queue li:nth-child(2) .mark:text('✓')")
    found |= {"result": page.evaluate(FIT), "small, result": page.evaluate(SMALL)}
    page.set_input_files("#files", [{"name": "broken.png", "mimeType": "image/png", "buffer": b"no image"}])
    page.wait_for_selector("[data-state=failed] #job-detail:has-text('is damaged')")
    found["failure"] = page.evaluate(FIT)
    page.click("#settings-button")
    page.wait_for_selector("#memory:has-text('tensors')")
    found |= {"details": page.evaluate(FIT), "small, details": page.evaluate(SMALL)}
    page.keyboard.press("Escape")
    for tab in other_views(page):
        found |= {tab: page.evaluate(FIT), f"small, {tab}": page.evaluate(SMALL)}
    context.close()
    assert found == {place: [] for place in found}
