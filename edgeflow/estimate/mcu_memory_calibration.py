"""How the coefficients of microcontrollers' RAM and flash come from published footprints.

X-CUBE-AI's are of the tables of ST's model zoo: activations and weights follow from rules about
what may overlap (`OVERLAP`), the runtime's own RAM and code from a regression over operators that
is held near round figures. Other runtimes' figures are published ones, with wide bands.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edgeflow.estimate import conformal, mcu_graphs, mcu_memory, mcu_rows
from edgeflow.network import Network

APART: Final[Mapping[str, float]] = {
    "strided": 1.0,
    "depthwise": 1.0,
    "pool": 1.0,
    "widening": 0.0,
    "pointwise": 1.0,
    "scratch": 0.0,
    "scratch_most": 8192.0,
}
"""X-CUBE-AI's planner before any footprint is seen. The share of the smaller of input and output
that does not overlap, for operators with a stride above 1, depthwise ones, poolings, and 1x1
convolutions that widen at most ``widening`` times; bytes of scratch for each element of a
convolution's window, and at most."""

SHARES: Final = tuple(step / 10 for step in range(11))
TRIED: Final[Sequence[Sequence[Mapping[str, float]]]] = (
    [{"strided": share} for share in SHARES],
    [{"depthwise": share} for share in SHARES],
    [{"pool": share} for share in SHARES],
    [{"widening": times, "pointwise": share} for times in (0, 1, 2, 4, 6) for share in SHARES],
    [{"scratch": float(size)} for size in range(0, 61, 3)],
)
"""What a search tries, group after group. The form of the rules was found while looking at the
footprints; their figures are found anew for each network left out."""

CHOSEN: Final = 1.1
"""The band of RAM is so many times wider than what networks left out give, for the form of the
rules was chosen on all of them."""

STARTS: Final = {
    "runtime_ram": {"one": 1100.0, "weighted": 620.0, "other": 80.0},
    "code": {
        "one": 28000.0, "weighted": 1500.0, "other": 200.0, "code conv": 3000.0,
        "code depthwise": 3000.0, "code dense": 2000.0, "code pool": 3000.0,
        "code combine": 3000.0, "code function": 2000.0, "code move": 2000.0,
    },
}  # fmt: skip
"""Bytes of each feature before any footprint is seen: round figures."""

NOISE: Final = 0.05
SPREAD: Final = 0.5
"""Of a footprint, and of a start: shares of the figure."""

PUBLISHED: Final[Mapping[str, Mapping[str, Any]]] = {
    # Interpreter: 26.5 kB that stay for the 31 operators of visual wake words, and 26.5 kB of code
    # without kernels (David et al., TensorFlow Lite Micro, MLSys 2021, arXiv 2010.08678, tables of
    # memory; quoted from memory, not read again). Kernels: an assumption.
    "tflm": {
        "runtime_ram": {"one": 1700.0, "weighted": 800.0, "other": 800.0},
        "code": {"one": 27000.0, "weighted": 300.0, "other": 300.0, "code conv": 5000.0,
                 "code depthwise": 5000.0, "code dense": 4000.0, "code pool": 5000.0,
                 "code combine": 5000.0, "code function": 5000.0, "code move": 3000.0},
        "per_channel": 28.0, "ram_factor": 1.5, "flash_factor": 1.5,
        "source": "David et al., TensorFlow Lite Micro (arXiv 2010.08678); kernels assumed",
    },
    "tflm-cmsis-nn": {
        "runtime_ram": {"one": 1700.0, "weighted": 900.0, "other": 800.0},
        "code": {"one": 27000.0, "weighted": 300.0, "other": 300.0, "code conv": 12000.0,
                 "code depthwise": 10000.0, "code dense": 6000.0, "code pool": 5000.0,
                 "code combine": 5000.0, "code function": 6000.0, "code move": 3000.0},
        "per_channel": 28.0, "ram_factor": 1.5, "flash_factor": 1.5,
        "source": "David et al., TensorFlow Lite Micro (arXiv 2010.08678); kernels assumed",
    },
    "microtvm": {
        "runtime_ram": {"one": 4000.0, "weighted": 200.0, "other": 100.0},
        "code": {"one": 15000.0, "weighted": 1500.0, "other": 700.0},
        "per_channel": 8.0, "ram_factor": 1.8, "flash_factor": 1.6,
        "source": "assumptions: no footprint was at hand",
    },
    # Linked images of four networks for a Cortex-M4 (docs/microcontrollers.md).
    "edgeflow": {
        "runtime_ram": {"one": 1500.0},
        "code": {"one": 8600.0}, "per_channel": 11.5, "ram_factor": 1.3, "flash_factor": 1.2,
        "source": "images of MLPerf Tiny's four networks linked for a Cortex-M4",
    },
}  # fmt: skip
"""Other runtimes: nothing of theirs overlaps. A .tflite file holds 300 bytes for each operator and
28 for each channel beside its weights (47 files of ST's model zoo)."""


@dataclass(frozen=True)
class Footprint:
    """One published footprint of X-CUBE-AI (bytes)."""

    group: str
    network: Network
    activations: float
    runtime_ram: float
    weights: float
    code: float

    @property
    def ram(self) -> float:
        """All RAM."""
        return self.activations + self.runtime_ram

    @property
    def flash(self) -> float:
        """All flash."""
        return self.weights + self.code


