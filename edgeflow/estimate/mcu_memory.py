"""RAM and flash of an int8 network on a microcontroller, by runtime.

RAM is the activations that live at once, with the overlaps that the runtime's planner allows, and
the runtime's own structures; flash is weights and code. Both follow from the layers' shapes alone.
The coefficients are in ``coefficients/mcu.json``; `edgeflow.estimate.mcu_memory_calibration` finds
them. Units: bytes. Standard library alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from edgeflow.estimate import mcu_terms
from edgeflow.estimate.mcu_table import coefficients, runtime_of
from edgeflow.estimate.quantity import Estimate, unknown
from edgeflow.network import Layer, Network
from edgeflow.targets import Target

KIND: Final = {
    **dict.fromkeys(mcu_terms.DENSE, "dense"),
    **dict.fromkeys(mcu_terms.CONV, "conv"),
    **dict.fromkeys(mcu_terms.DEPTHWISE, "depthwise"),
    **dict.fromkeys(mcu_terms.POOL, "pool"),
    **dict.fromkeys(mcu_terms.GLOBAL, "pool"),
    **dict.fromkeys(mcu_terms.COMBINE, "combine"),
    **dict.fromkeys(mcu_terms.FUNCTION, "function"),
    **dict.fromkeys(mcu_terms.CLAMP, "function"),
    **dict.fromkeys(mcu_terms.SCALE, "combine"),
}
"""Kernels that share code, by the layers' kinds; ``move`` where not said."""

ON_TFLM: Final = dict.fromkeys(("mvp", "xtensa-lx7", "xtensa-lx6", "riscv32"), "tflm-cmsis-nn")
"""Vendors' runtimes that are TensorFlow Lite for Microcontrollers with kernels of their own: their
memory is taken to be that with CMSIS-NN's."""

FLOAT_WIDER: Final = 1.2
"""The band for float32 networks, of which five footprints were seen: an assumption."""

WEIGHTED: Final = frozenset(["dense", "conv", "depthwise"])


def kind_of(layer: Layer) -> str:
    """The kernel that a layer takes."""
    return KIND.get(layer.kind, "move")


def operators(network: Network) -> list[Layer]:
    """The layers that run as operators of their own."""
    return [layer for layer in network if mcu_terms.runs(layer, network)]


def weight_bytes(network: Network) -> float:
    """Weights as int8 (fewer bits where they say so, packed to bytes), biases as 32 bits."""
    total = 0.0
    for layer in network:
        if layer.kind in mcu_terms.SCALE and not mcu_terms.runs(layer, network):
            continue
        for role, weight in layer.weights.items():
            size = 4.0 if role.endswith("bias") and layer.kind in mcu_terms.ALL_WEIGHTED else 1.0
            total += weight.size * size
    return total


def channels(network: Network) -> int:
    """Output channels of all layers with weights: each has a scale of its own."""
    return sum(
        int(layer.output_shape[-1] or 1)
        for layer in network
        if kind_of(layer) in WEIGHTED and layer.output_shape
    )


def features(network: Network) -> dict[str, float]:
    """What the runtime's own memory is made of: operators with weights, others, kinds."""
    found = dict.fromkeys(("one", "weighted", "other"), 0.0)
    found["one"] = 1.0
    for layer in operators(network):
        kind = kind_of(layer)
        found["weighted" if kind in WEIGHTED else "other"] += 1
        found[f"code {kind}"] = 1.0
    return found


