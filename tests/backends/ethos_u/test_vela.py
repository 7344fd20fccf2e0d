"""Real Vela on real and small files."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from edgeflow import targets, toolchains
from edgeflow.backends.base import Request
from edgeflow.backends.ethos_u import operators, report_job
from edgeflow.backends.ethos_u.backend import BACKEND
from edgeflow.errors import JobError, RecipeError, UnsupportedError
from edgeflow.frontends.loader import load
from edgeflow.jobs import Job, Runner
from edgeflow.network import Layer, Network

TINY = "models/mlperf_tiny"
KWS = f"{TINY}/keyword_spotting/trained_models/kws_ref_model.tflite"
VWW = f"{TINY}/visual_wake_words/trained_models/vww_96_int8.tflite"
FLOAT = f"{TINY}/keyword_spotting/trained_models/kws_ref_model_float32.tflite"


def compile_file(
    runner: Runner, path: Path, tmp_path: Path, target: str = "ethos-u55-128", **options: Any
) -> Any:
    """The ethos_u job on a .tflite file, without the stages before it."""
    base = tmp_path / "base"
    base.mkdir(exist_ok=True)
    shutil.copyfile(path, base / "model.tflite")
    request = Request(
        None,  # type: ignore[arg-type]
        targets.load(target),
        BACKEND.options(options, "here"),
        base=base,
    )
    return runner.run(BACKEND.compile(request))


def test_keyword_spotting_on_every_family(runner: Runner, data_root: Path, tmp_path: Path) -> None:
    """More MACs per cycle, fewer cycles; what lies in the result follows from Vela's tables."""
    cycles = []
    for name in ("ethos-u55-32", "ethos-u55-256", "ethos-u65-512", "ethos-u85-1024"):
        finished = compile_file(runner, data_root / KWS, tmp_path, name)
        found = finished.result
        assert found["accelerator"] == name
        assert (found["npu_operators"], found["cpu_operators"]) == (13, [])
        assert found["file_bytes"] == (finished.path / "model_vela.tflite").stat().st_size
        assert json.loads((finished.path / "vela.json").read_text()) == found
        # our own count has the products with padding in it
        network = load([data_root / KWS], runner).network
        assert found["macs"] == pytest.approx(sum(layer.macs for layer in network), rel=0.1)
        assert sum(row["macs"] for row in found["operators"]) == found["macs"]
        rows = [row for row in found["operators"] if row["cycles"]]
        assert {"Conv2D", "DepthwiseConv2D", "FullyConnected"} <= {r["operator"] for r in rows}
        assert all(0 <= row["utilisation"] <= 1 for row in rows)
        assert found["cycles"]["total"] >= max(found["cycles"]["npu"], 1)
        assert found["seconds"] == pytest.approx(
            found["cycles"]["total"] / found["clock_hz"], rel=0.01
        )
        cycles.append(found["cycles"]["npu"])
    assert cycles == sorted(cycles, reverse=True)
    assert cycles[0] > 2 * cycles[-1]


OTHERS = [
    "ethos-u55-64", "ethos-u55-128", "ethos-u65-256", "ethos-u85-128", "ethos-u85-256",
    "ethos-u85-512", "ethos-u85-2048",
]  # fmt: skip


@pytest.mark.parametrize("target", OTHERS)
def test_every_other_accelerator(
    runner: Runner, data_root: Path, tmp_path: Path, target: str
) -> None:
    found = compile_file(runner, data_root / KWS, tmp_path, target).result
    assert found["accelerator"] == target
    assert found["npu_operators"] == 13
    assert found["cycles"]["npu"] > 0
    assert found["memory"]["sram"] > 0
    settings = targets.load(target).settings
    assert (found["system_config"], found["memory_mode"]) == (
        settings["system_config"], settings["memory_mode"],
    )  # fmt: skip
    (table,) = BACKEND.tables(tmp_path, found)
    assert {row[0] for row in table.rows} >= {"Conv2D", "DepthwiseConv2D"}
    assert sum(row[2] for row in table.rows) == found["macs"]


def test_visual_wake_words_and_its_estimates(
    runner: Runner, data_root: Path, tmp_path: Path
) -> None:
    finished = compile_file(runner, data_root / VWW, tmp_path, "ethos-u65-256")
    network = load([data_root / VWW], runner).network
    target = targets.load("ethos-u65-256")
    options = BACKEND.options({}, "here")
    figures = BACKEND.estimate(network, target, options, finished.path, finished.result)
    latency, rate = figures["latency"], figures["throughput"]
    assert latency.value == pytest.approx(finished.result["seconds"], rel=0.01)
    assert latency.low < latency.value < latency.high
    assert rate.value == pytest.approx(1 / latency.value)
    assert rate.low == pytest.approx(1 / latency.high)
    assert figures["model_size"].value == finished.result["file_bytes"]
    assert figures["sram"].value > 96 * 96 * 3
    traffic = {name: size for name, size in finished.result["traffic"].items() if size}
    assert traffic
    for name, size in traffic.items():
        assert figures[f"{name}_traffic"].value == size
        assert figures[f"{name}_bandwidth"].value == pytest.approx(size / latency.value)
    assert figures["power"].value is None  # Arm publishes none
    assert any(note.startswith("31 of 31 operators") for note in finished.result["notes"])


