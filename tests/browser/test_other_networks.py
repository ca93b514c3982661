"""Networks of scales 1 and 8 and for other channels than RGB: the page makes of an image what Python makes of it."""

import base64

import numpy as np
import pytest

from helpers.browser import difference, library, make_scene
from helpers.weights import random_weights
from span_export.tfjs_model import write_model
from span_keras import Upscaler
from span_keras.network import arrays
from span_keras.network.config import SpanConfig

RUN = """
const [name, text, width, height, alpha, grey] = given;
const eng = new engine.Engine();
const loaded = await eng.load(await model.fetchModel(`/other/${name}/model.json`), { backend: 'wasm', tile: 26 });
if (loaded.status.demoted.length) throw new Error(JSON.stringify(loaded.status.demoted));
const data = Uint8ClampedArray.from(atob(text), (letter) => letter.charCodeAt(0));
const made = await eng.pixels({ data, width, height, alpha, grey, colorSpace: 'srgb' });
let bytes = '';
for (const level of made.data) bytes += String.fromCharCode(level);
const { inChannels, outChannels, scale } = loaded.config;
return [made.width, made.height, btoa(bytes), [scale, inChannels, outChannels]];"""


def network(scale, given, made):
    mean = (0.4, 0.5, 0.6, 0.7)[:given]
    config = SpanConfig(scale, 4, 1, rgb_mean=mean, in_channels=given, out_channels=made)
    weights = random_weights(config, seed=3)
    weights.layers["upsampler"]["bias"] += np.float32(0.5)
    weights.layers["upsampler"]["kernel"] *= np.float32(0.3)
    return weights


SHAPES = [(1, 3, 3), (8, 3, 3), (2, 1, 1), (2, 1, 3), (2, 3, 1), (3, 4, 4)]
"""Scale, channels taken and channels made."""


@pytest.fixture(scope="module")
def networks(site, tmp_path_factory):
    """SpanWeights by shape; the site has their exports under names such as ``other/2-1-3``."""
    made = {shape: network(*shape) for shape in SHAPES}
    site.mounts["other"] = tmp_path_factory.mktemp("other")
    for shape, weights in made.items():
        folder = site.mounts["other"] / name_of(shape)
        folder.mkdir()
        write_model(weights, folder)
    yield made
    del site.mounts["other"]


def name_of(shape) -> str:
    return "-".join(map(str, shape))


def image_of(kind: str) -> np.ndarray:
    """(33, 29, C) uint8, larger than a tile."""
    rgb = make_scene(33, 29)
    alpha = np.full((33, 29, 1), 255, np.uint8)
    alpha[4:20, 5:17] = make_scene(16, 12)[..., :1]
    alpha[22:30, 3:20] = 0
    grey = np.repeat(rgb[..., :1], 3, 2)
    return {"colours": rgb, "grey": grey, "transparent": np.concatenate([rgb, alpha], 2)}[kind]


@pytest.mark.parametrize("kind", ["colours", "grey", "transparent"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_page_makes_what_python_makes(shared_blank, networks, shape, kind):
    image = image_of(kind)
    rgba = image if image.shape[2] == 4 else np.concatenate([image, np.full((33, 29, 1), 255, np.uint8)], 2)
    arguments = [base64.b64encode(rgba.tobytes()).decode(), 29, 33, kind == "transparent", kind == "grey"]
    width, height, text, read = library(shared_blank, RUN, name_of(shape), *arguments)
    assert read == list(shape)
    made = np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)
    expected = Upscaler(networks[shape], tile=26)(image)
    alpha = expected[..., -1:] if expected.shape[2] % 2 == 0 else np.full((height, width, 1), 255, np.uint8)
    colors = expected[..., : expected.shape[2] - (expected.shape[2] % 2 == 0)]
    colors = np.repeat(colors, 3, 2) if colors.shape[2] == 1 else colors
    # Where nothing is seen, the colours do not matter.
    shown = np.where(alpha > 0, 1, 0)
    assert difference(made[..., :3] * shown, colors * shown) <= 1
    assert difference(made[..., 3:], alpha) <= 1


def test_training_refuses_them(shared_blank, networks):
    message = library(
        shared_blank,
        """
        const config = model.readConfig(await model.fetchModel('/other/2-1-1/model.json'));
        try { model.requireTrainable(config) } catch (error) { return error.message }""",
    )
    assert message == (
        "Expected a network from RGB to RGB that enlarges 2, 3, 4 times, found one from 1 to 1 channels of scale 2; it "
        "runs, but cannot be trained."
    )


PLAIN = """
async ([name, pixels, shape]) => {
  await tf.setBackend('cpu');
  const model = await tf.loadLayersModel(`/other/${name}/model.json`);
  const y = model.predict(tf.tensor4d(pixels, [1, ...shape]));
  return [y.shape, [...await y.data()]];
}"""


def test_a_plain_load_layers_model_reads_them(blank, networks):
    for name in ("tf-core", "tf-layers", "tf-backend-cpu"):
        blank.add_script_tag(url=f"/vendor/{name}.es2017.min.js")
    for shape in ((1, 3, 3), (8, 3, 3), (2, 1, 3), (3, 4, 4)):
        given = shape[1]
        image = np.random.default_rng(0).random((1, 6, 5, given), np.float32)
        made_shape, values = blank.evaluate(PLAIN, [name_of(shape), image.ravel().tolist(), [6, 5, given]])
        expected = arrays.apply(networks[shape], image)
        assert tuple(made_shape) == expected.shape
        np.testing.assert_allclose(np.reshape(values, made_shape), expected, atol=1e-5, err_msg=str(shape))
