"""A Network as hls4ml's list of layers, each with the types it computes in.

hls4ml has a parser per framework. The Network is what edgeflow's front ends made of all of them,
so one translation serves Keras, QKeras, HGQ2, ONNX, QONNX and TFLite alike; it needs no framework,
and the HLS layers have the Network's names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgeflow.backends.fixed_job import (
    Fixed,
    exact,
    fitting,
    of_quantizer,
    rounded_to,
    spanning,
)
from edgeflow.backends.hls4ml.arithmetic_job import CLASSES, Arithmetic, pair_of
from edgeflow.backends.hls4ml.compilers import CURVES
from edgeflow.backends.hls4ml.functions_job import PARAMETERS, TABLES, Functions
from edgeflow.backends.hls4ml.plan_job import EXACT_WEIGHTS, Plan
from edgeflow.errors import UnsupportedError
from edgeflow.network import Layer

EXACT_BITS = 8
"""Quantisers of fewer bits are copied to the step."""


class Translator(Arithmetic, Functions):
    """Makes the plan; one method per family of layers."""

    def run(self) -> Plan:
        """Translate every layer.

        Raises:
            UnsupportedError: a kind that `rules` should have refused.
        """
        for layer in self.network:
            if layer.name in self.plan.place:
                continue  # folded into the layer before
            method = METHODS.get(layer.kind)
            if method is None:
                raise UnsupportedError(f"hls4ml has no layer of kind '{layer.kind}'")
            method(self, layer)
            self._uneven(layer)
        return self.plan

    def _uneven(self, layer: Layer) -> None:
        """A quantiser whose steps are no powers of two.

        Of few bits it is copied. Of 8 and more the project keeps more bits instead, which is as
        good and needs no multipliers; but the ReLU of integer models is often only their
        quantiser's: nothing below its zero.
        """
        quantizer = layer.quantizer
        if quantizer is None or quantizer.kind != "affine" or of_quantizer(quantizer) is not None:
            return
        if quantizer.bits < EXACT_BITS and layer.kind != "input":
            levels = Fixed(
                int(quantizer.bits), int(quantizer.bits), quantizer.signed, "AP_RND_CONV",
                "AP_SAT_SYM" if quantizer.narrow and quantizer.signed else "AP_SAT",
            )  # fmt: skip
            zero = np.asarray(quantizer.zero_point or (0,), float)
            self.levels(layer, levels, np.asarray(quantizer.scale, float), zero)
            return
        least = -(2 ** (int(quantizer.bits) - 1)) + quantizer.narrow if quantizer.signed else 0
        x = self.emitted[self.plan.place[layer.name]].result
        if set(quantizer.zero_point or (0,)) != {least} or x.low >= 0 or layer.kind == "input":
            return
        full = spanning(0, max(x.high, x.lsb), x.fraction)
        self.emit(
            layer, "Activation", {"result": self.result(layer, full)},
            inputs=[self.plan.place[layer.name]], suffix="_clip",
            activation="relu", n_in=layer.output_size, trusted=True,
        )  # fmt: skip

    def input(self, layer: Layer) -> None:
        """The input: quantised as the model does, else exact for the golden inputs, else fine."""
        kind = self.types.given(layer.name, "result") or of_quantizer(layer.quantizer)
        if kind is None:
            readers = self.network.consumers[layer.name]
            own = {of_quantizer(reader.quantizer) for reader in readers}
            if all(reader.kind == "quantize" for reader in readers) and len(own) == 1:
                kind = own.pop()  # the first thing that the model does: do it on the way in
        if kind is None and self.x is not None:
            kind = exact(self.x, 16)
            kind = kind.rounded() if kind else None
            if kind is None:
                self.plan.inexact.append(layer.name)
                kind = self.types.default or fitting(
                    float(self.x.min()), float(self.x.max()), self.types.bits
                )
        if kind is None:
            self.plan.inexact.append(layer.name)
            kind = self.types.default or Fixed(self.types.bits, 8).rounded()
        shape = [int(dim or 1) for dim in layer.output_shape]
        self.emit(layer, "InputLayer", {"result": kind}, inputs=[], input_shape=shape)

    def relu(self, layer: Layer) -> None:
        """max(x, 0), below an upper bound where there is one: top - max(top - max(x, 0), 0)."""
        top = layer.attributes.get("max_value")
        x = self.source(layer).result
        quantizer = layer.quantizer
        saturates = quantizer is not None and quantizer.integer is not None
        if saturates and quantizer is not None and 2.0 ** (quantizer.integer or 0) <= (top or 0):
            top = None  # its type stops below the bound
        if top is None or x.high <= top:
            self.clipped(layer)
            return
        top_t = exact(np.array([float(top)]), EXACT_WEIGHTS)
        if top_t is None:
            self.plan.inexact.append(layer.name)
            top_t = fitting(0.0, float(top), EXACT_WEIGHTS)
        top = float(rounded_to(np.array([float(top)]), top_t)[0])
        fraction = max(x.fraction, top_t.fraction)
        size = layer.output_size
        positive = spanning(0, max(x.high, x.lsb), x.fraction)
        self.emit(
            layer, "Activation", {"result": positive}, activation="relu", n_in=size, trusted=True
        )
        self.mirrored(layer, top, spanning(top - x.high, top, fraction), "_below", True)
        self.emit(
            layer, "Activation", {"result": spanning(0, top, fraction)},
            inputs=[self.plan.place[layer.name]], suffix="_room",
            activation="relu", n_in=size, trusted=True,
        )  # fmt: skip
        self.mirrored(layer, top, self.result(layer, spanning(0, top, fraction)), "_bound", True)

    def reshape(self, layer: Layer) -> None:
        """Flatten and reshape: the same values in the same order."""
        self.emit(
            layer, "Reshape", {"result": self.source(layer).result.plain()},
            target_shape=[int(dim or 1) for dim in layer.output_shape],
        )  # fmt: skip

    def transpose(self, layer: Layer) -> None:
        """Another order of the axes."""
        axes = layer.attributes.get("perm") or [d - 1 for d in layer.attributes["dims"]]
        self.emit(
            layer, "Transpose", {"result": self.source(layer).result.plain()}, perm=list(axes)
        )

    def pad(self, layer: Layer) -> None:
        """Zeros around an image or a series, or rows and columns cut away."""
        word = "pad" if layer.kind == "pad" else "crop"
        amounts = layer.attributes["padding" if word == "pad" else "cropping"]
        spatial = len(layer.output_shape) - 1
        pairs = [pair_of(item) for item in amounts][:spatial]
        sides = dict(zip(("width",) if spatial == 1 else ("height", "width"), pairs, strict=True))
        found: dict[str, Any] = {"n_chan": layer.output_shape[-1]}
        for index, (side, (before, after)) in enumerate(sides.items()):
            start, end = ("left", "right") if side == "width" else ("top", "bottom")
            found |= {f"{word}_{start}": before, f"{word}_{end}": after}
            found |= {
                f"in_{side}": layer.input_shapes[0][index],
                f"out_{side}": layer.output_shape[index],
            }
        class_name = f"{'ZeroPadding' if word == 'pad' else 'Cropping'}{spatial}D"
        self.emit(layer, class_name, {"result": self.source(layer).result.plain()}, **found)

    def upsample(self, layer: Layer) -> None:
        """Each element repeated."""
        (*size, channels), out = layer.input_shapes[0], layer.output_shape
        one = len(size) == 1
        self.emit(
            layer, "Resize", {"result": self.source(layer).result.plain()},
            algorithm="nearest", n_chan=channels,
            in_height=1 if one else size[0], in_width=size[-1],
            out_height=1 if one else out[0], out_width=out[len(size) - 1],
        )  # fmt: skip


METHODS: dict[str, Callable[[Translator, Layer], None]] = {
    "input": Translator.input,
    **dict.fromkeys(CLASSES, Translator.weighted),
    "batch_norm": Translator.batch_norm,
    "scale": Translator.scale,
    "relu": Translator.relu,
    **dict.fromkeys(("identity", "quantize", "dequantize"), Translator.linear),
    **dict.fromkeys(PARAMETERS, Translator.leaky),
    "prelu": Translator.prelu,
    **dict.fromkeys(TABLES, Translator.table),
    **dict.fromkeys(CURVES, Translator.curve),
    **dict.fromkeys(("hard_sigmoid", "hard_tanh"), Translator.hard),
    "softmax": Translator.softmax,
    **{
        f"{prefix}{op}_pool{n}d": Translator.pool
        for prefix in ("", "global_")
        for op in ("max", "avg")
        for n in (1, 2)
    },
    **dict.fromkeys(("flatten", "reshape"), Translator.reshape),
    "transpose": Translator.transpose,
    **dict.fromkeys(("pad", "crop"), Translator.pad),
    "upsample": Translator.upsample,
    **dict.fromkeys(
        ("add", "sub", "mul", "average", "maximum", "minimum", "concat"), Translator.merge
    ),
    **dict.fromkeys(("lstm", "gru"), Translator.recurrent),
}
