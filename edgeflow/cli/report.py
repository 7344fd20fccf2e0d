"""`edgeflow report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeflow.cli.options import JsonOption


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a run, or its report.json.")],
    json: JsonOption = False,
    html: Annotated[
        bool, typer.Option("--html", help="Write report.html anew from report.json.")
    ] = False,
) -> None:
    """Show the report of a run again."""
    import json as json_module

    from edgeflow.cli.tables import console
    from edgeflow.report.load import load
    from edgeflow.report.terminal import render
    from edgeflow.report.write import write

    record = load(folder)
    if html:
        place = folder if folder.is_dir() else folder.parent
        write(record, place)
        print(place / "report.html")
    elif json:
        print(json_module.dumps(record, indent=1))
    else:
        render(record, console())
