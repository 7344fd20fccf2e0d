"""Run in the toolchain keras: small int8 files as Networks with random inputs.

argv: a folder, then the names of `tests/backends/cortex_m/cases.py`, or NAME=FILE for real files.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cases import cases
from make_cases import inputs_of

from edgeflow.frontends.folder_job import write_folder
from edgeflow.frontends.tflite_file_job import Parsed
from edgeflow.frontends.tflite_graph_job import Translator


def main(folder: Path, wanted: list[str]) -> None:
    """Write ``NAME.tflite``, ``NAME.in`` (its codes) and the folder NAME for each."""
    made = cases()
    for name, _, file in (item.partition("=") for item in wanted):
        path = folder / f"{name}.tflite"
        path.write_bytes(Path(file).read_bytes() if file else made[name].bytes())
        parsed = Parsed(path, path.name)
        index = parsed.graph.inputs[0]
        inputs_of("INT8", parsed.shape(index)).tofile(folder / f"{name}.in")
        network, arrays = Translator(parsed).network({"format": "tflite", "file": path.name})
        write_folder(folder / name, network, arrays, "tflite")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
