"""Reports of vendors' tools: what they say is read; what is damaged is named."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from edgeflow.errors import InputError
from edgeflow.synthesis import vendor_hls, vendor_intel, vendor_vivado
from edgeflow.synthesis.vendor_reports import FORMAT, gather

spec = importlib.util.spec_from_file_location(
    "vendor_samples", Path(__file__).with_name("vendor_samples.py")
)
assert spec is not None
samples = importlib.util.module_from_spec(spec)
sys.modules["vendor_samples"] = samples
spec.loader.exec_module(samples)  # type: ignore[union-attr]


def test_a_project_after_every_step(tmp_path: Path) -> None:
    samples.write(tmp_path, "net", ("csynth", "cosim", "vsynth"))
    (tmp_path / "firmware").mkdir()
    (tmp_path / "firmware" / "net.cpp").write_text(samples.SOURCE)
    found = gather(tmp_path)
    assert found["format"] == FORMAT
    assert (found["top"], found["part"]) == ("net", "xc7z020-clg400-1")
    assert found["clock_target_ns"] == 10
    hls, logic, cosim = found["hls"], found["logic"], found["cosim"]
    assert (hls["tool"], hls["version"]) == ("Vitis HLS", "2023.2")
    assert (hls["lut"], hls["ff"], hls["dsp"], hls["bram_18k"]) == (8000, 1500, 12, 4)
    assert (hls["available_lut"], hls["clock_ns"]) == (53200, 7.105)
    assert (hls["latency_cycles"], hls["ii"]) == ([18, 20], [1, 1])
    assert (logic["tool"], logic["version"], logic["stage"]) == ("Vivado", "2023.2", "synthesised")
    assert (logic["lut"], logic["ff"], logic["dsp"], logic["bram_18k"]) == (3900, 1400, 12, 3)
    assert (logic["available_lut"], logic["available_bram_18k"]) == (53200, 280)
    assert cosim == {
        "rtl": "verilog", "passed": True, "latency_cycles": [17, 19], "ii": [2, 2],
    }  # fmt: skip
    assert found["system"] is None
    assert [(row["number"], row["layer"]) for row in found["layers"]] == [
        (2, "fc1"), (3, "relu1"), (4, "fc2"),
    ]  # fmt: skip
    first = found["layers"][0]  # the outer module, which holds the inner one
    assert first["module"] == "dense_array_array_ap_fixed_24u_config2_s"
    assert first["hls"]["lut"] == 5200
    assert first["hls"]["latency_cycles"] == [5, 5]
    assert "net_prj/solution1/syn/report/net_csynth.xml" in found["files"]
    assert not any(".autopilot" in name for name in found["files"])
    json.dumps(found, allow_nan=False)


def test_place_and_route_wins_over_synthesis(tmp_path: Path) -> None:
    samples.write(tmp_path, "net", ("csynth", "vsynth", "impl"))
    found = gather(tmp_path)
    logic = found["logic"]
    assert (logic["stage"], logic["lut"], logic["bram_18k"]) == ("routed", 3600, 3)
    assert (logic["clock_ns"], logic["timing_met"]) == (8.5, True)
    assert [row["logic"] for row in found["layers"]] == [
        {"lut": 2400, "ff": 800, "dsp": 8},
        {"lut": 150, "ff": 10},
        None,
    ]
    assert found["layers"][0]["layer"] is None  # no sources lie there


def test_a_board_design_stays_apart_from_its_core(tmp_path: Path) -> None:
    samples.write(tmp_path, "net", ("csynth", "bitstream"))
    found = gather(tmp_path)
    assert found["system"]["lut"] == 7133
    assert found["system"]["bram_18k"] == 7
    assert found["logic"]["lut"] == 3700
    assert found["logic"]["stage"] == "routed"
    assert found["logic"]["clock_ns"] == pytest.approx(7.521)
    assert found["layers"][0]["logic"]["lut"] == 2500


def test_nested_and_without_the_project_s_name(tmp_path: Path) -> None:
    """The reports' folder alone, as somebody copied it; the largest module is the design."""
    report = tmp_path / "from" / "elsewhere" / "report"
    report.mkdir(parents=True)
    (report / "jets_csynth.xml").write_text(samples.csynth("jets"))
    (report / "x_config2_s_csynth.xml").write_text(samples.csynth("x_config2_s", lut=400))
    found = gather(tmp_path)
    assert (found["top"], found["hls"]["lut"]) == ("jets", 8000)
    assert found["logic"] is None


