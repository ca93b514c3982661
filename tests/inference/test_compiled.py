"""Compiled networks: images padded to one of few shapes give the pixels that they give alone."""

import os
import subprocess
import sys

import numpy as np
import pytest
from keras import ops

from helpers.environment import QUICK_JAX
from span_keras.inference.compiled import SMALLEST_SIDE, compile_network, padded_network, padded_side
from span_keras.network import arrays
from span_keras.network.config import SpanConfig


@pytest.mark.parametrize(
    "config",
    [
        SpanConfig(2, 8, 2),
        SpanConfig.official(4, 8, blocks=2),
        SpanConfig(1, 8, 2, img_range=2.0, rgb_mean=(0.4,), in_channels=1, out_channels=3),
    ],
    ids=["span", "official", "grey"],
)
@pytest.mark.parametrize("size", [(1, 1), (5, 16), (13, 10), (16, 16)])
def test_padding_changes_no_pixel(make_weights, config, size):
    """Biases are not zero here, so that padding would show at the border and, 9 pixels deep, inside."""
    weights, (height, width) = make_weights(config), size
    image = np.random.default_rng(4).random((2, *size, config.in_channels), np.float32)
    padded = np.pad(image, [(0, 0), (0, 16 - height), (0, 16 - width), (0, 0)], constant_values=0.5)
    made = ops.convert_to_numpy(padded_network(weights)(ops.convert_to_tensor(padded), height, width))
    expected = arrays.apply(weights, image)
    np.testing.assert_allclose(
        made[:, : height * config.scale, : width * config.scale],
        expected,
        atol=3e-6 * max(1, np.abs(expected).max()),
    )


@pytest.mark.parametrize("scale", [1, 2])
def test_bfloat16_rounds_but_not_the_image(make_weights, image, scale):
    """Its 8 bits of precision would lose levels of the input and of the result."""
    weights = make_weights(SpanConfig(scale, 8, 2))
    exact, rounded = (compile_network(weights, precision)(image[None]) for precision in ("float32", "bfloat16"))
    assert rounded.shape == exact.shape and rounded.dtype == np.float32
    difference = np.abs(rounded - exact).max() / np.abs(exact).max()
    assert 2**-14 < difference < 2**-5


def test_few_shapes_hold_all_sizes():
    sides = {padded_side(side) for side in range(1, 513)}
    assert sides == {64, 128, 256, 512}
    assert all(padded_side(side) >= side for side in range(1, 1500))
    assert padded_side(SMALLEST_SIDE) == SMALLEST_SIDE


def test_jax_compiles_few_shapes_and_gives_the_same_pixels():
    code = """
import logging
import jax, numpy as np
from span_keras.inference.compiled import EXACT_SHAPES, compile_network
from span_keras.network import arrays
from span_keras.network.config import SpanConfig
from helpers.weights import random_weights

weights = random_weights(SpanConfig(2, 4, 1))
compiled = []
class Count(logging.Handler):
    def emit(self, record):
        text = record.getMessage()
        if "Finished XLA compilation" in text and ("<lambda>" in text or "network" in text):
            compiled.append(text)
logging.getLogger("jax._src.dispatch").addHandler(Count())
run, rng = compile_network(weights), np.random.default_rng(0)
jax.config.update("jax_log_compiles", True)
sizes = [(7 + i, 20 - i) for i in range(12)]
for size in (*sizes, *sizes):
    image = rng.random((1, *size, 3), np.float32)
    np.testing.assert_allclose(run(image), arrays.apply(weights, image), atol=1e-5)
print(len(compiled), EXACT_SHAPES)
"""
    environment = {**os.environ, **QUICK_JAX, "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    compilations, exact = map(int, done.stdout.split())
    assert compilations == exact + 1
