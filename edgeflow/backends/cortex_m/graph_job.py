"""An int8 .tflite file as a list of operators with the numbers their kernels need."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeflow.backends.cortex_m import rules_job
from edgeflow.backends.cortex_m.operators_job import ACTIVATIONS, KERNELS, SHAPES
from edgeflow.backends.cortex_m.tensors_job import Operator, Tensor
from edgeflow.errors import ModelError, UnsupportedError
from edgeflow.frontends.tflite_file_job import Parsed


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
    "fusedActivationFunction weightsFormat axis beta alpha "
    "beginMask endMask ellipsisMask newAxisMask shrinkAxisMask offset"
).split()

FAULTS = (
    ArithmeticError, AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError,
)  # fmt: skip
"""What following a damaged file's numbers ends in."""


def read(path: Path) -> Graph:
    """The graph of a .tflite file.

    Raises:
        ModelError: the file is damaged.
        UnsupportedError: naming all that these kernels cannot do.
    """
    parsed = Parsed(path, path.name)
    try:
        reader = _Reader(parsed)
        graph = reader.graph()
    except FAULTS as error:
        raise ModelError(
            f"the TFLite file is damaged: {type(error).__name__}: {error}"[:200],
            where=path.name,
            remedy="copy or download it again, or convert the model again",
        ) from None
    if reader.problems:
        raise UnsupportedError(
            "the Cortex-M kernels cannot run this file", where=path.name, details=reader.problems
        )
    return graph


class _Reader:
    def __init__(self, parsed: Parsed) -> None:
        self.parsed = parsed
        self.problems: list[str] = []
        self.written = {int(index) for index in parsed.graph.inputs}

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
                if parsed.shape(tensor.index)[:1] != (1,):
                    self.problems.append(
                        f"{word} '{tensor.name}' is {list(parsed.shape(tensor.index))}: expected a "
                        "batch of 1 (export the model with that)"
                    )
                if tensor.index not in self.written:
                    self.problems.append(f"{word} '{tensor.name}' is never written")
                self.problems += rules_job.tensor_faults(tensor)
                if tensor.kind not in ("INT8", "FLOAT32"):
                    self.problems.append(
                        f"{word} '{tensor.name}' is {tensor.kind.lower()} (convert with int8)"
                    )
        return Graph(operators, ends[0], ends[1], parsed)

    def _tensor(self, index: int) -> Tensor:
        parsed = self.parsed
        if not 0 <= index < len(parsed.tensors):
            raise IndexError(f"there is no tensor {index}")
        if parsed.tensors[index].sparsity is not None:
            self.problems.append(f"'{parsed.name(index)}' is sparse")
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
            if tensor.kind != "INT8" and not (border and tensor.kind == "FLOAT32"):
                found.append(f"'{tensor.name}' is {tensor.kind.lower()}, expected int8")
            if tensor.kind == "INT8" and len(tensor.shape) > 3:
                found.append(f"'{tensor.name}' is a batch or has more than 3 axes: {tensor.shape}")
        for tensor in activations:
            if tensor.index not in self.written:
                found.append(f"'{tensor.name}' is read before anything is written to it")
        if operator.output.index in self.written:
            found.append(f"'{operator.output.name}' is written twice")
        self.written.add(operator.output.index)
        if operator.kind == "QUANTIZE" and operator.output.kind != "INT8":
            found.append("expected int8 to come out")
        if operator.options["activation"] not in ACTIVATIONS:
            found.append(f"there is no fused activation {operator.options['activation']}")
        return found or rules_job.faults(self.parsed, operator)
