"""Which operators the Edge TPU runs, under which conditions; standard library only.

The table is that of Google Coral's page 'TensorFlow models on the Edge TPU', section 'Supported
operations' (coral.ai/docs/edgetpu/models-intro), for runtime version 14. What the page does not
list and a published compiled file shows says ``seen``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from edgeflow.backends.edge_tpu.graph_job import Operator, Tensor

PAGE = "coral.ai, TensorFlow models on the Edge TPU, supported operations"
SEEN = "google-coral/test_data, a compiled file that has it on the Edge TPU"
SOFTMAX_MOST = 16_000
LARGEST_RESIZE = 1 << 20
"""Elements; the compiler's own bound is not published, see `_resize`."""

INTEGERS = ("INT8", "UINT8")

Check = Callable[[Operator], "str | None"]


@dataclass(frozen=True)
class Rule:
    """An operator that can map. ``condition``: in words, as published; empty where there is none.

    ``since``: the first runtime version that has it (0: all). ``unsure``: the page says that the
    compiler may refuse it for reasons of size that it does not publish. ``remedy``: what to do
    where the condition does not hold. ``check``: what is wrong with an operator, or None.
    """

    kind: str
    condition: str = ""
    remedy: str = ""
    check: Check | None = None
    since: int = 0
    unsure: bool = False
    source: str = PAGE


def _no_activation(operator: Operator) -> str | None:
    fused = operator.options.get("fusedActivationFunction", 0)
    return "it has a fused activation function" if fused else None


def _concatenation(operator: Operator) -> str | None:
    constants = [t for t in operator.inputs if t is not None and t.constant]
    if constants and len(operator.inputs) != 2:
        return f"it joins a constant to {len(operator.inputs) - len(constants)} tensors"
    if any(not t.zeros for t in constants):
        return "it joins a constant that is not all zeros"
    return _no_activation(operator)


def _dilation(operator: Operator) -> str | None:
    rows = operator.options.get("dilationHFactor", 1)
    columns = operator.options.get("dilationWFactor", 1)
    if rows != columns:
        return f"its dilation is {rows} in y and {columns} in x"
    return _constant_weights(operator)


def _constant_weights(operator: Operator) -> str | None:
    weights = operator.input(1)
    if weights is not None and not weights.constant:
        return "its weights are not constant"
    bias = operator.input(2)
    if bias is not None and not bias.constant:
        return "its bias is not constant"
    return None


def _fully_connected(operator: Operator) -> str | None:
    if operator.options.get("weightsFormat", 0):
        return "its weights are shuffled"
    shape = operator.outputs[0].shape
    if math.prod(shape[:-1]) > 1:
        return f"its output has more than one axis: {list(shape)}"
    return _constant_weights(operator)


def _axes(tensor: Tensor | None, rank: int) -> set[int] | None:
    if tensor is None or tensor.values is None:
        return None
    return {axis % rank if rank else axis for axis in tensor.values}


def _not_batch(operator: Operator) -> str | None:
    source = operator.input(0)
    rank = len(source.shape) if source is not None else 0
    axes = _axes(operator.input(1), rank)
    batched = axes is not None and rank > 1 and 0 in axes
    return "it reduces the batch" if batched else None


def _mean(operator: Operator) -> str | None:
    if found := _not_batch(operator):
        return found
    source = operator.input(0)
    if source is None or not source.shape:
        return None
    axes = _axes(operator.input(1), len(source.shape))
    if axes and len(source.shape) - 1 in axes and source.shape[-1] % 4:
        return f"it reduces {source.shape[-1]} channels, not a multiple of 4"
    return None


def _pad(operator: Operator) -> str | None:
    amounts = operator.input(1)
    if amounts is None or amounts.values is None:
        return None
    return "it pads the batch" if any(amounts.values[:2]) and len(amounts.values) > 2 else None


