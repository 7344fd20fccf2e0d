"""The report's charts, as plain data for plotly.js (its Python package is slow to import).

Each chart is ``{"id", "title", "text", "data", "layout"}``; `text` says in words what it shows.
Colours are those of Okabe and Ito, which colour-blind readers can tell apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from edgeflow.report import units

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9")
SERIES = (
    ("accuracy_float", "float model"),
    ("accuracy_retrained", "retrained model"),
    ("accuracy", "compiled artifact"),
)
COSTS = ("latency", "power", "energy_per_inference")

Chart = dict[str, Any]


def charts(record: Mapping[str, Any]) -> list[Chart]:
    """The charts of the whole report: accuracy, then costs; those without data are left out."""
    made = [_accuracy(record), *(_cost(record, quantity) for quantity in COSTS)]
    return [chart for chart in made if chart]


def training(history: Mapping[str, Sequence[float | None]], name: str, title: str) -> list[Chart]:
    """A training's curves: losses in one chart, everything else in another."""
    losses = {key: values for key, values in history.items() if key.split("val_")[-1] == "loss"}
    others = {key: values for key, values in history.items() if key not in losses}
    made = [
        _curves(losses, f"{name}-loss", f"{title}: loss"),
        _curves(others, f"{name}-metrics", f"{title}: {_subject(others)}"),
    ]
    return [chart for chart in made if chart]


def _subject(curves: Mapping[str, Any]) -> str:
    names = {key.removeprefix("val_").replace("_", " ") for key in curves}
    return names.pop() if len(names) == 1 else "metrics"


def _accuracy(record: Mapping[str, Any]) -> Chart | None:
    targets: Mapping[str, Any] = record["targets"]
    metric = record["metric"]
    data: list[dict[str, Any]] = []
    for (key, label), colour in zip(SERIES, COLOURS, strict=False):
        values = [target[key] for target in targets.values()]
        texts = [units.score(value, metric).replace(units.NONE, "") for value in values]
        if any(value is not None for value in values):
            data.append(
                {
                    "type": "bar",
                    "name": label,
                    "x": [_label(name) for name in targets],
                    "y": values,
                    "text": texts,
                    "textposition": "outside",
                    "cliponaxis": False,
                    "hovertemplate": "%{x}<br>%{text}",
                    "marker": {"color": colour},
                }
            )  # fmt: skip
    if not data:
        return None
    fraction = units.is_fraction(metric)
    axis: dict[str, Any] = {"title": {"text": _label(metric or "accuracy")}}
    if fraction:
        axis |= {"range": [0, 1.1], "tickformat": ".0%", "tickvals": [0, 0.2, 0.4, 0.6, 0.8, 1]}
    layout = {"barmode": "group", "yaxis": axis}
    return _chart("accuracy", "Accuracy before and after, per target", data, layout)


def _cost(record: Mapping[str, Any], quantity: str) -> Chart | None:
    data: list[dict[str, Any]] = []
    for index, (name, target) in enumerate(record["targets"].items()):
        for key, row, symbol in (
            (quantity, name, "circle"),
            (f"{quantity}_measured", f"{name}, measured", "diamond"),
        ):
            estimate = target["estimates"].get(key)
            if estimate is None or not estimate["value"] or not (estimate["low"] or 0) > 0:
                continue
            value, unit = estimate["value"], estimate["unit"]
            text = f"{units.si(value, unit)} ({units.band(estimate) or 'exact'})"
            data.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": estimate["method"],
                    "x": [value],
                    "y": [_label(row)],
                    "error_x": {
                        "type": "data",
                        "symmetric": False,
                        "array": [estimate["high"] - value],
                        "arrayminus": [value - estimate["low"]],
                        "thickness": 2,
                    },
                    "marker": {
                        "color": COLOURS[index % len(COLOURS)],
                        "size": 10,
                        "symbol": symbol,
                    },
                    "text": [text],
                    "hovertemplate": "%{y}<br>%{text}",
                }
            )  # fmt: skip
    if not data:
        return None
    layout = {
        "showlegend": False,
        "height": 110 + 40 * len({trace["y"][0] for trace in data}),
        "xaxis": {"type": "log", **_decades(data, unit)},
        "yaxis": {"autorange": "reversed"},
    }
    note = "; a circle is an estimate, a diamond a measurement, the line is the 90 % band"
    return _chart(quantity, f"{units.title(quantity)}, per target", data, layout, note)


def _decades(data: Sequence[Mapping[str, Any]], unit: str) -> dict[str, Any]:
    """A logarithmic axis' range and marks, in engineering notation, around all bands."""
    lows = [trace["x"][0] - trace["error_x"]["arrayminus"][0] for trace in data]
    highs = [trace["x"][0] + trace["error_x"]["array"][0] for trace in data]
    first, last = math.floor(math.log10(min(lows))), math.ceil(math.log10(max(highs)))
    steps = (1, 2, 5) if last - first <= 2 else (1,)
    marks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    marks = [mark for mark in marks if mark <= 10.0**last]
    return {
        "range": [first - 0.05, last + 0.05],
        "tickvals": marks,
        "ticktext": [units.si(mark, _label(unit), digits=1) for mark in marks],
    }  # fmt: skip


def _curves(curves: Mapping[str, Sequence[float | None]], name: str, title: str) -> Chart | None:
    data: list[dict[str, Any]] = []
    bases: list[str] = []
    for key, values in curves.items():
        if not any(value is not None for value in values):
            continue
        base = key.removeprefix("val_")
        if base not in bases:
            bases.append(base)
        kind = "validation" if base != key else "training"
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers" if len(values) < 3 or None in values else "lines",
                "name": _label(f"{base.replace('_', ' ')}, {kind}"),
                "x": list(range(1, len(values) + 1)),
                "y": list(values),
                "line": {
                    "color": COLOURS[bases.index(base) % len(COLOURS)],
                    "dash": "solid" if base != key else "dot",
                },
            }
        )  # fmt: skip
    if not data:
        return None
    return _chart(name, title, data, {"xaxis": {"title": {"text": "epoch"}}})


def _chart(
    name: str,
    title: str,
    data: list[dict[str, Any]],
    layout: Mapping[str, Any],
    note: str = "",
) -> Chart:
    text = f"Chart: {title}{note}. The tables of this report hold the same figures."
    return {"id": f"chart-{name}", "title": title, "text": text, "note": note.lstrip("; "),
            "data": data, "layout": dict(layout)}  # fmt: skip


def _label(text: str) -> str:
    """Text as plotly shows it: it would read tags and entities."""
    return escape(text, quote=False)
