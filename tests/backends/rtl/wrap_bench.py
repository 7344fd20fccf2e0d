"""Hand-made designs to wrap, and one Verilator program that drives their wrappers."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeflow import toolchains


@dataclass(frozen=True)
class Element:
    lsb: int
    bits: int
    signed: bool = True
    fraction: int = 2

    @property
    def low(self) -> int:
        return -(1 << self.bits - 1) if self.signed and self.bits else 0

    @property
    def high(self) -> int:
        return (1 << self.bits - self.signed) - 1 if self.bits else 0

    def read(self, bus: str, name: str) -> str:
        if not self.bits:
            return f"  wire signed [31:0] {name} = 0;"
        sign = f"{bus}[{self.lsb + self.bits - 1}]" if self.signed else "1'b0"
        value = f"{bus}[{self.lsb} +: {self.bits}]"
        return f"  wire signed [31:0] {name} = {{{{{32 - self.bits}{{{sign}}}}}, {value}}};"


@dataclass(frozen=True)
class Core:
    """A design and what it computes: integers (N, beats in, elements) to (N, beats out, elements)."""

    name: str
    style: str
    latency: int
    inputs: tuple[Element, ...]
    outputs: tuple[Element, ...]
    beats: tuple[int, int]
    weights: np.ndarray

    def reference(self, x: np.ndarray) -> np.ndarray:
        if self.beats[1] == 1:
            return np.einsum("nbi,bio->no", x, self.weights)[:, None]
        return np.einsum("nbi,bio->nbo", x, self.weights)

    def inputs_of(self, count: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        columns = [rng.integers(e.low, e.high + 1, (count, self.beats[0])) for e in self.inputs]
        return np.stack(columns, axis=-1)

    def width(self, elements: tuple[Element, ...]) -> int:
        return max(e.lsb + e.bits for e in elements) + 1  # one bit that nobody uses

    def save(self, folder: Path) -> Path:
        folder.mkdir(parents=True)
        (folder / "verilog").mkdir()
        (folder / "verilog" / "core.v").write_text(self.verilog())
        stream = self.style == "stream"
        record = {
            "format": "edgeflow.design/1",
            "top": self.name,
            "style": self.style,
            "files": {"verilog": ["verilog/core.v"]},
            "clock": None if self.style == "combinational" else "clk",
            "reset": "rst" if stream else None,
            "latency_cycles": self.latency,
            "ii": 1,
            "input": self._port("in_data" if stream else "inp", self.inputs, self.beats[0]),
            "output": self._port("out_data" if stream else "out", self.outputs, self.beats[1]),
            "handshake": stream,
        }
        (folder / "design.json").write_text(json.dumps(record))
        return folder

    def _port(self, name: str, elements: tuple[Element, ...], beats: int) -> dict[str, object]:
        return {
            "port": name,
            "width": self.width(elements),
            "beats": beats,
            "elements": [vars(element) for element in elements],
        }

    def _sums(self, bus: str) -> list[str]:
        lines = [e.read(bus, f"x{i}") for i, e in enumerate(self.inputs)]
        for o in range(len(self.outputs)):
            terms = [f"x{i} * ({' : '.join(self._chosen(i, o))})" for i in range(len(self.inputs))]
            lines.append(f"  wire signed [31:0] y{o} = {' + '.join(terms)};")
        return lines

    def _chosen(self, i: int, o: int) -> list[str]:
        """The weight of each beat, chosen by the register `beat`."""
        values = [f"32'sd{w}" if w >= 0 else f"-32'sd{-w}" for w in self.weights[:, i, o]]
        return [f"beat == {b} ? {v}" for b, v in enumerate(values[:-1])] + values[-1:]

    def verilog(self) -> str:
        ports_in, ports_out = self.width(self.inputs), self.width(self.outputs)
        if self.style != "stream":
            lines = [f"module {self.name} ("]
            lines += ["  input wire clk,"] if self.latency else []
            lines += [
                f"  input wire [{ports_in - 1}:0] inp,",
                f"  output wire [{ports_out - 1}:0] out);",
            ]
            lines += self._sums("inp")
            lines.append(f"  wire [{ports_out - 1}:0] now;")
            lines += self._assign("now", "y")
            if self.latency:
                lines.append(f"  reg [{ports_out - 1}:0] stage [0:{self.latency - 1}];")
                lines.append("  integer i;")
                lines.append("  always @(posedge clk) begin stage[0] <= now;")
                lines.append(
                    f"    for (i = 1; i < {self.latency}; i = i + 1) stage[i] <= stage[i-1]; end"
                )
            lines.append(
                f"  assign out = {f'stage[{self.latency - 1}]' if self.latency else 'now'};"
            )
            return "\n".join([*lines, "endmodule", ""])
        lines = [
            f"module {self.name} (input wire clk, input wire rst,",
            f"  input wire in_valid, output wire in_ready, input wire [{ports_in - 1}:0] in_data,",
            f"  output reg out_valid, input wire out_ready, output wire [{ports_out - 1}:0] out_data);",
            "  reg [7:0] beat; reg [4:0] noise;",
            *self._sums("in_data"),
            "  wire take = in_valid & in_ready;",
            "  assign in_ready = (!out_valid | out_ready) & noise[0];",
            f"  wire last = beat == {self.beats[0] - 1};",
        ]
        sums = range(len(self.outputs))
        lines += [f"  reg signed [31:0] a{o};" for o in sums]
        begin = "beat == 0" if self.beats[1] == 1 else "1'b1"
        lines += [
            "  always @(posedge clk) if (rst) begin beat <= 0; out_valid <= 0; noise <= 1; end",
            "  else begin noise <= {noise[3:0], noise[4] ^ noise[2]};",
            "    if (out_valid & out_ready) out_valid <= 0;",
            "    if (take) begin",
            f"      beat <= last ? 0 : beat + 1; out_valid <= {'last' if self.beats[1] == 1 else 1};",
            *(f"      a{o} <= ({begin} ? 0 : a{o}) + y{o};" for o in sums),
            "    end end",
            *self._assign("out_data", "a"),
        ]
        return "\n".join([*lines, "endmodule", ""])

    def _assign(self, bus: str, prefix: str) -> list[str]:
        lines = [f"  assign {bus}[{self.width(self.outputs) - 1}] = 1'b1;"]
        for o, e in enumerate(self.outputs):
            if e.bits:
                lines.append(f"  assign {bus}[{e.lsb} +: {e.bits}] = {prefix}{o}[{e.bits - 1}:0];")
        return lines


def _core(
    name: str, style: str, latency: int, ins: tuple, outs: tuple, beats: tuple[int, int]
) -> Core:
    def row(widths: tuple, fraction: int) -> tuple[Element, ...]:
        found, lsb = [], 0
        for bits in widths:
            found.append(Element(lsb, abs(bits), bits > 0, fraction))
            lsb += abs(bits)
        return tuple(found)

    weights = np.random.default_rng(len(name)).integers(-3, 4, (beats[0], len(ins), len(outs)))
    if beats[1] > 1:
        weights[:] = weights[:1]
    for o, bits in enumerate(outs):
        if not bits:
            weights[:, :, o] = 0
    return Core(name, style, latency, row(ins, 2), row(outs, 3), beats, weights)


CORES = {
    core.name: core
    for core in (
        _core("comb", "combinational", 0, (4, -3, 5, 0, 4), (9, 10, 0), (1, 1)),
        _core("pipe", "pipelined", 3, (7, 7, 7), (12, 11), (1, 1)),
        _core("summer", "stream", 0, (5, -4), (14, 13, 14), (6, 1)),
        _core("mapper", "stream", 0, (6, 6, 6), (16, 17), (5, 5)),
    )
}
"""Negative widths are unsigned; 0 bits: a number that is always 0."""

MAIN = Path(__file__).with_suffix(".cpp")


def build(wrapped: dict[str, Path], folder: Path) -> Path:
    """One program with every wrapper (name: the folder that `wrap` made)."""
    python = toolchains.ensure(toolchains.get("rtl"))
    found = python.parent.parent.glob("lib/python*/site-packages/verilator")
    root = next(found)
    includes, calls = [], []
    for name, made in wrapped.items():
        record = json.loads((made / "wrapper.json").read_text())
        obj = folder / f"obj_{name}"
        subprocess.run(
            [
                str(root / "bin" / "verilator_bin"),
                *("--cc", "-O3", "-Wall", "-Wno-DECLFILENAME", "-Wno-UNUSEDSIGNAL"),
                *("-Wno-WIDTHEXPAND", "-Wno-WIDTHTRUNC", "-Wno-UNUSEDPARAM", "-Wno-BLKSEQ"),
                *("--prefix", f"V{name}", "--Mdir", str(obj), "--top-module", record["top"]),
                *[str(made / file) for file in record["files"]["verilog"]],
            ],
            check=True,
            env={**os.environ, "VERILATOR_ROOT": str(root)},
            timeout=60,
        )
        includes.append("#undef VL_PCH_INCLUDED")
        includes += [f'#include "{file}"' for file in sorted(obj.glob("*.cpp"))]
        calls.append(f'  if (which == "{name}") {{ V{name} t{{&context}}; {_call(record)} }}')
    main = (
        MAIN.read_text()
        .replace("@INCLUDES@", "\n".join(includes))
        .replace("@CALLS@", "\n".join(calls))
    )
    (folder / "main.cpp").write_text(main)
    for source in ("verilated", "verilated_threads"):
        (folder / f"{source}.cpp").write_text(f'#include "{root}/include/{source}.cpp"\n')
    flags = [f"-I{folder / f'obj_{name}'}" for name in wrapped]
    flags += [f"-I{root}/include", f"-I{root}/include/vltstd", "-std=c++17", "-O1", "-w"]
    flags += ["-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TRACE=0", "-DVM_TIMING=0", "-pthread"]
    sources = [str(folder / f"{name}.cpp") for name in ("main", "verilated", "verilated_threads")]
    subprocess.run(["g++", *flags, *sources, "-o", str(folder / "bench")], check=True, timeout=300)
    return folder / "bench"


def _call(record: dict) -> str:
    if record["interface"] == "uart":
        return "uart(t, atof(argv[5]), argv[3], argv[4]);"
    if record["interface"] == "spi":
        return "spi(t, atoi(argv[5]), argv[3], argv[4]);"
    tail = "argv[3], argv[4], atoi(argv[5]), atoi(argv[6]), atol(argv[7])"
    if record["interface"] == "valid_ready":
        none = "(CData*)0"
        return (
            "stream(t, t.clk, t.rst, 1, t.in_valid, t.in_ready, t.in_data, "
            f"{none}, t.out_valid, t.out_ready, t.out_data, {none}, {tail});"
        )
    return (
        "stream(t, t.aclk, t.aresetn, 0, t.s_axis_tvalid, t.s_axis_tready, t.s_axis_tdata, "
        "&t.s_axis_tlast, t.m_axis_tvalid, t.m_axis_tready, t.m_axis_tdata, &t.m_axis_tlast, "
        f"{tail});"
    )
