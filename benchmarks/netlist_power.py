"""Where `edgeflow.synthesis.power`'s coefficients come from, and how fast netlists are simulated.

    python benchmarks/netlist_power.py                  # the measured circuits, synthesised again
    python benchmarks/netlist_power.py NETLIST DESIGN   # speed on a design (folders of a run)

The circuits are those that tinyvision-ai-inc/ice40_power measured (see its README), written anew.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from edgeflow import toolchains
from edgeflow.jobs import Runner
from edgeflow.synthesis import flow, power

COUNTER = "reg [23:0] f = 0; always @(posedge clk) f <= f + 1; assign y = f[23];"
CIRCUITS = {
    "counter": f"module counter(input clk, output y); {COUNTER} endmodule",
    # its output is a port, so that the multiplier stays as it is
    "multiplier": f"""module multiplier(input clk, output y, output [15:0] r); {COUNTER}
      reg [7:0] a = 0, b = 0; assign r = a * b;
      always @(posedge clk) begin a <= a + 3; b <= b + 5; end
    endmodule""",
}
STEPS = 4096

WORK = """
import json, sys, time
from pathlib import Path
import numpy as np
from edgeflow.synthesis.netlist_circuit_job import CLASSES
from edgeflow.synthesis.netlist_engine_job import UNIT
from edgeflow.synthesis.netlist_run_job import Design, load, make_engine, run, words_for
from edgeflow.synthesis.toggles_job import CELL, counted_nets
DELAYS = {"zero": None, "cell": CELL, "unit": UNIT}

def count(path, steps):
    found = {}
    circuit = load(Path(path), None)
    kept, classes = counted_nets(circuit), np.array(circuit.classes)
    dsp = classes == CLASSES.index("dsp")
    for name, delays in DELAYS.items():
        engine = make_engine(circuit, 1, delays)
        nothing = np.zeros((steps, 0, 1), np.uint64)
        engine.run(True, [], nothing[:64], [])
        engine.watch(True, np.array([1], np.uint64))
        engine.run(True, [], nothing, [])
        rates = engine.counted()[0] / steps
        found[name] = [rates[kept & ~dsp].sum(), rates[kept & dsp].sum()]
    return found

def speed(path, design):
    design = Design.read(Path(design))
    start = time.time()
    circuit = load(Path(path), design)
    found = {"load": time.time() - start, "tables": len(circuit.tables),
             "registers": len(circuit.registers)}
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 2, (1000, design.input.beats, design.input.width)).astype(np.uint8)
    runs = [("c", None, 1000), ("numpy", None, 64 if design.handshake else 1000)]
    for which, delays, n in runs:
        start = time.time()
        engine = make_engine(circuit, words_for(n), delays, which)
        made = time.time()
        outcome = run(circuit, design, engine, bits[:n])
        found[f"{which}, {n} inputs"] = [made - start, time.time() - made, outcome.cycles]
    for name, delays in DELAYS.items():
        start = time.time()
        n = 256 if design.handshake else 1000
        outcome = run(circuit, design, make_engine(circuit, 1, delays), bits[:n], count=True)
        total = outcome.toggles[counted_nets(circuit)].sum() / outcome.inferences
        found[f"toggles {name}, {n} inputs"] = [time.time() - start, total]
    return found

what, *rest = sys.argv[1:]
print(json.dumps(speed(*rest) if what == "speed" else count(rest[0], int(rest[1]))))
"""


def inside(*arguments: str) -> dict:
    """Run `WORK` in the toolchain."""
    root = Path(__file__).resolve().parent.parent
    code = f"import sys; sys.path.insert(0, {str(root)!r})\n{WORK}"
    python = toolchains.ensure(toolchains.get("rtl"), print)
    done = subprocess.run(
        [str(python), "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def calibrate() -> None:
    """Synthesise the circuits, count, and print the coefficients beside those in use."""
    amperes = {name: micro * 1e-6 for name, micro in power.README_ROWS.items()}
    base = amperes["oscillator at 12 MHz, 24-bit counter"]

    def per_cycle(row: str) -> float:
        return (amperes[row] - base) * power.VOLTS / 12e6

    logic = per_cycle("12 MHz, 8 x 8 multiplier in logic, two 8-bit counters")
    block = per_cycle("12 MHz, 8 x 8 multiplier in a DSP block, two 8-bit counters")
    counts = {}
    with Runner() as runner, tempfile.TemporaryDirectory() as scratch:
        for name, text in CIRCUITS.items():
            source = Path(scratch, f"{name}.v")
            source.write_text(text)
            for dsp in (False, True) if name == "multiplier" else (False,):
                done = runner.run(flow.synthesis_job(source, name, "ice40", dsp=dsp))
                counts[name, dsp] = inside("count", str(done.path), str(STEPS))
    print(f"multiplier: {logic * 1e12:.1f} pJ per cycle, with a DSP block {block * 1e12:.1f} pJ")
    joules = {}
    for way in power.TOGGLE_J:
        here = counts["multiplier", False][way][0] - counts["counter", False][way][0]
        joules[way] = logic / here
        print(
            f"{way}: {here:.1f} toggles per cycle, {joules[way] * 1e12:.3f} pJ each "
            f"(in use: {power.TOGGLE_J[way] * 1e12:.3f})"
        )
    rest, at_dsp = counts["multiplier", True]["zero"]
    rest -= counts["counter", False]["zero"][0]
    left = block - rest * joules["zero"]
    print(
        f"DSP block: {left * 1e12:.1f} pJ per cycle over {at_dsp:.2f} toggles at its outputs, "
        f"{left / at_dsp * 1e12:.2f} pJ each (in use: {power.DSP_J * 1e12:.2f})"
    )
    clock = amperes["oscillator at 48 MHz, 24-bit counter"]
    clock -= amperes["oscillator at 24 MHz, 24-bit counter"]
    print(f"clock: {clock * power.VOLTS / 24e6 * 1e12:.1f} pJ per cycle")
    more = amperes["external 12 MHz, eight 28-bit counters"]
    more -= amperes["external 12 MHz, one 28-bit counter"]
    each = more / 7 * power.VOLTS / 12e6
    toggles = counts["counter", False]["zero"][0]
    print(
        f"a further counter: {each * 1e12:.2f} pJ per cycle, at most {each / 28 * 1e12:.4f} per "
        f"clock pin, or {each / toggles * 1e12:.3f} per toggle ({toggles:.1f} without delays)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", help="netlist and design")
    given = parser.parse_args().folders
    if given:
        netlist, design = (str(Path(name).resolve()) for name in given)
        for name, value in inside("speed", netlist, design).items():
            print(f"{name}: {value}")
    else:
        calibrate()


if __name__ == "__main__":
    main()
