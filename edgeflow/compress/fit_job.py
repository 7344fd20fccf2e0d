"""The training loop that every retraining shares, for Keras 3 and tf-keras alike."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeflow.data_job import check_fit, split
from edgeflow.errors import InputError
from edgeflow.network import Network


@dataclass(frozen=True)
class Dataset:
    """A dataset folder's arrays; the validation part comes out of the training samples."""

    meta: Mapping[str, Any]
    x: NDArray[np.float32]
    y: NDArray[Any]
    x_validation: NDArray[np.float32]
    y_validation: NDArray[Any]
    x_test: NDArray[np.float32]
    y_test: NDArray[Any]


@dataclass(frozen=True)
class Settings:
    """How to train. ``patience``: epochs without a better validation loss before it stops."""

    epochs: int = 30
    batch_size: int = 32
    learning_rate: float = 1e-3
    patience: int = 10
    seed: int = 0
    validation_fraction: float = 0.15

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Settings:
        """The settings among a job's parameters."""
        known = cls.__dataclass_fields__
        return cls(**{name: params[name] for name in known if params.get(name) is not None})


def load(folder: Path, network: Network, settings: Settings) -> Dataset:
    """Read the dataset and set the validation samples aside (stratified, by the seed).

    Raises:
        DataError: it does not fit the model, or has nothing to train with.
    """
    meta = json.loads((folder / "data.json").read_text())
    given, made = network[network.inputs[0]], network[network.outputs[0]]
    check_fit(meta, given.output_shape, made.output_shape, training=True)
    with np.load(folder / "data.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    if meta["task"] == "reconstruction":
        shape = [dim or -1 for dim in made.output_shape]
        for part in ("train", "test"):
            arrays[f"y_{part}"] = arrays[f"x_{part}"].reshape(-1, *shape)
    x, y = arrays["x_train"], arrays["y_train"]
    labels = y if meta["task"] == "classification" else None
    aside = split(labels, len(x), settings.validation_fraction, settings.seed)
    if not aside.any():
        aside[:1] = True  # one sample alone validates itself
    keep = ~aside if not aside.all() else aside
    return Dataset(meta, x[keep], y[keep], x[aside], y[aside], arrays["x_test"], arrays["y_test"])


def seed(keras: Any, settings: Settings) -> None:
    """Make everything that follows give the same numbers each time. Call it before building."""
    import tensorflow as tf

    keras.utils.set_random_seed(settings.seed)
    tf.config.experimental.enable_op_determinism()


def fit(
    keras: Any,
    model: Any,
    data: Dataset,
    last: str,
    settings: Settings,
    progress: Callable[..., None],
    penalty: Callable[[], float] | None = None,
) -> dict[str, list[float]]:
    """Train, stop early, keep the best weights (least validation loss); returns the history.

    The learning rate falls to 0 along a cosine. ``last`` is the kind of the last layer, from which
    the loss follows: cross-entropy from logits unless it is a softmax or sigmoid; squared error
    for regression and reconstruction. ``penalty()`` is added to the validation loss when epochs are
    compared: what the model costs.

    Raises:
        InputError: the loss became NaN.
    """
    history: dict[str, list[float]] = {}
    if settings.epochs == 0:
        return history
    loss, metrics = _loss(keras, model, data, last)
    steps = math.ceil(len(data.x) / settings.batch_size) * settings.epochs
    rate = keras.optimizers.schedules.CosineDecay(settings.learning_rate, steps)
    model.compile(keras.optimizers.Adam(rate), loss=loss, metrics=metrics, jit_compile=False)
    best = {"loss": math.inf, "epoch": -1, "weights": model.get_weights()}

    def after_epoch(epoch: int, logs: Mapping[str, float]) -> None:
        for name, value in logs.items():
            history.setdefault(name, []).append(round(float(value), 7))
        value = float(logs["val_loss"])
        if penalty is not None:
            cost = penalty()
            history.setdefault("penalty", []).append(round(cost, 7))
            value += cost
        if not math.isfinite(float(logs["loss"])):
            model.stop_training = True
        elif value < best["loss"]:
            best.update(loss=value, epoch=epoch, weights=model.get_weights())
        elif epoch - best["epoch"] >= settings.patience:
            model.stop_training = True
        shown = ", ".join(
            f"{name.replace('_', ' ')} {logs[name]:.4g}"
            for name in ("loss", "val_loss", "val_accuracy")
            if name in logs
        )
        progress(epoch + 1, settings.epochs, f"epoch {epoch + 1}: {shown}")

    model.fit(
        data.x,
        data.y,
        validation_data=(data.x_validation, data.y_validation),
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=after_epoch)],
    )
    if not all(math.isfinite(value) for value in history["loss"]):
        raise InputError(
            "the training diverged: the loss is not a finite number",
            remedy="choose a smaller `learning_rate`, or more bits",
        )
    model.set_weights(best["weights"])
    return history


def _loss(keras: Any, model: Any, data: Dataset, last: str) -> tuple[Any, list[Any]]:
    if data.meta["task"] != "classification":
        return "mse", ["mae"]
    if model.output_shape[-1] == 1:
        logits = last != "sigmoid"
        threshold = 0.0 if logits else 0.5
        return (
            keras.losses.BinaryCrossentropy(from_logits=logits),
            [keras.metrics.BinaryAccuracy("accuracy", threshold=threshold)],
        )
    return keras.losses.SparseCategoricalCrossentropy(from_logits=last != "softmax"), ["accuracy"]


def outcome(
    model: Any, data: Dataset, last: str, history: Mapping[str, list[float]]
) -> dict[str, Any]:
    """What the job tells: epochs, the best one, and how good the model is on the test samples."""
    y = np.asarray(model.predict(data.x_test, batch_size=256, verbose=0))
    losses = np.array(history.get("val_loss", ())) + np.array(history.get("penalty", 0))
    found: dict[str, Any] = {
        "epochs": len(losses),
        "best_epoch": int(losses.argmin()) + 1 if len(losses) else 0,
    }
    if data.meta["task"] != "classification":
        found["test_mse"] = float(np.mean((y - data.y_test.reshape(y.shape)) ** 2))
        return found
    if y.shape[-1] == 1:
        guess = y.reshape(len(y), -1)[:, 0] > (0.5 if last == "sigmoid" else 0)
    else:
        guess = y.reshape(len(y), -1).argmax(axis=1)
    found["test_accuracy"] = float(np.mean(guess == data.y_test))
    return found
