"""What-if questions: a target with another clock, runtime, figure or setting.

The target is replaced before any estimator sees it, so estimators read a target and nothing else.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from typing import Any, Final

from edgeflow import validation
from edgeflow.errors import InputError, TargetError
from edgeflow.estimate import duty, operations
from edgeflow.estimate.power import RATED
from edgeflow.targets import SECTIONS, Figure, Target

RUNTIMES: Final = {
    "tflm": "TensorFlow Lite for Microcontrollers with its reference kernels",
    "tflm-cmsis-nn": "TensorFlow Lite for Microcontrollers with CMSIS-NN's kernels",
    "x-cube-ai": "ST's X-CUBE-AI",
    "microtvm": "microTVM",
    "edgeflow": "edgeflow's own Cortex-M library",
    "vendor": "an NPU's own runtime",
}
"""What runs a network on a microcontroller or NPU."""

SETTINGS: Final = {
    "runtime": "what runs the network: " + ", ".join(RUNTIMES),
    "runtime_version": "the runtime's release, where estimates tell them apart (10.0.0)",
    "bus": "an Edge TPU's bus: usb2, usb3 or pcie",
    "multipliers": "what an HLS design's multiplications are bound to: dsp or logic",
    "accelerator": "what computes beside a microcontroller's core",
    "vendor_runtime": "the runtime that the vendor's own is a build of",
    "supply_v": "volts of a microcontroller's supply",
    "regulator": "what makes a microcontroller's core voltage: ldo or smps",
    **duty.ASKED,
    **operations.ASKED,
}
"""Settings that estimators read of any target; a target's own come beside them."""

FIELDS: Final = ("clock_mhz", "chip", "architecture")
"""A target's plain fields that can be replaced."""

AT_CLOCK: Final = ("int8_ops", "bfloat16_flops", "float32_flops")
"""Figures of `Target.compute` that hold at the target's own clock, and go with it."""

FPGA_MHZ: Final = 900.0
"""No FPGA's clock tree is faster: 891 MHz are the most that Virtex UltraScale+'s buffers take (AMD
DS923)."""

GIVEN: Final = "given"
"""The source's key of what the user gave."""

_NONE: Final[Mapping[str, Any]] = {}


def apply(
    target: Target,
    clock_mhz: float | None = None,
    runtime: str | None = None,
    settings: Mapping[str, Any] = _NONE,
) -> Target:
    """The target with another clock (MHz), runtime, figures and settings.

    Args:
        target: stays as it is.
        clock_mhz: above 0. `Target.compute`'s operations per second go with it; the target's own
            clock stays in the setting ``rated_clock_mhz``.
        runtime: one of `RUNTIMES`; the setting ``runtime``.
        settings: figures by name (``lut``, ``memory.ram``; a number not below 0, or None for not
            known), fields (``clock_mhz``, ``chip``, ``architecture``), and any other key as a
            setting. `unknown` says which keys nobody would read.

    Raises:
        InputError: a clock that cannot be, an unknown runtime, a value of the wrong kind.
        TargetError: figures that contradict each other; all are named.
    """
    settings = dict(settings)
    if runtime is None:
        runtime = settings.pop("runtime", None)
    if "clock_mhz" in settings:
        given = settings.pop("clock_mhz")
        clock_mhz = _number("clock_mhz", given) if clock_mhz is None else clock_mhz
    if runtime is not None:
        runtime = known_runtime(runtime)
        # Some vendors' own runtime is a build of another: xG24's TFLM has kernels for its MVP.
        vendors = runtime == target.settings.get("vendor_runtime")
        target = _with_setting(target, "runtime", "vendor" if vendors else runtime)
    if clock_mhz is not None:
        target = _with_clock(target, positive("clock", clock_mhz, "MHz"))
    for key, value in settings.items():
        section = section_of(key)
        if section is not None:
            target = _with_figure(target, section, key.rpartition(".")[2], value)
        elif key in FIELDS:
            named: dict[str, Any] = {key: str(value)}
            target = replace(target, **named)
        elif isinstance(value, bool) or not isinstance(value, str | int | float):
            raise InputError(f"expected a word or a number for '{key}', found {value!r}")
        else:
            target = _with_setting(target, key, value)
    refuse_contradictions(target)
    return target


def known_runtime(name: str) -> str:
    """The runtime's name, checked.

    Raises:
        InputError: there is none of that name.
    """
    if name not in RUNTIMES:
        raise InputError(
            f"unknown runtime '{name}'",
            where="--runtime",
            remedy=f"{validation.suggest(str(name), RUNTIMES)} (known: {', '.join(RUNTIMES)})",
        )
    return name


def positive(what: str, value: Any, unit: str) -> float:
    """A number above 0.

    Raises:
        InputError: it is not.
    """
    number = _number(what, value)
    if number <= 0:
        raise InputError(f"expected a {what} above 0 {unit}, found {number:g}")
    return number


def figures() -> dict[str, str]:
    """The figures that a target may have, each with its section."""
    from edgeflow import targetfile

    return {
        name: section
        for section in SECTIONS
        for name in targetfile.TargetFile.model_fields[section].annotation.model_fields  # type: ignore[union-attr]
    }


def section_of(key: str) -> str | None:
    """The section of a figure's name, with or without the section before it; None for others."""
    section, dot, name = key.rpartition(".")
    found = figures().get(name)
    return found if found is not None and (not dot or section == found) else None


