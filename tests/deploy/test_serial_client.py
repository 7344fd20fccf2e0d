"""The host's side of the serial harness, and its command line over a pseudo-terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import tty
from pathlib import Path

import numpy as np
import pytest

from edgeflow.backends.fixed_job import parse
from edgeflow.deploy import serial_client

ELEMENTS = [
    {"bits": 5, "signed": True, "fraction": 2},
    {"bits": 4, "signed": False, "fraction": 0},
    {"bits": 0, "signed": True, "fraction": 0},
]
SIDE = {"bytes_per_element": 2, "count": 6, "bytes": 12, "beats": 2, "elements": ELEMENTS}


def test_crc_of_the_catalogue() -> None:
    """CRC-8 with polynomial 0x07 begun with 0 is CRC-8/SMBUS, whose check value is 0xF4."""
    assert serial_client.crc8(b"123456789", 0) == 0xF4


@pytest.mark.parametrize("seed", range(5))
def test_frames_come_back(seed: int) -> None:
    data = np.random.default_rng(seed).choice([0, 0xC0, 0xDB, 0xDC, 0xDD, 7], 40).astype("u1")
    frames = serial_client.Frames()
    wire = b"\x11" + serial_client.frame(data.tobytes()) * 2
    found = [payload for byte in wire for payload in frames.feed(bytes([byte]))]
    assert found == [data.tobytes()] * 2
    assert frames.wrong == 1  # the noise before the first


@pytest.mark.parametrize("rounding", serial_client.ROUNDINGS)
@pytest.mark.parametrize("overflow", ["AP_SAT", "AP_WRAP", "AP_SAT_SYM"])
def test_values_are_rounded_as_the_type_says(rounding: str, overflow: str) -> None:
    values = np.linspace(-6, 6, 97)
    kind = parse(f"fixed<5,3,{rounding},{overflow}>")
    side = {
        "bytes_per_element": 1,
        "count": len(values),
        "elements": ELEMENTS[:1],
        "rounding": rounding,
        "overflow": overflow,
    }
    data = serial_client.pack(values.tolist(), side)
    whole = {
        "AP_RND_CONV": np.rint,
        "AP_RND": lambda q: np.floor(q + 0.5),
        "AP_TRN": np.floor,
        "AP_TRN_ZERO": np.trunc,
        "AP_RND_INF": lambda q: np.sign(q) * np.floor(np.abs(q) + 0.5),
        "AP_RND_ZERO": lambda q: np.sign(q) * np.ceil(np.abs(q) - 0.5),
    }[rounding](values * 4)
    expected = (whole + 16) % 32 - 16 if overflow == "AP_WRAP" else np.clip(whole, -16, 15)
    if overflow == "AP_SAT_SYM":
        expected = np.maximum(expected, -15)
    assert np.frombuffer(data, "i1").tolist() == expected.tolist()
    assert kind.rounding == rounding


def test_wrong_count() -> None:
    with pytest.raises(ValueError, match="expected 6 values per input, found 2"):
        serial_client.pack([1, 2], SIDE)


@pytest.mark.parametrize("kind", ["f4", "f8", "i1", "u2", "i8"])
def test_npy(tmp_path: Path, kind: str) -> None:
    values = np.arange(6).reshape(2, 3).astype(kind)
    np.save(tmp_path / "x.npy", values)
    assert serial_client.read_inputs(tmp_path / "x.npy", 3) == values.tolist()
    with pytest.raises(ValueError, match="expected 4 values per input, found 3"):
        serial_client.read_inputs(tmp_path / "x.npy", 4)


def test_text_inputs(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("1, 2.5\n\n-3 4\n")
    assert serial_client.read_inputs(tmp_path / "x.csv", 2) == [[1, 2.5], [-3, 4]]


def board(fd: int, lost: list[bool]) -> None:
    """A board that doubles: answers every request, the first one with a fault."""
    frames = serial_client.Frames()
    while True:
        try:
            data = os.read(fd, 100)
        except OSError:
            return
        for payload in frames.feed(data):
            if lost:
                lost.pop()
                os.write(fd, serial_client.frame(b"\x01"))
                continue
            numbers = [2 * v for v in np.frombuffer(payload, "<i2").tolist()]
            answer = b"".join(v.to_bytes(2, "little", signed=True) for v in numbers)
            os.write(fd, serial_client.frame(b"\x00" + (77).to_bytes(4, "little") + answer))


def test_command_line(tmp_path: Path) -> None:
    elements = [{"bits": 12, "signed": True, "fraction": 2}]
    side = {"bytes_per_element": 2, "count": 3, "bytes": 6, "beats": 3, "elements": elements}
    (tmp_path / "wrapper.json").write_text(
        json.dumps({"baud": 115200, "input": side, "output": side})
    )
    x = np.array([[1.25, -7, 100], [48, -48.25, 0]])
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", 2 * x)
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    threading.Thread(target=board, args=(ours, [True]), daemon=True).start()
    script = tmp_path / "run_uart.py"
    script.write_text(Path(serial_client.__file__).read_text())
    command = [sys.executable, "-I", str(script), "x.npy", "--port", os.ttyname(theirs)]
    said = subprocess.run(
        [*command, "--expect", "y.npy"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert said.returncode == 0, said.stderr
    assert said.stdout.splitlines()[0] == "0: class 2, 77 cycles, [2.5, -14.0, 200.0]"
    assert "1 sent again" in said.stderr
    np.save(tmp_path / "y.npy", 3 * x)
    said = subprocess.run(
        [*command, "--expect", "y.npy"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert said.returncode == 1
    assert "2 of 2 differ" in said.stderr


def test_no_port(tmp_path: Path) -> None:
    (tmp_path / "wrapper.json").write_text(json.dumps({"baud": 115200, "input": SIDE}))
    (tmp_path / "x.txt").write_text("1 2 3 4 5 6\n")
    command = [sys.executable, serial_client.__file__, str(tmp_path / "x.txt")]
    command += ["--wrapper", str(tmp_path / "wrapper.json"), "--port", str(tmp_path / "none")]
    said = subprocess.run(command, capture_output=True, check=False, text=True, timeout=60)
    assert said.returncode == 2
    assert "cannot open the serial port" in said.stderr
    assert "Traceback" not in said.stderr
