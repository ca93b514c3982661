"""The training view in the real page: start, stop, resume, save, load, delete, and what can go wrong."""

from pathlib import Path

import pytest
from PIL import Image

from helpers.browser import AXE, hook_workers, make_scene
from helpers.training_view import View
from helpers.weights import random_weights
from span_export.export import export_model
from span_keras.checkpoints import load_weights
from span_keras.network.config import SpanConfig


@pytest.fixture
def view(page, open_page, photographs) -> View:
    yield View(open_page("x2", "wasm")).open()
    # A page without VGG features is asked for them once, which the browser notes as an error.
    page.problems[:] = [problem for problem in page.problems if "404" not in problem]


def test_trains_stops_and_goes_on_after_a_reload(view):
    page = view.page
    view.fill("webgl", rate=0.002)
    assert "6 photographs bundled with the page" in page.inner_text("#train-photographs-text")
    reached = view.train(3)
    assert view.state == f"Stopped at step {reached:,}; Start Training goes on from here."
    assert page.get_attribute("#train", "data-tensors") == page.get_attribute("#train", "data-resting")
    assert page.get_attribute("#train", "data-saved") == str(reached)
    assert page.inner_text("[data-figure=backend]") == "WebGL"
    assert page.inner_text("[data-figure=psnr]").endswith(" dB")
    assert page.locator("#train-strip figure").count() == 4
    assert "(averaged weights, luma, on photographs that are not trained on)" in page.inner_text("#train-samples-note")
    assert "loss: MAE alone" in view.log

    page.reload()
    page.wait_for_selector("html[data-state=ready]")
    view.wait("idle")
    assert page.is_checked("input[name=origin][value=stored]")
    assert f"at step {reached:,}" in page.inner_text("[data-origin=stored]")
    assert page.input_value("#train-rate") == "0.002"
    assert "6 photographs of the stored training" in page.inner_text("#train-photographs-text")
    page.select_option("#train-backend", "webgl")
    again = view.train(2)
    assert again >= reached + 2
    assert f"from step {reached}" in view.log
    assert page.get_attribute("#train", "data-tensors") == page.get_attribute("#train", "data-resting")


def test_reaches_its_end_and_improves(view):
    view.fill(epochs=6, rate=0.003)
    view.click("Start Training")
    view.until(lambda: view.state.startswith("Finished"))
    assert view.state == "Finished after 60 steps."
    stored = view.worker.evaluate("async () => (await (await import('./store.js')).loadTraining()).state")
    first, last = stored["history"]["quality"][0], stored["history"]["quality"][-1]
    assert (first["step"], last["step"]) == (0, 60)
    assert last["psnr"] > first["psnr"] + 1
    assert [point["step"] for point in stored["history"]["points"]] == list(range(1, 61))


def test_starts_only_when_the_view_knows_what_is_stored(page, open_page, photographs):
    """When it is opened and when a training has ended: a stored training would be replaced without a question."""
    page.add_init_script("window.held = [];")
    hook_workers(page, outgoing="({ method }, pass) => (method === 'peek' ? held.push(pass) : pass())")
    view = View(open_page("x2", "wasm"))
    page.click("#tab-train")
    view.until(lambda: page.evaluate("held.length"))
    assert page.is_disabled("[data-do=load]")
    page.set_input_files("#train-model-files", str(Path(__file__)))  # as if it were enabled
    view.until(lambda: view.problem)
    assert page.is_disabled("[data-do=start]")
    page.evaluate("held.shift()()")
    view.wait("idle")
    view.fill(epochs=1)
    view.click("Start Training")
    view.until(lambda: page.evaluate("held.length"))
    assert page.is_disabled("[data-do=start]")  # or a double click would start twice
    page.evaluate("held.shift()()")
    view.until(lambda: view.state == "Finished after 10 steps.")
    assert page.get_attribute("#train", "data-phase") != "idle"
    assert page.is_disabled("[data-do=start]")
    page.evaluate("held.shift()()")
    view.wait("idle")
    assert page.is_enabled("[data-do=start]")
    assert page.get_attribute("#train", "data-step") == "10"
    assert page.is_checked("input[name=origin][value=stored]")
    assert "at step 10" in page.inner_text("[data-origin=stored]")


