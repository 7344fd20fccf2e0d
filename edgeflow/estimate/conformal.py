"""Error bands that hold nine times in ten: conformal prediction over groups left out whole.

A residual is (group, factor): how far a truth was from its prediction, up or down, 1 being exact,
where the prediction came from other groups alone. Groups (a board, a repository, a shape of layer)
count alike, however many rows they have. Standard library alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

COVERAGE: Final = 0.9
FEW: Final = 1.25
"""With fewer than nine groups the conformal quantile lies beyond all of them: the groups' own
quantile, so many times. An assumption."""

LEAST: Final = 1.03
"""The narrowest band."""

Residuals = Sequence[tuple[str, float]]


def ratio(truth: float, guess: float, offset: float = 0.0) -> float:
    """The factor between two amounts, at least 1. `offset` is added to both, so that 0 against 1
    counts little.

    Raises:
        ValueError: an amount and its offset are not above 0.
    """
    a, b = truth + offset, guess + offset
    if a <= 0 or b <= 0:
        raise ValueError(f"expected amounts above 0, found {truth} and {guess} (offset {offset})")
    return max(a / b, b / a)


def factor(residuals: Residuals, coverage: float = COVERAGE) -> float:
    """The factor that holds a share `coverage` of the rows of a further group."""
    counts: dict[str, int] = {}
    for group, _ in residuals:
        counts[group] = counts.get(group, 0) + 1
    groups = len(counts)
    many = (groups + 1) * coverage <= groups
    needed, reached = (groups + many) * coverage, 0.0
    ordered = sorted((size, 1 / counts[group]) for group, size in residuals)
    for size, weight in ordered:
        reached += weight
        if reached >= needed - 1e-9:
            return max(size * (1 if many else FEW), LEAST)
    return max(ordered[-1][0], LEAST)


def held(residuals: Residuals, coverage: float = COVERAGE) -> tuple[int, int]:
    """Of how many rows a band that comes from the other groups alone held, and of how many."""
    within = rows = 0
    for group in {group for group, _ in residuals}:
        others = [item for item in residuals if item[0] != group]
        if not others:
            continue
        limit = factor(others, coverage)
        own = [size for name, size in residuals if name == group]
        rows += len(own)
        within += sum(size <= limit + 1e-9 for size in own)
    return within, rows


def accuracy(
    truths: Sequence[float],
    guesses: Sequence[float],
    groups: Sequence[str],
    *,
    quantity: str,
    designs: str,
    offset: float = 0.0,
    goal: str = "",
    alternatives: dict[str, Sequence[float | None]] | None = None,
) -> dict[str, Any]:
    """One row of docs/accuracy.md: errors on groups left out, and the band they give.

    Args:
        truths, guesses, groups: by row; each guess was made without its row's group.
        quantity: what it is (``MCU latency``), with its unit where it has one.
        designs: what it was judged on, and what was left out.
        offset: see `ratio`.
        goal: what was to be reached, in words; empty where nothing was set.
        alternatives: other ways' guesses for the same rows, by name; None where a way has none.
    """
    residuals = [
        (group, ratio(truth, max(0.0, guess), offset))
        for truth, guess, group in zip(truths, guesses, groups, strict=True)
    ]
    within, rows = held(residuals)
    found: dict[str, Any] = {
        "quantity": quantity,
        "designs": designs,
        "goal": goal,
        **_errors(truths, guesses, offset),
        "worst_factor": _rounded(max(size for _, size in residuals)),
        "band": math.ceil(factor(residuals) * 100) / 100,
        "groups": len(set(groups)),
        "held": within,
        "held_of": rows,
    }
    if alternatives:
        found["alternatives"] = {
            name: _errors(truths, guesses, offset) for name, guesses in alternatives.items()
        }
    return found


def _errors(
    truths: Sequence[float], guesses: Sequence[float | None], offset: float
) -> dict[str, Any]:
    """Median relative error of truths other than 0, and the share within 2x of all."""
    pairs = [
        (truth, guess) for truth, guess in zip(truths, guesses, strict=True) if guess is not None
    ]
    errors = sorted(abs(guess - truth) / truth for truth, guess in pairs if truth)
    within = [ratio(truth, max(0.0, guess), offset or 1e-30) <= 2 for truth, guess in pairs]
    return {
        "median_error": _rounded(errors[len(errors) // 2]) if errors else None,
        "within_2x": _rounded(sum(within) / len(within)) if within else None,
        "rows": len(pairs),
    }


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
