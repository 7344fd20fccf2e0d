"""What an ONNX file costs on a target."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeflow.backends.tflite import support
from edgeflow.estimate import energy, linux
from edgeflow.estimate.quantity import Estimate
from edgeflow.network import Network
from edgeflow.targets import Target

RUNTIME_FACTOR = 2.0
"""Band of the latency beside the model's own: the rates were measured with TFLite, and published
comparisons of the two runtimes on Arm boards lie within about a factor of 2 (an assumption)."""


def estimate(
    network: Network,
    target: Target,
    precision: str,
    compiled: Path | None,
    result: Mapping[str, Any] | None,
) -> dict[str, Estimate]:
    """MACs, memory, size; latency, power and energy where the target's figures allow them.

    Weights and activations are counted at the file's precision (biases of 32 bits); the size is
    exact once the file is there.
    """
    weights, activations = support.sizes(network, precision)
    size: float | None = None
    if result is not None and "bytes" in result:
        size = float(result["bytes"])
    elif compiled is not None:
        size = float((compiled / "model.onnx").stat().st_size)
    found = energy.common(network, size)
    source = f"counted from the Network at {precision}"
    found["weight_memory"] = Estimate.exact(weights, "B", "model", source)
    found["activation_memory"] = Estimate(
        activations, activations, 2 * activations, "B", "model",
        f"{source}: tensors that live at once; up to twice that for the runtime's arena",
    )  # fmt: skip
    if size is None:
        graph = 300 * len(network.layers)  # names, attributes and scales of each node, bytes
        found["model_size"] = Estimate(
            weights + graph, weights, 1.1 * weights + 10 * graph + 10_000, "B", "model",
            f"{source}, and about 300 B of graph for each layer",
        )  # fmt: skip
    found["latency"] = _wider(linux.latency(network, target, precision))
    found |= energy.board_energy(target, found["latency"])
    return found


def _wider(latency: Estimate) -> Estimate:
    if latency.value is None:
        return latency
    low, high = latency.low or latency.value, latency.high or latency.value
    return Estimate(
        latency.value, low / RUNTIME_FACTOR, high * RUNTIME_FACTOR, "s", latency.method,
        f"{latency.source}; of TFLite: ONNX Runtime is taken to be within a factor of "
        f"{RUNTIME_FACTOR:g}",
    )  # fmt: skip
