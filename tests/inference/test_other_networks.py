"""Networks of scales 1 to 8, and for other channels than RGB: loaded, run on every kind of image, evaluated."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from helpers.torch_files import state_dict, write_zip
from helpers.weights import nearest_weights
from span_keras import Picture, Upscaler, evaluate, upscale
from span_keras.checkpoints import load_weights
from span_keras.constants import CHANNEL_PAIRS, LUMA
from span_keras.errors import CheckpointError, DataError, ImageError
from span_keras.images.picture import Metadata
from span_keras.inference.evaluation import evaluate as measure
from span_keras.network.config import SpanConfig

PAIRS = [tuple(pair) for pair in CHANNEL_PAIRS]


def network(scale=2, given=3, made=3, **more):
    """A network that repeats every pixel."""
    mean = tuple((0.4, 0.5, 0.6, 0.7)[:given])
    return nearest_weights(
        SpanConfig(scale, 4, 1, "official", rgb_mean=mean, in_channels=given, out_channels=made, **more)
    )


@pytest.fixture
def samples():
    """(9, 11, 4) uint8: colours, and alpha of all kinds."""
    samples = np.random.default_rng(5).integers(0, 256, (9, 11, 4), np.uint8)
    samples[..., 3] = 255
    samples[3:6, 2:5, 3] = 128
    return samples


def repeated(image: np.ndarray, scale: int) -> np.ndarray:
    return image.repeat(scale, 0).repeat(scale, 1)


@pytest.mark.parametrize("scale", range(1, 9))
def test_every_scale(samples, scale):
    rgb = samples[..., :3]
    upscaled = Upscaler(network(scale), tile=16)(rgb)
    np.testing.assert_allclose(np.int16(upscaled), repeated(rgb, scale), atol=1)


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_kind_of_image(samples, pair, channels):
    image = samples[..., {1: [0], 2: [0, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[channels]]
    upscaler = Upscaler(network(2, *pair), tile=16)
    upscaled = upscaler(image)
    colors, alpha = image[..., : channels - (channels % 2 == 0)], image[..., channels - (channels % 2 == 0) :]
    luma = np.rint(colors @ np.float32(LUMA)[:, None]) if colors.shape[2] == 3 else colors
    expected = {
        (1, 3): np.repeat(luma, 3, 2),
        # The network takes the mean of the colours for grey.
        (3, 1): np.rint(colors.mean(2, keepdims=True)),
    }.get(pair, colors)
    expected = np.concatenate([expected, alpha], 2)
    assert upscaled.shape[2] == upscaler.result_channels(channels) == expected.shape[2]
    np.testing.assert_allclose(np.int16(upscaled), repeated(expected, 2), atol=1)


@pytest.mark.parametrize("pair", PAIRS)
def test_grey_stored_as_rgb(samples, pair):
    grey = np.repeat(samples[..., :1], 3, 2)
    upscaled = Upscaler(network(2, *pair))(grey)
    assert upscaled.shape[2] == (1 if pair == (3, 1) else 3)
    np.testing.assert_allclose(np.int16(upscaled), repeated(grey, 2)[..., : upscaled.shape[2]], atol=1)


def test_a_plane_and_a_pil_image(samples):
    assert Upscaler(network(2, 1, 1))(samples[..., 0]).shape == (18, 22)
    assert Upscaler(network(2, 1, 3))(samples[..., 0]).shape == (18, 22, 3)
    assert Upscaler(network(2, 3, 1))(Image.fromarray(samples)).mode == "LA"


@pytest.mark.parametrize(("pair", "space", "kept"), [((1, 1), b"GRAY", True), ((1, 3), b"GRAY", False)])
def test_a_profile_for_other_channels_is_left_out(samples, pair, space, kept):
    profile = b"\0" * 16 + space + b"\0" * 108
    picture = Picture(samples[..., :1], Metadata(icc=profile))
    assert Upscaler(network(2, *pair))(picture).metadata.icc == (profile if kept else None)


def test_evaluation_of_a_grey_network(samples, tmp_path):
    Image.fromarray(samples[:8, :10, :3]).resize((40, 32)).save(tmp_path / "a.png")
    results = {pair: measure(Upscaler(network(2, *pair)), 2, tmp_path) for pair in PAIRS}
    assert results[1, 1] == pytest.approx(results[3, 3], abs=0.1), "each colour by itself"
    assert results[4, 4]["psnr_y"] == pytest.approx(results[3, 3]["psnr_y"], abs=1e-4)
    assert results[1, 3]["psnr_y"] > 20 > results[1, 3]["psnr_rgb"], "grey has no colours"


def test_evaluation_of_a_restorer_needs_lr_images(samples, tmp_path):
    for folder in ("HR", "LR"):
        (tmp_path / folder).mkdir()
        Image.fromarray(samples[..., :3]).resize((44, 36)).save(tmp_path / folder / "a.png")
    assert measure(Upscaler(network(1)), 1, tmp_path)["psnr_y"] > 50
    with pytest.raises(DataError, match=r"expected LR/ beside HR/ for a network of scale 1, found HR images alone"):
        measure(Upscaler(network(1)), 1, tmp_path / "HR")


# Files that do not tell -----------------------------------------------------------------------------------------------


@pytest.fixture
def unknown(tmp_path, make_weights):
    """A file whose network resembles nothing."""
    return write_zip(tmp_path / "unknown.pth", state_dict(make_weights(SpanConfig.official(2, 4, blocks=1))))


@pytest.fixture
def community(tmp_path):
    """A file of another trainer: range 1, no mean."""
    config = SpanConfig.official(2, 4, blocks=1, img_range=1.0, rgb_mean=(0, 0, 0))
    return write_zip(tmp_path / "community.pth", state_dict(nearest_weights(config)))


def test_the_upscaler_refuses_a_file_of_unknown_convention(unknown, community, samples):
    with pytest.raises(CheckpointError, match="does not tell its input's range and mean"):
        Upscaler(unknown)
    Upscaler(load_weights(unknown, img_range=255.0, rgb_mean=(0, 0, 0)))
    np.testing.assert_allclose(np.int16(Upscaler(community)(samples)), repeated(samples, 2), atol=1)


def test_commands_find_the_convention_or_refuse(tmp_path, unknown, community, samples):
    Image.fromarray(samples).save(tmp_path / "a.png")
    arguments = [str(tmp_path / "a.png"), "-o", str(tmp_path / "b.png"), "-w"]
    refused = CliRunner().invoke(upscale.main, [*arguments, str(unknown)])
    assert refused.exit_code == 1
    assert "with none of 6 usual ones its result resembles an enlargement" in refused.stderr
    assert not (tmp_path / "b.png").exists()
    stated = CliRunner().invoke(upscale.main, [*arguments, str(unknown), "--img-range", "255", "--rgb-mean", "0,0,0"])
    assert stated.exit_code == 0, stated.output
    (tmp_path / "b.png").unlink()
    found = CliRunner().invoke(upscale.main, [*arguments, str(community)])
    assert found.exit_code == 0, found.output
    assert "found img_range 1, rgb_mean 0,0,0, variant official; with these" in found.stderr
    np.testing.assert_allclose(np.int16(Image.open(tmp_path / "b.png")), repeated(samples, 2), atol=1)


def test_the_command_takes_a_mean_for_each_channel(tmp_path, make_weights, samples):
    unknown = make_weights(SpanConfig(2, 4, 1, "official", rgb_mean=(0,), in_channels=1, out_channels=1))
    path = write_zip(tmp_path / "a.pth", state_dict(unknown))
    Image.fromarray(samples).save(tmp_path / "a.png")
    arguments = [str(tmp_path / "a.png"), "-o", str(tmp_path / "b.png"), "-w", str(path), "--img-range", "1"]
    assert CliRunner().invoke(upscale.main, [*arguments, "--rgb-mean", "0,0"]).exit_code == 2
    stated = CliRunner().invoke(upscale.main, [*arguments, "--rgb-mean", "0.5"])
    assert stated.exit_code == 0, stated.output


def test_the_command_turns_grey_into_colours(tmp_path, samples):
    weights = network(2, 1, 3)
    path = write_zip(tmp_path / "a.pth", state_dict(replace(weights, config=weights.config)))
    Image.fromarray(samples[..., 0]).save(tmp_path / "a.png")
    arguments = [tmp_path / "a.png", "-o", tmp_path / "b.png", "-w", path, "--img-range", 1]
    done = CliRunner().invoke(upscale.main, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    assert Image.open(tmp_path / "b.png").mode == "RGB"


def test_evaluation_by_the_command(tmp_path, community, samples):
    Image.fromarray(samples[:8, :10, :3]).resize((40, 32)).save(tmp_path / "a.png")
    arguments = ["-w", str(community), "--data", str(tmp_path), "--json", "--scale", "2"]
    done = CliRunner().invoke(evaluate.main, arguments)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["psnr_y"] > 20


def test_levels_are_refused(samples):
    upscaler = Upscaler(network())
    with pytest.raises(ImageError, match=r"expected floating point in \[0, 1\], found 1 to 255; divide 0 to 255"):
        upscaler(np.float32(samples))
    with pytest.raises(ImageError, match=r"expected an image in .*, found values up to 255; divide levels by 255"):
        upscaler.upscale_rgb(np.float32(samples[..., :3]))
