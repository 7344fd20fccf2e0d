"""Toggles against counts by hand and by a slow reference; SAIF against Verilator's; power."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeflow import targets, toolchains
from edgeflow.errors import InputError, UnsupportedError
from edgeflow.jobs import Runner
from edgeflow.synthesis import flow, netlist_job, power, saif_job, toggles_job
from edgeflow.synthesis.netlist_circuit_job import Circuit, order, outputs_of
from edgeflow.synthesis.netlist_engine_job import UNIT
from edgeflow.synthesis.netlist_run_job import Design, load, make_engine, run

spec = importlib.util.spec_from_file_location(
    "netlist_designs", Path(__file__).with_name("netlist_designs.py")
)
assert spec is not None
assert spec.loader is not None
designs = importlib.util.module_from_spec(spec)
spec.loader.exec_module(designs)


def ignore(*_: Any) -> None:
    """No progress."""


def port(name: str, *bits: int, signed: bool = False) -> dict[str, Any]:
    ends = np.cumsum(bits)
    elements = [
        {"lsb": int(end) - width, "bits": width, "signed": signed, "fraction": 0}
        for end, width in zip(ends, bits, strict=True)
    ]
    return {"port": name, "width": int(sum(bits)), "beats": 1, "elements": elements}


def json_netlist(cells: dict[str, Any], ports: dict[str, Any], names: dict[str, Any]) -> str:
    module = {"attributes": {"top": "1"}, "ports": ports, "cells": cells, "netnames": names}
    return json.dumps({"modules": {"top": module}})


def counter(path: Path) -> Path:
    """Three bits of a counter, by hand: bit i turns when all below it are 1."""

    def bits(*nets: Any) -> dict[str, Any]:
        return {"bits": list(nets)}

    cells = {
        "f0": {"type": "SB_DFF", "connections": {"C": [2], "D": [6], "Q": [3]}},
        "f1": {"type": "SB_DFF", "connections": {"C": [2], "D": [7], "Q": [4]}},
        "f2": {"type": "SB_DFF", "connections": {"C": [2], "D": [8], "Q": [5]}},
    }
    for name, table, inputs, output in (
        ("l0", 0x0001, [3], 6),
        ("l1", 0x0006, [3, 4], 7),
        ("l2", 0x0078, [3, 4, 5], 8),
    ):
        pins = {f"I{i}": [inputs[i] if i < len(inputs) else "0"] for i in range(4)}
        cells[name] = {
            "type": "SB_LUT4",
            "parameters": {"LUT_INIT": f"{table:016b}"},
            "connections": {**pins, "O": [output]},
        }
    ports = {
        "clk": {"direction": "input", "bits": [2]},
        "inp": {"direction": "input", "bits": [9]},
        "out": {"direction": "output", "bits": [3, 4, 5]},
    }
    names = {"clk": bits(2), "out": bits(3, 4, 5), "inp": bits(9), "next": bits(6, 7, 8)}
    path.write_text(json_netlist(cells, ports, names))
    return path


@pytest.mark.parametrize("which", ["c", "numpy"])
def test_counter_by_hand(which: str, tmp_path: Path) -> None:
    circuit = load(counter(tmp_path / "netlist.json"), None)
    engine = make_engine(circuit, 1, None, which)
    engine.watch(True, np.array([1], np.uint64))
    engine.run(True, [], np.zeros((64, 0, 1), np.uint64), [])
    toggles, ones = engine.counted()
    q = circuit.outputs["out"]
    assert [int(toggles[net]) for net in q] == [64, 32, 16]
    # bit i of the next value: as the register, one step ahead
    following = [net for net, name in circuit.names.items() if name.startswith("next")]
    assert sum(int(toggles[net]) for net in following) == 64 + 32 + 16
    assert [int(ones[net]) for net in q] == [32, 32, 32]


def test_unit_delays_by_hand(tmp_path: Path) -> None:
    """a & ~(delayed a): nothing without delays, a pulse of two toggles at each rise with them."""
    cells = {
        "n": {
            "type": "SB_LUT4",
            "parameters": {"LUT_INIT": f"{1:016b}"},
            "connections": {"I0": [2], "I1": ["0"], "I2": ["0"], "I3": ["0"], "O": [3]},
        },
        "a": {
            "type": "SB_LUT4",
            "parameters": {"LUT_INIT": f"{8:016b}"},
            "connections": {"I0": [2], "I1": [3], "I2": ["0"], "I3": ["0"], "O": [4]},
        },
    }
    ports = {
        "inp": {"direction": "input", "bits": [2]},
        "out": {"direction": "output", "bits": [4]},
    }
    names = {"inp": {"bits": [2]}, "mid": {"bits": [3]}, "out": {"bits": [4]}}
    path = tmp_path / "netlist.json"
    path.write_text(json_netlist(cells, ports, names))
    circuit = load(path, None)
    out = circuit.outputs["out"]
    values = np.array([[[step % 2]] for step in range(1, 11)], np.uint64)  # 1 0 1 0 …
    for which, delays, want in (
        ("c", None, 0),
        ("c", UNIT, 10),
        ("numpy", UNIT, 10),
        ("c", {**UNIT, "logic": 7}, 10),
    ):
        engine = make_engine(circuit, 1, delays, which)
        engine.watch(True, np.array([1], np.uint64))
        engine.run(False, circuit.inputs["inp"], values, out)
        toggles, _ = engine.counted()
        assert int(toggles[circuit.inputs["inp"][0]]) == 10
        assert int(toggles[out[0]]) == want, (which, delays)


def test_a_short_pulse_is_swallowed(tmp_path: Path) -> None:
    """a ^ carried a: a pulse as long as the carry, which a slower table does not pass."""
    cells = {
        "c": {"type": "SB_CARRY", "connections": {"I0": [2], "I1": [2], "CI": ["0"], "CO": [3]}},
        "x": {
            "type": "SB_LUT4",
            "parameters": {"LUT_INIT": f"{6:016b}"},
            "connections": {"I0": [2], "I1": [3], "I2": ["0"], "I3": ["0"], "O": [4]},
        },
    }
    ports = {
        "inp": {"direction": "input", "bits": [2]},
        "out": {"direction": "output", "bits": [4]},
    }
    names = {"inp": {"bits": [2]}, "mid": {"bits": [3]}, "out": {"bits": [4]}}
    path = tmp_path / "netlist.json"
    path.write_text(json_netlist(cells, ports, names))
    circuit = load(path, None)
    values = np.array([[[step % 2]] for step in range(1, 11)], np.uint64)
    for delays, want in ((UNIT, 20), (toggles_job.CELL, 0), ({**UNIT, "carry": 9}, 20)):
        engine = make_engine(circuit, 1, delays)
        engine.watch(True, np.array([1], np.uint64))
        engine.run(False, circuit.inputs["inp"], values, circuit.outputs["out"])
        toggles, _ = engine.counted()
        assert int(toggles[circuit.outputs["out"][0]]) == want, delays


ADDER = """
module adder(input [11:0] inp, output [8:0] out);
  assign out = inp[3:0] * inp[7:4] + inp[11:8];
