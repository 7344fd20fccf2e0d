"""The stream style: designs simulated by Verilator against plain numpy, cycles, reuse factors."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeflow import targets, toolchains
from edgeflow.backends.rtl import stream
from edgeflow.errors import UnsupportedError
from edgeflow.frontends.reference import reference_job
from edgeflow.jobs import Finished, Runner

spec = importlib.util.spec_from_file_location(
    "stream_networks", Path(__file__).parent / "stream_networks.py"
)
assert spec is not None
assert spec.loader is not None
networks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(networks)

COUNT = 12


def inputs_of(draft: Any, count: int = COUNT) -> np.ndarray:
    """Random inputs on the grid of the first quantiser."""
    x = np.random.default_rng(7).normal(size=(count, *draft.layers[0].output_shape))
    return networks.quantized(x, draft.layers[1].quantizer).astype(np.float32)


def golden(draft: Any, folder: Path) -> Path:
    """A golden folder of the reference's making."""
    folder.mkdir(parents=True)
    x = inputs_of(draft)
    np.savez(folder / "golden.npz", x=x, y=networks.compute(draft, x).astype(np.float32))
    return folder


def compiled(draft: Any, runner: Runner, folder: Path, **options: Any) -> Finished:
    model = draft.save(folder)
    target = targets.load(options.pop("target", "icebreaker"))
    return runner.run(stream.compile_job(model, target, options, None, "net"))


def simulated(draft: Any, made: Finished, runner: Runner, folder: Path) -> tuple[Finished, Any]:
    """The simulation (which compares runs with and without pauses, and the cycles) and its y."""
    softmax = bool(made.result["softmax"])
    done = runner.run(stream.simulate_job(made.path, golden(draft, folder), softmax=softmax))
    with np.load(done.path / "outputs.npz") as outputs:
        return done, outputs["logits" if softmax else "y"]


DESIGNS = {
    "mlp": (networks.mlp, {"reuse_factor": 12}),
    "residual": (networks.residual, {}),
    "windows": (networks.windows, {"layers": {"wide": {"reuse_factor": 25}}}),
    "line buffers": (
        networks.windows,
        {
            "layers": {
                "wide": {"reuse_factor": 1},
                "even": {"reuse_factor": 3},
                "jump": {"reuse_factor": 2},
                "fc": {"reuse_factor": 1},
            }
        },
    ),
    "padded": (networks.padded, {"multiplier": "lut", "layers": {"fc": {"reuse_factor": 1}}}),
    "series": (networks.series, {"reuse_factor": 6}),
    "roundings": (networks.roundings, {}),
}


@pytest.mark.parametrize("name", DESIGNS)
def test_a_design_computes_what_numpy_computes(name: str, runner: Runner, tmp_path: Path) -> None:
    make, options = DESIGNS[name]
    draft = make()
    made = compiled(draft, runner, tmp_path / "model", **options)
    for layer, own in options.get("layers", {}).items():
        assert made.result["reuse_factors"][layer]["used"] == own["reuse_factor"]
    done, y = simulated(draft, made, runner, tmp_path / "golden")
    expected = networks.compute(draft, inputs_of(draft))
    assert np.unique(expected).size > COUNT  # the test can fail
    assert np.array_equal(y, expected.astype(np.float32))
    assert made.result["inexact"] == []
    assert done.result["latency_cycles"] == made.result["latency_cycles"]
    assert done.result["ii"] == made.result["ii"]


@pytest.mark.parametrize("name", ["mlp", "residual"])
def test_the_test_bench_passes_and_fails(
    name: str, runner: Runner, tmp_path: Path, icarus: str
) -> None:
    """In a simulator that the design was not made with; one wrong bit makes it fail."""
    make, options = DESIGNS[name]
    draft = make()
    made = compiled(draft, runner, tmp_path / "model", **options)
    project = runner.run(stream.project_job(made.path, golden(draft, tmp_path / "golden"))).path
    shutil.copytree(project, tmp_path / "project")
    bench = tmp_path / "project" / "testbench"

    def call(*command: str) -> str:
        ran = subprocess.run(command, cwd=bench, capture_output=True, text=True, check=False)
        return ran.stdout + ran.stderr

    assert call(icarus, "-g2012", "-o", "bench", "testbench.v", "../verilog/net.v") == ""
    words = (bench / "outputs.hex").read_text().split()
    assert f"PASS: {len(words)} of {len(words)} outputs equal" in call("vvp", "bench")
    words[3] = f"{int(words[3], 16) ^ 1:0{len(words[3])}x}"
    (bench / "outputs.hex").write_text("\n".join(words) + "\n")
    assert f"FAIL: 1 of {len(words)} outputs differ" in call("vvp", "bench")


