"""Fixtures that every test file may use."""

import os

# Before anything imports TensorFlow: its start-up chatter hides our own output, and the suite shares two cores.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# As the command lines set it: runs in this process and in others must agree to the last digit.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from span_keras.network.config import SpanConfig
from span_keras.network.weights import SpanWeights, layer_shapes

QUICK_JAX = {
    "KERAS_BACKEND": "jax",
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false",
}
"""Environment of other processes that run JAX: compiling takes most of the time of networks so small."""

REPOSITORY = Path(__file__).parents[1]
SHARED = Path(os.environ.get("SPAN_SHARED", REPOSITORY.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with the authors' weights (``official``) and photographs (``data``), which are not part of the project.

    Only tests that *add* to what the committed goldens prove may ask for it; without the folder they are skipped.
    """
    if not SHARED.is_dir():
        pytest.skip(f"needs the reference weights and photographs in {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def goldens() -> Path:
    """Folder of the small reference files made by ``tests/goldens/make_*.py``."""
    return Path(__file__).parent / "goldens"


@pytest.fixture
def tiny_config() -> SpanConfig:
    """A default-variant network small enough to run anywhere: x2, 8 channels, 2 blocks."""
    return SpanConfig(scale=2, channels=8, blocks=2)


@pytest.fixture
def tiny_official_config() -> SpanConfig:
    """The same size in the authors' variant with their input range."""
    return SpanConfig.official(scale=2, channels=8, blocks=2)


def random_weights(config: SpanConfig, seed: int = 0) -> SpanWeights:
    """Fused weights whose activations stay of order 1 and whose biases are not zero, so that borders matter."""
    rng = np.random.default_rng(seed)
    layers = {}
    for name, shape in layer_shapes(config).items():
        kernel = rng.normal(0, np.prod(shape[:-1]) ** -0.5, shape)
        layers[name] = {"kernel": np.float32(kernel), "bias": np.float32(rng.normal(0, 0.1, shape[-1:]))}
    return SpanWeights(config, layers, source="random")


@pytest.fixture
def tiny_weights(tiny_config) -> SpanWeights:
    """Random fused weights of ``tiny_config``."""
    return random_weights(tiny_config)


@pytest.fixture
def wild_weights(tmp_path, tiny_weights) -> Path:
    """A file of finite weights whose network overflows."""
    from span_keras.checkpoints import save_weights

    for group in tiny_weights.layers.values():
        for value in group.values():
            value *= np.float32(1e9)
    save_weights(tiny_weights, tmp_path / "wild.safetensors")
    return tmp_path / "wild.safetensors"


@pytest.fixture
def make_weights():
    """The function ``(config, seed=0) -> SpanWeights`` behind ``tiny_weights``."""
    return random_weights


def save_photos(folder: Path, count: int) -> Path:
    """Write smooth photographs of 48×40 pixels to train on."""
    rng = np.random.default_rng(0)
    for i in range(count):
        small = Image.fromarray(rng.integers(0, 256, (5, 6, 3), np.uint8))
        small.resize((48, 40), Image.Resampling.BICUBIC).save(folder / f"photo_{i}.png")
    return folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    """A folder of five photographs."""
    return save_photos(tmp_path_factory.mktemp("photos"), 5)


@pytest.fixture(scope="module")
def compiled_once():
    """Training runs of a file whose step is the same take turns with one trainer, which is compiled once.

    Each begins with a state of its own. That a run needs nothing of one before it is for tests with their own process.
    """
    from span_keras.runs import start
    from span_keras.training.trainer import SpanTrainer, initial_state

    made = {}

    def trainer(weights, loss, schedule, options, *, teacher, **more):
        if loss.perceptual or options.hint_weight:
            return SpanTrainer(weights, loss, schedule, options, teacher=teacher, **more)
        key = (weights.config, loss.pixel, options, *more.items())
        if key not in made:
            made[key] = SpanTrainer(weights, loss, schedule, options, **more)
        made[key].state = initial_state(weights, options)
        made[key].schedule, made[key].settle = schedule, False
        return made[key]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(start, "SpanTrainer", trainer)
        yield


@pytest.fixture
def image() -> np.ndarray:
    """A (13, 10, 3) float32 picture in [0, 1] with smooth parts and noise, sides that nothing divides."""
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[0:13, 0:10] / 13
    smooth = np.stack([rows, columns, (rows + columns) / 2], -1)
    return np.float32(np.clip(0.8 * smooth + 0.2 * rng.random((13, 10, 3)), 0, 1))


def gradients_of(function):
    """``parameters -> gradients`` of a scalar function of named arrays, on the backend in force, compiled on JAX.

    The gradient is zero where nothing depends on an array.
    """
    import keras
    from keras import ops

    if keras.backend.backend() == "jax":
        import jax

        compute = jax.jit(jax.grad(function))
    else:
        import tensorflow as tf

        def compute(parameters):
            with tf.GradientTape() as tape:
                tape.watch(parameters)
                value = function(parameters)
            return tape.gradient(value, parameters, unconnected_gradients="zero")

    def gradients(parameters: dict) -> dict:
        parameters = {name: ops.convert_to_tensor(value) for name, value in parameters.items()}
        return {name: ops.convert_to_numpy(value) for name, value in compute(parameters).items()}

    return gradients
