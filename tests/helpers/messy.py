"""A folder as people have them: pictures of every kind, damaged ones, ones by wrong names, and what is none.

``messy_folder`` writes it and returns what must become of every file.
"""

import importlib
import io
import os
import struct
import sys
import unicodedata
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.image_files import chunk, few_bits, png_bytes, random_samples, tiff_bytes

SHAPE = (12, 16)

MADE, COUNTED = "made", "counted"
"""What becomes of a file, else the reason why it is not made."""


def picture(mode: str = "RGB", shape=SHAPE) -> Image.Image:
    """A picture of a mode of Pillow's."""
    channels = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}.get(mode, 3)
    samples = random_samples(channels, shape=shape)
    image = Image.fromarray(samples[..., 0] if channels == 1 else samples, mode if mode == "CMYK" else None)
    return image if image.mode == mode else image.convert(mode)


def encoded(form: str, mode: str = "RGB", shape=SHAPE, **options) -> bytes:
    """The bytes of such a picture in a format of Pillow's."""
    file = io.BytesIO()
    picture(mode, shape).save(file, form, **options)
    return file.getvalue()


def _oriented(number: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = number
    return exif.tobytes()


def _pngs() -> dict:
    samples = random_samples(3, np.uint16, SHAPE)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    text = encoded("PNG")[:33] + chunk(b"tEXt", b"Title\0Sea")[:-1] + b"?" + encoded("PNG")[33:]
    palette = picture("P")
    palette.info["transparency"] = 3
    transparent = io.BytesIO()
    palette.save(transparent, "PNG")
    return {
        **{f"png-{mode.lower()}.png": encoded("PNG", mode) for mode in ("1", "L", "LA", "RGB", "RGBA", "P")},
        "png-palette-transparent.png": transparent.getvalue(),
        **{f"png-grey-{depth}-bits.png": few_bits(depth, 1) for depth in (1, 2, 4, 8)},
        "png-16.png": png_bytes((SHAPE[1], SHAPE[0], 16, 2, 0, 0, 0), rows),
        "png-grey-16.png": _deep_grey(),
        "png-gamma.png": png_bytes(
            (SHAPE[1], SHAPE[0], 16, 2, 0, 0, 0), rows, chunk(b"gAMA", struct.pack(">I", 45455))
        ),
        "png-cicp.png": png_bytes((SHAPE[1], SHAPE[0], 16, 2, 0, 0, 0), rows, chunk(b"cICP", bytes([9, 16, 0, 1]))),
        "png-bad-text.png": text,
        "png-oriented.png": encoded("PNG", exif=_oriented(6)),
        **{f"png-{h}x{w}.png": encoded("PNG", shape=(h, w)) for h, w in ((1, 1), (2, 2), (5, 5), (1, 90), (90, 1))},
    }


def _deep_grey() -> bytes:
    file = io.BytesIO()
    Image.fromarray(random_samples(1, np.uint16, SHAPE)[..., 0]).save(file, "PNG")
    return file.getvalue()


def _jpegs() -> dict:
    plain, progressive = encoded("JPEG"), encoded("JPEG", progressive=True)
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF GCamera:MotionPhoto="1"/></x:xmpmeta>'
    return {
        **{f"jpeg-{number}.jpg": encoded("JPEG", exif=_oriented(number)) for number in range(10)},
        **{f"jpeg-{mode.lower()}.jpg": encoded("JPEG", mode) for mode in ("L", "CMYK")},
        "jpeg-progressive.jpg": progressive,
        "jpeg-xmp.jpg": encoded("JPEG", xmp=xmp),
        "jpeg-comment.jpg": encoded("JPEG", comment="Grüße".encode("latin-1")),
        "jpeg-no-end.jpg": plain[:-2],
        "jpeg-progressive-no-end.jpg": progressive[:-2],
        "jpeg-bytes-in-front.jpg": b"??" + plain,
        "jpeg-junk-behind.jpg": plain + b"junk" * 9,
        "UPPER.JPG": plain,
        "jpeg.jfif": plain,
        "jpeg.jpe": plain,
        "jpeg.jpeg": plain,
        "jpeg.mpo": encoded("MPO"),
    }


def _tiffs() -> dict:
    deep = {n: random_samples(n, np.uint16, SHAPE) for n in (1, 3, 4)}
    floating = io.BytesIO()
    Image.fromarray(np.float32(random_samples(1, shape=SHAPE)[..., 0] / 255)).save(floating, "TIFF")
    pages = encoded("TIFF", save_all=True, append_images=[picture()])
    return {
        **{f"tiff-{mode.lower()}.tif": encoded("TIFF", mode) for mode in ("1", "L", "RGBA", "CMYK", "LAB", "P")},
        **{f"tiff-{name}.tif": encoded("TIFF", compression=name) for name in ("tiff_lzw", "packbits", "jpeg")},
        "tiff-16.tiff": tiff_bytes(deep[3]),
        "tiff-16-deflate.tiff": tiff_bytes(deep[3], deflate=True),
        "tiff-16-alpha.tiff": tiff_bytes(deep[4]),
        "tiff-16-grey.tiff": tiff_bytes(deep[1]),
        "tiff-16-white-is-zero.tiff": tiff_bytes(deep[1], photometric=0),
        "tiff-float.tif": floating.getvalue(),
        "tiff-pages.tif": pages,
    }


def _others() -> dict:
    importlib.import_module("pillow_heif").register_heif_opener()
    importlib.import_module("pillow_jxl")
    return {
        "avif.avif": encoded("AVIF"),
        "heic.heic": encoded("HEIF"),
        "heic-called.jpg": encoded("HEIF"),
        "jxl.jxl": encoded("JXL"),
        "webp.webp": encoded("WEBP"),
        "webp-lossless.webp": encoded("WEBP", "RGBA", lossless=True),
        "webp-moving.webp": encoded("WEBP", save_all=True, append_images=[picture(shape=SHAPE).rotate(180)]),
        "bmp.bmp": encoded("BMP"),
        "bmp-palette.bmp": encoded("BMP", "P"),
        "bmp-1.bmp": encoded("BMP", "1"),
        "gif.gif": encoded("GIF", "P"),
        "gif-moving.gif": encoded("GIF", "P", save_all=True, append_images=[picture("P").rotate(180)]),
        "ppm.ppm": encoded("PPM"),
        "pgm.pgm": encoded("PPM", "L"),
        "a.b.c.png": encoded("PNG"),
        "photo.jpg.png": encoded("PNG"),
        "png-called.jpg": encoded("PNG"),
        "gif-called.png": encoded("GIF", "P"),
    }


def _unreadable() -> dict:
    """What is no readable picture -> its content and the reason."""
    plain = encoded("JPEG", shape=(64, 64))
    named = {
        "photo.cr2": "a camera's raw file",
        "photo.nef": "a camera's raw file",
        "photo.dng": "a camera's raw file",
        "scan.jp2": "a JPEG 2000 image",
        "layers.psd": "an editor's file",
        "logo.svg": "a drawing",
        "logo.ico": "an image",
        "old.tga": "an image",
        "light.exr": "an HDR image",
    }
    return {
        "half.jpg": (plain[: len(plain) // 2], "is damaged or truncated"),
        "half.png": (encoded("PNG")[:300], "is damaged or truncated"),
        "empty.png": (b"", "is empty"),
        "page.png": (b"<!DOCTYPE html><html>404</html>", "is an HTML page"),
        "pointer.jpg": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "is a git-lfs pointer"),
        "text.png": (b"hello", "expected an image file"),
        "clip.jpg": (b"\0\0\0\x20ftypisom", "is a video"),
        **{name: (b"?", reason) for name, reason in named.items()},
    }


def _names() -> dict:
    """Names that programs stumble over, where the system takes them."""
    content = encoded("PNG")
    names = {"עברית.png", "🏔.png", "trailing .png", "new\nline.png", "$HOME.png", "it's.png", "a" * 251 + ".png"}
    names.add("Zürich.png")
    if sys.platform == "linux":  # others know one spelling of such letters, and UTF-8 alone
        names |= {unicodedata.normalize("NFD", "Zürich.png"), os.fsdecode(b"bytes\xff.png")}
    return dict.fromkeys(names, content)


def messy_folder(folder: Path) -> dict[str, str]:
    """Write the folder; return for each of its files, by name, ``MADE``, ``COUNTED``, or the reason against it."""
    expected = {}

    def add(name: str, content: bytes, becomes: str) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        expected[name] = becomes

    for files in (_pngs(), _jpegs(), _tiffs(), _others(), _names()):
        for name, content in files.items():
            add(name, content, MADE)
    for name, (content, reason) in _unreadable().items():
        add(name, content, reason)
    add("IMG_0001", encoded("JPEG"), "should end in one of")
    add("sub/deeper/x.png", encoded("PNG"), MADE)
    for name in ("Thumbs.db", "desktop.ini", "notes.txt", "clip.mp4", "README", ".DS_Store", "._x.jpg", ".hidden.png"):
        add(name, b"nothing", COUNTED)
    (folder / "gone.jpg").symlink_to(folder / "nothing")
    expected["gone.jpg"] = "is a link to nothing"
    (folder / "linked.png").symlink_to(folder / "png-l.png")
    expected["linked.png"] = MADE
    (folder / "around").symlink_to(folder)  # its files are not come by twice
    (folder / "folder.png").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.png")
        expected["pipe.png"] = "is no ordinary file"
    return expected
