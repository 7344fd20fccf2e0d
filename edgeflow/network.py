"""The Network: what a model computes, as plain data that every stage reads.

A front end turns a model file into a Network (this module's dataclasses, stored as JSON) and an
``.npz`` of weights. Estimators, backends' checks and the retraining read only these, so they work
alike for Keras, QKeras, HGQ2, ONNX and TFLite models, and need no framework.

Conventions:
    * A layer does one thing: ``Dense(activation="relu")`` is a ``dense`` and a ``relu`` layer.
    * A layer has one output tensor, named like the layer. Shapes leave out the batch dimension;
      ``None`` is a dimension that is not known.
    * Images are channels last. Kernels are laid out as in Keras: dense ``(in, out)``, conv
      ``(*window, in / groups, out)``, depthwise ``(*window, channels, multiplier)``.
    * Weights are in the ``.npz`` under ``LAYER/ROLE`` with ``/`` in layer names kept as it is.

The module uses the standard library alone, because jobs import it inside their toolchains.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from edgeflow.errors import ModelError

FORMAT: Final = "edgeflow.network/1"

Shape = tuple[int | None, ...]

ACTIVATIONS: Final = frozenset(
    """
    relu leaky_relu prelu elu selu gelu sigmoid hard_sigmoid tanh hard_tanh softmax
    softplus softsign silu hard_silu exponential log_softmax thresholded_relu
    """.split()
)
"""Kinds that apply a function to each element (softmax: along the last axis)."""

KINDS: Final = ACTIVATIONS | frozenset(
    """
    input dense conv1d conv2d depthwise_conv1d depthwise_conv2d conv1d_transpose
    conv2d_transpose batch_norm layer_norm max_pool1d max_pool2d avg_pool1d avg_pool2d
    global_avg_pool1d global_avg_pool2d global_max_pool1d global_max_pool2d flatten
    reshape transpose pad crop upsample resize_bilinear slice concat add sub mul div
    maximum minimum average matmul mean max sum lstm gru simple_rnn embedding scale
    constant quantize dequantize identity opaque
    """.split()
)
"""Every kind of layer. ``opaque`` is an operation that edgeflow does not know; its
``attributes["type"]`` names it, and every backend's check refuses it."""

WEIGHTED: Final = frozenset(
    """
    dense conv1d conv2d depthwise_conv1d depthwise_conv2d conv1d_transpose
    conv2d_transpose lstm gru simple_rnn
    """.split()
)
"""Kinds whose kernels multiply activations: those a compiler turns into multipliers."""


PASSING: Final = frozenset("flatten reshape quantize dequantize identity".split())
"""Kinds that pass values on as they are, but for another shape or a rounding."""


@dataclass(frozen=True)
class Quantizer:
    """How a tensor is rounded to few bits.

    ``kind="fixed"``: value = q * 2**-(bits - integer - signed) with ``integer`` bits before the
    point, the sign not counted (the convention of QKeras). ``kind="affine"``: value =
    scale * (q - zero_point), per tensor, or per channel along ``axis`` (TFLite, ONNX).
    ``binary``: +-scale; ``ternary``: 0, +-scale; ``po2``: +-2**k; ``float``: floating point of
    ``bits`` bits. ``bits`` may be fractional where precision differs within the tensor (HGQ2);
    it is the mean.
    """

    kind: str
    bits: float
    signed: bool = True
    integer: float | None = None
    narrow: bool = False
    rounding: str | None = None
    overflow: str | None = None
    scale: tuple[float, ...] | None = None
    zero_point: tuple[int, ...] | None = None
    axis: int | None = None


