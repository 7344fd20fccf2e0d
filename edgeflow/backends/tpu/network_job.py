"""A Network as a jax function: what the TPU graph computes, layer by layer.

The toolchain has jax and no TensorFlow, so the Network and its weights are interpreted here, with
Keras' definitions of every operation. Quantisers of activations are emulated in floating point
(the weights' arrays are rounded already), so that a retrained model's graph computes what the
retrained model computes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from edgeflow.backends.tpu import integer_job, rescale_job
from edgeflow.backends.tpu.integers import RETRAIN
from edgeflow.backends.tpu.operations_job import OPERATIONS, Arithmetic, Call
from edgeflow.backends.tpu.quantizers_job import quantize
from edgeflow.errors import UnsupportedError
from edgeflow.network import Layer, Network

Array = Any  # jax.Array, which the type checker of the core does not see


def forward(
    network: Network,
    weights: Mapping[str, np.ndarray],
    *,
    precision: str = "float32",
    fixed_point: bool = True,
) -> Callable[..., tuple[Array, ...]]:
    """The function from the Network's inputs (batch first) to a tuple of its outputs.

    ``weights`` are the arrays of ``weights.npz`` (``LAYER/ROLE``). ``precision`` is of the operands
    of dot products and convolutions; sums and all else are float32. ``int8``: products of integers
    where the model's own quantisers allow it (`integer_job`), float32 elsewhere. ``fixed_point``:
    an int8 .tflite file's sums become codes as in TFLite (`rescale_job`), not in float32.

    Raises:
        UnsupportedError: a layer's kind has no operation here (the backend's check says it first),
            or no layer computes in integers at ``int8``.
    """
    run = layerwise(network, weights, precision=precision, fixed_point=fixed_point)

    def outputs(*inputs: Array) -> tuple[Array, ...]:
        values = run(*inputs)
        return tuple(values[name] for name in network.outputs)

    return outputs


def layerwise(
    network: Network,
    weights: Mapping[str, np.ndarray],
    *,
    precision: str = "float32",
    fixed_point: bool = True,
) -> Callable[..., dict[str, Array]]:
    """Like `forward`, but the function returns the output of every layer by its name."""
    missing = sorted({layer.kind for layer in network} - set(OPERATIONS) - {"input"})
    if missing:
        raise UnsupportedError(f"the TPU graph has no operation for {', '.join(missing)}")
    arithmetic = Arithmetic("float32" if precision == "int8" else precision)
    held = {layer.name: _weights_of(layer, weights) for layer in network}
    grids = {layer.name: _grid_of(layer, weights) for layer in network}
    legacy = network.source.get("format") in ("keras2", "qkeras")

    plan = integer_plan(network, weights) if precision == "int8" else None
    if plan and not fixed_point:
        plan = replace(plan, rescaled=rescale_job.Rescaled({}, {}))

    def run(*inputs: Array) -> dict[str, Array]:
        given = dict(zip(network.inputs, inputs, strict=True))
        values: dict[str, Array] = {}
        integers = integer_job.Integers(plan) if plan else None
        for layer in network:
            # The scope's name is in the compiled graph: a profile names the model's layers.
            with jax.named_scope(layer.name):
                if layer.kind == "input":
                    value = given[layer.name]
                    if not jnp.issubdtype(value.dtype, jnp.integer):
                        value = value.astype(jnp.float32)
                else:
                    operands = [values[name] for name in layer.inputs]
                    call = Call(layer, operands, held[layer.name], arithmetic, legacy)
                    whole = integers.rounded(call) if integers else None
                    if whole is not None:
                        values[layer.name] = whole
                        continue
                    real = integers.real(call) if integers else None
                    value = OPERATIONS[layer.kind](call) if real is None else real
                values[layer.name] = quantize(value, layer.quantizer, grids[layer.name])
                if integers:
                    integers.encode(layer, values[layer.name])
        return values

    return run


def integer_plan(network: Network, weights: Mapping[str, np.ndarray]) -> integer_job.Plan:
    """Which layers compute in integers at ``int8``.

    Raises:
        UnsupportedError: none does.
    """
    held = {layer.name: _weights_of(layer, weights) for layer in network}
    found = integer_job.plan(network, held, {x.name: _grid_of(x, weights) for x in network})
    if not found.products:
        raise UnsupportedError(
            "no layer of the model computes in 8-bit integers",
            details=[f"layer '{name}': {why}" for name, why in found.floats.items()][:20],
            remedy=f"{RETRAIN}; or choose precision float32 or bfloat16",
        )
    return found


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
