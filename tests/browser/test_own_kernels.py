"""Our own WebGPU kernels on the software GPU: what they compute, and what becomes of their failures."""

import json
import re

import numpy as np
import pytest

from helpers.browser import library, make_scene
from helpers.weights import random_weights
from span_export.tfjs_model import write_model
from span_keras.network.config import SpanConfig

NETWORKS = {
    "one-block": SpanConfig(scale=2, channels=4, blocks=1),
    "odd-width": SpanConfig.official(scale=3, channels=6, blocks=2),
    "wide": SpanConfig(scale=4, channels=9, blocks=2, img_range=255.0, rgb_mean=(0.3, 0.4, 0.5)),
}
SETS = ["Winograd 16×8", "Winograd 16×16", "Winograd 8×8", "direct 32×8", "direct 32×4"]


@pytest.fixture(scope="module", autouse=True)
def networks(models):
    """Exports of ``NETWORKS`` beside the other models."""
    for name, config in NETWORKS.items():
        weights = random_weights(config, seed=4)
        weights.layers["upsampler"]["bias"] += np.float32(0.5)
        if config.img_range > 1:
            weights.layers["conv_1"]["kernel"] /= np.float32(config.img_range)
        (models / name).mkdir()
        write_model(weights, models / name)


COMPARE = """
  const { GpuNetwork } = await import('/engine/webgpu/network.js');
  const { PLAIN, SETS } = await import('/engine/webgpu/sets.js');
  const { directConvolution } = await import('/engine/webgpu/shaders/direct.js');
  const { winogradConvolution } = await import('/engine/webgpu/shaders/winograd.js');
  const { referenceOutput } = await import('/network/reference.js');
  const pixels = (width, height) => ({
    data: Uint8Array.from({ length: width * height * 4 }, (_, i) => (i % 4 === 3 ? 255 : (i * 7919) % 251)),
    width,
    height,
  });
  const compare = async (name, sets, shared) => {
    const artifacts = await model.fetchModel(`/models/${name}/model.json`);
    const config = model.readConfig(artifacts);
    const device = shared && { limits: { maxComputeWorkgroupStorageSize: shared } };
    const net = await GpuNetwork.start(artifacts, config, { sets, device });
    let [worst, levels, unlike] = [0, 0, 0];
    for (const [width, height] of [[37, 19], [1, 1], [5, 40]]) {
      const image = pixels(width, height);
      const expected = referenceOutput(artifacts, config, image);
      const found = await net.compute(image);
      expected.forEach((value, i) => {
        const error = Math.abs(found[i] - value);
        if (!(error <= worst)) worst = error;
      });
      const [first, second] = [await net.enlarge(image, image), await net.enlarge(image, image)];
      first.forEach((level, i) => {
        const value = i % 4 === 3 ? 1 : expected[Math.floor(i / 4) * 3 + (i % 4)];
        const wanted = Math.floor(Math.min(1, Math.max(0, value)) * 255 + 0.5);
        levels = Math.max(levels, Math.abs(level - wanted));
        unlike += level !== second[i];
      });
    }
    const used = net.programs.usual.set.name;
    const limit = net.gpu.device.limits.maxComputeWorkgroupStorageSize;
    net.dispose();
    return { worst, levels, unlike, used, limit };
  };
"""


@pytest.mark.parametrize("name", SETS)
def test_a_set_computes_the_network(name, shared_blank):
    """Its last convolution, whose quads are the most, and a direct set's merge; plain kernels compute the rest.

    Direct sets have 16 KB of workgroup memory, which every device has.

    The software GPU compiles every kernel of a set for seconds. Shapes do not touch what comes after the sums, which
    ``test_any_width_in_any_shape`` tests in full.
    """
    found = library(
        shared_blank,
        f"""{COMPARE}
        const set = SETS.find((one) => one.name === given[0]);
        const isLast = ({{ ending }}) => ['bytes', 'floats'].includes(ending);
        const convolution = (options) => (isLast(options) ? set : PLAIN).convolution(options);
        const isDirect = given[0].startsWith('direct');
        const {{ merge }} = isDirect ? set : PLAIN;
        return compare('one-block', [{{ ...set, convolution, merge }}], isDirect ? 16384 : undefined);""",
        name,
    )
    assert found["used"] == name
    assert (found["limit"] == 16384) == name.startswith("direct")
    assert found["worst"] <= 1e-4
    assert found["levels"] <= 1
    assert found["unlike"] == 0


