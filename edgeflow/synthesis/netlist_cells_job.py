"""Logic, carry chains, registers and buffers of the four families, as a `Circuit`'s elements.

The behaviour follows the simulation models that yosys ships (``techlibs/*/cells_sim.v``); the tests
compare each with those models in Verilator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from edgeflow.errors import UnsupportedError
from edgeflow.synthesis.netlist_circuit_job import (
    CLASSES,
    ONE,
    ZERO,
    Cell,
    Circuit,
    Register,
)

Lower = Callable[[Circuit, Cell], None]
LOWER: Final[dict[str, tuple[str, Lower]]] = {}
"""How each primitive is lowered, and the class of the nets that it drives."""

LOW: Final = ("GND", "VLO")
HIGH: Final = ("VCC", "VHI")
MUX: Final = 0b11001010  # inputs: low, high, select


def primitive(kind: str, *names: str) -> Callable[[Lower], Lower]:
    """Register a function as the one that lowers these primitives."""

    def note(function: Lower) -> Lower:
        for name in names:
            LOWER[name] = (kind, function)
        return function

    return note


def lower(circuit: Circuit, cells: Iterable[Cell]) -> None:
    """Lower every cell.

    Raises:
        UnsupportedError: primitives, or modes of them, that are not known: all at once.
    """
    unknown: dict[str, int] = {}
    faults = []
    cells = [cell for cell in cells if cell.kind != "$scopeinfo"]  # names of instances, no cell
    fixed = {
        net: int(cell.kind in HIGH)
        for cell in cells
        if cell.kind in LOW + HIGH
        for nets in cell.connections.values()
        for net in nets
    }
    for cell in cells:
        if fixed and cell.kind not in LOW + HIGH:
            for port, nets in cell.connections.items():
                cell.connections[port] = [fixed.get(net, net) for net in nets]
        circuit.cells[cell.kind] = circuit.cells.get(cell.kind, 0) + 1
        if cell.kind not in LOWER:
            unknown[cell.kind] = unknown.get(cell.kind, 0) + 1
            continue
        kind, function = LOWER[cell.kind]
        circuit.current = CLASSES.index(kind)
        try:
            function(circuit, cell)
        except UnsupportedError as error:
            faults.append(f"{cell.kind} '{cell.name}': {error.message}")
    found = [f"{name} ({count} cells)" for name, count in sorted(unknown.items())]
    if found or faults:
        raise UnsupportedError(
            "the netlist has primitives that the simulator does not know",
            details=found + faults[:20],
            remedy="synthesise without that kind of block (such as -nodsp or -nobram)",
        )


def falling(cell: Cell, *names: str) -> bool:
    """Whether the clock pin is inverted by a parameter."""
    return any(cell.number(name) for name in names)


# --- Tables ----------------------------------------------------------------------------------


@primitive("logic", "LUT1", "LUT2", "LUT3", "LUT4", "LUT5", "LUT6")
def _lut(circuit: Circuit, cell: Cell) -> None:
    """AMD's and Gowin's LUTs (pins I0…, O or F) and ECP5's LUT4 (pins A to D, Z)."""
    if "Z" in cell.connections:
        inputs, output = [cell.pin(name) for name in "ABCD"], cell.pin("Z", None)
    else:
        inputs = [cell.pin(f"I{index}") for index in range(int(cell.kind[3]))]
        output = cell.pin("F" if "F" in cell.connections else "O", None)
    circuit.table(inputs, cell.number("INIT"), output)


@primitive("logic", "LUT6_2")
def _lut6_2(circuit: Circuit, cell: Cell) -> None:
    inputs = [cell.pin(f"I{index}") for index in range(6)]
    table = cell.number("INIT")
    circuit.table(inputs, table, cell.pin("O6", None))
    if "O5" in cell.connections:
        circuit.table(inputs[:5], table, cell.pin("O5", None))


@primitive("logic", "SB_LUT4")
def _sb_lut4(circuit: Circuit, cell: Cell) -> None:
    inputs = [cell.pin(f"I{index}") for index in range(4)]
    circuit.table(inputs, cell.number("LUT_INIT"), cell.pin("O", None))


@primitive("logic", "INV")
def _inv(circuit: Circuit, cell: Cell) -> None:
    source, target = ("A", "Z") if "A" in cell.connections else ("I", "O")
    circuit.buffer(cell.pin(source), cell.pin(target, None), inverted=True, delay="logic")


