"""Puts real inputs through a netlist: bits of ``design.json``'s ports, lanes, cycles.

Lane i takes a contiguous run of the inputs, so that what follows what is what it is in time; for
toggles each lane starts one input earlier, which is not counted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgeflow.errors import InputError, UnsupportedError
from edgeflow.synthesis import netlist_block_job, netlist_dsp_job, netlist_memory_job
from edgeflow.synthesis.netlist_cells_job import lower
from edgeflow.synthesis.netlist_circuit_job import Circuit
from edgeflow.synthesis.netlist_engine_job import GROUPS, U64, CEngine, Engine, compiler
from edgeflow.synthesis.netlist_read_job import read_json

Array = npt.NDArray[Any]
RESET_CYCLES: Final = 4
"""Clock edges under reset before the first input."""
MOST_CYCLES: Final = 50_000_000
REGISTERED: Final = (netlist_memory_job, netlist_block_job, netlist_dsp_job)
"""Modules whose import makes their primitives known to `lower`."""


ROUNDINGS: Final[Mapping[str, Callable[[Array], Array]]] = {
    "AP_RND_CONV": np.rint,
    "AP_RND": lambda q: np.floor(q + 0.5),
    "AP_TRN": np.floor,
    "AP_TRN_ZERO": np.trunc,
    "AP_RND_INF": lambda q: np.sign(q) * np.floor(np.abs(q) + 0.5),
    "AP_RND_ZERO": lambda q: np.sign(q) * np.ceil(np.abs(q) - 0.5),
}
"""What a host does to a value that is not on a port's grid, by ap_fixed's name of it."""


@dataclass(frozen=True)
class Port:
    """A port's elements, in C order of one beat; value = integer x 2**-fraction."""

    name: str
    width: int
    beats: int
    lsb: tuple[int, ...]
    bits: tuple[int, ...]
    signed: tuple[bool, ...]
    fraction: tuple[int, ...]
    rounding: str = "AP_RND_CONV"
    overflow: str = "AP_SAT"

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Port:
        """From ``design.json``'s ``input`` or ``output``."""
        parts = record["elements"]
        return cls(
            str(record["port"]),
            int(record["width"]),
            int(record.get("beats", 1)),
            tuple(int(part["lsb"]) for part in parts),
            tuple(int(part["bits"]) for part in parts),
            tuple(bool(part["signed"]) for part in parts),
            tuple(int(part["fraction"]) for part in parts),
            str(record.get("rounding") or cls.rounding),
            str(record.get("overflow") or cls.overflow),
        )

    def encode(self, values: Array) -> Array:
        """Values [n, …] to bits [n, beats, width] of 0 and 1, rounded as the port says.

        Raises:
            InputError: their number per inference is not the port's.
        """
        n, count = len(values), len(self.lsb)
        flat = np.asarray(values, np.float64).reshape(n, -1)
        if flat.shape[1] != self.beats * count:
            raise InputError(
                f"expected {self.beats * count} values for the design's port '{self.name}', "
                f"found {flat.shape[1]}"
            )
        cube = flat.reshape(n, self.beats, count)
        found = np.zeros((n, self.beats, self.width), np.uint8)
        rounded = ROUNDINGS[self.rounding]
        for index, (lsb, bits) in enumerate(zip(self.lsb, self.bits, strict=True)):
            steps = rounded(cube[:, :, index] * 2.0 ** self.fraction[index])
            if self.overflow != "AP_WRAP":
                signed = self.signed[index] and bits > 0
                high = 2.0 ** (bits - signed) - 1
                low = -high - (self.overflow != "AP_SAT_SYM") if signed else 0.0
                steps = np.clip(steps, low, high)
            whole = steps.astype(np.int64)
            for bit in range(bits):
                found[:, :, lsb + bit] = whole >> bit & 1
        return found

    def decode(self, found: Array) -> Array:
        """Bits [n, beats, width] to values [n, beats * elements], exactly, in float64."""
        n = len(found)
        values = np.zeros((n, self.beats, len(self.lsb)))
        for index, (lsb, bits) in enumerate(zip(self.lsb, self.bits, strict=True)):
            whole = np.zeros((n, self.beats), np.int64)
            for bit in range(bits):
                whole |= found[:, :, lsb + bit].astype(np.int64) << bit
            if self.signed[index] and bits:
                whole -= (whole >> (bits - 1) & 1) << bits
            values[:, :, index] = whole * 2.0 ** -self.fraction[index]
        return values.reshape(n, -1)


