"""Makes small models and their outputs; run by a toolchain's Python: make_models.py WHAT FOLDER."""

import sys
from pathlib import Path

import numpy as np

RNG = np.random.default_rng(7)


def save(folder, name, model, shape, suffixes=(".keras", ".h5"), low=-1.0):
    x = RNG.uniform(low, 1, (20, *shape)).astype(np.float32)
    for variable in model.weights:  # away from zeros and ones; variances stay positive
        values = np.asarray(variable)
        noise = RNG.uniform(0.1, 0.9, values.shape)
        label = getattr(variable, "path", None) or variable.name
        if any(word in label for word in ("gamma", "variance")):
            variable.assign(0.5 + noise)
        elif any(word in label for word in ("beta:", "bias", "moving_mean", "/beta", "alpha")):
            variable.assign(noise - 0.5)
    y = np.asarray(model(x, training=False))
    for suffix in suffixes:
        model.save(folder / f"{name}{suffix}")
    np.savez(folder / f"{name}.npz", x=x, y=y)


def plain(folder, keras, legacy):
    layers = keras.layers
    i = layers.Input((12, 10, 3))
    a = layers.Conv2D(6, 3, strides=2, padding="same", activation="relu")(i)
    a = layers.BatchNormalization()(a)
    b = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(a)
    b = layers.LeakyReLU()(b)
    b = layers.Conv2D(6, 1, activation="tanh")(b)
    c = layers.Add()([a, b])
    c = layers.SeparableConv2D(5, 3, padding="same", activation="elu")(c)
    c = layers.Conv2DTranspose(4, 3, strides=2, padding="same")(c)
    c = layers.ReLU(max_value=6.0)(c)
    c = layers.PReLU(shared_axes=[1, 2])(c)
    c = layers.ZeroPadding2D(((1, 0), (2, 1)))(c)
    c = layers.Cropping2D(((0, 1), (1, 1)))(c)
    c = layers.MaxPooling2D(2)(c)
    c = layers.UpSampling2D(2)(c)
    c = layers.AveragePooling2D(2, padding="same")(c)
    d = layers.GlobalAveragePooling2D()(c)
    e = layers.Flatten()(c)
    e = layers.Dropout(0.5)(e)
    e = layers.Dense(4, activation="sigmoid")(e)
    o = layers.Concatenate()([d, e])
    o = layers.Reshape((4, 2))(o)
    o = layers.Permute((2, 1))(o)
    o = layers.LayerNormalization()(o)
    o = layers.Flatten()(o)
    o = layers.Dense(5, activation="softmax")(o)
    save(folder, "image", keras.Model(i, o), (12, 10, 3))

    i = layers.Input((16, 4))
    a = layers.Conv1D(6, 3, padding="causal", dilation_rate=2, activation="swish")(i)
    a = layers.MaxPooling1D(2)(a)
    a = layers.LSTM(5, return_sequences=True)(a)
    b = layers.GRU(5, return_sequences=True)(a)
    a = layers.Multiply()([a, b])
    a = layers.Subtract()([a, b])
    a = layers.Maximum()([a, b])
    a = layers.Average()([a, b])
    a = layers.SimpleRNN(4)(a)
    a = layers.Dense(3, activation="hard_sigmoid")(a)
    a = layers.Rescaling(2.0, offset=-0.5)(a)
    save(folder, "sequence", keras.Model(i, a), (16, 4))

    inner_in = layers.Input((6,))
    inner = keras.Model(inner_in, layers.Dense(6, activation="gelu")(inner_in), name="inner")
    model = keras.Sequential([layers.Input((6,)), inner, layers.Dense(2), layers.Softmax()])
    save(folder, "nested", model, (6,))

    i = layers.Input((6,))
    shared = layers.Dense(6, activation="relu", name="twice")
    save(folder, "shared", keras.Model(i, layers.Add()([shared(shared(i)), i])), (6,))

    lam = keras.Sequential([layers.Input((3,)), layers.Lambda(lambda x: x + 1)])
    lam.save(folder / "lambda.keras")
    lam.save(folder / "lambda.h5")

    class Mine(layers.Layer):
        def call(self, x):
            return x * 2

    class Other(Mine):
        pass

    odd = keras.Sequential([layers.Input((3,)), Mine(name="first"), Other(name="second")])
    odd.save(folder / "custom.keras")
    odd.save(folder / "custom.h5")
    bad = keras.Sequential(
        [layers.Input((3,)), layers.Dense(4, name="good"), layers.Dense(2, name="bad")]
    )
    bad.get_layer("bad").set_weights([np.full((4, 2), np.nan), np.zeros(2)])
    bad.save(folder / "nan.keras")
    bad.save(folder / "nan.h5")
    del legacy


