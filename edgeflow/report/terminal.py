"""The report as tables for a terminal: readable without colour and at 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgeflow.report import units, vendor
from edgeflow.report.verdict import verdict

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

MEMORY = {
    "lut": "LUT",
    "ff": "FF",
    "dsp": "DSP",
    "bram_18k": "BRAM",
    "uram": "URAM",
    "ram": "RAM",
    "flash": "flash",
    "model_size": "file",
    "weight_memory": "weights",
    "activation_memory": "act.",
}
"""What the last column shows, and how it is called there."""

EARLIER = "of an earlier run, not in this recipe, and left as they are: {}"

Record = Mapping[str, Any]


class _Reasons:
    """Why figures are missing, each reason once, numbered in the order in which they appear."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, reason: str) -> str:
        if reason not in self.texts:
            self.texts.append(reason)
        return f"{units.NONE} [{self.texts.index(reason) + 1}]"


def render(record: Record, console: Console) -> None:
    """Print a report: accuracy, costs, what is missing and why.

    Args:
        record: the report, as `edgeflow.report.write` takes it.
        console: where to print; its width and colours are respected.

    Raises:
        InputError: the record does not follow the schema.
    """
    from rich.text import Text

    from edgeflow.report.schema import check

    record = check(record)
    console.print()
    console.print(_results(record))
    if any(target["estimates"] for target in record["targets"].values()):
        print_costs(record["targets"], console)
    for name, target in record["targets"].items():
        if target["vendor_synthesis"]:
            vendor.render(target["vendor_synthesis"], console, name)
    for name, target in record["targets"].items():
        for table in target["tables"]:
            _compiler_table(name, table, console)
        if target["precision"]:
            console.print(_types(name, target["precision"]))
        for line in _remarks(target):
            console.print(Text(f"{name}: {line}"))
    if earlier := record["earlier_targets"]:
        console.print(Text(EARLIER.format(", ".join(earlier)), style="dim"))
    outcome = verdict(record)
    text = outcome["text"][:1].upper() + outcome["text"][1:] + "."
    console.print(Text(text, style="bold green" if outcome["good"] else "bold red"))


def render_deployment(found: Record, console: Console) -> None:
    """Print what a board answered (`edgeflow.deploy.ssh.deploy`)."""
    from rich.text import Text

    times, machine, default = found["latency"], found["machine"], found["default_kernels"]
    spread = f"{units.si(times['p10'], 's')} to {units.si(times['p90'], 's')}"
    lines = [
        f"board     {found['host']}: {machine['board'] or machine['architecture']}, "
        f"{machine['cores']} cores, Python {machine['python']}",
        f"runtime   {found['runtime']} {found['version']}",
        f"outputs   {'as expected' if found['passed'] else 'NOT as expected'} on "
        f"{found['inputs']:,} inputs (reference kernels): {found['explanation']}",
        f"          default kernels: {units.percent(default['equal'])} equal, the class agrees on "
        f"{units.percent(default['agreement'])}",
        f"latency   {units.si(times['median'], 's')}: median of {times['repetitions']:,} "
        f"inferences on {found['threads']} thread(s); 10th to 90th percentile {spread}",
    ]
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def print_costs(targets: Record, console: Console) -> None:
    """Latency, power, energy and memory of targets side by side, and why figures are missing."""
    from rich.text import Text

    reasons = _Reasons()
    console.print(_costs(targets, reasons))
    console.print(Text("M measured, S synthesised, C simulated, ~ model", style="dim"))
    for number, reason in enumerate(reasons.texts, 1):
        console.print(Text(f"[{number}] {reason}", style="dim"))


