"""A dataset, a trained float model, and a small model with branches, shared by these tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeflow.compress import methods
from edgeflow.frontends.folder_job import Draft, write_folder
from edgeflow.frontends.model import Model
from edgeflow.frontends.reference import reference_job
from edgeflow.jobs import Finished, Job, Runner

LAYERS: list[Any] = [
    {"conv2d": {"filters": 8, "kernel_size": 3, "use_bias": False}},
    "batch_normalization",
    "relu",
    {"conv2d": {"filters": 16, "kernel_size": 3, "use_bias": False}},
    "batch_normalization",
    "relu",
    {"max_pooling2d": {"pool_size": 2}},
    "flatten",
    {"dropout": {"rate": 0.3}},
    {"dense": {"units": 10}},
]
TRAINING = {"epochs": 40, "learning_rate": 0.005, "patience": 12, "seed": 0}


@pytest.fixture(scope="session")
def digits(runner: Runner) -> Path:
    job = Job("edgeflow.data_job:load", "keras", "digits", params={"source": "sklearn:digits"})
    return runner.run(job).path


@pytest.fixture(scope="session")
def trained(runner: Runner, digits: Path) -> Finished:
    return runner.run(methods.train_job(digits, {"layers": LAYERS, **TRAINING}))


@pytest.fixture(scope="session")
def retrain(runner: Runner, digits: Path) -> Callable[..., Finished]:
    """Retrain a model on the digits with the method's own options."""

    def do(method: str, model: Model, **given: Any) -> Finished:
        options = {"seed": 0, **methods.options(method, given)}
        return runner.run(methods.job(method, model, digits, options))

    return do


@pytest.fixture(scope="session")
def outputs(runner: Runner, digits: Path) -> Callable[[Path], np.ndarray]:
    """The outputs of a Model folder on the test digits, in its own framework."""

    def compute(folder: Path) -> np.ndarray:
        finished = runner.run(reference_job(Model(folder), digits, trace=0))
        with np.load(finished.path / "golden.npz") as golden:
            found: np.ndarray = golden["y"]
        return found

    return compute


@pytest.fixture(scope="session")
def branched(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Two convolutions added and concatenated, average pooling, a softmax; random weights."""
    random = np.random.default_rng(5)

    def weights(*shape: int) -> dict[str, Any]:
        return {"kernel": random.normal(0, 0.4, shape), "bias": random.normal(0, 0.1, shape[-1])}

    same = {"strides": [1, 1], "padding": "same"}
    draft = Draft()
    draft.add("input", "input", [], (8, 8, 1))
    draft.add("conv2d", "left", ["input"], (8, 8, 4), same, weights(3, 3, 1, 4))
    draft.add("conv2d", "right", ["input"], (8, 8, 4), same, weights(1, 1, 1, 4))
    draft.add("add", "sum", ["left", "right"], (8, 8, 4))
    draft.add("relu", "relu", ["sum"], (8, 8, 4))
    pool = {"pool_size": [2, 2], "strides": [2, 2], "padding": "valid"}
    draft.add("avg_pool2d", "pool", ["relu"], (4, 4, 4), pool)
    draft.add("conv2d", "more", ["pool"], (4, 4, 4), same, weights(3, 3, 4, 4))
    draft.add("relu", "more_relu", ["more"], (4, 4, 4))
    draft.add("concat", "both", ["pool", "more_relu"], (4, 4, 8), {"axis": -1})
    draft.add("global_avg_pool2d", "mean", ["both"], (8,), {"keepdims": False})
    draft.add("dense", "dense", ["mean"], (10,), {"units": 10}, weights(8, 10))
    draft.add("softmax", "softmax", ["dense"], (10,))
    network, arrays = draft.finish("branched", ["softmax"], {"format": "network"})
    folder = tmp_path_factory.mktemp("branched")
    write_folder(folder, network, arrays, "network")
    return Model(folder)
