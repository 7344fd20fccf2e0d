"""One program with many libraries, for this machine or for a core in QEMU, and its outputs."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeflow.backends.cortex_m import backend
from edgeflow.backends.cortex_m.emit_job import KERNELS

STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"]
BYTES = {"int8_t": 1, "float": 4}

STDIO = """#include <stdio.h>
static FILE *in;
static FILE *out;
static void start(void) { in = fopen("inputs.bin", "rb"); out = fopen("outputs.bin", "wb"); }
static int take(void *to, uint32_t size) { return fread(to, 1, size, in) == size; }
static void give(const void *from, uint32_t size) { (void)fwrite(from, 1, size, out); }
static void leave(void) { (void)fclose(in); (void)fclose(out); }
"""
SEMIHOSTING = """
static uint32_t in;
static uint32_t out;
static uint32_t call(uint32_t operation, const uintptr_t *arguments)
{
    register uint32_t r0 __asm("r0") = operation;
    register const uintptr_t *r1 __asm("r1") = arguments;
    __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}
static void start(void)
{
    const uintptr_t a[3] = {(uintptr_t)"inputs.bin", 1U, 10U};
    const uintptr_t b[3] = {(uintptr_t)"outputs.bin", 5U, 11U};
    in = call(1U, a);
    out = call(1U, b);
}
static int take(void *to, uint32_t size)
{
    const uintptr_t a[3] = {in, (uintptr_t)to, size};
    return call(6U, a) == 0U;
}
static void give(const void *from, uint32_t size)
{
    const uintptr_t a[3] = {out, (uintptr_t)from, size};
    (void)call(5U, a);
}
static void leave(void)
{
    const uintptr_t a[2] = {0x20026U, 0U};
    const uintptr_t b[1] = {out};
    (void)call(2U, b);
    (void)call(0x20U, a);
}
"""
MAIN = """
int main(void)
{
    start();
    for (uint32_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        for (uint32_t n = 0; n < COUNT; n++) {
            if (!take(all[i].input(), all[i].in)) {
                return 1;
            }
            all[i].run();
            give(all[i].output(), all[i].out);
        }
    }
    leave();
    return 0;
}
"""


def main_of(cases: Mapping[str, Mapping[str, Any]], count: int, runtime: str) -> str:
    """Its main: `count` inputs for each of the cases, one after the other."""
    lines = ["#include <stdint.h>", *(f'#include "{name}.h"' for name in cases), runtime]
    for name in cases:
        lines.append(f"static void *{name}_in(void) {{ return {name}_input(); }}")
        lines.append(f"static const void *{name}_out(void) {{ return {name}_output(); }}")
    lines.append(
        "static const struct { void *(*input)(void); const void *(*output)(void); "
        "void (*run)(void); uint32_t in; uint32_t out; } all[] = {"
    )
    for name, case in cases.items():
        sizes = [BYTES[kind] * size for kind, size in (case["input"], case["output"])]
        lines.append(f"    {{{name}_in, {name}_out, {name}_run, {sizes[0]}, {sizes[1]}}},")
    return "\n".join([*lines, "};", f"#define COUNT {count}", MAIN])


def compile_all(compiler: Sequence[str], files: Sequence[Path], folder: Path) -> list[str]:
    """Objects of C files, by one call of the compiler."""
    folder.mkdir()
    command = [*compiler, "-c", *(str(file.resolve()) for file in files)]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[:3000]
    return [str(path) for path in sorted(folder.glob("*.o"))]


def on_host(cases: Mapping[str, Any], library: Path, folder: Path, count: int) -> bytes:
    """The outputs of all cases on this machine, every access checked."""
    (folder / "main.c").write_text(main_of(cases, count, STDIO))
    include = [f"-I{library}", f"-I{KERNELS}"]
    own = compile_all(
        ["gcc", "-O0", *STRICT, *SANITIZE, *include],
        [*(library / f"{name}.c" for name in cases), folder / "main.c"],
        folder / "own",
    )
    kernels = compile_all(
        ["gcc", "-O1", *STRICT, *SANITIZE, *include],
        sorted(KERNELS.glob("*.c")),
        folder / "kernels",
    )
    subprocess.run(["gcc", *SANITIZE, *own, *kernels, "-lm", "-o", "run"], cwd=folder, check=True)
    done = subprocess.run(
        ["./run"], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[:3000]
    return (folder / "outputs.bin").read_bytes()


def in_qemu(cases: Mapping[str, Any], library: Path, folder: Path, count: int, core: str) -> bytes:
    """The same of firmware for a core, in QEMU."""
    from edgeflow.backends.cortex_m import firmware_job

    made = firmware_job.CORES[core]
    machine = backend.MACHINES[core]
    gcc = ["arm-none-eabi-gcc", *STRICT, "-mthumb", f"-mcpu={made.cpu}", *made.options]
    (folder / "main.c").write_text(main_of(cases, count, SEMIHOSTING))
    include = [f"-I{library}", f"-I{KERNELS}"]
    sources = [*(library / f"{name}.c" for name in cases), folder / "main.c"]
    own = compile_all(
        [*gcc, "-O1", *include], [*sources, firmware_job.SOURCES / "startup.c"], folder / "own"
    )
    kernels = compile_all([*gcc, "-O2", *include], sorted(KERNELS.glob("*.c")), folder / "kernels")
    regions = "".join(
        f"{word} : ORIGIN = {origin}, LENGTH = {length}\n"
        for word, (origin, length) in (("FLASH", machine.flash), ("RAM", machine.ram))
    )
    (folder / "link.ld").write_text(
        f"MEMORY {{\n{regions}}}\nef_stack_size = 4096;\n"
        + (firmware_job.SOURCES / "link.ld").read_text()
    )
    subprocess.run(
        [*gcc, "-nostartfiles", "-Tlink.ld", *own, *kernels, "-o", "run.elf"],
        cwd=folder, check=True,
    )  # fmt: skip
    firmware_job.emulate(machine.name, folder / "run.elf", folder, 120)
    return (folder / "outputs.bin").read_bytes()


def counted(cases: Any, name: str, folder: Path, core: str) -> tuple[bytes, float, list[float]]:
    """Outputs of edgeflow's own firmware, instructions of one inference and of its operators."""
    import numpy as np

    from edgeflow.backends.cortex_m import firmware_job

    case = cases.about[name]
    machine = backend.MACHINES[core]
    library = cases.folder / ("dsp" if firmware_job.CORES[core].dsp else "plain")
    firmware_job.build(
        library, case["sources"], name, core, {"flash": machine.flash, "ram": machine.ram},
        {word: case[word][1] for word in ("input", "output")}, len(case["operators"]), folder,
    )  # fmt: skip
    (folder / "inputs.bin").write_bytes(cases.inputs())
    firmware_job.emulate(machine.name, folder / "firmware.elf", folder, 120)
    *layers, total, used, there = np.fromfile(folder / "counts.bin", np.uint64).tolist()
    assert 0 < used < there
    tick = 1000 / machine.clock_mhz
    return (folder / "outputs.bin").read_bytes(), total * tick, [n * tick for n in layers]
