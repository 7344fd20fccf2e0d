"""The job that makes an ONNX file from a model's Network and weights, or takes the model's own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgeflow.backends.onnxruntime import quantize_job, rounding_job
from edgeflow.backends.onnxruntime.graph_job import FIRST, LAST, Graph, to_first, to_last
from edgeflow.backends.onnxruntime.kinds_job import MAKERS, WEIGHTED, Plain, weighted
from edgeflow.backends.tflite import plan_job
from edgeflow.backends.tflite.samples_job import samples
from edgeflow.frontends.onnx_file_job import inputs_of, numpy_type, read
from edgeflow.frontends.onnx_graph_job import Translator
from edgeflow.network import Network

Arrays = Mapping[str, np.ndarray]


def convert(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Write ``model.onnx`` and ``model.json`` (what it holds, and ``layers``: the tensor of each
    Network layer, and whether its channels are ``first``). Runs in the toolchain ``keras``.

    ``inputs``: ``model`` (a Model's folder), maybe ``data`` (``data.npz``).
    ``params``: ``precision``, ``opset``, ``input_layout``, ``output_layout``,
    ``calibration_samples``, ``copy`` (whether the model's own file is what is wanted).

    Result: ``precision``, ``route`` (``copied``, ``converted``, ``calibrated``, ``trained``),
    ``bytes``, ``opset``, ``op_counts``, ``float_operators``, ``inputs``, ``outputs``, and for the
    route ``trained`` ``quantisers`` (how many activations and kernels have the model's own, which
    kernels were rounded anew, which biases stayed in float32).

    Raises:
        DataError: calibration data are missing or do not fit.
    """
    folder = inputs["model"]
    network = Network.load(folder / "network.json")
    extra: dict[str, Any] = {}
    if params["copy"]:
        record = json.loads((folder / "model.json").read_text())
        content, layers, ports = _copied(folder / record["source"][0], network)
        route = "copied"
    else:
        with np.load(folder / "weights.npz", allow_pickle=False) as stored:
            weights = {name: stored[name] for name in stored.files}
        progress(0, 2, "writing the graph")
        if params["precision"] == "int8":
            network, weights, _ = plan_job.fold(network, weights)
        if params["precision"] == "int8" and network.quantized:
            route = "trained"
            graph, model, ports, extra["quantisers"] = _trained(network, weights, params)
        else:
            route = "converted" if params["precision"] == "float32" else "calibrated"
            graph, model, ports = write(network, weights, params)
        layers = _layers(graph, model)
        if route == "calibrated":
            progress(1, 2, "measuring ranges")
            count = params["calibration_samples"]
            x = samples(inputs.get("data"), network, count, "precision float32")
            model = _calibrated(model, ports, x)
        content = model.SerializeToString(deterministic=True)
    model = onnx.load_from_string(content)
    made = {name for node in model.graph.node for name in node.output}
    layers = {name: place for name, place in layers.items() if place["tensor"] in made}
    if params["precision"] == "int8":
        extra["float_operators"] = quantize_job.float_operators(model)
    facts = {
        "precision": params["precision"],
        "route": route,
        "bytes": len(content),
        "opset": max((o.version for o in model.opset_import if not o.domain), default=0),
        "op_counts": dict(sorted(Counter(node.op_type for node in model.graph.node).items())),
        **ports,
        "float_operators": [],
        **extra,
        "notes": _notes(extra),
    }
    (output / "model.onnx").write_bytes(content)
    (output / "model.json").write_text(json.dumps({**facts, "layers": layers}, indent=1) + "\n")
    return facts


def _notes(extra: Mapping[str, Any]) -> list[str]:
    floats = extra.get("float_operators", [])
    if not floats:
        return []
    return [f"computed in float32 in the int8 file: {', '.join(floats[:8])}"]


def _copied(path: Path, network: Network) -> tuple[bytes, dict[str, Any], dict[str, Any]]:
    """The model's own file; repaired where the front end repairs it, and of batch 1 where its
    batch is another number."""
    raw = path.read_bytes()
    model = read(path, path.name)
    _single(model)
    content = raw if onnx.load_from_string(raw) == model else model.SerializeToString()
    translator = Translator(model, path.name)
    layers = {
        layer: {"tensor": tensor, "first": translator.bound[tensor].last}
        for layer, tensor in translator.place.items()
        if translator.bound[tensor].layer == layer
        and translator.bound[tensor].order is None
        and layer not in network.inputs
    }
    ports = {
        "inputs": [
            _port(item.name, numpy_type(item).name, network[name].output_shape)
            for item, name in zip(inputs_of(model), network.inputs, strict=True)
        ],
        "outputs": [
            _port(item.name, "float32", network[name].output_shape, scale=_scale(network, name))
            for item, name in zip(model.graph.output, network.outputs, strict=True)
        ],
    }
    return content, layers, ports


def _scale(network: Network, name: str) -> list[float]:
    quantizer = network[name].quantizer
    return list(quantizer.scale[:1]) if quantizer is not None and quantizer.scale else []


def _single(model: Any) -> None:
    dims = [item.type.tensor_type.shape.dim[0] for item in inputs_of(model)]
    if all(dim.dim_value in (0, 1) for dim in dims):
        return
    for dim in dims:
        dim.Clear()
        dim.dim_value = 1
    del model.graph.value_info[:]
    for item in model.graph.output:
        item.type.tensor_type.ClearField("shape")


def _port(
    name: str, kind: str, shape: Any, permute: list[int] | None = None, scale: Any = None
) -> dict[str, Any]:
    """An input or output: ``model_shape`` without the batch in the model's order of axes;
    ``permute`` brings that (with the batch) into the file's order."""
    whole = [1, *(int(dim or 1) for dim in shape)]
    return {
        "name": name, "type": kind, "model_shape": whole[1:], "permute": permute,
        "shape": [whole[i] for i in permute] if permute else whole, "scale": scale or [],
    }  # fmt: skip


