"""The shared engine: one set of multipliers (or comparators) that walks over a tensor in a memory.

Convolutions, dense layers and pooling are one machine here. Beats go into a circular memory as
they come. A counter per loop (row, column, group of outputs, row and column of the window, group
of inputs) makes the address of the next word; a word that has not come yet is waited for, one
outside the image counts as zero. With n_in inputs in parallel and n_out outputs in parallel
(FINN's SIMD and PE), a position takes

    reuse factor = (window * channels / n_in) * (filters / n_out)

cycles and n_in * n_out multipliers. Weights are in a read-only memory beside it, one word per
cycle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from edgeflow.backends.fixed_job import Array
from edgeflow.backends.rtl.stream_signals_job import (
    counter_bits,
)
from edgeflow.backends.rtl.stream_stages_job import Stage

TREE = 2
"""Levels of the adder tree between registers."""
FIFO_WORDS = 4
"""Words of a memory whose words are read once each, in the order in which they come."""


@dataclass(frozen=True)
class Geometry:
    """A window over an image (one row where there is none): Keras' names, (rows, columns)."""

    size: tuple[int, int]
    out: tuple[int, int]
    window: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    before: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)

    @property
    def positions(self) -> int:
        """Outputs per channel."""
        return self.out[0] * self.out[1]

    @property
    def padded(self) -> tuple[bool, bool]:
        """Whether a window reaches outside, by rows and by columns."""
        found = []
        for axis in (0, 1):
            last = (self.out[axis] - 1) * self.strides[axis] - self.before[axis]
            last += (self.window[axis] - 1) * self.dilation[axis]
            found.append(self.before[axis] > 0 or last >= self.size[axis])
        return found[0], found[1]


@dataclass(frozen=True)
class Loop:
    """One counter: what a step of it adds to the address, the row and the column."""

    name: str
    count: int
    step: int
    row: int = 0
    column: int = 0


@dataclass(frozen=True)
class Walk:
    """What a frame reads, word by word: address, whether it is outside, whether it ends a sum,
    and the first address still needed afterwards."""

    address: list[int]
    outside: list[bool]
    last: list[bool]
    free: list[int]
    words: int


