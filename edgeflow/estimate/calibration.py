"""How the first coefficients of latency come from published measurements.

`benchmarks/calibrate_estimates.py` runs it on the ground truth under ``$EDGEFLOW_DATA`` and writes
``coefficients/first.json``, which the package ships; the measurements themselves are not shipped.

Latency of an int8 network on a processor is modelled as MACs / (cores x rate x clock), the rate in
MACs per cycle and core by the processor's architecture. The band's factor comes from boards left
out whole: each board is predicted from the others, and the factor is the one that holds 95 % of
the rows, every board counting alike.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FORMAT: Final = "edgeflow.coefficients/1"
QUANTILE: Final = 0.95
"""Of the residuals of boards left out: with 0.90 the bands held 88 % of a further board's
rows, with 0.95 they hold 91 %."""

MCU_CORES: Final = {"STM32L4": "cortex-m4", "STM32H7": "cortex-m7", "STM32U5": "cortex-m33"}
BOARD_CORES: Final = {
    "B-U585I-IOT02A": "cortex-m33",
    "STM32H747I-DISCO": "cortex-m7",
    "STM32MP157F-DK2": "cortex-a7",
}

PUBLISHED: Final = (
    # board, architecture, cores used, MHz, network, MACs, seconds
    ("Raspberry Pi 4 (1.95 GHz)", "cortex-a72", 4, 1950, "MobileNet v1 1.0 224", 569e6, 1 / 38.5),
    ("Raspberry Pi 4 (1.95 GHz)", "cortex-a72", 4, 1950, "MobileNet v2 1.0 224", 300e6, 1 / 45.5),
    ("Raspberry Pi 4 (1.95 GHz)", "cortex-a72", 4, 1950, "Inception v4", 12.3e9, 1 / 2.0),
    ("Coral Dev Board", "cortex-a53", 1, 1500, "MobileNet v2 1.0 224", 300e6, 0.122),
    ("Coral Dev Board", "cortex-a53", 1, 1500, "Inception v1", 1.5e9, 0.392),
    ("Coral Dev Board", "cortex-a53", 1, 1500, "VGG16", 15.5e9, 4.595),
    ("Coral Dev Board", "cortex-a53", 1, 1500, "VGG19", 19.6e9, 5.538),
)
"""Measured int8 latencies beside those of the ground truth: Qengineering/
TensorFlow_Lite_Classification_RPi_64-bits (README, TFLite on four cores) and
coral.ai/docs/edgetpu/benchmarks (embedded CPU, one core assumed). MACs as the networks' own papers
give them (MobileNet: arXiv 1704.04861, 1801.04381; Inception: 1409.4842, 1602.07261; VGG as counted
in 1512.03385)."""


@dataclass(frozen=True)
class Row:
    """One measured latency of an int8 network: `rate` is MACs per cycle and core."""

    board: str
    architecture: str
    cores: int
    network: str
    macs: float
    rate: float

    @property
    def family(self) -> str:
        """``cortex-m`` or ``cortex-a``."""
        return self.architecture[:8]


def latency_rows(data: Path) -> list[Row]:
    """The measured latencies of int8 networks on processors.

    Args:
        data: the folder of ``$EDGEFLOW_DATA``.
    """
    rows = []
    for item in _table(data, "mlperf_tiny_energy.csv"):
        if item["target_class"] == "mcu/cpu" and item["model_macs"]:
            rate = float(item["model_macs"]) / (
                float(item["latency_ms"]) * 1e-3 * float(item["clock_mhz"]) * 1e6
            )
            board = item["board"].upper()
            rows.append(
                Row(
                    board,
                    MCU_CORES[item["soc"][:7]],
                    1,
                    item["benchmark"],
                    float(item["model_macs"]),
                    rate,
                )
            )
    for item in _table(data, "stm32_latency.csv"):
        if item["macs"] and item["format"].lower() == "int8":
            cores = int(item["engine"].split()[0]) if item["engine"] else 1
            clock = float(item["frequency"].split()[0]) * 1e6
            seconds = float(item["inference_time_ms"]) * 1e-3
            rate = float(item["macs"]) / (seconds * clock * cores)
            board = item["board"]
            rows.append(
                Row(
                    board,
                    BOARD_CORES[board],
                    cores,
                    item["model"].strip(),
                    float(item["macs"]),
                    rate,
                )
            )
    for board, architecture, cores, mhz, network, macs, seconds in PUBLISHED:
        rows.append(
            Row(board, architecture, cores, network, macs, macs / (seconds * mhz * 1e6 * cores))
        )
    return rows


def mean_rate(rows: Iterable[Row]) -> float:
    """Geometric mean over boards of each board's geometric mean."""
    by_board: dict[str, list[float]] = {}
    for row in rows:
        by_board.setdefault(row.board, []).append(math.log(row.rate))
    means = [sum(logs) / len(logs) for logs in by_board.values()]
    return math.exp(sum(means) / len(means))


