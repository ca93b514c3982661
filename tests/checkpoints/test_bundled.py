"""Every network that comes with the package: what its file holds, what its card says, what it can do."""

import itertools
import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from span_keras import Upscaler, load_weights
from span_keras.checkpoints import bundled_names, resolve
from span_keras.data.decode import load_pair
from span_keras.data.photos import BUNDLED_VAL, list_photos
from span_keras.images import bicubic
from span_keras.images.metrics import evaluate_pair
from span_keras.inference.evaluation import evaluate
from span_keras.network.config import SpanConfig

NETWORKS = bundled_names()
MAX_BYTES = 2_000_000
MARGIN_DB, PHOTO_MARGIN_DB = 0.5, 0.1
"""By which a network beats bicubic on each of the bundled validation photographs, PSNR on Y. Those for photographs draw
texture, which costs PSNR on clean images."""
SECTIONS = ("Use", "Figures", "Training", "Data", "Licence", "Limits")
MAX_LINES = 60
"""Of a card."""
RECIPES = Path(__file__).parents[2] / "recipes"

every_network = pytest.mark.parametrize("name", NETWORKS)


@pytest.mark.parametrize(("scale", "variant"), [(2, "official"), (3, "span"), (4, "official")])
def test_the_faithful_networks_are_there(scale, variant):
    name = f"bundled:x{scale}"
    assert name in NETWORKS
    assert load_weights(name).config == SpanConfig(scale=scale, variant=variant)


@every_network
def test_file(name):
    file = resolve(name)
    assert file.stat().st_size <= MAX_BYTES
    with safe_open(file, "numpy") as tensors:
        stated = tensors.metadata()
        keys = list(tensors.keys())
        assert {tensors.get_slice(key).get_dtype() for key in keys} == {"F16"}
    assert {key.rpartition("/")[2] for key in keys} == {"kernel", "bias"}, "fused"
    config = SpanConfig.from_dict(json.loads(stated["span"]))
    assert json.loads(stated["span"]) == config.to_dict(), "the configuration is complete"
    notes = json.loads(stated["span_metadata"])
    assert notes["steps"] > 0
    assert f"{file.stem}.md" in notes["license"]

    loaded = load_weights(name)
    assert loaded.config == config
    assert loaded.form == "deploy"
    assert loaded.metadata["assumed"] == []
    assert loaded.metadata["license"] == notes["license"]
    assert name.startswith(f"bundled:x{config.scale}")


def card_of(name):
    return resolve(name).with_suffix(".md").read_text("utf-8")


@every_network
def test_card(name):
    card, loaded = card_of(name), load_weights(name)
    assert card.startswith(f"# {name}\n")
    assert tuple(re.findall(r"^## (.+)$", card, re.MULTILINE)) == SECTIONS
    assert len(card.splitlines()) <= MAX_LINES
    parameters = sum(array.size for group in loaded.layers.values() for array in group.values())
    text = " ".join(card.split())
    assert f"{parameters:,} parameters" in text
    assert f"{loaded.config.channels} channels" in text
    assert f"{loaded.metadata['steps']:,}" in card
    assert re.search(r"GPU time:\W+\d+ minutes", card)


def test_cards_agree_about_each_other():
    """The row of a network in another's card is that of its own."""
    rows = {name: re.search(rf"^\| {name} \| .+$", card_of(name), re.MULTILINE).group() for name in NETWORKS}
    for name in NETWORKS:
        for other in re.findall(r"^\| (bundled:\S+) \| \d+\.\d+ / .+$", card_of(name), re.MULTILINE):
            assert rows[other] in card_of(name)


@every_network
def test_recipe_of_the_card_makes_this_network(name):
    """The recipe is there, and its last stage has the configuration that the file holds."""
    from span_keras.runs.recipes import load
    from span_keras.runs.settings import resolve

    (stem,) = re.findall(r"^Made by `recipes/([\w-]+)\.toml`", card_of(name), re.MULTILINE)
    assert stem == name.removeprefix("bundled:")
    last = load(str(RECIPES / f"{stem}.toml")).stages[-1]
    assert resolve({"recipe": stem}, stage=last).config == load_weights(name).config


@every_network
def test_beats_bicubic_on_photographs_it_has_not_seen(name):
    upscaler = Upscaler(name)
    scale = upscaler.scale
    ours = evaluate(upscaler, scale, BUNDLED_VAL)["per_image"]
    theirs = evaluate(partial(bicubic.upscale, scale=scale), scale, BUNDLED_VAL)["per_image"]
    assert len(ours) == 2
    for a, b in zip(ours, theirs, strict=True):
        assert a["psnr_y"] > b["psnr_y"] + (PHOTO_MARGIN_DB if name.endswith("-photo") else MARGIN_DB), a["name"]
        assert a["ssim_y"] > b["ssim_y"], a["name"]


@pytest.mark.parametrize("scale", [2, 4])
def test_the_networks_for_photographs_remove_noise_and_keep_colours(scale):
    photo, faithful = Upscaler(f"bundled:x{scale}-photo"), Upscaler(f"bundled:x{scale}")
    random = np.random.default_rng(0)
    for path in list_photos(BUNDLED_VAL):
        pair = load_pair(path, scale)
        noisy = np.clip(np.round(pair.lr + random.normal(0, 8, pair.lr.shape)), 0, 255).astype(np.uint8)
        made, theirs = photo(noisy), faithful(noisy)
        ours, other = (evaluate_pair(sr, pair.hr, scale)["psnr_y"] for sr in (made, theirs))
        assert ours > other + 0.2, path.name
        assert np.abs(made.mean((0, 1)) - noisy.mean((0, 1))).max() < 2, path.name


@pytest.mark.parametrize(
    ("name", "shift", "unevenness"), [("bundled:x4-photo", 4.5, 0.9), ("bundled:x2-photo", 1.7, 0.5)]
)
def test_flat_colours_stay_flat(name, shift, unevenness):
    """All corners, edges and planes of the colour cube, in levels. The largest shift is that of a vivid violet."""
    upscaler, colours = Upscaler(name), np.float32(list(itertools.product([0, 64, 128, 192, 255], repeat=3)))
    inner = slice(20 * upscaler.scale, -20 * upscaler.scale)
    for some in np.split(colours, 5):
        areas = np.broadcast_to(some[:, None, None] / 255, (25, 44, 44, 3))
        result = 255 * upscaler.predict(areas)[:, inner, inner]
        assert np.abs(result.mean((1, 2)) - some).max() < shift
        assert result.std((1, 2)).max() < unevenness


@every_network
def test_figures_of_the_card(name, shared):
    """The row of the network in its card, measured again on the smallest set."""
    header, row = (
        re.search(rf"^\| {label} \| (.+) \|$", card_of(name), re.MULTILINE).group(1).split(" | ")
        for label in ("network", name)
    )
    assert header[0] == "Set5"
    upscaler = Upscaler(name)
    figures = evaluate(upscaler, upscaler.scale, shared / "data" / "bench" / "Set5" / f"x{upscaler.scale}")
    psnr, ssim = map(float, row[0].split(" / "))
    assert figures["psnr_y"] == pytest.approx(psnr, abs=0.002)
    assert figures["ssim_y"] == pytest.approx(ssim, abs=0.0002)
