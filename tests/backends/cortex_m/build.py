"""Small int8 .tflite files, written field by field: any scale, zero point and geometry."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

Array = np.ndarray[Any, Any]
KINDS = {"INT8": np.int8, "FLOAT32": np.float32, "INT32": np.int32, "INT64": np.int64}
VERSIONS = {"INT8": 5, "FLOAT32": 1}


class Net:
    """A graph under construction. Tensors are numbers; `Net.shapes` has the batch, 1, in front."""

    def __init__(
        self, *shape: int, scale: float = 0.05, zero: int = -3, kind: str = "INT8", seed: int = 1
    ) -> None:
        self.random = np.random.default_rng(seed)
        self.buffers = [schema.BufferT()]
        self.tensors: list[Any] = []
        self.operators: list[Any] = []
        self.codes: list[str] = []
        self.shapes: list[tuple[int, ...]] = []
        self.x = self.tensor((1, *shape), scale, zero, kind)
        self.y = self.x

    def tensor(
        self,
        shape: Sequence[int],
        scale: Any = None,
        zero: Any = 0,
        kind: str = "INT8",
        data: Array | None = None,
        axis: int = 0,
    ) -> int:
        made = schema.TensorT()
        made.shape = list(shape)
        made.type = getattr(schema.TensorType, kind)
        made.name = f"t{len(self.tensors)}".encode()
        made.buffer = 0
        if data is not None:
            made.buffer = len(self.buffers)
            self.buffers.append(schema.BufferT())
            self.buffers[-1].data = list(np.ascontiguousarray(data, KINDS[kind]).tobytes())
        made.quantization = schema.QuantizationParametersT()
        if scale is not None and kind != "FLOAT32":
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            made.quantization.scale = [float(s) for s in scales]
            made.quantization.zeroPoint = [int(zero)] * len(scales)
            made.quantization.quantizedDimension = axis
        self.tensors.append(made)
        self.shapes.append(tuple(shape))
        return len(self.tensors) - 1

    def const(self, values: Any, kind: str = "INT32") -> int:
        """A constant without a scale."""
        data = np.asarray(values, KINDS[kind])
        return self.tensor(data.shape, kind=kind, data=data)

    def operand(self, *shape: int, scale: float = 0.07, zero: int = 5) -> int:
        """A constant int8 operand."""
        data = self.random.integers(-128, 128, shape)
        return self.tensor(shape, scale, zero, data=data)

    def op(
        self,
        kind: str,
        shape: Sequence[int],
        *,
        inputs: Sequence[int] | None = None,
        scale: float = 0.06,
        zero: int = 7,
        type: str = "INT8",
        options: str = "",
        **values: Any,
    ) -> int:
        """Add an operator; `shape` is its output's. ``options``: the class in the schema."""
        if kind not in self.codes:
            self.codes.append(kind)
        made = schema.OperatorT()
        made.opcodeIndex = self.codes.index(kind)
        made.inputs = list(inputs if inputs is not None else [self.y])
        self.y = self.tensor(shape, scale, zero, type)
        made.outputs = [self.y]
        if options:
            made.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            made.builtinOptions = getattr(schema, f"{options}T")()
            for name, value in values.items():
                assert hasattr(made.builtinOptions, name), name
                setattr(made.builtinOptions, name, value)
        self.operators.append(made)
        return self.y

    def same(self, **given: Any) -> dict[str, Any]:
        """The scale and zero point of the last tensor."""
        last = self.tensors[self.y].quantization
        return {"scale": last.scale[0], "zero": last.zeroPoint[0], **given}

    def _filters(self, count: int, scale: Any, axis: int, shape: Sequence[int]) -> list[int]:
        steps = np.asarray(scale if scale is not None else self.random.uniform(2e-3, 9e-3, count))
        data = self.random.integers(-127, 128, shape)
        x = self.tensors[self.y].quantization.scale[0]
        bias = self.random.integers(-3000, 3000, count)
        return [
            self.tensor(shape, steps, data=data, axis=axis),
            self.tensor(
                (count,), np.float32(x) * steps.astype(np.float32), kind="INT32", data=bias
            ),
        ]

    def conv(
        self,
        outputs: int,
        kernel: tuple[int, int] = (3, 3),
        stride: tuple[int, int] = (1, 1),
        *,
        padding: str = "SAME",
        dilation: tuple[int, int] = (1, 1),
        activation: str = "NONE",
        weights: Any = None,
        multiplier: int = 0,
        bias: bool = True,
        **given: Any,
    ) -> int:
        """A convolution; depthwise with a `multiplier`."""
        _, height, width, channels = self.shapes[self.y]
        size = []
        for inside, window, step, gap in zip(
            (height, width), kernel, stride, dilation, strict=True
        ):
            reach = (window - 1) * gap + 1
            size.append(-(-inside // step) if padding == "SAME" else (inside - reach) // step + 1)
        outputs = channels * multiplier if multiplier else outputs
        axis = 3 if multiplier else 0
        shape = (1, *kernel, outputs) if multiplier else (outputs, *kernel, channels)
        tensors = [self.y, *self._filters(outputs, weights, axis, shape)]
        kind = "DEPTHWISE_CONV_2D" if multiplier else "CONV_2D"
        more: dict[str, Any] = {"depthMultiplier": multiplier} if multiplier else {}
        return self.op(
            kind, (1, *size, outputs), inputs=tensors if bias else tensors[:2],
            options="DepthwiseConv2DOptions" if multiplier else "Conv2DOptions",
            padding=getattr(schema.Padding, padding), strideH=stride[0], strideW=stride[1],
            dilationHFactor=dilation[0], dilationWFactor=dilation[1],
            fusedActivationFunction=getattr(schema.ActivationFunctionType, activation),
            **more, **{"scale": 0.08, "zero": -5, **given},
        )  # fmt: skip

    def dense(
        self, outputs: int, activation: str = "NONE", weights: Any = 0.004, **given: Any
    ) -> int:
        """A dense layer with one scale, over the last axis."""
        shape = self.shapes[self.y]
        inputs = shape[-1]
        tensors = [self.y, *self._filters(outputs, [weights] * 1, 0, (outputs, inputs))]
        bias = self.random.integers(-3000, 3000, outputs)
        tensors[2] = self.tensor(
            (outputs,), self.tensors[tensors[2]].quantization.scale[0], kind="INT32", data=bias
        )
        rows = math.prod(shape[:-1])
        return self.op(
            "FULLY_CONNECTED", (rows, outputs), inputs=tensors, options="FullyConnectedOptions",
            fusedActivationFunction=getattr(schema.ActivationFunctionType, activation), **given,
        )  # fmt: skip

    def pool(
        self,
        kind: str,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        padding: str = "VALID",
        activation: str = "NONE",
    ) -> int:
        """AVERAGE or MAX."""
        _, height, width, channels = self.shapes[self.y]
        size = [
            -(-inside // step) if padding == "SAME" else (inside - window) // step + 1
            for inside, window, step in zip((height, width), kernel, stride, strict=True)
        ]
        return self.op(
            f"{kind}_POOL_2D", (1, *size, channels), options="Pool2DOptions",
            padding=getattr(schema.Padding, padding), strideH=stride[0], strideW=stride[1],
            filterHeight=kernel[0], filterWidth=kernel[1],
            fusedActivationFunction=getattr(schema.ActivationFunctionType, activation),
            **self.same(),
        )  # fmt: skip

    def bytes(self) -> bytes:
        """The file, `Net.y` being what comes out."""
        graph = schema.SubGraphT()
        graph.tensors, graph.operators = self.tensors, self.operators
        graph.inputs, graph.outputs = [self.x], [self.y]
        graph.name = b"main"
        model = schema.ModelT()
        model.version = 3
        model.subgraphs, model.buffers = [graph], self.buffers
        model.operatorCodes = []
        for kind in self.codes:
            code = schema.OperatorCodeT()
            code.builtinCode = getattr(schema.BuiltinOperator, kind)
            code.deprecatedBuiltinCode = min(code.builtinCode, 127)
            code.version = VERSION.get(kind, 2)
            model.operatorCodes.append(code)
        builder = flatbuffers.Builder(1 << 12)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


VERSION = {
    "CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4, "QUANTIZE": 2, "SUB": 2,
    "RESHAPE": 1, "SQUEEZE": 1, "EXPAND_DIMS": 1, "RELU": 2, "RELU6": 2, "RELU_N1_TO_1": 1, "HARD_SWISH": 1,
}  # fmt: skip
