"""Walk through the parts of PNG and JPEG files, without decoding their pixels."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from span_keras.images.formats import PNG_SIGNATURE

_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
"""Of a JPEG, behind the coded data: stuffed zeros and restarts belong to these."""

SOF = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""Markers of a JPEG that begin a picture."""

EOI, SOS, APP2 = 0xD9, 0xDA, 0xE2


class Chunk(NamedTuple):
    """A part of a PNG: its name, and where it starts and ends in the file, length and checksum included."""

    name: bytes
    start: int
    stop: int

    @property
    def content(self) -> slice:
        """Where its content lies in the file."""
        return slice(self.start + 8, self.stop - 4)


class Segment(NamedTuple):
    """A part of a JPEG: its marker, and where it starts and ends in the file, the marker included."""

    marker: int
    start: int
    stop: int

    @property
    def content(self) -> slice:
        """Where its content lies in the file, behind marker and length."""
        return slice(self.start + 4, self.stop)


def png_chunks(data: bytes) -> Iterator[Chunk]:
    """Yield the chunks of a PNG up to IEND, or up to the one that the data end in."""
    place = len(PNG_SIGNATURE)
    while place + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        if place + 12 + length > len(data):
            return
        yield Chunk(name, place, place + 12 + length)
        place += 12 + length
        if name == b"IEND":
            return


def jpeg_segments(data: bytes) -> Iterator[Segment]:
    """Yield the segments of a JPEG up to EOI, or as far as the data go; those of a scan end where its header does."""
    place = 2
    while found := _MARKER.search(data, place):
        marker, start = found[1][0], found.end() - 2
        if marker == EOI:
            yield Segment(marker, start, start + 2)
            return
        if start + 4 > len(data):
            return
        place = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        if place > len(data) or place < start + 4:
            return
        yield Segment(marker, start, place)
