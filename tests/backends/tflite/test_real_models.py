"""Models and data that nobody here wrote: MLPerf Tiny, hls4ml's examples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeflow.backends.base import Request
from edgeflow.backends.tflite.backend import BACKEND
from edgeflow.errors import UnsupportedError
from edgeflow.frontends.loader import load
from edgeflow.frontends.model import Model
from edgeflow.frontends.reference import reference_job
from edgeflow.jobs import Runner
from edgeflow.targets import Target
from edgeflow.verify import accuracy, compare

TARGET = Target("a-board", "A board", "linux_board", "nobody", ("tflite",), "chip")
TINY = "models/mlperf_tiny"


@pytest.fixture(scope="module")
def images(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLPerf Tiny's CIFAR-10 images: 200 with labels, 500 to measure ranges on."""
    given = np.load(data_root / "datasets/cifar10_ic01.npz")
    folder = tmp_path_factory.mktemp("images")
    np.savez(
        folder / "data.npz",
        x_train=given["x_calib_unlabelled"][:100].astype(np.float32),
        x_test=given["x_test"].astype(np.float32),
        y_test=given["y_test"].astype(np.int64),
    )
    return folder


def keywords(data_root: Path, folder: Path, model: Model) -> Path:
    """MLPerf Tiny's 1,000 labelled spectra, as the numbers that the int8 file's input stands for."""
    given = np.load(data_root / "datasets/kws01_int8_mfcc.npz")
    quantizer = model.network[model.network.inputs[0]].quantizer
    real = (given["x"].astype(np.float32) - quantizer.zero_point[0]) * quantizer.scale[0]
    folder.mkdir()
    np.savez(
        folder / "data.npz",
        x_train=real[500:, ..., None], x_test=real[..., None], y_test=given["y"].astype(np.int64),
    )  # fmt: skip
    return folder


def outcome(
    runner: Runner, model: Model, data: Path, precision: str | None, deciding: bool = True
) -> tuple[dict[str, object], dict[str, float | None]]:
    """Compile, run and compare; the compile's result and each runtime's accuracy."""
    options = BACKEND.options({"precision": precision} if precision else {}, "here")
    assert BACKEND.check(model.network, TARGET, options) == []
    golden = runner.run(reference_job(model, data / "data.npz", 4)).path
    request = Request(model, TARGET, options, golden, data)
    built = runner.run(BACKEND.compile(request))
    found = {}
    for simulation in BACKEND.simulate(request, built.path):
        if simulation.deciding or not deciding:
            outputs = runner.run(simulation.job).path
            comparison = compare(golden, outputs, simulation.tolerance, model.network)
            assert comparison.passed, (simulation.runtime, comparison.explanation)
            found[simulation.runtime] = accuracy(outputs / "outputs.npz", data, "classification")
    return dict(built.result), found


def test_image_classification_reference(runner: Runner, data_root: Path, images: Path) -> None:
    path = data_root / TINY / "image_classification/trained_models/pretrainedResnet_quant.tflite"
    model = load([path], runner)
    result, accuracies = outcome(runner, model, images, None, deciding=False)
    assert result["route"] == "copied"
    job = BACKEND.compile(Request(model, TARGET, BACKEND.options({}, "here")))
    assert (runner.run(job).path / "model.tflite").read_bytes() == path.read_bytes()
    asked = BACKEND.options({"metadata": True}, "here")
    signed = runner.run(BACKEND.compile(Request(model, TARGET, asked))).path / "model.tflite"
    assert b'"format":"edgeflow.tflite/1"' in signed.read_bytes()
    assert min(accuracies.values()) >= 0.85, accuracies  # MLPerf Tiny's target
    with pytest.raises(UnsupportedError, match="quantised already"):
        options = BACKEND.options({"precision": "float32"}, "here")
        runner.run(BACKEND.compile(Request(model, TARGET, options)))


def test_keyword_spotting_reference(runner: Runner, data_root: Path, tmp_path: Path) -> None:
    path = data_root / TINY / "keyword_spotting/trained_models/kws_ref_model.tflite"
    model = load([path], runner)
    _, accuracies = outcome(runner, model, keywords(data_root, tmp_path / "d", model), None)
    assert min(accuracies.values()) >= 0.90, accuracies  # MLPerf Tiny's target


def test_resnet8_after_training_quantisation(runner: Runner, data_root: Path, images: Path) -> None:
    path = data_root / TINY / "image_classification/trained_models/pretrainedResnet.h5"
    result, accuracies = outcome(runner, load([path], runner), images, "int8")
    assert result["route"] == "calibrated"
    assert result["float_operators"] == []
    assert min(accuracies.values()) >= 0.84, accuracies  # float: 0.855


def test_a_qkeras_model_keeps_its_quantisers(
    runner: Runner, data_root: Path, tmp_path: Path
) -> None:
    digits = np.load(data_root / "datasets/mnist.npz")
    scaled = {k: digits[k][:300].reshape(-1, 784) / np.float32(255) for k in ("x_train", "x_test")}
    np.savez(tmp_path / "data.npz", **scaled, y_test=digits["y_test"][:300].astype(np.int64))
    folder = data_root / "models/hls4ml_examples/keras"
    model = load(
        [folder / "qkeras_mnist_dense.json", folder / "qkeras_mnist_dense_weights.h5"], runner
    )
    result, accuracies = outcome(runner, model, tmp_path, "int8")
    assert result["route"] == "trained"
    assert result["quantisers"]["measured"] == ["input_3", "q_dense_3"]  # the two it does not round
    assert result["quantisers"]["rounded_kernels"] == [
        "q_dense_2"
    ]  # powers of two: no uniform grid
    assert min(accuracies.values()) >= 0.93, accuracies
    _, exact = outcome(runner, model, tmp_path, "float32")
    assert len(set(exact.values())) == 1
