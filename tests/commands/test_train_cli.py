"""The command line of training: what a run leaves behind, and every way to misuse it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from helpers.environment import QUICK_JAX
from helpers.photos import save_photos
from helpers.runs import tiny_flags
from helpers.torch_files import state_dict, write_zip
from helpers.weights import nearest_weights
from span_keras import Upscaler, save_weights
from span_keras.checkpoints import load_weights
from span_keras.data.dataset import PatchDataset
from span_keras.data.decode import load_validation
from span_keras.data.photos import BUNDLED_TRAIN, BUNDLED_VAL, list_photos
from span_keras.errors import TrainingError
from span_keras.images import bicubic
from span_keras.network.config import SpanConfig
from span_keras.network.init import natural_noise
from span_keras.runs.folder import RunFolder
from span_keras.runs.photographs import split_photographs
from span_keras.runs.progress import duration
from span_keras.runs.run import train as train_run
from span_keras.runs.settings import Settings, resolve
from span_keras.runs.start import make_trainer, start_weights, teacher_weights
from span_keras.runs.validation import Validation
from span_keras.train import main

pytestmark = pytest.mark.usefixtures("compiled_once")

TINY = tiny_flags()
SHORT = ["--batch-size=2", "--patch-size=12", "--epochs=1", "--steps-per-epoch=1", "--perceptual=none"]
"""Without what ``--init`` tells of the network."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Enough of them to hold some out."""
    return save_photos(tmp_path_factory.mktemp("photos"), 8)


def train(*arguments, tiny=TINY):
    result = CliRunner().invoke(main, [*tiny, *map(str, arguments)])
    # The output also holds what was printed before the error.
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def recipe(folder, *lines):
    """Write a recipe."""
    (folder / "recipe.toml").write_text("\n".join(lines))
    return folder / "recipe.toml"


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    """A finished run: its folder and what it printed."""
    out = tmp_path_factory.mktemp("runs") / "first"
    result = train("--data", photos, "--out", out, "--log-every", 2, "--val-images", 2)
    assert result.exit_code == 0, result.output
    return out, result.output


def test_a_run_leaves_all_its_files(run):
    out, printed = run
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert names >= {
        "config.json",
        "log.csv",
        "validation.csv",
        "curve.png",
        "samples/step_00000003.png",
        "samples/step_00000006.png",
        "last.ckpt",
        "previous.ckpt",
        "best.safetensors",
        "weights.safetensors",
        "weights.weights.h5",
    }
    assert any(name.startswith("tensorboard/events") for name in names)
    assert not [name for name in names if name.endswith(".partial")]
    assert "Validating on 1 photographs; bicubic has a PSNR of" in printed
    assert "Epoch 2/2 · validation PSNR" in printed
    assert "ETA 0:00" in printed
    assert re.search(r"^Computing on (tensorflow|jax): \S", printed, re.MULTILINE)


def test_the_resolved_configuration_is_printed_and_saved(run):
    out, printed = run
    config = json.loads((out / "config.json").read_text())
    assert (config["recipe"], config["channels"], config["learning_rate"]) == ("default", 4, 1e-4)
    assert "channels=4" in printed and "learning_rate=0.0001" in printed


def test_the_log_has_a_row_per_interval(run):
    folder = RunFolder(run[0])
    rows = folder.rows("log.csv")
    assert [row["step"] for row in rows] == [2, 4, 6]
    assert [row["epoch"] for row in rows] == [1, 2, 2]
    assert set(rows[0]) == {"step", "epoch", "loss", "mae", "grad_norm", "rate", "skipped", "restored", "seconds"}
    assert all(0 < row["loss"] < 1 for row in rows)
    validations = folder.rows("validation.csv")
    assert [row["step"] for row in validations] == [0, 3, 6]
    assert all(5 < row["psnr_y"] < 60 and -1 <= row["ssim_y"] <= 1 for row in validations)


def test_the_weights_are_fused_averaged_and_usable(run):
    weights = load_weights(run[0] / "weights.safetensors")
    assert weights.form == "deploy"
    assert (weights.config.scale, weights.config.channels, weights.config.blocks) == (2, 4, 1)
    trained = load_weights(run[0] / "weights.weights.h5")
    assert trained.form == "train"
    np.testing.assert_allclose(trained.fuse().layers["conv_2"]["kernel"], weights.layers["conv_2"]["kernel"], atol=1e-6)


