"""Exported models in floating point: TF.js's own ``loadLayersModel`` and the page's network against Python.

``pytest --junitxml=FILE -o junit_family=xunit1`` writes the differences found into FILE.
"""

import base64
import json
import re

import numpy as np
import pytest
from PIL import Image

from helpers.browser import BACKENDS, PAGE, library, open_blank
from span_export import golden
from span_export.tfjs_model import write_model

VENDORED = ["tf-core", "tf-layers", "tf-backend-cpu", "tf-backend-webgl", "tf-backend-webgpu", "tf-backend-wasm"]
CDN = "https://cdn.jsdelivr.net/npm/"
ROUNDING = 1e-5
"""Difference allowed in proportion to the largest output: random weights at input range 255 give hundreds."""
PHOTO_TOLERANCE = 1e-3
"""Largest absolute difference allowed on a photograph, values in [0, 1]: a quarter of an 8-bit level."""

PREDICT = """
async ([address, backend, pixels, [height, width]]) => {
  tf.wasm.setWasmPaths('/vendor/');
  if (!await tf.setBackend(backend)) throw new Error(`${backend} did not start`);
  const model = await tf.loadLayersModel(address);
  const x = tf.tensor4d(Float32Array.from(pixels, (level) => level / 255), [1, height, width, 3]);
  const y = model.predict(x);
  return [tf.getBackend(), y.shape, [...await y.data()]];
}"""

RUN = """
const [address, name, pixels, [height, width]] = given;
const artifacts = await model.fetchModel(address);
const { tf: t } = await backend.startBackend(name);
const net = network.createNetwork(t, artifacts, model.readConfig(artifacts));
const y = net.run(net.input({ data: Uint8Array.from(pixels), height, width, stride: 3 }));
return [t.getBackend(), y.shape, [...await y.data()]];"""


def load_layers_model(page, name: str, backend: str, pixels: np.ndarray) -> np.ndarray:
    """What ``tf.loadLayersModel`` makes of the export, with TF.js's own files and no module of the page."""
    for library_file in VENDORED if page.evaluate("!globalThis.tf") else ():
        page.add_script_tag(url=f"/vendor/{library_file}.es2017.min.js")
    return received(backend, page.evaluate(PREDICT, given(name, backend, pixels)))


def page_network(page, name: str, backend: str, pixels: np.ndarray) -> np.ndarray:
    """What the page's ``network.js`` makes of the export."""
    return received(backend, library(page, RUN, *given(name, backend, pixels)))


def given(name: str, backend: str, pixels: np.ndarray) -> list:
    return [f"/exports/{name}/model.json", backend, pixels.ravel().tolist(), list(pixels.shape[:2])]


def received(backend: str, answer) -> np.ndarray:
    used, shape, values = answer
    assert used == backend
    return np.float32(values).reshape(shape)[0]


@pytest.fixture(scope="module")
def exports(site, weights, tmp_path_factory):
    """Folder with exports by name: small networks, some quantised, and the bundled one; the site has it too."""
    from span_keras.checkpoints import load_weights

    folder = tmp_path_factory.mktemp("exports")
    for name in ("x2", "x3-official"):
        for mode in ("none", "float16", "uint8"):
            write_model(weights[name], folder / f"{name}-{mode}", mode)
    write_model(load_weights("bundled:x4"), folder / "bundled-x4")
    site.mounts["exports"] = folder
    return folder


def read_golden(folder):
    description = json.loads((folder / "model.json").read_text())
    return golden.decode(description["userDefinedMetadata"]["span"]["golden"])


