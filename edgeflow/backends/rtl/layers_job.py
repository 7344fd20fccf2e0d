"""Each kind of layer on da4ml's symbolic arrays, exactly as the model computes it.

Tensors have the Network's layout (channels last, no batch dimension). Every number carries its
own range and step, so nothing is rounded but where a quantiser of the model does it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from da4ml.trace import FixedVariableArray
from da4ml.trace.fixed_variable import FixedVariable

from edgeflow.backends.rtl import functions_job as functions
from edgeflow.backends.rtl.affine_job import Sign, Steps
from edgeflow.backends.rtl.arithmetic_job import Solver
from edgeflow.backends.rtl.quantize_job import array_like, clamp, grid_of, quantize
from edgeflow.errors import UnsupportedError
from edgeflow.network import Layer

Array = np.ndarray[Any, Any]
Tensor = Any
"""da4ml's FixedVariableArray."""


@dataclass
class Context:
    """What every layer needs: the model's weights (``LAYER/ROLE``), the solver of sums.

    ``inexact`` collects the layers that are computed otherwise than the model does.
    ``table_bits`` is the width of a function's values where the model does not round them.
    ``readers`` are the layers that read a layer's output, by its name: what follows an affine map
    says how exact it must be. ``shorten``: round what the model leaves unrounded and wide.
    """

    weights: Mapping[str, Array]
    solver: Solver = field(default_factory=Solver)
    table_bits: int = 12
    inexact: list[str] = field(default_factory=list)
    readers: Mapping[str, Sequence[Layer]] = field(default_factory=dict)
    shorten: bool = False

    def array(self, layer: Layer, role: str) -> Array | None:
        """Weights of that role; None where the layer has none."""
        found = self.weights.get(f"{layer.name}/{role}")
        return None if found is None else np.asarray(found, np.float64)

    def by_element(self, layer: Layer) -> dict[str, Array]:
        """The bits by element of a layer's output, where they differ."""
        parts = ("signed", "integer", "fraction")
        found = {part: self.weights.get(f"{layer.name}/@{part}") for part in parts}
        return {k: v for k, v in found.items() if v is not None}

    def steps(self, layer: Layer, channel: int) -> Steps | Sign | None:
        """What rounds a layer's output next, in a channel; None where that is not one type."""
        readers = self.readers.get(layer.name, ())
        rounding, floor = layer, -math.inf
        if layer.quantizer is None:
            if len(readers) != 1 or readers[0].kind not in ("relu", "quantize"):
                return None
            rounding = readers[0]
            if rounding.kind == "relu":
                at = rounding.attributes
                if at.get("negative_slope") or at.get("max_value") is not None:
                    return None
                floor = 0.0
        if rounding.quantizer is None or self.by_element(rounding):
            return None
        if rounding.quantizer.kind == "binary" and rounding.kind != "relu":
            return Sign(rounding.quantizer.rounding != "zero_down")
        grid = grid_of(rounding.quantizer)
        if grid is None or grid.offset is not None or "SAT" not in grid.overflow:
            return None
        if grid.rounding not in ("AP_RND_CONV", "AP_RND", "AP_RND_INF", "AP_RND_ZERO"):
            return None
        k, i, f = (
            int(part.ravel()[channel if part.size > 1 else 0])
            for part in (grid.signed, grid.integer, grid.fraction)
        )
        if k + i + f <= 0:
            return None
        step = 2.0**-f
        low = -k * 2.0**i + (step if k and grid.overflow == "AP_SAT_SYM" else 0.0)
        return Steps(max(low, floor), 2.0**i - step, step)


def trace_layer(layer: Layer, inputs: Sequence[Tensor], context: Context) -> Tensor:
    """A layer's output from its inputs, rounded as the layer's quantiser does.

    Element-wise kinds take tensors of any leading shape (a single pixel as well as an image), as
    long as bits do not differ between positions.

    Raises:
        UnsupportedError: a kind or quantiser that `rules` should have refused.
    """
    method = METHODS.get(layer.kind)
    if method is None:
        raise UnsupportedError(f"rtl has no layer of kind '{layer.kind}'")
    return finish(layer, method(layer, inputs, context), context)


def finish(layer: Layer, y: Tensor, context: Context) -> Tensor:
    """A layer's sums rounded as its quantiser does; as they are without one."""
    if layer.quantizer is None or layer.quantizer.kind == "float":
        return y
    if layer.quantizer.kind in ("binary", "ternary"):
        return functions.signs(layer, y)
    grid = grid_of(layer.quantizer, context.by_element(layer), y.ndim)
    if grid is None:
        raise UnsupportedError(f"layer '{layer.name}': no fixed-point type rounds as it does")
    return quantize(y, grid)


