"""A Network as one adder graph: symbolic inputs through every layer to the outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from da4ml.trace import FixedVariableArray, comb_trace
from da4ml.trace import fixed_variable as da4ml_variables
from da4ml.types import CombLogic

from edgeflow.backends.fixed_job import Fixed, exact, fitting, mode, parse
from edgeflow.backends.rtl.layers_job import Context, trace_layer
from edgeflow.backends.rtl.quantize_job import Grid, grid_of, quantize
from edgeflow.errors import UnsupportedError
from edgeflow.network import Layer, Network

Array = np.ndarray[Any, Any]
WIDEST = 32
"""Bits of a layer's values: da4ml's interpreter wraps wider ones wrongly (not its hardware)."""
WIDE = 20
"""Bits beyond which values that nothing rounds are shortened, where others get too wide without."""
UNROUNDED = 18
"""Bits that are left of them (those of hls4ml's types for float models), or ``table_bits`` after
the point, where that is more."""


class TooWideError(UnsupportedError):
    """A layer's values take more bits than can be computed with."""


@dataclass
class Traced:
    """The graph and what each layer added to it.

    ``comb`` computes the outputs (C order, channels last; a final softmax left out) from the
    inputs. ``costs``: da4ml's cost by Network layer, in LUTs of six inputs (adder bits).
    ``input_type`` in words, None where the model itself rounds its input; ``input_modes`` are
    ``rounding`` and ``overflow`` of either. ``skipped`` names the softmax that is left to the
    host.
    """

    comb: CombLogic
    input: FixedVariableArray
    output: FixedVariableArray
    costs: dict[str, float] = field(default_factory=dict)
    inexact: list[str] = field(default_factory=list)
    input_type: str | None = None
    input_modes: dict[str, str] = field(default_factory=dict)
    skipped: str | None = None


def trace(
    network: Network,
    context: Context,
    given_input: Fixed | None,
    progress: Callable[[int, int, str], None] = lambda *_: None,
) -> Traced:
    """Trace the whole Network.

    ``given_input``: the type of the input where the model does not round it (`input_type_of`).

    Raises:
        UnsupportedError: a layer that `rules` should have refused.
        TooWideError: values are too wide; ``context.shorten`` may help.
    """
    # da4ml draws the identities of its variables at random; the same ones on every run.
    da4ml_variables.rd.seed(0)
    entry = network[network.inputs[0]]
    grid, rounded_by = entry_grid(network, context)
    kind = None
    if grid is None:
        assert given_input is not None
        kind = given_input
        grid = grid_from_type(kind)
    shape = tuple(int(dim or 1) for dim in entry.output_shape)
    spread = grid.broadcast(shape)
    x = FixedVariableArray.from_kif(
        spread.signed, spread.integer, spread.fraction, hwconf=context.solver.hwconf
    )
    tensors: dict[str, FixedVariableArray] = {}
    host = _host_layers(network)
    for index, layer in enumerate(network):
        progress(index, len(network.layers), f"adder graph: {layer.name}")
        if layer.kind == "input":
            tensors[layer.name] = x
        elif layer.name in host:
            tensors[layer.name] = tensors[layer.inputs[0]]
        elif layer.name in rounded_by:
            tensors[layer.name] = x
        else:
            tensors[layer.name] = trace_layer(
                layer, [tensors[name] for name in layer.inputs], context
            )
            tensors[layer.name] = _bounded(layer, tensors[layer.name], context)
    output = tensors[network.outputs[0]]
    comb = comb_trace(x, output, keep_dead_inputs=True)
    return Traced(
        comb, x, output, _costs(network, tensors), list(dict.fromkeys(context.inexact)),
        None if kind is None else type_text(kind),
        {"rounding": spread.rounding, "overflow": spread.overflow},
        next((name for name in host if network[name].kind == "softmax"), None),
    )  # fmt: skip


def _bounded(layer: Layer, values: FixedVariableArray, context: Context) -> FixedVariableArray:
    """A layer's values, not too wide: shortened where the context says so and no quantiser does.

    Raises:
        TooWideError: they are wider than `WIDEST`.
    """
    sign, integer, fraction = (np.asarray(part, np.int64) for part in values.kif)
    widest = int((sign + integer + fraction).max(initial=0))
    rounded = layer.quantizer or any(r.quantizer for r in context.readers.get(layer.name, ()))
    if context.shorten and widest > WIDE and not rounded:
        kept = np.maximum(UNROUNDED - sign - integer, context.table_bits)
        if np.any(kept < fraction):
            context.inexact.append(layer.name)
            # One more bit before the point: what is rounded up needs no saturation.
            grid = Grid(sign, integer + 1, np.minimum(kept, fraction), "AP_RND", "AP_SAT")
            return quantize(values, grid)
    if widest > WIDEST:
        raise TooWideError(
            f"layer '{layer.name}': its values take {widest} bits, expected at most {WIDEST}",
            remedy="retrain with compress: {method: qkeras} or {method: hgq2}, which round what "
            "comes out of each layer",
        )
    return values


def _host_layers(network: Network) -> list[str]:
    """The final softmax, and what only passes its values on."""
    found, name = [], network.outputs[0]
    while network.logits is not None and name != network.logits:
        found.append(name)
        name = network[name].inputs[0]
    return found


def entry_grid(network: Network, context: Context) -> tuple[Grid | None, set[str]]:
    """The types of the input where the model itself rounds it, and the layers that do so.

    The input layer's own quantiser, or the one of the quantize layers (or ReLUs that saturate at
    0, as their quantisers do) that alone read it.
    """
    entry = network[network.inputs[0]]
    rank = len(entry.output_shape)
    own = grid_of(entry.quantizer, context.by_element(entry), rank)
    if own is not None:
        return own, set()
    readers = network.consumers[entry.name]
    same = len({reader.quantizer for reader in readers}) == 1
    if same and all(_only_rounds(reader) for reader in readers):
        first: Layer = readers[0]
        found = grid_of(first.quantizer, context.by_element(first), rank)
        if found is not None and (len(readers) == 1 or not context.by_element(first)):
            return found, {reader.name for reader in readers}
    return None, set()


def _only_rounds(layer: Layer) -> bool:
    """Whether a layer does no more than its quantiser does."""
    quantizer = layer.quantizer
    if layer.kind == "quantize" or quantizer is None:
        return layer.kind == "quantize"
    bounded = layer.attributes.get("max_value") is not None
    sloped = bool(layer.attributes.get("negative_slope"))
    saturates = not quantizer.signed and "SAT" in mode(quantizer.overflow, "AP_SAT")
    return layer.kind == "relu" and saturates and not bounded and not sloped


def grid_from_type(kind: Fixed) -> Grid:
    """A type of one width for every element."""
    return Grid(
        np.array(int(kind.signed)),
        np.array(kind.integer - int(kind.signed)),
        np.array(kind.fraction),
        kind.rounding,
        kind.overflow,
    )


def type_text(kind: Fixed) -> str:
    """As `edgeflow.backends.fixed_job.parse` reads it: rounds to nearest even and saturates."""
    return f"{'' if kind.signed else 'u'}fixed<{kind.width},{kind.integer},RND_CONV,SAT>"


def input_type_of(given: str | None, bits: int | None, x: Array | None, widest: int = 12) -> Fixed:
    """The type of an input that the model does not round.

    The user's type; else `bits` bits over the range of the golden inputs; else, if these are
    exact in at most `widest` bits, that; else `widest` bits over their range.
    """
    if given:
        return parse(given).rounded()
    if x is None or not x.size:
        return Fixed(bits or widest, 4).rounded()
    if bits is None:
        found = exact(x, widest)
        if found is not None:
            return found.rounded()
    return fitting(float(x.min()), float(x.max()), bits or widest).rounded()


def _costs(network: Network, tensors: Mapping[str, FixedVariableArray]) -> dict[str, float]:
    """da4ml's cost of the operations that each layer added, counted once."""
    seen: set[Any] = set()
    found: dict[str, float] = {}
    for layer in network:
        total = 0.0
        stack = list(tensors[layer.name]._vars.ravel())
        while stack:
            variable = stack.pop()
            if variable.id in seen:
                continue
            seen.add(variable.id)
            if layer.kind != "input":
                total += float(variable.cost)
            stack.extend(variable._from)
        found[layer.name] = total
    return found