@primitive("logic", "MUXF5", "MUXF6", "MUXF7", "MUXF8", "MUXF9", "MUX2")
@primitive("logic", "MUX2_LUT5", "MUX2_LUT6", "MUX2_LUT7", "MUX2_LUT8")
def _mux(circuit: Circuit, cell: Cell) -> None:
    select = cell.pin("S0" if "S0" in cell.connections else "S")
    circuit.table([cell.pin("I0"), cell.pin("I1"), select], MUX, cell.pin("O", None))


@primitive("logic", "PFUMX")
def _pfumx(circuit: Circuit, cell: Cell) -> None:
    inputs = [cell.pin("BLUT"), cell.pin("ALUT"), cell.pin("C0")]
    circuit.table(inputs, MUX, cell.pin("Z", None))


@primitive("logic", "L6MUX21")
def _l6mux21(circuit: Circuit, cell: Cell) -> None:
    inputs = [cell.pin("D0"), cell.pin("D1"), cell.pin("SD")]
    circuit.table(inputs, MUX, cell.pin("Z", None))


@primitive("logic", *LOW, *HIGH)
def _constant(circuit: Circuit, cell: Cell) -> None:
    for nets in cell.connections.values():
        for net in nets:
            circuit.table([], int(cell.kind in HIGH), net)


# --- Carry chains ----------------------------------------------------------------------------


@primitive("carry", "CARRY4", "CARRY8")
def _carry(circuit: Circuit, cell: Cell) -> None:
    width = int(cell.kind[5])
    carry = cell.pin("CI")
    if cell.kind == "CARRY4":
        carry = circuit.either(carry, cell.pin("CYINIT"))
    propagate, generate = cell.pins("S", width), cell.pins("DI", width)
    carries, sums = cell.connections.get("CO", []), cell.connections.get("O", [])
    dual = cell.text("CARRY_TYPE", "SINGLE_CY8") == "DUAL_CY4"
    for bit in range(width):
        if dual and bit == 4:
            carry = cell.pin("CI_TOP")
        if bit < len(sums):
            circuit.table([propagate[bit], carry], 0b0110, sums[bit], "carry")
        output = carries[bit] if bit < len(carries) else None
        carry = circuit.table([generate[bit], carry, propagate[bit]], MUX, output, "carry")


@primitive("carry", "MUXCY")
def _muxcy(circuit: Circuit, cell: Cell) -> None:
    inputs = [cell.pin("DI"), cell.pin("CI"), cell.pin("S")]
    circuit.table(inputs, MUX, cell.pin("O", None), "carry")


@primitive("carry", "XORCY")
def _xorcy(circuit: Circuit, cell: Cell) -> None:
    circuit.table([cell.pin("CI"), cell.pin("LI")], 0b0110, cell.pin("O", None), "carry")


@primitive("carry", "SB_CARRY")
def _sb_carry(circuit: Circuit, cell: Cell) -> None:
    inputs = [cell.pin("I0"), cell.pin("I1"), cell.pin("CI")]
    circuit.table(inputs, 0b11101000, cell.pin("CO", None), "carry")


@primitive("carry", "CCU2C")
def _ccu2c(circuit: Circuit, cell: Cell) -> None:
    carry = cell.pin("CIN")
    for half in (0, 1):
        inputs = [cell.pin(f"{name}{half}") for name in "ABCD"]
        table = cell.number(f"INIT{half}")
        injected = cell.text(f"INJECT1_{half}", "YES") == "YES"
        propagate = circuit.table(inputs, table, delay="inner")
        generate = ZERO if injected else circuit.table(inputs[:2], table & 0xF, delay="inner")
        if f"S{half}" in cell.connections:
            gated = ZERO if injected else carry
            circuit.table([propagate, gated], 0b0110, cell.pin(f"S{half}", None), "carry")
        last = cell.pin("COUT") if half and "COUT" in cell.connections else None
        carry = circuit.table([generate, carry, propagate], MUX, last or None, "carry")


Rule = Callable[[int, int, int], int]
_ALU: Final[
    dict[int, tuple[Rule, Rule]]
] = {  # mode: what propagates and what is generated, of (I0, I1, I3)
    0: (lambda a, b, _: a ^ b, lambda a, _b, _: a),
    1: (lambda a, b, _: a ^ b ^ 1, lambda a, _b, _: a),
    2: (lambda a, b, c: a ^ b ^ c ^ 1, lambda a, _b, _: a),
    3: (lambda a, b, _: a ^ b ^ 1, lambda _a, _b, _: 1),
    4: (lambda a, b, _: a ^ b ^ 1, lambda a, _b, _: a),
    5: (lambda a, b, _: a ^ b ^ 1, lambda _a, b, _: b),
    6: (lambda a, _b, _: a, lambda _a, _b, _: 0),
    7: (lambda a, _b, _: a ^ 1, lambda _a, _b, _: 1),
    8: (lambda a, _b, c: a ^ c ^ 1, lambda a, _b, _: a),
    9: (lambda a, b, c: a & b ^ c, lambda a, b, _: a & b),
}


