"""`edgeflow calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeflow.cli.options import JsonOption


def calibrate(
    table: Annotated[
        Path,
        typer.Option(
            "--from",
            help="CSV of own measurements: model, target, and latency_s, energy_j, power_w, lut, …",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Default: the user's own, which every estimate uses."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Correct the estimates for boards of your own by measurements.

    For each target, runtime and quantity: the factor by which the measurements differ from the
    estimates, and the band that is left. `edgeflow estimate` and reports then use them, and say so.
    """
    import json as json_module
    from dataclasses import asdict

    from edgeflow import corrections
    from edgeflow.calibrating import calibrate as calibrate_by
    from edgeflow.cli.progress import shown_runner

    path = output or corrections.default_path()
    if output is not None and output.is_file():
        corrections.load(output)  # a file of another kind is not written over
    found = calibrate_by(table, shown_runner)
    corrections.save(path, found.corrections)
    if json:
        rows = [
            {**asdict(one), "error_before": found.before[one.key],
             "error_after": found.after[one.key]}
            for one in found.corrections
        ]  # fmt: skip
        record = {"calibration": str(path), "corrections": rows, "notes": found.notes}
        print(json_module.dumps(record, indent=1))
        return
    from edgeflow.cli.tables import console
    from edgeflow.report.estimates import render_calibration

    render_calibration(found, path, console())
