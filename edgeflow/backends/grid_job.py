"""The golden inputs on a design's own grid: rounded as its input port rounds them.

A design rounds what enters it. Run on inputs that are on its grid already, the model itself and the
design compute from the same numbers, and what differs then is the design's doing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow.backends.fixed_job import Array, held, parse


def round_inputs(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],  # noqa: ARG001 - every job takes it
) -> dict[str, Any]:
    """Write ``x.npz`` with ``x``, each value as the type holds it.

    ``inputs``: ``golden`` (folder). ``params``: ``type``, as `fixed_job.parse` reads it;
    ``quantizer``: a `Quantizer`'s fields, of a model that rounds its inputs itself, to steps that
    are no powers of two: they go onto its own grid first; or null.

    Returns:
        ``changed``: the fraction of the values that are not on the grid; ``difference``: the
        largest change; ``outside``: the fraction that is outside the type's range; ``low`` and
        ``high``: the inputs' own range.
    """
    kind = parse(params["type"])
    with np.load(inputs["golden"] / "golden.npz", allow_pickle=False) as golden:
        x = np.asarray(golden["x"], np.float32)
    own = params.get("quantizer")
    rounded = held(x if own is None else affine(x, own), kind).astype(np.float32)
    np.savez(output / "x.npz", x=rounded)
    gap = np.abs(rounded.astype(np.float64) - x)
    outside = (x > kind.high + kind.lsb / 2) | (x < kind.low - kind.lsb / 2)
    return {
        "changed": float((gap > 0).mean()),
        "difference": float(gap.max(initial=0)),
        "outside": float(outside.mean()),
        "low": float(x.min(initial=0)),
        "high": float(x.max(initial=0)),
    }


def affine(x: Array, quantizer: dict[str, Any]) -> Array:
    """The values on the grid of an affine quantiser (one scale for all)."""
    bits, signed = int(quantizer["bits"]), bool(quantizer["signed"])
    low = -(2 ** (bits - 1)) + bool(quantizer["narrow"]) if signed else 0
    high = 2 ** (bits - signed) - 1
    scale, zero = quantizer["scale"][0], (quantizer["zero_point"] or [0])[0]
    steps = np.clip(np.rint(np.asarray(x, np.float64) / scale) + zero, low, high)
    return np.asarray((steps - zero) * scale)
