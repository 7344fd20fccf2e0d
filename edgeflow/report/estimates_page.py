"""Estimates as one HTML file: all it needs is in it, nothing of it runs, and all is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeflow import __version__
from edgeflow.errors import StoreError
from edgeflow.report import units
from edgeflow.report.estimates import is_outside, remarks
from edgeflow.report.template import template


def render(name: str, targets: Mapping[str, Any]) -> str:
    """The page.

    Args:
        name: of the model.
        targets: as `edgeflow.estimating.estimate_targets` gives them.
    """
    every = {quantity: 0 for entry in targets.values() for quantity in entry["estimates"]}
    return template("estimates.html.j2", outside=is_outside).render(
        name=name,
        version=__version__,
        targets={key: {**entry, "remarks": remarks(entry)} for key, entry in targets.items()},
        quantities=units.ordered(every),
    )


def write(path: Path, name: str, targets: Mapping[str, Any]) -> None:
    """Write the page.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        path.write_text(render(name, targets), encoding="utf-8")
    except OSError as error:
        raise StoreError.of(error, "the page", path, "give another --html") from None
