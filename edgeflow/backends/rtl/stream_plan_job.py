"""The plan of a stream design: the Network's layers as stages, each value's grid known exactly.

Layers that work element by element are joined into one `Map` behind the engine before them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgeflow.backends.fixed_job import (
    Array,
    Fixed,
    exact,
    mode,
    of_quantizer,
    of_values,
)
from edgeflow.backends.rtl.reuse import Choice
from edgeflow.backends.rtl.stream_signals_job import Grid, Logic, Sig
from edgeflow.backends.rtl.stream_stages_job import Fork, Map, Narrow, Stage, Stream, Widen
from edgeflow.backends.rtl.stream_text_job import verilog_name
from edgeflow.errors import UnsupportedError
from edgeflow.network import Layer, Network

EXACT_WEIGHTS = 20
"""Widest weights (bits) that are kept exactly; wider ones are rounded to as many."""
WIDEST = 48
"""Widest values between layers, in bits."""
DEEP = 1 << 16
"""Beats of a FIFO before its depth is known."""

Apply = Callable[[Logic, Sig, Sequence[int]], Sig]


@dataclass(frozen=True)
class Step:
    """One element-wise operation: (logic, value, the lane's channels) -> value.

    ``by_channel`` and ``copied`` as `Map` has them.
    """

    apply: Apply
    by_channel: bool = False
    copied: bool = False


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


class Drawing:
    """A plan in the making: streams, values on their way, roundings."""

    def __init__(
        self,
        network: Network,
        weights: Mapping[str, Array],
        x: Array | None,
        choices: Mapping[str, Choice],
        input_type: str | None = None,
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
        self.own_input = False
        self.source: Stream | None = None
        self.sink: Stream | None = None

    def _share(self, layer: Layer, value: Value) -> None:
        """One value per reader; several readers get them through a fork."""
        readers = sum(
            list(user.inputs).count(layer.name) for user in self.network.consumers[layer.name]
        )
        if layer.name == self.network.logits or layer.name in self.network.outputs:
            readers = 1
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
                logic: Logic, lanes: Sequence[Sequence[Sig]], channels: Sequence[Sequence[int]]
            ) -> list[Sig]:
                results = []
                for place, met in enumerate(channels):
                    parts = [lane[place] for lane in lanes]
                    result = join(logic, parts) if join else parts[0]
                    for step in steps:
                        result = step.apply(logic, result, met)
                    results.append(result)
                return results

            made = self.like(made, value.name or "map", grid=value.grid)
            self.stages.append(
                Map(
                    self.name(f"{value.name}_map"), value.streams, [made], value.layers,
                    function=function, by_channel=any(step.by_channel for step in steps),
                    copied=any(step.copied for step in steps),
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
        self,
        value: Value,
        apply: Apply,
        fraction: int,
        by_channel: bool = False,
        copied: bool = False,
    ) -> Value:
        """One more operation on every element; the grid that it makes."""
        scratch = Logic()
        bits = value.grid.bits + (not value.grid.signed)
        start = Sig("x", bits, value.grid.low, value.grid.high)
        channels = value.shape[-1] if by_channel else 1
        ends = [apply(scratch, start, [channel]) for channel in range(channels)]
        grid = Grid(fraction, min(e.low for e in ends), max(e.high for e in ends))
        if grid.bits > WIDEST:
            raise UnsupportedError(
                f"values of {grid.bits} bits in layer '{value.name}'; at most {WIDEST}",
                remedy="round the outputs of the layers before it (a quantiser on activations)",
            )
        value.grid = grid
        value.steps.append(Step(apply, by_channel, copied))
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

        def apply(logic: Logic, x: Sig, channels: Sequence[int]) -> Sig:
            kind = kinds[channels[0] % len(kinds)]
            if kind is None:
                return logic.constant(0)
            result, _ = logic.quantize(x, fraction, kind)
            return logic.left(result, top - kind.fraction)

        return self.add_step(value, apply, top, by_channel=len(kinds) > 1, copied=len(kinds) > 1)

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


def _holds(kind: Fixed, grid: Grid) -> bool:
    """Whether every value of the grid is one of the type's."""
    full = Grid.of(kind)
    up = kind.fraction - grid.fraction
    return up >= 0 and full.low <= grid.low << up and grid.high << up <= full.high
