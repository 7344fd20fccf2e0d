"""Every HLS compiler: C simulation exact, projects complete, and what each refuses."""

from __future__ import annotations

import importlib.util
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
from edgeflow.backends.hls4ml.backend import BACKEND
from edgeflow.backends.hls4ml.compilers import COMPILERS
from edgeflow.frontends.reference import reference_job

spec = importlib.util.spec_from_file_location(
    "hls4ml_networks", Path(__file__).with_name("networks.py")
)
networks = importlib.util.module_from_spec(spec)
sys.modules["hls4ml_networks"] = networks
spec.loader.exec_module(networks)

ARRIA = replace(networks.PYNQ, name="arria-10", vendor="Intel", chip="10AX115S2F45I1SG")
POLARFIRE = replace(networks.PYNQ, name="polarfire", vendor="Microchip", chip="MPF300T")
TARGETS = {"quartus": ARRIA, "oneapi": ARRIA, "libero": POLARFIRE}


def compiled(runner, draft, folder, given, count=300):
    model = draft.save(folder / "model")
    shape = model.network.layers[0].output_shape
    x = np.random.default_rng(0).normal(size=(count, *shape))
    x = (np.round(x * 32) / 32).astype(np.float32)  # as a bus of few bits carries it
    np.savez(folder / "x.npz", x=x)
    golden = runner.run(reference_job(model, folder / "x.npz", 16)).path
    target = TARGETS.get(given.get("compiler"), networks.PYNQ)
    options = BACKEND.options(given, "here")
    assert BACKEND.check(model.network, target, options) == []
    request = Request(model, target, options, golden, None, "net")
    return request, runner.run(BACKEND.compile(request))


def comparison(runner, request, finished):
    (simulation,) = BACKEND.simulate(request, finished.path)
    outcome = runner.run(simulation.job)
    network = request.model.network
    return simulation, verify.compare(request.golden, outcome.path, simulation.tolerance, network)


def run_bench(finished, folder):
    project = folder / "project"
    shutil.copytree(BACKEND.artifacts(finished.path)["hls_project"], project)
    done = subprocess.run(
        ["./run_testbench.sh"], cwd=project, capture_output=True, text=True, check=False
    )
    return project, done


def problems(draft, target=networks.PYNQ, **given):
    return [str(p) for p in BACKEND.check(draft.network(), target, BACKEND.options(given, "here"))]


@pytest.mark.parametrize("io", ["parallel", "stream"])
@pytest.mark.parametrize("compiler", ["vivado_accelerator", "quartus", "catapult"])
def test_exact_and_its_own_bench_passes(runner, tmp_path, compiler, io):
    given = {"compiler": compiler, "io": io}
    request, finished = compiled(runner, networks.cnn(), tmp_path, given)
    simulation, found = comparison(runner, request, finished)
    assert simulation.tolerance.absolute == 0
    assert found.equal == 1, found.explanation
    project, done = run_bench(finished, tmp_path)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert "PASSED: 300 inputs" in done.stdout
    here = str(Path.home()).encode()
    for path in (p for p in project.rglob("*") if p.is_file() and p.name != "testbench"):
        text = path.read_bytes()
        assert here not in text, path
        assert str(tmp_path.parent).encode() not in text, path
        assert b"/store/" not in text, path


@pytest.mark.parametrize("compiler", ["oneapi", "libero"])
def test_written_and_never_called_verified(runner, tmp_path, compiler):
    request, finished = compiled(runner, networks.mlp(), tmp_path, {"compiler": compiler})
    assert BACKEND.simulate(request, finished.path) == []
    (note,) = finished.result["notes"]
    assert note.startswith("not verified")
    assert COMPILERS[compiler].unsimulated in note
    project = BACKEND.artifacts(finished.path)["hls_project"]
    readme = (project / "README.md").read_text()
    assert "was not simulated here" in " ".join(readme.split())
    assert (project / "tb_data" / "tb_output_predictions.dat").is_file()
    files = {path.name for path in project.rglob("*")}
    assert {"oneapi": "CMakeLists.txt", "libero": "config.tcl"}[compiler] in files


