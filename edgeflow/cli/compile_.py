"""`edgeflow compile`."""

from __future__ import annotations

from typing import Annotated

import typer

from edgeflow.cli.options import (
    DataOption,
    ForceOption,
    ModelArgument,
    OutputOption,
    SetOption,
    SynthesiseOption,
    TargetOption,
)


def compile_model(
    model: ModelArgument,
    target: TargetOption,
    output: OutputOption,
    data: DataOption = None,
    backend: Annotated[str | None, typer.Option(help="Default: the target's first.")] = None,
    option: SetOption = None,
    inputs: Annotated[int, typer.Option(help="Golden vectors to verify with.")] = 1000,
    tune_precision: Annotated[
        bool, typer.Option("--tune-precision", help="Find the narrowest types (hls4ml).")
    ] = False,
    max_loss: Annotated[
        float | None,
        typer.Option(help="Of accuracy (or R²), by tuned types. [default: 0.005]"),
    ] = None,
    min_agreement: Annotated[
        float | None,
        typer.Option(help="Of the class, by tuned types without labels. [default: 0.99]"),
    ] = None,
    synthesise: SynthesiseOption = False,
    force: ForceOption = False,
) -> None:
    """Compile a model for targets as it is, verify each artifact, and write the report."""
    from edgeflow import pipeline
    from edgeflow.cli.options import parse_settings
    from edgeflow.cli.progress import shown_runner
    from edgeflow.cli.show import finish
    from edgeflow.recipe import from_files, place_of_option

    options = parse_settings(option)
    tuned = {"max_loss": max_loss, "min_agreement": min_agreement}
    if tune_precision:
        options["precision"] = "tuned"
    options |= {name: value for name, value in tuned.items() if value is not None}
    plan = from_files(model, target, data=data, backend=backend, options=options, inputs=inputs)
    with shown_runner() as runner:
        record = pipeline.run(
            plan,
            output,
            runner,
            where=place_of_option,
            projects=output / "hls_projects",
            synthesise=synthesise,
            force=force,
        )
    finish(record, output)
