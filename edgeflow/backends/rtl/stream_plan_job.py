"""The plan of a stream design: the Network's layers as stages, each value's grid known exactly.

Layers that work element by element are joined into one `Map` behind the engine before them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edgeflow.backends.fixed_job import (
    Array,
    Fixed,
    exact,
    fitting,
    mode,
    of_quantizer,
    of_values,
)
from edgeflow.backends.rtl.reuse import Choice
from edgeflow.backends.rtl.stream_engine_job import Engine, Geometry
from edgeflow.backends.rtl.stream_signals_job import Grid, Logic, Sig, counter_bits
from edgeflow.backends.rtl.stream_stages_job import Fifo, Fork, Map, Narrow, Stage, Stream, Widen
from edgeflow.backends.rtl.stream_text_job import verilog_name
from edgeflow.errors import UnsupportedError
from edgeflow.network import Layer, Network

EXACT_WEIGHTS = 20
"""Widest weights (bits) that are kept exactly; wider ones are rounded to as many."""
WIDEST = 48
"""Widest values between layers, in bits."""
DEEP = 1 << 16
"""Beats of a FIFO before its depth is known."""

Apply = Callable[[Logic, Sig, int], Sig]


@dataclass(frozen=True)
class Step:
    """One element-wise operation: (logic, value, channel) -> value, on a given fraction."""

    apply: Apply
    fraction: int
    by_channel: bool = False


@dataclass
class Value:
    """A tensor that may still be on its way through element-wise steps.

    ``join`` makes one value of those of several streams; ``pads`` are zeros that the next
    convolution adds, (before, after) by rows and by columns.
    """

    streams: list[Stream]
    shape: tuple[int, ...]
    grid: Grid
    layers: tuple[str, ...] = ()
    steps: list[Step] = field(default_factory=list)
    join: Callable[[Logic, list[Sig]], Sig] | None = None
    pads: tuple[tuple[int, int], tuple[int, int]] | None = None
    name: str = ""


class Planner:
    """Makes the stages; one method per family of layers."""

    def __init__(
        self,
        network: Network,
        weights: Mapping[str, Array],
        x: Array | None,
        choices: Mapping[str, Choice],
        input_type: Fixed | None = None,
    ) -> None:
        self.network = network
        self.weights = weights
        self.x = x
        self.choices = choices
        self.given_input = input_type
        self.stages: list[Stage] = []
        self.values: dict[str, list[Value]] = {}
        self.inexact: list[str] = []
        self.taken: set[str] = set()
        self.input_kind: Fixed | None = None
        self.source: Stream | None = None
        self.sink: Stream | None = None

    def run(self) -> None:
        """Plan every layer but a final softmax.

        Raises:
            UnsupportedError: what `stream_rules` should have refused, or values that grow wider
                than `WIDEST`.
        """
        end = self.network[self.network.outputs[0]]
        final = end.name if end.kind == "softmax" else None
        for layer in self.network:
            if layer.name == final:
                continue
            method = METHODS.get(layer.kind)
            if method is None:
                raise UnsupportedError(
                    f"the stream style has no layer of kind '{layer.kind}' ('{layer.name}')"
                )
            value = method(self, layer)
            value = self.rounded(layer, value)
            value.layers = (*value.layers, layer.name)
            value.name = layer.name
            self._share(layer, value)
        last = end.inputs[0] if final else end.name
        self.sink = self.stream(self.values[last].pop())

    def _share(self, layer: Layer, value: Value) -> None:
        """One value per reader; several readers get them through a fork."""
        readers = sum(
            list(user.inputs).count(layer.name) for user in self.network.consumers[layer.name]
        )
        readers += layer.name in self.network.outputs
        if readers <= 1:
            self.values[layer.name] = [value]
            return
        stream = self.stream(value)
        branches = [self.like(stream, f"{layer.name}_to") for _ in range(readers)]
        self.stages.append(Fork(self.name(f"{layer.name}_fork"), [stream], branches, (layer.name,)))
        self.values[layer.name] = [self.value(branch, pads=value.pads) for branch in branches]

    # -- streams ----------------------------------------------------------------------------

    def name(self, text: str) -> str:
        """A legal Verilog name that is not taken."""
        return verilog_name(text, self.taken)

    def like(
        self,
        stream: Stream,
        name: str,
        lanes: int | None = None,
        shape: tuple[int, ...] | None = None,
        grid: Grid | None = None,
    ) -> Stream:
        """A new stream, like another but for what is given."""
        return Stream(
            self.name(f"s_{name}"),
            shape or stream.shape,
            grid or stream.grid,
            lanes or stream.lanes,
        )

    def value(self, stream: Stream, **more: Any) -> Value:
        """What a stream carries, as a value."""
        return Value([stream], stream.shape, stream.grid, **more)

    def source_of(self, layer: Layer, index: int = 0) -> Value:
        """The value that a layer reads."""
        return self.values[layer.inputs[index]].pop()

    def stream(self, value: Value, lanes: int | None = None) -> Stream:
        """The stream of a value: its steps put into a stage, its beats given so many lanes."""
        made = value.streams[0]
        if value.steps or value.join or value.streams[0].grid != value.grid:
            steps, join = value.steps, value.join

            def function(
                logic: Logic, lanes: Sequence[Sequence[Sig]], channels: Sequence[int]
            ) -> list[Sig]:
                results = []
                for place, channel in enumerate(channels):
                    parts = [lane[place] for lane in lanes]
                    result = join(logic, parts) if join else parts[0]
                    for step in steps:
                        result = step.apply(logic, result, channel)
                    results.append(result)
                return results

            made = self.like(made, value.name or "map", grid=value.grid)
            self.stages.append(
                Map(
                    self.name(f"{value.name}_map"), value.streams, [made], value.layers,
                    function=function, by_channel=any(step.by_channel for step in steps),
                )
            )  # fmt: skip
        return self.relane(made, lanes) if lanes else made

    def relane(self, stream: Stream, lanes: int) -> Stream:
        """The same values in beats of so many lanes."""
        if stream.lanes == lanes:
            return stream
        common = math.gcd(stream.lanes, lanes)
        if common < stream.lanes:
            narrow = self.like(stream, f"{stream.name}_n", lanes=common)
            self.stages.append(Narrow(self.name(f"{stream.name}_narrow"), [stream], [narrow]))
            stream = narrow
        if common < lanes:
            wide = self.like(stream, f"{stream.name}_w", lanes=lanes)
            self.stages.append(Widen(self.name(f"{stream.name}_widen"), [stream], [wide]))
            stream = wide
        return stream

    def add_step(
        self, value: Value, apply: Apply, fraction: int, by_channel: bool = False
    ) -> Value:
        """One more operation on every element; the grid that it makes."""
        scratch = Logic()
        bits = value.grid.bits + (not value.grid.signed)
        start = Sig("x", bits, value.grid.low, value.grid.high)
        channels = value.shape[-1] if by_channel else 1
        ends = [apply(scratch, start, channel) for channel in range(channels)]
        grid = Grid(fraction, min(e.low for e in ends), max(e.high for e in ends))
        if grid.bits > WIDEST:
            raise UnsupportedError(
                f"values of {grid.bits} bits in layer '{value.name}'; at most {WIDEST}",
                remedy="round the outputs of the layers before it (a quantiser on activations)",
            )
        value.grid = grid
        value.steps.append(Step(apply, fraction, by_channel))
        return value

    # -- roundings --------------------------------------------------------------------------

    def kinds(self, layer: Layer) -> list[Fixed | None] | None:
        """The types that a layer's output is rounded to: one, or one per channel (None: 0)."""
        own = of_quantizer(layer.quantizer)
        if own is not None:
            return [own]
        if layer.quantizer is None or layer.quantizer.kind == "float":
            return None
        parts = [self.weights.get(f"{layer.name}/@{p}") for p in ("signed", "integer", "fraction")]
        if any(part is None for part in parts):
            raise UnsupportedError(
                f"layer '{layer.name}': no fixed-point type rounds as its quantiser does",
                remedy="use quantisers whose steps are powers of two",
            )
        shape = tuple(int(dim or 1) for dim in layer.output_shape)
        found = []
        for part in parts:
            array = np.asarray(part)
            array = array[0] if array.ndim > len(shape) else array
            table = np.broadcast_to(array, shape).reshape(-1, shape[-1])
            if not np.all(table == table[0]):
                raise UnsupportedError(
                    f"layer '{layer.name}': its bits differ from position to position",
                    remedy="a stream computes all positions alike: share them over positions",
                )
            found.append(table[0].astype(int))
        rounding = mode(layer.quantizer.rounding, "AP_RND_CONV")
        overflow = mode(layer.quantizer.overflow, "AP_SAT")
        if layer.quantizer.narrow and overflow == "AP_SAT":
            overflow = "AP_SAT_SYM"
        return [
            Fixed(int(s + i + f), int(s + i), bool(s), rounding, overflow)
            if s + i + f > 0
            else None
            for s, i, f in zip(*found, strict=True)
        ]

    def rounded(self, layer: Layer, value: Value) -> Value:
        """A value after the quantiser of its layer."""
        kinds = self.kinds(layer)
        if kinds is None or layer.kind == "input":
            return value
        if len(kinds) == 1 and kinds[0] is not None and _holds(kinds[0], value.grid):
            return value
        fraction = value.grid.fraction
        top = max((kind.fraction for kind in kinds if kind), default=0)

        def apply(logic: Logic, x: Sig, channel: int) -> Sig:
            kind = kinds[channel % len(kinds)]
            if kind is None:
                return logic.constant(0)
            result, _ = logic.quantize(x, fraction, kind)
            return logic.left(result, top - kind.fraction)

        return self.add_step(value, apply, top, by_channel=len(kinds) > 1)

    def integers(self, name: str, values: Array) -> tuple[Array, int]:
        """Weights as integers and their fraction."""
        kind = exact(values, EXACT_WEIGHTS)
        if kind is None:
            self.inexact.append(name)
            kind = of_values(values, EXACT_WEIGHTS)
        scaled = np.asarray(values, np.float64) * 2.0**kind.fraction
        return np.rint(scaled).astype(np.int64), kind.fraction

    def array(self, layer: Layer, role: str) -> Array | None:
        """Weights of that role."""
        found = self.weights.get(f"{layer.name}/{role}")
        return None if found is None else np.asarray(found, np.float64)

    # -- layers -----------------------------------------------------------------------------

    def input(self, layer: Layer) -> Value:
        """The input's grid: as the model rounds it, else what the real inputs need."""
        kind = self.given_input or of_quantizer(layer.quantizer)
        if kind is None:
            readers = self.network.consumers[layer.name]
            own = {of_quantizer(reader.quantizer) for reader in readers}
            if readers and all(r.kind == "quantize" for r in readers) and len(own) == 1:
                kind = own.pop()
        if kind is None and self.x is not None:
            found = exact(self.x, 16)
            kind = found.rounded() if found else None
            if kind is None:
                kind = fitting(float(self.x.min()), float(self.x.max()), 16)
                self.inexact.append(layer.name)
        if kind is None:
            kind = Fixed(16, 6).rounded()
            self.inexact.append(layer.name)
        self.input_kind = kind
        shape = tuple(int(dim or 1) for dim in layer.output_shape)
        lanes = math.gcd(shape[-1], self._first_lanes(layer))
        self.source = Stream("s_in", shape, Grid.of(kind), lanes)
        return self.value(self.source)

    def _first_lanes(self, layer: Layer) -> int:
        """The parallel inputs of the first engine, so that nothing must rearrange the input."""
        at = layer
        while len(readers := self.network.consumers[at.name]) == 1:
            at = readers[0]
            if at.name in self.choices:
                return self.choices[at.name].inputs
        return int(layer.output_shape[-1] or 1)

    def same(self, layer: Layer) -> Value:
        """Nothing but its rounding."""
        return self.source_of(layer)

    def weighted(self, layer: Layer) -> Value:
        """Dense layers and convolutions."""
        value = self.source_of(layer)
        kernel = self.array(layer, "kernel")
        assert kernel is not None
        choice = self.choices[layer.name]
        each = layer.kind.startswith("depthwise")
        shape = value.shape
        out = tuple(int(dim or 1) for dim in layer.output_shape)
        integers, fraction = self.integers(f"{layer.name}/kernel", kernel)
        if layer.kind == "dense":
            geometry = Geometry((1, math.prod(shape[:-1])), (1, math.prod(out[:-1])))
            integers = integers[None, None]
        else:
            geometry, integers = window(layer, shape, out, integers, value.pads)
        integers = integers[..., 0] if each else integers
        grid = _sums(integers, self._padded(value.grid, geometry), fraction, each)
        stream = self.stream(value, choice.inputs)
        made = Stream(self.name(f"s_{layer.name}_sum"), out, grid, choice.outputs)
        self.stages.append(
            Engine(
                self.name(layer.name), [stream], [made], (layer.name,),
                mode="each" if each else "mac", geometry=geometry, weights=integers,
                dsp=choice.dsp,
            )
        )  # fmt: skip
        result = self.value(made, name=layer.name)
        bias = self.array(layer, "bias")
        if bias is not None and np.any(bias):
            self.affine(layer.name, result, None, bias)
        return result

    def _padded(self, grid: Grid, geometry: Geometry) -> Grid:
        """Zeros of the padding are values too."""
        if not any(geometry.padded):
            return grid
        return Grid(grid.fraction, min(grid.low, 0), max(grid.high, 0))

    def affine(self, name: str, value: Value, scale: Array | None, shift: Array) -> Value:
        """scale * x + shift by channel; scale None is 1."""
        value.name = name
        fraction = value.grid.fraction
        factors, more = (None, 0) if scale is None else self.integers(f"{name}/scale", scale)
        offsets, own = self.integers(f"{name}/bias", shift)
        top = max(fraction + more, own) if np.any(offsets) else fraction + more
        up, down = top - fraction - more, top - own

        def apply(logic: Logic, x: Sig, channel: int) -> Sig:
            if factors is not None:
                x = logic.multiply(x, logic.constant(int(factors[channel])))
            x = logic.left(x, up)
            offset = int(offsets[channel])
            return logic.add(x, logic.constant(offset << down)) if offset else x

        return self.add_step(value, apply, top, by_channel=True)

    def batch_norm(self, layer: Layer) -> Value:
        """scale * x + shift for each channel."""
        mean, variance = self.array(layer, "moving_mean"), self.array(layer, "moving_variance")
        assert mean is not None
        assert variance is not None
        gamma, beta = self.array(layer, "gamma"), self.array(layer, "beta")
        scale = 1 / np.sqrt(variance + float(layer.attributes.get("epsilon", 1e-3)))
        scale = scale if gamma is None else gamma * scale
        shift = -scale * mean if beta is None else beta - scale * mean
        return self.affine(layer.name, self.source_of(layer), scale, shift)

    def scale(self, layer: Layer) -> Value:
        """A product, a sum, or both, with constants."""
        scale, shift = self.array(layer, "scale"), self.array(layer, "offset")
        value = self.source_of(layer)
        ones = np.ones(value.shape[-1])
        return self.affine(
            layer.name, value, None if scale is None else ones * scale.ravel(),
            0 * ones if shift is None else ones * shift.ravel(),
        )  # fmt: skip

    def relu(self, layer: Layer) -> Value:
        """max(x, 0), maybe up to a bound."""
        value = self.source_of(layer)
        value.name = layer.name
        bound = layer.attributes.get("max_value")
        slope = float(
            layer.attributes.get("negative_slope") or 0.0
            if layer.kind == "relu"
            else layer.attributes.get("negative_slope", layer.attributes.get("alpha", 0.3))
        )
        fraction = value.grid.fraction
        if slope:
            factor, more = self.integers(f"{layer.name}/slope", np.array([slope]))

            def leak(logic: Logic, x: Sig, channel: int) -> Sig:
                del channel
                slow = logic.multiply(x, logic.constant(int(factor[0])))
                fast = logic.left(x, more)
                bits = max(slow.bits, fast.bits)
                test = f"{x.name}[{x.bits - 1}]"
                return logic.wire(
                    f"{test} ? {slow.at(bits)} : {fast.at(bits)}", bits,
                    min(slow.low, 0) if x.low < 0 else 0, max(fast.high, 0),
                )  # fmt: skip

            return self.add_step(value, leak, fraction + more)
        limit = None if bound is None else float(bound) * 2.0**fraction
        if limit is not None and limit != round(limit) and limit < value.grid.high:
            self.inexact.append(layer.name)

        def apply(logic: Logic, x: Sig, channel: int) -> Sig:
            del channel
            x = logic.relu(x)
            return x if limit is None else logic.clip(x, 0, math.floor(limit))

        return self.add_step(value, apply, fraction)

    def pool(self, layer: Layer) -> Value:
        """Maximum or average of a window, or of all positions."""
        value = self.source_of(layer)
        shape = value.shape
        out = tuple(int(dim or 1) for dim in layer.output_shape)
        choice = self.choices[layer.name]
        if layer.kind.startswith("global"):
            sizes = (1, *shape[:-1]) if len(shape) == 2 else shape[:-1]
            size = (sizes[0], sizes[1])
            geometry = Geometry(size, (1, 1), size)
        else:
            rank = len(shape) - 1
            sizes = _numbers(layer.attributes["pool_size"], rank)
            geometry, _ = window(layer, shape, out, np.zeros((*sizes, 1, 1), int), value.pads)
        stream = self.stream(value, choice.inputs)
        grid = stream.grid
        count = math.prod(geometry.window)
        average = "avg" in layer.kind
        if average:
            extra = counter_bits(count) if count > 1 else 0
            if count & (count - 1):
                raise UnsupportedError(
                    f"layer '{layer.name}': an average of {count} values is no exact number",
                    remedy="use windows of 2, 4, 8 … values, or a maximum",
                )
            grid = Grid(grid.fraction + extra, grid.low * count, grid.high * count)
        made = Stream(self.name(f"s_{layer.name}_pool"), out, grid, choice.outputs)
        self.stages.append(
            Engine(
                self.name(layer.name), [stream], [made], (layer.name,),
                mode="sum" if average else "max", geometry=geometry,
            )
        )  # fmt: skip
        return self.value(made, name=layer.name)

    def reshape(self, layer: Layer) -> Value:
        """The same values in the same order: only the shape changes."""
        made = self.stream(self.source_of(layer))
        return self.value(replace(made, shape=tuple(int(dim or 1) for dim in layer.output_shape)))

    def pad(self, layer: Layer) -> Value:
        """Zeros around an image, which the convolution behind it adds."""
        value = self.source_of(layer)
        stream = self.stream(value)
        pairs = [
            (int(p[0]), int(p[1])) if isinstance(p, (list, tuple)) else (int(p), int(p))
            for p in layer.attributes["padding"]
        ]
        rank = len(value.shape) - 1
        rows, columns = ((0, 0), pairs[0]) if rank == 1 else (pairs[0], pairs[1])
        return self.value(stream, pads=(rows, columns))

    def merge(self, layer: Layer) -> Value:
        """Two tensors, element by element; a FIFO before each, its depth from the schedule."""
        values = [self.source_of(layer, index) for index in range(len(layer.inputs))]
        streams = [self.stream(value) for value in values]
        lanes = math.gcd(*(stream.lanes for stream in streams))
        ready = []
        for index, stream in enumerate(streams):
            stream = self.relane(stream, lanes)
            queued = self.like(stream, f"{layer.name}_q{index}")
            self.stages.append(
                Fifo(self.name(f"{layer.name}_fifo{index}"), [stream], [queued], depth=DEEP)
            )
            ready.append(queued)
        top = max(s.grid.fraction for s in ready)
        if layer.kind == "mul":
            top = sum(s.grid.fraction for s in ready)
        ups = [top - s.grid.fraction for s in ready]

        def join(logic: Logic, parts: list[Sig]) -> Sig:
            if layer.kind == "mul":
                return logic.tree(parts, logic.multiply)
            aligned = [logic.left(part, up) for part, up in zip(parts, ups, strict=True)]
            if layer.kind == "sub":
                return logic.subtract(aligned[0], aligned[1])
            if layer.kind in ("maximum", "minimum"):
                least = layer.kind == "minimum"
                return logic.tree(aligned, lambda a, b: logic.larger(a, b, least))
            return logic.tree(aligned)

        ends = [Sig("x", s.grid.bits + (not s.grid.signed), s.grid.low, s.grid.high) for s in ready]
        total = join(Logic(), ends)
        if layer.kind == "average":
            top += len(ready).bit_length() - 1
        grid = Grid(top, total.low, total.high)
        return Value(ready, values[0].shape, grid, (), [], join, name=layer.name)


