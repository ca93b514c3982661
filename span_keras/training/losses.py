"""The training loss: a pixel loss, by default the mean absolute error, plus a weighted perceptual distance.

Images are RGB in [0, 1], (N, H, W, 3); everything is measured in float32 whatever the network computes in.
"""

from __future__ import annotations

from keras import ops

from span_keras.errors import ConfigError
from span_keras.training.perceptual import about, min_side


def mean_absolute_error(hr, sr):
    """Return the mean absolute difference over all values, a float32 scalar."""
    return ops.mean(ops.abs(ops.cast(hr, "float32") - ops.cast(sr, "float32")))


def mean_squared_error(hr, sr):
    """Return the mean squared difference over all values, a float32 scalar."""
    return ops.mean(ops.square(ops.cast(hr, "float32") - ops.cast(sr, "float32")))


PIXEL_LOSSES = {"mae": mean_absolute_error, "mse": mean_squared_error}


COLOUR_BLOCK = 16
"""Side in pixels of the blocks whose mean colours are compared."""


def colour_distance(hr, sr):
    """Return the mean absolute difference of the mean colours of blocks of ``COLOUR_BLOCK`` pixels a side.

    Features and a discriminator hardly see a colour that is wrong in a whole area by a few levels, people do.

    Args:
        hr, sr: (N, H, W, 3) in [0, 1], H and W known. A smaller side is a block's; what is left of a block at the
            right and at the bottom does not count.
    """
    block = tuple(min(COLOUR_BLOCK, side) for side in sr.shape[1:3])
    means = (ops.average_pool(ops.cast(x, "float32"), block, block, data_format="channels_last") for x in (hr, sr))
    return mean_absolute_error(*means)


def perceptual_distance(features, hr, sr):
    """Return the weighted sum over features of their mean difference; a float32 scalar, no gradient to ``hr``.

    Args:
        features: a model from ``perceptual.build``.
        hr, sr: (N, H, W, 3) in [0, 1], H and W known.

    Raises:
        ConfigError: the images would vanish in the network's pooling, see ``perceptual.min_side``.
    """
    least = min_side(features)
    if min(sr.shape[1:3]) < least:
        raise ConfigError(
            f"{features.name} expects images of at least {least} pixels a side, found {sr.shape[1]}×{sr.shape[2]}; "
            "use a larger patch."
        )
    wanted = [ops.stop_gradient(feature) for feature in _as_list(features(hr, training=False))]
    found = _as_list(features(sr, training=False))
    perceptual = about(features)
    difference = PIXEL_LOSSES[perceptual.difference]
    triples = zip(perceptual.features.values(), wanted, found, strict=True)
    return sum(weight * difference(a, b) for weight, a, b in triples)


def _as_list(outputs) -> list:
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


class SpanLoss:
    """``pixel loss + weight · perceptual distance + colour_weight · colour distance``.

    Args:
        perceptual: a feature model from ``perceptual.build``, or ``None`` for the pixel loss alone.
        weight: of the perceptual part; 0 leaves it out altogether.
        pixel: a key of ``PIXEL_LOSSES``.
        colour_weight: of ``colour_distance``; 0 leaves it out.
    """

    def __init__(self, perceptual=None, weight: float = 0.001, pixel: str = "mae", colour_weight: float = 0.0):
        self.pixel, self.colour_weight = pixel, colour_weight
        self.perceptual = perceptual if weight else None
        self.weight = weight

    def __call__(self, hr, sr):
        """Measure a batch.

        Args:
            hr: target images (N, H, W, 3), float in [0, 1].
            sr: the network's output of the same shape, not clipped.

        Returns:
            ``(total, parts)``: float32 scalars; ``parts`` maps the pixel loss's name and, if used, ``"perceptual"`` and
            ``"colour"`` (before their weights) to their values.
        """
        total = PIXEL_LOSSES[self.pixel](hr, sr)
        parts = {self.pixel: total}
        if self.perceptual is not None:
            parts["perceptual"] = perceptual_distance(self.perceptual, hr, sr)
            total = total + self.weight * parts["perceptual"]
        if self.colour_weight:
            parts["colour"] = colour_distance(hr, sr)
            total = total + self.colour_weight * parts["colour"]
        return total, parts
