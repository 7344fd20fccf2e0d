"""Quantisation-aware retraining for TFLite's int8 arithmetic, in Keras 3.

The rules are those of the TFLite 8-bit quantisation specification
(https://ai.google.dev/edge/litert/models/quantization_spec): convolution kernels symmetric per
output channel in [-127, 127], dense kernels symmetric per tensor, activations affine per tensor in
[-128, 127], biases int32 with the scale of input times kernel; an activation that is fused into
the layer before is rounded once, after it; pooling, reshaping and concatenation keep their input's
scale; softmax and sigmoid give 1/256 and zero point -128, tanh 1/128 and 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from edgeflow.compress import fit_job, graph_job
from edgeflow.compress.begin_job import begin
from edgeflow.compress.fixed_job import sample
from edgeflow.compress.graph_job import FOLDABLE, PASSIVE, Array, Graph, quantized
from edgeflow.network import Layer, Network, Quantizer

POOLS: Final = frozenset(["avg_pool1d", "avg_pool2d", "upsample"])
"""Kinds that keep their input's scale though they compute new values: rounded again."""
FUSING: Final = FOLDABLE | {"add", "sub", "mul"}
"""Kinds into which TFLite fuses a relu that alone reads them."""
GIVEN: Final = {"softmax": (1 / 256, -128), "sigmoid": (1 / 256, -128), "tanh": (1 / 128, 0)}
"""Scale and zero point that TFLite prescribes."""
KINDS: Final = (
    FOLDABLE
    | PASSIVE
    | POOLS
    | frozenset(GIVEN)
    | {"input", "relu", "leaky_relu", "concat", "global_avg_pool1d", "global_avg_pool2d"}
    | {"add", "sub", "mul", "maximum", "minimum"}
)
MOMENTUM: Final = 0.99  # of the running least and largest values, per batch
FLOOR: Final = 1e-4
"""Least scale of a channel relative to the largest channel's: a dead channel's bias must still
fit into int32."""


