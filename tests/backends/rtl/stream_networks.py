"""Networks for the tests of the stream style, and what they compute, in plain numpy."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path
from typing import Any

import numpy as np

_spec = importlib.util.spec_from_file_location(
    "hls_networks", Path(__file__).parents[1] / "hls4ml" / "networks.py"
)
assert _spec is not None
assert _spec.loader is not None
hls = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(hls)

Draft, fixed = hls.Draft, hls.fixed
Quantizer = hls.Quantizer
ACT = fixed(6, 2, False)


def mlp() -> Any:
    """16-24-5 of 6 bits."""
    return hls.mlp()


def residual() -> Any:
    """Two convolutions, the second beside a shortcut; pool, dense."""
    return hls.cnn()


def windows() -> Any:
    """Every way that a window can lie: kernels, strides, paddings, dilation, odd sizes."""
    draft = Draft((11, 9, 3), seed=3).add("q", "quantize", quantizer=fixed(8, 1))
    draft.conv("wide", 4, 5, 1, "same", fixed(6, 0)).add("r1", "relu", quantizer=ACT)
    draft.conv("deep", 4, 3, 2, "same", fixed(5, 0), kind="depthwise_conv")
    draft.add("r2", "relu", quantizer=fixed(5, 1, False))
    draft.conv("point", 6, 1, 1, "valid", fixed(4, 0)).add("r3", "relu", quantizer=ACT)
    pool(draft, "peak", "max", (6, 5), (3, 3), (1, 1), "same")
    draft.conv("even", 4, 2, 1, "same", fixed(6, 0)).add("r4", "relu", quantizer=ACT)
    draft.conv("jump", 2, 3, 2, "valid", fixed(6, 0)).add("r5", "relu", quantizer=ACT)
    return draft.flatten().dense("fc", 3, fixed(6, 0))


def padded() -> Any:
    """A padding layer, a dilated convolution, a strided one that skips rows, averages."""
    draft = Draft((9, 9, 2), seed=4).add("q", "quantize", quantizer=fixed(6, 0))
    draft.add("pad", "pad", (12, 11, 2), padding=[[2, 1], [0, 2]])
    draft.conv("c1", 4, 3, 1, "valid", fixed(6, 0)).add("r1", "relu", quantizer=ACT)
    draft.add("spread", "conv2d", (6, 5, 4), kernel=fixed(6, 0),
              weights={"kernel": (3, 3, 4, 4), "bias": (4,)}, strides=[1, 1], padding="valid",
              dilation_rate=[2, 2])  # fmt: skip
    draft.add("r2", "relu", quantizer=ACT)
    draft.add("skip", "conv2d", (2, 2, 6), kernel=fixed(6, 0),
              weights={"kernel": (2, 1, 4, 6)}, strides=[3, 3], padding="valid")  # fmt: skip
    draft.norm_po2("bn").add("r3", "relu", quantizer=ACT)
    draft.pool("mean", "avg", 2)
    draft.add("global", "global_avg_pool2d", (6,))
    return draft.dense("fc", 4, fixed(6, 0)).add("softmax", "softmax")


def series() -> Any:
    """Over time: conv1d with stride, depthwise, pools, a dense layer on every step, a leaky ReLU."""
    draft = Draft((24, 2), seed=5).add("q", "quantize", quantizer=fixed(7, 1))
    draft.conv("c1", 4, 5, 2, "same", fixed(6, 0)).add("r1", "relu", quantizer=ACT)
    draft.conv("c2", 4, 3, 1, "same", fixed(6, 0), kind="depthwise_conv")
    draft.add("r2", "leaky_relu", negative_slope=0.125, quantizer=fixed(8, 2))
    draft.dense("each", 6, fixed(5, 0)).add("r3", "relu", max_value=2.0, quantizer=ACT)
    draft.pool("peak", "max", 2)
    draft.add("all", "global_max_pool1d", (6,))
    return draft.dense("fc", 3, fixed(6, 0))


def roundings() -> Any:
    """Every rounding and overflow one after the other, then a dense layer."""
    draft = Draft((6,), seed=6)
    draft.add("q", "quantize", quantizer=Quantizer("fixed", 16, True, 3, rounding="RND_CONV"))
    for index, (bits, integer, rounding, overflow) in enumerate(
        (
            (14, 3, "RND", "SAT"), (12, 3, "RND_INF", "SAT_SYM"), (11, 2, "TRN_ZERO", "WRAP"),
            (9, 2, "RND_ZERO", "SAT"), (8, 2, "TRN", "SAT"), (6, 1, "RND_CONV", "SAT"),
        )
    ):  # fmt: skip
        quantizer = Quantizer("fixed", bits, True, integer, rounding=rounding, overflow=overflow)
        draft.add(f"q{index}", "quantize", quantizer=quantizer)
    return draft.dense("fc", 4, fixed(6, 0))


def norm_po2(self: Any, name: str) -> Any:
    """A batch norm whose factors are exact in few bits (epsilon 0, variances powers of 4)."""
    channels = self.layers[-1].output_shape[-1]
    random = self.random
    values = {
        "gamma": random.integers(3, 12, channels) / 8, "beta": random.integers(-8, 8, channels) / 8,
        "moving_mean": random.integers(-8, 8, channels) / 8,
        "moving_variance": 4.0 ** random.integers(-1, 2, channels),
    }  # fmt: skip
    return self.add(name, "batch_norm", weights=values, axis=-1, epsilon=0.0)


Draft.norm_po2 = norm_po2


def pool(
    draft: Any,
    name: str,
    kind: str,
    shape: tuple[int, ...],
    size: tuple[int, ...],
    strides: tuple[int, ...],
    padding: str,
) -> Any:
    """A pool of any window, its output of the size (rows, columns) given."""
    channels = draft.layers[-1].output_shape[-1]
    return draft.add(
        name, f"{kind}_pool{len(size)}d", (*shape, channels),
        pool_size=list(size), strides=list(strides), padding=padding,
    )  # fmt: skip


def compute(draft: Any, x: np.ndarray) -> np.ndarray:
    """The Network's logits in float64, where all its numbers are exact."""
    values = {"x": np.asarray(x, np.float64)}
    last = "x"
    for layer in draft.layers[1:]:
        if layer.kind == "softmax":
            break
        weights = {r: draft.arrays[f"{layer.name}/{r}"].astype(np.float64) for r in layer.weights}
        inputs = [values[name] for name in layer.inputs]
        y = _layer(layer, inputs, weights)
        y = y.reshape(len(x), *layer.output_shape)
        values[layer.name] = y if layer.quantizer is None else quantized(y, layer.quantizer)
        last = layer.name
    return values[last]


