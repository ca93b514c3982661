"""Image files: every kind of pixel in and out, metadata kept, damaged files named, nothing half-written."""

import io
import struct
import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from helpers.image_files import chunk, few_bits, png_bytes, random_samples, tiff_bytes
from span_keras.errors import ImageError
from span_keras.images import read
from span_keras.images.encoders import PngWriter
from span_keras.images.formats import FORMATS
from span_keras.images.picture import Metadata, Picture, load_exif, scaled_metadata, storable
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


@pytest.mark.parametrize("form", [form for form in FORMATS if form.read], ids=lambda form: form.name)
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


def rotated(image, orientation):
    T = Image.Transpose
    undo = {2: T.FLIP_LEFT_RIGHT, 3: T.ROTATE_180, 4: T.FLIP_TOP_BOTTOM, 5: T.TRANSPOSE, 6: T.ROTATE_90}
    undo |= {7: T.TRANSVERSE, 8: T.ROTATE_270}
    return image.transpose(undo[orientation]) if orientation > 1 else image


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_and_reset(tmp_path, orientation):
    values = samples(3)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Make] = "Maker"
    xmp = f'<x tiff:Orientation="{orientation}" a="6"/>'.encode()
    path = tmp_path / "image.webp"
    rotated(Image.fromarray(values), orientation).save(path, lossless=True, exif=exif, xmp=xmp)
    found = read_image(path)
    np.testing.assert_array_equal(found.samples, values)
    kept = Image.Exif()
    kept.load(found.metadata.exif)
    assert kept[ExifTags.Base.Make] == "Maker"
    assert kept.get(ExifTags.Base.Orientation, 1) == 1
    assert found.metadata.xmp == b'<x tiff:Orientation="1" a="6"/>'


@pytest.mark.parametrize("source", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("target", [".png", ".jpg", ".webp", ".tif"])
def test_metadata_survives(tmp_path, source, target):
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "Someone"
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.ExposureTime: 0.01, ExifTags.Base.ExifImageWidth: 14}
    exif[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSLatitudeRef: "N"}
    dpi = (300.0, 300.0)
    write_image(tmp_path / f"a{source}", Picture(samples(3), Metadata(SRGB, exif.tobytes(), b"<x:xmpmeta/>", dpi)))
    first = read_image(tmp_path / f"a{source}")
    write_image(tmp_path / f"b{target}", Picture(first.samples, scaled_metadata(first.metadata, 56, 36)))
    found = read_image(tmp_path / f"b{target}").metadata
    assert found.icc == SRGB
    assert found.xmp == b"<x:xmpmeta/>"
    if ".webp" not in (source, target):  # WebP has no field for the resolution
        assert found.dpi == pytest.approx(dpi, rel=1e-3)
    kept = Image.Exif()
    kept.load(found.exif)
    assert kept[ExifTags.Base.Artist] == "Someone"
    assert kept.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime] == pytest.approx(0.01)
    assert kept.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExifImageWidth] == 56
    assert kept.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"


def test_png_texts_and_gamma_survive(tmp_path):
    metadata = Metadata(texts={"Title": "Grüße", "Author": "x"}, gamma=0.45455, srgb=0)
    write_image(tmp_path / "image.png", Picture(samples(3), metadata))
    found = read_image(tmp_path / "image.png").metadata
    assert found.texts == metadata.texts
    assert found.gamma == pytest.approx(0.45455)
    assert found.srgb == 0


@pytest.mark.parametrize("dpi", [None, (300.0, 300.0)])
def test_a_bmp_states_no_resolution_but_the_images_own(tmp_path, dpi):
    write_image(tmp_path / "image.bmp", Picture(samples(3), Metadata(dpi=dpi)))
    assert read_image(tmp_path / "image.bmp").metadata.dpi == (dpi and pytest.approx(dpi, rel=1e-3))


