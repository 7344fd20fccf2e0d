"""Power and energy of a design from what toggles in its netlist. Standard library alone.

One part has a citable coefficient, the iCE40 UltraPlus UP5K: its core current was measured by
tinyvision-ai-inc/ice40_power (README, `README_ROWS`). Our simulator counts the toggles of the same
circuits (`benchmarks/netlist_power.py`), so that

    P = static + f (clock + clock pins x pin) + inferences/s x (toggles x e + DSP toggles x d).

For other parts the energy of a toggle is the UP5K's, scaled by node and voltage squared: a band and
no more. What is not modelled is in `NOT_MODELLED`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edgeflow.estimate import energy
from edgeflow.estimate.quantity import Estimate, unknown
from edgeflow.jobs import Job
from edgeflow.targets import Target

SOURCE: Final = "tinyvision-ai-inc/ice40_power (iCE40 UP5K, core supply at 1.219 V)"
README_ROWS: Final = {
    # what runs, core current in microamperes at 1.219 V
    "blank design": 85.6,
    "external 12 MHz, one 28-bit counter": 613.5,
    "external 12 MHz, eight 28-bit counters": 641.3,
    "oscillator at 12 MHz, 24-bit counter": 645.0,
    "oscillator at 24 MHz, 24-bit counter": 1162.0,
    "oscillator at 48 MHz, 24-bit counter": 2184.0,
    "12 MHz, 8 x 8 multiplier in logic, two 8-bit counters": 996.0,
    "12 MHz, 8 x 8 multiplier in a DSP block, two 8-bit counters": 882.0,
}
VOLTS: Final = 1.219

STATIC_W: Final = 85.6e-6 * VOLTS
CLOCK_J: Final = (52e-12, 51e-12, 54e-12)
"""Per cycle, with hardly anything clocked: from 24 to 48 MHz; 53.6 pJ at 12 MHz from outside."""
PIN_J: Final = (0.007e-12, 0.0, 0.0144e-12)
"""Per clock pin and cycle. The upper end is all that a further 28-bit counter costs (0.40 pJ per
cycle), its toggles included; the value is the half of it, an assumption."""
TOGGLE_J: Final = {"zero": 0.516e-12, "cell": 0.323e-12, "unit": 0.297e-12}
"""Per toggle: 35.7 pJ per cycle of the multiplier and its counters, over the 69.2 toggles without
delays, 110.4 with cell and 120.2 with unit delays that `benchmarks/netlist_power.py` counts."""
DSP_J: Final = 2.0e-12
"""Per toggle at a DSP block's outputs: 24.1 pJ per cycle with the DSP, less 8.9 pJ of the logic."""
ONE_POINT: Final = 2.5
"""Band's factor around a coefficient from one circuit. Assumed: a counter, whose nets stay within
a cell, takes a sixth of it per toggle; long nets of a full device take more."""

NODES: Final = {
    # architecture: nm, core volts; node and voltage from the vendors' data sheets
    "ice40": (40.0, 1.2),
    "ecp5": (40.0, 1.1),
    "gw1n": (55.0, 1.2),
    "gw2a": (55.0, 1.0),
    "artix-7": (28.0, 1.0),
    "zynq-7000": (28.0, 1.0),
    "kintex-7": (28.0, 1.0),
    "virtex-7": (28.0, 1.0),
    "zynq-ultrascale+": (16.0, 0.85),
    "virtex-ultrascale+": (16.0, 0.85),
    "kintex-ultrascale+": (16.0, 0.85),
}
REFERENCE: Final = (40.0, VOLTS)
SCALED: Final = 4.0
"""Band's factor where a toggle's energy is scaled from another vendor's part. Assumed."""

NOT_MODELLED: Final = (
    "pins and what hangs on them",
    "the capacitance of each net's own route (a toggle costs the same everywhere)",
    "block memories' own energy per access",
    "oscillators, PLLs, the board's regulators and memory chips",
    "configuration after power-up",
    "temperature, and glitches that are too short to pass a table",
)
CORE: Final = ("logic", "carry", "register", "memory", "io")


