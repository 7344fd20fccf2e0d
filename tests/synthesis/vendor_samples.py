"""Reports in the form of Vitis HLS, Vivado and Quartus, with figures of our own.

As a program (``vendor_samples.py write FOLDER NAME STEP…``) it plays the tools that leave them.
"""

from __future__ import annotations

import sys
from pathlib import Path

PART = "xc7z020-clg400-1"

CSYNTH = """<profile>

<ReportVersion>
<Version>{version}</Version>
</ReportVersion>

<UserAssignments>
<unit>ns</unit>
<ProductFamily>zynq</ProductFamily>
<Part>{part}</Part>
<TopModelName>{top}</TopModelName>
<TargetClockPeriod>10.00</TargetClockPeriod>
<ClockUncertainty>2.70</ClockUncertainty>
<FlowTarget>vivado</FlowTarget>
</UserAssignments>

<PerformanceEstimates>
<PipelineType>dataflow</PipelineType>
<SummaryOfTimingAnalysis>
<unit>ns</unit>
<EstimatedClockPeriod>7.105</EstimatedClockPeriod>
</SummaryOfTimingAnalysis>
<SummaryOfOverallLatency>
<unit>clock cycles</unit>
<Best-caseLatency>{best}</Best-caseLatency>
<Average-caseLatency>{best}</Average-caseLatency>
<Worst-caseLatency>{worst}</Worst-caseLatency>
<Best-caseRealTimeLatency>0.180 us</Best-caseRealTimeLatency>
<DataflowPipelineThroughput>{ii}</DataflowPipelineThroughput>
<Interval-min>{ii}</Interval-min>
<Interval-max>{ii}</Interval-max>
</SummaryOfOverallLatency>
</PerformanceEstimates>

<AreaEstimates>
<Resources>
<BRAM_18K>{bram}</BRAM_18K>
<{dsp_tag}>{dsp}</{dsp_tag}>
<FF>{ff}</FF>
<LUT>{lut}</LUT>
<URAM>0</URAM>
</Resources>
<AvailableResources>
<BRAM_18K>280</BRAM_18K>
<{dsp_tag}>220</{dsp_tag}>
<FF>106400</FF>
<LUT>53200</LUT>
<URAM>0</URAM>
</AvailableResources>
</AreaEstimates>

<InterfaceSummary>
<RtlPorts>
<name>ap_clk</name>
<Object>{top}&lt;config2&gt;</Object>
<Type>return value</Type>
<Dir>in</Dir>
<Bits>1</Bits>
</RtlPorts>
</InterfaceSummary>

</profile>
"""

MODULES = {
    "dense_latency_ap_fixed_16_6_5_3_0_ap_fixed_14_5_5_3_0_config2_mult_s": (3, 1, 1400, 5000, 8),
    "dense_array_array_ap_fixed_24u_config2_s": (5, 1, 1450, 5200, 8),
    "relu_array_array_ap_fixed_24u_relu_config3_s": (1, 1, 20, 400, 0),
    "dense_array_array_ap_fixed_5u_config4_s": (4, 1, 30, 2200, 4),
    "Block_entry_proc": (0, 1, 2, 20, 0),
}
"""Latency, II, FF, LUT, DSP by module."""


def csynth(
    top: str,
    lut: int = 8000,
    ff: int = 1500,
    dsp: int = 12,
    bram: int = 4,
    latency: tuple[object, object] = (18, 20),
    ii: int = 1,
    version: str = "2023.2",
    part: str = PART,
) -> str:
    dsp_tag = "DSP" if version >= "2020" else "DSP48E"
    best, worst = latency
    return CSYNTH.format(**locals())