def kernel(layer: Layer, window: Tensor, context: Context) -> Tensor:
    """What one output position of a layer is, before its quantiser (`finish`).

    Args:
        layer: dense, conv1d, conv2d, depthwise_conv1d/2d, max or average pool, global or not.
        window: what the window covers, ``(*window, channels)``; for dense ``(in,)``. Elements
            that are constant 0 (padding) cost nothing.
        context: weights and solver.

    Returns:
        The output's channels, ``(out,)``.
    """
    if "pool" in layer.kind:
        return _pooled(layer, window)
    weights = context.array(layer, "kernel")
    assert weights is not None
    bias = context.array(layer, "bias")
    scale = scale_of(layer)
    if scale is not None:  # whole numbers first, then the scale of each channel
        sums = kernel_sums(layer, window, np.rint(weights / scale), None, context)
        return functions.affine(
            layer, sums, np.broadcast_to(scale, sums.shape).ravel(), _or_zero(bias), context
        )
    return kernel_sums(layer, window, weights, bias, context)


def scale_of(layer: Layer) -> Array | None:
    """The scale of each output channel, where a kernel's steps are no powers of two."""
    quantizer = layer.weights["kernel"].quantizer if "kernel" in layer.weights else None
    if quantizer is None or not quantizer.scale or layer.kind.startswith("depthwise"):
        return None
    scale = np.asarray(quantizer.scale, np.float64)
    if np.all(np.frexp(scale)[0] == 0.5) or quantizer.kind not in ("affine", "binary", "ternary"):
        return None
    return scale if scale.size in (1, layer.weights["kernel"].shape[-1]) else None


def _or_zero(bias: Array | None) -> Array:
    return np.zeros(1) if bias is None else bias


def kernel_sums(
    layer: Layer, window: Tensor, weights: Array, bias: Array | None, context: Context
) -> Tensor:
    """The sums of products of one output position, and the bias."""
    made: list[Any] = []
    if layer.kind.startswith("depthwise"):
        channels, multiplier = weights.shape[-2:]
        for channel in range(channels):
            part = window[..., channel].ravel()
            rows = weights[..., channel, :].reshape(-1, multiplier)
            own = None if bias is None else bias.reshape(channels, multiplier)[channel]
            made += list(context.solver.products(part, rows, own)._vars)
        return array_like(window, made, (len(made),))
    groups = int(layer.attributes.get("groups") or 1)
    size, filters = window.shape[-1] // groups, weights.shape[-1] // groups
    for group in range(groups):
        part = window[..., group * size : (group + 1) * size].ravel()
        out = slice(group * filters, (group + 1) * filters)
        rows = weights[..., out].reshape(-1, filters)
        made += list(context.solver.products(part, rows, None if bias is None else bias[out])._vars)
    return array_like(window, made, (len(made),))


def _pooled(layer: Layer, window: Tensor) -> Tensor:
    """Maximum or average of a window's positions, by channel. None marks what is padding."""
    flat = window._vars.reshape(-1, window.shape[-1])
    made = []
    for column in flat.T:
        values = [v for v in column if v is not PADDING]
        if "max" in layer.kind:
            made.append(_tree(values, lambda a, b: a.max_of(b)))
        else:
            made.append(_tree(values, lambda a, b: a + b) * (1.0 / len(values)))
    return array_like(window, made, (len(made),))


def _tree(values: list[Any], join: Callable[[Any, Any], Any]) -> Any:
    """Join pairwise: the least depth."""
    while len(values) > 1:
        pairs = [join(a, b) for a, b in zip(values[::2], values[1::2], strict=False)]
        values = pairs + values[len(values) - len(values) % 2 :]
    return values[0]


PADDING = FixedVariable(0, 0, 1, hwconf=(1, -1, -1))
"""What lies outside a tensor: 0 for a convolution, left out by a pool."""


def windows(layer: Layer, x: Tensor, size: Sequence[int]) -> tuple[tuple[int, ...], list[Tensor]]:
    """What the layer's window covers at each output position: their shape, and ``(*size, C)``s."""
    spatial = len(size)
    strides = each(
        layer.attributes.get("strides") or (1 if "conv" in layer.kind else size), spatial
    )
    dilation = each(layer.attributes.get("dilation_rate") or 1, spatial)
    reach = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    out = [int(dim or 1) for dim in layer.output_shape[:spatial]]
    pads = [
        padding_of(layer, axis, int(x.shape[axis]), reach[axis], strides[axis], out[axis])
        for axis in range(spatial)
    ]
    array = np.full(
        [x.shape[a] + sum(pads[a]) for a in range(spatial)] + [x.shape[-1]], PADDING, dtype=object
    )
    array[tuple(slice(p[0], p[0] + x.shape[a]) for a, p in enumerate(pads))] = x._vars
    found = []
    for position in np.ndindex(*out):
        start = [p * s for p, s in zip(position, strides, strict=True)]
        cut = tuple(slice(b, b + r, d) for b, r, d in zip(start, reach, dilation, strict=True))
        part = array[cut]
        found.append(array_like(x, list(part.ravel()), part.shape))
    return tuple(out), found


