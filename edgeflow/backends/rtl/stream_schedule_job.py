"""The schedule of a stream design: its stages' control, run cycle by cycle without any data.

It gives latency and initiation interval before there is RTL, and how full a FIFO gets. Beats
carry no values, for control never depends on them.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeflow.backends.rtl.stream_stages_job import Stage, Stream
from edgeflow.errors import UnsupportedError

FRAMES = 6
"""Inferences that are run; the interval is that of the last two."""
IDLE = 1 << 17
"""Cycles without any beat moving that count as a deadlock."""


@dataclass(frozen=True)
class Schedule:
    """In cycles: ``latency`` from the edge that takes the first beat to the one that gives the
    last, of the first inference, both ends always ready; ``interval`` between inferences."""

    latency: int
    interval: int
    cycles: int


def run(
    stages: list[Stage], source: Stream, sink: Stream, frames: int = FRAMES, limit: int = 1 << 28
) -> Schedule:
    """Run so many inferences from reset. ``stages`` are in the order of the data.

    Raises:
        UnsupportedError: nothing moves any more (a FIFO is too shallow), or `limit` is passed.
    """
    names = [s.name for stage in stages for s in (*stage.inputs, *stage.outputs)]
    place = {name: index for index, name in enumerate(dict.fromkeys(names))}
    inward = [[place[s.name] for s in stage.inputs] for stage in stages]
    outward = [[place[s.name] for s in stage.outputs] for stage in stages]
    first, last = place[source.name], place[sink.name]
    valid, ready = [False] * len(place), [False] * len(place)
    for stage in stages:
        stage.reset()
    order = list(zip(stages, inward, outward, strict=True))
    backward = order[::-1]
    cycle = given = taken = still = 0
    total = frames * sink.beats
    offered = frames * source.beats
    ends: list[int] = []
    begin = 0
    while taken < total:
        valid[first] = given < offered
        ready[last] = True
        for stage, _, outs in order:
            for at, flag in zip(outs, stage.valid, strict=True):
                valid[at] = flag
        for stage, ins, outs in backward:
            flags = stage.ready([valid[i] for i in ins], [ready[o] for o in outs])
            for at, flag in zip(ins, flags, strict=True):
                ready[at] = flag
        went = [v and r for v, r in zip(valid, ready, strict=True)]
        for stage, ins, outs in order:
            stage.step([went[i] for i in ins], [went[o] for o in outs])
        if went[first]:
            begin = cycle if given == 0 else begin
            given += 1
        if went[last]:
            taken += 1
            if taken % sink.beats == 0:
                ends.append(cycle)
        still = 0 if any(went) else still + 1
        cycle += 1
        if still > IDLE or cycle > limit:
            raise UnsupportedError(
                f"the design's schedule stands still after {cycle} cycles, with "
                f"{taken} of {total} beats out",
                remedy="this is a fault of edgeflow's; use the style 'pipelined'",
            )
    interval = ends[-1] - ends[-2] if frames > 1 else ends[0]
    return Schedule(ends[0] - begin, interval, cycle)
