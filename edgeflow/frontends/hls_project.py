"""An hls4ml project folder, its ``hls4ml_config.yml``, or a ``firmware_config`` file, read as text.

The firmware's sources are what is built, so they decide over the yml; ``project.tcl`` and
``build_prj.tcl`` decide over its part and clock. Only what the sources do not tell comes from it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from edgeflow.errors import ModelError
from edgeflow.frontends import hls_network, hls_text, hls_types
from edgeflow.network import Network

CONFIG: Final = ("hls4ml_config.yml", "hls4ml_config.yaml", "config.yml")
MODEL_KEYS: Final = ("KerasModel", "KerasJson", "OnnxModel", "PytorchModel", "TensorFlowModel")
WEIGHT_KEYS: Final = ("KerasH5", "KerasWeights")
COMPILERS: Final = {
    "vivado": "vivado", "vitis": "vitis", "vivadoaccelerator": "vivado_accelerator",
    "quartus": "quartus", "catapult": "catapult", "oneapi": "oneapi", "libero": "libero",
}  # fmt: skip
STRATEGIES: Final = {
    "latency": "latency", "unrolled": "latency", "resource": "resource", "stable": "latency",
    "resource_unrolled": "resource_unrolled", "distributed_arithmetic": "distributed_arithmetic",
    "da": "distributed_arithmetic", "large": "resource", "compressed": "resource",
}  # fmt: skip
WIDEST: Final = 64
"""Bits of a type that the hls4ml backend's options take."""


@dataclass(frozen=True)
class Kernel:
    """Where the real weights of a layer stand: hls4ml's text of numbers, one after the other.

    ``shape`` is (n_in, n_out); ``transposed``: they are written output by output.
    """

    path: Path
    shape: tuple[int, int]
    fraction: int
    transposed: bool


@dataclass(frozen=True)
class Project:
    """What was read. ``network`` is None where only the yml is there: then ``models`` names the
    model's files. ``options`` are the hls4ml backend's. ``multipliers``: ``dsp`` or ``logic``,
    where a pragma or a build script binds them."""

    network: Network | None
    options: Mapping[str, Any]
    kernels: Mapping[str, Kernel] = field(default_factory=dict)
    models: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    multipliers: str | None = None


def is_project(path: Path) -> bool:
    """Whether a path is one of the three."""
    if path.is_dir():
        return (path / "firmware").is_dir() or any((path / name).is_file() for name in CONFIG)
    if path.suffix in (".yml", ".yaml"):
        return True
    return path.suffix.lower() == ".json" and _is_firmware(path)


def _is_firmware(path: Path) -> bool:
    """Whether a JSON file holds hls4ml's structs."""
    try:
        if path.stat().st_size > hls_text.MAX_BYTES:
            return False
        record = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    layers = record.get("layers") if isinstance(record, dict) else None
    first = layers[0] if isinstance(layers, list) and layers else None
    return isinstance(first, dict) and str(first.get("kind", "")).endswith("_config")


def read(path: Path, models: tuple[Path, ...] = ()) -> Project:
    """Read it.

    Args:
        path: the folder or file.
        models: the model's files, where the user gave them beside a yml.

    Raises:
        ModelError: the files are not hls4ml's, or lack what is needed.
    """
    if path.is_dir():
        return _folder(path)
    if path.suffix in (".yml", ".yaml"):
        if (path.parent / "firmware" / "parameters.h").is_file() and not models:
            return _folder(path.parent, path)
        return _config_alone(path, models)
    return _firmware_file(path)


def _firmware_file(path: Path) -> Project:
    try:
        record = json.loads(hls_text.text_of(path))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"expected JSON: {error}", where=str(path)) from None
    found = hls_network.read(record, path.stem, str(path))
    options: dict[str, Any] = {"layers": _layers(found)}
    if found.streamed is not None:
        options["io"] = "stream" if found.streamed else "parallel"
    return Project(found.network, options)


def _folder(path: Path, config: Path | None = None) -> Project:
    config = config or next((path / n for n in CONFIG if (path / n).is_file()), None)
    record = _yaml(config) if config is not None else {}
    if not (path / "firmware" / "parameters.h").is_file() and config is not None:
        return _config_alone(config)
    scripts = _scripts(path)
    top = str(record.get("ProjectName") or scripts.get("project_name") or "") or None
    sources = hls_text.read(path / "firmware", top)
    found = hls_network.read(sources, top or path.name, str(path))
    options = {**_design(record, scripts), "layers": _layers(found)}
    notes = _differences(record, options, scripts)
    if found.streamed is not None:
        io = "stream" if found.streamed else "parallel"
        if options.get("io", io) != io:
            notes.append(f"the firmware is io_{io}, the yml says io_{options['io']}")
        options["io"] = io
    kernels, bound = _kernels(path, found), _multipliers(path)
    return Project(found.network, options, kernels, notes=tuple(notes), multipliers=bound)


