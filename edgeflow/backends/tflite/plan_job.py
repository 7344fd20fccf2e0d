"""Where fake-quant operations stand, and with which scales, so that the converter's int8 file has
exactly the quantisers that the model was trained with. Numpy alone.

TFLite's int8: real = scale x (q - zero_point); activations per tensor, kernels symmetric in
[-127, 127], per output channel or per tensor (TensorFlow Lite 8-bit quantization specification).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from edgeflow.frontends.fold_job import FOLDABLE, fold_batch_norm
from edgeflow.frontends.fold_job import _affine as _affine_of
from edgeflow.network import Layer, Network

PASSIVE = frozenset(
    """flatten reshape transpose pad crop slice upsample max_pool1d max_pool2d
    global_max_pool1d global_max_pool2d identity quantize dequantize""".split()
)
"""Kinds whose values are a choice of their input's: they share its scale."""

AVERAGES = frozenset("avg_pool1d avg_pool2d global_avg_pool1d global_avg_pool2d mean".split())
"""Kinds that stay inside their input's range; their own quantiser is the input's by default."""

FIXED = {
    "softmax": (1 / 256, -128),
    "sigmoid": (1 / 256, -128),
    "tanh": (1 / 128, 0),
    "log_softmax": (16 / 256, 127),
}
"""Scale and zero point that the specification prescribes for these outputs."""

FUSED = frozenset(
    """dense conv1d conv2d depthwise_conv1d depthwise_conv2d batch_norm scale add sub mul""".split()
)
"""Kinds into which TFLite fuses a relu that follows."""

KERNELS = frozenset(
    [
        "dense",
        "conv1d",
        "conv2d",
        "depthwise_conv1d",
        "depthwise_conv2d",
        "conv1d_transpose",
        "conv2d_transpose",
    ]
)


SCALING = frozenset(["batch_norm", "scale"])
"""Kinds that multiply each channel by a number and add one."""


@dataclass(frozen=True)
class Affine:
    """int8 quantisation of an activation; ``floor`` is a smallest value that is kept by an extra
    maximum (a signed quantiser of less than 8 bits), ``trained`` whether the model brought it."""

    scale: float
    zero_point: int
    floor: float | None = None
    trained: bool = True


@dataclass(frozen=True)
class Kernel:
    """Scales of a kernel (one, or one per output channel); ``exact`` if no element is rounded."""

    scale: tuple[float, ...]
    exact: bool
    trained: bool = True


@dataclass(frozen=True)
class Plan:
    """The quantisation of a Network: after which layers a fake quant stands, and the kernels'."""

    activations: Mapping[str, Affine]
    emitted: frozenset[str]
    kernels: Mapping[str, Kernel]


def fold(
    network: Network, weights: Mapping[str, np.ndarray]
) -> tuple[Network, dict[str, np.ndarray], dict[str, str]]:
    """The Network with its batch norms folded, its arrays, and which layer each went into.

    A quantised kernel is folded too: each output channel keeps its own grid, times a factor, and
    `kernel` finds that grid again.
    """
    plain = []
    for layer in network:
        roles = layer.weights
        if _before_norm(network, layer):
            roles = {role: replace(weight, quantizer=None) for role, weight in roles.items()}
        plain.append(replace(layer, weights=roles))
    merged, values = fold_batch_norm(network.with_layers(tuple(plain)), weights)
    into: dict[str, str] = {}
    for layer in network:
        if layer.name not in merged.by_name:
            into[layer.name] = into.get(layer.inputs[0], layer.inputs[0])
    return merged, values, into


def _before_norm(network: Network, layer: Layer) -> bool:
    """Whether only a batch norm reads the layer, so that it will be folded."""
    kinds = [following.kind for following in network.consumers[layer.name]]
    return (
        layer.kind in FOLDABLE
        and layer.quantizer is None
        and layer.name not in network.outputs
        and kinds in (["batch_norm"], ["scale"])
    )


def fused_into_next(network: Network, layer: Layer) -> bool:
    """Whether the layer's output exists only inside the relu that follows."""
    following = network.consumers[layer.name]
    return (
        layer.kind in FUSED
        and layer.name not in network.outputs
        and [then.kind for then in following] == ["relu"]
        and given(network, layer) is None
    )


def given(network: Network, layer: Layer) -> Affine | None:
    """The trained quantiser of a layer's output: its own, or that of the layer which alone reads
    it and only moves or rounds its values."""
    own = _affine(layer)
    if own is not None or layer.quantizer is not None or layer.kind in FIXED:
        return own
    following = network.consumers[layer.name]
    if len(following) == 1 and following[0].kind in PASSIVE and layer.name not in network.outputs:
        return given(network, following[0])
    return None


def missing(network: Network) -> list[str]:
    """The layers whose range is in no quantiser and has to be measured on data."""
    return [
        layer.name
        for layer in network
        if given(network, layer) is None
        and layer.kind not in FIXED
        and layer.kind != "constant"
        and not (layer.kind in PASSIVE | AVERAGES and layer.inputs)
        and not fused_into_next(network, layer)
        and not _before_norm(network, layer)
    ]


