"""span-bulk on a real cluster: every image once, the same bytes as span-upscale makes, whoever is killed."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner

from helpers.image_files import random_samples
from span_keras import bulk, upscale
from span_keras.images.picture import Picture
from span_keras.images.write import write_image

COUNT = 300
SUFFIXES = (".png", ".jpg", ".tif", ".webp", ".bmp", ".avif")


def names(folder):
    """The files of a folder that are not hidden."""
    found = [path.relative_to(folder) for path in folder.rglob("*") if path.suffix and not path.is_dir()]
    return {path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts)}


def contents(folder):
    return {name: (folder / name).read_bytes() for name in names(folder)}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """300 small images of all kinds in nested folders, a corrupt one, a clash of names, and other files."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(COUNT):
        suffix = SUFFIXES[number % len(SUFFIXES)]
        dtype = np.uint16 if suffix in (".png", ".tif") and number % 4 == 0 else np.uint8
        channels = 1 + number % 4 if suffix in (".png", ".tif") else 3
        path = folder / ("nested/deep" if number % 3 == 0 else "") / f"{number:03}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, Picture(random_samples(channels, dtype, shape=(12 + number % 5, 16))))
    (folder / "corrupt.png").write_bytes((folder / "nested/deep/000.png").read_bytes()[:60])
    (folder / "nested/deep/006.gif").write_bytes((folder / "001.jpg").read_bytes())  # becomes 006.png too
    (folder / "notes.txt").write_text("no image")
    (folder / "camera.dng").write_bytes(b"raw")
    (folder / ".hidden.png").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def expected(photos, tiny, tmp_path_factory):
    """What span-upscale makes of them, and prints."""
    out = tmp_path_factory.mktemp("expected")
    done = CliRunner().invoke(upscale.main, [str(photos), "-o", str(out), "-w", str(tiny)])
    assert done.exit_code == 1
    return out, done.stderr


class Driver:
    """span-bulk in a process of its own."""

    def __init__(self, cluster, *arguments, address=None):
        address = address or cluster.address
        self.command = [sys.executable, "-m", "span_keras.bulk", *map(str, arguments), "--address", address]
        self.process = subprocess.Popen(
            self.command, env=cluster.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def end(self):
        """Wait for it, and return its exit code and what it printed."""
        out, err = self.process.communicate(timeout=280)
        return self.process.returncode, out, err


def wait_for(folder, count, driver):
    """Wait until there are so many results."""
    while len(names(folder)) < count:
        assert driver.process.poll() is None, driver.end()
        time.sleep(0.01)


def sentences(text, out):
    """What was said of images, whatever the folder of the results is called."""
    return sorted(line.replace(str(out), "OUT") for line in text.splitlines() if " images could not" not in line)


@pytest.mark.timeout(600)
def test_whoever_is_killed_all_results_are_there_and_right(cluster, photos, expected, tiny, tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    reference, said = expected
    arguments = [photos, out, "-w", tiny]

    machine = cluster.join()
    first = Driver(cluster, *arguments)
    wait_for(out, 20, first)
    while not cluster.kill("ray::MapWorker"):  # Ray may be starting one anew
        assert first.process.poll() is None, first.end()
        time.sleep(0.01)
    wait_for(out, 120, first)
    first.process.kill()
    first.end()
    assert len(names(out)) < len(names(reference))

    second = Driver(cluster, *arguments)
    wait_for(out, 160, second)
    cluster.kill("ray::MapBatches")  # those that decode and encode, or wait to
    wait_for(out, 200, second)
    assert cluster.kill(node=machine)
    code, _, err = second.end()
    assert code == 1, err
    assert "images were made before and have not changed" in err
    assert names(out) == names(reference), err
    assert contents(out) == contents(reference)
    shared = [line for line in sentences(said, reference) if "Error" in line]
    assert [line for line in sentences(err, out) if "Error" in line] == shared
    assert "corrupt.png" in "".join(shared) and "006.gif" in "".join(shared)

    def connect(*arguments):
        raise AssertionError("a cluster is asked for, though nothing is left to make")

    from span_keras.cluster import run

    monkeypatch.setattr(run, "connected", connect)
    (photos / "corrupt.png").rename(tmp_path / "corrupt.png")
    again = CliRunner().invoke(bulk.main, [*map(str, arguments), "--json"])
    assert f"{len(names(reference))} images were made before and have not changed." in again.stderr
    assert "made" not in {json.loads(line)["status"] for line in again.stdout.splitlines()}


@pytest.mark.timeout(600)
def test_a_store_in_and_out(cluster, store, photos, expected, tiny, tmp_path, monkeypatch):
    environment, client = store
    reference, _ = expected
    chosen = ["001.jpg", "002.tif", "004.bmp", "005.avif", "nested/deep/012.png", "notes.txt", "camera.dng"]
    for name in [*chosen, "corrupt.png"]:
        data = (photos / name).read_bytes() if (photos / name).exists() else b"\x89PNG\r\n\x1a\n"
        client.put_object(Bucket="photos", Key=f"in/{name}", Body=data)
    arguments = ["s3://photos/in", "s3://photos/out", "-w", tiny]
    code, out, err = Driver(cluster, *arguments, address="auto").end()
    assert code == 1, err
    assert "s3://photos/in/corrupt.png" in err and "s3://photos/in/camera.dng is a camera's raw file" in err
    assert "s3://photos/in: passed over what is no picture: 1 .txt." in err
    keys = [entry["Key"] for entry in client.list_objects_v2(Bucket="photos", Prefix="out/")["Contents"]]
    made = {key.removeprefix("out/") for key in keys if ".span-bulk" not in key}
    assert made == set(chosen[:5]) and {f"s3://photos/out/{name}" for name in made} == set(out.split())
    for name in made:
        assert client.get_object(Bucket="photos", Key=f"out/{name}")["Body"].read() == (reference / name).read_bytes()

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    client.delete_object(Bucket="photos", Key="in/corrupt.png")
    again = CliRunner().invoke(bulk.main, [*map(str, arguments), "--address", "nowhere:1"])
    assert "5 images were made before" in again.stderr and not again.stdout
