"""What a file costs on the Edge TPU: its time, and the memory for parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from edgeflow.backends.edge_tpu import rules_job as rules
from edgeflow.backends.tflite import operators
from edgeflow.estimate import edge_tpu
from edgeflow.estimate.quantity import Estimate
from edgeflow.network import Network
from edgeflow.targets import Target

STORED = (0.98, 1.2)
"""Measured against the parameters inside four compiled files: 3 to 15 % more than our count, most
where depthwise convolutions dominate; within 0.5 % for plain convolutions and dense layers."""


def estimate(
    network: Network,
    found: dict[str, Estimate],
    target: Target,
    result: Mapping[str, Any] | None,
) -> dict[str, Estimate]:
    """The .tflite file's figures with the Edge TPU's time and memory.

    ``latency`` in seconds; ``on_chip_parameters`` and ``off_chip_parameters`` in bytes (the latter
    streamed for each inference); ``mapped_operators`` once there is a file. Operators that stay on
    the processor are not in the time; where some do, its source says so.
    """
    found = {**found, **edge_tpu.estimate(network, target)}
    on_processor = any(operator not in rules.BY_KIND for _, operator in operators.of(network))
    if result and "parameter_memory" in result:
        source = result["source"]
        memory = result["parameter_memory"]
        compiled = result["compiler"] is not None
        for place in ("on_chip", "off_chip"):
            size = memory[place]
            if compiled:
                figure = Estimate.exact(size, "B", "synthesised", source)
            else:
                figure = Estimate(
                    size, STORED[0] * size, STORED[1] * size, "B", "model",
                    "counted from the file's weights, as the compiler stores them",
                )  # fmt: skip
            found[f"{place}_parameters"] = figure
        said = source if compiled else "the published rules (coral.ai, TensorFlow models)"
        method = "synthesised" if compiled else "model"
        on_processor = bool(result.get("on_cpu"))
        found["mapped_operators"] = Estimate.exact(result["mapped"], "1", method, said)
        if compiled:
            found["model_size"] = Estimate.exact(result["file_bytes"], "B", "synthesised", source)
    if on_processor and found["latency"].value is not None:
        words = f"{found['latency'].source}; without what runs on the processor"
        found["latency"] = replace(found["latency"], source=words)
    return found | edge_tpu.power(network, target, found["latency"])
