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

from edgeflow.frontends.fold_job import _affine as _affine_of
from edgeflow.frontends.fold_job import fold_batch_norm
from edgeflow.network import Layer, Network, Quantizer

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

    A fixed-point kernel is folded too: each output channel keeps its own grid, times a factor,
    and `kernel` finds that grid again.
    """
    plain = []
    for layer in network:
        roles = {
            role: weight
            if weight.quantizer is None or weight.quantizer.kind == "affine"
            else replace(weight, quantizer=None)
            for role, weight in layer.weights.items()
        }
        plain.append(replace(layer, weights=roles))
    merged, arrays = fold_batch_norm(network.with_layers(tuple(plain)), weights)
    into: dict[str, str] = {}
    for layer in network:
        if layer.name not in merged.by_name:
            into[layer.name] = into.get(layer.inputs[0], layer.inputs[0])
    return merged, arrays, into


def fused_into_next(network: Network, layer: Layer) -> bool:
    """Whether the layer's output exists only inside the next one's: a relu or a quantiser."""
    following = network.consumers[layer.name]
    if len(following) != 1 or layer.name in network.outputs or layer.quantizer is not None:
        return False
    then = following[0]
    if layer.kind in FUSED:
        return then.kind == "relu" or (then.kind == "quantize" and then.quantizer is not None)
    return layer.kind == "relu" and then.kind == "quantize" and then.quantizer is not None


def missing(network: Network) -> list[str]:
    """The layers whose range is in no quantiser and has to be measured on data."""
    found = []
    known: set[str] = set()
    for layer in network:
        shares = layer.kind in PASSIVE | AVERAGES and layer.inputs
        if _affine(layer) is not None or layer.kind in FIXED or fused_into_next(network, layer):
            known.add(layer.name)
        elif not shares and layer.kind != "constant":
            found.append(layer.name)
    return found


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
        given = _affine(layer)
        before = activations.get(layer.inputs[0]) if layer.inputs else None
        if given is not None:
            if layer.kind in PASSIVE and given == before:
                activations[layer.name] = given
                continue
            activations[layer.name] = given
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
    """The layer's own quantiser in int8; None where it has none that int8 can hold."""
    quantizer = layer.quantizer
    if quantizer is None:
        return None
    if (
        quantizer.kind == "affine"
        and quantizer.scale
        and len(quantizer.scale) == 1
        and quantizer.bits == 8
    ):
        zero = (quantizer.zero_point or (0,))[0]
        return Affine(quantizer.scale[0], zero if quantizer.signed else zero - 128)
    if quantizer.kind == "fixed":
        return _fixed(quantizer)
    return None


def _fixed(quantizer: Quantizer) -> Affine | None:
    """A fixed-point quantiser: a power-of-two scale, the top of its range at q = 127.

    With fewer than 8 bits the zero point moves so that int8 saturates where the quantiser does:
    no operation is needed for it. A signed one's lower end takes a maximum.
    """
    bits, integer = quantizer.bits, quantizer.integer
    if integer is None or bits != int(bits) or integer != int(integer) or bits > 8:
        return None
    scale = 2.0 ** (integer + quantizer.signed - bits)
    top = 2 ** int(bits - quantizer.signed) - 1
    lowest = -top - 1 + quantizer.narrow if quantizer.signed else 0
    zero = 127 - top
    floor = lowest * scale if quantizer.signed and -128 - zero < lowest else None
    return Affine(scale, zero, floor)


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
    """The scales of a layer's kernel: trained ones, else the grid on which its values lie.

    A dense layer keeps one scale where one holds all its values (TFLite's own form); others have
    one per output channel. Where no grid of 255 steps holds them, the largest value is at 127.
    """
    quantizer = layer.weights["kernel"].quantizer if "kernel" in layer.weights else None
    if quantizer is not None and quantizer.kind == "affine" and quantizer.scale:
        scales = np.asarray(quantizer.scale, np.float64)
        columns = channels(layer, values) if len(scales) > 1 else values.reshape(-1, 1)
        q = columns / scales
        return Kernel(tuple(quantizer.scale), bool(np.abs(q - np.round(q)).max(initial=0) < 1e-3))
    if layer.kind == "dense":
        whole = grid(values.reshape(-1))
        if whole is not None:
            return Kernel((whole,), True)
    scales_found, exact = [], True
    for column in channels(layer, values).T:
        step = grid(column)
        exact = exact and step is not None
        scales_found.append(step or float(np.abs(column).max()) / 127)
    return Kernel(tuple(scales_found), exact, trained=exact)


def channels(layer: Layer, values: np.ndarray) -> np.ndarray:
    """A kernel as elements x output channels."""
    if layer.kind.startswith("depthwise") or layer.kind in SCALING:
        return values.reshape(-1, values.shape[-2] * values.shape[-1])
    return values.reshape(-1, values.shape[-1])


def grid(values: np.ndarray) -> float | None:
    """The largest step of which all values are a multiple, none beyond 127 steps; None without.

    Each value is allowed 1e-5 of the largest: the rounding of float32 weights that were folded.
    """
    largest = float(np.abs(values).max(initial=0))
    if largest == 0:
        return 1.0
    parts = np.unique(np.abs(values.astype(np.float64))) / largest
    for steps in range(1, 128):
        q = parts * steps
        if np.abs(q - np.round(q)).max() <= 1e-5 * steps:
            return largest / steps
    return None


def reaches(low: np.ndarray, high: np.ndarray) -> tuple[float, float]:
    """A range as plain floats.

    Raises:
        ValueError: it is not finite.
    """
    pair = float(low), float(high)
    if not all(math.isfinite(v) for v in pair):
        raise ValueError("a layer's outputs are not finite")
    return pair
