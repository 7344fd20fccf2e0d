"""Constants of a physical model, found by coordinate descent on mean absolute log errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

BOUND: Final = 10.0
"""No constant leaves so many times its start."""


def fit(
    start: Mapping[str, float],
    loss: Callable[[Mapping[str, float]], float],
    *,
    rounds: int = 8,
    drift: float = 1e-3,
) -> dict[str, float]:
    """The constants of least loss near a start.

    Args:
        start: each constant's first value, above 0; where no measurement speaks it stays near.
        loss: to be made small; it is given all constants.
        rounds: of all constants; the steps are factors that shrink from 1.65 with each round.
        drift: loss of a constant that is e times (or a part of e of) its start.
    """

    def whole(tried: Mapping[str, float]) -> float:
        return loss(tried) + drift * sum(math.log(tried[n] / start[n]) ** 2 for n in start)

    best = dict(start)
    reached = whole(best)
    step = 0.5
    for _ in range(rounds):
        for name in start:
            for sign in (1, -1):
                while True:
                    tried = {**best, name: best[name] * math.exp(sign * step)}
                    if not start[name] / BOUND <= tried[name] <= start[name] * BOUND:
                        break
                    found = whole(tried)
                    if found >= reached - 1e-9:
                        break
                    best, reached = tried, found
        step *= 0.6
    return best


def mean_log_error(
    guesses: Sequence[float], truths: Sequence[float], groups: Sequence[str]
) -> float:
    """The mean of ``|log(guess / truth)|``; a group of n rows weighs as the root of n."""
    counts: dict[str, int] = {}
    for group in groups:
        counts[group] = counts.get(group, 0) + 1
    return sum(
        abs(math.log(guess / truth)) / (len(counts) * math.sqrt(counts[group]))
        for guess, truth, group in zip(guesses, truths, groups, strict=True)
    )
