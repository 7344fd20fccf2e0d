"""Write docs/accuracy.md: how far the estimates were off on groups left out.

Every calibration writes, in its file in ``edgeflow/estimate/coefficients``, what
`edgeflow.estimate.conformal.accuracy` found (``accuracy``) and what limits it (``limits``).

Run: python docs/accuracy.py
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

import edgeflow

COEFFICIENTS = Path(edgeflow.__file__).parent / "estimate" / "coefficients"

TITLES = {
    "hls_resources": "FPGA: resources of hls4ml designs before synthesis",
    "hls_logic": "FPGA: resources of hls4ml designs after logic synthesis",
    "hls_latency": "FPGA: cycles of hls4ml designs before synthesis",
    "mcu": "Microcontrollers and small NPUs: latency",
    "mcu_memory": "Microcontrollers: RAM and flash",
    "power": "Power and energy",
    "edge_tpu": "Edge TPU",
    "linux": "Linux boards",
    "ethos_u": "Ethos-U",
    "tpu": "Cloud TPU",
}
"""The files in the order in which they are shown; others follow by name."""

HEAD = """\
# Accuracy of the estimates

Written by `docs/accuracy.py` from the record that each calibration keeps
(`edgeflow/estimate/coefficients`). How to read it:

- Every row was predicted by coefficients fitted **without its group** (a repository's owner, a
  board, a benchmark, a family of shapes): what was left out is said with the data.
- *median error*: half of the rows are nearer to the truth than this. *within 2x*: the share of
  rows off by less than a factor of 2. *worst*: the largest factor.
- *goal*: what was set out to be reached, before anything was fitted, and whether it was.
- *band*: the estimate's 90 % band goes from the value divided by this to the value times this,
  found by conformal prediction over groups. *held*: how often a band that came from the other
  groups alone held the truth; the goal for all bands is 85 to 95 %.
- Alternatives predict the same rows: MACs only (a rate per MAC), operation counting with
  Horowitz' energies (as QKeras' qenergy does), and rule4ml, a learned predictor of HLS reports.
- Forms of terms were chosen while looking at these data, as calibrations say: data of a new
  origin will do somewhat worse than what was left out here.
"""


def records() -> dict[str, Mapping[str, Any]]:
    """Each coefficients file that has a record of its errors, by its name."""
    found = {}
    for path in sorted(COEFFICIENTS.iterdir()):
        if path.suffix == ".json":
            record = json.loads(path.read_text())
        elif path.suffix in (".yaml", ".yml"):
            record = yaml.safe_load(path.read_text())
        else:
            continue
        if isinstance(record, dict) and record.get("accuracy"):
            found[path.stem] = record
    order = {name: place for place, name in enumerate(TITLES)}
    return dict(sorted(found.items(), key=lambda item: (order.get(item[0], len(order)), item[0])))


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for name, record in records().items():
        parts.append(section(name, record))
    return "\n".join(parts)


def section(name: str, record: Mapping[str, Any]) -> str:
    """One calibration: its errors, its alternatives' and its limits."""
    rows: Sequence[Mapping[str, Any]] = record["accuracy"]
    lines = [f"## {TITLES.get(name, name.replace('_', ' '))}", ""]
    if record.get("source"):
        lines += [f"Data: {_sentence(record['source'])}", ""]
    lines += [
        "| quantity | on, and what was left out | goal | rows (groups) | median error | within 2x "
        "| worst | band | held |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_row(row) for row in rows]
    names = list(dict.fromkeys(other for row in rows for other in row.get("alternatives", ())))
    if names:
        lines += ["", "Beside other ways, on the same rows (median error, within 2x):", ""]
        lines += [
            f"| quantity | on | ours | {' | '.join(names)} |",
            f"|---|---|---|{'---|' * len(names)}",
        ]
        lines += [_beside(row, names) for row in rows if row.get("alternatives")]
    limits = record.get("limits")
    if limits:
        lines += ["", "What limits it, and what would help:", ""]
        lines += [f"- {_sentence(text)}" for text in limits]
    return "\n".join(lines) + "\n"


def _row(row: Mapping[str, Any]) -> str:
    share = row["held"] / row["held_of"] if row["held_of"] else None
    held = "–" if share is None else f"{_percent(share)} of {row['held_of']}"
    return (
        f"| {_cell(row['quantity'])} | {_cell(row['designs'])} | {_goal(row)} | "
        f"{row['rows']} ({row['groups']}) | {_percent(row['median_error'])} | "
        f"{_percent(row['within_2x'])} | {row['worst_factor']:.3g} | {row['band']:g} | {held} |"
    )


MEDIAN = re.compile(r"median (\d+) %|(\d+) % median|^(\d+) %")
WITHIN = re.compile(r"(\d+) % within 2x|(all) within 2x")


def _goal(row: Mapping[str, Any]) -> str:
    """What was to be reached, and whether it was."""
    goal = str(row["goal"])
    if not goal:
        return "–"
    if "with the" in goal:  # of a whole of which this row is a part
        return _cell(goal)
    asked = [
        next(filter(None, found.groups())) if (found := pattern.search(goal)) else None
        for pattern in (MEDIAN, WITHIN)
    ]
    limits = [None if text is None else 1.0 if text == "all" else int(text) / 100 for text in asked]
    most, least = limits
    # A median is missing where no truth is other than 0: then it cannot be judged.
    missed = most is not None and row["median_error"] is not None and row["median_error"] > most
    missed = missed or (least is not None and row["within_2x"] < least)
    return f"{_cell(goal)}: {'**missed**' if missed else 'reached'}"


def _beside(row: Mapping[str, Any], names: Sequence[str]) -> str:
    others = [_errors(row["alternatives"].get(name)) for name in names]
    return (
        f"| {_cell(row['quantity'])} | {_cell(row['designs'])} | {_errors(row)} | "
        f"{' | '.join(others)} |"
    )


def _errors(row: Mapping[str, Any] | None) -> str:
    if row is None or not row["rows"]:
        return "–"
    return f"{_percent(row['median_error'])}, {_percent(row['within_2x'])} (of {row['rows']})"


def _percent(value: float | None) -> str:
    if value is None:
        return "–"
    digits = 1 if 0 < value < 0.1 or 0.8 < value < 1 else 0
    return f"{100 * value:.{digits}f} %"


def _cell(text: str) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")


def _sentence(text: str) -> str:
    text = str(text).strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(page())
