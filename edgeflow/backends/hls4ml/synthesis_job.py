"""The job that runs the vendor's HLS tool on a written project, and reads its report."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeflow.backends.hls4ml import synthesis
from edgeflow.errors import ToolError

STAGES = ("C SIMULATION", "C/RTL SYNTHESIS", "EXPORT IP", "VIVADO SYNTHESIS")
"""What the build script prints when a step is done."""


def synthesise(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Run ``params["command"]`` in a copy of ``inputs["project"]``; keep its reports.

    Returns:
        `synthesis.read_report`'s record.

    Raises:
        ToolError: the tool failed, or left no report.
    """
    project = inputs["project"]
    copy = Path(project.name)
    shutil.copytree(project, copy)
    command = params["command"]
    environment = {**os.environ, "LC_ALL": "C"}
    with subprocess.Popen(
        command, cwd=copy, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", env=environment,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        last: list[str] = []
        done = 0
        for line in process.stdout:
            print(line, end="", flush=True)
            if line.startswith("ERROR"):
                last = [*last, line.strip()][-5:]
            done += "COMPLETED IN" in line
            progress(done, 2, line.strip()[:100])
    if process.returncode != 0:
        raise ToolError(
            f"{Path(command[0]).name} failed with code {process.returncode}",
            details=last,
            remedy="its output is in the job's log; is its licence found?",
        )
    name = _project_name(copy)
    report = synthesis.read_report(synthesis.report_path(copy, name))
    reports = output / "reports"
    shutil.copytree(synthesis.report_path(copy, name).parent, reports)
    return report


def _project_name(project: Path) -> str:
    for line in (project / "project.tcl").read_text().splitlines():
        if line.startswith("set project_name"):
            return line.split('"')[1]
    raise ToolError("expected 'set project_name' in project.tcl", where=str(project))
