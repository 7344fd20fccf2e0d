"""LeNet-5 on MNIST as a streaming design: trained, checked in Verilator, measured on three boards.

Run: EDGEFLOW_DATA=... python benchmarks/lenet_rtl.py [--out lenet_rtl.json] [--bits 6]

For each board the reuse factors are chosen for its budget, the design is compared with the
model's logits on test digits, and yosys counts what it takes. The result is JSON on stdout.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow import targets
from edgeflow.backends.rtl import stream
from edgeflow.compress import methods
from edgeflow.frontends.model import Model
from edgeflow.frontends.reference import reference_job
from edgeflow.jobs import Finished, Job, Runner
from edgeflow.synthesis import devices, flow

LAYERS: list[Any] = [
    {"reshape": {"target_shape": [28, 28, 1]}},
    {"conv2d": {"filters": 6, "kernel_size": 5, "padding": "same"}},
    "relu",
    {"max_pooling2d": {"pool_size": 2}},
    {"conv2d": {"filters": 16, "kernel_size": 5}},
    "relu",
    {"max_pooling2d": {"pool_size": 2}},
    "flatten",
    {"dense": {"units": 120}},
    "relu",
    {"dense": {"units": 84}},
    "relu",
    {"dense": {"units": 10}},
]
BOARDS = ("ulx3s-85f", "ulx3s-25f", "tang-nano-9k")


def train(runner: Runner, data: Path, bits: int, limit: int, epochs: int) -> tuple[Model, Path]:
    """The quantised model, and the dataset's folder."""
    params = {"scale": 1 / 256, "limit": limit, "seed": 0}
    mnist = data / "datasets" / "mnist.npz"
    folder = runner.run(
        Job("edgeflow.data_job:load", "keras", "read the data", {"file": mnist}, params)
    ).path
    training = {
        "epochs": epochs, "batch_size": 64, "learning_rate": 0.002, "patience": 3,
        "validation_fraction": 0.1, "seed": 0,
    }  # fmt: skip
    model = Model(runner.run(methods.train_job(folder, training | {"layers": LAYERS})).path)
    options = methods.options("qkeras", training | {"bits": bits})
    return Model(runner.run(methods.job("qkeras", model, folder, options)).path), folder


def golden_of(runner: Runner, model: Model, data: Path, count: int) -> Finished:
    """The model's own outputs for the first test digits."""
    params = {"count": count, "seed": 0}
    inputs = {"network": model.path / "network.json", "data": data}
    chosen = runner.run(
        Job("edgeflow.golden_job:choose", "keras", "choose golden inputs", inputs, params)
    ).path
    with np.load(chosen / "x.npz", allow_pickle=False) as found:
        x = found["x"][:count]
    cut = runner.store.root / "lenet_x.npz"
    np.savez(cut, x=x)
    return runner.run(reference_job(model, cut))


def measure(
    runner: Runner, model: Model, golden: Path, labels: Any, name: str, synthesise: bool
) -> dict[str, Any]:
    """One board: the design, its simulation, its synthesis."""
    target = targets.load(name)
    compiled = runner.run(
        stream.compile_job(model, target, {"reuse_factor": "auto"}, golden, "lenet5")
    )
    simulated = runner.run(stream.simulate_job(compiled.path, golden, softmax=False))
    with np.load(golden / "golden.npz") as a, np.load(simulated.path / "outputs.npz") as b:
        y, got = a["y"], b["y"]
    design = json.loads((compiled.path / "design.json").read_text())
    clock = float(target.clock_mhz or 25)
    found: dict[str, Any] = {
        "exact": float(np.mean(y == got)),
        "inputs": len(y),
        "accuracy": float(np.mean(got.argmax(1) == labels[: len(y)])),
        "latency_cycles": design["latency_cycles"],
        "ii": design["ii"],
        "fps_at_board_clock": round(clock * 1e6 / design["ii"], 1),
        "clock_mhz": clock,
        "simulation_seconds": round(simulated.seconds, 1),
        "predicted": design["cost"],
        "reuse_factors": design["reuse_factors"],
        "budget": vars(stream.budget_of(target)),
    }
    if not synthesise:
        return found
    try:
        device = devices.device(target)
        assert device is not None
        layers = {name: own["instances"] for name, own in design["layers"].items()}
        job = flow.synthesis_job(
            compiled.path / "verilog", design["top"], device.family, layers=layers
        )
        done = runner.run(job)
        used = done.result["utilisation"]
        room = {
            key: figure.value
            for key in used
            if (figure := target.figure("resources", key)) is not None
        }
        found["synthesis"] = {
            "utilisation": used,
            "available": room,
            "fits": all(used[key] <= room[key] for key in room),
            "layers": done.result["layers"],
            "seconds": done.result["seconds"],
        }
    except Exception as error:  # noqa: BLE001 - one board's fault is a row of the table
        found["synthesis"] = {"error": str(error)}
    return found


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--bits", type=int, default=6)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--limit", type=int, default=10000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--boards", nargs="*", default=BOARDS)
    parser.add_argument("--train-only", action="store_true")
    parser.add_argument("--no-synthesis", action="store_true")
    given = parser.parse_args()
    data = Path(os.environ["EDGEFLOW_DATA"]).resolve()
    with Runner() as runner:
        model, folder = train(runner, data, given.bits, given.limit, given.epochs)
        golden = golden_of(runner, model, folder, given.count)
        with np.load(folder / "data.npz", allow_pickle=False) as arrays:
            labels = arrays["y_test"]
        with np.load(golden.path / "golden.npz", allow_pickle=False) as arrays:
            y = arrays["y"]
        report: dict[str, Any] = {
            "model": "LeNet-5, MNIST",
            "bits": given.bits,
            "parameters": model.network.totals.parameters,
            "macs": model.network.totals.macs,
            "accuracy": float(np.mean(y.argmax(1) == labels[: len(y)])),
            "boards": {},
        }
        if not given.train_only:
            for name in given.boards:
                report["boards"][name] = measure(
                    runner, model, golden.path, labels, name, not given.no_synthesis
                )
        else:
            report["model_path"], report["golden"] = str(model.path), str(golden.path)
    text = json.dumps(report, indent=1)
    if given.out:
        given.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
