"""Each kind of layer alone, written as ONNX and run, against the Keras twin.

Run by the toolchain's Python: prints one JSON object, the largest difference and the outputs' range
by case.
"""

import json
import sys
from dataclasses import replace

import numpy as np

from edgeflow.backends.onnxruntime.job import write
from edgeflow.backends.onnxruntime.run_job import open_session
from edgeflow.frontends import keras_build_job
from edgeflow.network import ACTIVATIONS, Layer, Network, Quantizer, Weight

IMAGE, LINE, FLAT = (8, 7, 4), (12, 4), (6,)
PARAMS = {"precision": "float32", "opset": 17, "input_layout": None, "output_layout": None}
ONE = {"strides": [1], "padding": "same", "dilation_rate": [1], "groups": 1}
TWO = {"strides": [1, 1], "padding": "same", "dilation_rate": [1, 1], "groups": 1}
NORM = dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), (4,))
STEPS = {"units": 6, "return_sequences": False}
WHOLE = {"units": 6, "return_sequences": True, "go_backwards": True}
LSTM = {"kernel": (4, 24), "recurrent_kernel": (6, 24), "bias": (24,)}
GRU = {"kernel": (4, 18), "recurrent_kernel": (6, 18), "bias": (2, 18)}
RNN = {"kernel": (4, 6), "recurrent_kernel": (6, 6), "bias": (6,)}


def pool(size, strides, padding):
    return {"pool_size": size, "strides": strides, "padding": padding}