endmodule
"""


@pytest.fixture(scope="module")
def adder(runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Netlist, design folder and golden folder of a small circuit."""
    folder = tmp_path_factory.mktemp("adder")
    source = folder / "adder.v"
    source.write_text(ADDER)
    done = runner.run(flow.synthesis_job(source, "adder", "ice40"))
    design = {
        "format": "edgeflow.design/1", "top": "adder", "style": "combinational", "clock": None,
        "reset": None, "latency_cycles": 0, "ii": 1, "handshake": False,
        "input": port("inp", 4, 4, 4), "output": port("out", 9),
    }  # fmt: skip
    (folder / "design").mkdir()
    (folder / "design" / "design.json").write_text(json.dumps(design))
    x = np.random.default_rng(3).integers(0, 16, (200, 3)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] + x[:, 2])[:, None]
    (folder / "golden").mkdir()
    np.savez(folder / "golden" / "golden.npz", x=x, y=y)
    return {"netlist": done.path, "design": folder / "design", "golden": folder / "golden"}


def test_simulate_is_the_arithmetic(adder: dict[str, Path], tmp_path: Path) -> None:
    found = netlist_job.simulate(adder, {}, tmp_path, ignore)
    with np.load(adder["golden"] / "golden.npz") as want, np.load(tmp_path / "outputs.npz") as have:
        assert (want["y"] == have["y"]).all()
        assert want["y"].shape == have["y"].shape
    assert found["inputs"] == 200


