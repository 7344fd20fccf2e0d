"""What a file costs on an NPU, from Vela's own estimates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from edgeflow.backends.ethos_u import operators
from edgeflow.estimate import energy, ethos_u
from edgeflow.estimate.quantity import Estimate, unknown
from edgeflow.network import Network
from edgeflow.targets import Target

SPREAD = 1.5
"""Vela calls its cycles 'internal compiler estimates'; no published measurement of the same files
bounds their error, so the band is an assumption and says so."""


def estimate(
    network: Network,
    found: dict[str, Estimate],
    target: Target,
    result: Mapping[str, Any] | None,
    accelerator: str | None = None,
) -> dict[str, Estimate]:
    """The .tflite file's figures with Vela's cycles, latency and memory.

    Before Vela has run, what a model of Vela says (`edgeflow.estimate.ethos_u`):
    ``latency_cycles``, ``latency``, ``throughput``, ``sram`` and ``flash``. `accelerator` is the
    option's, where the target's is not meant.

    ``sram`` and ``flash`` in bytes; ``dram_traffic`` … in bytes per inference where the memory is
    used at all, ``dram_bandwidth`` … in bytes per second; ``throughput`` in inferences per second;
    ``model_size`` is the compiled file's.
    """
    if not result or "cycles" not in result:
        return _before(network, found, target, accelerator)
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


def _before(
    network: Network, found: dict[str, Estimate], target: Target, accelerator: str | None
) -> dict[str, Estimate]:
    """What can be said without Vela; no latency where layers run on the processor."""
    if accelerator:
        target = replace(target, settings={**target.settings, "accelerator": accelerator})
    said = ethos_u.estimate(network, target)
    name = str(target.settings.get("accelerator") or "")
    if name and (left := operators.remarks(network, name)):
        reason = f"{left[0]}; the estimate has the NPU's part alone"
        for quantity, unit in (("latency", "s"), ("throughput", "1/s")):
            said[quantity] = unknown(unit, reason)
    found = found | said
    return found | energy.board_energy(target, found["latency"])
