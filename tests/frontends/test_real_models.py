"""The models that nobody here wrote (EDGEFLOW_DATA): known figures, and equal outputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeflow.frontends.loader import load
from edgeflow.frontends.model import Model
from edgeflow.frontends.reference import reference_job
from edgeflow.jobs import Runner

TINY = "models/mlperf_tiny"
EXAMPLES = "models/hls4ml_examples"
MACS = {
    f"{TINY}/anomaly_detection/trained_models/ad01.h5": 264_192,
    f"{TINY}/anomaly_detection/trained_models/ad01_fp32.tflite": 264_192,
    f"{TINY}/anomaly_detection/trained_models/ad01_int8.tflite": 264_192,
    f"{TINY}/image_classification/trained_models/pretrainedResnet.h5": 12_501_632,
    f"{TINY}/image_classification/trained_models/pretrainedResnet.tflite": 12_501_632,
    f"{TINY}/image_classification/trained_models/pretrainedResnet_quant.tflite": 12_501_632,
    f"{TINY}/keyword_spotting/trained_models/kws_ref_model.tflite": 2_656_768,
    f"{TINY}/visual_wake_words/trained_models/vww_96.h5": 7_489_664,
    f"{TINY}/visual_wake_words/trained_models/vww_96_int8.tflite": 7_489_664,
    f"{TINY}/streaming_wakeword/trained_models/str_ww_ref_model.h5": 826_368,
    f"{TINY}/streaming_wakeword/trained_models/str_ww_ref_model.tflite": 826_368,
    f"{TINY}/onnx_kai_jiang/deep_autoencoder.onnx": 264_192,
    f"{TINY}/onnx_kai_jiang/kws_ref_model.onnx": 2_656_768,
    f"{TINY}/onnx_kai_jiang/mobilenet_v1.onnx": 7_489_664,
    f"{TINY}/onnx_kai_jiang/resnet.onnx": 12_501_632,
}


@pytest.mark.parametrize("path", MACS)
def test_macs_are_those_published(data_root: Path, runner: Runner, path: str) -> None:
    model = load([data_root / path], runner)
    assert model.network.totals.macs == MACS[path]


def test_every_file_loads(data_root: Path, runner: Runner) -> None:
    found: dict[str, list[str]] = {}
    for path in sorted((data_root / "models").rglob("*")):
        if "ground" in path.parts or path.suffix not in (
            ".keras",
            ".hdf5",
            ".onnx",
            ".tflite",
            ".json",
            ".h5",
        ):
            continue
        if path.name.endswith("weights.h5") or path.name == "max_depth_rf16384.json":
            continue
        model = load([path], runner) if path.stem != "KERAS_3layer" else load(
            [path, path.with_name("KERAS_3layer_70pruned_retrained_weights.h5")], runner
        )  # fmt: skip
        network = model.network
        found[path.name] = [str(x.attributes["type"]) for x in network if x.kind == "opaque"]
        assert all(layer.output_shape is not None for layer in network)
        assert (network.totals.macs > 0) or "custom edgetpu-custom-op" in found[path.name]
    assert len(found) >= 50
    strange = {name: kinds for name, kinds in found.items() if kinds}
    assert {name for name in strange if "edgetpu" not in name} == {
        "deeplabv3_mnv2_dm05_pascal_quant.tflite"
    }
    assert strange["deeplabv3_mnv2_dm05_pascal_quant.tflite"] == ["ARG_MAX"]


EQUAL = [
    (f"{EXAMPLES}/keras/KERAS_3layer.json", 1e-6),
    (f"{EXAMPLES}/keras/KERAS_3layer_binary_smaller.json", 0),
    (f"{EXAMPLES}/keras/qkeras_3layer.json", 0),
    (f"{EXAMPLES}/keras/qkeras_mnist_dense.json", 0),
    (f"{EXAMPLES}/keras/qkeras-v3_3layer.keras", 0),
    (f"{EXAMPLES}/onnx/branched_model_ch_last.onnx", 0),
    (f"{EXAMPLES}/onnx/conv2d_small_keras.onnx", 1e-6),
    (f"{EXAMPLES}/onnx/three_layer_bn_keras.onnx", 2e-6),
    (f"{EXAMPLES}/onnx/three_layer_pytorch.onnx", 1e-6),
    (f"{TINY}/onnx_kai_jiang/resnet.onnx", 0.1),  # 8 bits: a rounding at a half may differ
    (f"{TINY}/image_classification/trained_models/pretrainedResnet.h5", 2e-6),
    (f"{TINY}/visual_wake_words/trained_models/vww_96_float.tflite", 2e-6),
    (f"{TINY}/anomaly_detection/trained_models/ad01_int8.tflite", 0.75),  # 65.6 / 255 is one step
    (f"{TINY}/streaming_wakeword/trained_models/str_ww_ref_model.tflite", 0.1),
    ("models/mlperf_tiny_fpga/v0.7/ad/AD08/training/trained_model/model.h5", 0),
    ("models/mlperf_tiny_fpga/v0.7/ic/RN07/training/trained_model/model_best.h5", 1e-6),
]


@pytest.mark.parametrize(("path", "tolerance"), EQUAL)
def test_outputs_are_those_of_the_framework(
    data_root: Path,
    runner: Runner,
    twin: Callable[[Model, Path], Path],
    tmp_path: Path,
    path: str,
    tolerance: float,
) -> None:
    model = load([data_root / path], runner)
    first = model.network[model.network.inputs[0]]
    x = np.random.default_rng(3).uniform(
        -1, 1, (2 if "branched" in path else 32, *(d or 1 for d in first.output_shape))
    )
    if first.quantizer is not None and first.quantizer.kind == "affine":
        assert first.quantizer.scale is not None
        x = x * 127 * first.quantizer.scale[0]
    np.savez(tmp_path / "x.npz", x=x.astype(np.float32))
    reference = np.load(runner.run(reference_job(model, tmp_path / "x.npz")).path / "golden.npz")[
        "y"
    ]
    built = np.load(twin(model, tmp_path / "x.npz") / "golden.npz")["y"]
    assert np.ptp(reference) > 0
    np.testing.assert_allclose(built, reference, rtol=0, atol=tolerance)


def test_qonnx_model_gives_its_authors_output(
    data_root: Path, runner: Runner, tmp_path: Path
) -> None:
    """The submission's own input and expected class."""
    base = data_root / "models/mlperf_tiny_fpga/v0.7/kws/KWS-W3A3"
    model = load([base / "training/training_checkpoint/QONNX_model.onnx"], runner)
    assert model.format == "qonnx"
    assert [layer.weight_bits for layer in model.network if layer.kind == "dense"] == [3, 3, 3, 3]
    given = np.load(base / "inference/pynq-z2/input.npy", allow_pickle=False)
    expected = np.load(base / "inference/pynq-z2/expected_output.npy", allow_pickle=False)
    np.savez(tmp_path / "x.npz", x=given.reshape(1, 1, 10, 49).astype(np.float32))
    y = np.load(runner.run(reference_job(model, tmp_path / "x.npz")).path / "golden.npz")["y"]
    assert int(y.argmax()) == int(expected.reshape(-1)[0])


