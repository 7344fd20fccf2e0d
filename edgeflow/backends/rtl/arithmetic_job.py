"""Sums of products with constants, as adder graphs: what dense layers and convolutions do.

da4ml's solver (constant matrix-vector multiplication) shares sub-expressions between outputs.
Here constants are taken out of its way first: weights of 0, inputs that are constant, outputs
without weights; and equal problems (the positions of a convolution) are solved once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from da4ml.cmvm import solve
from da4ml.trace import FixedVariableArray
from da4ml.trace.fixed_variable import FixedVariable, HWConfig
from da4ml.types import QInterval, minimal_kif

Array = np.ndarray[Any, Any]

DEFAULT: Mapping[str, Any] = {"method0": "wmc", "method1": "auto", "hard_dc": -1}
"""da4ml's own defaults; ``hard_dc`` bounds the adder depth (-1: not at all)."""
SEARCH: tuple[Mapping[str, Any], ...] = (
    DEFAULT,
    {"method0": "wmc", "hard_dc": 2},
    {"method0": "mc", "hard_dc": 2},
)
"""Settings that were each seen to win somewhere; the cheapest graph is taken (1 to 2 % less)."""
SEARCHED = 6000
"""Weights (not 0) of a problem up to which all of them are tried."""


@dataclass
class Solver:
    """Makes adder graphs, each once. ``options``: da4ml's solver options; None: the best found."""

    options: Mapping[str, Any] | None = None
    hwconf: HWConfig = field(default_factory=lambda: HWConfig(1, -1, -1))
    solved: dict[Any, Any] = field(default_factory=dict)

    def products(self, x: FixedVariableArray, kernel: Array, bias: Array | None = None) -> Any:
        """``x @ kernel + bias`` for a vector `x` (in) and a kernel (in, out)."""
        variables = x._vars.ravel()
        kernel = np.asarray(kernel, np.float64)
        constant = np.zeros(kernel.shape[1]) if bias is None else np.asarray(bias, np.float64)
        fixed = np.array([v.low == v.high for v in variables])
        values = np.array(
            [float(v.low) if c else 0.0 for v, c in zip(variables, fixed, strict=True)]
        )
        constant = constant + values @ kernel
        rows = np.flatnonzero(~fixed & np.any(kernel != 0, axis=1))
        columns = np.flatnonzero(np.any(kernel[rows] != 0, axis=0)) if rows.size else rows
        made = [FixedVariable.from_const(float(c), hwconf=self.hwconf) for c in constant]
        if rows.size:
            sums = self._solve(variables[rows], kernel[np.ix_(rows, columns)])
            for column, total in zip(columns, sums, strict=True):
                made[column] = total + float(constant[column])
        found = np.empty(len(made), dtype=object)
        found[:] = made
        return FixedVariableArray(found, hwconf=self.hwconf)

    def _solve(self, variables: Array, kernel: Array) -> Any:
        ranges = [QInterval(float(v.low), float(v.high), float(v.step)) for v in variables]
        latencies = [float(v.latency) for v in variables]
        key = (kernel.shape, kernel.tobytes(), tuple(ranges), tuple(latencies))
        if key not in self.solved:
            given = (self.options,) if self.options is not None else SEARCH
            if np.count_nonzero(kernel) > SEARCHED:
                given = given[:1]
            found = [
                solve(
                    np.ascontiguousarray(kernel, np.float32), qintervals=ranges,
                    latencies=latencies, adder_size=self.hwconf.adder_size,
                    carry_size=self.hwconf.carry_size, **options,
                )
                for options in given
            ]  # fmt: skip
            self.solved[key] = min(found, key=_price)
        return self.solved[key](variables)


def _price(graph: Any) -> float:
    """Adder bits, and those of the negations that its negative outputs will need."""
    widths = (sum(minimal_kif(interval)) for interval in graph.out_qint)
    signs = zip(widths, graph.out_neg, strict=True)
    return float(graph.cost + sum(width for width, negative in signs if negative))
