"""The exported artifact's files, and reading them back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jax import export as jax_export

from edgeflow.errors import JobError

ARTIFACT = "model.stablehlo"
COMPARED = "bfloat16.stablehlo"
"""Beside an int8 artifact: the same model in bfloat16, which the compiler's figures are held
against."""
SIGNATURE = "signature.json"


def load_artifact(
    folder: Path, name: str = ARTIFACT
) -> tuple[Callable[..., Any], Mapping[str, Any]]:
    """The artifact's function and its signature.

    Raises:
        JobError: the file is damaged or was made by a jax that this one cannot read.
    """
    try:
        exported = jax_export.deserialize(bytearray((folder / name).read_bytes()))
        signature: dict[str, Any] = json.loads((folder / SIGNATURE).read_text())
    except Exception as error:
        raise JobError(
            f"the TPU artifact cannot be read: {error}",
            where=str(folder / name),
            remedy="compile the model again",
        ) from error
    return exported.call, signature
