"""How far an ONNX file's outputs may be from the model's, and why: the tflite backend's bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from edgeflow.backends.base import Tolerance
from edgeflow.backends.tflite import tolerances
from edgeflow.network import Network


def choose(
    network: Network, form: str, facts: Mapping[str, Any], spread: float, classes: bool
) -> Tolerance:
    """The tolerance for a compiled file; see `edgeflow.backends.tflite.tolerances.choose`."""
    if facts["route"] == "copied":
        return Tolerance(
            1e-3 * spread, 0.999 * classes, "the same file; ONNX Runtime's fusions reorder sums"
        )
    given = {**facts, "operators": [], "tensors": []}
    found = tolerances.choose(network, form, given, spread, classes)
    if facts["route"] != "trained":
        return found
    said = "the trained quantisers, kept; integer sums are rounded once, the model's are floats"
    return replace(found, reason=said if "kept" in found.reason else f"{said}: class by class")
