"""The shared engine: one set of multipliers (or comparators) that walks over a tensor in a memory.

Convolutions, dense layers and pooling are one machine here. Beats go into a circular memory as
they come. A counter per loop (row, column, group of outputs, row and column of the window, group
of inputs) makes the address of the next word; a word that has not come yet is waited for, one
outside the image counts as zero. With n_in inputs in parallel and n_out outputs in parallel
(FINN's SIMD and PE), a position takes

    reuse factor = (window * channels / n_in) * (filters / n_out)

cycles and n_in * n_out multipliers. Weights are in a read-only memory beside it, one word per
cycle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from edgeflow.backends.fixed_job import Array
from edgeflow.backends.rtl.stream_signals_job import (
    Logic,
    Sig,
    counter_bits,
    packed,
    product,
    width,
)
from edgeflow.backends.rtl.stream_stages_job import Stage

TREE = 2
"""Levels of the adder tree between registers."""
FIFO_WORDS = 4
"""Words of a memory whose words are read once each, in the order in which they come."""


@dataclass(frozen=True)
class Geometry:
    """A window over an image (one row where there is none): Keras' names, (rows, columns)."""

    size: tuple[int, int]
    out: tuple[int, int]
    window: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    before: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)

    @property
    def positions(self) -> int:
        """Outputs per channel."""
        return self.out[0] * self.out[1]

    @property
    def padded(self) -> tuple[bool, bool]:
        """Whether a window reaches outside, by rows and by columns."""
        found = []
        for axis in (0, 1):
            last = (self.out[axis] - 1) * self.strides[axis] - self.before[axis]
            last += (self.window[axis] - 1) * self.dilation[axis]
            found.append(self.before[axis] > 0 or last >= self.size[axis])
        return found[0], found[1]


@dataclass(frozen=True)
class Loop:
    """One counter: what a step of it adds to the address, the row and the column."""

    name: str
    count: int
    step: int
    row: int = 0
    column: int = 0


@dataclass(frozen=True)
class Walk:
    """What a frame reads, word by word: address, whether it is outside, whether it ends a sum,
    and the first address still needed afterwards."""

    address: list[int]
    outside: list[bool]
    last: list[bool]
    free: list[int]
    words: int


