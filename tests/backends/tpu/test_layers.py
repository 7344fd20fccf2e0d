"""Every kind of Keras layer: the graph on CPU against Keras itself."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edgeflow import toolchains
from edgeflow.backends.base import Request
from edgeflow.backends.tpu.backend import BACKEND
from edgeflow.frontends import loader, reference
from edgeflow.verify import compare

HERE = Path(__file__).parent
spec = importlib.util.spec_from_file_location("tpu_networks", HERE / "networks.py")
networks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(networks)

MODELS = (
    "convolutions", "convolutions_1d", "pools_and_shapes", "merges", "recurrent", "embedded", "two_outputs", "hgq2",
)  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    python = toolchains.ensure(toolchains.get("keras"))
    subprocess.run(
        [python, HERE / "make_models.py", folder],
        check=True,
        timeout=300,
        capture_output=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    return folder


@pytest.mark.parametrize("name", MODELS)
def test_graph_equals_keras(runner, made, name):
    model = loader.load([made / f"{name}.keras"], runner)
    golden, simulated, found = verified(runner, model, made / f"{name}.npz")
    with np.load(golden / "golden.npz") as stored:
        assert stored["y"].std() > 1e-3  # an output that says nothing would agree with anything
    assert found.passed, found
    if name == "hgq2":
        assert found.equal == 1
    # The inner layers too: their outputs are what names the first layer that diverges.
    with (
        np.load(golden / "trace.npz") as want,
        np.load(simulated / "trace.npz") as have,
    ):
        shared = set(want.files) & set(have.files)
        assert len(shared) >= 3
        for layer in shared:
            a, b = want[layer], have[layer]
            np.testing.assert_allclose(b[: len(a)].reshape(a.shape), a, rtol=2e-4, atol=2e-4)


def verified(runner, model, x):
    """Compile and run; returns the golden folder, the simulation's, and how they compare."""
    options = BACKEND.options({"batch": 4}, "here")
    target = networks.tpu()
    assert BACKEND.check(model.network, target, options) == []
    golden = runner.run(reference.reference_job(model, x)).path
    request = Request(model, target, options, golden=golden)
    compiled = runner.run(BACKEND.compile(request))
    (simulation,) = BACKEND.simulate(request, compiled.path)
    simulated = runner.run(simulation.job).path
    return golden, simulated, compare(golden, simulated, simulation.tolerance, model.network)


REAL = {
    "mlperf_tiny/image_classification/trained_models/pretrainedResnet.h5": 1e-5,
    "mlperf_tiny/anomaly_detection/trained_models/ad01.h5": 1e-4,
    "mlperf_tiny_fpga/v0.7/ad/AD08/training/trained_model/model.h5": 0,
}
"""Models that nobody here wrote, and the largest difference seen, rounded up."""


@pytest.mark.parametrize("file", REAL)
def test_graph_equals_a_real_model(runner, data_root, tmp_path, file):
    model = loader.load([data_root / "models" / file], runner)
    shape = model.network[model.network.inputs[0]].output_shape
    x = np.random.default_rng(0).normal(size=(24, *shape)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x)
    _, _, found = verified(runner, model, tmp_path / "x.npz")
    assert found.passed, found
    assert found.max_difference <= REAL[file]
