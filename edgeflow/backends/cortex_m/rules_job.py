"""Whether an operator's tensors fit together, before C is written from them.

A file says each shape twice: a tensor's own, and what its operator makes of its inputs. C that
believes the one and walks by the other would read beyond its arrays, so both have to agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgeflow.backends.cortex_m.operators_job import SHAPES
from edgeflow.backends.cortex_m.tensors_job import Operator, Tensor
from edgeflow.backends.tflite import scales_job as scales
from edgeflow.frontends.tflite_file_job import Parsed

Array = np.ndarray[Any, Any]
LARGEST_TENSOR = 16 << 20
"""Bytes; more than any of these cores has of memory."""
LONGEST_AXIS = 2**15 - 1
"""Windows count in 16 bits."""
LONGEST_SOFTMAX = 4095
"""Exponentials are summed in 12 bits before the point."""
SOFTMAX_OUTPUT = (1 / 256, -128)
OPERANDS: Mapping[str, tuple[int, int]] = {
    "CONV_2D": (3, 3), "DEPTHWISE_CONV_2D": (2, 3), "FULLY_CONNECTED": (2, 3),
    **dict.fromkeys("ADD SUB MUL MAXIMUM MINIMUM MEAN PAD TRANSPOSE".split(), (2, 2)),
    "PADV2": (3, 3), "STRIDED_SLICE": (4, 4), "CONCATENATION": (1, 10_000), "RESHAPE": (1, 2),
    "EXPAND_DIMS": (2, 2),
}  # fmt: skip
"""How many inputs, least and most; one where it is not said."""


def faults(parsed: Parsed, operator: Operator) -> list[str]:
    """What does not fit together; an empty list where all does."""
    least, most = OPERANDS.get(operator.kind, (1, 1))
    if not least <= len(operator.inputs) <= most:
        return [f"it has {len(operator.inputs)} inputs, expected {least} to {most}"]
    if any(t is None for t in operator.inputs[: 3 if operator.kind == "PADV2" else 2]):
        return ["an input is missing"]
    found = [
        fault for tensor in (*operator.inputs, operator.output) for fault in tensor_faults(tensor)
    ]
    binary = operator.kind in ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM")
    if all(
        t is None or t.data is not None
        for t in (operator.inputs if binary else operator.inputs[:1])
    ):
        found.append("it computes with constants only")
    if operator.output.data is not None:
        found.append("its output is a constant")
    if found:
        return found
    return RULES.get(operator.kind, _same_size)(parsed, operator)


def tensor_faults(tensor: Tensor | None) -> list[str]:
    """What is wrong with a tensor by itself."""
    if tensor is None:
        return []
    found = []
    if any(dim < 1 for dim in tensor.shape):
        found.append(f"the shape of '{tensor.name}' is not fixed: {tensor.shape}")
    elif any(dim > LONGEST_AXIS for dim in tensor.shape) and tensor.data is None:
        found.append(f"'{tensor.name}' has an axis longer than {LONGEST_AXIS}: {tensor.shape}")
    elif tensor.bytes > LARGEST_TENSOR:
        found.append(f"'{tensor.name}' has {tensor.bytes:,} bytes, at most {LARGEST_TENSOR:,}")
    if tensor.kind == "INT8" and tensor.data is None:
        if not (math.isfinite(tensor.scale) and tensor.scale > 0):
            found.append(f"'{tensor.name}' has no scale")
        elif not -128 <= tensor.zero <= 127:
            found.append(f"the zero point of '{tensor.name}' is {tensor.zero}")
    return found


def fits(bound: float, factor: float) -> bool:
    """Whether values up to `bound` scaled by `factor` stay within 32 bits on the way."""
    if not math.isfinite(factor) or bound * factor >= 2**31 - 256:
        return False
    return bound * 2.0 ** max(scales.quantize(factor)[1], 0) < 2**31


def _same_size(_: Parsed, operator: Operator) -> list[str]:
    x, y = operator.input(), operator.output
    found = []
    if operator.kind in SHAPES and x.kind != y.kind:
        found.append(f"it makes {y.kind.lower()} of {x.kind.lower()}")
    if operator.kind == "LEAKY_RELU" and not math.isfinite(operator.options.get("alpha", 0.0)):
        found.append("its slope is no number")
    if operator.kind == "QUANTIZE" and x.kind == "INT8" and not fits(255, x.scale / y.scale):
        found.append("its scales are too far apart")
    if operator.kind == "DEQUANTIZE" and (x.kind, y.kind) != ("INT8", "FLOAT32"):
        found.append("expected int8 to come in and float32 to come out")
    if x.size != y.size:
        found.append(_shapes("it makes", x, y))
    return found


def _shapes(words: str, x: Tensor, y: Tensor) -> str:
    return f"{words} {list(y.shape)} of {list(x.shape)}"


# Windows


def window(operator: Operator, kernel: tuple[int, ...]) -> list[str]:
    """A window of `kernel` (rows, columns) over images."""
    x, y, options = operator.input(), operator.output, operator.options
    if len(x.shape) != 3 or len(y.shape) != 3:
        return [f"expected images (rows, columns, channels), found {x.shape} and {y.shape}"]
    steps = [int(options.get(f"stride{word}", 1)) for word in "HW"]
    gaps = [int(options.get(f"dilation{word}Factor", 1)) for word in "HW"]
    if min(*steps, *gaps, *kernel) < 1 or max(*steps, *gaps, *kernel) > LONGEST_AXIS:
        return [f"a window of {kernel}, {steps} apart, {gaps} wide"]
    if options.get("padding", 0) not in (0, 1):
        return [f"padding number {options.get('padding')}"]
    for axis in (0, 1):
        inside, step = x.shape[axis], steps[axis]
        reach = (kernel[axis] - 1) * gaps[axis] + 1
        same = options.get("padding", 0) == 0
        wanted = -(-inside // step) if same else (inside - reach) // step + 1
        if y.shape[axis] != wanted or wanted < 1:
            return [f"{_shapes('its windows make', x, y)}, expected {wanted} on axis {axis}"]
        if (wanted - 1) * step + reach > LONGEST_AXIS:
            return [f"its windows reach over more than {LONGEST_AXIS} places"]
    return []


def _convolution(parsed: Parsed, operator: Operator) -> list[str]:
    x, kernel, y = operator.input(), operator.input(1), operator.output
    if len(kernel.shape) != 4:
        return [f"filters of shape {list(kernel.shape)}"]
    found = window(operator, kernel.shape[1:3])
    if found:
        return found
    if operator.kind == "CONV_2D":
        count, axis = kernel.shape[0], 0
        if kernel.shape[3] != x.shape[2]:
            found.append(f"groups: filters of {kernel.shape[3]} channels over {x.shape[2]}")
    else:
        count, axis = kernel.shape[3], 3
        if kernel.shape[0] != 1 or count % x.shape[2]:
            found.append(f"{count} filters for {x.shape[2]} channels")
        steps = [int(operator.options.get(f"stride{word}", 1)) for word in "HW"]
        gaps = [int(operator.options.get(f"dilation{word}Factor", 1)) for word in "HW"]
        plane = math.prod(
            (y.shape[i] - 1) * steps[i] + (kernel.shape[1 + i] - 1) * gaps[i] + 4 for i in (0, 1)
        )
        if 2 * plane > LARGEST_TENSOR:
            found.append(f"its windows reach over {plane:,} places")
    if y.shape[2] != count:
        found.append(f"{count} filters make {y.shape[2]} channels")
    return found or _weights(parsed, operator, count, axis)


def _dense(parsed: Parsed, operator: Operator) -> list[str]:
    x, kernel, y = operator.input(), operator.input(1), operator.output
    if len(kernel.shape) != 2:
        return [f"weights of shape {list(kernel.shape)}"]
    outputs, inputs = kernel.shape
    if operator.options.get("weightsFormat", 0) != 0:
        return ["its weights are shuffled"]
    if x.size % inputs or y.size != x.size // inputs * outputs:
        return [f"{_shapes('it makes', x, y)} with weights of {list(kernel.shape)}"]
    return _weights(parsed, operator, outputs, 0)


def _weights(parsed: Parsed, operator: Operator, count: int, axis: int) -> list[str]:
    """Scales and biases of `count` filters along `axis`, and whether sums fit 32 bits."""
    x, kernel, y = operator.input(), operator.input(1), operator.output
    steps, zeros, along = parsed._scales(kernel.index)
    if steps is None or kernel.data is None or kernel.kind != "INT8":
        return ["its weights are not constant int8"]
    if np.any(zeros != 0) or not np.all(np.isfinite(steps) & (steps > 0)):
        return ["its weights have a zero point or a scale that is no number above 0"]
    if steps.size not in (1, count) or (steps.size > 1 and along != axis):
        return [f"{steps.size} scales along axis {along} for {count} filters"]
    if operator.kind == "FULLY_CONNECTED" and steps.size > 1:
        return ["a dense layer with a scale for each output (convert with one per tensor)"]
    bias = operator.inputs[2] if len(operator.inputs) > 2 else None
    if bias is not None and (bias.data is None or bias.kind != "INT32" or bias.size != count):
        return [f"its bias is not {count} constants of int32"]
    rows = np.moveaxis(kernel.data.astype(np.int64), axis, 0).reshape(count, -1)
    given = np.zeros(count, np.int64) if bias is None or bias.data is None else bias.data.ravel()
    bounds = largest_sums(rows, given.astype(np.int64), x.zero)
    factors = np.broadcast_to(x.scale * steps / y.scale, (count,))
    if bounds.max() >= 2**31:
        return ["its sums may not fit 32 bits"]
    if not all(fits(float(b), float(f)) for b, f in zip(bounds, factors, strict=True)):
        return ["its scales are too far apart"]
    return []


def largest_sums(rows: Array, bias: Array, zero: int) -> Array:
    """By filter (a row of int64), the largest absolute value that sums may have on the way,
    with the input's zero point taken from the inputs, or folded into the bias."""
    whole = np.abs(rows).sum(axis=1)
    folded = bias - zero * rows.sum(axis=1)
    found: Array = np.maximum(
        whole * max(128 + zero, 127 - zero) + np.abs(bias), whole * 128 + np.abs(folded)
    )
    return found


