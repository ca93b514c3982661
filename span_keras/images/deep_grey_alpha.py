"""Read TIFF files of 16-bit grey with alpha, a kind that Pillow does not know.

A pixel has four bytes, as one of 8-bit RGBA has. With a few numbers of its directory changed, such a file passes for
that, so that Pillow and libtiff decode it, whatever its compression. Source: TIFF 6.0, section 2.
"""

from __future__ import annotations

import struct

import numpy as np

from span_keras.images.samples import upright
from span_keras.images.source import Encoded, Source, head_of, mapped

_TAGS = {
    258: "bits",
    259: "compression",
    262: "photometric",
    277: "samples",
    274: "orientation",
    284: "planar",
    317: "predictor",
    322: "tiled",
    338: "extra",
}
_KINDS = {3: "H", 4: "I"}
"""Numbers of 16 and of 32 bits."""


def disguised(source: Source) -> tuple[Encoded, np.dtype, bool, int] | None:
    """Return such a file as one of 8-bit RGBA.

    Returns:
        ``(file, dtype, differences, orientation)``: the type of its samples, of 16 bits in the file's byte order, and
        whether they are differences to their left neighbours; the orientation, which the disguise has not. None for
        every other file.
    """
    head = head_of(source)
    if head[:4] not in (b"II*\0", b"MM\0*") or len(head) < 8:
        return None
    with mapped(source) as data:
        return _disguised(str(source), data)


def _disguised(name: str, data: bytes) -> tuple[Encoded, np.dtype, bool, int] | None:
    order = "<" if data[:2] == b"II" else ">"
    (directory,) = struct.unpack_from(f"{order}I", data, 4)
    if directory + 2 > len(data):
        return None
    (count,) = struct.unpack_from(f"{order}H", data, directory)
    entries, values = {}, {}
    for place in range(directory + 2, min(directory + 2 + 12 * count, len(data) - 11), 12):
        tag, kind, number = struct.unpack_from(f"{order}HHI", data, place)
        if tag in _TAGS and kind in _KINDS and number <= 2:
            length = number * struct.calcsize(_KINDS[kind])
            (start,) = struct.unpack_from(f"{order}I", data, place + 8) if length > 4 else (place + 8,)
            if start + length <= len(data):
                entries[_TAGS[tag]] = place
                values[_TAGS[tag]] = struct.unpack_from(f"{order}{number}{_KINDS[kind]}", data, start)
    # Where nothing is compressed, readers pay no heed to it.
    predictor = 1 if values.get("compression", (1,)) == (1,) else values.get("predictor", (1,))[0]
    if (
        values.get("bits") != (16, 16)
        or values.get("samples") != (2,)
        or values.get("photometric") != (1,)
        or values.get("planar", (1,)) != (1,)
        or predictor not in (1, 2)
        or (predictor == 2 and "tiled" in values)
    ):
        return None
    data = bytearray(data)
    for tag, value in {"bits": 8, "photometric": 2, "samples": 4, "predictor": 1, "extra": 2, "orientation": 1}.items():
        if tag in entries:  # one number of 16 bits
            struct.pack_into(f"{order}HIHH", data, entries[tag] + 2, 3, 1, value, 0)
    return Encoded(name, bytes(data)), np.dtype(f"{order}u2"), predictor == 2, values.get("orientation", (1,))[0]


def revealed(samples: np.ndarray, dtype: np.dtype, differences: bool, orientation: int) -> np.ndarray:
    """Return what was decoded of a disguised file, (H, W, 4) uint8, as grey and alpha, upright: (H, W, 2) uint16."""
    deep = np.ascontiguousarray(samples).view(dtype).astype(np.uint16)
    deep = np.cumsum(deep, axis=1, dtype=np.uint16) if differences else deep
    return np.ascontiguousarray(upright(deep, orientation))
