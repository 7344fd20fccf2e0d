"""Reading the text of compiled HLO: what the TPU's compiler estimates. Standard library alone."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

_COMPUTATION = re.compile(r"^(ENTRY\s+)?%?([\w.\-]+)\s.*\{\s*$")
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
_NAME = re.compile(r'op_name="([^"]*)"')
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_BOUND = re.compile(r" s32\[\][^ ]* constant\((\d+)\)")
_CONDITION = re.compile(r"condition=%?([\w.\-]+)")
_CALLED = re.compile(r"(?:body|condition|calls|to_apply)=%?([\w.\-]+)")


@dataclass(frozen=True)
class Cycles:
    """The sum of the operations' estimated cycles; by layer, the rest under ``""``.

    ``loops`` counts the loops that remain in the graph, ``unknown`` those of them whose trips
    cannot be told (counted once).
    """

    total: int
    layers: Mapping[str, int]
    loops: int
    unknown: int


def count_cycles(hlo: str, layers: Iterable[str] = ()) -> Cycles:
    """Sum up the estimated cycles in compiled HLO text.

    A loop's body counts as often as the loop runs. An operation belongs to the layer whose name is
    part of its own name, or of the first named operation in it (a fusion's).
    """
    names = frozenset(layers)
    bodies = dict(_computations(hlo))
    entry = next((name for name in bodies if name.startswith("ENTRY ")), None)
    by_layer: defaultdict[str, int] = defaultdict(int)
    loops = unknown = 0

    def add(computation: str, times: int, around: str = "") -> None:
        nonlocal loops, unknown
        for line in bodies.get(computation, ()):
            if found := _CYCLES.search(line):
                by_layer[_layer_of(line, bodies, names) or around] += int(found[1]) * times
            elif " while(" in line:
                loops += 1
                trips = _trips(line, bodies)
                unknown += trips is None
                layer = _layer_of(line, {}, names) or around
                for called in _CALLED.findall(line):
                    add(called, times * (trips or 1), layer)
            elif " call(" in line or " conditional(" in line:
                for called in _CALLED.findall(line):
                    add(called, times, around)

    if entry is not None:
        add(entry, 1)
    return Cycles(sum(by_layer.values()), dict(sorted(by_layer.items())), loops, unknown)


def _layer_of(line: str, bodies: Mapping[str, Sequence[str]], names: frozenset[str]) -> str:
    inner = (text for called in _CALLED.findall(line) for text in bodies.get(called, ()))
    for text in (line, *inner):
        if named := _NAME.search(text):
            for part in named[1].split("/"):
                if part in names:
                    return part
    return ""


def _trips(line: str, bodies: Mapping[str, Sequence[str]]) -> int | None:
    """How often a loop runs: as the compiler says, or as its condition does.

    jax's loops count from 0 while the counter is less than a constant.
    """
    if said := _TRIPS.search(line):
        return int(said[1])
    condition = _CONDITION.search(line)
    text = "\n".join(bodies.get(condition[1], ())) if condition else ""
    bounds = _BOUND.findall(text)
    if len(bounds) == 1 and "direction=LT" in text and "jit(" in text:
        return int(bounds[0])
    return None


def _computations(hlo: str) -> Iterator[tuple[str, list[str]]]:
    """Each computation's name (the entry's with ``ENTRY`` before it) and its lines."""
    name, lines = "", []  # type: str, list[str]
    for line in hlo.splitlines():
        if not line.startswith((" ", "}")) and (match := _COMPUTATION.match(line)):
            name, lines = ("ENTRY " if match[1] else "") + match[2], []
        elif line.startswith("}"):
            yield name, lines
        else:
            lines.append(line)
