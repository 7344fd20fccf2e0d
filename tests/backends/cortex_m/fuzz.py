"""Run in the toolchain keras: damage files at random, and read each in a process of its own.

argv: a folder, the number of files, and a real file. Writes ``fuzz.json``: what came of each; the
C of those that were read is in ``plain``, described in ``cases.json``.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
from pathlib import Path

import numpy as np
from build import Net
from make_cases import described

from edgeflow.errors import EdgeflowError

READ, REFUSED, FAULT = 0, 2, 3
LIMIT = 20
"""Seconds for one file."""


def small() -> Net:
    """A network with most of the operators, whose structure outweighs its weights."""
    net = Net(8, 8, 2)
    net.conv(4, (2, 2), (2, 2), weights=0.01)
    first = net.y
    net.conv(0, (3, 3), multiplier=1)
    scale = net.same()
    net.op("ADD", (1, 4, 4, 4), inputs=[first, net.y], options="AddOptions", **scale)
    net.op("PAD", (1, 6, 5, 4), inputs=[net.y, net.const([[0, 0], [1, 1], [0, 1], [0, 0]])],
           options="PadOptions", **scale)  # fmt: skip
    net.pool("AVERAGE", (2, 2), (2, 2), "SAME")
    net.op("CONCATENATION", (1, 3, 3, 8), inputs=[net.y, net.y], options="ConcatenationOptions",
           axis=3, **scale)  # fmt: skip
    net.op("TRANSPOSE", (1, 3, 8, 3), inputs=[net.y, net.const([0, 1, 3, 2])],
           options="TransposeOptions", **scale)  # fmt: skip
    net.op("STRIDED_SLICE", (1, 3, 4, 3), inputs=[
        net.y, net.const([0, 0, 1, 0]), net.const([1, 3, 8, 3]), net.const([1, 1, 2, 1]),
    ], options="StridedSliceOptions", **scale)  # fmt: skip
    net.op("MEAN", (1, 3), inputs=[net.y, net.const([1, 2])], options="ReducerOptions")
    net.dense(4)
    net.op("SOFTMAX", (1, 4), scale=1 / 256, zero=-128, options="SoftmaxOptions", beta=1.0)
    return net


def twisted(net: Net, random: np.random.Generator) -> bytes:
    """A well-formed file with one or two of its numbers changed."""
    numbers = [0, 1, 2, 3, 5, 7, 100, -1, -2, 32768, 1 << 20, 2**31 - 1]

    def number() -> int:
        return int(random.choice(numbers))

    for _ in range(random.integers(1, 3)):
        tensor = net.tensors[random.integers(len(net.tensors))]
        operator = net.operators[random.integers(len(net.operators))]
        options = operator.builtinOptions
        what = random.integers(9)
        if what == 0 and len(tensor.shape):
            tensor.shape[random.integers(len(tensor.shape))] = number()
        elif what == 1:
            tensor.shape = [*tensor.shape, number()] if random.random() < 0.5 else tensor.shape[1:]
        elif what == 2:
            tensor.type = int(random.integers(0, 10))
        elif what == 3:
            scales = [[], [0.0], [-0.1], [np.nan], [np.inf], [1e-30], [1e30], [0.1, 0.2], [3.0]]
            tensor.quantization.scale = scales[random.integers(len(scales))]
        elif what == 4:
            tensor.quantization.zeroPoint = [int(random.choice([-129, 128, 5, 2**40, 127]))]
        elif what == 5:
            data = net.buffers[random.integers(len(net.buffers))]
            if data.data is not None:
                data.data = [data.data[:-4], data.data + [1] * 4, data.data[::-1], []][
                    random.integers(4)
                ]
        elif what == 6:
            index = int(random.integers(-1, len(net.tensors) + 1))
            operator.inputs[random.integers(len(operator.inputs))] = index
        elif what == 7:
            if random.random() < 0.5:
                operator.outputs = [int(random.integers(0, len(net.tensors)))]
            else:
                operator.opcodeIndex = int(random.integers(0, len(net.codes) + 1))
        elif options is not None:
            names = [n for n, value in vars(options).items() if isinstance(value, (int, float))]
            name = names[random.integers(len(names))]
            given = getattr(options, name)
            setattr(options, name, bool(number() & 1) if isinstance(given, bool) else number())
    return net.bytes()


def damaged(data: bytes, random: np.random.Generator) -> bytes:
    """One to four bytes changed, mostly to values that mean something."""
    made = bytearray(data)
    for at in random.integers(0, len(made), random.integers(1, 5)):
        made[at] = int(random.choice([0, 1, 2, 127, 128, 255, made[at] ^ 1, made[at] ^ 0x10]))
    return bytes(made[: random.integers(8, len(made))] if random.random() < 0.03 else made)


def read(path: Path, folder: Path) -> int:
    """What came of a file, in a process that may die."""
    child = os.fork()
    if child == 0:
        signal.alarm(LIMIT)
        status = FAULT
        try:
            (folder / f"{path.stem}.json").write_text(
                json.dumps(described(path, path.stem, folder))
            )
            status = READ
        except EdgeflowError as error:
            (folder / f"{path.stem}.said").write_text(str(error))
            status = REFUSED
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(folder: Path, count: int, real: Path) -> None:
    """Damage `count` files: numbers of three in four, bytes of the others."""
    random = np.random.default_rng(20)
    files = [small().bytes(), real.read_bytes()]
    found: dict[str, int] = {}
    for number in range(count):
        path = folder / f"f{number}.tflite"
        try:
            data = twisted(small(), random) if number % 4 else b""
        except (struct.error, TypeError, ValueError):  # no such number in a file
            data = b""
        path.write_bytes(data or damaged(files[number % 8 == 0], random))
        found[path.stem] = read(path, folder)
    (folder / "fuzz.json").write_text(json.dumps(found))
    about = {
        name: json.loads((folder / f"{name}.json").read_text())
        for name, status in found.items()
        if status == READ
    }
    (folder / "cases.json").write_text(json.dumps(about))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
