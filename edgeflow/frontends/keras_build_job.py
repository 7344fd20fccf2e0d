"""From a Network and its weights to a plain Keras 3 model that computes the same.

Runs in `keras`. Used where only a Network is at hand: retraining, TFLite from ONNX, references.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from edgeflow.errors import UnsupportedError
from edgeflow.frontends.folder_job import Arrays, clean_name, load_arrays, read_inputs, write_golden
from edgeflow.frontends.keras_kinds_job import MAKERS
from edgeflow.frontends.keras_maker_job import Maker, Weights
from edgeflow.network import Network


def build(network: Network, weights: Weights, *, quantize: bool = False) -> keras.Model:
    """The Keras model: layers named as in the Network, inputs in its order, weights set.

    Args:
        network: what to build.
        weights: arrays ``LAYER/ROLE`` (the model folder's ``weights.npz``).
        quantize: round activations as the Network's quantisers say, so that it computes what the
            quantised source computes (weights are rounded already). The layer that rounds the
            output of NAME is named ``NAME_rounding``.

    Raises:
        UnsupportedError: naming every layer that Keras has no counterpart for.
    """
    refused = [
        f"layer '{layer.name}': {layer.attributes.get('type', layer.kind)}"
        for layer in network.layers
        if layer.kind not in MAKERS or layer.kind == "opaque"
    ]
    if refused:
        raise UnsupportedError(
            "Keras has no counterpart for some layers",
            details=refused,
            remedy="replace them, or use a backend that reads the model's own file",
        )
    maker = Maker(network, weights, quantize)
    for layer in network.layers:
        maker.add(layer, MAKERS[layer.kind](maker, layer))
    inputs = [maker.inputs[name] for name in network.inputs]
    outputs = [maker.output(name) for name in network.outputs]
    model = keras.Model(
        inputs[0] if len(inputs) == 1 else inputs,
        outputs[0] if len(outputs) == 1 else outputs,
        name=clean_name(network.name),
    )
    for made, values in maker.to_set:
        made.set_weights(values)
    return model


def predict(
    inputs: dict[str, Path], params: dict[str, Any], output: Path, progress: Any
) -> dict[str, Any]:
    """Outputs of a model that exists as a Network only, its quantisers honoured."""
    folder = inputs["model"]
    network = Network.load(folder / "network.json")
    model = build(network, load_arrays(folder / "weights.npz"), quantize=True)
    x = _fitted(read_inputs(inputs["x"]), model)
    progress(0, len(x))
    y = compute(model, x)
    count = min(int(params.get("trace", 8)), 16, len(x))
    traced = trace(network, model, x[:count]) if count else {}
    made = _made(network.logits, model) if network.logits else None
    logits = compute(keras.Model(model.inputs, made.output), x) if made is not None else None
    return write_golden(output, x, y, traced, logits)


def compute(model: keras.Model, x: np.ndarray[Any, Any], batch: int = 256) -> np.ndarray[Any, Any]:
    """The model's output (several are flattened and joined) for all of `x`."""
    import tensorflow as tf

    function = tf.function(lambda part: model(part, training=False))
    parts = []
    for start in range(0, len(x), batch):
        found = function(tf.constant(np.asarray(x[start : start + batch], np.float32)))
        found = [
            np.asarray(item) for item in (found if isinstance(found, list | tuple) else [found])
        ]
        parts.append(
            found[0]
            if len(found) == 1
            else np.concatenate([f.reshape(len(f), -1) for f in found], 1)
        )
    return np.concatenate(parts)


def trace(network: Network, model: keras.Model, x: np.ndarray[Any, Any]) -> Arrays:
    """The output of each layer of the Network, rounded where its quantiser rounds it."""
    outputs = {}
    for layer in network.layers:
        found = _made(layer.name, model)
        if found is not None:
            outputs[layer.name] = found.output
    values = keras.Model(model.inputs, outputs)(np.asarray(x, np.float32), training=False)
    return {name: np.asarray(value) for name, value in values.items()}


def _made(name: str, model: keras.Model) -> Any:
    """The Keras layer whose output is that of the Network's layer; None where there is none."""
    made = {layer.name: layer for layer in model.layers}
    return made.get(f"{name}_rounding") or made.get(clean_name(name))


def _fitted(x: np.ndarray[Any, Any], model: keras.Model) -> np.ndarray[Any, Any]:
    shape = tuple(model.inputs[0].shape)[1:]
    if None not in shape and x.shape[1:] != shape and np.prod(x.shape[1:]) == np.prod(shape):
        return x.reshape(len(x), *shape)
    return x
