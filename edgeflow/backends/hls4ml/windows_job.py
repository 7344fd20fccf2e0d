"""Tensors as hls4ml's layers go over them: their bits, padding, the windows that slide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeflow.backends.fixed_job import Array


def used_fraction(values: Array) -> int:
    """Bits after the point that `values` use, at most 60."""
    for fraction in (0, 2, 4, 6, 8, 10, 12, 16, 20, 24, 32, 40):
        scaled = values * 2.0**fraction
        if np.array_equal(scaled, np.rint(scaled)):
            return fraction
    return 60


def image(x: Array) -> Array:
    """A series as an image of one row."""
    return x[:, None] if x.ndim == 3 else x


def like(given: Array, made: Array) -> Array:
    """An image as what was given: a series again, if it was one."""
    return made[:, 0] if given.ndim == 3 else made


def widths(at: Mapping[str, Any]) -> dict[str, Any]:
    """A 1-D pool's attributes under the names of the others."""
    found = dict(at)
    found.setdefault("in_width", at.get("n_in"))
    found.setdefault("out_width", at.get("n_out"))
    return found


def padded(at: Mapping[str, Any], x: Array, value: float) -> Array:
    """An image with a layer's padding of this value."""
    amounts = [
        (int(at.get(f"pad_{before}", 0)), int(at.get(f"pad_{after}", 0)))
        for before, after in (("top", "bottom"), ("left", "right"))
    ]
    if not any(map(any, amounts)):
        return x
    return np.pad(x, [(0, 0), *amounts, (0, 0)], constant_values=value)


def sliding(at: Mapping[str, Any], x: Array, word: str) -> Array:
    """n x rows x columns x window x channels, of a padded image."""
    size = int(at.get(f"{word}_height", 1)), int(at[f"{word}_width"])
    steps = int(at.get("stride_height", 1)), int(at["stride_width"])
    found = np.lib.stride_tricks.sliding_window_view(x, size, axis=(1, 2))
    found = found[:, :: steps[0], :: steps[1]]
    found = found[:, : int(at.get("out_height", 1)), : int(at["out_width"])]
    return np.moveaxis(found, 3, -1)  # the channels behind the window