@dataclass
class Walker(Stage):
    """``mode``: ``mac`` (every output reads every channel), or, each channel on its own, ``each``
    (products with weights), ``max``, ``sum``.

    ``weights``: integers, ``(rows, columns, channels, filters)``; for ``each``
    ``(rows, columns, channels)``. ``dsp``: so many multipliers are left to the synthesis (``*``,
    which makes DSP blocks of them), the others are made of adders.
    """

    mode: str = "mac"
    geometry: Geometry = field(default_factory=lambda: Geometry((1, 1), (1, 1)))
    weights: Array | None = None
    dsp: int = 0

    # -- the plan ---------------------------------------------------------------------------

    @property
    def parallel(self) -> tuple[int, int]:
        """Inputs and outputs in parallel."""
        return self.inputs[0].lanes, self.outputs[0].lanes

    @property
    def multipliers(self) -> int:
        """Multipliers side by side."""
        inputs, outputs = self.parallel
        return {"mac": inputs * outputs, "each": inputs}.get(self.mode, 0)

    @property
    def groups(self) -> tuple[int, int]:
        """Words per position in the memory, and beats per position of the output."""
        return self.inputs[0].groups, self.outputs[0].groups

    @cached_property
    def loops(self) -> list[Loop]:
        """Outermost first; loops of one round are left out."""
        g, (words, outs) = self.geometry, self.groups
        (_, columns), (down, right) = g.size, g.strides
        each = self.mode != "mac"
        high, wide = g.dilation
        found = [
            Loop("oy", g.out[0], down * columns * words, down, 0),
            Loop("ox", g.out[1], right * words, 0, right),
            Loop("og", outs, 1 if each else 0),
            Loop("ky", g.window[0], high * columns * words, high, 0),
            Loop("kx", g.window[1], wide * words, 0, wide),
            Loop("cg", 1 if each else words, 1),
        ]
        return [loop for loop in found if loop.count > 1]

    def jumps(self, index: int) -> tuple[int, int, int]:
        """What address, row and column change by when loop `index` steps and those inside begin
        again; index -1 is the next inference."""
        g, (words, _) = self.geometry, self.groups
        inner = self.loops[index + 1 :] if index >= 0 else self.loops
        step = (
            (self.loops[index].step, self.loops[index].row, self.loops[index].column)
            if index >= 0
            else (g.size[0] * g.size[1] * words, 0, 0)
        )
        back = (
            sum((loop.count - 1) * loop.step for loop in inner),
            sum((loop.count - 1) * loop.row for loop in inner),
            sum((loop.count - 1) * loop.column for loop in inner),
        )
        return step[0] - back[0], step[1] - back[1], step[2] - back[2]

    @cached_property
    def start(self) -> int:
        """The first window's address: before the image where that is padded."""
        g = self.geometry
        return -(g.before[0] * g.size[1] + g.before[1]) * self.groups[0]

    @cached_property
    def in_order(self) -> bool:
        """Whether every word is read once, in the order in which they come."""
        if any(self.geometry.padded):
            return False
        return all(self.jumps(index)[0] == 1 for index in range(-1, len(self.loops)))

    @cached_property
    def releasing(self) -> frozenset[str]:
        """The loops whose step leaves behind every word before the new window."""
        g = self.geometry
        if g.size[0] == 1 or g.window == (1, 1):
            return frozenset(("oy", "ox"))
        return frozenset(("oy",))

    @property
    def reuse_factor(self) -> int:
        """Reads (cycles) per position; products per multiplier."""
        count = 1
        for loop in self.loops:
            count *= loop.count if loop.name in ("og", "ky", "kx", "cg") else 1
        return count

    @cached_property
    def walk(self) -> Walk:
        """The reads of one inference, the first word of which has the address 0."""
        g = self.geometry
        counts = [loop.count for loop in self.loops] or [1]
        reads = int(np.prod(counts))
        index = np.indices(counts).reshape(len(counts), -1)
        address = np.full(reads, self.start)
        row, column = np.full(reads, -g.before[0]), np.full(reads, -g.before[1])
        for loop, values in zip(self.loops, index, strict=False):
            address = address + loop.step * values
            row = row + loop.row * values
            column = column + loop.column * values
        outside = (row < 0) | (row >= g.size[0]) | (column < 0) | (column >= g.size[1])
        inner = 1
        for loop in self.loops:
            inner *= loop.count if loop.name in ("ky", "kx", "cg") else 1
        last = np.arange(1, reads + 1) % inner == 0
        words = g.size[0] * g.size[1] * self.groups[0]
        if self.in_order:
            free = address + 1
        else:
            free = np.zeros(reads, int)
            # A read is a step of the outermost loop whose inner ones are at their ends.
            for at in np.flatnonzero(self._steps(index, counts)):
                if at + 1 < reads:
                    y, x = int(row[at + 1]), int(column[at + 1])
                    if (y if g.size[0] > 1 else x) >= 0:
                        free[at] = address[at + 1] - min(x, 0) * self.groups[0]
            free = np.maximum.accumulate(free)
            free[-1] = words
        return Walk(address.tolist(), outside.tolist(), last.tolist(), free.tolist(), words)

    def _steps(self, index: Array, counts: list[int]) -> Array:
        """Which reads are the last before a releasing loop's step."""
        names = [loop.name for loop in self.loops]
        inner = [i for i, name in enumerate(names) if name not in self.releasing]
        found = np.ones(index.shape[1], bool)
        for i in inner:
            found &= index[i] == counts[i] - 1
        return found

    @cached_property
    def depth(self) -> int:
        """Words of the memory, a power of two: what must be there at once, and as much again as
        one step lets go, so that the writer goes on meanwhile."""
        walk = self.walk
        if self.in_order:
            return FIFO_WORDS
        held, need, step = 0, 1, 1
        for address, outside, free in zip(walk.address, walk.outside, walk.free, strict=True):
            if not outside:
                need = max(need, address + 1 - held)
            step = max(step, free - held)
            held = max(held, free)
        inside = [a for a, out in zip(walk.address, walk.outside, strict=True) if not out]
        rest = walk.words - max(inside, default=0)
        return 1 << counter_bits(max(need + min(step, need), rest, 2))

    # -- the schedule's model ---------------------------------------------------------------

    @property
    def latency(self) -> int:
        """Registers between an address and the sum's last addition."""
        return 2 + self._tree_stages() if self.mode in ("mac", "each") else 1

    def _tree_stages(self) -> int:
        if self.mode != "mac" or self.parallel[0] == 1:
            return 0
        return -(-counter_bits(self.parallel[0]) // TREE)

    def reset(self) -> None:
        """Empty."""
        super().reset()
        self.written = self.freed = self.at = self.base = 0
        self.pipe: list[int] = [0] * self.latency if self.inputs else []
        self.moves = True

    def ready(self, valid: Sequence[bool], takes: Sequence[bool]) -> list[bool]:
        """Room in the memory. A finished sum waits for the one before to go."""
        del valid
        self.moves = not (self.pipe[-1] == 2 and self.valid[0] and not takes[0])
        return [self.written - self.freed < self.depth]

    def step(self, came: Sequence[bool], went: Sequence[bool]) -> None:
        """Issue a read, shift the pipeline, write a word."""
        if went[0]:
            self.valid[0] = False
        if self.moves:
            walk, at = self.walk, self.at
            if self.pipe[-1] == 2:
                self.valid[0] = True
            token = 0
            if walk.outside[at] or self.written > self.base + walk.address[at]:
                token = 2 if walk.last[at] else 1
                self.freed = max(self.freed, self.base + walk.free[at])
                self.at += 1
                if self.at == len(walk.address):
                    self.at = 0
                    self.base += walk.words
            self.pipe = [token, *self.pipe[:-1]]
        self.written += came[0]
