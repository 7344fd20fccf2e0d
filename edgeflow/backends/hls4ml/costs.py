"""What an FPGA design costs: counts and latency from the Network, the rest from a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from edgeflow.backends.hls4ml import reuse, room, widths
from edgeflow.backends.hls4ml.compilers import COMPILERS, for_device
from edgeflow.errors import InputError
from edgeflow.estimate import energy, hls_fit, hls_latency, hls_logic, hls_resources
from edgeflow.estimate.hls_digits import Digits
from edgeflow.estimate.hls_features import Widths
from edgeflow.estimate.hls_schedule import known
from edgeflow.estimate.quantity import Estimate, unknown
from edgeflow.network import Network
from edgeflow.synthesis import vendor_estimates
from edgeflow.targets import Target

MODELLED = {"vitis": "vitis", "vivado": "vivado", "vivado_accelerator": "vivado"}
"""Compilers whose latency is modelled, by the tool that schedules."""

UNITS = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram_18k": "BRAM_18K", "uram": "URAM"}
SLOWER, FASTER = 2.4, 1.5
"""How far HLS' own estimate of the clock lies below or above the one asked for, nine times in ten
(`conformal.factor` over the owners of published projects; the fastest of them)."""

BINDINGS = ("dsp", "logic")
"""What a design's multiplications may be bound to."""

NEEDS = (
    "needs a synthesis: compile --synthesise with the vendor's tool on PATH, or `edgeflow report "
    "--from-synthesis`"
)


def estimates(
    network: Network,
    target: Target,
    clock_mhz: float | None,
    report: Mapping[str, Any] | None,
    options: Mapping[str, Any],
    digits: Mapping[str, Digits] | None = None,
) -> dict[str, Estimate]:
    """The figures of one design; what a synthesis says wins over what is estimated.

    Latency by `edgeflow.estimate.hls_latency`, resources by `edgeflow.estimate.hls_resources`
    (better with the ``digits`` of the weights, by layer), power by
    `edgeflow.estimate.energy.fpga_power`.
    """
    found = energy.common(network)
    found["model_size"] = Estimate.exact(
        network.totals.weight_bytes, "B", "model", "the weights, which lie in the bitstream"
    )
    found |= _without_report(network, target, clock_mhz, options, digits)
    if report:
        found = vendor_estimates.merge(found, vendor_estimates.estimates(report, clock_mhz))
    return found | energy.fpga_power(target, network, clock_mhz, found, found["latency"])


def _without_report(
    network: Network,
    target: Target,
    clock_mhz: float | None,
    options: Mapping[str, Any],
    digits: Mapping[str, Digits] | None,
) -> dict[str, Estimate]:
    found = {name: unknown(unit, NEEDS) for name, unit in UNITS.items()}
    if options["compiler"] not in MODELLED:
        tool = COMPILERS[options["compiler"]].tool
        reason = f"no model of {tool}'s schedules; {NEEDS}"
        units = {"latency_cycles": "cycles", "ii": "cycles", "latency": "s"}
        return found | {name: unknown(unit, reason) for name, unit in units.items()}
    design = _design(network, target, clock_mhz, options, digits)
    found |= hls_latency.estimate(network, **design)
    if any(strategy not in ("latency", "resource") for strategy in design["strategy"].values()):
        reason = f"no model of the resources of this strategy; {NEEDS}"
        return found | {name: unknown(unit, reason) for name, unit in UNITS.items()}
    figures = hls_resources.estimate(network, widths=_widths(network, target, options), **design)
    if options["compiler"] == "vivado_accelerator":
        cores = {**found, **figures}
        cores = hls_logic.with_wrapper(cores, network, design["io"], clock_mhz)
        found |= {name: cores[name] for name in found}
        figures = {name: cores[name] for name in figures}
    figures |= hls_logic.after_logic(figures, hls_resources.coefficients()["logic"])
    figures["uram"] = Estimate.exact(0, "URAM", "model", "hls4ml binds nothing to UltraRAM")
    if clock_mhz:
        asked = clock_mhz * 1e6
        found["clock"] = Estimate(
            asked, asked / SLOWER, asked * FASTER, "Hz", "model",
            "the clock asked for; the band is that of HLS' own estimates for 38 projects of 10 "
            "owners against what they asked for",
        )  # fmt: skip
    notes = [*_legalised(network, options)]
    if large := room.too_large(network, target, options):
        notes.append(large)
    return {name: _noted(figure, notes) for name, figure in (found | figures).items()}


def _design(
    network: Network,
    target: Target,
    clock_mhz: float | None,
    options: Mapping[str, Any],
    digits: Mapping[str, Digits] | None,
) -> dict[str, Any]:
    """The design as `hls_latency` and `hls_resources` take it."""
    chosen = _choices(network, options)
    return {
        "io": reuse.interface(network, options),
        "strategy": {name: choice.strategy for name, choice in chosen.items()},
        "reuse_factors": {name: choice.reuse_factor for name, choice in chosen.items()},
        "clock_mhz": clock_mhz,
        "architecture": target.architecture,
        "compiler": MODELLED[options["compiler"]],
        "digits": digits,
    }


