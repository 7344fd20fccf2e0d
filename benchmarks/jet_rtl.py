"""The 16-64-32-32-5 jet tagger as RTL: exact or not, and its LUTs against two references.

    EDGEFLOW_DATA=DATA python benchmarks/jet_rtl.py [--models qkeras_3layer …] [--no-synthesis]

For each model: whether hls4ml's C simulation and the RTL simulation equal it to the bit on random
inputs, and the LUTs that the same ``synth_xilinx -family xc7`` (out of context, no DSP) counts for
(a) plain multiplications by constants, (b) this project's design, (c) da4ml's own operations with
its default settings. Goal: b at most half of a, and no more than c. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeflow import targets, verify
from edgeflow.backends.base import Request, Simulation
from edgeflow.backends.registry import get
from edgeflow.compress import methods
from edgeflow.frontends import loader, reference
from edgeflow.frontends.model import Model
from edgeflow.jobs import Finished, Job, Runner
from edgeflow.synthesis import flow
from edgeflow.verifying import on_grid

FOLDER = "models/hls4ml_examples/keras"
WAYS = {
    "naive": "edgeflow.backends.rtl.naive_job:compile",
    "ours": "edgeflow.backends.rtl.job:compile",
    "da4ml_default": "edgeflow.backends.rtl.plain_job:compile",
}


def load(name: str, runner: Runner) -> Model:
    """One of the two models; the Keras one is retrained to 6 bits on inputs drawn at random."""
    folder = Path(os.environ["EDGEFLOW_DATA"]) / FOLDER
    if name == "qkeras_3layer":
        files = [folder / "qkeras_3layer.json", folder / "qkeras_3layer_weights.h5"]
        return loader.load(files, runner)
    model = loader.load([folder / "KERAS_3layer.json", folder / "KERAS_3layer_weights.h5"], runner)
    data = runner.run(
        Job(
            "edgeflow.data_job:load",
            "keras",
            "data",
            {"file": own_labels(model, runner)},
            {"seed": 0},
        )
    )
    given = methods.options("qkeras", {"bits": 6, "epochs": 4}, "benchmark")
    job = methods.job("qkeras", model, data.path, {"seed": 0, **given}, "retrain to 6 bits")
    return Model(runner.run(job).path)


def own_labels(model: Model, runner: Runner) -> Path:
    """A dataset: random inputs, and the class that the float model gives each."""
    import tempfile

    import numpy as np

    folder = Path(tempfile.mkdtemp())
    x = np.random.default_rng(0).normal(size=(12000, 16)).astype(np.float32)
    np.savez(folder / "x.npz", x=x)
    golden = runner.run(reference.reference_job(model, folder / "x.npz")).path
    with np.load(golden / "golden.npz") as arrays:
        labels = arrays["y"].argmax(axis=1)
    cut = 10000
    np.savez(
        folder / "data.npz",
        x_train=x[:cut], y_train=labels[:cut], x_test=x[cut:], y_test=labels[cut:],
    )  # fmt: skip
    return folder / "data.npz"


def measure(name: str, runner: Runner, synthesis: bool) -> dict[str, Any]:
    """One model: exactness and LUTs."""
    model, backend = load(name, runner), get("rtl")
    target = targets.load("arty-a7-100t")
    options = backend.options({"style": "combinational", "build": "rtl"}, "benchmark")
    x = runner.run(
        Job(
            "edgeflow.golden_job:choose",
            "keras",
            "choose golden inputs",
            {"network": model.path / "network.json"},
            {"count": 1000, "seed": 0},
        )
    )
    golden = runner.run(reference.reference_job(model, x.path / "x.npz")).path
    request = Request(model, target, options, golden, name="jet")
    job = backend.compile(request)
    done = {way: runner.run(replace(job, entry=entry)) for way, entry in WAYS.items()}
    request, _ = on_grid(request, done["ours"].result, runner.run, None)
    found: dict[str, Any] = {
        "da4ml_cost": {way: d.result["cost"]["lut"] for way, d in done.items() if way != "naive"}
    }
    found["c_simulation"] = c_simulation(model, golden, runner)
    simulation = backend.simulate(request, done["ours"].path)[0]
    for way, finished in done.items():
        found[way] = {"simulation": exact(request, simulation, finished, runner)}
        if synthesis:
            job = flow.synthesis_job(
                finished.path / "verilog", finished.result["top"], "xc7", dsp=False, timeout=3600
            )
            made = runner.run(job)
            found[way]["lut"] = made.result["utilisation"]["lut"]
            found[way]["seconds"] = made.result["seconds"]
    if synthesis:
        ours, naive = found["ours"]["lut"], found["naive"]["lut"]
        found["naive_over_ours"] = round(naive / ours, 2)
        found["ours_over_da4ml_default"] = round(ours / found["da4ml_default"]["lut"], 3)
    return found


def c_simulation(model: Model, golden: Path, runner: Runner) -> dict[str, Any]:
    """The same for hls4ml's project."""
    backend = get("hls4ml")
    options = backend.options({"io": "parallel"}, "benchmark")
    request = Request(model, targets.load("alveo-u250"), options, golden, name="jet")
    compiled = runner.run(backend.compile(request))
    request, _ = on_grid(request, compiled.result, runner.run, None)
    return exact(request, backend.simulate(request, compiled.path)[0], compiled, runner)


def exact(
    request: Request, simulation: Simulation, finished: Finished, runner: Runner
) -> dict[str, Any]:
    """The comparison of one design's simulation with the model."""
    assert request.golden is not None
    inputs = {**simulation.job.inputs, "compiled": finished.path}
    outcome = runner.run(replace(simulation.job, inputs=inputs))
    compared = verify.compare(
        request.golden, outcome.path, simulation.tolerance, request.model.network
    )
    return {"inputs": compared.inputs, "equal": compared.equal, "exact": compared.equal == 1}


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", nargs="*", default=["qkeras_3layer", "keras_6bit"])
    parser.add_argument("--no-synthesis", action="store_true")
    given = parser.parse_args()
    with Runner() as runner:
        found = {name: measure(name, runner, not given.no_synthesis) for name in given.models}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
