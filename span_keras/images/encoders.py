"""Encoders that take rows one after another, so that a result larger than the memory can be written.

``Writer(file, form, height, width, channels, dtype, metadata, quality)`` has ``write(rows)`` and ``close()``.

PNG and TIFF are written here, as containers around deflated or plain rows: Pillow writes no 16-bit colours, and neither
Pillow nor another library writes a PNG whose rows come one by one. Pillow encodes all others.
"""

from __future__ import annotations

import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, TiffImagePlugin

from span_keras.images.formats import MAX_PIXEL_BYTES, PNG_SIGNATURE
from span_keras.images.picture import IPTC_TEXT, SUB_DIRECTORIES, XMP_TEXT, load_exif


class PngWriter:
    """Write PNG with 8 or 16 bits, rows filtered and deflated as they come. Source: the W3C's PNG specification."""

    LEVEL = 5

    def __init__(self, file, form, height, width, channels, dtype, metadata, quality):
        self.file, self.stride = file, channels * dtype.itemsize
        self.previous = np.zeros(width * self.stride, np.uint8)
        self.deflate = zlib.compressobj(self.LEVEL, strategy=zlib.Z_FILTERED)
        file.write(PNG_SIGNATURE)
        color_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * dtype.itemsize, color_type, 0, 0, 0))
        if metadata.icc:
            self._chunk(b"iCCP", b"profile\0\0" + zlib.compress(metadata.icc))
        elif metadata.srgb is not None:
            self._chunk(b"sRGB", bytes([metadata.srgb]))
        if metadata.gamma and not metadata.icc:
            self._chunk(b"gAMA", struct.pack(">I", round(metadata.gamma * 1e5)))
        if metadata.chromaticity and not metadata.icc:
            self._chunk(b"cHRM", struct.pack(">8I", *(round(value * 1e5) for value in metadata.chromaticity)))
        if metadata.cicp:
            self._chunk(b"cICP", metadata.cicp)
        if metadata.dpi:
            self._chunk(b"pHYs", struct.pack(">IIB", *(round(d / 0.0254) for d in metadata.dpi), 1))
        if metadata.exif:
            self._chunk(b"eXIf", metadata.exif.removeprefix(b"Exif\0\0"))
        if metadata.iptc:
            profile = f"\niptc\n{len(metadata.iptc):8}\n{metadata.iptc.hex()}\n"
            self._chunk(b"zTXt", IPTC_TEXT.encode() + b"\0\0" + zlib.compress(profile.encode()))
        texts = {**metadata.texts, **({XMP_TEXT: metadata.xmp.decode("utf-8", "replace")} if metadata.xmp else {})}
        for key, text in texts.items():
            self._chunk(b"iTXt", key.encode("latin-1", "replace") + b"\0\0\0\0\0" + text.encode())

    def write(self, rows):
        if rows.dtype == np.uint16:
            rows = rows.astype(">u2")
        rows = rows.view(np.uint8).reshape(len(rows), -1)
        for start in range(0, len(rows), 64):  # small enough to stay in the cache
            block = rows[start : start + 64]
            if data := self.deflate.compress(self._filter(block).tobytes()):
                self._chunk(b"IDAT", data)

    def close(self):
        self._chunk(b"IDAT", self.deflate.flush())
        self._chunk(b"IEND", b"")

    def _filter(self, rows: np.ndarray) -> np.ndarray:
        """Return each row as what its neighbours do not predict, by the predictor that leaves the least.

        Args:
            rows: (n, bytes) uint8.

        Returns:
            (n, 1 + bytes) uint8, the first byte naming the predictor.
        """
        above = np.concatenate([self.previous[None], rows[:-1]])
        self.previous = rows[-1].copy()
        left = np.zeros_like(rows)
        left[:, self.stride :] = rows[:, : -self.stride]
        average = (left & above) + ((left ^ above) >> 1)  # without leaving 8 bits
        candidates = np.stack([rows - left, rows - above, rows - average])
        cost = np.abs(candidates.view(np.int8).astype(np.int16)).sum(2, dtype=np.int64)
        best = cost.argmin(0)
        out = np.empty((len(rows), 1 + rows.shape[1]), np.uint8)
        out[:, 0] = best + 1  # 1 Sub, 2 Up, 3 Average
        out[:, 1:] = candidates[best, np.arange(len(rows))]
        return out

    def _chunk(self, kind: bytes, data: bytes) -> None:
        self.file.write(struct.pack(">I", len(data)) + kind)
        self.file.write(data)
        self.file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))


