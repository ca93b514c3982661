"""Choosing models and backends in the page."""

import json

from helpers.browser import PAGE, difference, hook_workers, make_scene, until


def test_models_from_everywhere(page, models, site):
    page.goto(f"{site.url}/?backend=wasm")
    page.wait_for_selector("html[data-state=ready]")
    assert page.text_content("#settings-button").strip() == "x2, details"  # the first of models.json
    page.click("#settings-button")
    page.wait_for_selector("#model option:text('x3-official')", state="attached")
    page.select_option("#model", label="x3-official")
    page.wait_for_selector("#status:has-text('enlarges 3 times')")
    page.set_input_files("#model-input", [str(path) for path in (models / "x2").iterdir()])
    page.wait_for_selector("#status:has-text('enlarges 2 times')")
    page.set_input_files("#model-input", str(models / "x2" / "model.json"))
    page.wait_for_selector("#problem:has-text('choose both files together')")
    page.fill("#model-url", f"{site.url}/models/x3-official/model.json")
    page.click("#model-fetch")
    page.wait_for_selector("#status:has-text('enlarges 3 times')")
    assert page.inner_text("#problem") == ""
    page.fill("#model-url", "models/none/model.json")
    page.press("#model-url", "Enter")
    page.wait_for_selector("#problem:has-text('was not found')")
    page.fill("#model-url", "models/x2/model.json")
    page.press("#model-url", "Enter")
    page.wait_for_selector("#status:has-text('enlarges 2 times')")
    page.click("#settings button:text('Done')")
    page.wait_for_selector("#settings", state="hidden")
    page.click("#settings-button")
    page.problems[:] = [text for text in page.problems if "404" not in text]
    page.select_option("#backend", "cpu")
    page.wait_for_selector("html[data-backend=cpu][data-state=ready]")


def test_a_model_still_under_way_gives_way_to_the_next(page, site):
    asked = []
    page.route("**/models/x2/model.json", lambda route: asked.append(route))  # never answered
    page.goto(f"{site.url}/?backend=wasm")
    until(page, lambda: asked)
    page.click("#settings-button")
    page.wait_for_selector("#model option:text('x3-official')", state="attached")
    page.select_option("#model", label="x3-official")
    page.wait_for_selector("#status:has-text('enlarges 3 times')")
    # WebAssembly has more, for threads.
    until(page, lambda: sum(worker.url.endswith("/worker.js") for worker in page.workers) == 1)


def test_a_backend_chosen_before_the_list_of_models_is_there(page, site, models):
    asked = []
    page.route("**/models.json", lambda route: asked.append(route))
    page.goto(site.url)
    page.click("#settings-button")
    page.select_option("#backend", "cpu")
    page.wait_for_selector("html[data-state=error]")  # there is no model.json beside this page
    for route in asked:
        route.fulfill(path=models / "models.json")
    page.wait_for_selector("html[data-backend=cpu][data-state=ready]")
    assert page.text_content("#chip-model") == "x2"
    page.problems[:] = [text for text in page.problems if "404" not in text]


def test_absurd_values_in_the_address_are_passed_over(open_page, save_image, upscale_in_page, python_upscale):
    page = open_page("x2", "nonsense", tile=28.5)
    pixels = make_scene(40, 44)
    assert difference(upscale_in_page(page, save_image(pixels)), python_upscale("x2", pixels)) <= 1
    page.click("#settings-button")
    page.wait_for_selector("#model option", state="attached")
    assert page.input_value("#backend") == "auto"


def test_a_wrong_model_file_does_not_disturb_the_model_that_is_read(open_page, models):
    page = open_page("x2", "wasm")
    page.evaluate(
        """() => {
          const { text } = Blob.prototype;
          const opened = new Promise((resolve) => (window.open_gate = resolve));
          Blob.prototype.text = async function () {
            await opened;
            return text.call(this);
          };
        }"""
    )
    files = sorted((models / "x3-official").iterdir(), key=lambda path: path.suffix)
    page.click("#settings-button")
    page.set_input_files("#model-input", [str(path) for path in files])
    page.set_input_files("#model-input", str(files[0]))
    page.wait_for_selector("#status:has-text('Choose one model.json together with its .bin files')")
    page.evaluate("open_gate()")
    page.wait_for_selector("#status:has-text('enlarges 3 times')")
    assert page.inner_text("#chip-model") == "model.json"


def test_the_model_chosen_last_stays_where_another_is_read_later(open_page, models):
    page = open_page("x2", "wasm")
    page.evaluate(
        """() => {
          const { arrayBuffer } = Blob.prototype;
          const opened = new Promise((resolve) => (window.open_gate = resolve));
          Blob.prototype.arrayBuffer = async function () {
            Blob.prototype.arrayBuffer = arrayBuffer; // the first to be read waits
            window.waiting = true;
            await opened;
            const read = await arrayBuffer.call(this);
            setTimeout(() => (window.was_read = true));
            return read;
          };
        }"""
    )
    page.click("#settings-button")
    page.set_input_files("#model-input", [str(path) for path in (models / "x3-official").iterdir()])
    page.wait_for_function("() => window.waiting")
    page.set_input_files("#model-input", [str(path) for path in (models / "x2").iterdir()])
    page.wait_for_selector("html[data-state=ready] #chip-model:has-text('model.json')")
    page.evaluate("open_gate()")
    page.wait_for_function("() => window.was_read")
    assert page.get_attribute("html", "data-state") == "ready"
    assert "enlarges 2 times" in page.inner_text("#status")


