"""What the hls4ml backend refuses, its options, its reuse factors."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edgeflow.backends.hls4ml import kinds, options, reuse
from edgeflow.backends.hls4ml.backend import BACKEND
from edgeflow.errors import RecipeError
from edgeflow.network import KINDS, Layer, Network

spec = importlib.util.spec_from_file_location(
    "hls4ml_networks", Path(__file__).with_name("networks.py")
)
networks = importlib.util.module_from_spec(spec)
sys.modules["hls4ml_networks"] = networks
spec.loader.exec_module(networks)


def problems(draft, **given):
    return BACKEND.check(draft.network(), networks.PYNQ, BACKEND.options(given, "here"))


def test_every_problem_at_once_with_a_remedy():
    draft = networks.Draft((9, 9, 2)).conv("a", 4).add("g", "layer_norm").conv("b", 4)
    draft.add("p", "max_pool2d", (4, 4, 4), pool_size=[3, 3], strides=[2, 2], padding="valid")
    found = problems(draft, layers={"aa": {"precision": "ap_fixed<8,2>"}})
    assert [p.layer for p in found] == [None, "g", "p"]
    assert "did you mean 'a'?" in str(found[0])
    assert all(p.remedy for p in found)


@pytest.mark.parametrize(
    ("draft", "given", "words"),
    [
        (networks.Draft((4,)).add("s", "simple_rnn"), {}, "simple_rnn"),
        (networks.Draft((4, None)).add("r", "relu"), {}, "fixed shape"),
        (
            networks.Draft((8, 8, 2)).conv("d", 0, kind="depthwise_conv").conv("c", 2),
            {"layers": {"d": {"strategy": "resource"}}},
            "has no strategy",
        ),
        (
            networks.Draft((4, 4, 2)).add("q", "quantize", quantizer=networks.fixed(4, 1)),
            {},
            None,
        ),
        (
            networks.Draft((4, 4, 2)).add(
                "q", "quantize", quantizer=replace(networks.fixed(4, 1), bits=4.5)
            ),
            {"io": "stream"},
            "from element to element",
        ),
        (networks.Draft((40, 40, 4)).add("r", "relu"), {"io": "parallel"}, "6400 elements"),
    ],
)
def test_limits(draft, given, words):
    found = problems(draft, **given)
    assert bool(found) == (words is not None)
    assert words is None or any(words in str(problem) for problem in found), found


def test_layer_too_large_to_unroll_says_which_reuse_factor():
    draft = networks.Draft((784,)).dense("fc", 128)
    (found,) = problems(draft, strategy="latency", reuse_factor=1)
    assert found.layer == "fc"
    assert "reuse_factor: 28" in found.remedy  # 100352 / 28 = 3584 multipliers
    assert not problems(draft, strategy="resource", reuse_factor=28)
    assert not problems(draft)  # auto
    choice = reuse.choose(draft.layers[1], BACKEND.options({"compiler": "vitis"}, "here"))
    assert (choice.strategy, choice.reuse_factor) == ("resource", 28)


def test_legal_reuse_factors_are_those_of_hls4ml():
    """hls4ml's own rule, tried for each number."""

    def allowed(n_in, n_out, factor):
        limit = -(-n_in * n_out // min(n_in, factor))
        return (
            (limit % n_out == 0 or factor >= n_in)
            and (factor % n_in == 0 or factor < n_in)
            and n_in * n_out % factor == 0
        )

    for n_in, n_out in ((16, 24), (27, 8), (7, 5), (64, 10)):
        wanted = tuple(f for f in range(1, n_in * n_out + 1) if allowed(n_in, n_out, f))
        assert reuse.legal(n_in, n_out) == wanted
    assert reuse.nearest((1, 2, 4, 8), 3) == 2
    assert reuse.nearest((1, 2, 4, 8), 99) == 8


def test_interface_is_chosen():
    chosen = BACKEND.options({}, "here")
    assert reuse.interface(networks.mlp().network(), chosen) == "parallel"
    assert reuse.interface(networks.cnn().network(), chosen) == "stream"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"reuse_facto": 4}, "did you mean 'reuse_factor'"),
        ({"compiler": "quartu"}, "'quartus'"),
        ({"reuse_factor": 0}, "greater than or equal to 1"),
        ({"precision": "fixed16"}, "ap_fixed<16,6>"),
        ({"layers": {"fc": {"weights": "ap_fixed<8,1>"}}}, "did you mean 'weight'"),
        ({"layers": {"fc": {"result": "ap_fixed<8>"}}}, "ap_fixed<16,6>"),
        ({"project": "../x"}, "C identifier"),
        ({"part": 'x" ; exec rm'}, "part"),
    ],
)
def test_wrong_options(given, words):
    with pytest.raises(RecipeError, match="here") as caught:
        BACKEND.options(given, "here")
    assert words in str(caught.value)


def test_all_wrong_options_at_once():
    with pytest.raises(RecipeError) as caught:
        BACKEND.options({"io": "serial", "bits": 99, "x": 1}, "recipe.yaml:7")
    assert len(caught.value.details) == 3


def test_options_are_complete_and_plain():
    made = BACKEND.options({"layers": {"fc": {"reuse_factor": 4}}}, "here")
    assert set(made) == set(options.Options.model_fields)
    assert made["layers"]["fc"]["reuse_factor"] == 4


def test_the_table_names_known_kinds():
    assert set(kinds.INTERFACES) | set(kinds.REMEDIES) <= KINDS
    for rule in kinds.RULES:
        assert set(rule.kinds) <= KINDS


def test_several_inputs_or_outputs_are_one_clear_refusal():
    draft = networks.mlp()
    other = Layer("y", "input", output_shape=(5,))
    layers = (*draft.layers, other, Layer("sum", "add", ("fc2", "y"), ((5,), (5,)), (5,)))
    options = BACKEND.options({}, "here")
    two = Network("two", layers, ("x", "y"), ("sum",), {})
    (found,) = BACKEND.check(two, networks.PYNQ, options)
    assert "expected one input and one output, found 2 and 1 (x, y, sum)" in found.message
    assert "keras.Model(" in found.remedy
    heads = Network("heads", tuple(draft.layers), ("x",), ("relu1", "fc2"), {})
    (found,) = BACKEND.check(heads, networks.PYNQ, options)
    assert "found 1 and 2 (x, relu1, fc2)" in found.message
