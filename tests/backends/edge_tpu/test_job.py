"""The job on published files, with Google's compiler played by a script that knows its answer."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from edgeflow import targets
from edgeflow.backends.base import Request
from edgeflow.backends.edge_tpu import compiler_job, rules_job
from edgeflow.backends.edge_tpu.backend import BACKEND
from edgeflow.errors import JobError, RecipeError, UnsupportedError
from edgeflow.frontends.loader import load
from edgeflow.jobs import Runner
from edgeflow.network import Layer, Network

TARGET = targets.load("coral-dev-board")
PAIRS = {
    # the pair: operators, mapped, bytes of parameters inside the compiled file's package
    "deeplabv3_mnv2_dm05_pascal_quant": (72, 64, 766_720),
    "keras_lstm_mnist_ptq": (6, 6, 43_968),
    "mobilenet_v1_0.25_128_quant": (31, 31, 566_912),
    "mobilenet_v1_0.5_160_quant": (31, 31, 1_473_280),
}
# in the form that edgetpu_compiler -s prints (coral.ai, public logs); the content is ours
SAID = """\
Edge TPU Compiler version 16.0.384591198

Model compiled successfully in 557 ms.

Input model: model.tflite
Input size: 4.08MiB
Output model: model_edgetpu.tflite
Output size: 4.75MiB
On-chip memory used for caching model parameters: 3.33MiB
On-chip memory remaining for caching model parameters: 4.40MiB
Off-chip memory used for streaming uncached model parameters: 512.00KiB
Number of Edge TPU subgraphs: 1
Total number of operations: 72
Operation log: model_edgetpu.log

Operator                       Count      Status

CONV_2D                        36         Mapped to Edge TPU
CONV_2D                        2          More than one subgraph is not supported
DEPTHWISE_CONV_2D              17         Mapped to Edge TPU
ADD                            10         Mapped to Edge TPU
AVERAGE_POOL_2D                1          Mapped to Edge TPU
RESIZE_BILINEAR                1          Operation is otherwise supported, but not mapped due to \
some unspecified limitation
QUANTIZE                       1          More than one subgraph is not supported
CONCATENATION                  1          More than one subgraph is not supported
RESIZE_BILINEAR                2          More than one subgraph is not supported
ARG_MAX                        1          Operation not supported
"""


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def compiler(folder: Path, body: str) -> None:
    """A program named edgetpu_compiler; its arguments are as Google's."""
    folder.mkdir(exist_ok=True)
    program = folder / compiler_job.PROGRAM
    program.write_text(f"#!{sys.executable}\nimport shutil, sys, time\n{body}\n")
    program.chmod(0o755)


def compile_file(runner: Runner, path: Path, tmp_path: Path, **options: Any) -> Any:
    """The edge_tpu job on a .tflite file, without the stages before it."""
    base = tmp_path / "base"
    base.mkdir(exist_ok=True)
    shutil.copyfile(path, base / "model.tflite")
    given = BACKEND.options(options, "here")
    return runner.run(BACKEND.compile(Request(None, TARGET, given, base=base)))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.usefixtures("no_compiler")
def test_published_pairs(runner: Runner, data_root: Path, tmp_path: Path, name: str) -> None:
    path = data_root / f"models/edge_tpu/{name}.tflite"
    finished = compile_file(runner, path, tmp_path)
    operators, mapped, parameters = PAIRS[name]
    verdict = json.loads((finished.path / "verdict.json").read_text())
    assert verdict == finished.result
    assert (verdict["operators"], verdict["mapped"]) == (operators, mapped)
    assert verdict["source"] == "static"
    (table,) = BACKEND.tables(finished.path, finished.result)
    assert (len(table.rows), sum(row[2] == "Edge TPU" for row in table.rows)) == (operators, mapped)
    assert all(row[3] and row[4] for row in table.rows if row[2] == "processor")
    assert BACKEND.artifacts(finished.path)["tflite"].read_bytes() == path.read_bytes()
    memory = verdict["parameter_memory"]["on_chip"]
    assert 0.85 <= memory / parameters <= 1.02
    figures = BACKEND.estimate(
        load([path], runner).network, TARGET, BACKEND.options({}, "here"), None, verdict
    )
    assert figures["model_size"].value == path.stat().st_size
    band = figures["on_chip_parameters"]
    assert band.low <= parameters <= band.high
    assert 0.1e-3 < figures["latency"].value < 50e-3
    assert any("not on PATH" in note for note in verdict["notes"])


