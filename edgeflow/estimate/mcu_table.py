"""The microcontrollers' coefficients, and what a target says of its runtime. Standard library."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

from edgeflow.targets import Target

COEFFICIENTS: Final = Path(__file__).with_name("coefficients") / "mcu.json"

DEFAULT_RUNTIME: Final = "tflm-cmsis-nn"
"""Of a target that says none."""


@cache
def coefficients() -> dict[str, Any]:
    """What the calibration found."""
    found: dict[str, Any] = json.loads(COEFFICIENTS.read_text())
    return found


def runtime_of(target: Target, default: str = DEFAULT_RUNTIME) -> str:
    """The runtime that a target's settings name, else the default."""
    return str(target.settings.get("runtime") or default)


def ram_piece(target: Target) -> float | None:
    """Bytes of the largest piece of RAM beside the processor; None where it is not known."""
    given = target.settings.get("ram_length")
    if isinstance(given, int | float):
        return float(given)
    figure = target.figure("memory", "ram")
    return None if figure is None else figure.value
