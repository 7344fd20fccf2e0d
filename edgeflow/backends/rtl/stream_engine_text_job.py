"""The shared engine's Verilog: its memory, address counters, weights, multipliers and sums."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from edgeflow.backends.rtl.reuse import LUT_ROM
from edgeflow.backends.rtl.stream_engine_job import TREE, Walker
from edgeflow.backends.rtl.stream_signals_job import (
    Logic,
    Sig,
    counter_bits,
    packed,
    product,
    width,
)

SMALL = 2048
"""Bits up to which an engine's own memory is taken to be LUTs."""


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


@dataclass
class Engine(Walker):
    """The engine that `Walker` plans."""

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
            lines.append(f"{pad}wa <= {bits}'d0;" if again else f"{pad}wa <= wa + {bits}'d1;")
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
        style = "logic" if len(texts) <= LUT_ROM else "block"
        return [
            f'  (* rom_style = "{style}" *)',
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
            "    if (rst) begin",
            "      full <= 1'b0;",
            *(f"      v{i} <= 1'b0;" for i in range(1, depth + 1)),
            "    end",
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
                terms.append(
                    registers.hold(self._product(logic, values[index], weight, place < self.dsp))
                )
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

    def _product(self, logic: Logic, value: Sig, weight: Sig, block: bool) -> Sig:
        ends = [x * y for x in (value.low, value.high) for y in (weight.low, weight.high)]
        low, high = min(*ends, 0), max(*ends, 0)
        bits = width(low, high)
        if block:
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
        """Counted: memory, counters, weights, multipliers, adders, pipeline.

        The coefficients are those of yosys on ECP5 for the designs of this project's tests, whose
        LUTs are met within 25 %.
        """
        stream, out = self.inputs[0], self.outputs[0]
        accumulator = width(out.grid.low, out.grid.high)
        counters = sum(counter_bits(loop.count) for loop in self.loops)
        found = {
            "lut": 12.0 * self._pointer + 6.0 * counters + 40.0,
            "ff": 3.0 * self._pointer + counters + 20.0,
            "ram_bits": float(self.depth * stream.bits),
        }
        # Small memories become LUTs; a tenth of a block is lost to its shapes.
        found["bram_18k"] = float(found["ram_bits"] > SMALL)
        found["lut"] += 1.2 * accumulator * out.lanes
        found["ff"] += 2.0 * accumulator * out.lanes
        if self.weights is not None:
            term = self.weight_bits + stream.grid.bits
            blocks = min(self.dsp, self.multipliers)
            word = self.weight_bits * self.multipliers
            found["rom_bits"] = float(self.rom_depth * word)
            if 1 < self.rom_depth <= LUT_ROM:
                found["lut"] += 1.2 * word * -(-self.rom_depth // 16)
            elif self.rom_depth > 1:
                found["bram_18k"] += math.ceil(1.1 * found["rom_bits"] / 18432)
            found["ff"] += 1.3 * term * self.multipliers
            adders = self.multipliers - out.lanes if self.mode == "mac" else 0
            found["lut"] += 1.2 * term * adders
            found["dsp"] = float(blocks)
            by_adders = 1.3 * self.weight_bits * stream.grid.bits
            found["lut"] += by_adders * (self.multipliers - blocks)
        return found
