"""What a Keras file says about itself, read as data: nothing in it is run.

Finds the format, and refuses what could run code or what nobody knows, before any framework sees
the file: Lambda layers, marshalled functions, custom objects, pickles.
"""

from __future__ import annotations

import ast
import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeflow.errors import ModelError

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
LEGACY = ("keras2", "qkeras", "qkeras_v3")  # formats that tf-keras reads
LARGEST_UNPACKED = 4 << 30  # bytes; no model for these targets comes near

# Containers of values in Keras' JSON, not objects.
_PLAIN = frozenset(
    "__tuple__ __list__ __dict__ __tensor__ __numpy__ __keras_tensor__ __ellipsis__ __bytes__ "
    "__typespec__ __class_type__ slice TensorShape DTypePolicy FloatDTypePolicy Policy "
    "QuantizedDTypePolicy DTypePolicyMap int float str bool list tuple dict NoneType".split()
)
_CODE = frozenset(["Lambda", "__lambda__"])
_MODULES = ("keras", "tf_keras", "tensorflow.python.keras", "tensorflow.keras", "builtins")
_LIBRARIES = {"hgq": "hgq", "squark": "hgq", "qkeras": "qkeras", "HGQ": "hgq"}
# TensorFlow functions that a model may name: pure arithmetic, none that touches files.
TF_FUNCTIONS = frozenset(
    "math.add math.subtract math.multiply math.divide math.truediv math.maximum math.minimum "
    "__operators__.add __operators__.sub __operators__.mul __operators__.truediv "
    "__operators__.getitem nn.relu nn.relu6 nn.silu nn.leaky_relu nn.elu nn.softmax nn.gelu "
    "math.sigmoid math.tanh math.reduce_mean math.reduce_max math.reduce_sum concat reshape "
    "transpose compat.v1.transpose".split()
)
_CALL = re.compile(r"\s*([A-Za-z_]\w*)\s*\((.*)\)\s*", re.DOTALL)
QUANTIZERS = frozenset(
    "quantized_bits quantized_relu quantized_tanh quantized_sigmoid quantized_po2 "
    "quantized_relu_po2 quantized_ulaw quantized_hswish quantized_linear binary ternary "
    "stochastic_binary stochastic_ternary bernoulli".split()
)


@dataclass(frozen=True)
class Scanned:
    """A Keras file's own description: ``format`` is a key of `edgeflow.frontends.model.HOMES`."""

    format: str
    config: Mapping[str, Any]
    keras_version: str


def read_config(path: Path) -> Scanned:
    """The architecture in a ``.keras``, HDF5 or JSON file, and its format.

    Raises:
        ModelError: the file is cut short, is something else, or holds no architecture.
    """
    with path.open("rb") as handle:
        head = handle.read(8)
    if head == HDF5_MAGIC:
        return _scanned(*_from_hdf5(path), where=path.name)
    if head[:2] == b"PK":
        return _scanned(*_from_zip(path), where=path.name)
    return _scanned(*_from_json(path), where=path.name)


def _from_hdf5(path: Path) -> tuple[Any, str]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            odd: list[str] = []

            def check(name: str, item: Any) -> None:
                # numbers are all that a weight file needs; bytes or objects may be a pickle
                if isinstance(item, h5py.Dataset) and item.dtype.kind not in "fiub":
                    odd.append(f"dataset '{name}' of type {item.dtype}")

            file.visititems(check)
            if odd:
                raise ModelError(
                    "expected arrays of numbers, found objects, which could be pickled code",
                    where=path.name,
                    details=odd,
                    remedy="save the model again with Keras, with weights only as numbers",
                )
            text = file.attrs.get("model_config")
            version = file.attrs.get("keras_version") or ""
    except ModelError:
        raise
    except Exception as error:  # noqa: BLE001 - h5py raises many kinds on damaged files
        raise ModelError(
            f"the HDF5 file is damaged or cut short: {_first_line(error)}",
            where=path.name,
            remedy="copy or download it again",
        ) from None
    if text is None:
        raise ModelError(
            "the HDF5 file holds weights and no architecture",
            where=path.name,
            remedy="give the architecture's .json file with it: MODEL.json MODEL_weights.h5",
        )
    return _parse(text, path.name), _text(version)


