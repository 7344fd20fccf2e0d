"""One call of a Keras layer while it is translated, its weights, and its activation.

Attributes follow Keras' names. Axes are negative or counted with the batch as 0, as in Keras,
but for ``reshape`` (``target_shape`` without the batch) and ``slice`` (``begin``, ``end``,
``strides`` without the batch). Weight roles: ``kernel``, ``bias``, ``recurrent_kernel``,
``gamma``, ``beta``, ``moving_mean``, ``moving_variance``, ``alpha``, ``embeddings``, ``scale``,
``offset``, ``value``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgeflow.frontends.folder_job import Draft
from edgeflow.frontends.quantizers_job import from_hgq, from_qkeras, snap
from edgeflow.network import ACTIVATIONS, Quantizer, Shape

Step = Callable[["Context"], str]

_ACTIVATION_NAMES = {"swish": "silu", "hard_swish": "hard_silu", "relu6": "relu"}


class Context:
    """One call of one layer: the layer, where its inputs come from, the shape that it makes."""

    def __init__(
        self, draft: Draft, layer: Any, inputs: Sequence[str], output_shape: Shape, legacy: bool
    ) -> None:
        self.draft = draft
        self.layer = layer
        self.inputs = list(inputs)
        self.output_shape = output_shape
        self.legacy = legacy  # Keras 2: some functions differ
        self.kind = type(layer).__name__
        self.name = str(layer.name)
        self.made: list[str] = []

    def add(
        self,
        kind: str,
        attributes: Mapping[str, Any] | None = None,
        *,
        suffix: str = "",
        shape: Shape | None = None,
        inputs: Sequence[str] | None = None,
        weights: Mapping[str, Any] | None = None,
        quantizer: Quantizer | None = None,
    ) -> str:
        """Add a layer that reads the current inputs; the next one reads it."""
        values: dict[str, Any] = {}
        rounding: dict[str, Quantizer | None] = {}
        bits: dict[str, Any] = {}
        for role, item in (weights or {}).items():
            if item is None:
                continue
            array, found, by_element = item if isinstance(item, tuple) else (item, None, {})
            values[role], rounding[role] = snap(np.asarray(array), found), found
            bits.update({f"{role}@{part}": value for part, value in by_element.items()})
        name = self.draft.add(
            kind, self.name + suffix, self.inputs if inputs is None else inputs,
            self.output_shape if shape is None else shape, attributes, values, rounding, quantizer,
        )  # fmt: skip
        self.draft.arrays.update({f"{name}/{key}": value for key, value in bits.items()})
        self.inputs = [name]
        self.made.append(name)
        return name

    def weight(self, role: str, variable: Any) -> Any:
        """A weight as the layer computes with it: the array, its Quantizer, its bits by element."""
        if variable is None:
            return None
        values = to_numpy(variable)
        layer = self.layer
        if hasattr(layer, "kq") and role in ("kernel", "bias"):  # HGQ2
            quantizer = layer.kq if role == "kernel" else layer.bq
            if quantizer is None:
                return values
            return (to_numpy(quantizer(variable)), *from_hgq(quantizer, values.shape))
        stem = "depthwise" if hasattr(layer, "depthwise_quantizer") and role == "kernel" else role
        quantizer = getattr(layer, f"{stem}_quantizer_internal", None)
        if quantizer is None:
            return values
        rounded = to_numpy(quantizer(variable))
        return rounded, from_qkeras(quantizer, rounded), {}

    def activate(self, function: Any, suffix: bool = True) -> str:
        """Add the layer's activation as a layer of its own; returns which layer has the output."""
        for kind, attributes, quantizer in activation(function, self.legacy):
            own = [n for n in self.made if self.draft.layers[n].kind != "quantize"]
            tail = f"_{kind}" if suffix or own else ""
            self.add(kind, attributes, suffix=tail, quantizer=quantizer)
        return self.inputs[0]


def to_numpy(value: Any) -> np.ndarray[Any, Any]:
    """A framework's tensor or variable as float32."""
    return np.asarray(value.numpy() if hasattr(value, "numpy") else value, dtype=np.float32)


