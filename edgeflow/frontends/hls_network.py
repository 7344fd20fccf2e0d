"""hls4ml's configuration structs as a Network.

`read` takes what `edgeflow.frontends.hls_text.read` or a ``hls4ml_firmware_config`` file gives.
Where a project's sources and its ``hls4ml_config.yml`` differ, the sources are what is built.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from edgeflow.errors import ModelError
from edgeflow.frontends import hls_structs as structs
from edgeflow.frontends import hls_types
from edgeflow.network import Layer, Network, Quantizer, Shape, Weight, count_macs

Record = Mapping[str, Any]

RECURRENT: Final = tuple(structs.GATES)
ROLES: Final = {"weight_t": "weight", "bias_t": "bias", "accum_t": "accum", "table_t": "table"}


@dataclass(frozen=True)
class Read:
    """A design: its Network, each layer's own hls4ml options (types, strategy, reuse factor), and
    the number that its weights' files have (``w2.txt``)."""

    network: Network
    layers: Mapping[str, Mapping[str, Any]]
    numbers: Mapping[str, int]
    streamed: bool | None


def read(record: Record, name: str, where: str | None = None) -> Read:
    """The Network of a design's structs.

    Raises:
        ModelError: naming every struct that lacks what its kind needs.
    """
    layers = record.get("layers")
    if not isinstance(layers, Sequence) or not layers:
        raise ModelError("expected layers' configurations, found none", where=where)
    try:
        chain = _Chain(record)
        steps = list(chain.steps())
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"the layers' configurations cannot be read: {error!r}", where=where
        ) from None
    faults = []
    for one, call in steps:
        try:
            chain.add(one, call)
        except (KeyError, TypeError, ValueError) as error:
            said = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else str(error)
            faults.append(f"{one.get('name')} ({one.get('kind')}): {said}")
    if faults or not chain.layers:
        raise ModelError(
            "the design's layers cannot be read",
            where=where,
            details=faults or ["no struct is a layer"],
            remedy="give the project's own firmware folder, as hls4ml wrote it",
        )
    return chain.finish(name, where)