def _config_alone(path: Path, models: tuple[Path, ...] = ()) -> Project:
    """Only the yml: the model that it names must be there, or be given."""
    record = _yaml(path)
    named = [str(record[key]) for key in (*MODEL_KEYS, *WEIGHT_KEYS) if record.get(key)]
    files = [file if file.is_absolute() else path.parent / file for file in map(Path, named)]
    files = list(models) or files
    missing = [str(file) for file in files if not file.is_file()]
    if not files or missing:
        raise ModelError(
            "the configuration alone does not say what the layers are: "
            + (f"the model that it names is missing: {', '.join(missing)}" if missing else
               "it names no model, and no firmware lies beside it"),
            where=str(path),
            remedy="give the generated project's folder, or the model's file beside it: "
            "edgeflow estimate hls4ml_config.yml MODEL --target …",
        )  # fmt: skip
    options = _design(record, {})
    chosen = record.get("HLSConfig")
    chosen = chosen if isinstance(chosen, Mapping) else {}
    options |= _choices(chosen.get("Model") or {}, "model")
    own = chosen.get("LayerName")
    own = own if isinstance(own, Mapping) else {}
    layers = {str(name): _choices(one, "layer") for name, one in own.items()}
    options["layers"] = {name: one for name, one in layers.items() if one}
    return Project(None, options, models=tuple(files))


def _choices(record: Any, place: str) -> dict[str, Any]:
    """A yml's Strategy, ReuseFactor and Precision as the backend's options."""
    if not isinstance(record, Mapping):
        return {}
    found: dict[str, Any] = {}
    strategy = STRATEGIES.get(str(record.get("Strategy", "")).lower())
    if strategy is not None:
        found["strategy"] = strategy
    reuse = record.get("ReuseFactor")
    if isinstance(reuse, int) and reuse >= 1:
        found["reuse_factor"] = reuse
    precision = record.get("Precision")
    if isinstance(precision, Mapping):
        for role, text in precision.items():
            name = {"default": "precision"}.get(str(role), str(role))
            kind = _fits(str(text))
            if kind and (name == "precision" or place == "layer") and name in ROLES:
                found[name] = kind
    elif precision and (kind := _fits(str(precision))):
        found["precision"] = kind
    return found


ROLES: Final = ("precision", "result", "weight", "bias", "accum", "table", "exp_table", "inv_table")


def _fits(text: str) -> str | None:
    kind = hls_types.quantizer(text)
    return hls_types.plain(text) if kind is not None and kind.bits <= WIDEST else None


def _layers(found: hls_network.Read) -> dict[str, dict[str, Any]]:
    """The layers' own options, without what the backend's options do not take."""
    layers: dict[str, dict[str, Any]] = {}
    for name, own in found.layers.items():
        kept: dict[str, Any] = {}
        for key, value in own.items():
            if key == "strategy":
                if (strategy := STRATEGIES.get(str(value))) is not None:
                    kept[key] = strategy
            elif key == "reuse_factor" or _fits(str(value)):
                kept[key] = value
        layers[name] = kept
    return layers


def _design(record: Mapping[str, Any], scripts: Mapping[str, str]) -> dict[str, Any]:
    """Part, clock, io and compiler."""
    options: dict[str, Any] = {}
    part = scripts.get("part") or record.get("Part") or record.get("XilinxPart")
    part = part or record.get("FPGAPart")
    if part:
        options["part"] = str(part)
    period = _float(scripts.get("clock_period")) or _float(record.get("ClockPeriod"))
    if period:
        options["clock_mhz"] = round(1e3 / period, 4)
    io = str(record.get("IOType", "")).removeprefix("io_")
    if io in ("parallel", "stream"):
        options["io"] = io
    backend = str(scripts.get("backend") or record.get("Backend") or "").lower()
    if backend in COMPILERS:
        options["compiler"] = COMPILERS[backend]
    return options


def _differences(
    record: Mapping[str, Any], options: Mapping[str, Any], scripts: Mapping[str, str]
) -> list[str]:
    """Where the build scripts say otherwise than the yml."""
    notes = []
    period = _float(record.get("ClockPeriod"))
    if period and "clock_mhz" in options and abs(1e3 / period / options["clock_mhz"] - 1) > 0.01:
        notes.append(
            f"the scripts' clock is {options['clock_mhz']:g} MHz, not the yml's {period:g} ns"
        )
    part = record.get("Part") or record.get("XilinxPart")
    if part and scripts.get("part") and scripts["part"] != part:
        notes.append(f"the scripts' part is {scripts['part']}, not the yml's {part}")
    return notes


