"""The job that runs a .tflite file in LiteRT (the ``keras`` toolchain)."""

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
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = run_job.run(
        Interpreter, params["resolver"], OpResolverType, inputs, output, progress
    )
    return {"runtime": "litert", "version": version("ai-edge-litert"), "resolver": resolver}