def test_keras_computes_the_same(runner: Runner, tmp_path: Path) -> None:
    draft = networks.residual()
    model = draft.save(tmp_path / "model")
    x = inputs_of(draft)
    np.savez(tmp_path / "x.npz", x=x)
    folder = runner.run(reference_job(model, tmp_path / "x.npz")).path
    with np.load(folder / "golden.npz") as found:
        assert np.array_equal(found["y"], networks.compute(draft, x).astype(np.float32))


def test_reuse_factors_are_made_legal_and_said(runner: Runner, tmp_path: Path) -> None:
    draft = networks.mlp()
    made = compiled(draft, runner, tmp_path, layers={"fc1": {"reuse_factor": 17}}, reuse_factor=20)
    used = made.result["reuse_factors"]
    assert (used["fc1"]["asked"], used["fc1"]["used"]) == (17, 16)
    assert used["fc1"]["multipliers"] == 16 * 24 // 16
    assert (used["fc2"]["asked"], used["fc2"]["used"]) == (20, 20)
    assert any("'fc1': reuse factor 17" in note for note in made.result["notes"])


def test_the_interval_is_that_of_the_slowest_stage(runner: Runner, tmp_path: Path) -> None:
    draft = networks.mlp()
    fast = compiled(draft, runner, tmp_path / "a", reuse_factor=8, target="ulx3s-85f")
    slow = compiled(draft, runner, tmp_path / "b", reuse_factor=96, target="ulx3s-85f")
    for made in (fast, slow):
        used = made.result["reuse_factors"].values()
        assert made.result["ii"] == max(own["cycles"] for own in used)
    assert (fast.result["ii"], slow.result["ii"]) == (8, 120)
    assert slow.result["cost"]["lut"] < fast.result["cost"]["lut"]
    assert slow.result["latency_cycles"] > fast.result["latency_cycles"]


def test_the_file_passes_verilators_lint(runner: Runner, tmp_path: Path) -> None:
    made = compiled(networks.padded(), runner, tmp_path, multiplier="lut")
    command = toolchains.get("rtl").interpreter.parent / "verilator-cli"
    file = made.path / json.loads((made.path / "design.json").read_text())["files"]["verilog"][0]
    done = subprocess.run(
        [command, "--lint-only", "-Wall", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "%Warning" not in done.stderr


def test_a_compile_gives_the_same_bytes_again(runner: Runner, tmp_path: Path) -> None:
    from edgeflow.store import Store

    draft = networks.residual()
    first = compiled(draft, runner, tmp_path / "model")
    with Runner(Store(tmp_path / "store")) as other:
        second = compiled(draft, other, tmp_path / "again")
    for name in ("design.json", "result.json", "verilog/net.v"):
        assert (first.path / name).read_bytes() == (second.path / name).read_bytes()


def test_names_are_legal(runner: Runner, tmp_path: Path) -> None:
    draft = networks.Draft((4,)).add("reg", "quantize", quantizer=networks.fixed(6, 0))
    draft.dense("block/always", 3, networks.fixed(4, 0)).add("out", "relu")
    draft.dense("ALWAYS", 2, networks.fixed(4, 0))
    made = compiled(draft, runner, tmp_path)
    _, y = simulated(draft, made, runner, tmp_path / "golden")
    assert np.array_equal(y, networks.compute(draft, inputs_of(draft)).astype(np.float32))


def test_an_average_that_is_no_number_is_refused(runner: Runner, tmp_path: Path) -> None:
    draft = networks.Draft((6, 6, 2)).add("q", "quantize", quantizer=networks.fixed(6, 0))
    draft.pool("mean", "avg", 3).flatten().dense("fc", 2, networks.fixed(4, 0))
    with pytest.raises(UnsupportedError, match="an average of 9 values"):
        compiled(draft, runner, tmp_path)
