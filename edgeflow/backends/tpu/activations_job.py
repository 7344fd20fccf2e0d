"""Activations in jax, by Keras' definitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from edgeflow.backends.tpu.arithmetic_job import Call

Array = Any
Attributes = Mapping[str, Any]


def _first(attributes: Attributes, names: Sequence[str], default: float) -> float:
    """The first attribute that is there: Keras 2 and 3 name some of them differently."""
    for name in names:
        if attributes.get(name) is not None:
            return float(attributes[name])
    return default


def _relu(x: Array, a: Attributes) -> Array:
    if a.get("min_value"):  # a clip of ONNX, or TFLite's RELU_N1_TO_1
        top = a.get("max_value")
        return jnp.clip(x, np.float32(a["min_value"]), None if top is None else np.float32(top))
    slope = _first(a, ("negative_slope",), 0.0)
    threshold = _first(a, ("threshold",), 0.0)
    y = jnp.where(x >= threshold, x, slope * (x - threshold)) if threshold or slope else None
    y = jax.nn.relu(x) if y is None else y
    return y if a.get("max_value") is None else jnp.minimum(y, np.float32(a["max_value"]))


def _leaky_relu(default: float) -> Callable[[Array, Attributes], Array]:
    def apply(x: Array, a: Attributes) -> Array:
        return jnp.where(x >= 0, x, x * _first(a, ("negative_slope", "alpha"), default))

    return apply


def _hard_sigmoid(x: Array, a: Attributes) -> Array:
    # Keras 3: relu6(x + 3) / 6. Keras 2: 0.2 x + 0.5, clipped; the front end gives its slope.
    slope = _first(a, ("slope",), 1 / 6)
    return jnp.clip(slope * x + _first(a, ("offset",), 0.5), 0.0, 1.0)


def _softmax(function: Callable[..., Array]) -> Callable[[Array, Attributes], Array]:
    def apply(x: Array, a: Attributes) -> Array:
        axis = a.get("axis", -1)
        return function(x, axis=tuple(axis) if isinstance(axis, list) else axis)

    return apply


def _plain(function: Callable[[Array], Array]) -> Callable[[Array, Attributes], Array]:
    return lambda x, _: function(x)


FUNCTIONS: Mapping[str, Callable[[Array, Attributes], Array]] = {
    "relu": _relu,
    "leaky_relu": _leaky_relu(0.3),
    "elu": lambda x, a: jnp.where(
        x > 0, x, _first(a, ("alpha",), 1.0) * jnp.expm1(jnp.minimum(x, 0))
    ),
    "selu": _plain(jax.nn.selu),
    "gelu": lambda x, a: jax.nn.gelu(x, approximate=bool(a.get("approximate", False))),
    "sigmoid": _plain(jax.nn.sigmoid),
    "hard_sigmoid": _hard_sigmoid,
    "tanh": _plain(jnp.tanh),
    "hard_tanh": _plain(lambda x: jnp.clip(x, -1.0, 1.0)),
    "softmax": _softmax(jax.nn.softmax),
    "softplus": _plain(jax.nn.softplus),
    "softsign": _plain(jax.nn.soft_sign),
    "silu": _plain(jax.nn.silu),
    "hard_silu": _plain(lambda x: x * jnp.clip(x / 6 + 0.5, 0.0, 1.0)),
    "exponential": _plain(jnp.exp),
    "log_softmax": _softmax(jax.nn.log_softmax),
    "thresholded_relu": lambda x, a: jnp.where(x > _first(a, ("theta",), 1.0), x, 0.0),
    "linear": _plain(lambda x: x),
}
"""The activation of each kind: (values, the layer's attributes) to values."""


def _operation(function: Callable[[Array, Attributes], Array]) -> Callable[[Call], Array]:
    return lambda call: function(call.x, call.attributes)


def _prelu(call: Call) -> Array:
    return jnp.where(call.x >= 0, call.x, call.x * call.weights["alpha"])


ACTIVATION_OPERATIONS = {
    **{name: _operation(function) for name, function in FUNCTIONS.items() if name != "linear"},
    "prelu": _prelu,
}
