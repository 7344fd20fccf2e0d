"""Recurrent layers in jax, by Keras' definitions: gates in Keras' order, kernels side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from edgeflow.backends.tpu.activations_job import FUNCTIONS
from edgeflow.backends.tpu.arithmetic_job import Call

Array = Any
Weights = Mapping[str, np.ndarray]

UNROLL = 64
"""Sequences up to this length are unrolled: no loop, and the compiler's figures count each step."""


def _function(call: Call, name: str, default: str) -> Callable[[Array], Array]:
    function = FUNCTIONS[str(call.get(name) or default)]
    # Keras 2's hard sigmoid has another slope; a cell's attributes name its functions only.
    attributes = {"slope": 0.2} if call.legacy else {}
    return lambda x: function(x, attributes)


def _bias(weights: Weights) -> Array:
    return weights.get("bias", np.float32(0))


def _run(
    call: Call,
    x: Array,
    step: Callable[[tuple[Array, ...], Array], tuple[Array, ...]],
    states: int,
    units: int,
) -> Array:
    """Go through the steps of `x` (batch, steps, …); the first state is the output."""
    backwards = bool(call.get("go_backwards", False))
    start = (jnp.zeros((x.shape[0], units), jnp.float32),) * states

    def body(state: tuple[Array, ...], item: Array) -> tuple[tuple[Array, ...], Array]:
        after = step(state, item)
        return after, after[0]

    sequence = jnp.swapaxes(jnp.flip(x, 1) if backwards else x, 0, 1)
    if len(sequence) <= UNROLL:
        last, outputs = start, []
        for index in range(len(sequence)):
            last, output = body(last, sequence[index])
            outputs.append(output)
        every = jnp.stack(outputs)
    else:
        last, every = lax.scan(body, start, sequence)
    if call.get("return_sequences", False):
        return jnp.swapaxes(every, 0, 1)
    return last[0]


def lstm(call: Call) -> Array:
    """Gates: input, forget, candidate, output."""
    activate = _function(call, "activation", "tanh")
    gate = _function(call, "recurrent_activation", "sigmoid")
    units = call.weights["recurrent_kernel"].shape[0]
    seen = call.number.dot(call.x, call.weights["kernel"]) + _bias(call.weights)

    def step(state: tuple[Array, ...], item: Array) -> tuple[Array, ...]:
        hidden, cell = state
        z = item + call.number.dot(hidden, call.weights["recurrent_kernel"])
        i, f, c, o = jnp.split(z, 4, axis=-1)
        cell = gate(f) * cell + gate(i) * activate(c)
        return gate(o) * activate(cell), cell

    return _run(call, seen, step, 2, units)


def gru(call: Call) -> Array:
    """Gates: update, reset, candidate. With ``reset_after`` the bias has a row for each kernel."""
    activate = _function(call, "activation", "tanh")
    gate = _function(call, "recurrent_activation", "sigmoid")
    kernel = call.weights["recurrent_kernel"]
    units = kernel.shape[0]
    after = bool(call.get("reset_after", True))
    bias = call.weights.get("bias")
    rows = bias if bias is not None and bias.ndim == 2 else (_bias(call.weights), np.float32(0))
    seen = call.number.dot(call.x, call.weights["kernel"]) + rows[0]

    def step(state: tuple[Array, ...], item: Array) -> tuple[Array, ...]:
        (hidden,) = state
        xz, xr, xh = jnp.split(item, 3, axis=-1)
        if after:
            hz, hr, hh = jnp.split(call.number.dot(hidden, kernel) + rows[1], 3, axis=-1)
            update, reset = gate(xz + hz), gate(xr + hr)
            candidate = activate(xh + reset * hh)
        else:
            hz, hr = jnp.split(call.number.dot(hidden, kernel[:, : 2 * units]), 2, axis=-1)
            update, reset = gate(xz + hz), gate(xr + hr)
            candidate = activate(xh + call.number.dot(reset * hidden, kernel[:, 2 * units :]))
        return (update * hidden + (1 - update) * candidate,)

    return _run(call, seen, step, 1, units)


def simple_rnn(call: Call) -> Array:
    """One dense layer of the input and the last output."""
    activate = _function(call, "activation", "tanh")
    units = call.weights["recurrent_kernel"].shape[0]
    seen = call.number.dot(call.x, call.weights["kernel"]) + _bias(call.weights)

    def step(state: tuple[Array, ...], item: Array) -> tuple[Array, ...]:
        return (activate(item + call.number.dot(state[0], call.weights["recurrent_kernel"])),)

    return _run(call, seen, step, 1, units)
