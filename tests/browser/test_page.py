"""The real page: files of every kind, cancelling, choosing, downloading, and what a page must not do."""

import io
import json
import re
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from helpers.browser import AXE, PAGE, PATIENCE, difference, hook_workers, make_scene, open_blank, until


@pytest.fixture
def python_alpha(weights):
    """``(name, HWC uint8 with alpha) -> HWC uint8`` as ``span-upscale`` makes it."""
    from span_keras.images.alpha import bleed, predict_channels

    def upscale(name, pixels):
        network = weights[name].deploy_model()
        predict = lambda tiles: np.asarray(network(np.float32(tiles), training=False))  # noqa: E731
        tiles = bleed(np.float32(pixels) / np.float32(255))[np.newaxis]
        result = predict_channels(predict, tiles, weights[name].config.scale)[0]
        return np.floor(np.clip(result, 0, 1) * 255 + 0.5).astype(np.uint8)

    return upscale


def test_transparency(open_page, save_image, upscale_in_page, python_alpha):
    """Straight alpha in, straight alpha out; colours under full transparency are never seen."""
    pixels = np.dstack([make_scene(26, 22), np.zeros((26, 22), np.uint8)])
    y, x = np.mgrid[0:26, 0:22]
    pixels[..., 3] = np.clip(255 * (8 - np.hypot(y - 12, x - 11)) / 3, 0, 255)
    pixels[pixels[..., 3] == 0] = 0  # black, as most programs leave it
    page = open_page("x2", "wasm", tile=28)
    result = upscale_in_page(page, save_image(pixels, "cut-out.png"))
    expected = python_alpha("x2", pixels)
    assert difference(result, expected) <= 1
    assert set(np.unique(result[:4, :, 3])) == {0}
    assert result[24, 22, 3] == 255


@pytest.mark.parametrize("orientation", [3, 6])
def test_exif_orientation(orientation, open_page, save_image, upscale_in_page, python_upscale):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save_image(make_scene(16, 24), "turned.png", exif=exif)
    upright = np.rot90(make_scene(16, 24), -1 if orientation == 6 else 2)
    result = upscale_in_page(open_page("x2", "wasm"), path)
    assert difference(result, python_upscale("x2", np.ascontiguousarray(upright))) <= 1


def test_colour_profile_is_kept(open_page, save_image, upscale_in_page, python_upscale, tmp_path):
    """Values go through unchanged and the file says what they mean."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # Another primary, so that applying the profile would change the values.
    at = profile.index(b"rXYZ")
    offset = int.from_bytes(profile[at + 4 : at + 8], "big")
    profile[offset + 8 : offset + 12] = int(0.6 * 65536).to_bytes(4, "big")
    for name in ("wide.png", "wide.jpg", "wide.webp"):
        options = {"lossless": True} if name.endswith("webp") else {"quality": 95} if name.endswith("jpg") else {}
        path = save_image(make_scene(16, 20), name, icc_profile=bytes(profile), **options)
        decoded = np.asarray(Image.open(path).convert("RGB"))
        page = open_page("x2", "wasm")
        result = upscale_in_page(page, path)
        assert difference(result, python_upscale("x2", decoded)) <= 1
        assert Image.open(tmp_path / f"{name.split('.')[0]}-x2.png").info["icc_profile"] == bytes(profile)


def test_a_wide_gamut_is_shown_as_such(open_page, save_image):
    """A Display P3 photograph's result is painted on a canvas of that colour space."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    renamed = profile.replace("sRGB built-in".encode("utf-16-be"), "Display P3   ".encode("utf-16-be"))
    assert renamed != profile
    for icc, space in ((renamed, "display-p3"), (profile, "srgb")):
        page = open_page("x2", "wasm")
        page.set_input_files("#files", str(save_image(make_scene(9, 12), "a.png", icc_profile=icc)))
        page.wait_for_selector("#download:enabled")
        canvas = page.get_by_role("img", name="After")
        assert canvas.evaluate("(canvas) => canvas.getContext('2d').getContextAttributes().colorSpace") == space