@dataclass
class Engine(Stage):
    """``mode``: ``mac`` (every output reads every channel), or, each channel on its own, ``each``
    (products with weights), ``max``, ``sum``.

    ``weights``: integers, ``(rows, columns, channels, filters)``; for ``each``
    ``(rows, columns, channels)``. ``dsp``: whether multipliers are left to the synthesis
    (``*``), else they are made of adders.
    """

    mode: str = "mac"
    geometry: Geometry = field(default_factory=lambda: Geometry((1, 1), (1, 1)))
    weights: Array | None = None
    dsp: bool = True

    # -- the plan ---------------------------------------------------------------------------

    @property
    def parallel(self) -> tuple[int, int]:
        """Inputs and outputs in parallel."""
        return self.inputs[0].lanes, self.outputs[0].lanes

    @property
    def multipliers(self) -> int:
        """Multipliers side by side."""
        inputs, outputs = self.parallel
        return {"mac": inputs * outputs, "each": inputs}.get(self.mode, 0)

    @property
    def groups(self) -> tuple[int, int]:
        """Words per position in the memory, and beats per position of the output."""
        return self.inputs[0].groups, self.outputs[0].groups

    @cached_property
    def loops(self) -> list[Loop]:
        """Outermost first; loops of one round are left out."""
        g, (words, outs) = self.geometry, self.groups
        (_, columns), (down, right) = g.size, g.strides
        each = self.mode != "mac"
        high, wide = g.dilation
        found = [
            Loop("oy", g.out[0], down * columns * words, down, 0),
            Loop("ox", g.out[1], right * words, 0, right),
            Loop("og", outs, 1 if each else 0),
            Loop("ky", g.window[0], high * columns * words, high, 0),
            Loop("kx", g.window[1], wide * words, 0, wide),
            Loop("cg", 1 if each else words, 1),
        ]
        return [loop for loop in found if loop.count > 1]

    def jumps(self, index: int) -> tuple[int, int, int]:
        """What address, row and column change by when loop `index` steps and those inside begin
        again; index -1 is the next inference."""
        g, (words, _) = self.geometry, self.groups
        inner = self.loops[index + 1 :] if index >= 0 else self.loops
        step = (
            (self.loops[index].step, self.loops[index].row, self.loops[index].column)
            if index >= 0
            else (g.size[0] * g.size[1] * words, 0, 0)
        )
        back = (
            sum((loop.count - 1) * loop.step for loop in inner),
            sum((loop.count - 1) * loop.row for loop in inner),
            sum((loop.count - 1) * loop.column for loop in inner),
        )
        return step[0] - back[0], step[1] - back[1], step[2] - back[2]

    @cached_property
    def start(self) -> int:
        """The first window's address: before the image where that is padded."""
        g = self.geometry
        return -(g.before[0] * g.size[1] + g.before[1]) * self.groups[0]

    @cached_property
    def in_order(self) -> bool:
        """Whether every word is read once, in the order in which they come."""
        if any(self.geometry.padded):
            return False
        return all(self.jumps(index)[0] == 1 for index in range(-1, len(self.loops)))

    @cached_property
    def releasing(self) -> frozenset[str]:
        """The loops whose step leaves behind every word before the new window."""
        g = self.geometry
        if g.size[0] == 1 or g.window == (1, 1):
            return frozenset(("oy", "ox"))
        return frozenset(("oy",))

    @property
    def reuse_factor(self) -> int:
        """Reads (cycles) per position; products per multiplier."""
        count = 1
        for loop in self.loops:
            count *= loop.count if loop.name in ("og", "ky", "kx", "cg") else 1
        return count

    @cached_property
    def walk(self) -> Walk:
        """The reads of one inference, the first word of which has the address 0."""
        g = self.geometry
        counts = [loop.count for loop in self.loops] or [1]
        reads = int(np.prod(counts))
        index = np.indices(counts).reshape(len(counts), -1)
        address = np.full(reads, self.start)
        row, column = np.full(reads, -g.before[0]), np.full(reads, -g.before[1])
        for loop, values in zip(self.loops, index, strict=False):
            address = address + loop.step * values
            row = row + loop.row * values
            column = column + loop.column * values
        outside = (row < 0) | (row >= g.size[0]) | (column < 0) | (column >= g.size[1])
        inner = 1
        for loop in self.loops:
            inner *= loop.count if loop.name in ("ky", "kx", "cg") else 1
        last = np.arange(1, reads + 1) % inner == 0
        words = g.size[0] * g.size[1] * self.groups[0]
        if self.in_order:
            free = address + 1
        else:
            free = np.zeros(reads, int)
            # A read is a step of the outermost loop whose inner ones are at their ends.
            for at in np.flatnonzero(self._steps(index, counts)):
                if at + 1 < reads:
                    y, x = int(row[at + 1]), int(column[at + 1])
                    if (y if g.size[0] > 1 else x) >= 0:
                        free[at] = address[at + 1] - min(x, 0) * self.groups[0]
            free = np.maximum.accumulate(free)
            free[-1] = words
        return Walk(address.tolist(), outside.tolist(), last.tolist(), free.tolist(), words)

    def _steps(self, index: Array, counts: list[int]) -> Array:
        """Which reads are the last before a releasing loop's step."""
        names = [loop.name for loop in self.loops]
        inner = [i for i, name in enumerate(names) if name not in self.releasing]
        found = np.ones(index.shape[1], bool)
        for i in inner:
            found &= index[i] == counts[i] - 1
        return found

    @cached_property
    def depth(self) -> int:
        """Words of the memory, a power of two: what must be there at once, and as much again as
        one step lets go, so that the writer goes on meanwhile."""
        walk = self.walk
        if self.in_order:
            return FIFO_WORDS
        held, need, step = 0, 1, 1
        for address, outside, free in zip(walk.address, walk.outside, walk.free, strict=True):
            if not outside:
                need = max(need, address + 1 - held)
            step = max(step, free - held)
            held = max(held, free)
        inside = [a for a, out in zip(walk.address, walk.outside, strict=True) if not out]
        rest = walk.words - max(inside, default=0)
        return 1 << counter_bits(max(need + min(step, need), rest, 2))

    # -- the schedule's model ---------------------------------------------------------------

    @property
    def latency(self) -> int:
        """Registers between an address and the sum's last addition."""
        return 2 + self._tree_stages() if self.mode in ("mac", "each") else 1

    def _tree_stages(self) -> int:
        if self.mode != "mac" or self.parallel[0] == 1:
            return 0
        return -(-counter_bits(self.parallel[0]) // TREE)

    def reset(self) -> None:
        """Empty."""
        super().reset()
        self.written = self.freed = self.at = self.base = 0
        self.pipe: list[int] = [0] * self.latency if self.inputs else []
        self.moves = True

    def ready(self, valid: Sequence[bool], takes: Sequence[bool]) -> list[bool]:
        """Room in the memory. A finished sum waits for the one before to go."""
        del valid
        self.moves = not (self.pipe[-1] == 2 and self.valid[0] and not takes[0])
        return [self.written - self.freed < self.depth]

    def step(self, came: Sequence[bool], went: Sequence[bool]) -> None:
        """Issue a read, shift the pipeline, write a word."""
        if went[0]:
            self.valid[0] = False
        if self.moves:
            walk, at = self.walk, self.at
            if self.pipe[-1] == 2:
                self.valid[0] = True
            token = 0
            if walk.outside[at] or self.written > self.base + walk.address[at]:
                token = 2 if walk.last[at] else 1
                self.freed = max(self.freed, self.base + walk.free[at])
                self.at += 1
                if self.at == len(walk.address):
                    self.at = 0
                    self.base += walk.words
            self.pipe = [token, *self.pipe[:-1]]
        self.written += came[0]

    # -- Verilog ----------------------------------------------------------------------------

    def body(self) -> list[str]:
        """Memory, address counters, read-only memory, multipliers, sums."""
        return [*self._memory(), *self._counters(), *self._arithmetic()]

    @property
    def _pointer(self) -> int:
        return counter_bits(self.depth) + 2

    def _constant(self, value: int, bits: int | None = None) -> str:
        bits = self._pointer if bits is None else bits
        return f"{bits}'h{value & ((1 << bits) - 1):x}"

    def _memory(self) -> list[str]:
        bits, data, pointer = counter_bits(self.depth), self.inputs[0].bits, self._pointer
        return [
            "  (* no_rw_check *)",
            f"  reg [{data - 1}:0] mem [0:{self.depth - 1}];",
            f"  reg [{data - 1}:0] q;",
            f"  reg [{pointer - 1}:0] wr, free, addr;",
            f"  wire [{pointer - 1}:0] used = wr - free;",
            f"  assign in_ready = used[{pointer - 1}] | ~used[{bits}];",
            f"  wire [{pointer - 1}:0] ahead = wr - addr - {self._constant(1)};",
            "  wire moves;",
            "  always @(posedge clk) begin",
            f"    if (in_valid & in_ready) mem[wr[{bits - 1}:0]] <= in_data;",
            f"    if (moves) q <= mem[addr[{bits - 1}:0]];",
            "  end",
            "  always @(posedge clk)",
            f"    if (rst) wr <= {self._constant(0)};",
            f"    else if (in_valid & in_ready) wr <= wr + {self._constant(1)};",
        ]

    def _counters(self) -> list[str]:
        g, pointer = self.geometry, self._pointer
        lines, resets = [], [f"addr <= {self._constant(self.start)};"]
        resets += [f"free <= {self._constant(0)};", "first <= 1'b1;"]
        tests = []
        self._coordinates = []
        for name, axis, padded in (("iy", 0, g.padded[0]), ("ix", 1, g.padded[1])):
            if padded:
                reach = g.size[axis] + g.window[axis] * g.dilation[axis] + g.strides[axis]
                bits = counter_bits(reach + g.before[axis]) + 1
                self._coordinates.append((name, axis, bits))
                lines.append(f"  reg signed [{bits - 1}:0] {name};")
                limit = self._constant(g.size[axis], bits)
                tests.append(f"{name}[{bits - 1}] | ({name} >= $signed({limit}))")
                resets.append(f"{name} <= {self._constant(-g.before[axis], bits)};")
        outside = " | ".join(tests) or "1'b0"
        lines += [
            f"  wire outside = {outside};",
            "  reg first;",
            f"  wire issue = moves & (outside | ~ahead[{pointer - 1}]);",
        ]
        for loop in self.loops:
            bits = counter_bits(loop.count)
            lines.append(f"  reg [{bits - 1}:0] {loop.name};")
            lines.append(f"  wire {loop.name}_end = {loop.name} == {bits}'d{loop.count - 1};")
            resets.append(f"{loop.name} <= {bits}'d0;")
        inner = [loop.name for loop in self.loops if loop.name in ("ky", "kx", "cg")]
        last = " & ".join(f"{name}_end" for name in inner) or "1'b1"
        lines.append(f"  wire last = {last};")
        if self.rom_depth > 1:
            bits = counter_bits(self.rom_depth)
            lines.append(f"  reg [{bits - 1}:0] wa;")
            resets.append(f"wa <= {bits}'d0;")
        lines.append("  always @(posedge clk)")
        lines.append("    if (rst) begin")
        lines += [f"      {text}" for text in resets]
        lines += ["    end else if (issue) begin", "      first <= last;"]
        lines += self._step(len(self.loops) - 1, "      ")
        lines.append("    end")
        return lines

    def _step(self, index: int, pad: str) -> list[str]:
        """The nested test of which loop steps, innermost first."""
        if index < 0:
            return self._jump(-1, pad)
        loop = self.loops[index]
        bits = counter_bits(loop.count)
        return [
            f"{pad}if (~{loop.name}_end) begin",
            f"{pad}  {loop.name} <= {loop.name} + {bits}'d1;",
            *self._jump(index, pad + "  "),
            f"{pad}end else begin",
            f"{pad}  {loop.name} <= {bits}'d0;",
            *self._step(index - 1, pad + "  "),
            f"{pad}end",
        ]

    def _jump(self, index: int, pad: str) -> list[str]:
        g, words = self.geometry, self.groups[0]
        name = self.loops[index].name if index >= 0 else "frame"
        delta, row, column = self.jumps(index)
        lines = [f"{pad}addr <= addr + {self._constant(delta)};"]
        moved = {"iy": row, "ix": column}
        for axis_name, axis, bits in self._coordinates:
            if index < 0:
                lines.append(f"{pad}{axis_name} <= {self._constant(-g.before[axis], bits)};")
            elif moved[axis_name]:
                step = self._constant(moved[axis_name], bits)
                lines.append(f"{pad}{axis_name} <= {axis_name} + {step};")
        if self.rom_depth > 1:
            bits = counter_bits(self.rom_depth)
            again = name in ("frame", "oy", "ox")
            lines.append(
                f"{pad}wa <= {f'{bits}' + chr(39) + 'd0' if again else f'wa + {bits}' + chr(39) + 'd1'};"
            )
        if self.in_order:
            lines.append(f"{pad}free <= addr + {self._constant(1)};")
        elif index < 0:
            lines.append(f"{pad}free <= addr + {self._constant(delta - self.start)};")
        elif name in self.releasing:
            # Rows (of one row, columns) above the image hold nothing back.
            test = next((c for c in self._coordinates if c[1] == (g.size[0] == 1)), None)
            left = g.before[1] * words if g.size[0] > 1 else 0
            text = f"free <= addr + {self._constant(delta + left)};"
            if test is not None and g.before[test[1]]:
                change = row if test[1] == 0 else column
                limit = self._constant(-change, test[2])
                text = f"if ({test[0]} >= $signed({limit})) {text}"
            lines.append(pad + text)
        return lines

    @property
    def rom_depth(self) -> int:
        """Words of weights."""
        return self.reuse_factor if self.weights is not None else 1

    @cached_property
    def weight_bits(self) -> int:
        """Width of a weight."""
        assert self.weights is not None
        return width(int(self.weights.min(initial=0)), int(self.weights.max(initial=0)))

    def rom(self) -> list[list[int]]:
        """The weights of each word, in the order [output][input]."""
        assert self.weights is not None
        inputs, outputs = self.parallel
        w = np.asarray(self.weights).astype(np.int64)
        rows, columns = w.shape[:2]
        if self.mode == "each":
            parts = w.reshape(rows, columns, -1, inputs).transpose(2, 0, 1, 3)
            return [[int(v) for v in word] for word in parts.reshape(-1, inputs)]
        parts = w.reshape(rows, columns, -1, inputs, w.shape[3] // outputs, outputs)
        parts = parts.transpose(4, 0, 1, 2, 5, 3)
        return [[int(v) for v in word] for word in parts.reshape(-1, outputs * inputs)]

    def _rom(self) -> list[str]:
        words, bits = self.rom(), self.weight_bits
        mask, digits = (1 << bits) - 1, -(-bits * len(words[0]) // 4)
        total = bits * len(words[0])
        texts = []
        for word in words:
            value = 0
            for place, weight in enumerate(word):
                value |= (weight & mask) << (place * bits)
            texts.append(f"{total}'h{value:0{digits}x}")
        if len(texts) == 1:
            return [f"  wire [{total - 1}:0] w = {texts[0]};"]
        return [
            f"  reg [{total - 1}:0] rom [0:{len(texts) - 1}];",
            "  initial begin",
            *(f"    rom[{index}] = {text};" for index, text in enumerate(texts)),
            "  end",
            f"  reg [{total - 1}:0] w;",
            "  always @(posedge clk) if (moves) w <= rom[wa];",
        ]

    def _arithmetic(self) -> list[str]:
        stream, out = self.inputs[0], self.outputs[0]
        logic, lines = Logic("x"), []
        depth = self.latency
        flags = ["v", "f", "l"]
        lines += [
            f"  reg {', '.join(f'{flag}{i}' for flag in flags for i in range(1, depth + 1))};"
        ]
        masked = any(self.geometry.padded)
        if masked:
            lines.append("  reg o1;")
        clocked = ["v1 <= issue; f1 <= first; l1 <= last;"]
        if masked:
            clocked.append("o1 <= outside;")
        clocked += [
            f"v{i} <= v{i - 1}; f{i} <= f{i - 1}; l{i} <= l{i - 1};" for i in range(2, depth + 1)
        ]
        bus = "q"
        if masked and self.mode != "max":
            logic.lines.append(f"  wire [{stream.bits - 1}:0] qm = o1 ? {stream.bits}'d0 : q;")
            bus = "qm"
        values = [logic.lane(bus, lane, stream.grid) for lane in range(stream.lanes)]
        registers = Registers(logic)
        sums: list[Sig]
        if self.weights is not None:
            lines += self._rom()
            sums = self._products(logic, registers, values)
        else:
            sums = values
        skip = "o1" if masked and self.mode == "max" else ""
        ends = self._accumulate(logic, registers, sums, skip, depth)
        lines += [
            *logic.lines,
            "  reg full;",
            f"  reg [{out.bits - 1}:0] held;",
            "  assign out_valid = full;",
            "  assign out_data = held;",
            f"  wire done = v{depth} & l{depth};",
            "  assign moves = ~(done & full & ~out_ready);",
            "  always @(posedge clk) begin",
            "    if (moves) begin",
            *(f"      {text}" for text in [*clocked, *registers.updates]),
            f"      if (done) held <= {packed(ends, out.grid)};",
            "    end",
            "    if (done & moves) full <= 1'b1; else if (out_ready) full <= 1'b0;",
            f"    if (rst) begin full <= 1'b0; {' '.join(f'v{i} <= 1{chr(39)}b0;' for i in range(1, depth + 1))} end",
            "  end",
        ]
        return lines

    def _products(self, logic: Logic, registers: Registers, values: list[Sig]) -> list[Sig]:
        """One sum per output lane, of the products of a cycle."""
        assert self.weights is not None
        inputs, outputs = self.parallel
        bits = self.weight_bits
        words = np.asarray(self.rom())
        sums = []
        for output in range(outputs if self.mode == "mac" else 1):
            terms = []
            for index in range(inputs):
                place = output * inputs + index
                column = words[:, place]
                weight = logic.wire(
                    f"w[{place * bits + bits - 1}:{place * bits}]",
                    bits, int(column.min()), int(column.max()),
                )  # fmt: skip
                terms.append(registers.hold(self._product(logic, values[index], weight)))
            if self.mode == "each":
                return terms
            for _ in range(self._tree_stages()):
                wide = 1 << TREE
                terms = [
                    registers.hold(logic.tree(terms[i : i + wide]))
                    for i in range(0, len(terms), wide)
                ]
            sums.append(terms[0])
        return sums

    def _product(self, logic: Logic, value: Sig, weight: Sig) -> Sig:
        ends = [x * y for x in (value.low, value.high) for y in (weight.low, weight.high)]
        low, high = min(*ends, 0), max(*ends, 0)
        bits = width(low, high)
        if self.dsp:
            return logic.wire(product(value, weight, bits), bits, low, high)
        parts = []
        for bit in range(weight.bits):
            shifted = logic.left(value, bit)
            text = f"{weight.name}[{bit}] ? {shifted.at(bits)} : {bits}'d0"
            part = logic.wire(text, bits, min(shifted.low, 0), max(shifted.high, 0))
            parts.append((part, bit == weight.bits - 1))
        # modulo 2**bits: partial sums may pass the product's range
        text = " ".join(f"{'-' if top else '+'} {part.name}" for part, top in parts)
        return logic.wire(text.removeprefix("+ "), bits, low, high)

    def _accumulate(
        self, logic: Logic, registers: Registers, sums: list[Sig], skip: str, depth: int
    ) -> list[Sig]:
        grid = self.outputs[0].grid
        bits = width(grid.low, grid.high)
        ends = []
        for lane, value in enumerate(sums):
            text = value.at(bits)
            if self.mode == "max":
                floor = f"{bits}'sh{grid.low & ((1 << bits) - 1):x}"
                if skip:
                    text = f"({skip} ? {floor} : {text})"
                new = logic.wire(text, bits, grid.low, grid.high)
                text = f"(~f{depth} & (acc{lane} > {new.name})) ? acc{lane} : {new.name}"
            else:
                text = f"(f{depth} ? {bits}'d0 : acc{lane}) + {text}"
            logic.lines.append(f"  reg signed [{bits - 1}:0] acc{lane};")
            end = logic.wire(text, bits, grid.low, grid.high)
            registers.updates.append(f"if (v{depth}) acc{lane} <= {end.name};")
            ends.append(end)
        return ends

    def cost(self) -> dict[str, float]:
        """Counted: the memory, the weights, multipliers, adders, counters, pipeline."""
        stream, out = self.inputs[0], self.outputs[0]
        accumulator = width(out.grid.low, out.grid.high)
        found = {
            "lut": 6.0 * self._pointer + 3.0 * sum(counter_bits(x.count) for x in self.loops) + 20,
            "ff": 3.0 * self._pointer + sum(counter_bits(x.count) for x in self.loops) + 20.0,
            "ram_bits": float(self.depth * stream.bits),
        }
        found["lut"] += accumulator * out.lanes
        found["ff"] += 2.0 * accumulator * out.lanes
        if self.weights is not None:
            term = self.weight_bits + stream.grid.bits
            found["rom_bits"] = float(self.rom_depth * self.weight_bits * self.multipliers)
            found["ff"] += 1.3 * term * self.multipliers
            found["lut"] += term * (self.multipliers - out.lanes if self.mode == "mac" else 0)
            if self.dsp:
                found["dsp"] = float(self.multipliers)
            else:
                found["lut"] += 1.2 * self.weight_bits * stream.grid.bits * self.multipliers
        return found


@dataclass
class Registers:
    """Pipeline registers that follow their wires when the engine moves."""

    logic: Logic
    updates: list[str] = field(default_factory=list)

    def hold(self, value: Sig) -> Sig:
        """A register of a wire."""
        name = f"r{len(self.updates)}"
        self.logic.lines.append(f"  reg signed [{value.bits - 1}:0] {name};")
        self.updates.append(f"{name} <= {value.name};")
        return Sig(name, value.bits, value.low, value.high)
