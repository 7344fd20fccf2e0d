"""From a Keras layer object to layers of the Network: Keras 2, Keras 3, QKeras and HGQ2 alike.

`keras_context_job` says how attributes and weights are named.
"""

from __future__ import annotations

import numpy as np

from edgeflow.frontends.keras_context_job import (
    Context,
    Step,
    channels_first,
    opaque,
    to_numpy,
    window,
)
from edgeflow.frontends.keras_weights_job import WEIGHTED
from edgeflow.frontends.quantizers_job import from_hgq

# Layers that do nothing at inference.
NO_OPS = frozenset(
    "Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D GaussianDropout GaussianNoise "
    "AlphaDropout ActivityRegularization Masking Identity".split()
)
_MERGES = {
    "Add": "add", "Subtract": "sub", "Multiply": "mul", "Average": "average", "Maximum": "maximum",
    "Minimum": "minimum", "Divide": "div", "TrueDivide": "div",
}  # fmt: skip


def _activation_layer(context: Context) -> str:
    # QActivation keeps the text it was given as `activation`, and the function as `quantizer`
    function = getattr(context.layer, "quantizer", None) or context.layer.activation
    return context.activate(function, suffix=False)


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
    if channels_first(context) or getattr(context.layer, "average_quantizer", None):
        return opaque(context)
    rank = len(context.output_shape) - 1
    if rank > 2:
        return opaque(context)
    kind = "max" if "Max" in context.kind else "avg"
    attributes = window(context, "pool_size", "strides", "padding")
    for name in ("pool_size", "strides"):
        value = attributes[name]
        attributes[name] = value if isinstance(value, list) else [value] * rank
    return context.add(f"{kind}_pool{rank}d", attributes)


def _global_pool(context: Context) -> str:
    if channels_first(context) or getattr(context.layer, "average_quantizer", None):
        return opaque(context)
    rank = len(context.draft.shape(context.inputs[0])) - 1
    if rank > 2:
        return opaque(context)
    kind = "max" if "Max" in context.kind else "avg"
    keep = bool(getattr(context.layer, "keepdims", False))
    return context.add(f"global_{kind}_pool{rank}d", {"keepdims": keep})


def _flatten(context: Context) -> str:
    return opaque(context) if channels_first(context) else context.add("flatten")


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
    if channels_first(context) or rank > 2:
        return opaque(context)
    pairs = [list(pair) for pair in given] if rank == 2 else [list(given)]
    return context.add(kind, {name: [*pairs, [0, 0]]})


def _upsample(context: Context) -> str:
    layer = context.layer
    size = list(layer.size) if isinstance(layer.size, tuple | list) else [int(layer.size)]
    how = getattr(layer, "interpolation", "nearest")
    if channels_first(context) or how not in ("nearest", "bilinear"):
        return opaque(context)
    return context.add("upsample", {"size": size, "interpolation": how})


def _concat(context: Context) -> str:
    axis = int(context.layer.axis)
    rank = len(context.output_shape) + 1
    return context.add("concat", {"axis": axis - rank if axis > 0 else axis})


def _merge(context: Context) -> str:
    return context.add(_MERGES[context.kind.removeprefix("Q")])


def _elu(context: Context) -> str:
    return context.add("elu", {"alpha": float(np.asarray(context.layer.alpha))})


def _thresholded(context: Context) -> str:
    return context.add("thresholded_relu", {"theta": float(np.asarray(context.layer.theta))})


def _hgq_quantizer(context: Context) -> str:
    """HGQ2's quantiser as a layer of its own."""
    shape = (1, *(dim or 1 for dim in context.output_shape))
    found, arrays = from_hgq(context.layer, shape)
    name = context.add("quantize", quantizer=found)
    context.draft.arrays.update({f"{name}/@{part}": value for part, value in arrays.items()})
    return name


STEPS: dict[str, Step] = {
    **WEIGHTED,
    "Quantizer": _hgq_quantizer,
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
