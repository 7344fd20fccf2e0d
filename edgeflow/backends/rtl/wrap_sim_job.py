"""The board's top simulated at its pins: requests in at the UART, answers compared with golden."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from edgeflow.backends.rtl import verilator_job
from edgeflow.deploy import serial_client
from edgeflow.errors import JobError

Array = np.ndarray[Any, Any]

DRIVER: Final = """
#include <cstdio>
#include "Vdut.h"
#include "verilated.h"

// Sends each request of a file (32-bit length, bytes) when the one before it is answered, and
// writes every byte that comes; prints the clocks from the first request to the last answer.
int main(int, char** argv) {
    VerilatedContext context;
    Vdut dut{&context};
    std::FILE* in = std::fopen(argv[1], "rb");
    std::FILE* out = std::fopen(argv[2], "wb");
    if (!in || !out) return 2;
    long clocks = 0, frames = 0, due = 0;
    int place = -1, value = 0;
    bool inside = false;
    dut.RX = 1;
    auto tick = [&]() {
        dut.clk = 0; dut.eval(); dut.clk = 1; dut.eval();
        ++clocks;
        if (place < 0) {
            if (!dut.TX) { place = 0; due = clocks + DIVIDER / 2; value = 0; }
        } else if (clocks >= due) {
            due += DIVIDER;
            if (place >= 1 && place <= 8) value |= dut.TX << (place - 1);
            if (place++ == 9) {
                place = -1;
                std::fputc(value, out);
                if (value == 0xc0) { frames += inside; inside = false; } else inside = true;
            }
        }
    };
    auto bit = [&](int level) { dut.RX = level; for (int i = 0; i < DIVIDER; ++i) tick(); };
    START
    for (int i = 0; i < 300; ++i) tick();
    const long begin = clocks;
    unsigned length;
    for (long sent = 1; std::fread(&length, 4, 1, in) == 1; ++sent) {
        for (unsigned i = 0; i < length; ++i) {
            const int byte = std::fgetc(in);
            bit(0);
            for (int place = 0; place < 8; ++place) bit(byte >> place & 1);
            bit(1);
        }
        const long limit = clocks + LIMIT;
        while (frames < sent && clocks < limit) tick();
    }
    std::printf("%ld\\n", clocks - begin);
    std::fclose(in);
    return std::fclose(out) ? 5 : 0;
}
"""
PATIENCE: Final = 10_000_000
"""Clocks after which a request counts as not answered."""


def check(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Run golden inputs through a UART wrapper's top, at the pins and the real baud rate.

    ``inputs``: ``wrapper`` (`wrap_job.wrap`'s folder), ``golden``. ``params``: ``count``, how
    many of the golden inputs. Writes ``answers.npz`` (``y``, ``cycles``).

    Returns:
        ``inputs``, ``equal`` (inputs whose every output is the golden logit, or output where the
        model ends in no softmax), ``cycles`` (least and most of an inference, as the harness
        counts them), ``clocks_per_inference`` (at the pins, the transfer with it), ``runtime``.

    Raises:
        JobError: answers are missing or wrong.
        ToolError, ToolchainError: there is no compiler, no Verilator.
    """
    wrapper = json.loads((inputs["wrapper"] / "wrapper.json").read_text())
    with np.load(inputs["golden"] / "golden.npz", allow_pickle=False) as golden:
        x = golden["x"][: params["count"]]
        wanted = golden["logits" if "logits" in golden.files else "y"][: len(x)]
    sources = [inputs["wrapper"] / name for name in wrapper["files"]["verilog"]]
    main = _driver(wrapper)
    program = verilator_job.build(wrapper, sources, Path("model"), progress, main)
    progress(2, 3, "simulate")
    with Path("requests.bin").open("wb") as file:
        for row in x.reshape(len(x), -1).tolist():
            request = serial_client.frame(serial_client.pack(row, wrapper["input"]))
            file.write(len(request).to_bytes(4, "little") + request)
    command = [str(program), "requests.bin", "replies.bin"]
    verilator_job.call(command, "the simulation of the board's top")
    replies = list(serial_client.Frames().feed(Path("replies.bin").read_bytes()))
    values, cycles = _answers(replies, wrapper, len(x))
    np.savez(output / "answers.npz", y=values, cycles=np.array(cycles, np.int64))
    same = (values == wanted.reshape(len(x), -1)).all(axis=1)
    if not same.all():
        place = int(np.argmin(same))
        raise JobError(
            f"the board's top answers {int((~same).sum())} of {len(x)} inputs wrongly, first "
            f"input {place}: expected {wanted.reshape(len(x), -1)[place].tolist()}, found "
            f"{values[place].tolist()}"
        )
    return {
        "runtime": "Verilator, at the UART",
        "version": verilator_job.version(),
        "inputs": len(x),
        "equal": int(same.sum()),
        "cycles": [min(cycles), max(cycles)],
    }


def _driver(wrapper: Mapping[str, Any]) -> str:
    """The C++ program; a board's top makes its own reset, a bare harness has one."""
    board = wrapper["reset"] is None
    start = "" if board else "dut.rst = 1; tick(); tick(); dut.rst = 0;"
    for pin in ("reset",) if wrapper.get("button_active_low") is not None else ():
        start += f"dut.{pin} = {int(wrapper['button_active_low'])};"
    words = {
        "RX": "uart_rx" if board else "rx",
        "TX": "uart_tx" if board else "tx",
        "DIVIDER": int(wrapper["divider"]),
        "LIMIT": PATIENCE,
        "START": start,
    }
    return "".join(f"#define {name} {value}\n" for name, value in words.items()) + DRIVER


def _answers(
    replies: Sequence[bytes], wrapper: Mapping[str, Any], count: int
) -> tuple[Array, list[int]]:
    right = 5 + wrapper["output"]["bytes"]
    good = [reply for reply in replies if reply[0] == 0 and len(reply) == right]
    if len(good) != count or len(replies) != count:
        raise JobError(
            f"expected {count} answers from the simulation of the board's top, found {len(good)} "
            f"and {len(replies) - len(good)} that are none"
        )
    values = [serial_client.unpack(reply[5:], wrapper["output"]) for reply in good]
    return np.array(values), [int.from_bytes(reply[1:5], "little") for reply in good]
