"""Files of PyTorch that are damaged or want more than weights: a typed error, and nothing executed."""

import struct
import zipfile

import numpy as np
import pytest

from helpers.refusals import refused, refused_at_once
from helpers.torch_files import MAGIC, Call, Pickler, Saved, state_dict, write_legacy, write_zip
from span_keras.checkpoints import load_weights
from span_keras.errors import CheckpointError, UnsafeCheckpointError
from span_keras.network.config import SpanConfig


@pytest.mark.parametrize("layout", ["zip", "legacy", "plain"])
@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("torch", "load"),
        ("torch._utils", "_import_dotted_name"),
        ("collections", "OrderedDict.fromkeys"),
        ("__main__", "Network"),
    ],
)
def test_other_callables_are_refused_and_named(tmp_path, state, layout, module, name):
    marker = tmp_path / "executed"
    value = {"params_ema": state, "extra": Call(module, name, (f"touch {marker}",))}
    path = tmp_path / "a.pth"
    if layout == "plain":
        path.write_bytes(Pickler().dumps({"extra": value["extra"]}))
    else:
        {"zip": write_zip, "legacy": write_legacy}[layout](path, value)
    refused(path, f"asks Python to call {module}.{name}, .* refused and not executed", UnsafeCheckpointError)
    assert not marker.exists()


@pytest.mark.parametrize(
    "pickle",
    [
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",  # STACK_GLOBAL, REDUCE
        b"(S'true'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'true'\no.",  # OBJ
        b"\x80\x02cos\nsystem\n)\x81.",  # NEWOBJ
        b"\x80\x02\x82\x01.",  # EXT1, the extension registry
    ],
    ids=["stack_global", "inst", "obj", "newobj", "ext"],
)
def test_every_way_to_name_a_callable_is_closed(tmp_path, pickle):
    path = write_zip(tmp_path / "a.pth", None, pickle=pickle)
    with pytest.raises(CheckpointError) as caught:
        load_weights(path)
    assert "system, which weights" in str(caught.value) or "instruction EXT1, which weights" in str(caught.value)


def test_setting_attributes_does_not_outlive_the_load(tmp_path, goldens):
    pickle = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x0c\x00\x00\x00__defaults__(K\x01tsb."
    refused(write_zip(tmp_path / "a.pth", None, pickle=pickle), "holds no tensors")
    assert load_weights(goldens / "train_x2.pth").config.scale == 2


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ({"numel": 10**12}, r"storage '\d+' of .* claims 4,000,000,000,000 bytes, more than"),
        ({"numel": -1}, "claims the impossible shape"),
        ({"numel": 7}, "holds 32 bytes for storage .*, expected 28"),
        ({"size": (10**5, 10**5), "stride": (0, 0)}, "claims 40,000,000,000 bytes"),
        ({"size": (9,), "stride": (1,)}, r"a tensor of shape \(9,\) reaches outside its storage of 8 numbers"),
        ({"offset": 1}, "reaches outside its storage"),
        ({"offset": -4, "size": (2,)}, "reaches outside its storage"),
        ({"stride": (-1,)}, "reaches outside its storage"),
        ({"size": (2, 4)}, "a tensor is malformed"),
        ({"size": ("8",)}, "claims the impossible shape|a tensor is malformed"),
        ({"kind": "QInt8Storage"}, "asks Python to call torch.QInt8Storage"),
    ],
)
def test_tensors_that_claim_too_much(tmp_path, state, saved, message):
    state["conv_cat.bias"] = Saved(np.zeros(8, np.float32), **saved)
    error = UnsafeCheckpointError if "kind" in saved else CheckpointError
    refused(write_zip(tmp_path / "a.pth", state), message, error)


def test_legacy_storages_that_end_early(tmp_path, state):
    path = write_legacy(tmp_path / "a.pth", state)
    path.write_bytes(path.read_bytes()[:-4])
    refused(path, "is truncated: its storages reach beyond the end of the file")


def test_zip_archive_that_ends_early(tmp_path, state):
    path = write_zip(tmp_path / "a.pth", state)
    path.write_bytes(path.read_bytes()[:-30])
    refused(path, "is a truncated zip archive; download or copy it again")


def test_memo_bomb(tmp_path):
    pickle = b"\x80\x02}r" + struct.pack("<I", 2**32 - 1) + b"."
    refused(write_zip(tmp_path / "a.pth", None, pickle=pickle), "holds no tensors")  # And no table of that length.


