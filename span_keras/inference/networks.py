"""Choose the networks that an image is enlarged with: which by default, and which for a size. Imports no backend."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from span_keras.constants import DEFAULT_NETWORK
from span_keras.inference.job import MAX_FACTOR

if TYPE_CHECKING:
    from span_keras.inference.upscaler import Upscaler
    from span_keras.network.weights import SpanWeights

DEFAULT_NETWORKS = {4: DEFAULT_NETWORK, 2: "bundled:x2-photo"}
"""What enlarges where no ``--weights`` are named, by scale; the first one where no size is asked for either."""


@dataclass(frozen=True)
class NetworkOptions:
    """Say how networks run. It is plain data, so that another process can load the same ones.

    Attributes:
        weights: name of the network; None for the default ones.
        variant, img_range, rgb_mean: what its file cannot tell, see ``load_weights``.
        tile, batch, tta, gather: see ``Upscaler``.
    """

    weights: str | None = None
    variant: str | None = None
    img_range: float | None = None
    rgb_mean: tuple[float, float, float] | None = None
    tile: int | None = None
    batch: int = 1
    tta: bool = False
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
    weights: SpanWeights | None = None,
) -> Networks:
    """Load the network that is named, and return it; or the default ones, which are loaded when they are needed.

    Args:
        options: which, and how they run.
        tell: called with the weights that were named, of which something may have been assumed.
        weights: those that are named, if they were read already, perhaps on another machine.

    Raises:
        CheckpointError: see ``load_weights``.
        ConfigError: see ``Upscaler``.
    """
    from span_keras.checkpoints import load_weights
    from span_keras.inference.upscaler import Upscaler

    def upscaler(weights) -> Upscaler:
        return Upscaler(weights, options.tile, options.batch, options.tta, options.gather)

    if weights is not None:
        return Networks.of(upscaler(weights))
    if options.weights is None:
        return Networks(lambda scale: upscaler(load_weights(DEFAULT_NETWORKS[scale])), DEFAULT_NETWORKS)
    stated = {"variant": options.variant, "img_range": options.img_range, "rgb_mean": options.rgb_mean}
    weights = load_weights(options.weights, **stated)
    tell(weights)
    return Networks.of(upscaler(weights))
