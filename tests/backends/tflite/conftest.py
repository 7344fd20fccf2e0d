"""A small model with a residual path, written as a Model folder, and data for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeflow.frontends.model import Model
from edgeflow.network import Layer, Network, Quantizer, Weight, count_macs

SHAPE = (8, 8, 3)


def affine(scale: float, zero: int = -128) -> Quantizer:
    return Quantizer("affine", 8, scale=(scale,), zero_point=(zero,))


def _layers() -> list[Layer]:
    same = {"strides": [1, 1], "padding": "same", "dilation_rate": [1, 1], "use_bias": True}

    def norm(name: str, source: str) -> Layer:
        roles = ("gamma", "beta", "moving_mean", "moving_variance")
        weights = {role: Weight((4,)) for role in roles}
        return Layer(
            name,
            "batch_norm",
            (source,),
            ((8, 8, 4),),
            (8, 8, 4),
            {"epsilon": 1e-3, "axis": -1},
            weights,
        )

    return [
        Layer("image", "input", output_shape=SHAPE),
        Layer("conv", "conv2d", ("image",), (SHAPE,), (8, 8, 4),
              {**same, "filters": 4, "kernel_size": [3, 3], "groups": 1},
              {"kernel": Weight((3, 3, 3, 4)), "bias": Weight((4,))}),
        norm("norm", "conv"),
        Layer("conv_relu", "relu", ("norm",), ((8, 8, 4),), (8, 8, 4)),
        Layer("deep", "depthwise_conv2d", ("conv_relu",), ((8, 8, 4),), (8, 8, 4),
              {**same, "kernel_size": [3, 3], "depth_multiplier": 1},
              {"kernel": Weight((3, 3, 4, 1)), "bias": Weight((4,))}),
        Layer("deep_relu", "relu", ("deep",), ((8, 8, 4),), (8, 8, 4)),
        Layer("sum", "add", ("conv_relu", "deep_relu"), ((8, 8, 4),) * 2, (8, 8, 4)),
        Layer("pool", "max_pool2d", ("sum",), ((8, 8, 4),), (4, 4, 4),
              {"pool_size": [2, 2], "strides": [2, 2], "padding": "valid"}),
        Layer("flat", "flatten", ("pool",), ((4, 4, 4),), (64,)),
        Layer("logits", "dense", ("flat",), ((64,),), (5,), {"units": 5, "use_bias": True},
              {"kernel": Weight((64, 5)), "bias": Weight((5,))}),
        Layer("probs", "softmax", ("logits",), ((5,),), (5,), {"axis": -1}),
    ]  # fmt: skip


def write(folder: Path, network: Network, weights: dict[str, np.ndarray], form: str) -> Model:
    folder.mkdir(parents=True)
    layers = tuple(replace(layer, macs=count_macs(layer)) for layer in network)
    replace(network, layers=layers, source={"format": form}).save(folder / "network.json")
    np.savez(folder / "weights.npz", **weights)
    (folder / "model.json").write_text(json.dumps({"format": form, "source": []}))
    return Model(folder)


def _weights(network: Network) -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    found = {}
    for layer in network:
        for role, weight in layer.weights.items():
            values = random.normal(0, 0.5, weight.shape)
            if role == "moving_variance":
                values = 0.5 + np.abs(values)
            if role == "gamma":
                values = 1 + 0.2 * values
            found[f"{layer.name}/{role}"] = values.astype(np.float32)
    return found


@pytest.fixture(scope="session")
def float_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    network = Network("small", tuple(_layers()), ("image",), ("probs",))
    return write(tmp_path_factory.mktemp("float") / "model", network, _weights(network), "network")


@pytest.fixture(scope="session")
def trained_model(float_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The same layers as an int8-retrained model has them: norm folded, a quantiser everywhere."""
    scales = {
        "image": affine(2 / 255, -1), "conv_relu": affine(0.02), "deep_relu": affine(0.03),
        "sum": affine(0.04), "pool": affine(0.04), "flat": affine(0.04),
        "logits": affine(0.1, 5), "probs": affine(1 / 256),
    }  # fmt: skip
    weights = {k: v for k, v in _weights(float_model.network).items() if not k.startswith("norm")}
    layers = []
    for given in _layers():
        if given.name == "norm":
            continue
        layer = replace(given, inputs=("conv",)) if given.name == "conv_relu" else given
        roles = dict(layer.weights)
        if "kernel" in roles:
            kernel = weights[f"{layer.name}/kernel"]
            axis = 2 if layer.kind.startswith("depthwise") else kernel.ndim - 1
            rest = tuple(i for i in range(kernel.ndim) if i != axis)
            step = (np.abs(kernel).max(rest) / 120).astype(np.float32)
            shape = [-1 if i == axis else 1 for i in range(kernel.ndim)]
            scale = step.reshape(shape)
            weights[f"{layer.name}/kernel"] = (np.round(kernel / scale) * scale).astype(np.float32)
            zero = (0,) * len(step)
            quantizer = Quantizer(
                "affine", 8, narrow=True, scale=tuple(map(float, step)), zero_point=zero, axis=axis
            )
            roles["kernel"] = replace(roles["kernel"], bits=8, quantizer=quantizer)
        layers.append(replace(layer, weights=roles, quantizer=scales.get(layer.name)))
    network = Network("small", tuple(layers), ("image",), ("probs",))
    return write(tmp_path_factory.mktemp("trained") / "model", network, weights, "network")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(5)
    x = random.uniform(-1, 1, (300, *SHAPE)).astype(np.float32)
    y = random.integers(0, 5, 300)
    np.savez(folder / "data.npz", x_train=x[:200], y_train=y[:200], x_test=x[200:], y_test=y[200:])
    return folder


