"""What a .tflite file holds, as JSON: operators, tensors, quantisation, sizes.

Read from the flatbuffer with the schema that LiteRT ships; runs in the ``keras`` toolchain.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeflow.errors import ModelError

BORDER = frozenset(["QUANTIZE", "DEQUANTIZE"])
SIGNATURE = "serving_default"
METADATA = "edgeflow"
"""Name of the metadata buffer, which holds JSON."""
ALIGNMENT = 16


def describe(content: bytes, where: str = "model.tflite") -> dict[str, Any]:
    """The first subgraph of a .tflite file as plain data.

    Returns:
        ``bytes``; ``operators``: list of ``op``, ``inputs``, ``outputs`` (tensor indices);
        ``tensors``: list of ``name``, ``type``, ``shape``, ``scale``, ``zero_point``, ``axis``,
        ``constant`` (its bytes, None for an activation); ``inputs``, ``outputs``; ``op_counts``;
        ``float_operators``: indices of those that compute on floats (borders left out).

    Raises:
        ModelError: it is no .tflite file, or a damaged one.
    """
    from ai_edge_litert import schema_py_generated as schema

    if content[4:8] != b"TFL3":
        raise ModelError(
            "expected a .tflite file", where=where, remedy="give a whole, unchanged file"
        )
    try:
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        graph = model.subgraphs[0]
        names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
        types = {v: k.lower() for k, v in vars(schema.TensorType).items() if isinstance(v, int)}
        tensors = [_tensor(tensor, model.buffers, types) for tensor in graph.tensors]
        operators = [_operator(op, model.operatorCodes, names) for op in graph.operators]
    except (
        IndexError,
        ValueError,
        TypeError,
        AttributeError,
        KeyError,
        UnicodeDecodeError,
    ) as error:
        raise ModelError(
            f"the .tflite file is damaged ({type(error).__name__})", where=where,
            remedy="give a whole, unchanged file",
        ) from None  # fmt: skip
    return {
        "bytes": len(content),
        "operators": operators,
        "tensors": tensors,
        "inputs": [int(i) for i in graph.inputs],
        "outputs": [int(i) for i in graph.outputs],
        "subgraphs": len(model.subgraphs),
        "op_counts": dict(sorted(Counter(op["op"] for op in operators).items())),
        "float_operators": [
            index for index, op in enumerate(operators) if _computes_on_floats(op, tensors)
        ],
    }


def _computes_on_floats(operator: dict[str, Any], tensors: list[dict[str, Any]]) -> bool:
    used = (*operator["inputs"], *operator["outputs"])
    return operator["op"] not in BORDER and any(
        tensors[i]["type"] in ("float32", "float16") for i in used
    )


def _tensor(tensor: Any, buffers: list[Any], types: dict[int, str]) -> dict[str, Any]:
    quantization = tensor.quantization
    scale = getattr(quantization, "scale", None)
    zero = getattr(quantization, "zeroPoint", None)
    data = buffers[tensor.buffer].data
    return {
        "name": (tensor.name or b"").decode(),
        "type": types.get(tensor.type, str(tensor.type)),
        "shape": [int(d) for d in (tensor.shape if tensor.shape is not None else ())],
        "scale": [] if scale is None else [float(s) for s in scale],
        "zero_point": [] if zero is None else [int(z) for z in zero],
        "axis": int(getattr(quantization, "quantizedDimension", 0) or 0),
        "constant": None if data is None or len(data) == 0 else len(data),
    }


def _operator(operator: Any, codes: list[Any], names: dict[int, str]) -> dict[str, Any]:
    code = codes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    name = (code.customCode or b"").decode() if names.get(number) == "CUSTOM" else names[number]
    return {
        "op": name,
        "version": int(code.version),
        "inputs": [int(i) for i in operator.inputs if i >= 0],
        "outputs": [int(i) for i in operator.outputs if i >= 0],
    }


def precision_of(info: dict[str, Any]) -> str:
    """``float32``, ``float16``, ``dynamic``, ``int8`` or ``16x8``: how the file computes.

    The 8-bit unsigned scheme of TensorFlow 1 counts as ``int8``: one byte for every operand.
    """
    tensors = info["tensors"]
    made = [
        tensors[i]["type"]
        for op in info["operators"]
        for i in op["outputs"]
        if op["op"] not in BORDER
    ]
    constants = [t["type"] for t in tensors if t["constant"] and len(t["shape"]) > 1]
    if made.count("int16") > len(made) / 2:
        return "16x8"
    if sum(kind in ("int8", "uint8") for kind in made) > len(made) / 2:
        return "int8"
    if "int8" in constants:
        return "dynamic"
    return "float16" if "float16" in constants else "float32"


def with_outputs(content: bytes, tensors: Iterable[int]) -> bytes:
    """The same file with further outputs, which a runtime then neither drops nor overwrites."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    kept = [int(i) for i in graph.outputs]
    inputs = [int(i) for i in graph.inputs]
    graph.outputs = kept + sorted(set(tensors) - set(kept) - set(inputs))
    model.signatureDefs = None  # it names the outputs that were there before
    return pack(model, len(content))