def _pool(_: Parsed, operator: Operator) -> list[str]:
    size = tuple(int(operator.options.get(f"filter{word}", 0)) for word in ("Height", "Width"))
    found = window(operator, size)
    if not found and operator.input().shape[2] != operator.output.shape[2]:
        found.append(_shapes("it makes", operator.input(), operator.output))
    return found + _same_scale(operator)


# Element by element


def _same_scale(operator: Operator) -> list[str]:
    y = operator.output
    wrong = [
        t.name
        for t in operator.inputs
        if t is not None and t.kind == "INT8" and (t.scale, t.zero) != (y.scale, y.zero)
    ]
    return [f"another scale than its output's: {', '.join(wrong)}"] if wrong else []


def trailing(tensor: Tensor) -> tuple[int, ...]:
    """Its shape without 1s in front."""
    shape = tensor.shape
    while shape[:1] == (1,):
        shape = shape[1:]
    return shape


def _binary(_: Parsed, operator: Operator) -> list[str]:
    a, b, y = operator.input(0), operator.input(1), operator.output
    whole = trailing(y)
    shapes = [trailing(t) for t in (a, b)]
    found = [f"'{t.name}' is {t.kind.lower()}, expected int8" for t in (a, b) if t.kind != "INT8"]
    if whole not in shapes or any(s != whole[len(whole) - len(s) :] for s in shapes):
        found.append(f"operands of shapes {list(a.shape)} and {list(b.shape)} make {list(y.shape)}")
    for tensor in (a, b):
        if not (math.isfinite(tensor.scale) and tensor.scale > 0 and -128 <= tensor.zero <= 127):
            found.append(f"'{tensor.name}' has no scale")
    if found:
        return found
    if operator.kind in ("MAXIMUM", "MINIMUM"):
        return _same_scale(operator)
    product = operator.kind == "MUL"
    factor = a.scale * b.scale / y.scale if product else 2 * max(a.scale, b.scale) / 2**20 / y.scale
    return [] if fits(255**2 if product else 2**29, factor) else ["its scales are too far apart"]


