"""The job that counts what toggles in a netlist while it works on real inputs, in their order.

Without delays each net changes at most once per cycle: the least that must toggle. With delays,
paths of unequal length make glitches: once with one unit of time for every primitive, once with a
table and its wire at eight times a carry (``CELL``), where a pulse shorter than an element's own
delay is swallowed. No wire has its own delay: hardware may have more glitches than either.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from edgeflow.synthesis.netlist_circuit_job import CLASSES, INTERNAL, ONE, Circuit
from edgeflow.synthesis.netlist_engine_job import UNIT, compiler
from edgeflow.synthesis.netlist_job import golden_of
from edgeflow.synthesis.netlist_run_job import (
    Array,
    Design,
    Outcome,
    load,
    make_engine,
    run,
    words_for,
)

FORMAT: Final = "edgeflow.toggles/1"
CELL: Final = {"logic": 8, "carry": 1, "memory": 12, "dsp": 16, "io": 4, "inner": 1}
"""Delays in eighths of a table and its wire: carry chains are some ten times faster (yosys' timing
models: ECP5 43 ps per two carries against 141 to 379 ps for a table without its wire)."""
SAMPLE: Final = 1024
STREAM_SAMPLE: Final = 256
TURNS: Final = 16
"""Inputs per lane at least, where there are enough: they follow each other in time."""


def count(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Count toggles of a netlist on the golden inputs.

    Inputs: ``netlist``, ``design``, ``golden``, as `netlist_job.simulate`.

    Params:
        sample: inputs to take at most (1,024; 256 for a design with a handshake). top: the
        netlist's top module where it is not the design's. engine: ``auto``, ``c`` or ``numpy``
        (which has unit delays alone).

    Output: ``toggles.json`` (the result) and ``nets.npz``: ``names``, ``classes``, ``hidden``,
    ``zero``, ``unit``, ``cell`` (toggles in all), ``ones`` (share of time at 1), by net; further
    names of nets (``aliases``, ``alias_of``) and the ``clocks``.

    Returns:
        ``format``, ``family`` (by its primitives), ``inferences`` (the toggles are means of so
        many), ``cycles_per_inference`` (1 where there is no clock), ``classes`` {class: {``nets``,
        ``zero``, ``unit``, ``cell``}} and ``total`` (toggles per inference), ``standard_error``
        {delay: of the total, null where there are too few samples}, ``activity`` {delay: toggles
        per net and cycle}, ``clock`` {``loads``: clock pins, ``nets``, ``toggles`` per inference}
        and ``delays``.

    Raises:
        InputError, UnsupportedError, ToolError, JobError: as `netlist_job.simulate`.
    """
    design = Design.read(inputs["design"])
    top = params.get("top")
    sample = params.get("sample") or (STREAM_SAMPLE if design.handshake else SAMPLE)
    x = golden_of(inputs["golden"])["x"][:sample]
    bits = design.input.encode(x)
    words = words_for(len(x), least_turns=TURNS)
    which = params.get("engine", "auto")
    plans: dict[str, Mapping[str, int] | None] = {"zero": None, "unit": UNIT, "cell": CELL}
    if which == "numpy" or (which == "auto" and compiler() is None):
        del plans["cell"]
    circuit = load(inputs["netlist"], design, top)
    counted = counted_nets(circuit)
    found: dict[str, Outcome] = {}
    for index, (name, delays) in enumerate(plans.items()):
        progress(index, len(plans), f"counting toggles, delays: {name}")
        engine = make_engine(circuit, words, delays, which)
        found[name] = run(circuit, design, engine, bits, count=True)
    result = summary(circuit, design, counted, found)
    _write_nets(output / "nets.npz", circuit, counted, found)
    (output / "toggles.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


def counted_nets(circuit: Circuit) -> Array:
    """Which nets count: the netlist's own that something reads, but clocks."""
    read = np.zeros(circuit.nets, bool)
    for table in circuit.tables:
        read[list(table.inputs)] = True
    for item in circuit.reads:
        read[list(item.address)] = True
    for product in circuit.multiplies:
        read[list(product.a + product.b)] = True
    for register in circuit.registers:
        read[[register.d, register.enable, register.reset]] = True
    for write in circuit.writes:
        read[list(write.address + write.data + write.enables)] = True
    for nets in circuit.outputs.values():
        read[nets] = True
    counted = read & (np.array(circuit.classes) != INTERNAL)
    counted[list(circuit.clock_nets)] = False
    counted[: ONE + 1] = False
    return np.asarray(counted, bool)


def summary(
    circuit: Circuit, design: Design, counted: Array, found: Mapping[str, Outcome]
) -> dict[str, Any]:
    """What `count` returns."""
    classes = np.array(circuit.classes)
    zero = found["zero"]
    cycles = cycles_per_inference(design, zero)
    nets = int(counted.sum())
    per: dict[str, dict[str, float]] = {
        name: {"nets": int((counted & (classes == index)).sum())}
        for index, name in enumerate(CLASSES)
    }
    total: dict[str, float] = {}
    errors: dict[str, float | None] = {}
    for delay, outcome in found.items():
        assert outcome.toggles is not None
        assert outcome.samples is not None
        rates = outcome.toggles / max(outcome.inferences, 1.0)
        for index, name in enumerate(CLASSES):
            per[name][delay] = float(rates[counted & (classes == index)].sum())
        total[delay] = float(rates[counted].sum())
        # the samples have nets without a load as well, which are few: their spread is scaled
        sums = outcome.samples[:, : len(CLASSES)].sum(1)
        spread = float(sums.std(ddof=1) / math.sqrt(len(sums))) if len(sums) > 1 else None
        mean = float(sums.mean()) if len(sums) else 0.0
        errors[delay] = None if spread is None or not mean else spread * total[delay] / mean
    loads = len(circuit.clocks)
    return {
        "format": FORMAT,
        "family": family_of(circuit),
        "inferences": int(zero.inferences),
        "cycles_per_inference": cycles,
        "classes": {name: values for name, values in per.items() if values["nets"]},
        "total": total,
        "standard_error": errors,
        "activity": {name: value / max(nets * cycles, 1.0) for name, value in total.items()},
        "nets": nets,
        "clock": {
            "loads": loads,
            "nets": len(circuit.clock_nets),
            "toggles": 2.0 * cycles if loads else 0.0,
        },
        "cells": dict(sorted(circuit.cells.items())),
        "delays": {"zero": None, "unit": UNIT, **({"cell": CELL} if "cell" in found else {})},
    }


def cycles_per_inference(design: Design, outcome: Outcome) -> float:
    """Clock cycles from one inference to the next: as measured, or what the design says."""
    if design.handshake:
        return float(outcome.interval or design.ii)
    return 1.0


def family_of(circuit: Circuit) -> str | None:
    """The family whose primitives these are."""
    kinds = set(circuit.cells)
    marks = {
        "ice40": ("SB_",),
        "ecp5": ("TRELLIS_", "CCU2C", "PFUMX", "L6MUX21", "DP16KD"),
        "xc7": ("FDRE", "CARRY4", "LUT6", "MUXF", "DSP48E1", "FDSE"),
        "xcup": ("DSP48E2", "CARRY8"),
        "gowin": ("MUX2_LUT", "DFF", "ALU", "RAM16SDP", "MULT9X9", "MULT18X18"),
    }
    for family, names in marks.items():
        if any(kind.startswith(names) for kind in kinds):
            return family
    return None


def _write_nets(path: Path, circuit: Circuit, counted: Array, found: Mapping[str, Outcome]) -> None:
    kept = np.flatnonzero(counted)
    zero = found["zero"]
    assert zero.ones is not None
    toggles = {
        name: outcome.toggles[kept]
        for name, outcome in found.items()
        if outcome.toggles is not None
    }
    place = {int(net): index for index, net in enumerate(kept)}
    clocks = circuit.clock_nets - {0, ONE}
    names = [circuit.names[net] for net in sorted(clocks)]
    names += [name for name, net in circuit.aliases if net in clocks]
    aliases = [(name, place[net]) for name, net in circuit.aliases if net in place]
    arrays: dict[str, Any] = dict(
        names=np.array([circuit.names[int(net)] for net in kept], dtype=str),
        classes=np.array(circuit.classes, np.uint8)[kept],
        hidden=np.array([int(net) in circuit.hidden for net in kept], bool),
        ones=zero.ones[kept] / max(zero.steps, 1.0),
        clocks=np.array(names, dtype=str),
        aliases=np.array([name for name, _ in aliases], dtype=str),
        alias_of=np.array([index for _, index in aliases], np.int64),
        **toggles,
    )
    np.savez_compressed(path, **arrays)
