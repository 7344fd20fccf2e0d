"""A report in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def verdict(record: Mapping[str, Any]) -> dict[str, Any]:
    """In one sentence, whether every artifact computes what the model computes.

    Returns:
        ``{"good": bool, "text": str}``.
    """
    targets = record["targets"]
    verified = [name for name, target in targets.items() if target["verified"]]
    failed = [name for name, target in targets.items() if target["error"]]
    wrong = [name for name in targets if name not in verified and name not in failed]
    if not targets:
        return {"good": False, "text": "no target was asked for"}
    if len(verified) == len(targets):
        text = (
            "the target is verified"
            if len(targets) == 1
            else f"all {len(targets)} targets are verified"
        )
        return {"good": True, "text": text}
    parts = [f"{len(verified)} of {len(targets)} targets verified"]
    if wrong:
        parts.append(f"not verified: {', '.join(wrong)}")
    if failed:
        parts.append(f"failed: {', '.join(failed)}")
    return {"good": False, "text": "; ".join(parts)}
