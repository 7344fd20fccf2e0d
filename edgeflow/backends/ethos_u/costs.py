"""What a file costs on an NPU, from Vela's own estimates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeflow.estimate import energy
from edgeflow.estimate.quantity import Estimate, unknown
from edgeflow.targets import Target

SPREAD = 1.5
"""Vela calls its cycles 'internal compiler estimates'; no published measurement of the same files
bounds their error, so the band is an assumption and says so."""


def estimate(
    found: dict[str, Estimate], target: Target, result: Mapping[str, Any] | None
) -> dict[str, Estimate]:
    """The .tflite file's figures with Vela's cycles, latency and memory.

    ``sram`` and ``flash`` in bytes; ``dram_traffic`` … in bytes per inference where the memory is
    used at all, ``dram_bandwidth`` … in bytes per second; ``throughput`` in inferences per second;
    ``model_size`` is the compiled file's.
    """
    if not result or "cycles" not in result:
        reason = "only the NPU's compiler can say: compile the model"
        return found | {"latency_cycles": unknown("cycles", reason)}
    source = (
        f"Vela {result['version']}, {result['accelerator']}, {result['system_config']}, "
        f"{result['memory_mode']}"
    )
    cycles = result["cycles"]["total"]
    found["latency_cycles"] = Estimate.exact(cycles, "cycles", "model", source)
    found["npu_cycles"] = Estimate.exact(result["cycles"]["npu"], "cycles", "model", source)
    found["model_size"] = Estimate.exact(result["file_bytes"], "B", "synthesised", source)
    seconds = cycles / result["clock_hz"]
    on_cpu = len(result["cpu_operators"])
    if on_cpu:
        found["latency"] = unknown(
            "s",
            f"{on_cpu} operators run on the processor beside the NPU, of which Vela says nothing; "
            f"the NPU's part takes {seconds:.3g} s",
            "model",
            source,
        )
    else:
        found["latency"] = Estimate(
            seconds, seconds / SPREAD, seconds * SPREAD, "s", "model",
            f"{source}; the compiler's own estimate, its band assumed ({SPREAD}x)",
        )  # fmt: skip
        found["throughput"] = Estimate(
            1 / seconds, 1 / (seconds * SPREAD), SPREAD / seconds, "1/s", "model",
            f"{source}; one inference after the other",
        )  # fmt: skip
    memory, traffic = result["memory"], result["traffic"]
    found["sram"] = Estimate.exact(memory["sram"], "B", "model", source)
    flash = memory["on_chip_flash"] + memory["off_chip_flash"]
    found["flash"] = Estimate.exact(flash, "B", "model", source)
    found["dram"] = Estimate.exact(memory["dram"], "B", "model", source)
    for name, size in traffic.items():
        if size:
            found[f"{name}_traffic"] = Estimate.exact(size, "B", "model", source)
            if not on_cpu:
                rate = size / seconds
                found[f"{name}_bandwidth"] = Estimate(
                    rate, rate / SPREAD, rate * SPREAD, "B/s", "model",
                    f"{source}; traffic over latency",
                )  # fmt: skip
    return found | energy.board_energy(target, found["latency"])
