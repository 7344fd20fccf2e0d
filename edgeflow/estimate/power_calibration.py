"""How the coefficients of power come from published measurements, and how far off they are.

`benchmarks/calibrate_power.py` runs it on the ground truth under ``$EDGEFLOW_DATA`` and the shipped
targets, and writes ``coefficients/power.json``. Every error is of groups left out whole: a board
"never seen" is predicted from its data sheet with the activity factor of the other boards, a board
"seen" from its other submissions.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edgeflow import targets
from edgeflow.estimate import conformal, operations, power, power_fpga_calibration
from edgeflow.targets import Target

FORMAT: Final = "edgeflow.coefficients/1"
ENERGY: Final = "mlperf_tiny_energy.csv"
VIVADO: Final = "vivado_power_reports.csv"

BOARDS: Final = {
    "NUCLEO-L4R5ZI": "nucleo-l4r5zi",
    "NUCLEO-H7A3ZI-Q": "nucleo-h7a3zi-q",
    "NUCLEO-U575ZI-Q": "nucleo-u575zi-q",
    "XG24-DK2601B": "xg24-dk2601b",
    "GAP9 EVK": "gap9-evk",
    "NDP9120": "ndp9120",
}
PROCESSORS: Final = ("NUCLEO-L4R5ZI", "NUCLEO-H7A3ZI-Q", "NUCLEO-U575ZI-Q", "XG24-DK2601B")
"""Boards whose data sheet gives a run current; the other two are accelerators."""

RUNTIMES: Final = (
    ("x-cube-ai", "x-cube-ai"),
    ("microtvm", "microtvm"),
    ("tensorflow lite", "tflm"),
    ("onnc", "onnc"),
)

SOURCE: Final = "MLPerf Tiny v0.5 to v1.3 results, energy mode, against the data sheets' currents"


LIMITS: Final = [
    "Four microcontrollers with a data sheet's current: the activity factor of inference (1.2 to "
    "1.6) is the mean of four boards, and a board never seen has the spread of four.",
    "Most run currents are those of a data sheet's first page, scaled with the core's voltage, "
    "partly quoted from memory; the STM32H7A3's is derived from the STM32H743's. That derivation "
    "was chosen when the errors had been seen once, so the error of boards never seen may be "
    "better than it should be. The data sheets' tables by clock and voltage range would settle it.",
    "The firmware around the network moves the power of one board by up to 40 % (NUCLEO-L4R5ZI: "
    "39 mW with X-CUBE-AI 9, 55 mW with microTVM under Zephyr): clocks of unused peripherals.",
    "Power of the three accelerators is of one or two submissions each; what an NPU draws by layer "
    "is not modelled.",
    "Three measured FPGA designs on two boards: a further Zynq-7000 or Artix-7 board is taken to "
    "be as the measured one of its family, another board to draw 1.1 to 6 times its chip. More "
    "boards, measured idle and at work, would help most.",
    "The fabric's energy per LUT, flip-flop, DSP and BRAM comes from two Vivado reports, which are "
    "estimates themselves.",
]


@dataclass(frozen=True)
class Row:
    """One measured power (W) of an inference, at the supply voltage of the run."""

    board: str
    submission: str
    runtime: str
    benchmark: str
    macs: float
    watts: float
    seconds: float
    supply_v: float
    clock_mhz: float
    latency_s: float
    """Of the performance run, which is another."""
    version: float | None
    """Of X-CUBE-AI."""


def rows(data: Path) -> list[Row]:
    """The measured powers of microcontrollers and NPUs."""
    found = []
    for item in table(data, ENERGY):
        board = item["board"].upper()
        if board not in BOARDS:
            continue
        rate = float(item["energy_mode_throughput_inf_s"] or item["throughput_inf_s"])
        words = f"{item['framework']} {item['libraries']} {item['compiler']}".lower()
        found.append(
            Row(
                board,
                f"{item['round']} {item['submitter']} {item['system']}",
                "vendor" if item["accelerator"] else _runtime(words),
                item["benchmark"],
                float(item["model_macs"]),
                float(item["energy_uJ_per_inf"]) * 1e-6 * rate,
                1 / rate,
                float(item["energy_supply_v"]),
                float(item["clock_mhz"]),
                float(item["latency_ms"]) * 1e-3,
                power.version_number(item["compiler"].partition("X-CUBE-AI v")[2]),
            )
        )
    return found


def _runtime(words: str) -> str:
    return next((name for key, name in RUNTIMES if key in words), "vendor")


def median(values: Iterable[float]) -> float:
    """The middle one; the mean of two."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


VERSIONS: Final = {"reference": 8.0, "least": 7.1, "most": 9.5}
"""Releases of X-CUBE-AI: that of the targets' figures, and the range in which power falls."""