def with_order(content: bytes, outputs: Sequence[str]) -> bytes:
    """The same file with its outputs in this order of their names in its signature.

    The converter sorts them by their names.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    (signature,) = model.signatureDefs
    places = {item.name.decode(): int(item.tensorIndex) for item in signature.outputs}
    model.subgraphs[0].outputs = [places[name] for name in outputs]
    return pack(model, len(content))


def with_metadata(
    content: bytes, inputs: Sequence[str], outputs: Sequence[str], about: Mapping[str, Any]
) -> bytes:
    """The same file with the signature ``serving_default`` and a metadata buffer.

    ``inputs`` and ``outputs`` are the signature's names, in the file's order. ``about`` is stored
    as JSON under the metadata name `METADATA`. Weights, operators and tensors stay as they are.
    """
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    signature = schema.SignatureDefT()
    signature.signatureKey = SIGNATURE
    signature.subgraphIndex = 0
    signature.inputs = _maps(inputs, graph.inputs)
    signature.outputs = _maps(outputs, graph.outputs)
    model.signatureDefs = [signature]
    text = json.dumps(about, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(text.encode(), np.uint8)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name = METADATA
    entry.buffer = len(model.buffers) - 1
    model.metadata = [m for m in model.metadata or () if m.name != METADATA.encode()] + [entry]
    return pack(model, len(content))


def _maps(names: Sequence[str], tensors: Iterable[int]) -> list[Any]:
    from ai_edge_litert import schema_py_generated as schema

    found = []
    for name, index in zip(names, tensors, strict=True):
        item = schema.TensorMapT()
        item.name, item.tensorIndex = name, int(index)
        found.append(item)
    return found


def metadata_of(content: bytes) -> dict[str, Any] | None:
    """What `with_metadata` stored; None where the file has none."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    for entry in model.metadata or ():
        if entry.name == METADATA.encode():
            found: dict[str, Any] = json.loads(bytes(model.buffers[entry.buffer].data))
            return found
    return None


def pack(model: Any, size: int) -> bytes:
    """The file of a `ModelT`; ``size`` is about how many bytes it takes.

    Buffers start at multiples of 16 bytes, as TFLite's schema demands and the generated Python
    does not do: kernels read weights where they lie.
    """
    import flatbuffers

    class Aligned(flatbuffers.Builder):  # type: ignore[misc, unused-ignore]
        def CreateNumpyVector(self, x: Any) -> int:
            if x.dtype.itemsize != 1:
                return int(super().CreateNumpyVector(x))
            self.StartVector(1, x.size, ALIGNMENT)
            self.head = self.Head() - x.size
            self.Bytes[self.head : self.head + x.size] = x.tobytes()
            self.vectorNumElems = x.size
            return int(self.EndVector())

    builder = Aligned(size + 4096)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def load(path: Path) -> tuple[bytes, dict[str, Any]]:
    """The file's bytes and what they hold."""
    content = path.read_bytes()
    return content, describe(content, path.name)
