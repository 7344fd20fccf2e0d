"""Runs a .tflite file on a board: compares its outputs with golden ones and measures its latency.

It is copied to the board and run there by the board's own Python (3.7 or later) with numpy and
tflite-runtime or LiteRT; it needs nothing else, and nothing of edgeflow. Called as

    python3 board_runner.py MODEL VECTORS OUTPUTS SETTINGS

with SETTINGS a JSON object (`main`), it writes the outputs to the file OUTPUTS (``.npz``) and
prints one line of JSON: the findings, or ``{"error": kind, "message": text}`` and exits with 1.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import platform
import shutil
import sys
import threading
import time
from typing import Any

DISTRIBUTIONS = {"tflite-runtime": "tflite-runtime", "litert": "ai-edge-litert"}


class Failure(Exception):
    """What stops the run; `kind` is for the program that reads it."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def main(arguments: list[str]) -> dict[str, Any]:
    """Run with the four arguments of the command line; returns the findings as a dictionary.

    Settings: ``repetitions`` and ``warm_up`` (runs), ``seconds`` (limit of the measurement),
    ``threads``, ``sha256`` (of model and vectors, to see that they arrived whole), ``attached``
    (end, and remove the runner's folder, when standard input is closed: the caller is gone).
    """
    model_path, vectors_path, outputs_path = arguments[:3]
    settings = json.loads(arguments[3])
    if settings.get("attached"):
        threading.Thread(target=_end_with_caller, daemon=True).start()
    content = _whole(model_path, settings["sha256"]["model"])
    _whole(vectors_path, settings["sha256"]["vectors"])
    np = _numpy()
    runtime, version, interpreter_class, resolvers = _runtime()
    with np.load(vectors_path, allow_pickle=False) as vectors:
        x = vectors["x"]
        y = vectors["y_" + runtime if "y_" + runtime in vectors.files else "y"]

    reference = _make(interpreter_class, content, 1, resolvers.BUILTIN_REF)
    outputs = _run(np, reference, x)
    fast = _make(interpreter_class, content, settings["threads"], resolvers.AUTO)
    default_outputs = _run(np, fast, x)
    np.savez(outputs_path, reference=outputs, default=default_outputs)
    times = _measure(np, fast, x, settings)
    return {
        "runtime": runtime,
        "version": version,
        "resolver": "BUILTIN_REF",
        "inputs": len(x),
        "comparison": compare(np, outputs, y),
        "default_comparison": compare(np, default_outputs, y),
        "latency": summary(np, times),
        "warm_up": settings["warm_up"],
        "threads": settings["threads"],
        "machine": _machine(),
    }


def compare(np: Any, found: Any, expected: Any) -> dict[str, Any]:
    """How outputs agree with the expected ones (n x ...).

    Returns ``equal`` (fraction of elements), ``max_difference`` (None where an output is not
    finite), ``agreement`` (fraction of inputs with the same largest output).
    """
    if found.size != expected.size or len(found) != len(expected):
        raise Failure("shape", f"expected outputs of shape {expected.shape}, found {found.shape}")
    a = found.reshape(len(found), -1).astype(np.float64)
    b = expected.reshape(len(expected), -1).astype(np.float64)
    gap = np.where(a == b, 0.0, np.abs(a - b))
    largest = float(gap.max()) if gap.size else 0.0
    same = (a.argmax(axis=1) == b.argmax(axis=1)).mean() if a.shape[1] > 1 else 1.0
    return {
        "equal": float((a == b).mean()),
        "max_difference": largest if largest < float("inf") else None,
        "agreement": float(same),
    }


def summary(np: Any, times: list[float]) -> dict[str, Any]:
    """Median, 10th and 90th percentile, least and mean of times in seconds, and their number."""
    low, median, high = (float(value) for value in np.percentile(times, [10, 50, 90]))
    return {
        "median": median,
        "p10": low,
        "p90": high,
        "min": float(min(times)),
        "mean": float(np.mean(times)),
        "repetitions": len(times),
    }


def _whole(path: str, expected: str) -> bytes:
    with open(path, "rb") as handle:
        content = handle.read()
    if hashlib.sha256(content).hexdigest() != expected:
        raise Failure("transfer", f"{os.path.basename(path)} did not arrive whole")
    return content


def _numpy() -> Any:
    try:
        import numpy
    except ImportError as error:
        raise Failure(
            "numpy", f"Python {platform.python_version()} has no numpy: {error}"
        ) from None
    return numpy


