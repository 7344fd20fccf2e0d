"""Each kind of layer as stages of a stream design."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgeflow.backends.fixed_job import (
    Array,
    of_quantizer,
)
from edgeflow.backends.rtl.stream_engine_job import Geometry
from edgeflow.backends.rtl.stream_engine_text_job import Engine
from edgeflow.backends.rtl.stream_plan_job import DEEP, Drawing, Value
from edgeflow.backends.rtl.stream_signals_job import Grid, Logic, Sig, counter_bits
from edgeflow.backends.rtl.stream_stages_job import Fifo, Stream
from edgeflow.backends.rtl.stream_window_job import Kernel, Pad, Window
from edgeflow.backends.rtl.trace_job import input_type_of
from edgeflow.errors import UnsupportedError
from edgeflow.network import Layer


class Planner(Drawing):
    """Makes the stages; one method per family of layers."""

    def run(self) -> None:
        """Plan every layer but a final softmax (and what only passes its values on).

        Raises:
            UnsupportedError: what `stream_rules` should have refused, or values that grow wider
                than `WIDEST`.
        """
        last = self.network.logits or self.network.outputs[0]
        for layer in self.network:
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
            if layer.name == last:
                break
        self.sink = self.stream(self.values[last].pop())

    def input(self, layer: Layer) -> Value:
        """The input's grid: as the model rounds it, else what the real inputs need."""
        kind = of_quantizer(layer.quantizer)
        if kind is None:
            readers = self.network.consumers[layer.name]
            own = {of_quantizer(reader.quantizer) for reader in readers}
            if readers and all(r.kind == "quantize" for r in readers) and len(own) == 1:
                kind = own.pop()
        self.own_input = kind is not None
        if kind is None:
            kind = input_type_of(self.given_input, None, self.x)
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
        made = Stream(self.name(f"s_{layer.name}_sum"), out, grid, choice.outputs)
        if choice.window:
            stream, integers = self.windows(layer, value, geometry, integers)
            geometry = Geometry((1, geometry.positions), (1, geometry.positions))
            stream = self.relane(stream, choice.inputs)
        else:
            stream = self.stream(value, choice.inputs)
        name, streams = self.name(layer.name), ([stream], [made], (layer.name,))
        if choice.window and choice.factor == 1:
            kernel = integers.reshape(-1, integers.shape[-1])
            self.stages.append(Kernel(name, *streams, weights=kernel))
        else:
            self.stages.append(
                Engine(
                    name, *streams, mode="each" if each else "mac", geometry=geometry,
                    weights=integers, dsp=choice.dsp,
                )
            )  # fmt: skip
        result = self.value(made, name=layer.name)
        bias = self.array(layer, "bias")
        if bias is not None and np.any(bias):
            self.affine(layer.name, result, None, bias)
        return result

    def windows(
        self, layer: Layer, value: Value, geometry: Geometry, weights: Array
    ) -> tuple[Stream, Array]:
        """A beat with the whole window of each position, by line buffers; and the kernel for it."""
        stream = self.stream(value, value.shape[-1])
        g, channels = geometry, value.shape[-1]
        after = [
            max((g.out[a] - 1) * g.strides[a] + g.window[a] - g.before[a] - g.size[a], 0)
            for a in (0, 1)
        ]
        if any(g.before) or any(after):
            pad = Pad(
                self.name(f"{layer.name}_pad"), [stream], [], geometry=g, after=(after[0], after[1])
            )
            made = self.like(stream, f"{layer.name}_padded", shape=(*pad.whole, channels))
            pad.outputs, stream = [made], made
            pad.reset()
            self.stages.append(pad)
            g = replace(g, size=pad.whole, before=(0, 0))
        lanes = g.window[0] * g.window[1] * channels
        if g.window != (1, 1) or g.strides != (1, 1):
            made = self.like(stream, f"{layer.name}_window", lanes, (*g.out, lanes))
            self.stages.append(
                Window(self.name(f"{layer.name}_lines"), [stream], [made], geometry=g)
            )
            stream = made
        return stream, weights.reshape(1, 1, lanes, -1)

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

        def apply(logic: Logic, x: Sig, channels: Sequence[int]) -> Sig:
            if factors is not None:
                x = logic.multiply(x, logic.pick([int(factors[c]) for c in channels]))
            x = logic.left(x, up)
            own_offsets = [int(offsets[c]) << down for c in channels]
            return logic.add(x, logic.pick(own_offsets)) if any(own_offsets) else x

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

            def leak(logic: Logic, x: Sig, channels: Sequence[int]) -> Sig:
                del channels
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

        def apply(logic: Logic, x: Sig, channels: Sequence[int]) -> Sig:
            del channels
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
            narrow = self.relane(stream, lanes)
            queued = self.like(stream, f"{layer.name}_q{index}")
            self.stages.append(
                Fifo(self.name(f"{layer.name}_fifo{index}"), [narrow], [queued], depth=DEEP)
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
