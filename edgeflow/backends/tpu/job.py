"""Jobs of the `tpu` toolchain: export the Network to StableHLO, and run the artifact on the CPU."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export as jax_export

from edgeflow.backends.tpu.artifact_job import ARTIFACT, COMPARED, SIGNATURE, load_artifact
from edgeflow.backends.tpu.network_job import forward, integer_plan, layerwise
from edgeflow.errors import JobError, UnsupportedError
from edgeflow.network import Network

READABLE = "model.mlir"
PLATFORMS = ("cpu", "tpu")
TRACED = 16
_README = """# A StableHLO graph for CPU and Cloud TPU

`model.stablehlo` holds graph and weights (written by jax {jax}, batch {batch}, {precision}).
`model.mlir` is the same graph for the TPU to read, its large constants left out.
`signature.json` names inputs and outputs. On a machine with jax, with a TPU or without:

    import jax
    model = jax.export.deserialize(bytearray(open("model.stablehlo", "rb").read()))
    outputs = jax.jit(model.call)(inputs)  # a tuple; inputs as signature.json says
"""
INTEGER_PRODUCT = re.compile(
    r"stablehlo\.(?:dot_general|convolution)[^\n]*: \(tensor<[\dx]*xi8>, tensor<[\dx]*xi8>\) -> "
    r"tensor<[\dx]*xi32>"
)
"""A product of int8 tensors with int32 sums, in the text of a graph."""
_DYNAMIC = re.compile(r"(stablehlo\.[\w.]+|call)[^\n]*tensor<[^>]*(?:\?|<=)|#stablehlo\.bounds")


def export(
    inputs: dict[str, Path], params: dict[str, Any], output: Path, progress: Callable[..., None]
) -> dict[str, Any]:
    """Write the artifact: ``model.stablehlo``, ``model.mlir`` and ``signature.json``.

    ``model.stablehlo`` is what ``jax.export`` serialises: one self-contained file with the weights
    in it, for CPU and TPU. ``model.mlir`` is the TPU's graph as text to read; large constants are
    elided. At ``precision`` ``int8`` the same in bfloat16 lies beside it, for comparison, and the
    result says which layers compute in integers, and why others do not. ``inputs``: ``network``,
    ``weights``; ``params``: ``precision``, ``rescaling``, ``batch``.

    Raises:
        UnsupportedError: a shape in the graph is dynamic.
    """
    network = Network.load(inputs["network"])
    weights = load_arrays(inputs["weights"])
    batch = int(params["batch"])
    precision, fixed = params["precision"], params["rescaling"] == "fixed_point"
    function = jax.jit(_named(forward(network, weights, precision=precision, fixed_point=fixed)))
    specs = [
        jax.ShapeDtypeStruct((batch, *_static(network, name)), input_type(network, name))
        for name in network.inputs
    ]
    progress(0, 2, "export to StableHLO")
    # Without this the artifact holds the paths of our sources: other bytes on each machine.
    jax.config.update("jax_traceback_in_locations_limit", 0)
    exported = jax_export.export(function, platforms=PLATFORMS)(*specs)
    payload = bytes(exported.serialize())
    (output / ARTIFACT).write_bytes(payload)
    progress(1, 2, "write the graph as text")
    lowered = function.trace(*specs).lower(lowering_platforms=("tpu",))
    text = lowered.compiler_ir().operation.get_asm(large_elements_limit=16)
    refuse_dynamic(text)
    (output / READABLE).write_text(text)
    signature = {
        "format": "jax.export",
        "jax": jax.__version__,
        "calling_convention": int(exported.calling_convention_version),
        "platforms": list(exported.platforms),
        "precision": params["precision"],
        "batch": batch,
        "inputs": _tensors(network.inputs, exported.in_avals),
        "outputs": _tensors(network.outputs, exported.out_avals),
    }
    (output / SIGNATURE).write_text(json.dumps(signature, indent=1) + "\n")
    facts = {} if precision != "int8" else _integers(network, weights, text)
    if precision == "int8":
        other = jax.jit(_named(forward(network, weights, precision="bfloat16")))
        compared = jax_export.export(other, platforms=PLATFORMS)(*specs)
        (output / COMPARED).write_bytes(bytes(compared.serialize()))
    (output / "README.md").write_text(_README.format(**signature))
    operations = re.findall(r"stablehlo\.(\w+)", text)
    return {
        **signature,
        "bytes": len(payload),
        "operations": {name: operations.count(name) for name in sorted(set(operations))},
        **facts,
    }


def _integers(network: Network, weights: dict[str, np.ndarray], text: str) -> dict[str, Any]:
    """What of an int8 graph computes in integers: by the plan, and as counted in its text.

    Raises:
        JobError: the graph has fewer products of int8 than the plan says.
    """
    plan = integer_plan(network, weights)
    found = len(INTEGER_PRODUCT.findall(text))
    if found != len(plan.products):
        raise JobError(
            f"the graph has {found} products of int8 with int32 sums, expected "
            f"{len(plan.products)}",
            remedy="choose precision float32, and report this model",
        )
    shown = [f"{name} ({why})" for name, why in plan.floats.items()]
    more = f", and {len(shown) - 5} more" if len(shown) > 5 else ""
    return {
        "integer_layers": sorted(plan.products),
        "float_layers": dict(plan.floats),
        "notes": [f"in float32, not int8: {'; '.join(shown[:5])}{more}"] if shown else [],
    }


def _named(function: Callable[..., Any]) -> Callable[..., Any]:
    function.__name__ = "model"  # the graph's name in profiles
    return function


def _static(network: Network, name: str) -> tuple[int, ...]:
    shape = network[name].output_shape
    if None in shape:
        raise UnsupportedError(f"input '{name}' has shape {shape}; a TPU graph needs fixed shapes")
    return tuple(int(dim or 1) for dim in shape)


def input_type(network: Network, name: str) -> Any:
    """int32 for what only embeddings read, float32 for all else."""
    readers = network.consumers[name]
    only = bool(readers) and all(layer.kind == "embedding" for layer in readers)
    return jnp.int32 if only else jnp.float32


def _tensors(names: tuple[str, ...], values: Any) -> list[dict[str, Any]]:
    return [
        {"name": name, "shape": list(value.shape), "dtype": str(value.dtype)}
        for name, value in zip(names, values, strict=True)
    ]


def refuse_dynamic(text: str) -> None:
    """Refuse a graph (MLIR text) in which a shape is not fixed, naming the operations.

    Raises:
        UnsupportedError: the TPU's compiler would pad such a shape to its bound, or fail.
    """
    found = sorted({match[1] or "a bounded type" for match in _DYNAMIC.finditer(text)})
    if found:
        raise UnsupportedError(
            "the graph has dynamic shapes",
            details=found,
            remedy="give the model's input a fixed shape",
        )


def simulate(
    inputs: dict[str, Path], params: dict[str, Any], output: Path, progress: Callable[..., None]
) -> dict[str, Any]:
    """Run the artifact itself on the CPU, over the golden inputs.

    ``inputs``: ``artifact`` (a folder of `export`), ``golden`` (folder), ``network``, ``weights``.
    Writes ``outputs.npz`` (``y``) and ``trace.npz``, which the same functions make layer by layer.

    Raises:
        JobError: the artifact is damaged.
    """
    network = Network.load(inputs["network"])
    with np.load(inputs["golden"] / "golden.npz", allow_pickle=False) as golden:
        x = golden["x"]
    call, signature = load_artifact(inputs["artifact"])
    batch = int(signature["batch"])
    entry = signature["inputs"][0]
    x = x.reshape((len(x), *entry["shape"][1:])).astype(entry["dtype"])
    run = jax.jit(call)
    found: list[np.ndarray] = []
    for start in range(0, len(x), batch):
        part = x[start : start + batch]
        full = np.concatenate([part, np.zeros((batch - len(part), *part.shape[1:]), part.dtype)])
        found.append(_joined(run(full))[: len(part)])
        if start % (batch * 64) == 0:
            progress(start, len(x), "StableHLO on CPU")
    np.savez(output / "outputs.npz", y=np.concatenate(found))
    fixed = params["rescaling"] == "fixed_point"
    weights = load_arrays(inputs["weights"])
    trace = layerwise(network, weights, precision=params["precision"], fixed_point=fixed)
    values = jax.jit(trace)(x[: _traced(inputs["golden"])])
    arrays: dict[str, Any] = {name: np.asarray(v, np.float32) for name, v in values.items()}
    np.savez(output / "trace.npz", **arrays)
    return {
        "runtime": "StableHLO on CPU (XLA)",
        "version": f"jax {jax.__version__}",
        "resolver": None,
        "inputs": len(x),
    }


def _joined(outputs: tuple[Any, ...]) -> np.ndarray:
    """One output as it is; several flattened and joined, as golden vectors hold them."""
    arrays = [np.asarray(output, np.float32) for output in outputs]
    if len(arrays) == 1:
        return arrays[0]
    return np.concatenate([array.reshape(len(array), -1) for array in arrays], axis=1)


def _traced(golden: Path) -> int:
    path = golden / "trace.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as stored:
            for name in stored.files:
                return len(stored[name])
    return TRACED


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a ``weights.npz``."""
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