def _mean(parsed: Parsed, operator: Operator) -> list[str]:
    given = operator.input(1).data
    if given is None or given.dtype.kind != "i":
        return ["its axes are not constant"]
    rank = len(parsed.shape(operator.input().index))
    axes = sorted({int(a) % rank for a in np.atleast_1d(given).ravel() if -rank <= a < rank})
    if axes != list(range(1, rank - 1)) or rank < 3:
        return [f"a mean over axes {axes}, expected all but the first and the last"]
    x, y = operator.input(), operator.output
    if y.size != x.shape[-1] or len(x.shape) != rank - 1:
        return [_shapes("it makes", x, y)]
    count = x.size // y.size
    return [] if fits(255 * count, x.scale / y.scale) else ["its scales are too far apart"]


def _softmax(parsed: Parsed, operator: Operator) -> list[str]:
    x, y = operator.input(), operator.output
    beta = float(operator.options.get("beta", 1.0))
    found = _same_size(parsed, operator)
    if (y.scale, y.zero) != SOFTMAX_OUTPUT:
        found.append("its output's scale is not 1/256, or its zero point not -128")
    if not x.shape or x.shape[-1] > LONGEST_SOFTMAX:
        found.append(f"rows longer than {LONGEST_SOFTMAX}")
    if not (math.isfinite(beta) and beta * x.scale * 2**26 > 1):
        found.append(f"a scale of {x.scale:g} with beta {beta:g}")
    return found


# Moves


