"""Runs on folders of HR and LR images: what they train and validate on, resuming, and bad input."""

import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from helpers.runs import tiny_flags, tiny_settings
from span_keras.images import bicubic
from span_keras.runs import run as run_module
from span_keras.runs.folder import RunFolder
from span_keras.runs.photographs import split_photographs
from span_keras.runs.run import train
from span_keras.runs.settings import resolve
from span_keras.train import main

pytestmark = pytest.mark.usefixtures("compiled_once")


@pytest.fixture
def pairs(photos, tmp_path):
    """Folders ``HR`` and ``LR``; LR images are darker than reductions would be."""
    folder = tmp_path / "pairs"
    shutil.copytree(photos, folder / "HR")
    (folder / "LR").mkdir()
    for path in (folder / "HR").iterdir():
        Image.fromarray(bicubic.downscale(np.asarray(Image.open(path)), 2) // 2).save(
            folder / "LR" / f"{path.stem}x2.png"
        )
    return folder


def settings(pairs, **more):
    return tiny_settings(pairs / "HR", lr=str(pairs / "LR"), **more)


def command(*arguments, out):
    return CliRunner().invoke(main, [*tiny_flags(epochs=1, steps_per_epoch=1), "--out", str(out), *map(str, arguments)])


def refused(result, code):
    """Return the message, one sentence, of a command that ended with this code."""
    assert result.exit_code == code, result.output
    return result.stderr.strip().splitlines()[-1]


def sequence(out):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in RunFolder(out).rows("log.csv")]


def test_given_lr_images_are_what_it_learns_from_and_is_measured_on(pairs, tmp_path, monkeypatch):
    """Bicubic of darker images is far from the originals; a stopped run goes on to the last digit."""
    seen = []

    class Watched(run_module.PatchDataset):
        def unturned(self, index):
            seen.append(super().unturned(index))
            return seen[-1]

    monkeypatch.setattr(run_module, "PatchDataset", Watched)
    whole, parts, said = tmp_path / "whole", tmp_path / "parts", []
    train(settings(pairs), whole, echo=said.append)
    lr, hr, *_ = seen[0]
    assert lr.mean() == pytest.approx(hr.mean() / 2, rel=0.1)
    told = next(line for line in said if "bicubic has a PSNR of" in line)
    assert float(told.split("PSNR of ")[1].split(" dB")[0]) < 16

    told = []

    def stop(text):
        told.append(text)
        if sum(line.startswith("Epoch") for line in told) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(settings(pairs), parts, echo=stop)
    moved = pairs.rename(tmp_path / "moved")
    said.clear()
    train(settings(moved), parts, resume=True, echo=said.append)
    assert sequence(parts) == sequence(whole)
    assert not any("others than before" in line for line in said)


def test_other_lr_images_are_announced(pairs, tmp_path):
    """Those to train on and those to validate on, each for themselves."""
    out, said = tmp_path / "run", []
    train(settings(pairs, epochs=1, steps_per_epoch=1), out, echo=said.append)
    photographs = split_photographs(settings(pairs).data)
    for kind, files in (("train", photographs.training_lr), ("validate", photographs.validation_lr)):
        path = files[getattr(photographs, {"train": "training", "validate": "validation"}[kind])[0]]
        Image.fromarray(np.asarray(Image.open(path)) // 3).save(path, compress_level=0)
        said.clear()
        train(settings(pairs, epochs=2, steps_per_epoch=1), out, resume=True, echo=said.append)
        notes = [line for line in said if "others than before" in line]
        assert len(notes) == 1 and f"the photographs to {kind} on" in notes[0]


def test_validation_on_folders_hr_and_lr(pairs, photos):
    """As ``span-evaluate`` takes them; also where training makes its own LR images."""
    held_out = resolve({"data": str(photos), "val": str(pairs)})
    photographs = split_photographs(held_out.data)
    assert [path.parent.name for path in photographs.validation] == ["HR"] * 5
    assert photographs.validation_lr[photographs.validation[0]].name == "photo_0x2.png"
    assert not photographs.training_lr and len(photographs.training) == 5


def test_the_pictures_of_runs_need_no_partners(pairs, photos, tmp_path):
    train(settings(pairs, epochs=1, steps_per_epoch=1), pairs / "HR" / "runs", echo=lambda text: None)
    assert len(split_photographs(settings(pairs).data).training) == 4


def test_a_folder_with_both_says_what_to_give(pairs, photos, tmp_path):
    out = tmp_path / "run"
    message = refused(command("--data", pairs, out=out), 1)
    assert message == (
        f"Error: --data expected HR images alone, found LR images, too, in {pairs / 'LR'}; give --data {pairs / 'HR'} "
        f"--lr {pairs / 'LR'} to train on both, or --data {pairs / 'HR'} to have LR images made."
    )
    message = refused(command("--data", photos, "--val", pairs.parent, out=out), 1)
    assert f"found {pairs / 'LR'}; give --val {pairs}." in message


def test_bad_pairs_are_named(pairs, tmp_path):
    hr, lr, out = pairs / "HR", pairs / "LR", tmp_path / "run"
    both = ("--data", hr, "--lr", lr)
    assert "x2.png should be 16×13" in refused(command(*both, "--scale", 3, out=out), 1)
    assert "found 24×20; give --scale 2." in refused(command(*both, "--scale", 3, out=out), 1)
    (lr / "photo_3x2.png").rename(lr / "photo_7x2.png")
    message = refused(command(*both, out=out), 1)
    assert "must match by name, found HR without LR: photo_3.png; LR without HR: photo_7x2.png; name" in message
    assert "--lr expected a folder of LR images, found nothing at" in refused(
        command("--data", hr, "--lr", tmp_path / "gone", out=out), 1
    )
    message = refused(command("--data", hr, "--lr", "1e-4", out=out), 1)
    assert message.endswith("found nothing at 1e-4; the learning rate is --learning-rate.")


def test_what_does_not_go_with_given_lr_images(pairs, tmp_path):
    both, out = ("--data", pairs / "HR", "--lr", pairs / "LR"), tmp_path / "run"
    message = refused(command(*both, "--degrade", "photo", out=out), 2)
    assert "expected lr or degrade, not both; LR images that are given are taken as they are." in message
    assert "expected lr or hr_scales, not both" in refused(command(*both, "--hr-scales", "0.5", out=out), 2)
    assert "--lr expected a --data that uses it, found none" in refused(command("--lr", pairs / "LR", out=out), 2)
    assert not out.exists()


def test_pairs_of_the_cases(shared, tmp_path):
    """Names with their scale, as DIV2K has them."""
    folder = shared / "cases" / "pairs"
    result = command("--data", folder / "HR", "--lr", folder / "LR", "--patch-size", 8, out=tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert "Training on 2 photographs" in result.output
