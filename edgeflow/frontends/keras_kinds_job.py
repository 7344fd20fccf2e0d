"""The Keras layer, or function, of each kind of layer that a Network has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from edgeflow.frontends.keras_maker_job import Maker, named
from edgeflow.network import ACTIVATIONS, Layer


def _input(_: Maker, layer: Layer) -> Any:
    return keras.Input(layer.output_shape, name=named(layer), dtype="float32")


def _dense(maker: Maker, layer: Layer) -> Any:
    units = layer.weights["kernel"].shape[-1]
    made = layers.Dense(units, use_bias="bias" in layer.weights, name=named(layer))
    return maker.apply(layer, made, ("kernel", "bias"))


def _window(layer: Layer, dilated: bool = True) -> dict[str, Any]:
    """The arguments that every convolution takes."""
    at = layer.attributes
    settings = {
        "strides": tuple(at["strides"]), "padding": at["padding"],
        "use_bias": "bias" in layer.weights, "name": named(layer),
    }  # fmt: skip
    if dilated:
        rank = len(layer.weights["kernel"].shape) - 2
        settings["dilation_rate"] = tuple(at.get("dilation_rate") or [1] * rank)
    return settings


def _conv(maker: Maker, layer: Layer) -> Any:
    shape = layer.weights["kernel"].shape
    groups = int(layer.attributes.get("groups", 1))
    kind = layers.Conv1D if layer.kind == "conv1d" else layers.Conv2D
    made = kind(shape[-1], shape[:-2], groups=groups, **_window(layer))
    return maker.apply(layer, made, ("kernel", "bias"))


def _depthwise(maker: Maker, layer: Layer) -> Any:
    shape = layer.weights["kernel"].shape
    kind = layers.DepthwiseConv1D if layer.kind == "depthwise_conv1d" else layers.DepthwiseConv2D
    made = kind(shape[:-2], depth_multiplier=shape[-1], **_window(layer))
    return maker.apply(layer, made, ("kernel", "bias"))


def _conv_transpose(maker: Maker, layer: Layer) -> Any:
    shape = layer.weights["kernel"].shape
    kind = layers.Conv1DTranspose if layer.kind == "conv1d_transpose" else layers.Conv2DTranspose
    extra = layer.attributes.get("output_padding")
    extra = tuple(extra) if isinstance(extra, list) else extra
    made = kind(shape[-1], shape[:-2], output_padding=extra, **_window(layer, dilated=False))
    kernel = maker.weight(layer, "kernel")
    return maker.apply(layer, made, (np.swapaxes(kernel, -1, -2), "bias"))


def _batch_norm(maker: Maker, layer: Layer) -> Any:
    made = layers.BatchNormalization(
        axis=layer.attributes.get("axis", -1), epsilon=layer.attributes["epsilon"],
        center="beta" in layer.weights, scale="gamma" in layer.weights, name=named(layer),
    )  # fmt: skip
    return maker.apply(layer, made, ("gamma", "beta", "moving_mean", "moving_variance"))


def _scale(maker: Maker, layer: Layer) -> Any:
    """``x * scale + offset`` as a batch norm of mean 0 and variance 1, which compilers know."""
    epsilon = 2.0**-10  # variance + epsilon is 1 exactly
    scale, offset = maker.weight(layer, "scale"), maker.weight(layer, "offset")
    channels = layer.output_shape[-1] or 1
    made = layers.BatchNormalization(
        epsilon=epsilon, center=offset is not None, scale=scale is not None, name=named(layer)
    )
    mean, variance = np.zeros(channels, np.float32), np.full(channels, 1 - epsilon, np.float32)
    return maker.apply(layer, made, ("scale", "offset", mean, variance))


def _layer_norm(maker: Maker, layer: Layer) -> Any:
    made = layers.LayerNormalization(
        axis=layer.attributes.get("axis", [-1]), epsilon=layer.attributes["epsilon"],
        center="beta" in layer.weights, scale="gamma" in layer.weights, name=named(layer),
    )  # fmt: skip
    return maker.apply(layer, made, ("gamma", "beta"))


def _activation(maker: Maker, layer: Layer) -> Any:
    at = layer.attributes
    name = named(layer)
    if layer.kind == "relu":
        low, top = float(at.get("min_value") or 0), at.get("max_value")
        if low:
            return maker.function(layer, lambda x: ops.clip(x, low, 3.4e38 if top is None else top))
        if top is None:
            return maker.apply(layer, layers.ReLU(name=name))
        return maker.apply(layer, layers.ReLU(max_value=float(top), name=name))
    if layer.kind == "leaky_relu":
        return maker.apply(layer, layers.LeakyReLU(at.get("negative_slope", 0.2), name=name))
    if layer.kind == "elu":
        return maker.apply(layer, layers.ELU(alpha=at.get("alpha", 1.0), name=name))
    if layer.kind == "softmax":
        return maker.apply(layer, layers.Softmax(name=name))
    if layer.kind == "prelu":
        return _prelu(maker, layer)
    if layer.kind == "hard_sigmoid":
        slope, offset = at.get("slope", 1 / 6), at.get("offset", 0.5)
        return maker.function(layer, lambda x: ops.clip(slope * x + offset, 0.0, 1.0))
    if layer.kind == "hard_tanh":
        return maker.function(layer, lambda x: ops.clip(x, -1.0, 1.0))
    if layer.kind == "thresholded_relu":
        theta = at.get("theta", 1.0)
        return maker.function(layer, lambda x: ops.where(x > theta, x, 0.0))
    if layer.kind == "gelu":
        rough = bool(at.get("approximate", False))
        return maker.function(layer, lambda x: ops.gelu(x, approximate=rough))
    return maker.apply(layer, layers.Activation(layer.kind, name=name))


def _prelu(maker: Maker, layer: Layer) -> Any:
    alpha = maker.weight(layer, "alpha")
    rank = len(layer.output_shape)
    alpha = alpha.reshape((1,) * (rank - alpha.ndim) + alpha.shape)
    shared = [axis + 1 for axis, dim in enumerate(alpha.shape) if dim == 1]
    return maker.apply(layer, layers.PReLU(shared_axes=shared or None, name=named(layer)), (alpha,))


def _pool(maker: Maker, layer: Layer) -> Any:
    at = layer.attributes
    kind = {
        "max_pool1d": layers.MaxPooling1D, "max_pool2d": layers.MaxPooling2D,
        "avg_pool1d": layers.AveragePooling1D, "avg_pool2d": layers.AveragePooling2D,
    }[layer.kind]  # fmt: skip
    made = kind(
        tuple(at["pool_size"]),
        strides=tuple(at["strides"]),
        padding=at["padding"],
        name=named(layer),
    )
    return maker.apply(layer, made)


def _global_pool(maker: Maker, layer: Layer) -> Any:
    kind = {
        "global_avg_pool1d": layers.GlobalAveragePooling1D,
        "global_avg_pool2d": layers.GlobalAveragePooling2D,
        "global_max_pool1d": layers.GlobalMaxPooling1D,
        "global_max_pool2d": layers.GlobalMaxPooling2D,
    }[layer.kind]
    keep = bool(layer.attributes.get("keepdims", False))
    return maker.apply(layer, kind(keepdims=keep, name=named(layer)))


def _pad(maker: Maker, layer: Layer) -> Any:
    pairs = [tuple(pair) for pair in layer.attributes["padding"]]
    value = float(layer.attributes.get("value", 0.0))
    if value == 0 and pairs[-1] == (0, 0) and len(pairs) in (2, 3):
        made = (
            layers.ZeroPadding1D(pairs[0], name=named(layer))
            if len(pairs) == 2
            else layers.ZeroPadding2D(tuple(pairs[:2]), name=named(layer))
        )
        return maker.apply(layer, made)
    return maker.function(layer, lambda x: ops.pad(x, [(0, 0), *pairs], constant_values=value))


def _crop(maker: Maker, layer: Layer) -> Any:
    pairs = [tuple(pair) for pair in layer.attributes["cropping"]][:-1]
    made = (
        layers.Cropping1D(pairs[0], name=named(layer))
        if len(pairs) == 1
        else layers.Cropping2D(tuple(pairs), name=named(layer))
    )
    return maker.apply(layer, made)


def _upsample(maker: Maker, layer: Layer) -> Any:
    size = layer.attributes["size"]
    if len(size) == 1:
        return maker.apply(layer, layers.UpSampling1D(size[0], name=named(layer)))
    how = layer.attributes.get("interpolation", "nearest")
    made = layers.UpSampling2D(tuple(size), interpolation=how, name=named(layer))
    return maker.apply(layer, made)


def _resize(maker: Maker, layer: Layer) -> Any:
    at = layer.attributes

    def resize(x: Any) -> Any:
        import tensorflow as tf

        return tf.compat.v1.image.resize_bilinear(
            x, at["size"], align_corners=bool(at.get("align_corners")),
            half_pixel_centers=bool(at.get("half_pixel_centers")),
        )  # fmt: skip

    return maker.function(layer, resize)


def _slice(maker: Maker, layer: Layer) -> Any:
    at = layer.attributes
    index = (
        slice(None),
        *(slice(b, e, s) for b, e, s in zip(at["begin"], at["end"], at["strides"], strict=True)),
    )
    shape = tuple(-1 if dim is None else dim for dim in layer.output_shape)
    return maker.function(layer, lambda x: ops.reshape(x[index], (-1, *shape)))


def _reshape(maker: Maker, layer: Layer) -> Any:
    shape = tuple(-1 if dim is None else dim for dim in layer.output_shape)
    return maker.apply(layer, layers.Reshape(shape, name=named(layer)))


def _binary(plain: Any, function: Callable[..., Any]) -> Callable[[Maker, Layer], Any]:
    def make(maker: Maker, layer: Layer) -> Any:
        shapes = {maker.network[name].output_shape for name in layer.inputs}
        constant = any(isinstance(maker.tensors[name], np.ndarray) for name in layer.inputs)
        twice = len(set(layer.inputs)) < len(layer.inputs)
        if plain is None or constant or len(shapes) > 1 or twice:
            return maker.function(layer, lambda *items: _fold(function, items))
        return maker.apply(layer, plain(name=named(layer)))

    return make


def _fold(function: Callable[..., Any], items: Sequence[Any]) -> Any:
    result = items[0]
    for item in items[1:]:
        result = function(result, item)
    return result


def _concat(maker: Maker, layer: Layer) -> Any:
    axis = int(layer.attributes.get("axis", -1))
    if any(isinstance(maker.tensors[name], np.ndarray) for name in layer.inputs):
        return maker.function(layer, lambda *items: _concat_constants(items, axis))
    return maker.apply(layer, layers.Concatenate(axis=axis, name=named(layer)))


def _concat_constants(items: Sequence[Any], axis: int) -> Any:
    batch = ops.shape(next(item for item in items if not isinstance(item, np.ndarray)))[0]
    whole = [
        ops.broadcast_to(item[None], (batch, *item.shape)) if isinstance(item, np.ndarray) else item
        for item in items
    ]
    return ops.concatenate(whole, axis=axis)


def _matmul(maker: Maker, layer: Layer) -> Any:
    at = layer.attributes

    def multiply(a: Any, b: Any) -> Any:
        a = ops.swapaxes(a, -1, -2) if at.get("transpose_a") else a
        b = ops.swapaxes(b, -1, -2) if at.get("transpose_b") else b
        return ops.matmul(a, b)

    return maker.function(layer, multiply)


def _reduce(function: Callable[..., Any]) -> Callable[[Maker, Layer], Any]:
    def make(maker: Maker, layer: Layer) -> Any:
        axes = tuple(layer.attributes["axis"])
        keep = bool(layer.attributes.get("keepdims", False))
        return maker.function(layer, lambda x: function(x, axis=axes, keepdims=keep))

    return make


def _recurrent(maker: Maker, layer: Layer) -> Any:
    at = layer.attributes
    settings: dict[str, Any] = {
        "return_sequences": at["return_sequences"], "go_backwards": at.get("go_backwards", False),
        "activation": at.get("activation", "tanh"), "use_bias": "bias" in layer.weights,
        "name": named(layer),
    }  # fmt: skip
    kind = {"lstm": layers.LSTM, "gru": layers.GRU, "simple_rnn": layers.SimpleRNN}[layer.kind]
    if layer.kind != "simple_rnn":
        settings["recurrent_activation"] = at.get("recurrent_activation", "sigmoid")
    if layer.kind == "gru":
        settings["reset_after"] = at.get("reset_after", True)
    made = kind(int(at["units"]), **settings)
    return maker.apply(layer, made, ("kernel", "recurrent_kernel", "bias"))


def _embedding(maker: Maker, layer: Layer) -> Any:
    rows, width = layer.weights["embeddings"].shape
    return maker.apply(layer, layers.Embedding(rows, width, name=named(layer)), ("embeddings",))


def _constant(maker: Maker, layer: Layer) -> Any:
    return maker.weight(layer, "value")


def _quantize(maker: Maker, layer: Layer) -> Any:
    if maker.quantize and layer.quantizer is not None:
        return maker.apply(layer, maker.rounding(layer, named(layer)))
    return _identity(maker, layer)


def _identity(maker: Maker, layer: Layer) -> Any:
    return maker.apply(layer, layers.Activation("linear", name=named(layer)))


def _simple(kind: Any) -> Callable[[Maker, Layer], Any]:
    return lambda maker, layer: maker.apply(layer, kind(name=named(layer)))


def _permute(maker: Maker, layer: Layer) -> Any:
    return maker.apply(layer, layers.Permute(tuple(layer.attributes["dims"]), name=named(layer)))


MAKERS: dict[str, Callable[[Maker, Layer], Any]] = {
    "input": _input,
    "dense": _dense,
    **dict.fromkeys(["conv1d", "conv2d"], _conv),
    **dict.fromkeys(["depthwise_conv1d", "depthwise_conv2d"], _depthwise),
    **dict.fromkeys(["conv1d_transpose", "conv2d_transpose"], _conv_transpose),
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "scale": _scale,
    **dict.fromkeys(ACTIVATIONS, _activation),
    **dict.fromkeys(["max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d"], _pool),
    **dict.fromkeys(
        ["global_avg_pool1d", "global_avg_pool2d", "global_max_pool1d", "global_max_pool2d"],
        _global_pool,
    ),
    "flatten": _simple(layers.Flatten),
    "reshape": _reshape,
    "transpose": _permute,
    "pad": _pad,
    "crop": _crop,
    "upsample": _upsample,
    "resize_bilinear": _resize,
    "slice": _slice,
    "concat": _concat,
    "add": _binary(layers.Add, lambda a, b: a + b),
    "sub": _binary(layers.Subtract, lambda a, b: a - b),
    "mul": _binary(layers.Multiply, lambda a, b: a * b),
    "div": _binary(None, lambda a, b: a / b),
    "maximum": _binary(layers.Maximum, ops.maximum),
    "minimum": _binary(layers.Minimum, ops.minimum),
    "average": _simple(layers.Average),
    "matmul": _matmul,
    "mean": _reduce(ops.mean),
    "max": _reduce(ops.max),
    "sum": _reduce(ops.sum),
    **dict.fromkeys(["lstm", "gru", "simple_rnn"], _recurrent),
    "embedding": _embedding,
    "constant": _constant,
    "quantize": _quantize,
    "dequantize": _identity,
    "identity": _identity,
}
