"""The HTML report: one file that holds all it needs and opens without a network.

Everything in it is escaped (layer names come from untrusted files), and its content security
policy lets no other script run than its own two, by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Template
from markupsafe import Markup

from edgeflow.report import figures, units, vendor
from edgeflow.report.template import FOLDER, template
from edgeflow.report.verdict import verdict


def render(record: Mapping[str, Any]) -> str:
    """The report as HTML. `record` has passed `edgeflow.report.schema.check`."""
    library, script = _plotly(), (FOLDER / "report.js").read_text(encoding="utf-8")
    curves = [
        chart
        for index, (name, history) in enumerate(record["history"].items())
        for chart in figures.training(history, f"history-{index}", f"Training ({name})")
    ]
    per_target = {
        name: figures.training(target["history"], f"target-{index}", "Retraining")
        for index, (name, target) in enumerate(record["targets"].items())
    }
    summary = figures.charts(record)
    quantities = {name: 0 for target in record["targets"].values() for name in target["estimates"]}
    every = [*summary, *curves, *(chart for charts in per_target.values() for chart in charts)]
    return _template().render(
        report=record,
        verdict=verdict(record),
        summary=summary,
        curves=curves,
        retraining=per_target,
        figures={c["id"]: {"data": c["data"], "layout": c["layout"]} for c in every},
        quantities=units.ordered(quantities),
        plotly=Markup(library),  # noqa: S704 - the installed package's own file
        script=Markup(script),  # noqa: S704 - this package's own file
        hashes=[_hash(text) for text in (library, script) if text],
    )  # fmt: skip


@lru_cache(maxsize=1)
def _template() -> Template:
    return template(
        "report.html.j2",
        percent=units.percent,
        score=units.score,
        bits=units.bits,
        link=_link,
        number=_number,
        vendor_rows=vendor.rows,
        vendor_layers=vendor.layer_rows,
        vendor_columns=vendor.columns,
        shape=_shape,
    )


def _link(path: str) -> str:
    """A relative path as a link; the leading ``./`` keeps it from being read as a scheme."""
    return "./" + quote(path)


def _number(value: float | None) -> str:
    if value is None:
        return units.NONE
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _shape(dims: list[int | None]) -> str:
    return " × ".join("?" if dim is None else str(dim) for dim in dims) or "scalar"


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@lru_cache(maxsize=1)
def _plotly() -> str:
    """plotly.js as its Python package ships it; empty where that is not installed."""
    spec = find_spec("plotly")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, "package_data", "plotly.min.js")
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            if "</script" not in text.lower() and "<!--" not in text:
                return text
    return ""
