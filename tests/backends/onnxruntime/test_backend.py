"""Models to ONNX files, run in ONNX Runtime and compared with the models' own outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeflow import targets, verify
from edgeflow.backends.base import Request
from edgeflow.backends.onnxruntime.backend import BACKEND
from edgeflow.errors import DataError, RecipeError
from edgeflow.frontends.loader import load
from edgeflow.frontends.model import Model
from edgeflow.frontends.reference import reference_job
from edgeflow.jobs import Finished, Runner
from edgeflow.network import Layer, Network, Quantizer

ONNX = "models/mlperf_tiny/onnx_kai_jiang"
SMALL = "models/hls4ml_examples"


def compiled(
    runner: Runner, path: Path, folder: Path, options: dict[str, Any]
) -> tuple[Finished, list[verify.Comparison]]:
    """The compile job's outcome, and how each simulation agrees."""
    model = load([path], runner)
    entry = model.network[model.network.inputs[0]]
    random = np.random.default_rng(0)
    x = random.normal(size=(20, *(d or 1 for d in entry.output_shape))).astype(np.float32)
    np.savez(folder / "data.npz", x_train=x, x_test=x)
    golden = runner.run(reference_job(model, folder)).path
    target = targets.load("raspberry-pi-4")
    given = BACKEND.options(options, "here")
    assert not BACKEND.check(model.network, target, given)
    request = Request(model, target, given, golden, folder)
    made = runner.run(BACKEND.compile(request))
    found = []
    for simulation in BACKEND.simulate(request, made.path):
        ran = runner.run(simulation.job)
        assert ran.result["runtime"] == "onnxruntime"
        found.append(verify.compare(golden, ran.path, simulation.tolerance, model.network))
    return made, found


@pytest.mark.parametrize(
    ("file", "options", "route", "exact"),
    [
        (f"{ONNX}/kws_ref_model.onnx", {}, "copied", True),
        (f"{ONNX}/kws_ref_model.onnx", {"opset": 15}, "trained", True),
        (f"{ONNX}/resnet.onnx", {"input_layout": "channels_last"}, "trained", True),
        (f"{ONNX}/kws_ref_model.onnx", {"precision": "float32"}, "converted", True),
        (f"{SMALL}/onnx/three_layer_pytorch.onnx", {}, "copied", True),
        (f"{SMALL}/onnx/three_layer_pytorch.onnx", {"opset": 13}, "converted", False),
        (f"{SMALL}/onnx/conv2d_small_keras.onnx", {"precision": "int8"}, "calibrated", False),
        (f"{SMALL}/keras/KERAS_conv2d_model.json", {}, "converted", False),
    ],
)
def test_real_models(
    runner: Runner,
    data_root: Path,
    tmp_path: Path,
    file: str,
    options: dict[str, Any],
    route: str,
    exact: bool,
) -> None:
    made, comparisons = compiled(runner, data_root / file, tmp_path, options)
    assert made.result["route"] == route
    for comparison in comparisons:
        assert comparison.passed, comparison.explanation
        if exact:
            assert comparison.equal == 1, comparison.explanation
    if route in ("trained", "calibrated"):
        assert made.result["op_counts"]["QuantizeLinear"] > 2
    if route == "trained":
        assert made.result["quantisers"]["rounded_kernels"] == []
    assert made.result["bytes"] == (made.path / "model.onnx").stat().st_size
    assert set(BACKEND.artifacts(made.path)) == {"onnx"}


def test_a_copy_is_the_same_file(runner: Runner, data_root: Path, tmp_path: Path) -> None:
    path = data_root / ONNX / "kws_ref_model.onnx"
    made, _ = compiled(runner, path, tmp_path, {})
    assert (made.path / "model.onnx").read_bytes() == path.read_bytes()


def test_every_problem_at_once() -> None:
    shape = (4, 3)
    layers = (
        Layer("x", "input", (), (), (None, 3)),
        Layer("a", "layer_norm", ("x",), (shape,), shape, {"epsilon": 1e-3, "axis": [-1]}),
        Layer("b", "opaque", ("a",), (shape,), shape, {"type": "Einsum"}),
        Layer("c", "tanh", ("b",), (shape,), shape, {}, {}, Quantizer("po2", 4)),
        Layer("d", "gru", ("c",), (shape,), (5,), {"activation": "gelu"}),
    )
    network = Network("n", layers, ("x",), ("d",))
    options = BACKEND.options({"opset": 13}, "here")
    found = BACKEND.check(network, targets.load("raspberry-pi-4"), options)
    assert [problem.layer for problem in found] == ["x", "a", "b", "c", "d"]
    assert "LayerNormalization" in found[1].message
    assert "Einsum" in found[2].message


def test_int8_of_a_float_model_needs_data(tmp_path: Path) -> None:
    layers = (Layer("x", "input", (), (), (3,)), Layer("y", "relu", ("x",), ((3,),), (3,)))
    Network("n", layers, ("x",), ("y",)).save(tmp_path / "network.json")
    options = BACKEND.options({"precision": "int8"}, "here")
    request = Request(Model(tmp_path), targets.load("raspberry-pi-4"), options)
    with pytest.raises(DataError, match="needs data"):
        BACKEND.compile(request)


def test_options_and_limits() -> None:
    with pytest.raises(RecipeError):
        BACKEND.options({"opset": 12}, "here")
    with pytest.raises(RecipeError):
        BACKEND.options({"precision": "int4"}, "here")
    listed = {kind for limit in BACKEND.limits() for kind in limit.kinds}
    assert {"conv2d", "lstm", "layer_norm"} <= listed


def test_estimates_say_how_wide_they_are() -> None:
    layers = (Layer("x", "input", (), (), (3,)), Layer("y", "relu", ("x",), ((3,),), (3,)))
    network = Network("n", layers, ("x",), ("y",))
    found = BACKEND.estimate(network, targets.load("raspberry-pi-4"), BACKEND.options({}, "here"))
    assert {"macs", "model_size", "weight_memory", "latency"} <= set(found)
    latency = found["latency"]
    assert latency.low * 4 < latency.value < latency.high / 4, "another runtime, and no MACs"
    assert "ONNX Runtime" in latency.source
