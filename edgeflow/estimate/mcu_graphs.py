"""Networks from lists of TFLite operators with shapes alone, as tables of measurements hold them.

The lists name no tensors, so an operator's inputs are found by their shapes: the latest output that
nobody has read yet, else the latest of that shape.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from edgeflow.network import Layer, Network, Quantizer, Weight

INT8: Final = Quantizer("affine", 8)
SHAPES: Final = frozenset(["INT32", "INT64"])
"""Numbers of tensors that hold shapes: converters compute them beforehand."""

KINDS: Final = {
    "CONV_2D": "conv2d",
    "DEPTHWISE_CONV_2D": "depthwise_conv2d",
    "FULLY_CONNECTED": "dense",
    "ADD": "add",
    "MUL": "mul",
    "PAD": "pad",
    "PACK": "concat",
    "CONCATENATION": "concat",
    "RESHAPE": "reshape",
    "SHAPE": "constant",
    "STRIDED_SLICE": "slice",
    "TILE": "concat",
    "SOFTMAX": "softmax",
    "QUANTIZE": "quantize",
    "DEQUANTIZE": "dequantize",
    "RESIZE_BILINEAR": "resize_bilinear",
    "MAX_POOL_2D": "max_pool2d",
    "AVERAGE_POOL_2D": "avg_pool2d",
    "MEAN": "global_avg_pool2d",
    "REDUCE_MAX": "global_max_pool2d",
    "TRANSPOSE": "transpose",
}


def network_of(graph: Mapping[str, Any], name: str) -> Network:
    """The Network of a list of operators (``ops``, ``inputs``), without weights' values."""
    layers: list[Layer] = []
    unread: list[str] = []
    shapes: dict[str, tuple[int, ...]] = {}

    def add(layer: Layer) -> None:
        layers.append(layer)
        unread.append(layer.name)
        shapes[layer.name] = tuple(dim or 1 for dim in layer.output_shape)

    def find(shape: tuple[int, ...], taken: Sequence[str]) -> str:
        """The tensor of a shape that is meant; of the same size where none has the shape.

        A sum's other term is never what its first term was computed from: a short cut leaves out
        two operators or more.
        """
        near = {name for layer in layers if layer.name in taken for name in layer.inputs}
        free = [layer.name for layer in layers if layer.name not in taken]
        free = [key for key in free if key not in near] or free
        exact = [key for key in free if shapes[key] == shape]
        alike = [key for key in free if math.prod(shapes[key]) == math.prod(shape)]
        matching = exact or alike or [layers[-1].name]
        return ([key for key in matching if key in unread] or matching)[-1]

    for index, port in enumerate(graph["inputs"]):
        add(Layer(f"input{index}", "input", output_shape=_shape(port), quantizer=_number(port)))
    for index, op in enumerate(graph["ops"]):
        kind = KINDS.get(op["op"], "opaque")
        if kind == "constant":
            continue
        given = [item for item in op["inputs"] if item and item["shape"]]
        inputs = [item for item in given if not item.get("const_bytes")]
        if not inputs or not op["outputs"] or op["outputs"][0]["shape"] is None:
            continue
        if op["outputs"][0]["dtype"] in SHAPES:
            continue
        read: list[str] = []
        for item in inputs:
            read.append(find(_shape(item), read))
        for key in read:
            if key in unread:
                unread.remove(key)
        add(_layer(f"{op['op'].lower()}{index}", kind, op, tuple(read), shapes))
    return Network(
        name=name,
        layers=tuple(layers),
        inputs=tuple(f"input{index}" for index in range(len(graph["inputs"]))),
        outputs=(layers[-1].name,),
        source={"format": "tflite"},
    )


def _layer(
    name: str,
    kind: str,
    op: Mapping[str, Any],
    read: tuple[str, ...],
    shapes: Mapping[str, tuple[int, ...]],
) -> Layer:
    weights: dict[str, Weight] = {}
    constants = [item for item in op["inputs"] if item and item.get("const_bytes")]
    attributes: dict[str, Any] = {}
    if kind in ("conv2d", "depthwise_conv2d", "dense") and constants:
        shape = tuple(constants[0]["shape"])
        if kind == "conv2d":
            shape = (*shape[1:], shape[0])
        elif kind == "depthwise_conv2d":
            shape = (*shape[1:], 1)
        else:
            shape = (shape[1], shape[0])
        weights["kernel"] = Weight(shape, 8, quantizer=INT8)
        if len(constants) > 1:
            weights["bias"] = Weight(tuple(constants[1]["shape"]), 32)
    elif constants and kind in ("mul", "add"):
        weights["kernel"] = Weight(tuple(constants[0]["shape"]), 8)
    if op.get("stride"):
        attributes["strides"] = op["stride"]
        attributes["padding"] = "valid" if op.get("padding") else "same"
    if op.get("filter"):
        attributes["pool_size"] = op["filter"]
    return Layer(
        name,
        "transpose" if kind == "opaque" else kind,
        read,
        tuple(shapes[key] for key in read),
        _shape(op["outputs"][0]),
        attributes,
        weights,
        _number(op["outputs"][0]),
        int(op.get("macs") or 0),
    )


def _shape(item: Mapping[str, Any]) -> tuple[int, ...]:
    shape = item["shape"]
    return tuple(shape[1:]) if len(shape) > 1 else tuple(shape)


def _number(item: Mapping[str, Any]) -> Quantizer | None:
    return None if item["dtype"] == "FLOAT32" else INT8
