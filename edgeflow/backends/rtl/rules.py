"""What the rtl backend takes: kinds of layers, types, sizes; all problems at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from edgeflow.backends.base import Problem
from edgeflow.backends.rtl import stream_rules
from edgeflow.network import Layer, Network, Quantizer
from edgeflow.synthesis import devices
from edgeflow.targets import Target

CONVOLUTIONS: Final = ("conv1d", "conv2d", "depthwise_conv1d", "depthwise_conv2d")
FUNCTIONS: Final = (
    "sigmoid", "tanh", "softplus", "softsign", "elu", "silu", "exponential", "hard_sigmoid",
    "hard_tanh",
)  # fmt: skip
KINDS: Final = frozenset(
    """
    input dense batch_norm scale relu leaky_relu softmax identity quantize dequantize flatten
    reshape transpose pad crop upsample add sub mul average maximum minimum concat constant
    """.split()
) | {
    *CONVOLUTIONS,
    *FUNCTIONS,
    *(
        f"{where}{op}_pool{n}d"
        for where in ("", "global_")
        for op in ("max", "avg")
        for n in (1, 2)
    ),
}
"""Kinds that become logic (`layers_job.METHODS`), and the softmax that is left to the host."""

WIDEST_WEIGHT: Final = 12
"""Bits of a weight; beyond, adders no longer beat multipliers, and nothing fits."""
WIDEST_ACTIVATION: Final = 16
LARGEST: Final = 400_000
"""LUTs (predicted) that are unrolled at most: da4ml and yosys take hours beyond."""
LARGEST_AUTO: Final = 80_000
"""LUTs (predicted) up to which `style: auto` unrolls: da4ml takes minutes, yosys an hour beyond."""
PREDICTED_FACTOR: Final = 2.0
"""How far the adder graph may be from `predict`: 27,366 of 29,898 predicted for the jet tagger of 6
bits, 2,018 and 2,047 of 1,400 to 1,900 for HGQ2's digits."""
UNTRAINED_FACTOR: Final = 20.0
"""The same before retraining, whose bits and zeros are not known: of 20,673 predicted with 8 bits,
HGQ2's digits keep 1,400 to 1,900."""

REMEDIES: Final[Mapping[str, str]] = {
    "lstm": "use the hls4ml backend, or convolutions over time",
    "gru": "use the hls4ml backend, or convolutions over time",
    "simple_rnn": "use convolutions over time",
    "layer_norm": "retrain with batch normalisation",
    "embedding": "look the rows up on the host and feed them in",
    "conv2d_transpose": "use upsample and conv2d in the model",
    "conv1d_transpose": "use upsample and conv1d in the model",
    "gelu": "retrain with relu",
    "selu": "retrain with relu",
    "prelu": "retrain with leaky_relu of a power of two",
    "matmul": "use a dense layer: its weights are constants",
    "div": "multiply by the inverse",
    "resize_bilinear": "use nearest-neighbour upsampling",
}

QUANTISE: Final = "retrain with `compress: {method: qkeras}` or `{method: hgq2}`"


def problems(network: Network, target: Target, options: Mapping[str, Any]) -> list[Problem]:
    """Everything that stands in the way of unrolled logic; an empty list where nothing does."""
    found: list[Problem] = []
    if target.kind != "fpga":
        found.append(Problem(None, f"the target '{target.name}' is no FPGA", "choose an FPGA"))
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        found.append(
            Problem(
                None,
                f"expected one input and one output, found {len(network.inputs)} and "
                f"{len(network.outputs)}",
                "export one part of the model",
            )
        )
        return found
    host = host_layers(network)
    for layer in network:
        found += _layer(layer, network, host)
    if not found and style(network, target, options) == "stream":
        found += stream_rules.problems(network, target, options)
    elif not found:
        found += _size(network, target, options)
    return found


def host_layers(network: Network) -> frozenset[str]:
    """The final softmax and what only passes its values on: the host's work."""
    logits = network.logits
    if logits is None:
        return frozenset()
    names, name = [], network.outputs[0]
    while name != logits:
        names.append(name)
        name = network[name].inputs[0]
    return frozenset(names)


