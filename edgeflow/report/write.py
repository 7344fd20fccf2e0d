"""Writes a report: ``report.json`` and ``report.html``, each whole or not at all."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeflow.errors import StoreError
from edgeflow.report.load import NAME

HTML = "report.html"


def write(record: Mapping[str, Any], folder: Path) -> None:
    """Check the record and write it into `folder`, as JSON and as HTML.

    ``report.json`` comes last: where it is new, ``report.html`` is too.

    Raises:
        InputError: the record does not follow the schema (`edgeflow.report.schema`).
        StoreError: the folder cannot be written; the files that were there stay as they were.
    """
    from edgeflow.report.html import render
    from edgeflow.report.schema import check

    checked = check(record)
    text = json.dumps(checked, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    contents = {HTML: render(checked), NAME: text}
    temporary: dict[Path, Path] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            part = folder / f".{name}.{uuid.uuid4().hex[:8]}"
            temporary[part] = folder / name
            with part.open("w", encoding="utf-8", newline="\n") as handle:
                handle.write(content)
                handle.flush()
                os.fsync(handle.fileno())
        for part, final in temporary.items():
            part.replace(final)
    except OSError as error:
        raise _cannot(error, folder) from None
    finally:
        for part in temporary:
            part.unlink(missing_ok=True)


def prepare(folder: Path) -> None:
    """Make the report's folder and see that it can be written, before hours of work.

    Raises:
        StoreError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".write-test.{uuid.uuid4().hex[:8]}"
        try:
            probe.write_bytes(b"edgeflow")
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot(error, folder) from None


def _cannot(error: OSError, folder: Path) -> StoreError:
    return StoreError.of(error, "the report", folder, "choose an output folder that can be written")
