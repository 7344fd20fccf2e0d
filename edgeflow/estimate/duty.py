"""Energy at an inference rate, operating points and battery life: when is it worth to sleep?

Between two inferences a device sleeps, or idles where it cannot sleep:

    average power  = duty x active power + (1 - duty) x idle power,     duty = rate x busy time
    energy at rate = average power / rate

A fast clock at a high voltage costs more per inference and sleeps longer; a slow one costs less and
hardly sleeps. `operating_points` asks each point of a target and says which is the cheapest that
meets a deadline. What the user asks is in the target's settings (`ASKED`). Standard library alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from edgeflow.errors import InputError
from edgeflow.estimate.figures import Band, band, figure_band, scaled
from edgeflow.estimate.quantity import Estimate, unknown
from edgeflow.targets import Target

ASKED: Final = {
    "inference_rate": "inferences per second, for the average power with sleep between them",
    "deadline": "seconds that an inference may take, for the cheapest operating point",
    "battery_wh": "a battery's energy in Wh, for its life",
    "battery_mah": "a battery's charge in mAh, with battery_v",
    "battery_v": "a battery's voltage",
}
"""The settings that this module reads."""

SLEEP_W: Final = (30e-6, 3e-6, 5e-3)
"""Of a microcontroller that keeps its RAM, where its own figure is not known: value, low, high. The
shipped targets that have one lie between 3.6 uW (STM32L476) and 4.2 mW (STM32H743)."""

SPREAD: Final = {"chip_sleep": 1.5, "board_sleep": 1.2, "board_idle": 1.1}
"""Bands' factors of published figures: leakage differs from chip to chip. Assumed."""

FPGA_IDLE: Final = (0.9, 0.7, 1.0)
"""Of an FPGA board's power while it infers, the share that it draws between two inferences: clocks
run on, and the fabric is a small part of the board. An assumption."""

BATTERY: Final = (0.9, 0.75, 1.0)
"""Share of a battery's nominal energy that reaches the device: cut-off voltage, regulator, ageing.
An assumption."""

FPGA_CLOCKS: Final = (0.25, 0.5, 1.0)
"""Shares of an FPGA design's clock that are shown as its operating points; its voltage is fixed."""


@dataclass(frozen=True)
class Asked:
    """What the user wants to know: inferences per second, seconds, joules; None where not asked."""

    rate: float | None = None
    deadline: float | None = None
    battery_j: float | None = None

    @classmethod
    def of(cls, target: Target) -> Asked:
        """From a target's settings.

        Raises:
            InputError: a value that cannot be, or half a battery.
        """
        values = {key: _positive(target, key) for key in ASKED}
        charge, volts = values["battery_mah"], values["battery_v"]
        joules = None if values["battery_wh"] is None else values["battery_wh"] * 3600
        if joules is None and (charge is None) != (volts is None):
            raise InputError(
                "expected battery_mah and battery_v together",
                where="--set",
                remedy="a charge needs its voltage: --set battery_mah=1200 --set battery_v=3.7, "
                "or --set battery_wh=4.4",
            )
        if joules is None and charge is not None and volts is not None:
            joules = charge * 1e-3 * volts * 3600
        return cls(values["inference_rate"], values["deadline"], joules)


def asked(target: Target) -> bool:
    """Whether a target's settings ask for anything here."""
    return any(key in target.settings for key in ASKED)


def extend(found: Mapping[str, Estimate], target: Target) -> dict[str, Estimate]:
    """The quantities at a rate and of a battery that the target's settings ask for; else nothing.

    ``duty_cycle`` (1), ``idle_power`` (W), ``average_power`` (W),
    ``energy_per_inference_at_rate`` (J) and ``battery_life`` (s; without a rate, of inference
    without a pause).

    Args:
        found: an estimate's ``power`` and ``latency``, with ``interval`` (s) where inputs follow
            each other sooner.
        target: with its settings.

    Raises:
        InputError: a setting that cannot be.
    """
    wish = Asked.of(target)
    added: dict[str, Estimate] = {}
    power = found.get("power") or unknown("W", "no power is estimated")
    average = power
    if wish.rate is not None:
        added = at_rate(found, target, wish.rate)
        average = added["average_power"]
    if wish.battery_j is not None:
        added["battery_life"] = life(average, wish.battery_j)
    return added


