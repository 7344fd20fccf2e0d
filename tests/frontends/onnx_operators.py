"""Small ONNX graphs, one operator and its attributes each: the Network's Keras twin against ONNX
Runtime.

Run by the toolchain's Python with a folder: prints one JSON object; by case the largest difference,
the outputs' range, and the kinds of layers, or what was refused.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from edgeflow.errors import EdgeflowError
from edgeflow.frontends import keras_build_job
from edgeflow.frontends.onnx_file_job import read
from edgeflow.frontends.onnx_graph_job import Translator

RNG = np.random.default_rng(11)
IMAGE, LINE, FLAT = (4, 9, 8), (4, 12), (6,)


def weight(*shape):
    return RNG.normal(0, 0.5, shape).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


def one(operator, shape, weights=(), opset=17, **attributes):
    """A graph of one node; an empty weight is an input left out."""
    names = [f"w{i}" if w is not None else "" for i, w in enumerate(weights)]
    node = helper.make_node(operator, ["x", *names], ["y"], **attributes)
    given = {n: w for n, w in zip(names, weights, strict=True) if w is not None}
    return [node], shape, given, opset


def several(shape, weights, *nodes, opset=17):
    made = [helper.make_node(op, list(i), list(o), **at) for op, i, o, at in nodes]
    return made, shape, weights, opset


def recurrent(operator, direction="forward", whole=False, bias=True, opset=17, **attributes):
    """Batch in the middle, as PyTorch exports it: two transposes around."""
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[operator]
    weights = {"w": weight(1, gates * 5, 4), "r": weight(1, gates * 5, 5)}
    inputs = ["t", "w", "r"]
    if bias:
        weights["b"] = weight(1, 2 * gates * 5)
        inputs.append("b")
    nodes = [
        ("Transpose", ["x"], ["t"], {"perm": [1, 0, 2]}),
        (operator, inputs, ["s"] if whole else ["", "s"],
         {"hidden_size": 5, "direction": direction, **attributes}),
    ]  # fmt: skip
    if whole:
        weights["axis"] = ints(1)
        nodes += [
            ("Squeeze", ["s", "axis"], ["q"], {}),
            ("Transpose", ["q"], ["y"], {"perm": [1, 0, 2]}),
        ]
    else:
        weights["axis"] = ints(0)
        nodes.append(("Squeeze", ["s", "axis"], ["y"], {}))
    return several((12, 4), weights, *nodes, opset=opset)


def conv(rank, k=(3, 3), out=6, group=1, shape=None, bias=True, **attributes):
    shape = shape or (IMAGE if rank == 2 else LINE)
    w = weight(out, shape[0] // group, *k[:rank])
    return one("Conv", shape, [w, weight(out)] if bias else [w], group=group, **attributes)


def turned(k, strides, channels=5, **attributes):
    shape = IMAGE if len(k) == 2 else LINE
    weights = [weight(4, channels, *k), weight(channels)]
    return one("ConvTranspose", shape, weights, strides=strides, **attributes)


CASES = {
    "conv": conv(2), "conv strides": conv(2, strides=[2, 2], pads=[1, 1, 1, 1]),
    "conv same": conv(2, auto_pad="SAME_UPPER", strides=[2, 2]),
    "conv lower": conv(2, auto_pad="SAME_LOWER", strides=[2, 2]),
    "conv valid": conv(2, auto_pad="VALID"), "conv dilated": conv(2, dilations=[2, 2], bias=False),
    "conv uneven": conv(2, pads=[0, 1, 2, 0]), "conv grouped": conv(2, group=2),
    "conv 1d": conv(1, k=(3,), pads=[1, 1]), "conv 1d causal": conv(1, k=(3,), pads=[2, 0], strides=[2]),
    "depthwise": conv(2, out=4, group=4, pads=[1, 1, 1, 1]),
    "depthwise twice": conv(2, out=8, group=4, strides=[2, 2]),
    "depthwise uneven": conv(2, out=4, group=4, strides=[2, 1]),
    "depthwise dilated": conv(2, out=4, group=4, dilations=[2, 2]),
    "depthwise 1d": conv(1, k=(3,), out=8, group=4),
    "transposed": turned([3, 3], [2, 2], pads=[1, 1, 1, 1]),
    "transposed more": turned([3, 3], [2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]),
    "transposed same": turned([3, 3], [2, 2], auto_pad="SAME_UPPER"),
    "transposed 1d": turned([4], [2], pads=[1, 1]),
    "transposed small": turned([2, 2], [3, 3]),
    "transposed dilated": turned([3, 3], [1, 1], dilations=[2, 2]),
    "gemm": one("Gemm", FLAT, [weight(5, 6), weight(5)], transB=1, alpha=0.5, beta=2.0),
    "gemm plain": one("Gemm", FLAT, [weight(6, 5)]), "matmul": one("MatMul", FLAT, [weight(6, 5)]),
    "matmul deep": one("MatMul", LINE, [weight(12, 5)]),
    "matmul image": one("MatMul", IMAGE, [weight(8, 5)]),
    "matmul left": several(LINE, {"w": weight(5, 4)}, ("MatMul", ["w", "x"], ["y"], {})),
    "matmul both": several(
        LINE, {}, ("Transpose", ["x"], ["t"], {"perm": [0, 2, 1]}), ("MatMul", ["x", "t"], ["y"], {})
    ),
    "norm": one("BatchNormalization", IMAGE, [weight(4), weight(4), weight(4), abs(weight(4)) + 0.3]),
    "norm flat": one("BatchNormalization", FLAT, [weight(6), weight(6), weight(6), abs(weight(6)) + 0.3], epsilon=0.01),
    "layer norm": one("LayerNormalization", LINE, [weight(12), weight(12)]),
    "layer norm image": one("LayerNormalization", IMAGE, [weight(4, 9, 8), weight(4, 9, 8)], axis=1),
    "instance norm": one("InstanceNormalization", IMAGE, [weight(4), weight(4)]),
    "max pool": one("MaxPool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    "max pool ceil": one("MaxPool", IMAGE, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
    "max pool same": one("MaxPool", IMAGE, kernel_shape=[3, 2], strides=[2, 2], auto_pad="SAME_LOWER"),
    "max pool dilated": one("MaxPool", IMAGE, kernel_shape=[2, 2], dilations=[2, 2]),
    "max pool 1d": one("MaxPool", LINE, kernel_shape=[3], strides=[2]),
    "avg pool": one("AveragePool", IMAGE, kernel_shape=[2, 3], strides=[2, 2]),
    "avg pool counted": one("AveragePool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1),
    "avg pool padded": one("AveragePool", IMAGE, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1]),
    "avg pool uneven": one("AveragePool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    "avg pool ceil": one("AveragePool", IMAGE, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
    "avg pool ceil counted": one("AveragePool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1, count_include_pad=1, opset=19),
    "avg pool same": one("AveragePool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
    "avg pool 1d": one("AveragePool", LINE, kernel_shape=[2], strides=[2]),
    "global avg": one("GlobalAveragePool", IMAGE), "global max": one("GlobalMaxPool", IMAGE),
    "global avg 1d": one("GlobalAveragePool", LINE),
    "global then dense": several(
        IMAGE, {"w": weight(4, 3)}, ("GlobalAveragePool", ["x"], ["g"], {}),
        ("Flatten", ["g"], ["f"], {}), ("Gemm", ["f", "w"], ["y"], {}),
    ),
    "conv flatten gemm": several(
        IMAGE, {"k": weight(3, 4, 3, 3), "w": weight(126, 5), "v": weight(126)},
        ("Conv", ["x", "k"], ["c"], {}), ("Relu", ["c"], ["r"], {}), ("Flatten", ["r"], ["f"], {}),
        ("Mul", ["f", "v"], ["m"], {}), ("Gemm", ["m", "w"], ["y"], {}),
    ),
    "add constant": one("Add", IMAGE, [weight(4, 1, 1)]), "add number": one("Add", IMAGE, [weight()]),
    "add whole": one("Add", IMAGE, [weight(4, 9, 8)]), "sub from": several(
        IMAGE, {"w": weight(4, 1, 1)}, ("Sub", ["w", "x"], ["y"], {})),
    "mul row": one("Mul", IMAGE, [weight(8)]), "div": one("Div", IMAGE, [abs(weight(4, 1, 1)) + 0.5]),
    "div by": several(IMAGE, {"w": weight()}, ("Exp", ["x"], ["e"], {}), ("Div", ["w", "e"], ["y"], {})),
    "max number": one("Max", IMAGE, [weight()]), "min number": one("Min", LINE, [weight()]),
    "gate": several(
        IMAGE, {}, ("GlobalAveragePool", ["x"], ["g"], {}), ("Sigmoid", ["g"], ["s"], {}),
        ("Mul", ["x", "s"], ["y"], {}),
    ),
    "concat": several(IMAGE, {}, ("Relu", ["x"], ["r"], {}), ("Concat", ["x", "r"], ["y"], {"axis": 1})),
    "concat rows": several(IMAGE, {}, ("Relu", ["x"], ["r"], {}), ("Concat", ["x", "r"], ["y"], {"axis": -2})),
    "concat pooled": several(
        IMAGE, {}, ("MaxPool", ["x"], ["a"], {"kernel_shape": [2, 2]}),
        ("AveragePool", ["x"], ["b"], {"kernel_shape": [2, 2]}),
        ("Concat", ["a", "b"], ["y"], {"axis": 2}),
    ),
    "split": several(IMAGE, {}, ("Split", ["x"], ["a", "b"], {"axis": 1}), ("Sub", ["a", "b"], ["y"], {})),
    "reshape": one("Reshape", IMAGE, [ints(1, 4, 72)]), "reshape zero": one("Reshape", IMAGE, [ints(0, 2, -1)]),
    "squeeze": several(LINE, {"a": ints(2)}, ("Unsqueeze", ["x", "a"], ["u"], {}), ("Squeeze", ["u", "a"], ["y"], {})),
    "transpose": one("Transpose", IMAGE, perm=[0, 2, 3, 1]), "transpose odd": one("Transpose", IMAGE, perm=[0, 3, 1, 2]),
    "transpose rows": one("Transpose", LINE, perm=[0, 2, 1]),
    "flatten": one("Flatten", IMAGE), "flatten line": one("Flatten", LINE, axis=1),
    "pad": one("Pad", IMAGE, [ints(0, 0, 1, 2, 0, 0, 2, 1)]),
    "pad value": one("Pad", IMAGE, [ints(0, 0, 1, 0, 0, 0, 0, 1), np.float32(0.5)]),
    "pad channels": one("Pad", IMAGE, [ints(0, 2, 0, 0, 0, 1, 0, 0)]),
    "pad line": one("Pad", LINE, [ints(0, 0, 1, 0, 0, 2)]),
    "slice": one("Slice", IMAGE, [ints(1, 0), ints(3, -1), ints(1, 3), ints(1, 2)]),
    "resize": one("Resize", IMAGE, [None, np.array([1, 1, 2, 3], np.float32)], mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
    "resize linear": one("Resize", IMAGE, [None, None, ints(1, 4, 13, 11)], mode="linear", coordinate_transformation_mode="half_pixel"),
    "resize corners": one("Resize", IMAGE, [None, None, ints(1, 4, 13, 11)], mode="linear", coordinate_transformation_mode="align_corners"),
    "softmax": one("Softmax", IMAGE, axis=1), "softmax last": one("Softmax", IMAGE, axis=-1),
    "softmax 12": one("Softmax", FLAT, opset=12), "softmax rows": one("Softmax", IMAGE, axis=2),
    "softmax line 12": one("Softmax", LINE, opset=12),
    "log softmax": one("LogSoftmax", FLAT, axis=-1),
    **{op: one(op, IMAGE) for op in (
        "Relu Elu Selu Sigmoid HardSigmoid HardSwish Tanh Softplus Softsign Exp LeakyRelu ThresholdedRelu Identity".split())},
    "gelu": one("Gelu", LINE, opset=20), "gelu tanh": one("Gelu", LINE, opset=20, approximate="tanh"),
    "gelu erf": several(
        LINE, {"r": np.float32(2**0.5), "o": np.float32(1), "h": np.float32(0.5)},
        ("Div", ["x", "r"], ["a"], {}), ("Erf", ["a"], ["b"], {}), ("Add", ["b", "o"], ["c"], {}),
        ("Mul", ["x", "c"], ["d"], {}), ("Mul", ["d", "h"], ["y"], {}),
    ),
    "silu": several(LINE, {}, ("Sigmoid", ["x"], ["s"], {}), ("Mul", ["x", "s"], ["y"], {})),
    "prelu": one("PRelu", IMAGE, [weight(4, 1, 1)]), "prelu one": one("PRelu", IMAGE, [weight(1)]),
    "clip": one("Clip", IMAGE, [np.float32(-0.5), np.float32(0.7)]), "clip six": one("Clip", IMAGE, [np.float32(0), np.float32(6)]),
    "clip old": one("Clip", IMAGE, opset=10, min=0.0, max=0.5), "clip top": one("Clip", IMAGE, [None, np.float32(0.5)]),
    "mean": one("ReduceMean", IMAGE, axes=[2, 3], keepdims=0), "mean last": one("ReduceMean", IMAGE, axes=[-1]),
    "mean 18": one("ReduceMean", IMAGE, [ints(2, 3)], opset=18, keepdims=1), "max": one("ReduceMax", IMAGE, axes=[1]),
    "sum": one("ReduceSum", LINE, [ints(1)], keepdims=0),
    **{f"{op} {'whole' if whole else 'last'} {way}": recurrent(op, way, whole)
       for op in ("LSTM", "GRU", "RNN") for whole in (False, True) for way in ("forward", "reverse")},
    "GRU before": recurrent("GRU", linear_before_reset=0, whole=True),
    "GRU after": recurrent("GRU", linear_before_reset=1, whole=True),
    "GRU after bare": recurrent("GRU", linear_before_reset=1, bias=False),
    "LSTM bare": recurrent("LSTM", bias=False), "RNN relu": recurrent("RNN", activations=["Relu"]),
    "LSTM hard": recurrent("LSTM", activations=["HardSigmoid", "Tanh", "Tanh"]),
    "LSTM two ways": several(
        (12, 4), {"w": weight(2, 20, 4), "r": weight(2, 20, 5), "b": weight(2, 40), "n": ints(0, 0, -1)},
        ("Transpose", ["x"], ["t"], {"perm": [1, 0, 2]}),
        ("LSTM", ["t", "w", "r", "b"], ["s"], {"hidden_size": 5, "direction": "bidirectional"}),
        ("Transpose", ["s"], ["u"], {"perm": [0, 2, 1, 3]}), ("Reshape", ["u", "n"], ["v"], {}),
        ("Transpose", ["v"], ["y"], {"perm": [1, 0, 2]}),
    ),
    "GRU and its end": several(
        (12, 4), {"w": weight(1, 15, 4), "r": weight(1, 15, 5), "z": np.zeros((1, 1, 5), np.float32), "one": ints(1), "none": ints(0)},
        ("Transpose", ["x"], ["t"], {"perm": [1, 0, 2]}),
        ("GRU", ["t", "w", "r", "", "", "z"], ["s", "h"], {"hidden_size": 5, "linear_before_reset": 1}),
        ("Squeeze", ["s", "one"], ["u"], {}), ("Transpose", ["u"], ["v"], {"perm": [1, 0, 2]}),
        ("ReduceMean", ["v"], ["m"], {"axes": [1], "keepdims": 0}), ("Squeeze", ["h", "none"], ["e"], {}),
        ("Add", ["m", "e"], ["y"], {}),
    ),
    "last step": several(
        (12, 4), {"i": np.array(-1)}, ("Gather", ["x", "i"], ["y"], {"axis": 1})),
    "sqrt": one("Sqrt", LINE), "einsum": one("Einsum", LINE, [weight(12, 3)], equation="bcs,st->bct"),
}  # fmt: skip


def build(case):
    nodes, shape, weights, opset = CASES[case]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, *shape])],
        [helper.make_empty_tensor_value_info("y")],
        [numpy_helper.from_array(np.asarray(w), n) for n, w in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    return onnx.shape_inference.infer_shapes(model), shape


def one_case(case, path):
    model, shape = build(case)
    onnx.save(model, path)
    x = np.random.default_rng(3).uniform(-1, 1, (3, *shape)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    want = np.concatenate([session.run(None, {"x": row[None]})[0] for row in x])
    try:
        network, arrays = Translator(read(path, "case.onnx"), "case.onnx").network(
            {"format": "onnx", "file": "case.onnx"}
        )
        kinds = [layer.kind for layer in network]
        twin = keras_build_job.build(network, arrays)
    except EdgeflowError as error:
        return {"refused": f"{error} {getattr(error, 'details', '')}"}
    have = np.asarray(twin(x, training=False))
    assert have.shape == want.shape, (have.shape, want.shape)
    return {
        "gap": float(np.abs(have - want).max()),
        "spread": float(np.ptp(want)),
        "kinds": kinds,
    }


def bad(path):
    """What is said of files that cannot be used; damaged ones by seeded mutation."""
    found = {}

    def load():
        try:
            Translator(read(path, "bad.onnx"), "bad.onnx").network(
                {"format": "onnx", "file": "bad.onnx"}
            )
        except EdgeflowError as error:
            return str(error)
        return "loaded"

    def saved(name, change):
        model, _ = build("conv flatten gemm")
        change(model)
        path.write_bytes(model.SerializeToString())
        found[name] = load()

    def dynamic(model):
        model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"

    def shapeless(model):
        model.graph.input[0].type.tensor_type.ClearField("shape")

    def newer(model):
        model.opset_import[0].version = 99

    def outside(model):
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../../../../etc/passwd")

    def hidden(model):
        outside(model)
        node = helper.make_node("Constant", [], ["k"], value=model.graph.initializer[0])
        del model.graph.initializer[0]
        model.graph.node.insert(0, node)

    for change in (dynamic, shapeless, newer, outside, hidden):
        saved(change.__name__, change)
    model, _ = build("gate")
    whole = model.SerializeToString()
    random = np.random.default_rng(5)
    outcomes = []
    for _ in range(80):
        content = bytearray(whole)
        for at in random.integers(0, len(content), random.integers(1, 5)):
            content[at] = random.integers(0, 256)
        if random.random() < 0.3:
            content = content[: random.integers(1, len(content))]
        path.write_bytes(bytes(content))
        outcomes.append(load())
    found["damaged"] = outcomes
    return found


def main():
    path = Path(sys.argv[1]) / "case.onnx"
    found = {}
    for case in CASES:
        try:
            found[case] = one_case(case, path)
        except Exception as error:  # noqa: BLE001 - the test names every case that fails
            found[case] = {"broken": f"{type(error).__name__}: {str(error)[:300]}"}
    found = {"operators": found, "bad": bad(path)}
    json.dump(found, sys.stdout)


main()
