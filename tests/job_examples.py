"""Jobs for the tests of jobs: each does one thing that a job may do."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any


def write(inputs: dict[str, Path], params: dict[str, Any], output: Path, progress: Any) -> Any:
    """Write `params["text"]`, after the inputs' texts, in as many slow steps as asked for."""
    steps = params.get("steps", 1)
    text = "".join(inputs[name].read_text() for name in sorted(inputs)) + params["text"]
    with (output / "text.txt").open("w") as handle:
        for step in range(steps):
            progress(step, steps, "writing")
            time.sleep(params.get("pause", 0))
        handle.write(text)
    if "trace" in params:
        with open(params["trace"], "a") as handle:
            handle.write("ran\n")
    print("this goes into the log")
    return {"length": len(text)}


def crash(inputs: Any, params: dict[str, Any], output: Path, progress: Any) -> None:
    """End by the signal `params["signal"]`."""
    (output / "half.txt").write_text("half")
    print("about to crash", flush=True)
    os.kill(os.getpid(), params.get("signal", signal.SIGSEGV))


def hang(inputs: Any, params: dict[str, Any], output: Path, progress: Any) -> None:
    """Sleep, with a child that sleeps too."""
    import subprocess

    child = subprocess.Popen(["sleep", "60"])
    (Path(params["pids"])).write_text(f"{os.getpid()} {child.pid}")
    time.sleep(60)


def fail(inputs: Any, params: dict[str, Any], output: Path, progress: Any) -> None:
    """Raise an error of edgeflow's, or another."""
    if params.get("kind") == "edgeflow":
        from edgeflow.errors import ModelError

        raise ModelError("bad", where="here", remedy="mend it", details=["one", "two"])
    if params.get("kind") == "exit":
        raise SystemExit(3)
    raise KeyError("what was sought")


def fill(inputs: Any, params: dict[str, Any], output: Path, progress: Any) -> None:
    """Find the disk full."""
    raise OSError(28, "No space left on device", str(output))


def surroundings(inputs: Any, params: Any, output: Path, progress: Any) -> dict[str, Any]:
    """What a job can see."""
    import importlib.util
    import sys

    return {
        "hidden": [n for n in ("pydantic", "typer", "pytest") if importlib.util.find_spec(n)],
        "python": list(sys.version_info[:2]),
        "cwd": os.getcwd(),
    }