CASES = {
    "dense": (FLAT, (5,), {}, {"kernel": (6, 5), "bias": (5,)}),
    "dense deep": (LINE, (12, 5), {}, {"kernel": (4, 5), "bias": (5,)}),
    "dense image": (IMAGE, (8, 7, 5), {}, {"kernel": (4, 5)}),
    "conv1d": (LINE, (12, 5), ONE, {"kernel": (3, 4, 5), "bias": (5,)}),
    "conv1d causal": (LINE, (6, 5), {**ONE, "padding": "causal", "strides": [2]}, {"kernel": (3, 4, 5)}),
    "conv1d dilated": (LINE, (12, 5), {**ONE, "dilation_rate": [2]}, {"kernel": (3, 4, 5)}),
    "conv2d": (IMAGE, (4, 4, 6), {**TWO, "strides": [2, 2]}, {"kernel": (3, 2, 4, 6), "bias": (6,)}),
    "conv2d grouped": (IMAGE, (6, 5, 6), {**TWO, "padding": "valid", "groups": 2}, {"kernel": (3, 3, 2, 6)}),
    "depthwise_conv1d": (LINE, (12, 8), ONE, {"kernel": (3, 4, 2), "bias": (8,)}),
    "depthwise_conv2d": (IMAGE, (4, 4, 8), {**TWO, "strides": [2, 2]}, {"kernel": (3, 3, 4, 2), "bias": (8,)}),
    "conv1d_transpose": (LINE, (24, 5), {"strides": [2], "padding": "same"}, {"kernel": (3, 4, 5), "bias": (5,)}),
    "conv2d_transpose": (IMAGE, (16, 14, 5), {"strides": [2, 2], "padding": "same"}, {"kernel": (3, 4, 4, 5), "bias": (5,)}),
    "conv2d_transpose valid": (IMAGE, (24, 21, 5), {"strides": [3, 3], "padding": "valid"}, {"kernel": (2, 2, 4, 5)}),
    "batch_norm": (IMAGE, IMAGE, {"epsilon": 1e-3, "axis": -1}, NORM),
    "batch_norm flat": ((4,), (4,), {"epsilon": 1e-3, "axis": -1}, NORM),
    "scale": (IMAGE, IMAGE, {}, {"scale": (4,), "offset": (4,)}),
    "layer_norm": (LINE, LINE, {"epsilon": 1e-3, "axis": [-1]}, {"gamma": (4,), "beta": (4,)}),
    "max_pool1d": (LINE, (6, 4), pool([3], [2], "same"), {}),
    "max_pool2d": (IMAGE, (4, 4, 4), pool([3, 2], [2, 2], "same"), {}),
    "avg_pool1d": (LINE, (6, 4), pool([2], [2], "valid"), {}),
    "avg_pool2d": (IMAGE, (4, 4, 4), pool([3, 3], [2, 2], "same"), {}),
    "global_avg_pool1d": (LINE, (4,), {}, {}),
    "global_avg_pool2d": (IMAGE, (1, 1, 4), {"keepdims": True}, {}),
    "global_max_pool1d": (LINE, (4,), {}, {}), "global_max_pool2d": (IMAGE, (4,), {}, {}),
    "flatten": (IMAGE, (224,), {}, {}), "reshape": (IMAGE, (28, 8), {}, {}),
    "transpose": (IMAGE, (4, 8, 7), {"dims": [3, 1, 2]}, {}),
    "transpose last": (IMAGE, (7, 4, 8), {"dims": [2, 3, 1]}, {}),
    "pad": (IMAGE, (9, 10, 4), {"padding": [[1, 0], [1, 2], [0, 0]], "value": 0.5}, {}),
    "crop": (IMAGE, (6, 6, 4), {"cropping": [[1, 1], [0, 1], [0, 0]]}, {}),
    "upsample": (IMAGE, (16, 21, 4), {"size": [2, 3]}, {}),
    "upsample smooth": (IMAGE, (16, 14, 4), {"size": [2, 2], "interpolation": "bilinear"}, {}),
    "upsample line": (LINE, (24, 4), {"size": [2]}, {}),
    "resize_bilinear": (IMAGE, (11, 13, 4), {"size": [11, 13]}, {}),
    "resize_bilinear centres": (IMAGE, (11, 13, 4), {"size": [11, 13], "half_pixel_centers": True}, {}),
    "resize_bilinear corners": (IMAGE, (11, 13, 4), {"size": [11, 13], "align_corners": True}, {}),
    "slice": (IMAGE, (4, 7, 2), {"begin": [0, 0, 1], "end": [8, 7, 3], "strides": [2, 1, 1]}, {}),
    "slice dropping": (IMAGE, (7, 4), {"begin": [2, 0, 0], "end": [3, 7, 4], "strides": [1, 1, 1]}, {}),
    "mean": (IMAGE, (4,), {"axis": [1, 2]}, {}),
    "max": (IMAGE, (8, 7, 1), {"axis": [-1], "keepdims": True}, {}),
    "sum": (IMAGE, (4,), {"axis": [1, 2]}, {}),
    "lstm": (LINE, (6,), STEPS, LSTM), "lstm whole": (LINE, (12, 6), WHOLE, LSTM),
    "gru": (LINE, (6,), {**STEPS, "recurrent_activation": "hard_sigmoid"}, GRU),
    "gru before": (LINE, (12, 6), {**WHOLE, "reset_after": False}, {**GRU, "bias": (18,)}),
    "simple_rnn": (LINE, (6,), {**STEPS, "activation": "relu"}, RNN),
    "embedding": ((12,), (12, 3), {}, {"embeddings": (10, 3)}),
    "quantize": (IMAGE, IMAGE, {}, {}), "dequantize": (IMAGE, IMAGE, {}, {}),
    "identity": (IMAGE, IMAGE, {}, {}),
    "matmul": (LINE, (12, 12), {"transpose_b": True}, {}),
    "concat": (IMAGE, (8, 7, 8), {}, {}), "concat rows": (IMAGE, (16, 7, 4), {"axis": 1}, {}),
    **{k: (IMAGE, IMAGE, {}, {}) for k in "add sub mul div maximum minimum average".split()},
    **{k: (IMAGE, IMAGE, {}, {"alpha": (1, 1, 4)} if k == "prelu" else {}) for k in ACTIVATIONS},
    "thresholded_relu": (IMAGE, IMAGE, {"theta": 0.3}, {}),
    "relu limited": (IMAGE, IMAGE, {"max_value": 0.5}, {}),
    "gelu rough": (IMAGE, IMAGE, {"approximate": True}, {}),
}  # fmt: skip
TWICE = frozenset("concat add sub mul div maximum minimum average matmul".split())


