"""Files that PyTorch exported: the Network's Keras twin gives what ONNX Runtime gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeflow.frontends.loader import load
from edgeflow.frontends.model import Model
from edgeflow.frontends.reference import reference_job
from edgeflow.jobs import Runner

FILES = sorted(Path(__file__).with_name("pytorch").glob("*.onnx"))
KINDS = {
    "images": {"conv2d", "depthwise_conv2d", "relu", "max_pool2d", "flatten", "dense"},
    "series": {"lstm", "gru", "slice", "dense", "softmax"},
    "signals": {"conv1d", "leaky_relu", "avg_pool1d", "concat", "conv1d_transpose", "pad", "dense"},
}


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_equal_to_onnx_runtime(
    runner: Runner, twin: Callable[[Model, Path], Path], tmp_path: Path, file: Path
) -> None:
    model = load([file], runner)
    network = model.network
    assert {layer.kind for layer in network} >= KINDS[file.stem.partition("_")[0]]
    shape = network[network.inputs[0]].output_shape
    x = np.random.default_rng(1).normal(size=(20, *shape)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x)
    want = np.load(runner.run(reference_job(model, tmp_path / "x.npz")).path / "golden.npz")["y"]
    found = np.load(twin(model, tmp_path / "x.npz") / "golden.npz")["y"]
    assert want.std(0).min() > 1e-3
    np.testing.assert_allclose(found, want, rtol=0, atol=2e-6)


def test_both_exporters_give_one_network(runner: Runner) -> None:
    assert len(FILES) == 6
    for name in KINDS:
        one, other = (load([path], runner).network for path in FILES if name in path.stem)
        assert [layer.kind for layer in one] == [layer.kind for layer in other]
        assert one.totals.macs == other.totals.macs > 0