DESIGN_MODULE = """<Module>
<Name>{name}</Name>
<PerformanceEstimates>
<SummaryOfTimingAnalysis><EstimatedClockPeriod>2.440</EstimatedClockPeriod></SummaryOfTimingAnalysis>
<SummaryOfOverallLatency>
<Best-caseLatency>{latency}</Best-caseLatency>
<Worst-caseLatency>{latency}</Worst-caseLatency>
<PipelineInitiationInterval>{ii}</PipelineInitiationInterval>
</SummaryOfOverallLatency>
</PerformanceEstimates>
<AreaEstimates><Resources>
<FF>{ff}</FF><AVAIL_FF>234240</AVAIL_FF><UTIL_FF>~0</UTIL_FF>
<LUT>{lut}</LUT><BRAM_18K>0</BRAM_18K><DSP>{dsp}</DSP><URAM>0</URAM>
</Resources></AreaEstimates>
</Module>
"""


def design_csynth(top: str, **figures: object) -> str:
    """The report of the whole design with its modules (``csynth.xml`` of newer releases)."""
    modules = "".join(
        DESIGN_MODULE.format(
            name=name, latency=row[0], ii=row[1], ff=row[2], lut=row[3], dsp=row[4]
        )
        for name, row in MODULES.items()
    )
    text = csynth(top, version="2024.2", **figures)  # type: ignore[arg-type]
    return text.replace(
        "</profile>", f"<ModuleInformation>\n{modules}</ModuleInformation>\n</profile>"
    )


CSYNTH_TEXT = """

================================================================
== Vitis HLS Report for '{top}'
================================================================
* Date:           Wed May  6 12:33:09 2026

* Version:        2023.1 (Build 3854077 on May  4 2023)
* Project:        {top}_prj
* Solution:       solution1 (Vivado IP Flow Target)
* Product family: zynq
* Target device:  xc7z020-clg400-1


================================================================
== Performance Estimates
================================================================
+ Timing:
    * Summary:
    +--------+---------+----------+------------+
    |  Clock |  Target | Estimated| Uncertainty|
    +--------+---------+----------+------------+
    |ap_clk  |  5.00 ns|  3.649 ns|     1.35 ns|
    +--------+---------+----------+------------+

+ Latency:
    * Summary:
    +---------+---------+----------+----------+-----+-----+----------+
    |  Latency (cycles) |  Latency (absolute) |  Interval | Pipeline |
    |   min   |   max   |    min   |    max   | min | max |   Type   |
    +---------+---------+----------+----------+-----+-----+----------+
    |      690|      695|  3.450 us|  3.475 us|  578|  578|  dataflow|
    +---------+---------+----------+----------+-----+-----+----------+

    + Detail:
        * Instance:
        +------------------------+-----------------------+---------+---------+----------+----------+-----+-----+---------+
        |                        |                       |  Latency (cycles) |  Latency (absolute) |  Interval | Pipeline|
        |        Instance        |         Module        |   min   |   max   |    min   |    max   | min | max |   Type  |
        +------------------------+-----------------------+---------+---------+----------+----------+-----+-----+---------+
        |dense_array_config2_U0  |dense_array_config2_s  |       85|       85|  0.425 us|  0.425 us|   85|   85|       no|
        +------------------------+-----------------------+---------+---------+----------+----------+-----+-----+---------+

        * Loop:
        N/A



================================================================
== Utilization Estimates
================================================================
* Summary:
+-----------------+---------+------+--------+--------+-----+
|       Name      | BRAM_18K|  DSP |   FF   |   LUT  | URAM|
+-----------------+---------+------+--------+--------+-----+
|DSP              |        -|     -|       -|       -|    -|
|FIFO             |      332|     -|    2205|     727|    -|
|Instance         |        -|    29|   63676|   38387|    -|
+-----------------+---------+------+--------+--------+-----+
|Total            |      332|    29|   65881|   39116|    0|
+-----------------+---------+------+--------+--------+-----+
|Available        |      280|   220|  106400|   53200|    0|
+-----------------+---------+------+--------+--------+-----+
|Utilization (%)  |      118|    13|      61|      73|    0|
+-----------------+---------+------+--------+--------+-----+

+ Detail:
    * Instance:
    +------------------------+-----------------------+---------+----+-------+--------+-----+
    |        Instance        |         Module        | BRAM_18K| DSP|   FF  |   LUT  | URAM|
    +------------------------+-----------------------+---------+----+-------+--------+-----+
    |dense_array_config2_U0  |dense_array_config2_s  |        0|  29|   2474|    4428|    0|
    +------------------------+-----------------------+---------+----+-------+--------+-----+
    |Total                   |                       |        0|  29|  63676|   38387|    0|
    +------------------------+-----------------------+---------+----+-------+--------+-----+

    * FIFO:
    +---------------+---------+-----+----+-----+------+------+---------+
    |      Name     | BRAM_18K|  FF | LUT| URAM| Depth| Bits | Size:D*B|
    +---------------+---------+-----+----+-----+------+------+---------+
    |layer10_out_U  |       22|  153|   0|    -|    40|   384|    15360|
    +---------------+---------+-----+----+-----+------+------+---------+
    |Total          |      332| 2205|   0|    0|   927|  5860|   354976|
    +---------------+---------+-----+----+-----+------+------+---------+
"""