def test_a_jpegs_comment_survives(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.jpg", comment="Grüße".encode())
    for name in ("b.png", "c.jpg"):
        write_image(tmp_path / name, read_image(tmp_path / "a.jpg"))
        assert read_image(tmp_path / name).metadata.texts == {"Comment": "Grüße"}


def test_damaged_exif_does_not_cost_the_picture(tmp_path, monkeypatch):
    damaged = b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x0f\x01\x02\0\xff\xff\xff\xff"
    Image.new("L", (4, 4), 9).save(tmp_path / "image.jpg", exif=damaged)
    with warnings.catch_warnings(record=True) as told:
        warnings.resetwarnings()
        assert read_image(tmp_path / "image.jpg").samples.shape == (4, 4, 1)
    assert not told

    def fail(image):
        raise ValueError("a tag that cannot be read")

    monkeypatch.setattr(Image.Image, "getexif", fail)
    found = read_image(tmp_path / "image.jpg")
    assert found.samples.shape == (4, 4, 1)
    assert "has damaged EXIF data; they are left out" in found.notes[0]


def test_a_profile_of_another_kind_is_left_out_with_a_note(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "image.png", icc_profile=SRGB)
    found = read_image(tmp_path / "image.png")
    assert found.metadata.icc is None
    assert "colour profile of another kind" in found.notes[0]


def grey_profile():
    """The shortest profile that Pillow passes on: only its header is looked at."""
    return SRGB[:16] + b"GRAY" + SRGB[20:]


@pytest.mark.parametrize(
    ("name", "channels", "dtype", "kept"),
    [
        ("a.png", 2, np.uint16, True),
        ("a.jpg", 1, np.uint8, True),
        ("a.tif", 1, np.uint16, True),
        ("a.tif", 2, np.uint8, True),
        ("a.tif", 2, np.uint16, False),
        ("a.webp", 1, np.uint8, False),
        ("a.webp", 2, np.uint8, False),
    ],
)
def test_a_grey_profile_does_not_describe_rgb(tmp_path, name, channels, dtype, kept):
    metadata = Metadata(icc=grey_profile())
    write_image(tmp_path / name, Picture(samples(channels, dtype), metadata))
    found = read_image(tmp_path / name)
    assert found.metadata.icc == (metadata.icc if kept else None)
    assert found.notes == ()  # no profile of another kind than the pixels
    notes = storable(name, metadata, channels, dtype)[1]
    assert notes == (
        [] if kept else [f"{name} holds RGB, so the colour profile, which is for grey, is left out; a .png keeps it."]
    )


LONG = b"Exif\0\0MM\0*\0\0\0\x08\0\0" + bytes(70_000)


@pytest.mark.parametrize(
    ("name", "metadata", "lost"),
    [
        ("a.png", Metadata(SRGB, LONG, b"x", (72, 72), {"Title": "t"}), None),
        ("a.tif", Metadata(SRGB, LONG, b"x", (72, 72)), None),
        ("a.tif", Metadata(texts={"Title": "t"}), "text 'Title'"),
        ("a.webp", Metadata(SRGB, LONG, bytes(70_000)), None),
        ("a.webp", Metadata(dpi=(72, 72), texts={"Comment": "c"}), "resolution and text 'Comment'"),
        ("a.bmp", Metadata(SRGB, b"Exif\0\0", b"x", (72, 72)), "colour profile, EXIF and XMP"),
        ("a.jpg", Metadata(SRGB, b"Exif\0\0", b"x", (72, 72), {"Comment": "c"}), None),
        ("a.jpg", Metadata(exif=LONG, xmp=bytes(70_000), texts={"Comment": "c"}), "EXIF and XMP"),
        ("a.jpg", Metadata(texts={"Title": "t", "Comment": "ü" * 40_000}), "text 'Title' and text 'Comment'"),
    ],
)
def test_metadata_that_a_format_cannot_hold_are_named(name, metadata, lost):
    kept, notes = storable(name, metadata, 3, np.dtype(np.uint8))
    assert notes == ([] if lost is None else [f"{name} cannot hold the {lost}; a .png can."])
    assert (kept == metadata) == (lost is None)
    assert storable(name, kept, 3, np.dtype(np.uint8)) == (kept, [])


def test_long_exif_and_xmp_are_kept_where_they_fit(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "a" * 70_000
    xmp = b"<x:xmpmeta>" + b"x" * 70_000 + b"</x:xmpmeta>"
    for name, kept in (("a.webp", True), ("a.png", True), ("a.tif", True), ("a.jpg", False)):
        write_image(tmp_path / name, Picture(samples(3), Metadata(exif=exif.tobytes(), xmp=xmp)))
        found = read_image(tmp_path / name).metadata
        assert found.xmp == (xmp if kept else None), name
        assert (found.exif is not None) == kept, name


def test_only_the_first_of_several_images_is_read_with_a_note(tmp_path):
    pages = [Image.new("L", (4, 4), value) for value in (10, 20)]
    pages[0].save(tmp_path / "image.tif", save_all=True, append_images=pages[1:])
    found = read_image(tmp_path / "image.tif")
    assert found.samples.max() == 10
    assert "holds 2 images; only the first" in found.notes[0]


def huge(width, height):
    return png_bytes((width, height, 8, 2, 0, 0, 0), b"\0")


def encoded(kind, **options):
    stream = io.BytesIO()
    Image.fromarray(samples(3, shape=(64, 64))).save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.png", b"", "is empty; expected an image file"),
        (
            "text.png",
            b"hello world, no image here",
            "is not a readable PNG, JPEG, WebP, TIFF, BMP, AVIF, GIF, MPO, PPM, HEIC or JPEG XL image",
        ),
        ("page.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "is a drawing, which is not read"),
        ("cut.png", encoded("PNG")[:2000], "damaged or truncated"),
        ("cut.jpg", encoded("JPEG")[:1000], "damaged or truncated"),
        ("cut.webp", encoded("WEBP")[:1000], "damaged or truncated|is not a readable"),
        ("cut.tif", encoded("TIFF")[:1000], "damaged or truncated|is not a readable"),
        ("cut.bmp", encoded("BMP")[:1000], "damaged or truncated"),
        ("head.png", encoded("PNG")[:20], "is not a readable|damaged or truncated"),
        ("zero.png", huge(0, 0), r"zero\.png has no pixels: its size is 0×0\.$"),
        ("flat.png", huge(7, 0), r"has no pixels: its size is 7×0\.$"),
        ("huge.png", huge(100000, 100000), r"claims 100000×100000 pixels, but has \d+ bytes"),
        ("large.png", huge(8000, 6000), "damaged or truncated"),  # the size is fine, its data are missing
    ],
)
def test_bad_files_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=message) as caught:
        read_image(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(ImageError, match=r"none\.png does not exist"):
        read_image(tmp_path / "none.png")
    with pytest.raises(ImageError, match="is a folder"):
        read_image(tmp_path)


def test_32_bit_samples_are_refused(tmp_path):
    Image.fromarray(np.full((3, 3), 70000, np.int32)).save(tmp_path / "image.tif")
    with pytest.raises(ImageError, match="32-bit samples; save it with 8 or 16 bits"):
        read_image(tmp_path / "image.tif")
    Image.fromarray(np.full((3, 3), 1.5, np.float32)).save(tmp_path / "image.tif")
    with pytest.raises(ImageError, match="floating-point samples beyond 0 to 1"):
        read_image(tmp_path / "image.tif")


def test_floating_point_from_0_to_1_becomes_16_bits(tmp_path):
    values = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    Image.fromarray(values).save(tmp_path / "image.tif")
    found = read_image(tmp_path / "image.tif").samples
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found[..., 0], np.uint16(values * 65535 + 0.5))


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "message"),
    [
        ("image.gif", (2, 2, 3), np.uint8, r"should end in one of \.png, .* found '\.gif'"),
        ("image", (2, 2, 3), np.uint8, "found 'no suffix'"),
        ("image.jpg", (2, 2, 3), np.uint16, r"JPEG holds 8 bits per sample; write image\.jpg as \.png or \.tif"),
        ("image.jpg", (2, 2, 4), np.uint8, "JPEG cannot hold transparency"),
        ("image.bmp", (2, 2, 2), np.uint8, r"BMP cannot hold transparency, .* write a \.png, \.webp, \.tif or \.avif"),
        ("image.webp", (20000, 2, 3), np.uint8, r"at most 16383 pixels per side, image\.webp would be 2×20000"),
        ("image.bmp", (60000, 40000, 3), np.uint8, "BMP holds at most 4 GB"),
        ("image.avif", (20000, 20000, 3), np.uint8, "AVIF holds at most 268 megapixels"),
        ("missing/image.png", (2, 2, 3), np.uint8, "cannot be written .No such file or directory"),
    ],
)
def test_what_cannot_be_written_is_named_and_leaves_nothing(tmp_path, name, shape, dtype, message):
    with pytest.raises(ImageError, match=message), open_writer(tmp_path / name, *shape, dtype):
        pass
    assert list(tmp_path.rglob("*")) == []


