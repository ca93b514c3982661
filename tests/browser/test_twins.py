"""What Python and the page both do, pair by pair, each on the path that is really taken.

``TWINS`` is the list: a pair that is added to the code is added here, and to the table in docs/architecture.md.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest
from PIL import ExifTags, Image

from helpers.gradients import gradients_of
from helpers.weights import browser_config, flatten, random_weights, unflatten
from span_export import golden
from span_export.tfjs_model import write_perceptual
from span_keras import constants
from span_keras.data.dataset import PatchDataset
from span_keras.data.decode import Pair, load_pair
from span_keras.data.photos import BUNDLED_TRAIN, BUNDLED_VAL
from span_keras.images import alpha, bicubic, metrics, tiling
from span_keras.inference.upscaler import Upscaler
from span_keras.network import init
from span_keras.network.backend import compiled
from span_keras.network.config import SpanConfig
from span_keras.network.deploy import build_deploy
from span_keras.network.functional import apply
from span_keras.network.weights import layer_shapes
from span_keras.runs.settings import resolve
from span_keras.training import perceptual
from span_keras.training.losses import SpanLoss
from span_keras.training.options import StepOptions
from span_keras.training.schedule import Schedule
from span_keras.training.step import TrainStep

from .conftest import PATIENCE, make_scene, open_blank

ROOT = Path(__file__).parents[2]
PHOTOGRAPHS = (BUNDLED_VAL / "cat.jpg", BUNDLED_VAL / "coffee.jpg", BUNDLED_TRAIN / "dandelion.jpg")
"""They differ in size and contents, and no size divides by all scales."""
CONFIGS = {
    "span": SpanConfig(scale=2, channels=4, blocks=2),
    "official": SpanConfig(scale=3, channels=4, blocks=1, variant="official", img_range=2.0),
}
MODULES = (
    *("constants", "engine/tf", "engine/backend", "images/alpha", "images/bicubic", "images/metrics", "images/pixels"),
    *("images/tiling", "network/model", "network/network", "train/settings"),
    *(f"train/session/{name}" for name in ("init", "layers-model", "patches", "samples", "self-check", "step")),
    "train/session/vgg-loss",
)
PRELUDE = """
    const modules = await Promise.all(addresses.map((address) => import(`/${address}.js`)));
    const t = Object.assign({}, ...modules);
    const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const floats = (text) => new Float32Array(fromBase64(text).buffer);
    const toBase64 = (array) => {
      const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
      let text = '';
      for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
      return btoa(text);
    };
    const startCpu = async () => {
      await t.loadTf(['layers']);
      return (await t.startBackend('cpu')).tf;
    };