def test_the_report_of_the_whole_design_alone(tmp_path: Path) -> None:
    (tmp_path / "csynth.xml").write_text(samples.design_csynth("jets"))
    found = gather(tmp_path)
    assert (found["top"], found["hls"]["version"]) == ("jets", "2024.2")
    assert found["layers"][2]["hls"] == {
        "lut": 2200, "ff": 30, "dsp": 4, "bram_18k": 0, "uram": 0, "latency_cycles": [4, 4],
        "ii": [1, 1],
    }  # fmt: skip


def test_the_text_where_no_xml_lies_there(tmp_path: Path) -> None:
    report = tmp_path / "jets_prj" / "solution1" / "syn" / "report"
    report.mkdir(parents=True)
    text = samples.CSYNTH_TEXT.format(top="jets")
    (report / "jets_csynth.rpt").write_text(text)
    (report / "small_csynth.rpt").write_text("cut short\n")
    found = gather(tmp_path)
    hls = found["hls"]
    assert (found["top"], found["part"], hls["version"]) == ("jets", "xc7z020-clg400-1", "2023.1")
    assert (hls["lut"], hls["ff"], hls["dsp"], hls["bram_18k"]) == (39116, 65881, 29, 332)
    assert (hls["available_lut"], hls["available_dsp"]) == (53200, 220)
    assert (hls["clock_ns"], found["clock_target_ns"]) == (3.649, 5)
    assert (hls["latency_cycles"], hls["ii"]) == ([690, 695], [578, 578])
    assert found["layers"][0]["hls"] == {
        "lut": 4428, "ff": 2474, "dsp": 29, "bram_18k": 0, "uram": 0,
        "latency_cycles": [85, 85], "ii": [85, 85],
    }  # fmt: skip
    start, end = text.index("    +---------+---------+----------+"), text.index("    + Detail:")
    (report / "jets_csynth.rpt").write_text(text[:start] + samples.OLD_LATENCY + text[end:])
    hls = gather(tmp_path)["hls"]
    assert (hls["latency_cycles"], hls["ii"]) == ([15, 15], [1, 1])
    (report / "jets_csynth.xml").write_text(samples.csynth("jets"))
    assert gather(tmp_path)["hls"]["lut"] == 8000  # the XML wins


def test_logic_synthesis_alone(tmp_path: Path) -> None:
    (tmp_path / "vivado_synth.rpt").write_text(samples.utilisation("jets"))
    found = gather(tmp_path)
    assert (found["top"], found["part"]) == ("jets", "xc7z020clg400-1")
    assert found["hls"] is None
    assert found["logic"]["lut"] == 3900


def test_figures_that_depend_on_data_are_none(tmp_path: Path) -> None:
    path = tmp_path / "net_csynth.xml"
    path.write_text(samples.csynth("net", latency=("undef", "undef"), version="2019.2"))
    found = vendor_hls.read_csynth(path)
    assert found["latency_cycles"] is None
    assert found["dsp"] == 12  # DSP48E then


def test_cosimulation_that_failed_or_did_not_run(tmp_path: Path) -> None:
    path = tmp_path / "net_cosim.rpt"
    path.write_text(samples.cosim("Fail", "NA", "NA", "NA"))
    found = vendor_hls.read_cosim(path)
    assert found is not None
    assert (found["passed"], found["latency_cycles"]) == (False, None)
    path.write_text(samples.cosim("NA", "NA", "NA", "NA"))
    assert vendor_hls.read_cosim(path) is None


def test_transactions_give_the_interval(tmp_path: Path) -> None:
    samples.write(tmp_path, "net", ("csynth", "cosim"))
    place = tmp_path / "net_prj" / "solution1" / "sim" / "verilog"
    place.mkdir(parents=True)
    (place / "net.performance.result.transaction.xml").write_text(samples.TRANSACTIONS)
    cosim = gather(tmp_path)["cosim"]
    assert (cosim["inputs"], cosim["latency_cycles"], cosim["ii"]) == (3, [17, 19], [2, 3])


