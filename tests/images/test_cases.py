"""Files that once failed or were handled wrongly, where they are at hand; tests beside this one build the like."""

import pytest

from span_keras.errors import ImageError
from span_keras.images.picture import scaled_metadata
from span_keras.images.read import read_image


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("noeoi.jpg", "lacks its end, but all pixels are there"),
        ("badtextcrc.png", "has a damaged tEXt chunk, which is left out"),
        ("gif.png", "is a GIF image, whatever its name says"),
        ("anim.gif", "holds 3 images; only the first is used"),
        *((name, None) for name in ("photo.jfif", "phone.mpo", "photo.avif", "photo.gif", "F.tif", "rgb16.tif")),
        *((name, None) for name in ("ycc_adobe.tif", "gama_chrm.png", "motion.jpg", "iptc.jpg", "xmp_or6.jpg")),
    ],
)
def test_files_that_are_read(shared, name, note):
    found = read_image(shared / "cases" / name)
    assert found.notes == ((f"{shared / 'cases' / name} {note}.",) if note else ())
    assert found.metadata.dpi is None


@pytest.mark.parametrize(("name", "reason"), [("fake_heic_called.jpg", "a HEIC image"), ("half.jpg", "truncated")])
def test_files_that_are_refused(shared, name, reason):
    with pytest.raises(ImageError, match=reason):
        read_image(shared / "cases" / name)


def test_metadata_of_such_files(shared):
    read = {name: read_image(shared / "cases" / name) for name in ("iptc.jpg", "xmp_or6.jpg", "motion.jpg")}
    assert b"Hello world" in read["iptc.jpg"].metadata.iptc
    assert read["xmp_or6.jpg"].samples.shape == (28, 40, 3)  # as browsers show it
    xmp = scaled_metadata(read["motion.jpg"].metadata, 80, 56).xmp
    assert b'tiff:ImageWidth="80"' in xmp and b'exif:PixelYDimension="56"' in xmp
    assert not any(word in xmp for word in (b"MotionPhoto=", b"MicroVideo", b"hdrgm:Version", b"HasExtendedXMP"))
    profile = read_image(shared / "cases" / "ycc_adobe.tif").metadata.icc
    assert profile and b"sRGB" not in profile
    assert read_image(shared / "cases" / "gama_chrm.png").metadata.chromaticity[2:4] == (0.68, 0.32)
