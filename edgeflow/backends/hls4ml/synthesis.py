"""Synthesis of a written project by the vendor's tools, and what the reports say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeflow.backends.base import Request, Run, Synthesis
from edgeflow.estimate.quantity import Estimate
from edgeflow.jobs import Job
from edgeflow.synthesis import vendor_estimates, vendor_reports, vendor_tools

MARGIN = 120.0
"""Seconds that the job has beyond the tools' own limit, to say how far they came."""

ARTIFACTS = {
    "reports": "synthesis_reports",
    "hdl": "hdl",
    "ip": "ip",
    "bitstream": "bitstream",
}
"""Folders of the job, and the kinds of artifacts that they are."""


def check(name: str, options: Mapping[str, Any]) -> None:
    """See that the vendor's tools for these options are there.

    Raises:
        ToolError: naming those that were looked for and the way round.
    """
    vendor_tools.plan(options["compiler"], name, options["synthesis_steps"])


def synthesise(
    request: Request, name: str, project: Path, run: Run, predicted: Mapping[str, Estimate]
) -> Synthesis:
    """Run the tools on a project and read their reports.

    Args:
        request: as the backend got it.
        name: the top function.
        project: the written project.
        run: runs the job.
        predicted: our estimates without a synthesis, to be judged by it.

    Raises:
        ToolError: a tool is missing, failed or ran past a limit.
    """
    options = request.options
    plan = vendor_tools.plan(options["compiler"], name, options["synthesis_steps"])
    left_out = plan.pop("left_out")
    if options["fifo_depth"] == "optimize" and "cosim" in plan["steps"]:
        plan["switches"] = {**plan["switches"], "fifo_opt": 1} if plan["switches"] else {}
        plan["commands"] = [
            (tool, [word.replace("fifo_opt=0", "fifo_opt=1") for word in words])
            for tool, words in plan["commands"]
        ]
    seconds = options["synthesis_timeout"] * 3600
    job = Job(
        entry="edgeflow.backends.hls4ml.synthesis_job:synthesise",
        toolchain="keras",
        title="synthesise",
        inputs={"project": project},
        params=plan,
        limits={"timeout": seconds, "memory": options["synthesis_memory_gb"] * 2**30},
        timeout=seconds + MARGIN,
        label=request.target.name,
    )
    finished = run(job)
    record = vendor_reports.gather(finished.path / "reports")
    clock = options["clock_mhz"] or request.target.clock_mhz
    rows = vendor_estimates.compare(predicted, vendor_estimates.estimates(record, clock))
    notes = [f"not run: {text}" for text in left_out]
    return Synthesis(
        result=record,
        artifacts={ARTIFACTS[kind]: finished.path / kind for kind in finished.result["kept"]},
        notes=tuple(notes),
        report={**record, "comparison": rows, "remarks": vendor_estimates.remarks(record)},
    )
