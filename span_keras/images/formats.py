"""The image formats: ``FORMATS`` says of each which files are of it, what it holds and how Pillow writes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from span_keras.errors import ImageError

MAX_PIXEL_BYTES = 2**32 - 2**20
"""Most bytes of pixels where offsets have 32 bits; a mebibyte is left for metadata. A larger TIFF is a BigTIFF."""

MAX_SEGMENT = 65000
"""Most bytes of EXIF, XMP, IPTC or comment in a JPEG, with room for what Pillow adds to them."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Format:
    """Describe an image format.

    Attributes:
        name: as Pillow calls it.
        label: as messages call it.
        suffixes: of its files, in small letters; ``--format`` takes the first.
        written: whether it is. ``encoders`` holds the encoders of those that Pillow does not write as we need.
        package, module: what reads it for Pillow, in the extra ``formats``; None where Pillow does itself.
        becomes: the suffix that results get whose source's format is not written.
        depths: bits per sample that a file holds.
        alpha: whether a file holds transparency.
        grey_as_rgb: ``(channels, bits)`` of grey samples that are written as RGB.
        max_side: most pixels per side that the encoder accepts, or decoders do.
        max_pixels: most pixels likewise, or None.
        max_bytes: most bytes of pixels, or None.
        metadata: the fields of ``picture.Metadata`` that a file keeps; ``"comment"`` is the text ``"Comment"`` alone.
        max_segment: most bytes of EXIF, of XMP and of the comment, or None.
        lossy: whether Pillow takes a quality.
        lossless_quality: the quality at which Pillow is told to lose nothing, or None.
        padded_rgb: whether Pillow takes RGB of four bytes per pixel, which it need not copy.
        options: of Pillow's ``save``; metadata replace them.
    """

    name: str
    label: str
    suffixes: tuple[str, ...]
    written: bool = False
    package: str | None = None
    module: str | None = None
    becomes: str = ".png"
    depths: tuple[int, ...] = (8,)
    alpha: bool = False
    grey_as_rgb: tuple[tuple[int, int], ...] = ()
    max_side: int = 2**31 - 1
    max_pixels: int | None = None
    max_bytes: int | None = None
    metadata: frozenset[str] = frozenset()
    max_segment: int | None = None
    lossy: bool = False
    lossless_quality: int | None = None
    padded_rgb: bool = False
    options: Mapping = field(default_factory=dict)

    @property
    def article(self) -> str:
        """Return ``"a"`` or ``"an"``, as it stands before the label."""
        return "an" if self.label[0] in "AM" else "a"

    def refusal(self, height: int, width: int, channels: int, bytes_per_sample: int = 1) -> str:
        """Return why a file cannot hold such an image, to stand behind the format's name, or nothing.

        Args:
            height, width: in pixels.
            channels: even numbers have transparency.
            bytes_per_sample: 1 or 2.
        """
        if max(height, width) > self.max_side:
            return f"holds at most {self.max_side} pixels per side"
        if self.max_pixels and height * width > self.max_pixels:
            return f"holds at most {self.max_pixels / 1e6:.0f} megapixels"
        if self.max_bytes and height * width * max(channels, 3) * bytes_per_sample > self.max_bytes:
            return f"holds at most {self.max_bytes / 2**30:.0f} GB"
        return "" if channels % 2 or self.alpha else "cannot hold transparency"


