"""The engine for machines without a C compiler: the same answers with numpy, some ten times slower.

Elements of one level and kind are evaluated at once, over all lanes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeflow.errors import ToolError
from edgeflow.synthesis.netlist_circuit_job import (
    Circuit,
    Multiply,
    Read,
    Table,
    inputs_of,
    order,
    outputs_of,
)
from edgeflow.synthesis.netlist_engine_job import GROUPS, U64, stalled, unsettled

Index = npt.NDArray[np.int64]
FULL = ~np.uint64(0)


@dataclass(frozen=True)
class Group:
    """Tables of one level and number of inputs: nets [element, input], tables [element]."""

    inputs: Index
    tables: U64
    outputs: Index

    def evaluate(self, v: U64) -> U64:
        """The outputs [element, word] for the nets' values."""
        width = self.inputs.shape[1]
        rows = np.arange(1 << width, dtype=np.uint64)
        leaves = np.where(self.tables[:, None] >> rows & np.uint64(1), FULL, np.uint64(0))
        found = np.broadcast_to(leaves[:, :, None], (*leaves.shape, v.shape[1]))
        for position in range(width):
            select = v[self.inputs[:, position]][:, None, :]
            low, high = found[:, 0::2], found[:, 1::2]
            found = low ^ ((low ^ high) & select)
        return np.ascontiguousarray(found[:, 0])


