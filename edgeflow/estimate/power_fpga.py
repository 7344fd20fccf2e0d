"""Power and energy of a design on an FPGA board: board, chip and fabric apart.

Static power by the device, dynamic power by what the design uses, its clock and its toggles where
a netlist was simulated. Standard library alone.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final

from edgeflow.estimate.figures import Band, band, energies, figure_band, figure_estimate, times
from edgeflow.estimate.power import coefficients
from edgeflow.estimate.quantity import Estimate, unknown
from edgeflow.network import Network
from edgeflow.targets import Target

NODE: Final = {
    "artix-7": (1.0, 1.0, 1.0),
    "zynq-7000": (1.0, 1.0, 1.0),
    "zynq-ultrascale+": (0.5, 0.2, 1.0),
    "virtex-ultrascale+": (0.5, 0.2, 1.0),
}
"""Energy per cycle against the 28 nm parts that were measured: value, low, high. For 16 nm it is an
assumption: less than at 28 nm, and not under a fifth."""

MEASURED_DYNAMIC: Final = 0.5
"""Watts of switching, by the coefficients, of the designs whose boards were measured: about
40,000 LUTs, 50,000 flip-flops and 200 DSP blocks at 100 MHz (AD08; arXiv 2206.11791, table 5)."""

DESIGN_SHARE: Final = (0.2, 0.0, 1.0)
"""Of what a design switches more or less than that, the share seen in the board's power: value,
low, high. An assumption. Two designs of one board differ by 11 %, the one with fewer LUTs drawing
more: the processor, memory and regulators outweigh the fabric, which waits most of the time."""

OTHER_BOARDS: Final = {"zynq-7000": (1.67, "PYNQ-Z2"), "artix-7": (2.18, "Arty A7-100T")}
"""Watts of the measured boards, for a board of their family that nobody measured."""
OTHER_BOARD: Final = 2.0
"""Its band's factor. The two measured boards differ by 1.3; others carry more or less beside the
FPGA. An assumption."""

BOARD_TO_CHIP: Final = (2.5, 1.1, 6.0)
"""Board over chip, where nobody measured a board of the family: the geometric mean of the PYNQ-Z2's
(1.67 W over 1.5 W) and the Arty A7's (2.18 W over 0.35 W), and these two."""

UTILISATION: Final = (0.01, 0.8)
"""Of an FPGA's capacity, where a design's resources are not known."""

STATIC_FACTOR: Final = 3.0
"""Band of a leakage that is scaled by the number of LUTs from the XC7Z020's."""

REFERENCE_STATIC: Final = (0.139, 53200)
"""Static power (W) and LUTs of the XC7Z020 (Vivado reports, see targets/pynq-z2.yaml)."""


def fpga_power(
    target: Target,
    network: Network | None,
    clock_mhz: float | None,
    resources: Mapping[str, Estimate] | None,
    latency: Estimate,
    interval: Estimate | None = None,
    *,
    switching: Estimate | None = None,
) -> dict[str, Estimate]:
    """Power and energy of a design on an FPGA board: board, chip and fabric apart.

    Args:
        target: the board.
        network: the model (for later models; may be None).
        clock_mhz: the design's clock; the target's where None.
        resources: ``lut``, ``ff``, ``dsp``, ``bram_18k`` of the design. Those that are missing or
            unknown are bounded by the device's capacity.
        latency: seconds of one inference.
        interval: seconds between inferences where inputs follow back to back; then an inference
            costs power x interval, else power x latency.
        switching: energy (J) per clock cycle of the nets, from toggles that were counted in a
            netlist; it takes the place of the energy per LUT.

    Returns:
        ``power``, ``energy_per_inference`` (whole board, as measured), ``fabric_power``,
        ``fabric_energy_per_inference`` (static and dynamic power of the programmable logic),
        ``static_power`` (leakage) and ``dynamic_power`` (what switches) of that logic apart,
        ``chip_power``, ``chip_energy_per_inference`` (with the processor beside it).
    """
    del network
    clock = clock_mhz or target.clock_mhz
    time, label = (latency, "latency") if interval is None else (interval, "interval")
    fabric = _fabric_power(target, clock, resources or {}, switching)
    static, dynamic = _apart(target, fabric)
    chip = _chip_power(target, fabric)
    board = _board_power(target, chip, fabric, resources or {})
    board, chip, fabric = _reconcile(board, chip, fabric)
    found = energies(board, chip, time, label)
    found |= {"fabric_power": fabric, "static_power": static, "dynamic_power": dynamic}
    found["fabric_energy_per_inference"] = times(fabric, time, "J", f"fabric power x {label}")
    return found


