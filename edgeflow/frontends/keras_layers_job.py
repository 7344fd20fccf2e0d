"""From a Keras layer object to layers of the Network: Keras 2, Keras 3, QKeras and HGQ2 alike.

Attributes follow Keras' names. Axes are negative or counted with the batch as 0, as in Keras,
but for ``reshape`` (``target_shape`` without the batch) and ``slice`` (``begin``, ``end``,
``strides`` without the batch). Weight roles: ``kernel``, ``bias``, ``recurrent_kernel``,
``gamma``, ``beta``, ``moving_mean``, ``moving_variance``, ``alpha``, ``embeddings``, ``scale``,
``offset``, ``value``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgeflow.frontends.folder_job import Draft
from edgeflow.frontends.quantizers_job import from_hgq, from_qkeras, snap
from edgeflow.network import ACTIVATIONS, Quantizer, Shape

Step = Callable[["Context"], str]

# Layers that do nothing at inference.
NO_OPS = frozenset(
    "Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D GaussianDropout GaussianNoise "
    "AlphaDropout ActivityRegularization Masking Identity".split()
)
_ACTIVATION_NAMES = {"swish": "silu", "hard_swish": "hard_silu", "relu6": "relu"}
_MERGES = {
    "Add": "add", "Subtract": "sub", "Multiply": "mul", "Average": "average", "Maximum": "maximum",
    "Minimum": "minimum", "Divide": "div", "TrueDivide": "div",
}  # fmt: skip


class Context:
    """One call of one layer: the layer, where its inputs come from, the shape that it makes."""

    def __init__(
        self, draft: Draft, layer: Any, inputs: Sequence[str], output_shape: Shape, legacy: bool
    ) -> None:
        self.draft = draft
        self.layer = layer
        self.inputs = list(inputs)
        self.output_shape = output_shape
        self.legacy = legacy  # Keras 2: some functions differ
        self.kind = type(layer).__name__
        self.name = str(layer.name)
        self.made: list[str] = []

    def add(
        self,
        kind: str,
        attributes: Mapping[str, Any] | None = None,
        *,
        suffix: str = "",
        shape: Shape | None = None,
        inputs: Sequence[str] | None = None,
        weights: Mapping[str, Any] | None = None,
        quantizer: Quantizer | None = None,
    ) -> str:
        """Add a layer that reads the current inputs; the next one reads it."""
        values: dict[str, Any] = {}
        rounding: dict[str, Quantizer | None] = {}
        bits: dict[str, Any] = {}
        for role, item in (weights or {}).items():
            if item is None:
                continue
            array, found, by_element = item if isinstance(item, tuple) else (item, None, {})
            values[role], rounding[role] = snap(np.asarray(array), found), found
            bits.update({f"{role}@{part}": value for part, value in by_element.items()})
        name = self.draft.add(
            kind, self.name + suffix, self.inputs if inputs is None else inputs,
            self.output_shape if shape is None else shape, attributes, values, rounding, quantizer,
        )  # fmt: skip
        self.draft.arrays.update({f"{name}/{key}": value for key, value in bits.items()})
        self.inputs = [name]
        self.made.append(name)
        return name

    def weight(self, role: str, variable: Any) -> Any:
        """A weight as the layer computes with it: the array, its Quantizer, its bits by element."""
        if variable is None:
            return None
        values = to_numpy(variable)
        layer = self.layer
        if hasattr(layer, "kq") and role in ("kernel", "bias"):  # HGQ2
            quantizer = layer.kq if role == "kernel" else layer.bq
            if quantizer is None:
                return values
            return (to_numpy(quantizer(variable)), *from_hgq(quantizer, values.shape))
        stem = "depthwise" if hasattr(layer, "depthwise_quantizer") and role == "kernel" else role
        quantizer = getattr(layer, f"{stem}_quantizer_internal", None)
        if quantizer is None:
            return values
        rounded = to_numpy(quantizer(variable))
        return rounded, from_qkeras(quantizer, rounded), {}

    def activate(self, function: Any, suffix: bool = True) -> None:
        """Add the layer's activation as a layer of its own."""
        for kind, attributes, quantizer in activation(function, self.legacy):
            own = [n for n in self.made if self.draft.layers[n].kind != "quantize"]
            tail = f"_{kind}" if suffix or own else ""
            self.add(kind, attributes, suffix=tail, quantizer=quantizer)


def to_numpy(value: Any) -> np.ndarray[Any, Any]:
    """A framework's tensor or variable as float32."""
    return np.asarray(value.numpy() if hasattr(value, "numpy") else value, dtype=np.float32)


