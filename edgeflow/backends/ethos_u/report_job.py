"""Vela's own list of the operators that it can place on the NPU, as data."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from edgeflow.errors import JobError

FAMILIES = {"Ethos-U55 and Ethos-U65": "u55_u65", "Ethos-U85": "u85"}
HEADING = re.compile(r"^#+ (?P<family>Ethos-U\S+(?: and Ethos-U\S+)?) TFLite (?P<what>.+)$")
ROW = re.compile(r"^\| (?P<kind>[A-Z0-9_]+) \|")


def supported(
    inputs: dict[str, Path], params: dict[str, Any], output: Path, progress: Any
) -> dict[str, Any]:
    """Run ``vela --supported-ops-report``: ``supported_ops.json``, see `parse`.

    Raises:
        JobError: Vela failed.
    """
    del inputs, params, progress
    command = [sys.executable, "-m", "ethosu.vela", "--supported-ops-report"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    report = Path("SUPPORTED_OPS.md")
    if done.returncode != 0 or not report.is_file():
        raise JobError("Vela gave no report", details=(done.stdout + done.stderr).splitlines()[-3:])
    found = parse(report.read_text())
    (output / "supported_ops.json").write_text(json.dumps(found, indent=1) + "\n")
    return {"version": found["version"]}


def parse(text: str) -> dict[str, Any]:
    """The report as data.

    Returns:
        ``version`` and, by family (``u55_u65``, ``u85``): ``generic``, the constraints on most
        operators, and ``operators``, those on each operator that can be placed at all. Lines that
        belong to the one above begin with two spaces for each level.
    """
    version = re.search(r"Vela version: `([^`]+)`", text)
    found: dict[str, Any] = {"version": version[1] if version else None}
    found |= {name: {"generic": [], "operators": {}} for name in FAMILIES.values()}
    family: dict[str, Any] | None = None
    place: list[str] | None = None
    for line in text.splitlines():
        if line.startswith("#"):
            heading = HEADING.match(line)
            family = found[FAMILIES[heading["family"]]] if heading else None
            place = None
            if heading and heading["what"] == "Generic Constraints":
                place = found[FAMILIES[heading["family"]]]["generic"]
            elif heading and heading["what"].endswith(" Constraints"):
                assert family is not None
                kind = heading["what"].removesuffix(" Constraints")
                place = family["operators"].setdefault(kind, [])
        elif family is not None and (row := ROW.match(line)):
            family["operators"].setdefault(row["kind"], [])
        elif place is not None and (words := line.strip()).startswith("- "):
            indent = (len(line) - len(line.lstrip())) // 2
            place.append("  " * indent + words.removeprefix("- "))
    return found
