"""`edgeflow check`."""

from __future__ import annotations

from typing import Annotated

import typer

from edgeflow.cli.options import ModelArgument, SetOption, TargetOption


def check(
    model: ModelArgument,
    target: TargetOption,
    backend: Annotated[str | None, typer.Option(help="Default: the target's first.")] = None,
    option: SetOption = None,
) -> None:
    """Say whether a model can be compiled for targets; if not, every reason with its remedy."""
    from edgeflow import targets
    from edgeflow.backends import registry
    from edgeflow.cli.models import read_network
    from edgeflow.cli.options import parse_settings

    given = parse_settings(option)
    chosen = []
    for name in target:
        aim = targets.load(name)
        compiler = registry.choose(aim, backend)
        chosen.append((aim, compiler, compiler.options(given, "--option")))
    network = read_network(model)
    failed = False
    for aim, compiler, options in chosen:
        problems = compiler.check(network, aim, options)
        failed = failed or bool(problems)
        verdict = f"{len(problems)} problem{'s'[: len(problems) != 1]}" if problems else "works"
        print(f"{aim.name} ({compiler.name}): {verdict}")
        for problem in problems:
            print(f"  - {problem}")
    if failed:
        raise typer.Exit(1)
