"""Run in the toolchain keras: write each case's file, inputs and C. One folder in argv."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from build import Net
from cases import cases

from edgeflow.backends.cortex_m import emit_job, graph_job
from edgeflow.errors import EdgeflowError

INPUTS = 6


def inputs_of(net: Net) -> np.ndarray:
    """Random ones, the first with every value in turn, the last two at the ends."""
    shape = (INPUTS, *net.shapes[net.x][1:])
    random = np.random.default_rng(7)
    if net.tensors[net.x].type == 0:
        x = random.normal(0, 4, shape).astype(np.float32)
        x[0] = np.round(x[0] * 40) / 40  # halves between steps
        x[1] *= 1e6
        return x
    x = random.integers(-128, 128, shape).astype(np.int8)
    x[0] = (np.arange(x[0].size) % 256 - 128).reshape(x[0].shape)
    x[-2], x[-1] = -128, 127
    return x


def main(folder: Path) -> None:
    """Write them all, and ``cases.json``."""
    found = {}
    for name, net in cases().items():
        path = folder / f"{name}.tflite"
        path.write_bytes(net.bytes())
        inputs_of(net).tofile(folder / f"{name}.in")
        entry: dict[str, object] = {"fault": None}
        try:
            graph = graph_job.read(path)
            for dsp in (False, True):
                place = folder / ("dsp" if dsp else "plain")
                place.mkdir(exist_ok=True)
                made = emit_job.library(graph, name, dsp, place)
            kinds = {"INT8": "int8_t", "FLOAT32": "float"}
            x, y = graph.inputs[0], graph.outputs[0]
            entry |= {
                "input": [kinds[x.kind], x.size], "output": [kinds[y.kind], y.size],
                "operators": [operator.kind for operator in graph.operators],
                "sources": list(made.sources[1:]),
            }  # fmt: skip
        except EdgeflowError as error:
            entry["fault"] = str(error)
        found[name] = entry
    (folder / "cases.json").write_text(json.dumps(found, indent=1))


main(Path(sys.argv[1]))