def _widths(network: Network, target: Target, options: Mapping[str, Any]) -> dict[str, Widths]:
    """Bits by layer; ``multipliers`` (``dsp``, ``logic``) of the target's settings binds them."""
    found = widths.widths(network, options)
    binding = target.settings.get("multipliers", "")
    if not binding:
        return found
    if binding not in BINDINGS:
        raise InputError(
            f"expected multipliers of {' or '.join(BINDINGS)}, found '{binding}'",
            where="--set multipliers",
        )
    return {name: replace(wide, binding=str(binding)) for name, wide in found.items()}


def _choices(network: Network, options: Mapping[str, Any]) -> dict[str, reuse.Choice]:
    """Strategies and reuse factors: the options', where they are ``auto`` a layer's attributes.

    A convolution of a project that exists keeps a factor above its window, which hls4ml builds and
    `reuse` does not choose.
    """
    layers = dict(options["layers"])
    for layer in network:
        own = dict(layers.get(layer.name) or {})
        for key in ("strategy", "reuse_factor"):
            if options[key] == "auto" and not own.get(key) and layer.attributes.get(key):
                own[key] = layer.attributes[key]
        if own:
            layers[layer.name] = own
    found = reuse.choices(network, {**options, "layers": layers})
    for name, choice in found.items():
        if choice.strategy != "resource" or not isinstance(choice.asked, int):
            continue
        if choice.asked in reuse.legal(*reuse.products(network[name])):
            found[name] = replace(choice, reuse_factor=choice.asked)
    return found


def _legalised(network: Network, options: Mapping[str, Any]) -> list[str]:
    """Reuse factors that cannot be built, and what is taken in their place."""
    return [
        f"'{name}': reuse factor {choice.asked} does not divide, {choice.reuse_factor} is taken"
        for name, choice in _choices(network, options).items()
        if isinstance(choice.asked, int) and choice.asked != choice.reuse_factor
    ]


def _noted(figure: Estimate, notes: Sequence[str]) -> Estimate:
    if not notes or figure.value is None:
        return figure
    return replace(figure, source="; ".join((figure.source, *notes)))


def fit(
    network: Network,
    target: Target,
    options: Mapping[str, Any],
    clock_mhz: float | None = None,
    digits: Mapping[str, Digits] | None = None,
) -> hls_fit.Fit:
    """What overflows the target, and the smallest change of reuse factors, or of bits, that fits.

    Args:
        options: the backend's, checked; the compiler may be ``auto``.
        clock_mhz: default: the options', else the target's.
        digits: of the weights' values; with fewer bits they are expected.
    """
    clock = clock_mhz or options["clock_mhz"] or target.clock_mhz
    options = _with_compiler(options, target)
    sizes = {name: target.figure("resources", name) for name in hls_resources.UNITS}
    capacity = {name: float(figure.value) for name, figure in sizes.items() if figure is not None}
    choices = _choices(network, options)

    def figures(changes: Mapping[str, Mapping[str, Any]], known: bool) -> dict[str, Estimate]:
        layers = dict(options["layers"])
        for name, change in changes.items():
            layers[name] = {**(layers.get(name) or {}), **change}
        given = {**options, "layers": layers}
        return _without_report(network, target, clock, given, digits if known else None)

    def shared(factors: Mapping[str, int]) -> dict[str, Estimate]:
        changes = {
            name: {"strategy": "resource", "reuse_factor": factor}
            for name, factor in factors.items()
        }
        return figures(changes, known=True)

    def narrower(bits: int) -> dict[str, Estimate]:
        kind = f"ap_fixed<{bits},{min(bits, 6)}>"
        roles = dict.fromkeys(("precision", "result", "weight"), kind)
        return figures({layer.name: roles for layer in network}, known=False)

    allowed = {name: reuse.factors(network[name]) for name in choices}
    weights = [layer.weight_bits or 0 for layer in network if layer.name in choices]
    widest = int(min(options["bits"], max(weights, default=0)))
    return hls_fit.fit(figures({}, known=True), shared, allowed, capacity, narrower, widest)


def _with_compiler(options: Mapping[str, Any], target: Target) -> Mapping[str, Any]:
    if options["compiler"] != "auto":
        return options
    return {**options, "compiler": for_device(options["part"] or target.chip)}


def by_layer(
    network: Network,
    target: Target,
    options: Mapping[str, Any],
    clock_mhz: float | None = None,
    digits: Mapping[str, Digits] | None = None,
) -> dict[str, dict[str, float]]:
    """Each layer's LUT, FF, DSP, BRAM_18K, latency and interval in cycles; no bands.

    (Reports have no figures by layer to judge them by.) Layers that are wires are left out; empty
    where there is no model of the compiler or of a layer.

    Args:
        clock_mhz: default: the options', else the target's.
    """
    clock = clock_mhz or options["clock_mhz"] or target.clock_mhz
    options = _with_compiler(options, target)
    if options["compiler"] not in MODELLED or not clock or not all(map(known, network)):
        return {}
    design = _design(network, target, clock, options, digits)
    stages = hls_latency.by_layer(network, **design)
    counts = hls_resources.by_layer(
        hls_resources.blocks(network, widths=_widths(network, target, options), **design)
    )
    return {name: {**counts[name], **stages.get(name, {})} for name in counts}