class NumpyEngine:
    """See `edgeflow.synthesis.netlist_engine_job.Engine`.

    Raises:
        ToolError: delays by kind of primitive, which only the C engine has.
    """

    name = "numpy"

    def __init__(
        self, circuit: Circuit, words: int = 4, delays: Mapping[str, int] | None = None
    ) -> None:
        if delays is not None and set(delays.values()) != {1}:
            raise ToolError(
                "delays by kind of primitive need a C compiler (cc, gcc or clang), found none",
                remedy="install one, name it in the variable CC, or count with unit delays",
            )
        self.words, self.circuit = words, circuit
        self._glitch = delays is not None
        self._levels = levels(circuit)
        self.totals: U64 = np.zeros((0, GROUPS, words), np.uint64)
        self._classes = np.array(circuit.classes, np.int64)
        r = circuit.registers
        self._d = np.array([x.d for x in r], np.int64)
        self._q = np.array([x.q for x in r], np.int64)
        self._enable = np.array([x.enable for x in r], np.int64)
        self._reset = np.array([x.reset for x in r], np.int64)
        self._value = _splat([x.reset_value for x in r])
        self._initial = _splat([x.initial for x in r])
        self._later = np.flatnonzero([x.asynchronous for x in r])
        self._toggles: U64 = np.zeros(circuit.nets, np.uint64)
        self._ones: U64 = np.zeros(circuit.nets, np.uint64)
        self.reset()

    def reset(self) -> None:
        """See `Engine`."""
        lanes = 64 * self.words
        self._v: U64 = np.zeros((self.circuit.nets, self.words), np.uint64)
        self._v[1] = FULL
        self._v[self._q] = self._initial
        self._memories = []
        for memory in self.circuit.memories:
            first = np.zeros(memory.words, np.uint64)
            first[: len(memory.contents)] = memory.contents
            self._memories.append(np.tile(first, (lanes, 1)))
        self._counting = False
        self._step: U64 = np.zeros((GROUPS, self.words), np.uint64)
        self._settle()

    def watch(self, count: bool, mask: U64 | None = None) -> None:
        """See `Engine`."""
        self._counting = count
        self._mask: U64 = np.full(self.words, FULL) if mask is None else mask
        self._toggles[:] = 0
        self._ones[:] = 0

    def counted(self) -> tuple[U64, U64]:
        """See `Engine`."""
        return self._toggles.copy(), self._ones.copy()

    def run(
        self,
        clocked: bool,
        inputs: Sequence[int],
        values: U64,
        outputs: Sequence[int],
        masks: U64 | None = None,
    ) -> U64:
        """See `Engine`."""
        found = np.zeros((len(values), len(outputs), self.words), np.uint64)
        totals = np.zeros((len(values), GROUPS, self.words), np.uint64)
        for step, row in enumerate(values):
            if masks is not None:
                self._mask = masks[step]
            self._step = totals[step]
            self._advance(clocked, inputs, row)
            found[step] = self._v[list(outputs)]
        if self._counting:
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
        """See `Engine`."""
        lanes, most = beats.shape[:2]
        every = np.arange(lanes)
        in_valid, in_ready, out_valid, out_ready = handshake
        taken = np.zeros((lanes, int(wanted.max()), (len(outputs) + 63) // 64), np.uint64)
        starts = np.full((lanes, most), -1, np.int32)
        ends = np.full(taken.shape[:2], -1, np.int32)
        sent, got = np.zeros(lanes, np.int64), np.zeros(lanes, np.int64)
        bucket = bucket or limit
        totals = np.zeros((limit // bucket + 1, GROUPS, self.words), np.uint64)
        nets = [in_valid, out_ready, *inputs]
        shown = np.zeros(lanes, bool)
        for cycle in range(limit):
            if cycle:
                came = _bits(self._v[out_valid]) & (got < wanted)
                if came.any():
                    lane = every[came]
                    data = _bits(self._v[list(outputs)])[:, lane].T
                    taken[lane, got[lane]] = _words(data, taken.shape[2])
                    ends[lane, got[lane]] = cycle - 1
                    got[lane] += 1
                lane = every[shown & _bits(self._v[in_ready])]
                starts[lane, sent[lane]] = cycle - 1
                sent[lane] += 1
            if (got >= wanted).all():
                if self._counting:
                    self.totals = totals[: cycle // bucket + 1]
                return taken, starts, ends, cycle
            shown = sent < counts
            row = beats[every, np.minimum(sent, most - 1)] * shown[:, None].astype(np.uint64)
            raw = np.unpackbits(row.view(np.uint8), axis=1, bitorder="little")[:, : len(inputs)]
            rows = np.concatenate([shown[None], np.ones((1, lanes), bool), raw.T.astype(bool)])
            self._step = totals[cycle // bucket]
            self._advance(cycle > 0, nets, _words(rows, self.words))
        raise stalled()

    def _advance(self, clocked: bool, inputs: Sequence[int], row: U64) -> None:
        if clocked:
            self._edge()
        for net, value in zip(inputs, row, strict=True):
            self._set(np.array([net]), value[None])
        for _ in range(64):
            self._settle()
            if not self._asynchronous():
                break
        else:
            raise unsettled()
        if self._counting:
            self._ones += np.bitwise_count(self._v & self._mask).sum(1).astype(np.uint64)

    def _edge(self) -> None:
        v = self._v
        enable, reset = v[self._enable], v[self._reset]
        q = v[self._q] ^ ((v[self._q] ^ v[self._d]) & enable)
        q = q ^ ((q ^ self._value) & reset)
        writes = []
        for write in self.circuit.writes:
            on = _numbers(v[list(write.enables)])
            if on.any():
                at, data = _numbers(v[list(write.address)]), _numbers(v[list(write.data)])
                writes.append((write.memory, at.astype(np.int64), data, on))
        for memory, place, data, on in writes:
            held = self._memories[memory]
            lane = np.flatnonzero((on > 0) & (place < held.shape[1]))
            old = held[lane, place[lane]]
            held[lane, place[lane]] = (old & ~on[lane]) | (data[lane] & on[lane])
        self._set(self._q, q)

    def _asynchronous(self) -> bool:
        if not self._later.size:
            return False
        q, on = self._v[self._q[self._later]], self._v[self._reset[self._later]]
        new = q ^ ((q ^ self._value[self._later]) & on)
        changed = bool((new != q).any())
        self._set(self._q[self._later], new)
        return changed

    def _set(self, nets: Index, values: U64) -> None:
        if self._counting:
            change = (self._v[nets] ^ values) & self._mask
            counts = np.bitwise_count(change).astype(np.uint64)
            self._toggles[nets] += counts.sum(1)
            np.add.at(self._step, self._classes[nets], counts)
        self._v[nets] = values

    def _settle(self) -> None:
        if not (self._glitch and self._counting):
            for groups, others in self._levels:
                for group in groups:
                    self._set(group.outputs, group.evaluate(self._v))
                for item in others:
                    self._set(np.array(outputs_of(item)), self._word(item))
            return
        while True:
            found = [
                (group.outputs, group.evaluate(self._v))
                for groups, _ in self._levels
                for group in groups
            ]
            found += [
                (np.array(outputs_of(item)), self._word(item))
                for _, others in self._levels
                for item in others
            ]
            if all((self._v[nets] == values).all() for nets, values in found):
                return
            for nets, values in found:
                self._set(nets, values)

    def _word(self, item: Read | Multiply) -> U64:
        v = self._v
        if isinstance(item, Read):
            held = self._memories[item.memory]
            at = _numbers(v[list(item.address)]).astype(np.int64)
            inside = at < held.shape[1]
            found: U64 = held[np.arange(len(at)), np.where(inside, at, 0)]
            found[~inside] = 0
        else:
            with np.errstate(over="ignore"):
                found = _signed(v[list(item.a)], item.a_signed) * _signed(
                    v[list(item.b)], item.b_signed
                )
        return _planes(found.astype(np.uint64), len(item.outputs), self.words)


def levels(circuit: Circuit) -> list[tuple[list[Group], list[Read | Multiply]]]:
    """The combinational elements by the number of elements before them."""
    depth = np.zeros(circuit.nets, np.int64)
    tables: dict[tuple[int, int], list[Table]] = {}
    words: dict[int, list[Read | Multiply]] = {}
    for item in order(circuit):
        level = 1 + max((int(depth[net]) for net in inputs_of(item)), default=0)
        for net in outputs_of(item):
            depth[net] = level
        if isinstance(item, Table):
            tables.setdefault((level, len(item.inputs)), []).append(item)
        else:
            words.setdefault(level, []).append(item)
    found = []
    for level in range(1, int(depth.max(initial=0)) + 1):
        groups = [
            Group(
                np.array([item.inputs for item in items], np.int64).reshape(len(items), width),
                np.array([item.table for item in items], np.uint64),
                np.array([item.output for item in items], np.int64),
            )
            for (at, width), items in sorted(tables.items(), key=lambda pair: pair[0])
            if at == level
        ]
        found.append((groups, words.get(level, [])))
    return found


def _splat(bits: Sequence[int]) -> U64:
    return np.where(np.array(bits, bool)[:, None], FULL, np.uint64(0)).reshape(len(bits), 1)


def _bits(values: U64) -> npt.NDArray[np.bool_]:
    raw = np.ascontiguousarray(values).view(np.uint8)
    return np.unpackbits(raw, axis=-1, bitorder="little").astype(bool)


def _words(bits: npt.NDArray[Any], count: int) -> U64:
    packed = np.packbits(bits.astype(np.uint8), axis=-1, bitorder="little")
    wide = np.zeros((*packed.shape[:-1], count * 8), np.uint8)
    wide[..., : packed.shape[-1]] = packed
    return wide.view(np.uint64)


def _numbers(planes: U64) -> U64:
    """Planes [bit, word] to a number per lane."""
    return np.ascontiguousarray(_words(_bits(planes).T, 1)[:, 0])


def _signed(planes: U64, signed: bool) -> U64:
    numbers, width = _numbers(planes), len(planes)
    if signed and width < 64:
        top = np.uint64(1) << np.uint64(width - 1)
        numbers = (numbers ^ top) - top
    return numbers


def _planes(numbers: U64, count: int, words: int) -> U64:
    bits = np.unpackbits(
        np.ascontiguousarray(numbers)[:, None].view(np.uint8), axis=1, bitorder="little"
    )
    return _words(bits[:, :count].T, words)
