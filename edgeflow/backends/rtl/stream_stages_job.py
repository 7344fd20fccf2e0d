"""The plumbing of a stream design: what lies between its engines.

A stage is one Verilog module with valid/ready streams on both sides. Each class writes its module
(`Stage.verilog`) and, beside it, says the same control in Python (`ready`, `step`), cycle for
cycle: `stream_schedule_job` runs that to count cycles and to size FIFOs before there is any RTL.

Every ``out_valid`` comes from a register; ``in_ready`` may depend on ``out_ready``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edgeflow.backends.rtl.stream_signals_job import Grid, Logic, Sig, counter_bits, packed


@dataclass
class Stream:
    """A tensor on its way: so many beats per inference, of so many lanes each, in C order.

    Streams of one name are the same wires; their shapes may differ (a flattened image).
    """

    name: str
    shape: tuple[int, ...]
    grid: Grid
    lanes: int

    @property
    def bits(self) -> int:
        """Width of a beat."""
        return self.lanes * self.grid.bits

    @property
    def size(self) -> int:
        """Elements per inference."""
        size = 1
        for dim in self.shape:
            size *= dim
        return size

    @property
    def beats(self) -> int:
        """Beats per inference."""
        return self.size // self.lanes

    @property
    def groups(self) -> int:
        """Beats per position."""
        return self.shape[-1] // self.lanes


@dataclass
class Stage:
    """One module. ``layers`` are the Network's that it computes."""

    name: str
    inputs: list[Stream]
    outputs: list[Stream]
    layers: tuple[str, ...] = ()
    valid: list[bool] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Back to the state after reset (of the schedule's model)."""
        self.valid = [False] * len(self.outputs)

    def ready(self, valid: Sequence[bool], takes: Sequence[bool]) -> list[bool]:
        """Which inputs it takes in this cycle, from its inputs' valid and its outputs' ready."""
        raise NotImplementedError

    def step(self, came: Sequence[bool], went: Sequence[bool]) -> None:
        """The clock's edge: which inputs and outputs handed over a beat."""
        raise NotImplementedError

    def body(self) -> list[str]:
        """The lines between the ports and ``endmodule``."""
        raise NotImplementedError

    def cost(self) -> dict[str, float]:
        """``lut``, ``ff``, ``dsp`` (multipliers), ``ram_bits``, by simple counting."""
        return {"lut": 15.0, "ff": float(sum(s.bits for s in self.outputs) + 1)}

    def ports(self) -> list[tuple[str, Stream, bool]]:
        """Each stream's prefix in the module, and whether it goes in."""
        found = []
        for word, streams, inward in (("in", self.inputs, True), ("out", self.outputs, False)):
            for index, stream in enumerate(streams):
                found.append((word if len(streams) == 1 else f"{word}{index}", stream, inward))
        return found

    def verilog(self, module: str) -> str:
        """The module's text."""
        lines = [f"module {module} (", "  input wire clk,", "  input wire rst"]
        for prefix, stream, inward in self.ports():
            there, back = ("input", "output") if inward else ("output", "input")
            lines[-1] += ","
            lines += [
                f"  {there} wire {prefix}_valid,",
                f"  {back} wire {prefix}_ready,",
                f"  {there} wire [{stream.bits - 1}:0] {prefix}_data",
            ]
        return "\n".join([*lines, ");", *self.body(), "endmodule", ""])


class Register(Stage):
    """A stage that holds one beat: takes the next when the last has gone."""

    def ready(self, valid: Sequence[bool], takes: Sequence[bool]) -> list[bool]:
        """All inputs together, once the register is free."""
        free = all(valid) and (not self.valid[0] or takes[0])
        return [free] * len(self.inputs)

    def step(self, came: Sequence[bool], went: Sequence[bool]) -> None:
        """Fill or empty the register."""
        if came[0]:
            self.valid[0] = True
        elif went[0]:
            self.valid[0] = False


Function = Callable[[Logic, Sequence[Sequence[Sig]], Sequence[Sequence[int]]], list[Sig]]
"""Makes the output's lanes from the lanes of each input; the last argument has the channels that
each lane meets, one for each beat of a position (`Logic.pick` takes a number of each)."""


@dataclass
class Map(Register):
    """Combinational arithmetic on a beat (of one stream, or of several of one shape), registered.

    ``by_channel``: constants differ from channel to channel. ``copied``: so does the arithmetic
    itself, and there is a copy of it for each group of channels that a beat can hold.
    """

    function: Function | None = None
    by_channel: bool = False
    copied: bool = False

    @property
    def groups(self) -> int:
        """Beats per position that differ in their constants."""
        return self.outputs[0].groups if self.by_channel else 1

    def body(self) -> list[str]:
        """One block of arithmetic per group of channels, chosen by a counter."""
        out = self.outputs[0]
        logic = Logic()
        many = len(self.inputs) > 1
        lanes = [
            [logic.lane(f"in{i if many else ''}_data", j, stream.grid) for j in range(stream.lanes)]
            for i, stream in enumerate(self.inputs)
        ]
        assert self.function is not None
        results = []
        groups = range(self.groups)
        met = [[group * out.lanes + lane for group in groups] for lane in range(out.lanes)]
        for group in groups if self.copied else (0,):
            own = [[channels[group]] for channels in met] if self.copied else met
            results.append(packed(self.function(logic, lanes, own), out.grid))
        prefixes = [f"in{i}" for i in range(len(self.inputs))] if many else ["in"]
        all_valid = " & ".join(f"{p}_valid" for p in prefixes)
        lines = [
            "  reg full;",
            f"  reg [{out.bits - 1}:0] held;",
            "  assign out_valid = full;",
            "  assign out_data = held;",
            f"  wire take = (~full | out_ready) & {all_valid};",
            *(f"  assign {p}_ready = take;" for p in prefixes),
        ]
        value, more = results[0], ""
        bits = counter_bits(self.groups)
        if self.groups > 1:
            lines.append(f"  reg [{bits - 1}:0] group;")
            last = f"group == {bits}'d{self.groups - 1}"
            more = f" group <= ({last}) ? {bits}'d0 : group + {bits}'d1;"
        lines += logic.lines
        if len(results) > 1:
            lines += [f"  reg [{out.bits - 1}:0] value;"]
            lines += ["  always @* begin", "    case (group)"]
            for index, text in enumerate(results[1:], 1):
                lines.append(f"      {bits}'d{index}: value = {text};")
            lines += [f"      default: value = {results[0]};", "    endcase", "  end"]
            value = "value"
        clear = f" group <= {bits}'d0;" if more else ""
        lines += [
            "  always @(posedge clk) begin",
            f"    if (take) begin held <= {value};{more} end",
            "    if (take) full <= 1'b1; else if (out_ready) full <= 1'b0;",
            f"    if (rst) begin full <= 1'b0;{clear} end",
            "  end",
        ]
        return lines

    def cost(self) -> dict[str, float]:
        """Additions and comparisons as wide as the values; constants to choose from."""
        lut = 2.0 * sum(s.bits for s in self.inputs)
        lut *= self.groups if self.copied else 1
        if self.groups > 1:
            lut += self.outputs[0].bits * self.groups / 8
        return {"lut": lut, "ff": float(self.outputs[0].bits + 1)}


@dataclass
class Narrow(Stage):
    """A wide beat into several narrow ones, lowest lanes first."""

    left: int = field(default=0, init=False, repr=False)

    @property
    def ratio(self) -> int:
        """Narrow beats per wide one."""
        return self.inputs[0].lanes // self.outputs[0].lanes

    def reset(self) -> None:
        """Empty."""
        super().reset()
        self.left = 0

    def ready(self, valid: Sequence[bool], takes: Sequence[bool]) -> list[bool]:
        """With the last part of the beat before."""
        del valid
        return [self.left == 0 or (self.left == 1 and takes[0])]

    def step(self, came: Sequence[bool], went: Sequence[bool]) -> None:
        """Count down."""
        if came[0]:
            self.left = self.ratio
        elif went[0]:
            self.left -= 1
        self.valid[0] = self.left > 0

    def body(self) -> list[str]:
        """A shift register."""
        wide, narrow = self.inputs[0].bits, self.outputs[0].bits
        bits = counter_bits(self.ratio + 1)
        return [
            f"  reg [{wide - 1}:0] held;",
            f"  reg [{bits - 1}:0] left;",
            f"  assign out_valid = left != {bits}'d0;",
            f"  assign out_data = held[{narrow - 1}:0];",
            f"  assign in_ready = (left == {bits}'d0) | ((left == {bits}'d1) & out_ready);",
            "  always @(posedge clk) begin",
            "    if (in_valid & in_ready) begin",
            "      held <= in_data;",
            f"      left <= {bits}'d{self.ratio};",
            "    end",
            "    else if (out_valid & out_ready) begin",
            f"      held <= {{{narrow}'d0, held[{wide - 1}:{narrow}]}};",
            f"      left <= left - {bits}'d1;",
            "    end",
            f"    if (rst) left <= {bits}'d0;",
            "  end",
        ]

    def cost(self) -> dict[str, float]:
        """One LUT and one register per bit of the wide beat."""
        return {"lut": 1.2 * self.inputs[0].bits + 8.0, "ff": self.inputs[0].bits + 3.0}


@dataclass
class Widen(Stage):
    """Several narrow beats into a wide one."""

    have: int = field(default=0, init=False, repr=False)

    @property
    def ratio(self) -> int:
        """Narrow beats per wide one."""
        return self.outputs[0].lanes // self.inputs[0].lanes

    def reset(self) -> None:
        """Empty."""
        super().reset()
        self.have = 0

    def ready(self, valid: Sequence[bool], takes: Sequence[bool]) -> list[bool]:
        """Unless a full beat waits."""
        del valid
        return [not self.valid[0] or takes[0]]

    def step(self, came: Sequence[bool], went: Sequence[bool]) -> None:
        """Count up."""
        if went[0]:
            self.valid[0] = False
        if came[0]:
            self.have += 1
            if self.have == self.ratio:
                self.have = 0
                self.valid[0] = True

    def body(self) -> list[str]:
        """A shift register."""
        wide, narrow = self.outputs[0].bits, self.inputs[0].bits
        bits = counter_bits(self.ratio)
        return [
            f"  reg [{wide - 1}:0] held;",
            f"  reg [{bits - 1}:0] have;",
            "  reg full;",
            "  assign out_valid = full;",
            "  assign out_data = held;",
            "  assign in_ready = ~full | out_ready;",
            f"  wire last = have == {bits}'d{self.ratio - 1};",
            "  always @(posedge clk) begin",
            "    if (in_valid & in_ready) begin",
            f"      held <= {{in_data, held[{wide - 1}:{narrow}]}};",
            f"      have <= last ? {bits}'d0 : have + {bits}'d1;",
            "    end",
            "    if (in_valid & in_ready & last) full <= 1'b1;",
            "    else if (out_ready) full <= 1'b0;",
            f"    if (rst) begin full <= 1'b0; have <= {bits}'d0; end",
            "  end",
        ]

    def cost(self) -> dict[str, float]:
        """One register per bit of the wide beat."""
        return {"lut": 6.0, "ff": self.outputs[0].bits + 4.0}


@dataclass
class Fork(Stage):
    """One stream to several readers; each takes a beat when it can, the next comes after all."""

    gone: list[bool] = field(default_factory=list, init=False, repr=False)
    full: bool = field(default=False, init=False, repr=False)

    def reset(self) -> None:
        """Empty."""
        super().reset()
        self.gone = [False] * len(self.outputs)
        self.full = False

    def ready(self, valid: Sequence[bool], takes: Sequence[bool]) -> list[bool]:
        """Empty, or every reader has it or takes it now."""
        del valid
        done = all(gone or take for gone, take in zip(self.gone, takes, strict=True))
        return [not self.full or done]

    def step(self, came: Sequence[bool], went: Sequence[bool]) -> None:
        """Remember who has it."""
        self.gone = [gone or now for gone, now in zip(self.gone, went, strict=True)]
        if self.full and all(self.gone):
            self.full = False
        if came[0]:
            self.full = True
        if not self.full or came[0]:
            self.gone = [False] * len(self.outputs)
        self.valid = [self.full and not gone for gone in self.gone]

    def body(self) -> list[str]:
        """A register, and a bit for each reader."""
        many = range(len(self.outputs))
        done = " & ".join(f"(gone[{i}] | out{i}_ready)" for i in many)
        went = ", ".join(f"out{i}_ready" for i in reversed(many))
        return [
            f"  reg [{self.inputs[0].bits - 1}:0] held;",
            "  reg full;",
            f"  reg [{len(many) - 1}:0] gone;",
            f"  wire done = {done};",
            "  assign in_ready = ~full | done;",
            *(f"  assign out{i}_valid = full & ~gone[{i}];" for i in many),
            *(f"  assign out{i}_data = held;" for i in many),
            "  always @(posedge clk) begin",
            "    if (in_valid & in_ready) held <= in_data;",
            "    if (in_ready) full <= in_valid;",
            f"    gone <= (in_ready | ~full) ? {len(many)}'d0 : gone | {{{went}}};",
            f"    if (rst) begin full <= 1'b0; gone <= {len(many)}'d0; end",
            "  end",
        ]


@dataclass
class Fifo(Stage):
    """A queue in a memory, and a register behind it. ``depth`` is a power of two.

    ``most`` is the fullest that it has been in the schedule's run.
    """

    depth: int = 2
    inside: int = field(default=0, init=False, repr=False)
    most: int = field(default=0, init=False, repr=False)

    def reset(self) -> None:
        """Empty."""
        super().reset()
        self.inside = self.most = 0

    def ready(self, valid: Sequence[bool], takes: Sequence[bool]) -> list[bool]:
        """Room in the memory."""
        del valid, takes
        return [self.inside < self.depth]

    def step(self, came: Sequence[bool], went: Sequence[bool]) -> None:
        """The register takes from the memory when it is free."""
        moves = self.inside > 0 and (not self.valid[0] or went[0])
        self.valid[0] = moves or (self.valid[0] and not went[0])
        self.inside += int(came[0]) - int(moves)
        self.most = max(self.most, self.inside)

    def body(self) -> list[str]:
        """Read and write pointers with one bit more than an address."""
        bits, data = counter_bits(self.depth), self.inputs[0].bits
        one = f"{bits + 1}'d1"
        return [
            "  (* no_rw_check *)",
            f"  reg [{data - 1}:0] mem [0:{self.depth - 1}];",
            f"  reg [{data - 1}:0] held;",
            f"  reg [{bits}:0] wr, rd;",
            "  reg full;",
            "  assign out_valid = full;",
            "  assign out_data = held;",
            f"  wire [{bits}:0] used = wr - rd;",
            f"  assign in_ready = ~used[{bits}];",
            f"  wire move = (used != {bits + 1}'d0) & (~full | out_ready);",
            "  always @(posedge clk) begin",
            f"    if (in_valid & in_ready) mem[wr[{bits - 1}:0]] <= in_data;",
            f"    if (move) held <= mem[rd[{bits - 1}:0]];",
            "  end",
            "  always @(posedge clk) begin",
            f"    if (in_valid & in_ready) wr <= wr + {one};",
            f"    if (move) rd <= rd + {one};",
            "    if (move) full <= 1'b1; else if (out_ready) full <= 1'b0;",
            f"    if (rst) begin full <= 1'b0; wr <= {bits + 1}'d0; rd <= {bits + 1}'d0; end",
            "  end",
        ]

    def cost(self) -> dict[str, float]:
        """The memory and its pointers."""
        bits = counter_bits(self.depth)
        return {
            "lut": 8.0 * bits + self.inputs[0].bits + 10.0,
            "ff": self.inputs[0].bits + 2.0 * bits,
            "ram_bits": float(self.depth * self.inputs[0].bits),
        }
