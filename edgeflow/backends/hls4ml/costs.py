"""What an FPGA design costs: counts and latency from the Network, the rest from a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeflow.backends.hls4ml import reuse, room, widths
from edgeflow.backends.hls4ml.compilers import COMPILERS
from edgeflow.estimate import energy, hls_latency, hls_resources
from edgeflow.estimate.hls_digits import Digits
from edgeflow.estimate.quantity import Estimate, unknown
from edgeflow.network import Network
from edgeflow.synthesis import vendor_estimates
from edgeflow.targets import Target

MODELLED = {"vitis": "vitis", "vivado": "vivado", "vivado_accelerator": "vivado"}
"""Compilers whose latency is modelled, by the tool that schedules."""

UNITS = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram_18k": "BRAM_18K", "uram": "URAM"}
NEEDS = (
    "needs a synthesis: compile --synthesise with the vendor's tool on PATH, or `edgeflow report "
    "--from-synthesis`"
)


def estimates(
    network: Network,
    target: Target,
    clock_mhz: float | None,
    report: Mapping[str, Any] | None,
    options: Mapping[str, Any],
    digits: Mapping[str, Digits] | None = None,
) -> dict[str, Estimate]:
    """The figures of one design; what a synthesis says wins over what is estimated.

    Latency by `edgeflow.estimate.hls_latency`, resources by `edgeflow.estimate.hls_resources`
    (better with the ``digits`` of the weights, by layer), power by
    `edgeflow.estimate.energy.fpga_power`.
    """
    found = energy.common(network)
    found["model_size"] = Estimate.exact(
        network.totals.weight_bytes, "B", "model", "the weights, which lie in the bitstream"
    )
    found |= _without_report(network, target, clock_mhz, options, digits)
    if report:
        found = vendor_estimates.merge(found, vendor_estimates.estimates(report, clock_mhz))
    return found | energy.fpga_power(target, network, clock_mhz, found, found["latency"])


def _without_report(
    network: Network,
    target: Target,
    clock_mhz: float | None,
    options: Mapping[str, Any],
    digits: Mapping[str, Digits] | None,
) -> dict[str, Estimate]:
    found = {name: unknown(unit, NEEDS) for name, unit in UNITS.items()}
    if options["compiler"] not in MODELLED:
        tool = COMPILERS[options["compiler"]].tool
        reason = f"no model of {tool}'s schedules; {NEEDS}"
        units = {"latency_cycles": "cycles", "ii": "cycles", "latency": "s"}
        return found | {name: unknown(unit, reason) for name, unit in units.items()}
    choices = reuse.choices(network, options)
    design: dict[str, Any] = {
        "io": reuse.interface(network, options),
        "strategy": {name: choice.strategy for name, choice in choices.items()},
        "reuse_factors": {name: choice.reuse_factor for name, choice in choices.items()},
        "clock_mhz": clock_mhz,
        "architecture": target.architecture,
        "compiler": MODELLED[options["compiler"]],
    }
    if large := room.too_large(network, target, options):
        units = {"latency_cycles": "cycles", "ii": "cycles", "latency": "s"}
        found |= {name: unknown(unit, large) for name, unit in units.items()}
    else:
        found |= hls_latency.estimate(network, **design)
    if any(choice.strategy not in ("latency", "resource") for choice in choices.values()):
        reason = f"no model of the resources of this strategy; {NEEDS}"
        return found | {name: unknown(unit, reason) for name, unit in UNITS.items()}
    return found | hls_resources.estimate(
        network, widths=widths.widths(network, options), digits=digits, **design
    )
