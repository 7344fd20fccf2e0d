"""DSP blocks of the four families as a `Circuit`'s elements: a multiplication and inner logic."""

from __future__ import annotations

from collections.abc import Sequence

from edgeflow.errors import UnsupportedError
from edgeflow.synthesis.netlist_cells_job import primitive
from edgeflow.synthesis.netlist_circuit_job import ONE, ZERO, Cell, Circuit, Register
from edgeflow.synthesis.netlist_memory_job import driven

Nets = Sequence[int]


def add(circuit: Circuit, a: Nets, b: Nets, carry: int = ZERO) -> tuple[list[int], int]:
    """a + b + carry: the sum, as wide as a, and the carry out."""
    total = []
    for x, y in zip(a, b, strict=True):
        total.append(circuit.table([x, y, carry], 0b10010110, delay="inner"))
        carry = circuit.table([x, y, carry], 0b11101000, delay="inner")
    return total, carry


def flip(circuit: Circuit, nets: Nets, by: int) -> list[int]:
    """Each net exclusive-or another one."""
    return [circuit.table([net, by], 0b0110, delay="inner") for net in nets]


def gate(circuit: Circuit, nets: Nets, by: int) -> list[int]:
    """Each net, or 0 where `by` is 0."""
    return [circuit.both(net, by) for net in nets]


def pick(circuit: Circuit, select: Nets, options: Sequence[Nets]) -> list[int]:
    """One of 2**n buses by n select nets, lowest first."""
    rows = [list(option) for option in options]
    for bit in select:
        rows = [
            [circuit.choose(bit, x, y) for x, y in zip(rows[i], rows[i + 1], strict=True)]
            for i in range(0, len(rows), 2)
        ]
    return rows[0]


def product(circuit: Circuit, a: Nets, b: Nets, signs: tuple[int, int], width: int) -> list[int]:
    """a x b in `width` bits; a sign is a net or a constant."""
    a, b = [*a, circuit.both(a[-1], signs[0])], [*b, circuit.both(b[-1], signs[1])]
    outputs = [circuit.net() for _ in range(min(width, len(a) + len(b)))]
    if len(outputs) <= 64:
        circuit.multiply(a, b, (True, True), outputs)
    else:
        low, high = b[:18], b[18:]
        part = [circuit.net() for _ in range(len(a) + 19)]
        circuit.multiply(a, [*low, ZERO], (True, True), part)
        rest = [circuit.net() for _ in range(min(64, len(a) + len(high)))]
        circuit.multiply(a, high, (True, True), rest)
        wide = [*part, *[part[-1]] * width][:width]
        shifted = [ZERO] * 18 + [*rest, *[rest[-1]] * width]
        outputs = add(circuit, wide, shifted[:width])[0]
    return [*outputs, *[outputs[-1]] * (width - len(outputs))]


def assign(circuit: Circuit, nets: Nets, outputs: Nets) -> None:
    """Drive a block's outputs by inner nets."""
    for net, output in zip(nets, outputs, strict=False):
        circuit.table([net], 0b10, output, "dsp")


class Stage:
    """Makes a block's optional registers."""

    def __init__(self, circuit: Circuit, cell: Cell, clock: int, fall: bool) -> None:
        self.circuit, self.cell, self.clock, self.fall = circuit, cell, clock, fall

    def __call__(
        self,
        used: bool | int,
        nets: Nets,
        enable: int = ONE,
        reset: int = ZERO,
        asynchronous: bool = False,
    ) -> list[int]:
        """The nets themselves, or what registers make of them."""
        if not used:
            return list(nets)
        outputs = [self.circuit.net() for _ in nets]
        for d, q in zip(nets, outputs, strict=True):
            self.loop(d, q, enable, reset, asynchronous)
        return outputs

    def loop(
        self, d: int, q: int, enable: int, reset: int = ZERO, asynchronous: bool = False
    ) -> None:
        """A register with a given output."""
        made = Register(d, q, enable, reset, 0, asynchronous)
        self.circuit.register(self.cell, self.clock, made, self.fall)


