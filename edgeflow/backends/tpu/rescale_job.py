"""TensorFlow Lite's fixed-point rescaling of int8 layers, in 32-bit integers of jax.

An int8 .tflite file says not only the codes of each tensor but how a layer's sums become them: by
a 31-bit multiplier and a power of two, rounded once (LiteRT's reference kernels; the runtime whose
outputs are the model's own here). A TPU has no 64-bit integers, so products are made of 16-bit
halves: every number below is exact, and the graph equals those kernels to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from edgeflow.backends.tflite import scales_job as scales
from edgeflow.backends.tpu.arithmetic_job import Call, each_axis, window_rank
from edgeflow.backends.tpu.integers import Code
from edgeflow.backends.tpu.operations_job import mode, padding_of, present, ranked
from edgeflow.network import Layer, Network, Quantizer

Array = Any
KINDS = frozenset("add sub mul avg_pool1d avg_pool2d quantize".split())
"""Kinds that are rescaled here, beside the products of integers."""
LONGEST, NEAR = 11, 2.0**-12
"""`narrow` takes shifts of at most so much: `NEAR` must be below 2^-shift, and beyond float32's
error in results of 9 bits (2^-13)."""


@dataclass(frozen=True)
class Rescaled:
    """What is computed as TensorFlow Lite's kernels do.

    ``codes``: by layer, those that its integers are scaled to: its own, or those of the relu that
    TFLite fuses with it. ``ranges``: by the layer that then cuts them off, what it leaves of int8.
    """

    codes: Mapping[str, Code]
    ranges: Mapping[str, tuple[int, int]]


def rescaled(network: Network, codes: Mapping[str, Code], products: Mapping[str, bool]) -> Rescaled:
    """The layers of an int8 .tflite file whose inputs and outputs all have codes.

    ``products``: by layer that multiplies in integers, whether its bias is among the integers.
    """
    found: dict[str, Code] = {}
    ranges: dict[str, tuple[int, int]] = {}
    if network.source.get("format") != "tflite":
        return Rescaled(found, ranges)
    readers = network.consumers
    for layer in network:
        able = products.get(layer.name) or (
            layer.kind in KINDS
            and all(name in codes for name in layer.inputs)
            and (len(layer.inputs) == 2) == (layer.kind in ("add", "sub", "mul"))
        )
        last = layer
        if layer.quantizer is None and layer.name not in network.outputs:
            last = readers[layer.name][0] if len(readers[layer.name]) == 1 else layer
        fused = "NONE" if last is layer else _fused(last)
        if not able or fused is None or last.name not in codes or not _int8(last.quantizer):
            continue
        code = codes[last.name]
        if "pool" in layer.kind and codes[layer.inputs[0]] != code:
            continue
        found[layer.name] = code
        ranges[last.name] = scales.clamped(fused, code.step, code.zero)
    return Rescaled(found, ranges)


def _int8(quantizer: Quantizer | None) -> bool:
    return quantizer is not None and quantizer.kind == "affine" and quantizer.signed


def _fused(layer: Layer) -> str | None:
    """TFLite's name of a relu that can be one operator with the layer before it."""
    if layer.kind != "relu":
        return None
    low, high = layer.attributes.get("min_value"), layer.attributes.get("max_value")
    names = {(0.0, None): "RELU", (0.0, 6.0): "RELU6", (-1.0, 1.0): "RELU_N1_TO_1"}
    return names.get((float(low or 0), high))


def multiply(x: Array, factors: Sequence[tuple[int, int]]) -> Array:
    """x multiplier 2^(shift - 31) in int32, with one (multiplier, shift) or one by channel.

    Rounded twice, as TensorFlow Lite does: x multiplier / 2^31 halves up, then the division by
    2^-shift halves away from 0.
    """
    multiplier = _each([factor for factor, _ in factors])
    shift = _each([shift for _, shift in factors])
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    x = x << left if left.any() else x
    # The product's upper bits from those of its halves' four products, each of which 32 bits hold.
    high, low = x >> 16, x & 0xFFFF
    factor_high, factor_low = multiplier >> 16, multiplier & 0xFFFF
    lowest = low.astype(jnp.uint32) * factor_low.astype(np.uint32) >> 16
    one, other = high * factor_low, low * factor_high
    carried = (one & 0x7FFF) + (other & 0x7FFF) + lowest.astype(jnp.int32)
    rounded = 2 * high * factor_high + (one >> 15) + (other >> 15) + ((carried + (1 << 14)) >> 15)
    return _divide(rounded, right)


