"""The calls of a Keras model (of Keras 2 or 3) in order, and the Network that they make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgeflow.errors import ModelError
from edgeflow.frontends.folder_job import Arrays, Draft
from edgeflow.frontends.keras_context_job import Context
from edgeflow.frontends.keras_layers_job import translate
from edgeflow.frontends.keras_scan_job import LEGACY
from edgeflow.network import Network


@dataclass(frozen=True)
class Call:
    """One call of one layer in a (flattened) model: tensors are known by their ids."""

    layer: Any
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    shape: tuple[int | None, ...]
    many: bool  # the layer takes a list


def calls(model: Any) -> Iterator[Call]:
    """The calls of a functional model in order, those of models inside it in their place.

    Tensors of an inner model get the ids of the outer ones that they stand for.
    """
    yield from _calls(getattr(model, "_functional", None) or model, {})


def _calls(model: Any, alias: dict[int, int]) -> Iterator[Call]:
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            layer = getattr(node, "operation", None) or getattr(node, "layer", None)
            outputs = flat(node.outputs)
            if node.is_input:
                if id(outputs[0]) not in alias:
                    yield Call(layer, (), (id(outputs[0]),), tuple(outputs[0].shape)[1:], False)
                continue
            sources = flat(getattr(node, "keras_inputs", None) or node.input_tensors)
            inputs = tuple(alias.get(id(t), id(t)) for t in sources)
            inner = _inner(layer)
            if inner is not None:
                local = {
                    id(t): source for t, source in zip(flat(inner.inputs), inputs, strict=True)
                }
                yield from _calls(inner, local)
                for mine, theirs in zip(outputs, flat(inner.outputs), strict=True):
                    alias[id(mine)] = local.get(id(theirs), id(theirs))
                continue
            yield Call(
                layer,
                inputs,
                tuple(id(t) for t in outputs),
                tuple(outputs[0].shape)[1:],
                _takes_list(node),
            )


def _inner(layer: Any) -> Any:
    functional = getattr(layer, "_functional", None)
    if functional is not None:
        return functional
    return layer if hasattr(layer, "_nodes_by_depth") else None


def _takes_list(node: Any) -> bool:
    arguments = getattr(node, "arguments", None)
    args = arguments.args if arguments is not None else node.call_args
    return bool(args) and isinstance(args[0], list | tuple)


def flat(value: Any) -> list[Any]:
    """The items of lists within lists."""
    if isinstance(value, list | tuple):
        return [item for part in value for item in flat(part)]
    return [value]


def to_network(model: Any, source: Mapping[str, Any]) -> tuple[Network, Arrays]:
    """The Network of a Keras model, and the weights that it computes with."""
    draft = Draft()
    names: dict[int, str] = {}
    for call, _ in translated(model, draft, names, str(source["format"]) in LEGACY):
        del call
    outputs = [names[key] for key in _output_ids(model)]
    return draft.finish(str(model.name), outputs, source)


def translated(
    model: Any, draft: Draft, names: dict[int, str], legacy: bool
) -> Iterator[tuple[Call, Context]]:
    """Add the model to the draft, call by call; `names` gets the layer that has each tensor."""
    for call in calls(model):
        context = Context(draft, call.layer, [names[i] for i in call.inputs], call.shape, legacy)
        if not call.inputs:
            names[call.outputs[0]] = context.add("input")
        else:
            if len(call.outputs) > 1:
                raise ModelError(
                    f"layer '{context.name}' has {len(call.outputs)} outputs; expected one"
                )
            names[call.outputs[0]] = translate(context)
        yield call, context


def _output_ids(model: Any) -> list[int]:
    functional = getattr(model, "_functional", None) or model
    alias: dict[int, int] = {}
    for _ in _calls(functional, alias):
        pass
    return [alias.get(id(t), id(t)) for t in flat(functional.outputs)]
