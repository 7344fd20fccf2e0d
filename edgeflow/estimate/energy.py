"""First estimates of latency, power and energy, with wide bands.

Energy is power x time. Power comes from the target's published figures, time from the caller (a
compiler's report, a measurement) or from `latency_from_macs`. The coefficients are in
``coefficients/first.json``; `edgeflow.estimate.calibration` says how they were found and how well
they held on boards left out.

Units: s, W, J, MHz where a name says so. Standard library alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from edgeflow.estimate.quantity import Estimate, unknown
from edgeflow.network import Network
from edgeflow.targets import Figure, Target

COEFFICIENTS: Final = Path(__file__).with_name("coefficients") / "first.json"

NODE: Final = {
    "artix-7": (1.0, 1.0, 1.0),
    "zynq-7000": (1.0, 1.0, 1.0),
    "zynq-ultrascale+": (0.5, 0.2, 1.0),
    "virtex-ultrascale+": (0.5, 0.2, 1.0),
}
"""Energy per cycle against the 28 nm parts that were measured: value, low, high. For 16 nm it is an
assumption: less than at 28 nm, and not under a fifth."""

UTILISATION: Final = (0.01, 0.8)
"""Of an FPGA's capacity, where a design's resources are not known."""

STATIC_FACTOR: Final = 3.0
"""Band of a leakage that is scaled by the number of LUTs from the XC7Z020's."""

REFERENCE_STATIC: Final = (0.139, 53200)
"""Static power (W) and LUTs of the XC7Z020 (Vivado reports, see targets/pynq-z2.yaml)."""

LINUX_CALL_S: Final = (20e-6, 0.0, 100e-6)
LINUX_LAYER_S: Final = (2e-6, 0.0, 10e-6)
"""An interpreter's own work under Linux, which the rates do not hold: value, low, high, per call
and per layer. An assumption; it matters for networks of less than about a million MACs."""


@cache
def coefficients() -> dict[str, Any]:
    """What the calibration found."""
    found: dict[str, Any] = json.loads(COEFFICIENTS.read_text())
    return found


def common(network: Network, model_size_bytes: float | None = None) -> dict[str, Estimate]:
    """What is counted, not estimated: ``macs``, ``parameters``, ``weight_memory``,
    ``activation_memory`` and, given a file's size, ``model_size``.
    """
    totals = network.totals
    counted = "counted from the Network"
    found = {
        "macs": Estimate.exact(totals.macs, "MAC", "model", counted),
        "parameters": Estimate.exact(totals.parameters, "1", "model", counted),
        "weight_memory": Estimate.exact(totals.weight_bytes, "B", "model", counted),
        "activation_memory": Estimate.exact(totals.activation_bytes, "B", "model", counted),
    }
    if model_size_bytes is not None:
        found["model_size"] = Estimate.exact(
            model_size_bytes, "B", "measured", "size of the artifact"
        )
    return found