def test_colours_of_any_profile_are_shown_as_in_the_file(open_page, save_image):
    """A canvas knows two profiles; what it shows of a third must be what the downloaded file shows."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"....").replace(b"bXYZ", b"rXYZ").replace(b"....", b"bXYZ")
    other = swapped.replace("sRGB built-in".encode("utf-16-be"), "Blue is red  ".encode("utf-16-be"))
    page = open_page("x2", "wasm")
    page.set_input_files(
        "#files", str(save_image(np.full((9, 12, 3), (90, 160, 60), np.uint8), "a.png", icc_profile=other))
    )
    page.wait_for_selector("#download:enabled")
    with page.expect_download() as download:
        page.click("#download")
    page.wait_for_selector("[data-pane=after] canvas")
    shown, stored, seen = page.evaluate(
        """async (bytes) => {
          const read = (source) => {
            const context = new OffscreenCanvas(24, 18).getContext('2d');
            context.drawImage(source, 0, 0);
            return [...context.getImageData(12, 9, 1, 1).data];
          };
          const file = new Blob([new Uint8Array(bytes)]);
          const stored = await createImageBitmap(file, { colorSpaceConversion: 'none' });
          const canvas = document.querySelector('[data-pane=after] canvas');
          return [canvas, stored, await createImageBitmap(file)].map(read);
        }""",
        list(download.value.path().read_bytes()),
    )
    assert difference(stored, seen) > 8  # the profile matters
    assert difference(shown, seen) <= 1


@pytest.mark.parametrize("name", ["GIMP built-in Linear sRGB", "Not sRGB", "Display P3 of old"])
def test_a_profile_that_only_mentions_a_colour_space_is_another(name, blank):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    built_in = "sRGB built-in".encode("utf-16-be")
    at = profile.index(built_in)
    text = name.encode("utf-16-be")
    longer = profile + bytes(len(profile) % 2) + text
    start = profile.index(b"mluc")
    assert at - start < 64  # the description comes first
    other = bytearray(longer)
    other[start + 20 : start + 28] = len(text).to_bytes(4, "big") + (len(longer) - len(text) - start).to_bytes(4, "big")
    ask = """async (icc) => {
      const { colorSpaceOf } = await import('/images/color-space.js');
      return colorSpaceOf(new Uint8Array(icc)) ?? 'none';
    }"""
    assert blank.evaluate(ask, list(profile)) == "srgb"
    assert blank.evaluate(ask, list(other)) == "none"


def test_the_description_of_an_old_profile_is_read(blank):
    name = b"sRGB IEC61966-2.1"
    tag = b"desc" + bytes(4) + (len(name) + 1).to_bytes(4, "big") + name + bytes(20)
    profile = (
        bytes(128) + (1).to_bytes(4, "big") + b"desc" + (144).to_bytes(4, "big") + len(tag).to_bytes(4, "big") + tag
    )
    ask = """async (icc) => {
      const { colorSpaceOf } = await import('/images/color-space.js');
      return colorSpaceOf(new Uint8Array(icc)) ?? 'none';
    }"""
    assert blank.evaluate(ask, list(profile)) == "srgb"
    assert blank.evaluate(ask, list(profile[:150])) == "none"


@pytest.mark.parametrize("kind", ["gamma", "grey"])
def test_colours_described_otherwise_than_by_an_rgb_profile_become_srgb(kind, open_page, tmp_path, upscale_in_page):
    """What the result shows is what the browser shows of the file."""
    path = tmp_path / "described.png"
    if kind == "gamma":
        chunks = PngImagePlugin.PngInfo()
        chunks.add(b"gAMA", (100_000).to_bytes(4, "big"))  # linear light
        Image.new("RGB", (12, 9), (60, 60, 60)).save(path, pnginfo=chunks)
    else:
        Image.new("L", (12, 9), 60).save(path, icc_profile=grey_profile(gamma=1))
    page = open_page("x2", "wasm")
    seen = page.evaluate(
        """async (bytes) => {
          const bitmap = await createImageBitmap(new Blob([new Uint8Array(bytes)]));
          const context = new OffscreenCanvas(12, 9).getContext('2d');
          context.drawImage(bitmap, 0, 0);
          return context.getImageData(6, 4, 1, 1).data[0];
        }""",
        list(path.read_bytes()),
    )
    assert seen > 120  # it matters
    read = page.evaluate(
        """async (bytes) => {
          const { decode } = await import('./images/decode.js');
          return (await decode(new Blob([new Uint8Array(bytes)]))).data[0];
        }""",
        list(path.read_bytes()),
    )
    assert abs(read - seen) <= 1


def grey_profile(gamma: float) -> bytes:
    """The least that a grey profile holds: a white point and a curve."""
    white = b"XYZ " + bytes(4) + b"".join(round(v * 65536).to_bytes(4, "big") for v in (0.9642, 1, 0.8249))
    curve = b"curv" + bytes(4) + (1).to_bytes(4, "big") + round(gamma * 256).to_bytes(2, "big") + bytes(2)
    size = 128 + 4 + 2 * 12 + len(white) + len(curve)
    header = bytearray(128)
    header[0:4] = size.to_bytes(4, "big")
    header[8:12] = bytes([2, 0x40, 0, 0])
    header[12:24] = b"mntrGRAYXYZ "
    header[36:40] = b"acsp"
    header[68:80] = white[8:]
    at = 128 + 4 + 2 * 12
    table = (2).to_bytes(4, "big")
    for name, start, tag in ((b"wtpt", at, white), (b"kTRC", at + len(white), curve)):
        table += name + start.to_bytes(4, "big") + len(tag).to_bytes(4, "big")
    return bytes(header) + table + white + curve


@pytest.mark.parametrize("name", ["scene.bmp", "scene.gif", "scene.webp", "scene.avif"])
def test_formats(name, open_page, save_image, upscale_in_page, python_upscale):
    pixels = make_scene(12, 16)
    if name.endswith("avif"):
        pixels[:] = (200, 80, 40)  # a lossy file: one colour survives
    path = save_image(pixels, name, **({"lossless": True} if name.endswith("webp") else {}))
    decoded = np.asarray(Image.open(path).convert("RGB"))
    assert difference(upscale_in_page(open_page("x2", "wasm"), path), python_upscale("x2", decoded)) <= 1


def test_files_that_are_no_images(open_page, tmp_path):
    page = open_page("x2", "wasm")
    for name, content, message in (
        ("empty.png", b"", "empty.png is empty; choose another file."),
        (
            "half.png",
            b"\x89PNG\r\n\x1a\n\0\0",
            "half.png (image/png) is damaged or not an image that this browser reads",
        ),
    ):
        (tmp_path / name).write_bytes(content)
        page.set_input_files("#files", str(tmp_path / name))
        page.wait_for_selector(f"#status:has-text('{message.split(' ')[0]}')")
        assert page.inner_text("#status").startswith(message)
        assert page.get_attribute("html", "data-state") == "ready"
        page.click("#clear")
    (tmp_path / "notes.txt").write_text("hello")
    page.set_input_files("#files", str(tmp_path / "notes.txt"))
    assert page.inner_text("#status") == ("notes.txt is not an image; choose PNG, JPEG, WebP, AVIF, BMP or GIF.")


def test_many_images_and_all_downloads(open_page, save_image, tmp_path, python_upscale):
    scenes = [make_scene(12, 14, seed) for seed in (1, 2, 3)]
    paths = [save_image(scene, f"{i}.png") for i, scene in enumerate(scenes)]
    page = open_page("x2", "wasm")
    focused = "() => document.activeElement.id"
    page.focus("#choose")
    page.set_input_files("#files", [*map(str, paths[:2])])
    page.wait_for_selector("#workspace:visible")
    assert page.evaluate(focused) == "add"
    page.set_input_files("#files", str(paths[2]))
    page.wait_for_selector("#queue li:nth-child(3) .mark:text('✓')")
    with page.expect_download() as download:
        page.click("#download-all")
    download.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["0-x2.png", "1-x2.png", "2-x2.png"]
        for name, scene in zip(archive.namelist(), scenes, strict=True):
            assert difference(Image.open(io.BytesIO(archive.read(name))), python_upscale("x2", scene)) <= 1
    for kind, suffix in (("image/jpeg", "jpg"), ("image/webp", "webp")):
        page.select_option("#format", kind)
        with page.expect_download() as download:
            page.click("#download")
        assert download.value.suggested_filename == f"2-x2.{suffix}"
        download.value.save_as(tmp_path / f"a.{suffix}")
        assert Image.open(tmp_path / f"a.{suffix}").size == (28, 24)
    # Only the result in sight has a canvas of its own.
    canvas = "[data-pane=after] canvas"
    page.wait_for_selector(canvas)

    def packed():
        """It becomes an image some time after it went out of sight."""
        page.click("#queue li:nth-child(3) button")
        page.wait_for_selector("#job-name:text('2.png')")
        page.wait_for_timeout(200)
        page.click("#queue li:nth-child(1) button")
        page.wait_for_selector("#job-name:text('0.png')")
        page.wait_for_timeout(200)
        return page.locator("[data-pane=after] img").count()

    until(page, packed)
    assert page.get_by_role("img", name="After").evaluate("(image) => image.naturalWidth") == 28
    page.click("#clear")
    page.wait_for_selector("#choose:visible")
    assert page.evaluate(focused) == "choose"
    assert page.locator(".pane > *").count() == 0


def test_pasted_and_dropped_images(open_page):
    page = open_page("x2", "wasm")
    for kind, at, count in (("paste", "clipboardData", 1), ("drop", "dataTransfer", 2)):
        page.evaluate(
            """async ([kind, at]) => {
              const canvas = new OffscreenCanvas(9, 7);
              canvas.getContext('2d').fillRect(0, 0, 9, 7);
              const transfer = new DataTransfer();
              transfer.items.add(new File([await canvas.convertToBlob()], 'new.png', { type: 'image/png' }));
              const Kind = kind === 'paste' ? ClipboardEvent : DragEvent;
              document.body.dispatchEvent(new Kind(kind, { [at]: transfer, bubbles: true, cancelable: true }));
            }""",
            [kind, at],
        )
        page.wait_for_selector(f"#queue li:nth-child({count}) .mark:text('✓')")


@pytest.mark.parametrize(("backend", "tile", "side"), [("webgl", 28, 150), ("wasm", 64, 600)])
def test_cancel(backend, tile, side, page, open_page, save_image):
    # A fast backend may be done before the click: the page hears of the first tile only, and of no result before.
    # That the worker stops is for the tests of its modules.
    page.add_init_script(
        """
        window.heard = false;
        window.cancelled = new Promise((resolve) => {
          addEventListener('click', ({ target }) => target.id === 'cancel' && resolve(), true);
        });"""
    )
    hook_workers(
        page,
        incoming="""async ({ event, result }, pass) => {
          if (heard && ['tile', 'progress'].includes(event)) return;
          heard ||= event === 'progress';
          if (result?.tiles) await cancelled;
          pass();
        }""",
    )
    open_page("x2", backend, tile=tile)
    page.set_input_files("#files", str(save_image(make_scene(side, side))))
    page.wait_for_selector("#job-detail:has-text('Tile')")
    page.click("#cancel")
    page.wait_for_selector("#job-detail:text('Cancelled')")
    page.wait_for_selector("[data-pane=after] canvas")
    assert page.get_attribute("html", "data-state") == "ready"
    assert page.is_disabled("#download")
    shown = page.evaluate(
        """() => {
          const canvas = document.querySelector('[data-pane=after] canvas');
          const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
          return data.filter((value, i) => i % 4 === 3 && value).length / (data.length / 4);
        }"""
    )
    assert 0 < shown < 1  # the finished tiles stay visible


HOLD_DECODE = """
window.showSaveFilePicker = () => {};
const { decode } = HTMLImageElement.prototype;
const opened = new Promise((resolve) => (window.open_gate = resolve));
HTMLImageElement.prototype.decode = async function () {
  await opened;
  return decode.call(this);
};"""
"""The page does not know an image's size before the gate is opened, and so not whether its result needs a file."""

