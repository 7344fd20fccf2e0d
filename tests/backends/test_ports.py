"""Several inputs, outputs and graphs, and shapes that are not fixed: it works, or says so."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

import edgeflow
from edgeflow import toolchains
from edgeflow.errors import UnsupportedError
from edgeflow.jobs import Runner

TARGETS = {
    "tflite": "raspberry-pi-4",
    "onnxruntime": "raspberry-pi-4",
    "ethos_u": "ethos-u55-128",
    "edge_tpu": "coral-usb-accelerator",
    "cortex_m": "qemu-mps2-an386",
    "tpu": "tpu-v4",
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ports")
    python = toolchains.ensure(toolchains.get("keras"))
    subprocess.run(
        [python, Path(__file__).with_name("make_ports.py"), folder], check=True, timeout=300,
        capture_output=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    return folder


def compiled(runner: Runner, model: Path, backend: str, out: Path) -> dict[str, Any]:
    """The report's only target."""
    report = edgeflow.compile(
        model, TARGETS[backend], out, backend=backend, inputs=4, runner=runner
    )
    (entry,) = report["targets"].values()
    return entry


@pytest.mark.parametrize(
    ("model", "backend"),
    [
        ("two_outputs_int8.tflite", "tflite"),
        ("two_outputs_int8.tflite", "ethos_u"),
        ("two_outputs.keras", "tflite"),
        ("two_outputs.keras", "onnxruntime"),
        ("two_outputs.keras", "tpu"),
    ],
)
def test_all_outputs_are_verified(
    runner: Runner, models: Path, tmp_path: Path, model: str, backend: str
) -> None:
    entry = compiled(runner, models / model, backend, tmp_path / "out")
    assert entry["verified"], entry["verification"]
    assert any(table["rows"] for table in entry["tables"]) or backend == "tpu"
    assert all(one["equal"] > 0.5 or one["max_difference"] < 1e-5 for one in entry["verification"])


def test_two_outputs_have_no_firmware(runner: Runner, models: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="2 outputs"):
        compiled(runner, models / "two_outputs_int8.tflite", "cortex_m", tmp_path / "out")


@pytest.mark.parametrize("backend", TARGETS)
def test_two_inputs_are_refused(runner: Runner, models: Path, tmp_path: Path, backend: str) -> None:
    with pytest.raises(UnsupportedError, match="the model has 2 inputs"):
        compiled(runner, models / "two_inputs_int8.tflite", backend, tmp_path / "out")


@pytest.mark.parametrize("backend", TARGETS)
def test_an_open_shape_is_refused_by_layer(
    runner: Runner, models: Path, tmp_path: Path, backend: str
) -> None:
    with pytest.raises(UnsupportedError) as caught:
        compiled(runner, models / "open.keras", backend, tmp_path / "out")
    assert "(?, 4)" in str(caught.value)
    assert "fixed" in str(caught.value)


def test_a_file_of_several_graphs_says_so(runner: Runner, models: Path, tmp_path: Path) -> None:
    entry = compiled(runner, models / "graphs.tflite", "tflite", tmp_path / "out")
    assert entry["verified"]
    assert any("subgraphs (loops, branches or further signatures" in n for n in entry["notes"])
    for backend in ("cortex_m", "tpu", "onnxruntime"):
        with pytest.raises(UnsupportedError, match="WHILE"):
            compiled(runner, models / "graphs.tflite", backend, tmp_path / backend)