def test_pictures_are_pictures(run):
    strip, curve = Image.open(run[0] / "samples" / "step_00000003.png"), Image.open(run[0] / "curve.png")
    assert strip.width > 4 * 256 and strip.height > 256
    assert curve.width == 960
    # Four crops side by side, none of them blank.
    for i in range(4):
        crop = np.asarray(strip)[34:290, 8 + i * 264 : 264 + i * 264]
        assert crop.std() > 5


def test_tensorboard_reads_the_events(run):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(run[0] / "tensorboard"))
    events.Reload()
    assert [point.step for point in events.Scalars("train/loss")] == [2, 4, 6]
    assert [point.step for point in events.Scalars("validation/psnr_y")] == [0, 3, 6]


def test_init_starts_from_given_weights(run, photos, tmp_path):
    """Network options left out come from the file, and the first validation is that of the given weights."""
    result = train("--data", photos, "--out", tmp_path / "a", "--init", run[0] / "weights.safetensors", tiny=SHORT)
    assert result.exit_code == 0, result.output
    assert "channels=4" in result.output
    settings = Settings.from_dict(json.loads((tmp_path / "a" / "config.json").read_text()))
    start = start_weights(settings).fuse().layers
    given = load_weights(run[0] / "weights.safetensors").layers
    for name, group in given.items():
        np.testing.assert_allclose(start[name]["kernel"], group["kernel"], atol=1e-5)
    before, after = (RunFolder(out).rows("validation.csv") for out in (run[0], tmp_path / "a"))
    assert after[0]["psnr_y"] == pytest.approx(before[-1]["psnr_y"], abs=0.01)
    assert before[-1]["psnr_y"] > before[0]["psnr_y"] + 0.1


def test_init_of_another_scale_is_resampled(run):
    said = []
    settings = resolve({"scale": 3, "channels": 4, "blocks": 1, "init": str(run[0] / "weights.safetensors")})
    layers = start_weights(settings, said.append).fuse().layers
    given = load_weights(run[0] / "weights.safetensors").layers
    np.testing.assert_allclose(layers["conv_cat"]["kernel"], given["conv_cat"]["kernel"])
    assert layers["upsampler"]["kernel"].shape == (3, 3, 4, 27)
    assert "x2 network: its last convolution is resampled by area" in said[0]


@pytest.mark.parametrize(("init", "scale", "psnr"), [("x4", 2, 35.23), ("x4", 3, 32.2), ("x2", 4, 29.82)])
def test_init_of_another_scale_beats_bicubic_at_once(init, scale, psnr):
    """On the bundled validation photographs."""
    network = load_weights(f"bundled:{init}").config
    sizes = {name: getattr(network, name) for name in ("variant", "channels", "blocks")}
    settings = resolve({"scale": scale, "init": f"bundled:{init}", **sizes})
    validation = Validation(load_validation(BUNDLED_VAL, scale), settings.config)
    start = validation(start_weights(settings))["psnr_y"]
    assert start == pytest.approx(psnr, abs=0.01)
    assert start > validation.bicubic()["psnr_y"] + 0.3


def likeness_after(settings, steps) -> float:
    """PSNR in dB between what a x2 run's weights make of an image before and after some steps on noise."""
    trainer, image = make_trainer(settings), natural_noise(1, 24)[0]
    before = np.clip(Upscaler(trainer.weights())(image), 0, 1)

    def batch(step):
        hr = np.uint8(natural_noise(4, 32, step) * 255)
        return np.stack([bicubic.downscale(image, 2) for image in hr]), hr

    for _ in trainer.run(batch, steps, 1):
        pass
    after = np.clip(Upscaler(trainer.weights())(image), 0, 1)
    return float(-10 * np.log10(np.mean((after - before) ** 2)))


