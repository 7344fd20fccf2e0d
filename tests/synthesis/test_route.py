"""A netlist to a bitstream: each family of boards, what fits and what does not, and why."""

from __future__ import annotations

import importlib.util
import json
import os
import threading
import time
from pathlib import Path

import pytest

from edgeflow import targets
from edgeflow.errors import Interrupted, TargetError, ToolError, UnsupportedError
from edgeflow.jobs import Event, Finished, Runner
from edgeflow.store import Store
from edgeflow.synthesis import devices, flow, process

spec = importlib.util.spec_from_file_location("designs", Path(__file__).with_name("designs.py"))
assert spec is not None
assert spec.loader is not None
designs = importlib.util.module_from_spec(spec)
spec.loader.exec_module(designs)

BOARDS = {"icebreaker": "pins.pcf", "ulx3s-25f": "pins.lpf", "tang-nano-9k": "pins.cst"}
BEGINS = {
    # what the vendors' documents say a bitstream begins with
    "icebreaker": bytes.fromhex("ff0000ff7eaa997e"),  # Lattice FPGA-TN-02001, iCE40
    "ulx3s-25f": bytes.fromhex("ffffbdb3"),  # Lattice FPGA-TN-02039, ECP5's preamble
    "tang-nano-9k": b"1010010111000011",  # Gowin's A5C3, in text
}


