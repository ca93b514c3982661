"""Images that cannot be read or written: an error that names the file and the reason, and nothing left behind."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from helpers.image_files import png_bytes, random_samples
from span_keras.errors import ImageError
from span_keras.images.encoders import PngWriter
from span_keras.images.formats import FORMATS
from span_keras.images.picture import Picture
from span_keras.images.read import read_image
from span_keras.images.write import open_writer, write_image

WRITTEN = [form for form in FORMATS if form.written]


def huge(width, height):
    return png_bytes((width, height, 8, 2, 0, 0, 0), b"\0")


def encoded(kind, **options):
    stream = io.BytesIO()
    Image.fromarray(random_samples(3, shape=(64, 64))).save(stream, kind, **options)
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
        write_image(tmp_path / "image.png", Picture(random_samples(3)))
    assert list(tmp_path.iterdir()) == []