def _holds(kind: Fixed, grid: Grid) -> bool:
    """Whether every value of the grid is one of the type's."""
    full = Grid.of(kind)
    up = kind.fraction - grid.fraction
    return up >= 0 and full.low <= grid.low << up and grid.high << up <= full.high


def _numbers(value: Any, count: int) -> tuple[int, ...]:
    items = value if isinstance(value, (list, tuple)) else [value] * count
    return tuple(int(item) for item in items)


def _sums(weights: Array, grid: Grid, fraction: int, each: bool) -> Grid:
    """The range of all sums of products, from the weights' own values."""
    axes = (0, 1) if each else (0, 1, 2)
    low = np.minimum(weights * grid.low, weights * grid.high).sum(axis=axes)
    high = np.maximum(weights * grid.low, weights * grid.high).sum(axis=axes)
    return Grid(grid.fraction + fraction, int(low.min()), int(high.max()))


def window(
    layer: Layer,
    shape: tuple[int, ...],
    out: tuple[int, ...],
    kernel: Array,
    pads: tuple[tuple[int, int], tuple[int, int]] | None,
) -> tuple[Geometry, Array]:
    """The geometry of a sliding window, and its kernel with rows and columns.

    ``pads`` are the zeros of a padding layer before it. A series, and an image of one row, have
    the one row of the kernel that meets it.
    """
    rank = len(shape) - 1
    sizes = kernel.shape[:rank]
    attributes = layer.attributes
    strides = _numbers(attributes.get("strides") or (1 if "conv" in layer.kind else sizes), rank)
    dilation = _numbers(attributes.get("dilation_rate") or 1, rank)
    padding = attributes.get("padding", "valid")
    before = []
    for axis in range(rank):
        given = pads[axis + 2 - rank] if pads else (0, 0)
        inside = shape[axis] + sum(given)
        reach = (sizes[axis] - 1) * dilation[axis] + 1
        start = 0
        if padding == "same":
            start = max((out[axis] - 1) * strides[axis] + reach - inside, 0) // 2
        elif not isinstance(padding, str):
            start = _numbers(padding[axis], 2)[0]
        before.append(start + given[0])
    if rank == 2 and shape[0] == 1:
        kernel = kernel[before[0] // dilation[0]][None]
        before[0], sizes = 0, (1, sizes[1])
    if rank == 1:
        kernel = kernel[None]
        return Geometry(
            (1, shape[0]), (1, out[0]), (1, sizes[0]), (1, strides[0]), (0, before[0]),
            (1, dilation[0]),
        ), kernel  # fmt: skip
    return Geometry(
        (shape[0], shape[1]), (out[0], out[1]), (sizes[0], sizes[1]), (strides[0], strides[1]),
        (before[0], before[1]), (dilation[0], dilation[1]),
    ), kernel  # fmt: skip


METHODS: dict[str, Callable[[Planner, Layer], Value]] = {
    "input": Planner.input,
    **dict.fromkeys(
        ("dense", "conv1d", "conv2d", "depthwise_conv1d", "depthwise_conv2d"), Planner.weighted
    ),
    "batch_norm": Planner.batch_norm,
    "scale": Planner.scale,
    **dict.fromkeys(("relu", "leaky_relu"), Planner.relu),
    **dict.fromkeys(("identity", "quantize", "dequantize"), Planner.same),
    **{
        f"{where}{op}_pool{n}d": Planner.pool
        for where in ("", "global_")
        for op in ("max", "avg")
        for n in (1, 2)
    },
    **dict.fromkeys(("flatten", "reshape"), Planner.reshape),
    "pad": Planner.pad,
    **dict.fromkeys(("add", "sub", "mul", "average", "maximum", "minimum"), Planner.merge),
}
