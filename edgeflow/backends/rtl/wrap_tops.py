"""The Verilog that is written for one design: its hand-shake, its packing, its interfaces."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from edgeflow.backends.rtl.wrap_design import Design, Port

HANDSHAKE: Final = ("valid", "ready", "data")


@dataclass(frozen=True)
class Stream:
    """The wires ``NAME_valid``, ``NAME_ready`` and ``NAME_data`` (of `width` bits)."""

    name: str
    width: int

    def connect(self, side: str) -> list[str]:
        """A module's ports ``SIDE_valid``, … on these wires."""
        return [f".{side}_{role}({self.name}_{role})" for role in HANDSHAKE]

    def declare(self) -> list[str]:
        """The wires' declarations."""
        return [
            f"wire {self.name}_valid, {self.name}_ready;",
            _wire(self.width, f"{self.name}_data"),
        ]


@dataclass
class Body:
    """The lines of a module's body, as they grow."""

    lines: list[str] = field(default_factory=list)

    def add(self, *lines: str) -> None:
        """Append lines."""
        self.lines += [f"  {line}" for line in lines]

    def place(
        self, module: str, name: str, ports: Sequence[str], params: Mapping[str, int] | None = None
    ) -> None:
        """An instance of a module."""
        given = ", ".join(f".{key}({value})" for key, value in (params or {}).items())
        head = f"{module} #({given}) {name}" if given else f"{module} {name}"
        self.add(f"{head} (", *(f"  {port}," for port in ports[:-1]), f"  {ports[-1]});")

    def stage(
        self,
        module: str,
        name: str,
        source: Stream,
        width: int,
        params: Mapping[str, int],
        extra: Sequence[str] = (),
    ) -> Stream:
        """A module between a stream and a new one, called as the instance."""
        result = Stream(f"{name}_out", width)
        self.add(*result.declare())
        self.place(
            module, name, [*CLOCKED, *source.connect("in"), *result.connect("out"), *extra], params
        )
        return result


CLOCKED: Final = (".clk(clk)", ".rst(rst)")


def _wire(width: int, name: str) -> str:
    return f"wire [{width - 1}:0] {name};"


def module(name: str, ports: Sequence[str], body: Body) -> str:
    """A module's text."""
    return "\n".join(
        [
            f"module {name} (",
            ",\n".join(f"  {port}" for port in ports),
            ");",
            *body.lines,
            "endmodule",
            "",
        ]
    )


def handshake(design: Design, name: str, full_rate: bool) -> str:
    """A module with valid and ready around the design, its data as the design packs them."""
    body = Body()
    source, sink = Stream("in", design.input.width), Stream("out", design.output.width)
    if design.style == "stream":
        ports = [f".{design.clock}(clk)", f".{design.reset}(rst)"]
        body.place(design.top, "core", [*ports, *source.connect("in"), *sink.connect("out")])
    else:
        latency = design.latency_cycles or 0
        body.add(_wire(source.width, "core_in"), _wire(sink.width, "core_out"))
        ports = [f".{design.clock}(clk)"] if design.clock else []
        ports += [f".{design.input.name}(core_in)", f".{design.output.name}(core_out)"]
        body.place(design.top, "core", ports)
        params = {"IN": source.width, "OUT": sink.width, "LATENCY": latency}
        if full_rate:
            params["LOG"] = max(1, math.ceil(math.log2(latency + 2)))
        body.place(
            "ef_full_rate" if full_rate else "ef_one_by_one",
            "flow",
            [
                *CLOCKED,
                *source.connect("in"),
                *sink.connect("out"),
                ".core_in(core_in)",
                ".core_out(core_out)",
            ],
            params,
        )
    return module(
        name,
        [
            "input wire clk",
            "input wire rst",
            *_slave("in", source.width),
            *_master("out", sink.width),
        ],
        body,
    )


def _slave(name: str, width: int) -> list[str]:
    return [
        f"input wire {name}_valid",
        f"output wire {name}_ready",
        f"input wire [{width - 1}:0] {name}_data",
    ]


def _master(name: str, width: int) -> list[str]:
    return [
        f"output wire {name}_valid",
        f"input wire {name}_ready",
        f"output wire [{width - 1}:0] {name}_data",
    ]


def words(port: Port, width: int) -> int:
    """Bus words of one inference: its numbers stand in it without gaps, each in its container."""
    return math.ceil(port.bytes * 8 / width)


def _pieces(port: Port, width: int) -> tuple[int, int]:
    """The widest piece that both a bus word and a beat are made of, and a packet's pieces or 0.

    The pieces need to be counted only where the last word of a packet is not full.
    """
    piece = math.gcd(width, port.beat_bits)
    packet = port.bytes * 8 // piece
    return piece, packet if port.bytes * 8 % width else 0


