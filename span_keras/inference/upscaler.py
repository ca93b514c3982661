"""Fast upscaling with fixed weights: images in, images out, tile by tile."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from span_keras.checkpoints import load_weights, require_settled
from span_keras.errors import CheckpointError, ImageError
from span_keras.images import tiling
from span_keras.images.alpha import Windows, is_grey, predict_channels, result_channels
from span_keras.images.channels import to_rgb
from span_keras.images.picture import Picture, scaled_metadata, to_samples, with_fitting_profile
from span_keras.images.read import read_image
from span_keras.images.samples import image_of, samples_of_array, samples_of_image
from span_keras.inference.device import Precision
from span_keras.inference.engine import compile_network
from span_keras.inference.ensemble import over_orientations
from span_keras.inference.gather import gathered
from span_keras.inference.networks import DEFAULT_NETWORK
from span_keras.network.weights import SpanWeights

TILE = 512
"""Default side of a tile in LR pixels: a ninth of the work is halo, the network's activations take some 400 MB."""

LARGEST = 16.0
"""Beyond this a pixel is no overshoot of [0, 1], but a level."""


class Upscaler:
    """Upscale images by a network's scale, in tiles where they are larger than a tile.

    ``upscaler(image)`` returns the image in kind:

    ==================  ============================================================================================
    given               returned
    ==================  ============================================================================================
    a path              a ``Picture`` with the file's samples and metadata; ``write_image`` writes it
    a ``Picture``       a ``Picture``
    a PIL image         a PIL image of mode L, LA, RGB, RGBA or I;16 with the same ``info``; palettes become RGB, CMYK
                        becomes sRGB, and nothing is turned upright
    an array            an array of the same type, uint8, uint16 or floating point in [0, 1], and of as many axes and
                        channels: (H, W), or (H, W, C) with C 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha
    ==================  ============================================================================================

    Alpha is upscaled like the colours, and grey stays grey even if it is stored as RGB. A network from grey to RGB
    makes RGB, and one from RGB to grey makes grey, of whatever it is given; see ``images.alpha``.

    Args:
        weights: ``SpanWeights`` or anything that ``load_weights`` reads.
        tile: side of a tile in LR pixels. Larger tiles waste less on halos and need more memory.
        batch: tiles per call of the network, 1 on a CPU.
        precision: ``"bfloat16"`` is faster on a GPU alone, and rounds the hidden convolutions.
        tta: average over the eight orientations of every tile: eight times the work for some hundredths of a dB.
        gather: tiles of images that threads enlarge at the same time, per call of the network; see ``gather``.

    Attributes:
        config: the network's ``SpanConfig``; ``scale``, ``halo``, ``tile``, ``batch``: what tiles are cut by.

    Raises:
        CheckpointError: the weights cannot be read; or their file does not tell the range and mean of its network's
            input and no trial found them: pass what ``load_weights`` makes of it with both stated.
        ConfigError: the tile is not larger than two halos, or ``engine`` has nothing to run the network on.

    Example:
        >>> upscaler = Upscaler("bundled:x4-fast")
        >>> upscaler(np.zeros((32, 48, 3), np.uint8)).shape
        (128, 192, 3)
        >>> upscaler(Image.open("small.jpg")).save("large.jpg")
        >>> write_image("large.png", upscaler("small.png"))
    """

    def __init__(
        self,
        weights: SpanWeights | str | Path = DEFAULT_NETWORK,
        tile: int | None = None,
        batch: int = 1,
        tta: bool = False,
        precision: Precision = "float32",
        gather: int = 1,
    ):
        if not isinstance(weights, SpanWeights):
            weights = load_weights(weights)
            require_settled(weights)
        self.config = weights.config
        self.scale, self.halo = self.config.scale, self.config.receptive_radius
        self.tile, self.batch = max(TILE, 4 * self.halo) if tile is None else tile, batch
        tiling.check_tile(self.tile, self.halo)
        self._run, self._source = compile_network(weights, precision), weights.source
        if gather > 1:
            self._run = gathered(self._run, gather)
        if tta:
            self._run = over_orientations(self._run, batch * self.tile**2)

    def __call__(self, image):
        """Upscale one image; see the class for what it may be and what is returned.

        Raises:
            ImageError: the image cannot be read, has no pixels, or is none of these kinds.
            CheckpointError: see ``predict``.
        """
        if isinstance(image, str | os.PathLike):
            image = read_image(image)
        if isinstance(image, Picture):
            samples = self._samples(image.samples)
            metadata = with_fitting_profile(image.metadata, samples.shape[2])
            return Picture(samples, scaled_metadata(metadata, samples.shape[1], samples.shape[0]), image.notes)
        if isinstance(image, Image.Image):
            samples, info = samples_of_image(image)
            upscaled = self._samples(samples)
            if (upscaled.shape[2] > 2) != (samples.shape[2] > 2):
                info = {key: value for key, value in info.items() if key != "icc_profile"}
            return image_of(upscaled, info)
        samples, ndim = samples_of_array(image), np.ndim(image)
        upscaled = self._samples(samples)
        return upscaled[..., 0] if ndim == 2 and upscaled.shape[2] == 1 else upscaled

    @property
    def _channels(self) -> tuple[int, int]:
        return self.config.in_channels, self.config.out_channels

    def result_channels(self, channels: int) -> int:
        """Return how many channels samples of so many have when they are upscaled."""
        return result_channels(channels, self._channels)

    def bands(
        self,
        samples: np.ndarray,
        dtype=None,
        on_tiles: Callable[[int], None] = lambda count: None,
    ) -> Iterator[np.ndarray]:
        """Upscale samples from top to bottom, one row of tiles at a time: memory is bounded by one band.

        Args:
            samples: (H, W, C) uint8, uint16 or floating point in [0, 1], C from 1 to 4 as in ``Picture``.
            dtype: of the result, by default that of the samples.
            on_tiles: called with the number of tiles just done.

        Yields:
            (rows, W·scale, ``result_channels(C)``) bands, their values clipped to the range of ``dtype``.

        Raises:
            ImageError: the image has no pixels.
            CheckpointError: see ``predict``.
        """
        channels, dtype = self.result_channels(samples.shape[2]), dtype or samples.dtype
        # Stored as RGB, grey would come back tinted by the network; as one plane it cannot.
        if samples.shape[2] > 2 and is_grey(samples):
            samples = samples[..., ::3]
        for band in tiling.upscale_bands(
            lambda tiles: predict_channels(self.predict, tiles, self.scale, self._channels),
            Windows(samples),
            self.scale,
            self.halo,
            self.tile,
            self.batch,
            finish=lambda pixels: to_samples(pixels, dtype),
            on_tiles=on_tiles,
        ):
            yield band if band.shape[2] == channels else band[..., [0, 0, 0, 1][:channels]]

    def upscale_rgb(self, image: np.ndarray) -> np.ndarray:
        """Return what the network alone makes of an RGB image, in tiles: what evaluation measures.

        Grey stored as RGB is RGB here, as in the literature, and nothing is clipped. A network for other channels gets
        the image as they are, and its grey result is repeated.

        Args:
            image: (H, W, 3) float32 in [0, 1].

        Returns:
            (H·scale, W·scale, 3) float32 around [0, 1].

        Raises:
            ImageError: the image has no pixels, or values far outside of [0, 1], such as levels up to 255.
            CheckpointError: see ``predict``.
        """
        if image.size and np.abs(image).max() > LARGEST:
            raise ImageError(f"expected an image in [0, 1], found values up to {image.max():g}; divide levels by 255.")
        predict = self.predict
        if self._channels != (3, 3):
            predict = lambda tiles: to_rgb(  # noqa: E731
                predict_channels(self.predict, tiles, self.scale, self._channels)
            )
        return tiling.upscale_tiled(predict, image, self.scale, self.halo, self.tile, self.batch)

    def predict(self, tiles: np.ndarray) -> np.ndarray:
        """Run the network itself: (N, h, w, in) float32 in [0, 1] -> (N, h·scale, w·scale, out) float32, not clipped.

        Raises:
            CheckpointError: the weights make something other than finite numbers of finite ones.
        """
        made = self._run(np.ascontiguousarray(tiles, np.float32))
        # Rounding to whole levels would turn NaN into black and nobody would learn why.
        if not np.isfinite(made).all() and np.isfinite(tiles).all():
            raise CheckpointError(
                f"{self._source} makes values of this image that are no finite numbers, so its weights are damaged or "
                "its training went astray; use other weights."
            )
        return made

    def _samples(self, samples: np.ndarray) -> np.ndarray:
        return tiling.joined(self.bands(samples), samples.shape[0] * self.scale)
