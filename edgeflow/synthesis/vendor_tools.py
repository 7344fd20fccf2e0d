"""The vendors' programs that synthesise a project of hls4ml's: which are there, what to call."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edgeflow.errors import ToolError

STEPS: Final = ("csim", "csynth", "cosim", "vsynth", "export", "bitstream")
"""What can be run, in this order: C simulation, C synthesis (HLS), co-simulation of the RTL, logic
synthesis, packing as IP, a bitstream for the accelerator's board."""

VARIABLES: Final = {
    "vitis-run": "EDGEFLOW_VITIS_RUN", "vitis_hls": "EDGEFLOW_VITIS_HLS",
    "vivado_hls": "EDGEFLOW_VIVADO_HLS", "vivado": "EDGEFLOW_VIVADO",
    "i++": "EDGEFLOW_IPP", "quartus_sh": "EDGEFLOW_QUARTUS_SH", "make": "EDGEFLOW_MAKE",
}  # fmt: skip
"""Environment variables that name a program elsewhere than on PATH."""


@dataclass(frozen=True)
class Vendor:
    """A vendor's way to synthesise.

    ``hls``: programs that do it, the newest first, with their arguments. ``needs``: what a step
    needs beside. ``script`` puts the programs on PATH. ``steps`` are those that it has.
    """

    title: str
    hls: Mapping[str, tuple[str, ...]]
    needs: Mapping[str, tuple[str, ...]]
    script: str
    steps: tuple[str, ...]


AMD_STEPS: Final = ("csim", "csynth", "cosim", "vsynth", "export")
VENDORS: Final[Mapping[str, Vendor]] = {
    "vitis": Vendor(
        "Vitis HLS",
        {
            "vitis-run": ("--mode", "hls", "--tcl", "build_prj.tcl"),
            "vitis_hls": ("-f", "build_prj.tcl"),
        },
        {"vsynth": ("vivado",)},
        "settings64.sh of Vitis (such as /opt/Xilinx/Vitis/2023.2/settings64.sh)",
        AMD_STEPS,
    ),
    "vivado": Vendor(
        "Vivado HLS",
        {"vivado_hls": ("-f", "build_prj.tcl")},
        {"vsynth": ("vivado",)},
        "settings64.sh of Vivado 2020.1 or older (such as /opt/Xilinx/Vivado/2019.2/settings64.sh)",
        AMD_STEPS,
    ),
    "vivado_accelerator": Vendor(
        "Vivado HLS",
        {"vivado_hls": ("-f", "build_prj.tcl")},
        {"vsynth": ("vivado",), "bitstream": ("vivado",)},
        "settings64.sh of Vivado 2020.1 or older (such as /opt/Xilinx/Vivado/2019.2/settings64.sh)",
        (*AMD_STEPS, "bitstream"),
    ),
    "quartus": Vendor(
        "the Intel HLS compiler",
        {"i++": ()},
        {"csynth": ("make",), "cosim": ("make",), "vsynth": ("make", "quartus_sh")},
        "hls/init_hls.sh of Quartus Prime Pro 21.4 or older",
        ("csynth", "cosim", "vsynth"),
    ),
}
"""By the name of hls4ml's compiler (`backends.hls4ml.compilers`)."""

ELSEWHERE: Final = (
    "synthesise the project elsewhere (its README says how) and read the reports back: "
    "`edgeflow report --from-synthesis PROJECT REPORT`"
)


def find(program: str) -> str | None:
    """The path of a program: as its variable says, or on PATH.

    Raises:
        ToolError: the variable names something that does not run.
    """
    variable = VARIABLES[program]
    named = os.environ.get(variable)
    if named:
        path = shutil.which(named)
        if path is None:
            raise ToolError(
                f"expected the program '{program}' at ${variable}, found nothing that runs at "
                f"'{named}'",
                remedy=f"correct {variable}, or unset it",
            )
        return path
    return shutil.which(program)