def gather(body: Body, bus: Stream, port: Port) -> Stream:
    """From bus words to beats, each number in its container."""
    if port.beats == 1:
        count = words(port, bus.width)
        if count == 1:
            return bus
        params = {"WIDTH": bus.width, "COUNT": count}
        return body.stage("ef_widen", "collect", bus, bus.width * count, params)
    piece, packet = _pieces(port, bus.width)
    if bus.width > piece:
        params = {"WIDTH": piece, "COUNT": bus.width // piece, "PACKET": packet}
        bus = body.stage("ef_narrow", "split", bus, piece, params)
    if port.beat_bits > piece:
        params = {"WIDTH": piece, "COUNT": port.beat_bits // piece}
        bus = body.stage("ef_widen", "collect", bus, port.beat_bits, params)
    return bus


def spread(body: Body, beat: Stream, port: Port, width: int) -> Stream:
    """From beats, each number in its container, to bus words of `width` bits."""
    if port.beats == 1:
        count = words(port, width)
        wide = Stream("whole", width * count)
        body.add(*wide.declare(), f"assign whole_valid = {beat.name}_valid;")
        body.add(
            f"assign {beat.name}_ready = whole_ready;", f"assign whole_data = {beat.name}_data;"
        )
        if count == 1:
            return wide
        return body.stage("ef_narrow", "serialise", wide, width, {"WIDTH": width, "COUNT": count})
    piece, packet = _pieces(port, width)
    if beat.width > piece:
        params = {"WIDTH": piece, "COUNT": beat.width // piece}
        beat = body.stage("ef_narrow", "serialise", beat, piece, params)
    if width > piece:
        params = {"WIDTH": piece, "COUNT": width // piece, "PACKET": packet}
        beat = body.stage("ef_widen", "fill", beat, width, params)
    return beat


def core(body: Body, design: Design, name: str, source: Stream) -> Stream:
    """The design's hand-shake module `name`, between beats of whole containers."""
    packed, result = Stream("core_in", design.input.width), Stream("core_out", design.output.width)
    body.add(*packed.declare(), *result.declare())
    body.add(f"assign core_in_valid = {source.name}_valid;")
    body.add(f"assign {source.name}_ready = core_in_ready;")
    size = design.input.container * 8
    used = [False] * packed.width
    for index, element in enumerate(design.input.elements):
        if element.bits:
            body.add(
                f"assign core_in_data[{element.lsb} +: {element.bits}] = "
                f"{source.name}_data[{index * size} +: {element.bits}];"
            )
            used[element.lsb : element.lsb + element.bits] = [True] * element.bits
    for bit in (bit for bit, taken in enumerate(used) if not taken):
        body.add(f"assign core_in_data[{bit}] = 1'b0;")
    body.place(name, "model", [*CLOCKED, *packed.connect("in"), *result.connect("out")])
    padded = Stream("answer", design.output.beat_bits)
    body.add(*padded.declare(), "assign answer_valid = core_out_valid;")
    body.add("assign core_out_ready = answer_ready;")
    size = design.output.container * 8
    for index, element in enumerate(design.output.elements):
        value = f"core_out_data[{element.lsb} +: {element.bits}]"
        sign = f"core_out_data[{element.lsb + element.bits - 1}]" if element.signed else "1'b0"
        if not element.bits:
            value = f"{{{size}{{1'b0}}}}"
        elif element.bits < size:
            value = f"{{{{{size - element.bits}{{{sign}}}}}, {value}}}"
        body.add(f"assign answer_data[{index * size} +: {size}] = {value};")
    return padded


def axi_stream(design: Design, name: str, inner: str, width: int) -> str:
    """AXI4-Stream slave and master of `width` bits; an inference is a packet."""
    body = Body()
    body.add("wire clk = aclk;", "wire rst = !aresetn;")
    bus = Stream("bus", width)
    body.add(*bus.declare(), "assign bus_valid = s_axis_tvalid;")
    body.add("assign s_axis_tready = bus_ready;", "assign bus_data = s_axis_tdata;")
    packet = body.stage(
        "ef_packet",
        "packet",
        bus,
        width,
        {"WIDTH": width, "WORDS": words(design.input, width)},
        [".in_last(s_axis_tlast)", ".fault(packet_fault)"],
    )
    answer = core(body, design, inner, gather(body, packet, design.input))
    out = spread(body, answer, design.output, width)
    body.add(
        f"assign m_axis_tvalid = {out.name}_valid;", f"assign {out.name}_ready = m_axis_tready;"
    )
    body.add(f"assign m_axis_tdata = {out.name}_data;", "wire unused_first;")
    step = f".step({out.name}_valid & {out.name}_ready)"
    ends = [step, ".first(unused_first)", ".last(m_axis_tlast)"]
    body.place(
        "ef_count", "answer_words", [*CLOCKED, *ends], {"WORDS": words(design.output, width)}
    )
    ports = [
        "input wire aclk",
        "input wire aresetn",
        "input wire s_axis_tvalid",
        "output wire s_axis_tready",
        f"input wire [{width - 1}:0] s_axis_tdata",
        "input wire s_axis_tlast",
        "output wire m_axis_tvalid",
        "input wire m_axis_tready",
        f"output wire [{width - 1}:0] m_axis_tdata",
        "output wire m_axis_tlast",
        "output wire packet_fault",
    ]
    return module(name, ports, body)


def serial(design: Design, name: str, inner: str, divider: int | None) -> str:
    """The serial harness: over a UART of this divider, or over SPI where it is None."""
    body = Body()
    request, reply = Stream("request", 8), Stream("reply_out", 8)
    body.add("wire got_valid;", "wire [7:0] got_data;", *request.declare(), *reply.declare())
    body.add("wire fault;", "wire [31:0] cycles;")
    received, sent = [".out_valid(got_valid)", ".out_data(got_data)"], reply.connect("in")
    if divider is not None:
        body.place(
            "ef_uart_receiver", "receiver", [*CLOCKED, ".rx(rx)", *received], {"DIVIDER": divider}
        )
        body.place("ef_uart_sender", "sender", [*CLOCKED, *sent, ".tx(tx)"], {"DIVIDER": divider})
    else:
        pins = [f".{pin}({pin})" for pin in ("sck", "cs_n", "mosi", "miso")]
        body.place("ef_spi", "pins", [*CLOCKED, *pins, *received, *sent])
    body.place(
        "ef_request",
        "requests",
        [
            *CLOCKED,
            ".in_valid(got_valid)",
            ".in_data(got_data)",
            ".fault(fault)",
            *request.connect("out"),
        ],
        {"BYTES": design.input.bytes},
    )
    answer = core(body, design, inner, gather(body, request, design.input))
    taken = "core_out_valid & core_out_ready"
    body.add("wire first, last;")
    body.place(
        "ef_count",
        "answers",
        [*CLOCKED, f".step({taken})", ".first(first)", ".last(last)"],
        {"WORDS": design.output.beats},
    )
    body.place(
        "ef_cycles",
        "stopwatch",
        [
            *CLOCKED,
            ".offered(core_in_valid)",
            ".valid(core_out_valid)",
            ".first(first)",
            ".last(last)",
            f".taken({taken})",
            ".cycles(cycles)",
        ],
    )
    out = spread(body, answer, design.output, 8)
    if design.output.beats > 1:
        out = body.stage("ef_gather", "whole_answer", out, 8, {"BYTES": design.output.bytes})
    body.place(
        "ef_reply",
        "replies",
        [*CLOCKED, ".fault(fault)", ".cycles(cycles)", *out.connect("in"), *reply.connect("out")],
        {"BYTES": design.output.bytes},
    )
    body.add("assign busy = core_in_valid | reply_out_valid;")
    pins = ["input wire rx", "output wire tx"]
    if divider is None:
        pins = ["input wire sck", "input wire cs_n", "input wire mosi", "output wire miso"]
    return module(name, ["input wire clk", "input wire rst", *pins, "output wire busy"], body)


LINES: Final = {
    "uart": (("input", "uart_rx", "rx"), ("output", "uart_tx", "tx")),
    "spi": (
        ("input", "spi_sck", "sck"),
        ("input", "spi_cs_n", "cs_n"),
        ("input", "spi_mosi", "mosi"),
        ("output", "spi_miso", "miso"),
    ),
}
"""Of a serial interface: direction, the board's signal, the harness' port."""


def board(serial_top: str, name: str, interface: str, pins: Mapping[str, bool]) -> str:
    """The top of a board: reset at power-on and by its button, one LED blinks, one shows work.

    Its ports have the names of the board's signals; ``pins`` says of those that there are whether
    they are active low: ``clk`` and the interface's are needed, ``reset``, ``led_0``, ``led_1``
    used where they are.
    """
    body = Body()
    body.add("wire rst, busy;")
    hold = "1'b0"
    if "reset" in pins:
        hold = "!reset" if pins["reset"] else "reset"
    body.place("ef_power_on_reset", "power", [".clk(clk)", f".hold({hold})", ".rst(rst)"])
    lines = LINES[interface]
    ends = [f".{port}({signal})" for _, signal, port in lines]
    body.place(serial_top, "serial", [*CLOCKED, *ends, ".busy(busy)"])
    ports = ["input wire clk", *(["input wire reset"] if "reset" in pins else [])]
    ports += [f"{direction} wire {signal}" for direction, signal, _ in lines]
    leds = {"led_0": "alive[22]", "led_1": "shown != 0"}
    if "led_0" in pins:
        body.add("reg [22:0] alive = 23'd0;  // a slow blink")
        body.add("always @(posedge clk) alive <= alive + 1'b1;")
    if "led_1" in pins:
        body.add("reg [19:0] shown = 20'd0;  // long enough to be seen")
        body.add("always @(posedge clk)")
        body.add("  if (busy) shown <= 20'hfffff;", "  else if (shown != 0) shown <= shown - 1'b1;")
    for led, lit in leds.items():
        if led in pins:
            ports.append(f"output wire {led}")
            body.add(f"assign {led} = {'!' if pins[led] else ''}({lit});")
    return module(name, ports, body)