def _layer(layer: Any, inputs: list[np.ndarray], weights: dict[str, np.ndarray]) -> np.ndarray:
    x, kind = inputs[0], layer.kind
    if kind == "dense":
        return x @ weights["kernel"] + weights.get("bias", 0.0)
    if "conv" in kind or ("pool" in kind and "global" not in kind):
        return _windows(layer, x, weights)
    if kind.startswith("global"):
        axes = tuple(range(1, x.ndim - 1))
        return x.max(axes) if "max" in kind else x.mean(axes)
    if kind == "relu":
        return np.clip(x, 0, layer.attributes.get("max_value"))
    if kind == "leaky_relu":
        return np.where(x >= 0, x, x * layer.attributes["negative_slope"])
    if kind == "batch_norm":
        scale = weights["gamma"] / np.sqrt(weights["moving_variance"])
        return (x - weights["moving_mean"]) * scale + weights["beta"]
    if kind == "pad":
        return np.pad(x, ((0, 0), *map(tuple, layer.attributes["padding"]), (0, 0)))
    if kind == "add":
        return inputs[0] + inputs[1]
    assert kind in ("quantize", "flatten")
    return x


def _windows(layer: Any, x: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    rank = x.ndim - 2
    at = layer.attributes
    kernel = weights.get("kernel")
    size = at["pool_size"] if kernel is None else kernel.shape[:rank]
    strides, dilation = at["strides"], at.get("dilation_rate") or [1] * rank
    outside = -np.inf if "max" in layer.kind else 0.0
    pads = [(0, 0)]
    for axis in range(rank):
        reach = (size[axis] - 1) * dilation[axis] + 1
        total = (layer.output_shape[axis] - 1) * strides[axis] + reach - x.shape[axis + 1]
        total = max(total, 0) if at["padding"] == "same" else 0
        pads.append((total // 2, total - total // 2))
    x = np.pad(x, [*pads, (0, 0)], constant_values=outside)
    found = np.zeros((len(x), *layer.output_shape))
    for place in itertools.product(*(range(n) for n in layer.output_shape[:rank])):
        cut = tuple(
            slice(p * s, p * s + (k - 1) * d + 1, d)
            for p, s, k, d in zip(place, strides, size, dilation, strict=True)
        )
        part = x[(slice(None), *cut)]
        axes = tuple(range(1, rank + 1))
        if "pool" in layer.kind:
            y = part.max(axes) if "max" in layer.kind else part.mean(axes)
        elif layer.kind.startswith("depthwise"):
            y = (part * kernel[..., 0]).sum(axes)
        else:
            y = np.tensordot(part, kernel, axes=rank + 1)
        found[(slice(None), *place)] = y
    return found + weights.get("bias", 0.0)


def quantized(values: np.ndarray, quantizer: Any) -> np.ndarray:
    """As the definitions of ap_fixed's modes say it."""
    step = 2.0 ** (quantizer.integer + quantizer.signed - quantizer.bits)
    q = values / step
    away = np.sign(q) * np.floor(np.abs(q) + 0.5)
    towards = np.sign(q) * np.ceil(np.abs(q) - 0.5)
    q = {
        "RND_CONV": np.round, "RND": lambda v: np.floor(v + 0.5), "TRN": np.floor,
        "TRN_ZERO": np.trunc, "RND_INF": lambda _: away, "RND_ZERO": lambda _: towards,
    }[quantizer.rounding](q)  # fmt: skip
    high = 2 ** (quantizer.bits - quantizer.signed) - 1
    low = -high - 1 if quantizer.signed else 0
    if quantizer.overflow == "WRAP":
        return ((q - low) % (high - low + 1) + low) * step
    return np.clip(q, -high if quantizer.overflow == "SAT_SYM" else low, high) * step
