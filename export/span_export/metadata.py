"""What every exported file says about its network, whatever its format."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import span_keras
from span_export import golden
from span_keras.errors import ExportError
from span_keras.network.weights import SpanWeights

FORMAT_VERSION = 1
"""Version of the mapping; raised when a reader of the old one would be wrong."""
GENERATOR = f"span-export {span_keras.__version__}"
UNSTATED = "Not stated by the source file, whose own terms apply."


def describe(weights: SpanWeights, number_format: str) -> dict:
    """Return the JSON-ready mapping that ``userDefinedMetadata.span`` of a ``model.json`` is.

    ==================  ===============================================================================
    ``format``          version of this mapping, ``FORMAT_VERSION``
    ``generator``       program and version that wrote the file
    ``scale``, ``channels``, ``blocks``, ``variant``, ``img_range``, ``rgb_mean``
                        the network's ``SpanConfig``, with ``in_channels`` and ``out_channels`` if they are not 3
    ``halo``            pixels of low-resolution context that a tile needs on every side
    ``quantization``    ``none``, ``float16`` or ``uint8``
    ``source``          ``{"name", "sha256"}`` of the file the weights were read from, ``null`` if of none
    ``license``         what that file says about its licence
    ``golden``          see ``golden.encode``; the output was computed from the weights as written
    ==================  ===============================================================================

    Args:
        weights: fused, as written: after quantisation.
        number_format: one of ``quantize.NUMBER_FORMATS``.
    """
    tile = golden.golden_input(weights.config.in_channels)
    return {
        "format": FORMAT_VERSION,
        "generator": GENERATOR,
        **weights.config.to_dict(),
        "halo": weights.config.receptive_radius,
        "quantization": number_format,
        "source": {"name": Path(weights.source).name, "sha256": weights.metadata.get("sha256")},
        "license": str(weights.metadata.get("license") or UNSTATED),
        "golden": golden.encode(tile, golden.output(weights, tile)),
    }


def require_finite(weights: SpanWeights) -> None:
    """Refuse weights with values that are not finite.

    Raises:
        ExportError: there is one; its layer is named.
    """
    for name, group in weights.layers.items():
        for key, array in group.items():
            if not np.isfinite(array).all():
                raise ExportError(
                    f"{name}/{key} of {weights.source} holds values that are not finite; "
                    "the training run diverged, so export an earlier checkpoint."
                )
