"""Run by the keras toolchain: models that use every layer, with random weights, as .keras files.

Usage: python make_models.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
from hgq.config import LayerConfigScope, QuantizerConfigScope
from hgq.layers import QConv2D, QDense
from keras import layers as k


def convolutions():
    x = inputs = k.Input((17, 13, 6))
    x = k.Conv2D(8, (3, 5), strides=(2, 1), padding="same", activation="relu")(x)
    x = k.Conv2D(8, 3, dilation_rate=2, groups=2, padding="same", activation="elu")(x)
    x = k.DepthwiseConv2D((3, 2), depth_multiplier=2, padding="same", activation="selu")(x)
    x = k.BatchNormalization()(x)
    x = k.SeparableConv2D(5, 3, strides=2, padding="same", activation="softplus")(x)
    x = k.Conv2DTranspose(4, 3, strides=2, padding="same", activation="softsign")(x)
    x = k.Conv2DTranspose(3, (4, 3), strides=(3, 2), padding="valid", activation="silu")(x)
    x = k.Conv2DTranspose(3, 3, strides=2, output_padding=1, activation="hard_sigmoid")(x)
    return keras.Model(inputs, x)


def convolutions_1d():
    x = inputs = k.Input((29, 3))
    x = k.Conv1D(6, 5, strides=2, padding="same", activation="gelu")(x)
    x = k.Conv1D(6, 3, padding="causal", dilation_rate=2, activation="tanh")(x)
    x = k.DepthwiseConv1D(3, padding="valid", activation="exponential")(x)
    x = k.LayerNormalization()(x)
    x = k.Conv1DTranspose(4, 4, strides=3, padding="same")(x)
    x = k.LeakyReLU(negative_slope=0.1)(x)
    x = k.PReLU()(x)
    x = k.MaxPooling1D(3, 2, padding="same")(x)
    x = k.AveragePooling1D(4, 3, padding="same")(x)
    x = k.ZeroPadding1D((1, 2))(x)
    x = k.Cropping1D((0, 1))(x)
    x = k.UpSampling1D(2)(x)
    a, b = k.GlobalAveragePooling1D()(x), k.GlobalMaxPooling1D()(x)
    return keras.Model(inputs, k.Softmax()(k.Concatenate()([a, b])))


def pools_and_shapes():
    x = inputs = k.Input((15, 12, 4))
    a = k.MaxPooling2D((3, 2), (2, 2), padding="same")(x)
    b = k.AveragePooling2D((3, 2), (2, 2), padding="same")(x)
    x = k.Concatenate(axis=1)([a, b])
    x = k.ZeroPadding2D(((1, 0), (2, 3)))(x)
    x = k.Cropping2D(((0, 2), (1, 1)))(x)
    x = k.UpSampling2D((2, 3))(x)
    x = k.UpSampling2D(2, interpolation="bilinear")(x)
    x = k.AveragePooling2D(3, padding="valid")(x)
    x = k.Permute((3, 1, 2))(x)
    x = k.ReLU(max_value=0.5)(x)
    channels = x.shape[1]
    x = k.Reshape((channels, -1))(x)
    x = k.Rescaling(2.0, offset=-0.5)(x)
    x = k.Dense(7, activation="sigmoid")(x)
    x = k.Flatten()(x)
    return keras.Model(inputs, k.Dense(5, activation="log_softmax")(x))


def merges():
    inputs = k.Input((6, 6, 4))
    a = k.Conv2D(4, 1, activation="relu6")(inputs)
    b = k.Conv2D(4, 1, activation="hard_silu")(inputs)
    x = k.Add()([a, b, inputs])
    x = k.Multiply()([x, k.GlobalMaxPooling2D(keepdims=True)(a)])
    x = k.Subtract()([x, k.Minimum()([a, b])])
    x = k.Maximum()([x, k.Average()([a, b, inputs])])
    x = k.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, k.Dense(3)(x))


def recurrent():
    inputs = k.Input((9, 5))
    a = k.LSTM(6, return_sequences=True)(inputs)
    b = k.GRU(6, return_sequences=True, go_backwards=True)(inputs)
    c = k.SimpleRNN(6, return_sequences=True, activation="relu")(inputs)
    x = k.Concatenate()([a, b, c])
    x = k.GRU(4, reset_after=False, return_sequences=True)(x)
    x = k.LSTM(4, recurrent_activation="hard_sigmoid", use_bias=False)(x)
    return keras.Model(inputs, k.Dense(2)(x))


def embedded():
    inputs = k.Input((7,), dtype="int32")
    x = k.Embedding(11, 5)(inputs)
    x = k.LSTM(4)(x)
    return keras.Model(inputs, k.Dense(2, activation="softmax")(x))


def two_outputs():
    inputs = k.Input((4, 4, 2))
    x = k.Conv2D(3, 3)(inputs)
    return keras.Model(inputs, [k.Flatten()(x), k.GlobalAveragePooling2D()(x)])


def hgq2():
    """Each element has bits of its own, some none at all; activations wrap around."""
    random = np.random.default_rng(3)
    with (
        QuantizerConfigScope(place="all", default_q_type="kbi", overflow_mode="SAT_SYM"),
        QuantizerConfigScope(
            place="datalane", default_q_type="kif", overflow_mode="WRAP", f0=4, i0=3
        ),
        LayerConfigScope(enable_ebops=False),
    ):
        x = inputs = keras.Input((6, 6, 2))
        x = QConv2D(4, 3, activation="relu")(x)
        x = k.Flatten()(x)
        model = keras.Model(inputs, QDense(3)(x))
    for variable in model.weights:
        if variable.path.endswith(("/f", "/b", "/i")) and variable.shape:
            variable.assign(np.asarray(variable) + random.integers(-2, 3, variable.shape))
    return model


BUILDERS = (
    convolutions, convolutions_1d, pools_and_shapes, merges, recurrent, embedded, two_outputs, hgq2,
)  # fmt: skip


def main(folder: Path) -> None:
    random = np.random.default_rng(0)
    for build in BUILDERS:
        keras.utils.set_random_seed(1)
        model = build()
        for variable in (
            model.weights if build is not hgq2 else ()
        ):  # no zeros and ones: each weight must matter
            values = random.normal(0, 0.4, variable.shape)
            if "variance" in variable.path:
                values = np.abs(values) + 0.5
            variable.assign(values)
        model.save(folder / f"{build.__name__}.keras")
        shape = (20, *model.input_shape[1:])
        whole = build is embedded
        x = random.integers(0, 11, shape) if whole else random.normal(size=shape)
        np.savez(folder / f"{build.__name__}.npz", x=x.astype(np.float32))


main(Path(sys.argv[1]))
