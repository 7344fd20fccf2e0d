"""From a clock to adders between registers, and back."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from edgeflow.estimate.quantity import Estimate, unknown
from edgeflow.synthesis import devices
from edgeflow.targets import Target


class Delay(NamedTuple):
    """Nanoseconds of a stage: registers and routing at its ends, and each adder with routing."""

    base: float
    adder: float
    factor: float
    source: str


DELAYS: Final = {
    # One design of this project's: digits-tiny (models/digits) on UP5K, 12.7 MHz with 11 adders.
    "ice40-u": Delay(4.0, 6.8, 1.6, "from one routed design on an iCE40 UP5K"),
    "ice40": Delay(2.0, 2.7, 1.8, "iCE40 HX: UP5K's delays by 2.5 (the families' speed), assumed"),
    "ecp5": Delay(2.0, 2.3, 1.8, "ECP5: assumed from its carry and routing delays"),
    "gowin": Delay(2.5, 3.0, 1.8, "GW1N: assumed from its carry and routing delays"),
    "xc7": Delay(1.0, 1.4, 1.8, "7 series: assumed from its carry and routing delays"),
    "xcup": Delay(0.7, 0.8, 1.8, "UltraScale+: assumed from its carry and routing delays"),
}
"""By family. An adder is a look-up table, its carry chain (8 to 14 bits) and a routed net."""


def family(target: Target) -> str | None:
    """The family whose delays hold for the target."""
    found = devices.family(target)
    if found == "ice40" and devices.variant(target) == "u":
        return "ice40-u"
    return "xcup" if found == "xcu" else found


def levels_for(target: Target, clock_mhz: float | None) -> int:
    """Adders between two registers that the clock allows; at least 1."""
    delay = DELAYS.get(family(target) or "", DELAYS["xc7"])
    if not clock_mhz:
        return 4
    return max(1, math.floor((1000 / clock_mhz - delay.base) / delay.adder))


def clock(target: Target, levels: float, wished: float | None) -> Estimate:
    """The clock (Hz) that so many adders between registers allow; at most the one wished for."""
    delay = DELAYS.get(family(target) or "")
    if delay is None:
        return unknown("Hz", f"no delays are known for the target '{target.name}'")
    reach = 1e9 / (delay.base + delay.adder * levels)
    value = min(reach, wished * 1e6) if wished else reach
    low, high = min(reach / delay.factor, value), reach * delay.factor
    if wished:
        high = max(min(high, wished * 1e6), value)
    return Estimate(
        value, low, high, "Hz", "model",
        f"{levels:g} adders between registers, {delay.source}",
    )  # fmt: skip
