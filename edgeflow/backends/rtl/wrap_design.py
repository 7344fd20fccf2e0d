"""What a wrapper must know of a design: `Design` reads a ``design.json``.

Standard library alone: jobs import it inside their toolchains.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edgeflow.errors import InputError

FORMAT: Final = "edgeflow.design/1"
STYLES: Final = ("combinational", "pipelined", "stream")
NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Element:
    """Where one number lies in a beat; its value is ``integer * 2**-fraction``."""

    lsb: int
    bits: int
    signed: bool
    fraction: int


@dataclass(frozen=True)
class Port:
    """One side of a design: its port's name and width, the beats of an inference, their numbers.

    ``rounding`` and ``overflow`` (ap_fixed's names) say how a host makes integers of values.
    """

    name: str
    width: int
    beats: int
    elements: tuple[Element, ...]
    rounding: str = "AP_RND_CONV"
    overflow: str = "AP_SAT"

    @property
    def container(self) -> int:
        """Bytes that hold one number outside the design: 1, 2, 4 or 8, the same for all."""
        widest = max((element.bits for element in self.elements), default=1)
        return next(size for size in (1, 2, 4, 8) if widest <= 8 * size)

    @property
    def beat_bits(self) -> int:
        """Bits of a beat whose numbers each fill their container."""
        return len(self.elements) * self.container * 8

    @property
    def bytes(self) -> int:
        """Bytes of an inference, each number in its container."""
        return self.beats * self.beat_bits // 8

    def to_json(self) -> dict[str, Any]:
        """What a host must know; `elements` are those of one beat, in the tensor's C order."""
        return {
            "bytes_per_element": self.container,
            "count": self.beats * len(self.elements),
            "bytes": self.bytes,
            "beats": self.beats,
            "rounding": self.rounding,
            "overflow": self.overflow,
            "elements": [
                {"bits": e.bits, "signed": e.signed, "fraction": e.fraction} for e in self.elements
            ],
        }


@dataclass(frozen=True)
class Design:
    """A design to wrap; ``latency_cycles`` and ``ii`` are None where they are not constant."""

    top: str
    style: str
    verilog: tuple[str, ...]
    clock: str | None
    reset: str | None
    latency_cycles: int | None
    ii: int | None
    input: Port
    output: Port

    @classmethod
    def load(cls, folder: Path) -> Design:
        """Read the ``design.json`` of a folder.

        Raises:
            InputError: it is missing, is none, or names files that are not in the folder.
        """
        file = folder / "design.json"
        try:
            record = json.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise InputError(
                f"expected a design: {error}",
                where=str(file),
                remedy="compile the model with the backend 'rtl' first",
            ) from None
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise InputError(f"expected 'format': '{FORMAT}'", where=str(file))
        try:
            design = cls._of(record)
        except (KeyError, TypeError, ValueError, StopIteration) as error:
            raise InputError(
                f"the design lacks or misuses a field: {type(error).__name__}: {error}",
                where=str(file),
            ) from None
        _check(design, folder, str(file))
        return design

    @classmethod
    def _of(cls, record: Mapping[str, Any]) -> Design:
        return cls(
            top=str(record["top"]),
            style=str(record["style"]),
            verilog=tuple(str(name) for name in record["files"]["verilog"]),
            clock=record["clock"],
            reset=record["reset"],
            latency_cycles=record["latency_cycles"],
            ii=record["ii"],
            input=_port(record["input"]),
            output=_port(record["output"]),
        )


def _port(record: Mapping[str, Any]) -> Port:
    elements = tuple(
        Element(int(e["lsb"]), int(e["bits"]), bool(e["signed"]), int(e["fraction"]))
        for e in record["elements"]
    )
    modes = {key: str(record[key]) for key in ("rounding", "overflow") if record.get(key)}
    port = Port(str(record["port"]), int(record["width"]), int(record["beats"]), elements, **modes)
    if port.width < 1 or port.beats < 1 or not elements:
        raise ValueError(f"the port '{port.name}' is empty")
    for element in elements:
        if not (0 <= element.bits <= 64 and 0 <= element.lsb <= port.width - element.bits):
            raise ValueError(f"{element} is not within the {port.width} bits of '{port.name}'")
    return port


def _check(design: Design, folder: Path, where: str) -> None:
    if design.style not in STYLES:
        raise InputError(
            f"expected a style of {', '.join(STYLES)}, found {design.style!r}", where=where
        )
    given = (design.top, design.input.name, design.output.name, design.clock, design.reset)
    wrong = [name for name in given if name is not None and not NAME.fullmatch(str(name))]
    if wrong:
        raise InputError(f"no legal Verilog names: {', '.join(map(str, wrong))}", where=where)
    if design.style != "stream" and (design.input.beats, design.output.beats) != (1, 1):
        raise InputError("a design without hand-shake takes one beat per inference", where=where)
    if design.style == "pipelined" and (design.clock is None or not design.latency_cycles):
        raise InputError("a pipelined design needs 'clock' and 'latency_cycles'", where=where)
    for name in design.verilog:
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()) or not path.is_file():
            raise InputError(f"expected the file '{name}' in the design's folder", where=where)
