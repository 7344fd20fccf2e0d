"""`edgeflow deploy`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeflow.cli.options import JsonOption


def deploy(
    folder: Annotated[Path, typer.Argument(help="Folder of a run, with its report.json.")],
    target: Annotated[str, typer.Option("--target", "-t", help="Which of its targets.")],
    host: Annotated[str, typer.Option("--host", help="The board: USER@HOST or USER@HOST:PORT.")],
    identity: Annotated[Path | None, typer.Option(help="Private key file.")] = None,
    known_hosts: Annotated[
        Path | None, typer.Option(help="Default ~/.ssh/known_hosts; host keys are always checked.")
    ] = None,
    python: Annotated[str, typer.Option(help="Python on the board.")] = "python3",
    json: JsonOption = False,
) -> None:
    """Take a TFLite artifact to a board over SSH, run it there, compare and measure.

    The measured latency goes into the report, beside the estimate.
    """
    import getpass
    import json as json_module
    import sys

    from edgeflow.deploy.ssh import deploy as deploy_over_ssh

    outcome = deploy_over_ssh(
        folder,
        target,
        host,
        identity=identity,
        known_hosts=known_hosts,
        python=python,
        ask=getpass.getpass if sys.stdin.isatty() else None,
    )
    if json:
        print(json_module.dumps(outcome, indent=1))
        return
    from rich.console import Console

    from edgeflow.report.terminal import render_deployment

    render_deployment(outcome, Console())
