"""The backends that are installed: ours, and those of third parties."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import entry_points

from edgeflow import validation
from edgeflow.backends.base import Backend
from edgeflow.errors import InputError

GROUP = "edgeflow.backends"


def names() -> list[str]:
    """Their names."""
    return sorted({point.name for point in entry_points(group=GROUP)})


@lru_cache(maxsize=32)
def get(name: str, where: str | None = None) -> Backend:
    """The backend of that name.

    Raises:
        InputError: there is none; suggests the nearest name.
    """
    for point in entry_points(group=GROUP):
        if point.name == name:
            backend: Backend = point.load()
            return backend
    raise InputError(
        f"there is no backend '{name}'", where=where, remedy=validation.suggest(name, names())
    )
