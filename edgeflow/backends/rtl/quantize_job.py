"""Rounding and saturation of da4ml's symbolic numbers, as the Network's quantisers do it.

da4ml rounds half up and saturates by comparing. Quantisers round half to even, and their limits
are powers of two: both are a few gates on the bits, and no further adder:

* half to even: add half a step and truncate; on a tie (all bits cut off are 0) clear the last
  bit that stays;
* saturation: the bits above the type's all equal its sign, or the value is replaced by a limit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from da4ml.trace import FixedVariableArray
from da4ml.trace.fixed_variable import FixedVariable

from edgeflow.backends.fixed_job import mode
from edgeflow.errors import UnsupportedError
from edgeflow.network import Quantizer

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Grid:
    """The types of a tensor's elements: arrays of its shape, or numbers.

    ``signed`` (0 or 1), ``integer`` (bits before the point, the sign not counted), ``fraction``;
    ``rounding`` and ``overflow`` as in `edgeflow.backends.fixed_job`; ``offset`` shifts the range
    that it saturates to (an affine quantiser's zero point), in steps.
    """

    signed: Array
    integer: Array
    fraction: Array
    rounding: str = "AP_RND_CONV"
    overflow: str = "AP_SAT"
    offset: Array | None = None

    def broadcast(self, shape: tuple[int, ...]) -> Grid:
        """The same with every array of that shape (a batch dimension of 1 is dropped)."""

        def spread(array: Array) -> Array:
            array = np.asarray(array)
            if array.ndim == len(shape) + 1 and array.shape[0] == 1:
                array = array[0]
            return np.broadcast_to(array, shape)

        return Grid(
            spread(self.signed), spread(self.integer), spread(self.fraction),
            self.rounding, self.overflow,
            None if self.offset is None else spread(self.offset),
        )  # fmt: skip

    @property
    def bits(self) -> Array:
        """Bits of each element."""
        found: Array = np.maximum(self.signed + self.integer + self.fraction, 0)
        return found


def grid_of(
    quantizer: Quantizer | None, by_element: Mapping[str, Array] | None = None, rank: int = 1
) -> Grid | None:
    """The types that a quantiser rounds to; None where it does not round to fixed point.

    ``by_element`` holds ``signed``, ``integer``, ``fraction`` where bits differ between elements.
    ``rank`` is the tensor's, for scales along an axis.
    """
    if quantizer is None:
        return None
    overflow = mode(quantizer.overflow, "AP_SAT")
    if quantizer.narrow and quantizer.signed and overflow == "AP_SAT":
        overflow = "AP_SAT_SYM"
    rounding = mode(quantizer.rounding, "AP_RND_CONV")
    if by_element:
        parts = [np.asarray(by_element[k], np.int64) for k in ("signed", "integer", "fraction")]
        return Grid(parts[0], parts[1], parts[2], rounding, overflow)
    if quantizer.bits != int(quantizer.bits):
        return None
    bits, signed = int(quantizer.bits), int(quantizer.signed)
    if quantizer.kind == "fixed" and quantizer.integer is not None:
        integer = int(quantizer.integer)
        if integer != quantizer.integer:
            return None
        return _uniform(signed, integer, bits - integer - signed, rounding, overflow)
    if quantizer.kind == "affine" and quantizer.scale:
        mantissa, exponent = np.frexp(np.asarray(quantizer.scale, np.float64))
        if not np.all(mantissa == 0.5):
            return None
        shape = [1] * rank
        if len(quantizer.scale) > 1:
            shape[-1 if quantizer.axis is None else quantizer.axis] = len(quantizer.scale)
        fraction = (1 - exponent).reshape(shape).astype(np.int64)
        zero = np.asarray(quantizer.zero_point or (0,), np.int64)
        offset = zero.reshape(shape if zero.size > 1 else [1] * rank) if np.any(zero) else None
        ones = np.ones_like(fraction)
        return Grid(signed * ones, bits - signed - fraction, fraction, rounding, overflow, offset)
    return None


def _uniform(signed: int, integer: int, fraction: int, rounding: str, overflow: str) -> Grid:
    return Grid(np.array(signed), np.array(integer), np.array(fraction), rounding, overflow)


def quantize(x: FixedVariableArray, grid: Grid) -> FixedVariableArray:
    """Every element rounded and saturated to its type."""
    spread = grid.broadcast(x.shape)
    offset = spread.offset if spread.offset is not None else np.zeros(x.shape, np.int64)
    parts = (spread.signed, spread.integer, spread.fraction, offset)
    made = [
        quantize_one(v, int(k), int(i), int(f), spread.rounding, spread.overflow, int(o))
        for v, k, i, f, o in zip(x._vars.ravel(), *(p.ravel() for p in parts), strict=True)
    ]
    return array_like(x, made, x.shape)


def round_values(values: Array, k: int, i: int, f: int, grid: Grid) -> Array:
    """Plain numbers rounded as `quantize_one` does it (saturating)."""
    if k + i + f <= 0:
        return np.zeros_like(values)
    step = 2.0**-f
    q = np.array([_round_value(float(value), step, grid.rounding) for value in values])
    low = -k * 2.0**i + (step if k and grid.overflow == "AP_SAT_SYM" else 0.0)
    return np.asarray(np.clip(q, low, 2.0**i - step))


def array_like(x: FixedVariableArray, variables: list[Any], shape: tuple[int, ...]) -> Any:
    """An array of these variables with the settings of another."""
    found = np.empty(len(variables), dtype=object)
    found[:] = variables
    return FixedVariableArray(found.reshape(shape), x.solver_options, hwconf=x.hwconf)


def quantize_one(
    v: FixedVariable, k: int, i: int, f: int, rounding: str, overflow: str, offset: int = 0
) -> FixedVariable:
    """One number rounded to `f` bits after the point and brought into the type's range."""
    if k + i + f <= 0:
        return FixedVariable.from_const(0.0, hwconf=v.hwconf)
    v = rounded(v, f, rounding)
    step = 2.0**-f
    low, high = -(2.0**i) * k, 2.0**i - step
    if overflow == "AP_WRAP":
        if v.low == v.high:
            value = (float(v.low) - low) % (2.0**i - low) + low
            return FixedVariable.from_const(value, hwconf=v.hwconf)
        if not k and v.low < 0:  # da4ml does not extend the sign of what it makes unsigned
            v = v + 2.0 ** max(i, math.ceil(math.log2(-float(v.low))))
        return v.quantize(k, i, f, "WRAP", "TRN")
    if overflow == "AP_SAT_SYM" and k:
        low = -high
    if offset:
        low, high = low - offset * step, high - offset * step
    return clamp(v, low, high)


def rounded(v: FixedVariable, f: int, how: str) -> FixedVariable:
    """The number with at most `f` bits after the point; ties as `how` says."""
    step = 2.0**-f
    if float(v.step) >= step:
        return v
    if v.low == v.high:
        return FixedVariable.from_const(_round_value(float(v.low), step, how), hwconf=v.hwconf)
    if how == "AP_TRN":
        return _truncated(v, f)
    if how in ("AP_RND", "AP_RND_CONV"):
        shifted = v + step / 2
        if how == "AP_RND":
            return _truncated(shifted, f)
        return _ties_to_even(shifted, f)
    if how in ("AP_TRN_ZERO", "AP_RND_INF", "AP_RND_ZERO"):
        return _by_sign(v, f, how)
    raise UnsupportedError(f"no hardware for the rounding '{how}'")


def _round_value(value: float, step: float, how: str) -> float:
    q = value / step
    found = {
        "AP_TRN": math.floor(q),
        "AP_RND": math.floor(q + 0.5),
        "AP_RND_CONV": round(q),
        "AP_TRN_ZERO": math.trunc(q),
        "AP_RND_INF": math.copysign(math.floor(abs(q) + 0.5), q),
        "AP_RND_ZERO": math.copysign(math.ceil(abs(q) - 0.5), q),
    }[how]
    return found * step


def _truncated(v: FixedVariable, f: int) -> FixedVariable:
    k, i, _ = v.kif
    return v.quantize(k, max(i, -f) if k else i, f, "WRAP", "TRN")  # the sign stays


def _ties_to_even(shifted: FixedVariable, f: int) -> FixedVariable:
    """`shifted` is the number and half a step."""
    _, _, fine = shifted.kif
    step = 2.0**-f
    cut = shifted.quantize(0, -f, fine, "WRAP", "TRN")  # the bits that go
    last = shifted.quantize(0, 1 - f, f, "WRAP", "TRN")  # the last one that stays
    rest = _truncated(shifted, f - 1)
    if last.low == last.high:
        return _truncated(shifted, f)
    kept = last & (cut.unary_bit_op("any") * step)
    ends = [float(end) - step / 2 for end in (shifted.low, shifted.high)]
    return within(rest | kept, *(_round_value(end, step, "AP_RND_CONV") for end in ends))


def _by_sign(v: FixedVariable, f: int, how: str) -> FixedVariable:
    """Roundings that treat negative numbers as the mirror of positive ones."""
    step, eps = 2.0**-f, float(v.step)
    if v.low >= 0:
        if how == "AP_TRN_ZERO":
            return _truncated(v, f)
        return _truncated(v + (step / 2 if how == "AP_RND_INF" else step / 2 - eps), f)
    negative = v.is_negative()
    # towards zero: a negative number gets all but one of the steps that are cut off
    extra = {"AP_TRN_ZERO": step - eps, "AP_RND_INF": -eps, "AP_RND_ZERO": eps}[how]
    base = {"AP_TRN_ZERO": 0.0, "AP_RND_INF": step / 2, "AP_RND_ZERO": step / 2 - eps}[how]
    return _truncated(v + base + negative * extra, f)


def within(v: FixedVariable, low: float, high: float) -> FixedVariable:
    """The same number, known to lie in [low, high]: fewer bits where the type was too wide."""
    if v.low >= low and v.high <= high:
        return v
    low, high = max(low, float(v.low)), min(high, float(v.high))
    _, _, f = v.kif
    k = int(low < 0)
    i = _integer_bits(low, high, 2.0**-f)
    narrowed = v.quantize(k, i, f, "WRAP", "TRN")
    if narrowed.opr == "const" or narrowed is v:
        return narrowed
    if low > float(narrowed.low) or high < float(narrowed.high):
        narrowed.low, narrowed.high = Decimal(low), Decimal(high)
    return narrowed


def _integer_bits(low: float, high: float, step: float) -> int:
    reach = max(-low, high + step)
    return math.ceil(math.log2(reach)) if reach > 0 else 0


def clamp(v: FixedVariable, low: float, high: float) -> FixedVariable:
    """min(max(v, low), high); few gates where the limits are those of a fixed-point type."""
    if v.low >= low and v.high <= high:
        return v
    if v.low == v.high or v.high <= low or v.low >= high:
        value = min(max(float(v.low), low), high)
        return FixedVariable.from_const(value, hwconf=v.hwconf)
    _, _, f = v.kif
    step = 2.0**-f
    top = high + step
    whole = math.log2(top) if top > 0 else 0.5
    if whole != int(whole) or low not in (0.0, -top, -high):
        return v.max_of(low).min_of(high)
    i = int(whole)
    if i + f <= 0:
        return v.max_of(low).min_of(high)
    return _to_unsigned(v, i, f) if low == 0 else _to_signed(v, i, f, low)


def _to_unsigned(v: FixedVariable, i: int, f: int) -> FixedVariable:
    high = 2.0**i - 2.0**-f
    v = v.relu() if v.low < 0 else v
    if v.high <= high:
        return v
    _, whole, _ = v.kif
    over = v.quantize(0, whole, -i, "WRAP", "TRN").unary_bit_op("any")
    kept = v.quantize(0, i, f, "WRAP", "TRN")
    return choose(over, FixedVariable.from_const(high, hwconf=v.hwconf), kept, (0.0, high, 2.0**-f))


def _to_signed(v: FixedVariable, i: int, f: int, low: float) -> FixedVariable:
    step = 2.0**-f
    high = 2.0**i - step
    k, whole, _ = v.kif
    symmetric = low == -high
    if whole <= i:  # only the least value of the type can be out of range
        return _no_least(v, i, f) if symmetric else v
    above = v.quantize(k, whole, -i, "WRAP", "TRN")
    kept = v.quantize(1, i, f, "WRAP", "TRN")
    if symmetric and v.low < 0:
        kept = _no_least(kept, i, f)
    qint = (max(low, float(v.low)), min(high, float(v.high)), step)
    if not k:
        kept = v.quantize(0, i, f, "WRAP", "TRN")
        return choose(
            above.unary_bit_op("any"), FixedVariable.from_const(high, hwconf=v.hwconf), kept, qint
        )
    over = above.unary_bit_op("any") & ~above.unary_bit_op("all")
    limit = v.msb_mux(low, high)
    return choose(over, limit, kept, qint)


def choose(
    bit: FixedVariable,
    one: FixedVariable,
    other: FixedVariable,
    qint: tuple[float, float, float] | None = None,
) -> FixedVariable:
    """`one` where the bit is set.

    A bit that is the highest of a wider number is inverted first: da4ml would test that number's
    highest bit, and its interpreter finds that of an unsigned one wrongly. It costs nothing.
    """
    if bit.opr == "const":
        return one if bit.low else other
    if bit.opr == "wrap":
        return (~bit).msb_mux(other, one, qint)
    return bit.msb_mux(one, other, qint)


def _no_least(v: FixedVariable, i: int, f: int) -> FixedVariable:
    """-2**i becomes the value above it: its last bit is set."""
    if float(v.low) > -(2.0**i):
        return v
    step = 2.0**-f
    least = v.is_negative() & ~v.quantize(0, i, f, "WRAP", "TRN").unary_bit_op("any")
    return within(v | (least * step), -(2.0**i) + step, float(v.high))
