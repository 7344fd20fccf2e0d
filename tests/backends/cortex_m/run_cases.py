"""Run in the toolchain tflite_runtime: the reference kernels' outputs of each case."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from tflite_runtime.interpreter import Interpreter, OpResolverType


def main(folder: Path) -> None:
    """Write ``NAME.ref`` for each ``NAME.tflite`` of `folder`, ``NAME.why`` where it cannot run."""
    for name in sorted(path.stem for path in folder.glob("*.in")):
        try:
            interpreter = Interpreter(
                str(folder / f"{name}.tflite"), num_threads=1,
                experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
            )  # fmt: skip
            interpreter.allocate_tensors()
            x, y = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
            outputs = []
            for sample in np.fromfile(folder / f"{name}.in", x["dtype"]).reshape(-1, *x["shape"]):
                interpreter.set_tensor(x["index"], sample)
                interpreter.invoke()
                outputs.append(interpreter.get_tensor(y["index"]))
            np.concatenate([np.ravel(o) for o in outputs]).tofile(folder / f"{name}.ref")
        except (RuntimeError, ValueError) as error:
            (folder / f"{name}.why").write_text(str(error))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
