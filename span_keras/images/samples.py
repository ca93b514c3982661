"""Turn what Pillow decodes into arrays of samples, and into 8-bit RGB, without losing what the file holds.

Pillow alone gets three things wrong, which are mended here: it cuts 16-bit colours to 8 bits, it gives the transparent
grey of a PNG of few bits in another range than its pixels, and it reads 16-bit grey with "white is zero" inverted.

The 16-bit decoding is our own, because no library did better on 100 deep TIFF and PNG files, some of them damaged.
tifffile decodes no LZW, the usual compression of 16-bit TIFF, without imagecodecs (80 MB). OpenCV (150 MB) failed on 19
files, returned others changed, and returns truncated JPEGs without a word. pypng is right, but takes seven times as
long and was last released in 2022. imageio passes PNG on to Pillow.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
import sys

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps

from span_keras.errors import ImageError
from span_keras.images import spool
from span_keras.images.bicubic import to_uint8
from span_keras.images.open import opened, reason_unusable
from span_keras.images.picture import to_samples
from span_keras.images.source import Source

BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLES_PER_PIXEL, PLANAR_CONFIGURATION = 258, 262, 277, 284
"""TIFF tags."""
YCBCR = 6
"""A photometric interpretation of TIFF."""

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def samples_of(image: Image.Image, source: Source | None = None) -> tuple[np.ndarray, bytes | None, list[str]]:
    """Return the samples of an image as stored, not turned upright.

    Palettes and YCbCr become RGB, one bit becomes grey, a transparent colour becomes alpha. CMYK and L*a*b* become
    sRGB, CMYK by its profile where it has one. Floating point becomes 16 bits.

    Args:
        image: in memory, or opened and not decoded yet.
        source: the file it was opened from, which 16-bit colours are read from once more; None for an image in memory.

    Returns:
        ``(samples, icc, notes)``: (H, W, C) uint8 or uint16 with C from 1 to 4 as in ``Picture``; the colour profile
        that describes them, or None; sentences about what could not be kept, to stand behind a file's name.

    Raises:
        ImageError: samples of this kind are not read; the message is to stand behind a file's name.
    """
    icc, notes = image.info.get("icc_profile") or None, []
    tags = image.tag_v2 if source and image.format == "TIFF" else {}
    in_planes = tags.get(PLANAR_CONFIGURATION) == 2 and tags.get(SAMPLES_PER_PIXEL, 1) > 1
    if in_planes and max(tags.get(BITS_PER_SAMPLE, (1,))) > 8:
        raise ImageError("has 16-bit samples in separate planes; save it with interleaved channels")
    mend_transparency(image)
    if tags.get(PHOTOMETRIC) == YCBCR and [(tile[0], _rawmode(tile)) for tile in image.tile[:1]] == [("raw", "RGBX")]:
        # So Pillow 12, the last for Python 3.10, takes three bytes a pixel for four.
        image = Image.frombytes("YCbCr", image.size, _load_as(source, {"RGBX": "RGB"}).tobytes())
    transparent = image.info.get("transparency")
    if source and (decode := _decoder_of_16_bits(source, image)):
        samples = decode()
    elif image.mode.startswith("I;16") or image.mode == "I":
        if (values := deep_grey(image)) is None:
            raise ImageError("has 32-bit samples; save it with 8 or 16 bits per channel")
        samples = np.asarray(values, np.uint16)[..., None]
    elif image.mode in ("1", "L", "LA", "La"):
        alpha = "A" in image.mode.upper() or transparent is not None
        return _converted(image, "LA" if alpha else "L"), icc, notes
    elif image.mode in ("P", "PA", "RGB", "RGBX", "RGBA", "RGBa"):
        alpha = "A" in image.mode.upper() or transparent is not None
        if any("RGBa;16" in _rawmode(tile) for tile in getattr(image, "tile", ())):
            notes.append("has 16-bit samples multiplied by alpha, of which 8 bits are read")
        return _converted(image, "RGBA" if alpha else "RGB"), icc, notes
    elif image.mode == "YCbCr":  # RGB in other coordinates, which the profile describes
        return _converted(image, "RGB"), icc or SRGB, notes
    elif image.mode in ("CMYK", "LAB"):
        return np.asarray(_to_srgb(image, icc)), SRGB, notes
    elif image.mode == "F":
        if (values := deep_grey(image)) is None:
            raise ImageError("has floating-point samples beyond 0 to 1; scale them, or save 16 bits per channel")
        samples = to_samples(values, np.uint16)[..., None]
    else:
        raise ImageError(f"has samples of kind {image.mode}; save it as 8- or 16-bit grey or RGB")
    if transparent is not None and samples.shape[2] in (1, 3):  # one 16-bit colour stands for transparent
        opaque = (samples != np.asarray(transparent, np.uint16)).any(2, keepdims=True)
        samples = np.concatenate([samples, np.where(opaque, np.uint16(65535), np.uint16(0))], 2)
    return samples, icc, notes


def _converted(image: Image.Image, mode: str) -> np.ndarray:
    """Return the samples (H, W, C) of an image in another mode of 8 bits; large ones in a file."""
    shape = (image.height, image.width, len(mode))
    if math.prod(shape) < spool.LARGE:
        return np.asarray(image if image.mode == mode else image.convert(mode)).reshape(shape)
    tops = range(0, image.height, spool.ROWS)
    boxes = ((0, top, image.width, min(top + spool.ROWS, image.height)) for top in tops)
    return spool.written((np.asarray(image.crop(box).convert(mode)) for box in boxes), shape, np.uint8)


def samples_of_image(image: Image.Image) -> tuple[np.ndarray, dict]:
    """Return the samples of a PIL image as Pillow holds them, not turned upright, and the ``info`` that goes with them.

    Returns:
        ``(samples, info)``: (H, W, C) uint8 or, of grey without alpha alone, uint16, since Pillow holds no deeper
        colours; and ``image.info`` with the profile that describes the samples.

    Raises:
        ImageError: the image is of another kind, such as 32 bits, or cannot be decoded.
    """
    try:
        samples, icc, _ = samples_of(image)
    except ImageError as error:
        raise ImageError(f"the image {error}.") from None
    except Exception as error:  # an image that was opened is decoded only here
        raise ImageError(f"the image {reason_unusable(error)}.") from error
    if samples.dtype == np.uint16 and samples.shape[2] > 1:
        samples = np.uint8(samples >> 8)
    info = {key: value for key, value in image.info.items() if key not in ("transparency", "icc_profile")}
    return samples, info | ({"icc_profile": icc} if icc else {})


def image_of(samples: np.ndarray, info: dict) -> Image.Image:
    """Return samples, (H, W, C) uint8 or (H, W, 1) uint16, as a PIL image of mode L, LA, RGB, RGBA or I;16."""
    image = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    image.info = dict(info)
    return image


def samples_of_array(image) -> np.ndarray:
    """Return an array as samples (H, W, C), without a copy.

    Args:
        image: (H, W), or (H, W, C) with C from 1 to 4; uint8, uint16 or floating point in [0, 1].

    Raises:
        ImageError: it has another shape or type, or values beyond [0, 1].
    """
    array = np.asarray(image)
    samples = array[..., None] if array.ndim == 2 else array
    if samples.ndim != 3 or not 1 <= samples.shape[2] <= 4:
        raise ImageError(
            f"expected an image of shape (H, W) or (H, W, C) with 1 to 4 channels, found {array.shape}; "
            "pass one image at a time."
        )
    if samples.dtype in (np.uint8, np.uint16):
        return samples
    if not np.issubdtype(samples.dtype, np.floating):
        raise ImageError(f"expected an image of type uint8, uint16 or floating point, found {array.dtype}; convert it.")
    if samples.size and not (samples.min() >= 0 and samples.max() <= 1):  # NaN is neither
        raise ImageError(
            f"expected floating point in [0, 1], found {samples.min():g} to {samples.max():g}; divide 0 to 255 by 255, "
            "clip what lies just outside."
        )
    return samples


def rgb_over_white(image: Image.Image) -> Image.Image:
    """Return an image upright and in 8-bit RGB, transparency laid over white.

    It takes no more memory than Pillow's own conversions, so that training can decode many photographs at a time. The
    image is changed in place.

    Args:
        image: opened and not decoded yet.

    Raises:
        ImageError: deep grey has values of an unknown range; the message is to stand behind a file's name.
    """
    mend_transparency(image)
    if (orientation := orientation_of(image)) != 1:
        image.getexif()[ExifTags.Base.Orientation] = orientation  # Pillow would also ask XMP
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        if (values := deep_grey(image)) is None:
            raise ImageError("has values beyond 16 bits, or 1 in floating point; save it with 8 or 16 bits a channel")
        # Pillow hands out 16 bits as 16 or 32-bit integers. Floating-point files hold [0, 1].
        full = np.float32(1 if image.mode == "F" else 65535)
        image = Image.fromarray(to_uint8(np.float32(values) / full), "L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation that is still to be applied to an image, 1 to 8.

    As in browsers and viewers, that of XMP counts nothing. What stands behind the pixels of a PNG is seen once these
    are decoded.
    """
    # Their decoders apply it, but for a JPEG within a JPEG XL.
    if image.format == "TIFF" or (image.format == "JXL" and not getattr(image, "jpeg", False)):
        return 1
    exif = Image.Exif()
    with contextlib.suppress(Exception):  # malformed EXIF can raise anything
        if data := image.info.get("exif"):
            exif.load(data)
        elif profile := image.info.get("Raw profile type exif"):
            exif.load(bytes.fromhex("".join(profile.split("\n")[3:])))
    found = exif.get(ExifTags.Base.Orientation)
    return found if found in range(1, 9) else 1


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return the width and height that an image has upright, see ``orientation_of``; nothing is decoded."""
    return image.size[::-1] if orientation_of(image) in (5, 6, 7, 8) else image.size


def upright(samples: np.ndarray, orientation: int) -> np.ndarray:
    """Return a view of (H, W, C) samples with an EXIF orientation applied, 1 to 8; anything else is taken as 1."""
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    return samples


def mend_transparency(image: Image.Image) -> None:
    """Give the transparent grey of a PNG of 1, 2 or 4 bits, not decoded yet, in the 8 bits that it is decoded to."""
    grey, tiles = image.info.get("transparency"), getattr(image, "tile", ())
    if isinstance(grey, int) and tiles and (depth := {"1": 1, "L;2": 2, "L;4": 4}.get(_rawmode(tiles[0]))):
        largest = 2**depth - 1
        image.info["transparency"] = (grey & largest) * 255 // largest


def deep_grey(image: Image.Image) -> np.ndarray | None:
    """Return the samples (H, W) of a grey image of more than 8 bits, from 0 for black.

    Returns:
        Integers up to 65535, or floating point up to 1; None if there is a sample beyond, whose range nobody knows.
    """
    values, largest = np.asarray(image), 1 if image.mode == "F" else 65535
    if not (values.min() >= 0 and values.max() <= largest):  # NaN is neither
        return None
    white_is_zero = image.format == "TIFF" and image.tag_v2.get(PHOTOMETRIC) == 0
    return largest - values if white_is_zero else values


def _decoder_of_16_bits(source: Source, image: Image.Image):
    """Return a function that decodes all 16 bits of a file that Pillow would cut down to 8, else None.

    Pillow unpacks raw mode ``RGB;16B`` into the first byte of every sample and ``RGB;16L`` into the second: decoding
    once as each gives both. Grey with alpha has four bytes per pixel, which ``RGBA`` takes over as they are.
    """
    if not (tiles := getattr(image, "tile", ())):
        return None
    rawmode = _rawmode(tiles[0])
    if rawmode == "LA;16B":

        def grey_alpha():
            both = _load_as(source, {"LA;16B": "RGBA"}).astype(np.uint16)
            return both[..., 0::2] << 8 | both[..., 1::2]

        return grey_alpha
    if not re.fullmatch("RGB[AX]?;16[BLN]", rawmode):
        return None
    other = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}[rawmode[-1]]

    def colors():
        upper, lower = np.asarray(image), _load_as(source, {rawmode: rawmode[:-1] + other})
        return (upper.astype(np.uint16) << 8 | lower)[..., : 4 if rawmode[3] == "A" else 3]

    return colors


def _rawmode(tile) -> str:
    """Return how a decoder is to unpack a part of an image; some want nothing but that, some more."""
    arguments = tile[3]
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _load_as(source: Source, rawmodes: dict[str, str]) -> np.ndarray:
    with opened(source) as image:
        tiles = []
        for tile in image.tile:
            rawmode = rawmodes[_rawmode(tile)]
            arguments = (rawmode, *tile[3][1:]) if isinstance(tile[3], tuple) else rawmode
            # Named tuples since Pillow 11, of which some decoders ask for the names.
            tiles.append(getattr(type(tile), "_make", tuple)((*tile[:3], arguments)))
        image.tile = tiles
        image.load()
        return np.asarray(image)


def _to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    if icc and image.mode == "CMYK":
        with contextlib.suppress(ImageCms.PyCMSError, OSError):  # a broken profile: fall back to the plain formula
            source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    if image.mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        return ImageCms.profileToProfile(image, lab, ImageCms.createProfile("sRGB"), outputMode="RGB")
    return image.convert("RGB")