def style(network: Network, target: Target, options: Mapping[str, Any]) -> str:
    """The style that the options ask for; ``auto`` is stream where unrolling is out of reach."""
    given = str(options["style"])
    if given != "auto":
        return given
    if options["latency_cycles"] is not None:
        return "pipelined" if options["latency_cycles"] else "combinational"
    room = target.figure("resources", "lut")
    predicted = predict(network)["lut"]
    limit = min(LARGEST_AUTO, 0.8 * room.value) if room is not None else LARGEST_AUTO
    return "stream" if predicted > limit else "pipelined"


def shared_because(network: Network, options: Mapping[str, Any]) -> str | None:
    """Why `style: auto` took the stream style, in words; None where it was asked for."""
    if options["style"] != "auto":
        return None
    predicted = predict(network)["lut"]
    return (
        f"unrolled it would take about {predicted:,.0f} LUTs: its multipliers are shared in time "
        "(`style: stream` seeks the fastest design that fits, however long it takes to build)"
        + ("; `style: pipelined` unrolls it all the same" if predicted <= LARGEST else "")
    )


def predict(network: Network) -> dict[str, float]:
    """LUTs of the unrolled design, from shapes, bits and sparsity alone.

    Fitted to da4ml's graphs of random kernels (16 x 16 and 64 x 32, of 2 to 8 bits, dense and three
    quarters 0, data of 3 to 10 bits) within 15 %: a weight that is not 0 takes
    (0.33 + 0.1 w) a + 0.05 w² + 0.7 adder bits, and up to 1.4 times that where it has few to share
    with.
    """
    total = 0.0
    for layer in network:
        kernel = layer.weights.get("kernel")
        if kernel is None or not layer.macs:
            continue
        positions = layer.macs / max(1, kernel.size)
        if layer.kind.startswith("depthwise"):
            positions = math.prod(int(dim or 1) for dim in layer.output_shape[:-1])
        weights = kernel.size if kernel.nonzero is None else kernel.nonzero
        data = min(_activation_bits(network, layer.inputs[0]), 16.0)
        bits = min(kernel.bits, 16.0)
        each = (0.33 + 0.1 * bits) * data + 0.05 * bits**2 + 0.7
        total += positions * weights * each * (1.4 - 0.4 * weights / max(1, kernel.size))
    return {"lut": total}


def _activation_bits(network: Network, name: str) -> float:
    """Bits of what a layer reads, through layers that only move or pool values."""
    layer = network[name]
    while layer.quantizer is None and layer.inputs and layer.kind not in ("dense", *CONVOLUTIONS):
        layer = network[layer.inputs[0]]
    return layer.quantizer.bits if layer.quantizer else 12.0


def _layer(layer: Layer, network: Network, host: frozenset[str]) -> list[Problem]:
    found: list[Problem] = []

    def add(message: str, remedy: str) -> None:
        found.append(Problem(layer.name, message, remedy))

    if layer.kind not in KINDS:
        name = str(layer.attributes.get("type", layer.kind))
        add(
            f"rtl has no layer '{name}'",
            REMEDIES.get(layer.kind, "replace it in the model, or run it on the host"),
        )
        return found
    if any(dim is None for dim in layer.output_shape):
        add(
            f"expected a fixed shape, found {layer.output_shape}",
            "give the model an input of fixed size",
        )
    if layer.kind == "softmax" and layer.name not in host:
        add("a softmax inside the model", "keep softmax to the end, where the host computes it")
    for role, weight in layer.weights.items():
        if role == "kernel" and weight.bits > WIDEST_WEIGHT:
            add(f"weights of {weight.bits:g} bits; at most {WIDEST_WEIGHT}", QUANTISE)
    found += _attributes(layer)
    if layer.name not in host and not fixed_point(layer.quantizer):
        assert layer.quantizer is not None
        add(
            f"an output rounded as '{layer.quantizer.kind}', not to steps that are powers of two",
            "retrain with a fixed-point quantiser (quantized_bits, quantized_relu)",
        )
    if layer.kind in ("mul",) and len(layer.inputs) > 1:
        wide = max(_activation_bits(network, name) for name in layer.inputs)
        if wide > WIDEST_ACTIVATION:
            add(f"a product of values of {wide:g} bits", QUANTISE)
    return found


