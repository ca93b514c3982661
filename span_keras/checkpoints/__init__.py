"""Read SPAN weights of any origin with ``load_weights``, write our own with ``save_weights``.

=====================  ======================================================  =======================================
file                   read off the file                                       where the file cannot tell
=====================  ======================================================  =======================================
``.keras``             everything                                              nothing
``.weights.h5``        everything, if ``save_weights`` wrote it; else scale,   range and mean are found by trial
                       width, depth, channels, variant, and the normalisation
                       of a deploy model
``.safetensors``       everything, if ``save_weights`` wrote it; else as       as ``.pth``
                       ``.pth``
``.pth .pt .ckpt``     scale, width, depth, channels; a buffer ``no_norm``     variant ``official`` is assumed, range
                       means no normalisation                                  and mean are found by trial
``.onnx``              everything, from the graph that PyTorch, Keras,         nothing
                       tf2onnx or ``span-export`` wrote
``model.json``         everything: from ``userDefinedMetadata.span``, the      range and mean as ``.weights.h5``, only
                       topology, and the weights of ``normalize``              if all of these are missing
``.zip``               as the one weights file in it                           as that file
=====================  ======================================================  =======================================

Other endings are read by content: HDF5, safetensors, and what ``torch.save`` writes. Of several networks in a file the
averaged one is taken, see ``several``. What was found by trial (see ``trial``) or assumed is listed in
``metadata["assumed"]``, and ``notes`` says it; the arguments of ``load_weights`` set it. Files hold either form of the
network, training or fused. None of the readers executes anything a file contains.

``authors`` writes the files that spandrel, chaiNNer and PyTorch trainers load.
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
