"""Artifacts: from the store, which never changes, to the folders that the user sees.

A project (a kind such as ``hls_project`` or ``rtl_design``) is a folder in which a user and a
vendor's tool work on. A manifest of hashes in it (`MANIFEST`) tells later what of it is generated,
what was edited, what was added, and what a tool left; nobody's work is overwritten unasked.
"""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import itertools
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeflow.errors import StoreError

PROJECT = "hls_project"
"""The kind of artifact that is an HLS project."""

MARK = "hls4ml_config.yml"
"""A file that every HLS project has."""

MANIFEST = ".edgeflow-manifest.json"
FORMAT = "edgeflow.manifest/1"

SCRAP = (
    "__pycache__", "obj_dir", "*.pyc", "*.o", "*.so", "testbench", "a.out", "csim_results.log",
)  # fmt: skip
"""What a test leaves: nobody misses it."""

BY_TOOL = (
    "*_prj", "*.prj", "solution[0-9]*", "*_vivado_accelerator", "xo_files", "xclbin_files",
    ".Xil", ".autopilot", "_x", "Catapult*", "logs", "*-fpga", "*.log", "*.jou", "*.rpt", "*.pb",
    "*.str", "*.vcd", "*.wdb", "*.bit", "*.hwh", "*.xclbin", "*.dcp", "vitis-comp.json",
)  # fmt: skip
"""What vendors' tools leave: no edit, but hours of work."""


def is_project(kind: str) -> bool:
    """Whether a kind of artifact is a project, with its own place; a target has one at most."""
    return kind.endswith("_project") or kind == "rtl_design"


@dataclass(frozen=True)
class Work:
    """What happened in a project since it was placed; paths in it, sorted.

    ``by_tool`` names what tools left (folders as a whole). ``known``: whether it has a manifest.
    """

    changed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    by_tool: tuple[str, ...] = ()
    known: bool = True


