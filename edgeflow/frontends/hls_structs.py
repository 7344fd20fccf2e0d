"""Each of hls4ml's configuration structs as a layer: its kind, shapes, kernel and settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Record = Mapping[str, Any]

FUNCTIONS: Final = {
    "leaky_relu": "leaky_relu", "leakyrelu": "leaky_relu", "thresholded_relu": "thresholded_relu",
    "thresholdedrelu": "thresholded_relu", "prelu": "prelu",
    "relu": "relu", "selu": "selu", "elu": "elu", "softmax": "softmax",
    "argmax": "softmax", "hard_sigmoid": "hard_sigmoid", "sigmoid": "sigmoid",
    "hard_tanh": "hard_tanh", "binary_tanh": "hard_tanh", "ternary_tanh": "hard_tanh",
    "tanh": "tanh", "softplus": "softplus", "softsign": "softsign", "unary_lut": "tanh",
    "linear": "identity", "quantizer": "quantize",
}  # fmt: skip
"""hls4ml's activations, longer names before those that they hold."""

MERGES: Final = {
    "add": "add", "subtract": "sub", "multiply": "mul", "average": "average",
    "maximum": "maximum", "minimum": "minimum", "dot1d": "matmul",
}  # fmt: skip

GATES: Final = {"gru": 3, "lstm": 4, "simple_rnn": 1}


@dataclass
class Made:
    """One struct as a layer."""

    kind: str
    inside: tuple[int, ...]
    outside: tuple[int, ...]
    kernel: tuple[int, ...] | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    recurrent: tuple[int, ...] | None = None


def made(record: Record, call: Record | None, shape: tuple[int, ...]) -> Made:
    """One struct as a layer.

    Raises:
        ValueError: of a kind that is not known.
        KeyError: it lacks something.
    """
    kind = str(record["kind"]).removesuffix("_config")
    function = str((call or {}).get("function", ""))
    if kind in GATES:
        return _recurrent(record, kind)
    maker = _MAKERS.get(kind)
    if maker is None:
        size = shape or ()
        return Made("opaque", size, size, attributes={"type": function or kind})
    return maker(record, function, shape)


def _dense(record: Record, function: str, shape: tuple[int, ...]) -> Made:  # noqa: ARG001
    inside, outside = _int(record, "n_in"), _int(record, "n_out")
    return Made("dense", (inside,), (outside,), (inside, outside), {"units": outside})