def memory(
    network: Network, target: Target, number_format: str = "int8", runtime: str | None = None
) -> dict[str, Estimate]:
    """``ram`` and ``flash`` (bytes).

    Args:
        network: shapes suffice.
        target: its settings ``runtime`` counts.
        number_format: ``int8``, or ``float32`` with four bytes an element.
        runtime: in place of the target's.

    Unknown for a vendor's own runtime and other number formats.
    """
    name = runtime or runtime_of(target)
    if name == "vendor":
        name = ON_TFLM.get(str(target.settings.get("accelerator") or target.architecture), name)
    table = coefficients()["memory"]["runtimes"].get(name)
    width = {"int8": 1, "float32": 4}.get(number_format)
    rules = None if table is None else table["overlap"]
    if table is None or width is None:
        reason = f"no memory of {number_format} networks with the runtime '{name}' was measured"
        return {"ram": unknown("B", reason), "flash": unknown("B", reason)}
    facts = features(network)
    own, code = linear(facts, table["runtime_ram"]), linear(facts, table["code"])
    if width == 1:
        weights = weight_bytes(network)
        code += table["per_channel"] * channels(network)
        wider = 1.0
    else:  # no gathering of windows, simpler kernels
        rules = {**rules, "scratch": 0.0} if rules else None
        weights = 4.0 * network.totals.parameters
        own, code = own * table["float32"]["runtime_ram"], code * table["float32"]["code"]
        wider = FLOAT_WIDER
    alive = peak(network, rules) * width
    source = f"{name}: {{}}; {table['source']}"
    found = {
        "ram": _around(
            alive + own,
            table["ram_factor"] * wider,
            alive if rules is None else 0.0,
            source.format(f"{alive:,.0f} B of activations and {own:,.0f} B of the runtime"),
        ),
        "flash": _around(
            weights + code,
            table["flash_factor"] * wider,
            weights,
            source.format(f"{weights:,.0f} B of weights and {code:,.0f} B of code and tables"),
        ),
    }
    return {name: _against(estimate, name, target) for name, estimate in found.items()}


def activations(network: Network, runtime: str) -> float:
    """Bytes of int8 activations that live at once with a runtime (the largest, where unknown)."""
    table = coefficients().get("memory", {}).get("runtimes", {}).get(runtime)
    return peak(network, table["overlap"] if table else None)


def _against(estimate: Estimate, name: str, target: Target) -> Estimate:
    """The estimate, which says by how much the target's memory is too small."""
    over = fits({name: estimate}, target).get(name, 0)
    if over <= 0:
        return estimate
    return replace(estimate, source=f"{over:,} B more than {target.name} has; {estimate.source}")


def _around(value: float, factor: float, least: float, source: str) -> Estimate:
    """A figure up to a factor, and not under what is counted."""
    return Estimate(value, max(value / factor, least), value * factor, "B", "model", source)


