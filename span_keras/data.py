"""Paired random patches of photographs for training, and whole images for validation.

A photograph is decoded once to uint8 RGB and cropped to whole multiples of the scale; its LR image is made once, from
the whole photograph, by ``bicubic.downscale`` in uint8 as MATLAB does. A patch is then a slice of both, and of what a
teacher makes of the LR image.

**Sampling.** A photograph is drawn with a probability proportional to its area and a patch uniformly within it, so
every pixel of a collection counts alike however it is cut into files. With ``hr_scales``, reduced copies count as
further photographs: they show the same scenes in finer detail, which most photographs lack at their full size. Where a
teacher's output is the target, no HR image is needed, and with ``lr_scales`` larger copies serve as LR images, too.
With ``contrast``, copies of raised contrast do the same for edges between extremes, as drawings and print have them,
and with ``rotate`` all copies, but not the photographs themselves, are rotated by angles of their own.

**Memory.** If the decoded photographs fit into ``cache_gb`` they are all kept. If not, training goes through *working
sets*: a seeded shuffle of all photographs is cut into sets of about equal size, two of which fit into ``cache_gb``.
Patches come from one set while the next is decoded in the background; a set is left when ``REUSE`` times its area
has been drawn. Nothing is written to disk.

**Reproducibility.** A batch depends on ``(files, settings, seed, epoch, index)`` alone, so any batch can be made again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import os
import threading
import warnings
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from span_keras import bicubic, imageio, orientation
from span_keras.config import SCALES
from span_keras.errors import DataError
from span_keras.metrics import SSIM_WINDOW
from span_keras.settings import DEGRADATIONS, MOST_CONTRAST, TARGETS

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif", ".ppm")
"""File names that count as photographs, in any case of letters."""
REUSE = 8
"""Times the area of a working set that is drawn from it before the next one takes over: once per orientation."""
LAG = 32
"""Steps into a working set after which the one before it is given up: more than the batches in flight at once."""
MOST_DECODERS = 8
"""Threads that decode at a time at most, each of which holds a photograph."""
STRIP = 64
"""Rows handled at a time while decoding, so that no whole photograph is ever held in floating point."""
BUNDLED_TRAIN = Path(__file__).parent / "bundled" / "photos" / "train"
"""Eight photographs in the public domain: what training uses without ``--data``."""
BUNDLED_VAL = Path(__file__).parent / "bundled" / "photos" / "val"
"""Two more, for validation."""


class Pair(NamedTuple):
    """An LR image (h, w, 3) and its HR image (h·scale, w·scale, 3), uint8 RGB."""

    lr: np.ndarray
    hr: np.ndarray


# -- files -----------------------------------------------------------------------------------------------------------


def list_photos(source: str | os.PathLike | Iterable[str | os.PathLike]) -> list[Path]:
    """All photographs of a folder and its subfolders, sorted; a list of files is only sorted.

    Raises:
        DataError: the folder is missing or holds none.
    """
    if not isinstance(source, (str, os.PathLike)):
        files = sorted(map(Path, source))
        if not files:
            raise DataError("Expected photographs, found an empty list of files.")
        return files
    folder = Path(source)
    if not folder.exists():
        raise DataError(f"Expected a folder of photographs, found nothing at {folder}; check the path.")
    if folder.is_file():
        if folder.suffix.lower() not in SUFFIXES:
            raise DataError(
                f"Expected a folder of photographs or one photograph ({' '.join(SUFFIXES)}), found {folder}."
            )
        return [folder]
    files = sorted(
        path
        for path in imageio.files_below(folder)
        # Names that start with a dot are not photographs (macOS leaves "._photo.jpg" beside each photo.jpg).
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if not files:
        raise DataError(f"Expected photographs ({' '.join(SUFFIXES)}) in {folder} or its subfolders, found none.")
    return files


def split_validation(files: Sequence[str | os.PathLike], count: int, seed: int = 0) -> tuple[list[Path], list[Path]]:
    """Hold out ``count`` files: ``(training, validation)``, both sorted.

    The choice goes by a hash of seed and name (with its folder), so it does not depend on the order of the files or
    on where they lie, and adding photographs hardly changes it.

    Raises:
        DataError: fewer than ``count + 1`` files.
    """
    files = sorted(map(Path, files))
    if not 0 <= count < len(files):
        raise DataError(
            f"Holding out {count} validation images must leave some for training, found {len(files)} in all; "
            "add photographs, or name a folder of validation images (--val)."
        )
    ranked = sorted(files, key=lambda path: _digest(path, f"{seed}/"))
    return sorted(ranked[count:]), sorted(ranked[:count])


def _digest(path: Path, prefix: str = "") -> bytes:
    """A hash of the names of a file and its folder: the same wherever that lies, and whatever else is in it."""
    # Names need not be UTF-8: Python holds the bytes that are not as surrogates.
    return hashlib.sha256(f"{prefix}{path.parent.name}/{path.name}".encode("utf-8", "surrogateescape")).digest()


def _drawn(path: Path, prefix: str = "") -> float:
    """``_digest`` as a number from 0 to 1."""
    return int.from_bytes(_digest(path, prefix)[:8], "big") / 2**64


# -- decoding --------------------------------------------------------------------------------------------------------


def load_pair(
    path: str | os.PathLike, scale: int, hr_scale: float = 1.0, contrast: float = 1.0, rotation: float = 0.0
) -> Pair:
    """Decode a photograph and make its LR image.

    EXIF orientation is applied; greyscale, palette, CMYK and 16-bit images become 8-bit RGB; transparency is laid over
    white. HR is cropped (right and bottom) to multiples of ``scale``; LR is its MATLAB-bicubic reduction, rounded.

    Args:
        hr_scale: reduce the photograph by this factor (Lanczos) before its LR image is made.
        contrast: then raise its contrast by this factor, see ``_with_contrast``.
        rotation: before both, rotate it by this many degrees, see ``_rotated``.

    Raises:
        DataError: the file cannot be decoded, or is smaller than ``scale``.
    """
    with _decoded(path) as image:
        image = _rotated(image, rotation)
        if hr_scale != 1:
            image = image.resize(_reduced(image.size, hr_scale), Image.Resampling.LANCZOS)
        image = _with_contrast(image, contrast)
        lr_shape = image.height // scale, image.width // scale, 3
        hr = np.empty((lr_shape[0] * scale, lr_shape[1] * scale, 3), np.uint8)
        for top in range(0, hr.shape[0], STRIP):
            # Strips, because a conversion in one piece holds two more copies of the photograph.
            bottom = min(top + STRIP, hr.shape[0])
            hr[top:bottom] = np.asarray(image.crop((0, top, hr.shape[1], bottom)))
    if 0 in lr_shape:
        raise DataError(f"{path} is smaller than {scale} pixels.")
    lr = np.empty(lr_shape, np.uint8)
    # The kernel reaches 2·scale HR rows; two more LR rows on each side make a strip equal to the whole image.
    margin = 4
    for top in range(0, lr_shape[0], STRIP):
        first, last = max(top - margin, 0), min(top + STRIP + margin, lr_shape[0])
        rows = bicubic.downscale(hr[first * scale : last * scale], scale)[top - first :][:STRIP]
        lr[top : top + len(rows)] = rows
    return Pair(lr, hr)


def load_lr(path: str | os.PathLike, lr_scale: float, contrast: float = 1.0, rotation: float = 0.0) -> np.ndarray:
    """Decode a photograph as ``load_pair`` does and reduce it by a factor: (H·lr_scale, W·lr_scale, 3) uint8.

    Pillow's bicubic kernel is MATLAB's; only at the borders do they differ.

    Raises:
        DataError: the file cannot be decoded.
    """
    with _decoded(path) as image:
        image = _rotated(image, rotation)
        image = image.resize(_reduced(image.size, lr_scale), Image.Resampling.BICUBIC)
        return np.asarray(_with_contrast(image, contrast))


@contextlib.contextmanager
def _decoded(path: str | os.PathLike) -> Iterator[Image.Image]:
    """The photograph, upright and in RGB."""
    try:
        with _opened(path) as image:
            imageio.mend_transparency(image)
            ImageOps.exif_transpose(image, in_place=True)
            yield _to_rgb(image)
    except Exception as error:  # decoders raise whatever their formats' damage makes of them
        raise DataError(f"{path} cannot be read as an image: {error}.") from error


@contextlib.contextmanager
def _opened(path: str | os.PathLike) -> Iterator[Image.Image]:
    # Pillow's remarks on odd metadata and large images help nobody here. For good, because filters belong to the whole
    # process: threads that change them for a while and back, as `catch_warnings` does, can leave each other's behind.
    # Behind all other filters, so that users have the say.
    warnings.filterwarnings("ignore", module=r"PIL\.", append=True)
    with Image.open(path, formats=_formats()) as image:
        yield image


@functools.cache
def _formats() -> list[str]:
    """Those of ``SUFFIXES`` that this Pillow decodes. Others are refused whatever they are called: EPS runs code."""
    Image.init()
    known = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "PPM")
    return [name for name in known if name in Image.OPEN]


def _reason(error: Exception) -> str:
    """Why a file is no photograph to train on."""
    match error:
        case FileNotFoundError():
            return "missing"
        case PermissionError():
            return "no permission to read it"
        case Image.DecompressionBombError():
            return f"more than {2 * Image.MAX_IMAGE_PIXELS / 1e6:.0f} megapixels, the most that is decoded"
    return "not a readable image"


def _with_contrast(image: Image.Image, factor: float) -> Image.Image:
    """Every value so many times as far from the mean brightness, clipped; 1 changes nothing."""
    return image if factor == 1 else ImageEnhance.Contrast(image).enhance(factor)


def contrast_of(path: Path, most: float) -> float:
    """The factor from 1 to ``most`` that a photograph's contrast is raised by.

    It is drawn evenly on a logarithmic scale by the photograph's ``_digest``, so that it stays when others come and go:
    what a teacher made of the copy serves further runs.
    """
    return most ** _drawn(path)


def _rotated(image: Image.Image, degrees: float) -> Image.Image:
    """Rotated counterclockwise about its centre and cropped to its old size; 0 changes nothing.

    What comes in at the corners is the photograph mirrored at its borders: a copy without it would lose half the
    area or more, and small photographs would no longer hold a patch.
    """
    if degrees == 0:
        return image
    (width, height), (wide, high) = image.size, _rotated_over(image.size, degrees)
    across, down = (wide - width) // 2, (high - height) // 2
    mirrored = Image.fromarray(np.pad(np.asarray(image), ((down, down), (across, across), (0, 0)), "symmetric"))
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    # From output to input positions, such that one centre meets the other.
    x, y = (wide - cos * width + sin * height) / 2, (high - sin * width - cos * height) / 2
    affine = (cos, -sin, x, sin, cos, y)
    return mirrored.transform((width, height), Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC)


def _rotated_over(size: tuple[int, int], degrees: float) -> tuple[int, int]:
    """Size of the surroundings that a rotation with bicubic interpolation reads, centred on an image of a size."""
    cos, sin = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    width, height = size
    reach = width * cos + height * sin, width * sin + height * cos
    return tuple(old + 2 * max(math.ceil((new - old) / 2) + 2, 0) for old, new in zip(size, reach, strict=True))


def rotation_of(path: Path, copy: str) -> float:
    """The angle from -45° to 45° that a copy of a photograph is rotated by; flips and transposes make all others of it.

    It is drawn evenly by a hash of the photograph's and the copy's names, for the reason told in ``contrast_of``.
    """
    return 90 * _drawn(path, f"{copy}/") - 45


def _reduced(size: tuple[int, int], factor: float) -> tuple[int, int]:
    return max(round(size[0] * factor), 1), max(round(size[1] * factor), 1)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I") or image.mode == "F":
        if (values := imageio.deep_grey(image)) is None:
            raise DataError("it has values beyond 16 bits, or 1 in floating point; save it with 8 or 16 bits a channel")
        # Pillow hands out 16 bits as 16 or 32-bit integers. Floating-point files hold [0, 1].
        full = np.float32(1 if image.mode == "F" else 65535)
        image = Image.fromarray(bicubic.to_uint8(np.float32(values) / full), "L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def load_validation(
    source: str | os.PathLike | Iterable[str | os.PathLike],
    scale: int,
    on_skip: Callable[[Path, str], None] = lambda path, reason: None,
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Whole images for validation, in sorted order.

    Args:
        on_skip: told of every image that cannot be used, and why.

    Returns:
        A list of ``(name, LR (h, w, 3), HR (h·scale, w·scale, 3))``, uint8 RGB.

    Raises:
        DataError: no image can be used.
    """
    images, problems = [], []
    least = SSIM_WINDOW + 2 * scale  # what is left once the border is shaved
    for path in list_photos(source):
        try:
            pair = load_pair(path, scale)
            if min(pair.hr.shape[:2]) < least:
                raise DataError(f"{path} is smaller than the {least} pixels that SSIM needs.")
            images.append((path.name, *pair))
        except DataError as error:
            problems.append(str(error))
            on_skip(path, str(error))
    if not images:
        raise DataError(f"None of the {len(problems)} validation images can be used. {problems[0]}")
    return images


