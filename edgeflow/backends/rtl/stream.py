"""The jobs of the stream style, and the budget of a target that its reuse factors fit into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from edgeflow.backends.rtl import names, reuse
from edgeflow.frontends.model import Model
from edgeflow.jobs import Job
from edgeflow.synthesis import devices
from edgeflow.targets import Target

LUT6: Final = ("zynq", "7-series", "artix", "kintex", "virtex", "ultrascale", "xc7", "xcup")
"""Words in the architecture of a chip whose LUTs have 6 inputs."""
GOWIN_WORTH: Final = 0.75
"""Of a Gowin LUT: 5,048 by the cost model were 6,647 for yosys (adders take whole LUTs there), and
at 7,128 of 8,640 with the wrapper nextpnr found no legal placement."""
LUT6_WORTH: Final = 1.6
"""4-input LUTs that one of 6 inputs replaces (the usual ratio of a device's logic cells)."""
QUICK: Final = {True: 30_000.0, False: 100_000.0}
"""4-input LUTs in the budget of a design that is made in minutes: with open place and route, and
up to the simulation where there is none."""
BLOCKS: Final = {"bram_18k": 18432, "bram_4k": 4096}
"""Bits of a memory block, parity bits included where the block has them."""


def budget_of(target: Target) -> reuse.Budget:
    """What a target has, from its resources; None where it does not say."""
    lut = target.figure("resources", "lut")
    dsp = target.figure("resources", "dsp")
    blocks = {name: target.figure("resources", name) for name in BLOCKS}
    known = [(name, figure) for name, figure in blocks.items() if figure is not None]
    worth = LUT6_WORTH if any(word in target.architecture.lower() for word in LUT6) else 1.0
    if devices.family(target) == "gowin":
        worth = GOWIN_WORTH
    return reuse.Budget(
        None if lut is None else lut.value * worth,
        None if dsp is None else dsp.value,
        float(sum(BLOCKS[name] * figure.value for name, figure in known)) if known else None,
        max((BLOCKS[name] for name, figure in known if figure.value), default=BLOCKS["bram_18k"]),
    )


def compile_job(
    model: Model,
    target: Target,
    options: Mapping[str, Any],
    golden: Path | None,
    name: str,
    unasked: str | None = None,
) -> Job:
    """The job that writes a streaming design (`stream_job.compile`).

    ``unasked``: why this style was taken where nobody asked for one. It becomes one of the design's
    notes, and a design that takes hours to build on a large device is not sought (`QUICK`).

    ``options``: ``reuse_factor`` (``auto`` or a number), ``layers`` (by Network layer:
    ``reuse_factor``), ``multiplier`` (``auto``, ``dsp``, ``lut``), ``input_type``; all optional.
    """
    inputs = {"network": model.path / "network.json", "weights": model.weights}
    if golden is not None:
        inputs["golden"] = golden
    budget = budget_of(target)
    if unasked:
        quick = QUICK[devices.family(target) in devices.ROUTED]
        budget = replace(budget, lut=min(budget.lut or quick, quick))
    return Job(
        entry="edgeflow.backends.rtl.stream_job:compile",
        toolchain="rtl",
        title="compile to streaming RTL",
        inputs=inputs,
        params={
            "name": names.legal(name),
            "reuse_factor": options.get("reuse_factor") or "auto",
            "layers": {key: dict(own) for key, own in (options.get("layers") or {}).items()},
            "multiplier": options.get("multiplier") or "auto",
            "input_type": options.get("input_type"),
            "budget": asdict(budget),
            **({"note": unasked} if unasked else {}),
        },
        imports=("numpy",),
        timeout=1800,
        label=target.name,
    )


def simulate_job(compiled: Path, golden: Path, *, softmax: bool, label: str = "") -> Job:
    """The job that runs the design in Verilator on the golden inputs."""
    return Job(
        entry="edgeflow.backends.rtl.stream_verilator_job:simulate",
        toolchain="rtl",
        title="simulate the streaming RTL",
        inputs={"compiled": compiled, "golden": golden},
        params={"softmax": softmax},
        imports=("numpy",),
        timeout=3600,
        label=label,
    )


def project_job(compiled: Path, golden: Path, *, label: str = "") -> Job:
    """The job that makes a project of a design: a test bench, a README (`stream_bench_job`)."""
    return Job(
        entry="edgeflow.backends.rtl.stream_bench_job:write",
        toolchain="rtl",
        title="write the test bench",
        inputs={"compiled": compiled, "golden": golden},
        params={},
        imports=("numpy",),
        timeout=600,
        label=label,
    )
