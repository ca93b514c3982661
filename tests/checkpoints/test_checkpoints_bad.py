"""Files that are missing, damaged, hostile or not SPAN: a typed error that says what is wrong, and nothing executed."""

import io
import itertools
import json
import re
import struct
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

from helpers.torch_files import MAGIC, Call, Pickler, Saved, state_dict, write_legacy, write_zip
from span_keras.checkpoints import load_weights, save_weights
from span_keras.errors import CheckpointError, SpanError, UnsafeCheckpointError
from span_keras.network.config import SpanConfig

FORMATS = {
    ".pth": "train_x2.pth",
    ".pt": "legacy_no_norm_x3.pth",
    ".onnx": "fused_x4.onnx",
    ".safetensors": None,
    ".weights.h5": None,
    ".keras": None,
    ".json": None,
}
"""A valid file for each suffix: a golden, or one made by the fixture below."""


@pytest.fixture(scope="module")
def valid(goldens, tmp_path_factory) -> dict:
    """Suffix -> bytes of a valid file."""
    from helpers.weights import random_weights

    weights = random_weights(SpanConfig(2, 8, 1))
    folder = tmp_path_factory.mktemp("valid")
    found = {}
    for suffix, golden in FORMATS.items():
        path = goldens / golden if golden else folder / f"a{suffix}"
        if suffix == ".json":
            path.write_bytes(json.dumps({"modelTopology": {}, "weightsManifest": []}).encode())
        elif not golden:
            save_weights(weights, path)
        found[suffix] = path.read_bytes()
    return found


@pytest.fixture
def state(make_weights) -> dict:
    """State dictionary of a small network in fused form."""
    return state_dict(make_weights(SpanConfig.official(2, 8, blocks=1)))


def refused(path, match: str | None = None, error=CheckpointError):
    """Loading raises exactly the given error, its message is one line, names the file and matches."""
    with pytest.raises(SpanError, match=match) as caught:
        load_weights(path)
    assert type(caught.value) is error
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def refused_at_once(*cases):
    """As ``refused``, for each (path, match), in a process that is killed where that takes minutes or much memory."""
    code = """
import json, resource, sys
from span_keras.checkpoints import load_weights
from span_keras.errors import CheckpointError
resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
if sys.platform == "linux":  # macOS maps more than that to begin with
    resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))
for path in sys.argv[1:]:
    try:
        load_weights(path)
    except CheckpointError as error:
        print(json.dumps(str(error)), flush=True)
"""
    paths = [str(path) for path, _ in cases]
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True)
    messages = list(map(json.loads, done.stdout.splitlines()))
    for (path, match), message in zip(cases, messages, strict=False):
        assert str(path) in message
        assert re.search(match, message), message
    assert (len(messages), done.returncode, done.stderr) == (len(cases), 0, "")


# Damage, for every format --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", FORMATS)
def test_empty_file(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.touch()
    refused(path, "is empty, expected SPAN weights")


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    "content", [b"\x00" * 4096, b"<!DOCTYPE html><html>Not found</html>", b"\x89PNG\r\n\x1a\n" + b"x" * 99, b"{}"]
)
def test_not_a_model(tmp_path, suffix, content):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    refused(path)


@pytest.mark.parametrize("suffix", FORMATS)
def test_truncated_anywhere(tmp_path, valid, suffix):
    path = tmp_path / f"a{suffix}"
    whole = valid[suffix]
    for share in (0.001, 0.01, 0.1, 0.3, 0.5, 0.9, 0.99):
        path.write_bytes(whole[: max(1, int(share * len(whole)))])
        refused(path)
    path.write_bytes(whole[:-1])
    refused(path)


@pytest.mark.parametrize("suffix", FORMATS)
def test_altered_bytes_never_escape_as_another_error(tmp_path, valid, suffix):
    rng = np.random.default_rng(3)
    path = tmp_path / f"a{suffix}"
    outcomes = set()
    for _ in range(40):
        data = np.frombuffer(valid[suffix], np.uint8).copy()
        # The first and last kilobytes hold the structure, where damage is interesting.
        places = rng.integers(-1000, 1000, 3) % len(data)
        data[places] = rng.integers(0, 256, 3)
        path.write_bytes(data.tobytes())
        try:
            load_weights(path)
            outcomes.add("loaded")
        except CheckpointError as error:
            assert str(path) in str(error)
            outcomes.add("refused")
    assert "refused" in outcomes


