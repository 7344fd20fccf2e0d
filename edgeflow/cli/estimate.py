"""`edgeflow estimate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeflow.cli.options import JsonOption, SetOption, TargetOption


def estimate(
    target: TargetOption,
    model: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Model file, Network JSON, hls4ml_config.yml or hls4ml project folder."
        ),
    ] = None,
    network: Annotated[
        Path | None, typer.Option("--network", help="Network JSON in place of a model.")
    ] = None,
    backend: Annotated[str | None, typer.Option(help="Default: the target's first.")] = None,
    runtime: Annotated[
        str | None,
        typer.Option(
            "--runtime",
            "-r",
            help="What runs the model on a microcontroller: tflm, tflm-cmsis-nn, x-cube-ai, "
            "microtvm, edgeflow; vendor for an NPU's own.",
        ),
    ] = None,
    clock_mhz: Annotated[
        float | None, typer.Option("--clock-mhz", help="In place of the target's clock.")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            "-s",
            help="Replace a figure or setting of the targets, or an option of their backends, as "
            "KEY=VALUE (ram=262144, bus=usb2, reuse_factor=8); several times.",
        ),
    ] = None,
    option: SetOption = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calibration",
            help="Corrections that `edgeflow calibrate` wrote; none for none. Default: "
            "$EDGEFLOW_CALIBRATION, else the user's own.",
        ),
    ] = None,
    details: Annotated[
        bool,
        typer.Option("--details", help="Every figure with its source; default for one target."),
    ] = False,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write it as one HTML file, too.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Say what a model would cost on targets, without compiling it.

    Each figure comes with the band that should hold it nine times in ten, its method and its
    source. With --runtime, --clock-mhz and --set, what it would cost if a target were different.
    """
    import json as json_module

    from edgeflow import subject
    from edgeflow.cli.options import parse_settings
    from edgeflow.cli.progress import shown_runner
    from edgeflow.errors import InputError
    from edgeflow.estimating import estimate_targets

    paths = [*(model or []), *([network] if network else [])]
    if not paths or (model and network):
        raise InputError("expected a model file or --network FILE, and not both")
    entries = estimate_targets(
        lambda: subject.read(paths, shown_runner),
        target,
        backend=backend,
        options=parse_settings(option),
        clock_mhz=clock_mhz,
        runtime=runtime,
        settings=parse_settings(setting, "--set"),
        calibration=calibration,
    )
    if html is not None:
        from edgeflow.report.estimates_page import write

        write(html, paths[0].stem, entries)
    if json:
        print(json_module.dumps({"targets": entries}, indent=1))
        return
    from edgeflow.cli.tables import console
    from edgeflow.report.estimates import render

    render(entries, console(), details=details or len(entries) == 1)
