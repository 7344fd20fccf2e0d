"""A Network as hls4ml's list of layers, each with the types it computes in.

hls4ml has a parser per framework. The Network is what edgeflow's front ends made of all of them,
so one translation serves Keras, QKeras, ONNX, QONNX and TFLite alike; it needs no framework, and
the HLS layers have the Network's names. Types follow from the weights' values by interval
arithmetic: a sum gets the narrowest type that holds it exactly, up to `WIDEST` bits; beyond that
(float models) a layer's result gets `Types.bits` bits, its integer part from the values that the
model itself computed on the golden inputs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgeflow.backends.hls4ml.fixed_job import (
    Array,
    Fixed,
    exact,
    fitting,
    mode,
    of_quantizer,
    of_values,
    parse,
    rounded_to,
    spanning,
)
from edgeflow.errors import UnsupportedError
from edgeflow.network import Layer, Network, Quantizer

WIDEST = 40
"""Widest result (bits) that is kept exact; beyond, it is rounded to `Types.bits`."""
EXACT_WEIGHTS = 20
"""Widest weight type (bits) that is taken to hold the model's own weights exactly."""

RESERVED = frozenset("input auto break case char class const continue default delete do double else enum extern float for goto if int long namespace new operator private protected public register return short signed sizeof static struct switch template this throw typedef union unsigned using virtual void volatile while nnet".split())  # fmt: skip


@dataclass
class Emitted:
    """One HLS layer: hls4ml's attributes, its types by role, the type of its output."""

    attributes: dict[str, Any]
    types: dict[str, Fixed]

    @property
    def name(self) -> str:
        """Its name in the HLS sources."""
        return str(self.attributes["name"])

    @property
    def result(self) -> Fixed:
        """The type of its output."""
        return self.types["result"]


@dataclass
class Plan:
    """The whole translation.

    ``layers`` are in order; ``place`` says, for each Network layer, which HLS layer computes it (a
    folded batch norm's is the convolution before); ``hidden`` are those whose own output is
    nowhere (that convolution's). ``inexact`` names what is rounded more than in the model.
    """

    layers: list[Emitted] = field(default_factory=list)
    place: dict[str, str] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    inexact: list[str] = field(default_factory=list)


@dataclass
class Types:
    """How types are chosen: ``bits`` for what is not exact, ``default`` overrides them all,
    ``layers`` the user's own by Network layer and role, ``ranges`` the model's own values."""

    bits: int
    default: Fixed | None
    layers: Mapping[str, Mapping[str, Any]]
    ranges: Mapping[str, tuple[float, float]]
    table_size: int

    def given(self, layer: str, role: str) -> Fixed | None:
        """The user's type for this role of this layer."""
        own = self.layers.get(layer, {})
        text = own.get(role) or (own.get("precision") if role != "accum" else None)
        return parse(text) if text else None


def c_name(name: str, taken: set[str]) -> str:
    """A C identifier for a layer: its own name where that is one, and not taken (hls4ml ignores
    case)."""
    base = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "layer"
    if base[0].isdigit() or base.lower() in RESERVED:
        base = f"l_{base}"
    found, count = base, 1
    while found.lower() in taken:
        count += 1
        found = f"{base}_{count}"
    taken.add(found.lower())
    return found


