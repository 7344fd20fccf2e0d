"""The job of the `tpu_aot` toolchain: compile the artifact for a TPU generation, with no TPU.

The compiler's own figures are kept: flops, bytes, memory, and the cycles that it estimates for
each operation. Its ``optimal_seconds`` is left out: it is not usable (negative for some graphs).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from edgeflow.backends.tpu.artifact_job import COMPARED, load_artifact
from edgeflow.backends.tpu.hlo import count_cycles
from edgeflow.errors import JobError

REPORT = "ahead.json"
LARGEST_HLO = 64 << 20  # characters; a text beyond it is not written


def compile_ahead(
    inputs: dict[str, Path], params: dict[str, Any], output: Path, progress: Callable[..., None]
) -> dict[str, Any]:
    """Compile ``artifact`` (a folder of the export job) and write ``ahead.json``, ``compiled.hlo``.

    ``params``: ``generation``, ``topology`` and its ``options``, ``layers`` (names of the model's
    layers, to which cycles are attributed). The result holds ``flops``, ``bytes_accessed``,
    ``memory`` (bytes: arguments, outputs, temporaries, code), ``cycles``, ``layers``
    (cycles by layer), ``loops`` and ``loops_unknown`` (see `Cycles`), ``libtpu``, and for an int8
    artifact the same figures in bfloat16 under ``compared``.

    Raises:
        JobError: libtpu cannot compile for the topology.
    """
    os.environ["TPU_LOG_DIR"] = "disabled"  # libtpu writes outside of the job's folder else
    os.environ["TPU_STDERR_LOG_LEVEL"] = "3"
    # No TPU is opened here: two compilations at a time do not disturb each other.
    os.environ["ALLOW_MULTIPLE_LIBTPU_LOAD"] = "1"
    from jax.experimental import topologies
    from jax.sharding import SingleDeviceSharding

    call, signature = load_artifact(inputs["artifact"])
    progress(0, 2, f"compile for TPU {params['generation']}")
    try:
        topology = topologies.get_topology_desc(
            platform="tpu", topology_name=params["topology"], **params.get("options", {})
        )
    except Exception as error:
        raise _refused(params, error) from error
    place = SingleDeviceSharding(topology.devices[0])
    specs = [
        jax.ShapeDtypeStruct(tuple(item["shape"]), item["dtype"], sharding=place)
        for item in signature["inputs"]
    ]
    figures, hlo = _figures(call, specs, params)
    record = {
        "generation": params["generation"],
        "topology": params["topology"],
        "batch": signature["batch"],
        "precision": signature["precision"],
        **figures,
        "compared": None,
        "libtpu": version("libtpu"),
        "jax": jax.__version__,
    }
    if (inputs["artifact"] / COMPARED).is_file():
        progress(1, 2, "compile the same in bfloat16")
        other, _ = load_artifact(inputs["artifact"], COMPARED)
        record["compared"] = {"precision": "bfloat16", **_figures(other, specs, params)[0]}
        record["notes"] = [gain(record)]
    (output / REPORT).write_text(json.dumps(record, indent=1) + "\n")
    if len(hlo) <= LARGEST_HLO:
        (output / "compiled.hlo").write_text(hlo)
    return record


def gain(record: Mapping[str, Any]) -> str:
    """Whether int8 is faster than bfloat16 on the generation, by the compiler's own cycles."""
    integer, other = record["cycles"], record["compared"]["cycles"]
    said = f"TPU {record['generation']}, by libtpu {record['libtpu']}"
    if not integer or not other or record["loops_unknown"]:
        return f"{said}: no cycles for this graph, so nothing says whether int8 gains anything"
    ratio = other / integer
    traffic = f"{_bytes(record)} against {_bytes(record['compared'])} bytes accessed"
    verdict = (
        f"int8 is {ratio:.2f} times as fast as bfloat16" if ratio >= 1.05
        else f"int8 gains nothing over bfloat16 ({ratio:.2f} times as fast)"
    )  # fmt: skip
    return f"{said}: {verdict}: {integer:,} against {other:,} estimated cycles, {traffic}"


def _bytes(figures: Mapping[str, Any]) -> str:
    value = figures["bytes_accessed"]
    return "unknown" if value is None or value < 0 else f"{value:,.0f}"


def _figures(
    call: Callable[..., Any], specs: list[Any], params: Mapping[str, Any]
) -> tuple[dict[str, Any], str]:
    """What the compiler says of a graph, and its text."""
    try:
        compiled = jax.jit(call).lower(*specs).compile()
    except Exception as error:
        raise _refused(params, error) from error
    hlo = compiled.as_text()
    cycles = count_cycles(hlo, params.get("layers", ()))
    costs: Mapping[str, float] = compiled.cost_analysis() or {}
    memory = compiled.memory_analysis()
    figures = {
        "flops": costs.get("flops"),
        "bytes_accessed": costs.get("bytes accessed"),
        "memory": {
            "arguments": memory.argument_size_in_bytes,
            "outputs": memory.output_size_in_bytes,
            "temporaries": memory.temp_size_in_bytes,
            "code": memory.generated_code_size_in_bytes,
        },
        "cycles": cycles.total,
        "loops": cycles.loops,
        "loops_unknown": cycles.unknown,
        "layers": dict(cycles.layers),
    }
    return figures, hlo


def _refused(params: Mapping[str, Any], error: Exception) -> JobError:
    text = str(error).strip().splitlines()
    return JobError(
        f"libtpu cannot compile for TPU {params['generation']}: {text[0] if text else error}",
        remedy="try a smaller batch; the artifact itself is not concerned",
    )
