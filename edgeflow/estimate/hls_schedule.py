"""The schedule of an hls4ml design: the cycles of each layer, and how layers follow one another.

* ``parallel``: layers run one after the other: the latency is the sum of theirs, the interval
  that of the slowest. A layer with one multiplier per product takes the depth of its arithmetic,
  multiplier and adder tree (ns per level x log2 of the fan-in), over the clock period. With a reuse
  factor R it takes R cycles more; a convolution as many times that as it has output positions.
* ``stream``: layers run side by side on a stream of positions. The slowest sets the interval; the
  others add what they wait for: rows of their window, and their own depth.

The loops are those of hls4ml's ``nnet_utils``. What they leave open (ns, cycles of overhead) comes
as `constants` from `edgeflow.estimate.hls_latency`. Standard library alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from edgeflow.estimate import hls_digits
from edgeflow.estimate.hls_digits import Digits
from edgeflow.network import Layer, Network

SEVEN_SERIES: Final = frozenset({"artix-7", "zynq-7000", "kintex-7", "virtex-7"})
"""Families of 28 nm, slower than the UltraScale+ ones by the factor ``seven_series``."""

DIVIDER_CYCLES: Final = 21.0
"""What Vivado HLS takes for a division by a number that is not constant, as in average pooling
of windows that reach over the edge (hls4ml's tests, Vivado 2020.1; Vitis 2024.1 takes none)."""

LARGEST_TYPE: Final = 18.0
"""Bits of a weight where the model gives none: the backend's default width."""

FREE: Final = frozenset(
    "input flatten reshape identity quantize dequantize constant slice concat transpose".split()
)
"""Kinds that are wires, or are inlined, in a parallel design."""

TABLES: Final = frozenset("sigmoid tanh softplus softsign elu selu".split())
SIMPLE: Final = frozenset(
    """relu leaky_relu prelu thresholded_relu hard_sigmoid hard_tanh add sub average maximum
    minimum pad crop upsample""".split()
)
SCALES: Final = frozenset("batch_norm scale mul".split())
MATRICES: Final = frozenset("dense conv1d conv2d depthwise_conv1d depthwise_conv2d".split())
RECURRENT: Final = frozenset({"lstm", "gru"})
COUNTED: Final = MATRICES | RECURRENT
"""Kinds that make up a design's time: one that a band has not seen widens it."""


@dataclass(frozen=True)
class Stage:
    """One layer's schedule in cycles.

    ``latency``: from its first input to its last output; ``interval``: from one inference's start
    to the next; ``fill``: from its first input to its first output.
    """

    name: str
    latency: float
    interval: float
    fill: float


def known(layer: Layer) -> bool:
    """Whether the model has a schedule for a layer of this kind and shape."""
    if any(dim is None for shape in (layer.output_shape, *layer.input_shapes) for dim in shape):
        return False
    kinds = FREE | TABLES | SIMPLE | SCALES | {"softmax"}
    if layer.kind in COUNTED:
        return "kernel" in layer.weights and bool(layer.input_shapes)
    return layer.kind in kinds or "_pool" in layer.kind


def stages(
    network: Network,
    *,
    io: str,
    strategy: str | Mapping[str, str],
    reuse_factors: Mapping[str, int],
    clock_mhz: float,
    architecture: str,
    compiler: str,
    constants: Mapping[str, float],
    digits: Mapping[str, Digits] | None = None,
) -> list[Stage]:
    """Each layer's schedule; inputs and constants have none."""
    slow = constants["seven_series"] if architecture in SEVEN_SERIES else 1.0
    per_ns = slow * clock_mhz * 1e-3  # cycles that a nanosecond of UltraScale+ logic takes
    if io not in ("parallel", "stream"):
        raise ValueError(f"expected io 'parallel' or 'stream', found {io!r}")
    found = []
    link = 0.0
    for layer in network:
        if layer.kind in ("input", "constant"):
            continue
        chosen = strategy_of(strategy, layer.name), reuse_factors.get(layer.name, 1)
        if io == "stream":
            found.append(stream_stage(layer, *chosen, per_ns, constants, compiler))
            continue
        own = (digits or {}).get(layer.name)
        found.append(parallel_stage(layer, *chosen, per_ns, constants, own, link))
        if layer.kind in MATRICES and compiler == "vitis":
            link = constants["link_cycles"]
    if compiler == "vivado":
        found = [
            replace(stage, latency=stage.latency + DIVIDER_CYCLES, fill=stage.fill + DIVIDER_CYCLES)
            if divides(network[stage.name])
            else stage
            for stage in found
        ]
    return found


def schedule(network: Network, *, io: str, **design: Any) -> tuple[float, float]:
    """Latency and interval in cycles, without a band (the physics alone); `design` is the rest of
    what `stages` takes."""
    found = stages(network, io=io, **design)
    by_name = {stage.name: stage for stage in found}
    interval = max([1.0, *(stage.interval for stage in found)])
    before: dict[str, float] = {}
    for layer in network:
        start = max([0.0, *(before.get(name, 0.0) for name in layer.inputs)])
        stage = by_name.get(layer.name)
        if stage is None:
            before[layer.name] = start
        elif io == "parallel":
            before[layer.name] = start + stage.latency
        else:
            before[layer.name] = start + stage.fill
    ends = max([0.0, *before.values()])
    if io == "parallel":
        # A latency counts clock edges: arithmetic that fits into one period takes none.
        return max(0.0, ends - 1), interval
    # Each layer works while the one before it does: beside the slowest one's time there are only
    # the waits for the first outputs.
    return ends + interval, interval


def parallel_stage(
    layer: Layer, strategy: str, reuse: int, per_ns: float, constants: Mapping[str, float],
    digits: Digits | None = None, link: float = 0.0,
) -> Stage:  # fmt: skip
    """A layer of an io_parallel design; ``link`` cycles to hand its input over."""
    depth = depth_ns(layer, constants) * per_ns + (link if layer.kind in MATRICES else 0.0)
    interval = 1.0
    if layer.kind in RECURRENT:
        steps = layer.input_shapes[0][0] or 1
        # Each step waits for the state of the one before: nothing overlaps.
        interval = steps * (reuse + depth + constants["reuse_cycles"])
        return Stage(layer.name, interval, interval, interval)
    if layer.kind in MATRICES:
        if reuse > 1 and strategy == "resource":
            interval = float(reuse)
            depth += constants["reuse_cycles"]
        elif reuse > 1:
            depth += turns(layer, reuse, digits) - 1
            # A layer that need not start more often than it ends is no pipeline.
            interval = min(float(reuse), math.ceil(depth) + 1.0)
            return Stage(layer.name, depth + (interval < reuse), interval, depth)
        if "conv" in layer.kind:
            positions = math.prod(dim or 1 for dim in layer.output_shape[:-1])
            interval *= positions
    latency = depth + interval - 1
    return Stage(layer.name, latency, interval, latency)


def stream_stage(
    layer: Layer, strategy: str, reuse: int, per_ns: float, constants: Mapping[str, float],
    compiler: str,
) -> Stage:  # fmt: skip
    """A layer of an io_stream design; one position (all its channels) is one word."""
    word = constants[f"stream_word_{compiler}"]
    depth = depth_ns(layer, constants) * per_ns + constants["stream_depth"]
    shape = [dim or 1 for dim in (layer.input_shapes or (layer.output_shape,))[0]]
    words_in = math.prod(shape[:-1])
    words_out = math.prod(dim or 1 for dim in layer.output_shape[:-1])
    words = max(words_in, words_out)
    if layer.kind in FREE:
        return Stage(layer.name, 0.0, float(words), 0.0)
    if layer.kind in RECURRENT:
        interval = words_in * (reuse + depth + constants["reuse_cycles"])
        return Stage(layer.name, interval, interval, interval)
    if layer.kind == "dense":
        flat = layer.output_shape[:-1] == () or words_out == 1
        work = reuse + (constants["reuse_cycles"] if strategy == "resource" and reuse > 1 else 0)
        # A dense layer on a flat vector collects its input, of whatever words, before it starts.
        interval = float(work if flat else words_out * work)
        return Stage(layer.name, interval + depth, interval, work + depth)
    each = word
    waits = 0
    if "conv" in layer.kind:
        window = _window(layer)
        waits = _rows_before(window, shape[:-1])
        words = math.prod(_padded(layer, shape[:-1], window))
        if strategy == "resource" and reuse > 1:
            each = reuse + constants["stream_reuse_cycles"]
        else:
            each = max(1.0 if layer.kind.startswith("depthwise") else each, float(reuse))
    else:
        each = 1.0
        if "pool" in layer.kind and "global" not in layer.kind:
            waits = _rows_before(
                _sizes(layer.attributes.get("pool_size", 2), len(shape) - 1), shape[:-1]
            )
    interval = words * each
    # The words that it waits for come at the pace of the layers before, which the slowest one's
    # interval holds already; what is added is its own work on them.
    fill = min(waits * min(each, word), interval) + (interval / words) + depth
    return Stage(layer.name, interval + depth, interval, fill)


def depth_ns(layer: Layer, constants: Mapping[str, float]) -> float:
    """Time (ns, UltraScale+) that one output takes through a layer's arithmetic, unrolled."""
    kind = layer.kind
    if kind in COUNTED:
        kernel = layer.weights["kernel"]
        outputs = 1 if kind.startswith("depthwise") else kernel.shape[-1]
        used = kernel.size if kernel.nonzero is None else kernel.nonzero
        if kind.startswith("depthwise"):
            outputs = max(1, kernel.size // max(1, math.prod(kernel.shape[:-2])))
        fan_in = max(1.0, used / max(1, outputs))
        tree = constants["mul_ns"] + constants["add_ns"] * math.log2(1 + fan_in)
        if kind in RECURRENT:
            tree += 2 * constants["table_ns"] + 2 * constants["mul_ns"]
        return tree
    if kind == "softmax":
        classes = layer.output_shape[-1] or 1
        return constants["softmax_ns"] + constants["add_ns"] * math.log2(1 + classes)
    if kind in TABLES:
        return constants["table_ns"]
    if kind in SCALES:
        return constants["mul_ns"]
    if "pool" in kind:
        shape = layer.input_shapes[0] if layer.input_shapes else layer.output_shape
        count = math.prod(_sizes(layer.attributes.get("pool_size", 2), len(shape) - 1))
        if "global" in kind:
            count = math.prod(dim or 1 for dim in shape[:-1])
        return constants["simple_ns"] * math.log2(1 + count)
    return constants["simple_ns"] if kind in SIMPLE else 0.0


def multiplier_limit(n_in: int, n_out: int, reuse: int, nonzero: float) -> float:
    """Multipliers of a layer of the latency strategy: what hls4ml allows, one more of 2 or 3.

    (The layers of wa-hls4ml have that one more.)
    """
    limit = max(1.0, math.ceil(n_in * n_out / reuse) - (n_in * n_out - nonzero) // reuse)
    return limit + (1.0 if limit in (2, 3) else 0.0)


def turns(layer: Layer, reuse: int, digits: Digits | None) -> float:
    """Turns that the shared multipliers of a layer of the latency strategy take.

    Only products of three digits or more are multiplications to the tool; the others are shifts and
    additions, which it does not share.
    """
    kernel = layer.weights["kernel"]
    if digits is None:
        quantizer = kernel.quantizer
        before = (quantizer.integer or 0.0) + 1 if quantizer is not None else 0.0
        digits = hls_digits.of_layer(layer, min(kernel.bits, LARGEST_TYPE), before)
    n_out = kernel.shape[-1]
    limit = multiplier_limit(kernel.size // n_out, n_out, reuse, digits.nonzero)
    return max(1.0, digits.hard / limit)


def strategy_of(strategy: str | Mapping[str, str], name: str) -> str:
    """A layer's strategy; ``latency`` where none is named."""
    return strategy if isinstance(strategy, str) else strategy.get(name, "latency")


def divides(layer: Layer) -> bool:
    """Average pooling of windows that reach over the edge, so that their sizes differ."""
    if layer.kind not in ("avg_pool1d", "avg_pool2d"):
        return False
    if layer.attributes.get("padding") != "same":
        return False
    size = _sizes(layer.attributes.get("pool_size", 2), len(layer.output_shape) - 1)
    steps = layer.attributes.get("strides") or size
    return any(
        (int(out or 1) - 1) * step + window > int(inside or 1)
        for inside, out, step, window in zip(
            layer.input_shapes[0], layer.output_shape, _sizes(steps, len(size)), size, strict=False
        )
    )


def _window(layer: Layer) -> list[int]:
    kernel = layer.weights["kernel"].shape
    return list(kernel[: len(kernel) - 2])


def _rows_before(window: list[int], shape: list[int]) -> int:
    """Words that must have come before the first window is full."""
    if len(window) == 1 or len(shape) == 1:
        return window[0] - 1
    return (window[0] - 1) * shape[1] + window[1] - 1


def _padded(layer: Layer, shape: list[int], window: list[int]) -> list[int]:
    if layer.attributes.get("padding", "valid") != "same":
        return shape
    steps = _sizes(layer.attributes.get("strides", 1), len(shape))
    outputs = [dim or 1 for dim in layer.output_shape[:-1]]
    return [
        max(inside, (out - 1) * step + size)
        for inside, out, step, size in zip(shape, outputs, steps, window, strict=True)
    ]


def _sizes(value: Any, rank: int) -> list[int]:
    return [int(v) for v in value] if isinstance(value, (list, tuple)) else [int(value)] * rank
