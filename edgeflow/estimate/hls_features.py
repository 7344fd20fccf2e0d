"""What each layer of an hls4ml design is made of: terms that its LUTs and registers are sums of.

The loops are those of hls4ml's ``nnet_utils``. A matrix product (dense, or a convolution's window)
is built in one of three ways:

* ``unrolled``: a circuit per product. Its cost follows from the digits of the weights
  (`edgeflow.estimate.hls_digits`), adders of the accumulator's width, and registers by depth.
* ``shared``: the latency strategy with R > 1: the same adders, but only n / R DSP blocks.
* ``reused``: the resource strategy with R > 1: P = n / R multipliers. Above R = n_in each writes to
  one of n_out accumulators, which takes a multiplexer whose size doubles with log2(n_out).

DSP blocks and block RAM are counted here outright; LUT and FF are terms times constants of
``coefficients/hls_resources.json``. Standard library alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edgeflow.estimate import hls_digits, hls_schedule
from edgeflow.estimate.hls_digits import Digits
from edgeflow.network import Layer, Network

BLOCK_BITS: Final = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))
"""Depths and widths that a block RAM of 18 Kbit has (UG473, UG573)."""

DSP_WEIGHT: Final = 5
"""Bits of a weight from which a product that is not of a constant takes a DSP block (wa-hls4ml:
none of the layers with 4 bits or fewer has one, all with 6 or more have)."""

DSP_INPUT: Final = 10
"""Bits of an input from which a product takes a DSP block: those of hls4ml projects with inputs of
fewer bits have none."""

FIFO_DEPTH: Final = 32
"""Words above which a stream's FIFO lies in block RAM; fewer are shift registers in LUTs."""

SHALLOW: Final = 3.5
"""Pipeline stages that a product's own registers hold already: those of wa-hls4ml's layers, which
are of up to 3."""


@dataclass(frozen=True)
class Widths:
    """Bits of a layer's input, weights, accumulator and output."""

    input: float = 16
    weight: float = 16
    accumulator: float = 16
    output: float = 16
    integer: float = 0
    """Bits of the weights before the point, sign included, which trained weights seldom use."""
    binding: str = ""
    """``dsp`` or ``logic``: where the sources say what multiplications are made of."""

    @property
    def narrow(self) -> bool:
        """Whether a product with this input is made of logic."""
        return self.binding != "dsp" and (self.input < DSP_INPUT or self.binding == "logic")


@dataclass
class Block:
    """One layer: ``terms`` by regime and name (LUT and FF apart), counted DSPs and block RAMs."""

    name: str
    regime: str
    lut: dict[str, float] = field(default_factory=dict)
    ff: dict[str, float] = field(default_factory=dict)
    dsp: float = 0.0
    bram_18k: float = 0.0


def blocks(
    network: Network,
    *,
    io: str,
    strategy: str | Mapping[str, str],
    reuse_factors: Mapping[str, int],
    widths: Mapping[str, Widths],
    digits: Mapping[str, Digits],
    stages_per_ns: float,
    compiler: str,
) -> list[Block]:
    """The layers of a design, those that are wires left out.

    ``stages_per_ns``: registers that a nanosecond of UltraScale+ logic takes at the design's
    clock and in its family.
    """
    found = []
    # Layers that reuse run side by side, with a register for every value between them.
    dataflow = any(
        reuse > 1 and hls_schedule.strategy_of(strategy, name) == "resource"
        for name, reuse in reuse_factors.items()
    )
    for layer in network:
        wide = widths.get(layer.name, Widths())
        block: Block | None = None
        if layer.kind in hls_schedule.COUNTED and "kernel" in layer.weights:
            block = _matrix(
                layer,
                hls_schedule.strategy_of(strategy, layer.name),
                reuse_factors.get(layer.name, 1),
                wide,
                digits.get(layer.name),
                stages_per_ns,
                layer.name in network.outputs,
            )
        elif layer.kind not in hls_schedule.FREE or layer.kind == "pad":
            block = _plain(layer, wide, io, compiler)
        if block is None:
            continue
        if io == "stream":
            _stream(layer, block, wide, compiler)
        elif dataflow and layer.name not in network.outputs:
            block.ff["channel"] = layer.output_size * wide.output
        found.append(block)
    return found


def dsp_blocks(one: float, other: float) -> int:
    """DSP blocks of a product: 27 x 18 bits each (25 x 18 in the 7 series)."""
    a, b = max(one, other), min(one, other)
    return math.ceil(a / 27) * math.ceil(b / 18)


def ram_blocks(width: float, depth: float) -> int:
    """Block RAMs of 18 Kbit for a memory of so many bits by so many words."""
    for words, bits in BLOCK_BITS:
        if depth <= words:
            return math.ceil(width / bits)
    return math.ceil(depth / 16384) * math.ceil(width)


