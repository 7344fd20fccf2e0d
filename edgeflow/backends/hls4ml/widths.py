"""Bits of every layer's types in an hls4ml project, before there is a plan.

A plan (`plan_job`) takes them from the values; here they follow from the Network's quantisers, the
options, and the rule that a sum is kept exact up to `WIDEST` bits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from edgeflow.backends.hls4ml import room
from edgeflow.backends.hls4ml.options import Options
from edgeflow.estimate.hls_features import Widths
from edgeflow.network import PASSING, Layer, Network, Weight

WIDEST: Final = 40
"""As `plan_job.WIDEST`: the widest result that is kept exact."""


HLS4ML: Final = 16.0
"""Bits of hls4ml's default type, ap_fixed<16,6>."""

UNGIVEN: Final = Weight((1,)).bits
"""Bits of a weight that says none."""

DESIGNS: Final = (None, "network", "hls4ml")
"""Where a Network comes from that describes a design, with hls4ml's own types: one that a person
wrote, or an hls4ml project. Other models get edgeflow's types, whose sums are exact."""


def widths(network: Network, options: Mapping[str, Any]) -> dict[str, Widths]:
    """Bits by layer."""
    found: dict[str, Widths] = {}
    result: dict[str, float] = {}
    designed = network.source.get("format") in DESIGNS
    default = float(options["bits"])
    if designed and default == Options.model_fields["bits"].default:
        default = HLS4ML
    for layer in network:
        before = max([result[name] for name in layer.inputs if name in result] or [0.0])
        made = _of_layer(layer, before or default, default, designed, options)
        result[layer.name] = made.output
        found[layer.name] = made
    return found


def _of_layer(
    layer: Layer, before: float, default: float, designed: bool, options: Mapping[str, Any]
) -> Widths:
    given = room.given(layer.name, "result", options)
    own = layer.quantizer.bits if layer.quantizer is not None else None
    kernel = layer.weights.get("kernel") or next(iter(layer.weights.values()), None)
    if kernel is None:
        passing = layer.kind in PASSING or layer.kind in ("relu", "pad", "crop", "max_pool2d")
        result = given or own or (before if passing and layer.inputs else default)
        return Widths(before, default, result, result)
    # 32 is what a weight has whose bits nobody gave.
    own_bits = kernel.bits if designed and kernel.bits != UNGIVEN else min(kernel.bits, default)
    weight = room.given(layer.name, "weight", options) or own_bits
    quantizer = kernel.quantizer
    integer = (quantizer.integer or 0.0) + 1 if quantizer is not None else 0.0
    terms = max(1, kernel.size // max(1, kernel.shape[-1]))
    exact = before + weight + math.ceil(math.log2(terms + 1))
    full = exact if exact <= WIDEST else default
    sums = room.given(layer.name, "accum", options) or given
    sums = sums or ((own or default) if designed else full)
    return Widths(before, weight, sums, given or own or sums, integer)
