"""The adder-graph cost of a Network, as an objective for compression."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeflow.backends.rtl.job import build, golden_vectors, read_weights
from edgeflow.estimate.ebops import ebops
from edgeflow.network import Network


def adders(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,  # noqa: ARG001 - every job takes it
    progress: Callable[..., None],
) -> dict[str, Any]:
    """What the unrolled design costs, without writing it: seconds for a small network.

    ``inputs``: ``network`` (JSON), ``weights`` (npz), maybe ``golden`` (folder). ``params``: those
    of `job.compile` that change the graph (``input_bits``, ``input_type``, ``table_bits``,
    ``solver``); all optional.

    Returns:
        ``lut`` (da4ml's cost: bits of adders and multiplexers, which synth_xilinx turns into
        about as many LUTs), ``layers`` {name: LUTs}, ``adders`` (how many),
        ``levels`` (depth in adders), ``ebops`` (`edgeflow.estimate.ebops`).
    """
    network = Network.load(inputs["network"])
    weights = read_weights(inputs["weights"])
    x, _ = golden_vectors(inputs.get("golden"))
    traced = build(network, weights, params, x, progress)
    comb = traced.comb
    return {
        "lut": round(comb.cost, 1),
        "layers": {name: round(cost, 1) for name, cost in traced.costs.items()},
        "adders": sum(op.opcode in (0, 1, 4) for op in comb.ops),
        "levels": float(max((comb.ops[i].latency for i in comb.out_idxs), default=0.0)),
        "ebops": ebops(network, weights),
    }