def slow_toggles(circuit: Circuit, bits: np.ndarray, unit: bool) -> dict[int, int]:
    """One input after the other, one net after the other: a reference nobody would use."""
    elements = order(circuit)
    value = {0: 0, 1: 1} | dict.fromkeys(range(2, circuit.nets), 0)
    counts = dict.fromkeys(range(circuit.nets), 0)

    def output(element: Any, now: dict[int, int]) -> int:
        row = sum(now[net] << place for place, net in enumerate(element.inputs))
        return int(element.table >> row & 1)

    for number, row in enumerate(bits):
        before = dict(value)
        for net, bit in zip(circuit.inputs["inp"], row, strict=True):
            value[net] = int(bit)
        waves = [before, dict(value)]
        while True:
            if unit:
                new = {outputs_of(e)[0]: output(e, value) for e in elements}
            else:
                new = {}
                for e in elements:
                    new[e.output] = output(e, {**value, **new})
            if all(value[net] == bit for net, bit in new.items()):
                break
            value |= new
            waves.append(dict(value))
        if not unit:
            waves = [waves[0], waves[-1]]
        if number:
            for a, b in itertools.pairwise(waves):
                for net in counts:
                    counts[net] += a[net] != b[net]
    return counts


@pytest.mark.parametrize("unit", [False, True])
def test_toggles_are_the_slow_reference(adder: dict[str, Path], unit: bool) -> None:
    design = Design.read(adder["design"])
    circuit = load(adder["netlist"], design)
    with np.load(adder["golden"] / "golden.npz") as arrays:
        bits = design.input.encode(arrays["x"])
    want = slow_toggles(circuit, bits[:, 0], unit)
    for words in (1, 2, 4, 8):
        engine = make_engine(circuit, words, UNIT if unit else None, "c")
        outcome = run(circuit, design, engine, bits, count=True)
        assert outcome.toggles is not None
        assert outcome.inferences == len(bits) - 1
        assert {net: int(n) for net, n in enumerate(outcome.toggles)} == want


def test_count_job(adder: dict[str, Path], runner: Runner, tmp_path: Path) -> None:
    job = power.count_job(adder["netlist"], adder["design"], adder["golden"])
    done = runner.run(job)
    found = done.result
    assert found["family"] == "ice40"
    assert found["total"]["zero"] < found["total"]["unit"]
    assert set(found["classes"]) <= {"logic", "carry", "io"}
    per = sum(part["zero"] for part in found["classes"].values())
    assert per == pytest.approx(found["total"]["zero"])
    assert 0 < found["standard_error"]["zero"] < found["total"]["zero"] / 5
    with np.load(done.path / "nets.npz") as nets:
        total = nets["zero"].sum() / found["inferences"]
        assert total == pytest.approx(found["total"]["zero"])
    again = tmp_path / "again"
    again.mkdir()
    toggles_job.count(dict(job.inputs), {}, again, ignore)
    for name in ("nets.npz", "toggles.json"):
        assert (again / name).read_bytes() == (done.path / name).read_bytes()


def test_half_of_the_sample_agrees_within_its_error(adder: dict[str, Path], tmp_path: Path) -> None:
    whole = toggles_job.count(adder, {"engine": "numpy"}, tmp_path, ignore)
    assert "cell" not in whole["total"]
    half = toggles_job.count(adder, {"sample": 100}, tmp_path, ignore)
    gap = abs(whole["total"]["zero"] - half["total"]["zero"])
    assert gap < 4 * half["standard_error"]["zero"]


