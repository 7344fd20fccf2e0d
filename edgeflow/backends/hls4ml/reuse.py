"""Reuse factors and strategies: which ones hls4ml can build for a layer, and which to take.

The reuse factor R is how many multiplications one multiplier does: a layer of n_in x n_out
products has n_in * n_out / R multipliers. The ``resource`` strategy keeps weights in memory words
that hold one row of them, which allows only some R.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from edgeflow.backends.hls4ml.compilers import (
    COMPILERS,
    DISTRIBUTED,
    LATENCY,
    RESOURCE,
    UNROLLED,
)
from edgeflow.network import Layer, Network

UNROLL_LIMIT = 4096
"""Multipliers in a layer, and elements of an array in registers, beyond which Vivado and Vitis HLS
give up or take days (hls4ml's `maximum_size`, config_array_partition)."""

DISTRIBUTABLE = ("dense", "conv1d", "conv2d")
"""Kinds that distributed arithmetic can make."""

ARRAYS = ("dense", "conv1d", "conv2d", "lstm", "gru")
"""Kinds whose strategy and reuse factor can be chosen."""

STREAMED = ("conv1d", "conv2d", "depthwise_conv1d", "depthwise_conv2d")
"""Kinds that make ``io: auto`` mean stream: in parallel each pixel would have its own hardware."""


@dataclass(frozen=True)
class Choice:
    """What a layer gets, and what was asked for."""

    strategy: str
    reuse_factor: int
    asked: int | None


def products(layer: Layer) -> tuple[int, int]:
    """n_in and n_out of the layer's matrix product.

    A dilated window, and the channels that a group does not see, are zeros in the project.
    """
    kernel = list(layer.weights["kernel"].shape)
    if layer.kind.startswith("conv"):
        rates = layer.attributes.get("dilation_rate") or 1
        rank = len(kernel) - 2
        rates = rates if isinstance(rates, (list, tuple)) else [rates] * rank
        kernel[:rank] = [(n - 1) * int(r) + 1 for n, r in zip(kernel, rates, strict=False)]
        kernel[-2] *= int(layer.attributes.get("groups") or 1)
    return math.prod(kernel[:-1]), kernel[-1]


@lru_cache(maxsize=4096)
def legal(n_in: int, n_out: int) -> tuple[int, ...]:
    """Every reuse factor that hls4ml's ``resource`` strategy can build, ascending.

    The rule is hls4ml's (`FPGABackend._validate_reuse_factor`): R divides n_in * n_out; below n_in
    the multipliers must be whole columns, above it whole rows.
    """
    total = n_in * n_out
    found = {d for n in range(1, math.isqrt(total) + 1) if total % n == 0 for d in (n, total // n)}

    def valid(factor: int) -> bool:
        multipliers = math.ceil(total / min(n_in, factor))
        if factor < n_in:
            return multipliers % n_out == 0
        return factor % n_in == 0

    return tuple(sorted(factor for factor in found if valid(factor)))


def factors(layer: Layer, strategy: str = RESOURCE) -> tuple[int, ...]:
    """The legal factors of a layer; a convolution's do not pass its window's size.

    ``resource_unrolled`` writes the sharing out as code: not for one multiplier per product, and
    not for a single one.
    """
    n_in, n_out = products(layer)
    found = legal(n_in, n_out)
    if strategy == UNROLLED:
        found = tuple(f for f in found[:-1] if f > 1) or found[-1:]
    return tuple(f for f in found if f <= n_in) if layer.kind.startswith("conv") else found


def nearest(allowed: tuple[int, ...], asked: int) -> int:
    """The legal factor next to the one asked for, the smaller of two as near (as hls4ml does)."""
    place = bisect_left(allowed, asked)
    if place == 0:
        return allowed[0]
    if place == len(allowed):
        return allowed[-1]
    before, after = allowed[place - 1], allowed[place]
    return after if after - asked < asked - before else before


def least(layer: Layer) -> int:
    """The smallest legal factor that leaves no more multipliers than can be unrolled."""
    total = math.prod(products(layer))
    allowed = factors(layer)
    return next((f for f in allowed if total / f <= UNROLL_LIMIT), allowed[-1])


def choose(layer: Layer, options: Mapping[str, Any]) -> Choice:
    """Strategy and reuse factor of a layer, ``auto`` resolved, and made legal."""
    own = options["layers"].get(layer.name, {})
    known = COMPILERS[options["compiler"]].strategies
    strategy = own.get("strategy") or options["strategy"]
    asked = own.get("reuse_factor") or options["reuse_factor"]
    n_in, n_out = products(layer)
    needed = n_in * n_out > UNROLL_LIMIT
    if strategy == "auto":
        wanted = RESOURCE if needed or asked not in ("auto", 1) else LATENCY
        strategy = wanted if wanted in known else known[0]
    elif strategy == DISTRIBUTED and layer.kind not in DISTRIBUTABLE:
        strategy = LATENCY  # as the model's; a layer's own is refused by the rules
    if strategy == DISTRIBUTED:
        return Choice(strategy, 1, None if asked == "auto" else asked)
    shared = strategy in (RESOURCE, UNROLLED)
    if asked == "auto":
        allowed = factors(layer, strategy) if shared else (1,)
        fits = [f for f in allowed if n_in * n_out / f <= UNROLL_LIMIT]
        return Choice(strategy, (fits or allowed[-1:])[0], None)
    factor = nearest(factors(layer, strategy), asked) if shared else asked
    return Choice(strategy, factor, asked)


def choices(network: Network, options: Mapping[str, Any]) -> dict[str, Choice]:
    """The choice of every layer that has one, by name."""
    return {
        layer.name: choose(layer, options)
        for layer in network
        if layer.kind in ARRAYS and "kernel" in layer.weights
    }


def by_element(layer: Layer) -> bool:
    """Whether the bits of its output differ from element to element (HGQ2)."""
    quantizer = layer.quantizer
    if quantizer is None or quantizer.kind != "fixed":
        return False
    return any(
        value is not None and value != int(value) for value in (quantizer.bits, quantizer.integer)
    )


def interface(network: Network, options: Mapping[str, Any]) -> str:
    """``parallel`` or ``stream``, ``auto`` resolved."""
    if options["io"] != "auto":
        return str(options["io"])
    if any(by_element(layer) for layer in network):
        return "parallel"
    return "stream" if any(layer.kind in STREAMED for layer in network) else "parallel"
