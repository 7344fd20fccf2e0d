"""Latency of a network on a Linux board's processor, before anything is compiled.

Per inference: a call, the interpreter's own work for each operation, and::

    product      macs x cycles_per_mac / parallel        (dense: more for each, and on one core)
    depthwise    macs x cycles_per_mac x depthwise / parallel
    any          elements x cycles_per_mac x element / parallel

``cycles_per_mac`` of a core is measured, or, for a core that was not, 1 / (its peak x the share of
the peak that other cores reached). Float32 takes ``float32`` times as long. ``parallel`` is
``threads ** THREADS``. TFLite runs one thread unless told (the setting ``threads``).

Coefficients (``coefficients/linux.json``) come from published measurements
(`edgeflow.estimate.linux_calibration`). Units: s, MHz where a name says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from edgeflow.estimate import workload
from edgeflow.estimate.quantity import Estimate, unknown
from edgeflow.network import Network
from edgeflow.targets import Target

COEFFICIENTS: Final = Path(__file__).with_name("coefficients") / "linux.json"

PEAK: Final[Mapping[str, float]] = {
    "arm1176": 1, "cortex-a5": 2, "cortex-a7": 4, "cortex-a8": 4, "cortex-a9": 4,
    "cortex-a15": 8, "cortex-a35": 8, "cortex-a53": 8, "cortex-a55": 16, "cortex-a57": 8,
    "cortex-a72": 8, "cortex-a73": 8, "cortex-a75": 32, "cortex-a76": 32, "cortex-a78": 32,
    "cortex-a78ae": 32, "neoverse-n1": 32,
}  # fmt: skip
"""int8 products per cycle and core, from the widths of the cores' SIMD pipelines: SMLAL on 64 or
128 bits, SDOT on one pipeline (A55) or two (A75 and later); Arm's software optimisation guides."""

THREADS: Final = 0.93
"""Of the number of threads: what convolutions on 2, 4 and 8 threads of a PC gain, 1.98, 3.67 and
6.4 times (EdgeTPU-QuantRL-Evaluation). Its dense layers gain nothing."""

FORMATS: Final = {"int8": 1.0, "16x8": 2.0, "float16": 0.0, "dynamic": 1.3, "float32": 0.0}
"""Time of a number format against int8; 0: the float32 of the coefficients (float16 weights are
expanded before use). 16x8 and dynamic are assumptions, with a wider band."""

ASSUMED: Final = 2.0
"""The band's further factor for these."""


@dataclass(frozen=True)
class Load:
    """Sums over a Network's operations, in products and elements."""

    macs: float
    dense: float
    depthwise: float
    elements: float
    operations: int


@cache
def coefficients() -> dict[str, Any]:
    """What the calibration found."""
    found: dict[str, Any] = json.loads(COEFFICIENTS.read_text())
    return found


def load(network: Network) -> Load:
    """Count what a Network asks of a processor."""
    macs = dense = depthwise = elements = 0.0
    works = workload.of(network)
    for work in works:
        elements += work.written
        if work.group == "depthwise":
            depthwise += work.macs
        elif work.group == "product" and work.positions == 1:
            dense += work.macs
        elif work.group == "product":
            macs += work.macs
        else:
            elements += work.read
    return Load(macs, dense, depthwise, elements, len(works))


def seconds(
    found: Load, clock_hz: float, threads: int, cycles: float, kernels: str,
    constants: Mapping[str, float], slower: float = 1.0,
) -> float:  # fmt: skip
    """Seconds of one inference.

    Args:
        found: what `load` counted.
        clock_hz, threads: of the processor.
        cycles: one core's per int8 product.
        kernels: ``xnnpack``, or ``builtin`` (TFLite's own kernels on 32-bit Arm).
        constants: of the calibration.
        slower: time against int8.
    """
    parallel = float(threads**THREADS)
    shared = found.macs * (constants["builtin_product"] if kernels == "builtin" else 1.0)
    shared += found.depthwise * constants[f"{kernels}_depthwise"]
    shared += found.elements * constants[f"{kernels}_element"]
    single = found.dense * constants["dense"]
    own = constants["call"] + found.operations * constants["operation"]
    return ((shared / parallel + single) * slower + own) * cycles / clock_hz


def cycles_per_mac(architecture: str, table: Mapping[str, Any]) -> float | None:
    """Of a core: as measured, or from its peak; None where neither is known."""
    measured = table["cycles"].get(architecture)
    if measured is not None:
        return float(measured)
    peak = PEAK.get(architecture)
    return None if peak is None else 1 / (peak * table["share"])


def latency(network: Network, target: Target, number_format: str = "int8") -> Estimate:
    """Seconds of one inference of TFLite on the board's processor, with its 90 % band.

    Unknown where the core or its clock is not known, and for an empty Network.
    """
    if target.clock_mhz is None:
        return unknown("s", target.why_unknown("compute", "clock_mhz"))
    table = coefficients()
    cycles = cycles_per_mac(target.architecture, table)
    if cycles is None:
        return unknown(
            "s", f"no processor like '{target.architecture or target.chip}' was measured"
        )
    found = load(network)
    if not found.operations:
        return unknown("s", "the Network has no operations")
    kernels = str(target.settings.get("kernels") or "xnnpack")
    if kernels not in ("xnnpack", "builtin"):
        return unknown("s", f"kernels '{kernels}' were not measured: xnnpack or builtin")
    threads = max(1, int(target.settings.get("threads") or 1))
    slower = FORMATS.get(number_format)
    if slower is None:
        return unknown("s", f"networks in {number_format} were not measured")
    slower = slower or table["constants"]["float32"]
    value = seconds(
        found, target.clock_mhz * 1e6, threads, cycles, kernels, table["constants"], slower
    )
    known = target.architecture in table["cycles"]
    band = table["bands"]["board" if known else "architecture"]
    words = f"{table['source']}; {target.architecture} at {1 / cycles:.3g} int8 MAC/cycle"
    words += "" if known else " (from its peak: this core was not measured)"
    words += f", {threads} thread{'s' if threads > 1 else ''}, {target.clock_mhz:g} MHz"
    if number_format not in ("int8", "float32", "float16"):
        band *= ASSUMED
        words += f"; {number_format} assumed at {slower:g} times the time of int8"
    smallest, largest = table["range"]
    total = found.macs + found.dense + found.depthwise
    if not smallest <= total <= largest:
        band *= ASSUMED
        words += (
            f"; {total:,.0f} MACs are outside of what was measured ({smallest:,.0f} to "
            f"{largest:,.0f}), so the band is {ASSUMED:g} times as wide"
        )
    return Estimate.within(value, band, "s", "model", words)