def compute(model: Model, x: np.ndarray) -> dict[str, np.ndarray]:
    """Every layer of the small model in numpy, with its quantisers: the tests' own reference."""
    w = {k: v.astype(np.float64) for k, v in np.load(model.weights).items()}
    out: dict[str, np.ndarray] = {}
    for layer in model.network:
        read = [out[name] for name in layer.inputs]
        y = _layer(layer, read, w) if read else x.astype(np.float64)
        if layer.quantizer is not None:
            scale, zero = layer.quantizer.scale[0], layer.quantizer.zero_point[0]
            y = (np.clip(np.round(y / scale) + zero, -128, 127) - zero) * scale
        out[layer.name] = y
    return out


def _layer(layer: Layer, read: list[np.ndarray], w: dict[str, np.ndarray]) -> np.ndarray:
    x, n = read[0], layer.name
    if layer.kind in ("conv2d", "depthwise_conv2d"):
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))  # n y x c i j
        formula = "nyxcij,ijco->nyxo" if layer.kind == "conv2d" else "nyxcij,ijcm->nyxc"
        return np.einsum(formula, windows, w[f"{n}/kernel"]) + w[f"{n}/bias"]
    if layer.kind == "batch_norm":
        g = w[f"{n}/gamma"] / np.sqrt(w[f"{n}/moving_variance"] + 1e-3)
        return (x - w[f"{n}/moving_mean"]) * g + w[f"{n}/beta"]
    if layer.kind == "max_pool2d":
        return x.reshape(len(x), 4, 2, 4, 2, -1).max((2, 4))
    if layer.kind == "dense":
        return x @ w[f"{n}/kernel"] + w[f"{n}/bias"]
    if layer.kind == "softmax":
        e = np.exp(x - x.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)
    return {
        "relu": lambda: np.maximum(x, 0),
        "add": lambda: x + read[-1],
        "flatten": lambda: x.reshape(len(x), -1),
    }[layer.kind]()


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Callable[[Model], Path]:
    """Makes a model's golden folder with the numpy reference."""

    def make(model: Model) -> Path:
        folder = tmp_path_factory.mktemp("golden")
        x = np.load(data / "data.npz")["x_test"]
        layers = compute(model, x)
        np.savez(folder / "golden.npz", x=x, y=layers[model.network.outputs[0]].astype(np.float32))
        np.savez(folder / "trace.npz", **{k: v[:8].astype(np.float32) for k, v in layers.items()})
        return folder

    return make
