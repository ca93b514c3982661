"""The modules under the page, in the browser: tiles, PNG rows, stores, the network's forms, backends that fail."""

import base64
import functools
import io
import json
import math
import re

import numpy as np
import pytest
from PIL import Image

from helpers.browser import BACKENDS, library, make_scene, until
from helpers.weights import random_weights
from span_export.export import export_model
from span_keras.network.config import SpanConfig


def test_tiles_cover_every_pixel_once_and_see_enough(blank):
    problems = library(
        blank,
        """
        const problems = [];
        for (let length = 1; length < 120; length++) {
          for (const [tile, halo] of [[8, 3], [16, 3], [20, 9], [64, 21]]) {
            let next = 0;
            for (const { start, size, from, to } of tiling.planAxis(length, tile, halo)) {
              const seen = from - start >= Math.min(halo, from) && start + size - to >= Math.min(halo, length - to);
              const inside = start >= 0 && start + size <= length && size === Math.min(tile, length);
              if (from !== next || to <= from || !seen || !inside) problems.push([length, tile, halo, start, from, to]);
              next = to;
            }
            if (next !== length) problems.push([length, tile, halo]);
          }
        }
        return problems;""",
    )
    assert problems == []


def test_a_part_of_a_side_is_tiled_like_the_whole(blank):
    spans = library(blank, "return tiling.planAxis(100, 20, 4, 30, 61);")
    assert [(s["from"], s["to"]) for s in spans] == [(30, 42), (42, 54), (54, 61)]
    assert all(s["size"] == 20 and s["start"] == s["from"] - 4 for s in spans)


def test_a_tile_must_exceed_its_halo(blank):
    message = library(blank, "try { tiling.planAxis(100, 40, 21) } catch (error) { return error.message }")
    assert message == "A tile of 40 pixels must be larger than twice the halo of 21."


@pytest.mark.parametrize("alpha", [False, True])
def test_png_rows(alpha, blank):
    pixels = np.random.default_rng(0).integers(0, 256, (11, 7, 4), np.uint8)
    encoded = library(
        blank,
        """
        const [values, alpha] = given;
        const profile = Uint8Array.from({ length: 300 }, (_, i) => i);
        const encoder = new png.PngEncoder(7, 11, { alpha, icc: profile });
        const rgba = Uint8ClampedArray.from(values);
        await encoder.rows(rgba.subarray(0, 7 * 4 * 3));
        await encoder.rows(rgba.subarray(7 * 4 * 3));
        const bytes = new Uint8Array(await (await encoder.finish()).arrayBuffer());
        return btoa(String.fromCharCode(...bytes));""",
        pixels.ravel().tolist(),
        alpha,
    )
    image = Image.open(io.BytesIO(base64.b64decode(encoded)))
    assert image.mode == ("RGBA" if alpha else "RGB")
    np.testing.assert_array_equal(np.asarray(image), pixels if alpha else pixels[..., :3])
    assert image.info["icc_profile"] == bytes(i % 256 for i in range(300))


def test_a_profile_that_inflates_without_end(blank):
    """A few kilobytes of PNG may hold gigabytes; no profile has more than some megabytes."""

    def read(size):
        profile = b"\0" * 16 + b"RGB " + b"\0" * (size - 20)
        file = io.BytesIO()
        Image.new("RGB", (2, 2)).save(file, "png", icc_profile=profile)
        return library(
            blank,
            """
            const { readProfile } = await import('/images/icc.js');
            return (await readProfile(new Blob([new Uint8Array(given[0])])))?.length ?? 'none';""",
            list(file.getvalue()),
        )

    assert read(3_000_000) == 3_000_000
    assert read(5_000_000) == "none"


def test_png_reports_a_full_disk(blank):
    message = library(
        blank,
        """
        const write = async () => { throw new Error('The disk is full.') };
        const encoder = new png.PngEncoder(4, 4, { write });
        try {
          for (let i = 0; i < 100; i++) await encoder.rows(new Uint8ClampedArray(16));
          await encoder.finish();
        } catch (error) { return error.message }""",
    )
    assert message == "The disk is full."


