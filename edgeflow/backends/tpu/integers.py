"""Which layers can compute in 8-bit integers, told from the Network alone. Standard library only.

A tensor of at most 256 levels, a step apart, is held as int8 codes: value = step x (q - zero). For
an unsigned one of 8 bits the codes are moved by 128, for the matrix unit takes int8.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from edgeflow.network import Layer, Network, Quantizer

PRODUCTS: Final = frozenset(
    """dense conv1d conv2d depthwise_conv1d depthwise_conv2d conv1d_transpose
    conv2d_transpose""".split()
)
"""Kinds whose products can be of integers: their kernels are constants."""

MOVING: Final = frozenset(
    """flatten reshape transpose crop slice pad identity quantize dequantize max_pool1d max_pool2d
    global_max_pool1d global_max_pool2d""".split()
)
"""Kinds whose outputs are a choice of their inputs: codes pass through as they are."""

TRANSPOSED: Final = frozenset(["conv1d_transpose", "conv2d_transpose"])
RETRAIN: Final = (
    "retrain with 8 bits or fewer (`compress: {method: qkeras}`, `hgq2` or `int8`), or give the "
    "int8 .tflite"
)


@dataclass(frozen=True)
class Code:
    """How int8 codes stand for values: value = step x (q - zero)."""

    step: float
    zero: int = 0


def code_of(quantizer: Quantizer | None) -> Code | None:
    """The codes of a quantiser's levels; None where int8 does not hold them, a step apart.

    One whose bits differ from element to element (HGQ2: no whole number) is judged by its arrays,
    see `edgeflow.backends.tpu.integer_job`.
    """
    if quantizer is None:
        return None
    scale = quantizer.scale or (1.0,)
    if quantizer.kind in ("binary", "ternary"):
        return Code(scale[0]) if len(scale) == 1 else None
    if quantizer.bits > 8 or quantizer.bits != int(quantizer.bits):
        return None
    bits, signed = int(quantizer.bits), quantizer.signed
    moved = 0 if signed or bits < 8 else -128
    whole = quantizer.integer is not None and quantizer.integer == int(quantizer.integer)
    if quantizer.kind == "fixed" and quantizer.integer is not None and whole:
        return (
            Code(2.0 ** (quantizer.integer + signed - bits), moved) if set(scale) == {1.0} else None
        )
    zero = quantizer.zero_point or (0,)
    if quantizer.kind == "affine" and len(scale) == len(zero) == 1:
        return Code(scale[0], zero[0] + moved)
    return None


def moving(layer: Layer) -> bool:
    """Whether a layer's outputs are a choice of its inputs, or 0."""
    if layer.kind == "pad":
        given = layer.attributes
        return not given.get("value") and given.get("mode", "constant") == "constant"
    return layer.kind in MOVING


def codes(network: Network, own: Mapping[str, Code | None] | None = None) -> dict[str, Code]:
    """The codes of each layer's output that has them; ``own`` has what was judged by arrays."""
    found: dict[str, Code] = {}
    for layer in network:
        judged = own is not None and layer.name in own
        code = own[layer.name] if own and judged else code_of(layer.quantizer)
        if code is None and layer.quantizer is None and moving(layer):
            code = found.get(layer.inputs[0])
        if code is not None:
            found[layer.name] = code
    return found


def obstacle(layer: Layer, code: Code | None) -> str | None:
    """Why a layer of `PRODUCTS` computes on floats; None where integers are possible.

    The kernel is judged by its declared bits; whether its values lie on a grid only they can tell.
    """
    if code is None:
        return "its input is not rounded to 8 bits or fewer"
    kernel = layer.weights.get("kernel")
    if kernel is not None and kernel.bits > 8:
        return f"its weights have {kernel.bits:g} bits"
    if layer.kind in TRANSPOSED and code.zero:
        return "its input's zero point is not 0, which a transposed convolution would need"
    if kernel is not None and math.prod(kernel.shape[:-1]) * 128 * 255 >= 2**31:
        return "its sums may leave 32 bits"
    return None


def integer_layers(network: Network) -> tuple[list[str], dict[str, str]]:
    """The layers that may compute in integers, and the others of `PRODUCTS` with the reason.

    Bits that are no whole number count as possible here.
    """
    unsure: dict[str, Code | None] = {
        layer.name: Code(1.0)
        for layer in network
        if (q := layer.quantizer) and q.kind == "fixed" and q.bits <= 8 and q.bits != int(q.bits)
    }
    held = codes(network, unsure)
    able: list[str] = []
    others: dict[str, str] = {}
    for layer in network:
        if layer.kind not in PRODUCTS:
            if layer.macs and layer.kind in ("lstm", "gru", "simple_rnn", "matmul"):
                others[layer.name] = f"'{layer.kind}' has no integer form here"
            continue
        why = obstacle(layer, held.get(layer.inputs[0]))
        if why is None:
            able.append(layer.name)
        else:
            others[layer.name] = why
    return able, others
