"""The job that runs a .tflite file in tflite-runtime (its own toolchain; nothing else is there)."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from edgeflow.backends.tflite import run_job


def simulate(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Run ``compiled`` on ``golden``; ``params["resolver"]``: ``XNNPACK`` or ``BUILTIN_REF``."""
    from tflite_runtime.interpreter import Interpreter, OpResolverType

    resolver = run_job.run(
        Interpreter, params["resolver"], OpResolverType, inputs, output, progress
    )
    return {"runtime": "tflite-runtime", "version": version("tflite-runtime"), "resolver": resolver}
