"""What is too large for a canvas or for the device, pictures that move, and models kept in the browser."""

import numpy as np
from PIL import Image

from helpers.browser import library, make_scene


def test_a_result_wider_than_any_canvas(open_page, save_image, upscale_in_page, python_upscale):
    """Chromium's canvases end at 65,535 pixels, and this image is longer."""
    pixels = make_scene(5, 66_000)
    result = upscale_in_page(open_page("x2", "wasm"), save_image(pixels))
    assert result.shape == (10, 132_000, 3)
    assert np.abs(result.astype(int) - python_upscale("x2", pixels)).max() <= 1


def test_measuring_collects_no_pixels_in_an_array(blank):
    """V8 ends the tab where `filter` keeps more than 134 million values, which 45 megapixels have."""
    figures = library(
        blank,
        """
        const { measure } = await import('/engine/measure.js');
        const eng = new engine.Engine();
        await eng.load(await model.fetchModel('/models/x2/model.json'), { backend: 'wasm' });
        Uint8ClampedArray.prototype.filter = () => { throw new RangeError('invalid array length') };
        const canvas = new OffscreenCanvas(40, 40);
        canvas.getContext('2d').fillRect(0, 0, 20, 20);
        return (await measure(eng, await canvas.convertToBlob())).bicubic;""",
    )
    assert figures["psnrRgb"] > 10


LIMITED = """
        const eng = new engine.Engine();
        await eng.load(await model.fetchModel('/models/x2/model.json'), { backend: 'cpu' });
        const attempt = (work) => work().then(() => 'no error', (error) => error.message);
"""


def test_a_result_that_the_device_cannot_hold(blank):
    message = library(
        blank,
        LIMITED
        + """
        const Real = Uint8ClampedArray;
        globalThis.Uint8ClampedArray = function (length) {
          if (length === 3000 * 2000 * 4) throw new RangeError('Array buffer allocation failed');
          return new Real(length);
        };
        return attempt(() => eng.pixels(new ImageData(1500, 1000)));""",
    )
    assert message == "This device cannot hold 24 MB of the result at once; use a smaller image or scale."


def test_an_image_that_the_browser_cannot_hold(blank):
    message = library(
        blank,
        LIMITED
        + """
        OffscreenCanvas.prototype.getContext = () => null;
        const image = await createImageBitmap(new ImageData(30, 20));
        return attempt(() => eng.upscale(image));""",
    )
    assert message == "An image of 30 × 20 pixels does not fit into this browser's memory."


def test_the_first_frame_of_a_film_counts(open_page, tmp_path, upscale_in_page, python_upscale):
    frames = [Image.fromarray(make_scene(12, 16, seed)).quantize(64) for seed in (1, 2)]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:], duration=20, loop=0)
    first, second = (python_upscale("x2", np.asarray(frame.convert("RGB"))) for frame in frames)
    result = upscale_in_page(open_page("x2", "wasm"), tmp_path / "film.gif")
    assert np.abs(result.astype(int) - first).max() <= 1 < np.abs(result.astype(int) - second).max()


def test_a_stored_model_is_chosen_after_a_reload(page, open_page):
    open_page("x2", "wasm")
    page.evaluate(
        """async () => {
          const { fetchModel } = await import('/network/model.js');
          const { saveModel } = await import('/storage/models.js');
          await saveModel('mine', await fetchModel('/models/x3-official/model.json'));
        }"""
    )
    page.reload()
    page.wait_for_selector("html[data-state=ready]")
    page.click("#settings-button")
    page.wait_for_selector("#model option:text('mine (saved here)')", state="attached")
    page.select_option("#model", label="mine (saved here)")
    page.wait_for_selector("#status:has-text('enlarges 3 times')")


def test_a_stored_model_that_another_tab_deleted_leaves_the_present_one_in_use(page, open_page):
    open_page("x2", "wasm")
    store = "import('/storage/models.js').then((store) => store"
    page.evaluate(
        f"() => import('/network/model.js').then(({{ fetchModel }}) => fetchModel('/models/x3-official/model.json'))"
        f".then((artifacts) => {store}.saveModel('mine', artifacts)))"
    )
    page.click("#settings-button")
    page.wait_for_selector("#model option:text('mine (saved here)')", state="attached")
    page.evaluate(f"() => {store}.deleteModel('mine'))")
    page.select_option("#model", label="mine (saved here)")
    page.wait_for_selector("#problem:text('mine is not stored in this browser any longer.')")
    page.wait_for_selector("#model option:text('mine (saved here)')", state="detached")
    assert page.get_attribute("html", "data-state") == "ready"
    assert page.inner_text("#chip-model") == "x2"
