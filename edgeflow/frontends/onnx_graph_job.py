"""From an ONNX graph to a Network: tensors, their layouts, constants and quantisers.

ONNX images are channels first, the Network's channels last. Each ONNX tensor is bound to a Network
layer together with how the two relate, and a transpose is inserted only where a layer needs the
other order: those around chains of spatial layers cancel by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgeflow.errors import ModelError
from edgeflow.frontends.folder_job import Arrays, Draft
from edgeflow.frontends.onnx_file_job import Runnable, attributes, fixed_shape, inputs_of
from edgeflow.network import Network, Quantizer, Shape

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Bound:
    """The Network layer that holds an ONNX tensor, and in which order.

    `last`: the Network's tensor has the channels (ONNX axis 1) last. `order`: the Network's last
    axis holds ONNX's elements ``order[0], order[1] …`` (after a flatten of a channels-last image).
    `form`: a sequence whose batch is not ONNX' first axis, see `onnx_recurrent_job`.
    """

    layer: str
    last: bool = False
    order: tuple[int, ...] | None = None
    form: str = ""


class Translator:
    """Translates one ONNX model."""

    def __init__(self, model: Any, where: str) -> None:
        from edgeflow.frontends.onnx_ops_job import OPERATORS

        self.model = model
        self.where = where
        self.draft = Draft()
        self.bound: dict[str, Bound] = {}
        self.rounded: dict[str, Quantizer] = {}  # quantisers of constants
        self.turned: dict[tuple[str, bool], str] = {}
        self.place: dict[str, str] = {}  # Network layer -> the ONNX tensor that it holds
        self.uses: dict[str, int] = {}
        for node in model.graph.node:
            for name in node.input:
                self.uses[name] = self.uses.get(name, 0) + 1
        for item in model.graph.output:
            self.uses[item.name] = self.uses.get(item.name, 0) + 1
        self.values = self._sample()
        self.constants = self._constants()
        for item in inputs_of(model):
            shape = fixed_shape(item, where)
            name = self.draft.add("input", item.name, [], shape[1:])
            self.bind(item.name, name)
        for node in model.graph.node:
            if all(name in self.constants for name in node.output if name):
                self._constant_quantizer(node)
                continue
            step: Callable[[Op], None] = OPERATORS.get(node.op_type, _opaque)
            step(Op(self, node))

    def _sample(self) -> dict[str, Array]:
        """Every tensor's value for an input of zeros: shapes, and the values of constants."""
        given = {}
        for item in inputs_of(self.model):
            shape = [1, *fixed_shape(item, self.where)[1:]]
            from edgeflow.frontends.onnx_file_job import numpy_type

            given[item.name] = np.zeros(shape, numpy_type(item))
        names = [name for node in self.model.graph.node for name in node.output if name]
        try:
            values = Runnable(self.model, names, self.where).run(given)
        except ModelError:
            raise
        except Exception as error:  # noqa: BLE001 - ONNX Runtime raises its own kinds
            raise ModelError(
                f"ONNX Runtime cannot run the model: {str(error).splitlines()[0][:300]}",
                where=self.where,
                remedy="check the model with onnxruntime, and export it again",
            ) from None
        return {**values, **given}

    def _constants(self) -> dict[str, Array]:
        from onnx import numpy_helper

        found = {t.name: numpy_helper.to_array(t) for t in self.model.graph.initializer}
        for node in self.model.graph.node:
            fixed = node.op_type == "Shape" or all(name in found for name in node.input if name)
            if fixed:
                found.update({name: self.values[name] for name in node.output if name})
        return found

    def _constant_quantizer(self, node: Any) -> None:
        """Remember how a constant was rounded, through what only moves it."""
        source = node.input[0] if node.input else ""
        if node.op_type in ("Quant", "IntQuant", "BipolarQuant", "DequantizeLinear"):
            self.rounded[node.output[0]] = quantizer_of(self, node)
        elif source in self.rounded and node.op_type in (
            "Transpose", "Reshape", "Identity", "Squeeze", "Unsqueeze", "Flatten",
        ):  # fmt: skip
            self.rounded[node.output[0]] = self.rounded[source]

    def bind(
        self, tensor: str, layer: str, last: bool = False, order: Any = None, form: str = ""
    ) -> None:
        """Say which layer holds an ONNX tensor."""
        self.bound[tensor] = Bound(layer, last, order, form)
        self.place[layer] = tensor

    def rank(self, tensor: str) -> int:
        """Number of dimensions, the batch counted."""
        held = self.constants if tensor in self.constants else self.values
        return int(held[tensor].ndim)

    def shape(self, tensor: str, last: bool = False) -> Shape:
        """A tensor's shape without the batch, channels moved last if asked for."""
        dims = list(self.values[tensor].shape)[1:]
        if last and len(dims) > 1:
            dims = [*dims[1:], dims[0]]
        return tuple(int(dim) for dim in dims)

    def layer(self, tensor: str, last: bool = False) -> str:
        """The layer that holds the tensor in the order asked for; a transpose where it must."""
        if tensor in self.constants and tensor not in self.bound:
            return self._constant_layer(tensor, last)
        bound = self.bound[tensor]
        if bound.form:
            return self._formed(tensor, bound)
        if bound.order is not None:
            return self._ordered(tensor, bound)
        if bound.last == last or self.rank(tensor) < 3:
            return bound.layer
        key = (tensor, last)
        if key not in self.turned:
            rank = self.rank(tensor)
            dims = [*range(2, rank), 1] if last else [rank - 1, *range(1, rank - 1)]
            suffix = "channels_last" if last else "channels_first"
            self.turned[key] = self.draft.add(
                "transpose", f"{bound.layer}_{suffix}", [bound.layer], self.shape(tensor, last),
                {"dims": dims},
            )  # fmt: skip
        return self.turned[key]

    def _formed(self, tensor: str, bound: Bound) -> str:
        """A sequence for a layer that takes no other order of its axes: refused, by its name."""
        key = (tensor, False)
        if key not in self.turned:
            self.turned[key] = self.draft.add(
                "opaque", f"{bound.layer}_turned", [bound.layer], self.shape(tensor),
                {"type": "Transpose of the batch axis"},
            )  # fmt: skip
        return self.turned[key]

    def _ordered(self, tensor: str, bound: Bound) -> str:
        """Undo a flatten of channels-last data for a layer that needs ONNX's order."""
        assert bound.order is not None
        key = (tensor, False)
        if key not in self.turned:
            flatten = self.draft.layers[bound.layer]
            while flatten.kind not in ("flatten", "reshape"):
                flatten = self.draft.layers[flatten.inputs[0]]
            image = flatten.input_shapes[0]
            back = self.draft.add("reshape", f"{bound.layer}_image", [bound.layer], image,
                                  {"target_shape": list(image)})  # fmt: skip
            rank = len(image) + 1
            turned = self.draft.add(
                "transpose", f"{bound.layer}_channels_first", [back], (image[-1], *image[:-1]),
                {"dims": [rank - 1, *range(1, rank - 1)]},
            )  # fmt: skip
            self.turned[key] = self.draft.add(
                "flatten", f"{bound.layer}_ordered", [turned], self.shape(tensor)
            )
        return self.turned[key]

    def _constant_layer(self, tensor: str, last: bool) -> str:
        array = np.asarray(self.constants[tensor], np.float32)
        if array.ndim and array.shape[0] == 1:
            array = array[0]
        if last and array.ndim > 1:
            array = np.moveaxis(array, 0, -1)
        return self.draft.add("constant", tensor, [], array.shape, weights={"value": array})

    def network(self, source: Mapping[str, Any]) -> tuple[Network, Arrays]:
        """The finished Network and its weights; outputs in ONNX's own order of axes."""
        outputs = [self.layer(item.name) for item in self.model.graph.output]
        name = str(source["file"]).rpartition(".")[0] or self.model.graph.name
        network, arrays = self.draft.finish(name, outputs, source)
        return _without_dead(network), arrays

    def places(self) -> dict[str, tuple[str, Callable[[Array], Array]]]:
        """For each layer that holds an ONNX tensor: its name, and how to bring it into order."""
        found: dict[str, tuple[str, Callable[[Array], Array]]] = {}
        for layer, tensor in self.place.items():
            bound = self.bound[tensor]
            if bound.layer == layer and bound.form in ("", "steps"):
                found[layer] = (tensor, _mover(bound))
        return found


