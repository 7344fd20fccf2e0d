"""Effective bit operations (EBOPs) of a Network: HGQ's measure of what its logic will cost.

Sun et al., "Gradient-based Automatic Mixed Precision Quantization for Neural Networks On-Chip"
(arXiv:2405.00645), section III: the sum, over all multiplications, of the product of the operands'
bits; a bias counts the bits of its elements once for each output. Bits that differ between
elements count each for themselves. As in HGQ2, the sign is counted where a type saturates
(``SAT``) and not otherwise: the values are then those that HGQ2 itself reports (but for the bias of
a convolution with strides, which HGQ2 0.2 counts once for each position of the input).

numpy is imported inside the functions: the core starts without it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from edgeflow.network import Layer, Network, Quantizer

if TYPE_CHECKING:
    import numpy as np

KINDS: Final = frozenset(
    "dense conv1d conv2d depthwise_conv1d depthwise_conv2d scale batch_norm".split()
)
"""Layers whose multiplications are counted: those with constants."""


def ebops(network: Network, weights: Mapping[str, np.ndarray] | None = None) -> dict[str, Any]:
    """EBOPs of every layer and of all.

    Args:
        network: the model; what it does not round counts as 32 bits.
        weights: its arrays, for bits by element (``LAYER/@integer``, ``LAYER/ROLE@integer``, …,
            as HGQ2's models have them); without them the Network's mean bits are taken.

    Returns:
        ``total`` and ``layers`` {name: EBOPs}.
    """
    arrays = weights or {}
    found = {layer.name: _layer(layer, network, arrays) for layer in network if layer.kind in KINDS}
    return {"total": sum(found.values()), "layers": found}


def bits_of(quantizer: Quantizer | None, parts: Mapping[str, Any], shape: tuple[int, ...]) -> Any:
    """Bits of each element of a tensor, as an array of its shape.

    ``parts`` may hold ``signed``, ``integer``, ``fraction`` by element (a batch dimension of 1 is
    dropped).
    """
    import numpy as np

    if quantizer is None:
        return np.full(shape, 32.0)
    saturates = (quantizer.overflow or "SAT").upper() == "SAT"
    if len(parts) == 3:
        signed, integer, fraction = (
            _spread(np.asarray(parts[key], np.float64), shape)
            for key in ("signed", "integer", "fraction")
        )
        own = np.maximum(integer + fraction, 0.0)
        return np.where(signed + integer + fraction > 0, own + signed * saturates, 0.0)
    bits = quantizer.bits - (quantizer.signed and not saturates and quantizer.kind == "fixed")
    return np.full(shape, float(bits))


def _spread(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    import numpy as np

    if array.ndim == len(shape) + 1 and array.shape[0] == 1:
        array = array[0]
    return np.broadcast_to(array, shape)


def activation_bits(network: Network, name: str, weights: Mapping[str, Any]) -> Any:
    """Bits of each element of a layer's output: its quantiser's, or of what it passes on."""
    import numpy as np

    layer = network[name]
    shape = tuple(int(dim or 1) for dim in layer.output_shape)
    parts = {
        part: weights[f"{name}/@{part}"]
        for part in ("signed", "integer", "fraction")
        if f"{name}/@{part}" in weights
    }
    if layer.quantizer is not None:
        return bits_of(layer.quantizer, parts, shape)
    if not layer.inputs or layer.kind in KINDS:
        return np.full(shape, 32.0)
    below = [activation_bits(network, source, weights) for source in layer.inputs]
    if len(below) == 1 and below[0].size == math.prod(shape):
        return below[0].reshape(shape)
    return np.full(shape, float(np.mean([part.mean() for part in below])))


def _layer(layer: Layer, network: Network, weights: Mapping[str, Any]) -> float:
    import numpy as np

    data = activation_bits(network, layer.inputs[0], weights)
    outputs = math.prod(int(dim or 1) for dim in layer.output_shape)
    total = 0.0
    for role, weight in layer.weights.items():
        parts = {
            part: weights[f"{layer.name}/{role}@{part}"]
            for part in ("signed", "integer", "fraction")
            if f"{layer.name}/{role}@{part}" in weights
        }
        own = bits_of(weight.quantizer, parts, weight.shape)
        if role == "kernel":
            total += _products(layer, data, own)
        elif role in ("scale", "gamma"):
            total += float(np.sum(data * own))
        elif role in ("bias", "offset", "beta"):
            total += float(own.mean()) * outputs
    return total


def _products(layer: Layer, data: np.ndarray, kernel: np.ndarray) -> float:
    """The sum over all multiplications of the bits of both operands."""
    import numpy as np

    if layer.kind == "dense":
        return float(np.sum(data.reshape(-1, data.shape[-1]) @ kernel))
    spatial = kernel.ndim - 2
    size = kernel.shape[:spatial]
    strides = _each(layer.attributes.get("strides"), spatial)
    dilation = _each(layer.attributes.get("dilation_rate"), spatial)
    out = [int(dim or 1) for dim in layer.output_shape[:spatial]]
    reach = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    pads = []
    for axis in range(spatial):
        total = max((out[axis] - 1) * strides[axis] + reach[axis] - data.shape[axis], 0)
        same = layer.attributes.get("padding", "valid") == "same"
        pads.append((total // 2, total - total // 2) if same else (0, total))
    data = np.pad(data, [*pads, (0, 0)])
    groups = int(layer.attributes.get("groups") or 1)
    found = 0.0
    for tap in np.ndindex(*size):
        cut = tuple(
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, n, s in zip(tap, dilation, out, strides, strict=True)
        )
        by_channel = data[cut].reshape(-1, data.shape[-1]).sum(axis=0)
        rows = kernel[tap].sum(axis=1)
        if layer.kind.startswith("depthwise") or groups == 1:
            found += float(by_channel @ rows)
        else:
            parts = kernel[tap].reshape(len(rows), groups, -1).sum(axis=2).T
            found += float(np.sum(by_channel.reshape(groups, -1) * parts))
    return found


def _each(value: Any, count: int) -> tuple[int, ...]:
    items = value if isinstance(value, (list, tuple)) else [value or 1] * count
    return tuple(int(item) for item in items)