@pytest.mark.parametrize(("img_range", "least", "most"), [(1.0, 28, 31), (255.0, 5, 15)])
def test_the_authors_weights_survive_the_first_steps(shared, img_range, least, most):
    """From 30.88 dB on the bundled validation photographs, at the paper's rate; only with their range folded."""
    file = str(shared / "official" / "spanx4_ch48.safetensors")
    network = {"variant": "official", "init": file, "img_range": img_range}
    settings = resolve({"recipe": "paper", "ema_decay": 0.0, "batch_size": 4, "patch_size": 32, **network})
    sizes = {"patch": 32, "batch_size": 4, "steps_per_epoch": 5, "dtype": "uint8"}
    patches = PatchDataset(list_photos(BUNDLED_TRAIN), scale=4, **sizes)
    validation = Validation(load_validation(BUNDLED_VAL, 4), settings.config)
    trainer = make_trainer(settings)
    for _ in trainer.run(patches.__getitem__, 5, 1):
        pass
    assert least < validation(trainer.weights())["psnr_y"] < most


def test_init_of_another_range_trains_as_one(make_weights, photos, tmp_path):
    """Unless its own range is asked for. A small network of range 255 survives training at the paper's rate."""
    wide = make_weights(SpanConfig.official(scale=2, channels=8, blocks=2))
    wide.layers["conv_1"]["kernel"][...] /= 255
    save_weights(wide, tmp_path / "wide.safetensors")
    init = ("--data", photos, "--init", tmp_path / "wide.safetensors")
    result = train(*init, "--out", tmp_path / "a", tiny=SHORT)
    assert result.exit_code == 0, result.output
    assert "has an input range of 255: its first convolution takes it in" in result.output
    assert load_weights(tmp_path / "a" / "weights.safetensors").config.img_range == 1

    settings = Settings.from_dict(json.loads((tmp_path / "a" / "config.json").read_text()))
    settings = settings.having(learning_rate=5e-4, ema_decay=0.0)
    asked = settings.having(img_range=255.0)
    assert start_weights(asked).config.img_range == 255
    assert likeness_after(settings, 8) > likeness_after(asked, 8) + 10


def test_range_and_mean_keep_all_their_digits():
    settings = resolve({"channels": 4, "blocks": 1, "img_range": 1234.5678, "rgb_mean": (0.12345678, 0.5, 0.5)})
    assert start_weights(settings).config == settings.config


def test_what_is_assumed_of_given_weights_is_told(tmp_path):
    network = nearest_weights(SpanConfig.official(2, 8, blocks=2))
    said, file = [], str(write_zip(tmp_path / "plain.pth", state_dict(network)))
    config = load_weights(file).config
    given = {"scale": 2, "channels": config.channels, "blocks": config.blocks, "init": file, "teacher": file}
    settings = resolve({**given, "variant": "official"})
    start_weights(settings, said.append)
    teacher_weights(settings, said.append)
    assumed = f"Note: {file} does not tell all about its network; found img_range 255, "
    assert [line.startswith(assumed) for line in said] == [True, False, True]
    with pytest.raises(TrainingError, match=r"take them from the file\. What the file cannot tell, give"):
        start_weights(resolve(given))


def test_init_of_unknown_range_or_other_channels_is_refused(tmp_path, make_weights, photos):
    """A start that computes garbage would train on, for epochs."""
    unknown = write_zip(tmp_path / "unknown.pth", state_dict(make_weights(SpanConfig.official(2, 8, blocks=2))))
    grey = SpanConfig(2, 8, 2, rgb_mean=(0.5,), in_channels=1, out_channels=1)
    save_weights(make_weights(grey), tmp_path / "grey.safetensors")
    for init, message in (
        (unknown, "does not tell its input's range and mean"),
        (tmp_path / "grey.safetensors", "is a network from 1 to 1 channels, which can be run but not trained"),
    ):
        arguments = ["--data", photos, "--out", tmp_path / "run", "--init", init, "--perceptual", "none"]
        result = CliRunner().invoke(main, list(map(str, arguments)))
        assert (result.exit_code, message in result.stderr) == (1, True), result.output


