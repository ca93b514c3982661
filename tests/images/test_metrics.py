"""metrics.py against the formulas written out pixel by pixel and against known figures."""

import numpy as np
import pytest

from span_keras.errors import ImageError
from span_keras.images import metrics


def naive_ssim(a, b):
    x = np.arange(11) - 5
    window = np.exp(-(x[:, None] ** 2 + x[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for i in range(a.shape[0] - 10):
        for j in range(a.shape[1] - 10):
            p, q = a[i : i + 11, j : j + 11], b[i : i + 11, j : j + 11]
            mp, mq = (window * p).sum(), (window * q).sum()
            vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
            cov = (window * (p - mp) * (q - mq)).sum()
            c1, c2 = 6.5025, 58.5225
            values.append((2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    return np.mean(values)


@pytest.fixture
def pair():
    rng = np.random.default_rng(3)
    hr = rng.integers(0, 256, (29, 24, 3), np.uint8)
    return np.clip(hr + rng.normal(0, 12, hr.shape), 0, 255).astype(np.uint8), hr


def test_ssim_is_the_written_out_sum(pair):
    a, b = (metrics.rgb_to_y(image) for image in pair)
    assert metrics.ssim(a, b) == pytest.approx(naive_ssim(a, b), abs=1e-9)
    assert metrics.ssim(a, a) == pytest.approx(1, abs=1e-12)


def test_psnr_of_known_differences():
    zeros = np.zeros((4, 4), np.uint8)
    assert metrics.psnr(zeros, zeros + np.uint8(1)) == pytest.approx(48.1308036)
    assert metrics.psnr(zeros, np.full_like(zeros, 255)) == pytest.approx(0)
    assert metrics.psnr(zeros, zeros) == float("inf")


def test_luma_is_studio_range():
    colors = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    np.testing.assert_allclose(metrics.rgb_to_y(colors), [16, 235, 81.481, 144.553, 40.966])


def test_evaluate_pair_rounds_shaves_and_measures(pair):
    sr, hr = pair
    found = metrics.evaluate_pair(sr, hr, 3)
    inside = np.s_[3:-3, 3:-3]
    a, b = metrics.rgb_to_y(sr[inside]), metrics.rgb_to_y(hr[inside])
    assert found["psnr_y"] == pytest.approx(10 * np.log10(255**2 / np.mean((a - b) ** 2)))
    assert found["ssim_y"] == pytest.approx(naive_ssim(a, b), abs=1e-9)
    squared = (sr[inside].astype(float) - hr[inside]) ** 2
    assert found["psnr_rgb"] == pytest.approx(10 * np.log10(255**2 / squared.mean()))
    # Floating point within half a level, and beyond the range, is the same image.
    jitter = np.random.default_rng(0).uniform(-0.49, 0.49, sr.shape)
    jitter = np.where(sr == 255, 40, jitter)
    assert metrics.evaluate_pair(np.float32((sr + jitter) / 255), np.float32(hr / 255), 3) == pytest.approx(found)


def test_the_shaved_border_does_not_count(pair):
    sr, hr = pair
    other = sr.copy()
    other[:4], other[-4:], other[:, :4], other[:, -4:] = 0, 255, 0, 255
    assert metrics.evaluate_pair(other, hr, 4) == metrics.evaluate_pair(sr, hr, 4)
    assert metrics.evaluate_pair(other, hr, 3) != metrics.evaluate_pair(sr, hr, 3)
    assert metrics.evaluate_pair(sr, hr, 0)["psnr_rgb"] == pytest.approx(metrics.psnr(sr, hr))


def test_modcrop_cuts_bottom_and_right():
    image = np.arange(11 * 7).reshape(11, 7)
    np.testing.assert_array_equal(metrics.modcrop(image, 3), image[:9, :6])
    np.testing.assert_array_equal(metrics.modcrop(image, 1), image)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.psnr(np.zeros((2, 2)), np.zeros((2, 3))), r"same shape, found \(2, 2\) and \(2, 3\)"),
        (lambda: metrics.ssim(np.zeros((10, 30)), np.zeros((10, 30))), "at least 11×11 pixels"),
        (lambda: metrics.evaluate_pair(np.zeros((9, 9, 1)), np.zeros((9, 9, 1)), 1), "RGB images"),
        (lambda: metrics.evaluate_pair(np.zeros((14, 14, 3)), np.zeros((14, 14, 3)), 4), "at least 11×11 pixels"),
        (lambda: metrics.evaluate_pair(np.zeros((14, 14, 3)), np.zeros((14, 15, 3)), 4), "same shape"),
    ],
)
def test_wrong_input_is_named(call, message):
    with pytest.raises(ImageError, match=message):
        call()


def test_colour_shift_is_that_of_the_channel_that_moved_most():
    lr = np.full((4, 5, 3), (10, 20, 30), np.uint8)
    sr = np.full((8, 10, 3), (11.0, 17.6, 30), np.float32) / 255
    assert metrics.colour_shift(sr, lr) == pytest.approx(2.0), "rounded to uint8 first"
    assert metrics.colour_shift(lr, lr) == 0
