"""How far a build goes, what is refused before synthesis, and what the steps give."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgeflow import verify
from edgeflow.backends.base import Request
from edgeflow.backends.rtl import build
from edgeflow.backends.rtl.backend import BACKEND
from edgeflow.errors import UnsupportedError
from edgeflow.frontends.reference import reference_job
from edgeflow.targets import load

spec = importlib.util.spec_from_file_location(
    "build_networks", Path(__file__).parents[1] / "hls4ml" / "networks.py"
)
networks = importlib.util.module_from_spec(spec)
sys.modules["build_networks"] = networks
spec.loader.exec_module(networks)


def design(folder: Path, lut: float) -> Path:
    record = {
        "top": "net", "style": "pipelined", "cost": {"lut": lut, "ff": 10.0}, "layers": {},
        "files": {"verilog": ["verilog/net.v"]},
    }  # fmt: skip
    (folder / "design.json").write_text(json.dumps(record))
    (folder / "result.json").write_text(json.dumps({"inexact": [], "softmax": None}))
    return folder


def request(target: str, **options) -> Request:
    model = SimpleNamespace(network=None)
    return Request(model, load(target), BACKEND.options(options, "test"))


def never(job):
    raise AssertionError(f"ran {job.title}")


def test_what_cannot_fit_is_refused_before_synthesis(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError) as caught:
        build.synthesise(request("icebreaker"), design(tmp_path, 27000), never, False)
    text = str(caught.value)
    assert "LUTs: needs 37,800, 'icebreaker' has 5,280" in text
    assert "style: stream" in text
    assert "a target that holds it, such as ulx3s-" in text
    assert "before synthesis" in text


def test_sources_alone_ask_for_no_room(tmp_path: Path) -> None:
    folder = design(tmp_path, 27000)
    assert build.synthesise(request("icebreaker", build="rtl"), folder, never, False) is None


def test_a_long_synthesis_is_left_to_the_user(tmp_path: Path) -> None:
    made = build.synthesise(request("alveo-u250"), design(tmp_path, 60000), never, False)
    assert made is not None
    assert "60,000 LUTs take long" in made.notes[0]
    assert "build: area" in made.notes[0]


def test_no_bitstream_without_open_place_and_route(tmp_path: Path) -> None:
    folder = design(tmp_path, 100)
    with pytest.raises(UnsupportedError, match="no open place and route for 'pynq-z2'"):
        build.synthesise(request("pynq-z2", build="bitstream"), folder, never, False)


def test_an_area_comes_back_with_its_netlist(tmp_path: Path) -> None:
    (tmp_path / "verilog").mkdir()
    seen = []

    def run(job):
        seen.append(job.params["family"])
        result = {"utilisation": {"lut": 90, "ff": 8}, "layers": {},
                  "tool": {"program": "yosys", "version": "0.70"}}  # fmt: skip
        return SimpleNamespace(path=tmp_path, result=result)

    made = build.synthesise(request("pynq-z2"), design(tmp_path, 100), run, False)
    assert made is not None
    assert seen == ["xc7"]
    assert made.result["utilisation"]["lut"] == 90
    assert "yosys 0.70" in made.result["source"]
    assert made.result["available"]["lut"] == 53200
    assert made.artifacts["netlist"] == tmp_path / "netlist.json"


def test_a_bitstream_names_all_its_tools(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(build.wrapping, "wrap_job", lambda *_, **__: "wrap")
    monkeypatch.setattr(build.flow, "synthesis_job", lambda *_, **__: "yosys")
    monkeypatch.setattr(build.flow, "route_job", lambda *_, **__: "route")
    wrapper = {"core": "core", "top": "board", "files": {"verilog": ["verilog/board.v"]}}
    (tmp_path / "wrapper.json").write_text(json.dumps(wrapper))
    results = {
        "wrap": {},
        "yosys": {"utilisation": {"lut": 90, "ff": 8}, "layers": {}, "ports": {},
                  "tool": {"program": "yosys", "version": "0.70"}},
        "route": {"utilisation": {"lut": {"used": 95, "available": 5280}}, "clock_mhz": 20.0,
                  "critical_path": {}, "met": True, "seed": 1, "notes": [], "bitstream": "b.bin",
                  "tools": [{"program": "nextpnr-ice40", "version": "0.10"},
                            {"program": "icepack", "version": ""}]},
    }  # fmt: skip

    def run(job):
        return SimpleNamespace(path=tmp_path, result=results[job])

    made = build.synthesise(request("icebreaker"), design(tmp_path, 60), run, False)
    assert made is not None
    assert made.result["source"].startswith("yosys 0.70; nextpnr-ice40 0.10; icepack, routed on ")
    (room,) = BACKEND.tables(tmp_path, {"synthesis": made.result})
    assert room.title.startswith("Resources, by yosys 0.70; nextpnr-ice40 0.10; icepack")
    assert room.rows == (("LUTs", 95, 5185, 5280, 1.8),)


def test_an_area_on_an_amd_device_is_counted_and_simulated(runner, tmp_path: Path) -> None:
    """Real yosys: the netlist of Xilinx' cells computes the model's logits."""
    draft = networks.Draft((8,)).add("q", "quantize", quantizer=networks.fixed(5, 1))
    draft.dense("fc1", 6, networks.fixed(4, 0))
    draft.add("relu", "relu", quantizer=networks.fixed(4, 1, False))
    draft.dense("fc2", 3, networks.fixed(4, 0)).add("out", "softmax")
    model = draft.save(tmp_path / "model")
    x = np.random.default_rng(0).normal(0, 1.5, (300, 8)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x)
    golden = runner.run(reference_job(model, tmp_path / "x.npz")).path
    options = BACKEND.options({"build": "area"}, "test")
    given = Request(model, load("pynq-z2"), options, golden, name="net")
    compiled = runner.run(BACKEND.compile(given))
    made = BACKEND.synthesise(given, compiled.path, runner.run, False)

    assert made is not None
    used = made.result["utilisation"]
    assert made.result["family"] == "xc7"
    assert used["dsp"] == 0
    assert 0.5 < used["lut"] / compiled.result["cost"]["lut"] < 1.5
    assert used["ff"] > 0
    (netlist,) = made.simulations
    found = verify.compare(golden, runner.run(netlist.job).path, netlist.tolerance, model.network)
    assert (found.passed, found.equal) == (True, 1)
    assert made.result["toggles"]
    counts = json.loads(made.artifacts["toggles"].read_text())
    assert counts["total"] == made.result["toggles"]["total"]
    saif = made.artifacts["saif"].read_text()
    assert "SAIFVERSION" in saif
    result = {**compiled.result, "synthesis": made.result}
    room, activity = BACKEND.tables(compiled.path, result)
    assert ("LUTs", used["lut"], 53200 - used["lut"]) == room.rows[0][:3]
    assert "logic" in [row[0] for row in activity.rows]
    figures = BACKEND.estimate(model.network, given.target, options, compiled.path, result)
    assert (figures["lut"].value, figures["lut"].method) == (used["lut"], "synthesised")