def test_reference_int8_files_reach_their_accuracy(
    data_root: Path, runner: Runner, tmp_path: Path
) -> None:
    """Keyword spotting int8: 90.2 % on the labelled inputs given."""
    data = np.load(data_root / "datasets/kws01_int8_mfcc.npz", allow_pickle=False)
    x = next(data[name] for name in data.files if data[name].ndim > 1)
    labels = next(
        data[name] for name in data.files if data[name].ndim == 1 and len(data[name]) == len(x)
    )
    model = load(
        [data_root / TINY / "keyword_spotting/trained_models/kws_ref_model.tflite"], runner
    )
    np.savez(tmp_path / "x.npz", x=x)
    y = np.load(runner.run(reference_job(model, tmp_path / "x.npz")).path / "golden.npz")["y"]
    assert np.mean(y.argmax(1) == labels) >= 0.90


def test_state_of_an_lstm_starts_anew_for_each_sample(
    data_root: Path, runner: Runner, twin: Callable[[Model, Path], Path], tmp_path: Path
) -> None:
    data = np.load(data_root / "datasets/mnist.npz", allow_pickle=False)
    x = next(data[name] for name in data.files if data[name].shape == (10000, 28, 28))[:100]
    labels = next(data[name] for name in data.files if data[name].shape == (10000,))[:100]
    np.savez(tmp_path / "x.npz", x=(x / 255).astype(np.float32))
    model = load([data_root / "models/edge_tpu/keras_lstm_mnist_ptq.tflite"], runner)
    reference = runner.run(reference_job(model, tmp_path / "x.npz")).path
    for folder in (reference, twin(model, tmp_path / "x.npz")):
        y = np.load(folder / "golden.npz")["y"]
        assert np.mean(y.argmax(1) == labels) >= 0.95
