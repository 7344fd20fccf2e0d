"""The whole way of one small model: compile at each precision, run in both runtimes, compare."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeflow.backends.base import Request
from edgeflow.backends.tflite.backend import BACKEND
from edgeflow.compress import methods
from edgeflow.errors import DataError, RecipeError
from edgeflow.frontends.model import Model
from edgeflow.frontends.reference import reference_job
from edgeflow.jobs import Finished, Runner
from edgeflow.targets import Figure, Target
from edgeflow.verify import compare


def target(kind: str = "linux_board", **memory: float) -> Target:
    figures = {name: Figure(value, "test") for name, value in memory.items()}
    return Target(f"a-{kind}", "A board", kind, "nobody", ("tflite",), "chip", memory=figures)


def request_for(model: Model, golden: Path | None, data: Path | None, **options: object) -> Request:
    return Request(model, target(), BACKEND.options(options, "here"), golden, data)


def build(runner: Runner, request: Request) -> Finished:
    return runner.run(BACKEND.compile(request))


@pytest.mark.parametrize("precision", ["float32", "float16", "dynamic", "int8", "16x8"])
def test_each_precision_of_a_float_model_agrees_with_it(
    precision: str, runner: Runner, float_model: Model, data: Path, golden: Callable[[Model], Path]
) -> None:
    request = request_for(float_model, golden(float_model), data, precision=precision)
    built = build(runner, request)
    if precision in ("int8", "16x8"):
        assert built.result["float_operators"] == []
    for simulation in BACKEND.simulate(request, built.path):
        found = runner.run(simulation.job)
        comparison = compare(request.golden, found.path, simulation.tolerance, float_model.network)
        assert comparison.passed, (simulation.runtime, comparison.explanation)
        assert found.result["version"]
        assert found.result["resolver"] in simulation.runtime
        trace = np.load(found.path / "trace.npz").files
        assert {"image", "conv_relu", "deep_relu", "sum", "pool", "probs"} <= set(trace)


def test_trained_quantisers_are_kept(
    runner: Runner, trained_model: Model, golden: Callable[[Model], Path]
) -> None:
    request = request_for(trained_model, golden(trained_model), None)
    built = build(runner, request)
    assert built.result["route"] == "trained"
    assert built.result["quantisers"]["measured"] == []
    assert built.result["quantisers"]["rounded_kernels"] == []
    assert built.result["quantisers"]["kernels"] == 3
    simulations = BACKEND.simulate(request, built.path)
    assert [s.runtime for s in simulations if s.deciding] == [
        "litert XNNPACK",
        "tflite-runtime BUILTIN_REF",
    ]
    for simulation in simulations:
        found = runner.run(simulation.job)
        comparison = compare(
            request.golden, found.path, simulation.tolerance, trained_model.network
        )
        assert comparison.passed, (simulation.runtime, comparison.explanation)
        have, want = (np.load(p / "trace.npz") for p in (found.path, request.golden))
        for name in ("conv_relu", "deep_relu", "sum", "pool", "logits"):
            step = trained_model.network[name].quantizer.scale[0]
            assert np.abs(have[name] - want[name]).max() <= 2.01 * step, (simulation.runtime, name)


@pytest.mark.parametrize("kind", ["int8", "uint8", "float32"])
def test_ports_have_the_wanted_type(kind: str, runner: Runner, trained_model: Model) -> None:
    built = build(runner, request_for(trained_model, None, None, input_type=kind, output_type=kind))
    assert [port["type"] for port in (*built.result["inputs"], *built.result["outputs"])] == [
        kind
    ] * 2


def test_bytes_are_the_same_each_time(float_model: Model, data: Path, tmp_path: Path) -> None:
    from edgeflow.store import Store

    files = []
    for name in ("one", "two"):
        with Runner(Store(tmp_path / name)) as runner:
            built = build(runner, request_for(float_model, None, data, precision="int8"))
            files.append((built.path / "model.tflite").read_bytes())
    assert files[0] == files[1]


def test_int8_without_data_is_one_clear_error(float_model: Model) -> None:
    with pytest.raises(DataError, match="needs data") as caught:
        BACKEND.compile(request_for(float_model, None, None, precision="int8"))
    assert "data" in (caught.value.remedy or "")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"precison": "int8"}, "did you mean 'precision'"),
        ({"precision": "int9"}, "did you mean 'int8'"),
        ({"input_type": "float"}, "did you mean 'float32'"),
        ({"calibration_samples": 0}, "greater than or equal to 1"),
        ({"calibration_samples": True}, "valid integer"),
    ],
)
def test_wrong_options(given: dict[str, object], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        BACKEND.options(given, "recipe.yaml:3")
    assert said in str(caught.value)
    assert "recipe.yaml:3" in str(caught.value)


def test_a_retrained_int8_model_keeps_its_scales(
    runner: Runner, float_model: Model, data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "data.npz").write_bytes((data / "data.npz").read_bytes())
    meta = {
        "name": "noise", "task": "classification", "classes": 5, "input_shape": [8, 8, 3],
        "target_shape": [], "train": 200, "test": 100,
    }  # fmt: skip
    (folder / "data.json").write_text(json.dumps(meta))
    retraining = methods.job("int8", float_model, folder, methods.options("int8", {"epochs": 1}))
    model = Model(runner.run(retraining).path)
    golden = runner.run(reference_job(model, folder / "data.npz")).path
    request = request_for(model, golden, None)
    built = build(runner, request)
    found = built.result["quantisers"]
    assert (found["measured"], found["rounded_kernels"], found["kernels"]) == ([], [], 3)
    tensors = json.loads((built.path / "model.json").read_text())["tensors"]
    scales = {tensor["scale"][0] for tensor in tensors if len(tensor["scale"]) == 1}
    for layer in model.network:
        if layer.quantizer is not None:
            want = layer.quantizer.scale[0]
            assert min(abs(scale - want) for scale in scales) <= 1e-5 * want, layer.name
    for simulation in BACKEND.simulate(request, built.path):
        comparison = compare(
            golden, runner.run(simulation.job).path, simulation.tolerance, model.network
        )
        assert comparison.passed, (simulation.runtime, comparison.explanation)


def test_estimates(runner: Runner, float_model: Model, data: Path) -> None:
    request = request_for(float_model, None, data, precision="int8")
    built = build(runner, request)
    before = BACKEND.estimate(float_model.network, target(), request.options)
    after = BACKEND.estimate(
        float_model.network, target(), request.options, built.path, built.result
    )
    size = (built.path / "model.tflite").stat().st_size
    assert after["model_size"].value == size
    assert before["model_size"].low <= size <= before["model_size"].high
    assert after["macs"].value == 64 * (27 * 4) + 64 * 4 * 9 + 64 * 5
    kernels, biases = 3 * 3 * 3 * 4 + 3 * 3 * 4 + 64 * 5, 4 + 4 + 5
    assert after["weight_memory"].value == kernels + 4 * biases
    assert after["activation_memory"].value == 3 * 8 * 8 * 4
    assert all(e.reason for e in after.values() if e.value is None)
