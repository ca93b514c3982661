"""Any size: the networks that are chosen, and results that equal the whole enlargement, reduced."""

import numpy as np
import pytest

from helpers.image_files import random_samples
from helpers.weights import random_weights
from span_keras.errors import ConfigError, ImageError
from span_keras.images import bicubic
from span_keras.images.picture import Picture, to_float, to_samples
from span_keras.images.read import read_image
from span_keras.images.tiling import joined
from span_keras.images.write import write_image
from span_keras.inference import device
from span_keras.inference.files import Job, Options, decode, enlarge, upscale_file
from span_keras.inference.networks import DEFAULT_NETWORKS, NetworkOptions, Networks, load
from span_keras.inference.upscaler import Upscaler
from span_keras.network.config import SpanConfig

SHAPE = (41, 30)


@pytest.fixture(scope="module")
def networks():
    """Small networks of three scales; ×4 is the native one."""
    made = {
        scale: Upscaler(random_weights(SpanConfig(scale=scale, channels=8, blocks=2)), tile=24) for scale in (4, 2, 3)
    }
    return Networks(made.get, made)


@pytest.mark.parametrize(
    ("factor", "scales"),
    [
        *((0.5, []), (1, []), (1.5, [2]), (2, [2]), (2.1, [3]), (3, [3]), (4, [4])),
        *((5, [2, 3]), (8, [2, 4]), (9, [3, 3]), (12, [3, 4]), (16, [4, 4])),
    ],
)
def test_the_fewest_passes_that_exceed_the_factor_least(networks, factor, scales):
    assert [upscaler.scale for upscaler in networks.passes(factor)] == scales


def test_one_network_is_passed_over_the_image_as_often_as_needed(networks):
    two = Networks.of(networks[2])
    assert (two.native, Networks.of(two)) == (2, two)
    assert [upscaler.scale for upscaler in two.passes(7)] == [2, 2, 2]
    restoring = Networks({1: "one"}.get, [1])
    assert restoring.passes(1) == restoring.passes(3) == ["one"]


def test_default_networks_are_loaded_when_they_are_needed():
    networks = load(NetworkOptions(tile=64))
    assert networks.native == next(iter(DEFAULT_NETWORKS))
    (upscaler,) = networks.passes(2)
    assert upscaler.scale == 2 and upscaler.tile == 64 and networks[2] is upscaler
    told = []
    assert load(NetworkOptions("bundled:x2-fast"), told.append).native == 2
    assert told[0].config.scale == 2


@pytest.mark.parametrize(
    ("options", "size", "label"),
    [
        (Options(), (164, 120), "_x4"),
        (Options(outscale=3), (123, 90), "_x3"),
        (Options(outscale=2.5), (102, 75), "_x2.5"),
        (Options(outscale=0.5), (20, 15), "_x0.5"),
        (Options(width=77), (105, 77), "_w77"),
        (Options(height=100), (100, 73), "_h100"),
        (Options(longest=50), (50, 37), "_l50"),
        (Options(width=1), (1, 1), "_w1"),
        (Options(outscale=8), (328, 240), "_x8"),
    ],
)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_size_is_that_of_the_options(tmp_path, networks, options, size, label, channels):
    assert options.label(4) == label
    write_image(tmp_path / "in.png", Picture(random_samples(channels, shape=SHAPE)))
    outcome = upscale_file(Job(tmp_path / "in.png", tmp_path / "out.png", options), networks)
    assert (outcome.height, outcome.width) == size
    assert read_image(tmp_path / "out.png").samples.shape == (*size, channels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(123, 90), (105, 77), (41, 30), (163, 119)])
def test_a_size_is_the_whole_enlargement_reduced(tmp_path, networks, channels, dtype, size):
    only = Networks.of(networks[4])
    values = random_samples(channels, dtype, SHAPE)
    write_image(tmp_path / "in.png", Picture(values))
    job = Job(tmp_path / "in.png", tmp_path / "out.png", Options(outscale=size[0] / SHAPE[0]))
    if size == SHAPE:  # a factor of 1 needs no network
        expected = values
    else:
        whole = joined(networks[4].bands(values, np.uint16), 4 * SHAPE[0])
        expected = to_samples(bicubic.resize(to_float(whole), size), dtype)
    found = upscale_file(job, only)
    assert (found.height, found.width) == size
    found = read_image(tmp_path / "out.png").samples.astype(int)
    # Sums of the same numbers in another order may fall on the other side of a half.
    assert np.abs(found - expected).max() <= 1 and np.abs(found - expected).mean() < 0.01


@pytest.mark.parametrize("size", [(7, 200), (300, 3), (50, 50), (101, 77), (1, 1)])
@pytest.mark.parametrize("cut", [[100], [1] * 100, [33, 60, 7]])
def test_bands_are_resized_as_the_whole(size, cut):
    image = np.random.default_rng(0).random((100, 40, 3), np.float32)
    bands = np.split(image, np.cumsum(cut)[:-1])
    found = np.concatenate(list(bicubic.resize_bands(iter(bands), (100, 40), size)))
    np.testing.assert_allclose(found, bicubic.resize(image, size), atol=2e-6)