OLD_LATENCY = """    +-------+-------+-----+-----+----------+
    |    Latency    |  Interval | Pipeline |
    |  min  |  max  | min | max |   Type   |
    +-------+-------+-----+-----+----------+
    |     15|     15|    1|    1| function |
    +-------+-------+-----+-----+----------+
"""
"""The table of releases before 2019.2: no absolute times."""

HEADING = """Copyright 1986-2022 Xilinx, Inc. All Rights Reserved.
------------------------------------------------------------------------------------
| Tool Version : Vivado v.2023.2 (lin64) Build 4029153 Fri Oct 13 20:13:54 MDT 2023
| Date         : Tue Feb 27 21:58:34 2024
| Host         : somewhere running 64-bit Ubuntu 22.04.5 LTS
| Command      : {command}
| Design       : {design}
| Device       : {device}
| Speed File   : -1
| Design State : {state}
------------------------------------------------------------------------------------

"""

UTILISATION = """Utilization Design Information

Table of Contents
-----------------
1. Slice Logic
1.1 Summary of Registers by Type
2. Memory
3. DSP

1. Slice Logic
--------------

+----------------------------+--------+-------+------------+-----------+-------+
|          Site Type         |  Used  | Fixed | Prohibited | Available | Util% |
+----------------------------+--------+-------+------------+-----------+-------+
| Slice LUTs*                | {lut:6} |     0 |          0 |     53200 |  7.33 |
|   LUT as Logic             |   3800 |     0 |          0 |     53200 |  7.14 |
|   LUT as Memory            |    100 |     0 |          0 |     17400 |  0.57 |
| Slice Registers            | {ff:6} |     0 |          0 |    106400 |  1.31 |
|   Register as Flip Flop    |   1400 |     0 |          0 |    106400 |  1.31 |
| F7 Muxes                   |      0 |     0 |          0 |     26600 |  0.00 |
+----------------------------+--------+-------+------------+-----------+-------+
* Warning! The Final LUT count, after physical optimizations and full implementation, is lower.


1.1 Summary of Registers by Type
--------------------------------

+--------+--------------+-------------+--------------+
|  Total | Clock Enable | Synchronous | Asynchronous |
+--------+--------------+-------------+--------------+
| 0      |            _ |           - |            - |
+--------+--------------+-------------+--------------+


2. Memory
---------

+-------------------+------+-------+------------+-----------+-------+
|     Site Type     | Used | Fixed | Prohibited | Available | Util% |
+-------------------+------+-------+------------+-----------+-------+
| Block RAM Tile    |  1.5 |     0 |          0 |       140 |  1.07 |
|   RAMB36/FIFO*    |    1 |     0 |          0 |       140 |  0.71 |
|   RAMB18          |    1 |     0 |          0 |       280 |  0.36 |
+-------------------+------+-------+------------+-----------+-------+


3. DSP
------

+----------------+------+-------+------------+-----------+-------+
|    Site Type   | Used | Fixed | Prohibited | Available | Util% |
+----------------+------+-------+------------+-----------+-------+
| DSPs           |   12 |     0 |          0 |       220 |  5.45 |
|   DSP48E1 only |   12 |       |            |           |       |
+----------------+------+-------+------------+-----------+-------+


14. SLR CLB Logic and Dedicated Block Utilization
-------------------------------------------------

| Slice LUTs                 |    0 |    0 |   0.00 |   0.00 |
"""