SHAPES = {
    "winograd, narrow": (
        "wide",
        "winogradConvolution, { across: 2, down: 2, units: 2, quads: [2, 1] }",
        "{ pixels: 2, across: 4, down: 2, quads: [2, 1] }",
    ),
    "winograd, in slices": (
        "odd-width",
        "winogradConvolution, { across: 4, down: 4, units: 1, quads: [1] }",
        "{ pixels: 1, across: 8, down: 4, quads: [1] }",
    ),
    "direct, in slices": (
        "wide",
        "directConvolution, { pixels: 2, across: 16, down: 8, quads: [1] }",
        "{ pixels: 2, across: 16, down: 16, quads: [1] }",
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_any_width_in_any_shape(shape, shared_blank):
    network, convolution, merging = SHAPES[shape]
    found = library(
        shared_blank,
        f"""{COMPARE}
        const shaped = (generate, shape) => (options) => generate({{ shape, ...options }});
        const set = {{
          ...PLAIN,
          name: 'of this test',
          convolution: shaped({convolution}),
          merge: shaped(directConvolution, {merging}),
        }};
        return compare(given[0], [set]);""",
        network,
    )
    assert found["used"] == "of this test"
    assert found["worst"] <= 1e-3  # of values around 10
    assert found["levels"] <= 1
    assert found["unlike"] == 0


@pytest.mark.parametrize("network", ["one-block", "odd-width", "wide"])
def test_the_plain_set_computes_any_network(network, shared_blank):
    found = library(shared_blank, f"{COMPARE} return compare(given[0], [PLAIN]);", network)
    assert found["used"] == "plain"
    assert found["worst"] <= 1e-3
    assert found["levels"] <= 1
    assert found["unlike"] == 0


def test_sixteen_kilobytes_of_workgroup_memory_are_enough(blank):
    fitting, limit, count = library(
        blank,
        """
        const { GpuNetwork } = await import('/engine/webgpu/network.js');
        const artifacts = await model.fetchModel('/models/x4-ch48/model.json');
        const device = { limits: { maxComputeWorkgroupStorageSize: 16384 } };
        const net = await GpuNetwork.start(artifacts, model.readConfig(artifacts), { device });
        const { maxComputeWorkgroupStorageSize } = net.gpu.device.limits;
        const { length } = await net.enlarge({ data: new Uint8Array(60) }, { width: 5, height: 3 });
        return [net.sets.map(({ name }) => name), maxComputeWorkgroupStorageSize, length];""",
    )
    assert fitting == ["direct 32×8", "direct 32×4"]
    assert limit == 16384
    assert count == 20 * 12 * 4


def test_a_thousand_runs_keep_no_buffer(blank):
    before, after = library(
        blank,
        """
        const { GpuNetwork } = await import('/engine/webgpu/network.js');
        const artifacts = await model.fetchModel('/models/one-block/model.json');
        const net = await GpuNetwork.start(artifacts, model.readConfig(artifacts));
        const run = (count) => Promise.all(Array.from({ length: count }, (_, i) => {
          const [width, height] = [3 + (i % 3), 4];
          return net.enlarge({ data: new Uint8Array(width * height * 4) }, { width, height });
        }));
        await run(3);
        const before = net.memory;
        for (let i = 0; i < 1000 / 3; i++) await run(3);
        return [before, net.memory];""",
    )
    assert before == after
    assert before["tensors"] > 20


BREAK = """
  const { createShaderModule } = GPUDevice.prototype;
  GPUDevice.prototype.createShaderModule = function (options) {
    const own = /^(plain|Winograd|direct) /.test(options.label);
    return createShaderModule.call(this, own ? { ...options, code: spoil(options.code) } : options);
  };
"""


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        ("code.replaceAll('0.1 * v', '0.2 * v')", r"plain: it computed the self-check wrongly"),
        ("code.replace('tile.size.x +', 'tile.size.y +')", r"plain: it computed .+ wrongly"),
        ("code.replace('fn main', 'fn mean')", r"plain: "),
        (
            """code.includes('fn levels') ? code.replace('y: u32, v: vec4<f32>) {', `y: u32, sums: vec4<f32>) {
              var v = sums;
              if (x == 20u && y == 9u) { v.g = bitcast<f32>(tile.size.x | 0x7fc00000u); }`) : code""",
            r"plain: WebGPU returned values that are not numbers",
        ),
        (
            "code.replace('y: u32, v: vec4<f32>) {', '$& if (x > 5u) { return; }')",
            r"plain: WebGPU did not compute all pixels of a tile",
        ),
        (
            """code.replace('put(id.z, id.x, id.y, sum);', `put(id.z, id.x, id.y, vec4<f32>(
              unpack2x16float(pack2x16float(sum.xy)), unpack2x16float(pack2x16float(sum.zw))));`)""",
            r"plain: it computed 33×17 pixels too roughly \(off by",
        ),
    ],
)
def test_kernels_that_are_wrong_step_aside(spoil, reason, blank):
    status, found = library(
        blank,
        f"""
        const spoil = (code) => {spoil};
        {BREAK}
        const eng = new engine.Engine();
        const {{ status }} = await eng.load(await model.fetchModel('/models/x2/model.json'), {{ backend: 'webgpu' }});
        return [status, (await eng.pixels(new ImageData(9, 9))).data.length];""",
    )
    assert status["backend"] == "webgpu"
    assert "kernels" not in status
    ((name, why),) = [(entry["backend"], entry["reason"]) for entry in status["demoted"]]
    assert name == "webgpu"
    assert re.match(r"our own kernels do not run here: " + reason, why)
    assert found == 18 * 18 * 4


