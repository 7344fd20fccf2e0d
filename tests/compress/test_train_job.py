"""Training from listed layers: accuracy, history, and a clear error for each mistake."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeflow.compress import methods
from edgeflow.errors import DataError, InputError, RecipeError
from edgeflow.frontends.model import Model
from edgeflow.jobs import Finished, Runner


def test_accuracy_and_history(trained: Finished) -> None:
    assert trained.result["test_accuracy"] >= 0.97
    model = Model(trained.path)
    assert model.format == "keras3"
    history = model.history
    assert {"loss", "val_loss", "accuracy", "val_accuracy"} <= set(history)
    assert {len(values) for values in history.values()} == {trained.result["epochs"]}
    best = trained.result["best_epoch"]
    assert history["val_loss"][best - 1] == min(history["val_loss"])


def test_the_network_is_what_was_listed(trained: Finished, runner: Runner) -> None:
    model = Model(trained.path)
    kinds = [layer.kind for layer in model.network]
    assert kinds == [
        "input", "conv2d", "batch_norm", "relu", "conv2d", "batch_norm", "relu", "max_pool2d",
        "flatten", "dense",
    ]  # fmt: skip
    # by hand: 36 x 9 x 8 + 16 x 72 x 16 + 64 x 10
    assert model.network.totals.macs == trained.result["macs"] == 2592 + 18432 + 640


def test_the_best_weights_are_kept(trained: Finished, outputs: Any, digits: Path) -> None:
    with np.load(digits / "data.npz") as data:
        found = (outputs(trained.path).argmax(axis=1) == data["y_test"]).mean()
    assert found == trained.result["test_accuracy"]


def test_the_file_has_no_date(trained: Finished) -> None:
    with zipfile.ZipFile(trained.path / "model.keras") as archive:
        assert {item.date_time for item in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        record = json.loads(archive.read("metadata.json"))
    assert record["date_saved"].startswith("1980")


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["flaten"], "unknown layer 'flaten' .did you mean 'flatten'"),
        ([{"dense": {"unit": 3}}], "unknown argument 'unit' .did you mean 'units'"),
        ([{"dense": {"units": 3, "activation": "rellu"}}], "did you mean 'relu'"),
        ([{"lambda": {"function": "x"}}], "unknown layer 'lambda'"),
        ([{"dense": {"units": 3, "kernel_initializer": "x"}}], "unknown argument"),
        ([{"dense": {}}], "layer 1 .dense. cannot be made"),
        ([{"conv2d": {"filters": 2, "kernel_size": 99}}], "layer 1 .conv2d. cannot be made"),
        (
            [{"dense": {"units": 3, "name": "a"}}, {"dense": {"units": 3, "name": "a"}}],
            "unique",
        ),
    ],
)  # fmt: skip
def test_mistakes_in_layers(runner: Runner, digits: Path, layers: list[Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        runner.run(methods.train_job(digits, {"layers": layers, "epochs": 1}))


def test_all_mistakes_at_once(runner: Runner, digits: Path) -> None:
    layers = ["flaten", {"dense": {"unit": 3}}]
    with pytest.raises(RecipeError) as caught:
        runner.run(methods.train_job(digits, {"layers": layers}))
    assert len(caught.value.details) == 1


def test_outputs_that_are_too_few(runner: Runner, digits: Path) -> None:
    layers = ["flatten", {"dense": {"units": 9}}]
    with pytest.raises(DataError, match="9 classes apart, the labels have 10"):
        runner.run(methods.train_job(digits, {"layers": layers, "epochs": 1}))


def test_divergence(runner: Runner, digits: Path) -> None:
    layers = ["flatten", {"dense": {"units": 10, "activation": "exponential"}}]
    with pytest.raises(RecipeError, match="unknown activation"):
        runner.run(methods.train_job(digits, {"layers": layers, "epochs": 1}))
    layers = ["flatten", {"dense": {"units": 10}}, {"dense": {"units": 10}}]
    params = {"layers": layers, "epochs": 2, "learning_rate": 1e30}
    with pytest.raises(InputError, match="diverged"):
        runner.run(methods.train_job(digits, params))
