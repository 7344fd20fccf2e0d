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
    synthesise: SynthesiseOption = False,
    force: ForceOption = False,
) -> None:
    """Compile a model for targets as it is, verify each artifact, and write the report."""
    from edgeflow import pipeline
    from edgeflow.cli.options import parse_settings
    from edgeflow.cli.progress import shown_runner
    from edgeflow.cli.show import finish
    from edgeflow.recipe import from_files, place_of_option

    plan = from_files(
        model, target, data=data, backend=backend, options=parse_settings(option), inputs=inputs
    )
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