def activation(function: Any, legacy: bool) -> list[tuple[str, dict[str, Any], Quantizer | None]]:
    """The Network's (kind, attributes, quantizer) of an activation; nothing for a linear one."""
    if function is None:
        return []
    kind = type(function).__name__
    if kind in _QKERAS:
        return [_QKERAS[kind](function)]
    name = getattr(function, "__name__", None) or getattr(function, "name", None) or kind
    name = _ACTIVATION_NAMES.get(name, name)
    if name in ("linear", "identity"):
        return []
    if name == "binary_tanh":  # zero goes to -1 there
        return [("quantize", {}, Quantizer("binary", 1, scale=(1.0,), rounding="zero_down"))]
    if name == "relu1":
        return [("relu", {"max_value": 1.0}, None)]
    if name == "ternary_tanh":
        return [("quantize", {}, Quantizer("fixed", 2, True, 1, True, "RND_CONV", "SAT"))]
    if name == "hard_sigmoid":
        slope = 0.2 if legacy else 1 / 6
        return [("hard_sigmoid", {"slope": slope, "offset": 0.5}, None)]
    if name == "leaky_relu":
        return [("leaky_relu", {"negative_slope": 0.2}, None)]
    if name == "elu":
        return [("elu", {"alpha": 1.0}, None)]
    if name == "gelu":
        return [("gelu", {"approximate": False}, None)]
    if getattr(function, "__name__", "") == "relu6":
        return [("relu", {"max_value": 6.0}, None)]
    if name in ACTIVATIONS:
        return [(name, {}, None)]
    return [("opaque", {"type": f"activation {name}"}, None)]


def _quantized_relu(function: Any) -> tuple[str, dict[str, Any], Quantizer | None]:
    quantizer = from_qkeras(function)
    if getattr(function, "use_sigmoid", 0):
        return "opaque", {"type": "quantized_relu with use_sigmoid"}, quantizer
    attributes = {}
    if function.negative_slope:
        return "leaky_relu", {"negative_slope": float(function.negative_slope)}, quantizer
    bound = getattr(function, "relu_upper_bound", None)
    if bound is not None:
        attributes["max_value"] = float(bound)
    return "relu", attributes, quantizer


_QKERAS: dict[str, Callable[[Any], tuple[str, dict[str, Any], Quantizer | None]]] = {
    "quantized_relu": _quantized_relu,
    "quantized_bits": lambda f: ("quantize", {}, from_qkeras(f)),
    "quantized_linear": lambda f: ("quantize", {}, from_qkeras(f)),
    "quantized_po2": lambda f: ("quantize", {}, from_qkeras(f)),
    "quantized_relu_po2": lambda f: ("relu", {}, from_qkeras(f)),
    "binary": lambda f: ("quantize", {}, _unscaled(from_qkeras(f), f)),
    "stochastic_binary": lambda f: ("quantize", {}, _unscaled(from_qkeras(f), f)),
    "ternary": lambda f: ("quantize", {"threshold": _threshold(f)}, _unscaled(from_qkeras(f), f)),
    "stochastic_ternary": lambda f: (
        "quantize", {"threshold": _threshold(f)}, _unscaled(from_qkeras(f), f)),
    "quantized_tanh": lambda f: (
        "tanh" if f.use_real_tanh else "hard_tanh", {}, from_qkeras(f)),
    "quantized_sigmoid": lambda f: (
        ("sigmoid", {}, from_qkeras(f)) if f.use_real_sigmoid
        else ("hard_sigmoid", {"slope": 0.5, "offset": 0.5}, from_qkeras(f))),
    "quantized_ulaw": lambda f: ("opaque", {"type": "quantized_ulaw"}, from_qkeras(f)),
    "quantized_hswish": lambda f: ("opaque", {"type": "quantized_hswish"}, from_qkeras(f)),
    "bernoulli": lambda f: ("opaque", {"type": "bernoulli"}, from_qkeras(f)),
}  # fmt: skip


def _unscaled(quantizer: Quantizer | None, function: Any) -> Quantizer | None:
    """An activation's binary or ternary quantiser: its scale is its alpha, 1 by default."""
    alpha = function.alpha if isinstance(function.alpha, int | float) else 1.0
    if quantizer is None:
        return None
    return Quantizer(quantizer.kind, quantizer.bits, quantizer.signed, scale=(float(alpha),))


def _threshold(function: Any) -> float:
    given = function.threshold
    return float(function.default_threshold if given is None else given)


def window(context: Context, *names: str) -> dict[str, Any]:
    """The layer's attributes of these names, tuples as lists."""
    layer = context.layer
    found: dict[str, Any] = {}
    for name in names:
        value = getattr(layer, name)
        found[name] = list(value) if isinstance(value, tuple | list) else value
    return found


def channels_first(context: Context) -> bool:
    """Whether the layer has its channels before its positions, which the Network never has."""
    return getattr(context.layer, "data_format", "channels_last") == "channels_first"


def opaque(context: Context) -> str:
    """An operation that the Network has no kind for."""
    note = " with data_format channels_first" if channels_first(context) else ""
    return context.add("opaque", {"type": context.kind + note})
