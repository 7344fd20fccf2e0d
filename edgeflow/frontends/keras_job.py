"""Keras 2, Keras 3, QKeras and HGQ2 models: to a model folder, and their own outputs.

Runs in `keras` (Keras 3, HGQ2) and in `qkeras` (Keras 2, QKeras of both kinds).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow.errors import ModelError
from edgeflow.frontends.folder_job import Arrays, Draft, read_inputs, write_folder, write_golden
from edgeflow.frontends.keras_context_job import Context
from edgeflow.frontends.keras_file_job import open_file, open_model
from edgeflow.frontends.keras_graph_job import flat, to_network, translated
from edgeflow.frontends.keras_scan_job import read_config
from edgeflow.network import Network

BATCH = 256
EAGER = 64
"""Inputs at a time where every layer's output is kept until the end."""
SCOPE = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*")
"""Names that TensorFlow takes as scopes of a graph."""


def probe(
    inputs: dict[str, Path], params: dict[str, Any], output: Path, progress: Any
) -> dict[str, Any]:
    """The format of a Keras file, so that the core can choose its home."""
    del output, progress
    try:
        scanned = read_config(inputs["model"])
    except ModelError as error:
        error.where = params["name"]
        raise
    return {"format": scanned.format, "keras_version": scanned.keras_version}


def load(
    inputs: dict[str, Path], params: dict[str, Any], output: Path, progress: Any
) -> dict[str, Any]:
    """Read a model file (and its weights' file) into a model folder."""
    del progress
    path, weights = inputs["model"], inputs.get("weights")
    where = str(params["name"])
    sources = [(path, where)]
    if weights is not None:
        sources.append((weights, str(params["weights_name"])))
    model, scanned = open_file(path, weights, where)
    source = {"format": scanned.format, "file": where, "sha256": params["sha256"]}
    network, arrays = to_network(model, source)
    write_folder(output, network, arrays, scanned.format, sources)
    return {"layers": len(network.layers)}


def predict(
    inputs: dict[str, Path], params: dict[str, Any], output: Path, progress: Any
) -> dict[str, Any]:
    """The model's own outputs on `x`, and those of its layers for the first inputs."""
    x = read_inputs(inputs["x"])
    model = open_model(inputs["model"])
    y = run(model, x, progress)
    count = min(int(params.get("trace", 8)), 16, len(x))
    traced = trace(model, x[:count]) if count else {}
    logits = Network.load(inputs["model"] / "network.json").logits
    found = None
    if logits is not None and (logits in traced or not count):
        found = every(model, x, logits)
    return write_golden(output, x, y, traced, found)


def every(model: Any, x: np.ndarray[Any, Any], name: str) -> np.ndarray[Any, Any] | None:
    """One Network layer's output for all of `x`, in batches; None where it cannot be had."""
    parts = []
    for start in range(0, len(x), EAGER):
        found = trace(model, x[start : start + EAGER], only=name)
        if name not in found:
            return None
        parts.append(found[name])
    return np.concatenate(parts)


def run(model: Any, x: np.ndarray[Any, Any], progress: Any) -> np.ndarray[Any, Any]:
    """The model's outputs, in batches; several outputs are flattened and joined."""
    import tensorflow as tf

    x = check_inputs(x, [tuple(t.shape)[1:] for t in flat(model.inputs)])

    def call(batch: Any) -> Any:
        return model(batch, training=False)

    # A graph refuses layers with names such as 'my layer', which Keras itself allows.
    graph = all(SCOPE.fullmatch(layer.name) for layer in model.layers)
    function: Callable[[Any], Any] = tf.function(call) if graph else call
    parts = []
    for start in range(0, len(x), BATCH):
        found = [np.asarray(item) for item in flat(function(tf.constant(x[start : start + BATCH])))]
        parts.append(
            found[0]
            if len(found) == 1
            else np.concatenate([item.reshape(len(item), -1) for item in found], axis=1)
        )
        progress(min(start + BATCH, len(x)), len(x))
    return np.concatenate(parts)


def check_inputs(x: np.ndarray[Any, Any], shapes: list[tuple[Any, ...]]) -> np.ndarray[Any, Any]:
    """`x` as float32, given the shape that the model takes (a missing channel axis is added).

    Raises:
        ModelError: the shapes do not fit.
    """
    if len(shapes) != 1:
        raise ModelError(f"expected a model with one input, found {len(shapes)}")
    shape = shapes[0]
    x = np.asarray(x, np.float32)
    if len(x.shape) == len(shape) and shape[-1] == 1:
        x = x[..., None]
    fits = len(x.shape) == len(shape) + 1 and all(
        want is None or want == have for want, have in zip(shape, x.shape[1:], strict=True)
    )
    if not fits and None not in shape and int(np.prod(shape)) == int(np.prod(x.shape[1:])):
        return x.reshape(len(x), *shape)
    if not fits:
        raise ModelError(f"expected inputs of shape {shape}, found {tuple(x.shape[1:])}")
    return x


def trace(model: Any, x: np.ndarray[Any, Any], only: str | None = None) -> Arrays:
    """The output of each Network layer for `x`, as the framework's own layers compute it.

    `only`: of this layer alone, and no further.
    """
    import tensorflow as tf

    x = check_inputs(x, [tuple(t.shape)[1:] for t in flat(model.inputs)])
    legacy = "tf_keras" in str(type(model).__mro__)
    names: dict[int, str] = {}
    values: dict[int, Any] = {}
    found: Arrays = {}
    for call, context in translated(model, Draft(), names, legacy):
        if not call.inputs:
            values[call.outputs[0]] = tf.constant(x)
        else:
            given = [values[i] for i in call.inputs]
            arguments = given if call.many or len(given) > 1 else given[0]
            if len(context.made) > 1 and (only is None or only in context.made[:-1]):
                found.update(_before_activation(context, call.layer, arguments))
            if only is not None and only in found:
                return {only: found[only]}
            values[call.outputs[0]] = call.layer(arguments)
        if context.made and only in (None, context.made[-1]):
            found[context.made[-1]] = np.asarray(values[call.outputs[0]])
            if only is not None:
                return {only: found[only]}
    return found


def _before_activation(context: Context, layer: Any, arguments: Any) -> Arrays:
    """The output of a layer whose activation is a Network layer of its own."""
    found: Arrays = {}
    if getattr(layer, "enable_iq", False):
        given = arguments if isinstance(arguments, list) else [arguments]
        rounders = [layer.iq] if hasattr(layer.iq, "quantizer") else list(layer.iq)
        rounded = [n for n in context.made if context.draft.layers[n].kind == "quantize"]
        for name, rounder, value in zip(rounded, rounders, given, strict=False):
            found[name] = np.asarray(rounder(value))
    activation = getattr(layer, "activation", None)
    names = [n for n in context.made if context.draft.layers[n].weights]
    if activation is None or not names or getattr(layer, "enable_oq", False):
        return found
    plain = copy.copy(layer)
    try:
        object.__setattr__(plain, "activation", lambda value: value)
        found[names[-1]] = np.asarray(plain.call(arguments))
    except Exception as error:  # noqa: BLE001 - a trace is a help, not a must
        print(f"no trace of {names[-1]}: {error}")
    return found
