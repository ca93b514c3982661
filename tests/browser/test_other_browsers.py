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

FRAME = """
const device = await (await navigator.gpu?.requestAdapter())?.requestDevice();
if (!device) return null;
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


def test_firefox_draws_frames(site, python_upscale, tmp_path, monkeypatch):
    """It copies no VideoFrame into a texture, but bitmaps of it."""
    if SOFTWARE_GPU.is_file():
        monkeypatch.setenv("VK_ICD_FILENAMES", str(SOFTWARE_GPU))
        monkeypatch.setenv("VK_DRIVER_FILES", str(SOFTWARE_GPU))
    pixels = make_scene(16, 24)
    rgba = np.dstack([pixels, np.full((16, 24), 255, np.uint8)])
    try:
        with firefox(tmp_path / "profile", **WEBGPU) as session:
            session.open(f"{site.url}/example.html")
            found = session.run(FRAME, rgba.ravel().tolist())
    except BrowserMissing as missing:
        pytest.skip(str(missing))
    if not found:
        pytest.skip("this Firefox has no WebGPU")
    drawn = np.array(found["drawn"], np.uint8).reshape(32, 64, 4)[:, :48]
    assert difference(drawn[..., :3], python_upscale("x2", pixels)) <= 1
    assert np.all(drawn[..., 3] == 255)
    assert found["sides"] == [48, 32]
    assert found["kernels"].endswith(": plain")
