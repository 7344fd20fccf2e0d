"""What the stream style takes, beyond `rules`: kinds, windows, and what must fit; all at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from edgeflow import targets
from edgeflow.backends.base import Problem
from edgeflow.backends.rtl import reuse, stream
from edgeflow.errors import TargetError
from edgeflow.network import Layer, Network
from edgeflow.synthesis import devices
from edgeflow.targets import Target

KINDS: Final = frozenset(
    """
    input dense conv1d conv2d depthwise_conv1d depthwise_conv2d batch_norm scale relu leaky_relu
    softmax identity quantize dequantize flatten reshape pad add sub mul average maximum minimum
    max_pool1d max_pool2d avg_pool1d avg_pool2d global_max_pool1d global_max_pool2d
    global_avg_pool1d global_avg_pool2d
    """.split()
)
"""Kinds that have a stage (`stream_layers_job.METHODS`), and the softmax that the host computes."""

REMEDIES: Final[Mapping[str, str]] = {
    "concat": "add the branches instead, or use `style: pipelined`",
    "upsample": "use `style: pipelined`, or leave it to the host",
    "crop": "give the convolution before it the padding 'valid'",
    "transpose": "give the model its channels last",
    "constant": "use a bias",
    "sigmoid": "retrain with relu, or leave a last sigmoid to the host",
    "tanh": "retrain with relu",
}
PIPELINED: Final = "use `style: pipelined`, or replace it in the model"


def problems(network: Network, target: Target, options: Mapping[str, Any]) -> list[Problem]:
    """Everything that stands in the way of a stream of stages; empty where nothing does."""
    found = [
        Problem(layer.name, message, remedy)
        for layer in network
        for message, remedy in _faults(layer, network)
    ]
    return found or _room(network, target, options)


def _faults(layer: Layer, network: Network) -> list[tuple[str, str]]:
    if layer.kind not in KINDS:
        return [(f"no stream stage computes '{layer.kind}'", REMEDIES.get(layer.kind, PIPELINED))]
    at, found = layer.attributes, []
    groups = int(at.get("groups") or 1)
    if groups != 1:
        found.append((f"{groups} groups", "use a depthwise and a 1x1 convolution"))
    if layer.kind.startswith("depthwise") and layer.weights["kernel"].shape[-1] != 1:
        many = layer.weights["kernel"].shape[-1]
        found.append((f"a depth multiplier of {many}", "use 1, and a 1x1 convolution behind it"))
    if "avg_pool" in layer.kind:
        found += _average(layer)
    if layer.kind == "average" and len(layer.inputs) != 2:
        found.append((f"the average of {len(layer.inputs)} tensors", "average two, or add"))
    if layer.kind == "sub" and len(layer.inputs) != 2:
        found.append((f"a difference of {len(layer.inputs)} tensors", "use two"))
    if len(layer.inputs) > 1 and len({tuple(shape) for shape in layer.input_shapes}) > 1:
        shapes = ", ".join(str(list(shape)) for shape in layer.input_shapes)
        found.append((f"tensors of the shapes {shapes}", "give them one shape"))
    if layer.kind == "pad":
        found += _padding(layer, network)
    return found


def _average(layer: Layer) -> list[tuple[str, str]]:
    shape = [int(dim or 1) for dim in layer.input_shapes[0]]
    rank = len(shape) - 1
    if layer.kind.startswith("global"):
        count = math.prod(shape[:-1])
    else:
        size = layer.attributes["pool_size"]
        sizes = size if isinstance(size, (list, tuple)) else [size] * rank
        count = math.prod(sizes)
        steps = layer.attributes.get("strides") or sizes
        steps = steps if isinstance(steps, (list, tuple)) else [steps] * rank
        outside = any(
            (int(out or 1) - 1) * step + window > inside
            for out, step, window, inside in zip(
                layer.output_shape, steps, sizes, shape, strict=False
            )
        )
        if outside:
            return [("an average over windows that reach outside", "use the padding 'valid'")]
    if count & (count - 1):
        return [(f"an average of {count} values", "use windows of 2, 4, 8 … values, or a maximum")]
    return []


def _padding(layer: Layer, network: Network) -> list[tuple[str, str]]:
    value = layer.attributes.get("value") or layer.attributes.get("constant_value") or 0
    if value:
        return [(f"padding with {value:g}", "pad with zeros")]
    readers = network.consumers[layer.name]
    if any("conv" not in reader.kind for reader in readers):
        return [("padding before a layer that is no convolution", "use the padding 'same' there")]
    return []


def _room(network: Network, target: Target, options: Mapping[str, Any]) -> list[Problem]:
    """What even the smallest design takes, against what the target has."""
    budget = stream.budget_of(target)
    found = []
    bits = sum(
        weight.size * min(weight.bits, reuse.DEFAULT_BITS if weight.bits > 16 else weight.bits)
        for layer in network
        for role, weight in layer.weights.items()
        if role == "kernel"
    )
    if budget.ram_bits is not None and bits > budget.ram_bits:
        found.append(
            Problem(
                None,
                f"the weights take {bits / 1024:,.0f} Kbit; the block RAM of '{target.name}' "
                f"holds {budget.ram_bits / 1024:,.0f} Kbit",
                f"fewer weights or bits, or {_roomier(ram_bits=bits)}",
            )
        )
    works = [work for layer in network if (work := reuse.work_of(layer, network)) is not None]
    least = sum(min(f.lut for f in reuse.foldings(work)) for work in works)
    if budget.lut is not None and least > budget.lut and options.get("reuse_factor") == "auto":
        found.append(
            Problem(
                None,
                f"about {least:,.0f} LUTs of four inputs at the largest reuse factors; "
                f"'{target.name}' has room for {budget.lut:,.0f}",
                f"fewer layers, or {_roomier(lut=least)}",
            )
        )
    return found


def _roomier(*, lut: float = 0.0, ram_bits: float = 0.0) -> str:
    """Which targets have that much, by name, the smallest first; those with open tools alone."""
    try:
        known = targets.load_all()
    except TargetError:  # a broken file of the user's own says so elsewhere
        return "a larger target"
    found = []
    for other in known.values():
        has = stream.budget_of(other)
        open_tools = devices.family(other) is not None
        if open_tools and (has.lut or 0) >= lut and (has.ram_bits or 0) >= ram_bits:
            found.append((has.lut or 0, other.name))
    names = [name for _, name in sorted(found)[: devices.MOST]]
    if not names:
        return "no target that edgeflow knows has so much"
    return f"a target that holds it, such as {', '.join(names)}"
