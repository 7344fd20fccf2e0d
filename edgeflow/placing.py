"""Where a run's artifacts go, and what of it stays where the run fails."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeflow import artifacts
from edgeflow.errors import EdgeflowError, StoreError
from edgeflow.jobs import Finished


@dataclass
class Placing:
    """The folders of one run: ``output`` for the report, ``projects`` for projects without a place.

    ``force``: whether edited projects may be replaced.
    """

    output: Path
    projects: Path
    force: bool = False
    made: list[Path] = field(default_factory=list)

    def project(self, recipe: str, aim: str, given: Path | None) -> Path:
        """A target's folder for a project."""
        return given or self.projects / f"{recipe}-{aim}"

    def check(self, projects: Iterable[Path]) -> None:
        """See that no project that would be replaced was edited, before hours of work.

        Raises:
            StoreError: naming every edited file of every project.
        """
        faults: list[EdgeflowError] = []
        for project in projects:
            try:
                artifacts.refuse_edited(project, self.force)
            except EdgeflowError as error:
                faults.append(error)
        if len(faults) == 1:
            raise faults[0]
        if faults:
            raise StoreError(
                f"{len(faults)} projects were edited, and new ones would replace them",
                details=[
                    f"{fault.where}: {detail}"
                    for fault in faults
                    for detail in (fault.details or (fault.message,))
                ],
                remedy=faults[0].remedy,
            )

    def place(
        self,
        made: Mapping[str, Path],
        name: str,
        project: Path,
        golden: Path,
        simulated: Sequence[Finished],
        say: Callable[[str], None],
    ) -> dict[str, str]:
        """Bring a target's artifacts to where the user wants them.

        Returns:
            their paths relative to the report.

        Raises:
            StoreError: a folder cannot be written, or a project was edited.
        """
        self.made += [path for path in (self.output / name, project) if not path.exists()]
        placed = artifacts.place(made, self.output, name, project, self.force, say)
        if "tflite" in placed:
            folder = self.output / name
            placed["golden"] = _golden_vectors(golden, simulated, folder)
        return {kind: os.path.relpath(path, self.output) for kind, path in placed.items()}

    def undo(self, report: str = "report.json") -> None:
        """Take away what this run has made, after it failed; others' files stay.

        A folder goes only where this run made it and no report speaks of it (a second run may
        have come to its end in the same folder), or where it is empty.
        """
        if not (self.output / report).exists():
            for path in self.made:
                shutil.rmtree(path, ignore_errors=True)
        for folder in (self.projects, self.output):
            if folder == self.output or folder.is_relative_to(self.output):
                with contextlib.suppress(OSError):
                    folder.rmdir()


def earlier_targets(output: Path, present: Iterable[str]) -> list[str]:
    """Targets of the report that lies in `output`, not in the recipe now, whose folder is there."""
    try:
        record: dict[str, Any] = json.loads((output / "report.json").read_text())
        names = [*record["targets"], *record.get("earlier_targets", ())]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    gone = sorted({str(name) for name in names} - set(present))
    return [name for name in gone if Path(name).name == name and (output / name).is_dir()]


def _golden_vectors(golden: Path, outcomes: Sequence[Finished], folder: Path) -> Path:
    """What a board must answer, as the reference kernels of each runtime gave it."""
    from edgeflow.deploy import golden as vectors

    answers = {
        str(outcome.result["runtime"]): (
            str(outcome.result["version"]),
            outcome.path / "outputs.npz",
        )
        for outcome in sorted(outcomes, key=lambda o: o.job.toolchain != "tflite_runtime")
        if outcome.result.get("resolver") == "BUILTIN_REF"
    }
    return vectors.write(golden / "golden.npz", answers, folder / "golden.npz")
