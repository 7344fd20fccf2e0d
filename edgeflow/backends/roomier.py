"""Which other targets would hold what a model needs: what a message about memory advises."""

from __future__ import annotations

from collections.abc import Mapping

from edgeflow import targets
from edgeflow.errors import TargetError
from edgeflow.targets import Target

MOST = 3
"""Targets that are named."""


def remedy(target: Target, needs: Mapping[str, float], smaller: str) -> str:
    """What to do about a model that does not fit.

    Args:
        target: what it does not fit.
        needs: bytes by figure of `Target.memory`, of all memories that it needs.
        smaller: what makes the model smaller, in words.
    """
    found = larger(target, needs)
    if not found:
        return f"{smaller}; no {_words(target.kind)} that edgeflow knows has so much"
    return f"{smaller}; or a target that holds it, such as {', '.join(found)}"


def larger(target: Target, needs: Mapping[str, float]) -> list[str]:
    """Targets of the same kind and default backend with that much memory, the smallest first.

    Their published figures decide; emulated machines are left out, for nobody can buy one.
    """
    try:
        known = targets.load_all()
    except TargetError:  # a broken file of the user's own says so elsewhere
        return []
    fitting = []
    for other in known.values():
        if other.kind != target.kind or other.backends[:1] != target.backends[:1]:
            continue
        rooms = [other.memory.get(name) for name in needs]
        sizes = [room.value for room in rooms if room is not None]
        enough = all(size >= need for size, need in zip(sizes, needs.values(), strict=False))
        if len(sizes) == len(needs) and enough and not other.name.startswith("qemu-"):
            fitting.append((sum(sizes), other.name))
    return [name for _, name in sorted(fitting)[:MOST]]


def _words(kind: str) -> str:
    return {"mcu": "microcontroller board", "tpu": "TPU", "npu": "NPU", "fpga": "FPGA"}.get(
        kind, "Linux board"
    )