class _Chain:
    """The layers in their order, joined by the top function's calls where they are known."""

    def __init__(self, record: Record) -> None:
        types = record.get("types")
        self.types: Record = types if isinstance(types, Mapping) else {}
        self.calls: Sequence[Record] = record.get("calls") or ()
        self.records: dict[str, Record] = {str(one["name"]): one for one in record["layers"]}
        self.layers: list[Layer] = []
        self.options: dict[str, dict[str, Any]] = {}
        self.numbers: dict[str, int] = {}
        self.made_by: dict[str, str] = {}

    def steps(self) -> list[tuple[Record, Record | None]]:
        """Each struct that is a layer of its own, with its call."""
        if self.calls:
            found = [(self.records.get(str(call["config"])), call) for call in self.calls]
            return [
                (one if one is not None else {"name": call["config"], "kind": "unknown"}, call)
                for one, call in found
            ]
        inner = {
            str(one[key])
            for one in self.records.values()
            for key in one
            if key.startswith(("mult_config", "ACT_CONFIG", "pointwise_config", "depthwise_config"))
        }
        return [
            (one, None)
            for name, one in self.records.items()
            if name not in inner
            and not name.endswith("_recr")
            and not re.fullmatch(r"tanh_config\d+", name)
        ]

    def _shapes(self, inputs: tuple[str, ...], made: structs.Made) -> tuple[Shape, ...]:
        """What each input is; those of a concatenation differ."""
        if made.kind != "concat":
            return (made.inside,) * len(inputs)
        by_name = {layer.name: layer for layer in self.layers}
        return tuple(by_name[name].output_shape for name in inputs)

    def add(self, record: Record, call: Record | None) -> None:
        """Make one struct a layer behind those it reads."""
        inputs, shape = self._inputs(call)
        made = structs.made(record, call, shape)
        if not self.layers:
            quantizer = hls_types.quantizer(str(((call or {}).get("types") or [""])[0]))
            quantizer = quantizer or self._type("input_t")
            self.layers.append(
                Layer("input", "input", output_shape=made.inside, quantizer=quantizer)
            )
            inputs = ("input",)
        elif math.prod(made.inside) == math.prod(shape) and len(made.inside) < len(shape):
            inputs = (self._flatten(inputs[0], made.inside),)
        name = self._name(record, call)
        number = _number(record)
        quantizer = self._output(call, number)
        weights = self._weights(record, made)
        layer = Layer(
            name, made.kind, inputs, self._shapes(inputs, made), made.outside,
            made.attributes, weights, quantizer,
        )  # fmt: skip
        own: dict[str, Any] = {}
        if "kernel" in weights:
            mult = self._mult(record)
            own["strategy"] = str(mult.get("strategy", record.get("strategy", "resource")))
            own["strategy"] = own["strategy"].rpartition("::")[2].lower()
            own["reuse_factor"] = int(mult["reuse_factor"])
            layer = replace(layer, attributes={**made.attributes, **own})
            named = str((call or {}).get("weights") or "").removeprefix("w")
            if named or number is not None:  # a pointwise convolution's struct has another number
                self.numbers[name] = int(named or number or 0)
        for key, role in ROLES.items():
            if key in record and (kind := hls_types.plain(str(record[key]))):
                own[role] = kind
        if quantizer is not None:
            own["result"] = _text(quantizer)
        self.options[name] = own
        self.layers.append(replace(layer, macs=count_macs(layer)))
        if call is not None:
            self.made_by[str(call["output"])] = name

    def finish(self, name: str, where: str | None) -> Read:
        """All of it."""
        if self.layers[-1].quantizer is None and (kind := self._type("result_t")) is not None:
            self.layers[-1] = replace(self.layers[-1], quantizer=kind)
            self.options[self.layers[-1].name]["result"] = _text(kind)
        read_names = {one for layer in self.layers for one in layer.inputs}
        outputs = tuple(one.name for one in self.layers if one.name not in read_names)
        network = Network(
            name, tuple(self.layers), ("input",), outputs, {"format": "hls4ml", "file": name}
        )
        network.validate(where)
        io = {str(one["io_type"]) for one in self.records.values() if "io_type" in one}
        streamed = None
        if any(word.endswith(("io_stream", "io_parallel")) for word in io):
            streamed = any(word.endswith("io_stream") for word in io)
        if any("array<" in str(kind) for kind in self.types.values()):
            streamed = True
        return Read(network, self.options, self.numbers, streamed)

    def _inputs(self, call: Record | None) -> tuple[tuple[str, ...], tuple[int, ...]]:
        if not self.layers:
            return (), ()
        last = self.layers[-1].name
        names = tuple(self.made_by.get(str(one), "input") for one in call["inputs"]) if call else ()
        names = names or (last,)
        by_name = {layer.name: layer for layer in self.layers}
        shape = by_name[names[0]].output_shape
        return names, tuple(dim or 1 for dim in shape)

    def _flatten(self, before: str, shape: tuple[int, ...]) -> str:
        source = next(layer for layer in self.layers if layer.name == before)
        name = f"flatten_{len(self.layers)}"
        self.layers.append(
            Layer(
                name, "flatten", (before,), (source.output_shape,), shape, {}, {}, source.quantizer
            )
        )
        return name

    def _name(self, record: Record, call: Record | None) -> str:
        name = str((call or {}).get("name") or record["name"])
        taken = {layer.name for layer in self.layers}
        return name if name not in taken else f"{name}_{len(self.layers)}"

    def _mult(self, record: Record) -> Record:
        for key in ("mult_config", "mult_config1"):
            if str(record.get(key)) in self.records:
                return self.records[str(record[key])]
        return record

    def _type(self, name: str) -> Quantizer | None:
        return hls_types.quantizer(str(self.types[name])) if name in self.types else None

    def _output(self, call: Record | None, number: int | None) -> Quantizer | None:
        if call is not None and len(call["types"]) > 1:
            return hls_types.quantizer(str(call["types"][-1]))
        return self._type(f"layer{number}_t")

    def _weights(self, record: Record, made: structs.Made) -> dict[str, Weight]:
        if made.kernel is None:
            return {}
        kind = str(record.get("weight_t", record.get("scale_t", "")))
        rounding = hls_types.quantizer(kind)
        bits = rounding.bits if rounding is not None else 32
        if any(str(name).startswith("h_") for name in self.types):
            bits = hls_types.mixed(bits)  # HGQ's layers: the type is that of the widest weight
        size = math.prod(made.kernel)
        zeros, used = record.get("n_zeros"), record.get("n_nonzeros")
        nonzero = used if isinstance(used, int) else None
        if nonzero is None and isinstance(zeros, int):
            nonzero = size - zeros
        if nonzero is not None and not 0 <= nonzero <= size:
            nonzero = None
        if made.kind == "batch_norm":
            return {role: Weight(made.kernel, bits, None, rounding) for role in ("gamma", "beta")}
        found = {"kernel": Weight(made.kernel, bits, nonzero, rounding)}
        if made.recurrent is not None:
            found["recurrent_kernel"] = Weight(made.recurrent, bits, None, rounding)
        if "bias_t" in record:
            bias = hls_types.quantizer(str(record["bias_t"]))
            found["bias"] = Weight(
                (made.kernel[-1],), bias.bits if bias is not None else 32, None, bias
            )
        return found


def _text(kind: Quantizer) -> str:
    sign = "" if kind.signed else "u"
    return f"ap_{sign}fixed<{kind.bits:g},{(kind.integer or 0) + kind.signed:g}>"


def _number(record: Record) -> int | None:
    found = re.search(r"(\d+)(?:_\w+)?$", str(record["name"]))
    return int(found[1]) if found else None