def work(project: Path) -> Work:
    """Compare a project with its manifest."""
    try:
        record: dict[str, Any] = json.loads((project / MANIFEST).read_text())
        files: dict[str, str] = dict(record["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return Work(known=False)
    found: dict[str, list[str]] = {"changed": [], "added": [], "by_tool": []}
    for name in _walk(project):
        path = project / name
        if name in files:
            if not path.is_file() or _digest(path) != files[name]:
                found["changed"].append(name)
        elif name != MANIFEST and not _matches(name, SCRAP):
            found["by_tool" if _matches(name, BY_TOOL) else "added"].append(name)
    changed, added, by_tool = (tuple(sorted(names)) for names in found.values())
    return Work(changed, added, by_tool)


def refuse_foreign(project: Path) -> None:
    """See that a folder may be replaced by a project: new, empty, or an earlier project.

    Raises:
        StoreError: it is a file, or holds something else, which would be lost.
    """
    if not project.exists() or _is_project_folder(project):
        return
    if not project.is_dir() or any(project.iterdir()):
        raise StoreError(
            "this is no project of edgeflow's, and one would replace it",
            where=str(project),
            remedy="choose another folder ('project' in the recipe), or move this one",
        )


def refuse_edited(project: Path, force: bool = False) -> None:
    """See that nobody has edited a project's files, before hours of work and again at its end.

    Raises:
        StoreError: somebody did (all files are named), or it has no manifest that could tell.
    """
    if force or not _is_project_folder(project):
        return
    state = work(project)
    remedy = (
        "give --force (the edited project is then kept as NAME.old-N), move it, or choose another "
        "folder"
    )
    if not state.known:
        raise StoreError(
            f"a project without {MANIFEST}: nobody can tell what was edited in it",
            where=str(project),
            remedy=remedy,
        )
    if state.changed:
        raise StoreError(
            f"this project was edited ({len(state.changed)} "
            f"file{'s' if len(state.changed) > 1 else ''}), and a new one would replace it",
            where=str(project),
            details=[f"edited: {name}" for name in state.changed],
            remedy=remedy,
        )


def place(
    artifacts: Mapping[str, Path],
    output: Path,
    name: str,
    project: Path,
    force: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Path]:
    """Copy artifacts to ``output/NAME/``, a project to `project`; returns where they are.

    What lay there before is replaced as a whole, once the new one is complete. A project that is
    the same stays, with what was added to it. Of another one, added files move on into the new
    one; where a tool left results in it, or `force` overrules edits, it is kept as ``NAME.old-N``
    (`say` is told). Two runs must not place at once (the pipeline holds a lock).

    Raises:
        StoreError: the folder cannot be written, or the project there was edited (`refuse_edited`).
    """
    placed = {}
    for kind, source in artifacts.items():
        own = kind if source.name == "output" else source.name  # a job's whole folder has no name
        goal = project if is_project(kind) else output / name / own
        try:
            if is_project(kind):
                _place_project(source, goal, force, say)
            elif not (source.is_dir() and _same(source, goal)):
                _replace(source, goal)
        except OSError as error:
            raise StoreError.of(
                error, f"the artifact '{kind}'", goal, "choose another folder with --output"
            ) from None
        placed[kind] = goal
    return placed


def _place_project(source: Path, goal: Path, force: bool, say: Callable[[str], None]) -> None:
    if goal.exists() and _same(source, goal):
        if not (goal / MANIFEST).is_file():
            _write_manifest(source, goal)
        return
    refuse_foreign(goal)
    refuse_edited(goal, force)
    state = work(goal) if _is_project_folder(goal) else Work()
    generated = set(_files(source))
    kept = [name for name in state.added if name not in generated]
    clash = [name for name in state.added if name in generated]
    if clash and not force:
        raise StoreError(
            "files that you added to this project have names of generated ones",
            where=str(goal),
            details=clash,
            remedy="rename them, or give --force (the project is then kept as NAME.old-N)",
        )
    reasons = ["your edits"] * bool(state.changed or clash or not state.known)
    reasons += ["a tool's results"] * bool(state.by_tool)
    aside = _free_name(goal) if reasons else None
    _replace(source, goal, aside, kept, manifest=True)
    if aside is not None:
        say(f"the earlier project, with {' and '.join(reasons)}, is kept as {aside.name}")
    if kept:
        say(f"files that you added to the project moved on into the new one: {', '.join(kept)}")


def _replace(
    source: Path,
    goal: Path,
    aside: Path | None = None,
    kept: Sequence[str] = (),
    manifest: bool = False,
) -> None:
    """Put a file or folder in place; the old one goes to `aside`, its files `kept` come along."""
    goal.parent.mkdir(parents=True, exist_ok=True)
    for leftover in goal.parent.glob(f".{glob.escape(goal.name)}.edgeflow-*"):  # of a killed run
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    fresh = goal.parent / f".{goal.name}.edgeflow-{uuid.uuid4().hex[:8]}"
    hidden = goal.parent / f".{goal.name}.edgeflow-old"
    try:
        if source.is_dir():
            shutil.copytree(source, fresh)
            if manifest:
                _write_manifest(source, fresh)
            for name in kept:
                (fresh / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(goal / name, fresh / name)
            if goal.exists():
                goal.rename(aside or hidden)
            fresh.rename(goal)
            shutil.rmtree(hidden, ignore_errors=True)
        else:
            shutil.copyfile(source, fresh)
            os.replace(fresh, goal)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.unlink(missing_ok=True)
        raise


def _write_manifest(source: Path, goal: Path) -> None:
    files = {name: _digest(source / name) for name in _files(source)}
    text = json.dumps({"format": FORMAT, "files": files}, indent=1)
    (goal / MANIFEST).write_text(text + "\n")


def _files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def _walk(project: Path) -> Iterator[str]:
    """Every file of a project by its path in it; a folder of a tool's or of scrap as a whole."""
    for place, folders, files in os.walk(project):
        base = Path(place).relative_to(project)
        for folder in list(folders):
            if _matches(folder, BY_TOOL + SCRAP):
                folders.remove(folder)
                yield (base / folder).as_posix()
        yield from ((base / file).as_posix() for file in files)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    last = name.rpartition("/")[2]
    return any(fnmatch.fnmatchcase(last, pattern) for pattern in patterns)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _is_project_folder(project: Path) -> bool:
    return (project / MANIFEST).is_file() or (project / MARK).is_file()


def _free_name(goal: Path) -> Path:
    names = (goal.with_name(f"{goal.name}.old-{number}") for number in itertools.count(1))
    return next(name for name in names if not name.exists())


def _same(source: Path, goal: Path) -> bool:
    """Whether everything in a folder lies in another, to the byte."""
    return all(
        (goal / name).is_file() and (goal / name).read_bytes() == (source / name).read_bytes()
        for name in _files(source)
    )
