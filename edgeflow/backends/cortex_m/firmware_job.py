"""Firmware: the library linked for a core, its sizes, and the QEMU machine that runs it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeflow.errors import JobError, ToolError, UnsupportedError

SOURCES = Path(__file__).parent / "firmware"
PREFIX = "arm-none-eabi-"
FLAGS = (
    "-O2 -std=c99 -mthumb -ffunction-sections -fdata-sections -Wall -Wextra -Wpedantic "
    "-Wconversion -Werror"
).split()
STACK = 4096
"""Bytes; what is used of it is measured."""


@dataclass(frozen=True)
class Core:
    """How a core is compiled for. ``dsp``: it has the DSP extension (and no Helium)."""

    cpu: str
    options: tuple[str, ...] = ()
    dsp: bool = False


_HARD = ("-mfloat-abi=hard",)
CORES: Mapping[str, Core] = {
    "cortex-m0": Core("cortex-m0"),
    "cortex-m0plus": Core("cortex-m0plus"),
    "cortex-m3": Core("cortex-m3"),
    "cortex-m4": Core("cortex-m4", (*_HARD, "-mfpu=fpv4-sp-d16"), dsp=True),
    "cortex-m7": Core("cortex-m7", (*_HARD, "-mfpu=fpv5-sp-d16"), dsp=True),
    "cortex-m33": Core("cortex-m33", (*_HARD, "-mfpu=fpv5-sp-d16"), dsp=True),
    "cortex-m55": Core("cortex-m55", _HARD),
}


def find(program: str, package: str) -> str:
    """A program of the cross toolchain.

    Raises:
        ToolError: it is not on PATH.
    """
    found = shutil.which(program)
    if found is None:
        raise ToolError(
            f"expected '{program}' on PATH",
            remedy=f"install it (Debian, Ubuntu: apt install {package})",
        )
    return found


def build(
    folder: Path,
    sources: Sequence[str],
    name: str,
    core: str,
    memory: Mapping[str, Sequence[int]],
    ports: Mapping[str, Any],
    layers: int,
    output: Path,
) -> dict[str, Any]:
    """Compile and link ``firmware.elf`` in `output`.

    Args:
        folder: holds the library and its header.
        sources: its C files.
        name: the library's name.
        core: one of `CORES`.
        memory: ``flash`` and ``ram`` as (origin, bytes).
        ports: elements of ``input`` and ``output``.
        layers: number of operators.
        output: where files go.

    Returns:
        ``code``, ``constants``, ``data`` and ``bss`` in bytes, of the library alone and of the
        whole image; the compiler's version.

    Raises:
        ToolError: the cross compiler is missing.
        UnsupportedError: the image does not fit, and by how much.
        JobError: the compiler refused the sources.
    """
    compiler = find(f"{PREFIX}gcc", "gcc-arm-none-eabi libnewlib-arm-none-eabi")
    made = CORES[core]
    flags = [*FLAGS, f"-mcpu={made.cpu}", *made.options]
    defines = [
        f'-DEF_HEADER="{name}.h"', f"-DEF_NAME={name}", f"-DEF_LAYERS={layers}",
        f"-DEF_DONE={name}_done", f"-D{name.upper()}_DONE={name}_done",
        f"-DEF_INPUT={ports['input']}", f"-DEF_OUTPUT={ports['output']}",
    ]  # fmt: skip
    objects = []
    library = []
    own = [(folder / source, True) for source in sources]
    for source, ours in (*own, (SOURCES / "main.c", False), (SOURCES / "startup.c", False)):
        target = output / f"{source.stem}.o"
        own_flags = defines if not ours or source.stem == name else []
        _run([compiler, *flags, *own_flags, f"-I{folder}", "-c", str(source), "-o", str(target)])
        objects.append(target)
        if ours:
            library.append(target)
    script = output / "link.ld"
    regions = "\n".join(
        f"    {word.upper()} : ORIGIN = {memory[word][0]:#x}, LENGTH = {memory[word][1]}"
        for word in ("flash", "ram")
    )
    script.write_text(
        f"MEMORY\n{{\n{regions}\n}}\nef_stack_size = {STACK};\n" + (SOURCES / "link.ld").read_text()
    )
    image = output / "firmware.elf"
    _link(
        [compiler, *flags, "-nostartfiles", "-Wl,--gc-sections", f"-T{script}",
         *map(str, objects), "-o", str(image)],
        memory,
    )  # fmt: skip
    sizes = {"image": _sizes([image]), "library": _sizes(library)}
    for path in (*objects, script):
        path.unlink()
    version = subprocess.run(
        [compiler, "-dumpversion"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return {**sizes, "compiler": f"arm-none-eabi-gcc {version}", "flags": flags}


def _link(command: Sequence[str], memory: Mapping[str, Sequence[int]]) -> None:
    """Link; what the linker says of memory in words."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    over = re.findall(r"region `(\w+)' overflowed by (\d+) bytes", done.stderr)
    if over:
        lines = []
        for word, count in over:
            there = memory[word.lower()][1]
            lines.append(
                f"{word.lower()}: needs {there + int(count):,} bytes, there are {there:,}: "
                f"{int(count):,} too many"
            )
        raise UnsupportedError(
            "the firmware does not fit the target's memory",
            details=lines,
            remedy="choose a target with more memory (`edgeflow targets`), or a smaller model: "
            "weights are in flash, activations in ram",
        )
    if done.returncode != 0:
        print(done.stderr)
        raise JobError("the firmware cannot be linked; the log has the linker's words")


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode == 0:
        return
    print(done.stderr)
    raise JobError(
        "the cross compiler refused the generated sources",
        details=[line for line in done.stderr.splitlines() if "error" in line][:5],
    )


def _sizes(files: Sequence[Path]) -> dict[str, int]:
    """``code``, ``constants``, ``data``, ``bss`` in bytes, over the files' sections."""
    program = find(f"{PREFIX}size", "binutils-arm-none-eabi")
    done = subprocess.run(
        [program, "-A", *map(str, files)], capture_output=True, text=True, check=True
    )
    found = dict.fromkeys(("code", "constants", "data", "bss"), 0)
    for line in done.stdout.splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[0].startswith(".") and fields[1].isdigit():
            for prefix, word in (
                (".text", "code"), (".rodata", "constants"), (".data", "data"), (".bss", "bss"),
            ):  # fmt: skip
                if fields[0].startswith(prefix):
                    found[word] += int(fields[1])
    return found


def emulate(machine: str, image: Path, folder: Path, timeout: float) -> str:
    """Run an image in QEMU, with `folder` as the place of its files. Returns QEMU's version.

    One instruction takes one nanosecond (``-icount shift=0``), so that a timer counts them.

    Raises:
        ToolError: QEMU is missing.
        JobError: the image failed or did not end.
    """
    qemu = find("qemu-system-arm", "qemu-system-arm")
    command = [
        qemu, "-M", machine, "-kernel", str(image), "-nographic", "-monitor", "none",
        "-serial", "none", "-icount", "shift=0",
        "-semihosting-config", "enable=on,target=native",
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=timeout,
            stdin=subprocess.DEVNULL, env={**os.environ, "QEMU_AUDIO_DRV": "none"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise JobError(f"the firmware did not end within {timeout:g} s in QEMU") from None
    if done.returncode != 0:
        print(done.stdout, done.stderr)
        raise JobError(f"the firmware failed in QEMU (status {done.returncode})")
    version = subprocess.run([qemu, "--version"], capture_output=True, text=True, check=False)
    return version.stdout.split()[3] if version.stdout else ""
