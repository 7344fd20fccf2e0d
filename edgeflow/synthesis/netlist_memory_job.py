"""Memories in tables, and iCE40's block memories, as a `Circuit`'s elements.

`netlist_block_job` has the block memories of the other families.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgeflow.errors import UnsupportedError
from edgeflow.synthesis.netlist_cells_job import falling, muxed, primitive
from edgeflow.synthesis.netlist_circuit_job import ONE, ZERO, Cell, Circuit, Register, Write


def words(value: int, width: int, count: int) -> list[int]:
    """A number as `count` words of `width` bits, the lowest first."""
    mask = (1 << width) - 1
    return [value >> (width * index) & mask for index in range(count)]


# --- Small memories: read at once, written at the edge ---------------------------------------


def small(
    circuit: Circuit,
    cell: Cell,
    contents: Sequence[int],
    data: Sequence[int],
    reads: Sequence[tuple[Sequence[int], Sequence[int]]],
    address: Sequence[int],
    enable: int,
    clock: int,
    fall: bool = False,
) -> None:
    """A memory with one write port; `reads` are pairs of address and outputs."""
    memory = circuit.memory(1 << len(address), len(data), contents)
    for place, outputs in reads:
        if outputs:
            circuit.read(memory, place, outputs)
    write = Write(memory, tuple(address), tuple(data), (enable,) * len(data))
    circuit.write(cell, clock, write, fall)


def driven(circuit: Circuit, cell: Cell, port: str, width: int) -> list[int]:
    """The nets at an output, inner ones where the netlist has none."""
    nets = cell.connections.get(port, [])[:width]
    return [*nets, *(circuit.net() for _ in range(width - len(nets)))]


@primitive("memory", "TRELLIS_DPR16X4")
def _dpr16x4(circuit: Circuit, cell: Cell) -> None:
    small(
        circuit,
        cell,
        words(cell.number("INITVAL"), 4, 16),
        cell.pins("DI", 4),
        [(cell.pins("RAD", 4), driven(circuit, cell, "DO", 4))],
        cell.pins("WAD", 4),
        muxed(circuit, cell, "WREMUX", "WRE", "WRE"),
        cell.pin("WCK", None),
        cell.text("WCKMUX", "WCK") == "INV",
    )


@primitive("memory", "RAM16SDP1", "RAM16SDP2", "RAM16SDP4")
def _ram16sdp(circuit: Circuit, cell: Cell) -> None:
    width = int(cell.kind[-1])
    columns = [cell.number(f"INIT_{index}") for index in range(width)]
    contents = [
        sum((column >> row & 1) << bit for bit, column in enumerate(columns)) for row in range(16)
    ]
    small(
        circuit,
        cell,
        contents,
        cell.pins("DI", width),
        [(cell.pins("RAD", 4), driven(circuit, cell, "DO", width))],
        cell.pins("WAD", 4),
        cell.pin("WRE"),
        cell.pin("CLK", None),
    )


@primitive("memory", "RAM32M", "RAM64M", "RAM32M16", "RAM64M8")
def _ram_multi(circuit: Circuit, cell: Cell) -> None:
    """Four or eight memories that are written together at the last one's address."""
    letters = "ABCDEFGH"[: 8 if cell.kind in ("RAM32M16", "RAM64M8") else 4]
    depth, width = (5, 2) if "32" in cell.kind else (6, 1)
    address = cell.pins(f"ADDR{letters[-1]}", depth)
    for letter in letters:
        small(
            circuit,
            cell,
            words(cell.number(f"INIT_{letter}"), width, 1 << depth),
            cell.pins(f"DI{letter}", width),
            [(cell.pins(f"ADDR{letter}", depth), driven(circuit, cell, f"DO{letter}", width))],
            address,
            cell.pin("WE"),
            cell.pin("WCLK", None),
            falling(cell, "IS_WCLK_INVERTED"),
        )


_X1 = [f"RAM{depth}X1{kind}" for depth in (16, 32, 64, 128, 256, 512) for kind in "SD"]


@primitive("memory", *_X1)
def _ram_x1(circuit: Circuit, cell: Cell) -> None:
    depth = int(cell.kind[3:-3]).bit_length() - 1

    def address(port: str) -> tuple[int, ...]:
        if port in cell.connections:
            return cell.pins(port, depth)
        return tuple(cell.pin(f"{port}{index}") for index in range(depth))

    main = address("A")
    reads = []
    for port, place in (("O", "A"), ("SPO", "A"), ("DPO", "DPRA")):
        if port in cell.connections:
            reads.append((address(place), cell.connections[port][:1]))
    small(
        circuit,
        cell,
        words(cell.number("INIT"), 1, 1 << depth),
        cell.pins("D", 1),
        reads,
        main,
        cell.pin("WE"),
        cell.pin("WCLK", None),
        falling(cell, "IS_WCLK_INVERTED"),
    )


