"""Each kind of layer as ONNX nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from edgeflow.backends.onnxruntime import recurrent_job, windows_job
from edgeflow.backends.onnxruntime.graph_job import FIRST, LAST, Array, Graph, moved, to_first
from edgeflow.network import Layer

Make = Callable[[Graph, Layer], None]


class Weigh(Protocol):
    """How kernels and biases are stored."""

    def kernel(self, graph: Graph, layer: Layer, values: Array, axis: int) -> str:
        """The tensor of a kernel in ONNX' order; `axis` is that of its output channels."""
        ...

    def bias(self, graph: Graph, layer: Layer, values: Array) -> str:
        """The tensor of a bias, one number per output channel."""
        ...


class Plain:
    """float32, as the model has them."""

    def kernel(self, graph: Graph, layer: Layer, values: Array, axis: int) -> str:  # noqa: ARG002
        """An initializer."""
        return graph.constant(values, f"{layer.name}.kernel")

    def bias(self, graph: Graph, layer: Layer, values: Array) -> str:
        """An initializer."""
        return graph.constant(values, f"{layer.name}.bias")


def weighted(graph: Graph, layer: Layer, weigh: Weigh) -> None:
    """A dense layer or a convolution."""
    values, bias = graph.weight(layer, "kernel"), graph.weight(layer, "bias")
    assert values is not None
    if layer.kind == "dense":
        _dense(graph, layer, values, bias, weigh)
        return
    laid, axis = windows_job.kernel_of(layer, values)
    kernel = weigh.kernel(graph, layer, laid, axis)
    added = None if bias is None else weigh.bias(graph, layer, bias.reshape(-1))
    make = windows_job.conv_transpose if layer.kind.endswith("transpose") else windows_job.conv
    graph.put(layer.name, make(graph, layer, kernel, added, values.shape), FIRST)


def _dense(graph: Graph, layer: Layer, values: Array, bias: Array | None, weigh: Weigh) -> None:
    source, name = graph.get(layer.inputs[0]), layer.name
    kernel = weigh.kernel(graph, layer, values, 1)
    added = [] if bias is None else [weigh.bias(graph, layer, bias.reshape(-1))]
    if graph.rank(layer.inputs[0]) == 2:
        graph.put(name, graph.node("Gemm", [source, kernel, *added], name))
        return
    product = graph.node("MatMul", [source, kernel], f"{name}.product" if added else name)
    graph.put(name, graph.node("Add", [product, *added], name) if added else product)


WEIGHTED = frozenset(
    """dense conv1d conv2d depthwise_conv1d depthwise_conv2d conv1d_transpose
    conv2d_transpose""".split()
)


def affine(graph: Graph, layer: Layer, gain: Array | None, shift: Array | None) -> None:
    """``x * gain + shift`` along the last axis."""
    layout = graph.common(layer.inputs)
    rank, name = graph.rank(layer.name), layer.name
    value = graph.get(layer.inputs[0], layout)
    steps = [(op, v, r) for op, v, r in (("Mul", gain, "gain"), ("Add", shift, "shift"))
             if v is not None]  # fmt: skip
    for index, (operator, array, role) in enumerate(steps):
        last = index == len(steps) - 1
        constant = graph.constant(moved(array, rank, layout), f"{name}.{role}")
        value = graph.node(operator, [value, constant], name if last else f"{name}.scaled")
    graph.put(name, value, layout)


def _batch_norm(graph: Graph, layer: Layer) -> None:
    roles = ("gamma", "beta", "moving_mean", "moving_variance")
    gamma, beta, mean, variance = (graph.weight(layer, role) for role in roles)
    assert mean is not None
    assert variance is not None
    gamma = np.ones_like(mean) if gamma is None else gamma
    beta = np.zeros_like(mean) if beta is None else beta
    rank = graph.rank(layer.name)
    axis = layer.attributes.get("axis", -1)
    axis = int(axis[0] if isinstance(axis, list) else axis) % rank
    if axis == rank - 1:
        layout = FIRST
    elif axis == 1:
        layout = LAST
    else:
        gain = gamma / np.sqrt(variance + np.float32(layer.attributes["epsilon"]))
        shape = [-1 if index == axis else 1 for index in range(1, rank)]
        affine(graph, layer, gain.reshape(shape), (beta - mean * gain).reshape(shape))
        return
    arrays = [
        graph.constant(value, f"{layer.name}.{role}")
        for role, value in zip(roles, (gamma, beta, mean, variance), strict=True)
    ]
    made = graph.node(
        "BatchNormalization", [graph.get(layer.inputs[0], layout), *arrays], layer.name,
        epsilon=float(layer.attributes["epsilon"]),
    )  # fmt: skip
    graph.put(layer.name, made, layout)