"""
"""What the bodies of the checks have at hand: all that ``MODULES`` export is in ``t``."""


@pytest.fixture(scope="module")
def page(chromium, site, tmp_path_factory):
    """One page for all pairs, because starting one takes longer than most checks."""
    site.mounts |= {"bundled": BUNDLED_VAL.parent, "forms": save_forms(tmp_path_factory.mktemp("forms"))}
    site.mounts["perceptual-twin"] = tmp_path_factory.mktemp("perceptual")
    write_perceptual(site.mounts["perceptual-twin"])
    context = chromium.new_context(service_workers="block")
    context.set_default_timeout(PATIENCE)
    yield open_blank(context.new_page(), site)
    context.close()
    for name in ("bundled", "forms", "perceptual-twin"):
        del site.mounts[name]


@pytest.fixture(scope="module")
def run(page, site):
    """``(body, *arguments)``: run ``async (t, given) => body`` in the page."""

    def run(body: str, *arguments):
        return page.evaluate(
            f"async ([addresses, given]) => {{ {PRELUDE} {body} }}", [MODULES, json.loads(json.dumps(arguments))]
        )

    run.forms = site.mounts["forms"]
    return run


def save_forms(folder: Path) -> Path:
    """Photographs in other forms than JPEG of three colours: transparent, grey, of few colours, turned."""
    rgb = make_scene(37, 45)
    opacity = np.random.default_rng(0).integers(0, 256, (37, 45, 1), np.uint8)
    opacity[5:9], opacity[20:25] = 0, 255
    Image.fromarray(np.concatenate([rgb, opacity], 2)).save(folder / "rgba.png")
    Image.fromarray(np.concatenate([rgb, opacity], 2)).save(folder / "rgba.webp", lossless=True, exact=True)
    Image.fromarray(np.concatenate([rgb[..., :1], opacity], 2)).save(folder / "grey-alpha.png")
    Image.fromarray(rgb[..., 0]).save(folder / "grey.jpg")
    Image.fromarray(rgb).quantize(32).save(folder / "palette.png", transparency=3)
    Image.fromarray(rgb).save(folder / "one-colour-transparent.png", transparency=tuple(map(int, rgb[4, 4])))
    Image.fromarray(rgb).convert("CMYK").save(folder / "cmyk.jpg")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(rgb).save(folder / "turned.jpg", exif=exif)
    return folder


def encode(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def decode(text: str, dtype, shape=-1) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype).reshape(shape)


# Images ---------------------------------------------------------------------------------------------------------------


def check_photographs(run):
    """``load_pair`` and the batches of ``PatchDataset`` against what a training session reads from the same files."""
    for scale in constants.SCALES:
        for photograph in PHOTOGRAPHS:
            pair = load_pair(photograph, scale)
            found = pair_in_page(run, f"/bundled/{photograph.parent.name}/{photograph.name}", scale)
            np.testing.assert_array_equal(found.hr, pair.hr)
            assert np.count_nonzero(found.lr != pair.lr) == 0, f"{photograph.name} x{scale}"
        dataset = PatchDataset(
            [photograph], scale=scale, patch=8, batch_size=8, steps_per_epoch=1, augment=False, workers=1, dtype="uint8"
        )
        for lr_patch, hr_patch in zip(*dataset[0], strict=True):
            assert any(
                np.array_equal(found.hr[y * scale : (y + 8) * scale, x * scale : (x + 8) * scale], hr_patch)
                for y, x in places(lr_patch, found.lr)
            )
        dataset.close()
    for path in sorted(run.forms.iterdir()):
        pair, found = load_pair(path, 2), pair_in_page(run, f"/forms/{path.name}", 2)
        np.testing.assert_array_equal(found.hr, pair.hr, path.name)
        np.testing.assert_array_equal(found.lr, pair.lr, path.name)


def pair_in_page(run, address: str, scale: int) -> Pair:
    found = run(
        """const [address, scale] = given;
           const blob = await (await fetch(address)).blob();
           const { pairs } = await t.loadPairs([{ name: 'photograph', blob }], { scale, patch: 8 });
           const [{ lr, hr }] = pairs;
           return { lr: toBase64(lr.data), hr: toBase64(hr.data), height: lr.height, width: lr.width };""",
        *(address, scale),
    )
    height, width = found["height"], found["width"]
    hr = decode(found["hr"], np.uint8, (height * scale, width * scale, 3))
    return Pair(decode(found["lr"], np.uint8, (height, width, 3)), hr)


def places(patch: np.ndarray, image: np.ndarray):
    """Where a patch lies in an image: ``(row, column)`` of its upper left corner."""
    first = patch[0].tobytes()
    for y in range(len(image) - len(patch) + 1):
        for match in re.finditer(re.escape(first), image[y].tobytes()):
            x = match.start() // 3
            if match.start() % 3 == 0 and np.array_equal(image[y : y + len(patch), x : x + patch.shape[1]], patch):
                yield y, x


def levels_to_resize(scale: int) -> list[np.ndarray]:
    """Images of 8 bits: noise, extremes, one colour, and sides of one LR pixel or hardly more."""
    rng = np.random.default_rng(scale)
    shapes = [(16 * scale, 13 * scale), (scale, scale), (scale, 9 * scale), (11 * scale, scale), (3 * scale, 2 * scale)]
    noise = [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes]
    extremes = [np.uint8(255) * rng.integers(0, 2, (*shape, 3), np.uint8) for shape in shapes]
    uncropped = rng.integers(0, 256, (10 * scale + 1, 7 * scale + scale - 1, 3), np.uint8)
    return [*noise, *extremes, *(np.full((8 * scale, 8 * scale, 3), v, np.uint8) for v in (0, 255)), uncropped]


def resized(run, operation: str, image: np.ndarray, scale: int) -> np.ndarray:
    found = run(
        """const [operation, data, height, width, scale] = given;
           const image = t[operation]({ height, width, data: fromBase64(data) }, scale);
           return [image.height, image.width, toBase64(image.data)];""",
        *(operation, encode(image), *image.shape[:2], scale),
    )
    return decode(found[2], np.uint8, (*found[:2], 3))


def check_reduction(run):
    for scale in constants.SCALES:
        for image in levels_to_resize(scale):
            np.testing.assert_array_equal(resized(run, "downscale", image, scale), bicubic.downscale(image, scale))


def check_enlargement(run):
    for scale in constants.SCALES:
        for image in levels_to_resize(scale):
            np.testing.assert_array_equal(resized(run, "upscale", image, scale), bicubic.upscale(image, scale))


def check_levels(run):
    """What the network sees of each of the 256 levels."""
    found = run(
        """const levels = Uint8Array.from({ length: 16 * 16 * 3 }, (_, i) => i % 256);
           const out = new Float32Array(levels.length);
           t.copyPatch({ width: 16, data: levels }, 0, 0, 16, 0, out, 0);
           return toBase64(out);"""
    )
    levels = keras.ops.cast(np.uint8(np.arange(16 * 16 * 3) % 256), "float32") / 255.0
    np.testing.assert_array_equal(decode(found, np.float32), np.asarray(levels))


def check_rounding(run):
    values = np.float32([-1, 0, 0.5 / 255, 1.5 / 255, 2.5 / 255, 0.3, 254.5 / 255, 1, 7, *np.linspace(0, 1, 1000)])
    found = decode(run("return toBase64(t.toUint8(floats(given[0])));", encode(values)), np.uint8)
    # The page multiplies in double precision, so exact halves of float32 may lie a level apart.
    np.testing.assert_array_equal(found, bicubic.to_uint8(np.float64(values)))


def check_measures(run):
    hr = make_scene(37, 29)
    sr = np.uint8(np.clip(hr + np.random.default_rng(1).normal(0, 6, hr.shape), 0, 255))
    for shave in (0, 2, 4):
        found = run(
            """const [sr, hr, height, width, shave] = given;
               const [a, b] = [sr, hr].map((data) => ({ height, width, data: fromBase64(data) }));
               return { ...t.evaluatePair(a, b, shave), alone: t.psnrY(a, b, shave) };""",
            *(encode(sr), encode(hr), *hr.shape[:2], shave),
        )
        expected = metrics.evaluate_pair(sr, hr, shave)
        wanted = {"psnrY": "psnr_y", "ssimY": "ssim_y", "psnrRgb": "psnr_rgb", "alone": "psnr_y"}
        assert found == pytest.approx({key: expected[name] for key, name in wanted.items()}, rel=1e-9)


def check_bleed(run):
    rng = np.random.default_rng(3)
    pixels = np.float32(rng.random((20, 26, 4)))
    pixels[..., 3] *= rng.random((20, 26)) > 0.5
    pixels[3:, 4:22, 3] = 0  # wider than colours are carried
    found = run(
        """const [data, height, width] = given;
           const pixels = { data: floats(data), height, width };
           t.bleed(pixels);
           return toBase64(pixels.data);""",
        *(encode(pixels), *pixels.shape[:2]),
    )
    np.testing.assert_allclose(decode(found, np.float32, pixels.shape), alpha.bleed(pixels.copy()), rtol=0, atol=1e-6)


def check_grey_and_alpha(run):
    """Grey is the luma of the network's output; alpha, too, and bounded by what is around the pixel."""
    scale, rng = 2, np.random.default_rng(4)
    image = rng.integers(0, 256, (6, 7, 4), np.uint8)
    image[:3, :3, 3] = 255
    image[4:, 4:, 3] = 0
    noise = np.float32(rng.normal(0, 0.1, (12, 14, 3)))

    def predict(tiles):
        return np.repeat(np.repeat(tiles, scale, 1), scale, 2) + noise

    grey, opacity = (np.float32(plane[None, ..., None]) / 255 for plane in (image[..., 0], image[..., 3]))
    found = run(
        """const [grey, alpha, image, height, width, scale] = given;
           const axis = (size) => ({ start: 0, size, from: 0, to: size });
           const place = { x: axis(width), y: axis(height), left: 0, top: 0, width: width * scale };
           const out = new Uint8ClampedArray(height * width * 4 * scale ** 2);
           t.storeGrey(floats(grey), place, scale, out);
           t.storeAlpha(floats(alpha), { data: fromBase64(image), height, width }, place, scale, out);
           return toBase64(out);""",
        *(encode(predict(np.repeat(plane, 3, 3))) for plane in (grey, opacity)),
        *(encode(image), *image.shape[:2], scale),
    )
    expected = alpha.predict_channels(predict, np.concatenate([grey, opacity], 3), scale)[0]
    found = decode(found, np.uint8, (12, 14, 4))
    np.testing.assert_array_equal(found[..., [0, 3]], bicubic.to_uint8(expected))
    assert (found[..., 0] == found[..., 1]).all() and (found[..., 0] == found[..., 2]).all()


