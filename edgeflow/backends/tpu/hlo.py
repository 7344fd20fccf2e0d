"""Reading the text of compiled HLO: what the TPU's compiler estimates. Standard library alone."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

_COMPUTATION = re.compile(r"^(ENTRY\s+)?%?([\w.\-]+)\s.*\{\s*$")
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
_NAME = re.compile(r'op_name="([^"]*)"')
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_CALLED = re.compile(r"(?:body|condition|calls|to_apply)=%?([\w.\-]+)")


def count_cycles(hlo: str, layers: Iterable[str] = ()) -> tuple[int, dict[str, int], int]:
    """Sum of the operations' estimated cycles in compiled HLO text.

    A loop's body counts as often as the loop is known to run. Returns the sum, the sums by layer
    (the first part of an operation's name that is in `layers`; the rest under ``""``), and the
    number of loops whose trips are not known.
    """
    names = frozenset(layers)
    bodies = dict(_computations(hlo))
    entry = next((name for name in bodies if name.startswith("ENTRY ")), None)
    by_layer: defaultdict[str, int] = defaultdict(int)
    unknown = 0

    def add(computation: str, times: int) -> None:
        nonlocal unknown
        for line in bodies.get(computation, ()):
            if found := _CYCLES.search(line):
                named = _NAME.search(line)
                parts = named[1].split("/") if named else []
                layer = next((part for part in parts if part in names), "")
                by_layer[layer] += int(found[1]) * times
            elif " while(" in line or " call(" in line or " conditional(" in line:
                trips = _TRIPS.search(line)
                if " while(" in line and not trips:
                    unknown += 1
                for called in _CALLED.findall(line):
                    add(called, times * (int(trips[1]) if trips else 1))

    if entry is not None:
        add(entry, 1)
    return sum(by_layer.values()), dict(sorted(by_layer.items())), unknown


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
