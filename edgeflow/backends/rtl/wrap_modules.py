"""Verilog-2005 modules that move words between a bus and a design: each is written once, and
instantiated with its parameters by `edgeflow.backends.rtl.wrap_tops`.

All use one clock, a synchronous reset ``rst`` (active high) and valid/ready hand-shakes: a word
moves on a rising edge at which ``valid`` and ``ready`` are both 1; ``valid``, once 1, stays so
with the same data until then, and never waits for ``ready``.
"""

from __future__ import annotations

from typing import Final

FIFO: Final = """\
// First word falls through. The writer counts the free places itself (ef_pipeline).
module ef_fifo #(parameter WIDTH = 8, parameter LOG = 2) (
  input wire clk,
  input wire rst,
  input wire in_valid,
  input wire [WIDTH-1:0] in_data,
  output wire out_valid,
  input wire out_ready,
  output wire [WIDTH-1:0] out_data
);
  reg [WIDTH-1:0] memory [0:(1 << LOG) - 1];
  reg [LOG:0] head;
  reg [LOG:0] tail;
  assign out_valid = head != tail;
  assign out_data = memory[tail[LOG-1:0]];
  always @(posedge clk) begin
    if (in_valid) memory[head[LOG-1:0]] <= in_data;
    if (rst) begin
      head <= 0;
      tail <= 0;
    end else begin
      if (in_valid) head <= head + 1'b1;
      if (out_valid & out_ready) tail <= tail + 1'b1;
    end
  end
endmodule
"""

FULL_RATE: Final = """\
// Valid and ready around a pipeline that cannot stop: LATENCY edges from core_in to core_out, a
// new input on every edge. As many inputs are let in as the FIFO has places for their results.
module ef_full_rate #(
  parameter IN = 8, parameter OUT = 8, parameter LATENCY = 1, parameter LOG = 2
) (
  input wire clk,
  input wire rst,
  input wire in_valid,
  output wire in_ready,
  input wire [IN-1:0] in_data,
  output wire out_valid,
  input wire out_ready,
  output wire [OUT-1:0] out_data,
  output wire [IN-1:0] core_in,
  input wire [OUT-1:0] core_out
);
  reg [LOG:0] held;  // inputs taken whose results have not left
  wire take = in_valid & in_ready;
  wire leave = out_valid & out_ready;
  wire arrive;
  assign in_ready = !held[LOG];
  assign core_in = in_data;
  always @(posedge clk)
    if (rst) held <= 0;
    else if (take & !leave) held <= held + 1'b1;
    else if (leave & !take) held <= held - 1'b1;
  generate
    if (LATENCY == 0) begin : at_once
      assign arrive = take;
    end else begin : later
      reg [LATENCY-1:0] under_way;
      assign arrive = under_way[LATENCY-1];
      always @(posedge clk)
        if (rst) under_way <= 0;
        else under_way <= (under_way << 1) | take;
    end
  endgenerate
  ef_fifo #(.WIDTH(OUT), .LOG(LOG)) results (
    .clk(clk), .rst(rst), .in_valid(arrive), .in_data(core_out),
    .out_valid(out_valid), .out_ready(out_ready), .out_data(out_data));
endmodule
"""

ONE_BY_ONE: Final = """\
// Valid and ready around a pipeline, one input at a time and with no storage: the sender holds
// the input until the result, which is then constant, has left.
module ef_one_by_one #(
  parameter IN = 8, parameter OUT = 8, parameter LATENCY = 1
) (
  input wire clk,
  input wire rst,
  input wire in_valid,
  output wire in_ready,
  input wire [IN-1:0] in_data,
  output wire out_valid,
  input wire out_ready,
  output wire [OUT-1:0] out_data,
  output wire [IN-1:0] core_in,
  input wire [OUT-1:0] core_out
);
  assign core_in = in_data;
  assign out_data = core_out;
  assign in_ready = out_valid & out_ready;
  generate
    if (LATENCY == 0) begin : at_once
      assign out_valid = in_valid;
    end else begin : later
      reg [$clog2(LATENCY + 1) - 1:0] passed;
      assign out_valid = in_valid & (passed == LATENCY);
      always @(posedge clk)
        if (rst | in_ready | !in_valid) passed <= 0;
        else if (passed != LATENCY) passed <= passed + 1'b1;
    end
  endgenerate
endmodule
"""

