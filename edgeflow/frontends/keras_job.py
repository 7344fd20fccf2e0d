"""Keras 2, Keras 3, QKeras and HGQ2 models: to a model folder, and their own outputs.

Runs in `keras` (Keras 3, HGQ2) and in `qkeras` (Keras 2, QKeras of both kinds).
"""

from __future__ import annotations

import copy
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow.errors import EdgeflowError, ModelError
from edgeflow.frontends.folder_job import Arrays, Draft, read_inputs, write_folder, write_golden
from edgeflow.frontends.keras_layers_job import Context, translate
from edgeflow.frontends.keras_scan_job import Scanned, call_of, read_config, refuse, without
from edgeflow.frontends.keras_v3_job import as_qkeras, passive, set_weights
from edgeflow.network import Network

LEGACY = ("keras2", "qkeras", "qkeras_v3")
BATCH = 256


def probe(
    inputs: dict[str, Path], params: dict[str, Any], output: Path, progress: Any
) -> dict[str, Any]:
    """The format of a Keras file, so that the core can choose its home."""
    del output, progress
    try:
        scanned = read_config(inputs["model"])
    except ModelError as error:
        error.where = params["name"]
        raise
    return {"format": scanned.format, "keras_version": scanned.keras_version}


def load(
    inputs: dict[str, Path], params: dict[str, Any], output: Path, progress: Any
) -> dict[str, Any]:
    """Read a model file (and its weights' file) into a model folder."""
    del progress
    path, weights = inputs["model"], inputs.get("weights")
    where = str(params["name"])
    sources = [(path, where)]
    if weights is not None:
        sources.append((weights, str(params["weights_name"])))
    model, scanned = open_file(path, weights, where)
    source = {"format": scanned.format, "file": where, "sha256": params["sha256"]}
    network, arrays = to_network(model, source)
    write_folder(output, network, arrays, scanned.format, sources)
    return {"layers": len(network.layers)}


def predict(
    inputs: dict[str, Path], params: dict[str, Any], output: Path, progress: Any
) -> dict[str, Any]:
    """The model's own outputs on `x`, and those of its layers for the first inputs."""
    x = read_inputs(inputs["x"])
    model = open_model(inputs["model"])
    y = run(model, x, progress)
    count = min(int(params.get("trace", 8)), 16, len(x))
    return write_golden(output, x, y, trace(model, x[:count]) if count else {})


def open_model(folder: Path) -> Any:
    """The framework's own model object of a model folder (tf-keras or Keras 3)."""
    record = json.loads((folder / "model.json").read_text())
    files = [folder / name for name in record["source"]]
    model, _ = open_file(files[0], files[1] if len(files) > 1 else None, files[0].name)
    return model


def open_file(path: Path, weights: Path | None, where: str) -> tuple[Any, Scanned]:
    """Load a Keras file safely: its description is judged before the framework sees it.

    Raises:
        ModelError: code, unknown classes, damage, or weights that do not fit.
    """
    try:
        scanned = read_config(path)
        config = {k: v for k, v in scanned.config.items() if k != "compile_config"}
        known, custom = _vocabulary(scanned.format)
        config = without(config, known)
        refuse(Scanned(scanned.format, config, scanned.keras_version), known, where)
        model = _open(path, weights, where, scanned, config, custom)
    except EdgeflowError as error:
        error.where = where
        raise
    except (MemoryError, OSError):
        raise
    except Exception as error:  # noqa: BLE001 - a framework raises anything on a wrong file
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ModelError(
            f"Keras cannot read the model: {type(error).__name__}: {(lines or [''])[0][:300]}",
            where=where,
            remedy="save it again with the Keras that trained it, as .keras or .h5",
        ) from None
    if not model.inputs:
        raise ModelError(
            "the model does not know its input shape",
            where=where,
            remedy="call the model once, or give it an Input layer, before saving it",
        )
    return model, scanned


def _open(
    path: Path,
    weights: Path | None,
    where: str,
    scanned: Scanned,
    config: Mapping[str, Any],
    custom: Any,
) -> Any:
    legacy = scanned.format in LEGACY
    if scanned.format == "qkeras_v3":
        return set_weights(_from_config(as_qkeras(config), custom, legacy=True), path)
    if scanned.format == "qkeras":
        config = passive(config)
    source = weights or path
    if _is_zip(path):
        if scanned.format != "qkeras":
            saving = _keras(scanned.format).saving
            return saving.load_model(path, custom_objects=custom, compile=False, safe_mode=True)
        source = Path("model.weights.h5").absolute()  # in the job's scratch folder
        with zipfile.ZipFile(path) as archive:
            source.write_bytes(archive.read("model.weights.h5"))
    with source.open("rb") as handle:
        if handle.read(4) != b"\x89HDF":
            raise ModelError(
                "expected weights in HDF5 beside the architecture, found none",
                where=where,
                remedy="give the weights' file too: MODEL.json MODEL_weights.h5",
            )
    if source == path and not legacy:
        models = _keras(scanned.format).models
        return models.load_model(_as_h5(path), custom_objects=custom, compile=False)
    model = _from_config(config, custom, legacy=legacy)
    if model.inputs:
        model.load_weights(str(source if source.name == "model.weights.h5" else _as_h5(source)))
    return model


