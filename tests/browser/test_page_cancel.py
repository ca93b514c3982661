"""Cancelling and removing images, and results so large that they go to a file."""

import io

import pytest
from PIL import Image

from helpers.browser import choose_model, difference, hook_workers, make_scene


@pytest.mark.parametrize(("backend", "tile", "side"), [("webgl", 28, 150), ("wasm", 64, 600)])
def test_cancel(backend, tile, side, page, open_page, save_image):
    # A fast backend may be done before the click: the page hears of the first tile only, and of no result before.
    # That the worker stops is for the tests of its modules.
    page.add_init_script(
        """
        window.heard = false;
        window.cancelled = new Promise((resolve) => {
          addEventListener('click', ({ target }) => target.id === 'cancel' && resolve()); // after the page
        });"""
    )
    hook_workers(
        page,
        incoming="""async ({ event, result }, pass) => {
          if (heard && ['tile', 'progress'].includes(event)) return;
          heard ||= event === 'progress';
          if (result?.tiles) await cancelled;
          pass();
        }""",
    )
    open_page("x2", backend, tile=tile)
    page.set_input_files("#files", str(save_image(make_scene(side, side))))
    page.wait_for_selector("#job-detail:has-text(' left')")
    page.click("#cancel")
    page.wait_for_selector("#job-detail:text('Cancelled')")
    page.wait_for_selector("[data-pane=after] canvas")
    assert page.get_attribute("html", "data-state") == "ready"
    assert page.is_disabled("#download")
    shown = page.evaluate(
        """() => {
          const canvas = document.querySelector('[data-pane=after] canvas');
          const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
          return data.filter((value, i) => i % 4 === 3 && value).length / (data.length / 4);
        }"""
    )
    assert 0 < shown < 1  # the finished tiles stay visible


HOLD_DECODE = """
window.showSaveFilePicker = () => {};
const { decode } = HTMLImageElement.prototype;
const opened = new Promise((resolve) => (window.open_gate = resolve));
HTMLImageElement.prototype.decode = async function () {
  await opened;
  return decode.call(this);
};"""
"""The page does not know an image's size before the gate is opened, and so not whether its result needs a file."""


HOLD_FILE = """
Object.defineProperty(navigator, 'deviceMemory', { value: 1e-4 });
window.aborted = 0;
const opened = new Promise((resolve) => (window.open_gate = resolve));
const createWritable = async () => new WritableStream({ write: () => opened, abort: () => void aborted++ });
window.showSaveFilePicker = async () => ({ createWritable });"""
"""Every result needs a file, and takes nothing before the gate is opened."""


@pytest.mark.parametrize(("memory", "mark"), [(8, "✓"), (1e-4, "?")])
def test_cancelled_before_it_begins(memory, mark, page, open_page, save_image):
    """While the page finds out whether the result needs a file; the next image has its turn."""
    page.add_init_script(f"Object.defineProperty(navigator, 'deviceMemory', {{ value: {memory} }});" + HOLD_DECODE)
    open_page("x2", "wasm")
    page.set_input_files("#files", [str(save_image(make_scene(40, 44), name)) for name in ("1.png", "2.png")])
    page.click("#cancel")
    page.wait_for_selector("#job-detail:text('Cancelled')")
    page.evaluate("open_gate()")
    page.wait_for_selector(f"#queue li:nth-child(2) .mark:text('{mark}')")
    assert page.inner_text("#queue li:nth-child(1) .mark") == "–"
    assert page.inner_text("#job-detail") == "Cancelled"


