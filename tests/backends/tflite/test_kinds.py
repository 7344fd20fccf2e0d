"""Each kind of layer alone: converted as the table says, run, and compared with float32."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeflow.backends.base import Request
from edgeflow.backends.tflite import support
from edgeflow.backends.tflite.backend import BACKEND
from edgeflow.frontends.model import Model
from edgeflow.jobs import Runner
from edgeflow.network import ACTIVATIONS, Layer, Network, Weight
from edgeflow.targets import Target

TARGET = Target("a-board", "A board", "linux_board", "nobody", ("tflite",), "chip")
IMAGE, LINE = (8, 8, 4), (12, 4)
ONE = {"strides": [1], "padding": "same", "dilation_rate": [1], "groups": 1}
TWO = {"strides": [1, 1], "padding": "same", "dilation_rate": [1, 1], "groups": 1}
NORM = {"gamma": (4,), "beta": (4,), "moving_mean": (4,), "moving_variance": (4,)}
POOL1 = {"pool_size": [2], "strides": [2], "padding": "valid"}
POOL2 = {"pool_size": [2, 2], "strides": [2, 2], "padding": "valid"}
STEPS = {"units": 6, "return_sequences": False}
TWICE = "concat add sub mul div maximum minimum average matmul".split()

Case = tuple[tuple[int, ...], tuple[int, ...], dict[str, Any], dict[str, tuple[int, ...]]]
CASES: dict[str, Case] = {
    "dense": (LINE, (12, 5), {}, {"kernel": (4, 5), "bias": (5,)}),
    "conv1d": (LINE, (12, 5), ONE, {"kernel": (3, 4, 5), "bias": (5,)}),
    "conv2d": (IMAGE, (8, 8, 5), TWO, {"kernel": (3, 3, 4, 5), "bias": (5,)}),
    "depthwise_conv1d": (LINE, LINE, ONE, {"kernel": (3, 4, 1), "bias": (4,)}),
    "depthwise_conv2d": (IMAGE, IMAGE, TWO, {"kernel": (3, 3, 4, 1), "bias": (4,)}),
    "conv1d_transpose": (LINE, (24, 5), {"strides": [2], "padding": "same"}, {"kernel": (3, 4, 5), "bias": (5,)}),
    "conv2d_transpose": (IMAGE, (16, 16, 5), {"strides": [2, 2], "padding": "same"}, {"kernel": (3, 3, 4, 5), "bias": (5,)}),
    "batch_norm": (IMAGE, IMAGE, {"epsilon": 1e-3, "axis": -1}, NORM),
    "scale": (IMAGE, IMAGE, {}, {"scale": (4,), "offset": (4,)}),
    "layer_norm": (LINE, LINE, {"epsilon": 1e-3, "axis": [-1]}, {"gamma": (4,), "beta": (4,)}),
    "max_pool1d": (LINE, (6, 4), POOL1, {}), "max_pool2d": (IMAGE, (4, 4, 4), POOL2, {}),
    "avg_pool1d": (LINE, (6, 4), POOL1, {}), "avg_pool2d": (IMAGE, (4, 4, 4), POOL2, {}),
    "global_avg_pool1d": (LINE, (4,), {}, {}), "global_avg_pool2d": (IMAGE, (4,), {}, {}),
    "global_max_pool1d": (LINE, (4,), {}, {}), "global_max_pool2d": (IMAGE, (4,), {}, {}),
    "flatten": (IMAGE, (256,), {}, {}), "reshape": (IMAGE, (64, 4), {}, {}),
    "transpose": (IMAGE, (4, 8, 8), {"dims": [3, 1, 2]}, {}),
    "pad": (IMAGE, (10, 10, 4), {"padding": [[1, 1], [1, 1], [0, 0]]}, {}),
    "crop": (IMAGE, (6, 6, 4), {"cropping": [[1, 1], [1, 1], [0, 0]]}, {}),
    "upsample": (IMAGE, (16, 16, 4), {"size": [2, 2]}, {}),
    "resize_bilinear": (IMAGE, (16, 16, 4), {"size": [16, 16]}, {}),
    "slice": (IMAGE, (4, 8, 4), {"begin": [0, 0, 0], "end": [4, 8, 4], "strides": [1, 1, 1]}, {}),
    "mean": (IMAGE, (4,), {"axis": [1, 2]}, {}), "max": (IMAGE, (4,), {"axis": [1, 2]}, {}),
    "sum": (IMAGE, (4,), {"axis": [1, 2]}, {}),
    "lstm": (LINE, (6,), STEPS, {"kernel": (4, 24), "recurrent_kernel": (6, 24), "bias": (24,)}),
    "gru": (LINE, (6,), STEPS, {"kernel": (4, 18), "recurrent_kernel": (6, 18), "bias": (2, 18)}),
    "simple_rnn": (LINE, (6,), STEPS, {"kernel": (4, 6), "recurrent_kernel": (6, 6), "bias": (6,)}),
    "embedding": ((12,), (12, 3), {}, {"embeddings": (10, 3)}),
    "quantize": (IMAGE, IMAGE, {}, {}), "dequantize": (IMAGE, IMAGE, {}, {}), "identity": (IMAGE, IMAGE, {}, {}),
    "matmul": (LINE, (12, 12), {"transpose_b": True}, {}),
    "concat": (IMAGE, (8, 8, 8), {}, {}),
    **{kind: (IMAGE, IMAGE, {}, {}) for kind in TWICE if kind not in ("matmul", "concat")},
    **{kind: (IMAGE, IMAGE, {}, {"alpha": (1, 1, 4)} if kind == "prelu" else {}) for kind in ACTIVATIONS},
}  # fmt: skip


def test_every_kind_has_a_case() -> None:
    assert set(CASES) == set(support.TABLE) - {"input", "constant"}


@pytest.mark.parametrize("kind", sorted(CASES))
def test_kind(kind: str, runner: Runner, tmp_path: Path) -> None:
    shape, output, attributes, roles = CASES[kind]
    layers = [Layer("x", "input", (), (), shape)]
    reads = ("x",)
    if kind in TWICE:
        layers.append(Layer("h", "sigmoid", ("x",), (shape,), shape))
        reads = ("x", "h")
    weights = {role: Weight(size) for role, size in roles.items()}
    layers.append(Layer("k", kind, reads, (shape,) * len(reads), output, attributes, weights))
    network = Network("n", tuple(layers), ("x",), ("k",), {"format": "network"})
    random = np.random.default_rng(0)
    network.save(tmp_path / "network.json")
    arrays = {
        f"k/{role}": np.abs(random.normal(0, 0.5, size)).astype(np.float32)
        for role, size in roles.items()
    }
    np.savez(tmp_path / "weights.npz", **arrays)
    (tmp_path / "model.json").write_text(json.dumps({"format": "network", "source": []}))
    x = random.uniform(0.1, 1, (20, *shape))
    if kind == "embedding":
        x = random.integers(0, 10, (20, *shape))
    data = tmp_path / "data"
    data.mkdir()
    np.savez(data / "data.npz", x_train=x.astype(np.float32))
    np.savez(data / "golden.npz", x=x.astype(np.float32), y=np.zeros((20, *output)))
    outputs = {}
    for precision in ("float32", "int8"):
        if precision not in support.TABLE[kind].precisions:
            continue
        options = BACKEND.options({"precision": precision}, "here")
        request = Request(Model(tmp_path), TARGET, options, data, data)
        built = runner.run(BACKEND.compile(request))
        if precision == "int8":
            assert built.result["float_operators"] == []
        job = BACKEND.simulate(request, built.path)[0].job
        outputs[precision] = np.load(runner.run(job).path / "outputs.npz")["y"]
    assert outputs["float32"].shape == (20, *output)
    if "int8" in outputs:
        # A minimum's inputs get its output's scale from the converter, and saturate there; tanh's
        # steps are 1/128 however small the range is.
        part = 0.15 if kind == "minimum" else 0.06
        allowed = max(part * np.ptp(outputs["float32"]), 2 / 128)
        assert np.abs(outputs["int8"] - outputs["float32"]).max() <= allowed
