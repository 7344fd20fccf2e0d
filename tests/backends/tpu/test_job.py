from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeflow import toolchains
from edgeflow.backends.base import Request
from edgeflow.backends.tpu.backend import BACKEND
from edgeflow.backends.tpu.checks import SUPPORTED
from edgeflow.errors import EdgeflowError
from edgeflow.jobs import Runner, job_key
from edgeflow.network import Quantizer
from edgeflow.store import Store, hash_path
from edgeflow.verify import compare

spec = importlib.util.spec_from_file_location(
    "tpu_networks", Path(__file__).with_name("networks.py")
)
networks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(networks)

SIX_BITS = Quantizer("fixed", 6, signed=False, integer=3)


def compiled_and_simulated(runner, tmp_path, quantizer, options):
    network, arrays = networks.small(quantizer)
    model = networks.save(tmp_path / "model", network, arrays)
    x = np.random.default_rng(1).normal(size=(50, 8, 8, 3)).astype(np.float32)
    if quantizer is not None:
        x = np.round(x * 16) / 16
    y = networks.reference(x, arrays, 8.0 if quantizer else None)
    request = Request(
        model, networks.tpu(), BACKEND.options(options, "here"),
        golden=networks.golden(tmp_path / "golden", x, y),
    )  # fmt: skip
    compiled = runner.run(BACKEND.compile(request))
    (simulation,) = BACKEND.simulate(request, compiled.path)
    simulated = runner.run(simulation.job)
    return request, compiled, simulation, simulated, compare(
        request.golden, simulated.path, simulation.tolerance, network
    )  # fmt: skip


@pytest.mark.parametrize("options", [{}, {"batch": 8}, {"precision": "bfloat16"}])
@pytest.mark.parametrize("quantizer", [None, SIX_BITS])
def test_the_artifact_computes_what_the_network_computes(runner, tmp_path, quantizer, options):
    _, compiled, _, simulated, found = compiled_and_simulated(runner, tmp_path, quantizer, options)
    assert found.passed, found
    if options.get("precision") != "bfloat16" or quantizer:  # 5-bit products are exact in bfloat16
        assert found.max_difference < 1e-5
    else:
        assert found.max_difference > 1e-5  # the precision was really used
    assert simulated.result["runtime"] == "StableHLO on CPU (XLA)"
    assert compiled.result["inputs"][0]["shape"] == [options.get("batch", 1), 8, 8, 3]
    with np.load(simulated.path / "trace.npz") as trace:
        assert set(trace.files) == {
            "image", "conv", "relu", "pool", "flat", "dense", "softmax",
        }  # fmt: skip


def test_a_wrong_weight_is_found(runner, tmp_path):
    request, _, simulation, simulated, _ = compiled_and_simulated(runner, tmp_path, None, {})
    with np.load(request.golden / "golden.npz") as stored:
        x, y = stored["x"], stored["y"].copy()
    y[7, 3] += 0.01
    other = networks.golden(tmp_path / "other", x, y)
    found = compare(other, simulated.path, simulation.tolerance, request.model.network)
    assert not found.passed


def test_artifact_is_self_contained_and_the_same_bytes_again(runner, tmp_path):
    request, compiled, *_ = compiled_and_simulated(runner, tmp_path, None, {})
    with Runner(Store(tmp_path / "store")) as other:
        again = other.run(BACKEND.compile(request))
    assert not again.cached
    assert hash_path(again.path) == hash_path(compiled.path)
    data = (compiled.path / "model.stablehlo").read_bytes()
    assert b".py" not in data
    assert str(Path.home()).encode() not in data
    text = (compiled.path / "model.mlir").read_text()
    assert "stablehlo.convolution" in text
    assert "tensor<1x8x8x3xf32>" in text
    signature = json.loads((compiled.path / "signature.json").read_text())
    assert signature["platforms"] == ["cpu", "tpu"]
    for path in BACKEND.artifacts(compiled.path).values():
        assert path.is_file()


def test_damaged_artifact_is_one_clear_error(runner, tmp_path):
    request, compiled, *_ = compiled_and_simulated(runner, tmp_path, None, {})
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    whole = (compiled.path / "model.stablehlo").read_bytes()
    (damaged / "model.stablehlo").write_bytes(whole[: len(whole) // 2])
    (damaged / "signature.json").write_bytes((compiled.path / "signature.json").read_bytes())
    (simulation,) = BACKEND.simulate(request, damaged)
    with pytest.raises(EdgeflowError) as caught:
        runner.run(simulation.job)
    assert "Traceback" not in str(caught.value)


def test_options_are_in_the_key(tmp_path):
    network, arrays = networks.small()
    model = networks.save(tmp_path / "model", network, arrays)
    keys = {
        job_key(
            BACKEND.compile(Request(model, networks.tpu(), BACKEND.options(given, "here"))),
            Store(tmp_path / "store"),
        )
        for given in ({}, {"batch": 2}, {"precision": "bfloat16"})
    }
    assert len(keys) == 3


def test_check_and_interpreter_know_the_same_kinds():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "from edgeflow.backends.tpu.operations_job import OPERATIONS; print(*sorted(OPERATIONS))"
    )
    root = Path(sys.modules["edgeflow"].__file__).parents[1]
    python = toolchains.ensure(toolchains.get("tpu"))
    found = subprocess.run(
        [python, "-c", code, root], capture_output=True, text=True, check=True, timeout=60
    )
    assert {*found.stdout.split(), "input"} == SUPPORTED
