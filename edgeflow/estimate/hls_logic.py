"""What is left of an HLS report's counts after logic synthesis, and what an AXI wrapper adds.

HLS counts before logic optimisation. Designs of which both reports are published (hls4ml projects,
KEB-L's CNNs) give one factor for each resource, owners counting alike. The factors' bands are
conformal, owners left out; a design's own band and the factor's are taken as independent.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edgeflow.estimate import conformal
from edgeflow.estimate.quantity import Estimate
from edgeflow.network import Network

UNITS: Final = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram_18k": "BRAM_18K"}
COLUMNS: Final = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram_18k": "BRAM36"}
OFFSET: Final[Mapping[str, float]] = {"lut": 50.0, "ff": 50.0, "dsp": 3.0, "bram_18k": 2.0}

WRONG: Final = ("core/model4", "core/model8")
"""Cases of KEB-L whose logic reports are of another design (the table's note)."""

DESIGNS: Final = "the same designs' HLS reports times a factor; their owner left out"

AXI: Final[Mapping[str, Mapping[str, float]]] = {
    "parallel": {"lut": 6800, "ff": 2200, "bram_18k": 0, "element_cycles": 1.9},
    "stream": {"lut": 4700, "ff": 1800, "bram_18k": 4, "element_cycles": 0},
}
"""What VivadoAccelerator's AXI stream wrapper adds to a core: medians of six published pairs
(Vivado HLS 2019.2, z020; LUT 2,300 to 7,200, FF 1,100 to 3,300). In parallel its loops move one
element at a time, and the next inference starts after the last is out."""

WRAPPER_BAND: Final = 2.0
"""Of the six pairs, all lie within so many times the median."""


@dataclass(frozen=True)
class Pair:
    """A design's HLS and logic counts."""

    owner: str
    hls: Mapping[str, float]
    logic: Mapping[str, float]


def pairs(data: Path) -> list[Pair]:
    """Designs of the ground truth with both reports."""
    found = []
    for name in ("hls4ml_projects.csv", "keb_l_cnn_vu9p.csv"):
        with (data / "ground_truth" / name).open(newline="") as stream:
            for row in csv.DictReader(stream):
                if not row["vs_LUT"] or row.get("case", "").endswith(WRONG):
                    continue
                owner = row["repo"].split("/")[0] if "repo" in row else "KEB-L"
                hls = {key: float(row[unit]) for key, unit in UNITS.items()}
                logic = {key: float(row[f"vs_{unit}"]) for key, unit in COLUMNS.items()}
                logic["bram_18k"] *= 2  # counted in blocks of 36 Kbit
                found.append(Pair(owner, hls, logic))
    return found


def factor(found: Sequence[Pair], name: str) -> float:
    """Logic's count over HLS': the median of the owners' medians (of logarithms)."""
    by_owner: dict[str, list[float]] = {}
    for pair in found:
        if pair.hls[name] and pair.logic[name]:
            ratio = math.log(pair.logic[name] / pair.hls[name])
            by_owner.setdefault(pair.owner, []).append(ratio)
    return float(f"{math.exp(_median([_median(own) for own in by_owner.values()])):.3g}")


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def calibrate(data: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The factors with their bands, and rows of docs/accuracy.md."""
    found = pairs(data)
    table, rows = {}, []
    for name, unit in UNITS.items():
        guesses = [
            pair.hls[name] * factor([other for other in found if other.owner != pair.owner], name)
            for pair in found
        ]
        row = conformal.accuracy(
            [pair.logic[name] for pair in found],
            guesses,
            [pair.owner for pair in found],
            quantity=f"{unit} after logic synthesis",
            designs=DESIGNS,
            offset=OFFSET[name],
        )
        rows.append(row)
        table[name] = {"factor": factor(found, name), "band": row["band"]}
    return table, rows


def after_logic(
    hls: Mapping[str, Estimate], table: Mapping[str, Mapping[str, float]]
) -> dict[str, Estimate]:
    """``lut_logic`` and so on, from HLS' counts and the factors of ``hls_resources.json``."""
    found = {}
    for name in UNITS:
        figure, own = hls[name], table[name]
        if figure.value is None or figure.high is None:
            found[f"{name}_logic"] = figure
            continue
        offset = OFFSET[name]
        wide = math.log((figure.high + offset) / (figure.value + offset))
        spread = math.exp(math.hypot(wide, math.log(own["band"])))
        value = round(figure.value * own["factor"])
        found[f"{name}_logic"] = Estimate(
            float(value),
            float(max(0, math.floor((value + offset) / spread - offset))),
            float(math.ceil((value + offset) * spread - offset)),
            figure.unit,
            "model",
            f"after logic synthesis, before placement: HLS' count x {own['factor']:g} (11 designs "
            f"of 4 owners with both reports)",
        )
    return found


def with_wrapper(
    core: Mapping[str, Estimate], network: Network, io: str, clock_mhz: float | None
) -> dict[str, Estimate]:
    """A core's figures with VivadoAccelerator's AXI stream wrapper around it (`AXI`)."""
    more = AXI[io]
    found = dict(core)
    words = f"; with an AXI wrapper, {WRAPPER_BAND:g} times more or less"
    for name in ("lut", "ff", "bram_18k"):
        if (figure := core[name]).value is not None and more[name]:
            found[name] = _added(figure, more[name], words)
    elements = sum(network[name].output_size for name in (*network.inputs, *network.outputs))
    cycles = 5 + more["element_cycles"] * elements
    latency, interval = core["latency_cycles"], core["ii"]
    if latency.value is None or interval.value is None or not clock_mhz:
        return found
    found["latency_cycles"] = _added(latency, cycles, words)
    if io == "parallel":
        found["ii"] = _added(found["latency_cycles"], 1, "")
    found["latency"] = _added(core["latency"], cycles * 1e-6 / clock_mhz, words)
    return found


def _added(figure: Estimate, more: float, words: str) -> Estimate:
    assert figure.value is not None
    assert figure.low is not None
    assert figure.high is not None
    return Estimate(
        figure.value + more, figure.low + more / WRAPPER_BAND, figure.high + more * WRAPPER_BAND,
        figure.unit, figure.method, figure.source + words,
    )  # fmt: skip