def _matrix(
    layer: Layer, strategy: str, reuse: int, wide: Widths, digits: Digits | None, speed: float,
    last: bool,
) -> Block:  # fmt: skip
    kernel = layer.weights["kernel"]
    n_out = kernel.shape[-1]
    n_in = max(1, kernel.size // max(1, n_out))
    if layer.kind.startswith("depthwise"):
        strategy, reuse = "latency", 1
    ends = last and (reuse == 1 or strategy == "resource")  # its outputs are registers
    if digits is None:
        digits = hls_digits.of_layer(layer, wide.weight, wide.integer)
    own = math.log2(1 + max(1.0, digits.nonzero / max(1, n_out)))
    depth = (2.2 + 1.6 * own) * speed
    if strategy == "resource" and reuse > 1:
        block = _reused(layer.name, n_in, n_out, reuse, wide, depth)
    else:
        block = _unrolled(layer.name, n_in, n_out, strategy, reuse, wide, digits, depth, ends)
    if layer.kind in hls_schedule.RECURRENT:
        states = n_out // (3 if layer.kind == "gru" else 4)
        # The second product, of the state, and the gates.
        more = (
            _reused(layer.name, states, n_out, reuse, wide, depth)
            if block.regime == "reused"
            else _unrolled(
                layer.name, states, n_out, strategy, reuse, wide,
                hls_digits.expected(states, n_out, wide.weight, None), depth, ends,
            )
        )  # fmt: skip
        for mine, other in ((block.lut, more.lut), (block.ff, more.ff)):
            for key, value in other.items():
                mine[key] = mine.get(key, 0) + value
        block.lut["gate"] = block.ff["gate"] = n_out * 18
        block.dsp += more.dsp + states
        block.bram_18k += more.bram_18k + math.ceil(n_out / 2)
    return block


def tree_registers(levels: float, cycles: float) -> float:
    """Values that cross a clock edge in an adder tree, beyond the first edge, per value added.

    Of the values that enter a tree of so many levels 2^-k are left after k; the tree takes its time
    evenly, and what crosses an edge is a register.
    """
    return sum(math.pow(2.0, -levels * edge / cycles) for edge in range(2, math.floor(cycles) + 1))


def _unrolled(
    name: str, n_in: int, n_out: int, strategy: str, reuse: int,
    wide: Widths, digits: Digits, depth: float, ends: bool,
) -> Block:  # fmt: skip
    a, i = wide.accumulator, wide.input
    adds = max(0.0, digits.nonzero - digits.columns) * a
    lut = {
        "adds": adds,
        "negated": digits.negated * i,
        "pairs": digits.pairs * i,
        "pair_uses": digits.pair_uses * a / 16,
        "hard_uses": digits.hard_uses * a / 16,
    }
    limit = hls_schedule.multiplier_limit(n_in, n_out, reuse, digits.nonzero)
    hard = digits.hard
    regime, held = "unrolled_resource" if strategy == "resource" else "unrolled", hard
    if reuse > 1 and hard > limit:
        # The tool shares multipliers alone: products that are shifts stay as they are.
        hard, held = limit, hard - limit
        regime = "shared" if hard < digits.hard / 2 else regime
    if wide.narrow:
        lut["soft_products"] = hard * i * wide.weight
    if depth <= 1:
        ff = {"wires": n_in * i}  # one cycle, nothing is kept
    else:
        levels = math.log2(1 + max(1.0, digits.nonzero / max(1, n_out)))
        deep = digits.nonzero * a * tree_registers(levels, depth)
        ff = {
            "inputs": n_in * i,
            "outputs": n_out * a * ends,
            "pairs": digits.pairs * i,
            "hard": (0.0 if wide.narrow else held) * i,
            "first": digits.nonzero * a * 2.0 ** (-levels / depth),
            "deep" if reuse == 1 else "deep_shared": deep,
        }
    dsp = 0.0 if wide.narrow else hard * dsp_blocks(i, wide.weight)
    return Block(name, regime, lut, ff, float(round(dsp)))


def _reused(name: str, n_in: int, n_out: int, reuse: int, wide: Widths, depth: float) -> Block:
    products = math.ceil(n_in * n_out / reuse)
    per_input = reuse / n_in
    a, i, w = wide.accumulator, wide.input, wide.weight
    in_dsp = w >= DSP_WEIGHT and not wide.narrow
    lut = {
        "block": 1.0,
        "inputs": n_in * i,
        "outputs": n_out * a,
        "products": products * a,
        "soft_shared": 0.0 if in_dsp else products * i * w,
    }
    if per_input > 2:
        steps = max(1, math.ceil(math.log2(n_out)))
        # A multiplexer to one of n_out accumulators: sizes that Vitis HLS has for 2^k inputs.
        lut[f"mux_{min(8, max(5, steps))}"] = products * a * _scale(steps)
    ff = {
        "block": 1.0,
        "outputs": n_out * a,
        "products": float(products),
        "dsp_products": products * (1.0 if in_dsp else 0.0),
        "weights": products * w * (1.0 if in_dsp else 0.0),
        "deep_reused": (products + n_out) * a * max(0.0, depth - SHALLOW),
    }
    ram = float(ram_blocks(products * w, reuse))
    if per_input > 2 and reuse * math.ceil(math.log2(per_input)) >= 1024:
        ram += 1  # the table of which accumulator comes next
    if products * w * reuse < 1024:
        ram = 0.0  # so few bits are LUTs
    return Block(name, "reused", lut, ff, products * dsp_blocks(i, w) if in_dsp else 0.0, ram)


def _scale(steps: int) -> float:
    """Size of a multiplexer beyond the ones measured, 2^5 to 2^8 inputs, against the nearest."""
    return 2.0 ** (steps - min(8, max(5, steps)))


def _plain(layer: Layer, wide: Widths, io: str, compiler: str) -> Block | None:
    """Functions, pooling, scales and merges, a circuit per element (per channel in a stream)."""
    channels = layer.output_shape[-1] or 1 if layer.output_shape else 1
    count = channels if io == "stream" else layer.output_size
    b = wide.output
    block = Block(layer.name, "plain")
    kind = layer.kind
    if kind in ("softmax", "log_softmax"):
        block.lut = {"softmax": 1.0, "softmax_class": float(channels)}
        block.ff = {"softmax": 1.0, "softmax_class": float(channels)}
        block.dsp = 0.0 if wide.binding == "logic" else float(channels)
        # Exponentials, a table of 18 Kbit for each class; Vivado HLS reads one by two ports.
        block.bram_18k = channels if compiler == "vitis" else math.ceil(channels / 2) + 1
    elif kind in hls_schedule.TABLES:
        # The exponential functions' tables are read for negative values alone.
        block.lut = {"table": count * b * (1.0 if kind in ("sigmoid", "tanh") else 0.4)}
        block.ff = {"table": count * b}
        block.bram_18k = math.ceil(count / 2)
    elif "pool" in kind:
        size: Any = layer.attributes.get("pool_size", 2)
        window = (
            math.prod(size)
            if isinstance(size, (list, tuple))
            else int(size) ** (2 if kind.endswith("2d") else 1)
        )
        block.lut = {("max" if "max" in kind else "sum"): count * b * max(1, window - 1)}
        # In parallel a pooling layer holds its input; in a stream, its window.
        inputs = math.prod(dim or 1 for dim in layer.input_shapes[0]) if layer.input_shapes else 0
        block.ff = {"window": b * count * window} if io == "stream" else {"pool": b * inputs}
        if compiler == "vivado" and hls_schedule.divides(layer):
            block.lut["divider"] = block.ff["divider"] = count * b
    elif kind in hls_schedule.SCALES:
        # Constants, one for each element: those of few digits are shifts.
        hard = count * hls_digits.expected(1, 1, max(2.0, wide.weight), None).hard
        block.dsp = 0.0 if wide.narrow else round(hard) * dsp_blocks(wide.input, wide.weight)
        block.lut = {"soft_products": hard * wide.input * wide.weight} if wide.narrow else {}
        block.ff = {"scale": count * b}
    elif kind in hls_schedule.SIMPLE or kind in ("relu", "leaky_relu"):
        block.lut = {"compare": count * b * (0.1 if kind == "leaky_relu" else 1.0)}
    else:
        return None
    return block


def _stream(layer: Layer, block: Block, wide: Widths, compiler: str) -> None:
    """The FIFO behind a layer, and the rows that a window waits for."""
    words = math.prod(dim or 1 for dim in layer.output_shape[:-1])
    channels = (layer.output_shape[-1] or 1) if layer.output_shape else 1
    b = wide.output
    if words > FIFO_DEPTH:
        block.bram_18k += (
            ram_blocks(channels * b, words)
            if compiler == "vitis"
            else channels * ram_blocks(b, words)
        )
    # Vivado HLS makes a FIFO for each channel, Vitis HLS one for all.
    block.lut[f"fifo_{compiler}"] = channels
    block.ff[f"fifo_{compiler}"] = channels * (b if compiler == "vitis" else 1.0)
    block.lut["stage"] = block.ff["stage"] = 1.0
    if "conv" in layer.kind and layer.input_shapes:
        shape = [dim or 1 for dim in layer.input_shapes[0]]
        window = list(layer.weights["kernel"].shape[:-2])
        rows = (window[0] - 1) if len(window) > 1 else 0
        row = shape[-2] if len(shape) > 2 else 0
        block.lut["line"] = rows * shape[-1] * wide.input * math.ceil(row / 32)
        block.ff["window"] = math.prod(window) * shape[-1] * wide.input
