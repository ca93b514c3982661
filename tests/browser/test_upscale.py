"""The page's main job on the real page: what it downloads against what Python computes."""

import numpy as np
import pytest

from .conftest import BACKENDS, make_scene


def worst(a: np.ndarray, b: np.ndarray) -> int:
    assert a.shape == b.shape
    return int(np.abs(a.astype(int) - b).max())


@pytest.mark.parametrize("backend", BACKENDS)
def test_matches_python(backend, open_page, scene, save_image, upscale_in_page, python_upscale):
    page = open_page("x2", backend)
    assert page.get_attribute("html", "data-backend") == backend
    result = upscale_in_page(page, save_image(scene))
    expected = python_upscale("x2", scene)
    assert expected.std() > 20  # the comparison is of a picture
    assert worst(result, expected) <= 1
    assert page.get_attribute("html", "data-backend") == backend  # it ran where it said


@pytest.mark.parametrize("backend", BACKENDS)
def test_authors_variant_matches_python(backend, open_page, scene, save_image, upscale_in_page, python_upscale):
    page = open_page("x3-official", backend)
    assert worst(upscale_in_page(page, save_image(scene)), python_upscale("x3-official", scene)) <= 1


@pytest.mark.parametrize("backend", ["webgl", "wasm"])
def test_tiles_join_without_seams(backend, open_page, save_image, upscale_in_page, python_upscale):
    pixels = make_scene(61, 83)
    page = open_page("x2", backend, tile=32)
    result = upscale_in_page(page, save_image(pixels))
    assert "Tile" not in page.inner_text("#job-detail")
    assert worst(result, python_upscale("x2", pixels)) <= 1


def test_the_default_size_on_wasm(open_page, scene, save_image, upscale_in_page, python_upscale):
    page = open_page("x4-ch48", "wasm")
    assert worst(upscale_in_page(page, save_image(scene)), python_upscale("x4-ch48", scene)) <= 1