def check_tiles(run):
    cases = [
        (length, tile, halo) for length in (1, 30, 64, 65, 200, 331) for tile, halo in ((64, 21), (50, 6), (32, 0))
    ]
    found = run(
        "return given[0].map((one) => t.planAxis(...one).map((s) => [s.start, s.start + s.size, s.from, s.to]));", cases
    )
    assert found == [[list(span) for span in tiling.split(*case)] for case in cases]


# The network ----------------------------------------------------------------------------------------------------------


def check_shapes(run):
    """Names and shapes of the weights, and how far the network sees."""
    for config in (*CONFIGS.values(), SpanConfig()):
        table, halo = run("return [t.weightTable(given[0]), t.haloOf(given[0])];", browser_config(config))
        found = [(f"{entry['layer']}/{entry['weight']}", tuple(entry["shape"])) for entry in table]
        shapes = layer_shapes(config).items()
        assert found == [(f"{n}/{k}", part) for n, s in shapes for k, part in (("kernel", s), ("bias", s[3:]))]
        assert halo == config.receptive_radius


def check_default_network(run):
    assert run("return t.defaultConfig();") == browser_config(SpanConfig())


def check_network(run):
    """Normalisation, activations and their slope, attention, pixel shuffle: what the networks that train put out."""
    lr = np.float32(np.random.default_rng(2).random((2, 6, 5, 3)))
    for config in CONFIGS.values():
        weights = random_weights(config, seed=4)
        found = run(
            """const [config, parameters, lr, shape] = given;
               const tf = await startCpu();
               const network = new t.Network(tf, config, floats(parameters));
               const output = tf.tidy(() => network.apply(tf.tensor4d(floats(lr), shape)));
               const values = toBase64(await output.data());
               tf.dispose(output);
               network.dispose();
               return values;""",
            *(browser_config(config), encode(flatten(weights)), encode(lr), lr.shape),
        )
        arrays = {name: (group["kernel"], group["bias"]) for name, group in weights.layers.items()}
        expected = np.asarray(apply(arrays, lr, config))
        found = decode(found, np.float32, expected.shape)
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def check_upscaling(run):
    """What the networks that upscale put out, from levels on."""
    pixels = make_scene(9, 7)
    for config in CONFIGS.values():
        weights = random_weights(config, seed=4)
        found = run(
            """const [config, parameters, data, height, width] = given;
               const tf = await startCpu();
               const artifacts = t.toArtifacts(tf, config, floats(parameters), { generator: 'test' });
               const network = t.createNetwork(tf, artifacts, t.readConfig(artifacts));
               const pixels = { data: fromBase64(data), height, width, stride: 3 };
               const output = tf.tidy(() => network.run(network.input(pixels)));
               const values = toBase64(await output.data());
               tf.dispose(output);
               network.dispose();
               return values;""",
            *(browser_config(config), encode(flatten(weights)), encode(pixels), *pixels.shape[:2]),
        )
        expected = np.asarray(Upscaler(weights).predict(np.float32(pixels[None]) / 255))[0]
        found = decode(found, np.float32, expected.shape)
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(found).max())


