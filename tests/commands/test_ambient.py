"""What a user's machine says to Keras changes no result, or is named in one sentence."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from helpers.environment import NO_TENSORFLOW, QUICK_JAX
from span_keras import ambient
from span_keras.checkpoints import save_weights
from span_keras.inference.compiled import compile_network
from span_keras.inference.upscaler import Upscaler
from span_keras.network.backend import compiled, require_backend
from span_keras.network.config import SpanConfig
from span_keras.network.deploy import build_deploy
from span_keras.training import perceptual


@pytest.fixture(params=["channels_first", "float16", "float64", "mixed_float16", "mixed_bfloat16"])
def odd_keras(request):
    """Keras as a user may have set it for other projects."""
    usual = keras.config.image_data_format(), keras.config.floatx(), keras.config.dtype_policy()
    if request.param == "channels_first":
        keras.config.set_image_data_format(request.param)
    elif request.param.startswith("mixed"):
        keras.config.set_dtype_policy(request.param)
    else:
        keras.config.set_floatx(request.param)
    yield request.param
    keras.config.set_image_data_format(usual[0])
    keras.config.set_floatx(usual[1])
    keras.config.set_dtype_policy(usual[2])


@pytest.fixture
def expected(tiny_weights, image):
    """What the network, the features of the loss and the upscaler compute as they should."""
    return outputs(tiny_weights, image)


def half_of_levels(x):
    """Divide whole numbers, which Keras makes ``floatx``, and meet them with float32."""
    return x * keras.ops.divide(keras.ops.cast(255 * x, "int32"), 2)


def outputs(weights, image):
    features = perceptual.build("vgg16")
    return {
        "deploy": np.asarray(weights.deploy_model()(image[None])),
        "upscaler": compile_network(weights)(image[None]),
        "compiled": np.asarray(compiled(half_of_levels)(image)),
        "features": np.asarray(features(image[None])[0], np.float32),
    }


def test_results_are_the_same(expected, odd_keras, tiny_weights, image):
    found = outputs(tiny_weights, image)
    for name, value in expected.items():
        if name == "features" and odd_keras.startswith("mixed"):
            continue  # they follow the policy in force, which a training sets
        assert found[name].dtype == value.dtype, name
        np.testing.assert_allclose(found[name], value, atol=1e-6, err_msg=name)


def test_degraded_patches_are_the_same(odd_keras):
    from span_keras.data.degrade import Degrader
    from span_keras.data.options import PRESETS

    patches = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 3), np.uint8)

    def made():
        degrader = Degrader(PRESETS["photo"], 2, 8, seed=0)
        return degrader.arrays(patches, 3)[0]

    found = made()
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
    np.testing.assert_allclose(found, made(), atol=1e-6)


def test_weights_are_held_in_float32(odd_keras, tiny_config):
    assert {weight.dtype for weight in build_deploy(tiny_config).weights} == {"float32"}


CODE = """
import sys
sys.modules["numba"] = None  # so that Keras's backend runs the network
import numpy as np
import span_keras
from span_keras import Upscaler
import keras
print(keras.backend.backend(), keras.config.image_data_format(), keras.config.floatx())
np.save("made.npy", Upscaler("w.safetensors")(np.load("image.npy")))
"""


def run(folder, settings: dict | str | None = None, code=CODE, **environment):
    """Run Python in another process, with a home that holds this ``keras.json``."""
    home = folder / "home"
    (home / ".keras").mkdir(parents=True, exist_ok=True)
    if settings is not None:
        text = settings if isinstance(settings, str) else json.dumps(settings)
        (home / ".keras" / "keras.json").write_text(text)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("KERAS_")}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**clean, "HOME": str(home), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path, tiny_weights, image):
    save_weights(tiny_weights, tmp_path / "w.safetensors")
    np.save(tmp_path / "image.npy", image)
    return tmp_path


@pytest.mark.parametrize(
    ("settings", "backend"),
    [
        ({"backend": "tensorflow", "image_data_format": "channels_first"}, "tensorflow channels_first float32"),
        ({"backend": "torch", "floatx": "float16"}, "tensorflow channels_last float16"),
        ('{"backend": ', "tensorflow channels_last float32"),
    ],
    ids=["channels_first", "torch", "broken"],
)
def test_settings_of_other_projects(folder, tiny_weights, image, settings, backend):
    pytest.importorskip("tensorflow")
    done = run(folder, settings)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == backend
    np.testing.assert_allclose(np.load(folder / "made.npy"), Upscaler(tiny_weights)(image), atol=1e-6)


def test_jax_is_taken_where_tensorflow_is_missing(folder, tiny_weights, image):
    pytest.importorskip("jax")
    quick = {name: value for name, value in QUICK_JAX.items() if name != "KERAS_BACKEND"}
    done = run(folder, code="import no_tensorflow\n" + CODE, PYTHONPATH=str(NO_TENSORFLOW), **quick)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == "jax"
    np.testing.assert_allclose(np.load(folder / "made.npy"), Upscaler(tiny_weights)(image), atol=1e-5)


MAIN = "import sys; from span_keras.upscale import main; main(['p.png', '-o', 'q.png', '-w', 'w.safetensors'])"


@pytest.mark.parametrize(
    ("settings", "environment", "reason"),
    [
        (None, {"KERAS_BACKEND": "torch"}, "the backend torch, found that it cannot"),
        (None, {"KERAS_BACKEND": "nonsense"}, "the backend nonsense, found that it cannot"),
        ({"floatx": "bfloat16"}, {}, "Invalid `floatx` configuration"),
        ("[1]", {}, "found that it cannot ('list' object"),
    ],
    ids=["torch", "nonsense", "floatx", "list"],
)
def test_what_cannot_work_is_one_sentence(folder, settings, environment, reason):
    from PIL import Image

    Image.new("RGB", (8, 8)).save(folder / "p.png")
    # Without Numba a CPU needs a backend, too.
    code = f"import sys; sys.modules['torch'] = sys.modules['numba'] = None; {MAIN}"
    done = run(folder, settings, code, **environment)
    assert done.returncode == 1
    label, line = done.stderr.strip().splitlines()
    assert label == "p.png"  # of the bar of progress
    assert reason in line and "set KERAS_BACKEND to tensorflow or jax, or mend " in line


@pytest.mark.parametrize("order", ["import span_keras, keras", "import keras, span_keras"])
def test_saved_models_load_after_import(tmp_path, make_weights, order):
    make_weights(SpanConfig(scale=2, channels=4, blocks=1)).train_model().save(tmp_path / "w.keras")
    done = run(tmp_path, code=f"{order}\nprint(keras.models.load_model('w.keras').name)")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "span_x2"


def test_importing_the_package_loads_no_keras(tmp_path):
    done = run(tmp_path, code="import sys, span_keras; print('keras' in sys.modules)")
    assert done.stdout.strip() == "False"


def test_other_backends_are_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(ValueError, match="KERAS_BACKEND must be tensorflow or jax, found torch"):
        require_backend()


def test_the_users_backend_wins(monkeypatch):
    """Nothing is set where Keras is there already, or where the user has said which."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    ambient.prepare()
    assert os.environ["KERAS_BACKEND"] == "torch"
