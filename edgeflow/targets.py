"""Targets: the boards and chips that a model is compiled for, as data with sources.

One YAML file per target, in ``targets/`` of this project (shipped in the wheel) and in folders
that a user adds with ``$EDGEFLOW_TARGETS`` (separated by ``:``) or ``./targets``. The first folder
that has a name wins, a user's before the shipped one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgeflow import validation, yamlfile
from edgeflow.errors import TargetError

if TYPE_CHECKING:
    from edgeflow.targetfile import FigureFile, TargetFile

FORMAT: Final = "edgeflow.target/1"
SECTIONS: Final = ("resources", "memory", "compute", "power")


@dataclass(frozen=True)
class Figure:
    """A published number: its value, its band where one is published or honest, its source.

    ``source`` is a key of the target's ``sources``; ``note`` says how the number follows from it.
    """

    value: float
    source: str
    low: float | None = None
    high: float | None = None
    note: str | None = None


@dataclass(frozen=True)
class OperatingPoint:
    """A voltage and frequency at which the chip can run.

    ``voltage_v`` is the core's (behind the chip's own regulator where it has one), ``supply_v``
    that of the chip's supply rail. ``power_w`` was measured in inference, at ``supply_v`` and with
    ``runtime`` where they are given; ``current_ma`` is the run current that the data sheet gives
    for ordinary code at ``supply_v``.
    """

    frequency_mhz: float
    source: str
    voltage_v: float | None = None
    power_w: float | None = None
    name: str | None = None
    supply_v: float | None = None
    current_ma: float | None = None
    runtime: str | None = None


@dataclass(frozen=True)
class Pin:
    """A pin of an FPGA board, by the package's own name of it.

    ``mhz`` is what the board feeds a clock pin; ``pull`` is ``up``, ``down`` or ``none``; ``io``
    the IO standard (``LVCMOS33``).
    """

    pin: str
    source: str
    mhz: float | None = None
    active_low: bool = False
    pull: str | None = None
    io: str | None = None


@dataclass(frozen=True)
class Target:
    """A board or chip.

    ``kind``: ``fpga``, ``linux_board``, ``mcu``, ``npu``, ``tpu``. ``backends``: those that
    compile for it, the default one first. ``chip``: the device's order code or part
    (``xc7z020clg400-1``). ``architecture``: what computes (``cortex-m4``, ``zynq-7000``,
    ``tpu-v5e``); it selects the coefficients of the estimates. ``clock_mhz``: the clock to design
    for by default.

    ``resources`` are counts that a design may use (``lut``, ``ff``, ``dsp``, ``bram_18k``,
    ``uram``, ``bram_4k``, ``spram``); ``memory`` are bytes (``ram``, ``flash``, ``on_chip``,
    ``hbm``) and bytes per second (``bandwidth``); ``compute`` are operations per second at the
    default clock by number format (``int8_ops``, ``bfloat16_flops``, ``float32_flops``) or per
    cycle (``int8_macs_per_cycle``);
    ``power`` are watts (``board_idle``, ``board_active``, ``board_sleep``, ``chip_static``,
    ``chip_active``, ``chip_sleep``, ``chip_tdp`` …). A figure that is not published is None.
    ``settings`` are what a backend must be told (``generation`` of a TPU, ``system_config`` of
    an Ethos-U; ``family``, ``device``, ``package`` and ``speed`` of an FPGA that open tools place
    and route). ``pins`` are those of an FPGA board that a design may use, by signal (``clk``,
    ``reset``, ``uart_rx``, ``uart_tx``, ``spi_sck``, ``spi_cs_n``, ``spi_mosi``, ``spi_miso``,
    ``led_0`` …; rx and tx as the FPGA sees them). ``unknown`` says why a figure is None, by the
    figure's name (no two sections share one).
    ``where`` is the file it was read from.
    """

    name: str
    title: str
    kind: str
    vendor: str
    backends: tuple[str, ...]
    chip: str
    description: str = ""
    architecture: str = ""
    clock_mhz: float | None = None
    resources: Mapping[str, Figure | None] = field(default_factory=dict)
    memory: Mapping[str, Figure | None] = field(default_factory=dict)
    compute: Mapping[str, Figure | None] = field(default_factory=dict)
    power: Mapping[str, Figure | None] = field(default_factory=dict)
    operating_points: tuple[OperatingPoint, ...] = ()
    settings: Mapping[str, str | int | float] = field(default_factory=dict)
    pins: Mapping[str, Pin] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)
    where: str = ""

    def figure(self, section: str, name: str) -> Figure | None:
        """A figure of a section, None where it is not published or not given."""
        found: Figure | None = getattr(self, section).get(name)
        return found

    def why_unknown(self, section: str, name: str) -> str:
        """Why a figure is None, for the report."""
        return self.unknown.get(name) or (f"the target '{self.name}' gives no {section}.{name}")

    def source_of(self, figure: Figure) -> str:
        """The source of a figure in words."""
        words = self.sources.get(figure.source, figure.source)
        return f"{words} ({figure.note})" if figure.note else words

    def to_json(self) -> dict[str, Any]:
        """Plain data, for ``targets show --json`` and the report."""
        from dataclasses import asdict

        return asdict(self)


def find_folders() -> list[Path]:
    """The folders that hold target files, a user's before the shipped one."""
    given = os.environ.get("EDGEFLOW_TARGETS", "")
    folders = [Path(part) for part in given.split(os.pathsep) if part]
    for folder in folders:
        if not folder.is_dir():
            raise TargetError(
                "expected a folder of target files",
                where=f"$EDGEFLOW_TARGETS: {folder}",
                remedy="correct or unset the variable",
            )
    folders += [Path("targets"), _shipped()]
    found: dict[Path, Path] = {}
    for folder in folders:
        if folder.is_dir():
            found.setdefault(folder.resolve(), folder)
    return list(found.values())


