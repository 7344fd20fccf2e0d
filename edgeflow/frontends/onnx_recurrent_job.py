"""ONNX' LSTM, GRU and RNN as layers of the Network.

ONNX goes through steps on the first axis, the batch on the second; the Network's sequences are
(batch, steps, features). `Bound.form` says how an ONNX tensor stands to its layer: ``steps``
(steps, batch, f), ``all`` (steps, directions, batch, f), ``joined`` (steps, batch, directions, f),
``end`` (directions, batch, f).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeflow.frontends.onnx_graph_job import Array, Bound, Op, Step

_GATES = {"LSTM": (0, 2, 3, 1), "GRU": (0, 1, 2), "RNN": (0,)}
"""Keras' order of gates, in ONNX' numbers (LSTM: input, output, forget, candidate)."""

_USUAL = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
_KINDS = {"LSTM": "lstm", "GRU": "gru", "RNN": "simple_rnn"}
_FUNCTIONS = {
    "Tanh": "tanh", "Sigmoid": "sigmoid", "Relu": "relu", "Softsign": "softsign",
    "Softplus": "softplus", "Elu": "elu",
}  # fmt: skip


def recurrent(op: Op) -> None:
    """One direction is one layer, both are two and a concatenation."""
    settings, why = _settings(op)
    if why is not None:
        return op.opaque(why)
    bound = op.t.bound[op.inputs[0]]
    source = bound.layer if bound.form == "steps" else None
    if source is None:
        return op.opaque(" of steps that are not a transposition of (batch, steps, features)")
    outputs = [*op.node.output, "", ""][:3]
    used = [bool(name) and op.t.uses.get(name, 0) > 0 for name in outputs]
    both = op.at.get("direction") == "bidirectional"
    if used[2] or (both and used[1]):
        return op.opaque(" whose last state is read")
    arrays = [op.constant(index) for index in (1, 2, 3)]
    if arrays[0] is None or arrays[1] is None or (_given(op, 3) and arrays[2] is None):
        return op.opaque(" with computed weights")
    whole = used[0]
    parts = []
    for way in range(2 if both else 1):
        backwards = op.at.get("direction", "forward") == "reverse" or way == 1
        suffix = ("_forward", "_backward")[way] if both else ""
        parts.append(_layer(op, source, arrays, way, backwards, whole, settings, suffix))
    if both:
        shape = op.t.draft.shape(parts[0])
        width = 2 * int(shape[-1] or 1)
        parts = [op.helper("concat", "_both", parts, (*shape[:-1], width), {"axis": -1})]
    if used[0]:
        op.t.bind(outputs[0], parts[0], form="all")
    if used[1]:
        op.t.bind(outputs[1], _last(op, parts[0]) if whole else parts[0], form="end")
    return None


def _given(op: Op, index: int) -> bool:
    return index < len(op.inputs) and bool(op.inputs[index])


def _settings(op: Op) -> tuple[dict[str, Any], str | None]:
    """The cell's attributes in Keras' words; or why there are none."""
    kind = op.node.op_type
    if op.at.get("layout") or op.at.get("clip") or op.at.get("input_forget"):
        return {}, " with layout, clip or input_forget"
    if _given(op, 7):
        return {}, " with peepholes"
    for index in (5, 6):
        state = op.constant(index)
        if _given(op, index) and (state is None or np.any(state)):
            return {}, " with a first state"
    steps = op.t.values[op.inputs[0]].shape[0]
    lengths = op.constant(4)
    if _given(op, 4) and (lengths is None or np.any(lengths != steps)):
        return {}, " with lengths"
    count = len(_USUAL[kind])
    given = [f.decode() if isinstance(f, bytes) else f for f in op.at.get("activations", [])]
    used = given or _USUAL[kind]
    if len(used) > count and used[:count] != used[count:]:
        return {}, " with other functions for each direction"
    used = used[:count]
    alphas = op.at.get("activation_alpha") or []
    if any(f not in _FUNCTIONS for f in used) or any(a != 1 for a in alphas):
        return {}, f" with {', '.join(used)}"
    if kind == "LSTM" and used[1] != used[2]:
        return {}, f" with {', '.join(used)}"
    settings: dict[str, Any] = {"activation": _FUNCTIONS[used[-1]]}
    if kind != "RNN":
        settings["recurrent_activation"] = _FUNCTIONS[used[0]]
    if kind == "GRU":
        settings["reset_after"] = bool(op.at.get("linear_before_reset", 0))
    return settings, None


def _layer(
    op: Op, source: str, arrays: list[Array | None], way: int, backwards: bool, whole: bool,
    settings: dict[str, Any], suffix: str,
) -> str:  # fmt: skip
    kind = op.node.op_type
    kernel, state = (_ordered(kind, np.asarray(a)[way].T) for a in arrays[:2])
    units, bias = state.shape[0], None
    if arrays[2] is not None:
        rows = [_ordered(kind, part[None])[0] for part in np.split(np.asarray(arrays[2])[way], 2)]
        # Only a GRU that resets after multiplying keeps the two apart.
        bias = np.stack(rows) if settings.get("reset_after") else rows[0] + rows[1]
    steps = op.t.draft.shape(source)[0]
    name = op.t.draft.add(
        _KINDS[kind], op.name + suffix, [source], (steps, units) if whole else (units,),
        {"units": units, "return_sequences": whole, "go_backwards": backwards, **settings},
        {"kernel": kernel, "recurrent_kernel": state, "bias": bias},
    )  # fmt: skip
    if whole and backwards:  # Keras gives the steps in the order in which it went
        flip = {"begin": [int(steps or 1) - 1, 0], "end": [None, units], "strides": [-1, 1]}
        name = op.helper("slice", f"{suffix}_in_order", [name], (steps, units), flip)
    return name


def _last(op: Op, layer: str) -> str:
    """The step that was computed last, of all of them."""
    steps, units = op.t.draft.shape(layer)
    at = 0 if op.at.get("direction") == "reverse" else int(steps or 1) - 1
    cut = {"begin": [at, 0], "end": [at + 1, units], "strides": [1, 1]}
    return op.helper("slice", "_last", [layer], (units,), cut)


def _ordered(kind: str, values: Array) -> Array:
    parts = np.split(values, len(_GATES[kind]), axis=-1)
    return np.concatenate([parts[i] for i in _GATES[kind]], axis=-1)


def transposed(op: Op, perm: list[int]) -> bool:
    """A Transpose to or from ONNX' order of steps; False where it is something else."""
    bound = op.t.bound[op.inputs[0]]
    form = {
        ("", (1, 0, 2)): "steps", ("steps", (1, 0, 2)): "", ("all", (0, 2, 1, 3)): "joined",
    }.get((bound.form, tuple(perm)))  # fmt: skip
    if form is None or bound.order is not None:
        return False
    layer = op.t.layer(op.inputs[0]) if bound.last else bound.layer
    op.alias(Bound(layer, form=form))
    return True


def reshaped(op: Op) -> bool:
    """A Squeeze or Reshape that drops ONNX' axis of directions; False where it does more."""
    bound = op.t.bound[op.inputs[0]]
    before, after = op.t.values[op.inputs[0]].shape, op.t.values[op.output].shape
    if bound.form in ("all", "joined") and len(after) == 3 and after[:2] == (before[0], 1):
        directions = before[1 if bound.form == "all" else 2]
        if bound.form == "joined" or directions == 1:
            op.alias(Bound(bound.layer, form="steps"))
            return True
    if bound.form == "end" and before[0] == 1 and after == before[1:]:
        op.alias(Bound(bound.layer))
        return True
    return False


RECURRENT: dict[str, Step] = {"LSTM": recurrent, "GRU": recurrent, "RNN": recurrent}
