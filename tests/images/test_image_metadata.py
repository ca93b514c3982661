"""What image files say about their pixels is kept, mended where it no longer holds, and named where it is lost."""

import warnings

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from helpers.image_files import random_samples
from span_keras.images.picture import Metadata, Picture, scaled_metadata, storable
from span_keras.images.read import read_image
from span_keras.images.write import write_image

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def rotated(image, orientation):
    T = Image.Transpose
    undo = {2: T.FLIP_LEFT_RIGHT, 3: T.ROTATE_180, 4: T.FLIP_TOP_BOTTOM, 5: T.TRANSPOSE, 6: T.ROTATE_90}
    undo |= {7: T.TRANSVERSE, 8: T.ROTATE_270}
    return image.transpose(undo[orientation]) if orientation > 1 else image


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_and_reset(tmp_path, orientation):
    values = random_samples(3)
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
    metadata = Metadata(SRGB, exif.tobytes(), b"<x:xmpmeta/>", dpi)
    write_image(tmp_path / f"a{source}", Picture(random_samples(3, shape=(9, 14)), metadata))
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
    write_image(tmp_path / "image.png", Picture(random_samples(3), metadata))
    found = read_image(tmp_path / "image.png").metadata
    assert found.texts == metadata.texts
    assert found.gamma == pytest.approx(0.45455)
    assert found.srgb == 0


@pytest.mark.parametrize("dpi", [None, (300.0, 300.0)])
def test_a_bmp_states_no_resolution_but_the_images_own(tmp_path, dpi):
    write_image(tmp_path / "image.bmp", Picture(random_samples(3), Metadata(dpi=dpi)))
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
    write_image(tmp_path / name, Picture(random_samples(channels, dtype), metadata))
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
        write_image(tmp_path / name, Picture(random_samples(3), Metadata(exif=exif.tobytes(), xmp=xmp)))
        found = read_image(tmp_path / name).metadata
        assert found.xmp == (xmp if kept else None), name
        assert (found.exif is not None) == kept, name


def test_only_the_first_of_several_images_is_read_with_a_note(tmp_path):
    pages = [Image.new("L", (4, 4), value) for value in (10, 20)]
    pages[0].save(tmp_path / "image.tif", save_all=True, append_images=pages[1:])
    found = read_image(tmp_path / "image.tif")
    assert found.samples.max() == 10
    assert "holds 2 images; only the first" in found.notes[0]
