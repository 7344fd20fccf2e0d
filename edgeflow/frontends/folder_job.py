"""Writing a model folder: the draft of a Network that front ends fill, and its files.

Runs in every toolchain: it needs the standard library and numpy only.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow.errors import ModelError
from edgeflow.network import Layer, Network, Quantizer, Shape, Weight, count_macs

Arrays = dict[str, np.ndarray[Any, Any]]

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.\-]+")


def clean_name(name: str) -> str:
    """A layer name that Keras, file systems and C tools accept: ``/conv/Conv`` is ``conv_Conv``."""
    text = _NOT_IN_NAMES.sub("_", name.split(";", maxsplit=1)[0]).strip("_.-")
    return text or "layer"


class Draft:
    """A Network in the making.

    ``arrays`` holds what will be ``weights.npz``: ``LAYER/ROLE`` for weights, and
    ``LAYER/@integer`` (``@fraction``, ``@signed``; or ``LAYER/ROLE@integer`` …) where the bits of
    a fixed-point quantiser differ from element to element (HGQ2).
    """

    def __init__(self) -> None:
        self.layers: dict[str, Layer] = {}
        self.arrays: Arrays = {}

    def unique(self, name: str) -> str:
        """`name`, cleaned, and with a number behind it where it is taken."""
        stem = clean_name(name)
        found, count = stem, 1
        while found in self.layers:
            found, count = f"{stem}_{count}", count + 1
        return found

    def shape(self, name: str) -> Shape:
        """Output shape of a layer that was added."""
        return self.layers[name].output_shape

    def add(
        self,
        kind: str,
        name: str,
        inputs: Sequence[str],
        output_shape: Sequence[int | None],
        attributes: Mapping[str, Any] | None = None,
        weights: Mapping[str, Any] | None = None,
        quantizers: Mapping[str, Quantizer | None] | None = None,
        quantizer: Quantizer | None = None,
    ) -> str:
        """Add a layer; returns its (unique) name. `quantizers` are those of the weights by role."""
        name = self.unique(name)
        described: dict[str, Weight] = {}
        for role, values in (weights or {}).items():
            if values is None:
                continue
            array = np.ascontiguousarray(values, dtype=np.float32)
            self.arrays[f"{name}/{role}"] = array
            rounding = (quantizers or {}).get(role)
            described[role] = Weight(
                shape=tuple(array.shape),
                bits=rounding.bits if rounding else 32,
                nonzero=int(np.count_nonzero(array)),
                quantizer=rounding,
            )
        layer = Layer(
            name=name,
            kind=kind,
            inputs=tuple(inputs),
            input_shapes=tuple(self.shape(source) for source in inputs),
            output_shape=_shape(output_shape),
            attributes=plain(dict(attributes or {})),
            weights=described,
            quantizer=quantizer,
        )
        self.layers[name] = replace(layer, macs=count_macs(layer))
        return name

    def change(self, name: str, **fields: Any) -> None:
        """Replace fields of a layer (its quantizer, attributes …)."""
        self.layers[name] = replace(self.layers[name], **fields)

    def set_weight(
        self, name: str, role: str, values: Any, quantizer: Quantizer | None = None
    ) -> None:
        """Give a layer one more array, or another one for that role."""
        array = np.ascontiguousarray(values, dtype=np.float32)
        self.arrays[f"{name}/{role}"] = array
        weight = Weight(
            tuple(array.shape),
            quantizer.bits if quantizer else 32,
            int(np.count_nonzero(array)),
            quantizer,
        )
        layer = self.layers[name]
        self.layers[name] = replace(layer, weights={**layer.weights, role: weight})

    def finish(
        self, name: str, outputs: Sequence[str], source: Mapping[str, Any]
    ) -> tuple[Network, Arrays]:
        """The Network, and its weights.

        Raises:
            ModelError: weights that are NaN or infinite, naming each layer.
        """
        bad = sorted(
            {
                f"layer '{key.partition('/')[0]}': {key.partition('/')[2]} has "
                f"{int(np.size(array) - np.isfinite(array).sum())} values that are not finite"
                for key, array in self.arrays.items()
                if not np.isfinite(array).all()
            }
        )
        if bad:
            raise ModelError(
                "expected finite weights, found NaN or infinity",
                where=str(source.get("file", "")) or None,
                details=bad,
                remedy="train the model again: a lower learning rate or clipped gradients help",
            )
        network = Network(
            name=clean_name(name),
            layers=tuple(self.layers.values()),
            inputs=tuple(layer.name for layer in self.layers.values() if layer.kind == "input"),
            outputs=tuple(outputs),
            source=dict(source),
        )
        network.validate(str(source.get("file", "")) or None)
        return network, self.arrays


def write_folder(
    output: Path,
    network: Network,
    arrays: Mapping[str, Any],
    model_format: str,
    sources: Sequence[tuple[Path, str]] = (),
) -> None:
    """Write a model folder (see `edgeflow.frontends.model.Model`).

    `sources` are the original files with the names that they get in the folder, the model first.
    """
    output.mkdir(parents=True, exist_ok=True)
    network.save(output / "network.json")
    save_arrays(output / "weights.npz", arrays)
    record = {"format": model_format, "source": [name for _, name in sources]}
    (output / "model.json").write_text(json.dumps(record, indent=1) + "\n")
    for path, name in sources:
        shutil.copyfile(path, output / name)


def save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write an ``.npz``; the same arrays make the same bytes."""
    np.savez(path, **{name: np.asarray(array) for name, array in sorted(arrays.items())})  # type: ignore[arg-type]


def load_arrays(path: Path) -> Arrays:
    """Read an ``.npz`` without pickle."""
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def read_inputs(path: Path) -> np.ndarray[Any, Any]:
    """Array ``x`` of an ``.npz`` file, or of ``golden.npz`` or ``data.npz`` in a folder.

    Raises:
        ModelError: there is none.
    """
    if path.is_dir():
        named = [path / name for name in ("golden.npz", "data.npz") if (path / name).is_file()]
        path = named[0] if named else path / "golden.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            found: np.ndarray[Any, Any] = stored["x" if "x" in stored.files else "x_test"]
            return found
    except (OSError, KeyError, ValueError) as error:
        raise ModelError(
            f"expected an .npz file with an array 'x': {error}", where=path.name
        ) from None


def write_golden(
    output: Path,
    x: np.ndarray[Any, Any],
    y: np.ndarray[Any, Any],
    trace: Mapping[str, np.ndarray[Any, Any]],
    logits: np.ndarray[Any, Any] | None = None,
) -> dict[str, Any]:
    """Write a golden folder: ``golden.npz`` (x, y, logits) and ``trace.npz`` (outputs by layer)."""
    output.mkdir(parents=True, exist_ok=True)
    golden = {"x": x, "y": np.asarray(y, np.float32)}
    if logits is not None:
        golden["logits"] = np.asarray(logits, np.float32)
    save_arrays(output / "golden.npz", golden)
    save_arrays(
        output / "trace.npz", {name: np.asarray(v, np.float32) for name, v in trace.items()}
    )
    return {"inputs": int(x.shape[0]), "traced": len(trace)}


def _shape(shape: Sequence[Any]) -> Shape:
    return tuple(None if dim is None else int(dim) for dim in shape)


def plain(value: Any) -> Any:
    """The value as JSON holds it: numpy scalars and arrays as numbers and lists."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return value