def test_a_model_that_is_not_there(page, site):
    page.goto(f"{site.url}/?model=/models/none/model.json")
    page.wait_for_selector("html[data-state=error]")
    address = f"{site.url}/models/none/model.json"
    assert page.inner_text("#status") == f"{address} was not found (status 404); check the address."
    page.problems[:] = [text for text in page.problems if "404" not in text]


def test_an_address_of_a_folder_that_holds_a_page(page, site):
    page.route(f"{site.url}/somewhere/", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
    page.goto(f"{site.url}/?model=/somewhere/")
    page.wait_for_selector("html[data-state=error]")
    assert page.inner_text("#status").startswith(f"{site.url}/somewhere/ is a web page; expected the model.json")


TRAINING = """
export const mountTraining = (root, context) => {
  Object.assign(window, { context, names: [context.getName()] });
  return { show() {}, hide() {}, modelChanged: (name) => names.push(name) };
};"""


def test_views_that_cannot_be_loaded_and_models_that_cannot_be_used(page, site):
    """The training view can be opened again; it hears of every model in use, and whether the page could use its own."""
    # Some servers answer with their start page where there is no file.
    page.route("**/models.json", lambda route: route.fulfill(path=PAGE / "index.html"))
    page.route("**/train/view/view.js", lambda route: route.abort())
    page.goto(f"{site.url}/?backend=wasm")
    page.wait_for_selector("html[data-state=error]")
    assert page.inner_text("#status") == f"{site.url}/model.json was not found (status 404); check the address."
    page.click("#tab-train")
    page.wait_for_selector("#status:has-text('train/view/view.js')")
    page.route("**/train/view/view.js", lambda route: route.fulfill(body=TRAINING, content_type="text/javascript"))
    page.click("#tab-train")
    page.wait_for_function("() => window.context")
    used = page.evaluate(
        """async () => {
          const { fetchModel } = await import('/network/model.js');
          const artifacts = await fetchModel('/models/x2/model.json');
          const broken = { ...artifacts, weightSpecs: [] };
          const good = await context.setModel({ name: 'good', artifacts });
          return [good, await context.setModel({ name: 'bad', artifacts: broken })];
        }"""
    )
    assert used == [True, False]
    assert page.evaluate("() => names") == ["Default model", "good", "good"]
    assert page.inner_text("#status").endswith(" good stays in use.")
    page.problems.clear()  # the browser reports what was not there


def test_automatic_choice(open_page):
    """This machine has no GPU; the page says so, and remembers it."""
    page = open_page("x2", "auto")
    assert page.get_attribute("html", "data-backend") == "wasm"
    page.click("#settings-button")
    page.wait_for_selector("#reasons:has-text('WebGPU is not used: there is no GPU, only software in its place')")
    assert json.loads(page.evaluate("localStorage.getItem('span-backend')"))["backend"] == "wasm"
    page.reload()
    page.wait_for_selector("html[data-state=ready]")
    until(page, lambda: len([worker for worker in page.workers if worker.url.endswith("/worker.js")]) == 1)
    page.click("#settings-button")
    assert page.inner_text("#reasons") == "WebAssembly is in use, in tiles of 256 × 256 pixels."


def test_a_gpu_that_proves_faster_takes_over(page, site, save_image, upscale_in_page, python_upscale):
    """Told of this machine's WebAssembly, in a second worker that is really ready."""
    hook_workers(
        page,
        outgoing="""(message, pass) => {
          if (message.method === 'rival') {
            const { artifacts } = message.argument;
            Object.assign(message, { method: 'load', argument: { artifacts, options: { backend: 'wasm' } } });
          }
          pass();
        }""",
        incoming="""(message, pass) => {
          if (message.result?.config) message.result.isFaster = true;
          pass();
        }""",
    )
    page.goto(f"{site.url}/?model=/models/x2/model.json")
    page.wait_for_selector("#status:has-text('WebAssembly proved faster than WebAssembly and is used now.')")
    until(page, lambda: len([worker for worker in page.workers if worker.url.endswith("/worker.js")]) == 1)
    pixels = make_scene(20, 24)
    assert difference(upscale_in_page(page, save_image(pixels)), python_upscale("x2", pixels)) <= 1


def test_offline_the_picker_offers_what_was_used(open_page):
    page = open_page("x2", "wasm")
    page.evaluate("Object.defineProperty(navigator, 'onLine', { value: false })")
    page.click("#settings-button")
    page.wait_for_selector("#model option:text('x3-official (needs a connection)'):disabled", state="attached")
    page.wait_for_selector("#model option:text('x4-ch48 (needs a connection)'):disabled", state="attached")
