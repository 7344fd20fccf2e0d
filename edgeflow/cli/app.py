"""The commands, gathered."""

from __future__ import annotations

from typing import Annotated

import typer

from edgeflow import __version__
from edgeflow.cli import (
    calibrate,
    check,
    compile_,
    deploy,
    doctor,
    env,
    estimate,
    inspect_,
    report,
    run,
    targets,
)

app = typer.Typer(
    name="edgeflow",
    help="From a trained neural network to FPGAs, edge devices and TPUs: compressed, compiled, "
    "verified, with what each costs.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"edgeflow {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    _version_wanted: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


app.command("run")(run.run)
app.command("inspect")(inspect_.inspect)
app.command("check")(check.check)
app.command("compile")(compile_.compile_model)
app.command("estimate")(estimate.estimate)
app.command("calibrate")(calibrate.calibrate)
app.command("deploy")(deploy.deploy)
app.command("report")(report.report)
app.add_typer(targets.app, name="targets")
app.add_typer(env.app, name="env")
app.command("doctor")(doctor.doctor)
