"""Reuse factors of the stream style: which a layer can have, what each costs, which to take.

A layer of n_in x n_out products per position (and `window` positions of the input for each) gets
so many multipliers side by side; the reuse factor is the cycles that a position then takes. Only
whole groups of channels can be shared out: the parallel inputs divide the channels, the parallel
outputs the filters.

The cost model counts; its coefficients are those of plain arithmetic on 4-input LUTs (an adder's
bit is 1.2 LUTs, a bit of a partial product 1.3), found with yosys on ECP5.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from edgeflow.network import Layer, Network

SHARED = ("dense", "conv1d", "conv2d", "depthwise_conv1d", "depthwise_conv2d")
"""Kinds whose multipliers are shared; pools share their comparators and adders alike."""
LUT_SHARE = 0.7
"""Part of a device's LUTs that ``auto`` plans with: routing gets hard beyond."""
LUT_ROM = 128
"""Words up to which weights are LUTs, not block RAM."""
ENGINE_LUTS = 250.0
"""LUTs of an engine's counters and handshakes."""
MULTIPLIER = 1.3
"""LUTs of a multiplier per bit of one factor and bit of the other."""
UNROLLED = 0.6
"""LUTs per weight, digit and bit of a product that is unrolled and shares its terms."""
DEFAULT_BITS = 8.0
"""Width of values or weights that the Network does not say."""


@dataclass(frozen=True)
class Work:
    """What a layer does for each inference: ``positions`` outputs of ``filters``, from
    ``window * channels`` inputs each. ``each``: every channel on its own. ``pixels``: positions
    of the padded input, where a line buffer can make its windows; None where it cannot."""

    name: str
    positions: int
    window: int
    channels: int
    filters: int
    each: bool
    weighted: bool
    x_bits: float
    w_bits: float
    pixels: int | None = None


@dataclass(frozen=True)
class Folding:
    """So many inputs and outputs in parallel; ``factor`` is cycles per position, ``cycles`` per
    inference; ``lut`` by the cost model, multipliers apart. ``window``: whole windows from a
    line buffer; of factor 1, the products are unrolled into adders."""

    inputs: int
    outputs: int
    factor: int
    cycles: int
    multipliers: int
    lut: float
    multiplier_lut: float
    window: bool = False


@dataclass(frozen=True)
class Choice:
    """What a layer gets; ``asked`` is the user's reuse factor, ``dsp`` how many of its
    multipliers may be DSP blocks (the others are made of adders)."""

    inputs: int
    outputs: int
    factor: int
    cycles: int
    multipliers: int
    asked: int | None
    dsp: int
    window: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain data for the design's record."""
        return {
            "parallel_inputs": self.inputs,
            "parallel_outputs": self.outputs,
            "used": self.factor,
            "asked": self.asked,
            "cycles": self.cycles,
            "multipliers": self.multipliers,
            "dsp": self.dsp,
            "line_buffer": self.window,
        }


@dataclass(frozen=True)
class Budget:
    """What a device has: 4-input LUTs (a 6-input one counts as 1.6), multiplier blocks, memory
    bits in blocks of ``block_bits``. None: not known."""

    lut: float | None = None
    dsp: float | None = None
    ram_bits: float | None = None
    block_bits: int = 18432


