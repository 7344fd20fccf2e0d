"""The digits job by edgeflow beside a plain script for the same steps; prints JSON.

    python benchmarks/digits.py [RUNS]

Both do RUNS (default 3) whole runs in turn, toolchains made, edgeflow with an empty store each
time, and both train for the same fixed numbers of epochs. The plain script
(`digits_plain.py`) calls TensorFlow, qkeras, tfmot and hls4ml directly in one process, with the
`qkeras` toolchain's Python. edgeflow does more: it verifies each artifact in all its runtimes,
compiles for the TPU ahead of time and writes the report. Limit of the ratio of wall times: 1.25.
A second run of edgeflow, all from its store, and its peak memory (the core's process alone) are
measured too: limits 2 s and 150 MB.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from edgeflow import toolchains

ROOT = Path(__file__).parents[1]
EPOCHS, RETRAIN = 30, 15


def recipe(folder: Path) -> tuple[Path, list[Any]]:
    """The digits recipe with fixed numbers of epochs; and its layers, for the plain script."""
    plan = yaml.safe_load((ROOT / "models" / "digits" / "digits.yaml").read_text())
    plan["model"]["train"] = {"epochs": EPOCHS, "patience": EPOCHS, "batch_size": 32}
    for spec in plan["targets"].values():
        if "compress" in spec:
            spec["compress"] |= {"epochs": RETRAIN, "patience": RETRAIN, "batch_size": 32}
    path = folder / "fixed.yaml"
    path.write_text(yaml.safe_dump(plan))
    layers = [
        [item, {}] if isinstance(item, str) else next(iter(item.items()))
        for item in plan["model"]["layers"]
    ]
    return path, layers


def timed(command: list[str], folder: Path, **environment: str) -> dict[str, float]:
    """Wall seconds, CPU seconds and peak memory (MB, of the process itself) of a command."""
    started = time.monotonic()
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env={**os.environ, **environment}
        )
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, resident_peak(process.pid))
            time.sleep(0.05)
    if process.returncode:
        sys.exit(f"{command} ended with exit code {process.returncode}: {log.name}")
    return {"wall_s": time.monotonic() - started, "peak_mb": peak}


def resident_peak(pid: int) -> float:
    """The process' own peak resident memory, in MB, as Linux says it; 0 once it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    lines = [line.split() for line in status.splitlines() if line.startswith("VmHWM")]
    return int(lines[0][1]) / 1000 if lines else 0.0


def main() -> None:
    """Measure in turn."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    for name in toolchains.names():
        toolchains.ensure(toolchains.get(name))
    python = str(toolchains.get("qkeras").interpreter)
    found: dict[str, list[float]] = {"edgeflow": [], "plain": [], "again": [], "peak_mb": []}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        plan, layers = recipe(folder)
        for run in range(runs):
            plain = [python, str(ROOT / "benchmarks" / "digits_plain.py"), f"hls-{run}"]
            plain += [str(EPOCHS), str(RETRAIN), json.dumps(layers)]
            command = [sys.executable, "-m", "edgeflow", "run", str(plan), "-o", f"out-{run}"]
            store = str(folder / f"store-{run}")
            ours = timed(command, folder, EDGEFLOW_STORE=store)
            again = timed(command, folder, EDGEFLOW_STORE=store)
            found["plain"].append(timed(plain, folder)["wall_s"])
            found["edgeflow"].append(ours["wall_s"])
            found["again"].append(again["wall_s"])
            found["peak_mb"].append(max(ours["peak_mb"], again["peak_mb"]))
        report = json.loads((folder / "out-0" / "report.json").read_text())
    ratios = [a / b for a, b in zip(found["edgeflow"], found["plain"], strict=True)]
    print(
        json.dumps(
            {
                "seconds": {name: [round(v, 2) for v in values] for name, values in found.items()},
                "ratio": {
                    "median": round(statistics.median(ratios), 3),
                    "all": [round(ratio, 3) for ratio in ratios],
                    "limit": 1.25,
                },
                "second_run_s": {"median": statistics.median(found["again"]), "limit": 2},
                "core_peak_mb": {"max": max(found["peak_mb"]), "limit": 150},
                "stages": {
                    f"{stage['label']}: {stage['title']}": stage["seconds"]
                    for stage in report["stages"]
                },
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
