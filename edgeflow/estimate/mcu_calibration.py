"""How the microcontrollers' coefficients come from measurements, and how well they hold.

`benchmarks/calibrate_mcu.py` runs it and writes ``coefficients/mcu.json``. The logarithm of the
cycles is fitted (iterated least squares, large residuals count less) to the terms of
`edgeflow.estimate.mcu_terms`, a factor for the core and one for the runtime's version. There are
more coefficients than measurements, so each is held near a figure known beforehand (`PRIORS`): what
kernels of its kind take on a Cortex-M4, CoreMark/MHz for cores. The bands come from benchmarks and
boards left out whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from edgeflow.estimate import conformal
from edgeflow.estimate.mcu_rows import Row
from edgeflow.estimate.mcu_terms import TERMS

if TYPE_CHECKING:
    import numpy as np

NOISE: Final = 0.06
"""Of a measured logarithm: two runs of one network with the same kernels differ by so much."""

PRIORS: Final[Mapping[str, tuple[float, ...]]] = {
    # cycles on a Cortex-M4 (an NPU: its own), in the order of mcu_terms.TERMS:
    # mac, thin, dense, output, gather, depthwise mac and output, move, combine, function,
    # one axis, far, layer, network
    "x-cube-ai": (1.5, 0.5, 2.75, 20, 1.5, 4, 20, 3, 8, 60, 20, 5, 5e3, 2e4),
    "cmsis-nn": (2.2, 0.5, 3.8, 30, 2.5, 8, 30, 4, 10, 100, 1, 5, 4e3, 5e3),
    "tflm": (6, 1, 5, 40, 1, 15, 40, 10, 30, 100, 1, 5, 5e3, 5e3),
    "microtvm": (4, 0.5, 5, 40, 2, 8, 40, 4, 10, 100, 1, 5, 4e3, 5e3),
    "edgeflow": (1.5, 0.5, 2, 20, 3, 5, 20, 3, 10, 60, 1, 5, 1e3, 1e3),
    "ne16": (0.01, 0.02, 0.15, 0.1, 0.01, 0.2, 0.2, 0.2, 0.5, 5, 0.1, 1, 2e3, 5e3),
    "mvp": (0.7, 0.5, 1, 5, 0.5, 1.5, 5, 2, 4, 50, 1, 5, 5e3, 1e4),
    "syntiant-core-2": (0.03, 0.03, 0.05, 0.2, 0.02, 0.1, 0.2, 0.2, 0.5, 5, 0.1, 1, 2e3, 5e3),
    "xtensa-lx7": (0.7, 0.5, 1, 20, 1, 3, 20, 3, 10, 100, 1, 5, 5e3, 5e3),
    "xtensa-lx6": (6, 0.5, 6, 40, 2, 20, 40, 10, 30, 200, 1, 5, 5e3, 5e3),
    "riscv32": (6, 0.5, 6, 40, 2, 20, 40, 10, 30, 200, 1, 5, 5e3, 5e3),
}
SPREAD: Final = (0.35, 0.7, 0.4, 0.5, 0.5, 0.5, 0.5, 0.6, 0.6, 0.5, 1.5, 0.7, 1.0, 1.0)
"""How far (of a logarithm) each may be from its figure."""

# Dense layers: half as much again as a convolution, whose kernels use a loaded weight twice, and
# half a cycle to read the weight from flash; reference kernels are bound by neither.

NPUS: Final = ("ne16", "mvp", "syntiant-core-2", "xtensa-lx7", "xtensa-lx6", "riscv32")
CLASSES: Final = {"tflm": "scalar", "microtvm": "scalar", "edgeflow": "edgeflow"}
"""Which instructions a family's kernels live by; ``simd`` where not said."""

COREMARK: Final = {
    "cortex-m0": 2.33, "cortex-m0plus": 2.46, "cortex-m23": 2.64, "cortex-m3": 3.34,
    "cortex-m4": 3.42, "cortex-m33": 4.02, "cortex-m7": 5.01, "cortex-m55": 4.40,
    "cortex-m85": 6.28, "rxv2": 4.55,
}  # fmt: skip
"""CoreMark/MHz that Arm and Renesas publish for their cores."""

