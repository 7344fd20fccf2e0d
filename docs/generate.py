"""Writes the reference pages from the code: docs/cli.md, docs/recipe.md,
docs/recipe.schema.json, docs/network.schema.json, docs/backends.md, docs/accuracy.md.

A test fails when they are not up to date; `make docs` renews them.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from edgeflow import recipe
from edgeflow.frontends import network_schema

DOCS = Path(__file__).parent
COMMANDS = (
    "", "run", "inspect", "check", "compile", "estimate", "calibrate", "deploy", "report",
    "targets list", "targets show", "env list", "env sync", "env remove", "doctor",
)  # fmt: skip


def cli() -> str:
    """Every command's help."""
    parts = ["# Commands", "", "Generated from the code by `make docs`.", ""]
    for command in COMMANDS:
        said = subprocess.run(
            [sys.executable, "-m", "edgeflow", *command.split(), "--help"],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"},
        ).stdout.replace("python -m edgeflow", "edgeflow", 1)
        lines = [line.rstrip() for line in said.strip().splitlines()]
        parts += [f"## edgeflow {command}".rstrip(), "", "```", *lines, "```", ""]
    return "\n".join(parts)


def reference() -> str:
    """Every key of a recipe, from its schema."""
    schema = recipe.json_schema()
    parts = [
        "# The recipe",
        "",
        "One YAML file says what to do with which model, for which targets. Generated from the",
        "schema by `make docs`; [recipe.schema.json](recipe.schema.json) is for editors.",
        "The options of a method and of a backend are checked by it: see the lists below.",
        "",
        *_table("recipe", schema),
    ]
    for name, part in sorted(schema["$defs"].items()):
        parts += _table(name.removesuffix("Spec").lower(), part)
    parts += _options()
    return "\n".join(parts)


def _table(title: str, schema: dict[str, Any]) -> list[str]:
    rows = [f"## {title}", "", schema.get("description", "").split("\n")[0], ""]
    rows += ["| key | type | default | what |", "|---|---|---|---|"]
    required = schema.get("required", ())
    for key, field in schema["properties"].items():
        default = "required" if key in required else f"`{json.dumps(field.get('default', {}))}`"
        rows.append(f"| `{key}` | {_kind(field)} | {default} | {field.get('description', '')} |")
    return [*rows, ""]


def _kind(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_kind(item) for item in field["anyOf"] if item.get("type") != "null")
    if "$ref" in field:
        return field["$ref"].rpartition("/")[2].removesuffix("Spec").lower()
    if "enum" in field:
        return ", ".join(map(str, field["enum"]))
    if "const" in field:
        return str(field["const"])
    return field.get("format") or field.get("type", "any")


def _options() -> list[str]:
    """What each compression method and backend offers."""
    from edgeflow.backends import registry
    from edgeflow.compress import methods

    parts: list[str] = []
    for name, schema in sorted(methods.schemas().items()):
        parts += _table(f"compress: method {name}", schema)
    for name in registry.names():
        parts += _table(f"options of the backend {name}", registry.get(name).schema())
    return parts


def backends() -> str:
    """What each backend takes, from the tables of its check."""
    from edgeflow.backends import registry
    from edgeflow.cli.limits import COLUMNS, rows

    parts = [
        "# What each backend takes",
        "",
        "Generated from the tables that `edgeflow check` walks, by `make docs`;",
        "`edgeflow check --list BACKEND` prints the same.",
        "",
    ]
    for name in registry.names():
        backend = registry.get(name)
        parts += [f"## {name}", "", f"{backend.description}.", ""]
        found = registry.limits(backend)
        if found is None:
            parts += ["It gives no list of its limits.", ""]
            continue
        parts += [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
        for row in rows(found):
            cells = [cell.replace("|", "\\|") for cell in row]
            cells[0] = ", ".join(f"`{kind}`" for kind in cells[0].split(", "))
            parts.append(f"| {' | '.join(cells)} |")
        parts.append("")
    return "\n".join(parts)


def accuracy() -> str:
    """The record of the estimates' errors."""
    spec = importlib.util.spec_from_file_location("accuracy", DOCS / "accuracy.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.page())


def pages() -> dict[str, str]:
    """The pages by their names."""
    return {
        "cli.md": cli(),
        "recipe.md": reference(),
        "backends.md": backends(),
        "accuracy.md": accuracy(),
        "recipe.schema.json": json.dumps(recipe.json_schema(), indent=1) + "\n",
        "network.schema.json": json.dumps(network_schema.schema(), indent=1) + "\n",
    }


if __name__ == "__main__":
    for page, text in pages().items():
        (DOCS / page).write_text(text)
        print(DOCS / page)