def check_golden_tile(run):
    """The tile's bytes, and of the same weights what both write beside it."""
    assert run("return toBase64(t.goldenInput());") == encode(golden.golden_input())
    for config in CONFIGS.values():
        weights = random_weights(config, seed=4)
        found = run(
            "return t.makeGolden(await startCpu(), given[0], floats(given[1]));",
            *(browser_config(config), encode(flatten(weights))),
        )
        tile = golden.golden_input()
        output = np.asarray(weights.deploy_model()(np.float32(tile[None]) / np.float32(255)))[0]
        expected = golden.encode(tile, output)
        assert {k: found[k] for k in ("inputShape", "input", "outputShape")} == {
            k: expected[k] for k in ("inputShape", "input", "outputShape")
        }
        assert found["tolerance"] == pytest.approx(expected["tolerance"], rel=1e-5)
        _, made, tolerance = golden.decode(found)
        assert np.abs(made - output).max() < tolerance / 20


def check_noise(run):
    """The images of the initialisation come from other random numbers; their statistics are the same."""
    found = decode(run("return toBase64(t.naturalNoise(6, 32, 1));"), np.float32, (6, 32, 32, 3))
    expected = init.natural_noise(48, 32, seed=1)
    assert (found.min() >= 0, found.max() <= 1) == (True, True)
    assert found.mean() == pytest.approx(expected.mean(), abs=0.08)
    assert found.std() == pytest.approx(expected.std(), rel=0.2)
    neighbours = [np.abs(np.diff(images, axis=2)).mean() for images in (found, expected)]
    assert neighbours[0] == pytest.approx(neighbours[1], rel=0.3)


