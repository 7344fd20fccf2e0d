"""Golden vectors for a board: inputs, and what the artifact must answer in each runtime.

An ``.npz`` with ``x`` (inputs, n x …), ``y`` (expected outputs, real numbers), ``runtime`` and
``version`` (what computed ``y``, with reference kernels), ``scale`` (the output's quantisation
step; 0 for a float output), and for further runtimes ``y_NAME`` and ``version_NAME``.
"""

from __future__ import annotations

import contextlib
import io
import os
import uuid
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.errors import DataError, StoreError

if TYPE_CHECKING:
    import numpy as np

UNREADABLE = (OSError, ValueError, KeyError, EOFError, IndexError, zipfile.BadZipFile, zlib.error)
"""What numpy raises for a file that is no ``.npz`` with the wanted arrays."""

LIMIT = 500
"""Inputs that go to a board, at most: enough to meet rounding, quick with reference kernels."""

ELEMENTS = 4_000_000
"""Numbers that these inputs have together, at most: 16 MB of float32."""

LEVELS = 65_536
"""Values that an integer output has, at most (16 bits)."""


@dataclass(frozen=True)
class Golden:
    """The vectors in memory: the file's bytes, the outputs' scale, version and outputs by runtime.

    The first runtime is the one of ``y``.
    """

    content: bytes
    scale: float
    outputs: Mapping[str, tuple[str, np.ndarray]]


def write(inputs: Path, outputs: Mapping[str, tuple[str, Path]], to: Path) -> Path:
    """Write golden vectors from what simulations with reference kernels gave.

    Args:
        inputs: an ``.npz`` with ``x``.
        outputs: by runtime (``tflite-runtime``, ``litert``), its version and an ``.npz`` with ``y``
            (real numbers, in the order of ``x``); the first becomes ``y``.
        to: the file to write.

    Raises:
        DataError: an array is missing, or inputs and outputs differ in number.
        StoreError: the file cannot be written.
    """
    import numpy as np

    x, total = _first(inputs, "x")
    count = len(x)
    arrays: dict[str, Any] = {"x": x}
    for place, (runtime, (version, path)) in enumerate(outputs.items()):
        y = _array(path, "y")
        if len(y) != total:
            raise DataError(f"expected {total} outputs, found {len(y)}", where=str(path))
        suffix = f"_{runtime}" if place else ""
        arrays |= {f"y{suffix}": y[:count], f"version{suffix}": np.array(version)}
        if not place:
            arrays |= {"runtime": np.array(runtime), "scale": np.float64(scale_of(y))}
    part = to.parent / f".{to.name}.{uuid.uuid4().hex[:8]}"
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as handle:
            np.savez_compressed(handle, **arrays)
        os.replace(part, to)
    except OSError as error:
        remedy = "choose an output folder that can be written"
        raise StoreError.of(error, "golden vectors", to, remedy) from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    return to


def read(path: Path) -> Golden:
    """Read golden vectors.

    Raises:
        DataError: the file is none.
    """
    import numpy as np

    try:
        content = path.read_bytes()
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            count = len(arrays["x"])
            scale = float(arrays["scale"].reshape(-1)[0]) if "scale" in arrays.files else 0.0
            runtime = str(arrays["runtime"]) if "runtime" in arrays.files else "tflite-runtime"
            outputs = {}
            for name in sorted(arrays.files):
                if name == "y" or name.startswith("y_"):
                    version = name.replace("y", "version", 1)
                    known = str(arrays[version]) if version in arrays.files else ""
                    outputs[name[2:] or runtime] = (known, arrays[name])
            outputs = {runtime: outputs[runtime], **outputs}
    except UNREADABLE as error:
        raise DataError(
            f"expected golden vectors (.npz with x, y and scale): {error}",
            where=str(path),
            remedy="run the recipe again",
        ) from None
    wrong = [y.shape for _, y in outputs.values() if len(y) != count or not np.isfinite(y).all()]
    if not count or wrong:
        raise DataError(
            f"expected as many finite outputs as inputs ({count}), found {wrong or 'none'}",
            where=str(path),
            remedy="run the recipe again",
        )
    return Golden(content, scale, outputs)


def scale_of(y: np.ndarray) -> float:
    """The quantisation step of outputs that were integers before; 0 where they were floats.

    Integers give few values, all whole multiples of one step apart.
    """
    import numpy as np

    values = np.unique(y.astype(np.float64))
    if not 8 <= len(values) <= LEVELS:
        return 0.0
    step = float(np.diff(values).min())
    multiples = (values - values[0]) / step
    whole = np.abs(multiples - np.round(multiples)).max() < 0.01
    return step if whole and multiples[-1] < LEVELS else 0.0


def _first(path: Path, name: str) -> tuple[np.ndarray, int]:
    """As many rows as go to a board, and how many there are; the rest is not read into memory."""
    import math

    import numpy as np
    from numpy.lib import format as npy

    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as handle:
            version = npy.read_magic(handle)
            header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran, kind = header(handle)
            row = math.prod(shape[1:])
            count = min(shape[0], LIMIT, max(1, ELEMENTS // max(row, 1)))
            if fortran or kind.hasobject:
                raise ValueError("expected numbers in C order")
            content = handle.read(count * row * kind.itemsize)
        rows = np.frombuffer(content, kind).reshape(count, *shape[1:])
    except UNREADABLE as error:
        raise DataError(f"expected an .npz with '{name}': {error}", where=str(path)) from None
    return rows, shape[0]


def _array(path: Path, name: str) -> np.ndarray:
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as arrays:
            found: np.ndarray = arrays[name]
    except UNREADABLE as error:
        raise DataError(f"expected an .npz with '{name}': {error}", where=str(path)) from None
    return found
