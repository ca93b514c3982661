"""Files of Keras and HDF5 that are damaged, hostile or of another model: a typed error, and nothing executed."""

import io
import json
import zipfile

import h5py
import numpy as np
import pytest

from helpers.refusals import refused, refused_at_once
from span_keras.checkpoints import load_weights


def h5_file(path, make):
    with h5py.File(path, "w") as file:
        variables = file.create_group("layers/conv2d/vars")
        variables.attrs["name"] = "conv_1"
        make(file, variables)
    return path


def test_hdf5_that_leads_outside(tmp_path, valid):
    secret = tmp_path / "other.h5"
    secret.write_bytes(valid[".weights.h5"])
    path = tmp_path / "a.weights.h5"
    raw = [(str(secret), 0, 32)]
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource(str(secret), "x", (4,))
    for make, message in (
        (lambda file, v: v.__setitem__("0", h5py.ExternalLink(str(secret), "layers")), "keeps conv_1 outside itself"),
        (lambda file, v: v.create_dataset("0", (8,), "f4", external=raw), "keeps conv_1 outside itself"),
        (lambda file, v: v.create_virtual_dataset("0", layout), "keeps conv_1 outside itself"),
        (lambda file, v: file.__setitem__("more", h5py.ExternalLink(str(secret), "layers")), "links to another place"),
        (lambda file, v: file.__setitem__("more", h5py.SoftLink("/layers")), "links to another place"),
    ):
        refused(h5_file(path, make), message)


def test_hdf5_whose_heap_never_ends(tmp_path, valid):
    """The free space in a heap is an object, too; with a size of 0 the next object is the same again."""
    paths = [tmp_path / f"{size}{suffix}" for suffix in (".weights.h5", ".keras") for size in (0, 1 << 40, 2**64 - 32)]
    for path in paths:
        size, suffix = path.name.split(".", 1)
        path.write_bytes(endless(valid[f".{suffix}"], int(size)))
    refused_at_once(*((path, "an object in its heap has an impossible size") for path in paths))


def endless(content: bytes, size: int) -> bytes:
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        members["model.weights.h5"] = endless(members["model.weights.h5"], size)
        with zipfile.ZipFile(made := io.BytesIO(), "w") as archive:
            for name, member in members.items():
                archive.writestr(name, member)
        return made.getvalue()
    place = content.index(b"GCOL") + 16
    while index := int.from_bytes(content[place : place + 2], "little"):
        place += 16 + -(-int.from_bytes(content[place + 8 : place + 16], "little") // 8) * 8
    assert index == 0
    return content[: place + 8] + size.to_bytes(8, "little") + content[place + 16 :]


def test_hdf5_that_claims_too_much(tmp_path):
    def make(file, variables):
        variables.create_dataset("0", (10**5, 10**5), "f4", chunks=(100, 100))  # Unwritten: the file stays small.
        variables.create_dataset("1", (8,), "f4")

    refused(h5_file(tmp_path / "a.weights.h5", make), "claims 40,000,000,000 bytes")


def test_hdf5_whose_links_multiply(tmp_path):
    """Twelve groups, each holding the one before twice: 2**12 ways to the first."""

    def make(file, variables):
        for i in range(12):
            group = file.create_group(f"level_{i}")
            group["a"] = group["b"] = file["layers" if i == 0 else f"level_{i - 1}"]

    refused(
        h5_file(tmp_path / "a.weights.h5", make), "holds the group '.*' in two places, expected one, as Keras writes"
    )


@pytest.mark.parametrize("dtype", [np.dtype(("f4", (100, 100))), h5py.vlen_dtype("f4"), "S8", np.dtype([("a", "f4")])])
def test_hdf5_that_holds_other_things_than_numbers(tmp_path, dtype):
    """Their room is not told by their shape."""

    def make(file, variables):
        variables.create_dataset("0", (), dtype)

    refused(h5_file(tmp_path / "a.weights.h5", make), "holds something other than numbers in conv_1")


def test_two_networks_in_one_hdf5(tmp_path):
    def make(file, variables):
        variables.create_dataset("0", (8,), "f4")
        file.copy("layers/conv2d", file.create_group("again"))

    refused(h5_file(tmp_path / "a.weights.h5", make), "holds two layers named conv_1")


def test_keras_file_of_another_model(tmp_path):
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.save(tmp_path / "a.keras")
    refused(tmp_path / "a.keras", "is not SPAN: it lacks the tensors that tell its channels and scale and blocks")


def test_code_in_a_keras_file_is_not_run(tmp_path, valid):
    marker = tmp_path / "executed"
    path = tmp_path / "a.keras"
    path.write_bytes(valid[".keras"])
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    call = {"module": "os", "class_name": "system", "config": {"name": "x", "command": f"touch {marker}"}}
    config["config"]["layers"].append(call)
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    assert load_weights(path).config.channels == 8
    assert not marker.exists()


def test_zip_without_a_keras_model(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    refused(tmp_path / "a.keras", "is a zip archive without model.weights.h5, not a Keras model")
    (tmp_path / "b.keras").write_bytes(b"x" * 100)
    refused(tmp_path / "b.keras", "is not a zip archive")
    (tmp_path / "b.weights.h5").write_bytes(b"x" * 100)
    refused(tmp_path / "b.weights.h5", "is not an HDF5 file")