def test_init_without_a_mean_keeps_it(make_weights, photos, tmp_path):
    save_weights(
        make_weights(SpanConfig(scale=2, channels=4, blocks=1, rgb_mean=(0, 0, 0))), tmp_path / "w.safetensors"
    )
    init = ("--data", photos, "--init", tmp_path / "w.safetensors", "--epochs", 1, "--steps-per-epoch", 1)
    result = train(*init, "--out", tmp_path / "a")
    assert result.exit_code == 0, result.output
    assert load_weights(tmp_path / "a" / "weights.safetensors").config.rgb_mean == (0, 0, 0)
    grey = recipe(tmp_path, "[network]", "rgb_mean = [0.5, 0.5, 0.5]")
    result = train(*init, "--out", tmp_path / "b", "--recipe", grey)
    assert result.exit_code == 1
    assert "(0.5, 0.5, 0.5) was asked for; leave rgb_mean out" in result.output


def test_init_of_another_width_is_refused(run, photos, tmp_path):
    init = ("--init", run[0] / "weights.safetensors")
    result = train("--data", photos, "--out", tmp_path / "a", *init, "--channels", 6)
    assert result.exit_code == 1
    assert "--init expected weights of the network asked for" in result.output
    assert "channels 4" in result.output


def test_what_is_turned_off_needs_nothing():
    off = {"teacher_weight": 0.0}
    assert resolve(off).step.teacher_weight == 0


def test_a_run_begun_with_equal_copies_goes_on():
    saved = {**resolve({}).to_dict(), "hr_scales": [0.5, 0.5]}
    assert resolve({}, saved).data.hr_scales == (0.5, 0.5)


# -- misuse: exit code 2 for what can never be, 1 for what the data or the disk forbid


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "--epochs must be a whole number from 1"),
        (["--learning-rate", "-1"], "--learning-rate must be a number"),
        (["--learning-rate", "nan"], "--learning-rate must be a finite number, found nan"),
        (["--patch-size", "0"], "--patch-size must be"),
        (["--batch-size", "99999999"], "--batch-size must be a whole number from 1 to 65,536"),
        (["--scale", "5"], "--scale must be one of 2, 3, 4, found 5"),
        (["--epochs", "many"], "'many' is not a valid integer"),
        (["--rate-epochs", "1,x"], "write [step] rate_epochs = … in one and name it with --recipe"),
        (["--rate-epochs", "1,2"], "--rate-epochs is an option of recipe files: write [step] rate_epochs = [1, 2] in"),
        (
            ["--beta-2=0.99"],
            "--beta-2 is an option of recipe files: write [step] beta_2 = 0.99 in one and",
        ),
        (["--resume", "--beta-2", "0.99"], "change it in config.json or stages.json of the run."),
        (["--img-range", "255"], "write [network] img_range = 255.0 in one"),
        (["--teacher-cache", "kept"], 'write [data] teacher_cache = "kept" in one'),
        (["--morph-steps", "5"], "--morph-steps was retired; leave it out, or use commit 815b09f of span-keras"),
        (["--no-rgb-order"], "--no-rgb-order was retired"),
        (["--contrast", "4"], "--contrast was retired"),
        (["--rotate"], "--rotate was retired"),
        (["--perceptual", "resnet"], "--perceptual must be one of vgg16, vgg16-deep, lpips, none, found 'resnet'"),
        (["--perceptual", "vgg19"], "--perceptual must be one of vgg16, vgg16-deep, lpips, none, found 'vgg19'"),
        (["--teacher-weight", "2"], "write [step] teacher_weight = 2.0 in one"),
        (["--hr-scales", "0.5,0.7,0.5"], "--hr-scales expected factors that differ from each other, found 0.5,0.7,0.5"),
        (["--hr-scales", "half"], "--hr-scales must be numbers, found 'half'"),
        (["--degrade", "blur,noise"], "--degrade must be one of none, light, photo, strong, found 'blur,noise'"),
        (["--vgg-weight", "0.01"], "--vgg-weight expected a --perceptual that uses it, found none"),
        (["--seed", "-1"], "--seed must be a whole number from 0 to 2,147,483,647, found -1"),
        (["--warmup-steps", "9"], "--warmup-steps expected at most the 6 steps of the run, found 9"),
        (["--val-images", "0"], "--val-images must be a whole number from 1"),
    ],
)
def test_impossible_options_are_wrong_usage(arguments, message, tmp_path):
    result = train("--out", tmp_path / "a", *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "a").exists()


def test_missing_data_folder(tmp_path):
    result = train("--data", tmp_path / "nowhere", "--out", tmp_path / "a")
    assert result.exit_code == 1
    assert "expected a folder of photographs, found nothing at" in result.output
    assert not (tmp_path / "a").exists()


