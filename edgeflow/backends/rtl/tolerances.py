"""How far the RTL may be from the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeflow.backends.base import Tolerance

AGREEMENT = 0.97


def tolerance(inexact: Sequence[str], scale: float = 1.0, softmax: bool = False) -> Tolerance:
    """Equality to the bit, where every layer computes what the model computes.

    A final softmax is the host's, from equal logits: its float32 sums may differ in the last
    places. Where a layer is approximated (a table of a function that the model does not round, a
    factor in fewer bits), outputs may move by 5 % of their scale.
    """
    if inexact:
        shown = ", ".join(inexact[:6]) + (" …" if len(inexact) > 6 else "")
        return Tolerance(0.05 * scale, AGREEMENT, f"approximated in {len(inexact)} layers: {shown}")
    if softmax:
        return Tolerance(
            1e-6, 1.0, "the host computes the softmax of equal logits, in float32 of its own"
        )
    return Tolerance(0.0, 1.0, "every number is exact")


def of_result(result: Mapping[str, Any]) -> Tolerance:
    """The tolerance of a compile job's result."""
    return tolerance(
        [str(name) for name in result["inexact"]],
        float(result.get("scale", 1.0)),
        bool(result.get("softmax")),
    )
