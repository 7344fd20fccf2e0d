"""A netlist as a circuit of five kinds of element, ready to simulate.

Every primitive of every family is lowered to tables of up to six inputs, reads of a memory,
multiplications, registers and writes to a memory (`netlist_cells_job`, `netlist_memory_job`,
`netlist_dsp_job`); the engines know only these. A net is a small integer: 0 is constant 0 and 1 is
constant 1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from edgeflow.errors import InputError, UnsupportedError

ZERO: Final = 0
ONE: Final = 1
CLASSES: Final = ("logic", "carry", "register", "memory", "dsp", "io")
INTERNAL: Final = len(CLASSES)
"""The class of a net that the netlist does not have: it is inside a primitive, and not counted."""
DELAYS: Final = ("logic", "carry", "memory", "dsp", "io", "inner")


@dataclass(frozen=True)
class Table:
    """A truth table: bit i of `table` is the output for input bits i (input 0 the lowest)."""

    inputs: tuple[int, ...]
    table: int
    output: int
    delay: int


@dataclass(frozen=True)
class Read:
    """An asynchronous read of a memory; `address` and `outputs` are nets, lowest bit first."""

    memory: int
    address: tuple[int, ...]
    outputs: tuple[int, ...]
    delay: int


@dataclass(frozen=True)
class Multiply:
    """outputs = a x b in two's complement, each operand signed or not; at most 64 bits out."""

    a: tuple[int, ...]
    b: tuple[int, ...]
    a_signed: bool
    b_signed: bool
    outputs: tuple[int, ...]
    delay: int


@dataclass(frozen=True)
class Register:
    """At a clock edge: q = `reset_value` where reset, else d where enable.

    ``asynchronous``: the reset also acts between edges.
    """

    d: int
    q: int
    enable: int = ONE
    reset: int = ZERO
    reset_value: int = 0
    asynchronous: bool = False
    initial: int = 0


@dataclass(frozen=True)
class Write:
    """At a clock edge: data bit i goes to the word at `address` where enables[i] is 1."""

    memory: int
    address: tuple[int, ...]
    data: tuple[int, ...]
    enables: tuple[int, ...]


@dataclass(frozen=True)
class Memory:
    """Words of `width` bits (at most 64) with their first contents."""

    words: int
    width: int
    contents: tuple[int, ...]


@dataclass
class Cell:
    """One primitive of the netlist."""

    name: str
    kind: str
    parameters: dict[str, Any]
    connections: dict[str, list[int]]
    """Nets by port, lowest bit first."""

    def pin(self, port: str, default: int | None = ZERO) -> int:
        """The one net at a port; `default` where it is not connected.

        Raises:
            InputError: it must be connected and is not.
        """
        nets = self.connections.get(port) or []
        if nets:
            return nets[0]
        if default is None:
            raise InputError(
                f"the netlist's cell '{self.name}' of type {self.kind} has nothing at port '{port}'"
            )
        return default

    def pins(self, port: str, width: int, default: int = ZERO) -> tuple[int, ...]:
        """`width` nets at a port, lowest bit first; missing ones are `default`."""
        nets = (self.connections.get(port) or [])[:width]
        return (*nets, *(default for _ in range(width - len(nets))))

    def number(self, name: str, default: int = 0) -> int:
        """A parameter as a number; don't-cares count as 0.

        Raises:
            InputError: it is a text.
        """
        value = self.parameters.get(name)
        if value is None:
            return default
        if isinstance(value, int):
            return value
        text = str(value).strip().lower().replace("x", "0").replace("z", "0")
        if not text or set(text) - set("01"):
            raise InputError(
                f"the netlist's cell '{self.name}' of type {self.kind} has {name} = {value!r} "
                "where bits were expected"
            )
        return int(text, 2)

    def text(self, name: str, default: str = "") -> str:
        """A parameter as text."""
        return str(self.parameters.get(name, default)).strip()