HOLD_FILE = """
Object.defineProperty(navigator, 'deviceMemory', { value: 1e-4 });
window.aborted = 0;
const opened = new Promise((resolve) => (window.open_gate = resolve));
const createWritable = async () => new WritableStream({ write: () => opened, abort: () => void aborted++ });
window.showSaveFilePicker = async () => ({ createWritable });"""
"""Every result needs a file, and takes nothing before the gate is opened."""


@pytest.mark.parametrize(("memory", "mark"), [(8, "✓"), (1e-4, "?")])
def test_cancelled_before_it_begins(memory, mark, page, open_page, save_image):
    """While the page finds out whether the result needs a file; the next image has its turn."""
    page.add_init_script(f"Object.defineProperty(navigator, 'deviceMemory', {{ value: {memory} }});" + HOLD_DECODE)
    open_page("x2", "wasm")
    page.set_input_files("#files", [str(save_image(make_scene(40, 44), name)) for name in ("1.png", "2.png")])
    page.click("#cancel")
    page.wait_for_selector("#job-detail:text('Cancelled')")
    page.evaluate("open_gate()")
    page.wait_for_selector(f"#queue li:nth-child(2) .mark:text('{mark}')")
    assert page.inner_text("#queue li:nth-child(1) .mark") == "–"
    assert page.inner_text("#job-detail") == "Cancelled"


