"""A Network with its arrays, and the Keras model that computes it: what every retraining shares.

It works alike with Keras 3 and tf-keras: `keras` is whichever module the caller imported.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgeflow.errors import ModelError, UnsupportedError
from edgeflow.frontends import fold_job
from edgeflow.frontends.folder_job import write_folder
from edgeflow.network import ACTIVATIONS, Layer, Network, Quantizer, Weight, count_macs

Array = NDArray[np.float32]

FOLDABLE: Final = frozenset(["dense", "conv1d", "conv2d", "depthwise_conv1d", "depthwise_conv2d"])
"""Kinds that compute kernel · x + bias per output channel, and that the retraining quantises."""

PASSIVE: Final = frozenset(
    ["max_pool1d", "max_pool2d", "global_max_pool1d", "global_max_pool2d", "flatten", "reshape",
     "transpose", "pad", "crop", "upsample"]
)  # fmt: skip
"""Kinds whose outputs are some of their inputs' values: they keep the input's quantiser."""

_RENAMED: Final = {
    "max_pool": "MaxPooling", "avg_pool": "AveragePooling", "global_max_pool": "GlobalMaxPooling",
    "global_avg_pool": "GlobalAveragePooling", "pad": "ZeroPadding", "crop": "Cropping",
    "upsample": "UpSampling", "concat": "Concatenate", "add": "Add", "sub": "Subtract",
    "mul": "Multiply", "maximum": "Maximum", "minimum": "Minimum", "average": "Average",
    "flatten": "Flatten", "reshape": "Reshape", "transpose": "Permute", "dense": "Dense",
    "conv": "Conv", "depthwise_conv": "DepthwiseConv",
}  # fmt: skip
_ARGUMENTS: Final = {
    "conv": ("kernel_size", "strides", "padding", "dilation_rate", "groups"),
    "depthwise_conv": ("kernel_size", "strides", "padding", "dilation_rate"),
    "max_pool": ("pool_size", "strides", "padding"),
    "avg_pool": ("pool_size", "strides", "padding"),
    "global_max_pool": ("keepdims",), "global_avg_pool": ("keepdims",),
    "pad": ("padding",), "crop": ("cropping",), "upsample": ("size", "interpolation"),
    "concat": ("axis",), "reshape": ("target_shape",), "transpose": ("dims",),
}  # fmt: skip


@dataclass(frozen=True)
class Graph:
    """A Network and its arrays, ``weights[LAYER][ROLE]`` (float32)."""

    network: Network
    weights: Mapping[str, Mapping[str, Array]]

    def with_weights(self, weights: Mapping[str, Mapping[str, Array]]) -> Graph:
        """The same Network with other arrays of the same shapes; counts what is not 0."""
        layers = tuple(
            replace(
                layer,
                weights={
                    role: replace(weight, nonzero=int(np.count_nonzero(weights[layer.name][role])))
                    for role, weight in layer.weights.items()
                },
            )
            for layer in self.network
        )
        return Graph(self.network.with_layers(layers), weights)


def read(folder: Path) -> Graph:
    """The Graph of a Model folder, as float: quantisers are left out.

    Raises:
        ModelError: an array is missing, of another shape, or has NaN.
    """
    network = Network.load(folder / "network.json")
    weights: dict[str, dict[str, Array]] = {}
    with np.load(folder / "weights.npz", allow_pickle=False) as file:
        for layer in network:
            for role, weight in layer.weights.items():
                key = f"{layer.name}/{role}"
                if key not in file.files or file[key].shape != weight.shape:
                    raise ModelError(
                        f"expected weights '{key}' of shape {weight.shape}", where=str(folder)
                    )
                array = file[key].astype(np.float32)
                if not np.isfinite(array).all():
                    raise ModelError(f"the weights '{key}' have NaN or infinity", where=str(folder))
                weights.setdefault(layer.name, {})[role] = array
    renamed: dict[str, str] = {}
    layers = []
    for layer in network:
        inputs = tuple(renamed.get(name, name) for name in layer.inputs)
        if layer.kind in ("quantize", "dequantize", "identity"):
            renamed[layer.name] = inputs[0]
            continue
        roles = {role: Weight(weight.shape) for role, weight in layer.weights.items()}
        layers.append(replace(layer, inputs=inputs, quantizer=None, weights=roles))
    outputs = tuple(renamed.get(name, name) for name in network.outputs)
    kept = replace(network, layers=tuple(layers), outputs=outputs)
    return Graph(kept, weights).with_weights(weights)


def fold_batch_norm(graph: Graph) -> Graph:
    """Each batch norm into the dense or convolution before it: the same function, fewer layers.

    Raises:
        UnsupportedError: naming each batch norm that has no such layer before it, for itself alone.
    """
    network, arrays = fold_job.fold_batch_norm(graph.network, flat(graph.weights))
    stuck = [
        f"layer '{layer.name}' follows '{layer.inputs[0]}' ({network[layer.inputs[0]].kind})"
        for layer in network
        if layer.kind in ("batch_norm", "scale")
    ]
    if stuck:
        raise UnsupportedError(
            "a batch norm can be folded only into a dense or convolution layer right before it",
            details=stuck,
            remedy="move the batch norm before the activation, or choose `method: none`",
        )
    return Graph(network, nested(network, arrays)).with_weights(nested(network, arrays))


def flat(weights: Mapping[str, Mapping[str, Array]]) -> dict[str, Array]:
    """The arrays by ``LAYER/ROLE``, as ``weights.npz`` has them."""
    return {
        f"{layer}/{role}": array
        for layer, arrays in weights.items()
        for role, array in arrays.items()
    }


def nested(network: Network, arrays: Mapping[str, Any]) -> dict[str, dict[str, Array]]:
    """The arrays by layer and role."""
    return {
        layer.name: {role: arrays[f"{layer.name}/{role}"] for role in layer.weights}
        for layer in network
        if layer.weights
    }


def strip_softmax(graph: Graph) -> tuple[Graph, str | None]:
    """Without the softmax at the end (the logits have the same order); and that layer's name."""
    network = graph.network
    last = network[network.outputs[0]]
    if len(network.outputs) != 1 or last.kind != "softmax" or network.consumers[last.name]:
        return graph, None
    layers = tuple(layer for layer in network if layer.name != last.name)
    return Graph(replace(network, layers=layers, outputs=last.inputs), graph.weights), last.name