def test_empty_data_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    result = train("--data", tmp_path / "empty", "--out", tmp_path / "a")
    assert result.exit_code == 1
    assert "found none" in result.output


def test_the_deepest_network_is_validated(make_weights):
    """Its halo is larger than the tiles of others."""
    config = SpanConfig(scale=2, channels=1, blocks=64)
    lr = np.full((9, 8, 3), 90, np.uint8)
    validation = Validation([("flat", lr, np.full((18, 16, 3), 90, np.uint8))], config)
    assert validation.upscale(make_weights(config), lr).shape == (18, 16, 3)


def test_a_blank_photograph_leaves_figures_that_compare(make_weights):
    """It comes out without any error, from bicubic enlargement as well."""
    config, rng = SpanConfig(scale=2, channels=4, blocks=1), np.random.default_rng(0)
    blank, noise = np.zeros((16, 16, 3), np.uint8), rng.integers(0, 256, (32, 32, 3), np.uint8)
    validation = Validation([("blank", blank, np.zeros((32, 32, 3), np.uint8)), ("noise", blank, noise)], config)
    black = make_weights(config)
    black.layers["upsampler"]["kernel"][...] = 0
    black.layers["upsampler"]["bias"][...] = 0
    figures = validation(black)
    assert 50 < figures["psnr_y"] < 60 and 50 < figures["psnr_rgb"] < 60
    assert validation.bicubic()["psnr_y"] == figures["psnr_y"]


def test_photographs_smaller_than_the_patch(photos, tmp_path):
    result = train("--data", photos, "--out", tmp_path / "a", "--patch-size", "64")
    assert result.exit_code == 1
    assert "at least 128 pixels a side, found none" in result.output


def test_corrupt_photographs_are_named_and_left_out(photos, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in photos.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "broken.jpg").write_bytes(b"not an image at all")
    result = train("--data", folder, "--val", photos, "--out", tmp_path / "a", "--epochs", 1, "--steps-per-epoch", 1)
    assert result.exit_code == 0, result.output
    assert "1 skipped: broken.jpg" in result.output


def test_a_damaged_photograph_is_told_once(photos, tmp_path):
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "broken.jpg").write_bytes(b"not an image at all")
    result = train("--data", photos, "--val", tmp_path / "val", "--out", tmp_path / "a")
    assert result.exit_code == 1
    assert "None of the 1 validation images can be used" in result.stderr
    assert result.output.count("broken.jpg") == 1


def test_files_of_lr_folders_that_are_not_read_are_told(photos, tmp_path):
    (tmp_path / "lr").mkdir()
    (tmp_path / "lr" / "photo_0.tga").write_bytes(b"TGA")
    (tmp_path / "lr" / "photo_1.png").write_bytes((photos / "photo_1.png").read_bytes())
    result = train("--data", photos, "--lr", tmp_path / "lr", "--out", tmp_path / "a")
    assert result.exit_code == 1
    assert "photo_0.tga is an image, which is not read; convert it to PNG." in result.stderr


def test_validation_photographs_are_not_trained_on(photos, tmp_path):
    """The same folder for both leaves nothing, a part of it leaves the rest."""
    settings = resolve({"data": str(photos), "val": str(photos)})
    with pytest.raises(TrainingError, match="besides those of --val, found none"):
        split_photographs(settings.data)
    validation, rest, *_ = split_photographs(resolve({"data": str(photos), "val_images": 3}).data)
    assert len(validation) == 1 and len(rest) == 7 and not set(validation) & set(rest)


def test_validation_photographs_beyond_the_limit_are_not_trained_on_either(tmp_path):
    (tmp_path / "val").mkdir()
    save_photos(tmp_path, 3)
    save_photos(tmp_path / "val", 8)
    settings = resolve({"data": str(tmp_path), "val": str(tmp_path / "val"), "val_images": 2})
    validation, rest, *_ = split_photographs(settings.data)
    assert len(validation) == 2 and {path.parent for path in rest} == {tmp_path}