class Translator:
    """Makes the plan; one method per family of layers."""

    def __init__(
        self, network: Network, weights: Mapping[str, Array], x: Array | None, types: Types
    ) -> None:
        self.network = network
        self.weights = weights
        self.x = x
        self.types = types
        self.plan = Plan()
        self.taken: set[str] = set()
        self.emitted: dict[str, Emitted] = {}
        self.folded: dict[str, Layer] = {}

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
        return self.plan

    # -- helpers ------------------------------------------------------------------------------

    def source(self, layer: Layer, index: int = 0) -> Emitted:
        """The HLS layer that makes an input."""
        return self.emitted[self.plan.place[layer.inputs[index]]]

    def array(self, layer: Layer, role: str) -> Array | None:
        """Weights of that role; None where the layer has none."""
        found = self.weights.get(f"{layer.name}/{role}")
        return None if found is None else np.asarray(found, dtype=np.float64)

    def emit(
        self,
        layer: Layer,
        class_name: str,
        types: dict[str, Fixed],
        inputs: list[str] | None = None,
        suffix: str = "",
        last: bool = True,
        **attributes: Any,
    ) -> Emitted:
        """Add an HLS layer; `last`: its output is the Network layer's own."""
        name = c_name(layer.name + suffix, self.taken)
        if inputs is None:
            inputs = [self.plan.place[source] for source in layer.inputs]
        made = Emitted(
            {
                "name": name,
                "class_name": class_name,
                "inputs": inputs,
                "data_format": "channels_last",
                "trace": True,
                **attributes,
            },
            types,
        )
        self.plan.layers.append(made)
        self.emitted[name] = made
        if last:
            self.plan.place[layer.name] = name
        return made

    def result(self, layer: Layer, full: Fixed | None, whole: Layer | None = None) -> Fixed:
        """The type of a layer's output: the user's, its quantiser's, exact, or profiled.

        ``full`` holds every value the layer can have, exactly; None where none does. ``whole`` is
        the layer folded into this one, whose output it is.
        """
        last = whole or layer
        if given := self.types.given(layer.name, "result"):
            return given
        if quantized := of_quantizer(last.quantizer):
            return quantized
        if full is not None and full.width <= WIDEST:
            return full
        self.plan.inexact.append(last.name)
        if self.types.default:
            return self.types.default
        low, high = self.types.ranges.get(last.name, (-math.inf, math.inf))
        if full is not None:  # it cannot pass its bounds
            low, high = max(low, full.low), min(high, full.high)
        if not math.isfinite(high - low):
            low, high = -128, 128
        return fitting(low, high, self.types.bits)

    def weight_type(self, layer: Layer, role: str, values: Array) -> Fixed:
        """The type of an array of weights."""
        short = {"kernel": "weight", "offset": "bias"}.get(role, role)
        if given := self.types.given(layer.name, short):
            return given
        own = of_quantizer(layer.weights[role].quantizer if role in layer.weights else None)
        if own is not None and np.array_equal(rounded_to(values, own), values):
            return own.plain()
        if found := exact(values, EXACT_WEIGHTS):
            return found
        self.plan.inexact.append(f"{layer.name}/{role}")
        return self.types.default or of_values(values, self.types.bits).plain()

    # -- layers -------------------------------------------------------------------------------

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

    def weighted(self, layer: Layer) -> None:
        """Dense, convolution, depthwise convolution; a batch norm behind is folded where both
        are float."""
        kernel = self.array(layer, "kernel")
        assert kernel is not None
        bias = self.array(layer, "bias")
        depthwise = layer.kind.startswith("depthwise")
        last, owner = layer, layer
        norm = self._foldable_norm(layer)
        if norm is not None:
            scale, shift = self._scale_shift(norm)
            channels = scale.reshape(kernel.shape[-2:]) if depthwise else scale
            kernel = kernel * channels
            bias = shift if bias is None else bias * scale + shift
            last = norm
        weight_t = self.weight_type(owner, "kernel", kernel)
        kernel = rounded_to(kernel, weight_t)
        bias_t = Fixed(1, 1, signed=False)
        if bias is not None:
            bias_t = self.weight_type(owner, "bias", bias)
            bias = rounded_to(bias, bias_t)
        rows = kernel.reshape(-1, kernel.shape[-2] * kernel.shape[-1]) if depthwise else kernel
        full = self._sum_type(
            rows.reshape(-1, rows.shape[-1]), weight_t, bias, bias_t, self.source(layer).result
        )
        types = {
            "weight": weight_t,
            "bias": bias_t,
            "accum": self.types.given(layer.name, "accum") or full,
            "result": self.result(layer, full, last),
        }
        emitted = self.emit(
            layer,
            CLASSES[layer.kind],
            types,
            **{"depthwise_data" if depthwise else "weight_data": kernel},
            bias_data=bias,
            use_bias=bias is not None,
            **self._geometry(layer, kernel),
        )
        if norm is not None:
            self.plan.place[norm.name] = emitted.name
            self.plan.hidden.add(layer.name)

    def _foldable_norm(self, layer: Layer) -> Layer | None:
        readers = self.network.consumers[layer.name]
        if (
            len(readers) != 1
            or readers[0].kind != "batch_norm"
            or layer.name in self.network.outputs
        ):
            return None
        quantized = layer.quantizer or any(w.quantizer for w in layer.weights.values())
        return None if quantized else readers[0]

    def _scale_shift(self, layer: Layer) -> tuple[Array, Array]:
        """A batch norm as scale * x + shift."""
        mean, variance = self.array(layer, "moving_mean"), self.array(layer, "moving_variance")
        assert mean is not None
        assert variance is not None
        gamma, beta = self.array(layer, "gamma"), self.array(layer, "beta")
        scale = 1 / np.sqrt(variance + float(layer.attributes.get("epsilon", 1e-3)))
        scale = scale if gamma is None else gamma * scale
        shift = -scale * mean if beta is None else beta - scale * mean
        return scale, shift

    def _sum_type(
        self, rows: Array, weight_t: Fixed, bias: Array | None, bias_t: Fixed, x: Fixed
    ) -> Fixed:
        """What holds every sum of products exactly, from the weights' own values."""
        fraction = weight_t.fraction + x.fraction
        if bias is not None and np.any(bias):
            fraction = max(fraction, bias_t.fraction)
        offset = bias if bias is not None else 0.0
        high = (np.maximum(rows * x.high, rows * x.low)).sum(axis=0) + offset
        low = (np.minimum(rows * x.high, rows * x.low)).sum(axis=0) + offset
        return spanning(float(low.min()), float(high.max()), fraction)

    def _geometry(self, layer: Layer, kernel: Array) -> dict[str, Any]:
        shape, out = layer.input_shapes[0], layer.output_shape
        if layer.kind == "dense":
            return {"n_in": kernel.shape[0], "n_out": kernel.shape[1]}
        found: dict[str, Any] = {"n_chan": shape[-1], "n_filt": out[-1]}
        if layer.kind.startswith("depthwise"):
            found["depth_multiplier"] = kernel.shape[-1]
        return found | window(layer, kernel.shape[: len(shape) - 1], "filt")

    def batch_norm(self, layer: Layer) -> None:
        """scale * x + shift for each channel."""
        self._affine(layer, *self._scale_shift(layer))

    def scale(self, layer: Layer) -> None:
        """A product, a sum, or both, with constants."""
        scale, shift = self.array(layer, "scale"), self.array(layer, "offset")
        channels = int(layer.output_shape[-1] or 1)
        ones = np.ones(channels)
        self._affine(
            layer,
            ones if scale is None else ones * scale.ravel(),
            0 * ones if shift is None else ones * shift.ravel(),
        )

    def _affine(self, layer: Layer, scale: Array, shift: Array) -> None:
        scale_t = self.weight_type(layer, "scale", scale)
        bias_t = self.weight_type(layer, "offset" if layer.kind == "scale" else "bias", shift)
        scale, shift = rounded_to(scale, scale_t), rounded_to(shift, bias_t)
        full = self._sum_type(scale[None, :], scale_t, shift, bias_t, self.source(layer).result)
        size = math.prod(int(dim or 1) for dim in layer.output_shape)
        self.emit(
            layer,
            "BatchNormalization",
            {"scale": scale_t, "bias": bias_t, "result": self.result(layer, full)},
            n_in=size,
            n_out=size,
            n_filt=-1 if len(layer.output_shape) == 1 else layer.output_shape[-1],
            use_gamma=True,
            use_beta=True,
            scale_data=scale,
            bias_data=shift,
        )

    def relu(self, layer: Layer) -> None:
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
        if quantizer is not None and quantizer.kind in ("binary", "ternary"):
            self._signs(layer, quantizer)
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

    def _signs(self, layer: Layer, quantizer: Quantizer) -> None:
        """-1 or 1, or with 0 between them."""
        ternary = quantizer.kind == "ternary"
        extra: dict[str, Any] = {"activation": f"{quantizer.kind}_tanh"}
        if ternary:
            extra["threshold"] = float(layer.attributes.get("threshold", 0.33))
        self.emit(
            layer,
            "TernaryTanh" if ternary else "Activation",
            {"result": Fixed(2, 2)},
            n_in=layer.output_size,
            **extra,
        )

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
        full = Fixed(x.width + param_t.fraction + 1, x.integer + 1, signed=True)
        if layer.kind == "elu":
            full = None
        self.emit(
            layer,
            class_name,
            {"result": self.result(layer, full), "param": param_t, **self._table()},
            activation=class_name,
            activ_param=value,
            n_in=layer.output_size,
            **({"table_size": self.types.table_size} if layer.kind == "elu" else {}),
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
            {"result": result, **self._table()},
            activation=layer.kind,
            n_in=layer.output_size,
            table_size=self.types.table_size,
        )

    def _table(self) -> dict[str, Fixed]:
        return {"table": Fixed(self.types.bits, 4).rounded()}

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
        """exp(x - max) and 1 / sum from tables: x - max is held to [0, 16), as e**-16 is nothing."""
        self.plan.inexact.append(layer.name)
        shape = [int(dim or 1) for dim in layer.output_shape]
        address = int(math.log2(self.types.table_size))
        classes = shape[-1]
        whole = max(1, math.ceil(math.log2(classes + 1)))
        result = of_quantizer(layer.quantizer) or self.types.given(layer.name, "result")
        self.emit(
            layer,
            "Softmax",
            {
                "result": result or Fixed(self.types.bits, 1, signed=False).rounded(),
                "exp_table": Fixed(18, 1, signed=False).rounded(),
                "inv_table": Fixed(18, 1, signed=False).rounded(),
                "accum": Fixed(17 + whole, whole, signed=False).rounded(),
                "inv_inp": Fixed(address, whole, signed=False).rounded(),
            },
            activation="softmax",
            axis=-1,
            n_in=math.prod(shape),
            n_outer=math.prod(shape[:-1]),
            n_inner=1,
            implementation="stable",
            table_size=self.types.table_size,
            exp_table_size=self.types.table_size,
            inv_table_size=self.types.table_size,
            inp_norm_t=hls_type(Fixed(address, 4, signed=False).rounded()),
        )

    def pool(self, layer: Layer) -> None:
        """Maximum or average over windows, or over all positions."""
        x = self.source(layer).result
        average = "avg" in layer.kind
        shape = layer.input_shapes[0]
        spatial = len(shape) - 1
        everywhere = layer.kind.startswith("global")
        size = shape[:-1] if everywhere else _tuple(layer.attributes["pool_size"], spatial)
        count = math.prod(int(dim or 1) for dim in size)
        accum, full = x.plain(), x.plain()
        if average:
            power = count & (count - 1) == 0 and layer.attributes.get("padding") != "same"
            extra = math.ceil(math.log2(count)) + (0 if power else 8)
            accum = Fixed(
                x.width + math.ceil(math.log2(count)) + extra,
                x.integer + math.ceil(math.log2(count)),
                x.signed,
            )
            full = Fixed(x.width + extra, x.integer, x.signed)
            if not power:
                self.plan.inexact.append(layer.name)
        types = {"accum": accum, "result": self.result(layer, full)}
        if not average and layer.quantizer is None:
            types["result"] = self.types.given(layer.name, "result") or full
        attributes = window(layer, size, "pool") | {"n_filt": shape[-1], "count_pad": False}
        if spatial == 1:
            attributes = {
                **{k: v for k, v in attributes.items() if "width" not in k or k.startswith(("pool", "stride"))},
                "n_in": shape[0], "n_out": attributes["out_width"],
            }  # fmt: skip
        word = "Average" if average else "Max"
        class_name = f"{'Global' if everywhere else ''}{word}Pooling{spatial}D"
        made = self.emit(layer, class_name, types, **attributes)
        if everywhere and len(layer.output_shape) > 1:
            self.emit(
                layer, "Reshape", {"result": types["result"]}, inputs=[made.name], suffix="_keepdims",
                target_shape=[int(dim or 1) for dim in layer.output_shape],
            )  # fmt: skip

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
        pairs = [_pair(item) for item in amounts][:spatial]
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

    def merge(self, layer: Layer) -> None:
        """Two tensors into one; more than two one after the other."""
        op = {"sub": "subtract", "mul": "multiply"}.get(layer.kind, layer.kind)
        left, kind = self.source(layer), self.source(layer).result
        for index in range(1, len(layer.inputs)):
            right = self.source(layer, index)
            last = index == len(layer.inputs) - 1
            full = _merged(layer.kind, kind, right.result)
            kind = self.result(layer, full) if last else full
            extra: dict[str, Any] = {"class_name": "Merge", "op": op}
            if layer.kind == "concat":
                rank = len(layer.output_shape)
                extra = {"class_name": "Concatenate", "op": f"concatenate{rank}d", "axis": -1}
                axis = int(layer.attributes.get("axis", -1))
                extra["axis"] = axis if axis in (-1, rank) else axis
            left = self.emit(
                layer, extra.pop("class_name"), {"result": kind}, inputs=[left.name, right.name],
                suffix="" if last else f"_{index}", last=last, **extra,
            )  # fmt: skip

    def recurrent(self, layer: Layer) -> None:
        """LSTM, GRU, SimpleRNN over a series."""
        self.plan.inexact.append(layer.name)
        kernel, recurrent = self.array(layer, "kernel"), self.array(layer, "recurrent_kernel")
        assert kernel is not None
        assert recurrent is not None
        units = recurrent.shape[0]
        bias = self.array(layer, "bias")
        two = layer.kind == "gru" and bool(layer.attributes.get("reset_after", True))
        bias = np.zeros((2, kernel.shape[1]) if two else kernel.shape[1]) if bias is None else bias
        if layer.kind == "gru" and bias.ndim == 1:
            bias = np.stack([bias, np.zeros_like(bias)])
        parts = {"weight": kernel, "recurrent_weight": recurrent}
        if layer.kind == "gru":
            parts |= {"bias": bias[0], "recurrent_bias": bias[1]}
        else:
            parts["bias"] = bias
        types = {role: self.weight_type(layer, role, values) for role, values in parts.items()}
        data = {f"{role}_data": rounded_to(v, types[role]) for role, v in parts.items()}
        types.setdefault("recurrent_bias", types["bias"])
        # Gates pass through the accumulator's type too: wide enough for sums, fine enough for both.
        types["accum"] = self.types.given(layer.name, "accum") or Fixed(self.types.bits + 10, 10)
        types["result"] = self.result(layer, None)
        attributes = layer.attributes
        more: dict[str, Any] = {}
        if layer.kind != "simple_rnn":
            more["recurrent_activation"] = attributes.get("recurrent_activation", "sigmoid")
        if layer.kind == "gru":
            more["apply_reset_gate"] = "after" if two else "before"
        self.emit(
            layer,
            {"lstm": "LSTM", "gru": "GRU", "simple_rnn": "SimpleRNN"}[layer.kind],
            types | self._table(),
            **data,
            **more,
            activation=attributes.get("activation", "tanh"),
            direction="forward",
            return_sequences=bool(attributes.get("return_sequences", False)),
            return_state=False,
            time_major=False,
            n_timesteps=layer.input_shapes[0][0],
            n_in=kernel.shape[0],
            n_out=units,
            table_size=self.types.table_size,
        )


