"""Whether an hls4ml design fits a device, and the smallest change that makes it fit: reuse factors
with the resource strategy, or fewer bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edgeflow.estimate.quantity import Estimate

SHARE: Final = 0.8
"""How much of a device's LUTs a design may take before routing becomes hard: an assumption."""

Estimator = Callable[[Mapping[str, int]], Mapping[str, Estimate]]
"""Reuse factors by layer to ``lut``, ``ff``, ``dsp``, ``bram_18k``."""


@dataclass(frozen=True)
class Fit:
    """What overflows, and what to do about it.

    ``over``: by resource, estimate / capacity, those above 1; empty where the design fits.
    ``reuse_factors``, by layer, with ``strategy``: the smallest common step up that fits (by the
    estimates' middle). ``bits``: the widest weights and results that fit with the strategy and
    reuse factors asked for. None where nothing of the kind fits or is needed.
    """

    over: Mapping[str, float]
    reuse_factors: Mapping[str, int] | None
    strategy: str | None = None
    bits: int | None = None


def overflow(figures: Mapping[str, Estimate], capacity: Mapping[str, float]) -> dict[str, float]:
    """Resources that are estimated above what the device has (LUTs: above `SHARE` of it)."""
    found = {}
    for name, most in capacity.items():
        value = figures[name].value if name in figures else None
        room = most * (SHARE if name == "lut" else 1.0)
        if value is not None and value > room:
            found[name] = value / max(room, 1.0)
    return found


def fit(
    now: Mapping[str, Estimate],
    estimator: Estimator,
    allowed: Mapping[str, Sequence[int]],
    capacity: Mapping[str, float],
    narrower: Callable[[int], Mapping[str, Estimate]] | None = None,
    widest: int = 0,
) -> Fit:
    """The fastest of the resource strategy's designs that fits, where the one asked for does not.

    Args:
        now: the figures of the design as configured.
        estimator: figures of the resource strategy, by reuse factors.
        allowed: legal reuse factors by layer, ascending (`backends.hls4ml.reuse.factors`).
        capacity: of the device, by the estimates' names.
        narrower: figures of the design asked for with so many bits; None: not to be tried.
        widest: bits below which to try.
    """
    over = overflow(now, capacity)
    if not over:
        return Fit(over, None)
    bits = None
    if narrower is not None:
        bits = next(
            (b for b in range(widest - 1, 1, -1) if not overflow(narrower(b), capacity)), None
        )
    for step in sorted({factor for factors in allowed.values() for factor in factors}):
        trial = {
            name: next((f for f in factors if f >= step), factors[-1])
            for name, factors in allowed.items()
        }
        if not overflow(estimator(trial), capacity):
            return Fit(over, trial, "resource", bits)
    return Fit(over, None, None, bits)
