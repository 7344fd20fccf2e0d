"""Cycles, memory and latency of a network on an Arm Ethos-U NPU, before Vela compiles it.

Each operation takes the longest of its arithmetic, its kernel from flash or DRAM, and its
activations, and some cycles of its own; cycles add up, as in Vela's own performance model::

    product      positions x taps x inputs (in 16s) x outputs (in 8s) / MACs per cycle
    depthwise    positions x taps x outputs (in 8s) x depthwise / MACs per cycle
    others       elements x (pool, elementwise, function, move) / root of MACs per cycle
    kernel       bytes x compression / bytes per cycle of the memory that holds it
    activations  (read + written) x activation / root of MACs per cycle, or, where they exceed the
                 cache of a target with DRAM, x spilled / bytes per cycle

Coefficients (``coefficients/ethos_u.json``) come from Vela's cycles for a score of networks on all
targets (`edgeflow.estimate.ethos_u_calibration`): the figure says what Vela would say, not what
silicon takes. Standard library alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from edgeflow.estimate import workload
from edgeflow.estimate.quantity import Estimate, unknown
from edgeflow.estimate.workload import Counted, Work
from edgeflow.network import Network
from edgeflow.targets import Target

COEFFICIENTS: Final = Path(__file__).with_name("coefficients") / "ethos_u.json"
NAME: Final = re.compile(r"ethos-(u\d\d)-(\d+)$")


@cache
def coefficients() -> dict[str, Any]:
    """What the calibration found."""
    found: dict[str, Any] = json.loads(COEFFICIENTS.read_text())
    return found


def npu(target: Target) -> tuple[str, int] | None:
    """Family (``u55``, ``u65``, ``u85``) and MACs per cycle; None for what is no Ethos-U."""
    found = NAME.match(str(target.settings.get("accelerator") or ""))
    return (found[1], int(found[2])) if found else None


def cycles(works: Counted, target: Target, constants: Mapping[str, float]) -> float:
    """Cycles of the NPU's clock for one inference.

    Raises:
        ValueError: the target is no Ethos-U, or says neither clock nor bandwidth.
    """
    found = npu(target)
    bandwidth = target.figure("memory", "bandwidth")
    if found is None or bandwidth is None or not target.clock_mhz:
        raise ValueError(f"{target.name}: expected an Ethos-U with a clock and a bandwidth")
    family, macs = found
    per_cycle = bandwidth.value / (target.clock_mhz * 1e6)
    cache = target.figure("memory", "on_chip")
    total = constants["call"]
    for work, count in works:
        compute = _arithmetic(work, family, macs, constants)
        kernel = (work.weights * constants["compression"] + 10 * work.biases) / per_cycle
        moved = (work.read + work.written) * constants["activation"] / macs**0.5
        if cache is not None and work.read + work.written > cache.value:
            moved = max(moved, (work.read + work.written) * constants["spilled"] / per_cycle)
        total += count * (max(compute, kernel, moved) + constants[f"{family}_operation"])
    return total


def _arithmetic(work: Work, family: str, macs: int, constants: Mapping[str, float]) -> float:
    if work.group == "product":
        inputs = work.taps * work.inputs if work.inputs <= 4 else work.taps * _up(work.inputs, 16)
        sums = work.steps * work.positions * _up(work.outputs, 8)
        return float(constants["product"] * sums * inputs / macs)
    if work.group == "depthwise":
        sums = work.positions * _up(work.outputs, 8) * work.taps
        return float(constants[f"{family}_depthwise"] * sums / macs)
    return float(constants[work.group] * max(work.read, work.written) / macs**0.5)


def estimate(network: Network, target: Target) -> dict[str, Estimate]:
    """``latency_cycles``, ``latency`` (s), ``throughput``, ``sram`` and ``flash`` (B)."""
    units = {
        "latency_cycles": "cycles", "latency": "s", "throughput": "1/s", "sram": "B", "flash": "B",
    }  # fmt: skip
    works = workload.counted(network)
    clock = target.clock_mhz
    if npu(target) is None or target.figure("memory", "bandwidth") is None or not clock:
        reason = f"the target '{target.name}' is no Ethos-U with a clock and a memory's bandwidth"
        return {name: unknown(unit, reason) for name, unit in units.items()}
    if not works:
        return {name: unknown(u, "the Network has no operations") for name, u in units.items()}
    table = coefficients()
    constants, bands = table["constants"], table["bands"]
    count = cycles(works, target, constants)
    source = f"{table['source']}; before compilation"
    found = {
        "latency_cycles": Estimate.within(count, bands["cycles"], "cycles", "model", source),
        "latency": Estimate.within(
            count / (clock * 1e6), bands["cycles"], "s", "model", f"{source}; {clock:g} MHz"
        ),
        "throughput": Estimate.within(
            clock * 1e6 / count, bands["cycles"], "1/s", "model",
            f"{source}; one inference after the other",
        ),
    }  # fmt: skip
    for name, size in (("sram", sram(network, target)), ("flash", flash(network))):
        if size > 0:
            found[name] = Estimate.within(size, bands[name], "B", "model", source)
        else:
            found[name] = unknown("B", "the Network has no activations or no kernels")
    return found


def sram(network: Network, target: Target) -> float:
    """Bytes of activations that live at once, int8; at most a dedicated cache's."""
    peak = alive_bytes(network)
    cache = target.figure("memory", "on_chip")
    return min(peak, cache.value) if cache is not None else peak


def flash(network: Network) -> float:
    """Bytes of kernels, compressed, and of biases with their scales (10 B each)."""
    compression = float(coefficients()["constants"]["stored"])
    works = workload.of(network)
    return sum(work.weights * compression + 10 * work.biases for work in works)


def alive_bytes(network: Network) -> float:
    """The most bytes of tensors alive at once, one byte an element; views and folds share one."""
    merged = {layer.name: layer.name for layer in network}
    for layer in network:
        if len(layer.inputs) == 1 and layer.kind in workload.FREE | workload.FUSED:
            merged[layer.name] = merged[layer.inputs[0]]
    last: dict[str, int] = {merged[name]: len(network.layers) for name in network.outputs}
    for index, layer in enumerate(network):
        for name in layer.inputs:
            last[merged[name]] = max(last.get(merged[name], 0), index)
    alive: dict[str, int] = {}
    peak = 0
    for index, layer in enumerate(network):
        root = merged[layer.name]
        if layer.kind != "constant":
            alive[root] = max(alive.get(root, 0), layer.output_size)
        peak = max(peak, sum(alive.values()))
        for name in [key for key in alive if last.get(key, index) <= index]:
            del alive[name]
    return float(peak)


def _up(count: int, step: int) -> int:
    return -(-count // step) * step
