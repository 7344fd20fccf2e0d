"""The digits job as a plain script: TensorFlow, qkeras, tfmot and hls4ml called directly.

`benchmarks/digits.py` runs it with the `qkeras` toolchain's Python, beside edgeflow. The steps
are those of the recipe: train a float CNN, retrain at 6 bits (QKeras) and int8 (tfmot), convert
and compile with hls4ml, convert to TFLite, emit StableHLO, run each on the same inputs, compare.

    python digits_plain.py FOLDER EPOCHS [RETRAIN_EPOCHS]
"""

import json
import os
import sys
import time
import types

os.environ.update(TF_USE_LEGACY_KERAS="1", TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
STARTED = time.monotonic()
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import tf_keras as keras  # noqa: E402

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def train(model, x, y, epochs):
    """Fit for exactly so many epochs, with a validation part as the recipe has."""
    cut = int(0.85 * len(x))
    model.compile(keras.optimizers.Adam(0.002), LOSS, metrics=["accuracy"])
    model.fit(
        x[:cut],
        y[:cut],
        validation_data=(x[cut:], y[cut:]),
        epochs=epochs,
        batch_size=32,
        verbose=0,
    )
    return model


CLASSES = {
    "conv2d": "Conv2D",
    "batch_normalization": "BatchNormalization",
    "relu": "ReLU",
    "max_pooling2d": "MaxPooling2D",
    "flatten": "Flatten",
    "dropout": "Dropout",
    "dense": "Dense",
}


def float_model(spec):
    """The recipe's layers in Keras 2."""
    made = [getattr(keras.layers, CLASSES[name])(**arguments) for name, arguments in spec]
    return keras.Sequential([keras.layers.Input((8, 8, 1)), *made])


def quantised(model):
    """Its 6-bit QKeras twin, with the weights carried over; batch norms stay as they are."""
    import qkeras

    weights = qkeras.quantized_bits(6, 0, alpha=1)
    rounded = {"kernel_quantizer": weights, "bias_quantizer": weights}
    layers = [keras.layers.Input((8, 8, 1))]
    for layer in model.layers:
        config = layer.get_config()
        if isinstance(layer, keras.layers.Conv2D):
            made = qkeras.QConv2D(
                layer.filters,
                layer.kernel_size,
                padding=layer.padding,
                strides=layer.strides,
                use_bias=layer.use_bias,
                **rounded,
            )
        elif isinstance(layer, keras.layers.Dense):
            made = qkeras.QDense(layer.units, **rounded)
        elif isinstance(layer, keras.layers.ReLU):
            made = qkeras.QActivation(qkeras.quantized_relu(6, 2))
        elif isinstance(layer, keras.layers.Dropout):
            continue
        else:
            made = layer.__class__.from_config(config)
        layers.append(made)
    twin = keras.Sequential(layers)
    twin.set_weights(model.get_weights())
    return twin


def hls(model, folder, x):
    """hls4ml's project, its C simulation on `x`."""
    before = sys.modules.get("keras")
    sys.modules["keras"] = keras
    import hls4ml

    config = hls4ml.utils.config_from_keras_model(model, granularity="name")
    converted = hls4ml.converters.convert_from_keras_model(
        model,
        hls_config=config,
        backend="Vitis",
        output_dir=folder,
        part="xc7z020clg400-1",
        io_type="io_stream",
    )
    converted.compile()
    if before is not None:
        sys.modules["keras"] = before
    return converted.predict(np.ascontiguousarray(x))


def tflite(model, x):
    """The int8 file and what LiteRT makes of `x`."""
    from ai_edge_litert.interpreter import Interpreter

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    content = converter.convert()
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    entry, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    found = []
    for sample in x:
        interpreter.set_tensor(entry["index"], sample[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(out["index"])[0])
    return content, np.array(found)


def main():
    """All steps in one process."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    folder, epochs, again = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    spec = json.loads(sys.argv[4])
    seconds = {"import": time.monotonic() - STARTED}

    def timed(name, work, *arguments):
        start = time.monotonic()
        result = work(*arguments)
        seconds[name] = time.monotonic() - start
        return result

    keras.utils.set_random_seed(0)
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).reshape(-1, 8, 8, 1).astype(np.float32)
    x, x_test, y, y_test = train_test_split(
        images, labels, test_size=0.25, stratify=labels, random_state=0
    )
    golden = np.concatenate([x_test, x])[:1000]
    model = timed("train", train, float_model(spec), x, y, epochs)
    reference = timed("predict", model.predict, golden)
    six = timed("retrain qkeras", train, quantised(model), x, y, again)
    projected = timed("hls4ml", hls, six, folder, golden)
    import tensorflow_model_optimization as tfmot

    if isinstance(getattr(tfmot, "quantization", None), types.ModuleType):
        eight = tfmot.quantization.keras.quantize_model(model)
    eight = timed("retrain int8", train, eight, x, y, again)
    _, lite = timed("tflite", tflite, eight, golden)
    frozen = tf.function(model, jit_compile=True)
    graph = timed(
        "stablehlo",
        lambda: frozen.experimental_get_compiler_ir(tf.zeros((1, 8, 8, 1)))(stage="stablehlo"),
    )
    n = len(x_test)
    print(
        json.dumps(
            {
                "seconds": {name: round(value, 2) for name, value in seconds.items()},
                "total": round(time.monotonic() - STARTED, 2),
                "accuracy": {
                    "float": float((reference[:n].argmax(1) == y_test).mean()),
                    "hls": float((projected[:n].reshape(n, -1).argmax(1) == y_test).mean()),
                    "int8": float((lite[:n].argmax(1) == y_test).mean()),
                },
                "hls_equal": float((projected == six.predict(golden)).mean()),
                "stablehlo_characters": len(graph),
            }
        )
    )


if __name__ == "__main__":
    main()