def retrain(
    inputs: Mapping[str, Path],
    params: Mapping[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Job: retrain a float model with int8 rounding in the loop. Runs in the toolchain ``keras``.

    ``inputs``: ``model`` (Model folder of any front end), ``data`` (dataset folder). ``params``:
    those of `fit_job.Settings`. Leaves a Model folder of format ``network``: every kernel, bias
    and activation of its Network has an affine Quantizer (but for what is fused into a relu),
    and the weights are as rounded. Kernel quantisers have ``axis`` and one scale per channel
    there, or one scale for the whole of a dense kernel. A softmax at the end stays.

    Returns:
        ``epochs``, ``best_epoch``, ``test_accuracy`` (or ``test_mse``), ``weight_bits`` and
        ``activation_bits`` by layer.

    Raises:
        UnsupportedError: every layer without an int8 counterpart.
        DataError: the dataset does not fit.
    """
    import keras

    begun = begin(keras, inputs, params, KINDS, "int8")
    graph, data = begun.graph, begun.data
    roots = groups(graph.network)
    ranges = _ranges(keras, graph, roots, data.x)
    model = graph_job.build(keras, graph, lambda layer: twin(keras, layer, roots, ranges))
    last = graph.network[graph.network.outputs[0]].kind
    history = fit_job.fit(keras, model, data, last, begun.settings, progress)
    found = {
        root: affine(float(layer.low.numpy()), float(layer.high.numpy()))
        for root, layer in ranges.items()
    }
    result = fit_job.outcome(model, data, last, history)
    weights = graph_job.get_arrays(model, graph.network)
    done = describe(Graph(begun.whole.network, weights), roots, found)
    arrays = graph_job.flat(done.weights)
    graph_job.write(output, done.network, arrays, "network", [], history)
    return {**result, **graph_job.widths(done.network)}


def groups(network: Network) -> dict[str, str | None]:
    """For each layer, the name of the group whose scale its output has; None if not rounded."""
    parent = {layer.name: layer.name for layer in network}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    for layer in network:
        if layer.kind in PASSIVE | POOLS | {"concat"}:
            for name in layer.inputs:
                parent[root(layer.name)] = root(name)
    return {layer.name: None if _fused(layer, network) else root(layer.name) for layer in network}


def _fused(layer: Layer, network: Network) -> bool:
    readers = network.consumers[layer.name]
    return (
        layer.kind in FUSING
        and layer.name not in network.outputs
        and len(readers) == 1
        and readers[0].kind == "relu"
    )


def affine(low: float, high: float) -> tuple[np.float32, int]:
    """Scale and zero point of int8 for values from `low` to `high`; 0 is exactly representable."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32(max(high - low, 1e-6)) / np.float32(255)
    return scale, int(np.clip(np.round(-128 - low / scale), -128, 127))


def kernel_scale(kernel: Array, kind: str) -> tuple[Array, int | None]:
    """Scales of a kernel and the axis along which they are (None: one for the whole kernel).

    A depthwise kernel has one per output channel: channels x multiplier of them.
    """
    if kind == "dense":
        largest, axis = np.abs(kernel).max().reshape(1), None
    else:
        depthwise = kind.startswith("depthwise")
        axis = kernel.ndim - (2 if depthwise else 1)
        largest = np.abs(kernel).max(axis=tuple(range(axis))).ravel()
    largest = np.maximum(largest, max(float(largest.max()) * FLOOR, 1e-8))
    return (largest / np.float32(127)).astype(np.float32), axis


def _ranges(keras: Any, graph: Graph, roots: Mapping[str, str | None], x: Array) -> dict[str, Any]:
    """The layer that rounds, for each group, started with the float model's values."""
    traces = graph_job.traces(keras, graph, sample(x))
    limits: dict[str, tuple[float, float]] = {}
    for layer in graph.network:
        root = roots[layer.name]
        if root is not None:
            values = traces[layer.name]
            low, high = limits.get(root, (0.0, 0.0))
            limits[root] = min(low, float(values.min())), max(high, float(values.max()))
    make = rounding_layer(keras)
    made = {}
    for root, (low, high) in limits.items():
        kind = graph.network[root].kind
        if kind in GIVEN:
            scale, zero = GIVEN[kind]
            given = ((-128 - zero) * scale, (127 - zero) * scale)
            made[root] = make(*given, follow=False, name=f"{root}_range")
        else:
            made[root] = make(low, high, follow=True, name=f"{root}_range")
    return made


def rounding_layer(keras: Any) -> Any:
    """The class of the Keras layer that rounds to int8 and follows the range of its inputs."""
    ops = keras.ops

    class Rounding(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, low: float, high: float, follow: bool, name: str) -> None:
            super().__init__(name=name)
            constant = keras.initializers.Constant
            self.follow = follow
            self.low = self.add_weight(
                shape=(), initializer=constant(min(low, 0.0)), trainable=False, name="low"
            )
            self.high = self.add_weight(
                shape=(), initializer=constant(max(high, 0.0)), trainable=False, name="high"
            )

        def call(self, x: Any, training: bool | None = None) -> Any:
            if training and self.follow:
                low = ops.minimum(ops.min(x), 0.0)
                high = ops.maximum(ops.max(x), 0.0)
                self.low.assign(self.low + (1 - MOMENTUM) * (low - self.low))
                self.high.assign(self.high + (1 - MOMENTUM) * (high - self.high))
            scale = ops.maximum(self.high - self.low, 1e-6) / 255.0
            zero = ops.clip(ops.round(-128.0 - self.low / scale), -128.0, 127.0)
            inside = ops.clip(x, (-128.0 - zero) * scale, (127.0 - zero) * scale)
            level = ops.clip(ops.round(x / scale) + zero, -128.0, 127.0)
            return inside + ops.stop_gradient((level - zero) * scale - inside)

    return Rounding


def twin(
    keras: Any, layer: Layer, roots: Mapping[str, str | None], ranges: Mapping[str, Any]
) -> Callable[[Any], Any]:
    """What computes this layer with rounded weights, and rounds its output where TFLite does."""
    made = _weighted(keras, layer) if layer.weights else graph_job.plain(keras, layer)
    root = roots[layer.name]
    if root is None or layer.kind in PASSIVE - POOLS | {"concat"}:
        return made  # type: ignore[no-any-return]
    return lambda x: ranges[root](made(x))


def _weighted(keras: Any, layer: Layer) -> Any:
    """A dense or convolution layer whose kernel is rounded when it is used."""
    ops = keras.ops
    base = type(graph_job.plain(keras, layer))
    kind = layer.kind
    rank = len(layer.weights["kernel"].shape)
    channels = {"dense": 0}.get(kind, 2 if kind.startswith("depthwise") else 1)
    window = tuple(range(rank - channels))

    class Rounded(base):  # type: ignore[misc,valid-type]
        def call(self, x: Any, training: bool | None = None) -> Any:  # noqa: ARG002
            kernel = graph_job.variables(self)["kernel"]
            largest = ops.max(ops.abs(kernel), axis=window, keepdims=True)
            largest = ops.maximum(largest, ops.maximum(ops.max(largest) * FLOOR, 1e-8))
            scale = ops.stop_gradient(largest / 127.0)
            rounded = ops.clip(ops.round(kernel / scale), -127.0, 127.0) * scale
            kernel = kernel + ops.stop_gradient(rounded - kernel)
            if kind == "dense":
                y = ops.matmul(x, kernel)
            elif kind.startswith("depthwise"):
                y = ops.depthwise_conv(
                    x, kernel, self.strides, self.padding, self.data_format, self.dilation_rate
                )
            else:
                y = self.convolution_op(x, kernel)
            return y if self.bias is None else y + self.bias

    plain = graph_job.plain(keras, layer)
    return Rounded.from_config(plain.get_config())


def describe(
    graph: Graph, roots: Mapping[str, str | None], found: Mapping[str, tuple[np.float32, int]]
) -> Graph:
    """The Graph with its Quantizers, and its weights rounded by them."""
    outputs: dict[str, Quantizer | None] = {}
    weights: dict[str, dict[str, Array]] = {}
    layers = []
    for layer in graph.network:
        if layer.name not in roots:  # the softmax at the end, which was not trained
            outputs[layer.name] = _activation(*GIVEN[layer.kind])
        else:
            root = roots[layer.name]
            outputs[layer.name] = None if root is None else _activation(*found[root])
        quantizers: dict[str, Quantizer] = {}
        if layer.weights:
            arrays = graph.weights[layer.name]
            scale, axis = kernel_scale(arrays["kernel"], layer.kind)
            source = outputs[layer.inputs[0]]
            quantizers["kernel"] = _symmetric(8, scale, axis)
            weights[layer.name] = {"kernel": _rounded(arrays["kernel"], scale, axis, 127)}
            if "bias" in arrays and source is not None and source.scale is not None:
                both = scale * np.float32(source.scale[0])
                quantizers["bias"] = _symmetric(32, both, 0 if axis is not None else None)
                weights[layer.name]["bias"] = _rounded(
                    arrays["bias"], both, quantizers["bias"].axis, 2**31 - 1
                )
        layers.append(quantized(layer, quantizers, outputs[layer.name]))
    network = replace(graph.network, layers=tuple(layers))
    return Graph(network, weights).with_weights(weights)


def _activation(scale: float | np.float32, zero: int) -> Quantizer:
    return Quantizer("affine", 8, scale=(float(scale),), zero_point=(zero,))


def _symmetric(bits: int, scale: Array, axis: int | None) -> Quantizer:
    zeros = (0,) * len(scale)
    values = tuple(float(value) for value in scale)
    return Quantizer("affine", bits, narrow=True, scale=values, zero_point=zeros, axis=axis)


def _rounded(values: Array, scale: Array, axis: int | None, limit: int) -> Array:
    step = scale.astype(np.float64)
    if axis is not None:  # every axis from it on has its own scales
        step = step.reshape(values.shape[axis:])
    level = np.clip(np.round(values / step), -limit, limit)
    return np.asarray(level * step, np.float32)