def test_a_very_large_result_goes_to_a_file(page, open_page, save_image, python_upscale):
    """On a device with little memory, into the file that the user chooses, row by row."""
    page.add_init_script(
        """
        Object.defineProperty(navigator, 'deviceMemory', { value: 1e-4 });
        window.written = [];
        window.showSaveFilePicker = async ({ suggestedName }) => {
          window.suggested = suggestedName;
          const write = (chunk) => void written.push(chunk);
          return { createWritable: async () => new WritableStream({ write }) };
        };"""
    )
    open_page("x2", "wasm", tile=28)
    pixels = make_scene(40, 44)
    page.set_input_files("#files", str(save_image(pixels, "map.png")))
    page.wait_for_selector("#download:text('Choose file'):enabled")
    assert page.inner_text("#job-detail") == "The result will have 0 million pixels: choose a file for it."
    assert page.inner_text("#status") == page.inner_text("#job-detail")
    page.click("#settings-button")
    page.fill("#model-url", "models/none/model.json")
    page.click("#model-fetch")
    page.wait_for_selector("#problem:has-text('was not found')")
    page.wait_for_selector("#download:text('Download'):disabled", state="attached")  # for want of a model
    page.problems[:] = [text for text in page.problems if "404" not in text]
    page.click("#settings button:text('Done')")
    choose_model(page, "x3-official")  # the result becomes another one
    page.click("#download:text('Choose file')")
    page.wait_for_selector("#job-detail:has-text(', written')")
    assert page.is_disabled("#download")
    assert page.evaluate("window.suggested") == "map-x3.png"
    content = page.evaluate("async () => [...new Uint8Array(await new Blob(written).arrayBuffer())]")
    assert difference(Image.open(io.BytesIO(bytes(content))), python_upscale("x3-official", pixels)) <= 1


def choose_model(page, name: str):
    page.click("#settings-button")
    page.wait_for_selector(f"#model option:text('{name}')", state="attached")
    page.select_option("#model", label=name)
    page.click("#settings button:text('Done')")
    page.wait_for_selector(f"html[data-state=ready] #chip-model:text('{name}')", state="attached")


def test_files_for_large_results_that_are_not_to_be_had_or_not_wanted(page, open_page, save_image):
    page.add_init_script(HOLD_FILE)
    open_page("x2", "wasm")
    paths = [str(save_image(make_scene(40, 44), f"{i}.png")) for i in (1, 2)]
    page.set_input_files("#files", paths)
    page.click("#download:text('Choose file')")
    page.wait_for_selector("html[data-state=busy]")
    page.click("#queue li:nth-child(2) button")
    page.click("#download:text('Choose file')")
    page.wait_for_selector("#job-detail:text('Waiting')")
    page.click("#cancel")
    page.wait_for_function("() => aborted === 1")
    page.click("#clear")
    page.evaluate("() => open_gate()")
    page.wait_for_selector("html[data-state=ready]")
    # A frame of another site may not ask for files.
    page.evaluate("() => { showSaveFilePicker = async () => { throw new DOMException('No.', 'SecurityError'); }; }")
    page.set_input_files("#files", paths[0])
    page.click("#download:text('Choose file')")
    page.wait_for_selector("#job-detail:has-text('88 × 80 in')")
    page.wait_for_selector("#download:text('Download'):enabled")


def test_an_image_goes_on_with_the_next_model(page, open_page, save_image, python_upscale, download_in_page):
    # A fast backend may be done before the other model is chosen: the page hears of no result before.
    page.add_init_script("window.chosen = new Promise((resolve) => (window.open_gate = resolve));")
    hook_workers(
        page,
        incoming="""async ({ result }, pass) => {
          if (result?.tiles) await chosen;
          pass();
        }""",
    )
    open_page("x2", "wasm", tile=64)
    pixels = make_scene(200, 220)
    page.set_input_files("#files", str(save_image(pixels)))
    page.wait_for_selector("#job-detail:has-text('Tile')")
    page.click("#settings-button")
    page.wait_for_selector("#model option:text('x3-official')", state="attached")
    page.select_option("#model", label="x3-official")
    page.wait_for_selector("#chip-model:text('x3-official')", state="attached")
    page.click("#settings button:text('Done')")
    page.evaluate("() => open_gate()")
    assert difference(download_in_page(page), python_upscale("x3-official", pixels)) <= 1


def test_running_an_image_again_and_removing_it(open_page, save_image, python_upscale, download_in_page):
    """After another model came, after a cancel, and after a failure that is over."""
    page = open_page("x2", "wasm")
    scenes = [make_scene(12, 14, seed) for seed in (1, 2, 3)]
    page.set_input_files("#files", [str(save_image(scene, f"{i}.png")) for i, scene in enumerate(scenes)])
    page.wait_for_selector("#queue li:nth-child(3) .mark:text('✓')")
    choose_model(page, "x3-official")
    assert page.inner_text("#job-detail").startswith("28 × 24 in")
    page.focus("#again")
    page.keyboard.press("Enter")
    page.wait_for_selector("#job-detail:has-text('42 × 36 in')")
    assert page.evaluate("() => document.activeElement.id") in ("again", "cancel")
    assert difference(download_in_page(page), python_upscale("x3-official", scenes[0])) <= 1

    page.click("#queue li:nth-child(2) button")
    page.click("#remove")
    page.wait_for_selector("#job-name:text('2.png')")  # its neighbour comes into sight
    page.click("#remove")
    page.wait_for_selector("#job-name:text('0.png')")
    assert page.locator("#queue li").count() == 1
    assert difference(download_in_page(page), python_upscale("x3-official", scenes[0])) <= 1
    page.click("#remove")
    page.wait_for_selector("#choose:visible")
    assert page.evaluate("() => document.activeElement.id") == "choose"


