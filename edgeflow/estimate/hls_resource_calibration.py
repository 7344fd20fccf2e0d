"""How the constants and bands of `edgeflow.estimate.hls_resources` come from HLS reports.

`benchmarks/calibrate_hls.py` runs it on the ground truth under ``$EDGEFLOW_DATA``. Two steps:

1. The terms of a matrix product, from single dense layers (wa-hls4ml, whose weights are known):
   least squares of the relative error, constants not below 0, one regime at a time.
2. What those layers do not have (functions, pooling, streams, deep pipelines, narrow products),
   from real projects and hls4ml's own tests: coordinate descent on the mean log error, groups
   alike, each constant within ten times of where it starts.

What is left out are the constants. The terms themselves, their thresholds (`hls_features`), how
types are read from the firmware, and the rule for bands of few groups were chosen by looking at all
designs, over about six rounds: errors on designs of a new origin will be larger than the record's.

Bands are conformal, from groups left out whole (a sixth of the shapes; a repository; a test).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from edgeflow.estimate import conformal, hls_logic
from edgeflow.estimate.hls_resource_designs import (
    SEVEN_SERIES_SLOWER,
    Sample,
    dense,
    projects,
    tests,
)
from edgeflow.estimate.hls_resources import OFFSET, UNITS, total
from edgeflow.estimate.hls_schedule import COUNTED

FORMAT: Final = "edgeflow.hls_resources/1"
TITLES: Final = {
    "dense_reused": "single dense layers, resource strategy, R > 1; their shape left out",
    "dense_unrolled": "single dense layers, a circuit per product; their shape left out",
    "dense_expected": "single dense layers, a circuit per product, from bits and zeros alone",
    "parallel": "projects, io_parallel; their owner left out",
    "stream": "projects, io_stream; their owner left out",
    "dense": "single dense layers, all; their shape left out",
    "project": "projects, all; their owner left out",
    "test": "hls4ml's tests of one layer; their kind left out",
}
GOALS: Final[Mapping[str, Mapping[str, str]]] = {
    "dense": {
        "lut": "median 12 %, 99 % within 2x",
        "ff": "median 15 %, 97 % within 2x",
        "dsp": "median 10 %, 97 % within 2x",
    },
    "project": dict.fromkeys(UNITS, "median 25 %, 90 % within 2x"),
}
"""What was to be reached."""

WHOLES: Final = {
    "dense": ("dense_reused", "dense_unrolled"),
    "project": ("parallel", "stream"),
}
"""Classes that are judged together, too: the goals are theirs."""

LIMITS: Final = (
    "HLS synthesis' own counts are the truth here: it counts LUTs before logic optimisation.",
    "Only constants were left out with a group: the terms were chosen by looking at all these "
    "designs, so designs of a new origin will do worse.",
    "The projects' weights are not in their reports: the digits of constants are expected from "
    "types and counts of zeros. Their weights would help most.",
    "Two projects of one owner, of HGQ's weights of 1 to 16 bits, are 5 to 7 times smaller in LUTs "
    "than their types let expect; their mean bits would help.",
    "KEB-L's CNNs give factors from HLS to logic synthesis alone: their layers are not told.",
    "rule4ml takes no layer of ours that its parser does not know (31 of 38 projects), and was "
    "made for whole networks: single layers are outside of what it learned.",
    "ff_deep and lut_soft_products are set by physics, not fitted, seeing these designs.",
    "Intel's oneAPI reports (20 layer tests) count ALMs, for which there is no model.",
    "One owner's projects bind multiplications to DSPs or to logic; their names alone say so.",
)

START: Final[Mapping[str, float]] = {
    "lut_compare": 2.3,
    "lut_max": 2.3,
    "lut_sum": 1.4,
    "lut_table": 8.0,
    "lut_softmax": 500.0,
    "lut_softmax_class": 200.0,
    "lut_stage": 60.0,
    "lut_fifo_vivado": 56.0,
    "lut_fifo_vitis": 17.0,
    "lut_line": 1.0,
    "lut_soft_shared": 0.58,
    "lut_divider": 29.0,
    "ff_softmax": 300.0,
    "ff_softmax_class": 60.0,
    "ff_stage": 60.0,
    "ff_fifo_vivado": 5.0,
    "ff_fifo_vitis": 2.0,
    "ff_window": 1.0,
    "ff_deep_shared": 0.3,
    "ff_deep_reused": 0.05,
    "ff_table": 1.5,
    "lut_gate": 3.5,
    "ff_gate": 1.0,
    "ff_pool": 1.0,
    "ff_scale": 1.0,
    "ff_divider": 45.0,
    "ff_channel": 1.0,
}
"""What the constants of the second step start from: hls4ml's own tests of one layer."""

