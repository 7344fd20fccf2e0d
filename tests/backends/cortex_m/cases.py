"""One small network for each operator and geometry that the kernels claim. By name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from build import Net

EVERY = (-128, 0, 127)


def cases() -> dict[str, Net]:
    """All of them."""
    found: dict[str, Net] = {}
    for make in (convolutions, depthwise, dense, pools, sums, tables, moves, borders):
        for name, net in make():
            assert name not in found, name
            found[name] = net
    return found


Cases = Iterator[tuple[str, Net]]


def convolutions() -> Cases:
    for padding in ("SAME", "VALID"):
        for size, kernel, stride in (
            ((6, 7, 3), (3, 3), (1, 1)), ((9, 8, 3), (3, 3), (2, 2)), ((7, 5, 4), (1, 1), (1, 1)),
            ((7, 5, 8), (1, 1), (2, 2)), ((12, 1, 5), (4, 1), (2, 1)), ((1, 9, 4), (1, 3), (1, 2)),
            ((5, 6, 1), (5, 4), (1, 1)), ((8, 8, 2), (2, 3), (3, 1)),
        ):  # fmt: skip
            net = Net(*size)
            net.conv(5 if size[2] == 3 else 6, kernel, stride, padding=padding)
            yield f"conv_{'x'.join(map(str, size + kernel + stride))}_{padding.lower()}", net
        net = Net(9, 9, 4)
        net.conv(3, dilation=(2, 3), padding=padding)
        yield f"conv_dilated_{padding.lower()}", net
    for activation in ("RELU", "RELU6", "RELU_N1_TO_1"):
        net = Net(5, 5, 6)
        net.conv(4, activation=activation, zero=-100 if activation == "RELU6" else 4)
        yield f"conv_{activation.lower()}", net
    for x in EVERY:
        for y in EVERY:
            net = Net(4, 5, 3, zero=x)
            net.conv(3, zero=y)
            yield f"conv_zeros_{x}_{y}".replace("-", "m"), net
    for name, weights in (("left", 3.0), ("one", 1.6), ("tiny", 1e-9), ("nothing", 1e-12)):
        net = Net(4, 4, 3)
        net.conv(4, weights=[weights, 0.004, weights * 1.7, 0.003])
        yield f"conv_scale_{name}", net
    net = Net(4, 4, 4)
    net.conv(4, weights=[0.005])
    yield "conv_one_scale", net
    net = Net(3, 3, 4)
    net.conv(2)
    # a filter that never fires: its bias is at the end of 32 bits
    net.buffers[1].data[:36] = [0] * 36
    net.tensors[1].quantization.scale[0] = 1e-10
    net.buffers[2].data[:4] = list(np.array([2**31 - 1], np.int32).tobytes())
    yield "conv_large_bias", net


def depthwise() -> Cases:
    for padding in ("SAME", "VALID"):
        for size, kernel, stride, many in (
            ((6, 7, 3), (3, 3), (1, 1), 1), ((9, 8, 5), (3, 3), (2, 2), 1),
            ((9, 7, 2), (3, 3), (1, 1), 3), ((7, 7, 1), (3, 3), (2, 2), 8),
            ((12, 1, 4), (5, 1), (1, 1), 1), ((1, 12, 4), (1, 5), (1, 2), 2),
            ((12, 1, 3), (9, 1), (2, 1), 1), ((8, 9, 2), (4, 2), (3, 1), 1),
            ((3, 3, 4), (3, 3), (1, 1), 1), ((11, 11, 2), (3, 3), (3, 3), 1),
            ((10, 10, 2), (3, 3), (4, 4), 1), ((10, 6, 2), (3, 3), (1, 2), 1),
            ((10, 5, 1), (10, 4), (2, 2), 4),
        ):  # fmt: skip
            net = Net(*size)
            net.conv(0, kernel, stride, padding=padding, multiplier=many)
            words = "x".join(map(str, (*size, *kernel, *stride, many)))
            yield f"depthwise_{words}_{padding.lower()}", net
        net = Net(9, 9, 2)
        net.conv(0, dilation=(2, 3), padding=padding, multiplier=1)
        yield f"depthwise_dilated_{padding.lower()}", net
    for activation in ("RELU", "RELU6"):
        net = Net(5, 5, 3)
        net.conv(0, activation=activation, zero=-100, multiplier=1)
        yield f"depthwise_{activation.lower()}", net
    for x in EVERY:
        net = Net(4, 5, 3, zero=x)
        net.conv(0, zero=x, multiplier=1)
        yield f"depthwise_zeros_{x}".replace("-", "m"), net
    for name, weights in (("left", 3.0), ("tiny", 1e-9)):
        net = Net(4, 4, 2)
        net.conv(0, weights=[weights, 0.004], multiplier=1)
        yield f"depthwise_scale_{name}", net
    net = Net(5, 5, 2)
    net.conv(0, multiplier=1, bias=False)
    yield "depthwise_no_bias", net


def dense() -> Cases:
    for inputs, outputs in ((1, 1), (7, 3), (8, 4), (33, 5), (64, 2)):
        net = Net(inputs)
        net.dense(outputs)
        yield f"dense_{inputs}_{outputs}", net
    for activation in ("RELU", "RELU6"):
        net = Net(9)
        net.dense(4, activation, zero=-90)
        yield f"dense_{activation.lower()}", net
    for name, weights in (("left", 2.0), ("tiny", 1e-9)):
        net = Net(9)
        net.dense(4, weights=weights)
        yield f"dense_scale_{name}", net


def pools() -> Cases:
    for kind in ("AVERAGE", "MAX"):
        for kernel, stride, padding in (
            ((2, 2), (2, 2), "VALID"), ((3, 2), (1, 2), "SAME"), ((7, 6), (1, 1), "VALID"),
            ((3, 3), (2, 2), "SAME"), ((1, 3), (1, 1), "SAME"),
        ):  # fmt: skip
            net = Net(7, 6, 3)
            net.pool(kind, kernel, stride, padding)
            words = "x".join(map(str, kernel + stride))
            yield f"{kind.lower()}_pool_{words}_{padding.lower()}", net
        net = Net(6, 6, 2)
        net.pool(kind, (2, 2), (2, 2), "VALID", "RELU")
        yield f"{kind.lower()}_pool_relu", net
    for keep in (True, False):
        for shape, given in (
            ((5, 6, 3), {"scale": 0.04, "zero": 7}), ((5, 6, 3), {"scale": 0.05, "zero": -3}),
            ((7, 7, 2), {"scale": 0.2, "zero": -128}), ((4, 4, 5), {"scale": 0.003, "zero": 1}),
            ((9, 3), {"scale": 0.03, "zero": 0}), ((8, 3), {"scale": 0.05, "zero": -3}),
        ):  # fmt: skip
            net = Net(*shape)
            axes = net.const(list(range(1, len(shape))))
            out = (1, *([1] * (len(shape) - 1) if keep else []), shape[-1])
            net.op("MEAN", out, inputs=[net.x, axes], options="ReducerOptions", keepDims=keep,
                   **given)  # fmt: skip
            words = f"{'x'.join(map(str, shape))}_{given['scale']}".replace(".", "_")
            yield f"mean_{words}{'_kept' if keep else ''}", net
    for shape, scale, beta in (
        ((10,), 0.05, 1.0), ((2,), 0.2, 1.0), ((3, 4), 1.5, 1.0), ((12,), 0.003, 0.5),
        ((1,), 0.1, 1.0), ((2, 2, 5), 0.1, 2.0), ((300,), 0.02, 1.0),
    ):  # fmt: skip
        net = Net(*shape, scale=scale)
        net.op("SOFTMAX", (1, *shape), scale=1 / 256, zero=-128, options="SoftmaxOptions",
               beta=beta)  # fmt: skip
        yield f"softmax_{'x'.join(map(str, shape))}", net


def sums() -> Cases:
    shape = (3, 4, 6)
    scales: tuple[dict[str, Any], ...] = (
        {"scale": 0.06, "zero": 7}, {"scale": 0.01, "zero": -128}, {"scale": 2.0, "zero": 127},
    )  # fmt: skip
    for kind in ("ADD", "SUB", "MUL"):
        options = f"{kind.capitalize()}Options"
        for number, given in enumerate(scales):
            net = Net(*shape)
            other = net.conv(6, (1, 1), scale=0.11, zero=9)
            net.op(kind, (1, *shape), inputs=[net.x, other], options=options, **given)
            yield f"{kind.lower()}_two_{number}", net
        for words, operand in (("scalar", ()), ("one", (1,)), ("channels", (6,)),
                               ("four", (1, 1, 1, 6)), ("columns", (4, 6)), ("all", shape)):  # fmt: skip
            for side in (0, 1):
                net = Net(*shape)
                given = net.operand(*operand)
                net.op(kind, (1, *shape), inputs=[net.x, given][:: 1 - 2 * side],
                       options=options, fusedActivationFunction=1 if side else 0)  # fmt: skip
                yield f"{kind.lower()}_{words}_{side}", net
        net = Net(*shape, zero=-128)
        net.op(kind, (1, *shape), inputs=[net.x, net.x], options=options, scale=0.1, zero=0,
               fusedActivationFunction=3)  # fmt: skip
        yield f"{kind.lower()}_itself_relu6", net
        net = Net(*shape)
        gate = net.pool("AVERAGE", (3, 4), (1, 1))
        net.op(kind, (1, *shape), inputs=[net.x, gate], options=options)
        yield f"{kind.lower()}_gate", net
    for kind in ("MAXIMUM", "MINIMUM"):
        for words, operand in (("scalar", ()), ("channels", (6,)), ("all", shape)):
            net = Net(*shape)
            given = net.operand(*operand, scale=0.05, zero=-3)
            net.op(kind, (1, *shape), inputs=[net.x, given], options="MaximumMinimumOptions",
                   scale=0.05, zero=-3)  # fmt: skip
            yield f"{kind.lower()}_{words}", net


def tables() -> Cases:
    options: dict[str, Callable[[], dict[str, Any]]] = {
        "RELU": lambda: {}, "RELU6": lambda: {}, "RELU_N1_TO_1": lambda: {},
        "LEAKY_RELU": lambda: {"options": "LeakyReluOptions", "alpha": 0.3},
        "LOGISTIC": lambda: {}, "TANH": lambda: {}, "HARD_SWISH": lambda: {},
    }  # fmt: skip
    for kind, given in options.items():
        fixed = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}.get(kind)
        for number, (x, zx, y, zy) in enumerate(
            ((0.05, -3, 0.04, -128), (0.02, -128, 0.03, 10), (0.3, 127, 0.1, 0), (0.1, 0, 0.1, 0))
        ):
            if kind == "RELU_N1_TO_1" and number != 3:
                continue
            net = Net(256, scale=x, zero=zx)
            scale, zero = fixed or (y, zy)
            net.op(kind, (1, 256), scale=scale, zero=zero, **given())
            yield f"{kind.lower()}_{number}", net
    for number, (x, zx, y, zy) in enumerate(
        ((0.05, -3, 0.04, -128), (0.05, -3, 0.001, 9), (0.05, 10, 0.05, -10), (0.01, 0, 0.9, 0))
    ):
        net = Net(256, scale=x, zero=zx)
        net.op("QUANTIZE", (1, 256), scale=y, zero=zy, options="QuantizeOptions")
        yield f"requantize_{number}", net


def moves() -> Cases:
    shape = (3, 4, 5)
    for words, amounts in (
        ("rows", [[0, 0], [1, 2], [0, 0], [0, 0]]), ("all", [[0, 0], [1, 0], [2, 3], [1, 1]]),
    ):  # fmt: skip
        net = Net(*shape)
        out = tuple(s + sum(a) for s, a in zip((1, *shape), amounts, strict=True))
        net.op("PAD", out, inputs=[net.x, net.const(amounts)], options="PadOptions", **net.same())
        yield f"pad_{words}", net
        net = Net(*shape)
        value = net.tensor((), 0.05, -3, data=np.array(-77, np.int8))
        net.op("PADV2", out, inputs=[net.x, net.const(amounts), value], options="PadV2Options",
               **net.same())  # fmt: skip
        yield f"padv2_{words}", net
    net = Net(6, 4)
    net.op("PAD", (1, 9, 4), inputs=[net.x, net.const([[0, 0], [3, 0], [0, 0]])],
           options="PadOptions", **net.same())  # fmt: skip
    yield "pad_three_axes", net
    for order in ((0, 2, 1, 3), (0, 3, 1, 2), (0, 3, 2, 1), (0, 1, 3, 2), (0, 1, 2, 3)):
        net = Net(*shape)
        out = tuple((1, *shape)[axis] for axis in order)
        net.op("TRANSPOSE", out, inputs=[net.x, net.const(order)], options="TransposeOptions",
               **net.same())  # fmt: skip
        yield f"transpose_{''.join(map(str, order))}", net
    for axis in (1, 2, 3, -1):
        net = Net(*shape)
        net.conv(5, (1, 1), scale=0.05, zero=-3)
        out = [1, *shape]
        out[axis] *= 3
        net.op("CONCATENATION", out, inputs=[net.x, net.y, net.x], scale=0.05, zero=-3,
               options="ConcatenationOptions", axis=axis)  # fmt: skip
        yield f"concatenation_{axis}".replace("-", "m"), net
    net = Net(*shape)
    net.conv(4, (1, 1))
    net.op("RESHAPE", (1, 48), inputs=[net.y, net.const([1, 48])], options="ReshapeOptions",
           newShape=[1, 48], **net.same())  # fmt: skip
    net.dense(3)
    yield "reshape_dense", net
    for words, begin, end, steps, masks in (
        ("middle", [0, 1, 0, 1], [1, 3, 4, 4], [1, 1, 1, 1], {}),
        ("stepped", [0, 0, 1, 0], [1, 3, 4, 5], [1, 2, 2, 3], {}),
        ("masks", [0, 1, 2, 3], [0, 0, 0, 0], [1, 1, 1, 1], {"beginMask": 5, "endMask": 15}),
        ("back", [0, 0, -2, -3], [1, 3, 4, -1], [1, 1, 1, 1], {}),
        ("shrunk", [0, 2, 0, 0], [1, 3, 4, 5], [1, 1, 1, 1], {"shrinkAxisMask": 2}),
    ):  # fmt: skip
        net = Net(*shape)
        x = np.zeros((1, *shape))
        places: list[Any] = []
        for axis in range(4):
            low = None if masks.get("beginMask", 0) >> axis & 1 else begin[axis]
            high = None if masks.get("endMask", 0) >> axis & 1 else end[axis]
            shrunk = masks.get("shrinkAxisMask", 0) >> axis & 1
            places.append(begin[axis] if shrunk else slice(low, high, steps[axis]))
        net.op("STRIDED_SLICE", x[tuple(places)].shape,
               inputs=[net.x, *(net.const(v) for v in (begin, end, steps))],
               options="StridedSliceOptions", **masks, **net.same())  # fmt: skip
        yield f"strided_slice_{words}", net


def borders() -> Cases:
    for number, (scale, zero) in enumerate(((0.05, -3), (0.0078125, -128), (1.7, 127))):
        net = Net(40, kind="FLOAT32")
        net.op("QUANTIZE", (1, 40), scale=scale, zero=zero, options="QuantizeOptions")
        yield f"quantize_{number}", net
        net = Net(40, scale=scale, zero=zero)
        net.op("DEQUANTIZE", (1, 40), type="FLOAT32", options="DequantizeOptions")
        yield f"dequantize_{number}", net
    net = Net(4, 4, 3, kind="FLOAT32")
    net.op("QUANTIZE", (1, 4, 4, 3), scale=0.02, zero=3, options="QuantizeOptions")
    net.conv(4)
    net.op("DEQUANTIZE", (1, 4, 4, 4), type="FLOAT32", options="DequantizeOptions")
    yield "float_to_float", net
