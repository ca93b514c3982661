"""The photograph of the first view, quality and size above the images, and running again what was made otherwise."""

import json

import numpy as np
import pytest
from PIL import Image

from helpers.browser import make_scene

TITLED = [
    {"name": "x2", "title": "Photo ×2", "url": "models/x2/model.json", "scale": 2, "channels": 8},
    {"name": "x3", "title": "Faithful ×3", "url": "models/x3-official/model.json", "scale": 3, "channels": 8},
    {"name": "x4", "title": "Photo ×4", "url": "models/x4-ch48/model.json", "scale": 4, "channels": 48},
]


@pytest.fixture
def titled(page, site):
    """The page with networks under titles such as those of the package."""
    page.route("**/models.json", lambda route: route.fulfill(body=json.dumps({"models": TITLED})))
    page.goto(f"{site.url}/?backend=wasm")
    page.wait_for_selector("html[data-state=ready]")
    return page


def test_the_photograph_of_the_first_view(titled):
    divider = titled.get_by_role("slider", name="Divider between before and after")
    split = "() => getComputedStyle(document.querySelector('#sample img:nth-of-type(2)')).clipPath"
    assert titled.evaluate(split) == "inset(0px 0px 0px 50%)"
    divider.focus()
    titled.keyboard.press("ArrowLeft")
    assert titled.evaluate(split) == "inset(0px 0px 0px 49%)"
    sizes = (
        "() => [...document.querySelectorAll('#sample img')].map((image) => [image.naturalWidth, image.naturalHeight])"
    )
    assert titled.evaluate(sizes) == [[225, 150], [900, 600]]
    titled.click("#sample-try")
    titled.wait_for_selector("#job-detail:has-text('225 × 150 → 450 × 300 · PNG ')")
    assert titled.inner_text("#job-name") == "cat.jpg"
    assert (
        titled.inner_text(".compare .tag.before") == "Before · 225\u00a0×\u00a0150"
    )  # a narrow tag breaks before the size
    assert titled.inner_text(".compare .tag.after") == "After · 450\u00a0×\u00a0300"


def test_quality_and_size(titled, save_image, download_in_page):
    page = titled
    state = """() => [document.querySelector('#qualities :checked')?.value, document.querySelector('#size').value,
      [...document.querySelectorAll('#size option:disabled')].map(({ value }) => value)]"""
    assert page.evaluate(state) == ["Photo", "2", ["3"]]
    page.set_input_files("#files", [str(save_image(make_scene(12, 14), name)) for name in ("1.png", "2.png")])
    page.wait_for_selector("#queue li:nth-child(2) .mark:text('✓')")
    assert page.is_hidden("#again")
    assert page.is_hidden("#again-all")
    page.get_by_role("radio", name="Faithful").check()
    page.wait_for_selector("html[data-state=ready] #chip-model:text('Faithful ×3')")
    assert page.evaluate(state) == ["Faithful", "3", ["2", "4"]]  # there is no other factor of this quality
    page.click("#again-all:text('Run all again (2)')")
    page.wait_for_selector("#job-detail:has-text('14 × 12 → 42 × 36')")
    page.wait_for_selector("#again-all", state="hidden")
    # To a width: the largest factor of the kind, reduced.
    page.select_option("#size", "w1920")
    page.wait_for_selector("#again:visible")
    page.get_by_role("radio", name="Photo").check()
    page.wait_for_selector("html[data-state=ready] #chip-model:text('Photo ×4')")
    assert page.evaluate(state) == ["Photo", "w1920", ["3"]]
    page.select_option("#size", "2")
    page.wait_for_selector("html[data-state=ready] #chip-model:text('Photo ×2')")
    assert page.evaluate(state) == ["Photo", "2", ["3"]]
    page.click("#again")
    page.wait_for_selector("#job-detail:has-text('14 × 12 → 28 × 24')")  # until then, Download saves the old result
    assert download_in_page(page).shape == (24, 28, 3)


def test_to_a_width(titled, save_image, download_in_page):
    page = titled
    page.evaluate("() => document.querySelector('#size').append(new Option('', 'w30'))")
    page.evaluate(
        """() => {
          const size = document.querySelector('#size');
          size.value = 'w30';
          size.dispatchEvent(new Event('change', { bubbles: true }));
        }"""
    )
    page.wait_for_selector("html[data-state=ready] #chip-model:text('Photo ×4')")
    page.set_input_files("#files", [str(save_image(make_scene(8, 12), "a.png"))])
    page.wait_for_selector("#job-detail:has-text('12 × 8 → 30 × 20 · PNG ')")
    assert page.inner_text(".compare .tag.after") == "After · 30\u00a0×\u00a020"
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "a-w30.png"
    assert np.asarray(Image.open(download.value.path())).shape == (20, 30, 3)
    page.set_input_files("#files", [str(save_image(make_scene(8, 40), "wide.png"))])
    page.wait_for_selector("[data-state=failed] #job-detail:text('wide.png is 40 pixels wide already; choose another')")


def test_buttons_are_there_when_they_are_of_use(titled, save_image):
    page = titled
    page.set_input_files("#files", str(save_image(make_scene(12, 14))))
    page.wait_for_selector("#download:enabled")
    shown = """() => [...document.querySelectorAll('#workspace button')].filter((button) => button.checkVisibility())
      .map(({ id, dataset }) => id || dataset.zoom || 'thumbnail')"""
    assert page.evaluate(shown) == ["out", "fit", "full", "in", "download", "thumbnail", "remove", "add"]
    page.set_input_files("#files", [{"name": "broken.png", "mimeType": "image/png", "buffer": b"no image"}])
    page.wait_for_selector("[data-state=failed] #job-detail:has-text('is damaged')")
    assert page.evaluate(shown) == ["thumbnail", "thumbnail", "remove", "add", "download-all", "clear"]
    bad = page.evaluate("() => getComputedStyle(document.documentElement).getPropertyValue('--bad')")
    colour = page.evaluate("() => getComputedStyle(document.querySelector('#job-detail')).color")
    assert colour == f"rgb({', '.join(str(int(bad[i : i + 2], 16)) for i in (1, 3, 5))})"
    page.wait_for_function("() => document.querySelectorAll('#queue img').length === 1")  # the broken one is none
