"""From a Network and its weights to a plain Keras 3 model that computes the same.

Runs in `keras`. Used where only a Network is at hand: retraining, TFLite from ONNX, references.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from edgeflow.errors import UnsupportedError
from edgeflow.frontends.folder_job import Arrays, clean_name, load_arrays, read_inputs, write_golden
from edgeflow.frontends.rounding_job import Rounding
from edgeflow.network import ACTIVATIONS, Layer, Network

Weights = Mapping[str, np.ndarray[Any, Any]]


def build(network: Network, weights: Weights, *, quantize: bool = False) -> keras.Model:
    """The Keras model: layers named as in the Network, inputs in its order, weights set.

    Args:
        network: what to build.
        weights: arrays ``LAYER/ROLE`` (the model folder's ``weights.npz``).
        quantize: round activations as the Network's quantisers say, so that it computes what the
            quantised source computes (weights are rounded already). The layer that rounds the
            output of NAME is named ``NAME_rounding``.

    Raises:
        UnsupportedError: naming every layer that Keras has no counterpart for.
    """
    refused = [
        f"layer '{layer.name}': {layer.attributes.get('type', layer.kind)}"
        for layer in network.layers
        if layer.kind not in _MAKERS or layer.kind == "opaque"
    ]
    if refused:
        raise UnsupportedError(
            "Keras has no counterpart for some layers",
            details=refused,
            remedy="replace them, or use a backend that reads the model's own file",
        )
    maker = _Maker(network, weights, quantize)
    for layer in network.layers:
        maker.add(layer)
    inputs = [maker.inputs[name] for name in network.inputs]
    outputs = [maker.output(name) for name in network.outputs]
    model = keras.Model(
        inputs[0] if len(inputs) == 1 else inputs,
        outputs[0] if len(outputs) == 1 else outputs,
        name=clean_name(network.name),
    )
    for made, values in maker.to_set:
        made.set_weights(values)
    return model


def predict(
    inputs: dict[str, Path], params: dict[str, Any], output: Path, progress: Any
) -> dict[str, Any]:
    """Outputs of a model that exists as a Network only, its quantisers honoured."""
    folder = inputs["model"]
    network = Network.load(folder / "network.json")
    model = build(network, load_arrays(folder / "weights.npz"), quantize=True)
    x = _fitted(read_inputs(inputs["x"]), model)
    progress(0, len(x))
    y = compute(model, x)
    count = min(int(params.get("trace", 8)), 16, len(x))
    return write_golden(output, x, y, trace(network, model, x[:count]) if count else {})


def compute(model: keras.Model, x: np.ndarray[Any, Any], batch: int = 256) -> np.ndarray[Any, Any]:
    """The model's output (several are flattened and joined) for all of `x`."""
    import tensorflow as tf

    function = tf.function(lambda part: model(part, training=False))
    parts = []
    for start in range(0, len(x), batch):
        found = function(tf.constant(np.asarray(x[start : start + batch], np.float32)))
        found = [
            np.asarray(item) for item in (found if isinstance(found, list | tuple) else [found])
        ]
        parts.append(
            found[0]
            if len(found) == 1
            else np.concatenate([f.reshape(len(f), -1) for f in found], 1)
        )
    return np.concatenate(parts)


def trace(network: Network, model: keras.Model, x: np.ndarray[Any, Any]) -> Arrays:
    """The output of each layer of the Network, rounded where its quantiser rounds it."""
    made = {layer.name: layer for layer in model.layers}
    outputs = {}
    for layer in network.layers:
        found = made.get(f"{layer.name}_rounding") or made.get(clean_name(layer.name))
        if found is not None:
            outputs[layer.name] = found.output
    values = keras.Model(model.inputs, outputs)(np.asarray(x, np.float32), training=False)
    return {name: np.asarray(value) for name, value in values.items()}


def _fitted(x: np.ndarray[Any, Any], model: keras.Model) -> np.ndarray[Any, Any]:
    shape = tuple(model.inputs[0].shape)[1:]
    if None not in shape and x.shape[1:] != shape and np.prod(x.shape[1:]) == np.prod(shape):
        return x.reshape(len(x), *shape)
    return x


class Function(layers.Layer):  # type: ignore[misc]
    """A layer around a function of tensors, for what Keras has no layer for."""

    def __init__(self, function: Callable[..., Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.function = function

    def call(self, *tensors: Any) -> Any:
        """Apply the function."""
        return self.function(*tensors)


class _Maker:
    def __init__(self, network: Network, weights: Weights, quantize: bool) -> None:
        self.network = network
        self.weights = weights
        self.quantize = quantize
        self.tensors: dict[str, Any] = {}
        self.inputs: dict[str, Any] = {}  # before any rounding
        self.to_set: list[tuple[Any, list[Any]]] = []

    def add(self, layer: Layer) -> None:
        result = _MAKERS[layer.kind](self, layer)
        if layer.kind == "input":
            self.inputs[layer.name] = result
        if (
            self.quantize
            and layer.quantizer is not None
            and layer.kind not in ("constant", "quantize")
        ):
            result = self.rounding(layer, f"{clean_name(layer.name)}_rounding")(result)
        self.tensors[layer.name] = result

    def output(self, name: str) -> Any:
        tensor = self.tensors[name]
        if isinstance(tensor, np.ndarray):
            raise UnsupportedError(f"the output '{name}' is a constant")
        return tensor

    def rounding(self, layer: Layer, name: str) -> Rounding:
        by_element = {
            part: self.weights[f"{layer.name}/@{part}"]
            for part in ("signed", "integer", "fraction")
            if f"{layer.name}/@{part}" in self.weights
        }
        assert layer.quantizer is not None
        return Rounding(layer.quantizer, by_element, layer.attributes.get("threshold"), name=name)

    def weight(self, layer: Layer, role: str) -> Any:
        found = self.weights.get(f"{layer.name}/{role}")
        return None if found is None else np.asarray(found, np.float32)

    def apply(self, layer: Layer, made: Any, roles: Sequence[Any] = ()) -> Any:
        """Call a Keras layer on the inputs and remember the weights to set."""
        arrays = [self.weight(layer, role) if isinstance(role, str) else role for role in roles]
        given = [self.tensors[name] for name in layer.inputs]
        constants = [item for item in given if isinstance(item, np.ndarray)]
        if constants and not isinstance(made, Function):
            given = [ops.convert_to_tensor(item) for item in given]
        result = made(given[0] if len(given) == 1 else given)
        if roles:
            self.to_set.append((made, [array for array in arrays if array is not None]))
        return result

    def function(self, layer: Layer, function: Callable[..., Any]) -> Any:
        """Apply a function; constants among the inputs are captured by it."""
        given = [self.tensors[name] for name in layer.inputs]
        live = [item for item in given if not isinstance(item, np.ndarray)]
        if not live:
            return np.asarray(function(*given))

        def call(*tensors: Any) -> Any:
            rest = list(tensors)
            return function(*(g if isinstance(g, np.ndarray) else rest.pop(0) for g in given))

        return Function(call, name=clean_name(layer.name))(*live)


def _named(layer: Layer) -> str:
    return clean_name(layer.name)


def _input(_: _Maker, layer: Layer) -> Any:
    return keras.Input(layer.output_shape, name=_named(layer), dtype="float32")


def _dense(maker: _Maker, layer: Layer) -> Any:
    units = layer.weights["kernel"].shape[-1]
    made = layers.Dense(units, use_bias="bias" in layer.weights, name=_named(layer))
    return maker.apply(layer, made, ("kernel", "bias"))


def _conv(maker: _Maker, layer: Layer) -> Any:
    shape = layer.weights["kernel"].shape
    at = layer.attributes
    kind = layers.Conv1D if layer.kind == "conv1d" else layers.Conv2D
    made = kind(
        shape[-1], shape[:-2], strides=tuple(at["strides"]), padding=at["padding"],
        dilation_rate=tuple(at.get("dilation_rate") or [1] * (len(shape) - 2)),
        groups=int(at.get("groups", 1)), use_bias="bias" in layer.weights, name=_named(layer),
    )  # fmt: skip
    return maker.apply(layer, made, ("kernel", "bias"))


def _depthwise(maker: _Maker, layer: Layer) -> Any:
    shape = layer.weights["kernel"].shape
    at = layer.attributes
    kind = layers.DepthwiseConv1D if layer.kind == "depthwise_conv1d" else layers.DepthwiseConv2D
    made = kind(
        shape[:-2], strides=tuple(at["strides"]), padding=at["padding"],
        depth_multiplier=shape[-1], use_bias="bias" in layer.weights,
        dilation_rate=tuple(at.get("dilation_rate") or [1] * (len(shape) - 2)), name=_named(layer),
    )  # fmt: skip
    return maker.apply(layer, made, ("kernel", "bias"))


def _conv_transpose(maker: _Maker, layer: Layer) -> Any:
    shape = layer.weights["kernel"].shape
    at = layer.attributes
    kind = layers.Conv1DTranspose if layer.kind == "conv1d_transpose" else layers.Conv2DTranspose
    extra = at.get("output_padding")
    made = kind(
        shape[-1], shape[:-2], strides=tuple(at["strides"]), padding=at["padding"],
        output_padding=tuple(extra) if isinstance(extra, list) else extra,
        use_bias="bias" in layer.weights, name=_named(layer),
    )  # fmt: skip
    kernel = maker.weight(layer, "kernel")
    return maker.apply(layer, made, (np.swapaxes(kernel, -1, -2), "bias"))


def _batch_norm(maker: _Maker, layer: Layer) -> Any:
    made = layers.BatchNormalization(
        axis=layer.attributes.get("axis", -1), epsilon=layer.attributes["epsilon"],
        center="beta" in layer.weights, scale="gamma" in layer.weights, name=_named(layer),
    )  # fmt: skip
    return maker.apply(layer, made, ("gamma", "beta", "moving_mean", "moving_variance"))


def _scale(maker: _Maker, layer: Layer) -> Any:
    """``x * scale + offset`` as a batch norm of mean 0 and variance 1, which compilers know."""
    epsilon = 2.0**-10  # variance + epsilon is 1 exactly
    scale, offset = maker.weight(layer, "scale"), maker.weight(layer, "offset")
    channels = layer.output_shape[-1] or 1
    made = layers.BatchNormalization(
        epsilon=epsilon, center=offset is not None, scale=scale is not None, name=_named(layer)
    )
    mean, variance = np.zeros(channels, np.float32), np.full(channels, 1 - epsilon, np.float32)
    return maker.apply(layer, made, ("scale", "offset", mean, variance))


def _layer_norm(maker: _Maker, layer: Layer) -> Any:
    made = layers.LayerNormalization(
        axis=layer.attributes.get("axis", [-1]), epsilon=layer.attributes["epsilon"],
        center="beta" in layer.weights, scale="gamma" in layer.weights, name=_named(layer),
    )  # fmt: skip
    return maker.apply(layer, made, ("gamma", "beta"))


def _activation(maker: _Maker, layer: Layer) -> Any:
    at = layer.attributes
    name = _named(layer)
    if layer.kind == "relu":
        low, top = float(at.get("min_value") or 0), at.get("max_value")
        if low:
            return maker.function(layer, lambda x: ops.clip(x, low, top or 3.4e38))
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


def _prelu(maker: _Maker, layer: Layer) -> Any:
    alpha = maker.weight(layer, "alpha")
    rank = len(layer.output_shape)
    alpha = alpha.reshape((1,) * (rank - alpha.ndim) + alpha.shape)
    shared = [axis + 1 for axis, dim in enumerate(alpha.shape) if dim == 1]
    return maker.apply(
        layer, layers.PReLU(shared_axes=shared or None, name=_named(layer)), (alpha,)
    )


def _pool(maker: _Maker, layer: Layer) -> Any:
    at = layer.attributes
    kind = {
        "max_pool1d": layers.MaxPooling1D, "max_pool2d": layers.MaxPooling2D,
        "avg_pool1d": layers.AveragePooling1D, "avg_pool2d": layers.AveragePooling2D,
    }[layer.kind]  # fmt: skip
    made = kind(
        tuple(at["pool_size"]),
        strides=tuple(at["strides"]),
        padding=at["padding"],
        name=_named(layer),
    )
    return maker.apply(layer, made)


def _global_pool(maker: _Maker, layer: Layer) -> Any:
    kind = {
        "global_avg_pool1d": layers.GlobalAveragePooling1D,
        "global_avg_pool2d": layers.GlobalAveragePooling2D,
        "global_max_pool1d": layers.GlobalMaxPooling1D,
        "global_max_pool2d": layers.GlobalMaxPooling2D,
    }[layer.kind]
    keep = bool(layer.attributes.get("keepdims", False))
    return maker.apply(layer, kind(keepdims=keep, name=_named(layer)))


def _pad(maker: _Maker, layer: Layer) -> Any:
    pairs = [tuple(pair) for pair in layer.attributes["padding"]]
    value = float(layer.attributes.get("value", 0.0))
    if value == 0 and pairs[-1] == (0, 0) and len(pairs) in (2, 3):
        made = (
            layers.ZeroPadding1D(pairs[0], name=_named(layer))
            if len(pairs) == 2
            else layers.ZeroPadding2D(tuple(pairs[:2]), name=_named(layer))
        )
        return maker.apply(layer, made)
    return maker.function(layer, lambda x: ops.pad(x, [(0, 0), *pairs], constant_values=value))


def _crop(maker: _Maker, layer: Layer) -> Any:
    pairs = [tuple(pair) for pair in layer.attributes["cropping"]][:-1]
    made = (
        layers.Cropping1D(pairs[0], name=_named(layer))
        if len(pairs) == 1
        else layers.Cropping2D(tuple(pairs), name=_named(layer))
    )
    return maker.apply(layer, made)


def _upsample(maker: _Maker, layer: Layer) -> Any:
    size = layer.attributes["size"]
    if len(size) == 1:
        return maker.apply(layer, layers.UpSampling1D(size[0], name=_named(layer)))
    how = layer.attributes.get("interpolation", "nearest")
    made = layers.UpSampling2D(tuple(size), interpolation=how, name=_named(layer))
    return maker.apply(layer, made)


def _resize(maker: _Maker, layer: Layer) -> Any:
    at = layer.attributes

    def resize(x: Any) -> Any:
        import tensorflow as tf

        return tf.compat.v1.image.resize_bilinear(
            x, at["size"], align_corners=bool(at.get("align_corners")),
            half_pixel_centers=bool(at.get("half_pixel_centers")),
        )  # fmt: skip

    return maker.function(layer, resize)


def _slice(maker: _Maker, layer: Layer) -> Any:
    at = layer.attributes
    index = (
        slice(None),
        *(slice(b, e, s) for b, e, s in zip(at["begin"], at["end"], at["strides"], strict=True)),
    )
    shape = tuple(-1 if dim is None else dim for dim in layer.output_shape)
    return maker.function(layer, lambda x: ops.reshape(x[index], (-1, *shape)))


def _reshape(maker: _Maker, layer: Layer) -> Any:
    shape = tuple(-1 if dim is None else dim for dim in layer.output_shape)
    return maker.apply(layer, layers.Reshape(shape, name=_named(layer)))


def _binary(plain: Any, function: Callable[..., Any]) -> Callable[[_Maker, Layer], Any]:
    def make(maker: _Maker, layer: Layer) -> Any:
        shapes = {maker.network[name].output_shape for name in layer.inputs}
        constant = any(isinstance(maker.tensors[name], np.ndarray) for name in layer.inputs)
        twice = len(set(layer.inputs)) < len(layer.inputs)
        if plain is None or constant or len(shapes) > 1 or twice:
            return maker.function(layer, lambda *items: _fold(function, items))
        return maker.apply(layer, plain(name=_named(layer)))

    return make


def _fold(function: Callable[..., Any], items: Sequence[Any]) -> Any:
    result = items[0]
    for item in items[1:]:
        result = function(result, item)
    return result


def _concat(maker: _Maker, layer: Layer) -> Any:
    axis = int(layer.attributes.get("axis", -1))
    if any(isinstance(maker.tensors[name], np.ndarray) for name in layer.inputs):
        return maker.function(layer, lambda *items: _concat_constants(items, axis))
    return maker.apply(layer, layers.Concatenate(axis=axis, name=_named(layer)))


def _concat_constants(items: Sequence[Any], axis: int) -> Any:
    batch = ops.shape(next(item for item in items if not isinstance(item, np.ndarray)))[0]
    whole = [
        ops.broadcast_to(item[None], (batch, *item.shape)) if isinstance(item, np.ndarray) else item
        for item in items
    ]
    return ops.concatenate(whole, axis=axis)


def _matmul(maker: _Maker, layer: Layer) -> Any:
    at = layer.attributes

    def multiply(a: Any, b: Any) -> Any:
        a = ops.swapaxes(a, -1, -2) if at.get("transpose_a") else a
        b = ops.swapaxes(b, -1, -2) if at.get("transpose_b") else b
        return ops.matmul(a, b)

    return maker.function(layer, multiply)


def _reduce(function: Callable[..., Any]) -> Callable[[_Maker, Layer], Any]:
    def make(maker: _Maker, layer: Layer) -> Any:
        axes = tuple(layer.attributes["axis"])
        keep = bool(layer.attributes.get("keepdims", False))
        return maker.function(layer, lambda x: function(x, axis=axes, keepdims=keep))

    return make


def _recurrent(maker: _Maker, layer: Layer) -> Any:
    at = layer.attributes
    settings: dict[str, Any] = {
        "return_sequences": at["return_sequences"], "go_backwards": at.get("go_backwards", False),
        "activation": at.get("activation", "tanh"), "use_bias": "bias" in layer.weights,
        "name": _named(layer),
    }  # fmt: skip
    kind = {"lstm": layers.LSTM, "gru": layers.GRU, "simple_rnn": layers.SimpleRNN}[layer.kind]
    if layer.kind != "simple_rnn":
        settings["recurrent_activation"] = at.get("recurrent_activation", "sigmoid")
    if layer.kind == "gru":
        settings["reset_after"] = at.get("reset_after", True)
    made = kind(int(at["units"]), **settings)
    return maker.apply(layer, made, ("kernel", "recurrent_kernel", "bias"))


def _embedding(maker: _Maker, layer: Layer) -> Any:
    rows, width = layer.weights["embeddings"].shape
    return maker.apply(layer, layers.Embedding(rows, width, name=_named(layer)), ("embeddings",))


def _constant(maker: _Maker, layer: Layer) -> Any:
    return maker.weight(layer, "value")


def _quantize(maker: _Maker, layer: Layer) -> Any:
    if maker.quantize and layer.quantizer is not None:
        return maker.apply(layer, maker.rounding(layer, _named(layer)))
    return _identity(maker, layer)


def _identity(maker: _Maker, layer: Layer) -> Any:
    return maker.apply(layer, layers.Activation("linear", name=_named(layer)))


def _simple(kind: Any) -> Callable[[_Maker, Layer], Any]:
    return lambda maker, layer: maker.apply(layer, kind(name=_named(layer)))


def _permute(maker: _Maker, layer: Layer) -> Any:
    return maker.apply(layer, layers.Permute(tuple(layer.attributes["dims"]), name=_named(layer)))


_MAKERS: dict[str, Callable[[_Maker, Layer], Any]] = {
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
