"""Cycles that the TPU's compiler estimates for Networks without weights, for calibrations.

Run inside the toolchain `tpu_aot`: python network_to_tpu.py NETWORK.json ... --output rows.json
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.update(
    JAX_PLATFORMS="cpu", TPU_SKIP_MDS_QUERY="1", TPU_WORKER_HOSTNAMES="localhost",
    TPU_LOG_DIR="disabled", TPU_STDERR_LOG_LEVEL="3", ALLOW_MULTIPLE_LIBTPU_LOAD="1",
)  # fmt: skip

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding

from edgeflow.backends.tpu.generations import GENERATIONS
from edgeflow.backends.tpu.hlo import count_cycles

CASES = (
    ("bfloat16", 1, ("v2", "v4", "v5e", "v5p", "v6e", "7x")),
    ("bfloat16", 16, ("v3", "v5e", "v6e")),
    ("float32", 8, ("v3", "v5e")),
)


def graph(record: dict[str, Any], precision: Any) -> tuple[Callable[..., Any], list[Any]]:
    """A function of the input and the kernels, and the kernels' shapes."""
    shapes = [
        tuple(layer["weights"]["kernel"]["shape"])
        for layer in record["layers"]
        if "kernel" in layer["weights"]
    ]

    def run(x: Any, *kernels: Any) -> Any:
        tensors: dict[str, Any] = {}
        left = iter(kernels)
        for layer in record["layers"]:
            kind, settings = layer["kind"], layer["attributes"]
            inputs = [tensors[name] for name in layer["inputs"]]
            padding = str(settings.get("padding", "same")).upper()
            if kind == "input":
                out = x
            elif kind in ("conv2d", "depthwise_conv2d"):
                kernel, groups = next(left), 1
                if kind == "depthwise_conv2d":
                    groups = kernel.shape[2]
                    kernel = kernel.reshape((*kernel.shape[:2], 1, groups))
                out = lax.conv_general_dilated(
                    inputs[0], kernel, settings["strides"], padding,
                    dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups,
                    precision=precision,
                )  # fmt: skip
            elif kind == "dense":
                out = jnp.dot(inputs[0], next(left), precision=precision)
            elif kind in ("max_pool2d", "avg_pool2d"):
                window = (1, *settings["pool_size"], 1)
                stride = (1, *settings["strides"], 1)
                way = (lax.max, -jnp.inf) if kind == "max_pool2d" else (lax.add, 0.0)
                start = jnp.asarray(way[1], inputs[0].dtype)
                out = lax.reduce_window(inputs[0], start, way[0], window, stride, padding)
            elif kind == "global_avg_pool2d":
                out = inputs[0].mean(axis=(1, 2))
            elif kind == "add":
                out = inputs[0] + inputs[1]
            elif kind == "concat":
                out = jnp.concatenate(inputs, axis=-1)
            elif kind == "flatten":
                out = inputs[0].reshape((inputs[0].shape[0], -1))
            else:
                out = getattr(jax.nn, kind)(inputs[0])
            tensors[layer["name"]] = out
        return tensors[record["outputs"][0]]

    return run, shapes


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("networks", type=Path, nargs="+")
    parser.add_argument("--output", type=Path, required=True)
    asked = parser.parse_args()
    rows = json.loads(asked.output.read_text()) if asked.output.exists() else []
    done = {(row["network"], row["generation"], row["batch"], row["precision"]) for row in rows}
    for path in asked.networks:
        record = json.loads(path.read_text())
        for name, batch, generations in CASES:
            precision = "highest" if name == "float32" else None
            run, shapes = graph(record, precision)
            for key in generations:
                if (path.name, key, batch, name) in done:
                    continue
                generation = GENERATIONS[key]
                topology = topologies.get_topology_desc(
                    platform="tpu", topology_name=generation.topology, **generation.options
                )
                place = SingleDeviceSharding(topology.devices[0])
                sizes = [(batch, *record["layers"][0]["output_shape"]), *shapes]
                specs = [jax.ShapeDtypeStruct(size, name, sharding=place) for size in sizes]
                compiled = jax.jit(run).lower(*specs).compile()
                costs = compiled.cost_analysis() or {}
                rows.append(
                    {
                        "network": path.name,
                        "generation": key,
                        "batch": batch,
                        "precision": name,
                        "cycles": count_cycles(compiled.as_text(), ()).total,
                        "bytes": costs.get("bytes accessed"),
                    }
                )
                asked.output.write_text(json.dumps(rows, indent=1))
                print(rows[-1], flush=True)