SAIF_TOP = """
module leaf(input clk, input [3:0] a, output reg [3:0] q = 0);
  always @(posedge clk) q <= q + a;
endmodule
module top(input clk, input [3:0] inp, output [3:0] out);
  leaf one(.clk(clk), .a(inp), .q(out));
endmodule
"""
SAIF_BENCH = """
#include "Vtop.h"
#include "verilated.h"
#include "verilated_saif_c.h"
#include <cstdio>
int main(int argc, char** argv) {
  VerilatedContext context; context.traceEverOn(true);
  Vtop top(&context); VerilatedSaifC saif; top.trace(&saif, 9);
  int value, steps = 0; bool opened = false;
  top.clk = 0; top.inp = 0; top.eval();
  while (scanf("%d", &value) == 1) {
    top.clk = 1; top.eval(); top.inp = value; top.eval();
    if (!opened) { saif.open("verilator.saif"); opened = true; }
    saif.dump(steps * 10);
    top.clk = 0; top.eval(); saif.dump(steps * 10 + 5);
    steps++;
  }
  saif.dump(steps * 10); saif.close();
}
"""


def entries(text: str) -> dict[str, tuple[int, int, int]]:
    """Path to (T0, T1, TC) of a SAIF file."""
    found, path = {}, []
    for line in text.splitlines():
        if match := re.match(r"\s*\(INSTANCE (\S+)", line):
            path.append(match[1])
        elif match := re.match(r"\s*\((\S+) \(T0 (\d+)\) \(T1 (\d+)\).*\(TC (\d+)\)\)", line):
            found["/".join([*path, match[1]])] = (int(match[2]), int(match[3]), int(match[4]))
        elif line.strip() == ")" and path and line.index(")") == len(path):
            path.pop()
    return found


def test_saif_is_verilators(runner: Runner, tmp_path: Path) -> None:
    x = np.random.default_rng(9).integers(0, 16, 65)
    x[0] = 0
    python = toolchains.get("rtl").interpreter
    root = next(python.parent.parent.glob("lib/python*/site-packages/verilator"))
    (tmp_path / "top.v").write_text(SAIF_TOP)
    (tmp_path / "bench.cpp").write_text(SAIF_BENCH)
    call(
        [str(python), str(python.with_name("verilator-cli")), "--cc", "--trace-saif",
         "--top-module", "top", "-Wno-fatal", "-Wno-lint", "--Mdir", "obj", "top.v"],
        tmp_path, {"VERILATOR_ROOT": str(root)},
    )  # fmt: skip
    include = root / "include"
    # One unit: most of the time goes into Verilator's headers.
    units = [
        *(include / f"{n}.cpp" for n in ("verilated", "verilated_threads", "verilated_saif_c")),
        *sorted((tmp_path / "obj").glob("*.cpp")),
        "bench.cpp",
    ]
    (tmp_path / "all.cpp").write_text("".join(f'#include "{unit}"\n' for unit in units))
    call(
        ["g++", "-std=c++17", "-w", "-O0", "-DVM_TRACE=1", "-DVM_TRACE_SAIF=1", f"-I{include}",
         f"-I{include / 'vltstd'}", "-Iobj", "all.cpp", "-pthread", "-o", "bench"],
        tmp_path, {},
    )  # fmt: skip
    subprocess.run(
        ["./bench"], cwd=tmp_path, input="\n".join(map(str, x)), text=True, check=True, timeout=60
    )
    want = (tmp_path / "verilator.saif").read_text()

    done = runner.run(flow.synthesis_job(tmp_path / "top.v", "top", "ecp5"))
    design = {
        "top": "top", "clock": "clk", "reset": None, "latency_cycles": 0, "ii": 1,
        "handshake": False, "input": port("inp", 4), "output": port("out", 4),
    }  # fmt: skip
    (tmp_path / "design.json").write_text(json.dumps(design))
    np.savez(tmp_path / "golden.npz", x=x[:, None].astype(np.float32), y=np.zeros((len(x), 1)))
    made, saif = tmp_path / "made", tmp_path / "saif"
    made.mkdir()
    saif.mkdir()
    inputs = {
        "netlist": done.path, "design": tmp_path / "design.json", "golden": tmp_path / "golden.npz",
    }  # fmt: skip
    # one lane, as Verilator: the lanes of a sample are runs of it, which begin at reset
    circuit = load(done.path, Design.read(inputs["design"]))
    engine = make_engine(circuit, 1, None)
    engine.run(True, circuit.inputs["inp"], np.zeros((1, 4, 1), np.uint64), [])
    engine.watch(True, np.array([1], np.uint64))
    bits = (x[1:, None] >> np.arange(4))[:, :, None].astype(np.uint64)
    engine.run(True, circuit.inputs["inp"], bits, [])
    toggles, ones = engine.counted()
    counted = toggles_job.counted_nets(circuit)
    result = {"inferences": len(x) - 1, "cycles_per_inference": 1.0}
    (made / "toggles.json").write_text(json.dumps(result))
    kept = np.flatnonzero(counted)
    place = {int(net): index for index, net in enumerate(kept)}
    aliases = [(name, place[net]) for name, net in circuit.aliases if net in place]
    np.savez(
        made / "nets.npz",
        names=np.array([circuit.names[int(n)] for n in kept]),
        hidden=np.array([int(n) in circuit.hidden for n in kept]),
        ones=ones[kept] / (len(x) - 1),
        zero=toggles[kept],
        clocks=np.array(["clk", "one.clk"]),
        aliases=np.array([name for name, _ in aliases]),
        alias_of=np.array([index for _, index in aliases]),
    )
    params = {"top": "top", "clock_mhz": 1e5, "delays": "zero"}  # a period of 10 ps
    saif_job.write({"toggles": made}, params, saif, ignore)
    text = (saif / "activity.saif").read_text()
    theirs, ours = entries(want), entries(text)
    theirs = {k.removeprefix("TOP/"): v for k, v in theirs.items() if k.startswith("TOP/top/")}
    assert set(ours) == set(theirs)
    for name, (low, high, count) in ours.items():
        assert low + high == 640
        if name.endswith("clk"):
            continue
        # Verilator's first cycle holds the inputs' first value
        assert abs(theirs[name][1] - high) <= 10, name
        assert abs(theirs[name][2] - count) <= 1, name
    head = text.splitlines()[:7]
    assert [line for line in want.splitlines() if line.startswith("(")][:3] == head[:3]


