"""What follows from a layer's kind, settings and inputs: its output's shape and its weights'.

Conventions are those of `edgeflow.network`: shapes without the batch, images channels last.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from edgeflow.network import ACTIVATIONS, Layer, Shape, Weight

SETTINGS: Final = frozenset(
    "units filters kernel_size strides padding pool_size dilation_rate groups depth_multiplier "
    "return_sequences axis target_shape size cropping alpha".split()
)
"""Keras' names of settings that shapes follow from."""

SAME: Final = ACTIVATIONS | frozenset(
    "batch_norm layer_norm scale quantize dequantize identity add sub mul div maximum minimum "
    "average".split()
)
"""Kinds whose output has their (largest) input's shape."""

GATES: Final = {"lstm": 4, "gru": 3, "simple_rnn": 1}


def completed(layer: Layer, given_output: bool) -> Layer:
    """The layer with its output's shape and its weights, where they are not given.

    Raises:
        ValueError: something is missing that they follow from, or given shapes contradict.
    """
    if layer.kind in ("input", "constant"):
        if not given_output:
            raise ValueError("the key 'output_shape' is missing")
        return layer
    guess = _settled(layer)
    output = _output(guess)
    if given_output and output is not None and _size(output) != _size(layer.output_shape):
        guess, output = _told_by_output(layer) or (guess, output)
    layer = guess
    if output is None and not given_output:
        raise ValueError(_missing(layer))
    if output is not None and given_output and _size(output) != _size(layer.output_shape):
        raise ValueError(
            f"the output_shape {list(layer.output_shape)} contradicts what follows from its "
            f"inputs and settings, {list(output)}"
        )
    layer = layer if given_output else replace(layer, output_shape=output or ())
    weights = {**_weights(layer), **layer.weights}
    return replace(layer, weights=weights)


def _told_by_output(layer: Layer) -> tuple[Layer, Shape] | None:
    """The layer with the padding and strides, where they were left out, that its output shows."""
    own, rank = layer.attributes, 2 if "2d" in layer.kind else 1
    if layer.kind.startswith("global_") or ("padding" in own and "strides" in own):
        return None
    pairs = zip(layer.input_shapes[0], layer.output_shape[:rank], strict=False)
    steps = [max(1, round((wide or 1) / (narrow or 1))) for wide, narrow in pairs]
    for padding in ("valid", "same"):
        tried = {"padding": padding, "strides": steps, **own}
        try:
            guess = _settled(replace(layer, attributes=tried))
            output = _output(guess)
        except ValueError:
            continue
        if output is not None and _size(output) == _size(layer.output_shape):
            return guess, output
    return None


def _missing(layer: Layer) -> str:
    """Why the output's shape cannot be told."""
    kind, rank = layer.kind, 2 if "2d" in layer.kind else 1
    if kind == "dense" or kind in GATES:
        return f"the key 'units' is missing (or 'output_shape'): a {kind} needs one"
    if kind.startswith(("conv", "depthwise")) and "transpose" not in kind:
        found = list(layer.input_shapes[0])
        if len(found) != rank + 1:
            return f"expected an input of {rank + 1} dimensions for a {kind}, found {found}"
        return "the keys 'filters' and 'kernel_size' are missing (or 'output_shape' and the kernel)"
    return f"the key 'output_shape' is missing: it does not follow for a {kind}"


def _settled(layer: Layer) -> Layer:
    """The layer with the settings that a front end would have written."""
    kind, own = layer.kind, dict(layer.attributes)
    if kind.startswith("global_") or not ("pool" in kind or kind.startswith(("conv", "depthwise"))):
        return layer
    rank = 2 if "2d" in kind else 1
    if "pool" in kind:
        own["pool_size"] = list(_tuple(_or(own.get("pool_size"), 2), rank))
        own["strides"] = list(_tuple(_or(own.get("strides"), own["pool_size"]), rank))
    else:
        if (window := _window(layer, rank)) is not None:
            own["kernel_size"] = list(window)
        own["strides"] = list(_tuple(_or(own.get("strides"), 1), rank))
        own["dilation_rate"] = list(_tuple(_or(own.get("dilation_rate"), 1), rank))
        if kind in ("conv1d", "conv2d"):
            own.setdefault("groups", 1)
    own.setdefault("padding", "valid")
    return replace(layer, attributes=own)


def _size(shape: Shape) -> int:
    return math.prod(dim or 1 for dim in shape)


