"""A target described where it is named: ``--target '{like: pynq-z2, name: mine, clock_mhz: 150}'``.

The description is YAML of a target file's keys, of which most may be left out; figures may be plain
numbers. With ``like``, all that it does not say is taken from that target.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from edgeflow import parts, targets, yamlfile
from edgeflow.errors import TargetError
from edgeflow.targets import FORMAT, SECTIONS, Target

GIVEN: Final = "description"
WHERE: Final = "--target"
BACKENDS: Final = {
    "fpga": ["hls4ml", "rtl"],
    "mcu": ["tflite", "cortex_m"],
    "linux_board": ["tflite", "onnxruntime"],
    "npu": ["edge_tpu", "tflite"],
    "tpu": ["tpu"],
}
"""Of a kind of target, where the description names none."""


def is_description(text: str) -> bool:
    """Whether a target's name is a description."""
    return text.lstrip().startswith("{")


def target(text: str) -> Target:
    """The target that a text describes.

    Raises:
        TargetError: it is not YAML, or the target cannot be; every fault is named.
    """
    if len(text) > yamlfile.MAX_BYTES:
        raise TargetError("the description is too long", where=WHERE)
    try:
        given = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        said = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise TargetError(
            f"expected a description such as {{like: pynq-z2, clock_mhz: 150}}: {said}", where=WHERE
        ) from None
    if not isinstance(given, dict):
        raise TargetError("expected keys and values in braces", where=WHERE)
    data = _base(given.pop("like", None))
    for key, value in given.items():
        data[key] = _section(data, key, value) if key in SECTIONS else value
    _complete(data)
    return targets.from_data(data, f"{data['name']}.yaml")


def _base(like: Any) -> dict[str, Any]:
    """The data of the target that it is like."""
    if like is None:
        return {"name": "described"}
    path = targets.load(str(like)).where
    data: dict[str, Any] = dict(yamlfile.read(Path(path), TargetError)[0])
    data["title"] = f"like {data['title']}"
    return data


def _section(data: dict[str, Any], key: str, value: Any) -> Any:
    """Figures, plain numbers made whole, over those that are there."""
    if not isinstance(value, Mapping):
        return value
    before = dict(data.get(key) or {})
    unknown = dict(data.get("unknown") or {})
    for name, figure in value.items():
        unknown.pop(name, None)
        if isinstance(figure, int | float) and not isinstance(figure, bool):
            before[name] = {"value": figure, "source": GIVEN}
        else:
            before[name] = figure
            if figure is None:
                unknown[str(name)] = "not known by the description"
    if unknown or "unknown" in data:
        data["unknown"] = unknown
    return before


def _complete(data: dict[str, Any]) -> None:
    """What may be left out."""
    data["name"] = str(data.get("name", "described"))
    data.setdefault("format", FORMAT)
    data.setdefault("title", data["name"])
    data.setdefault("vendor", "described by the user")
    if data.get("kind") == "fpga" and "chip" not in data:
        raise TargetError("expected an FPGA's part, such as chip: xc7z020clg400-1", where=WHERE)
    data.setdefault("chip", data["name"])
    if isinstance(data.get("kind"), str) and data["kind"] in BACKENDS:
        data.setdefault("backends", BACKENDS[data["kind"]])
    if data.get("kind") == "fpga" and "architecture" not in data:
        data["architecture"] = parts.architecture(str(data["chip"]))
    sources = dict(data.get("sources") or {})
    sources.setdefault(GIVEN, "the user's description of the target")
    data["sources"] = sources
