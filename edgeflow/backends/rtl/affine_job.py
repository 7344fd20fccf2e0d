"""factor * x + offset in few adders: batch norms, and scales that are no powers of two.

Float factors have 24 bits, far more than what comes of them shows: behind a quantiser, only the
steps between its levels count. x itself is one of a few thousand fixed-point numbers, so a shorter
factor and offset can be tried on all of them: taken are the first that give the same level for
every x. That is exact, by enumeration.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeflow.backends.fixed_job import fraction_of

Array = np.ndarray[Any, Any]

ENUMERATED = 1 << 20
"""Values of x that are tried at most."""
FLOAT_ERROR = 3e-7
"""A float32 result's relative error after a product and a sum."""
PLAIN_BITS = 14
"""Significant bits of a factor where no quantiser says what suffices."""
PRODUCT_BITS = 31
"""Of its product with a wide x, for which the factor gets fewer bits (`trace_job.WIDEST`)."""
LEAST_BITS = 8


@dataclass(frozen=True)
class Steps:
    """What an output is rounded to: levels `low` to `high` (numbers), `step` apart, nearest."""

    low: float
    high: float
    step: float

    def bounds(self, y: Array) -> tuple[Array, Array]:
        """Between which numbers each y may move and keep its level (at the middle of two)."""
        level = np.clip(np.rint(y / self.step) * self.step, self.low, self.high)
        below = np.where(level <= self.low, -np.inf, level - self.step / 2)
        above = np.where(level >= self.high, np.inf, level + self.step / 2)
        return below, above


@dataclass(frozen=True)
class Sign:
    """A binary quantiser reads the output; ``up``: what it makes of 0 is the upper value."""

    up: bool
    step: float = 0.0

    def bounds(self, y: Array) -> tuple[Array, Array]:
        """Between which numbers each y may move and keep its sign."""
        upper = y >= 0 if self.up else y > 0
        return np.where(upper, 0.0, -np.inf), np.where(upper, np.inf, 0.0)


@dataclass(frozen=True)
class Fit:
    """A shorter factor and offset; ``exact``: the same level as the model for every x."""

    factor: float
    offset: float
    exact: bool


def fit(
    factor: float, offset: float, low: float, high: float, grid: float, steps: Steps | Sign | None
) -> Fit:
    """The shortest factor and offset for x in [low, high], multiples of `grid`.

    ``steps``: what rounds the result, None where nothing does; then a factor of up to
    `PLAIN_BITS` bits stays as it is, and a longer one is rounded to as many.
    """
    if factor == 0:
        return Fit(0.0, _short(offset, PLAIN_BITS), _is_short(offset))
    count = round((high - low) / grid) + 1
    room = PRODUCT_BITS - math.ceil(math.log2(count))
    plain = _plain(factor, offset, grid, max(min(PLAIN_BITS, room), LEAST_BITS))
    if steps is None or count > ENUMERATED:
        return plain
    x = low + grid * np.arange(count)
    y = factor * x + offset
    # A value just on a bound may fall to either side of it in float32.
    below, above = steps.bounds(y)
    reach = FLOAT_ERROR * (np.abs(factor * x) + abs(offset) + steps.step)
    certain = bool(np.all((y - below > reach) & (above - y > reach)))
    exponent = math.floor(math.log2(abs(factor)))
    for bits in range(1, 25):
        unit = 2.0 ** (exponent + 1 - bits)
        for digits in {math.floor(factor / unit), math.ceil(factor / unit)} - {0}:
            short = digits * unit
            ends = float(np.max(below - short * x)), float(np.min(above - short * x))
            if ends[0] < ends[1]:
                return Fit(short, between(*ends), certain)
    return plain


def between(low: float, high: float) -> float:
    """The number of the fewest bits after the point strictly between two others."""
    if math.isinf(low) and math.isinf(high):
        return 0.0
    if math.isinf(low) or math.isinf(high):
        return float(math.floor(high) - 1 if math.isinf(low) else math.ceil(low) + 1)
    for fraction in range(-20, 60):
        unit = 2.0**-fraction
        found = (math.floor(low / unit) + 1) * unit
        if found < high:
            return found
    return (low + high) / 2


def _plain(factor: float, offset: float, grid: float, bits: int) -> Fit:
    short = _short(factor, bits)
    fine = (fraction_of(np.array([short]), 60) or 0) + round(-math.log2(grid))
    place = 2.0 ** max(fine, 0)
    moved = round(offset * place) / place
    return Fit(short, moved, short == factor and moved == offset)


def _short(value: float, bits: int) -> float:
    if value == 0:
        return 0.0
    unit = 2.0 ** (math.floor(math.log2(abs(value))) + 1 - bits)
    return round(value / unit) * unit


def _is_short(value: float) -> bool:
    return _short(value, PLAIN_BITS) == value