def activation(function: Any, legacy: bool) -> list[tuple[str, dict[str, Any], Quantizer | None]]:
    """The Network's (kind, attributes, quantizer) of an activation; nothing for a linear one."""
    if function is None:
        return []
    kind = type(function).__name__
    if kind in _QKERAS:
        return [_QKERAS[kind](function)]
    name = getattr(function, "__name__", None) or getattr(function, "name", None) or kind
    name = _ACTIVATION_NAMES.get(name, name)
    if name in ("linear", "identity"):
        return []
    if name == "binary_tanh":  # zero goes to -1 there
        return [("quantize", {}, Quantizer("binary", 1, scale=(1.0,), rounding="zero_down"))]
    if name == "relu1":
        return [("relu", {"max_value": 1.0}, None)]
    if name == "ternary_tanh":
        return [("quantize", {}, Quantizer("fixed", 2, True, 1, True, "RND_CONV", "SAT"))]
    if name == "hard_sigmoid":
        slope = 0.2 if legacy else 1 / 6
        return [("hard_sigmoid", {"slope": slope, "offset": 0.5}, None)]
    if name == "leaky_relu":
        return [("leaky_relu", {"negative_slope": 0.2}, None)]
    if name == "elu":
        return [("elu", {"alpha": 1.0}, None)]
    if name == "gelu":
        return [("gelu", {"approximate": False}, None)]
    if getattr(function, "__name__", "") == "relu6":
        return [("relu", {"max_value": 6.0}, None)]
    if name in ACTIVATIONS:
        return [(name, {}, None)]
    return [("opaque", {"type": f"activation {name}"}, None)]


def _quantized_relu(function: Any) -> tuple[str, dict[str, Any], Quantizer | None]:
    quantizer = from_qkeras(function)
    if getattr(function, "use_sigmoid", 0):
        return "opaque", {"type": "quantized_relu with use_sigmoid"}, quantizer
    attributes = {}
    if function.negative_slope:
        return "leaky_relu", {"negative_slope": float(function.negative_slope)}, quantizer
    bound = getattr(function, "relu_upper_bound", None)
    if bound is not None:
        attributes["max_value"] = float(bound)
    return "relu", attributes, quantizer


_QKERAS: dict[str, Callable[[Any], tuple[str, dict[str, Any], Quantizer | None]]] = {
    "quantized_relu": _quantized_relu,
    "quantized_bits": lambda f: ("quantize", {}, from_qkeras(f)),
    "quantized_linear": lambda f: ("quantize", {}, from_qkeras(f)),
    "quantized_po2": lambda f: ("quantize", {}, from_qkeras(f)),
    "quantized_relu_po2": lambda f: ("relu", {}, from_qkeras(f)),
    "binary": lambda f: ("quantize", {}, _unscaled(from_qkeras(f), f)),
    "stochastic_binary": lambda f: ("quantize", {}, _unscaled(from_qkeras(f), f)),
    "ternary": lambda f: ("quantize", {"threshold": _threshold(f)}, _unscaled(from_qkeras(f), f)),
    "stochastic_ternary": lambda f: (
        "quantize", {"threshold": _threshold(f)}, _unscaled(from_qkeras(f), f)),
    "quantized_tanh": lambda f: (
        "tanh" if f.use_real_tanh else "hard_tanh", {}, from_qkeras(f)),
    "quantized_sigmoid": lambda f: (
        ("sigmoid", {}, from_qkeras(f)) if f.use_real_sigmoid
        else ("hard_sigmoid", {"slope": 0.5, "offset": 0.5}, from_qkeras(f))),
    "quantized_ulaw": lambda f: ("opaque", {"type": "quantized_ulaw"}, from_qkeras(f)),
    "quantized_hswish": lambda f: ("opaque", {"type": "quantized_hswish"}, from_qkeras(f)),
    "bernoulli": lambda f: ("opaque", {"type": "bernoulli"}, from_qkeras(f)),
}  # fmt: skip


def _unscaled(quantizer: Quantizer | None, function: Any) -> Quantizer | None:
    """An activation's binary or ternary quantiser: its scale is its alpha, 1 by default."""
    alpha = function.alpha if isinstance(function.alpha, int | float) else 1.0
    if quantizer is None:
        return None
    return Quantizer(quantizer.kind, quantizer.bits, quantizer.signed, scale=(float(alpha),))


def _threshold(function: Any) -> float:
    given = function.threshold
    return float(function.default_threshold if given is None else given)


def _window(context: Context, *names: str) -> dict[str, Any]:
    layer = context.layer
    found: dict[str, Any] = {}
    for name in names:
        value = getattr(layer, name)
        found[name] = list(value) if isinstance(value, tuple | list) else value
    return found


def _channels_first(context: Context) -> bool:
    return getattr(context.layer, "data_format", "channels_last") == "channels_first"


