"""Reads a report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgeflow.errors import InputError

NAME = "report.json"


def load(path: Path) -> dict[str, Any]:
    """The report in a folder (its ``report.json``) or in a file.

    Raises:
        InputError: there is none, or it is no report of a schema that this version reads.
    """
    from edgeflow.report.schema import check

    file = path / NAME if path.is_dir() else path
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"expected a report ({NAME}), found none",
            where=str(file),
            remedy="name the folder that `edgeflow run RECIPE --output DIR` left",
        ) from None
    except OSError as error:
        raise InputError(f"cannot read the report: {error.strerror}", where=str(file)) from None
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"expected JSON, found something else: {error}",
            where=str(file),
            remedy="the file is damaged: run again",
        ) from None
    if not isinstance(record, dict):
        raise InputError(
            f"expected a report (a JSON object), found {type(record).__name__}", where=str(file)
        )
    return check(record, str(file))
