"""A synthesis made elsewhere, read back into a report: the truth beside the estimate."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgeflow.artifacts import MANIFEST, place
from edgeflow.errors import InputError
from edgeflow.report.from_synthesis import read_back, same_part
from edgeflow.report.load import load
from edgeflow.report.write import write

SAMPLES = Path(__file__).parents[1] / "synthesis" / "vendor_samples.py"
spec = importlib.util.spec_from_file_location("vendor_samples", SAMPLES)
assert spec is not None
samples = importlib.util.module_from_spec(spec)
sys.modules["vendor_samples"] = samples
spec.loader.exec_module(samples)  # type: ignore[union-attr]

TOP = "digits_pynq_z2"
NONE = {"method": "model", "source": "none", "reason": "needs a synthesis"}


def guess(value: float | None, unit: str, low: float = 0, high: float = 0) -> dict[str, Any]:
    if value is None:
        return {"value": None, "low": None, "high": None, "unit": unit, **NONE}
    return {
        "value": value, "low": low, "high": high, "unit": unit, "method": "model",
        "source": "a model",
    }  # fmt: skip


@pytest.fixture
def run(sample: dict[str, Any], tmp_path: Path) -> Path:
    """A run's folder whose FPGA target has its project; its LUTs were estimated."""
    source = tmp_path / "made"
    (source / "firmware").mkdir(parents=True)
    (source / "hls4ml_config.yml").write_text("x")
    (source / "firmware" / f"{TOP}.cpp").write_text(samples.SOURCE)
    (source / "project.tcl").write_text(f'set project_name "{TOP}"\n')
    folder = tmp_path / "runs" / "digits"
    project = folder / "hls_projects" / "digits-pynq-z2"
    place({"hls_project": source}, folder, "pynq-z2", project)
    entry = sample["targets"]["pynq-z2"]
    entry["artifacts"] = {"hls_project": "hls_projects/digits-pynq-z2"}
    entry["estimates"] |= {
        "lut": guess(5000, "LUT", 4000, 9000),
        "ff": guess(2000, "FF", 1500, 2500),
        "dsp": guess(None, "DSP"),
        "latency_cycles": guess(19, "cycles", 15, 25),
        "latency": guess(190e-9, "s", 150e-9, 250e-9),
    }
    write(sample, folder)
    return folder


@pytest.fixture
def elsewhere(run: Path, tmp_path: Path) -> Path:
    """The project as somebody synthesised it on another machine."""
    copy = tmp_path / "other" / "machine" / "digits-pynq-z2"
    shutil.copytree(run / "hls_projects" / "digits-pynq-z2", copy)
    return samples.write(copy, TOP, ("csynth", "cosim", "vsynth"))


def test_figures_become_synthesised_ones(run: Path, elsewhere: Path) -> None:
    found = read_back(elsewhere, run)
    assert (found.target, found.folder) == ("pynq-z2", run)
    entry = load(run)["targets"]["pynq-z2"]
    estimates = entry["estimates"]
    assert (estimates["lut"]["value"], estimates["lut"]["method"]) == (3900, "synthesised")
    assert estimates["lut"]["source"] == "logic synthesis (before placement), Vivado 2023.2"
    assert estimates["lut_hls"]["value"] == 8000
    assert estimates["dsp"]["value"] == 12  # it had no estimate
    assert (estimates["latency_cycles"]["value"], estimates["latency_cycles"]["method"]) == (
        19, "simulated",
    )  # fmt: skip
    assert estimates["latency"]["value"] == pytest.approx(190e-9)
    rows = {row["quantity"]: row for row in entry["vendor_synthesis"]["comparison"]}
    assert rows["lut"]["predicted"]["value"] == 5000
    assert rows["lut"]["ratio"] == pytest.approx(5000 / 3900)
    assert not rows["lut"]["within"]
    assert rows["latency_cycles"]["within"]
    assert rows["ff"]["within"] is False
    assert "dsp" not in rows
    layers = entry["vendor_synthesis"]["layers"]
    assert [layer["layer"] for layer in layers] == ["fc1", "relu1", "fc2"]
    assert entry["vendor_synthesis"]["remarks"] == []
    html = (run / "report.html").read_text()
    for words in ("Synthesised by the vendor's tools", "fc1", "Our estimates beside it", "5,200"):
        assert words in html


def test_reading_again_changes_nothing(run: Path, elsewhere: Path) -> None:
    read_back(elsewhere, run)
    first = (run / "report.json").read_text()
    read_back(elsewhere, run)
    assert (run / "report.json").read_text() == first


def test_reports_of_fewer_steps_take_the_place_of_more(run: Path, elsewhere: Path) -> None:
    read_back(elsewhere, run)
    (elsewhere / "vivado_synth.rpt").unlink()
    read_back(elsewhere, run)
    estimates = load(run)["targets"]["pynq-z2"]["estimates"]
    assert (estimates["lut"]["value"], estimates["lut"]["high"]) == (8000, 8000)
    assert estimates["lut"]["low"] == pytest.approx(8000 / 4.6)  # HLS says too many
    assert "lut_hls" not in estimates


def test_power_follows_the_counts(run: Path, elsewhere: Path) -> None:
    before = load(run)["targets"]["pynq-z2"]["estimates"]["power"]["method"]
    read_back(elsewhere, run)
    estimates = load(run)["targets"]["pynq-z2"]["estimates"]
    assert before == "model"
    assert estimates["fabric_power"]["value"] > 0


def test_a_report_beside_the_project_is_found(run: Path) -> None:
    project = run / "hls_projects" / "digits-pynq-z2"
    samples.write(project, TOP)
    assert read_back(project).folder == run
    assert read_back(project / f"{TOP}_prj").target == "pynq-z2"