@dataclass(frozen=True)
class Activity:
    """Toggles per inference, by how they were counted (`toggles_job`)."""

    nets: dict[str, float]
    dsp: dict[str, float]
    pins: float
    cycles: float
    error: float
    """Relative standard error of the total."""

    @classmethod
    def of(cls, toggles: Mapping[str, Any]) -> Activity:
        """From a toggles job's result."""
        classes = toggles["classes"]
        delays = [name for name in ("zero", "unit", "cell") if name in toggles["total"]]

        def total(names: tuple[str, ...]) -> dict[str, float]:
            return {
                delay: sum(float(classes[name][delay]) for name in names if name in classes)
                for delay in delays
            }

        spread = toggles["standard_error"].get("zero")
        mean = float(toggles["total"]["zero"])
        return cls(
            total(CORE),
            total(("dsp",)),
            float(toggles["clock"]["loads"]),
            float(toggles["cycles_per_inference"]),
            spread / mean if spread and mean else 0.0,
        )


def count_job(
    netlist: Path,
    compiled: Path,
    golden: Path,
    *,
    sample: int | None = None,
    label: str = "",
) -> Job:
    """The job that counts toggles (`toggles_job.count`).

    ``netlist`` is the synthesis' folder, ``compiled`` the design's, ``golden`` the golden one.
    """
    return Job(
        entry="edgeflow.synthesis.toggles_job:count",
        toolchain="rtl",
        title="count toggles",
        inputs={"netlist": netlist, "design": compiled, "golden": golden},
        params={"sample": sample} if sample else {},
        imports=("numpy",),
        label=label,
    )


def saif_job(
    toggles: Path, top: str, clock_mhz: float, *, delays: str = "cell", label: str = ""
) -> Job:
    """The job that writes ``activity.saif`` (`saif_job.write`) from `count_job`'s folder."""
    return Job(
        entry="edgeflow.synthesis.saif_job:write",
        toolchain="rtl",
        title="write SAIF",
        inputs={"toggles": toggles},
        params={"top": top, "clock_mhz": clock_mhz, "delays": delays},
        imports=("numpy",),
        label=label,
    )


def estimates(
    target: Target,
    toggles: Mapping[str, Any],
    clock_mhz: float | None,
    ii: float | None = None,
    *,
    rate_hz: float | None = None,
    resources: Mapping[str, Estimate] | None = None,
) -> dict[str, Estimate]:
    """Power and energy of a design, from its toggles on real inputs.

    Args:
        target: the board.
        toggles: a toggles job's result (`toggles_job.count`).
        clock_mhz: the design's clock; the target's where None.
        ii: clock cycles from one inference to the next; as the netlist did it where None.
        rate_hz: inferences per second; back to back where None.
        resources: ``dsp``, ``ff`` and ``bram_18k`` of the design, for AMD's devices.

    Returns:
        ``toggles_per_inference`` (its band from no delays to glitches), ``activity`` (toggles per
        net and cycle), ``switching_energy_per_inference`` (nets alone), and where the part's
        coefficients are known ``chip_power``, ``chip_energy_per_inference``; ``power`` and
        ``energy_per_inference`` (board) are unknown here. For AMD's devices what
        `energy.fpga_power` gives, the toggles in the place of its energy per table.
    """
    clock = clock_mhz or target.clock_mhz
    seen = Activity.of(toggles)
    cycles = float(ii or seen.cycles)
    counted = f"edgeflow netlist simulation of {toggles['inferences']:,} real inputs"
    found = _counts(toggles, seen, counted)
    switching, words = _switching(target, seen, counted)
    found["switching_energy_per_inference"] = switching
    if clock is None or switching.value is None:
        return found
    if rate_hz is not None and rate_hz > clock * 1e6 / cycles:
        reason = f"{rate_hz:g} inferences/s are more than {clock:g} MHz and {cycles:g} cycles give"
        return found | {name: unknown(unit, reason) for name, unit in _POWERS.items()}
    rate = rate_hz or clock * 1e6 / cycles
    if target.architecture in energy.NODE:
        interval = Estimate.exact(1 / rate, "s", "simulated", "inferences per second")
        per_cycle = _scaled(switching, rate / (clock * 1e6))
        return found | energy.fpga_power(
            target, None, clock, resources, interval, interval, switching=per_cycle
        )
    return found | _small(target, seen, switching, clock, rate, words)


_POWERS: Final = {
    "power": "W",
    "energy_per_inference": "J",
    "chip_power": "W",
    "chip_energy_per_inference": "J",
}


def _counts(toggles: Mapping[str, Any], seen: Activity, source: str) -> dict[str, Estimate]:
    total = {name: float(value) for name, value in toggles["total"].items()}
    rates = {name: float(value) for name, value in toggles["activity"].items()}
    words = f"{source}; from no delays to unit delays, between them cell delays"
    return {
        "toggles_per_inference": _range(total, 1.645 * seen.error, "toggles", words),
        "activity": _range(rates, 1.645 * seen.error, "toggles/net/cycle", words),
    }


