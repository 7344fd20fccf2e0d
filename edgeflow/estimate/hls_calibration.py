"""How the constants and bands of `edgeflow.estimate.hls_latency` come from HLS reports.

`benchmarks/calibrate_hls.py` runs it on the ground truth under ``$EDGEFLOW_DATA``: real
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

from edgeflow.estimate import conformal, hls_schedule
from edgeflow.estimate.hls_designs import Design, designs
from edgeflow.estimate.hls_latency import OFFSET

FORMAT: Final = "edgeflow.hls_latency/1"
DENSE: Final = "dense_"
"""Before the regime of a dense layer alone: its bands are its own, its constants are not."""

THINNED: Final = 8
"""Of the 566 dense layers with reuse, all alike, one in so many takes part in a fit."""

Kept = Callable[[Design], bool]
SETS: Final[Sequence[tuple[str, str, Kept]]] = (
    (
        "single dense layers; a sixth of the shapes left out",
        "median 5 %, 97 % within 2x",
        lambda design: design.group.startswith("dense"),
    ),
    (
        "projects; their owner left out",
        "median 25 %, 90 % within 2x",
        lambda design: not design.group.startswith(("dense", "hls4ml test")),
    ),
    (
        "hls4ml's tests of one layer; their kind left out",
        "",
        lambda design: design.group.startswith("hls4ml test"),
    ),
)
LIMITS: Final = (
    "With the latency strategy and R > 1 the tool shares as many multipliers as it likes.",
    "28 nm logic is slower by a factor from HLS' own delays of adders; a position's cycles in an "
    "unrolled streamed convolution rest on one project for each tool.",
    "One project of streamed dense layers reports fewer cycles than its reuse factors' sum, one "
    "YOLO twice the slowest layer's.",
    "The truth is an HLS report's cycles, not a board's; seconds assume that synthesis reaches "
    "the clock.",
)

START: Final[Mapping[str, float]] = {
    "mul_ns": 4.7,
    "add_ns": 1.6,
    "softmax_ns": 14.0,
    "table_ns": 10.0,
    "simple_ns": 0.5,
    "seven_series": 2.5,
    "reuse_cycles": 4.0,
    "stream_depth": 2.0,
    "stream_word_vivado": 1.0,
    "stream_word_vitis": 3.0,
    "link_cycles": 0.7,
    "stream_reuse_cycles": 12.0,
}
"""What each starts from, before the fit. Those of FIXED stay."""

FIXED: Final = frozenset({"simple_ns", "seven_series", "stream_word_vivado", "stream_word_vitis"})
"""``seven_series``: HLS gives an adder of 32 bits 2.55 ns there and 1.02 ns in UltraScale+.
``stream_word``: cycles that an unrolled convolution takes for a position; 1 in the tutorial's
CNN (Vivado 2020.1), 3 in seanlipps' (Vitis 2024.1): one project each."""


def error(truth: float, guess: float) -> float:
    """The factor between two numbers of cycles, up or down."""
    return conformal.ratio(truth, max(0.0, guess), OFFSET)


def _weights(found: Iterable[Design]) -> dict[tuple[str, str], float]:
    """Weight of a design by group and regime: groups count alike within a regime."""
    counts: dict[tuple[str, str], int] = {}
    for design in found:
        key = design.regime.removeprefix(DENSE), design.group
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
    reused = [design for design in found if design.regime == f"{DENSE}reused"]
    spared = {id(design) for at, design in enumerate(reused) if at % THINNED}
    found = [design for design in found if id(design) not in spared]
    weights = _weights(found)
    weighted = [
        (design, weights[design.regime.removeprefix(DENSE), design.group]) for design in found
    ]

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
    """A design of a group left out, and what was predicted for it."""

    design: Design
    latency: int
    interval: int


def leave_out(found: Sequence[Design]) -> list[Residual]:
    """Each design predicted with constants fitted without its group."""
    result = []
    for group in sorted({design.group for design in found}):
        constants = fit([design for design in found if design.group != group])
        for design in found:
            if design.group == group:
                latency, interval = design.predict(constants)
                result.append(Residual(design, round(latency), max(1, round(interval))))
    return result


Others = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Other ways' guesses: by way, design and quantity."""
_NONE: Final[Mapping[str, Any]] = {}


def judged(
    found: Sequence[Residual], title: str, goal: str = "", others: Others = _NONE
) -> list[dict[str, Any]]:
    """Rows of docs/accuracy.md: latency and interval of a set of designs."""

    def guesses(name: str) -> dict[str, Sequence[float | None]]:
        known: dict[str, Sequence[float | None]] = {
            way: [told.get(item.design.name, {}).get(name) for item in found]
            for way, told in others.items()
        }
        return {way: own for way, own in known.items() if any(one is not None for one in own)}

    return [
        conformal.accuracy(
            [getattr(item.design, name) for item in found],
            [getattr(item, name) for item in found],
            [_band_group(item.design) for item in found],
            quantity=quantity,
            designs=title,
            offset=OFFSET,
            goal=goal if name == "latency" else "",
            alternatives=guesses(name),
        )
        for name, quantity in (("latency", "HLS latency (cycles)"), ("interval", "HLS II (cycles)"))
    ]


def _band_group(design: Design) -> str:
    """What counts as one in a band: an owner, a layer test, a shape of dense layer."""
    return design.name.split(" ")[0] if design.group.startswith("dense") else design.group


def calibrate(data: Path, others: Others = _NONE) -> dict[str, Any]:
    """Constants, bands by regime, and what was seen on groups left out, beside ``others``."""
    found = designs(data)
    residuals = leave_out(found)
    bands = {}
    rows = []
    for regime in sorted({design.regime for design in found}):
        own = [item for item in residuals if item.design.regime == regime]
        latency, interval = judged(own, "")
        bands[regime] = {
            "kinds": sorted(
                {layer.kind for item in own for layer in item.design.network} & hls_schedule.COUNTED
            ),
            "latency": _band(latency),
            "ii": _band(interval),
        }
    for title, goal, kept in SETS:
        rows += judged([item for item in residuals if kept(item.design)], title, goal, others)
    return {
        "format": FORMAT,
        "constants": fit(found),
        "bands": bands,
        "accuracy": rows,
        "limits": list(LIMITS),
        "source": "HLS reports of public hls4ml projects, hls4ml's layer tests, wa-hls4ml",
    }


def _band(row: Mapping[str, Any]) -> dict[str, Any]:
    """What an estimate needs of a row."""
    return {
        "factor": row["band"],
        "worst_factor": row["worst_factor"],
        "groups": row["groups"],
        "rows": row["held_of"],
        "within": row["held"],
    }


def write(data: Path, path: Path, others: Others = _NONE) -> None:
    """Calibrate and write the coefficients' file."""
    path.write_text(json.dumps(calibrate(data, others), indent=1) + "\n")