def _axis_not_batch(operator: Operator) -> str | None:
    axis = operator.options.get("axis", 1)
    rank = len(operator.outputs[0].shape)
    return "it packs the batch" if rank and axis % rank == 0 else None


def _split(operator: Operator) -> str | None:
    axis, source = operator.input(0), operator.input(1)
    if axis is None or source is None or not axis.values:
        return None
    return "it splits the batch" if axis.values[0] % max(len(source.shape), 1) == 0 else None


def _prelu(operator: Operator) -> str | None:
    alpha = operator.input(1)
    if alpha is not None and math.prod(alpha.shape[:-1]) > 1:
        return f"its alpha has more than one axis: {list(alpha.shape)}"
    return None


def _softmax(operator: Operator) -> str | None:
    source = operator.input(0)
    if source is None:
        return None
    if math.prod(source.shape[:-1]) > 1:
        return f"its input has more than one axis: {list(source.shape)}"
    if source.size > SOFTMAX_MOST:
        return f"its input has {source.size} elements, more than {SOFTMAX_MOST}"
    return None


def _strided_slice(operator: Operator) -> str | None:
    strides = operator.input(3)
    if strides is not None and strides.values and any(step != 1 for step in strides.values):
        return f"its strides are {list(strides.values)}"
    for mask in ("ellipsisMask", "newAxisMask"):
        if operator.options.get(mask):
            return f"its {mask} is not 0"
    return None


def _resize(operator: Operator) -> str | None:
    """What the published pairs show: no growing of one pixel, none to whole images.

    The page says only that it depends on the sizes. In DeepLab (513 x 513 and 1025 x 2049) the
    growing from 1 x 1 and that to the whole image stay on the CPU; doublings map (MoveNet).
    """
    source, made = operator.input(0), operator.outputs[0]
    if source is None or len(source.shape) != 4 or len(made.shape) != 4:
        return None
    if source.shape[1:3] == (1, 1) and made.shape[1:3] != (1, 1):
        return "it makes an image of one pixel"
    if made.size > LARGEST_RESIZE:
        return f"its output has {made.size} elements (more than {LARGEST_RESIZE} was never seen)"
    return None


def _reshape(operator: Operator) -> str | None:
    shape = operator.input(1)
    return "its shape is computed" if shape is not None and not shape.constant else None


CONV = "must use the same dilation in x and y dimensions"
NO_FUSED = "no fused activation function"
RESIZE = "depending on input/output size it may not be mapped, to avoid loss in precision"
NO_BATCH = "cannot operate on the batch dimension"
APART = "put the activation into a layer of its own"

