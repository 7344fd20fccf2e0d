"""What an FPGA design costs: counts and latency from the Network, the rest from a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeflow.backends.hls4ml import reuse, room
from edgeflow.estimate import energy, hls_latency
from edgeflow.estimate.quantity import Estimate, unknown
from edgeflow.network import Network
from edgeflow.targets import Target

UNITS = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram_18k": "BRAM_18K", "uram": "URAM"}
NEEDS = "needs a synthesis (compile --synthesise with the vendor's tool on PATH)"

SPREAD = {"lut": 2.0, "ff": 2.0, "dsp": 1.1, "bram_18k": 1.3, "uram": 1.1}
"""HLS reports against logic synthesis: LUTs and FFs are overestimated up to about twofold."""


def estimates(
    network: Network,
    target: Target,
    clock_mhz: float | None,
    report: Mapping[str, Any] | None,
    options: Mapping[str, Any],
) -> dict[str, Estimate]:
    """The figures of one design; a synthesis report wins over the estimated latency.

    Latency by `edgeflow.estimate.hls_latency`, power by `edgeflow.estimate.energy.fpga_power`.
    """
    found = energy.common(network)
    found["model_size"] = Estimate.exact(
        network.totals.weight_bytes, "B", "model", "the weights, which lie in the bitstream"
    )
    found |= (
        from_report(report, clock_mhz)
        if report
        else _without_report(network, target, clock_mhz, options)
    )
    return found | energy.fpga_power(target, network, clock_mhz, found, found["latency"])


def _without_report(
    network: Network, target: Target, clock_mhz: float | None, options: Mapping[str, Any]
) -> dict[str, Estimate]:
    found = {name: unknown(unit, NEEDS) for name, unit in UNITS.items()}
    if reason := room.too_large(network, target, options):
        units = {"latency_cycles": "cycles", "ii": "cycles", "latency": "s"}
        return found | {name: unknown(unit, reason) for name, unit in units.items()}
    choices = reuse.choices(network, options)
    return found | hls_latency.estimate(
        network,
        io=reuse.interface(network, options),
        strategy={name: choice.strategy for name, choice in choices.items()},
        reuse_factors={name: choice.reuse_factor for name, choice in choices.items()},
        clock_mhz=clock_mhz,
        architecture=target.architecture,
        compiler=options["compiler"],
    )


def from_report(report: Mapping[str, Any], clock_mhz: float | None) -> dict[str, Estimate]:
    """The figures of an HLS report (`synthesis.read_report`)."""
    source = f"HLS synthesis report {report.get('version') or ''}".strip()
    found: dict[str, Estimate] = {}
    for name, unit in UNITS.items():
        value = report.get(name)
        if value is None:
            found[name] = unknown(unit, "the report does not say", "synthesised", source)
        else:
            spread = SPREAD[name]
            found[name] = Estimate(value, value / spread, value, unit, "synthesised", source)
    for name, unit in (("latency_cycles", "cycles"), ("ii", "cycles")):
        pair = report.get(name)
        found[name] = (
            Estimate(pair[1], pair[0], pair[1], unit, "synthesised", source)
            if pair
            else unknown(unit, "the report calls it undefined", "synthesised", source)
        )
    target_ns = report.get("clock_target_ns") or (1000 / clock_mhz if clock_mhz else None)
    reached = report.get("clock_ns")
    if reached:
        found["clock"] = Estimate.exact(1e9 / reached, "Hz", "synthesised", f"{source}, estimated")
    pair = report.get("latency_cycles")
    if pair and target_ns:
        period = max(target_ns, reached or 0) * 1e-9
        found["latency"] = Estimate(
            pair[1] * period, pair[0] * period, pair[1] * period, "s", "synthesised", source
        )
    else:
        found["latency"] = unknown("s", "the report gives no latency", "synthesised", source)
    return found
