"""Where tensors lie in the arena: those that are never alive at once share memory."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

ALIGNMENT = 4
"""Bytes; kernels read words."""
TRIES = 2000


@dataclass(frozen=True)
class Block:
    """Memory for `size` bytes from step `first` to step `last`, both included."""

    name: str
    size: int
    first: int
    last: int

    @property
    def padded(self) -> int:
        """The size, rounded up."""
        return -(-self.size // ALIGNMENT) * ALIGNMENT

    def meets(self, other: Block) -> bool:
        """Whether both are alive at some step."""
        return self.first <= other.last and other.first <= self.last


def least(blocks: Sequence[Block]) -> int:
    """Bytes alive at once, at most: no plan can do with less."""
    steps = {block.first for block in blocks}
    return max(
        (sum(b.padded for b in blocks if b.first <= step <= b.last) for step in steps), default=0
    )


def plan(blocks: Sequence[Block], seed: int = 0) -> tuple[dict[str, int], int]:
    """Offsets by name, and the arena's size, both in bytes.

    Blocks are placed one after the other, each in the lowest gap that holds it; the order is
    tried largest first, then shuffled near that, until nothing is wasted or `TRIES` are over.
    """
    bound = least(blocks)
    best: dict[str, int] = {}
    size = 0
    for order in _orders(blocks, seed):
        offsets, end = _place(order)
        if not best or end < size:
            best, size = offsets, end
        if size == bound:
            break
    return best, size


def _orders(blocks: Sequence[Block], seed: int) -> Iterator[list[Block]]:
    yield sorted(blocks, key=lambda b: (-b.padded, b.first))
    yield sorted(blocks, key=lambda b: (b.first, -b.padded))
    yield sorted(blocks, key=lambda b: (b.first - b.last, -b.padded))
    chance = random.Random(seed)  # noqa: S311 - no secret
    for _ in range(TRIES if len(blocks) > 2 else 0):
        yield sorted(blocks, key=lambda b: -b.padded * chance.uniform(0.3, 1))


def _place(order: Sequence[Block]) -> tuple[dict[str, int], int]:
    placed: list[tuple[int, Block]] = []
    for block in order:
        at = 0
        for offset, other in sorted(
            (item for item in placed if item[1].meets(block)), key=lambda item: item[0]
        ):
            if at + block.padded <= offset:
                break
            at = max(at, offset + other.padded)
        placed.append((at, block))
    return (
        {block.name: at for at, block in placed},
        max((at + block.padded for at, block in placed), default=0),
    )
