"""Energy of single operations by node, for what-if questions: what would this arithmetic cost?

The published numbers are those of M. Horowitz, "Computing's energy problem", ISSCC 2014, figure
1.1.9: 45 nm, 0.9 V. Between them, integer adders go with the bits, integer multipliers with the
product of the operands' bits, and an SRAM's access with the root of its size. Another node scales
them by feature size and voltage squared: capacitance follows length, and C V^2 the energy (a rough
rule: Stillmaker and Baas, "Scaling equations", Integration 58, 2017, has tables).

It is arithmetic and memory accesses alone: no clock tree, no instructions, no leakage, no idle
cycles. A microcontroller spends far more (docs/energy.md has by how much). It ranks networks, and
says what a circuit without any overhead would need. Units: J, bits, nm, V. Standard library alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from edgeflow.errors import InputError
from edgeflow.estimate.quantity import Estimate
from edgeflow.network import Layer, Network
from edgeflow.targets import Target

ASKED: Final = {
    "node_nm": "a process node in nm, for the energy of the operations alone",
    "node_v": "that node's core voltage",
}
"""The settings that this module reads."""

NODE_NM: Final = 45.0
VOLTS: Final = 0.9

ADD: Final = {"int8": 0.03e-12, "int32": 0.1e-12, "float16": 0.4e-12, "float32": 0.9e-12}
MULTIPLY: Final = {"int8": 0.2e-12, "int32": 3.1e-12, "float16": 1.1e-12, "float32": 3.7e-12}
SRAM: Final = ((8 * 1024, 10e-12), (32 * 1024, 20e-12), (1024 * 1024, 100e-12))
"""Bytes of the memory, joules per access of 64 bits."""
DRAM: Final = (1300e-12, 2600e-12)
"""Joules per access of 64 bits: least and most."""

NOMINAL: Final = {
    180: 1.8, 130: 1.3, 90: 1.1, 65: 1.0, 55: 1.0, 45: 0.9, 40: 0.9, 32: 0.9, 28: 0.9, 22: 0.8,
    20: 0.8, 16: 0.8, 14: 0.8, 12: 0.8, 10: 0.75, 7: 0.7, 5: 0.65,
}  # fmt: skip
"""Volts by node where none are given: usual core voltages; 45 nm at Horowitz' own."""

SCALING: Final = 2.0
"""Band's factor for another node. Assumed."""
SAME_NODE: Final = 1.5
"""Band's factor at 45 nm: interpolation between the published widths. Assumed."""


@dataclass(frozen=True)
class Process:
    """A node (nm) and its core voltage (V)."""

    node_nm: float = NODE_NM
    volts: float = VOLTS

    @classmethod
    def of(cls, node_nm: float, volts: float | None = None) -> Process:
        """A process; the voltage that is usual at the nearest node where none is given.

        Raises:
            InputError: a node or voltage that cannot be.
        """
        if not 1 <= node_nm <= 1000:
            raise InputError(f"expected a node of 1 to 1000 nm, found {node_nm:g}")
        if volts is not None and not 0.1 <= volts <= 6:
            raise InputError(f"expected a core voltage of 0.1 to 6 V, found {volts:g}")
        nearest = min(NOMINAL, key=lambda node: abs(math.log(node / node_nm)))
        return cls(node_nm, NOMINAL[nearest] if volts is None else volts)

    @property
    def scale(self) -> float:
        """Energy of an operation against 45 nm and 0.9 V."""
        return self.node_nm / NODE_NM * (self.volts / VOLTS) ** 2

    @property
    def factor(self) -> float:
        """The band's."""
        return SAME_NODE if abs(self.scale - 1) < 1e-9 else SCALING


REFERENCE: Final = Process()
"""Horowitz' own."""


def add(bits: float, process: Process = REFERENCE, *, floating: bool = False) -> float:
    """Energy (J) of one addition; linear between the published widths and beyond them."""
    small, large = ("float16", "float32") if floating else ("int8", "int32")
    low, high = (16.0, 32.0) if floating else (8.0, 32.0)
    slope = (ADD[large] - ADD[small]) / (high - low)
    at_45 = ADD[small] + (bits - low) * slope if bits >= low else ADD[small] * bits / low
    return at_45 * process.scale


