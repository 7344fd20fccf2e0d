"""Fixed-point types as hls4ml writes them, such as ``ap_ufixed<6,2,AP_RND_CONV,AP_SAT,0>``."""

from __future__ import annotations

import re
from typing import Final

from edgeflow.network import Quantizer

FIXED: Final = re.compile(
    r"^(?:a[pc]_)?(u?)fixed<(\d+),(-?\d+)(?:,(true|false))?(?:,(\w+))?(?:,(\w+))?(?:,\w+)*>$"
)
WHOLE: Final = re.compile(r"^(?:a[pc]_)?(u?)int<(\d+)(?:,(true|false))?>$")
ARRAY: Final = re.compile(r"^(?:nnet::)?array<(.*),[^<>,]*>$")


def quantizer(text: str) -> Quantizer | None:
    """The type as a quantiser; None for what is no fixed-point type (``float``).

    The integer bits of ``ap_fixed`` count the sign, those of a quantiser do not.
    """
    plain = re.sub(r"\s+", "", text).replace("std::", "")
    if array := ARRAY.match(plain):
        plain = array[1]
    if found := FIXED.match(plain):
        bits, integer = int(found[2]), int(found[3])
        signed = not found[1] and found[4] != "false"
        return Quantizer(
            "fixed", bits, signed, integer - signed,
            rounding=_mode(found[5]), overflow=_mode(found[6]),
        )  # fmt: skip
    if found := WHOLE.match(plain):
        bits = int(found[2])
        signed = not found[1] and found[3] != "false"
        return Quantizer("fixed", bits, signed, bits - signed)
    if plain.endswith("bit_t") or plain == "bool":
        return Quantizer("fixed", 1, False, 1)
    return None


def plain(text: str) -> str | None:
    """The type as the hls4ml backend's options take it; None for what is no fixed-point type."""
    found = quantizer(text)
    if found is None:
        return None
    sign = "" if found.signed else "u"
    return f"ap_{sign}fixed<{found.bits:g},{(found.integer or 0) + found.signed:g}>"


def _mode(text: str | None) -> str | None:
    return text.removeprefix("AP_").removeprefix("AC_") if text else None


def mixed(bits: float) -> float:
    """Mean bits of HGQ's weights, of which the widest has so many: a project's types tell no more.

    A share of the widest and a most, read off six projects of one author.
    """
    return min(0.6 * bits + 1, 5.5)
