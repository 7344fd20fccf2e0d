"""Judges what a board sent back: its outputs against the golden ones, its times as an estimate."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeflow.deploy import board_runner
from edgeflow.deploy.golden import Golden
from edgeflow.errors import DeployError

if TYPE_CHECKING:
    import numpy as np

STEPS = 4
"""Steps of the output's scale by which outputs of another runtime, or of optimised kernels, may
differ: each layer may round the other way by one step, and those add up over a few layers."""

AGREEMENT = 0.98
"""Fraction of inputs whose class must then be the same."""

FLOAT_TOLERANCE = 1e-4
"""Difference that float models may show, as a part of the largest output: processors add in
different orders and fuse multiplications differently."""

SPREAD = 1.1
"""The measured latency's band holds at least [median / 1.1, median x 1.1]: a second run on the same
board, with its other temperature and load, lies within it (an assumption)."""


@dataclass(frozen=True)
class Allowed:
    """How far the board's outputs may be from the golden ones, and why."""

    absolute: float
    agreement: float
    reason: str


def judge(
    found: dict[str, Any], outputs: dict[str, np.ndarray], vectors: Golden, where: str
) -> dict[str, Any]:
    """Compare the fetched outputs here, see that the board found the same, and decide.

    Raises:
        DeployError: the outputs do not fit, or are not those of which the board told.
    """
    import numpy as np

    _, expected = vectors.outputs.get(found["runtime"], next(iter(vectors.outputs.values())))
    own = {}
    for name, array in outputs.items():
        try:
            own[name] = board_runner.compare(np, array, expected)
        except board_runner.Failure as error:
            raise DeployError(f"the board's outputs do not fit: {error}", where=where) from None
    theirs = {"reference": found["comparison"], "default": found["default_comparison"]}
    if own != theirs:
        raise DeployError(
            "the board's findings and the outputs it sent do not agree",
            where=where,
            details=[f"it found {theirs}", f"its outputs give {own}"],
        )
    allowed = _allowed(found, vectors, expected)
    explanation, passed = _explain(own["reference"], allowed)
    return {
        "host": where,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "runtime": str(found["runtime"]),
        "version": str(found["version"]),
        "resolver": str(found["resolver"]),
        "inputs": len(expected),
        **own["reference"],
        "tolerance": {
            "absolute": allowed.absolute,
            "agreement": allowed.agreement,
            "reason": allowed.reason,
        },
        "passed": passed,
        "explanation": explanation,
        "default_kernels": own["default"],
        "latency": found["latency"],
        "warm_up": found["warm_up"],
        "threads": found["threads"],
        "machine": found["machine"],
    }


def _allowed(found: dict[str, Any], vectors: Golden, expected: np.ndarray) -> Allowed:
    """Equality for integers in the runtime that made the golden outputs; else this module's
    constants."""
    import numpy as np

    if not vectors.scale:
        bound = FLOAT_TOLERANCE * float(np.abs(expected).max(initial=0))
        return Allowed(bound, AGREEMENT, "float arithmetic differs in its last bits")
    there = f"{found['runtime']} {found['version']}"
    made_by = next(iter(vectors.outputs))
    if found["runtime"] in vectors.outputs:
        made_by = found["runtime"]
    here = f"{made_by} {vectors.outputs[made_by][0]}".strip()
    if here == there:
        return Allowed(0, 1, f"the same kernels ({there})")
    reason = f"the golden outputs are of {here}, whose kernels may round otherwise than {there}"
    return Allowed(STEPS * vectors.scale, AGREEMENT, reason)


def _explain(own: dict[str, Any], allowed: Allowed) -> tuple[str, bool]:
    if own["equal"] == 1:
        return "every output is equal to the bit", True
    largest = own["max_difference"]
    passed = largest is not None and (
        largest <= allowed.absolute * (1 + 1e-6) and own["agreement"] >= allowed.agreement
    )
    size = "not finite" if largest is None else f"at most {largest:.3g}"
    return (
        f"{own['equal']:.2%} of the outputs are equal, the difference is {size}, the class agrees "
        f"on {own['agreement']:.2%}; allowed: {allowed.absolute:.3g} and {allowed.agreement:.0%} "
        f"({allowed.reason})",
        passed,
    )


def latency(deployment: dict[str, Any]) -> dict[str, Any]:
    """The estimate ``latency_measured`` (s) of a report, from what `judge` made."""
    times = deployment["latency"]
    median = times["median"]
    machine = deployment["machine"]
    source = (
        f"{deployment['host']} ({machine['board'] or machine['architecture']}), "
        f"{deployment['runtime']} {deployment['version']}, default kernels, "
        f"{deployment['threads']} thread(s): median of {times['repetitions']} inferences after "
        f"{deployment['warm_up']}, band: 10th to 90th percentile, at least a factor of {SPREAD}"
    )
    return {
        "value": median,
        "low": min(times["p10"], median / SPREAD),
        "high": max(times["p90"], median * SPREAD),
        "unit": "s",
        "method": "measured",
        "source": source,
    }
