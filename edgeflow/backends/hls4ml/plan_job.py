"""The plan of a translation to hls4ml: its layers and their types, and how both are made.

Types follow from the weights' values by interval arithmetic: a sum gets the narrowest type that
holds it exactly, up to `WIDEST` bits; beyond that (float models) a layer's result gets
`Types.bits` bits, its integer part from the values that the model itself computed on the golden
inputs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgeflow.backends.fixed_job import (
    Array,
    Fixed,
    exact,
    fitting,
    of_quantizer,
    of_values,
    parse,
    rounded_to,
)
from edgeflow.network import Layer, Network

WIDEST = 40
"""Widest result (bits) that is kept exact; beyond, it is rounded to `Types.bits`."""
EXACT_WEIGHTS = 20
"""Widest weight type (bits) that is taken to hold the model's own weights exactly."""

PRECISION = ("result", "weight", "bias", "scale", "recurrent_weight", "recurrent_bias", "alpha")
"""Roles that a layer's ``precision`` gives the type of."""

RESERVED = frozenset(
    "alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t "
    "class compl const const_cast constexpr continue decltype default delete do double "
    "dynamic_cast else enum explicit export extern false float for friend goto if inline int long "
    "mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected public "
    "register reinterpret_cast return short signed sizeof static static_assert static_cast struct "
    "switch template this thread_local throw true try typedef typeid typename union unsigned using "
    "virtual void volatile wchar_t while xor xor_eq override final component "  # C++, Intel's
    "input output result weights nnet hls ihc std main linux unix i386 null eof errno stdin stdout "
    "stderr assert signbit isnan isinf stream task tanh exp log sin cos sqrt abs min max floor y0 "
    "y1 yn j0 j1 jn gamma index time clock remove rename read write open close div pow fma "
    "input_t result_t model_default_t bram".split()
)
"""Names that a variable of the C++ cannot have: keywords, macros and functions of the headers,
hls4ml's own names. In lower case: hls4ml tells no case apart."""

NUMBERED = re.compile(r"(layer|config|w|b|s|a|z|t|wr|br|p|io|loop)\d+(_\w*)?", re.IGNORECASE)
"""What hls4ml calls the variables and types of its layers."""

LONGEST = 60
"""Characters of a name; the vendors' tools put their own words behind."""


@dataclass
class Emitted:
    """One HLS layer: hls4ml's attributes, its types by role, the type of its output."""

    attributes: dict[str, Any]
    types: dict[str, Fixed]

    @property
    def name(self) -> str:
        """Its name in the HLS sources."""
        return str(self.attributes["name"])

    @property
    def result(self) -> Fixed:
        """The type of its output."""
        return self.types["result"]


@dataclass
class Plan:
    """The whole translation.

    ``layers`` are in order; ``place`` says, for each Network layer, which HLS layer computes it (a
    folded batch norm's is the convolution before); ``hidden`` are those whose own output is
    nowhere (that convolution's). ``inexact`` names what is rounded more than in the model.
    """

    layers: list[Emitted] = field(default_factory=list)
    place: dict[str, str] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    inexact: list[str] = field(default_factory=list)


@dataclass
class Types:
    """How types are chosen: ``bits`` for what is not exact, ``default`` overrides them all,
    ``layers`` the user's own by Network layer and role, ``ranges`` the model's own values."""

    bits: int
    default: Fixed | None
    layers: Mapping[str, Mapping[str, Any]]
    ranges: Mapping[str, tuple[float, float]]
    table_size: int
    compiler: str = "vitis"
    softmax: str = "stable"
    top: str = ""

    def given(self, layer: str, role: str) -> Fixed | None:
        """The user's type for this role of this layer."""
        own = self.layers.get(layer, {})
        text = own.get(role) or (own.get("precision") if role in PRECISION else None)
        return parse(text) if text else None


def c_name(name: str, taken: set[str]) -> str:
    """A C identifier for a layer: its own name where that is one, and not taken (hls4ml ignores
    case)."""
    base = re.sub(r"[\W_]+", "_", name, flags=re.ASCII).strip("_")[:LONGEST] or "layer"
    if base[0].isdigit() or base.lower() in RESERVED or NUMBERED.fullmatch(base):
        base = f"l_{base}"
    found, count = base, 1
    while found.lower() in taken:
        count += 1
        found = f"{base}_{count}"
    taken.add(found.lower())
    return found