def test_without_a_report_the_figures_are_shown(tmp_path: Path) -> None:
    samples.write(tmp_path / "net", "net")
    found = read_back(tmp_path / "net")
    assert found.report is None
    assert found.synthesis["logic"]["lut"] == 3900
    with pytest.raises(InputError, match="--target board"):
        read_back(tmp_path / "net", target="board")


def test_another_part(run: Path, elsewhere: Path) -> None:
    for path in elsewhere.rglob("*_csynth.xml"):
        path.write_text(path.read_text().replace("xc7z020-clg400-1", "xcu250-figd2104-2L-e"))
    with pytest.raises(InputError, match="another design") as caught:
        read_back(elsewhere, run)
    assert caught.value.details == (
        "target 'pynq-z2': expected the part xc7z020clg400-1, found xcu250-figd2104-2L-e",
    )
    assert load(run)["targets"]["pynq-z2"]["estimates"]["lut"]["value"] == 5000


def test_another_top_function(run: Path, tmp_path: Path) -> None:
    samples.write(tmp_path / "jets", "jets")
    with pytest.raises(InputError, match="another design") as caught:
        read_back(tmp_path / "jets", run)
    assert "expected the top function digits_pynq_z2, found jets" in caught.value.details[0]


def test_which_target(run: Path, elsewhere: Path) -> None:
    with pytest.raises(InputError, match="no target 'pynq'"):
        read_back(elsewhere, run, "pynq")
    whole = load(run)
    whole["targets"]["second"] = {**whole["targets"]["pynq-z2"], "target": "pynq-z2"}
    write(whole, run)
    with pytest.raises(InputError, match="'pynq-z2' or 'second'") as caught:
        read_back(elsewhere, run)
    assert "--target" in str(caught.value.remedy)
    assert read_back(elsewhere, run, "second").target == "second"


def test_edits_and_stale_projects_are_said(run: Path, elsewhere: Path) -> None:
    (elsewhere / "project.tcl").write_text(f'set project_name "{TOP}" # mine\n')
    remarks = read_back(elsewhere, run).synthesis["remarks"]
    assert any("edited after edgeflow made it (project.tcl)" in remark for remark in remarks)
    mine = run / "hls_projects" / "digits-pynq-z2" / MANIFEST
    record = json.loads(mine.read_text())
    record["files"]["new.h"] = "0" * 64
    mine.write_text(json.dumps(record))
    remarks = read_back(elsewhere, run).synthesis["remarks"]
    assert any("compiled anew since" in remark for remark in remarks)


def test_a_failed_cosimulation_and_a_missed_clock(run: Path, elsewhere: Path) -> None:
    cosim = next(elsewhere.rglob("*_cosim.rpt"))
    cosim.write_text(samples.cosim("Fail", "NA", "NA", "NA"))
    for path in elsewhere.rglob("*_csynth.xml"):
        path.write_text(path.read_text().replace(">7.105<", ">12.5<"))
    found = read_back(elsewhere, run)
    assert any("FAILED" in remark for remark in found.synthesis["remarks"])
    assert any("100 MHz is not reached: HLS says 80 MHz" in r for r in found.synthesis["remarks"])
    latency = load(run)["targets"]["pynq-z2"]["estimates"]["latency"]
    assert latency["value"] == pytest.approx(20 * 12.5e-9)  # at the clock that it reaches


def test_a_design_that_does_not_fit(run: Path, elsewhere: Path) -> None:
    report = elsewhere / "vivado_synth.rpt"
    report.write_text(samples.utilisation(TOP, lut=99000))
    remarks = read_back(elsewhere, run).synthesis["remarks"]
    assert remarks == ["the design does not fit its part: 99,000 LUT of 53,200"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("xc7z020clg400-1", "xc7z020-clg400-1", True),
        ("xc7z020clg400-1", "7z020clg400-1", True),
        ("xcu250-figd2104-2L-e", "xcu250-figd2104-2l-e", True),
        ("10AX115U1F45I1SG", "Arria 10, 10AX115U1F45I1SG", True),
        ("xc7z020clg400-1", "xc7z010clg400-1", False),
        ("xc7z020clg400-1", "xc7z020clg484-1", False),
    ],
)
def test_spellings_of_a_part(one: str, other: str, same: bool) -> None:
    assert same_part(one, other) is same


def command(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgeflow", "report", *map(str, arguments)],
        cwd=cwd, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_command(run: Path, elsewhere: Path, tmp_path: Path) -> None:
    done = command("--from-synthesis", elsewhere, run, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    flat = re.sub(r"\s+", " ", done.stdout)
    for words in (
        "synthesised: pynq-z2 digits_pynq_z2 xc7z020-clg400-1",
        "logic (synthesised) Vivado 2023.2 3,900 (7 %)",
        "HLS Vitis HLS 2023.2 8,000 (15 %)",
        "co-simulation (passed)",
        "5,000 LUT (4,000–9,000) 3,900 LUT 1.28 NO",
        "report.html",
    ):
        assert words in flat, done.stdout
    done = command("--from-synthesis", elsewhere, run, "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["logic"]["lut"] == 3900
    assert command(run, cwd=tmp_path).returncode == 0  # and it is shown again


def test_the_command_on_bad_input(run: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for arguments, words in (
        (("--from-synthesis", tmp_path / "empty", run), "looked for: *_csynth.xml"),
        (("--from-synthesis", tmp_path / "absent"), "expected a folder"),
        ((), "expected the folder of a run"),
        ((run, "--target", "pynq-z2"), "--target goes with --from-synthesis"),
    ):
        done = command(*arguments, cwd=tmp_path)
        assert done.returncode == 2, done.stdout
        assert words in done.stderr
        assert "Traceback" not in done.stderr
