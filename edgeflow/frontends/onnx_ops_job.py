"""ONNX operators, one function each, as layers of the Network."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeflow.frontends.onnx_graph_job import Array, Op, Step, quantizer_of
from edgeflow.frontends.onnx_recurrent_job import RECURRENT
from edgeflow.frontends.onnx_shapes_job import SHAPING
from edgeflow.frontends.onnx_windows_job import WINDOWED
from edgeflow.network import Quantizer


def _unary(kind: str, **fixed: Any) -> Step:
    """An activation: the order of the axes does not matter to it."""

    def step(op: Op) -> None:
        source = op.source()
        settings = {key: value(op) if callable(value) else value for key, value in fixed.items()}
        op.add(kind, [source.layer], settings, last=source.last, order=source.order)

    return step


def _clip(op: Op) -> None:
    low = op.at.get("min", op.constant(1))
    high = op.at.get("max", op.constant(2))
    source = op.source()
    if low is None and high is not None and np.asarray(high).size == 1 and len(op.inputs) > 1:
        top = op.t.draft.add("constant", f"{op.name}_max", [], (), weights={"value": high})
        op.add("minimum", [source.layer, top], last=source.last, order=source.order)
        return None
    if low is None or np.asarray(low).size != 1:
        return op.opaque()
    settings: dict[str, Any] = {}
    if float(np.asarray(low)):
        settings["min_value"] = float(np.asarray(low))
    if high is not None and float(np.asarray(high)) < 3e38:
        settings["max_value"] = float(np.asarray(high))
    op.add("relu", [source.layer], settings, last=source.last, order=source.order)
    return None


def _softmax(op: Op) -> None:
    axis = op.at.get("axis", -1 if _opset(op) >= 13 else 1) % op.rank
    after = op.t.values[op.inputs[0]].shape[axis + 1 :]
    kind = _SOFTMAX[op.node.op_type]
    if _opset(op) < 13 and any(dim != 1 for dim in after):
        return op.opaque(" over several axes")
    if axis == 1 and op.rank > 2:
        op.add(kind, [op.t.layer(op.inputs[0], True)], last=True)
    elif axis == op.rank - 1:
        op.add(kind, [op.t.layer(op.inputs[0])])
    else:
        return op.opaque(f" along axis {axis}")
    return None


_SOFTMAX = {"Softmax": "softmax", "LogSoftmax": "log_softmax"}


def _opset(op: Op) -> int:
    return max((o.version for o in op.t.model.opset_import if not o.domain), default=13)


def _gemm(op: Op) -> None:
    kernel = op.constant(1)
    if kernel is None or op.at.get("transA"):
        return op.opaque()
    kernel = kernel.T if op.at.get("transB") else kernel
    bias = op.constant(2)
    if len(op.inputs) > 2 and op.inputs[2] and bias is None:
        return op.opaque(" with a computed bias")
    if bias is not None:
        bias = np.broadcast_to(np.asarray(bias).reshape(-1), kernel.shape[1:]) * op.at.get(
            "beta", 1.0
        )
    _dense(op, np.asarray(kernel) * op.at.get("alpha", 1.0), bias)
    return None


def _matmul(op: Op) -> None:
    kernel = op.constant(1)
    if kernel is not None and kernel.ndim == 2 and op.inputs[0] not in op.t.constants:
        return _dense(op, kernel, None)
    op.add("matmul", [op.t.layer(name) for name in op.inputs])
    return None


def _dense(op: Op, kernel: Array, bias: Array | None) -> None:
    source = op.t.bound[op.inputs[0]]
    if source.order is not None:
        kernel = kernel[list(source.order)]
        layer = source.layer
    else:
        layer = op.t.layer(op.inputs[0])
    op.add(
        "dense", [layer], {"units": int(kernel.shape[1])}, weights={"kernel": kernel, "bias": bias},
        quantizers={"kernel": op.rounded(1), "bias": op.rounded(2)},
    )  # fmt: skip


def _batch_norm(op: Op) -> None:
    last = op.rank > 2
    layer = op.spatial() if last else op.t.layer(op.inputs[0])
    values = [op.constant(index) for index in range(1, 5)]
    if any(value is None for value in values):
        return op.opaque(" with computed parameters")
    roles = ("gamma", "beta", "moving_mean", "moving_variance")
    op.add(
        "batch_norm", [layer], {"axis": -1, "epsilon": float(op.at.get("epsilon", 1e-5))},
        last=last, weights=dict(zip(roles, values, strict=True)),
    )  # fmt: skip
    return None


def _layer_norm(op: Op) -> None:
    axes = list(range(op.at.get("axis", -1) % op.rank - op.rank, 0))
    if len(axes) == op.rank or len(op.node.output) > 1:
        return op.opaque()
    op.add(
        "layer_norm", [op.t.layer(op.inputs[0])],
        {"axis": axes, "epsilon": float(op.at.get("epsilon", 1e-5))},
        weights={"gamma": op.constant(1), "beta": op.constant(2)},
    )  # fmt: skip
    return None


def _binary(kind: str) -> Step:
    def step(op: Op) -> None:
        fixed = [index for index in range(len(op.inputs)) if op.inputs[index] in op.t.constants]
        if len(op.inputs) == 2 and len(fixed) == 1 and _with_constant(op, kind, fixed[0]):
            return
        live = [op.t.bound[n] for n in op.inputs if n not in op.t.constants]
        last = all(bound.last for bound in live) and bool(live)
        layers = [op.t.layer(name, last) for name in op.inputs]
        op.add(kind, layers, last=last)

    return step


def _with_constant(op: Op, kind: str, which: int) -> bool:
    """A constant per channel becomes a bias or a scale layer; False where it is no such thing."""
    source = op.t.bound[op.inputs[1 - which]]
    if source.order is not None or kind not in ("add", "sub", "mul", "div"):
        return False
    vector = _per_channel(op, np.asarray(op.t.constants[op.inputs[which]], np.float64), source.last)
    if vector is None or (kind == "div" and which == 0):
        return False
    scale, offset = 1.0 + 0 * vector, 0 * vector
    if kind == "add":
        offset = vector
    elif kind == "sub":
        scale, offset = (-scale, vector) if which == 0 else (scale, -vector)
    elif kind == "mul":
        scale = vector
    else:
        scale = 1 / vector
    before = op.t.draft.layers[source.layer]
    free = op.sole(1 - which) and before.quantizer is None
    adds = kind == "add" or (kind == "sub" and which == 1)
    rounding = op.rounded(which)
    if free and adds and before.kind in _BIASED and "bias" not in before.weights:
        op.t.draft.set_weight(before.name, "bias", offset, rounding if kind == "add" else None)
        op.alias(source)
        return True
    if free and adds and before.kind == "scale" and "offset" not in before.weights:
        op.t.draft.set_weight(before.name, "offset", offset, rounding if kind == "add" else None)
        op.alias(source)
        return True
    weights: dict[str, Any] = {}
    if kind in ("mul", "div") or (kind == "sub" and which == 0):
        weights["scale"] = scale
    if kind in ("add", "sub"):
        weights["offset"] = offset
    op.add("scale", [source.layer], last=source.last, weights=weights,
           quantizers={"scale": rounding if kind == "mul" else None})  # fmt: skip
    return True


_BIASED = frozenset("dense conv1d conv2d depthwise_conv1d depthwise_conv2d".split())


def _per_channel(op: Op, value: Array, last: bool) -> Array | None:
    """The constant as a vector over the Network's last axis; None if it is not one."""
    rank = op.t.rank(op.output)
    shape = op.t.values[op.output].shape
    if rank < 2:
        return None
    full = value.reshape((1,) * (rank - value.ndim) + value.shape)
    axis = 1 if last and rank > 2 else rank - 1
    if any(dim != 1 for index, dim in enumerate(full.shape) if index != axis):
        return None
    live = op.inputs[0] if op.inputs[0] not in op.t.constants else op.inputs[1]
    if op.t.values[live].shape != shape:
        return None
    vector: Array = np.broadcast_to(full.reshape(-1), (shape[axis],)).copy()
    return vector