def plan(compiler: str, name: str, wanted: Sequence[str] | None = None) -> dict[str, Any]:
    """What to run, as parameters of the job `synthesis_job.synthesise`.

    Args:
        compiler: of `VENDORS`.
        name: the project's top function.
        wanted: steps of `STEPS`; None for C synthesis, and logic synthesis where it can be run.

    Returns:
        ``steps``, ``commands`` (each a program's name and its argument list), ``switches`` of
        hls4ml's build script, ``folders`` to put on PATH, and ``left_out`` (steps that were not
        asked for by name, and lack a program; no parameter of the job).

    Raises:
        ToolError: a program is missing, or the compiler lacks a step; says which was looked for
            and how to get it.
    """
    vendor = VENDORS.get(compiler)
    if vendor is None:
        raise ToolError(
            f"edgeflow runs no tool for the compiler '{compiler}' ({', '.join(VENDORS)} it does)",
            remedy="run the tool yourself, as the project's README says; leave out --synthesise",
        )
    chosen = tuple(wanted) if wanted is not None else ("csynth", "vsynth")
    strange = [step for step in chosen if step not in vendor.steps]
    if strange:
        raise ToolError(
            f"the compiler '{compiler}' has no step {', '.join(repr(s) for s in strange)}",
            remedy=f"its steps are {', '.join(vendor.steps)} (option synthesis_steps)",
        )
    chosen = tuple(step for step in STEPS if step in chosen)
    if set(chosen) - {"csim", "csynth"} and "csynth" not in chosen:
        chosen = tuple(step for step in STEPS if step in (*chosen, "csynth"))  # others build on it
    hls = next((program for program in vendor.hls if find(program)), None)
    if hls is None:
        raise _missing(vendor, list(vendor.hls))
    programs = {hls: str(find(hls))}
    left_out: list[str] = []
    for step in chosen:
        paths = {program: find(program) for program in vendor.needs.get(step, ())}
        absent = [program for program, path in paths.items() if path is None]
        if absent and (wanted is not None or step == "csynth"):
            raise _missing(vendor, absent, step)
        if absent:
            left_out.append(f"{step} (no {', '.join(absent)} on PATH)")
        else:
            programs |= {program: str(path) for program, path in paths.items()}
    missing = {text.partition(" ")[0] for text in left_out}
    steps = [step for step in chosen if step not in missing]
    return {
        "steps": steps,
        "commands": _commands(compiler, name, steps, programs),
        "switches": _switches(steps) if compiler == "vitis" else {},
        "folders": sorted({str(Path(path).parent) for path in programs.values()}),
        "left_out": left_out,
    }


def _missing(vendor: Vendor, programs: Sequence[str], step: str = "") -> ToolError:
    purpose = f" for the step '{step}'" if step else ""
    return ToolError(
        f"no tool that synthesises this project was found{purpose}: {vendor.title} is not on PATH"
        if not step
        else f"the step '{step}' needs a program that is not on PATH",
        details=[
            f"looked for: {program} on PATH, or at ${VARIABLES[program]}" for program in programs
        ],
        remedy=f"source {vendor.script}, which puts it on PATH; or leave out --synthesise, and "
        f"{ELSEWHERE}",
    )


def _commands(
    compiler: str, name: str, steps: Sequence[str], programs: Mapping[str, str]
) -> list[tuple[str, list[str]]]:
    """The programs to run one after the other in the project; Vitis' switches are in a file."""
    if compiler == "quartus":
        compile_all = ["QUARTUS_COMPILE=--quartus-compile"] if "vsynth" in steps else []
        made = [("i++", [programs["make"], f"{name}-fpga", "LOGGING_1=-v", *compile_all])]
        return made + ([(f"{name}-fpga", [f"./{name}-fpga"])] if "cosim" in steps else [])
    hls = next(iter(VENDORS[compiler].hls.keys() & programs.keys()))
    arguments = list(VENDORS[compiler].hls[hls])
    if compiler != "vitis":
        arguments.append(" ".join(f"{key}={value}" for key, value in _switches(steps).items()))
    made = [(hls, [programs[hls], *arguments])]
    if "bitstream" in steps:
        made.append(("vivado", [programs["vivado"], "-mode", "batch", "-source", "design.tcl"]))
    return made


def _switches(steps: Sequence[str]) -> dict[str, int]:
    """The switches of hls4ml's build script."""
    return {
        "reset": 1,
        "csim": int("csim" in steps),
        "synth": int("csynth" in steps),
        "cosim": int("cosim" in steps),
        "validation": int("cosim" in steps and "csim" in steps),
        "export": int("export" in steps or "bitstream" in steps),
        "vsynth": int("vsynth" in steps),
        "fifo_opt": 0,
    }
