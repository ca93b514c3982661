"""The fused network on a CPU by Winograd's F(4×4, 3×3): a quarter of the multiplications of direct convolutions.

An image lies in 16 planes, one for each place in a tile of 4×4 pixels, so that all work is on long runs of floats.
Only a 3×3 convolution needs its input as a whole. Everything else is worked out strip by strip while the strip is in
the cache, together with the convolution before.

The transforms are Numba's, the products are NumPy's BLAS's, and both let other threads run meanwhile.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from span_keras.inference.device import cores
from span_keras.inference.winograd_kernels import BLOCK, STRIP, transform_input, transform_output
from span_keras.network import arrays
from span_keras.network.topology import topology
from span_keras.network.weights import SpanWeights

TILE = 4
"""Side of a tile in pixels."""

MAX_PRODUCT = 2**18
"""Multiplications of a matrix product up to which OpenBLAS starts no threads of its own."""

_G = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24


def compile_network(weights: SpanWeights) -> Callable[[np.ndarray], np.ndarray]:
    """Return the fused network as a function, NHWC float32 in and out. Several threads may call it at a time."""
    network = _Network(weights)

    def run(images: np.ndarray) -> np.ndarray:
        return np.stack([topology(image, network.config, _Image(network, *image.shape[:2]).layer) for image in images])

    return run


class _Network:
    """Hold what all images share: transformed kernels, threads, and memory that is used again."""

    def __init__(self, weights: SpanWeights):
        layers = weights.fuse().layers
        self.config = weights.config
        self.layers = {name: (_transformed(group["kernel"]), group["bias"]) for name, group in layers.items()}
        self.pointwise = arrays.pointwise(weights.config)
        shapes = [kernel.shape[1:] for kernel, _ in self.layers.values() if kernel.ndim == 3]
        # Of a strip.
        self.tiles = max(1, min(STRIP // max(map(max, shapes)), MAX_PRODUCT // max(c * d for c, d in shapes)))
        self.threads = cores()
        self.pool, self.scratch, self.free = ThreadPoolExecutor(self.threads), _Scratch(), {}

    def planes(self, *shape: int) -> np.ndarray:
        """Return 16 planes for an image of so many rows of tiles, tiles from one to the next, and channels.

        Their margins are zero. ``free[shape]`` takes them back.
        """
        if shape not in self.free and len(self.free) == 3:  # input, hidden and last of an image of another size
            self.free = {}
        spare = self.free.setdefault(shape, [])
        with contextlib.suppress(IndexError):  # as another thread may be faster
            return spare.pop()
        rows, line, channels = shape
        return np.zeros((16, ((rows + 2) * line + 2) * channels + BLOCK), np.float32)


class _Scratch(threading.local):
    """Hold what a thread needs for a strip. A strip is (16, STRIP) float32, of which its tiles fill the first columns.

    The rest may be anything: NumPy is several times as fast on arrays without gaps.
    """

    def __init__(self):
        self.block = np.empty(36 * BLOCK, np.float32)
        self.before, self.after = np.empty((2, 36, STRIP), np.float32)
        self.strips = collections.defaultdict(lambda: np.zeros((16, STRIP), np.float32))
        """By the kind of layer: no two of a kind are needed at a time."""


class _Value:
    """Hold what a layer makes: how a strip of it comes about, or all of its planes once somebody needed them.

    Attributes:
        channels: of a pixel.
        make: (first tile, number of tiles) -> a strip, see ``_Scratch``.
        planes: (16, n) float32, see ``_Image``.
    """

    def __init__(self, image: _Image, channels: int, make: Callable | None = None, planes: np.ndarray | None = None):
        self.image, self.channels, self.make, self.planes = image, channels, make, planes

    def strip(self, first: int, tiles: int) -> np.ndarray:
        """Return a strip."""
        if self.planes is None:
            return self.make(first, tiles)
        strip, c = self.image.network.scratch.strips["read"], self.channels
        strip[:, : tiles * c] = self.planes[:, first * c : (first + tiles) * c]
        return strip

    def __del__(self):
        if self.planes is not None:
            self.image.network.free.get((*self.image.shape, self.channels), []).append(self.planes)


class _Image:
    """Make the layers of the network for one image.

    Plane 4i + j has the pixels (i, j) of all tiles, from left to right and from top to bottom, their channels together.
    A tile of zeros lies in front of them and behind each row, a row of them above and below.
    """

    def __init__(self, network: _Network, height: int, width: int):
        self.network, self.height, self.width = network, height, width
        self.rows, self.columns = -(-height // TILE), -(-width // TILE)
        self.line = self.columns + 1
        self.shape = self.rows, self.line
        self.first, self.end = 1 + self.line, 1 + self.line * (self.rows + 1)

    def layer(self, kind: str, name: str) -> Callable:
        """Return a layer, as ``topology`` asks for it: of values, the first one or two of images."""
        if kind == "normalize":
            config = self.network.config
            return lambda image: (image - np.float32(config.rgb_mean)) * np.float32(config.img_range)
        if kind == "concatenate":
            return list  # which ``_mixture`` takes
        if kind == "pixel_shuffle":
            return self._unpacked
        if kind == "conv1x1":
            return functools.partial(self._mixture, *self.network.layers[name])
        if kind in ("conv3x3", "upsampler"):
            return functools.partial(self._convolution, *self.network.layers[name])
        return functools.partial(self._pointwise, kind)

    def _pointwise(self, kind: str, inputs: _Value | list[_Value]) -> _Value:
        function, scratch = self.network.pointwise[kind], self.network.scratch
        inputs = inputs if isinstance(inputs, list) else [inputs]

        def make(first, tiles):
            return function(*(value.strip(first, tiles) for value in inputs), out=scratch.strips[kind])

        return _Value(self, inputs[0].channels, make)

    def _mixture(self, kernel: np.ndarray, bias: np.ndarray, parts: list[_Value]) -> _Value:
        """Apply a 1×1 convolution to the parts of a concatenation."""
        scratch, d = self.network.scratch, kernel.shape[1]
        kernels = np.split(kernel, np.cumsum([part.channels for part in parts])[:-1])

        def make(first, tiles):
            total, product = scratch.strips["mixture"], scratch.strips["product"]
            _pixels(total, tiles, d)[:] = bias
            for part, own in zip(parts, kernels, strict=True):
                np.matmul(_pixels(part.strip(first, tiles), tiles, part.channels), own, out=_pixels(product, tiles, d))
                total += product
            return total

        return _Value(self, d, make)

    def _convolution(self, kernel: np.ndarray, bias: np.ndarray, value: _Value | np.ndarray) -> _Value:
        """Apply a 3×3 convolution."""
        value = self._completed(value) if isinstance(value, _Value) else self._packed(value)
        scratch, last, (_, c, d) = self.network.scratch, threading.local(), kernel.shape

        def make(first, tiles):
            strip = scratch.strips["convolution"]
            if getattr(last, "first", None) != first:  # attention asks for a strip twice
                last.first, block, before, after = first, scratch.block, scratch.before, scratch.after
                transform_input(value.planes, first * c, c, self.line * c, tiles * c, block, before.ravel())
                coefficients = _pixels(after, tiles, d)
                np.matmul(_pixels(before, tiles, c), kernel, out=coefficients)
                coefficients[7] += bias  # the coefficient (1, 1) adds to each pixel alike
                transform_output(after.ravel(), tiles * d, block, strip.ravel())
            return strip

        return _Value(self, d, make)

    def _completed(self, value: _Value) -> _Value:
        """Work out all planes of a value, with zeros around the image."""
        if value.planes is not None:
            return value
        network, c = self.network, value.channels
        planes = network.planes(*self.shape, c)

        def work(strips):
            with np.errstate(over="ignore", invalid="ignore"):
                for first in strips:
                    tiles = min(network.tiles, self.end - first)
                    planes[:, first * c : (first + tiles) * c] = value.make(first, tiles)[:, : tiles * c]

        strips = range(self.first, self.end, network.tiles)
        shares = [strips[i :: network.threads] for i in range(min(network.threads, len(strips)))]
        list(network.pool.map(work, shares) if len(shares) > 1 else map(work, shares))
        tiles = self._tiles(planes, c)
        tiles[:, :, :, self.columns] = 0
        tiles[self.height - TILE * self.rows + TILE :, :, -1] = 0
        tiles[:, self.width - TILE * self.columns + TILE :, :, self.columns - 1] = 0
        value.planes, value.make = planes, None
        return value

    def _tiles(self, planes: np.ndarray, channels: int) -> np.ndarray:
        """Return planes as (i, j, row of tiles, column of tiles and the zeros behind, channels)."""
        inside = planes[:, self.first * channels : self.end * channels]
        return inside.reshape(TILE, TILE, self.rows, self.line, channels)

    def _packed(self, image: np.ndarray) -> _Value:
        """Return (H, W, C) as a value."""
        c = image.shape[2]
        whole = np.zeros((self.rows, TILE, self.columns, TILE, c), np.float32)
        whole.reshape(self.rows * TILE, -1, c)[: self.height, : self.width] = image
        planes = self.network.planes(*self.shape, c)
        self._tiles(planes, c)[:, :, :, : self.columns] = whole.transpose(1, 3, 0, 2, 4)
        return _Value(self, c, planes=planes)

    def _unpacked(self, value: _Value) -> np.ndarray:
        """Return a value as (H·scale, W·scale, C), its channels shuffled to pixels."""
        s, tiles = self.network.config.scale, self._tiles(self._completed(value).planes, value.channels)
        tiles = tiles[:, :, :, : self.columns].reshape(TILE, TILE, self.rows, self.columns, s, s, -1)
        pixels = np.array(tiles.transpose(2, 0, 4, 3, 1, 5, 6), order="C")  # a copy: the planes are used again
        whole = pixels.reshape(self.rows * TILE * s, self.columns * TILE * s, -1)
        return whole[: self.height * s, : self.width * s]


def _pixels(planes: np.ndarray, tiles: int, channels: int) -> np.ndarray:
    """Return the first columns of planes as (n, tiles, channels)."""
    return planes[:, : tiles * channels].reshape(-1, tiles, channels)


def _transformed(kernel: np.ndarray) -> np.ndarray:
    """Return the coefficients (36, c, d) of a (3, 3, c, d) kernel, or the matrix (c, d) of a (1, 1, c, d) one."""
    if len(kernel) == 1:
        return kernel[0, 0]
    coefficients = np.einsum("ai,bj,ijcd->abcd", _G, _G, kernel.astype(np.float64))
    return coefficients.reshape(36, *kernel.shape[2:]).astype(np.float32)
