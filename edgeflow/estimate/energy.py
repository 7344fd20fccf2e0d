"""Energy of an inference on every target: power x time.

Power comes from `edgeflow.estimate.power` (microcontrollers, NPUs), `edgeflow.estimate.power_fpga`
or the target's published figures; time from the caller: an estimator, a compiler's report, a
measurement.

Units: s, W, J, MHz where a name says so. Standard library alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from edgeflow.estimate import power
from edgeflow.estimate.figures import energies, figure_estimate, scaled, times
from edgeflow.estimate.power_fpga import NODE, fpga_power
from edgeflow.estimate.quantity import Estimate
from edgeflow.network import Network
from edgeflow.targets import Target

__all__ = [
    "NODE", "board_energy", "common", "figure_estimate", "fpga_power", "times", "tpu_energy",
]  # fmt: skip

RAIL: Final = "the microcontroller's supply rail, without the board's debugger and LEDs"


def common(network: Network, model_size_bytes: float | None = None) -> dict[str, Estimate]:
    """What is counted, not estimated: ``macs``, ``parameters``, ``weight_memory``,
    ``activation_memory`` and, given a file's size, ``model_size``.
    """
    totals = network.totals
    counted = "counted from the Network"
    found = {
        "macs": Estimate.exact(totals.macs, "MAC", "model", counted),
        "parameters": Estimate.exact(totals.parameters, "1", "model", counted),
        "weight_memory": Estimate.exact(totals.weight_bytes, "B", "model", counted),
        "activation_memory": Estimate.exact(totals.activation_bytes, "B", "model", counted),
    }
    if model_size_bytes is not None:
        found["model_size"] = Estimate.exact(
            model_size_bytes, "B", "measured", "size of the artifact"
        )
    return found


def board_energy(
    target: Target, latency: Estimate, network: Network | None = None
) -> dict[str, Estimate]:
    """Active power x latency, of the whole board and of the chip.

    Gives ``power`` and ``energy_per_inference`` (board), ``chip_power`` and
    ``chip_energy_per_inference`` (the chip, or its supply rail as the source says). For a
    microcontroller or NPU whose board has no published power, the board's figures are those of its
    supply rail, which is what benchmarks measure: debugger and LEDs are cut off.

    Args:
        target: what runs it.
        latency: of one inference (s).
        network: for accelerators whose power goes with the MACs per second.
    """
    chip = power.chip_power(target, network, latency)
    board = power.board_power(target)
    if board.value is None and target.kind in ("mcu", "npu") and chip.value is not None:
        board = replace(chip, source=f"{RAIL}; {chip.source}")
    return energies(board, chip, latency, "latency")


def tpu_energy(target: Target, latency: Estimate, batch: int = 1) -> dict[str, Estimate]:
    """Energy of one input while a TPU chip runs its batch; `latency` is of the whole batch (s)."""
    found = board_energy(target, latency)
    for name in ("energy_per_inference", "chip_energy_per_inference"):
        energy = found[name]
        if energy.value is not None and batch > 1:
            found[name] = scaled(
                energy, 1 / batch, "J", f"{energy.source}, over a batch of {batch}"
            )
    return found
