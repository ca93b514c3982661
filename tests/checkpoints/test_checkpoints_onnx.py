"""ONNX: SPAN is recognised in the graph whatever its tensors are called, and nothing else is taken for it."""

import copy

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from span_keras.checkpoints import load_weights
from span_keras.errors import CheckpointError
from span_keras.network.config import SpanConfig
from span_keras.network.reparam import shuffle_order


@pytest.fixture
def model(goldens) -> onnx.ModelProto:
    """Fused network of the official variant, x4, one block, exported by PyTorch."""
    return onnx.load(goldens / "fused_x4.onnx")


@pytest.fixture
def save(tmp_path):
    """Write a model and return its path."""

    def write(model):
        onnx.save(model, tmp_path / "a.onnx")
        return tmp_path / "a.onnx"

    return write


def node(model, kind: str, index: int = 0):
    return [found for found in model.graph.node if found.op_type == kind][index]


def constant(name: str, values, dtype=np.float32):
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def rename(model, value: str, new: str) -> None:
    """Give every reader of a value another one."""
    for found in model.graph.node:
        for i, name in enumerate(found.input):
            if name == value:
                found.input[i] = new


def insert_after_input(model, *nodes) -> None:
    """Put nodes that make ``changed`` from ``image`` in front of the network."""
    rename(model, "image", "changed")
    for new in reversed(nodes):
        model.graph.node.insert(0, new)