FIXED: Final[Mapping[str, float]] = {"lut_soft_products": 0.6, "ff_wires": 1.0, "ff_deep": 1.0}
"""Constants that are not fitted: an array multiplier takes a LUT for about two products of bits."""

DEEP: Final = ("deep", "deep_shared", "deep_reused", "wires")
"""Terms of deep pipelines, which single dense layers do not have."""

RANGE: Final = 10.0

Constants = dict[str, dict[str, float]]
_NONE: Final[Mapping[str, Any]] = {}


def error(name: str, truth: float, guess: float) -> float:
    """The factor between two counts, up or down."""
    return conformal.ratio(truth, max(0.0, guess), OFFSET[name])


def matrix_terms(found: Sequence[Sample]) -> Constants:
    """The first step: constants by regime of a dense layer."""
    result: Constants = {}
    for regime in sorted({sample.blocks[0].regime for sample in found}):
        own = [sample for sample in found if sample.blocks[0].regime == regime]
        terms: dict[str, float] = {}
        for name in ("lut", "ff"):
            rows = [getattr(sample.blocks[0], name) for sample in own]
            used = {key for row in rows for key, value in row.items() if value}
            keys = sorted(used - set(DEEP))
            table = [[row.get(key, 0.0) for key in keys] for row in rows]
            values = _least_squares(table, [sample.truth[name] for sample in own])
            terms |= {f"{name}_{key}": value for key, value in zip(keys, values, strict=True)}
        result[regime] = terms
    return result


def _least_squares(table: list[list[float]], truths: list[float]) -> list[float]:
    """Constants, none below 0, that make the squares of the relative errors least."""
    import numpy as np

    truth = np.maximum(np.asarray(truths), 1.0)
    rows = np.asarray(table) / truth[:, None]
    scale = np.maximum(np.abs(rows).max(axis=0), 1e-30)
    rows = rows / scale
    gram = rows.T @ rows + 1e-6 * np.eye(rows.shape[1])
    goal = rows.T @ np.ones(len(rows))
    found = np.zeros(len(goal))
    for _ in range(20000):
        before = found.copy()
        for at in range(len(goal)):
            found[at] = max(0.0, found[at] + (goal[at] - gram[at] @ found) / gram[at, at])
        if np.abs(found - before).max() < 1e-9:
            break
    return [float(f"{value:.5g}") for value in found / scale]


def plain_terms(found: Sequence[Sample], matrices: Constants) -> dict[str, float]:
    """The second step: constants of what single dense layers do not have."""
    rows = _rows(found, matrices)

    def loss(constants: Mapping[str, float]) -> float:
        return sum(
            weight
            * math.log(error(name, truth, fixed + sum(constants[k] * v for k, v in free.items())))
            for name, truth, fixed, free, weight in rows
        ) + 0.01 * sum(abs(math.log(constants[key] / START[key])) for key in START)

    best, step = dict(START), 2.0
    least = loss(best)
    while step > 1.05:
        moved = False
        for name in START:
            for factor in (step, 1 / step):
                trial = {**best, name: best[name] * factor}
                if not 1 / RANGE <= trial[name] / START[name] <= RANGE:
                    continue
                if (score := loss(trial)) < least - 1e-9:
                    best, least, moved = trial, score, True
        if not moved:
            step = math.sqrt(step)
    return {name: float(f"{value:.3g}") for name, value in best.items()}


def _rows(
    found: Sequence[Sample], matrices: Constants
) -> list[tuple[str, float, float, dict[str, float], float]]:
    """Designs, linear in their constants: quantity, truth, what is fixed, terms, weight."""
    weights = _weights(found)
    rows = []
    for sample in found:
        for name in ("lut", "ff"):
            fixed = 0.0
            free: dict[str, float] = {}
            for block in sample.blocks:
                own = {**FIXED, **matrices.get(block.regime, {})}
                for term, value in getattr(block, name).items():
                    key = f"{name}_{term}"
                    if key in own:
                        fixed += value * own[key]
                    elif key in START:
                        free[key] = free.get(key, 0.0) + value
            rows.append((name, sample.truth[name], fixed, free, weights[id(sample)]))
    return rows


def _weights(found: Iterable[Sample]) -> dict[int, float]:
    """Groups count alike; projects five times as much as tests of one layer."""
    found = list(found)
    counts: dict[str, int] = {}
    for sample in found:
        counts[sample.design.group] = counts.get(sample.design.group, 0) + 1
    return {
        id(sample): (1.0 if sample.design.group.startswith("hls4ml test") else 5.0)
        / counts[sample.design.group]
        for sample in found
    }


