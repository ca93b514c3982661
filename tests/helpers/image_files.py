"""Image files byte by byte, of kinds that Pillow does not write."""

import struct
import zlib

import numpy as np


def random_samples(channels, dtype=np.uint8, shape=(41, 30)):
    """(H, W, channels) of the whole range of a type, the same for every call."""
    return np.random.default_rng(channels).integers(0, np.iinfo(dtype).max + 1, (*shape, channels), dtype)


def chunk(kind, data):
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bytes(header, rows, extra=b""):
    """A PNG of the values of its header and of rows that begin with a predictor, with further chunks."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", *header))
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff_bytes(values, deflate=False, planes=1, photometric=None, extra=2):
    """A little-endian TIFF of (H, W, C) uint16 in one strip, or in one per channel; ``extra``: 1 premultiplied."""
    height, width, channels = values.shape
    strips = [values] if planes == 1 else list(np.moveaxis(values, -1, 0))
    strips = [zlib.compress(strip.tobytes()) if deflate else strip.tobytes() for strip in strips]
    tags = [(256, [width]), (257, [height]), (258, [16] * channels), (259, [8 if deflate else 1])]
    tags += [(262, [(1 if channels == 1 else 2) if photometric is None else photometric])]
    tags += [(273, []), (277, [channels]), (278, [height]), (279, [len(strip) for strip in strips]), (284, [planes])]
    tags += [(338, [extra])] if channels == 4 else []
    out = 8 + 2 + 12 * len(tags) + 4  # where the values are that have no room in the directory
    starts = out + 4 * sum(len(v) for _, v in tags) + 4 * len(strips)
    tags[5] = (273, np.cumsum([starts, *map(len, strips)])[:-1].tolist())
    entries = rest = b""
    for tag, numbers in tags:
        packed = struct.pack(f"<{len(numbers)}I", *numbers)
        inline = len(packed) == 4
        entries += struct.pack("<HHI", tag, 4, len(numbers))
        entries += packed if inline else struct.pack("<I", out + len(rest))
        rest += b"" if inline else packed
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0) + rest
    return head.ljust(starts, b"\0") + b"".join(strips)


def few_bits(depth, transparent):
    """A grey PNG of two equal rows that hold all values of ``depth`` bits, one of them transparent."""
    values = np.arange(2**depth, dtype=np.uint8)[:, None]
    packed = np.packbits(np.unpackbits(values, axis=1)[:, 8 - depth :]).tobytes()
    extra = chunk(b"tRNS", struct.pack(">H", transparent))
    return png_bytes((2**depth, 2, depth, 0, 0, 0, 0), 2 * (b"\0" + packed), extra)
