"""Estimates for several targets from a Network alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgeflow import targets
from edgeflow.backends import registry
from edgeflow.network import Network


def estimate_targets(
    read: Callable[[], Network],
    names: Sequence[str],
    *,
    backend: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> dict[str, dict[str, Any]]:
    """What the Network would cost on each target, in the form of the report's ``targets``.

    Args:
        read: gives the Network; called once the targets and options are known to be right.
        names: targets.
        backend: its name; the target's first by default.
        options: the backend's options.

    Raises:
        EdgeflowError: an unknown target, backend or option; the model cannot be read.
    """
    chosen = []
    for name in names:
        target = targets.load(name)
        compiler = registry.choose(target, backend)
        chosen.append((target, compiler, compiler.options(dict(options or {}), "--option")))
    network = read()
    return {
        target.name: {
            "backend": compiler.name,
            "title": target.title,
            "problems": [str(problem) for problem in compiler.check(network, target, settings)],
            "estimates": {
                quantity: figure.to_json()
                for quantity, figure in compiler.estimate(network, target, settings).items()
            },
        }
        for target, compiler, settings in chosen
    }
