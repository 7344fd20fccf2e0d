"""Block memories of the four families as a `Circuit`'s elements.

A block memory is two memories here: of data bits and of the ninth (parity) bits, whose words are as
wide as the narrowest port; a wider port takes several words. What a read port saw at the clock edge
goes into registers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgeflow.errors import UnsupportedError
from edgeflow.synthesis.netlist_cells_job import falling, muxed, primitive
from edgeflow.synthesis.netlist_circuit_job import ONE, ZERO, Cell, Circuit, Register, Write
from edgeflow.synthesis.netlist_memory_job import contents_of, driven, words


@dataclass(frozen=True)
class Side:
    """One port of a block memory.

    ``address`` counts data bits (its lowest bits are ignored by wide ports); ``data`` and
    ``outputs`` hold data bits, then ``extra`` and ``more`` the ninth bits. ``mode`` is what a
    write does to the port's own output: ``old``, ``new`` or ``keep``.
    """

    clock: int
    fall: bool
    address: tuple[int, ...]
    enable: int
    writes: tuple[int, ...] = ()
    """The write enable of each byte (or of the whole word, where it is narrower)."""
    data: tuple[int, ...] = ()
    extra: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    more: tuple[int, ...] = ()
    mode: str = "old"
    reset: int = ZERO
    reset_asynchronous: bool = False
    reset_value: int = 0
    initial: int = 0
    registered: bool = False
    register_enable: int = ONE


def block(circuit: Circuit, cell: Cell, sides: Sequence[Side], data: int, extra: int) -> None:
    """Add a block memory with the contents `data` and `extra` (bit i in its order)."""
    used = [side for side in sides if side.outputs or any(n != ZERO for n in side.writes)]
    size = 1 << max((len(side.address) for side in used), default=0)
    _half(circuit, cell, used, data, size, ninth=False)
    _half(circuit, cell, used, extra, size // 8, ninth=True)


def _half(
    circuit: Circuit, cell: Cell, sides: Sequence[Side], contents: int, size: int, ninth: bool
) -> None:
    parts = []
    for side in sides:
        ins = side.extra if ninth else side.data
        outs = side.more if ninth else side.outputs
        if ins or outs:
            parts.append((side, ins, outs, max(len(ins), len(outs))))
    if not parts:
        return
    unit = min(width for *_, width in parts)
    memory = circuit.memory(size // unit, unit, words(contents, unit, size // unit))
    for side, ins, outs, width in parts:
        place = side.address[3:] if ninth else side.address
        skip = width.bit_length() - 1
        low = unit.bit_length() - 1
        byte = 1 if ninth else 8
        enables = [
            circuit.both(side.enable, side.writes[min(bit // byte, len(side.writes) - 1)])
            for bit in range(len(ins))
        ]
        seen: list[int] = [circuit.net() for _ in outs]
        for part in range(width // unit):
            fixed = tuple(part >> bit & 1 for bit in range(skip - low))
            address = (*fixed, *place[skip:])
            span = slice(part * unit, (part + 1) * unit)
            if outs[span]:
                circuit.read(memory, address, seen[span])
            if ins[span]:
                write = Write(memory, address, tuple(ins[span]), tuple(enables[span]))
                circuit.write(cell, side.clock, write, side.fall)
        _capture(circuit, cell, side, seen, outs, ins, enables, len(side.outputs) if ninth else 0)


def _capture(
    circuit: Circuit,
    cell: Cell,
    side: Side,
    seen: Sequence[int],
    outs: Sequence[int],
    ins: Sequence[int],
    enables: Sequence[int],
    shift: int,
) -> None:
    """The registers behind a read port."""
    wrote = ZERO
    for net in dict.fromkeys(enables):
        wrote = circuit.either(wrote, net)
    enable = side.enable
    if side.mode == "keep":
        enable = circuit.both(enable, circuit.invert(wrote))
    if side.mode == "new" and outs and ins and len(ins) != len(outs):
        raise UnsupportedError("a port that reads and writes at two widths, written first")
    reset = side.reset
    if not side.reset_asynchronous:
        reset = circuit.both(reset, side.enable) if cell.kind.startswith("RAMB") else reset
    for index, target in enumerate(outs):
        value = seen[index]
        if side.mode == "new" and ins:
            value = circuit.choose(enables[index], value, ins[index])
        first = circuit.net() if side.registered else target
        register = Register(
            value,
            first,
            enable,
            reset,
            side.reset_value >> (index + shift) & 1,
            side.reset_asynchronous,
            side.initial >> (index + shift) & 1,
        )
        circuit.register(cell, side.clock, register, side.fall)
        if side.registered:
            second = Register(first, target, side.register_enable, reset)
            circuit.register(cell, side.clock, second, side.fall)


def nines(value: int, bytes_: int) -> tuple[int, int]:
    """Bits in bytes of nine: the data bits and the ninth ones, each as one number."""
    data = extra = 0
    for index, byte in enumerate(words(value, 9, bytes_)):
        data |= (byte & 0xFF) << (8 * index)
        extra |= (byte >> 8) << index
    return data, extra


def split(nets: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """A port's nets in bytes of nine: data bits, ninth bits. Narrow ports have data bits alone."""
    if len(nets) < 9:
        return tuple(nets), ()
    data = [net for index, net in enumerate(nets) if index % 9 != 8]
    return tuple(data), tuple(nets[8::9])


