"""Walks a TFLite graph, operator by operator, and makes the Network.

Fused activations become layers of their own; the rounding of an operator's output belongs to the
last of its layers. Weights are dequantised to float32; their Quantizer says how they are stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgeflow.frontends.folder_job import Arrays, Draft
from edgeflow.frontends.tflite_file_job import Array, Parsed
from edgeflow.network import Network, Quantizer

_FUSED: dict[int, tuple[str, dict[str, Any]]] = {
    1: ("relu", {}),
    2: ("relu", {"min_value": -1.0, "max_value": 1.0}),
    3: ("relu", {"max_value": 6.0}),
    4: ("tanh", {}),
}  # schema: ActivationFunctionType


class Translator:
    """Translates the first subgraph of a TFLite file; ``place`` maps layers to tensors."""

    def __init__(self, parsed: Parsed) -> None:
        from edgeflow.frontends.tflite_ops_job import OPERATORS

        self.p = parsed
        self.draft = Draft()
        self.layer_of: dict[int, str] = {}
        self.place: dict[str, int] = {}
        self.shapes: set[int] = set()  # tensors that only hold shapes
        for index in parsed.graph.inputs:
            name = self.draft.add(
                "input",
                parsed.name(index),
                [],
                parsed.shape(index)[1:],
                quantizer=parsed.quantizer(index),
            )
            self.bind(int(index), name)
        for operator in parsed.graph.operators:
            inputs = [int(i) for i in operator.inputs] if operator.inputs is not None else []
            known = [i for i in inputs if i >= 0]
            kind = parsed.kind(operator)
            if kind == "SHAPE" or (
                known and all(i in self.shapes or parsed.constant(i) is not None for i in known)
                and any(i in self.shapes for i in known)
            ):  # fmt: skip
                self.shapes.update(int(i) for i in operator.outputs)
                continue
            op = Op(self, operator, kind, inputs)
            if kind == "DEQUANTIZE" and op.constant(0) is not None:
                continue  # float16 weights: read through `constant`
            OPERATORS.get(kind, opaque)(op)

    def bind(self, tensor: int, layer: str) -> None:
        """Say which layer holds a tensor."""
        self.layer_of[tensor] = layer
        self.place[layer] = tensor

    def layer(self, tensor: int) -> str:
        """The layer that holds a tensor; a constant one is made where it is asked for."""
        if tensor not in self.layer_of:
            values = self.p.dequantised(tensor)
            array = np.zeros(0) if values is None else values
            if array.ndim and array.shape[0] == 1:
                array = array[0]
            quantizer = self.p.quantizer(tensor)
            self.layer_of[tensor] = self.draft.add(
                "constant", self.p.name(tensor), [], array.shape,
                weights={"value": array}, quantizers={"value": quantizer},
            )  # fmt: skip
        return self.layer_of[tensor]

    def network(self, source: Mapping[str, Any]) -> tuple[Network, Arrays]:
        """The finished Network and its weights."""
        outputs = [self.layer(int(index)) for index in self.p.graph.outputs]
        return self.draft.finish(str(source["file"]).rpartition(".")[0], outputs, source)


class Op:
    """One operator while it is translated."""

    def __init__(self, translator: Translator, operator: Any, kind: str, inputs: list[int]) -> None:
        self.t = translator
        self.p = translator.p
        self.operator = operator
        self.kind = kind
        self.inputs = inputs
        self.output = int(operator.outputs[0])
        self.shape = self.p.shape(self.output)[1:]
        self.name = self.p.name(self.output)

    def option(self, name: str, default: Any = None) -> Any:
        """A builtin option."""
        return self.p.option(self.operator, name, default)

    def constant(self, index: int) -> Array | None:
        """A constant input as real numbers, through a DEQUANTIZE of float16 weights too."""
        if index >= len(self.inputs) or self.inputs[index] < 0:
            return None
        return self.p.dequantised(self.stored(index))

    def stored(self, index: int) -> int:
        """The tensor in which a constant input is stored."""
        tensor = self.inputs[index]
        if self.p.constant(tensor) is None:
            for other in self.p.graph.operators:
                if self.p.kind(other) == "DEQUANTIZE" and int(other.outputs[0]) == tensor:
                    return int(other.inputs[0])
        return tensor

    def raw(self, index: int) -> list[int] | None:
        """A constant integer input (axes, a shape) as a list."""
        if index >= len(self.inputs):
            return None
        values = self.p.constant(self.inputs[index])
        return None if values is None else [int(v) for v in values.reshape(-1)]

    def source(self, index: int = 0) -> str:
        """The layer that an input comes from."""
        return self.t.layer(self.inputs[index])

    def in_shape(self, index: int = 0) -> tuple[int, ...]:
        """An input's shape, the batch counted."""
        return self.p.shape(self.inputs[index])

    def add(
        self,
        kind: str,
        inputs: Sequence[str],
        attributes: Mapping[str, Any] | None = None,
        weights: Mapping[str, Any] | None = None,
        quantizers: Mapping[str, Quantizer | None] | None = None,
        inner: bool = False,
    ) -> None:
        """Add the operator's layer, and its fused activation's (`inner`: it is within the kind)."""
        code = 0 if inner else int(self.option("fusedActivationFunction", 0) or 0)
        fused = _FUSED.get(code)
        rounding = self.p.quantizer(self.output)
        name = self.t.draft.add(
            kind, self.name, inputs, self.shape, attributes, weights, quantizers,
            None if fused else rounding,
        )  # fmt: skip
        if fused:
            name = self.t.draft.add(
                fused[0], f"{name}_{fused[0]}", [name], self.shape, fused[1], quantizer=rounding
            )
        self.t.bind(self.output, name)

    def weights(
        self, kernel: Array | None, axis: int = -1
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Kernel and bias (inputs 1 and 2), with how they are stored."""
        found = {"kernel": kernel, "bias": self.constant(2)}
        rounding = {"kernel": self.p.quantizer(self.stored(1), axis)}
        if found["bias"] is not None:
            rounding["bias"] = self.p.quantizer(self.stored(2))
        return found, rounding


def opaque(op: Op) -> None:
    """An operation that the Network has no kind for: one layer per output."""
    sources = [op.t.layer(i) for i in op.inputs if i in op.t.layer_of and i not in op.t.shapes]
    for tensor in (int(index) for index in op.operator.outputs):
        name = op.t.draft.add(
            "opaque", op.p.name(tensor), sources, op.p.shape(tensor)[1:], {"type": op.kind},
            quantizer=op.p.quantizer(tensor),
        )  # fmt: skip
        op.t.bind(tensor, name)


Step = Callable[[Op], None]
"""Adds what an operator does to its translator's draft."""
