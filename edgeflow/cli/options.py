"""Options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

MODEL_HELP = "Model file (.keras, .h5, .onnx, .tflite; an architecture .json with its weights .h5)."
ModelArgument = Annotated[list[Path], typer.Argument(help=MODEL_HELP)]
TargetOption = Annotated[
    list[str], typer.Option("--target", "-t", help="Target; may be given several times.")
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="Dataset (.npz with x_train, y_train, x_test, y_test; or x, y)."),
]
OutputOption = Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--option", "-O", help="The backend's option, as KEY=VALUE; several times."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
SynthesiseOption = Annotated[
    bool,
    typer.Option(
        "--synthesise",
        help="Run the vendor's HLS tool, which must be on PATH; for rtl, open tools to the end.",
    ),
]
ForceOption = Annotated[
    bool,
    typer.Option("--force", help="Replace projects that were edited; they are kept as NAME.old-N."),
]


def parse_settings(given: list[str] | None, where: str = "--option") -> dict[str, Any]:
    """``["a=1", "b=x"]`` as a mapping; values are YAML, so numbers and lists work.

    ``where`` is the option's name, for errors.

    Raises:
        InputError: an item has no ``=`` or its value is not YAML.
    """
    import yaml

    from edgeflow.errors import InputError

    settings: dict[str, Any] = {}
    for item in given or []:
        key, equals, text = item.partition("=")
        if not equals or not key:
            raise InputError(f"expected KEY=VALUE, found '{item}'", where=where)
        try:
            settings[key] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise InputError(f"the value of '{key}' is not YAML: {text}", where=where) from None
    return settings
