"""The job that looks into a design: what its types were given to hold, and what they lost of it.

It runs the plan in numpy (`emulate_job`) beside one whose types lose nothing. So it finds sums that
wrap on real inputs even where the outputs happen to agree, the first layer that computes something
else than the model, which of its types does it, why, and the type that would not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow.backends.fixed_job import Array, Fixed, of_quantizer, spanning
from edgeflow.backends.hls4ml.draw_job import Drawn, draw
from edgeflow.backends.hls4ml.emulate_job import Emulator, Seen
from edgeflow.backends.hls4ml.plan_job import Emitted, Plan
from edgeflow.errors import UnsupportedError
from edgeflow.network import Layer

WORK = 4e9
"""Multiply-accumulates that are spent at most; beyond, fewer inputs are taken."""
HELD = 8e6
"""Values of all layers that are held at a time."""
FINER = 6
"""More bits after the point, where a type is as fine already as it would be by itself."""
NOISE = 1e-9
"""Relative differences below are float64's own."""
WEIGHTS = {
    "weight": ("weight_data", "depthwise_data"),
    "bias": ("bias_data",),
    "scale": ("scale_data",),
}
"""Attributes of an HLS layer that hold weights, by the role of their type."""


def examine(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Examine the design that the compile job makes of the same inputs and parameters.

    ``inputs``: those of the compile job, and ``grid``: the golden folder whose inputs are taken
    (those on the design's own grid). ``params``: those of `draw_job.draw`, and ``exact``: whether
    the emulation is that of the compiler's C++ to the bit. Writes ``outputs.npz``: ``y``, and
    maybe ``logits``, as the design computes them.

    Returns:
        ``inputs`` (how many were taken); ``overflows``: types whose values wrap, with ``layer``,
        ``role``, ``type``, ``low``, ``high``, ``fraction`` of the values, ``text`` and ``remedy``
        (options for the recipe); ``clipped``: types that saturate where the model does not, alike;
        ``divergence``: the first layer that computes something else, alike, with ``difference``
        and ``scale``; None where there is none; ``exact``; ``reason``: why there is nothing of all
        that.
    """
    drawn = draw(inputs, params)
    with np.load(inputs["grid"] / "golden.npz", allow_pickle=False) as golden:
        x = np.asarray(golden["x"], np.float64)
    plan = drawn.plan()
    macs = max(1, sum(layer.macs for layer in drawn.network))
    count = max(1, min(len(x), int(WORK / macs)))
    pair = Pair(drawn, plan, drawn.plan(drawn.unrounded()), drawn.plan(drawn.automatic()))
    sizes = sum(layer.output_size for layer in drawn.network)
    step = max(1, int(HELD / max(1, sizes)))
    try:
        for begin in range(0, count, step):
            pair.run(x[begin : min(begin + step, count)])
            progress(begin, count, "emulate")
    except UnsupportedError as error:
        return {"inputs": 0, "overflows": [], "clipped": [], "divergence": None,
                "exact": False, "reason": error.message}  # fmt: skip
    np.savez(output / "outputs.npz", **pair.outputs())  # type: ignore[arg-type]
    overflows, clipped = pair.beyond()
    return {
        "inputs": count,
        "overflows": overflows,
        "clipped": clipped,
        "divergence": pair.divergence(),
        "exact": bool(params["exact"]),
        "reason": None,
    }


@dataclass
class Pair:
    """A design (``plan``) and its like that loses nothing (``twin``), on the same inputs.

    ``usual`` is the plan whose types nobody chose by hand. ``gaps`` are the largest differences of
    each HLS layer's outputs and their scale; ``true`` the range of the twin's.
    """

    drawn: Drawn
    plan: Plan
    twin: Plan
    usual: Plan
    gaps: dict[str, tuple[float, float]] = field(default_factory=dict)
    true: dict[str, tuple[float, float]] = field(default_factory=dict)
    parts: dict[str, list[Array]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.design = Emulator(self.plan, watch=True)
        self.reference = Emulator(self.twin, true=True)

    def run(self, x: Array) -> None:
        """One more part of the inputs."""
        found, wanted = self.design.run(x), self.reference.run(x)
        for name, values in found.items():
            if name not in wanted:
                continue
            want = wanted[name].reshape(values.shape)
            gap, scale = self.gaps.get(name, (0.0, 0.0))
            low, high = self.true.get(name, (math.inf, -math.inf))
            self.gaps[name] = (
                max(gap, float(np.abs(values - want).max(initial=0))),
                max(scale, float(np.abs(want).max(initial=0))),
            )
            self.true[name] = (
                min(low, float(want.min(initial=math.inf))),
                max(high, float(want.max(initial=-math.inf))),
            )
        for key, layer in self._ends():
            self.parts.setdefault(key, []).append(found[layer].astype(np.float32))
        self.design.forget()
        self.reference.forget()

    def _ends(self) -> Iterator[tuple[str, str]]:
        network, place = self.drawn.network, self.plan.place
        yield "y", place[network.outputs[0]]
        if network.logits and network.logits not in self.plan.hidden:
            yield "logits", place[network.logits]

    def outputs(self) -> dict[str, Array]:
        """What the design computes."""
        return {name: np.concatenate(parts) for name, parts in self.parts.items()}

    def owner(self, item: Emitted) -> Layer | None:
        """The Network layer that an HLS layer belongs to: the one that its options are under."""
        names = [name for name, at in self.plan.place.items() if at == item.name]
        if not names:  # a helper of the layer that its name begins with
            names = [name for name in self.plan.place if item.name.startswith(name)]
        weighted = [name for name in names if self.drawn.network[name].weights]
        found = weighted or names
        return self.drawn.network[found[0]] if found else None

    def beyond(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Types whose values wrap, and types that saturate where the model does not."""
        wrapped, clipped = [], []
        for (name, role), seen in self.design.seen.items():
            item = next(found for found in self.plan.layers if found.name == name)
            kind = item.types[role]
            if not seen.outside or self._asked(item, role) or self._harmless(item, role, seen):
                continue
            if kind.overflow == "AP_WRAP":
                wrapped.append(self.finding(item, role, seen))
            else:
                clipped.append(self.finding(item, role, seen))
        return wrapped, clipped

    def _asked(self, item: Emitted, role: str) -> bool:
        """Whether the model itself rounds, saturates or wraps so: its quantiser gives the type."""
        twin = next((other for other in self.twin.layers if other.name == item.name), None)
        return twin is not None and twin.types.get(role) == item.types[role]

    def _harmless(self, item: Emitted, role: str, seen: Seen) -> bool:
        """Whether only ReLUs read what saturates below: all that is negative becomes 0."""
        kind, network = item.types[role], self.drawn.network
        if role != "result" or kind.overflow == "AP_WRAP" or seen.high >= kind.high + kind.lsb:
            return False
        names = [name for name, at in self.plan.place.items() if at == item.name]
        readers = network.consumers[names[-1]] if names else ()
        return bool(readers) and all(reader.kind == "relu" for reader in readers)

    def _models_own(self, item: Emitted, role: str) -> Fixed | None:
        """The type that the model's own quantiser asks for."""
        if role != "result":
            return None
        found = [
            of_quantizer(self.drawn.network[name].quantizer)
            for name, at in self.plan.place.items()
            if at == item.name
        ]
        return next((kind for kind in reversed(found) if kind is not None), None)

    def finding(self, item: Emitted, role: str, seen: Seen) -> dict[str, Any]:
        """One type that loses something: where, why, and the type that would not."""
        kind, layer = item.types[role], self.owner(item)
        fix = self.remedy(item, role, seen)
        if fix == kind and not seen.outside:  # as fine as types are by themselves: finer
            fix = replace(kind, width=kind.width + FINER)
        name = layer.name if layer else item.name
        if seen.outside:
            verb = "wrap" if kind.overflow == "AP_WRAP" else "are clipped"
            why = (
                f"values from {seen.low:.6g} to {seen.high:.6g} do not fit {text(kind)} "
                f"({kind.low:.6g} … {kind.high:.6g}): {seen.outside} of {seen.count:,} {verb}"
            )
        else:
            why = (
                f"the step of {text(kind)}, {kind.lsb:.3g}, is too coarse: rounding changes values "
                f"by up to {seen.error:.3g}"
            )
        return {
            "layer": name,
            "role": role,
            "type": text(kind),
            "low": seen.low,
            "high": seen.high,
            "fraction": seen.outside / max(1, seen.count),
            "why": f"{ROLES.get(role, role)} of layer '{name}': {why}",
            "fix": text(fix) if fix else None,
            "remedy": f'layers: {{{name}: {{{role}: "{text(fix)}"}}}}' if fix else None,
        }

    def remedy(self, item: Emitted, role: str, seen: Seen) -> Fixed | None:
        """The type that holds what this one was given: the model's own where it rounds there."""
        usual = next((found for found in self.usual.layers if found.name == item.name), None)
        if usual is None or role not in usual.types:
            return None
        best = usual.types[role]
        if role in WEIGHTS:
            return best
        if role == "result" and self._models_own(item, role) is not None:
            return best
        low, high = seen.low, seen.high
        if role == "result" and item.name in self.true:
            low, high = self.true[item.name]
        needed = spanning(min(low, 0.0), max(high, 0.0), best.fraction)
        signed = best.signed or needed.signed
        # A bit more than was seen, but not more than there can be.
        integer = needed.integer + 1 + (signed and not needed.signed)
        if needed.integer <= best.integer and best != item.types[role]:
            integer = min(integer, best.integer)
        return Fixed(integer + best.fraction, integer, signed, best.rounding, best.overflow)

    def divergence(self) -> dict[str, Any] | None:
        """The first layer that computes something else than the model, and the type that does it.

        Where types round at many places (float models), the layer that adds the most.
        """
        exact = not self.usual.inexact or {*self.usual.inexact} <= self._soft()
        worst: tuple[float, Emitted] | None = None
        for item in self.plan.layers:
            relative = self._relative(item.name)
            before = max((self._relative(n) for n in item.attributes["inputs"]), default=0.0)
            if relative <= NOISE or item.attributes["class_name"] == "Softmax":
                continue
            if exact:
                worst = (relative, item)
                break
            if worst is None or relative - before > worst[0]:
                worst = (relative - before, item)
        if worst is None:
            return None
        item = worst[1]
        role, seen = self._culprit(item)
        gap, scale = self.gaps[item.name]
        return {**self.finding(item, role, seen), "difference": gap, "scale": scale}

    def _soft(self) -> set[str]:
        network = self.drawn.network
        return {layer.name for layer in network if layer.kind == "softmax"} | {*network.inputs}

    def _relative(self, name: str) -> float:
        gap, scale = self.gaps.get(name, (0.0, 1.0))
        return gap / scale if scale else gap

    def _culprit(self, item: Emitted) -> tuple[str, Seen]:
        """The type of a layer that loses the most: of weights, of sums, of the result."""
        found: list[tuple[float, str, Seen]] = []
        twin = next(other for other in self.twin.layers if other.name == item.name)
        for role, attributes in WEIGHTS.items():
            for attribute in attributes:
                have, want = item.attributes.get(attribute), twin.attributes.get(attribute)
                if role not in item.types or have is None or want is None:
                    continue
                gap = np.abs(np.asarray(have) - np.asarray(want))
                kind = item.types[role]
                outside = (want >= kind.high + kind.lsb) | (want <= kind.low - kind.lsb)
                seen = Seen(
                    float(np.min(want)), float(np.max(want)), int(outside.sum()), gap.size,
                    float(gap.max(initial=0)),
                )  # fmt: skip
                scale = float(np.abs(want).max(initial=0)) or 1.0
                found.append((float(gap.max(initial=0)) / scale, role, seen))
        for (name, role), seen in self.design.seen.items():
            if name != item.name or self._asked(item, role):
                continue
            scale = max(abs(seen.low), abs(seen.high)) or 1.0
            lost = seen.error / scale
            if seen.outside:
                kind = item.types[role]
                lost += max(seen.high - kind.high, kind.low - seen.low) / scale
            found.append((lost, role, seen))
        _, role, seen = max(found, key=lambda one: one[0], default=(0.0, "result", Seen(0, 0)))
        return role, seen


ROLES = {"accum": "the sum", "result": "the output", "weight": "the weights"}
"""How a person calls what a type is of."""


def text(kind: Fixed) -> str:
    """A type as an option takes it: ``fixed<18,8>``, ``ufixed<6,2,RND_CONV,SAT>``."""
    name = "fixed" if kind.signed else "ufixed"
    modes = ""
    if (kind.rounding, kind.overflow) != ("AP_TRN", "AP_WRAP"):
        modes = "," + ",".join(m.removeprefix("AP_") for m in (kind.rounding, kind.overflow))
    return f"{name}<{kind.width},{kind.integer}{modes}>"
