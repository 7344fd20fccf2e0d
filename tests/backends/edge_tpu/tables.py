"""The published tables of what Google's compiler did, as graphs for the static verdict."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeflow.backends.edge_tpu.graph_job import Graph, Operator, Tensor

csv.field_size_limit(1 << 30)
MIB = 1 << 20
FLOAT_OUT = ("DEQUANTIZE",)
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def rows(data_root: Path, name: str) -> list[dict[str, str]]:
    with (data_root / "ground_truth" / name).open(newline="") as file:
        return list(csv.DictReader(file))


def chain(items: list[dict[str, Any]], weights: str = "INT8") -> Graph:
    """Operators one after the other; each with ``op``, ``out`` and ``w`` (shapes), as logged.

    Axes and options are not in the tables: they are left out, as the rules' checks allow.
    """
    before = Tensor(0, "input", "INT8", (1, 1, 1, 1))
    made = []
    for number, item in enumerate(items, 1):
        kind = item["op"].replace("CUSTOM", "custom detection").replace(":", " ")
        shape = tuple(item.get("w") or ())
        inputs: list[Tensor | None] = [before]
        if kind in WEIGHTED and len(shape) > 1:
            filters = shape[3] if kind == "DEPTHWISE_CONV_2D" else shape[0]
            inputs.append(Tensor(10_000 + number, "w", weights, shape, constant=True))
            if item.get("bias", True):
                inputs.append(Tensor(20_000 + number, "b", "INT32", (filters,), constant=True))
        out = tuple(item.get("out") or (1, 1, 1, 1))
        kind_out = "FLOAT32" if kind in FLOAT_OUT else "INT8"
        after = Tensor(number, f"{kind}_{number}", kind_out, out)
        made.append(Operator(kind, tuple(inputs), (after,)))
        before = after
    return Graph(tuple(made), (), (before,))


def logged(row: dict[str, str]) -> tuple[Graph, str]:
    """The graph of a logged compilation; how it was built."""
    counts = json.loads(row["ops"])
    total = sum(item["count"] for item in counts)
    graph = json.loads(row["graph_ops"]) if row["graph_ops"] else []
    if len(graph) == total:
        return chain(graph), "graph"
    # only counts are there: what is on the processor comes last, as in these detectors
    ordered = sorted(counts, key=lambda item: item["status"] != "Mapped to Edge TPU")
    return chain([{"op": i["op"]} for i in ordered for _ in range(i["count"])]), "counts"


def stacks(data_root: Path) -> Iterator[tuple[str, Graph, float, float]]:
    """Stacks of layers with the compiler's 'memory used', on and off chip, in bytes."""
    for row in rows(data_root, "edge_tpu_latency.csv"):
        if not row["onchip_used_MiB"]:
            continue
        on, off = (float(row[f"{place}_MiB"]) * MIB for place in ("onchip_used", "offchip"))
        if found := re.match(r"5 x conv2d 3x3 same relu, (\d+) filters", row["model"]):
            filters = int(found[1])
            depths = [3] + 4 * [filters]
            layers = [{"op": "CONV_2D", "w": [filters, 3, 3, depth]} for depth in depths]
        elif found := re.match(r"dense: 64 in, 4 hidden layers of (\d+), 10 out", row["model"]):
            units = int(found[1])
            shapes = [[units, 64], *3 * [[units, units]], [10, units]]
            layers = [{"op": "FULLY_CONNECTED", "w": w, "bias": False} for w in shapes]
        else:
            continue
        yield row["model"], chain(layers), on, off
