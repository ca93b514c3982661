"""`span.js` from another page: loading, cancelling, streams, and what is left afterwards."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from helpers.browser import BACKENDS, library, make_scene, until


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
    # Kernels and biases of ten convolutions. Our kernels fold two of them; two more buffers say where a tile lies, and
    # how it came out.
    assert counts[0]["tensors"] == 20


def test_the_details_tell_the_memory_at_rest(open_page, tmp_path):
    page = open_page("x2", "wasm")
    page.click("#settings-button")
    page.wait_for_selector("#memory:text('20 tensors, ')")
    page.click("#settings button:text('Done')")
    page.evaluate("document.querySelector('#memory').textContent = ''")
    (tmp_path / "broken.png").write_text("no image")
    page.set_input_files("#files", str(tmp_path / "broken.png"))
    page.wait_for_selector("#job-detail:has-text('is damaged')")
    page.click("#settings-button")
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
        ("new Image()", "new WritableStream({ abort })", ["given up", "Error: The image element holds no image .*"]),
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
        const pause = () => new Promise((resolve) => setTimeout(resolve, 50));
        for (let i = 0; i < 2400 && told.length < given[0]; i++) await pause();
        upscaler.dispose();
        return told;""",
        len(expected),
    )
    assert len(told) == len(expected)
    for text, pattern in zip(sorted(told), sorted(expected), strict=True):
        assert re.fullmatch(pattern, text)