def utilisation(design: str, state: str = "Synthesized", lut: int = 3900, ff: int = 1400) -> str:
    command = "report_utilization -file vivado_synth.rpt"
    return HEADING.format(
        command=command, design=design, device="xc7z020clg400-1", state=state
    ) + UTILISATION.format(lut=lut, ff=ff)


HIERARCHY = """Utilization Design Information

Table of Contents
-----------------
1. Utilization by Hierarchy

1. Utilization by Hierarchy
---------------------------

+-------------------------+---------------------------+---------------+---------------+-----------+-----------+---------------+-----------+-----------+--------------+
|         Instance        |           Module          |   Total LUTs  |   Logic LUTs  |  LUTRAMs  |    SRLs   |      FFs      |   RAMB36  |   RAMB18  | DSP48 Blocks |
+-------------------------+---------------------------+---------------+---------------+-----------+-----------+---------------+-----------+-----------+--------------+
| design_1_wrapper        |                     (top) | 7133(13.41%)  | 6700(12.59%)  | 120(0.69%)| 313(1.80%)| 6100(5.73%)   | 3(2.14%)  | 1(0.36%)  |  12(5.45%)   |
|   (design_1_wrapper)    |          design_1_wrapper |    0(0.00%)   |    0(0.00%)   |  0(0.00%) |  0(0.00%) |    0(0.00%)   | 0(0.00%)  | 0(0.00%)  |   0(0.00%)   |
|   inst                  |  design_1_axi_dma_0_0_dma | 1500(2.82%)   | 1400(2.63%)   |  0(0.00%) | 100(0.57%)| 2100(1.97%)   | 2(1.43%)  | 0(0.00%)  |   0(0.00%)   |
|   inst                  | design_1_{top}_0_0_{top}  | 3700(6.95%)   | 3600(6.77%)   |  0(0.00%) | 100(0.57%)| 1350(1.27%)   | 1(0.71%)  | 1(0.36%)  |  12(5.45%)   |
|     dense_config2_U0    |  design_1_x_dense_config2 | 2500(4.70%)   | 2500(4.70%)   |  0(0.00%) |  0(0.00%) |  900(0.85%)   | 0(0.00%)  | 0(0.00%)  |   8(3.64%)   |
+-------------------------+---------------------------+---------------+---------------+-----------+-----------+---------------+-----------+-----------+--------------+
"""


def hierarchy(top: str) -> str:
    return HEADING.format(
        command="report_utilization -file util.rpt -hierarchical -hierarchical_percentages",
        design="design_1_wrapper", device="xc7z020clg400-1", state="Routed",
    ) + HIERARCHY.format(top=top)  # fmt: skip


TIMING = """------------------------------------------------------------------------------------------------
| Design Timing Summary
| ---------------------
------------------------------------------------------------------------------------------------

    WNS(ns)      TNS(ns)  TNS Failing Endpoints  TNS Total Endpoints      WHS(ns)      THS(ns)  THS Failing Endpoints  THS Total Endpoints     WPWS(ns)     TPWS(ns)  TPWS Failing Endpoints  TPWS Total Endpoints  
    -------      -------  ---------------------  -------------------      -------      -------  ---------------------  -------------------     --------     --------  ----------------------  --------------------  
      2.479        0.000                      0                  723        0.022        0.000                      0                  723        2.225        0.000                       0                   333  


All user specified timing constraints are met.


------------------------------------------------------------------------------------------------
| Clock Summary
| -------------
------------------------------------------------------------------------------------------------

Clock       Waveform(ns)       Period(ns)      Frequency(MHz)
-----       ------------       ----------      --------------
clk_fpga_0  {0.000 5.000}      10.000          100.000         
"""  # noqa: W291


def timing(state: str = "Routed") -> str:
    return HEADING.format(
        command="report_timing_summary -file timing.rpt", design="net", device="7z020-clg400",
        state=state,
    ) + TIMING  # fmt: skip


