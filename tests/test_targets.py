"""Target files: loaded, sourced, and refused with the line."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from edgeflow import targets
from edgeflow.errors import TargetError

REQUIRED = (
    "pynq-z2 zcu104 arty-a7-100t alveo-u250 raspberry-pi-4 coral-dev-board nucleo-l4r5zi "
    "nucleo-h7a3zi-q ethos-u55-128 ethos-u65-256 tpu-v4 tpu-v5e tpu-v6e"
).split()
MUST_SAY = {
    "fpga": ("lut", "ff", "dsp", "bram_18k", "uram", "board_active", "chip_static", "chip_active"),
    "linux_board": ("ram", "board_idle", "board_active", "chip_active"),
    "mcu": ("ram", "flash", "board_active", "chip_active"),
    "npu": ("int8_macs_per_cycle", "board_active", "chip_active"),
    "tpu": ("hbm", "bandwidth", "bfloat16_flops", "int8_ops", "chip_active", "chip_tdp"),
}
DEFAULT_BACKEND = {
    "fpga": "hls4ml",
    "linux_board": "tflite",
    "mcu": "tflite",
    "npu": "ethos_u",
    "tpu": "tpu",
}
SHIPPED = Path(__file__).parents[1] / "targets"
NAMES = sorted(path.stem for path in SHIPPED.glob("*.yaml"))

GOOD = """\
format: edgeflow.target/1
name: mine
title: My board
kind: mcu
vendor: Me
backends: [tflite]
chip: X1
clock_mhz: 80
memory:
  ram: {value: 1024, source: sheet}
power:
  chip_active: null
sources:
  sheet: my data sheet, page 1
unknown:
  chip_active: not measured
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder of targets, and an empty working directory."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("EDGEFLOW_TARGETS", str(mine))
    return mine


def test_the_issue_s_targets_are_there() -> None:
    assert set(REQUIRED) <= set(targets.names())


@pytest.mark.parametrize("name", NAMES)
def test_each_shipped_target_is_complete_and_sourced(name: str) -> None:
    target = targets.load(name)
    assert target.name == name
    # a chip with open place and route has no hls4ml backend of its own
    routed = target.kind == "fpga" and "device" in target.settings
    edge_tpu = target.settings.get("accelerator") == "edge-tpu"
    own = {"rtl": routed, "edge_tpu": edge_tpu, "cortex_m": name.startswith("qemu-")}
    expected = next((backend for backend, is_it in own.items() if is_it), None)
    assert target.backends[0] == (expected or DEFAULT_BACKEND[target.kind])
    assert target.architecture
    figures = {
        key: figure
        for section in targets.SECTIONS
        for key, figure in getattr(target, section).items()
    }
    assert set(MUST_SAY[target.kind]) <= set(figures)
    used = {point.source for point in target.operating_points}
    used |= {pin.source for pin in target.pins.values()}
    for key, figure in figures.items():
        if figure is None:
            assert target.unknown[key]
        else:
            assert target.sources[figure.source]
            used.add(figure.source)
    assert used == set(target.sources), "every source is used"
    if target.clock_mhz is None:
        assert target.unknown["clock_mhz"]
    jsonschema.validate(yaml.safe_load((SHIPPED / f"{name}.yaml").read_text()), targets.schema())


def test_the_schema_for_editors_is_up_to_date() -> None:
    shipped = SHIPPED.parent / "docs" / "target.schema.json"
    assert json.loads(shipped.read_text()) == targets.schema()


def test_no_two_sections_share_a_figure_s_name() -> None:
    """`unknown` goes by the figure's name alone."""
    from edgeflow import targetfile

    names = [
        name
        for section in ("Resources", "Memory", "Compute", "Power")
        for name in getattr(targetfile, section).model_fields
    ]
    assert len(names) == len(set(names))


def test_measured_powers_agree_with_the_ground_truth(data_root: Path) -> None:
    from edgeflow.estimate import power_calibration

    boards = {
        "NUCLEO-L4R5ZI": ("nucleo-l4r5zi", "chip_active"),
        "NUCLEO-H7A3ZI-Q": ("nucleo-h7a3zi-q", "chip_active"),
        "NUCLEO-U575ZI-Q": ("nucleo-u575zi-q", "chip_active"),
        "XG24-DK2601B": ("xg24-dk2601b", "chip_active"),
        "GAP9 EVK": ("gap9-evk", "chip_active"),
        "NDP9120": ("ndp9120", "chip_active"),
        "XILINX PYNQ Z2": ("pynq-z2", "board_active"),
        "ARTY A7-100T": ("arty-a7-100t", "board_active"),
    }
    seen = set()
    for row in power_calibration.table(data_root, "mlperf_tiny_energy.csv"):
        board, watts = row["board"].upper(), float(row["energy_mode_avg_power_mW"]) * 1e-3
        if board in boards:
            name, figure_name = boards[board]
            figure = targets.load(name).figure("power", figure_name)
            assert figure is not None
            assert figure.low is not None
            assert figure.high is not None
            assert figure.low * 0.99 <= watts <= figure.high * 1.01
            seen.add(board)
    assert seen == set(boards)


