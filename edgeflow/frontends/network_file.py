"""Network JSON that people write: layers with shapes and bits, and no weights.

What `edgeflow inspect --json` writes is read as it is. Beside it, a short form: what follows from
the rest may be left out (a layer's name, its inputs, its shapes, its kernel, its MACs), and whole
Networks may give one value for all layers. docs/estimates.md has the form with an example.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from edgeflow.errors import ModelError
from edgeflow.frontends import network_shapes
from edgeflow.frontends.hls_types import quantizer
from edgeflow.network import FORMAT, KINDS, WEIGHTED, Layer, Network, Quantizer, Weight, count_macs

DEFAULTS: Final = tuple(
    "bits weight_bits activation_bits precision strategy reuse_factor sparsity".split()
)
"""Keys of a layer that the Network may give for all layers."""

DESIGN: Final = ("io", "clock_mhz", "part", "compiler", "multipliers")
"""Keys of the Network that are options of the hls4ml backend, and what multiplications are bound to
(``dsp`` or ``logic``)."""

WHOLE: Final = frozenset(
    (*"format name source inputs outputs totals layers input_shape".split(), *DEFAULTS, *DESIGN)
)

LAYER: Final = frozenset(
    "name kind inputs input_shapes output_shape attributes weights quantizer macs parameters "
    "weight_bits activation_bits sparsity bits precision strategy reuse_factor nonzero activation "
    "use_bias".split()
)
"""Keys of a layer; those of `network_shapes.SETTINGS` are short for an entry of ``attributes``."""

ALIASES: Final = {
    "batchnorm": "batch_norm", "batchnormalization": "batch_norm", "inputlayer": "input",
    "fullyconnected": "dense", "linear": "dense", "qdense": "dense", "qconv2d": "conv2d",
    "averagepooling2d": "avg_pool2d", "averagepooling1d": "avg_pool1d",
    "maxpooling2d": "max_pool2d", "maxpooling1d": "max_pool1d",
    "globalaveragepooling2d": "global_avg_pool2d", "globalaveragepooling1d": "global_avg_pool1d",
    "leakyrelu": "leaky_relu", "upsampling2d": "upsample", "upsampling1d": "upsample",
    "zeropadding2d": "pad", "zeropadding1d": "pad", "concatenate": "concat",
}  # fmt: skip
"""Keras' names of kinds, in lower case without underscores."""

MAX_BYTES: Final = 50_000_000
FOREIGN: Final = (b'"class_name"', b'"keras_version"', b'_config"')
"""What a file that is no whole JSON has in its beginning where it is something else's."""

STRATEGIES: Final = ("latency", "resource", "resource_unrolled", "distributed_arithmetic")


def is_network(path: Path) -> bool:
    """Whether a file is a Network's JSON: of its format, or an object with ``layers`` that is no
    Keras model and no hls4ml configuration."""
    try:
        with path.open("rb") as stream:
            head = stream.read(4096)
    except OSError:
        return False
    if FORMAT.encode() in head:
        return True
    if head.lstrip()[:1] != b"{" or path.is_dir() or path.stat().st_size > MAX_BYTES:
        return False
    try:
        record = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError):
        return b'"layers"' in head and not any(word in head for word in FOREIGN)
    if not isinstance(record, dict) or "layers" not in record:
        return False
    layers = record["layers"]
    first = layers[0] if isinstance(layers, list) and layers else {}
    kind = str(first.get("kind", "")) if isinstance(first, dict) else ""
    return "class_name" not in record and not kind.endswith("_config")


