"""`edgeflow estimate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeflow.cli.options import JsonOption, SetOption, TargetOption


def estimate(
    target: TargetOption,
    model: Annotated[list[Path] | None, typer.Argument(help="Model file.")] = None,
    network: Annotated[
        Path | None, typer.Option("--network", help="Network JSON in place of a model.")
    ] = None,
    backend: Annotated[str | None, typer.Option(help="Default: the target's first.")] = None,
    option: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Say what a model would cost on targets, without compiling it."""
    import json as json_module

    from edgeflow.cli.models import read_network
    from edgeflow.cli.options import parse_settings
    from edgeflow.errors import InputError
    from edgeflow.estimating import estimate_targets

    paths = [*(model or []), *([network] if network else [])]
    if not paths or (model and network):
        raise InputError("expected a model file or --network FILE, and not both")
    entries = estimate_targets(
        lambda: read_network(paths), target, backend=backend, options=parse_settings(option)
    )
    if json:
        print(json_module.dumps({"targets": entries}, indent=1))
        return
    from edgeflow.cli.tables import console
    from edgeflow.report.terminal import render_estimates

    render_estimates(entries, console())