def test_before_vela_has_run_its_cycles_lie_in_the_band(
    runner: Runner, data_root: Path, tmp_path: Path
) -> None:
    """And its SRAM; then its own figures take their place."""
    network = load([data_root / KWS], runner).network
    target = targets.load("ethos-u55-128")
    options = BACKEND.options({}, "here")
    before = BACKEND.estimate(network, target, options)
    finished = compile_file(runner, data_root / KWS, tmp_path)
    after = BACKEND.estimate(network, target, options, finished.path, finished.result)
    for name in ("latency_cycles", "sram", "latency"):
        assert before[name].low <= after[name].value <= before[name].high, name
    assert "before compilation" in before["latency"].source
    assert after["latency_cycles"].low == after["latency_cycles"].high


def test_operators_that_fall_to_the_processor(
    runner: Runner, data_root: Path, tmp_path: Path
) -> None:
    """Vela names the operator and the constraint that does not hold."""
    path = tmp_path / "changed.tflite"
    python = str(toolchains.get("keras").interpreter)
    script = str(Path(__file__).with_name("change.py"))
    subprocess.run([python, script, str(data_root / KWS), str(path)], check=True, timeout=60)
    found = compile_file(runner, path, tmp_path).result
    left = {item["kind"]: item["reason"] for item in found["cpu_operators"]}
    assert left == {
        "LOG_SOFTMAX": "Unsupported opType",
        "DEPTHWISE_CONV_2D": "Unsupported kernel stride: 4, 1 "
        "(Kernel stride must be in the range (1,3))",
    }
    assert found["npu_operators"] == 11
    tables = {table.title: table.rows for table in BACKEND.tables(tmp_path, found)}
    assert len(tables["Operators on the processor"]) == 2
    assert any("Unsupported opType" in row for row in tables["Operators on the processor"])
    assert sum("on the processor" in note for note in found["notes"]) == 2
    network = load([data_root / KWS], runner).network
    target = targets.load("ethos-u55-128")
    figures = BACKEND.estimate(network, target, BACKEND.options({}, "here"), None, found)
    assert figures["latency"].value is None
    assert "run on the processor" in (figures["latency"].reason or "")
    assert "throughput" not in figures


def test_nothing_on_the_npu_is_an_error(runner: Runner, data_root: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="nothing of the model runs on the NPU") as caught:
        compile_file(runner, data_root / FLOAT, tmp_path)
    assert "RELU" in str(caught.value)


def test_a_wrong_system_config(runner: Runner, data_root: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="Vela cannot compile the file") as caught:
        compile_file(runner, data_root / KWS, tmp_path, system_config="No_Such_Config")
    assert "No_Such_Config" in str(caught.value)
    assert "system_config" in str(caught.value.remedy)


def test_the_arena_cache_bounds_the_memory(runner: Runner, data_root: Path, tmp_path: Path) -> None:
    """With weights in DRAM a small cache makes Vela use less SRAM, and more cycles."""
    modes = {"optimise": "Performance"}
    large = compile_file(runner, data_root / VWW, tmp_path, "ethos-u65-256", **modes).result
    small = compile_file(
        runner, data_root / VWW, tmp_path, "ethos-u65-256", **modes, arena_cache_size=60_000
    ).result
    assert small["memory"]["sram"] < large["memory"]["sram"]
    assert small["cycles"]["total"] > large["cycles"]["total"]


def test_options() -> None:
    for wrong in (
        {"accelerator": "ethos-u99"},
        {"system_config": "../x"},
        {"precision": "float32"},
    ):
        with pytest.raises(RecipeError):
            BACKEND.options(wrong, "here")


# what Vela's report says, before anything is compiled


def test_the_table_of_operators_is_that_of_the_installed_vela(runner: Runner) -> None:
    """Renew it with docs/vela_operators.py."""
    job = Job("edgeflow.backends.ethos_u.report_job:supported", "keras", "Vela's operators", {}, {})
    found = json.loads((runner.run(job).path / "supported_ops.json").read_text())
    assert found == operators.table()


def test_the_report_is_read_whole() -> None:
    found = operators.table()
    older, newer = (found[key]["operators"] for key in ("u55_u65", "u85"))
    assert set(older) < set(newer)
    assert "IFM depth must be less than or equal to 127." in older["ARG_MAX"]
    assert older["ADD"] == []
    assert "GATHER" in newer
    assert "GATHER" not in older
    lines = report_job.parse("Vela version: `9`\n## Ethos-U85 TFLite Summary Table\n| ADD | x |\n")
    assert (lines["version"], lines["u85"]["operators"]) == ("9", {"ADD": []})


def test_remarks_name_the_layers_that_fall_to_the_processor() -> None:
    network = Network(
        "m",
        (
            Layer("in", "input", output_shape=(4,)),
            Layer("d", "dense", ("in",), ((4,),), (4,)),
            Layer("q", "div", ("d", "d"), ((4,), (4,)), (4,)),
        ),
        ("in",),
        ("q",),
    )
    options = BACKEND.options({}, "here")
    (remark,) = BACKEND.remarks(network, targets.load("ethos-u55-128"), options)
    assert remark.startswith("DIV (q) runs on the processor")
    assert BACKEND.remarks(network, targets.load("ethos-u85-256"), options) == []


def test_limits_are_vela_s() -> None:
    limits = BACKEND.limits()
    assert {limit.only for limit in limits} == {"Ethos-U55, U65", "Ethos-U85"}
    assert any(limit.kinds == ("ARG_MAX",) and "127" in limit.limit for limit in limits)
