"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console

    from edgeflow.network import Network


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str] = ()
) -> Table:
    """A plain table; columns named in `numbers` stand to the right."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        right = column in numbers
        made.add_column(
            column, justify="right" if right else "left", overflow="fold", no_wrap=right
        )
    for row in rows:
        made.add_row(*row)
    return made


def network_table(network: Network, console: Console) -> None:
    """A Network's layers and totals."""
    from rich.markup import escape

    rows = [
        (
            escape(layer.name),
            layer.kind if layer.kind != "opaque" else f"? {layer.attributes.get('type', '')}",
            "x".join("?" if dim is None else str(dim) for dim in layer.output_shape) or "-",
            f"{layer.parameters:,}" if layer.parameters else "",
            f"{layer.macs:,}" if layer.macs else "",
            "" if layer.weight_bits is None else f"{layer.weight_bits:g}",
            f"{layer.activation_bits:g}",
            "" if layer.sparsity is None else f"{layer.sparsity:.0%}",
        )
        for layer in network
    ]
    columns = ("layer", "kind", "output", "parameters", "MACs", "w bits", "a bits", "sparsity")
    console.print(table(columns, rows, columns[3:]))
    totals = network.totals
    console.print(
        f"{escape(network.name)} ({network.source.get('format', '?')}): {len(network.layers)} layers, "
        f"{totals.parameters:,} parameters ({totals.weight_bytes:,.0f} bytes), "
        f"{totals.macs:,} MACs, {totals.activation_bytes:,.0f} bytes of activations at most",
        highlight=False,
    )
