"""Verilog for the tests of netlist simulation, and Verilator's answers to it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np

from edgeflow import toolchains

MIX = """
// one of everything: carry chains, multipliers, registers of all kinds, memories, shift registers
module mix(input clk, input [31:0] inp, output [63:0] out);
  wire signed [7:0] a = inp[7:0], b = inp[15:8];
  wire en = inp[16], rst = inp[17], we = inp[18];
  wire [8:0] addr = inp[27:19];
  wire [3:0] ra = inp[31:28];

  // carry chains and logic
  reg signed [15:0] sum; reg [11:0] count = 12'd5; reg less;
  always @(posedge clk) begin
    if (rst) count <= 12'd5; else if (en) count <= count + 12'd3;
    sum <= (a <<< 3) - b + $signed({1'b0, ra});
    less <= a < b;
  end

  // reset that comes after the enable
  reg [3:0] gated = 4'd9;
  always @(posedge clk) if (en) begin if (rst) gated <= 4'd9; else gated <= gated ^ ra; end

  // a reset between edges
  reg [4:0] later;
  always @(posedge clk or posedge rst) if (rst) later <= 0; else later <= {later[3:0], a[0]};

  // multiply, and multiply-accumulate
  reg signed [15:0] product; reg signed [23:0] mac;
  always @(posedge clk) begin
    product <= a * b;
    if (rst) mac <= 0; else if (en) mac <= mac + a * $signed(inp[15:0]);
  end
  wire [15:0] unsigned_product = inp[7:0] * inp[15:8];

  // a table that is read in step with the clock, and one that is read at once
  reg [11:0] rom [0:511]; reg [11:0] word; integer i;
  initial for (i = 0; i < 512; i = i + 1) rom[i] = (i * i * 13 + 7 * i + 5) >> 2;
  always @(posedge clk) if (en) word <= rom[addr];
  reg [5:0] few [0:15];
  initial for (i = 0; i < 16; i = i + 1) few[i] = 63 - i * 3;
  wire [5:0] at_once = few[ra];

  // memories: large (old contents come out while it is written) and small
  reg [15:0] ram [0:511]; reg [15:0] seen;
  initial for (i = 0; i < 512; i = i + 1) ram[i] = i * 40503;
  always @(posedge clk) begin
    if (we) ram[addr] <= {a, b};
    seen <= ram[addr ^ 9'h055];
  end
  reg [3:0] bank [0:15]; reg [3:0] kept;
  initial for (i = 0; i < 16; i = i + 1) bank[i] = i ^ 5;
  always @(posedge clk) begin
    if (we) bank[ra] <= a[3:0];
    kept <= bank[addr[3:0]];
  end

  // a long delay
  reg [12:0] line;
  always @(posedge clk) if (en) line <= {line[11:0], b[2]};

  // a wide choice
  wire pick = inp[31:0] >> addr[4:0];

  assign out = {sum ^ product, seen ^ {4'd0, word} ^ {less, 5'd0, gated, at_once},
                mac[23:8] ^ unsigned_product,
                count ^ {kept, 2'd0, later, line[12]}, pick, mac[2:0]};
endmodule
"""

BENCH = """
#include "V{top}.h"
#include "verilated.h"
#include <cstdio>
#include <vector>
int main(int argc, char** argv) {{
  long sequences = atol(argv[1]), steps = atol(argv[2]);
  std::vector<unsigned> row(1);
  for (long s = 0; s < sequences; s++) {{
    VerilatedContext context;
    V{top} top(&context);
    top.clk = 0; top.inp = 0; top.eval();
    for (long t = 0; t < steps; t++) {{
      unsigned value;
      if (fread(&value, 4, 1, stdin) != 1) return 1;
      top.clk = 1; top.eval();
      top.inp = value; top.eval();
      top.clk = 0; top.eval();
      unsigned long long out = top.out;
      fwrite(&out, 8, 1, stdout);
    }}
  }}
  return 0;
}}
"""


def verilator(verilog: str, top: str, folder: Path) -> Path:
    """A program that reads 32-bit inputs and writes 64-bit outputs, cycle by cycle."""
    python = toolchains.get("rtl").interpreter
    tool = [str(python), str(python.with_name("verilator-cli"))]
    (folder / "dut.v").write_text(verilog)
    (folder / "bench.cpp").write_text(BENCH.format(top=top))
    root = next(python.parent.parent.glob("lib/python*/site-packages/verilator"))
    said = subprocess.run(
        [*tool, "-Wno-fatal", "-Wno-lint", "--cc", "--top-module", top, "--Mdir", "obj", "dut.v"],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "VERILATOR_ROOT": str(root)},
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    include = Path(root, "include")
    # One unit: most of the time goes into Verilator's headers.
    units = [include / "verilated.cpp", include / "verilated_threads.cpp"]
    units += [*sorted((folder / "obj").glob("*.cpp")), folder / "bench.cpp"]
    (folder / "all.cpp").write_text("".join(f'#include "{unit}"\n' for unit in units))
    said = subprocess.run(
        ["g++", "-std=c++17", "-w", "-O0", f"-I{include}", f"-I{include / 'vltstd'}", "-Iobj",
         "all.cpp", "-pthread", "-o", "bench"],
        cwd=folder, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr[-2000:]
    return folder / "bench"


def answers(program: Path, inputs: np.ndarray) -> np.ndarray:
    """Outputs [sequence, step] for inputs [sequence, step]."""
    done = subprocess.run(
        [str(program), *map(str, inputs.shape)],
        input=inputs.astype("<u4").tobytes(), capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    return np.frombuffer(done.stdout, "<u8").reshape(inputs.shape)
