"""The FPGA part of `edgeflow.estimate.power_calibration`: fabric from Vivado's reports, boards."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from edgeflow.estimate import conformal
from edgeflow.estimate.power_fpga import per_cycle

Table = Sequence[Mapping[str, str]]

CLOCK: Final = 1e8
"""Hz: both reports are at 10 ns, as their column 'clocks' says."""
PROCESSOR_W: Final = 1.256
STATIC_W: Final = 0.139
"""What targets/pynq-z2.yaml has of the reports' device."""

COLUMNS: Final = {
    "lut": (("P_Slice_Logic", "P_Signals"), "impl_LUT", 1),
    "ff": (("P_Clocks",), "impl_FF", 1),
    "dsp": (("P_DSPs",), "impl_DSP", 1),
    "bram_18k": (("P_Block_RAM",), "impl_BRAM36", 2),
}
"""Of each resource, the columns of its power and of its count, and how many it counts as. Logic and
signals are put on the LUTs, clocks on the flip-flops."""


BY_COUNT: Final = ("lut", "ff")
"""Those whose energy falls with their number; the reports' few DSPs and RAMs say nothing of it."""


def fabric(reports: Table) -> dict[str, dict[str, Any]]:
    """Energy per cycle (J) of one LUT, flip-flop, DSP and 18 Kbit BRAM in routed designs.

    From Vivado's own power estimates at its default toggle rates: ``by_count``, of logic and
    registers in designs of different size; ``value``, the geometric mean; and a band of twice
    their spread.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in COLUMNS:
        pairs = sorted(_count_and_energy(report, name) for report in reports)
        energies = [energy for _, energy in pairs]
        found[name] = {
            "value": _rounded(_mean(energies)),
            "low": _rounded(min(energies) / 2),
            "high": _rounded(max(energies) * 2),
        }
        if name in BY_COUNT:
            found[name]["by_count"] = [[count, _rounded(energy)] for count, energy in pairs]
    return found


def accuracy(measured: Table, reports: Table) -> list[dict[str, Any]]:
    """The records of board and chip power, each design from the others."""
    boards = board_guesses(measured)
    chips = [(_name(r), float(r["total_on_chip_W"]), chip_guess(r, reports)) for r in reports]
    return [
        conformal.accuracy(
            [watts for _, watts, _ in rows],
            [guess for _, _, guess in rows],
            [name for name, _, _ in rows],
            quantity=quantity,
            designs=designs,
            goal=goal,
        )
        for rows, quantity, designs, goal in (
            (
                boards, "power of an FPGA board (W)",
                "MLPerf Tiny, three designs on two boards; each from the others of its board, or "
                "from the other board",
                "15 %, 100 % within 2x",
            ),
            (
                chips, "power of an FPGA chip (W)",
                "two Vivado reports (estimates themselves) of one device; each design's fabric "
                "from the other's, leakage and processor known",
                "",
            ),
        )
    ]  # fmt: skip


def board_guesses(measured: Table) -> list[tuple[str, float, float]]:
    """Submission, power (W) of the board, and what the others say: those of the same board where
    there are some.
    """
    found = [
        (
            f"{item['board']} {item['benchmark']}",
            item["board"],
            float(item["energy_mode_avg_power_mW"]) * 1e-3,
        )
        for item in measured
        if item["target_class"] == "fpga"
    ]
    guesses = []
    for name, board, watts in found:
        others = [other for other in found if other[0] != name]
        same = [w for _, b, w in others if b == board]
        guesses.append((name, watts, _mean(same or [w for _, _, w in others])))
    return guesses


def chip_guess(report: Mapping[str, str], reports: Table) -> float:
    """Power (W) of a report's chip from the other reports' fabric."""
    parts = fabric([other for other in reports if other is not report])
    switched = 0.0
    for name, part in parts.items():
        count, _ = _count_and_energy(report, name)
        switched += count * per_cycle(part, count) * CLOCK
    return STATIC_W + PROCESSOR_W + switched


def _count_and_energy(report: Mapping[str, str], name: str) -> tuple[float, float]:
    powers, column, each = COLUMNS[name]
    count = float(report[column]) * each
    return count, sum(float(report[power]) for power in powers) / count / CLOCK


def _name(report: Mapping[str, str]) -> str:
    return report["repo"]


def _mean(values: Iterable[float]) -> float:
    """Geometric."""
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