def test_a_very_large_result_goes_to_a_file(page, open_page, save_image, python_upscale):
    """On a device with little memory, into the file that the user chooses, row by row."""
    page.add_init_script(
        """
        Object.defineProperty(navigator, 'deviceMemory', { value: 1e-4 });
        window.written = [];
        window.showSaveFilePicker = async ({ suggestedName }) => {
          window.suggested = suggestedName;
          const write = (chunk) => void written.push(chunk);
          return { createWritable: async () => new WritableStream({ write }) };
        };"""
    )
    open_page("x2", "wasm", tile=28)
    pixels = make_scene(40, 44)
    page.set_input_files("#files", str(save_image(pixels, "map.png")))
    page.wait_for_selector("#download:text('Choose file'):enabled")
    assert page.inner_text("#job-detail") == "The result will have 0 million pixels: choose a file for it."
    assert page.inner_text("#status") == page.inner_text("#job-detail")
    page.click("#settings-button")
    page.fill("#model-url", "models/none/model.json")
    page.click("#model-fetch")
    page.wait_for_selector("#problem:has-text('was not found')")
    page.wait_for_selector("#problem:has-text('x2 stays in use.')")
    page.wait_for_selector("#download:text('Choose file'):enabled", state="attached")
    page.problems[:] = [text for text in page.problems if "404" not in text]
    page.click("#settings button:text('Done')")
    choose_model(page, "x3-official")  # the result becomes another one
    page.click("#download:text('Choose file')")
    page.wait_for_selector("#job-detail:has-text('PNG written')")
    assert page.is_disabled("#download")
    assert page.evaluate("window.suggested") == "map-x3.png"
    content = page.evaluate("async () => [...new Uint8Array(await new Blob(written).arrayBuffer())]")
    assert difference(Image.open(io.BytesIO(bytes(content))), python_upscale("x3-official", pixels)) <= 1


def test_files_for_large_results_that_are_not_to_be_had_or_not_wanted(page, open_page, save_image):
    page.add_init_script(HOLD_FILE)
    open_page("x2", "wasm")
    paths = [str(save_image(make_scene(40, 44), f"{i}.png")) for i in (1, 2)]
    page.set_input_files("#files", paths)
    page.click("#download:text('Choose file')")
    page.wait_for_selector("html[data-state=busy]")
    page.click("#queue li:nth-child(2) button")
    page.click("#download:text('Choose file')")
    page.wait_for_selector("#job-detail:text('Waiting')")
    page.click("#cancel")
    page.wait_for_function("() => aborted === 1")
    page.click("#clear")
    page.evaluate("() => open_gate()")
    page.wait_for_selector("html[data-state=ready]")
    # A frame of another site may not ask for files.
    page.evaluate("() => { showSaveFilePicker = async () => { throw new DOMException('No.', 'SecurityError'); }; }")
    page.set_input_files("#files", paths[0])
    page.click("#download:text('Choose file')")
    page.wait_for_selector("#job-detail:has-text('→ 88 × 80')")
    page.wait_for_selector("#download:text('Download'):enabled")


def test_running_again_what_was_cancelled_or_failed(page, open_page, save_image, python_upscale, download_in_page):
    page.add_init_script("window.failing = true;" + HOLD_DECODE)
    hook_workers(
        page,
        outgoing="""(message, pass) => {
          if (message.method === 'upscale' && failing) message.method = 'none';
          pass();
        }""",
    )
    open_page("x2", "wasm")
    pixels = make_scene(12, 14)
    page.set_input_files("#files", str(save_image(pixels)))
    page.wait_for_selector("#job-detail:text('Waiting')")
    assert page.is_hidden("#again")
    page.click("#cancel")
    page.click("#again")
    page.wait_for_selector("#cancel:enabled")
    page.evaluate("() => open_gate()")
    page.wait_for_selector("#job-detail:has-text('has no method none')")
    page.evaluate("() => void (failing = false)")
    page.click("#again")
    assert difference(download_in_page(page), python_upscale("x2", pixels)) <= 1


def test_removing_what_is_under_way(page, open_page, save_image):
    """The next image has its turn, and the file that was chosen for one that waits is given up."""
    page.add_init_script(HOLD_FILE)
    open_page("x2", "wasm")
    page.set_input_files("#files", [str(save_image(make_scene(40, 44), f"{i}.png")) for i in (1, 2, 3)])
    page.wait_for_selector("#queue li:nth-child(3) .mark:text('?')")
    page.click("#download:text('Choose file')")
    page.wait_for_selector("html[data-state=busy]")
    page.click("#queue li:nth-child(2) button")
    page.click("#download:text('Choose file')")
    page.wait_for_selector("#job-detail:text('Waiting')")
    page.click("#remove")
    page.wait_for_function("() => aborted === 1")
    page.wait_for_selector("#job-name:text('3.png')")
    page.click("#queue li:nth-child(1) button")
    page.wait_for_selector("#job-name:text('1.png')")
    page.click("#remove")
    page.evaluate("() => open_gate()")
    page.wait_for_selector("html[data-state=ready]")
    assert page.inner_text("#status") == "1.png was cancelled."
    page.wait_for_selector("#job-name:text('3.png')")
    page.wait_for_selector("#download:text('Choose file')")
    assert page.locator("#queue li").count() == 1