def test_accelerator_is_complete(runner, tmp_path):
    given = {
        "compiler": "vivado_accelerator", "io": "stream",
        "axi": {"board": "alveo-u250", "input_type": "ap_fixed<16,6>"},
    }  # fmt: skip
    request, finished = compiled(runner, networks.mlp(), tmp_path, given)
    assert comparison(runner, request, finished)[1].equal == 1
    project = BACKEND.artifacts(finished.path)["hls_project"]
    assert {"design.tcl", "axi_stream_driver.py"} <= {p.name for p in project.iterdir()}
    assert (project / "src" / "net_kernel.v").is_file()  # the name that design.tcl looks for
    assert not any("myproject" in p.read_text() for p in (project / "src").iterdir())
    tcl = (project / "project.tcl").read_text()
    assert "set bit_width_hls_input 16" in tcl
    assert "set bit_width_hls_output 32" in tcl
    assert "v++ -t hw" in (project / "README.md").read_text()
    pynq = replace(networks.PYNQ, settings={"board": "pynq-z2"})
    assert problems(networks.mlp(), pynq, compiler="vivado_accelerator") == []
    (found,) = problems(
        networks.mlp(), replace(pynq, name="mine", settings={}), compiler="vivado_accelerator"
    )
    assert "no block design for the board 'mine'" in found


@pytest.mark.parametrize("strategy", ["resource_unrolled", "distributed_arithmetic"])
@pytest.mark.parametrize("compiler", ["vitis", "vivado"])
def test_strategies_are_exact(runner, tmp_path, compiler, strategy):
    given = {"compiler": compiler, "strategy": strategy, "io": "stream"}
    if strategy == "resource_unrolled":
        given["reuse_factor"] = 4
    request, finished = compiled(runner, networks.small_cnn(), tmp_path, given)
    found = comparison(runner, request, finished)[1]
    assert found.equal == 1, found.explanation
    assert {used["strategy"] for used in finished.result["reuse_factors"].values()} == {strategy}
    project = BACKEND.artifacts(finished.path)["hls_project"]
    sources = "".join(p.read_text() for p in (project / "firmware").rglob("*.h"))
    assert bool(re.search(r"dense_da_\d", sources)) == (strategy == "distributed_arithmetic")


def special():
    """A bounded relu, groups, dilation and a depth multiplier: what hls4ml has no layers for."""
    fixed = networks.fixed
    draft = networks.Draft((8, 8, 2)).add("q", "quantize", quantizer=fixed(8, 2))
    same = {"padding": "same", "strides": [1, 1], "kernel_size": [3, 3]}
    draft.add(
        "many", "depthwise_conv2d", (8, 8, 4), kernel=fixed(6, 0), **same, dilation_rate=[1, 1],
        groups=1, weights={"kernel": (3, 3, 2, 2), "bias": (4,)},
    ).add("r1", "relu", max_value=1.5)  # fmt: skip
    draft.add(
        "groups", "conv2d", (8, 8, 4), kernel=fixed(6, 0), **same, dilation_rate=[1, 1], groups=2,
        weights={"kernel": (3, 3, 2, 4), "bias": (4,)},
    ).add("r2", "relu", max_value=6.0, quantizer=fixed(8, 3, False))  # fmt: skip
    draft.add(
        "wide", "conv2d", (8, 8, 3), kernel=fixed(6, 0), **same, dilation_rate=[2, 2], groups=1,
        weights={"kernel": (3, 3, 4, 3), "bias": (3,)},
    )  # fmt: skip
    return draft.flatten().dense("fc", 4, fixed(6, 0))


@pytest.mark.parametrize("compiler", ["vitis", "quartus"])
def test_what_hls4ml_has_no_layer_for(runner, tmp_path, compiler):
    request, finished = compiled(runner, special(), tmp_path, {"compiler": compiler})
    found = comparison(runner, request, finished)[1]
    assert found.equal == 1, found.explanation


def test_depthwise_average_and_softmax_with_intels_types(runner, tmp_path):
    fixed = networks.fixed
    draft = networks.Draft((8, 8, 2)).add("q", "quantize", quantizer=fixed(8, 2))
    draft.conv("dw", 0, kernel=fixed(6, 0), kind="depthwise_conv").pool("pool", "avg").flatten()
    draft.dense("fc", 5, fixed(6, 0)).add("probabilities", "softmax")
    request, finished = compiled(runner, draft, tmp_path, {"compiler": "quartus"})
    simulation, found = comparison(runner, request, finished)
    assert simulation.tolerance.absolute == 0  # of the logits
    assert found.passed, found.explanation


