"""Estimates on a terminal: every figure with its band, reasons, warnings."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from edgeflow.estimate.quantity import Estimate, unknown
from edgeflow.report import estimates_page
from edgeflow.report.estimates import render

POINT = {
    "frequency_mhz": 80.0, "voltage_v": 1.2, "meets_deadline": "yes", "cheapest": True,
    "estimates": {"latency": Estimate.within(0.01, 2, "s", "model", "x").to_json()},
}  # fmt: skip
BOARD: dict[str, Any] = {
    "backend": "tflite",
    "title": "A board",
    "problems": ["layer 'x': no"],
    "notes": ["'lut' was left out"],
    "operating_points": [POINT],
    "estimates": {
        "latency": Estimate.within(0.0123, 2, "s", "model", "rates; outside of the calibrated "
                                   "range, so the band is 1.5 times wider").to_json(),
        "power": unknown("W", "nobody measured it").to_json(),
        "ram": Estimate.exact(2048, "B", "synthesised", "the linker").to_json(),
        "battery_life": Estimate(864000, 432000, 1728000, "s", "model", "y").to_json(),
        "duty_cycle": Estimate(0.0123, 0.01, 0.02, "1", "model", "y").to_json(),
    },
}  # fmt: skip


def text_of(details: bool, width: int = 100) -> str:
    stream = io.StringIO()
    render({"board": BOARD}, Console(file=stream, width=width, no_color=True), details)
    return stream.getvalue()


def test_every_figure_with_band_method_and_source() -> None:
    text = text_of(details=True)
    for words in (
        "12.3 ms", "6.2–25 ms", "estimate: rates", "not known: nobody measured it",
        "synthesised: the linker", "exact", "10 days", "5–20 days", "1.23 %", "1–2 %",
        "80 MHz, 1.2 V", "yes (cheapest)",
    ):  # fmt: skip
        assert words in text, words


def test_what_a_reader_must_know() -> None:
    for details in (False, True):
        text = text_of(details)
        assert "outside of what was calibrated, so with a wider band: latency" in text
        assert "cannot be compiled: layer 'x': no" in text
        assert "'lut' was left out" in text


def test_readable_at_80_columns_without_colour() -> None:
    text = text_of(details=True, width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text


def test_the_page_holds_it_all_escaped() -> None:
    hostile = {**BOARD, "notes": ["<script>alert(1)</script>"]}
    page = estimates_page.render("a<b", {"board": hostile})
    assert "<script" not in page
    assert "a&lt;b" in page
    for words in ("12.3 ms", "6.2–25 ms", "not known: nobody measured it", "the linker", "exact",
                  "outside of what was calibrated"):  # fmt: skip
        assert words in page, words
    assert "http" not in page.replace("http-equiv", "")
