"""The photographs that the training view trains on."""

from PIL import Image

from helpers.browser import make_scene
from helpers.training_view import View


def test_from_scratch_with_own_photographs(view, tmp_path):
    page = view.page
    pictures = []
    for i in range(2):
        pictures.append(tmp_path / f"own-{i}.png")
        Image.fromarray(make_scene(36, 36, seed=i)).save(pictures[-1])
    small = tmp_path / "small.png"
    Image.fromarray(make_scene(10, 10)).save(small)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not an image")
    page.set_input_files("#train-files", [*map(str, pictures), str(small), str(broken)])
    assert "4 photographs of your own" in page.inner_text("#train-photographs-text")
    page.check("input[name=origin][value=scratch]")
    page.select_option("#train-scale", "3")
    page.fill("#train-channels", "4")
    page.fill("#train-blocks", "1")
    view.fill()
    view.train(2)
    assert "small.png is 10×10 pixels, smaller than the 24-pixel HR patch; it is left out." in view.log
    assert "broken.jpg (image/jpeg) is damaged or not an image that this browser reads; try PNG" in view.log
    assert "Training x3, 4 channels, on JavaScript, from step 0, with 2 photographs" in view.log
    assert "the photographs trained on" in page.inner_text("#train-samples-note")


def test_dropped_photographs_are_trained_on_not_upscaled(view, save_image):
    page = view.page
    page.evaluate(
        """async () => {
            const blob = await (await fetch('samples/photo-0.png')).blob();
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([blob], 'dropped.png', { type: 'image/png' }));
            const target = document.querySelector('#train-photographs');
            for (const type of ['dragover', 'drop']) {
                target.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
            }
        }"""
    )
    assert page.inner_text("#train-photographs-text") == "1 photograph of your own."
    assert page.get_attribute("#train-thumbnails img", "alt") == "dropped.png"
    assert page.locator("#queue li").count() == 0
    # Others join them, each once; only chosen ones take their place.
    more = [save_image(make_scene(40, 40, seed), f"{seed}.png") for seed in (1, 2)]
    for _ in range(2):
        with page.expect_file_chooser() as chooser:
            view.click("Add Photographs")
        chooser.value.set_files(more)
    assert page.inner_text("#train-photographs-text") == "3 photographs of your own."
    with page.expect_file_chooser() as chooser:
        view.click("Choose Photographs")
    chooser.value.set_files(more[:1])
    assert page.inner_text("#train-photographs-text") == "1 photograph of your own."
    view.click("Use the Bundled Ones")
    assert "6 photographs bundled" in page.inner_text("#train-photographs-text")


def test_photographs_are_taken_wherever_they_are_dropped_and_from_the_clipboard(view):
    page = view.page
    bring = """([Kind, at, name, type]) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File(['...'], name, { type }));
        const event = new window[Kind](Kind === 'DragEvent' ? 'drop' : 'paste', { [at]: transfer, bubbles: true });
        document.querySelector('.train-head').dispatchEvent(event);
    }"""
    ways = (["DragEvent", "dataTransfer"], ["ClipboardEvent", "clipboardData"])
    for way in ways:
        page.evaluate(bring, [*way, "notes.txt", "text/plain"])
        assert view.wait_problem() == "notes.txt is not an image; choose photographs to train on."
        page.evaluate(bring, [*way, "mine.png", "image/png"])
        page.wait_for_selector("#train-thumbnails img[alt='mine.png']")
        assert view.problem == ""
        view.click("Use the Bundled Ones")
    view.fill()
    view.click("Start Training")
    view.wait("training")
    page.evaluate(bring, [*ways[0], "mine.png", "image/png"])
    assert view.wait_problem() == "A training is under way; stop it before you choose other photographs."
    view.click("Stop Training")
    view.wait("idle")


