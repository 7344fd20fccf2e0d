"""The jobs of open synthesis, in their order; the core's side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from edgeflow import toolchains
from edgeflow.jobs import Job
from edgeflow.synthesis import tools

TIMEOUT: Final = 1800.0
"""Seconds that one tool may take."""
MEMORY: Final = 4 * 2**30
"""Bytes that one tool may hold; a WebAssembly program cannot have more."""


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
        "layers": {
            name: given if isinstance(given, str) else list(given)
            for name, given in (layers or {}).items()
        },
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