@primitive("carry", "ALU")
def _alu(circuit: Circuit, cell: Cell) -> None:
    mode = cell.number("ALU_MODE")
    if mode not in _ALU:
        raise UnsupportedError(f"ALU_MODE {mode} is not known")
    spread, create = _ALU[mode]
    rows = [(row & 1, row >> 1 & 1, row >> 2 & 1, row >> 3 & 1) for row in range(16)]
    total = sum((spread(a, b, c) ^ carry) << row for row, (a, b, c, carry) in enumerate(rows))
    out = 0
    for row, (a, b, c, carry) in enumerate(rows):
        out |= (carry if spread(a, b, c) else create(a, b, c)) << row
    inputs = [cell.pin("I0"), cell.pin("I1"), cell.pin("I3"), cell.pin("CIN")]
    if "SUM" in cell.connections:
        circuit.table(inputs, total, cell.pin("SUM", None), "carry")
    if "COUT" in cell.connections:
        circuit.table(inputs, out, cell.pin("COUT", None), "carry")


# --- Buffers ---------------------------------------------------------------------------------


@primitive("io", "BUFG", "IBUF", "IBUFG", "OBUF", "BUF", "SB_GB")
def _buffer(circuit: Circuit, cell: Cell) -> None:
    if cell.kind == "SB_GB":
        source, target = "USER_SIGNAL_TO_GLOBAL_BUFFER", "GLOBAL_BUFFER_OUTPUT"
    else:
        source, target = "I", "O"
    circuit.buffer(cell.pin(source), cell.pin(target, None))


@primitive("io", "TRELLIS_IO")
def _trellis_io(circuit: Circuit, cell: Cell) -> None:
    direction = cell.text("DIR", "INPUT")
    if direction == "INPUT":
        circuit.buffer(cell.pin("B"), cell.pin("O", None))
    elif direction == "OUTPUT" and cell.pin("T") == ZERO:
        circuit.buffer(cell.pin("I"), cell.pin("B", None))
    else:
        raise UnsupportedError("pins of both directions are not simulated")


@primitive("io", "SB_IO")
def _sb_io(circuit: Circuit, cell: Cell) -> None:
    mode = cell.number("PIN_TYPE")
    if mode & 0b11 == 0b01 and mode >> 2 == 0:
        circuit.buffer(cell.pin("PACKAGE_PIN"), cell.pin("D_IN_0", None))
    elif mode >> 2 == 0b0110:
        circuit.buffer(cell.pin("D_OUT_0"), cell.pin("PACKAGE_PIN", None))
    else:
        raise UnsupportedError(f"PIN_TYPE {mode:06b} (registered or of both directions)")


# --- Registers -------------------------------------------------------------------------------


@primitive("register", "FDRE", "FDSE", "FDCE", "FDPE", "FDRE_1", "FDSE_1", "FDCE_1", "FDPE_1")
def _fd(circuit: Circuit, cell: Cell) -> None:
    letter = cell.kind[2]
    port = {"R": "R", "S": "S", "C": "CLR", "P": "PRE"}[letter]
    reset, data = cell.pin(port), cell.pin("D")
    if cell.number(f"IS_{port}_INVERTED"):
        reset = circuit.invert(reset)
    if cell.number("IS_D_INVERTED"):
        data = circuit.invert(data)
    value = int(letter in "SP")
    circuit.register(
        cell,
        cell.pin("C", None),
        Register(
            data,
            cell.pin("Q", None),
            cell.pin("CE", ONE),
            reset,
            value,
            letter in "CP",
            cell.number("INIT", value) & 1,
        ),
        falling(cell, "IS_C_INVERTED") != cell.kind.endswith("_1"),
    )


_SB = [f"SB_DFF{n}{rest}" for n in ("", "N") for rest in "|E|SR|R|SS|S|ESR|ER|ESS|ES".split("|")]


