"""The RTL simulation of a stream design: beats with valid/ready, with and without stalls."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow.backends.rtl import verilator_job
from edgeflow.backends.rtl.bench_job import save, to_integers, to_values
from edgeflow.errors import JobError

Array = np.ndarray[Any, Any]

STALLED = 32
"""Inputs that are run a second time with random pauses on both sides."""
PAUSES = 40
"""Of 100 cycles, those in which a side of that run pauses."""
PATIENCE = 1 << 22
"""Cycles without a beat after which the driver gives up."""

MAIN = """
static uint32_t state = 1;
static bool pause(unsigned percent) {  // xorshift: the same on every machine
    if (!percent) return false;
    state ^= state << 13; state ^= state >> 17; state ^= state << 5;
    return state % 100 < percent;
}

// program COUNT INPUTS OUTPUTS CYCLES PAUSES SEED: outputs of COUNT inferences; CYCLES gets the
// cycle of the first beat of each input and that of the last beat of each output.
int main(int argc, char** argv) {
    const long count = std::atol(argv[1]);
    const unsigned percent = std::atoi(argv[5]);
    state = std::atoi(argv[6]);
    VerilatedContext context;
    Vdut dut{&context};
    std::vector<uint32_t> x(IN_WORDS), y(OUT_WORDS);
    std::vector<uint64_t> began, ended;
    std::FILE* in = std::fopen(argv[2], "rb");
    std::FILE* out = std::fopen(argv[3], "wb");
    std::FILE* cycles = std::fopen(argv[4], "wb");
    if (!in || !out || !cycles) return 2;
    auto tick = [&]() { dut.CLOCK = 1; dut.eval(); dut.CLOCK = 0; dut.eval(); };
    dut.CLOCK = 0; dut.RESET = 1; dut.in_valid = 0; dut.out_ready = 0; dut.eval();
    tick(); tick();
    dut.RESET = 0;
    long given = 0, taken = 0, total = count * IN_BEATS, wanted = count * OUT_BEATS, still = 0;
    bool loaded = false;
    for (uint64_t cycle = 0; taken < wanted; ++cycle) {
        if (!loaded && given < total) {
            if (std::fread(x.data(), 4, IN_WORDS, in) != IN_WORDS) return 3;
            loaded = true;
        }
        // a beat that was offered stays until it is taken
        if (!dut.in_valid) dut.in_valid = loaded && !pause(percent);
        set(dut.INPUT, x.data(), IN_WORDS);
        dut.out_ready = !pause(percent);
        dut.eval();
        const bool came = dut.in_valid && dut.in_ready, went = dut.out_valid && dut.out_ready;
        if (went) {
            get(dut.OUTPUT, y.data(), OUT_WORDS);
            if (std::fwrite(y.data(), 4, OUT_WORDS, out) != OUT_WORDS) return 4;
            if (++taken % OUT_BEATS == 0) ended.push_back(cycle);
        }
        if (came && given++ % IN_BEATS == 0) began.push_back(cycle);
        tick();
        if (came) { loaded = false; dut.in_valid = 0; }
        still = came || went ? 0 : still + 1;
        if (still > PATIENCE) return 6;
    }
    dut.final();
    std::fwrite(began.data(), 8, began.size(), cycles);
    std::fwrite(ended.data(), 8, ended.size(), cycles);
    return std::fclose(out) || std::fclose(cycles) ? 5 : 0;
}
"""


@dataclass(frozen=True)
class Run:
    """``integers`` of the outputs (n, elements); cycles in which each input's first beat came and
    each output's last beat went."""

    integers: Array
    began: Array
    ended: Array

    @property
    def latency(self) -> int:
        """Cycles of the first inference, from its first beat in to its last beat out."""
        return int(self.ended[0] - self.began[0])

    @property
    def interval(self) -> int:
        """Cycles between the last beats of the last two inferences."""
        return int(self.ended[-1] - self.ended[-2])


