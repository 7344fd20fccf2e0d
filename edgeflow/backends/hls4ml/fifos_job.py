"""How deep the FIFOs of a stream design must be, without a vendor's tool.

The project's own C++ runs, with an ``hls::stream`` in place of the library's that gives each word
the cycle at which it is written and read: a read waits for its word, a layer starts a word each
``reuse factor`` cycles (or one), and a result comes out its pipeline's depth later. Words come in
as fast as the slowest layer takes them: faster ones would only fill FIFOs before it. The most words
that a FIFO then holds is the depth with which no layer waits that would not wait anyway.

Two things follow. A schedule exists in which no FIFO holds more; what layers read and write does
not depend on the values or on time, so that the order of words is the same in every run (Kahn
1974), and FIFOs of these depths cannot make the design stop for ever. That holds whatever the
cycles; the throughput is the slowest layer's as far as the cycles are right (`latencies`).
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeflow.backends.hls4ml import convert_job, csim_job
from edgeflow.backends.hls4ml.compilers import Compiler
from edgeflow.errors import ToolError

INFERENCES = 3
"""One after the other: the first fills the design, the last shows its pace."""
SPARE = 1
"""Words more than were seen, as hls4ml's own optimisation has."""
LEAST = 2
"""Words of the shallowest FIFO: an HLS tool makes no shallower one."""
HELPER = 2.0
"""Cycles through what is no layer of the model (copies, padding): an assumption."""
AXI_INPUT = "input_1"
"""What hls4ml calls the stream from the bus to the design."""
LIMIT = 600
"""Seconds of a run."""

SHARED = ("Conv1D", "Conv2D", "PointwiseConv1D", "PointwiseConv2D", "LSTM", "GRU")
"""hls4ml's classes that take a word each reuse factor cycles."""

STREAM = """\
#ifndef X_HLS_STREAM_SIM_H
#define X_HLS_STREAM_SIM_H
// By edgeflow: an hls::stream whose words have times.
#include <algorithm>
#include <deque>
#include <iostream>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace edgeflow {
struct Process { double read, write, latency, clock; };
struct Fifo { std::vector<double> in, out; };
static std::vector<Process> processes;
static std::map<std::string, Fifo> fifos;
static size_t current = 0;
inline void begin(size_t process) { current = process; }
} // namespace edgeflow

namespace hls {
template <typename T> class stream {
    std::deque<std::pair<T, double>> data;
    edgeflow::Fifo own, *seen;

  public:
    stream() : seen(&own) {}
    stream(const std::string &name) : seen(&edgeflow::fifos[name]) {}
    stream(const stream &) = delete;
    stream &operator=(const stream &) = delete;
    void operator>>(T &value) { value = read(); }
    void operator<<(const T &value) { write(value); }
    bool empty() { return data.empty(); }
    bool full() const { return false; }
    size_t size() { return data.size(); }
    void read(T &value) { value = read(); }
    T read() {
        if (data.empty()) {
            std::cerr << "a stream is read while it is empty" << std::endl;
            std::exit(3);
        }
        auto &process = edgeflow::processes[edgeflow::current];
        double time = std::max(process.clock, data.front().second);
        if (!seen->out.empty())
            time = std::max(time, seen->out.back() + process.read);
        process.clock = time;
        seen->out.push_back(time);
        T value = data.front().first;
        data.pop_front();
        return value;
    }
    bool read_nb(T &value) {
        if (data.empty())
            return false;
        value = read();
        return true;
    }
    void write(const T &value) {
        auto &process = edgeflow::processes[edgeflow::current];
        double time = process.clock + process.write - 1;
        if (!seen->in.empty())
            time = std::max(time, seen->in.back() - process.latency + 1);
        process.clock = time;
        seen->in.push_back(time + process.latency);
        data.emplace_back(value, time + process.latency);
    }
    bool write_nb(const T &value) {
        write(value);
        return true;
    }
};
} // namespace hls
#endif
"""