def _mover(bound: Bound) -> Callable[[Array], Array]:
    if bound.form == "steps":
        return lambda value: np.swapaxes(value, 0, 1)
    if bound.order is not None:
        order = list(bound.order)
        return lambda value: value.reshape(1, -1)[:, order]
    if bound.last:
        return lambda value: np.moveaxis(value, 1, -1)
    return lambda value: value


def _without_dead(network: Network) -> Network:
    """Drop layers that nothing reads (transposes that turned out not to be needed)."""
    layers = list(network.layers)
    while True:
        read = {name for layer in layers for name in layer.inputs} | set(network.outputs)
        kept = [layer for layer in layers if layer.name in read or layer.kind == "input"]
        if len(kept) == len(layers):
            return replace(network, layers=tuple(kept))
        layers = kept


class Op:
    """One ONNX node while it is translated."""

    def __init__(self, translator: Translator, node: Any) -> None:
        self.t = translator
        self.node = node
        self.at = attributes(node)
        self.inputs = list(node.input)
        self.output = next(name for name in node.output if name)
        self.name = node.name or f"{node.op_type}_{self.output}"
        # QONNX's channels-last operators have the Network's own order
        self.channels_last = node.domain == "qonnx.custom_op.channels_last"

    def constant(self, index: int) -> Array | None:
        """The value of an input that is constant."""
        if index >= len(self.inputs) or not self.inputs[index]:
            return None
        return self.t.constants.get(self.inputs[index])

    def rounded(self, index: int) -> Quantizer | None:
        """How a constant input was rounded."""
        return self.t.rounded.get(self.inputs[index]) if index < len(self.inputs) else None

    @property
    def rank(self) -> int:
        """Dimensions of the first input, the batch counted."""
        return self.t.rank(self.inputs[0])

    def source(self) -> Bound:
        """Where the first input is."""
        bound = self.t.bound[self.inputs[0]]
        return Bound(self.t.layer(self.inputs[0])) if bound.form else bound

    def sole(self, index: int = 0) -> bool:
        """Whether this node alone reads that input."""
        return self.t.uses.get(self.inputs[index], 0) == 1

    def add(
        self,
        kind: str,
        inputs: Sequence[str],
        attributes: Mapping[str, Any] | None = None,
        *,
        last: bool = False,
        order: Any = None,
        weights: Mapping[str, Any] | None = None,
        quantizers: Mapping[str, Quantizer | None] | None = None,
        quantizer: Quantizer | None = None,
    ) -> str:
        """Add the layer that holds this node's output."""
        name = self.t.draft.add(
            kind, self.name, inputs, self.t.shape(self.output, last and not self.channels_last),
            attributes, weights, quantizers, quantizer,
        )  # fmt: skip
        self.t.bind(self.output, name, last and not self.channels_last, order)
        return name

    def helper(
        self,
        kind: str,
        suffix: str,
        inputs: Sequence[str],
        shape: Sequence[Any],
        attributes: Mapping[str, Any],
    ) -> str:
        """Add a helping layer, such as a pad before a convolution."""
        return self.t.draft.add(kind, self.name + suffix, inputs, shape, attributes)

    def spatial(self) -> str:
        """The first input with channels last."""
        if self.channels_last:
            return self.t.layer(self.inputs[0], False)
        return self.t.layer(self.inputs[0], True)

    def alias(self, bound: Bound) -> None:
        """This node's output is the same data as `bound`."""
        self.t.bound[self.output] = bound
        self.t.place[bound.layer] = self.output

    def opaque(self, note: str = "") -> None:
        """An operation that the Network has no kind for."""
        sources = [self.t.layer(n) for n in self.inputs if n and n not in self.t.constants]
        domain = f"{self.node.domain}." if self.node.domain else ""
        self.add("opaque", sources, {"type": f"{domain}{self.node.op_type}{note}"})
        for name in self.node.output:
            if name and name != self.output and self.t.uses.get(name):
                raise ModelError(
                    f"the node '{self.name}' ({self.node.op_type}) has several outputs",
                    where=self.t.where,
                )