def simulate(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Run the design on the golden inputs, every one, and the first again with random pauses.

    ``inputs``: ``compiled`` (a design folder with handshake), ``golden``. ``params``: ``softmax``
    (whether the model ends in one, which the host computes).
    Writes ``outputs.npz``: ``y`` (float32) and, with a softmax, ``logits``.

    Returns:
        ``latency_cycles`` and ``ii`` as simulated, beside what runs them.

    Raises:
        ToolError: there is no C++ compiler.
        ToolchainError: the toolchain lacks Verilator.
        JobError: Verilator, the compiler or the simulation failed; pauses change the outputs; or
            the cycles are not those of the schedule.
    """
    design = json.loads((inputs["compiled"] / "design.json").read_text())
    with np.load(inputs["golden"] / "golden.npz", allow_pickle=False) as golden:
        x, shape = golden["x"], golden["y"].shape
    progress(0, 3, "verilate")
    program = build(design, inputs["compiled"], Path("model"), progress)
    progress(2, 3, "simulate")
    integers = integers_of(x, design)
    straight = run(program, design, integers)
    few = min(STALLED, len(x))
    paused = run(program, design, integers[:few], PAUSES)
    if not np.array_equal(paused.integers, straight.integers[:few]):
        raise JobError("pauses at the design's ports change its outputs")
    found = {"latency_cycles": straight.latency}
    if len(x) >= 6:
        found["ii"] = straight.interval
    for key, value in found.items():
        if value != design[key]:
            raise JobError(f"{key}: {value} in the simulation, {design[key]} in the schedule")
    elements = design["output"]["elements"] * int(design["output"]["beats"])
    values = to_values(straight.integers, elements).reshape(shape)
    save(output, values, bool(params["softmax"]))
    progress(3, 3)
    return {
        "runtime": "Verilator", "version": verilator_job.version(), "resolver": None, **found
    }  # fmt: skip


def build(
    design: Mapping[str, Any],
    folder: Path,
    scratch: Path,
    progress: Callable[..., None] = lambda *_: None,
) -> Path:
    """The simulation's program, from a design's folder."""
    sources = [folder / name for name in design["files"]["verilog"]]
    return verilator_job.build(design, sources, scratch, progress, main=driver(design))


def driver(design: Mapping[str, Any]) -> str:
    """Its C++."""
    inp, out = design["input"], design["output"]
    words = {
        "IN_WORDS": -(-inp["width"] // 32), "OUT_WORDS": -(-out["width"] // 32),
        "IN_BEATS": inp["beats"], "OUT_BEATS": out["beats"], "PATIENCE": PATIENCE,
        "INPUT": inp["port"], "OUTPUT": out["port"], "CLOCK": design["clock"],
        "RESET": design["reset"],
    }  # fmt: skip
    head = "".join(f"#define {name} {value}\n" for name, value in words.items())
    return head + verilator_job.PORTS + MAIN


def integers_of(x: Array, design: Mapping[str, Any]) -> Array:
    """Inputs on the design's grid: (n, elements)."""
    port = design["input"]
    return to_integers(x, {**port, "elements": port["elements"] * int(port["beats"])})


def run(
    program: Path, design: Mapping[str, Any], integers: Array, pauses: int = 0, seed: int = 1
) -> Run:
    """Run inferences, both sides pausing in so many of 100 cycles."""
    inp, out = design["input"], design["output"]
    count = len(integers)
    rows = integers.reshape(count * inp["beats"], -1)
    verilator_job.to_bits(rows, inp).tofile("inputs.bin")
    verilator_job.call(
        [
            str(program),
            str(count),
            "inputs.bin",
            "outputs.bin",
            "cycles.bin",
            str(pauses),
            str(seed),
        ],
        "the simulation",
    )
    words = np.fromfile("outputs.bin", "<u4").reshape(count * out["beats"], -(-out["width"] // 32))
    cycles = np.fromfile("cycles.bin", "<u8").astype(np.int64)
    return Run(
        verilator_job.from_bits(words, out).reshape(count, -1), cycles[:count], cycles[count:]
    )
