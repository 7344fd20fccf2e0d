"""Runs a `Circuit` on many lanes at once: one fixed C program, driven by tables.

The program (``netlist_engine.c``) is compiled once per machine and number of lanes, and kept in
edgeflow's cache. Where there is no C compiler, `netlist_numpy_job` does the same, slower.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from edgeflow.errors import JobError, ToolError, UnsupportedError
from edgeflow.store import cache_root
from edgeflow.synthesis.netlist_circuit_job import (
    CLASSES,
    DELAYS,
    Circuit,
    Multiply,
    Read,
    Table,
    inputs_of,
    order,
    outputs_of,
)

ENGINE: Final = Path(__file__).with_name("netlist_engine.c")
COMPILERS: Final = ("cc", "gcc", "clang")
UNIT: Final = {"logic": 1, "carry": 1, "memory": 1, "dsp": 1, "io": 1, "inner": 1}
"""Every primitive takes one unit of time."""
GROUPS: Final = len(CLASSES) + 1
MOST_MEMORY: Final = 8 * 2**30
"""Bytes that the lanes' memories may take; more lanes than that are not used."""

U64 = npt.NDArray[np.uint64]


class Engine(Protocol):
    """What both engines do. `words` is the number of 64-lane words of a net."""

    name: str
    words: int
    totals: U64

    def reset(self) -> None:
        """Everything back to its first state, settled; nothing counted."""
        ...

    def watch(self, count: bool, mask: U64 | None = None) -> None:
        """Count toggles from here on (or stop), in the lanes of `mask`; zeroes the counts."""
        ...

    def run(
        self,
        clocked: bool,
        inputs: Sequence[int],
        values: U64,
        outputs: Sequence[int],
        masks: U64 | None = None,
    ) -> U64:
        """Steps of plain inputs: values [step, net, word] to outputs' [step, net, word]."""
        ...

    def stream(
        self,
        handshake: Sequence[int],
        inputs: Sequence[int],
        beats: U64,
        counts: npt.NDArray[np.int64],
        outputs: Sequence[int],
        wanted: npt.NDArray[np.int64],
        limit: int,
        bucket: int = 0,
    ) -> tuple[U64, npt.NDArray[np.int32], npt.NDArray[np.int32], int]:
        """Valid/ready: beats [lane, beat, word] to what comes out, and when."""
        ...

    def counted(self) -> tuple[U64, U64]:
        """Toggles and steps at one, by net, since `watch`."""
        ...