def _norm_axis(layer: Layer) -> str | None:
    axis = layer.attributes.get("axis", -1)
    axis = axis[0] if isinstance(axis, (list, tuple)) else axis
    return None if axis in (-1, len(layer.output_shape)) else f"a norm along axis {axis}"


def _interpolation(layer: Layer) -> str | None:
    how = layer.attributes.get("interpolation", "nearest")
    return None if how == "nearest" else f"interpolation '{how}'"


def _pad_mode(layer: Layer) -> str | None:
    how = layer.attributes.get("mode", "constant")
    return None if how == "constant" else f"padding by {how}"


def _padding(layer: Layer) -> str | None:
    how = layer.attributes.get("padding")
    return f"padding '{how}'" if isinstance(how, str) and how not in ("valid", "same") else None


def _channels_first(layer: Layer) -> str | None:
    first = layer.attributes.get("data_format") == "channels_first"
    return "channels first" if first else None


def _floor(layer: Layer) -> str | None:
    low = layer.attributes.get("min_value")
    return f"a clip that starts at {low:g}" if low else None


@dataclass(frozen=True)
class Rule:
    """One limit on attributes: of which kinds (empty: all), and what is wrong with a layer."""

    kinds: tuple[str, ...]
    limit: str
    found: Callable[[Layer], str | None]
    remedy: str


ATTRIBUTES: Final = (
    Rule(("batch_norm",), "norms along the last axis", _norm_axis, "move the channels last"),
    Rule(("upsample",), "nearest neighbour", _interpolation, "use 'nearest'"),
    Rule(("pad",), "padding with zeros", _pad_mode, "pad with zeros in the model"),
    Rule(("relu",), "clips that start at 0", _floor, "use relu, or hard_tanh for -1 to 1"),
    Rule((), "padding 'valid' or 'same'", _padding, "use 'valid' or 'same'"),
    Rule((), "channels last", _channels_first, "use channels last"),
)
"""Every limit on attributes, of both styles."""


def _attributes(layer: Layer) -> list[Problem]:
    return [
        Problem(layer.name, message, rule.remedy)
        for rule in ATTRIBUTES
        if (not rule.kinds or layer.kind in rule.kinds) and (message := rule.found(layer))
    ]


def fixed_point(quantizer: Quantizer | None) -> bool:
    """Whether logic rounds as the quantiser does: fixed point, or to two values."""
    if quantizer is None or quantizer.kind == "float":
        return True
    if quantizer.kind == "fixed":
        return quantizer.integer is not None and quantizer.bits <= 24
    if quantizer.kind == "affine" and quantizer.scale:
        return all(math.frexp(scale)[0] == 0.5 for scale in quantizer.scale)
    return quantizer.kind == "binary" and len(set(quantizer.scale or (1.0,))) == 1


def _size(network: Network, target: Target, options: Mapping[str, Any]) -> list[Problem]:
    predicted = predict(network)["lut"]
    room = target.figure("resources", "lut")
    kernels = [w for layer in network for role, w in layer.weights.items() if role == "kernel"]
    trained = all(kernel.quantizer is not None for kernel in kernels)
    doubt = PREDICTED_FACTOR if trained else UNTRAINED_FACTOR
    if predicted > LARGEST * (doubt / PREDICTED_FACTOR):
        most = f"at most {LARGEST:,} can be unrolled"
    elif room and options["build"] != "rtl" and predicted / doubt > room.value:
        times = predicted / max(room.value, 1)
        most = f"'{target.name}' has {room.value:,.0f} ({times:.1f} times too many)"
    else:
        return []
    heavy = max(network, key=lambda layer: layer.macs)
    needs = {"lut": predicted / doubt}
    return [
        Problem(
            None,
            f"too large to unroll: about {predicted:,.0f} LUTs of adders ('{heavy.name}' alone "
            f"does {heavy.macs:,} multiply-accumulates); {most}",
            "`style: stream` shares the adders in time; fewer bits or pruning make it smaller"
            + ("" if predicted > LARGEST else f"; or {devices.roomier(needs, target)}"),
        )
    ]
