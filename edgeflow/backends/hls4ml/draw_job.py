"""From a model's files to its plan: what the jobs that compile, examine and tune begin with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow.backends.fixed_job import Array, parse
from edgeflow.backends.hls4ml.layers_job import Translator
from edgeflow.backends.hls4ml.plan_job import Plan, Types
from edgeflow.network import Network

REACH = 2.0**20
"""No value of a model is larger, where none may saturate."""
FINE = 62
"""Bits of types that round nothing that float64 holds."""


@dataclass(frozen=True)
class Drawn:
    """A model, its golden vectors (``x``, ``y``, ``logits``, ``trace/LAYER``), and its types."""

    network: Network
    weights: dict[str, Array]
    golden: dict[str, Array]
    types: Types

    def plan(self, types: Types | None = None) -> Plan:
        """The plan, by these types or by its own."""
        given = self.types if types is None else types
        return Translator(self.network, self.weights, self.golden.get("x"), given).run()

    def automatic(self) -> Types:
        """Types that are nobody's wish."""
        return replace(self.types, default=None, layers={})

    def unrounded(self) -> Types:
        """Types that round no more than the model itself does."""
        ranges = {layer.name: (-REACH, REACH) for layer in self.network}
        return replace(self.automatic(), bits=FINE, ranges=ranges)


def draw(inputs: dict[str, Path], params: dict[str, Any]) -> Drawn:
    """Read ``network`` (JSON), ``weights`` (npz), maybe ``golden`` (folder); types by the compile
    job's parameters."""
    network = Network.load(inputs["network"])
    weights = dict(np.load(inputs["weights"], allow_pickle=False))
    golden = golden_of(inputs.get("golden"))
    return Drawn(network, weights, golden, types_of(params, golden, network))


def golden_of(folder: Path | None) -> dict[str, Array]:
    """A golden folder's arrays."""
    if folder is None:
        return {}
    found = dict(np.load(folder / "golden.npz", allow_pickle=False))
    trace = folder / "trace.npz"
    if trace.is_file():
        arrays = np.load(trace, allow_pickle=False)
        found |= {f"trace/{name}": arrays[name] for name in arrays.files}
    return found


def types_of(params: dict[str, Any], golden: dict[str, Array], network: Network) -> Types:
    """How types are chosen, with the ranges of the model's own values."""
    ranges = {}
    for key, values in golden.items():
        if key.startswith("trace/") and values.size and np.isfinite(values).all():
            # Few inputs are traced (8, say): leave room for several times what they reach.
            room = 4 if len(values) < 100 else 2
            low, high = float(values.min()), float(values.max())
            ranges[key.removeprefix("trace/")] = (room * min(low, 0), room * max(high, 0))
    for layer in network:
        # A framework that fuses a ReLU shows only what comes out of it. What goes in may saturate
        # below: all that is negative becomes 0.
        after = network.consumers.get(layer.name, ())
        if (
            layer.name not in ranges
            and after
            and all(user.kind == "relu" and user.name in ranges for user in after)
        ):
            high = max(ranges[user.name][1] for user in after)
            ranges[layer.name] = (-high, high)
    default = None if params["precision"] == "auto" else parse(params["precision"])
    return Types(
        params["bits"], default, params["layers"], ranges, params["table_size"],
        params.get("compiler", "vitis"), params.get("softmax", "stable"),
        params.get("name", ""),
    )  # fmt: skip
