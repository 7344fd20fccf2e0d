"""Whatever a file computes, its Network computes: the Keras twin of each against its framework."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeflow.frontends.loader import load
from edgeflow.frontends.model import Model
from edgeflow.frontends.reference import reference_job
from edgeflow.jobs import Runner

Twin = Callable[[Model, Path], Path]


def compare(
    model: Model, x: Path, runner: Runner, twin: Twin, traced: int
) -> tuple[np.ndarray, np.ndarray]:
    """Reference and twin outputs; every traced layer agrees, and at least `traced` are."""
    reference = runner.run(reference_job(model, x)).path
    built = twin(model, x)
    mine, theirs = np.load(built / "trace.npz"), np.load(reference / "trace.npz")
    common = [layer.name for layer in model.network if layer.name in theirs.files]
    assert len(common) >= traced
    for name in common:
        scale = 1 + np.abs(theirs[name]).max()
        difference = np.abs(mine[name].reshape(-1) - theirs[name].reshape(-1)).max()
        assert difference < 1e-5 * scale, name
    return np.load(reference / "golden.npz")["y"], np.load(built / "golden.npz")["y"]


@pytest.mark.parametrize(
    ("folder", "file", "model_format", "kinds"),
    [
        ("keras2", "image.h5", "keras2", {"conv2d", "depthwise_conv2d", "conv2d_transpose", "prelu"}),
        ("keras2", "image.keras", "keras2", {"upsample", "crop", "pad", "layer_norm"}),
        ("keras2", "sequence.keras", "keras2", {"lstm", "gru", "simple_rnn", "conv1d", "scale"}),
        ("keras2", "nested.h5", "keras2", {"gelu", "softmax"}),
        ("keras2", "shared.h5", "keras2", {"dense", "add"}),
        ("keras2", "quantised.h5", "qkeras", {"quantize", "hard_tanh", "leaky_relu", "batch_norm"}),
        ("keras2", "quantised.keras", "qkeras", {"hard_sigmoid"}),
        ("keras2", "pair.json", "qkeras", {"hard_sigmoid"}),
        ("keras3", "image.keras", "keras3", {"conv2d", "depthwise_conv2d", "conv2d_transpose"}),
        ("keras3", "image.h5", "keras3", {"conv2d"}),
        ("keras3", "sequence.keras", "keras3", {"lstm", "gru", "hard_sigmoid"}),
        ("keras3", "nested.keras", "keras3", {"gelu"}),
        ("keras3", "shared.keras", "keras3", {"add"}),
        ("keras3", "hgq.keras", "hgq2", {"quantize", "conv2d", "dense"}),
        ("keras3", "image.onnx", "onnx", {"depthwise_conv2d", "conv2d_transpose", "upsample", "crop"}),
    ],
)  # fmt: skip
def test_network_computes_what_the_file_computes(
    made: dict[str, Path],
    runner: Runner,
    twin: Twin,
    folder: str,
    file: str,
    model_format: str,
    kinds: set[str],
) -> None:
    path = made[folder] / file
    stem = {"pair": "quantised"}.get(path.stem, path.stem)
    inputs = path.with_name(f"{stem}_onnx.npz" if path.suffix == ".onnx" else f"{stem}.npz")
    model = load([path], runner)
    assert model.format == model_format
    assert kinds <= {layer.kind for layer in model.network}
    assert not any(layer.kind == "opaque" for layer in model.network)
    reference, built = compare(model, inputs, runner, twin, traced=len(model.network.layers) - 3)
    if model.network.logits:
        golden = np.load(runner.run(reference_job(model, inputs)).path / "golden.npz")
        power = np.exp(golden["logits"] - golden["logits"].max(axis=-1, keepdims=True))
        soft = power / power.sum(axis=-1, keepdims=True)
        np.testing.assert_allclose(soft.reshape(golden["y"].shape), golden["y"], atol=2e-6)
    saved = np.load(inputs)["y"]
    exact = model_format in ("qkeras", "hgq2")
    np.testing.assert_allclose(reference, saved, atol=2e-6)
    np.testing.assert_allclose(built, reference, atol=1e-7 if exact else 2e-6)


def test_quantisers_of_qkeras(made: dict[str, Path], runner: Runner) -> None:
    network = load([made["keras2"] / "quantised.h5"], runner).network
    by_kind = {layer.kind: layer for layer in network}
    relu = by_kind["relu"].quantizer
    assert relu is not None
    assert (relu.kind, relu.bits, relu.integer, relu.signed) == ("fixed", 6, 2, False)
    kernel = by_kind["conv2d"].weights["kernel"]
    first = next(layer for layer in network if layer.kind == "conv2d")
    automatic = first.weights["kernel"].quantizer
    assert automatic is not None
    assert automatic.kind == "affine"
    assert automatic.bits == 4
    assert automatic.scale is not None
    assert len(automatic.scale) == 4
    assert kernel.bits == 6
    bits = [layer.weight_bits for layer in network if layer.kind == "dense"]
    assert bits == [2, 1, 3]
    bias = next(layer for layer in network if layer.kind == "dense").weights["bias"].quantizer
    assert bias is not None
    assert bias.kind == "po2"


def test_mean_bits_of_hgq(made: dict[str, Path], runner: Runner) -> None:
    model = load([made["keras3"] / "hgq.keras"], runner)
    arrays = np.load(model.weights)
    dense = model.network["q_dense"]
    kernel = dense.weights["kernel"].quantizer
    assert kernel is not None
    parts = [arrays[f"q_dense/kernel@{name}"] for name in ("signed", "integer", "fraction")]
    total = np.maximum(sum(np.broadcast_to(p, arrays["q_dense/kernel"].shape) for p in parts), 0)
    assert kernel.bits == pytest.approx(total.mean(), abs=1e-3)
    assert kernel.bits != round(kernel.bits)
    steps = 2.0 ** -np.broadcast_to(parts[2], total.shape)
    on_grid = arrays["q_dense/kernel"] / steps
    np.testing.assert_array_equal(on_grid, np.round(on_grid))


def test_the_same_file_gives_the_same_bytes(made: dict[str, Path], tmp_path: Path) -> None:
    from edgeflow.store import Store, hash_path

    found = []
    for name in ("one", "two"):
        with Runner(Store(tmp_path / name)) as runner:
            model = load([made["keras3"] / "image.keras"], runner)
            x = made["keras3"] / "image.npz"
            found.append(
                (hash_path(model.path), hash_path(runner.run(reference_job(model, x)).path))
            )
    assert found[0] == found[1]
