"""ONNX and QONNX models: to a model folder, and their own outputs by ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow.errors import ModelError
from edgeflow.frontends.folder_job import read_inputs, write_folder, write_golden
from edgeflow.frontends.onnx_file_job import (
    Runnable,
    inputs_of,
    is_qonnx,
    numpy_type,
    read,
    shape_of,
)
from edgeflow.frontends.onnx_graph_job import Translator
from edgeflow.network import Network


def load(
    inputs: dict[str, Path], params: dict[str, Any], output: Path, progress: Any
) -> dict[str, Any]:
    """Read an ONNX file into a model folder."""
    del progress
    where = str(params["name"])
    model = read(inputs["model"], where)
    model_format = "qonnx" if is_qonnx(model) else "onnx"
    source = {"format": model_format, "file": where, "sha256": params["sha256"]}
    translator = Translator(model, where)
    network, arrays = translator.network(source)
    write_folder(output, network, arrays, model_format, [(inputs["model"], where)])
    return {"layers": len(network.layers)}


def predict(
    inputs: dict[str, Path], params: dict[str, Any], output: Path, progress: Any
) -> dict[str, Any]:
    """The model's own outputs on `x`, and those of its layers for the first inputs."""
    folder = inputs["model"]
    record = json.loads((folder / "model.json").read_text())
    where = record["source"][0]
    model = read(folder / where, where)
    given = inputs_of(model)
    if len(given) != 1:
        raise ModelError(f"expected a model with one input, found {len(given)}", where=where)
    x = _fitted(read_inputs(inputs["x"]), shape_of(given[0])[1:], where)
    kind = numpy_type(given[0])
    names = [item.name for item in model.graph.output]
    tensor, moved = _logits(model, Network.load(folder / "network.json"), where)
    runnable = Runnable(model, [*names, tensor] if tensor else names, where)
    parts, logits = [], []
    for index, sample in enumerate(x):
        found = runnable.run({given[0].name: sample[None].astype(kind)})
        if tensor:
            logits.append(moved(np.asarray(found[tensor], np.float32)))
        flat = [np.asarray(found[name], np.float32) for name in names]
        parts.append(
            flat[0] if len(flat) == 1 else np.concatenate([f.reshape(1, -1) for f in flat], 1)
        )
        if index % 64 == 0:
            progress(index, len(x))
    count = min(int(params.get("trace", 8)), 16, len(x))
    traced = _trace(model, x[:count], given[0].name, kind, where) if count else {}
    return write_golden(
        output, x, np.concatenate(parts), traced, np.concatenate(logits) if logits else None
    )


def _logits(model: Any, network: Network, where: str) -> tuple[str | None, Any]:
    """The tensor that enters the final softmax, and how to bring it into the Network's order."""
    places = Translator(model, where).places() if network.logits else {}
    return places.get(network.logits or "", (None, None))


def _trace(model: Any, x: np.ndarray[Any, Any], name: str, kind: Any, where: str) -> dict[str, Any]:
    translator = Translator(model, where)
    places = translator.places()
    tensors = {tensor for tensor, _ in places.values()} - {name}
    runnable = Runnable(model, tensors, where)
    found: dict[str, list[Any]] = {layer: [] for layer in places}
    for sample in x:
        values = runnable.run({name: sample[None].astype(kind)})
        values[name] = sample[None]
        for layer, (tensor, moved) in places.items():
            found[layer].append(moved(np.asarray(values[tensor], np.float32)))
    return {layer: np.concatenate(items) for layer, items in found.items()}


def _fitted(x: np.ndarray[Any, Any], shape: list[int | None], where: str) -> np.ndarray[Any, Any]:
    have = x.shape[1:]
    if len(have) == len(shape) and all(w in (None, h) for w, h in zip(shape, have, strict=True)):
        return x
    if None not in shape and int(np.prod(have)) == int(np.prod([d or 1 for d in shape])):
        return x.reshape(len(x), *[d or 1 for d in shape])
    raise ModelError(f"expected inputs of shape {tuple(shape)}, found {tuple(have)}", where=where)
