"""The naive reference: the same network with a plain ``*`` for each weight, as Verilog.

What a designer would write without adder graphs: every product a multiplication by a constant,
every sum a chain of ``+``, rounding and saturation as comparisons. Same types, same results. It is
there to compare areas with (`benchmarks/jet_rtl.py`), for dense layers and ReLUs.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow.backends.fixed_job import fraction_of
from edgeflow.backends.rtl.job import FORMAT, opened
from edgeflow.backends.rtl.layers_job import Context
from edgeflow.backends.rtl.quantize_job import grid_of
from edgeflow.errors import UnsupportedError
from edgeflow.network import Layer


def compile(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],  # noqa: ARG001 - every job takes it
) -> dict[str, Any]:
    """Write ``verilog/NAME.v`` and ``design.json``; inputs and params as `job.compile`.

    Raises:
        UnsupportedError: a layer that is neither dense, ReLU nor a final softmax.
    """
    network, context, grid = opened(inputs, params)
    size = math.prod(int(dim or 1) for dim in network[network.inputs[0]].output_shape)
    signed, integer, fraction = int(grid.signed), int(grid.integer), int(grid.fraction)
    bits = signed + integer + fraction
    writer = _Writer()
    values = [
        _Value(writer.wire(f"x{i}", bits + 1 - signed, _slice("model_inp", i, bits, signed)),
               fraction, *_reach(signed, bits))
        for i in range(size)
    ]  # fmt: skip
    for layer in network:
        if layer.kind == "dense":
            values = writer.dense(layer, values, context)
        elif layer.kind == "relu":
            values = writer.relu(layer, values)
        elif layer.kind not in ("input", "softmax"):
            raise UnsupportedError(f"the naive reference has no layer '{layer.kind}'")
    folder = output / "verilog"
    folder.mkdir()
    name = params["name"]
    out = [{"bits": v.bits, "signed": True, "fraction": v.fraction, "lsb": 0} for v in values]
    for before, after in itertools.pairwise(out):
        after["lsb"] = before["lsb"] + before["bits"]
    width = out[-1]["lsb"] + out[-1]["bits"]
    joined = ", ".join(v.name for v in reversed(values))
    (folder / f"{name}.v").write_text(
        f"module {name} (\n  input [{size * bits - 1}:0] model_inp,\n"
        f"  output [{width - 1}:0] model_out\n);\n"
        + "\n".join(writer.lines)
        + f"\n  assign model_out = {{{joined}}};\nendmodule\n"
    )
    elements = [
        {"lsb": i * bits, "bits": bits, "signed": bool(signed), "fraction": fraction}
        for i in range(size)
    ]
    design = {
        "format": FORMAT, "top": name, "style": "combinational",
        "files": {"verilog": [f"verilog/{name}.v"], "vhdl": []}, "clock": None, "reset": None,
        "latency_cycles": 0, "ii": 1, "handshake": False,
        "input": {"port": "model_inp", "width": size * bits, "beats": 1, "elements": elements},
        "output": {"port": "model_out", "width": width, "beats": 1, "elements": out},
    }  # fmt: skip
    (output / "design.json").write_text(json.dumps(design, indent=1) + "\n")
    return {"top": name, "multipliers": writer.multipliers}


class _Value:
    """A signed wire: its name, bits after the point, the integers it can hold."""

    def __init__(self, name: str, fraction: int, low: int, high: int) -> None:
        self.name, self.fraction, self.low, self.high = name, fraction, low, high

    @property
    def bits(self) -> int:
        return _width(self.low, self.high)


class _Writer:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.multipliers = 0

    def wire(self, name: str, bits: int, value: str) -> str:
        self.lines.append(f"  wire signed [{bits - 1}:0] {name} = {value};")
        return name

    def dense(self, layer: Layer, values: Sequence[_Value], context: Context) -> list[_Value]:
        kernel, bias = context.array(layer, "kernel"), context.array(layer, "bias")
        assert kernel is not None
        bias = np.zeros(kernel.shape[1]) if bias is None else bias
        fine = max(fraction_of(kernel, 40) or 0, 0)
        total = max(fine + values[0].fraction, fraction_of(bias, 40) or 0, 0)
        shift = total - fine - values[0].fraction
        found = []
        for column in range(kernel.shape[1]):
            factors = np.rint(kernel[:, column] * 2.0**fine).astype(int)
            start = round(float(bias[column]) * 2.0**total)
            ends = [
                sorted((int(w) * v.low << shift, int(w) * v.high << shift))
                for w, v in zip(factors, values, strict=True)
            ]
            low, high = start + sum(e[0] for e in ends), start + sum(e[1] for e in ends)
            bits = _width(low, high)
            terms = [_constant(start, bits)]
            for w, v in zip(factors, values, strict=True):
                if w:
                    product = f"{v.name} * {_constant(int(w), _width(int(w), int(w)))}"
                    terms.append(f"(({product}) <<< {shift})" if shift else product)
                    self.multipliers += 1
            name = self.wire(f"{_safe(layer.name)}_{column}", bits, " + ".join(terms))
            found.append(_Value(name, total, low, high))
        return found

    def relu(self, layer: Layer, values: Sequence[_Value]) -> list[_Value]:
        grid = grid_of(layer.quantizer)
        if grid is None or int(grid.signed) or grid.rounding != "AP_RND_CONV":
            raise UnsupportedError(f"the naive reference cannot round '{layer.name}'")
        fraction, top = int(grid.fraction), 2 ** int(grid.integer + grid.fraction) - 1
        found = []
        for index, v in enumerate(values):
            name = f"{_safe(layer.name)}_{index}"
            cut = v.fraction - fraction
            rounded = v.name
            bits = v.bits + 1
            if cut > 0:  # half to even: half a step less one, plus the last bit that stays
                half = _constant((1 << (cut - 1)) - 1, bits)
                self.wire(
                    f"{name}_h", bits, f"{v.name} + {half} + $signed({{1'b0, {v.name}[{cut}]}})"
                )
                rounded = self.wire(f"{name}_r", bits, f"{name}_h >>> {cut}")
            width = _width(0, top)
            limit = _constant(top, width)
            self.wire(
                name, width,
                f"({rounded} < 0) ? {_constant(0, width)} : "
                f"({rounded} > {limit}) ? {limit} : {rounded}",
            )  # fmt: skip
            found.append(_Value(name, fraction, 0, top))
        return found


def _slice(port: str, index: int, bits: int, signed: int) -> str:
    part = f"{port}[{(index + 1) * bits - 1}:{index * bits}]"
    return part if signed else f"{{1'b0, {part}}}"


def _reach(signed: int, bits: int) -> tuple[int, int]:
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def _width(low: int, high: int) -> int:
    """Bits of a signed number that holds [low, high]."""
    return max((-low - 1).bit_length() if low < 0 else 0, max(high, 0).bit_length()) + 1


def _constant(value: int, bits: int) -> str:
    bits = max(bits, abs(value).bit_length() + 1)  # the magnitude is written as a positive one
    return f"-{bits}'sd{-value}" if value < 0 else f"{bits}'sd{value}"


def _safe(name: str) -> str:
    return "n_" + "".join(c if c.isalnum() else "_" for c in name)
