"""From a design to a netlist, a bitstream and what they cost: open tools, one after the other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edgeflow.backends.base import Request, Run, Simulation, Synthesis
from edgeflow.backends.rtl import costs, stream, tolerances, wrapping
from edgeflow.errors import TargetError, ToolError, UnsupportedError
from edgeflow.jobs import Job
from edgeflow.synthesis import devices, flow, power
from edgeflow.targets import Target

QUICK: Final = {"area": 25_000.0, "bitstream": 22_000.0}
"""LUTs (da4ml's count) up to which `auto` goes so far: about five minutes on two cores."""
DOUBT: Final = 1.15
"""A design is refused before synthesis where its count passes the device by so much (the count
is within 14 % on the designs that were synthesised)."""
REMEDIES: Final = (
    "fewer bits or more pruning (compress), `style: stream` (adders shared in time); {roomier}; or "
    "`build: rtl` for the sources alone"
)


@dataclass
class Made:
    """What the steps have given so far."""

    result: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, Path] = field(default_factory=dict)
    simulations: list[Simulation] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def synthesise(request: Request, compiled: Path, run: Run, asked: bool) -> Synthesis | None:
    """Synthesise, place, route, simulate the netlist, as far as ``build`` and the target say.

    Raises:
        UnsupportedError: it does not fit; says by how much, and what would.
        ToolError: a program is missing or failed, where ``build`` was given by name.
    """
    design = json.loads((compiled / "design.json").read_text())
    made = Made()
    if design["style"] == "stream" and request.golden is not None:
        project = stream.project_job(compiled, request.golden, label=request.target.name)
        made.artifacts["rtl_design"] = run(project).path
    goal = _goal(request, design, asked, made)
    interface = request.options["wrapper"]
    if interface in ("valid_ready", "axi_stream"):
        wrapped = run(wrapping.wrap_job(compiled, interface, label=request.target.name))
        made.artifacts["wrapper"] = wrapped.path
    if goal == "rtl":
        found = made.notes or made.artifacts
        return Synthesis({}, made.artifacts, notes=tuple(made.notes)) if found else None
    try:
        netlist = _area(request, compiled, design, run, made)
        if goal == "bitstream":
            _bitstream(request, compiled, design, run, made)
        _activity(request, compiled, design, netlist, run, made)
    except (ToolError, TargetError) as error:
        if request.options["build"] != "auto":
            raise
        made.notes.append(f"{goal}: {error.message}")
    return Synthesis(made.result, made.artifacts, tuple(made.simulations), tuple(made.notes))


def _goal(request: Request, design: Mapping[str, Any], asked: bool, made: Made) -> str:
    """How far to go; what cannot fit is refused here, before minutes of synthesis."""
    wanted = str(request.options["build"])
    target = request.target
    family = devices.family(target)
    if wanted == "rtl":
        return wanted
    if family is None:
        if wanted != "auto":
            raise UnsupportedError(
                f"build: {wanted}: open synthesis has no family for '{target.name}'",
                remedy="`build: rtl` writes the sources; or choose another target",
            )
        made.notes.append(f"no open synthesis for '{target.name}': sources only")
        return "rtl"
    if wanted == "bitstream" and family not in devices.ROUTED:
        raise UnsupportedError(
            f"build: bitstream: there is no open place and route for '{target.name}' ({family})",
            remedy="`build: area` counts its resources; "
            f"boards of {', '.join(devices.ROUTED)} get a bitstream",
        )
    needed = _needed(design, request)
    _refuse_oversize(needed, request)
    if wanted != "auto":
        return wanted
    goal = "bitstream" if family in devices.ROUTED else "area"
    if needed["lut"] > QUICK[goal] and not asked:
        made.notes.append(
            f"about {needed['lut']:,.0f} LUTs take long to synthesise: sources only "
            f"(--synthesise, or `build: {goal}`, does it)"
        )
        return "rtl"
    return goal


def _needed(design: Mapping[str, Any], request: Request) -> dict[str, float]:
    cost = {key: float(value or 0) for key, value in design["cost"].items() if key in costs.UNITS}
    if design["style"] != "stream" and devices.family(request.target) in costs.FOUR_INPUTS:
        cost["lut"] *= costs.FOUR_INPUT_FACTOR
    return cost


def _refuse_oversize(needed: Mapping[str, float], request: Request) -> None:
    certain = {name: value / DOUBT for name, value in needed.items() if name in ("lut", "ff")}
    if not devices.over(certain, request.target):
        return
    raise UnsupportedError(
        f"the design does not fit '{request.target.name}' (by the adder graph's own cost, before "
        "synthesis)",
        details=devices.over(needed, request.target),
        remedy=REMEDIES.format(roomier=devices.roomier(certain, request.target)),
    )


def _area(
    request: Request, compiled: Path, design: Mapping[str, Any], run: Run, made: Made
) -> Path:
    """The core by itself: what it takes, and its netlist on the golden inputs; its folder."""
    target = request.target
    family = devices.family(target)
    assert family is not None
    job = flow.synthesis_job(
        compiled / "verilog",
        design["top"],
        family,
        files=[Path(name).name for name in design["files"]["verilog"]],
        layers=layer_prefixes(design),
        device=devices.variant(target),
        **_limits(request),
        label=target.name,
    )
    finished = run(job)
    used = finished.result["utilisation"]
    tool = finished.result["tool"]
    made.result |= {
        "utilisation": used,
        "available": _room(target),
        "layers": finished.result["layers"],
        "family": family,
        "tool": tool,
        "source": f"{_name(tool)}, {family}, the core without a wrapper",
        "core": used,
    }
    made.artifacts["netlist"] = finished.path / "netlist.json"
    if request.golden is not None:
        made.simulations.append(_netlist(request, compiled, finished.path))
    return finished.path


