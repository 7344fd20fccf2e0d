"""Estimates on a terminal: targets side by side, and each figure with its band and source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgeflow.report import units
from edgeflow.report.terminal import new_table, print_costs

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from edgeflow.corrections import Calibrated

METHODS: Final = {
    "measured": "measured",
    "synthesised": "synthesised",
    "simulated": "simulated",
    "model": "estimate",
}
OUTSIDE: Final = ("outside", "wider")
"""Words in a source by which an estimator says that its band was widened."""

POINT_FIGURES: Final = (
    "latency", "power", "energy_per_inference", "average_power", "energy_per_inference_at_rate",
)  # fmt: skip
DAY: Final = 86400.0
SHARES: Final = ("duty_cycle",)
"""Quantities that people read in percent."""

Record = Mapping[str, Any]


def render(targets: Record, console: Console, details: bool = False) -> None:
    """Print what a model would cost on targets.

    Args:
        targets: by name, records with ``estimates`` as in the report, ``problems`` and ``notes``
            (texts).
        console: where to print.
        details: every figure with its source, target by target.
    """
    from rich.text import Text

    console.print()
    if details:
        for name, target in targets.items():
            console.print(_details(name, target))
            if target.get("layers"):
                console.print(_layers(name, target["layers"]))
    else:
        print_costs(targets, console)
    for name, target in targets.items():
        if target.get("operating_points"):
            console.print(_points(name, target["operating_points"]))
    for name, target in targets.items():
        for line in remarks(target):
            console.print(Text(f"{name}: {line}", style="yellow"))
        for problem in target.get("problems", ()):
            console.print(Text(f"{name}: cannot be compiled: {problem}", style="bold red"))
        for note in target.get("notes", ()):
            console.print(Text(f"{name}: {note}"))


def remarks(target: Record) -> list[str]:
    """What a reader must know of a target's figures: those outside of what was calibrated."""
    outside = [
        units.title(name).lower()
        for name in units.ordered(target["estimates"])
        if is_outside(target["estimates"][name])
    ]
    if not outside:
        return []
    return [
        f"outside of what was calibrated, so with a wider band: {', '.join(outside)} "
        "(--details has the reasons)"
    ]


def is_outside(estimate: Record) -> bool:
    """Whether the estimator said that it left its calibrated range."""
    source = str(estimate.get("source", "")).lower()
    return estimate["value"] is not None and OUTSIDE[0] in source and OUTSIDE[1] in source


def _details(name: str, target: Record) -> Table:
    from rich.text import Text

    backend = target.get("backend", "")
    table = new_table(f"{name}: {target.get('title', '')} ({backend}), with 90 % bands")
    table.add_column("figure", overflow="fold", min_width=14)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("band", no_wrap=True)
    table.add_column("from", overflow="fold")
    estimates: Record = target["estimates"]
    for quantity in units.ordered(estimates):
        figure = estimates[quantity]
        title = units.title(quantity)
        if figure["value"] is None:
            table.add_row(
                title, units.NONE, "", Text(f"not known: {figure['reason']}", style="dim")
            )
            continue
        method = METHODS[figure["method"]]
        style = "yellow" if is_outside(figure) else "dim"
        table.add_row(
            title,
            Text(_value(quantity, figure), style="bold"),
            _band(quantity, figure),
            Text(f"{method}: {figure['source']}", style=style),
        )
    return table


def _value(quantity: str, figure: Record) -> str:
    if quantity == "battery_life":
        return f"{figure['value'] / DAY:.3g} days"
    if quantity in SHARES:
        return f"{100 * figure['value']:.3g} %"
    return units.si(figure["value"], figure["unit"])


def _band(quantity: str, figure: Record) -> str:
    if quantity == "battery_life":
        return f"{figure['low'] / DAY:.3g}–{figure['high'] / DAY:.3g} days"
    if quantity in SHARES:
        return f"{100 * figure['low']:.3g}–{100 * figure['high']:.3g} %"
    return units.band(figure) or "exact"


def _points(name: str, points: Sequence[Record]) -> Table:
    """A target's clocks and voltages side by side."""
    from rich.text import Text

    table = new_table(f"{name}: operating points")
    shown = [key for key in POINT_FIGURES if any(key in point["estimates"] for point in points)]
    table.add_column("clock", no_wrap=True)
    for key in shown:
        table.add_column(units.title(key).lower(), justify="right", overflow="fold")
    table.add_column("in time")
    for point in points:
        volts = f", {point['voltage_v']:g} V" if point.get("voltage_v") else ""
        style = "bold green" if point.get("cheapest") else ""
        cells = []
        for key in shown:
            figure = point["estimates"].get(key)
            known = figure is not None and figure["value"] is not None
            cells.append(units.si(figure["value"], figure["unit"]) if known else units.NONE)
        said = point.get("meets_deadline") or ""
        said += " (cheapest)" if point.get("cheapest") else ""
        table.add_row(
            Text(f"{point['frequency_mhz']:g} MHz{volts}", style=style), *cells, said, style=style
        )
    return table


def _layers(name: str, layers: Record) -> Table:
    """Figures by layer; they have no bands, since no report has truths to judge them by."""
    from rich.text import Text

    table = new_table(f"{name}: by layer, without bands")
    table.add_column("layer", overflow="fold")
    keys = list(dict.fromkeys(key for figures in layers.values() for key in figures))
    for key in keys:
        table.add_column(units.title(key), justify="right", overflow="fold")
    for layer, figures in layers.items():
        cells = [f"{figures[key]:,.0f}" if key in figures else "" for key in keys]
        table.add_row(Text(layer), *cells)
    return table


def render_calibration(found: Calibrated, path: Path, console: Console) -> None:
    """Print what a user's measurements gave."""
    from rich.text import Text

    table = new_table("corrections by own measurements")
    for header in ("target", "runtime", "figure"):
        table.add_column(header, overflow="fold")
    for header in ("models", "factor", "error before", "after", "band"):
        table.add_column(header, justify="right")
    for one in found.corrections:
        after = found.after[one.key]
        table.add_row(
            Text(one.target, style="bold"),
            one.runtime or "",
            units.title(one.quantity),
            str(one.models),
            f"x {one.factor:.3g}",
            units.percent(found.before[one.key]),
            units.NONE if after is None else units.percent(after),
            f"/ and x {one.band:.3g}",
        )
    console.print()
    console.print(table)
    console.print(
        Text("errors are medians; 'after' is of models left out of their own correction", "dim")
    )
    for note in found.notes:
        console.print(Text(note))
    console.print(Text(f"written to {path}"))