def test_two_passes_are_one_network_after_the_other(tmp_path, networks):
    values = random_samples(3, shape=SHAPE)
    write_image(tmp_path / "in.png", Picture(values))
    upscale_file(Job(tmp_path / "in.png", tmp_path / "out.png", Options(outscale=8)), networks)
    np.testing.assert_array_equal(read_image(tmp_path / "out.png").samples, networks[4](networks[2](values)))


def test_tiles_of_all_passes_are_counted(tmp_path, networks):
    write_image(tmp_path / "in.png", Picture(random_samples(3, shape=(50, 30))))
    counts = []
    job = Job(tmp_path / "in.png", tmp_path / "out.png", Options(outscale=8))
    upscale_file(job, networks, counts.append, lambda count: counts.append(-count))
    assert counts[0] > 20 and sum(counts) == 0


def test_too_much_is_refused_before_the_image_is_decoded(tmp_path, networks):
    write_image(tmp_path / "in.png", Picture(random_samples(3, shape=SHAPE)))
    with pytest.raises(ImageError, match=r"in\.png is 30×41 and would have to become ×33\.3; ask for ×16 or less"):
        decode(Job(tmp_path / "in.png", tmp_path / "out.png", Options(width=1000)), 4)


@pytest.mark.parametrize("shape", [(21, 21), (21, 30)])
def test_eight_orientations_are_averaged(shape):
    weights = random_weights(SpanConfig(scale=2, channels=8, blocks=2))
    plain, averaged = Upscaler(weights), Upscaler(weights, tta=True)
    image = to_float(random_samples(3, shape=shape))
    views = [np.rot90(flipped, turns) for flipped in (image, image[:, ::-1]) for turns in range(4)]
    made = [plain.upscale_rgb(np.ascontiguousarray(view)) for view in views]
    back = [np.rot90(result, -(number % 4)) for number, result in enumerate(made)]
    expected = np.mean(back[:4] + [result[:, ::-1] for result in back[4:]], 0)
    np.testing.assert_allclose(averaged.upscale_rgb(image), expected, atol=1e-5)
    turned = averaged.upscale_rgb(np.ascontiguousarray(np.rot90(image)))
    np.testing.assert_allclose(turned, np.rot90(expected), atol=1e-5)
    tiles = Upscaler(weights, tile=20, tta=True)  # fewer orientations at a time
    np.testing.assert_allclose(tiles.upscale_rgb(image), expected, atol=1e-5)


def test_alpha_is_laid_over_the_background_where_the_format_has_none(tmp_path, networks):
    values = random_samples(4, shape=SHAPE)
    values[..., 3] = 0
    write_image(tmp_path / "in.png", Picture(values))
    job = Job(tmp_path / "in.png", tmp_path / "out.jpg", Options(outscale=1))
    with pytest.raises(ImageError, match=r"JPEG cannot hold transparency, which out\.jpg would need; .* --background"):
        upscale_file(job, networks)
    job = Job(job.source, job.target, Options(outscale=1, background=(255, 0, 0)))
    (note,) = upscale_file(job, networks).notes
    assert note == f"{job.source} has transparency, which out.jpg cannot hold; it is laid over #ff0000."
    assert np.abs(read_image(job.target).samples.astype(int) - [254, 0, 0]).max() <= 2
    kept = upscale_file(Job(job.source, tmp_path / "out.png", job.options), networks)
    assert kept.notes == () and read_image(tmp_path / "out.png").samples.shape == (*SHAPE, 4)


@pytest.mark.parametrize(
    ("shape", "channels", "target", "becomes"),
    [
        ((1, 9000), 1, "out.webp", "out.png"),
        ((10, 10), 4, "out.jpg", "out.png"),
        ((10, 10), 3, "out.jpg", "out.jpg"),
    ],
)
def test_the_next_format_that_holds_the_result_is_taken(tmp_path, networks, shape, channels, target, becomes):
    write_image(tmp_path / "in.png", Picture(random_samples(channels, shape=shape)))
    job = Job(tmp_path / "in.png", tmp_path / target, Options(outscale=2), adapt=True)
    enlarged = enlarge(job, decode(job, 4), networks)
    assert enlarged.target == tmp_path / becomes
    assert len(enlarged.notes) == (target != becomes)


def test_devices(monkeypatch):
    for name in ("CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS"):
        monkeypatch.setenv(name, "5,7" if name.startswith("CUDA") else "")
    device.choose("auto")
    device.choose("gpu:1")
    assert device.os.environ["CUDA_VISIBLE_DEVICES"] == "7"
    with pytest.raises(ConfigError, match="expected one of 1 GPUs from gpu:0, found gpu:3"):
        device.choose("gpu:3")
    device.choose("cpu")
    assert (device.os.environ["CUDA_VISIBLE_DEVICES"], device.os.environ["JAX_PLATFORMS"]) == ("-1", "cpu")
    for name in ("tpu", "gpu:", "gpu:x", "cpu:1"):
        if name != "gpu:":
            with pytest.raises(ConfigError, match="expected the device auto, cpu, gpu or gpu:NUMBER"):
                device.choose(name)
    device.check("auto")
    monkeypatch.setattr("keras.distribution.list_devices", lambda kind: [])
    with pytest.raises(ConfigError, match="expected a GPU for --device gpu, found none"):
        device.check("gpu")
