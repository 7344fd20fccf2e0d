"""What the kernels cannot do, as far as the Network shows it; the .tflite file shows the rest."""

from __future__ import annotations

from edgeflow.backends.base import Problem
from edgeflow.backends.cortex_m.operators_job import KERNELS
from edgeflow.backends.tflite.support import TABLE
from edgeflow.network import Network

KINDS = {
    kind: missing
    for kind, support in TABLE.items()
    if (missing := [name for name in support.operators if name not in KERNELS])
}
"""Kinds of layers that become operators without a kernel, and these operators."""


def problems(network: Network) -> list[Problem]:
    """Every layer without a kernel, and ports that the library does not have."""
    found = [
        Problem(
            layer.name,
            f"no kernel for {layer.kind} ({', '.join(KINDS[layer.kind])})",
            "build the model with another layer; `edgeflow check --list cortex_m` has them all",
        )
        for layer in network
        if layer.kind in KINDS
    ]
    for word, names in (("inputs", network.inputs), ("outputs", network.outputs)):
        if len(names) != 1:
            found.append(
                Problem(None, f"the model has {len(names)} {word}", "export a part that has one")
            )
    return found
