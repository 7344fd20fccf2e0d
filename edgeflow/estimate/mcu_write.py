"""The microcontrollers' coefficients file: what was fitted, its bands, its accuracy, its limits."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from edgeflow.estimate import conformal, mcu_memory_calibration, mcu_rows
from edgeflow.estimate.mcu_calibration import (
    CLASSES,
    COREMARK,
    NPUS,
    OTHER_CORES,
    PRIORS,
    Fit,
    accuracy,
    by_benchmark,
    by_board,
    by_core,
    fit,
    leave_out,
    measured_npu,
    measured_software,
)
from edgeflow.estimate.mcu_rows import Row
from edgeflow.estimate.mcu_terms import TERMS
from edgeflow.network import Network

FORMAT: Final = "edgeflow.coefficients/1"
SOURCE: Final = (
    "MLPerf Tiny v0.5 to v1.3 (performance mode), STM32 model zoo v1 and v2, Samsung/ONE issue "
    "7598, espressif/esp-tflite-micro"
)
COUNTED: Final = (
    "instructions of edgeflow's kernels that QEMU counted for four networks on Cortex-M0, M3, M4 "
    "and M55, 1.4 cycles each on an M4 (assumed)"
)
INSTRUCTIONS_BAND: Final = 1.6
"""Of cycles that follow from counted instructions: 1.4 cycles each is an assumption, 0.9 to 2.2 are
possible."""

ONE_ROW: Final = 2.5
"""The band of a runtime of which one network was measured. An assumption."""

LIMITS: Final = (
    "X-CUBE-AI's versions differ by up to 2.2x on one board; where a target's runtime_version is "
    "not set, the estimate stands for versions 7.3 to 8.1 and its band holds 7.1 to 10.2.",
    "TensorFlow Lite for Microcontrollers was measured with its reference kernels on NUCLEO-L4R5ZI "
    "and three Espressif chips, with CMSIS-NN's on two Cortex-M4 boards (one with microTVM's and "
    "ONNC's builds of them). Networks on a Cortex-M33 and M7 with it would help most.",
    "Activations outside the chip were seen in four rows of one board.",
    "Cortex-M0, M0+, M3, M55, M85, RX and float32 rest on few or no measurements: their bands are "
    "wider, and say so.",
    "edgeflow's own kernels were counted in instructions, never timed: a board would help.",
    "The forms of the terms and the figures known beforehand were chosen while looking at these "
    "measurements; no group took part in the fit that predicts it.",
    "The form of what X-CUBE-AI lets overlap in RAM was read off 19 footprints, all of which took "
    "part (the figures were found without the network that they predict); the band is 1.1x wider "
    "for it. RAM and flash of other runtimes are published figures and assumptions.",
    "GAP9, NDP9120 and xG24 have two to four networks each, at one clock and with one release of "
    "their software; an earlier one of xG24's was up to 1.7x slower.",
)


GROUPS: Final = {"benchmark": by_benchmark, "board": by_board, "core": by_core}
BANDS: Final = ("benchmark", "board")
"""What a band is for; a core that was not measured takes a board's, wider."""

Guesses = Mapping[str, Sequence[tuple[Row, float]]]
"""By what was left out: each row, and its prediction from the others."""


