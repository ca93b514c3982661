"""The runtimes that ``span-export`` writes a single file for. Light: the command line reads it for ``--help``.

A target's ``module`` lies in this package and has two functions:

``write(weights, path, options)``
    writes fused ``SpanWeights`` to a new file, as ``WriteOptions`` say. It need not be atomic and may raise
    ``ExportError``, for instance if it needs a library that is not installed.
``load(path, config)``
    returns ``(runtime, run)``: what computes, for the report, and the function that computes (h, w, 3) uint8 ->
    (h·scale, w·scale, 3) float32, not clipped. It raises ``ExportError`` if the runtime is not installed.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from span_keras.errors import ExportError


@dataclass(frozen=True)
class Target:
    """Describe the file of one runtime.

    Attributes:
        name: the option is ``--NAME FILE``.
        suffixes: the file's name must end in one of them.
        module: in this package, see above.
        help: of the option.
        number_formats: what it can store of ``quantize.NUMBER_FORMATS``, the default first.
        fixes_size: whether it heeds ``--fixed-size``.
        tolerance: largest difference from Keras that verifying accepts of float32, relative to the largest value or 1.
    """

    name: str
    suffixes: tuple[str, ...]
    module: str
    help: str
    number_formats: tuple[str, ...] = ("none",)
    fixes_size: bool = False
    tolerance: float = 1e-5

    def implementation(self) -> ModuleType:
        """Import the target's module and what it needs."""
        return importlib.import_module(f"{__package__}.{self.module}")

    def check(self, path: Path, number_format: str | None, fixed_size: tuple[int, int] | None) -> None:
        """Refuse what this target cannot be.

        Raises:
            ExportError: the file's name has another ending, or an option does not apply.
        """
        if not path.name.lower().endswith(self.suffixes):
            raise ExportError(f"--{self.name} expects a name that ends in {' or '.join(self.suffixes)}, found {path}.")
        if number_format and number_format not in self.number_formats:
            raise ExportError(
                f"--{self.name} stores {' or '.join(self.number_formats)}, found --quantize {number_format}; leave it "
                "out or export this file by itself."
            )
        if fixed_size and not self.fixes_size:
            sized = " and ".join(f"--{target.name}" for target in TARGETS.values() if target.fixes_size)
            raise ExportError(f"--fixed-size is for {sized}; --{self.name} takes images of any size.")


@dataclass(frozen=True)
class WriteOptions:
    """Hold what a target's ``write`` may be asked for.

    Attributes:
        number_format: one of the target's ``number_formats``.
        fixed_size: (height, width) in LR pixels that the input must have; None for any.
    """

    number_format: str = "none"
    fixed_size: tuple[int, int] | None = None


TARGETS = {
    target.name: target
    for target in (
        Target(
            "onnx",
            (".onnx",),
            "onnx_model",
            "ONNX model, for onnxruntime, onnxruntime-web and DirectML.",
            number_formats=("none", "float16"),
            fixes_size=True,
        ),
        Target(
            "litert",
            (".tflite",),
            "litert_model",
            "LiteRT (TensorFlow Lite) model, for phones and small devices.",
            number_formats=("none", "float16"),
            fixes_size=True,
            tolerance=1e-4,
        ),
        Target("pth", (".pth",), "torch_files", "PyTorch checkpoint under the authors' names, for spandrel, chaiNNer."),
        Target("safetensors", (".safetensors",), "torch_files", "The same as a .safetensors file."),
    )
}
