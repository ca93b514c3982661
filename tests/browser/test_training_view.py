"""The training view in the real page: start, stop, go on, save, load, and what it shows."""

from pathlib import Path

import pytest

from helpers.browser import AXE, FIT, hook_workers, until
from helpers.training_view import View
from helpers.weights import random_weights
from span_export.export import export_model
from span_keras.checkpoints import load_weights
from span_keras.network.config import SpanConfig


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
    assert page.input_value("#train-backend") == "webgl"
    again = view.train(2)
    assert page.inner_text("[data-figure=backend]") == "WebGL"
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


def test_how_long_is_chosen_by_one_of_three_sizes(view):
    """Rare settings fold; what is wrong among them unfolds them."""
    page = view.page
    values = "() => ['epochs', 'patch'].map((key) => document.querySelector(`#train-${key}`).value)"
    assert page.is_checked("input[name=size][value=long]")  # the defaults of span-train
    assert page.get_by_role("group", name="How long").get_by_role("radio").count() == 3
    page.focus("input[name=size][value=long]")
    page.keyboard.press("ArrowUp")
    assert page.evaluate(values) == ["100", "48"]
    assert page.is_checked("input[name=size][value=usual]")
    page.click("text=A small ×2 network")
    assert page.evaluate(values) == ["20", "32"]
    assert page.is_checked("input[name=origin][value=scratch]")
    page.fill("#train-epochs", "0")
    assert page.locator("input[name=size]:checked").count() == 0
    page.click("#train-more summary")
    assert page.is_hidden("#train-epochs")
    view.click("Start Training")
    assert page.is_visible("#train-epochs")
    page.fill("#train-epochs", "20")
    assert page.is_checked("input[name=size][value=quick]")


def test_begins_with_the_size_that_this_device_carries(page, open_page, photographs):
    open_page("x2", "wasm")
    page.click("#tab-train")
    note = page.locator("#train-size-note")
    until(page, lambda: "is chosen." in note.inner_text() or "fast enough" in note.inner_text(), note.inner_text)
    chosen = page.inner_text("label:has(input[name=size]:checked) strong")
    said = note.inner_text()
    assert f"so {chosen} is chosen." in said or said == "This device is fast enough for Long on WebAssembly."
    page.check("input[name=size][value=usual]")
    assert note.inner_text() == ""
    assert page.locator("input[name=size]:checked").input_value() == "usual"


@pytest.mark.parametrize("chosen", ["", "long"])
def test_a_size_that_the_user_chose_is_kept(page, open_page, photographs, chosen):
    page.add_init_script("window.held = [];")
    hook_workers(page, outgoing="({ method }, pass) => (method === 'fitSize' ? held.push(pass) : pass())")
    fit = "{ size: 'quick', backend: 'wasm', beyond: { size: 'usual', milliseconds: 18e6 } }"
    page.route(
        "**/train/session/timing.js",
        lambda route: route.fulfill(
            content_type="text/javascript", body=f"export const timeStep = null, fitSize = async () => ({fit});"
        ),
    )
    open_page("x2", "wasm")
    page.click("#tab-train")
    until(page, lambda: page.evaluate("held.length"))
    assert page.is_checked("input[name=size][value=long]")
    assert page.inner_text("#train-size-note") == "Timing what this device can carry…"
    if chosen:
        page.check("input[name=size][value=usual]")
        page.check(f"input[name=size][value={chosen}]")
    page.evaluate("held.shift()()")
    if chosen:
        assert page.inner_text("#train-size-note") == ""
        page.wait_for_function("() => document.querySelector('#train').dataset.phase === 'idle'")
        page.wait_for_timeout(300)
        assert page.is_checked("input[name=size][value=long]")
        return
    said = "Usual would take about 5 h on WebAssembly here, so Quick is chosen."
    until(page, lambda: page.inner_text("#train-size-note") == said)
    assert page.is_checked("input[name=size][value=quick]")
    assert page.is_checked("input[name=origin][value=scratch]")


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
    page.check("input[name=size][value=long]")
    assert page.input_value("#train-halveAt") == "200, 300"
    assert page.input_value("#train-rate") == "0.0001"


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


def test_saves_for_the_tools_of_pytorch(view, tmp_path):
    page = view.page
    view.fill()
    page.check("input[name=origin][value=scratch]")
    for key, value in {"channels": "4", "blocks": "2"}.items():
        page.fill(f"#train-{key}", value)
    page.select_option("#train-variant", "official")
    view.train(1)
    page.get_by_label("Format of the saved model").select_option("pth")
    view.click("Save Model")
    assert view.wait_problem() == (
        "This network has 2 blocks, but the PyTorch tools for SPAN expect 6. Save it in the format of TensorFlow.js."
    )
    page.check("input[name=origin][value=scratch]")
    page.fill("#train-blocks", "6")
    view.click("Start Training")
    view.answer("Replace It")
    view.wait("training")
    for suffix in (".pth", ".safetensors"):
        page.select_option("#train-format", suffix[1:])
        with page.expect_download() as download:
            view.click("Save Model")
        name = download.value.suggested_filename
        assert name.startswith("span-x4-step-")
        assert name.endswith(suffix)
        download.value.save_as(tmp_path / name)
        view.until(lambda name=name: view.state == f"Saved {name}.")
        config = load_weights(tmp_path / name).config
        assert (config.scale, config.channels, config.blocks, config.variant) == (4, 4, 6, "official")
    view.click("Stop Training")
    view.wait("idle")


def test_leaving_the_page_in_the_middle_of_a_training_is_asked_about(view):
    asked = []
    view.page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    view.fill()
    view.train(1)
    view.page.reload()
    view.wait("idle")
    assert asked == []
    view.unfold()
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
    page.set_viewport_size({"width": 320, "height": 800})
    page.evaluate("() => void (document.documentElement.style.fontSize = '200%')")
    until(page, lambda: page.evaluate(FIT) == [], lambda: page.evaluate(FIT))  # charts follow with the next frames
    page.problems[:] = [problem for problem in page.problems if "404" not in problem]
