"""One position per cycle: line buffers that make windows, and products unrolled into adders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from da4ml.trace import FixedVariableArray, comb_trace
from da4ml.trace import fixed_variable as da4ml_variables
from da4ml.types import CombLogic

from edgeflow.backends.fixed_job import Array
from edgeflow.backends.rtl.arithmetic_job import Solver
from edgeflow.backends.rtl.stream_engine_job import Geometry
from edgeflow.backends.rtl.stream_engine_text_job import Registers
from edgeflow.backends.rtl.stream_signals_job import Grid, Logic, Sig, counter_bits, packed
from edgeflow.backends.rtl.stream_stages_job import Register, Stage

FOUR_INPUTS = 1.5
"""4-input LUTs per bit of an adder, carries and all, by yosys on ECP5."""
LEVELS = 3
"""Adders between two registers of a `Kernel`."""


@dataclass
class Pad(Stage):
    """Zeros around an image: beats of zeros where there is none of the input's."""

    geometry: Geometry = field(default_factory=lambda: Geometry((1, 1), (1, 1)))
    after: tuple[int, int] = (0, 0)
    at: int = field(default=0, init=False, repr=False)

    @property
    def whole(self) -> tuple[int, int]:
        """Rows and columns with the zeros."""
        g = self.geometry
        return (
            g.before[0] + g.size[0] + self.after[0],
            g.before[1] + g.size[1] + self.after[1],
        )

    def reset(self) -> None:
        """At the first corner."""
        super().reset()
        self.at = 0

    def _inside(self) -> bool:
        g, (row, column) = self.geometry, divmod(self.at, self.whole[1])
        return 0 <= row - g.before[0] < g.size[0] and 0 <= column - g.before[1] < g.size[1]

    def ready(self, valid: Sequence[bool], takes: Sequence[bool]) -> list[bool]:
        """Inside the image, when the register is free."""
        free = not self.valid[0] or takes[0]
        inside = self._inside()
        self.moves = free and (valid[0] or not inside)
        return [free and inside]

    def step(self, came: Sequence[bool], went: Sequence[bool]) -> None:
        """A beat of the image, or of zeros."""
        del came
        if self.moves:
            self.at = (self.at + 1) % (self.whole[0] * self.whole[1])
            self.valid[0] = True
        elif went[0]:
            self.valid[0] = False

    def body(self) -> list[str]:
        """Two counters and a register."""
        g, bits = self.geometry, self.outputs[0].bits
        rows, columns = (counter_bits(n) for n in self.whole)
        tests = []
        for name, axis, width in (("row", 0, rows), ("column", 1, columns)):
            if g.before[axis]:
                tests.append(f"({name} >= {width}'d{g.before[axis]})")
            if self.after[axis]:
                tests.append(f"({name} < {width}'d{g.before[axis] + g.size[axis]})")
        return [
            f"  reg [{bits - 1}:0] held;",
            "  reg full;",
            f"  reg [{rows - 1}:0] row;",
            f"  reg [{columns - 1}:0] column;",
            f"  wire image = {' & '.join(tests) or '1' + chr(39) + 'b1'};",
            "  wire free = ~full | out_ready;",
            "  wire move = free & (in_valid | ~image);",
            f"  wire last = column == {columns}'d{self.whole[1] - 1};",
            f"  wire bottom = row == {rows}'d{self.whole[0] - 1};",
            "  assign in_ready = free & image;",
            "  assign out_valid = full;",
            "  assign out_data = held;",
            "  always @(posedge clk) begin",
            "    if (move) begin",
            f"      held <= image ? in_data : {bits}'d0;",
            f"      column <= last ? {columns}'d0 : column + {columns}'d1;",
            f"      if (last) row <= bottom ? {rows}'d0 : row + {rows}'d1;",
            "    end",
            "    if (move) full <= 1'b1; else if (out_ready) full <= 1'b0;",
            f"    if (rst) begin full <= 1'b0; row <= {rows}'d0; column <= {columns}'d0; end",
            "  end",
        ]


