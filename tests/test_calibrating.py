"""A user's own measurements: what they make of the estimates, and what is refused."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from edgeflow import corrections, estimating, subject, targets
from edgeflow.calibrating import calibrate
from edgeflow.corrections import Correction
from edgeflow.errors import DataError, InputError
from edgeflow.estimate.quantity import Estimate
from edgeflow.jobs import Runner

BOARD = "raspberry-pi-4"
TRUE = 1.7
"""By how much the made-up board is slower than the estimates."""


@contextlib.contextmanager
def no_runner() -> Any:
    pytest.fail("no job is needed for this")
    yield Runner()


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's configuration folder of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv(corrections.VARIABLE, raising=False)
    return tmp_path


def network_file(folder: Path, name: str, units: int) -> Path:
    record = {
        "input_shape": [256],
        "bits": 8,
        "layers": [{"kind": "dense", "units": units}, {"kind": "relu"},
                   {"kind": "dense", "units": 10}],
    }  # fmt: skip
    file = folder / f"{name}.json"
    file.write_text(json.dumps(record))
    return file


def ask(file: Path, **more: Any) -> dict[str, Any]:
    found = estimating.estimate_targets(lambda: subject.read([file], no_runner), [BOARD], **more)
    return dict(found[BOARD]["estimates"])


def table(folder: Path, count: int, spread: float = 0.05) -> Path:
    """Measurements 1.7 times the estimates, and the scatter of a model or another."""
    chance = random.Random(0)
    lines = ["model,target,latency_s,note"]
    for number in range(count):
        file = network_file(folder, f"m{number}", 64 + 64 * number)
        value = ask(file)["latency"]["value"]
        scatter = 1 + chance.uniform(-spread, spread)
        lines.append(f"{file.name},{BOARD},{value * TRUE * scatter:.6g},made up")
    path = folder / "results.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_corrected_estimate_is_nearer_and_its_band_narrower(tmp_path: Path) -> None:
    file = network_file(tmp_path, "new", 700)
    before = ask(file)
    truth = before["latency"]["value"] * TRUE
    found = calibrate(table(tmp_path, 10), no_runner)
    (one,) = found.corrections
    assert one.factor == pytest.approx(TRUE, rel=0.04)
    assert found.after[one.key] is not None
    assert found.before[one.key] > 0.35
    assert (found.after[one.key] or 1) < 0.06
    corrections.save(corrections.default_path(), found.corrections)
    after = ask(file)
    assert abs(after["latency"]["value"] / truth - 1) < 0.05
    assert after["latency"]["low"] < truth < after["latency"]["high"]

    def width(figure: dict[str, Any]) -> float:
        return float(figure["high"] / figure["low"])

    assert width(after["latency"]) < 0.5 * width(before["latency"])
    assert "own measurements of 10 models" in after["latency"]["source"]
    assert after["energy_per_inference"]["value"] == pytest.approx(
        before["energy_per_inference"]["value"] * one.factor
    )
    assert after["power"] == before["power"]
    assert ask(file, calibration=Path("none")) == before


def test_one_model_keeps_the_whole_band(tmp_path: Path) -> None:
    file = network_file(tmp_path, "new", 100)
    before = ask(file)["latency"]
    (one,) = calibrate(table(tmp_path, 1), no_runner).corrections
    own = max(before["high"] / before["value"], before["value"] / before["low"])
    assert one.band >= 0.95 * own
    two, five = (calibrate(table(tmp_path, n), no_runner).corrections[0] for n in (2, 5))
    assert one.band > two.band > five.band > 1.2


def test_a_board_outside_of_the_band_gets_a_wider_one() -> None:
    figure = Estimate.within(1.0, 1.2, "s", "model", "x")
    row = corrections.Measured("b", None, "latency", "m", 3.0, figure, 100.0)
    (one,) = corrections.fit([row], "r.csv")
    assert one.factor == 3.0
    assert one.band == pytest.approx(3.0, rel=1e-3)


def test_a_network_of_another_size_gets_a_wider_band(tmp_path: Path) -> None:
    own = tmp_path / "c.json"
    found = calibrate(table(tmp_path, 10), no_runner)
    corrections.save(own, found.corrections)
    large = ask(network_file(tmp_path, "large", 60_000), calibration=own)["latency"]
    near = ask(network_file(tmp_path, "near", 300), calibration=own)["latency"]
    assert "outside" in large["source"]
    assert large["high"] / large["low"] > 2 * near["high"] / near["low"]


def test_corrections_are_of_their_target_and_runtime_alone() -> None:
    board = targets.load(BOARD)
    figure = Estimate(2.0, 1.0, 4.0, "s", "model", "x")
    one = Correction(BOARD, "tflm", "latency", 2.0, 1.1, 9, 9, 1, 1e9, "r.csv")
    assert corrections.apply({"latency": figure}, board, 5.0, [one])["latency"] == figure
    assert corrections.apply(
        {"latency": figure}, targets.load("raspberry-pi-5"), 5.0, [one]
    )["latency"] == figure  # fmt: skip
    counted = Estimate.exact(2.0, "s", "measured", "x")
    free = Correction(BOARD, None, "latency", 2.0, 1.1, 9, 9, 1, 1e9, "r.csv")
    assert corrections.apply({"latency": counted}, board, 5.0, [free])["latency"] == counted
    assert corrections.apply({"latency": figure}, board, 5.0, [free])["latency"].value == 4.0


def test_others_corrections_stay(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "c.json"
    one = Correction("a", None, "latency", 2.0, 1.1, 9, 9, 1, 9, "r.csv")
    other = Correction("b", "tflm", "power", 0.5, 1.2, 9, 9, 1, 9, "r.csv")
    corrections.save(path, [one])
    corrections.save(path, [other, Correction("a", None, "latency", 3.0, 1.1, 9, 9, 1, 9, "s")])
    assert {c.key: c.factor for c in corrections.load(path)} == {one.key: 3.0, other.key: 0.5}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "missing"),
        ("model,target,latencys\n", "did you mean 'latency_s'"),
        ("model,target\nm,t\n", "no column is a measurement"),
        ("model,target,latency_s\n", "no rows"),
        ("model,target,latency_s\nm0.json,raspberry-pi-4,-1\n", "line 2"),
        ("model,target,latency_s\nm0.json,raspberry-pi-4,\n", "line 2: no measurement"),
        ("model,target,latency_s\nm0.json,raspberry-pi-4,1,2\n", "line 2: more values"),
        ("model,target,latency_s\n\nm0.json,rasberry-pi-4,1\n", "line 3: unknown target"),
        ("model,target,latency_s\nabsent.json,raspberry-pi-4,1\n", "line 2"),
        (
            "model,target,latency_s,set\nm0.json,raspberry-pi-4,1,rm=3\n",
            "line 2: --set: unknown key",
        ),
        (
            'model,target,latency_s,set\nm0.json,raspberry-pi-4,1,"clock_mhz=[1"\n',
            "line 2: the value of 'clock_mhz' in 'set' is not YAML",
        ),
    ],
)
def test_faults_have_their_lines(tmp_path: Path, text: str, words: str) -> None:
    network_file(tmp_path, "m0", 64)
    path = tmp_path / "r.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        calibrate(path, no_runner)


@pytest.mark.parametrize("text", ["", "[]", '{"format": "edgeflow.calibration/1"}',
                                  '{"format": "edgeflow.calibration/1", "corrections": [{}]}'])  # fmt: skip
def test_a_damaged_calibration(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"c\.json"):
        corrections.load(path)
    monkeypatch.setenv(corrections.VARIABLE, str(tmp_path / "absent.json"))
    with pytest.raises(InputError, match="absent"):
        corrections.find()
