"""The terminal's tables: at 80 columns, without colour, nothing lost."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from edgeflow.report.estimates import render as render_estimates
from edgeflow.report.terminal import render


def text_of(function: Any, content: Any, width: int = 80) -> str:
    stream = io.StringIO()
    function(content, Console(file=stream, width=width, no_color=True))
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_readable_at_this_width(sample: dict[str, Any], width: int) -> None:
    text = text_of(render, sample, width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    assert "\x1b" not in text


def test_figures_with_band_and_method(sample: dict[str, Any]) -> None:
    text = text_of(render, sample)
    rows = [line.split() for line in text.splitlines()]
    assert ["pynq-z2", "hls4ml", *"98.2 % 96.7 % 96.7 % yes".split()] in rows
    assert ["raspberry-pi-4", "tflite", *"98.2 % 97.1 % 88.0 % NO".split()] in rows
    assert ["tpu-v5e", "tpu", "–", "–", "–", "failed"] in rows
    for words in ("1.30 µs ~", "0.65–2.6 µs", "280 µs M", "LUT 42.1 k ~", "DSP 0 S", "6.20 kB M"):
        assert words in text


def test_a_missing_figure_names_its_reason_once(sample: dict[str, Any]) -> None:
    text = text_of(render, sample)
    assert "– [1]" in text
    assert text.count("no figure is published for this chip") == 1
    assert "[1] no figure is published for this chip" in text


def test_what_is_wrong_is_said(sample: dict[str, Any], hostile: str) -> None:
    text = text_of(render, sample, 400)
    assert f"LiteRT differs from the model by up to 0.21, first in layer '{hostile}' by 0.2" in text
    assert "tpu-v5e: layer 'lambda': code inside a model is refused" in text
    assert "1 of 3 targets verified; not verified: raspberry-pi-4; failed: tpu-v5e." in text.lower()


def test_all_verified(sample: dict[str, Any]) -> None:
    sample["targets"] = {"pynq-z2": sample["targets"]["pynq-z2"]}
    assert "The target is verified." in text_of(render, sample)


def test_markup_in_names_is_text(sample: dict[str, Any]) -> None:
    sample["targets"] = {"[red]x[/]": sample["targets"]["pynq-z2"]}
    sample["name"] = "[bold]n[/bold]"
    text = text_of(render, sample)
    assert "[red]x[/]" in text
    assert "[bold]n[/bold]" in text


def test_estimates_alone(sample: dict[str, Any]) -> None:
    entry = sample["targets"]["pynq-z2"]
    entries = {
        "pynq-z2": {
            "backend": "hls4ml",
            "title": "",
            "problems": [],
            "estimates": entry["estimates"],
        },
        "tpu-v5e": {"backend": "tpu", "title": "", "problems": ["layer 'x': no"], "estimates": {}},
    }
    text = text_of(render_estimates, entries)
    assert "2.10 µJ ~" in text
    assert "tpu-v5e: cannot be compiled: layer 'x': no" in text


def test_a_compilers_table_is_shown_and_cut_where_it_is_long(sample: dict[str, Any]) -> None:
    text = text_of(render, sample, 100)
    assert "pynq-z2: Operators on the NPU" in text
    assert any(line.split()[:3] == ["Conv2D", "12,345", "0.25"] for line in text.splitlines())
    (table,) = sample["targets"]["pynq-z2"]["tables"]
    table["rows"] = [["Conv2D", number, 0.5, "n"] for number in range(30)]
    text = text_of(render, sample, 100)
    assert "the first 24 of 30; the report has all" in text
    assert text.count("Conv2D") == 24
