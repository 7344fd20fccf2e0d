"""Artifacts: from the store, which never changes, to the folders that the user sees."""

from __future__ import annotations

import glob
import itertools
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

from edgeflow.errors import StoreError

PROJECT = "hls_project"
"""The kind of artifact that is a project of its own, with its own place."""

MARK = "hls4ml_config.yml"
"""A file that every HLS project has."""


def refuse_foreign(project: Path) -> None:
    """See that a folder may be replaced by an HLS project: new, empty, or an earlier project.

    Raises:
        StoreError: it is a file, or holds something else, which would be lost.
    """
    if not project.exists() or (project / MARK).is_file():
        return
    if not project.is_dir() or any(project.iterdir()):
        raise StoreError(
            "this is no HLS project, and one would replace it",
            where=str(project),
            remedy="choose another folder ('project' in the recipe), or move this one",
        )


def place(artifacts: Mapping[str, Path], output: Path, name: str, project: Path) -> dict[str, Path]:
    """Copy artifacts to ``output/NAME/``, an HLS project to `project`; returns where they are.

    What lay there before is replaced as a whole, once the new one is complete. A project that is
    the same stays, with what the vendor's tool has put into it; another one to which something was
    added is kept as ``NAME.old-N``. Two runs must not place at once (the pipeline holds a lock).

    Raises:
        StoreError: the folder cannot be written.
    """
    placed = {}
    for kind, source in artifacts.items():
        goal = project if kind == PROJECT else output / name / source.name
        try:
            if not (source.is_dir() and _same(source, goal)):
                _replace(source, goal)
        except OSError as error:
            raise StoreError.of(
                error, f"the artifact '{kind}'", goal, "choose another folder with --output"
            ) from None
        placed[kind] = goal
    return placed


def _replace(source: Path, goal: Path) -> None:
    goal.parent.mkdir(parents=True, exist_ok=True)
    for leftover in goal.parent.glob(f".{glob.escape(goal.name)}.edgeflow-*"):  # of a killed run
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    fresh = goal.parent / f".{goal.name}.edgeflow-{uuid.uuid4().hex[:8]}"
    try:
        if source.is_dir():
            shutil.copytree(source, fresh)
            if goal.exists():
                goal.rename(_aside(source, goal))
            fresh.rename(goal)
            shutil.rmtree(_hidden(goal), ignore_errors=True)
        else:
            shutil.copyfile(source, fresh)
            os.replace(fresh, goal)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.unlink(missing_ok=True)
        raise


def _hidden(goal: Path) -> Path:
    return goal.parent / f".{goal.name}.edgeflow-old"


def _aside(source: Path, goal: Path) -> Path:
    """Where the old folder goes: kept as ``NAME.old-N`` where the user added to it."""
    added = {path.name for path in goal.iterdir()} - {path.name for path in source.iterdir()}
    if not added:
        return _hidden(goal)
    names = (goal.with_name(f"{goal.name}.old-{number}") for number in itertools.count(1))
    return next(name for name in names if not name.exists())


def _same(source: Path, goal: Path) -> bool:
    """Whether everything in a folder lies in another, to the byte."""
    return all(
        (goal / path.relative_to(source)).is_file()
        and (goal / path.relative_to(source)).read_bytes() == path.read_bytes()
        for path in source.rglob("*")
        if path.is_file()
    )