def _pad(parsed: Parsed, operator: Operator) -> list[str]:
    amounts = operator.input(1).data
    before, after = (parsed.shape(t.index) for t in (operator.input(), operator.output))
    if amounts is None or amounts.dtype.kind != "i" or amounts.shape != (len(before), 2):
        return ["its amounts are not constant, two for each axis"]
    found = _same_scale(
        Operator("PAD", operator.name, operator.inputs[:1], operator.output)
    )  # fmt: skip
    wanted = tuple(d + int(a) + int(b) for d, (a, b) in zip(before, amounts, strict=True))
    if amounts.min() < 0 or amounts.max() > LONGEST_AXIS or wanted != after or amounts[0].any():
        found.append(f"it makes {list(after)} of {list(before)}, padded by {amounts.tolist()}")
    if operator.kind == "PADV2":
        value = operator.input(2)
        if value.data is None or value.kind != "INT8" or value.size != 1:
            found.append("what it pads with is no constant of int8")
    return found


def _transpose(parsed: Parsed, operator: Operator) -> list[str]:
    order = operator.input(1).data
    before, after = (parsed.shape(t.index) for t in (operator.input(), operator.output))
    if order is None or order.dtype.kind != "i":
        return ["its order is not constant"]
    axes = [int(a) for a in order.ravel()]
    if sorted(axes) != list(range(len(before))) or after != tuple(before[a] for a in axes):
        return [f"it makes {list(after)} of {list(before)} by the order {axes}"]
    return []


def _concatenation(parsed: Parsed, operator: Operator) -> list[str]:
    found = _same_scale(operator)
    if any(t is None or t.data is not None for t in operator.inputs):
        return [*found, "a constant operand"]
    if operator.options["activation"] != "NONE":
        found.append("a fused activation")
    whole = parsed.shape(operator.output.index)
    shapes = [parsed.shape(t.index) for t in operator.inputs if t is not None]
    axis = int(operator.options.get("axis", -1))
    if not -len(whole) <= axis < len(whole) or any(len(s) != len(whole) for s in shapes):
        return [*found, f"shapes {shapes} along axis {axis}"]
    others = {tuple(d for i, d in enumerate(s) if i != axis % len(whole)) for s in (*shapes, whole)}
    if len(others) != 1 or sum(s[axis] for s in shapes) != whole[axis]:
        found.append(f"{shapes} along axis {axis} make {list(whole)}")
    return found


def slices(parsed: Parsed, operator: Operator) -> list[slice] | None:
    """What a STRIDED_SLICE takes of each axis; None where that is not constant or not clear."""
    begins, ends, steps = (operator.input(i).data for i in (1, 2, 3))
    shape = parsed.shape(operator.input().index)
    if begins is None or ends is None or steps is None:
        return None
    if any(a.shape != (len(shape),) or a.dtype.kind != "i" for a in (begins, ends, steps)):
        return None
    if operator.options.get("ellipsisMask", 0) or operator.options.get("newAxisMask", 0):
        return None
    if operator.options.get("offset", False):
        return None
    found = []
    for axis, (begin, end, step, dim) in enumerate(zip(begins, ends, steps, shape, strict=True)):
        low = None if operator.options.get("beginMask", 0) >> axis & 1 else int(begin)
        high = None if operator.options.get("endMask", 0) >> axis & 1 else int(end)
        if operator.options.get("shrinkAxisMask", 0) >> axis & 1:
            if not -dim <= int(begin) < dim:
                return None
            low, high = int(begin) % dim, int(begin) % dim + 1
        if int(step) < 1:
            return None
        found.append(slice(*slice(low, high, int(step)).indices(dim)))
    return found


def _strided_slice(parsed: Parsed, operator: Operator) -> list[str]:
    taken = slices(parsed, operator)
    if taken is None:
        return ["what it takes is not constant, or steps back, or adds axes"]
    sizes = [len(range(s.start, s.stop, s.step)) for s in taken]
    x, y = operator.input(), operator.output
    found = _same_scale(Operator("", "", operator.inputs[:1], y))
    return found if math.prod(sizes) == y.size else [*found, _shapes("it makes", x, y)]


RULES: Mapping[str, Callable[[Parsed, Operator], list[str]]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _convolution,
    "FULLY_CONNECTED": _dense,
    "AVERAGE_POOL_2D": _pool,
    "MAX_POOL_2D": _pool,
    **dict.fromkeys(("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM"), _binary),
    "MEAN": _mean,
    "SOFTMAX": _softmax,
    "PAD": _pad,
    "PADV2": _pad,
    "TRANSPOSE": _transpose,
    "CONCATENATION": _concatenation,
    "STRIDED_SLICE": _strided_slice,
}
