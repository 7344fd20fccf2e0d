"""The C library: one header, one source with weights and calls, and the kernels it needs."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeflow.backends.cortex_m import arena_job
from edgeflow.backends.cortex_m.calls_job import Call, Caller, activations, real
from edgeflow.backends.cortex_m.graph_job import Graph
from edgeflow.backends.cortex_m.operators_job import SHAPES
from edgeflow.backends.cortex_m.tensors_job import Tensor

KERNELS = Path(__file__).parent / "kernels"
FILES = {
    "ef_conv": "ef_conv.c",
    "ef_dense": "ef_conv.c",
    "ef_depthwise": "ef_depthwise.c",
    "ef_average_pool": "ef_pool.c",
    "ef_max_pool": "ef_pool.c",
    "ef_mean": "ef_pool.c",
    "ef_softmax": "ef_softmax.c",
    "ef_pad": "ef_move.c",
    "ef_transpose": "ef_move.c",
    "ef_copy_rows": "ef_move.c",
}
"""Where kernels are; the others are in ef_elementwise.c."""


@dataclass(frozen=True)
class Library:
    """What was made: the calls in order, offsets in the arena by tensor and scratch (bytes)."""

    calls: tuple[Call, ...]
    offsets: dict[str, int]
    arena: int
    least_arena: int
    sources: tuple[str, ...]


def library(graph: Graph, name: str, dsp: bool, folder: Path) -> Library:
    """Write ``NAME.h``, ``NAME.c`` and the kernels to `folder`.

    Args:
        graph: what to compute.
        name: a C identifier, which all public names begin with.
        dsp: whether the core widens activations to 16 bits (that takes twice the scratch).
        folder: an empty folder.
    """
    caller = Caller(graph.parsed)
    calls = tuple(caller.call(i, operator) for i, operator in enumerate(graph.operators))
    roots = _roots(graph)
    blocks = _blocks(graph, calls, roots, dsp)
    offsets, size = arena_job.plan(blocks)
    files = sorted({FILES.get(c.kernel, "ef_elementwise.c") for c in calls if c.kernel})
    for file in (*files, "ef_nn.h"):
        shutil.copyfile(KERNELS / file, folder / file)
    made = Library(calls, offsets, size, arena_job.least(blocks), (f"{name}.c", *files))
    (folder / f"{name}.h").write_text(_header(graph, name, made))
    (folder / f"{name}.c").write_text(_source(graph, name, made, roots))
    (folder / "README.md").write_text(_readme(graph, name, made))
    return made


def _roots(graph: Graph) -> dict[int, int]:
    """The tensor whose memory each one has: a reshape's output has its input's."""
    roots: dict[int, int] = {}
    for operator in graph.operators:
        if operator.kind in SHAPES:
            source = operator.input().index
            roots[operator.output.index] = roots.get(source, source)
    return roots


def _blocks(
    graph: Graph, calls: Sequence[Call], roots: dict[int, int], dsp: bool
) -> list[arena_job.Block]:
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    size: dict[int, int] = {}

    def touch(tensor: Tensor, step: int) -> None:
        root = roots.get(tensor.index, tensor.index)
        first.setdefault(root, step)
        last[root] = max(last.get(root, step), step)
        size[root] = max(size.get(root, 0), tensor.bytes)

    for tensor in graph.inputs:
        touch(tensor, 0)
    for step, operator in enumerate(graph.operators):
        for tensor in (*activations(operator), operator.output):
            touch(tensor, step)
    for tensor in graph.outputs:
        touch(tensor, len(graph.operators))
    blocks = [
        arena_job.Block(f"t{root}", size[root], first[root], last[root]) for root in sorted(first)
    ]
    for step, call in enumerate(calls):
        if scratch := call.scratch[0 if dsp else 1]:
            blocks.append(arena_job.Block(f"s{step}", scratch, step, step))
    return blocks


def _readme(graph: Graph, name: str, made: Library) -> str:
    x, y = graph.inputs[0], graph.outputs[0]
    upper = name.upper()
    rows = [
        "| | operator | multiply-accumulates | kernel |",
        "|-|-|-|-|",
        *(
            f"| {i} | {call.operator.kind} | {call.operator.macs or ''} | {call.kernel} |"
            for i, call in enumerate(made.calls)
        ),
    ]
    table = "\n".join(rows)
    return f"""# {name}

C99 without dependencies, but for `memcpy` and `memset`. Copy this folder into your project, and
compile all of its `.c` files with your other sources:

```
arm-none-eabi-gcc -O2 -std=c99 -mthumb -mcpu=CORE -ffunction-sections -fdata-sections -c *.c
```

Cores with the DSP extension or Helium need `-mcpu` (and `-mfloat-abi`) that name them: the
kernels choose their instructions by what the compiler defines.

