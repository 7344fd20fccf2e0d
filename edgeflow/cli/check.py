"""`edgeflow check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeflow.cli.options import MODEL_HELP, JsonOption, SetOption


def check(
    model: Annotated[list[Path] | None, typer.Argument(help=MODEL_HELP)] = None,
    target: Annotated[
        list[str] | None, typer.Option("--target", "-t", help="Target; may be given several times.")
    ] = None,
    backend: Annotated[str | None, typer.Option(help="Default: the target's first.")] = None,
    option: SetOption = None,
    limits_of: Annotated[
        str | None,
        typer.Option("--list", metavar="BACKEND", help="Say what a backend takes, and no more."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Say whether a model can be compiled for targets; if not, every reason with its remedy.

    With --list: what a backend takes, from the tables of its check.

    Exit codes: 0, it can be compiled for every target (a note says what may surprise); 1, for one
    of them or more it cannot; 2, the command itself cannot be done: a wrong option, an unknown
    target, a file that is no model.
    """
    if limits_of is not None:
        from edgeflow.cli import limits

        limits.show(limits_of, json)
        return
    from dataclasses import asdict
    from typing import Any

    if not model:
        raise typer.BadParameter("give a model file, or --list BACKEND", param_hint="MODEL")
    if not target:
        raise typer.BadParameter("give a target", param_hint="--target")
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
    record: list[dict[str, Any]] = []
    for aim, compiler, options in chosen:
        problems = compiler.check(network, aim, options)
        failed = failed or bool(problems)
        remarks: list[str] = []
        if hasattr(compiler, "remarks"):
            remarks = compiler.remarks(network, aim, options)
        if json:
            listed = [asdict(problem) for problem in problems]
            entry = {"target": aim.name, "backend": compiler.name, "problems": listed}
            record.append(entry | {"remarks": remarks})
            continue
        verdict = f"{len(problems)} problem{'s'[: len(problems) != 1]}" if problems else "works"
        print(f"{aim.name} ({compiler.name}): {verdict}")
        for problem in problems:
            print(f"  - {problem}")
        for remark in remarks:
            print(f"  note: {remark}")
    if json:
        import json as json_module

        print(json_module.dumps(record, indent=1))
    if failed:
        raise typer.Exit(1)
