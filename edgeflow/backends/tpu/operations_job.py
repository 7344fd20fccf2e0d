"""Each kind of layer in jax, by Keras' definitions. Batch first, channels last."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from edgeflow.backends.tpu import shapes_job as shapes
from edgeflow.backends.tpu.activations_job import ACTIVATION_OPERATIONS
from edgeflow.backends.tpu.arithmetic_job import Arithmetic, Call, each_axis, window_rank
from edgeflow.backends.tpu.recurrent_job import gru, lstm, simple_rnn
from edgeflow.network import Layer

Array = Any
Weights = Mapping[str, np.ndarray]
Operation = Callable[[Call], Array]


def _same(size: int, window: int, stride: int) -> tuple[int, int]:
    """TensorFlow's 'same': output ceil(size / stride), the odd element of padding at the end."""
    total = max((-(-size // stride) - 1) * stride + window - size, 0)
    return total // 2, total - total // 2


def padding_of(
    mode: str, sizes: Sequence[int], windows: Sequence[int], strides: Sequence[int]
) -> list[tuple[int, int]]:
    if mode == "same":
        return [_same(*item) for item in zip(sizes, windows, strides, strict=True)]
    if mode == "causal":
        return [(window - 1, 0) for window in windows]
    return [(0, 0)] * len(windows)


def _biased(value: Array, weights: Weights) -> Array:
    return value + weights["bias"] if "bias" in weights else value


# Layers with kernels


def _dense(call: Call) -> Array:
    return _biased(call.number.dot(call.x, call.weights["kernel"]), call.weights)


def _convolve(
    x: Array,
    kernel: np.ndarray,
    number: Arithmetic,
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    groups: int = 1,
    input_dilation: Sequence[int] | None = None,
) -> Array:
    space = "DHW"[-(x.ndim - 2) :]
    names = (f"N{space}C", f"{space}IO", f"N{space}C")
    return lax.conv_general_dilated(
        number.operand(x),
        number.operand(kernel),
        strides,
        padding,
        lhs_dilation=input_dilation,
        rhs_dilation=dilation,
        dimension_numbers=names,
        feature_group_count=groups,
        precision=number.passes,
        preferred_element_type=jnp.float32,
    )


def window(layer: Layer, kernel: np.ndarray) -> tuple[tuple[int, ...], tuple[int, ...], list[int]]:
    """Strides, dilation and the window's size with its holes."""
    rank = kernel.ndim - 2
    strides = each_axis(layer.attributes.get("strides"), rank)
    dilation = each_axis(layer.attributes.get("dilation_rate"), rank)
    sizes = [(k - 1) * d + 1 for k, d in zip(kernel.shape[:rank], dilation, strict=True)]
    return strides, dilation, sizes


def _conv(call: Call) -> Array:
    x, kernel = call.x, call.weights["kernel"]
    strides, dilation, windows = window(call.layer, kernel)
    padding = padding_of(mode(call.layer), x.shape[1:-1], windows, strides)
    groups = x.shape[-1] // kernel.shape[-2]
    return _biased(
        _convolve(x, kernel, call.number, strides, padding, dilation, groups), call.weights
    )


def mode(layer: Layer) -> str:
    return str(layer.attributes.get("padding", "valid")).lower()


def _depthwise(call: Call) -> Array:
    x, kernel = call.x, call.weights["kernel"]
    strides, dilation, windows = window(call.layer, kernel)
    padding = padding_of(mode(call.layer), x.shape[1:-1], windows, strides)
    channels, multiplier = kernel.shape[-2:]
    flat = kernel.reshape((*kernel.shape[:-2], 1, channels * multiplier))
    return _biased(
        _convolve(x, flat, call.number, strides, padding, dilation, channels), call.weights
    )


def transposed(
    layer: Layer, kernel: np.ndarray, sizes: Sequence[int]
) -> tuple[np.ndarray, list[tuple[int, int]], tuple[int, ...], tuple[int, ...]]:
    """A transposed convolution as one over its spread input: kernel, padding, spread, dilation.

    It is the gradient of the convolution that makes the input's size of the output's.
    """
    strides, dilation, windows = window(layer, kernel)
    same = mode(layer) == "same"
    padding = []
    for size, out, reach, stride in zip(
        sizes, layer.output_shape[:-1], windows, strides, strict=True
    ):
        assert out is not None
        spread = (size - 1) * stride + 1
        cut = max(spread - 1 + reach - out, 0) // 2 if same else 0
        before = reach - 1 - cut
        padding.append((before, out - spread + reach - 1 - before))
    turned = np.ascontiguousarray(np.flip(kernel, tuple(range(kernel.ndim - 2))))
    return turned, padding, strides, dilation


def _conv_transpose(call: Call) -> Array:
    x = call.x
    turned, padding, strides, dilation = transposed(
        call.layer, call.weights["kernel"], x.shape[1:-1]
    )
    ones = (1,) * len(strides)
    y = _convolve(x, turned, call.number, ones, padding, dilation, input_dilation=strides)
    return _biased(y, call.weights)


# Normalisation


def _batch_norm(call: Call) -> Array:
    x = call.x
    axis = _one_axis(call.layer, x.ndim)
    epsilon = call.get("epsilon", 1e-3)
    factor = 1 / np.sqrt(call.weights["moving_variance"] + np.float32(epsilon))
    if "gamma" in call.weights:
        factor = factor * call.weights["gamma"]
    offset = call.weights.get("beta", np.float32(0)) - call.weights["moving_mean"] * factor
    shape = [1] * x.ndim
    shape[axis] = -1
    return x * factor.reshape(shape) + offset.reshape(shape)


def _one_axis(layer: Layer, rank: int) -> int:
    axis = layer.attributes.get("axis", -1)
    return int(axis[0] if isinstance(axis, (list, tuple)) else axis) % rank


def _layer_norm(call: Call) -> Array:
    x = call.x
    axes = _axes(call.get("axis", -1), x.ndim)
    shape = [size if index in axes else 1 for index, size in enumerate(x.shape)]
    mean = jnp.mean(x, axes, keepdims=True)
    variance = jnp.mean(jnp.square(x - mean), axes, keepdims=True)
    y = (x - mean) * lax.rsqrt(variance + call.get("epsilon", 1e-3))
    if "gamma" in call.weights:
        y = y * call.weights["gamma"].reshape(shape)
    return y + call.weights["beta"].reshape(shape) if "beta" in call.weights else y


def _axes(axis: Any, rank: int) -> tuple[int, ...]:
    """Axes with the batch counted as 0, as Keras counts."""
    if axis is None:
        return tuple(range(1, rank))
    return tuple(int(a) % rank for a in (axis if isinstance(axis, (list, tuple)) else [axis]))


def _scale(call: Call) -> Array:
    y = call.x
    if "scale" in call.weights:
        y = y * call.weights["scale"]
    offset = call.weights.get("offset", call.weights.get("bias"))
    return y if offset is None else y + offset


# Pools


def _pool(kind: str) -> Operation:
    def pool(call: Call) -> Array:
        x, rank = call.x, window_rank(call.layer)
        size = each_axis(call.get("pool_size", 2), rank)
        strides = each_axis(call.get("strides") or size, rank)
        padding = [(0, 0), *padding_of(mode(call.layer), x.shape[1:-1], size, strides), (0, 0)]
        window, steps = (1, *size, 1), (1, *strides, 1)
        if kind == "max":
            return lax.reduce_window(x, -np.inf, lax.max, window, steps, padding)
        total = lax.reduce_window(x, 0.0, lax.add, window, steps, padding)
        # Keras leaves the padding out of the average: divide by the elements that are there.
        return total / present(x.shape[1:-1], size, strides, padding[1:-1])

    return pool


def present(
    sizes: Sequence[int],
    windows: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
) -> np.ndarray:
    """How many elements of the input each window covers: (1, *output, 1)."""
    counts = np.ones((1, *(1,) * len(sizes), 1), np.float32)
    for axis, (size, window, stride, (before, after)) in enumerate(
        zip(sizes, windows, strides, padding, strict=True)
    ):
        first = np.arange((size + before + after - window) // stride + 1) * stride - before
        covered = np.minimum(first + window, size) - np.maximum(first, 0)
        shape = [1] * counts.ndim
        shape[axis + 1] = -1
        counts = counts * covered.astype(np.float32).reshape(shape)
    return counts


def _global(reduce: Callable[..., Array]) -> Operation:
    def pool(call: Call) -> Array:
        x = call.x
        keep = len(call.layer.output_shape) == x.ndim - 1
        return reduce(x, axis=tuple(range(1, x.ndim - 1)), keepdims=keep)

    return pool


def _reduce(reduce: Callable[..., Array]) -> Operation:
    def apply(call: Call) -> Array:
        x = call.x
        axes = _axes(call.get("axis"), x.ndim)
        keep = bool(call.get("keepdims", len(call.layer.output_shape) == x.ndim - 1))
        return reduce(x, axis=axes, keepdims=keep)

    return apply


# Several inputs


def ranked(inputs: Sequence[Array]) -> list[Array]:
    """Inputs of one rank: a missing dimension comes after the batch, as Keras' merging does."""
    rank = max(x.ndim for x in inputs)
    return [x.reshape((x.shape[0], *(1,) * (rank - x.ndim), *x.shape[1:])) for x in inputs]


def _elementwise(function: Callable[[Array, Array], Array]) -> Operation:
    def apply(call: Call) -> Array:
        first, *others = ranked(call.inputs)
        for other in others:
            first = function(first, other)
        return first

    return apply


def _average(call: Call) -> Array:
    return sum(ranked(call.inputs)[1:], ranked(call.inputs)[0]) / np.float32(len(call.inputs))


def _matmul(call: Call) -> Array:
    a, b = call.inputs
    a = a.swapaxes(-1, -2) if call.get("transpose_a") else a
    b = b.swapaxes(-1, -2) if call.get("transpose_b") else b
    return call.number.matmul(a, b)


def _embedding(call: Call) -> Array:
    table = jnp.asarray(next(iter(call.weights.values())))
    return jnp.take(table, call.x.astype(jnp.int32), axis=0)


def _constant(call: Call) -> Array:
    value = jnp.asarray(next(iter(call.weights.values())))
    return value[None] if value.ndim == len(call.layer.output_shape) else value


def _identity(call: Call) -> Array:
    return call.x  # the layer's quantiser is applied to every layer's output alike


OPERATIONS: Mapping[str, Operation] = {
    **ACTIVATION_OPERATIONS,
    "dense": _dense,
    "conv1d": _conv,
    "conv2d": _conv,
    "depthwise_conv1d": _depthwise,
    "depthwise_conv2d": _depthwise,
    "conv1d_transpose": _conv_transpose,
    "conv2d_transpose": _conv_transpose,
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "max_pool1d": _pool("max"),
    "max_pool2d": _pool("max"),
    "avg_pool1d": _pool("average"),
    "avg_pool2d": _pool("average"),
    "global_avg_pool1d": _global(jnp.mean),
    "global_avg_pool2d": _global(jnp.mean),
    "global_max_pool1d": _global(jnp.max),
    "global_max_pool2d": _global(jnp.max),
    "flatten": shapes.reshape,
    "reshape": shapes.reshape,
    "transpose": shapes.transpose,
    "pad": shapes.pad,
    "crop": shapes.crop,
    "upsample": shapes.upsample,
    "resize_bilinear": shapes.resize_bilinear,
    "slice": shapes.slice_,
    "concat": shapes.concat,
    "add": _elementwise(jnp.add),
    "sub": _elementwise(jnp.subtract),
    "mul": _elementwise(jnp.multiply),
    "div": _elementwise(jnp.divide),
    "maximum": _elementwise(jnp.maximum),
    "minimum": _elementwise(jnp.minimum),
    "average": _average,
    "matmul": _matmul,
    "mean": _reduce(jnp.mean),
    "max": _reduce(jnp.max),
    "sum": _reduce(jnp.sum),
    "lstm": lstm,
    "gru": gru,
    "simple_rnn": simple_rnn,
    "embedding": _embedding,
    "scale": _scale,
    "constant": _constant,
    "quantize": _identity,
    "dequantize": _identity,
    "identity": _identity,
}
"""The function of each kind, from the call of a layer to its output."""

__all__ = ["OPERATIONS", "Arithmetic", "Call", "Operation"]