def test_running_again_what_was_cancelled_or_failed(page, open_page, save_image, python_upscale, download_in_page):
    page.add_init_script("window.failing = true;" + HOLD_DECODE)
    hook_workers(
        page,
        outgoing="""(message, pass) => {
          if (message.method === 'upscale' && failing) message.argument.source = new Blob();
          pass();
        }""",
    )
    open_page("x2", "wasm")
    pixels = make_scene(12, 14)
    page.set_input_files("#files", str(save_image(pixels)))
    page.wait_for_selector("#again:disabled")
    page.click("#cancel")
    page.click("#again")
    page.wait_for_selector("#cancel:enabled")
    page.evaluate("() => open_gate()")
    page.wait_for_selector("#job-detail:has-text('is empty')")
    page.evaluate("() => void (failing = false)")
    page.click("#again")
    assert difference(download_in_page(page), python_upscale("x2", pixels)) <= 1


def test_a_result_stays_until_another_replaces_it(page, open_page, save_image, python_upscale, download_in_page):
    page.add_init_script("Object.assign(window, { held: [], holding: false });")
    hook_workers(page, outgoing="({ method }, pass) => (method === 'upscale' && holding ? held.push(pass) : pass())")
    open_page("x2", "wasm")
    pixels = make_scene(12, 14)
    page.set_input_files("#files", str(save_image(pixels)))
    page.wait_for_selector("#download:enabled")
    choose_model(page, "x3-official")
    page.evaluate("() => void (holding = true)")
    page.click("#again")
    page.wait_for_selector("#job-detail:text('Reading')")
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "scene-x2.png"
    page.click("#cancel")
    page.evaluate("() => held.shift()()")
    page.wait_for_selector("#job-detail:text('Cancelled')")
    assert difference(download_in_page(page), python_upscale("x2", pixels)) <= 1
    assert page.get_by_role("img", name="After").evaluate("(canvas) => canvas.width") == 28
    page.evaluate("() => void (holding = false)")
    page.click("#again")
    page.wait_for_selector("#job-detail:has-text('42 × 36 in')")
    assert difference(download_in_page(page), python_upscale("x3-official", pixels)) <= 1
    page.wait_for_selector("[data-pane=after] canvas[width='42']")


def test_removing_what_is_under_way(page, open_page, save_image):
    """The next image has its turn, and the file that was chosen for one that waits is given up."""
    page.add_init_script(HOLD_FILE)
    open_page("x2", "wasm")
    page.set_input_files("#files", [str(save_image(make_scene(40, 44), f"{i}.png")) for i in (1, 2, 3)])
    page.wait_for_selector("#queue li:nth-child(3) .mark:text('?')")
    page.click("#download:text('Choose file')")
    page.wait_for_selector("html[data-state=busy]")
    page.click("#queue li:nth-child(2) button")
    page.click("#download:text('Choose file')")
    page.wait_for_selector("#job-detail:text('Waiting')")
    page.click("#remove")
    page.wait_for_function("() => aborted === 1")
    page.wait_for_selector("#job-name:text('3.png')")
    page.click("#queue li:nth-child(1) button")
    page.wait_for_selector("#job-name:text('1.png')")
    page.click("#remove")
    page.evaluate("() => open_gate()")
    page.wait_for_selector("html[data-state=ready]")
    assert page.inner_text("#status") == "1.png was cancelled."
    page.wait_for_selector("#job-name:text('3.png')")
    page.wait_for_selector("#download:text('Choose file')")
    assert page.locator("#queue li").count() == 1


def test_the_page_stays_responsive(page, open_page, save_image):
    """The page's own thread does none of the work: its timers go on between the tiles."""
    page.add_init_script("Object.assign(window, { ticks: 0, told: [] }); setInterval(() => ticks++);")
    hook_workers(page, incoming="({ event }, pass) => (event === 'progress' && told.push(ticks), pass())")
    open_page("x2", "webgl", tile=28)
    page.set_input_files("#files", str(save_image(make_scene(300, 300))))
    ticked = "told.length > 1 && told.at(-1) > told[0]"  # fast tiles may come together
    until(page, lambda: page.evaluate(ticked) or page.is_enabled("#download"))
    assert page.evaluate(ticked)
    assert page.evaluate("typeof tf") == "undefined"
    assert len(page.workers) == 1


def test_a_lost_context_on_the_page(open_page, save_image, upscale_in_page, python_upscale):
    page = open_page("x2", "webgl")
    (worker,) = page.workers
    worker.evaluate("tf.backend().gpgpu.gl.getExtension('WEBGL_lose_context').loseContext()")
    pixels = make_scene(20, 24)
    assert difference(upscale_in_page(page, save_image(pixels)), python_upscale("x2", pixels)) <= 1
    page.click("#settings-button")
    assert "tiles of" in page.inner_text("#reasons")


def test_models_from_everywhere(page, models, site):
    page.goto(f"{site.url}/?backend=wasm")
    page.wait_for_selector("html[data-state=ready]")
    assert page.text_content("#settings-button").strip() == "x2WebAssembly"  # the first of models.json
    page.click("#settings-button")
    page.wait_for_selector("#model option:text('x3-official')", state="attached")
    page.select_option("#model", label="x3-official")
    page.wait_for_selector("#status:has-text('enlarges 3 times')")
    page.set_input_files("#model-input", [str(path) for path in (models / "x2").iterdir()])
    page.wait_for_selector("#status:has-text('enlarges 2 times')")
    page.set_input_files("#model-input", str(models / "x2" / "model.json"))
    page.wait_for_selector("#problem:has-text('choose both files together')")
    page.fill("#model-url", f"{site.url}/models/x3-official/model.json")
    page.click("#model-fetch")
    page.wait_for_selector("#status:has-text('enlarges 3 times')")
    assert page.inner_text("#problem") == ""
    page.fill("#model-url", "models/none/model.json")
    page.press("#model-url", "Enter")
    page.wait_for_selector("#problem:has-text('was not found')")
    page.fill("#model-url", "models/x2/model.json")
    page.press("#model-url", "Enter")
    page.wait_for_selector("#status:has-text('enlarges 2 times')")
    page.click("#settings button:text('Done')")
    page.wait_for_selector("#settings", state="hidden")
    page.click("#settings-button")
    page.problems[:] = [text for text in page.problems if "404" not in text]
    page.select_option("#backend", "cpu")
    page.wait_for_selector("html[data-backend=cpu][data-state=ready]")