class TiffWriter:
    """Write TIFF with 8 or 16 bits in one uncompressed strip, which may come row by row. Source: TIFF 6.0."""

    def __init__(self, file, form, height, width, channels, dtype, metadata, quality):
        self.file = file
        as_rgb = (channels, 8 * dtype.itemsize) in form.grey_as_rgb
        self.order = {1: [0, 0, 0], 2: [0, 0, 0, 1]}[channels] if as_rgb else list(range(channels))
        channels = len(self.order)
        T, length = TiffImagePlugin, height * width * channels * dtype.itemsize
        big = length > MAX_PIXEL_BYTES
        tags = T.ImageFileDirectory_v2(b"II\x2b\0\x08\0\0\0" + bytes(8) if big else b"II*\0\0\0\0\0")
        for tag, value in (load_exif(metadata.exif) if metadata.exif else {}).items():
            tags[tag] = value
        if metadata.exif:
            exif = load_exif(metadata.exif)
            for tag in SUB_DIRECTORIES:
                if values := dict(exif.get_ifd(tag)):
                    tags.tagtype[tag] = 4  # LONG: an offset
                    tags[tag] = values
        tags[T.IMAGEWIDTH], tags[T.IMAGELENGTH], tags[T.ROWSPERSTRIP] = width, height, height
        tags[T.BITSPERSAMPLE] = (8 * dtype.itemsize,) * channels
        tags[T.SAMPLESPERPIXEL], tags[T.COMPRESSION] = channels, 1
        tags[T.PHOTOMETRIC_INTERPRETATION] = 2 if channels > 2 else 1
        if channels % 2 == 0:
            tags[T.EXTRASAMPLES] = 2  # alpha, not premultiplied
        tags.tagtype[T.STRIPOFFSETS] = tags.tagtype[T.STRIPBYTECOUNTS] = 16 if big else 4  # of 64 or 32 bits
        tags[T.STRIPOFFSETS] = 0  # Pillow adds where the directory ends, and there the pixels begin
        tags[T.STRIPBYTECOUNTS] = length
        if metadata.dpi:
            tags[T.RESOLUTION_UNIT], (tags[T.X_RESOLUTION], tags[T.Y_RESOLUTION]) = 2, metadata.dpi
        if metadata.icc:
            tags.tagtype[T.ICCPROFILE] = 7  # UNDEFINED
            tags[T.ICCPROFILE] = metadata.icc
        if metadata.xmp:
            tags.tagtype[700] = 1  # BYTE
            tags[700] = metadata.xmp
        if metadata.iptc:
            tags.tagtype[T.IPTC_NAA_CHUNK] = 7
            tags[T.IPTC_NAA_CHUNK] = metadata.iptc
        tags.save(file)

    def write(self, rows):
        if len(self.order) != rows.shape[2]:
            rows = rows[..., self.order]
        self.file.write(np.ascontiguousarray(rows, rows.dtype.newbyteorder("<")))

    def close(self):
        pass


class PillowWriter:
    """Encode with Pillow, which wants the whole image: rows are collected in a mapped file.

    The file has the layout in which Pillow can use JPEG's and WebP's rows without a copy, so that memory holds only
    what the system caches. Of a BMP, Pillow holds four bytes per pixel.
    """

    def __init__(self, file, form, height, width, channels, dtype, metadata, quality):
        self.file, self.format, self.metadata, self.quality = file, form, metadata, quality
        self.mode, self.order = {
            1: ("L", [0]),
            2: ("RGBA", [0, 0, 0, 1]),
            3: ("RGBX", [0, 1, 2, 2]) if form.padded_rgb else ("RGB", [0, 1, 2]),
            4: ("RGBA", [0, 1, 2, 3]),
        }[channels]
        # On the disk that has to hold the result anyway. A temporary file has a number for a name, or none.
        name = getattr(file, "name", None)
        folder = Path(name).parent if isinstance(name, str | Path) else None
        self.spool = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed when complete
        self.size = (width, height)

    def write(self, rows):
        self.spool.write(np.ascontiguousarray(rows[..., self.order]))

    def close(self):
        self.spool.flush()
        width, height = self.size
        mapped = np.memmap(self.spool, np.uint8, "r", shape=(height, width * len(self.order)))
        image = Image.frombuffer(self.mode, self.size, mapped, "raw", self.mode, 0, 1)
        image.save(self.file, self.format.name, **self._options())
        self.spool.close()

    def _options(self) -> dict:
        m, form = self.metadata, self.format
        metadata = {"icc_profile": m.icc, "exif": m.exif, "xmp": m.xmp, "dpi": m.dpi and tuple(map(round, m.dpi))}
        options = {**form.options, **{key: value for key, value in metadata.items() if value}}
        if m.iptc and "iptc" in form.metadata:
            resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(m.iptc)) + m.iptc + bytes(len(m.iptc) % 2)
            payload = b"Photoshop 3.0\0" + resource
            options["extra"] = b"\xff\xed" + struct.pack(">H", len(payload) + 2) + payload
        if "comment" in form.metadata:
            options["comment"] = m.texts.get("Comment", "").encode()
        if form.lossy:
            options["quality"] = self.quality
            if self.quality == form.lossless_quality:
                options["lossless"] = True
        return options


WRITERS = {"PNG": PngWriter, "TIFF": TiffWriter}
"""The encoder by Pillow's name of the format; ``PillowWriter`` writes all others."""
