"""Degradations against Pillow, and what holds whatever is drawn."""

import io
from dataclasses import fields, replace

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

from span_keras.data import degrade
from span_keras.data.degrade import MARGIN, hr_side
from span_keras.data.jpeg import jpeg
from span_keras.data.options import PRESETS, STRENGTHS, Degradations
from span_keras.data.photos import BUNDLED_TRAIN, list_photos
from span_keras.data.resampling import KERNELS, resized
from span_keras.errors import ConfigError, DataError
from span_keras.images import bicubic
from span_keras.network.backend import Random, compiled

NOTHING = Degradations(clean=0, blur=0, first_pass=0, noise=0, jpeg=0)


@pytest.fixture(scope="module")
def tiles() -> np.ndarray:
    """(8, 96, 96, 3) float32 crops of photographs, whole numbers from 0 to 255."""
    photos = [np.asarray(Image.open(path).convert("RGB")) for path in list_photos(BUNDLED_TRAIN)]
    return np.float32([photo[40:136, 60:156] for photo in photos])


def run(tiles, options, scale=4, patch=16, step=0, seed=0):
    """LR and HR of ``degrade``."""
    made = degrade.degrade(ops.convert_to_tensor(tiles), Random(seed, step), options, scale, patch)
    return [ops.convert_to_numpy(images) for images in made]


@pytest.mark.parametrize("subsampled", [False, True])
@pytest.mark.parametrize("quality", [10, 40, 75, 95])
def test_jpeg_is_that_of_pillow(tiles, quality, subsampled):
    def by_pillow(tile):
        buffer = io.BytesIO()
        Image.fromarray(np.uint8(tile)).save(buffer, "JPEG", quality=quality, subsampling=2 if subsampled else 0)
        return np.float32(Image.open(buffer))

    found = jpeg(
        ops.convert_to_tensor(tiles), ops.full((len(tiles),), float(quality)), ops.full((len(tiles),), subsampled)
    )
    difference = np.abs(ops.convert_to_numpy(found) - [by_pillow(tile) for tile in tiles])
    assert difference.mean(axis=(1, 2, 3)).max() <= 1
    assert difference.mean() <= 0.4


@pytest.mark.parametrize("side", [24, 35, 77, 105])
@pytest.mark.parametrize("kernel", ["bilinear", "bicubic", "lanczos"])
def test_resizing_is_that_of_pillow(tiles, kernel, side):
    """But for the rounding and clipping that Pillow does between rows and columns."""
    factors, valid = np.full(len(tiles), side / 96, np.float32), np.full(len(tiles), 96, np.float32)
    numbers = np.full(len(tiles), KERNELS.index(kernel), np.int32)
    found = resized(*map(ops.convert_to_tensor, (tiles, factors, valid)), side, ops.convert_to_tensor(numbers))
    method = Image.Resampling[kernel.upper()]
    expected = np.float32([Image.fromarray(np.uint8(tile)).resize((side, side), method) for tile in tiles])
    difference = np.abs(np.clip(ops.convert_to_numpy(found), 0, 255) - expected)
    assert difference.mean() < 0.4 and np.quantile(difference, 0.999) <= 2


def test_area_resizing_by_a_whole_factor_takes_means(tiles):
    one = ops.ones((len(tiles),))
    found = resized(ops.convert_to_tensor(tiles), one / 4, 96 * one, 24, ops.cast(0 * one, "int32"))
    expected = tiles.reshape(len(tiles), 24, 4, 24, 4, 3).mean((2, 4))
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, atol=1e-3)


