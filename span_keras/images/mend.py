"""Mend damage of PNG and JPEG files that spares the pixels, or all but a few: other decoders show such files too."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

import numpy as np

from span_keras.images.containers import APP2, EOI, SOF, SOS, jpeg_segments, png_chunks
from span_keras.images.formats import PNG_SIGNATURE, listed
from span_keras.images.open import opened
from span_keras.images.source import Encoded, Source, mapped, stream_of

MAX_LOST = 0.02
"""Largest share of pixels that a JPEG may lack."""

MAX_BEFORE = 64
"""Most bytes that may stand before the beginning of a JPEG."""

_NO_END = "lacks its end, but all pixels are there"

_NOISE = bytes(np.random.default_rng(0).integers(0, 255, 2**16, np.uint8))
"""Coded data of a JPEG that mean nothing, and hold no marker."""


class Mended(NamedTuple):
    """A file that can be decoded, and what was wrong with it, to stand behind its name."""

    file: Encoded
    note: str


def mended(source: Source) -> Mended | None:
    """Return a file without its damage; None if it is no PNG or JPEG, or has lost pixels.

    Raises:
        Exception: whatever damage of another kind makes of decoders.
    """
    with stream_of(source) as file:
        data = file.read()
    if data.startswith(PNG_SIGNATURE):
        return _mended_png(str(source), data)
    start = data.find(b"\xff\xd8\xff", 0, MAX_BEFORE)
    return None if start < 0 else _mended_jpeg(str(source), data, start)


def flaw(source: Source) -> str | None:
    """Return what is wrong with the end of a PNG or JPEG that was decoded, as a note to stand behind its name."""
    with mapped(source) as data:
        stop = len(data)
        if data[:8] == PNG_SIGNATURE:
            if (last := list(png_chunks(data))[-1]).name != b"IEND":
                return _NO_END
            stop = last.stop
        elif data[:3] == b"\xff\xd8\xff":
            for marker, start, end in jpeg_segments(data):
                if marker == EOI:
                    stop = end
                elif marker == APP2 and data[start + 4 : start + 8] == b"MPF\0":
                    break  # more pictures, as it says
        behind = data[stop:]
    if not behind.strip(b"\0"):  # cameras fill up blocks
        return None
    what = "a video of" if b"ftyp" in behind[:64] else "data of"
    return f"holds {what} {len(behind)} bytes behind the end of the picture, which are left out"


def _mended_png(name: str, data: bytes) -> Mended | None:
    """Leave out damaged chunks that no pixel needs, and add a missing end. Pixels have a checksum of their own."""
    parts, notes, pixels = [PNG_SIGNATURE], [], zlib.decompressobj()
    last = b""
    for last, start, stop in png_chunks(data):
        body = data[start + 4 : stop - 4]
        if last == b"IDAT" and not pixels.eof:
            pixels.decompress(body[4:])
        if last == b"IDAT" or struct.pack(">I", zlib.crc32(body)) == data[stop - 4 : stop]:
            parts.append(data[start:stop])
        elif last[:1].islower():
            notes.append(f"has a damaged {last.decode('latin-1')} chunk, which is left out")
        else:
            return None
    if not pixels.eof:
        return None
    if last != b"IEND":
        parts.append(struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND")))
        notes.append(_NO_END)
    return Mended(Encoded(name, b"".join(parts)), listed(dict.fromkeys(notes), "and")) if notes else None


def _mended_jpeg(name: str, data: bytes, start: int) -> Mended | None:
    """Leave out what stands before the beginning, and add a missing end, if few pixels lie behind it."""
    data, notes = data[start:], []
    if start:
        notes.append(f"has {start} bytes before its beginning, which are left out")
    segments = list(jpeg_segments(data))
    if not segments or not _has_all_scans(data, segments):
        return None
    if segments[-1].marker != EOI:
        data = data.rstrip(b"\xff")  # half a marker
        whole, other = (_pixels(Encoded(name, data + tail + b"\xff\xd9")) for tail in (b"", _NOISE))
        lost = (whole != other).reshape(*whole.shape[:2], -1).any(2).mean()
        if lost > MAX_LOST:
            return None
        notes.append(f"lacks its end, {lost:.2%} of its pixels are lost" if lost else _NO_END)
        data += b"\xff\xd9"
    return Mended(Encoded(name, data), listed(notes, "and")) if notes else None


def _pixels(source: Source) -> np.ndarray:
    with opened(source) as image:
        return np.asarray(image)


def _has_all_scans(data: bytes, segments) -> bool:
    """Return whether scans of all components and frequencies began, down to their last bit."""
    components, missing = set(), set()
    for marker, start, stop in segments:
        if marker in SOF:
            components = set(data[start + 10 : stop : 3])
            missing = {(component, k) for component in components for k in range(64)}
        elif marker == SOS:
            count = data[start + 4]
            first, last, bits = data[stop - 3 : stop]
            if not bits & 15:
                missing -= {(c, k) for c in data[start + 5 : start + 5 + 2 * count : 2] for k in range(first, last + 1)}
    return bool(components) and not missing
