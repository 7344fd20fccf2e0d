"""Targets: the boards and chips that a model is compiled for, as data with sources.

One YAML file per target, in ``targets/`` of this project (shipped in the wheel) and in folders
that a user adds with ``$EDGEFLOW_TARGETS`` (separated by ``:``) or ``./targets``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Figure:
    """A published number: its value, its band where one is published or honest, its source.

    ``source`` is a key of the target's ``sources``.
    """

    value: float
    source: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class OperatingPoint:
    """A voltage and frequency at which the chip can run; power at it where published (W)."""

    frequency_mhz: float
    source: str
    voltage_v: float | None = None
    power_w: float | None = None
    name: str | None = None


@dataclass(frozen=True)
class Target:
    """A board or chip.

    ``kind``: ``fpga``, ``linux_board``, ``mcu``, ``npu``, ``tpu``. ``backends``: those that
    compile for it, the default one first. ``chip``: the device's order code or part
    (``xc7z020clg400-1``). ``clock_mhz``: the clock to design for by default.

    ``resources`` are counts that a design may use (``lut``, ``ff``, ``dsp``, ``bram_18k``,
    ``uram``); ``memory`` are bytes (``ram``, ``flash``, ``on_chip``, ``hbm``) and bytes per second
    (``bandwidth``); ``compute`` are operations per second at the default clock by number format
    (``int8_ops``, ``bfloat16_flops``, ``float32_flops``) or per cycle (``int8_macs_per_cycle``);
    ``power`` are watts (``board_idle``, ``board_active``, ``chip_static``, ``chip_active``,
    ``chip_tdp`` …). A figure that is not published is None.
    ``settings`` are what a backend must be told (``generation`` of a TPU, ``system_config`` of
    an Ethos-U). ``unknown`` says, for figures that are None, why.
    """

    name: str
    title: str
    kind: str
    vendor: str
    backends: tuple[str, ...]
    chip: str
    description: str = ""
    clock_mhz: float | None = None
    resources: Mapping[str, Figure | None] = field(default_factory=dict)
    memory: Mapping[str, Figure | None] = field(default_factory=dict)
    compute: Mapping[str, Figure | None] = field(default_factory=dict)
    power: Mapping[str, Figure | None] = field(default_factory=dict)
    operating_points: tuple[OperatingPoint, ...] = ()
    settings: Mapping[str, str | int | float] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)
