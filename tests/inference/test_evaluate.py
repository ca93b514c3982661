"""The evaluate command and function on small folders; the published figures where the benchmark sets are present."""

import json
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from helpers.torch_files import state_dict, write_zip
from helpers.weights import nearest_weights
from span_keras.checkpoints import save_weights
from span_keras.errors import DataError, ImageError
from span_keras.evaluate import main
from span_keras.images import bicubic, metrics
from span_keras.images.picture import Picture
from span_keras.images.read import read_image
from span_keras.images.write import write_image
from span_keras.inference.evaluation import evaluate
from span_keras.inference.pairs import find_pairs
from span_keras.network.config import SpanConfig


def repeat(scale):
    return lambda lr: lr.repeat(scale, 0).repeat(scale, 1)


@pytest.fixture
def folder(tmp_path):
    """Three HR images with sides that no scale divides, one of them grey."""
    rng = np.random.default_rng(0)
    (tmp_path / "HR").mkdir()
    for name, shape in (("a.png", (41, 35, 3)), ("b.png", (37, 38, 1)), ("c.bmp", (29, 31, 3))):
        write_image(tmp_path / "HR" / name, Picture(rng.integers(0, 256, shape, np.uint8)))
    return tmp_path


def add_lr(folder, scale, suffix=""):
    (folder / "LR").mkdir()
    for path in (folder / "HR").iterdir():
        hr = metrics.modcrop(bicubic.to_uint8(read_image(path).pixels), scale)
        write_image(folder / "LR" / f"{path.stem}{suffix}.png", Picture(bicubic.downscale(hr, scale)))


@pytest.fixture
def weights_file(tmp_path, tiny_weights):
    path = tmp_path / "tiny.safetensors"
    save_weights(tiny_weights, path)
    return path


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("suffix", ["", "x2", "_SRF_2_LR"])
def test_given_and_made_lr_images_are_the_same_images(folder, suffix):
    made = evaluate(repeat(2), 2, folder)
    assert evaluate(repeat(2), 2, folder / "HR") == made
    add_lr(folder, 2, suffix)
    given = evaluate(repeat(2), 2, folder)
    assert (made["lr"], given["lr"]) == ("bicubic", "given")
    assert made["per_image"] == given["per_image"]
    assert [figures["name"] for figures in made["per_image"]] == ["a.png", "b.png", "c.bmp"]
    for key in ("psnr_y", "ssim_y", "psnr_rgb"):
        assert made[key] == pytest.approx(np.mean([figures[key] for figures in made["per_image"]]))


def test_figures_are_those_of_metrics_on_the_cropped_image(folder):
    hr = metrics.modcrop(bicubic.to_uint8(read_image(folder / "HR" / "a.png").pixels), 3)
    sr = repeat(3)(np.float32(bicubic.downscale(hr, 3)) / 255)
    expected = metrics.evaluate_pair(sr, hr, 3)
    assert evaluate(repeat(3), 3, folder)["per_image"][0] == {"name": "a.png", **expected}


def test_pairs_that_were_found_already_are_measured(folder):
    add_lr(folder, 2)
    pairs = find_pairs(folder)
    whole = evaluate(repeat(2), 2, folder)
    assert evaluate(repeat(2), 2, pairs) == whole
    assert evaluate(repeat(2), 2, pairs[1:])["per_image"] == whole["per_image"][1:]


def test_the_command_looks_for_pairs_once(folder, weights_file, monkeypatch):
    calls = []
    monkeypatch.setattr("span_keras.evaluate.find_pairs", lambda data: calls.append(data) or find_pairs(data))
    assert run("-w", weights_file, "--data", folder).exit_code == 0
    assert calls == [folder]


def test_json_is_the_only_output_and_keeps_the_contract(folder, weights_file):
    result = run("--weights", weights_file, "--data", folder, "--scale", 2, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert set(found) == {"weights", "scale", "images", "psnr_y", "ssim_y", "psnr_rgb", "lr", "per_image"}
    assert (found["weights"], found["scale"], found["images"]) == (str(weights_file), 2, 3)
    assert set(found["per_image"][0]) == {"name", "psnr_y", "ssim_y", "psnr_rgb"}


def test_what_is_assumed_of_a_network_is_told(folder, tmp_path):
    plain = write_zip(tmp_path / "plain.pth", state_dict(nearest_weights(SpanConfig.official(2, 4, blocks=1))))
    result = run("-w", plain, "--data", folder, "--json", "--variant", "official")
    assert json.loads(result.stdout)["images"] == 3
    assert "plain.pth does not tell all about its network; found img_range 255, rgb_mean" in result.stderr
    assert "variant" not in result.stderr


def test_the_table_shows_every_image_the_mean_and_how_lr_was_made(folder, weights_file):
    result = run("-w", weights_file, "--data", folder)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[:5]] == ["image", "a.png", "b.png", "c.bmp", "mean"]
    assert "×2, 3 images, LR made by MATLAB-compatible bicubic shrinking, shave 2" in lines[5]


