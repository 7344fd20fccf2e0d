"""Write the constants of the Ethos-U estimates before compilation, from Vela's own cycles.

Compiles networks of `edgeflow.estimate.ethos_u_designs` and the int8 files under $EDGEFLOW_DATA for
every Ethos-U target (minutes), then fits. What Vela said is kept in --work.

Run: EDGEFLOW_DATA=... python benchmarks/calibrate_ethos_u.py --work FOLDER
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from edgeflow import targets, toolchains
from edgeflow.estimate.ethos_u_designs import DESIGNS

FILES = (
    "mlperf_tiny/anomaly_detection/trained_models/ad01_int8.tflite",
    "mlperf_tiny/image_classification/trained_models/pretrainedResnet_quant.tflite",
    "mlperf_tiny/image_classification/trained_models/pretrainedResnet_large_int8.tflite",
    "mlperf_tiny/keyword_spotting/trained_models/kws_ref_model.tflite",
    "mlperf_tiny/streaming_wakeword/trained_models/str_ww_ref_model.tflite",
    "mlperf_tiny/visual_wake_words/trained_models/vww_96_int8.tflite",
    "edge_tpu/mobilenet_v1_0.25_128_quant.tflite",
    "edge_tpu/mobilenet_v1_0.5_160_quant.tflite",
)
MEMORIES = ("sram", "dram", "on_chip_flash", "off_chip_flash")


def files(work: Path, python: str) -> list[tuple[str, Path, Path]]:
    """Name, .tflite and Network of each model; made where they are not there yet."""
    found = []
    made = []
    for design in DESIGNS:
        network = design()
        path = work / f"{network.name}.json"
        network.save(path)
        found.append((network.name, path.with_suffix(".tflite"), path))
        made.append(path)
    missing = [path for path in made if not path.with_suffix(".tflite").exists()]
    if missing:
        script = Path(__file__).with_name("network_to_tflite.py")
        command = [python, str(script), *map(str, missing), "--output", str(work)]
        subprocess.run(command, check=True)
    for name in FILES:
        source = Path(os.environ["EDGEFLOW_DATA"]) / "models" / name
        path = work / f"{source.stem}.json"
        if not path.exists():
            command = [sys.executable, "-m", "edgeflow", "inspect", str(source), "--json"]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            path.write_text(done.stdout)
        found.append((source.stem, source, path))
    return found


def vela(python: str, source: Path, target: targets.Target, work: Path) -> dict[str, Any] | None:
    """What Vela says of one file on one target; None where something is left to the processor."""
    kept = work / f"{source.stem}.{target.name}.vela.json"
    if not kept.exists():
        made = work / "vela" / f"{source.stem}.{target.name}"
        settings = target.settings
        command = [
            python, "-m", "ethosu.vela", str(source), "--output-dir", str(made),
            "--config", "Arm/vela.ini", "--accelerator-config", str(settings["accelerator"]),
            "--system-config", str(settings["system_config"]),
            "--memory-mode", str(settings["memory_mode"]), "--verbose-performance",
            "--show-cpu-operations",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        with next(made.glob("*_summary_*.csv")).open(newline="") as stream:
            row = next(csv.DictReader(stream))
        kept.write_text(
            json.dumps(
                {
                    "cycles": float(row["cycles_total"]),
                    "npu": float(row["cycles_npu"]),
                    "memory": {n: float(row[f"{n}_memory_used"]) * 1024 for n in MEMORIES},
                    "on_cpu": sum("CPU: " in line for line in done.stdout.splitlines()),
                }
            )
        )
    found: dict[str, Any] = json.loads(kept.read_text())
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    work = parser.parse_args().work
    work.mkdir(parents=True, exist_ok=True)
    python = str(toolchains.get("keras").interpreter)
    samples = []
    for name, source, network in files(work, python):
        for board in targets.names():
            if board.startswith("ethos-u"):
                said = vela(python, source, targets.load(board), work)
                samples.append({"model": name, "network": network.name, "target": board, **said})
    (work / "rows.json").write_text(json.dumps(samples, indent=1))
    from edgeflow.estimate import ethos_u, ethos_u_calibration

    ethos_u_calibration.write(work, ethos_u.COEFFICIENTS)
    for row in ethos_u.coefficients()["accuracy"]:
        print(
            f"{row['quantity']:22} {row['designs'][:50]:50} {row['median_error']:6.1%} "
            f"{row['within_2x']:6.1%} within 2x of {row['rows']}, band {row['band']:.2f}, "
            f"{row['held']} of {row['held_of']}"
        )
