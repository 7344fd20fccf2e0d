"""Verilog-2005 modules of the serial harness: a UART, an SPI slave, and the frames over either.

A frame is that of RFC 1055 (SLIP): 0xC0 before and after it, and within it 0xDB 0xDC for 0xC0
and 0xDB 0xDD for 0xDB. So a receiver that lost a byte is in step again at the next 0xC0.
Its last byte is a CRC-8 (polynomial 0x07, begun with 0xFF) over what stands before.

A request is the bytes of one input vector and the CRC. The reply is a status byte (0: right; 1:
the request's length or CRC was wrong), and where that is 0 four bytes with the cycles that the
inference took (little-endian) and the bytes of the output vector; then the CRC.
"""

from __future__ import annotations

from typing import Final

UART_RECEIVER: Final = """\
// 8N1. A start bit is confirmed in its middle; each bit is the majority of three samples around
// its middle; a byte without its stop bit is dropped, and the line must rise before the next.
module ef_uart_receiver #(parameter DIVIDER = 104) (
  input wire clk,
  input wire rst,
  input wire rx,
  output reg out_valid,
  output reg [7:0] out_data
);
  reg [3:0] line;  // two against metastability, and the samples of the vote
  reg busy;
  reg [$clog2(DIVIDER) - 1:0] timer;
  reg [3:0] place;  // 0: start bit, 1..8: data, 9: stop bit
  wire vote = (line[1] & line[2]) | (line[1] & line[3]) | (line[2] & line[3]);
  always @(posedge clk)
    if (rst) begin
      line <= 4'b1111;
      busy <= 1'b0;
      out_valid <= 1'b0;
      timer <= 0;
      place <= 0;
    end else begin
      line <= {line[2:0], rx};
      out_valid <= 1'b0;
      if (!busy) begin
        busy <= line[2] & !line[1];
        timer <= DIVIDER / 2;
        place <= 0;
      end else if (timer != 0) timer <= timer - 1'b1;
      else begin
        timer <= DIVIDER - 1;
        place <= place + 1'b1;
        if (place == 0) busy <= !vote;
        else if (place == 9) begin
          busy <= 1'b0;
          out_valid <= vote;
        end else out_data <= {vote, out_data[7:1]};
      end
    end
endmodule
"""

UART_SENDER: Final = """\
// 8N1.
module ef_uart_sender #(parameter DIVIDER = 104) (
  input wire clk,
  input wire rst,
  input wire in_valid,
  output wire in_ready,
  input wire [7:0] in_data,
  output wire tx
);
  reg [9:0] bits;  // what is still to be sent, then ones
  reg [3:0] left;
  reg [$clog2(DIVIDER) - 1:0] timer;
  assign in_ready = left == 0;
  assign tx = bits[0];
  always @(posedge clk)
    if (rst) begin
      bits <= 10'b1111111111;
      left <= 0;
      timer <= 0;
    end else if (in_ready) begin
      if (in_valid) begin
        bits <= {1'b1, in_data, 1'b0};
        left <= 10;
        timer <= DIVIDER - 1;
      end
    end else if (timer != 0) timer <= timer - 1'b1;
    else begin
      bits <= {1'b1, bits[9:1]};
      left <= left - 1'b1;
      timer <= DIVIDER - 1;
    end
endmodule
"""

SPI: Final = """\
// SPI slave, mode 0, most significant bit first; sck at most an eighth of the clock. Where there
// is nothing to send, the byte 0xC0 goes out, which is no part of a frame.
module ef_spi (
  input wire clk,
  input wire rst,
  input wire sck,
  input wire cs_n,
  input wire mosi,
  output wire miso,
  output reg out_valid,
  output reg [7:0] out_data,
  input wire in_valid,
  output wire in_ready,
  input wire [7:0] in_data
);
  reg [2:0] clock;
  reg [1:0] chosen;
  reg [1:0] data;
  reg [2:0] place;
  reg [7:0] sending;
  reg real_byte;  // the byte under way is the sender's, which keeps it until its end
  reg loaded;
  wire rise = clock[1] & !clock[2];
  wire fall = !clock[1] & clock[2];
  wire byte_ends = loaded & rise & (place == 7);
  assign miso = sending[7];
  assign in_ready = byte_ends & real_byte;
  always @(posedge clk) begin
    clock <= {clock[1:0], sck};
    chosen <= {chosen[0], !cs_n};
    data <= {data[0], mosi};
    out_valid <= 1'b0;
    if (rst | !chosen[1]) begin
      place <= 0;
      loaded <= 1'b0;
      if (rst) clock <= 0;
    end else begin
      if (!loaded) begin
        loaded <= 1'b1;
        sending <= in_valid ? in_data : 8'hc0;
        real_byte <= in_valid;
      end else if (rise) begin
        out_data <= {out_data[6:0], data[1]};
        place <= place + 1'b1;
        out_valid <= byte_ends;
      end else if (fall) begin
        if (place == 0) begin
          sending <= in_valid ? in_data : 8'hc0;
          real_byte <= in_valid;
        end else sending <= {sending[6:0], 1'b0};
      end
    end
  end
endmodule
"""

