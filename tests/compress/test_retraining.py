"""The three retrainings: accuracy, what they carry over, how weights are rounded, determinism."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeflow.compress import methods
from edgeflow.errors import DataError, ModelError, RecipeError, UnsupportedError
from edgeflow.frontends.folder_job import Draft, load_arrays, write_folder
from edgeflow.frontends.model import Model
from edgeflow.jobs import Finished, Job, Runner
from edgeflow.network import Quantizer
from edgeflow.store import Store

Retrain = Callable[..., Finished]
Outputs = Callable[[Path], np.ndarray]
LEAST = {"qkeras": 0.965, "hgq2": 0.965, "int8": 0.97}


@pytest.mark.parametrize("method", ["qkeras", "hgq2", "int8"])
def test_accuracy(
    method: str, trained: Finished, retrain: Retrain, outputs: Outputs, digits: Path
) -> None:
    finished = retrain(method, Model(trained.path))
    with np.load(digits / "data.npz") as data:
        found = (outputs(finished.path).argmax(axis=1) == data["y_test"]).mean()
    assert found >= LEAST[method]
    # the saved files compute what was trained
    assert found == pytest.approx(finished.result["test_accuracy"], abs=1e-9)
    assert len(Model(finished.path).history["loss"]) == finished.result["epochs"]


@pytest.mark.parametrize(
    ("method", "given", "format_", "error"),
    [
        ("qkeras", {"bits": 24}, "qkeras", 1e-3),
        ("qkeras", {"bits": 16}, "qkeras", 2e-2),
        ("hgq2", {"bits": 20}, "hgq2", 1e-3),
        ("int8", {}, "network", 0.8),
        ("qkeras", {"bits": 8}, "qkeras", 2.0),
    ],
)
def test_without_training_the_twin_computes_the_same(
    trained: Finished, retrain: Retrain, outputs: Outputs, method: str, given: Any, format_: str,
    error: float,
) -> None:  # fmt: skip
    """Batch norm folded, weights carried over: what differs is the rounding alone."""
    finished = retrain(method, Model(trained.path), epochs=0, **given)
    model = Model(finished.path)
    assert model.format == format_
    assert not any(layer.kind == "batch_norm" for layer in model.network)
    before, after = outputs(trained.path), outputs(finished.path)
    assert np.abs(before).max() > 5  # logits: the bounds below are small beside them
    assert np.abs(before - after).max() < error
    assert (before.argmax(axis=1) == after.argmax(axis=1)).mean() > 0.97


def steps(q: Quantizer, values: np.ndarray) -> np.ndarray:
    """The values in units of their quantiser's step."""
    if q.kind == "fixed":
        assert q.integer is not None
        return values * 2.0 ** (q.bits - q.integer - q.signed)
    scale = np.array(q.scale, np.float64)
    if q.axis is not None:
        scale = scale.reshape(values.shape[q.axis :])
    return values / scale


@pytest.mark.parametrize("method", ["qkeras", "hgq2", "int8"])
def test_saved_weights_are_rounded(method: str, trained: Finished, retrain: Retrain) -> None:
    model = Model(retrain(method, Model(trained.path)).path)
    arrays = load_arrays(model.weights)
    checked = 0
    for layer in model.network:
        for role, weight in layer.weights.items():
            q = weight.quantizer
            assert q is not None, (layer.name, role)
            level = steps(q, arrays[f"{layer.name}/{role}"].astype(np.float64))
            assert np.abs(level - np.round(level)).max() < 0.01 * max(1, 2.0 ** (q.bits - 24))
            assert np.abs(np.round(level)).max() <= 2 ** (q.bits - 1)
            assert weight.bits == (8 if method == "int8" else 6) or role == "bias"
            assert weight.nonzero == np.count_nonzero(arrays[f"{layer.name}/{role}"])
            checked += 1
    assert checked == 6


def test_bits_by_layer(trained: Finished, retrain: Retrain) -> None:
    given = {"bits": 6, "layers": {"dense_10": {"weight_bits": 4, "integer": 1},
                                   "relu_3": {"activation_bits": 5}}}  # fmt: skip
    for method, relu in (("qkeras", "relu_3"), ("hgq2", "relu_3_quantize")):
        network = Model(retrain(method, Model(trained.path), epochs=0, **given).path).network
        quantizer = network["dense_10"].weights["kernel"].quantizer
        assert quantizer is not None
        assert (quantizer.bits, quantizer.integer) == (4, 1)
        assert network["conv2d_4"].weight_bits == 6
        assert network[relu].activation_bits == 5


def test_int8_follows_the_rules_of_tflite(trained: Finished, retrain: Retrain) -> None:
    network = Model(retrain("int8", Model(trained.path)).path).network
    conv = network["conv2d_1"].weights["kernel"].quantizer
    assert conv is not None
    assert conv.axis == 3
    assert conv.scale is not None
    assert len(conv.scale) == 8
    assert set(conv.zero_point or ()) == {0}
    assert network["conv2d_1"].quantizer is None  # the relu is fused into it
    relu = network["relu_3"].quantizer
    assert relu is not None
    assert relu.zero_point == (-128,)
    assert network["max_pooling2d_7"].quantizer == network["relu_6"].quantizer
    assert network["flatten_8"].quantizer == network["relu_6"].quantizer
    bias = network["conv2d_4"].weights["bias"].quantizer
    kernel = network["conv2d_4"].weights["kernel"].quantizer
    assert bias is not None
    assert kernel is not None
    np.testing.assert_allclose(bias.scale, np.array(kernel.scale) * np.array(relu.scale), rtol=1e-6)


