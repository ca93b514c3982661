"""More photographs than the cache holds: sets that take turns, and what is decoded when."""

import _thread
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.patches import enlarge, equal, make
from span_keras.data import dataset as dataset_module
from span_keras.data import working_sets
from span_keras.data.decode import Pair, load_pair
from span_keras.errors import DataError


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
    with pytest.raises(DataError, match=r"expected photographs, found none among 16 files .*truncated.*; use others"):
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
