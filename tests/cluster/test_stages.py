"""The stages of span-bulk without a cluster: what they hand on, what they refuse, what is too large to travel."""

import numpy as np
import pytest

from helpers.image_files import random_samples
from span_keras.cluster import stages
from span_keras.cluster.plan import Task
from span_keras.cluster.stages import Decode, Encode, Enlarge, Parcel, Setup, packed, unpacked
from span_keras.images.picture import Picture
from span_keras.images.write import write_image
from span_keras.inference.files import Enlarged, Job, Options, Outcome, upscale_file
from span_keras.inference.networks import NetworkOptions, load


@pytest.fixture
def setup(tiny_weights):
    return Setup(Options(), NetworkOptions(tile=24), tiny_weights, native=2)


@pytest.fixture
def tasks(tmp_path):
    """Two images of other shapes and depths, and a damaged one."""
    write_image(tmp_path / "a.png", Picture(random_samples(4, np.uint16, shape=(30, 40))))
    write_image(tmp_path / "b.jpg", Picture(random_samples(3, shape=(10, 20))))
    (tmp_path / "c.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    out = tmp_path / "out" / "deep"
    return [Task(str(tmp_path / name), str(out / name), False, 1, 1) for name in ("a.png", "b.jpg", "c.png")]


def through(setup, tasks):
    """The parcels that leave each stage."""
    decoded = [p for table in Decode(setup)(packed(map(Parcel, tasks))) for p in unpacked(table)]
    enlarged = [p for table in Enlarge(setup)(packed(decoded)) for p in unpacked(table)]
    return decoded, enlarged, list(unpacked(Encode(setup)(packed(enlarged))))


def check(parcels, tasks, setup, tmp_path):
    networks = load(setup.network, weights=setup.weights)
    assert [parcel.content.status for parcel in parcels] == ["made", "made", "failed"]
    assert tasks[2].source in parcels[2].content.reason
    for task, parcel in zip(tasks[:2], parcels, strict=False):
        alone = tmp_path / "alone" / task.source.rpartition("/")[2]
        alone.parent.mkdir(exist_ok=True)
        made = upscale_file(Job(task.source, alone), networks)
        with open(task.target, "rb") as file:  # noqa: PTH123
            assert file.read() == alone.read_bytes()
        assert (parcel.content.width, parcel.content.height) == (made.width, made.height)
        assert parcel.target_size == alone.stat().st_size


@pytest.mark.parametrize("gather", [1, 4])
def test_stages_make_what_upscale_file_makes(setup, tasks, tmp_path, gather):
    setup = Setup(setup.options, NetworkOptions(tile=24, gather=gather), setup.weights, 2)
    decoded, enlarged, encoded = (sorted(made, key=lambda p: p.task.source) for made in through(setup, tasks))
    assert [type(parcel.content) for parcel in decoded] == [Picture, Picture, Outcome]
    assert [type(parcel.content) for parcel in enlarged] == [Enlarged, Enlarged, Outcome]
    check(encoded, tasks, setup, tmp_path)
    assert set(encoded[0].seconds) == set(stages.STAGES) and all(s >= 0 for s in encoded[0].seconds.values())


@pytest.mark.parametrize(("limit", "value"), [("MAX_PIXELS", 100), ("MAX_FILE_BYTES", 0)])
def test_what_is_too_large_to_travel_is_made_by_bands(setup, tasks, tmp_path, monkeypatch, limit, value):
    monkeypatch.setattr(stages, limit, value)
    decoded, enlarged, encoded = through(setup, tasks)
    assert [parcel.content for parcel in decoded[:2]] == ["large", "large"]
    assert all(isinstance(parcel.content, Outcome) for parcel in enlarged)
    check(encoded, tasks, setup, tmp_path)


def test_pixels_travel_as_they_are():
    samples = random_samples(3, np.uint16)
    (parcel,) = unpacked(packed([Parcel(Task("a", "b", False, 1, 1), Picture(samples))]))
    np.testing.assert_array_equal(parcel.content.samples, samples)
    assert parcel.content.samples.dtype == np.uint16


def test_what_nobody_expected_becomes_of_one_image_alone(setup, tasks, monkeypatch):
    def decode(job, native):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(stages, "decode", decode)
    decoded, _, encoded = through(setup, tasks[:1])
    assert decoded[0].content == encoded[0].content
    assert "unexpectedly, ZeroDivisionError: division by zero; please report it." in encoded[0].content.reason


@pytest.mark.parametrize("limit", [None, "MAX_PIXELS"])
def test_a_store_gets_what_a_folder_gets(setup, tasks, tmp_path, store, monkeypatch, limit):
    environment, client = store
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if limit:
        monkeypatch.setattr(stages, limit, 100)
    through(setup, tasks)
    for task in tasks:
        name = task.source.rpartition("/")[2]
        client.upload_file(task.source, "photos", f"stages/{name}")
    names = ("a.png", "b.jpg", "c.png", "missing.png")
    stored = [Task(f"s3://photos/stages/{name}", f"s3://photos/made/{name}", False, 1, 1) for name in names]
    *made, damaged, missing = (parcel.content for parcel in through(setup, stored)[2])
    assert [outcome.target for outcome in made] == [task.target for task in stored[:2]]
    for outcome, task in zip(made, tasks, strict=False):
        key = outcome.target.removeprefix("s3://photos/")
        with open(task.target, "rb") as file:  # noqa: PTH123
            assert client.get_object(Bucket="photos", Key=key)["Body"].read() == file.read()
    assert damaged.reason.startswith("s3://photos/stages/c.png is")
    assert missing.reason == "s3://photos/stages/missing.png does not exist; check its name."
