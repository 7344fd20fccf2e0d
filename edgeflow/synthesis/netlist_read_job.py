"""yosys' JSON as a `Circuit`'s nets, and its cells."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgeflow.errors import InputError
from edgeflow.synthesis.netlist_circuit_job import CLASSES, ONE, ZERO, Cell, Circuit


def read_json(path: Path, top: str | None = None) -> tuple[Circuit, list[Cell]]:
    """yosys' JSON: the named nets and ports of the top module, and its cells, not lowered yet.

    Args:
        path: the file that ``write_json`` wrote, flattened.
        top: the top module; where None, the one with the attribute ``top``, or the only one that
            has cells and is no primitive.

    Raises:
        InputError: it is no such file, or the module is not in it.
    """
    try:
        record = json.loads(path.read_text())
        modules = record["modules"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"expected a netlist that yosys' write_json wrote: {error}",
            where=path.name,
            remedy="synthesise the design again",
        ) from None
    name = top or _top(modules, path)
    if name not in modules:
        raise InputError(f"the netlist has no module '{name}'", where=path.name)
    module = modules[name]
    circuit = Circuit(top=name)
    ids: dict[int | str, int] = {"0": ZERO, "1": ONE, "x": ZERO, "z": ZERO}

    def nets(bits: Iterable[int | str]) -> list[int]:
        found = []
        for bit in bits:
            if bit not in ids:
                ids[bit] = circuit.net()
            found.append(ids[bit])
        return found

    for port, entry in module["ports"].items():
        side = circuit.inputs if entry["direction"] == "input" else circuit.outputs
        side[port] = nets(entry["bits"])
    # yosys also makes names such as q_SB_DFF_Q_1_D (autoname), which are not hidden.
    kinds = "|".join(sorted({re.escape(entry["type"]) for entry in module["cells"].values()}))
    made = re.compile(f"_(?:{kinds})_[A-Z]") if kinds else None

    def is_made(text: str, entry: dict[str, Any]) -> bool:
        return bool(entry.get("hide_name")) or bool(made and made.search(text))

    # A name that the user gave comes before one that the synthesis made; of those the shorter.
    named = sorted(
        (is_made(text, entry), len(text), text, entry)
        for text, entry in module.get("netnames", {}).items()
    )
    for hidden, _, text, entry in named:
        bits = nets(entry["bits"])
        for index, net in enumerate(bits):
            if net <= ONE:
                continue
            place = index + int(entry.get("offset", 0))
            name_ = text if len(bits) == 1 else f"{text}[{place}]"
            if net not in circuit.names:
                circuit.names[net] = name_
                if hidden:
                    circuit.hidden.add(net)
            elif not hidden:
                circuit.aliases.append((name_, net))
    cells = [
        Cell(
            label,
            entry["type"],
            entry.get("parameters", {}),
            {port: nets(bits) for port, bits in entry["connections"].items()},
        )
        for label, entry in module["cells"].items()
    ]
    io = CLASSES.index("io")
    for nets_ in circuit.inputs.values():
        for net in nets_:
            circuit.classes[net] = io
    return circuit, cells


def _top(modules: dict[str, Any], path: Path) -> str:
    marked = [
        name
        for name, module in modules.items()
        if int(str(module.get("attributes", {}).get("top", "0")) or "0", 2)
    ]
    found = marked or [
        name
        for name, module in modules.items()
        if module.get("cells") and "blackbox" not in module.get("attributes", {})
    ]
    if len(found) != 1:
        raise InputError(
            f"expected one top module, found {found or 'none'}",
            where=path.name,
            remedy="name the top module",
        )
    return str(found[0])