def _apart(target: Target, fabric: Estimate) -> tuple[Estimate, Estimate]:
    """Leakage and switching of the fabric."""
    if fabric.value is None:
        reason = fabric.reason or "the fabric's power is not known"
        return unknown("W", reason), unknown("W", reason)
    leaks, words = _static_power(target)
    switches = (total - part for total, part in zip(band(fabric), leaks, strict=True))
    value, low, high = (max(part, 0.0) for part in switches)
    return (
        Estimate(*leaks, "W", "model", words),
        Estimate(value, min(low, value), max(high, value), "W", "model", fabric.source),
    )


def per_cycle(part: Mapping[str, Any], count: float) -> float:
    """Energy (J) per cycle of one LUT, flip-flop, DSP or RAM in a design that has so many.

    Larger designs switch less per element (deep pipelines wait, and the tool's default toggle rate
    thins out behind many levels). Between the smallest and the largest design that was reported it
    goes with the logarithm of the count; beyond them it stays. Without such points it is one value.
    """
    if "by_count" not in part:
        return float(part["value"])
    points: list[tuple[float, float]] = [(n, energy) for n, energy in part["by_count"]]
    count = min(max(count, points[0][0]), points[-1][0])
    for (n, low), (m, high) in pairwise(points):
        if n <= count <= m and m > n:
            share = math.log(count / n) / math.log(m / n)
            return math.exp((1 - share) * math.log(low) + share * math.log(high))
    return points[0][1]


def _board_power(
    target: Target, chip: Estimate, fabric: Estimate, resources: Mapping[str, Estimate]
) -> Estimate:
    """The board's measured power, corrected for what this design switches."""
    board = figure_estimate(target, "board_active")
    figure = target.figure("power", "board_active")
    if figure is None and target.architecture in OTHER_BOARDS:
        watts, basis = OTHER_BOARDS[target.architecture]
        return Estimate.within(
            watts, OTHER_BOARD, "W", "model",
            f"as the {basis} (MLPerf Tiny), a board of the same family; "
            f"{target.why_unknown('power', 'board_active')}",
        )  # fmt: skip
    if figure is None and chip.value is not None:
        value, low, high = (
            part * factor for part, factor in zip(band(chip), BOARD_TO_CHIP, strict=True)
        )
        return Estimate(
            value, low, high, "W", "model",
            f"{BOARD_TO_CHIP[0]:g} times the chip's power, the two measured boards "
            f"drawing {BOARD_TO_CHIP[1]:g} and {BOARD_TO_CHIP[2]:g} times theirs; "
            f"{target.why_unknown('power', 'board_active')}",
        )  # fmt: skip
    lut = resources.get("lut")
    if (
        board.value is None or figure is None or fabric.value is None or lut is None
        or lut.value is None or figure.source == "given"
        or NODE.get(target.architecture) != (1.0, 1.0, 1.0)
    ):  # fmt: skip
        return board
    more = fabric.value - _static_power(target)[0][0] - MEASURED_DYNAMIC
    share = DESIGN_SHARE[0]
    value, low, high = band(board)
    factor = 1 + share * more / value
    wide = max(0.0, more) * (DESIGN_SHARE[2] - share)
    return replace(
        board,
        value=value * factor,
        low=low * min(factor, 1.0),
        high=high * max(factor, 1.0) + wide,
        source=f"{board.source}; {share * more:+.2g} W for a design that switches "
        f"{more + MEASURED_DYNAMIC:.2g} W against the measured ones' {MEASURED_DYNAMIC:g} W",
    )