def test_models_are_kept_again_after_the_user_has_cleared_what_the_page_kept(blank):
    names = "async () => (await (await import('/storage/models.js')).listModels()).map(({ name }) => name)"
    keep = "async () => (await import('/storage/models.js')).saveModel('one', { weightData: new ArrayBuffer(8) })"
    blank.evaluate(keep)
    origin = blank.evaluate("origin")
    blank.context.new_cdp_session(blank).send(
        "Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "indexeddb"}
    )
    assert blank.evaluate(names) == []
    blank.evaluate(keep)
    assert blank.evaluate(names) == ["one"]


# While the user clears what the page keeps, the browser gives up a request for the database, as it does for one whose
# making is given up.
GIVE_UP = """
const open = indexedDB.open.bind(indexedDB);
let left = given[0];
indexedDB.open = (...names) => {
  const request = open(...names);
  const giveUp = () => request.transaction.abort();
  if (left-- > 0) queueMicrotask(() => request.addEventListener('upgradeneeded', giveUp)); // after the page's own
  return request;
};
"""


def test_models_and_trainings_are_kept_if_the_browser_gives_up_one_attempt(blank):
    names, training = library(
        blank,
        GIVE_UP
        + """
        await models.saveModel('one', { weightData: new ArrayBuffer(8) });
        left = 1;
        const training = await (await import('/train/session/store.js')).loadTraining();
        return [(await models.listModels()).map(({ name }) => name), training];""",
        1,
    )
    assert names == ["one"]
    assert training is None


def test_a_browser_that_keeps_nothing_is_told(blank):
    message = library(blank, GIVE_UP + "return models.listModels().catch(({ message }) => message);", 2)
    assert message.startswith("This browser keeps no data for the page (")
    assert message.endswith("); private windows often do not.")


def test_a_model_for_which_there_is_no_room_is_told(blank):
    blank.context.new_cdp_session(blank).send(
        "Storage.overrideQuotaForOrigin", {"origin": blank.evaluate("origin"), "quotaSize": 1_000_000}
    )
    message = library(
        blank,
        """
        const keep = models.saveModel('one', { weightData: new ArrayBuffer(8_000_000) });
        return keep.catch(({ message }) => message);""",
    )
    assert message == "The browser has no room left to keep this model."


def test_models_are_kept_and_forgotten(blank):
    names, kept, after = library(
        blank,
        """
        const artifacts = { modelTopology: { a: 1 }, weightSpecs: [], weightData: new ArrayBuffer(8) };
        await models.saveModel('one', artifacts);
        await models.saveModel('two', artifacts);
        const names = (await models.listModels()).map(({ name, bytes }) => [name, bytes]);
        const kept = (await models.loadModel('one')).modelTopology;
        await models.deleteModel('one');
        return [names, kept, [(await models.listModels()).length, await models.loadModel('one')]];""",
    )
    assert names == [["one", 8], ["two", 8]]
    assert kept == {"a": 1}
    assert after == [1, None]


@pytest.mark.parametrize("name", ["x2", "x3-official"])
def test_webgpu_kernels_equal_the_plain_network(name, blank):
    difference, size = library(
        blank,
        """
        const artifacts = await model.fetchModel(`/models/${given[0]}/model.json`);
        const config = model.readConfig(artifacts);
        const { tf: t } = await backend.startBackend('webgpu');
        const before = t.memory().numTensors;
        const data = Uint8Array.from({ length: 9 * 11 * 4 }, (_, i) => (i * 7919) % 256);
        const outputs = [];
        for (const plain of [true, false]) {
          const net = network.createNetwork(t, artifacts, config, { plain });
          const x = net.input({ data, width: 11, height: 9 });
          const y = net.run(x);
          outputs.push(await y.data());
          t.dispose([x, y]);
          net.dispose();
        }
        if (t.memory().numTensors !== before) throw new Error('tensors leaked');
        const [a, b] = outputs;
        return [a.reduce((worst, value, i) => Math.max(worst, Math.abs(value - b[i])), 0), a.length];""",
        name,
    )
    assert size > 1000
    assert difference <= 1e-4


