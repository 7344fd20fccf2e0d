"""Signature, metadata and labels inside the file; what it computes stays as it was."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import edgeflow
from edgeflow import toolchains
from edgeflow.backends.base import Request
from edgeflow.backends.tflite.backend import BACKEND
from edgeflow.frontends.model import Model
from edgeflow.jobs import Finished, Runner
from edgeflow.targets import Target

LABELS = ["zero", "one", "two", "three", "ünf"]
BOARD = Target("a-board", "A board", "linux_board", "nobody", ("tflite",), "chip")


def request_for(model: Model, golden: Path | None, data: Path | None, **options: object) -> Request:
    return Request(model, BOARD, BACKEND.options(options, "here"), golden, data)


READ = """
import json, sys
from pathlib import Path
from ai_edge_litert import schema_py_generated as schema
from edgeflow.backends.tflite import file_job
content = Path(sys.argv[1]).read_bytes()
model = schema.Model.GetRootAs(content, 0)
offsets = []
for index in range(model.BuffersLength()):
    buffer = model.Buffers(index)
    if buffer.DataLength():
        start = buffer._tab.Vector(buffer._tab.Offset(4))
        offsets.append(start)
said = {"about": file_job.metadata_of(content), "offsets": offsets, "signatures": {}}
for index in range(model.SignatureDefsLength()):
    item = model.SignatureDefs(index)
    said["signatures"][item.SignatureKey().decode()] = {
        "inputs": [item.Inputs(i).Name().decode() for i in range(item.InputsLength())],
        "outputs": [item.Outputs(i).Name().decode() for i in range(item.OutputsLength())],
    }
print(json.dumps(said))
"""

RUN = """
import sys
import numpy as np
if sys.argv[1] == "litert":
    from ai_edge_litert.interpreter import Interpreter
else:
    from tflite_runtime.interpreter import Interpreter
x = np.load(sys.argv[4])["x"][:20]
for path, out in ((sys.argv[2], sys.argv[5]), (sys.argv[3], sys.argv[6])):
    interpreter = Interpreter(model_path=path, num_threads=1)
    interpreter.allocate_tensors()
    entry, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    found = []
    for row in x:
        interpreter.set_tensor(entry["index"], row[None].astype(entry["dtype"]))
        interpreter.invoke()
        found.append(interpreter.get_tensor(result["index"]))
    np.save(out, np.concatenate(found))
    if "signed" in out:
        runner = interpreter.get_signature_runner("serving_default")
        y = runner(image=x[:1].astype(entry["dtype"]))
        assert list(y) == ["probs"], list(y)
        np.testing.assert_array_equal(y["probs"], found[0])
"""


def inside(toolchain: str, code: str, *arguments: object) -> str:
    python = toolchains.ensure(toolchains.get(toolchain))
    root = str(Path(edgeflow.__file__).parents[1])
    code = f"import sys; sys.path.insert(0, {root!r})\n{code}"
    done = subprocess.run(
        [str(python), "-c", code, *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def built(runner: Runner, float_model: Model, data: Path) -> Callable[..., Finished]:
    def build(**options: object) -> Finished:
        return runner.run(BACKEND.compile(request_for(float_model, None, data, **options)))

    return build


def test_the_file_says_what_it_is(
    runner: Runner, float_model: Model, data: Path, tmp_path: Path
) -> None:
    done = {"scale": "standard", "shift": [0.5] * 192, "factor": [2.0] * 192}
    (tmp_path / "data.npz").write_bytes((data / "data.npz").read_bytes())
    (tmp_path / "data.json").write_text(json.dumps({"normalisation": done}))
    options = {"precision": "int8", "input_type": "uint8", "output_type": "uint8"}
    request = request_for(float_model, None, tmp_path, **options, labels=LABELS)
    made = runner.run(BACKEND.compile(request))
    said = json.loads(inside("keras", READ, made.path / "model.tflite").splitlines()[-1])
    assert said["signatures"] == {"serving_default": {"inputs": ["image"], "outputs": ["probs"]}}
    about = said["about"]
    assert about["labels"] == LABELS
    assert about["edgeflow"] == edgeflow.__version__
    assert (about["precision"], about["route"]) == ("int8", "calibrated")
    (entry,) = about["inputs"]
    assert (entry["type"], entry["name"]) == ("uint8", "image")
    assert {key: entry["normalisation"][key] for key in done} == done
    assert entry["scale"]
    assert entry["scale"] == made.result["inputs"][0]["scale"]
    assert about["outputs"][0]["scale"] == [pytest.approx(1 / 256)]
    assert len(said["offsets"]) > 5
    assert not [offset for offset in said["offsets"] if offset % 16]  # TFLite's schema asks so
    artifacts = BACKEND.artifacts(made.path)
    assert artifacts["labels"].read_text(encoding="utf-8").splitlines() == LABELS
    (note,) = made.result["notes"]
    assert f"{(made.path / 'model.tflite').stat().st_size:,} bytes" in note
    assert "CONV_2D 1" in note


@pytest.mark.parametrize(("runtime", "toolchain"), [("litert", "keras"), ("old", "tflite_runtime")])
def test_outputs_stay_the_same_to_the_bit(
    runtime: str, toolchain: str, built: Callable[..., Finished], data: Path, tmp_path: Path
) -> None:
    signed = built(precision="int8", labels=LABELS).path / "model.tflite"
    plain = built(precision="int8", metadata=False).path / "model.tflite"
    assert signed.read_bytes() != plain.read_bytes()
    inputs = tmp_path / "x.npz"
    with np.load(data / "data.npz") as stored:
        np.savez(inputs, x=stored["x_test"])
    outputs = [tmp_path / "plain.npy", tmp_path / "signed.npy"]
    inside(toolchain, RUN, runtime, plain, signed, inputs, *outputs)
    one, other = (np.load(path) for path in outputs)
    np.testing.assert_array_equal(one, other)
    assert one.std() > 0


def test_trained_ranges_are_never_measured_anew(
    runner: Runner, trained_model: Model, data: Path, tmp_path: Path
) -> None:
    """Data of a hundred times the range change nothing in a model with its own quantisers."""
    wide = tmp_path / "wide"
    wide.mkdir()
    with np.load(data / "data.npz") as stored:
        np.savez(wide / "data.npz", **{k: v * 100 for k, v in stored.items()})
    files = [
        runner.run(BACKEND.compile(request_for(trained_model, None, folder, precision="int8")))
        for folder in (None, data, wide)
    ]
    assert len({(made.path / "model.tflite").read_bytes() for made in files}) == 1


def test_labels_must_be_as_many_as_outputs(float_model: Model) -> None:
    options = BACKEND.options({"labels": ["a", "b"]}, "here")
    (problem,) = BACKEND.check(float_model.network, BOARD, options)
    assert "2 names, the model has 5 outputs" in problem.message
