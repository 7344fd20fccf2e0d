"""What a network makes a microcontroller's kernels do, counted from the layers' shapes alone.

The counts are those that a kernel's time is made of: multiply-accumulates by kind, outputs that are
scaled back to 8 bits, elements gathered into columns for a convolution, elements moved or combined,
and layers. Layers that a converter folds into their producer (activations, batch normalisation,
changes of shape) count nothing. Standard library alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

from edgeflow.network import PASSING, Layer, Network, Shape, count_macs

TERMS: Final = (
    "mac", "thin_mac", "dense_mac", "output", "gather", "depthwise_mac", "depthwise_output",
    "move", "combine", "function", "one_axis", "far", "layer", "network",
)  # fmt: skip
"""``mac``, ``dense_mac``: multiply-accumulates of convolutions, and of dense and recurrent layers,
which read each weight for one product; ``thin_mac``: those of convolutions over fewer than four
channels, once more, for no word holds four of them; ``output``: the outputs of both; ``gather``:
elements of windows larger than one, copied before the product; ``depthwise_…``: of depthwise
convolutions; ``move``: elements that are copied (padding, concatenation, another scale);
``combine``: inputs of additions, products and pooling windows; ``function``: elements of functions
such as softmax; ``one_axis``: outputs of convolutions whose window has one axis (3x1, Conv1D), for
which some libraries have no kernel of their own; ``far``: elements that layers read and write
where they lie in memory outside the chip, else 0; ``layer``: operators that run; ``network``: 1."""

DENSE: Final = frozenset("dense matmul lstm gru simple_rnn embedding".split())
CONV: Final = frozenset("conv1d conv2d conv1d_transpose conv2d_transpose".split())
DEPTHWISE: Final = frozenset("depthwise_conv1d depthwise_conv2d".split())
POOL: Final = frozenset("max_pool1d max_pool2d avg_pool1d avg_pool2d".split())
GLOBAL: Final = frozenset(
    """
    global_avg_pool1d global_avg_pool2d global_max_pool1d global_max_pool2d mean max sum
    """.split()
)
COMBINE: Final = frozenset("add sub mul div maximum minimum average".split())
FUNCTION: Final = frozenset(
    """
    softmax log_softmax sigmoid tanh gelu elu selu silu hard_silu softplus softsign exponential
    hard_sigmoid layer_norm
    """.split()
)
ALL_WEIGHTED: Final = DENSE | CONV | DEPTHWISE
CLAMP: Final = frozenset("relu leaky_relu prelu thresholded_relu hard_tanh".split())
SCALE: Final = frozenset("batch_norm scale".split())


def count(network: Network, far: bool = False) -> dict[str, float]:
    """The amount of each of `TERMS` in one inference.

    Args:
        network: shapes suffice.
        far: the activations lie in memory outside the chip.
    """
    found = dict.fromkeys(TERMS, 0.0)
    if far:
        found["far"] = traffic(network)
    found["network"] = 1.0
    for layer in network:
        for name, amount in of_layer(layer, network).items():
            found[name] += amount
    return found


def traffic(network: Network) -> float:
    """Elements that all operators read and write."""
    return sum(
        layer.output_size + sum(_sizes(layer.input_shapes))
        for layer in network
        if runs(layer, network)
    )


def macs(layer: Layer) -> float:
    """A layer's multiply-accumulates: those it says, else those of its shapes."""
    if layer.macs or layer.kind not in (*DENSE, *CONV, *DEPTHWISE):
        return float(layer.macs)
    try:
        return float(count_macs(layer))
    except (KeyError, IndexError, TypeError, ValueError):
        return 0.0


def runs(layer: Layer, network: Network) -> bool:
    """Whether an operator of its own runs for the layer."""
    kind = layer.kind
    if kind in ("input", "constant", "flatten", "reshape", "identity"):
        return False
    if kind in CLAMP | SCALE:
        return not _folds(layer, network)
    if kind in ("quantize", "dequantize"):
        return changes_numbers(layer, network)
    return True


