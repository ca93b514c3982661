"""Photographs to patches: pairing, sampling, reproducibility, teachers, impossible settings."""

import keras
import numpy as np
import pytest
from PIL import Image

from helpers.patches import enlarge, equal, make, smooth
from span_keras.data.decode import load_pair
from span_keras.data.options import PRESETS, Degradations
from span_keras.errors import DataError
from span_keras.images import bicubic, orientation


@pytest.mark.parametrize("augment", [False, True])
def test_every_lr_patch_belongs_to_its_hr_patch(folder, augment):
    scale, patch = 2, 8
    lr, hr = make(folder, augment=augment, batch_size=40)[0]
    assert lr.shape == (40, patch, patch, 3) and hr.shape == (40, 16, 16, 3)
    assert lr.dtype == hr.dtype == np.uint8
    for one_lr, one_hr in zip(lr, hr, strict=True):
        # Away from the border, where the patch's own reduction lacks context.
        own = bicubic.downscale(one_hr, scale)[2:-2, 2:-2].astype(int)
        assert np.abs(own - one_lr[2:-2, 2:-2]).max() <= 1


def test_all_eight_orientations_occur_and_are_exact():
    patch = smooth(12, 12)
    views = [orientation.turned(patch, number) for number in range(8)]
    expected = {np.rot90(flip, k).tobytes() for flip in (patch, patch[::-1]) for k in range(4)}
    assert len(expected) == 8 and {view.tobytes() for view in views} == expected
    on_device = keras.ops.convert_to_numpy(orientation.turn_each(np.stack([patch] * 8), np.arange(8, dtype=np.uint8)))
    assert np.array_equal(on_device, views) and on_device.dtype == np.uint8
    for number, view in enumerate(views):
        assert np.array_equal(orientation.turned(view, orientation.INVERSE[number]), patch)


def test_turning_can_be_left_to_the_device(folder):
    dataset = make(folder, batch_size=24, shard=(1, 2), teacher=enlarge)
    *batch, numbers = dataset.unturned(3)
    assert numbers.shape == (12,) and len(set(numbers)) > 4
    turned = [keras.ops.convert_to_numpy(orientation.turn_each(images, numbers)) for images in batch]
    assert equal(turned, dataset[3])


def test_patches_are_slices_of_the_photograph_and_reach_its_corners(tmp_path):
    picture = smooth(20, 24)
    Image.fromarray(picture).save(tmp_path / "a.png")
    _, hr = make(tmp_path, augment=False, batch_size=400)[0]
    positions = {}
    for top in range(0, 5, 2):
        for left in range(0, 9, 2):
            positions[picture[top : top + 16, left : left + 16].tobytes()] = (top, left)
    found = {positions[patch.tobytes()] for patch in hr}
    assert found == set(positions.values())


def test_photographs_are_drawn_by_area(tmp_path):
    Image.fromarray(np.full((40, 40, 3), 10, np.uint8)).save(tmp_path / "small.png")
    Image.fromarray(np.full((80, 120, 3), 200, np.uint8)).save(tmp_path / "large.png")
    _, hr = make(tmp_path, batch_size=4000)[0]
    share = (hr[:, 0, 0, 0] == 10).mean()
    assert abs(share - 1600 / 11200) < 0.03  # five standard deviations


def test_reduced_copies_count_as_further_photographs(folder):
    dataset = make(folder, hr_scales=(0.5, 0.4), patch=10)
    # 40×41 pixels, reduced by 0.4, no longer hold an HR patch of 20.
    assert dataset.describe().startswith("3 photographs and 5 reduced copies")
    held = sorted(hr.shape[:2] for _, hr in dataset.working_sets.at(0).photos)
    assert held == [(20, 20), (20, 28), (24, 34), (36, 24), (40, 40), (44, 30), (50, 70), (90, 60)]
    picture = Image.open(folder / "a.png")
    half = np.asarray(picture.resize((35, 25), Image.Resampling.LANCZOS))
    lr, hr = load_pair(folder / "a.png", 2, 0.5)
    assert np.array_equal(hr, half[:24, :34])
    assert np.abs(lr.astype(int) - bicubic.downscale(np.ascontiguousarray(hr), 2)).max() <= 1
    assert not dataset.skipped


def test_a_batch_depends_on_seed_epoch_and_index_alone(folder):
    options = {"degradations": PRESETS["photo"]}
    first, second = make(folder, **options), make(folder, **options)
    second.epoch = 3
    for _ in range(3):
        first.on_epoch_end()
    expected = first[4]
    second[0], second[2]
    assert equal(second[4], expected)
    assert not equal(second[3], expected)
    first.on_epoch_end()
    assert not equal(first[4], expected)
    other = make(folder, seed=1, **options)
    other.epoch = 3
    assert not equal(other[4], expected)


def test_shards_are_the_parts_of_the_whole_batch(folder):
    whole = make(folder)[1]
    parts = [make(folder, shard=(i, 3))[1] for i in range(3)]
    assert equal([np.concatenate(side) for side in zip(*parts, strict=True)], whole)


