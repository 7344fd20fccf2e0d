"""Scales as TensorFlow Lite's kernels have them: a 31-bit multiplier and a power of two.

The formulas are those of tflite-runtime 2.14 (`QuantizeMultiplier`,
`PreprocessSoftmaxScaling`, the `Prepare` functions of its kernels), float and double alike, so
that not one bit differs.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def quantize(real: float) -> tuple[int, int]:
    """A real factor as (multiplier, shift): real = multiplier * 2^(shift - 31).

    The multiplier is 0 or in [2^30, 2^31).
    """
    if real == 0:
        return 0, 0
    fraction, shift = math.frexp(real)
    multiplier = _round(fraction * 2**31)
    if multiplier == 2**31:
        multiplier //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    if shift > 30:
        return 2**31 - 1, 30
    return multiplier, shift


def _round(x: float) -> int:
    """To the nearest, halves away from 0, as TfLiteRound does."""
    return math.floor(x + 0.5) if x >= 0 else math.ceil(x - 0.5)


def of_convolution(x: float, filters: Array, y: float) -> list[tuple[int, int]]:
    """By output channel, from the float32 scales of input, filters and output."""
    return [quantize(float(x) * float(scale) / float(y)) for scale in filters]


def of_dense(x: float, kernel: float, y: float) -> tuple[int, int]:
    """Of a dense layer, whose product of scales is a float32."""
    return quantize(float(np.float32(x) * np.float32(kernel)) / float(y))


def of_product(a: float, b: float, y: float) -> tuple[int, int]:
    """Of a product of two tensors: float32 throughout."""
    return quantize(float(np.float32(np.float32(a) * np.float32(b)) / np.float32(y)))


def of_ratio(x: float, y: float) -> tuple[int, int]:
    """From one scale to another."""
    return quantize(float(x) / float(y))


def of_mean(x: float, y: float, count: int) -> tuple[int, int]:
    """Of a sum of `count` values that becomes their mean."""
    multiplier, shift = of_ratio(x, y)
    places = min(count.bit_length() - 1, 32, 31 + shift)
    return (multiplier << places) // count, shift - places


ADD_SHIFT = 20
"""Places that the operands of a sum are shifted left by, for int8."""


def of_sum(a: float, b: float, y: float) -> list[tuple[int, int]]:
    """Of a sum's two operands and its result."""
    twice = 2 * max(float(a), float(b))
    return [
        quantize(float(a) / twice),
        quantize(float(b) / twice),
        quantize(twice / float(np.float32(1 << ADD_SHIFT) * np.float32(y))),
    ]


SOFTMAX_INTEGER_BITS = 5


def of_softmax(x: float, beta: float) -> tuple[int, int, int]:
    """(multiplier, shift, least): ``least`` is the difference to the largest input below which an
    exponential is 0."""
    real = float(np.float32(beta)) * float(x) * 2 ** (31 - SOFTMAX_INTEGER_BITS)
    multiplier, shift = quantize(min(real, 2.0**31 - 1))
    largest = (2**SOFTMAX_INTEGER_BITS - 1) * 2 ** (31 - SOFTMAX_INTEGER_BITS) / 2**shift
    return multiplier, shift, -math.floor(largest)


def clamped(activation: str, scale: float, zero: int) -> tuple[int, int]:
    """The range that a fused activation leaves of int8.

    Raises:
        ValueError: there is no such activation.
    """
    bounds = {
        "NONE": (None, None),
        "RELU": (0.0, None),
        "RELU6": (0.0, 6.0),
        "RELU_N1_TO_1": (-1.0, 1.0),
    }
    if activation not in bounds:
        raise ValueError(activation)

    def place(x: float) -> int:
        return zero + _round(float(np.float32(x) / np.float32(scale)))

    low, high = bounds[activation]
    return (
        -128 if low is None else max(-128, place(low)),
        127 if high is None else min(127, place(high)),
    )
