"""Wraps a design: hand-shake, AXI4-Stream, a UART or SPI harness, and the top of a board."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from edgeflow.backends.rtl import wrap_modules, wrap_serial, wrap_tops
from edgeflow.backends.rtl.wrap_design import Design
from edgeflow.deploy import serial_client
from edgeflow.errors import InputError

FORMAT: Final = "edgeflow.wrapper/1"
INTERFACES: Final = ("valid_ready", "axi_stream", "uart", "spi")
MINIMUM_DIVIDER: Final = 8
BAUD_ERROR: Final = 0.02
"""How far the baud rate may be off: 10 bits, sampled in their middle, allow 5 % for both ends."""


def wrap(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[[float, float, str], None],  # noqa: ARG001 - of the contract
) -> dict[str, Any]:
    """Write a wrapper around a design.

    Args:
        inputs: ``design``: the folder of a design (``design.json``).
        params: ``interface``: one of `INTERFACES`; ``data_bits`` of an AXI4-Stream (8 to 512, a
            power of two; 32 by default); for a UART ``clock_mhz`` and ``baud`` (115200 by
            default); ``board`` adds the top of a board (clock, reset at power-on, LEDs) to a serial
            interface: its signals (`wrap_tops.board`), each with whether it is active low.
        output: gets ``verilog/``, ``wrapper.json`` (the result) and for a UART ``run_uart.py``.

    Raises:
        InputError: the design is none, or a parameter cannot be.
    """
    design = Design.load(inputs["design"])
    interface = params.get("interface", "valid_ready")
    if interface not in INTERFACES:
        raise InputError(
            f"expected an interface of {', '.join(INTERFACES)}, found {interface!r}",
            where="wrapper",
        )
    folder = output / "verilog"
    folder.mkdir()
    files = []
    for name in design.verilog:
        target = folder / Path(name).name
        if target.exists():
            raise InputError(f"two files of the design are called '{target.name}'")
        shutil.copyfile(inputs["design"] / name, target)
        files.append(f"verilog/{target.name}")
    record = _record(design, interface)
    texts, about = _texts(design, interface, params)
    file = folder / f"{about['top']}.v"
    if file.exists():
        raise InputError(f"a file of the design is called '{file.name}' as its wrapper is")
    file.write_text("\n".join(_needed(texts)))
    files.append(f"verilog/{file.name}")
    record = {**record, **about, "files": {"verilog": files}}
    (output / "wrapper.json").write_text(json.dumps(record, indent=1) + "\n")
    if interface == "uart":
        shutil.copyfile(Path(serial_client.__file__), output / "run_uart.py")
    return record


def _record(design: Design, interface: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "interface": interface,
        "design": design.top,
        "style": design.style,
        "latency_cycles": design.latency_cycles,
        "ii": design.ii,
        "input": design.input.to_json(),
        "output": design.output.to_json(),
    }


def _texts(
    design: Design, interface: str, params: Mapping[str, Any]
) -> tuple[list[str], dict[str, Any]]:
    """The Verilog, and what is said about it."""
    inner, top = f"{design.top}_handshake", f"{design.top}_{interface}"
    modules = wrap_modules.MODULES
    about: dict[str, Any]
    if params.get("board") is not None and interface not in wrap_tops.LINES:
        raise InputError(
            f"a board's top needs the interface 'uart' or 'spi', found '{interface}'",
            where="wrapper",
        )
    if interface == "valid_ready":
        about = {
            "top": top,
            "clock": "clk",
            "reset": "rst",
            "input_bits": design.input.width,
            "output_bits": design.output.width,
        }
        return [*modules, wrap_tops.handshake(design, top, full_rate=True)], about
    if interface == "axi_stream":
        width = _data_bits(params.get("data_bits", 32))
        text = wrap_tops.axi_stream(design, top, inner, width)
        about = {
            "top": top,
            "clock": "aclk",
            "reset": "aresetn",
            "data_bits": width,
            "input_words": wrap_tops.words(design.input, width),
            "output_words": wrap_tops.words(design.output, width),
        }
        return [*modules, wrap_tops.handshake(design, inner, full_rate=True), text], about
    divider = _divider(params) if interface == "uart" else None
    text = wrap_tops.serial(design, top, inner, divider)
    transport = wrap_serial.UART if interface == "uart" else (wrap_serial.SPI,)
    about = {"top": top, "clock": "clk", "reset": "rst"}
    if divider is not None:
        clock = float(params["clock_mhz"])
        about |= {"clock_mhz": clock, "baud": int(params.get("baud", 115200)), "divider": divider}
    about["frame"] = {
        "request_bytes": design.input.bytes + 1,
        "reply_bytes": design.output.bytes + 6,
        "delimiter": 0xC0,
        "escape": 0xDB,
        "crc8": {"polynomial": 0x07, "initial": 0xFF},
    }
    texts = [
        *modules,
        *wrap_serial.FRAMES,
        *transport,
        wrap_tops.handshake(design, inner, full_rate=False),
        text,
    ]
    about["core"] = "model.core"
    if params.get("board") is not None:
        pins = {str(pin): bool(low) for pin, low in params["board"].items()}
        needed = ["clk", *(signal for _, signal, _ in wrap_tops.LINES[interface])]
        if missing := [signal for signal in needed if signal not in pins]:
            raise InputError(
                f"the board has no signals {', '.join(missing)}, which the interface "
                f"'{interface}' needs",
                where="wrapper",
                remedy="add them to 'pins' of the target, or choose another interface",
            )
        about |= {"top": f"{design.top}_board", "reset": None, "core": "serial.model.core"}
        about["button_active_low"] = pins.get("reset")
        board = wrap_tops.board(top, about["top"], interface, pins)
        texts += [wrap_serial.POWER_ON_RESET, board]
    return texts, about


def _needed(texts: Sequence[str]) -> list[str]:
    """The modules that the last one needs, itself with them, in their order."""
    kept = [texts[-1]]
    for text in reversed(texts[:-1]):
        found = re.search(r"^module (\w+)", text, re.MULTILINE)
        assert found is not None
        if any(re.search(rf"^ *{found[1]}\b", other, re.MULTILINE) for other in kept):
            kept.insert(0, text)
    return kept


def _data_bits(value: Any) -> int:
    if not isinstance(value, int) or value not in (8, 16, 32, 64, 128, 256, 512):
        raise InputError(
            f"expected 'data_bits' of 8, 16, 32, 64, 128, 256 or 512, found {value!r}",
            where="wrapper",
        )
    return value


def _divider(params: Mapping[str, Any]) -> int:
    clock, baud = params.get("clock_mhz"), params.get("baud", 115200)
    if not clock or not math.isfinite(float(clock)) or float(clock) <= 0:
        raise InputError("a UART needs the board's clock ('clock_mhz')", where="wrapper")
    if not baud or not math.isfinite(float(baud)) or float(baud) <= 0:
        raise InputError(f"expected a baud rate, found {baud!r}", where="wrapper")
    hertz = float(clock) * 1e6
    divider = round(hertz / float(baud))
    if divider < MINIMUM_DIVIDER or abs(hertz / divider / float(baud) - 1) > BAUD_ERROR:
        usual = (9600, 115200, 230400, 460800, 921600, 1000000, 1500000, 2000000, 3000000)
        good = [
            rate
            for rate in usual
            if round(hertz / rate) >= MINIMUM_DIVIDER
            and abs(hertz / round(hertz / rate) / rate - 1) <= BAUD_ERROR
        ]
        raise InputError(
            f"{baud} baud cannot be made from {clock} MHz: expected at least {MINIMUM_DIVIDER} "
            f"clocks per bit, right within {BAUD_ERROR:.0%}",
            where="wrapper",
            remedy=f"choose a baud rate such as {', '.join(map(str, good))}",
        )
    return divider