def opaque(context: Context) -> str:
    """An operation that the Network has no kind for."""
    note = " with data_format channels_first" if _channels_first(context) else ""
    return context.add("opaque", {"type": context.kind + note})


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
    context.activate(layer.activation)
    return context.inputs[0]


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
    if _channels_first(context):
        return opaque(context)
    layer = context.layer
    rank = int(layer.rank)
    if rank > 2:
        return opaque(context)
    attributes = _window(context, "strides", "padding", "dilation_rate", "groups")
    attributes |= {"filters": int(layer.filters), "kernel_size": list(layer.kernel_size)}
    if attributes["padding"] == "causal":
        _causal(context, attributes)
    context.add(f"conv{rank}d", attributes, weights=_folded(context, layer.kernel, layer.bias))
    context.activate(layer.activation)
    return context.inputs[0]


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
    if _channels_first(context) or rank > 2:
        return opaque(context)
    attributes = _window(context, "strides", "padding", "dilation_rate")
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
    context.activate(layer.activation)
    return context.inputs[0]


def _depthwise(context: Context) -> str:
    layer = context.layer
    if _channels_first(context):
        return opaque(context)
    rank = len(layer.kernel_size)
    attributes = _window(context, "strides", "padding", "dilation_rate", "depth_multiplier")
    attributes["kernel_size"] = list(layer.kernel_size)
    variable = getattr(layer, "depthwise_kernel", None)
    kernel = layer.kernel if variable is None else variable
    if attributes["padding"] == "causal":
        _causal(context, attributes)
    weights = _folded(context, kernel, layer.bias)
    context.add(f"depthwise_conv{rank}d", attributes, weights=weights)
    context.activate(layer.activation)
    return context.inputs[0]


def _separable(context: Context) -> str:
    layer = context.layer
    if _channels_first(context):
        return opaque(context)
    rank = int(layer.rank)
    attributes = _window(context, "strides", "padding", "dilation_rate", "depth_multiplier")
    attributes["kernel_size"] = list(layer.kernel_size)
    if attributes["padding"] == "causal":
        _causal(context, attributes)
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
    context.activate(layer.activation)
    return context.inputs[0]


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


def _activation_layer(context: Context) -> str:
    # QActivation keeps the text it was given as `activation`, and the function as `quantizer`
    function = getattr(context.layer, "quantizer", None) or context.layer.activation
    context.activate(function, suffix=False)
    return context.inputs[0]


def _relu(context: Context) -> str:
    layer = context.layer
    slope = float(layer.negative_slope or 0)
    top = None if layer.max_value is None else float(layer.max_value)
    threshold = float(layer.threshold or 0)
    if threshold:
        if slope or top is not None:
            return opaque(context)
        return context.add("thresholded_relu", {"theta": threshold})
    if slope:
        if top is not None:
            return opaque(context)
        return context.add("leaky_relu", {"negative_slope": slope})
    return context.add("relu", {} if top is None else {"max_value": top})


def _leaky(context: Context) -> str:
    layer = context.layer
    slope = layer.negative_slope if hasattr(layer, "negative_slope") else layer.alpha
    return context.add("leaky_relu", {"negative_slope": float(slope)})


def _prelu(context: Context) -> str:
    return context.add("prelu", weights={"alpha": to_numpy(context.layer.alpha)})


def _softmax(context: Context) -> str:
    axis = context.layer.axis
    if axis not in (-1, len(context.output_shape)):
        return opaque(context)
    return context.add("softmax")


def _pool(context: Context) -> str:
    if _channels_first(context) or getattr(context.layer, "average_quantizer", None):
        return opaque(context)
    rank = len(context.output_shape) - 1
    if rank > 2:
        return opaque(context)
    kind = "max" if "Max" in context.kind else "avg"
    attributes = _window(context, "pool_size", "strides", "padding")
    for name in ("pool_size", "strides"):
        value = attributes[name]
        attributes[name] = value if isinstance(value, list) else [value] * rank
    return context.add(f"{kind}_pool{rank}d", attributes)


def _global_pool(context: Context) -> str:
    if _channels_first(context) or getattr(context.layer, "average_quantizer", None):
        return opaque(context)
    rank = len(context.draft.shape(context.inputs[0])) - 1
    if rank > 2:
        return opaque(context)
    kind = "max" if "Max" in context.kind else "avg"
    keep = bool(getattr(context.layer, "keepdims", False))
    return context.add(f"global_{kind}_pool{rank}d", {"keepdims": keep})


def _flatten(context: Context) -> str:
    return opaque(context) if _channels_first(context) else context.add("flatten")


def _reshape(context: Context) -> str:
    return context.add("reshape", {"target_shape": list(context.output_shape)})


def _permute(context: Context) -> str:
    return context.add("transpose", {"dims": list(context.layer.dims)})


