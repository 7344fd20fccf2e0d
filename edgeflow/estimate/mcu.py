"""Latency of a network on a microcontroller (or the NPU beside one), by runtime and core.

Cycles = core x version x sum over `edgeflow.estimate.mcu_terms` of (amount x cycles of the
runtime's kernels on a Cortex-M4). The cycles and factors are in ``coefficients/mcu.json``;
`edgeflow.estimate.mcu_calibration` says how they were found and how they held on benchmarks and
boards left out. Units: cycles, s. Standard library alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from edgeflow.estimate import mcu_memory, mcu_terms
from edgeflow.estimate.mcu_table import coefficients, ram_piece, runtime_of
from edgeflow.estimate.power import version_number
from edgeflow.estimate.quantity import Estimate, unknown
from edgeflow.network import Network
from edgeflow.targets import Target

FLOAT_CORES: Final = frozenset("cortex-m4 cortex-m7 cortex-m33 cortex-m55 cortex-m85".split())
"""Cores with single-precision hardware, of which float32 networks were measured or which are
alike."""

OUTSIDE: Final = 1.5
"""The band is so many times wider, up and down, for a core that was not measured with the runtime's
kind of kernels; its factor comes from published CoreMark/MHz or instruction counts. Cortex-M4, M7
and M33, each left out whole, were within 1.5x; other cores are less alike, so this is added."""

FAR: Final = 1.2
"""The band is so many times wider where activations lie outside the chip: other memories than the
one board's that was measured are slower or faster. An assumption."""

BEYOND: Final = 1.5
"""The same for a network with fewer or more multiply-accumulates than any that was measured."""


@dataclass(frozen=True)
class Ran:
    """How a network runs on a target: cycles, the band's factor, and the words for the source."""

    cycles: float
    factor: float
    words: str


def latency(
    network: Network,
    target: Target,
    number_format: str = "int8",
    runtime: str | None = None,
) -> dict[str, Estimate]:
    """``latency_cycles`` and ``latency`` (s) of one inference.

    Args:
        network: shapes suffice.
        target: its settings ``runtime``, ``runtime_version`` (of X-CUBE-AI, such as 8.1; of
            microTVM native or cmsis-nn) and ``accelerator`` count, its architecture and clock.
        number_format: ``int8`` or, where the core has an FPU, ``float32``.
        runtime: in place of the target's.

    Unknown (with the reason) where the network has no multiply-accumulates, the clock is not known
    or nothing is known of the core.
    """
    name = runtime or runtime_of(target)
    ran = _run(network, target, number_format, name)
    if isinstance(ran, str):
        return {"latency_cycles": unknown("cycles", ran), "latency": unknown("s", ran)}
    cycles = Estimate.within(ran.cycles, ran.factor, "cycles", "model", ran.words)
    if target.clock_mhz is None:
        why = target.why_unknown("compute", "clock_mhz")
        return {"latency_cycles": cycles, "latency": unknown("s", why)}
    hertz = target.clock_mhz * 1e6
    return {
        "latency_cycles": cycles,
        "latency": Estimate.within(
            ran.cycles / hertz, ran.factor, "s", "model", f"{ran.words}, {target.clock_mhz:g} MHz"
        ),
    }


def core_of(target: Target) -> str:
    """The target's core as the coefficients name it: ``cortex-m4`` of Arm Cortex-M4F."""
    name = target.architecture.lower().replace(" ", "-").replace("_", "-").replace("+", "plus")
    name = name.removeprefix("arm-")
    return name.removesuffix("f") if name.startswith("cortex-m") else name


def latency_from_instructions(instructions: float, target: Target) -> dict[str, Estimate]:
    """``latency_cycles`` and ``latency`` (s) of so many instructions of edgeflow's kernels."""
    table = coefficients()["latency"]
    per = table["cycles_per_instruction"].get(core_of(target))
    if per is None or target.clock_mhz is None:
        why = f"nothing is known of the cycles per instruction of {target.architecture}"
        return {"latency_cycles": unknown("cycles", why), "latency": unknown("s", why)}
    factor = table["runtimes"]["edgeflow"]["factor_board"]
    words = (
        f"instructions counted in QEMU at {per:g} cycles each on {target.architecture} (assumed)"
    )
    cycles = instructions * per
    return {
        "latency_cycles": Estimate.within(cycles, factor, "cycles", "model", words),
        "latency": Estimate.within(
            cycles / (target.clock_mhz * 1e6), factor, "s", "model",
            f"{words}, {target.clock_mhz:g} MHz",
        ),
    }  # fmt: skip


def _run(network: Network, target: Target, number_format: str, runtime: str) -> Ran | str:
    """How it runs, or why that is not known."""
    amounts = mcu_terms.count(network, _is_far(network, target, runtime))
    work = amounts["mac"] + amounts["dense_mac"] + amounts["depthwise_mac"]
    if work <= 0:
        return "the Network has no multiply-accumulates to go by"
    table = coefficients()["latency"]
    found = (
        _vendor(amounts, target, table)
        if runtime == "vendor"
        else _software(amounts, target, runtime, table)
    )
    if isinstance(found, str):
        return found
    found = _in_format(found, target, number_format, runtime, table)
    if isinstance(found, str):
        return found
    if amounts["far"]:
        words = "; the activations are more than one piece of its RAM: from other memory"
        found = Ran(found.cycles, _both(found.factor, FAR), found.words + words)
    low, high = table["macs"]
    if not low <= work <= high:
        words = f"{found.words}; {work:,.0f} MACs are outside the {low:,.0f} to {high:,.0f} of the"
        return Ran(
            found.cycles,
            found.factor * BEYOND,
            f"{words} measured networks, so the band is {BEYOND:g}x wider",
        )
    return found


