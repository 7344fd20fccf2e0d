"""From layers to a routed, verified bitstream for a small FPGA board, with open tools alone."""

from __future__ import annotations

import json

import pytest
import yaml

from edgeflow import pipeline
from edgeflow.recipe import Recipe

RECIPE = """
name: tiny
model:
  layers:
    - average_pooling2d: {pool_size: 2}
    - flatten
    - dense: {units: 8, activation: relu}
    - dense: {units: 10}
  train: {epochs: 8, learning_rate: 0.02}
data:
  source: sklearn:digits
verify_inputs: 1000
targets:
  icebreaker:
    compress: {method: hgq2, bits: 3, input_bits: 4, epochs: 4, learning_rate: 0.01}
    options: {baud: 1000000}
"""
SYNC = bytes.fromhex("7eaa997e")
"""What an iCE40 waits for before it takes a bitstream (Lattice TN1248, Project IceStorm)."""


@pytest.fixture(scope="module")
def output(runner, tmp_path_factory):
    folder = tmp_path_factory.mktemp("open_fpga")
    recipe = Recipe.model_validate(yaml.safe_load(RECIPE))
    pipeline.run(recipe, folder, runner, projects=folder / "projects")
    return folder


@pytest.fixture(scope="module")
def entry(output):
    return json.loads((output / "report.json").read_text())["targets"]["icebreaker"]


def test_rtl_and_netlist_are_verified(entry):
    assert entry["verified"]
    runtimes = {check["runtime"]: check for check in entry["verification"]}
    assert {"Verilator", "edgeflow netlist"} <= set(runtimes)
    assert all(check["inputs"] == 1000 for check in runtimes.values())
    assert all(check["equal"] == 1 for check in runtimes.values())


def test_the_board_answers_at_its_pins(entry):
    note = next(note for note in entry["notes"] if "simulated at its UART" in note)
    assert "8 of 8 inputs right" in note
    assert "1,000,000 baud" in note


def test_the_clock_is_reached_and_figures_are_the_tools(entry):
    estimates = entry["estimates"]
    assert estimates["clock"]["method"] == "synthesised"
    assert estimates["clock"]["value"] == 12e6  # the board's oscillator
    assert estimates["lut"]["method"] == "synthesised"
    assert 500 < estimates["lut"]["value"] < 5280
    assert estimates["ii"]["value"] == 1
    assert estimates["interval"]["value"] == pytest.approx(1 / 12e6)


def test_the_bitstream_is_one(output, entry):
    data = (output / entry["artifacts"]["bitstream"]).read_bytes()
    assert SYNC in data[:64]
    assert len(data) > 100_000  # a UP5K's is 104,090 bytes, its comment apart


def test_the_wrapper_lies_beside_it(output, entry):
    folder = output / entry["artifacts"]["wrapper"]
    wrapper = json.loads((folder / "wrapper.json").read_text())
    assert wrapper["interface"] == "uart"
    assert (wrapper["clock_mhz"], wrapper["baud"], wrapper["divider"]) == (12, 1_000_000, 12)
    assert wrapper["input"]["count"] == 64
    assert wrapper["output"]["count"] == 10
    assert (folder / "run_uart.py").is_file()
    design = json.loads((output / entry["artifacts"]["rtl_design"] / "design.json").read_text())
    assert design["top"] == wrapper["design"]
