"""Batch norm folding, the table of `inspect`, and a Network read back from its JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgeflow.errors import ModelError
from edgeflow.frontends.describe import HEADINGS, rows, totals_text
from edgeflow.frontends.fold_job import fold_batch_norm
from edgeflow.frontends.folder_job import load_arrays, write_folder
from edgeflow.frontends.loader import load, load_network
from edgeflow.frontends.model import Model
from edgeflow.frontends.reference import reference_job
from edgeflow.jobs import Runner


def test_a_batch_norm_behind_an_activation_stays(made: dict[str, Path], runner: Runner) -> None:
    model = load([made["keras2"] / "image.h5"], runner)
    network, _ = fold_batch_norm(model.network, load_arrays(model.weights))
    assert any(layer.kind == "batch_norm" for layer in network)
    assert network == model.network


def test_folding_a_chain(runner: Runner, data_root: Path, tmp_path: Path) -> None:
    path = data_root / "models/mlperf_tiny/visual_wake_words/trained_models/vww_96.h5"
    model = load([path], runner)
    network, arrays = fold_batch_norm(model.network, load_arrays(model.weights))
    assert not any(layer.kind == "batch_norm" for layer in network)
    assert network.totals.macs == model.network.totals.macs
    write_folder(tmp_path / "folded", network, arrays, "network")
    x = np.random.default_rng(0).uniform(0, 1, (16, 96, 96, 3)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x)
    outputs = [
        np.load(runner.run(reference_job(item, tmp_path / "x.npz", 0)).path / "golden.npz")["y"]
        for item in (model, Model(tmp_path / "folded"))
    ]
    np.testing.assert_allclose(outputs[0], outputs[1], atol=1e-5)


def test_inspect_json_is_a_network(made: dict[str, Path], runner: Runner, tmp_path: Path) -> None:
    model = load([made["keras3"] / "image.keras"], runner)
    record = model.network.to_json()
    assert record["totals"]["parameters"] == model.network.totals.parameters > 0
    path = tmp_path / "network.json"
    path.write_text(json.dumps(record))
    assert load_network(path) == model.network
    with pytest.raises(ModelError, match="which has no weights"):
        load([path], runner)
    table = rows(model.network)
    assert len(table) == len(model.network.layers)
    assert len(HEADINGS) == 8
    assert table[0].kind == "input"
    assert "MACs" in totals_text(model.network)


def test_counts_of_zeros(data_root: Path, runner: Runner) -> None:
    folder = data_root / "models/hls4ml_examples/keras"
    pruned = folder / "KERAS_3layer_95pruned_retrained_weights.h5"
    model = load([folder / "KERAS_3layer.json", pruned], runner)
    kernels = [layer.sparsity for layer in model.network if layer.kind == "dense"]
    assert all(share is not None and share > 0.5 for share in kernels[:3])
    arrays = load_arrays(model.weights)
    for layer in model.network:
        for role, weight in layer.weights.items():
            assert weight.nonzero == np.count_nonzero(arrays[f"{layer.name}/{role}"])
