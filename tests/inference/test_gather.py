"""Tiles of several threads go through the network together, and come back to their own."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from span_keras.inference.gather import gathered
from span_keras.inference.upscaler import Upscaler


class Network:
    """Doubles values; its first call waits until all have been handed in."""

    def __init__(self):
        self.calls, self.go = [], threading.Event()

    def __call__(self, tiles):
        self.calls.append(tiles.shape)
        assert self.go.wait(60)
        if np.isnan(tiles).any():
            raise FloatingPointError
        return 2 * tiles


def handed_in(network, arrays, most):
    """What becomes of arrays that wait while the first of them runs."""
    run = gathered(network, most)
    with ThreadPoolExecutor(len(arrays)) as pool:
        first = pool.submit(run, arrays[0])
        while not network.calls:
            pass
        others = []
        for array in arrays[1:]:  # in this order
            others.append(pool.submit(run, array))
        network.go.set()
        return [first, *others]


def test_what_waits_goes_together_by_shape():
    arrays = [np.full((1, 4, size, 3), number, np.float32) for number, size in enumerate([4, 4, 4, 5, 4, 5])]
    network = Network()
    for array, made in zip(arrays, handed_in(network, arrays, most=8), strict=True):
        np.testing.assert_array_equal(made.result(), 2 * array)
    assert network.calls[0] == (1, 4, 4, 3)
    assert all(count & (count - 1) == 0 and count <= 8 for count, *_ in network.calls)


def test_an_error_is_that_of_those_who_waited_for_it():
    arrays = [np.zeros((1, 2, 2, 1), np.float32), np.full((1, 3, 3, 1), np.nan, np.float32)]
    fine, broken = handed_in(Network(), arrays, most=4)
    assert not fine.result().any()
    with pytest.raises(FloatingPointError):
        broken.result()


def test_images_of_several_threads_come_out_as_alone(tiny_weights):
    images = [np.random.default_rng(seed).integers(0, 256, (20 + seed % 2, 30, 3), np.uint8) for seed in range(6)]
    alone, together = Upscaler(tiny_weights, tile=24), Upscaler(tiny_weights, tile=24, gather=4)
    with ThreadPoolExecutor(6) as pool:
        for image, made in zip(images, pool.map(together, images), strict=True):
            np.testing.assert_allclose(made.astype(int), alone(image).astype(int), atol=1)