def load(path: Path) -> tuple[Network, dict[str, Any]]:
    """The Network of a JSON file, and the hls4ml options that the file gives.

    Raises:
        ModelError: the file cannot be read, or its layers do not fit; every fault is named, with
            its line where the file is short enough to be looked through again.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        record = json.loads(text)
    except OSError as error:
        raise ModelError(f"cannot read the Network: {error.strerror}", where=str(path)) from None
    except RecursionError:
        raise ModelError("expected JSON, found nesting too deep", where=str(path)) from None
    except json.JSONDecodeError as error:
        raise ModelError(
            f"expected JSON: {error.msg}", where=f"{path}:{error.lineno}",
            remedy="correct the line, or the one before it (a comma is the usual cause)",
        ) from None  # fmt: skip
    except ValueError as error:
        raise ModelError(f"expected JSON in UTF-8: {error}", where=str(path)) from None
    return from_record(record, str(path), _line_finder(path))


def from_record(
    record: Any, where: str | None = None, line: Any = None
) -> tuple[Network, dict[str, Any]]:
    """The Network of plain data, and the hls4ml options that it gives.

    Raises:
        ModelError: naming every fault.
    """
    if not isinstance(record, Mapping) or not isinstance(record.get("layers"), list):
        raise ModelError(
            "expected a Network: an object with a list 'layers'",
            where=where,
            remedy="`edgeflow inspect MODEL --json` writes one; docs/estimates.md has a short form",
        )
    if not record["layers"]:
        raise ModelError("expected layers, found none", where=where)
    if record.get("format", FORMAT) != FORMAT:
        raise ModelError(
            f"expected a Network ('format': '{FORMAT}'), found {record['format']!r}", where=where
        )
    faults: list[tuple[int | None, str]] = [
        (None, f"unknown key '{key}'{_near(key, WHOLE)}") for key in record if key not in WHOLE
    ]
    faults += [
        (None, f"expected a list of layers' names for '{key}', found {record[key]!r}"[:120])
        for key in ("inputs", "outputs")
        if record.get(key) is not None and not _names(record[key])
    ]
    try:
        maker = _Maker(record)
    except _Fault as fault:
        raise ModelError(f"the Network has faults: {fault}", where=where) from None
    for index, item in enumerate(record["layers"]):
        try:
            maker.add(item)
        except _Follows:
            maker.broken.add(_name(item))
        except (_Fault, TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
            said = str(error) if isinstance(error, _Fault) else f"cannot be read: {error!r}"
            faults.append((index, f"{_called(index, item)}: {said}"))
            maker.broken.add(_name(item))
    if faults:
        details = [
            f"line {line(index)}: {text}" if line and index is not None and line(index) else text
            for index, text in faults
        ]
        raise ModelError("the Network has faults", where=where, details=details)
    if not isinstance(record.get("source") or {}, Mapping):
        raise ModelError(
            f"expected an object for 'source', found {record['source']!r}", where=where
        )
    network = maker.network(str(record.get("name") or Path(where or "network").stem))
    network.validate(where)
    return network, {key: record[key] for key in DESIGN if record.get(key) is not None}


def _names(given: Any) -> bool:
    return isinstance(given, list) and all(isinstance(name, str) for name in given)


class _Fault(Exception):
    """What is wrong with one layer."""


class _Follows(Exception):
    """A layer that only lacks what a layer before it, whose fault is told, would have made."""


class _Maker:
    """The layers as they come, each completed from those before."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.record = record
        self.defaults = {key: record[key] for key in DEFAULTS if record.get(key) is not None}
        self.layers: dict[str, Layer] = {}
        self.ends: dict[str, str] = {}
        self.broken: set[str | None] = set()
        shape = record.get("input_shape")
        first = record["layers"][0] if record["layers"] else {}
        if shape is not None and not (isinstance(first, Mapping) and first.get("kind") == "input"):
            self._input(shape)

    def _input(self, shape: Any, name: str = "input", **more: Any) -> None:
        self.layers[name] = Layer(
            name,
            "input",
            output_shape=_shape(shape),
            quantizer=self._rounding(more, weighted=False),
        )

    def add(self, item: Any) -> None:
        """Complete one layer and keep it.

        Raises:
            _Fault: with what is wrong.
        """
        if not isinstance(item, Mapping):
            raise _Fault(f"expected an object, found {item!r}"[:120])
        item = {str(key): value for key, value in item.items()}
        kind = _kind(item)
        settings = {**dict(item.get("attributes") or {})}
        for key, value in item.items():
            if key in network_shapes.SETTINGS:
                settings[key] = value
            elif key not in LAYER:
                known = (*LAYER, *network_shapes.SETTINGS)
                raise _Fault(f"unknown key '{key}'{_near(key, known)}")
        name = str(item.get("name") or f"{kind}_{len(self.layers)}")
        if name in self.layers:
            raise _Fault(f"a second layer is named '{name}'")
        inputs = self._inputs(item, kind)
        if not inputs and kind not in ("input", "constant"):
            shapes = item.get("input_shapes")
            if not shapes:
                raise _Fault(
                    "the first layer needs an 'input' layer before it, 'input_shapes', or the "
                    "Network's 'input_shape'"
                )
            self._input(shapes[0])
            inputs = ("input",)
        shapes = tuple(_shape(shape) for shape in item.get("input_shapes") or ())
        shapes = shapes or tuple(self.layers[one].output_shape for one in inputs)
        weights = {
            str(role): _weight(role, one, item) for role, one in (item.get("weights") or {}).items()
        }
        for key in ("strategy", "reuse_factor"):
            value = item.get(key, settings.get(key, self.defaults.get(key)))
            if value is not None and kind in WEIGHTED:
                settings[key] = _choice(key, value)
        layer = Layer(
            name, kind, inputs, shapes, _shape(item.get("output_shape") or ()), settings, weights
        )
        try:
            layer = network_shapes.completed(layer, given_output=bool(item.get("output_shape")))
        except ValueError as error:
            raise _Fault(str(error)) from None
        self._keep(layer, item)

    def _keep(self, layer: Layer, item: Mapping[str, Any]) -> None:
        """Keep a layer with its weights' bits and its MACs, and its activation behind it."""
        if _biased(layer, item):
            bias = Weight((layer.weights["kernel"].shape[-1],))
            layer = replace(layer, weights={**layer.weights, "bias": bias})
        layer = replace(layer, weights=self._weighted(layer, item))
        macs = item.get("macs")
        layer = replace(layer, macs=count_macs(layer) if macs is None else int(macs))
        function = str(item.get("activation") or "linear").lower()
        if function == "linear":
            rounding = self._rounding(item, layer.kind in WEIGHTED)
            self.layers[layer.name] = replace(layer, quantizer=rounding)
            return
        self.layers[layer.name] = layer
        after = {key: item[key] for key in ("activation_bits", "bits") if key in item}
        self.ends[layer.name] = end = f"{layer.name}_{function}"
        self.add({"kind": function, "name": end, "inputs": [layer.name], **after})

    def _inputs(self, item: Mapping[str, Any], kind: str) -> tuple[str, ...]:
        given = item.get("inputs")
        if given is None:
            last = next(reversed(self.layers), None)
            return () if kind in ("input", "constant") or last is None else (last,)
        names = (given,) if isinstance(given, str) else tuple(str(name) for name in given)
        if str(item.get("name")) not in self.ends.values():
            names = tuple(self.ends.get(name, name) for name in names)
        for name in names:
            if name in self.broken:
                raise _Follows
            if name not in self.layers:
                raise _Fault(f"reads '{name}', which no earlier layer makes")
        return names

    def _weighted(self, layer: Layer, item: Mapping[str, Any]) -> dict[str, Weight]:
        """The weights with the bits and zeros that the layer or the Network gives."""
        given = item.get("weights") or {}
        bits = self._bits(item, "weight_bits")
        rounding = None
        if (text := item.get("precision", self.defaults.get("precision"))) is not None:
            rounding = _type(text)
        zeros = item.get("sparsity", self.defaults.get("sparsity"))
        if zeros is not None and not 0 <= float(zeros) <= 1:
            raise _Fault(f"expected a sparsity from 0 to 1, found {zeros!r}")
        found = {}
        for role, weight in layer.weights.items():
            own = dict(given.get(role) or {})
            changes: dict[str, Any] = {}
            if rounding is not None and "bits" not in own:
                changes = {"bits": rounding.bits, "quantizer": rounding}
            elif bits is not None and "bits" not in own:
                changes = {"bits": bits}
            count = item.get("nonzero")
            if count is None and zeros is not None:
                count = round(weight.size * (1 - float(zeros)))
            if role.endswith("kernel") and weight.nonzero is None and count is not None:
                changes["nonzero"] = int(count)
            found[role] = replace(weight, **changes)
        return found

    def _rounding(self, item: Mapping[str, Any], weighted: bool) -> Quantizer | None:
        """How the output is rounded: the layer's own quantizer, or bits of activations.

        The Network's ``activation_bits`` are those that a layer without weights leaves behind; a
        product's sum keeps its own bits, unless the layer says otherwise.
        """
        if (own := item.get("quantizer")) is not None:
            return _quantizer(own)
        if (text := item.get("precision", self.defaults.get("precision"))) is not None:
            return _type(text)
        bits = self._bits(item, "activation_bits")
        if bits is None or (weighted and not item.get("activation_bits")):
            return None
        return None if bits >= 32 else Quantizer("fixed", bits)

    def _bits(self, item: Mapping[str, Any], key: str) -> float | None:
        """Bits by the layer (its own key, or ``bits`` for both), else by the Network."""
        for where in (item, self.defaults):
            for name in (key, "bits"):
                value = where.get(name)
                if value is None:
                    continue
                if isinstance(value, bool) or not isinstance(value, int | float):
                    raise _Fault(f"expected a number for '{name}', found {value!r}")
                if not 0 < value <= 64:
                    raise _Fault(f"expected 1 to 64 for '{name}', found {value}")
                return value
        return None

    def network(self, name: str) -> Network:
        """All of it."""
        layers = tuple(self.layers.values())
        read = {one for layer in layers for one in layer.inputs}
        inputs = self.record.get("inputs") or [one.name for one in layers if one.kind == "input"]
        named = [self.ends.get(name, name) for name in self.record.get("outputs") or ()]
        outputs = named or [one.name for one in layers if one.name not in read]
        source = {"format": "network", **dict(self.record.get("source") or {})}
        return Network(name, layers, tuple(inputs), tuple(outputs), source)


