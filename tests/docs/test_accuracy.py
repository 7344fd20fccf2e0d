"""docs/accuracy.md says what the calibrations recorded, all of it and nothing else."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "accuracy.md"


@pytest.fixture(scope="module")
def accuracy() -> ModuleType:
    spec = importlib.util.spec_from_file_location("accuracy", ROOT / "docs" / "accuracy.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_is_current(accuracy: ModuleType) -> None:
    assert PAGE.read_text() == accuracy.page(), "run `make docs`"


def test_every_record_is_whole(accuracy: ModuleType) -> None:
    found = accuracy.records()
    assert {"hls_resources", "hls_latency", "mcu", "power", "edge_tpu"} <= set(found)
    for name, record in found.items():
        assert record.get("limits"), f"{name} does not say what limits it"
        for row in record["accuracy"]:
            assert row["rows"] >= row["groups"] >= 1, name
            assert row["band"] >= 1, name
            assert 0 <= row["held"] <= row["held_of"] <= row["rows"], name


@pytest.mark.parametrize(
    ("goal", "median", "within", "words"),
    [
        ("median 12 %, 99 % within 2x", 0.12, 0.99, "reached"),
        ("median 12 %, 99 % within 2x", 0.13, 0.99, "missed"),
        ("median 12 %, 99 % within 2x", 0.1, 0.98, "missed"),
        ("10 % median, all within 2x", 0.1, 0.99, "missed"),
        ("15 %, 100 % within 2x", 0.15, 1.0, "reached"),
        ("median 25 %, 90 % within 2x", None, 1.0, "reached"),
    ],
)
def test_goals(
    accuracy: ModuleType, goal: str, median: float | None, within: float, words: str
) -> None:
    row = {"goal": goal, "median_error": median, "within_2x": within}
    assert words in accuracy._goal(row)


def test_a_changed_record_changes_the_page(
    accuracy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = {
        "accuracy": [
            {
                "quantity": "x|y", "designs": "d", "goal": "", "median_error": 0.123,
                "within_2x": 1.0, "rows": 4, "worst_factor": 1.5, "band": 1.4, "groups": 2,
                "held": 3, "held_of": 4,
                "alternatives": {"MACs only": {"median_error": 0.5, "within_2x": 0.25, "rows": 4}},
            }
        ],
        "limits": ["one board"],
    }  # fmt: skip
    (tmp_path / "own.json").write_text(json.dumps(record))
    (tmp_path / "without.json").write_text("{}")
    monkeypatch.setattr(accuracy, "COEFFICIENTS", tmp_path)
    text = accuracy.page()
    assert "| x\\|y | d | – | 4 (2) | 12 % | 100 % | 1.5 | 1.4 | 75 % of 4 |" in text
    assert "12 %, 100 % (of 4) | 50 %, 25 % (of 4)" in text
    assert "- one board." in text
    assert "without" not in text.partition("## own")[2]
