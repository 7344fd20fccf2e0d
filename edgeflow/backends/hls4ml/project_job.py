"""What makes hls4ml's output a project for a person: test data, a test bench that can fail, a
README, scripts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow.backends.fixed_job import Array, held, parse
from edgeflow.backends.hls4ml import fifos_job, readme_job
from edgeflow.backends.hls4ml.compilers import COMPILERS, Compiler

TESTS = 1000
"""Rows of test bench data at most."""
TEST_VALUES = 2_000_000
"""Numbers in the test bench's input file at most."""

TEST_MACS = 500_000_000
"""Multiply-accumulates that the C simulation of the test bench's inputs may take."""
FLOAT32 = 24
"""Bits that float32 holds exactly."""

OPTIONS = {
    **dict.fromkeys(("reset", "csim", "synth"), 1),
    **dict.fromkeys(("cosim", "validation", "export", "vsynth", "fifo_opt"), 0),
}

RUN = """\
#!/bin/sh
# Builds the test bench with a C++ compiler and the headers in this project, and runs it on tb_data.
set -e
cd "$(dirname "$0")"
${{CXX:-g++}} -std=c++17 -O2 -w -DWEIGHTS_DIR='"firmware/weights"' {include} \\
    {sources} -o testbench
./testbench{arguments}
"""

COMPARE = """\
// By edgeflow: whether the results are the model's own outputs, as far as the types allow.
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>

static bool edgeflow_check(const std::string &results, const char *expected, const char *whose,
                           const double allowed) {{
    std::ifstream found(results.c_str()), wanted(expected);
    if (!wanted.is_open())
        return true; // nothing is expected
    std::string have, want;
    double worst = 0;
    unsigned rows = 0, missing = 0;
    while (std::getline(wanted, want)) {{
        if (!std::getline(found, have)) {{
            missing++;
            continue;
        }}
        const char *a = have.c_str(), *b = want.c_str();
        char *end_a, *end_b;
        for (;;) {{
            const double x = std::strtod(a, &end_a), y = std::strtod(b, &end_b);
            if (end_b == b) // no more numbers are expected
                break;
            const double gap = end_a == a ? INFINITY : std::fabs(x - y);
            if (!(gap <= worst)) // NaN too
                worst = gap == gap ? gap : INFINITY;
            a = end_a;
            b = end_b;
        }}
        rows++;
    }}
    const bool passed = rows > 0 && !missing && worst <= allowed;
    std::cout << (passed ? "PASSED: " : "FAILED: ") << rows << " inputs, largest difference "
              << worst << " from " << whose << " (allowed " << allowed << ")";
    if (missing)
        std::cout << ", " << missing << " results are missing";
    std::cout << std::endl;
    return passed;
}}

static int edgeflow_compare(const std::string &results) {{
    const bool same =
        edgeflow_check(results, "tb_data/tb_output_predictions.dat", "{whose}", {exact:.9g});
    const bool near =
        edgeflow_check(results, "tb_data/tb_output_model.dat", "the model", {allowed:.9g});
    return same && near ? 0 : 1;
}}

"""

ENQUEUE = """\
#ifndef __INTELFPGA_COMPILER__ // a plain C++ compiler: call the function at once
#define ihc_hls_enqueue(result, function, ...) (*(result) = (*(function))(__VA_ARGS__))
#define ihc_hls_enqueue_noret(function, ...) (*(function))(__VA_ARGS__)
#define ihc_hls_component_run_all(function)
#endif

"""
"""What Intel's HLS compiler adds to C++, in hls4ml's test bench for it."""