@pytest.mark.parametrize("backend", ["webgl", "wasm"])
def test_tiled_equals_whole(backend, blank):
    """In floating point, on sides that no tile divides."""
    difference = library(
        blank,
        """
        const artifacts = await model.fetchModel('/models/x2/model.json');
        const config = model.readConfig(artifacts);
        const { tf: t } = await backend.startBackend(given[0]);
        const net = network.createNetwork(t, artifacts, config);
        const [width, height] = [47, 38];
        const data = Uint8Array.from({ length: width * height * 4 }, (_, i) => (i * 7919) % 256);
        const run = async (pixels) => {
          const x = net.input(pixels);
          const y = net.run(x);
          const values = await y.data();
          t.dispose([x, y]);
          return values;
        };
        const whole = await run({ data, width, height });
        let worst = 0;
        const { rows, columns } = tiling.planTiles(width, height, 24, config.halo);
        for (const row of rows) for (const column of columns) {
          const part = new Uint8Array(24 * 24 * 4);
          for (let y = 0; y < 24; y++) {
            const from = ((row.start + y) * width + column.start) * 4;
            part.set(data.subarray(from, from + 96), y * 96);
          }
          const values = await run({ data: part, width: 24, height: 24 });
          for (let y = row.from * 2; y < row.to * 2; y++) for (let x = column.from * 6; x < column.to * 6; x++) {
            const value = values[(y - row.start * 2) * 144 + x - column.start * 6];
            worst = Math.max(worst, Math.abs(value - whole[y * width * 6 + x]));
          }
        }
        return worst;""",
        backend,
    )
    assert difference <= 1e-4


def test_a_backend_that_computes_wrongly_is_demoted(page, site, models):
    """The self-check, with an expectation that only differs by a tenth."""
    model = json.loads((models / "x2" / "model.json").read_text())
    golden = model["userDefinedMetadata"]["span"]["golden"]
    output = np.frombuffer(base64.b64decode(golden["output"]), "<f4") + np.float32(0.1)
    golden["output"] = base64.b64encode(output.astype("<f4").tobytes()).decode()
    page.route("**/models/x2/model.json", lambda route: route.fulfill(json=model))
    page.goto(f"{site.url}/?model=/models/x2/model.json&backend=wasm")
    page.wait_for_selector("html[data-state=error]")
    assert page.inner_text("#status") == (
        "No backend can run this model here (WebAssembly: it computed the self-check wrongly (off by 0.10); "
        "JavaScript: it computed the self-check wrongly (off by 0.10))."
    )


def test_a_backend_that_is_missing_is_passed_over(blank):
    status = library(
        blank,
        """
        delete Navigator.prototype.gpu;
        const eng = new engine.Engine();
        const { status } = await eng.load(await model.fetchModel('/models/x2/model.json'), { backend: 'webgpu' });
        return status;""",
    )
    assert status["backend"] == "webgl"
    assert status["demoted"] == [{"backend": "webgpu", "reason": "this browser has no WebGPU"}]


def test_a_backend_that_fails_while_it_is_measured_is_demoted(blank):
    status, pixels = library(
        blank,
        """
        const { run } = network.Network.prototype;
        let runs = 0;
        network.Network.prototype.run = function (x) {
          if (++runs === 2) throw new Error('out of memory'); // after the self-check
          return run.call(this, x);
        };
        const eng = new engine.Engine();
        const { status } = await eng.load(await model.fetchModel('/models/x2/model.json'));
        return [status, (await eng.pixels(new ImageData(9, 9))).data.length];""",
    )
    assert {"backend": "webgpu", "reason": "out of memory"} in status["demoted"]
    assert "webgpu" not in status["measured"]
    assert status["backend"] in status["measured"]
    assert pixels == 18 * 18 * 4


