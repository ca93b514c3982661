"""The command ``span-export`` as a user meets it."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from helpers.export import run
from helpers.torch_files import state_dict, write_zip
from helpers.weights import nearest_weights
from span_export import export, page
from span_keras.checkpoints import load, load_weights, save_weights
from span_keras.network.config import SpanConfig

HEAVY = ("keras", "tf_keras", "tensorflow", "tensorflowjs", "jax", "torch", "matplotlib", "PIL")


@pytest.fixture
def weights_file(tmp_path, tiny_weights):
    save_weights(tiny_weights, tmp_path / "w.safetensors")
    return str(tmp_path / "w.safetensors")


def test_exports_and_says_what(tmp_path, weights_file, tiny_weights):
    out = tmp_path / "out"
    result = run("--tfjs", out, "--weights", weights_file)
    assert re.fullmatch(
        rf"{out}: x2, 8 channels, variant span, none weights, 0\.0\d\d MB in 2 files\.\n", result.stdout
    )
    assert load_weights(out / "model.json").config == tiny_weights.config


def test_metadata_names_the_file_and_its_hash(tmp_path, weights_file):
    run("--tfjs", tmp_path / "out", "-w", weights_file)
    source = json.loads((tmp_path / "out" / "model.json").read_text())["userDefinedMetadata"]["span"]["source"]
    assert source == {"name": "w.safetensors", "sha256": load_weights(weights_file).metadata["sha256"]}


def test_exports_what_it_exported(tmp_path, weights_file, tiny_weights):
    run("--tfjs", tmp_path / "a", "-w", weights_file)
    run("--tfjs", tmp_path / "b", "-w", tmp_path / "a" / "model.json")
    again = load_weights(tmp_path / "b" / "model.json")
    assert again.config == tiny_weights.config
    assert (again.layers["conv_1"]["kernel"] == tiny_weights.layers["conv_1"]["kernel"]).all()


def test_options_say_what_the_file_cannot(tmp_path, tiny_weights):
    from safetensors.numpy import save_file

    arrays = {f"{name}/{key}": array for name, group in tiny_weights.layers.items() for key, array in group.items()}
    save_file(arrays, tmp_path / "bare.safetensors")
    options = ("--variant", "official", "--img-range", "255", "--rgb-mean", "0.1,0.2,0.3")
    run("--tfjs", tmp_path / "out", "-w", tmp_path / "bare.safetensors", *options)
    config = load_weights(tmp_path / "out" / "model.json").config
    assert (config.variant, config.img_range, config.rgb_mean) == ("official", 255.0, (0.1, 0.2, 0.3))


def test_what_is_assumed_of_any_network_is_told(tmp_path, weights_file):
    plain = write_zip(tmp_path / "plain.pth", state_dict(nearest_weights(SpanConfig.official(2, 4, blocks=1))))
    result = run("--tfjs", tmp_path / "out", "-w", weights_file, "--also", plain)
    assert "plain.pth does not tell all about its network; found img_range 255, " in result.stderr
    assert "w.safetensors" not in result.stderr


def test_demo_puts_the_page_beside_the_model(tmp_path, weights_file):
    run("--tfjs", tmp_path / "out", "-w", weights_file, "--demo")
    names = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*")}
    assert {"index.html", "model.json", "span.js", "main.js"} <= names
    development = {"node_modules", "package.json", "package-lock.json", "tsconfig.json", "types"}
    assert not [name for name in names if name.split("/")[0] in development or name.endswith(".mjs")]
    assert {name for name in names if name.startswith(".")} == {".span-export.json"}


def test_page_with_further_networks(tmp_path, weights_file, make_weights):
    config = SpanConfig(scale=3, channels=4, blocks=1)
    save_weights(make_weights(config), tmp_path / "small.safetensors")
    result = run("--tfjs", tmp_path / "out", "-w", weights_file, "--also", tmp_path / "small.safetensors", "--demo")
    assert [line.split(": ")[1].split(",")[0] for line in result.stdout.splitlines()] == ["x2", "x3"]
    models = json.loads((tmp_path / "out" / "models.json").read_text())["models"]
    assert [(m["name"], m["url"], m["scale"], m["channels"], m["variant"]) for m in models] == [
        ("w", "model.json", 2, 8, "span"),
        ("small", "models/small/model.json", 3, 4, "span"),
    ]
    for model in models:
        folder = (tmp_path / "out" / model["url"]).parent
        manifest = json.loads((folder / "model.json").read_text())["weightsManifest"]
        files = [folder / "model.json", *(folder / name for group in manifest for name in group["paths"])]
        assert model["bytes"] == sum(path.stat().st_size for path in files)
    assert load_weights(tmp_path / "out" / "models" / "small" / "model.json").config == config


def test_two_networks_of_one_name(tmp_path, weights_file):
    """The second is numbered; and what a name holds does not reach an address as it stands."""
    (tmp_path / "b").mkdir()
    for name in ("w.safetensors", "2x #1 v1.5.safetensors"):
        shutil.copy(weights_file, tmp_path / "b" / name)
    also = [word for path in sorted((tmp_path / "b").iterdir()) for word in ("--also", path)]
    run("--tfjs", tmp_path / "out", "-w", weights_file, *also)
    models = json.loads((tmp_path / "out" / "models.json").read_text())["models"]
    assert [(model["name"], model["url"]) for model in models] == [
        ("w", "model.json"),
        ("2x #1 v1.5", "models/2x%20%231%20v1.5/model.json"),
        ("w-2", "models/w-2/model.json"),
    ]
    assert (tmp_path / "out" / "models" / "2x #1 v1.5" / "model.json").is_file()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("bundled:x4-fast", "x4-fast"),
        ("runs/a/best.weights.h5", "best"),
        ("x4.safetensors", "x4"),
        ("2x_foo_v1.5.pth", "2x_foo_v1.5"),
        ("models/mine/model.json", "mine"),
        ("memory", "memory"),
    ],
)
def test_names_of_networks(tiny_weights, source, name):
    assert export.network_name(replace(tiny_weights, source=source)) == name


def test_an_installation_without_the_page(tmp_path, weights_file, monkeypatch):
    monkeypatch.setattr(page.resources, "files", lambda package: tmp_path)
    monkeypatch.setattr(page, "__file__", str(tmp_path / "export" / "span_export" / "page.py"))
    result = run("--tfjs", tmp_path / "out", "-w", weights_file, "--demo", code=1)
    assert "lacks the page" in result.stderr
    assert not (tmp_path / "out").exists()


def test_perceptual_features_are_those_of_the_loss(tmp_path, weights_file, image):
    import numpy as np

    from span_keras.quiet import hushed
    from span_keras.training import perceptual

    pytest.importorskip("tensorflowjs")
    run("--tfjs", tmp_path / "out", "-w", weights_file, "--perceptual")
    path = tmp_path / "out" / "perceptual" / "model.json"
    with hushed():
        import tensorflow  # noqa: F401
        import tensorflowjs

        model = tensorflowjs.converters.load_keras_model(str(path))
    for found, expected in zip(model(image[None]), perceptual.build("vgg16")(image[None]), strict=True):
        np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=0, atol=2e-4)
    stated = json.loads(path.read_text())["userDefinedMetadata"]["perceptual"]
    assert stated["features"] == ["block1_conv2", "block2_conv2"]
    assert "CC BY 4.0" in stated["license"]


# Bad input: exit code 2 for wrong usage, 1 for work that failed, one sentence on stderr ------------------------------


def fails(*arguments, code=1):
    result = run(*arguments, code=code)
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1 or code == 2
    return result.stderr


def test_nothing_to_write():
    assert "name one or more of --tfjs, --onnx" in fails(code=2)


def test_unknown_quantisation(tmp_path, weights_file):
    message = fails("--tfjs", tmp_path / "out", "-w", weights_file, "--quantize", "int4", code=2)
    assert "'int4' is not one of 'none', 'float16', 'uint8'" in message


def test_missing_weights(tmp_path):
    message = fails("--tfjs", tmp_path / "out", "-w", tmp_path / "gone.pth")
    assert "gone.pth does not exist; name a weights file" in message
    assert not (tmp_path / "out").exists()


def test_default_weights_that_are_not_bundled(tmp_path, monkeypatch):
    monkeypatch.setattr(load, "BUNDLED", tmp_path)
    message = fails("--tfjs", tmp_path / "out")
    assert "bundled:x4-photo does not come with this installation" in message
    assert "it bundles none; name a weights file" in message


def test_default_weights_are_those_for_photographs(tmp_path, monkeypatch, tiny_weights):
    monkeypatch.setattr(load, "BUNDLED", tmp_path)
    save_weights(tiny_weights, tmp_path / "x4-photo.safetensors", dtype="float16")
    run("--tfjs", tmp_path / "out")
    span = json.loads((tmp_path / "out" / "model.json").read_text())["userDefinedMetadata"]["span"]
    assert span["source"]["name"] == "bundled:x4-photo"
    assert span["quantization"] == "float16"


@pytest.mark.parametrize(("source", "title"), [("x4-photo", "Photo ×4"), ("x2", "Faithful ×2"), ("x2-fast", "Fast ×2")])
def test_the_page_is_told_what_bundled_networks_are_for(tmp_path, monkeypatch, tiny_weights, source, title):
    monkeypatch.setattr(load, "BUNDLED", tmp_path)
    save_weights(tiny_weights, tmp_path / f"{source}.safetensors")
    run("--tfjs", tmp_path / "out", "-w", f"bundled:{source}", "--also", tmp_path / f"{source}.safetensors")
    models = json.loads((tmp_path / "out" / "models.json").read_text())["models"]
    assert [model.get("title") for model in models] == [title, None]


def test_another_architecture(tmp_path):
    import numpy as np
    from safetensors.numpy import save_file

    save_file({"body.0.weight": np.zeros((64, 3, 3, 3), np.float32)}, tmp_path / "other.safetensors")
    message = fails("--tfjs", tmp_path / "out", "-w", tmp_path / "other.safetensors")
    assert "other.safetensors" in message
    assert "SPAN" in message
    assert not (tmp_path / "out").exists()


def test_a_tensor_of_the_wrong_shape(tmp_path, tiny_weights):
    import numpy as np
    from safetensors.numpy import save_file

    arrays = {f"{name}/{key}": array for name, group in tiny_weights.layers.items() for key, array in group.items()}
    arrays["conv_2/kernel"] = np.zeros((3, 3, 8, 7), np.float32)
    save_file(arrays, tmp_path / "bad.safetensors")
    message = fails("--tfjs", tmp_path / "out", "-w", tmp_path / "bad.safetensors")
    assert "conv_2" in message
    assert "(3, 3, 8, 7)" in message


def test_a_folder_of_others(tmp_path, weights_file):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    assert "no export wrote (thesis.txt)" in fails("--tfjs", tmp_path / "out", "-w", weights_file)
    run("--tfjs", tmp_path / "out", "-w", weights_file, "--overwrite")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"
    assert (tmp_path / "out" / "model.json").exists()


def test_unwritable_output(weights_file):
    assert "/proc/span/out cannot be written" in fails("--tfjs", "/proc/span/out", "-w", weights_file)


def test_interrupted(tmp_path, weights_file, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "write_perceptual", interrupt)
    result = run("--tfjs", tmp_path / "out", "-w", weights_file, "--perceptual", code=130)
    assert result.stderr == "Interrupted.\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w.safetensors"]


def test_help_imports_nothing_heavy():
    """Heavy imports take seconds; help has to appear at once."""
    code = (
        "import sys; from span_export.cli import main\n"
        "try: main(['--help'])\n"
        f"finally: print('LOADED', [name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--quantize" in done.stdout
    assert "LOADED []" in done.stdout
