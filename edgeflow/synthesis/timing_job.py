"""Reads nextpnr's report: what is used and free, the clock reached, the critical path by layer.

Standard library alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from edgeflow.synthesis import cells

RESOURCES: Final[Mapping[str, Mapping[str, str]]] = {
    # nextpnr's name of a kind of site, and ours
    "ice40": {
        "ICESTORM_LC": "lut",
        "ICESTORM_RAM": "bram_4k",
        "ICESTORM_DSP": "dsp",
        "ICESTORM_SPRAM": "spram",
        "SB_IO": "io",
        "SB_GB": "global_clock",
    },
    "ecp5": {
        "TRELLIS_COMB": "lut",
        "TRELLIS_FF": "ff",
        "DP16KD": "bram_18k",
        "MULT18X18D": "dsp",
        "TRELLIS_IO": "io",
        "DCCA": "global_clock",
    },
    "gowin": {
        "LUT4": "lut",
        "DFF": "ff",
        "ALU": "carry",
        "BSRAM": "bram_18k",
        "MULT18X18": "dsp",
        "IOB": "io",
        "BUFG": "global_clock",
    },
}
USED: Final = re.compile(r"^Info:\s+([A-Z][A-Z0-9_]*):\s+(\d+)/\s*(\d+)\s")
SUFFIX: Final = re.compile(r"(_LC|_DFFLC|_LUT4LC|\$comb\d*|\$ff\d*|_SLICE|\$[A-Za-z0-9_]+\$?)$")


def utilisation(raw: Mapping[str, Mapping[str, int]], family: str) -> dict[str, dict[str, int]]:
    """``{resource: {used, available}}`` by our names (its whole report is in ``nextpnr.json``).

    A Gowin ALU takes the place of a LUT, so it counts as one too; its multipliers are counted as
    if each were the one of 18x18, of which two of 9x9 make one.
    """
    names = RESOURCES[family]
    found: dict[str, dict[str, int]] = {}
    for kind, numbers in raw.items():
        if kind in names:
            found[names[kind]] = {
                "used": int(numbers["used"]),
                "available": int(numbers["available"]),
            }
    if family == "gowin":
        used = {kind: int(numbers["used"]) for kind, numbers in raw.items()}
        found["lut"]["used"] += used.get("ALU", 0)
        kinds = {kind: used.get(kind, 0) for kind in cells.GOWIN_MULTIPLIERS}
        found["dsp"]["used"] = cells.count(kinds, family)[0]["dsp"]
    return found


UNTIMED: Final = {"gowin": tuple(cells.GOWIN_MULTIPLIERS)}
"""Kinds of cells through which nextpnr times no path (seen in its reports, version 0.11.1)."""


def notes(raw: Mapping[str, Mapping[str, int]], family: str) -> list[str]:
    """What the clock that is reported leaves out."""
    found = [kind for kind in UNTIMED.get(family, ()) if raw.get(kind, {}).get("used")]
    if not found:
        return []
    return [
        f"nextpnr does not time {', '.join(found)}: the clock reached is that of the other paths"
    ]


def clocks(raw: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """``{clock: {reached_mhz, wished_mhz}}``."""
    short = {name: clock_name(name) for name in raw}
    unique = len(set(short.values())) == len(raw)
    return {
        short[name] if unique else name: {
            "reached_mhz": round(float(numbers["achieved"]), 3),
            "wished_mhz": round(float(numbers["constraint"]), 3),
        }
        for name, numbers in sorted(raw.items())
    }


def clock_name(net: str) -> str:
    """The designer's name of a clock: nextpnr adds what buffer it comes from."""
    net = net.removeprefix("posedge ").removeprefix("negedge ").removeprefix("$glbnet$")
    return cells.real_name(net.partition("$")[0]).rpartition(".")[2] or net


def critical_path(
    report: Mapping[str, Any], layer_of: Mapping[str, str], prefixes: Mapping[str, Any]
) -> dict[str, Any]:
    """The longest path within a clock: ``{clock, ns, logic_ns, routing_ns, layers, steps}``.

    ``layers`` is a list of ``{layer, ns}`` in the order of the path (what belongs to no layer is
    ``null``), ``steps`` its ``{ns, kind, cell, net, layer}``. Empty where there is no clock.
    """
    paths = [path for path in report.get("critical_paths", ()) if _same_clock(path)]
    if not paths:
        paths = list(report.get("critical_paths", ()))
    if not paths:
        return {}
    longest = max(paths, key=lambda path: sum(step["delay"] for step in path["path"]))
    owners = cells.Owners(prefixes)
    steps: list[dict[str, Any]] = []
    for step in longest["path"]:
        end = step["to"] if step["type"] != "clk-to-q" else step["from"]
        cell = str(end.get("cell", ""))
        net = str(step.get("net", ""))
        layer = _layer(cell, layer_of) or owners.of(cell) or owners.of(net)
        steps.append(
            {
                "ns": round(step["delay"], 3),
                "kind": step["type"],
                "cell": cells.real_name(cell),
                "net": cells.real_name(net),
                "layer": layer,
            }
        )
    by_layer: list[dict[str, Any]] = []
    for step in steps:
        if by_layer and by_layer[-1]["layer"] == step["layer"]:
            by_layer[-1]["ns"] = round(by_layer[-1]["ns"] + step["ns"], 3)
        else:
            by_layer.append({"layer": step["layer"], "ns": step["ns"]})
    routing = sum(step["ns"] for step in steps if step["kind"] == "routing")
    total = sum(step["ns"] for step in steps)
    return {
        "clock": clock_name(str(longest.get("from", ""))),
        "ns": round(total, 3),
        "logic_ns": round(total - routing, 3),
        "routing_ns": round(routing, 3),
        "layers": by_layer,
        "steps": steps,
    }


def _same_clock(path: Mapping[str, Any]) -> bool:
    return path["from"] == path["to"] and not str(path["from"]).startswith("<async>")


def _layer(cell: str, layer_of: Mapping[str, str]) -> str | None:
    """The layer of a packed cell: nextpnr adds endings to the netlist's names."""
    for _ in range(4):
        if cell in layer_of:
            return layer_of[cell]
        shorter = SUFFIX.sub("", cell)
        if shorter == cell:
            return None
        cell = shorter
    return None