def test_pictures_of_runs_are_not_trained_on(run, photos, tmp_path):
    """``cd photos; span-train --data .`` writes its curves and samples below the photographs."""
    folder, said = tmp_path / "photos", []
    shutil.copytree(photos, folder)
    before = split_photographs(resolve({"data": str(folder)}).data)
    shutil.copytree(run[0], folder / "runs" / "a")
    pictures = len(list((folder / "runs").rglob("*.png")))
    assert split_photographs(resolve({"data": str(folder)}).data, echo=said.append) == before
    assert said == [f"Left out {pictures} pictures of the runs in {folder / 'runs' / 'a'}."]
    assert before[1] == split_photographs(resolve({"data": str(folder), "val": str(before[0][0])}).data)[1]
    with pytest.raises(TrainingError, match="found only pictures of the runs in it"):
        split_photographs(resolve({"data": str(folder / "runs")}).data)


def test_a_folder_that_holds_a_run_is_kept(run, photos):
    before = (run[0] / "last.ckpt").read_bytes()
    result = train("--data", photos, "--out", run[0])
    assert result.exit_code == 1
    assert "expected a folder without a run" in result.output and "--resume" in result.output
    assert (run[0] / "last.ckpt").read_bytes() == before


def test_an_output_folder_that_cannot_be_made(photos, tmp_path):
    (tmp_path / "file").write_text("")
    result = train("--data", photos, "--out", tmp_path / "file" / "run")
    assert result.exit_code == 1
    assert "expected a folder to write the run to" in result.output


def test_resuming_with_another_network_is_refused(run):
    result = train("--out", run[0], "--resume", "--channels", "8", tiny=())
    assert result.exit_code == 1
    assert "--channels 8 where the run has 4" in result.output
    settings = resolve({"rgb_mean": (0.0, 0.0, 0.0)}, RunFolder(run[0]).config)
    found = r"\[network\] rgb_mean \[0.0, 0.0, 0.0\] where the run has \[0.4488, 0.4371, 0.404\]"
    with pytest.raises(TrainingError, match=found):
        train_run(settings, run[0], resume=True, echo=lambda text: None)


def test_resuming_with_another_recipe_is_wrong_usage(run):
    result = train("--out", run[0], "--resume", "--recipe", "paper", tiny=())
    assert result.exit_code == 2
    assert "found one of default in" in result.output and "the recipe is fixed when a run begins" in " ".join(
        result.output.split()
    )


def test_a_finished_run_resumed_has_nothing_to_do(run):
    result = train("--out", run[0], "--resume", "--recipe", "default", tiny=())
    assert result.exit_code == 0, result.output
    assert "Continuing at step 6 of 6" in result.output


def test_no_arguments_use_the_bundled_photographs():
    validation, train_files, *_ = split_photographs(resolve({}).data)
    assert len(train_files) >= 5 and len(validation) >= 1
    assert {path.parent.name for path in train_files} == {"train"}


def test_help_is_grouped_and_light():
    code = (
        "import sys; sys.argv = ['train', '--help']\n"
        "from span_keras.train import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([n for n in ('keras', 'tensorflow', 'jax', 'numpy', 'PIL', 'tensorboard') if n in sys.modules])\n"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip().endswith("[]")
    for heading in ("Run:", "Network:", "Data:", "Loss and optimizer:"):
        assert heading in output
    flags = set(re.findall(r"^  (?:-h, )?(--[a-z0-9-]+)", output, re.MULTILINE))
    assert len(flags) <= 40
    contract = "data val out scale variant channels recipe epochs steps-per-epoch batch-size patch-size learning-rate"
    contract += " vgg-weight perceptual init resume precision strategy seed"
    assert flags >= {f"--{name}" for name in contract.split()}


def test_it_trains_on_jax_without_tensorflow(photos, tmp_path):
    environment = {
        **os.environ,
        **QUICK_JAX,
        "PYTHONPATH": str(Path(__file__).parents[1] / "helpers" / "no_tensorflow"),
    }
    code = "import no_tensorflow; from span_keras.train import main; main()"
    command = [sys.executable, "-c", code, *TINY, "--data", str(photos), "--out", str(tmp_path / "jax")]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert load_weights(tmp_path / "jax" / "weights.safetensors").config.channels == 4
    assert len(RunFolder(tmp_path / "jax").rows("validation.csv")) == 3


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3600, "1:00:00"), (200000, "2 d 7:33:20")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text
