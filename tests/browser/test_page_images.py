"""Images on their way through the page: one after another, again, with another model."""

import io
import zipfile

from PIL import Image

from helpers.browser import choose_model, difference, hook_workers, make_scene, until


def test_many_images_and_all_downloads(open_page, save_image, tmp_path, python_upscale):
    scenes = [make_scene(12, 14, seed) for seed in (1, 2, 3)]
    paths = [save_image(scene, f"{i}.png") for i, scene in enumerate(scenes)]
    page = open_page("x2", "wasm")
    focused = "() => document.activeElement.id"
    page.focus("#choose")
    others = [tmp_path / "notes.txt", tmp_path / "bad.png"]
    for other in others:
        other.write_text("no image")
    page.set_input_files("#files", [*map(str, paths[:2]), str(others[0])])
    page.wait_for_selector("#workspace:visible")
    assert page.evaluate(focused) == "add"
    page.wait_for_selector("#queue li:nth-child(2) .mark:text('✓')")
    assert page.inner_text("footer").endswith("Left out, because they are no images: notes.txt.")
    page.set_input_files("#files", [str(paths[2]), str(others[1])])
    page.wait_for_selector("#queue li:nth-child(4) .mark:text('!')")
    page.wait_for_selector("#queue li:nth-child(3) .mark:text('✓')")
    with page.expect_download() as download:
        page.click("#download-all")
    download.value.save_as(tmp_path / "all.zip")
    page.wait_for_selector("#status:text('Not in the archive, because there is no result: bad.png.')")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["0-x2.png", "1-x2.png", "2-x2.png"]
        for name, scene in zip(archive.namelist(), scenes, strict=True):
            assert difference(Image.open(io.BytesIO(archive.read(name))), python_upscale("x2", scene)) <= 1
    for kind, suffix in (("image/jpeg", "jpg"), ("image/webp", "webp")):
        page.select_option("#format", kind)
        with page.expect_download() as download:
            page.click("#download")
        assert download.value.suggested_filename == f"2-x2.{suffix}"
        download.value.save_as(tmp_path / f"a.{suffix}")
        assert Image.open(tmp_path / f"a.{suffix}").size == (28, 24)
    # Only the result in sight has a canvas of its own.
    canvas = "[data-pane=after] canvas"
    page.wait_for_selector(canvas)

    def packed():
        """It becomes an image some time after it went out of sight."""
        page.click("#queue li:nth-child(3) button")
        page.wait_for_selector("#job-name:text('2.png')")
        page.wait_for_timeout(200)
        page.click("#queue li:nth-child(1) button")
        page.wait_for_selector("#job-name:text('0.png')")
        page.wait_for_timeout(200)
        return page.locator("[data-pane=after] img").count()

    until(page, packed)
    assert page.get_by_role("img", name="After").evaluate("(image) => image.naturalWidth") == 28
    page.click("#clear")
    page.wait_for_selector("#choose:visible")
    assert page.evaluate(focused) == "choose"
    assert page.locator(".pane > *").count() == 0


def test_images_off_the_page_are_complained_about_no_more(open_page, save_image, tmp_path):
    page = open_page("x2", "wasm")
    (tmp_path / "bad.png").write_text("no image")
    page.set_input_files("#files", [str(save_image(make_scene(20, 24), "good.png")), str(tmp_path / "bad.png")])
    page.wait_for_selector("footer :text('bad.png'):not(.visually-hidden)")
    page.click("#clear")
    page.wait_for_selector("#workspace", state="hidden")
    assert page.locator("footer :text('bad.png'):not(.visually-hidden)").count() == 0


def test_pasted_and_dropped_images(open_page):
    page = open_page("x2", "wasm")
    for kind, at, count in (("paste", "clipboardData", 1), ("drop", "dataTransfer", 2)):
        page.evaluate(
            """async ([kind, at]) => {
              const canvas = new OffscreenCanvas(9, 7);
              canvas.getContext('2d').fillRect(0, 0, 9, 7);
              const transfer = new DataTransfer();
              transfer.items.add(new File([await canvas.convertToBlob()], 'new.png', { type: 'image/png' }));
              const Kind = kind === 'paste' ? ClipboardEvent : DragEvent;
              document.body.dispatchEvent(new Kind(kind, { [at]: transfer, bubbles: true, cancelable: true }));
            }""",
            [kind, at],
        )
        page.wait_for_selector(f"#queue li:nth-child({count}) .mark:text('✓')")


