"""The arithmetic of a project's C++ in numpy: every layer of a plan, in its fixed-point types.

What hls4ml's ``nnet_utils`` compute with ``ap_fixed``, computed with float64, which holds every
number of up to 53 bits exactly: products and sums in full, then rounded and wrapped or saturated as
the type says. So a plan's effect on thousands of inputs is known in a fraction of a second, without
a compiler; and a sum can be compared with the type that must hold it before it wraps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edgeflow.backends.fixed_job import ROUNDINGS, Array, held, parse
from edgeflow.backends.hls4ml.curves_job import bend
from edgeflow.backends.hls4ml.plan_job import Emitted, Plan
from edgeflow.backends.hls4ml.windows_job import (
    image,
    like,
    padded,
    sliding,
    used_fraction,
    widths,
)
from edgeflow.errors import UnsupportedError

CHUNK = 1 << 22
"""Elements of a convolution's windows that are held at a time."""


@dataclass
class Seen:
    """What a type was given to hold: before it rounded and wrapped or saturated.

    ``low``, ``high``: the range of the values; ``outside``: how many of `count` were beyond the
    type's range; ``error``: the largest change by rounding alone.
    """

    low: float = math.inf
    high: float = -math.inf
    outside: int = 0
    count: int = 0
    error: float = 0.0


