"""What a target is to the open tools: family, device, pins, room. The core's side."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from edgeflow import targets
from edgeflow.errors import TargetError
from edgeflow.synthesis import cells
from edgeflow.targets import Pin, Target

ROUTED: Final = ("ice40", "ecp5", "gowin")
"""The families with open place and route and a bitstream."""
CHIPS: Final = (
    # what an order code begins with (AMD), the family of yosys' synth_xilinx
    (r"xc7", "xc7"),
    (r"xc(zu|k26|ku\d+p|vu\d+p|au\d)", "xcup"),
    (r"xcu\d", "xcup"),  # Alveo cards hold UltraScale+ chips
    (r"xc[kv]u\d", "xcu"),
)
CONSTRAINTS: Final = {"ice40": "pins.pcf", "ecp5": "pins.lpf", "gowin": "pins.cst"}
LABELS: Final = {
    "lut": "LUTs",
    "ff": "flip-flops",
    "dsp": "DSP blocks",
    "bram_18k": "block RAMs (18 Kbit)",
    "bram_4k": "block RAMs (4 Kbit)",
    "spram": "single-port RAMs (256 Kbit)",
    "uram": "UltraRAMs",
}
MOST: Final = 3
"""Larger targets that a message names."""


@dataclass(frozen=True)
class Device:
    """What nextpnr must know: e.g. ice40 up5k sg48; ecp5 85k CABGA381 6; gowin GW1NR-LV9…"""

    family: str
    device: str
    package: str = ""
    speed: str = ""
    chip_family: str = ""

    def to_json(self) -> dict[str, str]:
        """Plain data, for a job's parameters."""
        return {
            "family": self.family,
            "device": self.device,
            "package": self.package,
            "speed": self.speed,
            "chip_family": self.chip_family,
        }


def family(target: Target) -> str | None:
    """The family that yosys synthesises for; None where it knows none for this target."""
    if target.kind != "fpga":
        return None
    given = target.settings.get("family")
    if given in cells.FAMILIES:
        return str(given)
    for pattern, name in CHIPS:
        if re.match(pattern, target.chip.lower()):
            return name
    return None


def device(target: Target) -> Device | None:
    """What nextpnr must know of the target; None where it has no open place and route.

    Raises:
        TargetError: the family has it, but the target's file does not say which device.
    """
    name = family(target)
    if name not in ROUTED:
        return None
    settings = target.settings
    if not settings.get("device"):
        raise TargetError(
            f"expected settings.device for place and route on {name}, found none",
            where=target.where or target.name,
            remedy="add it, such as `device: up5k` (nextpnr's own name of the device)",
        )
    return Device(
        name,
        str(settings["device"]),
        str(settings.get("package", "")),
        str(settings.get("speed", "")),
        str(settings.get("chip_family", "")),
    )


def variant(target: Target) -> str:
    """The variant of the family that yosys is told (``hx``, ``lp``, ``u``; ``gw1n``, ``gw2a``)."""
    name = str(target.settings.get("device", "")).lower()
    if family(target) == "ice40":
        return next((kind for kind in ("hx", "lp") if name.startswith(kind)), "u")
    if family(target) == "gowin":
        return name[:4] if name[:4] in ("gw1n", "gw2a", "gw5a") else "gw1n"
    return ""


def constraints(
    target: Target, ports: Mapping[str, int], signals: Mapping[str, str] | None = None
) -> tuple[str, str]:
    """The file that ties a top module's ports to the board's pins, for nextpnr.

    Args:
        target: a board with pins.
        ports: the width of each port of the top module, by name.
        signals: the board's signal of a port where their names differ.

    A port of one bit takes the pin of its name; bit i of a wider one takes ``NAME_i``.

    Returns:
        the file's name (its ending is the format's) and its text.

    Raises:
        TargetError: the target has no open place and route, or ports without a pin (all named).
    """
    name = family(target)
    if name not in ROUTED:
        raise TargetError(
            f"expected a target of {', '.join(ROUTED)}, found '{target.name}'",
            remedy="open place and route has no other family",
        )
    lines: list[str] = []
    missing: list[str] = []
    for port, width in ports.items():
        signal = (signals or {}).get(port, port)
        for bit in range(width):
            wanted = signal if width == 1 else f"{signal}_{bit}"
            pin = target.pins.get(wanted)
            if pin is None:
                missing.append(f"port '{port}'" + (f" bit {bit}" if width > 1 else ""))
            else:
                lines += _lines(name, port if width == 1 else f"{port}[{bit}]", pin)
    if missing:
        raise TargetError(
            f"{len(missing)} ports of the design have no pin on '{target.name}'",
            where=target.where or None,
            details=[f"{what}: no signal of that name" for what in missing[:20]],
            remedy=f"the board's signals are: {', '.join(target.pins) or 'none'}",
        )
    return CONSTRAINTS[name], "\n".join(lines) + "\n"


def _lines(family: str, port: str, pin: Pin) -> list[str]:
    if family == "ice40":
        pull = " -pullup yes" if pin.pull == "up" else ""
        return [f"set_io{pull} {port} {pin.pin}"]
    io, pull = pin.io or "LVCMOS33", (pin.pull or "none").upper()
    if family == "ecp5":
        return [
            f'LOCATE COMP "{port}" SITE "{pin.pin}";',
            f'IOBUF PORT "{port}" IO_TYPE={io} PULLMODE={pull};',
        ]
    return [f'IO_LOC "{port}" {pin.pin};', f'IO_PORT "{port}" IO_TYPE={io} PULL_MODE={pull};']


def over(used: Mapping[str, float], target: Target) -> list[str]:
    """What a design needs more of than the target has, in words; empty where it fits.

    Resources of which the target says nothing are taken to fit.
    """
    found = []
    for name, count in used.items():
        figure = target.figure("resources", name)
        if figure is not None and count > figure.value:
            ratio = f", {count / figure.value:.1f}x" if figure.value else ""
            found.append(
                f"{LABELS.get(name, name)}: needs {count:,.0f}, '{target.name}' has "
                f"{figure.value:,.0f} ({count - figure.value:,.0f} too many{ratio})"
            )
    return found


def roomier(used: Mapping[str, float], target: Target) -> str:
    """The end of an advice: which targets would hold a design, by name, the smallest first.

    Only those whose tools are of the same kind (open place and route, or the vendor's), and whose
    look-up tables count alike.
    """
    try:
        known = targets.load_all()
    except TargetError:  # a broken file of the user's own says so elsewhere
        return "a larger target"
    found = []
    for other in known.values():
        room = {name: other.figure("resources", name) for name in used}
        alike = family(other) is not None and (family(other) in ROUTED) == (
            family(target) in ROUTED
        )
        if alike and all(f is not None and f.value >= used[name] for name, f in room.items()):
            found.append((sum(f.value for f in room.values() if f is not None), other.name))
    if not found:
        return "no target that edgeflow knows has so much"
    return f"a target that holds it, such as {', '.join(name for _, name in sorted(found)[:MOST])}"
