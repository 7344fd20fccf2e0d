"""The job that runs a vendor's tools on a written project, and keeps what they made."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edgeflow.errors import ToolError
from edgeflow.synthesis import process
from edgeflow.synthesis.vendor_phases import Phases

ADVICE = (
    "raise the options synthesis_timeout (hours) and synthesis_memory_gb, or leave steps out "
    "(synthesis_steps); a larger reuse factor makes a design that synthesises faster"
)

KEPT = {
    "ip": ("*/impl/ip/*.zip", "*/impl/export.zip"),
    "hdl": ("*/syn/verilog/*", "*/syn/vhdl/*"),
    "bitstream": ("*.bit", "*.hwh", "*.xsa", "*.xclbin", "*.sof"),
}
"""Artifacts beside the reports, by kind, and where the tools leave them (below the project)."""

REPORTS = (
    "*_csynth.xml", "*_csynth.rpt", "csynth.xml", "*_cosim.rpt", "*.result.transaction.xml",
    "vivado_synth.rpt", "util.rpt", "*utilization*.rpt", "*timing*.rpt", "export_*.xml",
    "*_export.xml", "vivado_syn.xml", "vivado_impl.xml", "report_data.js", "quartus_data.js",
    "verification_data.js", "*.fit.summary", "firmware/*.cpp",
)  # fmt: skip
"""What `synthesis.vendor_reports` reads; the C++ names the layers."""

FIFOS = (
    "*_prj/solution1/.autopilot/db/channel_info.csv",
    "*_prj/solution1/.autopilot/db/channel_depth_info/channel.zip",
    "*_prj/solution1/sim/verilog/fifo_opt.vcd",
)
"""How full the FIFOs were in a co-simulation: the project's fifo_depths.py reads the first two."""

WITNESS = {
    "csynth": ("*_csynth.xml", "csynth.xml", "report_data.js"),
    "cosim": ("*_cosim.rpt", "verification_data.js"),
    "vsynth": ("vivado_synth.rpt", "quartus_data.js"),
    "export": KEPT["ip"],
    "bitstream": KEPT["bitstream"],
}
"""A file of these shows that a step came to its end."""


def synthesise(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Run `vendor_tools.plan`'s commands in a copy of ``inputs["project"]``; keep what they made.

    The limits ``timeout`` (s) and ``memory`` (bytes) hold for the whole process tree. The reports
    are read elsewhere (`vendor_reports`), so that a better reader needs no new synthesis.

    Returns:
        ``steps``, and ``kept``: the kinds of artifacts, each a folder of that name in the output
        (``reports`` always).

    Raises:
        ToolError: a tool failed, ran past a limit, or left no report; says how far it came.
    """
    project = inputs["project"]
    copy = Path(project.name)
    shutil.copytree(project, copy)
    if params["switches"]:
        lines = [f"    {name:<10} {value}" for name, value in params["switches"].items()]
        text = "\n".join(["array set opt {", *lines, "}", ""])
        (copy / "build_opt.tcl").write_text(text)
    phases = Phases(params["steps"])
    total = len(params["steps"])

    def on_line(line: str) -> str | None:
        print(line, flush=True)
        if not phases.line(line):
            return None
        progress(phases.count, total, phases.text)
        return f"{phases.text} ({phases.count} of {total} steps done)"

    folders = [*params["folders"], os.environ.get("PATH", os.defpath)]
    ends = time.monotonic() + params["timeout"]
    for name, command in params["commands"]:
        phases.start(name)
        progress(phases.count, total, name)
        limits = process.Limits(max(0.0, ends - time.monotonic()), params["memory"], ADVICE)
        ran = process.run(
            command,
            name=name,
            limits=limits,
            cwd=copy,
            environment={"PATH": os.pathsep.join(folders)},
            on_line=on_line,
        )
        if ran.code != 0:
            raise ToolError(
                f"{name} failed with code {ran.code} in {phases.text}",
                details=phases.errors or [line for line in ran.tail if line][-3:],
                remedy="read the job's log, which has its whole output; is its licence found?",
            )
    _check(copy, params["steps"], phases)
    return {"steps": params["steps"], "kept": _keep(copy, output)}


def _check(project: Path, steps: list[str], phases: Phases) -> None:
    """See that every step left what it is for: these tools may fail and return 0."""
    lacking = [
        step for step in steps if step in WITNESS and not any(_found(project, WITNESS[step]))
    ]
    if lacking:
        raise ToolError(
            f"the tools ended with code 0, but left nothing of the step {', '.join(lacking)}",
            details=phases.errors,
            remedy="read the job's log: what does it say before its end?",
        )


def _keep(project: Path, output: Path) -> list[str]:
    kept = ["reports"]
    fifos = [path for name in FIFOS for path in project.glob(name)]
    for path in (*_found(project, REPORTS), *fifos):
        _copy(path, output / "reports" / path.relative_to(project))
    for kind, patterns in KEPT.items():
        files = [path for path in _found(project, patterns) if path.is_file()]
        for path in files:
            _copy(path, output / kind / path.name)
        kept += [kind] if files else []
    return kept


def _found(project: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    for pattern in patterns:
        for path in sorted(project.rglob(pattern)):
            if ".autopilot" not in path.parts and not path.is_symlink():
                yield path


def _copy(source: Path, goal: Path) -> None:
    goal.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, goal)
