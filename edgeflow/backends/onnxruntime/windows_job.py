"""Layers that slide a window, resize or pad, as ONNX nodes; channels first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgeflow.backends.onnxruntime.graph_job import FIRST, LAST, Graph
from edgeflow.frontends.onnx_windows_job import same_padding
from edgeflow.network import Layer

"""Gives the tensor of a kernel (laid out for ONNX) whose output channels are on that axis."""


def window(layer: Layer, size: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
    """Strides, dilations and ONNX' pads (all before, then all after)."""
    rank = len(size)
    strides = list(layer.attributes.get("strides") or [1] * rank)
    dilation = list(layer.attributes.get("dilation_rate") or [1] * rank)
    mode = str(layer.attributes.get("padding", "valid"))
    sizes = [int(dim or 1) for dim in layer.input_shapes[0][:-1]]
    pairs = [(0, 0)] * rank
    if mode == "same":
        pairs = same_padding(sizes, size, strides, dilation)
    elif mode == "causal":
        pairs = [((size[0] - 1) * dilation[0], 0)]
    return strides, dilation, [p[0] for p in pairs] + [p[1] for p in pairs]


def conv(graph: Graph, layer: Layer, kernel: str, bias: str | None, shape: Sequence[int]) -> str:
    """Conv and depthwise Conv; `shape` is the Network's kernel's, `kernel` ONNX' tensor."""
    strides, dilation, pads = window(layer, shape[:-2])
    channels = layer.input_shapes[0][-1] or 1
    depthwise = layer.kind.startswith("depthwise")
    return graph.node(
        "Conv", [graph.get(layer.inputs[0], FIRST), kernel, *([bias] if bias else [])], layer.name,
        kernel_shape=list(shape[:-2]), strides=strides, dilations=dilation, pads=pads,
        group=channels if depthwise else channels // shape[-2],
    )  # fmt: skip