def test_beyond_an_image_its_last_row_and_column_repeat(tiles):
    one = ops.ones((len(tiles),))
    bicubic_kernel = ops.cast(KERNELS.index("bicubic") * one, "int32")
    found = ops.convert_to_numpy(resized(ops.convert_to_tensor(tiles), one / 2, 80 * one, 48, bicubic_kernel))
    np.testing.assert_array_equal(found[:, 40:], np.repeat(found[:, 39:40], 8, axis=1))
    np.testing.assert_array_equal(found[:, :, 40:], np.repeat(found[:, :, 39:40], 8, axis=2))
    # What lies beyond the 80 pixels that count was not read.
    spoilt = tiles.copy()
    spoilt[:, 80:] = 0
    again = resized(ops.convert_to_tensor(spoilt), one / 2, 80 * one, 48, bicubic_kernel)
    np.testing.assert_allclose(ops.convert_to_numpy(again)[:, :, :40], found[:, :, :40], atol=1e-3)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_clean_patches_are_the_bicubic_reduction(scale):
    """Of photographs as they are made by threads, but for rounding and the border."""
    patch = 16
    photos = [np.asarray(Image.open(path).convert("RGB")) for path in list_photos(BUNDLED_TRAIN)]
    side = hr_side(patch, scale)
    hr = np.float32([photo[100 : 100 + side, 100 : 100 + side] for photo in photos])
    lr, target = run(hr, Degradations(clean=1), scale, patch)
    assert lr.shape == (len(hr), patch, patch, 3) and target.shape == (len(hr), patch * scale, patch * scale, 3)
    for small, large in zip(lr, target, strict=True):
        expected = bicubic.downscale(np.uint8(large), scale).astype(int)
        inner = np.s_[4:-4, 4:-4]
        # Threads round between the two passes.
        difference = np.abs(small[inner] - expected[inner])
        assert difference.mean() < 0.5 and difference.max() <= 4


def test_without_degradations_size_and_place_are_right(tiles):
    """LR is HR reduced, whatever the kernel, and not moved against it."""
    lr, hr = run(tiles, NOTHING)
    means = hr.reshape(len(hr), 16, 4, 16, 4, 3).mean((2, 4))
    assert np.abs(lr - means).mean() < 6
    for shift in ((0, 1), (1, 0)):
        moved = np.roll(lr, shift, axis=(1, 2))[:, 2:-2, 2:-2]
        assert np.abs(moved - means[:, 2:-2, 2:-2]).mean() > np.abs(lr - means)[:, 2:-2, 2:-2].mean()


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_give_images_of_8_bits(tiles, preset):
    lr, hr = run(tiles, PRESETS[preset])
    for images in (lr, hr):
        assert np.array_equal(images, np.clip(np.round(images), 0, 255))
    differing = sum(np.abs(a - b).mean() > 0.5 for a, b in zip(lr, run(tiles, Degradations(clean=1))[0], strict=True))
    assert differing >= 2


ALWAYS = Degradations(clean=0, blur=1, first_pass=0.5, noise=1, first_jpeg=1, jpeg=1)
"""Everything happens to every patch, but for the first pass, which half of them have."""


RANGES = [field.name for field in fields(Degradations) if isinstance(field.default, tuple)]


@pytest.mark.parametrize(
    ("name", "scale"),
    [(name, scale) for name in STRENGTHS for scale in ([2, 3, 4] if name in RANGES else [4])],
)
def test_every_strength_gives_images_of_8_bits_at_its_limits(tiles, name, scale):
    side = hr_side(4, scale)
    for limit in STRENGTHS[name][1:]:
        value = (limit, limit) if name in RANGES else limit
        for images in run(tiles[:, :side, :side], replace(ALWAYS, **{name: value}), scale, patch=4):
            assert np.array_equal(images, np.clip(np.round(images), 0, 255)), (name, limit)


def test_the_same_seed_and_step_give_the_same_patches(tiles):
    function = compiled(lambda hr, step: degrade.degrade(hr, Random(3, step), PRESETS["photo"], 4, 16))
    first, again, later = (
        [ops.convert_to_numpy(images) for images in function(tiles, np.int32(step))] for step in (5, 5, 6)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], later[0])
    other = run(tiles, PRESETS["photo"], step=5, seed=4)
    assert not np.array_equal(first[0], other[0])


def test_patches_are_cut_anywhere(tiles):
    """So the blocks of the JPEG begin at every place of a patch."""
    places = set()
    ramp = np.broadcast_to(np.arange(96, dtype=np.float32)[None, :, None, None], tiles.shape)
    for step in range(16):
        _, hr = run(np.float32(ramp), NOTHING, step=step)
        places |= set(hr[:, 0, 0, 0].tolist())
    assert places <= {4.0 * top for top in range(MARGIN + 1)} and len(places) == MARGIN + 1


