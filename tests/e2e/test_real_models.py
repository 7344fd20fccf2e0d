"""Models that nobody here wrote, through the public API; what docs/coverage.md says of them."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import edgeflow
from edgeflow.jobs import Runner

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = "models/hls4ml_examples"
TINY = "models/mlperf_tiny"
SPECTRUM = (0.5847029089927673, 83)
"""Scale and zero point of the input of MLPerf Tiny's int8 keyword spotting reference."""


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("edgeflow_docs_coverage", DOCS / "coverage.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look it up
    sys.path.insert(0, str(DOCS))  # as when it is run
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(DOCS))
        del sys.modules[spec.name]


@pytest.fixture(scope="module")
def images(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 labelled images; others, without labels, to measure ranges on."""
    given = np.load(data_root / "datasets/cifar10_ic01.npz")
    path = tmp_path_factory.mktemp("images") / "images.npz"
    np.savez(
        path,
        x_train=given["x_calib_unlabelled"][:100],
        x_test=given["x_test"],
        y_test=given["y_test"],
    )
    return path


@pytest.fixture(scope="module")
def keywords(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,000 labelled spectra, as the numbers that the int8 inputs stand for."""
    given = np.load(data_root / "datasets/kws01_int8_mfcc.npz")
    scale, zero = SPECTRUM
    x = ((given["x"].astype(np.float32) - zero) * scale)[..., None]
    path = tmp_path_factory.mktemp("keywords") / "keywords.npz"
    np.savez(path, x_train=x[:100], x_test=x, y_test=given["y"])
    return path


@pytest.fixture(scope="module")
def digits(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    given = np.load(data_root / "datasets/mnist.npz")
    path = tmp_path_factory.mktemp("mnist") / "mnist.npz"
    np.savez(
        path,
        x_test=given["x_test"][:1000].reshape(-1, 784) / np.float32(255),
        y_test=given["y_test"][:1000],
    )
    return path


def compiled(
    files: Path | list[Path], targets: list[str], folder: Path, runner: Runner, **settings: Any
) -> dict[str, Any]:
    """Each target's part of the report; all must be verified."""
    report = edgeflow.compile(files, targets, folder / "out", runner=runner, **settings)
    for name, entry in report["targets"].items():
        assert entry["verified"], (name, entry["verification"])
    return {"reference": report["accuracy"], **report["targets"]}


@pytest.mark.parametrize(
    "files",
    [
        ["keras/KERAS_3layer.json", "keras/KERAS_3layer_weights.h5"],
        ["keras/qkeras_3layer.json", "keras/qkeras_3layer_weights.h5"],
        ["onnx/three_layer_keras.onnx"],
    ],
    ids=["keras", "qkeras", "onnx"],
)
def test_jet_taggers_to_hls4ml(
    files: list[str], data_root: Path, tmp_path: Path, runner: Runner
) -> None:
    paths = [data_root / EXAMPLES / file for file in files]
    entry = compiled(paths, ["alveo-u250"], tmp_path, runner)["alveo-u250"]
    (check,) = entry["verification"]
    assert check["inputs"] == 1000
    assert check["agreement"] >= 0.99
    assert check["compared"] == "logits"
    assert check["max_difference"] < 0.01
    assert check["softmax_difference"] < 0.02  # of probabilities: a table's step
    assert check["tolerance"]["reason"]
    if "qkeras" in files[0]:
        assert check["equal"] == 1
        assert check["tolerance"]["absolute"] == 0
    else:  # a float model: no more than its types lose
        assert check["tolerance"]["absolute"] < 0.01
        assert check["emulated"] == 1
    assert entry["input_rounding"]["type"].startswith("ap_fixed<18,")
    assert entry["overflows"] == []


def test_jet_tagger_to_rtl(data_root: Path, tmp_path: Path, runner: Runner) -> None:
    files = ["keras/qkeras_3layer.json", "keras/qkeras_3layer_weights.h5"]
    paths = [data_root / EXAMPLES / file for file in files]
    options = {"style": "combinational", "build": "rtl"}
    found = compiled(paths, ["arty-a7-100t"], tmp_path, runner, backend="rtl", options=options)
    entry = found["arty-a7-100t"]
    assert [check["equal"] for check in entry["verification"]] == [1, 1]
    assert {check["inputs"] for check in entry["verification"]} == {1000}
    # da4ml's own cost of the same model with its default settings (benchmarks/jet_rtl.py).
    assert entry["estimates"]["lut"]["value"] < 30944


def test_layers_that_are_not_emulated_are_compared_all_the_same(
    data_root: Path, tmp_path: Path, runner: Runner
) -> None:
    path = data_root / "models/edge_tpu/keras_lstm_mnist_ptq.tflite"
    (check,) = compiled(path, ["alveo-u250"], tmp_path, runner)["alveo-u250"]["verification"]
    assert check["agreement"] >= 0.99
    assert check.get("emulated") is None


def test_tuned_jet_tagger(data_root: Path, tmp_path: Path, runner: Runner) -> None:
    files = ["keras/KERAS_3layer.json", "keras/KERAS_3layer_weights.h5"]
    paths = [data_root / EXAMPLES / file for file in files]
    options = {"precision": "tuned", "min_agreement": 0.98}
    entry = compiled(paths, ["alveo-u250"], tmp_path, runner, options=options)["alveo-u250"]
    found, (check,) = entry["precision"], entry["verification"]
    assert found["after"]["test"] >= 0.98
    assert found["after"]["ebops"] < found["before"]["ebops"] / 5
    assert check["emulated"] == 1


def test_signs_of_a_binary_network_in_hls4ml(
    data_root: Path, tmp_path: Path, runner: Runner
) -> None:
    """A sign flips only where rounding tips it: hls4ml's own thresholds are one off."""
    stem = data_root / EXAMPLES / "keras" / "KERAS_3layer_binary_smaller"
    files = [stem.with_suffix(".json"), stem.with_name(f"{stem.name}_weights.h5")]
    (check,) = compiled(files, ["alveo-u250"], tmp_path, runner)["alveo-u250"]["verification"]
    assert check["agreement"] >= 0.995
    assert check["mean_difference"] < 1e-3


def test_relu_in_a_quantiser_in_hls4ml(data_root: Path, tmp_path: Path, runner: Runner) -> None:
    """Of an integer ONNX model the ReLUs are nothing but the quantisers' lower ends."""
    file = data_root / TINY / "onnx_kai_jiang/deep_autoencoder.onnx"
    entry = compiled(file, ["alveo-u250"], tmp_path, runner, inputs=200)["alveo-u250"]
    (check,) = entry["verification"]
    assert "no power of two" in check["tolerance"]["reason"]


def test_mnist_to_hls4ml(data_root: Path, digits: Path, tmp_path: Path, runner: Runner) -> None:
    stem = data_root / EXAMPLES / "keras" / "qkeras_mnist_dense"
    files = [stem.with_suffix(".json"), stem.with_name(f"{stem.name}_weights.h5")]
    found = compiled(files, ["alveo-u250"], tmp_path, runner, data=digits)
    assert found["reference"] >= 0.93
    assert abs(found["alveo-u250"]["accuracy"] - found["reference"]) <= 0.005


def test_image_classification_int8(
    data_root: Path, images: Path, tmp_path: Path, runner: Runner
) -> None:
    folder = data_root / TINY / "image_classification/trained_models"
    reference = compiled(
        folder / "pretrainedResnet_quant.tflite",
        ["raspberry-pi-4", "tpu-v5e"],
        tmp_path,
        runner,
        data=images,
    )
    assert reference["raspberry-pi-4"]["accuracy"] >= 0.85  # MLPerf Tiny's target
    ours = compiled(
        folder / "pretrainedResnet.h5",
        ["raspberry-pi-4"],
        tmp_path / "ours",
        runner,
        data=images,
        options={"precision": "int8"},
    )
    assert ours["reference"] == pytest.approx(0.855)
    assert ours["raspberry-pi-4"]["accuracy"] >= 0.84


def test_keyword_spotting_int8(
    data_root: Path, keywords: Path, tmp_path: Path, runner: Runner
) -> None:
    folder = data_root / TINY / "keyword_spotting/trained_models"
    reference = compiled(
        folder / "kws_ref_model.tflite",
        ["nucleo-h7a3zi-q"],
        tmp_path,
        runner,
        data=keywords,
    )
    assert reference["nucleo-h7a3zi-q"]["accuracy"] >= 0.90  # MLPerf Tiny's target
    ours = compiled(
        folder / "kws_ref_model_float32.tflite",
        ["nucleo-h7a3zi-q"],
        tmp_path / "ours",
        runner,
        data=keywords,
        options={"precision": "int8"},
    )
    assert ours["nucleo-h7a3zi-q"]["accuracy"] >= ours["reference"] - 0.02


@pytest.mark.parametrize(
    ("file", "bounds"),
    [
        ("visual_wake_words/trained_models/vww_96.h5", (0, 1)),
        ("anomaly_detection/trained_models/ad01.h5", (-84, 15)),
    ],
    ids=["mobilenet", "autoencoder"],
)
def test_after_training_quantisation_on_inputs_alone(
    file: str, bounds: tuple[float, float], data_root: Path, tmp_path: Path, runner: Runner
) -> None:
    network = edgeflow.inspect(data_root / TINY / file, runner=runner)
    shape = network[network.inputs[0]].output_shape
    x = np.random.default_rng(0).uniform(*bounds, (60, *shape)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x_train=x[:40], x_test=x[40:])
    found = compiled(
        data_root / TINY / file,
        ["nucleo-h7a3zi-q"],
        tmp_path,
        runner,
        data=tmp_path / "x.npz",
        options={"precision": "int8"},
        inputs=20,
    )
    tflite = found["nucleo-h7a3zi-q"]
    assert tflite["estimates"]["model_size"]["value"] < 350_000
    exact = compiled(data_root / TINY / file, ["tpu-v5e"], tmp_path / "tpu", runner, inputs=20)
    assert exact["tpu-v5e"]["verification"][0]["max_difference"] < 1e-2


def test_the_page_is_what_the_runs_gave(script: ModuleType) -> None:
    coverage = json.loads((DOCS / "coverage.json").read_text())
    assert (DOCS / "coverage.md").read_text() == script.coverage_page.render(coverage)


def test_every_model_has_its_rows(script: ModuleType, data_root: Path) -> None:
    root = data_root / "models"
    names = {script.name_of(files, root) for files in script.models(root)}
    entries = json.loads((DOCS / "coverage.json").read_text())["models"]
    assert names == {entry["model"] for entry in entries}
    for entry in entries:
        refused = "error" in entry["inspect"]
        assert refused == entry["model"].endswith("keyword_spotting/trained_models/kws_ref_model")
        assert refused == (not entry["results"])
