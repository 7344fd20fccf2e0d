"""TFLite models: to a model folder, and their own outputs by LiteRT."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow.errors import ModelError
from edgeflow.frontends.folder_job import read_inputs, write_folder, write_golden
from edgeflow.frontends.tflite_file_job import Parsed, Session, stack
from edgeflow.frontends.tflite_graph_job import Translator
from edgeflow.network import Network


def load(
    inputs: dict[str, Path], params: dict[str, Any], output: Path, progress: Any
) -> dict[str, Any]:
    """Read a TFLite file into a model folder."""
    del progress
    where = str(params["name"])
    parsed = Parsed(inputs["model"], where)
    source = {"format": "tflite", "file": where, "sha256": params["sha256"]}
    network, arrays = Translator(parsed).network(source)
    write_folder(output, network, arrays, "tflite", [(inputs["model"], where)])
    return {"layers": len(network.layers)}


def predict(
    inputs: dict[str, Path], params: dict[str, Any], output: Path, progress: Any
) -> dict[str, Any]:
    """The model's own outputs on `x` as real numbers, and those of its layers for the first inputs.

    `x` holds real values, or integers of the type of the model's input, which are taken as they
    are.
    """
    folder = inputs["model"]
    where = json.loads((folder / "model.json").read_text())["source"][0]
    path = folder / where
    parsed = Parsed(path, where)
    if len(parsed.graph.inputs) != 1:
        raise ModelError(f"expected one input, found {len(parsed.graph.inputs)}", where=where)
    shape = parsed.shape(parsed.graph.inputs[0])[1:]
    x = read_inputs(inputs["x"])
    if int(np.prod(x.shape[1:])) != int(np.prod(shape)):
        raise ModelError(f"expected inputs of shape {shape}, found {x.shape[1:]}", where=where)
    shaped = x.reshape(len(x), *shape)
    places = Translator(parsed).place
    logits = places.get(Network.load(folder / "network.json").logits or "")
    session = Session(path, parsed, keep=logits is not None)
    outputs = [int(index) for index in parsed.graph.outputs]
    parts, entering = [], []
    for index, sample in enumerate(shaped):
        session.run(sample)
        found = [session.real(item) for item in outputs]
        parts.append(
            found[0] if len(found) == 1 else np.concatenate([f.reshape(1, -1) for f in found], 1)
        )
        if logits is not None:
            entering.append(session.real(logits))
        if index % 64 == 0:
            progress(index, len(x))
    count = min(int(params.get("trace", 8)), 16, len(x))
    traced = {}
    if count:
        keeper = Session(path, parsed, keep=True)
        samples = []
        for sample in shaped[:count]:
            keeper.run(sample)
            samples.append(keeper.traced(places))
        traced = stack(samples)
    result = write_golden(
        output, x, np.concatenate(parts), traced, np.concatenate(entering) if entering else None
    )
    return {
        **result, "runtime": "LiteRT", "version": version("ai-edge-litert"),
        "resolver": session.resolver,
    }  # fmt: skip
