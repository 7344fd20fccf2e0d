"""From a clock to adders between registers, and back."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from edgeflow.estimate.quantity import Estimate, unknown
from edgeflow.targets import Target


class Delay(NamedTuple):
    """Nanoseconds of a stage: registers and routing at its ends, and each adder with routing."""

    base: float
    adder: float
    factor: float
    source: str


PLACEHOLDER: Final = "set from routed designs"

DELAYS: Final = {
    "ice40": Delay(3.0, 5.0, 1.5, "iCE40 UP5K, nextpnr"),
    "ecp5": Delay(2.0, 2.3, 1.5, "ECP5-85k, nextpnr"),
    "gowin": Delay(2.5, 3.0, 1.7, "GW1NR-9, nextpnr"),
    "xc7": Delay(1.0, 1.4, 1.8, "assumed"),
    "xcup": Delay(0.7, 0.8, 1.8, "assumed"),
}


def family(target: Target) -> str | None:
    """The family whose delays hold for the target."""
    from edgeflow.synthesis import devices

    found = devices.family(target)
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