def test_larger_than_any_network(tmp_path):
    path = tmp_path / "a.pth"
    with path.open("wb") as file:
        file.truncate(2**31)  # Sparse: takes no room.
    refused(path, "has 2,147,483,648 bytes, more than the 1,073,741,824 that any SPAN network needs")


# Tensors that do not make a SPAN network -----------------------------------------------------------------------------


def test_all_differences_are_listed(tmp_path, state):
    del state["block_1.c2_r.eval_conv.bias"], state["conv_2.eval_conv.weight"]
    state["block_1.c1_r.eval_conv.weight"] = np.zeros((8, 7, 3, 3), np.float32)
    state["upsampler.0.bias"] = np.zeros(13, np.float32)
    state["tail.weight"] = np.zeros(3, np.float32)
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError) as caught:
        load_weights(tmp_path / "a.safetensors")
    assert str(caught.value).endswith(
        "does not hold a SPAN network of scale 2, 8 channels and 1 blocks: "
        "missing block_1.c2_r.eval_conv.bias (8,); missing conv_2.eval_conv.weight (8, 8, 3, 3); "
        "unexpected tail.weight (3,); "
        "block_1.c1_r.eval_conv.weight has shape (8, 7, 3, 3), expected (8, 8, 3, 3); "
        "upsampler.0.bias has shape (13,), expected (12,)."
    )


def test_differences_of_our_own_names(tmp_path, tiny_weights):
    tiny_weights.layers["conv_1"]["scale"] = np.ones(3, np.float32)
    del tiny_weights.layers["block_2_c3"]["bias"]
    save_weights(tiny_weights, tmp_path / "a.safetensors")
    refused(tmp_path / "a.safetensors", r"missing block_2_c3/bias \(8,\); unexpected conv_1/scale \(3,\)\.$")


def test_a_missing_block_is_missed(tmp_path, make_weights):
    state = state_dict(make_weights(SpanConfig.official(2, 8, blocks=3)))
    save_file({k: v for k, v in state.items() if not k.startswith("block_2.")}, tmp_path / "a.safetensors")
    refused(tmp_path / "a.safetensors", "missing block_2.c1_r.eval_conv.weight")


def test_half_expanded_layer_does_not_fall_back_on_a_stale_copy(tmp_path, make_weights):
    config = SpanConfig.official(2, 8, blocks=1)
    state = {**state_dict(make_weights(config)), **state_dict(make_weights(config).expand())}
    del state["conv_2.sk.bias"]
    save_file(state, tmp_path / "a.safetensors")
    refused(tmp_path / "a.safetensors", r"missing conv_2.sk.bias \(8,\)\.$")


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["RRDB_trunk.0.RDB1.conv1.weight", "conv_first.weight"], "ESRGAN"),
        (["body.0.rdb1.conv1.weight", "conv_first.weight"], "ESRGAN"),
        (["model.0.weight", "model.1.sub.0.RDB1.conv1.0.weight"], "ESRGAN"),
        (["params_ema.layers.0.residual_group.blocks.0.norm1.weight"], "SwinIR"),
        (["body.0.weight", "body.1.weight"], "SRVGGNetCompact"),
        (["block_1.c1_r.weight", "block_1.esa.conv1.weight"], "RLFN"),
        (["head.0.weight", "body.0.body.0.weight"], "EDSR"),
        (["encoder.weight"], "1 others"),
    ],
)
def test_other_architectures_are_named(tmp_path, names, kind):
    save_file({name: np.zeros((4, 4), np.float32) for name in names}, tmp_path / "a.safetensors")
    refused(tmp_path / "a.safetensors", f"is not SPAN: expected tensors such as conv_1.sk.weight .* found .*{kind}")


