"""What every retraining starts from: the Graph to train, its data, and how to train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeflow.compress import fit_job, graph_job
from edgeflow.compress.graph_job import Graph


@dataclass(frozen=True)
class Begun:
    """``whole`` has its batch norms folded; ``graph`` is that without the softmax at the end.

    ``stripped`` is the softmax layer's name, or None.
    """

    settings: fit_job.Settings
    whole: Graph
    graph: Graph
    stripped: str | None
    data: fit_job.Dataset


def begin(
    keras: Any,
    inputs: Mapping[str, Path],
    params: Mapping[str, Any],
    kinds: frozenset[str],
    method: str,
) -> Begun:
    """Read a retraining job's model and data, and seed all that is random.

    Raises:
        UnsupportedError: every layer that is not of `kinds`, which `method` knows.
        DataError: the dataset does not fit.
    """
    settings = fit_job.Settings.of(params)
    fit_job.seed(keras, settings)
    whole = graph_job.fold_batch_norm(graph_job.read(inputs["model"]))
    graph, stripped = graph_job.strip_softmax(whole)
    graph_job.require(graph.network, kinds, method)
    data = fit_job.load(inputs["data"], graph.network, settings)
    return Begun(settings, whole, graph, stripped, data)
