"""Int8 .tflite files of Networks without weights (random ones are drawn), for calibrations.

Run inside the toolchain `keras`: python network_to_tflite.py NETWORK.json ... --output FOLDER
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.keras import layers


def build(record: dict[str, Any]) -> Any:
    """The Keras model of the kinds that `edgeflow.estimate.shapes` makes."""
    tensors: dict[str, Any] = {}
    for layer in record["layers"]:
        kind, name, settings = layer["kind"], layer["name"], layer["attributes"]
        if kind == "input":
            tensors[name] = tf.keras.Input(shape=layer["output_shape"], batch_size=1, name=name)
            continue
        inputs = [tensors[item] for item in layer["inputs"]]
        padding = settings.get("padding", "same")
        out = layer["output_shape"]
        if kind == "conv2d":
            made = layers.Conv2D(
                out[-1], settings["kernel_size"], settings["strides"], padding=padding
            )
        elif kind == "depthwise_conv2d":
            made = layers.DepthwiseConv2D(
                settings["kernel_size"], settings["strides"], padding=padding
            )
        elif kind == "dense":
            made = layers.Dense(out[-1])
        elif kind in ("max_pool2d", "avg_pool2d"):
            pool = layers.MaxPooling2D if kind == "max_pool2d" else layers.AveragePooling2D
            made = pool(settings["pool_size"], settings["strides"], padding=padding)
        elif kind in ("add", "concat", "mul"):
            join = {"add": layers.Add, "concat": layers.Concatenate, "mul": layers.Multiply}
            tensors[name] = join[kind]()(inputs)
            continue
        elif kind == "global_avg_pool2d":
            made = layers.GlobalAveragePooling2D()
        elif kind == "flatten":
            made = layers.Flatten()
        else:
            made = layers.Activation(kind)
        tensors[name] = made(inputs[0])
    return tf.keras.Model(tensors[record["inputs"][0]], tensors[record["outputs"][0]])


def convert(record: dict[str, Any]) -> bytes:
    """The int8 file, its ranges measured on random inputs."""
    tf.keras.utils.set_random_seed(1)
    model = build(record)
    random = np.random.default_rng(1)

    def samples() -> Iterator[list[Any]]:
        for _ in range(4):
            yield [random.normal(size=(1, *model.inputs[0].shape[1:])).astype("float32")]

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("networks", type=Path, nargs="+")
    parser.add_argument("--output", type=Path, required=True)
    asked = parser.parse_args()
    for path in asked.networks:
        (asked.output / f"{path.stem}.tflite").write_bytes(convert(json.loads(path.read_text())))