@pytest.mark.parametrize("backend", ["webgl", "webgpu"])
def test_many_image_sizes_do_not_pile_up_on_the_gpu(backend, blank):
    allocated = library(
        blank,
        """
        const artifacts = await model.fetchModel('/models/x2/model.json');
        const { tf: t } = await backend.startBackend(given[0], { pool: 1e6 });
        const net = network.createNetwork(t, artifacts, model.readConfig(artifacts));
        const allocated = [];
        for (let width = 24; width < 33; width++) {
          await net.compute({ data: new Uint8Array(width * 20 * 4), width, height: 20 });
          const { numBytesInGPUAllocated, numBytesAllocatedInGPU } = t.memory();
          allocated.push(numBytesInGPUAllocated ?? numBytesAllocatedInGPU);
        }
        return allocated;""",
        backend,
    )
    assert allocated[0] < allocated[2]  # the pool is in use
    assert max(allocated) < 1.5e6


LABELS = {"webgpu": "WebGPU", "webgl": "WebGL", "wasm": "WebAssembly"}


@pytest.mark.parametrize(
    ("times", "fastest"),
    [
        ({"webgpu": 10}, "webgpu"),  # so quick that WebGL is not even started
        ({"webgpu": 40, "webgl": 20}, "webgl"),
        ({"webgpu": 20, "webgl": 40}, "webgpu"),
        ({"webgpu": 90, "webgl": 80, "wasm": 70}, "wasm"),
    ],
)
def test_the_faster_backend_wins(times, fastest, blank):
    status, memory = library(
        blank,
        """
        let clock = 0;
        performance.now = () => clock;
        const { run } = network.Network.prototype;
        network.Network.prototype.run = function (x) {
          clock += given[0][this.tf.getBackend()];
          return run.call(this, x);
        };
        const eng = new engine.Engine();
        const { status } = await eng.load(await model.fetchModel('/models/x2/model.json'));
        return [status, eng.memory];""",
        times,
    )
    assert status["backend"] == fastest
    assert status["measured"] == times
    assert status["demoted"] == [
        {"backend": name, "reason": f"slower here than {LABELS[fastest]} ({time} ms against {times[fastest]} ms)"}
        for name, time in times.items()
        if name != fastest
    ]
    assert memory["tensors"] == 20


LOSE = {
    "webgl": "t.backend().gpgpu.gl.getExtension('WEBGL_lose_context').loseContext()",
    "webgpu": "t.backend().device.destroy()",
}


@pytest.mark.parametrize("backend", ["webgl", "webgpu"])
def test_a_lost_gpu_costs_no_finished_tile(backend, blank, python_upscale):
    pixels = make_scene(30, 46)
    rgba = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    data, tiles, notices, tensors = library(
        blank,
        f"""
        const [values, name] = given;
        const notices = [];
        const eng = new engine.Engine((status) => notices.push([status.backend, status.tile, status.notice]));
        await eng.load(await model.fetchModel('/models/x2/model.json'), {{ backend: name, tile: 40 }});
        const tensors = [eng.memory.tensors];
        const tiles = [];
        const onTile = ({{ x, y, width, height }}) => {{
          tiles.push([x, y, width, height]);
          const t = eng.tf;
          if (tiles.length === 1) {LOSE[backend]};
        }};
        const source = new ImageData(Uint8ClampedArray.from(values), 46, 30);
        const {{ data }} = await eng.pixels(source, {{ onTile }});
        tensors.push(eng.memory.tensors);
        return [[...data], tiles, notices, tensors];""",
        rgba.ravel().tolist(),
        backend,
    )
    result = np.uint8(data).reshape(60, 92, 4)
    assert np.abs(result[..., :3].astype(int) - python_upscale("x2", pixels)).max() <= 1
    assert len({(x, y) for x, y, *_ in tiles}) == len(tiles)  # no tile came twice
    assert tensors[0] == tensors[1]
    ((name, tile, notice),) = notices
    assert (name, tile) == (backend, 40)  # a computer's sleep is no reason for smaller tiles
    assert re.fullmatch(r".* was lost: .*; started again", notice)


