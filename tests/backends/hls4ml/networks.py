"""Small Networks with weights for the tests of the hls4ml backend, made layer by layer."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow.frontends.model import Model
from edgeflow.network import Layer, Network, Quantizer, Weight, count_macs
from edgeflow.targets import Target

PYNQ = Target("pynq-z2", "PYNQ-Z2", "fpga", "TUL", ("hls4ml",), "xc7z020clg400-1", clock_mhz=100)


def fixed(bits: int, integer: int, signed: bool = True) -> Quantizer:
    """As QKeras' quantized_bits(bits, integer) or quantized_relu(bits, integer)."""
    return Quantizer("fixed", bits, signed, integer, rounding="RND_CONV", overflow="SAT")


def rounded(values: np.ndarray, quantizer: Quantizer) -> np.ndarray:
    step = 2.0 ** (quantizer.integer + quantizer.signed - quantizer.bits)
    low = -(2 ** (quantizer.bits - 1)) if quantizer.signed else 0
    high = 2 ** (quantizer.bits - quantizer.signed) - 1
    return np.clip(np.round(values / step), low, high) * step


class Draft:
    """A Network in the making; each layer reads the one before unless told otherwise."""

    def __init__(self, shape: tuple[int, ...], seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.layers: list[Layer] = [Layer("x", "input", output_shape=shape)]
        self.arrays: dict[str, np.ndarray] = {}

    def add(
        self,
        name: str,
        kind: str,
        shape: tuple[int, ...] | None = None,
        inputs: tuple[str, ...] = (),
        weights: dict[str, Any] | None = None,
        quantizer: Quantizer | None = None,
        kernel: Quantizer | None = None,
        **attributes: Any,
    ) -> Draft:
        """`weights`: shapes, or values, by role; `kernel`: how they are rounded."""
        by_name = {layer.name: layer for layer in self.layers}
        inputs = inputs or (self.layers[-1].name,)
        shapes = tuple(by_name[source].output_shape for source in inputs)
        made = {}
        for role, given in (weights or {}).items():
            values = self.draw(given) if isinstance(given, tuple) else np.asarray(given)
            values = rounded(values, kernel) if kernel else values
            self.arrays[f"{name}/{role}"] = values.astype(np.float32)
            bits = kernel.bits if kernel else 32
            made[role] = Weight(values.shape, bits, int(np.count_nonzero(values)), kernel)
        shape = shapes[0] if shape is None else shape
        layer = Layer(name, kind, inputs, shapes, shape, attributes, made, quantizer)
        self.layers.append(
            Layer(name, kind, inputs, shapes, shape, attributes, made, quantizer, count_macs(layer))
        )
        return self

    def draw(self, shape: tuple[int, ...]) -> np.ndarray:
        fan = math.prod(shape[:-1]) if len(shape) > 1 else 4
        return self.random.normal(size=shape) / math.sqrt(fan)

    def dense(self, name: str, units: int, kernel: Quantizer | None = None) -> Draft:
        *lead, width = self.layers[-1].output_shape
        weights = {"kernel": (width, units), "bias": (units,)}
        return self.add(name, "dense", (*lead, units), weights=weights, kernel=kernel, units=units)

    def conv(
        self,
        name: str,
        filters: int,
        size: int = 3,
        stride: int = 1,
        padding: str = "same",
        kernel: Quantizer | None = None,
        kind: str = "conv",
    ) -> Draft:
        *space, channels = self.layers[-1].output_shape
        rank = len(space)
        cut = 0 if padding == "same" else size - 1
        out = [math.ceil((side - cut) / stride) for side in space]
        depthwise = kind == "depthwise_conv"
        last = (channels, 1) if depthwise else (channels, filters)
        filters = channels if depthwise else filters
        return self.add(
            name, f"{kind}{rank}d", (*out, filters), kernel=kernel,
            weights={"kernel": (*[size] * rank, *last), "bias": (filters,)},
            strides=[stride] * rank, padding=padding, dilation_rate=[1] * rank, groups=1,
            kernel_size=[size] * rank,
        )  # fmt: skip

    def norm(self, name: str) -> Draft:
        channels = self.layers[-1].output_shape[-1]
        random = self.random
        values = {
            "gamma": random.uniform(0.5, 1.5, channels), "beta": random.normal(size=channels) / 4,
            "moving_mean": random.normal(size=channels) / 4,
            "moving_variance": random.uniform(0.5, 1.5, channels),
        }  # fmt: skip
        return self.add(name, "batch_norm", weights=values, axis=-1, epsilon=1e-3)

    def pool(self, name: str, kind: str = "max", size: int = 2) -> Draft:
        *space, channels = self.layers[-1].output_shape
        rank = len(space)
        return self.add(
            name, f"{kind}_pool{rank}d", (*[side // size for side in space], channels),
            pool_size=[size] * rank, strides=[size] * rank, padding="valid",
        )  # fmt: skip

    def flatten(self, name: str = "flat") -> Draft:
        return self.add(name, "flatten", (math.prod(self.layers[-1].output_shape),))

    def network(self, name: str = "net") -> Network:
        source = {"format": "network"}
        return Network(name, tuple(self.layers), ("x",), (self.layers[-1].name,), source)

    def save(self, folder: Path) -> Model:
        folder.mkdir(parents=True, exist_ok=True)
        self.network().save(folder / "network.json")
        np.savez(folder / "weights.npz", **self.arrays)
        (folder / "model.json").write_text(json.dumps({"format": "network", "source": []}))
        return Model(folder)


def mlp() -> Draft:
    """16-24-5, 6 bits, its input rounded to 8."""
    draft = Draft((16,)).add("q", "quantize", quantizer=fixed(8, 2))
    draft.dense("fc1", 24, fixed(6, 0)).add("relu1", "relu", quantizer=fixed(6, 2, False))
    return draft.dense("fc2", 5, fixed(6, 0))


def cnn() -> Draft:
    """8x8x2 through two convolutions and a pool, 6 bits; a residual sum of both branches."""
    draft = Draft((8, 8, 2), seed=1).add("q", "quantize", quantizer=fixed(8, 1))
    draft.conv("conv1", 4, kernel=fixed(6, 0)).add("relu1", "relu", quantizer=fixed(6, 2, False))
    draft.conv("conv2", 4, kernel=fixed(6, 0)).add("relu2", "relu", quantizer=fixed(6, 2, False))
    draft.add("sum", "add", inputs=("relu1", "relu2")).pool("pool").flatten()
    return draft.dense("fc", 5, fixed(6, 0))


def small_cnn() -> Draft:
    """6x6x2 through a convolution and a dense layer, 6 bits."""
    draft = Draft((6, 6, 2), seed=3).add("q", "quantize", quantizer=fixed(8, 1))
    draft.conv("conv", 4, padding="valid", kernel=fixed(6, 0))
    draft.add("relu", "relu", quantizer=fixed(6, 2, False)).flatten()
    return draft.dense("fc", 3, fixed(6, 0))


def float_cnn() -> Draft:
    """Float: convolution, batch norm (folded), a batch norm alone, tanh, average pool, softmax."""
    draft = Draft((8, 8, 2), seed=2).conv("conv", 4, padding="valid").norm("bn").add("relu", "relu")
    draft.norm("bn2").add("tanh", "tanh").pool("pool", "avg", 3).flatten().dense("fc", 5)
    return draft.add("softmax", "softmax")
