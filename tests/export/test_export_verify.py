"""``--verify`` passes what reproduces and finds what does not."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from span_export import verify as module
from span_export.cli import main
from span_export.export import export_model
from span_export.quantize import NUMBER_FORMATS, max_weight_error
from span_export.verify import Photographs, verify
from span_keras.checkpoints import save_weights
from span_keras.errors import CheckpointError, DataError, ExportError
from span_keras.network.config import SpanConfig


@pytest.fixture
def photos(tmp_path, image):
    """Two small photographs of odd sizes."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, side in (("a.png", 41), ("b.png", 30)):
        Image.fromarray((image * 255).astype(np.uint8)).resize((side, 33), Image.Resampling.BICUBIC).save(folder / name)
    return folder


@pytest.fixture
def exported(tmp_path, tiny_weights):
    def export(mode="none"):
        export_model(tiny_weights, tmp_path / "out", mode)
        return tmp_path / "out"

    return export


def edit(folder, change):
    document = json.loads((folder / "model.json").read_text())
    change(document)
    (folder / "model.json").write_text(json.dumps(document))


@pytest.mark.parametrize("mode", NUMBER_FORMATS)
@pytest.mark.parametrize("variant", ["span", "official"])
def test_passes_what_was_exported(tmp_path, photos, make_weights, mode, variant):
    weights = make_weights(SpanConfig(scale=3, channels=8, blocks=2, variant=variant))
    export_model(weights, tmp_path / "out", mode)
    report = verify(tmp_path / "out", weights, Photographs(photos))
    assert report.failures == ()
    assert report.images == 2
    assert report.golden_difference < 1e-5
    assert (report.weight_difference == 0) == (report.output_difference == 0) == (mode == "none")
    assert report.psnr_cost == report.psnr_source - report.psnr_written
    assert abs(report.psnr_cost) < {"none": 1e-9, "float16": 0.01, "uint8": 0.2}[mode]


def test_report_reads_as_sentences(exported, photos, tiny_weights):
    lines = list(verify(exported(), tiny_weights, Photographs(photos)).lines())
    assert lines[1] == "Weights: largest difference 0."
    assert re.match(r"2 photographs in \w+.*: largest difference [\de.-]+; PSNR ", lines[2])
    assert lines[2].endswith(" cost 0.0000 dB.")


def test_training_form_as_the_source(tmp_path, photos, tiny_weights):
    expanded = tiny_weights.expand()
    export_model(expanded, tmp_path / "out", "none")
    report = verify(tmp_path / "out", expanded, Photographs(photos))
    assert report.failures == ()
    assert report.output_difference == 0


def test_other_weights_are_found(exported, photos, tiny_weights, make_weights):
    report = verify(exported("float16"), make_weights(tiny_weights.config, seed=1), Photographs(photos))
    assert any("conv_1/kernel differs by" in failure for failure in report.failures)


def test_damaged_weights_are_found(exported, photos, tiny_weights):
    folder = exported()
    shard = folder / "group1-shard1of1.bin"
    data = np.frombuffer(shard.read_bytes(), "<f4").copy()
    data[1000:1040] += 1
    shard.write_bytes(data.tobytes())
    failures = " ".join(verify(folder, tiny_weights, Photographs(photos)).failures)
    assert "does not compute its golden tile" in failures
    assert "/kernel differs by 1" in failures


def test_a_wrong_golden_is_found(exported, photos, tiny_weights, make_weights, tmp_path):
    folder = exported()
    export_model(make_weights(tiny_weights.config, seed=1), tmp_path / "other", "none")
    other = json.loads((tmp_path / "other" / "model.json").read_text())["userDefinedMetadata"]["span"]["golden"]
    edit(folder, lambda document: document["userDefinedMetadata"]["span"].update(golden=other))
    (failure,) = verify(folder, tiny_weights, Photographs(photos)).failures
    assert "does not compute its golden tile" in failure


@pytest.mark.parametrize("level", [0, 255])
def test_a_photograph_without_any_error(exported, photos, tiny_weights, level):
    """Its PSNR is infinite before and after: no difference to measure."""
    tiny_weights.layers["upsampler"]["kernel"][...] = 0
    tiny_weights.layers["upsampler"]["bias"][...] = level / 255
    Image.new("RGB", (40, 40), (level,) * 3).save(photos / "blank.png")
    report = verify(exported("float16"), tiny_weights, Photographs(photos))
    assert report.images == 3 and report.failures == ()
    assert report.psnr_cost == 0
    assert report.psnr_source < 100