def test_the_last_backend_may_fail_too(blank):
    names = library(
        blank,
        """
        const eng = new engine.Engine();
        await eng.load(await model.fetchModel('/models/x2/model.json'), { backend: 'cpu' });
        const { run } = network.Network.prototype;
        network.Network.prototype.run = () => { throw new Error('out of memory') };
        const source = new ImageData(9, 9);
        const first = await eng.pixels(source).catch((error) => error.message);
        network.Network.prototype.run = run;
        const { data } = await eng.pixels(source);  // the next image starts afresh
        return [first, data.length, eng.status.backend];""",
    )
    assert names[0].startswith("No backend can run this model here (JavaScript: out of memory")
    assert names[1:] == [18 * 18 * 4, "webgpu"]


def test_a_cancel_does_not_wait_for_the_rest_of_a_halved_tile(blank):
    name, runs = library(
        blank,
        """
        const { run } = network.Network.prototype;
        const aborted = new AbortController();
        const eng = new engine.Engine();
        await eng.load(await model.fetchModel('/models/x2/model.json'), { backend: 'wasm', tile: 48 });
        let runs = 0;
        network.Network.prototype.run = function (x) {
          if (x.shape[1] === 48) throw new Error('out of memory');
          if (x.shape[1] === 24 && ++runs === 2) aborted.abort();
          return run.call(this, x);
        };
        const done = eng.pixels(new ImageData(48, 48), { signal: aborted.signal });
        return [await done.catch((error) => error.name), runs];""",
    )
    assert name == "AbortError"
    assert runs == 2


def test_a_load_can_be_given_up(blank):
    answers = library(
        blank,
        """
        const controller = new AbortController();
        const load = () => span.loadUpscaler('/models/x2/model.json', { backend: 'wasm', signal: controller.signal })
          .then(() => 'loaded', ({ name }) => name);
        const first = load();
        controller.abort();
        return [await first, await load()];""",
    )
    assert answers == ["AbortError", "AbortError"]
    until(blank, lambda: not blank.workers)


def test_a_cancel_that_comes_too_late_still_counts(blank):
    names = library(
        blank,
        """
        const upscaler = await span.loadUpscaler('/models/x2/model.json', { backend: 'wasm' });
        const aborted = new AbortController();
        const onProgress = ({ done, total }) => done === total && aborted.abort(); // the worker has no more to compute
        const options = { signal: aborted.signal, onProgress };
        const late = await upscaler.upscale(new ImageData(9, 9), options).catch((error) => error.name);
        const { width } = await upscaler.upscale(new ImageData(9, 9));
        upscaler.dispose();
        return [late, width];""",
    )
    assert names == ["AbortError", 18]


