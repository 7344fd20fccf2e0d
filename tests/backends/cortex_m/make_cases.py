"""Run in the toolchain keras: write each case's file, inputs and C.

argv: a folder, then NAME=FILE for real files in place of the small cases.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from cases import cases

from edgeflow.backends.cortex_m import emit_job, graph_job
from edgeflow.errors import EdgeflowError

INPUTS = 6


def inputs_of(kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """Random ones, the first with every value in turn, the last two at the ends."""
    random = np.random.default_rng(7)
    shape = (INPUTS, *shape[1:])
    if kind == "FLOAT32":
        x = random.normal(0, 4, shape).astype(np.float32)
        x[0] = np.round(x[0] * 40) / 40  # halves between steps
        x[1] *= 1e6
        return x
    x = random.integers(-128, 128, shape).astype(np.int8)
    x[0] = (np.arange(x[0].size) % 256 - 128).reshape(x[0].shape)
    x[-2], x[-1] = -128, 127
    return x


def described(path: Path, name: str, folder: Path) -> dict[str, object]:
    """Write the C of a file in both forms, and its inputs."""
    graph = graph_job.read(path)
    for dsp in (False, True):
        place = folder / ("dsp" if dsp else "plain")
        place.mkdir(exist_ok=True)
        made = emit_job.library(graph, name, dsp, place)
    kinds = {"INT8": "int8_t", "FLOAT32": "float"}
    x, y = graph.inputs[0], graph.outputs[0]
    inputs_of(x.kind, graph.parsed.shape(x.index)).tofile(folder / f"{name}.in")
    return {
        "fault": None,
        "input": [kinds[x.kind], x.size],
        "output": [kinds[y.kind], y.size],
        "operators": [[call.operator.kind, call.kernel, call.operator.macs] for call in made.calls],
        "sources": list(made.sources),
        "arena": [made.arena, made.least_arena],
        "macs": graph.macs,
    }


def main(folder: Path, files: list[str]) -> None:
    """Write them all, and ``cases.json``."""
    given = {name: Path(file).read_bytes() for name, file in (item.split("=", 1) for item in files)}
    found = {}
    for name, data in (given or {name: net.bytes() for name, net in cases().items()}).items():
        path = folder / f"{name}.tflite"
        path.write_bytes(data)
        try:
            found[name] = described(path, name, folder)
        except EdgeflowError as error:
            found[name] = {"fault": str(error)}
    (folder / "cases.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
