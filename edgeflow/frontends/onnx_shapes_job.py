"""ONNX operators that move, join or reduce values: flatten, reshape, transpose, slice, mean …"""

from __future__ import annotations

import math

import numpy as np

from edgeflow.frontends.onnx_graph_job import Bound, Op, Step
from edgeflow.frontends.onnx_recurrent_job import reshaped, transposed


def _flatten(op: Op) -> None:
    axis = op.at.get("axis", 1)
    if axis not in (0, 1) and axis % op.rank != 1:
        return op.opaque(f" along axis {axis}")
    _flat(op)
    return None


def _flat(op: Op) -> None:
    source = op.source()
    if source.order is not None or op.rank == 2:
        op.alias(source)
    elif source.last:
        dims = op.t.values[op.inputs[0]].shape[1:]
        index = np.moveaxis(np.arange(math.prod(dims)).reshape(dims), 0, -1).reshape(-1)
        trivial = bool(np.all(index == np.arange(index.size)))
        op.add("flatten", [source.layer], order=None if trivial else tuple(int(i) for i in index))
    else:
        op.add("flatten", [source.layer])


def _reshape(op: Op) -> None:
    """Reshape, Squeeze and Unsqueeze, on ONNX's order of elements."""
    if reshaped(op):
        return None
    shape = op.t.shape(op.output)
    if len(shape) == 1 and op.rank > 2:
        return _flat(op)
    if shape == op.t.shape(op.inputs[0]):
        return op.alias(op.source())
    layer = op.t.layer(op.inputs[0])
    op.add("reshape", [layer], {"target_shape": list(shape)})
    return None


def _transpose(op: Op) -> None:
    perm = list(op.at.get("perm", reversed(range(op.rank))))
    if transposed(op, perm):
        return None
    source = op.source()
    rank = op.rank
    if perm == list(range(rank)):
        return op.alias(source)
    to_last, to_first = [0, *range(2, rank), 1], [0, rank - 1, *range(1, rank - 1)]
    if rank > 2 and perm == to_last and source.last:
        return op.alias(Bound(source.layer))
    if rank > 2 and perm == to_first and not source.last and source.order is None:
        return op.alias(Bound(source.layer, last=True))
    if perm[0] != 0:
        return op.opaque(" of the batch axis")
    op.add("transpose", [op.t.layer(op.inputs[0])], {"dims": perm[1:]})
    return None


def _concat(op: Op) -> None:
    live = [op.t.bound[n] for n in op.inputs if n not in op.t.constants]
    axis = int(op.at["axis"]) % op.t.rank(op.output)
    rank = op.t.rank(op.output)
    last = rank > 2 and all(bound.last for bound in live)
    layers = [op.t.layer(name, last) for name in op.inputs]
    if last:
        axis = rank - 1 if axis == 1 else axis - 1
    op.add("concat", layers, {"axis": axis - rank}, last=last)


def _slice(op: Op) -> None:
    starts = op.at.get("starts", op.constant(1))
    ends = op.at.get("ends", op.constant(2))
    if starts is None or ends is None:
        return op.opaque(" with computed bounds")
    given_axes = op.at.get("axes", op.constant(3))
    axes = range(len(starts)) if given_axes is None else given_axes
    given_steps = op.constant(4)
    steps = [1] * len(starts) if given_steps is None else given_steps
    dims = op.t.values[op.inputs[0]].shape
    begin, end, stride = [0] * len(dims), list(dims), [1] * len(dims)
    for axis, start, stop, step in zip(axes, starts, ends, steps, strict=True):
        if step < 0:
            return op.opaque(" backwards")
        begin[axis], end[axis], _ = slice(int(start), int(stop)).indices(dims[axis])
        stride[axis] = int(step)
    if begin[0] or end[0] != dims[0]:
        return op.opaque(" of the batch")
    op.add(
        "slice", [op.t.layer(op.inputs[0])],
        {"begin": begin[1:], "end": end[1:], "strides": stride[1:]},
    )  # fmt: skip
    return None


def _split(op: Op) -> None:
    """A slice for each output."""
    axis = int(op.at.get("axis", 0)) % op.rank
    if axis == 0:
        return op.opaque(" of the batch")
    layer = op.t.layer(op.inputs[0])
    dims = list(op.t.shape(op.inputs[0]))
    start = 0
    for name in op.node.output:
        shape = op.t.shape(name)
        size = int(shape[axis - 1] or 1)
        begin, end = [0] * len(dims), list(dims)
        begin[axis - 1], end[axis - 1] = start, start + size
        start += size
        settings = {"begin": begin, "end": end, "strides": [1] * len(dims)}
        part = op.t.draft.add("slice", f"{op.name}_{name}", [layer], shape, settings)
        op.t.bind(name, part)
    return None


def _gather(op: Op) -> None:
    """One element of an axis, which is dropped."""
    index = op.constant(1)
    axis = int(op.at.get("axis", 0)) % op.rank
    if index is None or np.size(index) != 1 or axis == 0 or np.ndim(index) > 1:
        return op.opaque()
    dims = [int(d or 1) for d in op.t.shape(op.inputs[0])]
    at = int(np.asarray(index).reshape(())) % dims[axis - 1]
    begin, end = [0] * len(dims), list(dims)
    begin[axis - 1], end[axis - 1] = at, at + 1
    op.add("slice", [op.t.layer(op.inputs[0])],
           {"begin": begin, "end": end, "strides": [1] * len(dims)})  # fmt: skip
    return None


def _reduce(kind: str) -> Step:
    def step(op: Op) -> None:
        axes = op.at.get("axes", op.constant(1))
        rank = op.rank
        chosen = sorted(int(a) % rank for a in (range(1, rank) if axes is None else axes))
        keep = bool(op.at.get("keepdims", 1))
        if 0 in chosen:
            return op.opaque(" over the batch")
        source = op.source()
        if source.last and chosen == list(range(2, rank)) and kind in ("mean", "max"):
            # over all positions of an image: a global pool
            name = f"global_{'avg' if kind == 'mean' else 'max'}_pool{rank - 2}d"
            op.add(name, [source.layer], {"keepdims": keep}, last=keep)
            return None
        op.add(
            kind, [op.t.layer(op.inputs[0])], {"axis": [a - rank for a in chosen], "keepdims": keep}
        )
        return None

    return step


SHAPING: dict[str, Step] = {
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _reshape,
    "Unsqueeze": _reshape,
    "Transpose": _transpose,
    "Concat": _concat,
    "Slice": _slice,
    "Split": _split,
    "Gather": _gather,
    "ReduceMean": _reduce("mean"),
    "ReduceMax": _reduce("max"),
    "ReduceSum": _reduce("sum"),
}