def _from_zip(path: Path) -> tuple[Any, str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            _refuse_pickles(archive, path.name)
            if sum(item.file_size for item in archive.infolist()) > LARGEST_UNPACKED:
                raise ModelError("the file unpacks to more than 4 GB", where=path.name)
            if "config.json" not in names or "model.weights.h5" not in names:
                raise ModelError(
                    f"expected a .keras file (config.json, model.weights.h5), found a zip of "
                    f"{', '.join(sorted(names)[:4]) or 'nothing'}",
                    where=path.name,
                    remedy="save the model with model.save('NAME.keras'), or export it to ONNX",
                )
            config = _parse(archive.read("config.json"), path.name)
            metadata = _parse(archive.read("metadata.json"), path.name)
            if archive.testzip() is not None:
                raise zipfile.BadZipFile("a member's checksum is wrong")
    except (
        zipfile.BadZipFile,
        KeyError,
        EOFError,
        OSError,
        ValueError,
        NotImplementedError,
    ) as error:
        raise ModelError(
            f"the .keras file is damaged or cut short: {_first_line(error)}",
            where=path.name,
            remedy="copy or download it again",
        ) from None
    version = metadata.get("keras_version", "") if isinstance(metadata, Mapping) else ""
    return config, _text(version)


def _refuse_pickles(archive: zipfile.ZipFile, where: str) -> None:
    found = []
    for item in archive.infolist():
        with archive.open(item) as member:
            head = member.read(2)
        if item.filename.endswith((".pkl", ".pickle")) or (
            head[:1] == b"\x80" and head[1:2] in b"\2\3\4\5"
        ):
            found.append(item.filename)
        elif item.filename.endswith((".npy", ".npz")):
            found += _object_arrays(archive, item)
    if found:
        raise ModelError(
            "the file holds pickled objects, which can run code when opened: refused",
            where=where,
            details=found,
            remedy="save the model as .keras, .onnx or .tflite (PyTorch: torch.onnx.export)",
        )


def _object_arrays(archive: zipfile.ZipFile, item: zipfile.ZipInfo) -> list[str]:
    import numpy as np

    try:
        loaded = np.load(io.BytesIO(archive.read(item)), allow_pickle=False)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            for name in loaded.files:
                loaded[name]
    except ValueError:
        return [item.filename]
    return []


def _from_json(path: Path) -> tuple[Any, str]:
    config = _parse(path.read_bytes(), path.name)
    version = config.get("keras_version", "") if isinstance(config, Mapping) else ""
    return config, _text(version)


def _parse(text: Any, where: str) -> Any:
    try:
        return json.loads(_text(text))
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"expected JSON that describes the model: {_first_line(error)}",
            where=where,
            remedy="the file is damaged, cut short or something else: save the model again",
        ) from None


def _scanned(config: Any, version: str, *, where: str) -> Scanned:
    if not isinstance(config, Mapping) or "class_name" not in config or "config" not in config:
        raise ModelError(
            "expected a Keras architecture (class_name, config)",
            where=where,
            remedy="write it with model.to_json()",
        )
    new = (
        version.split(".", maxsplit=1)[0].isdecimal()
        and int(version.split(".", maxsplit=1)[0]) >= 3
    )
    libraries = {_library(item) for item in objects(config)} - {None}
    if new:
        model_format = (
            "hgq2" if "hgq" in libraries else "qkeras_v3" if "qkeras" in libraries else "keras3"
        )
    else:
        quantised = any(
            item.get("class_name") in QUANTIZERS or _quantizer_call(item.get("config"))
            for item in objects(config)
        )
        model_format = "qkeras" if quantised else "keras2"
    return Scanned(model_format, config, version)


def _quantizer_call(config: Any) -> bool:
    values = config.values() if isinstance(config, Mapping) else ()
    return any(isinstance(v, str) and v.partition("(")[0] in QUANTIZERS for v in values)


