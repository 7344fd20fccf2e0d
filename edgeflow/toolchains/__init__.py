"""Toolchains: isolated, locked Python environments, made by uv on first use.

Each has a folder here with ``toolchain.toml`` (what it is for, its Python, its environment
variables), ``requirements.in`` (what we ask for) and ``lock.txt`` (every package, with hashes;
``make locks`` renews it). An environment lives in the cache, named by its lock's hash, so that a
new lock makes a new environment and two runs never change one under each other's feet.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from edgeflow.errors import InputError, ToolchainError
from edgeflow.store import cache_root

FOLDER = Path(__file__).parent
READY = ".edgeflow-ready"
SHOWN = ("Using", "Resolved", "Prepared", "Installed", "Downloading", "Downloaded", "Bytecode")
"""What of uv's output is progress."""


@dataclass(frozen=True)
class Toolchain:
    """One environment: its name, purpose, Python version, variables and lock."""

    name: str
    purpose: str
    python: str
    environment: Mapping[str, str]
    lock: Path
    version: str

    @property
    def path(self) -> Path:
        """Where the environment is, or will be."""
        return cache_root() / "toolchains" / f"{self.name}-{self.version[:12]}"

    @property
    def interpreter(self) -> Path:
        """Its Python."""
        return self.path / "bin" / "python"

    @property
    def ready(self) -> bool:
        """Whether it has been made, wholly."""
        return (self.path / READY).is_file()

    @property
    def packages(self) -> Mapping[str, str]:
        """Name and version of each locked package."""
        pins = (line.split() for line in self.lock.read_text().splitlines())
        found = (words[0].partition("==") for words in pins if words and "==" in words[0])
        return {name: version for name, _, version in found}


def names() -> list[str]:
    """The toolchains that edgeflow has."""
    return sorted(path.parent.name for path in FOLDER.glob("*/toolchain.toml"))


@lru_cache(maxsize=32)
def get(name: str) -> Toolchain:
    """The toolchain of that name.

    Raises:
        InputError: there is none.
    """
    folder = FOLDER / name
    if name not in names():
        raise InputError(f"expected a toolchain of {', '.join(names())}, found '{name}'")
    spec = tomllib.loads((folder / "toolchain.toml").read_text())
    lock = folder / "lock.txt"
    digest = hashlib.sha256(lock.read_bytes() + spec["python"].encode()).hexdigest()
    return Toolchain(
        name=name,
        purpose=spec["purpose"],
        python=spec["python"],
        environment=spec.get("environment", {}),
        lock=lock,
        version=digest,
    )


def ensure(chain: Toolchain, progress: Callable[[str], None] = lambda _: None) -> Path:
    """Make the environment if it has not been made; returns its interpreter.

    Raises:
        ToolchainError: it cannot be made; says why and what to do.
    """
    if chain.ready:
        return chain.interpreter
    try:
        chain.path.parent.mkdir(parents=True, exist_ok=True)
        with (chain.path.parent / f"{chain.path.name}.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if not chain.ready:
                _make(chain, progress)
    except OSError as error:
        raise ToolchainError(
            f"the toolchain '{chain.name}' cannot be written: {error.strerror}",
            where=str(error.filename or chain.path),
            remedy="free some space, or set EDGEFLOW_CACHE to a folder that can be written",
        ) from None
    return chain.interpreter


def remove(chain: Toolchain) -> bool:
    """Delete the environment; returns whether there was one."""
    if not chain.path.exists():
        return False
    shutil.rmtree(chain.path)
    return True


def _make(chain: Toolchain, progress: Callable[[str], None]) -> None:
    progress(f"making the toolchain '{chain.name}' ({len(chain.packages)} packages)")
    shutil.rmtree(chain.path, ignore_errors=True)
    uv = find_uv()
    install = [uv, "pip", "install", "--python", str(chain.interpreter), "--require-hashes"]
    commands = (
        [uv, "venv", "--no-project", "--python", chain.python, str(chain.path)],
        [*install, "--no-deps", "--compile-bytecode", "-r", str(chain.lock)],
    )
    try:
        for command in commands:
            _run(chain, command, progress)
        (chain.path / READY).write_text(chain.version + "\n")
    except BaseException:
        shutil.rmtree(chain.path, ignore_errors=True)
        raise
    progress(f"the toolchain '{chain.name}' is ready")


def _run(chain: Toolchain, command: list[str], progress: Callable[[str], None]) -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    lines: list[str] = []
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**clean, "NO_COLOR": "1"},
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                lines.append(line.rstrip())
                if line.startswith(SHOWN):
                    progress(f"{chain.name}: {line.strip()}")
            status = process.wait()
        except BaseException:
            process.kill()
            raise
    if status != 0:
        raise ToolchainError(
            f"the toolchain '{chain.name}' could not be made",
            details=[line for line in lines if line.strip()][-6:],
            remedy=_remedy(chain, "\n".join(lines)),
        )


def _remedy(chain: Toolchain, output: str) -> str:
    text = output.lower()
    if "no interpreter found" in text or "python-build-standalone" in text:
        return f"install Python {chain.python} (uv could not find or download it)"
    if "no space left" in text:
        return "free some space, or set EDGEFLOW_CACHE to a larger disk"
    if "hash mismatch" in text:
        return "the package index offers other files than those locked: do not use it"
    return (
        "it downloads packages on first use: connect to a network that has a Python package "
        f"index, then run `edgeflow env sync {chain.name}`"
    )


def find_uv() -> str:
    """The uv program: the one installed as our dependency, or the one on PATH.

    Raises:
        ToolchainError: there is neither.
    """
    try:
        from uv import find_uv_bin

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if found:
        return found
    raise ToolchainError("uv is not installed", remedy="pip install uv")
