"""Seconds that each backend takes to convert a model; prints JSON.

    python benchmarks/conversion.py DATA [BACKEND ...]

DATA is the folder of real models and data. Devices get MLPerf Tiny's float ResNet8 (12.5 M
multiply-accumulates; quantised on its 500 unlabelled images where integers are asked for) or its
int8 file, FPGAs hls4ml's three-layer QKeras example (jet tagging, 4,160 weights). What is timed is
the compile job, and the job that makes the .tflite file below it where there is one; no simulation
and no linking. Each is run in a fresh store, the toolchains' frameworks loaded once before: the
second of two conversions counts, ``first_s`` has the first with that load. One process at a time.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import edgeflow
from edgeflow import targets
from edgeflow.backends import registry
from edgeflow.backends.base import Request
from edgeflow.errors import EdgeflowError
from edgeflow.frontends import loader
from edgeflow.jobs import Runner
from edgeflow.store import Store

TINY = "models/mlperf_tiny/image_classification/trained_models"
FLOAT, INT8 = f"{TINY}/pretrainedResnet.h5", f"{TINY}/pretrainedResnet_quant.tflite"
JET = "models/hls4ml_examples/keras/qkeras_3layer.json"
CASES: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("tflite", "raspberry-pi-4", FLOAT, {"precision": "float32"}),
    ("tflite", "raspberry-pi-4", FLOAT, {"precision": "float16"}),
    ("tflite", "raspberry-pi-4", FLOAT, {"precision": "dynamic"}),
    ("tflite", "raspberry-pi-4", FLOAT, {"precision": "int8"}),
    ("tflite", "raspberry-pi-4", FLOAT, {"precision": "16x8"}),
    ("onnxruntime", "raspberry-pi-4", FLOAT, {"precision": "float32"}),
    ("onnxruntime", "raspberry-pi-4", FLOAT, {"precision": "int8"}),
    ("ethos_u", "ethos-u55-128", INT8, {}),
    ("ethos_u", "ethos-u85-1024", INT8, {}),
    ("edge_tpu", "coral-usb-accelerator", INT8, {}),
    ("cortex_m", "qemu-mps2-an386", INT8, {}),
    ("tpu", "tpu-v5e", FLOAT, {"precision": "float32"}),
    ("tpu", "tpu-v5e", FLOAT, {"precision": "bfloat16"}),
    ("tpu", "tpu-v5e", INT8, {"precision": "int8"}),
    ("hls4ml", "pynq-z2", JET, {}),
    ("rtl", "arty-a7-100t", JET, {}),
)
"""Backend, target, model, options."""


def convert(runner: Runner, given: Request, backend: Any, model: Path, store: Path) -> float:
    """Seconds of one conversion in a store of its own; the model is loaded before."""
    runner.store = Store(store)
    request = replace(given, model=loader.load(_files(model), runner))
    start = time.perf_counter()
    if hasattr(backend, "base"):
        request = replace(request, base=runner.run(backend.base(request)).path)
    runner.run(backend.compile(request))
    return time.perf_counter() - start


def _files(model: Path) -> list[Path]:
    weights = model.with_name(f"{model.stem}_weights.h5")
    return [model, weights] if weights.is_file() else [model]


def main() -> None:
    """Convert by each backend, or by those that are named."""
    root, wanted = Path(sys.argv[1]), set(sys.argv[2:])
    rows = []
    with tempfile.TemporaryDirectory() as scratch, Runner(Store(Path(scratch, "s"))) as runner:
        data = Path(scratch, "data")
        data.mkdir()
        with np.load(root / "datasets/cifar10_ic01.npz") as stored:
            np.savez(
                data / "data.npz",
                x_train=stored["x_calib_unlabelled"].astype(np.float32),
                x_test=stored["x_test"].astype(np.float32),
                y_test=stored["y_test"].astype(np.int64),
            )
        for number, (name, aim, file, options) in enumerate(CASES):
            if wanted and name not in wanted:
                continue
            backend: Any = registry.get(name)
            target = targets.load(aim)
            request = Request(
                None,  # type: ignore[arg-type]
                target, backend.options(options, name), data=data, name="net",
            )  # fmt: skip
            row: dict[str, Any] = {"backend": name, "target": aim, **options}
            row["model"] = Path(file).name
            try:
                first, second = (
                    convert(runner, request, backend, root / file, Path(scratch, f"{number}{turn}"))
                    for turn in "ab"
                )
                row |= {"first_s": round(first, 2), "seconds": round(second, 2)}
            except EdgeflowError as error:
                row |= {"error": str(error)}
            rows.append(row)
    print(json.dumps({"edgeflow": edgeflow.__version__, "conversion": rows}, indent=1))


if __name__ == "__main__":
    main()