def error_against_onnxruntime(path, image: np.ndarray) -> float:
    """Largest difference of our deploy network's output from onnxruntime's, (H, W, 3) in [0, 1]."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    dtype = np.float16 if "float16" in source.type else np.float32
    expected = session.run(None, {source.name: image.transpose(2, 0, 1)[None].astype(dtype)})[0][0].transpose(1, 2, 0)
    found = keras.ops.convert_to_numpy(load_weights(path).deploy_model()(image[None]))[0]
    return float(np.abs(found - np.float32(expected)).max()) / max(1.0, float(np.abs(expected).max()))


def test_community_model_against_onnxruntime(shared):
    path = shared / "official" / "4xSPANkendata_fp32.onnx"
    weights = load_weights(path)
    # Not the authors' normalisation: only the graph can tell.
    assert (weights.config.img_range, weights.config.rgb_mean) == (1.0, (0.485, 0.456, 0.406))
    assert (weights.config.scale, weights.config.variant, weights.metadata["assumed"]) == (4, "official", [])
    with Image.open(shared / "data" / "train" / "bsd400" / "384022.jpg") as photograph:
        image = np.float32(photograph.convert("RGB").crop((100, 60, 196, 124))) / 255
    assert error_against_onnxruntime(path, image) <= 1e-4


@pytest.mark.parametrize("name", ["fused_x4", "train_span_x2"])
def test_goldens_against_onnxruntime(goldens, image, name):
    assert error_against_onnxruntime(goldens / f"{name}.onnx", image) <= 2e-6


def test_names_do_not_matter(model, save, image):
    for i, tensor in enumerate(model.graph.initializer):
        rename(model, tensor.name, f"onnx::Conv_{i}")
        tensor.name = f"onnx::Conv_{i}"
    for i, found in enumerate(model.graph.node):
        found.name = ""
        if found.output[0] != model.graph.output[0].name:
            rename(model, found.output[0], f"{i}")
            found.output[0] = f"{i}"
    assert error_against_onnxruntime(save(model), image) <= 2e-6


def shuffle_dcr(model):
    """The same network with block-major upsampler channels."""
    shuffle, conv = node(model, "DepthToSpace"), node(model, "Conv", -1)
    order = np.arange(48).reshape(3, 16).T.reshape(-1)
    for tensor in model.graph.initializer:
        if tensor.name in conv.input[1:]:
            tensor.CopyFrom(constant(tensor.name, numpy_helper.to_array(tensor)[order]))
    for attribute in shuffle.attribute:
        if attribute.name == "mode":
            attribute.s = b"DCR"


def shuffle_by_reshape(model):
    """The pixel shuffle as reshape, transpose, reshape, for a 13×10 image."""
    shuffle = node(model, "DepthToSpace")
    shapes = [constant("split", [1, 3, 4, 4, 13, 10], np.int64), constant("join", [1, 3, 52, 40], np.int64)]
    model.graph.initializer.extend(shapes)
    new = [
        helper.make_node("Reshape", [shuffle.input[0], "split"], ["six"]),
        helper.make_node("Transpose", ["six"], ["turned"], perm=[0, 1, 4, 2, 5, 3]),
        helper.make_node("Reshape", ["turned", "join"], [shuffle.output[0]]),
    ]
    model.graph.node.remove(shuffle)
    model.graph.node.extend(new)


def half_precision(model):
    """float16 weights behind casts, as converters leave them."""
    for tensor in list(model.graph.initializer):
        if tensor.data_type == TensorProto.FLOAT:
            half = constant(f"{tensor.name}_half", numpy_helper.to_array(tensor), np.float16)
            model.graph.initializer.append(half)
            model.graph.node.insert(0, helper.make_node("Cast", [half.name], [tensor.name], to=TensorProto.FLOAT))
            model.graph.initializer.remove(tensor)


def clip_and_identity(model):
    """What wrappers add around the network."""
    output = model.graph.output[0].name
    last = next(found for found in model.graph.node if output in found.output)
    last.output[0] = "unclipped"
    model.graph.initializer.extend([constant("low", -100), constant("high", 100)])
    model.graph.node.append(helper.make_node("Clip", ["unclipped", "low", "high"], [output]))
    insert_after_input(model, helper.make_node("Identity", ["image"], ["changed"]))


def operands_swapped(model):
    for found in model.graph.node:
        if found.op_type in ("Add", "Mul") and found.input[1] not in {t.name for t in model.graph.initializer}:
            found.input[:] = list(found.input)[::-1]


def other_normalisation(model):
    """A further division and subtraction per colour, unequal so that the first kernel has to make up for it."""
    model.graph.initializer.extend(
        [constant("deviation", np.reshape([0.5, 0.25, 0.75], (1, 3, 1, 1))), constant("shift", 0.125)]
    )
    insert_after_input(
        model,
        helper.make_node("Div", ["image", "deviation"], ["divided"]),
        helper.make_node("Add", ["shift", "divided"], ["changed"]),
    )


@pytest.mark.parametrize(
    "change",
    [shuffle_dcr, shuffle_by_reshape, half_precision, clip_and_identity, operands_swapped, other_normalisation],
)
def test_exporters_ways_to_say_the_same(model, save, image, change):
    change(model)
    onnx.checker.check_model(model)
    assert error_against_onnxruntime(save(model), image) <= 2e-6


def test_weights_in_a_file_beside_it(tmp_path, model, image):
    onnx.save(model, tmp_path / "a.onnx", save_as_external_data=True, location="a.data", size_threshold=0)
    assert (tmp_path / "a.data").is_file()
    assert error_against_onnxruntime(tmp_path / "a.onnx", image) <= 2e-6
    before = load_weights(tmp_path / "a.onnx").metadata["sha256"]
    data = bytearray((tmp_path / "a.data").read_bytes())
    data[0] ^= 1
    (tmp_path / "a.data").write_bytes(data)
    assert load_weights(tmp_path / "a.onnx").metadata["sha256"] != before
    (tmp_path / "a.data").unlink()
    with pytest.raises(CheckpointError, match=r"a\.onnx could not be read as \.onnx.*a\.data"):
        load_weights(tmp_path / "a.onnx")


def test_weights_outside_its_folder_are_not_opened(tmp_path, model):
    (tmp_path / "below").mkdir()
    onnx.save(model, tmp_path / "a.onnx", save_as_external_data=True, location="a.data", size_threshold=0)
    described = onnx.load(tmp_path / "a.onnx", load_external_data=False)
    for tensor in described.graph.initializer:
        for entry in tensor.external_data:
            entry.value = "../a.data" if entry.key == "location" else entry.value
    (tmp_path / "below" / "a.onnx").write_bytes(described.SerializeToString())
    with pytest.raises(CheckpointError, match=r"could not be read as \.onnx"):
        load_weights(tmp_path / "below" / "a.onnx")


# Graphs that are not SPAN's ------------------------------------------------------------------------------------------


def attribute_of(found, name):
    return next(attribute for attribute in found.attribute if attribute.name == name)


def other_slope(model):
    attribute_of(node(model, "LeakyRelu"), "alpha").f = 0.2


def grouped(model):
    attribute_of(node(model, "Conv", 1), "group").i = 2


def dilated(model):
    attribute_of(node(model, "Conv", 1), "dilations").ints[:] = [2, 2]


def unpadded(model):
    attribute_of(node(model, "Conv", 1), "pads").ints[:] = [0, 0, 0, 0]


def no_shuffle(model):
    model.graph.output[0].name = node(model, "Conv", -1).output[0]


def other_concat(model):
    concat = node(model, "Concat", -1)
    concat.input[:] = [concat.input[i] for i in (0, 2, 1, 3)]


def three_features(model):
    del node(model, "Concat", -1).input[3]


def raw_fourth_feature(model):
    """The last block's first convolution before its activation: what the source code seems to say."""
    node(model, "Concat", -1).input[3] = node(model, "Conv", 1).output[0]


