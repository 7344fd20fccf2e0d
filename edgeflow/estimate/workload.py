"""What each layer of a Network asks of a machine: products, elements read and written, weights.

The estimators of accelerators and processors read these few counts, so that they work alike on
Networks with weights and on those of shapes alone. Batch 1. Standard library alone.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Final

from edgeflow.network import Layer, Network, Shape

FREE: Final = frozenset("input constant flatten reshape quantize dequantize identity".split())
"""Kinds that no compiler makes an operation of: views, and roundings that the layer before does."""

FUSED: Final = frozenset("batch_norm scale relu leaky_relu thresholded_relu".split())
"""Kinds that a compiler folds into the product before them."""

PRODUCTS: Final = frozenset(
    "dense conv1d conv2d conv1d_transpose conv2d_transpose matmul lstm gru simple_rnn".split()
)
DEPTHWISE: Final = frozenset("depthwise_conv1d depthwise_conv2d".split())
MOVES: Final = frozenset("concat pad crop slice transpose upsample resize_bilinear".split())
FUNCTIONS: Final = frozenset(
    """elu selu gelu sigmoid hard_sigmoid tanh hard_tanh softmax softplus softsign silu hard_silu
    exponential log_softmax prelu layer_norm""".split()
)


@dataclass(frozen=True)
class Work:
    """One operation as a machine sees it.

    ``group`` is ``product``, ``depthwise``, ``pool``, ``elementwise``, ``function`` or ``move``. A
    product makes ``positions`` x ``outputs`` sums of ``taps`` x ``inputs`` products each, one
    kernel after the other ``steps`` times (recurrent layers). ``read`` and ``written`` count
    elements of activations, ``weights`` those of kernels, ``biases`` the sums.
    """

    name: str
    kind: str
    group: str
    macs: int = 0
    positions: int = 1
    taps: int = 1
    inputs: int = 1
    outputs: int = 1
    steps: int = 1
    read: int = 0
    written: int = 0
    weights: int = 0
    biases: int = 0


def of(network: Network) -> list[Work]:
    """The operations of a Network in their order, without what is folded into others."""
    found = []
    for layer in network:
        if layer.kind in FREE or _folded(network, layer):
            continue
        found.append(_work(layer))
    return found


Counted = tuple[tuple[Work, int], ...]
"""Operations, those that are alike counted together."""


def counted(network: Network) -> Counted:
    """The operations of a Network without their names: how many there are of each."""
    return tuple(Counter(replace(work, name="") for work in of(network)).items())


def ports(network: Network) -> tuple[int, int]:
    """Elements that enter and leave the Network."""
    return (
        sum(network[name].output_size for name in network.inputs),
        sum(network[name].output_size for name in network.outputs),
    )


def _folded(network: Network, layer: Layer) -> bool:
    """Whether the layer is done with the product, or the sum, that it follows."""
    if layer.kind not in FUSED or len(layer.inputs) != 1:
        return False
    before = network.by_name[layer.inputs[0]]
    if len(network.consumers[before.name]) > 1:
        return False
    adds = layer.kind == "relu" and before.kind in ("add", "sub", "mul", "concat")
    return before.kind in PRODUCTS | DEPTHWISE or adds or _folded(network, before)


def _work(layer: Layer) -> Work:
    read = sum(_size(shape) for shape in layer.input_shapes)
    common: dict[str, Any] = {
        "name": layer.name, "kind": layer.kind, "read": read, "written": layer.output_size,
    }  # fmt: skip
    if layer.kind in DEPTHWISE:
        taps = _taps(layer)
        macs = layer.macs or layer.output_size * taps
        channels = _last(layer.output_shape)
        return Work(
            group="depthwise", macs=macs, positions=layer.output_size // max(1, channels),
            taps=taps, outputs=channels, weights=taps * channels, biases=channels, **common,
        )  # fmt: skip
    if layer.kind in PRODUCTS:
        return _product(layer, common)
    return Work(group=_group(layer.kind), macs=layer.macs, **common)


def _product(layer: Layer, common: dict[str, Any]) -> Work:
    kernels = [w for role, w in layer.weights.items() if role.endswith("kernel")]
    outputs = _last(layer.output_shape)
    incoming = _last(layer.input_shapes[0]) if layer.input_shapes else 1
    groups = int(layer.attributes.get("groups") or 1)
    taps = _taps(layer)
    inputs = max(1, incoming // groups)
    positions = max(1, layer.output_size // max(1, outputs))
    steps = 1
    weights = sum(kernel.size for kernel in kernels)
    if layer.kind in ("lstm", "gru", "simple_rnn"):
        steps = int((layer.input_shapes[0][0] if layer.input_shapes else 1) or 1)
        gates = {"lstm": 4, "gru": 3, "simple_rnn": 1}[layer.kind]
        units = outputs
        inputs, outputs, positions = incoming + units, gates * units, 1
        weights = weights or inputs * outputs
        macs = layer.macs or steps * weights
    elif layer.kind == "matmul":
        inputs = incoming
        macs = layer.macs or positions * inputs * outputs
        weights = 0
    elif layer.kind.endswith("transpose"):
        # Each input position makes taps x outputs products.
        positions = max(1, common["read"] // max(1, incoming))
        weights = weights or taps * inputs * outputs
        macs = layer.macs or positions * taps * inputs * outputs
    else:
        weights = weights or taps * inputs * outputs
        macs = layer.macs or positions * taps * inputs * outputs
    return Work(
        group="product", macs=macs, positions=positions, taps=taps, inputs=inputs,
        outputs=outputs, steps=steps, weights=weights, biases=outputs, **common,
    )  # fmt: skip


def _group(kind: str) -> str:
    if "pool" in kind or kind in ("mean", "max", "sum"):
        return "pool"
    if kind in MOVES or kind == "embedding":
        return "move"
    return "function" if kind in FUNCTIONS else "elementwise"


def _taps(layer: Layer) -> int:
    """Products of a window, from the kernel's shape, the settings, or the count of products."""
    if layer.kind in ("dense", "matmul", "lstm", "gru", "simple_rnn"):
        return 1
    rank = 1 if "1d" in layer.kind else 2
    kernel = layer.weights.get("kernel") or layer.weights.get("depthwise_kernel")
    if kernel is not None and len(kernel.shape) == rank + 2:
        return max(1, math.prod(kernel.shape[:rank]))
    size = layer.attributes.get("kernel_size")
    if isinstance(size, int):
        return int(max(1, size**rank))
    if isinstance(size, list | tuple) and size:
        return max(1, math.prod(int(side) for side in size))
    products = max(1, layer.output_size)
    if layer.kind not in DEPTHWISE and layer.input_shapes:
        products *= _last(layer.input_shapes[0])
    return max(1, round(layer.macs / products))


def _last(shape: Shape) -> int:
    return (shape[-1] or 1) if shape else 1


def _size(shape: Shape) -> int:
    return math.prod(dim or 1 for dim in shape)
