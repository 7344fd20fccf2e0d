"""Tensors and operators of a .tflite file, as the kernels see them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Tensor:
    """A tensor of the file. ``shape`` has no batch for activations; ``data`` is a constant's."""

    index: int
    name: str
    kind: str
    shape: tuple[int, ...]
    scale: float
    zero: int
    data: Array | None

    @property
    def size(self) -> int:
        """Elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes."""
        return self.size * (4 if self.kind == "FLOAT32" else 1)


@dataclass(frozen=True)
class Operator:
    """One operator: its kind, tensors, options by their names in the schema.

    ``macs`` counts its multiply-accumulates. ``name`` is that of its output.
    """

    kind: str
    name: str
    inputs: tuple[Tensor | None, ...]
    output: Tensor
    options: dict[str, Any] = field(default_factory=dict)
    macs: int = 0

    def input(self, index: int = 0) -> Tensor:
        """An input that has to be there."""
        found = self.inputs[index]
        assert found is not None
        return found
