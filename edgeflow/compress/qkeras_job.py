"""Quantisation-aware retraining with QKeras: fixed point, for hls4ml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from edgeflow.compress import fit_job, graph_job
from edgeflow.compress.begin_job import begin
from edgeflow.compress.fixed_job import choose, insert_quantizers, round_to, sample
from edgeflow.compress.graph_job import FOLDABLE, PASSIVE, Graph
from edgeflow.frontends.keras_graph_job import to_network
from edgeflow.network import Layer, Quantizer

KINDS: Final = (
    (FOLDABLE - {"depthwise_conv1d"})
    | PASSIVE
    | {"input", "relu", "tanh", "sigmoid", "concat"}
    | {"avg_pool1d", "avg_pool2d", "global_avg_pool1d", "global_avg_pool2d"}
    | {"add", "sub", "mul", "maximum", "minimum", "average"}
)
CLASSES: Final = {
    "dense": "QDense", "conv1d": "QConv1D", "conv2d": "QConv2D",
    "depthwise_conv2d": "QDepthwiseConv2D",
}  # fmt: skip


def retrain(
    inputs: Mapping[str, Path],
    params: Mapping[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Job: the QKeras twin of a float model, retrained. Runs in the toolchain ``qkeras``.

    ``inputs``: ``model`` (Model folder of any front end), ``data`` (dataset folder). ``params``:
    ``bits`` (6), ``weight_bits``, ``bias_bits`` and ``activation_bits`` (default: ``bits``),
    ``input_bits`` (default: the input stays as given), ``integer`` and ``activation_integer``
    (default: chosen from the values), ``layers`` (the same keys by layer), and those of
    `fit_job.Settings`. Batch norms are folded, the weights are carried over, and a softmax at the
    end is left out: the model gives logits. Leaves a Model folder of format ``qkeras``.

    Returns:
        ``epochs``, ``best_epoch``, ``test_accuracy`` (or ``test_mse``), ``stripped`` (the softmax
        layer left out, or None), ``weight_bits`` and ``activation_bits`` by layer.

    Raises:
        UnsupportedError: every layer without a QKeras twin.
        DataError: the dataset does not fit.
    """
    import tf_keras as keras

    begun = begin(keras, inputs, params, KINDS, "qkeras")
    graph, data = begun.graph, begun.data
    traces = graph_job.traces(keras, graph, sample(data.x))
    # QKeras raises 2 to the integer bits as an integer, so they cannot be negative.
    graph = choose(graph, traces, {"bits": 6, **params}, least=0)
    graph = insert_quantizers(graph, frozenset(["relu"]))
    model = graph_job.build(keras, graph, lambda layer: twin(keras, layer))
    last = graph.network[graph.network.outputs[0]].kind
    history = fit_job.fit(keras, model, data, last, begun.settings, progress)
    graph = graph.with_weights(_rounded(graph, graph_job.get_arrays(model, graph.network)))
    for name, arrays in graph.weights.items():
        graph_job.set_arrays(model.get_layer(name), arrays)
    keras.Model(model.inputs, model.outputs, name="model").save(
        output / "model.h5", include_optimizer=False
    )
    network, arrays = to_network(model, {"format": "qkeras"})
    graph_job.write(output, network, arrays, "qkeras", ["model.h5"], history)
    return {
        **fit_job.outcome(model, data, last, history),
        "stripped": begun.stripped,
        **graph_job.widths(network),
    }


def twin(keras: Any, layer: Layer) -> Any:
    """The QKeras layer that computes this layer."""
    import qkeras

    if layer.weights:
        name = CLASSES[layer.kind]
        role = "depthwise" if layer.kind.startswith("depthwise") else "kernel"
        rounding = {
            f"{role}_quantizer": _bits(layer.weights["kernel"].quantizer),
            "bias_quantizer": _bits(layer.weights["bias"].quantizer)
            if "bias" in layer.weights
            else None,
        }
        return graph_job.plain(keras, layer, source=qkeras, name=name, **rounding)
    if layer.kind == "quantize":
        return qkeras.QActivation(_bits(layer.quantizer), name=layer.name)
    if layer.kind == "relu" and layer.quantizer is not None:
        q = layer.quantizer
        function = qkeras.quantized_relu(int(q.bits), int(q.integer or 0))
        return qkeras.QActivation(function, name=layer.name)
    return graph_job.plain(keras, layer)


def _bits(q: Quantizer | None) -> Any:
    import qkeras

    assert q is not None
    return qkeras.quantized_bits(int(q.bits), int(q.integer or 0), keep_negative=q.signed, alpha=1)


def _rounded(graph: Graph, weights: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    rounded: dict[str, dict[str, Any]] = {}
    for layer in graph.network:
        for role, weight in layer.weights.items():
            q = weight.quantizer
            assert q is not None
            values = round_to(weights[layer.name][role], int(q.bits), int(q.integer or 0))
            rounded.setdefault(layer.name, {})[role] = np.asarray(values, np.float32)
    return rounded