@lru_cache(maxsize=1024)
def divisors(number: int) -> tuple[int, ...]:
    """All divisors, ascending."""
    low = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return tuple(sorted({*low, *(number // d for d in low)}))


def work_of(layer: Layer, network: Network) -> Work | None:
    """The work of a layer that an engine computes; None for any other."""
    pool = "pool" in layer.kind
    if layer.kind not in SHARED and not pool:
        return None
    shape = [int(dim or 1) for dim in layer.input_shapes[0]]
    out = [int(dim or 1) for dim in layer.output_shape]
    x_bits = _bits_into(layer, network)
    each = pool or layer.kind.startswith("depthwise")
    if layer.kind == "dense":
        window, positions, filters = 1, math.prod(out[:-1]), out[-1]
    elif layer.kind.startswith("global"):
        window, positions, filters = math.prod(shape[:-1]), 1, shape[-1]
    else:
        given = layer.weights["kernel"].shape[: len(shape) - 1] if not pool else None
        size = given or layer.attributes["pool_size"]
        size = size if isinstance(size, (list, tuple)) else [size] * (len(shape) - 1)
        window, positions, filters = math.prod(size), math.prod(out[:-1]), out[-1]
    bits = layer.weight_bits
    pixels = None if each else _pixels(layer, shape, out)
    w_bits = 1.0 if pool else (DEFAULT_BITS if bits is None or bits > 16 else bits)
    return Work(
        layer.name, positions, window, shape[-1], filters, each, not pool, x_bits, w_bits, pixels
    )


def _pixels(layer: Layer, shape: Sequence[int], out: Sequence[int]) -> int | None:
    """Beats that a line buffer reads for one inference; None where there is no line buffer."""
    if layer.kind == "dense":
        return math.prod(out[:-1])
    rank = len(shape) - 1
    dilation = layer.attributes.get("dilation_rate") or 1
    if set(dilation if isinstance(dilation, (list, tuple)) else [dilation]) != {1}:
        return None
    if layer.attributes.get("padding", "valid") == "valid":
        return math.prod(shape[:-1])
    size = layer.weights["kernel"].shape[:rank]
    strides = layer.attributes.get("strides") or 1
    strides = strides if isinstance(strides, (list, tuple)) else [strides] * rank
    return math.prod(
        max(n, (o - 1) * s + k)
        for n, o, s, k in zip(shape[:-1], out[:-1], strides, size, strict=True)
    )


def _bits_into(layer: Layer, network: Network) -> float:
    """Bits of the values that a layer reads: those of the last rounding before it."""
    at = layer
    while at.inputs:
        at = network[at.inputs[0]]
        if at.quantizer is not None and at.quantizer.bits < 32:
            return at.quantizer.bits
        if at.kind in SHARED:
            break
    return DEFAULT_BITS


@lru_cache(maxsize=4096)
def foldings(work: Work) -> tuple[Folding, ...]:
    """Every legal folding, the fastest first; of equally fast ones the cheapest first."""
    found = []
    term = work.x_bits + work.w_bits
    accumulator = term + math.log2(max(2, work.window * work.channels))
    for inputs in divisors(work.channels):
        for outputs in (inputs,) if work.each else divisors(work.filters):
            groups = work.channels // inputs * (1 if work.each else work.filters // outputs)
            factor = work.window * groups
            many = inputs * (1 if work.each else outputs) if work.weighted else 0
            lut = ENGINE_LUTS + accumulator * outputs
            lut += term * outputs * (inputs - 1) if not work.each else 0
            lut += 2 * work.x_bits * inputs  # its part of the adapters before it
            lut += 2 * accumulator * outputs  # rounding behind it
            found.append(
                Folding(
                    inputs,
                    outputs,
                    factor,
                    work.positions * factor,
                    many,
                    lut,
                    MULTIPLIER * work.x_bits * work.w_bits * many,
                )
            )
    if work.pixels is not None:
        found += _windowed(work, term, accumulator)
    return tuple(sorted(found, key=lambda f: (f.factor, f.lut + f.multiplier_lut, f.inputs)))


def _windowed(work: Work, term: float, accumulator: float) -> list[Folding]:
    """Foldings over whole windows: more inputs in parallel than a pixel has, or all unrolled."""
    assert work.pixels is not None
    whole = work.window * work.channels
    buffer = ENGINE_LUTS + 2 * whole * work.x_bits
    digits = max(0.5, work.w_bits / 3 - 0.2)
    found = [
        Folding(
            whole, work.filters, 1, max(work.positions, work.pixels), 0,
            buffer + UNROLLED * digits * term * whole * work.filters
            + 2 * accumulator * work.filters,
            0.0, True,
        )
    ]  # fmt: skip
    for inputs in divisors(whole):
        for outputs in divisors(work.filters):
            factor = whole // inputs * (work.filters // outputs)
            if inputs <= work.channels or factor == 1:
                continue
            lut = buffer + ENGINE_LUTS + 3 * accumulator * outputs
            lut += term * outputs * (inputs - 1)
            found.append(
                Folding(
                    inputs, outputs, factor, max(work.positions * factor, work.pixels),
                    inputs * outputs, lut,
                    MULTIPLIER * work.x_bits * work.w_bits * inputs * outputs, True,
                )
            )  # fmt: skip
    return found


def factors(work: Work) -> tuple[int, ...]:
    """The legal reuse factors, ascending."""
    return tuple(sorted({folding.factor for folding in foldings(work)}))


def nearest(work: Work, asked: int) -> Folding:
    """The folding whose factor is next to the one asked for; the smaller of two as near."""
    return min(
        foldings(work),
        key=lambda f: (abs(f.factor - asked), f.factor, f.lut + f.multiplier_lut, f.inputs),
    )


def within(work: Work, cycles: int) -> Folding:
    """The cheapest folding that takes no more cycles per inference; the fastest if none does."""
    fit = [f for f in foldings(work) if f.cycles <= cycles]
    if not fit:
        return foldings(work)[0]
    return min(fit, key=lambda f: (f.lut + f.multiplier_lut, f.cycles, f.inputs))


def choices(
    network: Network,
    budget: Budget,
    reuse_factor: int | str = "auto",
    layers: Mapping[str, Mapping[str, Any]] | None = None,
    multiplier: str = "auto",
) -> dict[str, Choice]:
    """The folding of every layer that an engine computes, by name.

    ``auto`` is the fastest design that stays within the budget by the cost model, where no layer
    is faster than the slowest one needs. ``multiplier``: ``dsp``, ``lut``, or ``auto`` (DSP blocks
    as far as the budget's go, the widest multipliers first).
    """
    works = [work for layer in network if (work := work_of(layer, network)) is not None]
    own = {
        work.name: (layers or {}).get(work.name, {}).get("reuse_factor") or reuse_factor
        for work in works
    }
    fixed = {w.name: nearest(w, int(own[w.name])) for w in works if own[w.name] != "auto"}
    free = [work for work in works if work.name not in fixed]
    least = max(
        [f.cycles for f in fixed.values()]
        + [min(f.cycles for f in foldings(work)) for work in free],
        default=0,
    )
    candidates = sorted(
        {cycles for work in free for f in foldings(work) if (cycles := f.cycles) >= least}
    )

    def folded(cycles: int) -> dict[str, Folding]:
        return fixed | {work.name: within(work, cycles) for work in free}

    w_bits = {work.name: work.w_bits for work in works}
    best = folded(candidates[-1]) if candidates else fixed
    # Fewer cycles need not mean more memory blocks: every interval is tried, the least first.
    for cycles in candidates:
        attempt = folded(cycles)
        if fits(attempt, budget, multiplier, w_bits):
            best = attempt
            break
    dsp = _blocks(works, best, budget, multiplier)
    return {
        work.name: Choice(
            best[work.name].inputs, best[work.name].outputs, best[work.name].factor,
            best[work.name].cycles, best[work.name].multipliers,
            None if own[work.name] == "auto" else int(own[work.name]), dsp[work.name],
            best[work.name].window,
        )
        for work in works
    }  # fmt: skip


def rom_luts(folding: Folding, w_bits: float) -> float:
    """LUTs of the weights, where their memory has no more than `LUT_ROM` words."""
    if not 1 < folding.factor <= LUT_ROM or not folding.multipliers:
        return 0.0
    return 1.2 * folding.multipliers * w_bits * -(-folding.factor // 16)


def rom_blocks(folding: Folding, w_bits: float, block_bits: int) -> int:
    """Memory blocks of the weights: a tenth is left unused by the blocks' shapes."""
    if folding.factor <= LUT_ROM or not folding.multipliers:
        return 0
    width = folding.multipliers * w_bits
    widest = block_bits // 512 if block_bits > 4096 else 16
    return max(math.ceil(1.1 * width * folding.factor / block_bits), math.ceil(width / widest))


def fits(
    folded: Mapping[str, Folding], budget: Budget, multiplier: str, w_bits: Mapping[str, float]
) -> bool:
    """Whether the cost model says that it fits; a pool's own memory is a block."""
    blocks = budget.dsp if multiplier != "lut" else 0.0
    many = sum(f.multipliers for f in folded.values())
    lut = sum(f.lut for f in folded.values())
    spill = 0.0
    if blocks is not None and many > blocks:
        if multiplier == "dsp":
            return False
        by_size = sum(f.multiplier_lut for f in folded.values())
        spill = by_size * (many - blocks) / many
    lut += spill + sum(rom_luts(f, w_bits[name]) for name, f in folded.items())
    if budget.ram_bits is not None:
        total = budget.ram_bits // budget.block_bits
        used = sum(
            rom_blocks(f, w_bits[name], budget.block_bits) + (f.multipliers == 0)
            for name, f in folded.items()
        )
        if used > total:
            return False
    return budget.lut is None or lut <= LUT_SHARE * budget.lut


def _blocks(
    works: Sequence[Work], best: Mapping[str, Folding], budget: Budget, multiplier: str
) -> dict[str, int]:
    """How many multipliers of each layer are DSP blocks."""
    need = {work.name: best[work.name].multipliers for work in works}
    if multiplier != "auto" or budget.dsp is None:
        return {name: 0 if multiplier == "lut" else many for name, many in need.items()}
    left = int(budget.dsp)
    found = {}
    for work in sorted(works, key=lambda w: (-w.x_bits * w.w_bits, w.name)):
        found[work.name] = min(need[work.name], left)
        left -= found[work.name]
    return found
