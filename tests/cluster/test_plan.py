"""What a run has to make: lists, listings, and what the manifest says is made."""

import dataclasses
import os

import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from helpers.image_files import random_samples
from span_keras import bulk
from span_keras.cluster import manifest, plan
from span_keras.cluster.plan import Task, key_of, work_of
from span_keras.cluster.stages import Parcel, record_of
from span_keras.errors import ImageError
from span_keras.images.picture import Picture
from span_keras.images.write import write_image
from span_keras.inference.batch import plan as plan_alone
from span_keras.inference.job import Options, Outcome
from span_keras.inference.networks import NetworkOptions

KEY = "key"


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "in"
    for name in ("a.png", "b.jpg", "deep/a.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(folder / name, Picture(random_samples(3, shape=(4, 5))))
    return folder


def work(source, out, made=None, key=KEY, suffix=None):
    return work_of(str(source), str(out), Options(), suffix, key, made or {})


def made(tasks, out, key=KEY):
    """Write something as the result of each task; what the manifest then holds."""
    _, journal = manifest.opened(str(out))
    for task in tasks:
        target = out / os.path.relpath(task.target, out)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"result")
        outcome = Outcome(task.source, task.target, "made", 8, 10)
        journal.add(record_of(Parcel(task, outcome, target_size=6), key, str(out)))
    journal.flush()
    return manifest.finished(manifest.records(manifest.opened(str(out))[0]))


def test_a_folder_is_understood_as_by_span_upscale(photos, tmp_path):
    (photos / "b.JPG").write_bytes((photos / "b.jpg").read_bytes())
    (photos / "b.gif").write_bytes(b"GIF89a")
    (photos / "notes.txt").write_text("")
    alone, found = plan_alone([photos], tmp_path / "out"), work(photos, tmp_path / "out")
    assert [(task.source, task.target, task.adapt) for task in found.tasks] == [
        (str(job.source), str(job.target), job.adapt) for job in alone.jobs
    ]
    assert (found.settled, found.remarks) == (alone.settled, alone.remarks)
    assert all(task.size == os.stat(task.source).st_size for task in found.tasks)  # noqa: PTH116


def test_what_is_made_is_kept_until_anything_changes(photos, tmp_path):
    out = tmp_path / "out"
    tasks = work(photos, out).tasks
    rows = made(tasks, out)
    assert (work(photos, out, rows).kept, work(photos, out, rows).tasks) == (3, [])
    assert len(work(photos, out, rows, key="other").tasks) == 3

    (out / "a.png").unlink()
    (out / "b.jpg").write_bytes(b"truncated")
    os.utime(photos / "deep/a.png", ns=(1, 1))
    assert {task.source for task in work(photos, out, rows).tasks} == {task.source for task in tasks}


def test_a_result_that_became_another_format_is_found(photos, tmp_path):
    out = tmp_path / "out"
    task = dataclasses.replace(work(photos / "a.png", out).tasks[0], target=str(out / "a.tif"))
    assert work(photos / "a.png", out, made([task], out)).kept == 1


def test_the_key_tells_whatever_results_depend_on():
    keys = [
        key_of(options, network, hashes, suffix)
        for options in (Options(), Options(longest=100), Options(quality=50))
        for network in (NetworkOptions("w"), NetworkOptions("w", tta=True), NetworkOptions("w", img_range=255.0))
        for hashes in (["a"], ["b"])
        for suffix in (None, ".png")
    ]
    assert len(set(keys)) == len(keys)
    assert key_of(Options(), NetworkOptions("w", tile=64, batch=8), ["a"], None) == keys[0]