def qkeras(folder):
    import tf_keras as keras
    from qkeras import (
        QActivation,
        QBatchNormalization,
        QConv2D,
        QConv2DBatchnorm,
        QDense,
        QDepthwiseConv2D,
        binary,
        quantized_bits,
        quantized_po2,
        quantized_relu,
        quantized_sigmoid,
        quantized_tanh,
        ternary,
    )

    q = quantized_bits(6, 1, alpha=1)
    i = keras.layers.Input((8, 8, 2))
    a = QActivation(quantized_bits(8, 2, alpha=1))(i)
    a = QConv2D(4, 3, kernel_quantizer=quantized_bits(4, 0, alpha="auto"), bias_quantizer=q)(a)
    a = QBatchNormalization(
        gamma_quantizer=quantized_bits(8, 2, alpha=1),
        beta_quantizer=q,
        mean_quantizer=q,
        variance_quantizer=quantized_relu(8, 3),
    )(a)
    a = QActivation(quantized_relu(6, 2))(a)
    a = QDepthwiseConv2D(3, depthwise_quantizer=quantized_bits(5, 0, alpha=1), bias_quantizer=q)(a)
    a = QActivation(quantized_tanh(5))(a)
    a = QConv2DBatchnorm(3, 2, kernel_quantizer=q, bias_quantizer=q)(a)
    a = QActivation("quantized_relu(5,1,negative_slope=0.25)")(a)
    a = keras.layers.Flatten()(a)
    a = QDense(6, kernel_quantizer=ternary(alpha=1), bias_quantizer=quantized_po2(4, 2),
               activation=quantized_sigmoid(6))(a)  # fmt: skip
    a = QDense(4, kernel_quantizer=binary(alpha=1), use_bias=False)(a)
    a = QActivation(quantized_po2(4, 2))(a)
    a = QDense(3, kernel_quantizer=quantized_bits(3, 0, alpha="auto_po2"), use_bias=False)(a)
    a = keras.layers.Activation("softmax")(a)
    model = keras.Model(i, a)
    save(folder, "quantised", model, (8, 8, 2))
    (folder / "pair.json").write_text(model.to_json())
    model.save_weights(folder / "pair_weights.h5")


def hgq(folder):
    import keras
    from hgq.config import LayerConfigScope, QuantizerConfigScope
    from hgq.layers import QAdd, QConv2D, QDense, QEinsumDense

    with (
        QuantizerConfigScope(place="all", default_q_type="kbi", overflow_mode="SAT_SYM"),
        QuantizerConfigScope(
            place="datalane", default_q_type="kif", overflow_mode="WRAP", f0=5, i0=2
        ),
        LayerConfigScope(enable_ebops=True, beta0=1e-6),
    ):
        i = keras.layers.Input((6, 6, 2))
        a = QConv2D(4, 3, activation="relu")(i)
        b = QConv2D(4, 1)(a)
        a = QAdd()([a, b])
        a = keras.layers.Flatten()(a)
        a = QDense(6, activation="relu")(a)
        a = QEinsumDense("bc,cd->bd", 4, bias_axes="d")(a)
        model = keras.Model(i, a)
    x = RNG.uniform(-1, 1, (64, 6, 6, 2)).astype(np.float32)
    model(x, training=True)  # traces the ranges
    for variable in model.variables:  # bits that differ from element to element
        if variable.path.split("/")[-1] in ("f", "b") and variable.shape:
            variable.assign(np.round(RNG.uniform(2, 6, variable.shape)))
    model(x, training=True)
    save(folder, "hgq", model, (6, 6, 2), (".keras",))


