"""rule4ml 0.2.0 beside our HLS estimates, for the same designs in one run.

rule4ml needs TensorFlow and torch, so it has an environment of its own, made by hand:
    uv venv R && uv pip install --python R/bin/python rule4ml==0.2.0 torch-geometric
Run: EDGEFLOW_DATA=... python benchmarks/rule4ml.py R/bin/python [PREDICTIONS.json]
It calibrates ours as `calibrate_hls.py` does and writes rule4ml's errors into the same record.

rule4ml knows one precision for a design: it gets that of the weights, and once more the 16 bits
of the other types; the better median is kept, quantity by quantity. Its predictions are kept in
PREDICTIONS.json, and taken from there where it exists.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeflow.estimate import hls_calibration, hls_latency, hls_resource_calibration, hls_resources
from edgeflow.estimate.hls_designs import Design, dense_layers, projects
from edgeflow.estimate.hls_resource_designs import COLUMNS, dense
from edgeflow.estimate.hls_resource_designs import projects as with_resources

BOARDS = {"zynq-7000": "pynq-z2", "virtex-7": "alveo-u200", "virtex-ultrascale+": "alveo-u250"}
SAMPLE = 12
"""Of the single dense layers with reuse, whose reports are much alike, one in so many is asked."""
PRECISIONS = ("weights", "types")


def described(design: Design, precision: str) -> dict[str, Any]:
    """What rule4ml is told."""
    layers = []
    for layer in design.network:
        kernel = layer.weights.get("kernel")
        layers.append(
            {
                "kind": layer.kind,
                "output": list(layer.output_shape),
                "window": list(kernel.shape[:-2]) if kernel else [],
                "strides": layer.attributes.get("strides", 1),
                "padding": layer.attributes.get("padding", "valid"),
                "pool_size": layer.attributes.get("pool_size", 2),
            }
        )
    bits = [int(layer.weight_bits or 16) for layer in design.network if layer.weights]
    width = max(bits) if precision == "weights" else 16
    reuse = list(design.reuse.values()) or [1]
    strategies = (
        [design.strategy] if isinstance(design.strategy, str) else list(design.strategy.values())
    )
    return {
        "layers": layers,
        "precision": f"ap_fixed<{width}, {6 if width == 16 else 1}>",
        "reuse_factor": int(statistics.median_low(reuse)),
        "strategy": "resource" if "resource" in strategies else "latency",
        "board": BOARDS[design.architecture],
        "hls4ml": "1.1.0" if design.compiler == "vitis" else "0.8.1",
        "vivado": "2023.2" if design.compiler == "vitis" else "2020.1",
    }


def predictions(
    interpreter: Path, found: Sequence[Design]
) -> dict[str, list[Mapping[str, float] | None]]:
    """By precision, what rule4ml says of each design; None where it cannot take it."""
    script = Path(__file__).with_name("rule4ml_predict.py")
    result = {}
    for precision in PRECISIONS:
        with tempfile.TemporaryDirectory() as folder:
            asked, told = Path(folder, "asked.json"), Path(folder, "told.json")
            asked.write_text(json.dumps([described(design, precision) for design in found]))
            subprocess.run(
                [str(interpreter), "-I", str(script), str(asked), str(told)],
                check=True, timeout=3600,
            )  # fmt: skip
            result[precision] = json.loads(told.read_text())
    return result


def better(
    found: Sequence[Design],
    truths: Sequence[Mapping[str, float]],
    guesses: Mapping[str, Sequence[Mapping[str, float] | None]],
) -> dict[str, dict[str, float]]:
    """rule4ml's guesses by design, each quantity with the precision that suits it."""
    best: dict[str, dict[str, float]] = {}
    for name in (*COLUMNS, "latency", "interval"):
        errors = {}
        for precision in PRECISIONS:
            sizes = [
                abs(guess[name] - truth[name]) / truth[name]
                for truth, guess in zip(truths, guesses[precision], strict=True)
                if guess and truth[name]
            ]
            errors[precision] = statistics.median(sizes) if sizes else float("inf")
        chosen = min(PRECISIONS, key=lambda precision: errors[precision])
        for design, guess in zip(found, guesses[chosen], strict=True):
            if guess:
                best.setdefault(design.name, {})[name] = max(0.0, guess[name])
    return best


def main() -> None:
    """Predict, calibrate, write."""
    data, interpreter = Path(os.environ["EDGEFLOW_DATA"]), Path(sys.argv[1])
    kept = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    if kept is not None and kept.is_file():
        told = json.loads(kept.read_text())
    else:
        told = collect(data, interpreter)
        if kept is not None:
            kept.write_text(json.dumps(told))
    others = {"rule4ml 0.2.0": told}
    hls_resource_calibration.write(data, hls_resources.COEFFICIENTS, others)
    hls_calibration.write(data, hls_latency.COEFFICIENTS, others)
    for module in (hls_resources, hls_latency):
        for row in module.coefficients()["accuracy"]:
            other = row.get("alternatives", {}).get("rule4ml 0.2.0")
            print(row["designs"][:50], row["quantity"], row["median_error"], other)


def collect(data: Path, interpreter: Path) -> dict[str, dict[str, float]]:
    """rule4ml's predictions for dense layers and projects, by design."""
    told: dict[str, dict[str, float]] = {}
    singles = list(zip(dense_layers(data), dense(data), strict=True))
    reused = [pair for pair in singles if pair[1].klass == "dense_reused"]
    unrolled = [pair for pair in singles if pair[1].klass != "dense_reused"]
    wholes = list(zip(projects(data), with_resources(data), strict=True))
    for pairs in (wholes, [*unrolled, *reused[::SAMPLE]]):
        found = [design for design, _ in pairs]
        truths = [
            {**sample.truth, "latency": design.latency, "interval": design.interval}
            for design, sample in pairs
        ]
        told |= better(found, truths, predictions(interpreter, found))
    return told


if __name__ == "__main__":
    main()
