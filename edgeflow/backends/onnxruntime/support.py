"""What ONNX' operators take, as a table over the Network's kinds, and the rules beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edgeflow.backends.base import Limit, Problem
from edgeflow.backends.tflite.support import memory
from edgeflow.network import Layer, Network
from edgeflow.targets import Target


def _same(operators: str, kinds: str) -> dict[str, tuple[str, ...]]:
    return {kind: tuple(operators.split()) for kind in kinds.split()}


# tests/backends/onnxruntime/test_kinds.py converts each kind alone and runs it against Keras.
TABLE: Mapping[str, tuple[str, ...]] = {
    **_same("", "input constant identity quantize dequantize"),
    **_same("Gemm MatMul Add", "dense"),
    **_same("Conv", "conv1d conv2d depthwise_conv1d depthwise_conv2d"),
    **_same("ConvTranspose", "conv1d_transpose conv2d_transpose"),
    **_same("BatchNormalization", "batch_norm"),
    **_same("Mul Add", "scale"),
    **_same("LayerNormalization", "layer_norm"),
    **_same("MaxPool", "max_pool1d max_pool2d"),
    **_same("AveragePool", "avg_pool1d avg_pool2d"),
    **_same("GlobalAveragePool Flatten", "global_avg_pool1d global_avg_pool2d"),
    **_same("GlobalMaxPool Flatten", "global_max_pool1d global_max_pool2d"),
    **_same("ReduceMean", "mean"),
    **_same("ReduceMax", "max"),
    **_same("ReduceSum", "sum"),
    **_same("Reshape", "flatten reshape"),
    **_same("Transpose", "transpose"),
    **_same("Pad", "pad"),
    **_same("Slice", "crop"),
    **_same("Slice Reshape", "slice"),
    **_same("Resize", "upsample resize_bilinear"),
    **_same("Concat", "concat"),
    **_same("Add", "add"),
    **_same("Sub", "sub"),
    **_same("Mul", "mul"),
    **_same("Div", "div"),
    **_same("Max", "maximum"),
    **_same("Min", "minimum"),
    **_same("Mean", "average"),
    **_same("MatMul Transpose", "matmul"),
    **_same("Cast Gather", "embedding"),
    **_same("LSTM", "lstm"),
    **_same("GRU", "gru"),
    **_same("RNN", "simple_rnn"),
    **_same("Relu Clip", "relu"),
    **_same("Clip", "hard_tanh"),
    **_same("LeakyRelu", "leaky_relu"),
    **_same("PRelu", "prelu"),
    **_same("Elu", "elu"),
    **_same("Selu", "selu"),
    **_same("Erf Tanh Mul Add", "gelu"),
    **_same("Sigmoid", "sigmoid"),
    **_same("Sigmoid Mul", "silu"),
    **_same("HardSigmoid", "hard_sigmoid"),
    **_same("HardSigmoid Mul", "hard_silu"),
    **_same("Tanh", "tanh"),
    **_same("Softmax", "softmax"),
    **_same("LogSoftmax", "log_softmax"),
    **_same("Softplus", "softplus"),
    **_same("Softsign", "softsign"),
    **_same("Exp", "exponential"),
    **_same("ThresholdedRelu", "thresholded_relu"),
}
"""The ONNX operators of each kind; the same at float32 and int8."""

CELLS = frozenset("tanh sigmoid relu softsign softplus elu hard_sigmoid linear".split())
QUANTIZERS = frozenset(["fixed", "affine", "binary", "float"])
ROUNDINGS = frozenset(
    [None, "RND_CONV", "ROUND", "HALF_EVEN", "TRN", "FLOOR", "RND", "S_RND", "CEIL"]
)
RECURRENT = ("lstm", "gru", "simple_rnn")
TRANSPOSED = ("conv1d_transpose", "conv2d_transpose")
NORM_OPSET = 17


@dataclass(frozen=True)
class Rule:
    """A limit and how to see that a layer breaks it: `found` says how, or None."""

    limit: str
    found: Callable[[Layer, Mapping[str, Any]], str | None]
    remedy: str
    kinds: tuple[str, ...] = ()
    only: str = ""


def _dynamic(layer: Layer, _: Mapping[str, Any]) -> str | None:
    if None not in layer.output_shape:
        return None
    shape = ", ".join("?" if dim is None else str(dim) for dim in layer.output_shape)
    return f"its shape ({shape}) is not fixed"


def _norm(layer: Layer, chosen: Mapping[str, Any]) -> str | None:
    if chosen["opset"] < NORM_OPSET:
        return f"opset {chosen['opset']} has no LayerNormalization"
    rank = len(layer.output_shape) + 1
    axis = layer.attributes.get("axis", -1)
    axes = sorted(int(a) % rank for a in (axis if isinstance(axis, list | tuple) else [axis]))
    if axes != list(range(axes[0], rank)):
        return f"its axes {axes} are not the last ones"
    return None


def _cell(layer: Layer, _: Mapping[str, Any]) -> str | None:
    at = layer.attributes
    wrong = sorted(
        {str(at[k]) for k in ("activation", "recurrent_activation") if at.get(k)} - CELLS
    )
    return f"ONNX' cells have no '{wrong[0]}'" if wrong else None


def _transposed(layer: Layer, _: Mapping[str, Any]) -> str | None:
    at = layer.attributes
    dilation = at.get("dilation_rate") or 1
    if (max(dilation) if isinstance(dilation, list | tuple) else dilation) > 1:
        return "a transposed convolution with dilation"
    return "an output padding of its own" if at.get("output_padding") else None


def _mode(layer: Layer, _: Mapping[str, Any]) -> str | None:
    mode = str(layer.attributes.get("mode", "constant"))
    return None if mode == "constant" else f"padding in mode {mode}"


def _rounding(layer: Layer, chosen: Mapping[str, Any]) -> str | None:
    quantizer = layer.quantizer
    if quantizer is None:
        return None
    if quantizer.kind not in QUANTIZERS:
        return f"a {quantizer.kind} activation"
    if chosen["precision"] == "int8" and quantizer.kind == "binary":
        return "a binary activation is no int8 tensor of one step"
    if chosen["precision"] == "float32" and quantizer.rounding not in ROUNDINGS:
        return f"rounding {quantizer.rounding}"
    return None


RULES = (
    Rule(
        "every shape is fixed (but for the batch, which becomes 1)",
        _dynamic,
        "export the model with a fixed input shape",
    ),
    Rule(
        f"opset {NORM_OPSET} or later, over the last axes",
        _norm,
        f"choose opset {NORM_OPSET}, or normalise the last axes",
        ("layer_norm",),
    ),
    Rule(
        f"functions: {', '.join(sorted(CELLS))}",
        _cell,
        "choose one of these functions",
        RECURRENT,
    ),
    Rule(
        "no dilation, no output padding",
        _transposed,
        "leave them out: upsample, then convolve",
        TRANSPOSED,
    ),
    Rule("padding with a constant", _mode, "pad with a constant", ("pad",)),
    Rule(
        "activations rounded by fixed-point or affine quantisers",
        _rounding,
        "retrain with fixed-point or int8 quantisers, or choose the hls4ml backend",
        (),
        "a model written anew",
    ),
)


def problems(network: Network, target: Target, chosen: Mapping[str, Any]) -> list[Problem]:
    """Everything that keeps this Network from an ONNX file as chosen on this target."""
    if chosen["copy"]:
        return memory(network, target, "float32")
    found = []
    for layer in network:
        if layer.kind not in TABLE:
            name = layer.attributes.get("type", layer.kind)
            found.append(
                Problem(
                    layer.name, f"edgeflow writes no ONNX operator for '{name}'",
                    "replace it by layers that edgeflow knows (`edgeflow inspect` lists them)",
                )
            )  # fmt: skip
            continue
        for rule in RULES:
            if rule.kinds and layer.kind not in rule.kinds:
                continue
            message = rule.found(layer, chosen)
            if message:
                found.append(Problem(layer.name, message, rule.remedy))
                break
    if len(network.inputs) != 1 and chosen["precision"] == "int8":
        found.append(
            Problem(
                None, f"the model has {len(network.inputs)} inputs: its ranges cannot be measured",
                "choose precision float32, or export a part with one input",
            )
        )  # fmt: skip
    return found + memory(network, target, chosen["precision"])


def limits() -> list[Limit]:
    """The table and the rules, as `edgeflow check --list onnxruntime` shows them."""
    taken = [
        Limit((kind,), " ".join(operators) or "no operator of its own")
        for kind, operators in TABLE.items()
    ]
    rules = [Limit(rule.kinds, rule.limit, rule.remedy, rule.only) for rule in RULES]
    rules.append(
        Limit((), "one input", "choose precision float32, or a part with one input", "int8")
    )
    rules.append(
        Limit((), "any operator that ONNX Runtime runs", "", "a model that is ONNX, float32")
    )
    return taken + rules
