"""Small Networks with weights, and their targets, for the tests of the tpu backend."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from edgeflow.frontends.model import Model
from edgeflow.network import Layer, Network, Quantizer, Weight
from edgeflow.targets import Figure, Target


def tpu(generation: str = "v5e", **changes) -> Target:
    fields = {
        "name": f"tpu-{generation}",
        "title": f"TPU {generation}",
        "kind": "tpu",
        "vendor": "Google",
        "backends": ("tpu",),
        "chip": generation,
        "memory": {"hbm": Figure(16e9, "doc"), "bandwidth": Figure(819e9, "doc")},
        "settings": {"generation": generation},
        "sources": {"doc": "https://docs.example/tpu"},
    }
    return Target(**(fields | changes))


def small(quantizer: Quantizer | None = None) -> tuple[Network, dict[str, np.ndarray]]:
    """conv, relu, average pool, flatten, dense, softmax on 8 x 8 x 3."""
    random = np.random.default_rng(0)
    arrays = {
        "conv/kernel": random.normal(size=(3, 3, 3, 8)).astype(np.float32),
        "conv/bias": random.normal(size=8).astype(np.float32),
        "dense/kernel": random.normal(size=(128, 10)).astype(np.float32) / 10,
    }
    if quantizer is not None:
        arrays = {name: np.round(array * 16) / 16 for name, array in arrays.items()}
    weights = {name: Weight(array.shape) for name, array in arrays.items()}
    layers = (
        Layer("image", "input", output_shape=(8, 8, 3)),
        Layer(
            "conv", "conv2d", ("image",), ((8, 8, 3),), (8, 8, 8),
            {"strides": [1, 1], "padding": "same"},
            {"kernel": weights["conv/kernel"], "bias": weights["conv/bias"]}, macs=13824,
        ),
        Layer("relu", "relu", ("conv",), ((8, 8, 8),), (8, 8, 8), quantizer=quantizer),
        Layer("pool", "avg_pool2d", ("relu",), ((8, 8, 8),), (4, 4, 8), {"pool_size": [2, 2]}),
        Layer("flat", "flatten", ("pool",), ((4, 4, 8),), (128,)),
        Layer(
            "dense", "dense", ("flat",), ((128,),), (10,),
            weights={"kernel": weights["dense/kernel"]}, macs=1280,
        ),
        Layer("softmax", "softmax", ("dense",), ((10,),), (10,)),
    )  # fmt: skip
    return Network("small", layers, ("image",), ("softmax",), {"format": "keras3"}), arrays


def reference(x: np.ndarray, arrays: dict[str, np.ndarray], levels: float | None) -> np.ndarray:
    """What `small` computes, in float64 numpy; `levels` per unit of the unsigned 6-bit ReLU."""
    padded = np.pad(x.astype(np.float64), [(0, 0), (1, 1), (1, 1), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    y = np.einsum("bhwcij,ijco->bhwo", windows, arrays["conv/kernel"].astype(np.float64))
    y = np.maximum(y + arrays["conv/bias"], 0)
    if levels:
        y = np.clip(np.round(y * levels), 0, 63) / levels
    y = y.reshape(-1, 4, 2, 4, 2, 8).mean((2, 4)).reshape(len(x), -1) @ arrays["dense/kernel"]
    y = np.exp(y - y.max(1, keepdims=True))
    return y / y.sum(1, keepdims=True)


def save(folder: Path, network: Network, arrays: dict[str, np.ndarray]) -> Model:
    folder.mkdir(parents=True, exist_ok=True)
    network.save(folder / "network.json")
    np.savez(folder / "weights.npz", **arrays)
    (folder / "model.json").write_text(json.dumps({"format": "keras3", "source": []}))
    return Model(folder)


def golden(folder: Path, x: np.ndarray, y: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "golden.npz", x=x, y=y)
    return folder
