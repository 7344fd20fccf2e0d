"""Artifacts: from the store, which never changes, to the folders that the user sees."""

from __future__ import annotations

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

    What lay there before is replaced as a whole, once the new one is complete.

    Raises:
        StoreError: the folder cannot be written.
    """
    placed = {}
    for kind, source in artifacts.items():
        goal = project if kind == PROJECT else output / name / source.name
        try:
            _replace(source, goal)
        except OSError as error:
            raise StoreError.of(
                error, f"the artifact '{kind}'", goal, "choose another folder with --output"
            ) from None
        placed[kind] = goal
    return placed


def _replace(source: Path, goal: Path) -> None:
    goal.parent.mkdir(parents=True, exist_ok=True)
    fresh = goal.parent / f".{goal.name}.{uuid.uuid4().hex[:8]}"
    try:
        if source.is_dir():
            shutil.copytree(source, fresh)
            if goal.exists():
                old = goal.parent / f".{goal.name}.old-{uuid.uuid4().hex[:8]}"
                goal.rename(old)
                fresh.rename(goal)
                shutil.rmtree(old)
            else:
                fresh.rename(goal)
        else:
            shutil.copyfile(source, fresh)
            os.replace(fresh, goal)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.unlink(missing_ok=True)
        raise
