"""`edgeflow check --list`: what a backend takes, from the tables that its check walks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeflow.backends.base import Limit

COLUMNS = ("layers or operators", "takes", "only with", "otherwise")


def show(name: str, json: bool) -> None:
    """Print a backend's limits, as a table or as JSON.

    Raises:
        InputError: there is no such backend.
    """
    from dataclasses import asdict

    from edgeflow.backends import registry

    backend = registry.get(name, "--list")
    found = registry.limits(backend)
    if json:
        import json as json_module

        record = {
            "backend": backend.name,
            "description": backend.description,
            "limits": None if found is None else [asdict(limit) for limit in found],
        }
        print(json_module.dumps(record, indent=1))
        return
    print(f"{backend.name}: {backend.description}")
    if found is None:
        print("it gives no list of its limits; `edgeflow check MODEL` says what stands in the way")
        return
    from rich.markup import escape

    from edgeflow.cli.tables import console, table

    console().print(table(COLUMNS, [[escape(cell) for cell in row] for row in rows(found)]))


def rows(found: Sequence[Limit]) -> list[tuple[str, str, str, str]]:
    """The limits as cells of `COLUMNS`."""
    return [
        (", ".join(limit.kinds) or "all", limit.limit, limit.only, limit.remedy) for limit in found
    ]