def version_law(measured: Sequence[Row]) -> dict[str, float]:
    """How the power goes with X-CUBE-AI's release: the mean of the boards' slopes of its logarithm,
    each network apart.
    """
    slopes = []
    for board in sorted({row.board for row in measured if row.version}):
        top = bottom = 0.0
        own = [row for row in measured if row.board == board and row.version]
        for benchmark in {row.benchmark for row in own}:
            points = [
                (min(row.version or 0.0, VERSIONS["most"]), math.log(row.watts))
                for row in own
                if row.benchmark == benchmark
            ]
            x, y = (sum(values) / len(points) for values in zip(*points, strict=True))
            top += sum((a - x) * (b - y) for a, b in points)
            bottom += sum((a - x) ** 2 for a, _ in points)
        if bottom > 0:
            slopes.append(top / bottom)
    return {"slope": rounded(sum(slopes) / len(slopes)) if slopes else 0.0, **VERSIONS}


def effect(row: Row, law: Mapping[str, float]) -> float:
    """Of a row's release on its power."""
    return 1.0 if row.version is None else power.version_effect(law, row.version)


def activities(
    measured: Sequence[Row], boards: dict[str, Target], law: Mapping[str, float]
) -> dict[str, float]:
    """By board, how much more inference draws than the data sheet's code at the same clock and
    supply: the median of its measurements.
    """
    found = {}
    for board in PROCESSORS:
        ratios = []
        for row in measured:
            if row.board == board:
                sheet = power.sheet_power(boards[board], row.clock_mhz, row.supply_v)
                if sheet:
                    ratios.append(row.watts / effect(row, law) / sheet)
        if ratios:
            found[board] = median(ratios)
    return found


def mean(values: Iterable[float]) -> float:
    """Geometric."""
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))


def seen(measured: Sequence[Row]) -> list[tuple[Row, float]]:
    """Each row with its board's power from other submissions, of the same runtime where there are
    any; rows of boards with one submission have none.
    """
    found = []
    for row in measured:
        others = [r for r in measured if r.board == row.board and r.submission != row.submission]
        same = [r for r in others if r.runtime == row.runtime]
        # The law of releases comes from the other boards alone.
        law = version_law([r for r in measured if r.board != row.board])
        if same or others:
            usual = median(r.watts / effect(r, law) for r in same or others)
            found.append((row, usual * effect(row, law)))
    return found


def unseen(measured: Sequence[Row], boards: dict[str, Target]) -> list[tuple[Row, float]]:
    """Each row with what its board's data sheet and the other boards' activity make of it."""
    found = []
    for row in measured:
        if row.board in PROCESSORS:
            other = [r for r in measured if r.board != row.board]
            law = version_law(other)
            others = mean(activities(other, boards, law).values()) * effect(row, law)
            sheet = power.sheet_power(boards[row.board], row.clock_mhz, row.supply_v)
            assert sheet is not None
            found.append((row, sheet * others))
    return found


def calibrate(data: Path, boards: dict[str, Target]) -> dict[str, Any]:
    """All coefficients and the record of their accuracy.

    Args:
        data: the folder of ``$EDGEFLOW_DATA``.
        boards: the targets by `BOARDS`' names.
    """
    measured = rows(data)
    law = version_law(measured)
    factors = activities(measured, boards, law)
    known, fresh = seen(measured), unseen(measured, boards)
    accuracy = [
        _accuracy(
            known, [row.submission for row, _ in known], measured,
            "energy of a microcontroller or NPU, board seen, latency known (J)",
            "MLPerf Tiny energy runs; each submission from the board's others",
            "12 % with the latency's error, 95 % within 2x",
        ),
        _accuracy(
            fresh, [row.board for row, _ in fresh], measured,
            "energy of a microcontroller, board never seen, latency known (J)",
            "MLPerf Tiny energy runs; each board from its data sheet and the other boards",
            "30 % with the latency's error, 95 % within 2x",
        ),
        *power_fpga_calibration.accuracy(table(data, ENERGY), table(data, VIVADO)),
    ]  # fmt: skip
    return {
        "format": FORMAT,
        "activity": {
            "value": rounded(mean(factors.values())),
            "boards": {BOARDS[name]: rounded(value) for name, value in factors.items()},
            "source": SOURCE,
        },
        "versions": {"x-cube-ai": law},
        "architectures": architectures(measured, boards, mean(factors.values())),
        "fabric": {
            "unit": "J per cycle",
            "family": "28 nm",
            "parts": power_fpga_calibration.fabric(table(data, VIVADO)),
            "source": (
                "Vivado routed power estimates of two hls4ml designs on xc7z020 at 100 MHz "
                "(nicologhielmetti/hls4ml-pynq, Thifjj/Iris_hls4ml_pynqZ2)"
            ),
        },
        "bands": {
            "seen": accuracy[0]["band"],
            "unseen": accuracy[1]["band"],
            "architecture": 3.0,
        },
        "accuracy": accuracy,
        "limits": LIMITS,
    }