def test_branches_int8(branched: Model, retrain: Retrain, outputs: Outputs) -> None:
    finished = retrain("int8", branched, epochs=2)
    network = Model(finished.path).network
    quantizers = {layer.name: layer.quantizer for layer in network}
    assert quantizers["softmax"] == Quantizer("affine", 8, scale=(1 / 256,), zero_point=(-128,))
    # a concatenation and all that it reads have one scale, the pool's input too
    assert len({quantizers[n] for n in ("both", "pool", "more_relu", "relu")}) == 1
    assert quantizers["left"] is not None
    assert quantizers["sum"] is None
    assert quantizers["mean"] != quantizers["both"]
    y = outputs(finished.path)
    np.testing.assert_allclose(np.round(y * 256), y * 256, atol=1e-4)


@pytest.mark.parametrize("method", ["qkeras", "hgq2"])
def test_branches_fixed_point(
    method: str, branched: Model, retrain: Retrain, outputs: Outputs
) -> None:
    finished = retrain(method, branched, epochs=0, bits=20, input_bits=12)
    assert finished.result["stripped"] == "softmax"
    logits = outputs(finished.path).astype(np.float64)
    odds = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.abs(odds - outputs(branched.path)).max() < 2e-3


@pytest.mark.parametrize(
    ("method", "given", "error"), [("int8", {}, 0.05), ("qkeras", {"bits": 20}, 1e-4)]
)
def test_depthwise(
    tmp_path: Path, retrain: Retrain, outputs: Outputs, method: str, given: Any, error: float
) -> None:
    """Padding, a depthwise convolution with multiplier 2, its batch norm, a relu6."""
    random = np.random.default_rng(4)
    draft = Draft()
    draft.add("input", "input", [], (8, 8, 1))
    window = {"strides": [1, 1], "padding": "valid"}
    kernel = {"kernel": random.normal(0, 0.5, (1, 1, 1, 3))}
    draft.add("conv2d", "spread", ["input"], (8, 8, 3), window, kernel)
    pairs = {"padding": [[1, 1], [1, 1], [0, 0]]}
    draft.add("pad", "pad", ["spread"], (10, 10, 3), pairs)
    kernel = {"kernel": random.normal(0, 0.5, (3, 3, 3, 2)) * [0.1, 3]}
    draft.add("depthwise_conv2d", "depth", ["pad"], (8, 8, 6), window, kernel)
    norm = {role: random.random(6) + 0.5
            for role in ("gamma", "beta", "moving_mean", "moving_variance")}  # fmt: skip
    draft.add("batch_norm", "norm", ["depth"], (8, 8, 6), {"epsilon": 1e-3, "axis": -1}, norm)
    draft.add("relu", "relu", ["norm"], (8, 8, 6), {"max_value": 6.0} if method == "int8" else {})
    draft.add("global_avg_pool2d", "mean", ["relu"], (6,), {"keepdims": False})
    kernel = {"kernel": random.normal(0, 0.5, (6, 10))}
    draft.add("dense", "dense", ["mean"], (10,), {"units": 10}, kernel)
    write_folder(tmp_path, *draft.finish("m", ["dense"], {"format": "network"}), "network")
    finished = retrain(method, Model(tmp_path), epochs=0, **given)
    before = outputs(tmp_path)
    assert np.abs(before - outputs(finished.path)).max() < error * np.abs(before).max()
    quantizer = Model(finished.path).network["depth"].weights["kernel"].quantizer
    assert quantizer is not None
    assert method != "int8" or len(quantizer.scale or ()) == 6


def test_learnt_bits(trained: Finished, retrain: Retrain) -> None:
    model = Model(trained.path)
    finished = retrain("hgq2", model, bits="auto", epochs=10, beta=1e-5, learning_rate=0.01)
    start = retrain("hgq2", model, bits="auto", epochs=0)
    assert 0 < finished.result["ebops"] < 0.8 * start.result["ebops"]
    assert finished.result["test_accuracy"] > 0.9
    assert "penalty" in Model(finished.path).history


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_same_job_gives_the_same_bytes(runner: Runner, tmp_path: Path) -> None:
    """All jobs twice, in two stores and two sets of processes: no file differs."""

    def chain(runner: Runner) -> dict[str, dict[str, bytes]]:
        params = {"source": "sklearn:digits", "limit": 200}
        data = runner.run(Job("edgeflow.data_job:load", "keras", "data", params=params)).path
        layers = [{"conv2d": {"filters": 2, "kernel_size": 3}}, "batch_normalization", "relu",
                  "flatten", {"dense": {"units": 10}}]  # fmt: skip
        train = {"layers": layers, "epochs": 2, "seed": 7}
        folders = {"data": data, "train": runner.run(methods.train_job(data, train)).path}
        model = Model(folders["train"])
        for method in ("qkeras", "hgq2", "int8"):
            options = {"seed": 7, **methods.options(method, {"epochs": 2})}
            folders[method] = runner.run(methods.job(method, model, data, options)).path
        return {name: _contents(folder) for name, folder in folders.items()}

    with Runner(Store(tmp_path / "other")) as other:
        again = chain(other)
    first = chain(runner)
    assert [(n, f) for n in first for f in first[n] if first[n][f] != again[n][f]] == []
    assert {"weights.npz", "network.json", "model.h5", "history.json"} <= set(first["qkeras"])


