"""What span.js takes for an image, what it refuses, and from where it can be loaded."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from helpers.browser import Site, library, make_scene, open_blank

LOAD = "const upscaler = await span.loadUpscaler('/models/x2/model.json', { backend: 'wasm' });"
SCENE = """
const [values, width, height] = given;
const data = new ImageData(Uint8ClampedArray.from(values), width, height);
const draw = (canvas) => (canvas.getContext('2d').putImageData(data, 0, 0), canvas);
const canvas = draw(Object.assign(document.createElement('canvas'), { width, height }));
"""
PIXELS = """
const { data: result, width: across } = await upscaler.upscale(image, { output: 'pixels' });
upscaler.dispose();
image?.close?.(); // a browser complains of a VideoFrame that is not closed
return [[...result], across];"""


def rgba(pixels: np.ndarray) -> np.ndarray:
    return np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])


@pytest.mark.parametrize(
    "image",
    [
        "canvas",
        "draw(new OffscreenCanvas(width, height))",
        "new VideoFrame(canvas, { timestamp: 0 })",
        "canvas.toDataURL()",
        "new URL(canvas.toDataURL())",
        "Object.assign(new Image(), { src: canvas.toDataURL() })",
        "await createImageBitmap(data)",
        "new ImageData(Float16Array.from(values, (v) => v / 255), width, height, { pixelFormat: 'rgba-float16' })",
    ],
)
def test_every_kind_of_image(shared_blank, image, python_upscale):
    """A data URL stands for every address."""
    pixels = make_scene(20, 24)
    if "Float16Array" in image and not shared_blank.evaluate("'Float16Array' in globalThis"):
        pytest.skip("this Chromium has no Float16Array")
    values, width = library(
        shared_blank, f"{LOAD} {SCENE} const image = {image}; {PIXELS}", rgba(pixels).ravel().tolist(), 24, 20
    )
    result = np.uint8(values).reshape(40, width, 4)
    assert np.abs(result[..., :3].astype(int) - python_upscale("x2", pixels)).max() <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("null", "TypeError: Expected a Blob or File, .*; found null."),
        ("", "TypeError: Expected a Blob or File, .*; found undefined."),
        ("5", "TypeError: Expected a Blob or File, .*; found Number."),
        ("document.body", "TypeError: .*; found HTMLBodyElement."),
        ("document.createElement('video')", "Error: The video has no picture yet; wait for its event loadeddata."),
        ("'/models/none.png'", "Error: http.*/models/none.png was not found .status 404.; check the address."),
        ("'/blank'", "Error: http.*/blank is text/html, not an image; check the address."),
        ("new ImageData(9, 9), { output: 'jpeg' }", "TypeError: output must be 'png' or 'pixels'; found jpeg."),
        (
            "new ImageData(9, 9), { output: 'pixels', write: new WritableStream() }",
            "TypeError: write takes a PNG file; .*",
        ),
        ("new ImageData(9, 9), { write: [] }", "TypeError: write must be a WritableStream; found Array."),
    ],
)
def test_what_is_no_image_is_refused(shared_blank, arguments, message):
    found = library(
        shared_blank,
        f"""{LOAD}
        const failure = await upscaler.upscale({arguments}).catch((error) => error);
        const after = await upscaler.upscale(new ImageData(9, 9), {{ output: 'pixels' }});
        upscaler.dispose();
        return [`${{failure.name}}: ${{failure.message}}`, after.width];""",
    )
    assert re.fullmatch(message, found[0])
    assert found[1] == 18
    shared_blank.problems[:] = [problem for problem in shared_blank.problems if "404" not in problem]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("{ backend: 'WASM' }", "backend must be 'auto' or one of webgpu, webgl, wasm, cpu; found WASM."),
        ("{ tile: 'abc' }", "tile must be a number of pixels; found abc."),
        ("{ precision: 'half' }", "precision must be 'float32' or 'float16'; found half."),
    ],
)
def test_options_that_there_are_not_are_refused(shared_blank, options, message):
    failure = library(shared_blank, f"return span.loadUpscaler('/models/x2/model.json', {options}).catch(String);")
    assert failure == f"TypeError: {message}"


def test_colours_of_display_p3_keep_their_profile(shared_blank):
    space, profile = library(
        shared_blank,
        f"""{LOAD}
        const image = new ImageData(12, 12, {{ colorSpace: 'display-p3' }});
        image.data.fill(255);
        const result = await upscaler.upscale(image);
        const text = await result.blob.slice(0, 100).text();
        upscaler.dispose();
        return [result.colorSpace, text.includes('iCCP')];""",
    )
    assert (space, profile) == ("display-p3", True)


TRUSTED = "require-trusted-types-for 'script'; trusted-types span-keras"


@pytest.fixture
def open_plain(page, site, tmp_path):
    """``(policy)``: open an empty page that the server really sends, with a content security policy."""
    (tmp_path / "index.html").write_text("<!doctype html><link rel=icon href=data:,>")
    site.mounts["plain"] = tmp_path

    def open_plain(policy: str):
        if policy:
            site.headers["Content-Security-Policy"] = policy
        page.goto(f"{site.url}/plain/")
        site.headers.pop("Content-Security-Policy", None)

    yield open_plain
    del site.mounts["plain"]
    # Chromium reports the way that such a page does not allow, before the other one is taken.
    page.problems[:] = [problem for problem in page.problems if "TrustedScriptURL" not in problem]


@pytest.mark.parametrize("policy", ["", TRUSTED])
def test_a_page_of_another_site_takes_the_library(page, models, open_plain, policy):
    """As from a delivery network; browsers start no worker of another site."""
    other = Site({"models": models})
    other.headers = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
    open_plain(policy)
    width = page.evaluate(
        """async (url) => {
          const { loadUpscaler } = await import(`${url}/span.js`);
          const upscaler = await loadUpscaler(`${url}/models/x2/model.json`, { backend: 'wasm' });
          const { width } = await upscaler.upscale(new ImageData(9, 9), { output: 'pixels' });
          upscaler.dispose();
          return width;
        }""",
        other.url,
    )
    other.close()
    assert width == 18


def test_a_page_that_demands_trusted_types(page, open_plain):
    open_plain(TRUSTED)
    assert library(page, f"{LOAD} upscaler.dispose(); return upscaler.scale;") == 2


NOISE = """
  const { getImageData } = OffscreenCanvasRenderingContext2D.prototype;
  OffscreenCanvasRenderingContext2D.prototype.getImageData = function (...area) {
    const image = getImageData.apply(this, area);
    image.data[given_place] ^= 1; // Brave changes single levels, Firefox all
    return image;
  };
