"""Every format of a model: its C simulation against the model's own framework.

On inputs of the design's own grid, and before a final softmax. A model that is quantised itself
must be equal to the bit (QKeras: tests/e2e/test_real_models.py too); a float one differs by what
the design's types lose: as much as their emulation says, to the bit.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

import edgeflow
from edgeflow import toolchains
from edgeflow.jobs import Runner

SCRIPT = Path(__file__).with_name("make_formats.py")
EXAMPLES = "models/hls4ml_examples"
KEYWORDS = "models/mlperf_tiny_fpga/v0.7/kws/KWS-W3A3/training/training_checkpoint/QONNX_model.onnx"
INPUTS = 300


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("formats")
    chain = toolchains.get("keras")
    done = subprocess.run(
        [str(toolchains.ensure(chain)), str(SCRIPT), str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, **chain.environment},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def simulated(files, folder, runner, data=None, inputs=INPUTS, target="alveo-u250"):
    network = edgeflow.inspect(*files, runner=runner)
    report = edgeflow.compile(
        files, [target], folder / "out", runner=runner, inputs=inputs, data=data
    )
    entry = report["targets"][target]
    (check,) = entry["verification"]
    assert entry["verified"], check
    assert check["inputs"] == inputs
    assert entry["overflows"] == []
    return network, entry, check


def exact(entry, check):
    assert check["equal"] == 1
    assert check["max_difference"] == 0
    assert check["agreement"] == 1
    assert check["first_divergence"] is None


def explained(entry, check, below=0.05):
    """The emulation of the design's types gives the same numbers, and says how far they may go."""
    assert check["emulated"] == 1
    assert 0 < check["max_difference"] <= check["tolerance"]["absolute"] < below
    assert check["tolerance"]["reason"]
    assert entry["input_rounding"]["type"].startswith("ap_fixed<")


def test_hgq2(made: Path, tmp_path: Path, runner: Runner) -> None:
    """Bits that differ from element to element."""
    network, entry, check = simulated([made / "hgq2.keras"], tmp_path, runner)
    assert network.source["format"] == "hgq2"
    exact(entry, check)


def test_keras3(made: Path, tmp_path: Path, runner: Runner) -> None:
    network, entry, check = simulated([made / "keras3.keras"], tmp_path, runner)
    assert network.source["format"] == "keras3"
    assert check["compared"] == "logits"
    explained(entry, check)


@pytest.mark.parametrize(
    ("name", "form", "inputs"),
    [
        ("keras/qkeras-v3_3layer.keras", "qkeras_v3", INPUTS),
        ("onnx/branched_model_ch_last.onnx", "qonnx", 1),  # 256 x 256: 392 million MACs
    ],
)
def test_quantised_files(
    name: str, form: str, inputs: int, data_root: Path, tmp_path: Path, runner: Runner
) -> None:
    path = data_root / EXAMPLES / name
    weights = path.with_name(f"{path.stem}_weights.h5")
    files = [path, weights] if path.suffix == ".json" else [path]
    network, entry, check = simulated(files, tmp_path, runner, inputs=inputs)
    assert network.source["format"] == form
    exact(entry, check)


@pytest.mark.parametrize(
    ("name", "form", "target"),
    [
        ("keras/KERAS_conv2d_model.json", "keras2", "alveo-u250"),
        ("onnx/conv1d_small_keras.onnx", "onnx", "alveo-u250"),
        ("onnx/three_layer_pytorch.onnx", "onnx", "pynq-z2"),
    ],
)
def test_float_files(
    name: str, form: str, target: str, data_root: Path, tmp_path: Path, runner: Runner
) -> None:
    path = data_root / EXAMPLES / name
    weights = path.with_name(f"{path.stem}_weights.h5")
    files = [path, weights] if path.suffix == ".json" else [path]
    network, entry, check = simulated(files, tmp_path, runner, target=target)
    assert network.source["format"] == form
    explained(entry, check)
    small = any("it may not fit" in note for note in entry["notes"])
    assert small == (target == "pynq-z2")  # 4,256 multipliers of 18 bits


def test_keywords_in_qonnx(data_root: Path, tmp_path: Path, runner: Runner) -> None:
    """Three bits, in steps that are no powers of two; the input is rounded to 8 such bits."""
    given = np.load(data_root / "datasets/kws01_int8_mfcc.npz")
    x = ((given["x"].astype("float32") - 83) * 0.5847029089927673).swapaxes(1, 2)
    np.savez(
        tmp_path / "x.npz", x_test=x.reshape(-1, 1, 10, 49)[:INPUTS], y_test=given["y"][:INPUTS]
    )
    network, entry, check = simulated(
        [data_root / KEYWORDS], tmp_path, runner, data=tmp_path / "x.npz"
    )
    assert network.source["format"] == "qonnx"
    assert check["agreement"] >= 0.99
    assert check["accuracy"] > 0.8
    explained(entry, check, 2.0)  # of logits up to 45