def _scale(graph: Graph, layer: Layer) -> None:
    affine(graph, layer, graph.weight(layer, "scale"), graph.weight(layer, "offset"))


def _layer_norm(graph: Graph, layer: Layer) -> None:
    rank, name = graph.rank(layer.name), layer.name
    axis = layer.attributes.get("axis", -1)
    axes = sorted(int(a) % rank for a in (axis if isinstance(axis, list | tuple) else [axis]))
    shape = [int(d or 1) for d in layer.output_shape][axes[0] - 1 :]
    gamma, beta = graph.weight(layer, "gamma"), graph.weight(layer, "beta")
    gamma = np.ones(shape, np.float32) if gamma is None else gamma.reshape(shape)
    inputs = [graph.get(layer.inputs[0]), graph.constant(gamma, f"{name}.gamma")]
    if beta is not None:
        inputs.append(graph.constant(beta.reshape(shape), f"{name}.beta"))
    epsilon = float(layer.attributes["epsilon"])
    graph.put(name, graph.node("LayerNormalization", inputs, name, axis=axes[0], epsilon=epsilon))


def _operator(name: str, **fixed: Any) -> Make:
    """An activation that ONNX has; attributes may be functions of the layer's."""

    def make(graph: Graph, layer: Layer) -> None:
        at = layer.attributes
        given = {k: float(v(at) if callable(v) else v) for k, v in fixed.items()}
        layout = graph.common(layer.inputs)
        source = graph.get(layer.inputs[0], layout)
        graph.put(layer.name, graph.node(name, [source], layer.name, **given), layout)

    return make


def _relu(graph: Graph, layer: Layer) -> None:
    at, layout = layer.attributes, graph.common(layer.inputs)
    source = graph.get(layer.inputs[0], layout)
    low, top = float(at.get("min_value") or 0), at.get("max_value")
    if low == 0 and top is None:
        graph.put(layer.name, graph.node("Relu", [source], layer.name), layout)
        return
    ends = [graph.constant(low, f"{layer.name}.low")]
    if top is not None:
        ends.append(graph.constant(float(top), f"{layer.name}.high"))
    graph.put(layer.name, graph.node("Clip", [source, *ends], layer.name), layout)


def _hard_tanh(graph: Graph, layer: Layer) -> None:
    layout = graph.common(layer.inputs)
    ends = [graph.constant(v, f"{layer.name}.{n}") for v, n in ((-1.0, "low"), (1.0, "high"))]
    source = graph.get(layer.inputs[0], layout)
    graph.put(layer.name, graph.node("Clip", [source, *ends], layer.name), layout)


def _softmax(name: str) -> Make:
    def make(graph: Graph, layer: Layer) -> None:
        layout = graph.common(layer.inputs)
        source = graph.get(layer.inputs[0], layout)
        axis = 1 if layout == FIRST else graph.rank(layer.name) - 1
        graph.put(layer.name, graph.node(name, [source], layer.name, axis=axis), layout)

    return make


def _times_gate(operator: str, **fixed: float) -> Make:
    """``x * gate(x)``: silu and hard_silu."""

    def make(graph: Graph, layer: Layer) -> None:
        layout = graph.common(layer.inputs)
        source = graph.get(layer.inputs[0], layout)
        gate = graph.node(operator, [source], f"{layer.name}.gate", **fixed)
        graph.put(layer.name, graph.node("Mul", [source, gate], layer.name), layout)

    return make