COSIM = """Report time       : Wed May  6 12:33:41 PM EDT 2026.
Solution          : solution1.

+----------+----------+-----------------------------------------------+-----------------------------------------------+----------------------+
|          |          |             Latency(Clock Cycles)             |              Interval(Clock Cycles)           | Total Execution Time |
+   RTL    +  Status  +-----------------------------------------------+-----------------------------------------------+    (Clock Cycles)    +
|          |          |      min      |      avg      |      max      |      min      |      avg      |      max      |                      |
+----------+----------+-----------------------------------------------+-----------------------------------------------+----------------------+
|      VHDL|        NA|             NA|             NA|             NA|             NA|             NA|             NA|                    NA|
|   Verilog|{status:>10}|{low:>15}|{low:>15}|{high:>15}|{ii:>15}|{ii:>15}|{ii:>15}|                   800|
+----------+----------+-----------------------------------------------+-----------------------------------------------+----------------------+
"""


def cosim(status: str = "Pass", low: object = 17, high: object = 19, ii: object = 2) -> str:
    return COSIM.format(**locals())


TRANSACTIONS = """$SIMULATION 1
transaction        0:                   17                    x
transaction        1:                   19                    2
transaction        2:                   18                    3
"""

EXPORT = """<profile>
  <RunData>
    <RUN_TYPE>impl</RUN_TYPE>
    <VIVADO_VERSION>v.2024.2</VIVADO_VERSION>
    <ROOT_MODULE_CELL>bd_0_i/hls_inst</ROOT_MODULE_CELL>
  </RunData>
  <TimingReport>
    <TargetClockPeriod>10.000</TargetClockPeriod>
    <AchievedClockPeriod>8.500</AchievedClockPeriod>
    <TIMING_MET>TRUE</TIMING_MET>
    <WNS_FINAL>1.500</WNS_FINAL>
  </TimingReport>
  <AreaReport>
    <Resources>
      <BRAM>3</BRAM>
      <CLB>25</CLB>
      <DSP>12</DSP>
      <FF>1300</FF>
      <LUT>3600</LUT>
      <SRL>2</SRL>
      <URAM>0</URAM>
    </Resources>
    <AvailableResources>
      <BRAM>280</BRAM>
      <DSP>220</DSP>
      <FF>106400</FF>
      <LUT>53200</LUT>
    </AvailableResources>
  </AreaReport>
  <RtlModules>
    <RtlModule CELL="inst" DEPTH="0" IS_TOP="1" TYPE="function" MODULENAME="{top}" DISPNAME="inst">
      <SubModules count="1">dense_array_array_ap_fixed_24u_config2_U0</SubModules>
      <Resources BRAM="3" DSP="12" FF="1300" LUT="3600"/>
      <LocalResources FF="23"/>
    </RtlModule>
    <RtlModule CELL="inst/dense_U0" DEPTH="1" TYPE="function" MODULENAME="dense_array_array_ap_fixed_24u_config2_s">
      <Resources DSP="8" FF="800" LUT="2400"/>
    </RtlModule>
    <RtlModule CELL="inst/relu_U0" DEPTH="1" TYPE="function" MODULENAME="relu_array_array_ap_fixed_24u_relu_config3_s">
      <Resources FF="10" LUT="150"/>
    </RtlModule>
  </RtlModules>
  <GeneralInfo NAME="General Information">
    <item NAME="Target device" VALUE="xc7z020-clg400-1"/>
  </GeneralInfo>
</profile>
"""

SOURCE = """#include "net.h"
    nnet::load_weights_from_txt<fc1_weight_t, 384>(w2, "w2.txt");
    nnet::dense<input_t, layer2_t, config2>(x, layer2_out, w2, b2); // fc1
    nnet::relu<layer2_t, layer3_t, relu_config3>(layer2_out, layer3_out); // relu1
    nnet::dense<layer3_t, result_t, config4>(layer3_out, layer4_out, w4, b4); // fc2
"""

