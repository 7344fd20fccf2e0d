"""From an ONNX file (a small CNN that PyTorch exported): retrained to int8, and compiled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeflow import targets, verify
from edgeflow.backends import registry
from edgeflow.backends.base import Request
from edgeflow.compress import methods
from edgeflow.frontends.loader import load
from edgeflow.frontends.model import Model
from edgeflow.frontends.reference import reference_job
from edgeflow.jobs import Job, Runner

FILE = Path(__file__).parents[2] / "frontends/pytorch/images_dynamo_batch.onnx"


@pytest.fixture(scope="module")
def data(runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("data") / "data.npz"
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 1, 8, 8)).astype(np.float32)
    y = (x[:, 0, 0].argmax(axis=1)).astype(np.int64)
    np.savez(file, x_train=x[:160], y_train=y[:160], x_test=x[160:], y_test=y[160:])
    job = Job("edgeflow.data_job:load", "keras", "data", {"file": file}, {"seed": 0})
    return runner.run(job).path


@pytest.fixture(scope="module")
def retrained(runner: Runner, data: Path) -> Model:
    model = load([FILE], runner)
    options = methods.options("int8", {"epochs": 2})
    job = methods.job("int8", model, data, {"seed": 0, **options})
    return Model(runner.run(job).path)


def agree(runner: Runner, model: Model, data: Path, target: str, backend: str) -> list[float]:
    """Compile, run, compare; the fraction of equal outputs of each runtime."""
    golden = runner.run(reference_job(model, data)).path
    chosen = registry.get(backend)
    options = chosen.options({}, "here")
    where = targets.load(target)
    assert not chosen.check(model.network, where, options)
    request = Request(model, where, options, golden, data)
    compiled = runner.run(chosen.compile(request)).path
    found = []
    for simulation in chosen.simulate(request, compiled):
        if not simulation.deciding:
            continue
        ran = runner.run(simulation.job).path
        compared = verify.compare(golden, ran, simulation.tolerance, model.network)
        assert compared.passed, compared.explanation
        found.append(compared.equal)
    return found


def test_retrained_to_int8_and_compiled(runner: Runner, retrained: Model, data: Path) -> None:
    assert all(layer.weight_bits in (8, None) for layer in retrained.network)
    (equal,) = agree(runner, retrained, data, "raspberry-pi-4", "onnxruntime")
    assert equal > 0.98


@pytest.mark.parametrize(
    ("target", "backend"),
    [("raspberry-pi-4", "tflite"), ("tpu-v4", "tpu"), ("raspberry-pi-4", "onnxruntime")],
)
def test_float_onnx_to_other_backends(
    runner: Runner, data: Path, target: str, backend: str
) -> None:
    assert agree(runner, load([FILE], runner), data, target, backend)


def test_hls4ml_takes_the_retrained_model(retrained: Model) -> None:
    chosen = registry.get("hls4ml")
    options = chosen.options({}, "here")
    assert chosen.check(retrained.network, targets.load("pynq-z2"), options) == []
