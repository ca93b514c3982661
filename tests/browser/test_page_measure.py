"""The view that measures, and how its figures are written."""

import re

import numpy as np
import pytest

from helpers.browser import make_scene


def test_durations_and_sizes_are_rounded_before_their_unit_is_chosen(blank):
    durations, sizes = blank.evaluate(
        """() => import('/ui/format.js').then(({ duration, bytes }) => [
          [999.7, 9970, 59_999, 119_800, 61_000].map(duration), [999, 999_999, 1e6, 0].map(bytes)])"""
    )
    assert durations == ["1.0 s", "10 s", "1 min 0 s", "2 min 0 s", "1 min 1 s"]
    assert sizes == ["999 B", "1.0 MB", "1.0 MB", "0 B"]


def seconds(text: str) -> float:
    value, unit = text.split(" ")
    return float(value) * {"ms": 1e-3, "s": 1}[unit]


def test_measuring(open_page, save_image):
    from span_keras.images.bicubic import downscale, upscale
    from span_keras.images.metrics import evaluate_pair

    hr = make_scene(53, 60)
    page = open_page("x2", "wasm")
    page.click("#tab-measure")
    for name in ("webgpu", "webgl"):
        page.uncheck(f"#measure input[value={name}]")
    page.set_input_files("#measure-file", str(save_image(hr)))
    page.click("#measure-start")
    page.wait_for_selector("#measure-start:enabled")
    rows = page.locator("#measure-rows tr").all_inner_texts()
    cropped = hr[:52]
    expected = evaluate_pair(upscale(downscale(cropped, 2), 2), cropped, 2)
    assert rows[0].split("\t")[:4] == [
        "Bicubic",
        f"{expected['psnr_y']:.2f} dB",
        f"{expected['ssim_y']:.4f}",
        f"{expected['psnr_rgb']:.2f} dB",
    ]
    assert rows[1].startswith("SPAN on WebAssembly")
    assert re.match(r"30 × 26 to 60 × 52: [\d.]+ dB (better|worse) than bicubic\.", page.inner_text("#measure-state"))
    page.set_input_files("#measure-file", str(save_image(hr[:1, :1], "small.png")))
    page.click("#measure-start")
    page.wait_for_selector("#measure-rows td:has-text('The image is too small to measure: at least 15 pixels')")
    page.uncheck("#measure input[value=wasm]")
    page.click("#measure-start:enabled")
    assert page.inner_text("#measure-state") == "Choose a backend to measure on."
    page.check("#measure input[value=wasm]")
    page.set_input_files("#measure-file", str(save_image(np.full((40, 40, 3), 90, np.uint8), "flat.png")))
    page.focus("#measure-start")
    page.keyboard.press("Enter")
    page.wait_for_selector("#measure-rows td:text('100.00 dB')")  # bicubic gives a flat photograph back exactly
    page.wait_for_selector("#measure-start:enabled")
    assert page.evaluate("() => document.activeElement.id") == "measure-start"
    assert re.match(r"20 × 20 to 40 × 40: [\d.]+ dB worse than bicubic\.", page.inner_text("#measure-state"))


def test_the_line_for_reports_on_kernels(open_page, save_image):
    """Among the details, and beside the figures."""
    page = open_page("x2", "webgpu")
    page.click("#settings-button")
    line = page.locator("#reasons li").nth(1).inner_text()
    assert re.fullmatch(r"Kernels: .*swiftshader.*: plain", line)
    page.click("#settings button:text('Done')")
    page.click("#tab-measure")
    for name in ("webgl", "wasm"):
        page.uncheck(f"#measure input[value={name}]")
    page.set_input_files("#measure-file", str(save_image(make_scene(40, 40))))
    page.click("#measure-start")
    page.wait_for_selector("#measure-start:enabled")
    assert page.locator("#measure-rows tr").last.inner_text() == line