CRC: Final = """\
module ef_crc8 (input wire [7:0] crc, input wire [7:0] data, output wire [7:0] result);
  function [7:0] once(input [7:0] value);
    once = value[7] ? {value[6:0], 1'b0} ^ 8'h07 : {value[6:0], 1'b0};
  endfunction
  assign result = once(once(once(once(once(once(once(once(crc ^ data))))))));
endmodule
"""

REQUEST: Final = """\
// Takes requests apart: a whole and right one is kept in a memory and then sent on as BYTES
// bytes; another one makes `fault` 1 for a cycle. A request that overtakes the one before it,
// while that is still being sent on, is a fault too.
module ef_request #(parameter BYTES = 4) (
  input wire clk,
  input wire rst,
  input wire in_valid,
  input wire [7:0] in_data,
  output reg fault,
  output reg out_valid,
  input wire out_ready,
  output reg [7:0] out_data
);
  localparam BITS = $clog2(BYTES + 3);
  (* no_rw_check *) reg [7:0] memory [0:BYTES-1];
  reg [BITS-1:0] count;  // bytes of this request so far, its CRC with them
  reg [BITS-1:0] next;  // of the request that is being sent on
  reg sending;
  reg escaped;
  reg spoilt;
  reg [7:0] crc;
  wire [7:0] value = !escaped ? in_data : in_data == 8'hdc ? 8'hc0 : 8'hdb;
  wire wrong_escape = escaped & (in_data != 8'hdc) & (in_data != 8'hdd);
  wire [7:0] crc_after;
  wire store = in_valid & (in_data != 8'hc0) & (escaped | (in_data != 8'hdb));
  wire overtakes = sending & (count >= next);
  wire right = (count == BYTES + 1) & (crc == 0) & !spoilt & !escaped & !sending;
  ef_crc8 sum (.crc(crc), .data(value), .result(crc_after));
  always @(posedge clk) begin
    fault <= 1'b0;
    if (store & (count < BYTES) & !overtakes) memory[count] <= value;
    if (sending & (!out_valid | out_ready) & (next != BYTES)) out_data <= memory[next];
    if (rst) begin
      count <= 0;
      next <= 0;
      sending <= 1'b0;
      escaped <= 1'b0;
      spoilt <= 1'b0;
      crc <= 8'hff;
      out_valid <= 1'b0;
    end else begin
      if (sending & (!out_valid | out_ready)) begin
        out_valid <= next != BYTES;
        if (next != BYTES) next <= next + 1'b1;
        else sending <= 1'b0;
      end
      if (in_valid) begin
        escaped <= (in_data == 8'hdb) & !escaped;
        if (in_data == 8'hc0) begin
          if (right) begin
            sending <= 1'b1;
            next <= 0;
          end else fault <= (count != 0) | spoilt | escaped;
          count <= 0;
          spoilt <= 1'b0;
          crc <= 8'hff;
        end else if (store) begin
          if (count != BYTES + 2) count <= count + 1'b1;
          if (wrong_escape | overtakes) spoilt <= 1'b1;
          crc <= crc_after;
        end
      end
    end
  end
endmodule
"""

