"""The top of a board: wrapped for a target, simulated at its pins."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeflow import targets
from edgeflow.backends.rtl import wrapping
from edgeflow.errors import JobError, TargetError
from edgeflow.jobs import Job

spec = importlib.util.spec_from_file_location(
    "wrap_bench", Path(__file__).with_name("wrap_bench.py")
)
bench = importlib.util.module_from_spec(spec)
sys.modules["wrap_bench"] = bench
spec.loader.exec_module(bench)


def check_job(wrapper, golden):
    return Job(
        entry="edgeflow.backends.rtl.wrap_sim_job:check",
        toolchain="rtl",
        title="simulate the board's top",
        inputs={"wrapper": wrapper, "golden": golden},
        params={"count": 5},
        imports=("numpy",),
    )


@pytest.mark.parametrize(("name", "board"), [("pipe", "icebreaker"), ("summer", "ulx3s-85f")])
def test_board_at_its_pins(runner, tmp_path, name, board):
    """With the board's own clock and 115,200 baud, and its signals' names and levels."""
    core, target = bench.CORES[name], targets.load(board)
    design = core.save(tmp_path / "design")
    wrapper = runner.run(wrapping.wrap_job(design, "uart", target=target)).path
    record = json.loads((wrapper / "wrapper.json").read_text())
    assert record["clock_mhz"] == target.pins["clk"].mhz
    assert (wrapper / "run_uart.py").is_file()
    x = core.inputs_of(8, seed=1)
    y = core.reference(x) / 8
    np.savez(tmp_path / "golden.npz", x=x / 4, y=y)
    result = runner.run(check_job(wrapper, tmp_path)).result
    assert (result["inputs"], result["equal"]) == (5, 5)
    if name == "pipe":
        assert result["cycles"] == [core.latency + 1, core.latency + 1]
    y[3] += 1
    np.savez(tmp_path / "golden.npz", x=x / 4, y=y)
    with pytest.raises(JobError, match="1 of 5 inputs wrongly, first input 3"):
        runner.run(check_job(wrapper, tmp_path))


def test_a_board_without_a_clock_pin(tmp_path):
    target = targets.load("pynq-z2")
    with pytest.raises(TargetError, match="does not say which pin its clock is on"):
        wrapping.wrap_job(tmp_path, "uart", target=target)
    with pytest.raises(TargetError, match="how fast"):
        wrapping.wrap_job(tmp_path, "spi", target=replace(target, pins={}))