@pytest.mark.parametrize(
    ("channels", "message"),
    [(243, "expected a network from 3 to 3, .* scale s from 1 to 8"), (13, "has 3 input and 13 upsampler channels")],
)
def test_unknown_scales(tmp_path, state, channels, message):
    state["upsampler.0.weight"] = np.zeros((channels, 8, 3, 3), np.float32)
    state["upsampler.0.bias"] = np.zeros(channels, np.float32)
    save_file(state, tmp_path / "a.safetensors")
    refused(tmp_path / "a.safetensors", message)


def test_tensors_that_tell_the_size_are_missing(tmp_path, state):
    only = {name: value for name, value in state.items() if name.startswith("conv_1")}
    save_file(only, tmp_path / "a.safetensors")
    refused(tmp_path / "a.safetensors", "is not SPAN: it lacks the tensors that tell its scale and blocks")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(tmp_path, state, value):
    state["conv_cat.bias"][2:4] = value
    path = write_zip(tmp_path / "a.pth", state)
    refused(path, "has 2 values in conv_cat.bias that are NaN, infinite or beyond float32")


def test_float64_beyond_float32(tmp_path, state):
    state["conv_cat.bias"] = np.full(8, 1e300)
    refused(write_zip(tmp_path / "a.pth", state), "has 8 values in conv_cat.bias")


def test_absurd_depth_and_width(tmp_path, state):
    state["block_999999999.c1_r.sk.bias"] = np.zeros(8, np.float32)
    save_file(state, tmp_path / "a.safetensors")
    refused(tmp_path / "a.safetensors", "cannot be built: blocks must be a whole number from 1 to 64, found 999999999")


def test_statements_that_contradict_the_tensors(tmp_path, tiny_weights):
    tensors = {f"{layer}/{key}": v for layer, group in tiny_weights.layers.items() for key, v in group.items()}
    for stated, message in (
        ({"scale": 4}, "states scale 4, but its tensors have scale 2"),
        ({"variant": "fast"}, "cannot be built: variant must be one of"),
        ({"rgb_mean": "grey"}, "cannot be built: .*rgb_mean"),
        ({"img_range": 1e9}, "cannot be built: img_range must be between"),
        ([1], r"states the configuration \[1\], expected a JSON object"),
    ):
        save_file(tensors, tmp_path / "a.safetensors", {"span": json.dumps(stated)})
        refused(tmp_path / "a.safetensors", message)


# Pickles that want more than weights ---------------------------------------------------------------------------------


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


# Keras and HDF5 ------------------------------------------------------------------------------------------------------


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


# TensorFlow.js and ONNX: small files that describe large ones --------------------------------------------------------

PIECE = 2**20
"""Bytes of a file that is referred to again and again."""
TIMES = 2**30 // PIECE + 1


