"""The hls4ml backend on small Networks: C simulation against Keras' own outputs."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeflow import verify
from edgeflow.backends.base import Request
from edgeflow.backends.fixed_job import held, parse
from edgeflow.backends.hls4ml.backend import BACKEND
from edgeflow.errors import ToolError
from edgeflow.frontends.reference import reference_job
from edgeflow.jobs import Runner
from edgeflow.store import Store, hash_path

spec = importlib.util.spec_from_file_location(
    "hls4ml_networks", Path(__file__).with_name("networks.py")
)
networks = importlib.util.module_from_spec(spec)
sys.modules["hls4ml_networks"] = networks
spec.loader.exec_module(networks)

INPUTS = 1000


def request_for(runner, draft, folder, given, count=INPUTS, name="net"):
    model = draft.save(folder / "model")
    shape = model.network.layers[0].output_shape
    x = np.random.default_rng(0).normal(size=(count, *shape)).astype(np.float32)
    np.savez(folder / "x.npz", x=x)
    golden = runner.run(reference_job(model, folder / "x.npz", 16)).path
    options = BACKEND.options(given, "here")
    assert BACKEND.check(model.network, networks.PYNQ, options) == []
    return Request(model, networks.PYNQ, options, golden, None, name)


def simulated(runner, request):
    compiled = runner.run(BACKEND.compile(request))
    simulation = BACKEND.simulate(request, compiled.path)[0]
    outcome = runner.run(simulation.job)
    network = request.model.network
    comparison = verify.compare(request.golden, outcome.path, simulation.tolerance, network)
    return compiled, simulation, outcome, comparison


@pytest.mark.parametrize(
    ("name", "compiler", "io", "strategy", "reuse"),
    [
        ("mlp", "vitis", "parallel", "latency", None),  # by themselves
        ("cnn", "vitis", "stream", "latency", None),
        ("mlp", "vivado", "stream", "resource", 4),
        ("cnn", "vivado", "parallel", "resource", 4),
    ],
)
def test_quantised_networks_are_exact(runner, tmp_path, name, compiler, io, strategy, reuse):
    given = {"compiler": compiler, "io": io, "strategy": strategy, "reuse_factor": reuse}
    given = given if reuse else {}
    if given and io == "stream":  # depths of the user's own
        given |= {"fifo_depth": 7, "layers": {"fc1": {"fifo_depth": 3}}}
    request = request_for(runner, getattr(networks, name)(), tmp_path, given)
    compiled, simulation, outcome, comparison = simulated(runner, request)
    assert simulation.tolerance.absolute == 0
    assert comparison.inputs == INPUTS
    assert comparison.equal == 1, comparison.explanation
    assert outcome.result["runtime"] == "hls4ml C simulation"
    assert outcome.result["resolver"] == compiler
    used = compiled.result["reuse_factors"]["conv1" if name == "cnn" else "fc1"]
    assert used["strategy"] == strategy
    source = (BACKEND.artifacts(compiled.path)["hls_project"] / "firmware" / "net.cpp").read_text()
    assert ("hls::stream" in source) == (io == "stream")
    if given and io == "stream":
        assert "#pragma HLS STREAM variable=layer2_out depth=3" in source
        assert "#pragma HLS STREAM variable=layer3_out depth=7" in source
    if reuse == 4 and name == "cnn":  # of 18 x 4 products
        said = "layer 'conv1': reuse factor 4 is not one that hls4ml can build; 3 is used"
        assert said in compiled.result["notes"]
    with np.load(outcome.path / "trace.npz") as trace:
        layers = {layer.name for layer in request.model.network} - {"x", "q"}
        assert layers - set(trace.files) <= {"flat"}
        assert all(len(trace[layer]) == 16 for layer in trace.files)


@pytest.mark.parametrize("io", ["parallel", "stream"])
def test_float_network_within_its_tolerance(runner, tmp_path, io):
    request = request_for(runner, networks.float_cnn(), tmp_path, {"io": io})
    compiled, simulation, outcome, comparison = simulated(runner, request)
    assert comparison.passed, comparison.explanation
    assert comparison.max_difference < 0.01
    assert comparison.agreement > 0.97
    assert "18 bits" in simulation.tolerance.reason
    assert {"conv/kernel", "softmax"} <= set(compiled.result["inexact"])
    with np.load(outcome.path / "trace.npz") as trace:
        assert "bn" in trace.files  # folded: its output is there, the convolution's is not
        assert "conv" not in trace.files


def test_bits_by_element_are_exact(runner, tmp_path):
    """As HGQ2 learns them; some elements have no bits at all."""
    draft = networks.Draft((16,)).dense("fc1", 8, networks.fixed(6, 0)).add("relu", "relu")
    draft.add("q", "quantize", quantizer=replace(networks.fixed(6, 2, False), bits=4.5))
    fraction = np.array([[4, 3, 2, 1, 0, 4, -2, 5]], np.float32)
    draft.arrays |= {
        "q/@signed": np.zeros((1, 8), np.float32),
        "q/@integer": np.full((1, 8), 2, np.float32),
        "q/@fraction": fraction,
    }
    draft.dense("fc2", 5, networks.fixed(6, 0))
    draft.layers[0] = replace(draft.layers[0], quantizer=networks.fixed(8, 2))
    comparison = simulated(runner, request_for(runner, draft, tmp_path, {}))[3]
    assert comparison.equal == 1, comparison.explanation


def test_too_few_bits_are_found_out(runner, tmp_path):
    """A type of the user's that cannot hold the values must not pass as verified."""
    given = {"layers": {"fc1": {"result": "ap_fixed<4,2>"}}}
    request = request_for(runner, networks.mlp(), tmp_path, given)
    comparison = simulated(runner, request)[3]
    assert not comparison.passed
    assert comparison.first_divergence.layer == "fc1"


