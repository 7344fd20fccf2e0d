"""What `run` and `compile` print at their end."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def finish(record: dict[str, Any], folder: Path) -> None:
    """Print the table and where the report is; exit code 1 where verification failed."""
    import typer
    from rich.console import Console

    from edgeflow.report.terminal import render

    console = Console()
    render(record, console)
    console.print(f"report: {folder / 'report.html'}", highlight=False, markup=False)
    failed = [name for name, entry in record["targets"].items() if not entry["verified"]]
    if failed:
        Console(stderr=True).print(f"not verified: {', '.join(failed)}", style="bold red")
        raise typer.Exit(1)
