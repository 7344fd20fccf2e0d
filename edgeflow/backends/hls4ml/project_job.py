"""What makes hls4ml's output a project for a person: test data, a README, scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgeflow.backends.fixed_job import Array

TESTS = 1000
"""Rows of test bench data at most."""
TEST_VALUES = 2_000_000
"""Numbers in the test bench's input file at most."""

COMMANDS = {
    "vitis": "vitis-run --mode hls --tcl build_prj.tcl",
    "vivado": "vivado_hls -f build_prj.tcl",
}
OPTIONS = {
    **dict.fromkeys(("reset", "csim", "synth"), 1),
    **dict.fromkeys(("cosim", "validation", "export", "vsynth", "fifo_opt"), 0),
}

RUN = """\
#!/bin/sh
# Builds the test bench with g++ and the bundled ap_types, runs it on tb_data, compares.
set -e
cd "$(dirname "$0")"
${{CXX:-g++}} -std=c++17 -O2 -w -DWEIGHTS_DIR='"firmware/weights"' -Ifirmware/ap_types \\
    {name}_test.cpp firmware/{name}.cpp -o testbench
./testbench
python3 compare.py
"""

COMPARE = '''\
"""Compare the test bench's results with the model's own outputs. Needs Python 3 alone."""

import sys
from pathlib import Path

ALLOWED = {allowed!r}
folder = Path(__file__).resolve().parent / "tb_data"


def rows(name):
    return [[float(word) for word in line.split()] for line in (folder / name).open()]


wanted, found = rows("tb_output_predictions.dat"), rows("csim_results.log")
if len(wanted) != len(found):
    sys.exit("expected %d rows, found %d: did the test bench run?" % (len(wanted), len(found)))
worst = max(abs(a - b) for x, y in zip(wanted, found) for a, b in zip(x, y))
same = sum(x.index(max(x)) == y.index(max(y)) for x, y in zip(wanted, found)) / len(wanted)
print("%d inputs: largest difference %g (allowed %g), same class %.2f%%"
      % (len(wanted), worst, ALLOWED, 100 * same))
sys.exit(worst > ALLOWED)
'''


def finish(
    project: Path, params: dict[str, Any], result: dict[str, Any], golden: dict[str, Array]
) -> None:
    """Add test data, scripts and the README to the project that hls4ml wrote."""
    rows = 0
    if "x" in golden:
        x = golden["x"].reshape(len(golden["x"]), -1)
        rows = max(1, min(len(x), TESTS, TEST_VALUES // max(1, x.shape[1])))
        _write_rows(project / "tb_data" / "tb_input_features.dat", x[:rows])
        y = golden["y"].reshape(len(golden["y"]), -1)
        _write_rows(project / "tb_data" / "tb_output_predictions.dat", y[:rows])
        # The bench prints six digits; where types round, allow what the report allows.
        allowed = (0.05 if result["inexact"] else 1e-5) * max(result["scale"], 1e-3)
        (project / "compare.py").write_text(COMPARE.format(allowed=allowed))
        script = project / "run_testbench.sh"
        script.write_text(RUN.format(name=params["name"]))
        script.chmod(0o755)
    switches = "".join(f"    {name:<10} {value}\n" for name, value in OPTIONS.items())
    text = "array set opt {\n" + switches + "}\n"
    build = project / "build_prj.tcl"
    if params["compiler"] == "vitis":
        (project / "build_opt.tcl").write_text(text)
    else:
        build.write_text(_without_cosim(build.read_text()))
    (project / "README.md").write_text(_readme(params, result, rows))


def _without_cosim(script: str) -> str:
    """Vivado's script runs the RTL co-simulation by default, which takes minutes to hours."""
    for name in ("cosim", "validation"):
        script = script.replace(f"    {name:<10} 1", f"    {name:<10} 0")
    return script


def _write_rows(path: Path, values: Array) -> None:
    path.parent.mkdir(exist_ok=True)
    np.savetxt(path, values, fmt="%.9g")


def _readme(params: dict[str, Any], result: dict[str, Any], rows: int) -> str:
    name = params["name"]
    table = [
        f"| {layer} | {types.get('result', '')} | {types.get('weight', types.get('scale', ''))} "
        f"| {types.get('bias', '')} | {types.get('accum', '')} |"
        for layer, types in result["types"].items()
    ]
    reuse = [
        f"- {layer}: strategy {item['strategy']}, reuse factor {item['used']}"
        for layer, item in result["reuse_factors"].items()
    ]
    switches = "build_opt.tcl" if params["compiler"] == "vitis" else "build_prj.tcl"
    tool = {"vitis": "Vitis HLS", "vivado": "Vivado HLS"}[params["compiler"]]
    older = (
        " (with a release before 2023.2: `vitis_hls -f build_prj.tcl`)"
        if params["compiler"] == "vitis"
        else ""
    )
    tests = (
        f"`tb_data` holds {rows} inputs and the model's own outputs for them. With a C++ compiler "
        "alone:\n\n    ./run_testbench.sh\n\nbuilds the test bench against the bundled `ap_types`, "
        "runs it, and compares.\n"
        if rows
        else "No test data was given; put rows of numbers into `tb_data/tb_input_features.dat`.\n"
    )
    return f"""# {name}: an HLS project for {tool}

A neural network as C++ for high-level synthesis, made by edgeflow with hls4ml {result["version"]}.

- part: `{params["part"]}`
- clock: {params["clock_ns"]:g} ns ({1000 / params["clock_ns"]:g} MHz)
- interface: io_{params["io"]}
- the network's function: `firmware/{name}.cpp`; its types: `firmware/defines.h`

## Synthesise

    {COMMANDS[params["compiler"]]}

in this folder{older} runs the C simulation and the synthesis. `{switches}` switches its steps
(RTL co-simulation, IP export, logic synthesis). The reports will be in
`{name}_prj/solution1/syn/report/` (`{name}_csynth.rpt`, `.xml`).

## Test

{tests}
## Types

| layer | result | weight | bias | accumulator |
|---|---|---|---|---|
{chr(10).join(table)}

## Reuse

{chr(10).join(reuse) or "There is no layer with multipliers to share."}
"""
