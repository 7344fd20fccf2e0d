"""The backends that are installed: ours, and those of third parties."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import entry_points

from edgeflow import validation
from edgeflow.backends.base import Backend, Limit
from edgeflow.errors import InputError
from edgeflow.targets import Target

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


def choose(target: Target, name: str | None = None, where: str | None = None) -> Backend:
    """The backend of that name for a target; by default the target's first.

    Raises:
        InputError: there is none, or the target is not for it.
    """
    backend = get(name or target.backends[0], where)
    if backend.name not in target.backends:
        raise InputError(
            f"the target '{target.name}' is not for the backend '{backend.name}'",
            where=where,
            remedy=f"expected one of {', '.join(target.backends)}",
        )
    return backend


def limits(backend: Backend) -> list[Limit] | None:
    """What a backend says that it takes; None where it says nothing."""
    say = getattr(backend, "limits", None)
    return None if say is None else list(say())
