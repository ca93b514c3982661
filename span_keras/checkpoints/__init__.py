"""Read SPAN weights of any origin with ``load_weights``, write our own with ``save_weights``.

=====================  ======================================================  =======================================
file                   read off the file                                       assumed where the file cannot tell
=====================  ======================================================  =======================================
``.keras``             everything                                              nothing
``.weights.h5``        everything, if ``save_weights`` wrote it; else scale,   ``img_range`` 1, mean of DIV2K if there
                       width, depth, variant, and the normalisation of a       is a layer ``normalize``
                       deploy model
``.safetensors``       everything, if ``save_weights`` wrote it; else as       as ``.pth``
                       ``.pth``
``.pth .pt .ckpt``     scale, width, depth; a buffer ``no_norm`` means no      variant ``official``, ``img_range`` 255,
                       normalisation                                           mean of DIV2K
``.onnx``              everything, from the graph                              nothing
``model.json``         everything: from ``userDefinedMetadata.span``, the      mean and range as ``.weights.h5``, only
                       topology, and the weights of ``normalize``              if all of these are missing
=====================  ======================================================  =======================================

What was assumed is listed in ``metadata["assumed"]``; the arguments of ``load_weights`` set it. Files hold either form
of the network, training or fused. None of the readers executes anything a file contains.
"""

from span_keras import lazy

_HOMES = {
    "READERS": "load",
    "bundled_names": "load",
    "load_weights": "load",
    "notes": "load",
    "require_rgb": "load",
    "require_settled": "load",
    "resolve": "load",
    "save_weights": "save",
}
__getattr__, __dir__, __all__ = lazy(__name__, _HOMES)
