"""bicubic.py against MATLAB's documented behaviour, an independent dense formulation and the benchmark images."""

import numpy as np
import pytest

from span_keras.errors import ImageError
from span_keras.images import bicubic


def keys(x):
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def reference_rows(image, length, factor, border):
    """One pass written out pixel by pixel, with MATLAB's one-based formula."""
    size = len(image)
    width = 4 / min(factor, 1)
    out = np.zeros((length, *image.shape[1:]))
    mirror = [*range(size), *reversed(range(size))]
    for i in range(1, length + 1):
        u = i / factor + 0.5 * (1 - 1 / factor)
        left = int(np.floor(u - width / 2))
        taps = range(left, left + int(np.ceil(width)) + 2)
        weights = np.array([min(factor, 1) * keys(min(factor, 1) * (u - tap)) for tap in taps])
        weights /= weights.sum()
        for tap, weight in zip(taps, weights, strict=True):
            row = mirror[(tap - 1) % (2 * size)] if border == "mirror" else min(max(tap - 1, 0), size - 1)
            out[i - 1] += weight * image[row]
    return out


def reference(image, length_and_factor, border, rounding=lambda x: x):
    for length, factor in length_and_factor:
        image = rounding(reference_rows(image, length, factor, border)).swapaxes(0, 1)
    return image


@pytest.fixture
def photo(rng=None):
    rng = np.random.default_rng(7)
    base = np.add.outer(np.sin(np.arange(37) / 5), np.cos(np.arange(53) / 3))[..., None] * [0.2, -0.15, 0.1] + 0.5
    return np.clip(base + rng.normal(0, 0.1, base.shape), 0, 1)


@pytest.mark.parametrize("border", bicubic.BORDERS)
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_downscale_is_the_written_out_sum_also_where_the_scale_does_not_divide(photo, scale, border):
    expected = reference(photo, [(-(-37 // scale), 1 / scale), (-(-53 // scale), 1 / scale)], border)
    found = bicubic.downscale(photo, scale, border)
    assert found.dtype == np.float64
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(bicubic.downscale(photo.astype(np.float32), scale, border), expected, atol=1e-6)


@pytest.mark.parametrize("size", [(20, 100), (74, 106), (37, 53), (1, 1), (111, 9)])
def test_resize_is_the_written_out_sum(photo, size):
    expected = reference(photo, [(size[0], size[0] / 37), (size[1], size[1] / 53)], "mirror")
    np.testing.assert_allclose(bicubic.resize(photo, size), expected, atol=1e-12)


@pytest.mark.parametrize("scale", [2, 4])
def test_uint8_is_rounded_half_up_after_each_pass(photo, scale):
    # The weights of these scales are dyadic, so exact halves occur and float32 must not disturb them.
    levels = np.round(photo * 255).astype(np.uint8)
    levels[:8, :8] = [255, 0, 128]  # overshoots next to it, so clipping shows
    sizes = [(-(-37 // scale), 1 / scale), (-(-53 // scale), 1 / scale)]
    rounding = lambda x: np.clip(np.floor(x + 0.5), 0, 255)  # noqa: E731
    expected = reference(levels.astype(np.float64), sizes, "mirror", rounding)
    found = bicubic.downscale(levels, scale)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


def test_batches_equal_single_images(photo):
    batch = np.stack([photo, photo[::-1], photo[:, ::-1]]).astype(np.float32)
    found = bicubic.downscale(batch, 4)
    assert found.shape == (3, 10, 14, 3)
    for image, one in zip(batch, found, strict=True):
        np.testing.assert_allclose(one, bicubic.downscale(image, 4), atol=1e-6)


def test_constant_images_stay_constant_and_half_becomes_float32():
    image = np.full((5, 6, 1), 0.25, np.float16)
    found = bicubic.resize(image, (13, 2))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, 0.25, atol=1e-6)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_upscale_enlarges_both_sides_by_the_factor(photo, scale):
    expected = reference(photo, [(37 * scale, scale), (53 * scale, scale)], "mirror")
    np.testing.assert_allclose(bicubic.upscale(photo, scale), expected, atol=1e-12)


def test_to_uint8_clips_and_rounds_halves_up():
    values = np.array([-0.1, 0.0, 0.5 / 255, 1.49 / 255, 2.5 / 255, 1.0, 1.7])
    assert bicubic.to_uint8(values).tolist() == [0, 0, 1, 1, 3, 255, 255]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bicubic.resize(np.zeros((4, 4, 3), np.int32), (2, 2)), "floating-point or uint8 array .* found int32"),
        (lambda: bicubic.resize(np.zeros((4, 4)), (2, 2)), r"found float64 of shape \(4, 4\)"),
        (lambda: bicubic.resize(np.zeros((0, 4, 3)), (2, 2)), r"non-empty .* shape \(0, 4, 3\)"),
        (lambda: bicubic.resize(np.zeros((4, 4, 3)), (0, 2)), "at least 1 pixel, found 0"),
        (lambda: bicubic.downscale(np.zeros((4, 4, 3)), 1.5), "whole factor of 1 or more, found 1.5"),
        (lambda: bicubic.upscale(np.zeros((4, 4, 3)), 0), "whole factor of 1 or more, found 0"),
        (lambda: bicubic.downscale(np.zeros((4, 4, 3)), 2, "wrap"), "border must be one of .* found 'wrap'"),
    ],
)
def test_wrong_input_is_named(call, message):
    with pytest.raises(ImageError, match=message):
        call()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_benchmark_images_are_reproduced(shared, scale):
    from PIL import Image

    from span_keras.images.metrics import psnr

    folder = shared / "data" / "bench" / "Set5" / f"x{scale}"
    for path in sorted((folder / "HR").glob("*.png")):
        hr = np.asarray(Image.open(path).convert("RGB"))
        lr = np.asarray(Image.open(folder / "LR" / path.name).convert("RGB"))
        np.testing.assert_array_equal(bicubic.downscale(hr, scale, border="replicate"), lr)
        assert psnr(bicubic.downscale(hr, scale), lr) > 55  # the borders alone differ
