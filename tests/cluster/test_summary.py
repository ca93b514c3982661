"""What span-bulk says of a run and of a cluster, and what it refuses, without a cluster."""

import subprocess
import sys
from math import inf, nan

import pytest
from click.testing import CliRunner

from span_keras import bulk
from span_keras.cluster import run
from span_keras.cluster.plan import Task
from span_keras.cluster.run import Cluster, ClusterError
from span_keras.cluster.stages import Parcel
from span_keras.cluster.summary import Tally
from span_keras.inference.job import Outcome

TASK = Task("a.png", "b.png", False, 1, 1)


def counted(images, seconds, stages):
    """A tally of so many images, one a second, the second of which failed; and its clock."""
    now = [0.0]
    tally = Tally(total=1000, clock=lambda: now[0])
    for number in range(images):
        now[0] += 1
        outcome = Outcome("a.png", "b.png", "failed" if number == 1 else "made", 1000, 500)
        tally.add(Parcel(TASK, outcome, stages))
    now[0] += seconds - images
    return tally


def test_progress_tells_rate_time_left_and_failures():
    assert counted(3, 3, {}).line() == "3 of 1,000 images, 1 failed"
    assert counted(101, 101, {}).line() == "101 of 1,000 images, 1.0/s, 15 min left, 1 failed"


def test_summary_on_cpus():
    tally = counted(101, 200, {"decode": 0.1, "enlarge": 1.0, "encode": 0.5})
    assert tally.summary(Cluster(1, 0, 2, 2), price=36) == [
        "100 images, 50.5 megapixels, in 3 min: 0.50/s.",
        "Busy: decode 3% and encode 13% of 2 CPUs, network 50% of 1 worker.",
        "1,000 images: 1.11 CPU-hours, 20 at 36 an hour.",
    ]


def test_summary_on_gpus():
    lines = counted(101, 202, {"enlarge": 1.0}).summary(Cluster(4, 0.5, None, 16))
    assert lines[1:] == [
        "Busy: decode 0% and encode 0% of 16 CPUs, network 12% of 4 workers.",
        "1,000 images: 1.12 GPU-hours.",
    ]


@pytest.mark.parametrize(
    ("resources", "asked", "expected"),
    [
        ({"CPU": 2.0}, (None, None), Cluster(2, 0, 1, 2)),
        ({"CPU": 32.0}, (8, None), Cluster(8, 0, 4, 32)),
        ({"CPU": 2.0}, (1, None), Cluster(1, 0, 2, 2)),
        ({"CPU": 32.0, "GPU": 2.0}, (None, None), Cluster(2, 1, None, 32)),
        ({"CPU": 32.0, "GPU": 2.0}, (None, 0.5), Cluster(4, 0.5, None, 32)),
        ({"CPU": 32.0, "GPU": 2.0}, (None, 0), Cluster(32, 0, 1, 32)),
    ],
)
def test_how_a_cluster_is_used(resources, asked, expected):
    assert run.described(resources, 1000, *asked) == expected


def test_there_are_no_more_workers_than_images():
    assert run.described({"CPU": 8.0}, 2, None, None) == Cluster(2, 0, 4, 8)
    assert run.described({"CPU": 8.0, "GPU": 4.0}, 1, 4, None) == Cluster(1, 1, None, 8)


@pytest.mark.parametrize(
    ("resources", "asked", "reason"),
    [
        ({"CPU": 2.0}, (3, None), "expected 3 CPUs for as many workers, found 2"),
        ({"CPU": 2.0}, (None, 1), "expected 1 times 1 GPUs, found 0 in the cluster"),
        ({"CPU": 2.0, "GPU": 2.0}, (2, 2), "expected 2 times 2 GPUs, found 2 in the cluster"),
        ({"CPU": 2.0, "GPU": 4.0}, (None, 1000), "expected 1 times 1000 GPUs, found 4 in the cluster"),
        *(({"CPU": 2.0, "GPU": 4.0}, (1, odd), "expected whole GPUs for a worker") for odd in (1.5, 1e-9, inf, nan)),
    ],
)
def test_a_cluster_that_is_too_small_is_refused(resources, asked, reason):
    with pytest.raises(ClusterError, match=reason):
        run.described(resources, 1000, *asked)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:none", "nowhere.invalid:6379"])
def test_an_address_where_no_cluster_answers(address):
    pytest.importorskip("ray.data")
    reason = f"^expected a Ray cluster at {address}, found none [^\\n]*; start one with: ray start --head.$"
    with pytest.raises(ClusterError, match=reason), run.connected(address, 1, None, None):
        raise AssertionError("connected to nothing")


def test_a_source_that_is_not_there_is_wrong_usage(tmp_path):
    result = CliRunner().invoke(bulk.main, [str(tmp_path / "none"), str(tmp_path / "out")])
    assert result.exit_code == 2 and "none does not exist." in result.stderr


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--workers", "0", "0 is not in the range"),
        ("--gpus-per-worker", "-1", "-1.0 is not in the range"),
        ("--address", "ray://head:10001", "found ray://head:10001, through which Ray Data does not run"),
    ],
)
def test_what_no_cluster_can_do_is_wrong_usage(photos, tmp_path, option, value, reason):
    result = CliRunner().invoke(bulk.main, [str(photos), str(tmp_path / "out"), option, value])
    assert result.exit_code == 2 and reason in result.stderr


def test_without_ray_one_sentence_says_what_to_install(tmp_path, photos, tiny):
    code = "import sys; sys.modules['ray'] = None; from span_keras.bulk import main; main(sys.argv[1:])"
    arguments = [str(photos), str(tmp_path / "out"), "-w", str(tiny)]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: span-bulk needs Ray")
    assert done.stderr.endswith("pip install 'span-keras[bulk]'.\n")


def test_help_loads_neither_ray_nor_pyarrow():
    code = (
        "import sys; from span_keras.bulk import main; main(['--help'], standalone_mode=False); "
        "assert not {'ray', 'pyarrow', 'keras', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
