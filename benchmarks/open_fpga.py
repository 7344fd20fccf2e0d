"""Digits to bitstreams with open tools alone; prints JSON.

    python benchmarks/open_fpga.py [RECIPE ...]

Runs models/digits/open-fpga.yaml (a CNN on a ULX3S-85F) and open-fpga-tiny.yaml (an MLP on an
iCEBreaker), or the recipes given, each once with an empty store and the toolchains made. For each
target: wall and CPU seconds of the whole run and of its steps, accuracy, whether it is verified,
the clock reached and used, utilisation, inferences per second (by the design at the board's clock,
and as its UART carries them) and energy per inference with its band. The limit for the ULX3S is
600 s on two cores.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RECIPES = [ROOT / "models" / "digits" / name for name in ("open-fpga.yaml", "open-fpga-tiny.yaml")]


def measure(recipe: Path) -> dict[str, Any]:
    """One run in a store of its own."""
    with tempfile.TemporaryDirectory() as folder:
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "edgeflow", "run", str(recipe), "--output", "out"],
            cwd=folder,
            env={**os.environ, "EDGEFLOW_STORE": f"{folder}/store", "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode not in (0, 1):
            sys.exit(done.stdout + done.stderr)
        report = json.loads(Path(folder, "out", "report.json").read_text())
    return {
        "wall_s": round(wall, 1),
        "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "steps_s": {f"{s['label']} {s['title']}".strip(): s["seconds"] for s in stages(report)},
        "targets": {name: figures(entry) for name, entry in report["targets"].items()},
    }


def stages(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The jobs that ran."""
    return [{"label": "", **stage} for stage in report["stages"] if not stage.get("cached")]


def figures(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What the benchmark compares, of one target."""
    estimates = entry["estimates"]

    def value(name: str) -> float | None:
        found = estimates.get(name, {}).get("value")
        return None if found is None else float(found)

    interval = value("interval")
    names = ("switching_energy_per_inference", "chip_energy_per_inference", "energy_per_inference")
    return {
        "verified": entry["verified"],
        "accuracy": entry["accuracy"],
        "clock_hz": value("clock"),
        "utilisation": {k: value(k) for k in ("lut", "ff", "dsp", "bram_18k")},
        "latency_s": value("latency"),
        "inferences_per_second": None if not interval else 1 / interval,
        "energy_per_inference": {n: estimates[n] for n in names if n in estimates},
        "notes": entry["notes"],
        "artifacts": sorted(entry["artifacts"]),
    }


def main() -> None:
    """Print what was measured."""
    recipes = [Path(name).resolve() for name in sys.argv[1:]] or RECIPES
    print(json.dumps({recipe.stem: measure(recipe) for recipe in recipes}, indent=1))


if __name__ == "__main__":
    main()
