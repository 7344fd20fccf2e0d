"""Runs a model on an FPGA board over its serial port; needs nothing but Python.

``python run_uart.py --port /dev/ttyUSB1 inputs.npy`` sends each input vector to the board, and
prints the class it answers and the clock cycles it took. The board's harness and what its bytes
mean are described in ``wrapper.json`` beside this file (edgeflow writes both).
"""

from __future__ import annotations

import argparse
import array
import ast
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

END, ESCAPE, ESCAPED_END, ESCAPED_ESCAPE = 0xC0, 0xDB, 0xDC, 0xDD
ATTEMPTS = 3
"""How often a request is sent before the board is said not to answer."""


class BoardError(Exception):
    """The board does not answer, or not as it should."""


def crc8(data: Iterable[int], crc: int = 0xFF) -> int:
    """CRC-8, polynomial 0x07."""
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ (0x07 if crc & 0x80 else 0)) & 0xFF
    return crc


def frame(payload: bytes) -> bytes:
    """The payload with its CRC, as a frame (RFC 1055)."""
    found = bytearray([END])
    for byte in (*payload, crc8(payload)):
        if byte in (END, ESCAPE):
            found += bytes([ESCAPE, ESCAPED_END if byte == END else ESCAPED_ESCAPE])
        else:
            found.append(byte)
    found.append(END)
    return bytes(found)


class Frames:
    """Finds frames in a stream of bytes; those with a wrong CRC are counted in `wrong`."""

    def __init__(self) -> None:
        self.wrong = 0
        self._bytes = bytearray()
        self._escaped = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The payloads that these bytes end."""
        for byte in data:
            if byte == END:
                found, self._bytes, self._escaped = bytes(self._bytes), bytearray(), False
                if not found:
                    continue
                if crc8(found) == 0:
                    yield found[:-1]
                else:
                    self.wrong += 1
            elif byte == ESCAPE:
                self._escaped = True
            else:
                meant = {ESCAPED_END: END, ESCAPED_ESCAPE: ESCAPE}.get(byte, byte)
                self._bytes.append(meant if self._escaped else byte)
                self._escaped = False


ROUNDINGS: Mapping[str, Callable[[float], int]] = {
    "AP_RND_CONV": round,
    "AP_RND": lambda value: math.floor(value + 0.5),
    "AP_TRN": math.floor,
    "AP_TRN_ZERO": math.trunc,
    "AP_RND_INF": lambda value: int(math.copysign(math.floor(abs(value) + 0.5), value)),
    "AP_RND_ZERO": lambda value: int(math.copysign(math.ceil(abs(value) - 0.5), value)),
}


def pack(values: Sequence[float], side: Mapping[str, Any]) -> bytes:
    """An input vector as bytes: each value as its type, by the side's ``rounding``, ``overflow``.

    `side` is ``input`` of a wrapper.json: ``elements`` (of one beat), ``count``,
    ``bytes_per_element``.

    Raises:
        ValueError: another number of values is expected.
    """
    if len(values) != side["count"]:
        raise ValueError(f"expected {side['count']} values per input, found {len(values)}")
    found = bytearray()
    elements = side["elements"]
    rounded = ROUNDINGS[side.get("rounding", "AP_RND_CONV")]
    for index, value in enumerate(values):
        element = elements[index % len(elements)]
        steps = _within(
            rounded(value * 2.0 ** element["fraction"]), element, side.get("overflow", "AP_SAT")
        )
        found += steps.to_bytes(side["bytes_per_element"], "little", signed=steps < 0)
    return bytes(found)


def _within(steps: int, element: Mapping[str, Any], overflow: str) -> int:
    """An integer of the element's bits, by wrapping or saturation."""
    bits, signed = int(element["bits"]), bool(element["signed"])
    if not bits:
        return 0
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    if overflow == "AP_WRAP":
        return (steps - low) % (1 << bits) + low
    if overflow == "AP_SAT_SYM" and signed:
        low = -high
    return min(max(steps, low), high)


def unpack(data: bytes, side: Mapping[str, Any]) -> list[float]:
    """The values of an output vector; `side` is ``output`` of a wrapper.json."""
    size, elements = side["bytes_per_element"], side["elements"]
    return [
        int.from_bytes(data[index * size : (index + 1) * size], "little", signed=element["signed"])
        * 2.0 ** -element["fraction"]
        for index, element in ((i, elements[i % len(elements)]) for i in range(side["count"]))
    ]


class Board:
    """A board on which a wrapped model runs.

    Args:
        write: sends bytes.
        read: what has come since the last call, or within its own time limit; empty if nothing.
        wrapper: the content of ``wrapper.json``.
        timeout: seconds for an answer.
    """

    def __init__(
        self,
        write: Callable[[bytes], object],
        read: Callable[[], bytes],
        wrapper: Mapping[str, Any],
        timeout: float = 2.0,
    ) -> None:
        self._write, self._read = write, read
        self.wrapper = wrapper
        self.timeout = timeout
        self.resent = 0

    def infer(self, values: Sequence[float]) -> tuple[list[float], int]:
        """The output vector for an input vector, and the clock cycles it took.

        Raises:
            ValueError: the vector has the wrong length.
            BoardError: no right answer came.
        """
        request = frame(pack(values, self.wrapper["input"]))
        said = "nothing"
        for attempt in range(ATTEMPTS):
            if attempt:
                self.resent += 1
                self._settle()
            self._write(request)
            reply = self._answer()
            if reply is None:
                continue
            if reply[0] == 0 and len(reply) == 5 + self.wrapper["output"]["bytes"]:
                cycles = int.from_bytes(reply[1:5], "little")
                return unpack(reply[5:], self.wrapper["output"]), cycles
            said = f"a fault (status {reply[0]}, {len(reply)} bytes)"
        raise BoardError(
            f"expected an answer from the board, found {said}; check that the bitstream is that of "
            "this wrapper.json, the port, and the baud rate"
        )

    def _answer(self) -> bytes | None:
        frames = Frames()
        ends = time.monotonic() + self.timeout
        while time.monotonic() < ends:
            for payload in frames.feed(self._read()):
                return payload
        return None

    def _settle(self) -> None:
        """End what the board may still be receiving, and forget what it says to that."""
        self._write(bytes([END]))
        while self._read():
            pass


