"""The templates of the HTML pages: all that is put into one is escaped, and nothing may lack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from edgeflow.report import units

FOLDER = Path(__file__).parent


def template(name: str, **filters: Any) -> Template:
    """A template of this folder, with the filters of every page and its own."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "si": units.si,
        "band": units.band,
        "title_of": units.title,
        "ordered": units.ordered,
        **filters,
    }
    return environment.get_template(name)