def mixed(model):
    sigmoid = node(model, "Sigmoid", -1)
    gate = next(found for found in model.graph.node if sigmoid.output[0] in found.input)
    sigmoid.op_type = "Tanh"
    rename(model, gate.output[0], sigmoid.output[0])


def other_offset(model):
    sigmoid = node(model, "Sigmoid", -1)
    gate = next(found for found in model.graph.node if sigmoid.output[0] in found.input)
    model.graph.initializer.append(constant("offset", 0.4))
    gate.input[1] = "offset"


def two_inputs(model):
    model.graph.input.append(copy.deepcopy(model.graph.input[0]))
    model.graph.input[1].name = "noise"


def zero_range(model):
    model.graph.initializer.append(constant("zero", 0))
    insert_after_input(model, helper.make_node("Mul", ["image", "zero"], ["changed"]))


def dynamic_normalisation(model):
    insert_after_input(model, helper.make_node("Mul", ["image", "image"], ["changed"]))


def other_colours(model):
    insert_after_input(model, helper.make_node("Sigmoid", ["image"], ["changed"]))


def cycle(model):
    rename(model, "image", "changed")
    model.graph.node.append(helper.make_node("Identity", ["changed"], ["changed"]))


def computed_weights(model):
    conv = node(model, "Conv", 1)
    model.graph.node.append(helper.make_node("Relu", [conv.input[1]], ["computed"]))
    conv.input[1] = "computed"


def huge_claim(model):
    tensor = model.graph.initializer[0]
    tensor.dims[:] = [2**20, 2**20]