def latency_from_macs(
    network: Network, target: Target, number_format: str = "int8", cores: int = 1
) -> Estimate:
    """Latency (s) of one inference on a processor: MACs / (cores x rate x clock).

    Unknown for targets that are no processor, for number formats other than int8 (only those were
    measured), and for networks without MACs.
    """
    if target.kind not in ("linux_board", "mcu"):
        return unknown("s", f"MACs say nothing of the latency on a target of kind '{target.kind}'")
    if number_format != "int8":
        return unknown("s", f"the rates were measured with int8 networks, not {number_format}")
    if target.clock_mhz is None:
        return unknown("s", target.why_unknown("compute", "clock_mhz"))
    macs = network.totals.macs
    if macs <= 0:
        return unknown("s", "the Network has no multiply-accumulates to go by")
    table = coefficients()["latency"]
    rate = table["rates"].get(target.architecture)
    if rate is not None:
        value, factor = rate["value"], table["factor"]
        basis = f"{target.architecture} at {value:g} int8 MAC/cycle/core ({rate['rows']} networks)"
    else:
        family = target.architecture[:8]
        if family not in table["families"]:
            return unknown(
                "s", f"no processor like '{target.architecture or target.chip}' was measured"
            )
        value = table["families"][family]
        # A factor found on Linux boards of unlike architectures: the widest that was seen.
        factor = table["factor_other_architecture"]
        basis = f"{family} processors at {value:g} int8 MAC/cycle/core (not this architecture)"
    seconds = macs / (value * cores * target.clock_mhz * 1e6)
    found = [seconds, seconds / factor, seconds * factor]
    words = f"{basis}, {cores} core{'s' if cores > 1 else ''} at {target.clock_mhz:g} MHz"
    if target.kind == "linux_board":
        layers = len(network.layers)
        for index in range(3):
            found[index] += LINUX_CALL_S[index] + layers * LINUX_LAYER_S[index]
        words += f", and {found[0] - seconds:.2g} s assumed for the interpreter's own work"
    elif macs < table["least_macs"]:
        found[2] *= table["least_macs"] / macs
        words += f"; smaller than any measured network ({table['least_macs']:,.0f} MACs), so the "
        words += "upper end is that network's"
    return Estimate(found[0], found[1], found[2], "s", "model", f"{words}; {table['source']}")


def times(one: Estimate, other: Estimate, unit: str, source: str) -> Estimate:
    """The product of two independent figures; their bands combine in quadrature (of logarithms).

    Unknown where a factor is. The method is the weaker of the two.
    """
    for part in (one, other):
        if part.value is None:
            return unknown(unit, part.reason or "a factor is not known", source=source)
    a, b = _band(one), _band(other)
    value = a[0] * b[0]
    if min(*a, *b) > 0:
        low = value / math.exp(math.hypot(math.log(a[0] / a[1]), math.log(b[0] / b[1])))
        high = value * math.exp(math.hypot(math.log(a[2] / a[0]), math.log(b[2] / b[0])))
    else:
        low, high = a[1] * b[1], a[2] * b[2]
    method = one.method if one.method == other.method else "model"
    return Estimate(value, min(low, value), max(high, value), unit, method, source)


def figure_estimate(
    target: Target, name: str, unit: str = "W", factor: float = 1.0, section: str = "power"
) -> Estimate:
    """A target's published figure as an Estimate; its band is at least ``factor`` up and down."""
    figure = target.figure(section, name)
    if figure is None:
        return unknown(unit, target.why_unknown(section, name))
    low, high = _figure_band(figure, factor)
    return Estimate(figure.value, low, high, unit, "model", target.source_of(figure))


