"""What the open tools said of a design, as the report's tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from edgeflow.backends.base import Table
from edgeflow.synthesis import devices

ALWAYS: Final = ("lut", "ff", "dsp")
"""Resources with a row even where none is used; a block RAM has one where the device has it."""
DELAYS: Final = {"zero": "without delays", "unit": "unit delays", "cell": "delays of the cells"}
OUTSIDE: Final = "(wrapper, or no layer)"


def tables(synthesis: Mapping[str, Any] | None) -> list[Table]:
    """Resources, critical path and toggles, of ``result["synthesis"]`` (`build.synthesise`)."""
    if not synthesis:
        return []
    found = (resources(synthesis), critical_path(synthesis), toggles(synthesis))
    return [table for table in found if table is not None]


def resources(synthesis: Mapping[str, Any]) -> Table | None:
    """Used and free, by resource; free is None where the device's room is not known."""
    used = synthesis.get("utilisation")
    if not used:
        return None
    room = synthesis.get("available") or {}
    shown = [
        name
        for name in devices.LABELS
        if used.get(name) or room.get(name) or (name in ALWAYS and name in used)
    ]
    rows = tuple(_resource(name, used.get(name, 0), room.get(name)) for name in shown)
    source = synthesis.get("source")
    title = f"Resources, by {source}" if source else "Resources"
    return Table(title, ("resource", "used", "free", "available", "used %"), rows)


def _resource(name: str, used: float, room: float | None) -> tuple[str | float | None, ...]:
    if room is None:
        return (devices.LABELS[name], used, None, None, None)
    share = round(100 * used / room, 1) if room else None
    return (devices.LABELS[name], used, room - used, room, share)


def critical_path(synthesis: Mapping[str, Any]) -> Table | None:
    """The longest path between registers, in its order, by the layer it runs through."""
    path = synthesis.get("critical_path")
    if not path or not path.get("layers"):
        return None
    total = path["ns"]
    rows = tuple(
        (
            part["layer"] or OUTSIDE,
            part["ns"],
            round(100 * part["ns"] / total, 1) if total else None,
        )
        for part in path["layers"]
    )
    title = (
        f"Critical path by layer: {total:g} ns, {path['logic_ns']:g} in logic and "
        f"{path['routing_ns']:g} in routing (clock '{path['clock']}')"
    )
    return Table(title, ("layer", "ns", "%"), rows)


def toggles(synthesis: Mapping[str, Any]) -> Table | None:
    """Toggles per inference by class of net, for each way that delays were counted."""
    counted = synthesis.get("toggles")
    if not counted or not counted.get("classes"):
        return None
    delays = [name for name in DELAYS if name in counted["total"]]
    rows = [
        (name, values["nets"], *(round(values[delay], 1) for delay in delays))
        for name, values in counted["classes"].items()
    ]
    total = (round(counted["total"][delay], 1) for delay in delays)
    rows.append(("all", counted["nets"], *total))
    if (clock := counted["clock"])["toggles"]:
        rows.append(("clock", clock["nets"], *(clock["toggles"] for _ in delays)))
    return Table(
        f"Toggles per inference by class of net, mean of {counted['inferences']:,} inferences",
        ("nets", "number", *(DELAYS[delay] for delay in delays)),
        tuple(rows),
    )