def conv_transpose(
    graph: Graph, layer: Layer, kernel: str, bias: str | None, shape: Sequence[int]
) -> str:
    """ConvTranspose: what ``same`` cuts off, or ``valid`` adds, follows from the output's shape."""
    size = list(shape[:-2])
    strides = list(layer.attributes["strides"])
    before, after, extra = [], [], []
    ends = zip(layer.input_shapes[0], layer.output_shape, size, strides, strict=False)
    for given, out, extent, stride in ends:
        total = (int(given or 1) - 1) * stride + extent - int(out or 1)
        before.append(max(total, 0) // 2)
        after.append(max(total, 0) - max(total, 0) // 2)
        extra.append(max(-total, 0))
    return graph.node(
        "ConvTranspose", [graph.get(layer.inputs[0], FIRST), kernel, *([bias] if bias else [])],
        layer.name, kernel_shape=size, strides=strides, pads=before + after, output_padding=extra,
    )  # fmt: skip


def kernel_of(layer: Layer, values: np.ndarray) -> tuple[np.ndarray, int]:
    """A convolution's kernel as ONNX lays it out, and the axis of its output channels."""
    rank = values.ndim - 2
    space = tuple(range(rank))
    if layer.kind.endswith("transpose"):
        return values.transpose(rank, rank + 1, *space), 1
    if layer.kind.startswith("depthwise"):
        flat = values.reshape(*values.shape[:-2], -1)
        return flat.transpose(rank, *space)[:, None], 0
    return values.transpose(rank + 1, rank, *space), 0


def pool(graph: Graph, layer: Layer) -> None:
    """MaxPool, and AveragePool of what is there (padding is left out)."""
    size = list(layer.attributes["pool_size"])
    strides, _, pads = window(layer, size)
    highest = layer.kind.startswith("max")
    extra: dict[str, Any] = {} if highest else {"count_include_pad": 0}
    graph.put(
        layer.name,
        graph.node(
            "MaxPool" if highest else "AveragePool", [graph.get(layer.inputs[0], FIRST)],
            layer.name, kernel_shape=size, strides=strides, pads=pads, **extra,
        ),
        FIRST,
    )  # fmt: skip


def global_pool(graph: Graph, layer: Layer) -> None:
    """GlobalAveragePool or GlobalMaxPool, flattened unless the axes are kept."""
    name = "GlobalMaxPool" if "max" in layer.kind else "GlobalAveragePool"
    source = graph.get(layer.inputs[0], FIRST)
    if len(layer.output_shape) > 1:
        graph.put(layer.name, graph.node(name, [source], layer.name), FIRST)
        return
    pooled = graph.node(name, [source], f"{layer.name}.pooled")
    graph.put(layer.name, graph.node("Flatten", [pooled], layer.name, axis=1))


def pad(graph: Graph, layer: Layer) -> None:
    """Pad with a number."""
    layout = graph.common(layer.inputs)
    pairs = [tuple(pair) for pair in layer.attributes["padding"]]
    pairs = [pairs[-1], *pairs[:-1]] if layout == FIRST else pairs
    pads = [0, *(p[0] for p in pairs), 0, *(p[1] for p in pairs)]
    inputs = [graph.get(layer.inputs[0], layout), graph.integers(pads, f"{layer.name}.pads")]
    value = float(layer.attributes.get("value", 0.0))
    if value:
        inputs.append(graph.constant(value, f"{layer.name}.fill"))
    graph.put(layer.name, graph.node("Pad", inputs, layer.name), layout)


def crop(graph: Graph, layer: Layer) -> None:
    """Slice by what is cut off each side."""
    pairs = [tuple(pair) for pair in layer.attributes["cropping"]]
    sizes = [int(dim or 1) for dim in layer.input_shapes[0]]
    begin = [before for before, _ in pairs]
    end = [size - after for size, (_, after) in zip(sizes, pairs, strict=True)]
    _slice(graph, layer, begin, end, [1] * len(begin))


def slice_(graph: Graph, layer: Layer) -> None:
    """Slice, and a Reshape where axes are dropped."""
    at = layer.attributes
    _slice(graph, layer, at["begin"], at["end"], at.get("strides") or [1] * len(at["begin"]))


def _slice(
    graph: Graph, layer: Layer, begin: Sequence[int], end: Sequence[int], step: Sequence[int]
) -> None:
    name, rank = layer.name, len(begin) + 1
    sizes = [int(dim or 1) for dim in layer.input_shapes[0]]
    same_rank = len(layer.output_shape) == len(begin)
    layout = graph.common(layer.inputs) if same_rank else LAST
    axes = [rank - 1 if layout == LAST else 1] if rank > 2 else [1]
    axes = [*(range(1, rank - 1) if layout == LAST else range(2, rank)), *axes]
    ends = [
        stop if stop is not None else size if stride > 0 else -size - 1
        for size, stop, stride in zip(sizes, end, step, strict=True)
    ]
    parts = [
        graph.integers(values, f"{name}.{part}")
        for part, values in (("begin", begin), ("end", ends), ("axes", axes), ("step", step))
    ]
    source = graph.get(layer.inputs[0], layout)
    cut = graph.node("Slice", [source, *parts], name if same_rank else f"{name}.cut")
    if not same_rank:
        shape = graph.integers([1, *(int(d or 1) for d in layer.output_shape)], f"{name}.shape")
        cut = graph.node("Reshape", [cut, shape], name)
    graph.put(name, cut, layout)


def upsample(graph: Graph, layer: Layer) -> None:
    """Repeat elements, or interpolate between their centres."""
    how = layer.attributes.get("interpolation", "nearest")
    if how == "nearest":
        _resize(graph, layer, mode="nearest", nearest_mode="floor",
                coordinate_transformation_mode="asymmetric")  # fmt: skip
    else:
        _resize(graph, layer, mode="linear", coordinate_transformation_mode="half_pixel")


def resize(graph: Graph, layer: Layer) -> None:
    """Bilinear to the output's size."""
    at = layer.attributes
    place = "asymmetric"
    if at.get("align_corners"):
        place = "align_corners"
    elif at.get("half_pixel_centers"):
        place = "half_pixel"
    _resize(graph, layer, mode="linear", coordinate_transformation_mode=place)


def _resize(graph: Graph, layer: Layer, **attributes: Any) -> None:
    shape = layer.output_shape
    sizes = graph.integers([1, int(shape[-1] or 1), *(int(d or 1) for d in shape[:-1])],
                           f"{layer.name}.sizes")  # fmt: skip
    inputs = [graph.get(layer.inputs[0], FIRST), "", "", sizes]
    graph.put(layer.name, graph.node("Resize", inputs, layer.name, **attributes), FIRST)
