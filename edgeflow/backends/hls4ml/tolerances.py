"""How far a C simulation may be from the model, from what its types cannot hold exactly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from edgeflow.backends.base import Tolerance
from edgeflow.network import Network, Quantizer

FLOAT_AGREEMENT = 0.97
SOFTMAX_AGREEMENT = 0.98


def tolerance(network: Network, record: Mapping[str, Any], tuned: float | None = None) -> Tolerance:
    """What the compile job's ``inexact`` layers allow, or types that were tuned.

    ``tuned`` is the agreement that tuned types must reach; by how much they may differ is what
    their emulation finds (the pipeline allows no more).

    Equality where nothing is inexact. A softmax alone adds the error of its tables: the address of
    exp's table has a step of 16 / entries (half of it relative to each term), that of the inverse
    a step of 2**ceil(log2(classes + 1)) / entries relative to a sum of at least 1. Other
    rounding may move an output by 5 % of the outputs' scale, and by a step of the coarsest
    quantised activation: a value next to the middle of two steps can fall to either side.
    Integer models (TFLite, QDQ ONNX) round where the project does not: they are held to no more
    than the same class, or outputs within a third of their scale.
    """
    entered = {*network.inputs}  # compared on the grid of the input's type
    inexact = [str(name) for name in record["inexact"] if name not in entered]
    scale = float(record["logits_scale"] or record["scale"])
    soft, bound = _softmax(network, record)
    if tuned is not None:
        reason = "the types are tuned: as narrow as the accuracy asked for allows"
        return Tolerance(2 * scale, tuned, reason, bound)
    if not inexact:
        return Tolerance(0.0, 1.0, "every type holds the model's own values exactly")
    if set(inexact) <= set(soft):
        return Tolerance(
            0.0 if record.get("logits") else bound,
            SOFTMAX_AGREEMENT,
            f"all but the softmax is exact; its exp and 1/x come from tables of "
            f"{record['table_size']} entries",
            bound,
        )
    dynamic = (
        network.source.get("format") == "tflite"
        and any((layer.weight_bits or 32) <= 8 for layer in network)
        and all(layer.quantizer is None for layer in network)
    )
    if dynamic or any(_kept_finer(layer.quantizer) for layer in network):
        said = "its activations or its input to 8 bits in steps that are no power of two"
        said = (
            "TFLite rounds what enters a layer as it runs"
            if dynamic
            else f"the model rounds {said}"
        )
        # Seen: 3 to 6 % of the classes (DS-CNN, ResNet8), 0.14 of an autoencoder's range. Where
        # the class changes, a probability may change by any amount.
        return Tolerance(
            (1.0 if soft else 0.35) * scale,
            0.9 if soft else 0.0,
            f"{said}; the project keeps {record['bits']} bits of these",
            bound,
        )
    step = max((_step(layer.quantizer) for layer in network), default=0.0)
    reach = 0.05 * scale + step
    tipped = (
        f"; a value rounded the other way can tip a quantised activation by one step ({step:g})"
        if step
        else ""
    )
    shown = ", ".join(inexact[:6]) + (" …" if len(inexact) > 6 else "")
    widths = record["result_type"]
    return Tolerance(
        reach,
        FLOAT_AGREEMENT,
        f"fixed-point types of {record['bits']} bits (output: {widths}) round what the model "
        f"computes in float32, in {len(inexact)} places: {shown}{tipped}",
        bound,
    )


def _softmax(network: Network, record: Mapping[str, Any]) -> tuple[list[str], float]:
    """The softmax that the model ends in, and the error of its tables."""
    found = [
        layer for layer in network if layer.kind == "softmax" and network.logits in layer.inputs
    ]
    if not found:
        return [], 0.0
    classes = int(found[0].output_shape[-1] or 1)
    if record.get("softmax", "stable") != "stable":
        return [found[0].name], 1.0  # one-hot, or tables that are coarse where logits are large
    step = 2.0 ** (classes).bit_length() / record["table_size"]
    return [found[0].name], 16 / record["table_size"] + 2 * step + 2.0**-15


def _kept_finer(quantizer: Quantizer | None) -> bool:
    """Whether it rounds to 8 bits in levels that no fixed-point type has, which is not copied."""
    if quantizer is None or quantizer.kind != "affine" or quantizer.bits != 8:
        return False
    return any(math.frexp(scale)[0] != 0.5 for scale in quantizer.scale or ())


def _step(quantizer: Quantizer | None) -> float:
    """Distance of neighbouring values of a quantised activation, 0 where it is fine."""
    if quantizer is not None and quantizer.kind == "binary":
        return 2.0
    if quantizer is not None and quantizer.kind == "affine" and quantizer.bits < 8:
        return max(quantizer.scale or (0.0,))
    if quantizer is None or quantizer.kind != "fixed" or quantizer.integer is None:
        return 0.0
    step: float = 2.0 ** (quantizer.integer + quantizer.signed - quantizer.bits)
    return step if quantizer.bits <= 8 else 0.0
