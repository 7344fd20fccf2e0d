"""`edgeflow doctor`."""

from __future__ import annotations

import typer

from edgeflow.cli.options import JsonOption


def doctor(json: JsonOption = False) -> None:
    """Find each tool that edgeflow uses; name its version, or say how to get it."""
    import json as json_module

    from edgeflow.doctor import examine

    findings = examine()
    if json:
        print(json_module.dumps([finding.to_json() for finding in findings], indent=1))
    else:
        from edgeflow.cli.tables import console, table

        marks = {"ok": "ok", "missing": "MISSING", "optional": "-"}
        rows = [(marks[f.state], f.name, f.found or f.remedy) for f in findings]
        console().print(table(("", "what", "found, or how to get it"), rows))
    if any(finding.state == "missing" for finding in findings):
        raise typer.Exit(1)
