"""Folds each batch norm into the layer before it, where the two are joined only to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from edgeflow.backends.tflite.plan_job import KERNELS
from edgeflow.network import Layer, Network, Weight


def fold(
    network: Network, weights: Mapping[str, np.ndarray]
) -> tuple[Network, dict[str, np.ndarray], dict[str, str]]:
    """The same function without the batch norms that can be folded.

    Returns the Network, its arrays, and for each folded batch norm the layer that now computes it.

    y = gamma (Wx + b - mean) / sqrt(variance + epsilon) + beta is one layer with the kernel
    W g and the bias (b - mean) g + beta, g = gamma / sqrt(variance + epsilon).
    """
    arrays = dict(weights)
    layers: dict[str, Layer] = {}
    gone: dict[str, str] = {}  # a folded layer's name -> whose output it now is
    for given in network:
        layer = replace(given, inputs=tuple(gone.get(name, name) for name in given.inputs))
        before = layers.get(layer.inputs[0]) if layer.inputs else None
        if layer.kind != "batch_norm" or before is None or not _joined(network, before, layer):
            layers[layer.name] = layer
            continue
        gain, shift = _affine(layer, arrays)
        name = before.name
        kernel = arrays[f"{name}/kernel"].astype(np.float64)
        bias = arrays.get(f"{name}/bias", np.zeros(len(gain)))
        arrays[f"{name}/bias"] = (bias * gain + shift).astype(np.float32)
        arrays[f"{name}/kernel"] = (kernel * _shaped(before, gain, kernel)).astype(np.float32)
        roles = {**before.weights, "bias": Weight((len(gain),))}
        layers[name] = replace(
            before, weights=roles, quantizer=layer.quantizer,
            attributes={**before.attributes, "use_bias": True},
        )  # fmt: skip
        gone[layer.name] = name
    return (
        replace(
            network,
            layers=tuple(layers.values()),
            outputs=tuple(gone.get(name, name) for name in network.outputs),
        ),
        arrays,
        gone,
    )


def _joined(network: Network, before: Layer, norm: Layer) -> bool:
    kernel = before.weights.get("kernel")
    return (
        before.kind in KERNELS
        and before.quantizer is None
        and before.name not in network.outputs
        and [layer.name for layer in network.consumers[before.name]] == [norm.name]
        and not (kernel and kernel.quantizer and kernel.quantizer.kind == "affine")
    )


def _affine(norm: Layer, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    get = {
        role: arrays.get(f"{norm.name}/{role}")
        for role in ("gamma", "beta", "moving_mean", "moving_variance")
    }
    mean, variance = get["moving_mean"], get["moving_variance"]
    assert mean is not None
    assert variance is not None
    epsilon = float(norm.attributes.get("epsilon", 1e-3))
    gain = 1 / np.sqrt(variance.astype(np.float64) + epsilon)
    if get["gamma"] is not None:
        gain = gain * get["gamma"]
    shift = -mean * gain
    if get["beta"] is not None:
        shift = shift + get["beta"]
    return gain, shift


def _shaped(layer: Layer, gain: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The gain of each output channel in the kernel's layout."""
    if layer.kind.startswith("depthwise"):
        return gain.reshape(kernel.shape[-2:])
    return gain[:, None] if layer.kind.endswith("transpose") else gain