def _fabric_power(
    target: Target,
    clock: float | None,
    resources: Mapping[str, Estimate],
    switching: Estimate | None = None,
) -> Estimate:
    """Static and dynamic power (W) of the programmable logic."""
    node = NODE.get(target.architecture)
    if node is None:
        return unknown("W", f"no coefficients for the family '{target.architecture}'")
    if clock is None:
        return unknown("W", "the design's clock is not known")
    static, words = _static_power(target)
    table = coefficients()["fabric"]
    words = f"{table['source']}; {clock:g} MHz; static: {words}"
    total = list(static)
    parts = dict(table["parts"])
    if switching is not None and switching.value is not None:
        del parts["lut"]
        words += f"; nets: {switching.source}"
        for index, joules in enumerate(band(switching)):
            total[index] += joules * clock * 1e6
    if node[0] != 1:
        words += "; 16 nm assumed at 0.2 to 1 of that energy"
    for name, energy in parts.items():
        count = _count(target, name, resources.get(name))
        if count is None:
            return unknown("W", f"neither the design's nor the device's {name} is known")
        known = _known(resources.get(name))
        each = energy["value"] if known is None else per_cycle(energy, count[0])
        for index, joules in enumerate((each, energy["low"], energy["high"])):
            total[index] += count[index] * joules * node[index] * clock * 1e6
    return Estimate(
        total[0], total[1], total[2], "W", "model", words + _remarks(target, resources, parts)
    )


def _remarks(target: Target, resources: Mapping[str, Estimate], parts: Collection[str]) -> str:
    """What the counts of resources were taken for, in words."""
    words = ""
    values = {name: _known(resources.get(name)) for name in parts}
    if full := [
        name
        for name, value in values.items()
        if value is not None and (capacity := target.figure("resources", name))
        if value > capacity.value
    ]:
        words += f"; {', '.join(full)}: no more than the device has, a design that fits it"
    if bounded := [name for name, value in values.items() if value is None]:
        low, high = UTILISATION
        words += (
            f"; {', '.join(bounded)} of the design not known: {low:.0%} to {high:.0%} of the "
            "device, geometric mean"
        )
    return words


def _known(resource: Estimate | None) -> float | None:
    return None if resource is None else resource.value


def _reconcile(
    board: Estimate, chip: Estimate, fabric: Estimate
) -> tuple[Estimate, Estimate, Estimate]:
    """A part draws no more than its board.

    Where the parts' values fit into the band of the board's measured power, it caps them: a tool's
    default activity has a processor busier than it is. Where one is expected above that band (a
    design far larger than the measured ones), the board's upper end rises.
    """
    if board.value is None or fabric.value is None:
        return board, chip, fabric
    most = band(board)[2]
    if max(fabric.value, chip.value or 0.0) > most:
        return replace(board, high=board.value + band(fabric)[2]), chip, fabric

    def capped(part: Estimate) -> Estimate:
        if part.value is None or part.high is None or part.high <= most:
            return part
        value = min(part.value, board.value or part.value)
        low = min(part.low or 0.0, value)
        source = f"{part.source}; at most the board's power"
        return replace(part, value=value, low=low, high=most, source=source)

    return board, capped(chip), capped(fabric)


def _count(target: Target, name: str, known: Estimate | None) -> Band | None:
    """How many of a resource, value, low and high: at most as many as the device has."""
    capacity = target.figure("resources", name)
    if known is not None and known.value is not None:
        value, low, high = band(known)
        most = math.inf if capacity is None else capacity.value
        return min(value, most), min(low, most), min(high, most)
    if capacity is None:
        return None
    low, high = (share * capacity.value for share in UTILISATION)
    return math.sqrt(low * high), low, high


def _static_power(target: Target) -> tuple[Band, str]:
    figure = target.figure("power", "chip_static")
    if figure is not None:
        low, high = figure_band(figure, 1.0)
        return (figure.value, low, high), target.source_of(figure)
    luts = target.figure("resources", "lut")
    watts, reference = REFERENCE_STATIC
    scaled = watts * (luts.value if luts else reference) / reference
    words = f"XC7Z020's {watts} W by the number of LUTs, within a factor of {STATIC_FACTOR:g}"
    return (scaled, scaled / STATIC_FACTOR, scaled * STATIC_FACTOR), words


def _chip_power(target: Target, fabric: Estimate) -> Estimate:
    """Fabric, and the processor beside it where the device has one."""
    if fabric.value is None or not target.architecture.startswith("zynq"):
        return fabric
    processor = target.figure("power", "chip_processor")
    if processor is None:
        return unknown("W", "the power of the processor beside the fabric is not known")
    low, high = figure_band(processor, 1.0)
    a = band(fabric)
    return Estimate(
        a[0] + processor.value,
        a[1] + low,
        a[2] + high,
        "W",
        "model",
        f"processor: {target.source_of(processor)}; fabric: {fabric.source}",
    )