@primitive("dsp", "MULT18X18D", "MULT9X9D")
def _ecp5(circuit: Circuit, cell: Cell) -> None:
    n = 18 if cell.kind == "MULT18X18D" else 9
    for name, value in cell.parameters.items():
        if name.startswith("REG_") and name.endswith("_CLK") and str(value).strip() != "NONE":
            raise UnsupportedError(f"registers inside the multiplier ({name})")
    if cell.pin("SOURCEA") != ZERO or cell.pin("SOURCEB") != ZERO:
        raise UnsupportedError("operands from the neighbouring multiplier")
    a = [cell.pin(f"A{index}") for index in range(n)]
    b = [cell.pin(f"B{index}") for index in range(n)]
    found = product(circuit, a, b, (cell.pin("SIGNEDA"), cell.pin("SIGNEDB")), 2 * n)
    for index, net in enumerate(found):
        if output := cell.pin(f"P{index}"):
            assign(circuit, [net], [output])


@primitive("dsp", "MULT9X9", "MULT18X18", "MULT36X36")
def _gowin(circuit: Circuit, cell: Cell) -> None:
    n = int(cell.kind[4:].partition("X")[0])
    if cell.pin("ASEL") != ZERO or cell.pin("BSEL") != ZERO:
        raise UnsupportedError("operands from the neighbouring multiplier")
    stage = Stage(circuit, cell, cell.pin("CLK"), False)
    later = cell.text("MULT_RESET_MODE", "SYNC") == "ASYNC"
    enable, reset = cell.pin("CE"), cell.pin("RESET")

    def register(name: str, nets: Nets) -> list[int]:
        return stage(cell.number(name), nets, enable, reset, later)

    a, b = register("AREG", cell.pins("A", n)), register("BREG", cell.pins("B", n))
    sign_a = register("ASIGN_REG", [cell.pin("ASIGN")])[0]
    sign_b = register("BSIGN_REG", [cell.pin("BSIGN")])[0]
    found = register("PIPE_REG", product(circuit, a, b, (sign_a, sign_b), 2 * n))
    assign(circuit, register("OUT_REG", found), cell.connections.get("DOUT", []))


