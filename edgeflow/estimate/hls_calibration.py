"""How the constants and bands of `edgeflow.estimate.hls_latency` come from HLS reports.

`benchmarks/calibrate_estimates.py` runs it on the ground truth under ``$EDGEFLOW_DATA``: real
hls4ml projects (as their firmware is configured), hls4ml's own layer tests, and single dense layers
(wa-hls4ml). A design's group is its repository's owner, its layer test, or a sixth of the dense
layers' shapes; groups count alike in a fit and in a band. Bands come from groups left out whole,
constants and all.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edgeflow.estimate import hls_schedule
from edgeflow.estimate.hls_designs import Design, designs
from edgeflow.estimate.hls_latency import OFFSET

FORMAT: Final = "edgeflow.hls_latency/1"
COVERAGE: Final = 0.9
FEW: Final = 1.25
"""Where a regime has too few groups for its 90 % quantile, the worst residual, times this. It
is the least factor, too: no regime has seen every kind of layer."""

START: Final[Mapping[str, float]] = {
    "mul_ns": 4.7,
    "add_ns": 1.6,
    "softmax_ns": 14.0,
    "table_ns": 10.0,
    "simple_ns": 0.5,
    "seven_series": 3.0,
    "reuse_cycles": 4.0,
    "stream_depth": 2.0,
    "stream_word": 1.73,
    "stream_reuse_cycles": 12.0,
    "shared_from_bits": 6.0,
}
"""What each starts from, before the fit. Those of FIXED stay."""

FIXED: Final = frozenset({"simple_ns", "shared_from_bits", "stream_word"})
"""``stream_word``: cycles that an unrolled convolution takes for a position; 1 in the tutorial's
CNN (Vivado 2020.1), 3 in seanlipps' (Vitis 2024.1), so their geometric mean."""


def error(truth: float, guess: float) -> float:
    """The factor between two numbers of cycles, up or down."""
    return math.exp(abs(math.log((truth + OFFSET) / (max(0.0, guess) + OFFSET))))


def _weights(found: Iterable[Design]) -> dict[tuple[str, str], float]:
    """Weight of a design by group and regime: groups count alike within a regime."""
    counts: dict[tuple[str, str], int] = {}
    for design in found:
        key = design.regime, design.group
        counts[key] = counts.get(key, 0) + 1
    groups: dict[str, int] = {}
    for group_regime, _ in counts:
        groups[group_regime] = groups.get(group_regime, 0) + 1
    return {key: 1 / (count * groups[key[0]]) for key, count in counts.items()}


def fit(found: Sequence[Design]) -> dict[str, float]:
    """The constants that make the mean log error of latency and interval least.

    Coordinate descent: each constant in turn is moved by a factor that shrinks. Regimes count
    alike, and groups within them.
    """
    weights = _weights(found)
    weighted = [(design, weights[design.regime, design.group]) for design in found]

    def loss(constants: Mapping[str, float]) -> float:
        total = 0.0
        for design, weight in weighted:
            latency, interval = design.predict(constants)
            total += weight * math.log(error(design.latency, latency))
            total += 0.3 * weight * math.log(error(design.interval, interval))
        return total

    best = dict(START)
    least = loss(best)
    step = 1.4
    while step > 1.04:
        moved = False
        for name in (name for name in START if name not in FIXED):
            for factor in (step, 1 / step):
                trial = {**best, name: best[name] * factor}
                # No constant strays beyond what is physical: three times from where it starts.
                if not 1 / 3 <= trial[name] / START[name] <= 3:
                    continue
                if (score := loss(trial)) < least - 1e-9:
                    best, least, moved = trial, score, True
        if not moved:
            step = math.sqrt(step)
    return {name: float(f"{value:.3g}") for name, value in best.items()}


@dataclass(frozen=True)
class Residual:
    """A design of a group left out, and its errors as factors (1 is none)."""

    design: Design
    latency: float
    interval: float


def leave_out(found: Sequence[Design]) -> list[Residual]:
    """Each design predicted with constants fitted without its group."""
    result = []
    for group in sorted({design.group for design in found}):
        constants = fit([design for design in found if design.group != group])
        for design in found:
            if design.group == group:
                latency, interval = design.predict(constants)
                result.append(
                    Residual(
                        design,
                        error(design.latency, round(latency)),
                        error(design.interval, max(1, round(interval))),
                    )
                )
    return result


def width(residuals: Sequence[Residual], size: Callable[[Residual], float]) -> float:
    """The factor that should hold nine designs in ten of a further group, groups counting alike.

    The quantile of conformal prediction, (groups + 1) x 0.9 of the groups; where there are too few
    groups for it, the worst that was seen, times FEW.
    """
    counts: dict[str, int] = {}
    for item in residuals:
        counts[item.design.group] = counts.get(item.design.group, 0) + 1
    groups = len(counts)
    needed = (groups + 1) * COVERAGE
    sizes = sorted((size(item), 1 / counts[item.design.group]) for item in residuals)
    reached = 0.0
    for value, weight in sizes:
        reached += weight
        if reached >= needed - 1e-9:
            return max(value, FEW)
    return sizes[-1][0] * FEW


def band(residuals: Sequence[Residual], size: Callable[[Residual], float]) -> dict[str, Any]:
    """The band of one regime, and how often it holds when it comes from the other groups alone."""
    groups = sorted({item.design.group for item in residuals})
    within = rows = 0
    for group in groups:
        others = [item for item in residuals if item.design.group != group]
        if not others:
            continue
        limit = width(others, size)
        tested = [item for item in residuals if item.design.group == group]
        rows += len(tested)
        within += sum(size(item) <= limit + 1e-9 for item in tested)
    by_group = sorted(sorted(size(i) for i in residuals if i.design.group == g) for g in groups)
    medians = sorted(sizes[len(sizes) // 2] for sizes in by_group)
    return {
        "factor": math.ceil(width(residuals, size) * 100) / 100,
        "median_factor": round(medians[len(medians) // 2], 2),
        "worst_factor": round(max(size(item) for item in residuals), 2),
        "groups": len(groups),
        "rows": rows,
        "within": within,
    }


def calibrate(data: Path) -> dict[str, Any]:
    """Constants, and bands by regime with what was seen on groups left out."""
    found = designs(data)
    residuals = leave_out(found)
    regimes = sorted({design.regime for design in found})
    return {
        "format": FORMAT,
        "constants": fit(found),
        "bands": {
            regime: {
                "kinds": sorted(
                    {layer.kind for d in found if d.regime == regime for layer in d.network}
                    & hls_schedule.COUNTED
                ),
                "latency": band(
                    [r for r in residuals if r.design.regime == regime], lambda r: r.latency
                ),
                "ii": band(
                    [r for r in residuals if r.design.regime == regime], lambda r: r.interval
                ),
            }
            for regime in regimes
        },
        "source": "HLS reports of public hls4ml projects, hls4ml's layer tests, wa-hls4ml",
    }


def write(data: Path, path: Path) -> None:
    """Calibrate and write the coefficients' file."""
    path.write_text(json.dumps(calibrate(data), indent=1) + "\n")
