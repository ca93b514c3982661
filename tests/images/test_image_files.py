"""Image files: every format and every kind of pixel, in and out."""

import struct

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from helpers.image_files import chunk, few_bits, png_bytes, random_samples, tiff_bytes
from span_keras.errors import ImageError
from span_keras.images import read
from span_keras.images.formats import FORMATS
from span_keras.images.picture import Metadata, Picture, load_exif, storable
from span_keras.images.read import read_image
from span_keras.images.write import open_writer, write_image

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SHAPE = (9, 14)
WRITTEN = [form for form in FORMATS if form.written]


def exif_of_someone():
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "Someone"
    return exif.tobytes()


METADATA = {
    "icc": SRGB,
    "exif": exif_of_someone(),
    "xmp": b"<x:xmpmeta/>",
    "dpi": (300.0, 300.0),
    "texts": {"Title": "Grüße"},
    "comment": {"Comment": "Grüße"},
    "gamma": 0.45455,
    "srgb": 0,
    "chromaticity": (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    "cicp": bytes([9, 16, 0, 1]),
    "iptc": b"\x1c\x02\x78\0\x05Hello",
}
"""A value of every field that an entry's ``metadata`` may name."""


def samples(channels, dtype=np.uint8, shape=SHAPE):
    return random_samples(channels, dtype, shape)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(("form", "suffix"), [(form, suffix) for form in WRITTEN for suffix in form.suffixes])
def test_every_written_format_holds_what_its_entry_says(tmp_path, form, suffix, channels, depth):
    path = tmp_path / f"image{suffix}"
    rows, columns = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]]
    values = np.stack([60 + 5 * rows + 3 * columns + 9 * channel for channel in range(channels)], -1)
    values = (values * (2**depth // 256) + 2 ** (depth - 8) // 3).astype(f"uint{depth}")
    picture = Picture(values)
    if depth not in form.depths or (channels % 2 == 0 and not form.alpha):
        with pytest.raises(ImageError, match=r"8 bits per sample|cannot hold transparency"):
            write_image(path, picture, quality=100)
        assert list(tmp_path.iterdir()) == []
        return
    write_image(path, picture, quality=100)
    with Image.open(path) as image:
        assert image.format == form.name
    found = read_image(path)
    if (channels, depth) in form.grey_as_rgb:
        values = values[..., [0, 0, 0, 1] if channels == 2 else [0, 0, 0]]
    assert found.samples.shape == values.shape
    assert found.samples.dtype == values.dtype
    assert found.notes == ()
    exact = not form.lossy or form.lossless_quality == 100
    assert np.abs(found.samples.astype(int) - values).max() <= (0 if exact else 3)


@pytest.mark.parametrize("key", [*METADATA])
@pytest.mark.parametrize("form", WRITTEN, ids=lambda form: form.name)
def test_every_written_format_keeps_the_metadata_that_its_entry_names(tmp_path, form, key):
    path = tmp_path / f"image{form.suffixes[0]}"
    field = "texts" if key == "comment" else key
    picture = Picture(samples(3), Metadata(**{field: METADATA[key]}))
    write_image(path, picture)
    found = getattr(read_image(path).metadata, field)
    kept = key in form.metadata or (key == "comment" and "texts" in form.metadata)
    if not kept:
        assert not found
    elif key in ("dpi", "gamma"):
        assert found == pytest.approx(METADATA[key], rel=1e-3)
    elif key == "exif":
        assert load_exif(found)[ExifTags.Base.Artist] == "Someone"
    else:
        assert found == METADATA[key]
    notes = storable(path, picture.metadata, 3, np.dtype(np.uint8))[1]
    assert len(notes) == (not kept and key not in ("gamma", "srgb"))  # these are no loss worth a sentence


@pytest.mark.parametrize(
    ("form", "size"),
    [
        *((form, (form.max_side + 1, 1)) for form in WRITTEN if form.max_side < 2**31 - 1),
        *((form, (form.max_bytes // 3000 + 1, 1000)) for form in WRITTEN if form.max_bytes),
        *((form, (form.max_pixels // 10000, 10001)) for form in WRITTEN if form.max_pixels),
    ],
)
def test_every_written_format_refuses_more_pixels_than_its_entry_says(tmp_path, form, size):
    with (
        pytest.raises(ImageError, match="holds at most"),
        open_writer(tmp_path / f"image{form.suffixes[0]}", *size, 3, np.uint8),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_every_read_format_is_read(tmp_path, form):
    for suffix in form.suffixes:
        Image.fromarray(np.full((*SHAPE, 3), 90, np.uint8)).save(tmp_path / f"image{suffix}", form.name)
        found = read_image(tmp_path / f"image{suffix}")
        assert found.samples.shape == (*SHAPE, 3) if form.name != "GIF" else found.samples.shape[:2] == SHAPE
        assert np.abs(found.pixels * 255 - 90).max() <= 3


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pillow_reads_what_was_written(tmp_path, channels):
    values = samples(channels)
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    for suffix in (".png", ".tif", *([".bmp"] if channels < 4 else [])):
        write_image(tmp_path / f"image{suffix}", Picture(values))
        with Image.open(tmp_path / f"image{suffix}") as image:
            assert image.mode == mode
            found = np.asarray(image)
        np.testing.assert_array_equal(found.reshape(values.shape), values)


@pytest.mark.parametrize(("suffix", "channels"), [(".jpg", 1), (".jpg", 3), (".webp", 1), (".webp", 3), (".webp", 4)])
def test_lossy_formats_come_close(tmp_path, suffix, channels):
    rows, columns = np.mgrid[0:40, 0:30]
    values = np.uint8(np.stack([3 * rows + 2 * columns] * channels, -1) % 256 // 2 + 60)
    values[..., -1] = 255 if channels == 4 else values[..., -1]
    write_image(tmp_path / f"image{suffix}", Picture(values))
    found = read_image(tmp_path / f"image{suffix}").samples
    expected = values[..., :3] if channels == 4 else values
    assert np.abs(found[..., : expected.shape[2]].astype(int) - expected).mean() < 2
    write_image(tmp_path / "exact.webp", Picture(values), quality=100)
    if channels == 3:
        np.testing.assert_array_equal(read_image(tmp_path / "exact.webp").samples, values)


def test_rows_may_come_in_any_portions(tmp_path):
    values = samples(3, shape=(150, 40))
    for suffix in (".png", ".tif", ".bmp"):
        with open_writer(tmp_path / f"image{suffix}", *values.shape, np.uint8) as write:
            for first, last in ((0, 1), (1, 70), (70, 71), (71, 150)):
                write(values[first:last])
        np.testing.assert_array_equal(read_image(tmp_path / f"image{suffix}").samples, values)


def test_filters_make_a_photograph_like_png_about_as_small_as_pillows(tmp_path):
    rows, columns = np.mgrid[0:200, 0:300]
    waves = np.stack([np.sin(rows / 17 + c) + np.cos(columns / 23) for c in range(3)], -1)
    values = np.uint8(127 + 50 * waves + np.random.default_rng(0).normal(0, 2, waves.shape))
    write_image(tmp_path / "ours.png", Picture(values))
    Image.fromarray(values).save(tmp_path / "pillow.png")
    assert (tmp_path / "ours.png").stat().st_size < 1.1 * (tmp_path / "pillow.png").stat().st_size


@pytest.mark.parametrize(
    ("mode", "channels"), [("1", 1), ("L", 1), ("LA", 2), ("P", 3), ("RGB", 3), ("RGBA", 4), ("I;16", 1)]
)
def test_png_modes(tmp_path, mode, channels):
    values = samples(3)
    image = Image.fromarray(values)
    if mode == "P":
        image = image.quantize(16)
    elif mode == "I;16":
        image = Image.fromarray(samples(1, np.uint16)[..., 0])
    else:
        image = image.convert(mode)
    image.save(tmp_path / "image.png")
    found = read_image(tmp_path / "image.png")
    assert found.samples.shape == (*SHAPE, channels)
    assert found.samples.dtype == (np.uint16 if mode == "I;16" else np.uint8)
    expected = np.asarray(image if mode == "I;16" else image.convert({1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]))
    np.testing.assert_array_equal(found.samples.reshape(expected.shape), expected)
    assert found.pixels.shape == (*SHAPE, 3)
    assert found.pixels.dtype == np.float32
    assert found.pixels.min() >= 0
    assert found.pixels.max() <= 1
    assert (found.alpha is None) == (channels % 2 == 1)


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_tiffs_of_other_programs(tmp_path, channels, deflate):
    values = samples(channels, np.uint16)
    (tmp_path / "image.tif").write_bytes(tiff_bytes(values, deflate))
    np.testing.assert_array_equal(read_image(tmp_path / "image.tif").samples, values)


def test_odd_16_bit_tiffs_are_read_right_or_not_at_all(tmp_path):
    path, grey, colours = tmp_path / "image.tif", samples(1, np.uint16), samples(3, np.uint16)
    path.write_bytes(tiff_bytes(grey, photometric=0))
    np.testing.assert_array_equal(read_image(path).samples, 65535 - grey)  # white is zero
    for deflate in (False, True):
        path.write_bytes(tiff_bytes(colours, deflate, planes=2))
        with pytest.raises(ImageError, match="has 16-bit samples in separate planes; save it with interleaved"):
            read_image(path)
    path.write_bytes(tiff_bytes(samples(4, np.uint16), extra=1))
    assert read_image(path).samples.dtype == np.uint8
    assert "has 16-bit samples multiplied by alpha, of which 8 bits are read" in read_image(path).notes[0]


def test_whatever_a_decoder_raises_names_the_file(tmp_path, monkeypatch):
    def broken(*arguments):
        raise AttributeError("a mistake of a decoder's")

    write_image(tmp_path / "image.png", Picture(samples(3)))
    monkeypatch.setattr(read, "samples_of", broken)
    with pytest.raises(ImageError, match=r"image\.png is damaged or truncated .*a mistake of a decoder's"):
        read_image(tmp_path / "image.png")


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_a_transparent_colour_becomes_alpha(tmp_path, mode):
    image = Image.fromarray(np.uint8([[[0, 0, 0], [255, 255, 255]]])).convert(mode)
    key = image.getpixel((0, 0))
    image.save(tmp_path / "image.png", transparency=key)
    np.testing.assert_array_equal(read_image(tmp_path / "image.png").alpha, [[0, 1]])


@pytest.mark.parametrize(("depth", "transparent"), [(1, 1), (2, 3), (2, 1), (4, 5), (8, 77)])
def test_a_transparent_grey_of_few_bits_becomes_alpha(tmp_path, depth, transparent):
    (tmp_path / "image.png").write_bytes(few_bits(depth, transparent))
    found = read_image(tmp_path / "image.png").samples
    levels = np.arange(2**depth)
    np.testing.assert_array_equal(found[0, :, 0], levels * 255 // (2**depth - 1))
    np.testing.assert_array_equal(found[0, :, 1], np.where(levels == transparent, 0, 255))


def test_a_transparent_16_bit_colour_becomes_alpha(tmp_path):
    rows = b"\0" + struct.pack(">6H", 1, 2, 3, 1, 2, 4)
    extra = chunk(b"tRNS", struct.pack(">3H", 1, 2, 3))
    (tmp_path / "image.png").write_bytes(png_bytes((2, 1, 16, 2, 0, 0, 0), rows, extra))
    np.testing.assert_array_equal(read_image(tmp_path / "image.png").samples, [[[1, 2, 3, 0], [1, 2, 4, 65535]]])


def test_interlaced_16_bit_png(tmp_path):
    rows = b"\0" + struct.pack(">3H", 1000, 2, 65535)  # Adam7: the one pixel of the first pass
    (tmp_path / "image.png").write_bytes(png_bytes((1, 1, 16, 2, 0, 0, 1), rows))
    np.testing.assert_array_equal(read_image(tmp_path / "image.png").samples, [[[1000, 2, 65535]]])


def test_cmyk_becomes_srgb_and_says_so_in_its_profile(tmp_path):
    Image.new("CMYK", (5, 4), (0, 255, 255, 0)).save(tmp_path / "image.jpg", quality=100)
    found = read_image(tmp_path / "image.jpg")
    assert found.samples.shape == (4, 5, 3)
    assert np.abs(found.samples.astype(int) - [255, 0, 0]).max() < 4
    assert found.metadata.icc[16:20] == b"RGB "
