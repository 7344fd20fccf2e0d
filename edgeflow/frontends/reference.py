"""The job that computes a model's own outputs, in its own framework: the golden vectors."""

from __future__ import annotations

from pathlib import Path

from edgeflow.frontends.model import Model
from edgeflow.jobs import Job

ENTRIES = {
    "keras3": ("edgeflow.frontends.keras_job:predict", ("tensorflow", "keras")),
    "hgq2": ("edgeflow.frontends.keras_job:predict", ("tensorflow", "keras", "hgq.layers")),
    "keras2": ("edgeflow.frontends.keras_job:predict", ("tensorflow", "tf_keras", "qkeras")),
    "qkeras": ("edgeflow.frontends.keras_job:predict", ("tensorflow", "tf_keras", "qkeras")),
    "qkeras_v3": ("edgeflow.frontends.keras_job:predict", ("tensorflow", "tf_keras", "qkeras")),
    "onnx": ("edgeflow.frontends.onnx_job:predict", ("onnx", "onnxruntime")),
    "qonnx": ("edgeflow.frontends.onnx_job:predict", ("onnx", "onnxruntime")),
    "tflite": ("edgeflow.frontends.tflite_job:predict", ("ai_edge_litert.interpreter",)),
    "network": ("edgeflow.frontends.keras_build_job:predict", ("tensorflow", "keras")),
}


def reference_job(model: Model, x: Path, trace: int = 8) -> Job:
    """The job that leaves a golden folder: ``golden.npz`` (x, y) and ``trace.npz``.

    `x` is an ``.npz`` with an array ``x`` (or ``x_test``), or a golden or data folder. `trace` is
    how many of the first inputs (at most 16) are traced through every layer.
    """
    entry, imports = ENTRIES[model.format]
    return Job(
        entry=entry,
        toolchain=model.home,
        title="reference outputs",
        inputs={"model": model.path, "x": x},
        params={"trace": trace},
        imports=imports,
        timeout=3600,
    )