# -- patches ---------------------------------------------------------------------------------------------------------


class _Photo(NamedTuple):
    path: Path
    hr_scale: float
    lr_scale: float  # 0: LR is made from HR
    contrast: float
    rotation: float  # degrees
    pixels: int  # of the target
    bytes: int  # of all images once decoded
    decoding: int  # bytes that Pillow holds meanwhile


class _WorkingSet:
    """Decoded photographs that patches are drawn from: LR image, target and, with a teacher beside it, its output."""

    def __init__(self, photos: list[tuple[np.ndarray, ...]]):
        self.photos = photos
        self.sizes = np.array([lr.shape[:2] for lr, *_ in photos])
        self.bounds = np.cumsum(self.sizes.prod(1)) / self.sizes.prod(1).sum()

    def draw(self, rng: np.random.Generator, count: int, patch: int) -> tuple[np.ndarray, np.ndarray]:
        """``count`` random patches: photograph numbers (count,) and LR top-left corners (count, 2)."""
        # The last bound can round to less than 1, hence the minimum.
        photos = np.minimum(np.searchsorted(self.bounds, rng.random(count), side="right"), len(self.photos) - 1)
        corners = (rng.random((count, 2)) * (self.sizes[photos] - patch + 1)).astype(int)
        return photos, corners


