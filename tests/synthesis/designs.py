"""Small designs that the tests of open synthesis share."""

from __future__ import annotations

from pathlib import Path

LAYERS = {"first": "a", "second": ["b"]}

BOARD = """\
module board(input clk, input reset, input uart_rx, output uart_tx, output [1:0] led);
  reg [15:0] line;
  always @(posedge clk) line <= reset ? 0 : {line[14:0], uart_rx};
  wire [7:0] w, q;
  stage a(.clk(clk), .x(line[7:0]), .y(w));
  stage b(.clk(clk), .x(w + line[15:8]), .y(q));
  reg [7:0] o;
  always @(posedge clk) o <= o + q;
  assign uart_tx = ^o;
  assign led = o[1:0];
endmodule
"""
STAGE = """\
module stage(input clk, input [7:0] x, output reg [7:0] y);
  always @(posedge clk) y <= x * x ^ (x >> 2);
endmodule
"""
WIDE = """\
module wide(input clk, input [W-1:0] x, output reg [W-1:0] y);
  parameter W = 1500;
  always @(posedge clk) y <= y ^ {x[W-2:0], x[W-1]} ^ (x >> 3);
endmodule
module board(input clk, input uart_rx, output uart_tx);
  parameter W = 1500;
  reg [W-1:0] x;
  always @(posedge clk) x <= {x[W-2:0], uart_rx};
  wire [W-1:0] y;
  wide #(.W(W)) core(.clk(clk), .x(x), .y(y));
  assign uart_tx = ^y;
endmodule
"""
SLOW = """\
module slow(input [63:0] a, b, c, output [127:0] y, z);
  assign y = a * b + c;
  assign z = (a * c) ^ (b * c);
endmodule
"""


def write(folder: Path, **files: str) -> Path:
    """The folder with these Verilog files, by module name."""
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.v").write_text(text)
    return folder
