"""Power of microcontrollers and NPUs while they infer, at any clock and supply voltage.

    P = (idle + (1 - idle) f / f0) P0 (V / V0)^n  +  e x MACs/s

P0 is a power measured in inference at f0, or what the data sheet's run current makes of it: current
x supply voltage x ``activity``, the factor by which inference draws more than the data sheet's
ordinary code (fitted, `power_calibration`). V is the core's voltage. Behind a linear regulator
(``ldo``) the current is the core's whatever the supply is: n = 1, and P goes with the supply.
Behind a switched one (``smps``) the power is the core's: n = 2. e is an accelerator's energy per
MAC, where it was measured. Standard library alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from edgeflow.errors import InputError
from edgeflow.estimate.figures import figure_estimate
from edgeflow.estimate.quantity import Estimate, unknown
from edgeflow.network import Network
from edgeflow.targets import OperatingPoint, Target

COEFFICIENTS: Final = Path(__file__).with_name("coefficients") / "power.json"

IDLE: Final = 0.1
"""Share of the power at a point's own clock that a lower clock does not save: regulators, flash,
oscillators, leakage. An assumption: data sheets' tables of run currents cross 0 MHz at 5 to 15 %
of the current at the range's highest clock."""

OTHER_POINT: Final = 1.2
"""The band's further factor where clock or supply are not those of the measurement. Assumed."""

OF_DESIGN: Final = (0.5, 0.1, 1.0)
"""Share of an accelerator's thermal design power that it draws, where that alone is published:
value, low, high. An assumption; a TPU v3 in production draws 0.49 of its own (Jouppi et al. 2021).
"""

RATED: Final = "rated_clock_mhz"
"""The setting that has a target's own clock where another is asked for (`edgeflow.whatif`)."""

REGULATORS: Final = ("ldo", "smps")


@cache
def coefficients() -> dict[str, Any]:
    """What the calibration found."""
    found: dict[str, Any] = json.loads(COEFFICIENTS.read_text())
    return found


def chip_power(
    target: Target, network: Network | None = None, latency: Estimate | None = None
) -> Estimate:
    """Power (W) of a chip's supply rail while it infers, at the target's clock.

    Reads ``target.clock_mhz``, the settings ``supply_v``, ``regulator`` and ``runtime``, the
    operating points and ``power.chip_active``. ``network`` and ``latency`` are for accelerators
    whose power goes with the MACs per second.
    """
    given = target.figure("power", "chip_active")
    if target.kind not in ("mcu", "npu") or (given is not None and given.source == "given"):
        return figure_estimate(target, "chip_active")
    clock = target.clock_mhz
    measured = _measured(target)
    if clock is not None and measured is not None:
        return _with_macs(target, _from_measured(target, measured, clock), network, latency)
    if given is not None:
        return figure_estimate(target, "chip_active", factor=_band("seen"))
    design = target.figure("power", "chip_tdp")
    if target.kind == "npu" and design is not None:
        value, low, high = (share * design.value for share in OF_DESIGN)
        return Estimate(
            value, low, high, "W", "model",
            f"{OF_DESIGN[0]:.0%} of the design power ({OF_DESIGN[1]:.0%} to {OF_DESIGN[2]:.0%}, "
            f"assumed): {target.source_of(design)}",
        )  # fmt: skip
    if clock is None:
        return unknown("W", target.why_unknown("power", "chip_active"))
    sheet = _at(target, clock, [p for p in target.operating_points if p.current_ma])
    if sheet is not None:
        return _from_sheet(target, sheet, clock)
    return _from_architecture(target, clock)


def of_version(target: Target) -> float:
    """The factor of a runtime's release on the power; 1 where none is asked or none is known.

    Later releases of X-CUBE-AI draw less: the law and its range are the calibration's.
    """
    law = coefficients()["versions"].get(target.settings.get("runtime"))
    number = version_number(target.settings.get("runtime_version"))
    return 1.0 if law is None or number is None else version_effect(law, number)


def version_number(version: object) -> float | None:
    """7.3 of ``7.3.0``; None of what is no version."""
    parts = str("" if version is None else version).lstrip("v").split(".")
    try:
        return float(".".join(parts[:2]))
    except ValueError:
        return None