def known(target: Target) -> list[str]:
    """The keys that `apply` understands for a target."""
    return [*figures(), *FIELDS, *SETTINGS, *target.settings]


def understands(target: Target, key: str) -> bool:
    """Whether a key is a figure's, a field's or a setting's."""
    return section_of(key) is not None or key in (*FIELDS, *SETTINGS, *target.settings)


def unknown(keys: Collection[str], known_keys: Collection[str]) -> InputError:
    """The one error about keys that no target and no backend knows."""
    details = [f"'{key}': {validation.suggest(key, _near(key, known_keys))}" for key in keys]
    return InputError(
        f"unknown {'keys' if len(keys) > 1 else 'key'}: {', '.join(keys)}",
        where="--set",
        details=details,
        remedy="`edgeflow targets show TARGET` has a target's figures and settings, "
        "docs/backends.md the backends' options",
    )


def _near(key: str, known_keys: Collection[str]) -> list[str]:
    """A long list is of no help where nothing is near."""
    name = key.rpartition(".")[2]
    return validation.nearest(name, known_keys) or [
        "a figure (lut, ram, board_active, …)",
        "a setting of the target",
        "an option of its backend",
    ]


def contradictions(target: Target) -> list[str]:
    """Figures that cannot all be true."""
    found = []
    for less, more in (
        ("board_idle", "board_active"),
        ("board_active", "board_max"),
        ("chip_static", "chip_active"),
        ("chip_idle", "chip_active"),
        ("chip_active", "board_active"),
    ):
        low, high = target.figure("power", less), target.figure("power", more)
        if (
            low
            and high
            and (low.value if low.low is None else low.low)
            > (high.value if high.high is None else high.high)
        ):
            found.append(f"power.{less} is {low.value:g} W, above power.{more}, {high.value:g} W")
    if target.clock_mhz is not None and not 0 < target.clock_mhz < 1e5:
        found.append(f"the clock is {target.clock_mhz:g} MHz")
    found += [
        f"memory.{name} is 0 bytes"
        for name in ("ram", "flash")
        if (figure := target.figure("memory", name)) and figure.value == 0
    ]
    return found


def refuse_contradictions(target: Target) -> None:
    """Raises:
    TargetError: figures that cannot all be true, each named.
    """
    if found := contradictions(target):
        raise TargetError(
            f"the figures of the target '{target.name}' contradict each other",
            where=target.where or None,
            details=found,
            remedy="correct the target's file, or what --set gave",
        )


def remarks(asked: Target, target: Target) -> list[str]:
    """What a reader must know of the question itself: a clock that the board does not have.

    Args:
        asked: with the what-ifs. target: without.
    """
    found = []
    points = [point.frequency_mhz for point in target.operating_points]
    most = max([*points, target.clock_mhz or 0.0])
    clock = asked.clock_mhz
    if target.kind != "fpga" and clock and most and clock > most * 1.001:
        found.append(
            f"{clock:g} MHz is above the {most:g} MHz that the target's file gives: the figures "
            "are for a chip that could run so fast"
        )
    if target.kind == "fpga" and clock and clock > FPGA_MHZ:
        found.append(
            f"{clock:g} MHz is above the {FPGA_MHZ:g} MHz that any FPGA's clock tree takes: such a "
            "design cannot be"
        )
    if asked.settings.get("runtime") != target.settings.get("runtime") and target.kind not in (
        "mcu", "npu",
    ):  # fmt: skip
        found.append(f"the runtime says nothing of a target of kind {target.kind}")
    return found


def _number(what: str, value: Any) -> float:
    if isinstance(value, str):  # YAML reads 5e-3 as a word
        with contextlib.suppress(ValueError):
            value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"expected a number for '{what}', found {value!r}")
    return float(value)


def _with_setting(target: Target, key: str, value: str | float) -> Target:
    return replace(target, settings={**target.settings, key: value})


def _with_clock(target: Target, clock_mhz: float) -> Target:
    own = target.clock_mhz
    if own and own != clock_mhz:
        scale = clock_mhz / own
        compute = {
            name: _scaled(figure, scale) if name in AT_CLOCK else figure
            for name, figure in target.compute.items()
        }
        target = _with_setting(replace(target, compute=compute), RATED, own)
    return replace(target, clock_mhz=clock_mhz)


def _scaled(figure: Figure | None, scale: float) -> Figure | None:
    if figure is None:
        return None
    numbers = {
        field.name: getattr(figure, field.name) * scale
        for field in fields(figure)
        if isinstance(getattr(figure, field.name), int | float)
    }
    note = f"{figure.note}; " if figure.note else ""
    return replace(figure, **numbers, note=f"{note}x {scale:.3g} with the clock")


def _with_figure(target: Target, section: str, name: str, value: Any) -> Target:
    figure = None
    unknown_now = {key: why for key, why in target.unknown.items() if key != name}
    if value is None:
        unknown_now[name] = "taken away with --set"
    else:
        number = _number(f"{section}.{name}", value)
        if number < 0:
            raise InputError(f"expected {section}.{name} not below 0, found {number:g}")
        figure = Figure(number, GIVEN)
    changes: dict[str, Any] = {section: {**getattr(target, section), name: figure}}
    return replace(
        target,
        **changes,
        sources={**target.sources, GIVEN: "given with the question (--set)"},
        unknown=unknown_now,
    )
