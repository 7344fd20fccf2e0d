"""A Network as a jax function: what the TPU graph computes, layer by layer.

The toolchain has jax and no TensorFlow, so the Network and its weights are interpreted here, with
Keras' definitions of every operation. Quantisers of activations are emulated in floating point
(the weights' arrays are rounded already), so that a retrained model's graph computes what the
retrained model computes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from edgeflow.backends.tpu.operations_job import OPERATIONS, Arithmetic, Call
from edgeflow.backends.tpu.quantizers_job import quantize
from edgeflow.errors import UnsupportedError
from edgeflow.network import Layer, Network

Array = Any  # jax.Array, which the type checker of the core does not see


def forward(
    network: Network, weights: Mapping[str, np.ndarray], *, precision: str = "float32"
) -> Callable[..., tuple[Array, ...]]:
    """The function from the Network's inputs (batch first) to a tuple of its outputs.

    ``weights`` are the arrays of ``weights.npz`` (``LAYER/ROLE``). ``precision`` is of the operands
    of dot products and convolutions; sums and all else are float32.

    Raises:
        UnsupportedError: a layer's kind has no operation here (the backend's check says it first).
    """
    run = layerwise(network, weights, precision=precision)

    def outputs(*inputs: Array) -> tuple[Array, ...]:
        values = run(*inputs)
        return tuple(values[name] for name in network.outputs)

    return outputs


def layerwise(
    network: Network, weights: Mapping[str, np.ndarray], *, precision: str = "float32"
) -> Callable[..., dict[str, Array]]:
    """Like `forward`, but the function returns the output of every layer by its name."""
    missing = sorted({layer.kind for layer in network} - set(OPERATIONS) - {"input"})
    if missing:
        raise UnsupportedError(f"the TPU graph has no operation for {', '.join(missing)}")
    arithmetic = Arithmetic(precision)
    held = {layer.name: _weights_of(layer, weights) for layer in network}
    grids = {layer.name: _grid_of(layer, weights) for layer in network}
    legacy = network.source.get("format") in ("keras2", "qkeras")

    def run(*inputs: Array) -> dict[str, Array]:
        given = dict(zip(network.inputs, inputs, strict=True))
        values: dict[str, Array] = {}
        for layer in network:
            if layer.kind == "input":
                value = given[layer.name]
                if not jnp.issubdtype(value.dtype, jnp.integer):
                    value = value.astype(jnp.float32)
            else:
                operation = OPERATIONS[layer.kind]
                # The scope's name is in the compiled graph: a profile names the model's layers.
                with jax.named_scope(layer.name):
                    operands = [values[name] for name in layer.inputs]
                    value = operation(Call(layer, operands, held[layer.name], arithmetic, legacy))
            values[layer.name] = quantize(value, layer.quantizer, grids[layer.name])
        return values

    return run


def _weights_of(layer: Layer, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {role: weights[f"{layer.name}/{role}"] for role in layer.weights}


def _grid_of(layer: Layer, weights: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What a layer's quantiser needs beside its own fields.

    HGQ2 may round each element to other bits (arrays ``LAYER/@signed``, ``@integer``,
    ``@fraction``); QKeras' ternary has its threshold among the layer's attributes.
    """
    parts = ("signed", "integer", "fraction")
    found: dict[str, Any] = {
        part: weights[f"{layer.name}/@{part}"]
        for part in parts
        if f"{layer.name}/@{part}" in weights
    }
    if "threshold" in layer.attributes:
        found["threshold"] = layer.attributes["threshold"]
    return found
