"""TFLite operators that slide a window over an image: convolutions and pools."""

from __future__ import annotations

from typing import Any

from edgeflow.frontends.tflite_graph_job import Op, Step, opaque


def _padding(op: Op) -> str:
    return "same" if int(op.option("padding", 0)) == 0 else "valid"


def _window(op: Op) -> dict[str, Any]:
    return {
        "strides": [int(op.option("strideH")), int(op.option("strideW"))], "padding": _padding(op),
        "dilation_rate": [
            int(op.option("dilationHFactor", 1)), int(op.option("dilationWFactor", 1)),
        ],
    }  # fmt: skip


def _conv(op: Op) -> None:
    kernel = op.constant(1)
    if kernel is None:
        return opaque(op)
    array = kernel.transpose(1, 2, 3, 0)
    weights, rounding = op.weights(array)
    settings = _window(op) | {
        "filters": int(array.shape[-1]), "kernel_size": list(array.shape[:2]),
        "groups": op.in_shape()[-1] // int(array.shape[2]),
    }  # fmt: skip
    op.add("conv2d", [op.source()], settings, weights, rounding)
    return None


def _depthwise(op: Op) -> None:
    kernel = op.constant(1)
    if kernel is None:
        return opaque(op)
    channels = op.in_shape()[-1]
    array = kernel[0].reshape(*kernel.shape[1:3], channels, -1)
    weights, rounding = op.weights(array, axis=-2 if array.shape[-1] == 1 else -1)
    settings = _window(op) | {
        "kernel_size": list(array.shape[:2]), "depth_multiplier": int(array.shape[-1])
    }  # fmt: skip
    op.add("depthwise_conv2d", [op.source()], settings, weights, rounding)
    return None


def _transpose_conv(op: Op) -> None:
    kernel = op.constant(1)
    if kernel is None:
        return opaque(op)
    array = kernel.transpose(1, 2, 3, 0)
    strides = [int(op.option("strideH")), int(op.option("strideW"))]
    sizes = op.in_shape(2)[1:3]
    same = _padding(op) == "same"
    want = [
        n * s if same else n * s + max(k - s, 0)
        for n, s, k in zip(sizes, strides, array.shape[:2], strict=True)
    ]
    if want != list(op.shape[:2]):
        return opaque(op)
    weights = {"kernel": array, "bias": op.constant(3)}
    rounding = {"kernel": op.p.quantizer(op.stored(1))}
    settings = {
        "strides": strides, "padding": _padding(op), "dilation_rate": [1, 1],
        "output_padding": None,
        "filters": int(array.shape[-1]), "kernel_size": list(array.shape[:2]),
    }  # fmt: skip
    op.add("conv2d_transpose", [op.source(2)], settings, weights, rounding)
    return None


def _pool(kind: str) -> Step:
    def step(op: Op) -> None:
        settings = {
            "pool_size": [int(op.option("filterHeight")), int(op.option("filterWidth"))],
            "strides": [int(op.option("strideH")), int(op.option("strideW"))],
            "padding": _padding(op),
        }  # fmt: skip
        op.add(kind, [op.source()], settings)

    return step


WINDOWED: dict[str, Step] = {
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "TRANSPOSE_CONV": _transpose_conv,
    "AVERAGE_POOL_2D": _pool("avg_pool2d"),
    "MAX_POOL_2D": _pool("max_pool2d"),
}
