"""The C simulation: a project's C++ compiled into a program, and that program run on inputs.

A program of its own, no library: TensorFlow, in the process that forks for the jobs, brings symbols
that some compilers' C++ would be bound to.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from edgeflow.backends.fixed_job import Array
from edgeflow.backends.hls4ml.compilers import Compiler
from edgeflow.errors import ToolError

PROGRAM = "simulate"
CHUNKS = 20
"""Into so many parts a run is cut, for its progress."""

PART = 1000
"""Inputs from which on another process is worth its start; there are no more than cores."""

DRIVER = """\
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

// Some compilers' top functions also give the sizes back.
static void edgeflow_call(void (*top)(float *, float *), float *x, float *y) {{ top(x, y); }}
static void edgeflow_call(void (*top)(float *, float *, unsigned short &, unsigned short &),
                          float *x, float *y) {{
    unsigned short in, out;
    top(x, y, in, out);
}}

static FILE *edgeflow_open(const char *path, const char *mode) {{
    FILE *found = std::fopen(path, mode);
    if (!found) {{
        std::perror(path);
        std::exit(2);
    }}
    return found;
}}

// simulate N_IN N_OUT INPUTS OUTPUTS STEP [LAYER SIZE FILE]...: files of float32; prints how many
// inputs are done, every STEP of them.
int main(int argc, char **argv) {{
    std::vector<float> x(std::atol(argv[1])), y(std::atol(argv[2]));
    FILE *in = edgeflow_open(argv[3], "rb"), *out = edgeflow_open(argv[4], "wb");
    const long step = std::atol(argv[5]);
    std::map<std::string, void *> slots;
    std::vector<std::vector<float>> traced;
    std::vector<FILE *> files;
    for (int i = 6; i + 2 < argc; i += 3) {{
        traced.emplace_back(std::atol(argv[i + 1]));
        slots[argv[i]] = traced.back().data();
        files.push_back(edgeflow_open(argv[i + 2], "wb"));
    }}
    nnet::trace_type_size = sizeof(float);
    nnet::trace_outputs = &slots;
    nnet::trace_enabled = !slots.empty();
    for (long row = 1; std::fread(x.data(), sizeof(float), x.size(), in) == x.size(); row++) {{
        edgeflow_call({name}_float, x.data(), y.data());
        std::fwrite(y.data(), sizeof(float), y.size(), out);
        for (size_t i = 0; i < files.size(); i++)
            std::fwrite(traced[i].data(), sizeof(float), traced[i].size(), files[i]);
        if (row % step == 0) {{
            std::printf("%ld\\n", row);
            std::fflush(stdout);
        }}
    }}
    int failed = std::fclose(out);
    for (FILE *file : files)
        failed |= std::fclose(file);
    nnet::trace_enabled = false;
    nnet::trace_outputs = NULL;
    return failed ? 2 : 0;
}}
"""
COMPLAINT = (
    'std::cout << "Layer name: " << layer_name << " not found in debug storage!" << std::endl;'
)
"""What hls4ml's C++ prints for each layer that is not recorded."""


def build(cxx: str, compiler: Compiler, name: str, folder: Path, driver: str | None = None) -> Path:
    """Compile the project in `folder` with a `driver` (by itself: `DRIVER`, which needs tracing).

    Returns the program.

    Raises:
        ToolError: the compiler refused it.
    """
    helpers = folder / "firmware" / "nnet_utils" / "nnet_helpers.h"
    helpers.write_text(helpers.read_text().replace(COMPLAINT, ";"))
    bridge = folder / f"{name}_bridge.cpp"
    bridge.write_text(bridge.read_text().replace('"firmware/weights"', '"weights"'))
    # One translation unit: the headers, most of the work, are read once.
    wrapper = f"firmware/{name}_axi.cpp"
    units = [f"firmware/{name}.cpp", f"{name}_bridge.cpp"]
    if (folder / wrapper).is_file():
        units.insert(1, wrapper)
    (folder / "all.cpp").write_text(
        "".join(f'#include "{unit}"\n' for unit in units) + (driver or DRIVER.format(name=name))
    )
    command = [
        cxx, "-O2", "-std=c++17", "-w", *(f"-I{path}" for path in compiler.include),
        "all.cpp", "-o", PROGRAM,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stdout, done.stderr)
        errors = [line for line in done.stderr.splitlines() if "error" in line]
        raise ToolError(
            "the C++ compiler refused the project's sources",
            details=errors[:5],
            remedy="this is a fault of hls4ml's or edgeflow's; the job's log has all of it",
        )
    return folder / PROGRAM


def run(
    folder: Path,
    x: Array,
    size: int,
    layers: Mapping[str, int] | None = None,
    progress: Callable[..., None] | None = None,
) -> tuple[Array, dict[str, Array]]:
    """Run a compiled project, in processes of its own: one for each core where there is work.

    Args:
        folder: holds the program and its ``weights``.
        x: inputs (n x …).
        size: elements of an output.
        layers: the HLS layers to record, with their sizes.
        progress: the job's.

    Returns:
        the outputs (n x size) and each layer's, as float32.

    Raises:
        ToolError: it crashed.
    """
    x = np.ascontiguousarray(x.reshape(len(x), -1), dtype=np.float32)
    sizes = dict(layers or {})
    scratch = Path("csim").resolve()
    scratch.mkdir(exist_ok=True)
    program = folder.resolve() / PROGRAM
    parts = np.array_split(x, max(1, min(os.cpu_count() or 1, len(x) // PART)))
    done, lock = [0] * len(parts), threading.Lock()

    def one(index: int) -> tuple[Array, dict[str, Array]]:
        def count(rows: int) -> None:
            with lock:
                done[index] = rows
                if progress:
                    progress(sum(done), len(x), "C simulation")

        return _run(program, parts[index], size, sizes, f"{scratch}/{index}-", count)

    with ThreadPoolExecutor(len(parts)) as pool:
        found = list(pool.map(one, range(len(parts))))
    outputs = np.concatenate([y for y, _ in found])
    return outputs, {name: np.concatenate([own[name] for _, own in found]) for name in sizes}


def _run(
    program: Path,
    x: Array,
    size: int,
    sizes: Mapping[str, int],
    prefix: str,
    count: Callable[[int], None],
) -> tuple[Array, dict[str, Array]]:
    """One process of `run`: its files' names begin with ``prefix``; ``count`` is told how many
    inputs are done."""
    x.tofile(f"{prefix}x")
    step = max(1, -(-len(x) // CHUNKS))
    command = [str(program), str(x.shape[1]), str(size), f"{prefix}x", f"{prefix}y", str(step)]
    for index, (name, length) in enumerate(sizes.items()):
        command += [name, str(length), f"{prefix}{index}"]
    with subprocess.Popen(
        command, cwd=program.parent, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace",
    ) as process:  # fmt: skip
        assert process.stdout is not None
        said: list[str] = []
        for line in process.stdout:
            if line.strip().isdigit():
                count(int(line))
            else:
                said = [*said, line.strip()][-5:]
    if process.returncode != 0:
        raise ToolError(f"the C simulation ended with code {process.returncode}", details=said)

    def read(name: str, length: int) -> Array:
        return np.fromfile(f"{prefix}{name}", np.float32).reshape(len(x), length)

    layers = {name: read(str(index), length) for index, (name, length) in enumerate(sizes.items())}
    return read("y", size), layers
