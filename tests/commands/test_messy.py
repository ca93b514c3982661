"""span-upscale on a folder of 119 files of all kinds: each is made, named with its reason, or counted as no picture."""

import json
import os
import re

import pytest
from click.testing import CliRunner

from helpers.messy import COUNTED, MADE, messy_folder
from helpers.weights import random_weights
from span_keras.checkpoints import save_weights
from span_keras.images.read import read_image
from span_keras.network.config import SpanConfig
from span_keras.upscale import main

for plugin in ("pillow_heif", "pillow_jxl"):
    pytest.importorskip(plugin)


def test_every_file_is_made_named_or_counted(tmp_path):
    save_weights(random_weights(SpanConfig(scale=2, channels=4, blocks=1)), tmp_path / "w.safetensors")
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    expected = messy_folder(folder)
    assert len(expected) == 119
    arguments = [str(folder), "-o", str(out), "-w", str(tmp_path / "w.safetensors"), "--json"]

    def run() -> tuple[int, dict[str, dict], str]:
        result = CliRunner().invoke(main, arguments)
        assert "Traceback" not in result.output, result.output
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        return result.exit_code, {os.path.relpath(line["source"], folder): line for line in lines}, result.stderr

    code, found, said = run()
    assert code == 1
    for name, becomes in expected.items():
        if becomes == COUNTED:
            assert name not in found
        elif becomes == MADE:
            assert found[name]["status"] == "made", found[name]["reason"]
            height, width, _ = read_image(folder / name).samples.shape
            assert read_image(found[name]["target"]).samples.shape[:2] == (2 * height, 2 * width), name
        else:
            assert found[name]["status"] in ("failed", "skipped"), name
            assert re.search(becomes, found[name]["reason"]), found[name]["reason"]
            assert found[name]["reason"] in said
    assert len(found) == sum(becomes != COUNTED for becomes in expected.values())
    assert "passed over what is no picture: 1 without suffix, 1 .db, 1 .ini, 1 .mp4, 1 .txt and 3 hidden." in said
    assert len({line["target"] for line in found.values() if line["status"] == "made"}) == len(list(out.rglob("*.*")))
    for name, line in found.items():
        if line["status"] == "failed":
            (folder / name).unlink()
    assert run()[0] == 0, "what is kept, skipped or counted is no error"