def _output(layer: Layer) -> Shape | None:
    """The output's shape; None where it cannot be told."""
    kind, shape, own = layer.kind, layer.input_shapes[0], layer.attributes
    if kind in SAME:
        return max(layer.input_shapes, key=_size)
    if kind in ("dense", "lstm", "gru", "simple_rnn"):
        units = _units(layer)
        if kind == "dense":
            return None if units is None else (*shape[:-1], units)
        return (
            None
            if units is None
            else ((*shape[:-1], units) if own.get("return_sequences") else (units,))
        )
    rank = 2 if kind.endswith("2d") else 1
    if kind.startswith(("conv", "depthwise")) and "transpose" not in kind:
        window, filters = _window(layer, rank), _filters(layer, shape)
        if window is None or filters is None or len(shape) != rank + 1:
            return None
        return (*_slid(shape, window, layer, rank), filters)
    if kind.startswith("global_"):
        return (shape[-1],)
    if "pool" in kind:
        window = _pool(layer, rank)
        return (*_slid(shape, window, layer, rank), shape[-1])
    if kind == "flatten":
        return (_size(shape),)
    if kind == "reshape" and own.get("target_shape"):
        return tuple(int(dim) for dim in own["target_shape"])
    if kind == "upsample" and own.get("size"):
        factors = _tuple(own["size"], len(shape) - 1)
        return (
            *(None if dim is None else dim * f for dim, f in zip(shape, factors, strict=False)),
            shape[-1],
        )
    if kind == "concat":
        axis = int(own.get("axis", -1))
        if axis in (-1, len(shape)) and all(one[-1] for one in layer.input_shapes):
            return (*shape[:-1], sum(one[-1] or 0 for one in layer.input_shapes))
    return None


def _pool(layer: Layer, rank: int) -> tuple[int, ...]:
    """The window of a pooling layer, whose input must have so many axes and channels."""
    shape = layer.input_shapes[0]
    if len(shape) != rank + 1:
        raise ValueError(
            f"expected an input of {rank + 1} dimensions for a {layer.kind}, found {list(shape)}"
        )
    return _tuple(layer.attributes.get("pool_size", 2), rank)


def _units(layer: Layer) -> int | None:
    if layer.attributes.get("units") is not None:
        return _tuple(layer.attributes["units"], 1)[0]
    kernel = layer.weights.get("kernel")
    return kernel.shape[-1] // GATES.get(layer.kind, 1) if kernel is not None else None


def _filters(layer: Layer, shape: Shape) -> int | None:
    kernel = layer.weights.get("kernel")
    if layer.kind.startswith("depthwise"):
        if kernel is not None:
            return kernel.shape[-1] * kernel.shape[-2]
        return (shape[-1] or 1) * int(layer.attributes.get("depth_multiplier", 1))
    if layer.attributes.get("filters") is not None:
        return _tuple(layer.attributes["filters"], 1)[0]
    return kernel.shape[-1] if kernel is not None else None


def _window(layer: Layer, rank: int) -> tuple[int, ...] | None:
    if layer.attributes.get("kernel_size") is not None:
        return _tuple(layer.attributes["kernel_size"], rank)
    kernel = layer.weights.get("kernel")
    return kernel.shape[:rank] if kernel is not None and len(kernel.shape) == rank + 2 else None


def _or(given: Any, default: Any) -> Any:
    return default if given is None else given


def _tuple(given: Any, rank: int) -> tuple[int, ...]:
    values = tuple(given) if isinstance(given, list | tuple) else (given,) * rank
    if len(values) != rank or any(not isinstance(v, int) or v < 1 for v in values):
        raise ValueError(f"expected {rank} whole number(s) above 0, found {given!r}")
    return values


def _slid(shape: Shape, window: Sequence[int], layer: Layer, rank: int) -> list[int | None]:
    """Positions of a window along each axis."""
    own: Mapping[str, Any] = layer.attributes
    strides = _tuple(own["strides"], rank)
    rates = _tuple(_or(own.get("dilation_rate"), 1), rank)
    padding = str(own.get("padding", "valid")).lower()
    if padding not in ("same", "valid", "causal"):
        if not layer.output_shape:
            raise ValueError(f"with padding {padding!r} the key 'output_shape' must be there")
        return list(layer.output_shape[:rank])
    found: list[int | None] = []
    for dim, size, step, rate in zip(shape, window, strides, rates, strict=False):
        if dim is None:
            found.append(None)
            continue
        reach = (size - 1) * rate + 1
        if padding == "valid" and reach > dim:
            raise ValueError(f"its window of {reach} does not fit into {dim}")
        found.append(math.ceil(dim / step) if padding != "valid" else (dim - reach) // step + 1)
    return found


def _weights(layer: Layer) -> dict[str, Weight]:
    """The kernels that a layer of this kind must have."""
    kind, shape, output = layer.kind, layer.input_shapes[0], layer.output_shape
    if "kernel" in layer.weights:
        return {}
    inside = (shape[-1] if shape else 1) or 1
    if kind == "dense":
        return {"kernel": Weight((inside, (output[-1] if output else 1) or 1))}
    if kind in GATES:
        units = _units(layer) or output[-1] or 1
        gates = GATES[kind] * units
        return {"kernel": Weight((inside, gates)), "recurrent_kernel": Weight((units, gates))}
    rank = 2 if "2d" in kind else 1
    if not kind.startswith(("conv", "depthwise")):
        return {}
    window = _window(layer, rank)
    if window is None:
        raise ValueError("the key 'kernel_size' is missing")
    filters = output[-1] or 1
    if kind.startswith("depthwise"):
        return {"kernel": Weight((*window, inside, max(1, filters // inside)))}
    groups = int(layer.attributes.get("groups") or 1)
    return {"kernel": Weight((*window, inside // groups, filters))}
