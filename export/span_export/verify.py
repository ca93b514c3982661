"""Read what was exported back and compare it with the weights that it was made from."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import span_keras
from span_export import golden, tfjs_model
from span_export.quantize import MAX_COST, NUMBER_FORMATS, max_weight_error
from span_export.targets import Target
from span_keras.checkpoints import load_weights
from span_keras.constants import MAX_PSNR
from span_keras.data.decode import load_validation
from span_keras.errors import ExportError
from span_keras.images.bicubic import to_uint8
from span_keras.images.channels import from_rgb, to_rgb
from span_keras.images.metrics import psnr, rgb_to_y
from span_keras.network.config import SpanConfig
from span_keras.network.weights import SpanWeights

BUNDLED_PHOTOS = Path(span_keras.__file__).parent / "bundled" / "photos"
CROP = 384
"""Pixels per side of the part of a photograph that is compared: divisible by every scale, and seconds on a CPU."""
GOLDEN_ERROR = 1e-4
"""Largest difference from the golden output, relative to its largest value: float32 rounding, with room to spare."""


@dataclass(frozen=True)
class Comparison:
    """Hold what was measured on photographs.

    Attributes:
        runtime: what computed the outputs of the files, with its version.
        images: number of photographs.
        output_difference: largest difference between outputs of source and files on them, for values around [0, 1].
        psnr_source, psnr_written: mean PSNR in dB on Y of both, at most ``MAX_PSNR`` for each image.
        failures: what does not reproduce, one sentence each; empty if all is well.
    """

    runtime: str
    images: int
    output_difference: float
    psnr_source: float
    psnr_written: float
    failures: tuple[str, ...]

    @property
    def psnr_cost(self) -> float:
        """Return what quantisation costs in dB."""
        return self.psnr_source - self.psnr_written

    def lines(self) -> Iterator[str]:
        """Yield the report line by line."""
        yield (
            f"{self.images} photographs in {self.runtime}: largest difference {self.output_difference:.2g}; "
            f"PSNR {self.psnr_source:.3f} dB before, {self.psnr_written:.3f} dB after, cost {self.psnr_cost:.4f} dB."
        )


@dataclass(frozen=True)
class Report(Comparison):
    """Hold what ``verify`` measured.

    Attributes:
        golden_difference: largest difference between the golden output and what the files compute.
        weight_difference: largest difference between a stored weight and its source.
    """

    golden_difference: float
    weight_difference: float

    def lines(self) -> Iterator[str]:
        """Yield the report line by line."""
        yield f"Golden tile: largest difference {self.golden_difference:.2g}."
        yield f"Weights: largest difference {self.weight_difference:.2g}."
        yield from super().lines()


class Photographs:
    """Hold photographs that exports are compared on, decoded once for each scale.

    Args:
        folder: of HR photographs; the bundled ones by default. LR images are made by ``bicubic.downscale``.
    """

    def __init__(self, folder: str | Path = BUNDLED_PHOTOS):
        self._folder, self._decoded = folder, {}

    def crops(self, scale: int, crop: int = CROP) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (LR, HR) uint8 of every readable photograph, the central ``crop`` × ``crop`` HR pixels at most.

        Raises:
            DataError: no photograph can be read.
        """
        if scale not in self._decoded:
            self._decoded[scale] = load_validation(self._folder, scale)
        for _, lr, hr in self._decoded[scale]:
            height, width = (min(side, crop // scale) for side in lr.shape[:2])
            top, left = (lr.shape[0] - height) // 2, (lr.shape[1] - width) // 2
            lr = lr[top : top + height, left : left + width]
            yield lr, hr[top * scale : (top + height) * scale, left * scale : (left + width) * scale]


def verify(folder: str | Path, weights: SpanWeights, photographs: Photographs | None = None) -> Report:
    """Compare the files in ``folder`` with the weights they were exported from.

    The golden tile must come out again, every weight must lie within the rounding of its number format, and PSNR on
    photographs must not fall by more than ``quantize.MAX_COST``.

    Args:
        folder: an exported folder.
        weights: its source, any form.
        photographs: what to compare on, the central ``CROP`` × ``CROP`` pixels of each; the bundled ones by default.

    Raises:
        CheckpointError: the files cannot be read.
        DataError: no photograph can be read.
        ExportError: the folder was exported from a network of another configuration, or is not an export.
    """
    path = Path(folder) / "model.json"
    weights, written = weights.fuse(), load_weights(path)
    if written.config != weights.config:
        raise ExportError(f"expected {path} to hold {weights.config}, found {written.config}; export it again.")
    try:
        span = json.loads(path.read_text("utf-8"))["userDefinedMetadata"]["span"]
        number_format = NUMBER_FORMATS[NUMBER_FORMATS.index(span["quantization"])]
        tile, expected, _ = golden.decode(span["golden"])
    except (KeyError, TypeError, ValueError) as error:
        raise ExportError(f"{path} lacks the metadata of an export ({error!r}); export it again.") from error

    failures = []
    model = weights.deploy_model()
    runtime, run = tfjs_model.load(path)
    golden_difference = _largest(run(tile), expected)
    if not golden_difference <= GOLDEN_ERROR * max(1.0, float(np.abs(expected).max())):
        failures.append(f"The written model does not compute its golden tile: difference {golden_difference:.3g}.")

    weight_difference = 0.0
    for name, group in weights.layers.items():
        for key, array in group.items():
            difference = _largest(written.layers[name][key], array)
            weight_difference = max(weight_difference, difference)
            if not difference <= (allowed := max_weight_error(number_format, key, array)):
                failures.append(
                    f"{name}/{key} differs by {difference:.3g}, more than {number_format} allows ({allowed:.3g})."
                )

    crops = (photographs or Photographs()).crops(weights.config.scale)
    compared = _compare(runtime, lambda lr: tfjs_model.run_model(model, lr), run, weights.config, number_format, crops)
    return Report(
        **{**vars(compared), "failures": (*failures, *compared.failures)},
        golden_difference=golden_difference,
        weight_difference=weight_difference,
    )


def verify_file(
    target: Target,
    path: Path,
    weights: SpanWeights,
    number_format: str,
    fixed_size: tuple[int, int] | None = None,
    photographs: Photographs | None = None,
    crop: int = CROP,
) -> Comparison:
    """Run a file in its own runtime and compare it with Keras.

    Outputs may differ by the target's tolerance if the file holds float32. PSNR on photographs must not fall by more
    than ``quantize.MAX_COST``.

    Args:
        target: what kind of file it is.
        path: the file.
        weights: its source, any form.
        number_format: of the file, one of ``quantize.NUMBER_FORMATS``.
        fixed_size: (height, width) of the file's input. Photographs are cut to it, smaller ones mirrored at their ends.
        photographs: what to compare on; the bundled ones by default.
        crop: compare the central ``crop`` × ``crop`` pixels of each at most.

    Raises:
        DataError: no photograph can be read.
        ExportError: the runtime is not installed.
    """
    config = weights.config
    runtime, run = target.implementation().load(path, config)
    model = weights.deploy_model()
    before = lambda lr: tfjs_model.run_model(model, lr)  # noqa: E731
    if fixed_size:
        before, run = (_padded(function, fixed_size, config.scale) for function in (before, run))
        crop = min(crop, min(fixed_size) * config.scale)
    crops = (photographs or Photographs()).crops(config.scale, crop)
    tolerance = target.tolerance if number_format == "none" else math.inf
    return _compare(runtime, before, run, config, number_format, crops, tolerance)


def _padded(run: Callable, size: tuple[int, int], scale: int) -> Callable:
    """Let a function that takes images of one size take smaller ones."""

    def padded(lr):
        height, width = lr.shape[:2]
        whole = np.pad(lr, ((0, size[0] - height), (0, size[1] - width), (0, 0)), "symmetric")
        return run(whole)[: height * scale, : width * scale]

    return padded


def _compare(
    runtime: str,
    before: Callable,
    after: Callable,
    config: SpanConfig,
    number_format: str,
    crops: Iterable[tuple[np.ndarray, np.ndarray]],
    tolerance: float = math.inf,
) -> Comparison:
    """Measure two functions of (h, w, in_channels) uint8 on (LR, HR) crops; ``runtime`` computes the second one."""
    output_difference, figures, scale = 0.0, [], config.scale
    for lr, hr in crops:
        lr = from_rgb(lr, config.in_channels)
        outputs = before(lr), after(lr)
        largest = max(1.0, float(np.abs(outputs[0]).max()))
        output_difference = max(output_difference, _largest(*outputs) / largest)
        figures.append([psnr_y(to_rgb(output), hr, scale) for output in outputs])
    psnr_source, psnr_written = np.mean(figures, axis=0).tolist()
    failures = []
    if not (cost := psnr_source - psnr_written) <= MAX_COST[number_format]:
        failures.append(f"{number_format} costs {cost:.3f} dB, more than {MAX_COST[number_format]} dB; quantise less.")
    if not output_difference <= tolerance:
        failures.append(f"It differs in {runtime} by {output_difference:.3g}, more than {tolerance:.3g}.")
    return Comparison(runtime, len(figures), output_difference, psnr_source, psnr_written, tuple(failures))


def _largest(a: np.ndarray, b: np.ndarray) -> float:
    """Return the largest absolute difference; not-a-number is infinitely far from everything."""
    difference = float(np.max(np.abs(a - b)))
    return difference if not math.isnan(difference) else math.inf


def psnr_y(sr: np.ndarray, hr: np.ndarray, shave: int) -> float:
    """Return the PSNR of Y in dB, at most ``MAX_PSNR``, of SR, floating point for [0, 1], and uint8 HR, both (H, W, 3).

    Args:
        shave: pixels at each border that are left out.
    """
    inside = np.s_[shave:-shave, shave:-shave]
    # Two infinite figures, of a blank photograph, have no difference.
    return min(psnr(rgb_to_y(to_uint8(sr)[inside]), rgb_to_y(hr[inside])), MAX_PSNR)