def _is_zip(path: Path) -> bool:
    with path.open("rb") as handle:
        return handle.read(2) == b"PK"


def _as_h5(source: Path) -> str:
    """The file under a name in the scratch folder that ends as Keras expects."""
    link = Path("model.h5").absolute()
    link.unlink(missing_ok=True)
    link.symlink_to(source.absolute())
    return str(link)


def _from_config(config: Mapping[str, Any], custom: Any, *, legacy: bool) -> Any:
    keras = _keras("keras2" if legacy else "keras3")
    return keras.models.model_from_json(json.dumps(config), custom_objects=custom)


def _keras(model_format: str) -> Any:
    if model_format in LEGACY:
        import tf_keras

        return tf_keras
    import keras

    return keras


def _vocabulary(model_format: str) -> tuple[frozenset[str], dict[str, Any]]:
    """The class and function names that a model may use, and the custom objects among them."""
    keras = _keras(model_format)
    known = {"Functional", "Model", "Sequential", "InputLayer"}
    for place in ("layers", "initializers", "regularizers", "constraints", "activations"):
        known |= {name for name in dir(getattr(keras, place)) if not name.startswith("_")}
    known -= {"Lambda", "deserialize", "serialize", "get", "TorchModuleWrapper", "TFSMLayer",
              "JaxLayer", "FlaxLayer"}  # fmt: skip
    custom: dict[str, Any] = {}
    if model_format in LEGACY:
        from qkeras.utils import _add_supported_quantized_objects

        from edgeflow.frontends import legacy_job

        _add_supported_quantized_objects(custom)
        custom = {**legacy_job.objects(), **custom}
        known |= {"TFOpLambda", "SlicingOpLambda"}
    elif model_format == "hgq2":
        import hgq.layers
        import hgq.quantizer
        from keras.saving import get_custom_objects

        known |= {name.rpartition(">")[2] for name in get_custom_objects() if ">" in name}
        known |= {name for name in dir(hgq.layers) if name[0].isupper()}
    else:
        known |= {name for name in dir(keras.ops) if not name.startswith("_")} | _OPERATIONS
    return frozenset(known | set(custom)), custom


# Operations of keras.ops as a functional model names them.
_OPERATIONS = {
    "Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Maximum", "Minimum", "Relu", "Relu6",
    "Sigmoid", "Tanh", "Softmax", "Silu", "Gelu", "Elu", "Reshape", "Transpose", "Mean", "Max",
    "Sum", "Concatenate", "GetItem", "Matmul", "Squeeze", "ExpandDims", "HardSigmoid", "HardSilu",
    "LeakyRelu",
}  # fmt: skip


@dataclass(frozen=True)
class Call:
    """One call of one layer in a (flattened) model: tensors are known by their ids."""

    layer: Any
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    shape: tuple[int | None, ...]
    many: bool  # the layer takes a list


def calls(model: Any) -> Iterator[Call]:
    """The calls of a functional model in order, those of models inside it in their place.

    Tensors of an inner model get the ids of the outer ones that they stand for.
    """
    yield from _calls(getattr(model, "_functional", None) or model, {})


def _calls(model: Any, alias: dict[int, int]) -> Iterator[Call]:
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            layer = getattr(node, "operation", None) or getattr(node, "layer", None)
            outputs = _flat(node.outputs)
            if node.is_input:
                if id(outputs[0]) not in alias:
                    yield Call(layer, (), (id(outputs[0]),), tuple(outputs[0].shape)[1:], False)
                continue
            sources = _flat(getattr(node, "keras_inputs", None) or node.input_tensors)
            inputs = tuple(alias.get(id(t), id(t)) for t in sources)
            inner = _inner(layer)
            if inner is not None:
                local = {
                    id(t): source for t, source in zip(_flat(inner.inputs), inputs, strict=True)
                }
                yield from _calls(inner, local)
                for mine, theirs in zip(outputs, _flat(inner.outputs), strict=True):
                    alias[id(mine)] = local.get(id(theirs), id(theirs))
                continue
            yield Call(
                layer,
                inputs,
                tuple(id(t) for t in outputs),
                tuple(outputs[0].shape)[1:],
                _takes_list(node),
            )


def _inner(layer: Any) -> Any:
    functional = getattr(layer, "_functional", None)
    if functional is not None:
        return functional
    return layer if hasattr(layer, "_nodes_by_depth") else None


def _takes_list(node: Any) -> bool:
    arguments = getattr(node, "arguments", None)
    args = arguments.args if arguments is not None else node.call_args
    return bool(args) and isinstance(args[0], list | tuple)


