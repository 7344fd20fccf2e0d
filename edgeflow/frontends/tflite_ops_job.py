"""TFLite operators, one function each, as layers of the Network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgeflow.frontends.tflite_file_job import Array
from edgeflow.frontends.tflite_graph_job import Op, Step, opaque
from edgeflow.frontends.tflite_windows_job import WINDOWED
from edgeflow.network import Quantizer


def _fully_connected(op: Op) -> None:
    kernel = op.constant(1)
    if kernel is None:
        return opaque(op)
    layer = op.source()
    dims = op.in_shape()
    if len(dims) > 2 and not op.option("keepNumDims", False):
        flat = int(np.prod(dims[1:]))
        if flat != kernel.shape[1]:
            return opaque(op)
        layer = op.t.draft.add("flatten", f"{op.name}_flatten", [layer], (flat,))
    weights, rounding = op.weights(kernel.T)
    op.add("dense", [layer], {"units": int(kernel.shape[0])}, weights, rounding)
    return None


def _reshape(op: Op) -> None:
    if len(op.shape) == 1 and len(op.in_shape()) > 2:
        op.add("flatten", [op.source()])
    else:
        op.add("reshape", [op.source()], {"target_shape": list(op.shape)})


def _softmax(op: Op) -> None:
    if abs(float(op.option("beta", 1.0)) - 1) > 1e-6:
        return opaque(op)
    op.add("softmax", [op.source()])
    return None


def _binary(kind: str) -> Step:
    def step(op: Op) -> None:
        for which in (0, 1):
            value = op.constant(which)
            if value is not None and _scaled(op, kind, which, value):
                return
        op.add(kind, [op.source(0), op.source(1)])

    return step


def _scaled(op: Op, kind: str, which: int, value: Array) -> bool:
    """A constant that is a number or a vector over channels becomes a scale layer."""
    channels = op.shape[-1] if op.shape else 1
    vector = np.asarray(value, np.float64).reshape(-1)
    flat = value.ndim == 0 or all(dim == 1 for dim in value.shape[:-1])
    if not flat or vector.size not in (1, channels) or (kind == "div" and which == 0):
        return False
    if op.in_shape(1 - which)[1:] != op.shape or kind not in ("add", "sub", "mul", "div"):
        return False
    vector = np.broadcast_to(vector, (channels,))
    weights = {
        "add": {"offset": vector},
        "sub": {"scale": -np.ones(channels), "offset": vector}
        if which == 0
        else {"offset": -vector},
        "mul": {"scale": vector},
        "div": {"scale": 1 / vector},
    }[kind]
    op.add("scale", [op.source(1 - which)], weights=weights)
    return True


def _concat(op: Op) -> None:
    rank = len(op.shape) + 1
    axis = int(op.option("axis"))
    op.add(
        "concat", [op.t.layer(i) for i in op.inputs], {"axis": axis - rank if axis >= 0 else axis}
    )


def _reduce(kind: str) -> Step:
    def step(op: Op) -> None:
        axes = op.raw(1)
        rank = len(op.in_shape())
        if axes is None or any(axis % rank == 0 for axis in axes):
            return opaque(op)
        keep = bool(op.option("keepDims", False))
        chosen = sorted(axis % rank for axis in axes)
        if kind in ("mean", "max") and rank in (3, 4) and chosen == list(range(1, rank - 1)):
            name = f"global_{'avg' if kind == 'mean' else 'max'}_pool{rank - 2}d"
            op.add(name, [op.source()], {"keepdims": keep})
        else:
            op.add(kind, [op.source()], {"axis": [a - rank for a in chosen], "keepdims": keep})
        return None

    return step


def _pad(op: Op) -> None:
    flat = op.raw(1)
    if flat is None or flat[0] or flat[1]:
        return opaque(op)
    pairs = [list(pair) for pair in np.reshape(flat, (-1, 2)).tolist()]
    settings: dict[str, Any] = {"padding": pairs[1:]}
    value = op.constant(2)
    if value is not None and float(value.reshape(-1)[0]):
        settings["value"] = float(value.reshape(-1)[0])
    op.add("pad", [op.source()], settings)
    return None


def _resize(op: Op) -> None:
    before, after = op.in_shape()[1:3], op.shape[:2]
    corners = bool(op.option("alignCorners", False))
    centres = bool(op.option("halfPixelCenters", False))
    if op.kind == "RESIZE_BILINEAR":
        op.add(
            "resize_bilinear", [op.source()],
            {"size": list(after), "align_corners": corners, "half_pixel_centers": centres},
        )  # fmt: skip
    elif not corners and all(a % b == 0 for a, b in zip(after, before, strict=True)):
        size = [a // b for a, b in zip(after, before, strict=True)]
        op.add("upsample", [op.source()], {"size": size, "interpolation": "nearest"})
    else:
        opaque(op)


def _unary(kind: str, **settings: Any) -> Step:
    return lambda op: op.add(kind, [op.source()], settings)


def _leaky(op: Op) -> None:
    op.add("leaky_relu", [op.source()], {"negative_slope": float(op.option("alpha", 0.2))})


def _prelu(op: Op) -> None:
    alpha = op.constant(1)
    if alpha is None:
        return opaque(op)
    op.add("prelu", [op.source()], None, {"alpha": alpha})
    return None


def _transpose(op: Op) -> None:
    perm = op.raw(1)
    if perm is None or perm[0] != 0:
        return opaque(op)
    op.add("transpose", [op.source()], {"dims": perm[1:]})
    return None


def _strided_slice(op: Op) -> None:
    begin, end, strides = op.raw(1), op.raw(2), op.raw(3)
    if begin is None or end is None or strides is None or any(s < 0 for s in strides):
        return opaque(op)
    dims = op.in_shape()
    names = ("beginMask", "endMask", "ellipsisMask", "newAxisMask", "shrinkAxisMask")
    masks = {name: int(op.option(name, 0)) for name in names}
    if masks["ellipsisMask"] or masks["newAxisMask"] or masks["shrinkAxisMask"] & 1:
        return opaque(op)
    first, last = [], []
    for axis, dim in enumerate(dims):
        start = 0 if axis >= len(begin) or masks["beginMask"] >> axis & 1 else begin[axis]
        stop = dim if axis >= len(end) or masks["endMask"] >> axis & 1 else end[axis]
        if masks["shrinkAxisMask"] >> axis & 1:
            stop = start + 1 if start != -1 else dim
        low, high, _ = slice(start, stop).indices(dim)
        first.append(low)
        last.append(high)
    steps = [*strides, *[1] * (len(dims) - len(strides))]
    if first[0] or last[0] != dims[0]:
        return opaque(op)
    op.add("slice", [op.source()], {"begin": first[1:], "end": last[1:], "strides": steps[1:]})
    return None


def _slice(op: Op) -> None:
    begin, size = op.raw(1), op.raw(2)
    dims = op.in_shape()
    if begin is None or size is None or begin[0] or size[0] not in (-1, dims[0]):
        return opaque(op)
    end = [d if s == -1 else b + s for b, s, d in zip(begin, size, dims, strict=True)]
    op.add(
        "slice",
        [op.source()],
        {"begin": begin[1:], "end": end[1:], "strides": [1] * (len(dims) - 1)},
    )
    return None


def _split(op: Op) -> None:
    axis = op.raw(0)
    dims = op.in_shape(1)
    if axis is None or axis[0] % len(dims) == 0:
        return opaque(op)
    at = axis[0] % len(dims)
    start = 0
    for tensor in (int(i) for i in op.operator.outputs):
        shape = op.p.shape(tensor)
        begin, end = [0] * len(dims), list(dims)
        begin[at], end[at] = start, start + shape[at]
        start += shape[at]
        name = op.t.draft.add(
            "slice", op.p.name(tensor), [op.source(1)], shape[1:],
            {"begin": begin[1:], "end": end[1:], "strides": [1] * (len(dims) - 1)},
            quantizer=op.p.quantizer(tensor),
        )  # fmt: skip
        op.t.bind(tensor, name)
    return None


def _quantize(op: Op) -> None:
    op.add("quantize", [op.source()])


def _dequantize(op: Op) -> None:
    op.add("dequantize", [op.source()])


def _matmul(op: Op) -> None:
    kernel = op.constant(1)
    flip = bool(op.option("adjY", False))
    if kernel is not None and kernel.ndim == 2 and not op.option("adjX", False):
        array = kernel.T if flip else kernel
        rounding = {"kernel": op.p.quantizer(op.stored(1))}
        op.add("dense", [op.source()], {"units": int(array.shape[1])}, {"kernel": array}, rounding)
        return
    settings = {"transpose_a": bool(op.option("adjX", False)), "transpose_b": flip}
    op.add("matmul", [op.source(0), op.source(1)], settings)


def _lstm(op: Op) -> None:
    """Keras' LSTM after conversion; gates in the order input, forget, cell, output in both."""
    others = (*range(9, 12), 16, 17, *range(20, 24))  # peephole, projection, layer norm
    extra = [i for i in others if i < len(op.inputs) and op.inputs[i] >= 0]
    kernels = [op.constant(i) for i in range(1, 9)]
    clip = float(op.option("cellClip", 0) or 0)  # 10 by default: a cell state rarely gets there
    activation = int(op.option("fusedActivationFunction", 0) or 0)
    odd = op.option("timeMajor", False) or 0 < clip < 10 or activation != 4
    if extra or odd or any(kernel is None for kernel in kernels):
        return opaque(op)
    found = [np.asarray(k) for k in kernels]
    biases = [op.constant(i) for i in range(12, 16)]
    weights: dict[str, Any] = {
        "kernel": np.concatenate(found[:4], 0).T, "recurrent_kernel": np.concatenate(found[4:], 0).T
    }  # fmt: skip
    if all(b is not None for b in biases):
        weights["bias"] = np.concatenate([np.asarray(b) for b in biases])
    per_gate = [op.p.quantizer(op.stored(i)) for i in range(1, 9)]
    rounding = {"kernel": _joined(per_gate[:4]), "recurrent_kernel": _joined(per_gate[4:])}
    settings = {
        "units": int(found[0].shape[0]), "return_sequences": True, "go_backwards": False,
        "activation": "tanh", "recurrent_activation": "sigmoid",
    }  # fmt: skip
    op.add("lstm", [op.source()], settings, weights, rounding, inner=True)
    return None