```c
#include "{name}.h"

void infer(const {_type(x)} *sample, {_type(y)} *result)
{{
    memcpy({name}_input(), sample, sizeof(*sample) * {upper}_INPUT_SIZE);
    {name}_run();
    memcpy(result, {name}_output(), sizeof(*result) * {upper}_OUTPUT_SIZE);
}}
```

Input {list(x.shape)} of `{_type(x)}`, output {list(y.shape)} of `{_type(y)}`, channels last; an
int8 `q` stands for `SCALE * (q - ZERO)`, with both in `{name}.h`. One static arena of {made.arena}
bytes holds all activations; inputs and outputs are in it, so `{name}_run()` overwrites them. It
is not reentrant. Compile `{name}.c` with `-D{upper}_DONE=FUNCTION` to have `FUNCTION(layer)` called
after each layer.

{table}
"""


def _port(tensor: Tensor, name: str, word: str) -> str:
    upper = f"{name.upper()}_{word.upper()}"
    lines = [f"#define {upper}_SIZE {tensor.size}"]
    if tensor.kind == "INT8":
        lines += [
            f"#define {upper}_SCALE {real(tensor.scale)}",
            f"#define {upper}_ZERO ({tensor.zero})",
        ]
    return "\n".join(lines)


def _type(tensor: Tensor) -> str:
    return "float" if tensor.kind == "FLOAT32" else "int8_t"


def _header(graph: Graph, name: str, made: Library) -> str:
    x, y = graph.inputs[0], graph.outputs[0]
    upper = name.upper()
    return f"""/* {name}: an int8 network, {graph.macs} multiply-accumulates an inference.
 *
 * Fill {name}_input(), call {name}_run(), read {name}_output(). A value is scale * (q - zero).
 * Input {list(x.shape)}, output {list(y.shape)}, in C order. {name}_run() overwrites the input.
 * All memory is one static arena of {upper}_ARENA bytes; nothing is allocated.
 */
#ifndef {upper}_H
#define {upper}_H

#include <stdint.h>

#define {upper}_ARENA {made.arena}
#define {upper}_LAYERS {len(graph.operators)}
{_port(x, name, "input")}
{_port(y, name, "output")}

{_type(x)} *{name}_input(void);
const {_type(y)} *{name}_output(void);
void {name}_run(void);

#endif
"""


def _source(graph: Graph, name: str, made: Library, roots: dict[int, int]) -> str:
    upper = name.upper()

    def address(tensor: Tensor) -> str:
        offset = made.offsets[f"t{roots.get(tensor.index, tensor.index)}"]
        cast = "float *" if tensor.kind == "FLOAT32" else "int8_t *"
        return f"({cast})&bytes[{offset}]"

    lines: list[str] = []
    for step, call in enumerate(made.calls):
        operator = call.operator
        lines.append(f"    /* {step}: {operator.kind} */")
        if call.text:
            inputs = {
                f"in{i}": address(tensor)
                for i, tensor in enumerate(operator.inputs)
                if tensor is not None and tensor.data is None
            }
            kind = "int16_t" if call.kernel == "ef_depthwise" else "ef_patch"
            scratch = f"({kind} *)&bytes[{made.offsets.get(f's{step}', 0)}]"
            lines.append(
                "    " + call.text.format(**inputs, out=address(operator.output), scratch=scratch)
            )
        lines.append(f"    {upper}_DONE({step});")
    constants = "\n".join(text for call in made.calls for text in call.constants)
    body = "\n".join(lines)
    x, y = graph.inputs[0], graph.outputs[0]
    return f"""#include "{name}.h"

#include "ef_nn.h"

/* Called after each layer: a place to measure. */
#ifndef {upper}_DONE
#define {upper}_DONE(layer) ((void)0)
#else
void {upper}_DONE(int32_t layer);
#endif

#define EF_ALIGNED __attribute__((aligned(4)))

{constants}

/* Words, so that every tensor is aligned. */
static int32_t arena[{-(-made.arena // 4)}];
static int8_t *const bytes = (int8_t *)arena;

{_type(x)} *{name}_input(void)
{{
    return {address(x)};
}}

const {_type(y)} *{name}_output(void)
{{
    return {address(y)};
}}

void {name}_run(void)
{{
{body}
}}
"""


def ports(graph: Graph) -> dict[str, Any]:
    """The input and the output for hosts: shape, type, scale, zero point."""
    return {
        word: {
            "shape": list(tensor.shape),
            "type": tensor.kind.lower(),
            "scale": tensor.scale,
            "zero_point": tensor.zero,
        }
        for word, tensor in (("input", graph.inputs[0]), ("output", graph.outputs[0]))
    }
