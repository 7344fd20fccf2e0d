"""An ONNX graph in the making: nodes, constants, and each layer's tensor in both layouts.

The Network's images are channels last, ONNX' windows slide over channels first. A layer's tensor
is held in the order in which it was made; the other is made by a Transpose where a reader needs it,
so that chains of windows have none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from edgeflow.network import Layer, Network

Array = np.ndarray[Any, Any]
FIRST, LAST = "first", "last"


class Graph:
    """Builds one ONNX model of batch 1.

    Args:
        network: its layers; none may be ``opaque``.
        weights: arrays by ``LAYER/ROLE``.
        opset: of the standard operators.
    """

    def __init__(self, network: Network, weights: Mapping[str, Array], opset: int) -> None:
        self.network = network
        self.weights = weights
        self.opset = opset
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.names: set[str] = {layer.name for layer in network}
        self.free = set(self.names)  # layers' names, for the tensors that hold them
        self.held: dict[str, dict[str, str]] = {}
        self.made: dict[str, str] = {}  # layer -> the layout in which it was made

    def name(self, hint: str) -> str:
        """`hint`, with a number behind it where it is taken; a layer's own name once."""
        if hint in self.free:
            self.free.remove(hint)
            return hint
        found, count = hint, 1
        while found in self.names:
            found, count = f"{hint}_{count}", count + 1
        self.names.add(found)
        return found

    def constant(self, values: Any, hint: str, kind: Any = np.float32) -> str:
        """An initializer."""
        name = self.name(f"{hint}.value" if hint in self.names else hint)
        array = np.asarray(values, kind, order="C")
        self.constants[name] = numpy_helper.from_array(array, name)
        return name

    def integers(self, values: Sequence[int], hint: str) -> str:
        """An int64 initializer: a shape, pads, axes."""
        return self.constant(list(values), hint, np.int64)

    def node(self, operator: str, inputs: Sequence[str], hint: str, **attributes: Any) -> str:
        """Add a node of one output; gives that tensor's name."""
        output = self.name(hint)
        self.nodes.append(helper.make_node(operator, list(inputs), [output], output, **attributes))
        return output

    def add_node(
        self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any
    ) -> None:
        """Add a node of several outputs, named by `name` before."""
        label = next(name for name in outputs if name)
        made = helper.make_node(operator, list(inputs), list(outputs), label, **attributes)
        self.nodes.append(made)

    def weight(self, layer: Layer, role: str) -> Array | None:
        """A layer's array as float32; None where it has none of this role."""
        found = self.weights.get(f"{layer.name}/{role}")
        return None if found is None else np.asarray(found, np.float32)

    # Layers' tensors

    def layout(self, name: str) -> str:
        """The layout in which a layer's tensor was made."""
        return self.made[name]

    def rank(self, name: str) -> int:
        """Dimensions of a layer's output, the batch counted."""
        return len(self.network[name].output_shape) + 1

    def get(self, name: str, layout: str = LAST) -> str:
        """A layer's tensor in the layout asked for; below three dimensions both are the same."""
        held = self.held[name]
        if layout in held:
            return held[layout]
        other = held[FIRST if layout == LAST else LAST]
        rank = self.rank(name)
        if rank < 3:
            held[layout] = other
        else:
            perm = to_last(rank) if layout == LAST else to_first(rank)
            held[layout] = self.node("Transpose", [other], f"{name}.{layout}", perm=perm)
        return held[layout]

    def put(self, name: str, tensor: str, layout: str = LAST) -> None:
        """Say which tensor holds a layer, replacing what held it."""
        self.held[name] = {layout: tensor}
        self.made[name] = layout

    def common(self, names: Sequence[str]) -> str:
        """The layout for an operation on all of these: channels first where all have it."""
        ranks = {self.rank(name) for name in names}
        have = all(FIRST in self.held[name] for name in names)
        return FIRST if have and len(ranks) == 1 and ranks != {2} else LAST

    # The model

    def finish(
        self, inputs: Sequence[Any], outputs: Sequence[tuple[str, Sequence[int]]], name: str
    ) -> Any:
        """The model; `outputs` are tensors with their shapes."""
        graph = helper.make_graph(
            self.nodes, name, list(inputs),
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, list(s)) for n, s in outputs],
            list(self.constants.values()),
        )  # fmt: skip
        imports = [helper.make_opsetid("", self.opset)]
        model = helper.make_model(graph, opset_imports=imports, producer_name="edgeflow")
        model.ir_version = helper.find_min_ir_version_for(imports)
        return model


def to_last(rank: int) -> list[int]:
    """The permutation that brings channels last."""
    return [0, *range(2, rank), 1]


def to_first(rank: int) -> list[int]:
    """The permutation that brings channels first."""
    return [0, rank - 1, *range(1, rank - 1)]


def moved(value: Array, rank: int, layout: str) -> Array:
    """A constant over the trailing axes of a channels-last tensor, for a tensor of `layout`."""
    if layout == LAST or rank < 3 or value.ndim == 0:
        return value
    full = value.reshape((1,) * (rank - 1 - value.ndim) + value.shape)
    return np.ascontiguousarray(np.moveaxis(full, -1, 0))
