"""Everything that stands in the way of a network, by the tables of `kinds` and `compilers`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from edgeflow.backends.base import Limit, Problem
from edgeflow.backends.hls4ml import fifos, reuse
from edgeflow.backends.hls4ml.compilers import (
    AC_TYPES,
    COMPILERS,
    DISTRIBUTED,
    INTELS,
    UNROLLED,
)
from edgeflow.backends.hls4ml.kinds import BOTH, INTERFACES, REMEDIES, RULES
from edgeflow.network import Layer, Network


def limits() -> list[Limit]:
    """`INTERFACES`, `REMEDIES`, `RULES` and what single compilers lack, for people."""
    grouped: dict[tuple[str, ...], list[str]] = {}
    for kind, interfaces in INTERFACES.items():
        grouped.setdefault(interfaces, []).append(kind)
    found = [Limit((), "one input and one output", "export one part of the model for each")]
    found += [
        Limit(tuple(kinds), "taken", "", "" if io == BOTH else f"io: {' or '.join(io)}")
        for io, kinds in grouped.items()
    ]
    found += [Limit((kind,), "not taken", remedy) for kind, remedy in REMEDIES.items()]
    found += [
        Limit(
            () if rule.kinds == tuple(INTERFACES) else rule.kinds, rule.limit, rule.remedy,
            "" if rule.interfaces == BOTH else f"io: {' or '.join(rule.interfaces)}",
        )
        for rule in RULES
    ]  # fmt: skip
    for compiler in COMPILERS.values():
        lacking = tuple(kind for kind in INTERFACES if compiler.lacks(kind))
        if lacking:
            found.append(
                Limit(
                    lacking, "missing, or it computes something else",
                    "compiler: vitis or vivado, or another layer", f"compiler: {compiler.name}",
                )
            )  # fmt: skip
    return found


def problems(network: Network, options: Mapping[str, Any]) -> list[Problem]:
    """Everything that stands in the way of this network, with these options."""
    io = reuse.interface(network, options)
    found = [*_ends(network), *_layer_names(network, options)]
    compiler = COMPILERS[options["compiler"]]
    for layer in network:
        interfaces = INTERFACES.get(layer.kind)
        if interfaces is None:
            found.append(_unknown(layer))
            continue
        if io not in interfaces:
            found.append(
                Problem(
                    layer.name, f"'{layer.kind}' is not there with io: {io}", f"io: {interfaces[0]}"
                )
            )  # fmt: skip
        if compiler.lacks(layer.kind) or (
            compiler.name == "catapult" and io == "stream" and layer.kind.startswith("avg_pool")
        ):
            found.append(
                Problem(
                    layer.name,
                    f"hls4ml's '{layer.kind}' for {compiler.tool} is missing or computes something "
                    "else", "compiler: vitis or vivado, or another layer",
                )
            )  # fmt: skip
        if compiler.name in AC_TYPES and reuse.by_element(layer):
            found.append(
                Problem(
                    layer.name, f"{compiler.tool} takes one type per tensor, found bits that "
                    "differ from element to element", "compiler: vitis or vivado",
                )
            )  # fmt: skip
        if compiler.name in INTELS and layer.kind == "softmax" and len(layer.output_shape) != 1:
            found.append(
                Problem(
                    layer.name, f"{compiler.tool} takes a softmax of one axis, found "
                    f"{layer.output_shape}", "compiler: vitis or vivado",
                )
            )  # fmt: skip
        if any(dim is None for dim in layer.output_shape):
            found.append(
                Problem(
                    layer.name, f"expected a fixed shape, found {layer.output_shape}",
                    "give the model an input of fixed size",
                )
            )  # fmt: skip
            continue
        for rule in RULES:
            if (
                io in rule.interfaces
                and layer.kind in rule.kinds
                and (what := rule.found(layer, network))
            ):
                where = "" if rule.interfaces == BOTH else f" with io: {io}"
                found.append(
                    Problem(
                        layer.name, f"hls4ml takes {rule.limit}{where}, found {what}", rule.remedy
                    )
                )  # fmt: skip
    return [
        *found,
        *_strategies(network, options, io),
        *_fifos(options, io),
        *_limits(network, options, io),
    ]


def _ends(network: Network) -> list[Problem]:
    """More than one input or output: a project has one stream in and one out, as its test bench
    and the golden vectors do."""
    counts = len(network.inputs), len(network.outputs)
    if counts == (1, 1):
        return []
    names = ", ".join((*network.inputs, *network.outputs))
    return [
        Problem(
            None, f"expected one input and one output, found {counts[0]} and {counts[1]} ({names})",
            "export one part of the model for each, keras.Model(INPUT, OUTPUT).save(FILE), and "
            "compile them one by one; or join inputs (and outputs) along the last axis",
        )
    ]  # fmt: skip


def _unknown(layer: Layer) -> Problem:
    kind = str(layer.attributes.get("type", layer.kind)) if layer.kind == "opaque" else layer.kind
    remedy = REMEDIES.get(kind, "replace it in the model, or run it on the host")
    return Problem(layer.name, f"hls4ml has no layer '{kind}'", remedy)


def _layer_names(network: Network, options: Mapping[str, Any]) -> list[Problem]:
    import difflib

    names = [layer.name for layer in network]
    found = []
    for name in options["layers"]:
        if name not in network.by_name:
            near = difflib.get_close_matches(name, names, 1, 0)
            hint = f"did you mean '{near[0]}'?" if near else "remove it"
            found.append(Problem(None, f"options name a layer '{name}', which is not there", hint))
        elif network[name].kind not in reuse.ARRAYS:
            own = options["layers"][name]
            wrong = [key for key in ("strategy", "reuse_factor") if own.get(key)]
            if wrong:
                found.append(
                    Problem(
                        name, f"a layer of kind '{network[name].kind}' has no {' or '.join(wrong)}",
                        f"give it to {', '.join(reuse.ARRAYS)} alone",
                    )
                )  # fmt: skip
    return found


def _strategies(network: Network, options: Mapping[str, Any], io: str) -> list[Problem]:
    """Strategies that the compiler, the layer or the interface does not have."""
    compiler = COMPILERS[options["compiler"]]
    words = ", ".join(compiler.strategies)
    found = []
    if options["strategy"] not in ("auto", *compiler.strategies):
        found.append(
            Problem(
                None,
                f"the compiler {compiler.name} has no strategy '{options['strategy']}'",
                f"strategy: {words} or auto",
            )
        )
    for name, own in options["layers"].items():
        strategy, layer = own.get("strategy"), network.by_name.get(name)
        if layer is None or strategy in (None, "auto"):
            continue
        if strategy not in compiler.strategies:
            message = f"the compiler {compiler.name} has no strategy '{strategy}'"
            found.append(Problem(name, message, f"strategy: {words} or auto"))
        elif strategy == DISTRIBUTED and layer.kind not in reuse.DISTRIBUTABLE:
            found.append(
                Problem(
                    name, f"distributed arithmetic is not there for '{layer.kind}'",
                    "strategy: latency",
                )
            )  # fmt: skip
        elif strategy == DISTRIBUTED and (own.get("reuse_factor") or "auto") not in ("auto", 1):
            found.append(
                Problem(
                    name, f"distributed arithmetic shares nothing, found a reuse factor of "
                    f"{own['reuse_factor']}", "remove reuse_factor, or strategy: resource",
                )
            )  # fmt: skip
    for name, choice in reuse.choices(network, options).items():
        if (
            choice.strategy == UNROLLED
            and io == "parallel"
            and network[name].kind in ("conv1d", "conv2d")
        ):
            found.append(
                Problem(
                    name, "a convolution has resource_unrolled with io: stream alone",
                    "io: stream, or strategy: resource",
                )
            )  # fmt: skip
    return found


def _fifos(options: Mapping[str, Any], io: str) -> list[Problem]:
    """Depths of FIFOs that are not there."""
    given = [name for name, own in options["layers"].items() if own.get("fifo_depth")]
    if io == "stream" and options["fifo_depth"] == "optimize":
        return _unscheduled(options)
    if io == "stream" or not (given or options["fifo_depth"]):
        return []
    return [
        Problem(
            given[0] if given else None, "fifo_depth is for io: stream; io: parallel has no FIFOs",
            "io: stream, or remove fifo_depth",
        )
    ]  # fmt: skip


def _unscheduled(options: Mapping[str, Any]) -> list[Problem]:
    """A compiler whose streams are its own."""
    compiler = COMPILERS[options["compiler"]]
    if compiler.name in fifos.SCHEDULED:
        return []
    return [
        Problem(
            None, f"fifo_depth: optimize is for {', '.join(fifos.SCHEDULED)}, found "
            f"{compiler.name}", "give a number, or none for a whole tensor",
        )
    ]  # fmt: skip


def _limits(network: Network, options: Mapping[str, Any], io: str) -> list[Problem]:
    """Sizes that the vendor's tools cannot unroll."""
    found = []
    for name, choice in reuse.choices(network, options).items():
        layer = network[name]
        multipliers = math.ceil(math.prod(reuse.products(layer)) / choice.reuse_factor)
        if multipliers > reuse.UNROLL_LIMIT:
            least = reuse.least(layer)
            found.append(
                Problem(
                    name,
                    f"{multipliers} multipliers side by side; the tools unroll at most "
                    f"{reuse.UNROLL_LIMIT}",
                    f"strategy: resource, reuse_factor: {least} (or auto)",
                )
            )
    if io == "parallel":
        found += [
            Problem(
                layer.name,
                f"a tensor of {layer.output_size} elements in registers; the tools take at most "
                f"{reuse.UNROLL_LIMIT}",
                "io: stream",
            )
            for layer in network
            if layer.kind not in ("input", "flatten", "reshape")
            and layer.output_size > reuse.UNROLL_LIMIT
        ]
    return found
