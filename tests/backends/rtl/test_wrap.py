"""Wrappers simulated by Verilator around hand-made designs, against numpy."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeflow.backends.rtl.wrap_job import wrap
from edgeflow.deploy import serial_client
from edgeflow.errors import InputError

spec = importlib.util.spec_from_file_location(
    "wrap_bench", Path(__file__).with_name("wrap_bench.py")
)
bench = importlib.util.module_from_spec(spec)
sys.modules["wrap_bench"] = bench
spec.loader.exec_module(bench)

DIVIDER = 8
UART = {"interface": "uart", "clock_mhz": 1.0, "baud": 125000}
CASES = {
    **{f"vr_{name}": (name, {"interface": "valid_ready"}) for name in bench.CORES},
    **{
        f"axi{width}_{name}": (name, {"interface": "axi_stream", "data_bits": width})
        for name, width in (
            ("comb", 32),
            ("comb", 512),
            ("pipe", 8),
            ("pipe", 64),
            ("summer", 32),
            ("summer", 8),
            ("mapper", 16),
            ("mapper", 32),
            ("mapper", 128),
        )
    },
    **{f"uart_{name}": (name, UART) for name in bench.CORES},
    "uart_real": ("pipe", {"interface": "uart", "clock_mhz": 12, "baud": 115200}),
    "spi_comb": ("comb", {"interface": "spi"}),
    "spi_mapper": ("mapper", {"interface": "spi"}),
}


def wrapped(core, params, folder):
    design = core.save(folder / "design")
    output = folder / "wrapped"
    output.mkdir()
    wrap({"design": design}, params, output, lambda *_: None)
    return output


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Every case's wrapper."""
    folder = tmp_path_factory.mktemp("wrappers")
    return {
        case: wrapped(bench.CORES[name], params, folder / case)
        for case, (name, params) in CASES.items()
    }


@pytest.fixture(scope="session")
def program(made, tmp_path_factory):
    """Every case in one program."""
    return bench.build(made, tmp_path_factory.mktemp("bench"))


def run(program, case, lines, folder, *args, seed=1):
    (folder / "in.txt").write_text("\n".join(lines))
    command = [str(program), case, str(seed), "in.txt", "out.txt", *map(str, args)]
    subprocess.run(command, cwd=folder, check=True, timeout=60)
    return (folder / "out.txt").read_text().splitlines()