def _biased(layer: Layer, item: Mapping[str, Any]) -> bool:
    """Whether a layer gets a bias: as in Keras, where its kernel is not given."""
    if layer.kind not in WEIGHTED or "bias" in layer.weights or "kernel" not in layer.weights:
        return False
    wanted = item.get("use_bias")
    if wanted is not None:
        return bool(wanted)
    return not item.get("weights") and layer.kind not in ("lstm", "gru", "simple_rnn")


def _kind(item: dict[str, Any]) -> str:
    """The kind by the Network's word; an ``activation`` layer becomes its function's."""
    kind = item.get("kind")
    if str(kind).lower() == "activation" and item.get("activation"):
        kind = item.pop("activation")
    if not isinstance(kind, str):
        raise _Fault("the key 'kind' is missing (dense, conv2d, relu, …)")
    plain = kind.lower().replace("_", "")
    found = kind if kind in KINDS else ALIASES.get(plain)
    found = found or next((one for one in KINDS if one.replace("_", "") == plain), None)
    if found is None:
        raise _Fault(f"unknown kind '{kind}'{_near(kind, KINDS)}")
    return found


def _name(item: Any) -> str | None:
    return str(item["name"]) if isinstance(item, Mapping) and item.get("name") else None


def _called(index: int, item: Any) -> str:
    name = _name(item)
    return f"layer {index + 1}" + (f" '{name}'" if name else "")


