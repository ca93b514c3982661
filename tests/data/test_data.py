"""Photographs to patches: pairing, decoding, sampling, reproducibility, memory and every kind of bad folder."""

import _thread
import hashlib
import os
import shutil
import signal
import struct
import threading
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from helpers.image_files import few_bits, tiff_bytes
from span_keras.data import dataset as dataset_module
from span_keras.data import decode, working_sets
from span_keras.data.dataset import PatchDataset
from span_keras.data.decode import Pair, load_pair, load_validation, opened
from span_keras.data.options import DEGRADATIONS
from span_keras.data.photos import BUNDLED_TRAIN, BUNDLED_VAL, list_photos, name_digest, split_validation
from span_keras.data.variants import degraded
from span_keras.errors import DataError
from span_keras.images import bicubic, orientation


def smooth(height: int, width: int, seed: int = 0) -> np.ndarray:
    """An RGB picture whose every pixel differs from its neighbours, so that a misplaced crop shows."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (height // 6 + 2, width // 6 + 2, 3), dtype=np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture
def folder(tmp_path):
    """Three photographs of different shapes and formats, one in a subfolder."""
    (tmp_path / "more").mkdir()
    Image.fromarray(smooth(50, 70, 1)).save(tmp_path / "a.png")
    Image.fromarray(smooth(40, 41, 2)).save(tmp_path / "b.webp", lossless=True)
    Image.fromarray(smooth(90, 60, 3)).save(tmp_path / "more" / "C.BMP")
    (tmp_path / "notes.txt").write_text("not a photograph")
    return tmp_path


def make(source, **options):
    settings = {"scale": 2, "patch": 8, "batch_size": 6, "steps_per_epoch": 5, "workers": 1}
    return PatchDataset(source, **{**settings, **options})


def enlarge(lr: np.ndarray) -> np.ndarray:
    """Stands for a teacher of x2."""
    return lr.repeat(2, 0).repeat(2, 1)


def equal(batch, other) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(batch, other, strict=True))


# -- pairs


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_pair_is_the_whole_image_reduced(tmp_path, scale, monkeypatch):
    picture = smooth(101, 67)
    Image.fromarray(picture).save(tmp_path / "a.png")
    monkeypatch.setattr(decode, "STRIP", 5)
    lr, hr = load_pair(tmp_path / "a.png", scale)
    assert np.array_equal(hr, picture[: 101 // scale * scale, : 67 // scale * scale])
    # Strips must leave no seam: equal but for rounding in the last bit of a tie.
    whole = bicubic.downscale(np.ascontiguousarray(hr), scale)
    assert lr.shape == (101 // scale, 67 // scale, 3) and lr.dtype == np.uint8
    assert np.abs(lr.astype(int) - whole).max() <= 1 and (lr != whole).mean() < 1e-3


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
    options = {"degrade": ("noise",), "teacher": enlarge}
    dataset = make(folder, batch_size=24, shard=(1, 2), **options)
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


# -- reproducibility


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
    options = {"degrade": DEGRADATIONS}
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
    whole = make(folder, degrade=("noise",))[1]
    parts = [make(folder, degrade=("noise",), shard=(i, 3))[1] for i in range(3)]
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


# -- working sets


@pytest.fixture
def many(tmp_path):
    """Sixteen photographs of one colour each: 16 levels apart, 64×64."""
    for level in range(16):
        Image.fromarray(np.full((64, 64, 3), 16 * level, np.uint8)).save(tmp_path / f"{level:02d}.png")
    return tmp_path


@pytest.fixture
def small_cache(monkeypatch):
    """Makes ``cache_gb`` hold few of the photographs of ``many``, and sets short."""
    monkeypatch.setattr(working_sets, "MAX_DECODERS", 1)
    monkeypatch.setattr(working_sets, "LAG", 4)
    # Room for 2 sets of 4 photographs (15,360 bytes decoded) besides one being decoded (4 · 4,096 bytes).
    return (2 * 5 * 15_360 + 4 * 4_096) / 1e9


def make_in_sets(source, cache_gb, steps: int, **options):
    """A dataset of 4 working sets of 4 photographs that take 8 steps each."""
    dataset = make(source, cache_gb=cache_gb, steps_per_epoch=steps, batch_size=256, **options)
    assert "4 working sets" in dataset.describe() and dataset.working_sets.steps_per_set == 8
    return dataset


def test_more_photographs_than_fit_are_used_in_turn(many, small_cache):
    dataset = make_in_sets(many, small_cache, 64)
    # The sets of one turn share no photograph and cover all.
    levels = [{int(patch[0, 0, 0]) for patch in dataset[8 * number][0]} for number in range(8)]
    assert all(len(group) == 4 for group in levels)
    for turn in (levels[:4], levels[4:]):
        assert set().union(*turn) == set(range(0, 256, 16))
    assert levels[:4] != levels[4:]


def test_working_sets_never_hold_more_than_the_bound(many, small_cache, monkeypatch):
    held, most, lock = set(), [0], threading.Lock()
    load = load_pair

    class Held(Pair):
        def __del__(self):
            with lock:
                held.discard(id(self))

    def counted(*arguments):
        pair = Held(*load(*arguments))
        with lock:
            held.add(id(pair))
            most[0] = max(most[0], len(held))
        return pair

    monkeypatch.setattr(dataset_module, "load_pair", counted)
    dataset = make_in_sets(many, small_cache, 100)
    for index in range(100):
        dataset[index]
    # Two sets of four, and what is being decoded; all sixteen would be there if sets were kept.
    assert 8 <= most[0] <= 10


def test_any_batch_can_be_made_again_with_working_sets(many, small_cache):
    first = make_in_sets(many, small_cache, 40)
    in_order = [first[i] for i in range(40)]
    again = make_in_sets(many, small_cache, 40)
    for index in (39, 0, 17, 8, 7, 30):
        assert equal(again[index], in_order[index])


def test_working_sets_are_the_same_on_every_machine(many, monkeypatch):
    """However many processors it has."""
    batches = []
    for processors in (1, 2, 64):
        monkeypatch.setattr(os, "cpu_count", lambda processors=processors: processors)
        dataset = make(many, cache_gb=200_000 / 1e9, steps_per_epoch=40, batch_size=256)
        assert dataset.set_count > 1
        batches.append([dataset[i] for i in (0, 20)])
    assert all(equal(a, b) for made in batches[1:] for a, b in zip(batches[0], made, strict=True))


def test_a_teacher_takes_room_and_follows_the_working_sets(many, small_cache):
    # LR, HR and the teacher's output: 9/5 of what LR and HR alone take.
    dataset = make_in_sets(many, 9 / 5 * small_cache, 40, teacher=enlarge)
    for lr, _, teacher_sr in (dataset[index] for index in (0, 9, 39)):
        assert np.array_equal(teacher_sr, lr.repeat(2, 1).repeat(2, 2))


def test_a_cache_too_small_for_a_photograph_says_what_it_takes(many):
    with pytest.raises(DataError, match=r"cache of 1e-06 GB is too small for .*png .*give at least 0\.\d\d GB"):
        make(many, cache_gb=1e-6)


def test_closed_it_decodes_no_further(many, small_cache, monkeypatch):
    decoding, go_on = threading.Event(), threading.Event()
    load, loaded = load_pair, []

    def slow(*args):
        loaded.append(args)
        decoding.set()
        go_on.wait(60)
        return load(*args)

    monkeypatch.setattr(dataset_module, "load_pair", slow)
    dataset = make_in_sets(many, small_cache, 64)
    threading.Thread(target=dataset.working_sets.at, args=(0,), daemon=True).start()
    assert decoding.wait(60)
    dataset.close()
    go_on.set()
    dataset.working_sets.at(0)
    assert len(loaded) == 1, "a set has four"


def test_interrupted_it_tells_of_no_further_photographs(many, monkeypatch):
    go_on, load, told = threading.Event(), load_pair, []

    def interrupted(*args):
        if not go_on.is_set():
            _thread.interrupt_main()
            go_on.wait(60)
        return load(*args)

    monkeypatch.setattr(dataset_module, "load_pair", interrupted)
    monkeypatch.setattr(working_sets, "decoder_count", lambda: 1)
    # A shell's background jobs inherit that the signal is ignored.
    before, handler = threading.enumerate(), signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            make(many, progress=lambda done, total: told.append(done))
    finally:
        go_on.set()
        signal.signal(signal.SIGINT, handler)
    for thread in set(threading.enumerate()) - set(before):
        thread.join(60)
    assert told == []


def test_corrupt_photographs_in_a_working_set_are_skipped(many, small_cache):
    whole = (many / "03.png").read_bytes()
    (many / "03.png").write_bytes(whole[: len(whole) // 2])
    dataset = make_in_sets(many, small_cache, 64)
    for number in range(4):
        dataset[8 * number]
    assert [path.name for path in dataset.skipped] == ["03.png"]


def spoil(path: Path) -> None:
    """Leave the header alone, so that only decoding tells."""
    path.write_bytes(path.read_bytes()[:50])


def test_a_working_set_without_any_usable_photograph_gives_way_to_the_next(many, small_cache):
    sets = make_in_sets(many, small_cache, 64).working_sets.shuffled(0)
    for photo in sets[1]:
        spoil(photo.path)
    datasets = make_in_sets(many, small_cache, 64), make_in_sets(many, small_cache, 64)
    batch = datasets[0][8]
    assert set(batch[0][:, 0, 0, 0]) == {16 * int(photo.path.stem) for photo in sets[2]}
    datasets[1][16]
    assert equal(datasets[1][8], batch), "whatever was drawn before"
    # The last set of a turn gives way to those of the next turn, until all photographs have had their chance.
    left = sets[0][0].path
    for path in many.iterdir():
        if path != left:
            spoil(path)
    dataset = make_in_sets(many, small_cache, 64)
    assert all((dataset[8 * number][0] == 16 * int(left.stem)).all() for number in range(8))
    spoil(left)
    with pytest.raises(DataError, match=r"Expected photographs, found none among 16 files .*truncated.*; use others"):
        make_in_sets(many, small_cache, 64)[0]


def test_more_threads_than_a_set_has_steps(many, small_cache, monkeypatch):
    """Those that are far ahead wait, nobody's set is given up, and no more than two are held."""
    load, go_on = load_pair, threading.Event()
    monkeypatch.setattr(dataset_module, "load_pair", lambda *args: go_on.wait(60) and load(*args))
    dataset = make_in_sets(many, small_cache, 64)
    with ThreadPoolExecutor(16) as pool:
        # The first to ask are those that are furthest ahead.
        batches = [pool.submit(dataset.unturned, 2 * index + 1) for index in reversed(range(16))][::-1]
        try:
            while dataset.working_sets.waiting < 16:
                time.sleep(0.01)
            assert len(dataset.working_sets.held) <= 2
        finally:
            go_on.set()
        batches = [batch.result() for batch in batches]
    assert not dataset.working_sets.waiting and len(dataset.working_sets.held) <= 2
    for index, batch in enumerate(batches):
        assert equal(batch, dataset.unturned(2 * index + 1))


