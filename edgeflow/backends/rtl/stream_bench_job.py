"""A stream design as a project: its sources, a test bench with golden data, a README."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow.backends.rtl.bench_job import packed, to_integers

VECTORS = 100
"""Golden inferences of the test bench: each takes as many cycles as the design's interval."""


def write(
    inputs: dict[str, Path],
    params: dict[str, Any],  # noqa: ARG001 - every job takes them
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Copy the design's folder and add ``testbench/`` and ``README.md``.

    ``inputs``: ``compiled`` (a design folder with handshake), ``golden`` (on the design's grid).
    The expected outputs are the model's own; a design that is not exact gets no bench.
    """
    shutil.copytree(inputs["compiled"], output, dirs_exist_ok=True)
    design = json.loads((output / "design.json").read_text())
    exact = not design["inexact"]
    if exact:
        with np.load(inputs["golden"] / "golden.npz", allow_pickle=False) as golden:
            x = golden["x"][:VECTORS]
            y = golden["logits" if "logits" in golden.files else "y"][:VECTORS]
        bench = output / "testbench"
        bench.mkdir()
        for name, values in (("input", x), ("output", y)):
            (bench / f"{name}s.hex").write_text(_words(values, design[name]))
        (bench / "testbench.v").write_text(_bench(design, len(x)))
    (output / "README.md").write_text(_readme(design, exact))
    progress(1, 1)
    return {"vectors": len(x) if exact else 0}


def _words(values: Any, port: Mapping[str, Any]) -> str:
    """A line per beat."""
    beats = int(port["beats"])
    integers = to_integers(values, {**port, "elements": port["elements"] * beats})
    rows = integers.reshape(len(values) * beats, -1)
    digits = -(-port["width"] // 4)
    return "".join(f"{word:0{digits}x}\n" for word in packed(rows, port["elements"]))


def _bench(design: Mapping[str, Any], count: int) -> str:
    inp, out = design["input"], design["output"]
    patience = 10 * (design["latency_cycles"] + design["ii"]) + 1000
    return f"""`timescale 1ns / 1ps
// Feeds {count} golden inferences to the design, beat by beat, and compares with outputs.hex.
// Run it in this folder (the .hex files are read from the working directory).
module testbench;
  localparam INPUTS = {count * inp["beats"]};
  localparam OUTPUTS = {count * out["beats"]};
  reg clk = 0, rst = 1;
  reg [{inp["width"] - 1}:0] inputs[0:INPUTS-1];
  reg [{out["width"] - 1}:0] outputs[0:OUTPUTS-1];
  wire in_ready, out_valid;
  wire [{out["width"] - 1}:0] out_data;
  integer given = 0, taken = 0, wrong = 0, still = 0;
  wire in_valid = !rst && given < INPUTS;
  wire [{inp["width"] - 1}:0] in_data = inputs[given < INPUTS ? given : 0];

  {design["top"]} dut (
    .clk(clk), .rst(rst),
    .in_valid(in_valid), .in_ready(in_ready), .in_data(in_data),
    .out_valid(out_valid), .out_ready(1'b1), .out_data(out_data)
  );

  initial begin
    $readmemh("inputs.hex", inputs);
    $readmemh("outputs.hex", outputs);
    #22 rst = 0;
  end

  always #5 clk = !clk;

  always @(posedge clk) if (!rst) begin
    still <= still + 1;
    if (in_valid && in_ready) begin
      given <= given + 1;
      still <= 0;
    end
    if (out_valid) begin
      if (out_data !== outputs[taken]) wrong <= wrong + 1;
      taken <= taken + 1;
      still <= 0;
    end
    if (still > {patience}) begin
      $display("FAIL: the design stands still after %0d of %0d outputs", taken, OUTPUTS);
      $fatal(1);
    end
    if (taken == OUTPUTS) begin
      if (wrong != 0) begin
        $display("FAIL: %0d of %0d outputs differ", wrong, OUTPUTS);
        $fatal(1);
      end
      $display("PASS: %0d of %0d outputs equal", OUTPUTS, OUTPUTS);
      $finish;
    end
  end
endmodule
"""


def _readme(design: Mapping[str, Any], bench: bool) -> str:
    inp, out = design["input"], design["output"]
    sources = " ".join(f"../{name}" for name in design["files"]["verilog"])
    text = f"""# {design["top"]}

Written by edgeflow. The top module is `{design["top"]}`, in Verilog (`verilog/`): a stream of
stages with one clock, `clk`, and a synchronous reset, `rst` (1: reset). A beat passes at a rising
edge with `valid` and `ready` both 1. The last beat of the first result comes
{design["latency_cycles"]} cycles after the first beat of its input; then a result comes every
{design["ii"]} cycles.

| port | bits of a beat | elements of a beat | beats of an inference |
|---|---|---|---|
| `in_valid`, `in_ready`, `in_data` | {inp["width"]} | {len(inp["elements"])} | {inp["beats"]} |
| `out_valid`, `out_ready`, `out_data` | {out["width"]} | {len(out["elements"])} | {out["beats"]} |

Beats are in C order with the channels last. Element 0 has the lowest bits. `design.json` says for
each element its lowest bit (`lsb`), width, sign, and bits after the point (`fraction`): value =
integer * 2**-fraction; and the reuse factor and cost of each layer.
"""
    if bench:
        text += f"""
## Test bench
`testbench/testbench.v` feeds golden inputs and compares every output with the model's. In
`testbench/`:

    verilator --binary --timing -Wno-fatal --top-module testbench testbench.v {sources}
    ./obj_dir/Vtestbench

    iverilog -g2012 -o bench testbench.v {sources} && vvp bench
"""
    return text
