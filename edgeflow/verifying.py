"""The stage of verification: golden inputs on the design's own grid, simulations, comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgeflow import record, verify
from edgeflow.backends.base import Request, Run, Simulation
from edgeflow.frontends import reference
from edgeflow.jobs import Finished, Job
from edgeflow.network import Network, Quantizer
from edgeflow.record import Dataset

OUTPUTS = "outputs.npz"


@dataclass(frozen=True)
class Verified:
    """What a target's simulations gave: the report's records, and the folders in the store.

    ``overflows``: types whose values wrap on the golden inputs (`Backend.examine`); ``rounding``:
    what rounding the inputs did (`on_grid`).
    """

    checks: Sequence[dict[str, Any]]
    outcomes: Sequence[Finished]
    overflows: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()

    rounding: Mapping[str, Any] | None = None

    @property
    def entry(self) -> dict[str, Any]:
        """The target's part of the report: verified is what agrees with the model where that
        decides, and in which nothing wraps."""
        deciding = [check for check in self.checks if check["deciding"]]
        agreed = bool(deciding) and all(check["passed"] for check in deciding)
        return {
            "accuracy": deciding[0]["accuracy"] if deciding else None,
            "verified": agreed and not self.overflows,
            "verification": list(self.checks),
            "input_rounding": self.rounding,
            "overflows": list(self.overflows),
        }


def tune(backend: Any, request: Request, run: Run) -> tuple[Request, Finished | None]:
    """The request with the types that the backend found, where they are to be tuned."""
    job = backend.tune(request) if hasattr(backend, "tune") else None
    if job is None:
        return request, None
    found = run(job)
    return replace(request, options=backend.tuned(request.options, found.result)), found


def examine_job(backend: Any, compiled: Request, grid: Request) -> Job | None:
    """The backend's look into a design's arithmetic (`Backend.examine`), where it has one."""
    if not hasattr(backend, "examine") or grid.golden is None:
        return None
    job: Job = backend.examine(compiled, grid.golden)
    return job


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
    readers = network.consumers[entry.name]
    quantizer = entry.quantizer
    if quantizer is None and all(reader.kind == "quantize" for reader in readers):
        found = {reader.quantizer for reader in readers}
        quantizer = found.pop() if len(found) == 1 else None
    if quantizer is None or quantizer.kind != "affine" or len(quantizer.scale or ()) != 1:
        return None
    return quantizer


def simulate(
    request: Request,
    simulations: Sequence[Simulation],
    run: Run,
    data: Dataset | None,
    examine: Job | None = None,
    rounding: Mapping[str, Any] | None = None,
) -> Verified:
    """Run the simulations side by side and compare each with the golden vectors.

    `examine` looks into the design's arithmetic meanwhile. Where a simulation may differ from the
    model, it may not differ by more than the design's own types make it, which that job has found.
    """
    golden = request.golden
    assert golden is not None
    jobs = [simulation.job for simulation in simulations] + ([examine] if examine else [])
    with ThreadPoolExecutor(max_workers=max(1, len(jobs))) as pool:
        outcomes = list(pool.map(run, jobs))
    seen = outcomes.pop() if examine else None
    checks = []
    for simulation, outcome in zip(simulations, outcomes, strict=True):
        allowed = _tightened(simulation, golden, seen)
        reference = run(simulation.against).path if simulation.against else golden
        check = record.verification(allowed, outcome, reference, request.model.network, data)
        if seen is not None:
            check["first_divergence"] = _explained(check["first_divergence"], seen.result)
            if seen.result["inputs"]:  # none where a layer is not emulated (LSTM, GRU)
                check["emulated"] = verify.same(seen.path / OUTPUTS, outcome.path / OUTPUTS)
        checks.append(check)
    findings: dict[str, list[Mapping[str, Any]]] = {"overflows": [], "clipped": []}
    if seen is not None:
        findings = {name: list(seen.result[name]) for name in findings}
    if rounding and rounding["outside"]:
        kind, found = _entering(request.model.network, rounding)
        findings[kind].insert(0, found)
    told = findings["overflows"]
    if "tuned" not in request.options:  # those clip by intent
        told = [*told, *findings["clipped"]]
    notes = [f"{found['why']}; use {found['remedy']}" for found in told]
    return Verified(checks, outcomes, findings["overflows"], notes, rounding)


def _entering(network: Network, rounding: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """What an input type that is too narrow does, as a finding, and of which kind."""
    name, kind = network.inputs[0], rounding["type"]
    saturates = "SAT" in kind.upper()
    why = (
        f"the inputs, from {rounding['low']:.6g} to {rounding['high']:.6g}, do not fit {kind}: "
        f"{rounding['outside']:.2%} of them {'are clipped' if saturates else 'wrap'}"
    )
    remedy = f"a type of more integer bits for the layer '{name}'"
    found = {
        "layer": name,
        "role": "result",
        "fraction": rounding["outside"],
        **{key: rounding[key] for key in ("type", "low", "high")},
        "why": why,
        "fix": None,
        "remedy": remedy,
    }
    return ("clipped" if saturates else "overflows"), found


def _tightened(simulation: Simulation, golden: Path, seen: Finished | None) -> Simulation:
    """The simulation with no more allowed than the emulation of the design's types differs by."""
    tolerance = simulation.tolerance
    if seen is None or not tolerance.absolute or not seen.result["exact"]:
        return simulation
    found = verify.emulated(golden / "golden.npz", seen.path / OUTPUTS)
    if found is None or found >= tolerance.absolute:
        return simulation
    reason = f"{tolerance.reason}; what these types compute differs by up to {found:.3g}"
    return replace(simulation, tolerance=replace(tolerance, absolute=found, reason=reason))


def _explained(first: Mapping[str, Any] | None, seen: Mapping[str, Any]) -> dict[str, Any] | None:
    """The first layer that diverges, with the reason and the remedy that examining it gave."""
    found = seen["divergence"]
    if found is None or first is None:
        return dict(first) if first else None
    keys = ("layer", "difference", "scale", "role", "type", "low", "high", "why", "fix", "remedy")
    index = first["index"] if first["layer"] == found["layer"] else None
    return {**{key: found[key] for key in keys}, "index": index}
