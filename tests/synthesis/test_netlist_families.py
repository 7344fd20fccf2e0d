"""Each family's netlist against Verilator's answer to the same Verilog, cycle by cycle."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from edgeflow.jobs import Runner
from edgeflow.synthesis import flow
from edgeflow.synthesis.netlist_run_job import load, make_engine, to_lanes, to_words

spec = importlib.util.spec_from_file_location(
    "netlist_designs", Path(__file__).with_name("netlist_designs.py")
)
assert spec is not None
assert spec.loader is not None
designs = importlib.util.module_from_spec(spec)
spec.loader.exec_module(designs)

SEQUENCES, STEPS = 64, 300
FAMILIES = {
    # family: primitives that the design must have made, so that the test tests them
    "ice40": {"SB_CARRY", "SB_RAM40_4K", "SB_MAC16", "SB_DFFR", "SB_DFFESR"},
    "ecp5": {"CCU2C", "DP16KD", "MULT18X18D", "TRELLIS_DPR16X4", "TRELLIS_FF"},
    "gowin": {"ALU", "MULT18X18", "RAM16SDP4", "DFFC"},
    "xc7": {"CARRY4", "DSP48E1", "RAMB18E1", "FDCE", "MUXF7"},
    "xcup": {"CARRY4", "DSP48E2", "RAMB18E2", "FDCE", "MUXF7"},
}


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, np.ndarray]:
    """The design, inputs [sequence, step] and Verilator's outputs."""
    folder = tmp_path_factory.mktemp("mix")
    program = designs.verilator(designs.MIX, "mix", folder)
    rng = np.random.default_rng(5)
    x = rng.integers(0, 2**32, (SEQUENCES, STEPS))
    rare = (rng.random(x.shape) < 0.05).astype(np.int64) << 17  # resets, seldom
    x = (x & ~(1 << 17)) | rare
    return folder / "dut.v", x, designs.answers(program, x)


@pytest.mark.parametrize("family", FAMILIES)
def test_netlist_is_verilog(
    family: str, mix: tuple[Path, np.ndarray, np.ndarray], runner: Runner
) -> None:
    source, x, want = mix
    done = runner.run(flow.synthesis_job(source, "mix", family))
    circuit = load(done.path, None, "mix")
    assert set(circuit.cells) >= FAMILIES[family]
    for which in ("c", "numpy"):
        engine = make_engine(circuit, 1, None, which)
        bits = (x.T[:, None, :] >> np.arange(32)[None, :, None]) & 1
        found = engine.run(True, circuit.inputs["inp"], to_words(bits, 1), circuit.outputs["out"])
        lanes = to_lanes(found).astype(np.uint64)
        values = (lanes << np.arange(64, dtype=np.uint64)[None, :, None]).sum(1, dtype=np.uint64)
        wrong = np.bitwise_or.reduce((values ^ want.T).ravel())
        assert not wrong, f"{which}: these output bits differ: {int(wrong):064b}"
