"""How the constants and bands of `edgeflow.estimate.linux` come from published latencies.

`benchmarks/calibrate_linux.py` runs it on the ground truth under ``$EDGEFLOW_DATA`` and on what
`linux_designs` quotes. Constants by coordinate descent on the mean absolute log error, boards
alike. Two ways of leaving out: a family of networks (the board is known), and a core's every board
(its cycles per product then come from its peak).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from edgeflow.estimate import conformal, descent
from edgeflow.estimate.linux import PEAK, Load, load, seconds
from edgeflow.estimate.linux_designs import Row, rows

FORMAT: Final = "edgeflow.linux/1"

SHARE: Final = 0.4
"""Of its peak, what a core is first taken to reach."""

START: Final[Mapping[str, float]] = {
    "xnnpack_depthwise": 3.0, "xnnpack_element": 10.0, "builtin_product": 1.0,
    "builtin_depthwise": 6.0, "builtin_element": 10.0,
    "dense": 4.0, "call": 20e3, "operation": 3e3, "float32": 2.0,
}  # fmt: skip
"""In products of int8 (elements, calls, operations as so many of them); float32 against int8. The
orders of magnitude are guesses."""

LIMITS: Final = (
    "Most rows are of MobileNets and of TensorFlow Lite of 2019 to 2022.",
    "Cores since the Cortex-A75 (dot products) are estimated from their peak alone: measurements "
    "on a Raspberry Pi 5 would help most.",
    "The tables name neither memory clock nor temperature; boards that throttle are slower.",
)

Sample = tuple[Row, Load]


def samples(data: Path) -> list[Sample]:
    """The rows and what their networks ask for."""
    return [(row, load(row.network)) for row in rows(data)]


def predict(sample: Sample, constants: Mapping[str, float], cycles: float) -> float:
    """Seconds of a row."""
    row, found = sample
    slower = constants["float32"] if row.number_format == "float32" else 1.0
    return seconds(found, row.clock_hz, row.threads, cycles, row.kernels, constants, slower)


def fit(chosen: Sequence[Sample], rounds: int = 8) -> tuple[dict[str, float], dict[str, float]]:
    """Constants, and cycles per product of each core."""
    cores = sorted({row.architecture for row, _ in chosen})
    start = {**START, **{core: 1 / (PEAK[core] * SHARE) for core in cores}}
    truths = [row.seconds for row, _ in chosen]
    groups = [f"{row.board} {row.family}" for row, _ in chosen]

    def loss(constants: Mapping[str, float]) -> float:
        guesses = [predict(item, constants, constants[item[0].architecture]) for item in chosen]
        return descent.mean_log_error(guesses, truths, groups)

    found = descent.fit(start, loss, rounds=rounds)
    return {name: found[name] for name in START}, {core: found[core] for core in cores}


def share(cycles: Mapping[str, float]) -> float:
    """Of their peaks, what cores reach (geometric mean; those with SIMD)."""
    reached = [
        math.log(1 / (PEAK[core] * value)) for core, value in cycles.items() if PEAK[core] > 1
    ]
    return math.exp(sum(reached) / len(reached))


def without_family(chosen: Sequence[Sample]) -> list[float]:
    """Each row predicted from other families of networks, its core from their rows."""
    found = {}
    for family in {row.family for row, _ in chosen}:
        found[family] = fit([item for item in chosen if item[0].family != family], rounds=6)
    guesses = []
    for item in chosen:
        constants, cycles = found[item[0].family]
        own = cycles.get(item[0].architecture) or 1 / (PEAK[item[0].architecture] * share(cycles))
        guesses.append(predict(item, constants, own))
    return guesses


def without_core(chosen: Sequence[Sample]) -> list[float]:
    """Each row predicted without any row of its core, whose cycles come from its peak."""
    guesses = [0.0] * len(chosen)
    for core in {row.architecture for row, _ in chosen}:
        constants, cycles = fit([i for i in chosen if i[0].architecture != core], rounds=6)
        own = 1 / (PEAK[core] * share(cycles))
        for index, item in enumerate(chosen):
            if item[0].architecture == core:
                guesses[index] = predict(item, constants, own)
    return guesses


def counted(chosen: Sequence[Sample], key: str) -> list[float | None]:
    """MACs alone: the core's median rate in other groups' rows (any core's of its peak, else)."""
    guesses: list[float | None] = []
    for row, _ in chosen:
        others = [r for r, _ in chosen if getattr(r, key) != getattr(row, key)]
        same = [r for r in others if r.architecture == row.architecture] or others
        rates = sorted(_rate(r) for r in same)
        rate = rates[len(rates) // 2] * PEAK[row.architecture]
        guesses.append(row.network.totals.macs / (rate * row.clock_hz * row.threads))
    return guesses


def _rate(row: Row) -> float:
    cycles = row.seconds * row.clock_hz * row.threads
    return row.network.totals.macs / cycles / PEAK[row.architecture]


def calibrate(data: Path) -> dict[str, Any]:
    """Everything that the estimator reads."""
    chosen = samples(data)
    constants, cycles = fit(chosen)
    truths = [row.seconds for row, _ in chosen]
    accuracy = [
        conformal.accuracy(
            truths, without_family(chosen), [row.family for row, _ in chosen],
            quantity="Linux board latency", designs="TFLite; the family of networks left out",
            alternatives={"MACs only": counted(chosen, "family")},
        ),
        conformal.accuracy(
            truths, without_core(chosen), [row.architecture for row, _ in chosen],
            quantity="Linux board latency", designs="TFLite; the core left out, from its peak",
            alternatives={"MACs only": counted(chosen, "architecture")},
        ),
    ]  # fmt: skip
    totals = [row.network.totals.macs for row, _ in chosen]
    return {
        "format": FORMAT,
        "source": (
            "calibrated on XNNPACK's README, Coral's benchmarks, EdgeTPU_Analysis (Jetson Nano), "
            "ST's model zoo (STM32MP157F-DK2)"
        ),
        "constants": {name: _rounded(value) for name, value in constants.items()},
        "cycles": {name: _rounded(value) for name, value in cycles.items()},
        "share": _rounded(share(cycles)),
        "bands": {"board": accuracy[0]["band"], "architecture": accuracy[1]["band"]},
        "range": [min(totals), max(totals)],
        "accuracy": accuracy,
        "limits": list(LIMITS),
    }


def write(data: Path, path: Path) -> None:
    """Calibrate and write the coefficients' file."""
    path.write_text(json.dumps(calibrate(data), indent=1) + "\n")


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