DRIVER = """\
// Runs the design, words coming every `pace` cycles; returns the cycles between the last results.
static double edgeflow_run(size_t in, size_t out, double pace, bool pipelined) {{
    edgeflow::processes = {{{processes}}};
    if (!pipelined)
        for (auto &process : edgeflow::processes)
            process.latency = 0;
    edgeflow::processes[0].write = pace + 1;
    edgeflow::fifos.clear();
    std::vector<float> x(in), y(out);
    double ends[2] = {{0, 0}};
    for (int i = 0; i < {inferences}; i++) {{
        edgeflow::begin(0);
        {call}
        ends[0] = ends[1];
        ends[1] = edgeflow::processes.back().clock;
    }}
    return ends[1] - ends[0];
}}

// The most words in each FIFO; one that is read in the cycle of a write still takes its place.
static void edgeflow_fill(std::map<std::string, size_t> &most) {{
    for (auto &item : edgeflow::fifos) {{
        const auto &in = item.second.in, &out = item.second.out;
        size_t left = 0, held = 0;
        for (size_t written = 0; written < in.size(); written++) {{
            while (left < out.size() && out[left] < in[written])
                left++;
            held = std::max(held, written + 1 - left);
        }}
        most[item.first] = std::max(most[item.first], held);
    }}
}}

int main() {{
    const size_t in = {n_in}, out = {n_out};
    const double interval = edgeflow_run(in, out, 0, true);
    const double words = double(edgeflow::fifos["{source}"].in.size()) / {inferences};
    if (words == 0 || interval <= 0) {{
        std::cerr << "nothing came through " << "{source}" << std::endl;
        return 4;
    }}
    std::map<std::string, size_t> most;
    for (bool pipelined : {{true, false}}) {{
        edgeflow_run(in, out, std::max(1.0, interval / words), pipelined);
        edgeflow_fill(most);
    }}
    std::cout << "{{\\"interval\\": " << interval << ", \\"fifos\\": {{";
    const char *comma = "";
    for (const auto &item : most) {{
        std::cout << comma << '"' << item.first << "\\": " << item.second;
        comma = ", ";
    }}
    std::cout << "}}}}" << std::endl;
    return 0;
}}
"""

SCRIPT = """\
#!/usr/bin/env python3
\"\"\"How full each FIFO got in the RTL co-simulation of Vitis HLS, beside its depth.

python3 fifo_depths.py [REPORTS] [--apply]

REPORTS: a folder of reports that edgeflow kept; else this project's own. Needs a synthesis with
`cosim 1` (build_opt.tcl) of two inputs or more. A FIFO that was full made its writer wait: for its
true need, synthesise with deeper ones. --apply writes the most words seen, and one more, as depths
into the C++.
\"\"\"

import re
import sys
import zipfile
from pathlib import Path

SOURCE = Path("firmware/{name}.cpp")
PLACE = next((a for a in sys.argv[1:] if a != "--apply"), ".")
FOUND = Path(PLACE, "{name}_prj/solution1/.autopilot/db")
PRAGMA = r"(#pragma HLS STREAM variable=(\\w+) depth=)(\\d+)"


def main():
    table, archive = FOUND / "channel_info.csv", FOUND / "channel_depth_info" / "channel.zip"
    for path in (table, archive):
        if not path.is_file():
            sys.exit(f"expected {{path}}, found none: run a synthesis with cosim 1 first")
    most = {{}}
    with zipfile.ZipFile(archive) as files:
        for line in table.read_text().splitlines():
            cells = [cell.strip() for cell in line.split(",")]
            if len(cells) > 3 and cells[3] in files.namelist():
                words = files.read(cells[3]).decode().split()
                most[cells[1].removesuffix("_U")] = int(words[-1])
    text = SOURCE.read_text()
    print(f"{{'FIFO':<24}} {{'depth':>8}} {{'most':>8}}")
    for _, name, depth in re.findall(PRAGMA, text):
        seen = most.get(name)
        full = "  full" if seen is not None and seen >= int(depth) else ""
        print(f"{{name:<24}} {{depth:>8}} {{'?' if seen is None else seen:>8}}{{full}}")
    if "--apply" in sys.argv[1:]:
        def deep(found):
            seen = most.get(found[2])
            return found[0] if seen is None else f"{{found[1]}}{{max(2, seen + 1)}}"

        SOURCE.write_text(re.sub(PRAGMA, deep, text))
        print(f"{{SOURCE}} has the new depths: synthesise again")


main()
"""


