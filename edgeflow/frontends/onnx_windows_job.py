"""ONNX operators that slide a window over an image or a sequence, as layers of the Network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgeflow.frontends.onnx_graph_job import Op, Step
from edgeflow.network import Shape

LOWEST = -3.4028234663852886e38  # float32's smallest: what a max pool is padded with


def same_padding(
    sizes: Sequence[int], window: Sequence[int], strides: Sequence[int], dilation: Sequence[int]
) -> list[tuple[int, int]]:
    """What TensorFlow's ``same`` pads before and after each axis."""
    found = []
    for size, extent, stride, step in zip(sizes, window, strides, dilation, strict=True):
        out = -(-size // stride)
        total = max((out - 1) * stride + (extent - 1) * step + 1 - size, 0)
        found.append((total // 2, total - total // 2))
    return found


def _settings(op: Op, window: Sequence[int]) -> tuple[list[int], list[int], list[tuple[int, int]]]:
    """Strides, dilations, and the pads before and after each spatial axis."""
    rank = len(window)
    strides = list(op.at.get("strides", [1] * rank))
    dilation = list(op.at.get("dilations", [1] * rank))
    sizes = _sizes(op)
    mode = op.at.get("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        pads = same_padding(sizes, window, strides, dilation)
        pads = [pair[::-1] for pair in pads] if mode == "SAME_LOWER" else pads
    else:
        given = [0] * (2 * rank) if mode == "VALID" else list(op.at.get("pads", [0] * (2 * rank)))
        pads = list(zip(given[:rank], given[rank:], strict=True))
    return strides, dilation, pads


def _sizes(op: Op) -> list[int]:
    dims = op.t.values[op.inputs[0]].shape
    return list(dims[1:-1] if op.channels_last else dims[2:])


def _padded(
    op: Op, layer: str, pads: list[tuple[int, int]], strides: list[int], dilation: list[int],
    window: Sequence[int], value: float = 0.0,
) -> tuple[str, str]:  # fmt: skip
    """The layer to read and ``same`` or ``valid``; a pad layer where neither says it."""
    if not any(any(pair) for pair in pads):
        return layer, "valid"
    if pads == same_padding(_sizes(op), window, strides, dilation):
        return layer, "same"
    shape = op.t.draft.shape(layer)
    pairs = [*pads, (0, 0)]
    grown: Shape = tuple(
        None if dim is None else dim + sum(pair) for dim, pair in zip(shape, pairs, strict=True)
    )
    settings: dict[str, Any] = {"padding": [list(pair) for pair in pairs]}
    if value:
        settings["value"] = value
    return op.helper("pad", "_pad", [layer], grown, settings), "valid"


def conv(op: Op) -> None:
    """Conv; a grouped one with a group per channel is depthwise, but for unequal strides."""
    kernel, bias = op.constant(1), op.constant(2)
    if kernel is None or (len(op.inputs) > 2 and op.inputs[2] and bias is None):
        return op.opaque(" with computed weights")
    if op.channels_last:
        kernel = np.moveaxis(kernel, -1, 1)
    window = list(kernel.shape[2:])
    rank = len(window)
    if rank > 2:
        return op.opaque(" in three dimensions")
    strides, dilation, pads = _settings(op, window)
    layer, padding = _padded(op, op.spatial(), pads, strides, dilation, window)
    groups = int(op.at.get("group", 1))
    channels = kernel.shape[1] * groups
    settings: dict[str, Any] = {
        "strides": strides, "padding": padding, "dilation_rate": dilation, "kernel_size": window,
    }  # fmt: skip
    spatial = tuple(range(2, 2 + rank))
    # TensorFlow has no depthwise convolution with unequal strides; a grouped one it has.
    if groups == channels and groups > 1 and len(set(strides)) == 1:
        multiplier = kernel.shape[0] // groups
        settings["depth_multiplier"] = multiplier
        array = kernel.reshape(groups, multiplier, *window).transpose(*spatial, 0, 1)
        kind = f"depthwise_conv{rank}d"
    else:
        settings |= {"groups": groups, "filters": int(kernel.shape[0])}
        array = kernel.transpose(*spatial, 1, 0)
        kind = f"conv{rank}d"
    op.add(
        kind, [layer], settings, last=True, weights={"kernel": array, "bias": bias},
        quantizers={"kernel": op.rounded(1), "bias": op.rounded(2)},
    )  # fmt: skip
    return None


def conv_transpose(op: Op) -> None:
    """ConvTranspose: ``valid``, then a crop by the pads."""
    kernel, bias = op.constant(1), op.constant(2)
    if kernel is None or op.at.get("group", 1) != 1 or op.channels_last:
        return op.opaque()
    window = list(kernel.shape[2:])
    rank = len(window)
    strides = list(op.at.get("strides", [1] * rank))
    dilation = list(op.at.get("dilations", [1] * rank))
    if rank > 2 or any(d != 1 for d in dilation):
        return op.opaque(" with dilation" if rank < 3 else " in three dimensions")
    sizes = _sizes(op)
    full = [(n - 1) * s + max(k, s) for n, s, k in zip(sizes, strides, window, strict=True)]
    want = op.t.values[op.output].shape[2:]
    given = list(op.at.get("pads", [0] * (2 * rank)))
    before = given[:rank]
    if op.at.get("auto_pad", "NOTSET").startswith("SAME"):
        before = [(f - w) // 2 for f, w in zip(full, want, strict=True)]
    after = [f - w - b for f, w, b in zip(full, want, before, strict=True)]
    if any(a < 0 for a in after):
        return op.opaque(" with output padding")
    settings = {
        "strides": strides, "padding": "valid", "dilation_rate": dilation, "kernel_size": window,
        "filters": int(kernel.shape[1]), "output_padding": None,
    }  # fmt: skip
    array = kernel.transpose(*range(2, 2 + rank), 0, 1)
    weights = {"kernel": array, "bias": bias}
    rounding = {"kernel": op.rounded(1), "bias": op.rounded(2)}
    kind = f"conv{rank}d_transpose"
    if not any(before) and not any(after):
        op.add(kind, [op.spatial()], settings, last=True, weights=weights, quantizers=rounding)
        return None
    made = op.t.draft.add(
        kind,
        op.name + "_full",
        [op.spatial()],
        (*full, kernel.shape[1]),
        settings,
        weights,
        rounding,
    )
    crops = [[b, a] for b, a in zip(before, after, strict=True)]
    op.add("crop", [made], {"cropping": [*crops, [0, 0]]}, last=True)
    return None


def pool(op: Op) -> None:
    """MaxPool and AveragePool."""
    window = list(op.at["kernel_shape"])
    rank = len(window)
    if rank > 2 or len(op.node.output) > 1:
        return op.opaque()
    strides, dilation, pads = _settings(op, window)
    if any(step != 1 for step in dilation):
        return op.opaque(" with dilation")
    highest = op.node.op_type == "MaxPool"
    shape = op.t.values[op.output].shape
    got = list(shape[1:-1] if op.channels_last else shape[2:])
    if op.at.get("ceil_mode"):  # the window may hang over the end: pad there
        needed = [
            (out - 1) * s + k - (n + before)
            for out, s, k, n, (before, _) in zip(
                got, strides, window, _sizes(op), pads, strict=True
            )
        ]
        pads = [
            (before, max(after, need)) for (before, after), need in zip(pads, needed, strict=True)
        ]
    layer = op.spatial()
    same = same_padding(_sizes(op), window, strides, dilation)
    include = bool(op.at.get("count_include_pad", 0))
    overhang = bool(op.at.get("ceil_mode")) and include  # counted or not by opset
    if not highest and any(any(p) for p in pads) and ((pads != same) != include or overhang):
        return op.opaque(" with padding that is not averaged")
    if not highest and include and any(any(p) for p in pads):
        layer = op.helper(
            "pad", "_pad", [layer],
            (*(n + sum(p) for n, p in zip(_sizes(op), pads, strict=True)),
             op.t.draft.shape(layer)[-1]),
            {"padding": [*[list(p) for p in pads], [0, 0]]},
        )  # fmt: skip
        padding = "valid"
    else:
        layer, padding = _padded(
            op, layer, pads, strides, dilation, window, LOWEST if highest else 0.0
        )
    kind = f"{'max' if highest else 'avg'}_pool{rank}d"
    op.add(kind, [layer], {"pool_size": window, "strides": strides, "padding": padding}, last=True)
    return None


def global_pool(op: Op) -> None:
    """GlobalAveragePool and GlobalMaxPool keep the axes that they reduce."""
    rank = op.rank - 2
    if rank not in (1, 2):
        return op.opaque()
    kind = "max" if op.node.op_type == "GlobalMaxPool" else "avg"
    op.add(f"global_{kind}_pool{rank}d", [op.spatial()], {"keepdims": True}, last=True)
    return None


def pad(op: Op) -> None:
    """Pad with a constant."""
    given = op.at.get("pads", op.constant(1))
    if given is None or op.at.get("mode", "constant") != "constant":
        return op.opaque(f" in mode {op.at.get('mode')}")
    value = op.at.get("value", op.constant(2))
    number = 0.0 if value is None else float(np.asarray(value).reshape(-1)[0])
    rank = op.rank
    pairs = [[int(given[i]), int(given[i + rank])] for i in range(rank)]
    if (
        any(pairs[0])
        or (len(op.inputs) > 3 and op.inputs[3])
        or any(v < 0 for p in pairs for v in p)
    ):
        return op.opaque()
    last = rank > 2 and not any(pairs[1])
    chosen = [*pairs[2:], pairs[1]] if last else pairs[1:]
    settings: dict[str, Any] = {"padding": chosen}
    if number:
        settings["value"] = number
    op.add("pad", [op.t.layer(op.inputs[0], last)], settings, last=last)
    return None


def resize(op: Op) -> None:
    """Resize by whole factors (nearest, linear), or bilinear to any size."""
    if op.channels_last:
        return op.opaque()
    before, after = op.t.values[op.inputs[0]].shape, op.t.values[op.output].shape
    # a channels-last QONNX graph keeps Resize as the standard operator, its channels last
    last_in_place = len(before) == 4 and before[1] != after[1] and before[3] == after[3]
    if len(before) != 4 or (before[1] != after[1] and not last_in_place):
        return op.opaque()
    spatial = (1, 2) if last_in_place else (2, 3)
    sizes = [after[a] for a in spatial]
    factors = [after[a] / before[a] for a in spatial]
    mode = op.at.get("mode", "nearest")
    place = op.at.get("coordinate_transformation_mode", "half_pixel")
    near = op.at.get("nearest_mode", "round_prefer_floor")
    if op.node.op_type == "Upsample":
        place, near = "asymmetric", "floor"
    whole = all(f.is_integer() and f >= 1 for f in factors)
    layer = op.t.layer(op.inputs[0], not last_in_place)
    last = not last_in_place
    plain = (place == "asymmetric" and near == "floor") or place in (
        "half_pixel",
        "pytorch_half_pixel",
    )
    plain = plain or (
        place == "asymmetric" and near == "round_prefer_floor" and factors == [2.0, 2.0]
    )
    if mode == "nearest" and whole and plain:
        settings = {"size": [int(f) for f in factors], "interpolation": "nearest"}
        op.add("upsample", [layer], settings, last=last)
    elif mode == "linear" and place in (
        "half_pixel",
        "pytorch_half_pixel",
        "asymmetric",
        "align_corners",
    ):
        settings = {
            "size": sizes, "align_corners": place == "align_corners",
            "half_pixel_centers": place.endswith("half_pixel"),
        }  # fmt: skip
        op.add("resize_bilinear", [layer], settings, last=last)
    else:
        return op.opaque(f" in mode {mode}, {place}")
    return None


WINDOWED: dict[str, Step] = {
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "MaxPool": pool,
    "AveragePool": pool,
    "GlobalAveragePool": global_pool,
    "GlobalMaxPool": global_pool,
    "Pad": pad,
    "Resize": resize,
    "Upsample": resize,
}