def latency(rows: Sequence[Row], ratios: Sequence[float], guesses: Guesses) -> dict[str, Any]:
    """The part that `edgeflow.estimate.mcu` reads."""
    found = fit(rows)
    software = [row for row in rows if measured_software(row)]
    left = {
        name: [
            (GROUPS[name](row), conformal.ratio(row.cycles, guess))
            for row, guess in found_for
            if measured_software(row)
        ]
        for name, found_for in guesses.items()
        if name in BANDS
    }
    bands = {f"factor_{name}": _up(conformal.factor(sizes)) for name, sizes in left.items()}
    logs = [math.log(ratio) for ratio in ratios]
    middle = sum(logs) / len(logs)
    npu = [
        conformal.ratio(row.cycles, guess)
        for row, guess in guesses["benchmark"]
        if measured_npu(row)
    ]
    work = [row.macs for row in software]
    return {
        "source": SOURCE,
        "macs": [min(work), max(work)],
        "families": {
            family: {"class": CLASSES.get(family, "simd"), "terms": _terms(found, family)}
            for family in PRIORS
            if family not in NPUS
        }
        | {
            "cmsis-nn in microtvm": {
                "class": "simd",
                "terms": _terms(found, "cmsis-nn", _factor(found, "cmsis-nn", "microtvm")),
            },
            # Three builds of the kernels: TensorFlow Lite's own of 2021, microTVM's and ONNC's.
            "cmsis-nn": {
                "class": "simd",
                "terms": _terms(
                    found,
                    "cmsis-nn",
                    (_factor(found, "cmsis-nn", "microtvm") * _factor(found, "cmsis-nn", "onnc"))
                    ** (1 / 3),
                ),
            },
        },
        "cores": _cores(found),
        "cycles_per_instruction": {
            core: _rounded(mcu_rows.CYCLES_PER_INSTRUCTION * pace)
            for core, pace in (
                ("cortex-m0", 1.0),
                (
                    "cortex-m0plus",
                    OTHER_CORES["simd"]["cortex-m0plus"] / OTHER_CORES["simd"]["cortex-m0"],
                ),
                ("cortex-m3", 1.0),
                ("cortex-m4", 1.0),
                ("cortex-m33", math.exp(found.values["core", "simd", "cortex-m33"])),
                ("cortex-m7", math.exp(found.values["core", "simd", "cortex-m7"])),
                ("cortex-m55", 1.0),
            )
        },
        "runtimes": _runtimes(found, software, bands, _unsaid(found, guesses)),
        "npus": {
            family: {
                "terms": _terms(found, family),
                "rows": sum(row.family == family for row in rows),
                "factor": _up(max(npu))
                if family in ("ne16", "mvp", "syntiant-core-2")
                else ONE_ROW,
                "source": SOURCE,
            }
            for family in NPUS
        },
        "float32": {
            "value": _rounded(math.exp(middle)),
            "factor": _up(math.exp(max(abs(log - middle) for log in logs))),
            "rows": len(ratios),
        },
    }


def _terms(found: Fit, family: str, factor: float = 1.0) -> dict[str, float]:
    return {term: _rounded(math.exp(found.values["term", family, term]) * factor) for term in TERMS}


def _factor(found: Fit, family: str, version: str) -> float:
    return math.exp(found.values.get(("version", family, version), 0.0))


def _cores(found: Fit) -> dict[str, Any]:
    """Cycles against a Cortex-M4's by class: fitted, else from what is published."""
    four = COREMARK["cortex-m4"]
    cores: dict[str, dict[str, Any]] = {
        "simd": {core: _core(value, False) for core, value in OTHER_CORES["simd"].items()},
        "scalar": {core: _core(four / mark, False) for core, mark in COREMARK.items()},
        "edgeflow": {},
    }
    for name, value in found.values.items():
        if name[0] == "core":
            cores[name[1]][name[2]] = _core(math.exp(value), True)
    for known in cores.values():
        known["cortex-m4"] = _core(1.0, True)
    own, simd = cores["edgeflow"], cores["simd"]
    for core in ("cortex-m33", "cortex-m7", "cortex-m85"):  # M4's instructions, at the core's pace
        own[core] = _core(simd[core]["value"], core != "cortex-m85")
    own["cortex-m0plus"] = _core(
        own["cortex-m0"]["value"] * simd["cortex-m0plus"]["value"] / simd["cortex-m0"]["value"],
        False,
    )
    return cores


def _core(value: float, measured: bool) -> dict[str, Any]:
    return {"value": _rounded(value), "measured": measured}


def _versions(found: Fit) -> dict[str, float]:
    """Factors of X-CUBE-AI's versions against 7.3."""
    return {"7.3": 1.0} | {
        name[2]: _rounded(math.exp(value))
        for name, value in found.values.items()
        if name[:2] == ("version", "x-cube-ai")
    }


