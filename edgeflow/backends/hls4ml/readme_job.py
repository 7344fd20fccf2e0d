"""The README of an HLS project: every command, what it computes, how exact it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeflow.backends.hls4ml.compilers import COMPILERS

XILINX = """\
    {run}

in this folder runs the C simulation and the synthesis. The reports will be in
`{name}_prj/solution1/syn/report/` (`{top}_csynth.rpt`, `.xml`). Further steps:

| step | {how} |
|---|---|
| C simulation of the vendor's tool | `csim` |
| C synthesis: latency, area | `synth` |
| RTL co-simulation, on `tb_data` | `cosim` |
| whether it gave what the C simulation gave | `validation` |
| the IP core, `{name}_prj/solution1/impl/ip` | `export` |
| logic synthesis by Vivado: the true area (`vivado_synth.rpt`) | `vsynth` |
| record how full the FIFOs get (io_stream, with `cosim`) | `fifo_opt` |
"""

VITIS = "vitis-run --mode hls --tcl build_prj.tcl"
VIVADO = "vivado_hls -f build_prj.tcl"
OLDER = (
    "\nThe command is of release 2023.2 and newer; before, it is `vitis_hls -f build_prj.tcl`.\n"
)
VIVADO_ALL = (
    "\nSwitches may stand on the command line:\n\n"
    f'    {VIVADO} "reset=1 csim=1 synth=1 cosim=1 validation=1 export=1 vsynth=1"\n'
)

BITSTREAM = """
## Bitstream

    {core}
    vivado -mode batch -source design.tcl

The first exports the IP core with its {interface} ports; the second puts it beside the processor
and makes the bitstream (`{name}_vivado_accelerator/project_1.runs/impl_1/design_1_wrapper.bit`)
and its description (`….gen/sources_1/bd/design_1/hw_handoff/design_1.hwh`).
{driver}"""
XCLBIN = """
## Bitstream (xclbin)

    {core}
    mkdir -p xo_files xclbin_files
    vivado -mode batch -source design.tcl
    v++ -t hw --platform {platform} --link xo_files/{name}_kernel.xo \\
        -o xclbin_files/{name}_kernel.xclbin --user_ip_repo_paths {name}_prj/solution1/impl/ip

The first exports the IP core, the third makes a kernel of it, the last links it for the card's
platform.
{driver}"""
DRIVER = """
`{file}` is the PYNQ driver: copy it with the bitstream to the board, and there

    from {module} import NeuralNetworkOverlay
    overlay = NeuralNetworkOverlay({arguments})
    outputs = overlay.predict(x)
"""

OTHERS = {
    "quartus": """\
    make {name}-fpga

compiles it for the device with Intel's HLS compiler (`i++`, of Quartus Prime; Intel ended it
after release 24.1), and writes `{name}-fpga.prj/reports/report.html`. Then

    ./{name}-fpga

runs the RTL co-simulation on `tb_data`: latency and initiation interval. And

    make {name}-fpga QUARTUS_COMPILE=--quartus-compile

places and routes it: the true area and clock. The IP core is in `{name}-fpga.prj/components/`.
""",
    "catapult": """\
    catapult -product ultra -shell -f build_prj.tcl -eval 'set ::argv "csim=1 synth=1"'

runs the C simulation and the synthesis. Further words for it: `cosim=1 validation=1` (RTL
co-simulation), `vsynth=1` (logic synthesis by Vivado), `bitfile=1`, `power=1`.
""",
    "oneapi": """\
    mkdir build && cd build && cmake ..
    make fpga_emu && ./{name}.fpga_emu
    make report
    make fpga_sim && ./{name}.fpga_sim
    make fpga

with Intel's oneAPI toolkit (`icpx`) and its FPGA add-on on PATH: the emulation on `tb_data`, the
report of the early synthesis, the RTL co-simulation, the bitstream (hours).
""",
    "libero": """\
    shls -s sw_compile && shls -s sw_run
    shls -s hw
    shls -s cosim
    shls -s rtl_synth
    shls -s fpga

with Microchip's SmartHLS (of Libero SoC) on PATH: the C simulation on `tb_data`, the synthesis,
the RTL co-simulation, logic synthesis, place and route.
""",
}


def text(params: Mapping[str, Any], result: Mapping[str, Any], rows: int, allowed: float) -> str:
    """The whole README; `rows` of test data, compared with `allowed` difference."""
    name, compiler = params["name"], COMPILERS[params["compiler"]]
    table = [
        f"| {layer} | {types.get('result', '')} | {types.get('weight', types.get('scale', ''))} "
        f"| {types.get('bias', '')} | {types.get('accum', '')} |"
        for layer, types in result["types"].items()
    ]
    reuse = [
        f"- {layer}: strategy {item['strategy']}, reuse factor {item['used']}"
        + (f" (asked for: {item['asked']})" if item["asked"] != item["used"] else "")
        for layer, item in result["reuse_factors"].items()
    ]
    return f"""# {name}: an HLS project for {compiler.tool}

A neural network as C++ for high-level synthesis, made by edgeflow with hls4ml {result["version"]}.

{_facts(params, result)}
## Synthesise