def _opaque(op: Op) -> None:
    op.opaque()


def quantizer_of(translator: Translator, node: Any) -> Quantizer:
    """The Quantizer of a Quant, BipolarQuant, QuantizeLinear or DequantizeLinear node."""
    at = attributes(node)
    constants = translator.constants
    scale = np.asarray(constants[node.input[1]], np.float64).reshape(-1)
    if node.op_type == "BipolarQuant":
        return Quantizer("binary", 1, True, scale=tuple(map(float, scale)))
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        zero_name = node.input[2] if len(node.input) > 2 else ""
        zero = constants.get(zero_name)
        kind = zero.dtype if zero is not None else np.dtype(
            constants[node.input[0]].dtype if node.input[0] in constants else np.uint8
        )  # fmt: skip
        values = np.zeros(1, int) if zero is None else zero.reshape(-1)
        bits = kind.itemsize * 8
        return _affine(scale, values, bits, kind.kind == "i", False, "RND_CONV", at.get("axis"))
    zero = np.asarray(constants[node.input[2]]).reshape(-1)
    bits = float(np.asarray(constants[node.input[3]]).reshape(-1)[0])
    signed, narrow = bool(at.get("signed", 1)), bool(at.get("narrow", 0))
    how = {"FLOOR": "TRN", "CEIL": "CEIL", "ROUND_TO_ZERO": "ROUND_TO_ZERO"}
    rounding = how.get(str(at.get("rounding_mode", "ROUND")).upper(), "RND_CONV")
    exponent = math.log2(scale[0]) if scale[0] > 0 else 0.5
    if scale.size == 1 and exponent.is_integer() and not zero.any() and not (narrow and not signed):
        integer = bits + exponent - signed
        return Quantizer("fixed", _int(bits), signed, _int(integer), narrow, rounding, "SAT")
    return _affine(scale, zero, bits, signed, narrow, rounding, None)


def _affine(
    scale: Array, zero: Array, bits: float, signed: bool, narrow: bool, rounding: str, axis: Any
) -> Quantizer:
    del axis  # channels are last once in the Network
    zeros = np.broadcast_to(zero, scale.shape)
    return Quantizer(
        "affine", _int(bits), signed, narrow=narrow, rounding=rounding, overflow="SAT",
        scale=tuple(map(float, scale)), zero_point=tuple(int(z) for z in zeros),
        axis=-1 if scale.size > 1 else None,
    )  # fmt: skip


def _int(value: float) -> float:
    return int(value) if float(value).is_integer() else value


Step = Callable[[Op], None]
"""Adds what an operator does to its translator's draft."""