def test_keras_iterates_it_in_order_with_several_workers(folder):
    from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

    dataset = make(folder, workers=3)
    adapter = PyDatasetAdapter(dataset, shuffle=False)
    expected = make(folder)
    for _ in range(2):
        adapter.on_epoch_begin()
        batches = list(adapter.get_numpy_iterator())
        adapter.on_epoch_end()
        assert len(batches) == 5
        assert all(equal(batch, expected[i]) for i, batch in enumerate(batches))
        expected.on_epoch_end()
    assert dataset.epoch == 2


def test_past_the_end_is_an_index_error(folder):
    with pytest.raises(IndexError):
        make(folder)[5]


def test_degraded_patches_are_of_the_photographs(folder):
    """Only reduced, they are what threads make of the same place, but for rounding and what lies beside a patch."""
    lr, hr = make(folder, scale=2, patch=12, batch_size=24, degradations=Degradations(clean=1))[0]
    assert lr.shape == (24, 12, 12, 3) and hr.shape == (24, 24, 24, 3) and lr.dtype == hr.dtype == np.uint8
    expected = np.stack([bicubic.downscale(np.ascontiguousarray(patch), 2) for patch in hr]).astype(int)
    assert np.abs(lr.astype(int) - expected)[:, 4:-4, 4:-4].max() <= 4
    degraded, _ = make(folder, scale=2, patch=12, batch_size=24, degradations=PRESETS["strong"])[0]
    assert np.abs(degraded.astype(int) - lr).mean() > 3


def test_degrading_can_be_left_to_the_device(folder):
    """With the number of the step, which goes through all epochs."""
    dataset = make(folder, degradations=PRESETS["photo"])
    dataset.epoch = 2
    hr, numbers = dataset.unturned(3)
    assert hr.shape == (6, dataset.degrader.hr_side, dataset.degrader.hr_side, 3)
    turned = keras.ops.convert_to_numpy(orientation.turn_each(hr, numbers))
    assert equal(dataset.degrader.arrays(turned, 2 * 5 + 3), dataset[3])


def test_a_teachers_patches_lie_where_the_others_do(folder):
    """In every orientation."""
    plain = make(folder, batch_size=24)[0]
    lr, hr, teacher_sr = make(folder, batch_size=24, teacher=enlarge)[0]
    assert equal((lr, hr), plain)
    assert np.array_equal(teacher_sr, lr.repeat(2, 1).repeat(2, 2))


@pytest.mark.parametrize(
    ("enlarge", "found"),
    [
        (lambda lr: lr.repeat(3, 0).repeat(3, 1), r"\(50, 70, 3\) uint8 .* found \(75, 105, 3\) uint8; .* must be 2"),
        (lambda lr: lr.repeat(2, 0).repeat(2, 1) / np.float32(255), r"found \(50, 70, 3\) float32"),
    ],
)
def test_a_teacher_that_does_not_fit(folder, enlarge, found):
    with pytest.raises(DataError, match=found):
        make(folder / "a.png", teacher=enlarge)[0]


def test_float_batches_are_the_same_patches(folder):
    for whole, fraction in zip(make(folder)[1], make(folder, dtype="float32")[1], strict=True):
        assert fraction.dtype == np.float32
        np.testing.assert_allclose(fraction, whole / 255, atol=1e-7)


def test_plain_keras_fit_trains_on_it(folder):
    """A compiled ``build_span`` model learns from the dataset with nothing of our own in between."""
    from span_keras import SpanConfig, build_span, initialise

    keras.utils.set_random_seed(0)
    model = build_span(SpanConfig(scale=2, channels=4, blocks=1))
    initialise(model)
    model.compile("adam", "mae")
    dataset = make(folder, dtype=None)
    assert {patches.dtype for patches in dataset[0]} == {np.dtype("float32")}
    history = model.fit(dataset, epochs=4, shuffle=False, verbose=0).history["loss"]
    assert history[-1] < 0.9 * history[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 5}, r"scale among \(2, 3, 4\), found 5"),
        ({"patch": 0}, "patch size of 1 or more, found 0"),
        ({"batch_size": -1}, "batch size of 1 or more, found -1"),
        ({"steps_per_epoch": 2.5}, r"steps per epoch of 1 or more, found 2\.5"),
        ({"seed": -1}, "seed of 0 or more, found -1"),
        ({"degradations": Degradations(), "teacher": lambda lr: lr}, "a teacher or degradations, found both"),
        ({"degradations": Degradations(), "patch": 90}, "of at least 196 pixels a side"),
        ({"hr_scales": (0.5, 1.0)}, r"HR scales above 0 and below 1, found 0\.5, 1\.0"),
        ({"dtype": "float32", "teacher": lambda lr: lr}, "one target with dtype float32, found two"),
        ({"hr_scales": ("0.5",)}, "HR scales above 0 and below 1, found 0.5"),
        ({"dtype": "float16"}, "dtype uint8 or float32, found 'float16'"),
        ({"shard": (0, 4)}, "4 processes share evenly, found 6"),
        ({"patch": 1000}, "smaller than the 2000×2000 HR patch"),
    ],
)
def test_impossible_settings(folder, options, message):
    with pytest.raises(DataError, match=message):
        make(folder, **options)
