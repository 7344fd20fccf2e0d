"""What each primitive of a family counts as, and which layer a cell belongs to.

Standard library alone: jobs import it. A netlist is yosys' JSON (``write_json``) of one module.

Sources of the counts: AMD UG953 and UG974 (7 series, UltraScale libraries), Lattice FPGA-TN-02026
(iCE40 primitives) and FPGA-TN-02205 (ECP5 memory: a 16x4 RAM takes three slices' six LUTs),
Gowin SUG283 (primitives).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

FAMILIES: Final = ("ice40", "ecp5", "gowin", "xc7", "xcu", "xcup")

XILINX: Final[Mapping[str, Mapping[str, int]]] = {
    **{f"LUT{n}": {"lut": 1} for n in range(1, 7)},
    "LUT6_2": {"lut": 1},
    "INV": {"lut": 1},
    "MUXF7": {"mux": 1},
    "MUXF8": {"mux": 1},
    "MUXF9": {"mux": 1},
    "CARRY4": {"carry": 1},
    "CARRY8": {"carry": 1},
    **{f"FD{kind}E{edge}": {"ff": 1} for kind in "RSCP" for edge in ("", "_1")},
    "LDCE": {"latch": 1, "ff": 1},
    "LDPE": {"latch": 1, "ff": 1},
    "SRL16E": {"lut": 1, "lut_memory": 1},
    "SRLC32E": {"lut": 1, "lut_memory": 1},
    "RAM32X1S": {"lut": 1, "lut_memory": 1},
    "RAM32X1D": {"lut": 2, "lut_memory": 2},
    "RAM64X1S": {"lut": 1, "lut_memory": 1},
    "RAM64X1D": {"lut": 2, "lut_memory": 2},
    "RAM128X1S": {"lut": 2, "lut_memory": 2},
    "RAM128X1D": {"lut": 4, "lut_memory": 4},
    "RAM256X1S": {"lut": 4, "lut_memory": 4},
    "RAM256X1D": {"lut": 8, "lut_memory": 8},
    "RAM512X1S": {"lut": 8, "lut_memory": 8},
    "RAM32M": {"lut": 4, "lut_memory": 4},
    "RAM64M": {"lut": 4, "lut_memory": 4},
    "RAM32M16": {"lut": 8, "lut_memory": 8},
    "RAM64M8": {"lut": 8, "lut_memory": 8},
    "DSP48E1": {"dsp": 1},
    "DSP48E2": {"dsp": 1},
    "RAMB18E1": {"bram_18k": 1},
    "RAMB18E2": {"bram_18k": 1},
    "RAMB36E1": {"bram_18k": 2},
    "RAMB36E2": {"bram_18k": 2},
    "URAM288": {"uram": 1},
}
ICE40: Final[Mapping[str, Mapping[str, int]]] = {
    "SB_LUT4": {"lut": 1},
    "SB_CARRY": {"carry": 1},
    "SB_RAM40_4K": {"bram_4k": 1},
    "SB_RAM40_4KNR": {"bram_4k": 1},
    "SB_RAM40_4KNW": {"bram_4k": 1},
    "SB_RAM40_4KNRNW": {"bram_4k": 1},
    "SB_MAC16": {"dsp": 1},
    "SB_SPRAM256KA": {"spram": 1},
}
ECP5: Final[Mapping[str, Mapping[str, int]]] = {
    "LUT4": {"lut": 1},
    "CCU2C": {"lut": 2, "carry": 1},
    "PFUMX": {"mux": 1},
    "L6MUX21": {"mux": 1},
    "TRELLIS_FF": {"ff": 1},
    "TRELLIS_DPR16X4": {"lut": 6, "lut_memory": 6},
    "DP16KD": {"bram_18k": 1},
    "PDPW16KD": {"bram_18k": 1},
    "MULT18X18D": {"dsp": 1},
    "ALU54B": {"alu54": 1},
}
GOWIN_MULTIPLIERS: Final[Mapping[str, Mapping[str, int]]] = {
    # in halves of the multiplier of 18x18
    "MULT9X9": {"half_dsp": 1},
    "MULT18X18": {"half_dsp": 2},
    "MULTALU18X18": {"half_dsp": 2},
    "MULTALU36X18": {"half_dsp": 4},
    "MULTADDALU18X18": {"half_dsp": 4},
    "MULT36X36": {"half_dsp": 8},
}
GOWIN: Final[Mapping[str, Mapping[str, int]]] = {
    **{f"LUT{n}": {"lut": 1} for n in range(1, 5)},
    **{f"MUX2_LUT{n}": {"mux": 1} for n in range(5, 9)},
    "ALU": {"lut": 1, "carry": 1},
    "RAM16S1": {"lut": 4, "lut_memory": 4},
    "RAM16S2": {"lut": 4, "lut_memory": 4},
    "RAM16S4": {"lut": 4, "lut_memory": 4},
    "RAM16SDP1": {"lut": 4, "lut_memory": 4},
    "RAM16SDP2": {"lut": 4, "lut_memory": 4},
    "RAM16SDP4": {"lut": 4, "lut_memory": 4},
    **{
        name: {"bram_18k": 1}
        for name in "SP SPX9 SDP SDPB SDPX9 SDPX9B DP DPB DPX9 DPX9B pROM pROMX9 ROM ROMX9".split()
    },
    **GOWIN_MULTIPLIERS,
}
COUNTS: Final = {
    "ice40": ICE40,
    "ecp5": ECP5,
    "gowin": GOWIN,
    "xc7": XILINX,
    "xcu": XILINX,
    "xcup": XILINX,
}
REGISTERS: Final = {"ice40": "SB_DFF", "gowin": "DFF"}
FREE: Final = set(
    "$scopeinfo VCC GND IBUF OBUF TBUF IOBUF OBUFT BUFG SB_IO SB_GB SB_GB_IO TRELLIS_IO DCCA "
    "GSR".split()
)
"""Cells outside the logic fabric, or of no area."""


def counts_as(kind: str, family: str) -> Mapping[str, int] | None:
    """The resources of one cell of that kind; None where the kind is not known."""
    if kind in FREE:
        return {}
    known = COUNTS[family].get(kind)
    prefix = REGISTERS.get(family)
    if known is None and prefix and kind.startswith(prefix):
        return {"ff": 1}
    return known


def count(kinds: Mapping[str, int], family: str) -> tuple[dict[str, int], list[str]]:
    """Resources of so many cells of each kind, and the kinds that are not known."""
    total = {"lut": 0, "ff": 0, "dsp": 0}
    strange = []
    for kind, number in sorted(kinds.items()):
        parts = counts_as(kind, family)
        if parts is None:
            strange.append(kind)
            continue
        for resource, each in parts.items():
            total[resource] = total.get(resource, 0) + each * number
    total["dsp"] += -(-total.pop("half_dsp", 0) // 2)
    return total, strange


class Owners:
    """Which layer a hierarchical name belongs to: the longest instance prefix that it starts with.

    ``prefixes`` gives each layer's instance prefix (``"conv1."``, or ``"conv1"`` which also
    matches ``conv1.x`` and ``conv1_x``), or several of them.
    """

    def __init__(self, prefixes: Mapping[str, str | Iterable[str]]) -> None:
        pairs = [
            (prefix, layer)
            for layer, given in prefixes.items()
            for prefix in ([given] if isinstance(given, str) else given)
            if prefix
        ]
        self._pairs = sorted(pairs, key=lambda pair: (-len(pair[0]), pair))

    def of(self, name: str) -> str | None:
        """The layer of a cell's or net's name; None where it is no layer's."""
        name = name.removeprefix("$flatten").lstrip("\\")
        for prefix, layer in self._pairs:
            for start in _starts(name, prefix):
                after = name[start + len(prefix) :][:1]
                if prefix[-1] in "._" or not after.isalnum():
                    return layer
        return None