def run_bench(project):
    command = ["./run_testbench.sh"]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


def test_project_works_without_edgeflow(runner, tmp_path):
    """Its own bench, on the design's own grid, gives what the C simulation gave, to the bit."""
    draft = networks.Draft((16,)).dense("fc1", 12).add("relu1", "relu").dense("fc2", 5)
    draft.add("softmax", "softmax")
    request = request_for(runner, draft, tmp_path, {}, 200, "Jet tagger-1")
    compiled, _, outcome, _ = simulated(runner, request)
    artifact = BACKEND.artifacts(compiled.path)["hls_project"]
    project = tmp_path / "elsewhere"
    shutil.copytree(artifact, project)
    assert artifact.name == "jet_tagger_1"
    x = np.loadtxt(project / "tb_data" / "tb_input_features.dat")
    expected = np.loadtxt(project / "tb_data" / "tb_output_predictions.dat")
    assert np.array_equal(held(x, parse(compiled.result["input_type"])), x)
    with (
        np.load(request.golden / "golden.npz") as golden,
        np.load(outcome.path / "outputs.npz") as arrays,
    ):
        assert 0 < np.abs(golden["x"] - x).max() < 2**-9  # the inputs given were finer
        assert np.array_equal(arrays["y"].astype(float), expected)
        assert 0 < np.abs(golden["y"] - expected).max() < 0.02
        saved = np.loadtxt(project / "tb_data" / "tb_output_model.dat")
        assert np.array_equal(saved, golden["y"].astype(float))
    done = run_bench(project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASSED: 200 inputs, largest difference 0 from the C simulation (allowed 0)" in (
        done.stdout
    )
    assert re.search(r"PASSED: 200 inputs, largest difference 0\.0\d+ from the model", done.stdout)
    log = np.loadtxt(project / "tb_data" / "csim_results.log")
    assert np.array_equal(log, expected)
    readme = (project / "README.md").read_text()
    assert "vitis-run --mode hls --tcl build_prj.tcl" in readme
    assert "xc7z020clg400-1" in readme
    assert "| fc1 |" in readme
    assert 'set part "xc7z020clg400-1"' in (project / "project.tcl").read_text()
    # the test must be able to fail: a weight changed a little is found, though the model is near
    bias = project / "firmware" / "weights" / "b2.txt"
    values = bias.read_text().split(",")
    bias.write_text(",".join([str(float(values[0]) + 0.01), *values[1:]]))
    done = run_bench(project)
    assert done.returncode == 1
    assert re.search(r"FAILED: .* from the C simulation", done.stdout)
    assert re.search(r"PASSED: .* from the model", done.stdout)