def fit(singles: Sequence[Sample], wholes: Sequence[Sample]) -> Constants:
    """All constants, by regime; ``plain`` holds those of every regime."""
    matrices = matrix_terms(singles)
    plain = plain_terms(wholes, matrices)
    return {**matrices, "plain": {**plain, **FIXED, "seven_series": SEVEN_SERIES_SLOWER}}


def leave_out(
    singles: Sequence[Sample], wholes: Sequence[Sample], further: Sequence[Sample] = ()
) -> list[dict[str, Any]]:
    """Each design predicted with constants fitted without its group; ``further`` are no part of
    a fit."""
    found = []
    full = fit(singles, wholes)
    matrices = {regime: terms for regime, terms in full.items() if regime != "plain"}
    for group in sorted({sample.design.group for sample in (*singles, *wholes)}):
        rest = [sample for sample in singles if sample.design.group != group]
        if len(rest) < len(singles):  # a shape of dense layer, which has no part in the second step
            constants = {**full, **matrix_terms(rest)}
        else:
            rest = [sample for sample in wholes if sample.design.group != group]
            constants = {**full, "plain": {**full["plain"], **plain_terms(rest, matrices)}}
        for sample in (*singles, *wholes, *further):
            if sample.design.group == group:
                guess = total(sample.blocks, constants)
                found.append({"sample": sample, "group": group, "guess": guess})
    return found


Others = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Other ways' guesses: by way, design and quantity."""


def judged(
    residuals: Sequence[Mapping[str, Any]], klass: str, name: str, others: Others
) -> dict[str, Any]:
    """One row of docs/accuracy.md: a class of designs, a quantity."""
    names = [item["sample"].design.name for item in residuals]
    alternatives = {
        way: [guesses.get(design, {}).get(name) for design in names]
        for way, guesses in others.items()
    }
    return conformal.accuracy(
        [item["sample"].truth[name] for item in residuals],
        [round(item["guess"][name]) for item in residuals],
        [_band_group(item) for item in residuals],
        quantity=f"HLS {UNITS[name]}",
        designs=TITLES[klass],
        offset=OFFSET[name],
        goal=GOALS.get(klass, {}).get(name, ""),
        alternatives={
            way: guesses
            for way, guesses in alternatives.items()
            if any(guess is not None for guess in guesses)
        },
    )


FEW_SHAPES: Final = frozenset({"dense_unrolled", "dense_expected"})


def _band_group(item: Mapping[str, Any]) -> str:
    """What counts as one in a band: an origin; of the few unrolled layers, their model."""
    sample: Sample = item["sample"]
    return sample.design.name.split(" ")[0] if sample.klass in FEW_SHAPES else item["group"]


def calibrate(data: Path, others: Others = _NONE) -> dict[str, Any]:
    """Constants, bands by class, and what was seen on groups left out, beside ``others``."""
    singles, wholes = dense(data), [*projects(data), *tests(data)]
    residuals = leave_out(singles, wholes, dense(data, known=False))
    bands: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    for klass in sorted({item["sample"].klass for item in residuals}):
        own = [item for item in residuals if item["sample"].klass == klass]
        designs = [item["sample"].design for item in own]
        sizes = [
            sum(layer.weights["kernel"].size for layer in d.network if layer.kind in COUNTED)
            for d in designs
        ]
        found = {name: judged(own, klass, name, others) for name in UNITS}
        rows += found.values()
        bands[klass] = {
            "kinds": sorted({layer.kind for d in designs for layer in d.network} & COUNTED),
            "range": [min(sizes), max(sizes)],
            **{
                name: {
                    "factor": row["band"],
                    "median_error": row["median_error"],
                    "within_2x": row["within_2x"],
                    "groups": row["groups"],
                    "rows": row["held_of"],
                    "within": row["held"],
                }
                for name, row in found.items()
            },
        }
    for whole, klasses in WHOLES.items():
        own = [item for item in residuals if item["sample"].klass in klasses]
        rows += [judged(own, whole, name, others) for name in UNITS]
    logic, logic_rows = hls_logic.calibrate(data)
    return {
        "format": FORMAT,
        "constants": fit(singles, wholes),
        "logic": logic,
        "bands": bands,
        "accuracy": [*rows, *logic_rows],
        "limits": list(LIMITS),
        "source": "HLS reports of wa-hls4ml, public hls4ml projects, hls4ml's layer tests",
    }


def write(data: Path, path: Path, others: Others = _NONE) -> None:
    """Calibrate and write the coefficients' file."""
    path.write_text(json.dumps(calibrate(data, others), indent=1) + "\n")
