"""Element-wise functions: affine maps, leaky ReLUs, signs, and tables of what is not linear."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from da4ml.trace import FixedVariableArray
from da4ml.trace.fixed_variable import FixedVariable

from edgeflow.backends.rtl.affine_job import fit
from edgeflow.backends.rtl.quantize_job import Grid, array_like, choose, grid_of, round_values
from edgeflow.errors import UnsupportedError
from edgeflow.network import Layer

if TYPE_CHECKING:
    from edgeflow.backends.rtl.layers_job import Context

Array = np.ndarray[Any, Any]

TABLE_LIMIT = 14
"""Widest input (bits) of a table."""


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


TABLES: dict[str, Callable[[Array], Array]] = {
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "softplus": lambda x: np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "silu": lambda x: x * _sigmoid(x),
    "exponential": np.exp,
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
}
"""Functions that are looked up, in float."""


def affine_of(layer: Layer, array: Callable[[Layer, str], Array | None]) -> tuple[Array, Array]:
    """A batch norm's, or a scale layer's, factor and offset by channel (float64)."""
    if layer.kind == "scale":
        factor, offset = array(layer, "scale"), array(layer, "offset")
        channels = int(layer.output_shape[-1] or 1)
        ones = np.ones(channels)
        return (
            ones if factor is None else ones * factor.ravel(),
            0 * ones if offset is None else ones * offset.ravel(),
        )
    mean, variance = array(layer, "moving_mean"), array(layer, "moving_variance")
    assert mean is not None
    assert variance is not None
    gamma, beta = array(layer, "gamma"), array(layer, "beta")
    factor = 1 / np.sqrt(variance + float(layer.attributes.get("epsilon", 1e-3)))
    factor = factor if gamma is None else gamma * factor
    offset = -factor * mean if beta is None else beta - factor * mean
    return factor, offset


def affine(
    layer: Layer, x: FixedVariableArray, factor: Array, offset: Array, context: Context
) -> FixedVariableArray:
    """factor * x + offset by channel (the last axis), as short as the reader lets it be."""
    channels = x.shape[-1]
    factor, offset = (np.broadcast_to(a, (channels,)) for a in (factor, offset))
    columns = np.asarray(x._vars).reshape(-1, channels)
    fits = []
    for channel, column in enumerate(columns.T):
        low = min(float(v.low) for v in column)
        high = max(float(v.high) for v in column)
        grid = min(float(v.step) for v in column)
        steps = context.steps(layer, channel)
        fits.append(fit(float(factor[channel]), float(offset[channel]), low, high, grid, steps))
    if not all(found.exact for found in fits):
        context.inexact.append(layer.name)
    made = [
        v * found.factor + found.offset if found.factor else constant(v, found.offset)
        for row in columns
        for v, found in zip(row, fits, strict=True)
    ]
    return array_like(x, made, x.shape)


def constant(v: FixedVariable, value: float) -> FixedVariable:
    """A number, with the settings of another."""
    return FixedVariable.from_const(value, hwconf=v.hwconf)


def leaky(x: FixedVariableArray, slope: float) -> FixedVariableArray:
    """x where it is positive, else slope * x."""
    made = []
    for v in x._vars.ravel():
        made.append(v if v.low >= 0 else v.msb_mux(v * slope, v, zt_sensitive=False))
    return array_like(x, made, x.shape)


def signs(layer: Layer, x: FixedVariableArray) -> FixedVariableArray:
    """A binary quantiser: ±scale, or 0 and scale."""
    quantizer = layer.quantizer
    assert quantizer is not None
    if quantizer.kind != "binary" or len(set(quantizer.scale or (1.0,))) != 1:
        raise UnsupportedError(f"layer '{layer.name}': an output rounded as '{quantizer.kind}'")
    scale = (quantizer.scale or (1.0,))[0]
    low = -scale if quantizer.signed else 0.0
    # A choice between two constants, and not the bit times a number: da4ml would carry that bit's
    # place on into all that follows, to magnitudes that it cannot compute with.
    made = []
    for v in x._vars.ravel():
        if quantizer.rounding == "zero_down":
            made.append(choose((-v).is_negative(), constant(v, scale), constant(v, low)))
        else:
            made.append(choose(v.is_negative(), constant(v, low), constant(v, scale)))
    return array_like(x, made, x.shape)


def table(layer: Layer, x: FixedVariableArray, context: Context) -> FixedVariableArray:
    """A function looked up for every value that an element can have.

    Where the model rounds the result, the table holds the rounded values: as exact as the
    function in float64 is; else its values have ``context.table_bits`` bits after the point.
    """
    function = TABLES[layer.kind]
    grid = grid_of(layer.quantizer, context.by_element(layer), x.ndim)
    if grid is None:
        context.inexact.append(layer.name)
        one = np.array(1)
        grid = Grid(one, 8 * one, context.table_bits * one)
    spread = grid.broadcast(x.shape)
    parts = (spread.signed, spread.integer, spread.fraction)
    made: list[Any] = []
    for v, k, i, f in zip(x._vars.ravel(), *(part.ravel() for part in parts), strict=True):
        count = round(float((v.high - v.low) / v.step)) + 1
        if count > 2**TABLE_LIMIT:
            raise UnsupportedError(
                f"layer '{layer.name}': a table of {count} entries; at most {2**TABLE_LIMIT}",
                remedy="round what enters it to fewer bits (a quantiser before the function)",
            )
        values = float(v.low) + float(v.step) * np.arange(count)
        found = round_values(function(values), int(k), int(i), int(f), grid)
        made.append(
            FixedVariable.from_const(float(found[0]), hwconf=v.hwconf)
            if np.all(found == found[0])
            else v.lookup(found)
        )
    return array_like(x, made, x.shape)