def at_rate(found: Mapping[str, Estimate], target: Target, rate: float) -> dict[str, Estimate]:
    """The four quantities at a rate (inferences per second); see `extend`."""
    power = found.get("power") or unknown("W", "no power is estimated")
    busy = found.get("interval") or found.get("latency") or unknown("s", "no latency is estimated")
    if busy.value is None:
        busy = found.get("latency") or busy
    idle = idle_power(target, power)
    words = f"{rate:g} inferences/s"
    duty = scaled(busy, rate, "1", f"{words} x {busy.value or 0:.3g} s")
    if duty.value is not None and duty.value > 1:
        reason = f"{words} are more than the {1 / (busy.value or 1):.3g} that it can do"
        return {
            "duty_cycle": duty, "idle_power": idle, "average_power": unknown("W", reason),
            "energy_per_inference_at_rate": unknown("J", reason),
        }  # fmt: skip
    average = _average(duty, power, idle, words)
    return {
        "duty_cycle": duty,
        "idle_power": idle,
        "average_power": average,
        "energy_per_inference_at_rate": scaled(
            average, 1 / rate, "J", f"average power / {words}; {average.source}"
        ),
    }


def idle_power(target: Target, power: Estimate) -> Estimate:
    """Power (W) between two inferences: asleep where the target can sleep, else idle.

    Args:
        target: its ``power`` figures.
        power: while it infers.
    """
    rail = target.figure("power", "board_active") is None and target.kind in ("mcu", "npu")
    names = ("chip_sleep", "board_sleep") if rail else ("board_sleep", "board_idle")
    for name in names:
        figure = target.figure("power", name)
        if figure is not None:
            factor = 1.0 if figure.source == "given" else SPREAD[name]
            low, high = figure_band(figure, factor)
            source = f"{name.replace('_', ' ')}: {target.source_of(figure)}"
            return Estimate(figure.value, low, high, "W", "model", source)
    if power.value is None:
        return unknown("W", power.reason or "the power while it infers is not known")
    if target.kind == "mcu":
        return Estimate(
            *SLEEP_W, "W", "model",
            "asleep with its RAM kept: as other microcontrollers, since the target's file gives no "
            "chip_sleep (--set chip_sleep=WATTS)",
        )  # fmt: skip
    if target.kind == "fpga":
        value, low, high = (share * power.value for share in FPGA_IDLE)
        return Estimate(
            value, low, high, "W", "model",
            f"clocks and processor run on: {FPGA_IDLE[0]:.0%} of the board's power "
            f"({FPGA_IDLE[1]:.0%} to {FPGA_IDLE[2]:.0%}, assumed)",
        )  # fmt: skip
    return unknown(
        "W",
        "the target's file gives neither board_sleep nor board_idle (--set board_idle=WATTS)",
    )


def life(average: Estimate, joules: float) -> Estimate:
    """Seconds that a battery of so many joules lasts."""
    if average.value is None:
        return unknown("s", average.reason or "the average power is not known")
    value, low, high = band(average)
    source = (
        f"{joules / 3600:.3g} Wh, of which {BATTERY[0]:.0%} reach the device "
        f"({BATTERY[1]:.0%} to {BATTERY[2]:.0%}, assumed); {average.source}"
    )
    if not low > 0:
        return unknown("s", "the average power may be nothing", source=source)
    return Estimate(
        joules * BATTERY[0] / value, joules * BATTERY[1] / high, joules * BATTERY[2] / low,
        "s", "model", source,
    )  # fmt: skip


