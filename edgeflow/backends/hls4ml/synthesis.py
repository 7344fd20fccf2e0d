"""The vendor's HLS tools: which one is there, and what its report says. Standard library alone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from edgeflow.errors import ToolError

TOOLS = {
    "vitis": (
        ("vitis-run", ("--mode", "hls", "--tcl", "build_prj.tcl")),
        ("vitis_hls", ("-f", "build_prj.tcl")),
    ),
    "vivado": (("vivado_hls", ("-f", "build_prj.tcl")),),
}
"""The programs that synthesise a project, the newest first, and their arguments."""

AREA = {
    "LUT": "lut",
    "FF": "ff",
    "DSP": "dsp",
    "DSP48E": "dsp",
    "BRAM_18K": "bram_18k",
    "URAM": "uram",
}


def find_tool(compiler: str) -> list[str] | None:
    """The command that synthesises a project in the current folder; None without a tool."""
    for program, arguments in TOOLS.get(compiler, ()):
        if found := shutil.which(program):
            return [found, *arguments]
    return None


def report_path(project: Path, name: str) -> Path:
    """Where the tool leaves its report."""
    return project / f"{name}_prj" / "solution1" / "syn" / "report" / f"{name}_csynth.xml"


def read_report(path: Path) -> dict[str, Any]:
    """What a ``csynth.xml`` says.

    Returns:
        ``version``, ``part``, ``clock_target_ns``, ``clock_ns`` (estimated),
        ``latency_cycles`` and ``ii`` as [best, worst] or None where it depends on data, and counts
        ``lut``, ``ff``, ``dsp``, ``bram_18k``, ``uram``, each with ``available_…``.

    Raises:
        ToolError: the file is missing or is no such report.
    """
    try:
        if os.path.getsize(path) > 50_000_000:
            raise ToolError("expected a report, found more than 50 MB", where=str(path))
        root = ElementTree.parse(path).getroot()  # noqa: S314 - expat has no external entities
    except (OSError, ElementTree.ParseError) as error:
        raise ToolError(
            f"cannot read the synthesis report: {error}",
            where=str(path),
            remedy="read the tool's log: it ended before its report",
        ) from None

    def text(place: str) -> str | None:
        return root.findtext(place)

    timing = "PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod"
    overall = "PerformanceEstimates/SummaryOfOverallLatency"
    found: dict[str, Any] = {
        "version": text("ReportVersion/Version"),
        "part": text("UserAssignments/Part"),
        "clock_target_ns": _number(text("UserAssignments/TargetClockPeriod")),
        "clock_ns": _number(text(timing)),
        "latency_cycles": _pair(
            text(f"{overall}/Best-caseLatency"), text(f"{overall}/Worst-caseLatency")
        ),
        "ii": _pair(text(f"{overall}/Interval-min"), text(f"{overall}/Interval-max")),
    }
    for group, prefix in (("Resources", ""), ("AvailableResources", "available_")):
        for child in root.findall(f"AreaEstimates/{group}/*"):
            if child.tag in AREA:
                found[prefix + AREA[child.tag]] = _number(child.text)
    if found["clock_ns"] is None or "lut" not in found:
        raise ToolError(
            "expected an HLS synthesis report, found other XML",
            where=str(path),
            remedy="read the tool's log: it ended before its report",
        )
    return found


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None  # 'undef', '-', '~0'
    return int(value) if value.is_integer() else value


def _pair(low: str | None, high: str | None) -> list[float] | None:
    pair = [_number(low), _number(high)]
    return None if None in pair else [value for value in pair if value is not None]