class CEngine:
    """The C program on one circuit.

    Args:
        circuit: what to run.
        words: 64-lane words per net: 1, 2, 4 or 8.
        delays: units of time by kind of element (`UNIT`); None for zero-delay counts.

    Raises:
        ToolError: there is no C compiler.
        UnsupportedError: the circuit has a loop.
    """

    name = "c"

    def __init__(
        self, circuit: Circuit, words: int = 4, delays: Mapping[str, int] | None = None
    ) -> None:
        self.words = words
        self.circuit = circuit
        self._library = library(words)
        self._arrays = arrays(circuit, delays or UNIT)
        self._glitch = delays is not None
        sizes, *tables = self._arrays
        self._sim = self._library.nl_make(pointer(sizes), *(pointer(table) for table in tables))
        if not self._sim:
            raise JobError("not enough memory for the lanes of the simulation")
        self.totals = np.zeros((0, GROUPS, words), np.uint64)
        self._toggles = np.zeros(circuit.nets, np.uint64)
        self._ones = np.zeros(circuit.nets, np.uint64)
        self._counting = False
        self.reset()

    def __del__(self) -> None:
        if getattr(self, "_sim", None):
            self._library.nl_release(self._sim)
            self._sim = None

    def reset(self) -> None:
        """See `Engine`."""
        self.watch(False)
        self._library.nl_reset(self._sim)
        self._check(self._library.nl_step(self._sim, 0, 0, None, None))

    def watch(self, count: bool, mask: U64 | None = None) -> None:
        """See `Engine`."""
        self._counting = count
        whole = np.full(self.words, ~np.uint64(0))
        self._mask = whole if mask is None else np.ascontiguousarray(mask, np.uint64)
        self._toggles[:] = 0
        self._ones[:] = 0
        self._attach(None)

    def _attach(self, totals: U64 | None) -> None:
        on = self._counting
        self._library.nl_watch(
            self._sim,
            pointer(self._toggles) if on else None,
            pointer(self._ones) if on else None,
            None if totals is None else pointer(totals),
            pointer(self._mask),
            int(on and self._glitch),
        )

    def run(
        self,
        clocked: bool,
        inputs: Sequence[int],
        values: U64,
        outputs: Sequence[int],
        masks: U64 | None = None,
    ) -> U64:
        """See `Engine`."""
        steps = len(values)
        values = np.ascontiguousarray(values, np.uint64)
        found = np.zeros((steps, len(outputs), self.words), np.uint64)
        into = np.array(inputs, np.int32)
        out = np.array(outputs, np.int32)
        if masks is not None:
            masks = np.ascontiguousarray(masks, np.uint64)
        totals = np.zeros((steps, GROUPS, self.words), np.uint64) if self._counting else None
        self._attach(totals)
        self._check(
            self._library.nl_run(
                self._sim,
                steps,
                int(clocked),
                len(into),
                pointer(into),
                pointer(values),
                len(out),
                pointer(out),
                pointer(found),
                None if masks is None else pointer(masks),
                GROUPS * self.words,
            )
        )
        if totals is not None:
            self.totals = totals
        return found

    def stream(
        self,
        handshake: Sequence[int],
        inputs: Sequence[int],
        beats: U64,
        counts: npt.NDArray[np.int64],
        outputs: Sequence[int],
        wanted: npt.NDArray[np.int64],
        limit: int,
        bucket: int = 0,
    ) -> tuple[U64, npt.NDArray[np.int32], npt.NDArray[np.int32], int]:
        """See `Engine`; `bucket` is the number of cycles whose counts are added up."""
        lanes = 64 * self.words
        into, out = np.array(inputs, np.int32), np.array(outputs, np.int32)
        most, most_out = beats.shape[1], int(wanted.max())
        taken = np.zeros((lanes, most_out, (len(out) + 63) // 64), np.uint64)
        starts = np.full((lanes, most), -1, np.int32)
        ends = np.full((lanes, most_out), -1, np.int32)
        bucket = bucket or limit
        totals = None
        if self._counting:
            totals = np.zeros((limit // bucket + 1, GROUPS, self.words), np.uint64)
        self._attach(totals)
        beats = np.ascontiguousarray(beats, np.uint64)
        counts = np.ascontiguousarray(counts, np.int64)
        wanted = np.ascontiguousarray(wanted, np.int64)
        pins = np.array(handshake, np.int32)
        cycles = self._library.nl_stream(
            self._sim, limit, pointer(pins), len(into), pointer(into), pointer(beats),
            pointer(counts), most, len(out), pointer(out), pointer(taken), pointer(wanted),
            most_out, pointer(starts), pointer(ends), GROUPS * self.words, bucket,
        )  # fmt: skip
        self._check(min(cycles, 0))
        if totals is not None:
            self.totals = totals[: cycles // bucket + 1]
        return taken, starts, ends, int(cycles)

    def counted(self) -> tuple[U64, U64]:
        """See `Engine`."""
        return self._toggles.copy(), self._ones.copy()

    def _check(self, code: int) -> None:
        if code == -1:
            raise JobError("not enough memory for the events of the simulation")
        if code == -2:
            raise unsettled()
        if code == -3:
            raise stalled()


def unsettled() -> UnsupportedError:
    """What every engine says of a loop without a register."""
    return UnsupportedError("the netlist does not settle: an asynchronous reset depends on itself")


def stalled() -> JobError:
    """What every engine says of a design that stops taking or giving beats."""
    return JobError(
        "the design did not give all its outputs within the cycles allowed",
        remedy="its handshake stalls: look at the RTL simulation first",
    )


def arrays(circuit: Circuit, delays: Mapping[str, int]) -> list[npt.NDArray[Any]]:
    """The circuit as the C program's tables, in the order of its function ``make``."""
    units = [delays[name] for name in DELAYS]
    element = np.dtype(
        [(name, np.int32) for name in "kind n_in in n_out out aux flags delay".split()]
        + [("table", np.uint64)],
        align=True,
    )
    ordered = order(circuit)
    pins: list[int] = []
    rows = []
    fan: list[list[int]] = [[] for _ in range(circuit.nets)]
    reads: list[list[int]] = [[] for _ in circuit.memories]
    for index, item in enumerate(ordered):
        sources, targets = inputs_of(item), outputs_of(item)
        at = len(pins)
        pins += [*sources, *targets]
        aux, flags, table = 0, 0, 0
        if isinstance(item, Table):
            table = item.table
        elif isinstance(item, Read):
            aux = item.memory
            reads[item.memory].append(index)
        else:
            aux, flags = len(item.a), item.a_signed | item.b_signed << 1
        kind = (Table, Read, Multiply).index(type(item))
        outs = at + len(sources)
        rows.append(
            (
                kind,
                len(sources),
                at,
                len(targets),
                outs,
                aux,
                flags,
                max(1, units[item.delay]),
                table,
            )
        )
        for net in set(sources):
            fan[net].append(index)
    registers = [
        (r.d, r.q, r.enable, r.reset, r.reset_value, r.asynchronous, r.initial)
        for r in circuit.registers
    ]
    writes = []
    for write in circuit.writes:
        at = len(pins)
        pins += [*write.address, *write.data, *write.enables]
        n, m = len(write.address), len(write.data)
        writes.append((write.memory, n, at, m, at + n, at + n + m))
    written = {write.memory for write in circuit.writes}
    memories: list[tuple[int, int, int, bool]] = []
    contents: list[int] = []
    for index, memory in enumerate(circuit.memories):
        memories.append((memory.words, len(contents), memory.width, index not in written))
        contents += [*memory.contents, *[0] * (memory.words - len(memory.contents))]
    fan_start, fan_flat = _ragged(fan)
    read_start, read_flat = _ragged(reads)
    sizes = [
        circuit.nets,
        len(rows),
        len(registers),
        len(writes),
        len(memories),
        max(1, *units),
        len(CLASSES),
    ]
    return [
        np.array(sizes, np.int64),
        np.array(rows, element),
        np.array(pins, np.int32),
        np.array(registers, np.int32),
        np.array(writes, np.int32),
        np.array(memories, np.int64),
        np.array(contents, np.uint64),
        fan_start,
        fan_flat,
        read_start,
        read_flat,
        np.array(circuit.classes, np.uint8),
    ]


def _ragged(rows: Sequence[Sequence[int]]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    starts = np.zeros(len(rows) + 1, np.int32)
    starts[1:] = np.cumsum([len(row) for row in rows])
    return starts, np.array([value for row in rows for value in row], np.int32)


def pointer(array: npt.NDArray[Any]) -> ctypes.c_void_p:
    """Where an array's data lie; the caller keeps the array alive."""
    return ctypes.c_void_p(array.ctypes.data)


def compiler() -> str | None:
    """A C compiler: ``$CC``, or one on PATH."""
    wanted = os.environ.get("CC")
    for name in [wanted] if wanted else COMPILERS:
        if path := shutil.which(name):
            return path
    return None


def library(words: int) -> ctypes.CDLL:
    """The C program for a number of words, compiled now unless edgeflow's cache has it.

    Raises:
        ToolError: there is no compiler, or it failed.
    """
    path = compiler()
    if path is None:
        raise ToolError(
            "expected a C compiler (cc, gcc or clang) on PATH, found none",
            remedy="install one, or name it in the variable CC",
        )
    text = ENGINE.read_text()
    flags = ["-O3", "-march=native", "-fPIC", "-shared", "-Wno-psabi", f"-DW={words}"]
    key = hashlib.sha256("\0".join([text, path, *flags, _processor()]).encode()).hexdigest()
    target = cache_root() / "netlist" / f"{key[:24]}.so"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            source, made = Path(scratch, "engine.c"), Path(scratch, "engine.so")
            source.write_text(text)
            done = subprocess.run(
                [path, *flags, "-o", str(made), str(source)],
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            if done.returncode:
                raise ToolError(
                    f"the C compiler '{Path(path).name}' failed on the simulation engine",
                    details=done.stderr.splitlines()[:10],
                    remedy="name another compiler in the variable CC",
                )
            made.replace(target)
    found = ctypes.CDLL(str(target))
    p, n = ctypes.c_void_p, ctypes.c_int64
    found.nl_make.restype, found.nl_make.argtypes = p, [p] * 12
    found.nl_release.restype, found.nl_release.argtypes = None, [p]
    found.nl_reset.restype, found.nl_reset.argtypes = None, [p]
    found.nl_watch.restype, found.nl_watch.argtypes = None, [p, p, p, p, p, n]
    found.nl_step.argtypes = [p, n, n, p, p]
    found.nl_run.argtypes = [p, n, n, n, p, p, n, p, p, p, n]
    found.nl_stream.restype = n
    found.nl_stream.argtypes = [p, n, p, n, p, p, p, n, n, p, p, p, n, p, p, n, n]
    return found


def _processor() -> str:
    """What the processor can do: code that was compiled for another may not run here."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
