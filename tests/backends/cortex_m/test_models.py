"""MLPerf Tiny's int8 models on a Cortex-M4: exact, and quick enough."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeflow.backends.cortex_m import backend
from tests.backends.cortex_m.conftest import INPUTS, Cases, script
from tests.backends.cortex_m.driver import counted

TINY = "models/mlperf_tiny"
FILES = {
    "resnet8": "image_classification/trained_models/pretrainedResnet_quant.tflite",
    "mobilenet": "visual_wake_words/trained_models/vww_96_int8.tflite",
    "ds_cnn": "keyword_spotting/trained_models/kws_ref_model.tflite",
    "autoencoder": "anomaly_detection/trained_models/ad01_int8.tflite",
    "wakeword": "streaming_wakeword/trained_models/str_ww_ref_model.tflite",
}
BOUNDS = {"resnet8": 2.0, "mobilenet": 2.0, "ds_cnn": 2.0, "autoencoder": 2.0, "wakeword": 2.1}
"""Instructions per multiply-accumulate; QEMU counts the same each time."""


@pytest.fixture(scope="module")
def models(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Cases:
    folder = tmp_path_factory.mktemp("models")
    files = [f"{name}={data_root / TINY / path}" for name, path in FILES.items()]
    script("keras", "make_cases.py", folder, *files)
    script("tflite_runtime", "run_cases.py", folder)
    return Cases(folder, json.loads((folder / "cases.json").read_text()))


@pytest.mark.parametrize("name", FILES)
def test_a_real_model_is_exact_and_quick_on_an_m4(models: Cases, tmp_path: Path, name: str) -> None:
    case = models.about[name]
    assert case["fault"] is None
    one = Cases(models.folder, {name: case})
    outputs, total, by_operator = counted(one, name, tmp_path, "cortex-m4")
    assert one.differing(outputs) == {}
    assert total / case["macs"] <= BOUNDS[name]
    assert sum(by_operator) == pytest.approx(total, rel=0.01)


@pytest.mark.parametrize("name", FILES)
def test_the_arena_of_a_real_model_is_near_the_least(models: Cases, name: str) -> None:
    arena, least = models.about[name]["arena"]
    assert least <= arena <= 1.05 * least


@pytest.mark.parametrize("core", backend.CORES)
def test_a_network_counts_and_is_exact_on_each_core(
    cases: Cases, tmp_path: Path, core: str
) -> None:
    name = "float_to_float"
    one = Cases(cases.folder, {name: cases.about[name]})
    outputs, total, by_operator = counted(one, name, tmp_path, core)
    assert one.differing(outputs) == {}
    assert len(by_operator) == 3
    assert total > 48 * 4 * 9 / 8
    assert INPUTS > 1