def version_effect(law: Mapping[str, float], number: float) -> float:
    """Power at a release against that at the law's reference, flat beyond the law's range."""
    within = min(max(number, law["least"]), law["most"])
    return math.exp(law["slope"] * (within - law["reference"]))


def board_power(target: Target) -> Estimate:
    """Power (W) of a whole board while it infers; at another clock than its own, what is above the
    idle power goes with the clock and the square of the core's voltage.
    """
    factor = _band("seen")
    found = figure_estimate(target, "board_active", factor=factor)
    figure, idle = target.figure("power", "board_active"), target.figure("power", "board_idle")
    rated, clock = target.settings.get(RATED), target.clock_mhz
    if (
        found.value is None or figure is None or figure.source == "given" or clock is None
        or not isinstance(rated, int | float) or target.kind not in ("linux_board", "mcu", "npu")
    ):  # fmt: skip
        return found
    point = next(
        (p for p in target.operating_points if p.power_w and p.frequency_mhz == clock), None
    )
    if point is not None and point.power_w is not None:
        return Estimate.within(point.power_w, factor, "W", "model", _source(target, point))
    core, own = _core(target, clock), _core(target, float(rated))
    volts = core / own if core and own else 1.0
    scale = clock / float(rated) * volts**2
    rest = idle.value if idle is not None else found.value / 2
    assert found.low is not None
    assert found.high is not None
    value, low, high = (
        min(rest, part) + max(part - rest, 0.0) * scale
        for part in (found.value, found.low, found.high)
    )
    known = "its idle power" if idle is not None else "half of it, taken as idle,"
    return Estimate(
        value, min(low / OTHER_POINT, value), high * OTHER_POINT, "W", "model",
        f"{found.source}; what is above {known} x {scale:.3g} for {clock:g} MHz",
    )  # fmt: skip


def sheet_power(target: Target, clock_mhz: float, supply_v: float | None = None) -> float | None:
    """Power (W) of ordinary code by the data sheet's run currents; None where it has none."""
    point = _at(target, clock_mhz, [p for p in target.operating_points if p.current_ma])
    if point is None or point.current_ma is None or point.supply_v is None:
        return None
    supply = supply_v or point.supply_v
    volts = supply if regulator(target) == "ldo" else point.supply_v
    return point.current_ma * 1e-3 * volts * _scale(target, point, clock_mhz)


def regulator(target: Target) -> str:
    """``ldo`` or ``smps``: what makes the core's voltage. Linear where the target does not say.

    Raises:
        InputError: the target's setting is another word.
    """
    found = target.settings.get("regulator", "ldo")
    if found not in REGULATORS:
        raise InputError(
            f"expected a regulator of {' or '.join(REGULATORS)}, found {found!r}",
            where=f"target '{target.name}'",
        )
    return str(found)


def supply_of(target: Target) -> float | None:
    """The supply voltage (V) asked for, or the target's own.

    Raises:
        InputError: the target's setting is no voltage.
    """
    found = target.settings.get("supply_v")
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 < found <= 60:
        raise InputError(
            f"expected a supply_v above 0 V and up to 60 V, found {found!r}",
            where=f"target '{target.name}'",
        )
    return float(found)


def _measured(target: Target) -> OperatingPoint | None:
    """The measurement that is nearest to what is asked: the runtime first, then the clock."""
    points = [p for p in target.operating_points if p.power_w]
    runtime = target.settings.get("runtime")
    same = [p for p in points if p.runtime == runtime] or [p for p in points if p.runtime is None]
    clock = target.clock_mhz or 0.0
    return min(same or points, key=lambda p: abs(p.frequency_mhz - clock), default=None)


def _at(target: Target, clock: float, points: list[OperatingPoint]) -> OperatingPoint | None:
    """The slowest point that reaches a clock; the fastest where none does."""
    del target
    fast = [p for p in points if p.frequency_mhz >= clock * 0.999]
    if fast:
        return min(fast, key=lambda p: (p.frequency_mhz, p.voltage_v or 0))
    return max(points, key=lambda p: p.frequency_mhz, default=None)


def _core(target: Target, clock: float) -> float | None:
    """The core's voltage at a clock, by the operating points."""
    point = _at(target, clock, [p for p in target.operating_points if p.voltage_v])
    return point.voltage_v if point else None


