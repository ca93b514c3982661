"""Photographs from files: formats, folders, every kind of bad file, and images for validation."""

import hashlib
import os
import shutil
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.image_files import few_bits, tiff_bytes
from helpers.patches import make, smooth
from span_keras.data import decode
from span_keras.data.decode import load_pair, load_validation, opened
from span_keras.data.photos import BUNDLED_TRAIN, BUNDLED_VAL, list_photos, name_digest, split_validation
from span_keras.errors import DataError
from span_keras.images import bicubic


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_pair_is_the_whole_image_reduced(tmp_path, scale, monkeypatch):
    picture = smooth(101, 67)
    Image.fromarray(picture).save(tmp_path / "a.png")
    monkeypatch.setattr(decode, "STRIP", 5)
    lr, hr = load_pair(tmp_path / "a.png", scale)
    assert np.array_equal(hr, picture[: 101 // scale * scale, : 67 // scale * scale])
    # Strips must leave no seam: equal but for rounding in the last bit of a tie.
    whole = bicubic.downscale(np.ascontiguousarray(hr), scale)
    assert lr.shape == (101 // scale, 67 // scale, 3) and lr.dtype == np.uint8
    assert np.abs(lr.astype(int) - whole).max() <= 1 and (lr != whole).mean() < 1e-3


def decoded(path) -> np.ndarray:
    return load_pair(path, 2).hr


def test_exif_orientation_is_applied(tmp_path):
    picture = Image.fromarray(smooth(20, 30))
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90° clockwise to display
    picture.save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(decoded(tmp_path / "a.png"), np.rot90(np.asarray(picture), -1))


def test_grey_palette_and_16_bit_become_rgb(tmp_path):
    grey = smooth(20, 30)[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.png")
    Image.fromarray(grey.astype(np.float32) / 255).save(tmp_path / "float.tiff")
    for name in ("grey.png", "deep.png", "palette.png", "float.tiff"):
        assert np.array_equal(decoded(tmp_path / name), np.repeat(grey[..., None], 3, 2)), name


def test_deep_grey_means_what_its_file_says(tmp_path):
    grey = smooth(20, 30)[..., :1]
    (tmp_path / "inverted.tif").write_bytes(tiff_bytes(65535 - grey * np.uint16(257), photometric=0))
    assert np.array_equal(decoded(tmp_path / "inverted.tif"), np.repeat(grey, 3, 2))


@pytest.mark.parametrize("values", [70_000, -1, 1.5, -0.1, float("nan")])
def test_deep_grey_of_unknown_range_is_skipped(folder, values):
    dtype = np.float32 if isinstance(values, float) else np.int32
    Image.fromarray(np.full((40, 40), values, dtype)).save(folder / "deep.tif")
    with pytest.raises(DataError, match=r"deep\.tif cannot be read as an image: it has values beyond 16 bits, or 1 in"):
        decoded(folder / "deep.tif")
    dataset = make(folder)
    assert "deep.tif (has values beyond" in dataset.describe() and len(dataset.skipped) == 1


def test_transparent_grey_of_few_bits(tmp_path):
    (tmp_path / "a.png").write_bytes(few_bits(4, 5))
    assert np.array_equal(
        decoded(tmp_path / "a.png")[0, :, 0], [17 * (value if value != 5 else 15) for value in range(16)]
    )


def test_transparency_is_laid_over_white(tmp_path):
    rgba = np.zeros((20, 20, 4), np.uint8)
    rgba[:10, :, 3] = 255
    Image.fromarray(rgba).save(tmp_path / "a.png")
    hr = decoded(tmp_path / "a.png")
    assert (hr[:10] == 0).all() and (hr[10:] == 255).all()


def test_cmyk_is_converted(tmp_path):
    Image.new("CMYK", (20, 20), (255, 0, 0, 0)).save(tmp_path / "a.jpg")
    red, green, blue = decoded(tmp_path / "a.jpg")[5, 5]
    assert red < 60 and min(green, blue) > 150


def test_photographs_are_found_in_subfolders_whatever_their_case(folder):
    (folder / "._a.png").write_bytes(b"left by a Mac")
    assert [path.name for path in list_photos(folder)] == ["a.png", "b.webp", "C.BMP"]
    assert list_photos([folder / "b.webp", folder / "a.png"]) == [folder / "a.png", folder / "b.webp"]
    assert list_photos(folder / "a.png") == [folder / "a.png"]


def test_links_to_folders_are_followed_once(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name in ("b.png", "more.png"):
        shutil.copy(folder / "a.png", elsewhere / name)
    (folder / "d").symlink_to(elsewhere)
    found = ["a.png", "b.webp", "d/b.png", "d/more.png", "more/C.BMP"]
    names = lambda: [str(path.relative_to(folder)) for path in list_photos(folder)]  # noqa: E731
    assert names() == found
    # By another way the same, above everything, and round in circles.
    (folder / "again").symlink_to(elsewhere)
    (folder / "d").unlink()
    (folder / "d").symlink_to(folder / "more")
    (folder / "up").symlink_to(folder.parent)
    (elsewhere / "back").symlink_to(folder)
    assert names() == ["a.png", "again/b.png", "again/more.png", "b.webp", "more/C.BMP"]


def test_names_need_not_be_utf_8():
    path = Path(os.fsdecode(b"caf\xe9/1.png"))
    assert split_validation([path, Path("a.png")], 1)
    # Others keep their place among those held out.
    digest = hashlib.sha256("1 0 True/café/1.png".encode()).digest()
    assert name_digest(Path("café/1.png"), "1 0 True/") == digest


def test_missing_and_empty_folders(tmp_path):
    with pytest.raises(DataError, match=r"found nothing at .*nowhere; check the path"):
        make(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"expected photographs \(\.png .*found none"):
        make(tmp_path)
    with pytest.raises(DataError, match="empty list"):
        make([])
    (tmp_path / "notes.txt").write_text("not a photograph")
    with pytest.raises(DataError, match=r"expected a folder of photographs or one photograph .*notes\.txt"):
        make(tmp_path / "notes.txt")


def test_unusable_files_are_skipped_counted_and_named(folder):
    whole = (folder / "a.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("hello")
    (folder / "empty.png").touch()
    Image.fromarray(smooth(15, 100)).save(folder / "thin.png")
    header = struct.pack(">IIBBBBB", 30_000, 20_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(header)) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    (folder / "huge.png").write_bytes(whole[:8] + chunk + whole[33:])
    (folder / "program.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\n")
    dataset = make(folder)
    skipped = {"cut.png", "text.jpg", "empty.png", "thin.png", "huge.png", "program.png"}
    assert {path.name for path in dataset.skipped} == skipped
    text = dataset.describe()
    assert text.startswith("3 photographs") and "6 skipped" in text
    assert "huge.png (is damaged or truncated: it claims 30000×20000 pixels, but has " in text
    assert "program.png (is not a readable PNG" in text
    assert "thin.png (100×15, smaller than the 16×16 HR patch)" in text
    assert "text.jpg (is not a readable PNG" in text
    assert "cut.png (" in text and "truncated" in text
    assert dataset[0][0].shape == (6, 8, 8, 3)


@pytest.mark.parametrize("error", [RuntimeError("decode failed"), struct.error("unpack requires a buffer")])
def test_whatever_a_decoder_raises_skips_the_file(folder, monkeypatch, error):
    """As seen of damaged AVIF and WebP files."""
    load = Image.Image.load

    def broken(image):
        if image.size == (41, 40):
            raise error
        return load(image)

    monkeypatch.setattr(Image.Image, "load", broken)
    monkeypatch.setattr("PIL.WebPImagePlugin.WebPImageFile.load", broken)
    dataset = make(folder)
    dataset[0]
    assert [path.name for path in dataset.skipped] == ["b.webp"]
    assert str(error) in dataset.skipped[folder / "b.webp"]


@pytest.fixture
def python_warnings(monkeypatch):
    """What is warned of in a process whose filters nobody has touched."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    with warnings.catch_warnings(record=True) as told:
        warnings.resetwarnings()
        yield told


def test_large_photographs_cause_no_remarks(folder, python_warnings):
    make(folder)[0]
    assert not python_warnings


def test_decoding_leaves_the_users_warnings_alone(folder, python_warnings):
    """Also when threads begin and end at once, one before the other."""
    first, second = opened(folder / "a.png"), opened(folder / "a.png")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    warnings.warn("of the user", stacklevel=1)
    assert [str(warning.message) for warning in python_warnings] == ["of the user"]
    # Whoever wants to know of large images is told.
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    with pytest.raises(Image.DecompressionBombWarning), opened(folder / "a.png"):
        pass


def test_no_usable_photograph_at_all(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"\x89PNG")
    Image.fromarray(smooth(15, 15)).save(tmp_path / "small.png")
    with pytest.raises(DataError, match=r"at least 16 pixels a side, found none among 2 files .*bad\.png"):
        make(tmp_path)
    (tmp_path / "bad.png").unlink()
    with pytest.raises(DataError, match=r"15×15, smaller than the 16×16 HR patch.*smaller patch"):
        make(tmp_path)


def test_every_photograph_corrupt_behind_its_header(tmp_path):
    Image.fromarray(smooth(40, 40)).save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"found none among 1 files .*cut\.png"):
        make(tmp_path)[0]


def test_validation_images_are_whole_and_paired(folder):
    images = load_validation(folder, 4)
    assert [name for name, _, _ in images] == ["a.png", "b.webp", "C.BMP"]
    for _, lr, hr in images:
        assert hr.shape == (4 * lr.shape[0], 4 * lr.shape[1], 3) and hr.dtype == lr.dtype == np.uint8


def test_validation_skips_what_it_cannot_use_and_tells(folder):
    (folder / "a.png").write_text("broken")
    Image.fromarray(smooth(40, 14)).save(folder / "thin.png")
    told = []
    images = load_validation(folder, 2, on_skip=told.append)
    assert [name for name, _, _ in images] == ["b.webp", "C.BMP"]
    assert all(
        sentence.startswith(str(folder / name)) for sentence, name in zip(told, ("a.png", "thin.png"), strict=True)
    )
    assert "cannot be read" in told[0] and "the 15 pixels that SSIM needs" in told[1]
    told.clear()
    with pytest.raises(DataError, match=r"None of the 2 validation images can be used\. .*a\.png cannot be read"):
        load_validation([folder / "a.png", folder / "thin.png"], 2, on_skip=told.append)
    assert len(told) == 1 and "thin.png is smaller" in told[0], "the error tells of the other"


def test_hold_out_is_disjoint_complete_and_stable():
    files = [f"photos/{i:03d}.jpg" for i in range(50)]
    training, validation = split_validation(files, 10, seed=3)
    assert len(validation) == 10 and sorted(map(str, training + validation)) == files
    assert split_validation(files[::-1], 10, seed=3) == (training, validation)
    assert split_validation([f"/elsewhere/{f}" for f in files], 10, 3)[1] == [
        Path("/elsewhere") / path for path in validation
    ]
    assert split_validation(files, 10, seed=4)[1] != validation
    with pytest.raises(DataError, match=r"Holding out 50 validation images .* found 50 in all"):
        split_validation(files, 50)


def test_bundled_photographs_are_listed_and_small():
    root = BUNDLED_TRAIN.parent
    files = list_photos(root)
    sources = (root / "SOURCES.md").read_text()
    assert len(list_photos(BUNDLED_TRAIN)) == 8 and len(list_photos(BUNDLED_VAL)) == 2
    assert sum(path.stat().st_size for path in files) <= 2e6
    for path in files:
        (line,) = [line for line in sources.splitlines() if f"| {path.relative_to(root).as_posix()} |" in line]
        assert "CC0 1.0" in line or "public domain" in line
    lr, hr = make(BUNDLED_TRAIN, scale=4, patch=48)[0]
    assert lr.shape == (6, 48, 48, 3) and hr.shape == (6, 192, 192, 3)
