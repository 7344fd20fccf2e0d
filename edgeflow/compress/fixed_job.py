"""Fixed-point formats: rounding to one, and choosing one from values or a recipe."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgeflow.compress.graph_job import PASSIVE, Array, Graph, quantized
from edgeflow.errors import RecipeError
from edgeflow.network import Layer, Network, Quantizer

WIDEST: Final = 16
"""Bits up to which an input's own grid is looked for: hls4ml's default width."""


def round_to(values: NDArray[Any], bits: int, integer: int, signed: bool = True) -> NDArray[Any]:
    """The values rounded (half to even) and saturated to a fixed-point format.

    The step is 2^-(bits - integer - signed), the range [-2^integer, 2^integer) or [0, 2^integer).
    """
    step = 2.0 ** -(bits - integer - signed)
    high = 2 ** (bits - signed) - 1
    low = -high - 1 if signed else 0
    return np.clip(np.round(np.asarray(values) / step), low, high) * step


def fixed(bits: int, integer: int, *, signed: bool = True) -> Quantizer:
    """The Quantizer of `round_to`."""
    return Quantizer(
        "fixed", bits, signed=signed, integer=integer, rounding="RND_CONV", overflow="SAT"
    )


def integer_bits(values: NDArray[Any], bits: int, *, signed: bool, least: int = -16) -> int:
    """Integer bits (sign not counted) whose fixed-point format rounds the values best.

    Tries the places of the binary point from the one that covers all values downwards: a few large
    values may be clipped where that serves the rest. The measure is the mean squared error.
    ``least`` is the smallest answer.
    """
    array = np.asarray(values, np.float64).ravel()
    largest = float(np.abs(array).max()) if array.size else 0.0
    if largest == 0:
        return max(0, least)
    top = max(math.ceil(math.log2(largest)) + 1, least)
    errors = {
        integer: float(np.mean((round_to(array, bits, integer, signed) - array) ** 2))
        for integer in range(top, max(least, top - 6) - 1, -1)
    }
    return min(errors, key=errors.__getitem__)


def grid(values: NDArray[Any]) -> Quantizer | None:
    """The smallest fixed-point format that holds every value as it is, of at most `WIDEST` bits."""
    array = np.asarray(values, np.float64).ravel()
    signed = bool((array < 0).any())
    for fraction in range(WIDEST + 1):
        scaled = array * 2.0**fraction
        if np.array_equal(scaled, np.round(scaled)):
            highest = max(float(scaled.max(initial=0)) + 1, float(-scaled.min(initial=0)), 1)
            bits = max(math.ceil(math.log2(highest)), 1) + signed
            if bits > WIDEST:
                return None
            return fixed(bits, bits - signed - fraction, signed=signed)
    return None


def sample(x: NDArray[Any], most: int = 512) -> NDArray[Any]:
    """At most `most` samples, spread evenly."""
    return x[:: max(1, len(x) // most)][:most]


def settings_of(name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with those of the layer `name` over them."""
    return {**params, **((params.get("layers") or {}).get(name) or {})}


def choose(
    graph: Graph, traces: Mapping[str, Array], params: Mapping[str, Any], least: int
) -> Graph:
    """Put a Quantizer on every kernel, bias and activation, from the recipe and the values.

    Rules: a relu's output is unsigned, others signed; what only a relu reads is not rounded before
    it; kinds that pass values on keep their input's quantiser; the Network's output stays as
    accumulated. The input is rounded only where ``input_bits`` asks for it. A quantiser that a
    layer has already stays. ``least`` is the
    smallest number of integer bits.
    """
    network = graph.network
    done: dict[str, Layer] = {}
    for layer in network:
        wanted = settings_of(layer.name, params)
        weights = {
            role: weight_quantizer(graph.weights[layer.name][role], role, wanted, least)
            for role in layer.weights
        }
        output = _output(layer, network, done, wanted, traces[layer.name], least)
        done[layer.name] = quantized(layer, weights, output)
    return replace(graph, network=network.with_layers(tuple(done.values())))


def weight_quantizer(array: Array, role: str, wanted: Mapping[str, Any], least: int) -> Quantizer:
    """The format of a kernel or bias."""
    bits = int(wanted.get("weight_bits") or wanted["bits"])
    if role == "bias":
        bits = int(wanted.get("bias_bits") or bits)
    integer = wanted.get("integer") if role == "kernel" else None
    if integer is None:
        integer = integer_bits(array, bits, signed=True, least=least)
    return fixed(bits, _allowed(int(integer), least))


def _allowed(integer: int, least: int) -> int:
    if integer < least:
        raise RecipeError(
            f"expected at least {least} integer bits, found {integer}",
            where="compress",
            remedy="this method knows no fewer: give 0, or choose `method: hgq2`",
        )
    return integer


def _output(
    layer: Layer,
    network: Network,
    done: Mapping[str, Layer],
    wanted: Mapping[str, Any],
    values: Array,
    least: int,
) -> Quantizer | None:
    if layer.quantizer is not None:
        return layer.quantizer
    if layer.kind == "input":
        bits = wanted.get("input_bits")
        signed = bool((values < 0).any())
    elif layer.kind in PASSIVE:
        return done[layer.inputs[0]].quantizer
    elif layer.kind == "concat":
        return _union([done[name].quantizer for name in layer.inputs])
    else:
        bits = wanted.get("activation_bits") or wanted["bits"]
        signed = layer.kind not in ("relu", "sigmoid")
    readers = network.consumers[layer.name]
    only_relu = bool(readers) and all(reader.kind == "relu" for reader in readers)
    if not bits or layer.name in network.outputs or (only_relu and layer.kind != "input"):
        return None
    integer = wanted.get("activation_integer") if layer.kind != "input" else None
    if integer is None:
        integer = integer_bits(values, int(bits), signed=signed, least=least)
    return fixed(int(bits), _allowed(int(integer), least), signed=signed)


def _union(parts: list[Quantizer | None]) -> Quantizer | None:
    """The format that holds all of these."""
    found = [part for part in parts if part is not None]
    if not found or len(found) < len(parts):
        return None
    signed = any(part.signed for part in found)
    integer = max(part.integer or 0 for part in found)
    fraction = max(part.bits - (part.integer or 0) - part.signed for part in found)
    return fixed(int(integer + fraction + signed), int(integer), signed=signed)


def insert_quantizers(graph: Graph, rounding: frozenset[str]) -> Graph:
    """Each rounded output gets a ``quantize`` layer behind it, but for the kinds in `rounding`,
    which round their own, and for those that pass rounded values on."""
    layers: list[Layer] = []
    renamed: dict[str, str] = {}
    for layer in graph.network:
        moved = replace(layer, inputs=tuple(renamed.get(name, name) for name in layer.inputs))
        if moved.quantizer is None or moved.kind in PASSIVE | {"concat"} | rounding:
            layers.append(moved)
            continue
        name = f"{layer.name}_quantize"
        shape = layer.output_shape
        layers.append(replace(moved, quantizer=None))
        layers.append(
            Layer(name, "quantize", (layer.name,), (shape,), shape, quantizer=moved.quantizer)
        )
        renamed[layer.name] = name
    return replace(graph, network=graph.network.with_layers(tuple(layers)))