REPLY: Final = """\
// Puts replies together: BYTES bytes of an output vector, or a fault.
module ef_reply #(parameter BYTES = 4) (
  input wire clk,
  input wire rst,
  input wire fault,
  input wire [31:0] cycles,
  input wire in_valid,
  output wire in_ready,
  input wire [7:0] in_data,
  output wire out_valid,
  input wire out_ready,
  output wire [7:0] out_data
);
  localparam IDLE = 3'd0, STATUS = 3'd1, CYCLES = 3'd2, DATA = 3'd3, SUM = 3'd4, END = 3'd5;
  localparam BITS = $clog2(BYTES + 4);
  reg [2:0] state;
  reg [BITS-1:0] left;
  reg wrong;  // this reply tells of a fault
  reg pending;  // a fault that no reply has told yet
  reg second;  // the second byte of an escape
  reg [7:0] crc;
  reg [31:0] shift;
  wire [7:0] crc_after;
  reg [7:0] value;
  always @*
    case (state)
      STATUS: value = {7'b0, wrong};
      CYCLES: value = shift[7:0];
      DATA: value = in_data;
      default: value = crc;
    endcase
  wire mark = (state == IDLE) | (state == END);
  wire escape = !mark & ((value == 8'hc0) | (value == 8'hdb));
  wire sent = out_valid & out_ready;
  wire done = sent & (!escape | second);  // with this value
  assign out_valid = state == IDLE ? pending | in_valid : state == DATA ? in_valid : 1'b1;
  wire [7:0] escaped = !second ? 8'hdb : value == 8'hc0 ? 8'hdc : 8'hdd;
  assign out_data = mark ? 8'hc0 : escape ? escaped : value;
  assign in_ready = done & (state == DATA);
  ef_crc8 sum (.crc(crc), .data(value), .result(crc_after));
  always @(posedge clk)
    if (rst) begin
      state <= IDLE;
      pending <= 1'b0;
      wrong <= 1'b0;
      second <= 1'b0;
      left <= 0;
    end else begin
      if (fault) pending <= 1'b1;
      if (sent) second <= escape & !second;
      if (done) begin
        crc <= mark ? 8'hff : crc_after;
        left <= left - 1'b1;
        case (state)
          IDLE: begin
            state <= STATUS;
            wrong <= pending;
            if (pending) pending <= fault;
            shift <= cycles;
          end
          STATUS: begin
            state <= wrong ? SUM : CYCLES;
            left <= 3;
          end
          CYCLES: begin
            shift <= {8'b0, shift[31:8]};
            if (left == 0) begin
              state <= DATA;
              left <= BYTES - 1;
            end
          end
          DATA: if (left == 0) state <= SUM;
          SUM: state <= END;
          default: state <= IDLE;
        endcase
      end
    end
endmodule
"""

GATHER: Final = """\
// Keeps BYTES bytes and sends them on without a gap, once all are there.
module ef_gather #(parameter BYTES = 4) (
  input wire clk,
  input wire rst,
  input wire in_valid,
  output wire in_ready,
  input wire [7:0] in_data,
  output reg out_valid,
  input wire out_ready,
  output reg [7:0] out_data
);
  localparam BITS = $clog2(BYTES + 1);
  (* no_rw_check *) reg [7:0] memory [0:BYTES-1];
  reg [BITS-1:0] count;
  reg [BITS-1:0] next;
  wire whole = count == BYTES;
  assign in_ready = !whole;
  always @(posedge clk) begin
    if (in_valid & in_ready) memory[count] <= in_data;
    if (whole & (!out_valid | out_ready) & (next != BYTES)) out_data <= memory[next];
    if (rst) begin
      count <= 0;
      next <= 0;
      out_valid <= 1'b0;
    end else if (!whole) begin
      if (in_valid) count <= count + 1'b1;
    end else if (!out_valid | out_ready) begin
      out_valid <= next != BYTES;
      next <= next == BYTES ? 0 : next + 1'b1;
      if (next == BYTES) count <= 0;
    end
  end
endmodule
"""

CYCLES: Final = """\
// How many edges an inference takes: from the first word offered to the core to the edge that
// takes its first result. Right where one request is under way at a time.
module ef_cycles (
  input wire clk,
  input wire rst,
  input wire offered,
  input wire valid,
  input wire first,
  input wire last,
  input wire taken,
  output reg [31:0] cycles
);
  reg [31:0] count;
  reg told;
  always @(posedge clk)
    if (rst) begin
      count <= 0;
      told <= 1'b0;
      cycles <= 0;
    end else begin
      if (taken & last) begin
        count <= 0;
        told <= 1'b0;
      end else if (taken) told <= 1'b1;
      else if ((offered | (count != 0)) & !valid & !told) count <= count + 1'b1;
      if (taken & first) cycles <= count + 1'b1;
    end
endmodule
"""

POWER_ON_RESET: Final = """\
// Reset for 255 edges after the configuration, and while the button is held (`hold`).
module ef_power_on_reset (input wire clk, input wire hold, output wire rst);
  reg [7:0] count = 8'd0;
  reg [1:0] held = 2'b00;
  assign rst = count != 8'hff;
  always @(posedge clk) begin
    held <= {held[0], hold};
    if (held[1]) count <= 8'd0;
    else if (rst) count <= count + 1'b1;
  end
endmodule
"""

UART: Final = (UART_RECEIVER, UART_SENDER)
FRAMES: Final = (CRC, REQUEST, REPLY, GATHER, CYCLES)