def _starts(name: str, prefix: str) -> Iterator[int]:
    """Where the prefix begins a level of the hierarchical name."""
    start = name.find(prefix)
    while start >= 0:
        if start == 0 or name[start - 1] == ".":
            yield start
        start = name.find(prefix, start + 1)


MADE_UP: Final = re.compile(
    r"^\$|_(" + "|".join(sorted({k for kinds in COUNTS.values() for k in kinds})) + r"|"
    r"SB_DFF[A-Z]*|DFF[A-Z]*|[IO]BUF|[OT]BUFT?)_[A-Z][A-Z0-9]*(_\d+)*(_|$)"
)
"""A name that yosys gave (its pass `autoname` adds ``_KIND_PORT`` to a neighbour's)."""


READ: Final = "edgeflow_input"
"""The attribute of a module's input port: a name of a signal that is driven elsewhere."""


def real_name(name: str) -> str:
    """The designer's name in one that yosys made up from it; empty where there is none."""
    found = MADE_UP.search(name)
    return name[: found.start()] if found else name


def layers_of_cells(module: Mapping[str, Any], prefixes: Mapping[str, Any]) -> dict[str, str]:
    """The layer of each cell of a flat module, as far as it can be told.

    A cell that drives a signal of the designer's belongs to that signal's layer (to none where
    the signal is no layer's). Technology mapping makes the others up: such a cell belongs to the
    layer of what it feeds, the nearest first; the last resort is the cell's own made-up name.
    """
    if not prefixes:
        return {}
    owners = Owners(prefixes)
    named: dict[int, str | None] = {}  # by net bit; None: a signal of no layer
    for name, net in module["netnames"].items():
        if MADE_UP.search(name) or READ in net.get("attributes", ()):
            continue
        owner = owners.of(name)
        for bit in net["bits"]:
            named[bit] = named.get(bit) or owner
    outputs, inputs = _pins(module)
    found: dict[str, str | None] = {}
    for name, bits in outputs.items():
        known = [named[bit] for bit in bits if bit in named]
        if known:
            found[name] = next((owner for owner in known if owner), None)
    drivers = {bit: name for name, bits in outputs.items() for bit in bits}
    todo = [name for name, owner in found.items() if owner]
    for name in todo:  # breadth first, from the known cells back to what feeds them
        for bit in inputs[name]:
            source = drivers.get(bit)
            if source is not None and source not in found:
                found[source] = found[name]
                todo.append(source)
    for name in outputs:
        if name not in found:
            found[name] = owners.of(name)
    return {name: owner for name, owner in found.items() if owner}


def _pins(module: Mapping[str, Any]) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """The net bits that each cell drives, and those that it reads (constants left out)."""
    outputs: dict[str, list[int]] = {}
    inputs: dict[str, list[int]] = {}
    for name, cell in module["cells"].items():
        if cell["type"] in FREE:
            continue
        outputs[name], inputs[name] = [], []
        for port, bits in cell["connections"].items():
            side = outputs if cell["port_directions"].get(port) == "output" else inputs
            side[name] += [bit for bit in bits if isinstance(bit, int)]
    return outputs, inputs