def _joined(parts: Sequence[Quantizer | None]) -> Quantizer | None:
    """The gates' quantisers in one: the bits of all, the scales gate by gate."""
    first = parts[0]
    if first is None or any(part is None for part in parts):
        return None
    scales = tuple(s for part in parts if part for s in part.scale or ())
    zeros = tuple(z for part in parts if part for z in part.zero_point or ())
    return Quantizer(
        "affine", first.bits, first.signed, rounding=first.rounding, overflow="SAT", scale=scales,
        zero_point=zeros, axis=-1,
    )  # fmt: skip


OPERATORS: dict[str, Step] = {
    **WINDOWED,
    "FULLY_CONNECTED": _fully_connected,
    "RESHAPE": _reshape,
    "SQUEEZE": _reshape,
    "EXPAND_DIMS": _reshape,
    "SOFTMAX": _softmax,
    "LOG_SOFTMAX": _unary("log_softmax"),
    "ADD": _binary("add"),
    "SUB": _binary("sub"),
    "MUL": _binary("mul"),
    "DIV": _binary("div"),
    "MAXIMUM": _binary("maximum"),
    "MINIMUM": _binary("minimum"),
    "CONCATENATION": _concat,
    "MEAN": _reduce("mean"),
    "REDUCE_MAX": _reduce("max"),
    "SUM": _reduce("sum"),
    "PAD": _pad,
    "PADV2": _pad,
    "RESIZE_BILINEAR": _resize,
    "RESIZE_NEAREST_NEIGHBOR": _resize,
    "RELU": _unary("relu"),
    "RELU6": _unary("relu", max_value=6.0),
    "RELU_0_TO_1": _unary("relu", max_value=1.0),
    "RELU_N1_TO_1": _unary("relu", min_value=-1.0, max_value=1.0),
    "LEAKY_RELU": _leaky,
    "PRELU": _prelu,
    "ELU": _unary("elu", alpha=1.0),
    "LOGISTIC": _unary("sigmoid"),
    "TANH": _unary("tanh"),
    "HARD_SWISH": _unary("hard_silu"),
    "GELU": _unary("gelu"),
    "EXP": _unary("exponential"),
    "TRANSPOSE": _transpose,
    "STRIDED_SLICE": _strided_slice,
    "SLICE": _slice,
    "SPLIT": _split,
    "QUANTIZE": _quantize,
    "DEQUANTIZE": _dequantize,
    "BATCH_MATMUL": _matmul,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm,
}