def test_the_compilers_answer_wins(
    runner: Runner, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program gives Google's own compiled file; ours is compared with what lies in it."""
    folder = data_root / "models/edge_tpu"
    name = "deeplabv3_mnv2_dm05_pascal_quant"
    compiled = folder / f"{name}_edgetpu.tflite"
    compiler(
        tmp_path / "bin",
        f"shutil.copyfile({str(compiled)!r}, 'model_edgetpu.tflite')\nprint({SAID!r})",
    )
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    finished = compile_file(runner, folder / f"{name}.tflite", tmp_path)
    found = finished.result
    assert found["source"] == "edgetpu_compiler 16.0.384591198"
    assert found["static"]["mapped"] == found["mapped"] == found["compiler"]["mapped"] == 64
    assert found["parameter_memory"]["on_chip"] == round(3.33 * (1 << 20))
    assert found["parameter_memory"]["off_chip"] == 512 << 10
    reasons = {row["operator"]: row["reason"] for row in found["table"] if not row["mapped"]}
    assert reasons["ARG_MAX"] == "Operation not supported"
    artifacts = BACKEND.artifacts(finished.path)
    assert artifacts["tflite_edgetpu"].read_bytes() == compiled.read_bytes()
    figure = BACKEND.estimate(
        load([folder / f"{name}.tflite"], runner).network, TARGET,
        BACKEND.options({}, "here"), None, found,
    )["model_size"]  # fmt: skip
    assert figure.value == compiled.stat().st_size


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("print('Internal compiler error. Aborting!'); sys.exit(1)", "Internal compiler error"),
        ("print('nothing made')", "cannot compile the file"),
        ("time.sleep(60)", "did not end in 1 s"),
    ],
)
def test_a_compiler_that_fails(
    runner: Runner,
    data_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    body: str,
    words: str,
) -> None:
    compiler(tmp_path / "bin", body)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    path = data_root / "models/edge_tpu/keras_lstm_mnist_ptq.tflite"
    with pytest.raises(JobError, match=words):
        compile_file(runner, path, tmp_path, compiler_timeout=1)


@pytest.mark.usefixtures("no_compiler")
def test_nothing_mapped_is_an_error(runner: Runner, data_root: Path, tmp_path: Path) -> None:
    path = (
        data_root / "models/mlperf_tiny/image_classification/trained_models/pretrainedResnet.tflite"
    )
    with pytest.raises(UnsupportedError, match="nothing of the model runs") as caught:
        compile_file(runner, path, tmp_path)
    assert "is float32" in str(caught.value)


def test_what_the_log_says() -> None:
    found = compiler_job.parse(SAID)
    assert found["version"] == "16.0.384591198"
    assert (found["mapped"], found["on_cpu"]) == (64, 8)
    assert found["parameter_memory"]["remaining"] == round(4.40 * (1 << 20))
    assert compiler_job.parse("")["parameter_memory"]["on_chip"] is None


def test_options() -> None:
    with pytest.raises(RecipeError, match="precision"):
        BACKEND.options({"precision": "float32"}, "here")


def test_remarks_say_where_the_graph_is_cut() -> None:
    sizes = ((4,),)
    network = Network(
        "m",
        (
            Layer("in", "input", output_shape=(4,)),
            Layer("d", "dense", ("in",), sizes, (4,)),
            Layer("g", "gelu", ("d",), sizes, (4,)),
            Layer("e", "elu", ("g",), sizes, (4,)),
        ),
        ("in",),
        ("e",),
    )
    (remark,) = BACKEND.remarks(network, TARGET, {})
    assert remark.startswith("GELU (g) does not map")
    short = Network("m", network.layers[:2], ("in",), ("d",))
    assert BACKEND.remarks(short, TARGET, {}) == []


def test_limits_are_the_table_of_rules() -> None:
    listed = {kind for limit in BACKEND.limits() for kind in limit.kinds}
    assert listed == set(rules_job.BY_KIND)


def test_float_and_integer_models_get_int8_ports(runner: Runner, data_root: Path) -> None:
    """A file that is quantised keeps its own types; of others int8 ones are made."""
    tiny = data_root / "models/mlperf_tiny/keyword_spotting/trained_models"
    for name, wanted in (("kws_ref_model.tflite", None), ("kws_ref_model_float32.tflite", "int8")):
        model = load([tiny / name], runner)
        data = data_root / "datasets"
        request = Request(model, TARGET, BACKEND.options({}, "here"), data=data)
        params = BACKEND.base(request).params
        assert params["input_type_given"] == (wanted is not None)
        if wanted:
            assert (params["input_type"], params["output_type"]) == (wanted, wanted)
