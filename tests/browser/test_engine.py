"""The engine: tiles on backends, the choice among these, and what happens when one fails."""

import base64
import json
import re

import numpy as np
import pytest

from helpers.browser import AS_HARDWARE, library, make_scene


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
    status, is_faster, pixels = library(
        blank,
        AS_HARDWARE
        + """
        const { run } = network.Network.prototype;
        let runs = 0;
        network.Network.prototype.run = function (x) {
          if (++runs === 2) throw new Error('out of memory'); // after the self-check
          return run.call(this, x);
        };
        const eng = new engine.Engine(() => {}, { own: false });
        const artifacts = await model.fetchModel('/models/x2/model.json');
        const { status, isFaster } = await eng.rival(artifacts, { than: { wasm: 1e9 } });
        return [status, isFaster, (await eng.pixels(new ImageData(9, 9))).data.length];""",
    )
    assert {"backend": "webgpu", "reason": "out of memory"} in status["demoted"]
    assert "webgpu" not in status["measured"]
    assert (status["backend"], is_faster) == ("webgl", True)
    assert pixels == 18 * 18 * 4


def test_a_software_gpu_is_not_even_started(blank):
    status, is_faster, backends = library(
        blank,
        """
        const eng = new engine.Engine();
        const artifacts = await model.fetchModel('/models/x2/model.json');
        const { status, isFaster } = await eng.rival(artifacts, { than: { wasm: 1e9 } });
        return [status, isFaster, Object.keys(globalThis.tf?.engine().registry ?? {})];""",
    )
    assert is_faster is False
    assert backends == []
    assert {entry["backend"] for entry in status["demoted"]} == {"webgpu", "webgl"}
    for entry in status["demoted"]:
        assert re.match(r"there is no GPU, only software in its place \(.*[Ss]wift[Ss]hader.*\)", entry["reason"])


def test_what_starts_soonest_is_taken_first(blank):
    status = library(
        blank,
        """
        const eng = new engine.Engine();
        return (await eng.load(await model.fetchModel('/models/x2/model.json'))).status;""",
    )
    assert status["backend"] == "wasm"
    assert set(status["measured"]) == {"wasm"}
    assert status["demoted"] == []


def test_threads_that_never_answer_are_done_without(blank):
    """As in Firefox, where a worker's workers may fail without a word."""
    backend_name, threads, message = library(
        blank,
        """
        const { setTimeout: wait } = globalThis;
        let hurry = 1; // the limit on what never answers runs out sooner, and that one alone
        globalThis.setTimeout = (work, milliseconds) => {
          const limit = milliseconds / hurry;
          hurry = 1;
          return wait(work, limit);
        };
        const t = await tf.loadTf(['wasm']);
        t.env().set('WASM_HAS_MULTITHREAD_SUPPORT', true);
        const factory = t.findBackendFactory('wasm');
        t.removeBackend('wasm');
        const silent = () => ((hurry = 100), new Promise(() => {}));
        const starts = [silent, factory];
        t.registerBackend('wasm', () => starts.shift()());
        const { tf: started } = await backend.startBackend('wasm');
        const threads = t.env().getBool('WASM_HAS_MULTITHREAD_SUPPORT');
        t.removeBackend('wasm');
        t.registerBackend('wasm', silent);
        const failure = await backend.startBackend('wasm').catch((error) => error.message);
        return [started.getBackend(), threads, failure];""",
    )
    assert (backend_name, threads) == ("wasm", False)
    assert message == "WebAssembly did not start within 30 s"


@pytest.mark.parametrize("backend", ["webgl", "webgpu"])
def test_many_image_sizes_do_not_pile_up_on_the_gpu(backend, blank):
    allocated = library(
        blank,
        """
        const artifacts = await model.fetchModel('/models/x2/model.json');
        const { tf: t } = await backend.startBackend(given[0], { pool: 3e5 });
        const net = network.createNetwork(t, artifacts, model.readConfig(artifacts));
        const allocated = [];
        for (let width = 24; width < 33; width++) {
          await net.compute({ data: new Uint8Array(width * 7 * 4), width, height: 7 }); // one set of shaders for all
          const { numBytesInGPUAllocated, numBytesAllocatedInGPU } = t.memory();
          allocated.push(numBytesInGPUAllocated ?? numBytesAllocatedInGPU);
        }
        return allocated;""",
        backend,
    )
    assert allocated[0] < allocated[2]  # the pool is in use
    assert max(allocated) < 4.5e5


