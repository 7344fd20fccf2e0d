"""Training a model from layers that a recipe lists."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from edgeflow.compress import fit_job, graph_job
from edgeflow.errors import RecipeError
from edgeflow.frontends.keras_graph_job import to_network

_CONV: Final = ("filters", "kernel_size", "strides", "padding", "activation", "use_bias", "groups")
_POOL: Final = ("pool_size", "strides", "padding")
LAYERS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "conv1d": ("Conv1D", _CONV),
    "conv2d": ("Conv2D", _CONV),
    "depthwise_conv2d": (
        "DepthwiseConv2D",
        ("kernel_size", "strides", "padding", "activation", "use_bias", "depth_multiplier"),
    ),
    "dense": ("Dense", ("units", "activation", "use_bias")),
    "batch_normalization": ("BatchNormalization", ("momentum", "epsilon", "center", "scale")),
    "activation": ("Activation", ("activation",)),
    "relu": ("ReLU", ("max_value",)),
    "softmax": ("Softmax", ()),
    "max_pooling1d": ("MaxPooling1D", _POOL),
    "max_pooling2d": ("MaxPooling2D", _POOL),
    "average_pooling1d": ("AveragePooling1D", _POOL),
    "average_pooling2d": ("AveragePooling2D", _POOL),
    "global_average_pooling1d": ("GlobalAveragePooling1D", ()),
    "global_average_pooling2d": ("GlobalAveragePooling2D", ()),
    "global_max_pooling1d": ("GlobalMaxPooling1D", ()),
    "global_max_pooling2d": ("GlobalMaxPooling2D", ()),
    "zero_padding1d": ("ZeroPadding1D", ("padding",)),
    "zero_padding2d": ("ZeroPadding2D", ("padding",)),
    "flatten": ("Flatten", ()),
    "reshape": ("Reshape", ("target_shape",)),
    "dropout": ("Dropout", ("rate",)),
}
"""Layers that a recipe may list: their Keras class and the arguments that each takes, to which
``name`` comes. Names and meanings are those of Keras."""

FUNCTIONS: Final = (
    "linear", "relu", "relu6", "leaky_relu", "elu", "selu", "sigmoid", "tanh", "softmax",
    "softplus", "softsign", "silu", "gelu", "hard_sigmoid", "hard_silu",
)  # fmt: skip
"""Activation functions that a recipe may name."""


def train(
    inputs: Mapping[str, Path],
    params: Mapping[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Job: build a Keras 3 model from ``params["layers"]`` and train it on ``inputs["data"]``.

    ``layers`` is a list such as ``[{"conv2d": {"filters": 8, "kernel_size": 3}}, "flatten",
    {"dense": {"units": 10}}]`` (see `LAYERS`). The other ``params`` are those of
    `fit_job.Settings`. Leaves a Model folder of format ``keras3``.

    Returns:
        ``epochs``, ``best_epoch``, ``test_accuracy`` (or ``test_mse``), ``parameters``, ``macs``.

    Raises:
        RecipeError: a layer or argument is unknown or does not fit, each one named.
        DataError: the dataset does not fit the layers.
    """
    import json

    import keras

    settings = fit_job.Settings.of(params)
    specs = parse(params["layers"])
    meta = json.loads((inputs["data"] / "data.json").read_text())
    fit_job.seed(keras, settings)
    model = _build(keras, specs, meta["input_shape"])
    network, _ = to_network(model, {"format": "keras3"})
    data = fit_job.load(inputs["data"], network, settings)
    last = network[network.outputs[0]].kind
    history = fit_job.fit(keras, model, data, last, settings, progress)
    network, arrays = to_network(model, {"format": "keras3"})
    saved = keras.Model(model.inputs, model.outputs, name="model")
    graph_job.save_keras(saved, output / "model.keras")
    graph_job.write(output, network, arrays, "keras3", ["model.keras"], history)
    totals = network.totals
    return {
        **fit_job.outcome(model, data, last, history),
        "parameters": totals.parameters,
        "macs": totals.macs,
    }


def parse(layers: Any, where: str | None = None) -> list[tuple[str, dict[str, Any]]]:
    """Check the list of layers; returns (name, arguments) of each.

    Raises:
        RecipeError: every unknown layer or argument at once, with the nearest known name.
    """
    if not isinstance(layers, Sequence) or isinstance(layers, str) or not layers:
        raise RecipeError("expected a list of layers", where=where)
    specs: list[tuple[str, dict[str, Any]]] = []
    faults = []
    for number, given in enumerate(layers, 1):
        item = {given: {}} if isinstance(given, str) else given
        if not isinstance(item, Mapping) or len(item) != 1:
            faults.append(f"layer {number}: expected NAME or NAME: {{arguments}}, found {item!r}")
            continue
        name, arguments = next(iter(item.items()))
        arguments = {} if arguments is None else arguments
        if name not in LAYERS:
            faults.append(f"layer {number}: unknown layer '{name}'{_nearest(name, LAYERS)}")
            continue
        if not isinstance(arguments, Mapping):
            faults.append(f"layer {number} ({name}): expected arguments by name")
            continue
        known = (*LAYERS[name][1], "name")
        faults += [
            f"layer {number} ({name}): unknown argument '{key}'{_nearest(key, known)}"
            for key in arguments
            if key not in known
        ]
        function = arguments.get("activation")
        if function is not None and function not in FUNCTIONS:
            faults.append(
                f"layer {number} ({name}): unknown activation '{function}'"
                f"{_nearest(function, FUNCTIONS)}"
            )
        specs.append((name, dict(arguments)))
    if faults:
        raise RecipeError(faults[0], where=where, details=faults[1:])
    return specs


def _nearest(name: Any, known: Any) -> str:
    close = difflib.get_close_matches(str(name), list(known), 1, 0.5)
    return f" (did you mean '{close[0]}'?)" if close else f" (known: {', '.join(known)})"


def _build(
    keras: Any, specs: Sequence[tuple[str, dict[str, Any]]], input_shape: Sequence[int]
) -> Any:
    x = source = keras.Input(tuple(input_shape), name="input")
    for number, (name, arguments) in enumerate(specs, 1):
        fixed = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in arguments.items()
        }
        fixed.setdefault("name", f"{name}_{number}")
        try:
            x = getattr(keras.layers, LAYERS[name][0])(**fixed)(x)
        except (TypeError, ValueError) as error:
            text = str(error).strip().splitlines()[0]
            raise RecipeError(f"layer {number} ({name}) cannot be made: {text}") from None
    try:
        return keras.Model(source, x, name="model")
    except ValueError as error:  # two layers of one name
        raise RecipeError(str(error).strip().splitlines()[0]) from None
