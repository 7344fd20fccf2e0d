"""The job that wraps a design for a target, or by itself; the core's side of `wrap_job`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from edgeflow.errors import TargetError
from edgeflow.jobs import Job
from edgeflow.targets import Target

BAUD: Final = 115200
"""Bits per second of a UART where nothing else is asked: every serial port knows it."""


CHECKED: Final = 8
"""Golden inputs that go through the simulated pins: a bit takes a hundred clocks there."""


def wrap_job(
    design: Path,
    interface: str,
    *,
    target: Target | None = None,
    clock_mhz: float | None = None,
    baud: int = BAUD,
    data_bits: int = 32,
    label: str = "",
) -> Job:
    """The job that wraps a design's folder (`wrap_job.wrap`).

    With a ``target`` a serial interface becomes the top of that board: its ports are the target's
    signals, its clock is the one on the board's clock pin.

    Raises:
        TargetError: the board has no pins, or none for its clock.
    """
    params: dict[str, Any] = {"interface": interface}
    if interface == "axi_stream":
        params["data_bits"] = data_bits
    if interface == "uart":
        params |= {"baud": baud, "clock_mhz": clock_mhz}
    if target is not None and interface in ("uart", "spi"):
        clock = target.pins.get("clk")
        if clock is None or not clock.mhz:
            raise TargetError(
                f"the target '{target.name}' does not say which pin its clock is on, and how fast",
                where=target.where or None,
                remedy="add 'clk' with 'mhz' to its 'pins', or choose the interface valid_ready or "
                "axi_stream, which end in no board's bitstream",
            )
        params["board"] = {name: pin.active_low for name, pin in target.pins.items()}
        if interface == "uart":
            params["clock_mhz"] = clock.mhz
    return Job(
        entry="edgeflow.backends.rtl.wrap_job:wrap",
        toolchain="rtl",
        title=f"wrap ({interface})",
        inputs={"design": design},
        params=params,
        timeout=120,
        label=label,
    )


def check_job(wrapper: Path, golden: Path, label: str = "") -> Job:
    """The job that runs golden inputs through a UART wrapper's pins (`wrap_sim_job.check`)."""
    return Job(
        entry="edgeflow.backends.rtl.wrap_sim_job:check",
        toolchain="rtl",
        title="simulate the board's top",
        inputs={"wrapper": wrapper, "golden": golden},
        params={"count": CHECKED},
        imports=("numpy",),
        timeout=1800,
        label=label,
    )


def transfers_per_second(wrapper: Mapping[str, Any]) -> float:
    """Inferences per second that a UART carries: a request, then its reply, without escapes."""
    frame = wrapper["frame"]
    bits = 10 * (frame["request_bytes"] + frame["reply_bytes"] + 4)
    return float(wrapper["baud"] / bits)


def describe(wrapper: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """What the check of a UART wrapper found, for the report."""
    low, high = found["cycles"]
    cycles = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return (
        f"the board's top, simulated at its UART: {found['equal']} of {found['inputs']} inputs "
        f"right, {cycles} clocks each; {wrapper['baud']:,} baud carry at most "
        f"{transfers_per_second(wrapper):,.0f} inferences per second"
    )