@primitive("dsp", "SB_MAC16")
def _mac16(circuit: Circuit, cell: Cell) -> None:  # noqa: PLR0915
    """Two 8 x 8 or one 16 x 16 multiplier with two accumulators, as the sum of its parts."""
    stage = Stage(circuit, cell, cell.pin("CLK"), bool(cell.number("NEG_TRIGGER")))
    enable = cell.pin("CE", ONE)

    def held(port: str) -> int:
        return circuit.both(enable, circuit.invert(cell.pin(port)))

    top, bottom = cell.pin("IRSTTOP"), cell.pin("IRSTBOT")
    a, b, c, d = (cell.pins(port, 16) for port in "ABCD")
    a = tuple(stage(cell.number("A_REG"), a, held("AHOLD"), top, True))
    c = tuple(stage(cell.number("C_REG"), c, held("CHOLD"), top, True))
    b = tuple(stage(cell.number("B_REG"), b, held("BHOLD"), bottom, True))
    d = tuple(stage(cell.number("D_REG"), d, held("DHOLD"), bottom, True))
    small = bool(cell.number("MODE_8x8"))
    sa, sb = cell.number("A_SIGNED"), cell.number("B_SIGNED")
    registers = "TOP_8x8_MULT_REG BOT_8x8_MULT_REG PIPELINE_16x16_MULT_REG1".split()
    parts = small or any(cell.number(name) for name in registers)
    used = {cell.number(f"{half}OUTPUT_SELECT") for half in ("TOP", "BOT")}
    used |= {cell.number(f"{half}ADDSUB_LOWERINPUT") + 4 for half in ("TOP", "BOT")}
    f = g = [ZERO] * 16
    if parts or used & {2, 5}:
        high = stage(
            cell.number(registers[0]),
            product(circuit, a[8:], b[8:], (sa, sb), 16),
            enable,
            top,
            True,
        )
        low_signs = (sa & small, sb & small)
        low = stage(
            cell.number(registers[1]),
            product(circuit, a[:8], b[:8], low_signs, 16),
            enable,
            bottom,
            True,
        )
        f, g = high, low
    if not parts:
        whole = product(circuit, a, b, (sa, sb), 32)
    elif small:
        whole = [ZERO] * 32
    else:
        late = cell.number(registers[2])
        j = stage(late, product(circuit, a[:8], b[8:], (ZERO, sb), 16), enable, top, True)
        k = stage(late, product(circuit, a[8:], b[:8], (sa, ZERO), 16), enable, bottom, True)
        whole = [*g, *f]
        for part, sign in ((k, sa), (j, sb)):
            # the sign reaches over eight bits, and no carry of it into the upper ones
            wide = [ZERO] * 8 + [*part, *[circuit.both(part[-1], sign)] * 8]
            whole = add(circuit, whole, wide)[0]
    whole = stage(
        cell.number("PIPELINE_16x16_MULT_REG2") and not small, whole, enable, bottom, True
    )

    q = [circuit.net() for _ in range(16)]
    s = [circuit.net() for _ in range(16)]
    lower_b = cell.number("BOTADDSUB_LOWERINPUT")
    z = [b, g, whole[:16], [cell.pin("SIGNEXTIN")] * 16][lower_b]
    lower_t = cell.number("TOPADDSUB_LOWERINPUT")
    x = [a, f, whole[16:], [z[15]] * 16][lower_t]
    y = d if cell.number("BOTADDSUB_UPPERINPUT") else s
    w = c if cell.number("TOPADDSUB_UPPERINPUT") else q
    sub_t, sub_b = cell.pin("ADDSUBTOP"), cell.pin("ADDSUBBOT")
    carry = [ZERO, ONE, cell.pin("ACCUMCI"), cell.pin("CI")][cell.number("BOTADDSUB_CARRYSELECT")]
    yz, out_b = add(circuit, z, flip(circuit, y, sub_b), carry)
    crossed = circuit.table([out_b, sub_b], 0b0110, delay="inner")
    carry = [ZERO, ONE, out_b, crossed][cell.number("TOPADDSUB_CARRYSELECT")]
    xw, out_t = add(circuit, x, flip(circuit, w, sub_t), carry)
    r = pick(circuit, [cell.pin("OLOADBOT")], [flip(circuit, yz, sub_b), d])
    p = pick(circuit, [cell.pin("OLOADTOP")], [flip(circuit, xw, sub_t), c])
    for i in range(16):
        stage.loop(p[i], q[i], held("OHOLDTOP"), cell.pin("ORSTTOP"), True)
        stage.loop(r[i], s[i], held("OHOLDBOT"), cell.pin("ORSTBOT"), True)
    outputs = driven(circuit, cell, "O", 32)
    assign(circuit, [r, s, g, whole[:16]][cell.number("BOTOUTPUT_SELECT")], outputs[:16])
    assign(circuit, [p, q, f, whole[16:]][cell.number("TOPOUTPUT_SELECT")], outputs[16:])
    assign(circuit, [out_t], cell.connections.get("ACCUMCO", []))
    co = circuit.table([out_t, sub_t], 0b0110, delay="inner")
    assign(circuit, [co], cell.connections.get("CO", []))
    assign(circuit, [x[15]], cell.connections.get("SIGNEXTOUT", []))


