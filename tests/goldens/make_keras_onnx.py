"""Make the ONNX files that Keras and tf2onnx write, for ``test_checkpoints_onnx.py``. Needs tf2onnx; run once, by hand.

    PYTHONPATH=tests python tests/goldens/make_keras_onnx.py

The networks are those of ``random_weights(config_of(variant))``.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf
import tf2onnx

from helpers.weights import random_weights
from span_keras.network.config import SpanConfig

FOLDER = Path(__file__).parent


def config_of(variant: str) -> SpanConfig:
    return SpanConfig(2, 4, 1, variant, img_range=2.0, rgb_mean=(0.1, 0.2, 0.3))


def main() -> None:
    model = random_weights(config_of("official")).deploy_model()
    model(np.zeros((1, 8, 8, 3), np.float32))
    model.export(FOLDER / "keras_export.onnx", format="onnx", verbose=False)

    model = random_weights(config_of("span")).train_model()
    signature = [tf.TensorSpec((1, 16, 16, 3), tf.float32, name="input")]
    function = tf.function(lambda x: model(x, training=False), input_signature=signature)
    layout = {"inputs_as_nchw": ["input"], "outputs_as_nchw": ["Identity"]}
    path = str(FOLDER / "tf2onnx_nchw.onnx")
    tf2onnx.convert.from_function(function, input_signature=signature, opset=17, output_path=path, **layout)


if __name__ == "__main__":
    main()