@dataclass(frozen=True)
class Design:
    """What of ``design.json`` a simulation needs."""

    top: str
    clock: str | None
    reset: str | None
    latency: int
    ii: int
    input: Port
    output: Port
    handshake: bool

    @classmethod
    def read(cls, folder: Path) -> Design:
        """Read ``design.json`` of a compile folder.

        Raises:
            InputError: it is not there or is no such file.
        """
        path = folder / "design.json" if folder.is_dir() else folder
        try:
            record = json.loads(path.read_text())
            return cls(
                str(record["top"]),
                record.get("clock"),
                record.get("reset"),
                int(record.get("latency_cycles") or 0),
                int(record.get("ii") or 1),
                Port.read(record["input"]),
                Port.read(record["output"]),
                bool(record.get("handshake")),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"expected the design's description (edgeflow.design/1): {error}", where=path.name
            ) from None


def load(netlist: Path, design: Design | None, top: str | None = None) -> Circuit:
    """The lowered netlist with the design's clock checked.

    Raises:
        InputError: no such netlist.
        UnsupportedError: unknown primitives; more than one clock or both of its edges.
    """
    path = netlist / "netlist.json" if netlist.is_dir() else netlist
    circuit, cells = read_json(path, top or (design.top if design else None))
    lower(circuit, cells)
    roots: dict[tuple[int, bool], str] = {}
    for net, falling, cell in circuit.clocks:
        source, inverted = circuit.root(net)
        circuit.clock_nets |= {net, source}
        roots.setdefault((source, falling != inverted), cell)
    if len(roots) > 1:
        raise UnsupportedError(
            "the netlist has more than one clock, or uses both edges of one",
            details=[
                f"{circuit.names.get(net, 'a constant')}{' (falling)' if falling else ''}, "
                f"such as at '{cell}'"
                for (net, falling), cell in sorted(roots.items())
            ],
            remedy="simulate the RTL instead, or synthesise the core alone",
        )
    return circuit


def make_engine(
    circuit: Circuit, words: int, delays: Mapping[str, int] | None, which: str = "auto"
) -> Engine:
    """The C engine, or where there is no compiler (or ``numpy`` is asked for) the numpy one."""
    if which == "numpy" or (which == "auto" and compiler() is None):
        from edgeflow.synthesis.netlist_numpy_job import NumpyEngine

        return NumpyEngine(circuit, words, delays)
    return CEngine(circuit, words, delays)


def to_words(bits: Array, words: int) -> U64:
    """0 and 1 by [..., lane] to [..., word]: lane i is bit i % 64 of word i // 64."""
    packed = np.packbits(bits.astype(np.uint8), axis=-1, bitorder="little")
    return np.ascontiguousarray(packed).view(np.uint64).reshape(*bits.shape[:-1], words)


def to_lanes(values: U64) -> npt.NDArray[np.uint8]:
    """[..., word] to 0 and 1 by [..., lane]."""
    raw = np.ascontiguousarray(values).view(np.uint8)
    return np.unpackbits(raw, axis=-1, bitorder="little")


