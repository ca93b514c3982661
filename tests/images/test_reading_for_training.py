"""What training reads of a file: 8-bit RGB, upright and over white, of every kind of file."""

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps, PngImagePlugin

from helpers.image_files import few_bits, png_bytes, tiff_bytes
from span_keras.errors import ImageError
from span_keras.images.folders import image_files
from span_keras.images.formats import READABLE
from span_keras.images.open import opened
from span_keras.images.read import read_image
from span_keras.images.samples import rgb_over_white

HEIGHT, WIDTH = 20, 30


def read(path) -> np.ndarray:
    with opened(path) as image:
        return np.asarray(rgb_over_white(image))


def by_pillow(path) -> np.ndarray:
    """The same with Pillow's own conversions, one after the other."""
    with Image.open(path) as image:
        image = ImageOps.exif_transpose(image)
        if image.mode in ("I;16", "I"):
            image = Image.fromarray(np.uint8(np.asarray(image) / 257 + 0.5))
        elif image.mode == "F":
            image = Image.fromarray(np.uint8(np.asarray(image) * 255 + 0.5))
        if image.has_transparency_data:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, (255, 255, 255, 255))
            image = Image.alpha_composite(white, image)
        return np.asarray(image.convert("RGB"))


def colours() -> np.ndarray:
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    smooth = np.stack([8 * rows + columns, 5 * columns + 20, 250 - 7 * rows], -1)
    return np.uint8(smooth + np.random.default_rng(0).integers(-5, 6, smooth.shape)).clip(3, 250)


def image_of(mode: str) -> Image.Image:
    image = Image.fromarray(colours())
    if mode == "RGBA":
        image.putalpha(Image.fromarray(np.uint8(np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 256)))
    elif mode == "LA":
        return image_of("RGBA").convert("LA")
    elif mode == "P":
        return image.quantize(20)
    elif mode == "I;16":
        return Image.fromarray(np.uint16(colours()[..., 0]) * 251)
    elif mode == "I":
        return Image.fromarray(np.int32(colours()[..., 0]) * 251)
    elif mode == "F":
        return Image.fromarray(np.float32(colours()[..., 0]) / 255)
    return image if mode == "RGBA" else image.convert(mode)


@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        *((f"a{suffix}", "RGB", {}) for suffix in READABLE),
        ("a.png", "1", {}),
        ("a.png", "L", {}),
        ("a.png", "LA", {}),
        ("a.png", "P", {}),
        ("a.png", "P", {"transparency": 3}),
        ("a.png", "L", {"transparency": 60}),
        ("a.png", "RGBA", {}),
        ("a.png", "I;16", {}),
        ("a.tif", "I;16", {"compression": "tiff_lzw"}),
        ("a.tif", "I", {}),
        ("a.tif", "F", {}),
        ("a.tif", "CMYK", {}),
        ("a.tif", "RGBA", {"compression": "tiff_adobe_deflate"}),
        ("a.jpg", "L", {}),
        ("a.jpg", "CMYK", {}),
        ("a.webp", "RGBA", {"lossless": True}),
        ("a.gif", "P", {"transparency": 2}),
        ("a.bmp", "P", {}),
    ],
)
def test_every_kind_of_file_is_what_pillow_makes_of_it(tmp_path, name, mode, options):
    image_of(mode).save(tmp_path / name, **options)
    found = read(tmp_path / name)
    assert found.shape == (HEIGHT, WIDTH, 3) and found.dtype == np.uint8
    np.testing.assert_array_equal(found, by_pillow(tmp_path / name))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("name", "mode"), [("a.jpg", "RGB"), ("a.png", "I;16"), ("a.webp", "RGBA")])
def test_upright_whatever_the_orientation(tmp_path, name, mode, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image_of(mode).save(tmp_path / name, exif=exif)
    found = read(tmp_path / name)
    np.testing.assert_array_equal(found, by_pillow(tmp_path / name))
    # The commands turn arrays, training turns images: both to the same side.
    assert (
        found.shape[:2]
        == read_image(tmp_path / name).samples.shape[:2]
        == ((HEIGHT, WIDTH) if orientation < 5 else (WIDTH, HEIGHT))
    )
    if mode == "RGB":
        np.testing.assert_array_equal(found, read_image(tmp_path / name).samples)


def test_upright_by_exif_in_a_text_of_a_png(tmp_path):
    """So ImageMagick writes it."""
    exif, text = Image.Exif(), PngImagePlugin.PngInfo()
    exif[ExifTags.Base.Orientation] = 6
    data = exif.tobytes()
    text.add_text("Raw profile type exif", f"\nexif\n{len(data):8}\n{data.hex()}\n")
    image_of("RGB").save(tmp_path / "a.png", pnginfo=text)
    found = read(tmp_path / "a.png")
    assert found.shape == (WIDTH, HEIGHT, 3)
    np.testing.assert_array_equal(found, read_image(tmp_path / "a.png").samples)


def test_16_bit_colours_lose_their_lower_byte(tmp_path):
    deep = np.uint16(colours()) * 256 + 77
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    (tmp_path / "a.png").write_bytes(png_bytes((WIDTH, HEIGHT, 16, 2, 0, 0, 0), rows))
    (tmp_path / "a.tif").write_bytes(tiff_bytes(deep))
    for name in ("a.png", "a.tif"):
        np.testing.assert_array_equal(read(tmp_path / name), colours())


def test_what_pillow_alone_gets_wrong(tmp_path):
    grey = colours()[..., :1]
    (tmp_path / "inverted.tif").write_bytes(tiff_bytes(65535 - grey * np.uint16(257), photometric=0))
    np.testing.assert_array_equal(read(tmp_path / "inverted.tif"), grey.repeat(3, 2))
    (tmp_path / "few.png").write_bytes(few_bits(4, 5))
    np.testing.assert_array_equal(read(tmp_path / "few.png")[0, :, 0], [17 * v if v != 5 else 255 for v in range(16)])


def test_values_of_unknown_range_are_refused(tmp_path):
    Image.fromarray(np.full((4, 4), 70_000, np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match="has values beyond 16 bits, or 1 in floating point"):
        read(tmp_path / "a.tif")


def test_every_command_lists_the_same_files(tmp_path):
    names = ["b.PNG", "a.jpeg", "c.gif", ".hidden.png", "._a.png", "notes.txt", "in/d.webp", "png", ".dir/e.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    found = lambda **options: [p.relative_to(tmp_path).as_posix() for p in image_files(tmp_path, **options)]  # noqa: E731
    assert found() == ["a.jpeg", "b.PNG", "c.gif", "in/d.webp"]
    assert found(recursive=False) == ["a.jpeg", "b.PNG", "c.gif"]
