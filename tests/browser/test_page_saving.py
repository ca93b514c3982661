"""Saving results: formats, archives, and what cannot be saved."""

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
  const { blob: file } = await convert({ name: 'strip.png', result: { blob, width, height, colorSpace } }, type);
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
              const items = [item('a.png', '1'), item('b.png', '2'), item('A.jpg', '3'), item('a', '4')];
              await saveAll(items, 'image/png');
            }"""
        )
    with zipfile.ZipFile(download.value.path()) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a-x2.png", "b-x2.png", "A-x2 (2).png", "a-x2 (3).png"]
        assert [archive.read(name) for name in archive.namelist()] == [b"1", b"2", b"3", b"4"]


def test_where_a_browser_writes_no_webp_the_page_does(open_page, save_image, download_in_page):
    """As in Safari, which gives PNG instead."""
    page = open_page("x2", "wasm")
    page.evaluate(
        """() => {
          const { convertToBlob } = OffscreenCanvas.prototype;
          OffscreenCanvas.prototype.convertToBlob = function () { return convertToBlob.call(this); };
        }"""
    )
    page.set_input_files("#files", str(save_image(make_scene(12, 14), "tree.png")))
    page.wait_for_selector("#download:enabled")
    expected = download_in_page(page)
    page.select_option("#format", "image/webp")
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "tree-x2.webp"
    made = Image.open(download.value.path())
    assert made.format == "WEBP"
    reference = io.BytesIO()
    Image.fromarray(expected).save(reference, "WEBP", quality=95)  # what the format makes of so much noise
    reference = np.asarray(Image.open(reference).convert("RGB")).astype(int)
    assert np.abs(np.asarray(made.convert("RGB")) - reference).mean() < 1


def test_a_failed_download_is_told(open_page, save_image):
    """By a sentence in the status line."""
    page = open_page("x2", "wasm")
    page.set_input_files("#files", str(save_image(make_scene(12, 14), "tree.png")))
    page.wait_for_selector("#download:enabled")
    page.select_option("#format", "image/webp")
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


SHARE = """
  window.shared = [];
  navigator.canShare = () => true;
  navigator.share = async ({ files: [file] }) => {
    if (shared.push([file.name, file.type, file.size]) === 1) throw new DOMException('changed my mind', 'AbortError');
    if (shared.length === 2) throw new DOMException('No app takes it.', 'NotAllowedError');
  };
"""


def test_a_phone_shares_a_result(chromium, site, save_image):
    context = chromium.new_context(is_mobile=True, has_touch=True, service_workers="block")
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.add_init_script(SHARE)
    page.goto(f"{site.url}/?model=/models/x2/model.json&backend=wasm")
    page.set_input_files("#files", str(save_image(make_scene(12, 14), "cat.png")))
    page.wait_for_selector("#share:visible")
    page.select_option("#format", "image/jpeg")
    is_asked = "() => !dispatchEvent(new Event('beforeunload', { cancelable: true }))"
    for _ in range(2):
        page.click("#share")
    page.wait_for_selector("#status:text('cat-x2.jpg could not be shared (No app takes it); take Download.')")
    assert page.evaluate(is_asked)
    page.click("#share")
    until(page, lambda: not page.evaluate(is_asked))
    assert [shared[:2] for shared in page.evaluate("shared")] == 3 * [["cat-x2.jpg", "image/jpeg"]]
    context.close()
