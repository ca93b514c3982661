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


def image_of(kind: str) -> np.ndarray:
    """(33, 29, C) uint8, larger than a tile."""
    rgb = make_scene(33, 29)
    alpha = np.full((33, 29, 1), 255, np.uint8)
    alpha[4:20, 5:17] = make_scene(16, 12)[..., :1]
    alpha[22:30, 3:20] = 0
    grey = np.repeat(rgb[..., :1], 3, 2)
    return {"colours": rgb, "grey": grey, "transparent": np.concatenate([rgb, alpha], 2)}[kind]


@pytest.mark.parametrize("kind", ["colours", "grey", "transparent"])
@pytest.mark.parametrize("shape", [(1, 3, 3), (8, 3, 3), (2, 1, 1), (2, 1, 3), (2, 3, 1), (3, 4, 4)])
def test_the_page_makes_what_python_makes(blank, site, tmp_path, shape, kind):
    weights, image = network(*shape), image_of(kind)
    (tmp_path / "net").mkdir()
    write_model(weights, tmp_path / "net")
    site.mounts["other"] = tmp_path
    rgba = image if image.shape[2] == 4 else np.concatenate([image, np.full((33, 29, 1), 255, np.uint8)], 2)
    arguments = [base64.b64encode(rgba.tobytes()).decode(), 29, 33, kind == "transparent", kind == "grey"]
    width, height, text, read = library(blank, RUN, "net", *arguments)
    assert read == list(shape)
    made = np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)
    expected = Upscaler(weights, tile=26)(image)
    alpha = expected[..., -1:] if expected.shape[2] % 2 == 0 else np.full((height, width, 1), 255, np.uint8)
    colors = expected[..., : expected.shape[2] - (expected.shape[2] % 2 == 0)]
    colors = np.repeat(colors, 3, 2) if colors.shape[2] == 1 else colors
    # Where nothing is seen, the colours do not matter.
    shown = np.where(alpha > 0, 1, 0)
    assert difference(made[..., :3] * shown, colors * shown) <= 1
    assert difference(made[..., 3:], alpha) <= 1


def test_training_refuses_them(blank, site, tmp_path):
    (tmp_path / "net").mkdir()
    write_model(network(2, 1, 1), tmp_path / "net")
    site.mounts["other"] = tmp_path
    message = library(
        blank,
        """
        const config = model.readConfig(await model.fetchModel('/other/net/model.json'));
        try { model.requireTrainable(config) } catch (error) { return error.message }""",
    )
    assert message == (
        "Expected a network from RGB to RGB that enlarges 2, 3, 4 times, found one from 1 to 1 channels of scale 2; it "
        "runs, but cannot be trained."
    )


PLAIN = """
async ([pixels, shape]) => {
  await tf.setBackend('cpu');
  const model = await tf.loadLayersModel('/other/net/model.json');
  const y = model.predict(tf.tensor4d(pixels, [1, ...shape]));
  return [y.shape, [...await y.data()]];
}"""


@pytest.mark.parametrize("shape", [(1, 3, 3), (8, 3, 3), (2, 1, 3), (3, 4, 4)])
def test_a_plain_load_layers_model_reads_them(blank, site, tmp_path, shape):
    weights, given = network(*shape), shape[1]
    (tmp_path / "net").mkdir()
    write_model(weights, tmp_path / "net")
    site.mounts["other"] = tmp_path
    for name in ("tf-core", "tf-layers", "tf-backend-cpu"):
        blank.add_script_tag(url=f"/vendor/{name}.es2017.min.js")
    image = np.random.default_rng(0).random((1, 6, 5, given), np.float32)
    made_shape, values = blank.evaluate(PLAIN, [image.ravel().tolist(), [6, 5, given]])
    expected = arrays.apply(weights, image)
    assert tuple(made_shape) == expected.shape
    np.testing.assert_allclose(np.reshape(values, made_shape), expected, atol=1e-5)