DUAL_ISSUE: Final = 2.0
"""Arm: a Cortex-M7 does up to twice a Cortex-M4's work in signal processing."""

OTHER_CORES: Final = {
    "simd": {"cortex-m0": 6.0, "cortex-m0plus": 5.5, "cortex-m23": 5.2, "cortex-m3": 2.5,
             "cortex-m55": 0.35, "cortex-m85": 0.22, "rxv2": 1.6},
}  # fmt: skip
"""Cycles against a Cortex-M4's where no board was measured: without dual multiply-accumulates as
QEMU counts the instructions of edgeflow's kernels (docs/microcontrollers.md); with Helium as Arm's
kernels are said to gain. Assumptions."""


@dataclass(frozen=True)
class Fit:
    """Logarithms of the coefficients, by name: (family, term), (family, version), (class, core)."""

    values: Mapping[tuple[str, ...], float]

    def log_cycles(self, row: Row) -> float:
        """The prediction's logarithm."""
        total = sum(
            row.amounts[name] * math.exp(self.values["term", row.family, name]) for name in TERMS
        )
        found = math.log(total)
        for name in _factors(row):
            found += self.values.get(name, 0.0)
        return found

    def predict(self, row: Row) -> float:
        """Cycles."""
        return math.exp(self.log_cycles(row))


def fit(rows: Sequence[Row]) -> Fit:
    """The coefficients that explain the rows best, near the figures known beforehand."""
    import numpy as np

    names, priors = _beforehand()
    index = {name: place for place, name in enumerate(names)}
    theta = np.array([priors[name][0] for name in names])
    held, means = _held(index, priors)
    for _ in range(60):
        slopes, gaps = [], []
        for row in rows:
            slope, gap = _slope(row, theta, index)
            weight = 1 / NOISE
            if abs(gap) > 2 * NOISE:
                weight *= math.sqrt(2 * NOISE / abs(gap))
            slopes.append(slope * weight)
            gaps.append(gap * weight)
        matrix = np.vstack([np.array(slopes), held]) if rows else held
        target = np.concatenate([np.array(gaps), means - held @ theta])
        step = np.linalg.lstsq(matrix, target, rcond=None)[0]
        theta = theta + np.clip(step, -1, 1)
        if float(np.abs(step).max()) < 1e-4:
            break
    return Fit({name: float(theta[place]) for name, place in index.items()})


Prior = tuple[float, float, tuple[str, ...] | None]
"""Logarithm, its spread, and the coefficient that it is near to where it is not a number."""


def _beforehand() -> tuple[list[tuple[str, ...]], dict[tuple[str, ...], Prior]]:
    priors: dict[tuple[str, ...], Prior] = {}
    name: tuple[str, ...]
    for family, figures in PRIORS.items():
        for term, figure, spread in zip(TERMS, figures, SPREAD, strict=True):
            wide = spread * (2 if family in NPUS else 1)
            priors["term", family, term] = (math.log(figure), wide, None)
    for name, (figure, spread) in cores_beforehand().items():
        priors["core", *name] = (math.log(figure), spread, None)
    # A version of X-CUBE-AI is like the one before it; the others' are like their family.
    before: tuple[str, ...] = ("version", "x-cube-ai", "7.3")
    for version in ("8.1", "9.0", "10.2"):
        name = ("version", "x-cube-ai", version)
        priors[name] = (0.0, 0.3, None if version == "8.1" else before)
        before = name
    priors["version", "x-cube-ai", "7.1"] = (0.0, 0.3, None)
    for family, version in (("cmsis-nn", "onnc"), ("cmsis-nn", "microtvm")):
        priors["version", family, version] = (0.0, 0.3, None)
    return list(priors), priors


def cores_beforehand() -> dict[tuple[str, str], tuple[float, float]]:
    """By class and core: cycles against a Cortex-M4's, and how far that may be off."""
    marks = {core: COREMARK["cortex-m4"] / mark for core, mark in COREMARK.items()}
    seven = math.sqrt(marks["cortex-m7"] / DUAL_ISSUE)
    return {
        ("simd", "cortex-m33"): (marks["cortex-m33"], 0.15),
        ("simd", "cortex-m7"): (seven, 0.15),
        **{("scalar", core): (6.0, 1.5) for core in ("xtensa-lx6", "xtensa-lx7", "riscv32")},
        ("edgeflow", "cortex-m0"): (6.0, 0.5),
        ("edgeflow", "cortex-m3"): (2.5, 0.5),
        ("edgeflow", "cortex-m55"): (1.0, 0.5),
    }