def _shipped() -> Path:
    """The targets of this package: beside it in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parent
    inside = package / "_targets"
    return inside if inside.is_dir() else package.parent / "targets"


def _files() -> dict[str, Path]:
    """Every target file by its name. Other YAML files in a user's folder are left alone."""
    found: dict[str, Path] = {}
    for folder in find_folders():
        ours = folder.resolve() == _shipped().resolve()
        for path in sorted(folder.glob("*.yaml")):
            if path.stem not in found and (ours or _is_target_file(path)):
                found[path.stem] = path
    return found


def _is_target_file(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return FORMAT.encode() in stream.read(4096)
    except OSError:
        return False


def names() -> list[str]:
    """The names of all targets, sorted."""
    return sorted(_files())


def load(name: str) -> Target:
    """Read one target by its name, or from a file whose path ends in ``.yaml``.

    Raises:
        TargetError: it is unknown (the nearest names are given), or its file is wrong (every fault
            is listed with its line).
    """
    if name.endswith((".yaml", ".yml")):
        return _load_file(Path(name))
    files = _files()
    if name not in files:
        near = validation.nearest(name.lower(), files)
        hint = f"did you mean {' or '.join(repr(n) for n in near)}? " if near else ""
        raise TargetError(
            f"unknown target '{name}'",
            remedy=f"{hint}`edgeflow targets list` shows all {len(files)}; "
            "$EDGEFLOW_TARGETS adds folders of your own",
        )
    return _load_file(files[name])


def load_all() -> dict[str, Target]:
    """Read every target, by name.

    Raises:
        TargetError: a file is wrong.
    """
    return {name: _load_file(path) for name, path in sorted(_files().items())}


def summary_rows() -> list[dict[str, Any]]:
    """One row per target for a list: name, title, kind, backend, chip, clock (MHz or None).

    The files are parsed but not checked in full, so that a list is quick.

    Raises:
        TargetError: a file is not YAML or lacks one of these.
    """
    rows = []
    for name, path in sorted(_files().items()):
        data, lines = _heads(path), None
        if data is None:
            data, lines = yamlfile.read(path, TargetError)
        try:
            rows.append(
                {
                    "name": name,
                    "title": str(data["title"]),
                    "kind": str(data["kind"]),
                    "backend": str(data["backends"][0]),
                    "chip": str(data["chip"]),
                    "clock_mhz": data.get("clock_mhz"),
                }
            )
        except (KeyError, TypeError, IndexError, AttributeError):
            if lines is not None:
                _check(data, lines)
            raise
    return rows


HEADS: Final = re.compile(
    r"^(title|kind|chip): ([A-Za-z][\w ()+./,-]*)$|^backends: \[([\w, ]+)\]$|^clock_mhz: ([\d.]+)$",
    re.MULTILINE,
)
"""The lines that a list of targets needs, in a file that is written plainly."""

WORDS: Final = frozenset("true false yes no on off null y n".split())
"""Plain words that YAML does not read as text."""


def _heads(path: Path) -> dict[str, Any] | None:
    """The few keys that a list needs, by their lines alone: ten times quicker than all of it.

    None where the file is not written so plainly.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    found: dict[str, Any] = {}
    for key, value, backends, clock in HEADS.findall(text):
        if key in found or value.strip().lower() in WORDS or value != value.strip():
            return None
        if key:
            found[key] = value
        elif backends:
            found["backends"] = [name.strip() for name in backends.split(",")]
        else:
            found["clock_mhz"] = float(clock) if "." in clock else int(clock)
    plain = text.count("\nclock_mhz:") == ("clock_mhz" in found)
    return found if plain and {"title", "kind", "backends", "chip"} <= set(found) else None


def schema() -> dict[str, Any]:
    """The JSON Schema of a target file, for editors."""
    from edgeflow.targetfile import TargetFile

    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **TargetFile.model_json_schema(),
    }


def _load_file(path: Path) -> Target:
    data, lines = yamlfile.read(path, TargetError)
    return _build(_check(data, lines), path)


def from_data(data: Any, where: str) -> Target:
    """A target from plain data of a target file's form.

    Raises:
        TargetError: the data are wrong; every fault is listed.
    """
    path = Path(where)
    return _build(_check(data, yamlfile.Lines(path, None)), path)


def _check(data: Any, lines: yamlfile.Lines) -> TargetFile:
    """Check a file's data: the schema first, then what refers to what."""
    from edgeflow.targetfile import TargetFile

    checked = yamlfile.validate(TargetFile, data, lines, TargetError)
    yamlfile.refuse(lines, _faults(checked, lines.path), TargetError)
    return checked


def _faults(checked: TargetFile, path: Path) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if checked.name != path.stem:
        yield ("name",), f"expected the file's own name '{path.stem}', found '{checked.name}'"
    sources = checked.sources
    points: list[tuple[tuple[str | int, ...], str]] = [
        (("operating_points", i), p.source) for i, p in enumerate(checked.operating_points)
    ]
    points += [(("pins", name), pin.source) for name, pin in checked.pins.items()]
    nulls: set[str] = set()
    for section in SECTIONS:
        for name, figure in _figures(checked, section).items():
            if figure is None:
                nulls.add(name)
                if name not in checked.unknown:
                    yield (
                        (section, name),
                        f"'{section}.{name}' is null without a reason: add '{name}' to 'unknown'",
                    )
            else:
                points.append(((section, name), figure.source))
    for place, source in points:
        if source not in sources:
            yield place, f"unknown source '{source}' ({validation.suggest(source, sources)})"
    for name in checked.unknown:
        if name not in (*nulls, "clock_mhz"):
            yield ("unknown", name), f"'unknown' explains '{name}', which is not a null figure"


def _figures(checked: TargetFile, section: str) -> dict[str, FigureFile | None]:
    """The figures that a file gives, nulls too, without those that it leaves out."""
    part = getattr(checked, section)
    return {name: getattr(part, name) for name in type(part).model_fields if _given(part, name)}


def _given(part: Any, name: str) -> bool:
    return name in part.model_fields_set


def _build(checked: TargetFile, path: Path) -> Target:
    def section(name: str) -> dict[str, Figure | None]:
        return {
            key: None if figure is None else Figure(**figure.model_dump())
            for key, figure in _figures(checked, name).items()
        }

    return Target(
        name=checked.name,
        title=checked.title,
        kind=checked.kind,
        vendor=checked.vendor,
        backends=tuple(checked.backends),
        chip=checked.chip,
        description=checked.description,
        architecture=checked.architecture,
        clock_mhz=checked.clock_mhz,
        resources=section("resources"),
        memory=section("memory"),
        compute=section("compute"),
        power=section("power"),
        operating_points=tuple(
            OperatingPoint(**point.model_dump()) for point in checked.operating_points
        ),
        settings=dict(checked.settings),
        pins={name: Pin(**pin.model_dump()) for name, pin in checked.pins.items()},
        sources=dict(checked.sources),
        unknown=dict(checked.unknown),
        where=str(path),
    )
