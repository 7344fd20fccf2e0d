"""LSTM, GRU and simple RNN as ONNX' own operators.

Keras' gates: LSTM input, forget, candidate, output; GRU update, reset, candidate. ONNX': LSTM
input, output, forget, candidate; GRU the same as Keras (ONNX operators LSTM, GRU, RNN).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeflow.backends.onnxruntime.graph_job import Array, Graph
from edgeflow.network import Layer

FUNCTIONS: dict[str, tuple[str, float, float]] = {
    "tanh": ("Tanh", 0, 0),
    "sigmoid": ("Sigmoid", 0, 0),
    "relu": ("Relu", 0, 0),
    "softsign": ("Softsign", 0, 0),
    "softplus": ("Softplus", 0, 0),
    "elu": ("Elu", 1, 0),
    "hard_sigmoid": ("HardSigmoid", 1 / 6, 0.5),
    "linear": ("Affine", 1, 0),
}
"""ONNX' name, alpha and beta of each function that a cell may use."""

_ORDER = {"lstm": (0, 3, 1, 2), "gru": (0, 1, 2), "simple_rnn": (0,)}
_NAMES = {"lstm": "LSTM", "gru": "GRU", "simple_rnn": "RNN"}


def functions(layer: Layer) -> list[str]:
    """The functions of a cell, in ONNX' order."""
    activation = str(layer.attributes.get("activation") or "tanh")
    gate = str(layer.attributes.get("recurrent_activation") or "sigmoid")
    return {
        "lstm": [gate, activation, activation],
        "gru": [gate, activation],
        "simple_rnn": [activation],
    }[layer.kind]


def recurrent(graph: Graph, layer: Layer) -> None:
    """One direction; steps first in ONNX."""
    name, at = layer.name, layer.attributes
    kernel, state = graph.weight(layer, "kernel"), graph.weight(layer, "recurrent_kernel")
    assert kernel is not None
    assert state is not None
    units = state.shape[0]
    legacy = graph.network.source.get("format") in ("keras2", "qkeras")
    chosen = [FUNCTIONS[f] for f in functions(layer)]
    if legacy:  # Keras 2's hard sigmoid
        chosen = [("HardSigmoid", 0.2, 0.5) if f[0] == "HardSigmoid" else f for f in chosen]
    settings: dict[str, Any] = {
        "hidden_size": units, "activations": [f[0] for f in chosen],
        "direction": "reverse" if at.get("go_backwards") else "forward",
    }  # fmt: skip
    if any(f[0] in ("HardSigmoid", "Elu", "Affine") for f in chosen):
        settings["activation_alpha"] = [float(f[1]) for f in chosen]
        settings["activation_beta"] = [float(f[2]) for f in chosen]
    after = layer.kind == "gru" and bool(at.get("reset_after", True))
    if layer.kind == "gru":
        settings["linear_before_reset"] = int(after)
    source = graph.node("Transpose", [graph.get(layer.inputs[0])], f"{name}.steps", perm=[1, 0, 2])
    inputs = [
        source,
        graph.constant(_gates(layer, kernel).T[None], f"{name}.W"),
        graph.constant(_gates(layer, state).T[None], f"{name}.R"),
    ]
    bias = graph.weight(layer, "bias")
    if bias is not None:
        rows = bias if bias.ndim == 2 else np.stack([bias, np.zeros_like(bias)])
        both = np.concatenate([_gates(layer, row[None])[0] for row in rows])
        inputs.append(graph.constant(both[None], f"{name}.B"))
    whole = bool(at.get("return_sequences", False))
    outputs = [graph.name(f"{name}.Y"), graph.name(f"{name}.Y_h")]
    used = [outputs[0], ""] if whole else ["", outputs[1]]
    graph.add_node(_NAMES[layer.kind], inputs, used, **settings)
    if not whole:
        axes = graph.integers([0], f"{name}.axis")
        graph.put(name, graph.node("Squeeze", [outputs[1], axes], name))
        return
    axes = graph.integers([1], f"{name}.axis")
    steps = graph.node("Squeeze", [outputs[0], axes], f"{name}.sequence")
    if at.get("go_backwards"):  # Keras gives the steps in the order in which it went
        ends = [graph.integers([v], f"{name}.flip") for v in (-1, -(2**31), 0, -1)]
        steps = graph.node("Slice", [steps, *ends], f"{name}.flipped")
    graph.put(name, graph.node("Transpose", [steps], name, perm=[1, 0, 2]))


def _gates(layer: Layer, values: Array) -> Array:
    """Columns in ONNX' order of gates."""
    parts = np.split(values, len(_ORDER[layer.kind]), axis=-1)
    return np.concatenate([parts[i] for i in _ORDER[layer.kind]], axis=-1)
