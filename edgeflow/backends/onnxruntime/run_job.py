"""The job that runs an ONNX file on the golden inputs in ONNX Runtime."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow.errors import DataError, JobError, UnsupportedError

TRACED = 16
"""Inputs whose intermediate tensors are kept, at most."""


def run(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Run ``compiled`` on ``golden``, one input at a time. Runs in the toolchain ``keras``.

    ``inputs``: ``compiled`` (a compile job's output) and ``golden``. ``params``: ``resolver``,
    ``optimised`` (ONNX Runtime's own fusions, integer kernels for QDQ) or ``as written``. Leaves
    ``outputs.npz`` (``y``: n x …, float32, axes in the model's order) and maybe ``trace.npz``.

    Returns:
        ``runtime``, ``version``, ``resolver``.

    Raises:
        UnsupportedError: ONNX Runtime cannot load the file.
        DataError: the golden inputs do not fit.
    """
    facts = json.loads((inputs["compiled"] / "model.json").read_text())
    content = (inputs["compiled"] / "model.onnx").read_bytes()
    with np.load(inputs["golden"] / "golden.npz", allow_pickle=False) as golden:
        x = prepare(golden["x"], facts["inputs"][0])
    session = open_session(content, params["resolver"] == "optimised")
    parts = []
    for index in range(len(x)):
        parts.append(_joined(_once(session, facts, x[index : index + 1], None, index), facts))
        if index % 64 == 0:
            progress(index, len(x), "inputs")
    np.savez(output / "outputs.npz", y=np.concatenate(parts))
    kept = _trace(inputs["golden"], content, params["resolver"] == "optimised", facts, x)
    if kept:
        np.savez(output / "trace.npz", **kept)  # type: ignore[arg-type]
    return {
        "runtime": "onnxruntime",
        "version": version("onnxruntime"),
        "resolver": f"CPU, {params['resolver']}",
    }


def open_session(content: bytes, optimised: bool) -> Any:
    """An ONNX Runtime session on the CPU, one thread.

    x86 processors without VNNI saturate in 8-bit products of ONNX Runtime's fast kernels, which
    boards' ARM processors do not: the option keeps the sums whole.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimised else level.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - ONNX Runtime raises its own kinds
        raise UnsupportedError(
            f"ONNX Runtime cannot load the file: {str(error).strip().splitlines()[0][:300]}",
            remedy="choose another opset, or a newer ONNX Runtime on the board",
        ) from None


def prepare(x: np.ndarray, port: dict[str, Any]) -> np.ndarray:
    """Inputs in the file's own order of axes and type.

    Raises:
        DataError: the shape does not fit.
    """
    shape = tuple(port["model_shape"])
    if int(np.prod(x.shape[1:])) != int(np.prod(shape)):
        raise DataError(f"expected inputs of shape {shape}, found {x.shape[1:]}")
    x = x.reshape(len(x), *shape)
    if port["permute"]:
        x = x.transpose(port["permute"])
    return np.ascontiguousarray(x, np.dtype(port["type"]))


def _once(
    session: Any, facts: dict[str, Any], x: np.ndarray, names: list[str] | None, index: int
) -> list[np.ndarray]:
    wanted = names or [port["name"] for port in facts["outputs"]]
    try:
        found: list[np.ndarray] = session.run(wanted, {facts["inputs"][0]["name"]: x})
    except Exception as error:  # noqa: BLE001 - ONNX Runtime raises its own kinds
        raise JobError(
            f"ONNX Runtime failed at input {index}: {str(error).splitlines()[0][:300]}"
        ) from None
    return found


def _joined(values: list[np.ndarray], facts: dict[str, Any]) -> np.ndarray:
    """Outputs in the model's order; several are flattened and joined, as in golden."""
    moved = []
    for value, port in zip(values, facts["outputs"], strict=True):
        back = np.argsort(port["permute"]) if port["permute"] else None
        moved.append(np.asarray(value if back is None else value.transpose(back), np.float32))
    if len(moved) == 1:
        return moved[0].reshape(1, *facts["outputs"][0]["model_shape"])
    return np.concatenate([value.reshape(1, -1) for value in moved], axis=1)


def _trace(
    golden: Path, content: bytes, optimised: bool, facts: dict[str, Any], x: np.ndarray
) -> dict[str, np.ndarray]:
    """The tensors that hold golden's traced layers, in the Network's order of axes."""
    path = golden / "trace.npz"
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as trace:
        count = min([TRACED, *(len(trace[name]) for name in trace.files)])
        wanted = {k: v for k, v in facts["layers"].items() if k in trace.files}
    if not wanted or not count:
        return {}
    import onnx
    from onnx import helper

    model = onnx.load_from_string(content)
    have = {item.name for item in model.graph.output}
    names = list(dict.fromkeys(place["tensor"] for place in wanted.values()))
    model.graph.output.extend(
        helper.make_empty_tensor_value_info(name) for name in names if name not in have
    )
    session = open_session(model.SerializeToString(), optimised)
    kept: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    for index in range(min(count, len(x))):
        found = dict(
            zip(names, _once(session, facts, x[index : index + 1], names, index), strict=True)
        )
        for layer, place in wanted.items():
            value = np.asarray(found[place["tensor"]], np.float32)
            kept[layer].append(value if not place["first"] else np.moveaxis(value, 1, -1))
    return {name: np.concatenate(values) for name, values in kept.items()}
