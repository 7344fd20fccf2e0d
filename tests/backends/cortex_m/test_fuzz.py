"""Damaged files: one error or C that stays within its arrays; no crash, no hang."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.backends.cortex_m.conftest import INPUTS, script
from tests.backends.cortex_m.driver import on_host

REAL = "models/mlperf_tiny/keyword_spotting/trained_models/kws_ref_model.tflite"
COUNT = 300


@pytest.fixture(scope="module")
def fuzzed(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    script("keras", "fuzz.py", folder, str(COUNT), data_root / REAL)
    return folder


def test_a_damaged_file_is_read_or_refused(fuzzed: Path) -> None:
    found = json.loads((fuzzed / "fuzz.json").read_text())
    assert len(found) == COUNT
    assert {name: status for name, status in found.items() if status not in (0, 2)} == {}
    said = [path.read_text() for path in fuzzed.glob("*.said")]
    assert len(said) > COUNT / 8, "hardly anything was damaged"
    assert all("\n" not in text.split("\n  ")[0] for text in said)


def test_what_is_read_stays_within_its_arrays(fuzzed: Path, tmp_path: Path) -> None:
    cases = json.loads((fuzzed / "cases.json").read_text())
    assert len(cases) > COUNT / 10
    data = b"".join((fuzzed / f"{name}.in").read_bytes() for name in cases)
    (tmp_path / "inputs.bin").write_bytes(data)
    assert on_host(cases, fuzzed / "plain", tmp_path, INPUTS)
