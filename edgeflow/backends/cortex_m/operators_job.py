"""What there are kernels for. The standard library alone: checks read it, too."""

from __future__ import annotations

from collections.abc import Mapping

SHAPES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
"""Operators that leave the bytes as they are."""

ACTIVATIONS = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6")
"""Fused ones."""

KERNELS: Mapping[str, str] = {
    "CONV_2D": "ef_conv",
    "DEPTHWISE_CONV_2D": "ef_depthwise",
    "FULLY_CONNECTED": "ef_dense",
    "ADD": "ef_add",
    "SUB": "ef_sub",
    "MUL": "ef_mul",
    "AVERAGE_POOL_2D": "ef_average_pool",
    "MAX_POOL_2D": "ef_max_pool",
    "MEAN": "ef_mean",
    "SOFTMAX": "ef_softmax",
    "PAD": "ef_pad",
    "PADV2": "ef_pad",
    "CONCATENATION": "ef_copy_rows",
    "TRANSPOSE": "ef_transpose",
    "QUANTIZE": "ef_quantize",
    "DEQUANTIZE": "ef_dequantize",
    "RELU": "ef_table",
    "RELU6": "ef_table",
    "LEAKY_RELU": "ef_table",
    "LOGISTIC": "ef_table",
    "TANH": "ef_table",
    "HARD_SWISH": "ef_table",
    "RELU_N1_TO_1": "ef_table",
    "MAXIMUM": "ef_maximum",
    "MINIMUM": "ef_minimum",
    "STRIDED_SLICE": "ef_transpose",
} | dict.fromkeys(SHAPES, "")
"""The C kernel of each operator; none where nothing is computed."""

LIMITS: Mapping[str, str] = {
    "CONV_2D": "weights int8 and constant, bias int32; no groups",
    "DEPTHWISE_CONV_2D": "weights int8 and constant, any depth multiplier and dilation",
    "FULLY_CONNECTED": "weights int8 with one scale, over the last axis",
    **dict.fromkeys(("ADD", "SUB", "MUL"), "operands of one shape, or one that repeats as a whole"),
    **dict.fromkeys(
        ("MAXIMUM", "MINIMUM"), "one scale; operands of one shape, or one that repeats as a whole"
    ),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D"), "one scale for input and output"),
    "MEAN": "over all axes but the batch and the channels",
    "SOFTMAX": "rows of at most 4,095; output with the scale 1/256",
    **dict.fromkeys(("PAD", "PADV2"), "constant amounts, one scale, at most 5 axes"),
    "TRANSPOSE": "a constant order",
    "CONCATENATION": "one scale, no constant operand",
    "STRIDED_SLICE": "constant places, steps forwards, no new axes, one scale",
    "QUANTIZE": "float32 or int8 to int8",
    "DEQUANTIZE": "int8 to float32",
}
"""What a kernel asks for."""