# -- decoding


def decoded(path) -> np.ndarray:
    return load_pair(path, 2).hr


def test_exif_orientation_is_applied(tmp_path):
    picture = Image.fromarray(smooth(20, 30))
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90° clockwise to display
    picture.save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(decoded(tmp_path / "a.png"), np.rot90(np.asarray(picture), -1))


def test_grey_palette_and_16_bit_become_rgb(tmp_path):
    grey = smooth(20, 30)[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.png")
    Image.fromarray(grey.astype(np.float32) / 255).save(tmp_path / "float.tiff")
    for name in ("grey.png", "deep.png", "palette.png", "float.tiff"):
        assert np.array_equal(decoded(tmp_path / name), np.repeat(grey[..., None], 3, 2)), name


def test_deep_grey_means_what_its_file_says(tmp_path):
    grey = smooth(20, 30)[..., :1]
    (tmp_path / "inverted.tif").write_bytes(tiff_bytes(65535 - grey * np.uint16(257), photometric=0))
    assert np.array_equal(decoded(tmp_path / "inverted.tif"), np.repeat(grey, 3, 2))


@pytest.mark.parametrize("values", [70_000, -1, 1.5, -0.1, float("nan")])
def test_deep_grey_of_unknown_range_is_skipped(folder, values):
    dtype = np.float32 if isinstance(values, float) else np.int32
    Image.fromarray(np.full((40, 40), values, dtype)).save(folder / "deep.tif")
    with pytest.raises(DataError, match=r"deep\.tif cannot be read as an image: it has values beyond 16 bits, or 1 in"):
        decoded(folder / "deep.tif")
    dataset = make(folder)
    assert "deep.tif (has values beyond" in dataset.describe() and len(dataset.skipped) == 1


def test_transparent_grey_of_few_bits(tmp_path):
    (tmp_path / "a.png").write_bytes(few_bits(4, 5))
    assert np.array_equal(
        decoded(tmp_path / "a.png")[0, :, 0], [17 * (value if value != 5 else 15) for value in range(16)]
    )


def test_transparency_is_laid_over_white(tmp_path):
    rgba = np.zeros((20, 20, 4), np.uint8)
    rgba[:10, :, 3] = 255
    Image.fromarray(rgba).save(tmp_path / "a.png")
    hr = decoded(tmp_path / "a.png")
    assert (hr[:10] == 0).all() and (hr[10:] == 255).all()


def test_cmyk_is_converted(tmp_path):
    Image.new("CMYK", (20, 20), (255, 0, 0, 0)).save(tmp_path / "a.jpg")
    red, green, blue = decoded(tmp_path / "a.jpg")[5, 5]
    assert red < 60 and min(green, blue) > 150


# -- degradations


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_a_degradation_changes_lr_alone(folder, name):
    clean, degraded = make(folder)[0], make(folder, degrade=(name,))[0]
    assert np.array_equal(clean[1], degraded[1])
    difference = np.abs(clean[0].astype(int) - degraded[0]).mean((1, 2, 3))
    assert difference.max() > 0 and difference.mean() < 30


def test_blur_smooths_and_noise_roughens():
    patch = smooth(32, 32)
    roughness = lambda image: np.abs(np.diff(image.astype(int), axis=0)).mean()  # noqa: E731
    rng = np.random.default_rng(0)
    assert roughness(degraded(patch, ("blur",), rng)) < roughness(patch)
    assert roughness(degraded(patch, ("noise",), rng)) > roughness(patch)


# -- files


def test_photographs_are_found_in_subfolders_whatever_their_case(folder):
    (folder / "._a.png").write_bytes(b"left by a Mac")
    assert [path.name for path in list_photos(folder)] == ["a.png", "b.webp", "C.BMP"]
    assert list_photos([folder / "b.webp", folder / "a.png"]) == [folder / "a.png", folder / "b.webp"]
    assert list_photos(folder / "a.png") == [folder / "a.png"]


def test_links_to_folders_are_followed_once(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name in ("b.png", "more.png"):
        shutil.copy(folder / "a.png", elsewhere / name)
    (folder / "d").symlink_to(elsewhere)
    found = ["a.png", "b.webp", "d/b.png", "d/more.png", "more/C.BMP"]
    names = lambda: [str(path.relative_to(folder)) for path in list_photos(folder)]  # noqa: E731
    assert names() == found
    # By another way the same, above everything, and round in circles.
    (folder / "again").symlink_to(elsewhere)
    (folder / "d").unlink()
    (folder / "d").symlink_to(folder / "more")
    (folder / "up").symlink_to(folder.parent)
    (elsewhere / "back").symlink_to(folder)
    assert names() == ["a.png", "again/b.png", "again/more.png", "b.webp", "more/C.BMP"]


def test_names_need_not_be_utf_8():
    path = Path(os.fsdecode(b"caf\xe9/1.png"))
    assert split_validation([path, Path("a.png")], 1)
    # Others keep their place among those held out.
    digest = hashlib.sha256("1 0 True/café/1.png".encode()).digest()
    assert name_digest(Path("café/1.png"), "1 0 True/") == digest


def test_missing_and_empty_folders(tmp_path):
    with pytest.raises(DataError, match=r"found nothing at .*nowhere; check the path"):
        make(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"Expected photographs \(\.png .*found none"):
        make(tmp_path)
    with pytest.raises(DataError, match="empty list"):
        make([])
    (tmp_path / "notes.txt").write_text("not a photograph")
    with pytest.raises(DataError, match=r"Expected a folder of photographs or one photograph .*notes\.txt"):
        make(tmp_path / "notes.txt")


def test_unusable_files_are_skipped_counted_and_named(folder):
    whole = (folder / "a.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("hello")
    (folder / "empty.png").touch()
    Image.fromarray(smooth(15, 100)).save(folder / "thin.png")
    header = struct.pack(">IIBBBBB", 30_000, 20_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(header)) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    (folder / "huge.png").write_bytes(whole[:8] + chunk + whole[33:])
    (folder / "program.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\n")
    dataset = make(folder)
    skipped = {"cut.png", "text.jpg", "empty.png", "thin.png", "huge.png", "program.png"}
    assert {path.name for path in dataset.skipped} == skipped
    text = dataset.describe()
    assert text.startswith("3 photographs") and "6 skipped" in text
    assert "huge.png (claims more than 179 megapixels, the most that is decoded)" in text
    assert "program.png (is not a readable PNG" in text
    assert "thin.png (100×15, smaller than the 16×16 HR patch)" in text
    assert "text.jpg (is not a readable PNG" in text
    assert "cut.png (" in text and "truncated" in text
    assert dataset[0][0].shape == (6, 8, 8, 3)


@pytest.mark.parametrize("error", [RuntimeError("decode failed"), struct.error("unpack requires a buffer")])
def test_whatever_a_decoder_raises_skips_the_file(folder, monkeypatch, error):
    """As seen of damaged AVIF and WebP files."""
    load = Image.Image.load

    def broken(image):
        if image.size == (41, 40):
            raise error
        return load(image)

    monkeypatch.setattr(Image.Image, "load", broken)
    monkeypatch.setattr("PIL.WebPImagePlugin.WebPImageFile.load", broken)
    dataset = make(folder)
    dataset[0]
    assert [path.name for path in dataset.skipped] == ["b.webp"]
    assert str(error) in dataset.skipped[folder / "b.webp"]


@pytest.fixture
def python_warnings(monkeypatch):
    """What is warned of in a process whose filters nobody has touched."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    with warnings.catch_warnings(record=True) as told:
        warnings.resetwarnings()
        yield told


def test_large_photographs_cause_no_remarks(folder, python_warnings):
    make(folder)[0]
    assert not python_warnings


def test_decoding_leaves_the_users_warnings_alone(folder, python_warnings):
    """Also when threads begin and end at once, one before the other."""
    first, second = opened(folder / "a.png"), opened(folder / "a.png")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    warnings.warn("of the user", stacklevel=1)
    assert [str(warning.message) for warning in python_warnings] == ["of the user"]
    # Whoever wants to know of large images is told.
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    with pytest.raises(Image.DecompressionBombWarning), opened(folder / "a.png"):
        pass


def test_no_usable_photograph_at_all(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"\x89PNG")
    Image.fromarray(smooth(15, 15)).save(tmp_path / "small.png")
    with pytest.raises(DataError, match=r"at least 16 pixels a side, found none among 2 files .*bad\.png"):
        make(tmp_path)
    (tmp_path / "bad.png").unlink()
    with pytest.raises(DataError, match=r"15×15, smaller than the 16×16 HR patch.*smaller patch"):
        make(tmp_path)


def test_every_photograph_corrupt_behind_its_header(tmp_path):
    Image.fromarray(smooth(40, 40)).save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"found none among 1 files .*cut\.png"):
        make(tmp_path)[0]


def test_a_teachers_patches_lie_where_the_others_do(folder):
    """In every orientation; its output is made of the LR image before degradation."""

    for degrade in ((), ("noise",)):
        plain = make(folder, degrade=degrade, batch_size=24)[0]
        lr, hr, teacher_sr = make(folder, degrade=degrade, batch_size=24, teacher=enlarge)[0]
        assert equal((lr, hr), plain)
        clean = make(folder, batch_size=24)[0][0]
        assert np.array_equal(teacher_sr, clean.repeat(2, 1).repeat(2, 2))


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
    history = model.fit(make(folder, dtype="float32"), epochs=4, shuffle=False, verbose=0).history["loss"]
    assert history[-1] < 0.9 * history[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 5}, r"scale among \(2, 3, 4\), found 5"),
        ({"patch": 0}, "patch size of 1 or more, found 0"),
        ({"batch_size": -1}, "batch size of 1 or more, found -1"),
        ({"steps_per_epoch": 2.5}, r"steps per epoch of 1 or more, found 2\.5"),
        ({"seed": -1}, "seed of 0 or more, found -1"),
        ({"degrade": ("blur", "rain")}, "among blur, noise, jpeg, found 'rain'"),
        ({"degrade": "blur"}, "among blur, noise, jpeg, found 'blur'"),
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


# -- validation


def test_validation_images_are_whole_and_paired(folder):
    images = load_validation(folder, 4)
    assert [name for name, _, _ in images] == ["a.png", "b.webp", "C.BMP"]
    for _, lr, hr in images:
        assert hr.shape == (4 * lr.shape[0], 4 * lr.shape[1], 3) and hr.dtype == lr.dtype == np.uint8


def test_validation_skips_what_it_cannot_use_and_tells(folder):
    (folder / "a.png").write_text("broken")
    Image.fromarray(smooth(40, 14)).save(folder / "thin.png")
    skipped = {}
    images = load_validation(folder, 2, on_skip=lambda path, reason: skipped.update({path.name: reason}))
    assert [name for name, _, _ in images] == ["b.webp", "C.BMP"]
    assert "cannot be read" in skipped["a.png"] and "the 15 pixels that SSIM needs" in skipped["thin.png"]
    with pytest.raises(DataError, match=r"None of the 1 validation images can be used\. .*a\.png cannot be read"):
        load_validation([folder / "a.png"], 2)


def test_hold_out_is_disjoint_complete_and_stable():
    files = [f"photos/{i:03d}.jpg" for i in range(50)]
    training, validation = split_validation(files, 10, seed=3)
    assert len(validation) == 10 and sorted(map(str, training + validation)) == files
    assert split_validation(files[::-1], 10, seed=3) == (training, validation)
    assert split_validation([f"/elsewhere/{f}" for f in files], 10, 3)[1] == [
        Path("/elsewhere") / path for path in validation
    ]
    assert split_validation(files, 10, seed=4)[1] != validation
    with pytest.raises(DataError, match=r"Holding out 50 validation images .* found 50 in all"):
        split_validation(files, 50)


# -- what ships


def test_bundled_photographs_are_listed_and_small():
    root = BUNDLED_TRAIN.parent
    files = list_photos(root)
    sources = (root / "SOURCES.md").read_text()
    assert len(list_photos(BUNDLED_TRAIN)) == 8 and len(list_photos(BUNDLED_VAL)) == 2
    assert sum(path.stat().st_size for path in files) <= 2e6
    for path in files:
        (line,) = [line for line in sources.splitlines() if f"| {path.relative_to(root).as_posix()} |" in line]
        assert "CC0 1.0" in line or "public domain" in line
    lr, hr = make(BUNDLED_TRAIN, scale=4, patch=48)[0]
    assert lr.shape == (6, 48, 48, 3) and hr.shape == (6, 192, 192, 3)
