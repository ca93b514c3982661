"""Choose the networks that an image is enlarged with: which by default, and which for a size. Imports no backend."""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from span_keras.inference import device as devices
from span_keras.inference.device import Precision
from span_keras.inference.job import MAX_FACTOR

if TYPE_CHECKING:
    from span_keras.inference.upscaler import Upscaler
    from span_keras.network.weights import SpanWeights

DEFAULT_NETWORK = "bundled:x4-photo"
"""What enlarges where no network and no size are named."""

DEFAULT_NETWORKS = {4: DEFAULT_NETWORK, 2: "bundled:x2-photo"}
"""What enlarges where no ``--weights`` are named, by scale; the first one where no size is asked for either."""


@dataclass(frozen=True)
class NetworkOptions:
    """Say how networks run. It is plain data, so that another process can load the same ones.

    Attributes:
        weights: name of the network; None for the default ones.
        variant, img_range, rgb_mean: what its file cannot tell, see ``load_weights``.
        tile, batch, tta, precision, gather: see ``Upscaler``.
        device: what they run on, see ``device.choose``.
    """

    weights: str | None = None
    variant: str | None = None
    img_range: float | None = None
    rgb_mean: tuple[float, ...] | None = None
    tile: int | None = None
    batch: int = 1
    tta: bool = False
    precision: Precision = "float32"
    device: str = "auto"
    gather: int = 1


class Networks:
    """Hold networks of one or several scales, each loaded when it is first needed.

    Args:
        make: scale -> ``Upscaler``.
        scales: those there are; the first is the factor where no size is asked for.

    Attributes:
        native: that factor.
    """

    def __init__(self, make: Callable[[int], Upscaler], scales: Iterable[int]):
        self._make, self._made, self._scales = make, {}, tuple(scales)
        self._lock = threading.Lock()
        self.native = self._scales[0]

    @classmethod
    def of(cls, upscaler: Upscaler | Networks) -> Networks:
        """Return networks that are one upscaler alone; networks as they are."""
        return upscaler if isinstance(upscaler, cls) else cls({upscaler.scale: upscaler}.get, [upscaler.scale])

    def __getitem__(self, scale: int) -> Upscaler:
        with self._lock:  # threads may need it at the same time
            if scale not in self._made:
                self._made[scale] = self._make(scale)
            return self._made[scale]

    def passes(self, factor: float) -> list[Upscaler]:
        """Return the networks to apply one after the other: they reach the factor in the fewest passes.

        Of those, they exceed it the least; small scales come first, because that is less work. None are needed for a
        factor of at most 1, unless there is a network of scale 1.
        """
        if factor <= 1 or max(self._scales) == 1:
            return [self[1]] if 1 in self._scales else []
        for count in itertools.count(1):
            chains = itertools.combinations_with_replacement(sorted(self._scales), count)
            if reached := [chain for chain in chains if math.prod(chain) >= min(factor, MAX_FACTOR)]:
                return [self[scale] for scale in min(reached, key=math.prod)]


def load(
    options: NetworkOptions,
    tell: Callable[[SpanWeights], None] = lambda weights: None,
    loading: Callable[[], AbstractContextManager] = contextlib.nullcontext,
    weights: SpanWeights | None = None,
) -> Networks:
    """Return the network that is named, or the default ones.

    Keras is loaded when the first of them is needed. By then a large image has been decoded and given back the memory
    that it took, which Keras then takes instead of it.

    Args:
        options: which, and how they run.
        tell: called with the weights that were named, of which something may have been assumed.
        loading: makes the context that the main thread loads networks in, such as one that keeps Keras silent.
        weights: those that are named, if they were read already, perhaps on another machine.

    Raises:
        CheckpointError: see ``load_weights``.
        ConfigError: there is no such device, or see ``tiling.check_tile``.
        BackendError: when a network is needed: Keras cannot be loaded.
    """
    from span_keras.checkpoints import load_weights
    from span_keras.images.tiling import check_tile

    devices.choose(options.device)
    devices.check(options.device)

    def upscaler(weights) -> Upscaler:
        # In another thread, silence would also swallow what the main one prints meanwhile.
        with loading() if threading.current_thread() is threading.main_thread() else contextlib.nullcontext():
            from span_keras.inference.upscaler import Upscaler

            return Upscaler(weights, options.tile, options.batch, options.tta, options.precision, options.gather)

    if weights is None and options.weights is None:
        return Networks(lambda scale: upscaler(load_weights(DEFAULT_NETWORKS[scale])), DEFAULT_NETWORKS)
    stated = {"variant": options.variant, "img_range": options.img_range, "rgb_mean": options.rgb_mean}
    weights = load_weights(options.weights, **stated) if weights is None else weights
    tell(weights)
    if options.tile is not None:
        check_tile(options.tile, weights.config.receptive_radius)
    return Networks(lambda scale: upscaler(weights), [weights.config.scale])
