"""What a .tflite file costs on a target."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeflow.backends.tflite import support
from edgeflow.estimate import energy
from edgeflow.estimate.quantity import Estimate
from edgeflow.network import Network
from edgeflow.targets import Target


def estimate(
    network: Network,
    target: Target,
    precision: str,
    compiled: Path | None,
    result: Mapping[str, Any] | None,
) -> dict[str, Estimate]:
    """MACs, memory, size; latency, power and energy where the target's figures allow them."""
    weights, activations = support.sizes(network, precision)
    totals = network.totals
    counted = "counted from the Network"
    found = {
        "macs": Estimate.exact(totals.macs, "MAC", "model", counted),
        "parameters": Estimate.exact(totals.parameters, "1", "model", counted),
        "weight_memory": Estimate.exact(weights, "B", "model", f"{counted}, {precision}"),
        # The interpreter's planner may need more than the largest set of live tensors.
        "activation_memory": Estimate(
            activations, activations, 2 * activations, "B", "model",
            f"live tensors layer by layer, {precision}; planner and alignment add up to as much",
        ),
    }  # fmt: skip
    if compiled is not None:
        size = (compiled / "model.tflite").stat().st_size
        found["model_size"] = Estimate.exact(size, "B", "measured", "size of the file")
    else:
        # Graph, names and padding: 2 to 60 kB seen on 20 files.
        found["model_size"] = Estimate(
            weights + 10_000, weights, weights * 1.1 + 60_000, "B", "model", "weights and a graph"
        )
    found["latency"] = energy.latency_from_macs(network, target, precision)
    found |= energy.board_energy(target, found["latency"])
    return found
