"""SPAN's graph, written once and independent of what its layers are. Light: imports neither Keras nor a backend."""

from __future__ import annotations

from collections.abc import Callable

from span_keras.network.config import ACTIVATIONS, SpanConfig

Layer = Callable[[str, str], Callable]
"""``layer(kind, name)`` gives the callable of that name; the kinds are the keys of ``make`` in ``model.build_span``."""


def topology(x, config: SpanConfig, layer: Layer):
    """Apply SPAN's graph, written once and independent of what its layers are.

    ``build_span`` passes trainable layers, ``build_deploy`` stock ones, ``init`` layers that measure, ``arrays``
    functions of NumPy.

    Args:
        x: tensor or KerasTensor (N, H, W, in_channels), in [0, 1].
        layer: the factory, see ``Layer``.

    Returns:
        (N, H·scale, W·scale, out_channels), around [0, 1], not clipped.

    Source: figure 2 of the paper, ``SPAN.forward`` in the authors' ``span_arch.py``.
    """
    if config.normalizes:
        x = layer("normalize", "normalize")(x)
    head = layer("conv3x3", "conv_1")(x)
    features, first = head, None
    for i in range(1, config.blocks + 1):
        features, activated = _spab(features, f"block_{i}", config, layer)
        first = features if first is None else first
    tail = layer("conv3x3", "conv_2")(features)
    # The last block contributes the *activated* output of its first convolution: the authors' SiLU works in place.
    x = layer("concatenate", "concatenate")([head, tail, first, activated])
    x = layer("conv1x1", "conv_cat")(x)
    x = layer("upsampler", "upsampler")(x)
    return layer("pixel_shuffle", "pixel_shuffle")(x)


def _spab(x, name: str, config: SpanConfig, layer: Layer):
    """Apply a swift parameter-free attention block.

    Returns:
        ``(c3(act(c2(act(c1 x)))) + x) · sym(c3 ...)``, and ``act(c1 x)``.
    """
    activated = layer("act", f"{name}_act1")(layer("conv3x3", f"{name}_c1")(x))
    y = layer("act", f"{name}_act2")(layer("conv3x3", f"{name}_c2")(activated))
    y = layer("conv3x3", f"{name}_c3")(y)
    attention, (*before, last) = y, ACTIVATIONS[config.variant][1]
    for kind in before:
        attention = layer(kind, f"{name}_{kind}")(attention)
    attention = layer(last, f"{name}_sym")(attention)
    y = layer("add", f"{name}_add")([y, x])
    return layer("multiply", f"{name}_attend")([y, attention]), activated
