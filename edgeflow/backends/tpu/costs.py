"""What a graph costs on a TPU: from the Network, the artifact and the TPU's own compiler.

The time of a batch is ``max(cycles / clock, bytes / bandwidth)``, cycles being the sum of what the
compiler estimates for each operation; without the compiler, a roofline's
(`edgeflow.estimate.tpu`). For ResNet-50 on a v3 this came within 9 % of the MLPerf
v0.5 submission. A small graph takes some microseconds on the device and waits for the host for
longer, which the upper end of the band allows for.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from edgeflow.backends.tpu.checks import activation_bytes, weight_bytes
from edgeflow.backends.tpu.generations import GENERATIONS
from edgeflow.estimate import energy, tpu, workload
from edgeflow.estimate.quantity import Estimate, unknown
from edgeflow.network import Network
from edgeflow.targets import Target

DEVICE_BAND: Final = 1.5
"""The device's time is within this factor (9 % was seen on one large model; small ones, and
generations whose clock is derived, were not compared with any measurement)."""

LAUNCH_S: Final = 200e-6
"""At most so long does the host take to start a graph and to fetch its result (PCIe, driver):
tens of microseconds in general; an assumption, in the upper end of the band only."""


def estimates(
    network: Network,
    target: Target,
    options: Mapping[str, Any],
    compiled: Path | None,
    result: Mapping[str, Any],
) -> dict[str, Estimate]:
    """Every quantity of the backend; null with its reason where nothing honest can be said."""
    batch = int(options.get("batch", 1))
    totals = network.totals
    counted = "counted on the Network"
    found = {
        "macs": Estimate.exact(totals.macs, "MAC", "model", counted),
        "parameters": Estimate.exact(totals.parameters, "1", "model", counted),
        "weight_memory": Estimate.exact(
            weight_bytes(network, options), "B", "model", f"{counted}: kernels as in the graph"
        ),
    }
    size = compiled / "model.stablehlo" if compiled else None
    found["model_size"] = (
        Estimate.exact(size.stat().st_size, "B", "measured", "size of model.stablehlo")
        if size and size.is_file()
        else unknown("B", "the model has not been compiled")
    )
    ahead = result.get("ahead")
    if isinstance(ahead, Mapping):
        batch = int(ahead["batch"])
        found |= _of_compiler(target, ahead)
    else:
        reason = str(
            result.get("ahead_reason") or "it takes the TPU's compiler, which has not been run"
        )
        need = activation_bytes(network) * batch
        found["activation_memory"] = Estimate.within(
            need, 2, "B", "model", f"{counted}: peak of float32 activations, batch {batch}"
        )
        found |= {
            name: unknown(unit, reason, "simulated")
            for name, unit in _OF_COMPILER.items()
            if name != "activation_memory"
        }
        found |= _roofline(network, target, batch, str(options.get("precision") or "float32"))
    return found | energy.tpu_energy(target, found["latency"], batch)


_OF_COMPILER: Final = {
    "activation_memory": "B",
    "hbm_footprint": "B",
    "flops": "FLOP",
    "bytes_accessed": "B",
    "latency_cycles": "cycles",
    "latency": "s",
    "throughput": "1/s",
}


def _roofline(network: Network, target: Target, batch: int, precision: str) -> dict[str, Estimate]:
    """Cycles, latency and throughput of a batch without the compiler; nothing for a generation,
    a precision or a Network of which nothing can be said."""
    name = str(target.settings.get("generation"))
    if name not in tpu.UNITS or precision not in tpu.PASSES or not network.layers:
        return {}
    works = workload.counted(network)
    if not works:
        return {}
    table = tpu.coefficients()
    cycles = tpu.cycles(works, name, batch, precision, table["constants"])
    clock = (target.clock_mhz or GENERATIONS[name].clock_mhz) * 1e6
    band, seconds = table["band"], cycles / clock
    low, high = seconds / band, seconds * band + LAUNCH_S
    source = (
        f"{table['source']}, not compiled; TPU {name}, batch {batch}, {precision}, "
        f"{clock / 1e6:.0f} MHz; the upper end adds {LAUNCH_S * 1e6:.0f} us for the host's launch"
    )
    return {
        "latency_cycles": Estimate.within(cycles, band, "cycles", "model", source),
        "latency": Estimate(seconds, low, high, "s", "model", source),
        "throughput": Estimate(batch / seconds, batch / high, batch / low, "1/s", "model", source),
    }


def _of_compiler(target: Target, ahead: Mapping[str, Any]) -> dict[str, Estimate]:
    name = str(ahead["generation"])
    generation = GENERATIONS[name]
    batch = int(ahead["batch"])
    said = f"libtpu {ahead['libtpu']} for TPU {name}, batch {batch}"
    memory = ahead["memory"]
    found = {
        "activation_memory": Estimate.exact(
            memory["arguments"] + memory["outputs"] + memory["temporaries"],
            "B",
            "synthesised",
            f"{said}: arguments, outputs and temporaries, as padded to the chip's tiles",
        ),
        "hbm_footprint": Estimate.exact(
            sum(memory.values()),
            "B",
            "synthesised",
            f"{said}: arguments, outputs, temporaries and code with its constants",
        ),
        "flops": _reported(ahead, "flops", "FLOP", said),
        "bytes_accessed": _reported(
            ahead, "bytes_accessed", "B", f"{said}: of each operation, on-chip memory included"
        ),
    }
    cycles = ahead.get("cycles")
    if not cycles or ahead.get("loops_unknown"):
        reason = (
            "the compiler does not say how often a loop of the graph runs"
            if cycles
            else "the compiler gives no cycles for this graph"
        )
        units = {"latency_cycles": "cycles", "latency": "s", "throughput": "1/s"}
        return found | {name: unknown(unit, reason) for name, unit in units.items()}
    clock = (target.clock_mhz or generation.clock_mhz) * 1e6
    bandwidth = target.memory.get("bandwidth")
    traffic = (ahead.get("bytes_accessed") or 0) / bandwidth.value if bandwidth else 0.0
    device = max(cycles / clock, traffic)
    bound = "cycles at the clock" if device > traffic else "bytes at the memory's bandwidth"
    origin = "clock of the target" if target.clock_mhz else generation.clock_source
    low, high = device / DEVICE_BAND, device * DEVICE_BAND + LAUNCH_S
    text = (
        f"{said}: {bound}; {clock / 1e6:.0f} MHz ({origin}); "
        f"the band's upper end adds {LAUNCH_S * 1e6:.0f} us for the host's launch"
    )
    return found | {
        "latency_cycles": Estimate.within(
            cycles, DEVICE_BAND, "cycles", "simulated", f"{said}: sum of its estimated cycles"
        ),
        "latency": Estimate(device, low, high, "s", "simulated", text),
        "throughput": Estimate(batch / device, batch / high, batch / low, "1/s", "simulated", text),
    }


def _reported(ahead: Mapping[str, Any], name: str, unit: str, said: str) -> Estimate:
    value = ahead.get(name)
    if ahead.get("loops"):
        return unknown(unit, "the compiler counts the body of a loop once", "synthesised")
    if value is None or value < 0:
        return unknown(unit, "the compiler does not say", "synthesised")
    return Estimate.exact(value, unit, "synthesised", said)
