"""The cortex_m jobs: a .tflite file to a C library, to firmware, to outputs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow.backends.cortex_m import emit_job, firmware_job, graph_job
from edgeflow.backends.tflite.run_job import decode, encode
from edgeflow.errors import JobError, ToolError

HOST_FLAGS = "-O2 -std=c99 -Wall -Wextra -Wpedantic -Wconversion -Werror".split()


def compile(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Write ``library/`` (the C sources) and ``model.json`` (ports, operators).

    ``inputs``: ``tflite`` (the tflite backend's folder). ``params``: ``name`` (a C identifier),
    ``core`` (one of `firmware_job.CORES`).

    Result: ``name``, ``macs``, ``arena`` and ``least_arena`` (bytes), ``weights`` (bytes in the
    sources), ``operators`` (list of ``kind``, ``name``, ``macs``, ``kernel``).

    Raises:
        ModelError: the file is damaged.
        UnsupportedError: naming every operator or type that there is no kernel for.
    """
    progress(0, 2, "read the operators")
    graph = graph_job.read(inputs["tflite"] / "model.tflite")
    progress(1, 2, "write C")
    folder = output / "library"
    folder.mkdir()
    name = params["name"]
    made = emit_job.library(graph, name, firmware_job.CORES[params["core"]].dsp, folder)
    result = {
        "name": name,
        "macs": graph.macs,
        "arena": made.arena,
        "least_arena": made.least_arena,
        "weights": sum(call.weight_bytes for call in made.calls),
        "operators": [
            {
                "kind": call.operator.kind,
                "name": call.operator.name,
                "macs": call.operator.macs,
                "kernel": call.kernel,
            }
            for call in made.calls
        ],
        "sources": list(made.sources),
        "ports": emit_job.ports(graph),
    }
    (output / "model.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


def firmware(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Link ``firmware.elf``. ``inputs``: ``compiled``. ``params``: ``core``, ``memory``.

    Result: `firmware_job.build`'s.
    """
    progress(0, 1, "cross-compile")
    compiled = inputs["compiled"]
    about = json.loads((compiled / "model.json").read_text())
    return firmware_job.build(
        compiled / "library",
        about["sources"],
        about["name"],
        params["core"],
        params["memory"],
        {word: int(np.prod(about["ports"][word]["shape"])) for word in ("input", "output")},
        len(about["operators"]),
        output,
    )


def emulate(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Run the firmware in QEMU on the golden inputs: ``outputs.npz`` and ``profile.json`` (the
    operators with their instructions).

    ``inputs``: ``compiled``, ``firmware``, ``golden``. ``params``: ``machine`` (QEMU's), its
    ``clock_mhz``, ``inputs`` (how many at most).

    Result: ``runtime``, ``version`` (QEMU's), ``resolver`` (the core), ``instructions`` of one
    inference, ``by_operator`` (the same for each), ``stack`` (bytes used, at most).
    """
    about, x = _inputs(inputs, params["inputs"])
    scratch = Path("emulation")
    scratch.mkdir()
    x.tofile(scratch / "inputs.bin")
    progress(0, 1, "run in QEMU")
    image = inputs["firmware"] / "firmware.elf"
    version = firmware_job.emulate(params["machine"], image, scratch, params["timeout"])
    counts = np.fromfile(scratch / "counts.bin", np.uint64).astype(int)
    if len(counts) != len(about["operators"]) + 3:
        raise JobError("the firmware did not count its layers")
    _outputs(about, scratch / "outputs.bin", len(x), output)
    *layers, total, used, there = counts.tolist()
    tick = 1000 / params["clock_mhz"]  # nanoseconds, and so instructions, of one SysTick
    if used >= there:
        raise JobError(f"the firmware's stack of {there} bytes is too small")
    rows = [
        {**operator, "instructions": round(ticks * tick)}
        for operator, ticks in zip(about["operators"], layers, strict=True)
    ]
    (output / "profile.json").write_text(json.dumps(rows, indent=1) + "\n")
    return {
        "runtime": f"QEMU {params['machine']}",
        "version": version,
        "resolver": params["core"],
        "instructions": round(total * tick),
        "by_operator": [round(ticks * tick) for ticks in layers],
        "stack": used,
    }


def host(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Compile the library for this machine and run it on the golden inputs: ``outputs.npz``.

    ``inputs``: ``compiled``, ``golden``. ``params``: ``sanitize`` (check every access).

    Raises:
        ToolError: there is no C compiler.
    """
    about, x = _inputs(inputs, None)
    compiler = os.environ.get("CC") or "gcc"
    if shutil.which(compiler) is None:
        raise ToolError(
            f"no C compiler: expected '{compiler}' on PATH",
            remedy="install it (Debian, Ubuntu: apt install gcc), or set CC",
        )
    name = about["name"]
    Path("main.c").write_text(_HOST.replace("NAME", name.upper()).replace("name", name))
    folder = inputs["compiled"] / "library"
    command = [
        compiler, *HOST_FLAGS, f"-I{folder}", "main.c",
        *(str(folder / source) for source in about["sources"]), "-o", "run",
    ]  # fmt: skip
    if params.get("sanitize"):
        command += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"]
    progress(0, 2, "compile for this machine")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stderr)
        raise JobError("the C compiler refused the generated sources; the log has all of it")
    x.tofile("inputs.bin")
    progress(1, 2, "run")
    done = subprocess.run(
        ["./run", "inputs.bin", "outputs.bin"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        print(done.stderr)
        raise JobError(f"the generated C failed (status {done.returncode})")
    _outputs(about, Path("outputs.bin"), len(x), output)
    version = subprocess.run(
        [compiler, "-dumpversion"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return {"runtime": "generated C", "version": version, "resolver": "this machine"}


_HOST = """#include "name.h"
#include <stdio.h>
int main(int count, char **files)
{
    FILE *in = (count == 3) ? fopen(files[1], "rb") : NULL;
    FILE *out = (count == 3) ? fopen(files[2], "wb") : NULL;
    if ((in == NULL) || (out == NULL)) {
        return 1;
    }
    while (fread(name_input(), sizeof(*name_input()), NAME_INPUT_SIZE, in) == NAME_INPUT_SIZE) {
        name_run();
        (void)fwrite(name_output(), sizeof(*name_output()), NAME_OUTPUT_SIZE, out);
    }
    return (fclose(in) | fclose(out)) ? 1 : 0;
}
"""


def _detail(port: dict[str, Any]) -> dict[str, Any]:
    """A port as LiteRT describes a tensor."""
    kinds = {"int8": np.int8, "float32": np.float32}
    return {
        "shape": [1, *port["shape"]],
        "dtype": kinds[port["type"]],
        "quantization": (port["scale"], port["zero_point"]),
    }


def _inputs(inputs: dict[str, Path], most: int | None) -> tuple[dict[str, Any], Any]:
    about = json.loads((inputs["compiled"] / "model.json").read_text())
    with np.load(inputs["golden"] / "golden.npz", allow_pickle=False) as golden:
        x = golden["x"][:most]
    return about, encode(x, _detail(about["ports"]["input"]))


def _outputs(about: dict[str, Any], path: Path, count: int, output: Path) -> None:
    detail = _detail(about["ports"]["output"])
    size = int(np.prod(detail["shape"]))
    raw = np.fromfile(path, detail["dtype"])
    if raw.size != count * size:
        raise JobError(f"expected {count} outputs of {size}, found {raw.size} values")
    y = decode(raw.reshape(count, *detail["shape"][1:]), detail)
    np.savez(output / "outputs.npz", y=y)