NESTED = b"K\x01K\x01\x86q\x000" + b"".join(b"h%ch%c\x86q%c0" % (i, i, i + 1) for i in range(60)) + b"h\x3c"
"""Sixty tuples, each holding the one before twice: 2**60 numbers to write, to hash or to compare."""
ORDERED = b"ccollections\nOrderedDict\n"


def test_endless_texts_stay_out_of_messages(tmp_path):
    tensor = b"ctorch._utils\n_rebuild_tensor\n(" + NESTED + b"K\x00)" + NESTED + b"tR."
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n" + NESTED + b"X\x03\x00\x00\x00cpuK\x08tQ."
    for pickle, message in ((tensor, "a tensor is malformed"), (storage, "refers to something unknown")):
        refused(write_zip(tmp_path / "a.pth", None, pickle=b"\x80\x02" + pickle), message)


ENDLESS = {
    "dup": (b"})" + b"2\x86" * 100 + b"K\x01s", "instruction DUP, which weights have no need for"),
    "setitem": (b"}" + NESTED + b"K\x01s", "holds no tensors"),
    "setitems": (b"}(" + NESTED + b"K\x01u", "holds no tensors"),
    "dict": (b"(" + NESTED + b"K\x01d", "holds no tensors"),
    "additems": (b"\x8f(" + NESTED + b"\x90", "holds no tensors"),
    "frozenset": (b"(" + NESTED + b"\x91", "holds no tensors"),
    "pairs": (ORDERED + b"](" + NESTED + b"K\x01\x86e\x85R", "holds no tensors"),
    "tuple": (
        ORDERED + b"(" + NESTED + b"K\x01\x86t\x85R",
        "an OrderedDict is made of a tuple, expected a list of pairs",
    ),
    "inst": (b"(](" + NESTED + b"K\x01\x86ei" + ORDERED[1:], "holds no tensors"),
    "storage": (b"(U\x07storage" + NESTED + b"U\x010U\x03cpuK\x08tQ", "refers to something unknown"),
}
LISTED = b"(" + b"N" * 100_000
CALLED = b"h\x01h\x00\x85R" * 20_000
LONG = {
    "number": (b"\x8b\x00\x00\x10\x00" + b"\x01" * 2**20 + b"q\x00}" + b"h\x00Ns" * 200_000, "holds no tensors"),
    "dimensions": (
        b"\x8a\x08" + struct.pack("<q", 2**62) + b"q\x000ctorch._utils\n_rebuild_tensor\n"
        b"((U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x08tQK\x00("
        + (b"h\x00" * 300_000 + b"t(" + b"K\x00" * 300_000 + b"ttR"),
        "a tensor is malformed",
    ),
    "set": (b"]" + LISTED + b"eq\x00c__builtin__\nset\nq\x01" + CALLED, "holds no tensors"),
    "size": (b"]" + LISTED + b"eq\x00ctorch\nSize\nq\x01" + CALLED, "holds no tensors"),
    "pairs": (
        b"]("
        + b"".join(b"M%bN\x86" % struct.pack("<H", i) for i in range(50_000))
        + b"eq\x00"
        + ORDERED
        + b"q\x01"
        + CALLED,
        "holds no tensors",
    ),
    "arguments": (LISTED + b"tq\x00ctorch\ndevice\nq\x01" + b"h\x01h\x00R" * 20_000, "expected a tuple of at most 16"),
}


def test_nothing_endless_is_hashed(tmp_path):
    cases = [
        (write_zip(tmp_path / f"{name}.pth", None, pickle=b"\x80\x04" + pickle + b"."), message)
        for name, (pickle, message) in ENDLESS.items()
    ]
    older = tmp_path / "older.pth"
    older.write_bytes(b"\x80\x02}" + NESTED + b"K\x01s.")
    refused_at_once(*cases, (older, "is a pickle, but not one that torch.save makes"))


def test_a_long_object_counts_once(tmp_path):
    """What a pickle refers to again and again takes neither time nor memory each time."""
    more = {"data/0": bytes(32)}
    cases = [
        (write_zip(tmp_path / f"{name}.pth", None, pickle=b"\x80\x02" + pickle + b".", **more), message)
        for name, (pickle, message) in LONG.items()
    ]
    refused_at_once(*cases)


