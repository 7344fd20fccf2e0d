"""`edgeflow targets`."""

from __future__ import annotations

from typing import Annotated

import typer

from edgeflow.cli.options import JsonOption

app = typer.Typer(help="The boards and chips that edgeflow knows.", no_args_is_help=True)


@app.command("list")
def list_targets(json: JsonOption = False) -> None:
    """List the targets."""
    from edgeflow import targets

    rows = targets.summary_rows()
    if json:
        import json as json_module

        print(json_module.dumps(rows, indent=1))
        return
    # Plain columns: a table of rich's takes a quarter of a second for so many rows.
    columns = ("name", "title", "kind", "backend", "chip", "clock_mhz")
    cells = [["" if row[name] is None else str(row[name]) for name in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for line in (list(columns), ["-" * width for width in widths], *cells):
        padded = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        print("  ".join(padded).rstrip())


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="The target's name.")], json: JsonOption = False
) -> None:
    """Show all that is known of a target, each figure with its source."""
    from dataclasses import asdict

    from edgeflow import targets

    target = targets.load(name)
    if json:
        import json as json_module

        print(json_module.dumps(asdict(target), indent=1))
        return
    import yaml

    print(yaml.safe_dump(_plain(asdict(target)), sort_keys=False, allow_unicode=True), end="")


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items() if v not in (None, {}, (), "")}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
