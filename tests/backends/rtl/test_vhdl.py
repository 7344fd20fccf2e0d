"""The VHDL that the rtl backend writes, in GHDL, against the integers of the written test bench."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeflow.backends.base import Request
from edgeflow.backends.rtl.backend import BACKEND
from edgeflow.frontends.reference import reference_job
from edgeflow.targets import load

spec = importlib.util.spec_from_file_location(
    "vhdl_networks", Path(__file__).parents[1] / "hls4ml" / "networks.py"
)
networks = importlib.util.module_from_spec(spec)
sys.modules["vhdl_networks"] = networks
spec.loader.exec_module(networks)
Draft, fixed = networks.Draft, networks.fixed

BENCH = """
library ieee; use ieee.std_logic_1164.all; use ieee.std_logic_textio.all;
use std.textio.all;
entity bench is end entity;
architecture test of bench is
  signal clk : std_logic := '0';
  signal x : std_logic_vector({x} downto 0) := (others => '0');
  signal y : std_logic_vector({y} downto 0);
begin
  dut : entity work.{top} port map ({clock} {inp} => x, {out} => y);
  process
    file source : text open read_mode is "inputs.txt";
    file sink : text open write_mode is "found.txt";
    variable row : line;
    variable bits : std_logic_vector({x} downto 0);
  begin
    for step in 0 to {steps} loop
      if not endfile(source) then
        readline(source, row);
        read(row, bits);
        x <= bits;
      end if;
      wait for 5 ns;
      clk <= '1';
      wait for 1 ns;
      write(row, y);
      writeline(sink, row);
      wait for 4 ns;
      clk <= '0';
    end loop;
    wait;
  end process;
end architecture;
"""


@pytest.fixture(scope="module")
def ghdl() -> str:
    found = shutil.which("ghdl")
    if found is None and os.environ.get("CI"):
        pytest.fail("no ghdl on PATH (Debian: apt install ghdl)")
    if found is None:
        pytest.skip("no ghdl on PATH (Debian: apt install ghdl)")
    return found


def call(*command: str, folder: Path) -> None:
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, (command, ran.stdout[-2000:], ran.stderr[-2000:])


def everything():
    """Adders, multiplexers, negations, products, and tables, which are memories in VHDL."""
    draft = Draft((6, 2)).add("q", "quantize", quantizer=fixed(5, 1))
    draft.conv("c", 2, kernel=fixed(4, 0)).add("r", "relu", quantizer=fixed(4, 1, False))
    draft.pool("p").flatten().add("t", "tanh", quantizer=fixed(5, 0)).dense("d", 4, fixed(4, 0))
    draft.add("b", "quantize", quantizer=fixed(5, 1)).add("l", "leaky_relu", negative_slope=0.25)
    draft.add("top", "maximum", (4,), ("l", "b")).add("prod", "mul", (4,), ("top", "b"))
    return draft.dense("out", 3, fixed(4, 0))


@pytest.mark.parametrize("style", ["combinational", "pipelined"])
def test_the_vhdl_computes_what_the_graph_does(runner, tmp_path, ghdl, style):
    model = everything().save(tmp_path / "model")
    shape = model.network[model.network.inputs[0]].output_shape
    x = np.random.default_rng(0).normal(0, 1.5, (200, *shape)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x)
    golden = runner.run(reference_job(model, tmp_path / "x.npz")).path
    given = BACKEND.options({"style": style, "clock_mhz": 150.0}, "test")
    request = Request(model, load("arty-a7-100t"), given, golden, name="net")
    made = runner.run(BACKEND.compile(request)).path

    design = json.loads((made / "design.json").read_text())
    latency = design["latency_cycles"]
    assert (latency > 0) == (style == "pipelined")
    widths = {port: design[port]["width"] for port in ("input", "output")}
    rows = {
        port: [
            f"{int(word, 16):0{widths[port]}b}"
            for word in (made / "testbench" / f"{port}s.hex").read_text().split()
        ]
        for port in widths
    }
    (tmp_path / "inputs.txt").write_text("\n".join(rows["input"]) + "\n")
    (tmp_path / "bench.vhd").write_text(
        BENCH.format(
            x=widths["input"] - 1, y=widths["output"] - 1, top=design["top"],
            clock="clk => clk," if design["clock"] else "", inp=design["input"]["port"],
            out=design["output"]["port"], steps=len(x) + latency - 1,
        )
    )  # fmt: skip
    sources = [str(made / name) for name in design["files"]["vhdl"]]
    call(ghdl, "-i", "--std=08", *sources, "bench.vhd", folder=tmp_path)
    call(ghdl, "-m", "--std=08", "bench", folder=tmp_path)
    call(ghdl, "-r", "--std=08", "bench", "--stop-time=1ms", folder=tmp_path)
    found = (tmp_path / "found.txt").read_text().split()
    first = max(latency - 1, 0)
    assert found[first : first + len(x)] == rows["output"]
    assert len(set(rows["output"])) > 20
