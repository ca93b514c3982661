"""The page's main job on the real page: what it downloads against what Python computes."""

import numpy as np
import pytest

from helpers.browser import BACKENDS, difference, make_scene
from span_export.tfjs_model import write_model
from span_keras.checkpoints import load_weights
from span_keras.data.photos import BUNDLED_VAL
from span_keras.images.bicubic import to_uint8
from span_keras.images.read import read_image
from span_keras.inference.files import Job, upscale_file
from span_keras.inference.upscaler import Upscaler


@pytest.mark.parametrize("backend", BACKENDS)
def test_matches_python(backend, open_page, scene, save_image, upscale_in_page, python_upscale):
    page = open_page("x2", backend)
    assert page.get_attribute("html", "data-backend") == backend
    result = upscale_in_page(page, save_image(scene))
    expected = python_upscale("x2", scene)
    assert expected.std() > 20  # the comparison is of a picture
    assert difference(result, expected) <= 1
    assert page.get_attribute("html", "data-backend") == backend  # it ran where it said


@pytest.mark.parametrize("backend", BACKENDS)
def test_authors_variant_matches_python(backend, open_page, scene, save_image, upscale_in_page, python_upscale):
    page = open_page("x3-official", backend)
    assert difference(upscale_in_page(page, save_image(scene)), python_upscale("x3-official", scene)) <= 1


@pytest.fixture(scope="module")
def bundled(models) -> str:
    """The name of the exported ``bundled:x4``, as the page is shipped."""
    (models / "bundled").mkdir()
    write_model(load_weights("bundled:x4"), models / "bundled")
    return "bundled"


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_bundled_network_on_a_photograph(backend, bundled, open_page, save_image, upscale_in_page):
    photograph = read_image(BUNDLED_VAL / "cat.jpg").pixels[120:138, 100:122]
    pixels = to_uint8(photograph)
    page = open_page(bundled, backend)
    expected = to_uint8(Upscaler("bundled:x4")(photograph))
    assert difference(upscale_in_page(page, save_image(pixels)), expected) <= 1
    assert page.get_attribute("html", "data-backend") == backend


@pytest.mark.parametrize("backend", ["webgl", "wasm"])
def test_tiles_join_without_seams(backend, open_page, save_image, upscale_in_page, python_upscale):
    pixels = make_scene(61, 83)
    page = open_page("x2", backend, tile=32)
    result = upscale_in_page(page, save_image(pixels))
    assert " left" not in page.inner_text("#job-detail")
    assert difference(result, python_upscale("x2", pixels)) <= 1


def test_the_default_size_on_wasm(open_page, scene, save_image, upscale_in_page, python_upscale):
    page = open_page("x4-ch48", "wasm")
    assert difference(upscale_in_page(page, save_image(scene)), python_upscale("x4-ch48", scene)) <= 1


@pytest.fixture
def span_upscale(weights, tmp_path):
    """``path -> HWC uint8``: the file that ``span-upscale`` makes of another with network ``x2``."""
    upscaler = Upscaler(weights["x2"])

    def upscale(path) -> np.ndarray:
        upscale_file(Job(path, tmp_path / "python.png"), upscaler)
        samples = read_image(tmp_path / "python.png").samples
        return samples if samples.dtype == np.uint8 else np.uint8((samples.astype(int) + 128) // 257)

    return upscale


GREY = make_scene(21, 27)[..., 1]
COVER = np.linspace(0, 400, GREY.size).reshape(GREY.shape).clip(0, 255).astype(np.uint8)
GREY_FILES = {
    "grey.png": GREY,
    "alpha.png": np.dstack([GREY, COVER]),
    "deep.png": GREY.astype(np.uint16) * 257,
    "rgb.png": np.dstack([GREY] * 3),
    "rgba.png": np.dstack([GREY] * 3 + [COVER]),
    "key.png": np.dstack([np.where(COVER, GREY, 255), np.where(COVER, GREY, 0), np.where(COVER, GREY, 255), COVER]),
    "grey.jpg": GREY,
    "grey.bmp": GREY,
}


@pytest.mark.parametrize("name", GREY_FILES)
@pytest.mark.parametrize("backend", ["wasm", "cpu"])
def test_grey_stays_grey_and_matches_python(backend, name, open_page, save_image, upscale_in_page, span_upscale):
    page = open_page("x2", backend, tile=28)
    path = save_image(GREY_FILES[name], name)
    result, expected = upscale_in_page(page, path), span_upscale(path)
    assert (result[..., :3] == result[..., :1]).all()
    # The page's files hold RGB.
    assert difference(result, expected[..., [0, 0, 0, -1][: result.shape[2]]]) <= 1
    assert result.shape[2] == (4 if expected.shape[2] % 2 == 0 else 3)
    assert page.get_attribute("html", "data-backend") == backend


def test_one_coloured_pixel_keeps_the_networks_colours(
    open_page, save_image, upscale_in_page, python_upscale, span_upscale
):
    pixels = np.dstack([GREY] * 3)
    tinted = python_upscale("x2", pixels)
    assert difference(tinted[..., 0], tinted[..., 1]) > 20  # without the luma, grey would be far from grey
    pixels[-1, -1] = (200, 80, 40)
    path = save_image(pixels)
    result = upscale_in_page(open_page("x2", "wasm"), path)
    assert difference(result, python_upscale("x2", pixels)) <= 1
    assert difference(result, span_upscale(path)) <= 1