def _room(target: Target) -> dict[str, float]:
    """What the device has, of what its target file says."""
    figures = {name: target.figure("resources", name) for name in devices.LABELS}
    return {name: figure.value for name, figure in figures.items() if figure is not None}


def _activity(
    request: Request,
    compiled: Path,
    design: Mapping[str, Any],
    netlist: Path,
    run: Run,
    made: Made,
) -> None:
    """What toggles in the core on real inputs, for the power, and as SAIF for a vendor's tool."""
    if request.golden is None:
        return
    label = request.target.name
    counted = run(power.count_job(netlist, compiled, request.golden, label=label))
    made.result["toggles"] = dict(counted.result)
    made.artifacts["toggles"] = counted.path / "toggles.json"
    clock = made.result.get("clock_mhz") or request.options["clock_mhz"] or request.target.clock_mhz
    if clock:
        saif = run(power.saif_job(counted.path, design["top"], clock, label=label))
        made.artifacts["saif"] = saif.path / "activity.saif"


def _netlist(request: Request, compiled: Path, netlist: Path) -> Simulation:
    record = json.loads((compiled / "result.json").read_text())
    assert request.golden is not None
    job = Job(
        entry="edgeflow.synthesis.netlist_job:simulate",
        toolchain="rtl",
        title="simulate the netlist",
        inputs={"netlist": netlist, "design": compiled, "golden": request.golden},
        params={},
        imports=("numpy",),
        timeout=3600,
        label=request.target.name,
    )
    return Simulation("synthesised netlist", job, tolerances.of_result(record))


def _bitstream(
    request: Request, compiled: Path, design: Mapping[str, Any], run: Run, made: Made
) -> None:
    """The core in its wrapper, on the board."""
    target = request.target
    family = devices.family(target)
    assert family is not None
    given = request.options["wrapper"]
    interface = "uart" if given == "auto" else given
    if interface not in ("uart", "spi"):
        made.notes.append(f"no bitstream: the wrapper '{interface}' ends in no pins of a board")
        return
    wrapped = run(
        wrapping.wrap_job(
            compiled, interface, target=target, baud=request.options["baud"], label=target.name
        )
    )
    about = json.loads((wrapped.path / "wrapper.json").read_text())
    if interface == "uart" and request.golden is not None:
        check = run(wrapping.check_job(wrapped.path, request.golden, target.name))
        made.result["harness"] = {
            **check.result,
            "inferences_per_second": wrapping.transfers_per_second(about),
        }
        made.notes.append(wrapping.describe(about, check.result))
    prefixes = {
        name: [f"{about['core']}.{part}" for part in parts]
        for name, parts in layer_prefixes(design).items()
    }
    board = run(
        flow.synthesis_job(
            wrapped.path / "verilog",
            about["top"],
            family,
            files=[Path(name).name for name in about["files"]["verilog"]],
            out_of_context=False,
            layers=prefixes,
            device=devices.variant(target),
            **_limits(request),
            label=target.name,
        )
    )
    flow.refuse_oversize(board.result["utilisation"], target, "yosys, with the wrapper")
    routed = run(
        flow.route_job(
            board.path,
            target,
            flow.ports_of(board.result),
            layers=prefixes,
            seed=request.options["seed"],
            **_limits(request),
            label=target.name,
        )
    )
    found = routed.result
    tools = "; ".join(_name(tool) for tool in (board.result["tool"], *found["tools"]))
    pin = target.pins.get("clk")
    running = pin.mhz if pin is not None and pin.mhz else target.clock_mhz
    reached = found["clock_mhz"]
    made.result |= {
        "utilisation": {name: part["used"] for name, part in found["utilisation"].items()},
        "available": {name: part["available"] for name, part in found["utilisation"].items()},
        "reached_mhz": reached,
        "clock_mhz": min(running, reached) if running and reached else reached or running,
        "critical_path": found["critical_path"],
        "met": found["met"],
        "seed": found["seed"],
        "source": f"{tools}, routed on {target.name} with its {interface} wrapper",
        "wrapper": interface,
    }
    made.artifacts |= {
        "bitstream": routed.path / found["bitstream"],
        "place_and_route": routed.path,
        "wrapper": wrapped.path,
    }
    made.notes.append(
        f"routed on {target.name}: {reached:.1f} MHz reached"
        + (f", the board's clock is {running:g} MHz" if running else "")
        + ("" if found["met"] else "; the clock is NOT met")
    )
    made.notes += found["notes"]


def _limits(request: Request) -> dict[str, Any]:
    """Seconds and bytes that one program may take."""
    return {
        "timeout": request.options["synthesis_timeout"],
        "memory": request.options["synthesis_memory"] * 2**20,
    }


def layer_prefixes(design: Mapping[str, Any]) -> dict[str, list[str]]:
    """The instances of each layer, where the design keeps them apart."""
    return {
        name: [str(part) for part in about["instances"]]
        for name, about in design["layers"].items()
        if about.get("instances")
    }


def _name(tool: Any) -> str:
    if isinstance(tool, Mapping):
        return " ".join(str(tool[key]) for key in ("program", "version") if tool.get(key))
    return str(tool)