def check_initialisation(run):
    """The standard deviation after each layer of a new network, on images of Python's."""
    images = init.natural_noise(4, 32, seed=9)
    for variant in constants.VARIANTS:
        config = SpanConfig(scale=2, channels=8, blocks=3, variant=variant)
        parameters = run("return toBase64(await t.initialise(await startCpu(), given[0], 1));", browser_config(config))
        model = unflatten(config, decode(parameters, np.float32)).assign_to(build_deploy(config))
        for name in ("conv_1", *(f"block_{i}_c{j}" for i in (1, 2, 3) for j in (1, 2, 3)), "conv_2"):
            target = constants.ATTENTION_STD[variant] if name.endswith("c3") else constants.FEATURE_STD
            found = float(np.std(keras.Model(model.inputs, model.get_layer(name).output)(images)))
            assert 0.6 * target < found < 1.7 * target, name
        output = np.asarray(model(images))
        assert abs(output.mean() - 0.5) < 0.1
        assert 0.5 * constants.OUTPUT_STD < output.std() < 2 * constants.OUTPUT_STD


# Training -------------------------------------------------------------------------------------------------------------


def check_loss(run):
    """The mean absolute error, the distance of VGG's features, and the gradient of both."""
    config = SpanConfig(scale=2, channels=4, blocks=1)
    weights, rng = random_weights(config, seed=4), np.random.default_rng(2)
    lr, hr = np.float32(rng.random((2, 5, 5, 3))), np.float32(rng.random((2, 10, 10, 3)))
    names = [f"{n}/{k}" for n in layer_shapes(config) for k in ("kernel", "bias")]
    loss, parts = SpanLoss(perceptual.build("vgg16"), VGG_WEIGHT), {}

    def total(inputs):
        fused = {name: (inputs[f"{name}/kernel"], inputs[f"{name}/bias"]) for name in layer_shapes(config)}
        value, found = loss(inputs["hr"], apply(fused, inputs["lr"], config))
        parts.update({name: float(part) for name, part in found.items()})
        return value

    inputs = {f"{name}/{key}": array for name, group in weights.layers.items() for key, array in group.items()}
    gradients = gradients_of(total)(inputs | {"lr": lr, "hr": hr})
    expected = np.concatenate([np.ravel(gradients[name]) for name in names])
    for backend in ("webgl", "cpu"):
        found = run(
            """const [backend, config, parameters, lr, hr, vggWeight] = given;
               await t.loadTf(['layers']);
               const { tf } = await t.startBackend(backend);
               const resting = tf.memory().numTensors;
               const batch = { lr: floats(lr), lrShape: [2, 5, 5, 3], hr: floats(hr), hrShape: [2, 10, 10, 3] };
               const perceptual = await t.PerceptualLoss.load(tf, '/perceptual-twin/model.json');
               const settings = { vggWeight, weightDecay: 0 };
               const options = { config, settings, parameters: floats(parameters), source: null, perceptual };
               const trainer = new t.Trainer(tf, options);
               const [gradient, measured] = tf.tidy(() => trainer.differentiate(batch));
               const result = { gradient: toBase64(await gradient.data()), measured: [...(await measured.data())] };
               tf.dispose([gradient, measured]);
               trainer.dispose();
               perceptual.dispose();
               return { ...result, leaked: tf.memory().numTensors - resting };""",
            *(backend, browser_config(config), encode(flatten(weights)), encode(lr), encode(hr), VGG_WEIGHT),
        )
        mae, distance, norm = found["measured"]
        assert mae == pytest.approx(parts["mae"], rel=1e-5)
        assert distance == pytest.approx(parts["perceptual"], rel=1e-4)
        assert norm == pytest.approx(np.linalg.norm(expected), rel=1e-3)
        difference = decode(found["gradient"], np.float32) - expected
        assert np.linalg.norm(difference) <= 1e-3 * np.linalg.norm(expected)
        assert found["leaked"] == 0