@dataclass
class Emulator:
    """Runs a plan. ``true`` takes functions themselves and not their tables (for a reference).

    ``seen`` collects, by HLS layer and role, what each type was given, where ``watch`` is set.
    ``trust``: sums fit their types (they were made to), which is not looked at again.
    """

    plan: Plan
    true: bool = False
    watch: bool = False
    trust: bool = False
    seen: dict[tuple[str, str], Seen] = field(default_factory=dict)
    _kept: dict[str, tuple[Any, Array]] = field(default_factory=dict)

    def run(self, x: Array) -> dict[str, Array]:
        """Every HLS layer's output for the inputs (n x …); layers whose types, and those before
        them, are what they were in the last run of this emulator are not computed again.

        Raises:
            UnsupportedError: there is a layer that is not emulated (LSTM, GRU).
        """
        found: dict[str, Array] = {}
        keys: dict[str, Any] = {}
        for item in self.plan.layers:
            inputs = list(item.attributes["inputs"])
            key = (id(x), tuple(sorted((r, str(t)) for r, t in item.types.items())),
                   tuple(keys[name] for name in inputs))  # fmt: skip
            keys[item.name] = hash(key)
            kept = self._kept.get(item.name)
            if kept is not None and kept[0] == keys[item.name]:
                found[item.name] = kept[1]
                continue
            method = METHODS.get(item.attributes["class_name"])
            if method is None:
                raise UnsupportedError(
                    f"layer '{item.name}' ({item.attributes['class_name']}) is not emulated"
                )
            given = [found[name] for name in inputs]
            if not inputs:
                shape = [int(dim) for dim in item.attributes["input_shape"]]
                given = [np.asarray(x, np.float64).reshape(len(x), *shape)]
            found[item.name] = method(self, item, given)
            self._kept[item.name] = (keys[item.name], found[item.name])
        return found

    def with_plan(self, plan: Plan) -> Emulator:
        """The same, what was computed kept, for a plan that differs in types and weights."""
        return replace(self, plan=plan)

    def forget(self) -> None:
        """Free what was computed."""
        self._kept.clear()

    def hold(self, item: Emitted, role: str, values: Array) -> Array:
        """The values as the role's type holds them."""
        kind = item.types[role]
        made = held(values, kind)
        if self.watch:
            seen = self.seen.setdefault((item.name, role), Seen())
            seen.low = min(seen.low, float(values.min(initial=math.inf)))
            seen.high = max(seen.high, float(values.max(initial=-math.inf)))
            # What rounds to a value inside is inside.
            beyond = (values >= kind.high + kind.lsb) | (values <= kind.low - kind.lsb)
            seen.outside += int(beyond.sum())
            seen.count += values.size
            inside = np.abs(made - values)[~beyond]
            seen.error = max(seen.error, float(inside.max(initial=0)))
        return made

    # Each method computes one class of hls4ml's layers from its inputs (n x shape).

    def _input_layer(self, item: Emitted, given: list[Array]) -> Array:
        return self.hold(item, "result", given[0])

    def _dense(self, item: Emitted, given: list[Array]) -> Array:
        kernel = np.asarray(item.attributes["weight_data"], np.float64)
        total = self._sums(item, given[0], kernel.reshape(-1, kernel.shape[-1]))
        return self.hold(item, "result", total)

    def _sums(self, item: Emitted, rows: Array, kernel: Array) -> Array:
        """rows @ kernel + bias in the accumulator's type."""
        accum = item.types["accum"]
        bias = item.attributes.get("bias_data")
        start = np.zeros(kernel.shape[1]) if bias is None else np.asarray(bias, np.float64).ravel()
        if self.true or self.trust:
            return np.asarray(rows @ kernel + start)
        start = held(start, accum)
        fraction = item.types["weight"].fraction + used_fraction(rows)
        if fraction <= accum.fraction and accum.overflow == "AP_WRAP":
            return self.hold(item, "accum", rows @ kernel + start)
        # Each product is rounded to the accumulator's type before it is added.
        wide = replace(accum, width=64, integer=64 - accum.fraction, overflow="AP_WRAP")
        total = np.broadcast_to(start, (*rows.shape[:-1], kernel.shape[1])).copy()
        for index in range(kernel.shape[0]):
            part = rows[..., index : index + 1] * kernel[index]
            if accum.overflow == "AP_WRAP":
                total += held(part, wide)
            else:
                total = self.hold(item, "accum", total + held(part, accum))
        return self.hold(item, "accum", total)

    def _conv(self, item: Emitted, given: list[Array]) -> Array:
        at, x = item.attributes, image(given[0])
        kernel = np.asarray(at["weight_data"], np.float64)
        kernel = kernel.reshape(-1, kernel.shape[-1])
        x = padded(at, x, 0.0)
        parts = []
        size = kernel.shape[0] * int(at.get("out_height", 1)) * int(at["out_width"])
        step = max(1, CHUNK // max(1, size))
        for begin in range(0, len(x), step):
            windows = sliding(at, x[begin : begin + step], "filt")
            rows = windows.reshape(*windows.shape[:3], -1)
            parts.append(self.hold(item, "result", self._sums(item, rows, kernel)))
        return like(given[0], np.concatenate(parts))

    def _depthwise(self, item: Emitted, given: list[Array]) -> Array:
        at = item.attributes
        kernel = np.asarray(at["depthwise_data"], np.float64)
        kernel = kernel.reshape(-1, int(at["n_chan"]))
        bias = at.get("bias_data")
        start = np.zeros(kernel.shape[1]) if bias is None else np.asarray(bias, np.float64).ravel()
        accum = item.types["accum"]
        wide = replace(accum, width=64, integer=64 - accum.fraction, overflow="AP_WRAP")
        x = padded(at, image(given[0]), 0.0)
        windows = sliding(at, x, "filt")
        windows = windows.reshape(*windows.shape[:3], len(kernel), -1)
        total = np.broadcast_to(held(start, accum), (*windows.shape[:3], kernel.shape[1])).copy()
        for index, row in enumerate(kernel):
            part = windows[..., index, :] * row
            total += part if self.true or self.trust else held(part, wide)
        return like(given[0], self.hold(item, "result", self.hold(item, "accum", total)))

    def _batch_norm(self, item: Emitted, given: list[Array]) -> Array:
        scale = np.asarray(item.attributes["scale_data"], np.float64)
        shift = np.asarray(item.attributes["bias_data"], np.float64)
        return self.hold(item, "result", given[0] * scale + shift)

    def _activation(self, item: Emitted, given: list[Array]) -> Array:
        name, x = item.attributes["activation"], given[0]
        if name == "binary_tanh":
            return np.where(x >= 0, 1.0, -1.0)
        if item.attributes.get("address"):
            return x if self.true else held(x, item.result)
        if name == "relu":
            x = np.maximum(x, 0)
        elif name != "linear":
            x = FUNCTIONS[name][0](x) if self.true else self._looked_up(item, x, name)
        return self.hold(item, "result", x)

    def _looked_up(self, item: Emitted, x: Array, name: str) -> Array:
        """From a table of `table_size` values over -reach … reach."""
        function, reach = FUNCTIONS[name]
        size = int(item.attributes["table_size"])
        table = item.types["table"]
        index = np.trunc(x * size / (2 * reach)) + size // 2
        index = np.clip(index, 0, size - 1)
        return held(function(2 * reach * (index - size / 2) / size), table)

    def _bend(self, item: Emitted, given: list[Array]) -> Array:
        """A table with a value for every number of its input's type."""
        at, table = item.attributes, np.asarray(item.attributes["table_data"])
        if self.true:
            return bend(at["function"], given[0], at["constants"])
        steps = np.rint(given[0] * at["steps"]).astype(np.int64)
        return np.asarray(table[steps % len(table)])

    def _leaky(self, item: Emitted, given: list[Array]) -> Array:
        x, slope = (
            given[0],
            float(held(np.array(item.attributes["activ_param"]), item.types["param"])),
        )
        return self.hold(item, "result", np.where(x > 0, x, slope * x))

    def _thresholded(self, item: Emitted, given: list[Array]) -> Array:
        x, theta = (
            given[0],
            float(held(np.array(item.attributes["activ_param"]), item.types["param"])),
        )
        return self.hold(item, "result", np.where(x > theta, x, 0.0))

    def _prelu(self, item: Emitted, given: list[Array]) -> Array:
        slope = np.asarray(item.attributes["param_data"], np.float64).reshape(given[0].shape[1:])
        return self.hold(item, "result", np.where(given[0] > 0, given[0], slope * given[0]))

    def _elu(self, item: Emitted, given: list[Array]) -> Array:
        x, size = given[0], int(item.attributes["table_size"])
        scale = float(held(np.array(item.attributes["activ_param"]), item.types["param"]))
        index = np.clip(np.trunc(x * size / -8), 0, size - 1)
        low = np.expm1(np.minimum(x, 0))
        if not self.true:
            low = held(np.expm1(-8.0 * index / size), item.types["table"])
        return self.hold(item, "result", np.where(x >= 0, x, scale * low))

    def _hard(self, item: Emitted, given: list[Array]) -> Array:
        at = item.attributes
        slope = float(held(np.array(at["slope"]), parse(str(at["slope_prec"]))))
        shift = float(held(np.array(at["shift"]), parse(str(at["shift_prec"]))))
        line = np.clip(slope * given[0] + shift, 0, 1)
        return self.hold(item, "result", 2 * line - 1 if at["activation"] == "hard_tanh" else line)

    def _by_element(self, item: Emitted, given: list[Array]) -> Array:
        """A quantiser whose bits differ from element to element."""
        at = item.attributes
        signed, bits, whole = (np.asarray(part, np.float64) for part in at["mask_kbi"])
        fraction = bits - whole
        steps = given[0] * 2.0**fraction
        steps = ROUNDINGS[f"AP_{at['RND']}"](steps)
        top, bottom = 2.0 ** (bits - signed) - 1, -signed * 2.0 ** (bits - 1)
        if at["SAT"] == "WRAP":
            steps = np.mod(steps - bottom, 2.0**bits) + bottom
        else:
            bottom = bottom + (signed if at["SAT"] == "SAT_SYM" else 0)
            steps = np.clip(steps, bottom, top)
        return np.where(bits > 0, steps * 2.0**-fraction, 0.0)

    def _softmax(self, item: Emitted, given: list[Array]) -> Array:
        """The ``stable`` one: exp(x - max) and 1 / sum from tables; ``argmax``: 1 for the largest.

        Of others, and of other compilers' tables, the function itself.
        """
        x, types = given[0], item.types
        how = item.attributes.get("implementation", "stable")
        if how == "argmax" and not self.true:
            first = np.arange(x.shape[-1]) == x.argmax(axis=-1)[..., None]
            return held(first.astype(np.float64), types["result"])
        down = x.max(axis=-1, keepdims=True) - x
        norm = item.attributes.get("inp_norm_t")
        if self.true or how != "stable" or norm is None:
            power = np.exp(-down)
            made = np.asarray(power / power.sum(axis=-1, keepdims=True))
            return made if self.true else held(made, types["result"])
        down = held(down, parse(str(norm)))
        # hls4ml fills its tables in single precision.
        power = np.exp(-down.astype(np.float32)).astype(np.float64)
        power = held(held(power, types["exp_table"]), types["accum"])
        total = held(held(power.sum(axis=-1, keepdims=True), types["accum"]), types["inv_inp"])
        inverse = 1 / np.maximum(total, types["inv_inp"].lsb / 4).astype(np.float32)
        inverse = held(inverse.astype(np.float64), types["inv_table"])
        return held(power * inverse, types["result"])

    def _pool(self, item: Emitted, given: list[Array]) -> Array:
        at, x = item.attributes, image(given[0])
        name = at["class_name"]
        if name.startswith("Global"):
            windows = x.reshape(len(x), 1, 1, -1, x.shape[-1])
        else:
            empty = np.nan if "Average" in name else -np.inf
            windows = sliding(widths(at), padded(widths(at), x, empty), "pool")
            windows = windows.reshape(*windows.shape[:3], -1, x.shape[-1])
        if "Max" in name:
            made = windows.max(axis=-2)
        else:
            count = np.isfinite(windows).sum(axis=-2)
            total = self.hold(item, "accum", np.nansum(windows, axis=-2))
            accum = item.types["accum"]
            made = np.trunc(total / count * 2.0**accum.fraction) * accum.lsb
        made = self.hold(item, "result", made)
        if name.startswith("Global"):
            return made.reshape(len(x), -1)
        return like(given[0], made)

    def _merge(self, item: Emitted, given: list[Array]) -> Array:
        a, b = given
        return self.hold(item, "result", MERGES[item.attributes["op"]](a, b))

    def _concatenate(self, item: Emitted, given: list[Array]) -> Array:
        axis = int(item.attributes["axis"])
        axis = axis if axis < 0 else min(axis, given[0].ndim - 1)
        return self.hold(item, "result", np.concatenate(given, axis=axis))

    def _reshape(self, item: Emitted, given: list[Array]) -> Array:
        return given[0].reshape(len(given[0]), *item.attributes["target_shape"])

    def _transpose(self, item: Emitted, given: list[Array]) -> Array:
        return np.transpose(given[0], [0, *(int(axis) + 1 for axis in item.attributes["perm"])])

    def _pad(self, item: Emitted, given: list[Array]) -> Array:
        return like(given[0], padded(item.attributes, image(given[0]), 0.0))

    def _crop(self, item: Emitted, given: list[Array]) -> Array:
        at, x = item.attributes, image(given[0])
        rows = slice(int(at.get("crop_top", 0)), x.shape[1] - int(at.get("crop_bottom", 0)))
        columns = slice(int(at["crop_left"]), x.shape[2] - int(at["crop_right"]))
        return like(given[0], x[:, rows, columns])

    def _resize(self, item: Emitted, given: list[Array]) -> Array:
        at, x = item.attributes, image(given[0])
        x = np.repeat(x, int(at["out_height"]) // int(at["in_height"]), axis=1)
        return like(given[0], np.repeat(x, int(at["out_width"]) // int(at["in_width"]), axis=2))


def _softplus(x: Array) -> Array:
    return np.logaddexp(x, 0)


FUNCTIONS: dict[str, tuple[Callable[[Array], Array], float]] = {
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), 8.0),
    "tanh": (np.tanh, 4.0),
    "softplus": (_softplus, 8.0),
    "softsign": (lambda x: x / (np.abs(x) + 1), 8.0),
}
"""Functions that hls4ml looks up, and the reach of their tables."""

MERGES: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "average": lambda a, b: (a + b) / 2,
    "maximum": np.maximum,
    "minimum": np.minimum,
}

METHODS: dict[str, Callable[[Emulator, Emitted, list[Array]], Array]] = {
    "InputLayer": Emulator._input_layer,
    "Dense": Emulator._dense,
    **dict.fromkeys(("Conv1D", "Conv2D"), Emulator._conv),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), Emulator._depthwise),
    "BatchNormalization": Emulator._batch_norm,
    "Activation": Emulator._activation,
    "UnaryLUT": Emulator._bend,
    "LeakyReLU": Emulator._leaky,
    "ThresholdedReLU": Emulator._thresholded,
    "PReLU": Emulator._prelu,
    "ELU": Emulator._elu,
    "HardActivation": Emulator._hard,
    "FixedPointQuantizer": Emulator._by_element,
    "Softmax": Emulator._softmax,
    **{
        f"{prefix}{word}Pooling{rank}D": Emulator._pool
        for prefix in ("", "Global")
        for word in ("Max", "Average")
        for rank in (1, 2)
    },
    "Merge": Emulator._merge,
    "Concatenate": Emulator._concatenate,
    "Reshape": Emulator._reshape,
    "Transpose": Emulator._transpose,
    **dict.fromkeys(("ZeroPadding1D", "ZeroPadding2D"), Emulator._pad),
    **dict.fromkeys(("Cropping1D", "Cropping2D"), Emulator._crop),
    "Resize": Emulator._resize,
}
"""By hls4ml's class."""
