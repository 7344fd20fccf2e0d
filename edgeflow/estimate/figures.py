"""Arithmetic of figures with bands: what every estimate of power and energy is made of.

Standard library alone.
"""

from __future__ import annotations

import math

from edgeflow.estimate.quantity import Estimate, unknown
from edgeflow.targets import Figure, Target

Band = tuple[float, float, float]
"""Value, low, high."""


def band(known: Estimate) -> Band:
    """Value, low and high of an estimate that has them."""
    assert known.value is not None
    assert known.low is not None
    assert known.high is not None
    return known.value, known.low, known.high


def times(one: Estimate, other: Estimate, unit: str, source: str) -> Estimate:
    """The product of two independent figures; their bands combine in quadrature (of logarithms).

    Unknown where a factor is. The method is the weaker of the two.
    """
    for part in (one, other):
        if part.value is None:
            return unknown(unit, part.reason or "a factor is not known", source=source)
    a, b = band(one), band(other)
    value = a[0] * b[0]
    if min(*a, *b) > 0:
        low = value / math.exp(math.hypot(math.log(a[0] / a[1]), math.log(b[0] / b[1])))
        high = value * math.exp(math.hypot(math.log(a[2] / a[0]), math.log(b[2] / b[0])))
    else:
        low, high = a[1] * b[1], a[2] * b[2]
    method = one.method if one.method == other.method else "model"
    return Estimate(value, min(low, value), max(high, value), unit, method, source)


def scaled(known: Estimate, factor: float, unit: str, source: str) -> Estimate:
    """An estimate times an exact number above 0."""
    if known.value is None:
        return unknown(unit, known.reason or "not known", source=source)
    value, low, high = (part * factor for part in band(known))
    return Estimate(value, low, high, unit, known.method, source)


def figure_band(figure: Figure, factor: float) -> tuple[float, float]:
    """A published figure's band, at least ``factor`` up and down."""
    low = figure.value if figure.low is None else figure.low
    high = figure.value if figure.high is None else figure.high
    return min(low, figure.value / factor), max(high, figure.value * factor)


def figure_estimate(
    target: Target, name: str, unit: str = "W", factor: float = 1.0, section: str = "power"
) -> Estimate:
    """A target's published figure as an Estimate; its band is at least ``factor`` up and down."""
    figure = target.figure(section, name)
    if figure is None:
        return unknown(unit, target.why_unknown(section, name))
    low, high = figure_band(figure, factor)
    return Estimate(figure.value, low, high, unit, "model", target.source_of(figure))


def energies(board: Estimate, chip: Estimate, time: Estimate, label: str) -> dict[str, Estimate]:
    """Power of board and chip, and their energies over a time."""
    return {
        "power": board,
        "energy_per_inference": times(
            board, time, "J", f"board power x {label}; power: {board.source}"
        ),
        "chip_power": chip,
        "chip_energy_per_inference": times(
            chip, time, "J", f"chip power x {label}; power: {chip.source}"
        ),
    }
