"""Firefox and WebKitGTK: the page becomes ready, and makes of an image what Python makes of it."""

import base64
import io

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