def test_a_model_still_under_way_gives_way_to_the_next(page, site):
    asked = []
    page.route("**/models/x2/model.json", lambda route: asked.append(route))  # never answered
    page.goto(f"{site.url}/?backend=wasm")
    until(page, lambda: asked)
    page.click("#settings-button")
    page.wait_for_selector("#model option:text('x3-official')", state="attached")
    page.select_option("#model", label="x3-official")
    page.wait_for_selector("#status:has-text('enlarges 3 times')")
    # WebAssembly has more, for threads.
    until(page, lambda: sum(worker.url.endswith("/worker.js") for worker in page.workers) == 1)


def test_a_backend_chosen_before_the_list_of_models_is_there(page, site, models):
    asked = []
    page.route("**/models.json", lambda route: asked.append(route))
    page.goto(site.url)
    page.click("#settings-button")
    page.select_option("#backend", "cpu")
    page.wait_for_selector("html[data-state=error]")  # there is no model.json beside this page
    for route in asked:
        route.fulfill(path=models / "models.json")
    page.wait_for_selector("html[data-backend=cpu][data-state=ready]")
    assert page.text_content("#chip-model") == "x2"
    page.problems[:] = [text for text in page.problems if "404" not in text]


def test_absurd_values_in_the_address_are_passed_over(open_page, save_image, upscale_in_page, python_upscale):
    page = open_page("x2", "nonsense", tile=28.5)
    pixels = make_scene(40, 44)
    assert difference(upscale_in_page(page, save_image(pixels)), python_upscale("x2", pixels)) <= 1
    page.click("#settings-button")
    page.wait_for_selector("#model option", state="attached")
    assert page.input_value("#backend") == "auto"


def test_the_address_changes_the_view_of_an_open_page(open_page):
    page = open_page("x2", "wasm")
    page.evaluate("() => void (location.hash = 'measure')")
    page.wait_for_selector("#measure-choose")
    assert page.get_attribute("#tab-measure", "aria-selected") == "true"


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
    page.fill("#train-vggWeight", "0")
    page.click("[data-do=start]")
    page.wait_for_selector("#train-problem:has-text('aaa')")
    assert page.evaluate(too_wide) <= 0


def test_a_wrong_model_file_does_not_disturb_the_model_that_is_read(open_page, models):
    page = open_page("x2", "wasm")
    page.evaluate(
        """() => {
          const { text } = Blob.prototype;
          const opened = new Promise((resolve) => (window.open_gate = resolve));
          Blob.prototype.text = async function () {
            await opened;
            return text.call(this);
          };
        }"""
    )
    files = sorted((models / "x3-official").iterdir(), key=lambda path: path.suffix)
    page.click("#settings-button")
    page.set_input_files("#model-input", [str(path) for path in files])
    page.set_input_files("#model-input", str(files[0]))
    page.wait_for_selector("#status:has-text('Choose one model.json together with its .bin files')")
    page.evaluate("open_gate()")
    page.wait_for_selector("#status:has-text('enlarges 3 times')")
    assert page.inner_text("#chip-model") == "model.json"


def test_the_model_chosen_last_stays_where_another_is_read_later(open_page, models):
    page = open_page("x2", "wasm")
    page.evaluate(
        """() => {
          const { arrayBuffer } = Blob.prototype;
          const opened = new Promise((resolve) => (window.open_gate = resolve));
          Blob.prototype.arrayBuffer = async function () {
            Blob.prototype.arrayBuffer = arrayBuffer; // the first to be read waits
            window.waiting = true;
            await opened;
            const read = await arrayBuffer.call(this);
            setTimeout(() => (window.was_read = true));
            return read;
          };
        }"""
    )
    page.click("#settings-button")
    page.set_input_files("#model-input", [str(path) for path in (models / "x3-official").iterdir()])
    page.wait_for_function("() => window.waiting")
    page.set_input_files("#model-input", [str(path) for path in (models / "x2").iterdir()])
    page.wait_for_selector("html[data-state=ready] #chip-model:has-text('model.json')")
    page.evaluate("open_gate()")
    page.wait_for_function("() => window.was_read")
    assert page.get_attribute("html", "data-state") == "ready"
    assert "enlarges 2 times" in page.inner_text("#status")


def test_a_model_that_is_not_there(page, site):
    page.goto(f"{site.url}/?model=/models/none/model.json")
    page.wait_for_selector("html[data-state=error]")
    address = f"{site.url}/models/none/model.json"
    assert page.inner_text("#status") == f"{address} was not found (status 404); check the address."
    page.problems[:] = [text for text in page.problems if "404" not in text]


