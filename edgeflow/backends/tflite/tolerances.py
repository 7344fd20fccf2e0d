"""How far a .tflite file's outputs may be from the model's, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeflow.backends.base import Tolerance
from edgeflow.network import Network

CLASSIFIERS = frozenset(["softmax", "sigmoid", "log_softmax"])


def choose(network: Network, form: str, facts: Mapping[str, Any]) -> Tolerance:
    """The tolerance for a compiled file.

    Args:
        network: the model's.
        form: the model's format (``keras3``, ``network``, ``tflite`` …).
        facts: the compile job's ``model.json``.
    """
    precision, route = facts["precision"], facts["route"]
    step = _step(facts)
    if route == "copied":
        return Tolerance(
            max(2 * step, 1e-3), 0.98,
            "the same file in other kernels: they round differently by a step of an inner layer",
        )  # fmt: skip
    if network.quantized and precision != "int8":
        return Tolerance(
            1e30, 0.9, f"a {precision} file does not round the activations as the model does"
        )
    if precision in ("float32", "float16"):
        return _float(precision)
    if route == "trained" and form == "network" and not facts["quantisers"]["measured"]:
        return _trained(network, step)
    if route == "trained":
        return Tolerance(
            1e30, 0.95,
            "int8 kernels round halves away from zero and the model's quantisers to even; ranges "
            "that the model does not quantise were measured on data",
        )  # fmt: skip
    what = {
        "dynamic": "8-bit weights rounded after training, inputs of each layer rounded at run time",
        "16x8": "post-training quantisation: 8-bit weights, 16-bit activations",
        "int8": "post-training quantisation",
    }[precision]
    return Tolerance(1e30, 0.95, what)


def _float(precision: str) -> Tolerance:
    if precision == "float32":
        return Tolerance(1e-4, 0.999, "the same float32 sums in another order")
    return Tolerance(2e-2, 0.99, "weights rounded to float16 (11 bits)")


def _trained(network: Network, step: float) -> Tolerance:
    """The same quantisers on both sides: at most 2 steps, of the logits where a softmax follows.

    |softmax(z + d) - softmax(z)| <= max|d| / 2, since sum_j |dp_i/dz_j| = 2 p_i (1 - p_i) <= 1/2.
    """
    last = network[network.outputs[0]]
    before = network[last.inputs[0]].quantizer if last.kind == "softmax" else None
    if before is not None and before.scale:
        bound = before.scale[0] + 2 / 256
        return Tolerance(
            bound, 0.98,
            "the trained quantisers, kept exactly; integer kernels round halves differently: "
            "2 steps of the logits and of the softmax",
        )  # fmt: skip
    return Tolerance(
        2 * step + 1e-6, 0.98,
        "the trained quantisers, kept exactly; integer kernels round halves differently: 2 steps "
        "of the output",
    )  # fmt: skip


def _step(facts: Mapping[str, Any]) -> float:
    """The scale of the first output; of the tensor before the last DEQUANTIZE for a float one."""
    output = facts["outputs"][0]
    if output["scale"]:
        return float(output["scale"][0])
    last = facts["operators"][-1]
    if last["op"] == "DEQUANTIZE":
        scale = facts["tensors"][last["inputs"][0]]["scale"]
        return float(scale[0]) if scale else 0.0
    return 0.0
