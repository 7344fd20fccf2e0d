"""The job that writes what `toggles_job` counted as SAIF 2.0, for the vendor's power tool.

The form is the one that Verilator writes and the vendors' tools read (IEEE 1801, annex on SAIF):
backward, one entry per bit with its times at 0 and 1 and its toggle count.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np

from edgeflow.errors import InputError

SPECIAL: Final = re.compile(r"([^A-Za-z0-9_.$])")
PICOSECONDS: Final = 1e6
"""In a microsecond: a period is this over MHz."""

Entry = tuple[int, int]
"""Time at 1, and the toggle count."""


def write(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Write ``activity.saif``.

    Inputs: ``toggles``, the output folder of `toggles_job.count`.

    Params:
        top: the instance's name (the design's top). clock_mhz: the clock that sets the time.
        delays: which count to write (``zero``, ``unit``, ``cell``; ``cell``). names:
        ``hierarchy`` (a name's dots are instances: for the vendor's own synthesis) or ``flat``
        (for yosys' netlist). hidden: also nets that only the synthesis named (True where flat).

    Returns:
        ``file``, ``nets`` (entries written), ``duration_ps``.

    Raises:
        InputError: there is no such count, or the clock is not positive.
    """
    progress(0, 1, "writing SAIF")
    folder = inputs["toggles"]
    with np.load(folder / "nets.npz", allow_pickle=False) as loaded:
        arrays = {name: loaded[name] for name in loaded.files}
    record = json.loads((folder / "toggles.json").read_text())
    delays = params.get("delays", "cell")
    if delays not in ("zero", "unit", "cell") or delays not in arrays:
        raise InputError(f"expected toggles of 'zero', 'unit' or 'cell' delays, found '{delays}'")
    clock = float(params["clock_mhz"])
    if not clock > 0:
        raise InputError(f"expected a clock above 0 MHz, found {clock:g}")
    flat = params.get("names", "hierarchy") == "flat"
    hidden = bool(params.get("hidden", flat))
    cycles = record["inferences"] * record["cycles_per_inference"]
    duration = round(cycles * PICOSECONDS / clock)
    entries: dict[str, Entry] = {}
    for index, name in enumerate(arrays["names"]):
        if hidden or not arrays["hidden"][index]:
            entries[str(name)] = _entry(arrays, delays, index, duration)
    for name, index in zip(arrays["aliases"], arrays["alias_of"], strict=True):
        entries[str(name)] = _entry(arrays, delays, int(index), duration)
    for name in arrays["clocks"]:
        entries[str(name)] = (duration // 2, round(2 * cycles))
    tree: dict[str, Any] = {}
    for name in sorted(entries):
        *path, leaf = [name] if flat else _parts(name)
        place = tree
        for part in path:
            place = place.setdefault(f"/{part}", {})
        place[leaf] = entries[name]
    with (output / "activity.saif").open("w") as handle:
        handle.write(
            '(SAIFILE\n(SAIFVERSION "2.0")\n(DIRECTION "backward")\n(PROGRAM_NAME "edgeflow")\n'
            f"(DIVIDER / )\n(TIMESCALE 1ps)\n(DURATION {duration})\n"
        )
        _instance(handle, params["top"], tree, duration, " ")
        handle.write(")\n")
    return {"file": "activity.saif", "nets": len(entries), "duration_ps": duration}


def _entry(arrays: dict[str, Any], delays: str, index: int, duration: int) -> Entry:
    return round(float(arrays["ones"][index]) * duration), int(arrays[delays][index])


def _parts(name: str) -> list[str]:
    """The instances of a flattened name, and its net. A bit's index is part of the net."""
    head, bracket, index = name.partition("[")
    *path, leaf = head.split(".")
    return [*path, leaf + bracket + index]


def _instance(handle: TextIO, name: str, tree: dict[str, Any], duration: int, indent: str) -> None:
    handle.write(f"{indent}(INSTANCE {escape(name)}\n{indent} (NET\n")
    for net, entry in tree.items():
        if not net.startswith("/"):
            high, toggles = entry
            handle.write(
                f"{indent}  ({escape(net)} (T0 {duration - high}) (T1 {high}) (TZ 0) (TX 0) (TB 0)"
                f" (TC {toggles}))\n"
            )
    handle.write(f"{indent} )\n")
    for part, below in tree.items():
        if part.startswith("/"):
            _instance(handle, part[1:], below, duration, indent + " ")
    handle.write(f"{indent})\n")


def escape(name: str) -> str:
    """A name as SAIF has it: a backslash before what is special."""
    return SPECIAL.sub(r"\\\1", name)
