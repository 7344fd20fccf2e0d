"""Run in the keras toolchain: a keyword spotter with two operators that Vela leaves to the CPU.

``change.py IN OUT``: the second depthwise convolution gets a stride of 4 (Vela takes 1 to 3), the
softmax becomes a log softmax (Vela knows none).
"""

import sys
from pathlib import Path

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

source, target = map(Path, sys.argv[1:])
model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(source.read_bytes(), 0))
operators = model.subgraphs[0].operators
codes = [max(c.builtinCode, c.deprecatedBuiltinCode) for c in model.operatorCodes]
deep = [
    item
    for item in operators
    if codes[item.opcodeIndex] == schema.BuiltinOperator.DEPTHWISE_CONV_2D
]
deep[1].builtinOptions.strideW = 4
for code, number in zip(model.operatorCodes, codes, strict=True):
    if number == schema.BuiltinOperator.SOFTMAX:
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.LOG_SOFTMAX
for item in operators:
    if codes[item.opcodeIndex] == schema.BuiltinOperator.SOFTMAX:
        item.builtinOptionsType = schema.BuiltinOptions.LogSoftmaxOptions
        item.builtinOptions = schema.LogSoftmaxOptionsT()
builder = flatbuffers.Builder(1 << 16)
builder.Finish(model.Pack(builder), b"TFL3")
target.write_bytes(builder.Output())
