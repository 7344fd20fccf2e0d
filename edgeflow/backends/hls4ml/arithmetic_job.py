"""Layers that compute sums: dense, convolutions, affine maps, pools, merges, LSTM and GRU."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgeflow.backends.fixed_job import (
    Array,
    Fixed,
    exact,
    of_values,
    rounded_to,
    spanning,
)
from edgeflow.backends.hls4ml.compilers import AC_TYPES
from edgeflow.backends.hls4ml.plan_job import EXACT_WEIGHTS, Drawing
from edgeflow.network import Layer

CLASSES = {
    "dense": "Dense",
    "conv1d": "Conv1D",
    "conv2d": "Conv2D",
    "depthwise_conv1d": "DepthwiseConv1D",
    "depthwise_conv2d": "DepthwiseConv2D",
}


class Arithmetic(Drawing):
    """Methods by family of layers."""

    def weighted(self, layer: Layer) -> None:
        """Dense, convolution, depthwise convolution; a batch norm behind is folded where both
        are float."""
        kernel = self.array(layer, "kernel")
        assert kernel is not None
        bias = self.array(layer, "bias")
        kernel, full_kernel = self._spread(layer, kernel)
        depthwise = layer.kind.startswith("depthwise") and not full_kernel
        class_name = CLASSES[layer.kind].removeprefix("Depthwise" if full_kernel else "-")
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
        data: dict[str, Any] = {"depthwise_data" if depthwise else "weight_data": kernel}
        emitted = self.emit(
            layer,
            class_name,
            types,
            **data,
            bias_data=bias,
            use_bias=bias is not None,
            **self._geometry(layer, kernel, depthwise),
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

    def _spread(self, layer: Layer, kernel: Array) -> tuple[Array, bool]:
        """The kernel that hls4ml can compute with: zeros between the steps of a dilated window;
        one row per channel where groups (or a depth multiplier) make each filter see some only.

        The second says whether it sees all channels, which a depthwise kernel does not.
        """
        if layer.kind == "dense":
            return kernel, True
        rank = kernel.ndim - 2
        rates = _tuple(layer.attributes.get("dilation_rate") or 1, rank)
        if any(rate > 1 for rate in rates):
            sizes = [(n - 1) * rate + 1 for n, rate in zip(kernel.shape, rates, strict=False)]
            wide = np.zeros((*sizes, *kernel.shape[-2:]))
            wide[tuple(slice(None, None, rate) for rate in rates)] = kernel
            kernel = wide
        if layer.kind.startswith("depthwise"):
            if kernel.shape[-1] == 1 and self.types.compiler not in AC_TYPES:
                return kernel, False
            groups, (channels, many) = kernel.shape[-2], kernel.shape[-2:]
            kernel = kernel.reshape(*kernel.shape[:rank], 1, channels * many)
        else:
            groups = int(layer.attributes.get("groups") or 1)
        if groups > 1:
            inside, outside = kernel.shape[-2], kernel.shape[-1] // groups
            wide = np.zeros((*kernel.shape[:rank], inside * groups, kernel.shape[-1]))
            for group in range(groups):
                rows = slice(group * inside, (group + 1) * inside)
                columns = slice(group * outside, (group + 1) * outside)
                wide[..., rows, columns] = kernel[..., columns]
            kernel = wide
        return kernel, True

    def _geometry(self, layer: Layer, kernel: Array, depthwise: bool) -> dict[str, Any]:
        shape, out = layer.input_shapes[0], layer.output_shape
        if layer.kind == "dense":
            return {"n_in": kernel.shape[0], "n_out": kernel.shape[1]}
        found: dict[str, Any] = {"n_chan": shape[-1], "n_filt": out[-1]}
        if depthwise:
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

    def levels(self, layer: Layer, levels: Fixed, step: Array, zero: Array) -> None:
        """Round a layer's output to levels that are no powers of two apart.

        It is divided by `step`, rounded to a whole number (of the type `levels`), and multiplied.
        """
        size = math.prod(int(dim or 1) for dim in layer.output_shape)
        channels = int(layer.output_shape[-1] or 1)
        parts = (("_divided", 1 / step, zero), ("_stepped", step, -zero * step))
        for suffix, factor, offset in parts:
            scale, shift = np.ones(channels) * factor, np.ones(channels) * offset
            scale_t = exact(scale, EXACT_WEIGHTS) or of_values(scale, EXACT_WEIGHTS).plain()
            bias_t = exact(shift, EXACT_WEIGHTS) or of_values(shift, EXACT_WEIGHTS).plain()
            scale, shift = rounded_to(scale, scale_t), rounded_to(shift, bias_t)
            source = self.plan.place[layer.name]
            full = self._sum_type(
                scale[None, :], scale_t, shift, bias_t, self.emitted[source].result
            )
            self.emit(
                layer, "BatchNormalization",
                {"scale": scale_t, "bias": bias_t, "result": full},
                inputs=[source], suffix=suffix, n_in=size, n_out=size,
                n_filt=-1 if len(layer.output_shape) == 1 else layer.output_shape[-1],
                use_gamma=True, use_beta=True, scale_data=scale, bias_data=shift,
            )  # fmt: skip
            if suffix == "_divided":
                self.emit(
                    layer, "Activation", {"result": levels},
                    inputs=[self.plan.place[layer.name]], suffix="_levels",
                    activation="linear", n_in=size, trusted=True,
                )  # fmt: skip
        self.plan.inexact.append(f"{layer.name}/step")

    def mirrored(self, layer: Layer, top: float, kind: Fixed, suffix: str, last: bool) -> None:
        """top - x, of the HLS layer that computes the layer so far."""
        size = math.prod(int(dim or 1) for dim in layer.output_shape)
        channels = int(layer.output_shape[-1] or 1)
        self.emit(
            layer, "BatchNormalization",
            {"scale": Fixed(1, 1), "bias": of_values(np.array([top]), 32).plain(), "result": kind},
            inputs=[self.plan.place[layer.name]], suffix=suffix, n_in=size, n_out=size,
            n_filt=-1 if len(layer.output_shape) == 1 else layer.output_shape[-1],
            use_gamma=True, use_beta=True, scale_data=-np.ones(channels),
            bias_data=np.full(channels, top), last=last,
        )  # fmt: skip

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
        before = self.source(layer)
        if average and self.types.compiler in AC_TYPES:
            before = self.widened(layer, full)  # these average in the input's own type
        types = {"accum": accum, "result": self.result(layer, full)}
        if not average and layer.quantizer is None:
            types["result"] = self.types.given(layer.name, "result") or full
        attributes = window(layer, size, "pool") | {"n_filt": shape[-1], "count_pad": False}
        if spatial == 1:
            attributes["n_in"] = attributes.pop("in_width")
            attributes["n_out"] = attributes.pop("out_width")
        word = "Average" if average else "Max"
        class_name = f"{'Global' if everywhere else ''}{word}Pooling{spatial}D"
        made = self.emit(layer, class_name, types, inputs=[before.name], **attributes)
        if everywhere and len(layer.output_shape) > 1:
            self.emit(
                layer,
                "Reshape",
                {"result": types["result"]},
                inputs=[made.name],
                suffix="_keepdims",
                target_shape=[int(dim or 1) for dim in layer.output_shape],
            )

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
                extra["axis"] = int(layer.attributes.get("axis", -1))
            left = self.emit(
                layer, extra.pop("class_name"), {"result": kind}, inputs=[left.name, right.name],
                suffix="" if last else f"_{index}", last=last, **extra,
            )  # fmt: skip

    def recurrent(self, layer: Layer) -> None:
        """LSTM and GRU over a series."""
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
        data: dict[str, Any] = {
            f"{role}_data": rounded_to(values, types[role]) for role, values in parts.items()
        }
        types.setdefault("recurrent_bias", types["bias"])
        # Gates are summed in, and leave through, the accumulator's type: wide for the one, fine
        # for the other. LSTM's C++ compiles only where input and result have that type too.
        x = self.source(layer).result
        reach = max(abs(x.low), x.high) * np.abs(kernel).sum(axis=0).max()
        reach += np.abs(recurrent).sum(axis=0).max() + np.abs(bias).sum(axis=0).max()
        whole = max(2, math.ceil(math.log2(max(float(reach), 1.0))) + 1)
        types["accum"] = self.types.given(layer.name, "accum") or Fixed(
            self.types.bits + whole, whole
        )
        lstm = layer.kind == "lstm"
        types["result"] = types["accum"] if lstm else self.result(layer, None)
        before = self.source(layer)
        if lstm and before.result != types["accum"]:
            before = self.emit(
                layer, "Activation", {"result": types["accum"]}, suffix="_input", last=False,
                activation="linear", n_in=math.prod(d or 1 for d in layer.input_shapes[0]),
                trusted=True,
            )  # fmt: skip
        attributes = layer.attributes
        more: dict[str, Any] = {
            "recurrent_activation": attributes.get("recurrent_activation", "sigmoid")
        }
        if layer.kind == "gru":
            more["apply_reset_gate"] = "after" if two else "before"
        self.emit(
            layer,
            layer.kind.upper(),
            types | self.tables(layer),
            inputs=[before.name],
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
            before, after = pair_of(padding[index])
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


def pair_of(value: Any) -> tuple[int, int]:
    """An amount before and after, from one or two numbers."""
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