def _pass(op: Op) -> None:
    op.alias(op.source())


def _quantize(op: Op) -> None:
    """A quantiser of activations: the rounding of the layer before, if nothing else reads that."""
    if op.inputs[1] not in op.t.constants:
        return op.opaque(" with a computed scale")
    quantizer = quantizer_of(op.t, op.node)
    source = op.source()
    before = op.t.draft.layers[source.layer]
    alone = op.sole() and before.quantizer is None and before.kind != "opaque"
    if alone and _axis_fits(quantizer):
        op.t.draft.change(before.name, quantizer=quantizer)
        op.alias(source)
        return None
    op.add("quantize", [source.layer], last=source.last, order=source.order, quantizer=quantizer)
    return None


def _axis_fits(quantizer: Quantizer) -> bool:
    return quantizer.axis is None


def _prelu(op: Op) -> None:
    slope = op.constant(1)
    if slope is None:
        return op.opaque(" with a computed slope")
    source = op.source()
    array = np.asarray(slope, np.float32)
    if source.last and array.ndim > 1:
        array = np.moveaxis(array.reshape(array.shape[-(op.rank - 1) :]), 0, -1)
    if array.size == 1:
        op.add(
            "leaky_relu",
            [source.layer],
            {"negative_slope": float(array.reshape(-1)[0])},
            last=source.last,
        )
    else:
        op.add("prelu", [source.layer], last=source.last, weights={"alpha": array})
    return None


OPERATORS: dict[str, Step] = {
    **WINDOWED,
    **SHAPING,
    **RECURRENT,
    "Relu": _unary("relu"),
    "LeakyRelu": _unary("leaky_relu", negative_slope=lambda op: float(op.at.get("alpha", 0.01))),
    "PRelu": _prelu,
    "Elu": _unary("elu", alpha=lambda op: float(op.at.get("alpha", 1.0))),
    "Selu": _unary("selu"),
    "Sigmoid": _unary("sigmoid"),
    "HardSigmoid": _unary(
        "hard_sigmoid", slope=lambda op: float(op.at.get("alpha", 0.2)),
        offset=lambda op: float(op.at.get("beta", 0.5)),
    ),
    "HardSwish": _unary("hard_silu"),
    "Tanh": _unary("tanh"),
    "Softplus": _unary("softplus"),
    "Softsign": _unary("softsign"),
    "Exp": _unary("exponential"),
    "Gelu": _unary("gelu", approximate=lambda op: op.at.get("approximate") == "tanh"),
    "ThresholdedRelu": _unary("thresholded_relu", theta=lambda op: float(op.at.get("alpha", 1.0))),
    "Clip": _clip,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "Add": _binary("add"),
    "Sub": _binary("sub"),
    "Mul": _binary("mul"),
    "Div": _binary("div"),
    "Max": _binary("maximum"),
    "Min": _binary("minimum"),
    "Mean": _binary("average"),
    "Sum": _binary("add"),
    "Identity": _pass,
    "Dropout": _pass,
    "Cast": _pass,
    "Quant": _quantize,
    "IntQuant": _quantize,
    "BipolarQuant": _quantize,
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _pass,
}  # fmt: skip