def padding_of(
    layer: Layer, axis: int, size: int, reach: int, stride: int, out: int
) -> tuple[int, int]:
    """Zeros before and after an axis (``valid``, ``same``, or given as pairs)."""
    how = layer.attributes.get("padding", "valid")
    if how == "same":
        total = max((out - 1) * stride + reach - size, 0)
        return total // 2, total - total // 2
    if isinstance(how, str):
        return 0, 0
    before, after = how[axis] if isinstance(how[axis], (list, tuple)) else (how[axis], how[axis])
    return int(before), int(after)


def each(value: Any, count: int) -> tuple[int, ...]:
    """One number per axis, from one for all or a list."""
    items = value if isinstance(value, (list, tuple)) else [value] * count
    return tuple(int(item) for item in items)


def _dense(layer: Layer, inputs: Sequence[Tensor], context: Context) -> Tensor:
    x = inputs[0]
    rows = x.reshape((-1, x.shape[-1]))
    made = [kernel(layer, rows[index], context)._vars for index in range(len(rows))]
    return array_like(x, list(np.concatenate(made)), (*x.shape[:-1], len(made[0])))


def _conv(layer: Layer, inputs: Sequence[Tensor], context: Context) -> Tensor:
    size = context.weights[f"{layer.name}/kernel"].shape[:-2]
    shape, parts = windows(layer, inputs[0], size)
    made = [kernel(layer, part, context)._vars for part in parts]
    return array_like(inputs[0], list(np.concatenate(made)), (*shape, len(made[0])))


def _pool(layer: Layer, inputs: Sequence[Tensor], context: Context) -> Tensor:
    x = inputs[0]
    if layer.kind.startswith("global"):
        made = kernel(layer, x, context)
        return made.reshape(tuple(int(dim or 1) for dim in layer.output_shape))
    shape, parts = windows(layer, x, each(layer.attributes["pool_size"], x.ndim - 1))
    pooled = [kernel(layer, part, context)._vars for part in parts]
    return array_like(x, list(np.concatenate(pooled)), (*shape, x.shape[-1]))


def _scaled(layer: Layer, inputs: Sequence[Tensor], context: Context) -> Tensor:
    factor, offset = functions.affine_of(layer, context.array)
    return functions.affine(layer, inputs[0], factor, offset, context)


def _relu(layer: Layer, inputs: Sequence[Tensor], context: Context) -> Tensor:
    """max(x, 0), maybe up to a bound; left to the quantiser where that has the same limits."""
    x = inputs[0]
    bound = layer.attributes.get("max_value")
    grid = grid_of(layer.quantizer, context.by_element(layer), x.ndim)
    if grid is not None and grid.offset is None and "SAT" in grid.overflow:
        top = np.max(2.0**grid.integer)
        if not np.any(grid.signed) and (bound is None or top <= bound):
            return x
    slope = float(layer.attributes.get("negative_slope") or 0.0)
    if slope:
        return functions.leaky(x, slope)
    made = [v.relu() if bound is None else clamp(v, 0.0, float(bound)) for v in x._vars.ravel()]
    return array_like(x, made, x.shape)


def _leaky(layer: Layer, inputs: Sequence[Tensor], context: Context) -> Tensor:
    slope = layer.attributes.get("negative_slope", layer.attributes.get("alpha", 0.3))
    del context
    return functions.leaky(inputs[0], float(slope))


def _same(layer: Layer, inputs: Sequence[Tensor], context: Context) -> Tensor:
    del layer, context
    return inputs[0]


def _softmax(layer: Layer, inputs: Sequence[Tensor], context: Context) -> Tensor:
    """Left to the host: `rules` allows it at the end alone."""
    del layer, context
    return inputs[0]


def _reshape(layer: Layer, inputs: Sequence[Tensor], context: Context) -> Tensor:
    del context
    return inputs[0].reshape(tuple(int(dim or 1) for dim in layer.output_shape))


