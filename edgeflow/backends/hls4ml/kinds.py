"""What hls4ml 1.3.0's backends take of each kind of layer, as one table; read from its sources (the
parsers, the layer templates and the assertions in ``nnet_utils``) and tried by the tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgeflow.backends.hls4ml import reuse
from edgeflow.backends.hls4ml.compilers import CURVES
from edgeflow.network import Layer, Network

BOTH = ("parallel", "stream")
CONVOLUTIONS = ("conv1d", "conv2d", "depthwise_conv1d", "depthwise_conv2d")
POOLS = ("max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d")
GLOBAL_POOLS = tuple(f"global_{kind}" for kind in POOLS)
MERGES = ("add", "sub", "mul", "average", "maximum", "minimum", "concat")
RECURRENT = ("lstm", "gru")

INTERFACES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("input", "dense", "batch_norm", "scale", *CONVOLUTIONS), BOTH),
    **dict.fromkeys(("relu", "leaky_relu", "prelu", "elu", "selu", "sigmoid", "tanh"), BOTH),
    **dict.fromkeys(("softmax", "softplus", "softsign", "thresholded_relu"), BOTH),
    **dict.fromkeys(("hard_sigmoid", "hard_tanh", "quantize", "dequantize", "identity"), BOTH),
    **dict.fromkeys(CURVES, BOTH),
    **dict.fromkeys((*POOLS, *GLOBAL_POOLS, *MERGES), BOTH),
    **dict.fromkeys(("flatten", "reshape", "pad", "crop", "upsample", "transpose"), BOTH),
    **dict.fromkeys(RECURRENT, BOTH),
}
"""The kinds of layers that can be built, and with which interface."""

REMEDIES: Mapping[str, str] = {
    "conv1d_transpose": "use upsample and conv1d, which compute the same where the stride is even",
    "conv2d_transpose": "use upsample and conv2d in the model",
    "exponential": "leave it to the host",
    "log_softmax": "end the model with softmax, or with the logits",
    "resize_bilinear": "use nearest-neighbour upsampling",
    "embedding": "look the rows up on the host and feed them in",
    "layer_norm": "retrain with batch normalisation, which costs nothing",
    "div": "multiply by the inverse",
    "simple_rnn": "use a gru (hls4ml's SimpleRNN computes something else)",
    "matmul": "use a dense layer: a product of two activations needs its own hardware",
}
"""What to do about kinds that cannot be built."""


@dataclass(frozen=True)
class Rule:
    """One limit: of which kinds, with which interface, and how it is found in a layer.

    ``found`` gives what stands in the way, None where nothing does.
    """

    limit: str
    kinds: tuple[str, ...]
    found: Callable[[Layer, Network], str | None]
    remedy: str
    interfaces: tuple[str, ...] = BOTH


def _padded(layer: Layer) -> bool:
    if layer.attributes.get("padding", "valid") == "valid":
        return False
    if layer.attributes["padding"] != "same":
        return True
    spatial = len(layer.input_shapes[0]) - 1
    size, strides = _sizes(layer, spatial)
    return any(
        (int(out or 1) - 1) * step + window > int(inside or 1)
        for inside, out, step, window in zip(
            layer.input_shapes[0], layer.output_shape, strides, size, strict=False
        )
    )


def _sizes(layer: Layer, spatial: int) -> tuple[list[int], list[int]]:
    size = layer.attributes["pool_size"]
    size = list(size) if isinstance(size, (list, tuple)) else [size] * spatial
    steps = layer.attributes.get("strides") or size
    return size, list(steps) if isinstance(steps, (list, tuple)) else [steps] * spatial


def _pool_padding(layer: Layer, _: Network) -> str | None:
    return f"padding '{layer.attributes['padding']}'" if _padded(layer) else None


def _pool_strides(layer: Layer, _: Network) -> str | None:
    size, strides = _sizes(layer, len(layer.input_shapes[0]) - 1)
    return None if size == strides else f"window {size} with strides {strides}"


def _shapes(layer: Layer, _: Network) -> str | None:
    shapes = {tuple(shape) for shape in layer.input_shapes}
    return (
        None if len(shapes) == 1 else f"inputs of shapes {', '.join(map(str, layer.input_shapes))}"
    )


def _wrapping(layer: Layer, _: Network) -> str | None:
    """In parallel, hls4ml repeats the smaller input: right only where its last axes match."""
    largest = max(layer.input_shapes, key=lambda shape: math.prod(d or 1 for d in shape))
    for shape in layer.input_shapes:
        core = list(shape)
        while core and core[0] == 1:
            core.pop(0)
        if core and tuple(core) != tuple(largest[len(largest) - len(core) :]):
            return f"inputs of shapes {', '.join(map(str, layer.input_shapes))}"
    return None


def _average_of_many(layer: Layer, _: Network) -> str | None:
    return None if len(layer.inputs) == 2 else f"{len(layer.inputs)} inputs"


def _rank(layer: Layer, _: Network) -> str | None:
    rank = len(layer.output_shape)
    return None if rank <= 3 else f"tensors of {rank} axes"


def _norm_axis(layer: Layer, _: Network) -> str | None:
    axis = layer.attributes.get("axis", -1)
    axis = axis[0] if isinstance(axis, (list, tuple)) else axis
    return None if axis in (-1, len(layer.output_shape)) else f"axis {axis}"


def _backwards(layer: Layer, _: Network) -> str | None:
    return "go_backwards" if layer.attributes.get("go_backwards") else None


def _gates(layer: Layer, _: Network) -> str | None:
    known = {
        "activation": ("tanh", "relu", "sigmoid", "linear"),
        "recurrent_activation": ("sigmoid", "tanh", "hard_sigmoid"),
    }
    wrong = [
        f"{key} '{layer.attributes[key]}'"
        for key, names in known.items()
        if key in layer.attributes and layer.attributes[key] not in names
    ]
    return " and ".join(wrong) or None


def _bilinear(layer: Layer, _: Network) -> str | None:
    how = layer.attributes.get("interpolation", "nearest")
    return None if how == "nearest" else f"interpolation '{how}'"


def _by_element(layer: Layer, _: Network) -> str | None:
    return "bits that differ from element to element" if reuse.by_element(layer) else None


def _channel_padding(layer: Layer, _: Network) -> str | None:
    amounts = layer.attributes.get("padding" if layer.kind == "pad" else "cropping") or []
    rank = len(layer.output_shape)
    pairs = [tuple(item) if isinstance(item, (list, tuple)) else (item, item) for item in amounts]
    if rank not in (2, 3) or len(pairs) < rank - 1:
        return f"{layer.kind} of a tensor of {rank} axes"
    return f"{layer.kind} of the channels" if any(any(p) for p in pairs[rank - 1 :]) else None


def _pad_value(layer: Layer, _: Network) -> str | None:
    value = layer.attributes.get("value") or layer.attributes.get("constant_value") or 0
    mode = layer.attributes.get("mode", "constant")
    return None if value == 0 and mode == "constant" else f"padding with {mode} {value}"


def _quantizer(layer: Layer, _: Network) -> str | None:
    quantizer = layer.quantizer
    if quantizer is None or quantizer.kind in ("fixed", "float", "affine"):
        return None
    plain = layer.kind == "quantize" and quantizer.kind == "binary"
    if plain and set(quantizer.scale or (1.0,)) == {1.0} and quantizer.signed:
        return None
    return f"an output rounded as '{quantizer.kind}'"


def _floor(layer: Layer, _: Network) -> str | None:
    low = layer.attributes.get("min_value")
    return f"a clip that starts at {low:g}" if low else None


RULES: tuple[Rule, ...] = (
    Rule(
        "no padding of pooling windows", POOLS, _pool_padding,
        "pad the model's input, use padding 'valid', or io: parallel", ("stream",),
    ),
    Rule(
        "pooling windows side by side", POOLS, _pool_strides,
        "set strides to pool_size, or io: parallel", ("stream",),
    ),
    Rule(
        "inputs of one shape", ("add", "sub", "mul", "average", "maximum", "minimum"), _shapes,
        "repeat the smaller tensor in the model (upsample), or io: parallel", ("stream",),
    ),
    Rule(
        "inputs of one shape, or a smaller one that matches the last axes",
        ("add", "sub", "mul", "average", "maximum", "minimum"), _wrapping,
        "repeat the smaller tensor in the model (upsample)", ("parallel",),
    ),
    Rule("average of two", ("average",), _average_of_many, "add them, and scale the sum"),
    Rule("at most 3 axes", ("concat", "transpose", "dense", "softmax"), _rank, "reshape first"),
    Rule("norms along the last axis", ("batch_norm",), _norm_axis, "move the channels last"),
    Rule("forward in time", RECURRENT, _backwards, "reverse the series on the host"),
    Rule("gates of tanh and sigmoid", RECURRENT, _gates, "retrain with tanh and sigmoid"),
    Rule("nearest neighbour", ("upsample",), _bilinear, "use interpolation 'nearest'"),
    Rule(
        "one type per tensor", tuple(INTERFACES), _by_element,
        "io: parallel, or retrain with one bit width per activation tensor", ("stream",),
    ),
    Rule("padding of rows and columns", ("pad", "crop"), _channel_padding, "reshape first"),
    Rule("padding with zeros", ("pad",), _pad_value, "pad with zeros in the model"),
    Rule("clips that start at 0", ("relu",), _floor, "use relu, or hard_tanh for -1 to 1"),
    Rule(
        "outputs rounded to fixed point or to -1 and 1", tuple(INTERFACES), _quantizer,
        "retrain with a fixed-point quantiser (quantized_bits, quantized_relu)",
    ),
)  # fmt: skip
"""Every limit on attributes; the report of `check --list` is this table."""
