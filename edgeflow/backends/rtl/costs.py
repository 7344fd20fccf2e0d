"""What an RTL design costs: from open synthesis where it ran, else from da4ml's own count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from edgeflow.backends.rtl import rules, timing
from edgeflow.estimate import energy
from edgeflow.estimate.quantity import Estimate, unknown
from edgeflow.network import Network
from edgeflow.synthesis import devices, power
from edgeflow.targets import Target

UNITS: Final = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram_18k": "BRAM_18K"}

GRAPH_FACTOR: Final = 1.35
"""da4ml's count against yosys' LUTs: within 14 % on six-input LUTs (five designs); more on four."""
FOUR_INPUTS: Final = ("ice40", "ecp5", "gowin")
FOUR_INPUT_FACTOR: Final = 1.4
"""LUTs of four inputs per adder bit of da4ml's: 3,055 of 2,173 on iCE40 (models/digits, the tiny
one); multiplexers and reductions take more of the smaller tables."""


def estimates(
    network: Network,
    target: Target,
    options: Mapping[str, Any],
    result: Mapping[str, Any] | None,
) -> dict[str, Estimate]:
    """The figures of one design.

    ``result`` is the compile job's, with the synthesis in ``result["synthesis"]``: utilisation
    and clock as the tools gave them. Without any, the LUTs are predicted from the Network.
    """
    found = energy.common(network)
    found["model_size"] = Estimate.exact(
        network.totals.weight_bytes, "B", "model", "the weights, which lie in the logic"
    )
    synthesis = (result or {}).get("synthesis") or {}
    found |= resources(network, target, options, result, synthesis)
    found |= speed(network, target, options, result, synthesis)
    clock = found["clock"].value
    toggles = synthesis.get("toggles")
    found |= energy.fpga_power(
        target, network, None if clock is None else clock / 1e6, found, found["latency"],
        found["interval"],
    )  # fmt: skip
    if toggles:
        found |= power.estimates(
            target, toggles, None if clock is None else clock / 1e6, (result or {}).get("ii"),
            resources=found,
        )  # fmt: skip
    return found


def resources(
    network: Network,
    target: Target,
    options: Mapping[str, Any],
    result: Mapping[str, Any] | None,
    synthesis: Mapping[str, Any],
) -> dict[str, Estimate]:
    """``lut``, ``ff``, ``dsp``, ``bram_18k``."""
    used = synthesis.get("utilisation")
    if used:
        source = str(synthesis.get("source", "open synthesis"))
        return {
            name: Estimate.exact(float(used.get(name, 0)), unit, "synthesised", source)
            for name, unit in UNITS.items()
        }
    cost = (result or {}).get("cost")
    if cost is None and rules.style(network, target, options) == "stream":
        reason = "known once it is compiled: its multipliers are shared as the target allows"
        return {name: unknown(unit, reason) for name, unit in UNITS.items()}
    if cost is None:
        source = "predicted from shapes, bits and sparsity (rules.predict)"
        lut = rules.predict(network)["lut"]
        found = {"lut": Estimate.within(lut, rules.PREDICTED_FACTOR, "LUT", "model", source)}
        for name in ("ff", "bram_18k"):
            found[name] = unknown(UNITS[name], "known once it is compiled")
        found["dsp"] = Estimate.exact(0, "DSP", "model", "constants are multiplied by adders")
        return found
    source = str(cost.get("source", "da4ml's adder graph"))
    factor = FOUR_INPUT_FACTOR if devices.family(target) in FOUR_INPUTS else 1.0
    if result and result.get("style") == "stream":
        factor = 1.0  # its cost model counts LUTs of four inputs
    found = {
        "lut": Estimate.within(cost["lut"] * factor, GRAPH_FACTOR, "LUT", "model", source),
    }
    for name in ("ff", "dsp", "bram_18k"):
        value = float(cost.get(name) or 0)
        found[name] = (
            Estimate.within(value, 1.2, UNITS[name], "model", source)
            if value
            else Estimate.exact(0, UNITS[name], "model", source)
        )
    return found


def speed(
    network: Network,
    target: Target,
    options: Mapping[str, Any],
    result: Mapping[str, Any] | None,
    synthesis: Mapping[str, Any],
) -> dict[str, Estimate]:
    """``latency_cycles``, ``ii``, ``clock``, ``latency`` and ``interval`` (s between results)."""
    clock = _clock(target, options, result, synthesis)
    if result is None:
        reason = "known once it is compiled"
        found = {
            name: unknown("cycles", reason) for name in ("latency_cycles", "ii")
        }  # fmt: skip
        if rules.style(network, target, options) != "stream":
            found["ii"] = Estimate.exact(1, "cycles", "model", "a result each clock cycle")
        return found | {
            "clock": clock, "latency": unknown("s", reason), "interval": unknown("s", reason),
        }  # fmt: skip
    source = "the design itself" if result["style"] != "stream" else "its schedule"
    cycles = result["latency_cycles"]
    found = {
        "latency_cycles": Estimate.exact(cycles, "cycles", "model", source),
        "ii": Estimate.exact(result["ii"], "cycles", "model", source),
        "clock": clock,
    }
    if clock.value is None or clock.low is None or clock.high is None:
        reason = clock.reason or "the clock is not known"
        return found | {"latency": unknown("s", reason), "interval": unknown("s", reason)}
    for name, count in (("latency", max(cycles, 1)), ("interval", result["ii"])):
        found[name] = Estimate(
            count / clock.value, count / clock.high, count / clock.low, "s", clock.method,
            f"{count:g} cycles at the clock: {clock.source}",
        )  # fmt: skip
    return found


def _clock(
    target: Target,
    options: Mapping[str, Any],
    result: Mapping[str, Any] | None,
    synthesis: Mapping[str, Any],
) -> Estimate:
    """The clock the design runs at: routed, else as the adders between its registers allow."""
    reached = synthesis.get("clock_mhz")
    wished = options["clock_mhz"] or target.clock_mhz
    if reached:
        source = str(synthesis.get("source", "place and route"))
        return Estimate.exact(reached * 1e6, "Hz", "synthesised", source)
    levels = (result or {}).get("levels")
    if levels is None or not levels.get("stage"):
        if not wished:
            return unknown("Hz", target.why_unknown("compute", "clock_mhz"))
        return Estimate(
            wished * 1e6, wished * 0.5e6, wished * 1e6, "Hz", "model",
            "the clock wished for; place and route says what is reached",
        )  # fmt: skip
    return timing.clock(target, float(levels["stage"]), wished)