FORMATS = (
    Format(
        "PNG",
        "PNG",
        (".png",),
        written=True,
        depths=(8, 16),
        alpha=True,
        metadata=frozenset({"icc", "exif", "xmp", "iptc", "dpi", "texts", "gamma", "srgb", "chromaticity", "cicp"}),
    ),
    Format(
        "JPEG",
        "JPEG",
        (".jpg", ".jpeg", ".jfif", ".jpe"),
        written=True,
        max_side=65500,
        metadata=frozenset({"icc", "exif", "xmp", "iptc", "dpi", "comment"}),
        max_segment=MAX_SEGMENT,
        lossy=True,
        padded_rgb=True,
        options={"subsampling": 0},  # halving the colours of a sharpened image would undo some of it
    ),
    Format(
        "WEBP",
        "WebP",
        (".webp",),
        written=True,
        alpha=True,
        grey_as_rgb=((1, 8), (2, 8)),
        max_side=16383,
        metadata=frozenset({"icc", "exif", "xmp"}),
        lossy=True,
        lossless_quality=100,
        padded_rgb=True,
    ),
    Format(
        "TIFF",
        "TIFF",
        (".tif", ".tiff"),
        written=True,
        depths=(8, 16),
        alpha=True,
        grey_as_rgb=((2, 16),),  # few programs read 16-bit grey with alpha
        metadata=frozenset({"icc", "exif", "xmp", "iptc", "dpi"}),
    ),
    Format(
        "BMP",
        "BMP",
        (".bmp",),
        written=True,
        # Pillow would write alpha without a mask that names it, and every reader leaves that out.
        alpha=False,
        max_bytes=MAX_PIXEL_BYTES,
        metadata=frozenset({"dpi"}),
        options={"dpi": (0, 0)},  # or Pillow would state a resolution that nobody knows
    ),
    Format(
        "AVIF",
        "AVIF",
        (".avif",),
        written=True,
        alpha=True,
        grey_as_rgb=((1, 8), (2, 8)),
        # What the common decoder, libavif, accepts unless it is told otherwise.
        max_side=32768,
        max_pixels=16384**2,
        metadata=frozenset({"icc", "exif", "xmp"}),
        lossy=True,
        options={"subsampling": "4:4:4"},
    ),
    Format("GIF", "GIF", (".gif",)),
    Format("MPO", "MPO", (".mpo",), becomes=".jpg"),
    Format("PPM", "PPM", (".ppm", ".pgm", ".pbm", ".pnm")),
    Format("HEIF", "HEIC", (".heic", ".heif", ".hif"), package="pillow-heif", module="pillow_heif", becomes=".jpg"),
    Format("JXL", "JPEG XL", (".jxl",), package="pillow-jxl-plugin", module="pillow_jxl"),
)
"""Every format. Others are refused whatever their files are called: EPS runs code."""

READABLE = {suffix: form for form in FORMATS for suffix in form.suffixes}
"""Every format, by file name suffix: all are read."""

WRITABLE = {suffix: form for form in FORMATS if form.written for suffix in form.suffixes}
"""Every format that is written, by file name suffix."""


def listed(words: Iterable[str], joint: str) -> str:
    """Return words as a sentence lists them: ``"a, b or c"``, where the joint is ``"or"``."""
    *words, last = words
    return f"{', '.join(words)} {joint} {last}" if words else last


DEEP_SUFFIXES = [form.suffixes[0] for form in FORMATS if form.written and 16 in form.depths]
"""The first suffix of every format that is written with 16 bits."""

ALPHA_SUFFIXES = [form.suffixes[0] for form in FORMATS if form.written and form.alpha]
"""The first suffix of every format that is written with transparency."""

NAMES = listed((form.label for form in FORMATS), "or")
"""The formats of ``READABLE`` as messages list them."""


def result_suffix(name: str | Path) -> str:
    """Return the suffix of a result whose format nobody chose: that of its source, or what its format becomes.

    A suffix of no format is returned as it is.
    """
    suffix = Path(name).suffix
    form = READABLE.get(suffix.lower())
    return suffix if form is None or form.written else form.becomes


def format_of(path: str | Path) -> Format:
    """Return the format that a file is written in, by its suffix.

    Raises:
        ImageError: the suffix is of no written format.
    """
    try:
        return WRITABLE[Path(path).suffix.lower()]
    except KeyError:
        raise ImageError(
            f"the output {path} should end in one of {', '.join(WRITABLE)}, found {Path(path).suffix or 'no suffix'!r}."
        ) from None