AREA_JS = """var areaJSON={"columns":["", "ALUTs", "FFs", "RAMs", "DSPs", "MLABs", "Details"], "type":"module", "total_percent":[1.5, 0.9, 0.5, 0.1, 0.0], "total":[6400, 7100, 12, 9, 3], "name":"Component System", "max_resources":[854400, 1708800, 2713, 1518, 0]};
var infoJSON={"name":"Info","rows":[{"name":"Project Name","data":["net"]},{"name":"Target Family, Device","data":["Arria 10, 10AX115U1F45I1SG"]},{"name":"Quartus Version","data":["19.4.0 Build 64"]}]};
var fileJSON=[{"path":"net.cpp", "content":"var x='it'; a\\nb"}];
"""

VERIFICATION_JS = """var verifJSON={"functions":[{"name":"net","data":[10, "21,24,22","3,4,3"]}]};
"""

QUARTUS_JS = """var quartusJSON={"quartusFitClockSummary":{"nodes":[{"name":"Quartus Fitter: Clock Frequency (MHz)","clock":"250.00","clock1x":"250.00","details":[{"text":""}],"type":"system"}]},"quartusFitResourceUsageSummary":{"nodes":[{"type":"component","id":"1010","name":"net","alm":"2900.5","reg":"6000","dsp":"9","ram":"10","mlab":"2"},{"type":"system","id":"1000","name":"Quartus Fitter: Full Design (All Components)","alm":"3000.0","reg":"6100","dsp":"9","ram":"11","mlab":"2"}]}};
"""

NO_QUARTUS_JS = """var quartusJSON={"quartusFitClockSummary":{"nodes":[{"name":"Quartus Fit Summary","clock":"TBD"}]},"quartusFitResourceUsageSummary":{"nodes":[{"name":"net","alm":"TBD","reg":"TBD","dsp":"TBD","ram":"TBD"}]}};
"""

FIT_SUMMARY = """Fitter Status : Successful - Sun Nov  1 10:00:00 2020
Quartus Prime Version : 19.4.0 Build 64 12/04/2019 SC Pro Edition
Revision Name : net
Top-level Entity Name : net
Family : Arria 10
Device : 10AX115U1F45I1SG
Timing Models : Final
Logic utilization (in ALMs) : 3,105 / 427,200 ( < 1 % )
Total registers : 6210
Total pins : 300 / 960 ( 31 % )
Total RAM Blocks : 11 / 2,713 ( < 1 % )
Total DSP Blocks : 9 / 1,518 ( < 1 % )
"""


def write(folder: Path, name: str = "net", steps: tuple[str, ...] = ("csynth", "vsynth")) -> Path:
    """Leave the reports of the steps in a project, as the tools would."""
    solution = folder / f"{name}_prj" / "solution1"

    def put(path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    if "csynth" in steps:
        report = solution / "syn" / "report"
        put(report / f"{name}_csynth.xml", csynth(name))
        for module, (latency, ii, ff, lut, dsp) in MODULES.items():
            text = csynth(module, lut, ff, dsp, 0, (latency, latency), ii)
            put(report / f"{module}_csynth.xml", text)
        put(solution / ".autopilot" / "db" / f"{name}.verbose.rpt", "no report")
        put(solution / "syn" / "verilog" / f"{name}.v", f"module {name}(); endmodule\n")
    if "cosim" in steps:
        put(solution / "sim" / "report" / f"{name}_cosim.rpt", cosim())
    if "vsynth" in steps:
        put(folder / "vivado_synth.rpt", utilisation(name))
    if "export" in steps:
        put(solution / "impl" / "ip" / f"xilinx_com_hls_{name}_1_0.zip", "zip")
    if "impl" in steps:
        put(
            solution / "impl" / "report" / "verilog" / "export_impl.xml",
            EXPORT.replace("{top}", name),
        )
    if "bitstream" in steps:
        put(folder / "util.rpt", hierarchy(f"{name}_axi"))
        runs = folder / f"{name}_vivado_accelerator" / "project_1.runs" / "impl_1"
        put(runs / "design_1_wrapper.bit", "bits")
        put(runs / "design_1_wrapper_timing_summary_routed.rpt", timing())
    return folder


if __name__ == "__main__":
    write(Path(sys.argv[2]), sys.argv[3], tuple(sys.argv[4:]))
