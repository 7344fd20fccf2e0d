"""Which TFLite operators a layer of the Network becomes, for what the NPUs' tables say of them.

Only layers of which the converter makes one known operator (or a fixed few) are here; activations
that it fuses into the layer before (relu) and norms that it folds are left out.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgeflow.network import Network

OPERATORS: dict[str, tuple[str, ...]] = {
    "dense": ("FULLY_CONNECTED",),
    "conv1d": ("CONV_2D",),
    "conv2d": ("CONV_2D",),
    "depthwise_conv1d": ("DEPTHWISE_CONV_2D",),
    "depthwise_conv2d": ("DEPTHWISE_CONV_2D",),
    "conv2d_transpose": ("TRANSPOSE_CONV",),
    "leaky_relu": ("LEAKY_RELU",),
    "prelu": ("PRELU",),
    "elu": ("ELU",),
    "gelu": ("GELU",),
    "hard_silu": ("HARD_SWISH",),
    "silu": ("LOGISTIC", "MUL"),
    "sigmoid": ("LOGISTIC",),
    "tanh": ("TANH",),
    "softmax": ("SOFTMAX",),
    "log_softmax": ("LOG_SOFTMAX",),
    "exponential": ("EXP",),
    "max_pool1d": ("MAX_POOL_2D",),
    "max_pool2d": ("MAX_POOL_2D",),
    "avg_pool1d": ("AVERAGE_POOL_2D",),
    "avg_pool2d": ("AVERAGE_POOL_2D",),
    "global_avg_pool1d": ("MEAN",),
    "global_avg_pool2d": ("MEAN",),
    "global_max_pool1d": ("REDUCE_MAX",),
    "global_max_pool2d": ("REDUCE_MAX",),
    "add": ("ADD",),
    "sub": ("SUB",),
    "mul": ("MUL",),
    "div": ("DIV",),
    "maximum": ("MAXIMUM",),
    "minimum": ("MINIMUM",),
    "concat": ("CONCATENATION",),
    "flatten": ("RESHAPE",),
    "reshape": ("RESHAPE",),
    "pad": ("PAD",),
    "crop": ("STRIDED_SLICE",),
    "upsample": ("RESIZE_NEAREST_NEIGHBOR",),
    "resize_bilinear": ("RESIZE_BILINEAR",),
    "transpose": ("TRANSPOSE",),
    "embedding": ("GATHER",),
    "matmul": ("BATCH_MATMUL",),
    "quantize": ("QUANTIZE",),
    "gru": ("WHILE",),
    "simple_rnn": ("WHILE",),
}


def of(network: Network) -> Iterator[tuple[str, str]]:
    """The name of each layer with each operator that it becomes, in order."""
    for layer in network:
        for operator in OPERATORS.get(layer.kind, ()):
            yield layer.name, operator
