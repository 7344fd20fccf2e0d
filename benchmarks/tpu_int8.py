"""What int8 takes on each TPU generation, by libtpu's own estimate; prints JSON.

    python benchmarks/tpu_int8.py DATA [BATCH]

DATA is the folder of real models. MLPerf Tiny's int8 ResNet8 (batch 64 by default) is exported at
precision int8 with both ways of rescaling and compiled for v2 to 7x with no TPU there: estimated
cycles and bytes of a call, beside the same graph in bfloat16.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from edgeflow import targets
from edgeflow.backends.base import Request
from edgeflow.backends.tpu.backend import BACKEND
from edgeflow.backends.tpu.generations import GENERATIONS
from edgeflow.errors import EdgeflowError
from edgeflow.frontends import loader
from edgeflow.jobs import Runner
from edgeflow.store import Store

FILE = "models/mlperf_tiny/image_classification/trained_models/pretrainedResnet_quant.tflite"


def main() -> None:
    """Compile for each generation."""
    batch = int(sys.argv[2]) if len(sys.argv) > 2 else 64
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch, Runner(Store(Path(scratch))) as runner:
        model = loader.load([Path(sys.argv[1]) / FILE], runner)
        for name in GENERATIONS:
            row: dict[str, Any] = {"generation": name}
            for rescaling in ("fixed_point", "float32"):
                given = {"precision": "int8", "rescaling": rescaling, "batch": batch}
                options = BACKEND.options(given, "here")
                request = Request(model, targets.load(f"tpu-{name}"), options)
                job = BACKEND.ahead(request, runner.run(BACKEND.compile(request)).path)
                assert job is not None
                try:
                    found = runner.run(job).result
                except EdgeflowError as error:
                    row[rescaling] = error.message
                    continue
                row |= {rescaling: _figures(found), "bfloat16": _figures(found["compared"])}
                row["libtpu"] = found["libtpu"]
            rows.append(row)
    print(json.dumps({"model": Path(FILE).name, "batch": batch, "generations": rows}, indent=1))


def _figures(found: dict[str, Any]) -> dict[str, Any]:
    return {"cycles": found["cycles"], "bytes": found["bytes_accessed"]}


if __name__ == "__main__":
    main()
