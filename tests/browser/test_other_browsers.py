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


WEBGPU = {"dom__webgpu__enabled": True, "dom__webgpu__workers__enabled": True, "gfx__webgpu__ignore-blocklist": True}
SOFTWARE_GPU = Path("/usr/lib/chromium/vk_swiftshader_icd.json")
"""Chromium's, for Vulkan."""


@pytest.fixture(scope="module")
def webgpu_session(tmp_path_factory):
    """A Firefox with WebGPU."""
    with pytest.MonkeyPatch.context() as patch:
        if SOFTWARE_GPU.is_file():
            patch.setenv("VK_ICD_FILENAMES", str(SOFTWARE_GPU))
            patch.setenv("VK_DRIVER_FILES", str(SOFTWARE_GPU))
        try:
            with firefox(tmp_path_factory.mktemp("profile"), **WEBGPU) as session:
                yield session
        except BrowserMissing as missing:
            pytest.skip(str(missing))


@pytest.fixture
def webgpu_page(webgpu_session, site):
    """A page in it that imports from the site."""
    webgpu_session.open(f"{site.url}/example.html")
    if not webgpu_session.run("return Boolean(await navigator.gpu?.requestAdapter())"):
        pytest.skip("this Firefox has no WebGPU")
    return webgpu_session


FRAME = """
const device = await (await navigator.gpu.requestAdapter()).requestDevice();
const { loadUpscaler } = await import('/span.js');
const upscaler = await loadUpscaler('/models/x2/model.json', { backend: 'wasm' });
const image = new ImageData(Uint8ClampedArray.from(given[0]), 24, 16);
const frame = new VideoFrame(await createImageBitmap(image), { timestamp: 0 });
const usage = GPUTextureUsage.STORAGE_BINDING | GPUTextureUsage.COPY_SRC;
const texture = device.createTexture({ size: [48, 32], format: 'rgba8unorm', usage });
await upscaler.frame(frame, { target: texture, device });
const canvas = new OffscreenCanvas(1, 1);
const { kernels } = await upscaler.frame(frame, { target: canvas, device });
frame.close();
const buffer = device.createBuffer({ size: 256 * 32, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
const encoder = device.createCommandEncoder();
encoder.copyTextureToBuffer({ texture }, { buffer, bytesPerRow: 256 }, [48, 32]);
device.queue.submit([encoder.finish()]);
await buffer.mapAsync(GPUMapMode.READ);
const drawn = [...new Uint8Array(buffer.getMappedRange())];
upscaler.dispose();
return { drawn, kernels, sides: [canvas.width, canvas.height] };
"""


def test_firefox_draws_frames(webgpu_page, python_upscale):
    """It copies no VideoFrame into a texture, but bitmaps of it."""
    pixels = make_scene(16, 24)
    rgba = np.dstack([pixels, np.full((16, 24), 255, np.uint8)])
    found = webgpu_page.run(FRAME, rgba.ravel().tolist())
    drawn = np.array(found["drawn"], np.uint8).reshape(32, 64, 4)[:, :48]
    assert difference(drawn[..., :3], python_upscale("x2", pixels)) <= 1
    assert np.all(drawn[..., 3] == 255)
    assert found["sides"] == [48, 32]
    assert found["kernels"].endswith(": plain")


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


def test_firefox_runs_our_kernels_and_survives_a_lost_device(webgpu_page, python_upscale):
    """There a promise of a lost device rejects with an ``AbortError`` before the device is said to be lost."""
    pixels = make_scene(30, 100)
    rgba = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    found = webgpu_page.run(LOSS, rgba.ravel().tolist())
    assert found["status"]["kernels"].endswith(": plain")
    ((backend, tile, notice),) = found["notices"]
    assert (backend, tile) == ("webgpu", 40)
    assert notice.startswith("WebGPU was lost: ")
    assert notice.endswith("; started again")
    assert len(set(found["tiles"])) == len(found["tiles"]) > 1
    result = np.uint8(found["data"]).reshape(60, 200, 4)[..., :3]
    assert difference(result, python_upscale("x2", pixels)) <= 1
