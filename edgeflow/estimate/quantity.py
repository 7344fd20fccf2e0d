"""One figure, and how far it can be trusted. Standard library alone: jobs import it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

METHODS: Final = ("measured", "synthesised", "simulated", "model")


@dataclass(frozen=True)
class Estimate:
    """A quantity with its 90 % band.

    Args:
        value: the figure in `unit`; None where nothing honest can be said (then `reason` says why).
        low, high: the band that should hold the truth nine times in ten.
        unit: an SI unit or a count: ``s``, ``W``, ``J``, ``B``, ``cycles``, ``LUT``, ``MAC`` …
        method: ``measured``, ``synthesised``, ``simulated`` or ``model``.
        source: where figure and coefficients come from: a tool and version, a data sheet.
        reason: why there is no value.

    Raises:
        ValueError: the method is unknown, the band does not hold the value, or a missing value
            has no reason.
    """

    value: float | None
    low: float | None
    high: float | None
    unit: str
    method: str
    source: str
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"expected a method of {METHODS}, found {self.method!r}")
        if self.value is None:
            if not self.reason:
                raise ValueError("an estimate without a value needs its reason")
        elif self.low is None or self.high is None or not self.low <= self.value <= self.high:
            raise ValueError(f"band [{self.low}, {self.high}] does not hold {self.value}")

    @classmethod
    def exact(cls, value: float, unit: str, method: str, source: str) -> Estimate:
        """A figure that is counted, not estimated: its band has no width."""
        return cls(value, value, value, unit, method, source)

    @classmethod
    def within(cls, value: float, factor: float, unit: str, method: str, source: str) -> Estimate:
        """A figure known up to a factor: the band is [value / factor, value * factor]."""
        return cls(value, value / factor, value * factor, unit, method, source)

    def to_json(self) -> dict[str, Any]:
        """Plain data for the report."""
        record: dict[str, Any] = {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "unit": self.unit,
            "method": self.method,
            "source": self.source,
        }
        if self.reason:
            record["reason"] = self.reason
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Estimate:
        """Read what `to_json` wrote."""
        return cls(**record)


def unknown(unit: str, reason: str, method: str = "model", source: str = "none") -> Estimate:
    """A quantity of which nothing honest can be said, and why."""
    return Estimate(None, None, None, unit, method, source, reason)