def no_graph(model):
    model.graph.Clear()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("train_span_x2", other_slope, r"expected LeakyReLU with slope 0.1, not 0.2"),
        ("fused_x4", grouped, r"expected a plain 3×3 convolution"),
        ("fused_x4", dilated, r"expected a plain 3×3 convolution"),
        ("fused_x4", unpadded, r"convolution with constant weights and a padding of 1"),
        ("fused_x4", computed_weights, r"convolution with constant weights"),
        ("fused_x4", no_shuffle, r"expected DepthToSpace or Reshape or ConvTranspose to make .*, found Conv"),
        ("fused_x4", other_concat, r"expected Conv or Add to make .*, found Mul"),
        ("fused_x4", three_features, r"expected a Concat of four features, not 3,"),
        ("fused_x4", raw_fourth_feature, r"expected the activated first convolution of the last block"),
        ("fused_x4", mixed, r"mixes activations, expected LeakyReLU with tanh or SiLU with sigmoid - 0.5"),
        ("fused_x4", other_offset, r"expected \(o3 \+ x\) times tanh\(o3\) or times sigmoid\(o3\) - 0.5"),
        ("fused_x4", two_inputs, r"has 2 inputs and 1 outputs, expected one image each"),
        ("fused_x4", zero_range, r"multiplies its input by \[0.0, 0.0, 0.0\]"),
        ("fused_x4", dynamic_normalisation, r"expected a constant per colour in the normalisation"),
        ("fused_x4", other_colours, r"expected Sub or Add or Mul or Div to make 'changed', found Sigmoid"),
        ("fused_x4", cycle, r"has a cycle in its graph"),
        ("fused_x4", huge_claim, r"claims 4,398,046,511,104 bytes"),
        ("fused_x4", no_graph, r"holds no ONNX graph"),
    ],
)
def test_other_graphs_are_refused(goldens, save, name, change, message):
    model = onnx.load(goldens / f"{name}.onnx")
    change(model)
    with pytest.raises(CheckpointError, match=rf"a\.onnx .*{message}"):
        load_weights(save(model))


# Graphs that Keras's export and tf2onnx write ------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "variant"), [("keras_export", "official"), ("tf2onnx_nchw", "span")])
def test_graphs_of_keras_and_tf2onnx(goldens, make_weights, name, variant):
    """NHWC between Transposes, the pixel shuffle a transposed convolution or reshapes that depend on the image."""
    expected = make_weights(SpanConfig(2, 4, 1, variant, img_range=2.0, rgb_mean=(0.1, 0.2, 0.3)))
    loaded = load_weights(goldens / f"{name}.onnx")
    assert (loaded.config, loaded.metadata["assumed"]) == (expected.config, [])
    for layer, group in expected.layers.items():
        for key, value in group.items():
            np.testing.assert_allclose(loaded.layers[layer][key], value, atol=1e-6)


def transposed_convolution(goldens):
    model = onnx.load(goldens / "keras_export.onnx")
    return model, node(model, "ConvTranspose")


def change_kernel(model, found, change) -> None:
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == found.input[1])
    tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)).copy(), tensor.name))


def test_a_transposed_convolution_in_pytorchs_order(goldens, make_weights, save):
    model, found = transposed_convolution(goldens)
    change_kernel(model, found, lambda kernel: np.eye(12, dtype=np.float32).reshape(kernel.shape))
    loaded = load_weights(save(model))
    original = make_weights(loaded.config).layers["upsampler"]["kernel"]
    np.testing.assert_array_equal(loaded.layers["upsampler"]["kernel"], original[..., shuffle_order(2)])


@pytest.mark.parametrize(
    "change", [lambda kernel: kernel * 2, lambda kernel: kernel[::-1], lambda kernel: kernel[..., ::-1]]
)
def test_a_transposed_convolution_that_shuffles_otherwise(goldens, save, change):
    model, found = transposed_convolution(goldens)
    change_kernel(model, found, change)
    with pytest.raises(CheckpointError, match="expected a ConvTranspose that shuffles pixels"):
        load_weights(save(model))


@pytest.mark.parametrize(("given", "made"), [(1, 1), (1, 3), (4, 4)])
def test_other_channels(tmp_path, make_weights, given, made):
    from span_export.export import export_model

    mean = (0.1, 0.2, 0.3, 0.4)[:given]
    weights = make_weights(SpanConfig(2, 4, 1, rgb_mean=mean, in_channels=given, out_channels=made))
    export_model(weights, files={"onnx": tmp_path / "a.onnx"})
    loaded = load_weights(tmp_path / "a.onnx")
    assert loaded.config == weights.config
    np.testing.assert_array_equal(loaded.layers["upsampler"]["kernel"], weights.layers["upsampler"]["kernel"])
