"""The Verilog of a whole stream design: its modules and the top that connects them."""

from __future__ import annotations

import re

from edgeflow.backends.rtl.names import VERILOG
from edgeflow.backends.rtl.stream_stages_job import Stage, Stream

RESERVED = VERILOG | {"clk", "rst"}
"""Words that no name can be, and the top's own ports."""


def verilog_name(name: str, taken: set[str]) -> str:
    """A legal name that is not taken yet (whatever its case)."""
    base = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "layer"
    if not base[0].isalpha() or base.lower() in RESERVED:
        base = f"l_{base}"
    found, count = base, 1
    while found.lower() in taken:
        count += 1
        found = f"{base}_{count}"
    taken.add(found.lower())
    return found


HEADER = """\
// {top}: a streaming neural network, made by edgeflow.
// Plain Verilog-2005. A beat is handed over at a rising edge of clk with valid and ready both 1.
// rst: synchronous, active high. Weights are in read-only memories with initial values.
// verilator lint_off DECLFILENAME
// verilator lint_off UNUSEDSIGNAL
"""


def write(top: str, stages: list[Stage], source: Stream, sink: Stream) -> str:
    """All modules, the top first."""
    modules = {stage.name: f"{top}_{stage.name}" for stage in stages}
    lines = [
        HEADER.format(top=top),
        f"module {top} (",
        "  input wire clk,",
        "  input wire rst,",
        "  input wire in_valid,",
        "  output wire in_ready,",
        f"  input wire [{source.bits - 1}:0] in_data,",
        "  output wire out_valid,",
        "  input wire out_ready,",
        f"  output wire [{sink.bits - 1}:0] out_data",
        ");",
    ]
    streams = {s.name: s for stage in stages for s in (*stage.inputs, *stage.outputs)}
    for stream in streams.values():
        lines.append(f"  wire {stream.name}_valid, {stream.name}_ready;")
        lines.append(f"  wire [{stream.bits - 1}:0] {stream.name}_data;")
    lines += [
        f"  assign {source.name}_valid = in_valid;",
        f"  assign in_ready = {source.name}_ready;",
        f"  assign {source.name}_data = in_data;",
        f"  assign out_valid = {sink.name}_valid;",
        f"  assign {sink.name}_ready = out_ready;",
        f"  assign out_data = {sink.name}_data;",
    ]
    for stage in stages:
        ports = ["    .clk(clk), .rst(rst)"]
        for prefix, stream, _ in stage.ports():
            ports.append(
                ", ".join(
                    f".{prefix}_{part}({stream.name}_{part})" for part in ("valid", "ready", "data")
                ).join(("    ", ""))
            )
        lines += [f"  {modules[stage.name]} {stage.name} (", ",\n".join(ports), "  );"]
    lines += ["endmodule", ""]
    return "\n".join(lines) + "\n" + "\n".join(s.verilog(modules[s.name]) for s in stages)
