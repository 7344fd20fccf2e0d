"""Cycles and latency of a network on a Cloud TPU, without the TPU's compiler.

A roofline: each operation takes the longer of its arithmetic and its bytes in HBM, and some cycles
of its own. A product of matrices is padded to the tiles of the matrix unit (8 rows; 128 or 256
inputs and outputs); float32 takes the unit six passes of bfloat16. Depthwise convolutions and all
else go through the vector unit.

Coefficients (``coefficients/tpu.json``) come from what libtpu's compiler estimates for networks
compiled ahead of time (`edgeflow.estimate.tpu_calibration`). Units: cycles of the TPU's clock,
B, s. Standard library alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from edgeflow.estimate.workload import Counted, Work

COEFFICIENTS: Final = Path(__file__).with_name("coefficients") / "tpu.json"


@dataclass(frozen=True)
class Unit:
    """The device that a graph runs on: MACs per cycle of bfloat16, the side of a matrix unit, bytes
    per cycle of HBM, and how many times as fast int8 is."""

    macs: int
    side: int
    bytes: float
    int8: float


UNITS: Final[Mapping[str, Unit]] = {
    "v2": Unit(1 << 14, 128, 350e9 / 700e6, 1),
    "v3": Unit(1 << 15, 128, 450e9 / 940e6, 1),
    "v4": Unit(1 << 17, 128, 1200e9 / 1050e6, 1),
    "v5e": Unit(1 << 16, 128, 819e9 / 1503e6, 2),
    "v5p": Unit(1 << 17, 128, 2765e9 / 1751e6, 2),
    "v6e": Unit(1 << 18, 256, 1640e9 / 1751e6, 2),
    "7x": Unit(1 << 18, 256, 3690e9 / 2200e6, 1),
}
"""By generation: one core of v2 and v3, a chip of v4 to v6e, one of the two devices of 7x. From the
published peaks and bandwidths, and the clocks of `edgeflow.backends.tpu.generations`."""

LATER: Final = ("v5e", "v5p", "v6e", "7x")
"""Generations whose programs and operations start with more cycles than those of v2 to v4."""

PASSES: Final = {"bfloat16": 1.0, "float32": 6.0, "int8": 1.0}
SIZES: Final = {"bfloat16": 2, "float32": 4, "int8": 1}


@cache
def coefficients() -> dict[str, Any]:
    """What the calibration found."""
    found: dict[str, Any] = json.loads(COEFFICIENTS.read_text())
    return found


def cycles(
    works: Counted, generation: str, batch: int, precision: str, constants: Mapping[str, float]
) -> float:
    """Cycles of one batch.

    Raises:
        KeyError: the generation or the precision is unknown.
    """
    unit = UNITS[generation]
    passes = PASSES[precision] / (unit.int8 if precision == "int8" else 1.0)
    line = "later" if generation in LATER else "first"
    total = constants[f"{line}_call"]
    for work, count in works:
        elements = (work.read + work.written) * batch
        moved = (elements + work.weights) * SIZES[precision] * constants["byte"] / unit.bytes
        compute = _arithmetic(work, unit, batch, passes, constants)
        total += count * (max(compute, moved) + constants[f"{line}_operation"])
    return total


def _arithmetic(
    work: Work, unit: Unit, batch: int, passes: float, constants: Mapping[str, float]
) -> float:
    if work.group == "product":
        rows = work.steps * _up(work.positions * batch, 8)
        columns = _up(work.outputs, unit.side) * _up(work.taps * work.inputs, unit.side)
        loaded = constants["load"] * columns / unit.side
        return constants["product"] * passes * rows * columns / unit.macs + loaded
    elements = batch * (work.macs if work.group == "depthwise" else work.read + work.written)
    return constants[work.group] * elements / unit.side


def _up(count: int, step: int) -> int:
    return -(-count // step) * step
