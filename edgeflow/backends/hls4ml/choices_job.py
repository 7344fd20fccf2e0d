"""The types of a design that are free to choose, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from edgeflow.backends.fixed_job import Array, Fixed, fitting, spanning
from edgeflow.backends.hls4ml.draw_job import Drawn
from edgeflow.backends.hls4ml.examine_job import text
from edgeflow.backends.hls4ml.plan_job import Emitted, Plan, Types
from edgeflow.network import Layer

Key = tuple[str, str]
"""A layer's name and the role of one of its types (``weight``, ``result``)."""

GUARD = 2
"""Bits after the point that a bias has beyond its layer's output."""
ENOUGH = 8
"""An input of so many bits, which hold it exactly, is left as it is."""
MULTIPLIED = frozenset(
    "dense conv1d conv2d depthwise_conv1d depthwise_conv2d batch_norm scale".split()
)
"""Kinds with weights of a type of their own."""
MADE = MULTIPLIED | frozenset(
    """
    avg_pool1d avg_pool2d global_avg_pool1d global_avg_pool2d sigmoid tanh softplus softsign selu
    elu hard_sigmoid hard_tanh leaky_relu prelu
    """.split()
)
"""Kinds whose output has a type of its own."""
KERNELS = ("weight_data", "depthwise_data", "scale_data")


@dataclass(frozen=True)
class Choices:
    """The free types of a model.

    ``ranges``: the values of each HLS layer's output, as the model itself computes them.
    """

    drawn: Drawn
    ranges: Mapping[str, tuple[float, float]]

    @cached_property
    def usual(self) -> Plan:
        """The plan before any choice."""
        return self.drawn.plan()

    @cached_property
    def fine(self) -> Mapping[str, Emitted]:
        """The HLS layers with weights that nothing rounds, by name."""
        return {item.name: item for item in self.drawn.plan(self.drawn.unrounded()).layers}

    @cached_property
    def keys(self) -> list[Key]:
        """What is free: neither the model's own quantisers nor the user give it."""
        inexact = {name.partition("/")[0] for name in self.usual.inexact if "/" in name}
        found: list[Key] = []
        for layer in self.drawn.network:
            own = self.drawn.types.layers.get(layer.name, {})
            if any(own.get(role) for role in ("precision", "result", "weight")):
                continue
            if layer.kind in MULTIPLIED and layer.name in inexact:
                found.append((layer.name, "weight"))
            if self._makes(layer):
                found.append((layer.name, "result"))
        return found

    def _makes(self, layer: Layer) -> bool:
        """Whether the type of the layer's output is free."""
        place, network = self.usual.place, self.drawn.network
        names = [name for name, at in place.items() if at == place[layer.name]]
        if any(network[name].quantizer is not None for name in names):
            return False
        if layer.kind == "input":
            item = next(item for item in self.usual.layers if item.name == place[layer.name])
            readers = network.consumers[layer.name]
            rounded = bool(readers) and all(reader.quantizer for reader in readers)
            return item.result.width > ENOUGH and not rounded
        if layer.kind == "batch_norm" and any(name in self.usual.hidden for name in names):
            return False  # it is folded into the layer before, which has the type
        table = layer.name in network.outputs and layer.kind not in MULTIPLIED
        return layer.kind in MADE and not table

    def kind(self, key: Key, width: int) -> Fixed:
        """The type of so many bits: as fine as the range of its values allows."""
        name, role = key
        place = self.usual.place[name]
        if role == "weight":
            kernel = self._values(place, KERNELS)
            assert kernel is not None
            return fitting(float(kernel.min()), float(kernel.max()), width).plain()
        return fitting(*self.ranges[place], width)

    def _values(self, place: str, names: tuple[str, ...]) -> Array | None:
        attributes = self.fine[place].attributes
        found = next((attributes[n] for n in names if attributes.get(n) is not None), None)
        return None if found is None or not np.any(found) else np.asarray(found, np.float64)

    def options(self, widths: Mapping[Key, int]) -> dict[str, dict[str, str]]:
        """The widths as options by layer; a bias is as fine as its layer's output needs."""
        found: dict[str, dict[str, str]] = {}
        for key, width in widths.items():
            found.setdefault(key[0], {})[key[1]] = text(self.kind(key, width))
        for name, own in found.items():
            if "result" not in own or self.drawn.network[name].kind not in MULTIPLIED:
                continue
            bias = self._values(self.usual.place[name], ("bias_data",))
            if bias is not None:
                fraction = self.kind((name, "result"), widths[name, "result"]).fraction + GUARD
                own["bias"] = text(spanning(float(bias.min()), float(bias.max()), fraction))
        return found

    def types(self, layers: Mapping[str, Mapping[str, Any]]) -> Types:
        """The types with these options; the user's own stay."""
        given = self.drawn.types.layers
        names = [*layers, *(name for name in given if name not in layers)]
        merged = {name: {**layers.get(name, {}), **given.get(name, {})} for name in names}
        return replace(self.drawn.types, layers=merged)

    def plan(self, layers: Mapping[str, Mapping[str, Any]]) -> Plan:
        """The plan with these options."""
        return self.drawn.plan(self.types(layers))

    @cached_property
    def uses(self) -> Mapping[Key, float]:
        """In how many multiplications a bit of each type is."""
        found: dict[Key, float] = dict.fromkeys(self.keys, 0.0)
        network = self.drawn.network
        for layer in network:
            if not layer.macs:
                continue
            found[layer.name, "weight"] = found.get((layer.name, "weight"), 0.0) + layer.macs
            source = network[layer.inputs[0]]
            while (source.name, "result") not in found and source.inputs:
                source = network[source.inputs[0]]
            found[source.name, "result"] = found.get((source.name, "result"), 0.0) + layer.macs
        return found

    def ebops(self, plan: Plan) -> float:
        """Bits of weight x bits of input, summed over the multiplications that are not by 0."""
        by_name = {item.name: item for item in plan.layers}
        total = 0.0
        for layer in self.drawn.network:
            item = by_name[plan.place[layer.name]]
            kernel = next(
                (item.attributes[n] for n in KERNELS[:2] if item.attributes.get(n) is not None),
                None,
            )
            if not layer.macs or kernel is None:
                continue
            source = by_name[item.attributes["inputs"][0]]
            used = np.count_nonzero(kernel) / max(1, np.size(kernel))
            total += layer.macs * used * item.types["weight"].width * source.result.width
        return float(total)

    def rows(self, layers: Mapping[str, Mapping[str, str]], plan: Plan) -> list[dict[str, Any]]:
        """Each chosen type, before and after."""
        old = {item.name: item for item in self.usual.layers}
        new = {item.name: item for item in plan.layers}
        found = []
        for name, own in layers.items():
            at = plan.place[name]
            for role in own:
                given = "scale" if role == "weight" and "scale" in new[at].types else role
                found.append(
                    {
                        "layer": name,
                        "role": role,
                        "before": text(old[at].types[given]),
                        "after": text(new[at].types[given]),
                        "macs": self.drawn.network[name].macs,
                    }
                )
        return found