def bench_inputs(golden: Mapping[str, Array], kind: str, macs: int) -> Array:
    """The inputs of the test bench, as the design's input type holds them (float32, n x size)."""
    if "x" not in golden:
        return np.zeros((0, 1), np.float32)
    x = golden["x"].reshape(len(golden["x"]), -1)
    most = min(TESTS, TEST_VALUES // max(1, x.shape[1]), TEST_MACS // max(1, macs))
    return held(x[: max(1, most)], parse(kind)).astype(np.float32)


def finish(
    project: Path,
    params: dict[str, Any],
    result: dict[str, Any],
    golden: dict[str, Array],
    x: Array,
    simulated: Array | None,
) -> None:
    """Add test data, scripts and the README to the project that hls4ml wrote.

    Args:
        project: its folder.
        params: the compile job's.
        result: the compile job's.
        golden: the golden vectors.
        x: the test bench's inputs (`bench_inputs`), the first golden ones.
        simulated: what the C simulation gives for them; None where there is none.
    """
    compiler = COMPILERS[params["compiler"]]
    rows = len(x)
    allowed = _allowed(result)
    exact = allowed
    if rows:
        data = project / "tb_data"
        _write_rows(data / "tb_input_features.dat", x)
        y = golden["y"].reshape(len(golden["y"]), -1)[:rows]
        if simulated is None:
            _write_rows(data / "tb_output_predictions.dat", y)
        else:
            _write_rows(data / "tb_output_predictions.dat", simulated)
            _write_rows(data / "tb_output_model.dat", y)
            exact = _text_error(result)
    bench = project / f"{params['name']}_test.cpp"
    if compiler.name == "oneapi":
        bench = project / "src" / bench.name
    _judge(bench, exact, allowed, "the model" if simulated is None else "the C simulation")
    if compiler.unsimulated is None:
        _script(project, params["name"], compiler)
    _build_options(project, compiler, params["fifo_depth"] == "optimize")
    _fifos(project, params, result)
    if compiler.name == "vivado_accelerator":
        _accelerator(project, params)
    readme = readme_job.text(params, result, rows, allowed)
    (project / "README.md").write_text(readme)


def _allowed(result: Mapping[str, Any]) -> float:
    """The largest difference that the bench lets pass (results are rounded to text)."""
    return float((0.05 if result["inexact"] else 1e-6) * max(result["scale"], 1e-3))


def _text_error(result: Mapping[str, Any]) -> float:
    """The largest difference of two equal results as text: the C simulation gives float32."""
    wide = parse(result["result_type"]).width > FLOAT32 if result["result_type"] else True
    return float(2.0**-FLOAT32 * result["scale"]) if wide else 0.0


def _judge(bench: Path, exact: float, allowed: float, whose: str) -> None:
    """Let hls4ml's test bench fail on a difference: it only writes the results down."""
    text = bench.read_text()
    head, found, tail = text.rpartition("return 0;")
    log = "RESULTS_LOG"
    if not found or f"std::string {log}" not in text:
        return  # SmartHLS's own form
    opened = f"std::ofstream fout({log});"
    head = head.replace(opened, f"{opened}\n    fout.precision(17);", 1)
    text = f"{head}return edgeflow_compare({log});{tail}"
    place = text.find("int main(") if "int main(" in text else text.find("CCS_MAIN(")
    added = (ENQUEUE if "ihc_hls_" in text else "") + COMPARE.format(
        exact=exact, allowed=allowed, whose=whose
    )
    bench.write_text(text[:place] + added + text[place:])


def _script(project: Path, name: str, compiler: Compiler) -> None:
    sources = [f"{name}_test.cpp", f"firmware/{name}.cpp"]
    if compiler.name == "vivado_accelerator":
        sources.append(f"firmware/{name}_axi.cpp")
    arguments = ""
    if compiler.name == "catapult":
        files = (
            "firmware/weights",
            *(f"tb_data/tb_{f}.dat" for f in ("input_features", "output_predictions")),
        )
        arguments = " " + " ".join(files)
    script = project / "run_testbench.sh"
    script.write_text(
        RUN.format(
            include=" ".join(f"-I{path}" for path in compiler.include),
            sources=" ".join(sources),
            arguments=arguments,
        )
    )
    script.chmod(0o755)


def _fifos(project: Path, params: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    """What was found of the FIFOs, and what reads what the vendor's tool finds."""
    if result["fifo_depths"]:
        text = json.dumps(result["fifo_depths"], indent=1, sort_keys=True)
        (project / "fifo_depths.json").write_text(f"{text}\n")
    if params["io"] == "stream" and params["compiler"] == "vitis":
        script = project / "fifo_depths.py"
        script.write_text(fifos_job.SCRIPT.format(name=params["name"]))


def _build_options(project: Path, compiler: Compiler, fifos: bool) -> None:
    """The RTL co-simulation takes minutes to hours: it is run when it is asked for; then it
    records `fifos`' fill where their depths are to be found."""
    build = project / "build_prj.tcl"
    if compiler.name == "vitis":
        options = {**OPTIONS, "fifo_opt": int(fifos)}
        switches = "".join(f"    {name:<10} {value}\n" for name, value in options.items())
        (project / "build_opt.tcl").write_text("array set opt {\n" + switches + "}\n")
    elif compiler.name in ("vivado", "vivado_accelerator"):
        script = build.read_text()
        for name in ("cosim", "validation"):
            script = script.replace(f"    {name:<10} 1", f"    {name:<10} 0")
        if fifos:
            script = script.replace(f"    {'fifo_opt':<10} 0", f"    {'fifo_opt':<10} 1")
        build.write_text(script)


def _accelerator(project: Path, params: Mapping[str, Any]) -> None:
    """What hls4ml 1.3.0 gets wrong around the core: names and widths that do not match."""
    for path in sorted(project.glob("src/myproject*")):  # the script looks for the project's name
        path.rename(path.with_name(path.name.replace("myproject", params["name"])))
    for path in sorted(project.glob("src/*")):
        text = path.read_text()
        if "myproject" in text:
            path.write_text(text.replace("myproject", params["name"]))
    header = project / "firmware" / f"{params['name']}_axi.h"
    text = header.read_text()
    for word in ("in", "out"):  # the bench prints results with it: one number, as the others do
        text = text.replace(
            f'stream << "{{ data: " << {word}.data << ", last: " << {word}.last << " }}"'
            " << std::endl;",
            f"stream << {word}.data;",
        )
    header.write_text(text)
    tcl = project / "project.tcl"
    text = tcl.read_text()
    # The input's width is written as the output's, and the other way round.
    swapped = {"bit_width_hls_output": "bit_width_hls_input"}
    for one, other in swapped.items():
        text = text.replace(f"set {one} ", "set @ ").replace(f"set {other} ", f"set {one} ")
        text = text.replace("set @ ", f"set {other} ")
    tcl.write_text(text)


def _write_rows(path: Path, values: Array) -> None:
    path.parent.mkdir(exist_ok=True)
    np.savetxt(path, values, fmt="%.17g")