class PatchDataset(keras.utils.PyDataset):
    """Random pairs of patches, batch by batch: ``dataset[i]`` is ``(LR, HR)``, or ``(LR, HR, taught)`` with a teacher,
    whose output can also stand alone: ``(LR, taught)``.

    LR is (batch, patch, patch, 3), the others (batch, patch·scale, patch·scale, 3), all RGB: uint8 as ``SpanTrainer``
    wants them, or float32 in [0, 1] for ``keras.Model.fit`` (give it ``shuffle=False`` then). Workers are threads:
    slices are copied with the interpreter lock released.

    Args:
        source: a folder (searched with its subfolders) or a list of files.
        scale: 2, 3 or 4.
        patch: side of the LR patch in pixels.
        batch_size: patches per batch, over all shards.
        steps_per_epoch: batches per epoch; the length of the dataset.
        seed: of everything random.
        workers: threads that make batches ahead of training.
        cache_gb: bound, in units of 1e9 bytes, for decoded photographs (see the module's text).
        degrade: any of ``DEGRADATIONS``, applied to the LR patch with strengths drawn per patch: Gaussian ``blur`` of
            standard deviation 0 to 1.5 LR pixels, Gaussian ``noise`` of 0 to 10 levels, ``jpeg`` of quality 40 to 95.
        augment: flips and quarter turns, all eight alike.
        rgb_order: also permute the colour channels, all six orders alike.
        hr_scales: factors below 1. Each photograph is also used reduced by each of them, where a patch still fits in.
        contrast: above 1, every photograph, reduced or not, is also used with its contrast raised by a factor between
            1 and this, see ``contrast_of``. Half of all patches then come from these copies.
        rotate: rotate all these copies, and those of ``lr_scales``, see ``rotation_of``.
        teacher: makes a target of each whole LR image, (h, w, 3) -> (h·scale, w·scale, 3) uint8, for instance a
            ``teacher.Teacher``. It sees what ``degrade`` has not touched yet.
        target: what stands for HR: the ``"photo"``, with the teacher's output as a second target, or the output of the
            ``"teacher"`` alone.
        lr_scales: factors below 1, for the target ``"teacher"``. Each photograph reduced by each of them is an LR
            image, too, where a patch fits in.
        dtype: ``"uint8"`` or, with a single target, ``"float32"``.
        shard: ``(index, count)``: make only this share of every batch, for one of several processes.
        progress: called as ``progress(done, total)`` while photographs are decoded in the beginning.

    Attributes:
        epoch: the epoch that ``dataset[i]`` belongs to; ``on_epoch_end`` adds one. Set it before resuming.
        skipped: unusable files so far and why, path -> reason.

    Raises:
        DataError: no usable photograph, an impossible setting, or too small a cache.
    """

    def __init__(
        self,
        source,
        *,
        scale: int,
        patch: int,
        batch_size: int,
        steps_per_epoch: int,
        seed: int = 0,
        workers: int = 4,
        cache_gb: float = 4.0,
        degrade: Sequence[str] = (),
        augment: bool = True,
        rgb_order: bool = False,
        hr_scales: Sequence[float] = (),
        contrast: float = 1.0,
        rotate: bool = False,
        teacher: Callable[[np.ndarray], np.ndarray] | None = None,
        target: str = "photo",
        lr_scales: Sequence[float] = (),
        dtype: str = "uint8",
        shard: tuple[int, int] = (0, 1),
        progress: Callable[[int, int], None] | None = None,
    ):
        super().__init__(workers=workers, max_queue_size=max(min(2 * workers + 2, LAG - workers), 1))
        _check_settings(
            scale, patch, batch_size, steps_per_epoch, seed, degrade, hr_scales, lr_scales, contrast, dtype, shard
        )
        if target not in TARGETS:
            raise DataError(f"Expected a target among {', '.join(TARGETS)}, found {target!r}.")
        if target == "teacher" and not teacher:
            raise DataError("The target teacher expects a teacher, found none.")
        if lr_scales and target != "teacher":
            raise DataError(f"LR scales expect the target teacher, found {target}: their LR images have no HR image.")
        if teacher and target == "photo" and dtype == "float32":
            raise DataError("Expected one target with dtype float32, found two; Keras's fit takes a single one.")
        self.scale, self.patch, self.batch_size, self.steps_per_epoch = scale, patch, batch_size, steps_per_epoch
        self.seed, self.augment, self.rgb_order, self.dtype = seed, augment, rgb_order, dtype
        self.degrade = tuple(name for name in DEGRADATIONS if name in degrade)
        self.teacher, self.target = teacher, target
        self._factors = (1, scale, scale) if teacher and target == "photo" else (1, scale)
        share = batch_size // shard[1]
        self._rows = range(shard[0] * share, (shard[0] + 1) * share)
        self.epoch = 0
        self.skipped: dict[Path, str] = {}

        files = list_photos(source)
        sizes = [(factor, 0.0) for factor in (1.0, *hr_scales)] + [(1.0, factor) for factor in lr_scales]
        self._photos = self._scan(files, sizes, contrast, rotate)
        self._plan_sets(cache_gb)
        self._lock = threading.Condition()
        self._sets: OrderedDict[int, Future] = OrderedDict()
        self._wanted: Counter[int] = Counter()  # how many threads ask for a set
        self._loader = ThreadPoolExecutor(1, "span-working-set")
        self._progress, self._closed = progress, False
        if self._set_count == 1:
            try:
                self._set_at(0)
            except BaseException:  # Ctrl-C, too
                self.close()
                raise

    def __len__(self) -> int:
        return self.steps_per_epoch

    def close(self) -> None:
        """Stop decoding. Without it, a program that ends waits until the working set under way is decoded."""
        self._closed = True
        self._loader.shutdown(wait=False, cancel_futures=True)

    def on_epoch_end(self) -> None:
        """Go on to the next epoch."""
        self.epoch += 1

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        """Batch ``index`` of the current epoch."""
        *batch, numbers = self.unturned(index)
        for patches in batch:
            for row, number in enumerate(numbers):
                patches[row] = orientation.turned(patches[row], number).copy()
        if self.dtype == "float32":
            return tuple(np.float32(patches) / 255 for patches in batch)
        return tuple(batch)

    def unturned(self, index: int) -> tuple[np.ndarray, ...]:
        """Batch ``index`` with the turning left to the device, which is better at it.

        Returns:
            The uint8 arrays of ``dataset[index]``, patches as they lie in the photographs, and the orientation each is
            to have, (batch,) uint8; see ``orientation``.
        """
        if not 0 <= index < self.steps_per_epoch:
            raise IndexError(index)
        key = (self.seed, self.epoch, index)
        photos = self._set_at(self.epoch * self.steps_per_epoch + index)
        rng = np.random.default_rng(key)
        chosen, corners = photos.draw(rng, self.batch_size, self.patch)
        numbers = rng.integers(8, size=self.batch_size) if self.augment else np.zeros(self.batch_size, int)
        orders = rng.permuted(np.tile(np.arange(3), (self.batch_size, 1)), axis=1) if self.rgb_order else None

        sides = [self.patch * factor for factor in self._factors]
        batch = [np.empty((len(self._rows), side, side, 3), np.uint8) for side in sides]
        for out, row in enumerate(self._rows):
            for patches, image, side, factor in zip(
                batch, photos.photos[chosen[row]], sides, self._factors, strict=True
            ):
                top, left = factor * corners[row]
                patches[out] = image[top : top + side, left : left + side]
                if orders is not None:
                    patches[out] = patches[out][..., orders[row]]
            if self.degrade:
                lr = batch[0]
                lr[out] = _degraded(lr[out], self.degrade, np.random.default_rng((*key, row)))
        return *batch, numbers[self._rows.start : self._rows.stop].astype(np.uint8)

    @property
    def set_count(self) -> int:
        """Number of working sets; 1 if all photographs are kept."""
        return self._set_count

    def describe(self) -> str:
        """One line on what the patches come from: photographs, megapixels of targets, memory, files skipped and why."""
        photos = [photo for photo in self._photos if photo.path not in self.skipped]
        size = sum(photo.bytes for photo in photos) / 1e9
        raised = sum(photo.contrast != 1 for photo in photos)
        rotated = sum(photo.rotation != 0 for photo in photos)
        reduced = sum(photo.contrast == 1 and (photo.hr_scale != 1 or photo.lr_scale != 0) for photo in photos)
        copies = f" and {reduced} reduced copies" if reduced else ""
        copies += f", {raised} more copies of raised contrast" if raised else ""
        copies += f", {rotated} copies rotated" if rotated else ""
        pixels = sum(photo.pixels for photo in photos) / 1e6
        text = f"{len(photos) - reduced - raised} photographs{copies}, {pixels:.1f} megapixels, {size:.2f} GB"
        if self._set_count > 1:
            text += f" in {self._set_count} working sets"
        if self.skipped:
            reasons = "; ".join(f"{path.name} ({reason})" for path, reason in list(self.skipped.items())[:10])
            more = f"; and {len(self.skipped) - 10} more" if len(self.skipped) > 10 else ""
            text += f"; {len(self.skipped)} skipped: {reasons}{more}"
        return text

    # -- photographs and working sets

    def _scan(self, files: list[Path], sizes: list[tuple[float, float]], contrast: float, rotate: bool) -> list[_Photo]:
        """Read the sizes of all files; note those that cannot be used. ``sizes``: scales of HR and LR."""
        least = self.patch * self.scale

        def scan(path: Path) -> list[_Photo] | str:
            try:
                with _opened(path) as image:
                    width, height = image.size
            except Exception as error:  # decoders raise whatever their formats' damage makes of them
                return _reason(error)
            photos = []
            for hr_scale, lr_scale in sizes:
                w, h = read = _reduced((width, height), lr_scale or hr_scale)
                if lr_scale:
                    w, h = self.scale * w, self.scale * h
                if min(w, h) >= least:
                    values = w * h * sum(factor**2 for factor in self._factors) // self.scale**2
                    for raised in (False, True)[: 1 + (contrast > 1)]:
                        factor = contrast_of(path, contrast) if raised else 1.0
                        copy = f"{hr_scale:g} {lr_scale:g} {raised}"
                        is_copy = raised or (hr_scale, lr_scale) != (1, 0)
                        rotation = rotation_of(path, copy) if rotate and is_copy else 0.0
                        # Pillow holds four bytes per pixel, and two more copies where the contrast is raised. What a
                        # rotation reads is held with three bytes per pixel besides.
                        size = math.prod(read)
                        decoding = 4 * (width * height + (size if read != (width, height) else 0))
                        decoding += 8 * size if raised else 0
                        decoding += 7 * math.prod(_rotated_over((width, height), rotation)) if rotation else 0
                        photos.append(_Photo(path, hr_scale, lr_scale, factor, rotation, w * h, 3 * values, decoding))
            return photos or f"{width}×{height}, smaller than the {least}×{least} HR patch"

        with ThreadPoolExecutor(_decoders()) as pool:
            results = list(pool.map(scan, files))
        self.skipped |= {path: found for path, found in zip(files, results, strict=True) if isinstance(found, str)}
        photos = [photo for found in results if not isinstance(found, str) for photo in found]
        if not photos:
            self._raise_unusable()
        return photos

    def _raise_unusable(self):
        path, reason = next(iter(self.skipped.items()))
        small = any("smaller than" in reason for reason in self.skipped.values())
        least = f" of at least {self.patch * self.scale} pixels a side" if small else ""
        raise DataError(
            f"Expected photographs{least}, found none among {len(self.skipped)} files (first: {path}: {reason}); "
            f"use {'larger photographs or a smaller patch' if small else 'others'}."
        )

    def _plan_sets(self, cache_gb: float) -> None:
        total = sum(photo.bytes for photo in self._photos)
        self._set_count, self._set_steps, self._most_decoders = 1, 0, MOST_DECODERS
        if total <= cache_gb * 1e9:
            return
        # Two sets are alive at a time, and the cut between sets falls on a whole photograph.
        biggest = max(self._photos, key=lambda photo: photo.bytes)
        largest = max(photo.decoding for photo in self._photos)
        # As many decoders as there is room for, however many processors there are: the sets, and with them the batches,
        # are the same on every machine.
        for self._most_decoders in range(MOST_DECODERS, 0, -1):
            decoding = self._most_decoders * largest
            room = (cache_gb * 1e9 - decoding) / 2 - biggest.bytes
            if room >= biggest.bytes:
                break
        else:
            need = (4 * biggest.bytes + decoding) / 1e9
            raise DataError(
                f"A photo cache of {cache_gb:g} GB is too small for {biggest.path} "
                f"({biggest.pixels / 1e6:.0f} megapixels); give at least {need:.2f} GB."
            )
        self._set_count = math.ceil(total / room)
        pixels = sum(photo.pixels for photo in self._photos) / self._set_count
        drawn = self.batch_size * (self.patch * self.scale) ** 2
        self._set_steps = max(math.ceil(REUSE * pixels / drawn), 2 * LAG)

    def _shuffled_sets(self, turn: int) -> list[list[_Photo]]:
        """The photographs of every working set in one turn through all of them."""
        order = np.random.default_rng((self.seed, turn)).permutation(len(self._photos))
        sizes = np.array([self._photos[i].bytes for i in order])
        numbers = (np.cumsum(sizes) - sizes / 2) * self._set_count // sizes.sum()
        return [[self._photos[i] for i in order[numbers == number]] for number in range(self._set_count)]

    def _set_at(self, step: int) -> _WorkingSet:
        """The working set of a global step; starts decoding the next one in time."""
        number, position = divmod(step, self._set_steps) if self._set_count > 1 else (0, 0)
        with self._lock:
            self._wanted[number] += 1
        try:
            # In slices: a signal that comes just before the main thread begins to wait is seen only when it wakes.
            with self._lock:
                # More threads than a set has steps ask for more than the two sets that there is room for.
                while not self._has_room(number):
                    self._lock.wait(1)
                future = self._request(number)
                if position >= LAG:
                    self._request(number + 1, ahead=True)
            while not future.done():
                wait([future], timeout=1)
            return future.result()
        finally:
            with self._lock:
                self._wanted[number] -= 1
                if not self._wanted[number]:
                    del self._wanted[number]
                    self._lock.notify_all()

    def _has_room(self, number: int) -> bool:
        """Whether a set is held, or is one of the two wanted first and no two others are in use."""
        held = sum(other in self._wanted for other in self._sets)
        return number in self._sets or (held < 2 and number in sorted(self._wanted)[:2])

    def _request(self, number: int, ahead: bool = False) -> Future | None:
        """A working set, from the two most recently used or newly decoded; ``ahead``: only where there is room."""
        if number not in self._sets:
            for other in [other for other in self._sets if other not in self._wanted]:
                if len(self._sets) > 1:
                    self._sets.pop(other).cancel()
            if ahead and len(self._sets) > 1:
                return None
            self._sets[number] = self._loader.submit(self._load, number)
        self._sets.move_to_end(number)
        return self._sets[number]

    def _taught(self, lr: np.ndarray) -> np.ndarray:
        taught = self.teacher(lr)
        shape = lr.shape[0] * self.scale, lr.shape[1] * self.scale, 3
        if taught.shape != shape or taught.dtype != np.uint8:
            raise DataError(
                f"Expected the teacher to make {shape} uint8 of an LR image, found {taught.shape} {taught.dtype}; "
                f"its scale must be {self.scale}."
            )
        return taught

    def _load(self, number: int) -> _WorkingSet:
        """A working set; if none of its photographs can be used, the next that has some, as on every machine.

        Raises:
            DataError: no photograph of the whole collection can be used.
        """
        if self._set_count == 1:
            loaded = self._decode(self._photos, self._progress)
        else:
            # What is left of this turn need not hold all photographs, the one after it does.
            for later in range(number, (number // self._set_count + 2) * self._set_count):
                turn, place = divmod(later, self._set_count)
                loaded = self._decode(self._shuffled_sets(turn)[place])
                if loaded or self._closed:
                    break
        if not loaded and not self._closed:
            self._raise_unusable()
        return _WorkingSet(loaded)

    def _decode(self, photos: list[_Photo], progress: Callable[[int, int], None] | None = None) -> list:
        """What of these photographs a working set holds."""

        def load(photo: _Photo) -> tuple[np.ndarray, ...] | None:
            if self._closed:
                return None
            try:
                if photo.lr_scale:
                    images = (load_lr(photo.path, photo.lr_scale, photo.contrast, photo.rotation),)
                else:
                    images = load_pair(photo.path, self.scale, photo.hr_scale, photo.contrast, photo.rotation)
            except DataError as error:
                self.skipped[photo.path] = str(error.__cause__ or error)
                return None
            if not self.teacher:
                return images
            if self._closed:  # asked once more, because a teacher takes its time
                return None
            kept = images if self.target == "photo" else images[:1]
            return *kept, self._taught(images[0])

        loaded = []
        with ThreadPoolExecutor(min(_decoders(), self._most_decoders), "span-decode") as pool:
            for done, photo in enumerate(pool.map(load, photos), 1):
                loaded += [photo] if photo else []
                if progress and not self._closed:
                    progress(done, len(photos))
        return loaded


def _decoders() -> int:
    """Threads that decode photographs: all processors, but no more than need be held in memory at a time."""
    return min(os.cpu_count() or 1, MOST_DECODERS)


def _check_settings(
    scale, patch, batch_size, steps_per_epoch, seed, degrade, hr_scales, lr_scales, contrast, dtype, shard
) -> None:
    if scale not in SCALES:
        raise DataError(f"Expected a scale among {SCALES}, found {scale!r}.")
    numbers = {"patch size": patch, "batch size": batch_size, "steps per epoch": steps_per_epoch}
    for name, value in numbers.items():
        if not isinstance(value, int) or value < 1:
            raise DataError(f"Expected a {name} of 1 or more, found {value!r}.")
    if not isinstance(seed, int) or seed < 0:
        raise DataError(f"Expected a seed of 0 or more, found {seed!r}.")
    if isinstance(degrade, str) or (unknown := sorted(set(degrade) - set(DEGRADATIONS))):
        found = degrade if isinstance(degrade, str) else ", ".join(unknown)
        raise DataError(f"Expected degradations among {', '.join(DEGRADATIONS)}, found {found!r}.")
    for name, factors in {"HR": hr_scales, "LR": lr_scales}.items():
        if not all(isinstance(factor, (int, float)) and 0 < factor < 1 for factor in factors):
            raise DataError(f"Expected {name} scales above 0 and below 1, found {', '.join(map(str, factors))}.")
    if not isinstance(contrast, (int, float)) or not 1 <= contrast <= MOST_CONTRAST:
        raise DataError(f"Expected a contrast from 1 to {MOST_CONTRAST:g}, found {contrast!r}.")
    if dtype not in ("uint8", "float32"):
        raise DataError(f"Expected the dtype uint8 or float32, found {dtype!r}.")
    index, count = shard
    if not 0 <= index < count or batch_size % count:
        raise DataError(f"Expected a batch size that {count} processes share evenly, found {batch_size}.")


def _degraded(patch: np.ndarray, names: Sequence[str], rng: np.random.Generator) -> np.ndarray:
    """A uint8 patch as a real camera might have delivered it; strengths as told in ``PatchDataset``."""
    if "blur" in names:
        patch = np.asarray(Image.fromarray(patch).filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.5))))
    if "noise" in names:
        noise = rng.normal(0, rng.uniform(0, 10), patch.shape)
        patch = np.clip(np.rint(patch + noise), 0, 255).astype(np.uint8)
    if "jpeg" in names:
        buffer = BytesIO()
        Image.fromarray(patch).save(buffer, "JPEG", quality=int(rng.integers(40, 96)))
        patch = np.asarray(Image.open(buffer))
    return patch
