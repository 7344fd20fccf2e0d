"""What the tpu backend cannot take, as a table of conditions; each finding has its remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from edgeflow.backends import roomier
from edgeflow.backends.base import Limit, Problem
from edgeflow.backends.tpu import integers
from edgeflow.backends.tpu.generations import GENERATIONS
from edgeflow.network import KINDS, Layer, Network
from edgeflow.targets import Target

SUPPORTED: Final = KINDS - {"opaque"}
"""Kinds that the graph's interpreter has (a test holds it against the interpreter's own table)."""

QUANTIZERS: Final = frozenset(["fixed", "affine", "binary", "ternary", "po2", "float"])
FLOAT: Final = "choose precision float32 or bfloat16"
FIXED: Final = "give the model's input a fixed shape: a TPU's graph has fixed shapes only"
SMALLER: Final = "use a smaller batch, precision bfloat16, or a smaller model"
_RECURRENT: Final = frozenset(["lstm", "gru", "simple_rnn"])
_PADDINGS: Final = frozenset(["valid", "same", "causal"])
_PAD_MODES: Final = frozenset(["constant", "reflect", "symmetric"])
_INTERPOLATIONS: Final = frozenset(["nearest", "bilinear"])
_CELL_FUNCTIONS: Final = frozenset(
    [
        "tanh", "sigmoid", "relu", "hard_sigmoid", "linear", "softsign", "softplus", "elu", "selu",
        "gelu", "silu", "hard_tanh", "exponential", "softmax",
    ]
)  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """One limit: of which kinds (empty: all); ``found`` gives what is wrong, and the remedy."""

    limit: str
    found: Callable[[Layer], tuple[str, str] | None]
    remedy: str
    kinds: tuple[str, ...] = ()


def _opaque(layer: Layer) -> tuple[str, str] | None:
    if layer.kind in SUPPORTED:
        return None
    name = layer.attributes.get("type", layer.kind)
    return (
        f"the operation {name} is not known",
        "replace it by standard layers, or export the part of the model before or after it",
    )


def _channels(layer: Layer) -> tuple[str, str] | None:
    if layer.attributes.get("data_format") != "channels_first":
        return None
    return "channels come first", "build the model with data_format='channels_last'"


def _padding(layer: Layer) -> tuple[str, str] | None:
    mode = layer.attributes.get("padding")
    if not isinstance(mode, str) or mode.lower() in _PADDINGS:
        return None
    return f"padding '{mode}' is not known", f"use one of {', '.join(sorted(_PADDINGS))}"


def _pad_mode(layer: Layer) -> tuple[str, str] | None:
    mode = layer.attributes.get("mode", "constant")
    if layer.kind != "pad" or mode in _PAD_MODES:
        return None
    return f"padding mode '{mode}' is not known", f"use one of {', '.join(sorted(_PAD_MODES))}"


def _interpolation(layer: Layer) -> tuple[str, str] | None:
    mode = layer.attributes.get("interpolation", "nearest")
    if layer.kind != "upsample" or mode in _INTERPOLATIONS:
        return None
    return f"interpolation '{mode}' is not known", "use nearest or bilinear"


def _cell(layer: Layer) -> tuple[str, str] | None:
    if layer.kind not in _RECURRENT:
        return None
    wanted = {layer.attributes.get(name) for name in ("activation", "recurrent_activation")}
    odd = sorted(str(name) for name in wanted - _CELL_FUNCTIONS - {None})
    if odd:
        return f"its activation {', '.join(odd)} is not known", "use tanh and sigmoid"
    if layer.attributes.get("stateful"):
        return "it keeps its state between calls", "build it with stateful=False"
    return None


def _quantizer(layer: Layer) -> tuple[str, str] | None:
    found = layer.quantizer
    if found is None or found.kind in QUANTIZERS:
        return None
    return (
        f"its output's quantiser '{found.kind}' is not known",
        f"use one of {', '.join(sorted(QUANTIZERS))}",
    )


def _words(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))


RULES: Final[tuple[Rule, ...]] = (
    Rule("an operation that is known", _opaque, "replace it by standard layers"),
    Rule("channels last", _channels, "build the model with data_format='channels_last'"),
    Rule(f"padding {_words(_PADDINGS)}", _padding, "use one of them"),
    Rule(f"mode {_words(_PAD_MODES)}", _pad_mode, "use one of them", ("pad",)),
    Rule(f"interpolation {_words(_INTERPOLATIONS)}", _interpolation, "use one", ("upsample",)),
    Rule(
        f"activations {_words(_CELL_FUNCTIONS)}; no state kept between calls", _cell,
        "use tanh and sigmoid, stateful=False", tuple(sorted(_RECURRENT)),
    ),
    Rule(f"quantisers of outputs: {_words(QUANTIZERS)}", _quantizer, "use one of them"),
)  # fmt: skip
"""Every limit on single layers."""


def limits() -> list[Limit]:
    """The kinds, `RULES` and what holds for the whole Network, for people."""
    return [
        Limit(tuple(sorted(SUPPORTED)), "taken"),
        *(Limit(rule.kinds, rule.limit, rule.remedy) for rule in RULES),
        Limit((), "fixed shapes", FIXED),
        Limit(
            tuple(sorted(integers.PRODUCTS)),
            "weights and inputs of 8 bits or fewer for products of integers; others stay in "
            "float32, and one at least must have them",
            integers.RETRAIN,
            "precision: int8",
        ),
        Limit((), "weights and activations within the chip's HBM", SMALLER),
    ]


def problems(network: Network, target: Target, options: Mapping[str, Any]) -> list[Problem]:
    """Every problem of the Network on the target, in the Network's order."""
    found = list(_target(target))
    for layer in network:
        for rule in RULES:
            if finding := rule.found(layer):
                found.append(Problem(layer.name, *finding))
    found += _shapes(network)
    found += _integers(network, options)
    found += _memory(network, target, options)
    return found


