"""benchmarks/quality/conditions.py: its table and what it refuses."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from span_keras import Upscaler, leaves, save_weights
from span_keras.data.decode import load_pair
from span_keras.data.photos import BUNDLED_VAL, list_photos
from span_keras.images import bicubic
from span_keras.images.metrics import evaluate_pair
from span_keras.network.config import SpanConfig

ROOT = Path(__file__).parents[2]


def run(*arguments):
    script = [sys.executable, ROOT / "benchmarks" / "quality" / "conditions.py"]
    return subprocess.run([*script, *map(str, arguments)], capture_output=True, text=True, timeout=300)


def test_table(tmp_path, make_weights):
    save_weights(make_weights(SpanConfig(scale=3, channels=4, blocks=1)), tmp_path / "tiny.safetensors")
    ran = run("--data", BUNDLED_VAL, "-w", "bundled:x3", "-w", f"tiny={tmp_path / 'tiny.safetensors'}")
    assert ran.returncode == 0, ran.stderr
    header, _, ours, tiny = ran.stdout.splitlines()
    assert header == (
        "| ×3, 2 photographs | as they are | half the size | twice the contrast | 4 times the contrast "
        "| rotated by 30° | half, rotated by 30° | drawn shapes |"
    )
    assert tiny.startswith("| tiny | ")
    upscaler = Upscaler("bundled:x3")
    expected = []
    for arguments in ((), (0.5,), (1.0, 2.0), (1.0, 4.0), (1.0, 1.0, 30.0), (0.5, 1.0, 30.0), None):
        if arguments is None:
            colours = [np.asarray(Image.open(path)).reshape(-1, 3) for path in list_photos(BUNDLED_VAL)]
            drawn = [leaves.draw(np.random.default_rng((77, n)), 240, colours[n]) for n in range(2)]
            pairs = [(bicubic.downscale(np.asarray(hr), 3), np.asarray(hr)) for hr in drawn]
        else:
            pairs = [load_pair(path, 3, *arguments) for path in list_photos(BUNDLED_VAL)]
        figures = [evaluate_pair(upscaler.upscale_rgb(np.float32(lr) / 255), hr, 3)["psnr_y"] for lr, hr in pairs]
        expected.append(np.mean(figures))
    name, *found = ours.strip("| ").split(" | ")
    assert name == "bundled:x3"
    assert list(map(float, found)) == pytest.approx(expected, abs=0.002)
    assert len(set(found)) == 7


def test_networks_of_several_scales(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks" / "quality")
    import conditions

    def refused(folder, *weights):
        options = [text for path in weights for text in ("-w", path)]
        result = CliRunner().invoke(conditions.main, ["--data", str(folder), *options])
        return result.exit_code, result.output

    code, output = refused(BUNDLED_VAL, "bundled:x3", "bundled:x4")
    assert code == 2 and "expected networks of one scale, found [3, 4]" in output
    code, output = refused(BUNDLED_VAL, "bundled:x3", "bundled:x3")
    assert code == 2 and "expected a label of its own for each network" in output
    code, output = refused(tmp_path, "bundled:x3")
    assert code == 1 and str(tmp_path) in output
    Image.new("RGB", (20, 20)).save(tmp_path / "small.png")
    (tmp_path / "cut.png").write_bytes(b"")
    code, output = refused(tmp_path, "bundled:x3")
    assert code == 1 and f"Expected photographs to measure on in {tmp_path}, found none." in output
    assert f"Left out {tmp_path / 'small.png'}: " in output and f"Left out {tmp_path / 'cut.png'}: " in output