def test_unknown_target_gives_the_nearest_names() -> None:
    with pytest.raises(TargetError, match="unknown target 'pynq_z2'") as caught:
        targets.load("pynq_z2")
    assert "'pynq-z2'" in str(caught.value)
    with pytest.raises(TargetError, match="targets list"):
        targets.load("../../etc/passwd")


def test_a_user_s_folder_adds_and_replaces(folder: Path) -> None:
    (folder / "mine.yaml").write_text(GOOD)
    (folder / "unrelated.yaml").write_text("a: [")
    shutil.copy(SHIPPED / "pynq-z2.yaml", folder / "pynq-z2.yaml")
    assert targets.load("mine").unknown == {"chip_active": "not measured"}
    assert targets.load("pynq-z2").where == str(folder / "pynq-z2.yaml")
    assert "mine" in targets.names()
    assert "unrelated" not in targets.names()
    assert targets.load(str(folder / "mine.yaml")).title == "My board"


def test_local_folder_is_found(folder: Path) -> None:
    local = Path("targets")
    local.mkdir()
    (local / "mine.yaml").write_text(GOOD)
    assert targets.load("mine").where == "targets/mine.yaml"


def test_missing_folder_of_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEFLOW_TARGETS", "/nowhere/at/all")
    with pytest.raises(TargetError, match="EDGEFLOW_TARGETS"):
        targets.names()


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("kind: mcu", "kind: cpu", 4, "'kind': input should be 'fpga'"),
        ("vendor: Me", "vendr: Me", 5, r"unknown key 'vendr' \(did you mean 'vendor'\?\)"),
        ("clock_mhz: 80", "clock_mhz: fast", 8, "'clock_mhz'.*found 'fast'"),
        ("clock_mhz: 80", "clock_mhz: -1", 8, "greater than 0"),
        ("value: 1024", "value: .nan", 10, "'memory.ram.value'"),
        ("value: 1024", "value: 1024, low: 2000, high: 3000", 10, "low <= value <= high"),
        ("value: 1024", "valeu: 1024", 10, "did you mean 'value'"),
        ("source: sheet}", "source: shet}", 10, "unknown source 'shet'.*'sheet'"),
        (
            "power:",
            "pins:\n  clk: {pin: '3', source: shet}\npower:",
            12,
            "unknown source 'shet'.*'sheet'",
        ),
        ("power:", "pins:\n  clk: {pin: '3', source: sheet, pull: side}\npower:", 12, "pull"),
        ("  chip_active: not", "  chip_activ: not", 12, "null without a reason"),
        ("name: mine", "name: other", 2, "expected the file's own name 'mine'"),
        ("chip: X1", "chip: X1\nchip: X2", 8, "'chip' stands twice, first on line 7"),
        ("vendor: Me", "vendor: [Me", 6, "expected YAML"),
        ("title: My board", "title: !!python/object/apply:os.getcwd []", 3, "expected YAML"),
    ],
)
def test_faults_name_their_line(folder: Path, old: str, new: str, line: int, words: str) -> None:
    assert old in GOOD
    path = folder / "mine.yaml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(TargetError) as caught:
        targets.load("mine")
    message = str(caught.value)
    assert re.search(words, message, re.DOTALL)
    assert f"{path}:{line}" in message
    assert "Traceback" not in message


def test_all_faults_at_once(folder: Path) -> None:
    path = folder / "mine.yaml"
    path.write_text(GOOD.replace("kind: mcu", "kind: cpu").replace("chip: X1", "chips: X1"))
    with pytest.raises(TargetError, match="3 faults") as caught:
        targets.load("mine")
    assert len(caught.value.details) == 3


def test_a_wheel_has_its_targets_inside(tmp_path: Path) -> None:
    """The layout of the wheel: the package anywhere, the files in `edgeflow/_targets`."""
    package = tmp_path / "site" / "edgeflow"
    ours = Path(targets.__file__).parent
    package.mkdir(parents=True)
    for name in (
        "__init__.py",
        "errors.py",
        "targets.py",
        "targetfile.py",
        "validation.py",
        "yamlfile.py",
    ):
        shutil.copy(ours / name, package / name)
    shutil.copytree(SHIPPED, package / "_targets")
    code = "from edgeflow import targets; t = targets.load('pynq-z2'); print(t.where)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(package.parent), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(package / "_targets" / "pynq-z2.yaml")


def test_summary_rows_need_no_pydantic() -> None:
    """A list is quick: no schema is built for it."""
    code = (
        "import json, sys; from edgeflow import targets; rows = targets.summary_rows(); "
        "assert 'pydantic' not in sys.modules; print(json.dumps(rows))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert set(NAMES) <= set(rows)
    assert rows["pynq-z2"] == {
        "name": "pynq-z2",
        "title": "TUL PYNQ-Z2",
        "kind": "fpga",
        "backend": "hls4ml",
        "chip": "xc7z020clg400-1",
        "clock_mhz": 100,
    }


def test_summary_of_a_wrong_file_is_one_error(folder: Path) -> None:
    (folder / "mine.yaml").write_text("format: edgeflow.target/1\nname: mine\nbackends: []\n")
    with pytest.raises(TargetError, match=r"mine\.yaml"):
        targets.summary_rows()
