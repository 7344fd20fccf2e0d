"""A loaded model: the folder that a front end or a training job leaves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from edgeflow.network import Network

HOMES = {
    "keras3": "keras",
    "hgq2": "keras",
    "qkeras_v3": "qkeras",
    "keras2": "qkeras",
    "qkeras": "qkeras",
    "onnx": "keras",
    "qonnx": "keras",
    "tflite": "keras",
    "network": "keras",
}
"""The toolchain in which each format's own framework runs. ``network`` is a model that exists only
as a Network with weights (an int8-retrained one): its reference is edgeflow's own Keras twin."""


@dataclass(frozen=True)
class Model:
    """The files of a loaded model.

    The folder holds ``network.json``, ``weights.npz`` (arrays ``LAYER/ROLE``, float32, as the
    model computes with them: already rounded where a quantiser rounds them), ``model.json``
    (``format``, and ``source``: the names of the original files in this folder, the model first)
    and, after training, ``history.json`` (lists per epoch).
    """

    path: Path

    @cached_property
    def record(self) -> dict[str, Any]:
        """What ``model.json`` says."""
        record: dict[str, Any] = json.loads((self.path / "model.json").read_text())
        return record

    @cached_property
    def network(self) -> Network:
        """Its layers."""
        return Network.load(self.path / "network.json")

    @property
    def weights(self) -> Path:
        """The arrays."""
        return self.path / "weights.npz"

    @property
    def format(self) -> str:
        """Its file format, a key of `HOMES`."""
        return str(self.record["format"])

    @property
    def home(self) -> str:
        """The toolchain in which its own framework runs."""
        return HOMES[self.format]

    @property
    def source(self) -> tuple[Path, ...]:
        """The original model file, and its weights' file where they are two."""
        return tuple(self.path / name for name in self.record.get("source", ()))

    @property
    def history(self) -> dict[str, list[float]]:
        """Training curves by name (``accuracy``, ``val_accuracy``, ``loss``, …); may be empty."""
        path = self.path / "history.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}
