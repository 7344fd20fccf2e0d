"""Run in the toolchain keras: models with several inputs, outputs, graphs, or an open shape."""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers


class Graphs(tf.Module):
    """A loop, and a second signature."""

    @tf.function(input_signature=[tf.TensorSpec((1, 4), tf.float32)])
    def loop(self, x):
        def goes_on(step, _):
            return step < 3

        def body(step, y):
            return step + 1, y * 0.5 + 1.0

        return tf.while_loop(goes_on, body, [tf.constant(0), x])[1]

    @tf.function(input_signature=[tf.TensorSpec((1, 4), tf.float32)])
    def other(self, x):
        return x * 2 + 1


def int8(model: keras.Model) -> bytes:
    """After training, with int8 ports."""
    random = np.random.default_rng(0)
    shapes = [(1, *port.shape[1:]) for port in model.inputs]
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [random.normal(size=shape).astype(np.float32) for shape in shapes] for _ in range(20)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def main(folder: Path) -> None:
    """Write them all."""
    keras.utils.set_random_seed(0)
    a, b = keras.Input((8,), name="a"), keras.Input((8,), name="b")
    two = keras.Model([a, b], layers.Dense(4)(layers.Add()([layers.Dense(8)(a), b])))
    two.save(folder / "two_inputs.keras")
    (folder / "two_inputs_int8.tflite").write_bytes(int8(two))
    x = keras.Input((8, 8, 2))
    flat = layers.Flatten()(layers.Conv2D(4, 3, activation="relu", padding="same")(x))
    ends = keras.Model(x, [layers.Dense(3, name="q")(flat), layers.Dense(2, name="p")(flat)])
    ends.save(folder / "two_outputs.keras")
    (folder / "two_outputs_int8.tflite").write_bytes(int8(ends))
    series = keras.Input((None, 4))
    pooled = layers.GlobalAveragePooling1D()(layers.Conv1D(4, 3, padding="same")(series))
    keras.Model(series, layers.Dense(3)(pooled)).save(folder / "open.keras")
    module = Graphs()
    tf.saved_model.save(
        module, str(folder / "saved"), signatures={"loop": module.loop, "other": module.other}
    )
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(folder / "saved"), signature_keys=["loop", "other"]
    )
    (folder / "graphs.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