@primitive("register", *_SB)
def _sb_dff(circuit: Circuit, cell: Cell) -> None:
    rest = cell.kind[6:]
    negative = rest.startswith("N")
    rest = rest[negative:]
    enable = cell.pin("E", ONE) if rest.startswith("E") else ONE
    rest = rest.removeprefix("E")
    sets = rest in ("SS", "S")
    reset = cell.pin("S" if sets else "R") if rest else ZERO
    asynchronous = len(rest) == 1
    if rest and not asynchronous:
        reset = circuit.both(reset, enable)  # its enable comes before its synchronous reset
    circuit.register(
        cell,
        cell.pin("C", None),
        Register(cell.pin("D"), cell.pin("Q", None), enable, reset, int(sets), asynchronous, 0),
        negative,
    )


@primitive("register", "TRELLIS_FF")
def _trellis_ff(circuit: Circuit, cell: Cell) -> None:
    if cell.text("LSRMODE", "LSR") == "PRLD":
        raise UnsupportedError("LSRMODE PRLD")
    enable = muxed(circuit, cell, "CEMUX", "CE", "1")
    reset = cell.pin("LSR")
    if cell.text("LSRMUX", "LSR") == "INV":
        reset = circuit.invert(reset)
    value = int(cell.text("REGSET", "RESET") == "SET")
    circuit.register(
        cell,
        cell.pin("CLK", None),
        Register(
            cell.pin("DI"),
            cell.pin("Q", None),
            enable,
            reset,
            value,
            cell.text("SRMODE", "LSR_OVER_CE") == "ASYNC",
            value,
        ),
        cell.text("CLKMUX", "CLK") == "INV",
    )


def muxed(circuit: Circuit, cell: Cell, parameter: str, port: str, default: str) -> int:
    """ECP5's choice at a pin: the pin, its inverse, or a constant."""
    choice = cell.text(parameter, default)
    if choice in ("0", "1"):
        return int(choice)
    pin = cell.pin(port)
    return circuit.invert(pin) if choice == "INV" else pin


_GOWIN = [f"DFF{n}{rest}" for n in ("", "N") for rest in "|E|S|SE|R|RE|P|PE|C|CE".split("|")]


@primitive("register", *_GOWIN)
def _gowin_dff(circuit: Circuit, cell: Cell) -> None:
    rest = cell.kind[3:]
    negative = rest.startswith("N")
    rest = rest[negative:]
    enable = cell.pin("CE", ONE) if rest.endswith("E") else ONE
    rest = rest.removesuffix("E")
    value = int(rest in ("S", "P"))
    ports = {"S": "SET", "R": "RESET", "P": "PRESET", "C": "CLEAR", "": ""}
    circuit.register(
        cell,
        cell.pin("CLK", None),
        Register(
            cell.pin("D"),
            cell.pin("Q", None),
            enable,
            cell.pin(ports[rest]) if rest else ZERO,
            value,
            rest in ("P", "C"),
            cell.number("INIT", value) & 1,
        ),
        negative,
    )


@primitive("register", "SRL16", "SRL16E", "SRLC16", "SRLC16E", "SRLC32E")
def _srl(circuit: Circuit, cell: Cell) -> None:
    """A shift register of which an address chooses the bit that is seen."""
    depth = 32 if cell.kind == "SRLC32E" else 16
    if depth == 32:
        address = cell.pins("A", 5)
    else:
        address = tuple(cell.pin(f"A{index}") for index in range(4))
    initial = cell.number("INIT")
    enable = cell.pin("CE", ONE)
    last = cell.connections.get("Q31" if depth == 32 else "Q15")
    stages = []
    data = cell.pin("D")
    for index in range(depth):
        net = circuit.net()
        circuit.register(
            cell,
            cell.pin("CLK", None),
            Register(data, net, enable, initial=initial >> index & 1),
            falling(cell, "IS_CLK_INVERTED"),
        )
        stages.append(net)
        data = net
    select(circuit, stages, address, cell.pin("Q", None) if "Q" in cell.connections else None)
    if last:
        circuit.buffer(stages[-1], last[0], delay="inner")


def select(
    circuit: Circuit, nets: list[int], address: tuple[int, ...], output: int | None = None
) -> int:
    """One of the nets by an address (lowest bit first), as a tree of two-way choices."""
    for level, bit in enumerate(address):
        final = output if level == len(address) - 1 else None
        nets = [
            circuit.choose(bit, nets[index], nets[index + 1], final)
            for index in range(0, len(nets), 2)
        ]
    return nets[0]