RATE, DECAY, VGG_WEIGHT = 1e-3, 1e-2, 0.5
GOOD = constants.GUARD_START + 4
"""Losses before the first leap."""


def losses_and_gradients(count: int) -> tuple[list[float], np.ndarray]:
    """Losses with leaps, the first too early to tell, and one that is no number, then more bad ones than are borne;
    gradients from far below to far above epsilon, some longer than the clipping norm."""
    rng = np.random.default_rng(6)
    good = 1 + np.arange(200) % 2 + 0.1 * rng.random(200)
    # Of an even number of losses the smaller middle one is the median: for the other, 15 would be no leap.
    losses = [*good[:5], 40.0, *good[5:GOOD], 15.0, good[GOOD], np.nan, *good[GOOD + 1 : GOOD + 7]]
    losses += [*[50.0] * (constants.RESTORE_AFTER + 2), *good[60:66], 9.0, *good[66 : 66 + constants.GUARD_WINDOW]]
    size = rng.choice(10.0 ** np.arange(-10, 1), (1, count))
    return losses, np.float32(rng.normal(0, 1, (len(losses), count)) * size * rng.choice([0.01, 1], (len(losses), 1)))


def step_in_python(config: SpanConfig, losses, gradients) -> tuple[dict[str, np.ndarray], list, list]:
    """The state by slot as flat arrays after ``TrainStep`` on given gradients, and where it skipped and restored."""
    start = {
        f"{layer}/{key}": value
        for layer, group in random_weights(config, seed=4).layers.items()
        for key, value in group.items()
    }
    names = [f"{n}/{k}" for n in layer_shapes(config) for k in ("kernel", "bias")]
    options = StepOptions(weight_decay=DECAY, clip_norm=constants.CLIP_NORM)
    step = TrainStep(config, None, options, names)
    tensor = keras.ops.convert_to_tensor
    state = {f"{slot}/{name}": tensor(start[name]) for slot in ("weights", "ema") for name in names}
    state |= {f"{slot}/{n}": tensor(np.zeros_like(start[n])) for slot in ("moment_1", "moment_2") for n in names}
    state |= {name: tensor(np.int32(0)) for name in ("step", "updates", "streak")}
    state["recent_losses"] = tensor(np.full(constants.GUARD_WINDOW, np.inf, np.float32))
    images = (np.zeros((1, 1, 1, 3), np.uint8),)
    run = compiled(lambda state, loss, given: step(state, images, RATE, lambda *_: ((loss, ({}, None)), given)))
    skipped, restored = [], []
    for loss, values in zip(losses, gradients, strict=True):
        layers = unflatten(config, values).layers
        given = {name: tensor(layers[name.split("/")[0]][name.split("/")[1]]) for name in names}
        state, logs = run(state, tensor(np.float32(loss)), given)
        skipped.append(bool(logs["skipped"]))
        restored.append(bool(logs["restored"]))
    slots = ("weights", "ema", "moment_1", "moment_2")
    flat = {slot: np.concatenate([np.ravel(state[f"{slot}/{name}"]) for name in names]) for slot in slots}
    return flat, skipped, restored


