"""Functions of one int8 as tables of 256 entries, as tflite-runtime's reference kernels give them.

Relu and leaky relu are rescalings in integers; logistic and tanh are computed in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeflow.backends.cortex_m import scales_job as scales
from edgeflow.backends.cortex_m.graph_job import Operator

Array = np.ndarray[Any, Any]


def table(operator: Operator) -> Array:
    """The output for each input from -128 to 127."""
    x, y = operator.input(), operator.output
    values = range(-128, 128)
    if operator.kind in ("RELU", "RELU6"):
        multiplier, shift = scales.of_ratio(x.scale, y.scale)
        low, high = scales.clamped(operator.kind, y.scale, y.zero)
        found = [
            min(max(y.zero + multiply(v - x.zero, multiplier, shift), low), high) for v in values
        ]
        return np.array(found, np.int8)
    if operator.kind == "LEAKY_RELU":
        alpha = float(np.float32(operator.options["alpha"]))
        factors = [
            scales.quantize(float(np.float32(x.scale)) * factor / float(np.float32(y.scale)))
            for factor in (alpha, 1.0)
        ]
        found = [
            min(max(y.zero + multiply(v - x.zero, *factors[v >= x.zero]), -128), 127)
            for v in values
        ]
        return np.array(found, np.int8)
    real = np.float32(x.scale) * (np.arange(-128, 128) - x.zero).astype(np.float32)
    one = np.float32(1)
    result = np.tanh(real) if operator.kind == "TANH" else one / (one + np.exp(-real))
    scaled = result * (one / np.float32(y.scale))
    rounded = np.where(scaled >= 0, np.floor(scaled + 0.5), np.ceil(scaled - 0.5))
    made: Array = np.clip(rounded + y.zero, -128, 127).astype(np.int8)
    return made


def high(a: int, b: int) -> int:
    """round(a b / 2^31), half up (`ef_high`)."""
    return (a * b + (1 << 30)) >> 31


def divide(x: int, places: int) -> int:
    """x / 2^places, half away from 0 (`ef_divide`)."""
    if places == 0:
        return x
    return (x + (-1 if x < 0 else 0) + (1 << (places - 1))) >> places


def multiply(x: int, multiplier: int, shift: int) -> int:
    """x * multiplier * 2^(shift - 31), as `ef_multiply`."""
    return divide(high(x << max(shift, 0), multiplier), max(-shift, 0))