def _held(
    index: Mapping[tuple[str, ...], int], priors: Mapping[tuple[str, ...], Prior]
) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    held = np.zeros((len(index), len(index)))
    means = np.zeros(len(index))
    for place, (name, (mean, spread, near)) in enumerate(priors.items()):
        held[place, index[name]] = 1 / spread
        if near is not None and near in index:
            held[place, index[near]] = -1 / spread
        else:
            means[place] = mean / spread
    return held, means


def _slope(
    row: Row, theta: np.ndarray, index: Mapping[tuple[str, ...], int]
) -> tuple[np.ndarray, float]:
    """How the prediction's logarithm follows each coefficient, and how far it is off."""
    import numpy as np

    slope = np.zeros(len(theta))
    places = [index["term", row.family, term] for term in TERMS]
    parts = np.exp(theta[places]) * np.array([row.amounts[term] for term in TERMS])
    total = float(parts.sum())
    slope[places] = parts / total
    guess = math.log(total)
    for name in _factors(row):
        if name in index:
            slope[index[name]] = 1
            guess += float(theta[index[name]])
    return slope, math.log(row.cycles) - guess


def _factors(row: Row) -> tuple[tuple[str, ...], ...]:
    return (
        ("version", row.family, row.version),
        ("core", CLASSES.get(row.family, "simd"), row.core),
    )


def leave_out(rows: Sequence[Row], group: Callable[[Row], str]) -> list[tuple[Row, float]]:
    """Each row with the cycles that the other groups' rows predict for it."""
    found = []
    for name in sorted({group(row) for row in rows}):
        others = fit([row for row in rows if group(row) != name])
        found += [(row, others.predict(row)) for row in rows if group(row) == name]
    return found


def macs_only(rows: Sequence[Row], group: Callable[[Row], str]) -> list[tuple[Row, float]]:
    """The same by multiply-accumulates alone: a rate for each family and core."""
    found = []
    for row in rows:
        others = [other for other in rows if group(other) != group(row)]
        for same in (
            [o for o in others if (o.family, o.core) == (row.family, row.core)],
            [o for o in others if o.core == row.core],
            others,
        ):
            if same:
                logs = [math.log(other.cycles / other.macs) for other in same]
                found.append((row, row.macs * math.exp(sum(logs) / len(logs))))
                break
    return found


def by_benchmark(row: Row) -> str:
    """A group of benchmarks left out."""
    return row.benchmark


def by_board(row: Row) -> str:
    """A group of boards left out."""
    return row.board


def by_core(row: Row) -> str:
    """A group of cores left out."""
    return row.core


def accuracy(
    guesses: Sequence[tuple[Row, float]],
    group: Callable[[Row], str],
    keep: Callable[[Row], bool],
    designs: str,
    goal: str,
) -> dict[str, Any]:
    """A row of docs/accuracy.md, of the rows that `leave_out` predicted."""
    found = [(row, guess) for row, guess in guesses if keep(row)]
    plain = {id(row): guess for row, guess in macs_only([row for row, _ in found], group)}
    return conformal.accuracy(
        [row.cycles for row, _ in found],
        [guess for _, guess in found],
        [group(row) for row, _ in found],
        quantity="MCU latency",
        designs=designs,
        goal=goal,
        alternatives={"MACs alone": [plain.get(id(row)) for row, _ in found]},
    )


def measured_software(row: Row) -> bool:
    """Measured on a processor (not counted, not an NPU)."""
    return row.core in ("cortex-m4", "cortex-m7", "cortex-m33") and row.family != "edgeflow"


def measured_npu(row: Row) -> bool:
    """Measured on an NPU of MLPerf Tiny's tables."""
    return row.family in ("ne16", "mvp", "syntiant-core-2")
