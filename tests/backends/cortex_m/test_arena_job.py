"""Tensors share memory, and never while both are alive."""

from __future__ import annotations

import random

import pytest

from edgeflow.backends.cortex_m.arena_job import ALIGNMENT, Block, least, plan


@pytest.mark.parametrize("seed", range(30))
def test_blocks_that_are_alive_together_never_overlap(seed: int) -> None:
    chance = random.Random(seed)
    blocks = []
    for number in range(chance.randint(1, 25)):
        first = chance.randint(0, 20)
        last = first + chance.choice([0, 1, 1, 2, 8])
        blocks.append(Block(f"b{number}", chance.choice([1, 7, 64, 1000, 4096]), first, last))
    offsets, size = plan(blocks)
    assert size >= least(blocks)
    assert set(offsets) == {block.name for block in blocks}
    for block in blocks:
        at = offsets[block.name]
        assert at >= 0
        assert at % ALIGNMENT == 0
        assert at + block.size <= size
        for other in blocks:
            if other is not block and other.meets(block):
                there = offsets[other.name]
                assert at + block.size <= there or there + other.size <= at


def test_a_chain_needs_two_tensors() -> None:
    blocks = [Block(f"t{i}", size, i, i + 1) for i, size in enumerate((100, 60, 80, 40))]
    assert least(blocks) == 160
    assert plan(blocks)[1] == 160


def test_nothing_needs_nothing() -> None:
    assert plan([]) == ({}, 0)
    assert least([]) == 0