def test_artifacts_are_the_same_bytes_and_name_no_machine(runner, tmp_path):
    request = request_for(runner, networks.mlp(), tmp_path, {})
    first = runner.run(BACKEND.compile(request)).path
    with Runner(Store(tmp_path / "other" / "store")) as other:
        second = other.run(BACKEND.compile(request)).path
    assert hash_path(first) == hash_path(second)
    needles = [str(tmp_path).encode(), b"/store/", str(Path.home()).encode()]
    for path in (p for p in first.rglob("*") if p.is_file()):
        assert not any(needle in path.read_bytes() for needle in needles), path


def test_no_compiler_is_one_clear_error(tmp_path, monkeypatch, runner):
    request = request_for(runner, networks.mlp(), tmp_path, {}, 20)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with (
        Runner(Store(tmp_path / "store")) as other,
        pytest.raises(ToolError, match=r"no C\+\+ compiler") as caught,
    ):
        other.run(BACKEND.compile(request))
    assert "install" in caught.value.remedy


def test_synthesis_by_a_tool_on_path(runner, tmp_path, monkeypatch):
    """Its figures win, HLS and logic synthesis apart; ours stand beside them."""
    request = request_for(runner, networks.mlp(), tmp_path, {})
    compiled = runner.run(BACKEND.compile(request))
    assert BACKEND.synthesise(request, compiled.path, runner.run, False) is None
    samples = Path(__file__).parents[2] / "synthesis" / "vendor_samples.py"
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("vitis-run", "vivado"):
        (tools / name).write_text(
            f"#!/bin/sh\ntest -f build_prj.tcl && {sys.executable} {samples} write . net "
            "csynth vsynth\n"
        )
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    BACKEND.check_tools(request.name, networks.PYNQ, request.options)
    made = BACKEND.synthesise(request, compiled.path, runner.run, True)
    assert set(made.artifacts) == {"synthesis_reports", "hdl"}
    assert [layer["layer"] for layer in made.report["layers"]] == ["fc1", "relu1", "fc2"]
    assert {row["quantity"] for row in made.report["comparison"]} >= {"latency_cycles", "ii"}
    network = request.model.network
    found = BACKEND.estimate(
        network, networks.PYNQ, request.options, compiled.path, {"synthesis": made.result}
    )
    assert (found["lut"].value, found["lut"].method) == (3900, "synthesised")
    assert "logic synthesis" in found["lut"].source
    assert found["lut_hls"].value == 8000
    assert (found["latency_cycles"].low, found["latency_cycles"].value) == (18, 20)
    assert found["latency"].value == pytest.approx(200e-9)
    assert found["clock"].value == pytest.approx(1e9 / 7.105)


def test_estimates_without_synthesis():
    network = networks.mlp().network()
    found = BACKEND.estimate(network, networks.PYNQ, BACKEND.options({}, "here"))
    assert found["macs"].value == 16 * 24 + 24 * 5
    assert found["weight_memory"].value == (16 * 24 + 24 + 24 * 5 + 5) * 6 / 8
    for name in ("lut", "ff"):
        assert found[name].low < found[name].value < found[name].high
        assert found[name].method == "model"
        assert "HLS synthesis" in found[name].source
    assert found["dsp"].value is not None
    assert found["uram"].value == 0
    assert "UltraRAM" in found["uram"].source
    for name in ("latency", "latency_cycles", "ii"):
        assert found[name].value > 0
        assert found[name].method == "model"
