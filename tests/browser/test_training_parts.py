"""The modules of the training view one by one, against Python where Python computes the same."""

import functools
import json

import keras
import numpy as np
import pytest

from helpers.weights import browser_config, flatten, random_weights, unflatten
from span_keras.constants import GUARD_WINDOW, RESTORE_AFTER
from span_keras.network.config import SpanConfig
from span_keras.network.functional import apply
from span_keras.network.weights import SpanWeights, layer_shapes
from span_keras.training.options import StepOptions
from span_keras.training.step import TrainStep

TRAINING_BACKENDS = ("webgpu", "webgl", "wasm", "cpu")
SESSION = ("history", "init", "layers-model", "patches", "samples", "session", "step", "store", "vgg-loss")
SESSION += ("wasm-gradients", "webgpu-convolutions")
MODULES = ["/train/settings.js", "/network/random.js", *(f"/train/session/{name}.js" for name in SESSION)]
SETTINGS = {"epochs": 1, "stepsPerEpoch": 100, "rate": 1e-3, "halveAt": [], "weightDecay": 1e-2, "vggWeight": 0.5}


@pytest.fixture
def train(page, site):
    """``(body, *arguments)``: run ``async (t, start, given) => body``; ``t`` holds all that ``MODULES`` export."""
    page.route("**/favicon.ico", lambda route: route.fulfill(status=204))
    page.goto(f"{site.url}/style.css")  # a document without scripts of its own

    def run(body: str, *arguments):
        return page.evaluate(
            f"""async (given) => {{
                const modules = await Promise.all({json.dumps(MODULES)}.map((address) => import(address)));
                const t = Object.assign({{}}, ...modules);
                const [bicubic, tfModule, backends] = await Promise.all(
                    ['/images/bicubic.js', '/engine/tf.js', '/engine/backend.js'].map((address) => import(address)));
                const start = async (name) => {{
                    await tfModule.loadTf(['layers']);
                    const {{ tf }} = await backends.startBackend(name);
                    if (name === 'wasm') t.registerGradients(tf);
                    if (name === 'webgpu') t.registerConvolutions(tf);
                    return tf;
                }};
                const tensor = ({{ shape, data }}) => ({{ shape, data: new Float32Array(data) }});
                {{ {body} }}
            }}""",
            json.loads(json.dumps(arguments)),
        )

    return run


def as_json(array: np.ndarray) -> dict:
    return {"shape": list(array.shape), "data": np.float32(array).ravel().tolist()}


