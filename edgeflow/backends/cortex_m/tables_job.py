"""Functions of one int8 as tables of 256 entries, as tflite-runtime's reference kernels give them.

Relu and leaky relu are rescalings in integers; logistic and tanh are computed in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeflow.backends.cortex_m.tensors_job import Operator
from edgeflow.backends.tflite import scales_job as scales

Array = np.ndarray[Any, Any]


def table(operator: Operator) -> Array:
    """The output for each input from -128 to 127."""
    x, y = operator.input(), operator.output
    values = range(-128, 128)
    if operator.kind in ("RELU", "RELU6", "RELU_N1_TO_1"):
        multiplier, shift = scales.of_ratio(x.scale, y.scale)
        low, high = scales.clamped(operator.kind, y.scale, y.zero)
        found = [
            min(max(y.zero + multiply(v - x.zero, multiplier, shift), low), high) for v in values
        ]
        return np.array(found, np.int8)
    if operator.kind == "HARD_SWISH":
        return np.array([_hard_swish(v, operator) for v in values], np.int8)
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


def _hard_swish(value: int, operator: Operator) -> int:
    """x relu6(x + 3) / 6 in 16 bits, seven of them after the point."""
    x, y = operator.input(), operator.output
    fine = np.float32(np.float32(1 / 128) * np.float32(x.scale))
    out, out_shift = _half(float(fine / np.float32(y.scale)))
    relu, relu_shift = _half(float(fine / np.float32(np.float32(3) / np.float32(32768))))
    wide = (value - x.zero) * 128
    gate = _short(wide << max(relu_shift - 1, 0))
    gate = _short(_high_half(gate, relu) << (1 if relu_shift > 0 else 0))
    gate = (divide(gate, max(-relu_shift, 0)) + (1 << 15)) >> 1
    product = gate * _high_half(wide, out)
    product = _short(product >> 15 if product >= 0 else -(-product >> 15))
    return min(max(divide(product, max(-out_shift, 0)) + y.zero, -128), 127)


def _half(real: float) -> tuple[int, int]:
    """A factor as a 15-bit multiplier and a power of two."""
    multiplier, shift = scales.quantize(real)
    return min((multiplier + (1 << 15)) >> 16, 2**15 - 1), shift


def _short(x: int) -> int:
    return min(max(x, -(2**15)), 2**15 - 1)


def _high_half(a: int, b: int) -> int:
    """round(a b / 2^15), half up, in 16 bits."""
    return _short((a * b + (1 << 14)) >> 15)


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
