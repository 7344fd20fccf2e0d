"""Integers in Verilog: grids of values, and expressions whose widths follow from their ranges.

Every value is an integer of a known range, times a power of two that no hardware sees. Inside a
module values are signed (two's complement); in a stream's beat a lane that is never negative
leaves its sign bit out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edgeflow.backends.fixed_job import Fixed


@dataclass(frozen=True)
class Grid:
    """The integers low..high, of which each stands for integer * 2**-fraction."""

    fraction: int
    low: int
    high: int

    @classmethod
    def of(cls, kind: Fixed) -> Grid:
        """All values of a fixed-point type."""
        return cls(
            kind.fraction,
            round(kind.low * 2.0**kind.fraction),
            round(kind.high * 2.0**kind.fraction),
        )

    @property
    def signed(self) -> bool:
        """Whether a lane has a sign bit."""
        return self.low < 0

    @property
    def bits(self) -> int:
        """Width of a lane."""
        return width(self.low, self.high) - (not self.signed)


def width(low: int, high: int) -> int:
    """Bits of two's complement that hold low..high; at least 2, so that a lane has one."""
    return max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0, 1) + 1


def shifted(value: int, shift: int, rounding: str) -> int:
    """``value * 2**-shift``, rounded as ap_fixed's mode says; a negative shift is exact."""
    if shift <= 0:
        return value << -shift
    half, down = 1 << (shift - 1), value >> shift
    extra = {
        "AP_TRN": 0,
        "AP_TRN_ZERO": (1 << shift) - 1 if value < 0 else 0,
        "AP_RND": half,
        "AP_RND_CONV": half - 1 + (down & 1),
        "AP_RND_INF": half - (value < 0),
        "AP_RND_ZERO": half - (value >= 0),
        "AP_RND_MIN_INF": half - 1,
    }[rounding]
    return (value + extra) >> shift


def quantized(grid: Grid, kind: Fixed) -> Grid:
    """The grid after rounding to a type: its range only where that is smaller than the type's."""
    full = Grid.of(kind)
    low, high = (
        shifted(end, grid.fraction - kind.fraction, kind.rounding) for end in (grid.low, grid.high)
    )
    if kind.overflow == "AP_WRAP" and not (full.low <= low and high <= full.high):
        return full
    clipped = [min(max(end, full.low), full.high) for end in (low, high)]
    return Grid(kind.fraction, *clipped)


def literal(value: int, bits: int) -> str:
    """A signed Verilog constant."""
    return f"{bits}'sh{value & ((1 << bits) - 1):x}"


@dataclass(frozen=True)
class Sig:
    """A signed wire or register and the range of its values."""

    name: str
    bits: int
    low: int
    high: int

    def at(self, bits: int) -> str:
        """Its value in so many bits: sign-extended, or cut."""
        if bits == self.bits:
            return self.name
        if bits < self.bits:
            return f"{self.name}[{bits - 1}:0]"
        return f"{{{{{bits - self.bits}{{{self.name}[{self.bits - 1}]}}}}, {self.name}}}"