def fixed(bits, integer, **more):
    return Quantizer("fixed", bits, integer=integer, **more)


ROUNDINGS = {
    "signed": fixed(5, 1), "unsigned": fixed(4, 0, signed=False), "narrow": fixed(4, 0, narrow=True),
    "floor": fixed(6, 0, rounding="TRN"), "half up": fixed(4, 0, rounding="RND"),
    "wrapping": fixed(4, 0, overflow="WRAP"), "symmetric": fixed(4, 0, overflow="SAT_SYM"),
    "affine": Quantizer("affine", 8, scale=(0.01,), zero_point=(7,)),
    "per channel": Quantizer("affine", 8, scale=(0.01, 0.02, 0.03, 0.02), zero_point=(0,) * 4, axis=-1),
    "binary": Quantizer("binary", 1, scale=(0.5,)), "half": Quantizer("float", 16),
}  # fmt: skip


def network_of(case):
    shape, output, attributes, roles = CASES[case]
    kind = case.split(" ", maxsplit=1)[0]
    layers = [Layer("x", "input", (), (), shape)]
    reads = ("x",)
    if kind in TWICE:
        layers.append(Layer("h", "sigmoid", ("x",), (shape,), shape))
        reads = ("x", "h")
    weights = {role: Weight(size) for role, size in roles.items()}
    layers.append(Layer("k", kind, reads, (shape,) * len(reads), output, attributes, weights))
    return Network("n", tuple(layers), ("x",), ("k",), {"format": "network"})


def difference(network, arrays, x, params):
    _, model, ports = write(network, arrays, params)
    twin = keras_build_job.build(network, arrays, quantize=True)
    want = np.asarray(twin(x, training=False))
    entry, result = ports["inputs"][0], ports["outputs"][0]
    given = x.transpose(entry["permute"]) if entry["permute"] else x
    gap = 0.0
    for optimised in (False, True):
        session = open_session(model.SerializeToString(), optimised)
        for index in range(len(x)):
            row = np.ascontiguousarray(given[index : index + 1])
            y = session.run(None, {entry["name"]: row})[0]
            assert list(y.shape) == result["shape"], (y.shape, result["shape"])
            if result["permute"]:
                y = y.transpose(np.argsort(result["permute"]))
            gap = max(gap, float(np.abs(y.reshape(want[index].shape) - want[index]).max()))
    return gap, float(np.ptp(want))


def main():
    random = np.random.default_rng(0)
    found = {}
    for case, (shape, _, _, roles) in CASES.items():
        network = network_of(case)
        arrays = {
            f"k/{r}": np.abs(random.normal(0, 0.5, s)).astype(np.float32) for r, s in roles.items()
        }
        x = random.uniform(-1, 1, (3, *shape)).astype(np.float32)
        if case == "embedding":
            x = random.integers(0, 10, (3, *shape)).astype(np.float32)
        opset = 13 if network["k"].kind in ("mean", "max", "hard_silu") else 17
        opset = 18 if case in ("mean", "max") else opset
        for layouts in (None, "channels_first") if len(shape) > 1 else (None,):
            params = {**PARAMS, "opset": opset, "input_layout": layouts, "output_layout": layouts}
            found[f"{case}, {layouts}"] = difference(network, arrays, x, params)
    x = random.uniform(-3, 3, (8, *IMAGE)).astype(np.float32)
    for name, quantizer in ROUNDINGS.items():
        network = network_of("tanh")
        rounded = replace(network["k"], quantizer=quantizer)
        network = network.with_layers((network["x"], rounded))
        found[f"rounding {name}"] = difference(network, {}, x, PARAMS)
    json.dump(found, sys.stdout)


main()
