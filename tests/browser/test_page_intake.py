"""What comes into the page by dropping and pasting: folders, models, and what is refused."""

import numpy as np
from PIL import Image

from helpers.browser import difference, make_scene
from span_keras import load_weights
from span_keras.checkpoints.safetensors_file import write
from span_keras.inference.upscaler import Upscaler

FAKE = """([Kind, type, data]) => {
  const transfer = new DataTransfer();
  transfer.setData(...data);
  const at = Kind === 'DragEvent' ? 'dataTransfer' : 'clipboardData';
  document.querySelector('h1').dispatchEvent(new window[Kind](type, { [at]: transfer, bubbles: true }));
}"""


def drop(page, *paths) -> None:
    """Drop files and folders of the disk on the page."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 200, "y": 300, "data": data})


def test_a_folder_a_link_a_text_and_a_model(open_page, tmp_path, weights, download_in_page):
    folder = tmp_path / "all"
    (folder / "inner" / "deep").mkdir(parents=True)
    scene = make_scene(20, 24)
    for i, name in enumerate(("b.png", "inner/a.png", "inner/deep/c.png")):
        Image.fromarray(make_scene(12, 14, i) if i else scene).save(folder / name)
    for name in ("1.txt", "inner/2.txt", ".hidden"):
        (folder / name).write_text("no image")
    page = open_page("x2", "wasm")

    page.evaluate(FAKE, ["DragEvent", "drop", ["text/uri-list", "https://example.org/a.png"]])
    page.wait_for_selector("#status:has-text('A link or a text was dropped, no file; save the image')")
    page.evaluate(FAKE, ["ClipboardEvent", "paste", ["text/plain", "a word"]])
    page.wait_for_selector("#status:has-text('There is no image in the clipboard; copy an image or a file')")

    # The mean over eight orientations is a setting.
    page.click("#settings-button")
    page.check("#tta")
    page.get_by_role("button", name="Done").click()
    drop(page, folder)
    page.wait_for_selector("#queue li:nth-child(3)")
    pictures = page.locator("#queue button:not(#remove)")
    names = pictures.evaluate_all("(buttons) => buttons.map((b) => b.ariaLabel.split(',')[0])")
    assert names == ["b.png", "a.png", "c.png"]
    expected = Upscaler(weights["x2"], tta=True)(scene)
    assert difference(download_in_page(page), expected) <= 1

    write(load_weights("bundled:x2-fast"), tmp_path / "fast.safetensors", "float32")
    drop(page, tmp_path / "fast.safetensors")
    page.wait_for_selector("#chip-model:text('fast.safetensors')")
    page.wait_for_selector("#queue:not(:has(.mark:not([data-state=done]))) li:nth-child(3)")  # announced, too
    (tmp_path / "net.pth").write_bytes(b"...")
    drop(page, tmp_path / "net.pth")
    page.wait_for_selector("#status:has-text('net.pth is read by Python, not here')")
    assert page.inner_text("#status").endswith("fast.safetensors stays in use.")
    assert page.locator("#queue li").count() == 3


def test_what_a_format_loses_is_said(open_page, save_image, tmp_path):
    page = open_page("x2", "wasm")
    pixels = np.dstack([make_scene(12, 14), np.full((12, 14), 128, np.uint8)])
    page.set_input_files("#files", str(save_image(pixels, "glass.png", dpi=(300, 300))))
    page.wait_for_selector("#download:enabled")
    for kind, sentence in (
        ("image/jpeg", "glass.png as JPEG: JPEG has no transparency; what was transparent is white."),
        ("image/webp", "glass.png as WebP: WebP cannot hold the resolution; PNG can."),
    ):
        page.select_option("#format", kind)
        with page.expect_download():
            page.click("#download")
        page.wait_for_function("(text) => document.querySelector('#status').textContent === text", arg=sentence)