LABELS = {"webgpu": "WebGPU", "webgl": "WebGL", "wasm": "WebAssembly"}


@pytest.mark.parametrize(
    ("times", "fastest"),
    [
        ({"wasm": 70, "webgpu": 10}, "webgpu"),  # so quick that WebGL is not even started
        ({"wasm": 70, "webgpu": 20, "webgl": 40}, "webgpu"),
        ({"wasm": 70, "webgl": 80}, "wasm"),
    ],
)
def test_the_faster_backend_wins(times, fastest, blank):
    """That WebGL, the last one tried, may win is tested where WebGPU fails."""
    without = "" if "webgpu" in times else "delete Navigator.prototype.gpu;"
    status, is_faster, memory = library(
        blank,
        AS_HARDWARE
        + without
        + """
        let clock = 0;
        performance.now = () => clock;
        const { run } = network.Network.prototype;
        network.Network.prototype.run = function (x) {
          clock += given[0][this.tf.getBackend()];
          return run.call(this, x);
        };
        const eng = new engine.Engine(() => {}, { own: false });
        const artifacts = await model.fetchModel('/models/x2/model.json');
        const { status, isFaster } = await eng.rival(artifacts, { than: { wasm: given[0].wasm } });
        return [status, isFaster, isFaster ? eng.memory : null];""",
        times,
    )
    assert is_faster == (fastest != "wasm")
    assert status["measured"] == times
    slower = [
        {"backend": name, "reason": f"slower here than {LABELS[fastest]} ({time} ms against {times[fastest]} ms)"}
        for name, time in times.items()
        if name != fastest
    ]
    assert [entry for entry in status["demoted"] if entry["reason"] != "this browser has no WebGPU"] == slower
    if is_faster:
        assert status["backend"] == fastest
        assert memory["tensors"] == 20


LOSE = {
    "webgl": "t.backend().gpgpu.gl.getExtension('WEBGL_lose_context').loseContext()",
    "webgpu": "t.backend().device.destroy()",
}


@pytest.mark.parametrize("backend", ["webgl", "webgpu"])
def test_a_lost_gpu_costs_no_finished_tile(backend, blank, python_upscale):
    pixels = make_scene(7, 46)  # as low as the self-check's image: higher ones need further shaders
    rgba = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    data, tiles, notices, tensors = library(
        blank,
        f"""
        const [values, name] = given;
        const notices = [];
        const on = (status) => notices.push([status.backend, status.tile, status.notice]);
        const eng = new engine.Engine(on, {{ own: false }}); // test_own_kernels.py loses their device
        await eng.load(await model.fetchModel('/models/x2/model.json'), {{ backend: name, tile: 28 }});
        const tensors = [eng.memory.tensors];
        const tiles = [];
        const onTile = ({{ x, y, width, height }}) => {{
          tiles.push([x, y, width, height]);
          const t = eng.tf;
          if (tiles.length === 1) {LOSE[backend]};
        }};
        const source = new ImageData(Uint8ClampedArray.from(values), 46, 7);
        const {{ data }} = await eng.pixels(source, {{ onTile }});
        tensors.push(eng.memory.tensors);
        return [[...data], tiles, notices, tensors];""",
        rgba.ravel().tolist(),
        backend,
    )
    result = np.uint8(data).reshape(14, 92, 4)
    assert np.abs(result[..., :3].astype(int) - python_upscale("x2", pixels)).max() <= 1
    assert len({(x, y) for x, y, *_ in tiles}) == len(tiles)  # no tile came twice
    assert tensors[0] == tensors[1]
    ((name, tile, notice),) = notices
    assert (name, tile) == (backend, 28)  # a computer's sleep is no reason for smaller tiles
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