@dataclass(frozen=True)
class Weight:
    """One array of a layer's weights: its shape, how many elements are not 0, how it is rounded.

    ``bits`` is what an element takes when stored; ``nonzero`` is None where no values are known.
    """

    shape: tuple[int, ...]
    bits: float = 32
    nonzero: int | None = None
    quantizer: Quantizer | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Layer:
    """One operation of the Network.

    ``inputs`` names the layers whose outputs it reads. ``attributes`` holds the operation's own
    settings under Keras' names (``strides``, ``padding``, ``pool_size``, ``axis``, …).
    ``quantizer`` is how its output is rounded, None where it stays as computed. ``macs`` counts
    the multiply-accumulates of one inference (batch 1).
    """

    name: str
    kind: str
    inputs: tuple[str, ...] = ()
    input_shapes: tuple[Shape, ...] = ()
    output_shape: Shape = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, Weight] = field(default_factory=dict)
    quantizer: Quantizer | None = None
    macs: int = 0

    @property
    def parameters(self) -> int:
        """Number of weight elements, trained or not."""
        return sum(weight.size for weight in self.weights.values())

    @property
    def weight_bits(self) -> float | None:
        """Bits of a kernel's element; None for a layer without weights."""
        weight = self.weights.get("kernel") or next(iter(self.weights.values()), None)
        return weight.bits if weight else None

    @property
    def activation_bits(self) -> float:
        """Bits of an element of the output."""
        return self.quantizer.bits if self.quantizer else 32

    @property
    def sparsity(self) -> float | None:
        """Fraction of the kernels' elements that are 0; None where that is not known."""
        kernels = [w for role, w in self.weights.items() if role.endswith("kernel")]
        total = sum(kernel.size for kernel in kernels)
        if not total or any(kernel.nonzero is None for kernel in kernels):
            return None
        return 1 - sum(kernel.nonzero or 0 for kernel in kernels) / total

    @property
    def output_size(self) -> int:
        """Elements of the output, unknown dimensions counted as 1."""
        return math.prod(dim or 1 for dim in self.output_shape)


@dataclass(frozen=True)
class Totals:
    """Sums over a Network; memory in bytes, peak activations while running layer by layer."""

    macs: int
    parameters: int
    weight_bytes: float
    activation_bytes: float
    nonzero_parameters: int | None


