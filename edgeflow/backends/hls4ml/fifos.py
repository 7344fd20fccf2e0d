"""The cycles that the FIFOs' depths are found with (`fifos_job`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from edgeflow.backends.hls4ml import reuse
from edgeflow.estimate import hls_latency, hls_schedule
from edgeflow.network import Network
from edgeflow.targets import Target

SCHEDULED: Final = ("vitis", "vivado", "vivado_accelerator")
"""Compilers whose streams are ``hls::stream``."""

CLOCK: Final = 200.0
"""MHz, where the target has no clock of its own."""


def latencies(network: Network, target: Target, options: Mapping[str, Any]) -> dict[str, float]:
    """Cycles from a word to its result, by layer; empty where no depth is to be found.

    The depth of the pipeline (`edgeflow.estimate.hls_schedule`), and what sharing adds.
    """
    if options["fifo_depth"] != "optimize":
        return {}
    constants = hls_latency.coefficients()["constants"]
    slow = constants["seven_series"] if target.architecture in hls_schedule.SEVEN_SERIES else 1.0
    per_ns = slow * float(options["clock_mhz"] or target.clock_mhz or CLOCK) * 1e-3
    chosen = reuse.choices(network, options)
    found = {}
    for layer in network:
        if layer.kind == "input" or not hls_schedule.known(layer):
            continue
        cycles = constants["stream_depth"] + hls_schedule.depth_ns(layer, constants) * per_ns
        if layer.name in chosen:
            cycles += chosen[layer.name].reuse_factor - 1
        found[layer.name] = round(float(cycles), 3)
    return found
