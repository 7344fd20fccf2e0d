"""Quantisation-aware retraining with HGQ2: fixed point with given bits, or bits that it learns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from edgeflow.compress import fit_job, graph_job
from edgeflow.compress.begin_job import begin
from edgeflow.compress.fixed_job import choose, grid, insert_quantizers, sample
from edgeflow.compress.graph_job import PASSIVE, Graph
from edgeflow.frontends.keras_graph_job import to_network
from edgeflow.network import Layer, Quantizer

CLASSES: Final = {
    "dense": "QDense", "conv1d": "QConv1D", "conv2d": "QConv2D", "add": "QAdd",
    "sub": "QSubtract", "mul": "QMultiply", "maximum": "QMaximum", "minimum": "QMinimum",
    "avg_pool1d": "QAveragePooling1D", "avg_pool2d": "QAveragePooling2D",
    "global_avg_pool1d": "QGlobalAveragePooling1D", "global_avg_pool2d": "QGlobalAveragePooling2D",
}  # fmt: skip
"""Kinds of which HGQ2 has its own layers; the others are Keras' own."""
KINDS: Final = frozenset(CLASSES) | PASSIVE | {"input", "relu", "concat"}


def retrain(
    inputs: Mapping[str, Path],
    params: Mapping[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Job: the HGQ2 twin of a float model, retrained. Runs in the toolchain ``keras``.

    ``inputs``: ``model`` (Model folder of any front end), ``data`` (dataset folder). ``params``:
    as those of `edgeflow.compress.qkeras_job.retrain`; moreover ``bits: auto`` lets HGQ2 learn the
    bits of every weight and activation, where ``beta`` (1e-5) weighs the effective bit operations
    (EBOPs) in the loss. The input is rounded to the training inputs' own grid where they have one
    of at most 16 bits, else to ``input_bits`` (8). Leaves a Model folder of format ``hgq2``.

    Returns:
        As that job; moreover ``ebops`` where the bits were learnt.

    Raises:
        UnsupportedError: every layer without an HGQ2 twin.
        DataError: the dataset does not fit.
    """
    import keras
    from hgq.utils import trace_minmax

    begun = begin(keras, inputs, params, KINDS, "hgq2")
    graph, data = begun.graph, begun.data
    learnt = params.get("bits") == "auto"
    start = {**params, "bits": 8} if learnt else {"bits": 6, **params}
    graph = _with_input(graph, data.x, start)
    traces = graph_job.traces(keras, graph, sample(data.x))
    graph = choose(graph, traces, start, least=-16)
    if not learnt:
        # Rounded where values arise, as a compiler does it; learnt bits need HGQ2's own places.
        graph = insert_quantizers(graph, frozenset())
    beta = float(params.get("beta", 1e-5))
    model = graph_job.build(keras, graph, lambda layer: twin(keras, layer, graph, learnt, beta))
    last = graph.network[graph.network.outputs[0]].kind
    penalty = (lambda: beta * _ebops(model)) if learnt else None
    history = fit_job.fit(keras, model, data, last, begun.settings, progress, penalty)
    if learnt:
        trace_minmax(model, np.concatenate([data.x, data.x_validation]), batch_size=256)
    _round_weights(graph, model)
    saved = keras.Model(model.inputs, model.outputs, name="model")
    graph_job.save_keras(saved, output / "model.keras")
    network, arrays = to_network(model, {"format": "hgq2"})
    graph_job.write(output, network, arrays, "hgq2", ["model.keras"], history)
    return {
        **fit_job.outcome(model, data, last, history),
        "stripped": begun.stripped,
        **({"ebops": _ebops(model)} if learnt else {}),
        **graph_job.widths(network),
    }


def _with_input(graph: Graph, x: Any, params: Mapping[str, Any]) -> Graph:
    """The Graph whose input has a quantiser: HGQ2 multiplies only what is rounded."""
    network = graph.network
    given = network[network.inputs[0]]
    found = None if params.get("input_bits") else grid(x)
    if found is None:
        bits = int(params.get("input_bits") or 8)
        traces = {given.name: sample(x)}
        alone = replace(network, layers=(given,), outputs=())
        wanted = {"bits": bits, "input_bits": bits}
        found = choose(Graph(alone, {}), traces, wanted, least=-16).network[given.name].quantizer
    swapped = replace(given, quantizer=found)
    layers = tuple(swapped if layer is given else layer for layer in network)
    return replace(graph, network=network.with_layers(layers))


def twin(keras: Any, layer: Layer, graph: Graph, learnt: bool, beta: float) -> Any:
    """The HGQ2 layer that computes this layer; with learnt bits it rounds its inputs itself."""
    import hgq.layers

    if layer.kind == "quantize":
        return hgq.layers.Quantizer(_config(layer.quantizer, "datalane", learnt), name=layer.name)
    if layer.kind not in CLASSES:
        return graph_job.plain(keras, layer)
    extra: dict[str, Any] = {"enable_ebops": learnt, "beta0": beta, "enable_oq": False}
    if learnt:
        sources = [graph.network[name].quantizer for name in layer.inputs]
        configs = [_config(q, "datalane", learnt) for q in sources]
        extra |= {"iq_confs": configs} if len(sources) > 1 else {"iq_conf": configs[0]}
    else:
        extra["enable_iq"] = False
    if layer.weights:
        extra["kq_conf"] = _config(layer.weights["kernel"].quantizer, "weight", learnt)
        if "bias" in layer.weights:
            extra["bq_conf"] = _config(layer.weights["bias"].quantizer, "bias", learnt)
    return graph_job.plain(keras, layer, source=hgq.layers, name=CLASSES[layer.kind], **extra)


def _config(q: Quantizer | None, place: str, learnt: bool) -> Any:
    """HGQ2's description of the quantiser; where bits are learnt, `q` is where they start."""
    from hgq.config import QuantizerConfig

    assert q is not None
    assert q.integer is not None
    fraction = q.bits - q.integer - q.signed
    if learnt:
        # A bit width for each weight, and for each feature of an activation.
        return QuantizerConfig(
            "kif", place, k0=q.signed, i0=q.integer, f0=fraction, round_mode="RND",
            ir=None, fr=None,
        )  # fmt: skip
    return QuantizerConfig(
        "kif", place, k0=q.signed, i0=q.integer, f0=fraction, round_mode="RND_CONV",
        overflow_mode="SAT", heterogeneous_axis=(), trainable=False,
        ic=None, ir=None, fc=None, fr=None,
    )  # fmt: skip


def _ebops(model: Any) -> int:
    return int(
        sum(float(layer.ebops) for layer in model.layers if getattr(layer, "enable_ebops", False))
    )


def _round_weights(graph: Graph, model: Any) -> None:
    """Put the rounded weights in place of those that are rounded whenever they are used."""
    for layer in graph.network:
        if layer.weights:
            made = model.get_layer(layer.name)
            arrays = {"kernel": np.array(made.qkernel, np.float32)}
            if "bias" in layer.weights:
                arrays["bias"] = np.array(made.qbias, np.float32)
            graph_job.set_arrays(made, arrays)
