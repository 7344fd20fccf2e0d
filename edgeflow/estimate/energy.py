"""Energy of an inference on every target: power x time.

Power comes from `edgeflow.estimate.power` (microcontrollers, NPUs), `edgeflow.estimate.power_fpga`
or the target's published figures; time from the caller (an estimator, a compiler's report, a
measurement) or from `latency_from_macs`.

Units: s, W, J, MHz where a name says so. Standard library alone.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from edgeflow.estimate import power
from edgeflow.estimate.figures import energies, figure_estimate, scaled, times
from edgeflow.estimate.power_fpga import NODE, fpga_power
from edgeflow.estimate.quantity import Estimate, unknown
from edgeflow.network import Network
from edgeflow.targets import Target

__all__ = [
    "NODE", "board_energy", "coefficients", "common", "figure_estimate", "fpga_power",
    "latency_from_macs", "times", "tpu_energy",
]  # fmt: skip

COEFFICIENTS: Final = Path(__file__).with_name("coefficients") / "first.json"

RAIL: Final = "the microcontroller's supply rail, without the board's debugger and LEDs"

LINUX_CALL_S: Final = (20e-6, 0.0, 100e-6)
LINUX_LAYER_S: Final = (2e-6, 0.0, 10e-6)
"""An interpreter's own work under Linux, which the rates do not hold: value, low, high, per call
and per layer. An assumption; it matters for networks of less than about a million MACs."""


@cache
def coefficients() -> dict[str, Any]:
    """What the calibration found."""
    found: dict[str, Any] = json.loads(COEFFICIENTS.read_text())
    return found


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


def latency_from_macs(
    network: Network, target: Target, number_format: str = "int8", cores: int = 1
) -> Estimate:
    """Latency (s) of one inference on a processor: MACs / (cores x rate x clock).

    Unknown for targets that are no processor, for number formats other than int8 (only those were
    measured), and for networks without MACs.
    """
    if target.kind not in ("linux_board", "mcu"):
        return unknown("s", f"MACs say nothing of the latency on a target of kind '{target.kind}'")
    if number_format != "int8":
        return unknown("s", f"the rates were measured with int8 networks, not {number_format}")
    if target.clock_mhz is None:
        return unknown("s", target.why_unknown("compute", "clock_mhz"))
    macs = network.totals.macs
    if macs <= 0:
        return unknown("s", "the Network has no multiply-accumulates to go by")
    table = coefficients()["latency"]
    rate = table["rates"].get(target.architecture)
    if rate is not None:
        value, factor = rate["value"], table["factor"]
        basis = f"{target.architecture} at {value:g} int8 MAC/cycle/core ({rate['rows']} networks)"
    else:
        family = target.architecture[:8]
        if family not in table["families"]:
            return unknown(
                "s", f"no processor like '{target.architecture or target.chip}' was measured"
            )
        value = table["families"][family]
        # A factor found on Linux boards of unlike architectures: the widest that was seen.
        factor = table["factor_other_architecture"]
        basis = f"{family} processors at {value:g} int8 MAC/cycle/core (not this architecture)"
    seconds = macs / (value * cores * target.clock_mhz * 1e6)
    found = [seconds, seconds / factor, seconds * factor]
    words = f"{basis}, {cores} core{'s' if cores > 1 else ''} at {target.clock_mhz:g} MHz"
    if target.kind == "linux_board":
        layers = len(network.layers)
        for index in range(3):
            found[index] += LINUX_CALL_S[index] + layers * LINUX_LAYER_S[index]
        words += f", and {found[0] - seconds:.2g} s assumed for the interpreter's own work"
    elif macs < table["least_macs"]:
        found[2] *= table["least_macs"] / macs
        words += f"; smaller than any measured network ({table['least_macs']:,.0f} MACs), so the "
        words += "upper end is that network's"
    return Estimate(found[0], found[1], found[2], "s", "model", f"{words}; {table['source']}")


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
