"""Reads a vendor's reports, made elsewhere, back into a report of a run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeflow import artifacts
from edgeflow.errors import EdgeflowError, InputError
from edgeflow.estimate.quantity import Estimate
from edgeflow.report import units
from edgeflow.report.load import NAME, load
from edgeflow.report.schema import VendorSynthesis
from edgeflow.synthesis import vendor_estimates, vendor_reports

PARENTS = 4
"""How far above the reports a report of ours is looked for."""


@dataclass(frozen=True)
class ReadBack:
    """What was read: the vendor's reports (as `report.schema.VendorSynthesis`), and where it went.

    ``report`` is the renewed report of `folder`, in which `target` has the new figures; None where
    there is none.
    """

    synthesis: dict[str, Any]
    report: dict[str, Any] | None = None
    folder: Path | None = None
    target: str | None = None


def read_back(reports: Path, report: Path | None = None, target: str | None = None) -> ReadBack:
    """Read the reports in a folder; where there is a report of ours, renew it and write it.

    Args:
        reports: a project that was synthesised, or a copy of its reports.
        report: folder of a run or its ``report.json``; None to look for one beside `reports` that
            names this project.
        target: which of its targets; None for the one whose part and top function it is.

    Raises:
        InputError: no or damaged reports, no such target, another part or top function than the
            target's, several targets that it may be.
        StoreError: the report cannot be written.
    """
    from edgeflow.report.write import write

    record = vendor_reports.gather(reports)
    place = report or _beside(reports)
    if place is None:
        if target is not None:
            raise InputError(
                f"'--target {target}' needs the report that has this target, and none was found "
                "beside the vendor's reports",
                remedy="name the run's folder after the options",
            )
        remarks = vendor_estimates.remarks(record) + _edits(reports)
        return ReadBack(_checked({**record, "remarks": remarks}))
    folder = place if place.is_dir() else place.parent
    whole = load(place)
    chosen = _choose(whole, record, folder, target)
    entry = whole["targets"][chosen]
    remarks = vendor_estimates.remarks(record) + _edits(reports)
    remarks += _other_project(reports, _project(entry, folder))
    clock = _clock(entry, chosen)
    before = _known(entry, clock)
    after = vendor_estimates.estimates(record, clock)
    rows = vendor_estimates.compare(before, after)
    merged = vendor_estimates.merge(before, after)
    merged |= _power(entry, chosen, merged)
    entry["estimates"] = {name: merged[name].to_json() for name in units.ordered(merged)}
    entry["vendor_synthesis"] = _checked({**record, "comparison": rows, "remarks": remarks})
    write(whole, folder)
    return ReadBack(entry["vendor_synthesis"], whole, folder, chosen)


def _checked(record: dict[str, Any]) -> dict[str, Any]:
    return VendorSynthesis.model_validate(record).model_dump(mode="json")


def _beside(reports: Path) -> Path | None:
    """A report in a folder above that has this project, or one around it, as an artifact."""
    start = reports.resolve()
    for folder in (start, *start.parents[:PARENTS]):
        if not (folder / NAME).is_file():
            continue
        try:
            whole = load(folder)
        except InputError:
            continue  # another program's
        for entry in whole["targets"].values():
            project = _project(entry, folder)
            if project is not None and (project == start or project in start.parents):
                return folder
    return None


def _project(entry: Mapping[str, Any], folder: Path) -> Path | None:
    paths = [path for kind, path in entry["artifacts"].items() if artifacts.is_project(kind)]
    return (folder / paths[0]).resolve() if paths else None


def _choose(
    whole: Mapping[str, Any], record: Mapping[str, Any], folder: Path, target: str | None
) -> str:
    """The target that the vendor's reports are of."""
    entries = whole["targets"]
    if target is not None and target not in entries:
        raise InputError(
            f"the report has no target '{target}'",
            where=str(folder / NAME),
            remedy=f"it has {', '.join(entries)}",
        )
    names = [target] if target else [name for name, one in entries.items() if _is_fpga(one)]
    faults = {name: _mismatch(entries[name], name, whole, record, folder) for name in names}
    fitting = [name for name, fault in faults.items() if fault is None]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise InputError(
            f"the vendor's reports may be of {' or '.join(repr(name) for name in fitting)}",
            where=str(folder / NAME),
            remedy="say which with --target",
        )
    if not names:
        raise InputError("the report has no FPGA target", where=str(folder / NAME))
    raise InputError(
        "the vendor's reports are of another design than this report's",
        where=str(folder / NAME),
        details=[str(fault) for fault in faults.values()],
        remedy="name the report of the run that made the project, or synthesise that project",
    )


