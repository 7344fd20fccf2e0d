"""Ahead-of-time compilation with libtpu, which is an optional download."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from edgeflow import toolchains
from edgeflow.backends.base import Request
from edgeflow.backends.tpu.backend import BACKEND
from edgeflow.backends.tpu.generations import GENERATIONS
from edgeflow.errors import JobError, ToolchainError

spec = importlib.util.spec_from_file_location(
    "tpu_networks", Path(__file__).with_name("networks.py")
)
networks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(networks)


@pytest.fixture(scope="module")
def libtpu() -> None:
    try:
        toolchains.ensure(toolchains.get("tpu_aot"))
    except ToolchainError as error:
        pytest.skip(f"libtpu cannot be had here: {error.message}")


@pytest.fixture
def exported(runner, tmp_path):
    network, arrays = networks.small()
    model = networks.save(tmp_path / "model", network, arrays)
    request = Request(model, networks.tpu(), BACKEND.options({"batch": 2}, "here"))
    return request, runner.run(BACKEND.compile(request)).path


@pytest.mark.parametrize("generation", ["v4", "v5e", "v6e"])
def test_the_artifact_compiles_for_a_generation(runner, libtpu, exported, generation):
    request, compiled = exported
    request = Request(request.model, networks.tpu(generation), request.options)
    found = runner.run(BACKEND.ahead(request, compiled)).result
    network = request.model.network
    assert found["batch"] == 2
    # Two operations for each MAC of both images; padding and pools move the count a little.
    assert found["flops"] == pytest.approx(2 * 2 * network.totals.macs, rel=0.35)
    assert found["memory"]["arguments"] >= 2 * 8 * 8 * 3 * 4
    assert found["cycles"] == sum(found["layers"].values())
    assert found["layers"]["dense"] > 0
    assert set(found["layers"]) <= {layer.name for layer in network} | {""}
    estimates = BACKEND.estimate(
        network, request.target, request.options, compiled, {"ahead": found}
    )
    assert 1e-7 < estimates["latency"].value < 1e-3
    assert estimates["model_size"].value == (compiled / "model.stablehlo").stat().st_size


def test_an_unknown_topology_is_one_clear_error(runner, libtpu, exported):
    from dataclasses import replace

    request, compiled = exported
    job = BACKEND.ahead(request, compiled)
    wrong = replace(job, params={**job.params, "topology": "v5e:77x77"})
    with pytest.raises(JobError, match="libtpu cannot compile for TPU v5e"):
        runner.run(wrong)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_int8_compiles_for_every_generation_and_is_held_against_bfloat16(
    runner, libtpu, tmp_path, generation
):
    from dataclasses import replace

    from edgeflow.network import Quantizer

    network, arrays = networks.small(Quantizer("fixed", 6, False, 3))
    layers = tuple(
        replace(layer, quantizer=Quantizer("fixed", 8, True, 2))
        if layer.name in ("image", "pool")
        else layer
        for layer in network
    )
    network = network.with_layers(
        tuple(
            replace(x, weights={k: replace(w, bits=8) for k, w in x.weights.items()})
            for x in layers
        )
    )
    arrays = {name: array.clip(-7.5, 7.5) for name, array in arrays.items()}
    model = networks.save(tmp_path / "model", network, arrays)
    options = BACKEND.options({"precision": "int8", "batch": 2}, "here")
    request = Request(model, networks.tpu(generation), options)
    compiled = runner.run(BACKEND.compile(request)).path
    found = runner.run(BACKEND.ahead(request, compiled)).result
    assert found["precision"] == "int8"
    assert found["compared"]["precision"] == "bfloat16"
    assert found["compared"]["cycles"] > 0
    (note,) = found["notes"]
    assert note.startswith(f"TPU {generation}, by libtpu ")
    assert f"{found['cycles']:,} against {found['compared']['cycles']:,} estimated cycles" in note
    assert ("gains nothing" in note) == (found["compared"]["cycles"] < 1.05 * found["cycles"])
