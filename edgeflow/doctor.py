"""What is on this machine that edgeflow needs or can use."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from edgeflow import toolchains
from edgeflow.errors import ToolchainError, ToolError
from edgeflow.store import Store, cache_root
from edgeflow.synthesis import tools as synthesis
from edgeflow.synthesis.flow import find_tool

LEAST_FREE_GIB: Final = 6
"""The toolchains take about 4 GiB, a run's store less than 1 GiB."""

TOOLS: Final = (
    # program, arguments for its version, needed, what for and how to get it
    ("g++", "--version", True, "hls4ml's C simulation: apt install g++"),
    ("vitis-run", "--version", False, "HLS synthesis: install AMD Vitis, source settings64.sh"),
    ("vitis_hls", "-version", False, "HLS synthesis: AMD Vitis HLS 2020.2 to 2024.1"),
    ("vivado_hls", "-version", False, "HLS synthesis: AMD Vivado HLS up to 2020.1"),
    ("vivado", "-version", False, "logic synthesis and bitstreams: AMD Vivado"),
    ("edgetpu_compiler", "--version", False, "Coral Edge TPU: install Google's compiler"),
    ("arm-none-eabi-gcc", "--version", False, "Cortex-M firmware: apt install gcc-arm-none-eabi"),
    ("qemu-system-arm", "--version", False, "runs that firmware: apt install qemu-system-arm"),
    ("verilator", "--version", False, "RTL simulation: toolchain 'rtl' brings one"),
    ("ssh", "-V", False, "keys for `edgeflow deploy`: apt install openssh-client"),
)


@dataclass(frozen=True)
class Finding:
    """One thing: ``state`` is ``ok``, ``missing`` (needed) or ``optional`` (not here)."""

    name: str
    state: str
    found: str
    remedy: str

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def examine() -> list[Finding]:
    """Look for each tool, toolchain and for disk space."""
    tools = (_tool(*tool) for tool in TOOLS)
    return [_python(), _uv(), *tools, *_open_synthesis(), _disk(), *_toolchains()]


def _python() -> Finding:
    return Finding("python", "ok", f"{platform.python_version()} ({platform.machine()})", "")


def _uv() -> Finding:
    try:
        program = toolchains.find_uv()
    except ToolchainError as error:
        return Finding("uv", "missing", "", error.remedy or "")
    return Finding("uv", "ok", version_of(program, "--version"), "")


def _tool(program: str, argument: str, needed: bool, remedy: str) -> Finding:
    path = shutil.which(program)
    if path is None:
        return Finding(program, "missing" if needed else "optional", "", remedy)
    return Finding(program, "ok", f"{version_of(path, argument)} ({path})", "")


def _open_synthesis() -> list[Finding]:
    """The programs of open synthesis: which one a run would take."""
    found = []
    for name, program in synthesis.PROGRAMS.items():
        try:
            tool = find_tool(name)
        except ToolError as error:
            needed = program.package is not None or os.environ.get(program.variable)
            remedy = f"{program.purpose}: {error.remedy}"
            found.append(Finding(name, "missing" if needed else "optional", "", remedy))
            continue
        place = tool.command or f"toolchain '{synthesis.TOOLCHAIN}', made on first use"
        found.append(Finding(name, "ok", f"{tool.version} ({place})", ""))
    return found


def version_of(program: str, argument: str) -> str:
    """The first line that a program prints about its version; "found" where it says nothing."""
    try:
        done = subprocess.run(
            [program, argument], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "found, does not answer"
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0].strip() if lines else "found"


def _disk() -> Finding:
    folder = cache_root()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free / 2**30
    said = f"{free:.0f} GiB free at {folder}"
    if not os.access(existing, os.W_OK):
        return Finding("cache", "missing", "", f"{existing} cannot be written: set EDGEFLOW_CACHE")
    if free < LEAST_FREE_GIB:
        remedy = f"{said}: expected {LEAST_FREE_GIB}; set EDGEFLOW_CACHE to a larger disk"
        return Finding("cache", "missing", "", remedy)
    used = sum(1 for _ in Path(Store.default().root, "done").glob("*/*"))
    return Finding("cache", "ok", f"{said}, {used} jobs in the store", "")


def _toolchains() -> list[Finding]:
    found = []
    for name in toolchains.names():
        chain = toolchains.get(name)
        state = "ok" if chain.ready else "optional"
        text = f"{len(chain.packages)} packages ({chain.path})" if chain.ready else ""
        remedy = f"made on first use, or by `edgeflow env sync {name}`"
        found.append(Finding(f"toolchain {name}", state, text, remedy))
    return found