def narrow(x: Array, factors: Sequence[tuple[int, int]]) -> Array:
    """`multiply` where only results of about 9 bits matter, larger ones being cut off: cheaper.

    With e = -shift, both roundings together are floor((x multiplier + c) / 2^(31 + e)), c being
    2^(30 + e) + 2^30, or - 2^30 where x is negative. In float32 that is off by less than 2^-13;
    nearer to a whole number than `NEAR`, the product's lower 32 bits say on which side of it.
    """
    multiplier = _each([factor for factor, _ in factors])
    right = -_each([shift for _, shift in factors])
    if right.min() < 2 or right.max() > LONGEST:
        return multiply(x, factors)
    scale = np.ldexp(multiplier.astype(np.float64), -31 - right).astype(np.float32)
    tip = np.ldexp(0.5, -right).astype(np.float32)
    near = x.astype(jnp.float32) * scale + jnp.where(x < 0, 0.5 - tip, 0.5 + tip)
    edge = jnp.round(near)
    past = near - edge
    rest = x * multiplier + jnp.where(x < 0, np.int32(-(1 << 30)), np.int32(1 << 30))
    below = jnp.where(jnp.abs(past) < NEAR, rest < 0, past < 0)
    return edge.astype(jnp.int32) - below.astype(jnp.int32)


def _of_byte(x: Array, factor: tuple[int, int]) -> Array:
    """`multiply` of x 2^20 for x of 9 bits: the products of its multiplier's halves fit 32 bits."""
    multiplier, shift = factor
    if shift > 0:
        return multiply(x << scales.ADD_SHIFT, [factor])
    high, low = multiplier >> 16, multiplier & 0xFFFF
    return _divide((x * high << 5) + ((x * low + (1 << 10)) >> 11), _each([-shift]))


def _divide(x: Array, places: np.ndarray) -> Array:
    """x / 2^places, halves away from 0."""
    if not places.any():
        return x
    mask = ((np.int64(1) << places) - 1).astype(np.int32)
    up = (x & mask) > (mask >> 1) + (x < 0)
    return (x >> places) + up.astype(jnp.int32)


def _each(values: Sequence[int]) -> np.ndarray:
    array = np.asarray(values, np.int32)
    return array.reshape(()) if array.size == 1 else array


def of_product(layer: Layer, sums: Array, kernel_scale: np.ndarray, code: Code, out: Code) -> Array:
    """A layer's sums (its bias among them) at the codes' scale, with their zero point."""
    if layer.kind == "dense" and kernel_scale.size == 1:
        factors = [scales.of_dense(code.step, float(kernel_scale.ravel()[0]), out.step)]
    else:
        factors = scales.of_convolution(code.step, kernel_scale.ravel(), out.step)
    return narrow(sums, factors) + out.zero


def of_others(call: Call, codes: Sequence[Code], out: Code) -> Array:
    """A layer of `KINDS` on its inputs' codes (``call.inputs``): int32, not yet cut off."""
    kind = call.layer.kind
    if "pool" in kind:
        return _average(call)
    wide = [x.astype(jnp.int32) - code.zero for x, code in zip(call.inputs, codes, strict=True)]
    if kind == "quantize":
        return narrow(wide[0], [scales.of_ratio(codes[0].step, out.step)]) + out.zero
    first, second = ranked(wide)
    steps = (codes[0].step, codes[1].step, out.step)
    if kind == "mul":
        return narrow(first * second, [scales.of_product(*steps)]) + out.zero
    *each, last = scales.of_sum(*steps)
    a, b = (_of_byte(x, factor) for x, factor in zip((first, second), each, strict=True))
    return narrow(a + b if kind == "add" else a - b, [last]) + out.zero


def _average(call: Call) -> Array:
    """The mean of codes, halves away from 0; what is padded does not count."""
    x, rank = call.x.astype(jnp.int32), window_rank(call.layer)
    size = each_axis(call.get("pool_size", 2), rank)
    strides = each_axis(call.get("strides") or size, rank)
    padding = padding_of(mode(call.layer), x.shape[1:-1], size, strides)
    sums = lax.reduce_window(
        x, np.int32(0), lax.add, (1, *size, 1), (1, *strides, 1), [(0, 0), *padding, (0, 0)]
    )
    count = present(x.shape[1:-1], size, strides, padding).astype(np.int32)
    half = jnp.where(sums > 0, count // 2, -(count // 2))
    return lax.div(sums + half, jnp.broadcast_to(count, sums.shape))
