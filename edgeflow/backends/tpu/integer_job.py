"""Products of int8 codes with int32 sums, in jax: what ``precision: int8`` puts into the graph.

Each product is ``sum((q_x - zero) * q_w)`` in int32, exactly; a bias on the grid of the sums is
added there. Then one float32 multiplication by step x scale gives the real value, the layer's
activation follows, and its quantiser makes the next codes. Where all steps are powers of two and
the sums stay below 2**24, every one of these is exact: the graph equals the model to the bit. The
layers of an int8 .tflite file are rescaled by `rescale_job` instead, in integers as TFLite does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from edgeflow.backends.fixed_job import fraction_of
from edgeflow.backends.tflite.plan_job import grid
from edgeflow.backends.tpu import rescale_job
from edgeflow.backends.tpu.arithmetic_job import Call, each_axis, window_rank
from edgeflow.backends.tpu.integers import PRODUCTS, Code, codes, moving, obstacle
from edgeflow.backends.tpu.operations_job import OPERATIONS, mode, padding_of, transposed, window
from edgeflow.backends.tpu.rescale_job import Rescaled
from edgeflow.network import Layer, Network

Array = Any
LOWEST, HIGHEST = -128, 127


@dataclass(frozen=True)
class Product:
    """A layer's kernel in int8: value = scale x q; ``scale`` has one element, or one per output.

    ``bias`` is in int32 on the grid of the sums; None where it is added in float32, or not there.
    """

    kernel: np.ndarray
    scale: np.ndarray
    code: Code
    bias: np.ndarray | None


@dataclass(frozen=True)
class Plan:
    """Codes by layer, the products of integers by layer, and why other layers have none.

    ``rescaled``: the layers whose sums become codes as in TensorFlow Lite's kernels.
    """

    codes: Mapping[str, Code]
    products: Mapping[str, Product]
    floats: Mapping[str, str]
    rescaled: Rescaled

    def moves(self, layer: Layer) -> bool:
        """Whether a layer of `MOVING` passes its input's codes on as they are."""
        code, own = self.codes.get(layer.name), layer.quantizer
        if not moving(layer) or code is None or self.codes.get(layer.inputs[0]) != code:
            return False
        return own is None or (own.kind == "affine" and own.bits == 8 and not own.narrow)


def plan(
    network: Network,
    weights: Mapping[str, Mapping[str, np.ndarray]],
    grids: Mapping[str, Mapping[str, Any]],
) -> Plan:
    """What computes in integers, from the Network and its arrays (by layer, by role)."""
    held = codes(network, {name: _by_element(g) for name, g in grids.items() if "fraction" in g})
    products: dict[str, Product] = {}
    floats: dict[str, str] = {}
    for layer in network:
        if layer.kind in ("lstm", "gru", "simple_rnn", "matmul"):
            floats[layer.name] = f"'{layer.kind}' has no integer form here"
        if layer.kind not in PRODUCTS:
            continue
        code = held.get(layer.inputs[0])
        why = obstacle(layer, code)
        found = None if why else kernel_codes(layer, weights[layer.name]["kernel"])
        if found is None or code is None:
            floats[layer.name] = why or "its weights do not lie on a grid of 8 bits"
            continue
        q, scale = found
        bias = _bias(weights[layer.name].get("bias"), scale * code.step)
        products[layer.name] = Product(q, scale, code, bias)
    whole = {
        name: product.bias is not None or "bias" not in weights[name]
        for name, product in products.items()
    }
    return Plan(held, products, floats, rescale_job.rescaled(network, held, whole))