def whole(
    measured: Sequence[Row],
    powers: Sequence[tuple[Row, float]],
    latencies: Mapping[tuple[str, str, int], float],
    group: Callable[[Row], str],
    quantity: str,
    designs: str,
    goal: str,
) -> dict[str, Any]:
    """The record of an energy whose power and latency are both estimated.

    Args:
        measured: all rows.
        powers: rows with the power (W) that others predict for them.
        latencies: seconds that others predict, by board, benchmark and measured microseconds.
        group: what a row's latency was predicted without.
        quantity, designs, goal: words of the record.
    """
    pairs = [
        (row, watts * latencies[key])
        for row, watts in powers
        if (key := (row.board.lower(), row.benchmark, round(row.latency_s * 1e6))) in latencies
    ]
    return conformal.accuracy(
        [row.watts * row.seconds for row, _ in pairs],
        [joules for _, joules in pairs],
        [group(row) for row, _ in pairs],
        quantity=quantity,
        designs=designs,
        goal=goal,
        alternatives=_alternatives([row for row, _ in pairs], measured),
    )


def _alternatives(
    asked: Sequence[Row], measured: Sequence[Row]
) -> dict[str, Sequence[float | None]]:
    return {
        "MACs alone, at the other boards' energy per MAC": [
            per_mac(row, measured) * row.macs for row in asked
        ],
        "Horowitz operation counting, as QKeras' qenergy does (45 nm)": [
            counted(row) for row in asked
        ],
    }


def _accuracy(
    pairs: Sequence[tuple[Row, float]],
    groups: Sequence[str],
    measured: Sequence[Row],
    quantity: str,
    designs: str,
    goal: str,
) -> dict[str, Any]:
    """Of energies: power x the run's own time per inference."""
    return conformal.accuracy(
        [row.watts * row.seconds for row, _ in pairs],
        [guess * row.seconds for row, guess in pairs],
        groups,
        quantity=quantity,
        designs=designs,
        goal=goal,
        alternatives=_alternatives([row for row, _ in pairs], measured),
    )


def per_mac(row: Row, measured: Sequence[Row]) -> float:
    """Energy (J) per MAC of the other boards, each counting alike."""
    boards: dict[str, list[float]] = {}
    for other in measured:
        if other.board != row.board:
            boards.setdefault(other.board, []).append(other.watts * other.seconds / other.macs)
    return mean(mean(values) for values in boards.values())


PARAMETERS: Final = {"ad": 267_928, "ic": 77_706, "kws": 22_604, "vww": 208_000}
"""Of MLPerf Tiny's reference models, about."""


def counted(row: Row) -> float:
    """Energy (J) of a row's operations: int8 products, 32-bit sums, each weight read once from
    memory as large as all of them.
    """
    weights = PARAMETERS[row.benchmark]
    return row.macs * (operations.multiply(8, 8) + operations.add(32)) + operations.sram(
        8 * weights, weights
    )


SHEETS: Final = {
    "cortex-m0": "nucleo-g071rb",
    "cortex-m0plus": "nucleo-g071rb",
    "cortex-m3": "nucleo-f207zg",
    "cortex-m85": "nucleo-h743zi",
    "riscv32": "esp32-c3-devkitm-1",
    "xtensa-lx6": "esp32-s3-devkitc-1",
}
"""Cores that were not measured, each with a target whose data sheet stands for it."""


def architectures(
    measured: Sequence[Row], boards: dict[str, Target], activity: float
) -> dict[str, Any]:
    """Power per MHz by core, for boards of which nothing else is known."""
    found: dict[str, Any] = {}
    for board in PROCESSORS[:3]:
        own = [row for row in measured if row.board == board]
        target = boards[board]
        found[target.architecture] = {
            "w_per_mhz": rounded(median(row.watts / row.clock_mhz for row in own)),
            "supply_v": median(row.supply_v for row in own),
            "regulator": power.regulator(target),
            "boards": target.name,
        }
    for core, name in SHEETS.items():
        target = targets.load(name)
        clock, supply = target.clock_mhz or 1.0, power.supply_of(target)
        watts = power.sheet_power(target, clock, supply)
        assert watts is not None
        found[core] = {
            "w_per_mhz": rounded(watts * activity / clock),
            "supply_v": supply,
            "regulator": power.regulator(target),
            "boards": f"{name}'s data sheet",
        }
    return found


def table(data: Path, name: str) -> list[dict[str, str]]:
    """A table of the ground truth."""
    with (data / "ground_truth" / name).open(newline="") as stream:
        return list(csv.DictReader(stream))


def write(
    data: Path, boards: dict[str, Target], path: Path, records: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """Calibrate and write the coefficients' file, with further records of accuracy."""
    found = calibrate(data, boards)
    found["accuracy"] += records
    path.write_text(json.dumps(found, indent=1) + "\n")
    return found


def rounded(value: float) -> float:
    """Three digits."""
    return float(f"{value:.3g}")
