"""Figures as text: engineering notation with SI prefixes, bands, fractions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NONE = "–"
PREFIXES = dict(
    zip(range(-5, 6), ("f", "p", "n", "µ", "m", "", "k", "M", "G", "T", "P"), strict=True)
)
COUNTS = (
    "1",
    "",
    "MAC",
    "LUT",
    "ALM",
    "FF",
    "DSP",
    "BRAM",
    "URAM",
    "cycles",
    "FLOP",
    "instructions",
)
"""Units of things that are counted: never fractions, so no prefixes below one."""

QUANTITIES = {
    "latency": "Latency",
    "latency_measured": "Latency, measured",
    "throughput": "Throughput",
    "power": "Power, board",
    "chip_power": "Power, chip",
    "energy_per_inference": "Energy per inference, board",
    "chip_energy_per_inference": "Energy per inference, chip",
    "macs": "MACs",
    "parameters": "Parameters",
    "weight_memory": "Weight memory",
    "activation_memory": "Activation memory",
    "model_size": "Model file",
    "lut": "LUTs",
    "ff": "Flip-flops",
    "dsp": "DSP blocks",
    "bram_18k": "Block RAMs (18 Kbit)",
    "uram": "UltraRAMs",
    "alm": "ALMs",
    "clock": "Clock reached",
    "ram": "RAM",
    "flash": "Flash",
    "on_chip_parameters": "Parameters on the chip",
    "off_chip_parameters": "Parameters streamed",
    "latency_cycles": "Latency, cycles",
    "ii": "Initiation interval",
}
"""The common quantities in the order in which they are shown, with their titles."""

ENDINGS = {
    "_hls": "by HLS",
    "_logic": "after logic synthesis",
    "_board": "whole board design",
}
"""Further figures of one quantity: they stand behind it."""


def title(quantity: str) -> str:
    """A quantity's name for people."""
    for ending, words in ENDINGS.items():
        if quantity.endswith(ending) and quantity.removesuffix(ending) in QUANTITIES:
            return f"{QUANTITIES[quantity.removesuffix(ending)]}, {words}"
    return QUANTITIES.get(quantity) or quantity.replace("_", " ").capitalize()


def ordered(names: Mapping[str, Any]) -> list[str]:
    """The quantities in the order in which they are shown, unknown ones last."""
    rank = {name: float(place) for place, name in enumerate(QUANTITIES)}
    rank |= {
        name + ending: rank[name] + (place + 1) / 10
        for name in QUANTITIES
        for place, ending in enumerate(ENDINGS)
    }
    return sorted(names, key=lambda name: (rank.get(name, len(rank)), name))


def si(value: float | None, unit: str, digits: int = 3) -> str:
    """A value with a unit in engineering notation: ``1.23 ms``; 3 significant digits.

    Counts under 10,000 are shown in full: ``1,649 LUT``; the unit ``1`` is not shown.
    """
    if value is None:
        return NONE
    symbol = unit.removeprefix("1")
    if _counted(unit) and abs(value) < 10_000:
        return f"{_count(value, digits)} {symbol}".rstrip()
    step = _step(value, digits)
    prefix = PREFIXES[step] + (" " if _counted(unit) and PREFIXES[step] else "")
    return f"{_significant(value / 1000.0**step, digits)} {prefix}{symbol}".rstrip()


def band(estimate: Mapping[str, Any], digits: int = 2) -> str:
    """An estimate's 90 % band, ``0.62–2.5 ms``; empty where it has no width or no value.

    Both ends have the value's own prefix, where that does not make one of them unreadable.
    """
    value, low, high, unit = (estimate[key] for key in ("value", "low", "high", "unit"))
    if value is None or low is None or high is None or low == high:
        return ""
    if _counted(unit) and max(abs(low), abs(high)) < 10_000:
        return f"{_count(low, digits)}–{_count(high, digits)}"
    step = _step(value or high, digits)
    if all(end == 0 or 1e-2 <= abs(end) / 1000.0**step < 1e4 for end in (low, high)):
        numbers = "–".join(_significant(end / 1000.0**step, digits) for end in (low, high))
        return (
            f"{numbers} {PREFIXES[step]}{'' if _counted(unit) else unit.removeprefix('1')}".rstrip()
        )
    return f"{si(low, unit, digits)} – {si(high, unit, digits)}"


def _counted(unit: str) -> bool:
    return unit in COUNTS or unit.startswith("BRAM")


def _count(value: float, digits: int) -> str:
    whole = abs(value - round(value)) < 0.005 or abs(value) >= 100
    return f"{value:,.0f}" if whole else f"{value:.{digits}g}"


def _step(value: float, digits: int) -> int:
    """The power of 1000 that shows the value as 1 to 999, after rounding."""
    if value == 0:
        return 0
    exponent = int(f"{abs(value):.{digits - 1}e}".partition("e")[2])
    return max(min(exponent // 3, max(PREFIXES)), min(PREFIXES))


def _significant(value: float, digits: int) -> str:
    """The value with so many significant digits, zeros at its end kept, never in powers of ten."""
    if value == 0:
        return "0"
    exponent = int(f"{abs(value):.{digits - 1}e}".partition("e")[2])
    rounded = round(value, digits - 1 - exponent)
    return f"{rounded:.{max(0, digits - 1 - exponent)}f}"


def score(value: float | None, metric: str | None) -> str:
    """A model's score: accuracies in percent, other metrics as they are."""
    if value is None:
        return NONE
    return percent(value) if is_fraction(metric) else f"{value:.4g}"


def is_fraction(metric: str | None) -> bool:
    """Whether a metric is a fraction that people read in percent."""
    return metric is None or "accuracy" in metric


def percent(value: float | None, decimals: int = 1) -> str:
    """A fraction in percent; 100 % only where it is exactly that."""
    if value is None:
        return NONE
    text = f"{100 * value:.{decimals}f}"
    if float(text) == 100 and value != 1:
        text = f"{100 * value:.4g}" if value < 0.99995 else "> 99.99"
    return f"{text} %"


def bits(value: float | None) -> str:
    """A bit width; 32 bits that nothing rounds are shown like any other."""
    return NONE if value is None else f"{value:.3g}"