def _is_fpga(entry: Mapping[str, Any]) -> bool:
    return "lut" in entry["estimates"] or entry["backend"] in ("hls4ml", "rtl")


def _mismatch(
    entry: Mapping[str, Any],
    name: str,
    whole: Mapping[str, Any],
    record: Mapping[str, Any],
    folder: Path,
) -> str | None:
    """Why the vendor's reports are not of this target; None where nothing says so."""
    part, found = _part(entry, name), record["part"]
    if part and found and not same_part(part, found):
        return f"target '{name}': expected the part {part}, found {found}"
    tops = set(_tops(entry, name, whole, folder))
    top = str(record["top"] or "").removesuffix("_axi")
    if tops and top and top not in tops:
        return (
            f"target '{name}': expected the top function {' or '.join(sorted(tops))}, found {top}"
        )
    return None


def same_part(one: str, other: str) -> bool:
    """Whether two spellings mean one device: ``xc7z020clg400-1``, ``7z020-clg400-1``.

    Intel's reports name the family before it: ``Arria 10, 10AX115U1F45I1SG``.
    """
    first, second = (
        re.sub(r"[^a-z0-9]", "", text.lower()).removeprefix("xc") for text in (one, other)
    )
    return first == second or ("," in other and second.endswith(first))


def _part(entry: Mapping[str, Any], name: str) -> str | None:
    target = _target(entry, name)
    part = entry["options"].get("part") or (target.chip if target else None)
    return str(part) if part else None


def _tops(
    entry: Mapping[str, Any], name: str, whole: Mapping[str, Any], folder: Path
) -> Iterator[str]:
    project = _project(entry, folder)
    script = project / "project.tcl" if project else None
    if script is not None and script.is_file():
        if match := re.search(r'set project_name "(\w+)"', script.read_text(errors="replace")):
            yield match[1]
        return
    if entry["backend"] == "hls4ml":
        from edgeflow.backends.identifiers import c_identifier

        yield c_identifier(entry["options"].get("project") or f"{whole['name']}-{name}")


def _target(entry: Mapping[str, Any], name: str) -> Any:
    from edgeflow import targets

    try:
        return targets.load(entry["target"] or name)
    except EdgeflowError:
        return None  # a target file of another machine


def _clock(entry: Mapping[str, Any], name: str) -> float | None:
    target = _target(entry, name)
    given = entry["options"].get("clock_mhz") or (target.clock_mhz if target else None)
    return float(given) if given else None


def _known(entry: Mapping[str, Any], clock_mhz: float | None) -> dict[str, Estimate]:
    """The target's estimates as they were before a vendor's reports were read into it."""
    now = {
        quantity: Estimate.from_json(_plain(one))
        for quantity, one in entry["estimates"].items()
        if not quantity.endswith(("_hls", "_board"))
    }
    if earlier := entry["vendor_synthesis"]:
        said = vendor_estimates.estimates(earlier, clock_mhz)
        now = {quantity: one for quantity, one in now.items() if said.get(quantity) != one}
        for row in earlier["comparison"]:
            now[row["quantity"]] = Estimate.from_json(_plain(row["predicted"]))
    return now


def _plain(one: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("value", "low", "high", "unit", "method", "source", "reason")
    return {key: one[key] for key in keys if key in one}


def _power(
    entry: Mapping[str, Any], name: str, known: Mapping[str, Estimate]
) -> dict[str, Estimate]:
    """Power and energy anew from the counts that were synthesised; not where it was measured."""
    from edgeflow.estimate import energy

    target = _target(entry, name)
    if target is None or target.kind != "fpga" or "latency" not in known:
        return {}
    found = energy.fpga_power(target, None, _clock(entry, name), known, known["latency"])
    return {
        quantity: one
        for quantity, one in found.items()
        if quantity not in known or known[quantity].method == "model"
    }


def _edits(reports: Path) -> list[str]:
    changed = artifacts.work(reports).changed
    if not changed:
        return []
    shown = ", ".join(changed[:5]) + (" …" if len(changed) > 5 else "")
    return [f"the project was edited after edgeflow made it ({shown}): so are these figures"]


def _other_project(reports: Path, project: Path | None) -> list[str]:
    """Whether the manifests of two copies of a project differ."""
    if project is None or project == reports.resolve():
        return []
    try:
        one, other = (
            json.loads((place / artifacts.MANIFEST).read_text())["files"]
            for place in (reports, project)
        )
    except (OSError, ValueError, KeyError, TypeError):
        return []
    if one == other:
        return []
    return ["the synthesised project is not the one beside this report: it was compiled anew since"]