def changes_numbers(layer: Layer, network: Network) -> bool:
    """Whether a quantize or dequantize layer stands alone: where no product's output is rounded."""
    producers = [network[name] for name in layer.inputs]
    weighted = DENSE | CONV | DEPTHWISE | CLAMP | SCALE | COMBINE
    return not any(producer.kind in weighted for producer in producers)


def _folds(layer: Layer, network: Network) -> bool:
    """Activations and scales go into the product, sum or scale before them."""
    allowed = DENSE | CONV | DEPTHWISE | SCALE | COMBINE | POOL | {"quantize", "pad"}
    for name in layer.inputs:
        producer = network[name]
        if producer.kind in PASSING:
            continue
        if producer.kind not in allowed:
            return False
    return True


def of_layer(layer: Layer, network: Network) -> dict[str, float]:
    """One layer's amounts."""
    if not runs(layer, network):
        return {}
    kind, out = layer.kind, float(layer.output_size)
    if kind in DENSE:
        return {"dense_mac": macs(layer), "output": out * _gates(kind), "layer": 1.0}
    if kind in CONV:
        found = {"mac": macs(layer), "output": out, "layer": 1.0}
        if channels_in(layer) < 4 and not _one_axis(layer):
            found["thin_mac"] = macs(layer)
        size = window(layer)
        if size > 1:
            found["one_axis"] = out if _one_axis(layer) else 0.0
            found["gather"] = out / max(1, _filters(layer)) * size * channels_in(layer)
        return found
    if kind in DEPTHWISE:
        return {"depthwise_mac": macs(layer), "depthwise_output": out, "layer": 1.0}
    if kind in POOL:
        return {"combine": out * _pool(layer), "layer": 1.0}
    if kind in GLOBAL:
        return {"combine": float(sum(_sizes(layer.input_shapes))), "layer": 1.0}
    if kind in COMBINE:
        return {"combine": out * max(2, len(layer.inputs)), "layer": 1.0}
    if kind in FUNCTION:
        return {"function": out, "layer": 1.0}
    return {"move": out, "layer": 1.0}


def _gates(kind: str) -> float:
    return {"lstm": 4.0, "gru": 3.0}.get(kind, 1.0)


def window(layer: Layer) -> int:
    """Elements of a convolution's window in one channel."""
    kernel = layer.weights.get("kernel")
    if kernel is not None and len(kernel.shape) >= 3:
        return math.prod(kernel.shape[:-2])
    size = layer.attributes.get("kernel_size") or 1
    return math.prod(size) if isinstance(size, list | tuple) else int(size)


def _one_axis(layer: Layer) -> bool:
    """Whether a window of more than one element lies along one axis."""
    kernel = layer.weights.get("kernel")
    size: Any = layer.attributes.get("kernel_size") or 1
    if kernel is not None and len(kernel.shape) >= 3:
        size = kernel.shape[:-2]
    return not isinstance(size, list | tuple) or max(size) == math.prod(size)


def channels_in(layer: Layer) -> int:
    """Channels that one output of a convolution reads."""
    kernel = layer.weights.get("kernel")
    if kernel is not None and len(kernel.shape) >= 3:
        return kernel.shape[-2]
    return int(layer.input_shapes[0][-1] or 1) if layer.input_shapes else 1


def _filters(layer: Layer) -> int:
    kernel = layer.weights.get("kernel")
    if kernel is not None and kernel.shape:
        return kernel.shape[-1]
    return int(layer.output_shape[-1] or 1) if layer.output_shape else 1


def _pool(layer: Layer) -> int:
    size = layer.attributes.get("pool_size") or 2
    if isinstance(size, list | tuple):
        return math.prod(size)
    return int(size) ** (2 if layer.kind.endswith("2d") else 1)


def _sizes(shapes: Iterable[Shape]) -> list[int]:
    return [math.prod(dim or 1 for dim in shape) for shape in shapes]