def make(
    network: Network,
    weights: Mapping[str, np.ndarray],
    ranges: Mapping[str, tuple[float, float]],
) -> Plan:
    """The plan for a Network whose batch norms are folded.

    Args:
        network: its layers' quantisers come first.
        weights: arrays by ``LAYER/ROLE``.
        ranges: least and largest value of the layers that `missing` names.
    """
    activations: dict[str, Affine] = {}
    emitted = set()
    kernels = {}
    for layer in network:
        if layer.kind in KERNELS | SCALING:
            kernels[layer.name] = kernel(layer, arrays(layer, weights)[0])
        trained = given(network, layer)
        before = activations.get(layer.inputs[0]) if layer.inputs else None
        if trained is not None:
            activations[layer.name] = trained
            if layer.kind in PASSIVE and trained == before:
                continue
        elif fused_into_next(network, layer):
            continue
        elif layer.kind in FIXED:
            scale, zero = FIXED[layer.kind]
            activations[layer.name] = Affine(scale, zero)
            continue
        elif layer.kind in PASSIVE | AVERAGES and before is not None:
            activations[layer.name] = before
            if layer.kind in PASSIVE:
                continue
        elif layer.name in ranges:
            activations[layer.name] = from_range(*ranges[layer.name])
        else:
            continue
        emitted.add(layer.name)
    return Plan(activations, frozenset(emitted), kernels)


def from_range(low: float, high: float) -> Affine:
    """Scale and zero point of a measured range, which is widened to hold 0."""
    low, high = min(low, 0.0), max(high, 0.0)
    if high == low:
        high = 1.0
    scale = (high - low) / 255
    return Affine(scale, int(np.clip(round(-128 - low / scale), -128, 127)), trained=False)


def _affine(layer: Layer) -> Affine | None:
    """The layer's own quantiser in int8; None where it has none that int8 can hold.

    The top of its range is put at q = 127. With fewer than 8 bits the zero point moves so that
    int8 saturates where the quantiser does: no operation is needed for it. The lower end takes a
    maximum, but for a relu, which stops at 0 by itself.
    """
    quantizer = layer.quantizer
    if quantizer is None or quantizer.bits != int(quantizer.bits) or quantizer.bits > 8:
        return None
    signed, bits, zero = quantizer.signed, int(quantizer.bits), 0
    if quantizer.kind == "affine" and quantizer.scale and len(quantizer.scale) == 1:
        scale = quantizer.scale[0]
        zero = (quantizer.zero_point or (0,))[0]
    elif quantizer.kind == "fixed" and quantizer.integer == int(quantizer.integer or 0):
        scale = 2.0 ** (quantizer.integer + signed - bits)
    else:
        return None
    top = 2 ** (bits - signed) - 1
    lowest = -top - 1 + quantizer.narrow if signed else 0
    moved = 127 - (top - zero)
    if not -128 <= moved <= 127:
        return None
    stops = layer.kind == "relu" and lowest == zero
    floor = (lowest - zero) * scale if lowest - zero > -128 - moved and not stops else None
    return Affine(scale, moved, floor)


def arrays(layer: Layer, weights: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
    """Kernel and bias of a layer; of a batch norm, those of the depthwise convolution it is."""
    if layer.kind not in SCALING:
        bias = weights.get(f"{layer.name}/bias")
        return weights[f"{layer.name}/kernel"].astype(np.float32), bias
    gain, shift = _affine_of(layer, weights)
    channels_ = layer.output_shape[-1] or 1
    gain, shift = (np.broadcast_to(a, channels_).astype(np.float32) for a in (gain, shift))
    return gain.reshape(1, 1, -1, 1), shift


def kernel(layer: Layer, values: np.ndarray) -> Kernel:
    """The scales of a layer's kernel: trained 8-bit ones, else the grid on which its values lie.

    A dense layer keeps one scale where one holds all its values (TFLite's own form); others have
    one per output channel. Where no grid of 255 steps holds them, the largest value is at 127.
    A grid of few steps is divided by a power of two: the bias, whose step is the input's times
    the kernel's, then keeps its precision.
    """
    quantizer = layer.weights["kernel"].quantizer if "kernel" in layer.weights else None
    if quantizer is not None and quantizer.kind == "affine" and quantizer.scale:
        scales = np.asarray(quantizer.scale, np.float64)
        columns = channels(layer, values) if len(scales) > 1 else values.reshape(-1, 1)
        q = columns / scales
        exact = bool(np.abs(q - np.clip(np.round(q), -127, 127)).max(initial=0) < 1e-3)
        if exact and quantizer.bits < 8:
            scales = scales / 2.0 ** np.floor(np.log2(127 / max(1, np.abs(q).max(initial=1))))
        return Kernel(tuple(float(scale) for scale in scales), exact)
    if layer.kind == "dense":
        whole = grid(values.reshape(-1))
        if whole is not None:
            return Kernel((whole,), True)
    found, exact = [], True
    for column in channels(layer, values).T:
        step = grid(column)
        exact = exact and step is not None
        found.append(step or float(np.abs(column).max()) / 127)
    return Kernel(tuple(found), exact, trained=exact)


def channels(layer: Layer, values: np.ndarray) -> np.ndarray:
    """A kernel as elements x output channels."""
    if layer.kind.startswith("depthwise") or layer.kind in SCALING:
        return values.reshape(-1, values.shape[-2] * values.shape[-1])
    return values.reshape(-1, values.shape[-1])


def grid(values: np.ndarray) -> float | None:
    """A step of which all values are a multiple, the largest between 64 and 127 steps; None
    where there is no such step.

    Each value is allowed 1e-5 of the largest: the rounding of float32 weights that were folded.
    """
    largest = float(np.abs(values).max(initial=0))
    if largest == 0:
        return 1.0
    parts = np.unique(np.abs(values.astype(np.float64))) / largest
    for steps in range(1, 128):
        q = parts * steps
        if np.abs(q - np.round(q)).max() <= 1e-5 * steps:
            return float(largest / steps / 2 ** math.floor(math.log2(127 / steps)))
    return None