def _transpose(layer: Layer, inputs: Sequence[Tensor], context: Context) -> Tensor:
    del context
    axes = layer.attributes.get("perm") or [d - 1 for d in layer.attributes["dims"]]
    return inputs[0].transpose(tuple(int(axis) for axis in axes))


def _pad(layer: Layer, inputs: Sequence[Tensor], context: Context) -> Tensor:
    del context
    x = inputs[0]
    pairs = [each(pair, 2) for pair in layer.attributes["padding"]]
    pairs += [(0, 0)] * (x.ndim - len(pairs))
    value = float(layer.attributes.get("value") or layer.attributes.get("constant_value") or 0)
    outside = FixedVariable.from_const(value, hwconf=x.hwconf)
    array = np.full([n + sum(p) for n, p in zip(x.shape, pairs, strict=True)], outside, object)
    array[tuple(slice(p[0], p[0] + n) for n, p in zip(x.shape, pairs, strict=True))] = x._vars
    return array_like(x, list(array.ravel()), array.shape)


def _crop(layer: Layer, inputs: Sequence[Tensor], context: Context) -> Tensor:
    del context
    x = inputs[0]
    pairs = [each(pair, 2) for pair in layer.attributes["cropping"]]
    return x[tuple(slice(a, n - b) for n, (a, b) in zip(x.shape, pairs, strict=False))]


def _upsample(layer: Layer, inputs: Sequence[Tensor], context: Context) -> Tensor:
    del context
    array = inputs[0]._vars
    for axis, count in enumerate(each(layer.attributes["size"], array.ndim - 1)):
        array = np.repeat(array, count, axis=axis)
    return array_like(inputs[0], list(array.ravel()), array.shape)


def _merge(layer: Layer, inputs: Sequence[Tensor], context: Context) -> Tensor:
    """Two or more tensors into one, element by element."""
    del context
    rank = max(x.ndim for x in inputs)
    arrays = [x._vars.reshape((1,) * (rank - x.ndim) + x.shape) for x in inputs]
    arrays = list(np.broadcast_arrays(*arrays))
    join = MERGES[layer.kind]
    made = [_tree(list(values), join) for values in zip(*(a.ravel() for a in arrays), strict=True)]
    if layer.kind == "average":
        made = [v * (1.0 / len(inputs)) for v in made]
    return array_like(inputs[0], made, arrays[0].shape)


def _concat(layer: Layer, inputs: Sequence[Tensor], context: Context) -> Tensor:
    del context
    axis = int(layer.attributes.get("axis", -1))
    rank = inputs[0].ndim
    array = np.concatenate([x._vars for x in inputs], axis=axis - 1 if axis > 0 else axis % rank)
    return array_like(inputs[0], list(array.ravel()), array.shape)


def _constant(layer: Layer, inputs: Sequence[Tensor], context: Context) -> Tensor:
    del inputs
    value = next(
        np.asarray(v) for k, v in context.weights.items() if k.startswith(f"{layer.name}/")
    )
    shape = tuple(int(dim or 1) for dim in layer.output_shape)
    made = np.empty(math.prod(shape), dtype=object)
    made[:] = [
        FixedVariable.from_const(float(v), hwconf=context.solver.hwconf) for v in value.ravel()
    ]
    return FixedVariableArray(made.reshape(shape), hwconf=context.solver.hwconf)


def _table(layer: Layer, inputs: Sequence[Tensor], context: Context) -> Tensor:
    return functions.table(layer, inputs[0], context)


MERGES: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b,
    "average": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "maximum": lambda a, b: a.max_of(b),
    "minimum": lambda a, b: a.min_of(b),
}

METHODS: dict[str, Callable[[Layer, Sequence[Tensor], Context], Tensor]] = {
    "dense": _dense,
    **dict.fromkeys(("conv1d", "conv2d", "depthwise_conv1d", "depthwise_conv2d"), _conv),
    **{
        f"{where}{op}_pool{n}d": _pool
        for where in ("", "global_")
        for op in ("max", "avg")
        for n in (1, 2)
    },
    **dict.fromkeys(("batch_norm", "scale"), _scaled),
    "relu": _relu,
    "leaky_relu": _leaky,
    **dict.fromkeys(functions.TABLES, _table),
    **dict.fromkeys(("identity", "quantize", "dequantize"), _same),
    "softmax": _softmax,
    **dict.fromkeys(("flatten", "reshape"), _reshape),
    "transpose": _transpose,
    "pad": _pad,
    "crop": _crop,
    "upsample": _upsample,
    **dict.fromkeys(MERGES, _merge),
    "concat": _concat,
    "constant": _constant,
}
"""The function of each kind: (layer, inputs, context) -> its output before the quantiser."""