def require(network: Network, kinds: frozenset[str], method: str) -> None:
    """Check that the retraining knows every layer.

    Raises:
        UnsupportedError: naming every layer that it does not know.
    """
    wrong = [
        f"layer '{layer.name}' is '{layer.attributes.get('type', layer.kind)}'"
        for layer in network
        if layer.kind not in kinds
    ]
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        wrong.append(
            f"{len(network.inputs)} inputs and {len(network.outputs)} outputs, expected one of each"
        )
    if wrong:
        raise UnsupportedError(
            f"the retraining '{method}' does not know every part of this model",
            details=wrong,
            remedy="choose another `method`, or replace these layers",
        )


def plain(
    keras: Any, layer: Layer, source: Any = None, name: str | None = None, **extra: Any
) -> Any:
    """The Keras layer that computes this one, without its weights.

    ``source`` and ``name`` give another class than Keras' own (``qkeras``, ``QDense``) for a layer
    with weights, ``extra`` its further arguments.

    Raises:
        UnsupportedError: there is none.
    """
    kind, attributes = layer.kind, layer.attributes
    if kind in ACTIVATIONS:
        return _activation(keras, layer)
    stem = kind.removesuffix("1d").removesuffix("2d")
    rank = kind[len(stem) :].upper()
    if stem in ("pad", "crop", "upsample"):
        rank = f"{len(layer.output_shape) - 1}D"
    known = _RENAMED.get(stem)
    if known is None:
        raise UnsupportedError(f"layer '{layer.name}' of kind '{kind}' cannot be retrained")
    arguments = {key: attributes[key] for key in _ARGUMENTS.get(stem, ()) if key in attributes}
    kernel = layer.weights.get("kernel")
    if kernel:
        extra["use_bias"] = "bias" in layer.weights
        if kind == "dense":
            extra["units"] = kernel.shape[-1]
        elif stem == "conv":
            extra["filters"] = kernel.shape[-1]
            arguments["kernel_size"] = kernel.shape[:-2]
        else:
            extra["depth_multiplier"] = kernel.shape[-1]
            arguments["kernel_size"] = kernel.shape[:-2]
    if kind == "reshape":
        arguments["target_shape"] = layer.output_shape
    if kind in ("pad", "crop"):  # (low, high) of each axis, the last of which is the channels
        name_of = "padding" if kind == "pad" else "cropping"
        pairs = tuple(tuple(pair) for pair in attributes[name_of])
        if pairs[-1] != (0, 0) or attributes.get("value"):
            raise UnsupportedError(f"layer '{layer.name}' cannot be retrained: padding of channels")
        arguments[name_of] = pairs[0] if len(pairs) == 2 else pairs[:-1]
    if kind == "upsample" and rank == "1D":
        arguments = {"size": int(attributes["size"][0])}
    if arguments.get("groups") == 1:
        del arguments["groups"]
    made = getattr(source or keras.layers, name or known + rank)
    return made(name=layer.name, **arguments, **extra)


def _activation(keras: Any, layer: Layer) -> Any:
    attributes = layer.attributes
    if layer.kind == "relu" and not attributes.get("min_value"):
        limit = attributes.get("max_value")
        return keras.layers.ReLU(max_value=None if limit is None else float(limit), name=layer.name)
    if layer.kind == "leaky_relu":
        slope = attributes.get("negative_slope", attributes.get("alpha", 0.3))
        if keras.__version__.startswith("2"):
            return keras.layers.LeakyReLU(alpha=float(slope), name=layer.name)
        return keras.layers.LeakyReLU(negative_slope=float(slope), name=layer.name)
    if layer.kind == "softmax":
        return keras.layers.Softmax(name=layer.name)
    if attributes.get("min_value") or layer.kind in ("hard_sigmoid", "hard_tanh", "prelu"):
        raise UnsupportedError(f"layer '{layer.name}' ({layer.kind}) cannot be retrained")
    return keras.layers.Activation(layer.kind, name=layer.name)