def test_a_loaded_model_is_trained_on_and_a_stored_one_is_replaced_only_when_confirmed(view, tmp_path):
    weights = random_weights(SpanConfig(scale=3, channels=4, blocks=1), seed=8)
    export_model(weights, tmp_path / "other")
    view.fill()
    reached = view.train(2)
    view.page.set_input_files("#train-model-files", [str(file) for file in (tmp_path / "other").glob("[!.]*")])
    view.until(lambda: view.state.startswith("Loaded") or view.problem)
    assert view.problem == ""
    assert view.page.is_checked("input[name=origin][value=file]")
    assert view.state == "Loaded model.json: x3, 4 channels. Start Training begins with it."
    view.click("Start Training")
    assert f"replaces the stored training at step {reached:,}" in view.question
    view.answer("Cancel")
    view.wait("idle")
    assert view.page.evaluate("document.activeElement.dataset.do") == "start"
    view.click("Start Training")
    view.answer("Replace It")
    view.wait("training")
    view.click("Stop Training")
    view.wait("idle")
    assert "x3, 4 channels" in view.page.inner_text("[data-origin=stored]")


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"model.json": b"{"}, "model.json is not JSON"),
        ({"weights.bin": b"1234"}, "Choose one model.json together with its .bin files"),
        ({"model.json": b'{"format": "graph-model"}'}, "Expected a TensorFlow.js layers model"),
        (
            {
                "model.json": b'{"modelTopology": {}, "weightsManifest": [{"paths": ["a.bin"], "weights": '
                b'[{"name": "dense/kernel", "shape": [1], "dtype": "float32"}]}]}',
                "a.bin": b"1234",
            },
            "Expected an exported SPAN network",
        ),
        (
            {"model.json": b'{"modelTopology": {}, "weightsManifest": [{"paths": ["a.bin"], "weights": []}]}'},
            "needs a.bin",
        ),
    ],
)
def test_wrong_model_files_get_a_sentence(view, files, sentence):
    payload = [{"name": name, "mimeType": "", "buffer": content} for name, content in files.items()]
    view.page.set_input_files("#train-model-files", payload)
    assert sentence in view.wait_problem()


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
    assert "broken.jpg is not an image that this browser can read; it is left out." in view.log
    assert "Training x3, 4 channels, on JavaScript, from step 0, with 2 photographs" in view.log
    assert "the photographs trained on" in page.inner_text("#train-samples-note")


def test_dropped_photographs_are_trained_on_not_upscaled(view):
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
    page.set_input_files("#train-files", [{"name": "a.png", "mimeType": "image/png", "buffer": b"no"}])
    page.check("input[name=origin][value=page]")
    view.fill(rate=0.005)
    view.click("Start Training")
    view.answer("Replace It")
    assert view.wait_problem() == (
        "No photograph can be used: a.png is not an image that this browser can read; it is left out. "
        "Choose others or a smaller patch."
    )
    view.wait("idle")
    assert view.state == "The training did not start."
    assert page.input_value("#train-rate") == "0.005"
    assert page.is_checked("input[name=origin][value=page]")
    assert page.inner_text("#train-photographs-text") == "1 photograph of your own."


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


def test_absurd_settings_stop_the_start(view):
    page = view.page
    view.fill(rate="fast", epochs=0)
    assert page.inner_text("#train-rate-problem").startswith("Learning rate must be a number")
    assert page.get_attribute("#train-rate", "aria-invalid") == "true"
    view.click("Start Training")
    assert view.problem == "Epochs must be from 1 to 100000, found 0."
    assert page.evaluate("document.activeElement.id") == "train-epochs"
    view.fill()
    page.check("input[name=origin][value=scratch]")
    page.fill("#train-channels", "1000")
    view.click("Start Training")
    assert view.problem == "Channels must be a whole number from 4 to 128, found 1000."
    assert page.inner_text("#train-network-problem") == view.problem
    assert page.get_attribute("#train-channels", "aria-invalid") == "true"
    assert page.evaluate("document.activeElement.id") == "train-channels"
    page.fill("#train-channels", "")
    view.click("Start Training")
    assert view.problem == "Channels must be a whole number from 4 to 128, found nothing."
    page.check("input[name=origin][value=page]")
    assert page.inner_text("#train-network-problem") == ""
    view.click("Restore Defaults")
    assert page.input_value("#train-halveAt") == "200, 300"
    assert page.input_value("#train-rate") == "0.0001"