def check_steps(run):
    """Adam, clipping, weight decay, the average and the guard: many steps of both on the same losses and gradients."""
    config = CONFIGS["span"]
    start = flatten(random_weights(config, seed=4))
    losses, gradients = losses_and_gradients(len(start))
    found = run(
        """const [config, parameters, losses, gradients, rate, weightDecay] = given;
           const tf = await startCpu();
           const settings = { epochs: 1, stepsPerEpoch: losses.length, rate, halveAt: [], weightDecay, vggWeight: 0 };
           const source = { get: () => null };
           const trainer = new t.Trainer(tf, { config, settings, parameters: floats(parameters), source });
           const size = floats(parameters).length;
           const all = floats(gradients);
           trainer.differentiate = () => {
             const gradient = tf.tensor1d(all.subarray(trainer.step * size, (trainer.step + 1) * size));
             return [gradient, tf.stack([losses[trainer.step] ?? NaN, 0, tf.sqrt(tf.sum(tf.square(gradient)))])];
           };
           const [skipped, restored] = [[], []];
           for (let i = 0; i < losses.length; i++) {
             const result = await trainer.trainStep();
             skipped.push(result.skipped);
             restored.push(result.restored);
           }
           const { parameters: weights, average: ema, momentum, velocity, updates } = await trainer.snapshot();
           trainer.dispose();
           const slots = { weights, ema, moment_1: momentum, moment_2: velocity };
           const encoded = Object.entries(slots).map(([name, values]) => [name, toBase64(values)]);
           return { ...Object.fromEntries(encoded), skipped, restored, updates };""",
        *(browser_config(config), encode(start), [None if np.isnan(x) else x for x in losses], encode(gradients)),
        *(RATE, DECAY),
    )
    expected, skipped, restored = step_in_python(config, losses, gradients)
    assert found["skipped"] == skipped
    assert found["restored"] == restored
    assert (sum(skipped), sum(restored)) == (constants.RESTORE_AFTER + 4, 1)
    assert found["updates"] == len(losses) - sum(skipped)
    norms = np.linalg.norm(gradients, axis=1, keepdims=True)
    longest = np.abs(gradients * np.minimum(1, constants.CLIP_NORM / norms)).max(0)
    # A weight rounds at its own size and at that of its steps, a moment at the size of what was added to it.
    weight = len(losses) * (np.spacing(np.abs(start)) + RATE * np.finfo(np.float32).eps)
    bounds = {"weights": weight, "ema": weight, "moment_1": 1e-7 * longest, "moment_2": 1e-7 * longest**2}
    for slot, values in expected.items():
        difference = np.abs(decode(found[slot], np.float32) - values)
        assert (difference <= bounds[slot]).all(), slot
    assert np.abs(expected["weights"] - start).max() > 10 * RATE


def check_rates(run):
    schedule = Schedule.by_epoch(1e-4, steps_per_epoch=10, epochs=500, boundaries=(200, 300))
    epochs = [0, 199, 200, 201, 299, 300, 499]
    found = run("return given[0].map((epoch) => t.rateAt({ rate: 1e-4, halveAt: [200, 300] }, epoch));", epochs)
    assert found == pytest.approx([schedule.rate(10 * epoch) for epoch in epochs], rel=1e-12)
    assert run("return t.rateAt({ rate: 1e-4, halveAt: [] }, 400);") == Schedule(1e-4, 500).rate(400)


def check_defaults(run):
    """What the form offers and what ``span-train`` does unless it is told otherwise."""
    names = {
        "epochs": "epochs",
        "stepsPerEpoch": "steps_per_epoch",
        "batch": "batch_size",
        "patch": "patch_size",
        "rate": "learning_rate",
        "halveAt": "rate_epochs",
        "weightDecay": "weight_decay",
        "vggWeight": "vgg_weight",
        "seed": "seed",
    }
    python = resolve({}).to_dict()
    values, fields, problems = run("return [t.DEFAULTS, t.FIELDS, t.validate(t.DEFAULTS).problems];")
    assert (values, problems) == ({key: python[name] for key, name in names.items()}, {})
    shared = ("beta_1", "beta_2", "clip_norm", "ema_decay", "spike_factor", "channels", "blocks")
    assert {name: python[name] for name in shared} == {name: getattr(constants, name.upper()) for name in shared}
    smallest = next(field["min"] for field in fields if field["key"] == "patch")
    assert resolve({"patch_size": smallest}).data.patch_size == smallest == constants.MIN_PATCH_SIZE


