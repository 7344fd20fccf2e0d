"""Latency and parameter memory of a network on Coral's Edge TPU, before anything is compiled.

The model, per inference::

    call + input / bus + sum of operations + output / (bus, host)

* **Memory.** The chip has 16 tiles of 512 KiB. A kernel is stored with its outputs in blocks of 64
  and its inputs in fours. Kernels are kept in the order of the network as long as there is room;
  the others come over the bus at every inference.
* **Time of a product.** 64 lanes of 64 products: ``positions * blocks of outputs * (taps +
  overhead) * inputs / 64`` cycles, inputs in fours. A streamed kernel takes the longer of that and
  of its transfer, repeated for each strip where the activations are too large for the chip.
* **Host.** A call costs a fixed time. An output comes with its channels in eights, and the driver
  rearranges it on the processor: a time for each pixel and for each element.

Coefficients (`coefficients/edge_tpu.json`) come from published measurements. Units: s, B, Hz.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from edgeflow.estimate import workload
from edgeflow.estimate.figures import band, energies, figure_estimate
from edgeflow.estimate.quantity import Estimate, unknown
from edgeflow.estimate.workload import Work
from edgeflow.network import Network
from edgeflow.targets import Target

COEFFICIENTS: Final = Path(__file__).with_name("coefficients") / "edge_tpu.json"

CAPACITY: Final = int(7.7 * 2**20)
"""Of the chip's 8 MiB, what kernels may take: stacks of 7.58 MiB were kept, none of 7.91 MiB."""

TILE_BYTES: Final = 512 << 10
"""Of one of the chip's 16 tiles."""

NARROW: Final = 4
"""Blocks of 64 outputs, at most, of a dense layer that takes the first tiles: layers of 100 and 250
units filled one after 79 and 32 layers (compiler 1.0)."""

LANES: Final = 64
CLOCK_HZ: Final = 500e6
"""The clock of the runtime's maximum frequency; 64 x 64 products at it make Coral's 4 TOPS. Other
clocks (``--clock-mhz``) scale the operations' time."""

PER_CHANNEL: Final = 8
"""Bytes for each output of a convolution beside its kernel, in the compiler's figures."""

BIAS: Final = 4
"""Bytes of a bias; they count in the tiles, but not in the compiler's figures."""

STRIP_BYTES: Final = 1.27e6
"""Input and output of an operation above this are worked on in strips, an even number of them
(from the one sweep of convolutions whose kernels do not fit)."""

MEMORY_BAND: Final = (0.97, 1.2)
"""Of parameter memory: within 3 % for stacks, up to 15 % more in networks of depthwise layers."""

BEYOND: Final = 2.0
"""Outside of the measured range a band's width (less 1) counts so many times. An assumption."""

JOULES_PER_OPERATION: Final = 0.5e-12
"""0.5 W for each TOPS (coral.ai/technology)."""

LEAST: Final = 0.05
"""Of the peak's power, at least, for clocks and leakage. An assumption."""

MODULE: Final = 1.25
"""Power of an accelerator module against its chip's, at most. An assumption."""

BUSES: Final = {
    "usb2": "usb2", "usb-2": "usb2", "usb-2.0": "usb2", "usb2.0": "usb2",
    "usb3": "usb3", "usb-3": "usb3", "usb-3.0": "usb3", "usb3.0": "usb3", "usb": "usb3",
    "pcie": "pcie", "pcie-gen2-x1": "pcie", "m2": "pcie", "m.2": "pcie",
}  # fmt: skip
"""What a target's ``bus`` may say, and the measured bus that it is."""


@dataclass(frozen=True)
class Memory:
    """Bytes of kernels that stay on the chip and that are streamed, and which those are."""

    on_chip: int
    off_chip: int
    streamed: frozenset[str]


@cache
def coefficients() -> dict[str, Any]:
    """What the calibration found."""
    found: dict[str, Any] = json.loads(COEFFICIENTS.read_text())
    return found


def stored(work: Work) -> int:
    """Bytes of an operation's kernel as the compiler stores it: outputs in blocks of 64, inputs in
    fours (found on 105 stacks by `edgeflow.backends.edge_tpu.verdict_job`)."""
    if not work.weights:
        return 0
    inputs = 1 if work.group == "depthwise" else _up(work.inputs, 4)
    channel = 0 if work.positions == 1 and work.group == "product" else PER_CHANNEL
    return (work.taps * inputs + channel) * _up(work.outputs, LANES)


