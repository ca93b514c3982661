"""A teacher's targets: the average over orientations, in tiles, and what a run makes of them."""

import keras
import numpy as np
import pytest
from click.testing import CliRunner

from helpers.runs import tiny_flags
from helpers.weights import random_weights
from span_keras import Upscaler, save_weights
from span_keras.errors import TrainingError
from span_keras.network.backend import compiled
from span_keras.network.config import SpanConfig
from span_keras.network.functional import apply, fused_arrays
from span_keras.runs.folder import RunFolder
from span_keras.train import main
from span_keras.training import teacher
from span_keras.training.teacher import Teacher, ensemble


@pytest.fixture(scope="module")
def weights():

    made = random_weights(SpanConfig(scale=2, channels=8, blocks=1), seed=4)
    made.layers["upsampler"]["kernel"] *= np.float32(0.1)
    made.layers["upsampler"]["bias"] += np.float32(0.5)  # around mid-grey: little is clipped
    return made


@pytest.fixture
def picture():
    rng = np.random.default_rng(2)
    return rng.integers(0, 256, (37, 50, 3), np.uint8)


def orientations(image):
    """Every orientation of an image with the function that brings a result back."""
    for turns in range(4):
        turned = np.rot90(image, turns)
        yield turned, lambda y, turns=turns: np.rot90(y, -turns)
        yield turned[::-1], lambda y, turns=turns: np.rot90(y[::-1], -turns)


def test_is_the_average_over_eight_orientations(weights, picture):
    upscaler = Upscaler(weights)
    turned = list(orientations(picture))
    assert len({image.tobytes() for image, _ in turned}) == 8
    mean = np.mean([back(upscaler.upscale_rgb(np.float32(image) / 255)) for image, back in turned], axis=0)
    teacher_sr = Teacher(weights)(picture)
    assert teacher_sr.dtype == np.uint8
    # At the border the teacher sees mirrored surroundings, where the network alone pads with zeros.
    rim = 2 * weights.config.receptive_radius
    inside = np.s_[rim:-rim, rim:-rim]
    expected = np.clip(mean, 0, 1)[inside] * 255
    assert np.abs(teacher_sr[inside] - expected).max() < 0.5 + 1e-3
    single = np.clip(upscaler.upscale_rgb(np.float32(picture) / 255), 0, 1)[inside] * 255
    assert np.abs(single - expected).max() > 1, "one orientation alone would not do"


def test_kept_output_is_read_again(weights, picture, tmp_path):
    folder = tmp_path / "new" / "kept"
    fresh = Teacher(weights)(picture)
    assert np.array_equal(Teacher(weights, folder)(picture), fresh)
    (kept,) = folder.iterdir()
    again, content = Teacher(weights, folder), kept.read_bytes()
    np.save(kept, 255 - fresh)
    assert np.array_equal(again(picture), 255 - fresh), "what is kept is not computed again"
    kept.write_bytes(content)
    # Another image, another network and a damaged file are computed.
    assert again(picture[:-1]).shape == (72, 100, 3)
    other = weights.expand(0).fuse()
    other.layers["conv_2"]["bias"] += np.float32(0.2)
    assert not np.array_equal(Teacher(other, folder)(picture), fresh)
    assert len(list(folder.iterdir())) == 3
    whole = {file: file.read_bytes() for file in folder.iterdir()}
    # Cut off, taken for an archive, and with a header that NumPy's parser chokes on.
    for content in (None, b"PK\x03\x04", b"\x93NUMPY\x01\x00v\x00{'descr': ((((" + b" " * 105):
        for file in whole:
            file.write_bytes(content or whole[file][:200])
        assert np.array_equal(again(picture), fresh)
    assert np.array_equal(Teacher(weights, folder)(picture), fresh)


@pytest.mark.parametrize(("exact", "precision"), [(True, "highest"), (False, None)])
def test_only_what_is_to_be_exact_keeps_jax_from_tf32(exact, precision, monkeypatch):
    jax, found = pytest.importorskip("jax"), []
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    compiled(lambda x: found.append(jax.config.jax_default_matmul_precision) or x, exact)(np.zeros(1))
    assert found == [precision]


def test_output_that_cannot_be_kept(weights, picture, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(TrainingError, match=r"expected to write .*file.*; free space, or choose another folder"):
        Teacher(weights, tmp_path / "file")(picture)


def test_tiles_leave_no_seam(weights, picture, monkeypatch):
    whole = Teacher(weights)(picture)
    monkeypatch.setattr(teacher, "CORE", 16)
    assert np.abs(Teacher(weights)(picture).astype(int) - whole).max() <= 1


@pytest.mark.parametrize("shape", [(37, 50), (32, 16), (33, 15), (1, 1)])
def test_every_tile_is_the_ensemble_of_its_own_surroundings(weights, picture, monkeypatch, shape):
    """To the last bit: what runs with the same teacher have kept stays valid."""
    core, halo = 16, weights.config.receptive_radius
    monkeypatch.setattr(teacher, "CORE", core)
    fused = fused_arrays(weights)
    run = compiled(lambda tile: ensemble(lambda x: apply(fused, x, weights.config), tile), exact=False)
    lr = picture[: shape[0], : shape[1]]
    padded = np.pad(lr, [*((halo, -side % core + halo) for side in shape), (0, 0)], mode="symmetric")
    found = Teacher(weights)(lr)
    assert found.shape == (2 * shape[0], 2 * shape[1], 3)
    for top in range(0, shape[0], core):
        for left in range(0, shape[1], core):
            tile = np.ascontiguousarray(padded[top : top + core + 2 * halo, left : left + core + 2 * halo])
            expected = np.asarray(run(tile))[2 * halo : 2 * (halo + core), 2 * halo : 2 * (halo + core)]
            part = found[2 * top : 2 * (top + core), 2 * left : 2 * (left + core)]
            np.testing.assert_array_equal(part, expected[: part.shape[0], : part.shape[1]])


def test_a_run_learns_from_it(weights, photos, tmp_path):
    save_weights(weights, tmp_path / "teacher.safetensors")
    arguments = [*tiny_flags(), f"--data={photos}", f"--teacher={tmp_path / 'teacher.safetensors'}", "--log-every=1"]
    result = CliRunner().invoke(main, [*arguments, f"--out={tmp_path / 'run'}"])
    assert result.exit_code == 0, result.output
    for row in RunFolder(tmp_path / "run").rows("log.csv"):
        assert row["loss"] == pytest.approx(row["mae"] + row["teacher"], rel=1e-5)


def test_of_another_scale(weights, photos, tmp_path):
    save_weights(weights, tmp_path / "teacher.safetensors")
    arguments = [*tiny_flags(scale=3), f"--data={photos}"]
    arguments += [f"--teacher={tmp_path / 'teacher.safetensors'}", f"--out={tmp_path / 'run'}"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "--teacher expected a x3 network, found a x2 one" in result.output
