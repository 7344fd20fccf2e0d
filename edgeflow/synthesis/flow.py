"""The jobs of open synthesis, in their order; the core's side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from edgeflow import toolchains
from edgeflow.errors import UnsupportedError
from edgeflow.jobs import Job
from edgeflow.synthesis import devices, tools
from edgeflow.targets import Target

TIMEOUT: Final = 1800.0
"""Seconds that one tool may take."""
MEMORY: Final = 4 * 2**30
"""Bytes that one tool may hold; a WebAssembly program cannot have more."""

PLACE_AND_PACK: Final = {
    "ice40": ("nextpnr-ice40", "icepack"),
    "ecp5": ("nextpnr-ecp5", "ecppack"),
    "gowin": ("nextpnr-gowin", "gowin-pack"),
}


def find_tool(name: str) -> tools.Tool:
    """A program of `tools.PROGRAMS`, native or of the toolchain.

    Raises:
        ToolError: it is nowhere; names the program and its variable.
    """
    return tools.find(name, toolchains.get(tools.TOOLCHAIN).packages)


def synthesis_job(
    verilog: Mapping[str, Path] | Path,
    top: str,
    family: str,
    *,
    files: Sequence[str] | None = None,
    out_of_context: bool = True,
    dsp: bool = True,
    layers: Mapping[str, str | Sequence[str]] | None = None,
    device: str = "",
    timeout: float = TIMEOUT,
    memory: float = MEMORY,
    label: str = "",
) -> Job:
    """The job that synthesises a design to a family's primitives (`yosys_job.synthesise`).

    ``verilog`` is a folder or file, or several by names of their own (``{"core": …, "wrapper":
    …}``); ``layers`` gives each layer's instance prefix. Seconds and bytes limit the tool.

    Raises:
        ToolError: there is no yosys.
    """
    sources = {"": verilog} if isinstance(verilog, Path) else verilog
    params: dict[str, Any] = {
        "top": top,
        "family": family,
        "tool": find_tool("yosys").to_json(),
        "files": list(files) if files is not None else None,
        "out_of_context": out_of_context,
        "dsp": dsp,
        "device": device,
        "layers": _plain(layers),
        "timeout": timeout,
        "memory": memory,
    }
    return Job(
        entry="edgeflow.synthesis.yosys_job:synthesise",
        toolchain=tools.TOOLCHAIN,
        title=f"synthesise for {family}",
        inputs={f"verilog_{name}".rstrip("_"): path for name, path in sources.items()},
        params=params,
        timeout=timeout + 900,
        label=label,
    )


def route_job(
    netlist: Path,
    target: Target,
    ports: Mapping[str, int],
    *,
    clock_mhz: float | None = None,
    signals: Mapping[str, str] | None = None,
    layers: Mapping[str, str | Sequence[str]] | None = None,
    seed: int = 1,
    bitstream: bool = True,
    timeout: float = TIMEOUT,
    memory: float = MEMORY,
    label: str = "",
) -> Job:
    """The job that places and routes a netlist for a board (`route_job.route`).

    ``netlist`` is the output folder of `synthesis_job` (``out_of_context=False``), ``ports`` the
    width of each port of its top (`ports_of`); ``signals`` ties a port to a signal of the board
    of another name. ``clock_mhz`` is the wish, the target's own clock by default.

    Raises:
        TargetError: the target has no open place and route, or a port has no pin.
        ToolError: a program is missing.
    """
    _, text = devices.constraints(target, ports, signals)
    device = devices.device(target)
    assert device is not None  # constraints has refused other families
    place, pack = PLACE_AND_PACK[device.family]
    return Job(
        entry="edgeflow.synthesis.route_job:route",
        toolchain=tools.TOOLCHAIN,
        title=f"place and route for {target.name}",
        inputs={"netlist": netlist},
        params={
            "device": device.to_json(),
            "constraints": text,
            "clock_mhz": clock_mhz or target.clock_mhz or 12.0,
            "seed": seed,
            "layers": _plain(layers),
            "place": find_tool(place).to_json(),
            "pack": find_tool(pack).to_json() if bitstream else None,
            "timeout": timeout,
            "memory": memory,
        },
        timeout=2 * timeout + 900,
        label=label,
    )


def ports_of(result: Mapping[str, Any]) -> dict[str, int]:
    """The width of each port of the top, from the result of a `synthesis_job`."""
    return {name: int(port["width"]) for name, port in result["ports"].items()}


def refuse_oversize(used: Mapping[str, float], target: Target, method: str) -> None:
    """Refuse a design that its target has no room for.

    ``used`` are counts by resource, ``method`` where they come from ("da4ml's cost", "yosys").

    Raises:
        UnsupportedError: it does not fit; names every resource and by how much.
    """
    if found := devices.over(used, target):
        raise UnsupportedError(
            f"the design does not fit '{target.name}' ({method})",
            details=found,
            remedy="a larger reuse factor, `style: stream`, fewer bits or more pruning make it "
            f"smaller; or {devices.roomier(used, target)}",
        )


def _plain(layers: Mapping[str, str | Sequence[str]] | None) -> dict[str, str | list[str]]:
    return {
        name: given if isinstance(given, str) else list(given)
        for name, given in (layers or {}).items()
    }
