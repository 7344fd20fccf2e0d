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
    given = {**facts, "operators": [], "tensors": []}
    if facts["route"] == "copied" and facts["precision"] == "float32":
        return Tolerance(
            1e-3 * spread, 0.999 * classes, "the same file; ONNX Runtime's fusions reorder sums"
        )
    if facts["route"] == "trained" and facts["quantisers"]["rounded_kernels"]:
        form = ""  # not as trained: the class, or a part of the outputs' range
    found = tolerances.choose(network, form, given, spread, classes)
    if facts["route"] != "trained":
        return found
    return replace(found, reason=f"{SAID} ({found.reason.partition(':')[2].strip()})")


SAID = "the model's own quantisers; integer sums tip over to the other neighbour here and there"