def test_an_image_goes_on_with_the_next_model(page, open_page, save_image, python_upscale, download_in_page):
    # A fast backend may be done before the other model is chosen: the page hears of the first tile only, and of no
    # result before.
    page.add_init_script(
        "window.heard = false; window.chosen = new Promise((resolve) => (window.open_gate = resolve));"
    )
    hook_workers(
        page,
        incoming="""async ({ event, result }, pass) => {
          if (heard && event === 'progress') return;
          heard ||= event === 'progress';
          if (result?.tiles) await chosen;
          pass();
        }""",
    )
    open_page("x2", "wasm", tile=64)
    pixels = make_scene(200, 220)
    page.set_input_files("#files", str(save_image(pixels)))
    page.wait_for_selector("#job-detail:has-text(' left')")
    page.click("#settings-button")
    page.wait_for_selector("#model option:text('x3-official')", state="attached")
    page.select_option("#model", label="x3-official")
    page.wait_for_selector("#chip-model:text('x3-official')", state="attached")
    page.click("#settings button:text('Done')")
    page.evaluate("() => open_gate()")
    assert difference(download_in_page(page), python_upscale("x3-official", pixels)) <= 1


def test_running_an_image_again_and_removing_it(open_page, save_image, python_upscale, download_in_page):
    """After another model came, after a cancel, and after a failure that is over."""
    page = open_page("x2", "wasm")
    scenes = [make_scene(12, 14, seed) for seed in (1, 2, 3)]
    page.set_input_files("#files", [str(save_image(scene, f"{i}.png")) for i, scene in enumerate(scenes)])
    page.wait_for_selector("#queue li:nth-child(3) .mark:text('✓')")
    choose_model(page, "x3-official")
    assert page.inner_text("#job-detail").startswith("14 × 12 → 28 × 24 · PNG ")
    page.wait_for_selector("#again:visible")
    page.focus("#again")
    page.keyboard.press("Enter")
    page.wait_for_selector("#job-detail:has-text('→ 42 × 36')")
    assert page.evaluate("() => document.activeElement.id") in ("cancel", "download")
    assert difference(download_in_page(page), python_upscale("x3-official", scenes[0])) <= 1

    page.click("#queue li:nth-child(2) button")
    page.click("#remove")
    page.wait_for_selector("#job-name:text('2.png')")  # its neighbour comes into sight
    page.click("#remove")
    page.wait_for_selector("#job-name:text('0.png')")
    assert page.locator("#queue li").count() == 1
    assert difference(download_in_page(page), python_upscale("x3-official", scenes[0])) <= 1
    page.click("#remove")
    page.wait_for_selector("#choose:visible")
    assert page.evaluate("() => document.activeElement.id") == "choose"


def test_a_result_stays_until_another_replaces_it(page, open_page, save_image, python_upscale, download_in_page):
    page.add_init_script("Object.assign(window, { held: [], holding: false });")
    hook_workers(page, outgoing="({ method }, pass) => (method === 'upscale' && holding ? held.push(pass) : pass())")
    open_page("x2", "wasm")
    pixels = make_scene(12, 14)
    page.set_input_files("#files", str(save_image(pixels)))
    page.wait_for_selector("#download:enabled")
    choose_model(page, "x3-official")
    page.evaluate("() => void (holding = true)")
    page.click("#again")
    page.wait_for_selector("#job-detail:text('Reading')")
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "scene-x2.png"
    page.click("#cancel")
    page.evaluate("() => held.shift()()")
    page.wait_for_selector("#job-detail:text('Cancelled')")
    assert difference(download_in_page(page), python_upscale("x2", pixels)) <= 1
    assert page.get_by_role("img", name="After").evaluate("(canvas) => canvas.width") == 28
    page.evaluate("() => void (holding = false)")
    page.click("#again")
    page.wait_for_selector("#job-detail:has-text('→ 42 × 36')")
    assert difference(download_in_page(page), python_upscale("x3-official", pixels)) <= 1
    page.wait_for_selector("[data-pane=after] canvas[width='42']")


def test_the_page_stays_responsive(page, open_page, save_image):
    """The page's own thread does none of the work: its timers go on between the tiles."""
    page.add_init_script("Object.assign(window, { ticks: 0, told: [] }); setInterval(() => ticks++);")
    hook_workers(page, incoming="({ event }, pass) => (event === 'progress' && told.push(ticks), pass())")
    open_page("x2", "webgl", tile=28)
    page.set_input_files("#files", str(save_image(make_scene(300, 300))))
    ticked = "told.length > 1 && told.at(-1) > told[0]"  # fast tiles may come together
    until(page, lambda: page.evaluate(ticked) or page.is_enabled("#download"))
    assert page.evaluate(ticked)
    assert page.evaluate("typeof tf") == "undefined"
    assert len(page.workers) == 1


def test_a_lost_context_on_the_page(open_page, save_image, upscale_in_page, python_upscale):
    page = open_page("x2", "webgl")
    (worker,) = page.workers
    worker.evaluate("tf.backend().gpgpu.gl.getExtension('WEBGL_lose_context').loseContext()")
    pixels = make_scene(20, 24)
    assert difference(upscale_in_page(page, save_image(pixels)), python_upscale("x2", pixels)) <= 1
    page.click("#settings-button")
    assert "tiles of" in page.inner_text("#reasons")
