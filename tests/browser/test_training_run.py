"""A training in the page: backends, the loss, lost GPUs and bad steps."""


def test_webassembly_trains(view):
    view.fill(backend="wasm")
    view.train(2)
    assert view.page.inner_text("[data-figure=backend]") == "WebAssembly"


def test_software_in_place_of_a_gpu_is_passed_over(view):
    """Where nothing is asked for; it is slower than WebAssembly."""
    view.fill(backend="auto")
    view.train(1)
    assert view.page.inner_text("[data-figure=backend]") == "WebAssembly"


def test_stop_does_not_wait_for_a_long_step(view):
    """The thread hears nothing in a step; what it kept before goes on."""
    view.fill(backend="wasm")
    reached = view.train(2)
    view.click("Start Training")
    view.wait("training")
    view.hang()
    view.click("Stop Training")
    view.wait("idle")
    assert view.state == "Stopped in the middle of a step; Start Training goes on from the last one kept."
    assert int(view.page.get_attribute("#train", "data-step")) >= reached
    assert view.train(1) > reached


def test_a_training_that_nothing_stores_survives_a_stop_in_a_step(view):
    view.worker.evaluate(
        "() => { IDBFactory.prototype.open = () => { throw new DOMException('No.', 'SecurityError'); }; }"
    )
    view.fill(backend="wasm")
    view.click("Start Training")
    view.until(lambda: "keeps no data" in view.problem)
    view.hang()
    view.click("Stop Training")
    view.wait("idle")
    assert view.state.startswith("Stopped in the middle of a step")
    assert view.page.inner_text("[data-origin=stored]").startswith("x2, 8 channels, at step ")


def test_a_step_too_long_to_be_timed_is_asked_about(view):
    view.page.evaluate(
        """() => {
          const { setTimeout: wait } = window;
          window.setTimeout = (work, limit, ...rest) => wait(work, limit === 20_000 ? 400 : limit, ...rest);
        }"""
    )
    view.worker.evaluate(
        """() => {
          const { postMessage } = self;
          self.postMessage = (message, ...rest) => {
            postMessage.call(self, message, ...rest);
            if (message.event === 'timing') for (;;);
          };
        }"""
    )
    view.fill(backend="wasm")
    view.click("Start Training")
    assert view.question.startswith("A step takes more than 20 s here, even with a small patch. The size Quick trains")
    view.answer("Start Anyway")
    view.wait("training")


def test_a_training_that_takes_long_is_asked_about_before(view):
    view.worker.evaluate(
        """() => {
          const { postMessage } = self;
          self.postMessage = (message, ...rest) => {
            if (message.event === 'timed') message.detail.milliseconds = 120_000;
            postMessage.call(self, message, ...rest);
          };
        }"""
    )
    view.fill(backend="wasm", epochs=1, stepsPerEpoch=50)
    view.click("Start Training")
    assert view.question == (
        "This device needs about 2 min per step on WebAssembly: 100 min for 50 steps. The size Quick trains a new ×2 "
        "network of 16 channels and 2 blocks, with patches of 32 pixels."
    )
    view.answer("Take Quick")
    view.wait("idle")
    page = view.page
    assert view.state == "Start Training begins with these settings."
    assert page.is_checked("input[name=origin][value=scratch]")
    values = [page.input_value(f"#train-{key}") for key in ("scale", "channels", "blocks", "patch", "vggWeight")]
    assert values == ["2", "16", "2", "32", "0"]
    page.fill("#train-patch", "8")  # the photographs are small
    view.click("Start Training")
    view.answer("Start Anyway")
    view.wait("training")


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


def test_losses_do_not_compare_with_those_of_another_function(view):
    view.fill()
    before = view.train(3)
    view.page.fill("#train-vggWeight", "0.5")
    reached = view.train(1)
    stored = view.worker.evaluate("async () => (await (await import('./store.js')).loadTraining()).state")
    assert stored["step"] == reached
    assert 0 < len(stored["recentLosses"]) <= reached - before


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
