"""Whether a design fits its device, by the estimates: how much over it is, and what would fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from edgeflow import targets
from edgeflow.backends.base import Problem
from edgeflow.backends.hls4ml import reuse, rules
from edgeflow.errors import TargetError
from edgeflow.estimate import hls_fit
from edgeflow.estimate.quantity import Estimate
from edgeflow.network import Network
from edgeflow.targets import Target

COUNTED: Final = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram_18k": "BRAM_18K"}
"""Resources that are estimated, and what their counts are called."""

LOGIC: Final = 4.0
"""Times that HLS' count of LUTs may be above what logic synthesis leaves: an assumption. A design
is refused only where even so the estimate's lower end does not fit."""

STEPS: Final = 60
"""Reuse factors that are tried at most."""

Figures = Mapping[str, Estimate]
Estimating = Callable[[Target, Mapping[str, Any]], Figures]
"""Target and options to estimates."""


@dataclass(frozen=True)
class Verdict:
    """A design that does not fit: ``over`` in words; ``certain``: outside the band; ``advise``
    looks for what would fit, which may take a second."""

    over: str
    certain: bool
    advise: Callable[[], str]

    def problem(self) -> Problem:
        """As a refusal."""
        return Problem(None, f"it cannot fit: {self.over}", self.advise())

    def warning(self) -> str:
        """As something that may be."""
        return (
            f"it may not fit: {self.over}; an estimate, which a synthesis decides: {self.advise()}"
        )


def capacity(target: Target) -> dict[str, float]:
    """What the device has, of what is estimated."""
    figures = {name: target.figure("resources", name) for name in COUNTED}
    return {name: float(figure.value) for name, figure in figures.items() if figure is not None}


def verdict(
    network: Network,
    target: Target,
    options: Mapping[str, Any],
    estimating: Estimating,
    figures: Figures | None = None,
) -> Verdict | None:
    """How much the design is over; None where the estimate fits, or there is none.

    Args:
        network: the model.
        target: its capacity counts.
        options: of the backend, the compiler chosen.
        estimating: estimates of other options and targets.
        figures: the design's own, where they are known better.
    """
    figures = figures or estimating(target, options)
    room = capacity(target)
    over = hls_fit.overflow(figures, room)
    if not over:
        return None
    words = ", ".join(_words(name, figures[name], room[name]) for name in over)
    least = figures["lut"].low
    certain = "lut" in over and least is not None and least > LOGIC * room["lut"]
    advise = partial(_advice, network, target, options, estimating, figures, room)
    return Verdict(words, certain, advise)


def _words(name: str, figure: Estimate, room: float) -> str:
    assert figure.value is not None
    text = f"about {figure.value:,.0f} {COUNTED[name]}"
    if figure.low is not None and figure.high is not None:
        text += f" ({figure.low:,.0f} to {figure.high:,.0f})"
    times = figure.value / max(room, 1.0)
    return f"{text} of {room:,.0f}, {times:.3g} times what there is"


def _advice(
    network: Network,
    target: Target,
    options: Mapping[str, Any],
    estimating: Estimating,
    figures: Figures,
    room: Mapping[str, float],
) -> str:
    found = []
    factor = smallest_reuse(network, target, options, estimating, figures, room)
    if factor is not None:
        made = estimating(target, shared(options, factor))
        counts = ", ".join(
            f"{made[name].value:,.0f} {unit}"
            for name, unit in COUNTED.items()
            if name in made and made[name].value is not None
        )
        found.append(f"strategy: resource, reuse_factor: {factor} would fit (about {counts})")
    if not options["part"]:
        larger = _larger(target, options, estimating)
        found += [f"{larger} holds it as it is"] if larger else []
    found.append("fewer bits (compress) and a smaller model help")
    return "; ".join(found)


def shared(options: Mapping[str, Any], factor: int) -> dict[str, Any]:
    """The options with every layer's multipliers shared, as far as its size allows."""
    layers = {
        name: {key: own[key] for key in own if key not in ("strategy", "reuse_factor")}
        for name, own in options["layers"].items()
    }
    return {**options, "strategy": "resource", "reuse_factor": factor, "layers": layers}


def smallest_reuse(
    network: Network,
    target: Target,
    options: Mapping[str, Any],
    estimating: Estimating,
    figures: Figures,
    room: Mapping[str, float],
) -> int | None:
    """The smallest reuse factor of all layers with which the estimate fits; None without one."""
    legal = {
        factor
        for layer in network
        if layer.kind in reuse.ARRAYS and "kernel" in layer.weights
        for factor in reuse.factors(layer)
        if factor > 1
    }
    steps = [f for f in sorted(legal) if not rules.problems(network, shared(options, f))]
    steps = steps[:: max(1, len(steps) // STEPS)]
    if not steps:
        return None

    def tried(factors: Mapping[str, int]) -> Figures:
        return estimating(target, shared(options, factors["all"]))

    found = hls_fit.fit(figures, tried, {"all": steps}, room).reuse_factors
    return found["all"] if found else None


def _larger(target: Target, options: Mapping[str, Any], estimating: Estimating) -> str | None:
    """The smallest target of the same backend that holds the design as it is."""
    try:
        known = targets.load_all().values()
    except TargetError:  # a broken file of the user's own says so elsewhere
        return None
    others = [
        (room["lut"], other.name, other)
        for other in known
        if other.backends[:1] == target.backends[:1] and "lut" in (room := capacity(other))
    ]
    for _, name, other in sorted(others, key=lambda item: item[:2]):
        figures = estimating(other, options)
        known_all = all(figures[key].value is not None for key in ("lut", "dsp"))
        if known_all and not hls_fit.overflow(figures, capacity(other)):
            return name
    return None
