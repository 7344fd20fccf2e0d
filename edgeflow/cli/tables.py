"""Tables for the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console

    from edgeflow.network import Network


def console() -> Console:
    """Standard output: as wide as the terminal, or 120 columns where there is none."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=120)


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str] = ()
) -> Table:
    """A plain table; columns named in `numbers` stand to the right."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        if column in numbers:
            made.add_column(column, justify="right", no_wrap=True)
        else:
            longest = max((len(row[index]) for row in rows), default=0)
            made.add_column(column, overflow="fold", min_width=min(longest, 16))
    for row in rows:
        made.add_row(*row)
    return made


def network_table(network: Network) -> None:
    """Print a Network's layers and totals."""
    from rich.markup import escape

    from edgeflow.frontends import describe

    rows = [
        [escape(cell).replace(" × ", "×") for cell in astuple(r)] for r in describe.rows(network)
    ]
    console().print(table(describe.HEADINGS, rows, describe.HEADINGS[3:]))
    title = f"{network.name} ({network.source.get('format', '?')}, {len(network.layers)} layers)"
    console().print(f"{title}: {describe.totals_text(network)}", highlight=False, markup=False)