def check_constants(run):
    source = json.loads((ROOT / "span_keras" / "constants.json").read_text("utf-8"))
    found = run("const exported = await import('/constants.js'); return { ...exported };")
    assert found == {name: entry["value"] for name, entry in source.items()}
    assert {name for name in vars(constants) if name.isupper()} == set(source)
    path = ROOT / "scripts" / "constants.py"
    spec = importlib.util.spec_from_file_location("make_constants", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    stale = "web_demo/constants.js is not what span_keras/constants.json says: run python scripts/constants.py"
    assert (ROOT / "web_demo" / "constants.js").read_text("utf-8") == script.module(source), stale


class Twin(NamedTuple):
    """One thing done twice: where, how far it is the same, and the check that compares it."""

    thing: str
    python: str
    page: str
    same: str
    check: Callable

    def row(self) -> str:
        """Its row in docs/architecture.md."""
        return f"| {self.thing} | `{self.python}` | `{self.page}` | {self.same} |"


TWINS = [
    Twin("photographs to HR and LR", "data/decode.py", "train/session/patches.js", "bytes", check_photographs),
    Twin("8-bit bicubic reduction", "images/bicubic.py", "images/bicubic.js", "bytes", check_reduction),
    Twin("8-bit bicubic enlargement", "images/bicubic.py", "images/bicubic.js", "bytes", check_enlargement),
    Twin("levels to network input", "training/step.py", "train/session/patches.js", "bits", check_levels),
    Twin("network output to levels", "images/bicubic.py", "images/bicubic.js", "bytes", check_rounding),
    Twin("PSNR, SSIM, Y", "images/metrics.py", "images/metrics.js", "rounding", check_measures),
    Twin("colours under transparency", "images/alpha.py", "images/alpha.js", "rounding", check_bleed),
    Twin("grey and alpha", "images/alpha.py", "images/pixels.js", "bytes", check_grey_and_alpha),
    Twin("tiles", "images/tiling.py", "images/tiling.js", "whole numbers", check_tiles),
    Twin("weights' shapes and halo", "network/weights.py", "network/model.js", "whole numbers", check_shapes),
    Twin("default network", "network/config.py", "train/session/layers-model.js", "bits", check_default_network),
    Twin("the graph in training", "network/functional.py", "train/session/layers-model.js", "rounding", check_network),
    Twin("the graph in upscaling", "inference/upscaler.py", "network/network.js", "rounding", check_upscaling),
    Twin("golden tile", "span_export/golden.py", "train/session/self-check.js", "bytes", check_golden_tile),
    Twin("noise images", "network/init.py", "train/session/init.js", "statistics", check_noise),
    Twin("initialisation", "network/init.py", "train/session/init.js", "statistics", check_initialisation),
    Twin("loss and its gradient", "training/losses.py", "train/session/vgg-loss.js", "rounding", check_loss),
    Twin("Adam, clipping, average, guard", "training/step.py", "train/session/step.js", "rounding", check_steps),
    Twin("learning rate", "training/schedule.py", "train/settings.js", "rounding", check_rates),
    Twin("defaults", "runs/settings.py", "train/settings.js", "bits", check_defaults),
    Twin("constants", "constants.json", "constants.js", "bits", check_constants),
]


@pytest.mark.parametrize("twin", TWINS, ids=[twin.thing for twin in TWINS])
def test_twins(run, twin):
    twin.check(run)


def test_the_documented_table_is_this_list():
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    section = page.split("\n## Twins\n")[1].split("\n## ")[0]
    assert [line for line in section.splitlines() if line.startswith("| ")][1:] == [twin.row() for twin in TWINS]
    for twin in TWINS:
        python = ROOT / ("export" if twin.python.startswith("span_export") else "span_keras") / twin.python
        assert python.is_file() and (ROOT / "web_demo" / twin.page).is_file()
