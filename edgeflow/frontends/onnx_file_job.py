"""ONNX files: read without risk, made runnable by ONNX Runtime, and run.

QONNX's ``Quant`` and ``BipolarQuant`` nodes and its channels-last convolutions are rewritten into
standard operators with the same result, so that ONNX Runtime runs every file, and the value of
each tensor can be had.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeflow.errors import ModelError

Values = dict[str, np.ndarray[Any, Any]]
QONNX_DOMAINS = frozenset(
    [
        "onnx.brevitas",
        "qonnx.custom_op.general",
        "finn.custom_op.general",
        "qonnx.custom_op.channels_last",
    ]
)
QONNX_OPS = frozenset(["Quant", "IntQuant", "BipolarQuant"])
_ROUNDINGS = {
    "ROUND": "Round", "HALF_EVEN": "Round", "CEIL": "Ceil", "FLOOR": "Floor"
}  # fmt: skip


def read(path: Path, where: str) -> onnx.ModelProto:
    """Parse an ONNX file.

    Raises:
        ModelError: it is damaged, is not ONNX, or keeps its weights in other files.
    """
    remedy = "copy or download it again, or export the model again"
    try:
        model = onnx.load_model(str(path), load_external_data=False)
        if not model.graph.node or not model.graph.output:
            raise ModelError("the ONNX file holds no graph", where=where, remedy=remedy)
        outside = [tensor.name for tensor in _tensors(model.graph) if _external(tensor)]
        if outside:
            raise ModelError(
                "the ONNX file keeps weights in other files",
                where=where,
                details=outside[:8],
                remedy="save it as one file: onnx.save(onnx.load(FILE), NEW)",
            )
        _repair(model)
        onnx.checker.check_model(model, full_check=False)
    except ModelError:
        raise
    except onnx.checker.ValidationError as error:
        if not _is_extended(model):
            text = str(error).strip().splitlines()[0]
            raise ModelError(
                f"the ONNX file is not valid: {text}", where=where, remedy=remedy
            ) from None
    except Exception as error:  # noqa: BLE001 - protobuf raises many kinds on damaged files
        raise ModelError(
            f"expected an ONNX file: {type(error).__name__}", where=where, remedy=remedy
        ) from None
    return model


def _external(tensor: Any) -> bool:
    return tensor.data_location == TensorProto.EXTERNAL or bool(tensor.external_data)


def _tensors(graph: Any) -> Iterator[Any]:
    """Every tensor that a graph stores, in its nodes' attributes and their graphs too."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for item in node.attribute:
            yield from (item.t, *item.tensors)
            for sparse in (item.sparse_tensor, *item.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for inner in (item.g, *item.graphs):
                yield from _tensors(inner)


def _repair(model: onnx.ModelProto) -> None:
    """Undo a fault of OnnxMLTools: it turns matrices (batch, features) around batch norms.

    A batch norm normalises axis 1, which is then the batch: no runtime accepts such a file. Without
    the two transposes it computes what the Keras model did.
    """
    if model.producer_name != "OnnxMLTools":
        return
    makers = {node.output[0]: node for node in model.graph.node}
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for node in list(model.graph.node):
        before = makers.get(node.input[0]) if node.op_type == "BatchNormalization" else None
        after = readers.get(node.output[0], [])
        if before is None or len(after) != 1 or len(readers[node.input[0]]) != 1:
            continue
        pair = (before, after[0])
        if all(
            n.op_type == "Transpose" and attributes(n).get("perm", [1, 0]) == [1, 0] for n in pair
        ):
            node.input[0] = before.input[0]
            node.output[0] = after[0].output[0]
            for gone in pair:
                model.graph.node.remove(gone)


def _is_extended(model: onnx.ModelProto) -> bool:
    # older Brevitas leaves its operators in the standard domain
    return any(n.domain in QONNX_DOMAINS or n.op_type in QONNX_OPS for n in model.graph.node)


def is_qonnx(model: onnx.ModelProto) -> bool:
    """Whether it holds QONNX's quantisers."""
    return any(node.op_type in (*QONNX_OPS, "Trunc") for node in model.graph.node)


def inputs_of(model: onnx.ModelProto) -> list[Any]:
    """The graph's inputs that are not weights."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [item for item in model.graph.input if item.name not in weights]


def shape_of(value: Any) -> list[int | None]:
    """A tensor's declared shape; unknown dimensions are None."""
    dims = value.type.tensor_type.shape.dim
    return [
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in dims
    ]


def fixed_shape(value: Any, where: str) -> list[int]:
    """An input's shape with a batch of 1 where that is not given.

    Raises:
        ModelError: another dimension is not fixed, or there is no shape.
    """
    shape = shape_of(value)
    dims = ", ".join("?" if d is None else str(d) for d in shape)
    if not shape or None in shape[1:]:
        raise ModelError(
            f"the input '{value.name}' has no fixed shape: ({dims})",
            where=where,
            remedy="export the model with every dimension but the batch fixed (PyTorch: leave them "
            "out of dynamic_axes / dynamic_shapes)",
        )
    return [shape[0] or 1, *(int(d) for d in shape[1:] if d is not None)]


def attributes(node: Any) -> dict[str, Any]:
    """A node's attributes as Python values, text decoded."""
    found = {}
    for item in node.attribute:
        value = helper.get_attribute_value(item)
        found[item.name] = value.decode() if isinstance(value, bytes) else value
    return found


class Runnable:
    """An ONNX model in ONNX Runtime, one sample at a time, any tensor to be had.

    One sample, because exported graphs often have the batch of 1 in their reshapes; without graph
    optimisation, so that every tensor is there and integer fusions do not change the result.
    """

    def __init__(self, model: onnx.ModelProto, wanted: Iterable[str], where: str) -> None:
        import onnxruntime

        self.wanted = list(dict.fromkeys(wanted))
        self.model = _standard(model, where)
        for item in inputs_of(self.model):
            dims = item.type.tensor_type.shape.dim
            if dims:
                dims[0].Clear()
                dims[0].dim_value = 1
        del self.model.graph.value_info[:]
        del self.model.graph.output[:]
        self.model.graph.output.extend(helper.make_empty_tensor_value_info(n) for n in self.wanted)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self.session = onnxruntime.InferenceSession(
                self.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # noqa: BLE001 - ONNX Runtime raises its own kinds
            raise ModelError(
                f"ONNX Runtime refuses the model: {str(error).splitlines()[0][:300]}",
                where=where,
                remedy="export it again with an opset that ONNX Runtime knows",
            ) from None

    def run(self, given: Mapping[str, np.ndarray[Any, Any]]) -> Values:
        """The wanted tensors for one sample (batch of 1)."""
        return dict(zip(self.wanted, self.session.run(self.wanted, dict(given)), strict=True))


def numpy_type(value: Any) -> Any:
    """numpy's type of a graph input."""
    return helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)


def _standard(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """A copy in standard operators."""
    if not _is_extended(model):
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        return copy
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = node.attribute[0].t
    nodes: list[Any] = []
    unknown: list[str] = []
    for node in model.graph.node:
        if node.op_type in ("Quant", "IntQuant"):
            nodes += _quant(node, constants)
        elif node.op_type == "BipolarQuant":
            nodes += _bipolar(node)
        elif node.domain == "qonnx.custom_op.channels_last" and node.op_type in _LAST:
            nodes += _channels_last(node, constants)
        elif node.domain in QONNX_DOMAINS:
            unknown.append(f"{node.op_type} '{node.name or node.output[0]}'")
        else:
            nodes.append(node)
    if unknown:
        raise ModelError(
            "the model uses QONNX operators that edgeflow does not know",
            where=where,
            details=unknown,
            remedy="export it with Quant and BipolarQuant nodes only",
        )
    graph = helper.make_graph(
        nodes, model.graph.name, list(model.graph.input), list(model.graph.output),
        list(model.graph.initializer),
    )  # fmt: skip
    opset = max((o.version for o in model.opset_import if not o.domain), default=13)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", max(opset, 11))])
    made.ir_version = min(model.ir_version, 8)
    return made


def _quant(node: Any, constants: Mapping[str, Any]) -> list[Any]:
    """``clip(round(x / scale + zero), low, high)``, then back; bounds by QONNX's definition."""
    at = attributes(node)
    x, scale, zero, bits = node.input[:4]
    width = float(numpy_helper.to_array(constants[bits]).reshape(-1)[0])
    low, high = quant_bounds(width, bool(at.get("signed", 1)), bool(at.get("narrow", 0)))
    out = node.output[0]
    names = [f"{out}__{step}" for step in ("low", "high", "div", "add", "rnd", "max", "min", "sub")]
    how = str(at.get("rounding_mode", "ROUND")).upper()
    rounding = helper.make_node(_ROUNDINGS.get(how, "Round"), [names[3]], [names[4]])
    return [
        _constant(names[0], low),
        _constant(names[1], high),
        helper.make_node("Div", [x, scale], [names[2]]),
        helper.make_node("Add", [names[2], zero], [names[3]]),
        rounding,
        helper.make_node("Max", [names[4], names[0]], [names[5]]),
        helper.make_node("Min", [names[5], names[1]], [names[6]]),
        helper.make_node("Sub", [names[6], zero], [names[7]]),
        helper.make_node("Mul", [names[7], scale], [out]),
    ]


def quant_bounds(bits: float, signed: bool, narrow: bool) -> tuple[float, float]:
    """Smallest and largest integer of a QONNX quantiser."""
    if signed:
        return -(2 ** (bits - 1)) + narrow, 2 ** (bits - 1) - 1
    return 0, 2**bits - 1 - narrow


def _bipolar(node: Any) -> list[Any]:
    out = node.output[0]
    names = [f"{out}__{step}" for step in ("zero", "one", "minus", "test", "pick")]
    return [
        _constant(names[0], 0.0),
        _constant(names[1], 1.0),
        _constant(names[2], -1.0),
        helper.make_node("Less", [node.input[0], names[0]], [names[3]]),
        helper.make_node("Where", [names[3], names[2], names[1]], [names[4]]),
        helper.make_node("Mul", [names[4], node.input[1]], [out]),
    ]


_LAST = frozenset(["Conv", "MaxPool", "BatchNormalization", "AveragePool"])


def _channels_last(node: Any, constants: Mapping[str, Any]) -> list[Any]:
    """A channels-last operator between two transposes; a kernel (out, *window, in) too."""
    del constants
    out = node.output[0]
    first, back = [0, 3, 1, 2], [0, 2, 3, 1]
    made = [helper.make_node("Transpose", [node.input[0]], [f"{out}__x"], perm=first)]
    inputs = [f"{out}__x", *node.input[1:]]
    if node.op_type == "Conv":
        made.append(helper.make_node("Transpose", [node.input[1]], [f"{out}__w"], perm=first))
        inputs[1] = f"{out}__w"
    kept = attributes(node)
    made.append(helper.make_node(node.op_type, inputs, [f"{out}__y"], **kept))
    made.append(helper.make_node("Transpose", [f"{out}__y"], [out], perm=back))
    return made


def _constant(name: str, value: float) -> Any:
    tensor = numpy_helper.from_array(np.asarray(value, np.float32))
    return helper.make_node("Constant", [], [name], value=tensor)
