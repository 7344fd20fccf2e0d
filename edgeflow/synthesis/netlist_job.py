"""The job that runs a synthesised netlist on the golden inputs, bit-exactly."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow.errors import InputError
from edgeflow.synthesis.netlist_run_job import (
    Array,
    Design,
    load,
    make_engine,
    quantities,
    run,
    words_for,
)


def simulate(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Run the netlist on the golden inputs.

    Inputs: ``netlist`` (yosys' JSON, or the folder with ``netlist.json``), ``design`` (the compile
    folder with ``design.json``, or that file), ``golden`` (the golden folder).

    Params:
        most: inputs to run at most (all). top: the netlist's top module where it is not the
        design's. engine: ``auto``, ``c`` or ``numpy``.

    Output: ``outputs.npz`` with ``y`` and, where the golden vectors have ``logits``, those of the
    netlist; ``y`` is then their softmax, which a host computes.

    Returns:
        ``runtime``, ``version``, ``resolver``, ``inputs`` (how many), ``cycles``,
        ``latency_cycles``, ``ii`` (as measured; null without a clock), ``cells`` {primitive:
        count}.

    Raises:
        InputError: netlist, design and golden vectors do not fit each other.
        UnsupportedError: primitives that are not known, loops, several clocks.
        ToolError: the C compiler failed.
        JobError: the design's handshake stalls.
    """
    design = Design.read(inputs["design"])
    progress(0, 3, "reading the netlist")
    circuit = load(inputs["netlist"], design, params.get("top"))
    golden = golden_of(inputs["golden"])
    x = golden["x"][: params.get("most")]
    words = words_for(len(x))
    progress(1, 3, f"{len(circuit.tables):,} tables, {len(circuit.registers):,} registers")
    engine = make_engine(circuit, words, None, params.get("engine", "auto"))
    started = time.monotonic()
    outcome = run(circuit, design, engine, design.input.encode(x))
    print(f"{engine.name} engine, {64 * words} lanes: {time.monotonic() - started:.2f} s")
    progress(2, 3, "writing the outputs")
    write_outputs(output, golden, design.output.decode(outcome.bits))
    return {
        "runtime": "edgeflow netlist",
        "version": "1",
        "resolver": "bit-parallel",
        "inputs": len(x),
        **quantities(outcome),
        "cells": dict(sorted(circuit.cells.items())),
    }


def golden_of(folder: Path) -> dict[str, Array]:
    """The arrays of ``golden.npz``.

    Raises:
        InputError: it cannot be read.
    """
    path = folder / "golden.npz" if folder.is_dir() else folder
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"expected golden vectors: {error}", where=path.name) from None


def write_outputs(output: Path, golden: dict[str, Array], values: Array) -> None:
    """Write ``outputs.npz``: the values as ``logits`` where the model ends in a softmax."""
    n = len(values)
    if "logits" in golden:
        logits = values.reshape(n, *golden["logits"].shape[1:])
        shifted = np.exp(logits - logits.max(-1, keepdims=True))
        y = shifted / shifted.sum(-1, keepdims=True)
        np.savez(
            output / "outputs.npz",
            y=y.reshape(n, *golden["y"].shape[1:]).astype(np.float32),
            logits=logits.astype(np.float32),
        )
    else:
        y = values.reshape(n, *golden["y"].shape[1:])
        np.savez(output / "outputs.npz", y=y.astype(np.float32))
