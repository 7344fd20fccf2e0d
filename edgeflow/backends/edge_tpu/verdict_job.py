"""The static verdict: what maps, where the graph is cut, how parameters fill the memory.

Standard library only. Google's rules: the compiler makes one part for the Edge TPU; at the first
operator that it cannot map the graph is cut, and all that follows from it runs on the processor.
What comes before any mapped operator (a QUANTIZE of a float input) does not cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgeflow.backends.edge_tpu import rules_job as rules
from edgeflow.backends.edge_tpu.graph_job import Graph, Operator

AFTER = "it needs what the processor computes; the graph is cut once"
ROWS = 64
"""Outputs are stored in groups of 64, inputs in groups of 4: the compiler's 'on-chip memory used'
of 105 stacks of convolutions and dense layers (EdgeTPU-QuantRL-Evaluation) follows to 0.5 %."""
COLUMNS = 4
BIAS, SCALE = 4, 4
"""Bytes of a bias; and of a multiplier where each channel has its own scale."""
CAPACITY = int(7.7 * (1 << 20))
"""Bytes for parameters: of 8 MB the compiler keeps some for the program. Its logs show 7.43 MiB
that fit and 7.91 MiB that do not (the same stacks); Google's page says 'roughly 8 MB'."""


@dataclass(frozen=True)
class Placed:
    """An operator and where it runs; ``parameters`` in bytes as the Edge TPU stores them.

    ``follows``: it needs a mapped operator, itself or through others.
    """

    operator: Operator
    mapped: bool
    reason: str = ""
    remedy: str = ""
    unsure: bool = False
    parameters: int = 0
    on_chip: int = 0
    follows: bool = False

    def row(self, number: int) -> dict[str, Any]:
        """Its row in the table."""
        made = self.operator.outputs
        return {
            "number": number,
            "operator": self.operator.kind,
            "name": self.operator.name,
            "output": list(made[0].shape) if made else [],
            "mapped": self.mapped,
            "reason": self.reason,
            "remedy": self.remedy,
            "unsure": self.unsure,
            "parameters": self.parameters,
            "on_chip": self.on_chip,
            "off_chip": self.parameters - self.on_chip,
            "follows": self.follows,
        }


def place(graph: Graph) -> list[Placed]:
    """Where each operator runs."""
    late: set[int] = set()  # tensors that need a mapped operator and then the processor
    made_on_chip: set[int] = set()
    found = []
    free = CAPACITY
    for operator in graph.operators:
        needs = {t.index for t in operator.inputs if t is not None and not t.constant}
        outputs = {t.index for t in operator.outputs}
        refusal = rules.refuse(operator)
        follows = bool(needs & (late | made_on_chip))
        if refusal is None and not needs & late:
            rule = rules.BY_KIND[operator.kind]
            size = parameters(operator)
            kept = size if size <= free else 0
            free -= kept
            made_on_chip |= outputs
            found.append(Placed(operator, True, "", "", rule.unsure, size, kept, follows))
            continue
        if follows:
            late |= outputs
        if refusal is None:
            found.append(
                Placed(operator, False, AFTER, "make the operator before it map", follows=True)
            )
        else:
            found.append(Placed(operator, False, refusal.reason, refusal.remedy, follows=follows))
    return found


def parameters(operator: Operator) -> int:
    """Bytes of an operator's weights and biases, as the Edge TPU stores them.

    Convolutions and dense layers follow compiled files to 0.5 %; depthwise convolutions and LSTM
    are modelled on the same grid, and are less sure.
    """
    weights = operator.input(1)
    if weights is None or not weights.constant or len(weights.shape) < 2:
        return 0
    shape = weights.shape
    if operator.kind in ("CONV_2D", "TRANSPOSE_CONV") and len(shape) == 4:
        outputs = _up(shape[0], ROWS)
        size = outputs * shape[1] * shape[2] * _up(shape[3], COLUMNS)
    elif operator.kind == "DEPTHWISE_CONV_2D" and len(shape) == 4:
        outputs = _up(shape[3], ROWS)
        size = outputs * shape[1] * shape[2]
    elif operator.kind == "FULLY_CONNECTED":
        outputs = _up(shape[0], ROWS)
        size = outputs * _up(shape[1], COLUMNS)
    elif operator.kind == "UNIDIRECTIONAL_SEQUENCE_LSTM":
        outputs = _up(4 * shape[0], ROWS)
        size = outputs * (_up(shape[1], COLUMNS) + _up(shape[0], COLUMNS))
        return size + outputs * BIAS
    else:
        return 0
    bias = operator.input(2)
    if bias is None or not bias.constant:
        return size
    # int8 weights have a scale for each channel, uint8 weights (older files) one
    by_channel = weights.type == "INT8" and operator.kind != "FULLY_CONNECTED"
    return size + outputs * (BIAS + SCALE * by_channel)


def _up(value: int, step: int) -> int:
    return -(-value // step) * step


def verdict(graph: Graph) -> dict[str, Any]:
    """The whole answer: counts, the cut, memory in bytes, the table.

    ``cut``: the first operator after mapped ones that does not map, None where all do.
    """
    placed = place(graph)
    rows = [item.row(number) for number, item in enumerate(placed)]
    on_chip = sum(item.on_chip for item in placed)
    total = sum(item.parameters for item in placed)
    return {
        "source": "static",
        "operators": len(rows),
        "mapped": sum(row["mapped"] for row in rows),
        "on_cpu": sum(not row["mapped"] for row in rows),
        "cut": cut(rows),
        "parameter_memory": {
            "capacity": CAPACITY,
            "on_chip": on_chip,
            "off_chip": total - on_chip,
        },
        "table": rows,
    }


def cut(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The first operator on the processor that needs a mapped one; None where there is none."""
    found = next((row for row in rows if row["follows"] and not row["mapped"]), None)
    return found and {key: found[key] for key in ("number", "operator", "name")}