def _runtime() -> tuple[str, str, Any, Any]:
    """The first runtime that this Python has: its name, version, interpreter and resolvers."""
    tried = []
    for name, module in (
        ("tflite-runtime", "tflite_runtime.interpreter"),
        ("litert", "ai_edge_litert.interpreter"),
    ):
        try:
            found = __import__(module, fromlist=["Interpreter"])
            return name, _version(DISTRIBUTIONS[name]), found.Interpreter, found.OpResolverType
        except (ImportError, AttributeError) as error:
            tried.append(f"{name} ({error})")
    raise Failure(
        "runtime", f"Python {platform.python_version()} has neither {' nor '.join(tried)}"
    )


def _version(distribution: str) -> str:
    try:
        from importlib.metadata import version

        return version(distribution)
    except Exception:  # noqa: BLE001 - Python 3.7 has no such module; a name is not worth an end
        return "unknown"


def _make(interpreter_class: Any, content: bytes, threads: int, resolver: Any) -> Any:
    try:
        interpreter = interpreter_class(
            model_content=content, num_threads=threads, experimental_op_resolver_type=resolver
        )
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError, TypeError, SystemError) as error:
        raise Failure("model", f"the runtime cannot load the model: {str(error).strip()}") from None
    return interpreter


def _run(np: Any, interpreter: Any, x: Any) -> Any:
    """All outputs, one input at a time, as real numbers (float32)."""
    entry = interpreter.get_input_details()[0]
    result = interpreter.get_output_details()[0]
    prepared = _encode(np, x, entry)
    found = []
    for index in range(len(x)):
        interpreter.set_tensor(entry["index"], prepared[index : index + 1])
        interpreter.invoke()
        found.append(np.array(interpreter.get_tensor(result["index"])).reshape(1, -1))
    values = np.concatenate(found)
    scale, zero = result["quantization"]
    if values.dtype.kind != "f" and scale:
        values = (values.astype(np.float64) - zero) * scale
    return values.astype(np.float32)


def _encode(np: Any, x: Any, entry: Any) -> Any:
    """Inputs as the model stores them: real ones are rounded to its scale and saturated."""
    shape = [int(dim) for dim in entry["shape"][1:]]
    if int(np.prod(x.shape[1:])) != int(np.prod(shape)):
        raise Failure("shape", f"expected inputs of shape {shape}, found {list(x.shape[1:])}")
    x = x.reshape([len(x), *shape])
    kind = np.dtype(entry["dtype"])
    scale, zero = entry["quantization"]
    if kind.kind == "f" or x.dtype == kind or not scale:
        return np.ascontiguousarray(x, kind)
    limits = np.iinfo(kind)
    q = np.round(x.astype(np.float64) / scale) + zero
    return np.clip(q, limits.min, limits.max).astype(kind)


def _measure(np: Any, interpreter: Any, x: Any, settings: dict[str, Any]) -> list[float]:
    """Seconds of each `invoke`, after a warm-up, over the inputs in turn."""
    entry = interpreter.get_input_details()[0]
    prepared = _encode(np, x, entry)
    for index in range(settings["warm_up"]):
        interpreter.set_tensor(entry["index"], prepared[index % len(x)][None])
        interpreter.invoke()
    times = []
    end = time.perf_counter() + settings["seconds"]
    for index in range(settings["repetitions"]):
        interpreter.set_tensor(entry["index"], prepared[index % len(x)][None])
        started = time.perf_counter()
        interpreter.invoke()
        finished = time.perf_counter()
        times.append(finished - started)
        if finished > end and len(times) >= 3:
            break
    return times


def _machine() -> dict[str, Any]:
    """What the board says of itself; None where it does not."""
    clock = time.get_clock_info("perf_counter")
    paths = glob.glob("/sys/devices/system/cpu/cpu*/cpufreq/scaling_cur_freq")
    texts = [_text(path) or "" for path in paths]
    frequencies = [int(text) for text in texts if text.isdigit()]
    return {
        "board": _text("/proc/device-tree/model") or _text("/sys/class/dmi/id/product_name"),
        "architecture": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "clock": clock.implementation,
        "clock_resolution": clock.resolution,
        "frequency_hz": max(frequencies) * 1000 if frequencies else None,
        "governor": _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    }


def _text(path: str) -> str | None:
    try:
        with open(path) as handle:
            return handle.read(200).strip("\0\n ") or None
    except (OSError, ValueError):
        return None


def _end_with_caller() -> None:
    """Wait for the end of standard input: the connection is gone, so leave nothing behind."""
    while os.read(0, 1024):  # not sys.stdin: its lock would be held at the interpreter's end
        pass
    shutil.rmtree(os.path.dirname(os.path.abspath(__file__)), ignore_errors=True)
    os._exit(2)


if __name__ == "__main__":
    try:
        print(json.dumps(main(sys.argv[1:])))
    except Failure as failure:
        print(json.dumps({"error": failure.kind, "message": str(failure)}))
        sys.exit(1)