def cycles_of(amounts: Mapping[str, float], family: Mapping[str, Any]) -> float:
    """Cycles on the family's reference core."""
    terms: Mapping[str, float] = family["terms"]
    return sum(amounts[name] * terms.get(name, 0.0) for name in amounts)


def _vendor(amounts: Mapping[str, float], target: Target, table: dict[str, Any]) -> Ran | str:
    """An NPU's own runtime: rates of its own."""
    name = str(target.settings.get("accelerator") or target.architecture)
    family = table["npus"].get(name)
    if family is None:
        known = ", ".join(sorted(table["npus"]))
        return f"nothing is known of the vendor's runtime for '{name}' (known: {known})"
    words = (
        f"operators of the network on {name} with its vendor's runtime ({family['rows']} "
        f"measurements); {family['source']}"
    )
    return Ran(cycles_of(amounts, family), family["factor"], words)


def _software(
    amounts: Mapping[str, float], target: Target, runtime: str, table: dict[str, Any]
) -> Ran | str:
    """Kernels on the processor."""
    entry = table["runtimes"].get(runtime)
    if entry is None:
        return f"nothing is known of the runtime '{runtime}'"
    core = core_of(target)
    ways = [table["families"][name] for name in entry["families"]]
    version = target.settings.get("runtime_version")
    wanted = str(version) if version is not None else None
    said = ""
    if wanted is not None and wanted in entry.get("named", {}):
        ways = [table["families"][entry["named"][wanted]]]
        said = f" ({wanted})"
    logs, measured = [], True
    for family in ways:
        known = table["cores"][family["class"]].get(core)
        if known is None:
            return f"no processor like '{core or target.chip}' was measured or is described"
        logs.append(math.log(cycles_of(amounts, family) * known["value"]))
        measured = measured and known["measured"]
    cycles = math.exp(sum(logs) / len(logs))
    scale, told, known_version = _version(entry, wanted)
    factor, which = _band(entry, target, measured, known_version or bool(said))
    source = entry.get("source") or table["source"]
    words = f"operators of the network in {runtime}{told or said} on {core}{which}; {source}"
    return Ran(cycles * scale, factor, words)


def _band(
    entry: Mapping[str, Any], target: Target, measured: bool, said: bool
) -> tuple[float, str]:
    """The band's factor, and what is to be said of it; ``said``: the version is known."""
    own = "source" in entry or target.name in entry["boards"]
    name = "benchmark" if own and measured else "board"
    factor: float = entry[f"factor_{name}"]
    if not said:
        factor = entry.get(f"unsaid_{name}") or _both(factor, entry.get("unsaid", 1.0))
    if not measured:
        words = f" (a core that was not measured: the band is {OUTSIDE:g}x wider)"
        return factor * OUTSIDE, words
    return factor, "" if own else " (a board that was not measured)"


def _version(entry: Mapping[str, Any], wanted: str | None) -> tuple[float, str, bool]:
    """Factor, words, and whether the version is known. The nearest known one stands for others."""
    versions: Mapping[str, float] = entry.get("versions", {})
    if not versions:
        return 1.0, "", "unsaid" not in entry
    number = version_number(wanted)
    if number is None:
        told = f"any version from {min_of(versions)} on"
        told = told if wanted is None else f"'{wanted}' is no version that is known: {told}"
        return entry["usual"], f" ({told})", False
    nearest = min(versions, key=lambda name: abs((version_number(name) or 0) - number))
    return versions[nearest], f" {wanted}", True


def min_of(versions: Mapping[str, float]) -> str:
    """The oldest version."""
    return min(versions, key=lambda name: version_number(name) or 0)


def _is_far(network: Network, target: Target, runtime: str) -> bool:
    """Whether the activations are more than the largest piece of RAM beside the processor."""
    piece = ram_piece(target)
    if piece is None or runtime == "vendor":
        return False
    return mcu_memory.activations(network, runtime) > piece


def _in_format(
    found: Ran, target: Target, number_format: str, runtime: str, table: dict[str, Any]
) -> Ran | str:
    """The same in another number format."""
    if number_format == "int8":
        return found
    if number_format not in ("float32", "float16") or runtime == "vendor":
        return f"only int8 and float32 networks were measured, not {number_format}"
    if core_of(target) not in FLOAT_CORES:
        return f"{target.architecture} has no floating-point unit that was measured"
    ratio = table["float32"]
    factor = _both(found.factor, ratio["factor"])
    words = f"{found.words}; float32 at {ratio['value']:g}x int8's ({ratio['rows']} networks)"
    return Ran(found.cycles * ratio["value"], factor, words)


def _both(one: float, other: float) -> float:
    """Two independent factors together."""
    return math.exp(math.hypot(math.log(one), math.log(other)))