def test_a_storage_is_unpacked_once(tmp_path, make_weights):
    """64 kB that unpack to 64 MB, in which each of 1,555 tensors lies; one more ends the loading at last."""

    class OneStorage(Pickler):
        def tensor(self, saved):
            return Pickler().tensor(Saved(saved.array, numel=2**24))

    state = state_dict(make_weights(SpanConfig.official(2, 1, blocks=64)).expand())
    last = {"upsampler.0.bias": Saved(np.full(12, np.nan, np.float32))}
    pickler = Pickler(storages={"0": np.zeros(0)})
    pickle = OneStorage().encode(state)[:-1] + pickler.encode(last)[2:]
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + pickle + b".")
        archive.writestr("archive/data/0", bytes(2**26))
        archive.writestr("archive/data/1", pickler.storages["1"].tobytes())
    refused_at_once((path, "has 12 values in upsampler.0.bias that are NaN"))


@pytest.mark.parametrize("layout", ["zip", "legacy"])
def test_pickles_longer_than_any_checkpoints(tmp_path, layout):
    path = tmp_path / "a.pth"
    pickle = b"\x80\x02B" + struct.pack("<I", 2**24) + bytes(2**24) + b"."
    if layout == "zip":
        write_zip(path, None, pickle=pickle)
    else:
        path.write_bytes(pickle)
    refused(path, "holds a pickle of more than the 16,777,216 bytes allowed")


def test_keys_and_sets_of_training_programs(tmp_path, make_weights):
    """Only names and small numbers are kept as keys; a dictionary with others loads without them."""
    weights = make_weights(SpanConfig.official(2, 8, blocks=1))
    kinds = (b"N", b"\x88", b"G" + bytes(8), b"K\x01\x85", b"K\x01", b"U" + b"\x01a")
    pickler = Pickler()
    state = pickler.encode({"model": state_dict(weights)})
    optimizer = b"}(" + b"".join(kind + b"K\x07" for kind in kinds) + b"u"
    more = b"U\x03set\x8f(K\x01\x90U\x06frozen(K\x01\x91U\x05bytesC\x01a"
    data = b"\x80\x04" + state + b"(U\x05state" + optimizer + more + b"u."
    members = {f"data/{key}": array.tobytes() for key, array in pickler.storages.items()}
    loaded = load_weights(write_zip(tmp_path / "a.pth", None, pickle=data, **members))
    np.testing.assert_array_equal(loaded.layers["conv_2"]["kernel"], weights.layers["conv_2"]["kernel"])


def test_ordered_dictionaries_of_python_2(tmp_path, make_weights):
    weights = make_weights(SpanConfig.official(2, 8, blocks=1))
    pairs = [[name, value] for name, value in state_dict(weights).items()]
    loaded = load_weights(write_zip(tmp_path / "a.pth", {"model": Call("collections", "OrderedDict", (pairs,))}))
    np.testing.assert_array_equal(loaded.layers["conv_2"]["kernel"], weights.layers["conv_2"]["kernel"])


def test_dictionary_inside_itself(tmp_path):
    pickle = b"\x80\x02}q\x00(" + b"".join(b"K" + bytes([i]) + b"h\x00" for i in range(50)) + b"u."
    refused(write_zip(tmp_path / "a.pth", None, pickle=pickle), "holds no tensors")


@pytest.mark.parametrize("suffix", [".pth", ".keras"])
def test_zip_bombs_are_refused_unopened(tmp_path, valid, suffix):
    data = bytearray(valid[suffix])
    # Sizes in the central directory: what a bomb of a few kilobytes claims.
    at = data.rfind(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 0xF0000000)
    (tmp_path / f"a{suffix}").write_bytes(data)
    refused(tmp_path / f"a{suffix}", r"claims .*4,026,\d{3},\d{3} bytes")


def test_other_zip_archives_and_pickles(tmp_path, state):
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("readme.txt", "hello")
    refused(tmp_path / "a.pth", "is a zip archive, but not one that torch.save makes")
    write_zip(tmp_path / "b.pt", state, **{"constants.pkl": b""})
    refused(tmp_path / "b.pt", "is a TorchScript program, not weights")
    (tmp_path / "c.pth").write_bytes(Pickler().dumps({"a": 1}))
    refused(tmp_path / "c.pth", "is a pickle, but not one that torch.save makes")
    pickler = Pickler()
    (tmp_path / "d.pth").write_bytes(pickler.dumps(MAGIC) + pickler.dumps(1000) + pickler.dumps({}))
    refused(tmp_path / "d.pth", "has protocol 1000")
    write_zip(tmp_path / "e.pth", [1, 2])
    refused(tmp_path / "e.pth", "holds no tensors, expected the state_dict")
    write_zip(tmp_path / "f.pth", state, byteorder=b"big")
    refused(tmp_path / "f.pth", "was written on a big-endian machine")
