"""The text report of Vivado HLS and Vitis HLS, ``…_csynth.rpt``. Standard library alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edgeflow.synthesis.vendor_hls import AREA, lines, number

Record = dict[str, Any]


def read_csynth_text(path: Path) -> tuple[Record, dict[str, Record]] | None:
    """What the text says of one function and of the modules that it calls.

    Returns:
        None where it is no such report, or cut short; else a record as
        `vendor_hls.read_csynth`'s, and the modules' figures by their names.
    """
    text = lines(path)
    head = next(
        (m for line in text[:20] if (m := re.search(r"HLS Report for '(\w+)'", line))), None
    )
    if head is None:
        return None
    found: Record = {"top": head[1], "latency_cycles": None, "ii": None}
    modules: dict[str, Record] = {}
    heads: list[str] = []
    part = ""
    for line in text:
        if match := re.match(r"\* (Version|Target device):\s+(\S+)", line):
            found["version" if match[1] == "Version" else "part"] = match[2]
        if line.startswith("== "):
            part = line
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.strip()[:1] != "|":
            continue
        if "BRAM_18K" in cells:
            heads = cells
        elif cells[0].startswith("ap_clk") and "clock_ns" not in found and len(cells) == 4:
            times = [number(cell.removesuffix("ns").strip()) for cell in cells[1:3]]
            found["clock_target_ns"], found["clock_ns"] = times
        elif "Performance" in part:
            _take_latency(cells, found, modules)
        elif "Utilization" in part and len(cells) == len(heads):
            _take_counts(cells, heads, found, modules)
    return (found, modules) if "lut" in found and found.get("clock_ns") is not None else None


def _take_latency(cells: list[str], found: Record, modules: dict[str, Record]) -> None:
    """A row of a latency table: the function's own has no names before its numbers."""
    names = [cell for cell in cells[:2] if re.fullmatch(r"\w*[A-Za-z]\w*", cell)]
    cycles = [cell for cell in cells[len(names) :] if not re.search(r"[mun]?s(ec)?$", cell)]
    if len(cycles) < 4 or number(cycles[0]) is None or number(cycles[3]) is None:
        return
    values = [number(cell) for cell in cycles[:4]]
    figures = {"latency_cycles": values[:2], "ii": values[2:]}
    if len(names) == 2:
        modules.setdefault(names[1], {}).update(figures)
    elif not names and found["latency_cycles"] is None:
        found.update(figures)


def _take_counts(
    cells: list[str], heads: list[str], found: Record, modules: dict[str, Record]
) -> None:
    counts = {
        AREA[head]: value
        for head, cell in zip(heads, cells, strict=True)
        if head in AREA and (value := number(cell)) is not None
    }
    if heads[0] == "Instance":
        if cells[1]:
            modules.setdefault(cells[1], {}).update(counts)
    elif cells[0] == "Total" and "lut" not in found:
        found.update(counts)
    elif cells[0] == "Available" and "available_lut" not in found:
        found.update({f"available_{name}": value for name, value in counts.items()})
