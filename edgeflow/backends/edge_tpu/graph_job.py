"""What the Edge TPU's rules need to know of a .tflite file's operators; standard library only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeflow.errors import UnsupportedError

OPTIONS = (
    "axis beginMask dilationHFactor dilationWFactor ellipsisMask fusedActivationFunction "
    "newAxisMask weightsFormat alignCorners halfPixelCenters numSplits"
).split()
SMALL = 16
"""Constants of so few elements are read whole: axes, paddings, strides."""


@dataclass(frozen=True)
class Tensor:
    """A tensor: its number in the graph, name, type (``INT8``), shape with the batch.

    ``values`` are those of a small constant; ``zeros``: a constant of nothing but its zero point.
    ``constant``: its data are in the file. ``dynamic``: an axis is not fixed.
    """

    index: int
    name: str
    type: str
    shape: tuple[int, ...]
    constant: bool = False
    values: tuple[int, ...] | None = None
    zeros: bool = False
    dynamic: bool = False

    @property
    def size(self) -> int:
        """Elements."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Operator:
    """An operator: ``kind`` (``CONV_2D``; a custom one's is ``custom NAME``), tensors, options."""

    kind: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """That of its first output."""
        return self.outputs[0].name if self.outputs else self.kind

    def input(self, number: int) -> Tensor | None:
        """An input, None where there is none."""
        return self.inputs[number] if number < len(self.inputs) else None


@dataclass(frozen=True)
class Graph:
    """The operators in the order they run; ``inputs`` are the tensors the caller gives."""

    operators: tuple[Operator, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def read(path: Path) -> Graph:
    """The graph of a .tflite file.

    Raises:
        ModelError: the file is damaged.
        UnsupportedError: it has several subgraphs.
    """
    import numpy as np

    from edgeflow.frontends.tflite_file_job import Parsed

    parsed = Parsed(path, path.name)
    if len(parsed.model.subgraphs) > 1:
        raise UnsupportedError(
            f"the file has {len(parsed.model.subgraphs)} subgraphs; the Edge TPU takes one",
            where=path.name,
            remedy="convert the model without loops and conditions",
        )

    def tensor(index: int) -> Tensor:
        data = parsed.constant(index)
        values = zeros = None
        if data is not None:
            given = parsed.tensors[index].quantization
            points = None if given is None else given.zeroPoint
            zero = int(points[0]) if points is not None and len(points) == 1 else 0
            zeros = bool(np.all(data == zero))
            if data.size <= SMALL and data.dtype.kind in "iu":
                values = tuple(int(value) for value in data.reshape(-1))
        shape = parsed.shape(index)
        return Tensor(
            index, parsed.name(index), parsed.type(index), shape, data is not None, values,
            bool(zeros), any(dim < 0 for dim in shape),
        )  # fmt: skip

    operators = []
    for item in parsed.graph.operators:
        given = item.inputs if item.inputs is not None else ()
        options = {name: parsed.option(item, name) for name in OPTIONS}
        operators.append(
            Operator(
                parsed.kind(item),
                tuple(tensor(int(i)) if int(i) >= 0 else None for i in given),
                tuple(tensor(int(i)) for i in item.outputs),
                {name: value for name, value in options.items() if value is not None},
            )
        )
    return Graph(
        tuple(operators),
        tuple(tensor(int(i)) for i in parsed.graph.inputs),
        tuple(tensor(int(i)) for i in parsed.graph.outputs),
    )