@pytest.fixture(scope="module")
def design(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers behind a board's top."""
    folder = tmp_path_factory.mktemp("design") / "verilog"
    return Path(designs.write(folder, board=designs.BOARD, stage=designs.STAGE))


def synthesised(runner: Runner, folder: Path, board: str, top: str = "board") -> Finished:
    """The netlist for a board, without IO buffers of its own."""
    target = targets.load(board)
    family = devices.family(target)
    assert family is not None
    return runner.run(
        flow.synthesis_job(
            folder,
            top,
            family,
            out_of_context=False,
            dsp=False,
            layers=designs.LAYERS,
            device=devices.variant(target),
        )
    )


@pytest.mark.parametrize("board", BOARDS)
def test_a_bitstream_for_each_family(board: str, design: Path, runner: Runner) -> None:
    target = targets.load(board)
    netlist = synthesised(runner, design, board)
    job = flow.route_job(netlist.path, target, flow.ports_of(netlist.result), layers=designs.LAYERS)
    done = runner.run(job)
    result = done.result
    bitstream = (done.path / result["bitstream"]).read_bytes()
    assert BEGINS[board] in bitstream[:2000]
    used = result["utilisation"]
    assert used["io"]["used"] == 6
    assert used["ff"]["used"] == 40
    for name in ("lut", "ff", "dsp"):
        figure = target.figure("resources", name)
        assert figure is not None
        assert used[name]["available"] == figure.value  # the target's file says the same
    assert used["lut"]["used"] >= netlist.result["utilisation"]["lut"] * 0.9
    assert set(result["clocks"]) == {"clk"}
    assert result["clocks"]["clk"]["wished_mhz"] == pytest.approx(target.clock_mhz, rel=1e-3)
    assert result["met"]
    path = result["critical_path"]
    assert path["ns"] == pytest.approx(1000 / result["clock_mhz"], rel=0.01)
    assert path["logic_ns"] + path["routing_ns"] == pytest.approx(path["ns"], abs=0.01)
    assert sum(part["ns"] for part in path["layers"]) == pytest.approx(path["ns"], abs=0.05)
    assert {part["layer"] for part in path["layers"]} & set(designs.LAYERS)
    assert (done.path / BOARDS[board]).is_file()
    assert [tool["origin"] for tool in result["tools"]]
    assert str(design) not in json.dumps(dict(result))


def test_what_is_not_timed_is_said(design: Path, runner: Runner) -> None:
    target = targets.load("tang-nano-9k")
    for dsp in (True, False):
        job = flow.synthesis_job(design, "board", "gowin", out_of_context=False, dsp=dsp)
        netlist = runner.run(job)
        done = runner.run(
            flow.route_job(netlist.path, target, flow.ports_of(netlist.result), bitstream=False)
        )
        assert done.result["utilisation"]["dsp"]["used"] == int(dsp)
        assert done.result["bitstream"] is None
        said = "".join(done.result["notes"])
        assert ("nextpnr does not time MULT9X9" in said) == dsp


def test_seed_and_wish_change_the_result_and_a_rerun_does_not(
    design: Path, runner: Runner, tmp_path: Path
) -> None:
    target = targets.load("icebreaker")
    netlist = synthesised(runner, design, "icebreaker")
    ports = flow.ports_of(netlist.result)
    first = runner.run(flow.route_job(netlist.path, target, ports, seed=1))
    with Runner(Store(tmp_path)) as other:
        again = other.run(flow.route_job(netlist.path, target, ports, seed=1))
    for path in sorted(p for p in first.path.iterdir()):
        assert path.read_bytes() == (again.path / path.name).read_bytes(), path.name
    hasty = runner.run(flow.route_job(netlist.path, target, ports, seed=7, clock_mhz=400))
    assert not hasty.result["met"]
    assert hasty.result["clocks"]["clk"]["wished_mhz"] == 400
    assert (hasty.path / "bitstream.bin").read_bytes() != (
        first.path / "bitstream.bin"
    ).read_bytes()


def test_what_does_not_fit_is_refused_before_routing(runner: Runner, tmp_path: Path) -> None:
    folder = designs.write(tmp_path / "v", board=designs.WIDE)
    target = targets.load("icestick")
    netlist = synthesised(runner, folder, "icestick")
    needs = netlist.result["utilisation"]["ff"]
    assert needs == 3000
    with pytest.raises(UnsupportedError, match="does not fit 'icestick'") as caught:
        flow.refuse_oversize(netlist.result["utilisation"], target, "yosys")
    assert "flip-flops: needs 3,000, 'icestick' has 1,280 (1,720 too many, 2.3x)" in str(
        caught.value
    )
    flow.refuse_oversize(netlist.result["utilisation"], targets.load("ulx3s-85f"), "yosys")
    seen: list[Event] = []
    job = flow.route_job(netlist.path, target, flow.ports_of(netlist.result))
    with (
        Runner(runner.store, seen.append) as watched,
        pytest.raises(UnsupportedError, match="does not fit hx1k") as caught,
    ):
        watched.run(job)
    assert "lut: needs" in str(caught.value)
    assert "too many" in str(caught.value)
    assert "packing" in [event.text for event in seen]
    assert "routing" not in [event.text for event in seen]


def test_a_pin_that_is_not_there(design: Path, runner: Runner) -> None:
    netlist = synthesised(runner, design, "icebreaker")
    with pytest.raises(TargetError, match="ports of the design have no pin") as caught:
        flow.route_job(netlist.path, targets.load("icestick"), flow.ports_of(netlist.result))
    assert "port 'reset'" in str(caught.value)
    # the user may say which signal it is
    job = flow.route_job(
        netlist.path,
        targets.load("icestick"),
        flow.ports_of(netlist.result),
        signals={"reset": "spi_sck"},
    )
    assert "reset 81" in job.params["constraints"]


def test_the_time_limit_of_routing(design: Path, runner: Runner) -> None:
    netlist = synthesised(runner, design, "ulx3s-25f")
    job = flow.route_job(
        netlist.path, targets.load("ulx3s-85f"), flow.ports_of(netlist.result), timeout=0.2
    )
    with pytest.raises(ToolError, match=r"nextpnr-ecp5 ran past its time limit of 0\.2 s"):
        runner.run(job)


def test_ctrl_c_ends_the_program_too(runner: Runner, tmp_path: Path) -> None:
    folder = designs.write(tmp_path / "v", slow=designs.SLOW)
    running = threading.Event()

    def listen(event: Event) -> None:
        if event.text.startswith("yosys"):
            running.set()

    caught: list[BaseException] = []
    with Runner(Store(tmp_path / "store"), listen) as watched:
        job = flow.synthesis_job(folder, "slow", "xc7", dsp=False)

        def work() -> None:
            try:
                watched.run(job)
            except Interrupted as error:
                caught.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        assert running.wait(60)
        mine = [pid for pid in process.descendants(os.getpid()) if _runs_yosys(pid)]
        assert mine
        watched.cancel()
        thread.join(20)
    assert caught
    deadline = time.monotonic() + 5
    while any(map(_runs_yosys, mine)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_runs_yosys, mine))


def _runs_yosys(pid: int) -> bool:
    try:
        return b"script.ys" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