def test_deleting_removes_the_training_everywhere(view):
    page = view.page
    view.fill()
    view.train(2)
    page.evaluate("() => { window.Kept = Worker; window.Worker = function () { throw Error('none left'); }; }")
    view.click("Upscale with It")
    view.until(lambda: view.state == "The Upscale view could not take the trained model into use.")
    assert page.inner_text("#status") == "none left"
    page.evaluate("() => { window.Worker = Kept; }")
    view.click("Upscale with It")
    view.until(lambda: view.state == "The Upscale view now uses the trained model.")
    assert page.inner_text("[data-origin=page]") == "Trained in this browser"
    page.wait_for_selector("html[data-state=ready]")
    models = "async () => (await (await import('./storage/models.js')).listModels()).map(({ name }) => name)"
    assert page.evaluate(models) == ["Trained in this browser"]
    view.click("Delete Model")
    view.answer("Cancel")
    assert page.is_enabled("[data-do=delete]")
    view.click("Delete Model")
    view.answer("Delete")
    view.until(lambda: view.state == "The trained model was deleted.")
    assert page.is_disabled("[data-do=delete]")
    assert page.evaluate(models) == []
    assert view.worker.evaluate("async () => (await import('./store.js')).loadTraining()") is None
    assert page.is_disabled("[data-do=save]")
    page.reload()
    view.wait("idle")
    assert page.is_hidden("label:has([value=stored])")


def test_wasm_cannot_train_and_the_page_says_so(view):
    view.fill(backend=None)
    assert "WebAssembly cannot train" in view.page.inner_text("#train-form")
    view.train(1)
    assert "WebAssembly cannot train: TensorFlow.js has no gradient of a convolution there." in view.log
    assert view.page.inner_text("[data-figure=backend]") in ("WebGPU", "WebGL", "JavaScript")


def test_without_vgg_features_the_page_trains_with_mae_alone_and_says_so(view):
    view.fill(vggWeight=0.001)
    view.click("Start Training")
    view.wait("training")
    assert "loss: MAE alone" in view.state
    assert "The page has no VGG features (perceptual/model.json, written by span-export --perceptual)." in view.state
    page = view.page
    assert page.evaluate("document.activeElement.dataset.do") == "stop"
    view.click("Stop Training")
    view.wait("idle")
    assert page.evaluate("document.activeElement.dataset.do") == "start"


def test_a_server_that_answers_with_a_page_has_no_vgg_features_either(view):
    view.worker.evaluate(
        """() => {
          const real = fetch;
          self.fetch = (url, options) =>
            String(url).endsWith('perceptual/model.json')
              ? Promise.resolve(new Response('<!doctype html>', { headers: { 'content-type': 'text/html' } }))
              : real(url, options);
        }"""
    )
    view.fill(vggWeight=0.001)
    view.train(1)
    assert "loss: MAE alone" in view.log


def test_charts_are_drawn_with_the_next_frame_however_often_a_training_reports(view):
    page = view.page
    drawn = "() => Chart.getChart('train-loss').data.datasets[0]?.data.length ?? 0"
    page.evaluate("() => { window.held = []; window.requestAnimationFrame = (draw) => held.push(draw); }")
    view.fill()
    view.train(4)
    assert page.evaluate(drawn) == 0
    page.evaluate("() => held.splice(0).forEach((draw) => draw(0))")
    assert page.evaluate(drawn) >= 4


def test_charts_that_nobody_sees_wait(view):
    page = view.page
    drawn = "() => Chart.getChart('train-loss').data.datasets[0].data.length"
    view.fill()
    view.click("Start Training")
    view.until(lambda: page.evaluate(drawn) > 0)
    page.click("#tab-upscale")
    points, step = page.evaluate(drawn), int(page.get_attribute("#train", "data-step"))
    view.until(lambda: int(page.get_attribute("#train", "data-step")) > step + 3)
    assert page.evaluate(drawn) == points
    page.click("#tab-train")
    view.until(lambda: page.evaluate(drawn) > points)
    view.click("Stop Training")
    view.wait("idle")


