"""What the page makes of files: formats, colours, transparency, and what is no image."""

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from helpers.browser import difference, make_scene


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


@pytest.mark.parametrize(("orientation", "kind"), [(3, "png"), (6, "webp")])
def test_exif_orientation(orientation, kind, open_page, save_image, upscale_in_page, python_upscale):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save_image(make_scene(16, 24), f"turned.{kind}", exif=exif, **({"lossless": True} if kind == "webp" else {}))
    upright = np.rot90(make_scene(16, 24), -1 if orientation == 6 else 2)
    page = open_page("x2", "wasm")
    result = upscale_in_page(page, path)
    for shown in ("[data-pane=before] img", "#queue img"):
        assert page.eval_on_selector(shown, "({ naturalWidth: x, naturalHeight: y }) => [y, x]") == [*upright.shape[:2]]
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
def test_a_profile_that_only_mentions_a_colour_space_is_another(name, shared_blank):
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
    assert shared_blank.evaluate(ask, list(profile)) == "srgb"
    assert shared_blank.evaluate(ask, list(other)) == "none"


def test_the_description_of_an_old_profile_is_read(shared_blank):
    name = b"sRGB IEC61966-2.1"
    tag = b"desc" + bytes(4) + (len(name) + 1).to_bytes(4, "big") + name + bytes(20)
    profile = (
        bytes(128) + (1).to_bytes(4, "big") + b"desc" + (144).to_bytes(4, "big") + len(tag).to_bytes(4, "big") + tag
    )
    ask = """async (icc) => {
      const { colorSpaceOf } = await import('/images/color-space.js');
      return colorSpaceOf(new Uint8Array(icc)) ?? 'none';
    }"""
    assert shared_blank.evaluate(ask, list(profile)) == "srgb"
    assert shared_blank.evaluate(ask, list(profile[:150])) == "none"


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
            "half.png is cut off: a part of its picture is missing; fetch the file again.",
        ),
    ):
        (tmp_path / name).write_bytes(content)
        page.set_input_files("#files", str(tmp_path / name))
        page.wait_for_selector(f"#status:has-text('{message.split(' ')[0]}')")
        assert page.inner_text("#status").startswith(message)
        assert page.get_attribute("html", "data-state") == "ready"
        page.click("#remove")
    (tmp_path / "notes.txt").write_text("hello")
    page.set_input_files("#files", str(tmp_path / "notes.txt"))
    assert page.inner_text("#status") == ("notes.txt is not an image; choose PNG, JPEG, WebP, AVIF, BMP or GIF.")
