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

ENUMERATED = 1 << 17
"""Values of x that are tried at most."""
FLOAT_ERROR = 3e-7
"""A float32 result's relative error after a product and a sum."""
PLAIN_BITS = 14
"""Significant bits of a factor where no quantiser says what suffices."""


@dataclass(frozen=True)
class Steps:
    """What an output is rounded to: levels `low` to `high` (numbers), `step` apart, nearest."""

    low: float
    high: float
    step: float


@dataclass(frozen=True)
class Fit:
    """A shorter factor and offset; ``exact``: the same level as the model for every x."""

    factor: float
    offset: float
    exact: bool


def fit(
    factor: float, offset: float, low: float, high: float, grid: float, steps: Steps | None
) -> Fit:
    """The shortest factor and offset for x in [low, high], multiples of `grid`.

    ``steps``: what rounds the result, None where nothing does; then a factor of up to
    `PLAIN_BITS` bits stays as it is, and a longer one is rounded to as many.
    """
    if factor == 0:
        return Fit(0.0, _short(offset, PLAIN_BITS), _is_short(offset))
    count = round((high - low) / grid) + 1
    if steps is None or count > ENUMERATED:
        return _plain(factor, offset, grid)
    x = low + grid * np.arange(count)
    y = factor * x + offset
    # From one level to the next at the middle; a value just there may fall either way in float32.
    level = np.clip(np.rint(y / steps.step) * steps.step, steps.low, steps.high)
    below = np.where(level <= steps.low, -np.inf, level - steps.step / 2)
    above = np.where(level >= steps.high, np.inf, level + steps.step / 2)
    reach = FLOAT_ERROR * (np.abs(factor * x) + abs(offset) + steps.step)
    certain = bool(np.all((y - below > reach) & (above - y > reach)))
    exponent = math.floor(math.log2(abs(factor)))
    for bits in range(1, 25):
        unit = 2.0 ** (exponent + 1 - bits)
        for digits in {math.floor(factor / unit), math.ceil(factor / unit)} - {0}:
            short = digits * unit
            room = float(np.max(below - short * x)), float(np.min(above - short * x))
            if room[0] < room[1]:
                return Fit(short, between(*room), certain)
    return _plain(factor, offset, grid)


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


def _plain(factor: float, offset: float, grid: float) -> Fit:
    short = _short(factor, PLAIN_BITS)
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
