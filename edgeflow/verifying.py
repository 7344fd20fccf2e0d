"""The stage of verification: golden inputs on the design's own grid, simulations, comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

from edgeflow import record
from edgeflow.backends.base import Request, Run, Simulation
from edgeflow.frontends import reference
from edgeflow.jobs import Finished, Job
from edgeflow.network import Network, Quantizer
from edgeflow.record import Dataset


@dataclass(frozen=True)
class Verified:
    """What a target's simulations gave: the report's records, and the folders in the store."""

    checks: Sequence[dict[str, Any]]
    outcomes: Sequence[Finished]


def on_grid(
    request: Request, result: Mapping[str, Any], run: Run, data: Dataset | None
) -> tuple[Request, dict[str, Any] | None]:
    """The request with golden vectors on the design's grid, and what that changed.

    A compile job's ``input_type`` says how the design rounds what enters it. Where that changes the
    golden inputs, the model itself is run on the rounded ones, so that a comparison shows what the
    design computes and not how its input is rounded; what the rounding does to the model's own
    outputs is in the record, for the report.
    """
    kind = result.get("input_type")
    golden = request.golden
    if not kind or golden is None:
        return request, None
    network = request.model.network
    own = _own_grid(network)
    job = Job(
        "edgeflow.backends.grid_job:round_inputs",
        "keras",
        "inputs on the design's grid",
        {"golden": golden},
        {"type": kind, "quantizer": asdict(own) if own else None},
        ("numpy",),
    )
    rounded = run(job)
    if not rounded.result["changed"]:
        return request, None
    model = run(
        replace(
            reference.reference_job(request.model, rounded.path / "x.npz"),
            title="reference outputs on the design's grid",
        )
    )
    about = record.input_rounding(kind, rounded.result, golden, model.path, data)
    return replace(request, golden=model.path), about


def _own_grid(network: Network) -> Quantizer | None:
    """How the model itself rounds its input, where its steps are no power of two (int8 models)."""
    entry = network[network.inputs[0]]
    if entry.quantizer is not None:
        found = {entry.quantizer}
    else:
        found = {reader.quantizer for reader in network.consumers[entry.name]} - {None}
        if any(reader.kind != "quantize" for reader in network.consumers[entry.name]):
            return None
    quantizer = found.pop() if len(found) == 1 else None
    if quantizer is None or quantizer.kind != "affine" or len(quantizer.scale or ()) != 1:
        return None
    return quantizer


def simulate(
    request: Request, simulations: Sequence[Simulation], run: Run, data: Dataset | None
) -> Verified:
    """Run the simulations side by side and compare each with the golden vectors."""
    golden = request.golden
    assert golden is not None
    with ThreadPoolExecutor(max_workers=max(1, len(simulations))) as pool:
        outcomes = list(pool.map(lambda item: run(item.job), simulations))
    network = request.model.network
    checks = [
        record.verification(simulation, outcome, golden, network, data)
        for simulation, outcome in zip(simulations, outcomes, strict=True)
    ]
    return Verified(checks, outcomes)