def board_energy(target: Target, latency: Estimate) -> dict[str, Estimate]:
    """Active power x latency, of the whole board and of the chip.

    Gives ``power`` and ``energy_per_inference`` (board), ``chip_power`` and
    ``chip_energy_per_inference`` (the chip, or its supply rail as the source says).
    """
    # The published band is of the networks measured; another runtime draws another power.
    factor = coefficients()["power"]["factor"]
    return _energies(
        figure_estimate(target, "board_active", factor=factor),
        figure_estimate(target, "chip_active", factor=factor),
        latency,
        "latency",
    )


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
        ``chip_power``, ``chip_energy_per_inference`` (with the processor beside it).
    """
    del network
    clock = clock_mhz or target.clock_mhz
    time, label = (latency, "latency") if interval is None else (interval, "interval")
    fabric = _fabric_power(target, clock, resources or {}, switching)
    chip = _chip_power(target, fabric)
    board = figure_estimate(target, "board_active")
    board, chip, fabric = _reconcile(board, chip, fabric)
    found = _energies(board, chip, time, label)
    found["fabric_power"] = fabric
    found["fabric_energy_per_inference"] = times(fabric, time, "J", f"fabric power x {label}")
    return found


def tpu_energy(target: Target, latency: Estimate, batch: int = 1) -> dict[str, Estimate]:
    """Energy of one input while a TPU chip runs its batch; `latency` is of the whole batch (s)."""
    found = board_energy(target, latency)
    for name in ("energy_per_inference", "chip_energy_per_inference"):
        energy = found[name]
        if energy.value is not None and batch > 1:
            value, low, high = (part / batch for part in _band(energy))
            found[name] = Estimate(
                value, low, high, "J", energy.method, f"{energy.source}, over a batch of {batch}"
            )
    return found


def _energies(board: Estimate, chip: Estimate, time: Estimate, label: str) -> dict[str, Estimate]:
    return {
        "power": board,
        "energy_per_inference": times(
            board, time, "J", f"board power x {label}; power: {board.source}"
        ),
        "chip_power": chip,
        "chip_energy_per_inference": times(
            chip, time, "J", f"chip power x {label}; power: {chip.source}"
        ),
    }


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
    static, static_words = _static_power(target)
    table = coefficients()["fabric"]
    total = list(static)
    bounded = []
    counted = switching is not None and switching.value is not None
    if switching is not None and counted:
        for index, joules in enumerate(_band(switching)):
            total[index] += joules * clock * 1e6
    for name, energy in table["parts"].items():
        if name == "lut" and counted:
            continue
        count = _count(target, name, resources.get(name))
        if count is None:
            return unknown("W", f"neither the design's nor the device's {name} is known")
        if resources.get(name) is None or resources[name].value is None:
            bounded.append(name)
        for index, key in enumerate(("value", "low", "high")):
            total[index] += count[index] * energy[key] * node[index] * clock * 1e6
    words = f"{table['source']}; {clock:g} MHz; static: {static_words}"
    if switching is not None and counted:
        words += f"; nets: {switching.source}"
    if node[0] != 1:
        words += "; 16 nm assumed at 0.2 to 1 of that energy"
    if bounded:
        low, high = UTILISATION
        words += (
            f"; {', '.join(bounded)} of the design not known: {low:.0%} to {high:.0%} of the "
            "device, geometric mean"
        )
    return Estimate(total[0], total[1], total[2], "W", "model", words)


def _reconcile(
    board: Estimate, chip: Estimate, fabric: Estimate
) -> tuple[Estimate, Estimate, Estimate]:
    """A part draws no more than its board.

    Where the parts' values fit under the board's measured power, it caps their bands. Where one
    is expected above it (a design far larger than the measured ones), the board's upper end rises.
    """
    if board.value is None or fabric.value is None:
        return board, chip, fabric
    most = _band(board)[2]
    if max(fabric.value, chip.value or 0.0) > most:
        return replace(board, high=board.value + _band(fabric)[2]), chip, fabric

    def capped(part: Estimate) -> Estimate:
        if part.value is None or part.high is None or part.high <= most:
            return part
        return replace(part, high=most, source=f"{part.source}; at most the board's power")

    return board, capped(chip), capped(fabric)


def _count(target: Target, name: str, known: Estimate | None) -> tuple[float, float, float] | None:
    if known is not None and known.value is not None:
        return _band(known)
    capacity = target.figure("resources", name)
    if capacity is None:
        return None
    low, high = (share * capacity.value for share in UTILISATION)
    return math.sqrt(low * high), low, high


def _static_power(target: Target) -> tuple[tuple[float, float, float], str]:
    figure = target.figure("power", "chip_static")
    if figure is not None:
        low, high = _figure_band(figure, 1.0)
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
    low, high = _figure_band(processor, 1.0)
    a = _band(fabric)
    return Estimate(
        a[0] + processor.value,
        a[1] + low,
        a[2] + high,
        "W",
        "model",
        f"processor: {target.source_of(processor)}; fabric: {fabric.source}",
    )


def _figure_band(figure: Figure, factor: float) -> tuple[float, float]:
    low = figure.value if figure.low is None else figure.low
    high = figure.value if figure.high is None else figure.high
    return min(low, figure.value / factor), max(high, figure.value * factor)


def _band(known: Estimate) -> tuple[float, float, float]:
    assert known.value is not None
    assert known.low is not None
    assert known.high is not None
    return known.value, known.low, known.high
