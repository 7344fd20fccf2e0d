"""What builds a Keras model from a Network layer by layer: tensors, weights, functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from keras import layers, ops

from edgeflow.errors import UnsupportedError
from edgeflow.frontends.folder_job import clean_name
from edgeflow.frontends.rounding_job import Rounding
from edgeflow.network import Layer, Network

Weights = Mapping[str, np.ndarray[Any, Any]]


class Function(layers.Layer):  # type: ignore[misc]
    """A layer around a function of tensors, for what Keras has no layer for."""

    def __init__(self, function: Callable[..., Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.function = function

    def call(self, *tensors: Any) -> Any:
        """Apply the function."""
        return self.function(*tensors)


class Maker:
    """A Keras model in the making: the tensors so far, by layer, and the weights to set."""

    def __init__(self, network: Network, weights: Weights, quantize: bool) -> None:
        self.network = network
        self.weights = weights
        self.quantize = quantize
        self.tensors: dict[str, Any] = {}
        self.inputs: dict[str, Any] = {}  # before any rounding
        self.to_set: list[tuple[Any, list[Any]]] = []

    def add(self, layer: Layer, result: Any) -> None:
        """Take `result` as the layer's output, rounded where it has a quantiser."""
        if layer.kind == "input":
            self.inputs[layer.name] = result
        if (
            self.quantize
            and layer.quantizer is not None
            and layer.kind not in ("constant", "quantize")
        ):
            result = self.rounding(layer, f"{clean_name(layer.name)}_rounding")(result)
        self.tensors[layer.name] = result

    def output(self, name: str) -> Any:
        """The tensor of a layer that the model gives.

        Raises:
            UnsupportedError: it is a constant.
        """
        tensor = self.tensors[name]
        if isinstance(tensor, np.ndarray):
            raise UnsupportedError(f"the output '{name}' is a constant")
        return tensor

    def rounding(self, layer: Layer, name: str) -> Rounding:
        """The Keras layer that rounds as the layer's quantiser says."""
        by_element = {
            part: self.weights[f"{layer.name}/@{part}"]
            for part in ("signed", "integer", "fraction")
            if f"{layer.name}/@{part}" in self.weights
        }
        assert layer.quantizer is not None
        return Rounding(layer.quantizer, by_element, layer.attributes.get("threshold"), name=name)

    def weight(self, layer: Layer, role: str) -> Any:
        """A weight as float32; None where the layer has none of this role."""
        found = self.weights.get(f"{layer.name}/{role}")
        return None if found is None else np.asarray(found, np.float32)

    def apply(self, layer: Layer, made: Any, roles: Sequence[Any] = ()) -> Any:
        """Call a Keras layer on the inputs and remember the weights to set."""
        arrays = [self.weight(layer, role) if isinstance(role, str) else role for role in roles]
        given = [self.tensors[name] for name in layer.inputs]
        constants = [item for item in given if isinstance(item, np.ndarray)]
        if constants and not isinstance(made, Function):
            given = [ops.convert_to_tensor(item) for item in given]
        result = made(given[0] if len(given) == 1 else given)
        if roles:
            self.to_set.append((made, [array for array in arrays if array is not None]))
        return result

    def function(self, layer: Layer, function: Callable[..., Any]) -> Any:
        """Apply a function; constants among the inputs are captured by it."""
        given = [self.tensors[name] for name in layer.inputs]
        live = [item for item in given if not isinstance(item, np.ndarray)]
        if not live:
            return np.asarray(function(*given))

        def call(*tensors: Any) -> Any:
            rest = list(tensors)
            return function(*(g if isinstance(g, np.ndarray) else rest.pop(0) for g in given))

        return Function(call, name=clean_name(layer.name))(*live)


def named(layer: Layer) -> str:
    """The layer's name as Keras takes it."""
    return clean_name(layer.name)
