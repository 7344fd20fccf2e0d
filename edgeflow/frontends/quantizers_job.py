"""How QKeras and HGQ2 round, as the Network's Quantizers; and the same rounding in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeflow.network import Quantizer

Array = np.ndarray[Any, Any]


def from_qkeras(quantizer: Any, values: Array | None = None) -> Quantizer | None:
    """The Quantizer of a QKeras quantiser object that has been called at least once.

    `values` are the weights that it rounded, from which a power-of-two's range needs nothing but
    a binary's scale may be read.
    """
    if quantizer is None:
        return None
    kind = type(quantizer).__name__
    if kind in ("quantized_bits", "quantized_linear", "quantized_hswish"):
        return _bits(quantizer)
    if kind == "quantized_relu":
        signed = quantizer.negative_slope != 0
        return Quantizer(
            "fixed", quantizer.bits, signed, _number(quantizer.integer), rounding="RND_CONV",
            overflow="SAT",
        )  # fmt: skip
    if kind in ("quantized_tanh", "quantized_sigmoid"):
        return Quantizer(
            "fixed", quantizer.bits, kind == "quantized_tanh", 0, bool(quantizer.symmetric),
            "RND_CONV", "SAT",
        )  # fmt: skip
    if kind in ("binary", "stochastic_binary", "bernoulli"):
        zero_one = bool(getattr(quantizer, "use_01", kind == "bernoulli"))
        return Quantizer("binary", 1, not zero_one, scale=_scale(quantizer))
    if kind in ("ternary", "stochastic_ternary"):
        return Quantizer("ternary", 2, True, scale=_scale(quantizer))
    if kind in ("quantized_po2", "quantized_relu_po2"):
        signed = kind == "quantized_po2"
        # integer is the largest exponent: the values are +-2**k, k <= integer
        top = float(quantizer._max_exp)
        if quantizer.max_value:
            top = min(top, float(np.round(np.log2(quantizer.max_value))))
        return Quantizer("po2", quantizer.bits, signed, top)
    del values
    return Quantizer("float", 32)


def _bits(quantizer: Any) -> Quantizer:
    bits, signed = int(quantizer.bits), bool(quantizer.keep_negative)
    integer = _number(quantizer.integer)
    alpha = quantizer.alpha
    if bits == 1 and signed:
        return Quantizer("binary", 1, True, scale=_scale(quantizer))
    if alpha is None or (not isinstance(alpha, str) and np.all(np.asarray(alpha) == 1)):
        narrow = bool(quantizer.symmetric)
        return Quantizer("fixed", bits, signed, integer, narrow, "RND_CONV", "SAT")
    step = 2.0 ** (integer - bits + signed)
    scale = tuple(float(value) * step for value in _scale(quantizer) or (1.0,))
    return Quantizer(
        "affine", bits, signed, narrow=bool(quantizer.symmetric), rounding="RND_CONV",
        overflow="SAT", scale=scale, zero_point=(0,) * len(scale),
        axis=-1 if len(scale) > 1 else None,
    )  # fmt: skip


def _scale(quantizer: Any) -> tuple[float, ...] | None:
    scale = getattr(quantizer, "scale", None)
    if scale is None:
        return None
    return tuple(float(value) for value in np.asarray(scale, np.float32).reshape(-1))


def _number(value: Any) -> float:
    number = float(np.asarray(value))
    return int(number) if number.is_integer() else number


def from_hgq(quantizer: Any, shape: tuple[int, ...]) -> tuple[Quantizer, dict[str, Array]]:
    """The Quantizer of a built HGQ2 quantiser, and its bits by element.

    The arrays ``signed``, ``integer`` and ``fraction`` broadcast to the tensor; `bits` of the
    Quantizer is their mean over `shape` (batch dimension 1), elements of no bits counted.
    """
    inner = quantizer.quantizer
    if not hasattr(inner, "kif"):
        return Quantizer("float", float(np.mean(np.asarray(inner.bits)))), {}
    signed, integer, fraction = (np.asarray(part, np.float32) for part in inner.kif)
    total = np.maximum(signed + integer + fraction, 0)
    mean = float(np.mean(np.broadcast_to(total, shape)))
    one = float(integer.reshape(-1)[0]) if np.all(integer == integer.reshape(-1)[0]) else None
    found = Quantizer(
        "fixed", round(mean, 4), bool(np.any(signed > 0)),
        integer=one if one is not None else round(float(np.mean(integer)), 4),
        narrow=bool(getattr(inner, "symmetric", False)),
        rounding=str(inner.round_mode), overflow=str(inner.overflow_mode),
    )  # fmt: skip
    uniform = all(np.all(part == part.reshape(-1)[0]) for part in (signed, integer, fraction))
    arrays = {} if uniform else {"signed": signed, "integer": integer, "fraction": fraction}
    return found, arrays


def snap(values: Array, quantizer: Quantizer | None) -> Array:
    """Weights that a framework rounded, moved onto the quantiser's exact grid.

    QKeras computes ``x + (rounded - x)``, which in float32 may miss the grid by one part in 2^23.
    """
    if quantizer is None or quantizer.kind != "fixed" or quantizer.integer is None:
        return values
    step = 2.0 ** (quantizer.integer - quantizer.bits + quantizer.signed)
    snapped: Array = np.round(values / step) * step
    return snapped if np.max(np.abs(snapped - values), initial=0) < step / 1024 else values
