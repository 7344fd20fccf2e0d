"""An int8 .tflite file as a list of operators with the numbers their kernels need."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow.errors import UnsupportedError
from edgeflow.frontends.tflite_file_job import Parsed

Array = np.ndarray[Any, Any]
MOST_AXES = 5


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


@dataclass(frozen=True)
class Graph:
    """The operators in order, the tensors that go in and come out."""

    operators: tuple[Operator, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    parsed: Parsed

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(operator.macs for operator in self.operators)


OPTIONS = (
    "strideH strideW dilationHFactor dilationWFactor filterHeight filterWidth padding "
    "fusedActivationFunction depthMultiplier keepDims axis beta alpha"
).split()
ACTIVATIONS = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6")

SHAPES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
"""Operators that leave the bytes as they are."""

KERNELS: dict[str, str] = {
    "CONV_2D": "ef_conv",
    "DEPTHWISE_CONV_2D": "ef_depthwise",
    "FULLY_CONNECTED": "ef_dense",
    "ADD": "ef_add",
    "SUB": "ef_sub",
    "MUL": "ef_mul",
    "AVERAGE_POOL_2D": "ef_average_pool",
    "MAX_POOL_2D": "ef_max_pool",
    "MEAN": "ef_mean",
    "SOFTMAX": "ef_softmax",
    "PAD": "ef_pad",
    "PADV2": "ef_pad",
    "CONCATENATION": "ef_copy_rows",
    "TRANSPOSE": "ef_transpose",
    "QUANTIZE": "ef_quantize",
    "DEQUANTIZE": "ef_dequantize",
    "RELU": "ef_table",
    "RELU6": "ef_table",
    "LEAKY_RELU": "ef_table",
    "LOGISTIC": "ef_table",
    "TANH": "ef_table",
} | dict.fromkeys(SHAPES, "")
"""The C kernel of each operator; none where nothing is computed."""


def read(path: Path) -> Graph:
    """The graph of a .tflite file.

    Raises:
        ModelError: the file is damaged.
        UnsupportedError: naming all that these kernels cannot do.
    """
    parsed = Parsed(path, path.name)
    reader = _Reader(parsed)
    graph = reader.graph()
    if reader.problems:
        raise UnsupportedError(
            "the Cortex-M kernels cannot run this file", where=path.name, details=reader.problems
        )
    return graph


class _Reader:
    def __init__(self, parsed: Parsed) -> None:
        self.parsed = parsed
        self.problems: list[str] = []

    def graph(self) -> Graph:
        parsed = self.parsed
        if len(parsed.model.subgraphs) > 1:
            self.problems.append(
                f"the file has {len(parsed.model.subgraphs)} subgraphs (convert the model without "
                "loops and conditions)"
            )
        operators = tuple(
            operator
            for number, item in enumerate(parsed.graph.operators)
            if (operator := self._operator(number, item)) is not None
        )
        ends = [
            tuple(self._tensor(int(i)) for i in which)
            for which in (parsed.graph.inputs, parsed.graph.outputs)
        ]
        for word, tensors in zip(("input", "output"), ends, strict=True):
            if len(tensors) != 1:
                self.problems.append(f"the file has {len(tensors)} {word}s (export one)")
            for tensor in tensors:
                if tensor.kind not in ("INT8", "FLOAT32"):
                    self.problems.append(
                        f"{word} '{tensor.name}' is {tensor.kind.lower()} (convert with int8)"
                    )
        return Graph(operators, ends[0], ends[1], parsed)

    def _tensor(self, index: int) -> Tensor:
        parsed = self.parsed
        shape = parsed.shape(index)
        data = parsed.constant(index)
        scale, zero, _ = parsed._scales(index)
        if data is None and shape[:1] == (1,) and len(shape) > 1:
            shape = shape[1:]
        return Tensor(
            index, parsed.name(index), parsed.type(index), shape,
            float(scale[0]) if scale is not None else 0.0, int(zero[0]), data,
        )  # fmt: skip

    def _operator(self, number: int, item: Any) -> Operator | None:
        parsed = self.parsed
        kind = parsed.kind(item)
        where = f"operator {number} ({kind})"
        if kind not in KERNELS:
            self.problems.append(f"{where}: there is no kernel for it")
            return None
        inputs = tuple(
            None if int(i) < 0 else self._tensor(int(i))
            for i in (item.inputs if item.inputs is not None else ())
        )
        if len(item.outputs) != 1 or not inputs or inputs[0] is None:
            self.problems.append(f"{where}: expected inputs and one output")
            return None
        output = self._tensor(int(item.outputs[0]))
        options = {name: parsed.option(item, name) for name in OPTIONS}
        options = {name: value for name, value in options.items() if value is not None}
        number_of = options.get("fusedActivationFunction", 0)
        names = {0: "NONE", 1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6", 4: "TANH", 5: "SIGN_BIT"}
        options["activation"] = names.get(number_of, str(number_of))
        made = Operator(
            kind, output.name, inputs, output, options, self._macs(kind, inputs, output)
        )
        faults = self._faults(made)
        self.problems += [f"{where}, '{made.name}': {fault}" for fault in faults]
        return None if faults else made

    def _macs(self, kind: str, inputs: tuple[Tensor | None, ...], output: Tensor) -> int:
        if kind not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED") or len(inputs) < 2:
            return 0
        kernel = inputs[1]
        if kernel is None or not kernel.shape:
            return 0
        if kind == "DEPTHWISE_CONV_2D":
            return output.size * math.prod(kernel.shape[1:3])
        return output.size * math.prod(kernel.shape[1:])

    def _faults(self, operator: Operator) -> list[str]:
        found = []
        activations = [t for t in operator.inputs if t is not None and t.data is None]
        border = operator.kind in ("QUANTIZE", "DEQUANTIZE") or operator.kind in SHAPES
        for tensor in (*activations, operator.output):
            if any(dim < 1 for dim in tensor.shape):
                found.append(f"the shape of '{tensor.name}' is not fixed: {tensor.shape}")
            if tensor.kind == "INT8" and not tensor.scale:
                found.append(f"'{tensor.name}' has no scale")
            if tensor.kind != "INT8" and not (border and tensor.kind == "FLOAT32"):
                found.append(f"'{tensor.name}' is {tensor.kind.lower()}, expected int8")
            if tensor.kind == "INT8" and tensor.data is None and len(tensor.shape) > 3:
                found.append(f"'{tensor.name}' is a batch or has more than 3 axes: {tensor.shape}")
        if operator.options["activation"] not in ACTIVATIONS:
            found.append(f"there is no fused activation {operator.options['activation']}")
        check: Callable[[Operator], list[str]] | None = getattr(
            self, f"_{operator.kind.lower()}", None
        )
        return found + (check(operator) if check else [])

    def _weighted(self, operator: Operator) -> list[str]:
        kernel = operator.inputs[1] if len(operator.inputs) > 1 else None
        if kernel is None or kernel.data is None or kernel.kind != "INT8":
            return ["its weights are not constant int8"]
        scale, zero, _ = self.parsed._scales(kernel.index)
        if scale is None or not np.all(np.asarray(zero) == 0):
            return ["its weights have a zero point or no scale"]
        channels = kernel.shape[3] if operator.kind == "DEPTHWISE_CONV_2D" else kernel.shape[0]
        if scale.size not in (1, channels):
            return [f"{scale.size} scales for {channels} filters"]
        if operator.kind == "FULLY_CONNECTED" and scale.size > 1:
            return ["a dense layer with a scale for each output (convert with one per tensor)"]
        bias = operator.inputs[2] if len(operator.inputs) > 2 else None
        if bias is not None and (bias.data is None or bias.kind != "INT32"):
            return ["its bias is not constant int32"]
        return []

    def _conv_2d(self, operator: Operator) -> list[str]:
        found = self._weighted(operator)
        if len(operator.input().shape) != 3 or len(operator.output.shape) != 3:
            return [*found, "expected images (rows, columns, channels)"]
        kernel = operator.inputs[1]
        if kernel is not None and kernel.shape[3:] != operator.input().shape[2:]:
            found.append("groups of channels")
        return found

    def _depthwise_conv_2d(self, operator: Operator) -> list[str]:
        found = self._weighted(operator)
        if len(operator.input().shape) != 3 or len(operator.output.shape) != 3:
            found.append("expected images (rows, columns, channels)")
        return found

    def _fully_connected(self, operator: Operator) -> list[str]:
        return self._weighted(operator)

    def _average_pool_2d(self, operator: Operator) -> list[str]:
        found = [] if len(operator.input().shape) == 3 else ["expected images"]
        return found + self._same_scale(operator)

    _max_pool_2d = _average_pool_2d

    def _same_scale(self, operator: Operator) -> list[str]:
        y = operator.output
        wrong = [
            t.name
            for t in operator.inputs
            if t is not None and t.kind == "INT8" and (t.scale, t.zero) != (y.scale, y.zero)
        ]
        return [f"another scale than its output's: {', '.join(wrong)}"] if wrong else []

    def _concatenation(self, operator: Operator) -> list[str]:
        found = self._same_scale(operator)
        if any(t is None or t.data is not None for t in operator.inputs):
            found.append("a constant operand")
        return found

    def _pad(self, operator: Operator) -> list[str]:
        if operator.input(1).data is None:
            return ["its amounts are not constant"]
        return self._same_scale(
            Operator("PAD", operator.name, operator.inputs[:1], operator.output)
        )

    _padv2 = _pad

    def _transpose(self, operator: Operator) -> list[str]:
        return [] if operator.input(1).data is not None else ["its order is not constant"]

    def _mean(self, operator: Operator) -> list[str]:
        axes = operator.input(1).data
        if axes is None:
            return ["its axes are not constant"]
        rank = len(self.parsed.shape(operator.input().index))
        wanted = sorted(int(a) % rank for a in np.atleast_1d(axes))
        if wanted != list(range(1, rank - 1)):
            return [f"a mean over axes {wanted}, expected all but the first and the last"]
        return []

    def _binary(self, operator: Operator) -> list[str]:
        a, b = operator.input(0), operator.input(1)
        found = []
        for tensor in (a, b):
            if tensor.kind != "INT8":
                found.append(f"'{tensor.name}' is {tensor.kind.lower()}, expected int8")
            shape = [d for d in tensor.shape if d != 1]
            whole = list(operator.output.shape)
            if tensor.size != operator.output.size and shape != whole[len(whole) - len(shape) :]:
                found.append(f"operands of shapes {a.shape} and {b.shape}")
        return found

    _add = _sub = _mul = _binary

    def _quantize(self, operator: Operator) -> list[str]:
        return [] if operator.output.kind == "INT8" else ["expected int8 to come out"]