def operating_points(
    target: Target, estimate_at: Callable[[float], Mapping[str, Estimate]]
) -> list[dict[str, Any]]:
    """Latency and energy at each voltage and frequency of a target, and the cheapest of them.

    Args:
        target: its operating points (an FPGA's: shares of its clock) and what is asked.
        estimate_at: the quantities at a clock (MHz).

    Returns:
        One record per point, slowest first: ``frequency_mhz``, ``voltage_v`` and ``name`` (None
        where not known), ``estimates`` (``latency``, ``power``, ``energy_per_inference``, and those
        of `at_rate` where a rate is asked), ``meets_deadline`` (``yes``: the band does;
        ``likely``: the value does; ``no``; None where no deadline is asked or no latency known),
        ``cheapest`` (true for the one that needs the least energy per inference, at the rate where
        one is asked, of those that meet the deadline). Empty where there are not two points.

    Raises:
        InputError: a setting that cannot be.
    """
    wish = Asked.of(target)
    points = _points(target)
    if len(points) < 2:
        return []
    deadline = wish.deadline or (1 / wish.rate if wish.rate else None)
    records: list[dict[str, Any]] = []
    costs: list[float | None] = []
    for mhz, volts, name in points:
        found = estimate_at(mhz)
        shown = {
            key: found[key] for key in ("latency", "power", "energy_per_inference") if key in found
        }
        if wish.rate is not None:
            shown |= at_rate(found, target, wish.rate)
        meets = _meets(found.get("latency"), deadline)
        cost = shown.get(
            "energy_per_inference" if wish.rate is None else "energy_per_inference_at_rate"
        )
        able = meets in (None, "yes", "likely") and cost is not None
        costs.append(cost.value if able and cost is not None else None)
        records.append(
            {
                "frequency_mhz": mhz,
                "voltage_v": volts,
                "name": name,
                "estimates": {key: one.to_json() for key, one in shown.items()},
                "meets_deadline": meets,
                "cheapest": False,
            }
        )
    known = [cost for cost in costs if cost is not None]
    if known:
        records[costs.index(min(known))]["cheapest"] = True
    return records


def _points(target: Target) -> list[tuple[float, float | None, str | None]]:
    """Clock (MHz), core voltage and name of each point, slowest first."""
    if target.kind == "fpga":
        clock = target.clock_mhz
        shares = FPGA_CLOCKS if clock else ()
        return [((clock or 0.0) * share, None, f"{share:g} x the clock") for share in shares]
    found: dict[float, tuple[float | None, str | None]] = {}
    for point in target.operating_points:
        volts, name = found.get(point.frequency_mhz, (None, None))
        found[point.frequency_mhz] = (volts or point.voltage_v, name or point.name)
    if target.clock_mhz is not None:
        found.setdefault(target.clock_mhz, (None, None))
    return [(mhz, *found[mhz]) for mhz in sorted(found)]


def _meets(latency: Estimate | None, deadline: float | None) -> str | None:
    if deadline is None or latency is None or latency.value is None:
        return None
    if latency.high is not None and latency.high <= deadline:
        return "yes"
    return "likely" if latency.value <= deadline else "no"


def _average(duty: Estimate, power: Estimate, idle: Estimate, words: str) -> Estimate:
    for part in (duty, power, idle):
        if part.value is None:
            return unknown("W", part.reason or "a part of it is not known")
    d, p, i = band(duty), band(power), band(idle)

    def mix(share: float, active: float, rest: float) -> float:
        return share * active + (1 - share) * rest

    # The band of each part alone, in quadrature around the mean of all values.
    value = mix(d[0], p[0], i[0])
    ends = [0.0, 0.0]
    for side in (1, 2):
        moved = (
            mix(min(d[side], 1.0), p[0], i[0]), mix(d[0], p[side], i[0]), mix(d[0], p[0], i[side]),
        )  # fmt: skip
        ends[side - 1] = sum((one - value) ** 2 for one in moved) ** 0.5
    most: Band = (value, max(value - ends[0], 0.0), value + ends[1])
    # No part of it draws less than the idle one, nor more than the active one.
    low = max(most[1], min(i[1], p[1]), mix(d[1], p[1], i[1]))
    return Estimate(
        value, min(low, value), most[2], "W", "model",
        f"{d[0]:.3g} of the time at {p[0]:.3g} W, else at {i[0]:.3g} W ({words}); "
        f"{idle.source}",
    )  # fmt: skip


def _positive(target: Target, key: str) -> float | None:
    value = target.settings.get(key)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
        raise InputError(f"expected a {key} above 0, found {value!r}", where="--set")
    return float(value)
