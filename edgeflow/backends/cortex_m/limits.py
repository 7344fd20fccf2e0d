"""What the kernels cannot do, as far as the Network shows it; the .tflite file shows the rest."""

from __future__ import annotations

from edgeflow.backends.base import Limit, Problem
from edgeflow.backends.cortex_m.operators_job import KERNELS, LIMITS
from edgeflow.backends.tflite.support import TABLE
from edgeflow.network import Network

LARGEST_MIB = 16
REMEDY = "build the model with other layers (`edgeflow check --list cortex_m`)"
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
            REMEDY,
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


def table() -> list[Limit]:
    """What there are kernels for, as `edgeflow check --list cortex_m` shows it."""
    by_text: dict[str, list[str]] = {}
    for name in KERNELS:
        by_text.setdefault(LIMITS.get(name, "int8"), []).append(name)
    return [
        *(Limit(tuple(names), text, "", "a .tflite file") for text, names in by_text.items()),
        Limit(tuple(sorted(KINDS)), "no kernel", REMEDY),
        Limit((), "one input and one output, a batch of 1, at most 3 axes", "export such a part"),
        Limit((), f"tensors of at most {LARGEST_MIB} MiB, sums that fit 32 bits"),
    ]