def kernel_codes(layer: Layer, values: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """A kernel's int8 codes and scales (float64); None where its values lie on no such grid.

    Tried in turn: the kernel's own affine quantiser, one power of two, a power of two per output
    channel, any step per output channel (values within 1e-5 of the largest).
    """
    quantizer = layer.weights["kernel"].quantizer
    columns = _columns(layer, np.asarray(values, np.float64))
    if quantizer is not None and quantizer.kind == "affine" and quantizer.scale:
        if any(quantizer.zero_point or ()):
            return None
        return _codes(columns, np.asarray(quantizer.scale, np.float64), values.shape)
    whole = fraction_of(columns, 60)
    if whole is not None:
        found = _codes(columns, np.asarray([2.0**-whole]), values.shape)
        if found is not None:
            return found
        each = [fraction_of(column, 60) or 0 for column in columns.T]
        found = _codes(columns, 2.0 ** -np.asarray(each, np.float64), values.shape)
        if found is not None:
            return found
    steps = [grid(column) for column in columns.T]
    if any(step is None for step in steps):
        return None
    return _codes(columns, np.asarray(steps, np.float64), values.shape)


def _columns(layer: Layer, values: np.ndarray) -> np.ndarray:
    """A kernel as elements x output channels."""
    depthwise = layer.kind.startswith("depthwise")
    return values.reshape(-1, values.shape[-1] * (values.shape[-2] if depthwise else 1))


def _codes(
    columns: np.ndarray, scale: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray] | None:
    exact = columns / scale
    q = np.rint(exact)
    if np.abs(exact - q).max(initial=0) > 1e-3 or np.abs(q + 0.5).max(initial=0) > HIGHEST + 0.5:
        return None
    return q.reshape(shape).astype(np.int8), scale


def _bias(values: np.ndarray | None, step: np.ndarray) -> np.ndarray | None:
    """The bias in steps of the sums, where it lies on them (within float32's own rounding)."""
    if values is None:
        return None
    exact = np.asarray(values, np.float64) / step
    q = np.rint(exact)
    fits = np.abs(q).max(initial=0) < 2**30
    near = np.abs(exact - q) <= np.maximum(1e-6, 2.0**-22 * np.abs(q))
    return q.astype(np.int32) if fits and near.all() else None


def _by_element(grid: Mapping[str, Any]) -> Code | None:
    """One code for a tensor whose elements are rounded to different bits (HGQ2)."""
    signed = np.asarray(grid.get("signed", 1), np.float64)
    integer = np.asarray(grid["integer"], np.float64)
    fraction = np.asarray(grid["fraction"], np.float64)
    live = np.broadcast_to(signed + integer + fraction > 0, np.broadcast(integer, fraction).shape)
    if not live.any():
        return Code(1.0)
    finest = np.broadcast_to(fraction, live.shape)[live].max()
    top = 2.0 ** (np.broadcast_to(integer, live.shape)[live].max() + finest)
    if top <= 128:
        return Code(2.0**-finest)
    unsigned = not np.broadcast_to(signed, live.shape)[live].any()
    return Code(2.0**-finest, -128) if unsigned and top <= 256 else None


def encode(values: Array, code: Code) -> Array:
    """The int8 codes of values that lie on the grid."""
    q = jnp.round(values / np.float32(code.step)) + code.zero
    return jnp.clip(q, LOWEST, HIGHEST).astype(jnp.int8)


def decode(q: Array, code: Code) -> Array:
    """The values of codes."""
    return (q.astype(jnp.float32) - code.zero) * np.float32(code.step)


def move(call: Call, code: Code) -> Array:
    """A layer that moves values, on codes (``call.inputs``)."""
    if call.layer.kind == "pad":
        zeros = replace(call.layer, attributes={**call.attributes, "value": np.int8(code.zero)})
        return OPERATIONS["pad"](replace(call, layer=zeros))
    if "max_pool" not in call.layer.kind:
        return OPERATIONS[call.layer.kind](call)
    x = call.x
    if call.layer.kind.startswith("global"):
        keep = len(call.layer.output_shape) == x.ndim - 1
        return jnp.max(x, axis=tuple(range(1, x.ndim - 1)), keepdims=keep)
    rank = window_rank(call.layer)
    size = each_axis(call.get("pool_size", 2), rank)
    strides = each_axis(call.get("strides") or size, rank)
    sides = padding_of(mode(call.layer), x.shape[1:-1], size, strides)
    return lax.reduce_window(
        x, np.int8(LOWEST), lax.max, (1, *size, 1), (1, *strides, 1), [(0, 0), *sides, (0, 0)]
    )


def multiply(call: Call, product: Product) -> Array:
    """The layer's real outputs, float32, from the codes of its input (``call.inputs``)."""
    sums = _biased(call, product)
    scale = product.scale * product.code.step
    real = sums.astype(jnp.float32) * scale.astype(np.float32)
    if product.bias is None and "bias" in call.weights:
        real = real + call.weights["bias"]
    return real


def _biased(call: Call, product: Product) -> Array:
    sums = _sums(call, product)
    return sums if product.bias is None else sums + product.bias


def _sums(call: Call, product: Product) -> Array:
    x, kernel, layer, zero = call.x, product.kernel, call.layer, product.code.zero
    if layer.kind == "dense":
        sums = lax.dot_general(
            x, kernel, (((x.ndim - 1,), (0,)), ((), ())), preferred_element_type=jnp.int32
        )
        return sums - _offset(layer, kernel, zero) if zero else sums
    if layer.kind.endswith("transpose"):
        turned, padding, strides, dilation = transposed(layer, kernel, x.shape[1:-1])
        ones = (1,) * len(strides)
        return _convolve(x, turned, ones, padding, dilation, 1, strides)
    strides, dilation, windows = window(layer, kernel)
    padding = padding_of(mode(layer), x.shape[1:-1], windows, strides)
    groups = x.shape[-1] // kernel.shape[-2]
    flat = kernel
    if layer.kind.startswith("depthwise"):
        groups = x.shape[-1]
        flat = kernel.reshape((*kernel.shape[:-2], 1, -1))
    if zero and any(before or after for before, after in padding):
        # A padded element is the value 0, whose code is the zero point.
        sides = [(0, 0, 0), *((b, a, 0) for b, a in padding), (0, 0, 0)]
        x, padding = lax.pad(x, np.int8(zero), sides), [(0, 0)] * len(padding)
    sums = _convolve(x, flat, strides, padding, dilation, groups)
    return sums - _offset(layer, kernel, zero) if zero else sums


def _offset(layer: Layer, kernel: np.ndarray, zero: int) -> np.ndarray:
    """The zero point times the kernel's sum, by output channel."""
    found: np.ndarray = zero * _columns(layer, kernel.astype(np.int64)).sum(0)
    return found.astype(np.int32)


def _convolve(
    x: Array, kernel: np.ndarray, strides: Any, padding: Any, dilation: Any, groups: int,
    spread: Any = None,
) -> Array:  # fmt: skip
    space = "DHW"[-(x.ndim - 2) :]
    return lax.conv_general_dilated(
        x, kernel, strides, padding, lhs_dilation=spread, rhs_dilation=dilation,
        dimension_numbers=(f"N{space}C", f"{space}IO", f"N{space}C"),
        feature_group_count=groups, preferred_element_type=jnp.int32,
    )  # fmt: skip


class Integers:
    """The integers of one walk through the layers: codes, and sums that a relu will cut off."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.codes: dict[str, Array] = {}
        self.wide: dict[str, Array] = {}

    def rounded(self, call: Call) -> Array | None:
        """The layer's values, its quantiser applied, if it is integers from end to end."""
        layer, plan = call.layer, self.plan
        name = layer.name
        if plan.moves(layer):
            self.codes[name] = move(self._coded(call), plan.codes[name])
            return decode(self.codes[name], plan.codes[name])
        if name in plan.rescaled.codes:
            self.wide[name] = self._rescaled(call, plan.rescaled.codes[name])
        if name in plan.rescaled.ranges:
            source = name if name in self.wide else layer.inputs[0]
            within = jnp.clip(self.wide[source], *plan.rescaled.ranges[name])
            self.codes[name] = within.astype(jnp.int8)
            return decode(self.codes[name], plan.codes[name])
        return decode(self.wide[name], plan.rescaled.codes[name]) if name in self.wide else None

    def real(self, call: Call) -> Array | None:
        """The layer's real values, if it multiplies integers."""
        product = self.plan.products.get(call.layer.name)
        return multiply(self._coded(call), product) if product else None

    def encode(self, layer: Layer, values: Array) -> None:
        """Keep the codes of a layer's values, if it has them."""
        if layer.name in self.plan.codes:
            self.codes[layer.name] = encode(values, self.plan.codes[layer.name])

    def _rescaled(self, call: Call, out: Code) -> Array:
        layer, plan, coded = call.layer, self.plan, self._coded(call)
        product = plan.products.get(layer.name)
        if product is None:
            inputs = [plan.codes[name] for name in layer.inputs]
            return rescale_job.of_others(coded, inputs, out)
        return rescale_job.of_product(
            layer, _biased(coded, product), product.scale, product.code, out
        )

    def _coded(self, call: Call) -> Call:
        return replace(call, inputs=[self.codes[name] for name in call.layer.inputs])
