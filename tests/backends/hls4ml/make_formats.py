"""Makes a Keras 3 and an HGQ2 model; run by the keras toolchain: make_formats.py FOLDER."""

import sys
from pathlib import Path

import keras
import numpy as np
from hgq.config import LayerConfigScope, QuantizerConfigScope
from hgq.layers import QConv2D, QDense

RNG = np.random.default_rng(5)


def shaken(variables):
    """Biases and norms away from zeros and ones."""
    for variable in variables:
        label = variable.path.rpartition("/")[2]
        noise = RNG.uniform(0.1, 0.9, variable.shape)
        if label in ("gamma", "moving_variance"):
            variable.assign(0.5 + noise)
        elif label in ("beta", "bias", "moving_mean"):
            variable.assign(noise - 0.5)


def keras3():
    layers = keras.layers
    i = layers.Input((8, 8, 2))
    a = layers.Conv2D(4, 3, padding="same", use_bias=False)(i)
    a = layers.BatchNormalization()(a)
    a = layers.Activation("relu")(a)
    a = layers.MaxPooling2D(2)(a)
    a = layers.Dense(6, activation="tanh")(layers.Flatten()(a))
    model = keras.Model(i, layers.Dense(4, activation="softmax")(a))
    shaken(model.variables)
    return model


def hgq2():
    with (
        QuantizerConfigScope(place="all", default_q_type="kbi", overflow_mode="SAT_SYM"),
        QuantizerConfigScope(
            place="datalane", default_q_type="kif", overflow_mode="WRAP", f0=5, i0=2
        ),
        LayerConfigScope(enable_ebops=True, beta0=1e-6),
    ):
        i = keras.layers.Input((6, 6, 2))
        a = QConv2D(4, 3, activation="relu")(i)
        model = keras.Model(i, QDense(4)(keras.layers.Flatten()(a)))
    x = RNG.uniform(-1, 1, (64, 6, 6, 2)).astype(np.float32)
    model(x, training=True)  # traces the ranges
    for variable in model.variables:  # bits that differ from element to element
        if variable.path.rpartition("/")[2] in ("f", "b") and variable.shape:
            variable.assign(np.round(RNG.uniform(2, 6, variable.shape)))
    model(x, training=True)
    shaken(model.weights)
    return model


folder = Path(sys.argv[1])
keras3().save(folder / "keras3.keras")
hgq2().save(folder / "hgq2.keras")
