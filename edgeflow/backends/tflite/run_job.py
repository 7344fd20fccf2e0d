"""Jobs that run a .tflite file on the golden inputs, in LiteRT and in tflite-runtime.

Each runtime is in a toolchain of its own; beside it, numpy alone is needed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow.errors import DataError, JobError, UnsupportedError

TRACED = 16
"""Inputs whose intermediate tensors are kept, at most (golden's trace may hold fewer)."""


def litert(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Run ``compiled`` on ``golden`` in LiteRT. Runs in the toolchain ``keras``.

    ``inputs``: ``compiled`` (a compile job's output) and ``golden``. ``params``: ``resolver``,
    ``XNNPACK`` or ``BUILTIN_REF``. Leaves ``outputs.npz`` (``y``: n x …, float32) and, where
    golden has one, ``trace.npz``.

    Returns:
        ``runtime``, ``version``, and the ``resolver`` that ran: ``BUILTIN`` where the reference
        kernels lack an operator.

    Raises:
        UnsupportedError: this runtime cannot load the file.
        DataError: the golden inputs do not fit.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = _run(Interpreter, OpResolverType, params["resolver"], inputs, output, progress)
    return {"runtime": "litert", "version": version("ai-edge-litert"), "resolver": resolver}


def tflite_runtime(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """As `litert`, in tflite-runtime. Runs in the toolchain ``tflite_runtime``."""
    from tflite_runtime.interpreter import Interpreter, OpResolverType

    resolver = _run(Interpreter, OpResolverType, params["resolver"], inputs, output, progress)
    return {"runtime": "tflite-runtime", "version": version("tflite-runtime"), "resolver": resolver}


def _run(
    make: Callable[..., Any],
    kinds: Any,
    resolver: str,
    inputs: dict[str, Path],
    output: Path,
    progress: Callable[..., None],
) -> str:
    """Run it by `make` (the runtime's Interpreter), `kinds` being the runtime's OpResolverType."""
    compiled = inputs["compiled"]
    with np.load(inputs["golden"] / "golden.npz", allow_pickle=False) as golden:
        x = golden["x"]
    names = {
        "XNNPACK": kinds.AUTO,
        "BUILTIN_REF": kinds.BUILTIN_REF,
        "BUILTIN": kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    }
    try:
        interpreter = _ready(make, names[resolver], compiled / "model.tflite")
    except UnsupportedError as error:
        if resolver != "BUILTIN_REF" or "find op" not in error.message:
            raise
        resolver = "BUILTIN"
        interpreter = _ready(make, names[resolver], compiled / "model.tflite")
    np.savez(output / "outputs.npz", y=_all(interpreter, x, progress))
    wanted = _wanted(inputs["golden"])
    layers: dict[str, int] = json.loads((compiled / "model.json").read_text())["layers"]
    layers = {name: index for name, index in layers.items() if name in wanted}
    if layers:
        tracer = _ready(make, names[resolver], compiled / "trace.tflite")
        count = min(TRACED, max(wanted.values()))
        arrays: dict[str, Any] = _trace(tracer, x[:count], layers)
        np.savez(output / "trace.npz", **arrays)
    return resolver


def _wanted(golden: Path) -> dict[str, int]:
    """The layers in golden's trace, and how many inputs it holds of each."""
    path = golden / "trace.npz"
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as trace:
        return {name: len(trace[name]) for name in trace.files}


def _ready(make: Callable[..., Any], kind: Any, path: Path) -> Any:
    try:
        interpreter = make(
            model_content=path.read_bytes(), num_threads=1, experimental_op_resolver_type=kind
        )
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise UnsupportedError(
            f"the runtime cannot load the file: {str(error).strip().splitlines()[0]}",
            remedy="use a newer runtime on the board, or another precision",
        ) from None
    return interpreter


def _all(interpreter: Any, x: np.ndarray, progress: Callable[..., None]) -> np.ndarray:
    """The outputs as real values; several are flattened and joined, as golden vectors hold them."""
    entry = interpreter.get_input_details()[0]
    results = interpreter.get_output_details()
    prepared = encode(x, entry)
    outputs = []
    for index in range(len(x)):
        _one(interpreter, prepared, index, entry)
        parts = [decode(interpreter.get_tensor(r["index"]), r).reshape(1, -1) for r in results]
        outputs.append(parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1))
        if index % 64 == 0:
            progress(index, len(x), "inputs")
    y = np.concatenate(outputs)
    return y.reshape(len(x), *results[0]["shape"][1:]) if len(results) == 1 else y


def _one(interpreter: Any, x: np.ndarray, index: int, entry: Any) -> None:
    interpreter.reset_all_variables()  # each input is an inference of its own
    interpreter.set_tensor(entry["index"], x[index : index + 1])
    try:
        interpreter.invoke()
    except RuntimeError as error:
        raise JobError(f"the runtime failed at input {index}: {error}") from None


def _trace(tracer: Any, x: np.ndarray, layers: dict[str, int]) -> dict[str, np.ndarray]:
    details = {detail["index"]: detail for detail in tracer.get_tensor_details()}
    entry = tracer.get_input_details()[0]
    prepared = encode(x, entry)
    kept: dict[str, list[np.ndarray]] = {name: [] for name in layers}
    for index in range(len(x)):
        _one(tracer, prepared, index, entry)
        for name, values in kept.items():
            detail = details[layers[name]]
            value = tracer.get_tensor(detail["index"])
            values.append(decode(value.reshape(1, *detail["shape"][1:]), detail))
    return {name: np.concatenate(values) for name, values in kept.items()}


def encode(x: np.ndarray, detail: Any) -> np.ndarray:
    """Real inputs as the input tensor stores them: q = round(x / scale) + zero point, saturated.

    Raises:
        DataError: the shape does not fit.
    """
    shape = tuple(int(d) for d in detail["shape"][1:])
    if int(np.prod(x.shape[1:])) != int(np.prod(shape)):
        raise DataError(f"expected inputs of shape {shape}, found {x.shape[1:]}")
    x = x.reshape(len(x), *shape)
    kind = np.dtype(detail["dtype"])
    if kind.kind == "f":
        return np.ascontiguousarray(x, kind)
    scale, zero = detail["quantization"]
    if not scale:
        return x.astype(kind)
    limits = np.iinfo(kind)
    q = np.round(x.astype(np.float64) / scale) + zero
    found: np.ndarray = np.clip(q, limits.min, limits.max).astype(kind)
    return found


def decode(values: np.ndarray, detail: Any) -> np.ndarray:
    """Stored values as real float32 ones: scale x (q - zero point)."""
    scale, zero = detail["quantization"]
    if values.dtype.kind == "f" or not scale:
        return values.astype(np.float32)
    real: np.ndarray = (values.astype(np.float64) - zero) * scale
    return real.astype(np.float32)
