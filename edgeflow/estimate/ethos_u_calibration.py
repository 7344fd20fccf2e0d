"""How the constants and bands of `edgeflow.estimate.ethos_u` come from Vela's own figures.

`benchmarks/calibrate_ethos_u.py` compiles networks for every target and calls `write`. Constants by
coordinate descent on the mean absolute log error of cycles, networks alike; each network is then
predicted with constants found without it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edgeflow import targets
from edgeflow.estimate import conformal, descent, ethos_u, workload
from edgeflow.estimate.workload import Counted
from edgeflow.network import Network
from edgeflow.targets import Target

FORMAT: Final = "edgeflow.ethos_u/1"

FAMILIES: Final = ("u55", "u65", "u85")

START: Final[Mapping[str, float]] = {
    "call": 500.0, "product": 1.0, **{f"{family}_operation": 500.0 for family in FAMILIES},
    **{f"{family}_depthwise": 8.0 for family in FAMILIES},
    "pool": 1.0, "elementwise": 1.0, "function": 5.0, "move": 0.5, "activation": 0.5,
    "compression": 1.0, "spilled": 1.0,
}  # fmt: skip

LIMITS: Final = (
    "The truth here is Vela's own estimate: no published measurement of the same files bounds its "
    "error on silicon.",
    "Trained kernels compress better than the random ones of most of these networks; cycles of "
    "networks that wait for their kernels are then too many.",
)


@dataclass(frozen=True)
class Row:
    """What Vela said of a network on a target: cycles; SRAM and flash in bytes."""

    network: Network
    works: Counted
    target: Target
    cycles: float
    sram: float
    flash: float


def rows(work: Path) -> list[Row]:
    """The rows of ``rows.json``; those with operators on the processor are left out."""
    networks: dict[str, Network] = {}
    boards = {name: targets.load(name) for name in targets.names() if name.startswith("ethos-u")}
    found = []
    for item in json.loads((work / "rows.json").read_text()):
        if item["on_cpu"]:
            continue
        network = networks.get(item["network"])
        if network is None:
            network = networks[item["network"]] = Network.load(work / item["network"])
        memory = item["memory"]
        found.append(
            Row(
                network,
                workload.counted(network),
                boards[item["target"]],
                item["cycles"],
                memory["sram"],
                memory["on_chip_flash"] + memory["off_chip_flash"] + memory["dram"],
            )
        )
    return found


def fit(chosen: Sequence[Row], rounds: int = 8) -> dict[str, float]:
    """The constants of least mean absolute log error of cycles."""
    truths = [row.cycles for row in chosen]
    names = [row.network.name for row in chosen]

    def loss(constants: Mapping[str, float]) -> float:
        guesses = [ethos_u.cycles(row.works, row.target, constants) for row in chosen]
        return descent.mean_log_error(guesses, truths, names)

    return descent.fit(START, loss, rounds=rounds)


def calibrate(work: Path) -> dict[str, Any]:
    """Everything that the estimator reads."""
    chosen = rows(work)
    constants = {**fit(chosen), "stored": stored(chosen)}
    names = [row.network.name for row in chosen]
    guesses = [0.0] * len(chosen)
    for name in sorted(set(names)):
        without = fit([row for row in chosen if row.network.name != name], rounds=4)
        for index, row in enumerate(chosen):
            if row.network.name == name:
                guesses[index] = ethos_u.cycles(row.works, row.target, without)
    rates = sorted(row.network.totals.macs / row.cycles / _macs(row) for row in chosen)
    rate = rates[len(rates) // 2]
    flat = [row for row in chosen if row.target.settings["memory_mode"] == "Shared_Sram"]
    accuracy = [
        conformal.accuracy(
            [row.cycles for row in chosen], guesses, names,
            quantity="Ethos-U cycles", designs="against Vela's own; the network left out",
            alternatives={
                "MACs only": [r.network.totals.macs / (rate * _macs(r)) for r in chosen]
            },
        ),
        conformal.accuracy(
            [row.sram for row in flat], [ethos_u.alive_bytes(row.network) for row in flat],
            [row.network.name for row in flat],
            quantity="Ethos-U SRAM", designs="against Vela's own; nothing is fitted",
        ),
        conformal.accuracy(
            [row.flash for row in flat], _flash_left_out(flat),
            [row.network.name for row in flat],
            quantity="Ethos-U flash", designs="against Vela's own; the network left out",
        ),
    ]  # fmt: skip
    return {
        "format": FORMAT,
        "source": f"calibrated on what Vela 5.2.0 says of {len(set(names))} networks",
        "constants": {name: float(f"{value:.4g}") for name, value in constants.items()},
        "bands": {
            name: row["band"]
            for name, row in zip(("cycles", "sram", "flash"), accuracy, strict=True)
        },
        "accuracy": accuracy,
        "limits": list(LIMITS),
    }


def stored(chosen: Sequence[Row]) -> float:
    """Bytes of flash for each element of kernels (median of networks on one memory)."""
    ratios: dict[str, float] = {}
    for row in chosen:
        if row.target.settings["memory_mode"] == "Shared_Sram":
            works = workload.of(row.network)
            sums = 10 * sum(work.biases for work in works)
            kernels = sum(work.weights for work in works)
            ratios[row.network.name] = max(0.1, (row.flash - sums) / kernels)
    return sorted(ratios.values())[len(ratios) // 2]


def _flash_left_out(flat: Sequence[Row]) -> list[float]:
    guesses = []
    for row in flat:
        factor = stored([other for other in flat if other.network.name != row.network.name])
        works = workload.of(row.network)
        guesses.append(sum(work.weights * factor + 10 * work.biases for work in works))
    return guesses


def write(work: Path, path: Path) -> None:
    """Calibrate and write the coefficients' file."""
    path.write_text(json.dumps(calibrate(work), indent=1) + "\n")


def _macs(row: Row) -> int:
    found = ethos_u.npu(row.target)
    assert found is not None
    return found[1]
