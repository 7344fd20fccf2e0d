"""Layers that move elements: reshape, pad, crop, resize, slice, concatenate, as Keras does."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from edgeflow.backends.tpu.arithmetic_job import Array, Call, each_axis, window_rank


def reshape(call: Call) -> Array:
    """Reshape or flatten to the shape that the layer says."""
    x = call.x
    return x.reshape(
        (x.shape[0], *(dim if dim is not None else -1 for dim in call.layer.output_shape))
    )


def transpose(call: Call) -> Array:
    """Keras' Permute."""
    # Keras' Permute: `dims` count from 1, the batch stays first.
    return jnp.transpose(call.x, (0, *call.attributes["dims"]))


def _sides(value: Any, rank: int) -> list[tuple[int, int]]:
    """Keras' padding and cropping: n, (n, …) or ((before, after), …); 1-D: (before, after)."""
    if isinstance(value, int):
        return [(value, value)] * rank
    if rank == 1 and all(isinstance(item, int) for item in value):
        return [(value[0], value[-1])]
    return [(v, v) if isinstance(v, int) else (int(v[0]), int(v[1])) for v in value]


def pad(call: Call) -> Array:
    """Pad with a value, or by reflection."""
    x = call.x
    sides = _sides(call.attributes["padding"], window_rank(call.layer))
    if len(sides) == x.ndim - 2:
        sides.append((0, 0))
    mode = str(call.get("mode", "constant"))
    if mode != "constant":
        return jnp.pad(x, [(0, 0), *sides], mode=mode)
    value = call.get("value", 0)
    return jnp.pad(x, [(0, 0), *sides], constant_values=value)


def crop(call: Call) -> Array:
    """Cut elements off each side."""
    x = call.x
    sides = _sides(call.attributes["cropping"], window_rank(call.layer))
    cut = [
        slice(before, size - after)
        for (before, after), size in zip(sides, x.shape[1:], strict=False)
    ]
    return x[(slice(None), *cut)]


def upsample(call: Call) -> Array:
    """Repeat elements, or interpolate between them."""
    x, rank = call.x, window_rank(call.layer)
    size = each_axis(call.get("size", 2), rank)
    if call.get("interpolation", "nearest") == "bilinear":
        return resize_bilinear(call)
    for axis, factor in enumerate(size):
        x = jnp.repeat(x, factor, axis=axis + 1)
    return x


def resize_bilinear(call: Call) -> Array:
    """Resize to the layer's output shape; pixel centres as the attributes say."""
    x = call.x
    height, width = call.layer.output_shape[:2]
    corners = bool(call.get("align_corners", False))
    centres = bool(call.get("half_pixel_centers", not corners))
    rows = _interpolation(x.shape[1], int(height or 1), corners, centres)
    columns = _interpolation(x.shape[2], int(width or 1), corners, centres)
    return jnp.einsum("oh,bhwc,pw->bopc", rows, x, columns, precision="highest")


def _interpolation(size: int, out: int, corners: bool, centres: bool) -> np.ndarray:
    """The matrix (out, size) of linear interpolation along one axis."""
    ratio = (size - 1) / (out - 1) if corners and out > 1 else size / out
    at = np.arange(out) * ratio
    if centres and not corners:
        at = (np.arange(out) + 0.5) * ratio - 0.5
    at = np.clip(at, 0, size - 1)
    low = np.floor(at).astype(int)
    matrix = np.zeros((out, size), np.float32)
    matrix[np.arange(out), low] += 1 - (at - low)
    matrix[np.arange(out), np.minimum(low + 1, size - 1)] += at - low
    return matrix


def slice_(call: Call) -> Array:
    """``begin``, ``end`` (or ``size``) and ``strides``, the batch left out."""
    x, given = call.x, call.attributes
    rank = x.ndim - 1
    begin = given.get("begin", [0] * rank)
    strides = given.get("strides") or [1] * rank
    end = given.get("end")
    if end is None:
        size = given["size"]
        end = [
            None if count in (-1, None) else start + count
            for start, count in zip(begin, size, strict=True)
        ]
    cuts = [slice(b, e, s) for b, e, s in zip(begin, end, strides, strict=True)]
    y = x[(slice(None), *cuts)]
    return y.reshape(
        (x.shape[0], *(dim if dim is not None else -1 for dim in call.layer.output_shape))
    )


def concat(call: Call) -> Array:
    """Join along an axis; a constant is repeated over the batch."""
    axis = int(call.get("axis", -1))
    batch = max(x.shape[0] for x in call.inputs)
    full = [jnp.broadcast_to(x, (batch, *x.shape[1:])) for x in call.inputs]
    return jnp.concatenate(full, axis=axis)
