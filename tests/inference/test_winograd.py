"""Winograd's convolutions on the CPU: the pixels of direct ones, for images of any size, from several threads."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from span_keras.inference import winograd
from span_keras.network import arrays
from span_keras.network.config import SpanConfig

CONFIGS = {
    "span": SpanConfig(2, 8, 2),
    "official": SpanConfig.official(4, 8, blocks=2),
    "one block": SpanConfig(3, 28, 1),
    "grey": SpanConfig(1, 8, 2, img_range=2.0, rgb_mean=(0.4,), in_channels=1, out_channels=3),
    "wide": SpanConfig(2, 130, 1),
}


def assert_same(found, weights, images):
    expected = arrays.apply(weights, images, np.float64)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("size", [(1, 1), (3, 9), (4, 8), (37, 50)])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_pixels_are_those_of_direct_convolutions(make_weights, config, size):
    """Biases are not zero here, so that anything but zeros around the image would show."""
    weights = make_weights(config)
    images = np.random.default_rng(4).random((2, *size, config.in_channels), np.float32)
    assert_same(winograd.compile_network(weights)(images), weights, images)


def test_no_size_leaves_pixels_for_the_next(make_weights):
    """Memory is used again; 40×12 and 12×40 pixels need equally much of it."""
    weights = make_weights(SpanConfig(2, 8, 2))
    run, rng = winograd.compile_network(weights), np.random.default_rng(0)
    for size in [(40, 12), (12, 40), (40, 12), (39, 11), (40, 12)]:
        images = rng.random((1, *size, 3), np.float32)
        assert_same(run(images), weights, images)


def test_threads_do_not_disturb_each_other(make_weights):
    weights, rng = make_weights(SpanConfig(2, 28, 1)), np.random.default_rng(0)
    run = winograd.compile_network(weights)
    images = [rng.random((1, 60 + 4 * (i % 3), 100, 3), np.float32) for i in range(12)]
    alone = [run(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        for together, expected in zip(pool.map(run, images), alone, strict=True):
            np.testing.assert_array_equal(together, expected)


WHERE = "from span_keras.inference import winograd_kernels as k; print(k.transform_input._cache.cache_path)"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have the user's cache elsewhere")
@pytest.mark.parametrize("cache", ["cache", ""])
def test_machine_code_is_kept_in_the_users_cache_if_there_is_one(tmp_path, cache):
    """Beside the module it would stay when the package is uninstalled."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / cache) if cache else "", "NUMBA_CACHE_DIR": ""}
    done = subprocess.run(
        [sys.executable, "-c", WHERE], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    where = Path(done.stdout.strip())
    assert (tmp_path / "cache" / "span-keras" in where.parents) == bool(cache)
    assert where.is_absolute() and list(tmp_path.iterdir()) == ([tmp_path / "cache"] if cache else [])
