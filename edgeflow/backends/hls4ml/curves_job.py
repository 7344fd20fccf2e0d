"""Functions that follow relu but for a bend around 0: relu, plus a table of the difference.

hls4ml 1.3.0 has none of them. Its ``UnaryLUT`` holds a value for every number of a narrow type;
so it holds the bend, over -reach … reach, and relu is exact however large its input.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgeflow.backends.fixed_job import Array, Fixed

_erf = np.frompyfunc(math.erf, 1, 1)


def _gelu(x: Array, attributes: Mapping[str, Any]) -> Array:
    if attributes.get("approximate"):
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        return np.asarray(x / 2 * (1 + np.tanh(inner)))
    error: Array = np.asarray(_erf(x / math.sqrt(2)), np.float64)
    return np.asarray(x / 2 * (1 + error))


CURVES: Mapping[str, tuple[Callable[[Array, Mapping[str, Any]], Array], int]] = {
    "gelu": (_gelu, 4),
    "silu": (lambda x, _: x / (1 + np.exp(-np.clip(x, -700, 700))), 8),
    "hard_silu": (lambda x, _: x * np.clip(x / 6 + 0.5, 0, 1), 4),
}
"""The function and its reach, by kind: how far the bend is held; then it is 1.3e-4, 2.7e-3, 0."""


def bend(kind: str, x: Array, attributes: Mapping[str, Any]) -> Array:
    """The function less max(x, 0)."""
    return CURVES[kind][0](x, attributes) - np.maximum(x, 0)


def address(kind: str, table_size: int) -> Fixed:
    """The type whose numbers are the table's addresses."""
    bits = int(math.log2(table_size))
    return Fixed(bits, int(math.log2(CURVES[kind][1])) + 1).rounded()


def places(entry: Fixed) -> Array:
    """Every number of the type, in the order of its bits: those below 0 last."""
    half = 1 << (entry.width - 1)
    return np.concatenate([np.arange(half), np.arange(-half, 0)]) * entry.lsb