RULES = (
    Rule("ADD"),
    Rule("AVERAGE_POOL_2D", NO_FUSED, APART, _no_activation),
    Rule(
        "CONCATENATION",
        "no fused activation function; a constant input only with one other, and all zeros",
        "join without the activation or the constant",
        _concatenation,
    ),
    Rule("CONV_2D", CONV, "use one dilation", _dilation),
    Rule("DEPTHWISE_CONV_2D", CONV, "use one dilation", _dilation),
    Rule("EXPAND_DIMS", since=13),
    Rule(
        "FULLY_CONNECTED",
        "default format of the weights; one-dimensional output",
        "flatten before the dense layer, or use a 1 x 1 convolution",
        _fully_connected,
    ),
    Rule("L2_NORMALIZATION"),
    Rule("LOGISTIC"),
    Rule("UNIDIRECTIONAL_SEQUENCE_LSTM", "unidirectional LSTM only", since=14),
    Rule("MAXIMUM"),
    Rule("MAX_POOL_2D", NO_FUSED, APART, _no_activation),
    Rule(
        "MEAN",
        "no reduction in batch dimension; channels that are reduced must be a multiple of 4",
        "pad the channels to a multiple of 4",
        _mean,
    ),
    Rule("MINIMUM"),
    Rule("MUL"),
    Rule("PACK", "no packing in batch dimension", "stack along another axis", _axis_not_batch, 13),
    Rule("PAD", "no padding in batch dimension", "pad the other axes only", _pad),
    Rule(
        "PRELU", "alpha must be one-dimensional",
        "share the parameters over rows and columns: shared_axes=[1, 2]", _prelu, 13,
    ),
    Rule("QUANTIZE", since=13),
    Rule("REDUCE_MAX", NO_BATCH, "reduce other axes", _not_batch, 14),
    Rule("REDUCE_MIN", NO_BATCH, "reduce other axes", _not_batch, 14),
    Rule("RELU"),
    Rule("RELU6"),
    Rule("RELU_N1_TO_1"),
    Rule(
        "RESHAPE", "constant shape; certain reshapes of large tensors may not be mapped",
        "convert the model with batch 1: the compiler refuses a file with computed shapes whole",
        _reshape, unsure=True,
    ),
    Rule(
        "RESIZE_BILINEAR", RESIZE, "resize on the processor, after the network", _resize,
        unsure=True,
    ),
    Rule(
        "RESIZE_NEAREST_NEIGHBOR", RESIZE, "resize on the processor, after the network", _resize,
        unsure=True,
    ),
    Rule("RSQRT", since=14),
    Rule("SLICE"),
    Rule(
        "SOFTMAX", f"one-dimensional input of at most {SOFTMAX_MOST} elements",
        "take the logits and compute the softmax on the processor", _softmax,
    ),
    Rule("SPACE_TO_DEPTH"),
    Rule("SPLIT", "no splitting in batch dimension", "split another axis", _split),
    Rule("SQUEEZE"),
    Rule(
        "STRIDED_SLICE", "all strides 1; ellipsis mask and new axis mask 0",
        "slice with stride 1", _strided_slice,
    ),
    Rule("SUB"),
    Rule("SQUARED_DIFFERENCE", since=14),
    Rule("SUM", NO_BATCH, "sum other axes", _not_batch, 13),
    Rule("TANH"),
    Rule("TILE", source=SEEN),
    Rule("TRANSPOSE", since=14),
    Rule("TRANSPOSE_CONV", since=13),
)  # fmt: skip
BY_KIND = {rule.kind: rule for rule in RULES}


@dataclass(frozen=True)
class Refusal:
    """Why an operator cannot map, and what to do."""

    reason: str
    remedy: str


def refuse(operator: Operator) -> Refusal | None:
    """Why an operator cannot map by itself; None where it can."""
    rule = BY_KIND.get(operator.kind)
    if rule is None:
        return Refusal(
            "the Edge TPU has no such operator",
            "replace the layer, or move it behind the layers that map",
        )
    ports = [t for t in (*operator.inputs, *operator.outputs) if t is not None]
    for tensor in ports:
        if tensor.dynamic:
            return Refusal(
                f"the shape of '{tensor.name}' is not fixed", "convert the model with batch 1"
            )
    if rule.check and (reason := rule.check(operator)):
        return Refusal(reason, rule.remedy or "change the layer")
    for tensor in _activations(operator):
        if tensor.type not in INTEGERS:
            word = "model" if operator.kind in ("QUANTIZE", "DEQUANTIZE") else "whole model"
            return Refusal(
                f"'{tensor.name}' is {tensor.type.lower()}",
                f"quantise the {word} to int8, with int8 or uint8 input and output",
            )
        if math.prod(tensor.shape[:-3]) > 1:
            return Refusal(
                f"'{tensor.name}' has more than its 3 innermost axes above 1: {list(tensor.shape)}",
                "use batch 1 and at most three axes",
            )
    return None


def _activations(operator: Operator) -> list[Tensor]:
    """The tensors that are computed, without an LSTM's states (its cell state is int16)."""
    inputs = operator.inputs
    if operator.kind == "UNIDIRECTIONAL_SEQUENCE_LSTM":
        inputs = inputs[:1]
    return [t for t in (*inputs, *operator.outputs) if t is not None and not t.constant]
