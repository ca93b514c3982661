"""The discriminator: its shape, its spectral normalisation, and that it learns to tell images apart."""

import numpy as np
import pytest
from keras import ops

from helpers.gradients import gradients_of
from span_keras.training import discriminator


@pytest.fixture
def arrays():
    return discriminator.initial(8, seed=1)


def judged(arrays, images, **options):
    found, _ = discriminator.normalised(arrays)
    return discriminator.apply(found, ops.convert_to_tensor(images), **options)


def test_every_pixel_is_judged(arrays, image):
    images = np.stack([np.tile(image, (2, 2, 1))[:16, :16], np.zeros((16, 16, 3), np.float32)])
    logits = ops.convert_to_numpy(judged(arrays, images))
    assert logits.shape == (2, 16, 16, 1) and np.isfinite(logits).all()
    assert np.std(logits[0]) > 0 and {name: array.shape for name, array in arrays.items()} == discriminator.shapes(8)


def test_kernels_are_divided_by_their_largest_singular_value(arrays):
    for _ in range(200):
        found, vectors = discriminator.normalised(arrays)
        arrays |= {name: ops.convert_to_numpy(vector) for name, vector in vectors.items()}
    for name in vectors:
        kernel = ops.convert_to_numpy(found[name.replace("vector", "kernel")])
        largest = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), compute_uv=False)[0]
        assert largest == pytest.approx(1, rel=1e-2), name
    assert np.array_equal(found["first/kernel"], arrays["first/kernel"])


def test_bfloat16_judges_nearly_alike(arrays):
    images = np.random.default_rng(0).random((1, 16, 16, 3), np.float32)
    exact = ops.convert_to_numpy(judged(arrays, images))
    rough = ops.convert_to_numpy(judged(arrays, images, dtype="bfloat16"))
    assert rough.dtype == np.float32
    assert np.abs(rough - exact).max() < 0.05 * np.abs(exact).max() + 0.02


def test_it_learns_to_tell_noise_from_gradients(arrays):
    rng = np.random.default_rng(0)
    ramp = np.broadcast_to(np.linspace(0, 1, 16, dtype=np.float32)[None, :, None, None], (4, 16, 16, 3))
    noise = rng.random((4, 16, 16, 3), np.float32)
    vectors = {name: array for name, array in arrays.items() if name.endswith("vector")}

    def loss(parameters):
        found, _ = discriminator.normalised(parameters | vectors)
        real, made = (discriminator.apply(found, ops.convert_to_tensor(images)) for images in (ramp, noise))
        return discriminator.discriminator_loss(real, made)

    parameters = {name: array for name, array in arrays.items() if name not in vectors}
    gradients, start = gradients_of(loss), float(loss({k: ops.convert_to_tensor(v) for k, v in parameters.items()}))
    for _ in range(40):
        found = gradients(parameters)
        norm = np.sqrt(sum((g**2).sum() for g in found.values()))
        parameters = {name: parameters[name] - 0.3 / norm * g for name, g in found.items()}
    end = float(loss({k: ops.convert_to_tensor(v) for k, v in parameters.items()}))
    assert start == pytest.approx(2 * np.log(2), rel=0.5) and end < 0.2 * start


def test_losses_are_those_of_the_logistic_function():
    logits = ops.convert_to_tensor(np.float32([0.0, 2.0]))
    expected = np.log1p(np.exp(-np.float64([0.0, 2.0]))).mean()
    assert float(discriminator.generator_loss(logits)) == pytest.approx(expected, rel=1e-5)
    both = float(discriminator.discriminator_loss(logits, -logits))
    assert both == pytest.approx(2 * expected, rel=1e-5)