def test_with_vgg_features_both_parts_of_the_loss_are_shown(view, site, tmp_path):
    from span_export.tfjs_model import write_perceptual

    write_perceptual(tmp_path / "features")
    site.mounts["perceptual"] = tmp_path / "features"
    try:
        view.fill(vggWeight=0.01, patch=4)
        view.train(2)
    finally:
        del site.mounts["perceptual"]
    assert "loss: MAE + 0.01 · VGG" in view.log
    assert ", VGG " in view.log
    shown = "import('/engine/tf.js').then(({ loadChart }) => loadChart()).then((Chart) => Chart.getChart('train-loss')"
    visible = view.page.evaluate(
        f"{shown}.data.datasets.filter(({{ hidden }}) => !hidden).map(({{ label }}) => label))"
    )
    assert visible == ["MAE", "VGG, weighted", "Loss"]
    assert view.page.get_attribute("#train", "data-tensors") == view.page.get_attribute("#train", "data-resting")


def test_full_storage_gets_a_sentence_and_training_goes_on(view, tmp_path):
    full = "() => { IDBObjectStore.prototype.put = () => { throw new DOMException('full', 'QuotaExceededError'); }; }"
    view.worker.evaluate(full)
    view.page.evaluate(full)
    view.fill()
    reached = view.train(3)
    assert "The storage that the browser grants this page is full" in view.log
    assert view.state == f"Stopped at step {reached:,}; Start Training goes on from here."
    assert "is full" in view.problem
    assert load_weights(view.save(tmp_path)).config.channels == 8
    assert view.problem == ""
    assert view.train(1) > reached
    assert "is full" in view.problem  # it is told in each run
    view.click("Upscale with It")
    unkept = "until the page is closed: The browser has no room left to keep this model."
    view.until(lambda: view.state == f"The Upscale view now uses the trained model {unkept}")


def test_losses_do_not_compare_with_those_of_another_function(view):
    view.fill()
    before = view.train(3)
    view.page.fill("#train-vggWeight", "0.5")
    reached = view.train(1)
    stored = view.worker.evaluate("async () => (await (await import('./store.js')).loadTraining()).state")
    assert stored["step"] == reached
    assert 0 < len(stored["recentLosses"]) <= reached - before


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
    view.page.select_option("#train-backend", "cpu")
    assert view.train(1) > reached


def test_saves_while_it_is_prepared_and_while_it_trains(view, tmp_path):
    view.fill("webgl", vggWeight=0.001)
    view.train(1)
    view.worker.evaluate("() => { self.fetch = () => new Promise((resolve) => { self.answer = resolve; }); }")
    view.click("Start Training")
    view.until(lambda: view.worker.evaluate("() => 'answer' in self"))
    with view.saved():
        view.click("Save Model")
        view.worker.evaluate("() => self.answer({ ok: false })")
    assert view.worker.evaluate("() => tf.getBackend()") == "webgl"
    view.wait("training")
    weights = load_weights(view.save(tmp_path))
    assert weights.config.channels == 8
    step = int(view.page.get_attribute("#train", "data-step") or 0)
    view.until(lambda: int(view.page.get_attribute("#train", "data-step")) > step)
    view.click("Stop Training")
    view.wait("idle")
    assert view.problem == ""
    assert view.page.get_attribute("#train", "data-tensors") == view.page.get_attribute("#train", "data-resting")


def test_only_one_tab_trains_at_a_time(view, context):
    view.fill()
    view.click("Start Training")
    view.wait("training")
    other = context.new_page()
    other.goto(view.page.url.split("#")[0] + "#train")
    other.wait_for_selector("#train[data-phase=idle]")
    second = View(other)
    second.click("Start Training")
    assert second.wait_problem() == "A training is running in another tab of this page; stop it there first."
    assert second.state == "The training did not start."
    second.click("Delete Model")
    second.answer("Delete")
    assert second.wait_problem() == "A training is running in another tab of this page; stop it there first."
    view.page.bring_to_front()
    view.click("Stop Training")
    view.wait("idle")
    assert view.problem == ""
    # Each goes on with what the other has stored since.
    other.bring_to_front()
    other.select_option("#train-backend", "cpu")
    reached = second.train(2)
    assert f"from step {view.page.get_attribute('#train', 'data-step')}" in second.log
    other.close()
    view.page.bring_to_front()
    view.page.check("input[name=origin][value=page]")
    view.click("Start Training")
    assert f"replaces the stored training at step {reached:,}" in view.question
    view.answer("Cancel")
    view.wait("idle")