class Drawing:
    """A plan in the making: what every kind of layer needs."""

    def __init__(
        self, network: Network, weights: Mapping[str, Array], x: Array | None, types: Types
    ) -> None:
        self.network = network
        self.weights = weights
        self.x = x
        self.types = types
        self.plan = Plan()
        self.taken = {types.top.lower()}
        self.emitted: dict[str, Emitted] = {}

    def source(self, layer: Layer, index: int = 0) -> Emitted:
        """The HLS layer that makes an input."""
        return self.emitted[self.plan.place[layer.inputs[index]]]

    def array(self, layer: Layer, role: str) -> Array | None:
        """Weights of that role; None where the layer has none."""
        found = self.weights.get(f"{layer.name}/{role}")
        return None if found is None else np.asarray(found, dtype=np.float64)

    def emit(
        self,
        layer: Layer,
        class_name: str,
        types: dict[str, Fixed],
        inputs: list[str] | None = None,
        suffix: str = "",
        last: bool = True,
        called: str | None = None,
        **attributes: Any,
    ) -> Emitted:
        """Add an HLS layer; `last`: its output is the Network layer's own; `called`: its name."""
        name = c_name(called or layer.name + suffix, self.taken)
        if inputs is None:
            inputs = [self.plan.place[source] for source in layer.inputs]
        made = Emitted(
            {
                "name": name,
                "class_name": class_name,
                "inputs": inputs,
                "data_format": "channels_last",
                "trace": True,
                **attributes,
            },
            types,
        )
        self.plan.layers.append(made)
        self.emitted[name] = made
        if last:
            self.plan.place[layer.name] = name
        return made

    def result(self, layer: Layer, full: Fixed | None, whole: Layer | None = None) -> Fixed:
        """The type of a layer's output: the user's, its quantiser's, exact, or profiled.

        ``full`` holds every value the layer can have, exactly; None where none does. ``whole`` is
        the layer folded into this one, whose output it is.
        """
        last = whole or layer
        if given := self.types.given(layer.name, "result"):
            return given
        if quantized := of_quantizer(last.quantizer):
            return quantized
        if full is not None and full.width <= WIDEST:
            return full
        self.plan.inexact.append(last.name)
        if self.types.default:
            return self.types.default
        low, high = self.types.ranges.get(last.name, (-math.inf, math.inf))
        if full is not None:  # it cannot pass its bounds
            low, high = max(low, full.low), min(high, full.high)
        if not math.isfinite(high - low):
            low, high = -128, 128
        return fitting(low, high, self.types.bits)

    def weight_type(self, layer: Layer, role: str, values: Array) -> Fixed:
        """The type of an array of weights."""
        short = {"kernel": "weight", "scale": "weight", "offset": "bias"}.get(role, role)
        if given := self.types.given(layer.name, short):
            return given
        own = of_quantizer(layer.weights[role].quantizer if role in layer.weights else None)
        if own is not None and np.array_equal(rounded_to(values, own), values):
            return own.plain()
        if found := exact(values, EXACT_WEIGHTS):
            return found
        self.plan.inexact.append(f"{layer.name}/{role}")
        return self.types.default or of_values(values, self.types.bits).plain()

    def widened(self, layer: Layer, kind: Fixed, suffix: str = "_wide") -> Emitted:
        """The layer's input in another type."""
        before = self.source(layer)
        if before.result == kind:
            return before
        size = math.prod(int(dim or 1) for dim in layer.input_shapes[0])
        return self.emit(
            layer, "Activation", {"result": kind}, suffix=suffix, last=False,
            activation="linear", n_in=size, trusted=True,
        )  # fmt: skip

    def tables(self, layer: Layer) -> dict[str, Fixed]:
        """The type of a function's table."""
        given = self.types.given(layer.name, "table")
        return {"table": given or Fixed(self.types.bits, 4).rounded()}


def hls_type(kind: Fixed) -> Any:
    """hls4ml's own object for a type."""
    from hls4ml.backends.fpga.fpga_backend import FPGABackend

    return FPGABackend.convert_precision_string(str(kind))