def make_batch(config: SpanConfig, size: int = 6, seed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    side = size * config.scale
    return np.float32(rng.random((2, size, size, 3))), np.float32(rng.random((2, side, side, 3)))


CONFIGS = {
    "span": SpanConfig(scale=2, channels=4, blocks=2),
    "official": SpanConfig(scale=3, channels=4, blocks=1, variant="official", img_range=2.0),
}


@functools.cache
def keras_steps(name: str, steps: int) -> tuple[SpanWeights, float, SpanWeights]:
    """Weights before, the first loss, and weights after some steps of Keras."""
    weights = random_weights(CONFIGS[name], seed=4)
    model = weights.deploy_model()
    optimizer = keras.optimizers.AdamW(
        SETTINGS["rate"], weight_decay=SETTINGS["weightDecay"], epsilon=1e-7, global_clipnorm=1.0
    )
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    model.compile(optimizer, loss=lambda y, p: keras.ops.mean(keras.ops.abs(y - p)))
    lr, hr = make_batch(CONFIGS[name])
    first, *_ = [model.train_on_batch(lr, hr) for _ in range(steps)]
    return weights, float(first), SpanWeights.from_model(model)


@pytest.mark.parametrize("backend", TRAINING_BACKENDS)
@pytest.mark.parametrize("name", CONFIGS)
def test_a_step_changes_the_weights_as_keras_does(train, name, backend):
    config, steps = CONFIGS[name], 3
    lr, hr = make_batch(config)
    weights, first, trained = keras_steps(name, steps)
    found = train(
        """const [name, config, parameters, lr, hr, settings, steps] = given;
           const tf = await start(name);
           const resting = tf.memory().numTensors;
           const [input, target] = [tensor(lr), tensor(hr)];
           const batch = { lr: input.data, lrShape: input.shape, hr: target.data, hrShape: target.shape };
           const trained = new t.Trainer(tf, {
             config, settings, parameters: new Float32Array(parameters), source: { get: () => batch } });
           const maes = [];
           for (let i = 0; i < steps; i++) maes.push((await trained.trainStep()).mae);
           const after = [...(await trained.snapshot()).parameters];
           trained.dispose();
           return { after, maes, leaked: tf.memory().numTensors - resting, backend: tf.getBackend() };""",
        *(backend, browser_config(config), flatten(weights).tolist(), as_json(lr), as_json(hr), SETTINGS, steps),
    )
    assert (found["backend"], found["leaked"]) == (backend, 0)
    assert found["maes"][0] == pytest.approx(first, rel=1e-5)
    assert_changed_alike(weights, unflatten(config, found["after"]), trained, steps)


def assert_changed_alike(before: SpanWeights, after: SpanWeights, wanted: SpanWeights, steps: int):
    for layer, group in wanted.layers.items():
        for key, value in group.items():
            start = before.layers[layer][key]
            change, right = after.layers[layer][key] - start, value - start
            assert np.linalg.norm(right) > 0
            # Weights differ by one rounding of float32 besides.
            rounding = np.spacing(np.abs(value)).max() * np.sqrt(value.size) * steps
            assert np.linalg.norm(change - right) <= 1e-4 * np.linalg.norm(right) + rounding, f"{layer}/{key}"


class FusedStep(TrainStep):
    """Python's train step on the weights of the fused network, which are what the browser trains."""

    def network(self, parameters, lr, dtype):
        fused = {name: (parameters[f"{name}/kernel"], parameters[f"{name}/bias"]) for name in layer_shapes(self.config)}
        return apply(fused, lr, self.config, dtype)


SHAPES = [(1, 1, 1, 1, 1, 3), (2, 9, 11, 3, 6, 3), (1, 6, 5, 20, 24, 1), (2, 9, 3, 5, 7, 1), (1, 5, 4, 4, 68, 3)]
"""Images, height, width, input and output channels, side of the filter."""


def test_our_convolutions_and_their_gradients_are_those_of_the_cpu(train):
    found = train(
        """const tf = await start('webgpu');
           await start('cpu');
           const noise = (shape, seed) => {
             const uniform = t.uniformStream(seed, 1);
             const size = tf.util.sizeFromShape(shape);
             return tf.tensor4d(Float32Array.from({ length: size }, () => uniform() - 0.5), shape);
           };
           const convolve = async (name, [count, height, width, inputs, outputs, side], stride) => {
             await tf.setBackend(name);
             const [x, filter] = [noise([count, height, width, inputs], 1), noise([side, side, inputs, outputs], 2)];
             const dy = noise([count, Math.ceil(height / stride), Math.ceil(width / stride), outputs], 3);
             const run = tf.valueAndGrads((x, filter) => tf.conv2d(x, filter, stride, 'same'));
             const { value, grads } = run([x, filter], dy);
             return Promise.all([value, ...grads].map(async (tensor) => [...(await tensor.data())]));
           };
           const both = async (shape, stride) =>
             [await convolve('webgpu', shape, stride), await convolve('cpu', shape, stride)];
           const results = [];
           for (const shape of given[0]) results.push(await both(shape, 1));
           const strided = await both(given[1], 2);
           return [...results, strided];""",
        *(SHAPES, (1, 6, 5, 4, 4, 3)),
    )
    for shape, (ours, expected) in zip([*SHAPES, "stride 2"], found, strict=True):
        for part, a, b in zip(("output", "input's gradient", "filter's gradient"), ours, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5, err_msg=f"{shape}, {part}")


@pytest.mark.parametrize("breaks", [False, True])
def test_our_convolutions_are_used_only_where_they_compute_right(train, breaks):
    found = train(
        """const { createShaderModule } = GPUDevice.prototype;
           const made = [];
           GPUDevice.prototype.createShaderModule = function (description) {
             const isOurs = description.code.includes('fn changesAt');
             made.push(isOurs);
             const code = isOurs && given[0] ? description.code.replaceAll('fma(', '-fma(') : description.code;
             return createShaderModule.call(this, { ...description, code });
           };
           await tfModule.loadTf(['layers']);
           const { tf } = await backends.startBackend('webgpu');
           const tensors = tf.memory().numTensors;
           const used = [await t.useConvolutions(tf), await t.useConvolutions(tf)];
           const leaked = tf.memory().numTensors - tensors;
           made.length = 0;
           const x = tf.ones([1, 2, 2, 5]);
           await tf.grad((filter) => tf.conv2d(x, filter, 1, 'same'))(tf.ones([3, 3, 5, 5])).data();
           return { used, ours: made.includes(true), leaked };""",
        breaks,
    )
    assert found == {"used": [not breaks] * 2, "ours": not breaks, "leaked": 0}


GOOD_STEPS, STEPS_AFTER = 5, 2
"""Steps before the weights are damaged, and after their average has taken over."""


@functools.cache
def python_average() -> tuple[SpanWeights, SpanWeights, list[int]]:
    """Weights and averaged weights after good steps, damage, as many skipped steps as it takes, and good steps again.

    The third value has a 1 for each step at which the average took over.
    """
    import tensorflow as tf

    config = CONFIGS["span"]
    start = {
        f"{layer}/{key}": value
        for layer, group in random_weights(config, seed=4).layers.items()
        for key, value in group.items()
    }
    options = StepOptions(weight_decay=SETTINGS["weightDecay"], clip_norm=1.0)
    step = FusedStep(config, lambda hr, sr: (keras.ops.mean(keras.ops.abs(hr - sr)), {}), options, list(start))
    state = {f"{slot}/{name}": tf.constant(value) for slot in ("weights", "ema") for name, value in start.items()}
    state |= {f"{slot}/{n}": tf.zeros(v.shape) for slot in ("moment_1", "moment_2") for n, v in start.items()}
    state |= {name: tf.constant(0) for name in ("step", "updates", "streak")}
    state["recent_losses"] = tf.fill([GUARD_WINDOW], np.float32(np.inf))
    lr, hr = (image * np.float32(255) for image in make_batch(config))

    def gradient(function, parameters):
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            loss, parts = function(parameters)
        return (loss, parts), tape.gradient(loss, parameters)

    restored = []
    for i in range(GOOD_STEPS + RESTORE_AFTER + STEPS_AFTER):
        if i == GOOD_STEPS:
            state |= {f"weights/{name}": tf.fill(value.shape, np.float32(np.nan)) for name, value in start.items()}
        state, logs = step(state, (lr, hr), SETTINGS["rate"], gradient)
        restored.append(int(logs["restored"]))

    def weights(slot):
        layers = {
            name: {key: state[f"{slot}/{name}/{key}"].numpy() for key in ("kernel", "bias")}
            for name in layer_shapes(config)
        }
        return SpanWeights(config, layers)

    return weights("weights"), weights("ema"), restored


@pytest.mark.parametrize("backend", TRAINING_BACKENDS)
def test_weights_are_averaged_and_restored_from_their_average_as_in_python(train, backend):
    config = CONFIGS["span"]
    weights, average, restored = python_average()
    lr, hr = make_batch(config)
    start = random_weights(config, seed=4)
    found = train(
        """const [name, config, parameters, lr, hr, settings, goodSteps, steps] = given;
           const tf = await start(name);
           const resting = tf.memory().numTensors;
           const [input, target] = [tensor(lr), tensor(hr)];
           const batch = { lr: input.data, lrShape: input.shape, hr: target.data, hrShape: target.shape };
           const trained = new t.Trainer(tf, {
             config, settings, parameters: new Float32Array(parameters), source: { get: () => batch } });
           const [restored, tensors] = [[], []];
           for (let i = 0; i < steps; i++) {
             if (i === goodSteps) trained.network.assign(tf.fill([parameters.length], NaN));
             restored.push(Number((await trained.trainStep()).restored));
             tensors.push(tf.memory().numTensors);
           }
           const kept = await trained.snapshot();
           trained.dispose();
           return { parameters: [...kept.parameters], average: [...kept.average], restored, skipped: kept.skipped,
                    streak: kept.streak, tensors, leaked: tf.memory().numTensors - resting };""",
        *(backend, browser_config(config), flatten(start).tolist(), as_json(lr), as_json(hr), SETTINGS),
        *(GOOD_STEPS, len(restored)),
    )
    assert found["restored"] == restored == [0] * (GOOD_STEPS + RESTORE_AFTER - 1) + [1] + [0] * STEPS_AFTER
    assert (found["skipped"], found["streak"]) == (RESTORE_AFTER, 0)
    assert_changed_alike(start, unflatten(config, found["average"]), average, len(restored))
    assert_changed_alike(start, unflatten(config, found["parameters"]), weights, len(restored))
    assert np.abs(flatten(average) - flatten(weights)).max() > SETTINGS["rate"] / 10
    assert (len(set(found["tensors"])), found["leaked"]) == (1, 0)


@pytest.mark.parametrize("backend", ["webgl", "cpu"])
def test_samples_are_of_the_averaged_weights_and_training_is_not(train, backend):
    config = CONFIGS["span"]
    found = train(
        """const [name, config, weights, settings] = given;
           const tf = await start(name);
           const parameters = new Float32Array(weights);
           const levels = Uint8Array.from({ length: 432 }, (_, i) => (i * 7919) % 251);
           const pairs = [{ name: 'a', ...t.makePair({ height: 12, width: 12, data: levels }, 2) }];
           const [sample] = t.makeSamples(pairs, 2);
           const source = new t.PatchSource(pairs, { scale: 2, patch: 6, batch: 1, seed: 5 });
           const trained = new t.Trainer(tf, { config, settings, parameters, source });
           for (let i = 0; i < 3; i++) await trained.trainStep();
           const before = tf.memory().numTensors;
           const upscale = async (network) => (await t.upscaleSample(tf, network, sample)).span.data.join();
           const upscaleWith = async (parameters) => {
             const other = new t.Network(tf, config, parameters);
             const output = await upscale(other);
             other.dispose();
             return output;
           };
           const kept = await trained.snapshot();
           const [latest, averaged] = [await upscaleWith(kept.parameters), await upscaleWith(kept.average)];
           const shown = await trained.withAverage(upscale);
           const afterwards = await upscale(trained.network);
           const failure = await trained.withAverage(() => Promise.reject('lost')).catch((reason) => reason);
           const afterFailure = await upscale(trained.network);
           const leaked = tf.memory().numTensors - before;
           trained.dispose();
           return { shown: shown === averaged, afterwards: afterwards === latest, distinct: averaged !== latest,
                    failure, afterFailure: afterFailure === latest, leaked };""",
        *(backend, browser_config(config), flatten(random_weights(config, seed=4)).tolist(), SETTINGS),
    )
    assert found == {
        "shown": True,
        "afterwards": True,
        "distinct": True,
        "failure": "lost",
        "afterFailure": True,
        "leaked": 0,
    }


def test_training_goes_on_exactly_where_it_stopped(train):
    found = train(
        """const tf = await start('cpu');
           const config = t.defaultConfig({ scale: 2, channels: 4, blocks: 1 });
           const parameters = await t.initialise(tf, config, 3);
           const levels = Uint8Array.from({ length: 4320 }, (_, i) => (i * 7919) % 251);
           const picture = { height: 40, width: 36, data: levels };
           const pairs = [{ name: 'a', ...t.makePair(picture, 2) }];
           const source = new t.PatchSource(pairs, { scale: 2, patch: 6, batch: 2, seed: 5 });
           const settings = { ...given[0], vggWeight: 0 };
           const run = async (start, state, steps) => {
             const trained = new t.Trainer(tf, { config, settings, parameters: start, source, state });
             const losses = [];
             for (let i = 0; i < steps; i++) losses.push((await trained.trainStep()).mae);
             const kept = await trained.snapshot();
             trained.dispose();
             return { losses, kept };
           };
           const whole = await run(parameters, null, 6);
           const first = await run(parameters, null, 3);
           const second = await run(first.kept.parameters, structuredClone(first.kept), 3);
           const same = ['parameters', 'average'].every((key) =>
             second.kept[key].every((value, i) => value === whole.kept[key][i]));
           return { whole: whole.losses, parts: [...first.losses, ...second.losses], same, step: second.kept.step };""",
        SETTINGS,
    )
    assert found["whole"] == found["parts"]
    assert (found["same"], found["step"]) == (True, 6)
    assert len(set(found["whole"])) == 6


@pytest.mark.parametrize("batch", ["nan", "leap"])
def test_bad_steps_are_skipped_and_repeated_ones_stop_the_training(train, batch):
    found = train(
        """const tf = await start('cpu');
           const resting = tf.memory().numTensors;
           const config = t.defaultConfig({ scale: 2, channels: 4, blocks: 1 });
           const parameters = await t.initialise(tf, config, 3);
           const grey = (size) => new Float32Array(size).fill(0.5);
           const good = { lr: grey(48), lrShape: [1, 4, 4, 3], hr: grey(192), hrShape: [1, 8, 8, 3] };
           const bad = { ...good, hr: new Float32Array(192).fill(given[1] === 'nan' ? NaN : 1e6) };
           const settings = { ...given[0], vggWeight: 0 };
           const source = { get: (step) => (step < 25 && step !== 23 ? good : bad) };
           const trained = new t.Trainer(tf, { config, settings, parameters, source });
           const [skipped, restored, states] = [[], [], []];
           let message;
           try {
             for (let i = 0; i < 100; i++) {
               if ([25, 34, 35].includes(i)) states.push(await trained.snapshot());
               const result = await trained.trainStep();
               skipped.push(result.skipped);
               if (result.restored) restored.push(i);
             }
           } catch (error) { message = error.message; }
           const state = await trained.snapshot();
           trained.dispose();
           const equal = (a, b) => a.every((value, i) => value === b[i]);
           const [sound, skippedNine, skippedTen] = states;
           const arrays = ['parameters', 'average', 'momentum', 'velocity'];
           const kept = arrays.every((key) => equal(sound[key], skippedNine[key]));
           const moved = !equal(sound.parameters, sound.average);
           const replaced = equal(skippedTen.parameters, sound.average) && skippedTen.momentum.every((m) => m === 0);
           const others = ['average', 'velocity'].every((key) => equal(sound[key], skippedTen[key]));
           const leaked = tf.memory().numTensors - resting;
           const { skipped: count, step } = state;
           return { skipped, restored, message, count, step, leaked, truths: { kept, moved, replaced, others } };""",
        *(SETTINGS, batch),
    )
    assert found["skipped"] == [False] * 23 + [True, False] + [True] * 49
    assert found["restored"] == [34, 44, 54, 64]
    assert (found["count"], found["step"], found["leaked"]) == (51, 75, 0)
    assert all(found["truths"].values()), found["truths"]
    assert found["message"] == (
        "Training was stopped at step 75: for 50 steps in a row the loss or gradient was not a finite number, or the "
        "loss leapt, even with the averaged weights. Lower the learning rate, choose other photographs, or start from "
        "other weights."
    )


def test_saved_artifacts_load_with_plain_tensorflow_js_and_compute_the_same(train):
    config = CONFIGS["official"]
    weights = random_weights(config, seed=4)
    lr, _ = make_batch(config)
    found = train(
        """const [config, parameters, lr] = given;
           const tf = await start('cpu');
           const artifacts = t.toArtifacts(tf, config, new Float32Array(parameters), { generator: 'test' });
           const model = await tf.loadLayersModel(tf.io.fromMemory(artifacts));
           const again = await t.readParameters(tf, artifacts, config);
           const { shape, data } = tensor(lr);
           const output = model.predict(tf.tensor4d(data, shape));
           const names = artifacts.weightSpecs.map(({ name }) => name);
           return { output: [...(await output.data())], again: [...again], names };""",
        *(browser_config(config), flatten(weights).tolist(), as_json(lr)),
    )
    np.testing.assert_allclose(found["output"], np.asarray(weights.deploy_model()(lr)).ravel(), atol=1e-4)
    np.testing.assert_array_equal(np.float32(found["again"]), flatten(weights))
    assert {"normalize/moving_mean", "pixel_shuffle/kernel", "conv_1/kernel"} <= set(found["names"])


def test_a_photograph_too_large_for_the_memory_is_left_out_and_named(train):
    found = train(
        """const picture = async (name, width, height) => {
             const canvas = new OffscreenCanvas(width, height);
             canvas.getContext('2d');
             return { name, blob: await canvas.convertToBlob() };
           };
           const files = [await picture('large.png', 30, 20), await picture('small.png', 20, 20)];
           const { Uint8Array } = globalThis;
           globalThis.Uint8Array = class extends Uint8Array {
             constructor(size, ...others) {
               if (size === 30 * 20 * 3) throw new RangeError('Array buffer allocation failed');
               super(size, ...others);
             }
           };
           const { pairs, problems } = await t.loadPairs(files, { scale: 2, patch: 8 });
           return { names: pairs.map(({ name }) => name), problems };"""
    )
    assert found == {
        "names": ["small.png"],
        "problems": ["large.png is too large for the memory that this browser grants the page; it is left out."],
    }


def test_a_session_trains_once_at_a_time_and_a_stop_before_the_lock_counts(train):
    found = train(
        """const training = new t.TrainingSession(() => {});
           const beginning = new Promise((resolve) => {
             const request = { get backend() { resolve(training.stopping); return 'cpu'; } };
             training.start(request).catch(() => {}); // it has nothing to start from
           });
           training.stop();
           const refused = await training.start({}).catch(({ message }) => message);
           return { refused, stopping: await beginning };"""
    )
    assert found == {"refused": "A training is under way; stop it before you start another.", "stopping": True}


STATE = """
    const config = t.defaultConfig({ scale: 2, channels: 4, blocks: 1 });
    const size = t.weightCount(config);
    const state = { config, origin: { name: 'test' }, settings: t.DEFAULTS,
      step: 5, skipped: 0, streak: 0, recentLosses: [],
      history: { points: [], quality: [] }, updates: 5,
      parameters: new Float32Array(size).fill(1), average: new Float32Array(size).fill(0.5),
      momentum: new Float32Array(size), velocity: new Float32Array(size) };
    const message = (promise) => promise.then(() => null, (error) => error.message);
    const put = async (stored) => {
      const database = await new Promise((resolve) => {
        indexedDB.open('span-training').onsuccess = ({ target }) => resolve(target.result); });
      await new Promise((resolve) => {
        const transaction = database.transaction('state', 'readwrite');
        transaction.objectStore('state').put(stored, 'current');
        transaction.oncomplete = resolve; });
      database.close();
    };
"""


def test_the_state_is_replaced_whole_or_not_at_all(train):
    found = train(
        STATE
        + """await t.saveTraining(state, [{ name: 'a', blob: new Blob(['photo']) }]);
           const other = [{ name: 'b', blob: new Blob(['b']) }];
           const failed = await message(t.saveTraining({ ...state, step: 6, history: () => {} }, other));
           const { state: kept, photographs } = await t.loadTraining();
           const average = kept.average[0];
           const text = await photographs[0].blob.text();
           const unread = await message(t.saveTraining(state, [{ name: 'gone', blob: { arrayBuffer: async () => {
             throw new DOMException('The file is gone.', 'NotFoundError'); } } }]));
           await t.saveTraining({ ...state, step: 7 });
           const later = await t.loadTraining();
           await t.deleteTraining();
           return { failed, unread, step: kept.step, average, text, later: [later.state.step, later.photographs.length],
                    nothing: await t.loadTraining() };"""
    )
    assert "The browser could not keep or read the training (DataCloneError: " in found["failed"]
    assert "The browser could not keep or read the training (" in found["unread"]
    assert (found["step"], found["average"], found["text"]) == (5, 0.5, "photo")
    assert (found["later"], found["nothing"]) == ([7, 1], None)


def test_a_state_stored_before_weights_were_averaged_is_trained_on(train):
    found = train(
        STATE
        + """await t.saveTraining(state, []);
           const { average, streak, ...earlier } = state;
           await put({ ...earlier, format: 1 });
           const tf = await start('cpu');
           const kept = (await t.loadTraining()).state;
           const grey = (size) => new Float32Array(size).fill(0.5);
           const batch = { lr: grey(48), lrShape: [1, 4, 4, 3], hr: grey(192), hrShape: [1, 8, 8, 3] };
           const trained = new t.Trainer(tf, {
             config, settings: { ...kept.settings, vggWeight: 0 }, parameters: kept.parameters,
             source: { get: () => batch }, state: kept });
           const { skipped } = await trained.trainStep();
           const now = await trained.snapshot();
           trained.dispose();
           // Decay at the sixth update.
           const expected = kept.average.map((start, i) => start + (1 - 7 / 16) * (now.parameters[i] - start));
           return { skipped, began: kept.average.every((value, i) => value === state.parameters[i]),
                    moved: now.average.some((value, i) => value !== kept.average[i]),
                    distance: Math.max(...now.average.map((value, i) => Math.abs(value - expected[i]))) };"""
    )
    assert (found["skipped"], found["began"], found["moved"]) == (False, True, True)
    assert found["distance"] < 1e-6


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("format: 99", "its format is 99, expected 1"),
        ("parameters: new Float32Array(3)", "parameters holds 3 numbers, expected"),
        ("average: new Float32Array(3)", "average holds 3 numbers, expected"),
        ("velocity: undefined", "velocity holds 0 numbers, expected"),
        ("momentum: new Float32Array(size).fill(NaN)", "momentum holds values that are not numbers"),
        ("step: -1", "its step count is damaged"),
        ("streak: -1", "its step count is damaged"),
        ("config: { scale: 9 }", "its network is not described"),
        ("settings: { ...t.DEFAULTS, batch: 0 }", "its settings are damaged: Batch size must be from 1 to 64"),
        ("history: {}", "its history is damaged"),
    ],
)
def test_a_damaged_state_gets_a_sentence(train, damage, reason):
    found = train(
        STATE
        + f"""await t.saveTraining(state, []);
           await put({{ ...state, format: 1, {damage} }});
           return message(t.loadTraining());"""
    )
    assert found.startswith(f"The training stored in this browser cannot be used ({reason}")
    assert found.endswith("Delete Model removes it.")