@pytest.mark.parametrize("name", ["x2-none", "x3-official-none"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_tfjs_itself_gives_the_golden(backend, name, exports, shared_blank, record_property):
    tile, expected, tolerance = read_golden(exports / name)
    difference = np.abs(load_layers_model(shared_blank, name, backend, tile) - expected).max()
    record_property("difference", float(difference))
    assert expected.std() > 0.05
    assert difference <= tolerance
    assert difference <= ROUNDING * max(1, np.abs(expected).max())


@pytest.mark.parametrize("mode", ["float16", "uint8"])
@pytest.mark.parametrize("name", ["x2", "x3-official"])
def test_tfjs_itself_reads_quantized_weights(name, mode, exports, shared_blank, record_property):
    """The golden was computed from the weights as they were written, so the quantisation costs no difference here."""
    tile, expected, tolerance = read_golden(exports / f"{name}-{mode}")
    manifest = json.loads((exports / f"{name}-{mode}" / "model.json").read_text())["weightsManifest"]
    assert mode in {spec.get("quantization", {}).get("dtype") for group in manifest for spec in group["weights"]}
    difference = np.abs(load_layers_model(shared_blank, f"{name}-{mode}", "wasm", tile) - expected).max()
    record_property("difference", float(difference))
    assert difference <= tolerance
    assert difference <= ROUNDING * max(1, np.abs(expected).max())


@pytest.fixture(scope="module")
def photograph():
    """``side -> (side, side, 3) uint8``: the middle of a photograph."""
    image = np.asarray(Image.open(PAGE.parent / "span_keras" / "bundled" / "photos" / "val" / "cat.jpg").convert("RGB"))

    def crop(side: int) -> np.ndarray:
        top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
        return image[top : top + side, left : left + side]

    return crop


@pytest.fixture(scope="module")
def upscaler():
    from span_keras.inference.upscaler import Upscaler

    return Upscaler("bundled:x4")


SIDES = {"webgpu": 12, "webgl": 16, "wasm": 24, "cpu": 16}
"""Pixels of the photograph that a backend gets: the software GPU takes a second for few."""


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("compute", [load_layers_model, page_network])
def test_a_photograph_equals_pythons(compute, backend, exports, blank, photograph, upscaler, record_property):
    """The bundled network, exported, against ``Upscaler``: floats, not rounded levels."""
    pixels = photograph(SIDES[backend])
    expected = upscaler.upscale_rgb(np.float32(pixels) / np.float32(255))
    result = compute(blank, "bundled-x4", backend, pixels)
    difference = np.abs(result - expected).max()
    record_property("difference", float(difference))
    assert expected.std() > 0.02
    assert result.shape == expected.shape
    assert difference <= PHOTO_TOLERANCE


@pytest.fixture
def no_vendor(context):
    """``(altered="") -> page`` of a site without vendor/, while the CDN holds the packages, one file of them altered.

    The page lists in ``asked`` what the CDN was asked for.
    """

    def open_page(altered: str = ""):
        page = context.new_page()
        page.asked = []

        def answer(route):
            name = route.request.url.split("/")[-1]
            page.asked.append(route.request.url.removeprefix(CDN))
            body = (PAGE / "vendor" / re.sub(r"\.mjs$", ".js", name)).read_bytes()
            kind = "application/wasm" if name.endswith(".wasm") else "text/javascript"
            headers = {"Access-Control-Allow-Origin": "*", "Content-Type": kind}
            route.fulfill(body=body + b"\n" if name == altered else body, headers=headers)

        context.route("**/vendor/**", lambda route: route.fulfill(status=404))
        context.route(f"{CDN}**", answer)
        return page

    return open_page


def wait(page, address: str):
    page.goto(address)
    page.wait_for_selector("html[data-state=ready], html[data-state=error]")


def test_without_vendored_files_the_page_takes_the_pinned_packages(
    no_vendor, site, scene, save_image, upscale_in_page, python_upscale
):
    page = no_vendor()
    wait(page, f"{site.url}/?model=/models/x2/model.json&backend=wasm")
    assert page.get_attribute("html", "data-backend") == "wasm"
    result = upscale_in_page(page, save_image(scene))
    assert np.abs(result.astype(int) - python_upscale("x2", scene)).max() <= 1
    pinned = re.findall(r"path: '(\S+)'", (PAGE / "engine/libraries.js").read_text())
    assert set(page.asked) <= set(pinned)
    names = [path.split("/")[-1].split(".")[0] for path in page.asked]
    assert names == ["tf-core", "tf-backend-wasm", "tfjs-backend-wasm-threaded-simd", "pako_deflate"]


def test_altered_libraries_are_refused(no_vendor, site):
    page = no_vendor(altered="tf-core.es2017.min.js")
    wait(page, f"{site.url}/?model=/models/x2/model.json&backend=cpu")
    assert page.inner_text("#status") == (
        "No backend can run this model here (JavaScript: @tensorflow/tfjs-core@4.22.0/dist/tf-core.es2017.min.js could "
        "not be loaded; check the connection, or put the file into vendor/)."
    )


def test_an_altered_wasm_file_is_refused(no_vendor, site):
    page = no_vendor(altered="tfjs-backend-wasm-simd.wasm")
    open_blank(page, site)
    body = """
        const eng = new engine.Engine();
        const artifacts = await model.fetchModel('/models/x2/model.json');
        return (await eng.load(artifacts, { backend: 'wasm' })).status;"""
    status = library(page, body)
    assert status["backend"] == "cpu"
    assert status["demoted"] == [
        {
            "backend": "wasm",
            "reason": "@tensorflow/tfjs-backend-wasm@4.22.0/dist/tfjs-backend-wasm-simd.wasm could not be loaded; "
            "check the connection, or put the file into vendor/",
        }
    ]


def test_a_documents_own_script_is_checked_too(no_vendor, site):
    """Outside a worker the libraries are script elements, which the browser checks against the hash."""
    page = no_vendor(altered="tf-layers.es2017.min.js")
    open_blank(page, site)
    body = """
        const loaded = await tf.loadTf(['cpu']);
        return [loaded.version_core, await tf.loadTf(['layers']).catch((error) => error.message)];"""
    assert library(page, body) == [
        "4.22.0",
        "@tensorflow/tfjs-layers@4.22.0/dist/tf-layers.es2017.min.js could not be loaded; "
        "check the connection, or put the file into vendor/.",
    ]


def config_of(page, description: dict, binary: bytes):
    """``readConfig`` of a model's content, or the message of what it threw."""
    return library(
        page,
        """
        const weights = Uint8Array.from(atob(given[1]), (letter) => letter.charCodeAt(0));
        const files = [new File([JSON.stringify(given[0])], 'model.json'), new File([weights], 'group1-shard1of1.bin')];
        try {
          return model.readConfig(await (await import('/checkpoints/model-files.js')).readModelFiles(files));
        } catch (error) { return `${error.name}: ${error.message}` }""",
        description,
        base64.b64encode(binary).decode(),
    )


def read_export(folder) -> tuple[dict, bytes]:
    return json.loads((folder / "model.json").read_text()), (folder / "group1-shard1of1.bin").read_bytes()


@pytest.mark.parametrize("dtype", ["float16", "uint8"])
@pytest.mark.parametrize("name", ["moving_mean", "moving_variance"])
def test_a_quantized_normalization_is_refused(name, dtype, models, shared_blank):
    description, binary = read_export(models / "x3-official")
    start, specs = 0, description["weightsManifest"][0]["weights"]
    for spec in specs:
        size = 4 * int(np.prod(spec["shape"]))
        if spec["name"] == f"normalize/{name}":
            spec["quantization"] = {"dtype": dtype, "min": 0, "scale": 1, "original_dtype": "float32"}
            short = {"float16": 6, "uint8": 3}[dtype]
            binary = binary[: start + short] + binary[start + size :]
            break
        start += size
    assert config_of(shared_blank, description, binary) == (
        f"ModelError: Expected normalize/{name} in float32, found {dtype}; write the model with span-export, "
        "which does not quantise it."
    )


def test_integer_normalization_is_refused(models, shared_blank):
    description, binary = read_export(models / "x3-official")
    (spec,) = [s for s in description["weightsManifest"][0]["weights"] if s["name"] == "normalize/moving_mean"]
    spec["dtype"] = "int32"
    message = config_of(shared_blank, description, binary)
    assert message.startswith("ModelError: Expected normalize/moving_mean in float32, found int32;")


@pytest.mark.parametrize("key", ["alpha", "negative_slope"])
def test_another_slope_is_refused(key, models, shared_blank):
    """As Python refuses it: the network computes SPAN's slope only."""
    description, binary = read_export(models / "x2")
    layers = description["modelTopology"]["model_config"]["config"]["layers"]
    (layer,) = [layer for layer in layers if layer["config"]["name"] == "block_2_act1"]
    del layer["config"]["alpha"]
    layer["config"][key] = 0.1 + 1e-8  # float32's rounding of it is 0.1 too
    assert config_of(shared_blank, description, binary)["variant"] == "span"
    layer["config"][key] = 0.2
    assert config_of(shared_blank, description, binary) == (
        "ModelError: Expected LeakyReLU with slope 0.1, found 0.2 in block_2_act1; use a model that span-export wrote."
    )
