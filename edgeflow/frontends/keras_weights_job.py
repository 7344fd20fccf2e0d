"""Keras layers with weights as layers of the Network: dense, convolutions, norms, recurrent."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeflow.frontends.keras_context_job import (
    Context,
    Step,
    channels_first,
    opaque,
    to_numpy,
    window,
)
from edgeflow.frontends.quantizers_job import from_hgq, from_qkeras
from edgeflow.network import Quantizer


def _dense(context: Context) -> str:
    layer = context.layer
    kernel, bias = layer.kernel, layer.bias
    if hasattr(layer, "rounded"):  # BinaryDense, TernaryDense
        ternary = context.kind == "TernaryDense"
        quantizer = Quantizer(
            "ternary" if ternary else "binary", 2 if ternary else 1, scale=(layer.height,)
        )
        weights = {"kernel": (to_numpy(layer.rounded()), quantizer, {}), "bias": bias}
    else:
        weights = _folded(context, kernel, bias)
    context.add("dense", {"units": int(layer.units)}, weights=weights)
    return context.activate(layer.activation)


def _folded(context: Context, kernel: Any, bias: Any) -> dict[str, Any]:
    """Kernel and bias, with the batch norm folded in where the layer does so."""
    layer = context.layer
    if hasattr(layer, "get_folded_weights"):
        kernel, bias = layer.get_folded_weights()
    elif hasattr(layer, "qkernel") and "BatchNorm" in context.kind:  # HGQ2's fused layers
        return _hgq_folded(context)
    return {"kernel": context.weight("kernel", kernel), "bias": context.weight("bias", bias)}


def _hgq_folded(context: Context) -> dict[str, Any]:
    layer = context.layer
    kernel, bias = layer.qkernel, layer.qbias
    found: dict[str, Any] = {}
    for role, value, quantizer in (("kernel", kernel, layer.kq), ("bias", bias, layer.bq)):
        if value is not None:
            array = to_numpy(value)
            found[role] = (array, *from_hgq(quantizer, array.shape))
    return found


def _conv(context: Context) -> str:
    if channels_first(context):
        return opaque(context)
    layer = context.layer
    rank = int(layer.rank)
    if rank > 2:
        return opaque(context)
    attributes = window(context, "strides", "padding", "dilation_rate", "groups")
    attributes |= {"filters": int(layer.filters), "kernel_size": list(layer.kernel_size)}
    if attributes["padding"] == "causal":
        _causal(context, attributes)
    context.add(f"conv{rank}d", attributes, weights=_folded(context, layer.kernel, layer.bias))
    return context.activate(layer.activation)


def _causal(context: Context, attributes: dict[str, Any]) -> None:
    """Causal padding is zeros before the first step, then ``valid``."""
    before = (attributes["kernel_size"][0] - 1) * attributes["dilation_rate"][0]
    steps, channels = context.draft.shape(context.inputs[0])
    shape = (None if steps is None else steps + before, channels)
    context.add("pad", {"padding": [[before, 0], [0, 0]]}, suffix="_pad", shape=shape)
    attributes["padding"] = "valid"


def _conv_transpose(context: Context) -> str:
    layer = context.layer
    rank = int(layer.rank)
    if channels_first(context) or rank > 2:
        return opaque(context)
    attributes = window(context, "strides", "padding", "dilation_rate")
    given = getattr(layer, "output_padding", None)
    attributes["output_padding"] = list(given) if isinstance(given, tuple | list) else given
    attributes |= {"filters": int(layer.filters), "kernel_size": list(layer.kernel_size)}
    # Keras stores (*window, out, in); the Network has (*window, in, out)
    item = context.weight("kernel", layer.kernel)
    array, *rest = item if isinstance(item, tuple) else (item, None, {})
    weights = {
        "kernel": (np.swapaxes(array, -1, -2), *rest), "bias": context.weight("bias", layer.bias)
    }  # fmt: skip
    context.add(f"conv{rank}d_transpose", attributes, weights=weights)
    return context.activate(layer.activation)


def _depthwise_attributes(context: Context) -> dict[str, Any]:
    attributes = window(context, "strides", "padding", "dilation_rate", "depth_multiplier")
    attributes["kernel_size"] = list(context.layer.kernel_size)
    if attributes["padding"] == "causal":
        _causal(context, attributes)
    return attributes


def _depthwise(context: Context) -> str:
    layer = context.layer
    if channels_first(context):
        return opaque(context)
    rank = len(layer.kernel_size)
    attributes = _depthwise_attributes(context)
    variable = getattr(layer, "depthwise_kernel", None)
    kernel = layer.kernel if variable is None else variable
    weights = _folded(context, kernel, layer.bias)
    context.add(f"depthwise_conv{rank}d", attributes, weights=weights)
    return context.activate(layer.activation)


def _separable(context: Context) -> str:
    layer = context.layer
    if channels_first(context):
        return opaque(context)
    rank = int(layer.rank)
    attributes = _depthwise_attributes(context)
    channels = (context.draft.shape(context.inputs[0])[-1] or 1) * int(layer.depth_multiplier)
    depthwise = _rounded(layer, "depthwise_quantizer_internal", layer.depthwise_kernel)
    pointwise = _rounded(layer, "pointwise_quantizer_internal", layer.pointwise_kernel)
    context.add(
        f"depthwise_conv{rank}d", attributes, suffix="_depthwise",
        shape=(*context.output_shape[:-1], channels), weights={"kernel": depthwise},
    )  # fmt: skip
    ones = [1] * rank
    settings = {
        "strides": ones, "padding": "valid", "dilation_rate": ones, "groups": 1,
        "filters": int(layer.filters), "kernel_size": ones,
    }  # fmt: skip
    weights = {"kernel": pointwise, "bias": context.weight("bias", layer.bias)}
    context.add(f"conv{rank}d", settings, weights=weights)
    return context.activate(layer.activation)


def _rounded(layer: Any, attribute: str, variable: Any) -> Any:
    quantizer = getattr(layer, attribute, None)
    if quantizer is None:
        return to_numpy(variable)
    rounded = to_numpy(quantizer(variable))
    return rounded, from_qkeras(quantizer, rounded), {}


def _batch_norm(context: Context) -> str:
    layer = context.layer
    axis = layer.axis if isinstance(layer.axis, int) else next(iter(layer.axis))
    rank = len(context.output_shape) + 1
    axis = axis - rank if axis > 0 else axis
    if hasattr(layer, "bn_gamma"):  # HGQ2 rounds the scale and offset that result
        return _hgq_batch_norm(context, axis)
    weights = {
        "gamma": context.weight("gamma", layer.gamma) if layer.scale else None,
        "beta": context.weight("beta", layer.beta) if layer.center else None,
        "moving_mean": _rounded_or_plain(layer, "mean", layer.moving_mean),
        "moving_variance": _rounded_or_plain(layer, "variance", layer.moving_variance),
    }
    return context.add(
        "batch_norm", {"axis": axis, "epsilon": float(layer.epsilon)}, weights=weights
    )


def _rounded_or_plain(layer: Any, name: str, variable: Any) -> Any:
    if getattr(layer, f"{name}_quantizer", None) is None:
        return to_numpy(variable)
    return _rounded(layer, f"{name}_quantizer_internal", variable)


def _hgq_batch_norm(context: Context, axis: int) -> str:
    if axis != -1:
        return opaque(context)
    scale, offset = (to_numpy(value).reshape(-1) for value in context.layer.qscaler_and_qoffset)
    weights = {
        "scale": (scale, *from_hgq(context.layer.kq, scale.shape)),
        "offset": (offset, *from_hgq(context.layer.bq, offset.shape)),
    }
    return context.add("scale", weights=weights)


def _layer_norm(context: Context) -> str:
    layer = context.layer
    axis = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
    rank = len(context.output_shape) + 1
    weights = {"gamma": layer.gamma, "beta": layer.beta}
    return context.add(
        "layer_norm",
        {"axis": [a - rank if a > 0 else a for a in axis], "epsilon": float(layer.epsilon)},
        weights={role: to_numpy(v) for role, v in weights.items() if v is not None},
    )


def _recurrent(context: Context) -> str:
    layer = context.layer
    kind = {"LSTM": "lstm", "GRU": "gru", "SimpleRNN": "simple_rnn"}[context.kind.removeprefix("Q")]
    if layer.return_state or layer.stateful:
        return opaque(context)
    cell = layer.cell
    attributes: dict[str, Any] = {
        "units": int(layer.units), "return_sequences": bool(layer.return_sequences),
        "go_backwards": bool(layer.go_backwards), "activation": _name(cell.activation),
    }  # fmt: skip
    if kind != "simple_rnn":
        attributes["recurrent_activation"] = _name(cell.recurrent_activation)
    if kind == "gru":
        attributes["reset_after"] = bool(cell.reset_after)
    weights: dict[str, Any] = {}
    for role in ("kernel", "recurrent_kernel", "bias"):
        variable = getattr(cell, role)
        if variable is not None:
            stem = "recurrent" if role == "recurrent_kernel" else role
            weights[role] = _rounded(cell, f"{stem}_quantizer_internal", variable)
    return context.add(kind, attributes, weights=weights)


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _embedding(context: Context) -> str:
    layer = context.layer
    return context.add(
        "embedding", {"input_dim": int(layer.input_dim), "output_dim": int(layer.output_dim)},
        weights={"embeddings": to_numpy(layer.embeddings)},
    )  # fmt: skip


def _rescaling(context: Context) -> str:
    layer = context.layer
    channels = context.output_shape[-1] or 1
    scale = np.broadcast_to(np.asarray(layer.scale, np.float32), (channels,))
    offset = np.broadcast_to(np.asarray(layer.offset, np.float32), (channels,))
    return context.add("scale", weights={"scale": scale, "offset": offset})


def _normalization(context: Context) -> str:
    layer = context.layer
    if layer.invert:
        return opaque(context)
    channels = context.output_shape[-1] or 1
    deviation = np.maximum(np.sqrt(to_numpy(layer.variance)), 1e-7)
    scale = np.broadcast_to((1 / deviation).reshape(-1), (channels,))
    offset = np.broadcast_to((-to_numpy(layer.mean) / deviation).reshape(-1), (channels,))
    return context.add("scale", weights={"scale": scale, "offset": offset})


def _time_distributed(context: Context) -> str:
    inner = context.layer.layer
    if type(inner).__name__ not in ("Dense", "QDense"):
        return opaque(context)
    context.layer = inner
    return _dense(context)


def _einsum_dense(context: Context) -> str:
    """An EinsumDense that contracts the last axis alone is a dense layer."""
    layer = context.layer
    left, _, result = layer.equation.replace(" ", "").partition("->")
    source, _, kernel = left.partition(",")
    same = source[:-1] == result[:-1] and len(kernel) == 2
    bias = layer.bias
    last_only = bias is None or tuple(bias.shape) == (layer.kernel.shape[-1],)
    if not (same and kernel == source[-1] + result[-1] and last_only):
        return opaque(context)
    context.add(
        "dense",
        {"units": int(layer.kernel.shape[-1])},
        weights=_folded(context, layer.kernel, bias),
    )
    return context.activate(layer.activation)


WEIGHTED: dict[str, Step] = {
    **dict.fromkeys(
        ["Dense", "QDenseBatchnorm", "BinaryDense", "TernaryDense", "QBatchNormDense"], _dense
    ),
    **dict.fromkeys(
        ["Conv1D", "Conv2D", "QConv2DBatchnorm", "QBatchNormConv1D", "QBatchNormConv2D"], _conv
    ),
    **dict.fromkeys(["Conv1DTranspose", "Conv2DTranspose"], _conv_transpose),
    **dict.fromkeys(
        ["DepthwiseConv1D", "DepthwiseConv2D", "QDepthwiseConv2DBatchnorm"], _depthwise
    ),
    **dict.fromkeys(["SeparableConv1D", "SeparableConv2D"], _separable),
    "EinsumDense": _einsum_dense,
    "TimeDistributed": _time_distributed,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "Rescaling": _rescaling,
    "Normalization": _normalization,
    **dict.fromkeys(["LSTM", "GRU", "SimpleRNN"], _recurrent),
    "Embedding": _embedding,
}
