"""How the constants of `edgeflow.estimate.tpu` come from libtpu's own estimates.

`benchmarks/calibrate_tpu.py` compiles networks ahead of time for every generation and calls
`write`. Each network is then predicted with constants found without it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edgeflow.estimate import conformal, descent, tpu, workload
from edgeflow.estimate.workload import Counted
from edgeflow.network import Network

FORMAT: Final = "edgeflow.tpu/1"

START: Final[Mapping[str, float]] = {
    "first_call": 3000.0, "later_call": 3000.0, "first_operation": 1000.0,
    "later_operation": 1000.0, "product": 1.2, "load": 1.0, "depthwise": 1.0,
    "pool": 1.0, "elementwise": 0.5, "function": 1.0, "move": 0.5, "byte": 0.5,
}  # fmt: skip

LIMITS: Final = (
    "The truth here is the compiler's own estimate of cycles; the compile itself, where libtpu can "
    "be had, takes this figure's place.",
    "Fusion of operations, and layouts of small channels, are the compiler's choice.",
)


@dataclass(frozen=True)
class Row:
    """What the compiler estimates for a batch of a network."""

    network: Network
    works: Counted
    generation: str
    batch: int
    precision: str
    cycles: float


def rows(work: Path) -> list[Row]:
    """The rows of ``rows.json`` and the Networks beside it."""
    networks: dict[str, Network] = {}
    found = []
    for item in json.loads((work / "rows.json").read_text()):
        network = networks.setdefault(item["network"], Network.load(work / item["network"]))
        values = (item["generation"], item["batch"], item["precision"], item["cycles"])
        found.append(Row(network, workload.counted(network), *values))
    return found


def predict(row: Row, constants: Mapping[str, float]) -> float:
    """Cycles of a row."""
    return tpu.cycles(row.works, row.generation, row.batch, row.precision, constants)


def fit(chosen: Sequence[Row], rounds: int = 8) -> dict[str, float]:
    """The constants of least mean absolute log error, networks alike."""
    truths = [row.cycles for row in chosen]
    names = [row.network.name for row in chosen]

    def loss(constants: Mapping[str, float]) -> float:
        return descent.mean_log_error([predict(r, constants) for r in chosen], truths, names)

    return descent.fit(START, loss, rounds=rounds)


def calibrate(work: Path) -> dict[str, Any]:
    """Everything that the estimator reads."""
    chosen = rows(work)
    constants = fit(chosen)
    names = [row.network.name for row in chosen]
    guesses = [0.0] * len(chosen)
    for name in sorted(set(names)):
        without = fit([row for row in chosen if row.network.name != name], rounds=4)
        for index, row in enumerate(chosen):
            if row.network.name == name:
                guesses[index] = predict(row, without)
    peaks = [
        row.network.totals.macs * row.batch * tpu.PASSES[row.precision]
        / tpu.UNITS[row.generation].macs
        for row in chosen
    ]  # fmt: skip
    shares = sorted(peak / row.cycles for peak, row in zip(peaks, chosen, strict=True))
    share = shares[len(shares) // 2]
    accuracy = conformal.accuracy(
        [row.cycles for row in chosen], guesses, names,
        quantity="Cloud TPU cycles", designs="against libtpu's own; the network left out",
        alternatives={"MACs only": [peak / share for peak in peaks]},
    )  # fmt: skip
    return {
        "format": FORMAT,
        "source": f"a roofline calibrated on libtpu's cycles of {len(set(names))} networks",
        "constants": {name: float(f"{value:.4g}") for name, value in constants.items()},
        "band": accuracy["band"],
        "accuracy": [accuracy],
        "limits": list(LIMITS),
    }


def write(work: Path, path: Path) -> None:
    """Calibrate and write the coefficients' file."""
    path.write_text(json.dumps(calibrate(work), indent=1) + "\n")
