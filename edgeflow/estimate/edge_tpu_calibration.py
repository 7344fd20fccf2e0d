"""How the constants and bands of `edgeflow.estimate.edge_tpu` come from published latencies.

`benchmarks/calibrate_edge_tpu.py` runs it on the ground truth under ``$EDGEFLOW_DATA``. The
constants are found by coordinate descent on the mean absolute log error, families of networks
alike. Each family is then predicted with constants found without it. The form of the model (tiles,
strips, blocks) was chosen while looking at all families: a network of a new kind will do worse.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from edgeflow.estimate import conformal, descent
from edgeflow.estimate.edge_tpu import Load, load, seconds
from edgeflow.estimate.edge_tpu_designs import Row, rows

FORMAT: Final = "edgeflow.edge_tpu/1"

START: Final[Mapping[str, float]] = {
    **{f"{bus}_call": 200e-6 for bus in ("pcie", "usb3", "usb2")},
    **{f"{bus}_byte_{way}": 2.5e-9 for bus in ("pcie", "usb3") for way in ("in", "streamed")},
    **{f"usb2_byte_{way}": 25e-9 for way in ("in", "streamed")},
    "pcie_byte_out": 2.5e-9, "usb3_byte_out": 2.5e-9, "usb2_byte_out": 25e-9,
    "pixel_out": 100e-9, "element_out": 5e-9,
    **{f"{bus}_kernel": 10e-6 for bus in ("pcie", "usb3", "usb2")},
    "operation": 2e-6, "tap": 1.0, "tap_overhead": 1.0, "weight": 0.004, "depthwise": 1.0,
    "element": 0.001, "move": 0.03,
}  # fmt: skip
"""Where the descent starts, and what it is drawn to where no measurement speaks: 400 MB/s of a PCIe
lane and of USB 3, 40 MB/s of USB 2, one product of 64 x 64 per cycle; the others are guesses of the
order of magnitude. s per call, kernel, operation, byte and pixel; cycles per tap and element. No
constant leaves ten times its start."""

LIMITS: Final = (
    "Two authors' sweeps and Google's own table are all that is published with its networks; the "
    "sweeps ran on one host each, so the host's part (calls, outputs) is of those hosts.",
    "Which kernels stay on the chip is the compiler's choice: the rule gives its bytes within 1 % "
    "for all stacks of compiler 16, and within 20 % for those of compiler 1.0.",
    "The time of operators that the compiler leaves to the processor is not in the figure.",
    "Latencies by layer (the profiler of the runtime) or of depthwise networks of several widths "
    "would help most.",
)


def fit(samples: Sequence[tuple[Row, Load]], rounds: int = 8) -> dict[str, float]:
    """The constants of least mean absolute log error, families alike.

    Detectors are left out: the boxes' selection, which their networks do not show, is the host's.
    """
    samples = [item for item in samples if item[0].family != "ssd"]
    truths = [row.seconds for row, _ in samples]
    families = [row.family for row, _ in samples]

    def loss(constants: Mapping[str, float]) -> float:
        guesses = [seconds(found, row.bus, constants) for row, found in samples]
        return descent.mean_log_error(guesses, truths, families)

    return descent.fit(START, loss, rounds=rounds)


def left_out(samples: Sequence[tuple[Row, Load]], groups: Sequence[str]) -> list[float]:
    """Each row predicted with constants found without its group."""
    found = {}
    for group in sorted(set(groups)):
        others = [item for item, own in zip(samples, groups, strict=True) if own != group]
        found[group] = fit(others, rounds=5)
    return [
        seconds(load, row.bus, found[group])
        for (row, load), group in zip(samples, groups, strict=True)
    ]


PARTS: Final = 5


def parts(samples: Sequence[tuple[Row, Load]]) -> list[str]:
    """What is left out together: a fifth of a long sweep, next to each other by size; a family."""
    groups = [row.family for row, _ in samples]
    for family in set(groups):
        own = [i for i, (row, _) in enumerate(samples) if row.family == family]
        if len(own) < 4 * PARTS or not samples[own[0]][0].sweep:
            continue
        own.sort(key=lambda i: samples[i][0].seconds)
        for place, index in enumerate(own):
            groups[index] = f"{family} {place * PARTS // len(own)}"
    return groups


def calibrate(data: Path) -> dict[str, Any]:
    """The constants, the bands, and what they were seen to hold on groups left out."""
    samples = [(row, load(row.network)) for row in rows(data)]
    constants = {name: _rounded(value) for name, value in fit(samples).items()}
    groups = parts(samples)
    guesses = left_out(samples, groups)
    families = [row.family for row, _ in samples]
    sweeps = [i for i, (row, _) in enumerate(samples) if row.sweep]
    networks = [i for i, (row, _) in enumerate(samples) if not row.sweep]
    every = list(range(len(samples)))
    whole = left_out(samples, families)
    hosts = [row.host for row, _ in samples]
    elsewhere = left_out(samples, hosts)
    accuracy = [
        _record(samples, guesses, groups, every, "all; a fifth of a sweep or a family left out"),
        _record(samples, guesses, groups, sweeps, "stacks of one kind, and transfers alone"),
        _record(samples, guesses, groups, networks, "published networks; their family left out"),
        _record(samples, whole, families, sweeps, "stacks, the whole sweep left out"),
        _record(samples, elsewhere, hosts, every, "all; the host left out"),
    ]
    return {
        "format": FORMAT,
        "source": (
            "calibrated on EdgeTPU-QuantRL-Evaluation (PCIe), EdgeTPU_Analysis (USB) and Coral's "
            "table of benchmarks (USB 3, Dev Board)"
        ),
        "constants": constants,
        "bands": {"stack": accuracy[1]["band"], "network": accuracy[2]["band"]},
        "range": [min(r.seconds for r, _ in samples), max(r.seconds for r, _ in samples)],
        "accuracy": accuracy,
        "limits": list(LIMITS),
    }


def _record(
    samples: Sequence[tuple[Row, Load]],
    guesses: Sequence[float],
    groups: Sequence[str],
    chosen: Sequence[int],
    name: str,
) -> dict[str, Any]:
    """A row of accuracy, beside products counted alone (a rate from other families)."""
    rows = [samples[i][0] for i in chosen]
    counted: list[float | None] = []
    for row in rows:
        rates = sorted(
            other.network.totals.macs / other.seconds
            for other, _ in samples
            if other.family != row.family and other.network.totals.macs
        )
        macs = row.network.totals.macs
        counted.append(macs / rates[len(rates) // 2] if macs else None)
    return conformal.accuracy(
        [row.seconds for row in rows],
        [guesses[i] for i in chosen],
        [groups[i] for i in chosen],
        quantity="Edge TPU latency",
        designs=f"Edge TPU: {name}",
        goal="median 15 %, 97 % within 2x",
        alternatives={"MACs only": counted},
    )


def write(data: Path, path: Path) -> None:
    """Calibrate and write the coefficients' file."""
    path.write_text(json.dumps(calibrate(data), indent=1) + "\n")


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