def test_time_and_memory_by_backend(open_page, save_image):
    """What a run takes at its peak, in the table, in the chart and in the chart's description."""
    page = open_page("x2", "wasm")
    page.click("#tab-measure")
    for name in ("webgpu", "webgl"):
        page.uncheck(f"#measure input[value={name}]")
    page.check("#measure input[value=cpu]")
    page.set_input_files("#measure-file", str(save_image(make_scene(48, 64))))
    page.click("#measure-start")
    page.wait_for_selector("#measure-start:enabled")
    bicubic, *rows = [row.split("\t") for row in page.locator("#measure-rows tr").all_inner_texts()]
    assert bicubic[4:] == ["–", "–"]
    assert [row[0] for row in rows] == ["SPAN on WebAssembly", "SPAN on JavaScript"]
    least = 6 * (24 * 32) * 8 * 4 / 1e6  # six layers at least give 8 channels of float32 at every pixel
    label = page.wait_for_selector("#measure-chart[aria-label*=JavaScript]").get_attribute("aria-label")
    assert label == "Time and memory by backend: " + "; ".join(
        f"{row[0].removeprefix('SPAN on ')} {row[4]} and {row[5]}" for row in rows
    )
    chart = page.evaluate(
        """() => {
          const { data, options } = Chart.getChart('measure-chart');
          const datasets = data.datasets.map(({ label, xAxisID, data }) => [label, xAxisID, [...data]]);
          const titles = ['time', 'memory'].map((axis) => options.scales[axis].title.text);
          return { labels: [...data.labels], datasets, titles };
        }"""
    )
    assert chart["labels"] == ["WebAssembly", "JavaScript"]
    assert chart["titles"] == ["Milliseconds", "Megabytes"]
    (time, time_axis, milliseconds), (memory, memory_axis, megabytes) = chart["datasets"]
    assert (time, time_axis, memory, memory_axis) == ("Time", "time", "Memory", "memory")
    for row, ms, mb in zip(rows, milliseconds, megabytes, strict=True):
        assert seconds(row[4]) == pytest.approx(ms / 1e3, rel=0.06, abs=6e-4)
        assert mb > least
        assert row[5] == (f"{mb:.1f} MB" if mb >= 1 else f"{mb * 1000:.1f} kB")


def test_a_gpu_tells_what_it_allocated(blank, site):
    """More than the tensors' own bytes, and more than the weights at rest."""
    found = blank.evaluate(
        """async (model) => {
          const { loadUpscaler } = await import('/span.js');
          const canvas = new OffscreenCanvas(64, 48);
          canvas.getContext('2d').fillRect(0, 0, 40, 40);
          const original = await canvas.convertToBlob();
          const found = {};
          for (const backend of ['webgpu', 'webgl', 'wasm']) {
            const upscaler = await loadUpscaler(model, { backend });
            const rest = (await upscaler.memory()).bytes;
            const { bytes, gpuBytes } = await upscaler.measure(original);
            found[upscaler.status.backend] = { rest, bytes, gpuBytes };
            upscaler.dispose();
          }
          return found;
        }""",
        f"{site.url}/models/x2/model.json",
    )
    assert found["wasm"]["gpuBytes"] == 0
    assert found["webgl"]["gpuBytes"] > found["webgl"]["bytes"]
    assert found["webgpu"]["gpuBytes"] == found["webgpu"]["bytes"]  # our own kernels allocate nothing else
    for memory in found.values():
        assert memory["bytes"] > 2 * memory["rest"]


def test_measuring_can_be_cancelled(open_page, save_image):
    page = open_page("x2", "wasm", tile=28)
    page.click("#tab-measure")
    for name in ("webgpu", "webgl", "wasm"):
        page.uncheck(f"#measure input[value={name}]")
    page.check("#measure input[value=cpu]")
    page.set_input_files("#measure-file", str(save_image(make_scene(1000, 1000))))
    page.click("#measure-start")
    page.wait_for_selector("#measure-state:has-text('Measuring on JavaScript')")
    page.set_input_files("#measure-file", str(save_image(make_scene(40, 40), "other.png")))
    assert "Measuring on JavaScript" in page.inner_text("#measure-state")  # it measures on
    assert page.is_disabled("#measure-start")
    page.click("#measure-cancel")
    page.wait_for_selector("#measure-state:text('Cancelled.')")
    assert page.is_enabled("#measure-start")
    assert page.is_hidden("#measure-cancel")
    assert page.locator("#measure-rows tr").count() == 0
