"""The decoded photographs that patches are drawn from, and how many may be held at a time."""

from __future__ import annotations

import math
import os
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple

import numpy as np

from span_keras.errors import DataError

REUSE = 8
"""Draw this many times a set's area before moving on: once per orientation."""

LAG = 32
"""Give up the set before after this many steps: more than the batches that are under way at once."""

MAX_DECODERS = 8
"""Threads that decode at a time at most; each holds a photograph."""


class Photo(NamedTuple):
    """Hold what is known of a photograph before it is decoded: where it lies, its size and the memory it takes."""

    path: Path
    hr_scale: float
    pixels: int  # of the target
    bytes: int  # of all images once decoded
    decoding: int  # bytes that Pillow holds meanwhile
    lr_path: Path | None = None  # of the LR image, where it is not to be made


class WorkingSet:
    """Decoded photographs that patches are drawn from: LR image, target and, with a teacher beside it, its output."""

    def __init__(self, photos: list[tuple[np.ndarray, ...]]):
        self.photos = photos
        self.sizes = np.array([lr.shape[:2] for lr, *_ in photos])
        self.bounds = np.cumsum(self.sizes.prod(1)) / self.sizes.prod(1).sum()

    def draw(self, rng: np.random.Generator, count: int, patch: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw ``count`` random patches: photograph numbers (count,) and LR top-left corners (count, 2)."""
        # The last bound can round to less than 1, hence the minimum.
        photos = np.minimum(np.searchsorted(self.bounds, rng.random(count), side="right"), len(self.photos) - 1)
        corners = (rng.random((count, 2)) * (self.sizes[photos] - patch + 1)).astype(int)
        return photos, corners


class WorkingSets:
    """Decode photographs set by set and hold at most two sets at a time; a single set if all fit into the cache.

    Args:
        photos: all photographs.
        load: photograph -> uint8 arrays (LR image first), or None if it cannot be used; called in several threads.
        raise_unusable: raises the error for a collection of which nothing can be used.
        seed: of the order of the photographs.
        cache_gb: bound, in units of 1e9 bytes, for decoded photographs.
        pixels_per_step: pixels of the target that one step draws.
        progress: called as ``progress(done, total)`` while a single set is decoded.

    Attributes:
        count: number of working sets.
        steps_per_set: steps before the next set takes over; 0 with a single set.
        closed: whether decoding is to end.

    Raises:
        DataError: the cache is too small for the largest photograph.
    """

    def __init__(
        self,
        photos: Sequence[Photo],
        load: Callable[[Photo], tuple[np.ndarray, ...] | None],
        raise_unusable: Callable[[], None],
        *,
        seed: int,
        cache_gb: float,
        pixels_per_step: int,
        progress: Callable[[int, int], None] | None = None,
    ):
        self.photos, self._load_photo, self._raise_unusable, self._seed = photos, load, raise_unusable, seed
        self._progress, self.closed = progress, False
        self._plan(cache_gb, pixels_per_step)
        self._lock = threading.Condition()
        self._sets: OrderedDict[int, Future] = OrderedDict()
        self._wanted: Counter[int] = Counter()  # how many threads ask for a set
        self._loader = ThreadPoolExecutor(1, "span-working-set")

    def start(self) -> None:
        """Decode all photographs now if they form one set."""
        if self.count == 1:
            try:
                self.at(0)
            except BaseException:  # Ctrl-C, too
                self.close()
                raise

    def close(self) -> None:
        """Stop decoding."""
        self.closed = True
        self._loader.shutdown(wait=False, cancel_futures=True)

    @property
    def held(self) -> list[int]:
        """Numbers of the sets that are decoded or being decoded."""
        with self._lock:
            return list(self._sets)

    @property
    def waiting(self) -> int:
        """Number of threads that ask for a set at present."""
        with self._lock:
            return sum(self._wanted.values())

    def _plan(self, cache_gb: float, pixels_per_step: int) -> None:
        total = sum(photo.bytes for photo in self.photos)
        self.count, self.steps_per_set, self._decoders = 1, 0, MAX_DECODERS
        if total <= cache_gb * 1e9:
            return
        # Two sets are alive at a time, and the cut between sets falls on a whole photograph.
        biggest = max(self.photos, key=lambda photo: photo.bytes)
        largest = max(photo.decoding for photo in self.photos)
        # As many decoders as there is room for, however many processors there are: the sets, and with them the batches,
        # are the same on every machine.
        for self._decoders in range(MAX_DECODERS, 0, -1):
            decoding = self._decoders * largest
            room = (cache_gb * 1e9 - decoding) / 2 - biggest.bytes
            if room >= biggest.bytes:
                break
        else:
            need = (4 * biggest.bytes + decoding) / 1e9
            raise DataError(
                f"A photo cache of {cache_gb:g} GB is too small for {biggest.path} "
                f"({biggest.pixels / 1e6:.0f} megapixels); give at least {need:.2f} GB."
            )
        self.count = math.ceil(total / room)
        pixels = sum(photo.pixels for photo in self.photos) / self.count
        self.steps_per_set = max(math.ceil(REUSE * pixels / pixels_per_step), 2 * LAG)

    def shuffled(self, turn: int) -> list[list[Photo]]:
        """Return the photographs of every working set in one turn through all of them."""
        order = np.random.default_rng((self._seed, turn)).permutation(len(self.photos))
        sizes = np.array([self.photos[i].bytes for i in order])
        numbers = (np.cumsum(sizes) - sizes / 2) * self.count // sizes.sum()
        return [[self.photos[i] for i in order[numbers == number]] for number in range(self.count)]

    def at(self, step: int) -> WorkingSet:
        """Return the working set of a global step, and begin in time to decode the next one."""
        number, position = divmod(step, self.steps_per_set) if self.count > 1 else (0, 0)
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
        """Return whether a set is held, or is one of the two wanted first and no two others are in use."""
        held = sum(other in self._wanted for other in self._sets)
        return number in self._sets or (held < 2 and number in sorted(self._wanted)[:2])

    def _request(self, number: int, ahead: bool = False) -> Future | None:
        """Return a working set that is held, or begin to decode it; ``ahead``: only where there is room."""
        if number not in self._sets:
            for other in [other for other in self._sets if other not in self._wanted]:
                if len(self._sets) > 1:
                    self._sets.pop(other).cancel()
            if ahead and len(self._sets) > 1:
                return None
            self._sets[number] = self._loader.submit(self._load, number)
        self._sets.move_to_end(number)
        return self._sets[number]

    def _load(self, number: int) -> WorkingSet:
        """Decode a working set; if none of its photographs can be used, the next that has some, as on every machine.

        Raises:
            DataError: no photograph of the whole collection can be used.
        """
        if self.count == 1:
            loaded = self._decode(self.photos, self._progress)
        else:
            # What is left of this turn need not hold all photographs, the one after it does.
            for later in range(number, (number // self.count + 2) * self.count):
                turn, place = divmod(later, self.count)
                loaded = self._decode(self.shuffled(turn)[place])
                if loaded or self.closed:
                    break
        if not loaded and not self.closed:
            self._raise_unusable()
        return WorkingSet(loaded)

    def _decode(self, photos: Sequence[Photo], progress: Callable[[int, int], None] | None = None) -> list:
        """Decode those of the photographs that can be used."""
        loaded = []
        with ThreadPoolExecutor(min(decoder_count(), self._decoders), "span-decode") as pool:
            for done, images in enumerate(pool.map(self._load_unless_closed, photos), 1):
                loaded += [images] if images else []
                if progress and not self.closed:
                    progress(done, len(photos))
        return loaded

    def _load_unless_closed(self, photo: Photo) -> tuple[np.ndarray, ...] | None:
        return None if self.closed else self._load_photo(photo)


def decoder_count() -> int:
    """Return how many threads decode photographs: one per processor, as far as memory is planned for them."""
    return min(os.cpu_count() or 1, MAX_DECODERS)
