"""The hls4ml backend on small Networks: C simulation against Keras' own outputs."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeflow import verify
from edgeflow.backends.base import Request
from edgeflow.backends.hls4ml import synthesis
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
    ("compiler", "io", "strategy", "reuse"),
    [
        ("vitis", "parallel", "latency", 1),
        ("vitis", "stream", "resource", 4),
        ("vivado", "parallel", "resource", 4),
        ("vivado", "stream", "latency", 1),
    ],
)
@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_quantised_networks_are_exact(runner, tmp_path, name, compiler, io, strategy, reuse):
    given = {"compiler": compiler, "io": io, "strategy": strategy, "reuse_factor": reuse}
    request = request_for(runner, getattr(networks, name)(), tmp_path, given)
    compiled, simulation, outcome, comparison = simulated(runner, request)
    assert simulation.tolerance.absolute == 0
    assert comparison.inputs == INPUTS
    assert comparison.equal == 1, comparison.explanation
    assert outcome.result["runtime"] == "hls4ml C simulation"
    assert outcome.result["resolver"] == compiler
    used = compiled.result["reuse_factors"]["conv1" if name == "cnn" else "fc1"]
    assert used["strategy"] == strategy
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
    request = request_for(runner, networks.mlp(), tmp_path, {}, 200, "Jet tagger-1")
    compiled = runner.run(BACKEND.compile(request))
    artifact = BACKEND.artifacts(compiled.path)["hls_project"]
    project = tmp_path / "elsewhere"
    shutil.copytree(artifact, project)
    assert artifact.name == "jet_tagger_1"
    done = run_bench(project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASSED: 200 inputs" in done.stdout
    readme = (project / "README.md").read_text()
    assert "vitis-run --mode hls --tcl build_prj.tcl" in readme
    assert "xc7z020clg400-1" in readme
    assert "| fc1 |" in readme
    assert 'set part "xc7z020clg400-1"' in (project / "project.tcl").read_text()
    # the test must be able to fail: a weight changed is found
    bias = next((project / "firmware" / "weights").glob("b*.txt"))
    values = bias.read_text().split(",")
    bias.write_text(",".join([str(float(values[0]) + 0.5), *values[1:]]))
    done = run_bench(project)
    assert done.returncode == 1


def test_artifacts_are_the_same_bytes_and_name_no_machine(runner, tmp_path):
    request = request_for(runner, networks.mlp(), tmp_path, {}, 50)
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


REPORT = """<?xml version="1.0" encoding="UTF-8"?>
<profile>
<ReportVersion><Version>2023.2</Version></ReportVersion>
<UserAssignments><unit>ns</unit><ProductFamily>zynq</ProductFamily><Part>xc7z020-clg400-1</Part>
<TopModelName>net</TopModelName><TargetClockPeriod>10.00</TargetClockPeriod>
<ClockUncertainty>2.70</ClockUncertainty></UserAssignments>
<PerformanceEstimates><SummaryOfTimingAnalysis><unit>ns</unit>
<EstimatedClockPeriod>7.105</EstimatedClockPeriod></SummaryOfTimingAnalysis>
<SummaryOfOverallLatency><unit>clock cycles</unit><Best-caseLatency>18</Best-caseLatency>
<Average-caseLatency>18</Average-caseLatency><Worst-caseLatency>20</Worst-caseLatency>
<Interval-min>1</Interval-min><Interval-max>1</Interval-max></SummaryOfOverallLatency>
</PerformanceEstimates>
<AreaEstimates><Resources><BRAM_18K>4</BRAM_18K><DSP>12</DSP><FF>1500</FF><LUT>8000</LUT>
<URAM>0</URAM></Resources><AvailableResources><BRAM_18K>280</BRAM_18K><DSP>220</DSP>
<FF>106400</FF><LUT>53200</LUT><URAM>0</URAM></AvailableResources></AreaEstimates>
</profile>
"""


def fake_tool(folder: Path, name: str, body: str) -> None:
    """A vendor's tool that only leaves a report."""
    folder.mkdir()
    (folder / "report.xml").write_text(REPORT)
    tool = folder / name
    tool.write_text(f"#!/bin/sh\n{body}\n")
    tool.chmod(0o755)


def test_synthesis_by_a_tool_on_path(runner, tmp_path, monkeypatch):
    request = request_for(runner, networks.mlp(), tmp_path, {}, 20)
    compiled = runner.run(BACKEND.compile(request))
    assert BACKEND.synthesise(request, compiled.path, runner.run, True) is None
    tools = tmp_path / "bin"
    fake_tool(
        tools,
        "vitis-run",
        'test "$4" = build_prj.tcl && test -f build_prj.tcl || exit 3\n'
        "echo '***** C/RTL SYNTHESIS COMPLETED IN 0h0m1s *****'\n"
        f"mkdir -p net_prj/solution1/syn/report && cp {tools}/report.xml "
        "net_prj/solution1/syn/report/net_csynth.xml",
    )
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    made = BACKEND.synthesise(request, compiled.path, runner.run, True)
    assert made is not None
    report = made.result
    assert report["lut"] == 8000
    network = request.model.network
    found = BACKEND.estimate(
        network, networks.PYNQ, request.options, compiled.path, {"synthesis": report}
    )
    assert (found["lut"].value, found["lut"].method) == (8000, "synthesised")
    assert (found["latency_cycles"].low, found["latency_cycles"].value) == (18, 20)
    assert found["latency"].value == pytest.approx(200e-9)
    assert found["clock"].value == pytest.approx(1e9 / 7.105)


def test_synthesis_that_fails_says_why(runner, tmp_path, monkeypatch):
    request = request_for(runner, networks.mlp(), tmp_path, {}, 20)
    compiled = runner.run(BACKEND.compile(request))
    fake_tool(tmp_path / "bin", "vitis_hls", "echo 'ERROR: no licence for this part'; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with pytest.raises(ToolError, match="vitis_hls failed with code 1") as caught:
        BACKEND.synthesise(request, compiled.path, runner.run, True)
    assert caught.value.details == ("ERROR: no licence for this part",)


def test_a_report_that_is_none(tmp_path):
    path = tmp_path / "csynth.xml"
    with pytest.raises(ToolError, match="cannot read"):
        synthesis.read_report(path)
    path.write_text("<profile/>")
    with pytest.raises(ToolError, match="expected an HLS synthesis report"):
        synthesis.read_report(path)


def test_estimates_without_synthesis():
    network = networks.mlp().network()
    found = BACKEND.estimate(network, networks.PYNQ, BACKEND.options({}, "here"))
    assert found["macs"].value == 16 * 24 + 24 * 5
    assert found["weight_memory"].value == (16 * 24 + 24 + 24 * 5 + 5) * 6 / 8
    for name in ("lut", "dsp"):
        assert found[name].value is None
        assert "synthesis" in found[name].reason
    for name in ("latency", "latency_cycles", "ii"):
        assert found[name].value > 0
        assert found[name].method == "model"
