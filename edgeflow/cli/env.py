"""`edgeflow env`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from edgeflow.cli.options import JsonOption

app = typer.Typer(
    help="The toolchains: isolated environments that edgeflow makes and owns.",
    no_args_is_help=True,
)
Names = Annotated[list[str] | None, typer.Argument(help="Toolchains; default: all.")]


@app.command("list")
def list_toolchains(json: JsonOption = False) -> None:
    """List the toolchains, and whether each has been made."""
    from edgeflow import toolchains

    chains = [toolchains.get(name) for name in toolchains.names()]
    if json:
        import json as json_module

        rows = [
            {
                "name": chain.name,
                "ready": chain.ready,
                "path": str(chain.path),
                "purpose": chain.purpose,
                "packages": dict(chain.packages),
            }
            for chain in chains
        ]
        print(json_module.dumps(rows, indent=1))
        return
    from edgeflow.cli.tables import console, table

    rows_shown = [
        (chain.name, "ready" if chain.ready else "not made", chain.purpose) for chain in chains
    ]
    console().print(table(("name", "state", "purpose"), rows_shown))


@app.command("sync")
def sync(names: Names = None) -> None:
    """Make toolchains that have not been made."""
    from edgeflow import toolchains

    for name in names or toolchains.names():
        chain = toolchains.get(name)
        toolchains.ensure(chain, lambda text: print(f"edgeflow: {text}", file=sys.stderr))
        print(f"{name}: {chain.path}")


@app.command("remove")
def remove(names: Names = None) -> None:
    """Delete toolchains from the cache; the next use makes them again."""
    from edgeflow import toolchains

    for name in names or toolchains.names():
        gone = toolchains.remove(toolchains.get(name))
        print(f"{name}: {'removed' if gone else 'not made'}")