def test_equal_images_have_infinite_psnr_which_json_calls_null(tmp_path, weights_file, monkeypatch):
    (tmp_path / "flat").mkdir()
    write_image(tmp_path / "flat" / "a.png", Picture(np.full((30, 30, 3), 77, np.uint8)))
    assert evaluate(repeat(2), 2, tmp_path / "flat")["psnr_y"] == float("inf")
    monkeypatch.setattr("span_keras.inference.upscaler.Upscaler.upscale_rgb", lambda self, lr: repeat(2)(lr))
    found = json.loads(run("-w", weights_file, "--data", tmp_path / "flat", "--json").stdout)
    assert found["psnr_y"] is None
    assert found["ssim_y"] == pytest.approx(1)


def test_missing_partners_are_listed_on_both_sides(folder):
    add_lr(folder, 2)
    (folder / "LR" / "a.png").rename(folder / "LR" / "d.png")
    with pytest.raises(DataError, match=r"match by name, found HR without LR: a\.png; LR without HR: d\.png"):
        find_pairs(folder)


def test_names_that_end_like_scales(folder):
    """They count in full where nothing has to match, or where all match."""
    for name in ("box2.png", "box3.png"):
        write_image(folder / "HR" / name, Picture(np.zeros((4, 4, 3), np.uint8)))
    assert [path.name for path, _ in find_pairs(folder / "HR")] == ["a.png", "b.png", "box2.png", "box3.png", "c.bmp"]
    add_lr(folder, 2)
    assert [(hr.stem, lr.name) for hr, lr in find_pairs(folder)][2:4] == [("box2", "box2.png"), ("box3", "box3.png")]


def test_two_files_of_one_name_are_refused(folder):
    add_lr(folder, 2)
    write_image(folder / "LR" / "a_x2.png", Picture(np.zeros((4, 4, 3), np.uint8)))
    with pytest.raises(DataError, match=r"a\.png and .*a_x2\.png both count as the LR image of .*a\.png"):
        find_pairs(folder)
    (folder / "LR" / "a_x2.png").unlink()
    write_image(folder / "HR" / "a.bmp", Picture(np.zeros((4, 4, 3), np.uint8)))
    with pytest.raises(DataError, match="both count as image 'a'"):
        find_pairs(folder)


def named(folder, **names):
    """Empty images of these names in the folders HR and LR."""
    for kind, stems in names.items():
        (folder / kind).mkdir()
        for stem in stems:
            (folder / kind / f"{stem}.png").touch()
    return folder


@pytest.mark.parametrize(
    ("hr", "lr"),
    [
        (["box2", "box3"], ["box2x4", "box3x4"]),
        (["box", "box2"], ["boxx2", "box2x2"]),
        (["bo", "box2"], ["box2", "box2x2"]),
        (["img_001_SRF_4_HR", "img_002_SRF_4_HR"], ["img_001_SRF_4_LR", "img_002_SRF_4_LR"]),
        (["baby_HR", "bird_HR"], ["babyx4", "birdx4"]),
        (["baby", "bird"], ["baby_LR", "bird-x3"]),
        (["baby_x4", "bird_x4"], ["baby", "bird"]),
        (["babyx4_HR", "box2_HR"], ["babyx4_LR", "box2_LR"]),
        (["0801", "0802", "0803"], ["0801x4m", "0802x4d", "0803x4w"]),
        (["0801", "0802"], ["0801x4w1", "0802x4w4"]),
        (["baby_gt", "bird_gt"], ["baby_lq", "bird_lq"]),
        (["baby_GT", "bird_GT"], ["baby_LQ", "bird_LQ"]),
        (["Canon_001_HR", "Canon_002_HR"], ["Canon_001_LR4", "Canon_002_LR4"]),
        (["img_001_SRF_4_HR", "img_002_SRF_4_HR"], ["img_001_LR_x4", "img_002_LRBI_x4"]),
        (["img_001_HR_x4", "img_002_HR_x4"], ["img_001_LRBI_x4", "img_002_LRDN_x4"]),
        (["0801_s001", "0801_s002", "0802_s001"], ["0801x4_s001", "0801x4_s002", "0802x4_s001"]),
        (["car", "car_gt"], ["carx4", "car_gtx4"]),
        (["tex2d", "text"], ["tex2dx2", "textx2"]),
    ],
)
def test_endings_that_do_not_count(tmp_path, hr, lr):
    pairs = find_pairs(named(tmp_path, HR=hr, LR=lr))
    assert [(a.stem, b.stem) for a, b in pairs] == list(zip(hr, lr, strict=True))