@primitive("memory", "DP16KD")
def _dp16kd(circuit: Circuit, cell: Cell) -> None:
    raw = 0
    for index in range(64):
        value = cell.number(f"INITVAL_{index:02X}")
        for word in range(16):
            raw |= (value >> (20 * word) & 0x3FFFF) << (18 * (16 * index + word))
    data, extra = nines(raw, 2048)

    def bus(letter: str, count: int) -> list[int]:
        return [cell.pin(f"{letter}{index}") for index in range(count)]

    def outs(letter: str) -> list[int]:
        return [cell.pin(f"DO{letter}{i}") or circuit.net() for i in range(18)]

    sides = []
    for letter in "AB":
        width = cell.number(f"DATA_WIDTH_{letter}", 18)
        if width == 36:
            ins = bus("DIA", 18) + bus("DIB", 18)
            read = outs("A") + outs("B") if letter == "B" else []
        else:
            ins = bus(f"DI{letter}", width)
            read = outs(letter)[:width]
        if not any(cell.pin(f"DO{name}{i}") for name in "AB" for i in range(18)):
            read = []
        address = bus(f"AD{letter}", 14)
        enable = cell.pin(f"WE{letter}")
        bytes_ = max(1, width // 9) if width >= 18 else 1
        writes = [
            circuit.both(enable, address[index]) if width >= 18 else enable
            for index in range(bytes_)
        ]
        if width == 36 and letter == "B":
            ins, writes = [], [ZERO]
        parts, outputs = split(ins), split(read)
        if any(cell.pin(f"CS{letter}{index}") != ZERO for index in range(3)):
            raise UnsupportedError("chip selects")
        mode = cell.text(f"WRITEMODE_{letter}", "NORMAL")
        sides.append(
            Side(
                cell.pin(f"CLK{letter}"),
                cell.text(f"CLK{letter}MUX", f"CLK{letter}") == "INV",
                tuple(address),
                muxed(circuit, cell, f"CE{letter}MUX", f"CE{letter}", f"CE{letter}"),
                tuple(writes),
                *parts,
                *outputs,
                {"NORMAL": "keep", "WRITETHROUGH": "new"}.get(mode, "old"),
                cell.pin(f"RST{letter}"),
                cell.text("RESETMODE", "SYNC") == "ASYNC",
                registered=cell.text(f"REGMODE_{letter}", "NOREG") == "OUTREG",
                register_enable=cell.pin(f"OCE{letter}"),
            )
        )
    block(circuit, cell, sides, data, extra)


@primitive("memory", "SP", "SPX9", "DPB", "DPX9B", "SDPB", "SDPX9B", "pROM", "pROMX9")
def _gowin(circuit: Circuit, cell: Cell) -> None:
    nine = "X9" in cell.kind
    raw = contents_of(cell, "INIT_RAM_", 64, 288 if nine else 256)
    data, extra = nines(raw, 2048) if nine else (raw, 0)
    kind = cell.kind.replace("X9", "")
    names = {
        "SP": [("", "", "", "rw")],
        "pROM": [("", "", "", "r")],
        "DPB": [("A", "_0", "0", "rw"), ("B", "_1", "1", "rw")],
        "SDPB": [("A", "_0", "", "w"), ("B", "_1", "", "r")],
    }[kind]
    sides = []
    for letter, suffix, number, use in names:
        width = cell.number(f"BIT_WIDTH{suffix}", 36 if nine else 32)
        address = cell.pins(f"AD{letter}", 14)
        bytes_ = width // (9 if nine else 8)
        shared = kind == "SDPB"
        ins = cell.pins("DI" if shared else f"DI{letter}", width) if "w" in use else ()
        write = ONE if shared else cell.pin(f"WRE{letter}")
        writes = [
            circuit.both(write, address[index]) if bytes_ >= 2 else write
            for index in range(max(bytes_, 1))
        ]
        port = "DO" if shared else f"DO{letter}"
        read = driven(circuit, cell, port, width) if "r" in use else []
        if not cell.connections.get(port):
            read = []
        if any(net != ZERO for net in cell.pins(f"BLKSEL{letter}", 3)):
            raise UnsupportedError("block selects")
        data_in, extra_in = split(ins) if nine else (tuple(ins), ())
        data_out, extra_out = split(read) if nine else (tuple(read), ())
        mode = cell.number(f"WRITE_MODE{number}")
        sides.append(
            Side(
                cell.pin(f"CLK{letter}"),
                False,
                address,
                cell.pin(f"CE{letter}"),
                tuple(writes) if "w" in use else (),
                data_in,
                extra_in,
                data_out,
                extra_out,
                ("keep", "new", "old")[mode] if use == "rw" else "old",
                cell.pin(f"RESET{letter}"),
                cell.text("RESET_MODE", "SYNC") == "ASYNC",
                registered=bool(cell.number(f"READ_MODE{number}")),
                register_enable=cell.pin("OCE" if shared else f"OCE{letter}"),
            )
        )
    block(circuit, cell, sides, data, extra)


@primitive("memory", "RAMB18E1", "RAMB36E1", "RAMB18E2", "RAMB36E2")
def _ramb(circuit: Circuit, cell: Cell) -> None:
    big, second = cell.kind[4:6] == "36", cell.kind.endswith("2")
    data = contents_of(cell, "INIT_", 128 if big else 64, 256)
    extra = contents_of(cell, "INITP_", 16 if big else 8, 256)
    bits, half = (15, 32) if big else (14, 16)
    # E1: DOADO, DIADI, DOPADOP; E2: DOUTADOUT, DINADIN, DOUTPADOUTP
    out, into = ("DOUT", "DIN") if second else ("DO", "DI")
    wide = {
        letter: {
            "in": cell.pins(f"{into}{letter}{into}", half),
            "inp": cell.pins(f"{into}P{letter}{into}P", half // 8),
            "out": driven(circuit, cell, f"{out}{letter}{out}", half),
            "outp": driven(circuit, cell, f"{out}P{letter}{out}P", half // 8),
        }
        for letter in "AB"
    }
    read_widths = {letter: cell.number(f"READ_WIDTH_{letter}") for letter in "AB"}
    write_widths = {letter: cell.number(f"WRITE_WIDTH_{letter}") for letter in "AB"}
    most = half * 9 // 4  # 36 or 72: both halves of the pins
    simple = read_widths["A"] == most or write_widths["B"] == most
    simple |= cell.text("RAM_MODE") == "SDP"
    sides = []
    for letter in "AB":
        pin = "ARD" if letter == "A" else "BWR"
        address = cell.pins(f"ADDR{pin}ADDR", bits)
        reads, writes_ = read_widths[letter], write_widths[letter]
        pick = _picker(wide, letter, most)
        ins, inp = pick("in", writes_), pick("inp", writes_)
        outs, outp = pick("out", reads), pick("outp", reads)
        enable_port = "WEA" if letter == "A" else "WEBWE"
        enables = cell.pins(enable_port, max(1, writes_ // 9))
        if simple and letter == "A":
            enables = (ZERO,)
        enable, reset = (
            cell.pin("ENARDEN" if letter == "A" else "ENBWREN"),
            cell.pin("RSTRAMARSTRAM" if letter == "A" else "RSTRAMB"),
        )
        if cell.number(f"IS_{'ENARDEN' if letter == 'A' else 'ENBWREN'}_INVERTED"):
            enable = circuit.invert(enable)
        if cell.number(f"DO{letter}_REG"):
            raise UnsupportedError("an output register inside the block")
        if any(
            cell.text(f"{name}_{letter}", "NONE") not in ("NONE", "")
            for name in ("RAM_EXTENSION", "CASCADE_ORDER")
        ):
            raise UnsupportedError("a cascade of blocks")
        mode = cell.text(f"WRITE_MODE_{letter}", "WRITE_FIRST")
        common = (
            cell.pin("CLKARDCLK" if letter == "A" else "CLKBWRCLK"),
            falling(cell, f"IS_CLK{pin}CLK_INVERTED"),
            address,
            enable,
        )
        value, initial = cell.number(f"SRVAL_{letter}"), cell.number(f"INIT_{letter}")
        if reads == most:
            value = initial = 0
        kinds = {"READ_FIRST": "old", "WRITE_FIRST": "new"}
        style = kinds.get(mode, "keep")
        if reads and writes_ and reads != writes_ and style != "new":
            sides.append(Side(*common, enables, ins, inp))
            sides.append(Side(*common, (), (), (), outs, outp, "old", reset, False, value, initial))
            if style == "keep" and any(net != ZERO for net in enables):
                raise UnsupportedError("a port that reads and writes at two widths")
            continue
        sides.append(
            Side(*common, enables, ins, inp, outs, outp, style, reset, False, value, initial)
        )
    block(circuit, cell, sides, data, extra)


def _picker(
    wide: dict[str, dict[str, Sequence[int]]], letter: str, most: int
) -> Callable[[str, int], tuple[int, ...]]:
    """Which pins a port of a width uses: both halves at the full width."""

    def pick(name: str, width: int) -> tuple[int, ...]:
        if not width:
            return ()
        count = width // 9 if name.endswith("p") else (width // 9 * 8 if width >= 9 else width)
        if width == most:
            return (*wide["A"][name], *wide["B"][name])
        return tuple(wide[letter][name][:count])

    return pick