@primitive("dsp", "DSP48E1", "DSP48E2")
def _dsp48(circuit: Circuit, cell: Cell) -> None:  # noqa: PLR0912, PLR0915
    """Pre-adder, multiplier, 48-bit adder with three (E2: four) inputs and their registers."""
    second = cell.kind == "DSP48E2"
    narrow = 27 if second else 25
    stage = Stage(circuit, cell, cell.pin("CLK"), bool(cell.number("IS_CLK_INVERTED")))

    def setting(name: str, default: int = 1) -> int:
        return cell.number(name, default)

    def bus(port: str, width: int) -> list[int]:
        nets = list(cell.pins(port, width))
        flips = cell.number(f"IS_{port}_INVERTED")
        return [circuit.invert(n) if flips >> i & 1 else n for i, n in enumerate(nets)]

    def chain(letter: str, width: int) -> tuple[list[int], list[int]]:
        """The first and second registers of A or B."""
        cascade = cell.text(f"{letter}_INPUT", "DIRECT") == "CASCADE"
        nets = bus(f"{letter}CIN" if cascade else letter, width)
        reset = cell.pin(f"RST{letter}")
        count = setting(f"{letter}REG")
        one = stage(count, nets, cell.pin(f"CE{letter}1"), reset)
        source = one if count == 2 else nets
        two = stage(count, source, cell.pin(f"CE{letter}2"), reset)
        first = count == 2 and setting(f"{letter}CASCREG") == 1
        assign(circuit, one if first else two, cell.connections.get(f"{letter}COUT", []))
        return one, two

    def registered(name: str, port: str, width: int, enable: str, reset: str) -> list[int]:
        return stage(setting(name), bus(port, width), cell.pin(enable), cell.pin(reset))

    a1, a2 = chain("A", 30)
    b1, b2 = chain("B", 18)
    c = registered("CREG", "C", 48, "CEC", "RSTC")
    d = registered("DREG", "D", narrow, "CED", "RSTD")
    inmode = registered("INMODEREG", "INMODE", 5, "CEINMODE", "RSTINMODE")
    opmode = registered("OPMODEREG", "OPMODE", 9 if second else 7, "CECTRL", "RSTCTRL")
    alumode = registered("ALUMODEREG", "ALUMODE", 4, "CEALUMODE", "RSTALUMODE")
    choice = registered("CARRYINSELREG", "CARRYINSEL", 3, "CECTRL", "RSTCTRL")
    carry = registered("CARRYINREG", "CARRYIN", 1, "CECARRYIN", "RSTALLCARRYIN")[0]
    if any(net != ZERO for net in choice):
        raise UnsupportedError("CARRYINSEL other than 0")
    if any(net != ZERO for net in alumode[2:]):
        raise UnsupportedError("an ALUMODE for logic functions")
    if cell.text("USE_SIMD", "ONE48") != "ONE48":
        raise UnsupportedError("a divided adder (USE_SIMD)")
    if second and any(
        (cell.text(name, "A" if "MULTSEL" not in name else name[0]) not in ("A", "B"))
        for name in ("AMULTSEL", "BMULTSEL", "PREADDINSEL")
    ):
        raise UnsupportedError("the pre-adder of DSP48E2")
    chosen = pick(circuit, [inmode[0]], [a2[:narrow], a1[:narrow]])
    left = gate(circuit, chosen, circuit.invert(inmode[1]))
    if cell.text("USE_DPORT", "FALSE") == "TRUE":
        other = gate(circuit, d, inmode[2])
        summed = add(circuit, other, flip(circuit, left, inmode[3]), inmode[3])[0]
        left = stage(setting("ADREG"), summed, cell.pin("CEAD"), cell.pin("RSTD"))
    right = pick(circuit, [inmode[4]], [b2, b1])
    multiplied = [ZERO] * 48
    if cell.text("USE_MULT", "MULTIPLY") != "NONE":
        width = narrow + 18
        found = product(circuit, left, right, (ONE, ONE), width)
        found = stage(setting("MREG"), found, cell.pin("CEM"), cell.pin("RSTM"))
        multiplied = [*found, *[found[-1]] * (48 - width)]
    late = setting("PREG")
    outputs = driven(circuit, cell, "P", 48)
    p = outputs if late else [ZERO] * 48
    nothing, ones = [ZERO] * 48, [ONE] * 48
    cascade = list(cell.pins("PCIN", 48))
    x = pick(circuit, opmode[:2], [nothing, multiplied, p, [*b2, *a2]])
    y = pick(circuit, opmode[2:4], [nothing, nothing, ones, c])
    shifted = [*cascade[17:], *[cascade[47]] * 17]
    own = [*p[17:], *[p[47]] * 17]
    z = pick(circuit, opmode[4:7], [nothing, cascade, p, c, p, shifted, own, nothing])
    z = flip(circuit, z, alumode[0])
    if second:
        constant = [setting("RND", 0) >> bit & 1 for bit in range(48)]
        w = pick(circuit, opmode[7:9], [nothing, p, constant, c])
        z = add(circuit, z, w)[0]
    total = add(circuit, x, y, carry)[0]
    total = flip(circuit, add(circuit, z, total)[0], alumode[1])
    if late:
        for value, output in zip(total, outputs, strict=True):
            stage.loop(value, output, cell.pin("CEP"), cell.pin("RSTP"))
    else:
        assign(circuit, total, outputs)
    for source, target in zip(outputs, cell.connections.get("PCOUT", []), strict=False):
        assign(circuit, [source], [target])
    for port in ("PATTERNDETECT", "PATTERNBDETECT", "CARRYOUT", "OVERFLOW", "UNDERFLOW"):
        if any(net > ONE for net in cell.connections.get(port, [])) and _loads(circuit, cell, port):
            raise UnsupportedError(f"its output {port}")


def _loads(circuit: Circuit, cell: Cell, port: str) -> bool:
    """Whether a net that is not hidden hangs at a port: yosys leaves names on what is used."""
    return any(net not in circuit.hidden for net in cell.connections.get(port, []))