def test_layers_that_no_method_knows(tmp_path: Path, retrain: Retrain, branched: Model) -> None:
    arrays = load_arrays(branched.weights)
    layers = tuple(
        replace(layer, kind="opaque", attributes={"type": "Mystery"})
        if layer.name in ("sum", "mean")
        else layer
        for layer in branched.network
    )
    write_folder(tmp_path, branched.network.with_layers(layers), arrays, "network")
    for method in ("qkeras", "hgq2", "int8"):
        with pytest.raises(UnsupportedError) as caught:
            retrain(method, Model(tmp_path))
        assert len(caught.value.details) == 2
        assert "Mystery" in str(caught.value)


def test_a_batch_norm_that_cannot_be_folded(tmp_path: Path, retrain: Retrain) -> None:
    draft = Draft()
    draft.add("input", "input", [], (8, 8, 1))
    ones = {role: np.ones(1) for role in ("gamma", "beta", "moving_mean", "moving_variance")}
    draft.add("batch_norm", "norm", ["input"], (8, 8, 1), {"epsilon": 1e-3, "axis": -1}, ones)
    draft.add("flatten", "flatten", ["norm"], (64,))
    draft.add("dense", "dense", ["flatten"], (10,), {"units": 10}, {"kernel": np.ones((64, 10))})
    write_folder(tmp_path, *draft.finish("m", ["dense"], {"format": "network"}), "network")
    with pytest.raises(UnsupportedError, match="'norm' follows 'input'"):
        retrain("qkeras", Model(tmp_path))


def test_nan_weights(tmp_path: Path, retrain: Retrain, branched: Model) -> None:
    arrays = load_arrays(branched.weights)
    arrays["left/kernel"][0] = np.nan
    write_folder(tmp_path, branched.network, arrays, "network")
    with pytest.raises(ModelError, match="left/kernel"):
        retrain("int8", Model(tmp_path))


def test_negative_integer_bits(trained: Finished, retrain: Retrain) -> None:
    layers = {"dense_10": {"integer": -1}}
    with pytest.raises(RecipeError, match="at least 0 integer bits, found -1"):
        retrain("qkeras", Model(trained.path), layers=layers, epochs=0)
    network = Model(retrain("hgq2", Model(trained.path), layers=layers, epochs=0).path).network
    quantizer = network["dense_10"].weights["kernel"].quantizer
    assert quantizer is not None
    assert quantizer.integer == -1


@pytest.mark.parametrize("task", ["reconstruction", "regression", "binary"])
def test_other_tasks(runner: Runner, tmp_path: Path, task: str) -> None:
    """An autoencoder, a regression and a yes or no: each learns, and each is retrained."""
    x = np.random.default_rng(2).random((400, 6)).astype(np.float32)
    x[:, 3:] = x[:, :3]
    y = {"regression": x[:, 0] - x[:, 1], "binary": (x[:, 0] > x[:, 1]).astype(int)}
    arrays = {"x": x} if task == "reconstruction" else {"x": x, "y": y[task]}
    np.savez(tmp_path / "d.npz", **arrays)
    given = {"file": tmp_path / "d.npz"}
    data = runner.run(Job("edgeflow.data_job:load", "keras", "data", given)).path
    units = 6 if task == "reconstruction" else 1
    layers = [{"dense": {"units": 12, "activation": "relu"}}, {"dense": {"units": units}}]
    params = {"layers": layers, "epochs": 20, "learning_rate": 0.02, "seed": 0}
    trained = runner.run(methods.train_job(data, params))
    for method in ("qkeras", "hgq2", "int8"):
        options = {"seed": 0, **methods.options(method, {"epochs": 4})}
        found = runner.run(methods.job(method, Model(trained.path), data, options)).result
        for result in (trained.result, found):
            if task == "binary":
                assert result["test_accuracy"] > 0.9
            else:
                assert result["test_mse"] < 0.3 * float(np.var(arrays.get("y", x)))


def test_data_that_does_not_fit(runner: Runner, tmp_path: Path, trained: Finished) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((40, 6, 6, 1)), y=np.arange(40) % 4)
    given = {"file": tmp_path / "d.npz"}
    data = runner.run(Job("edgeflow.data_job:load", "keras", "data", given)).path
    job = methods.job("qkeras", Model(trained.path), data, methods.options("qkeras", {}))
    with pytest.raises(DataError, match="expected|takes inputs of shape .8 x 8 x 1"):
        runner.run(job)
