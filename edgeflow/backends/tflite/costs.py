"""What a .tflite file costs on a target."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeflow.backends.tflite import support
from edgeflow.estimate import energy, linux, mcu, mcu_memory
from edgeflow.estimate.quantity import Estimate, unknown
from edgeflow.network import Network
from edgeflow.targets import Target


def estimate(
    network: Network,
    target: Target,
    precision: str,
    compiled: Path | None,
    result: Mapping[str, Any] | None,
    runtime: str | None = None,
) -> dict[str, Estimate]:
    """MACs, memory, size; latency, power and energy where the target's figures allow them.

    Weights and activations are counted at the file's precision (``weight_memory`` with biases of
    32 bits); the size is exact once the file is there (``result["bytes"]``, or the file's own).
    A microcontroller's latency, RAM and flash go by its ``runtime``: this one, else the target's.
    """
    weights, activations = support.sizes(network, precision)
    size: float | None = None
    if result is not None and "bytes" in result:
        size = float(result["bytes"])
    elif compiled is not None:
        size = float((compiled / "model.tflite").stat().st_size)
    found = energy.common(network, size)
    source = f"counted from the Network at {precision}"
    found["weight_memory"] = Estimate.exact(weights, "B", "model", source)
    # The interpreter's planner and its alignment take up to as much again (an assumption).
    found["activation_memory"] = Estimate(
        activations, activations, 2 * activations, "B", "model",
        f"{source}: tensors that live at once; up to twice that for the planner",
    )  # fmt: skip
    if size is None:
        # Of 12 compiled models: 2 to 60 kB of graph, names and padding beside the weights.
        found["model_size"] = Estimate(
            weights + 10_000, weights, 1.1 * weights + 60_000, "B", "model",
            f"{source}, and 2 to 60 kB of graph",
        )  # fmt: skip
    if target.kind == "npu":
        reason = "only the NPU's own compiler can say, and it is not called yet"
        found["latency"] = unknown("s", reason)
    elif target.kind == "mcu":
        found |= mcu.latency(network, target, precision, runtime)
        found |= mcu_memory.memory(network, target, precision, runtime)
    else:
        found["latency"] = linux.latency(network, target, precision)
    found |= energy.board_energy(target, found["latency"], network)
    return found
