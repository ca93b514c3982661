"""Say what a file is by its first bytes, whatever its name says, and what to do about files that are not read."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import NamedTuple

from span_keras.images.formats import FORMATS, PNG_SIGNATURE

HEAD = 512
"""Bytes that ``kind_of`` wants to see."""


class Kind(NamedTuple):
    """Describe what a file is.

    Attributes:
        label: such as ``"a GIF image"``.
        picture: whether it is a picture.
        format: Pillow's name if the format is in ``FORMATS``, or None.
        advice: what to do with a file of a kind that is not read.
    """

    label: str
    picture: bool = True
    format: str | None = None
    advice: str = "convert it to PNG"


_DEVELOP = "develop it to TIFF or JPEG"
_DOWNLOAD = "download the image itself"

UNREAD_SUFFIXES = {
    **dict.fromkeys(
        (
            *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".mrw"),
            *(".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
        ),
        Kind("a camera's raw file", advice=_DEVELOP),
    ),
    **dict.fromkeys((".jp2", ".j2k", ".jpf", ".jpx", ".j2c"), Kind("a JPEG 2000 image")),
    **dict.fromkeys((".psd", ".psb", ".xcf", ".kra", ".afphoto"), Kind("an editor's file", advice="export it as PNG")),
    **dict.fromkeys((".svg", ".svgz", ".eps", ".ai"), Kind("a drawing", advice="export it as PNG in the size wanted")),
    **dict.fromkeys((".exr", ".hdr", ".jxr", ".wdp"), Kind("an HDR image", advice="convert it to 16-bit TIFF")),
    **dict.fromkeys((".tga", ".pcx", ".dds", ".ico", ".icns", ".qoi", ".sgi"), Kind("an image")),
}
"""Pictures that are not read, by file name suffix."""

_READ = {form.name: Kind(f"{form.article} {form.label} image", True, form.name) for form in FORMATS}

_SIGNATURES = (
    (re.escape(PNG_SIGNATURE), _READ["PNG"]),
    (rb"\xff\xd8\xff", _READ["JPEG"]),
    (rb"GIF8[79]a", _READ["GIF"]),
    (rb"RIFF....WEBP", _READ["WEBP"]),
    (rb"BM.{4}\0\0\0\0", _READ["BMP"]),
    (rb"(II\*\0\x10\0\0\0CR|.{4}ftypcrx |FUJIFILMCCD-RAW|II(U\0|RO))", UNREAD_SUFFIXES[".cr2"]),
    (rb"(II[*+]\0|MM\0[*+])", _READ["TIFF"]),
    (rb"P[1-6]\s", _READ["PPM"]),
    (rb".{4}ftyp(avi[fs]|.{8}(.{4})*avif)", _READ["AVIF"]),
    (rb".{4}ftyp(he[iv][cxms]|mif1|msf1)", _READ["HEIF"]),
    (rb"(\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n)", _READ["JXL"]),
    (rb"(\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51)", UNREAD_SUFFIXES[".jp2"]),
    (rb"8BPS", Kind("a Photoshop file", advice="export it as PNG")),
    (rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*(<!DOCTYPE svg|<svg)", UNREAD_SUFFIXES[".svg"]),
    (rb"%!PS", UNREAD_SUFFIXES[".eps"]),
    (rb"\s*(<!--.*?-->\s*)*<(!doctype html|html|head|body)", Kind("an HTML page", False, advice=_DOWNLOAD)),
    (
        rb"version https://git-lfs",
        Kind("a git-lfs pointer to an image", False, advice="fetch the image with git lfs pull"),
    ),
    (rb"%PDF-", Kind("a PDF document", False, advice="extract its images")),
    (rb"PK\x03\x04", Kind("a ZIP archive", False, advice="unpack it")),
    (rb".{4}ftyp", Kind("a video", False, advice="extract a frame")),
    (rb"\s*[{\[]\s*[\"{]", Kind("a JSON text", False, advice=_DOWNLOAD)),
)


def kind_of(head: bytes) -> Kind | None:
    """Return what a file is, by its first ``HEAD`` bytes; None if they tell nothing."""
    for pattern, kind in _SIGNATURES:
        if re.match(pattern, head, re.DOTALL | re.IGNORECASE):
            return kind
    return None


def unread_kind(name: str | PurePath) -> Kind | None:
    """Return what picture a file is by its name, if it is one that is not read."""
    return UNREAD_SUFFIXES.get(PurePath(str(name)).suffix.lower())
