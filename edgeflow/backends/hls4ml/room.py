"""Whether the multipliers of a design can fit its device at all: a bound, before any synthesis."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from edgeflow.backends.base import Problem
from edgeflow.backends.hls4ml import reuse
from edgeflow.network import Layer, Network
from edgeflow.targets import Target

DSP_BITS: Final = 10
"""Operands of so many bits or more are multiplied in DSP blocks; fewer, in LUTs (hls4ml's users
see DSPs vanish below: Coelho et al. 2021, doi 10.1038/s42256-021-00356-5, table 2)."""

MARGIN: Final = 1.5
"""The bound must be passed by so much before a design is called too large: it is a rough one."""


def too_large(network: Network, target: Target, options: Mapping[str, Any]) -> str | None:
    """Why the design cannot fit, with its remedy; None where it may.

    The multipliers that run at once are the products with weights that are not 0, over the reuse
    factor. Each takes a DSP block, or LUTs: a constant of w bits has w / 3 digits that are not 0
    on average (canonical signed digits), each of which adds a term of weight plus data bits.
    """
    lut, dsp = target.figure("resources", "lut"), target.figure("resources", "dsp")
    if lut is None or dsp is None:
        return None
    blocks, luts, widest = 0.0, 0.0, 0.0
    for name, choice in reuse.choices(network, options).items():
        layer = network[name]
        kernel = layer.weights["kernel"]
        count = (kernel.size if kernel.nonzero is None else kernel.nonzero) / choice.reuse_factor
        weight = given(name, "weight", options) or _bits(kernel.bits, options)
        data = _input_bits(network, layer, options)
        each = max(1.0, weight / 3) * (weight + data)
        if max(weight, data) >= DSP_BITS:
            blocks += count
            widest = max(widest, each)
        else:
            luts += count * each
    luts += max(0.0, blocks - dsp.value) * widest
    if luts <= MARGIN * lut.value:
        return None
    return (
        f"as configured it cannot fit: its multipliers take about {luts:,.0f} LUTs beside "
        f"{min(blocks, dsp.value):,.0f} DSPs, {target.name} has {lut.value:,.0f} and "
        f"{dsp.value:,.0f}; set a larger reuse_factor, fewer bits, or a larger target"
    )


BLOCK: Final = 18 * 1024
"""Bits of a block of RAM, parity included (AMD UG473)."""
LUT_RAM: Final = 64
"""Bits that a LUT can hold (AMD UG474; not every LUT can, so this is generous)."""


def unstorable(network: Network, target: Target, options: Mapping[str, Any]) -> Problem | None:
    """Weights that the device cannot hold, whatever the strategy and the reuse factor.

    Every weight that is not 0 lies in a block of RAM, in LUTs, or is logic of no fewer LUTs.
    """
    names = ("lut", "bram_18k", "uram")
    sizes = {name: target.figure("resources", name) for name in names}
    if sizes["lut"] is None or sizes["bram_18k"] is None:
        return None
    uram = sizes["uram"].value * 288 * 1024 if sizes["uram"] else 0.0
    have = sizes["bram_18k"].value * BLOCK + uram + sizes["lut"].value * LUT_RAM
    kernels = {
        layer.name: layer.weights["kernel"] for layer in network if "kernel" in layer.weights
    }
    counts = {name: k.size if k.nonzero is None else k.nonzero for name, k in kernels.items()}
    need = sum(
        counts[name] * (given(name, "weight", options) or _bits(kernel.bits, options))
        for name, kernel in kernels.items()
    )
    if need <= have:
        return None
    fits = have / max(1, sum(counts.values()))
    advice = f"{int(fits)} bits a weight would fit" if fits >= 1 else "prune it, or make it smaller"
    return Problem(
        None,
        f"its weights take {need / 1e6:.3g} Mbit, {target.name} holds {have / 1e6:.3g} Mbit at "
        f"most: {need / have:.3g} times too much",
        f"{advice}; or choose a larger target",
    )


def _bits(bits: float, options: Mapping[str, Any]) -> float:
    """Bits of a type in the project: a float model's values get the option's."""
    return min(bits, float(options["bits"]))


def given(name: str, role: str, options: Mapping[str, Any]) -> float | None:
    """Bits of the type that the options give a layer's weights or result; None without one."""
    own = options["layers"].get(name) or {}
    found = re.search(r"<\s*(\d+)", own.get(role) or own.get("precision") or "")
    return float(found[1]) if found else None


def _input_bits(network: Network, layer: Layer, options: Mapping[str, Any]) -> float:
    """Bits of what a layer reads, through layers that only pass it on."""
    while layer.inputs:
        layer = network[layer.inputs[0]]
        if found := given(layer.name, "result", options):
            return found
        if layer.quantizer is not None or layer.macs:
            break
    return _bits(layer.activation_bits, options)