def test_kernels_for_matrix_units_step_aside(shared_blank):
    """Where they do not compile, as on the software GPU, or are rougher than they may be."""
    used = library(
        shared_blank,
        """
        const { GpuNetwork } = await import('/engine/webgpu/network.js');
        const { PLAIN, matrixSets } = await import('/engine/webgpu/sets.js');
        const artifacts = await model.fetchModel('/models/one-block/model.json');
        const sets = [
          ...matrixSets({ pixels: 16, block: 16, lanes: 32 }),
          { ...PLAIN, name: 'rough', bound: 1e-12 },
          { ...PLAIN, name: 'fine', bound: 0.002 },
        ];
        const used = [];
        for (const set of sets) {
          const net = await GpuNetwork.start(artifacts, model.readConfig(artifacts), {
            sets: [set],
            device: { precision: 'float16' },
          });
          const reason = await net.makeProgram(set).catch((error) => error.message);
          used.push([net.programs.usual.set.name, reason]);
        }
        return used;""",
    )
    assert [name for name, _ in used] == ["plain"] * 3 + ["fine"]
    assert all("ShaderModule" in reason for _, reason in used[:2])
    assert re.match(r"it computed (the self-check wrongly|33×17 pixels too roughly) \(off by", used[2][1])


LOSSES = {
    "an upload": "GPUQueue.prototype.writeBuffer",
    "the work": "GPUQueue.prototype.submit",
    "a read": "GPUBuffer.prototype.mapAsync",
}


@pytest.mark.parametrize("phase", LOSSES)
def test_a_device_lost_in_any_phase_costs_no_finished_tile(phase, blank, python_upscale):
    pixels = make_scene(30, 100)  # more tiles than are under way at once
    rgba = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    owner, _, method = LOSSES[phase].rpartition(".")
    data, tiles, notices = library(
        blank,
        f"""
        const notices = [];
        const eng = new engine.Engine((status) => notices.push([status.backend, status.tile, status.notice]));
        await eng.load(await model.fetchModel('/models/x2/model.json'), {{ backend: 'webgpu', tile: 40 }});
        const {{ device }} = eng.network.gpu;
        const original = {owner}.{method};
        let calls = 0;
        const tiles = [];
        {owner}.{method} = function (...given) {{
          if (tiles.length && ++calls === 1) device.destroy();
          return original.apply(this, given);
        }};
        const onTile = ({{ x, y }}) => tiles.push([x, y]);
        const source = new ImageData(Uint8ClampedArray.from(given[0]), 100, 30);
        const {{ data }} = await eng.pixels(source, {{ onTile }});
        return [[...data], tiles, notices];""",
        rgba.ravel().tolist(),
    )
    result = np.uint8(data).reshape(60, 200, 4)
    assert np.abs(result[..., :3].astype(int) - python_upscale("x2", pixels)).max() <= 1
    assert len(set(map(tuple, tiles))) == len(tiles) > 1
    ((backend, tile, notice),) = notices
    assert (backend, tile) == ("webgpu", 40)
    assert notice.endswith("started again")


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        ("this.destroy(); return compile.apply(this, given);", "DeviceLost: WebGPU was lost: .+"),
        (
            "throw new GPUPipelineError('Out of memory', { reason: 'internal' });",
            "Error: plain: Out of memory",
        ),
    ],
)
def test_a_device_that_fails_while_it_compiles(failure, message, blank):
    """The start fails with the reason, and the next one, on a device of its own, does not."""
    found, tensors = library(
        blank,
        f"""
        const {{ startOwn }} = await import('/engine/own.js');
        const artifacts = await model.fetchModel('/models/one-block/model.json');
        const start = () => startOwn(artifacts, model.readConfig(artifacts));
        const compile = GPUDevice.prototype.createComputePipelineAsync;
        GPUDevice.prototype.createComputePipelineAsync = async function (...given) {{ {failure} }};
        const found = await start().catch((error) => `${{error.constructor.name}}: ${{error.message}}`);
        GPUDevice.prototype.createComputePipelineAsync = compile;
        return [found, (await start()).memory.tensors];""",
    )
    assert re.fullmatch(message, found)
    assert tensors > 20