@dataclass
class Circuit:
    """The lowered netlist, and how the netlist calls its nets."""

    top: str = ""
    tables: list[Table] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    multiplies: list[Multiply] = field(default_factory=list)
    registers: list[Register] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    memories: list[Memory] = field(default_factory=list)
    classes: list[int] = field(default_factory=lambda: [INTERNAL, INTERNAL])
    """The class of each net, as an index into `CLASSES`; `INTERNAL` is not counted."""
    inputs: dict[str, list[int]] = field(default_factory=dict)
    outputs: dict[str, list[int]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    """The netlist's name of each net, ``name[3]`` for a bit of a vector."""
    aliases: list[tuple[str, int]] = field(default_factory=list)
    """Further names that the user gave to a net: it runs through several modules."""
    hidden: set[int] = field(default_factory=set)
    """Nets whose only name was made by the synthesis."""
    clocks: list[tuple[int, bool, str]] = field(default_factory=list)
    """Net, falling edge, cell: each clock pin."""
    buffers: dict[int, tuple[int, bool]] = field(default_factory=dict)
    """What drives a net through a buffer: the buffer's input, inverted or not."""
    cells: dict[str, int] = field(default_factory=dict)
    clock_nets: set[int] = field(default_factory=set)
    current: int = INTERNAL
    """The class of what the cell that is being lowered drives."""

    @property
    def nets(self) -> int:
        """How many nets there are, the constants and internal ones included."""
        return len(self.classes)

    def net(self, kind: int = INTERNAL) -> int:
        """A new net."""
        self.classes.append(kind)
        return len(self.classes) - 1

    def drives(self, net: int) -> None:
        """Note that the current cell drives this net of the netlist."""
        if net > ONE and self.classes[net] == INTERNAL and net in self.names:
            self.classes[net] = self.current

    def table(
        self, inputs: Sequence[int], table: int, output: int | None = None, delay: str = "logic"
    ) -> int:
        """Add a truth table; returns its output, a new net where none is given.

        Constant inputs are folded into the table.
        """
        kept: list[int] = []
        positions: list[tuple[int, int]] = []
        fixed = 0
        for index, net in enumerate(inputs):
            if net == ONE:
                fixed |= 1 << index
            elif net != ZERO:
                positions.append((index, len(kept)))
                kept.append(net)
        if len(kept) != len(inputs):
            folded = 0
            for row in range(1 << len(kept)):
                full = fixed
                for index, position in positions:
                    full |= (row >> position & 1) << index
                folded |= (table >> full & 1) << row
            table = folded
        table &= (1 << (1 << len(kept))) - 1
        if output is None:
            if not kept:
                return ONE if table else ZERO
            if len(kept) == 1 and table == 2:
                return kept[0]
            output = self.net()
        self.drives(output)
        self.tables.append(Table(tuple(kept), table, output, DELAYS.index(delay)))
        return output

    def invert(self, net: int) -> int:
        """The complement of a net, inside a primitive."""
        return self.table([net], 0b01, delay="inner")

    def both(self, a: int, b: int) -> int:
        """a and b, inside a primitive."""
        return self.table([a, b], 0b1000, delay="inner")

    def either(self, a: int, b: int) -> int:
        """a or b, inside a primitive."""
        return self.table([a, b], 0b1110, delay="inner")

    def choose(self, select: int, low: int, high: int, output: int | None = None) -> int:
        """``high`` where select is 1, else ``low``, inside a primitive."""
        return self.table([low, high, select], 0b11001010, output, "inner")

    def buffer(self, source: int, output: int, inverted: bool = False, delay: str = "io") -> None:
        """Drive one net by another."""
        self.buffers[output] = (source, inverted)
        self.table([source], 0b01 if inverted else 0b10, output, delay)

    def register(self, cell: Cell, clock: int, register: Register, falling: bool = False) -> None:
        """Add a register that the given clock drives; without a clock it keeps its first value."""
        self.drives(register.q)
        if clock <= ONE:
            self.table([], register.initial, register.q, "inner")
            return
        self.clocks.append((clock, falling, cell.name))
        self.registers.append(register)

    def memory(self, words: int, width: int, contents: Sequence[int]) -> int:
        """Add a memory; returns its index."""
        self.memories.append(Memory(words, width, tuple(contents)))
        return len(self.memories) - 1

    def read(self, memory: int, address: Sequence[int], outputs: Sequence[int]) -> None:
        """Add an asynchronous read."""
        for net in outputs:
            self.drives(net)
        self.reads.append(Read(memory, tuple(address), tuple(outputs), DELAYS.index("memory")))

    def write(
        self,
        cell: Cell,
        clock: int,
        write: Write,
        falling: bool = False,
    ) -> None:
        """Add a write port, unless it can never write."""
        if clock <= ONE or all(net == ZERO for net in write.enables):
            return
        self.clocks.append((clock, falling, cell.name))
        self.writes.append(write)

    def multiply(
        self, a: Sequence[int], b: Sequence[int], signs: tuple[bool, bool], outputs: Sequence[int]
    ) -> None:
        """Add a multiplication."""
        for net in outputs:
            self.drives(net)
        self.multiplies.append(
            Multiply(tuple(a), tuple(b), *signs, tuple(outputs), DELAYS.index("dsp"))
        )

    def root(self, net: int) -> tuple[int, bool]:
        """Where a net comes from through buffers, and whether it is inverted on the way."""
        inverted = False
        seen = set()
        while net in self.buffers and net not in seen:
            seen.add(net)
            self.clock_nets.add(net)
            net, flip = self.buffers[net]
            inverted ^= flip
        return net, inverted


def order(circuit: Circuit) -> list[Table | Read | Multiply]:
    """The combinational elements, each after all that drive it.

    Raises:
        UnsupportedError: there is a combinational loop, or a net with two drivers.
    """
    elements: list[Table | Read | Multiply] = [
        *circuit.tables,
        *circuit.reads,
        *circuit.multiplies,
    ]
    driver: dict[int, int] = {}
    twice = []
    taken = {register.q for register in circuit.registers}
    taken |= {net for nets in circuit.inputs.values() for net in nets}
    for index, element in enumerate(elements):
        for net in outputs_of(element):
            if net in driver or net in taken or net <= ONE:
                twice.append(name_of(circuit, net))
            driver[net] = index
    if twice:
        raise UnsupportedError(
            "the netlist has nets with more than one driver",
            details=sorted(set(twice))[:20],
            remedy="synthesise with iopads and tristates resolved, or report the netlist",
        )
    waiting = [0] * len(elements)
    followers: list[list[int]] = [[] for _ in elements]
    for index, element in enumerate(elements):
        sources = {driver[net] for net in inputs_of(element) if net in driver}
        waiting[index] = len(sources)
        for source in sources:
            followers[source].append(index)
    ready = deque(index for index, count in enumerate(waiting) if not count)
    ordered = []
    while ready:
        index = ready.popleft()
        ordered.append(elements[index])
        for follower in followers[index]:
            waiting[follower] -= 1
            if not waiting[follower]:
                ready.append(follower)
    if len(ordered) < len(elements):
        stuck = [
            name_of(circuit, net)
            for index, count in enumerate(waiting)
            if count
            for net in outputs_of(elements[index])
        ]
        raise UnsupportedError(
            "the netlist has a combinational loop",
            details=[*stuck[:12], *(["…"] if len(stuck) > 12 else [])],
            remedy="break the loop with a register; a simulation of it has no defined answer",
        )
    return ordered


def inputs_of(element: Table | Read | Multiply) -> tuple[int, ...]:
    """The nets that a combinational element reads."""
    if isinstance(element, Table):
        return element.inputs
    if isinstance(element, Read):
        return element.address
    return element.a + element.b


def outputs_of(element: Table | Read | Multiply) -> tuple[int, ...]:
    """The nets that a combinational element drives."""
    return (element.output,) if isinstance(element, Table) else element.outputs


def name_of(circuit: Circuit, net: int) -> str:
    """What the netlist calls a net."""
    return circuit.names.get(net, f"an inner net of a primitive ({net})")
