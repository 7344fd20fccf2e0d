"""int8 as QuantizeLinear and DequantizeLinear nodes with the model's own trained scales.

Which tensors are rounded, and how, is `edgeflow.backends.tflite.plan_job`'s plan: the same for both
runtimes, so that their files compute the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeflow.backends.onnxruntime.graph_job import Array, Graph
from edgeflow.backends.onnxruntime.kinds_job import WEIGHTED
from edgeflow.backends.tflite.plan_job import PASSIVE, Affine, Plan
from edgeflow.network import Layer


class Integers:
    """Kernels in int8 with a scale per output channel, biases in int32."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.stored: dict[str, int] = {}  # layer -> its kernel's number of scales
        self.float_biases: list[str] = []

    def kernel(self, graph: Graph, layer: Layer, values: Array, axis: int) -> str:
        """DequantizeLinear of the int8 kernel."""
        scales = np.asarray(self.plan.kernels[layer.name].scale, np.float32)
        shape = [1] * values.ndim
        if len(scales) > 1:
            shape[axis] = -1
        q = np.clip(np.round(values.astype(np.float64) / scales.reshape(shape)), -127, 127)
        self.stored[layer.name] = len(scales)
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
            if np.abs(q).max(initial=0) < 2**31 and (both > 0).all():
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
    """Quantise and dequantise a layer's output where the plan says so."""
    if layer.name not in plan.emitted:
        return
    own = plan.activations[layer.name]
    before = plan.activations.get(layer.inputs[0]) if layer.inputs else None
    layout = graph.layout(layer.name)
    value = graph.get(layer.name, layout)
    if layer.kind in PASSIVE and before is not None and before != own:
        value = _pair(graph, value, before, f"{layer.name}.as_before")
    if own.floor is not None:
        low = graph.constant(own.floor, f"{layer.name}.floor")
        value = graph.node("Max", [value, low], f"{layer.name}.floored")
    graph.put(layer.name, _pair(graph, value, own, layer.name), layout)


def _pair(graph: Graph, value: str, affine: Affine, hint: str) -> str:
    scale = graph.constant(np.float32(affine.scale), f"{hint}.scale")
    zero = graph.constant(np.int8(affine.zero_point), f"{hint}.zero_point", np.int8)
    q = graph.node("QuantizeLinear", [value, scale, zero], f"{hint}.q")
    return graph.node("DequantizeLinear", [q, scale, zero], f"{hint}.dq")


def float_operators(model: Any) -> list[str]:
    """Operators that compute on floats that were not dequantised: those no int8 kernel takes.

    Moving values (reshape, transpose, pool …) is not computing. A node counts where one of its
    floating inputs does not come from a DequantizeLinear (through such moves).
    """
    made = {name: node for node in model.graph.node for name in node.output}
    held = {tensor.name for tensor in model.graph.initializer}
    moving = frozenset("Reshape Transpose Flatten Squeeze Slice MaxPool Pad Concat Max".split())

    def integral(name: str) -> bool:
        node = made.get(name)
        while node is not None and node.op_type in moving:
            node = made.get(node.input[0])
        return node is not None and node.op_type == "DequantizeLinear"

    found = []
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") or node.op_type in moving:
            continue
        live = [name for name in node.input[:2] if name and name not in held]
        if node.op_type in RECURRENT or any(not integral(name) for name in live):
            found.append(f"{node.op_type} ({node.output[0] or node.name})")
    return found


RECURRENT = frozenset(["LSTM", "GRU", "RNN"])

__all__ = ["WEIGHTED", "Integers", "float_operators", "round_output"]
