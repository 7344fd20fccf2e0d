"""Reports of Vivado HLS and Vitis HLS: ``csynth.xml`` and the co-simulation's.

Their forms are those of releases 2018 to 2024. Standard library alone: jobs import it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

from edgeflow.errors import InputError

LIMIT: Final = 200_000_000
"""Bytes; a report of a large design has some 10 MB."""

AREA: Final = {
    "LUT": "lut", "FF": "ff", "DSP": "dsp", "DSP48E": "dsp", "BRAM_18K": "bram_18k",
    "BRAM": "bram_18k", "URAM": "uram", "SRL": "srl",
}  # fmt: skip
"""Their words for resources (``BRAM`` counts halves too, see `vendor_vivado`), and ours."""

Record = dict[str, Any]


def parse(path: Path) -> ElementTree.Element:
    """An XML report.

    Raises:
        InputError: it cannot be read, is too large, or is no well-formed XML.
    """
    try:
        if path.stat().st_size > LIMIT:
            raise InputError(
                f"expected a report, found more than {LIMIT // 10**6} MB", where=str(path)
            )
        with path.open("rb") as stream:
            if b"<!DOCTYPE" in stream.read(4096):
                raise InputError(
                    "a vendor's report has no document type, this file has one", where=str(path)
                )
        return ElementTree.parse(path).getroot()  # noqa: S314 - no declarations, see above
    except OSError as error:
        raise InputError(f"cannot read the report: {error.strerror}", where=str(path)) from None
    except ElementTree.ParseError as error:
        raise InputError(
            f"expected an XML report, found text that is none ({error})",
            where=str(path),
            remedy="the file was cut short or damaged: copy it again, or synthesise again",
        ) from None


def read_csynth(path: Path) -> Record:
    """What one ``…_csynth.xml`` says of the whole design or of one module.

    Returns:
        ``top``, ``version``, ``part``, ``clock_target_ns``, ``clock_ns`` (estimated),
        ``latency_cycles`` and ``ii`` as [best, worst] or None where it depends on data, and the
        counts ``lut``, ``ff``, ``dsp``, ``bram_18k``, ``uram``, each with ``available_…``.

    Raises:
        InputError: as `parse`, or it is other XML.
    """
    root = parse(path)
    assigned = root.find("UserAssignments")
    found: Record = {
        "top": _text(root, "UserAssignments/TopModelName"),
        "version": _text(root, "ReportVersion/Version"),
        "part": _text(root, "UserAssignments/Part"),
        "clock_target_ns": number(_text(root, "UserAssignments/TargetClockPeriod")),
        **_figures(root),
    }
    for child in root.findall("AreaEstimates/AvailableResources/*"):
        if child.tag in AREA:
            found["available_" + AREA[child.tag]] = number(child.text)
    if assigned is None or found["clock_ns"] is None or "lut" not in found:
        raise InputError(
            "expected an HLS synthesis report, found other XML",
            where=str(path),
            remedy="read the tool's log: it ended before its report",
        )
    return found


def read_modules(path: Path) -> dict[str, Record]:
    """The modules in the report of a whole design (``csynth.xml`` of Vitis HLS), by name."""
    return {
        str(module.findtext("Name")): _figures(module)
        for module in parse(path).findall("ModuleInformation/Module")
    }


def _figures(node: ElementTree.Element) -> Record:
    overall = "PerformanceEstimates/SummaryOfOverallLatency"
    clock = "PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod"
    interval = _pair(_text(node, f"{overall}/Interval-min"), _text(node, f"{overall}/Interval-max"))
    single = _text(node, f"{overall}/PipelineInitiationInterval")
    found: Record = {
        "clock_ns": number(_text(node, clock)),
        "latency_cycles": _pair(
            _text(node, f"{overall}/Best-caseLatency"), _text(node, f"{overall}/Worst-caseLatency")
        ),
        "ii": interval or _pair(single, single),
    }
    for child in node.findall("AreaEstimates/Resources/*"):
        if child.tag in AREA:
            found[AREA[child.tag]] = number(child.text)
    return found


def read_cosim(path: Path) -> Record | None:
    """What a ``…_cosim.rpt`` says; None where nothing was simulated.

    Returns:
        ``rtl`` (verilog or vhdl), ``passed``, and ``latency_cycles`` and ``ii`` as [least, most],
        None where unknown (one input alone has no interval).
    """
    for line in _lines(path):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) < 8 or cells[0].lower() not in ("verilog", "vhdl") or cells[1] == "NA":
            continue
        return {
            "rtl": cells[0].lower(),
            "passed": cells[1].lower() == "pass",
            "latency_cycles": _pair(cells[2], cells[4]),
            "ii": _pair(cells[5], cells[7]),
        }
    return None


def read_transactions(path: Path) -> Record:
    """Latency and interval of each input, from ``…performance.result.transaction.xml``."""
    rows = [
        (int(match[1]), number(match[2]))
        for line in _lines(path)
        if (match := re.search(r"transaction\s+\d+\s*:\s*(\d+)\s+(\w+)", line))
    ]
    latencies, intervals = [row[0] for row in rows], [row[1] for row in rows if row[1] is not None]
    return {
        "inputs": len(rows),
        "latency_cycles": [min(latencies), max(latencies)] if latencies else None,
        "ii": [min(intervals), max(intervals)] if intervals else None,
    }


def layers_of(source: Path) -> dict[int, str]:
    """hls4ml's layers by their number, from the comments in the network's C++ function."""
    found: dict[int, str] = {}
    for line in _lines(source):
        match = re.search(r"config(\d+)\w*\s*[>,].*;\s*//\s*(\S+)\s*$", line)
        if match:
            found[int(match[1])] = match[2]
    return found


def layer_number(module: str) -> int | None:
    """The number of the layer that a module computes: the last ``config…`` in its name."""
    numbers = re.findall(r"config(\d+)", module)
    return int(numbers[-1]) if numbers else None


def number(text: str | None) -> float | None:
    """A count or a time; None for ``undef``, ``-``, ``NA``, ``~0``, ``x``."""
    try:
        value = float((text or "").replace(",", ""))
    except ValueError:
        return None
    return int(value) if value.is_integer() else value


def _text(node: ElementTree.Element, place: str) -> str | None:
    return node.findtext(place)


def _pair(low: str | None, high: str | None) -> list[float] | None:
    ends = number(low), number(high)
    return None if ends[0] is None or ends[1] is None else sorted([ends[0], ends[1]])


def _lines(path: Path) -> list[str]:
    try:
        if path.stat().st_size > LIMIT:
            raise InputError(
                f"expected a report, found more than {LIMIT // 10**6} MB", where=str(path)
            )
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise InputError(f"cannot read the report: {error.strerror}", where=str(path)) from None


lines = _lines
