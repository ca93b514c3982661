"""Firefox and WebKitGTK: the page becomes ready, and makes of an image what Python makes of it."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.browser import difference, make_scene
from helpers.other_browsers import BrowserMissing, firefox, webkit

HARDENED = {"privacy__resistFingerprinting": True}
"""As the Tor Browser and LibreWolf set it: canvases give back noise."""

OPENERS = {
    "firefox": lambda folder: firefox(folder),
    "hardened firefox": lambda folder: firefox(folder, **HARDENED),
    "webkit": lambda folder: webkit(),
}

RESULT = """
const { loadUpscaler } = await import('/span.js');
const upscaler = await loadUpscaler('/models/x2/model.json', { backend: 'wasm' });
const { blob } = await upscaler.upscale(await (await fetch(given[0])).blob());
upscaler.dispose();
return btoa(String.fromCharCode(...new Uint8Array(await blob.arrayBuffer())));
"""


@pytest.fixture(params=OPENERS)
def session(request, tmp_path):
    try:
        with OPENERS[request.param](tmp_path / "profile") as session:
            yield session
    except BrowserMissing as missing:
        pytest.skip(str(missing))


def test_the_page_enlarges_a_photograph(session, site, save_image, python_upscale, tmp_path):
    pixels = make_scene(24, 33)
    exif = Image.Exif()
    exif[0x0112] = 6  # WebKitGTK does not turn a PNG
    scene = save_image(np.rot90(pixels), exif=exif)
    photograph = save_image(make_scene(40, 56, seed=2), "photograph.jpg", quality=90)
    site.mounts["given"] = tmp_path
    session.open(f"{site.url}/?model=/models/x2/model.json")
    session.wait_for("html[data-state=ready], html[data-state=error]")
    assert session.run("return document.documentElement.dataset.backend") == "wasm"
    session.choose_file("#files", photograph)
    session.wait_for("#download:enabled")
    assert session.run("return document.querySelector('#job-detail').textContent").startswith("56 × 40 → 112 × 80 ")
    made = Image.open(io.BytesIO(base64.b64decode(session.run(RESULT, f"/given/{scene.name}"))))
    assert difference(np.asarray(made), python_upscale("x2", pixels)) <= 1
    del site.mounts["given"]


WEBGPU = {"dom__webgpu__enabled": True, "gfx__webgpu__ignore-blocklist": True}
SOFTWARE_GPU = Path("/usr/lib/chromium/vk_swiftshader_icd.json")
"""Chromium's, which Firefox can use, too."""

LOSS = """
const { Engine } = await import('/engine/engine.js');
const { fetchModel } = await import('/network/model.js');
const notices = [], tiles = [];
const engine = new Engine(({ backend, tile, notice }) => notices.push([backend, tile, notice]));
const { status } = await engine.load(await fetchModel('/models/x2/model.json'), { backend: 'webgpu', tile: 40 });
const { device } = engine.network.gpu;
const { mapAsync } = GPUBuffer.prototype;
GPUBuffer.prototype.mapAsync = function (...range) {
  if (tiles.length) device.destroy();
  return mapAsync.apply(this, range);
};
const onTile = ({ x }) => tiles.push(x);
const { data } = await engine.pixels(new ImageData(Uint8ClampedArray.from(given[0]), 100, 30), { onTile });
return { status, notices, tiles, data: [...data] };
"""


def test_firefox_runs_our_kernels_and_survives_a_lost_device(site, python_upscale, tmp_path, monkeypatch):
    """There a promise of a lost device rejects with an ``AbortError`` before the device is said to be lost."""
    if SOFTWARE_GPU.exists():
        monkeypatch.setenv("VK_ICD_FILENAMES", str(SOFTWARE_GPU))
    pixels = make_scene(30, 100)
    rgba = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    try:
        with firefox(tmp_path / "profile", **WEBGPU) as session:
            session.open(f"{site.url}/example.html")
            if not session.run("return Boolean(await navigator.gpu?.requestAdapter())"):
                pytest.skip("this Firefox offers no WebGPU adapter")
            found = session.run(LOSS, rgba.ravel().tolist())
    except BrowserMissing as missing:
        pytest.skip(str(missing))
    assert found["status"]["kernels"].endswith(": plain")
    ((backend, tile, notice),) = found["notices"]
    assert (backend, tile) == ("webgpu", 40)
    assert notice.startswith("WebGPU was lost: ")
    assert notice.endswith("; started again")
    assert len(set(found["tiles"])) == len(found["tiles"]) > 1
    result = np.uint8(found["data"]).reshape(60, 200, 4)[..., :3]
    assert difference(result, python_upscale("x2", pixels)) <= 1