@dataclass(frozen=True)
class Network:
    """A model as layers in an order in which they can be computed.

    ``source`` says what it was read from: ``format`` (``keras3``, ``keras2``, ``qkeras``,
    ``qkeras_v3``, ``hgq2``, ``onnx``, ``qonnx``, ``tflite``), ``file`` (its name), ``sha256``.
    """

    name: str
    layers: tuple[Layer, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    source: Mapping[str, Any] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    @cached_property
    def by_name(self) -> Mapping[str, Layer]:
        """The layers by their names."""
        return {layer.name: layer for layer in self.layers}

    def __getitem__(self, name: str) -> Layer:
        return self.by_name[name]

    @cached_property
    def consumers(self) -> Mapping[str, tuple[Layer, ...]]:
        """For each layer's name, the layers that read its output."""
        found: dict[str, list[Layer]] = {layer.name: [] for layer in self.layers}
        for layer in self.layers:
            for name in layer.inputs:
                found[name].append(layer)
        return {name: tuple(layers) for name, layers in found.items()}

    @property
    def quantized(self) -> bool:
        """Whether any kernel is rounded to fewer than 16 bits."""
        return any((layer.weight_bits or 32) < 16 for layer in self.layers)

    @cached_property
    def logits(self) -> str | None:
        """The layer whose output enters the softmax that the model ends in; None without one."""
        if len(self.outputs) != 1:
            return None
        layer = self[self.outputs[0]]
        while layer.kind in PASSING and len(layer.inputs) == 1:
            layer = self[layer.inputs[0]]
        return layer.inputs[0] if layer.kind == "softmax" else None

    @cached_property
    def totals(self) -> Totals:
        """Sums over all layers.

        Peak activation memory is that of the layer whose inputs and output, together with every
        tensor still awaited later, take the most bytes (the order of the layers as it stands).
        """
        weights = [weight for layer in self.layers for weight in layer.weights.values()]
        nonzero = [weight.nonzero for weight in weights]
        return Totals(
            macs=sum(layer.macs for layer in self.layers),
            parameters=sum(weight.size for weight in weights),
            weight_bytes=sum(weight.size * weight.bits for weight in weights) / 8,
            activation_bytes=self._peak_activation_bytes(),
            nonzero_parameters=(
                None if None in nonzero else sum(count for count in nonzero if count is not None)
            ),
        )

    def _peak_activation_bytes(self) -> float:
        last_use = {name: len(self.layers) for name in self.outputs}
        for index, layer in enumerate(self.layers):
            for name in layer.inputs:
                last_use[name] = max(last_use.get(name, 0), index)
        alive: dict[str, float] = {}
        peak = 0.0
        for index, layer in enumerate(self.layers):
            alive[layer.name] = layer.output_size * layer.activation_bits / 8
            peak = max(peak, sum(alive.values()))
            for name in [n for n in alive if last_use.get(n, index) <= index]:
                del alive[name]
        return peak

    def with_layers(self, layers: tuple[Layer, ...]) -> Network:
        """The same Network with other layers."""
        return replace(self, layers=layers)

    def to_json(self) -> dict[str, Any]:
        """Plain data: `Network.from_json` gives the same Network back."""
        return {
            "format": FORMAT,
            "name": self.name,
            "source": dict(self.source),
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
            "totals": asdict(self.totals),
            "layers": [_layer_to_json(layer) for layer in self.layers],
        }

    def save(self, path: Path) -> None:
        """Write the Network as JSON."""
        path.write_text(json.dumps(self.to_json(), indent=1) + "\n")

    @classmethod
    def from_json(cls, record: Any, where: str | None = None) -> Network:
        """Read what `to_json` wrote.

        Raises:
            ModelError: the record is not a Network, or its layers do not fit together.
        """
        if not isinstance(record, Mapping) or record.get("format") != FORMAT:
            found = record.get("format") if isinstance(record, Mapping) else type(record).__name__
            raise ModelError(
                f"expected a Network ('format': '{FORMAT}'), found {found!r}",
                where=where,
                remedy="write one with `edgeflow inspect MODEL --json`",
            )
        try:
            layers = tuple(_layer_from_json(item) for item in record["layers"])
            network = cls(
                name=str(record["name"]),
                layers=layers,
                inputs=tuple(record["inputs"]),
                outputs=tuple(record["outputs"]),
                source=dict(record.get("source", {})),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(
                f"the Network lacks or misuses a field: {type(error).__name__}: {error}",
                where=where,
            ) from None
        network.validate(where)
        return network

    @classmethod
    def load(cls, path: Path) -> Network:
        """Read a Network's JSON file.

        Raises:
            ModelError: the file is missing, is not JSON, or is not a Network.
        """
        try:
            record = json.loads(path.read_text())
        except OSError as error:
            raise ModelError(
                f"cannot read the Network: {error.strerror}", where=str(path)
            ) from None
        except ValueError as error:
            raise ModelError(f"expected JSON: {error}", where=str(path)) from None
        return cls.from_json(record, where=str(path))

    def validate(self, where: str | None = None) -> None:
        """Check that names are unique, kinds known, and every input computed before its use.

        Raises:
            ModelError: naming every fault found.
        """
        seen: set[str] = set()
        faults: list[str] = []
        for layer in self.layers:
            if layer.name in seen:
                faults.append(f"two layers are named '{layer.name}'")
            if layer.kind not in KINDS:
                faults.append(f"layer '{layer.name}' has unknown kind '{layer.kind}'")
            faults += [
                f"layer '{layer.name}' reads '{name}', which no earlier layer makes"
                for name in layer.inputs
                if name not in seen
            ]
            faults += _impossible(layer)
            seen.add(layer.name)
        faults += [
            f"the Network's input or output '{name}' is not a layer"
            for name in (*self.inputs, *self.outputs)
            if name not in seen
        ]
        if faults:
            raise ModelError("the Network does not fit together", where=where, details=faults)


def _impossible(layer: Layer) -> list[str]:
    """Sizes and counts that no layer can have."""
    shapes = [layer.output_shape, *layer.input_shapes, *(w.shape for w in layer.weights.values())]
    found = [
        f"layer '{layer.name}' has the shape {list(shape)}"
        for shape in shapes
        if any(dim is not None and (not isinstance(dim, int) or dim < 0) for dim in shape)
    ]
    for role, weight in layer.weights.items():
        if weight.nonzero is not None and not 0 <= weight.nonzero <= max(weight.size, 0):
            found.append(f"layer '{layer.name}' has {weight.nonzero} values in its {role} not 0")
        if weight.bits <= 0:
            found.append(f"layer '{layer.name}' has {weight.bits:g} bits in its {role}")
    if layer.macs < 0:
        found.append(f"layer '{layer.name}' does {layer.macs} MACs")
    return found


def _layer_to_json(layer: Layer) -> dict[str, Any]:
    record = asdict(layer)
    record["attributes"] = dict(layer.attributes)
    record["parameters"] = layer.parameters
    record["weight_bits"] = layer.weight_bits
    record["activation_bits"] = layer.activation_bits
    record["sparsity"] = layer.sparsity
    return record


def _layer_from_json(record: Mapping[str, Any]) -> Layer:
    return Layer(
        name=str(record["name"]),
        kind=str(record["kind"]),
        inputs=tuple(record.get("inputs", ())),
        input_shapes=tuple(tuple(shape) for shape in record.get("input_shapes", ())),
        output_shape=tuple(record.get("output_shape", ())),
        attributes=dict(record.get("attributes", {})),
        weights={
            role: Weight(
                shape=tuple(int(dim) for dim in weight["shape"]),
                bits=weight.get("bits", 32),
                nonzero=weight.get("nonzero"),
                quantizer=_quantizer_from_json(weight.get("quantizer")),
            )
            for role, weight in record.get("weights", {}).items()
        },
        quantizer=_quantizer_from_json(record.get("quantizer")),
        macs=int(record.get("macs", 0)),
    )


def _quantizer_from_json(record: Mapping[str, Any] | None) -> Quantizer | None:
    if record is None:
        return None
    fields = dict(record)
    for name in ("scale", "zero_point"):
        if fields.get(name) is not None:
            fields[name] = tuple(fields[name])
    return Quantizer(**fields)


def count_macs(layer: Layer) -> int:
    """Multiply-accumulates of one inference, from shapes alone.

    Dense: in x out for each position; convolution: output positions x kernel elements; depthwise:
    output elements x window; recurrent: steps x (kernel + recurrent kernel elements); matmul:
    output elements x inner dimension. Other kinds do none (an average is additions).
    """
    if layer.kind == "matmul":
        inner = layer.input_shapes[0][-1] or 1
        return layer.output_size * inner
    if layer.kind not in WEIGHTED or "kernel" not in layer.weights:
        return 0
    kernel = layer.weights["kernel"]
    if layer.kind == "dense":
        return layer.output_size * kernel.shape[0]
    if layer.kind in ("lstm", "gru", "simple_rnn"):
        steps = layer.input_shapes[0][0] or 1
        return steps * (kernel.size + layer.weights["recurrent_kernel"].size)
    window = math.prod(kernel.shape[:-2])
    if layer.kind.startswith("depthwise"):
        return layer.output_size * window
    if layer.kind.endswith("transpose"):
        positions = math.prod(dim or 1 for dim in layer.input_shapes[0][:-1])
        return positions * kernel.size
    positions = math.prod(dim or 1 for dim in layer.output_shape[:-1])
    return positions * kernel.size