@dataclass
class Logic:
    """Combinational lines of a module; each operation declares a wire of the width it needs."""

    prefix: str = "t"
    lines: list[str] = field(default_factory=list)
    count: int = 0

    def wire(self, expression: str, bits: int, low: int, high: int) -> Sig:
        """A new wire."""
        name = f"{self.prefix}{self.count}"
        self.count += 1
        self.lines.append(f"  wire signed [{bits - 1}:0] {name} = {expression};")
        return Sig(name, bits, low, high)

    def lane(self, bus: str, index: int, grid: Grid) -> Sig:
        """A lane of a beat."""
        bits = grid.bits
        part = f"{bus}[{index * bits + bits - 1}:{index * bits}]"
        if grid.signed:
            return self.wire(part, bits, grid.low, grid.high)
        return self.wire(f"{{1'b0, {part}}}", bits + 1, grid.low, grid.high)

    def constant(self, value: int) -> Sig:
        """A number."""
        bits = width(value, value)
        return self.wire(literal(value, bits), bits, value, value)

    def pick(self, values: Sequence[int]) -> Sig:
        """The number of the group of channels that the module's counter ``group`` is at."""
        if len(set(values)) == 1:
            return self.constant(values[0])
        low, high = min(values), max(values)
        bits, address = width(low, high), counter_bits(len(values))
        name = f"{self.prefix}{self.count}"
        self.count += 1
        self.lines += [
            f"  reg signed [{bits - 1}:0] {name};",
            "  always @*",
            "    case (group)",
            *(
                f"      {address}'d{index}: {name} = {literal(value, bits)};"
                for index, value in enumerate(values[1:], 1)
            ),
            f"      default: {name} = {literal(values[0], bits)};",
            "    endcase",
        ]
        return Sig(name, bits, low, high)

    def add(self, a: Sig, b: Sig) -> Sig:
        """a + b."""
        low, high = a.low + b.low, a.high + b.high
        bits = width(low, high)
        return self.wire(f"{a.at(bits)} + {b.at(bits)}", bits, low, high)

    def subtract(self, a: Sig, b: Sig) -> Sig:
        """a - b."""
        low, high = a.low - b.high, a.high - b.low
        bits = width(low, high)
        return self.wire(f"{a.at(bits)} - {b.at(bits)}", bits, low, high)

    def left(self, a: Sig, shift: int) -> Sig:
        """a * 2**shift."""
        if shift == 0:
            return a
        return self.wire(
            f"{{{a.name}, {shift}'d0}}", a.bits + shift, a.low << shift, a.high << shift
        )

    def multiply(self, a: Sig, b: Sig) -> Sig:
        """a * b."""
        ends = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
        bits = width(min(ends), max(ends))
        expression = product(a, b, bits)
        return self.wire(expression, bits, min(ends), max(ends))

    def relu(self, a: Sig) -> Sig:
        """max(a, 0)."""
        if a.low >= 0:
            return a
        zero = literal(0, a.bits)
        return self.wire(f"{a.name}[{a.bits - 1}] ? {zero} : {a.name}", a.bits, 0, max(a.high, 0))

    def larger(self, a: Sig, b: Sig, least: bool = False) -> Sig:
        """max(a, b), or min."""
        choose = min if least else max
        low, high = choose(a.low, b.low), choose(a.high, b.high)
        bits = max(a.bits, b.bits)
        order = "<" if least else ">"
        test = f"$signed({a.at(bits)}) {order} $signed({b.at(bits)})"
        return self.wire(f"({test}) ? {a.at(bits)} : {b.at(bits)}", bits, low, high)

    def clip(self, a: Sig, low: int, high: int) -> Sig:
        """a within low..high."""
        text = a.name
        if a.low < low:
            text = f"({a.name} < {literal(low, a.bits)}) ? {literal(low, a.bits)} : {text}"
        if a.high > high:
            text = f"({a.name} > {literal(high, a.bits)}) ? {literal(high, a.bits)} : {text}"
        if text == a.name:
            return a
        ends = [min(max(end, low), high) for end in (a.low, a.high)]
        return self.wire(text, a.bits, *ends)

    def shift(self, a: Sig, shift: int, rounding: str) -> Sig:
        """a * 2**-shift, rounded."""
        if shift <= 0:
            return self.left(a, -shift)
        low, high = (shifted(end, shift, rounding) for end in (a.low, a.high))
        total = self._with_half(a, shift, rounding)
        if total.bits <= shift:  # nothing is left of it but its sign
            sign = f"{total.name}[{total.bits - 1}]"
            return self.wire(f"{{{sign}, {sign}}}", 2, low, high)
        return self.wire(f"{total.name}[{total.bits - 1}:{shift}]", total.bits - shift, low, high)

    def _with_half(self, a: Sig, shift: int, rounding: str) -> Sig:
        half = 1 << (shift - 1)
        sign = f"{a.name}[{a.bits - 1}]"
        odd = f"{a.name}[{shift}]" if shift < a.bits else sign
        constant, bit = {
            "AP_TRN": (0, ""),
            "AP_TRN_ZERO": (0, sign),
            "AP_RND": (half, ""),
            "AP_RND_CONV": (half - 1, odd),
            "AP_RND_INF": (half - 1, f"~{sign}"),
            "AP_RND_ZERO": (half - 1, sign),
            "AP_RND_MIN_INF": (half - 1, ""),
        }[rounding]
        weight = (1 << shift) - 1 if rounding == "AP_TRN_ZERO" else 1
        if not constant and not bit:
            return a
        low, high = a.low + constant, a.high + constant + (weight if bit else 0)
        bits = width(low, high)
        terms = [a.at(bits)]
        if constant:
            terms.append(literal(constant, bits))
        if bit and weight == 1:
            terms.append(f"{{{bits - 1}'d0, {bit}}}")
        elif bit:
            terms.append(f"({bit} ? {literal(weight, bits)} : {literal(0, bits)})")
        return self.wire(" + ".join(terms), bits, low, high)

    def quantize(self, a: Sig, fraction: int, kind: Fixed) -> tuple[Sig, Grid]:
        """a, of so many bits after the point, rounded to a type."""
        full = Grid.of(kind)
        after = quantized(Grid(fraction, a.low, a.high), kind)
        value = self.shift(a, fraction - kind.fraction, kind.rounding)
        if kind.overflow != "AP_WRAP":
            return self.clip(value, full.low, full.high), after
        if full.low <= value.low and value.high <= full.high:
            return value, after
        bits = kind.width
        if kind.signed:
            text, bits = value.at(bits), max(bits, 2)
            if kind.width == 1:
                text = f"{{{value.name}[0], {value.name}[0]}}"
        else:
            text, bits = f"{{1'b0, {value.at(bits)}}}", bits + 1
        return self.wire(text, bits, full.low, full.high), after

    def tree(self, terms: Sequence[Sig], join: Callable[[Sig, Sig], Sig] | None = None) -> Sig:
        """All terms added (or joined) in pairs, pairs of pairs, …"""
        row = list(terms)
        while len(row) > 1:
            pairs = [(join or self.add)(row[i], row[i + 1]) for i in range(0, len(row) - 1, 2)]
            row = pairs + row[2 * len(pairs) :]
        return row[0]


def product(a: Sig, b: Sig, bits: int) -> str:
    """The text of a signed product of so many bits."""
    return f"$signed({a.at(bits)}) * $signed({b.at(bits)})"


def packed(values: Sequence[Sig], grid: Grid) -> str:
    """The lanes of a beat from the values of a module, lane 0 in the lowest bits."""
    return "{" + ", ".join(value.at(grid.bits) for value in reversed(values)) + "}"


def counter_bits(count: int) -> int:
    """Bits of a counter of 0..count - 1."""
    return max(1, math.ceil(math.log2(count))) if count > 1 else 1