def hls_type(kind: Fixed) -> Any:
    """hls4ml's own object for a type."""
    from hls4ml.backends.fpga.fpga_backend import FPGABackend

    return FPGABackend.convert_precision_string(str(kind))


def window(layer: Layer, size: tuple[Any, ...], word: str) -> dict[str, Any]:
    """The attributes of a sliding window: its size, strides, padding, input and output size."""
    spatial = len(layer.input_shapes[0]) - 1
    out = layer.output_shape if len(layer.output_shape) > spatial else (1,) * spatial
    strides = _tuple(layer.attributes.get("strides") or tuple(size), spatial)
    padding = layer.attributes.get("padding", "valid")
    names = ("width",) if spatial == 1 else ("height", "width")
    found: dict[str, Any] = {}
    for index, side in enumerate(names):
        inside, outside = int(layer.input_shapes[0][index] or 1), int(out[index] or 1)
        before = after = 0
        if padding == "same":
            total = max((outside - 1) * strides[index] + int(size[index]) - inside, 0)
            before, after = total // 2, total - total // 2
        elif not isinstance(padding, str):
            before, after = _pair(padding[index])
        start, end = ("left", "right") if side == "width" else ("top", "bottom")
        found |= {
            f"in_{side}": inside,
            f"out_{side}": outside,
            f"{word}_{side}": int(size[index]),
            f"stride_{side}": strides[index],
            f"pad_{start}": before,
            f"pad_{end}": after,
        }
    return found