def _target(target: Target) -> Iterator[Problem]:
    generation = target.settings.get("generation")
    if target.kind != "tpu":
        yield Problem(
            None, f"the target '{target.name}' is a {target.kind}, no TPU", "choose a tpu target"
        )
    elif generation not in GENERATIONS:
        yield Problem(
            None,
            f"the target's generation is {generation!r}",
            f"set settings.generation to one of {', '.join(GENERATIONS)}",
        )


def _integers(network: Network, options: Mapping[str, Any]) -> Iterator[Problem]:
    """At int8: whether any layer computes in integers; if none does, why, layer by layer."""
    if options.get("precision") != "int8":
        return
    able, others = integers.integer_layers(network)
    if able:
        return
    if not others:
        yield Problem(None, "int8: the model has no layer with products", FLOAT)
    for name, why in others.items():
        yield Problem(name, f"int8: {why}", integers.RETRAIN)


def _shapes(network: Network) -> Iterator[Problem]:
    """Dynamic shapes: the inputs, and layers that make one out of fixed shapes."""
    for layer in network:
        fixed_inputs = all(None not in network[name].output_shape for name in layer.inputs)
        if None in layer.output_shape and fixed_inputs:
            shape = tuple("?" if dim is None else dim for dim in layer.output_shape)
            text = ", ".join(str(dim) for dim in shape)
            yield Problem(
                layer.name,
                f"the shape of {layer.kind} is dynamic: ({text})",
                FIXED,
            )


def _memory(network: Network, target: Target, options: Mapping[str, Any]) -> Iterator[Problem]:
    hbm = target.memory.get("hbm")
    if hbm is None:
        return
    batch = int(options.get("batch", 1))
    needed = weight_bytes(network, options) + activation_bytes(network) * batch
    if needed > hbm.value:
        yield Problem(
            None,
            f"weights and activations take {needed / 1e9:.1f} GB with batch {batch}, "
            f"the chip has {hbm.value / 1e9:.1f} GB: {(needed - hbm.value) / 1e9:.1f} GB too much",
            roomier.remedy(target, {"hbm": needed}, SMALLER),
        )


_MULTIPLIED: Final = frozenset(["kernel", "recurrent_kernel"])


def weight_bytes(network: Network, options: Mapping[str, Any]) -> float:
    """Bytes of the weights in the graph: kernels in the operands' format, all else float32."""
    small = {"bfloat16": 2, "int8": 1}.get(str(options.get("precision")), 4)
    return sum(
        weight.size * (small if role in _MULTIPLIED else 4)
        for layer in network
        for role, weight in layer.weights.items()
    )


def activation_bytes(network: Network) -> float:
    """Peak bytes of one input's activations, layer by layer, in float32."""
    last: dict[str, int] = {}
    for index, layer in enumerate(network):
        for name in layer.inputs:
            last[name] = index
    alive: dict[str, int] = {}
    peak = 0
    for index, layer in enumerate(network):
        alive[layer.name] = layer.output_size * 4
        peak = max(peak, sum(alive.values()))
        done = [n for n in alive if last.get(n, -1) <= index and n not in network.outputs]
        for name in done:
            del alive[name]
    return float(peak)
