"""XNNPACK latency of our int8 file against the reference's.

    python benchmarks/tflite.py DATA [ROUNDS]

DATA is a folder with ``models/mlperf_tiny/image_classification`` (mlcommons/tiny, Apache-2.0) and
``datasets/cifar10_ic01.npz``. The float ResNet8 of MLPerf Tiny is quantised after training with the
unlabelled images; the file and the reference's own int8 file then run in one process in LiteRT with
XNNPACK on one thread, in turn, ROUNDS times 50 inferences each (default 40), so that both see the
same machine. What counts is the median over rounds of the ratio of their CPU times; limit 1.05.
The accuracy of both on the 200 labelled images stands beside it. Prints JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import edgeflow
from edgeflow import targets, toolchains
from edgeflow.backends import registry
from edgeflow.backends.base import Request
from edgeflow.frontends import loader
from edgeflow.jobs import Runner
from edgeflow.store import Store

LIMIT = 1.05
MODELS = "models/mlperf_tiny/image_classification/trained_models"
RUN = """
import json, statistics, sys, time
from importlib.metadata import version
import numpy as np
from ai_edge_litert.interpreter import Interpreter
rounds, data = int(sys.argv[3]), np.load(sys.argv[4])
ready = []
for path in sys.argv[1:3]:
    model = Interpreter(model_path=path, num_threads=1)
    model.allocate_tensors()
    ready.append((model, model.get_input_details()[0], model.get_output_details()[0]))
accuracy = []
for model, entry, result in ready:
    scale, zero = entry["quantization"]
    q = np.clip(np.round(data["x"] / scale) + zero, -128, 127).astype(np.int8)
    right = 0
    for row, label in zip(q, data["y"]):
        model.set_tensor(entry["index"], row[None])
        model.invoke()
        right += int(model.get_tensor(result["index"]).argmax() == label)
    accuracy.append(right / len(q))
times = [[], []]
for round_ in range(rounds):
    for which in ((0, 1), (1, 0))[round_ % 2]:
        model = ready[which][0]
        start = time.thread_time()
        for _ in range(50):
            model.invoke()
        times[which].append((time.thread_time() - start) / 50)
ratios = sorted(a / b for a, b in zip(*times))
print(json.dumps({
    "runtime": "LiteRT " + version("ai-edge-litert") + ", XNNPACK, 1 thread",
    "rounds": rounds,
    "latency_us": {"ours": [1e6 * statistics.median(times[0]), 1e6 * min(times[0])],
                   "reference": [1e6 * statistics.median(times[1]), 1e6 * min(times[1])]},
    "ratio": statistics.median(ratios),
    "ratio_quartiles": [ratios[len(ratios) // 4], ratios[3 * len(ratios) // 4]],
    "ratio_of_least": min(times[0]) / min(times[1]),
    "accuracy": {"ours": accuracy[0], "reference": accuracy[1]},
}))
"""


def main() -> None:
    """Convert, and run both files."""
    root = Path(sys.argv[1])
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 40
    with tempfile.TemporaryDirectory() as scratch, Runner(Store(Path(scratch, "store"))) as runner:
        folder = Path(scratch)
        with np.load(root / "datasets/cifar10_ic01.npz") as stored:
            test, labels = stored["x_test"].astype(np.float32), stored["y_test"].astype(np.int64)
            train = stored["x_calib_unlabelled"].astype(np.float32)
        data = folder / "data"
        data.mkdir()
        np.savez(data / "data.npz", x_train=train, x_test=test, y_test=labels)
        np.savez(folder / "labelled.npz", x=test, y=labels)
        model = loader.load([root / MODELS / "pretrainedResnet.h5"], runner)
        tflite = registry.get("tflite")
        ports = {"precision": "int8", "input_type": "int8", "output_type": "int8"}
        request = Request(
            model, targets.load("raspberry-pi-4"), tflite.options(ports, "here"), data=data
        )
        ours = runner.run(tflite.compile(request)).path / "model.tflite"
        python = toolchains.ensure(toolchains.get("keras"))
        said = subprocess.run(
            [
                python, "-c", RUN, ours, root / MODELS / "pretrainedResnet_quant.tflite",
                str(rounds), folder / "labelled.npz",
            ],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        found = json.loads(said.splitlines()[-1])
    found |= {
        "edgeflow": edgeflow.__version__,
        "limit": LIMIT,
        "within": found["ratio"] <= LIMIT,
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