SCRIPTS: Final = ("project.tcl", "build_prj.tcl", "vivado_synth.tcl")
TCL: Final = {
    "part": re.compile(
        r"(?:^\s*set\s+part\s+|set_part\s+)[\"{]*([A-Za-z0-9_-]{4,40})", re.MULTILINE
    ),
    "clock_period": re.compile(
        r"(?:^\s*set\s+clock_period\s+|create_clock\s+-period\s+)[\"{]*([\d.]+)", re.MULTILINE
    ),
    "project_name": re.compile(
        r"^\s*(?:set\s+project_name\s+|set_top\s+)[\"{]*(\w+)", re.MULTILINE
    ),
    "backend": re.compile(r"^\s*set\s+backend\s+[\"{]*(\w+)", re.MULTILINE),
}


def _scripts(path: Path) -> dict[str, str]:
    """Part, clock, name and compiler by the project's build scripts, the first that says it."""
    found: dict[str, str] = {}
    for name in SCRIPTS:
        if not (path / name).is_file():
            continue
        text = hls_text.text_of(path / name)
        for key, pattern in TCL.items():
            if key not in found and (match := pattern.search(text)):
                found[key] = match[1]
    return found


BOUND: Final = re.compile(
    r"HLS\s+BIND_OP\b[^\n]*\bop\s*=\s*mul\b[^\n]*\bimpl\s*=\s*(\w+)"
    r"|HLS\s+RESOURCE\b[^\n]*\bcore\s*=\s*\"?Mul_?(\w+)"
    r"|config_op\s+mul\b[^\n]*-impl\s+(\w+)",
    re.IGNORECASE,
)
IMPLEMENTATIONS: Final = {"dsp": "dsp", "dsp48": "dsp", "fabric": "logic", "lut": "logic"}


def _multipliers(path: Path) -> str | None:
    """What the sources or scripts bind multiplications to; None where nothing, or both, is said."""
    sources = [*sorted((path / "firmware" / "nnet_utils").glob("nnet_*.h"))[:100]]
    sources += sorted((path / "firmware").glob("*.cpp")) + sorted(path.glob("*.tcl"))
    found = set()
    for source in sources:
        for match in BOUND.finditer(hls_text.text_of(source)):
            word = next(filter(None, match.groups())).lower()
            found.add(IMPLEMENTATIONS.get(word))
    return found.pop() if len(found) == 1 else None


def _kernels(path: Path, found: hls_network.Read) -> dict[str, Kernel]:
    """The files that hold real weights."""
    kernels = {}
    for name, number in found.numbers.items():
        layer = found.network[name]
        kernel = layer.weights["kernel"]
        rounding = kernel.quantizer
        file = path / "firmware" / "weights" / f"w{number}"
        files = [file.with_suffix(suffix) for suffix in (".txt", ".h")]
        chosen = next((one for one in files if one.is_file()), None)
        if chosen is None or rounding is None or rounding.integer is None:
            continue
        if layer.kind in hls_network.RECURRENT:
            continue
        n_out = kernel.shape[-1]
        fraction = round(rounding.bits - rounding.integer - rounding.signed)
        transposed = found.layers[name].get("strategy") == "resource"
        kernels[name] = Kernel(chosen, (kernel.size // n_out, n_out), fraction, transposed)
    return kernels


def values(kernel: Kernel) -> Any:
    """The weights of a layer (numpy, n_in x n_out); None where the file does not hold as many."""
    import numpy as np

    text = hls_text.text_of(kernel.path)
    if kernel.path.suffix == ".h":
        found = re.search(r"\[[^\]]*\]\s*=\s*\{([^}]*)\}", text)
        text = found[1] if found else ""
    numbers = re.findall(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", text)
    if len(numbers) != math.prod(kernel.shape):
        return None
    array = np.asarray(numbers, dtype=np.float64)
    if kernel.transposed:
        return array.reshape(kernel.shape[::-1]).T
    return array.reshape(kernel.shape)


class _Loader(yaml.SafeLoader):
    """A safe loader to which hls4ml's own tags (``!keras_model path``) are plain words."""


def _tagged(loader: Any, suffix: str, node: Any) -> Any:  # noqa: ARG001
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node)
    return loader.construct_mapping(node)


_Loader.add_multi_constructor("!", _tagged)


def _yaml(path: Path) -> dict[str, Any]:
    text = hls_text.text_of(path)
    if len(text) > 1_000_000:
        raise ModelError("expected at most 1 MB of YAML, found more", where=str(path))
    try:
        record = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        said = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ModelError(f"expected YAML: {said}", where=f"{path}{line}") from None
    if isinstance(record, dict) and "LayerName" in record and "HLSConfig" not in record:
        record = {"HLSConfig": record}  # what hls4ml's config_from_… functions give
    keys = ("HLSConfig", "ProjectName", "ClockPeriod", "IOType", "KerasModel", "KerasJson")
    if not isinstance(record, dict) or not any(key in record for key in keys):
        raise ModelError(
            "expected an hls4ml configuration (HLSConfig, ClockPeriod, IOType, …)",
            where=str(path),
            remedy="a recipe is for `edgeflow run`; a model is a .keras, .onnx or .tflite file",
        )
    return record


def _float(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None