NAMES = ["a.png", "in/b.jpg", "s3://bucket/c d.png"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.txt", "\n".join(NAMES) + "\n\n"),
        ("list.txt", "\ufeff" + "\r\n".join(NAMES)),
        ("list.csv", "\n".join(NAMES)),
        ("list.csv", "photo\n" + "\n".join(NAMES)),
        ("list.csv", "\ufeffaddress,id\r\n" + "".join(f"{name},{len(name)}\r\n" for name in NAMES)),
        ("list.csv", "bytes.raw,address\n" + "".join(f"{len(name)},{name}\n" for name in NAMES)),
        ("list.parquet", {"id": [1, 2, 3], "address": NAMES}),
        ("list.parquet", {"photo": [*NAMES, None]}),
    ],
)
def test_lists_of_addresses(tmp_path, name, content):
    file = tmp_path / name
    if isinstance(content, dict):
        parquet.write_table(pa.table(content), file)
    else:
        file.write_bytes(content.encode())
    expected = [str(tmp_path / "a.png"), str(tmp_path / "in/b.jpg"), "s3://bucket/c d.png"]
    assert list(plan.addresses_of(str(file))) == expected


def test_names_of_a_list_that_clash_fail(photos, tmp_path):
    file = tmp_path / "list.txt"
    file.write_text(f"{photos}/a.png\n{photos}/deep/a.png\n{photos}/missing.png\n")
    found = work(file, tmp_path / "out")
    assert [task.source for task in found.tasks] == [f"{photos}/a.png", f"{photos}/missing.png"]
    assert "would both become" in found.settled[0].reason


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.parquet", b"PAR1", ".*cannot be read"),
        ("a.txt", b"\xff\xfe\x00", ".*cannot be read"),
        ("none.csv", None, "does not exist"),
        ("a.csv", b"id,url\n1,a.png\n", "should have a column 'address', found id, url; rename one."),
        ("a.parquet", {"id": [1], "url": ["a.png"]}, "should have a column 'address', found id, url; rename one."),
        ("a.parquet", {}, "should have a column 'address', found none"),
    ],
)
def test_lists_that_cannot_be_read(tmp_path, name, content, reason):
    if isinstance(content, dict):
        parquet.write_table(pa.table(content), tmp_path / name)
    elif content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=f"{name} {reason}"):
        work(tmp_path / name, tmp_path / "out")


def test_an_empty_list_holds_nothing_to_do(tmp_path):
    (tmp_path / "a.txt").write_text("\n")
    with pytest.raises(ImageError, match="holds no images"):
        work(tmp_path / "a.txt", tmp_path / "out")


def record(number, status="made"):
    task = Task(f"/in/{number}.png", f"/out/{number}.png", False, number, number)
    outcome = Outcome(task.source, task.target, status, notes=("a",))
    return {**record_of(Parcel(task, outcome, {"decode": 0.5}), KEY, "/out"), "notes": ["a"]}


def test_the_last_record_of_a_source_counts_and_many_files_become_one(tmp_path):
    for number in range(manifest.MAX_FILES + 1):
        _, journal = manifest.opened(str(tmp_path))
        journal.add(record(0, "failed" if number % 2 else "made"))
        journal.add(record(number + 1))
        journal.flush()
    folder = tmp_path / manifest.FOLDER
    assert len(list(folder.iterdir())) == manifest.MAX_FILES + 1
    table, _ = manifest.opened(str(tmp_path))
    assert len(list(folder.iterdir())) == 1
    assert manifest.opened(str(tmp_path))[0].equals(table)
    rows = {row["source"]: row for row in manifest.records(table)}
    assert len(rows) == manifest.MAX_FILES + 2 and rows["/in/0.png"]["status"] == "made"
    assert rows["/in/3.png"] == record(3)
    assert set(manifest.finished(manifest.records(table))) == set(rows)


def test_a_damaged_manifest_is_named(tmp_path):
    file = tmp_path / manifest.FOLDER / "000000000001-0a.parquet"
    file.parent.mkdir()
    file.write_bytes(b"PAR1 no")
    with pytest.raises(ImageError, match=r"0a\.parquet should be a manifest of span-bulk, but is damaged; delete it\."):
        manifest.opened(str(tmp_path))


def test_a_tile_that_no_network_takes_is_named_before_a_cluster_is_asked_for(photos, tmp_path):
    done = CliRunner().invoke(bulk.main, [str(photos), str(tmp_path / "out"), "--tile", "8", "--address", "nowhere:1"])
    assert done.exit_code == 1
    assert "tile must be more than twice this network's halo" in done.stderr
