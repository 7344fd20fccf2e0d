"""The small cases: made in one process, run in the reference kernels in another."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import edgeflow
from edgeflow import toolchains

HERE = Path(__file__).parent
INPUTS = 6


@dataclass(frozen=True)
class Cases:
    """The folder of the small cases; ``about`` says, by name, what came of each."""

    folder: Path
    about: Mapping[str, Any]

    @property
    def known(self) -> dict[str, Any]:
        """Those that there are C sources for."""
        return {name: case for name, case in self.about.items() if case["fault"] is None}

    def inputs(self) -> bytes:
        """Of all known ones, one after the other."""
        return b"".join((self.folder / f"{name}.in").read_bytes() for name in self.known)

    def differing(self, outputs: bytes) -> dict[str, str]:
        """By case, how much differs from the reference kernels' outputs."""
        import numpy as np

        found, at = {}, 0
        for name, case in self.known.items():
            kind, size = case["output"]
            dtype = np.dtype("int8" if kind == "int8_t" else "float32")
            count = size * INPUTS
            got = np.frombuffer(outputs, dtype, count, at)
            at += count * dtype.itemsize
            path = self.folder / f"{name}.ref"
            if not path.is_file():
                found[name] = "the reference kernels cannot run it"
                continue
            wanted = np.fromfile(path, dtype)
            wrong = int(np.sum(got != wanted)) if got.shape == wanted.shape else -1
            if wrong:
                where = np.flatnonzero(got != wanted)[:4]
                found[name] = f"{wrong} of {count}: {got[where]}, expected {wanted[where]}"
        return found


def script(chain: str, name: str, *arguments: Path | str) -> None:
    """Run a script of this folder in a toolchain."""
    python = toolchains.ensure(toolchains.get(chain))
    done = subprocess.run(
        [str(python), str(HERE / name), *map(str, arguments)], capture_output=True, text=True,
        timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": f"{Path(edgeflow.__file__).parents[1]}:{HERE}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Cases:
    """The small cases with inputs, C and the reference kernels' outputs."""
    folder = tmp_path_factory.mktemp("cases")
    script("keras", "make_cases.py", folder)
    script("tflite_runtime", "run_cases.py", folder)
    return Cases(folder, json.loads((folder / "cases.json").read_text()))
