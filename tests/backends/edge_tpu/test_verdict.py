"""The static verdict against what Google's compiler really did, and the rules one by one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edgeflow.backends.edge_tpu import rules_job, verdict_job
from edgeflow.backends.edge_tpu.graph_job import Graph, Operator, Tensor
from tests.backends.edge_tpu import tables


def test_every_logged_compilation_maps_as_many(data_root: Path) -> None:
    """33 logs of versions 1.0 and 16.0: the number of mapped operators, and which kinds."""
    wrong = []
    for row in tables.rows(data_root, "edge_tpu_compile_logs.csv"):
        graph, _ = tables.logged(row)
        found = verdict_job.verdict(graph)
        if (found["mapped"], found["on_cpu"]) != (int(row["mapped"]), int(row["cpu"])):
            wrong.append((row["log"], found["mapped"], row["mapped"]))
    assert wrong == []


def test_the_kinds_of_every_published_pair(data_root: Path) -> None:
    """What a compiled file has mapped is in the table; what the table lacks is on its CPU."""
    for row in tables.rows(data_root, "edge_tpu_op_mapping.csv"):
        every = json.loads(row["plain_op_counts"])
        on_cpu = json.loads(row["cpu_op_counts"])
        for kind, count in every.items():
            mapped = count - on_cpu.get(kind, 0)
            if kind not in rules_job.BY_KIND:
                # CAST and the like: all of them stay
                assert mapped == 0, (row["model"], kind)


@pytest.mark.parametrize(
    "model",
    [
        "mobilenet_v1_1.0_224_quant_embedding_extractor",
        "posenet/posenet_mobilenet_v1_075_353_481_16_quant_decoder",
    ],
)
def test_pairs_whose_order_follows_from_their_kinds(data_root: Path, model: str) -> None:
    (row,) = [
        row
        for row in tables.rows(data_root, "edge_tpu_op_mapping.csv")
        if row["model"] == f"{model}.tflite"
    ]
    counts = json.loads(row["plain_op_counts"])
    order = sorted(counts, key=lambda kind: kind.startswith("CUSTOM"))
    graph = tables.chain([{"op": kind} for kind in order for _ in range(counts[kind])])
    assert verdict_job.verdict(graph)["mapped"] == int(row["ops_mapped_to_tpu"])


def test_parameter_memory_of_stacks_of_layers(data_root: Path) -> None:
    """On chip and off chip, each within the rounding of the compiler's output (0.01 MiB)."""
    count = 0
    for name, graph, on, off in tables.stacks(data_root):
        memory = verdict_job.verdict(graph)["parameter_memory"]
        assert memory["on_chip"] == pytest.approx(on, rel=0.003, abs=0.006 * tables.MIB), name
        assert memory["off_chip"] == pytest.approx(off, rel=0.003, abs=0.006 * tables.MIB), name
        count += 1
    assert count == 105


def test_parameter_memory_of_a_detector(data_root: Path) -> None:
    """A network with depthwise convolutions, which are less well known."""
    said = [
        float(row["onchip_used_MiB"]) * tables.MIB
        for row in tables.rows(data_root, "edge_tpu_latency.csv")
        if row["model"] == "coco_ssd_mobilenet_v1" and row["onchip_used_MiB"]
    ]
    (row,) = [
        row
        for row in tables.rows(data_root, "edge_tpu_compile_logs.csv")
        if "coco_ssd" in row["log"]
    ]
    graph = tables.chain(json.loads(row["graph_ops"]), weights="UINT8")
    found = verdict_job.verdict(graph)["parameter_memory"]["on_chip"]
    assert found == pytest.approx(said[0], rel=0.15)


# one operator at a time


def tensor(index: int, shape: tuple[int, ...], kind: str = "INT8") -> Tensor:
    return Tensor(index, f"t{index}", kind, shape)


def constant(*values: int) -> Tensor:
    return Tensor(900, "c", "INT32", (len(values),), True, values, not any(values))


def one(kind: str, out: tuple[int, ...], *inputs: Tensor, **options: int) -> Operator:
    return Operator(kind, inputs, (tensor(99, out),), options)