def objects(config: Any) -> Iterator[Mapping[str, Any]]:
    """Every object (a mapping with ``class_name``) in a configuration."""
    todo = [config]
    while todo:
        item = todo.pop()
        if isinstance(item, Mapping):
            if isinstance(item.get("class_name"), str):
                yield item
            todo.extend(item.values())
        elif isinstance(item, list | tuple):
            todo.extend(item)


def _library(item: Mapping[str, Any]) -> str | None:
    named = str(item.get("registered_name") or "").partition(">")[0]
    module = str(item.get("module") or "").partition(".")[0]
    return _LIBRARIES.get(named) or _LIBRARIES.get(module)


def refuse(scanned: Scanned, known: frozenset[str], where: str) -> None:
    """Refuse code, and name everything that is not in `known` (class and function names).

    Raises:
        ModelError: naming each offending layer.
    """
    code: list[str] = []
    unknown: list[str] = []
    for item in objects(scanned.config):
        name = str(item["class_name"])
        config = item.get("config")
        place = (
            f"'{config.get('name')}'" if isinstance(config, Mapping) and "name" in config else "?"
        )
        if name in _CODE:
            code.append(f"layer {place} of class {name}")
        elif name in ("TFOpLambda", "SlicingOpLambda"):
            function = str(config.get("function")) if isinstance(config, Mapping) else "?"
            if function not in TF_FUNCTIONS:
                code.append(f"layer {place} calls the TensorFlow function {function}")
        elif name in _PLAIN:
            continue
        elif name not in known or not _known_origin(item):
            origin = item.get("registered_name") or item.get("module")
            unknown.append(f"{place} of class {name}" + (f" ({origin})" if origin else ""))
        elif isinstance(config, Mapping):
            unknown += _unknown_strings(config, known)
    if code:
        raise ModelError(
            "the model holds code (Lambda layers or functions), which edgeflow never runs",
            where=where,
            details=sorted(set(code)),
            remedy="replace each by layers of Keras (Rescaling, Reshape, Activation …), or export "
            "the model to ONNX",
        )
    if unknown:
        raise ModelError(
            "the model uses classes that edgeflow does not know",
            where=where,
            details=sorted(set(unknown)),
            remedy="replace them by layers of Keras, QKeras or HGQ2, or export the model to ONNX",
        )


def _known_origin(item: Mapping[str, Any]) -> bool:
    module = item.get("module")
    registered = item.get("registered_name")
    if _library(item):
        return True
    if module is not None and not str(module).startswith(_MODULES):
        return False
    return registered is None or ">" not in str(registered) or str(registered).startswith("keras")


def _unknown_strings(config: Mapping[str, Any], known: frozenset[str]) -> list[str]:
    found = []
    for key, value in config.items():
        if not isinstance(value, str) or not key.endswith(("activation", "quantizer")):
            continue
        if value in known or call_of(value) is not None:
            continue
        found.append(f"'{config.get('name', '?')}' with {key} '{value[:60]}'")
    return found


def call_of(text: str) -> tuple[str, list[Any], dict[str, Any]] | None:
    """A QKeras quantiser written as a call, ``quantized_bits(4,0,alpha=1)``; None if it is not.

    Only literals are accepted as arguments.
    """
    match = _CALL.fullmatch(text)
    if not match or match[1] not in QUANTIZERS:
        return None
    try:
        node = ast.parse(text.strip(), mode="eval").body
        assert isinstance(node, ast.Call)
        positional = [ast.literal_eval(argument) for argument in node.args]
        named = {str(item.arg): ast.literal_eval(item.value) for item in node.keywords}
    except (ValueError, SyntaxError, AssertionError):
        return None
    return match[1], positional, named


def without(config: Any, known: frozenset[str]) -> Any:
    """The configuration without what inference does not need and nobody knows.

    Initialisers, regularisers and constraints of unknown classes are dropped.
    """
    if isinstance(config, Mapping):
        return {
            key: without(value, known)
            for key, value in config.items()
            if not (
                key.endswith(("_initializer", "_regularizer", "_constraint"))
                and any(item["class_name"] not in known | _PLAIN for item in objects(value))
            )
        }
    if isinstance(config, list | tuple):
        return [without(item, known) for item in config]
    return config


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _first_line(error: BaseException) -> str:
    lines: Sequence[str] = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
