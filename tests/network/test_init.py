"""The initialisation keeps signal and gradients alive in every block; the naive one does not."""

import keras
import numpy as np
import pytest

from helpers.gradients import gradients_of
from span_keras.constants import ATTENTION_STD, FEATURE_STD, OUTPUT_STD, VARIANTS
from span_keras.network.config import ACTIVATIONS, SpanConfig
from span_keras.network.init import initialise, natural_noise
from span_keras.network.model import build_span


def outputs(model, names, images):
    values = keras.Model(model.input, [model.get_layer(name).output for name in names])(images)
    return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}


def test_noise_has_the_statistics_of_photographs():
    noise = natural_noise(8, 64, seed=3)
    assert noise.shape == (8, 64, 64, 3) and noise.dtype == np.float32
    assert noise.min() >= 0 and noise.max() <= 1
    assert 0.2 < noise.std() < 0.32
    assert 0.08 < np.diff(noise, axis=1).std() < 0.12  # neighbours are alike
    assert np.corrcoef(noise.reshape(-1, 3).T)[0, 1] > 0.7  # colours go together
    assert (noise == natural_noise(8, 64, seed=3)).all()


def test_every_variant_has_activations():
    assert tuple(ACTIVATIONS) == tuple(VARIANTS) == tuple(ATTENTION_STD)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_block_starts_at_its_target_on_unseen_images(variant):
    config = SpanConfig(channels=24, variant=variant)
    keras.utils.set_random_seed(1)
    model = build_span(config)
    c3 = [f"block_{i}_c3" for i in range(1, 7)]
    features = ["conv_1", *(f"block_{i}_c{j}" for i in range(1, 7) for j in (1, 2)), "conv_2"]
    images = natural_noise(8, 48, seed=99)

    naive = outputs(model, c3, images)
    assert max(value.std() for value in naive.values()) < 0.2  # every block multiplies by nearly nothing

    before = initialise(model, seed=0)
    assert set(before) == {*c3, *features, "upsampler"}
    scaled = outputs(model, [*c3, *features, "upsampler"], images)
    for name in c3:
        assert scaled[name].std() == pytest.approx(ATTENTION_STD[variant], rel=0.25)
    for name in features:
        assert scaled[name].std() == pytest.approx(FEATURE_STD, rel=0.25)
    assert scaled["upsampler"].std() == pytest.approx(OUTPUT_STD, rel=0.25)
    assert scaled["upsampler"].mean() == pytest.approx(0.5, abs=0.1)


def test_gradients_reach_every_block_alike():
    """Relative to its kernel, no block's gradient is lost; with the naive start the deep blocks' are."""
    keras.utils.set_random_seed(2)
    config = SpanConfig(channels=24)
    images = natural_noise(4, 24, seed=5)
    target = np.repeat(np.repeat(images, 4, 1), 4, 2)

    def relative_gradients(model):
        def loss(parameters):
            values = [parameters[variable.path] for variable in model.trainable_variables]
            made, _ = model.stateless_call(values, model.non_trainable_variables, images)
            return keras.ops.mean(keras.ops.abs(made - target))

        gradients = gradients_of(loss)({variable.path: variable.value for variable in model.trainable_variables})
        kernels = [model.get_layer(f"block_{i}_c2").conv_kernel for i in range(1, 7)]
        return np.array([np.linalg.norm(gradients[k.path]) / np.linalg.norm(np.asarray(k)) for k in kernels])

    model = build_span(config)
    naive = relative_gradients(model)
    initialise(model)
    scaled = relative_gradients(model)
    assert scaled.min() > scaled.max() / 20
    assert naive[1:].max() < scaled.min() / 1000