def predict(rows: Sequence[Row], row: Row) -> float | None:
    """A row's rate from rows of other boards: of the same architecture where there are some.

    None where no other board is of its family.
    """
    same = [r for r in rows if r.architecture == row.architecture]
    family = [r for r in rows if r.family == row.family]
    if not family:
        return None
    return mean_rate(same or family)


@dataclass(frozen=True)
class Residual:
    """A row of a board left out: ``ratio`` is measured / predicted latency."""

    row: Row
    ratio: float


def leave_boards_out(rows: Sequence[Row]) -> list[Residual]:
    """Each row predicted without any row of its own board."""
    found = []
    for row in rows:
        guess = predict([r for r in rows if r.board != row.board], row)
        if guess is not None:
            found.append(Residual(row, guess / row.rate))
    return found


def factor(residuals: Sequence[Residual], coverage: float = QUANTILE) -> float:
    """The factor up and down that holds this share of the rows, every board counting alike."""
    boards: dict[str, int] = {}
    for item in residuals:
        boards[item.row.board] = boards.get(item.row.board, 0) + 1
    weighted = sorted((max(i.ratio, 1 / i.ratio), 1 / boards[i.row.board]) for i in residuals)
    total, reached = sum(weight for _, weight in weighted), 0.0
    for size, weight in weighted:
        reached += weight
        if reached >= coverage * total - 1e-9:
            return size
    return weighted[-1][0]


def held_out_coverage(rows: Sequence[Row]) -> dict[str, Any]:
    """How often the band holds when the factor, too, comes from the other boards alone."""
    boards = sorted({row.board for row in rows})
    result: dict[str, Any] = {"boards": {}, "rows": 0, "within": 0}
    sizes = []
    for board in boards:
        others = [r for r in rows if r.board != board]
        width = factor(leave_boards_out(others))
        tested = [item for item in leave_boards_out(rows) if item.row.board == board]
        within = sum(1 / width <= item.ratio <= width for item in tested)
        sizes += [max(item.ratio, 1 / item.ratio) for item in tested]
        result["boards"][board] = {"rows": len(tested), "within": within, "factor": _rounded(width)}
        result["rows"] += len(tested)
        result["within"] += within
    result["median_factor"] = round(sorted(sizes)[len(sizes) // 2], 3) if sizes else None
    return result


def calibrate(data: Path) -> dict[str, Any]:
    """All coefficients, with what the bands were seen to hold on boards left out."""
    rows = latency_rows(data)
    micro = [row for row in rows if row.family == "cortex-m"]
    linux = [row for row in rows if row.family == "cortex-a"]
    architectures = sorted({row.architecture for row in rows})
    return {
        "format": FORMAT,
        "latency": {
            "unit": "int8 MAC per cycle and core",
            "rates": {
                name: {
                    "value": _rounded(mean_rate([r for r in rows if r.architecture == name])),
                    "boards": sorted({r.board for r in rows if r.architecture == name}),
                    "rows": sum(r.architecture == name for r in rows),
                }
                for name in architectures
            },
            "families": {
                name: _rounded(mean_rate([r for r in rows if r.family == name]))
                for name in sorted({r.family for r in rows})
            },
            "least_macs": min(row.macs for row in micro),
            # Three Linux boards, each of an architecture of its own, leave none to validate a known
            # one: it takes the microcontrollers' factor.
            "factor": _rounded(factor(leave_boards_out(micro))),
            "factor_other_architecture": _rounded(factor(leave_boards_out(linux))),
            "held_out": held_out_coverage(micro),
            "source": (
                "MLPerf Tiny v0.5 to v1.3 results, STM32 model zoo (v1, v2), coral.ai benchmarks, "
                "Qengineering TensorFlow Lite on Raspberry Pi 4"
            ),
        },
    }


def write(data: Path, path: Path) -> None:
    """Calibrate and write the coefficients' file."""
    path.write_text(json.dumps(calibrate(data), indent=1) + "\n")


def _table(data: Path, name: str) -> list[dict[str, str]]:
    with (data / "ground_truth" / name).open(newline="") as stream:
        return list(csv.DictReader(stream))


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