def write(
    network: Network,
    weights: Arrays,
    params: Mapping[str, Any],
    plan: plan_job.Plan | None = None,
    integers: quantize_job.Integers | None = None,
) -> tuple[Graph, Any, dict[str, Any]]:
    """The graph, its ONNX model and its ports.

    Args:
        network: the layers.
        weights: arrays by ``LAYER/ROLE``.
        params: ``precision``, ``opset``, ``input_layout``, ``output_layout``.
        plan: the QDQ nodes of an int8 model; None for float32 (with the Network's roundings).
        integers: how its kernels are stored.
    """
    graph = Graph(network, weights, params["opset"])
    rounds = params["precision"] == "float32"  # what is calibrated is a float model
    given, ports_in = [], []
    for layer in network:
        if layer.kind == "input":
            item, port = _input(graph, network, layer.name, params["input_layout"])
            given.append(item)
            ports_in.append(port)
        elif layer.kind in WEIGHTED:
            weighted(graph, layer, integers or Plain())
        else:
            MAKERS[layer.kind](graph, layer)
        if plan is not None:
            quantize_job.round_output(graph, layer, plan)
        elif rounds and layer.kind != "constant":
            rounding_job.round_output(graph, layer)
    ports_out = []
    for name in network.outputs:
        own = plan.activations.get(name) if plan is not None else None
        tensor, permute = _output(graph, network, name, params["output_layout"])
        scale = [own.scale] if own else None
        ports_out.append(_port(tensor, "float32", network[name].output_shape, permute, scale))
    made = [(port["name"], port["shape"]) for port in ports_out]
    model = graph.finish(given, made, network.name or "model")
    return graph, model, {"inputs": ports_in, "outputs": ports_out}


def _input(
    graph: Graph, network: Network, name: str, layout: str | None
) -> tuple[Any, dict[str, Any]]:
    shape = network[name].output_shape
    permute = _permute(network, len(shape) + 1, layout)
    port = _port(graph.name(name), "float32", shape, permute)
    item = helper.make_tensor_value_info(port["name"], TensorProto.FLOAT, port["shape"])
    if permute is not None and _own(network) == "channels_first":
        back = [int(i) for i in np.argsort(permute)]
        graph.put(name, graph.node("Transpose", [port["name"]], f"{name}.model", perm=back))
    else:
        graph.put(name, port["name"], FIRST if permute else LAST)
    return item, port


def _output(
    graph: Graph, network: Network, name: str, layout: str | None
) -> tuple[str, list[int] | None]:
    """An output's tensor, which must come from a node of its own."""
    permute = _permute(network, graph.rank(name), layout)
    if permute is None:
        tensor = graph.get(name)
    elif _own(network) == "channels_last":
        tensor = graph.get(name, FIRST)
    else:
        tensor = graph.node("Transpose", [graph.get(name)], f"{name}.output", perm=permute)
    made = {out for node in graph.nodes for out in node.output}
    return (tensor if tensor in made else graph.node("Identity", [tensor], f"{name}.output")), (
        permute
    )


def _own(network: Network) -> str:
    """The order of axes of the model's own inputs and outputs."""
    onnx_model = network.source.get("format") in ("onnx", "qonnx")
    return "channels_first" if onnx_model else "channels_last"


def _permute(network: Network, rank: int, layout: str | None) -> list[int] | None:
    """From the model's order of axes to the one asked for; None where nothing moves."""
    if layout is None or layout == _own(network) or rank < 3:
        return None
    return to_first(rank) if layout == "channels_first" else to_last(rank)


def _trained(
    network: Network, weights: Arrays, params: Mapping[str, Any]
) -> tuple[Graph, Any, dict[str, Any], dict[str, Any]]:
    """QDQ with the model's own quantisers."""
    plan = quantize_job.own_plan(network, weights)
    integers = quantize_job.Integers(plan)
    graph, model, ports = write(network, weights, params, plan, integers)
    return graph, model, ports, {
        "activations": len(plan.emitted),
        "kernels": len(integers.kernels),
        "rounded_kernels": integers.rounded,
        "float_biases": integers.float_biases,
        "measured": [],
    }  # fmt: skip


def _calibrated(model: Any, ports: Mapping[str, Any], x: np.ndarray) -> Any:
    """ONNX Runtime's own static quantisation: QDQ int8, per-channel weights, ranges by extremes."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    port = ports["inputs"][0]
    x = x.transpose(port["permute"]) if port["permute"] else x

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rows = iter(np.ascontiguousarray(x))

        def get_next(self) -> dict[str, np.ndarray] | None:
            row = next(self.rows, None)
            return None if row is None else {port["name"]: row[None]}

    plain, made = Path("float.onnx"), Path("int8.onnx")  # in the job's scratch folder
    onnx.save(onnx.shape_inference.infer_shapes(model), str(plain))
    quantize_static(
        str(plain), str(made), Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip
    found = onnx.load(str(made))
    del found.graph.value_info[:]
    return found


def _layers(graph: Graph, model: Any) -> dict[str, dict[str, Any]]:
    """The tensor of each layer and whether its channels are first; constants and inputs apart."""
    made = {name for node in model.graph.node for name in node.output}
    found = {}
    for layer in graph.network:
        layout = graph.made[layer.name]
        tensor = graph.held[layer.name][layout]
        if tensor in made and layer.kind != "constant":
            first = layout == FIRST and graph.rank(layer.name) > 2
            found[layer.name] = {"tensor": tensor, "first": first}
    return found