@dataclass(frozen=True)
class Lanes:
    """Which input each lane takes at each of its turns; -1 where it has none left.

    ``counted`` says which turns count for toggles: not the repeated one at a lane's start.
    """

    order: npt.NDArray[np.int64]
    counted: npt.NDArray[np.bool_]

    @classmethod
    def split(cls, n: int, lanes: int, overlap: bool) -> Lanes:
        """n inputs over the lanes in runs of one length; with `overlap` each begins one earlier."""
        run = -(-n // lanes)
        starts = np.arange(lanes) * run
        steps = np.arange(run + overlap) - int(overlap)
        order = starts[:, None] + steps[None, :]
        over = (order >= n) | (starts[:, None] >= n)
        counted = ~over & (steps[None, :] >= 0) & (order > 0)
        first = np.where(starts < n, starts, -1)
        order = np.where(over, -1, np.where(order < 0, first[:, None], order))
        return cls(order.astype(np.int64), counted)


@dataclass
class Outcome:
    """Outputs [n, beats, width] in bits, and what was counted."""

    bits: Array
    cycles: int
    """Clock cycles of the whole run (0 without a clock)."""
    latency: float | None = None
    """Cycles from an inference's first beat taken to its last one out, where it was measured."""
    interval: float | None = None
    """Cycles between two inferences in the steady state, where it was measured."""
    toggles: U64 | None = None
    ones: U64 | None = None
    samples: Array | None = None
    """Toggles per [sample, class], each sample over the same number of inferences."""
    inferences: float = 0
    """How many inferences the toggles are of."""
    steps: float = 0
    """How many steps (clock cycles, summed over the lanes) `ones` is of."""


def pins(circuit: Circuit, port: str, width: int, output: bool = False) -> list[int]:
    """The nets of a port.

    Raises:
        InputError: the netlist has no such port of that width.
    """
    nets = (circuit.outputs if output else circuit.inputs).get(port)
    if nets is None or len(nets) != width:
        raise InputError(
            f"expected a port '{port}' of {width} bits in the netlist's module '{circuit.top}', "
            f"found {'none' if nets is None else f'{len(nets)} bits'}",
            remedy="synthesise this design again",
        )
    return nets


def run(
    circuit: Circuit, design: Design, engine: Engine, bits: Array, count: bool = False
) -> Outcome:
    """Put inputs (bits [n, beats, width]) through the netlist.

    Raises:
        InputError: a port is not as ``design.json`` says.
        JobError: the handshake stalls.
    """
    if design.reset and design.reset in circuit.inputs:
        net = circuit.inputs[design.reset]
        lanes = 64 * engine.words
        pulse = to_words(np.ones((RESET_CYCLES, 1, lanes), np.uint8), engine.words)
        engine.run(True, net, pulse, [])
        engine.run(True, net, np.zeros_like(pulse), [])
    if design.handshake:
        return _stream(circuit, design, engine, bits, count)
    return _plain(circuit, design, engine, bits, count)


def _plain(circuit: Circuit, design: Design, engine: Engine, bits: Array, count: bool) -> Outcome:
    if design.input.beats != 1 or design.output.beats != 1:
        raise InputError("a design of several beats needs a handshake")
    into = pins(circuit, design.input.name, design.input.width)
    out = pins(circuit, design.output.name, design.output.width, output=True)
    n, lanes = len(bits), 64 * engine.words
    clocked = design.clock is not None and bool(circuit.clocks)
    latency = design.latency if clocked else 0
    plan = Lanes.split(n, lanes, overlap=count)
    # Before what is counted, a pipeline is filled with what a lane begins with.
    warm = latency if count else 0
    at = np.concatenate([np.repeat(plan.order[:, :1], warm, 1), plan.order], 1)
    at = np.concatenate([at, np.full((lanes, latency), -1)], 1)
    last = np.maximum.accumulate(np.where(at >= 0, np.arange(at.shape[1]), 0), 1)
    held = np.maximum(np.take_along_axis(at, last, 1), 0)  # a lane at its end keeps its last
    values = to_words(bits[held, 0].transpose(1, 2, 0), engine.words)
    toggles = ones = samples = None
    inferences, steps = 0.0, 0.0
    if count:
        # Nothing toggles before a lane's first input changes nor after its last has passed, so all
        # that is counted belongs to the changes from one input to the next.
        fill = warm + 1
        used = to_words((plan.order[:, 0] >= 0).astype(np.uint8), engine.words)
        engine.watch(False)
        engine.run(clocked, into, values[:fill], [])
        engine.watch(True, used)
        found = engine.run(clocked, into, values[fill:], out)
        toggles, ones = engine.counted()
        inferences = float(plan.counted.sum())
        steps = float((plan.order[:, 0] >= 0).sum() * len(found))
        samples = _samples(plan, engine, latency)
        engine.watch(False)
        result, where = to_lanes(found)[latency:], plan.order[:, 1:]
    else:
        result, where = to_lanes(engine.run(clocked, into, values, out))[latency:], plan.order
    answer = np.zeros((n, 1, design.output.width), np.uint8)
    for turn in range(where.shape[1]):
        lane = np.flatnonzero(where[:, turn] >= 0)
        answer[where[lane, turn], 0] = result[turn][:, lane].T
    return Outcome(
        answer,
        len(values) if clocked else 0,
        float(latency) if clocked else None,
        1.0 if clocked else None,
        toggles,
        ones,
        samples,
        inferences,
        steps,
    )


def _samples(plan: Lanes, engine: Engine, latency: int) -> Array:
    """Toggles per inference by [sample, class]: of a word of lanes at one step, or at all steps
    where a pipeline is never full of changes."""
    turns = plan.counted.shape[1] - 1
    per = plan.counted[:, 1:].T.reshape(turns, engine.words, 64).sum(2)
    totals = engine.totals.transpose(0, 2, 1).astype(float)
    if turns > latency + 1:
        # at step s the pipeline works on the changes of turns s - latency to s
        full = np.stack([per[s - latency : s + 1].min(0) for s in range(latency, turns)])
        whole = full > 0.5 * full.max()
        if whole.sum() > 1:
            return np.asarray(totals[latency:turns][whole] / full[whole][:, None])
    every = per.sum(0)
    return np.asarray(totals.sum(0)[every > 0] / every[every > 0][:, None])


def _stream(circuit: Circuit, design: Design, engine: Engine, bits: Array, count: bool) -> Outcome:
    into = pins(circuit, "in_data", design.input.width)
    out = pins(circuit, "out_data", design.output.width, output=True)
    handshake = [
        pins(circuit, "in_valid", 1)[0],
        pins(circuit, "in_ready", 1, output=True)[0],
        pins(circuit, "out_valid", 1, output=True)[0],
        pins(circuit, "out_ready", 1)[0],
    ]
    n, lanes = len(bits), 64 * engine.words
    beats, beats_out = design.input.beats, design.output.beats
    plan = Lanes.split(n, lanes, overlap=False)
    turns = plan.order.shape[1]
    wide = -(-design.input.width // 64)
    padded = np.zeros((n, beats, wide * 64), np.uint8)
    padded[:, :, : design.input.width] = bits
    packed = np.packbits(padded, axis=-1, bitorder="little").view(np.uint64)
    data = packed[np.maximum(plan.order, 0)].reshape(lanes, turns * beats, wide)
    each = (plan.order >= 0).sum(1)
    ii = max(design.ii, beats, 1)
    limit = min(4 * (turns + 2) * ii + 4 * design.latency + 2000, MOST_CYCLES)
    engine.watch(count)
    taken, starts, ends, cycles = engine.stream(
        handshake, into, data, each * beats, out, each * beats_out, limit, ii if count else 0
    )
    toggles, ones = engine.counted() if count else (None, None)
    raw = np.unpackbits(np.ascontiguousarray(taken).view(np.uint8), axis=-1, bitorder="little")[
        :, :, : design.output.width
    ]
    answer = np.zeros((n, beats_out, design.output.width), np.uint8)
    for lane in np.flatnonzero(each):
        k = int(each[lane])
        answer[plan.order[lane, :k]] = raw[lane, : k * beats_out].reshape(k, beats_out, -1)
    first = starts[:, : turns * beats].reshape(lanes, turns, beats)[:, :, 0]
    final = ends[:, : turns * beats_out].reshape(lanes, turns, beats_out)[:, :, -1]
    done = plan.order >= 0
    # later inferences wait for the ones before them
    latency = float(np.mean((final - first + 1)[done[:, 0], 0]))
    interval = None
    if turns > 1:
        gaps = np.diff(final, axis=1)[done[:, 1:]]
        interval = float(gaps.mean()) if gaps.size else None
    samples = None
    if count:
        # a sample is what a word of lanes does in the time of one inference, in the steady state
        used = np.maximum(done[:, 0].reshape(engine.words, 64).sum(1), 1)
        steady = engine.totals[1:turns] if turns > 2 else engine.totals
        samples = (steady.transpose(0, 2, 1) / used[None, :, None]).reshape(-1, GROUPS)
    return Outcome(
        answer, cycles, latency, interval, toggles, ones, samples, float(n),
        float(cycles * lanes),
    )  # fmt: skip


def words_for(n: int, most: int = 8, least_turns: int = 1) -> int:
    """64-lane words for n inputs, so that a lane has at least `least_turns` of them."""
    words = 1
    while words < most and n >= 64 * words * 2 * least_turns:
        words *= 2
    return words


def quantities(outcome: Outcome) -> dict[str, float | int | None]:
    """Cycles as plain data."""
    return {
        "cycles": outcome.cycles,
        "latency_cycles": outcome.latency,
        "ii": outcome.interval,
    }


__all__: Sequence[str] = ("Design", "Lanes", "Outcome", "Port", "load", "make_engine", "run")
