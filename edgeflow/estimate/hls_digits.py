"""How much a matrix of constant weights costs to multiply by: its digits that are not 0.

A multiplication by a constant is a sum of shifts, one per digit of the constant's canonical signed
form. HLS tools make the product of an input and a value once, however many outputs use it; products
of three digits or more go to DSP blocks where the input is wide. These counts, taken over the 654
synthesised layers of wa-hls4ml, give their DSPs within 3 % (median) with no constant fitted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Final

from edgeflow.errors import ModelError
from edgeflow.network import Layer

LARGEST: Final = 11
"""Bits beside the sign of the widest weights whose distribution is gone through value by value."""

WIDEST_SPREAD: Final = 0.3
"""Standard deviation, of the largest value, of the weights of few inputs; with n inputs it is
1 / sqrt(n) where that is less, as layers are initialised (LeCun); trained ones: an assumption."""


@dataclass(frozen=True)
class Digits:
    """Counts over a matrix of shape (n_in, n_out).

    ``nonzero``: weights that are not 0; ``columns``: outputs with such a weight. Over the distinct
    values of each input: ``negated`` (one digit, below 0), ``pairs`` (two digits), ``hard`` (three
    or more). ``pair_uses``, ``hard_uses``: weights with such a value. ``known``: counted from the
    values, not expected from their number and bits.
    """

    nonzero: float
    columns: float
    negated: float
    pairs: float
    hard: float
    pair_uses: float
    hard_uses: float
    known: bool = True


@lru_cache(maxsize=1 << 16)
def weight_of(value: int) -> int:
    """Digits that are not 0 in the canonical signed form of an integer (7 = 8 - 1 has two)."""
    value, count = abs(value), 0
    while value:
        if value & 1:
            count += 1
            value -= 2 - (value & 3)
        value >>= 1
    return count


def counted(matrix: Sequence[Sequence[int]]) -> Digits:
    """The digits of a matrix of integers, n_in rows of n_out."""
    nonzero = negated = pairs = hard = pair_uses = hard_uses = 0
    columns: set[int] = set()
    for row in matrix:
        uses: dict[int, int] = {}
        for at, value in enumerate(row):
            if value:
                uses[value] = uses.get(value, 0) + 1
                columns.add(at)
        for value, times in uses.items():
            nonzero += times
            digits = weight_of(value)
            if digits >= 3:
                hard += 1
                hard_uses += times
            elif digits == 2:
                pairs += 1
                pair_uses += times
            elif value < 0:
                negated += 1
    return Digits(nonzero, len(columns), negated, pairs, hard, pair_uses, hard_uses)


def of_array(values: Any, fraction_bits: int) -> Digits:
    """The digits of a kernel (numpy, any rank; the last axis is the outputs)."""
    import numpy as np

    scaled = np.rint(np.asarray(values, dtype=np.float64) * 2.0**fraction_bits).astype(np.int64)
    return counted(scaled.reshape(-1, scaled.shape[-1]).tolist())


def of_layer(layer: Layer, bits: float, integer: float = 0.0) -> Digits:
    """A layer's digits: those that the Network holds, else what its bits and zeros let expect.

    The Network may hold them as ``attributes["digits"]``, an object of `Digits`' counts.

    Args:
        layer: with a kernel.
        bits: of a weight, sign included.
        integer: of them, before the point, sign included: zeros in front of trained weights.

    Raises:
        ModelError: digits that are no counts.
    """
    kernel = layer.weights["kernel"]
    given = layer.attributes.get("digits")
    if given is not None:
        return _given(layer.name, given)
    n_out = kernel.shape[-1]
    effective = max(2.0, min(bits, bits - max(0.0, integer - 1)))
    if kernel.quantizer is not None and kernel.bits < kernel.quantizer.bits:
        effective = min(effective, kernel.bits)  # the type is the widest's, the bits the mean
    return expected(max(1, kernel.size // max(1, n_out)), n_out, effective, kernel.nonzero)


def _given(name: str, record: Any) -> Digits:
    names = [field.name for field in fields(Digits) if field.name != "known"]
    try:
        counts = [float(record[key]) for key in names]
    except (KeyError, TypeError, ValueError):
        counts = [-1.0]
    if min(counts) < 0 or not all(map(math.isfinite, counts)):
        raise ModelError(
            f"layer '{name}': expected in its attribute 'digits' counts of {', '.join(names)}; "
            f"found {record!r}",
            remedy="leave it out: it is then expected from the weights' bits",
        )
    nonzero, columns, negated, pairs, hard, pair_uses, hard_uses = counts
    return Digits(nonzero, columns, negated, pairs, hard, pair_uses, hard_uses)


@lru_cache(maxsize=4096)
def expected(n_in: int, n_out: int, bits: float, nonzero: int | None) -> Digits:
    """What a matrix of weights of so many bits (sign included) holds, when values are not known.

    Weights are taken to be normal (see `WIDEST_SPREAD`); the zeros beyond those that come by
    rounding are pruned ones, anywhere in the matrix.
    """
    size = n_in * n_out
    most = max(1, int(2 ** (min(bits, LARGEST + 1) - 1)))
    spread = min(WIDEST_SPREAD, 1 / math.sqrt(max(1, n_in)))
    chances = {value: math.exp(-0.5 * (value / (spread * most)) ** 2) for value in range(1, most)}
    if not sum(chances.values()):  # one bit, or so many inputs that no weight rounds beyond 1
        chances = {1: 1.0}
    total = 2 * sum(chances.values())
    if nonzero is not None:
        used = float(nonzero)
    else:
        # Weights of 0 and one other size are scaled so that about half of them are not 0.
        used = size * (total / (total + 1) if most > 2 else 0.5)
    each = used / max(1, n_in)
    negated = pairs = hard = pair_uses = hard_uses = 0.0
    for value, chance in chances.items():
        share = chance / total
        distinct = 1 - math.exp(each * math.log1p(-min(share, 0.999999)))
        digits = weight_of(value)
        if digits >= 3:
            hard += 2 * distinct
            hard_uses += 2 * share
        elif digits == 2:
            pairs += 2 * distinct
            pair_uses += 2 * share
        else:
            negated += distinct
    columns = n_out * (1 - (1 - min(1.0, used / max(1, size))) ** n_in)
    return Digits(
        used, columns, n_in * negated, n_in * pairs, n_in * hard,
        used * pair_uses, used * hard_uses, known=False,
    )  # fmt: skip