def multiply(
    bits: float, other_bits: float, process: Process = REFERENCE, *, floating: bool = False
) -> float:
    """Energy (J) of one multiplication.

    Integers: with the product of the operands' bits, 0.2 pJ at 8 x 8 and 3.1 pJ at 32 x 32 (the
    published widths differ a little from that rule: exact at both, a power law between).
    """
    if floating:
        wide = max(bits, other_bits) > 16
        return MULTIPLY["float32" if wide else "float16"] * process.scale
    power = math.log(MULTIPLY["int32"] / MULTIPLY["int8"]) / math.log(32 * 32 / 64)
    return MULTIPLY["int8"] * math.pow(bits * other_bits / 64, power) * process.scale


def sram(bits: float, capacity_bytes: float, process: Process = REFERENCE) -> float:
    """Energy (J) to move so many bits to or from an SRAM of a capacity.

    A power law through the published sizes (about the root of the size); not below that of 1 KB.
    """
    (small, e_small), _, (large, e_large) = SRAM
    power = math.log(e_large / e_small) / math.log(large / small)
    access = e_small * math.pow(max(capacity_bytes, 1024.0) / small, power)
    return access * bits / 64 * process.scale


def dram(bits: float) -> tuple[float, float]:
    """Energy (J), least and most, to move so many bits to or from DRAM; of any node: the bus."""
    return DRAM[0] * bits / 64, DRAM[1] * bits / 64


def extend(network: Network, target: Target) -> dict[str, Estimate]:
    """``operation_energy`` (J) where the target's settings ask for a node: ``node_nm``, and
    ``node_v`` for its voltage.

    Raises:
        InputError: a node or voltage that cannot be.
    """
    node, volts = (_number(target, key) for key in ASKED)
    if node is None:
        return {}
    return {"operation_energy": network_energy(network, Process.of(node, volts))["total"]}


def _number(target: Target, key: str) -> float | None:
    value = target.settings.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"expected a number for {key}, found {value!r}", where="--set")
    return float(value)


def layer_energy(
    layer: Layer, input_bits: float, memory_bytes: float, process: Process
) -> dict[str, float]:
    """Energy (J) of one layer: ``arithmetic`` and ``memory``.

    Each MAC is a multiplication of the operands' bits and an addition as wide as their products'
    sum; inputs, weights and outputs cross the memory once (as QKeras' qenergy counts them).
    """
    kernel = layer.weights.get("kernel")
    weight_bits = layer.weight_bits or 8.0
    floating = weight_bits >= 32 and input_bits >= 32
    macs = float(layer.macs)
    if kernel is not None and kernel.nonzero is not None and kernel.size:
        macs *= kernel.nonzero / kernel.size
    accumulator = weight_bits + input_bits + 4
    arithmetic = macs * (
        multiply(weight_bits, input_bits, process, floating=floating)
        + add(32 if floating else max(accumulator, 8.0), process, floating=floating)
    )
    moved = sum(weight.size * weight.bits for weight in layer.weights.values())
    moved += sum(math.prod(dim or 1 for dim in shape) for shape in layer.input_shapes) * input_bits
    moved += layer.output_size * layer.activation_bits
    return {"arithmetic": arithmetic, "memory": sram(moved, memory_bytes, process)}


def network_energy(
    network: Network, process: Process = REFERENCE, memory_bytes: float | None = None
) -> dict[str, Any]:
    """Energy of one inference by its operations.

    Args:
        network: the model.
        process: node and voltage.
        memory_bytes: of the SRAM that holds weights and activations; what they need by default.

    Returns:
        ``total`` (an Estimate in J) and ``layers`` {name: {``arithmetic``, ``memory``} in J}.
    """
    totals = network.totals
    need = memory_bytes or max(totals.weight_bytes + totals.activation_bytes, 1024.0)
    layers = {}
    for layer in network.layers:
        if layer.kind == "input":
            continue
        sources = [network[name].activation_bits for name in layer.inputs]
        layers[layer.name] = layer_energy(layer, max(sources, default=8.0), need, process)
    total = sum(sum(parts.values()) for parts in layers.values())
    source = (
        f"Horowitz, ISSCC 2014 (45 nm, 0.9 V), at {process.node_nm:g} nm and {process.volts:g} V "
        f"(x {process.scale:.3g}, by length and voltage squared); memory of {need:,.0f} B; "
        "arithmetic and memory accesses alone, without clocks, instructions and leakage"
    )
    estimate = (
        Estimate.within(total, process.factor, "J", "model", source)
        if total > 0
        else Estimate.exact(0.0, "J", "model", source)
    )
    return {"total": estimate, "layers": layers}
