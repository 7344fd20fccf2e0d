"""The C simulation: a project's C++ compiled into a library, and that library run on inputs."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow.backends.fixed_job import Array
from edgeflow.backends.hls4ml.compilers import Compiler
from edgeflow.errors import ToolError

LIBRARY = "model.so"
CHUNKS = 20
"""Into so many parts a run is cut, for its progress."""

DRIVER = """\
#include <cstddef>
#include <map>
#include <string>

// Runs the top function on `count` rows, and records some layers' outputs.
extern "C" void edgeflow_run(float *x, float *y, size_t count, size_t n_in, size_t n_out,
                             const char **names, const size_t *sizes, float **traced,
                             size_t layers) {{
    std::map<std::string, void *> slots;
    if (layers) {{
        nnet::trace_type_size = sizeof(float);
        nnet::trace_outputs = &slots;
    }}
    nnet::trace_enabled = layers > 0;
    for (size_t row = 0; row < count; row++) {{
        for (size_t i = 0; i < layers; i++)
            slots[names[i]] = traced[i] + row * sizes[i];
        {name}_float(x + row * n_in, y + row * n_out);
    }}
    nnet::trace_enabled = false;
    nnet::trace_outputs = NULL;
}}
"""
COMPLAINT = (
    'std::cout << "Layer name: " << layer_name << " not found in debug storage!" << std::endl;'
)
"""What hls4ml's C++ prints for each layer that is not recorded."""


def find_compiler() -> str:
    """The C++ compiler.

    Raises:
        ToolError: there is none.
    """
    wanted = os.environ.get("CXX") or "g++"
    found = shutil.which(wanted)
    if found is None:
        raise ToolError(
            f"no C++ compiler: expected '{wanted}' on PATH",
            remedy="install it (Debian, Ubuntu: apt install g++), or set CXX",
        )
    return found


def build(program: str, compiler: Compiler, name: str, folder: Path) -> Path:
    """Compile the project in `folder`, written with tracing; returns the library.

    Raises:
        ToolError: the compiler refused it.
    """
    helpers = folder / "firmware" / "nnet_utils" / "nnet_helpers.h"
    helpers.write_text(helpers.read_text().replace(COMPLAINT, ";"))
    # One translation unit: the headers, most of the work, are read once.
    wrapper = f"firmware/{name}_axi.cpp"
    units = [f"firmware/{name}.cpp", f"{name}_bridge.cpp"]
    if (folder / wrapper).is_file():
        units.insert(1, wrapper)
    (folder / "all.cpp").write_text(
        "".join(f'#include "{unit}"\n' for unit in units) + DRIVER.format(name=name)
    )
    command = [
        program, "-O2", "-fPIC", "-shared", "-std=c++17", "-w", "-fno-gnu-unique",
        *(f"-I{path}" for path in compiler.include), "all.cpp", "-o", LIBRARY,
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
    return folder / LIBRARY


class Simulation:
    """A compiled project.

    Its library reads its weights from ``./weights`` on the first call: the process goes there.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self.size = size
        os.chdir(folder)
        library = ctypes.CDLL(str(folder / LIBRARY))
        floats = np.ctypeslib.ndpointer(np.float32, flags="C_CONTIGUOUS")
        self._run = library.edgeflow_run
        self._run.restype = None
        self._run.argtypes = [
            floats, floats, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_size_t,
            ctypes.POINTER(ctypes.c_char_p), ctypes.POINTER(ctypes.c_size_t),
            ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t,
        ]  # fmt: skip

    def run(
        self,
        x: Array,
        layers: Mapping[str, int] | None = None,
        progress: Callable[..., None] | None = None,
    ) -> tuple[Array, dict[str, Array]]:
        """Outputs (n x size) for `x` (n x …), and of each HLS layer in `layers` (by its size)."""
        x = np.ascontiguousarray(x.reshape(len(x), -1), dtype=np.float32)
        y = np.zeros((len(x), self.size), np.float32)
        sizes = dict(layers or {})
        found = {name: np.zeros((len(x), size), np.float32) for name, size in sizes.items()}
        step = max(1, -(-len(x) // CHUNKS))
        for begin in range(0, len(x), step):
            part = slice(begin, begin + step)
            self._chunk(x[part], y[part], sizes, [array[part] for array in found.values()])
            if progress:
                progress(begin, len(x), "C simulation")
        return y, found

    def _chunk(self, x: Array, y: Array, sizes: Mapping[str, int], traced: Sequence[Array]) -> None:
        count = len(sizes)
        names: Any = (ctypes.c_char_p * count)(*(name.encode() for name in sizes))
        lengths: Any = (ctypes.c_size_t * count)(*sizes.values())
        places: Any = (ctypes.c_void_p * count)(*(array.ctypes.data for array in traced))
        self._run(x, y, len(x), x.shape[1], self.size, names, lengths, places, count)