def test_noise_has_the_strength_asked_for():
    grey = np.full((64, 96, 96, 3), 128, np.float32)
    options = replace(NOTHING, noise=1, noise_sigma=(10, 10), shot_noise=0, grey_noise=0)
    lr, _ = run(grey, options)
    assert lr.std() == pytest.approx(10, rel=0.03)
    assert np.abs(np.corrcoef(lr.reshape(-1, 3).T)[0, 1]) < 0.05
    lr, _ = run(grey, replace(options, grey_noise=1))
    assert np.array_equal(lr[..., 0], lr[..., 2])
    lr, _ = run(np.full_like(grey, 32), replace(options, shot_noise=1))
    assert lr.std() == pytest.approx(10 * (32 / 255) ** 0.5, rel=0.05)


def test_blur_has_the_width_asked_for():
    """The variances of a point's image along and across the kernel's axis are the squares of the deviations."""
    point = np.zeros((1, 33, 33, 3), np.float32)
    point[:, 16, 16] = 255
    given = (np.float32([value]) for value in (2.0, 1.0, np.pi / 6))
    found = ops.convert_to_numpy(
        degrade.blurred(ops.convert_to_tensor(point), *map(ops.convert_to_tensor, given), ops.ones((1,), "bool"))
    )
    weight = found[0, ..., 0] / found[0, ..., 0].sum()
    rows, columns = np.mgrid[:33, :33] - 16.0
    along = columns * np.cos(np.pi / 6) + rows * np.sin(np.pi / 6)
    across = rows * np.cos(np.pi / 6) - columns * np.sin(np.pi / 6)
    assert (weight * along**2).sum() == pytest.approx(4, rel=0.03)
    assert (weight * across**2).sum() == pytest.approx(1, rel=0.03)
    assert found.sum() == pytest.approx(3 * 255, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("blur", 1.5),
        ("noise_sigma", (5, 2)),
        ("quality", (0, 50)),
        ("quality", 75),
        ("jpeg", float("nan")),
        ("clean", "all"),
    ],
)
def test_absurd_strengths_are_told(name, value):
    with pytest.raises(ConfigError, match=f"degrade_{name} must be .* from .* to .*, found"):
        Degradations(**{name: value})


def test_every_strength_is_explained():
    assert list(STRENGTHS) == [field.name for field in fields(Degradations)]


def test_the_backends_draw_what_they_are_told():
    random = Random(1, np.int32(2))
    numbers = ops.convert_to_numpy(random.integers(1000, 3))
    assert set(numbers.tolist()) == {0, 1, 2} and numbers.dtype == np.int32
    assert 400 < ops.convert_to_numpy(random.chance(1000, 0.5)).sum() < 600
    assert not ops.convert_to_numpy(random.chance(1000, 0.0)).any()
    assert ops.convert_to_numpy(random.chance(1000, 1.0)).all()
    uniform = ops.convert_to_numpy(random.uniform((1000,), -2.0, 4.0))
    assert uniform.min() >= -2 and uniform.max() <= 4 and abs(uniform.mean() - 1) < 0.3
    assert keras.backend.standardize_dtype(random.normal((2,)).dtype) == "float32"


def test_validation_images_are_degraded_the_same_way_every_time(tiles):
    images = [(f"{number}.png", None, np.uint8(tile)) for number, tile in enumerate(tiles)]
    images.append(("small.png", None, np.uint8(tiles[0, :80, :72])))
    made = degrade.degraded_pairs(images, PRESETS["strong"], 2)
    assert sorted(name for name, _, _ in made) == sorted(name for name, _, _ in images)
    sides = {name: (lr.shape, hr.shape) for name, lr, hr in made}
    assert sides["0.png"] == ((40, 40, 3), (80, 80, 3)) and sides["small.png"] == ((28, 28, 3), (56, 56, 3))
    again = degrade.degraded_pairs(images, PRESETS["strong"], 2)
    for (_, lr, hr), (_, same_lr, same_hr) in zip(made, again, strict=True):
        assert np.array_equal(lr, same_lr) and np.array_equal(hr, same_hr)
    # What is reduced cleanly is nearer to the original than what is degraded.
    clean = degrade.degraded_pairs(images, replace(PRESETS["strong"], clean=1), 2)
    assert np.mean([lr.std() for _, lr, _ in made]) != np.mean([lr.std() for _, lr, _ in clean])


def test_validation_images_that_are_all_too_small_are_refused(tiles):
    small = [("small.png", None, np.uint8(tiles[0, :40, :40]))]
    with pytest.raises(DataError, match="expected validation images of at least 52 pixels a side, found none; name"):
        degrade.degraded_pairs(small, PRESETS["photo"], 4)
