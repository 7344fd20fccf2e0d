"""Reports of Vivado's logic synthesis, placement and routing.

The text of ``report_utilization`` (flat and hierarchical) and ``report_timing_summary``, and the
XML that Vitis HLS leaves of ``export_design -flow syn|impl``. Standard library alone.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from edgeflow.synthesis.vendor_hls import AREA, lines, number, parse

Record = dict[str, Any]

STATES: Final = ("synthesised", "placed", "routed")
"""How far a design came, the earliest first."""

SITES: Final = (
    (r"(CLB|Slice) LUTs", "lut"),
    (r"((CLB|Slice) )?Registers", "ff"),
    (r"DSPs|DSP Slices", "dsp"),
    (r"Block RAM Tile", "bram_18k"),
    (r"URAM", "uram"),
)
"""Rows of ``report_utilization``. A block RAM tile is two of 18 Kbit."""

COLUMNS: Final = {
    "Total LUTs": "lut", "FFs": "ff", "RAMB36": "ramb36", "RAMB18": "ramb18", "URAM": "uram",
    "DSP48 Blocks": "dsp", "DSP Blocks": "dsp", "DSP Slices": "dsp",
}  # fmt: skip
"""Columns of the hierarchical report."""


def read_utilisation(path: Path) -> Record | None:
    """What a ``report_utilization`` says; None where the text is none.

    Returns:
        ``tool`` (``Vivado``), ``version``, ``design``, ``part``, ``stage`` (of `STATES`), the
        counts ``lut``, ``ff``, ``dsp``, ``bram_18k``, ``uram``, from a flat report each with
        ``available_…``, from a hierarchical one ``modules`` (``instance``, ``module``, counts).
    """
    text = lines(path)
    if not any("report_utilization" in line for line in text[:40]) and not any(
        line.startswith("Utilization Design Information") for line in text[:60]
    ):
        return None
    found: Record = {**_heading(text)}
    if any(line.startswith("|") and " Total LUTs " in line for line in text):
        return {**found, **_hierarchical(text)}
    available = None
    for line in text:
        cells = _cells(line)
        if "Available" in cells and "Used" in cells:
            available = cells.index("Available")
        for pattern, name in SITES:
            if len(cells) > 2 and name not in found and re.fullmatch(pattern + r"\*?", cells[0]):
                factor = 2 if name == "bram_18k" else 1
                used = number(cells[1])
                if used is None:
                    continue
                found[name] = int(used * factor)
                free = number(cells[available]) if available and available < len(cells) else None
                if free is not None:
                    found["available_" + name] = int(free * factor)
    return found if "lut" in found else None


def _heading(text: list[str]) -> Record:
    said: dict[str, str] = {}
    for line in text[:40]:
        if match := re.match(r"\|\s*([\w ]+?)\s*:\s*(.+?)\s*$", line):
            said.setdefault(match[1], match[2])
    version = re.search(r"v\.?(\d{4}\.\d+)", said.get("Tool Version", ""))
    state = said.get("Design State", "").lower()
    return {
        "tool": "Vivado",
        "version": version[1] if version else None,
        "design": said.get("Design"),
        "part": said.get("Device"),
        "stage": next((name for name in STATES if _stem(name) in state), "synthesised"),
    }


def _stem(state: str) -> str:
    return {"synthesised": "synth", "placed": "placed", "routed": "routed"}[state]


def _hierarchical(text: list[str]) -> Record:
    heads: list[str] = []
    modules: list[Record] = []
    top: Record = {}
    for line in text:
        cells = _cells(line)
        if "Total LUTs" in cells:
            heads = cells
        elif heads and len(cells) == len(heads):
            counts: Record = {}
            for head, cell in zip(heads, cells, strict=True):
                value = number(cell.partition("(")[0].strip())
                if head in COLUMNS and value is not None:
                    counts[COLUMNS[head]] = int(value)
            if "lut" not in counts:
                continue
            tiles = 2 * counts.pop("ramb36", 0) + counts.pop("ramb18", 0)
            counts["bram_18k"] = tiles
            if cells[1] == "(top)":
                top = counts
            elif not cells[0].startswith("("):
                modules.append({"instance": cells[0], "module": cells[1], **counts})
    return {**top, "modules": modules}


def _cells(line: str) -> list[str]:
    stripped = line.strip()
    return [cell.strip() for cell in stripped.strip("|").split("|")] if stripped[:1] == "|" else []


def read_timing(path: Path) -> Record | None:
    """What a ``report_timing_summary`` says; None where the text is none.

    Returns:
        ``wns_ns``, ``tns_ns``, ``whs_ns``, ``clock_target_ns`` (the fastest clock's period),
        ``clock_ns`` (what is reached: the period less the slack), ``stage``, ``part``.
    """
    text = lines(path)
    rows = [index for index, line in enumerate(text) if line.split()[:2] == ["WNS(ns)", "TNS(ns)"]]
    for index in rows:
        if not any("Design Timing Summary" in line for line in text[max(0, index - 6) : index]):
            continue
        row = next(
            (line.split() for line in text[index + 2 : index + 4] if re.match(r"\s*-?\d", line)), []
        )
        if len(row) < 5:
            return None
        slack = number(row[0])
        periods = [
            float(match[1])
            for line in text[:20000]
            if (match := re.match(r"\s*\S+\s+\{[\d. ]+\}\s+(\d+\.\d+)\s+\d+\.\d+\s*$", line))
        ]
        period = min(periods, default=None)
        heading = _heading(text)
        stage = "routed" if "routed" in path.stem else heading["stage"]
        return {
            "wns_ns": slack,
            "tns_ns": number(row[1]),
            "whs_ns": number(row[4]),
            "clock_target_ns": period,
            "clock_ns": round(period - slack, 4) if period and slack is not None else None,
            "stage": stage,
            "part": heading["part"],
        }
    return None


def read_export(path: Path) -> Record | None:
    """What Vitis HLS says of an exported design that Vivado has synthesised or implemented.

    Returns:
        None where the XML is other; else as `read_utilisation`, with ``clock_target_ns``,
        ``clock_ns`` (reached), ``timing_met`` and ``modules``. Its ``BRAM`` counts 18 Kbit ones.

    Raises:
        InputError: it is no well-formed XML.
    """
    root = parse(path)
    counts = root.find("AreaReport/Resources")
    if root.tag != "profile" or counts is None:
        return None
    run = root.findtext("RunData/RUN_TYPE") or ("impl" if "impl" in path.stem else "synth")
    version = re.search(r"\d{4}\.\d+", root.findtext("RunData/VIVADO_VERSION") or "")
    place = root.find("GeneralInfo/item[@NAME='Target device']")
    found: Record = {
        "tool": "Vivado",
        "version": version[0] if version else None,
        "stage": "routed" if run == "impl" else "synthesised",
        "part": place.get("VALUE") if place is not None else None,
        "clock_target_ns": number(root.findtext("TimingReport/TargetClockPeriod")),
        "clock_ns": number(root.findtext("TimingReport/AchievedClockPeriod")),
        "wns_ns": number(root.findtext("TimingReport/WNS_FINAL")),
    }
    met = root.findtext("TimingReport/TIMING_MET")
    if met:
        found["timing_met"] = met.upper() == "TRUE"
    for prefix, group in (("", "Resources"), ("available_", "AvailableResources")):
        for child in root.findall(f"AreaReport/{group}/*"):
            value = number(child.text)
            if child.tag in AREA and value is not None:
                found[prefix + AREA[child.tag]] = value
    modules: list[Record] = []
    for node in root.findall("RtlModules/RtlModule"):
        name = node.get("MODULENAME") or node.get("ORIG_REF_NAME") or ""
        area = node.find("Resources")
        if node.get("DEPTH") == "0":
            found["design"] = name
        elif area is not None:
            own = {AREA[key]: number(value) for key, value in area.attrib.items() if key in AREA}
            modules.append({"instance": node.get("CELL", name), "module": name, **own})
    return {**found, "modules": modules} if "lut" in found else None
