"""Fake quantisation: a Keras layer that rounds as a Network's Quantizer says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from edgeflow.network import Quantizer


class Rounding(keras.layers.Layer):  # type: ignore[misc]
    """Rounds its input; while training the gradient passes straight through.

    `by_element` holds ``signed``, ``integer`` and ``fraction`` arrays where bits differ from
    element to element (HGQ2). `threshold` is a ternary's.
    """

    def __init__(
        self,
        quantizer: Quantizer,
        by_element: Mapping[str, Any] | None = None,
        threshold: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.rounding = quantizer
        self.by_element = {key: np.asarray(value) for key, value in (by_element or {}).items()}
        self.threshold = threshold

    def call(self, x: Any, training: bool | None = None) -> Any:
        """The rounded input."""
        rounded = self.rounded(x)
        return x + ops.stop_gradient(rounded - x) if training else rounded

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape stays."""
        return input_shape

    def rounded(self, x: Any) -> Any:
        """The values on the quantiser's grid; formulas in `edgeflow.network.Quantizer`."""
        quantizer = self.rounding
        if quantizer.kind == "fixed":
            return self._fixed(x)
        if quantizer.kind == "affine":
            return self._affine(x)
        scale = _along(quantizer.scale or (1.0,), quantizer.axis, len(x.shape))
        if quantizer.kind == "binary":
            up = x > 0 if quantizer.rounding == "zero_down" else x >= 0
            low = -1.0 if quantizer.signed else 0.0
            return ops.where(up, 1.0, low) * scale
        if quantizer.kind == "ternary":
            limit = 0.5 if self.threshold is None else self.threshold
            return ops.sign(x) * ops.cast(ops.abs(x) >= limit, "float32") * scale
        if quantizer.kind == "po2":
            return self._po2(x)
        return ops.cast(ops.cast(x, "float16"), "float32") if quantizer.bits == 16 else x

    def _fixed(self, x: Any) -> Any:
        quantizer = self.rounding
        signed: Any = float(quantizer.signed)
        integer: Any = float(quantizer.integer or 0)
        fraction: Any = quantizer.bits - integer - signed
        if self.by_element:
            signed, integer = self.by_element["signed"], self.by_element["integer"]
            fraction = self.by_element["fraction"]
        step = np.exp2(-np.asarray(fraction, np.float64)).astype(np.float32)
        top = np.exp2(np.asarray(integer, np.float64)).astype(np.float32) / step
        narrow = quantizer.narrow or (quantizer.overflow or "").endswith("SYM")
        low = -np.asarray(signed, np.float32) * (top - (1.0 if narrow else 0.0))
        q = _round(x * (1 / step), quantizer.rounding)
        if quantizer.overflow == "WRAP":
            low = -np.asarray(signed, np.float32) * top
            # not `mod`: TensorFlow's constant folding breaks sums of constants around it
            span = top - low
            q = q - ops.floor(q * (1 / span) - low / span) * span
        else:
            q = ops.clip(q, low, top - 1)
        result = q * step
        if self.by_element:
            used = np.asarray(signed + integer + fraction > 0)
            result = ops.where(used, result, 0.0)
        return result

    def _affine(self, x: Any) -> Any:
        quantizer = self.rounding
        bits = int(quantizer.bits)
        low = -(2 ** (bits - 1)) + int(quantizer.narrow) if quantizer.signed else 0
        high = 2 ** (bits - 1) - 1 if quantizer.signed else 2**bits - 1 - int(quantizer.narrow)
        scale = _along(quantizer.scale or (1.0,), quantizer.axis, len(x.shape))
        zero = _along(quantizer.zero_point or (0,), quantizer.axis, len(x.shape))
        q = ops.clip(_round(x / scale + zero, quantizer.rounding), float(low), float(high))
        return (q - zero) * scale

    def _po2(self, x: Any) -> Any:
        quantizer = self.rounding
        bits = quantizer.bits - quantizer.signed
        top = float(quantizer.integer or 0)
        # the exponent's own sign bit is there unless every value stays below 1 (QKeras)
        low = -(2.0 ** (bits - 1)) if top > 0 else -(2.0**bits)
        magnitude = ops.maximum(ops.abs(x), 1e-7)
        exponent = ops.clip(ops.round(ops.log(magnitude) / float(np.log(2.0))), low, top)
        exponent = ops.where(ops.abs(x) < 1e-7, low, exponent)
        sign = ops.where(x >= 0, 1.0, -1.0) if quantizer.signed else 1.0
        return sign * ops.power(2.0, exponent)


def _round(x: Any, how: str | None) -> Any:
    if how in ("TRN", "FLOOR"):
        return ops.floor(x)
    if how in ("RND", "S_RND"):  # half up
        return ops.floor(x + 0.5)
    if how == "CEIL":
        return ops.ceil(x)
    if how == "ROUND_TO_ZERO":
        return ops.sign(x) * ops.floor(ops.abs(x))
    if how == "RND_INF":  # half away from zero, as TFLite
        return ops.sign(x) * ops.floor(ops.abs(x) + 0.5)
    return ops.round(x)  # half to even


def _along(values: tuple[Any, ...], axis: int | None, rank: int) -> Any:
    array = np.asarray(values, np.float32)
    if axis is None or array.size == 1:
        return array.reshape(-1)[0] if array.size == 1 else array
    shape = [1] * rank
    shape[axis] = array.size
    return array.reshape(shape)
