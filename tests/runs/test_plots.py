"""Curves and samples of a run, and the figures they show."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from span_keras.images import bicubic
from span_keras.images.metrics import evaluate_pair
from span_keras.inference.upscaler import Upscaler
from span_keras.runs import plots
from span_keras.runs.validation import Validation


def opened(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def rows(count: int) -> list[dict]:
    return [
        {"step": 10 * i, "loss": 1 / i, "mae": 1 / i, "perceptual": 2 / i, "rate": 1e-4} for i in range(1, count + 1)
    ]


@pytest.mark.parametrize(
    ("log", "validation"),
    [
        ([], []),
        (rows(1), [{"step": 10, "psnr_y": 20.0}]),
        (rows(200), [{"step": 10 * i, "psnr_y": 20 + i / 20} for i in range(0, 201, 20)]),
        ([{**row, "loss": float("nan")} for row in rows(3)], [{"step": 0, "psnr_y": float("inf")}]),
        ([{**row, "loss": 0.0} for row in rows(3)], []),
        ([{**row, "mse": float("nan")} for row in rows(3)], [{"step": i, "psnr_y": float("nan")} for i in range(2)]),
    ],
)
def test_curves_of_any_run(log, validation):
    """Also of one that has not begun, and of one whose loss is not finite or zero."""
    image = opened(plots.curves(log, validation, "run", {"psnr_y": 19.0}))
    assert image.shape[1] == 960
    panels = 4 if log and "perceptual" in log[0] else 3
    assert image.shape[0] == 44 + 230 * panels
    # Something is drawn in every panel.
    for top in range(44, image.shape[0] - 200, 230):
        assert (image[top : top + 230] < 200).any()


def test_every_lpips_has_its_curve():
    """In a panel of its own, beside bicubic's; older rows may lack it."""
    validation = [{"step": 10 * i, "psnr_y": 20.0, "lpips_alexnet": 0.9 / i, "lpips_vgg16": 0.5} for i in range(1, 9)]
    validation[0]["lpips_vgg16"] = float("nan")
    image = opened(plots.curves([], validation, "run", {"psnr_y": 19.0, "lpips_alexnet": 0.7, "lpips_vgg16": 0.6}))
    assert image.shape[0] == 44 + 230 * 4
    heights = curve_in(image, 44 + 2 * 230, 230)
    assert len(heights) > 500 and heights[0] < heights[-1], "AlexNet's falls"
    one = [{name: row[name] for name in ("step", "psnr_y", "lpips_alexnet")} for row in validation]
    assert opened(plots.curves([], one, "run", {"psnr_y": 19.0})).shape == image.shape


def curve_in(image, top: int, height: int) -> np.ndarray:
    """Mean height of the blue line in every column that it crosses, from the left, in pixels from the top."""
    panel = image[top : top + height].astype(int)
    blue = abs(panel - (0x25, 0x63, 0xEB)).sum(-1) < 60
    return np.array([np.flatnonzero(blue[:, x]).mean() for x in np.flatnonzero(blue.any(0))])


def test_a_falling_curve_falls():
    """The line's highest point lies at the left, its lowest at the right."""
    heights = curve_in(opened(plots.curves(rows(50), [], "run")), 44, 230)
    assert len(heights) > 500, "it goes through the panel"
    assert heights[0] < heights[len(heights) // 2] < heights[-1]


def test_every_part_of_the_loss_is_drawn():
    """Whatever its name; other columns, and the only part of a loss, change nothing."""
    plain = [{name: row[name] for name in ("step", "loss", "rate")} for row in rows(50)]
    alone = [{**row, "new": 3.0, "grad_norm": 1.0, "epoch": 1, "seconds": 2.0} for row in plain]
    two = [{**row, "other": 5.0} for row in alone]
    assert plots.curves(alone, [], "run") == plots.curves(plain, [], "run")
    assert plots.curves(two, [], "run") != plots.curves(plain, [], "run")
    # The colour of the third curve.
    assert (abs(opened(plots.curves(two, [], "run")).astype(int) - (0x05, 0x96, 0x69)).sum(-1) < 60).any()


def test_figures_of_an_untrained_network_leave_room_for_the_others():
    """Curves with and without it are the same, but for the steps that it stands at."""
    rising = [{"step": step, "psnr_y": 30 + step / 100} for step in range(10, 101, 10)]
    with_it = plots.curves([], [{"step": 0, "psnr_y": 5.0}, *rising], "run")
    assert with_it == plots.curves([], rising, "run")


def test_drawing_needs_no_screen_and_no_global_state():
    code = "from span_keras.runs import plots; import sys; assert 'matplotlib' not in sys.modules\n"
    code += "plots.curves([], [], 'run'); print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


def test_the_liveliest_square_is_found():
    image = np.full((64, 96, 3), 100, np.uint8)
    image[32:48, 64:80] = np.random.default_rng(0).integers(0, 256, (16, 16, 3))
    assert plots.busiest_square(image, 16) == (32, 64)


@pytest.fixture
def pair(tiny_config):
    """A smooth LR image and its bicubic enlargement as the original."""
    rng = np.random.default_rng(0)
    lr = np.asarray(
        Image.fromarray(rng.integers(0, 256, (8, 7, 3), np.uint8)).resize((61, 70), Image.Resampling.BICUBIC)
    )
    return lr, bicubic.upscale(lr, tiny_config.scale)


def test_validation_measures_what_the_upscaler_makes(tiny_weights, tiny_config, pair):
    lr, hr = pair
    validation = Validation([("a", lr, hr), ("b", lr[:40], hr[:80])], tiny_config)
    expected = [
        evaluate_pair(Upscaler(tiny_weights)(np.float32(small) / 255), large, tiny_config.scale)
        for _, small, large in validation.images
    ]
    found = validation(tiny_weights)
    for key, value in found.items():
        assert value == pytest.approx(np.mean([figures[key] for figures in expected]), abs=0.01)
    # The original here is the bicubic enlargement itself.
    assert validation.bicubic()["psnr_y"] > 60


def test_a_strip_shows_the_same_place_four_times(tiny_weights, tiny_config, pair):
    strip = opened(Validation([("a", *pair)], tiny_config).strip(tiny_weights, side=64))
    crops = [strip[34:290, 8 + i * 264 : 264 + i * 264].astype(float) for i in range(4)]
    assert np.abs(crops[1] - crops[3]).max() == 0, "bicubic is the original here"
    # The LR crop, without smoothing, is the enlargement up to detail.
    assert np.corrcoef(crops[0].ravel(), crops[3].ravel())[0, 1] > 0.9
    assert np.abs(crops[2] - crops[3]).max() > 0