def memory(works: Sequence[Work]) -> Memory:
    """What stays on the chip: kernels in their order, as long as there is room.

    A narrow dense layer takes one tile for each block of 64 outputs, the first tiles always: a
    stack of these fills a tile long before the chip.
    """
    on_chip = off_chip = first = 0
    streamed = set()
    for work in works:
        size = stored(work)
        blocks = -(-work.outputs // LANES)
        narrow = work.group == "product" and work.positions == 1 and blocks <= NARROW
        in_first = size // blocks + BIAS * LANES if narrow else 0
        if on_chip + size <= CAPACITY and first + in_first <= TILE_BYTES:
            on_chip += size
            first += in_first
        else:
            off_chip += size
            streamed.add(work.name)
    return Memory(on_chip, off_chip, frozenset(streamed))


@dataclass(frozen=True)
class Load:
    """What an inference asks of the Edge TPU: operations that are alike counted together.

    ``operations`` are (operation, whether its kernel is streamed, how many). ``entering`` and
    ``leaving`` are elements of the Network's ports, ``pixels`` those of its outputs, ``padded`` the
    bytes that leave: channels in eights.
    """

    operations: tuple[tuple[Work, bool, int], ...]
    memory: Memory
    entering: int
    leaving: int
    pixels: int
    padded: int


def load(network: Network) -> Load:
    """Count a Network's operations, and say which kernels stay on the chip."""
    works = workload.of(network)
    kept = memory(works)
    counts = Counter((replace(work, name=""), work.name in kept.streamed) for work in works)
    entering, leaving = workload.ports(network)
    channels = [(_pixels(network, name), network[name].output_size) for name in network.outputs]
    pixels = sum(count for count, _ in channels)
    padded = sum(count * _up(size // count, 8) for count, size in channels)
    operations = tuple((work, streamed, count) for (work, streamed), count in counts.items())
    return Load(operations, kept, entering, leaving, pixels, padded)


def seconds(
    found: Load, bus: str, constants: Mapping[str, float], clock_hz: float = CLOCK_HZ
) -> float:
    """Seconds of one inference. `bus` is ``usb2``, ``usb3`` or ``pcie``."""
    total = constants[f"{bus}_call"] + found.entering * constants[f"{bus}_byte_in"]
    total += found.padded * constants[f"{bus}_byte_out"]
    total += found.pixels * constants["pixel_out"] + found.leaving * constants["element_out"]
    for work, streamed, count in found.operations:
        time = _cycles(work, constants) / clock_hz
        if streamed:
            moved = crossing(work) * constants[f"{bus}_byte_streamed"]
            time = max(time, moved + constants[f"{bus}_kernel"])
        total += count * (time + constants["operation"])
    return total


def crossing(work: Work) -> int:
    """Bytes of a streamed kernel that cross the bus: once, or once for each strip."""
    count = -(-(work.read + work.written) // int(STRIP_BYTES))
    strips = count if count <= 1 else _up(count, 2)
    size = stored(work)
    if work.group == "product" and work.outputs <= LANES // 2:
        size //= 2  # half a block is streamed as such
    return strips * size


def _cycles(work: Work, constants: Mapping[str, float]) -> float:
    moved = (work.read + work.written) * constants["element"]
    if work.group == "product":
        loaded = stored(work) * constants["weight"]
        sums = work.steps * work.positions * _up(work.outputs, LANES) / LANES
        taps = constants["tap"] * work.taps + constants["tap_overhead"]
        return sums * taps * _up(work.inputs, 4) / LANES + moved + loaded
    if work.group == "depthwise":
        lanes = work.positions * _up(work.outputs, LANES) / LANES
        return lanes * work.taps * constants["depthwise"] + moved
    return (work.read + work.written) * constants["move"]


def _pixels(network: Network, name: str) -> int:
    shape = network[name].output_shape
    size = network[name].output_size
    return max(1, size // max(1, shape[-1] or 1)) if len(shape) > 1 else 1


def bus_of(target: Target) -> str | None:
    """The bus between host and Edge TPU: the setting ``bus``; PCIe on boards that hold the chip.

    None where the setting is none that was measured.
    """
    said = str(target.settings.get("bus") or "pcie").lower().replace("_", "-").replace(" ", "-")
    return BUSES.get(said)


def estimate(network: Network, target: Target) -> dict[str, Estimate]:
    """``latency`` (s), ``on_chip_parameters`` and ``off_chip_parameters`` (B)."""
    found = load(network)
    source = "kernels in blocks of 64 outputs and fours of inputs, 16 tiles of 512 KiB"
    on_chip, off_chip = found.memory.on_chip, found.memory.off_chip
    low, high = MEMORY_BAND
    return {
        "latency": latency(network, target, found),
        "on_chip_parameters": Estimate(
            on_chip, low * on_chip, high * on_chip, "B", "model", source
        ),
        "off_chip_parameters": Estimate(
            off_chip, low * off_chip, high * off_chip, "B", "model",
            f"{source}; streamed at every inference",
        ),
    }  # fmt: skip


def latency(network: Network, target: Target, found: Load | None = None) -> Estimate:
    """Seconds of one inference on the target's Edge TPU, with its 90 % band.

    Unknown where the target's ``bus`` is none that was measured, and for an empty Network.
    """
    bus = bus_of(target)
    if bus is None:
        said = target.settings.get("bus")
        return unknown("s", f"no Edge TPU was measured on '{said}': usb2, usb3 or pcie")
    found = found or load(network)
    if not found.operations:
        return unknown("s", "the Network has no operations")
    table = coefficients()
    clock = _clock(target)
    value = seconds(found, bus, table["constants"], clock)
    groups = {work.group for work, _, _ in found.operations}
    group = "network" if groups - {"product", "function", "move"} else "stack"
    width = table["bands"][group]
    words = f"{table['source']}; {bus}, {clock / 1e6:g} MHz"
    if found.memory.off_chip:
        count = len(found.memory.streamed)
        words += f"; {count} kernels ({found.memory.off_chip:,} B) streamed at every inference"
    smallest, largest = table["range"]
    if not smallest <= value <= largest:
        width = 1 + (width - 1) * BEYOND
        words += (
            f"; outside of what was measured ({smallest * 1e3:.2g} to {largest * 1e3:.3g} ms), so "
            f"the band is {BEYOND:g} times as wide"
        )
    return Estimate.within(value, width, "s", "model", words)


def _clock(target: Target) -> float:
    """Of the Edge TPU: a module's own; a board's clock is its processor's."""
    return target.clock_mhz * 1e6 if target.kind == "npu" and target.clock_mhz else CLOCK_HZ


def power(network: Network, target: Target, time: Estimate) -> dict[str, Estimate]:
    """Power (W) and energy (J) of the Edge TPU, and of the module or board that holds it.

    Google says 0.5 W for each 10^12 operations per second, 2 W at the peak: an inference takes at
    least its operations' energy, and at most the peak's power all the time. Between these two lies
    the figure: their geometric mean, the whole width its band. The peak goes with the clock. A
    module's regulators and bus add up to `MODULE`; a board's processor adds its own power where
    that is known.
    """
    peak = target.figure("power", "chip_tdp")
    if peak is None or time.value is None:
        reason = time.reason or target.why_unknown("power", "chip_tdp")
        chip = unknown("W", reason)
        return energies(chip, chip, time, "latency")
    operations = 2 * sum(work.macs for work in workload.of(network))
    high = peak.value * _clock(target) / CLOCK_HZ
    low = min(high, max(operations * JOULES_PER_OPERATION / time.value, high * LEAST))
    source = (
        f"{target.source_of(peak)}: from the operations' own energy to the peak's power, the "
        "geometric mean between"
    )
    chip = Estimate(math.sqrt(low * high), low, high, "W", "model", source)
    if target.kind == "npu":
        board = Estimate(
            math.sqrt(low * high * MODULE), low, high * MODULE, "W", "model",
            f"{source}; regulators and bus assumed to add up to {MODULE - 1:.0%}; without its host",
        )  # fmt: skip
    else:
        board = figure_estimate(target, "board_active")
        if board.value is not None:
            host, edge = band(board), band(chip)
            value, least, most = (a + b for a, b in zip(host, edge, strict=True))
            board = Estimate(
                value, least, most, "W", "model", f"board: {board.source}; Edge TPU: {source}"
            )
    return energies(board, chip, time, "latency")


def _up(count: int, step: int) -> int:
    return -(-count // step) * step
