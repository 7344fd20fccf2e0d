"""A Network's quantiser of an activation as float nodes: what the model computes, in float32."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeflow.backends.onnxruntime.graph_job import Graph, moved
from edgeflow.errors import UnsupportedError
from edgeflow.network import Layer

KINDS = frozenset(["fixed", "affine", "binary", "float"])
"""Kinds of quantisers that have nodes here."""

ROUNDINGS = frozenset([None, "RND_CONV", "ROUND", "HALF_EVEN", "TRN", "FLOOR", "RND", "S_RND",
                       "CEIL"])  # fmt: skip
"""Roundings that have nodes here; None is half to even."""


def round_output(graph: Graph, layer: Layer) -> None:
    """Round a layer's output as its quantiser says, to the same values as the Keras twin."""
    if layer.quantizer is None:
        return
    layout = graph.layout(layer.name)
    rounded = _Rounding(graph, layer, layout).apply(graph.get(layer.name, layout))
    graph.put(layer.name, rounded, layout)


class _Rounding:
    def __init__(self, graph: Graph, layer: Layer, layout: str) -> None:
        assert layer.quantizer is not None
        self.graph = graph
        self.layer = layer
        self.quantizer = layer.quantizer
        self.layout = layout

    def apply(self, x: str) -> str:
        kind = self.quantizer.kind
        if kind == "fixed":
            return self._fixed(x)
        if kind == "affine":
            return self._affine(x)
        if kind == "binary":
            return self._binary(x)
        if kind == "float" and self.quantizer.bits == 16:
            half = self._node("Cast", x, to=10)
            return self._node("Cast", half, to=1)
        if kind == "float":
            return x
        raise UnsupportedError(f"layer '{self.layer.name}': a {kind} activation has no ONNX form")

    def _node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        return self.graph.node(operator, inputs, f"{self.layer.name}.rounded", **attributes)

    def _value(self, values: Any, hint: str) -> str:
        array = np.asarray(values, np.float32)
        laid = moved(array, self.graph.rank(self.layer.name), self.layout)
        return self.graph.constant(laid, f"{self.layer.name}.{hint}")

    def _along(self, values: Any) -> Any:
        array = np.asarray(values, np.float32)
        if array.size == 1:
            return array.reshape(())
        rank = self.graph.rank(self.layer.name)
        axis = -1 if self.quantizer.axis is None else self.quantizer.axis
        shape = [1] * (rank - 1)
        shape[axis if axis < 0 else axis - 1] = -1
        return array.reshape(shape)

    def _round(self, x: str) -> str:
        how = self.quantizer.rounding
        if how in ("TRN", "FLOOR"):
            return self._node("Floor", x)
        if how == "CEIL":
            return self._node("Ceil", x)
        if how in ("RND", "S_RND"):
            return self._node("Floor", self._node("Add", x, self._value(0.5, "half")))
        return self._node("Round", x)

    def _fixed(self, x: str) -> str:
        quantizer, name = self.quantizer, self.layer.name
        parts = {}
        for part in ("signed", "integer", "fraction"):
            found = self.graph.weights.get(f"{name}/@{part}")
            if found is not None:
                array = np.asarray(found, np.float64)
                # Arrays of the batch's axis, too, lose it: all else counts without it.
                parts[part] = array[0] if array.ndim == self.graph.rank(name) else array
        signed = parts.get("signed", np.float64(quantizer.signed))
        integer = parts.get("integer", np.float64(quantizer.integer or 0))
        fraction = parts.get("fraction", np.float64(quantizer.bits) - integer - signed)
        step = np.exp2(-fraction)
        top = np.exp2(integer) / step
        q = self._round(self._node("Mul", x, self._value(1 / step, "steps")))
        if quantizer.overflow == "WRAP":
            low = -signed * top
            span = top - low
            turns = self._node("Sub", self._node("Mul", q, self._value(1 / span, "turn")),
                               self._value(low / span, "start"))  # fmt: skip
            whole = self._node("Floor", turns)
            q = self._node("Sub", q, self._node("Mul", whole, self._value(span, "span")))
        else:
            narrow = quantizer.narrow or (quantizer.overflow or "").endswith("SYM")
            q = self._clip(q, -signed * (top - (1.0 if narrow else 0.0)), top - 1)
        used = np.where(signed + integer + fraction > 0, step, 0.0) if parts else step
        return self._node("Mul", q, self._value(used, "step"))

    def _affine(self, x: str) -> str:
        quantizer = self.quantizer
        bits, narrow = int(quantizer.bits), int(quantizer.narrow)
        low = -(2.0 ** (bits - 1)) + narrow if quantizer.signed else 0.0
        high = 2.0 ** (bits - 1) - 1 if quantizer.signed else 2.0**bits - 1 - narrow
        scale = self._value(self._along(quantizer.scale or (1.0,)), "scale")
        zero = self._value(self._along(quantizer.zero_point or (0,)), "zero")
        q = self._round(self._node("Add", self._node("Div", x, scale), zero))
        q = self._clip(q, np.float64(low), np.float64(high))
        return self._node("Mul", self._node("Sub", q, zero), scale)

    def _binary(self, x: str) -> str:
        quantizer = self.quantizer
        scale = self._along(quantizer.scale or (1.0,))
        zero = self._value(0.0, "zero")
        strict = quantizer.rounding == "zero_down"
        up = self._node("Greater" if strict else "GreaterOrEqual", x, zero)
        low = self._value(-scale if quantizer.signed else 0 * scale, "low")
        return self._node("Where", up, self._value(scale, "high"), low)

    def _clip(self, q: str, low: Any, high: Any) -> str:
        q = self._node("Max", q, self._value(low, "low"))
        return self._node("Min", q, self._value(high, "high"))