IMAGE = tensor(1, (1, 8, 8, 6))
REFUSED = [
    (one("AVERAGE_POOL_2D", (1, 1, 1, 6), IMAGE, fusedActivationFunction=1), "fused activation"),
    (one("MAX_POOL_2D", (1, 1, 1, 6), IMAGE, fusedActivationFunction=3), "fused activation"),
    (one("CONCATENATION", (1, 8, 8, 9), IMAGE, replace(constant(1, 2), zeros=False)), "all zeros"),
    (one("CONCATENATION", (1, 8, 8, 9), IMAGE, IMAGE, constant(0)), "joins a constant to 2"),
    (one("CONV_2D", (1, 8, 8, 6), IMAGE, constant(1), dilationHFactor=2), "dilation is 2 in y"),
    (one("CONV_2D", (1, 8, 8, 6), IMAGE, tensor(2, (6, 3, 3, 6))), "weights are not constant"),
    (one("FULLY_CONNECTED", (1, 7, 5), IMAGE, constant(1)), "more than one axis"),
    (one("FULLY_CONNECTED", (1, 5), IMAGE, constant(1), weightsFormat=1), "shuffled"),
    (one("MEAN", (1, 8, 8), IMAGE, constant(-1)), "6 channels, not a multiple of 4"),
    (one("MEAN", (8, 8, 6), IMAGE, constant(0)), "reduces the batch"),
    (one("SUM", (8, 8, 6), IMAGE, constant(0)), "reduces the batch"),
    (one("PACK", (2, 8, 8), tensor(1, (8, 8)), axis=0), "packs the batch"),
    (one("PAD", (2, 8, 8, 6), IMAGE, constant(0, 1, 0, 0, 0, 0, 0, 0)), "pads the batch"),
    (one("PRELU", (1, 8, 8, 6), IMAGE, tensor(2, (8, 8, 6))), "alpha"),
    (one("SPLIT", (1, 8, 8, 6), constant(0), IMAGE), "splits the batch"),
    (one("SOFTMAX", (1, 16001), tensor(1, (1, 16001))), "16001 elements"),
    (one("SOFTMAX", (1, 8, 8, 6), IMAGE), "more than one axis"),
    (
        one("STRIDED_SLICE", (1, 4, 4, 6), IMAGE, constant(0), constant(0), constant(1, 2, 2, 1)),
        "strides are",
    ),
    (one("STRIDED_SLICE", (1, 4, 4, 6), IMAGE, newAxisMask=1), "newAxisMask"),
    (one("RESIZE_BILINEAR", (1, 9, 9, 6), tensor(1, (1, 1, 1, 6))), "one pixel"),
    (one("RESHAPE", (1, 384), IMAGE, tensor(2, (2,), "INT32")), "shape is computed"),
    (one("ARG_MAX", (1, 8, 8), IMAGE), "no such operator"),
    (one("custom TFLite_Detection_PostProcess", (1, 10, 4), IMAGE), "no such operator"),
    (one("ADD", (1, 8, 8, 6), IMAGE, tensor(2, (1, 8, 8, 6), "FLOAT32")), "is float32"),
    (one("ADD", (3, 8, 8, 6), tensor(1, (3, 8, 8, 6)), IMAGE), "3 innermost axes"),
    (one("ADD", (1, 8, 8, 6), replace(IMAGE, dynamic=True), IMAGE), "not fixed"),
]


@pytest.mark.parametrize(("operator", "words"), REFUSED, ids=lambda value: str(value)[:40])
def test_a_condition_that_does_not_hold(operator: Operator, words: str) -> None:
    refusal = rules_job.refuse(operator)
    assert refusal is not None
    assert words in refusal.reason
    assert refusal.remedy


def test_conditions_that_hold() -> None:
    zeros = Tensor(900, "c", "INT8", (1, 8, 8, 3), True, None, zeros=True)
    for operator in (
        one("MEAN", (1, 6), IMAGE, constant(1, 2)),
        one("MEAN", (1, 8, 8), tensor(1, (1, 8, 8, 8)), constant(3)),
        one("PAD", (1, 10, 10, 6), IMAGE, constant(0, 0, 1, 1, 1, 1, 0, 0)),
        one("CONCATENATION", (1, 8, 8, 9), IMAGE, zeros),
        one("SOFTMAX", (1, 16000), tensor(1, (1, 16000))),
        one("RESIZE_BILINEAR", (1, 16, 16, 6), IMAGE),
        one("STRIDED_SLICE", (1, 4, 4, 6), IMAGE, constant(0), constant(4), constant(1, 1)),
    ):
        assert rules_job.refuse(operator) is None, operator.kind


def line(number: int, kind: str, before: Tensor, type_out: str = "INT8") -> Operator:
    return Operator(kind, (before,), (tensor(number, (1, 4), type_out),))


def test_the_graph_is_cut_once() -> None:
    a = line(1, "RELU", tensor(0, (1, 4)))
    b = line(2, "ARG_MAX", a.outputs[0])
    c = line(3, "RELU", b.outputs[0])
    d = line(4, "TANH", a.outputs[0])  # beside the cut: it needs nothing of the processor's
    found = verdict_job.verdict(Graph((a, b, c, d), (), ()))
    assert [row["mapped"] for row in found["table"]] == [True, False, False, True]
    assert found["cut"] == {"number": 1, "operator": "ARG_MAX", "name": "t2"}
    assert found["table"][2]["reason"] == verdict_job.AFTER


def test_what_comes_before_any_mapped_operator_does_not_cut() -> None:
    """A float input's QUANTIZE stays on the processor (MoveNet's does); the rest maps."""
    a = line(1, "QUANTIZE", tensor(0, (1, 4), "FLOAT32"))
    b = line(2, "RELU", a.outputs[0])
    c = line(3, "DEQUANTIZE", b.outputs[0], "FLOAT32")
    found = verdict_job.verdict(Graph((a, b, c), (), ()))
    assert [row["mapped"] for row in found["table"]] == [False, True, False]
    assert found["cut"]["operator"] == "DEQUANTIZE"
    assert "int8 or uint8 input and output" in found["table"][0]["remedy"]


def test_a_branch_beside_is_no_cut() -> None:
    """An operator that cannot map and needs only an input stands beside, wherever it is listed."""
    a = line(1, "RELU", tensor(0, (1, 4)))
    b = line(2, "CAST", tensor(50, (1, 4), "FLOAT32"))
    c = Operator("ADD", (a.outputs[0], b.outputs[0]), (tensor(3, (1, 4)),))
    found = verdict_job.verdict(Graph((a, b, c), (), ()))
    assert [row["mapped"] for row in found["table"]] == [True, False, True]
    assert found["cut"] is None


def test_every_rule_with_a_check_says_its_condition_and_remedy() -> None:
    for rule in rules_job.RULES:
        assert rule.kind == rule.kind.upper()
        if rule.check:
            assert rule.condition
            assert rule.remedy
