"""Conversion and C simulation of a QKeras model: edgeflow beside plain hls4ml calls, one run.

    EDGEFLOW_DATA=… python benchmarks/hls4ml_build.py [--inputs 10000] [--repeat 3]

plain: ``config_from_keras_model``, ``convert_from_keras_model``, ``compile``, ``predict`` in the
qkeras toolchain, in a process where everything is imported already. edgeflow: the compile job and
the simulate job, as a run has them (the model is loaded in both before the clock starts). Each is
run `repeat` times in turns, the least wall time counts. Both use hls4ml's Vitis backend with
io_parallel; the C++ compiler is the same.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from edgeflow import toolchains
from edgeflow.backends.base import Request
from edgeflow.backends.hls4ml.backend import BACKEND
from edgeflow.frontends import loader, reference
from edgeflow.jobs import Runner
from edgeflow.store import Store
from edgeflow.targets import load

FOLDER = "models/hls4ml_examples/keras"
FILES = ("qkeras_3layer.json", "qkeras_3layer_weights.h5")

PLAIN = """
import json, os, sys, time
os.environ["TF_USE_LEGACY_KERAS"] = "1"
import numpy as np, tensorflow, tf_keras
sys.modules["keras"] = tf_keras
from qkeras.utils import _add_supported_quantized_objects
import hls4ml
custom = {}
_add_supported_quantized_objects(custom)
model = tf_keras.models.model_from_json(open(sys.argv[1]).read(), custom_objects=custom)
model.load_weights(sys.argv[2])
x = np.load(sys.argv[3])
for index in range(int(sys.argv[4])):
    sys.stdin.readline()
    started = time.perf_counter()
    config = hls4ml.utils.config_from_keras_model(model, granularity="name", backend="Vitis")
    made = hls4ml.converters.convert_from_keras_model(
        model, hls_config=config, backend="Vitis", output_dir=f"{sys.argv[5]}/{index}",
        io_type="io_parallel", part="xcu250-figd2104-2L-e")
    made.compile()
    built = time.perf_counter()
    made.predict(x)
    done = time.perf_counter()
    print("@" + json.dumps({"build": built - started, "simulate": done - built}), flush=True)
"""


def main() -> None:
    """Run both, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    source = Path(os.environ["EDGEFLOW_DATA"]).resolve() / FOLDER
    files = [source / name for name in FILES]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        x = np.random.default_rng(0).normal(size=(asked.inputs, 16)).astype(np.float32)
        np.save(folder / "x.npy", x)
        np.savez(folder / "x.npz", x=x)
        print(json.dumps(compare(files, folder, asked.inputs, asked.repeat), indent=1))


def compare(files: list[Path], folder: Path, inputs: int, repeat: int) -> dict[str, object]:
    """Least wall times (s) of both, and their ratios."""
    toolchain = toolchains.get("qkeras")
    toolchains.ensure(toolchain)
    command = [str(toolchain.interpreter), "-c", PLAIN, *map(str, files), str(folder / "x.npy"),
               str(repeat), str(folder / "plain")]  # fmt: skip
    plain: list[dict[str, float]] = []
    ours: list[dict[str, float]] = []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for index in range(repeat):
            process.stdin.write("\n")
            process.stdin.flush()
            line = next(line for line in process.stdout if line.startswith("@"))
            plain.append(json.loads(line[1:]))
            print(f"plain {plain[-1]}", file=sys.stderr)
            ours.append(edgeflow(files, folder, index))
            print(f"edgeflow {ours[-1]}", file=sys.stderr)
    least = {
        name: {step: round(min(run[step] for run in runs), 3) for step in ("build", "simulate")}
        for name, runs in (("plain", plain), ("edgeflow", ours))
    }
    ratios = {
        step: round(least["edgeflow"][step] / least["plain"][step], 3)
        for step in ("build", "simulate")
    }
    return {
        "model": FILES[0], "inputs": inputs, "repeat": repeat, "cores": os.cpu_count(),
        "seconds": least, "ratio": ratios, "runs": {"plain": plain, "edgeflow": ours},
        "wanted": {"build": 1.2, "simulate": 1.0},
    }  # fmt: skip


def edgeflow(files: list[Path], folder: Path, index: int) -> dict[str, float]:
    """One build and one simulation with nothing in the store; the toolchain's server is warm."""
    target = load("alveo-u250")
    with Runner(Store(folder / f"store{index}")) as runner:
        model = loader.load(files, runner)
        golden = runner.run(reference.reference_job(model, folder / "x.npz")).path
        options = BACKEND.options({"io": "parallel"}, "benchmark")
        request = Request(model, target, options, golden, None, "three_layers")
        runner.warm("keras", ("numpy", "hls4ml"))
        runner.run(BACKEND.compile(Request(model, target, {**options, "bits": 19}, golden)))
        started = time.perf_counter()
        compiled = runner.run(BACKEND.compile(request))
        built = time.perf_counter()
        runner.run(BACKEND.simulate(request, compiled.path)[0].job)
        return {"build": built - started, "simulate": time.perf_counter() - built}


if __name__ == "__main__":
    main()
