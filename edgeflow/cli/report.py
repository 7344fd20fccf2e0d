"""`edgeflow report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeflow.cli.options import JsonOption


def report(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of a run, or its report.json.")
    ] = None,
    json: JsonOption = False,
    html: Annotated[
        bool, typer.Option("--html", help="Write report.html anew from report.json.")
    ] = False,
    from_synthesis: Annotated[
        Path | None,
        typer.Option(
            "--from-synthesis",
            metavar="DIR",
            help="Read a vendor's reports (Vivado, Vitis HLS, Quartus) in DIR into the report.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", "-t", help="The target that was synthesised, where unclear."),
    ] = None,
) -> None:
    """Show the report of a run again; or read a synthesis made elsewhere back into it.

    Without a run's folder, --from-synthesis looks for a report beside DIR, and shows what the
    vendor's reports say where there is none.
    """
    import json as json_module

    from edgeflow.cli.tables import console
    from edgeflow.errors import InputError
    from edgeflow.report.load import load
    from edgeflow.report.terminal import render
    from edgeflow.report.write import write

    if from_synthesis is not None:
        _read_back(from_synthesis, folder, target, json)
        return
    if folder is None:
        raise InputError(
            "expected the folder of a run", remedy="`edgeflow report FOLDER`, or --from-synthesis"
        )
    if target is not None:
        raise InputError("--target goes with --from-synthesis")
    record = load(folder)
    if html:
        place = folder if folder.is_dir() else folder.parent
        write(record, place)
        print(place / "report.html")
    elif json:
        print(json_module.dumps(record, indent=1))
    else:
        render(record, console())


def _read_back(reports: Path, folder: Path | None, target: str | None, json: bool) -> None:
    import json as json_module

    from edgeflow.cli.tables import console
    from edgeflow.report import vendor
    from edgeflow.report.from_synthesis import read_back
    from edgeflow.report.terminal import render

    found = read_back(reports, folder, target)
    if json:
        print(json_module.dumps(found.synthesis, indent=1))
        return
    if found.report is None or found.folder is None:
        vendor.render(found.synthesis, console())
        return
    render(found.report, console())
    print(f"report: {found.folder / 'report.html'}")
