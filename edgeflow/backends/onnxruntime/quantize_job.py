"""int8 as QuantizeLinear and DequantizeLinear nodes with the model's own trained scales.

The scales are those of `edgeflow.backends.tflite.plan_job`; but where TFLite needs a range for
every tensor, and measures those that the model does not round, this file leaves them in float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeflow.backends.onnxruntime import rounding_job
from edgeflow.backends.onnxruntime.graph_job import Array, Graph
from edgeflow.backends.tflite.plan_job import PASSIVE, Affine, Plan, given, make
from edgeflow.network import Layer, Network


def own_plan(network: Network, weights: Mapping[str, Array]) -> Plan:
    """The plan with the model's own quantisers alone: nothing is measured or prescribed.

    ``activations`` has every layer whose values lie on such a quantiser's grid.
    """
    plan = make(network, weights, {})
    held: dict[str, Affine] = {}
    emitted = set()
    for layer in network:
        if given(network, layer) is not None:
            held[layer.name] = plan.activations[layer.name]
            if layer.name in plan.emitted:
                emitted.add(layer.name)
        elif layer.kind in PASSIVE and layer.quantizer is None and layer.inputs[0] in held:
            held[layer.name] = held[layer.inputs[0]]
    return Plan(held, frozenset(emitted), plan.kernels)


class Integers:
    """Kernels in int8 with a scale per output channel, biases in int32."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.kernels: list[str] = []
        self.rounded: list[str] = []  # layers whose kernels are not as trained
        self.float_biases: list[str] = []

    def kernel(self, graph: Graph, layer: Layer, values: Array, axis: int) -> str:
        """DequantizeLinear of the int8 kernel."""
        scales = np.asarray(self.plan.kernels[layer.name].scale, np.float32)
        shape = [1] * values.ndim
        if len(scales) > 1:
            shape[axis] = -1
        real = values.astype(np.float64) / scales.reshape(shape)
        q = np.clip(np.round(real), -128, 127)
        self.kernels.append(layer.name)
        if np.abs(real - q).max(initial=0) > 1e-2:
            self.rounded.append(layer.name)
        return _stored(graph, q, np.int8, scales, axis, f"{layer.name}.kernel")

    def bias(self, graph: Graph, layer: Layer, values: Array) -> str:
        """DequantizeLinear of the bias, whose scale is the input's times the kernel's.

        It stays in float32 where the input has no scale, or int32 does not hold it.
        """
        source = self.plan.activations.get(layer.inputs[0])
        scales = np.asarray(self.plan.kernels[layer.name].scale, np.float32)
        if source is not None:
            both = (np.float32(source.scale) * scales).astype(np.float32)
            q = np.round(values.astype(np.float64) / both.astype(np.float64))
            if (both > 0).all() and np.abs(q).max(initial=0) < 2**31:
                return _stored(graph, q, np.int32, both, 0, f"{layer.name}.bias")
        self.float_biases.append(layer.name)
        return graph.constant(values, f"{layer.name}.bias")


def _stored(
    graph: Graph, q: Array, kind: Any, scales: Array, axis: int, hint: str
) -> str:  # fmt: skip
    name = graph.constant(q.astype(kind), f"{hint}.q", kind)
    whole = len(scales) == 1
    scale = graph.constant(scales[0] if whole else scales, f"{hint}.scale")
    zero = graph.constant(np.zeros(() if whole else len(scales), kind), f"{hint}.zero", kind)
    extra = {} if whole else {"axis": axis}
    return graph.node("DequantizeLinear", [name, scale, zero], hint, **extra)


def round_output(graph: Graph, layer: Layer, plan: Plan) -> None:
    """Quantise and dequantise a layer's output where the model does.

    A quantiser that int8 does not hold (more than 8 bits, or other bits for each element) stays in
    float32 nodes.
    """
    if layer.name not in plan.emitted:
        if layer.quantizer is not None and layer.name not in plan.activations:
            rounding_job.round_output(graph, layer)
        return
    own = plan.activations[layer.name]
    layout = graph.layout(layer.name)
    value = graph.get(layer.name, layout)
    if own.floor is not None:
        low = graph.constant(own.floor, f"{layer.name}.floor")
        value = graph.node("Max", [value, low], f"{layer.name}.floored")
    graph.put(layer.name, _pair(graph, value, own, layer.name), layout)


def _pair(graph: Graph, value: str, affine: Affine, hint: str) -> str:
    scale = graph.constant(np.float32(affine.scale), f"{hint}.scale")
    zero = graph.constant(np.int8(affine.zero_point), f"{hint}.zero_point", np.int8)
    q = graph.node("QuantizeLinear", [value, scale, zero], f"{hint}.q")
    return graph.node("DequantizeLinear", [q, scale, zero], f"{hint}.dq")


MOVING = frozenset("Reshape Transpose Flatten Squeeze Slice MaxPool Pad Concat Max".split())
"""Operators that move or choose values."""
BEFORE = frozenset(["Relu", "Clip"])
"""Operators that vanish into the QuantizeLinear after them, or the kernel before them."""
ALONE = frozenset(["Gemm", "MatMul"])
"""Operators whose integer kernels may give floats."""
RECURRENT = frozenset(["LSTM", "GRU", "RNN"])


def float_operators(model: Any) -> list[str]:
    """Operators that ONNX Runtime computes on floats: ``operator (tensor)``.

    Its integer kernels need a DequantizeLinear before every input and a QuantizeLinear after the
    output, through what only moves values.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    held = {tensor.name for tensor in model.graph.initializer}

    def integral(name: str) -> bool:
        node = makers.get(name)
        while node is not None and node.op_type in MOVING:
            node = makers.get(node.input[0])
        return node is not None and node.op_type == "DequantizeLinear"

    def rounded(name: str) -> bool:
        after = readers.get(name, [])
        return bool(after) and all(
            node.op_type == "QuantizeLinear"
            or (node.op_type in BEFORE | MOVING and rounded(node.output[0]))
            for node in after
        )

    found = []
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear", "Identity") or (
            node.op_type in MOVING | BEFORE
        ):
            continue
        live = [name for name in node.input[:2] if name and name not in held]
        whole = all(integral(name) for name in live)
        ends = node.op_type in ALONE or rounded(node.output[0])
        if node.op_type in RECURRENT or not whole or not ends:
            found.append(f"{node.op_type} ({next(name for name in node.output if name)})")
    return found