def onnx_files(folder):
    """An image network as PyTorch exports it: channels first, shapes computed in the graph."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    def weight(name, *shape):
        return numpy_helper.from_array(RNG.normal(0, 0.4, shape).astype(np.float32), name)

    make = helper.make_node
    nodes = [
        make(
            "Conv", ["x", "w1", "b1"], ["a"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]
        ),
        make("BatchNormalization", ["a", "g", "bb", "m", "v"], ["b"], epsilon=1e-4),
        make("Clip", ["b", "zero", "six"], ["c"]),
        make("Conv", ["c", "w2"], ["d"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], group=4),
        make("PRelu", ["d", "slope"], ["d1"]),
        make("Mul", ["d1", "scale"], ["d2"]),
        make("Add", ["d2", "c"], ["e"]),
        make("Concat", ["e", "c"], ["f"], axis=1),
        make("MaxPool", ["f"], ["g1"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        make(
            "ConvTranspose",
            ["g1", "w3"],
            ["h"],
            kernel_shape=[3, 3],
            strides=[2, 2],
            pads=[1, 1, 1, 1],
        ),
        make(
            "Resize",
            ["h", "", "twice"],
            ["i"],
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        ),
        make("AveragePool", ["i"], ["j"], kernel_shape=[2, 2], strides=[2, 2]),
        make("Shape", ["j"], ["s"]),
        make("Gather", ["s", "first"], ["n"]),
        make("Unsqueeze", ["n", "axes0"], ["n1"]),
        make("Concat", ["n1", "minus"], ["shape"], axis=0),
        make("Reshape", ["j", "shape"], ["k"]),
        make("Gemm", ["k", "w4", "b4"], ["l"], transB=1),
        make("Sigmoid", ["l"], ["l1"]),
        make("Mul", ["l", "l1"], ["l2"]),
        make("MatMul", ["l2", "w5"], ["o"]),
        make("Add", ["o", "b5"], ["p"]),
        make("Softmax", ["p"], ["y"], axis=-1),
    ]
    variance = numpy_helper.from_array(RNG.uniform(0.5, 2, 4).astype(np.float32), "v")
    const = lambda name, value, kind: numpy_helper.from_array(np.array(value, kind), name)  # noqa: E731
    weights = [
        weight("w1", 4, 3, 3, 3), weight("b1", 4), weight("g", 4), weight("bb", 4), weight("m", 4),
        variance, weight("w2", 4, 1, 3, 3), weight("slope", 4, 1, 1), weight("scale", 4, 1, 1),
        weight("w3", 8, 3, 3, 3), weight("w4", 6, 75), weight("b4", 6), weight("w5", 6, 3),
        weight("b5", 3), const("zero", 0.0, np.float32), const("six", 6.0, np.float32),
        const("twice", [1, 1, 2, 2], np.float32), const("first", 0, np.int64),
        const("axes0", [0], np.int64), const("minus", [-1], np.int64),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 11, 11])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])], weights,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, folder / "image.onnx")
    x = RNG.uniform(-1, 1, (20, 3, 11, 11)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(folder / "image.onnx"))
    np.savez(folder / "image_onnx.npz", x=x, y=session.run(None, {"x": x})[0])
    bad = onnx.ModelProto()
    bad.CopyFrom(model)
    bad.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(np.full((4, 3, 3, 3), np.nan, np.float32), "w1")
    )
    onnx.save(bad, folder / "nan.onnx")
    onnx.save(model, folder / "outside.onnx", save_as_external_data=True, size_threshold=0)


if __name__ == "__main__":
    what, target = sys.argv[1], Path(sys.argv[2])
    target.mkdir(parents=True, exist_ok=True)
    if what == "keras2":
        import tf_keras

        tf_keras.utils.set_random_seed(1)
        plain(target, tf_keras, True)
        qkeras(target)
    else:
        import keras

        keras.utils.set_random_seed(1)
        plain(target, keras, False)
        hgq(target)
        onnx_files(target)