def test_a_cancel_before_its_turn_computes_nothing(blank):
    seen = library(
        blank,
        """
        const upscaler = await span.loadUpscaler('/models/x2/model.json', { backend: 'wasm' });
        const aborted = new AbortController();
        const { createImageBitmap } = window;
        window.createImageBitmap = (...given) => {
          aborted.abort();
          return createImageBitmap(...given);
        };
        let tiles = 0;
        const options = { signal: aborted.signal, onProgress: () => tiles++ };
        const canvas = document.createElement('canvas');
        const turns = [upscaler.upscale(canvas, options), upscaler.measure(new Blob(['']), options)];
        const names = await Promise.all(turns.map((turn) => turn.catch((error) => error.name)));
        upscaler.dispose();
        return [...names, tiles];""",
    )
    assert seen == ["AbortError", "AbortError", 0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_is_left_on_the_backend(backend, blank):
    counts = library(
        blank,
        """
        const thread = new rpc.Thread(new Worker('/worker.js', { type: 'module' }));
        const options = { backend: given[0], tile: 28 };
        const load = () => thread.call('load', { url: '/models/x2/model.json', options });
        const { config, status } = await load();
        const upscaler = new span.Upscaler(thread, config, status);
        const rest = await upscaler.memory();
        const counts = [rest];
        await upscaler.upscale(new ImageData(9, 9));
        counts.push(await upscaler.memory());
        const aborted = new AbortController();
        const onProgress = () => aborted.abort();
        const cancelling = { signal: aborted.signal, onProgress };
        const name = await upscaler.upscale(new ImageData(40, 28), cancelling).catch((error) => error.name);
        if (name !== 'AbortError') throw new Error(name);
        counts.push(await upscaler.memory());
        await upscaler.upscale(new Blob(['no image'])).catch(() => {});
        counts.push(await upscaler.memory());
        await upscaler.upscale(new ImageData(new Uint8ClampedArray(9 * 9 * 4).fill(99), 9)); // with transparency
        counts.push(await upscaler.memory());
        const canvas = new OffscreenCanvas(18, 18);
        canvas.getContext('2d').fillRect(0, 0, 9, 18);
        await upscaler.measure(await canvas.convertToBlob());
        counts.push(await upscaler.memory());
        await load();
        counts.push(await upscaler.memory());
        upscaler.dispose();
        return counts;""",
        backend,
    )
    assert counts == [counts[0]] * 7
    assert counts[0]["tensors"] == 20  # kernels and biases of ten convolutions


def test_the_footer_tells_the_memory_at_rest(open_page, tmp_path):
    page = open_page("x2", "wasm")
    page.wait_for_selector("#memory:text('20 tensors, ')")
    page.evaluate("document.querySelector('#memory').textContent = ''")
    (tmp_path / "broken.png").write_text("no image")
    page.set_input_files("#files", str(tmp_path / "broken.png"))
    page.wait_for_selector("#memory:text('20 tensors, ')")


def test_the_library_in_another_page(blank, python_upscale):
    """What README shows: load, upscale with progress and cancel, dispose."""
    pixels = make_scene(21, 33)
    rgba = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    answer = library(
        blank,
        """
        const upscaler = await span.loadUpscaler('/models/x2/model.json', { backend: 'wasm', tile: 28 });
        const steps = [], sizes = [], tiles = [];
        const canvas = document.createElement('canvas');
        [canvas.width, canvas.height] = [33, 21];
        canvas.getContext('2d').putImageData(new ImageData(Uint8ClampedArray.from(given[0]), 33, 21), 0, 0);
        const { blob, ...rest } = await upscaler.upscale(canvas, {
          onProgress: ({ done, total }) => steps.push([done, total]),
          onSize: ({ width, height }) => sizes.push([width, height]),
          onTile: ({ x, y, bitmap }) => { tiles.push([x, y, bitmap.width, bitmap.height]); bitmap.close(); },
        });
        const { data } = await upscaler.upscale(canvas, { output: 'pixels' });
        const late = upscaler.upscale(canvas).catch((error) => error.name);
        upscaler.dispose();
        const seen = { rest, type: blob.type, steps, sizes, tiles, scale: upscaler.scale };
        return { ...seen, data: [...data], late: await late };""",
        rgba.ravel().tolist(),
    )
    assert answer["steps"] == [[1, 2], [2, 2]]
    assert answer["sizes"] == [[66, 42]]
    assert [tile[0] for tile in answer["tiles"]] == [0, 38]
    assert answer["type"] == "image/png"
    assert answer["rest"]["backend"] == "wasm"
    assert answer["late"] == "AbortError"
    assert answer["scale"] == 2
    result = np.uint8(answer["data"]).reshape(42, 66, 4)[..., :3]
    assert np.abs(result.astype(int) - python_upscale("x2", pixels)).max() <= 1


def test_a_stream_takes_the_file(blank, python_upscale):
    pixels = make_scene(12, 14)
    rgba = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    encoded, blob = library(
        blank,
        """
        const upscaler = await span.loadUpscaler('/models/x2/model.json', { backend: 'wasm' });
        const chunks = [];
        const write = new WritableStream({ write: (chunk) => void chunks.push(chunk) });
        const { blob } = await upscaler.upscale(new ImageData(Uint8ClampedArray.from(given[0]), 14, 12), { write });
        const bytes = new Uint8Array(await new Blob(chunks).arrayBuffer());
        upscaler.dispose();
        return [btoa(String.fromCharCode(...bytes)), blob];""",
        rgba.ravel().tolist(),
    )
    assert blob is None
    result = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))
    assert np.abs(result.astype(int) - python_upscale("x2", pixels)).max() <= 1


