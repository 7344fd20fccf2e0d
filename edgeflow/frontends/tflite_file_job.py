"""TFLite files: checked, parsed into plain objects, and run by LiteRT."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow.errors import ModelError
from edgeflow.network import Quantizer

Array = np.ndarray[Any, Any]
_TYPES = {
    "FLOAT32": ("float32", 32), "FLOAT16": ("float16", 16), "FLOAT64": ("float64", 64),
    "INT8": ("int8", 8), "UINT8": ("uint8", 8), "INT16": ("int16", 16), "UINT16": ("uint16", 16),
    "INT32": ("int32", 32), "UINT32": ("uint32", 32), "INT64": ("int64", 64), "BOOL": ("bool", 8),
    "INT4": ("int8", 4),
}  # fmt: skip


def _names(kind: Any) -> dict[int, str]:
    return {value: name for name, value in vars(kind).items() if isinstance(value, int)}


class Parsed:
    """The first subgraph of a TFLite file.

    Raises:
        ModelError: the file is damaged or is not TFLite.
    """

    def __init__(self, path: Path, where: str) -> None:
        from ai_edge_litert import schema_py_generated as schema
        from ai_edge_litert.interpreter import Interpreter

        self.where = where
        remedy = "copy or download it again, or convert the model again"
        try:
            Interpreter(model_path=str(path))  # verifies every offset before we follow one
        except Exception as error:  # noqa: BLE001 - LiteRT raises ValueError or RuntimeError
            reason = (str(error).strip().splitlines() or [""])[0][:200]
            raise ModelError(
                f"the TFLite file is damaged or cut short: {reason}",
                where=where,
                remedy=remedy,
            ) from None
        data = path.read_bytes()
        try:
            model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
            self.graph = model.subgraphs[0]
        except Exception as error:  # noqa: BLE001 - flatbuffers raise struct.error, IndexError …
            raise ModelError(
                f"the TFLite file is damaged: {type(error).__name__}", where=where, remedy=remedy
            ) from None
        self.model = model
        self.schema = schema
        self.tensors = self.graph.tensors
        self._ops = _names(schema.BuiltinOperator)
        self._types = _names(schema.TensorType)
        if len(model.subgraphs) > 1:
            print(f"{where}: {len(model.subgraphs)} subgraphs; only the first one is read")

    def kind(self, operator: Any) -> str:
        """An operator's name; a custom one's is ``custom NAME``."""
        code = self.model.operatorCodes[operator.opcodeIndex]
        if code.customCode:
            return f"custom {code.customCode.decode(errors='replace')}"
        return self._ops.get(max(code.builtinCode, code.deprecatedBuiltinCode), "UNKNOWN")

    def name(self, index: int) -> str:
        """A tensor's name."""
        found = self.tensors[index].name
        return found.decode(errors="replace") if found else f"tensor_{index}"

    def shape(self, index: int) -> tuple[int, ...]:
        """A tensor's shape, the batch counted."""
        found = self.tensors[index].shape
        return () if found is None else tuple(int(dim) for dim in found)

    def type(self, index: int) -> str:
        """A tensor's type, such as INT8."""
        return self._types.get(self.tensors[index].type, "?")

    def bits(self, index: int) -> int:
        """Bits of an element as stored."""
        return _TYPES.get(self.type(index), ("", 32))[1]

    @cached_property
    def quantised(self) -> bool:
        """Whether it computes with integers."""
        return any(self.quantizer(index) is not None for index in self.graph.outputs) or any(
            self.type(i) in ("INT8", "UINT8", "INT16") and self.constant(i) is None
            for i in range(len(self.tensors))
        )

    def constant(self, index: int) -> Array | None:
        """A constant tensor as it is stored; None for one that is computed."""
        if index < 0:
            return None
        tensor = self.tensors[index]
        data = self.model.buffers[tensor.buffer].data
        if data is None or len(data) == 0 or tensor.isVariable:
            return None
        kind = self.type(index)
        raw = np.asarray(data, np.uint8)
        if kind == "INT4":
            pairs = np.stack([raw & 15, raw >> 4], -1).reshape(-1).astype(np.int8)
            values = np.where(pairs > 7, pairs - 16, pairs)
        else:
            values = raw.view(_TYPES[kind][0])
        count = int(np.prod(self.shape(index)))
        found: Array = values[:count].reshape(self.shape(index))
        return found

    def dequantised(self, index: int) -> Array | None:
        """A constant as float32: ``scale * (q - zero_point)``."""
        values = self.constant(index)
        if values is None:
            return None
        scale, zero, axis = self._scales(index)
        if scale is None:
            return values.astype(np.float32)
        shape = [1] * values.ndim
        if scale.size > 1:
            shape[axis] = scale.size
        real = (values.astype(np.float64) - zero.reshape(shape)) * scale.reshape(shape)
        return real.astype(np.float32)

    def _scales(self, index: int) -> tuple[Array | None, Array, int]:
        given = self.tensors[index].quantization
        if given is None or given.scale is None or len(given.scale) == 0:
            return None, np.zeros(1), 0
        scale = np.asarray(given.scale, np.float64)
        zero = given.zeroPoint if given.zeroPoint is not None else [0]
        return (
            scale,
            np.broadcast_to(np.asarray(zero, np.int64), scale.shape),
            int(given.quantizedDimension),
        )

    def quantizer(self, index: int, axis: int = -1) -> Quantizer | None:
        """How a tensor is rounded; `axis` is that of its channels in the Network."""
        if index < 0:
            return None
        scale, zero, _ = self._scales(index)
        kind = self.type(index)
        if kind == "FLOAT16":
            return Quantizer("float", 16)
        if scale is None or not kind.startswith(("INT", "UINT")):
            return None
        return Quantizer(
            "affine", self.bits(index), not kind.startswith("U"), rounding="RND_INF",
            overflow="SAT", scale=tuple(float(np.float32(s)) for s in scale),
            zero_point=tuple(int(z) for z in zero),
            axis=axis if scale.size > 1 else None,
        )  # fmt: skip

    def option(self, operator: Any, name: str, default: Any = None) -> Any:
        """A builtin option of an operator."""
        return getattr(operator.builtinOptions, name, default)