def test_an_address_of_a_folder_that_holds_a_page(page, site):
    page.route(f"{site.url}/somewhere/", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
    page.goto(f"{site.url}/?model=/somewhere/")
    page.wait_for_selector("html[data-state=error]")
    assert page.inner_text("#status").startswith(f"{site.url}/somewhere/ is not JSON; expected the model.json")


TRAINING = """
export const mountTraining = (root, context) => {
  Object.assign(window, { context, names: [context.getName()] });
  return { show() {}, hide() {}, modelChanged: (name) => names.push(name) };
};"""


def test_views_that_cannot_be_loaded_and_models_that_cannot_be_used(page, site):
    """The training view can be opened again; it hears of every model, and whether the page could use its own."""
    # Some servers answer with their start page where there is no file.
    page.route("**/models.json", lambda route: route.fulfill(path=PAGE / "index.html"))
    page.route("**/train/view/view.js", lambda route: route.abort())
    page.goto(f"{site.url}/?backend=wasm")
    page.wait_for_selector("html[data-state=error]")
    assert page.inner_text("#status") == f"{site.url}/model.json was not found (status 404); check the address."
    page.click("#tab-train")
    page.wait_for_selector("#status:has-text('train/view/view.js')")
    page.route("**/train/view/view.js", lambda route: route.fulfill(body=TRAINING, content_type="text/javascript"))
    page.click("#tab-train")
    page.wait_for_function("() => window.context")
    used = page.evaluate(
        """async () => {
          const { fetchModel } = await import('/network/model.js');
          const artifacts = await fetchModel('/models/x2/model.json');
          const broken = { ...artifacts, weightSpecs: [] };
          const good = await context.setModel({ name: 'good', artifacts });
          return [good, await context.setModel({ name: 'bad', artifacts: broken })];
        }"""
    )
    assert used == [True, False]
    assert page.evaluate("() => names") == ["Default model", "good", "bad", "bad"]
    page.problems.clear()  # the browser reports what was not there


def test_automatic_choice(open_page):
    """On this machine's software GPU, WebAssembly wins; the page says why."""
    page = open_page("x2", "auto")
    backend = page.get_attribute("html", "data-backend")
    assert backend in ("webgpu", "webgl", "wasm")
    page.click("#settings-button")
    reasons = page.inner_text("#reasons")
    if backend != "webgpu":
        assert re.search(r"WebGPU is not used: slower here than \S+ \(\d+ ms against \d+ ms\)\.", reasons)


def test_measuring(open_page, save_image):
    from span_keras.images.bicubic import downscale, upscale
    from span_keras.images.metrics import evaluate_pair

    hr = make_scene(53, 60)
    page = open_page("x2", "wasm")
    page.click("#tab-measure")
    for name in ("webgpu", "webgl"):
        page.uncheck(f"#measure input[value={name}]")
    page.set_input_files("#measure-file", str(save_image(hr)))
    page.click("#measure-start")
    page.wait_for_selector("#measure-start:enabled")
    rows = page.locator("#measure-rows tr").all_inner_texts()
    cropped = hr[:52]
    expected = evaluate_pair(upscale(downscale(cropped, 2), 2), cropped, 2)
    assert rows[0].split("\t")[:4] == [
        "Bicubic",
        f"{expected['psnr_y']:.2f} dB",
        f"{expected['ssim_y']:.4f}",
        f"{expected['psnr_rgb']:.2f} dB",
    ]
    assert rows[1].startswith("SPAN on WebAssembly")
    assert re.match(r"30 × 26 to 60 × 52: [\d.]+ dB (better|worse) than bicubic\.", page.inner_text("#measure-state"))
    page.set_input_files("#measure-file", str(save_image(np.full((40, 40, 3), 90, np.uint8), "flat.png")))
    page.focus("#measure-start")
    page.keyboard.press("Enter")
    page.wait_for_selector("#measure-rows td:text('100.00 dB')")  # bicubic gives a flat photograph back exactly
    page.wait_for_selector("#measure-start:enabled")
    assert page.evaluate("() => document.activeElement.id") == "measure-start"
    assert re.match(r"20 × 20 to 40 × 40: [\d.]+ dB worse than bicubic\.", page.inner_text("#measure-state"))


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


def test_only_its_own_files(open_page, page, site, save_image):
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    open_page("x2", "wasm")
    page.set_input_files("#files", str(save_image(make_scene(9, 9))))
    page.wait_for_selector("#download:enabled")
    for tab in ("measure", "train", "upscale"):
        page.click(f"#tab-{tab}")
    page.wait_for_timeout(500)
    foreign = [url for url in requests if not url.startswith((site.url, "blob:", "data:"))]
    assert requests
    assert foreign == []
    policy = page.locator("meta[http-equiv=Content-Security-Policy]").get_attribute("content")
    assert "unsafe-inline" not in policy
    assert "'unsafe-eval'" not in policy
    page.problems[:] = [text for text in page.problems if "404" not in text]  # training asks for optional files


@pytest.mark.parametrize("genuine", [True, False])
def test_without_vendored_libraries(genuine, page, open_page, save_image):
    """The pinned copies of the content delivery network are used, and only if their bytes are the expected ones."""
    asked = []

    def deliver(route):
        path = re.sub(r"@[\d.]+/", "/", route.request.url.removeprefix("https://cdn.jsdelivr.net/npm/"))
        asked.append(path)
        content = (PAGE / "node_modules" / path).read_bytes() + (b"" if genuine else b"\n")
        kind = "application/wasm" if path.endswith("wasm") else "text/javascript"
        route.fulfill(body=content, content_type=kind, headers={"Access-Control-Allow-Origin": "*"})

    page.route("**/vendor/**", lambda route: route.fulfill(status=404))
    page.route("https://cdn.jsdelivr.net/**", deliver)
    open_page("x2", "wasm")
    assert any("tfjs-core" in path for path in asked)
    if genuine:
        page.set_input_files("#files", str(save_image(make_scene(9, 12))))
        page.wait_for_selector("#download:enabled")
        assert any(path.endswith(".wasm") for path in asked)
        with page.expect_download() as download:
            page.click("#download-all")
        with zipfile.ZipFile(download.value.path()) as archive:
            assert archive.namelist() == ["scene-x2.png"]
        assert asked[-1] == "client-zip/index.js"
    else:
        assert page.get_attribute("html", "data-state") == "error"
        assert "could not be loaded; check the connection, or put the file into vendor/" in page.inner_text("#status")
    page.problems.clear()  # the browser reports what was not there


def test_an_altered_archiver_is_refused(page, open_page, save_image):
    altered = (PAGE / "vendor" / "client-zip.js").read_bytes() + b"\n"
    headers = {"Access-Control-Allow-Origin": "*", "Content-Type": "text/javascript"}
    page.route("**/vendor/client-zip.js", lambda route: route.fulfill(status=404))
    page.route("https://cdn.jsdelivr.net/**", lambda route: route.fulfill(body=altered, headers=headers))
    open_page("x2", "wasm")
    page.set_input_files("#files", str(save_image(make_scene(9, 12))))
    page.click("#download-all")
    page.wait_for_selector("#status:has-text('client-zip@2.5.1/index.js could not be loaded')")
    page.problems.clear()  # the browser reports what was not there


def test_the_example_takes_a_file_before_its_model_is_there(page, site, models, save_image):
    weights = next((models / "x2").glob("*.bin"))
    page.route(f"**/{weights.name}", lambda route: route.fulfill(path=weights))
    waiting = []
    page.route("**/model.json", lambda route: waiting.append(route))
    page.goto(f"{site.url}/example.html")
    page.set_input_files("input", str(save_image(make_scene(9, 12))))
    until(page, lambda: waiting)
    waiting[0].fulfill(path=models / "x2" / "model.json")
    page.wait_for_selector("img[src^=blob]")
    assert page.locator("img").evaluate("async (image) => (await image.decode(), image.naturalWidth)") == 24


@pytest.fixture
def folder(site, models, photographs, tmp_path) -> str:
    """Address of the page in a folder of the site, with all that an export puts beside it."""
    beside = {"models": models, "models.json": models / "models.json", "samples": photographs}
    beside["perceptual"] = models / "x3-official"  # any model will do
    for path in PAGE.iterdir():
        if path.name != "node_modules":
            beside[path.name] = path
    (tmp_path / "page").mkdir()
    for name, path in beside.items():
        (tmp_path / "page" / name).symlink_to(path)
    site.mounts["folder"] = tmp_path / "page"
    yield f"{site.url}/folder/"
    del site.mounts["folder"]


KEPT = """async (urls) => {
  const isKept = async (url) => Boolean(await (await caches.open('span-1')).match(url));
  const registration = await navigator.serviceWorker.getRegistration();
  return registration?.active?.state === 'activated' && (await Promise.all(urls.map(isKept))).every(Boolean);
}"""
"""Whether the service worker is at work and has kept all that it is to keep."""


@pytest.mark.parametrize(
    ("address", "model"),
    [
        ("", "models/x2"),  # the first of models.json
        ("index.html?model=models/x3-official/model.json", "models/x3-official"),
        ("?model=/models/x3-official/model.json", "/models/x3-official"),  # beyond the page's folder
    ],
)
def test_works_offline_after_one_visit(address, model, chromium, site, folder, models, save_image):
    context = chromium.new_context()
    context.set_default_timeout(PATIENCE)
    page = open_blank(context.new_page(), site)
    page.evaluate("caches.open('span-0')")  # of an earlier version
    address = f"{folder}{address}{'&' if '?' in address else '?'}backend=wasm"
    page.goto(address)
    page.wait_for_selector("html[data-state=ready]")
    weights = next((models / model.split("/")[-1]).glob("*.bin")).name
    kept = ["./", "main.js", f"{model}/model.json", f"{model}/{weights}"]
    until(page, lambda: page.evaluate(KEPT, kept))
    assert page.evaluate("caches.keys()") == ["span-1"]
    context.set_offline(True)
    asked = len(site.requests)
    page.goto(address)
    page.wait_for_selector("html[data-state=ready]")
    page.set_input_files("#files", str(save_image(make_scene(9, 9))))
    page.wait_for_selector("#download:enabled")
    page.click("#tab-train")
    page.wait_for_selector("#train-photographs-text:text('6 photographs bundled with the page.')")
    (features,) = (path.name for path in (models / "x3-official").glob("*.bin"))
    needed = ["samples/photo-0.png", "perceptual/model.json", f"perceptual/{features}"]
    there = "(urls) => Promise.all(urls.map(async (url) => (await fetch(url)).ok))"
    assert page.evaluate(there, needed) == [True] * 3
    assert set(site.requests[asked:]) <= {"/folder/sw.js"}  # the browser's own look for an update
    context.close()


def test_the_service_worker_knows_every_file(page, site):
    files = re.search(r"const FILES = \[(.*?)\]", (PAGE / "sw.js").read_text(), re.DOTALL)[1]
    named = set(re.findall(r"'([\w./-]+\.\w+)'", files))
    own = {path.name for path in PAGE.glob("*.js")} - {"sw.js", "example.js"}
    for folder in ("engine", "images", "network", "storage", "train", "ui"):
        files = [path for path in (PAGE / folder).rglob("*") if path.suffix in (".js", ".css")]
        own |= {path.relative_to(PAGE).as_posix() for path in files}
    assert own - named == set()
    vendored = {f"vendor/{path.name}" for path in (PAGE / "vendor").iterdir() if path.suffix in (".js", ".wasm")}
    assert vendored - named == set()
    assert {name for name in named if not (PAGE / name).exists()} == set()


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
    for tab, complete in (("measure", "#measure h2"), ("train", "#train[data-phase=idle]")):
        page.click(f"#tab-{tab}")
        page.wait_for_selector(complete)
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


def test_hashes_are_those_of_the_pinned_packages():
    """The CDN copies are the vendored files."""
    import base64
    import hashlib

    lock = json.loads((PAGE / "package-lock.json").read_text())["packages"]
    text = (PAGE / "engine/libraries.js").read_text()
    path = r"path: '((?:@[\w-]+/)?[\w.-]+)@([\d.]+)/(\S+)'"
    entries = re.findall(path + r",\s+(?:file: '(\S+)',\s+)?integrity: 'sha384-(\S+)'", text)
    assert len(entries) == 11
    for package, version, place, file, digest in entries:
        assert lock[f"node_modules/{package}"]["version"] == version
        content = (PAGE / "vendor" / (file or place.split("/")[-1])).read_bytes()
        assert base64.b64encode(hashlib.sha384(content).digest()).decode() == digest