TO_A_STREAM = """
const told = [];
const controller = new AbortController();
const { signal } = controller;
const upscaler = await span.loadUpscaler('/models/x2/model.json', { backend: 'wasm', tile: 28, signal });
const abort = () => void told.push('given up');
const full = async () => { throw new Error('The disk is full.') };
const upscale = (image, write) =>
  upscaler.upscale(image, { write, signal }).then(() => told.push('answered'), (error) => told.push(String(error)));
"""


def test_an_answer_comes_when_the_stream_is_closed(blank):
    told = library(
        blank,
        TO_A_STREAM
        + """
        const close = () => new Promise((resolve) => setTimeout(() => resolve(told.push('closed')), 300));
        await upscale(new ImageData(90, 90), new WritableStream({ close }));
        return told;""",
    )
    assert told == ["closed", "answered"]


@pytest.mark.parametrize(
    ("image", "stream", "expected"),
    [
        ("new ImageData(90, 90)", "new WritableStream({ close: full })", ["Error: The disk is full."]),
        ("new ImageData(90, 90)", "new WritableStream({ write: full, abort })", ["Error: The disk is full."]),
        ("new ImageData(90, 90)", "new WritableStream({ write: () => Promise.reject() })", ["Error: undefined"]),
        (
            "new ImageData(90, 90)",
            "new WritableStream({ write: () => upscaler.dispose(), abort })",
            ["given up", "AbortError: The upscaler was disposed."],
        ),
        (
            "new ImageData(90, 90)",
            "new WritableStream({ write: () => controller.abort(), abort })",
            ["given up", "AbortError: .*"],
        ),
        (
            "(upscaler.dispose(), new ImageData(90, 90))",
            "new WritableStream({ abort })",
            ["given up", "AbortError: The upscaler was disposed."],
        ),
        ("new Image()", "new WritableStream({ abort })", ["given up", "InvalidStateError: .*"]),
        (
            "new ImageData(90, 90)",
            "(() => { const used = new WritableStream(); used.getWriter(); return used; })()",
            ["TypeError: .*locked.*|Error: .*locked.*"],
        ),
        ("new ImageData(90, 90)", "{}", ["(Type)?Error: .*WritableStream.*"]),
    ],
)
def test_a_stream_is_given_up_with_its_image(blank, image, stream, expected):
    told = library(
        blank,
        TO_A_STREAM
        + f"""
        await upscale({image}, {stream});
        for (let i = 0; i < 100 && told.length < given[0]; i++) await new Promise((resolve) => setTimeout(resolve, 50));
        upscaler.dispose();
        return told;""",
        len(expected),
    )
    assert len(told) == len(expected)
    for text, pattern in zip(sorted(told), sorted(expected), strict=True):
        assert re.fullmatch(pattern, text)


def test_metrics_equal_pythons(blank):
    from span_keras.images.metrics import evaluate_pair

    a = make_scene(40, 31)
    b = np.uint8(np.clip(a.astype(int) + np.random.default_rng(1).integers(-9, 10, a.shape), 0, 255))
    figures = library(
        blank,
        """
        const image = (data) => ({ width: 31, height: 40, data });
        return metrics.evaluatePair(image(given[0]), image(given[1]), 2);""",
        a.ravel().tolist(),
        b.ravel().tolist(),
    )
    expected = evaluate_pair(a, b, 2)
    names = {"psnrY": "psnr_y", "ssimY": "ssim_y", "psnrRgb": "psnr_rgb"}
    assert {names[key]: pytest.approx(value, rel=1e-9) for key, value in figures.items()} == expected


