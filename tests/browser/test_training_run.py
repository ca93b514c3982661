"""A training in the page: backends, the loss, lost GPUs and bad steps."""


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