DENY_LOCKS = """() => {
  navigator.locks.request = () => Promise.reject(new DOMException('The request was denied.', 'SecurityError'));
}"""
DENY_STORAGE = """() => {
  indexedDB.open = () => {
    const request = { error: new DOMException('denied') };
    setTimeout(() => request.onerror());
    return request;
  };
}"""


def test_trains_where_the_page_may_neither_lock_nor_store(view):
    """As in a browser that blocks what sites keep."""
    view.worker.evaluate(DENY_LOCKS)
    view.worker.evaluate(DENY_STORAGE)
    view.fill()
    view.click("Start Training")
    assert view.wait_problem().startswith("This browser keeps no data for the page (denied)")
    view.until(lambda: int(view.page.get_attribute("#train", "data-step") or 0) > 1)
    view.click("Stop Training")
    view.wait("idle")
    assert view.state.startswith("Stopped at step")
    assert view.page.is_enabled("[data-do=save]")


def test_what_keeps_a_training_from_starting_is_told_where_nothing_can_be_stored(view):
    view.worker.evaluate(DENY_STORAGE)
    view.fill()
    view.page.set_input_files("#train-files", [{"name": "a.png", "mimeType": "image/png", "buffer": b"no"}])
    view.click("Start Training")
    assert view.wait_problem().startswith("No photograph can be used: a.png is not an image")
    view.wait("idle")
    assert view.page.is_disabled("[data-do=delete]")  # nothing is stored, and nothing damaged


def test_a_training_deleted_in_another_tab_is_stored_again_with_its_photographs(view, save_image):
    page = view.page
    page.set_input_files("#train-files", [str(save_image(make_scene(40, 44, seed), f"{seed}.png")) for seed in (1, 2)])
    view.fill()
    view.train(1)
    page.evaluate("async () => (await import('./train/session/store.js')).deleteTraining()")
    reached = view.train(1)
    page.reload()
    view.wait("idle")
    assert page.get_attribute("#train", "data-step") == str(reached)
    assert page.inner_text("#train-photographs-text").startswith("2 photographs")


def test_leaving_the_page_in_the_middle_of_a_training_is_asked_about(view):
    asked = []
    view.page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    view.fill()
    view.train(1)
    view.page.reload()
    view.wait("idle")
    assert asked == []
    view.page.select_option("#train-backend", "cpu")
    view.click("Start Training")
    view.wait("training")
    view.page.reload()
    view.wait("idle")
    assert asked == ["beforeunload"]


def test_fewer_epochs_than_done_end_at_once(view):
    view.fill(epochs=2, stepsPerEpoch=2)
    view.click("Start Training")
    view.until(lambda: view.state == "Finished after 4 steps.")
    assert view.log.count("Step 4, epoch 2 of 2") == 1
    view.wait("idle")
    view.fill(epochs=1, stepsPerEpoch=2)
    view.forget_state()
    view.click("Start Training")
    view.until(lambda: view.state == "Finished after 4 steps.")
    view.wait("idle")
    assert view.page.inner_text("[data-figure=step]") == "4 of 4"


@pytest.fixture
def damaged(view):
    """A view whose stored training is damaged."""
    view.fill()
    view.train(1)
    view.page.evaluate(
        """() => new Promise((resolve) => {
            indexedDB.open('span-training').onsuccess = ({ target: { result: database } }) => {
                const transaction = database.transaction('state', 'readwrite');
                transaction.objectStore('state').put({ format: 1, config: null }, 'current');
                transaction.oncomplete = () => { database.close(); resolve(); };
            };
        })"""
    )
    view.page.reload()
    assert "The training stored in this browser cannot be used" in view.wait_problem()
    return view


def test_a_damaged_stored_training_gets_a_sentence_and_can_be_deleted(damaged):
    damaged.click("Delete Model")
    assert damaged.question.startswith("The damaged training")
    damaged.answer("Delete")
    damaged.until(lambda: "was deleted" in damaged.state)
    damaged.fill()
    assert damaged.train(1) >= 1