def read_model(page, *files):
    """Channels of the model in ``(name, content)`` files, or what is wrong with it."""
    return library(
        page,
        """
        const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
        const files = given[0].map(([name, text]) => new File([bytes(text)], name));
        try {
          return model.readConfig(await (await import('/network/model-files.js')).readModelFiles(files)).channels;
        } catch (error) { return `${error.name}: ${error.message}` }""",
        [(name, base64.b64encode(content).decode()) for name, content in files],
    )


def test_the_files_of_a_model(blank, models):
    read = functools.partial(read_model, blank)
    text = (models / "x2" / "model.json").read_bytes()
    (binary,) = (models / "x2").glob("*.bin")
    weights = (binary.name, binary.read_bytes())
    assert read(weights, ("model.json", text)) == 8
    assert read(weights).startswith("ModelError: Choose one model.json together with its .bin files; found group1")
    assert read(("model.json", text)) == (
        f"ModelError: model.json needs {binary.name}, found model.json; choose both files together."
    )
    assert read(("model.json", b"<html>"), weights).startswith("ModelError: model.json is not JSON;")
    assert read(("model.json", b"{}"), weights).startswith("ModelError: Expected a TensorFlow.js layers model")
    short = (binary.name, weights[1][:-4])
    assert read(("model.json", text), short).startswith(f"ModelError: The weights hold {len(short[1])} bytes where")
    for odd in (
        {"weightsManifest": [{}]},
        {"weightsManifest": [{"paths": [1], "weights": []}]},
        {"weightsManifest": [{"paths": [], "weights": [{"name": "a", "dtype": "float32"}]}]},
        {"weightsManifest": [{"paths": [], "weights": [{"name": "a", "shape": [1], "dtype": "string"}]}]},
        {"modelTopology": {"model_config": {"config": {"layers": {}}}}},
    ):
        content = json.dumps({**json.loads(text), **odd}).encode()
        assert read(("model.json", content), weights).startswith("ModelError: Expected a TensorFlow.js layers model")
    other = json.loads(text)
    for spec in other["weightsManifest"][0]["weights"]:
        spec["name"] = spec["name"].replace("conv_cat", "conv_dog")
    assert read(("model.json", json.dumps(other).encode()), weights) == (
        "ModelError: Expected an exported SPAN network; this model has no conv_cat. Write one with span-export."
    )


@pytest.mark.parametrize(("dtype", "missing"), [("float32", "c1"), ("float16", "c2"), ("float32", "c3")])
def test_weights_that_no_network_has_are_named(blank, tmp_path, dtype, missing):
    quantization = {"float32": "none"}.get(dtype, dtype)
    export_model(random_weights(SpanConfig(scale=2, channels=4, blocks=2)), tmp_path, quantization)
    text = json.loads((tmp_path / "model.json").read_text())
    (binary,) = tmp_path.glob("*.bin")
    specs = text["weightsManifest"][0]["weights"]
    content = bytearray(binary.read_bytes())

    def read():
        return read_model(blank, ("model.json", json.dumps(text).encode()), (binary.name, content))

    assert read() == 4
    dtypes = {spec["name"]: np.dtype(spec.get("quantization", spec)["dtype"]) for spec in specs}
    assert dtypes["conv_2/kernel"] == dtype
    sizes = [math.prod(spec["shape"]) * dtypes[spec["name"]].itemsize for spec in specs]
    start = sum(sizes[: list(dtypes).index("conv_2/kernel")])
    for value in (np.nan, -np.inf):
        content[start : start + np.dtype(dtype).itemsize] = np.array([value], dtype).tobytes()
        assert read() == ("ModelError: conv_2/kernel of this model holds values that are not numbers; use another one.")
    wrong = f"ModelError: This model is not the SPAN network it seems to be: block_2_{missing}/kernel "
    (spec,) = [spec for spec in specs if spec["name"] == f"block_2_{missing}/kernel"]
    spec["shape"] = [3, 3, 2, 8]
    assert read() == wrong + "has shape 3×3×2×8, expected 3×3×4×4."
    spec["name"] = "block_2_c4/kernel"
    assert read() == wrong + "is missing, expected 3×3×4×4."
