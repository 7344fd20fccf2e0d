"""What a run puts into its report, as plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgeflow import verify
from edgeflow.backends.base import Simulation
from edgeflow.estimate import duty, operations
from edgeflow.estimate.quantity import Estimate
from edgeflow.frontends.model import Model
from edgeflow.jobs import Finished
from edgeflow.network import Network
from edgeflow.recipe import DataSpec
from edgeflow.store import hash_path
from edgeflow.targets import Target


@dataclass(frozen=True)
class Dataset:
    """The dataset's folder and what its job said of it (task, counts, shapes, classes)."""

    folder: Path
    about: Mapping[str, Any]


def estimates(
    network: Network, target: Target, found: Mapping[str, Estimate]
) -> dict[str, dict[str, Any]]:
    """The estimates, with those that the target's settings ask for (a rate, a battery, a node)."""
    every = {**found, **duty.extend(found, target), **operations.extend(network, target)}
    return {name: figure.to_json() for name, figure in every.items()}


def verification(
    simulation: Simulation,
    outcome: Finished,
    golden: Path,
    network: Network,
    data: Dataset | None,
) -> dict[str, Any]:
    """One comparison of an artifact with its model, with what it was allowed."""
    comparison = verify.compare(golden, outcome.path, simulation.tolerance, network)
    tolerance = simulation.tolerance
    return {
        "runtime": outcome.result.get("runtime", simulation.runtime),
        "version": outcome.result.get("version"),
        "resolver": outcome.result.get("resolver"),
        "deciding": simulation.deciding,
        "accuracy": accuracy(outcome.path / "outputs.npz", data),
        "tolerance": {
            "absolute": tolerance.absolute,
            "agreement": tolerance.agreement,
            "reason": tolerance.reason,
        },
        **{name: _finite(value) for name, value in comparison.to_json().items()},
    }


def input_rounding(
    kind: str, rounded: Mapping[str, Any], golden: Path, grid: Path, data: Dataset | None
) -> dict[str, Any]:
    """What rounding the inputs to the design's type does to the model's own outputs.

    Args:
        kind: the type.
        rounded: `grid_job.round_inputs`'s result.
        golden: the folder with the model's outputs on the inputs as they were given.
        grid: that with its outputs on the rounded inputs.
        data: for the accuracies.
    """
    gap, agreement = verify.distance(golden / "golden.npz", grid / "golden.npz")
    return {
        "type": kind,
        **{name: rounded[name] for name in ("changed", "difference", "outside", "low", "high")},
        "max_difference": _finite(gap),
        "agreement": agreement,
        "accuracy_before": accuracy(golden / "golden.npz", data),
        "accuracy": accuracy(grid / "golden.npz", data),
    }


def _finite(value: Any) -> Any:
    """JSON has no infinity: a difference that is not finite becomes null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def layer_rows(network: Network) -> list[dict[str, Any]]:
    """One record per layer, for the report's tables."""
    return [
        {
            "name": layer.name,
            "kind": layer.kind,
            "output_shape": list(layer.output_shape),
            "parameters": layer.parameters,
            "macs": layer.macs,
            "weight_bits": layer.weight_bits,
            "activation_bits": layer.activation_bits,
            "sparsity": layer.sparsity,
        }
        for layer in network
    ]


def accuracy(outputs: Path, data: Dataset | None) -> float | None:
    """Quality on the test data of the outputs in an ``.npz``; None without labelled data."""
    return verify.accuracy(outputs, data.folder, data.about["task"]) if data else None


def describe(model: Model) -> dict[str, Any]:
    """The report's part about the given model."""
    network = model.network
    return {
        "name": network.name,
        "format": model.format,
        "sha256": network.source.get("sha256") or hash_path(model.weights),
        "totals": asdict(network.totals),
        "layers": layer_rows(network),
    }


def describe_data(spec: DataSpec | None, data: Dataset | None) -> dict[str, Any] | None:
    """The report's part about the data."""
    if spec is None or data is None:
        return None
    about = data.about
    return {
        "name": spec.source or (spec.file.name if spec.file else ""),
        **{name: about.get(name) for name in ("task", "train", "test", "classes")},
    }


def stage(finished: Finished) -> dict[str, Any]:
    """One job of the run, for the report's timings."""
    return {
        "title": finished.job.title,
        "label": finished.job.label,
        "toolchain": finished.job.toolchain,
        "seconds": round(finished.seconds, 3),
        "cached": finished.cached,
        "key": finished.key,
    }


def tables(backend: Any, compiled: Path, result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the backend shows of its compiler, if it shows anything."""
    found = backend.tables(compiled, result) if hasattr(backend, "tables") else []
    return [asdict(table) for table in found]