def _scale(target: Target, point: OperatingPoint, clock: float) -> float:
    """Power at a clock against that at a point, supply voltage aside."""
    core, here = _core(target, clock), point.voltage_v or _core(target, point.frequency_mhz)
    volts = core / here if core and here else 1.0
    power = 1 if regulator(target) == "ldo" else 2
    return (IDLE + (1 - IDLE) * clock / point.frequency_mhz) * volts**power


def _from_measured(target: Target, point: OperatingPoint, clock: float) -> Estimate:
    assert point.power_w is not None
    factor = _band("seen")
    scale = _scale(target, point, clock)
    supply = supply_of(target)
    words = _source(target, point)
    release = of_version(target)
    if supply and point.supply_v and regulator(target) == "ldo":
        scale *= supply / point.supply_v
    if abs(scale - 1) > 0.02:
        factor *= OTHER_POINT
        volts = f", {supply:g} V" if supply else ""
        words += f"; x {scale:.3g} for {clock:g} MHz{volts} ({regulator(target)})"
    if point.runtime and point.runtime != target.settings.get("runtime"):
        factor *= OTHER_POINT
        words += f"; measured with {point.runtime}"
    if release != 1:
        scale *= release
        words += f"; x {release:.3g} for release {target.settings['runtime_version']}"
    figure = target.figure("power", "chip_active")
    value = point.power_w * scale
    low, high = value / factor, value * factor
    if figure is not None and figure.low is not None and figure.high is not None:
        low = min(low, figure.low * scale)
        high = max(high, figure.high * scale)
    return Estimate(value, low, high, "W", "model", words)


def _from_sheet(target: Target, point: OperatingPoint, clock: float) -> Estimate:
    kind = regulator(target)
    activity = coefficients()["activity"]
    supply = supply_of(target)
    watts = sheet_power(target, clock, supply)
    assert watts is not None
    watts *= of_version(target)
    assert point.current_ma is not None
    volts = supply if supply and kind == "ldo" else point.supply_v
    return Estimate.within(
        watts * activity["value"], _band("unseen"), "W", "model",
        f"{_source(target, point)}: {point.current_ma:g} mA at {point.frequency_mhz:g} MHz; at "
        f"{clock:g} MHz and {volts:g} V ({kind}), x {activity['value']:g} for inference "
        f"({activity['source']})",
    )  # fmt: skip


def _from_architecture(target: Target, clock: float) -> Estimate:
    known = coefficients()["architectures"].get(target.architecture)
    reason = target.why_unknown("power", "chip_active")
    if known is None or not target.operating_points:  # no silicon: a simulator's board
        return unknown("W", reason)
    supply = supply_of(target)
    watts = known["w_per_mhz"] * clock
    words = f"{target.architecture} at {known['w_per_mhz'] * 1e3:.2g} mW/MHz ({known['boards']})"
    if supply and regulator(target) == "ldo" and known["regulator"] == "ldo":
        watts *= supply / known["supply_v"]
        words += f", {supply:g} V"
    return Estimate.within(
        watts, _band("architecture"), "W", "model",
        f"{words}; {reason}, and no run current of its data sheet is in the target's file",
    )  # fmt: skip


def _with_macs(
    target: Target, power: Estimate, network: Network | None, latency: Estimate | None
) -> Estimate:
    """The accelerator's power for its MACs on top."""
    per_mac = target.figure("compute", "int8_mac_energy")
    if per_mac is None or power.value is None:
        return power
    if network is None or latency is None or not latency.value or network.totals.macs <= 0:
        return power
    rate = network.totals.macs / latency.value
    point = _measured(target)
    core = _core(target, target.clock_mhz or 0.0)
    own = point.voltage_v if point else None
    joules = per_mac.value * ((core / own) ** 2 if core and own else 1.0)
    watts = joules * rate
    assert power.low is not None
    assert power.high is not None
    total = power.value + watts
    factor = power.high / power.value
    return Estimate.within(
        total, factor, "W", "model",
        f"{power.source}; {joules * 1e12:.2g} pJ per MAC x {rate:.3g} MAC/s",
    )  # fmt: skip


def _source(target: Target, point: OperatingPoint) -> str:
    words = target.sources.get(point.source, point.source)
    return f"{words} ({point.name})" if point.name else words


def _band(name: str) -> float:
    return float(coefficients()["bands"][name])