def _flat(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return [item for part in value for item in _flat(part)]
    return [value]


def to_network(model: Any, source: Mapping[str, Any]) -> tuple[Network, Arrays]:
    """The Network of a Keras model, and the weights that it computes with."""
    draft = Draft()
    names: dict[int, str] = {}
    for call, _ in _translated(model, draft, names, str(source["format"]) in LEGACY):
        del call
    outputs = [names[key] for key in _output_ids(model)]
    return draft.finish(str(model.name), outputs, source)


def _translated(
    model: Any, draft: Draft, names: dict[int, str], legacy: bool
) -> Iterator[tuple[Call, Context]]:
    for call in calls(model):
        context = Context(draft, call.layer, [names[i] for i in call.inputs], call.shape, legacy)
        if not call.inputs:
            names[call.outputs[0]] = context.add("input")
        else:
            if len(call.outputs) > 1:
                raise ModelError(
                    f"layer '{context.name}' has {len(call.outputs)} outputs; expected one"
                )
            names[call.outputs[0]] = translate(context)
        yield call, context


def _output_ids(model: Any) -> list[int]:
    functional = getattr(model, "_functional", None) or model
    alias: dict[int, int] = {}
    for _ in _calls(functional, alias):
        pass
    return [alias.get(id(t), id(t)) for t in _flat(functional.outputs)]


def run(model: Any, x: np.ndarray[Any, Any], progress: Any) -> np.ndarray[Any, Any]:
    """The model's outputs, in batches; several outputs are flattened and joined."""
    import tensorflow as tf

    x = check_inputs(x, [tuple(t.shape)[1:] for t in _flat(model.inputs)])
    function: Callable[[Any], Any] = tf.function(lambda batch: model(batch, training=False))
    parts = []
    for start in range(0, len(x), BATCH):
        found = [
            np.asarray(item) for item in _flat(function(tf.constant(x[start : start + BATCH])))
        ]
        parts.append(
            found[0]
            if len(found) == 1
            else np.concatenate([item.reshape(len(item), -1) for item in found], axis=1)
        )
        progress(min(start + BATCH, len(x)), len(x))
    return np.concatenate(parts)


def check_inputs(x: np.ndarray[Any, Any], shapes: list[tuple[Any, ...]]) -> np.ndarray[Any, Any]:
    """`x` as float32, given the shape that the model takes (a missing channel axis is added).

    Raises:
        ModelError: the shapes do not fit.
    """
    if len(shapes) != 1:
        raise ModelError(f"expected a model with one input, found {len(shapes)}")
    shape = shapes[0]
    x = np.asarray(x, np.float32)
    if len(x.shape) == len(shape) and shape[-1] == 1:
        x = x[..., None]
    fits = len(x.shape) == len(shape) + 1 and all(
        want is None or want == have for want, have in zip(shape, x.shape[1:], strict=True)
    )
    if not fits and None not in shape and int(np.prod(shape)) == int(np.prod(x.shape[1:])):
        return x.reshape(len(x), *shape)
    if not fits:
        raise ModelError(f"expected inputs of shape {shape}, found {tuple(x.shape[1:])}")
    return x


def trace(model: Any, x: np.ndarray[Any, Any]) -> Arrays:
    """The output of each Network layer for `x`, as the framework's own layers compute it."""
    import tensorflow as tf

    x = check_inputs(x, [tuple(t.shape)[1:] for t in _flat(model.inputs)])
    legacy = "tf_keras" in str(type(model).__mro__)
    names: dict[int, str] = {}
    values: dict[int, Any] = {}
    found: Arrays = {}
    for call, context in _translated(model, Draft(), names, legacy):
        if not call.inputs:
            values[call.outputs[0]] = tf.constant(x)
        else:
            given = [values[i] for i in call.inputs]
            arguments = given if call.many or len(given) > 1 else given[0]
            if len(context.made) > 1:
                found.update(_before_activation(context, call.layer, arguments))
            values[call.outputs[0]] = call.layer(arguments)
        if context.made:
            found[context.made[-1]] = np.asarray(values[call.outputs[0]])
    return found


def _before_activation(context: Context, layer: Any, arguments: Any) -> Arrays:
    """The output of a layer whose activation is a Network layer of its own."""
    found: Arrays = {}
    if getattr(layer, "enable_iq", False):
        given = arguments if isinstance(arguments, list) else [arguments]
        rounders = [layer.iq] if hasattr(layer.iq, "quantizer") else list(layer.iq)
        rounded = [n for n in context.made if context.draft.layers[n].kind == "quantize"]
        for name, rounder, value in zip(rounded, rounders, given, strict=False):
            found[name] = np.asarray(rounder(value))
    activation = getattr(layer, "activation", None)
    names = [n for n in context.made if context.draft.layers[n].weights]
    if activation is None or not names or getattr(layer, "enable_oq", False):
        return found
    plain = copy.copy(layer)
    try:
        object.__setattr__(plain, "activation", lambda value: value)
        found[names[-1]] = np.asarray(plain.call(arguments))
    except Exception as error:  # noqa: BLE001 - a trace is a help, not a must
        print(f"no trace of {names[-1]}: {error}")
    return found


__all__ = ["call_of", "load", "open_model", "predict", "probe"]
