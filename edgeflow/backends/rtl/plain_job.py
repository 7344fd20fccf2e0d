"""The same network by da4ml's own operations and default settings: what ours is compared with.

Rounding half to even as one must with da4ml alone: the last bit that stays is added to what is
cut off, before truncation. For dense layers and ReLUs (`benchmarks/jet_rtl.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from da4ml.trace import FixedVariableArray, comb_trace
from da4ml.trace.fixed_variable import HWConfig

from edgeflow.backends.rtl.job import opened, write
from edgeflow.backends.rtl.quantize_job import array_like, grid_of
from edgeflow.backends.rtl.trace_job import Traced
from edgeflow.errors import UnsupportedError
from edgeflow.network import Layer


def compile(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],  # noqa: ARG001 - every job takes it
) -> dict[str, Any]:
    """Write a combinational design; inputs and params as `job.compile`.

    Raises:
        UnsupportedError: a layer that is neither dense, ReLU nor a final softmax.
    """
    network, context, grid = opened(inputs, params)
    spread = grid.broadcast(tuple(int(d or 1) for d in network[network.inputs[0]].output_shape))
    entry = FixedVariableArray.from_kif(
        spread.signed, spread.integer, spread.fraction, hwconf=HWConfig(1, -1, -1)
    )
    y = entry
    for layer in network:
        if layer.kind == "dense":
            y = y @ context.array(layer, "kernel")
            bias = context.array(layer, "bias")
            y = y if bias is None else y + bias
        elif layer.kind == "relu":
            y = _relu(layer, y)
        elif layer.kind not in ("input", "softmax"):
            raise UnsupportedError(f"the plain design has no layer '{layer.kind}'")
    comb = comb_trace(entry, y, keep_dead_inputs=True)
    traced = Traced(comb, entry, y)
    design = write(comb, traced, params, output)
    return {"top": design["top"], "cost": design["cost"]}


def _relu(layer: Layer, y: FixedVariableArray) -> FixedVariableArray:
    grid = grid_of(layer.quantizer)
    if grid is None or int(grid.signed):
        raise UnsupportedError(f"the plain design cannot round '{layer.name}'")
    whole, fraction = int(grid.integer), int(grid.fraction)
    made = []
    for v in np.asarray(y._vars).ravel():
        fine = float(v.step)
        rounded = v
        if fine < 2.0**-fraction:
            last = v.quantize(0, 1 - fraction, fraction, "WRAP", "TRN")
            rounded = v + last * (fine * 2.0**fraction) + (2.0 ** -(fraction + 1) - fine)
        made.append(rounded.relu().quantize(0, whole, fraction, "SAT", "TRN"))
    return array_like(y, made, y.shape)
