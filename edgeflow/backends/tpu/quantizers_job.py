"""The Network's quantisers in float32 jax (see `edgeflow.network.Quantizer`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from edgeflow.network import Quantizer

Array = Any
Grid = Mapping[str, Any]

TERNARY_THRESHOLD = 0.33
"""Below it a ternary value is 0, where the layer does not say (QKeras' default)."""


def quantize(x: Array, quantizer: Quantizer | None, grid: Grid | None = None) -> Array:
    """`x` rounded as the quantiser does.

    ``grid`` may hold ``signed``, ``integer`` and ``fraction`` by element (HGQ2), and a ternary's
    ``threshold``.
    """
    if quantizer is None:
        return x
    if quantizer.kind == "float":
        return x if quantizer.bits >= 32 else x.astype(jnp.float16).astype(jnp.float32)
    return _QUANTIZERS[quantizer.kind](x, quantizer, grid or {})


def _round(x: Array, mode: str | None) -> Array:
    """Round to an integer; names as in HLS and HGQ2. Half to even where nothing is said."""
    name = (mode or "RND_CONV").upper().removeprefix("S_")
    if name == "TRN":
        return jnp.floor(x)
    if name == "RND":
        return jnp.floor(x + 0.5)
    return jnp.round(x)


def _fixed(x: Array, quantizer: Quantizer, grid: Grid) -> Array:
    """``integer`` bits before the point and ``fraction`` after it, and a sign where signed."""
    signed = grid.get("signed", np.float32(quantizer.signed))
    integer = grid.get("integer", np.float32(quantizer.integer or 0))
    fraction = grid.get(
        "fraction", np.float32(quantizer.bits - (quantizer.integer or 0) - quantizer.signed)
    )
    step = np.exp2(-fraction).astype(np.float32)
    top = np.exp2(integer + fraction).astype(np.float32)
    low, high = -top * signed, top - 1
    mode = (quantizer.overflow or "SAT").upper()
    q = _round(x / step, quantizer.rounding)
    if mode == "WRAP":
        span = high - low + 1
        q = q - span * jnp.floor((q - low) / span)
    else:
        # A narrow range leaves out its least value: as many levels below 0 as above.
        low = low + (1 if quantizer.narrow or mode == "SAT_SYM" else 0) * (signed > 0)
        q = jnp.clip(q, low, high)
    # Elements of no bits at all are 0.
    return jnp.where(signed + integer + fraction > 0, q * step, 0.0)


def _affine(x: Array, quantizer: Quantizer, grid: Grid) -> Array:  # noqa: ARG001
    scale = _along(quantizer.scale or (1.0,), quantizer.axis, x.ndim)
    zero = _along(quantizer.zero_point or (0,), quantizer.axis, x.ndim)
    if quantizer.signed:
        top = 2.0 ** (quantizer.bits - 1)
        low, high = -top + quantizer.narrow, top - 1
    else:
        low, high = 0.0, 2.0**quantizer.bits - 1
    q = jnp.clip(_round(x / scale, quantizer.rounding) + zero, low, high)
    return (q - zero) * scale


def _binary(x: Array, quantizer: Quantizer, grid: Grid) -> Array:  # noqa: ARG001
    scale = _along(quantizer.scale or (1.0,), quantizer.axis, x.ndim)
    positive = x > 0 if quantizer.rounding == "zero_down" else x >= 0
    return jnp.where(positive, scale, -scale if quantizer.signed else 0 * scale)


def _ternary(x: Array, quantizer: Quantizer, grid: Grid) -> Array:
    scale = _along(quantizer.scale or (1.0,), quantizer.axis, x.ndim)
    threshold = np.float32(grid.get("threshold", TERNARY_THRESHOLD))
    return jnp.where(jnp.abs(x) < threshold, 0.0, jnp.sign(x)) * scale


def _power_of_two(x: Array, quantizer: Quantizer, grid: Grid) -> Array:  # noqa: ARG001
    """±2**k; ``integer`` is the greatest k, the least follows from the bits as in QKeras."""
    bits = quantizer.bits - quantizer.signed
    top = quantizer.integer if quantizer.integer is not None else 2.0 ** (bits - 1) - 1
    least = -(2.0 ** (bits - (1 if top > 0 else 0)))
    exponent = jnp.clip(jnp.round(jnp.log2(jnp.maximum(jnp.abs(x), 1e-30))), least, top)
    sign = jnp.where(x < 0, -1.0, 1.0) if quantizer.signed else 1.0
    return sign * jnp.exp2(exponent)


def _along(values: Sequence[float], axis: int | None, rank: int) -> np.ndarray:
    array = np.asarray(values, np.float32)
    if array.size == 1:
        return array.reshape(())
    shape = [1] * rank
    shape[-1 if axis is None else axis] = -1
    return array.reshape(shape)


_QUANTIZERS: Mapping[str, Callable[[Array, Quantizer, Grid], Array]] = {
    "fixed": _fixed,
    "affine": _affine,
    "binary": _binary,
    "ternary": _ternary,
    "po2": _power_of_two,
}
