"""Google's own compiler, `edgetpu_compiler`, where it is installed: run, and its answer read."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

from edgeflow.backends.edge_tpu import graph_job
from edgeflow.errors import JobError

PROGRAM = "edgetpu_compiler"
MAPPED = "Mapped to Edge TPU"
ROW = re.compile(r"^(?P<operator>[A-Za-z0-9_]+)\s{2,}(?P<count>\d+)\s{2,}(?P<status>\S.*?)\s*$")
VERSION = re.compile(r"Edge TPU Compiler version (\S+)")
MEMORY = {
    "on_chip": "On-chip memory used for caching model parameters",
    "remaining": "On-chip memory remaining for caching model parameters",
    "off_chip": "Off-chip memory used for streaming uncached model parameters",
}
UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
CUSTOM = "custom edgetpu-custom-op"


def run(program: str, model: Path, seconds: float) -> dict[str, Any]:
    """Compile `model`, which lies in the working folder, beside it.

    Returns:
        `parse`'s answer, with ``cpu_names``: the outputs of the operators that the compiled file
        leaves on the processor, and ``file``: its name.

    Raises:
        JobError: the compiler failed or took too long.
    """
    command = [program, "-s", "-o", ".", model.name]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise JobError(
            f"{PROGRAM} did not end in {seconds:g} s", remedy="give a larger compiler_timeout"
        ) from None
    except OSError as error:
        raise JobError(
            f"{PROGRAM} cannot be started: {error.strerror}", remedy="install it again"
        ) from None
    said = done.stdout + done.stderr
    print(said)
    made = Path(f"{model.stem}_edgetpu.tflite")
    if done.returncode != 0 or not made.is_file():
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        raise JobError(
            f"{PROGRAM} cannot compile the file",
            details=lines[-3:],
            remedy="read its message; with the compiler off PATH edgeflow gives its own verdict",
        )
    log = made.with_suffix(".log")
    text = said + (log.read_text(errors="replace") if log.is_file() else "")
    left = [op.name for op in graph_job.read(made).operators if op.kind != CUSTOM]
    return {**parse(text), "cpu_names": left, "file": made.name}


def parse(text: str) -> dict[str, Any]:
    """What the compiler's output and log say.

    ``version`` (or None), ``mapped`` and ``on_cpu`` (operators), ``status`` (list of ``operator``,
    ``count``, ``status``), ``parameter_memory`` (bytes: ``on_chip``, ``remaining``, ``off_chip``;
    None where it does not say).
    """
    # The log is in what -s prints as well: one table counts.
    seen: dict[tuple[str, str], int] = {}
    for line in text.splitlines():
        if row := ROW.match(line.strip()):
            seen[row["operator"], row["status"]] = int(row["count"])
    version = VERSION.search(text)
    status = [
        {"operator": kind, "count": count, "status": said} for (kind, said), count in seen.items()
    ]
    return {
        "version": version[1] if version else None,
        "mapped": sum(row["count"] for row in status if row["status"] == MAPPED),
        "on_cpu": sum(row["count"] for row in status if row["status"] != MAPPED),
        "status": status,
        "parameter_memory": {name: _bytes(label, text) for name, label in MEMORY.items()},
    }


def _bytes(label: str, text: str) -> int | None:
    size = re.search(rf"{label}:\s*([0-9.]+)(B|KiB|MiB|GiB)", text)
    return round(float(size[1]) * UNITS[size[2]]) if size else None
