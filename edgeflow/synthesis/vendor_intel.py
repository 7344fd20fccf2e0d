"""Reports of Intel's HLS compiler (``i++``), oneAPI's and Quartus.

``report_data.js``, ``verification_data.js`` and ``quartus_data.js`` of an ``….prj/reports/lib``,
the ``.ndjson`` files of newer releases, and Quartus' ``….fit.summary``. Standard library alone.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from edgeflow.errors import InputError
from edgeflow.synthesis.vendor_hls import lines, number

Record = dict[str, Any]

HLS_COLUMNS: Final = ("alut", "ff", "ram", "dsp", "mlab")
"""The order in ``areaJSON.total`` of ``i++``."""

FITTED: Final = {
    "alm": "alm",
    "alut": "alut",
    "reg": "ff",
    "dsp": "dsp",
    "ram": "ram",
    "mlab": "mlab",
}
"""Quartus' words in its JSON, and ours; ``ram`` counts M20K or M10K blocks."""

SUMMARY: Final = {
    "Logic utilization (in ALMs)": "alm",
    "Total registers": "ff",
    "Total dedicated logic registers": "ff",
    "Total DSP Blocks": "dsp",
    "Total RAM Blocks": "ram",
}
"""Rows of ``….fit.summary``."""


def variables(path: Path) -> Record:
    """The variables of a report's JavaScript file: JSON objects, or JSON in quotes.

    Raises:
        InputError: a value is no JSON.
    """
    text = "\n".join(lines(path))
    found: Record = {}
    for match in re.finditer(r"(?:^|;|\n)\s*var\s+(\w+)\s*=\s*", text):
        rest = text[match.end() :]
        try:
            if rest[:1] == "'":
                quoted = re.match(r"'((?:[^'\\]|\\.)*)'", rest, re.DOTALL)
                rest = re.sub(r"\\(['\\])", r"\1", quoted[1]) if quoted else ""
            found[match[1]] = json.JSONDecoder().raw_decode(rest)[0]
        except (ValueError, RecursionError) as error:
            if match[1] in ("areaJSON", "verifJSON", "quartusJSON"):
                raise InputError(
                    f"expected JSON in the variable '{match[1]}', found other text ({error})",
                    where=str(path),
                    remedy="the file was cut short or damaged: copy it again",
                ) from None
    return found


def read_area(path: Path) -> Record | None:
    """The HLS compiler's estimate in ``report_data.js``: ``alut``, ``ff``, ``ram``, ``dsp``, …"""
    said = variables(path)
    area = said.get("areaJSON")
    if not isinstance(area, dict) or not isinstance(area.get("total"), list):
        return None
    version = None
    device = None
    for row in _rows(said.get("infoJSON")):
        text = str((row.get("data") or [""])[0])
        if "Quartus Version" in str(row.get("name")):
            version = text.partition(" ")[0]
        if "Device" in str(row.get("name")):
            device = text
    found: Record = {"tool": "Intel HLS compiler", "version": version, "part": device}
    for prefix, key in (("", "total"), ("available_", "max_resources")):
        for name, value in zip(HLS_COLUMNS, area.get(key) or (), strict=False):
            found[prefix + name] = value
    return found


def _rows(info: Any) -> list[dict[str, Any]]:
    rows = info.get("rows") if isinstance(info, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def read_verification(path: Path) -> Record | None:
    """The co-simulation in ``verification_data.js``: ``latency_cycles``, ``ii``, ``inputs``."""
    functions = (variables(path).get("verifJSON") or {}).get("functions") or []
    data = functions[0].get("data") if functions else None
    if not isinstance(data, list) or len(data) < 3:
        return None
    return {
        "rtl": "verilog",
        "passed": True,
        "inputs": number(str(data[0])),
        "latency_cycles": _ends(str(data[1])),
        "ii": _ends(str(data[2])),
    }


def _ends(text: str) -> list[float] | None:
    """``least,most,mean`` as [least, most]."""
    values = [number(part.strip()) for part in text.split(",")[:2]]
    known = [value for value in values if value is not None]
    return sorted(known) if len(known) == 2 else None


def read_quartus(path: Path) -> Record | None:
    """What Quartus' fitter made of it: ``quartus_data.js``, ``quartus.json`` or ``….ndjson``.

    Returns:
        ``alm``, ``ff``, ``dsp``, ``ram``, ``mlab``, ``clock_ns``; None where it did not run (its
        figures say ``TBD``).

    Raises:
        InputError: it is no JSON.
    """
    if path.suffix == ".js":
        said = variables(path).get("quartusJSON") or {}
    else:
        said = {}
        try:
            text = "\n".join(lines(path))
            parts = [text] if path.suffix == ".json" else text.splitlines()
            for part in parts:
                if part.strip():
                    said.update(json.loads(part))
        except (ValueError, TypeError, RecursionError) as error:
            raise InputError(f"expected JSON: {error}", where=str(path)) from None
    nodes = (said.get("quartusFitResourceUsageSummary") or {}).get("nodes") or []
    whole = next((node for node in nodes if node.get("type") == "system"), nodes[-1:] or None)
    whole = whole[0] if isinstance(whole, list) else whole
    if not whole or number(str(whole.get("alm"))) is None:
        return None
    clocks = ((said.get("quartusFitClockSummary") or {}).get("nodes") or [{}])[0]
    names = ("clock", "clock fmax", "clock1x", "kernel clock")
    mhz = next((value for name in names if (value := number(str(clocks.get(name))))), None)
    counts = {
        ours: number(str(whole[theirs])) for theirs, ours in FITTED.items() if theirs in whole
    }
    return {
        "tool": "Quartus",
        "version": None,
        "stage": "routed",
        "clock_ns": round(1000 / mhz, 4) if mhz else None,
        **{name: value for name, value in counts.items() if value is not None},
    }


def read_fit_summary(path: Path) -> Record | None:
    """Quartus' ``….fit.summary``; None where it did not come to its end."""
    said = {
        name.strip(): value.strip()
        for name, colon, value in (line.partition(" : ") for line in lines(path))
        if colon
    }
    found: Record = {}
    for row, name in SUMMARY.items():
        used, _, free = said.get(row, "").partition("/")
        value = number(used.strip())
        if value is not None:
            found[name] = value
            available = number(free.partition("(")[0].strip())
            if available is not None:
                found["available_" + name] = available
    if "alm" not in found:
        return None
    version = re.match(r"[\d.]+", said.get("Quartus Prime Version", ""))
    return {
        "tool": "Quartus",
        "version": version[0] if version else None,
        "stage": "routed",
        "part": said.get("Device"),
        "design": said.get("Top-level Entity Name"),
        **found,
    }
