"""What `check` refuses, all at once and with a remedy."""

from __future__ import annotations

import pytest

from edgeflow.backends.tflite import support
from edgeflow.backends.tflite.backend import BACKEND, resolve
from edgeflow.network import KINDS, Layer, Network, Quantizer, Weight
from edgeflow.targets import Figure, Target


def target(kind: str = "linux_board", **memory: float) -> Target:
    figures = {name: Figure(value, "test") for name, value in memory.items()}
    return Target(f"a-{kind}", "A board", kind, "nobody", ("tflite",), "chip", memory=figures)


def network(*layers: Layer) -> Network:
    return Network("n", layers, (layers[0].name,), (layers[-1].name,))


X = Layer("x", "input", (), (), (8,))


def test_the_table_has_every_kind() -> None:
    assert set(support.TABLE) == KINDS - {"opaque"}


def test_all_problems_at_once() -> None:
    model = network(
        X,
        Layer("sort", "opaque", ("x",), ((8,),), (8,), {"type": "TopK"}),
        Layer("plus", "elu", ("sort",), ((8,),), (8,)),
        Layer("any", "relu", ("plus",), ((None,),), (None,)),
    )
    found = BACKEND.check(model, target(), BACKEND.options({"precision": "int8"}, "here"))
    assert [problem.layer for problem in found] == ["sort", "plus", "any"]
    assert "TopK" in found[0].message
    assert all(problem.remedy for problem in found)
    assert [p.layer for p in BACKEND.check(model, target(), BACKEND.options({}, "here"))] == [
        "sort",
        "any",
    ]


def test_custom_operators_of_a_tflite_file_are_refused() -> None:
    layers = (
        X,
        Layer("tpu", "opaque", ("x",), ((8,),), (10,), {"type": "custom edgetpu-custom-op"}),
    )
    model = Network("m", layers, ("x",), ("tpu",), {"format": "tflite"})
    (problem,) = BACKEND.check(model, target(), BACKEND.options({}, "here"))
    assert problem.layer == "tpu"
    assert "edgetpu-custom-op" in problem.message
    assert problem.remedy


def test_memory_says_by_how_much() -> None:
    model = network(
        X,
        Layer(
            "d",
            "dense",
            ("x",),
            ((8,),),
            (8,),
            {},
            {"kernel": Weight((8, 8)), "bias": Weight((8,))},
        ),
    )
    options = BACKEND.options({"precision": "int8"}, "here")
    assert BACKEND.check(model, target("mcu", flash=96, ram=16), options) == []
    found = BACKEND.check(model, target("mcu", flash=90, ram=10), options)
    assert ["6 B too much" in str(p) for p in found] == [True, True]
    assert BACKEND.check(model, target("mcu"), options) == []  # not published: nothing to say


def test_roundings_that_int8_and_16x8_lack() -> None:
    binary = Layer(
        "b", "quantize", ("x",), ((8,),), (8,), quantizer=Quantizer("binary", 1, scale=(1.0,))
    )
    few = Layer(
        "f", "relu", ("b",), ((8,),), (8,), quantizer=Quantizer("fixed", 4, signed=False, integer=0)
    )
    model = network(X, binary, few)
    for precision, layers in (("int8", ["b"]), ("16x8", ["b", "f"]), ("float32", [])):
        options = BACKEND.options({"precision": precision}, "here")
        assert [p.layer for p in BACKEND.check(model, target(), options)] == layers


@pytest.mark.parametrize(
    ("kind", "bits", "precision", "port"),
    [
        ("linux_board", 32, "float32", "float32"),
        ("linux_board", 8, "int8", "float32"),
        ("mcu", 32, "int8", "int8"),
        ("npu", 32, "int8", "int8"),
    ],
)
def test_defaults_follow_model_and_target(kind: str, bits: int, precision: str, port: str) -> None:
    layer = Layer("d", "dense", ("x",), ((8,),), (8,), {}, {"kernel": Weight((8, 8), bits)})
    chosen = resolve(network(X, layer), target(kind), BACKEND.options({}, "here"))
    assert (chosen["precision"], chosen["input_type"], chosen["output_type"]) == (
        precision,
        port,
        port,
    )


def test_ports_that_do_not_fit_the_precision() -> None:
    options = BACKEND.options({"precision": "float32", "input_type": "int8"}, "here")
    assert "input_type int8" in str(BACKEND.check(network(X), target(), options)[0])
