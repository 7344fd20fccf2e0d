"""`edgeflow estimate` and `edgeflow calibrate` as a user calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NETWORK = '{"input_shape": [16], "bits": 8, "layers": [{"kind": "dense", "units": 5}]}'


def edgeflow(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgeflow", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "XDG_CONFIG_HOME": str(cwd / "config"), "NO_COLOR": "1"},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "n.json").write_text(NETWORK)
    return tmp_path


def test_json_of_two_targets(folder: Path) -> None:
    done = edgeflow(
        "estimate", "n.json", "-t", "pynq-z2", "--target", "nucleo-l4r5zi", "--runtime", "tflm",
        "--clock-mhz", "60", "--set", "reuse_factor=4", "--json", "--html", "page.html", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["targets"]
    assert list(found) == ["pynq-z2", "nucleo-l4r5zi"]
    for entry in found.values():
        latency = entry["estimates"]["latency"]
        assert latency["low"] <= latency["value"] <= latency["high"]
    assert "60 MHz" in found["nucleo-l4r5zi"]["estimates"]["latency"]["source"]
    assert "pynq-z2" in (folder / "page.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("n.json", "-t", "pynqz2"), "did you mean 'pynq-z2'"),
        (("n.json", "-t", "pynq-z2", "--clock-mhz", "0"), "clock above 0"),
        (("n.json", "-t", "pynq-z2", "--clock-mhz=-5"), "clock above 0"),
        (("n.json", "-t", "pynq-z2", "--runtime", "tflite"), "did you mean 'tflm'"),
        (("n.json", "-t", "pynq-z2", "--set", "lutt=3"), "did you mean 'lut'"),
        (("n.json", "-t", "pynq-z2", "--set", "lut"), "KEY=VALUE"),
        (("n.json", "-t", "pynq-z2", "--set", "lut=many"), "number"),
        (("n.json", "-t", "pynq-z2", "--set", "part=xq1"), "xq1"),
        (("absent.json", "-t", "pynq-z2"), "absent.json"),
        (("n.json", "-t", "pynq-z2", "--calibration", "absent.json"), "absent.json"),
        (("n.json", "-t", "{kind: fpga}"), "chip: xc7"),
    ],
)
def test_bad_input_is_one_error(folder: Path, arguments: tuple[str, ...], words: str) -> None:
    done = edgeflow("estimate", *arguments, cwd=folder)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_own_measurements_are_used_from_then_on(folder: Path) -> None:
    def seconds(*more: str) -> tuple[float, str]:
        done = edgeflow("estimate", "n.json", "-t", "raspberry-pi-4", "--json", *more, cwd=folder)
        assert done.returncode == 0, done.stderr
        figure = json.loads(done.stdout)["targets"]["raspberry-pi-4"]["estimates"]["latency"]
        return figure["value"], figure["source"]

    before, _ = seconds()
    table = f"model,target,latency_s\nn.json,raspberry-pi-4,{2 * before}\n"
    (folder / "results.csv").write_text(table)
    done = edgeflow("calibrate", "--from", "results.csv", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "x 2" in done.stdout
    after, source = seconds()
    assert after == pytest.approx(2 * before, rel=1e-3)
    assert "results.csv" in source
    assert seconds("--calibration", "none")[0] == before
    (folder / "results.csv").write_text("model,target,latency_s\nn.json,raspberry-pi-4,fast\n")
    done = edgeflow("calibrate", "--from", "results.csv", cwd=folder)
    assert done.returncode == 2
    assert "line 2" in done.stderr