def open_port(path: str, baud: int) -> tuple[Callable[[bytes], object], Callable[[], bytes]]:
    """Write and read functions of a serial port (8N1, raw).

    Raises:
        BoardError: there is no such port, it is in use, or it knows no such rate.
    """
    import termios
    import tty

    rate = getattr(termios, f"B{baud}", None)
    if rate is None:
        raise BoardError(f"this system's serial ports know no rate of {baud} baud")
    try:
        port = os.open(path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(port)
        settings = termios.tcgetattr(port)
        settings[2] = settings[2] & ~termios.CSTOPB & ~termios.PARENB | termios.CLOCAL
        settings[4] = settings[5] = rate
        settings[6][termios.VMIN], settings[6][termios.VTIME] = 0, 1  # at most 0.1 s
        termios.tcsetattr(port, termios.TCSANOW, settings)
        termios.tcflush(port, termios.TCIOFLUSH)
    except (OSError, termios.error) as error:
        raise BoardError(
            f"cannot open the serial port {path}: {error}; is the board connected, and may you "
            "read and write it (group 'dialout')?"
        ) from None

    def write(data: bytes) -> None:
        while data:
            data = data[os.write(port, data) :]

    return write, lambda: os.read(port, 4096)


def read_npy(path: Path) -> tuple[list[float], tuple[int, ...]]:
    """The numbers of an ``.npy`` file (integers or floats, C order) and its shape.

    Raises:
        ValueError: it is none, or of another kind.
    """
    data = path.read_bytes()
    if data[:6] != b"\x93NUMPY":
        raise ValueError(f"{path}: expected an .npy file")
    wide = data[6] > 1
    start = 12 if wide else 10
    size = int.from_bytes(data[8:start], "little")
    header = ast.literal_eval(data[start : start + size].decode("latin1"))
    kinds = {
        "f4": "f", "f8": "d", "i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I",
        "i8": "q", "u8": "Q",
    }  # fmt: skip
    code = kinds.get(header["descr"][1:])
    if code is None or header["fortran_order"] or header["descr"][0] == ">":
        raise ValueError(f"{path}: expected integers or floats in C order, found {header}")
    values = array.array(code)
    values.frombytes(data[start + size :])
    return [float(value) for value in values], tuple(header["shape"])


def read_inputs(path: Path, count: int) -> list[list[float]]:
    """Input vectors of an ``.npy`` file, or of a text file with one vector per line.

    Raises:
        ValueError: the file is none, or its vectors do not have `count` values.
    """
    if path.suffix == ".npy":
        flat, shape = read_npy(path)
        per_input = len(flat) // shape[0] if shape and shape[0] else 0
        rows = [flat[i : i + per_input] for i in range(0, len(flat), per_input or 1)]
    else:
        lines = path.read_text().splitlines()
        rows = [
            [float(v) for v in line.replace(",", " ").split()] for line in lines if line.strip()
        ]
    for row in rows:
        if len(row) != count:
            raise ValueError(f"{path}: expected {count} values per input, found {len(row)}")
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="run a model on an FPGA board over its UART")
    parser.add_argument("inputs", type=Path, help="an .npy file, or text with one vector per line")
    parser.add_argument("--port", required=True, help="such as /dev/ttyUSB1")
    parser.add_argument("--wrapper", type=Path, default=Path(__file__).with_name("wrapper.json"))
    parser.add_argument("--expect", type=Path, help="an .npy file with the logits that must come")
    parser.add_argument("--limit", type=int, help="only the first so many inputs")
    given = parser.parse_args(arguments)
    try:
        wrapper = json.loads(given.wrapper.read_text())
        rows = read_inputs(given.inputs, wrapper["input"]["count"])[: given.limit]
        expected = None
        if given.expect:
            flat, _ = read_npy(given.expect)
            size = wrapper["output"]["count"]
            expected = [flat[i : i + size] for i in range(0, len(flat), size)]
        write, read = open_port(given.port, wrapper["baud"])
        board = Board(write, read, wrapper)
        started = time.monotonic()
        wrong = 0
        for number, row in enumerate(rows):
            logits, cycles = board.infer(row)
            verdict = ""
            if expected is not None:
                same = number < len(expected) and expected[number] == logits
                wrong += not same
                verdict = "" if same else "  WRONG"
            best = max(range(len(logits)), key=logits.__getitem__)
            print(f"{number}: class {best}, {cycles} cycles, {logits}{verdict}")
        seconds = time.monotonic() - started
    except (BoardError, OSError, ValueError, KeyError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{len(rows)} inferences in {seconds:.2f} s, {board.resent} sent again", file=sys.stderr)
    if expected is not None:
        print(f"{wrong} of {len(rows)} differ from what was expected", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
