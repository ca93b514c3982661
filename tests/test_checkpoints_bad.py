"""Files that are missing, damaged, hostile or not SPAN: a typed error that says what is wrong, and nothing executed."""

import json
import struct
import zipfile

import h5py
import numpy as np
import pytest
from safetensors.numpy import save_file
from torch_files import MAGIC, Call, Pickler, Saved, state_dict, write_legacy, write_zip

from span_keras.checkpoints import load_weights, save_weights
from span_keras.config import SpanConfig
from span_keras.errors import CheckpointError, SpanError, UnsafeCheckpointError

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
    from conftest import random_weights

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
    [(3, "scale must be one of"), (75, "scale must be one of"), (13, "has 13 upsampler channels, expected 3·s²")],
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
    assert "system, which weights" in str(caught.value) or "unregistered extension code" in str(caught.value)


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
    refused(write_zip(tmp_path / "a.pth", None, pickle=pickle), "hostile pickle: memo index 4294967295 after")


def test_endless_texts_stay_out_of_messages(tmp_path):
    """Sixty tuples, each holding the one before twice: their text would fill any memory."""
    nested = b"K\x01K\x01\x86q\x00" + b"0" + b"".join(b"h%ch%c\x86q%c0" % (i, i, i + 1) for i in range(60)) + b"h\x3c"
    tensor = b"ctorch._utils\n_rebuild_tensor\n(" + nested + b"K\x00)" + nested + b"tR."
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n" + nested + b"X\x03\x00\x00\x00cpuK\x08tQ."
    for pickle, message in ((tensor, "a tensor is malformed"), (storage, "refers to something unknown")):
        refused(write_zip(tmp_path / "a.pth", None, pickle=b"\x80\x02" + pickle), message)


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


def test_hdf5_that_claims_too_much(tmp_path):
    def make(file, variables):
        variables.create_dataset("0", (10**5, 10**5), "f4", chunks=(100, 100))  # Unwritten: the file stays small.
        variables.create_dataset("1", (8,), "f4")

    refused(h5_file(tmp_path / "a.weights.h5", make), "claims 40,000,000,000 bytes")


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
