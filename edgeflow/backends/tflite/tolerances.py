"""How far a .tflite file's outputs may be from the model's, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from edgeflow.backends.base import Tolerance
from edgeflow.network import WEIGHTED, Network


def choose(
    network: Network,
    form: str,
    facts: Mapping[str, Any],
    spread: float,
    classes: bool,
) -> Tolerance:
    """The tolerance for a compiled file.

    Args:
        network: the model's.
        form: the model's format (``keras3``, ``network``, ``tflite`` …).
        facts: the compile job's ``model.json``.
        spread: the largest less the smallest of the model's own outputs.
        classes: whether the largest output is what counts.
    """
    precision, route = facts["precision"], facts["route"]
    step = _step(facts)
    least = 0.95 if classes else 0.0
    if route == "copied" and precision in ("int8", "16x8"):
        kept = _kept(network, step, least, "the same file; runtimes round differently")
        if classes:
            return kept
        said = f"{kept.reason} (a tenth of the range, where layers amplify them)"
        return Tolerance(max(kept.absolute, 0.1 * spread), least, said)
    if network.quantized and precision != "int8":
        said = f"{precision}: sums in another order, which tip over a rounding of few bits"
        return _rough(spread, classes, said)
    if precision == "float32":
        # Seen: 3e-4 in MLPerf Tiny's autoencoder, whose batch norms bring sums of 8,000 to 10.
        return Tolerance(1e-3 * spread, 0.999 * classes, "the same float32 sums in another order")
    if precision == "float16":
        return Tolerance(2e-2 * spread, 0.99 * classes, "weights rounded to float16 (11 bits)")
    if route == "trained" and form == "network" and not facts["quantisers"]["measured"]:
        return _kept(
            network, step, least, "the trained quantisers, kept; runtimes round differently"
        )
    if route == "trained":
        said = (
            "int8 kernels round halves up and the model's quantisers to even, a whole step of few "
            "bits; ranges that the model does not quantise were measured on data"
        )
        return _rough(spread, classes, said)
    said = {
        "dynamic": "8-bit weights rounded after training, inputs of each layer as it runs",
        "16x8": "post-training quantisation: 8-bit weights, 16-bit activations",
        "int8": "post-training quantisation",
    }[precision]
    return _rough(spread, classes, said)


def _rough(spread: float, classes: bool, reason: str) -> Tolerance:
    """The class in 19 of 20 cases; where there are no classes, 0.15 of the outputs' range.

    MLPerf Tiny's own int8 autoencoder is off from its float one by up to 0.12 of the range, on
    windows of its reference recording with and without noise.
    """
    if classes:
        return Tolerance(spread, 0.95, f"{reason}: the class is what must agree")
    return Tolerance(0.15 * spread, 0.0, reason)


def _kept(network: Network, step: float, least: float, reason: str) -> Tolerance:
    """The same quantisers on both sides: 2 steps, of the logits where a softmax follows.

    A runtime rounds about 1 value in 10 of a layer to the other neighbour; over more than 4 layers
    these add up as independent errors do, with the root of their number (ResNet8: 4 steps of 10
    layers seen). |softmax(z + d) - softmax(z)| <= max|d| / 2, since
    sum_j |dp_i/dz_j| = 2 p_i (1 - p_i) <= 1/2.
    """
    depth = sum(layer.kind in WEIGHTED or layer.kind == "add" for layer in network)
    steps = 2 * math.sqrt(max(1.0, depth / 4))
    last = network[network.outputs[0]]
    before = network[last.inputs[0]].quantizer if last.kind == "softmax" else None
    said = f"{reason}: {steps:.1f} steps after {depth} layers"
    if before is not None and before.scale:
        bound = steps / 2 * before.scale[0] + 2 / 256
        return Tolerance(bound, least, f"{said}, of the logits")
    return Tolerance(steps * step + 1e-6, least, said)


def _step(facts: Mapping[str, Any]) -> float:
    """The scale of the first output; of the tensor before the last DEQUANTIZE for a float one."""
    output = facts["outputs"][0]
    if output["scale"]:
        return float(output["scale"][0])
    last = facts["operators"][-1] if facts["operators"] else None
    if last is not None and last["op"] == "DEQUANTIZE":
        scale = facts["tensors"][last["inputs"][0]]["scale"]
        return float(scale[0]) if scale else 0.0
    return 0.0