FAILURES = {
    "no memory": (
        """
        const { popErrorScope } = GPUDevice.prototype;
        const failure = Promise.resolve(new GPUOutOfMemoryError('no memory is left'));
        GPUDevice.prototype.popErrorScope = () => {
          GPUDevice.prototype.popErrorScope = popErrorScope;
          return failure;
        };""",
        "WebGPU failed: no memory is left",
    ),
    "a pass that does not run": (
        """
        const { dispatchWorkgroups } = GPUComputePassEncoder.prototype;
        const { finish } = GPUCommandEncoder.prototype;
        let encoders = 0;
        GPUComputePassEncoder.prototype.dispatchWorkgroups = function (...count) {
          if (encoders !== 1) dispatchWorkgroups.apply(this, count); // the second tile finds the first one's pixels
        };
        GPUCommandEncoder.prototype.finish = function () {
          encoders++;
          return finish.apply(this);
        };""",
        "WebGPU did not compute all pixels of a tile",
    ),
    "a value that is no number": (
        """
        const { device } = eng.network.gpu;
        const { usual } = eng.network.programs;
        const [, biases] = usual.weights({ kind: 'last', place: [] }, usual.kernels.last('bytes'));
        device.queue.writeBuffer(biases, 8, Float32Array.of(NaN)); // blue of one pixel in four""",
        "WebGPU returned values that are not numbers",
    ),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_gpu_that_fails_gets_smaller_tiles(failure, blank, python_upscale):
    pixels = make_scene(30, 70)
    rgba = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    data, notices = library(
        blank,
        f"""
        const notices = [];
        const eng = new engine.Engine((status) => notices.push([status.backend, status.tile, status.notice]));
        await eng.load(await model.fetchModel('/models/x2/model.json'), {{ backend: 'webgpu', tile: 60 }});
        {FAILURES[failure][0]}
        const {{ data }} = await eng.pixels(new ImageData(Uint8ClampedArray.from(given[0]), 70, 30));
        return [[...data], notices];""",
        rgba.ravel().tolist(),
    )
    result = np.uint8(data).reshape(60, 140, 4)
    assert np.abs(result[..., :3].astype(int) - python_upscale("x2", pixels)).max() <= 1
    assert notices == [["webgpu", 30, f"{FAILURES[failure][1]}; going on with smaller tiles"]]


def test_grey_and_transparent_images(blank):
    """Against WebAssembly, which computes every pixel in floats."""
    rgba = np.dstack([make_scene(21, 33), np.full((21, 33), 255, np.uint8)])
    grey = rgba.copy()
    grey[..., :3] = rgba[..., 1:2]
    faded = rgba.copy()
    faded[4:12, :9, 3] = 0
    faded[:, 20:, 3] = np.arange(13, dtype=np.uint8) * 19
    for image, options in ((grey, {"grey": True}), (faded, {"alpha": True})):
        worst = library(
            blank,
            """
            const artifacts = await model.fetchModel('/models/x2/model.json');
            const [values, options] = given;
            const size = { width: 33, height: 21, alpha: false, grey: false, ...options };
            const image = { data: Uint8ClampedArray.from(values), ...size };
            const results = [];
            for (const name of ['webgpu', 'wasm']) {
              const eng = new engine.Engine();
              const { status } = await eng.load(artifacts, { backend: name, tile: 30 });
              if ((name === 'webgpu') !== Boolean(status.kernels)) throw new Error(JSON.stringify(status));
              results.push((await eng.pixels(image)).data);
              eng.release();
            }
            const [a, b] = results;
            return a.reduce((most, level, i) => Math.max(most, Math.abs(level - b[i])), 0);""",
            image.ravel().tolist(),
            options,
        )
        assert worst <= 1


def test_what_was_fastest_is_remembered(blank):
    """Where the adapter is no software one; the software one here stands in for it, with plain kernels."""
    told, kept, stale, forgotten = library(
        blank,
        """
        const { PLAIN, SETS, VERSION } = await import('/engine/webgpu/sets.js');
        const { forget, settle } = await import('/engine/own.js');
        const { recallChoice } = await import('/storage/kernels.js');
        SETS.splice(0, SETS.length, { ...PLAIN, name: 'first' }, { ...PLAIN, name: 'second' });
        const told = [];
        const eng = new engine.Engine(({ kernels, tile }) => told.push([kernels, tile]));
        const artifacts = await model.fetchModel('/models/one-block/model.json');
        const { config } = await eng.load(artifacts, { backend: 'webgpu' });
        const net = eng.network;
        net.gpu.software = false;
        const enqueue = net.enqueue.bind(net);
        let clock = 0;
        performance.now = () => clock;
        net.enqueue = (tile, program) => {
          clock += program.set.name === 'second' ? 4 : 50;
          return enqueue({ width: 4, height: 4 }, program);
        };
        await eng.settle();
        if (await settle(net, config)) throw new Error('measured twice');
        const key = `kernels ${VERSION}: ${net.gpu.name}, 4 channels, 1 blocks, ×2, span`;
        const recalled = [await recallChoice(key, 30), await recallChoice(key, 0)];
        await forget(net, config);
        return [told, ...recalled, await recallChoice(key, 30)];""",
    )
    ((described, tile),) = told
    assert described.endswith(": second, 4.00 ms for 256×256")
    assert tile == 512
    assert kept == {"usual": "second", "small": "second", "milliseconds": 4}
    assert stale is None
    assert forgotten is None


def test_kernels_that_fail_on_an_image_leave_webgpu_last(blank):
    """First factors in float16, then all kernels of our own; finished tiles stay."""
    notices, tiles, kernels = library(
        blank,
        """
        const { GpuNetwork } = await import('/engine/webgpu/network.js');
        const { BackendLost } = await import('/network/lost.js');
        const notices = [];
        const eng = new engine.Engine(({ backend, tile, notice }) => notices.push([backend, tile, notice]));
        const { start } = GpuNetwork;
        GpuNetwork.start = async (artifacts, config, options) => {
          const net = await start.call(GpuNetwork, artifacts, config, options);
          if (options.device.precision === 'float16') net.gpu.matrix = {}; // as if it had units for them
          return net;
        };
        const artifacts = await model.fetchModel('/models/one-block/model.json');
        await eng.load(artifacts, { backend: 'webgpu', tile: 30, precision: 'float16' });
        const tiles = [];
        const { enlarge } = GpuNetwork.prototype;
        GpuNetwork.prototype.enlarge = function (pixels, tile, options) {
          if (tiles.length && !options.program) throw new BackendLost('WebGPU returned values that are not numbers');
          return enlarge.call(this, pixels, tile, options);
        };
        await eng.pixels(new ImageData(100, 20), { onTile: ({ x }) => tiles.push(x) });
        return [notices, tiles, eng.status.kernels];""",
    )
    failure = "WebGPU returned values that are not numbers"
    assert notices == [
        ["webgpu", 15, f"{failure}; going on with smaller tiles"],
        ["webgpu", 30, f"{failure}; going on with WebGPU in float32"],
        ["webgpu", 15, f"{failure}; going on with smaller tiles"],
        ["webgpu", 30, f"{failure}; going on with TensorFlow.js's WebGPU"],
    ]
    assert len(set(tiles)) == len(tiles) > 1
    assert kernels is None


def test_an_image_larger_than_a_tile_joins_without_seams(blank, python_upscale):
    pixels = make_scene(47, 61)
    rgba = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    data, status, order = library(
        blank,
        """
        const eng = new engine.Engine();
        await eng.load(await model.fetchModel('/models/x2/model.json'), { backend: 'webgpu', tile: 26 });
        const order = [];
        const { data } = await eng.pixels(new ImageData(Uint8ClampedArray.from(given[0]), 61, 47), {
          onTile: ({ x, y }) => order.push([y, x]),
        });
        return [[...data], eng.status, order];""",
        rgba.ravel().tolist(),
    )
    assert status["kernels"].endswith(": plain")
    assert json.dumps(order) == json.dumps(sorted(order))
    assert np.abs(np.uint8(data).reshape(94, 122, 4)[..., :3].astype(int) - python_upscale("x2", pixels)).max() <= 1