class Session:
    """A TFLite model in LiteRT, one sample at a time.

    Integer models use the reference kernels (``BUILTIN_REF``), which give the same bits on every
    machine; float ones the optimised built-in kernels.
    """

    def __init__(self, path: Path, parsed: Parsed, *, keep: bool = False) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self.parsed = parsed
        reference = parsed.quantised
        resolver = (
            OpResolverType.BUILTIN_REF
            if reference
            else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        )
        self.resolver = "BUILTIN_REF" if reference else "BUILTIN_WITHOUT_DEFAULT_DELEGATES"
        custom = sorted(
            {parsed.kind(o) for o in parsed.graph.operators if parsed.kind(o).startswith("custom ")}
        )
        if custom:
            raise ModelError(
                "the model holds custom operators, which only their own hardware or library runs",
                where=parsed.where,
                details=custom,
                remedy="give the .tflite from before the compiler for that hardware",
            )
        try:
            self.interpreter = Interpreter(
                model_path=str(path), experimental_op_resolver_type=resolver,
                experimental_preserve_all_tensors=keep, num_threads=1,
            )  # fmt: skip
            self.interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ModelError(
                f"LiteRT cannot run the model: {str(error).strip().splitlines()[0][:200]}",
                where=parsed.where,
                remedy="convert the model again with built-in operators only",
            ) from None

    def run(self, sample: Array) -> None:
        """Run one sample: real values, or integers of the input's own type."""
        index = self.parsed.graph.inputs[0]
        kind = np.dtype(_TYPES[self.parsed.type(index)][0])
        scale, zero, _ = self.parsed._scales(index)
        if kind.kind in "iu" and scale is not None and sample.dtype != kind:
            limits = np.iinfo(kind)
            q = np.round(sample.astype(np.float64) / scale[0]) + zero[0]
            sample = np.clip(q, limits.min, limits.max)
        detail = self.interpreter.get_input_details()[0]
        self.interpreter.set_tensor(detail["index"], sample[None].astype(kind))
        self.interpreter.reset_all_variables()  # the state of an LSTM starts anew
        self.interpreter.invoke()

    def real(self, index: int) -> Array:
        """A tensor's value as real numbers."""
        values = self.interpreter.get_tensor(index)
        scale, zero, axis = self.parsed._scales(index)
        if scale is None or values.dtype.kind not in "iu":
            return np.asarray(values, np.float32)
        shape = [1] * values.ndim
        if scale.size > 1:
            shape[axis] = scale.size
        real = (values.astype(np.float64) - zero.reshape(shape)) * scale.reshape(shape)
        found: Array = real.astype(np.float32)
        return found

    def traced(self, places: Mapping[str, int]) -> dict[str, Array]:
        """The tensors of Network layers, where the interpreter has them."""
        found = {}
        for layer, index in places.items():
            try:
                found[layer] = self.real(index)
            except ValueError:
                continue
        return found


def stack(samples: Iterable[Mapping[str, Array]]) -> dict[str, Array]:
    """Join the traces of samples."""
    joined: dict[str, list[Array]] = {}
    for sample in samples:
        for name, value in sample.items():
            joined.setdefault(name, []).append(value)
    return {
        name: np.concatenate(values) if values[0].ndim else np.stack(values)
        for name, values in joined.items()
    }