"""


@pytest.mark.parametrize("name", ["scene.png", "scene.jpg", "scene.webp"])
def test_where_canvases_lie_files_are_decoded_without_them(blank, name, save_image, site, tmp_path):
    path = save_image(make_scene(24, 32), name)
    site.mounts["given"] = tmp_path
    body = """
      const file = await (await fetch(`/given/${given[0]}`)).blob();
      const { decode } = await import('/engine/decode.js');
      const { data } = await decode(file);
      return [...data];"""
    honest = library(blank, body, path.name)
    open_blank(blank, site)
    noisy = library(blank, NOISE.replace("given_place", "5") + body, path.name)
    del site.mounts["given"]
    assert noisy == honest


def test_where_canvases_lie_other_images_are_refused_with_a_sentence(blank):
    gif = io.BytesIO()
    Image.new("L", (4, 4)).save(gif, "gif")
    failures = library(
        blank,
        NOISE.replace("given_place", "5")
        + """
        const { decode } = await import('/engine/decode.js');
        const [gif, heic] = given.map((text) => Uint8Array.from(text, (letter) => letter.charCodeAt(0)));
        const bitmap = await createImageBitmap(new ImageData(4, 4));
        const sources = [new File([gif], 'a.gif'), bitmap, new File([heic], 'b.heic')];
        return Promise.all(sources.map((source) => decode(source).catch((error) => error.message)));""",
        gif.getvalue().decode("latin-1"),
        "\0\0\0\x18ftypheic" + 40 * "\0",
    )
    assert failures[0].startswith("a.gif is neither PNG, JPEG nor WebP. This browser hides the content of other images")
    assert failures[1].startswith("This browser hides the content of images from pages, against fingerprinting: allow")
    assert failures[2].startswith(
        "b.heic is a HEIC photograph, which this browser does not read; open the page in Safari"
    )
