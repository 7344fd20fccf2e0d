"""Layers that apply a function to each element: activations, roundings, softmax."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgeflow.backends.fixed_job import (
    Fixed,
    exact,
    fitting,
    mode,
    of_quantizer,
    of_values,
    rounded_to,
    spanning,
)
from edgeflow.backends.hls4ml.compilers import INTELS
from edgeflow.backends.hls4ml.curves_job import address, bend, places
from edgeflow.backends.hls4ml.plan_job import Drawing, hls_type
from edgeflow.network import Layer

PARAMETERS = {
    "leaky_relu": ("LeakyReLU", "negative_slope", 0.3),
    "elu": ("ELU", "alpha", 1.0),
    "thresholded_relu": ("ThresholdedReLU", "theta", 1.0),
}
TABLES = {
    "sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "softplus": (0.0, math.inf),
    "softsign": (-1.0, 1.0),
    "selu": (-2.0, math.inf),
}
"""The functions that hls4ml looks up in a table, and the bounds of their values."""


class Functions(Drawing):
    """Methods by family of layers."""

    def clipped(self, layer: Layer) -> None:
        """max(x, 0)."""
        x = self.source(layer).result
        full = spanning(0, max(x.high, x.lsb), x.fraction)
        self.emit(
            layer,
            "Activation",
            {"result": self.result(layer, full)},
            activation="relu",
            n_in=layer.output_size,
            trusted=True,
        )

    def linear(self, layer: Layer) -> None:
        """A rounding on its own (or nothing at all)."""
        x = self.source(layer).result
        quantizer = layer.quantizer
        if quantizer is not None and quantizer.kind == "binary":
            self._signs(layer)
            return
        if f"{layer.name}/@integer" in self.weights:
            self._by_element(layer)
            return
        result = self.result(layer, x)
        if result == x or (layer.kind == "identity" and layer.quantizer is None):
            self.plan.place[layer.name] = self.source(layer).name
            return
        self.emit(
            layer, "Activation", {"result": result},
            activation="linear", n_in=layer.output_size, trusted=True,
        )  # fmt: skip

    def _signs(self, layer: Layer) -> None:
        """-1 or 1."""
        self.emit(
            layer, "Activation", {"result": Fixed(2, 2)},
            n_in=layer.output_size, activation="binary_tanh",
        )  # fmt: skip

    def _by_element(self, layer: Layer) -> None:
        """A quantiser whose bits differ from element to element (HGQ2)."""
        signed, integer, fraction = (
            np.asarray(self.weights[f"{layer.name}/@{part}"]).astype(np.int16)
            for part in ("signed", "integer", "fraction")
        )
        bits = np.maximum(signed + integer + fraction, 0)
        whole = np.where(bits > 0, signed + integer, 0)
        used = bits > 0
        sign = bool(signed[used].any())
        top = int((integer + (0 * signed))[used].max(initial=0)) + sign
        bottom = int(fraction[used].max(initial=0))
        assert layer.quantizer is not None
        self.emit(
            layer,
            "FixedPointQuantizer",
            {"result": Fixed(max(top + bottom, 1), top, sign)},
            mask_kbi=(signed, bits, whole),
            RND=mode(layer.quantizer.rounding, "AP_RND_CONV").removeprefix("AP_"),
            SAT=mode(layer.quantizer.overflow, "AP_SAT").removeprefix("AP_"),
            fusible=None,
            overrides={},
        )

    def leaky(self, layer: Layer) -> None:
        """Activations with a constant: leaky_relu, elu, thresholded_relu."""
        x = self.source(layer).result
        class_name, attribute, default = PARAMETERS[layer.kind]
        value = float(layer.attributes.get(attribute, layer.attributes.get("alpha", default)))
        param_t = of_values(np.array([value]), self.types.bits).plain()
        line = Fixed(x.width + param_t.fraction + 1, x.integer + 1, signed=True)
        full = None if layer.kind == "elu" else line
        more: dict[str, Any] = {"table_size": self.types.table_size} if layer.kind == "elu" else {}
        self.emit(
            layer,
            class_name,
            {"result": self.result(layer, full), "param": param_t, **self.tables(layer)},
            activation=class_name,
            activ_param=value,
            n_in=layer.output_size,
            **more,
        )

    def prelu(self, layer: Layer) -> None:
        """One slope per element."""
        alpha = self.array(layer, "alpha")
        assert alpha is not None
        alpha = np.broadcast_to(alpha, [int(dim or 1) for dim in layer.output_shape]).ravel()
        param_t = self.weight_type(layer, "alpha", alpha)
        x = self.source(layer).result
        full = Fixed(x.width + param_t.width, x.integer + param_t.integer, signed=True)
        self.emit(
            layer,
            "PReLU",
            {"result": self.result(layer, full), "param": param_t},
            activation="PReLU",
            param_data=rounded_to(alpha, param_t),
            n_in=layer.output_size,
        )

    def table(self, layer: Layer) -> None:
        """Functions that hls4ml looks up: sigmoid, tanh, softplus, softsign, selu."""
        self.plan.inexact.append(layer.name)
        low, high = TABLES[layer.kind]
        result = of_quantizer(layer.quantizer) or self.types.given(layer.name, "result")
        if result is None:
            span = self.types.ranges.get(layer.name, (-8.0, 8.0))
            result = fitting(max(low, span[0]), min(high, span[1]), self.types.bits)
        self.emit(
            layer,
            "Activation",
            {"result": result, **self.tables(layer)},
            activation=layer.kind,
            n_in=layer.output_size,
            table_size=self.types.table_size,
        )

    def curve(self, layer: Layer) -> None:
        """max(x, 0) plus a table of what the function differs from it by (`curves_job`)."""
        self.plan.inexact.append(layer.name)
        source, size = self.source(layer), layer.output_size
        x = source.result
        positive = spanning(0, max(x.high, x.lsb), x.fraction)
        line = self.emit(
            layer, "Activation", {"result": positive}, suffix="_relu", last=False,
            activation="relu", n_in=size, trusted=True,
        )  # fmt: skip
        entry = address(layer.kind, self.types.table_size)
        narrow = self.emit(
            layer, "Activation", {"result": entry}, suffix="_address", last=False,
            activation="linear", n_in=size, trusted=True, address=True,
        )  # fmt: skip
        kind = self.types.given(layer.name, "table") or Fixed(self.types.bits, 0)
        values = rounded_to(bend(layer.kind, places(entry), layer.attributes), kind.rounded())
        looked_up = self.emit(
            layer, "UnaryLUT", {"result": kind.plain(), "table": kind.plain()},
            inputs=[narrow.name], suffix="_bend", last=False, activation="unary_lut", n_in=size,
            table_data=values, steps=2.0**entry.fraction, function=layer.kind,
            constants=dict(layer.attributes),
        )  # fmt: skip
        low, high = float(values.min()), positive.high + max(0.0, float(values.max()))
        full = spanning(low, high, max(positive.fraction, kind.fraction))
        self.emit(
            layer, "Merge", {"result": self.result(layer, full)},
            inputs=[line.name, looked_up.name], op="add",
        )  # fmt: skip

    def hard(self, layer: Layer) -> None:
        """hard_sigmoid and hard_tanh: a line, clipped."""
        slope = float(layer.attributes.get("slope", 0.2 if layer.kind == "hard_sigmoid" else 0.5))
        shift = float(layer.attributes.get("offset", 0.5))
        slope_t = of_values(np.array([slope]), 16).plain()
        if exact(np.array([slope]), 16) is None:
            self.plan.inexact.append(layer.name)
        result = self.types.given(layer.name, "result") or of_quantizer(layer.quantizer)
        if result is None:
            low = 0.0 if layer.kind == "hard_sigmoid" else -1.0
            result = fitting(low, 1.0, self.types.bits)
        self.emit(
            layer,
            "HardActivation",
            {"result": result},
            activation=layer.kind,
            n_in=layer.output_size,
            slope=slope,
            shift=shift,
            slope_prec=hls_type(slope_t),
            shift_prec=hls_type(of_values(np.array([shift]), 16).plain()),
        )

    def softmax(self, layer: Layer) -> None:
        """exp(x - max) and 1 / sum from tables.

        The table of exp covers max - x up to 16 (e**-16 is nothing), or less where x spans less.
        """
        self.plan.inexact.append(layer.name)
        shape = [int(dim or 1) for dim in layer.output_shape]
        if self.types.compiler in INTELS:
            self._softmax_intel(layer, shape)
            return
        address = int(math.log2(self.types.table_size))
        classes = shape[-1]
        whole = max(1, math.ceil(math.log2(classes + 1)))
        result = of_quantizer(layer.quantizer) or self.types.given(layer.name, "result")
        low, high = self.types.ranges.get(layer.inputs[0], (0.0, 16.0))
        reach = min(4, math.ceil(math.log2(max(high - low, 2.0**-8))))
        before, large = self.source(layer), 1
        if self.types.softmax in ("latency", "legacy"):
            # exp of the logits themselves: its table is addressed by their top bits
            x = before.result
            large = max(1, math.ceil(max(x.high, 0.0) * math.log2(math.e)) + 1)
            whole += large
            before = self.widened(layer, Fixed(max(x.width, address), x.integer, x.signed))
        types = {
            "result": result or Fixed(self.types.bits, 1, signed=False).rounded(),
            "exp_table": Fixed(17 + large, large, signed=False).rounded(),
            "inv_table": Fixed(18, 1, signed=False).rounded(),
            "accum": Fixed(17 + whole, whole, signed=False).rounded(),
            "inv_inp": Fixed(address, whole, signed=False).rounded(),
        }
        given = {role: self.types.given(layer.name, role) for role in types if role != "result"}
        self.emit(
            layer,
            "Softmax",
            types | {role: kind for role, kind in given.items() if kind is not None},
            inputs=[before.name],
            activation="softmax",
            axis=-1,
            n_in=math.prod(shape),
            n_outer=math.prod(shape[:-1]),
            n_inner=1,
            implementation=self.types.softmax,
            table_size=self.types.table_size,
            exp_table_size=self.types.table_size,
            inv_table_size=self.types.table_size,
            inp_norm_t=hls_type(Fixed(address, reach, signed=False).rounded()),
        )

    def _softmax_intel(self, layer: Layer, shape: list[int]) -> None:
        """As hls4ml writes it for Intel's tools.

        Their tables are indexed by the top bits below the sign: of the difference to the largest
        input, in the input's type, and of the sum, in that of the exponentials. hls4ml finds the
        layer that the tables are for by its name.
        """
        address = int(math.log2(self.types.table_size))
        whole = max(1, math.ceil(math.log2(shape[-1] + 1)))
        x = self.source(layer).result
        integer = x.integer + (not x.signed)
        wide = Fixed(max(x.fraction + integer, address + 2), integer + 1)
        before = self.widened(layer, wide, "_input")
        given = of_quantizer(layer.quantizer) or self.types.given(layer.name, "result")
        self.emit(
            layer,
            "Softmax",
            {
                "result": given or Fixed(self.types.bits, 2).rounded(),
                "exp_table": Fixed(17 + whole, whole + 1).rounded(),
                "inv_table": Fixed(18, 2).rounded(),
            },
            inputs=[before.name],
            called="softmax",
            activation="softmax",
            axis=-1,
            n_in=math.prod(shape),
            n_outer=1,
            n_inner=1,
            implementation=self.types.softmax,
            table_size=self.types.table_size,
            exp_table_size=self.types.table_size,
            inv_table_size=self.types.table_size,
        )
