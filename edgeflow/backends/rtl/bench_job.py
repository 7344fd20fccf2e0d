"""A test bench for any simulator, with golden data; a README; inputs and outputs as bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
VECTORS = 1000
"""Golden inputs that go into the test bench."""


ROUNDINGS: Mapping[str, Callable[[Array], Array]] = {
    "AP_RND_CONV": np.rint,
    "AP_RND": lambda q: np.floor(q + 0.5),
    "AP_TRN": np.floor,
    "AP_TRN_ZERO": np.trunc,
    "AP_RND_INF": lambda q: np.sign(q) * np.floor(np.abs(q) + 0.5),
    "AP_RND_ZERO": lambda q: np.sign(q) * np.ceil(np.abs(q) - 0.5),
}


def packed(values: Array, elements: Sequence[Mapping[str, Any]]) -> list[int]:
    """Each row of integers as the bits of a port, element 0 lowest."""
    total = [0] * len(values)
    for column, element in enumerate(elements):
        bits, lsb = int(element["bits"]), int(element["lsb"])
        if not bits:
            continue
        mask = (1 << bits) - 1
        for row, value in enumerate(values[:, column].tolist()):
            total[row] |= (int(value) & mask) << lsb
    return total


def to_integers(x: Array, port: Mapping[str, Any]) -> Array:
    """Values as integers of each element's type, rounded as the port says (or half to even).

    ``x`` is (n, …) in C order.
    """
    elements = port["elements"]
    rows = np.asarray(x, np.float64).reshape(len(x), -1)
    scale = np.array([2.0 ** element["fraction"] for element in elements])
    bits = np.array([element["bits"] for element in elements])
    signed = np.array([bool(element["signed"]) for element in elements])
    high = np.where(bits > 0, 2.0 ** (bits - signed) - 1, 0.0)
    low = np.where(signed & (bits > 0), -(2.0 ** (bits - 1)), 0.0)
    steps = ROUNDINGS[port.get("rounding", "AP_RND_CONV")](rows * scale)
    if port.get("overflow") == "AP_WRAP":
        steps = np.where(bits > 0, (steps - low) % (high - low + 1) + low, 0)
    elif port.get("overflow") == "AP_SAT_SYM":
        low = np.where(low < 0, -high, 0)
    return np.asarray(np.clip(steps, low, high)).astype(np.int64)


def to_values(integers: Array, elements: Sequence[Mapping[str, Any]]) -> Array:
    """The numbers that integers stand for."""
    return np.asarray(integers * np.array([2.0 ** -element["fraction"] for element in elements]))


def save(output: Path, values: Array, softmax: bool) -> None:
    """Write ``outputs.npz``; the softmax is the host's, in float32 as the models compute it."""
    if not softmax:
        np.savez(output / "outputs.npz", y=values.astype(np.float32))
        return
    logits = values.astype(np.float32)
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    y = powers / powers.sum(axis=-1, keepdims=True)
    np.savez(output / "outputs.npz", y=y.astype(np.float32), logits=logits)


def write(folder: Path, design: Mapping[str, Any], expected: tuple[Array, Array] | None) -> None:
    """Write ``testbench/`` (a Verilog test bench and its data) and ``README.md``.

    ``expected``: integers of inputs and of outputs (n, elements). Without them no bench is made.
    """
    if expected is not None:
        bench = folder / "testbench"
        bench.mkdir()
        inputs, outputs = (part[:VECTORS] for part in expected)
        for name, rows, port in (
            ("inputs.hex", inputs, design["input"]), ("outputs.hex", outputs, design["output"]),
        ):  # fmt: skip
            digits = -(-port["width"] // 4)
            words = packed(rows, port["elements"])
            (bench / name).write_text("".join(f"{word:0{digits}x}\n" for word in words))
        (bench / "testbench.v").write_text(_bench(design, len(inputs)))
    (folder / "README.md").write_text(_readme(design, expected is not None))


def _bench(design: Mapping[str, Any], count: int) -> str:
    inp, out, latency = design["input"], design["output"], design["latency_cycles"]
    clock = "    .clk(clk),\n" if design["clock"] else ""
    return f"""`timescale 1ns / 1ps
// Feeds inputs.hex to the design, one per clock cycle, and compares with outputs.hex.
// Run it in this folder (the .hex files are read from the working directory).
module testbench;
  localparam COUNT = {count};
  localparam LATENCY = {latency};
  reg clk = 0;
  reg [{inp["width"] - 1}:0] inputs[0:COUNT-1];
  reg [{out["width"] - 1}:0] outputs[0:COUNT-1];
  reg [{inp["width"] - 1}:0] x;
  wire [{out["width"] - 1}:0] y;
  integer step, wrong;

  {design["top"]} dut (
{clock}    .{inp["port"]}(x),
    .{out["port"]}(y)
  );

  initial begin
    $readmemh("inputs.hex", inputs);
    $readmemh("outputs.hex", outputs);
    wrong = 0;
    for (step = 0; step < COUNT + LATENCY; step = step + 1) begin
      x = inputs[step < COUNT ? step : COUNT - 1];
      #5 clk = 1;
      #1;
      if (LATENCY == 0) begin
        if (y !== outputs[step]) wrong = wrong + 1;
      end else if (step + 1 >= LATENCY && step + 1 - LATENCY < COUNT) begin
        if (y !== outputs[step + 1 - LATENCY]) wrong = wrong + 1;
      end
      #4 clk = 0;
    end
    if (wrong == 0) $display("PASS: %0d of %0d outputs equal", COUNT, COUNT);
    else begin
      $display("FAIL: %0d of %0d outputs differ", wrong, COUNT);
      $fatal(1);
    end
    $finish;
  end
endmodule
"""


def _readme(design: Mapping[str, Any], bench: bool) -> str:
    top, latency = design["top"], design["latency_cycles"]
    timing = (
        f"A result comes {latency} rising edges of `clk` after its input, one each cycle; there is "
        "no reset."
        if design["clock"]
        else "It is combinational: no clock, no reset."
    )
    sources = " ".join(f"../{name}" for name in design["files"]["verilog"])
    text = f"""# {top}

Written by edgeflow. The top module is `{top}`, in Verilog (`verilog/`) and, the same, in VHDL
(`vhdl/`). {timing}

| port | bits | elements |
|---|---|---|
| `{design["input"]["port"]}` | {design["input"]["width"]} | {len(design["input"]["elements"])} |
| `{design["output"]["port"]}` | {design["output"]["width"]} | {len(design["output"]["elements"])} |

Element 0 has the lowest bits. `design.json` says for each element its lowest bit (`lsb`), width,
sign, and bits after the point (`fraction`): value = integer * 2**-fraction.
"""
    if bench:
        text += f"""
## Test bench
`testbench/testbench.v` feeds golden inputs and compares every output. In `testbench/`:

    verilator --binary --timing -Wno-fatal --top-module testbench testbench.v {sources}
    ./obj_dir/Vtestbench

    iverilog -g2012 -o bench testbench.v {sources} && vvp bench
"""
    return text