WIDEN: Final = """\
// COUNT pieces of WIDTH bits make a word, the first one in its low bits. Where PACKET is not 0,
// the last word of each PACKET pieces is filled up with zeros.
module ef_widen #(parameter WIDTH = 8, parameter COUNT = 2, parameter PACKET = 0) (
  input wire clk,
  input wire rst,
  input wire in_valid,
  output wire in_ready,
  input wire [WIDTH-1:0] in_data,
  output wire out_valid,
  input wire out_ready,
  output wire [WIDTH*COUNT-1:0] out_data
);
  reg [WIDTH*COUNT-1:0] word;
  reg [$clog2(COUNT + 1) - 1:0] filled;
  wire full = filled == COUNT;
  wire leave = full & out_ready;
  wire filling;
  wire take = in_valid & in_ready;
  assign out_valid = full;
  assign out_data = word;
  assign in_ready = !filling & (!full | out_ready);
  always @(posedge clk) begin
    if (take | filling)
      word <= {filling ? {WIDTH{1'b0}} : in_data, word[WIDTH*COUNT-1:WIDTH]};
    if (rst) filled <= 0;
    else if (take | filling) filled <= full ? 1 : filled + 1'b1;
    else if (leave) filled <= 0;
  end
  generate
    if (PACKET == 0) begin : endless
      assign filling = 1'b0;
    end else begin : packets
      reg [$clog2(PACKET + 1) - 1:0] pieces;
      wire ended = pieces == PACKET;
      assign filling = ended & !full;
      always @(posedge clk)
        if (rst) pieces <= 0;
        else if (ended & leave) pieces <= take ? 1 : 0;
        else if (take) pieces <= pieces + 1'b1;
    end
  endgenerate
endmodule
"""

NARROW: Final = """\
// A word leaves as COUNT pieces of WIDTH bits, its low bits first. Where PACKET is not 0, what
// is left of a word after PACKET pieces is padding, and dropped.
module ef_narrow #(parameter WIDTH = 8, parameter COUNT = 2, parameter PACKET = 0) (
  input wire clk,
  input wire rst,
  input wire in_valid,
  output wire in_ready,
  input wire [WIDTH*COUNT-1:0] in_data,
  output wire out_valid,
  input wire out_ready,
  output wire [WIDTH-1:0] out_data
);
  reg [WIDTH*COUNT-1:0] word;
  reg [$clog2(COUNT + 1) - 1:0] left;
  wire ends;
  wire leave = out_valid & out_ready;
  wire last = (left == 1) | ends;
  assign out_valid = left != 0;
  assign out_data = word[WIDTH-1:0];
  assign in_ready = !out_valid | (last & out_ready);
  always @(posedge clk) begin
    if (in_valid & in_ready) word <= in_data;
    else if (leave) word <= {{WIDTH{1'b0}}, word[WIDTH*COUNT-1:WIDTH]};
    if (rst) left <= 0;
    else if (in_valid & in_ready) left <= COUNT;
    else if (leave) left <= last ? 0 : left - 1'b1;
  end
  generate
    if (PACKET == 0) begin : endless
      assign ends = 1'b0;
    end else begin : packets
      reg [$clog2(PACKET + 1) - 1:0] pieces;
      assign ends = pieces == PACKET - 1;
      always @(posedge clk)
        if (rst) pieces <= 0;
        else if (leave) pieces <= ends ? 0 : pieces + 1'b1;
    end
  endgenerate
endmodule
"""

PACKET: Final = """\
// One packet in makes one packet of WORDS words out, whatever its length: one that is too short
// is filled up with zeros, one that is too long is cut. `fault` stays 1 after such a packet.
module ef_packet #(parameter WIDTH = 8, parameter WORDS = 4) (
  input wire clk,
  input wire rst,
  input wire in_valid,
  output wire in_ready,
  input wire [WIDTH-1:0] in_data,
  input wire in_last,
  output wire out_valid,
  input wire out_ready,
  output wire [WIDTH-1:0] out_data,
  output reg fault
);
  reg filling;
  reg dropping;
  reg [$clog2(WORDS + 1) - 1:0] words;
  wire last = words == WORDS - 1;
  wire leave = out_valid & out_ready;
  assign out_valid = filling | (in_valid & !dropping);
  assign out_data = filling ? {WIDTH{1'b0}} : in_data;
  assign in_ready = dropping | (out_ready & !filling);
  always @(posedge clk)
    if (rst) begin
      filling <= 1'b0;
      dropping <= 1'b0;
      words <= 0;
      fault <= 1'b0;
    end else begin
      if (leave) words <= last ? 0 : words + 1'b1;
      if (dropping) begin
        if (in_valid & in_last) dropping <= 1'b0;
      end else if (filling) begin
        if (leave & last) filling <= 1'b0;
      end else if (leave & (in_last != last)) begin
        filling <= in_last;
        dropping <= last;
        fault <= 1'b1;
      end
    end
endmodule
"""

COUNT: Final = """\
// Which of a packet's WORDS words is passing.
module ef_count #(parameter WORDS = 4) (
  input wire clk,
  input wire rst,
  input wire step,
  output wire first,
  output wire last
);
  generate
    if (WORDS == 1) begin : single
      assign first = 1'b1;
      assign last = 1'b1;
    end else begin : many
      reg [$clog2(WORDS) - 1:0] words;
      assign first = words == 0;
      assign last = words == WORDS - 1;
      always @(posedge clk)
        if (rst) words <= 0;
        else if (step) words <= last ? 0 : words + 1'b1;
    end
  endgenerate
endmodule
"""

MODULES: Final = (FIFO, FULL_RATE, ONE_BY_ONE, WIDEN, NARROW, PACKET, COUNT)