def _usual(versions: Mapping[str, float]) -> float:
    """The factor that stands for a version that is not said: between 7.3 and 8.1."""
    return math.sqrt(versions["7.3"] * versions["8.1"])


def _unsaid(found: Fit, guesses: Guesses) -> dict[str, float]:
    """The bands of X-CUBE-AI where its version is not said."""
    versions = _versions(found)
    usual = _usual(versions)
    return {
        f"unsaid_{name}": _up(
            conformal.factor(
                [
                    (
                        GROUPS[name](row),
                        conformal.ratio(row.cycles, guess * usual / versions[row.version]),
                    )
                    for row, guess in rows
                    if row.family == "x-cube-ai"
                ]
            )
        )
        for name, rows in guesses.items()
        if name in BANDS
    }


def _runtimes(
    found: Fit, rows: Sequence[Row], bands: Mapping[str, float], unsaid: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    """By the runtime's name: kernels, versions, boards and bands."""
    versions = _versions(found)

    def entry(*families: str, **more: Any) -> dict[str, Any]:
        boards = sorted({row.board for row in rows if row.family in families})
        return {"families": list(families), "boards": boards, **bands, **more}

    ordered = dict(sorted(versions.items(), key=lambda item: float(item[0])))
    micro = entry("microtvm", "cmsis-nn in microtvm", unsaid=1.3)
    own = {"factor_benchmark": INSTRUCTIONS_BAND, "factor_board": INSTRUCTIONS_BAND}
    return {
        "x-cube-ai": entry(
            "x-cube-ai", versions=ordered, usual=_rounded(_usual(versions)), **unsaid
        ),
        "tflm": entry("tflm"),
        "tflm-cmsis-nn": entry("cmsis-nn"),
        "microtvm": micro | {"named": {"native": "microtvm", "cmsis-nn": "cmsis-nn in microtvm"}},
        "edgeflow": entry("edgeflow", source=COUNTED) | own,
    }


def rows_of_accuracy(guesses: Guesses) -> list[dict[str, Any]]:
    """For docs/accuracy.md."""
    return [
        accuracy(
            guesses["benchmark"], by_benchmark, measured_software,
            "processors, runtime and its version known; each benchmark left out",
            "10 % median, all within 2x",
        ),
        accuracy(
            guesses["board"], by_board, measured_software,
            "processors, runtime and its version known; each board left out",
            "25 % median, 95 % within 2x",
        ),
        accuracy(
            guesses["core"], by_core, measured_software,
            "processors, runtime and its version known; each core left out", "",
        ),
        accuracy(
            guesses["benchmark"], by_benchmark, measured_npu,
            "GAP9, NDP9120, xG24 with their vendors' runtimes; each benchmark left out",
            "10 % median, all within 2x",
        ),
    ]  # fmt: skip


def calibrate(data: Path, networks: Mapping[str, Network]) -> dict[str, Any]:
    """All coefficients.

    Args:
        data: the folder of ``$EDGEFLOW_DATA``.
        networks: MLPerf Tiny's networks by ``ad``, ``ic``, ``kws``, ``vww``.
    """
    rows = mcu_rows.read(data, networks)
    memory, of_memory = mcu_memory_calibration.calibrate(data)
    guesses = {name: leave_out(rows, group) for name, group in GROUPS.items()}
    return {
        "format": FORMAT,
        "latency": latency(rows, mcu_rows.float_ratios(data), guesses),
        "memory": memory,
        "accuracy": [*rows_of_accuracy(guesses), *of_memory],
        "limits": list(LIMITS),
    }


def write(data: Path, networks: Mapping[str, Network], path: Path) -> None:
    """Calibrate and write the coefficients' file."""
    path.write_text(json.dumps(calibrate(data, networks), indent=1) + "\n")


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _up(value: float) -> float:
    return math.ceil(value * 100) / 100