# --- iCE40's memories -------------------------------------------------------------------------


def contents_of(cell: Cell, prefix: str, count: int, width: int, base: int = 16) -> int:
    """The INIT parameters of a block, one after the other, as one number."""
    names = [
        f"{prefix}{index:02X}" if base == 16 else f"{prefix}{index:X}" for index in range(count)
    ]
    return sum(cell.number(name) << (width * index) for index, name in enumerate(names))


@primitive("memory", "SB_RAM40_4K", "SB_RAM40_4KNR", "SB_RAM40_4KNW", "SB_RAM40_4KNRNW")
def _sb_ram40(circuit: Circuit, cell: Cell) -> None:
    """256 words of 16; the narrower modes choose bits of the word by the upper address."""
    contents = words(contents_of(cell, "INIT_", 16, 256, 1), 16, 256)
    memory = circuit.memory(256, 16, contents)
    read_n, write_n = cell.kind.endswith(("NR", "NRNW")), cell.kind.endswith("NW")
    reads, writes = cell.pins("RADDR", 11), cell.pins("WADDR", 11)
    clock = cell.pin("RCLKN" if read_n else "RCLK")
    seen = [circuit.net() for _ in range(16)]
    circuit.read(memory, reads[:8], seen)
    enable = circuit.both(cell.pin("RE"), cell.pin("RCLKE", ONE))
    outputs = cell.connections.get("RDATA", [])
    step = 1 << cell.number("READ_MODE")  # of so many bits, one is chosen
    used = max(step // 2 - 1, 0)  # and comes out, or goes in, at this one's pin
    for place in range(16 // step):
        target = place * step + used
        if target < len(outputs):
            value = seen[place * step]
            if step > 1:
                value = choose(circuit, seen[place * step : (place + 1) * step], reads[8:])
            circuit.register(cell, clock, Register(value, outputs[target], enable), read_n)
    for index, net in enumerate(outputs):
        if index % step != used:
            circuit.table([], 0, net)
    step = 1 << cell.number("WRITE_MODE")
    used = max(step // 2 - 1, 0)
    enable = circuit.both(cell.pin("WE"), cell.pin("WCLKE", ONE))
    data, masks = cell.pins("WDATA", 16), cell.pins("MASK", 16)
    nets, enables = [], []
    for bit in range(16):
        nets.append(data[bit - bit % step + used])
        if step == 1:
            enables.append(circuit.both(enable, circuit.invert(masks[bit])))
            continue
        here = enable
        for level in range(cell.number("WRITE_MODE")):
            line = writes[8 + level]
            here = circuit.both(here, line if bit >> level & 1 else circuit.invert(line))
        enables.append(here)
    write = Write(memory, writes[:8], tuple(nets), tuple(enables))
    circuit.write(cell, cell.pin("WCLKN" if write_n else "WCLK"), write, write_n)


def choose(circuit: Circuit, nets: Sequence[int], address: Sequence[int]) -> int:
    """One of the nets by an address, lowest bit first."""
    for bit in address:
        if len(nets) == 1:
            break
        nets = [circuit.choose(bit, nets[i], nets[i + 1]) for i in range(0, len(nets), 2)]
    return nets[0]


@primitive("memory", "SB_SPRAM256KA")
def _spram(circuit: Circuit, cell: Cell) -> None:
    memory = circuit.memory(1 << 14, 16, ())
    address, data = cell.pins("ADDRESS", 14), cell.pins("DATAIN", 16)
    chosen, write = cell.pin("CHIPSELECT"), cell.pin("WREN")
    if cell.pin("SLEEP") != ZERO or cell.pin("STANDBY") != ZERO:
        raise UnsupportedError("sleep and standby")
    enable = circuit.both(chosen, write)
    masks = cell.pins("MASKWREN", 4)
    enables = [circuit.both(enable, mask) for mask in masks]
    seen = [circuit.net() for _ in range(16)]
    circuit.read(memory, address, seen)
    reading = circuit.both(chosen, circuit.invert(write))
    clock = cell.pin("CLOCK", None)
    for index, net in enumerate(cell.connections.get("DATAOUT", [])):
        circuit.register(cell, clock, Register(seen[index], net, reading))
    whole = Write(memory, address, data, tuple(enables[bit // 4] for bit in range(16)))
    circuit.write(cell, clock, whole)
