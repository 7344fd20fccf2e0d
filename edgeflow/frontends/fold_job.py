"""Folding batch norms into the layers before them; numpy only, for any toolchain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from edgeflow.network import Layer, Network, Weight

Array = np.ndarray[Any, Any]
FOLDABLE = ("dense", "conv1d", "conv2d", "depthwise_conv1d", "depthwise_conv2d")


def fold_batch_norm(
    network: Network, weights: Mapping[str, Array]
) -> tuple[Network, dict[str, Array]]:
    """Fold each ``batch_norm`` (and ``scale``) into the layer before it.

    Done where that is a dense, (depthwise) convolution with no quantisers, and the batch norm its
    only reader. ``kernel * s``, ``(bias - mean) * s + beta`` with
    ``s = gamma / sqrt(variance + epsilon)`` per output channel, computed in float64. The merged
    layer keeps the convolution's name; readers of the batch norm read it instead.
    """
    arrays = {name: np.asarray(value) for name, value in weights.items()}
    layers: dict[str, Layer] = {}
    renamed: dict[str, str] = {}
    for original in network.layers:
        layer = replace(original, inputs=tuple(renamed.get(n, n) for n in original.inputs))
        before = layers.get(layer.inputs[0]) if layer.inputs else None
        if before is not None and _foldable(network, original, layer, before):
            scale, offset = _affine(layer, arrays)
            layers[before.name] = _folded(before, layer, scale, offset, arrays)
            renamed[layer.name] = before.name
            for role in layer.weights:
                arrays.pop(f"{layer.name}/{role}", None)
        else:
            layers[layer.name] = layer
    outputs = tuple(renamed.get(name, name) for name in network.outputs)
    return replace(network, layers=tuple(layers.values()), outputs=outputs), arrays


def _foldable(network: Network, original: Layer, layer: Layer, before: Layer) -> bool:
    """`layer` is `original` after the folding done so far; `before` is what it reads."""
    if layer.kind not in ("batch_norm", "scale") or before.kind not in FOLDABLE:
        return False
    if layer.attributes.get("axis", -1) != -1 or before.quantizer is not None:
        return False
    source = original.inputs[0]
    if len(network.consumers[source]) != 1 or source in network.outputs:
        return False
    rounded = (*before.weights.values(), *layer.weights.values())
    return all(weight.quantizer is None for weight in rounded)


def _affine(layer: Layer, arrays: Mapping[str, Array]) -> tuple[Array, Array]:
    """Scale and offset per channel of a batch norm or scale layer."""

    def get(role: str, default: float) -> Array:
        return np.asarray(arrays.get(f"{layer.name}/{role}", default), np.float64)

    if layer.kind == "scale":
        return get("scale", 1.0), get("offset", 0.0)
    scale = get("gamma", 1.0) / np.sqrt(get("moving_variance", 1.0) + layer.attributes["epsilon"])
    return scale, get("beta", 0.0) - get("moving_mean", 0.0) * scale


def _folded(
    before: Layer, layer: Layer, scale: Array, offset: Array, arrays: dict[str, Array]
) -> Layer:
    kernel = arrays[f"{before.name}/kernel"].astype(np.float64)
    if before.kind.startswith("depthwise"):
        factor = np.broadcast_to(scale, (kernel.shape[-2] * kernel.shape[-1],))
        kernel = kernel * factor.reshape(kernel.shape[-2:])
        channels = kernel.shape[-2] * kernel.shape[-1]
    else:
        kernel = kernel * scale
        channels = kernel.shape[-1]
    bias = np.asarray(arrays.get(f"{before.name}/bias", np.zeros(channels)), np.float64)
    new = {"kernel": kernel.astype(np.float32), "bias": (bias * scale + offset).astype(np.float32)}
    new["bias"] = np.broadcast_to(new["bias"], (channels,)).copy()
    described: dict[str, Weight] = {}
    for role, array in new.items():
        arrays[f"{before.name}/{role}"] = array
        described[role] = Weight(tuple(array.shape), 32, int(np.count_nonzero(array)))
    return replace(before, weights=described, quantizer=layer.quantizer)
