"""What `run` and `compile` print at their end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def finish(record: dict[str, Any], folder: Path) -> None:
    """Print the table and where the report is; exit code 1 where verification failed."""
    import typer

    from edgeflow.cli.tables import console
    from edgeflow.report.terminal import render

    render(record, console())
    print(f"report: {folder / 'report.html'}")
    failed = [name for name, entry in record["targets"].items() if not entry["verified"]]
    if failed:
        print(f"edgeflow: not verified: {', '.join(failed)}", file=sys.stderr)
        raise typer.Exit(1)