def _shape(given: Any) -> tuple[int | None, ...]:
    given = [given] if isinstance(given, int) else given
    if not isinstance(given, list | tuple) or not all(
        dim is None or (isinstance(dim, int) and not isinstance(dim, bool) and dim > 0)
        for dim in given
    ):
        raise _Fault(f"expected a shape of whole numbers above 0, found {given!r}"[:120])
    return tuple(given)


def _weight(role: str, given: Any, item: Mapping[str, Any]) -> Weight:
    shape = given.get("shape") if isinstance(given, Mapping) else given
    if shape is None:
        raise _Fault(f"the weight '{role}' has no shape")
    one = given if isinstance(given, Mapping) else {}
    bits = one.get("bits", item.get("weight_bits", item.get("bits", 32)))
    if isinstance(bits, bool) or not isinstance(bits, int | float):
        raise _Fault(f"expected a number for the bits of '{role}', found {bits!r}")
    rounding = one.get("quantizer")
    return Weight(
        tuple(dim or 1 for dim in _shape(shape)), bits, one.get("nonzero"),
        _quantizer(rounding) if rounding is not None else None,
    )  # fmt: skip


def _quantizer(given: Any) -> Quantizer:
    if isinstance(given, str):
        return _type(given)
    fields = dict(given)
    for name in ("scale", "zero_point"):
        if isinstance(fields.get(name), list):
            fields[name] = tuple(fields[name])
    if "kind" not in fields:
        fields["kind"] = "fixed"
    return Quantizer(**fields)


def _type(text: Any) -> Quantizer:
    found = quantizer(str(text))
    if found is None:
        raise _Fault(f"expected a type such as ap_fixed<16,6>, found {text!r}")
    return found


def _choice(key: str, value: Any) -> Any:
    if key == "strategy":
        word = str(value).lower()
        if word not in STRATEGIES:
            raise _Fault(f"unknown strategy '{value}'{_near(word, STRATEGIES)}")
        return word
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _Fault(f"expected a reuse_factor from 1, found {value!r}")
    return value


def _near(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name.lower(), sorted(known), n=1, cutoff=0.6)
    return f" (did you mean '{near[0]}'?)" if near else ""


def _line_finder(path: Path) -> Any:
    """A function from a layer's index to its line; it reads the file again, so for faults alone."""
    found: list[Any] = []

    def line(index: int) -> int | None:
        if not found:
            from edgeflow import yamlfile

            try:
                found.append(yamlfile.read(path, ModelError)[1])
            except ModelError:  # too long: the layer's number must do
                found.append(None)
        return found[0].at(("layers", index)) if found[0] is not None else None

    return line