@dataclass
class Window(Register):
    """Line buffers: every beat is a pixel, and gives the window whose last pixel it is.

    Lanes of the output in the order (row, column, channel). The geometry has no padding.
    """

    geometry: Geometry = field(default_factory=lambda: Geometry((1, 1), (1, 1)))
    at: int = field(default=0, init=False, repr=False)

    def reset(self) -> None:
        """At the first pixel."""
        super().reset()
        self.at = 0

    def _gives(self) -> bool:
        g = self.geometry
        row, column = divmod(self.at, g.size[1])
        found = True
        for axis, place in ((0, row), (1, column)):
            first = place - g.window[axis] + 1
            found &= first >= 0 and first % g.strides[axis] == 0
            found &= first // g.strides[axis] < g.out[axis]
        return found

    def step(self, came: Sequence[bool], went: Sequence[bool]) -> None:
        """Shift the window; it is given away where an output has it."""
        gives = came[0] and self._gives()
        if came[0]:
            self.at = (self.at + 1) % (self.geometry.size[0] * self.geometry.size[1])
        if came[0] or went[0]:
            self.valid[0] = gives

    def body(self) -> list[str]:
        """A memory of the rows above, and the window's registers."""
        g, bits = self.geometry, self.inputs[0].bits
        (high, wide), (rows, columns) = g.window, g.size
        lines = [
            "  reg full;",
            "  assign out_valid = full;",
            "  wire take = in_valid & (~full | out_ready);",
            "  assign in_ready = ~full | out_ready;",
        ]
        resets, tests, updates = ["full <= 1'b0;"], [], []
        for name, axis, count in (("row", 0, rows), ("column", 1, columns)):
            if count == 1:
                continue
            width = counter_bits(count)
            lines += [
                f"  reg [{width - 1}:0] {name};",
                f"  wire {name}_end = {name} == {width}'d{count - 1};",
            ]
            resets.append(f"{name} <= {width}'d0;")
            good = [
                n
                for n in range(g.window[axis] - 1, count)
                if (n - g.window[axis] + 1) % g.strides[axis] == 0
                and (n - g.window[axis] + 1) // g.strides[axis] < g.out[axis]
            ]
            if g.strides[axis] == 1:
                if good[0]:
                    tests.append(f"({name} >= {width}'d{good[0]})")
                if good[-1] < count - 1:
                    tests.append(f"({name} <= {width}'d{good[-1]})")
            else:
                steps = counter_bits(g.strides[axis] + 1)
                lines.append(f"  reg [{steps - 1}:0] {name}_phase;")
                resets.append(f"{name}_phase <= {steps}'d0;")
                first = f"({name} < {width}'d{g.window[axis] - 1})"
                again = f"({name}_phase == {steps}'d{g.strides[axis] - 1})"
                phase = f"({first} | {again}) ? {steps}'d0 : {name}_phase + {steps}'d1"
                if g.window[axis] == 1:
                    phase = f"{again} ? {steps}'d0 : {name}_phase + {steps}'d1"
                tests.append(f"({name}_phase == {steps}'d0)")
                if good[0]:
                    tests.append(f"({name} >= {width}'d{good[0]})")
                if good[-1] < count - 1:
                    tests.append(f"({name} <= {width}'d{good[-1]})")
                text = f"{name}_phase <= {name}_end ? {steps}'d0 : ({phase});"
                updates.append(
                    text if name == "column" or columns == 1 else f"if (column_end) {text}"
                )
            text = f"{name} <= {name}_end ? {width}'d0 : {name} + {width}'d1;"
            updates.append(text if name == "column" or columns == 1 else f"if (column_end) {text}")
        column = ["in_data"]
        if high > 1:
            lines += self._lines(high, bits, columns)
            column = [f"q[{(k + 1) * bits - 1}:{k * bits}]" for k in range(high - 1)] + column
        for k in range(high):
            lines.append(f"  reg [{wide * bits - 1}:0] row{k};")
            new = column[k]
            if wide > 1:
                new = f"{{{new}, row{k}[{wide * bits - 1}:{bits}]}}"
            updates.append(f"row{k} <= {new};")
        whole = ", ".join(f"row{k}" for k in reversed(range(high)))
        lines += [
            f"  assign out_data = {{{whole}}};",
            f"  wire gives = {' & '.join(tests) or '1' + chr(39) + 'b1'};",
            "  always @(posedge clk) begin",
            "    if (take) begin",
            *(f"      {text}" for text in updates),
            "    end",
            "    if (take) full <= gives; else if (out_ready) full <= 1'b0;",
            f"    if (rst) begin {' '.join(resets)} end",
            "  end",
        ]
        return lines

    def _lines(self, high: int, bits: int, columns: int) -> list[str]:
        """The rows above, read one pixel ahead. With one column a register is enough."""
        width = (high - 1) * bits
        new = f"{{in_data, q[{width - 1}:{bits}]}}" if high > 2 else "in_data"
        lines = [f"  reg [{width - 1}:0] q;"]
        if columns == 1:
            return [*lines, "  always @(posedge clk) if (take) q <= " + new + ";"]
        address = counter_bits(columns)
        return [
            "  (* no_rw_check *)",
            f"  reg [{width - 1}:0] mem [0:{columns - 1}];",
            *lines,
            f"  wire [{address - 1}:0] next = column_end ? {address}'d0 : column + {address}'d1;",
            "  always @(posedge clk) begin",
            f"    if (take) mem[column] <= {new};",
            "    if (take) q <= mem[next];",
            "  end",
        ]

    def cost(self) -> dict[str, float]:
        """A register per bit of the window, a memory of rows."""
        g, bits = self.geometry, self.inputs[0].bits
        return {
            "lut": 70.0,
            "ff": self.outputs[0].bits + (g.window[0] - 1) * bits + 16.0,
            "ram_bits": float((g.window[0] - 1) * bits * g.size[1]),
        }


