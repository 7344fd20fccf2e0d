"""The limits of the rtl backend for people, from the tables of `rules` and `stream_rules`."""

from __future__ import annotations

from edgeflow.backends.base import Limit
from edgeflow.backends.rtl import rules, stream_rules

UNROLLED = "style: combinational or pipelined"
STREAM = "style: stream"


def limits() -> list[Limit]:
    """What each style has of the kinds, the bounds on bits and size, and the attributes."""
    both = rules.KINDS & stream_rules.KINDS
    found = [
        Limit(tuple(sorted(both)), "taken"),
        Limit(tuple(sorted(rules.KINDS - both)), "taken", "", UNROLLED),
        *(Limit((kind,), "not taken", remedy) for kind, remedy in rules.REMEDIES.items()),
        *(
            Limit((kind,), "not taken", remedy, STREAM)
            for kind, remedy in stream_rules.REMEDIES.items()
        ),
        Limit(
            tuple(sorted(rules.KINDS - both - set(stream_rules.REMEDIES))),
            "not taken", stream_rules.PIPELINED, STREAM,
        ),
        Limit((), f"weights of at most {rules.WIDEST_WEIGHT} bits", rules.QUANTISE),
        Limit(
            ("mul",), f"values of at most {rules.WIDEST_ACTIVATION} bits", rules.QUANTISE
        ),
        Limit(
            (), f"at most {rules.LARGEST:,} LUTs of adders, by prediction",
            "style: stream, fewer bits, or pruning", UNROLLED,
        ),
        Limit(
            (), "Verilog, no VHDL",
            "a tool for both takes it as a component; the other styles write VHDL too", STREAM,
        ),
    ]  # fmt: skip
    found += [Limit(rule.kinds, rule.limit, rule.remedy) for rule in rules.ATTRIBUTES]
    return found