def _pad(context: Context) -> str:
    return _pad_or_crop(context, "pad", "padding")


def _crop(context: Context) -> str:
    return _pad_or_crop(context, "crop", "cropping")


def _pad_or_crop(context: Context, kind: str, name: str) -> str:
    given = getattr(context.layer, name)
    rank = len(context.output_shape) - 1
    if _channels_first(context) or rank > 2:
        return opaque(context)
    pairs = [list(pair) for pair in given] if rank == 2 else [list(given)]
    return context.add(kind, {name: [*pairs, [0, 0]]})


def _upsample(context: Context) -> str:
    layer = context.layer
    size = list(layer.size) if isinstance(layer.size, tuple | list) else [int(layer.size)]
    how = getattr(layer, "interpolation", "nearest")
    if _channels_first(context) or how not in ("nearest", "bilinear"):
        return opaque(context)
    return context.add("upsample", {"size": size, "interpolation": how})


def _concat(context: Context) -> str:
    axis = int(context.layer.axis)
    rank = len(context.output_shape) + 1
    return context.add("concat", {"axis": axis - rank if axis > 0 else axis})


def _merge(context: Context) -> str:
    return context.add(_MERGES[context.kind.removeprefix("Q")])


def _dot(context: Context) -> str:
    return opaque(context)


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


def _elu(context: Context) -> str:
    return context.add("elu", {"alpha": float(np.asarray(context.layer.alpha))})


def _thresholded(context: Context) -> str:
    return context.add("thresholded_relu", {"theta": float(np.asarray(context.layer.theta))})


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
    context.activate(layer.activation)
    return context.inputs[0]


def _hgq_quantizer(context: Context) -> str:
    """HGQ2's quantiser as a layer of its own."""
    shape = (1, *(dim or 1 for dim in context.output_shape))
    found, arrays = from_hgq(context.layer, shape)
    name = context.add("quantize", quantizer=found)
    context.draft.arrays.update({f"{name}/@{part}": value for part, value in arrays.items()})
    return name


STEPS: dict[str, Step] = {
    "Quantizer": _hgq_quantizer,
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
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    **dict.fromkeys(["Activation", "QUnaryFunctionLUT"], _activation_layer),
    "ReLU": _relu,
    "LeakyReLU": _leaky,
    "PReLU": _prelu,
    "ELU": _elu,
    "ThresholdedReLU": _thresholded,
    "Softmax": _softmax,
    **dict.fromkeys(
        ["MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D"], _pool
    ),
    **dict.fromkeys(
        ["GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalMaxPooling1D",
         "GlobalMaxPooling2D"], _global_pool
    ),
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Permute": _permute,
    **dict.fromkeys(["ZeroPadding1D", "ZeroPadding2D"], _pad),
    **dict.fromkeys(["Cropping1D", "Cropping2D"], _crop),
    **dict.fromkeys(["UpSampling1D", "UpSampling2D"], _upsample),
    "Concatenate": _concat,
    **dict.fromkeys(_MERGES, _merge),
    **dict.fromkeys(["LSTM", "GRU", "SimpleRNN"], _recurrent),
    "Embedding": _embedding,
    "Rescaling": _rescaling,
    "Normalization": _normalization,
    "TimeDistributed": _time_distributed,
}  # fmt: skip


def translate(context: Context) -> str:
    """Add what the layer does to the draft; returns the name of the layer that has its output."""
    if context.kind in NO_OPS:
        return context.inputs[0]
    step = STEPS.get(context.kind) or STEPS.get(context.kind.removeprefix("Q")) or opaque
    _hgq_rounding(context, "iq")
    result = step(context)
    if getattr(context.layer, "enable_oq", False):
        context.inputs = [result]
        _hgq_rounding(context, "oq")
        result = context.inputs[0]
    return result


def _hgq_rounding(context: Context, which: str) -> None:
    """HGQ2 layers round their inputs, and some their output: layers of their own here."""
    layer = context.layer
    if not getattr(layer, f"enable_{which}", False):
        return
    given = getattr(layer, which)
    quantizers = [given] if hasattr(given, "quantizer") else list(given)
    rounded = []
    for index, (source, quantizer) in enumerate(
        zip(list(context.inputs), quantizers, strict=False)
    ):
        shape = context.draft.shape(source)
        found, arrays = from_hgq(quantizer, (1, *(dim or 1 for dim in shape)))
        suffix = f"_{which}{index or ''}"
        name = context.add("quantize", suffix=suffix, shape=shape, inputs=[source], quantizer=found)
        context.draft.arrays.update({f"{name}/@{part}": value for part, value in arrays.items()})
        rounded.append(name)
    context.inputs = rounded + context.inputs[len(rounded) :] if len(rounded) > 1 else rounded
