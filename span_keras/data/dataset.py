"""Paired random patches of photographs for training, and whole images for validation.

A photograph is decoded once to uint8 RGB and cropped to whole multiples of the scale; its LR image is made once, from
the whole photograph, by ``bicubic.downscale`` in uint8 as MATLAB does, or it is read from a file. A patch is then a
slice of both, and of what a teacher makes of the LR image.

**Sampling.** A photograph is drawn with a probability proportional to its area and a patch uniformly within it, so
every pixel of a collection counts alike however it is cut into files. With ``hr_scales``, reduced copies count as
further photographs: they show the same scenes in finer detail, which most photographs lack at their full size.

**Memory.** If the decoded photographs fit into ``cache_gb`` they are all kept. If not, training goes through *working
sets*: a seeded shuffle of all photographs is cut into sets of about equal size, two of which fit into ``cache_gb``.
Patches come from one set while the next is decoded in the background; a set is left when ``REUSE`` times its area
has been drawn. Nothing is written to disk.

**Reproducibility.** A batch depends on ``(files, settings, seed, epoch, index)`` alone, so any batch can be made again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np

from span_keras.constants import SCALES
from span_keras.data.decode import (
    check_headers,
    load_given_pair,
    load_pair,
    opened,
    reason_unusable,
    reduced,
)
from span_keras.data.degrade import Degrader
from span_keras.data.options import Degradations
from span_keras.data.photos import list_photos
from span_keras.data.working_sets import LAG, Photo, WorkingSets, decoder_count
from span_keras.errors import DataError, PairError
from span_keras.images import orientation


class PatchDataset(keras.utils.PyDataset):
    """Random pairs of patches, batch by batch.

    ``dataset[i]`` is ``(LR, HR)``, with a teacher ``(LR, HR, teacher_sr)``.

    LR is (batch, patch, patch, 3), the others (batch, patch·scale, patch·scale, 3), all RGB: float32 in [0, 1] for
    ``keras.Model.fit`` (give it ``shuffle=False``), or uint8 as ``SpanTrainer`` wants them. Workers are threads: slices
    are copied with the interpreter lock released.

    Args:
        source: a folder (searched with its subfolders) or a list of files.
        scale: 2, 3 or 4.
        patch: side of the LR patch in pixels.
        batch_size: patches per batch, over all shards.
        steps_per_epoch: batches per epoch; the length of the dataset.
        seed: of everything random.
        workers: threads that make batches ahead of training.
        cache_gb: bound, in units of 1e9 bytes, for decoded photographs (see the module's text).
        degradations: what happens to LR patches besides the reduction, see ``degrade``. They are made of HR patches on
            the device then, and a batch depends on the backend, too.
        augment: flips and quarter turns, all eight alike.
        hr_scales: factors below 1. Each photograph is also used reduced by each of them, where a patch still fits in.
        lr_files: HR file -> LR file, see ``photos.pair_folders``: LR images that are read instead of made. Neither
            ``degradations`` nor ``hr_scales`` go with them.
        teacher: makes a target of each whole LR image, (h, w, 3) -> (h·scale, w·scale, 3) uint8, for instance a
            ``teacher.Teacher``. Not together with ``degradations``.
        dtype: of ``dataset[i]``, ``"float32"`` or ``"uint8"``; with a teacher the latter alone. ``unturned`` always
            gives uint8.
        shard: ``(index, count)``: make only this share of every batch, for one of several processes.
        progress: called as ``progress(done, total)`` while photographs are decoded in the beginning.

    Attributes:
        epoch: the epoch that ``dataset[i]`` belongs to; ``on_epoch_end`` adds one. Set it before resuming.
        skipped: unusable files so far and why, path -> reason.

    Raises:
        PairError: an LR image has not its HR image's size divided by the scale.
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
        degradations: Degradations | None = None,
        augment: bool = True,
        hr_scales: Sequence[float] = (),
        lr_files: Mapping[Path, Path] | None = None,
        teacher: Callable[[np.ndarray], np.ndarray] | None = None,
        dtype: str | None = None,
        shard: tuple[int, int] = (0, 1),
        progress: Callable[[int, int], None] | None = None,
    ):
        super().__init__(workers=workers, max_queue_size=max(min(2 * workers + 2, LAG - workers), 1))
        dtype = dtype or ("uint8" if teacher else "float32")
        _check_settings(scale, patch, batch_size, steps_per_epoch, seed, hr_scales, dtype, shard)
        if teacher and dtype == "float32":
            raise DataError("expected one target with dtype float32, found two; Keras's fit takes a single one.")
        self.scale, self.patch, self.batch_size, self.steps_per_epoch = scale, patch, batch_size, steps_per_epoch
        self.seed, self.augment, self.dtype = seed, augment, dtype
        if teacher and degradations:
            raise DataError("expected a teacher or degradations, found both; a teacher's output is of clean LR images.")
        if lr_files and (degradations or hr_scales):
            raise DataError("expected LR files, or degradations and HR scales, found both; leave one of them out.")
        self.lr_files = lr_files or {}
        self.degrader = Degrader(degradations, scale, patch, seed) if degradations else None
        self.drawn_patch = self.degrader.hr_side // scale if self.degrader else patch
        self.teacher = teacher
        self._factors = (1, scale, scale) if teacher else (1, scale)
        share = batch_size // shard[1]
        self._rows = range(shard[0] * share, (shard[0] + 1) * share)
        self.epoch = 0
        self.skipped: dict[Path, str] = {}

        files = list_photos(source)
        self.photos = self._scan(files, (1.0, *hr_scales))
        self.working_sets = WorkingSets(
            self.photos,
            self._load,
            self._raise_unusable,
            seed=seed,
            cache_gb=cache_gb,
            pixels_per_step=batch_size * (self.drawn_patch * scale) ** 2,
            progress=progress,
        )
        self.working_sets.start()

    def __len__(self) -> int:
        return self.steps_per_epoch

    def close(self) -> None:
        """Stop decoding. Without it, a program that ends waits until the working set under way is decoded."""
        self.working_sets.close()

    def on_epoch_end(self) -> None:
        """Go on to the next epoch."""
        self.epoch += 1

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        """Return batch ``index`` of the current epoch."""
        *batch, numbers = self.unturned(index)
        for patches in batch:
            for row, number in enumerate(numbers):
                patches[row] = orientation.turned(patches[row], number).copy()
        if self.degrader:
            batch = self.degrader.arrays(*batch, self.epoch * self.steps_per_epoch + index)
        if self.dtype == "float32":
            return tuple(np.float32(patches) / 255 for patches in batch)
        return tuple(batch)

    def unturned(self, index: int) -> tuple[np.ndarray, ...]:
        """Return batch ``index`` with the turning left to the device, which is better at it.

        Returns:
            The uint8 arrays of ``dataset[index]``, patches as they lie in the photographs, and the orientation each is
            to have, (batch,) uint8; see ``orientation``. With degradations, the HR patches alone, of the size that
            ``degrader`` wants.
        """
        if not 0 <= index < self.steps_per_epoch:
            raise IndexError(index)
        key = (self.seed, self.epoch, index)
        photos = self.working_sets.at(self.epoch * self.steps_per_epoch + index)
        rng = np.random.default_rng(key)
        chosen, corners = photos.draw(rng, self.batch_size, self.drawn_patch)
        numbers = rng.integers(8, size=self.batch_size) if self.augment else np.zeros(self.batch_size, int)

        sides = [self.drawn_patch * factor for factor in self._factors]
        batch = [np.empty((len(self._rows), side, side, 3), np.uint8) for side in sides]
        for out, row in enumerate(self._rows):
            for patches, image, side, factor in zip(
                batch, photos.photos[chosen[row]], sides, self._factors, strict=True
            ):
                top, left = factor * corners[row]
                patches[out] = image[top : top + side, left : left + side]
        if self.degrader:
            del batch[0]
        return *batch, numbers[self._rows.start : self._rows.stop].astype(np.uint8)

    @property
    def set_count(self) -> int:
        """Number of working sets; 1 if all photographs are kept."""
        return self.working_sets.count

    def describe(self) -> str:
        """Say in a line what patches come from: photographs, megapixels of targets, memory, files skipped and why."""
        photos = [photo for photo in self.photos if photo.path not in self.skipped]
        size = sum(photo.bytes for photo in photos) / 1e9
        reduced_count = sum(photo.hr_scale != 1 for photo in photos)
        variants = f" and {reduced_count} reduced copies" if reduced_count else ""
        pixels = sum(photo.pixels for photo in photos) / 1e6
        text = f"{len(photos) - reduced_count} photographs{variants}, {pixels:.1f} megapixels, {size:.2f} GB"
        if self.set_count > 1:
            text += f" in {self.set_count} working sets"
        if self.skipped:
            reasons = "; ".join(f"{path.name} ({reason})" for path, reason in list(self.skipped.items())[:10])
            more = f"; and {len(self.skipped) - 10} more" if len(self.skipped) > 10 else ""
            text += f"; {len(self.skipped)} skipped: {reasons}{more}"
        return text

    # -- photographs and working sets

    def _scan(self, files: list[Path], hr_scales: Sequence[float]) -> list[Photo]:
        """Read the sizes of all files; note those that cannot be used."""
        least = self.drawn_patch * self.scale

        def scan(path: Path) -> list[Photo] | str:
            lr_path, extra = self.lr_files.get(path), 0
            try:
                with opened(path) as image:
                    width, height = image.size
                    if lr_path:
                        extra = math.prod(check_headers(path, image, lr_path, self.scale))
            except PairError:
                raise
            except Exception as error:  # decoders raise whatever their formats' damage makes of them
                return reason_unusable(error)
            photos = []
            for hr_scale in hr_scales:
                w, h = reduced((width, height), hr_scale)
                if min(w, h) >= least:
                    values = w * h * sum(factor**2 for factor in self._factors) // self.scale**2
                    # Pillow holds four bytes per pixel.
                    decoding = 4 * (width * height + extra + (w * h if (w, h) != (width, height) else 0))
                    photos.append(Photo(path, hr_scale, w * h, 3 * values, decoding, lr_path))
            return photos or f"{width}×{height}, smaller than the {least}×{least} HR patch"

        with ThreadPoolExecutor(decoder_count()) as pool:
            results = list(pool.map(scan, files))
        self.skipped |= {path: found for path, found in zip(files, results, strict=True) if isinstance(found, str)}
        photos = [photo for found in results if not isinstance(found, str) for photo in found]
        if not photos:
            self._raise_unusable()
        return photos

    def _raise_unusable(self):
        path, reason = next(iter(self.skipped.items()))
        small = any("smaller than" in reason for reason in self.skipped.values())
        least = f" of at least {self.drawn_patch * self.scale} pixels a side" if small else ""
        raise DataError(
            f"expected photographs{least}, found none among {len(self.skipped)} files (first: {path}: {reason}); "
            f"use {'larger photographs or a smaller patch' if small else 'others'}."
        )

    def _teacher_sr(self, lr: np.ndarray) -> np.ndarray:
        teacher_sr = self.teacher(lr)
        shape = lr.shape[0] * self.scale, lr.shape[1] * self.scale, 3
        if teacher_sr.shape != shape or teacher_sr.dtype != np.uint8:
            raise DataError(
                f"expected the teacher to make {shape} uint8 of an LR image, found {teacher_sr.shape} "
                f"{teacher_sr.dtype}; its scale must be {self.scale}."
            )
        return teacher_sr

    def _load(self, photo: Photo) -> tuple[np.ndarray, ...] | None:
        """Return all images of a photograph, ``None`` if it cannot be used or is not needed any more."""
        try:
            if photo.lr_path:
                images = load_given_pair(photo.path, photo.lr_path, self.scale)
            else:
                images = load_pair(photo.path, self.scale, photo.hr_scale)
        except DataError as error:
            self.skipped[photo.path] = str(error.__cause__ or error)
            return None
        if not self.teacher:
            return images
        if self.working_sets.closed:  # a teacher takes its time
            return None
        return *images, self._teacher_sr(images.lr)


def _check_settings(scale, patch, batch_size, steps_per_epoch, seed, hr_scales, dtype, shard) -> None:
    if scale not in SCALES:
        raise DataError(f"expected a scale among {SCALES}, found {scale!r}.")
    numbers = {"patch size": patch, "batch size": batch_size, "steps per epoch": steps_per_epoch}
    for name, value in numbers.items():
        if not isinstance(value, int) or value < 1:
            raise DataError(f"expected a {name} of 1 or more, found {value!r}.")
    if not isinstance(seed, int) or seed < 0:
        raise DataError(f"expected a seed of 0 or more, found {seed!r}.")
    if not all(isinstance(factor, (int, float)) and 0 < factor < 1 for factor in hr_scales):
        raise DataError(f"expected HR scales above 0 and below 1, found {', '.join(map(str, hr_scales))}.")
    if dtype not in ("uint8", "float32"):
        raise DataError(f"expected the dtype uint8 or float32, found {dtype!r}.")
    index, count = shard
    if not 0 <= index < count or batch_size % count:
        raise DataError(f"expected a batch size that {count} processes share evenly, found {batch_size}.")
