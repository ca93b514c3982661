"""A network's way round: trained in the page, saved, measured and trained on in Python, exported, back in the page."""

import csv
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from helpers.browser import PATIENCE, library, make_scene
from helpers.training_view import View
from span_export import golden
from span_export.cli import main as span_export
from span_keras.checkpoints import load_weights
from span_keras.evaluate import main as span_evaluate
from span_keras.images.bicubic import to_uint8
from span_keras.inference.upscaler import Upscaler
from span_keras.network.config import SpanConfig
from span_keras.train import main as span_train


class Saved(NamedTuple):
    """What Save Model wrote after some steps in the page, and the averaged weights that the page itself kept."""

    path: Path
    step: int
    average: list[float]


def run(command, *arguments) -> str:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def holdout(site, tmp_path_factory) -> Path:
    """Two photographs that nothing is trained on; the site has them too."""
    folder = tmp_path_factory.mktemp("holdout")
    for seed in (20, 21):
        Image.fromarray(make_scene(40, 48, seed)).save(folder / f"{seed}.png")
    site.mounts["holdout"] = folder
    return folder


@pytest.fixture(scope="module")
def saved(chromium, site, photographs, tmp_path_factory) -> Saved:
    folder = tmp_path_factory.mktemp("saved")
    context = chromium.new_context(accept_downloads=True, service_workers="block")
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(f"{site.url}/?model=/models/x2/model.json&backend=wasm")
    page.wait_for_selector("html[data-state=ready]")
    view = View(page).open()
    view.fill(epochs=1)
    view.click("Start Training")
    view.until(lambda: view.state == "Finished after 10 steps.")
    path = view.save(folder)
    average = view.worker.evaluate("async () => [...(await (await import('./store.js')).loadTraining()).state.average]")
    context.close()
    site.mounts["saved"] = folder
    return Saved(path, 10, average)


@pytest.fixture(scope="module")
def continued(saved, photographs, holdout, tmp_path_factory) -> Path:
    """The folder of a run of ``span-train`` that starts with the page's file."""
    out = tmp_path_factory.mktemp("runs") / "continued"
    recipe = tmp_path_factory.mktemp("recipes") / "quick.toml"
    recipe.write_text("[step]\nlearning_rate = 1e-3\nema_decay = 0.5\n")
    settings = "--epochs 2 --steps-per-epoch 4 --batch-size 2 --patch-size 8 --perceptual none"
    folders = ("--data", photographs, "--val", holdout, "--out", out)
    run(span_train, "--init", saved.path, "--recipe", recipe, *folders, *settings.split())
    return out


@pytest.fixture(scope="module")
def evaluated(saved, holdout) -> dict:
    """What ``span-evaluate`` says about the page's file."""
    return json.loads(run(span_evaluate, "--weights", saved.path, "--data", holdout, "--json"))


def test_python_loads_what_the_page_saved(saved):
    assert saved.path.name == f"span-x2-step-{saved.step}.json"
    weights = load_weights(saved.path)
    assert weights.config == SpanConfig(scale=2, channels=8, blocks=2)
    loaded = np.concatenate([np.concatenate([g["kernel"].ravel(), g["bias"].ravel()]) for g in weights.layers.values()])
    assert sorted(loaded.tolist()) == sorted(saved.average)


def test_both_forms_give_the_golden_that_the_page_wrote(saved):
    span = json.loads(saved.path.read_text())["userDefinedMetadata"]["span"]
    assert (span["training"]["step"], span["halo"], span["quantization"]) == (saved.step, 9, "none")
    tile, expected, tolerance = golden.decode(span["golden"])
    weights = load_weights(saved.path)
    x = np.float32(tile[None]) / 255
    np.testing.assert_allclose(np.asarray(weights.deploy_model()(x))[0], expected, atol=tolerance / 50)
    np.testing.assert_allclose(np.asarray(weights.train_model()(x))[0], expected, atol=1e-4)


def test_the_command_line_measures_what_the_page_measures(saved, evaluated, blank):
    assert evaluated["weights"] == str(saved.path)
    assert (evaluated["scale"], evaluated["images"], evaluated["lr"]) == (2, 2, "bicubic")
    figures = library(
        blank,
        """
        const upscaler = await span.loadUpscaler(given[0], { backend: 'wasm' });
        const figures = [];
        for (const address of given[1]) {
          figures.push((await upscaler.measure(await (await fetch(address)).blob())).span);
        }
        upscaler.dispose();
        return figures;""",
        f"/saved/{saved.path.name}",
        [f"/holdout/{image['name']}" for image in evaluated["per_image"]],
    )
    for image, measured in zip(evaluated["per_image"], figures, strict=True):
        # One level more or less in a few pixels hardly moves the figures.
        assert measured["psnrY"] == pytest.approx(image["psnr_y"], abs=0.01)
        assert measured["psnrRgb"] == pytest.approx(image["psnr_rgb"], abs=0.01)
        assert measured["ssimY"] == pytest.approx(image["ssim_y"], abs=1e-3)


def test_training_goes_on_from_the_saved_network(continued, evaluated):
    rows = list(csv.DictReader((continued / "validation.csv").open()))
    assert [int(row["step"]) for row in rows] == [0, 4, 8]
    first, _, last = (float(row["psnr_y"]) for row in rows)
    assert first == pytest.approx(evaluated["psnr_y"], abs=0.01)
    assert last > first


def test_the_page_upscales_with_the_continued_network(
    continued, holdout, site, page, scene, save_image, upscale_in_page, python_upscale, tmp_path
):
    weights = continued / "weights.safetensors"
    printed = run(span_export, "--tfjs", tmp_path / "again", "--weights", weights, "--verify", "--verify-data", holdout)
    assert "x2, 8 channels, variant span, none weights" in printed
    exported, trained = load_weights(tmp_path / "again" / "model.json"), load_weights(weights)
    for name, group in trained.layers.items():
        np.testing.assert_array_equal(exported.layers[name]["kernel"], group["kernel"])
    site.mounts["again"] = tmp_path / "again"
    page.goto(f"{site.url}/?model=/again/model.json&backend=wasm")
    page.wait_for_selector("html[data-state=ready]")
    result = upscale_in_page(page, save_image(scene)).astype(int)
    expected = to_uint8(Upscaler(trained)(np.float32(scene) / np.float32(255)))
    assert np.abs(result - expected).max() <= 1
    assert np.abs(result - python_upscale("x2", scene)).max() > 10  # it is not the network that the page began with
