"""`edgeflow run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeflow.cli.options import ForceOption, SynthesiseOption


def run(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a YAML file.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the report; default runs/NAME."),
    ] = None,
    synthesise: SynthesiseOption = False,
    force: ForceOption = False,
) -> None:
    """Do a whole recipe: train, compress, compile, verify, estimate, report.

    Everything is kept in the store: the same command again takes a second, and an interrupted
    one resumes. Exit code 1: an artifact does not compute what the model computes.
    """
    from edgeflow import pipeline
    from edgeflow import recipe as recipes
    from edgeflow.cli.progress import shown_runner
    from edgeflow.cli.show import finish

    plan, lines = recipes.load(recipe)
    folder = output or Path("runs") / plan.name
    with shown_runner() as runner:
        record = pipeline.run(
            plan,
            folder,
            runner,
            where=lines.where,
            recipe_file=recipe.name,
            synthesise=synthesise,
            force=force,
        )
    finish(record, folder)
