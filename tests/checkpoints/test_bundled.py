"""Every network that comes with the package: what its file holds, what its card says, what it can do."""

import itertools
import json
import re
import shutil
from functools import partial

import pytest
from safetensors import safe_open

from span_keras import Upscaler, load_weights
from span_keras.checkpoints import bundled_names, resolve
from span_keras.data.photos import BUNDLED_VAL
from span_keras.images import bicubic
from span_keras.inference.evaluation import evaluate
from span_keras.network.config import SpanConfig

NETWORKS = bundled_names()
MAX_BYTES = 2_000_000
MARGIN_DB = 0.5
"""By which a network beats bicubic on each of the bundled validation photographs, PSNR on Y."""
SECTIONS = ("Figures", "Training", "Data", "Licence", "What it is not")

every_network = pytest.mark.parametrize("name", NETWORKS)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize(("ending", "variant"), [("", "official"), ("-span", "span")])
def test_the_quality_weights_and_the_default_variant_are_there(scale, ending, variant):
    name = f"bundled:x{scale}{ending}"
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
    parameters = sum(array.size for group in loaded.layers.values() for array in group.values())
    assert f"{parameters:,} parameters" in card
    assert f"{loaded.config.channels} channels" in card
    assert f"{loaded.metadata['steps']:,}" in card
    assert re.search(r"GPU time:\W+\d+ minutes", card)


def test_cards_agree_about_each_other():
    """The row of a network in another's card is that of its own."""
    rows = {name: re.search(rf"^\| {name} \| .+$", card_of(name), re.MULTILINE).group() for name in NETWORKS}
    for name in NETWORKS:
        for other in re.findall(r"^\| (bundled:\S+) \| \d+\.\d+ / .+$", card_of(name), re.MULTILINE):
            assert rows[other] in card_of(name)


@every_network
def test_commands_of_the_card_are_some_that_training_understands(name, tmp_path, monkeypatch):
    """Every option of the commands exists, and the last one asks for the network that the file holds."""
    from span_keras import average, train
    from span_keras.runs import run

    asked = []
    monkeypatch.setattr(run, "train", lambda settings, *args, **kwargs: asked.append(settings))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train").mkdir()
    (tmp_path / "holdout").mkdir()
    commands = re.findall(r"```sh\n.+?span_keras\.train (.+?)```", card_of(name), re.DOTALL)
    for command in commands:
        arguments = command.replace("\\\n", "").split()
        for option, value in itertools.pairwise(arguments):
            if option == "--init" and not value.startswith("bundled:"):
                # Another run's weights, of this architecture at some scale.
                (tmp_path / value).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(resolve(name), tmp_path / value)
        train.main(arguments, standalone_mode=False)
    assert len(asked) == len(commands) >= 1
    assert asked[-1].config == load_weights(name).config
    for command in re.findall(r"span_keras\.average (.+?)```", card_of(name), re.DOTALL):
        context = average.main.make_context("average", command.replace("\\\n", "").split())
        runs = {f"{run}/weights.safetensors" for run in re.findall(r"--out (\S+)", "".join(commands))}
        assert runs.issuperset(context.params["weights"])


def test_runs_that_commands_start_from_are_commanded_before():
    """In the same card or in that of x4-span, which others refer to."""
    first = "bundled:x4-span"
    shared = set(re.findall(r"--out (runs/\S+)", card_of(first)))
    for name in NETWORKS:
        known = set() if name == first else set(shared)
        for command in re.findall(r"```sh\n(.+?)```", card_of(name), re.DOTALL):
            runs = dict(re.findall(r"--(out|init) (runs/[\w-]+)", command))
            if "init" in runs:
                assert runs["init"] in known - {runs["out"]}, f"{name}: {runs}"
            if "out" in runs:
                known.add(runs["out"])


@every_network
def test_beats_bicubic_on_photographs_it_has_not_seen(name):
    upscaler = Upscaler(name)
    scale = upscaler.scale
    ours = evaluate(upscaler, scale, BUNDLED_VAL)["per_image"]
    theirs = evaluate(partial(bicubic.upscale, scale=scale), scale, BUNDLED_VAL)["per_image"]
    assert len(ours) == 2
    for a, b in zip(ours, theirs, strict=True):
        assert a["psnr_y"] > b["psnr_y"] + MARGIN_DB, a["name"]
        assert a["ssim_y"] > b["ssim_y"], a["name"]


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
