"""What a file is that cannot be read, whatever its name says; what is not read and what to do."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from helpers.image_files import png_bytes
from span_keras.errors import ImageError
from span_keras.images import memory
from span_keras.images import open as opening
from span_keras.images.folders import image_files, survey
from span_keras.images.formats import FORMATS, READABLE
from span_keras.images.kinds import kind_of
from span_keras.images.read import read_image
from span_keras.images.source import Encoded


def encoded(kind, **options):
    stream = io.BytesIO()
    Image.fromarray(np.full((9, 14, 3), 90, np.uint8)).save(stream, kind, **options)
    return stream.getvalue()


HEIC_HEAD = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("called.jpg", HEIC_HEAD, "called.jpg is a HEIC image that is damaged or truncated and cannot be opened."),
        ("a.png", encoded("JPEG2000"), "a.png is a JPEG 2000 image, which is not read; convert it to PNG."),
        ("a.jpg", b"<!DOCTYPE html><html>404</html>", "a.jpg is an HTML page; download the image itself."),
        ("a.jpg", b"\n <html>", "a.jpg is an HTML page; download the image itself."),
        (
            "a.png",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00",
            "a.png is a git-lfs pointer to an image; fetch the image with git lfs pull.",
        ),
        ("a.png", b"8BPS\0\1", "a.png is a Photoshop file, which is not read; export it as PNG."),
        ("a.png", b"%PDF-1.7", "a.png is a PDF document; extract its images."),
        ("a.png", b"<svg xmlns='x'/>", "a.png is a drawing, which is not read; export it as PNG in the size wanted."),
        ("a.webp", b"\0\0\0\x20ftypisom", "a.webp is a video; extract a frame."),
        ("a.jpg", b'{"error": 404}', "a.jpg is a JSON text; download the image itself."),
        (
            "a.jpg",
            b"II*\0\x10\0\0\0CR\2\0",
            "a.jpg is a camera's raw file, which is not read; develop it to TIFF or JPEG.",
        ),
        # Pillow would show its thumbnail.
        ("a.dng", encoded("TIFF"), "a.dng is a camera's raw file, which is not read; develop it to TIFF or JPEG."),
        ("a.tga", encoded("TGA"), "a.tga is an image, which is not read; convert it to PNG."),
    ],
)
def test_a_message_says_what_the_file_is(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path / name)
    assert str(caught.value) == f"{tmp_path}/{message}"


def test_an_image_of_another_format_than_its_name_is_read_with_a_note(tmp_path):
    for kind in ("GIF", "JPEG", "WEBP"):
        (tmp_path / "a.png").write_bytes(encoded(kind))
        found = read_image(tmp_path / "a.png")
        label = kind.replace("WEBP", "WebP")
        assert found.notes == (f"{tmp_path / 'a.png'} is a {label} image, whatever its name says.",)
    (tmp_path / "a.jpg").write_bytes(encoded("MPO"))
    assert read_image(tmp_path / "a.jpg").notes == ()  # phones call them so


@pytest.mark.parametrize("form", [form for form in FORMATS if form.package], ids=lambda form: form.name)
def test_a_missing_plugin_is_named(tmp_path, monkeypatch, form):
    monkeypatch.setitem(sys.modules, form.module, None)
    monkeypatch.setattr(Image, "OPEN", {key: value for key, value in Image.OPEN.items() if key != form.name})
    opening.find_formats.cache_clear()
    try:
        head = HEIC_HEAD if form.name == "HEIF" else b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(30)
        (tmp_path / f"a{form.suffixes[0]}").write_bytes(head)
        with pytest.raises(ImageError, match=rf"which needs {form.package}; pip install 'span-keras\[formats\]'\.$"):
            read_image(tmp_path / f"a{form.suffixes[0]}")
    finally:
        opening.find_formats.cache_clear()


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_the_first_bytes_of_every_format_tell_it(form):
    if form.module:
        plugin = pytest.importorskip(form.module)
        getattr(plugin, "register_heif_opener", lambda: None)()
    kind = kind_of(encoded(form.name))
    assert kind.format == ("JPEG" if form.name == "MPO" else form.name)
    assert kind.label.endswith(f"{'JPEG' if form.name == 'MPO' else form.label} image")


def test_pixels_that_the_memory_cannot_hold_are_refused_before_they_are_decoded(monkeypatch):
    image = Encoded("large.png", png_bytes((8000, 6000, 1, 0, 0, 0, 0), b"\0" * 6000 * 1001))
    assert read_image(image).samples.shape == (6000, 8000, 1)
    monkeypatch.setattr(memory, "available", lambda: 100_000_000)
    with pytest.raises(
        ImageError, match=r"^large\.png is 8000×6000, which takes 0\.2 GB of memory .* 0\.1 GB are free"
    ):
        read_image(image)


def test_free_memory_is_known_here():
    assert memory.available() > 2**20


def test_every_file_of_a_folder_is_accounted_for(tmp_path):
    files = {
        **{f"image{suffix}": b"" for suffix in READABLE},
        "upper.JPG": b"",
        "IMG_0001": encoded("JPEG"),
        "photo.v2": encoded("PNG"),
        "raw.CR2": b"",
        "raw-without-suffix": b"II*\0\x10\0\0\0CR\2\0",
        "notes.txt": b"hello",
        "Thumbs.db": b"",
        "bare": b"",
        "clip.mp4": b"\0\0\0\x20ftypisom",
        ".hidden.png": b"",
        "._photo.jpg": b"",
        ".thumbnails/small.png": b"",
        "in/inner.png": b"",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing")
    found = survey(tmp_path)
    names = {path.relative_to(tmp_path).as_posix() for path in found.images}
    assert names == {f"image{suffix}" for suffix in READABLE} | {"upper.JPG", "in/inner.png"}
    assert [path.name for path in found.unnamed] == ["IMG_0001", "photo.v2"]
    assert {path.name: reason for path, reason in found.unread} == {
        "gone.png": "is a link to nothing",
        "raw.CR2": "is a camera's raw file, which is not read; develop it to TIFF or JPEG",
        "raw-without-suffix": "is a camera's raw file, which is not read; develop it to TIFF or JPEG",
    }
    assert found.remark == "1 without suffix, 1 .db, 1 .mp4, 1 .txt and 3 hidden"
    inner = survey(tmp_path, without=tmp_path / "in")
    assert len(inner.images) == len(found.images) - 1


def test_a_look_at_some_files_and_folders_alone(tmp_path):
    """As far as a look at all would come by them."""
    for name in ("a.png", "b.png", "sub/c.png", "sub/.cache/d.png", "out/e.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = ("a.png", "sub", "sub/c.png", "sub/.cache/d.png", "sub/.cache", "out/e.png", "gone.png", "../b.png")
    found = survey(tmp_path, without=tmp_path / "out", among={tmp_path / name for name in names})
    assert found.images == [tmp_path / "a.png", tmp_path / "sub" / "c.png"]
    assert not found.others
    assert survey(tmp_path, without=tmp_path, among={tmp_path}).images == survey(tmp_path, without=tmp_path).images


def test_a_folder_that_cannot_be_entered_is_an_error(tmp_path, monkeypatch):
    """Root may enter every folder: the system's answer is made up."""
    (tmp_path / "locked").mkdir()
    (tmp_path / "a.png").touch()
    scandir = opening.os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", refuse)
    found = survey(tmp_path)
    assert found.images == [tmp_path / "a.png"]
    assert found.locked == [(tmp_path / "locked", "cannot be entered (Permission denied); change its permissions")]
    with pytest.raises(ImageError, match=r"the folder .*locked cannot be entered .*; change its permissions\.$"):
        image_files(tmp_path)
