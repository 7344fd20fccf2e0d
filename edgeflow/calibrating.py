"""Corrections of the estimates from a user's table of measurements (`edgeflow calibrate`).

The table is CSV with a header. A row is one measurement of one model on one target:
    ``model``: a model, Network JSON or hls4ml project, as a path from the table's own folder;
    ``target``: its name or file; ``runtime``, ``clock_mhz``, ``set`` (KEY=VALUE;KEY=VALUE): as
    `edgeflow estimate` takes them, may be empty; and one or more of `COLUMNS`.
Columns that begin with ``#`` or are called ``note`` are left alone.
"""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

import yaml

from edgeflow import estimating, subject, validation
from edgeflow.corrections import Calibrated, Key, Measured, fit
from edgeflow.errors import DataError, EdgeflowError
from edgeflow.estimate.quantity import Estimate
from edgeflow.jobs import Runner

COLUMNS: Final = {
    "latency_s": "latency",
    "latency_cycles": "latency_cycles",
    "ii": "ii",
    "power_w": "power",
    "chip_power_w": "chip_power",
    "energy_j": "energy_per_inference",
    "chip_energy_j": "chip_energy_per_inference",
    "lut": "lut",
    "ff": "ff",
    "dsp": "dsp",
    "bram_18k": "bram_18k",
    "uram": "uram",
    "ram_b": "ram",
    "flash_b": "flash",
}
"""Columns of measurements, with the quantity that each is."""

PLAIN: Final = ("model", "target", "runtime", "clock_mhz", "set", "note")
MOST: Final = 100_000


def calibrate(table: Path, runner: Callable[[], AbstractContextManager[Runner]]) -> Calibrated:
    """Corrections from a table of measurements.

    Args:
        table: the CSV file.
        runner: where models' front ends run.

    Raises:
        DataError: faults of the table, each with its line.
        EdgeflowError: a model or target cannot be read.
    """
    rows = _rows(table)
    subjects: dict[Path, subject.Subject] = {}
    measured: list[Measured] = []
    faults, notes = [], []
    for line, row in rows:
        path = table.parent / row["model"]
        try:
            if path not in subjects:
                subjects[path] = subject.read([path], runner)
            found = _estimated(row, subjects[path])
        except EdgeflowError as error:
            faults.append(
                f"line {line}: {error.where + ': ' if error.where else ''}{error.message}"
            )
            continue
        asked, estimates = found
        for column, quantity in COLUMNS.items():
            truth = row.get(column)
            if truth is None or truth == "":
                continue
            figure = estimates.get(quantity)
            if figure is None or not figure.value:
                why = figure.reason if figure is not None else "it has no such figure"
                notes.append(f"line {line}: {column} is not used: no estimate of it ({why})")
                continue
            runtime = asked.target.settings.get("runtime")
            measured.append(
                Measured(
                    asked.target.name, str(runtime) if runtime else None, quantity, str(path),
                    float(truth), figure, float(subjects[path].network.totals.macs),
                )
            )  # fmt: skip
    if faults:
        raise DataError("the table has faults", where=str(table), details=faults)
    if not measured:
        raise DataError(
            "no row could be compared with an estimate", where=str(table), details=notes
        )
    corrections = fit(measured, table.name)
    before, after = _errors(measured, table.name)
    return Calibrated(corrections, before, after, notes)


def _errors(rows: list[Measured], source: str) -> tuple[dict[Key, float], dict[Key, float | None]]:
    """Median relative errors before and after, each model corrected by the others alone."""
    before: dict[Key, list[float]] = {}
    after: dict[Key, list[float]] = {}
    for row in rows:
        key = (row.target, row.runtime, row.quantity)
        value = float(row.estimate.value or 0.0)
        before.setdefault(key, []).append(abs(value - row.truth) / row.truth)
        others = [
            one for one in rows
            if (one.target, one.runtime, one.quantity) == key and one.group != row.group
        ]  # fmt: skip
        if others:
            factor = fit(others, source)[0].factor
            after.setdefault(key, []).append(abs(value * factor - row.truth) / row.truth)
    return (
        {key: statistics.median(errors) for key, errors in before.items()},
        {key: statistics.median(after[key]) if key in after else None for key in before},
    )


def _estimated(
    row: Mapping[str, str], what: subject.Subject
) -> tuple[estimating.Asked, dict[str, Estimate]]:
    """The estimates for a row, without corrections."""
    settings: dict[str, Any] = {}
    for item in filter(None, (part.strip() for part in (row.get("set") or "").split(";"))):
        key, equals, text = item.partition("=")
        if not equals:
            raise DataError(f"expected KEY=VALUE in 'set', found '{item}'")
        try:
            settings[key.strip()] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise DataError(f"the value of '{key.strip()}' in 'set' is not YAML: {text}") from None
    question = estimating.Question(
        clock_mhz=float(row["clock_mhz"]) if row.get("clock_mhz") else None,
        runtime=row.get("runtime") or None,
        settings=settings,
    )
    asked = estimating.settle(estimating.ask([row["target"]], question)[0], what)
    return asked, estimating.figures(asked, what)


def _rows(table: Path) -> list[tuple[int, dict[str, str]]]:
    """The rows with their lines, checked.

    Raises:
        DataError: naming every fault with its line.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            header = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = header
            faults = _header_faults(header)
            rows: list[tuple[int, dict[str, str]]] = []
            for row in reader:
                if len(rows) >= MOST:
                    faults.append(f"expected at most {MOST:,} rows")
                    break
                faults += _row_faults(reader.line_num, row)
                plain = {key: (value or "").strip() for key, value in row.items() if key}
                rows.append((reader.line_num, plain))
    except OSError as error:
        raise DataError(f"cannot read the table: {error.strerror}", where=str(table)) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"expected CSV in UTF-8: {error}", where=str(table)) from None
    if not faults and not rows:
        faults = ["it has no rows"]
    if faults:
        raise DataError(
            "the table has faults", where=str(table), details=faults[:50],
            remedy="docs/estimates.md has its columns",
        )  # fmt: skip
    return rows


def _header_faults(header: list[str]) -> list[str]:
    known = (*PLAIN, *COLUMNS)
    faults = [
        f"line 1: unknown column '{name}' ({validation.suggest(name, known)})"
        for name in header
        if name not in known and not name.startswith("#") and name
    ]
    faults += [
        f"line 1: the column '{name}' is missing" for name in PLAIN[:2] if name not in header
    ]
    if not any(name in COLUMNS for name in header):
        faults.append(f"line 1: no column is a measurement: one of {', '.join(COLUMNS)}")
    return faults


def _row_faults(line: int, row: Mapping[str | None, Any]) -> list[str]:
    faults = []
    if None in row:
        return [f"line {line}: more values than columns"]
    for name in PLAIN[:2]:
        if name in row and not (row[name] or "").strip():
            faults.append(f"line {line}: '{name}' is empty")
    for name in (*COLUMNS, "clock_mhz"):
        text = (row.get(name) or "").strip()
        if not text:
            continue
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        # A design may have no DSPs: such a row says nothing of a factor.
        if not (math.isfinite(number) and number > 0):
            faults.append(f"line {line}: expected a number above 0 for '{name}', found '{text}'")
    if not any((row.get(name) or "").strip() for name in COLUMNS):
        faults.append(f"line {line}: no measurement")
    return faults