def measure(
    cxx: str, kind: Compiler, model: Any, name: str, latencies: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    """The depth of each FIFO of hls4ml's graph `model`.

    Args:
        cxx: the C++ compiler.
        kind: the HLS compiler; its streams are ``hls::stream``.
        model: hls4ml's.
        name: the top function's.
        latencies: cycles from a word to its result, by HLS layer.

    Returns:
        by stream of the C++: ``layer`` (the HLS layer that writes it), ``words`` (a whole
        tensor's: hls4ml's own depth), ``depth``.

    Raises:
        ToolError: the compiler or the program failed.
    """
    folder = Path("fifos")
    convert_job.write(model, str(folder), trace=False)
    (folder / "firmware" / "ap_types" / "hls_stream.h").write_text(STREAM)
    processes = ["{1, 1, 0, 0}"]  # what feeds it
    path = folder / "firmware" / f"{name}.cpp"
    text = path.read_text()
    for layer in model.get_layers():
        call = layer.get_attr("function_cpp", None)
        if not call:
            continue
        lines = [call] if isinstance(call, str) else list(call)
        first = f"    {lines[0]} // {layer.name}\n" if len(lines) == 1 else f"    // {layer.name}\n"
        before, found, after = text.partition(first)
        if not found:
            raise ToolError(f"the call of layer '{layer.name}' is not in hls4ml's sources")
        text = f"{before}    edgeflow::begin({len(processes)});\n{first}{after}"
        processes.append(_process(layer, latencies.get(layer.name, HELPER)))
    head, brace, tail = text.rpartition("}")
    path.write_text(f"{head}    edgeflow::begin({len(processes)});\n{brace}{tail}")
    processes.append("{1, 1, 0, 0}")  # what takes its results
    inputs, outputs = model.get_input_variables(), model.get_output_variables()
    axi = kind.name == "vivado_accelerator"
    driver = DRIVER.format(
        processes=", ".join(processes),
        inferences=INFERENCES,
        call=f"{name}_float(x.data(), y.data());",
        n_in=inputs[0].size(),
        n_out=outputs[0].size(),
        source=AXI_INPUT if axi else inputs[0].name,
    )
    program = csim_job.build(cxx, kind, name, folder, driver)
    try:
        done = subprocess.run(
            [str(program.resolve())], cwd=folder / "firmware", capture_output=True, text=True,
            check=False, timeout=LIMIT,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ToolError(f"the schedule of the streams did not end in {LIMIT} s") from None
    if done.returncode != 0:
        raise ToolError("the schedule of the streams failed", details=done.stderr.splitlines()[-3:])
    most = json.loads(done.stdout.splitlines()[-1])["fifos"]
    return {
        variable.name: {
            "layer": layer.name,
            "words": int(variable.pragma[1]),
            "depth": max(LEAST, most[variable.name] + SPARE),
        }
        for layer in model.get_layers()
        for variable in layer.get_variables()
        if convert_job.is_fifo(variable) and variable.name in most
        and variable not in (*inputs, *outputs)
    }  # fmt: skip


def _process(layer: Any, latency: float) -> str:
    """What a layer takes: cycles from word to word in, before a word out, and to its result."""
    reuse = float(layer.get_attr("reuse_factor", 1) or 1)
    shared = layer.class_name in SHARED or layer.class_name.startswith("Depthwise")
    read, write = (reuse, 1.0) if shared else (1.0, reuse if layer.class_name == "Dense" else 1.0)
    return f"{{{read:g}, {write:g}, {latency:g}, 0}}"