def test_an_interruption_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), open_writer(path, 100, 5, 3, np.uint8) as write:
        write(np.zeros((50, 5, 3), np.uint8))
        assert len(list(tmp_path.iterdir())) == 2
        raise KeyboardInterrupt
    assert [entry.name for entry in tmp_path.iterdir()] == ["image.png"]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize(("rows", "message"), [(2, "expected 4 rows, found 2"), (5, "expected uint8 rows")])
def test_too_few_or_too_many_rows_are_a_mistake(tmp_path, rows, message):
    with (
        pytest.raises(ValueError, match=message),
        open_writer(tmp_path / "image.png", 4, 5, 3, np.uint8) as write,
    ):
        write(np.zeros((rows, 5, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [form.suffixes[0] for form in WRITTEN])
def test_a_file_that_may_not_grow_is_named_and_leaves_nothing(tmp_path, suffix):
    """A real limit of the system: also what is left in buffers fails."""
    script = f"""
import resource, numpy as np
from span_keras.errors import ImageError
from span_keras.images.picture import Picture
from span_keras.images.write import write_image
pixels = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    write_image({str(tmp_path / f"image{suffix}")!r}, Picture(pixels))
except ImageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "cannot be written (File too large); check the folder" in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_other_errors_of_the_block_pass(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match="elsewhere"),
        open_writer(tmp_path / "image.png", 4, 5, 3, np.uint8),
    ):
        (tmp_path / "elsewhere").read_bytes()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def full(self, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PngWriter, "write", full)
    with pytest.raises(ImageError, match=r"cannot be written .No space left on device"):
        write_image(tmp_path / "image.png", Picture(samples(3)))
    assert list(tmp_path.iterdir()) == []