def _gelu(graph: Graph, layer: Layer) -> None:
    """``x / 2 (1 + erf(x / sqrt 2))``, or with the tanh that Hendrycks and Gimpel give."""
    layout, name = graph.common(layer.inputs), layer.name
    x = graph.get(layer.inputs[0], layout)

    def number(value: float, hint: str) -> str:
        return graph.constant(value, f"{name}.{hint}")

    if layer.attributes.get("approximate"):
        square = graph.node("Mul", [x, x], f"{name}.square")
        cube = graph.node("Mul", [square, x], f"{name}.cube")
        part = graph.node("Mul", [cube, number(0.044715, "a")], f"{name}.part")
        both = graph.node("Add", [x, part], f"{name}.sum")
        inner = graph.node("Mul", [both, number(np.sqrt(2 / np.pi), "b")], f"{name}.inner")
        bent = graph.node("Tanh", [inner], f"{name}.tanh")
    else:
        inner = graph.node("Div", [x, number(np.sqrt(2), "b")], f"{name}.inner")
        bent = graph.node("Erf", [inner], f"{name}.erf")
    one = graph.node("Add", [bent, number(1.0, "one")], f"{name}.one_more")
    half = graph.node("Mul", [x, number(0.5, "half")], f"{name}.halved")
    graph.put(name, graph.node("Mul", [half, one], name), layout)


def _prelu(graph: Graph, layer: Layer) -> None:
    alpha = graph.weight(layer, "alpha")
    assert alpha is not None
    layout = graph.common(layer.inputs)
    slope = graph.constant(moved(alpha, graph.rank(layer.name), layout), f"{layer.name}.alpha")
    source = graph.get(layer.inputs[0], layout)
    graph.put(layer.name, graph.node("PRelu", [source, slope], layer.name), layout)


def _reshape(graph: Graph, layer: Layer) -> None:
    shape = graph.integers([1, *(int(d or 1) for d in layer.output_shape)], f"{layer.name}.shape")
    source = graph.get(layer.inputs[0])
    graph.put(layer.name, graph.node("Reshape", [source, shape], layer.name))


def _transpose(graph: Graph, layer: Layer) -> None:
    """Those that an ONNX front end put around windows are only another view of the tensor."""
    perm = [0, *(int(d) for d in layer.attributes["dims"])]
    held, source, rank = graph.held[layer.inputs[0]], layer.inputs[0], len(perm)
    if perm == [0, *range(2, rank), 1] and LAST in held:  # gives channels last of ONNX' order
        graph.put(layer.name, held[LAST], FIRST)
    elif perm == to_first(rank) and FIRST in held:
        graph.put(layer.name, held[FIRST])
    else:
        made = graph.node("Transpose", [graph.get(source)], layer.name, perm=perm)
        graph.put(layer.name, made)


def _concat(graph: Graph, layer: Layer) -> None:
    rank = graph.rank(layer.name)
    layout = graph.common(layer.inputs)
    axis = int(layer.attributes.get("axis", -1)) % rank
    if layout == FIRST:
        axis = 1 if axis == rank - 1 else axis + 1
    parts = [graph.get(name, layout) for name in layer.inputs]
    graph.put(layer.name, graph.node("Concat", parts, layer.name, axis=axis), layout)


def _elementwise(name: str, several: bool = False) -> Make:
    """Of batch 1, so that a lower rank is broadcast over the axes after the batch."""

    def make(graph: Graph, layer: Layer) -> None:
        layout = graph.common(layer.inputs)
        parts = [graph.get(source, layout) for source in layer.inputs]
        if several or len(parts) == 2:
            graph.put(layer.name, graph.node(name, parts, layer.name), layout)
            return
        value = parts[0]
        for index, part in enumerate(parts[1:]):
            hint = layer.name if index == len(parts) - 2 else f"{layer.name}.{index}"
            value = graph.node(name, [value, part], hint)
        graph.put(layer.name, value, layout)

    return make


def _matmul(graph: Graph, layer: Layer) -> None:
    parts = []
    for source, flag in zip(layer.inputs, ("transpose_a", "transpose_b"), strict=True):
        tensor = graph.get(source)
        if layer.attributes.get(flag):
            rank = graph.rank(source)
            perm = [*range(rank - 2), rank - 1, rank - 2]
            tensor = graph.node("Transpose", [tensor], f"{layer.name}.{flag}", perm=perm)
        parts.append(tensor)
    graph.put(layer.name, graph.node("MatMul", parts, layer.name))