def test_names_that_only_look_like_scales_are_not_taken_for_one(tmp_path):
    with pytest.raises(DataError, match=r"HR without LR: box2\.png; LR without HR: box7\.png"):
        find_pairs(named(tmp_path, HR=["box2"], LR=["box7"]))


@pytest.mark.parametrize(
    ("hr", "lr", "message"),
    [
        (["0801"], ["0801x4w1", "0801x4w2"], r"0801x4w1\.png and .*0801x4w2\.png both count as the LR image of"),
        (["baby_gt", "baby_HR"], ["baby_lq", "bird_lq"], r"baby_HR\.png and .*baby_gt\.png both count as image 'baby'"),
        (["0801_s001"], ["0801x4_s002"], r"HR without LR: 0801_s001\.png; LR without HR: 0801x4_s002\.png"),
        (["baby_gtx"], ["baby_lq"], r"HR without LR: baby_gtx\.png"),
    ],
)
def test_different_pictures_stay_different(tmp_path, hr, lr, message):
    with pytest.raises(DataError, match=message):
        find_pairs(named(tmp_path, HR=hr, LR=lr))


def test_weights_that_make_no_numbers_are_named(folder, tmp_path, wild_weights):
    message = one_sentence(run("-w", wild_weights, "--data", folder), 1)
    assert "wild.safetensors makes values of this image that are no finite numbers" in message


def test_an_lr_image_of_the_wrong_size_is_named(folder):
    add_lr(folder, 2)
    with pytest.raises(
        DataError, match=r"a\.png should be 11×13, .*a\.png divided by 3 \(35×41\), found 17×20; check that"
    ):
        evaluate(repeat(3), 3, folder)


def test_images_too_small_to_measure_are_named(tmp_path):
    write_image(tmp_path / "a.png", Picture(np.zeros((12, 30, 3), np.uint8)))
    with pytest.raises(ImageError, match=r"a\.png: SSIM expects one channel of at least 11×11"):
        evaluate(repeat(2), 2, tmp_path)
    write_image(tmp_path / "a.png", Picture(np.zeros((1, 30, 3), np.uint8)))
    with pytest.raises(ImageError, match=r"a\.png is 30×1, too small to be shrunk by 2"):
        evaluate(repeat(2), 2, tmp_path)


def one_sentence(result, code):
    assert result.exit_code == code
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr


def test_bad_use_ends_with_one_sentence(folder, weights_file, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"no image")
    assert "holds no PNG, JPEG" in one_sentence(run("-w", weights_file, "--data", tmp_path / "empty"), 1)
    assert "a.png is not a readable" in one_sentence(run("-w", weights_file, "--data", tmp_path / "bad"), 1)
    assert "none.safetensors" in one_sentence(run("-w", tmp_path / "none.safetensors", "--data", folder), 1)
    assert "upscales ×2, but --scale asks for 4" in one_sentence(
        run("-w", weights_file, "--data", folder, "--scale", 4), 2
    )
    assert "more than twice" in one_sentence(run("-w", weights_file, "--data", folder, "--tile", 5), 1)
    assert "does not exist" in one_sentence(run("-w", weights_file, "--data", tmp_path / "nowhere"), 2)
    assert "Missing option '--data'" in one_sentence(run("-w", weights_file), 2)


@pytest.mark.parametrize("module", ["evaluate", "upscale"])
def test_help_imports_nothing_heavy(module):
    script = f"""
import sys
from click.testing import CliRunner
from span_keras.{module} import main
assert CliRunner().invoke(main, ["--help"]).exit_code == 0
print([name for name in ("keras", "tensorflow", "jax", "numpy", "PIL") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("scale", "name", "psnr", "ssim"),
    [
        (4, "Set5", 32.204, 0.8952),
        (4, "Set14", 28.646, 0.7827),
        (2, "Set5", 38.073, 0.9607),
        (2, "Set14", 33.695, 0.9188),
    ],
)
def test_published_weights_reach_their_published_figures(shared, scale, name, psnr, ssim):
    weights = shared / "official" / f"spanx{scale}_ch48.safetensors"
    found = json.loads(run("-w", weights, "--data", shared / "data" / "bench" / name / f"x{scale}", "--json").stdout)
    assert found["psnr_y"] == pytest.approx(psnr, abs=0.01)
    assert found["ssim_y"] == pytest.approx(ssim, abs=0.0005)
