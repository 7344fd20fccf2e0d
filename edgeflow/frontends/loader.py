"""Loading a model file: finds its format by its content, and runs the front end in its home."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgeflow.errors import ModelError
from edgeflow.frontends import network_file
from edgeflow.frontends.model import HOMES, Model
from edgeflow.frontends.reference import ENTRIES
from edgeflow.jobs import Job, Runner
from edgeflow.network import FORMAT, Network
from edgeflow.store import hash_path

TIMEOUT = 600.0  # seconds; loading takes seconds, this ends a hang


def load(paths: Sequence[Path], runner: Runner) -> Model:
    """Load one model file, and its weights' file where they are two.

    Raises:
        ModelError: the file is missing, damaged, of no known format, or refused.
    """
    path, weights = _files([Path(p) for p in paths])
    kind = container(path)
    name = path.name
    params = {"name": name, "sha256": hash_path(path)}
    inputs = {"model": path}
    if kind == "keras":
        if weights is not None:
            inputs["weights"] = weights
            params["weights_name"] = weights.name if weights.name != name else f"weights_{name}"
        probe = Job(
            entry="edgeflow.frontends.keras_job:probe", toolchain="keras", title="read the format",
            inputs={"model": path}, params={"name": name}, imports=("h5py", "numpy"),
            timeout=TIMEOUT,
        )  # fmt: skip
        model_format = str(runner.run(probe).result["format"])
    else:
        model_format = kind
    entry, imports = ENTRIES[model_format]
    job = Job(
        entry=entry.replace(":predict", ":load"),
        toolchain=HOMES[model_format],
        title=f"load {name}",
        inputs=inputs,
        params=params,
        imports=imports,
        timeout=TIMEOUT,
    )
    return Model(runner.run(job).path)


def load_network(path: Path) -> Network:
    """Read a Network from its JSON file, as ``edgeflow inspect --json`` or a person writes it.

    Raises:
        ModelError: the file is missing or is not a Network.
    """
    return network_file.load(path)[0]


is_network = network_file.is_network


def container(path: Path) -> str:
    """``keras``, ``onnx`` or ``tflite``, by what the file holds.

    Raises:
        ModelError: it is none of them.
    """
    try:
        with path.open("rb") as handle:
            head = handle.read(4096)
    except OSError as error:
        raise ModelError(f"cannot read the model: {error.strerror}", where=str(path)) from None
    if not head:
        raise ModelError("the file is empty", where=str(path), remedy="copy or download it again")
    if head[4:8] == b"TFL3":
        return "tflite"
    if head.startswith(b"\x89HDF\r\n\x1a\n") or head[:2] == b"PK" or head.lstrip()[:1] == b"{":
        if FORMAT.encode() in head:
            raise ModelError(
                "expected a model, found a Network, which has no weights",
                where=str(path),
                remedy="give the model's own file, or use --network where a command has it",
            )
        return "keras"
    if head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        raise ModelError(
            "the file is a pickle, which can run code when opened: refused",
            where=str(path),
            remedy="save the model as .keras, .onnx or .tflite (PyTorch: torch.onnx.export)",
        )
    # A ModelProto has no magic bytes: it begins with field 1 (ir_version, a small varint) or,
    # rarely, with another of its fields; random bytes rarely parse further.
    if path.suffix.lower() in (".onnx", ".qonnx") or (head[:1] == b"\x08" and head[1] < 32):
        return "onnx"
    raise ModelError(
        f"expected a model (.keras, .h5, .json + .h5, .onnx, .tflite), found bytes of no known "
        f"format: {head[:8].hex(' ')}",
        where=str(path),
        remedy="the file is damaged, cut short or of another kind: export it again",
    )


def _files(paths: list[Path]) -> tuple[Path, Path | None]:
    """The model file and its weights' file."""
    if not 1 <= len(paths) <= 2:
        raise ModelError(
            f"expected one model file, or two (architecture, weights), found {len(paths)}"
        )
    for path in paths:
        if not path.exists():
            raise ModelError("the model file does not exist", where=str(path))
        if path.is_dir():
            raise _folder_error(path)
    path = paths[0]
    if len(paths) == 2:
        if _is_json(paths[1]) and not _is_json(path):
            return paths[1], path
        return path, paths[1]
    if _is_json(path):
        for suffix in ("_weights.h5", ".weights.h5", "_weights.hdf5", ".h5"):
            beside = path.with_name(path.stem + suffix)
            if beside.is_file():
                return path, beside
    return path, None


def _is_json(path: Path) -> bool:
    with path.open("rb") as handle:
        return handle.read(64).lstrip()[:1] == b"{"


def _folder_error(path: Path) -> ModelError:
    if (path / "saved_model.pb").is_file():
        return ModelError(
            "expected a model file, found a TensorFlow SavedModel, which is a program, not layers",
            where=str(path),
            remedy="use its .tflite or .onnx: tf.lite.TFLiteConverter.from_saved_model, or tf2onnx",
        )
    return ModelError(
        "expected a model file, found a folder",
        where=str(path),
        remedy="give a .keras, .h5, .json, .onnx or .tflite file (of an hls4ml project, "
        "firmware/parameters.h is missing)",
    )