def _tuple(value: Any, count: int) -> tuple[int, ...]:
    items = value if isinstance(value, (list, tuple)) else [value] * count
    return tuple(int(item) for item in items)


def _pair(value: Any) -> tuple[int, int]:
    before, after = value if isinstance(value, (list, tuple)) else (value, value)
    return int(before), int(after)


def _merged(kind: str, a: Fixed, b: Fixed) -> Fixed:
    """What holds every result of an element-wise operation exactly."""
    fraction = max(a.fraction, b.fraction)
    if kind == "mul":
        ends = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
        return spanning(min(ends), max(ends), a.fraction + b.fraction)
    if kind == "add":
        return spanning(a.low + b.low, a.high + b.high, fraction)
    if kind == "sub":
        return spanning(a.low - b.high, a.high - b.low, fraction)
    if kind == "average":
        return spanning((a.low + b.low) / 2, (a.high + b.high) / 2, fraction + 1)
    return spanning(min(a.low, b.low), max(a.high, b.high), fraction)


CLASSES = {
    "dense": "Dense",
    "conv1d": "Conv1D",
    "conv2d": "Conv2D",
    "depthwise_conv1d": "DepthwiseConv1D",
    "depthwise_conv2d": "DepthwiseConv2D",
}
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
    **dict.fromkeys(("lstm", "gru", "simple_rnn"), Translator.recurrent),
}