def test_timing_summary(tmp_path: Path) -> None:
    path = tmp_path / "timing.rpt"
    path.write_text(samples.timing())
    found = vendor_vivado.read_timing(path)
    assert found is not None
    assert (found["wns_ns"], found["whs_ns"], found["clock_target_ns"]) == (2.479, 0.022, 10)
    assert found["stage"] == "routed"
    path.write_text("nothing of the kind\n")
    assert vendor_vivado.read_timing(path) is None


def test_quartus(tmp_path: Path) -> None:
    lib = tmp_path / "net-fpga.prj" / "reports" / "lib"
    lib.mkdir(parents=True)
    (lib / "report_data.js").write_text(samples.AREA_JS)
    (lib / "verification_data.js").write_text(samples.VERIFICATION_JS)
    (lib / "quartus_data.js").write_text(samples.NO_QUARTUS_JS)
    found = gather(tmp_path)
    assert (found["top"], found["part"]) == ("net", "Arria 10, 10AX115U1F45I1SG")
    assert (found["hls"]["alut"], found["hls"]["ram"]) == (6400, 12)
    assert found["hls"]["available_dsp"] == 1518
    assert found["hls"]["version"] == "19.4.0"
    assert found["logic"] is None  # Quartus itself did not run
    assert (found["cosim"]["latency_cycles"], found["cosim"]["ii"]) == ([21, 24], [3, 4])
    (lib / "quartus_data.js").write_text(samples.QUARTUS_JS)
    logic = gather(tmp_path)["logic"]
    assert (logic["alm"], logic["ff"], logic["ram"], logic["clock_ns"]) == (3000, 6100, 11, 4)
    (lib / "quartus_data.js").unlink()
    (tmp_path / "net-fpga.prj" / "quartus_compile.fit.summary").write_text(samples.FIT_SUMMARY)
    logic = gather(tmp_path)["logic"]
    assert (logic["alm"], logic["available_alm"], logic["ff"]) == (3105, 427200, 6210)


def test_quoted_javascript(tmp_path: Path) -> None:
    path = tmp_path / "report_data.js"
    text = samples.AREA_JS.replace("areaJSON={", "areaJSON='{", 1).replace("0]};", "0]}';", 1)
    path.write_text(text)
    found = vendor_intel.read_area(path)
    assert found is not None
    assert found["alut"] == 6400
    path.write_text('var areaJSON={"total": [1, 2')
    with pytest.raises(InputError, match="expected JSON in the variable 'areaJSON'"):
        vendor_intel.read_area(path)


def test_no_reports_names_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "readme.rpt").write_text("no report\n")
    with pytest.raises(InputError, match="no report of a vendor's tool") as caught:
        gather(tmp_path)
    assert "_csynth.xml" in str(caught.value)
    assert "vivado_synth.rpt" in str(caught.value)
    with pytest.raises(InputError, match="expected a folder"):
        gather(tmp_path / "absent")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<profile><cut", "text that is none"),
        ("", "text that is none"),
        ("<profile/>", "expected an HLS synthesis report, found other XML"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><profile>&a;</profile>', "document type"),
    ],
)
def test_damaged_reports(tmp_path: Path, text: str, words: str) -> None:
    samples.write(tmp_path, "net", ("csynth",))
    path = tmp_path / "net_prj" / "solution1" / "syn" / "report" / "net_csynth.xml"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        gather(tmp_path)
    assert "net_csynth.xml" in str(caught.value.where)


def test_all_damaged_reports_are_named(tmp_path: Path) -> None:
    samples.write(tmp_path, "net", ("csynth", "impl"))
    broken = sorted(tmp_path.rglob("*.xml"))[:3]
    for path in broken:
        path.write_text("<profile><cut")
    with pytest.raises(InputError, match="3 reports cannot be read") as caught:
        gather(tmp_path)
    assert all(path.name in "\n".join(caught.value.details) for path in broken)


def test_two_designs_in_one_folder(tmp_path: Path) -> None:
    samples.write(tmp_path / "a", "one", ("csynth",))
    samples.write(tmp_path / "b", "two", ("csynth",))
    with pytest.raises(InputError, match="found several") as caught:
        gather(tmp_path)
    assert caught.value.details == ("one", "two")