def call(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


# --- What is refused --------------------------------------------------------------------------


def netlist_of(path: Path, *kinds: tuple[str, dict[str, Any]]) -> Path:
    cells = {
        f"c{index}": {"type": kind, "connections": pins} for index, (kind, pins) in enumerate(kinds)
    }
    ports = {
        "clk": {"direction": "input", "bits": [2]},
        "other": {"direction": "input", "bits": [3]},
        "out": {"direction": "output", "bits": [4]},
    }
    names = {name: {"bits": part["bits"]} for name, part in ports.items()}
    path.write_text(json_netlist(cells, ports, names | {"inner": {"bits": [5]}}))
    return path


def test_unknown_primitives_are_named_all_at_once(tmp_path: Path) -> None:
    path = netlist_of(tmp_path / "n.json", ("PLL", {"O": [4]}), ("EHXPLLL", {}), ("PLL", {}))
    with pytest.raises(UnsupportedError) as caught:
        load(path, None)
    assert list(caught.value.details) == ["EHXPLLL (1 cells)", "PLL (2 cells)"]
    assert caught.value.remedy


def test_a_combinational_loop_is_refused(tmp_path: Path) -> None:
    lut = {"I1": ["0"], "I2": ["0"], "I3": ["0"]}
    path = netlist_of(
        tmp_path / "n.json",
        ("SB_LUT4", {**lut, "I0": [5], "O": [4]}),
        ("SB_LUT4", {**lut, "I0": [4], "O": [5]}),
    )
    record = json.loads(path.read_text())
    for cell in record["modules"]["top"]["cells"].values():
        cell["parameters"] = {"LUT_INIT": f"{1:016b}"}
    path.write_text(json.dumps(record))
    circuit = load(path, None)
    for which in ("c", "numpy"):
        with pytest.raises(UnsupportedError, match="loop") as caught:
            make_engine(circuit, 1, None, which)
        assert set(caught.value.details) == {"inner", "out"}


def test_two_clocks_are_refused(tmp_path: Path) -> None:
    path = netlist_of(
        tmp_path / "n.json",
        ("SB_DFF", {"C": [2], "D": [5], "Q": [4]}),
        ("SB_DFFN", {"C": [2], "D": [4], "Q": [5]}),
    )
    with pytest.raises(UnsupportedError, match="more than one clock") as caught:
        load(path, None)
    assert any("falling" in line for line in caught.value.details)


def test_ports_and_inputs_that_do_not_fit(adder: dict[str, Path], tmp_path: Path) -> None:
    record = json.loads((adder["design"] / "design.json").read_text())
    record["output"] = port("out", 8)
    (tmp_path / "design.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="port 'out' of 8 bits"):
        netlist_job.simulate({**adder, "design": tmp_path}, {}, tmp_path, ignore)
    record["input"] = port("inp", 4, 4)
    (tmp_path / "design.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="2 values"):
        netlist_job.simulate({**adder, "design": tmp_path}, {}, tmp_path, ignore)
    (tmp_path / "not.json").write_text("{}")
    with pytest.raises(InputError, match="write_json"):
        netlist_job.simulate({**adder, "netlist": tmp_path / "not.json"}, {}, tmp_path, ignore)


# --- Power ------------------------------------------------------------------------------------

SEEN = {
    "inferences": 1000,
    "cycles_per_inference": 1.0,
    "classes": {"logic": {"nets": 90, "zero": 70.0, "unit": 150.0, "cell": 110.0}},
    "total": {"zero": 70.0, "unit": 150.0, "cell": 110.0},
    "standard_error": {"zero": 0.7, "unit": None, "cell": None},
    "activity": {"zero": 0.7, "unit": 1.5, "cell": 1.1},
    "clock": {"loads": 16, "nets": 1, "toggles": 2.0},
}


def test_the_measured_multiplier_comes_back() -> None:
    """What was measured, put in again: 12 MHz, 70 toggles, and the current was 996 uA."""
    found = power.estimates(targets.load("icebreaker"), SEEN, 12.0)
    chip = found["chip_power"]
    assert chip.method == "simulated"
    assert chip.low < 996e-6 * 1.219 < chip.high
    assert chip.value == pytest.approx(996e-6 * 1.219, rel=0.1)
    energy = found["chip_energy_per_inference"]
    assert energy.value == pytest.approx(chip.value / 12e6)
    assert found["power"].value is None
    assert found["power"].reason
    assert found["toggles_per_inference"].low == pytest.approx(70 * (1 - 0.01645))
    assert found["toggles_per_inference"].high == pytest.approx(150 * (1 + 0.01645))


def test_fewer_inferences_take_less_power_and_more_energy_each() -> None:
    board = targets.load("icebreaker")
    fast = power.estimates(board, SEEN, 12.0, 1.0)
    slow = power.estimates(board, SEEN, 12.0, 1.0, rate_hz=1000.0)
    assert power.STATIC_W < slow["chip_power"].value < fast["chip_power"].value
    assert slow["chip_energy_per_inference"].value > 1000 * fast["chip_energy_per_inference"].value
    impossible = power.estimates(board, SEEN, 12.0, 24.0, rate_hz=1e6)
    assert impossible["chip_power"].value is None
    assert "24 cycles" in str(impossible["chip_power"].reason)


def test_other_parts_have_a_band_and_say_why_no_more() -> None:
    found = power.estimates(targets.load("ulx3s-85f"), SEEN, 25.0)
    nets = found["switching_energy_per_inference"]
    assert nets.method == "model"
    assert nets.high / nets.low > 16
    assert found["chip_power"].value is None
    assert "calculator" in str(found["chip_power"].reason)


def test_amd_takes_the_toggles_for_its_tables() -> None:
    from edgeflow.estimate.quantity import Estimate

    board = targets.load("arty-a7-100t")
    counts = {
        name: Estimate.exact(value, "1", "synthesised", "yosys")
        for name, value in {"lut": 9e3, "ff": 1e3, "dsp": 0, "bram_18k": 0}.items()
    }
    quiet = power.estimates(board, SEEN, 100.0, resources=counts)
    busy_toggles = {**SEEN, "classes": {"logic": {
        "nets": 9000, "zero": 7e4, "unit": 1.5e5, "cell": 1.1e5}}}  # fmt: skip
    busy = power.estimates(board, busy_toggles, 100.0, resources=counts)
    assert quiet["fabric_power"].value < busy["fabric_power"].value
    assert "pJ per toggle" in busy["fabric_power"].source
    assert busy["chip_energy_per_inference"].value > 0