def _conv(axes: tuple[str, ...]) -> Callable[[Record, str, tuple[int, ...]], Made]:
    def made(record: Record, function: str, shape: tuple[int, ...]) -> Made:  # noqa: ARG001
        kind = f"conv{len(axes)}d"
        inside = tuple(_int(record, f"in_{axis}") for axis in axes)
        outside = tuple(_int(record, f"out_{axis}") for axis in axes)
        window = tuple(_int(record, f"filt_{axis}") for axis in axes)
        channels, filters = _int(record, "n_chan"), _int(record, "n_filt")
        steps = [int(record.get(f"stride_{axis}", 1)) for axis in axes]
        pads = [int(value) for key, value in record.items() if key.startswith("pad_")]
        attributes: dict[str, Any] = {
            "strides": steps, "kernel_size": list(window), "filters": filters,
            "padding": "same" if any(pads) else "valid", "dilation_rate": [1] * len(axes),
            "groups": 1,
        }  # fmt: skip
        if "depthwise" in function:
            del attributes["filters"]
            kernel = (*window, channels, max(1, filters // channels))
            return Made(
                f"depthwise_{kind}", (*inside, channels), (*outside, filters), kernel, attributes
            )
        kernel = (*window, channels, filters)
        return Made(kind, (*inside, channels), (*outside, filters), kernel, attributes)

    return made


def _recurrent(record: Record, kind: str) -> Made:
    states, steps = _int(record, "n_state"), _int(record, "n_sequence")
    inside, gates = _int(record, "n_in"), GATES[kind] * _int(record, "n_state")
    every = int(record.get("n_sequence_out", 1) or 1) > 1
    outside = (steps, states) if every else (states,)
    return Made(
        kind, (steps, inside), outside, (inside, gates),
        {"units": states, "return_sequences": every}, (states, gates),
    )  # fmt: skip


def _activation(record: Record, function: str, shape: tuple[int, ...]) -> Made:
    words = function or str(record["name"]).partition("_config")[0]
    found = next((kind for word, kind in FUNCTIONS.items() if word in words.lower()), None)
    if found is None:
        raise ValueError(f"its function is not known: '{words}'")
    size = shape or (_int(record, "n_in"),)
    own = {"axis": -1} if found == "softmax" else {}
    return Made(found, size, size, attributes=own)


def _batch_norm(record: Record, function: str, shape: tuple[int, ...]) -> Made:  # noqa: ARG001
    size = shape or (_int(record, "n_in"),)
    return Made("batch_norm", size, size, (size[-1],))


def _padding(record: Record, function: str, shape: tuple[int, ...]) -> Made:  # noqa: ARG001
    axes = [axis for axis in ("height", "width") if f"out_{axis}" in record]
    inside = tuple(_int(record, f"in_{axis}") for axis in axes)
    outside = tuple(_int(record, f"out_{axis}") for axis in axes)
    channels = _int(record, "n_chan")
    return Made("pad", (*inside, channels), (*outside, channels))


def _pooling(record: Record, function: str, shape: tuple[int, ...]) -> Made:
    mean = "average" in str(record.get("pool_op", "")).lower()
    word = "avg" if mean else "max"
    channels = int(record.get("n_filt") or record.get("n_chan") or (shape or (1,))[-1])
    flat = str(record["kind"]).startswith("pooling1d")
    windowed = ("n_out" in record) if flat else ("out_height" in record)
    inside: tuple[int, ...]
    outside: tuple[int, ...]
    if "global" in function or not windowed:
        rank = 1 if flat else 2
        inside = shape or (
            (_int(record, "n_in"), channels) if flat else
            (_int(record, "in_height"), _int(record, "in_width"), channels)
        )  # fmt: skip
        return Made(f"global_{word}_pool{rank}d", inside, (channels,))
    if flat:
        size, steps = [_int(record, "pool_width")], [int(record.get("stride_width", 1))]
        inside, outside = (_int(record, "n_in"), channels), (_int(record, "n_out"), channels)
    else:
        size = [_int(record, "pool_height"), _int(record, "pool_width")]
        steps = [int(record.get(f"stride_{axis}", 1)) for axis in ("height", "width")]
        inside = (_int(record, "in_height"), _int(record, "in_width"), channels)
        outside = (_int(record, "out_height"), _int(record, "out_width"), channels)
    pads = [int(value) for key, value in record.items() if key.startswith("pad_")]
    own = {"pool_size": size, "strides": steps, "padding": "same" if any(pads) else "valid"}
    return Made(f"{word}_pool{len(size)}d", inside, outside, attributes=own)


def _resize(record: Record, function: str, shape: tuple[int, ...]) -> Made:  # noqa: ARG001
    channels = _int(record, "n_chan")
    inside = (_int(record, "height"), _int(record, "width"), channels)
    outside = (_int(record, "new_height"), _int(record, "new_width"), channels)
    size = [max(1, b // a) for a, b in zip(inside[:2], outside[:2], strict=True)]
    return Made("upsample", inside, outside, attributes={"size": size})


def _merge(record: Record, function: str, shape: tuple[int, ...]) -> Made:
    kind = next((kind for word, kind in MERGES.items() if word in function), "add")
    size = shape or (_int(record, "n_elem"),)
    return Made(kind, size, size)


def _concat(record: Record, function: str, shape: tuple[int, ...]) -> Made:  # noqa: ARG001
    first = tuple(int(record[f"n_elem1_{i}"]) for i in range(3) if f"n_elem1_{i}" in record)
    second = tuple(int(record[f"n_elem2_{i}"]) for i in range(3) if f"n_elem2_{i}" in record)
    own = int(record.get("axis", -1)) if str(record.get("axis", -1)).lstrip("-").isdigit() else -1
    axis = own - 1 if own > 0 else own
    outside = list(first)
    outside[axis] = first[axis] + second[axis]
    return Made("concat", first, tuple(outside), attributes={"axis": own})


def _wires(record: Record, function: str, shape: tuple[int, ...]) -> Made:  # noqa: ARG001
    return Made("identity", shape, shape)


_MAKERS: Final[Mapping[str, Callable[[Record, str, tuple[int, ...]], Made]]] = {
    "dense": _dense, "conv1d": _conv(("width",)), "conv2d": _conv(("height", "width")),
    "depthwise_conv1d": _conv(("width",)), "depthwise_conv2d": _conv(("height", "width")),
    "activ": _activation, "hard_activ": _activation, "batchnorm": _batch_norm,
    "padding1d": _padding, "padding2d": _padding, "pooling1d": _pooling, "pooling2d": _pooling,
    "resize": _resize, "merge": _merge, "concat": _concat, "transpose": _wires,
    "broadcast": _wires, "batchnorm_quantized_tanh": _wires,
}  # fmt: skip


def _int(record: Record, key: str) -> int:
    value = record[key]
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"expected a whole number above 0 for '{key}', found {value!r}")
    return value
