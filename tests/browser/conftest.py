"""A static server over the page, headless Chromium, and small exported models with what Python makes of them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.browser import AXE, CHROMIUM, CONFIGS, PAGE, PATIENCE, Site, make_scene, open_blank
from helpers.training_view import PATIENT, View
from helpers.weights import random_weights


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def weights():
    """SpanWeights by name of ``CONFIGS``; their outputs spread over [0, 1], so that rounding and borders show."""
    made = {}
    for name, config in CONFIGS.items():
        made[name] = random_weights(config, seed=3)
        last = made[name].layers["upsampler"]
        last["bias"] += np.float32(0.5)
        if name == "x4-ch48":
            last["kernel"] *= np.float32(0.05)
    return made


@pytest.fixture(scope="session")
def models(weights, tmp_path_factory) -> Path:
    """Folder with an export of each of ``weights``."""
    from span_export.tfjs_model import write_model

    folder = tmp_path_factory.mktemp("models")
    for name, value in weights.items():
        (folder / name).mkdir()
        write_model(value, folder / name)
    listed = [{"name": name, "url": f"models/{name}/model.json"} for name in CONFIGS]
    (folder / "models.json").write_text(json.dumps({"models": listed}))
    return folder


@pytest.fixture(scope="session")
def python_upscale(weights):
    """``(name, HWC uint8) -> HWC uint8`` as Python computes it: whole image, clipped, halves rounded up."""
    networks = {}

    def upscale(name: str, pixels: np.ndarray) -> np.ndarray:
        network = networks.setdefault(name, weights[name].deploy_model())
        output = network(np.float32(pixels[np.newaxis]) / np.float32(255), training=False)
        return np.floor(np.clip(np.asarray(output[0]), 0, 1) * 255 + 0.5).astype(np.uint8)

    return upscale


@pytest.fixture(scope="session")
def site(models, tmp_path_factory) -> Site:
    """Serve the page with test models. It waits ten times as long for what may never come, since machines are busy."""
    if not (PAGE / "vendor").is_dir() or not AXE.is_file():
        npm = shutil.which("npm") or pytest.fail("web_demo/vendor is missing and there is no npm to make it")
        for arguments in (["ci", "--no-audit", "--no-fund"], ["run", "vendor"]):
            subprocess.run([npm, *arguments], cwd=PAGE, check=True, capture_output=True)
    limit = (PAGE / "limit.js").read_text()
    assert limit.count("setTimeout(late, milliseconds)") == 1
    patient = tmp_path_factory.mktemp("patient") / "limit.js"
    patient.write_text(limit.replace("setTimeout(late, milliseconds)", "setTimeout(late, 10 * milliseconds)"))
    site = Site({"models": models, "models.json": models / "models.json", "limit.js": patient})
    yield site
    site.close()


@pytest.fixture(scope="module")
def photographs(site, tmp_path_factory) -> Path:
    """Six small photographs beside the page, as ``span-export --demo`` puts its own there."""
    folder = tmp_path_factory.mktemp("samples")
    names = [f"photo-{i}.png" for i in range(6)]
    for i, name in enumerate(names):
        Image.fromarray(make_scene(40 + i, 48, seed=i)).save(folder / name)
    (folder / "samples.json").write_text(json.dumps({"photos": [{"file": name} for name in names]}))
    site.mounts["samples"] = folder
    yield folder
    del site.mounts["samples"]


@pytest.fixture(scope="session")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def context(chromium):
    # A service worker answers what tests want to answer themselves; one test is about it.
    context = chromium.new_context(accept_downloads=True, service_workers="block")
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


@pytest.fixture
def page(context):
    """A page that fails the test when a script of it fails."""
    page = watched(context.new_page())
    yield page
    assert page.problems == []


def watched(page):
    """The page, with what its scripts report as errors in ``problems``."""
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda message: page.problems.append(message.text) if message.type == "error" else None)
    return page


@pytest.fixture
def blank(page, site):
    """An empty page of the site's origin."""
    return open_blank(page, site)


@pytest.fixture(scope="module")
def page_of_the_file(chromium, site):
    context = chromium.new_context(service_workers="block")
    context.set_default_timeout(PATIENCE)
    yield open_blank(watched(context.new_page()), site)
    context.close()


@pytest.fixture
def shared_blank(page_of_the_file):
    """An empty page for all tests of a file that leave its globals as they are: starting one takes a second."""
    page_of_the_file.problems.clear()
    yield page_of_the_file
    assert page_of_the_file.problems == []


@pytest.fixture
def open_page(page, site):
    """``(model, backend, **query)``: load the page with a model of ``CONFIGS`` and wait until it is ready."""

    def open_page(model: str = "x2", backend: str = "wasm", **query):
        address = f"{site.url}/?model=/models/{model}/model.json&backend={backend}"
        page.goto(address + "".join(f"&{key}={value}" for key, value in query.items()))
        page.wait_for_selector("html[data-state=ready], html[data-state=error]")
        return page

    return open_page


@pytest.fixture
def view(page, open_page, photographs) -> View:
    page.add_init_script(PATIENT)
    yield View(open_page("x2", "wasm")).open()
    # A page without VGG features is asked for them once, which the browser notes as an error.
    page.problems[:] = [problem for problem in page.problems if "404" not in problem]


@pytest.fixture
def scene() -> np.ndarray:
    """A small photograph-like picture (29, 23, 3) uint8: gradients, an edge, texture; sides that no tile divides."""
    return make_scene(29, 23)


@pytest.fixture
def save_image(tmp_path):
    """``(pixels, name, **options) -> Path``"""

    def save(pixels: np.ndarray, name: str = "scene.png", **options) -> Path:
        path = tmp_path / name
        Image.fromarray(pixels).save(path, **options)
        return path

    return save


@pytest.fixture
def download_in_page(tmp_path):
    """``page -> HWC uint8``: wait for the result and download it."""

    def download_result(page) -> np.ndarray:
        page.wait_for_selector("#download:enabled")
        with page.expect_download() as download:
            page.click("#download")
        target = tmp_path / download.value.suggested_filename
        download.value.save_as(target)
        return np.asarray(Image.open(target))

    return download_result


@pytest.fixture
def upscale_in_page(download_in_page):
    """``(page, path) -> HWC uint8``: choose the file, wait, download the result."""

    def upscale(page, path: Path) -> np.ndarray:
        page.set_input_files("#files", str(path))
        return download_in_page(page)

    return upscale