@dataclass
class Kernel(Stage):
    """A matrix product by constants, unrolled: da4ml's adders, registers every `LEVELS` of them.

    ``weights``: integers, (inputs, outputs).
    """

    weights: Array | None = None

    def reset(self) -> None:
        """Empty."""
        super().reset()
        self.pipe: list[bool] = []
        self.moves = True

    def ready(self, valid: Sequence[bool], takes: Sequence[bool]) -> list[bool]:
        """Unless a result waits behind another."""
        del valid
        if not self.pipe:
            self.pipe = [False] * self.depth
        self.moves = not (self.pipe[-1] and self.valid[0] and not takes[0])
        return [self.moves]

    def step(self, came: Sequence[bool], went: Sequence[bool]) -> None:
        """Shift the pipeline."""
        if went[0]:
            self.valid[0] = False
        if self.moves:
            self.valid[0] = self.pipe[-1] or self.valid[0]
            self.pipe = [came[0], *self.pipe[:-1]]

    @property
    def depth(self) -> int:
        """Registers before the output's."""
        return self._built[2]

    @cached_property
    def _built(self) -> tuple[Logic, list[Sig], int, Registers]:
        assert self.weights is not None
        stream = self.inputs[0]
        graph = graph_of(np.asarray(self.weights, np.float64), stream.grid)
        logic = Logic("x")
        registers = Registers(logic)
        values: list[tuple[Sig, int, int]] = []  # signal, exponent, pipeline stage
        delayed: dict[tuple[int, int], Sig] = {}

        def at(index: int, stage: int) -> Sig:
            signal, _, own = values[index]
            for later in range(own + 1, stage + 1):
                if (index, later) not in delayed:
                    delayed[index, later] = registers.hold(signal)
                signal = delayed[index, later]
            return signal

        for op in graph.ops:
            if op.opcode == -1:
                values.append((logic.lane("in_data", op.id0, stream.grid), 0, 0))
                continue
            stage = max(int(op.latency) - 1, 0) // LEVELS
            low = values[op.id0][1], values[op.id1][1] + op.data
            base = min(low)
            a = logic.left(at(op.id0, stage), low[0] - base)
            b = logic.left(at(op.id1, stage), low[1] - base)
            total = logic.subtract(a, b) if op.opcode == 1 else logic.add(a, b)
            values.append((total, base, stage))
        depth = 1 + max(stage for _, _, stage in values)
        ends = []
        for index, shift, negative in zip(
            graph.out_idxs, graph.out_shifts, graph.out_negs, strict=True
        ):
            if index < 0:
                ends.append(logic.constant(0))
                continue
            signal = at(index, depth)
            up = values[index][1] + shift
            signal = logic.left(signal, up) if up >= 0 else logic.shift(signal, -up, "AP_TRN")
            if negative:
                signal = logic.subtract(logic.constant(0), signal)
            ends.append(signal)
        return logic, ends, depth, registers

    def body(self) -> list[str]:
        """The adders, and a bit per stage that says whether it holds something."""
        logic, ends, depth, registers = self._built
        out = self.outputs[0]
        return [
            f"  reg {', '.join(f'v{i}' for i in range(1, depth + 1))};",
            "  reg full;",
            f"  reg [{out.bits - 1}:0] held;",
            "  assign out_valid = full;",
            "  assign out_data = held;",
            f"  wire moves = ~(v{depth} & full & ~out_ready);",
            "  assign in_ready = moves;",
            *logic.lines,
            "  always @(posedge clk) begin",
            "    if (moves) begin",
            "      v1 <= in_valid;",
            *(f"      v{i} <= v{i - 1};" for i in range(2, depth + 1)),
            *(f"      {text}" for text in registers.updates),
            f"      if (v{depth}) held <= {packed(ends, out.grid)};",
            "    end",
            f"    if (v{depth} & moves) full <= 1'b1; else if (out_ready) full <= 1'b0;",
            "    if (rst) begin",
            "      full <= 1'b0;",
            *(f"      v{i} <= 1'b0;" for i in range(1, depth + 1)),
            "    end",
            "  end",
        ]

    def cost(self) -> dict[str, float]:
        """By da4ml's own count of adder bits; the registers as they are."""
        depth = self.depth
        assert self.weights is not None
        graph = graph_of(np.asarray(self.weights, np.float64), self.inputs[0].grid)
        bits = sum(int(line.split("[")[1].split(":")[0]) + 1 for line in self._registers())
        return {
            "lut": FOUR_INPUTS * float(graph.cost),
            "ff": bits + depth + float(self.outputs[0].bits),
        }

    def _registers(self) -> list[str]:
        return [line for line in self._built[0].lines if line.startswith("  reg signed [")]


_graphs: dict[tuple[bytes, tuple[int, ...], Grid], CombLogic] = {}


def graph_of(kernel: Array, grid: Grid) -> CombLogic:
    """da4ml's adder graph of a product with a kernel (inputs, outputs), of integers of a grid."""
    key = (kernel.tobytes(), kernel.shape, grid)
    if key not in _graphs:
        # da4ml draws the identities of its variables at random; the same ones on every run.
        da4ml_variables.rd.seed(0)
        solver = Solver()
        many = kernel.shape[0]
        bits = grid.bits
        x = FixedVariableArray.from_kif(
            np.full(many, int(grid.signed)),
            np.full(many, bits - int(grid.signed)),
            np.zeros(many, int),
            hwconf=solver.hwconf,
        )
        _graphs[key] = comb_trace(x, solver.products(x, kernel), keep_dead_inputs=True)
    return _graphs[key]