def test_useless_photographs_get_a_sentence_and_nothing_chosen_is_lost(view):
    page = view.page
    view.fill()
    view.train(1)
    files = {"a.png": b"no", "b.heic": b"\0\0\0\x18ftypheic" + bytes(40), "c.png": b"", "d.png": b"", "e.png": b""}
    chosen = [{"name": name, "mimeType": "image/png", "buffer": content} for name, content in files.items()]
    page.set_input_files("#train-files", chosen)
    page.check("input[name=origin][value=page]")
    view.fill(rate=0.005)
    view.click("Start Training")
    view.answer("Replace It")
    assert view.wait_problem() == (
        "No photograph can be used: a.png (image/png) is damaged or not an image that this browser reads; try PNG, "
        "JPEG, WebP or AVIF. It is left out. b.heic is a HEIC photograph, which this browser does not read; open the "
        "page in Safari, or save the photograph as JPEG. It is left out. c.png is empty; choose another file. It is "
        "left out. 2 more cannot be used either. Choose others or a smaller patch."
    )
    view.wait("idle")
    assert view.state == "The training did not start."
    assert page.input_value("#train-rate") == "0.005"
    assert page.is_checked("input[name=origin][value=page]")
    assert page.inner_text("#train-photographs-text") == "5 photographs of your own."


def test_without_curves_and_bundled_photographs_the_view_trains(page, open_page, save_image, photographs):
    page.route("**/chart.umd.min.js", lambda route: route.abort())
    page.route("**/samples.json", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
    view = View(open_page("x2", "wasm")).open()
    assert "There are no curves: chart.js" in page.inner_text(".train-charts")
    assert page.inner_text("#train-photographs-text").startswith("None yet")
    page.set_input_files("#train-files", str(save_image(make_scene(40, 40))))
    view.fill()
    view.train(1)
    assert view.problem == ""
    view.click("Delete Model")
    view.answer("Delete")
    view.until(lambda: "was deleted" in view.state)
    page.problems.clear()


def test_photographs_that_could_not_be_stored_are_stored_when_there_is_room(view, photographs):
    """Else those of an earlier training would take their place."""
    view.fill()
    view.train(1)
    view.worker.evaluate(
        """() => {
            self.put = IDBObjectStore.prototype.put;
            IDBObjectStore.prototype.put = () => { throw new DOMException('full', 'QuotaExceededError'); };
        }"""
    )
    view.page.check("input[name=origin][value=scratch]")
    view.page.fill("#train-channels", "4")  # else it is stopped in the middle of a step, which ends the worker
    view.page.fill("#train-blocks", "1")
    view.page.set_input_files("#train-files", [str(path) for path in sorted(photographs.glob("*.png"))[:4]])
    view.click("Start Training")
    view.answer("Replace It")
    view.wait("training")
    view.until(lambda: "is full" in view.problem)
    view.click("Stop Training")
    view.wait("idle")
    view.worker.evaluate("() => { IDBObjectStore.prototype.put = put; }")
    reached = view.train(1)
    view.page.reload()
    view.wait("idle")
    assert f"at step {reached:,}" in view.page.inner_text("[data-origin=stored]")
    assert "4 photographs of the stored training" in view.page.inner_text("#train-photographs-text")


def test_photographs_that_do_not_fit_do_not_keep_the_state_from_being_stored(view, photographs):
    view.worker.evaluate(
        """() => {
            const { put } = IDBObjectStore.prototype;
            IDBObjectStore.prototype.put = function (value, key) {
                if (this.name === 'photographs') throw new DOMException('full', 'QuotaExceededError');
                return put.call(this, value, key);
            };
        }"""
    )
    view.fill()
    view.page.set_input_files("#train-files", [str(path) for path in sorted(photographs.glob("*.png"))[:4]])
    view.train(1)
    assert "The photographs do not fit into the storage that the browser grants this page" in view.log
    # Until the page is left, the training goes on with them.
    assert "4 photographs of the stored training" in view.page.inner_text("#train-photographs-text")
    reached = view.train(1)
    assert view.log.count("The photographs do not fit") == 2  # it was tried again
    view.page.reload()
    view.wait("idle")
    assert f"at step {reached:,}" in view.page.inner_text("[data-origin=stored]")
    assert "6 photographs bundled with the page" in view.page.inner_text("#train-photographs-text")
    assert view.train(1) > reached