def _reduce(name: str) -> Make:
    def make(graph: Graph, layer: Layer) -> None:
        rank = len(layer.input_shapes[0]) + 1
        axis = layer.attributes.get("axis")
        given = range(1, rank) if axis is None else axis if isinstance(axis, list) else [axis]
        axes = sorted(int(a) % rank for a in given)
        keep = int(len(layer.output_shape) + 1 == rank)
        source = graph.get(layer.inputs[0])
        if graph.opset >= (13 if name == "ReduceSum" else 18):  # axes became an input
            inputs = [source, graph.integers(axes, f"{layer.name}.axes")]
            made = graph.node(name, inputs, layer.name, keepdims=keep)
        else:
            made = graph.node(name, [source], layer.name, keepdims=keep, axes=axes)
        graph.put(layer.name, made)

    return make


def _embedding(graph: Graph, layer: Layer) -> None:
    table = graph.weight(layer, "embeddings")
    name = layer.name
    rows = graph.node("Cast", [graph.get(layer.inputs[0])], f"{name}.rows", to=7)
    graph.put(name, graph.node("Gather", [graph.constant(table, f"{name}.table"), rows], name))


def _constant(graph: Graph, layer: Layer) -> None:
    value = graph.weight(layer, "value")
    assert value is not None
    if value.ndim == len(layer.output_shape):
        value = value[None]
    graph.put(layer.name, graph.constant(value, layer.name))


def _pass(graph: Graph, layer: Layer) -> None:
    graph.held[layer.name] = dict(graph.held[layer.inputs[0]])
    graph.made[layer.name] = graph.made[layer.inputs[0]]


MAKERS: dict[str, Make] = {
    "batch_norm": _batch_norm,
    "scale": _scale,
    "layer_norm": _layer_norm,
    "relu": _relu,
    "leaky_relu": _operator(
        "LeakyRelu", alpha=lambda at: at.get("negative_slope", at.get("alpha", 0.2))
    ),
    "prelu": _prelu,
    "elu": _operator("Elu", alpha=lambda at: at.get("alpha", 1.0)),
    "selu": _operator("Selu"),
    "gelu": _gelu,
    "sigmoid": _operator("Sigmoid"),
    "hard_sigmoid": _operator(
        "HardSigmoid",
        alpha=lambda at: at.get("slope", 1 / 6),
        beta=lambda at: at.get("offset", 0.5),
    ),
    "tanh": _operator("Tanh"),
    "hard_tanh": _hard_tanh,
    "softmax": _softmax("Softmax"),
    "log_softmax": _softmax("LogSoftmax"),
    "softplus": _operator("Softplus"),
    "softsign": _operator("Softsign"),
    "silu": _times_gate("Sigmoid"),
    "hard_silu": _times_gate("HardSigmoid", alpha=1 / 6, beta=0.5),
    "exponential": _operator("Exp"),
    "thresholded_relu": _operator("ThresholdedRelu", alpha=lambda at: at.get("theta", 1.0)),
    **dict.fromkeys(["max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d"], windows_job.pool),
    **dict.fromkeys(
        ["global_avg_pool1d", "global_avg_pool2d", "global_max_pool1d", "global_max_pool2d"],
        windows_job.global_pool,
    ),
    "flatten": _reshape,
    "reshape": _reshape,
    "transpose": _transpose,
    "pad": windows_job.pad,
    "crop": windows_job.crop,
    "upsample": windows_job.upsample,
    "resize_bilinear": windows_job.resize,
    "slice": windows_job.slice_,
    "concat": _concat,
    "add": _elementwise("Add"),
    "sub": _elementwise("Sub"),
    "mul": _elementwise("Mul"),
    "div": _elementwise("Div"),
    "maximum": _elementwise("Max", several=True),
    "minimum": _elementwise("Min", several=True),
    "average": _elementwise("Mean", several=True),
    "matmul": _matmul,
    "mean": _reduce("ReduceMean"),
    "max": _reduce("ReduceMax"),
    "sum": _reduce("ReduceSum"),
    **dict.fromkeys(["lstm", "gru", "simple_rnn"], recurrent_job.recurrent),
    "embedding": _embedding,
    "constant": _constant,
    "quantize": _pass,
    "dequantize": _pass,
    "identity": _pass,
}
"""The nodes of each kind that has no kernel; those with one are in `weighted`."""
