"""What ``Upscaler`` takes, and that it gives it back in kind, as the command does."""

import numpy as np
import pytest
from PIL import Image

from helpers.image_files import random_samples
from helpers.weights import random_weights
from span_keras.errors import ImageError
from span_keras.images.picture import Metadata, Picture, to_samples
from span_keras.images.read import read_image
from span_keras.images.write import write_image
from span_keras.inference.evaluation import evaluate
from span_keras.inference.files import Job, upscale_file
from span_keras.inference.upscaler import Upscaler
from span_keras.network.config import SpanConfig

HEIGHT, WIDTH = 21, 30


@pytest.fixture(scope="module")
def upscaler():
    return Upscaler(random_weights(SpanConfig(scale=2, channels=8, blocks=2)), tile=24)


def samples(channels, dtype=np.uint8):
    return random_samples(channels, dtype, (HEIGHT, WIDTH))


def by_command(upscaler, values, folder):
    write_image(folder / "in.png", Picture(values))
    upscale_file(Job(folder / "in.png", folder / "out.png"), upscaler)
    return read_image(folder / "out.png").samples


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_an_array_comes_back_in_kind_and_as_the_command_makes_it(tmp_path, upscaler, channels, dtype):
    values = samples(channels, dtype)
    if channels == 4:
        values[5:15, 5:25, 3] = 0
    found = upscaler(values)
    assert found.shape == (2 * HEIGHT, 2 * WIDTH, channels) and found.dtype == dtype
    np.testing.assert_array_equal(found, by_command(upscaler, values, tmp_path))


def test_a_plane_stays_a_plane_and_grey_stays_grey(tmp_path, upscaler):
    grey = samples(1)
    found = upscaler(grey[..., 0])
    assert found.shape == (2 * HEIGHT, 2 * WIDTH)
    np.testing.assert_array_equal(upscaler(grey.repeat(3, 2)), np.repeat(found[..., None], 3, 2))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_floating_point_is_upscaled_like_integers(upscaler, channels, dtype):
    values = samples(channels)
    found = upscaler((values / 255).astype(dtype))
    assert found.dtype == dtype and found.min() >= 0 and found.max() <= 1
    difference = to_samples(found, np.uint8).astype(int) - upscaler(values)
    assert np.abs(difference).max() <= (2 if dtype == np.float16 else 0)


@pytest.mark.parametrize(
    ("mode", "returned"),
    [("1", "L"), ("L", "L"), ("LA", "LA"), ("P", "RGB"), ("RGB", "RGB"), ("RGBA", "RGBA"), ("CMYK", "RGB")],
)
def test_a_pil_image_comes_back_as_one(upscaler, mode, returned):
    image = Image.fromarray(samples(4)).convert("RGB" if mode in ("P", "CMYK") else "RGBA").convert(mode)
    image.info["dpi"] = (300, 300)
    found = upscaler(image)
    assert isinstance(found, Image.Image)
    assert (found.mode, found.size) == (returned, (2 * WIDTH, 2 * HEIGHT))
    assert found.info["dpi"] == (300, 300)
    assert ("icc_profile" in found.info) == (mode == "CMYK")
    if mode != "CMYK":
        np.testing.assert_array_equal(np.asarray(found), upscaler(np.asarray(image.convert(returned))))


def test_a_pil_image_of_16_bits_or_a_transparent_colour(tmp_path, upscaler):
    deep = samples(1, np.uint16)[..., 0]
    found = upscaler(Image.fromarray(deep))
    assert found.mode == "I;16"
    np.testing.assert_array_equal(np.asarray(found), upscaler(deep))
    Image.fromarray(samples(3)).quantize(9).save(tmp_path / "a.png", transparency=2)
    with Image.open(tmp_path / "a.png") as image:
        found = upscaler(image)
        assert found.mode == "RGBA" and "transparency" not in found.info
        np.testing.assert_array_equal(np.asarray(found), upscaler(np.asarray(image.convert("RGBA"))))


def test_a_file_comes_back_as_a_picture_with_its_metadata(tmp_path, upscaler):
    values = samples(4, np.uint16)
    write_image(tmp_path / "a.png", Picture(values, Metadata(texts={"Title": "t"})))
    for given in (tmp_path / "a.png", str(tmp_path / "a.png"), read_image(tmp_path / "a.png")):
        found = upscaler(given)
        assert isinstance(found, Picture) and found.metadata.texts == {"Title": "t"}
        np.testing.assert_array_equal(found.samples, upscaler(values))
    with pytest.raises(ImageError, match=r"none\.png does not exist"):
        upscaler(tmp_path / "none.png")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full((9, 9, 3), 254.5), r"expected floating point in \[0, 1\], found 254\.5 to 254\.5; divide 0 to 255 by"),
        (np.full((9, 9, 3), -0.01, np.float32), r"found -0\.01 to -0\.01"),
        (np.full((9, 9), np.nan), "found nan to nan"),
        (np.zeros((9, 9, 5), np.uint8), r"with 1 to 4 channels, found \(9, 9, 5\); pass one image at a time"),
        (np.zeros((1, 9, 9, 3), np.uint8), r"found \(1, 9, 9, 3\)"),
        (np.zeros(9), r"found \(9,\)"),
        (np.zeros((9, 9, 3), np.int64), "type uint8, uint16 or floating point, found int64"),
        (np.zeros((9, 9), bool), "found bool"),
        (np.zeros((0, 9, 3), np.uint8), "at least one pixel, found 9×0"),
        (Image.new("HSV", (9, 9)), "the image has samples of kind HSV; save it as 8- or 16-bit grey or RGB"),
        (Image.fromarray(np.full((9, 9), 70_000, np.int32)), "the image has 32-bit samples"),
    ],
)
def test_other_images_are_refused_in_one_sentence(upscaler, image, message):
    with pytest.raises(ImageError, match=message):
        upscaler(image)


def test_an_opened_image_that_is_damaged(tmp_path, upscaler):
    write_image(tmp_path / "a.png", Picture(samples(3)))
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:800])
    with Image.open(tmp_path / "a.png") as image, pytest.raises(ImageError, match="the image is damaged or truncated"):
        upscaler(image)


def test_evaluation_measures_the_network_alone(tmp_path, upscaler):
    """Grey as RGB, not as one plane: so do the papers that its figures are compared with."""
    write_image(tmp_path / "grey.png", Picture(samples(1).repeat(2, 0).repeat(2, 1)))
    assert evaluate(upscaler, 2, tmp_path) == evaluate(upscaler.upscale_rgb, 2, tmp_path)
    assert evaluate(upscaler, 2, tmp_path) != evaluate(lambda lr: upscaler(lr), 2, tmp_path)