def test_a_training_that_replaced_a_damaged_one_is_not_called_damaged(damaged):
    damaged.fill()
    damaged.train(1)
    damaged.click("Delete Model")
    assert damaged.question.startswith("The trained model, its photographs and its progress")
    damaged.answer("Cancel")


def test_new_samples_leave_the_focus_where_it_is(view):
    view.page.evaluate(
        """async () => {
            const { showSamples } = await import('./train/view/sample-strip.js');
            const image = { width: 1, height: 1, data: new Uint8Array(3) };
            const images = { lr: image, bicubic: image, span: image, hr: image };
            const sample = { name: 'photo', bicubicPsnr: 1, psnr: 1, ...images };
            const event = { samples: [sample, sample], step: 1, psnr: 1, bicubic: 1 };
            window.arrive = () => showSamples(document.querySelector('#train'), event, true);
            document.querySelector('#train-samples').hidden = false;
            arrive();
        }"""
    )
    view.page.click(".train-pick >> nth=1")
    for _ in range(2):
        focused = view.page.evaluate("() => [document.activeElement.textContent, document.activeElement.ariaPressed]")
        assert focused == ["2", "true"]
        view.page.evaluate("() => arrive()")


def test_a_lost_gpu_gets_a_sentence_and_training_goes_on_from_the_kept_state(view):
    lose = "tf.backend().gpgpu.gl.getExtension('WEBGL_lose_context').loseContext()"
    view.fill("webgl")
    view.train(2)
    view.worker.evaluate(f"() => {lose}")  # while nothing runs
    view.click("Start Training")
    view.wait("training")
    view.worker.evaluate(f"() => {lose}")
    problem = view.wait_problem()
    assert "WebGL ran out of memory or was lost" in problem
    kept = int(view.page.get_attribute("#train", "data-saved"))
    assert f"it goes on from step {kept}" in problem
    view.wait("idle")
    view.worker.evaluate("() => { performance.now = () => 0; }")  # or the state might be read before it is asked for
    view.click("Start Training")
    view.wait("training")
    view.until(lambda: int(view.page.get_attribute("#train", "data-step")) > kept)
    # While the state is read, as it is for Save Model and from time to time.
    view.worker.evaluate(
        f"""async () => {{
            const {{ Trainer }} = await import('./step.js');
            const {{ snapshot }} = Trainer.prototype;
            Trainer.prototype.snapshot = function () {{
                {lose};
                return snapshot.call(this);
            }};
        }}"""
    )
    view.click("Save Model")
    view.wait("idle")
    assert "WebGL ran out of memory or was lost" in view.problem
    assert view.page.inner_text("[data-figure=backend]") == "WebGL"
    assert "Training uses" not in view.log


def test_repeated_bad_steps_stop_with_advice(view):
    view.fill(rate=0.1)
    view.click("Start Training")
    view.wait("training")
    view.worker.evaluate(
        """async () => {
            const { PatchSource } = await import('./patches.js');
            const { get } = PatchSource.prototype;
            PatchSource.prototype.get = function (step) {
                const batch = get.call(this, step);
                batch.hr.fill(NaN);
                return batch;
            };
        }"""
    )
    problem = view.wait_problem()
    assert "for 50 steps in a row the loss or gradient was not a finite number, or the loss leapt" in problem
    view.wait("idle")
    for count in (10, 20, 30, 40):
        assert f"or the loss leapt. After {count} in a row the averaged weights took over." in view.log


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_the_view_with_curves_and_samples_is_accessible(page, open_page, photographs, scheme, width):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    page.add_init_script(path=AXE)
    view = View(open_page("x2", "wasm")).open()
    view.fill(rate="much")
    view.click("Start Training")
    assert view.problem  # sentences are part of what is audited
    view.fill()
    view.train(1)
    found = page.evaluate(
        """async () => (await axe.run()).violations.map(({ id, impact, nodes }) =>
            [id, impact, nodes.map(({ failureSummary }) => failureSummary)])"""
    )
    assert [violation for violation in found if violation[1] in ("serious", "critical")] == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page.problems[:] = [problem for problem in page.problems if "404" not in problem]