def linear(facts: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Sum of amount x bytes."""
    return sum(facts.get(name, 0.0) * value for name, value in weights.items())


def peak(network: Network, rules: Mapping[str, float] | None) -> float:
    """Elements of the tensors that live at once, at the worst moment.

    Args:
        network: shapes suffice.
        rules: how far an operator's output may lie over its input (see `_work`); None for a planner
            that lets nothing overlap.
    """
    held = _stored(network, rules)
    last: dict[str, int] = {}
    order = list(network)
    for index, layer in enumerate(order):
        for name in layer.inputs:
            last[held[name]] = max(last.get(held[name], 0), index)
    for name in network.outputs:
        last[held[name]] = len(order)
    alive: dict[str, float] = {}
    most = 0.0
    for index, layer in enumerate(order):
        name = held[layer.name]
        if name == layer.name and layer.kind != "constant":
            needed = _work(layer, network, alive, last, index, held, rules)
            most = max(most, needed)
            alive[name] = _kept(layer, network, rules)
        for key in [key for key in alive if last.get(key, index) <= index]:
            del alive[key]
    return most


def _stored(network: Network, rules: Mapping[str, float] | None) -> dict[str, str]:
    """By layer, the layer whose tensor it shares: activations and reshapes have none of their own.

    With rules, padding before a convolution is done while it reads, and a pooling right after one
    while it writes.
    """
    shared: dict[str, str] = {}
    for layer in network:
        shared[layer.name] = layer.name
        if not layer.inputs:
            continue
        first = shared[layer.inputs[0]]
        if not mcu_terms.runs(layer, network) or (
            rules is not None and _in_place(layer, network, network[first])
        ):
            shared[layer.name] = first
    return shared


def _in_place(layer: Layer, network: Network, producer: Layer) -> bool:
    if layer.kind in mcu_terms.POOL:
        return _pooled_at_once(producer, network)
    if layer.kind == "pad":
        return _feeds_product(layer, network)
    return layer.kind in ("quantize", "dequantize")


def _feeds_product(layer: Layer, network: Network) -> bool:
    readers = network.consumers[layer.name]
    return bool(readers) and all(kind_of(reader) in WEIGHTED for reader in readers)


def _work(
    layer: Layer,
    network: Network,
    alive: Mapping[str, float],
    last: Mapping[str, int],
    index: int,
    held: Mapping[str, str],
    rules: Mapping[str, float] | None,
) -> float:
    """Elements alive while a layer runs, its output and scratch included."""
    out = float(layer.output_size)
    total = sum(alive.values()) + out
    if rules is None or not layer.inputs:
        return total
    read = held[layer.inputs[0]]
    if read not in alive or last.get(read, index) > index:
        return total + _scratch(layer, rules)  # the input is awaited later: nothing may lie over it
    inside = alive[read]
    kind, stride = kind_of(layer), _stride(layer)
    if _pooled_at_once(layer, network):
        return total - out + _kept(layer, network, rules) + _scratch(layer, rules)
    overlap = 0.0
    if kind in ("combine", "function") or (kind == "move" and layer.kind == "pad"):
        overlap = min(inside, out)
    elif kind == "depthwise" or (kind == "conv" and stride > 1):
        share = rules["strided"] if stride > 1 else rules["depthwise"]
        overlap = min(inside, out) * (1 - share)
    elif kind == "pool":
        overlap = min(inside, out) * (1 - rules["pool"])
    elif kind == "conv" and _window(layer) == 1 and out <= rules["widening"] * inside:
        overlap = min(inside, out) * (1 - rules["pointwise"])
    return total - overlap + _scratch(layer, rules)


def _kept(layer: Layer, network: Network, rules: Mapping[str, float] | None) -> float:
    """Elements of what a layer leaves behind."""
    if rules is not None and _pooled_at_once(layer, network):
        layer = network.consumers[_last_name(layer, network)][0]
    return float(layer.output_size)


def _pooled_at_once(layer: Layer, network: Network) -> bool:
    """A convolution whose only reader is a pooling in two dimensions: its output is never whole."""
    if kind_of(layer) != "conv":
        return False
    readers = network.consumers[_last_name(layer, network)]
    if len(readers) != 1 or readers[0].kind not in mcu_terms.POOL:
        return False
    strides = readers[0].attributes.get("strides") or 2
    return min(strides) > 1 if isinstance(strides, list | tuple) else int(strides) > 1


def _last_name(layer: Layer, network: Network) -> str:
    """The name under which a layer's output is read, past what runs with it."""
    name = layer.name
    while True:
        readers = network.consumers[name]
        if len(readers) != 1 or mcu_terms.runs(readers[0], network):
            return name
        name = readers[0].name


def _scratch(layer: Layer, rules: Mapping[str, float]) -> float:
    """Elements that a convolution's windows are gathered in."""
    if kind_of(layer) != "conv" or _window(layer) == 1:
        return 0.0
    columns = _window(layer) * mcu_terms.channels_in(layer)
    return min(rules["scratch"] * columns, rules["scratch_most"])


def _window(layer: Layer) -> int:
    return mcu_terms.window(layer)


def _stride(layer: Layer) -> int:
    strides = layer.attributes.get("strides") or 1
    return max(strides) if isinstance(strides, list | tuple) else int(strides)


def fits(found: Mapping[str, Estimate], target: Target) -> dict[str, Any]:
    """By ``ram`` and ``flash``: bytes over the target's memory (negative: to spare)."""
    over = {}
    for name in ("ram", "flash"):
        room, need = target.figure("memory", name), found.get(name)
        if room is not None and need is not None and need.value is not None:
            over[name] = math.ceil(need.value - room.value)
    return over