@pytest.mark.parametrize("kind", ["argmax", "stable"])
def test_softmax_and_its_tables(runner, tmp_path, kind):
    draft = networks.mlp().add("softmax", "softmax")
    given = {"softmax": kind, "layers": {"softmax": {"exp_table": "ap_ufixed<12,1>"}}}
    request, finished = compiled(runner, draft, tmp_path, given)
    simulation, found = comparison(runner, request, finished)
    assert found.passed, found.explanation
    types = finished.result["types"]["softmax"]
    assert types["exp_table"].startswith("ufixed<12,1")
    outcome = runner.run(simulation.job)
    with np.load(outcome.path / "outputs.npz") as arrays:
        assert arrays["logits"].shape == (300, 5)
        hot = np.isin(arrays["y"], (0, 1)).all()
    assert hot == (kind == "argmax")


def test_names_that_no_cpp_has(runner, tmp_path):
    draft = networks.Draft((6,)).add("float", "quantize", quantizer=networks.fixed(8, 2))
    draft.dense("größe/1", 4, networks.fixed(6, 0)).add("Größe 1", "relu")
    draft.dense("w2", 3, networks.fixed(6, 0)).add("NULL", "relu").dense("net", 3)
    layers = [
        replace(
            layer,
            name="w4" if layer.name == "x" else layer.name,
            inputs=tuple("w4" if name == "x" else name for name in layer.inputs),
        )
        for layer in draft.layers
    ]
    draft.layers = layers
    draft.network = lambda: networks.Network("net", tuple(layers), ("w4",), ("net",), {})
    request, finished = compiled(runner, draft, tmp_path, {"bits": 24})
    found = comparison(runner, request, finished)[1]
    assert found.passed, found.explanation


@pytest.mark.parametrize(
    ("given", "target", "words"),
    [
        ({"compiler": "quartus"}, networks.PYNQ, "does not know the device 'xc7z020clg400-1'"),
        ({"compiler": "vitis"}, ARRIA, "set compiler to quartus or oneapi"),
        ({"compiler": "quartus", "strategy": "latency"}, ARRIA, "no strategy 'latency'"),
        (
            {"compiler": "vivado_accelerator", "strategy": "distributed_arithmetic",
             "axi": {"board": "zcu102"}},
            networks.PYNQ, "no strategy 'distributed_arithmetic'",
        ),
        ({"compiler": "vivado_accelerator", "axi": {"board": "zcu102", "interface": "axi_lite"}},
         networks.PYNQ, "axi_lite for pynq-z2 alone"),
        ({"strategy": "resource_unrolled", "io": "parallel"}, networks.PYNQ, "io: stream alone"),
        (
            {"layers": {"fc": {"strategy": "distributed_arithmetic", "reuse_factor": 4}}},
            networks.PYNQ, "shares nothing",
        ),
        ({"compiler": "libero"}, POLARFIRE, "'conv2d' for SmartHLS is missing"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(given, target, words):
    found = problems(networks.cnn(), target, **given)
    assert any(words in problem for problem in found), found


@pytest.mark.parametrize(
    ("target", "name"),
    [(networks.PYNQ, "vitis"), (ARRIA, "quartus"), (POLARFIRE, "libero")],
)
def test_auto_is_the_compiler_of_the_device(target, name, tmp_path):
    model = networks.mlp().save(tmp_path)
    network, options = model.network, BACKEND.options({}, "here")
    assert BACKEND.check(network, target, options) == []
    request = Request(model, target, options)
    assert BACKEND.compile(request).params["compiler"] == name
    latency = BACKEND.estimate(network, target, options)["latency"]
    assert (latency.value is None) == (name != "vitis")
    assert latency.value is not None or COMPILERS[name].tool in latency.reason
    forced = BACKEND.options({"part": "10AX115S2F45I1SG"}, "here")
    assert BACKEND.compile(replace(request, options=forced)).params["compiler"] == "quartus"


def test_auto_on_a_device_that_no_compiler_knows():
    lattice = replace(networks.PYNQ, name="ulx3s", chip="LFE5U-85F-6BG381C")
    assert any("Vitis HLS does not know" in text for text in problems(networks.mlp(), lattice))
