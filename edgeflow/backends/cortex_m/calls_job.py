"""Each operator as C: constants, and the call of its kernel."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeflow.backends.cortex_m import tables_job
from edgeflow.backends.cortex_m.operators_job import SHAPES
from edgeflow.backends.cortex_m.rules_job import largest_sums, slices
from edgeflow.backends.cortex_m.tensors_job import Operator, Tensor
from edgeflow.backends.tflite import scales_job as scales
from edgeflow.frontends.tflite_file_job import Parsed

Array = np.ndarray[Any, Any]
LARGEST_FAST = 2**30
"""Sums below this may be doubled in 32 bits."""
MOST_AXES = 5
SLOW = 64
"""As EF_SLOW in ef_nn.h."""
LONGEST_SHIFT = 22
"""Places to the right by which a zero point of 8 bits still fits 32 when shifted left."""


@dataclass(frozen=True)
class Call:
    """An operator's C: ``constants`` (definitions), ``text`` (the call, with ``{in0}``, ``{in1}``,
    ``{out}`` and ``{scratch}`` for addresses), bytes of ``scratch`` with and without the DSP
    extension, the ``kernel`` called (empty where nothing is computed)."""

    operator: Operator
    kernel: str
    text: str
    constants: tuple[str, ...] = ()
    scratch: tuple[int, int] = (0, 0)
    weight_bytes: int = 0


class Caller:
    """Makes the calls; `Caller.call` is by operator."""

    def __init__(self, parsed: Parsed) -> None:
        self.parsed = parsed

    def call(self, number: int, operator: Operator) -> Call:
        """The C of operator `number`."""
        if operator.kind in SHAPES:
            return Call(operator, "", "")
        made: Call = getattr(self, f"_{operator.kind.lower()}")(f"op{number}", operator)
        return made

    # Layers with weights

    def _conv_2d(self, at: str, operator: Operator) -> Call:
        kernel = operator.input(1)
        assert kernel.data is not None
        rows = kernel.data.reshape(kernel.shape[0], -1)
        packed, depth = pack(rows)
        channels = self._channels(operator, rows, "conv")
        text = (
            f"ef_conv(&{at}_window, &{at}_range, {at}_weights, {at}_channels, {{in0}}, {{out}}, "
            "{scratch});"
        )
        constants = (
            self._window(at, operator, kernel.shape[1:3]),
            self._range(at, operator),
            int8(f"{at}_weights", packed),
            channels_of(at, channels),
        )
        return Call(
            operator, "ef_conv", text, constants, (6 * depth, 3 * depth),
            packed.size + 16 * len(channels),
        )  # fmt: skip

    def _fully_connected(self, at: str, operator: Operator) -> Call:
        kernel = operator.input(1)
        assert kernel.data is not None
        outputs, inputs = kernel.shape
        packed, depth = pack(kernel.data)
        channels = self._channels(operator, kernel.data, "dense")
        text = (
            f"ef_dense({operator.output.size // outputs}, {inputs}, {outputs}, &{at}_range, "
            f"{at}_weights, {at}_channels, {{in0}}, {{out}}, {{scratch}});"
        )
        constants = (
            self._range(at, operator),
            int8(f"{at}_weights", packed),
            channels_of(at, channels),
        )
        return Call(
            operator, "ef_dense", text, constants, (4 * depth, 2 * depth),
            packed.size + 16 * len(channels),
        )  # fmt: skip

    def _depthwise_conv_2d(self, at: str, operator: Operator) -> Call:
        kernel, source = operator.input(1), operator.input()
        assert kernel.data is not None
        many = kernel.shape[3] // source.shape[2]
        rows = np.ascontiguousarray(kernel.data.reshape(-1, kernel.shape[3]).T)
        channels = self._channels(operator, rows, "conv")
        text = (
            f"ef_depthwise(&{at}_window, &{at}_range, {many}, {at}_weights, {at}_channels, "
            "{in0}, {out}, {scratch});"
        )
        height, width, steps, gaps, _ = self._geometry(operator, kernel.shape[1:3])
        reach = [
            (size - 1) * step + (window - 1) * gap + 1
            for size, step, window, gap in zip(
                operator.output.shape, steps, (height, width), gaps, strict=False
            )
        ]
        # A column is a row in memory, where taps lie side by side.
        turned = source.shape[1] == 1 and width == 1
        if turned:
            reach.reverse()
        plane = 2 * reach[0] * ((reach[1] + 1) // 2 * 2 + 2)
        constants = (
            self._window(at, operator, kernel.shape[1:3], turned=turned),
            self._range(at, operator),
            int8(f"{at}_weights", rows),
            channels_of(at, channels),
        )
        return Call(
            operator, "ef_depthwise", text, constants, (plane, plane),
            rows.size + 16 * len(channels),
        )  # fmt: skip

    def _channels(
        self, operator: Operator, rows: Array, kind: str
    ) -> list[tuple[int, int, int, int]]:
        """Bias, multiplier, addend, shift by output channel: the fast form where it is exact."""
        x, kernel, y = operator.input(), operator.input(1), operator.output
        steps, _, _ = self.parsed._scales(kernel.index)
        assert steps is not None
        steps = np.broadcast_to(steps, (len(rows),))
        if kind == "dense":
            factors = [scales.of_dense(x.scale, float(steps[0]), y.scale)] * len(rows)
        else:
            factors = scales.of_convolution(x.scale, steps, y.scale)
        given = operator.inputs[2] if len(operator.inputs) > 2 else None
        wide = rows.astype(np.int64)
        bias = np.zeros(len(rows), np.int64)
        if given is not None and given.data is not None:
            bias = given.data.astype(np.int64)
        folded = bias - x.zero * wide.sum(axis=1)
        most = largest_sums(wide, bias, x.zero)
        found = []
        for value, bound, (multiplier, shift) in zip(wrap(folded), most, factors, strict=True):
            if bound < LARGEST_FAST and -LONGEST_SHIFT <= shift <= -1:
                addend = (1 << (-shift - 1)) + (y.zero << -shift)
                found.append((value, multiplier, addend, -shift))
            else:
                found.append((value, multiplier, y.zero, shift + SLOW))
        return found

    def _range(self, at: str, operator: Operator) -> str:
        y = operator.output
        low, high = scales.clamped(operator.options["activation"], y.scale, y.zero)
        numbers = braces((operator.input().zero, low, high))
        return f"static const ef_range {at}_range = {numbers};"

    def _geometry(
        self, operator: Operator, window: Sequence[int]
    ) -> tuple[int, int, list[int], list[int], list[int]]:
        options = operator.options
        steps = [int(options.get("strideH", 1)), int(options.get("strideW", 1))]
        gaps = [int(options.get("dilationHFactor", 1)), int(options.get("dilationWFactor", 1))]
        before = [0, 0]
        if int(options.get("padding", 0)) == 0:  # SAME
            for axis in (0, 1):
                inside, out = operator.input().shape[axis], operator.output.shape[axis]
                reach = (int(window[axis]) - 1) * gaps[axis] + 1
                before[axis] = max((out - 1) * steps[axis] + reach - inside, 0) // 2
        return int(window[0]), int(window[1]), steps, gaps, before

    def _window(
        self, at: str, operator: Operator, window: Sequence[int], *, turned: bool = False
    ) -> str:
        height, width, steps, gaps, before = self._geometry(operator, window)
        order = (1, 0, 2) if turned else (0, 1, 2)
        shapes = [
            braces(shape[axis] for axis in order)
            for shape in (operator.input().shape, operator.output.shape)
        ]
        pairs = ((height, width), steps, gaps, before)
        numbers = [pair[axis] for pair in pairs for axis in order[:2]]
        return (
            f"static const ef_window {at}_window = {{{shapes[0]}, {shapes[1]}, "
            f"{', '.join(str(n) for n in numbers)}}};"
        )

    # Pools, softmax

    def _pool(self, at: str, operator: Operator, name: str) -> Call:
        size = (operator.options["filterHeight"], operator.options["filterWidth"])
        return Call(
            operator, name, f"{name}(&{at}_window, &{at}_range, {{in0}}, {{out}});",
            (self._window(at, operator, size), self._range(at, operator)),
        )  # fmt: skip

    def _average_pool_2d(self, at: str, operator: Operator) -> Call:
        return self._pool(at, operator, "ef_average_pool")

    def _max_pool_2d(self, at: str, operator: Operator) -> Call:
        return self._pool(at, operator, "ef_max_pool")

    def _mean(self, at: str, operator: Operator) -> Call:
        x = operator.input()
        count = math.prod(x.shape[:-1])
        numbers = (
            x.zero,
            operator.output.zero,
            *scales.of_mean(x.scale, operator.output.scale, count),
        )
        return Call(
            operator, "ef_mean",
            f"ef_mean(1, {count}, {x.shape[-1]}, &{at}_scale, {{in0}}, {{out}});",
            (f"static const ef_scale {at}_scale = {braces(numbers)};",),
        )  # fmt: skip

    def _softmax(self, at: str, operator: Operator) -> Call:
        x = operator.input()
        numbers = scales.of_softmax(x.scale, float(operator.options.get("beta", 1.0)))
        size = x.shape[-1]
        return Call(
            operator, "ef_softmax",
            f"ef_softmax({x.size // size}, {size}, &{at}_scale, {{in0}}, {{out}});",
            (f"static const ef_softmax_scale {at}_scale = {braces(numbers)};",),
        )  # fmt: skip

    # Element by element

    def _scale(self, at: str, operator: Operator) -> str:
        x, y = operator.input(), operator.output
        multiplier, shift = scales.of_ratio(x.scale, y.scale)
        return f"static const ef_scale {at}_scale = {braces((x.zero, y.zero, multiplier, shift))};"

    def _binary(self, at: str, operator: Operator) -> Call:
        a, b, y = operator.input(0), operator.input(1), operator.output
        low, high = scales.clamped(operator.options["activation"], y.scale, y.zero)
        if operator.kind == "MUL":
            left, factors = 0, [(0, 0), (0, 0), scales.of_product(a.scale, b.scale, y.scale)]
        else:
            left, factors = scales.ADD_SHIFT, scales.of_sum(a.scale, b.scale, y.scale)
        numbers = ", ".join(
            (
                braces((a.zero, b.zero)),
                braces((factors[0][0], factors[1][0])),
                braces((factors[0][1], factors[1][1])),
                str(left), str(y.zero), str(factors[2][0]), str(factors[2][1]),
                str(low), str(high), braces((a.size, b.size)),
            )
        )  # fmt: skip
        constants = [f"static const ef_binary {at}_how = {{{numbers}}};"]
        operands = []
        for which, tensor in enumerate((a, b)):
            if tensor.data is None:
                operands.append(f"{{in{which}}}")
            else:
                operands.append(f"{at}_operand{which}")
                constants.append(int8(operands[-1], tensor.data))
        name = f"ef_{operator.kind.lower()}"
        return Call(
            operator, name,
            f"{name}({y.size}, &{at}_how, {operands[0]}, {operands[1]}, {{out}});",
            tuple(constants),
        )  # fmt: skip

    _add = _sub = _mul = _maximum = _minimum = _binary

    def _quantize(self, at: str, operator: Operator) -> Call:
        x, y = operator.input(), operator.output
        if x.kind == "FLOAT32":
            text = f"ef_quantize({x.size}, {real(y.scale)}, {y.zero}, {{in0}}, {{out}});"
            return Call(operator, "ef_quantize", text)
        return self._requantized(at, operator)

    def _requantized(self, at: str, operator: Operator) -> Call:
        text = f"ef_requantize({operator.output.size}, &{at}_scale, {{in0}}, {{out}});"
        return Call(operator, "ef_requantize", text, (self._scale(at, operator),))

    def _dequantize(self, _: str, operator: Operator) -> Call:
        x = operator.input()
        text = f"ef_dequantize({x.size}, {real(x.scale)}, {x.zero}, {{in0}}, {{out}});"
        return Call(operator, "ef_dequantize", text)

    def _table(self, at: str, operator: Operator) -> Call:
        text = f"ef_table({operator.output.size}, {at}_table, {{in0}}, {{out}});"
        table = tables_job.table(operator)
        return Call(operator, "ef_table", text, (int8(f"{at}_table", table),), weight_bytes=256)

    _relu = _relu6 = _relu_n1_to_1 = _leaky_relu = _logistic = _tanh = _hard_swish = _table

    # Moves

    def _pad(self, at: str, operator: Operator) -> Call:
        amounts = operator.input(1).data
        assert amounts is not None
        x, y = operator.input(), operator.output
        rank = len(x.shape)
        before = [int(pair[0]) for pair in amounts][-rank:]
        value = y.zero
        if operator.kind == "PADV2" and len(operator.inputs) > 2:
            given = operator.input(2).data
            value = int(np.ravel(given)[0]) if given is not None else value
        lists = (axes(x.shape), axes(y.shape), axes(before, 0))
        return Call(
            operator, "ef_pad", f"ef_pad(&{at}_shape, {value}, {{in0}}, {{out}});",
            (f"static const ef_pad_shape {at}_shape = {braces(map(braces, lists))};",),
        )  # fmt: skip

    _padv2 = _pad

    def _transpose(self, at: str, operator: Operator) -> Call:
        order = operator.input(1).data
        assert order is not None
        shape = self.parsed.shape(operator.input().index)
        steps = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        out = [shape[int(axis)] for axis in order]
        step = [steps[int(axis)] for axis in order]
        lists = (axes(out), axes(step, 0))
        return Call(
            operator, "ef_transpose", f"ef_transpose(&{at}_shape, {{in0}}, {{out}});",
            (f"static const ef_transpose_shape {at}_shape = {braces(map(braces, lists))};",),
        )  # fmt: skip

    def _strided_slice(self, at: str, operator: Operator) -> Call:
        taken = slices(self.parsed, operator)
        assert taken is not None
        shape = self.parsed.shape(operator.input().index)
        steps = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        out = [len(range(s.start, s.stop, s.step)) for s in taken]
        step = [s.step * size for s, size in zip(taken, steps, strict=True)]
        first = sum(s.start * size for s, size in zip(taken, steps, strict=True))
        lists = (axes(out), axes(step, 0))
        return Call(
            operator, "ef_transpose", f"ef_transpose(&{at}_shape, {{in0}} + {first}, {{out}});",
            (f"static const ef_transpose_shape {at}_shape = {braces(map(braces, lists))};",),
        )  # fmt: skip

    def _concatenation(self, _: str, operator: Operator) -> Call:
        y = operator.output
        whole = self.parsed.shape(y.index)
        axis = int(operator.options.get("axis", -1)) % len(whole)
        inner = math.prod(whole[axis + 1 :])
        rows, stride = math.prod(whole[:axis]), whole[axis] * inner
        lines, offset = [], 0
        for number, tensor in enumerate(operator.inputs):
            assert tensor is not None
            size = self.parsed.shape(tensor.index)[axis] * inner
            lines.append(
                f"ef_copy_rows({rows}, {size}, {stride}, {{in{number}}}, {{out}} + {offset});"
            )
            offset += size
        return Call(operator, "ef_copy_rows", "\n    ".join(lines))


def pack(rows: Array) -> tuple[Array, int]:
    """Filters (one per row) as `ef_conv` reads them: pairs of filters, four inputs at a time.

    Returns:
        the bytes, and the inputs of a filter padded to a multiple of 4.
    """
    count, size = rows.shape
    depth = -(-size // 4) * 4
    padded = np.zeros((-(-count // 2) * 2, depth), np.int8)
    padded[:count, :size] = rows
    return padded.reshape(-1, 2, depth // 4, 4).transpose(0, 2, 1, 3).ravel(), depth


def wrap(values: Array) -> list[int]:
    """As 32 bits hold them."""
    return [int(v) for v in values.astype(np.int64).astype(np.int32)]


def axes(shape: Iterable[int], filler: int = 1) -> list[int]:
    """Five of them, `filler` in front."""
    values = [int(d) for d in shape]
    return [filler] * (MOST_AXES - len(values)) + values


def braces(values: Iterable[Any]) -> str:
    """A C initialiser."""
    return "{" + ", ".join(str(value) for value in values) + "}"


def real(value: float) -> str:
    """A float32 as C writes it, exactly."""
    text = f"{np.float32(value):.9g}"
    return f"{text}F" if "." in text or "e" in text else f"{text}.0F"


def int8(name: str, values: Array) -> str:
    """A constant array, at an address that 4 divides."""
    flat = np.ravel(values)
    lines = [
        "    " + ", ".join(str(int(v)) for v in flat[i : i + 24]) for i in range(0, flat.size, 24)
    ]
    body = ",\n".join(lines)
    return f"static const int8_t {name}[{flat.size}] EF_ALIGNED = {{\n{body},\n}};"


def channels_of(at: str, channels: Sequence[tuple[int, int, int, int]]) -> str:
    """The array of `ef_channel`."""
    body = ",\n".join(f"    {braces(values)}" for values in channels)
    return f"static const ef_channel {at}_channels[{len(channels)}] = {{\n{body},\n}};"


def activations(operator: Operator) -> list[Tensor]:
    """The inputs that are computed, in the kernel's order."""
    return [tensor for tensor in operator.inputs if tensor is not None and tensor.data is None]