def words_of(value, width):
    return [f"{value >> 32 * i & 0xFFFFFFFF:x}" for i in range(-(-width // 32))]


def stream_line(value, width, last=0):
    words = words_of(value, 64 if 32 < width <= 64 else width)
    return f"{last} {len(words)} {' '.join(words)}"


def value_of(words):
    return sum(int(word, 16) << 32 * i for i, word in enumerate(words))


def packed(row, elements):
    return sum((int(v) & (1 << e.bits) - 1) << e.lsb for v, e in zip(row, elements, strict=True))


def unpacked(value, elements):
    found = []
    for e in elements:
        raw = value >> e.lsb & (1 << e.bits) - 1
        found.append(raw - (1 << e.bits) if e.signed and e.bits and raw >> e.bits - 1 else raw)
    return found


RATES = [(100, 100), (100, 30), (30, 100), (60, 60)]


@pytest.mark.parametrize(("busy_in", "busy_out"), RATES)
@pytest.mark.parametrize("name", bench.CORES)
def test_valid_ready(program, tmp_path, name, busy_in, busy_out):
    core = bench.CORES[name]
    x = core.inputs_of(200, seed=3)
    lines = [stream_line(packed(row, core.inputs), core.width(core.inputs)) for row in np.vstack(x)]
    expected = np.vstack(core.reference(x))
    said = run(program, f"vr_{name}", lines, tmp_path, busy_in, busy_out, len(expected))
    answers = [unpacked(value_of(line.split()[1:]), core.outputs) for line in said[:-1]]
    assert answers == expected.tolist()
    if (busy_in, busy_out) == (100, 100) and core.style != "stream":
        clocks = int(said[-1].split()[1])
        assert clocks < 200 + 60, "a pipeline takes an input on every edge"


def axi_lines(data, width):
    size = width // 8
    data = data + b"\xa5" * (-len(data) % size)
    count = len(data) // size
    return [
        stream_line(int.from_bytes(data[i * size :][:size], "little"), width, int(i == count - 1))
        for i in range(count)
    ]


def axi_packets(said, width, port):
    """The numbers of each packet; its bytes after them must be 0."""
    packets, data = [], b""
    for line in said:
        last, *words = line.split()
        data += value_of(words).to_bytes(width // 8, "little")
        if last == "1":
            assert not any(data[port["bytes"] :])
            values = serial_client.unpack(data, port)
            packets.append([v * 2.0**3 for v in values])
            data = b""
    assert not data
    return packets


def requests_of(core, record, x):
    return [serial_client.pack(list(row.ravel() / 4), record["input"]) for row in x]


@pytest.mark.parametrize(("busy_in", "busy_out"), RATES)
@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("axi")])
def test_axi_stream(program, made, tmp_path, case, busy_in, busy_out):
    core, width = bench.CORES[CASES[case][0]], CASES[case][1]["data_bits"]
    record = json.loads((made[case] / "wrapper.json").read_text())
    x = core.inputs_of(60, seed=4)
    lines = [line for data in requests_of(core, record, x) for line in axi_lines(data, width)]
    count = record["output_words"] * len(x)
    said = run(program, case, lines, tmp_path, busy_in, busy_out, count)
    answers = axi_packets(said[:-1], width, record["output"])
    assert answers == core.reference(x).reshape(len(x), -1).tolist()


@pytest.mark.parametrize("case", ["axi8_pipe", "axi32_summer", "axi32_mapper"])
def test_axi_packets_of_wrong_length(program, made, tmp_path, case):
    """A packet that is too short or too long has an answer too; those around it are right."""
    core, width = bench.CORES[CASES[case][0]], CASES[case][1]["data_bits"]
    record = json.loads((made[case] / "wrapper.json").read_text())
    x = core.inputs_of(12, seed=5)
    datas = requests_of(core, record, x)
    datas[3] = datas[3][: width // 8]
    datas[6] = datas[6] + bytes(3 * width // 8)
    lines = [line for data in datas for line in axi_lines(data, width)]
    said = run(program, case, lines, tmp_path, 80, 80, record["output_words"] * len(x))
    answers = axi_packets(said[:-1], width, record["output"])
    assert len(answers) == len(x)
    expected = core.reference(x).reshape(len(x), -1).tolist()
    for index in set(range(12)) - {3}:
        assert answers[index] == expected[index]


def replies_of(said):
    assert not [line for line in said if line.startswith("BAD")]
    frames = serial_client.Frames()
    found = list(frames.feed(bytes(int(line, 16) for line in said)))
    assert not frames.wrong
    return found


def answers_of(replies, record):
    assert all(reply[0] == 0 for reply in replies)
    values = [serial_client.unpack(reply[5:], record["output"]) for reply in replies]
    cycles = {int.from_bytes(reply[1:5], "little") for reply in replies}
    return [[v * 2.0**3 for v in row] for row in values], cycles


def script_of(datas):
    """Each request is sent when the answer to the one before it is there."""
    lines = []
    for number, data in enumerate(datas):
        lines += [f"S {byte:x}" for byte in serial_client.frame(data)]
        lines.append(f"R {number + 1:x}")
    return [*lines, "W 20"]


SERIAL = [case for case in CASES if case.startswith(("uart", "spi"))]


@pytest.mark.parametrize("case", SERIAL)
def test_serial(program, made, tmp_path, case):
    core = bench.CORES[CASES[case][0]]
    record = json.loads((made[case] / "wrapper.json").read_text())
    x = core.inputs_of(6 if case == "uart_real" else 40, seed=6)
    pace = record.get("divider", 5)
    said = run(program, case, script_of(requests_of(core, record, x)), tmp_path, pace)
    answers, cycles = answers_of(replies_of(said), record)
    assert answers == core.reference(x).reshape(len(x), -1).tolist()
    if core.style != "stream":
        assert cycles == {core.latency + 1}
    else:
        assert min(cycles) > core.beats[0] if core.beats[1] == 1 else min(cycles) > 1


@pytest.mark.parametrize("drift", [0.97, 1.03])
def test_uart_with_another_clock(program, made, tmp_path, drift):
    core = bench.CORES["summer"]
    record = json.loads((made["uart_summer"] / "wrapper.json").read_text())
    x = core.inputs_of(20, seed=7)
    script = script_of(requests_of(core, record, x))
    said = run(program, "uart_summer", script, tmp_path, DIVIDER * drift)
    answers, _ = answers_of(replies_of(said), record)
    assert answers == core.reference(x).reshape(len(x), -1).tolist()


@pytest.mark.parametrize("case", ["uart_pipe", "uart_summer", "spi_mapper"])
def test_serial_faults(program, made, tmp_path, case):
    """Lost, added and changed bytes, noise: a status, and the next request is answered."""
    core = bench.CORES[CASES[case][0]]
    record = json.loads((made[case] / "wrapper.json").read_text())
    x = core.inputs_of(30, seed=8)
    datas = requests_of(core, record, x)
    rng = np.random.default_rng(9)
    lines, right = [], []
    for number, data in enumerate(datas):
        sent = bytearray(serial_client.frame(data))
        place = int(rng.integers(1, len(sent) - 1))
        kind = number % 6
        if kind == 1:
            del sent[place]
        elif kind == 2:
            sent.insert(place, 0x5A)
        elif kind == 3:
            sent[place] ^= 0x11
        elif kind == 4:
            sent[1:1] = [0xDB, 0x01]
        lines += [f"S {byte:x}" for byte in sent]
        if kind == 5 and case.startswith("uart"):
            lines[-3] = f"B{lines[-3][1:]}"  # a framing error
            lines.insert(len(lines) - 1, "G 0")  # a glitch of one clock
        elif kind == 5:
            lines.insert(len(lines) - 3, "C 0")  # the master pauses within the frame
        wrong = 1 <= kind <= 4 or (kind == 5 and case.startswith("uart"))
        right.append(not wrong)
        lines.append(f"R {number + 1:x}")
    said = run(program, case, [*lines, "W 20"], tmp_path, record.get("divider", 5))
    replies = replies_of(said)
    assert [reply[0] == 0 for reply in replies] == right
    expected = core.reference(x).reshape(len(x), -1)[right].tolist()
    answers, _ = answers_of([reply for reply in replies if reply[0] == 0], record)
    assert answers == expected


def test_a_request_may_follow_at_once(program, made, tmp_path):
    """The next request may be sent while the answer is on its way."""
    core = bench.CORES["pipe"]
    record = json.loads((made["uart_pipe"] / "wrapper.json").read_text())
    x = core.inputs_of(20, seed=10)
    lines = []
    for number, data in enumerate(requests_of(core, record, x)):
        lines += [f"S {byte:x}" for byte in serial_client.frame(data)]
        lines.append(f"R {number:x}")
    said = run(program, "uart_pipe", [*lines, "R 14", "W 20"], tmp_path, DIVIDER)
    answers, _ = answers_of(replies_of(said), record)
    assert answers == core.reference(x).reshape(len(x), -1).tolist()


def test_the_client_talks_to_the_simulated_board(program, made, tmp_path):
    """`serial_client.Board` itself, over a line that loses the first answer's byte."""
    core = bench.CORES["comb"]
    record = json.loads((made["uart_comb"] / "wrapper.json").read_text())
    sent, lose = [], [True]

    def write(data):
        sent.append(data)

    def read():
        if not sent or sent[-1] == b"\xc0":
            return b""
        script = [f"S {byte:x}" for byte in sent.pop()] + ["R 1", "W 20"]
        said = bytes(int(v, 16) for v in run(program, "uart_comb", script, tmp_path, DIVIDER))
        if lose.pop() if lose else False:
            return said[:3] + said[4:]
        return said

    board = serial_client.Board(write, read, record, timeout=0.2)
    x = core.inputs_of(4, seed=11)
    for row, expected in zip(x, core.reference(x), strict=True):
        logits, cycles = board.infer(list(row.ravel() / 4))
        assert [v * 8 for v in logits] == expected.ravel().tolist()
        assert cycles == 1
    assert board.resent == 1


BAD = [
    ({"interface": "usb"}, "expected an interface of valid_ready, axi_stream, uart, spi"),
    ({"interface": "axi_stream", "data_bits": 24}, "expected 'data_bits' of 8, 16"),
    ({"interface": "uart"}, "needs the board's clock"),
    ({"interface": "uart", "clock_mhz": 12, "baud": 5000000}, "cannot be made from 12 MHz"),
    ({"interface": "uart", "clock_mhz": 12, "baud": 0}, "expected a baud rate"),
    ({"interface": "axi_stream", "board": {}}, "needs the interface 'uart' or 'spi'"),
    ({"interface": "spi", "board": {"clk": False}}, "no signals spi_sck, spi_cs_n, spi_mosi, spi"),
]


@pytest.mark.parametrize(("params", "message"), BAD)
def test_bad_parameters(tmp_path, params, message):
    with pytest.raises(InputError, match=message):
        wrapped(bench.CORES["comb"], params, tmp_path)


CHANGES = [
    (lambda r: r.pop("format"), "expected 'format'"),
    (lambda r: r.pop("top"), "lacks or misuses a field"),
    (lambda r: r.update(top="a b"), "no legal Verilog names: a b"),
    (lambda r: r.update(style="magic"), "expected a style"),
    (lambda r: r["files"].update(verilog=["../../etc/passwd"]), "expected the file"),
    (lambda r: r["input"]["elements"][0].update(lsb=99), "is not within"),
    (lambda r: r["input"].update(beats=2), "takes one beat"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_bad_designs(tmp_path, change, message):
    folder = bench.CORES["comb"].save(tmp_path / "design")
    record = json.loads((folder / "design.json").read_text())
    change(record)
    (folder / "design.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=message):
        wrap({"design": folder}, {}, tmp_path, lambda *_: None)


def test_no_design(tmp_path):
    with pytest.raises(InputError, match="expected a design"):
        wrap({"design": tmp_path}, {}, tmp_path, lambda *_: None)
