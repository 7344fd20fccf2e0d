"""Figures as text."""

from __future__ import annotations

import pytest

from edgeflow.report.units import band, ordered, percent, score, si


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (1.234e-3, "s", "1.23 ms"),
        (999.6e-6, "s", "1.00 ms"),
        (0.9996, "W", "1.00 W"),
        (1000, "J", "1.00 kJ"),
        (0, "J", "0 J"),
        (5.2e-16, "J", "0.520 fJ"),
        (-2.5e-3, "V", "-2.50 mV"),
        (1536, "B", "1.54 kB"),
        (1649, "LUT", "1,649 LUT"),
        (9999.9, "MAC", "10,000 MAC"),
        (12_345_678, "MAC", "12.3 M MAC"),
        (2.5, "1", "2.5"),
        (42051, "1", "42.1 k"),
        (95_600, "1/s", "95.6 k/s"),
        (120, "1/s", "120 /s"),
        (None, "s", "–"),
    ],
)
def test_engineering_notation(value: float | None, unit: str, expected: str) -> None:
    assert si(value, unit) == expected


@pytest.mark.parametrize(
    ("low", "value", "high", "unit", "expected"),
    [
        (0.65e-6, 1.3e-6, 2.6e-6, "s", "0.65–2.6 µs"),
        (100e-6, 310e-6, 960e-6, "s", "100–960 µs"),
        (1e-9, 1e-5, 1e-4, "s", "1.0 ns – 100 µs"),
        (0, 1.5, 3, "W", "0–3.0 W"),
        (1.3, 1.3, 1.3, "W", ""),
        (1000, 1649, 2000, "LUT", "1,000–2,000"),
        (32000, 42051, 55000, "LUT", "32–55 k"),
    ],
)
def test_bands(low: float, value: float, high: float, unit: str, expected: str) -> None:
    assert band({"low": low, "value": value, "high": high, "unit": unit}) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, "100.0 %"), (0.9997, "99.97 %"), (0.999999, "> 99.99 %"), (0, "0.0 %"), (None, "–")],
)
def test_only_all_is_a_hundred_percent(value: float | None, expected: str) -> None:
    assert percent(value) == expected


def test_other_metrics_are_no_percentages() -> None:
    assert score(0.5, "accuracy") == "50.0 %"
    assert score(0.51234, "R²") == "0.5123"


def test_order_of_quantities() -> None:
    assert ordered({"zeta": 0, "lut": 0, "latency": 0}) == ["latency", "lut", "zeta"]