@pytest.mark.parametrize("paths", [1, TIMES])
def test_one_shard_listed_again_and_again(tmp_path, paths):
    (tmp_path / "a.bin").write_bytes(bytes(PIECE))

    def group(name):
        return {
            "paths": ["a.bin"] * paths,
            "weights": [{"name": name, "shape": [paths * PIECE // 4], "dtype": "float32"}],
        }

    groups = [group(f"layer_{i}/kernel") for i in range(TIMES // paths)]
    (tmp_path / "model.json").write_text(json.dumps({"modelTopology": {}, "weightsManifest": groups}))
    refused(tmp_path / "model.json", "has shards of 1,074,790,400 bytes, more than the 1,073,741,824 allowed")


@pytest.fixture
def model(goldens) -> onnx.ModelProto:
    """A valid ONNX model of 25 kB of weights."""
    return onnx.load(goldens / "fused_x4.onnx")


def save_onnx(path, model):
    path.write_bytes(model.SerializeToString())  # As it is: onnx.save would read the files beside it.
    return path


def external(name: str, dims: list[int], **more: int) -> TensorProto:
    """A tensor that is kept in a.data."""
    tensor = TensorProto(name=name, dims=dims, data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": "a.data", **more}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


@pytest.mark.parametrize(
    ("dims", "more"),
    [
        ([PIECE // 4], {"length": PIECE}),
        ([1], {"length": PIECE}),
        ([1], {}),
        ([1], {"offset": 4}),
        ([1], {"length": 0}),
    ],
    ids=["true", "untrue", "whole", "rest", "empty"],
)
@pytest.mark.parametrize("kind", ["initializer", "node"])
def test_one_file_read_into_many_tensors(tmp_path, model, dims, more, kind):
    (tmp_path / "a.data").write_bytes(bytes(PIECE))
    tensors = [external(f"w{i}", dims, **more) for i in range(TIMES)]
    if kind == "initializer":
        model.graph.initializer.extend(tensors)
    else:
        model.graph.node.extend(helper.make_node("Constant", [], [t.name], value=t) for t in tensors)
    refused(save_onnx(tmp_path / "a.onnx", model), r"with w\d+ claims 1,07\d,\d{3},\d{3} bytes, more than")


def test_claims_of_all_tensors_are_summed(tmp_path, model):
    for i in range(3):
        model.graph.initializer.append(TensorProto(name=f"w{i}", dims=[2**27], data_type=TensorProto.FLOAT))
    refused(save_onnx(tmp_path / "a.onnx", model), r"with w1 claims 1,073,\d{3},\d{3} bytes, more than")


def test_endless_dimensions(tmp_path, model):
    model.graph.initializer.append(TensorProto(name="w", dims=[2**62] * 300_000, data_type=TensorProto.FLOAT))
    refused_at_once((save_onnx(tmp_path / "a.onnx", model), "w of .* claims the impossible shape"))


def replace_last_kernel(model, *nodes, **constants) -> None:
    """Let the last convolution take its kernel from the output ``kernel`` of new nodes."""
    conv = [node for node in model.graph.node if node.op_type == "Conv"][-1]
    conv.input[1] = "kernel"
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    for node in reversed(nodes):
        model.graph.node.insert(0, node)


def test_a_weight_behind_many_casts(tmp_path, model):
    """A megabyte, of which every cast makes two or one."""
    names = ["start", *(f"cast_{i}" for i in range(99)), "kernel"]
    casts = [
        helper.make_node("Cast", [old], [new], to=TensorProto.FLOAT if i % 2 else TensorProto.DOUBLE)
        for i, (old, new) in enumerate(itertools.pairwise(names))
    ]
    replace_last_kernel(model, *casts, start=np.zeros((48, 600, 3, 3), np.float32))
    refused(
        save_onnx(tmp_path / "a.onnx", model), "computes constants, up to 'cast_.*', of more than 16 times the size"
    )


def test_many_sums_that_grow(tmp_path, model):
    """Each is of two times 512 numbers and has 2**18."""
    sums = [helper.make_node("Add", ["rows", "columns"], [f"sum_{i}"]) for i in range(9)]
    both = helper.make_node("Concat", [node.output[0] for node in sums], ["kernel"], axis=0)
    replace_last_kernel(model, *sums, both, rows=np.zeros((512, 1), "f4"), columns=np.zeros((1, 512), "f4"))
    refused(save_onnx(tmp_path / "a.onnx", model), "computes constants, up to 'sum_.*', of more than 16 times the size")


def test_texts_in_a_graph(tmp_path, model):
    text = TensorProto(name="text", dims=[2], data_type=TensorProto.STRING, string_data=[b"x" * 9, b""])
    model.graph.initializer.append(text)
    refused(save_onnx(tmp_path / "a.onnx", model), "holds texts in text, expected numbers")
    model.graph.initializer.pop()
    cast = helper.make_node("Cast", ["start"], ["kernel"], to=TensorProto.STRING)
    replace_last_kernel(model, cast, start=np.zeros((48, 8, 3, 3), np.float32))
    refused(save_onnx(tmp_path / "a.onnx", model), "holds texts in kernel, expected numbers")


def test_a_normalisation_that_never_starts(tmp_path, model):
    """Two multiplications, each of the other's result."""
    for node in model.graph.node:
        node.input[:] = ["first" if name == "image" else name for name in node.input]
    model.graph.initializer.append(numpy_helper.from_array(np.float32(2), "two"))
    for result, operand in (("first", "second"), ("second", "first")):
        model.graph.node.append(helper.make_node("Mul", [operand, "two"], [result]))
    refused_at_once((save_onnx(tmp_path / "a.onnx", model), "has a cycle in its graph"))
