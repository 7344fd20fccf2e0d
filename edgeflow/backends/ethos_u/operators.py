"""Which operators Vela can place on an NPU, from its own report (``supported_ops.json``).

``docs/vela_operators.py`` makes the table from ``vela --supported-ops-report``.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import resources
from typing import Any

from edgeflow.backends.base import Limit
from edgeflow.backends.tflite import operators
from edgeflow.network import Network

FAMILIES = {"u55_u65": "Ethos-U55, U65", "u85": "Ethos-U85"}
SHOWN = 6
"""Constraints of an operator that a list shows; the rest are in Vela's report."""


@lru_cache(maxsize=1)
def table() -> dict[str, Any]:
    """The report, see `edgeflow.backends.ethos_u.report_job.parse`."""
    text = resources.files("edgeflow.backends.ethos_u").joinpath("supported_ops.json").read_text()
    found: dict[str, Any] = json.loads(text)
    return found


def family(accelerator: str) -> str:
    """The report's family of an accelerator."""
    return "u85" if accelerator.startswith("ethos-u85") else "u55_u65"


def remarks(network: Network, accelerator: str) -> list[str]:
    """Which layers fall to the processor for their operator alone."""
    known = table()[family(accelerator)]["operators"]
    found: dict[str, list[str]] = {}
    for layer, operator in operators.of(network):
        if operator not in known:
            found.setdefault(operator, []).append(layer)
    return [
        f"{operator} ({', '.join(layers)}) runs on the processor: {accelerator} has no such "
        f"operator (Vela {table()['version']})"
        for operator, layers in found.items()
    ]


def limits() -> list[Limit]:
    """What Vela can place, by family of NPUs, with its constraints in its own words."""
    found = []
    for key, name in FAMILIES.items():
        part = table()[key]
        free = tuple(kind for kind, words in part["operators"].items() if not words)
        found.append(Limit(free, "on the NPU", "", name))
        for kind, words in part["operators"].items():
            if words:
                text = _short(words)
                found.append(Limit((kind,), text, "it runs on the processor otherwise", name))
        generic = _short(
            [line for line in part["generic"] if not line.startswith(" ")], all_of_them=True
        )
        found.append(Limit((), generic, "it runs on the processor otherwise", name))
        found.append(Limit((), "any other operator runs on the processor", "", name))
    return found


def _short(words: list[str], *, all_of_them: bool = False) -> str:
    shown = [line.strip().rstrip(".:") for line in words]
    count = len(shown) if all_of_them else SHOWN
    more = "; …" if len(shown) > count else ""
    return "; ".join(shown[:count]) + more