def test_too_costly_quantisation_is_found(exported, photos, tiny_weights, monkeypatch):
    monkeypatch.setitem(module.MAX_COST, "uint8", -100.0)
    (failure,) = verify(exported("uint8"), tiny_weights, Photographs(photos)).failures
    assert failure.startswith("uint8 costs ")


def test_another_configuration(exported, photos, tiny_weights):
    other = replace(tiny_weights, config=replace(tiny_weights.config, img_range=255.0))
    with pytest.raises(ExportError, match=r"to hold SpanConfig\(.*img_range=255.*found SpanConfig.*export it again"):
        verify(exported(), other, Photographs(photos))


@pytest.mark.parametrize(
    "change",
    [
        lambda span: span.pop("golden"),
        lambda span: span.pop("quantization"),
        lambda span: span.update(quantization="int4"),
        lambda span: span["golden"].update(output="AAAA"),
        lambda span: span["golden"].update(input="not base64!"),
    ],
)
def test_metadata_of_something_else(exported, photos, tiny_weights, change):
    folder = exported()
    edit(folder, lambda document: change(document["userDefinedMetadata"]["span"]))
    with pytest.raises(ExportError, match="lacks the metadata of an export"):
        verify(folder, tiny_weights, Photographs(photos))


def test_a_missing_shard(exported, photos, tiny_weights):
    folder = exported()
    (folder / "group1-shard1of1.bin").unlink()
    with pytest.raises(CheckpointError, match=r"group1-shard1of1\.bin"):
        verify(folder, tiny_weights, Photographs(photos))


def test_no_photographs(exported, tmp_path, tiny_weights):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="found none"):
        verify(exported(), tiny_weights, Photographs(tmp_path / "empty"))


def test_not_a_number_is_a_difference(exported, photos, tiny_weights, monkeypatch):
    monkeypatch.setattr(module.tfjs_model, "load", lambda path: ("it", lambda tile: np.full((1,), np.nan)))
    monkeypatch.setattr(module, "psnr_y", lambda *args: np.nan)
    failures = " ".join(verify(exported(), tiny_weights, Photographs(photos)).failures)
    assert "golden tile: difference inf" in failures
    assert "costs nan dB" in failures


def test_crops_are_of_the_centre(photos, monkeypatch):
    whole = list(Photographs(photos).crops(2))
    cropped = list(Photographs(photos).crops(2, 20))
    assert [hr.shape for _, hr in cropped] == [(20, 20, 3), (20, 20, 3)]
    assert [lr.shape for lr, _ in cropped] == [(10, 10, 3), (10, 10, 3)]
    np.testing.assert_array_equal(cropped[0][1], whole[0][1][6:26, 10:30])
    np.testing.assert_array_equal(cropped[0][0], whole[0][0][3:13, 5:15])


def test_bounds_hold_for_every_rounding():
    """The converter's own rounding stays within ``max_weight_error``, and hardly less than it."""
    tfjs = pytest.importorskip("tensorflowjs.quantization")
    rng = np.random.default_rng(0)
    worst = {"float16": 0.0, "uint8": 0.0}
    for scale in (1e-6, 1e-3, 1.0, 300.0):
        for shift in (-1.0, 0.0, 0.3, 2.0):
            array = np.float32(scale * (rng.normal(size=(3, 3, 8, 8)) + shift))
            for mode, dtype in (("float16", np.float16), ("uint8", np.uint8)):
                stored, metadata = tfjs.quantize_weights(array, dtype)
                error = np.abs(tfjs.dequantize_weights(stored, metadata) - array).max()
                worst[mode] = max(worst[mode], error / max_weight_error(mode, "kernel", array))
    assert 0.4 < worst["uint8"] <= 1
    assert 0.4 < worst["float16"] <= 1


def test_command_verifies_on_the_bundled_photographs(tmp_path, tiny_weights):
    save_weights(tiny_weights, tmp_path / "w.safetensors")
    arguments = ["--tfjs", tmp_path / "out", "-w", tmp_path / "w.safetensors", "--quantize", "float16", "--verify"]
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert re.search("10 photographs in .+: largest difference", result.stdout)


def test_command_fails_if_the_files_do_not_reproduce(tmp_path, photos, tiny_weights, monkeypatch):
    save_weights(tiny_weights, tmp_path / "w.safetensors")
    monkeypatch.setattr(module, "GOLDEN_ERROR", -1.0)
    arguments = ["--tfjs", tmp_path / "out", "-w", tmp_path / "w.safetensors", "--verify-data", photos]
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert f"{tmp_path / 'out' / 'model.json'} would not reproduce" in result.stderr
    assert "golden tile" in result.stderr
    assert "Nothing was written." in result.stderr
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*"))
