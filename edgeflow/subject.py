"""What an estimate is of: a Network, and all else that its files tell of the design.

A model's file has weights, whose digits an FPGA design is made of; an hls4ml project has types,
strategy, reuse factors, part and clock as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import astuple, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from edgeflow.errors import ModelError
from edgeflow.estimate import hls_digits
from edgeflow.frontends import hls_project, hls_types, loader, network_file
from edgeflow.jobs import Runner
from edgeflow.network import Layer, Network

DIGITS_KINDS: Final = ("dense", "conv1d", "conv2d")
CHOOSABLE: Final = (*DIGITS_KINDS, "lstm", "gru")
"""Kinds that have a strategy and a reuse factor."""

LARGEST: Final = 4_000_000
"""Weights of a layer that are gone through one by one; digits of more are expected, not counted."""


@dataclass(frozen=True)
class Subject:
    """What is estimated.

    ``options`` are the hls4ml backend's that come with it; ``weights`` an ``.npz`` of arrays
    ``LAYER/ROLE``; ``kernels`` where a project's weights stand. ``design``: it is a finished
    hls4ml project, which needs no check of whether hls4ml could make it. ``multipliers``:
    what it binds them to, ``dsp`` or ``logic``. ``counted`` keeps digits by layer, type and bits.
    """

    network: Network
    options: Mapping[str, Any] = field(default_factory=dict)
    weights: Path | None = None
    kernels: Mapping[str, hls_project.Kernel] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    design: bool = False
    multipliers: str | None = None
    counted: dict[tuple[str, str, int], list[float]] = field(
        default_factory=dict, compare=False, repr=False
    )

    @cached_property
    def values(self) -> dict[str, Any]:
        """The kernels whose digits are counted (numpy, outputs last), by layer; read once."""
        return _values(self)


def read(paths: Sequence[Path], runner: Callable[[], AbstractContextManager[Runner]]) -> Subject:
    """Read a model, a Network JSON, or an hls4ml project or configuration.

    Args:
        paths: one file or folder; a model's weights, or an hls4ml yml's model, beside it.
        runner: where a model's front end runs; opened only for a model.

    Raises:
        ModelError: it cannot be read.
    """
    paths = list(paths)
    for path in paths:
        if not path.exists():
            raise ModelError("the file or folder does not exist", where=str(path))
    if len(paths) == 1 and network_file.is_network(paths[0]):
        network, options = network_file.load(paths[0])
        bound = options.pop("multipliers", None)
        return Subject(network, options, multipliers=bound)
    ours = [path for path in paths if hls_project.is_project(path)]
    if not ours:
        with runner() as chosen:
            model = loader.load(paths, chosen)
        return Subject(model.network, weights=model.weights)
    rest = tuple(path for path in paths if path not in ours)
    project = hls_project.read(ours[0], rest)
    if project.network is not None:
        return Subject(
            project.network,
            project.options,
            None,
            project.kernels,
            project.notes,
            design=True,
            multipliers=project.multipliers,
        )
    with runner() as chosen:
        model = loader.load(project.models, chosen)
    options, notes = _of_model(project.options, model.network)
    return Subject(model.network, options, model.weights, notes=(*project.notes, *notes))


def _of_model(options: Mapping[str, Any], network: Network) -> tuple[dict[str, Any], list[str]]:
    """A yml's options for the layers that the model has; hls4ml knows some by other names."""
    layers = dict(options.get("layers") or {})
    names = set(network.by_name)
    lost = sorted(set(layers) - names)
    kept = {}
    for name in names & set(layers):
        own, choices = layers[name], network[name].kind in CHOOSABLE
        kept[name] = {
            key: value
            for key, value in own.items()
            if choices or key not in ("strategy", "reuse_factor")
        }
    notes = []
    if lost and not kept:
        raise ModelError(
            "none of the configuration's layers is in the model",
            details=[f"the configuration has {', '.join(lost[:8])}",
                     f"the model has {', '.join(list(names)[:8])}"],
        )  # fmt: skip
    if lost:
        notes.append(f"layers of the configuration that are not the model's: {', '.join(lost)}")
    return {**options, "layers": kept}, notes


def digits(subject: Subject, options: Mapping[str, Any]) -> dict[str, list[float]]:
    """The digits of the real weights (`edgeflow.estimate.hls_digits`), by layer.

    Each is counted once per subject and type, so that what-if questions are quick.

    Args:
        subject: with weights; empty without.
        options: the hls4ml backend's, whose types of weights win over the model's.
    """
    own, found = options.get("layers") or {}, {}
    for name, values in subject.values.items():
        kernel = subject.kernels.get(name)
        given = (own.get(name) or {}).get("weight") or (own.get(name) or {}).get("precision")
        given = given or (options.get("precision") if kernel is None else None)
        bits = int(options.get("bits", 18))
        key = (name, str(given), bits)
        if key not in subject.counted:
            fraction = _fraction(subject.network[name], values, given, bits)
            counts = astuple(hls_digits.of_array(values, fraction))[:-1]
            subject.counted[key] = [float(count) for count in counts]
        found[name] = subject.counted[key]
    return found


def _values(subject: Subject) -> dict[str, Any]:
    """The kernels by layer, as they stand in a project's text or a model's arrays."""
    found = {name: hls_project.values(kernel) for name, kernel in subject.kernels.items()}
    if subject.weights is not None:
        import numpy as np

        with np.load(subject.weights, allow_pickle=False) as arrays:
            for layer in subject.network:
                key = f"{layer.name}/kernel"
                if layer.kind in DIGITS_KINDS and key in arrays:
                    found[layer.name] = arrays[key]
    return {
        name: array for name, array in found.items() if array is not None and array.size <= LARGEST
    }


def _fraction(layer: Layer, values: Any, given: Any, bits: int) -> int:
    """Bits behind the point: of the type that is given, the quantiser's, or the values' own."""
    import numpy as np

    quantizer = hls_types.quantizer(str(given)) if given else None
    quantizer = quantizer or layer.weights["kernel"].quantizer
    if quantizer is not None and quantizer.kind == "fixed" and quantizer.integer is not None:
        return math.ceil(quantizer.bits - quantizer.integer - quantizer.signed)
    exact = next((f for f in range(bits) if not np.any(np.mod(values * 2.0**f, 1.0))), None)
    if exact is not None:
        return exact
    largest = float(np.max(np.abs(values)))
    return bits - 1 - math.ceil(math.log2(largest))