def read(data: Path) -> list[Footprint]:
    """The int8 rows of ST's model zoo whose operators are listed."""
    graphs = json.loads((data / "ground_truth" / "stm32_modelzoo_graphs.json").read_text())
    rows = []
    for item in mcu_rows.table(data, "stm32_memory.csv"):
        graph = graphs.get(f"{item['repo']}:{item['model_path']}")
        if graph is None or item["format"].lower() != "int8":
            continue
        group = mcu_rows.network_group(item["model"])
        rows.append(
            Footprint(
                group,
                mcu_graphs.network_of(graph, group),
                *(
                    _bytes(item, name)
                    for name in ("activation_ram", "runtime_ram", "weights_flash", "code_flash")
                ),
            )
        )
    return rows


def _bytes(item: Mapping[str, str], name: str) -> float:
    """Of one of the three columns that an amount may be in; the tables' kB are KiB."""
    words = item[f"{name}_kb"] or item[f"{name}_kib"] or item[name]
    return float(words.replace("~", " ").split()[0]) * 1024


def overlap(rows: Sequence[Footprint]) -> dict[str, float]:
    """The planner's figures that explain the activations best, by search."""

    def off(rules: Mapping[str, float]) -> float:
        gaps = (
            abs(math.log(mcu_memory.peak(row.network, rules) / row.activations)) for row in rows
        )
        return sum(min(0.5, gap) for gap in gaps)

    best = dict(APART)
    least = off(best)
    for _ in range(4):
        before = least
        for group in TRIED:
            for change in group:
                other = {**best, **change}
                if (loss := off(other)) < least - 1e-9:
                    best, least = other, loss
        if least >= before - 1e-9:
            break
    return best


def fit(rows: Sequence[Footprint]) -> dict[str, dict[str, float]]:
    """Bytes of each feature (relative least squares, held near `STARTS`), and the overlaps."""
    import numpy as np

    found = {"overlap": overlap(rows)}
    for name, start in STARTS.items():
        keys = list(start)
        begin = np.array([start[key] for key in keys])
        matrix = [np.eye(len(keys)) / (SPREAD * begin)]
        target = [1 / SPREAD * np.ones(len(keys))]
        for row in rows:
            truth = getattr(row, name)
            facts = mcu_memory.features(row.network)
            matrix.append(np.array([[facts.get(key, 0.0) for key in keys]]) / (NOISE * truth))
            target.append(np.array([1 / NOISE]))
        values = np.linalg.lstsq(np.vstack(matrix), np.concatenate(target), rcond=None)[0]
        found[name] = {
            key: round(max(0.0, float(value)), 1) for key, value in zip(keys, values, strict=True)
        }
    return found


def predict(row: Footprint, found: Mapping[str, Mapping[str, float]]) -> tuple[float, float]:
    """RAM and flash."""
    facts = mcu_memory.features(row.network)
    return (
        mcu_memory.peak(row.network, found["overlap"])
        + mcu_memory.linear(facts, found["runtime_ram"]),
        mcu_memory.weight_bytes(row.network) + mcu_memory.linear(facts, found["code"]),
    )


def calibrate(data: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The part of the coefficients that `edgeflow.estimate.mcu_memory` reads, and its accuracy."""
    rows = read(data)
    guesses = {}
    for group in {row.group for row in rows}:
        others = fit([row for row in rows if row.group != group])
        for index, row in enumerate(rows):
            if row.group == group:
                guesses[index] = predict(row, others)
    groups = [row.group for row in rows]

    def judged(
        place: int,
        truth: Callable[[Footprint], float],
        quantity: str,
        goal: str,
        plain: list[float],
    ) -> dict[str, Any]:
        return conformal.accuracy(
            [truth(row) for row in rows], [guesses[i][place] for i in range(len(rows))], groups,
            quantity=quantity, designs="X-CUBE-AI 7.3 and 8.1; each network left out", goal=goal,
            alternatives={"tensors and weights alone": plain},
        )  # fmt: skip

    naive = [mcu_memory.peak(row.network, None) for row in rows]
    bare = [mcu_memory.weight_bytes(row.network) for row in rows]
    ram = judged(0, lambda row: row.ram, "MCU RAM", "10 % median, all within 2x", naive)
    flash = judged(1, lambda row: row.flash, "MCU flash", "5 % median, all within 2x", bare)
    x_cube_ai = {
        **fit(rows),
        "per_channel": 0.0,
        "ram_factor": _up(ram["band"] * CHOSEN),
        "flash_factor": _up(flash["band"]),
        "float32": {"runtime_ram": 0.75, "code": 0.42},  # five float footprints of the same tables
        "source": "ST's model zoo v1 and v2, footprints with X-CUBE-AI 7.3 and 8.1",
    }
    plain = {"overlap": None, "float32": {"runtime_ram": 1.0, "code": 1.0}}
    runtimes = {name: {**plain, **entry} for name, entry in PUBLISHED.items()}
    return {"runtimes": {"x-cube-ai": x_cube_ai, **runtimes}}, [ram, flash]


def _up(value: float) -> float:
    return math.ceil(value * 100) / 100
