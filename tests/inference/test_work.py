"""Several images at a time: in order, within the memory, and nothing left when interrupted."""

import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

from helpers.image_files import random_samples
from helpers.weights import random_weights
from span_keras.checkpoints import save_weights
from span_keras.images.picture import Picture
from span_keras.images.read import read_image
from span_keras.images.write import write_image
from span_keras.inference import work
from span_keras.inference.files import Job, upscale_file
from span_keras.inference.networks import Networks
from span_keras.inference.upscaler import Upscaler
from span_keras.network.config import SpanConfig

COUNT = 8


@pytest.fixture(scope="module")
def networks():
    return Networks.of(Upscaler(random_weights(SpanConfig(scale=2, channels=8, blocks=2)), tile=24))


@pytest.fixture
def jobs(tmp_path):
    """Images of several shapes, the third of which is damaged."""
    for number in range(COUNT):
        write_image(tmp_path / f"{number}.png", Picture(random_samples(3, shape=(20 + number % 3, 30))))
    (tmp_path / "2.png").write_bytes(b"")
    return [Job(tmp_path / f"{number}.png", tmp_path / "out" / f"{number}.png") for number in range(COUNT)]


def test_results_are_those_of_one_at_a_time_and_come_in_order(tmp_path, networks, jobs):
    outcomes = []
    work.work_through(jobs, networks, outcomes.append, workers=3)
    assert [outcome.source for outcome in outcomes] == [str(job.source) for job in jobs]
    assert [outcome.status for outcome in outcomes] == ["made", "made", "failed", *["made"] * (COUNT - 3)]
    for job in jobs[:2] + jobs[3:]:
        alone = Job(job.source, tmp_path / "alone.png")
        upscale_file(alone, networks)
        np.testing.assert_array_equal(read_image(job.target).samples, read_image(alone.target).samples)


@pytest.mark.parametrize(("limit", "most"), [(None, 3), (1, 1)])
def test_as_many_at_a_time_as_the_memory_holds(networks, jobs, monkeypatch, limit, most):
    if limit:
        monkeypatch.setattr(work, "MAX_MEMORY_BYTES", limit)
    lock, running, seen = threading.Lock(), [0], []
    several = threading.Barrier(most, timeout=60)

    def upscale(job, *arguments):
        with lock:
            running[0] += 1
            seen.append(running[0])
        if len(seen) <= most:
            several.wait()  # so many really run at the same time
        with lock:
            running[0] -= 1
        return work.Outcome(str(job.source))

    monkeypatch.setattr(work, "upscale_file", upscale)
    work.work_through(jobs, networks, lambda outcome: None, workers=3)
    assert max(seen) == most and len(seen) == COUNT


def test_a_slow_image_does_not_keep_the_others_waiting(networks, jobs, monkeypatch):
    """The first one ends when all others have."""
    others, outcomes = threading.Semaphore(0), []

    def upscale(job, *arguments):
        if job is jobs[0]:
            for _ in jobs[1:]:
                assert others.acquire(timeout=60)
        else:
            others.release()
        return work.Outcome(str(job.source))

    monkeypatch.setattr(work, "upscale_file", upscale)
    work.work_through(jobs, networks, outcomes.append, workers=2)
    assert [outcome.source for outcome in outcomes] == [str(job.source) for job in jobs]


def test_what_nobody_expects_ends_the_batch(networks, jobs, monkeypatch):
    def fail(job, *arguments):
        raise ZeroDivisionError

    monkeypatch.setattr(work, "upscale_file", fail)
    with pytest.raises(ZeroDivisionError):
        work.work_through(jobs, networks, lambda outcome: None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_of_several_images_leaves_nothing_behind(tmp_path, number):
    """Of those that were not complete."""
    save_weights(random_weights(SpanConfig(scale=2, channels=4, blocks=1)), tmp_path / "w.safetensors")
    (tmp_path / "in").mkdir()
    for name in range(6):
        write_image(tmp_path / "in" / f"{name}.png", Picture(random_samples(3, shape=(60, 60))))
    script = f"""
        import os, signal, time
        from span_keras import upscale
        from span_keras.images.encoders import PngWriter
        signal.signal(signal.SIGINT, signal.default_int_handler)
        write, folder = PngWriter.write, {str(tmp_path)!r}
        def interrupt(self, rows):
            write(self, rows)
            if os.path.basename(self.file.name).startswith(".3.png"):
                PngWriter.write = write  # a second signal would end what cleans up
                os.kill(os.getpid(), {int(number)})
                time.sleep(2)  # so that the main thread hears of it before this image is complete
        PngWriter.write = interrupt
        upscale.main([folder + "/in", "-o", folder + "/out", "--tile", "24", "-w", folder + "/w.safetensors"])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert done.returncode == 128 + number, done.stderr
    assert "Traceback" not in done.stderr
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left < {f"{name}.png" for name in range(6)}
    assert all(read_image(tmp_path / "out" / name).samples.shape == (120, 120, 3) for name in left)
