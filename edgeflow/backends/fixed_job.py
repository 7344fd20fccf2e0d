"""Fixed-point types, as Xilinx's ``ap_fixed``: which values they hold, which type holds a value.

A type of width W and I integer bits (the sign counted, as in ``ap_fixed<W, I>``) holds
q * 2**(I - W) for the integers q of W bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgeflow.network import Quantizer

Array = np.ndarray[Any, Any]

MODES = {
    "SAT": "AP_SAT",
    "SAT_SYM": "AP_SAT_SYM",
    "WRAP": "AP_WRAP",
    "RND": "AP_RND",
    "RND_CONV": "AP_RND_CONV",
    "RND_ZERO": "AP_RND_ZERO",
    "RND_INF": "AP_RND_INF",
    "TRN": "AP_TRN",
    "TRN_ZERO": "AP_TRN_ZERO",
    "FLOOR": "AP_TRN",
    "ROUND": "AP_RND_CONV",
    "HALF_EVEN": "AP_RND_CONV",
}
"""ap_fixed's modes by the Network's names of them (HGQ2 writes S_ before a stochastic one)."""


def mode(name: str | None, default: str) -> str:
    """ap_fixed's mode for the Network's; the default where it is not said."""
    return default if name is None else MODES.get(name.upper().removeprefix("S_"), default)


@dataclass(frozen=True)
class Fixed:
    """``ap_[u]fixed<width, integer, rounding, overflow>``."""

    width: int
    integer: int
    signed: bool = True
    rounding: str = "AP_TRN"
    overflow: str = "AP_WRAP"

    @property
    def fraction(self) -> int:
        """Bits after the point."""
        return self.width - self.integer

    @property
    def lsb(self) -> float:
        """Distance of neighbouring values."""
        return 2.0**-self.fraction

    @property
    def high(self) -> float:
        """Largest value."""
        return (2.0 ** (self.width - self.signed) - 1) * self.lsb

    @property
    def low(self) -> float:
        """Smallest value."""
        if not self.signed:
            return 0.0
        reach = 2.0 ** (self.width - 1)
        return -(reach - (self.overflow == "AP_SAT_SYM")) * self.lsb

    def __str__(self) -> str:
        kind = "ap_fixed" if self.signed else "ap_ufixed"
        modes = ""
        if (self.rounding, self.overflow) != ("AP_TRN", "AP_WRAP"):
            modes = f",{self.rounding},{self.overflow},0"
        return f"{kind}<{self.width},{self.integer}{modes}>"

    def rounded(self) -> Fixed:
        """The same type, which rounds to nearest and saturates."""
        return replace(self, rounding="AP_RND_CONV", overflow="AP_SAT")

    def plain(self) -> Fixed:
        """The same type, which truncates and wraps: right where every value fits, and free."""
        return replace(self, rounding="AP_TRN", overflow="AP_WRAP")


def spanning(low: float, high: float, fraction: int) -> Fixed:
    """The narrowest type with `fraction` bits after the point that holds [low, high]."""
    signed = low < 0
    steps = max(math.floor(high * 2.0**fraction + 0.5), 0)
    bits = max(steps.bit_length(), 0)
    if signed:
        below = max(math.ceil(-low * 2.0**fraction - 0.5), 1)
        bits = max(bits, (below - 1).bit_length()) + 1
    width = max(bits, 1)
    return Fixed(width, width - fraction, signed)


def fitting(low: float, high: float, width: int) -> Fixed:
    """The finest type of `width` bits that holds [low, high]; it rounds and saturates."""
    signed = low < 0
    reach = max(abs(low), abs(high), 2.0**-width)
    integer = math.floor(math.log2(reach)) + 1 + signed
    if reach == 2.0 ** math.floor(math.log2(reach)) and high < reach:
        integer -= 1  # the most negative value is a power of two
    return Fixed(width, integer, signed).rounded()


def fraction_of(values: Array, limit: int) -> int | None:
    """Bits after the point that hold every value exactly; None where more than `limit`.

    Negative where all are multiples of a power of two above 1.
    """
    finite = np.asarray(values, dtype=np.float64).ravel()
    finite = finite[finite != 0]
    if not finite.size:
        return 0
    mantissa, exponent = np.frexp(finite)
    whole = (mantissa * 2.0**53).astype(np.int64)
    trailing = np.log2((whole & -whole).astype(np.float64)).astype(int)
    needed = int((53 - trailing - exponent).max())
    return needed if needed <= limit else None


def exact(values: Array, width: int) -> Fixed | None:
    """The narrowest type that holds every value exactly; None where it takes more than `width`."""
    array = np.asarray(values, dtype=np.float64)
    fraction = fraction_of(array, 64)
    if fraction is None:
        return None
    found = spanning(float(array.min(initial=0)), float(array.max(initial=0)), fraction)
    return found if found.width <= width else None


def of_values(values: Array, width: int) -> Fixed:
    """The type of an array of weights: exact where `width` bits allow, else the finest of them."""
    found = exact(values, width)
    if found is not None:
        return found
    return fitting(float(np.min(values)), float(np.max(values)), width)


def of_quantizer(quantizer: Quantizer | None) -> Fixed | None:
    """The type that rounds as the quantiser does; None where no fixed-point type does."""
    if quantizer is None or quantizer.bits != int(quantizer.bits):
        return None
    overflow = mode(quantizer.overflow, "AP_SAT")
    if quantizer.narrow and quantizer.signed and overflow == "AP_SAT":
        overflow = "AP_SAT_SYM"
    rounding = mode(quantizer.rounding, "AP_RND_CONV")
    bits = int(quantizer.bits)
    if quantizer.kind == "fixed" and quantizer.integer is not None:
        integer = quantizer.integer + quantizer.signed
        if integer != int(integer) or (quantizer.scale and set(quantizer.scale) != {1.0}):
            return None
        return Fixed(bits, int(integer), quantizer.signed, rounding, overflow)
    if quantizer.kind == "affine" and quantizer.scale and not any(quantizer.zero_point or (0,)):
        scale = quantizer.scale[0]
        exponent = math.log2(scale) if scale > 0 else 0.5
        if len(set(quantizer.scale)) == 1 and exponent == int(exponent):
            return Fixed(bits, bits + int(exponent), quantizer.signed, rounding, overflow)
    return None


def parse(text: str) -> Fixed:
    """Read ``ap_fixed<16,6>``, ``ufixed<8,0,RND,SAT>``, ``ap_int<8>``."""
    head, _, rest = text.replace(" ", "").partition("<")
    fields = rest.rstrip(">").split(",")
    signed = not head.removeprefix("ap_").startswith("u")
    if head.endswith("int"):
        return Fixed(int(fields[0]), int(fields[0]), signed)
    modes = [
        mode if mode.startswith("AP_") else f"AP_{mode}"
        for mode in (field.upper() for field in fields[2:4])
    ]
    return Fixed(int(fields[0]), int(fields[1]), signed, *modes)


ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "AP_TRN": np.floor,
    "AP_TRN_ZERO": np.trunc,
    "AP_RND": lambda steps: np.floor(steps + 0.5),
    "AP_RND_CONV": np.rint,
    "AP_RND_INF": lambda steps: np.copysign(np.floor(np.abs(steps) + 0.5), steps),
    "AP_RND_ZERO": lambda steps: np.copysign(np.ceil(np.abs(steps) - 0.5), steps),
    "AP_RND_MIN_INF": lambda steps: np.ceil(steps - 0.5),
}
"""ap_fixed's modes of rounding."""


def held(values: Array, kind: Fixed) -> Array:
    """The values as ``ap_fixed`` takes them, by the type's own modes of rounding and overflow."""
    steps = ROUNDINGS[kind.rounding](np.asarray(values, dtype=np.float64) * 2.0**kind.fraction)
    top, bottom = round(kind.high / kind.lsb), round(kind.low / kind.lsb)
    if kind.overflow in ("AP_SAT", "AP_SAT_SYM"):
        return np.asarray(np.clip(steps, bottom, top) * kind.lsb)
    if kind.overflow == "AP_SAT_ZERO":
        return np.asarray(np.where((steps < bottom) | (steps > top), 0.0, steps) * kind.lsb)
    beyond = (steps < bottom) | (steps > top)
    if beyond.any():
        steps = np.where(beyond, np.mod(steps - bottom, 2.0**kind.width) + bottom, steps)
    return np.asarray(steps * kind.lsb)


def rounded_to(values: Array, kind: Fixed) -> Array:
    """The values as the type holds them, ties to even, saturated."""
    steps = np.rint(np.asarray(values, dtype=np.float64) * 2.0**kind.fraction)
    return np.asarray(np.clip(steps * kind.lsb, kind.low, kind.high))