def _range(values: Mapping[str, float], error: float, unit: str, source: str) -> Estimate:
    """From the least to the most, the sample's error on top; between them the cell delays."""
    low, high = min(values.values()), max(values.values())
    middle = values.get("cell", math.sqrt(low * high))
    return Estimate(
        middle, low * (1 - min(error, 0.9)), high * (1 + error), unit, "simulated", source
    )


def _switching(target: Target, seen: Activity, counted: str) -> tuple[Estimate, str]:
    """Energy (J) of the nets' toggles of one inference."""
    name = target.architecture
    node = next((nm for key, nm in NODES.items() if name.startswith(key)), None)
    if node is None:
        return unknown("J", f"no node and voltage are known for '{name}'"), ""
    # The multiplier's energy over the toggles of each way of counting: three figures of the same.
    ways = {way: seen.nets[way] * TOGGLE_J[way] for way in seen.nets}
    dsp = seen.dsp["zero"] * DSP_J
    measured = name.startswith("ice40-up")
    ratio, factor = 1.0, ONE_POINT
    words = f"{SOURCE}: {TOGGLE_J['zero'] * 1e12:.2g} pJ per toggle without delays, "
    words += f"{TOGGLE_J['cell'] * 1e12:.2g} with cell and {TOGGLE_J['unit'] * 1e12:.2g} with unit "
    words += f"delays; one circuit, within a factor of {ONE_POINT:g}"
    if not measured:
        ratio = (node[0] / REFERENCE[0]) * (node[1] / REFERENCE[1]) ** 2
        factor = SCALED
        words = (
            f"scaled from {SOURCE} by node and voltage squared ({node[0]:g} nm, {node[1]:g} V): "
        )
        words += (
            f"{TOGGLE_J['cell'] * ratio * 1e12:.2g} pJ per toggle, within a factor of {SCALED:g}"
        )
    least, most = min(ways.values()), max(ways.values())
    value = (ways.get("cell", math.sqrt(least * most)) + dsp) * ratio
    low = (least + dsp) * ratio / factor
    high = (most + dsp) * ratio * factor
    source = f"{counted}; {words}"
    return Estimate(value, low, high, "J", "simulated" if measured else "model", source), words


def _small(
    target: Target, seen: Activity, switching: Estimate, clock: float, rate: float, words: str
) -> dict[str, Estimate]:
    """A part without a calibrated fabric: only the UP5K's clock and leakage were measured."""
    found = {
        name: unknown(unit, "nobody has published what the board's other parts draw")
        for name, unit in _POWERS.items()
        if not name.startswith("chip")
    }
    if not target.architecture.startswith("ice40-up"):
        reason = (
            "no citable figure of this part's leakage and clock tree outside the vendor's power "
            "calculator; switching_energy_per_inference bounds its nets"
        )
        return found | {
            name: unknown(unit, reason) for name, unit in _POWERS.items() if name.startswith("chip")
        }
    assert switching.value is not None
    assert switching.low is not None
    assert switching.high is not None
    nets = (switching.value, switching.low, switching.high)
    power = [
        STATIC_W + clock * 1e6 * (CLOCK_J[i] + seen.pins * PIN_J[i]) + rate * nets[i]
        for i in range(3)
    ]
    power[1] -= STATIC_W * 0.2  # leakage differs by chip and temperature: assumed +-20 %
    power[2] += STATIC_W * 0.2
    words = (
        f"{words}; leakage {STATIC_W * 1e6:.0f} uW, clock {CLOCK_J[0] * 1e12:.0f} pJ per cycle; "
        f"{clock:g} MHz, {rate:,.0f} inferences/s; not modelled: {'; '.join(NOT_MODELLED)}"
    )
    found["chip_power"] = Estimate(power[0], power[1], power[2], "W", "simulated", words)
    found["chip_energy_per_inference"] = Estimate(
        power[0] / rate,
        power[1] / rate,
        power[2] / rate,
        "J",
        "simulated",
        f"chip power over {words}",
    )
    return found


def _scaled(known: Estimate, by: float) -> Estimate:
    assert known.value is not None
    assert known.low is not None
    assert known.high is not None
    return Estimate(
        known.value * by, known.low * by, known.high * by, known.unit, known.method, known.source
    )