def _results(record: Record) -> Table:
    from rich.text import Text

    metric = record["metric"] or "accuracy"
    table = new_table(f"{record['name']}: {metric.replace('_', ' ')}")
    for header in ("target", "backend"):
        table.add_column(header, overflow="fold")
    for header in ("float", "retrained", "compiled"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("verified")
    for name, target in record["targets"].items():
        state = "yes" if target["verified"] else "failed" if target["error"] else "NO"
        table.add_row(
            Text(name, style="bold"),
            Text(target["backend"]),
            units.score(target["accuracy_float"], record["metric"]),
            units.score(target["accuracy_retrained"], record["metric"]),
            Text(units.score(target["accuracy"], record["metric"]), style="bold"),
            Text(state, style="green" if target["verified"] else "bold red"),
        )
    return table


def _costs(targets: Record, reasons: _Reasons) -> Table:
    from rich.text import Text

    table = new_table("cost per inference, with 90 % bands")
    table.add_column("target", overflow="fold")
    for header in ("latency", "power", "energy", "memory, logic"):
        table.add_column(header, min_width=13)
    for name, target in targets.items():
        estimates: Record = target["estimates"]
        table.add_row(
            Text(name, style="bold"),
            _cell(estimates, {"latency": "", "latency_measured": ""}, reasons),
            _cell(estimates, {"power": "", "chip_power": "chip "}, reasons),
            _cell(
                estimates,
                {"energy_per_inference": "", "chip_energy_per_inference": "chip "},
                reasons,
            ),
            _memory(estimates),
        )
    return table


def _cell(estimates: Record, quantities: Mapping[str, str], reasons: _Reasons) -> Text:
    """The figures of one cell below each other, each as value and method, then its band.

    A later quantity that is missing is left out where an earlier one of the cell is known.
    """
    from rich.text import Text

    cell = Text()
    for quantity, prefix in quantities.items():
        estimate = estimates.get(quantity)
        if estimate is None or (estimate["value"] is None and cell):
            continue
        if cell:
            cell.append("\n")
        if estimate["value"] is None:
            cell.append(prefix + reasons.mark(estimate["reason"]), style="dim")
            continue
        cell.append(f"{prefix}{units.si(estimate['value'], estimate['unit'])} {_method(estimate)}")
        if text := units.band(estimate):
            cell.append(f"\n{text}", style="dim")
    return cell or Text(units.NONE)


def _memory(estimates: Record) -> Text:
    from rich.text import Text

    lines = []
    for quantity, label in MEMORY.items():
        estimate = estimates.get(quantity)
        if estimate is not None and estimate["value"] is not None:
            unit = "B" if estimate["unit"] == "B" else "1"
            lines.append(f"{label} {units.si(estimate['value'], unit)} {_method(estimate)}")
    return Text("\n".join(lines) or units.NONE)


def _method(estimate: Record) -> str:
    return {"measured": "M", "synthesised": "S", "simulated": "C", "model": "~"}[estimate["method"]]


def _remarks(target: Record) -> list[str]:
    """What a reader must know of a target beyond its figures."""
    lines = [target["error"]] if target["error"] else []
    for one in target["verification"]:
        if not one["passed"]:
            lines.append(_difference(one))
    lines += target["notes"]
    if board := target["deployment"]:
        outcome = "as expected" if board["passed"] else "NOT as expected"
        lines.append(
            f"on {board['host']}, {board['runtime']} {board['version']}: outputs {outcome} "
            f"on {board['inputs']:,} inputs"
        )
    return lines


ROWS = 24
"""Rows of a compiler's table that a terminal shows; the HTML report has them all."""


def _compiler_table(name: str, given: Record, console: Console) -> None:
    """Print what a compiler said of its operators, and how many rows are left out."""
    from rich.text import Text

    rows = given["rows"]
    table = new_table(f"{name}: {given['title']}")
    for index, column in enumerate(given["columns"]):
        numbers = all(isinstance(row[index], (int, float)) for row in rows)
        short = column == "name"  # a file's own names are long
        table.add_column(
            column,
            justify="right" if numbers else "left",
            overflow="ellipsis" if short else "fold",
            no_wrap=short or numbers,
        )
    for row in rows[:ROWS]:
        cells = [units.NONE if c is None else f"{c:,.6g}" if isinstance(c, float)
                 else f"{c:,}" if isinstance(c, int) else c for c in row]  # fmt: skip
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)
    if len(rows) > ROWS:
        console.print(f"the first {ROWS} of {len(rows)}; the report has all", style="dim")


def _types(name: str, tuned: Record) -> Table:
    """The types that tuning found, beside those before."""
    from rich.text import Text

    table = new_table(f"types on {name}, tuned")
    for header in ("layer", "of", "before", "after"):
        table.add_column(header, overflow="fold")
    for row in tuned["rows"]:
        table.add_row(*(Text(str(row[key])) for key in ("layer", "role", "before", "after")))
    before, after = tuned["before"], tuned["after"]
    metric = tuned["metric"]
    rows = [
        (metric, f"{before['test']:.4f}", f"{after['test']:.4f} (asked {tuned['asked']:.4f})"),
        ("EBOPs", f"{before['ebops']:,.0f}", f"{after['ebops']:,.0f}"),
    ]
    table.add_section()
    for label, one, other in rows:
        table.add_row(Text(label, style="bold"), "", one, other)
    return table


def _difference(one: Record) -> str:
    text = f"{one['runtime']} differs from the model"
    if one["max_difference"] is not None:
        text += f" by up to {one['max_difference']:.3g}"
    if first := one["first_divergence"]:
        text += f", first in layer '{first['layer']}'"
        if first["difference"] is not None:
            text += f" by {first['difference']:.3g}"
    if one["explanation"]:
        text += f": {one['explanation']}"
    if first and first["why"]:
        text += f". {first['why'][:1].upper()}{first['why'][1:]}"
        text += f"; use {first['remedy']}" if first["remedy"] else ""
    return text


def new_table(title: str) -> Table:
    """A plain table, readable without colour."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    return Table(
        title=Text(title),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1),
        collapse_padding=True,
    )
