"""The ways to compress a model, by the name that a recipe gives: their options and their jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from edgeflow import validation
from edgeflow.errors import RecipeError
from edgeflow.frontends.model import Model
from edgeflow.jobs import Job
from edgeflow.network import Network


class _Training(BaseModel):
    """How to retrain; the same for every method."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(30, ge=0, le=100_000, description="at most this many passes")
    batch_size: int = Field(32, ge=1, description="samples per step")
    learning_rate: float = Field(0.002, gt=0, description="of Adam, at the start")
    patience: int = Field(10, ge=1, description="stop after so many epochs without improvement")
    validation_fraction: float = Field(0.15, gt=0, lt=1, description="of the training data")
    seed: int | None = Field(None, ge=0, description="default: the recipe's")


class _Layer(BaseModel):
    """Bits of one layer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bits: int | None = Field(None, ge=2, le=32, description="of weights and activations")
    weight_bits: int | None = Field(None, ge=2, le=32, description="of the kernel")
    bias_bits: int | None = Field(None, ge=2, le=32, description="of the bias")
    activation_bits: int | None = Field(None, ge=2, le=32, description="of the output")
    integer: int | None = Field(
        None, ge=-16, le=31, description="integer bits of the kernel; default: from its values"
    )
    activation_integer: int | None = Field(
        None, ge=-16, le=31, description="integer bits of the output; default: from its values"
    )


class _FixedPoint(_Training):
    """Fixed point, with bits from the recipe."""

    bits: int = Field(6, ge=2, le=32, description="of weights and activations")
    weight_bits: int | None = Field(None, ge=2, le=32, description="of kernels; default: bits")
    bias_bits: int | None = Field(None, ge=2, le=32, description="default: weight_bits")
    activation_bits: int | None = Field(None, ge=2, le=32, description="default: bits")
    input_bits: int | None = Field(None, ge=2, le=32, description="default: as given")
    layers: dict[str, _Layer] = Field(default_factory=dict, description="the same by layer")


class _Hgq2(_FixedPoint):
    """Fixed point, or bits that are learnt."""

    bits: int | Literal["auto"] = Field(  # type: ignore[assignment]
        6, description="of weights and activations; auto: HGQ2 learns them"
    )
    beta: float = Field(1e-5, ge=0, description="weight of the bit operations; for bits: auto")


class _Int8(_Training):
    """TFLite's int8 arithmetic."""

    bits: Literal[8] = Field(8, description="int8 has no other")
    epochs: int = Field(15, ge=0, le=100_000, description="at most this many passes")
    learning_rate: float = Field(0.001, gt=0, description="of Adam, at the start")


class _None(BaseModel):
    """The model as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)


OPTIONS: Mapping[str, type[BaseModel]] = {
    "qkeras": _FixedPoint,
    "hgq2": _Hgq2,
    "int8": _Int8,
    "none": _None,
}
"""What each method's options are."""

_JOBS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "qkeras": (
        "edgeflow.compress.qkeras_job:retrain",
        "qkeras",
        ("tensorflow", "tf_keras", "qkeras"),
    ),
    "hgq2": ("edgeflow.compress.hgq2_job:retrain", "keras", ("tensorflow", "keras", "hgq")),
    "int8": ("edgeflow.compress.int8_job:retrain", "keras", ("tensorflow", "keras")),
}


def names() -> list[str]:
    """The methods that a recipe may name."""
    return list(OPTIONS)


def home(method: str) -> tuple[str, tuple[str, ...]] | None:
    """The toolchain of a method and the modules that its job imports; None for ``none``."""
    return _JOBS[method][1:] if method in _JOBS else None


def schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema of each method's options."""
    return {name: kind.model_json_schema() for name, kind in OPTIONS.items()}


def options(method: str, given: Mapping[str, Any], where: str = "compress") -> dict[str, Any]:
    """Check a method's options and fill in the defaults.

    Raises:
        RecipeError: an unknown method, an unknown option or a wrong value, all at once, each with
            the nearest known name.
    """
    if method not in OPTIONS:
        raise RecipeError(
            f"expected a method of {', '.join(OPTIONS)}, found '{method}'"
            f" ({validation.suggest(method, OPTIONS)})",
            where=where,
        )
    return validation.options(OPTIONS[method], given, where, exclude_none=True)


def expected(network: Network, method: str, options: Mapping[str, Any]) -> Network:
    """The Network that retraining will leave, as far as its kernels' bits go: for checks before it.

    A layer's own bits go before the method's; bits that are learnt count as 8.
    """
    if method == "none":
        return network
    layers = []
    for layer in network:
        own = (options.get("layers") or {}).get(layer.name) or {}
        bits = own.get("weight_bits") or own.get("bits") or options.get("weight_bits")
        bits = bits or options["bits"]
        weights = {
            role: replace(weight, bits=8 if bits == "auto" else bits)
            if role.endswith("kernel") and weight.bits >= 32
            else weight
            for role, weight in layer.weights.items()
        }
        layers.append(replace(layer, weights=weights))
    return network.with_layers(tuple(layers))


def job(
    method: str,
    model: Model,
    data: Path,
    options: Mapping[str, Any],
    title: str | None = None,
    timeout: float = 6 * 3600,
) -> Job:
    """The job that retrains `model` on the dataset folder `data`; leaves a Model folder.

    ``options`` has passed `options`; the pipeline adds the ``seed``.

    Raises:
        RecipeError: a layer that the options name is not in the model.
        KeyError: `method` is ``none`` or unknown.
    """
    entry, toolchain, imports = _JOBS[method]
    known = [layer.name for layer in model.network]
    wrong = [
        f"the model has no layer '{name}' ({validation.suggest(name, known)})"
        for name in options.get("layers") or ()
        if name not in known
    ]
    if wrong:
        raise RecipeError(
            wrong[0],
            where="compress.layers",
            details=wrong[1:],
            remedy="`edgeflow inspect MODEL` prints the layers",
        )
    return Job(
        entry=entry,
        toolchain=toolchain,
        title=title or f"retrain ({method})",
        inputs={"model": model.path, "data": data},
        params=dict(options),
        imports=imports,
        timeout=timeout,
    )


def train_job(
    data: Path,
    params: Mapping[str, Any],
    title: str = "train the model",
    timeout: float = 6 * 3600,
) -> Job:
    """The job that trains a float model from ``params["layers"]``; leaves a Model folder."""
    return Job(
        entry="edgeflow.compress.train_job:train",
        toolchain="keras",
        title=title,
        inputs={"data": data},
        params=dict(params),
        imports=("tensorflow", "keras"),
        timeout=timeout,
    )