def build(
    keras: Any,
    graph: Graph,
    make: Callable[[Layer], Any] | None = None,
    until: Sequence[str] | None = None,
) -> Any:
    """The functional Keras model of the Graph with its weights; `make` gives each layer.

    ``make(layer)`` returns a callable from tensor(s) to a tensor. ``until`` names the layers whose
    outputs the model gives (default: the Network's).
    """
    tensors: dict[str, Any] = {}
    make = make or (lambda layer: plain(keras, layer))
    for layer in graph.network:
        if layer.kind == "input":
            tensors[layer.name] = keras.Input(layer.output_shape, name=layer.name)
            continue
        read_from = [tensors[name] for name in layer.inputs]
        tensors[layer.name] = make(layer)(read_from if len(read_from) > 1 else read_from[0])
    model = keras.Model(
        next(tensors[name] for name in graph.network.inputs),
        [tensors[name] for name in until] if until else tensors[graph.network.outputs[0]],
        name="model",
    )
    for layer in model.layers:
        if arrays := graph.weights.get(layer.name):
            set_arrays(layer, arrays)
    return model


def variables(layer: Any) -> dict[str, Any]:
    """A Keras layer's kernel and bias, however its class calls them."""
    found = {}
    for role, names in (("kernel", ("_kernel", "depthwise_kernel", "kernel")), ("bias", ("bias",))):
        for name in names:
            variable = getattr(layer, name, None)
            if variable is not None and hasattr(variable, "assign"):
                found[role] = variable
                break
    return found


def set_arrays(layer: Any, arrays: Mapping[str, Array]) -> None:
    """Put the arrays into the layer's variables."""
    for role, variable in variables(layer).items():
        variable.assign(arrays[role])


def get_arrays(model: Any, network: Network) -> dict[str, dict[str, Array]]:
    """The model's arrays by the Network's layers."""
    return {
        layer.name: {
            role: np.array(variable, np.float32)
            for role, variable in variables(model.get_layer(layer.name)).items()
        }
        for layer in network
        if layer.weights
    }


def traces(keras: Any, graph: Graph, x: Array) -> dict[str, Array]:
    """The float output of every layer for the inputs `x`."""
    names = [layer.name for layer in graph.network]
    model = build(keras, graph, until=names)
    outputs = model(x, training=False)
    return {name: np.array(value) for name, value in zip(names, outputs, strict=True)}


def quantized(layer: Layer, weights: Mapping[str, Quantizer], output: Quantizer | None) -> Layer:
    """The layer with these quantisers on its arrays (by role) and its output."""
    return replace(
        layer,
        quantizer=output,
        weights={
            role: replace(weight, bits=weights[role].bits, quantizer=weights[role])
            if role in weights
            else weight
            for role, weight in layer.weights.items()
        },
    )


def widths(network: Network) -> dict[str, dict[str, float | None]]:
    """Bits of the kernels and of the rounded outputs, by layer: what the user may want to see."""
    return {
        "weight_bits": {layer.name: layer.weight_bits for layer in network if layer.weights},
        "activation_bits": {
            layer.name: layer.quantizer.bits for layer in network if layer.quantizer is not None
        },
    }


def write(
    output: Path,
    network: Network,
    arrays: Mapping[str, Any],
    form: str,
    files: Sequence[str],
    history: Mapping[str, Sequence[float]],
) -> None:
    """Write the Model folder; `files` are the framework's own, there already.

    ``arrays`` is what ``weights.npz`` will hold, by ``LAYER/ROLE``.
    """
    source: dict[str, Any] = {"format": form}
    if files:
        source["file"] = files[0]
        source["sha256"] = hashlib.sha256((output / files[0]).read_bytes()).hexdigest()
    layers = tuple(replace(layer, macs=count_macs(layer)) for layer in network)
    network = replace(network, layers=layers, source=source)
    network.validate()
    write_folder(output, network, arrays, form)
    record = {"format": form, "source": list(files)}
    (output / "model.json").write_text(json.dumps(record, indent=1) + "\n")
    (output / "history.json").write_text(json.dumps(dict(history), indent=1) + "\n")


def save_keras(model: Any, path: Path) -> None:
    """Save a Keras 3 model with the same bytes each time.

    The file's dates are fixed, and shared objects are numbered, not named by their addresses.
    """
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in sorted(archive.namelist())}
    record = json.loads(parts["metadata.json"])
    record["date_saved"] = "1980-01-01@00:00:00"
    parts["metadata.json"] = json.dumps(record).encode()
    numbers: dict[str, int] = {}
    parts["config.json"] = re.sub(
        r'("shared_object_id": )(\d+)',
        lambda match: f"{match[1]}{numbers.setdefault(match[2], len(numbers))}",
        parts["config.json"].decode(),
    ).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    path.write_bytes(buffer.getvalue())
