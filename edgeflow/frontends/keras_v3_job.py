"""qkeras-v3 models (QKeras for Keras 3) through QKeras 0.9, which computes the same.

The library itself cannot live beside HGQ2. Its layers and quantisers are those of QKeras, so the
configuration is rewritten for tf-keras, and the weights are set layer by layer.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeflow.errors import ModelError
from edgeflow.frontends.keras_scan_job import QUANTIZERS

_DROPPED = frozenset(
    "module registered_name build_config shared_object_id post_training_scale lora_rank "
    "quantization_config optional ragged autocast synchronized".split()
)


def as_qkeras(config: Any) -> Any:
    """The configuration as tf-keras' old format writes it."""
    if isinstance(config, Mapping):
        kind, inner = config.get("class_name"), config.get("config")
        if kind == "DTypePolicy":
            return "float32"
        if kind == "__keras_tensor__":
            return config
        found = {key: as_qkeras(value) for key, value in config.items() if key not in _DROPPED}
        if kind in QUANTIZERS:
            found["__passive_serialization__"] = True  # tf-keras then makes it an object
        if kind == "InputLayer":
            found["config"]["batch_input_shape"] = found["config"].pop("batch_shape")
        if kind == "Functional" and isinstance(inner, Mapping):
            found["config"]["layers"] = [_linked(item) for item in inner["layers"]]
            for name in ("input_layers", "output_layers"):
                given = inner[name]
                found["config"][name] = [given] if isinstance(given[0], str) else given
        return found
    if isinstance(config, list | tuple):
        return [as_qkeras(item) for item in config]
    return config


def passive(config: Any) -> Any:
    """A tf-keras configuration whose quantisers tf-keras makes into objects by itself.

    Its newer format leaves those that are arguments of QActivation as plain data.
    """
    if isinstance(config, Mapping):
        names = ("module", "registered_name", "build_config")
        found = {key: passive(value) for key, value in config.items() if key not in names}
        if config.get("class_name") in QUANTIZERS:
            found["__passive_serialization__"] = True
        return found
    if isinstance(config, list | tuple):
        return [passive(item) for item in config]
    return config


def _linked(layer: Mapping[str, Any]) -> Any:
    """A layer with its inputs in the old form: lists of [name, node, tensor, {}]."""
    nodes = []
    for node in layer.get("inbound_nodes", ()):
        sources: list[list[Any]] = []
        todo = [node["args"]]
        while todo:
            item = todo.pop(0)
            if isinstance(item, Mapping) and item.get("class_name") == "__keras_tensor__":
                sources.append([*item["config"]["keras_history"], {}])
            elif isinstance(item, list | tuple):
                todo = [*item, *todo]
        nodes.append(sources)
    plain = {key: value for key, value in layer.items() if key != "inbound_nodes"}
    return {**as_qkeras(plain), "inbound_nodes": nodes}


def set_weights(model: Any, path: Path) -> Any:
    """Set the weights of a ``.keras`` file on the model; returns it.

    Keras 3 names a layer's group after its class in snake case, counted from the second one.
    """
    import h5py

    counts: dict[str, int] = {}
    with zipfile.ZipFile(path) as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(content, "r") as file:
        for layer in model.layers:
            stem = _snake(type(layer).__name__)
            number = counts.get(stem, 0)
            counts[stem] = number + 1
            group = f"layers/{stem}_{number}" if number else f"layers/{stem}"
            if not layer.weights:
                continue
            if f"{group}/vars" not in file:
                raise ModelError(f"expected weights of layer '{layer.name}' at {group}, found none")
            stored = file[f"{group}/vars"]
            layer.set_weights([stored[str(index)][()] for index in range(len(stored))])
    return model


def _snake(name: str) -> str:
    from tf_keras.src.utils.generic_utils import to_snake_case

    return str(to_snake_case(name))