{_synthesis(params, result)}
## Test

{_tests(params, result, rows, allowed)}
## Types

| layer | result | weight | bias | accumulator |
|---|---|---|---|---|
{chr(10).join(table)}

## Reuse

{chr(10).join(reuse) or "There is no layer with multipliers to share."}
"""


def _facts(params: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    name = params["name"]
    source = COMPILERS[params["compiler"]].sources
    lines = [
        f"part: `{params['part']}`",
        f"clock: {params['clock_ns']:g} ns ({1000 / params['clock_ns']:g} MHz)",
        f"interface: io_{params['io']}",
        f"an input is rounded to `{result['input_type']}`",
        f"the network's function: `{source}/{name}.cpp`; its types: `{source}/defines.h`",
    ]
    if params["compiler"] == "vivado_accelerator":
        axi = params["axi"]
        lines[0] = f"board: {axi['board']}"
        lines.append(
            f"the accelerator: `firmware/{name}_axi.cpp`, {axi['interface']} ports of "
            f"{axi['input_type']} and {axi['output_type']}"
        )
    return "".join(f"- {line}\n" for line in lines)


def _synthesis(params: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    name, compiler = params["name"], params["compiler"]
    if compiler in OTHERS:
        return OTHERS[compiler].format(name=name)
    top = f"{name}_axi" if compiler == "vivado_accelerator" else name
    vitis = compiler == "vitis"
    how = "switch in `build_opt.tcl`" if vitis else "switch in `build_prj.tcl`"
    run = VITIS if vitis else VIVADO
    found = XILINX.format(run=run, name=name, top=top, how=how) + (OLDER if vitis else VIVADO_ALL)
    found += _fifos(params, result)
    return found + (_bitstream(params) if compiler == "vivado_accelerator" else "")


def _fifos(params: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    if params["io"] != "stream":
        return ""
    found = "\n## FIFOs\n\n"
    if result["fifo_depths"]:
        words = sum(item["words"] for item in result["fifo_depths"].values())
        depths = sum(item["depth"] for item in result["fifo_depths"].values())
        found += (
            f"Their depths ({depths:,} words in all; whole tensors: {words:,}) come from a "
            "schedule of this C++, not from a synthesis: `fifo_depths.json`.\n"
        )
    elif not params["fifo_depth"]:
        found += "Each holds a whole tensor.\n"
    if params["compiler"] == "vitis":
        return found + (
            "After a synthesis with `cosim 1`, `python3 fifo_depths.py` shows how full each was, "
            "and `python3 fifo_depths.py --apply` writes these depths into the C++.\n"
        )
    return found + (
        f"With `fifo_opt` and `cosim`, `{params['name']}_prj/solution1/sim/verilog/fifo_opt.vcd` "
        "records how full each gets.\n"
    )


def _bitstream(params: Mapping[str, Any]) -> str:
    name, axi = params["name"], params["axi"]
    core = f'{VIVADO} "reset=1 csim=1 synth=1 export=1"'
    alveo = axi["board"].startswith("alveo")
    driver = ""
    if axi["interface"] == "axi_stream":
        file = "axi_stream_driver.py"
        arguments = f"'{name}_kernel.xclbin'" if alveo else "'design_1.bit', x.shape, y_shape"
        driver = DRIVER.format(file=file, module=file.removesuffix(".py"), arguments=arguments)
    template = XCLBIN if alveo else BITSTREAM
    return template.format(
        core=core, name=name, driver=driver, interface=axi["interface"],
        platform=axi["platform"] or "PLATFORM",
    )  # fmt: skip


def _tests(params: Mapping[str, Any], result: Mapping[str, Any], rows: int, allowed: float) -> str:
    if not rows:
        return (
            "No test data was given; put rows of numbers into `tb_data/tb_input_features.dat`, and "
            "the outputs expected into `tb_data/tb_output_predictions.dat`.\n"
        )
    exact = (
        "Every type holds the model's own values exactly: the outputs are the model's, to the bit "
        "(the bench compares numbers written as text"
        if not result["inexact"]
        else "Some types round more than the model does ("
        + ", ".join(result["inexact"][:6])
        + (", …" if len(result["inexact"]) > 6 else "")
        + "; the bench"
    )
    said = f"{exact} and allows {allowed:.3g}).\n"
    if result["unsimulated"]:
        return (
            f"`tb_data` holds {rows} inputs and the model's own outputs for them. The project was "
            f"not simulated here: {result['unsimulated']}.\n\n{said}"
        )
    return (
        f"`tb_data` holds {rows} inputs on the design's own grid "
        f"(`{result['input_type']}`), what the C simulation gives for them "
        "(`tb_output_predictions.dat`) and what the model gives (`tb_output_model.dat`). With a "
        "C++ compiler alone:\n\n    ./run_testbench.sh\n\nbuilds the test bench against the "
        "headers in this project, runs it, and fails where an output is not the C simulation's to "
        "the bit (one of more than 24 bits: as float32 holds it), or too far from the model's. The "
        "same bench runs in the C simulation and the RTL co-simulation of "
        f"{COMPILERS[params['compiler']].tool}.\n\n{said}"
    )
